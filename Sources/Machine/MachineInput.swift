// What reaches the machine from outside, and the one gate it passes through.
//
// Owns: the kinds of input, the queue between threads, the log of what was taken when. Must not know: devices.
// Together with the configuration and the images the log determines a run: nothing else from outside may influence a guest.

import Bus
import Chipset
import Host
import Synchronization

/// Something from outside that a guest can notice.
public enum MachineInput: Equatable, Sendable {
  /// A key by its USB HID usage on the keyboard page.
  case key(usage: UInt16, down: Bool)
  /// Movement since the last one as the mouse counts it: `dx` to the right, `dy` upwards, `wheel` towards the user, `horizontal` to the
  /// right; buttons held: bit 0 left, 1 right, 2 middle, 3 back, 4 forward.
  case mouse(dx: Int, dy: Int, wheel: Int, horizontal: Int = 0, buttons: UInt8)
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
  /// The power button is pressed: a guest that has the control of it by ACPI is told, without one the machine is turned off.
  case powerButton
  /// A disk is put into a floppy drive (0: A), or taken out of it.
  case floppy(drive: Int, disk: FloppyChoice?)
  /// A disc is put into a CD drive (0: the first), or taken out of it. Where the guest has locked the tray, it is asked to let go;
  /// `forced` opens it all the same, as the pin in the hole of a drive's front does.
  case cd(drive: Int, disc: FloppyChoice?, forced: Bool = false)
  /// So many seconds have gone by of which the guest knows nothing: its clock is set ahead.
  case clock(seconds: UInt64)
  /// The host refused an access to a hard disk at a block of 512 bytes, and the guest saw an error of the device.
  case diskError(drive: Int, block: UInt64)
}

extension MachineInput {
  /// What a window tells of its pointer. Windows count down as positive and the wheel away from the user, a PS/2 mouse up and towards the
  /// user: this is the one place where that is turned round.
  public static func pointer(
    right: Int, down: Int, wheelAway: Int, wheelRight: Int, buttons: UInt8
  ) -> MachineInput {
    .mouse(dx: right, dy: -down, wheel: -wheelAway, horizontal: wheelRight, buttons: buttons)
  }
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
  /// It goes on in another process.
  case moved
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
  private var tasks: [@Sendable (Machine) -> Void] = []
  private var isPaused = false
  private var isClosed = false

  /// Nobody takes anything from here any more: what is left is dropped, and who waits for room waits no longer.
  public func close() {
    condition.locked { isClosed = true }
    condition.broadcast()
  }

  /// Serial bytes that may wait; who brings more has to wait itself.
  private static let serialLimit = 64 << 10

  public init() {}

  /// Leaves input. Bytes for a serial port may have to wait until the guest has taken earlier ones.
  public func post(_ input: MachineInput) {
    condition.locked {
      if isClosed { return }
      if case .serial(_, let bytes) = input {
        while serialBytes > InputQueue.serialLimit, stop == nil, !isClosed { condition.wait() }
        serialBytes += bytes.count
      }
      if case .mouse(let dx, let dy, let wheel, let horizontal, let buttons) = input,
        case .mouse(let x, let y, let z, let w, buttons) = events.last,
        x != 0 || y != 0 || z != 0 || w != 0
      {
        // Movement that still waits is one movement; what follows a change of the buttons is not before it.
        events[events.count - 1] = .mouse(
          dx: x &+ dx, dy: y &+ dy, wheel: z &+ wheel, horizontal: w &+ horizontal,
          buttons: buttons)
      } else {
        events.append(input)
      }
      pending.store(true, ordering: .releasing)
    }
    condition.broadcast()
  }

  /// Asks the machine to end, after the input that was left before; the first reason counts.
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

  /// Has something done on the machine's thread between two instructions, after the input that was left before. It must not change the
  /// guest.
  public func requestTask(_ task: @escaping @Sendable (Machine) -> Void) {
    condition.locked {
      tasks.append(task)
      pending.store(true, ordering: .releasing)
    }
    condition.broadcast()
  }

  /// Holds the machine still, its time too, or lets it go on.
  public func setPaused(_ paused: Bool) {
    condition.locked {
      isPaused = paused
      pending.store(true, ordering: .releasing)
    }
    condition.broadcast()
  }

  /// Does what was asked for and not done when a run ended. On the machine's thread.
  public func finishTasks(_ machine: Machine) {
    let left = condition.locked { () -> [@Sendable (Machine) -> Void] in
      defer { tasks = [] }
      return tasks
    }
    for task in left { task(machine) }
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
  public var hasPending: Bool { pending.load(ordering: .relaxed) }

  /// Whether bytes wait for a serial port that had no room for them.
  @inline(__always) var hasBlocked: Bool { blocked.load(ordering: .relaxed) }

  /// Whether there is input that the machine could take at once.
  var hasReadyInput: Bool {
    condition.locked { events.contains { if case .serial = $0 { false } else { true } } }
  }

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

  /// Does what was asked for between two instructions and stays here while the machine is held still.
  /// - Returns: whether it was.
  func attend(_ machine: Machine) -> Bool {
    var wasPaused = false
    while true {
      let (todo, waits) = condition.locked { () -> ([@Sendable (Machine) -> Void], Bool) in
        defer { tasks = [] }
        return (tasks, isPaused && stop == nil && !breaks)
      }
      for task in todo { task(machine) }
      if !waits { return wasPaused }
      if !wasPaused {
        wasPaused = true
        machine.passOn()
      }
      condition.locked {
        if tasks.isEmpty && isPaused && stop == nil && !breaks {
          condition.wait(nanoseconds: 200_000_000)
        }
      }
    }
  }

  /// Stays here until the machine has to end, and does meanwhile what is asked for. What comes from outside stays where it is.
  /// - Parameter show: called now and then: a picture may be due yet.
  public func attendUntilStopped(_ machine: Machine, _ show: (Machine) -> Void) {
    while true {
      show(machine)
      let todo = condition.locked { () -> [@Sendable (Machine) -> Void] in
        if tasks.isEmpty && stop == nil { condition.wait(nanoseconds: 100_000_000) }
        defer { tasks = [] }
        return tasks
      }
      for task in todo { task(machine) }
      if requestedStop != nil { return }
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
      // What is not input stays to be looked at.
      pending.store(
        stop != nil || breaks || isPaused || !tasks.isEmpty, ordering: .relaxed)
      self.blocked.store(!kept.isEmpty, ordering: .relaxed)
      return taken
    }
    if !taken.isEmpty { condition.broadcast() }
    return taken
  }

  /// Waits until something is pending, at most for a time in host nanoseconds; nil: without limit.
  public func wait(nanoseconds: UInt64?) {
    condition.locked {
      if pending.load(ordering: .relaxed) { return }
      condition.wait(nanoseconds: nanoseconds)
    }
  }
}
