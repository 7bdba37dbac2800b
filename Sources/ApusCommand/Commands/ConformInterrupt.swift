// Ctrl-C and SIGTERM during a conformance run, and how far it is.
//
// Owns: what the signal was, the line of progress on a terminal. Must not know: what runs.

import ArgumentParser
import Host
import Synchronization

/// The signal that ends a run: what has run until then is reported, and the exit code tells (128 and the signal's number).
enum ConformInterrupt {
  private static let number = Atomic<Int32>(0)
  private static let action = Mutex<(@Sendable (Int32) -> Void)?>(nil)

  /// From now on signals are noted instead of ending the process at once; a second one ends it.
  static func watch() throws {
    do {
      try HostSignals.onEnd { signal in
        number.store(signal, ordering: .releasing)
        action.withLock { $0 }?(signal)
      }
    } catch { throw Failure.host(error.reason) }
  }

  /// Whether a signal has come.
  static var isRequested: Bool { number.load(ordering: .acquiring) != 0 }

  /// What a signal does while `body` runs, on another thread.
  static func with<T>(_ stop: @escaping @Sendable (Int32) -> Void, _ body: () throws -> T) rethrows
    -> T
  {
    action.withLock { $0 = stop }
    defer { action.withLock { $0 = nil } }
    let early = number.load(ordering: .acquiring)
    if early != 0 { stop(early) }
    return try body()
  }

  /// Ends the process where a signal has come.
  static func exitIfRequested() throws {
    let signal = number.load(ordering: .acquiring)
    if signal != 0 { throw ExitCode(128 &+ signal) }
  }
}

/// A bar on the terminal, some times a second; nothing where standard error is none.
struct ConformProgress {
  private let unit: String
  private let isTerminal = HostTerminal.isTerminal(2)
  private var next: UInt64 = 0

  /// - Parameter unit: what is counted.
  init(_ unit: String) { self.unit = unit }

  mutating func show(_ done: UInt64, of total: UInt64, failed: Int) {
    guard isTerminal else { return }
    let now = HostClock.nanoseconds()
    if now < next { return }
    next = now &+ 200_000_000
    let width = 30
    let full =
      total == 0 ? width : min(width, Int(Double(done) / Double(total) * Double(width)))
    let bar = String(repeating: "#", count: full) + String(repeating: ".", count: width - full)
    HostFiles.print(
      Array("\r[\(bar)] \(done)/\(total) \(unit), \(failed) failed\u{1B}[K".utf8), toError: true)
  }

  /// Takes the bar away.
  func clear() {
    if isTerminal { HostFiles.print(Array("\r\u{1B}[K".utf8), toError: true) }
  }
}
