// Berkeley TestFloat's operations on 80-bit values, carried out by guest code.
//
// Owns: the names of operations, the x87 instructions for each, TestFloat's hexadecimal fields, running many vectors at once.
// Must not know: files.
// Follows: TestFloat 3e's documentation (operand and flag encoding); Intel SDM volume 2 (the instructions).

import CPU
import Host

/// Bits of the x87's status word.
private enum StatusWord {
  static let invalid: UInt16 = 1 << 0
  static let zeroDivide: UInt16 = 1 << 2
  static let overflow: UInt16 = 1 << 3
  static let underflow: UInt16 = 1 << 4
  static let precision: UInt16 = 1 << 5
  static let c0: UInt16 = 1 << 8
  static let c2: UInt16 = 1 << 10
  static let c3: UInt16 = 1 << 14
}

/// One of TestFloat's functions on 80-bit values.
public enum TestFloatOperation: String, Sendable, CaseIterable {
  case add = "extF80_add"
  case subtract = "extF80_sub"
  case multiply = "extF80_mul"
  case divide = "extF80_div"
  case remainder = "extF80_rem"
  case squareRoot = "extF80_sqrt"
  case roundToInt = "extF80_roundToInt"
  case equal = "extF80_eq"
  case lessOrEqual = "extF80_le"
  case less = "extF80_lt"
  case equalSignaling = "extF80_eq_signaling"
  case lessOrEqualQuiet = "extF80_le_quiet"
  case lessQuiet = "extF80_lt_quiet"
  case toF32 = "extF80_to_f32"
  case toF64 = "extF80_to_f64"
  case toI32 = "extF80_to_i32"
  case toI64 = "extF80_to_i64"
  case fromF32 = "f32_to_extF80"
  case fromF64 = "f64_to_extF80"
  case fromI32 = "i32_to_extF80"
  case fromI64 = "i64_to_extF80"

  /// How many operands a line has.
  public var operandCount: Int {
    switch self {
    case .add, .subtract, .multiply, .divide, .remainder, .equal, .lessOrEqual, .less,
      .equalSignaling, .lessOrEqualQuiet, .lessQuiet:
      2
    default: 1
    }
  }

  /// Bytes of an operand in memory.
  private var operandSize: Int {
    switch self {
    case .fromF32, .fromI32: 4
    case .fromF64, .fromI64: 8
    default: 10
    }
  }

  /// Bytes of the result in memory; 0 where the condition codes tell it.
  fileprivate var resultSize: Int {
    switch self {
    case .toF32, .toI32: 4
    case .toF64, .toI64: 8
    case .equal, .lessOrEqual, .less, .equalSignaling, .lessOrEqualQuiet, .lessQuiet: 0
    default: 10
    }
  }

  /// The instructions from loading the operands of the record at ESI to storing the result in it.
  fileprivate var code: [UInt8] {
    let (a, b) = (UInt8(X87Runner.Record.first), UInt8(X87Runner.Record.second))
    let result = UInt8(X87Runner.Record.result)
    // FLD m80, twice; FSTP m80.
    let load: [UInt8] = [0xDB, 0x6E, a]
    let both: [UInt8] = [0xDB, 0x6E, b] + load
    let store: [UInt8] = [0xDB, 0x7E, result]
    switch self {
    case .add: return both + [0xD8, 0xC1] + store
    case .subtract: return both + [0xD8, 0xE1] + store
    case .multiply: return both + [0xD8, 0xC9] + store
    case .divide: return both + [0xD8, 0xF1] + store
    // FPREM1 until C2 is clear: FNSTSW AX; SAHF; JP.
    case .remainder: return both + [0xD9, 0xF5, 0xDF, 0xE0, 0x9E, 0x7A, 0xF9] + store
    case .squareRoot: return load + [0xD9, 0xFA] + store
    case .roundToInt: return load + [0xD9, 0xFC] + store
    // FUCOM for quiet comparisons, FCOM for the others.
    case .equal, .lessOrEqualQuiet, .lessQuiet: return both + [0xDD, 0xE1]
    case .equalSignaling, .lessOrEqual, .less: return both + [0xD8, 0xD1]
    case .toF32: return load + [0xD9, 0x5E, result]
    case .toF64: return load + [0xDD, 0x5E, result]
    case .toI32: return load + [0xDB, 0x5E, result]
    case .toI64: return load + [0xDF, 0x7E, result]
    case .fromF32: return [0xD9, 0x46, a] + store
    case .fromF64: return [0xDD, 0x46, a] + store
    case .fromI32: return [0xDB, 0x46, a] + store
    case .fromI64: return [0xDF, 0x6E, a] + store
    }
  }

