// Back in time: to any instruction that was executed since this was switched on.
//
// Owns: when snapshots are taken, how a place in the past is reached, what happens when the past is changed. Must not know: consoles,
// protocols. A place is reached from the snapshot before it by running again; virtual time and the journal make that exact.
//
// Instructions are numbered by the processor's count of retired instructions: at position n, n have been retired, the next is number n.

import CPU
import Host
import State
import Storage

/// Why a place in the past was not reached.
public enum TimeTravelError: Error, Equatable, CustomStringConvertible {
  /// Nothing is known before this instruction.
  case beforeHistory(oldest: UInt64)
  /// The user or a signal ended it on the way; the machine is somewhere in between.
  case interrupted(HostStop)
  /// The run ended before the place.
  case ended(StopReason)
  /// Running again did something else: a mistake of the emulator.
  case diverged(String)
  /// A part of the machine did not take back what it had saved: a mistake of the emulator. The machine is where it was, or does not run
  /// any more.
  case refused(String)

  public var description: String {
    switch self {
    case .beforeHistory(let oldest): "the history begins at instruction \(oldest)"
    case .interrupted: "interrupted"
    case .ended(let stop): "the run ends before that (\(stop))"
    case .diverged(let what): "running again went another way: \(what)"
    case .refused(let what): "a snapshot cannot be put back: \(what)"
    }
  }
}

/// Goes back and forth in a machine's run. Used on the machine's thread, between runs.
public final class TimeTravel {
  unowned let machine: Machine
  private let journal: Journal
  private let store: SnapshotStore
  /// The most memory that snapshots take, in bytes.
  public var budget: Int

  private var lastExecuted: UInt64
  private var lastTime: UInt64
  /// What the last two snapshots took.
  private var lastCost: UInt64 = 0
  private var costBefore: UInt64 = 0
  /// Nanoseconds of the host that snapshots have taken so far, the first one aside.
  public private(set) var snapshotNanoseconds: UInt64 = 0

  /// The host's time that this process has used: how busy the host is otherwise does not matter.
  private static func now() -> UInt64 { HostClock.processNanoseconds() }

  /// The least number of executed instructions between two looks at the host's clock.
  private static let lookInterval: UInt64 = 500_000
  /// How much of the host's time lies between two snapshots, in nanoseconds: what a step back has to run again at most.
  private static let interval: UInt64 = 120_000_000
  /// And how many times a snapshot's cost, so that snapshots take less than a twentieth of the time.
  private static let costFactor: UInt64 = 25

  init(_ machine: Machine, journal: Journal, budget: Int) {
    self.machine = machine
    self.journal = journal
    self.budget = budget
    store = SnapshotStore(machine)
    lastExecuted = machine.executedInstructions
    lastTime = TimeTravel.now()
    for disk in machine.disks { disk.startTracking() }
    take()
    // The first one looks at all of memory; the others are for what was written since.
    lastCost = 0
    snapshotNanoseconds = 0
  }

  // MARK: Where

  /// The instruction the machine is at.
  public var position: UInt64 { machine.instructionCount }
  /// The first instruction that can be gone back to.
  public var oldest: UInt64 { store.snapshots.first?.instruction ?? position }
  /// The furthest instruction of the run so far; before it input comes from the journal and output is not repeated.
  public var frontier: UInt64 { max(journal.frontier, position) }
  /// Whether the machine is in its past.
  public var isInPast: Bool { position < journal.frontier }
  /// How many snapshots there are.
  public var snapshotCount: Int { store.snapshots.count }
  /// The memory they take, in bytes.
  public var byteCount: Int { store.byteCount }
  /// Whether an image file is written only by `commitDisks` since this was switched on.
  public var holdsDiskWritesBack: Bool { machine.disks.contains { $0.isHeldBack } }

  // MARK: Snapshots

  private func take() {
    let start = TimeTravel.now()
    store.take(cursor: journal.cursor)
    store.thin(to: budget, position: machine.executedInstructions)
    lastExecuted = machine.executedInstructions
    lastTime = TimeTravel.now()
    costBefore = lastCost
    lastCost = lastTime &- start
    snapshotNanoseconds &+= lastCost
  }

  /// Called by the run loop where a snapshot may be taken.
  func considerSnapshot() {
    if machine.executedInstructions &- lastExecuted < TimeTravel.lookInterval { return }
    // A single dear one (a kernel has been unpacked) says nothing of the next.
    let cost = min(lastCost, costBefore)
    let least = max(TimeTravel.interval, TimeTravel.costFactor &* cost)
    if TimeTravel.now() &- lastTime >= least { take() }
  }

  /// Takes a snapshot here, so that this place is quickly reached again.
  public func mark() { take() }

  // MARK: Going

  /// Makes the machine what it was at an instruction. Beyond the frontier it runs on.
  public func goto(_ instruction: UInt64) throws(TimeTravelError) {
    guard let index = store.index(before: instruction) else {
      throw .beforeHistory(oldest: oldest)
    }
    let isBack = instruction < position
    if isBack || store.snapshots[index].instruction > position { try restore(index) }
    // When going back the next wish is likely to be just before this one.
    if isBack {
      for distance in [8_000_000, 400_000, 20_000, 1_000] as [UInt64] {
        guard instruction >= distance, instruction - distance > position + distance else {
          continue
        }
        try run(to: instruction - distance)
        take()
      }
    }
    try run(to: instruction)
  }

  /// Back by a number of instructions.
  public func stepBack(_ count: UInt64 = 1) throws(TimeTravelError) {
    let position = position
    guard position >= count, position - count >= oldest else {
      throw .beforeHistory(oldest: oldest)
    }
    try goto(position - count)
  }

