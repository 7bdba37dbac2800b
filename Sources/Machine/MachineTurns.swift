// Several processors under one clock.
//
// Owns: whose turn it is, how long turns are, when a processor gives its own away, starting those that wait to be started.
// Must not know: what processors execute, how one starts another (that is the interrupt controllers').
//
// Processors run one after the other, and an access is complete before anybody else's begins. A round gives each processor that can run a
// part of `ProcessorTurns.length` instructions. All parts of a round happen at once as far as the guest's clocks go, so with n parts n
// instructions count as one (`VirtualClock.setSharers`), and part k covers the k-th piece of the round's time: what a device or a
// time-stamp counter shows never goes back, whoever looks. There is one count, of what all retire and of what time passes in sleep.
//
// Who waits for a lock would find it held whenever it looks, where the holder releases it and takes it again many times in a part. For some
// rounds after anybody waited, an STI that sets IF therefore ends a part, too: locks of systems that turn interrupts off are free there.
//
// Who sleeps (HLT) or waits for another (PAUSE) leaves the rest of its part, whose time passes without instructions, as otherwise the
// others would run ahead of the clock. Who can run alone has no parts: it runs until another can, too. Whose turn it is depends on the
// counts and the processors' states alone, not on where a run is cut. A machine with one processor has no turns.

import Bus
import CPU
import State

/// Whose turn it is.
struct ProcessorTurns {
  /// Instructions in a part of a round.
  static let length: UInt64 = 2000
  /// The same of a processor that is alone, which another's waking cuts.
  static let lengthAlone: UInt64 = 1 << 16
  /// So many rounds after one in which anybody waited STI gives way.
  static let contendedRounds: UInt8 = 64

  /// The index of the processor that runs.
  var running = 0
  /// Who takes part in the present round, a bit each; 0: there is none.
  var sharing: UInt32 = 0
  /// The count at which the present part ends.
  var end = UInt64.max
  /// It has given the rest of its part away.
  var hasYielded = false
  /// How many rounds STI still gives way.
  var contention: UInt8 = 0
  /// Which take turns; the first does always.
  var isStarted: [Bool]
  /// For each, its time-stamp counter without the ticks since power-on.
  var stampOffset: [UInt64]
  /// What each has executed.
  var executed: [UInt64]

  init(_ count: Int) {
    isStarted = (0..<count).map { $0 == 0 }
    stampOffset = [UInt64](repeating: 0, count: count)
    executed = stampOffset
  }

  /// One processor has the round for itself.
  var isAlone: Bool { sharing & (sharing &- 1) == 0 }
}

extension Machine {
  /// The index of the processor whose turn it is.
  public var runningProcessor: Int { turns.running }

  /// The number of instructions retired since power-on, by all processors.
  public var instructionCount: UInt64 { running.instructionCount }

  /// The counters of all processors together.
  public var executionReport: ExecutionReport {
    var report = cpu.executionReport
    for other in processors.dropFirst() { report.add(other.executionReport) }
    if processors.count > 1 { report.instructions = executedInstructions }
    return report
  }

  /// How many instructions a processor has executed.
  public func executedInstructions(of processor: Int) -> UInt64 {
    processors.count == 1 ? executedInstructions : turns.executed[processor]
  }

  /// Whether a processor takes turns; all but the first wait after a reset until they are started.
  public func isStarted(_ processor: Int) -> Bool { turns.isStarted[processor] }

  /// Lets a processor take turns, from its state as it is; for who holds the machine still, or a device.
  public func startProcessor(_ processor: Int) {
    turns.isStarted[processor] = true
    processorWoke(processor)
  }

  /// A processor may be able to run that could not.
  func processorWoke(_ processor: Int) {
    if turns.isAlone && processor != turns.running { running.requestStop() }
  }

  /// The end of the running processor's present part, for its deadline.
  var turnEnd: UInt64 {
    let end = turns.end
    // Where nobody can run, a part may be over.
    return end == UInt64.max || end > running.instructionCount ? end : UInt64.max
  }

  /// Where the present part ends, or nil where there is none.
  public var presentTurnEnd: UInt64? {
    turnEnd == UInt64.max ? nil : turnEnd
  }

  /// Runs processors in turns until the run loop has something to do.
  func runTurns() -> RunExit {
    while true {
      let exit = runTurn()
      if exit != .deadline || !requests.isEmpty || instructionCount >= sliceEnd { return exit }
      if min(clock.nextDeadline, lookTime) <= clock.now { return exit }
    }
  }