  /// The bytes of operands given as hexadecimal fields, or nil when one is no number of the right size.
  func operandBytes(_ fields: ArraySlice<Substring>) -> [UInt8]? {
    guard fields.count == operandCount else { return nil }
    var bytes: [UInt8] = []
    for field in fields {
      let digits = Array(field.utf8)
      guard digits.count == 2 * operandSize else { return nil }
      for n in (0..<operandSize).reversed() {
        guard let high = X87Runner.digit(digits[2 * n]),
          let low = X87Runner.digit(digits[2 * n + 1])
        else { return nil }
        bytes.append(high << 4 | low)
      }
    }
    return bytes
  }

  /// The result's field, in upper case.
  fileprivate func text(_ result: ArraySlice<UInt8>, status: UInt16) -> String {
    if resultSize > 0 { return result.reversed().map { hexByte($0) }.joined() }
    if status & StatusWord.c2 != 0 { return "0" }
    let less = status & StatusWord.c0 != 0
    let equal = status & StatusWord.c3 != 0
    switch self {
    case .equal, .equalSignaling: return equal ? "1" : "0"
    case .lessOrEqual, .lessOrEqualQuiet: return less || equal ? "1" : "0"
    default: return less ? "1" : "0"
    }
  }
}

/// Runs vectors as guest code: a loop over records of operands, results and status words.
final class X87Runner {
  /// What became of a vector.
  struct Outcome: Equatable {
    var result: String
    /// TestFloat's order: 1 inexact, 2 underflow, 4 overflow, 8 infinite, 16 invalid.
    var flags: UInt8
  }

  /// Places in a record.
  fileprivate enum Record {
    static let size = 32
    static let first = 0
    static let second = 10
    static let result = 20
    static let status = 30
  }
  /// Vectors in one run.
  static let most = 1024
  private static let codeAt: UInt32 = 0x1000
  private static let controlAt: UInt32 = 0x2000
  private static let records: UInt32 = 0x1_0000
  private static let ram: UInt32 = 1 << 20

  private let processors: [(cpu: CPU, memory: PhysicalMemory)]
  private var operation: TestFloatOperation?

  /// - Throws: `HostError` when the host has no memory or forbids what the engine needs.
  init(model: CPUModel, engine: Engine, fpu: FPUUnit?) throws(HostError) {
    var made: [(CPU, PhysicalMemory)] = []
    for engine in engine.parts {
      let memory = try PhysicalMemory(ramSize: UInt64(X87Runner.ram))
      let cpu = try CPU(model: model, memory: memory, bus: SystemBus())
      try engine.equip(cpu, fpu: fpu)
      made.append((cpu, memory))
    }
    processors = made
  }

  fileprivate static func digit(_ character: UInt8) -> UInt8? {
    switch character {
    case 0x30...0x39: character - 0x30
    case 0x41...0x46: character - 0x37
    case 0x61...0x66: character - 0x57
    default: nil
    }
  }

  private func put(_ memory: PhysicalMemory, _ at: UInt32, _ bytes: [UInt8]) {
    bytes.withUnsafeBytes { memory.copyIn(at, from: $0) }
  }

