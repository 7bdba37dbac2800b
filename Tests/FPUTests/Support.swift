// A processor to execute single x87 instructions on, and random operands.
//
// Owns: hand-made instruction records, operand generators. Must not know: the decoder.

import TestSupport
import Testing

@testable import CPU

extension Random {
  /// A significand with the integer bit: random, of few bits, or near the ends.
  mutating func significand() -> UInt64 {
    let top: UInt64 = 1 << 63
    switch below(8) {
    case 0: return top
    case 1: return UInt64.max &- UInt64(below(4))
    case 2: return top | UInt64(below(4))
    case 3: return top | 1 << UInt64(below(63)) | 1 << UInt64(below(63))
    case 4: return top | (next() << UInt64(below(63)))
    case 5: return UInt64.max << UInt64(below(64))
    default: return top | next()
    }
  }

  /// Any encoding, special ones often.
  mutating func anyValue() -> Float80Bits {
    let sign: UInt16 = oneIn(2) ? 0x8000 : 0
    switch below(24) {
    case 0: return Float80Bits(signExponent: sign, significand: 0)
    case 1: return Float80Bits(signExponent: sign | 0x7FFF, significand: 1 << 63)
    case 2: return Float80Bits(signExponent: sign | 0x7FFF, significand: next() | 3 << 62)
    case 3:
      return Float80Bits(
        signExponent: sign | 0x7FFF, significand: next() & ~(1 << 62) | 1 << 63 | 1)
    case 4:
      return Float80Bits(signExponent: sign, significand: significand() >> UInt64(1 + below(63)))
    case 5: return Float80Bits(signExponent: sign, significand: significand())
    case 6:
      if oneIn(2) {
        return Float80Bits(
          signExponent: sign | UInt16(1 + below(0x7FFF)), significand: next() >> 1)
      }
      return Float80Bits(signExponent: sign | 0x3FFF, significand: 1 << 63)
    case 7:
      return Float80Bits(signExponent: sign | UInt16(1 + below(80)), significand: significand())
    case 8:
      return Float80Bits(
        signExponent: sign | UInt16(0x7FFE - below(80)), significand: significand())
    case 9, 10, 11:
      return Float80Bits(
        signExponent: sign | UInt16(1 + below(0x7FFE)), significand: significand())
    default:
      return Float80Bits(
        signExponent: sign | UInt16(0x3FFF - 70 + below(140)), significand: significand())
    }
  }
}

/// One emulated processor.
final class Machine {
  let memory: PhysicalMemory
  let bus: RecordingBus
  let cpu: CPU
  private let instruction = UnsafeMutablePointer<Instruction>.allocate(capacity: 1)

  init(model: CPUModel = .pentium2) throws {
    memory = try PhysicalMemory(ramSize: 1 << 20)
    bus = RecordingBus()
    cpu = try CPU(model: model, memory: memory, bus: bus)
    instruction.initialize(to: Instruction())
    cpu.s.pointee.cr0 = CR0.pe | CR0.ne
    for index in 0..<8 { cpu[segment: index].base = 0 }
  }

  deinit { instruction.deallocate() }

  var fpu: UnsafeMutablePointer<FPUState> { cpu.fpu }

  /// Executes one instruction; a memory form addresses `address`.
  func execute(
    _ opcode: UInt16, _ modrm: UInt8, address: UInt32 = 0x1000, wide: Bool = true,
    segment: Int = SegmentRegister.ds
  ) throws {
    var record = Instruction()
    let table = OpcodeTable.shared
    let entry =
      opcode & 0xFFF8 == 0xD8
      ? table.x87Entry(opcode, modrm)
      : table.entries.firstIndex {
        $0.opcode == opcode && $0.fitting(modrm) == modrm
      }
    // What the decoder refuses.
    guard let entry, cpu.model.features.isSuperset(of: table.entries[entry].features),
      opcode != 0x0FAE || (modrm < 0x10)
    else { throw Fault.ud }
    record.op = table.entries[entry].op
    record.entry = UInt16(entry)
    record.rm = modrm & 7
    record.imm2 = (opcode & 7) << 8 | UInt16(modrm)
    record.modrm = modrm
    record.length = 2
    record.nextOffset = 2
    record.disp = address
    record.segment = UInt8(segment)
    record.flags =
      InstructionFlags.address32 | (wide ? InstructionFlags.operand32 : 0)
      | (modrm < 0xC0 ? InstructionFlags.memory : 0)
    instruction.pointee = record
    try cpu.executeFPU(instruction)
  }

  /// The vector raised by an instruction, or nil.
  func fault(_ opcode: UInt16, _ modrm: UInt8, address: UInt32 = 0x1000, wide: Bool = true)
    -> UInt8?
  {
    do {
      try execute(opcode, modrm, address: address, wide: wide)
      return nil
    } catch {
      return (error as? Fault)?.vector
    }
  }

  func word(_ address: UInt32) -> UInt16 {
    memory.ram.loadUnaligned(fromByteOffset: Int(address), as: UInt16.self)
  }
  func dword(_ address: UInt32) -> UInt32 {
    memory.ram.loadUnaligned(fromByteOffset: Int(address), as: UInt32.self)
  }
  func qword(_ address: UInt32) -> UInt64 {
    memory.ram.loadUnaligned(fromByteOffset: Int(address), as: UInt64.self)
  }
  func store<T>(_ value: T, _ address: UInt32) {
    memory.ram.storeBytes(of: value, toByteOffset: Int(address), as: T.self)
  }
}

/// Remembers FERR#.
final class RecordingBus: SystemBus {
  var ferrLevel = false
  var ferrCalls = 0
  override func ferr(_ asserted: Bool) {
    ferrLevel = asserted
    ferrCalls += 1
  }
}

extension Float80Bits: CustomStringConvertible {
  public var description: String {
    let e = String(signExponent, radix: 16, uppercase: true)
    let m = String(significand, radix: 16, uppercase: true)
    return String(repeating: "0", count: 4 - e.count) + e + ":"
      + String(repeating: "0", count: 16 - m.count) + m
  }
}
