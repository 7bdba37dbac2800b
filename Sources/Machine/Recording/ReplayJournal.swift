// What came from outside at which instruction: of a replayed recording, or kept so that the past can be run through again.
//
// Owns: the events in order, how far they were taken, the comparison of a replay with its recording. Must not know: devices, files.

/// The input of a run.
final class Journal {
  private(set) var entries: [JournalEntry]
  /// The first event that was not taken yet.
  private(set) var cursor = 0
  /// Nothing comes from outside but what is here.
  private(set) var isReplay: Bool
  /// The furthest that the run has come.
  var frontier: UInt64
  /// The names of the parts that checkpoints have hashes of.
  private let parts: [String]
  /// Events before this one were compared already.
  private var compared = 0
  private var lastAgreement: UInt64

  /// An empty one, for a run that goes on from an instruction.
  init(from instruction: UInt64) {
    entries = []
    isReplay = false
    frontier = instruction
    parts = []
    lastAgreement = instruction
  }

  /// A recording's.
  init(_ recording: Recording) {
    entries = recording.entries
    isReplay = true
    frontier = recording.firstInstruction
    parts = recording.header.parts
    lastAgreement = recording.firstInstruction
  }

  /// The event to come next.
  var next: JournalEntry? { cursor < entries.count ? entries[cursor] : nil }

  /// Whether input comes from here and not from outside.
  func replays(at instruction: UInt64) -> Bool {
    isReplay || cursor < entries.count || instruction < frontier
  }

  /// Where a run from an instruction on has to stop at the latest.
  func nextStop(after instruction: UInt64) -> UInt64 {
    let event = cursor < entries.count ? entries[cursor].instruction : UInt64.max
    return instruction < frontier ? min(event, frontier) : event
  }

  /// Where the recording ends; nil without a recording.
  var end: UInt64? { isReplay ? entries.last?.instruction ?? frontier : nil }

  /// Keeps input that came from outside.
  func add(_ input: MachineInput, at instruction: UInt64) {
    entries.append(JournalEntry(instruction: instruction, event: .input(input, check: 0)))
    cursor = entries.count
  }

  /// Something from outside changed the machine itself here.
  func addChange(at instruction: UInt64) {
    entries.append(JournalEntry(instruction: instruction, event: .change))
    cursor = entries.count
  }

  /// The next event is taken.
  func advance() { cursor += 1 }

  /// Back (or forward) to an earlier value of `cursor`.
  func rewind(to cursor: Int) { self.cursor = min(max(cursor, 0), entries.count) }

  /// What was still to come will not: the run goes another way from here on, with input from outside.
  func cut(at instruction: UInt64) {
    entries.removeSubrange(cursor...)
    frontier = instruction
    isReplay = false
    compared = min(compared, cursor)
  }

  // MARK: Comparing

  /// Compares the machine with what an event says of it.
  /// - Returns: nil when both agree, or what differs.
  func check(_ entry: JournalEntry, _ machine: Machine) -> String? {
    guard isReplay, cursor >= compared else { return nil }
    var differing: [String] = []
    switch entry.event {
    case .input(_, let check):
      if check != machine.processorCheck { differing = ["the processor"] }
    case .change: break
    case .checkpoint(let expected), .end(_, let expected):
      let found = machine.checkpoint()
      if found.memory != expected.memory { differing.append("memory") }
      if found.diskWrites != expected.diskWrites { differing.append("what was written to disks") }
      for (n, name) in parts.enumerated()
      where n < found.parts.count && n < expected.parts.count
        && found.parts[n] != expected.parts[n]
      {
        differing.append(name)
      }
      if found.cs != expected.cs || found.eip != expected.eip {
        differing.append(
          "CS:EIP is \(address(found)) and was \(address(expected))")
      }
    }
    if differing.isEmpty {
      compared = cursor + 1
      lastAgreement = entry.instruction
      return nil
    }
    return "at instruction \(entry.instruction) the replay differs from the recording in "
      + differing.joined(separator: ", ")
      + "; both agreed at instruction \(lastAgreement)"
  }

  private func address(_ checkpoint: Checkpoint) -> String {
    "\(hexText(UInt64(checkpoint.cs))):\(hexText(UInt64(checkpoint.eip)))"
  }

  /// The guest ended by itself: the recording must end here too.
  func checkEnd(_ machine: Machine) -> String? {
    guard let entry = next else { return nil }
    let count = machine.instructionCount
    if case .end = entry.event, entry.instruction == count { return check(entry, machine) }
    return "the guest ended at instruction \(count), but the recording goes on to "
      + "instruction \(entries.last?.instruction ?? count)"
  }
}