  func restore(_ index: Int) throws(TimeTravelError) {
    let snapshot = store.snapshots[index]
    journal.frontier = max(journal.frontier, position)
    do throws(StateError) { try store.restore(index) } catch {
      throw .refused(machine.damage.map { "\($0) (at first: \(error))" } ?? error.description)
    }
    journal.rewind(to: snapshot.cursor)
    machine.attendant?.timeJumped()
    lastExecuted = snapshot.executed
    lastTime = TimeTravel.now()
  }

  /// Runs forward to an instruction, whatever the run ended with on the way when it went through there the first time.
  func run(to instruction: UInt64) throws(TimeTravelError) {
    while position < instruction {
      let before = position
      let stop = machine.run(untilInstruction: instruction)
      if position >= instruction { return }
      switch stop {
      case .host(let reason): throw .interrupted(reason)
      case .replayDiffers(let what): throw .diverged(what)
      case .recordingEnd: throw .ended(stop)
      default: if position == before { throw .ended(stop) }
      }
    }
  }

  // MARK: Changing the past

  /// To be called after something but the run has changed the machine (a debugger wrote memory or a register): the run goes another way
  /// from here on, and what is known of its future is forgotten. A recording ends here; a replay becomes a run of its own.
  public func diverge() {
    machine.finishRecording(.host(.user))
    journal.cut(at: position)
    store.removeAll(after: position, cursor: journal.cursor)
    // Whoever comes through here again must find the change: it is kept as a snapshot that the journal leads to.
    journal.addChange(at: position)
    store.take(cursor: journal.cursor, isPinned: true)
  }

  /// Input is about to be let in here that is not part of the known future: that is forgotten.
  func forgetFuture() {
    guard journal.replays(at: position) else { return }
    machine.finishRecording(.host(.user))
    journal.cut(at: position)
    store.removeAll(after: position, cursor: journal.cursor)
  }

  /// The run has come to a change in its past: from here on the machine is what the change made of it.
  func repeatChange(cursor: Int) -> Bool {
    guard
      let index = store.snapshots.firstIndex(where: { $0.isPinned && $0.cursor == cursor })
    else { return false }
    do throws(TimeTravelError) { try restore(index) } catch { return false }
    return true
  }

  /// Writes to image files what was held back since this was switched on, as the guest sees its disks now.
  public func commitDisks() throws(StorageError) {
    for disk in machine.disks { try disk.commit() }
  }

  // MARK: For the search

  func latestSnapshot(at instruction: UInt64) -> Int? { store.index(before: instruction) }

  func latestSnapshot(before instruction: UInt64) -> Int? {
    instruction == 0 ? nil : store.index(before: instruction - 1)
  }

  func instruction(ofSnapshot index: Int) -> UInt64 { store.snapshots[index].instruction }

  /// Whether any of the pages of a physical range was written between a snapshot and the next.
  func wasWritten(_ address: UInt64, _ length: UInt64, after index: Int) -> Bool {
    guard index + 1 < store.snapshots.count else { return true }
    let first = address >> 12
    let last = (address &+ length &- 1) >> 12
    let pages = store.snapshots[index + 1].pages
    var low = 0
    var high = pages.count
    while low < high {
      let middle = (low + high) / 2
      if pages[middle] < first { low = middle + 1 } else { high = middle }
    }
    return low < pages.count && pages[low] <= last
  }
}

extension Machine {
  /// Switches going back in time on, from the present instruction on.
  /// - Parameter megabytes: the most memory for snapshots; at least 16.
  ///
  /// Images that are files are not written from now on: writes gather in memory until `TimeTravel.commitDisks`, which
  /// whoever ends the run has to call for them to last.
  @discardableResult
  public func enableTimeTravel(megabytes: Int = 256) -> TimeTravel {
    if let timeTravel { return timeTravel }
    let journal = journal ?? Journal(from: instructionCount)
    self.journal = journal
    let travel = TimeTravel(self, journal: journal, budget: max(megabytes, 16) << 20)
    timeTravel = travel
    return travel
  }

  /// The machine has become another one's past or future: what is known of its own is forgotten, and a new past begins here.
  func startPastAgain() {
    guard let budget = timeTravel?.budget else { return }
    timeTravel = nil
    journal = nil
    for disk in disks { disk.forgetBefore() }
    enableTimeTravel(megabytes: budget >> 20)
  }

  /// Writes to image files what a debugger held back, for who needs them as the guest sees them.
  public func commitHeldDisks() throws(StorageError) { try timeTravel?.commitDisks() }

  /// Image files were made what they were at another time: what was held back above them means nothing any more.
  public func imageFilesWereReplaced() { for disk in disks { disk.startOver() } }

  /// The same when they have been written.
  public func imageFilesAreWritten() { for disk in disks { disk.relyOnFileAgain() } }

  /// Lets something from outside in at once, for who holds the machine still: keys typed, the reset button pressed. In the past, or in
  /// a replay, the run goes another way from here on.
  public func act(_ event: MachineInput) {
    if let timeTravel {
      timeTravel.forgetFuture()
    } else if let journal, journal.replays(at: instructionCount) {
      journal.cut(at: instructionCount)
    }
    take(event)
  }

  /// To be called after something but the run has changed the machine: memory, a register.
  public func wasChanged() {
    if let timeTravel {
      timeTravel.diverge()
    } else {
      finishRecording(.host(.user))
      journal?.cut(at: instructionCount)
    }
  }
}
