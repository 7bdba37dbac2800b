// Several processors under one clock.
//
// Owns: whose turn it is, how long turns are, what a processor that waits for its turn has missed, starting those that wait to be started.
// Must not know: what processors execute, how one starts another (that is the interrupt controllers').
//
// Processors run one after the other, each for a turn. There is one count of instructions: what one retires counts for all, as if the
// others slept meanwhile; so virtual time never goes back, whoever looks at it, and an access is complete before anybody else's begins.
// A turn ends after `ProcessorTurns.length` instructions or where the processor sleeps. Whose turn it is depends on the counts alone, not
// on where a run is cut. A machine with one processor has no turns.

import Bus
import CPU
import State

/// Whose turn it is.
struct ProcessorTurns {
  /// Instructions in a turn.
  static let length: UInt64 = 1000

  /// The index of the processor that runs.
  var running = 0
  /// The count at which its turn ends.
  var end = UInt64.max
  /// Which take turns; the first does always.
  var isStarted: [Bool]
  /// For each, how many slow accesses of others (`PortSpace.isaAccessTime`) its time-stamp counter has not seen.
  var missed: [UInt64]
  /// What each has executed.
  var executed: [UInt64]

  init(_ count: Int) {
    isStarted = (0..<count).map { $0 == 0 }
    missed = [UInt64](repeating: 0, count: count)
    executed = missed
    if count > 1 { end = ProcessorTurns.length }
  }
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
  public func startProcessor(_ processor: Int) { turns.isStarted[processor] = true }

  /// The end of the running processor's present turn, for its deadline.
  var turnEnd: UInt64 {
    let end = turns.end
    // Where nobody can run, a turn may be over.
    return end == UInt64.max || end > running.instructionCount ? end : UInt64.max
  }

  /// Where the present turn ends, or nil where there is none.
  public var presentTurnEnd: UInt64? {
    turnEnd == UInt64.max ? nil : turnEnd
  }

  /// Runs the processor whose turn it is.
  func runTurn() -> RunExit {
    settleTurn()
    updateDeadline()
    let index = turns.running
    let (count, time) = (running.instructionCount, clock.now)
    running.s.pointee.place = ExecutionPlace.interpreter
    let exit = running.run()
    running.s.pointee.place = ExecutionPlace.devices
    let now = running.instructionCount
    turns.executed[index] &+= now &- count
    // What slow accesses took beyond the instructions; rounding is far below half of one.
    let passed =
      clock.now &- time
      &- (clock.nanoseconds(atInstruction: now) &- clock.nanoseconds(atInstruction: count))
    let accesses = (passed &+ PortSpace.isaAccessTime / 2) / PortSpace.isaAccessTime
    if accesses < 1 << 40 {
      for n in processors.indices where n != index { turns.missed[n] &+= accesses }
    }
    switch exit {
    case .deadline, .stopRequested, .halted:
      settleTurn()
      return exit == .halted && running.canRun ? .deadline : exit
    // A debugger wants to see who it was.
    default: return exit
    }
  }

  /// Gives the turn to the next processor that can run, where the present one's is over.
  func settleTurn() {
    let count = running.instructionCount
    if count < turns.end && running.canRun { return }
    for step in 1...processors.count {
      let next = (turns.running + step) % processors.count
      if turns.isStarted[next] && processors[next].canRun {
        turns.end = count &+ ProcessorTurns.length
        giveTurn(to: next, at: count)
        return
      }
    }
  }

  /// After a reset only the first runs.
  func restartTurns() {
    if processors.count == 1 { return }
    let count = running.instructionCount
    turns.isStarted = turns.isStarted.indices.map { $0 == 0 }
    turns.end = count &+ ProcessorTurns.length
    giveTurn(to: 0, at: count)
  }

  private func giveTurn(to index: Int, at count: UInt64) {
    if index == turns.running { return }
    follow(index)
    catchUp(index, to: count)
  }

  /// A processor waited until now.
  private func catchUp(_ index: Int, to count: UInt64) {
    let cpu = processors[index]
    let stamps = cpu.model.hertz / (1_000_000_000 / PortSpace.isaAccessTime)
    cpu.waited(to: count, stamps: turns.missed[index] &* stamps)
    turns.missed[index] = 0
  }

  /// All processors have waited until now: their time-stamp counters are about to be set, or to get another rate.
  func catchUpAll() {
    let count = running.instructionCount
    for n in processors.indices where n != turns.running { catchUp(n, to: count) }
  }

  /// The clock counts what this processor retires.
  private func follow(_ index: Int) {
    turns.running = index
    running = processors[index]
    clock.counter = running.instructionCounter
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
    writer.write(turns.end)
    for n in processors.indices {
      writer.write(turns.isStarted[n])
      writer.write(turns.missed[n])
      writer.write(turns.executed[n])
    }
  }

  func restoreTurns(from reader: inout StateReader) throws(StateError) {
    let index = Int(try reader.read(in: 0...UInt8(processors.count - 1)))
    turns.end = try reader.read()
    for n in processors.indices {
      turns.isStarted[n] = try reader.readBool()
      turns.missed[n] = try reader.read()
      turns.executed[n] = try reader.read()
    }
    if !turns.isStarted[index] { throw reader.error("a processor runs that was not started") }
    // Those that wait are behind, and a turn is short.
    let count = processors[index].instructionCount
    guard processors.allSatisfy({ $0.instructionCount <= count }),
      turns.end <= count &+ ProcessorTurns.length
    else { throw reader.error("a processor is ahead of the one that runs") }
    follow(index)
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
      try restoreTurns(from: &reader)
    }
  }

  func furtherVersion(_ index: Int) -> UInt16 {
    index + 1 < processors.count ? CPU.stateVersion : 1
  }
}