  /// Runs the processor whose turn it is, or lets the time of its part pass.
  private func runTurn() -> RunExit {
    if !settleTurn() { return .halted }
    let index = turns.running
    if !turns.isAlone && (turns.hasYielded || !running.canRun) {
      let due = clock.instruction(atNanoseconds: min(clock.nextDeadline, lookTime))
      sleep(until: min(min(sliceEnd, turns.end), due))
      return .deadline
    }
    updateDeadline()
    let count = running.instructionCount
    running.s.pointee.givesWay = !turns.isAlone
    running.s.pointee.givesWayAtSTI = !turns.isAlone && turns.contention != 0
    running.s.pointee.place = ExecutionPlace.interpreter
    let exit = running.run()
    running.s.pointee.place = ExecutionPlace.devices
    turns.executed[index] &+= running.instructionCount &- count
    if running.timeStampsWritten {
      running.timeStampsWritten = false
      turns.stampOffset[index] =
        running.timeStampCounter &- clock.ticks(hertz: running.model.hertz)
    }
    if running.gaveWay {
      running.gaveWay = false
      turns.hasYielded = true
      if running.waited {
        running.waited = false
        turns.contention = ProcessorTurns.contendedRounds
      }
      if exit == .stopRequested { return .deadline }
    }
    switch exit {
    case .halted: return .deadline
    // A debugger wants to see who it was.
    default: return exit
    }
  }

  /// Gives the turn to the next processor, where the present one's is over.
  /// - Returns: no where nobody can run.
  @discardableResult
  func settleTurn() -> Bool {
    let count = running.instructionCount
    let index = turns.running
    if turns.sharing != 0, count < turns.end, turns.isStarted[index] {
      if !turns.isAlone { return true }
      if running.canRun && !otherCanRun(than: index) { return true }
    }
    if !turns.isAlone {
      var next = index + 1
      while next < processors.count {
        if turns.sharing >> UInt32(next) & 1 != 0, turns.isStarted[next], processors[next].canRun {
          giveTurn(to: next, at: count, length: partLength)
          return true
        }
        next += 1
      }
    }
    // Another round.
    var sharing: UInt32 = 0
    for n in processors.indices where turns.isStarted[n] && processors[n].canRun {
      sharing |= 1 << UInt32(n)
    }
    if sharing == 0 {
      // Once: how often anybody asks must not show.
      if turns.sharing != 0 {
        turns.sharing = 0
        turns.end = UInt64.max
        turns.hasYielded = false
        clock.setSharers(1)
        takeUpTime()
      }
      return false
    }
    turns.sharing = sharing
    if turns.contention != 0 { turns.contention &-= 1 }
    clock.setSharers(sharing.nonzeroBitCount)
    giveTurn(
      to: sharing.trailingZeroBitCount, at: count,
      length: partLength)
    return true
  }

  private var partLength: UInt64 {
    turns.isAlone || apics?.areApart == true ? ProcessorTurns.lengthAlone : ProcessorTurns.length
  }

  private func otherCanRun(than index: Int) -> Bool {
    for n in processors.indices where n != index && turns.isStarted[n] && processors[n].canRun {
      return true
    }
    return false
  }

  /// After a reset only the first runs, and those that have not taken it.
  func restartTurns(keeping held: Set<Int> = []) {
    if processors.count == 1 { return }
    let count = running.instructionCount
    turns.isStarted = turns.isStarted.indices.map {
      $0 == 0 || held.contains($0) && turns.isStarted[$0]
    }
    turns.sharing = 1
    turns.contention = 0
    clock.setSharers(1)
    giveTurn(
      to: 0, at: count,
      length: held.isEmpty ? ProcessorTurns.lengthAlone : ProcessorTurns.length)
  }

  private func giveTurn(to index: Int, at count: UInt64, length: UInt64) {
    turns.end = count &+ length
    turns.hasYielded = false
    if index != turns.running {
      follow(index)
      running.waited(to: count)
    }
    takeUpTime()
  }

  /// The running processor's time-stamp counter and the time its slow accesses take are as the clock has it now.
  func takeUpTime() {
    let index = turns.running
    let hertz = running.model.hertz
    let stamps = turns.stampOffset[index] &+ clock.ticks(hertz: hertz)
    let bus = buses[index]
    if bus.countsPerSecond == clock.countsPerSecond {
      running.setTimeStamps(stamps)
    } else {
      running.setTimeStamps(stamps, hertz: hertz, countsPerSecond: clock.countsPerSecond)
      bus.rateChanged(processorHertz: hertz)
    }
  }

  /// All processors have waited until now: they are about to be changed from outside.
  func catchUpAll() {
    let count = running.instructionCount
    for n in processors.indices where n != turns.running { processors[n].waited(to: count) }
  }

