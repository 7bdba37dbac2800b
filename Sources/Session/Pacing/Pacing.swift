// A machine's run beside the host's time: how long it sleeps, when output leaves and pictures are made.
//
// Owns: the attendant of a machine that runs for somebody. Must not know: devices, who watches. The guest notices nothing of it but a
// change of rate, which goes through the input queue like a key.

import CPU
import Host
import Machine

/// Keeps a machine's run beside the host's time.
public final class Pacing: RunAttendant {
  /// How the guest's time follows the host's.
  public var pacer = Pacer()
  /// Shows the machine to who watches it: called where pictures may be made. nil: nobody watches.
  public var picture: ((Machine) -> Void)?
  /// Called whenever output is passed on, also where nobody watches.
  public var outputPassed: ((Machine) -> Void)?
  /// Somebody wants to be called again soon: a picture waits for its time, or there is sound.
  public var isFollowed = false

  private var lastOutput: UInt64 = 0
  /// When input last came, in the host's time.
  private var lastInput: UInt64 = 0
  /// When the last pictures were made, in the host's time; the next one goes to `nextPicture`, where the oldest is.
  private var pictures = [UInt64](repeating: 0, count: Pacing.motion)
  private var nextPicture = 0
  /// The processor's time at the beginning of the slice, where it is measured.
  private var before: UInt64 = 0
  private var isMeasured = false
  /// So many slices go by before one is measured again, which stands for all of them.
  private var unmeasured: UInt64 = 0
  private var weight: UInt64 = 1

  /// Asking for the processor's time twice costs as much as running a slice that is shorter than this, in nanoseconds. Of these one in
  /// seven is enough to know what the host can do; nothing a guest does repeats itself in sevens.
  private static let shortSlice: UInt64 = 50_000
  private static let shortSlices: UInt64 = 7

  /// The most that a guest sleeps at once, in virtual nanoseconds; as `SpeakerSynth` has it where somebody listens.
  private static let longestSleep: UInt64 = 100_000_000
  private static let longestSleepInView: UInt64 = 50_000_000
  private static let longestSleepFollowed: UInt64 = 15_000_000
  /// A guest that nobody deals with sleeps so much longer, in the host's nanoseconds, and makes up for it at once: a timer that ticks all
  /// the time wakes the host for a few ticks together. Less than a picture's time.
  private static let oversleep: UInt64 = 14_000_000
  /// The same for one that has shown little that is new for a second either (a clock, a meter, no motion): each waking finds the host's
  /// caches empty, which costs more than what there is to do.
  private static let longOversleep: UInt64 = 145_000_000
  private static let quietTime: UInt64 = 1_000_000_000
  /// So many pictures in that time are motion.
  private static let motion = 8
  /// So long after input every tick has its own time.
  private static let attention: UInt64 = 300_000_000
  /// Output waits so long at most, in the host's nanoseconds.
  private static let outputInterval: UInt64 = 5_000_000

  public init() {}

  /// Whoever watches has a reset button.
  public var keepsHaltedMachine: Bool { pacer.speed != .max && picture != nil }

  /// A new picture was made.
  public func pictureChanged() {
    pictures[nextPicture] = HostClock.nanoseconds()
    nextPicture = (nextPicture + 1) % Pacing.motion
  }

  public func timeJumped() { pacer.restart() }

  public func show(_ machine: Machine) {
    picture?(machine)
    outputPassed?(machine)
  }

  public func sliceBegins(_ machine: Machine) {
    // The processor's time, not the clock's: what other programs do says nothing of what this guest could.
    isMeasured = pacer.adaptsRate && unmeasured == 0
    if unmeasured > 0 { unmeasured -= 1 }
    if isMeasured { before = pacer.processorTime() }
  }

  public func sliceEnds(_ machine: Machine, ran instructions: UInt64) {
    guard isMeasured else { return }
    let took = pacer.processorTime() &- before
    let share = weight
    weight = took < Pacing.shortSlice ? Pacing.shortSlices : 1
    unmeasured = weight &- 1
    if let rate = pacer.ran(
      instructions: instructions &* share, nanoseconds: took &* share,
      rate: machine.clock.instructionsPerSecond)
    {
      machine.input.post(.rate(rate))
    }
  }

  /// Sleeps when the guest is ahead of the host, and passes output on now and then.
  public func turn(_ machine: Machine) {
    if case .factor = pacer.speed {
      let delay = pacer.delay(virtual: machine.clock.now)
      // Shorter sleeps than this cost more than they give.
      if delay > 2_000_000 {
        machine.running.s.pointee.place = ExecutionPlace.idle
        defer { machine.running.s.pointee.place = ExecutionPlace.devices }
        machine.passOn()
        machine.input.wait(nanoseconds: delay)
        return
      }
    }
    let host = HostClock.nanoseconds()
    if host &- lastOutput > Pacing.outputInterval {
      lastOutput = host
      machine.passOn()
    }
  }

  /// How much longer than it should a guest may sleep that begins to at a time of the host's.
  private func oversleep(at start: UInt64) -> UInt64 {
    if isFollowed || start &- lastInput <= Pacing.attention { return 0 }
    let quiet = start &- max(lastInput, pictures[nextPicture])
    return quiet > Pacing.quietTime ? Pacing.longOversleep : Pacing.oversleep
  }

  public func sleep(_ machine: Machine, until wanted: UInt64, replays: Bool) -> UInt64? {
    guard case .factor = pacer.speed else { return nil }
    let clock = machine.clock
    // The host sleeps through all of it, unless input comes. Somebody who watches wants sound and pictures meanwhile.
    let most =
      picture == nil
      ? Pacing.longestSleep
      : isFollowed ? Pacing.longestSleepFollowed : Pacing.longestSleepInView
    var target = min(wanted, clock.instruction(atNanoseconds: clock.now &+ most))
    let delay = pacer.delay(virtual: clock.nanoseconds(atInstruction: target))
    if delay == 0 { return target }
    machine.passOn()
    let start = HostClock.nanoseconds()
    let oversleep = oversleep(at: start)
    pacer.overslept(oversleep)
    machine.input.wait(nanoseconds: delay + oversleep)
    let end = HostClock.nanoseconds()
    let slept = end &- start
    if machine.input.hasPending { lastInput = end }
    if slept < delay && machine.input.hasPending && !replays {
      // Woken early: the guest has slept as long as the host has.
      let passed = clock.nanoseconds(atInstruction: target) &- clock.now
      let share = UInt64(Double(passed) * Double(slept) / Double(delay))
      target = min(target, clock.instruction(atNanoseconds: clock.now &+ share))
    }
    return target
  }
}

extension Machine {
  /// How the run is kept beside the host's time. A machine has none before this is asked for.
  public var pacing: Pacing {
    if let pacing = attendant as? Pacing { return pacing }
    let pacing = Pacing()
    attendant = pacing
    return pacing
  }

  /// What types and waits for text on its own, or nil.
  public var script: Script? {
    get { follower as? Script }
    set { follower = newValue }
  }
}
