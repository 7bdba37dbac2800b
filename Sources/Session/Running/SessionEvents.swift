// What a session tells while it runs.
//
// Owns: the events, who hears which of them. Must not know: what is done with them.

import Bus
import Machine
import Synchronization

/// Something that happened in a session.
public enum SessionEvent: Sendable {
  /// Kinds of events, for who wants only some.
  public struct Kinds: OptionSet, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }

    public static let notices = Kinds(rawValue: 1)
    public static let failures = Kinds(rawValue: 2)
    public static let stops = Kinds(rawValue: 4)
    public static let resets = Kinds(rawValue: 8)
    public static let text = Kinds(rawValue: 16)
    public static let serial = Kinds(rawValue: 32)
    /// Those that cost nothing while nothing happens.
    public static let rare: Kinds = [.notices, .failures, .stops, .resets]
  }

  /// A line for the user.
  case notice(String)
  /// The search for what two engines differ in has got further: a line for the user.
  case searching(String)
  /// An image file that is written while the run is recorded: a replay needs it as it is now.
  case recordsWrittenImage(String)
  /// An image that the host cannot read or write; the guest sees an error.
  case imageFailed(ImageFailure)
  /// Output is lost.
  case lost(SessionLoss)
  /// A run has ended.
  case stopped(SessionEnd)
  /// The guest or the user reset the machine, or its processor alone.
  case reset(ResetRequest)
  /// What the text screen shows now; nil: graphics. Told at most every 5 ms of the host.
  case textChanged([String]?)
  /// Bytes that a serial port (counted from 0) sent.
  case serialOutput(port: Int, bytes: [UInt8])

  var kind: Kinds {
    switch self {
    case .notice, .searching, .recordsWrittenImage: .notices
    case .imageFailed, .lost: .failures
    case .stopped: .stops
    case .reset: .resets
    case .textChanged: .text
    case .serialOutput: .serial
    }
  }
}

/// Names an observer, so that it can be taken away.
public struct SessionObserver: Hashable, Sendable {
  let number: Int
}

/// Those who listen. Safe from any thread.
final class SessionObservers: Sendable {
  typealias Handler = @Sendable (SessionEvent) -> Void
  private struct List {
    var handlers: [Int: (kinds: SessionEvent.Kinds, handler: Handler)] = [:]
    var last = 0
  }
  private let list = Mutex(List())
  /// All that anybody wants to hear.
  private let wanted = Atomic<Int>(0)

  func add(_ kinds: SessionEvent.Kinds, _ handler: @escaping Handler) -> SessionObserver {
    list.withLock {
      $0.last += 1
      $0.handlers[$0.last] = (kinds, handler)
      sum($0)
      return SessionObserver(number: $0.last)
    }
  }

  func remove(_ observer: SessionObserver) {
    list.withLock {
      $0.handlers[observer.number] = nil
      sum($0)
    }
  }

  private func sum(_ list: List) {
    let all = list.handlers.values.reduce(0) { $0 | $1.kinds.rawValue }
    wanted.store(all, ordering: .relaxed)
  }

  /// Whether anybody wants to hear of this. Cheap.
  func wants(_ kind: SessionEvent.Kinds) -> Bool {
    wanted.load(ordering: .relaxed) & kind.rawValue != 0
  }

  /// Tells it, in the order they came. No lock is held meanwhile.
  func tell(_ event: SessionEvent) {
    let kind = event.kind
    if !wants(kind) { return }
    let handlers = list.withLock { list in
      list.handlers.sorted { $0.key < $1.key }.filter { $0.value.kinds.contains(kind) }
        .map(\.value.handler)
    }
    for handler in handlers { handler(event) }
  }
}
