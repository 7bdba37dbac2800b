// The last time that something happened.
//
// Owns: the search from the present backwards, one stretch between two snapshots after the other. Must not know: what is looked for.

import CPU

extension TimeTravel {
  /// Goes to the last stop of `conditions` before the present position.
  ///
  /// A breakpoint stops before its instruction, a watchpoint after the instruction that made the access.
  /// - Parameter accept: whether a stop counts; asked with the machine standing there, at each stop of a stretch in the order of time, the
  ///   latest stretch first. What it accepted last is where the machine is afterwards.
  /// - Returns: the stop; nil when there is none, the machine is then where it was.
  public func goBack(
    to conditions: DebugConditions,
    where accept: (RunExit, [DebugRecord]) -> Bool = { _, _ in true }
  ) throws(TimeTravelError) -> RunExit? {
    let start = position
    // Nothing is looked for: there is nothing to find.
    if conditions == DebugConditions() { return nil }
    machine.debugConditions = conditions
    defer { machine.debugConditions = DebugConditions() }
    var found: (exit: RunExit, at: UInt64)?
    var end = start
    do throws(TimeTravelError) {
      while found == nil, end > oldest, let index = latestSnapshot(before: end) {
        if !canSkip(conditions, from: index, end: end, start) {
          try restore(index)
          found = try lastStop(before: end, isPresent: end == start, accept)
        }
        end = instruction(ofSnapshot: index)
      }
    } catch {
      machine.debugConditions = DebugConditions()
      try returnTo(found?.at ?? start)
      throw error
    }
    machine.debugConditions = DebugConditions()
    try returnTo(found?.at ?? start)
    _ = machine.takeDebugRecords()
    return found?.exit
  }

  /// Runs to `end` and tells the last stop that counts.
  /// - Parameter isPresent: a stop at `end` itself is not before it.
  private func lastStop(
    before end: UInt64, isPresent: Bool, _ accept: (RunExit, [DebugRecord]) -> Bool
  ) throws(TimeTravelError) -> (exit: RunExit, at: UInt64)? {
    var found: (exit: RunExit, at: UInt64)?
    _ = machine.takeDebugRecords()
    while true {
      let before = position
      switch machine.run(untilInstruction: end) {
      case .debug(let exit):
        let records = machine.takeDebugRecords()
        if isPresent && position >= end { return found }
        if accept(exit, records) { found = (exit, position) }
      case .host(let reason): throw .interrupted(reason)
      case .replayDiffers(let what): throw .diverged(what)
      case let stop:
        // The run may have ended in between when it went through there the first time.
        if position >= end { return found }
        if position == before { throw .ended(stop) }
      }
    }
  }

  /// Whether nothing that is looked for can have happened: pages that were not written were not written.
  private func canSkip(
    _ conditions: DebugConditions, from index: Int, end: UInt64, _ start: UInt64
  ) -> Bool {
    // What was written since the latest snapshot is not known by page.
    guard end != start, !conditions.watchpoints.isEmpty else { return false }
    var others = conditions
    others.watchpoints = []
    guard others == DebugConditions(),
      conditions.watchpoints.allSatisfy({ $0.isPhysical && !$0.onRead })
    else { return false }
    return !conditions.watchpoints.contains {
      wasWritten($0.address, $0.length, after: index)
    }
  }

  private func returnTo(_ instruction: UInt64) throws(TimeTravelError) {
    guard let index = latestSnapshot(at: instruction) else {
      throw .beforeHistory(oldest: oldest)
    }
    // The state is that of a run with conditions, which keep translations out of the tables.
    try restore(index)
    try run(to: instruction)
  }
}
