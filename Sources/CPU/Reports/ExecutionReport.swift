// What happened while guest code ran, for `--stats`.
//
// Owns: the counters and their summary. Must not know: time; who samples `CPUState.place` does.

/// What the machine is doing at a moment; kept in `CPUState.place`.
public enum ExecutionPlace {
  public static let interpreter: UInt8 = 0
  public static let code: UInt8 = 1
  public static let translation: UInt8 = 2
  public static let devices: UInt8 = 3
  public static let idle: UInt8 = 4
  public static let names = ["interpreter", "translated code", "translation", "devices", "idle"]
}

/// Counters of a run.
public struct ExecutionReport: Sendable {
  /// An operation that translated code left to the interpreter.
  public struct SlowPath: Sendable {
    public var name: String
    public var hasMemory: Bool
    public var count: UInt64
  }
  /// Instructions executed, without the time in HLT.
  public var instructions: UInt64
  /// Those that translated code had interpreted.
  public var interpretedFromCode: Int
  /// Of those: raised an exception; were the first to meet, at their place, what the window of plain memory does not show; wrote over
  /// decoded code.
  public var faultsFromCode: Int
  public var windowMisses: Int
  public var overwrites: Int
  /// Entries made in the tables of the fast path, and reads and writes of devices' memory.
  public var tableFills: Int
  /// How often CR3 was loaded under paging, and how often all code known of the address space was where it had been.
  public var spaceLoads: UInt64
  public var spaceReturns: UInt64
  public var deviceAccesses: UInt64
  /// How often translated code was entered from the run loop.
  public var codeEntries: Int
  public var decodedBlocks: Int
  public var translatedBlocks: Int
  public var translatedInstructions: Int
  /// Blocks that writes dropped, and how often everything was dropped.
  public var invalidations: Int
  public var flushes: Int
  /// The commonest ones first.
  public var slowPaths: [SlowPath]

  /// Adds what another processor of the machine did; accesses to devices' memory are counted for all already.
  public mutating func add(_ other: ExecutionReport) {
    interpretedFromCode += other.interpretedFromCode
    faultsFromCode += other.faultsFromCode
    windowMisses += other.windowMisses
    overwrites += other.overwrites
    tableFills += other.tableFills
    spaceLoads += other.spaceLoads
    spaceReturns += other.spaceReturns
    codeEntries += other.codeEntries
    decodedBlocks += other.decodedBlocks
    translatedBlocks += other.translatedBlocks
    translatedInstructions += other.translatedInstructions
    invalidations += other.invalidations
    flushes += other.flushes
    for slow in other.slowPaths {
      if let n = slowPaths.firstIndex(where: {
        $0.name == slow.name && $0.hasMemory == slow.hasMemory
      }) {
        slowPaths[n].count += slow.count
      } else {
        slowPaths.append(slow)
      }
    }
    slowPaths.sort { ($0.count, $1.name) > ($1.count, $0.name) }
  }
}

extension CPU {
  /// The counters now.
  public var executionReport: ExecutionReport {
    var slow: [String: ExecutionReport.SlowPath] = [:]
    for (n, entry) in OpcodeTable.shared.entries.enumerated() {
      for memory in [0, 1] where slowCounts[2 * n + memory] > 0 {
        let name = "\(entry.op)"
        let key = name + (memory == 1 ? " m" : "")
        slow[key, default: .init(name: name, hasMemory: memory == 1, count: 0)].count +=
          slowCounts[2 * n + memory]
      }
    }
    return ExecutionReport(
      instructions: instructionCount &- statistics.idleInstructions,
      interpretedFromCode: statistics.interpretedFromCode,
      faultsFromCode: statistics.faultsFromCode, windowMisses: statistics.windowMisses,
      overwrites: statistics.overwrites, tableFills: statistics.tableFills,
      spaceLoads: spaces.loads, spaceReturns: spaces.returns,
      deviceAccesses: memory.deviceAccesses, codeEntries: statistics.codeEntries,
      decodedBlocks: blocks.decodedBlocks, translatedBlocks: statistics.translatedBlocks,
      translatedInstructions: statistics.translatedInstructions,
      invalidations: blocks.invalidations, flushes: blocks.flushes,
      slowPaths: slow.values.sorted { ($0.count, $1.name) > ($1.count, $0.name) })
  }
}
