// The machine's own time travel as what the console goes back with.
//
// Owns: the adaptation. Must not know: snapshots.

import CPU
import Machine

/// Goes back by snapshots and running again.
final class History: ReverseControl {
  private let machine: Machine
  private let megabytes: Int
  /// Another one after the machine has become what it was at a snapshot.
  private var travel: TimeTravel { machine.enableTimeTravel(megabytes: megabytes) }

  init(_ machine: Machine, megabytes: Int) {
    self.machine = machine
    self.megabytes = megabytes
    _ = travel
  }

  var range: ClosedRange<UInt64> { min(travel.oldest, travel.position)...travel.frontier }

  func go(to instruction: UInt64) throws { try travel.goto(instruction) }

  func goBack(
    to conditions: DebugConditions, where accept: (RunExit, [DebugRecord]) -> Bool
  ) throws -> RunExit? {
    try travel.goBack(to: conditions, where: accept)
  }

  func wasChanged() { machine.wasChanged() }

  var status: String {
    "history from #\(travel.oldest) to #\(travel.frontier), \(travel.snapshotCount) snapshots, "
      + "\(travel.byteCount >> 10) KB"
  }
}

extension Debugger {
  /// Keeps the past of the machine from here on, so that the console can go back in it.
  public func keepHistory(megabytes: Int = 256) {
    reverse = History(machine, megabytes: megabytes)
  }
}
