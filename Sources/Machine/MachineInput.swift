// What reaches the machine from outside, and the one gate it passes through.
//
// Owns: the kinds of input, the queue between threads, the log of what was taken when. Must not know: devices.
// Together with the configuration and the images the log determines a run: nothing else from outside may influence a guest.

import Chipset
import Host
import Synchronization

/// Something from outside that a guest can notice.
public enum MachineInput: Equatable, Sendable {
  /// A key by its USB HID usage on the keyboard page.
  case key(usage: UInt16, down: Bool)
  /// Movement since the last one; buttons held: bit 0 left, 1 right, 2 middle.
  case mouse(dx: Int, dy: Int, wheel: Int, buttons: UInt8)
  /// Text to be typed.
  case text(String)
  /// Bytes that arrived for a serial port, counted from 0.
  case serial(port: Int, bytes: [UInt8])
  /// Another number of instructions for each virtual second.
  case rate(UInt64)
  /// Keystrokes to be typed.
  case strokes([KeyStroke])
  /// The reset button, or a reset of the processor alone.
  case reset(ResetRequest)
}

/// Input with the number of instructions that were retired when it was taken.
public struct LoggedInput: Equatable, Sendable {
  public var instruction: UInt64
  public var input: MachineInput
}

/// Why the host wants the machine to stop.
public enum HostStop: Equatable, Sendable {
  /// The window was closed, or Ctrl-A X was typed.
  case user
  /// A signal.
  case signal(Int32)
  /// The time that was given is over.
  case timeout
  /// A debugger wants control; the machine can go on.
  case debugger
}

/// Where other threads leave input for the machine.
public final class InputQueue: @unchecked Sendable {
  private let condition = HostCondition()
  private var events: [MachineInput] = []
  private var serialBytes = 0
  private var stop: HostStop?
  private var breaks = false
  private var sources = 0
  private let pending = Atomic<Bool>(false)
  private let blocked = Atomic<Bool>(false)

  /// Serial bytes that may wait; who brings more has to wait itself.
  private static let serialLimit = 64 << 10

  public init() {}

  /// Leaves input. Bytes for a serial port may have to wait until the guest has taken earlier ones.
  public func post(_ input: MachineInput) {
    condition.locked {
      if case .serial(_, let bytes) = input {
        while serialBytes > InputQueue.serialLimit, stop == nil { condition.wait() }
        serialBytes += bytes.count
      }
      if case .mouse(let dx, let dy, let wheel, let buttons) = input,
        case .mouse(let x, let y, let z, buttons) = events.last
      {
        // Movement that still waits is one movement.
        events[events.count - 1] = .mouse(
          dx: x &+ dx, dy: y &+ dy, wheel: z &+ wheel, buttons: buttons)
      } else {
        events.append(input)
      }
      pending.store(true, ordering: .releasing)
    }
    condition.broadcast()
  }

  /// Asks the machine to end; the first reason counts.
  public func requestStop(_ reason: HostStop) {
    condition.locked {
      if stop == nil { stop = reason }
      pending.store(true, ordering: .releasing)
    }
    condition.broadcast()
  }

  /// Asks the machine to stop for a debugger, once.
  public func requestBreak() {
    condition.locked {
      breaks = true
      pending.store(true, ordering: .releasing)
    }
    condition.broadcast()
  }

  /// Forgets a `requestBreak` that was not obeyed yet.
  public func cancelBreak() { condition.locked { breaks = false } }

  /// Why the host wants the machine to end, if it does.
  public var requestedStop: HostStop? { condition.locked { stop } }

  /// Something that may still bring input exists (a window, a terminal, a socket).
  public func addSource() { condition.locked { sources += 1 } }

  /// A source has ended.
  public func removeSource() {
    condition.locked {
      sources -= 1
      pending.store(true, ordering: .releasing)
    }
    condition.broadcast()
  }

  // MARK: For the machine

  /// Whether there is anything to look at. Cheap.
  @inline(__always) var hasPending: Bool { pending.load(ordering: .relaxed) }

  /// Whether bytes wait for a serial port that had no room for them.
  @inline(__always) var hasBlocked: Bool { blocked.load(ordering: .relaxed) }

  /// Whether input can still come.
  var canReceive: Bool { condition.locked { sources > 0 || !events.isEmpty } }

  /// Why the machine has to stop, if it has.
  var stopReason: HostStop? {
    condition.locked {
      if stop == nil && breaks {
        breaks = false
        return .debugger
      }
      return stop
    }
  }

  /// Takes what waits; serial bytes only as far as `room` (for a port) allows.
  func take(room: (Int) -> Int) -> [MachineInput] {
    let taken = condition.locked { () -> [MachineInput] in
      var taken: [MachineInput] = []
      var kept: [MachineInput] = []
      var full = Set<Int>()
      for event in events {
        guard case .serial(let port, let bytes) = event else {
          taken.append(event)
          continue
        }
        let count = full.contains(port) ? 0 : min(bytes.count, room(port))
        if count > 0 {
          taken.append(.serial(port: port, bytes: Array(bytes[..<count])))
          serialBytes -= count
        }
        if count < bytes.count {
          full.insert(port)
          kept.append(.serial(port: port, bytes: Array(bytes[count...])))
        }
      }
      events = kept
      pending.store(stop != nil, ordering: .relaxed)
      self.blocked.store(!kept.isEmpty, ordering: .relaxed)
      return taken
    }
    if !taken.isEmpty { condition.broadcast() }
    return taken
  }

  /// Waits until something is pending, at most for a time in host nanoseconds; nil: without limit.
  func wait(nanoseconds: UInt64?) {
    condition.locked {
      if pending.load(ordering: .relaxed) { return }
      condition.wait(nanoseconds: nanoseconds)
    }
  }
}
