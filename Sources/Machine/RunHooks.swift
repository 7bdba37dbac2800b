// Where somebody may stand beside a run: what follows the guest, and what keeps the run beside the world outside.
//
// Owns: the two protocols and the places of the run loop that they are asked at. Must not know: who it is, the time of day.
// A follower is part of the run: it acts at fixed virtual times and does the same in every run. An attendant is not: whatever it does
// (sleeping, showing, passing output on) leaves the guest as it would have been without it.

/// Follows the guest through a run at fixed virtual times, and may give it input or end it.
public protocol RunFollower: AnyObject {
  /// Where its input goes; nil: to the machine it looks at.
  var enter: ((MachineInput) -> Void)? { get set }
  /// How often it looks, in virtual nanoseconds.
  var interval: UInt64 { get }
  /// It has nothing more to look for.
  var isFinished: Bool { get }

  /// It follows this machine from now on.
  func attach(to machine: Machine)
  /// It follows no machine any more.
  func detach()
  /// Looks at the machine between two instructions.
  /// - Returns: why the run ends, if it does.
  func look(at machine: Machine) -> StopReason?
  /// The guest has halted or turned the machine off; all it sent has left.
  /// - Returns: why the run ends, if there is more to say than that.
  func guestEnded(_ machine: Machine) -> StopReason?
}

/// Attends to a run for somebody: holds it back, shows it, passes on what it sends. Everything happens on the machine's thread, between
/// two slices. Nothing is asked while the past is run through again.
public protocol RunAttendant: AnyObject {
  /// Whether a guest that nothing in the machine can wake is kept all the same, for a reset from outside.
  var keepsHaltedMachine: Bool { get }

  /// The processor begins to run. Not in a replay, which has its own rates.
  func sliceBegins(_ machine: Machine)
  /// The processor ran so many instructions without halting. Not in a replay.
  func sliceEnds(_ machine: Machine, ran instructions: UInt64)
  /// Between two slices; where a guest is to be held back, it waits here.
  func turn(_ machine: Machine)
  /// The guest sleeps, at most until a count of instructions (`UInt64.max`: nothing is due).
  /// - Returns: up to where it has slept; nil: nobody waits for it, its time passes at once.
  func sleep(_ machine: Machine, until target: UInt64, replays: Bool) -> UInt64?
  /// What the machine shows is looked at: output is being passed on.
  func show(_ machine: Machine)
  /// Virtual time has jumped, or the machine stood still.
  func timeJumped()
}