  /// The time-stamp counters were reset.
  func stampsWereReset() {
    for n in processors.indices {
      turns.stampOffset[n] = 0 &- clock.ticks(hertz: processors[n].model.hertz)
    }
  }

  /// The clock counts what this processor retires.
  private func follow(_ index: Int) {
    turns.running = index
    running = processors[index]
    clock.counter = running.instructionCounter
    apics?.current = index
  }

  // MARK: Starting

  /// INIT of one processor: the first starts anew, others wait to be started.
  func initialize(_ index: Int) {
    catchUpAll()
    // In system management mode it comes again when that ends.
    if processors[index].holdsInit() { return }
    apics?.all[index].initialize()
    processors[index].reset(isInit: true)
    processors[index].a20 = gate.output.level
    setInterruptRequest(index)
    turns.isStarted[index] = index == 0
    processorWoke(index)
  }

  /// A start-up message: a processor that waits for one begins at a page of the first megabyte.
  func start(_ index: Int, page: UInt8) {
    if turns.isStarted[index] { return }
    processors[index].begin(page: page)
    startProcessor(index)
  }

  // MARK: Debugging

  /// What a debugger waits for, in whichever processor it happens.
  public var debugConditions: DebugConditions {
    get { cpu.debugConditions }
    set { for cpu in processors { cpu.debugConditions = newValue } }
  }

  /// What happened since this was last called: of the processor that ran last, or of bus masters.
  public func takeDebugRecords() -> [DebugRecord] {
    let records = running.takeDebugRecords()
    // What bus masters wrote was noted for each.
    for cpu in processors where cpu !== running { cpu.forgetDebugEvents() }
    return records
  }

  /// The instruction that is next runs without stopping at its breakpoint.
  public func skipBreakpointsOnce() { running.skipBreakpointOnce() }

  // MARK: State

  func saveTurns(to writer: inout StateWriter) {
    writer.write(UInt8(turns.running))
    writer.write(turns.sharing)
    writer.write(turns.end)
    writer.write(turns.hasYielded)
    writer.write(turns.contention)
    clock.saveSharing(to: &writer)
    for n in processors.indices {
      writer.write(turns.isStarted[n])
      writer.write(turns.stampOffset[n])
      writer.write(turns.executed[n])
    }
  }

  func restoreTurns(from reader: inout StateReader, version: UInt16) throws(StateError) {
    let index = Int(try reader.read(in: 0...UInt8(processors.count - 1)))
    turns.sharing = try reader.read(in: 0...UInt32(UInt64(1) << UInt64(processors.count) - 1))
    turns.end = try reader.read()
    turns.hasYielded = try reader.readBool()
    turns.contention =
      version < 3 ? 0 : try reader.read(in: 0...ProcessorTurns.contendedRounds)
    try clock.restoreSharing(from: &reader)
    for n in processors.indices {
      turns.isStarted[n] = try reader.readBool()
      turns.stampOffset[n] = try reader.read()
      turns.executed[n] = try reader.read()
    }
    // Those that wait are behind, and a part is short.
    let count = processors[index].instructionCount
    guard processors.allSatisfy({ $0.instructionCount <= count }),
      turns.end == UInt64.max || turns.end <= count &+ ProcessorTurns.lengthAlone,
      clock.sharers == UInt64(max(turns.sharing.nonzeroBitCount, 1))
    else { throw reader.error("a processor is ahead of the one that runs") }
    follow(index)
    for bus in buses { bus.forgetRate() }
    buses[index].rateChanged(processorHertz: running.model.hertz)
  }

  /// The sections of states that a machine with several processors has behind that of the first.
  var furtherParts: [String] {
    processors.count == 1
      ? [] : board.sockets(.processor).dropFirst().map(\.name) + ["turns"]
  }

  /// Saves one of them.
  func saveFurther(_ index: Int, to writer: inout StateWriter) {
    if index + 1 < processors.count {
      processors[index + 1].save(to: &writer)
    } else {
      saveTurns(to: &writer)
    }
  }

  func restoreFurther(_ index: Int, from reader: inout StateReader, version: UInt16)
    throws(StateError)
  {
    if index + 1 < processors.count {
      try processors[index + 1].restore(from: &reader, version: version)
    } else {
      if version < 2 { throw reader.error("turns of an older version") }
      try restoreTurns(from: &reader, version: version)
    }
  }

  func furtherVersion(_ index: Int) -> UInt16 {
    index + 1 < processors.count ? CPU.stateVersion : 3
  }
}