  /// Carries an operation out on the operands of many vectors, at most `most`.
  /// - Parameters:
  ///   - operands: what `operandBytes` made, a list for each vector.
  ///   - control: the x87 control word.
  /// - Returns: an outcome for each vector, and by the number of a vector in what the engines differ there.
  func run(_ operation: TestFloatOperation, _ operands: [[UInt8]], control: UInt16)
    -> (outcomes: [Outcome], different: [Int: [String]])
  {
    if self.operation != operation {
      self.operation = operation
      // FNINIT; FLDCW [control]; the operation; FNSTSW [ESI+30]; ADD ESI,32; DEC ECX; JNZ; HLT
      var code: [UInt8] = [0xDB, 0xE3, 0xD9, 0x2D, 0x00, 0x20, 0x00, 0x00] + operation.code
      code += [0xDD, 0x7E, UInt8(Record.status), 0x83, 0xC6, UInt8(Record.size), 0x49]
      code += [0x75, UInt8(truncatingIfNeeded: -(code.count + 2)), 0xF4]
      for (_, memory) in processors { put(memory, X87Runner.codeAt, code) }
    }
    var records = [UInt8](repeating: 0, count: operands.count * Record.size)
    for (n, bytes) in operands.enumerated() {
      let half = bytes.count / operation.operandCount
      let at = n * Record.size
      records.replaceSubrange(at..<at + half, with: bytes[..<half])
      if operation.operandCount == 2 {
        records.replaceSubrange(
          at + Record.second..<at + Record.second + half, with: bytes[half...])
      }
    }
    var after: [[UInt8]] = []
    var ends: [RunExit] = []
    for (cpu, memory) in processors {
      put(memory, X87Runner.controlAt, [UInt8(control & 0xFF), UInt8(control >> 8)])
      put(memory, X87Runner.records, records)
      start(cpu, operands.count)
      ends.append(cpu.run())
      after.append(memory.peek(X87Runner.records, count: records.count))
    }
    let outcomes = operands.indices.map { n in outcome(operation, after[0], n, ends[0]) }
    var different: [Int: [String]] = [:]
    if after.count > 1 && (after[0] != after[1] || ends[0] != ends[1]) {
      for n in operands.indices {
        let other = outcome(operation, after[1], n, ends[1])
        if other != outcomes[n] {
          different[n] = [
            "translated: result \(other.result), flags \(hexByte(other.flags)); interpreted: "
              + "\(outcomes[n].result), \(hexByte(outcomes[n].flags))"
          ]
        }
      }
    }
    if after.count > 1 && different.isEmpty && !operands.isEmpty {
      let list = EngineComparison.processor(processors[0].cpu, processors[1].cpu)
      if !list.isEmpty { different[operands.count - 1] = list }
    }
    return (outcomes, different)
  }

  private func outcome(
    _ operation: TestFloatOperation, _ records: [UInt8], _ n: Int, _ end: RunExit
  ) -> Outcome {
    if end != .halted { return Outcome(result: "(no end: \(end))", flags: 0) }
    let at = n * Record.size
    let status =
      UInt16(records[at + Record.status]) | UInt16(records[at + Record.status + 1]) << 8
    let bytes = records[at + Record.result..<at + Record.result + operation.resultSize]
    var flags: UInt8 = 0
    if status & StatusWord.precision != 0 { flags |= 1 }
    if status & StatusWord.underflow != 0 { flags |= 2 }
    if status & StatusWord.overflow != 0 { flags |= 4 }
    if status & StatusWord.zeroDivide != 0 { flags |= 8 }
    if status & StatusWord.invalid != 0 { flags |= 16 }
    return Outcome(result: operation.text(bytes, status: status), flags: flags)
  }

  /// Puts a processor before the loop, in flat 32-bit segments.
  private func start(_ cpu: CPU, _ count: Int) {
    cpu.s.pointee.retired = 0
    cpu.reset()
    cpu.a20 = true
    cpu.s.pointee.cr0 = cpu.model.features.contains(.i486) ? 0x33 : 0x13
    for n in 0..<6 {
      var cache = SegmentCache()
      cache.selector = n == SegmentRegister.cs ? 8 : 16
      cache.limit = 0xFFFF_FFFF
      cache.attributes = n == SegmentRegister.cs ? 0xC09B : 0xC093
      cpu[segment: n] = cache
    }
    cpu[Register.ecx] = UInt32(count)
    cpu[6] = X87Runner.records
    cpu[4] = 0x9000
    cpu.s.pointee.eip = X87Runner.codeAt
    cpu.setEFLAGS(2)
    cpu.flushTLB()
    // Derived state follows CS.
    cpu[segment: SegmentRegister.cs] = cpu[segment: SegmentRegister.cs]
    // FPREM1 takes some hundred steps at most.
    cpu.setDeadline(UInt64(count) * 4096 + 4096)
  }
}
