// What the first instruction of a 16-bit test touches.
//
// Owns: the effective address of 8086 and 80286 encodings: an independent look at prefixes and ModRM, so that a wrong address in the
// decoder cannot excuse itself. What the instruction is, the instruction table tells, as a 386 has it. Must not know: the processor
// under test.
// Follows: The 8086 Family User's Manual, table 4-8 (mod and r/m encoding).

import CPU

/// The parts of an instruction that rules ask for.
struct TestShape {
  private(set) var prefixes: [UInt8] = []
  /// The instruction without its prefixes, decoded for a 386.
  private(set) var record = Instruction()
  private(set) var modrm: UInt8?
  /// The offset of the memory operand.
  private(set) var offset: UInt16?
  /// The segment register of the memory operand, by its number in the file's order.
  private(set) var segment = 6
  /// All bytes of the instruction itself.
  private(set) var length = 0
  private let bytes: [UInt8]

  var op: Op { record.op }
  /// Whether a 386 has no such instruction.
  var isUndefined: Bool { record.handler == .ud }
  var isRepeated: Bool { prefixes.contains(0xF2) || prefixes.contains(0xF3) }
  var isLocked: Bool { prefixes.contains(0xF0) || prefixes.contains(0xF1) }

  /// An instruction for the x87.
  var isEscape: Bool { !isUndefined && record.encoding.isX87 }

  /// MOVS, CMPS, STOS, LODS or SCAS of words.
  var isStringWord: Bool {
    switch op {
    case .movs, .cmps, .stos, .lods, .scas: !record.isByte
    default: false
    }
  }

  /// Records refer to the table only: a decoder is made once.
  private nonisolated(unsafe) static let decoder = Decoder(features: CPUModel.i386.features)

  init(_ test: MOOTest) {
    bytes = test.bytes
    let r = test.initial.registers.words.map { $0 ?? 0 }
    var at = 0
    var override: Int?
    while at < bytes.count, [0x26, 0x2E, 0x36, 0x3E, 0xF0, 0xF1, 0xF2, 0xF3].contains(bytes[at]) {
      prefixes.append(bytes[at])
      switch bytes[at] {
      case 0x26: override = 7
      case 0x2E: override = 4
      case 0x36: override = 5
      case 0x3E: override = 6
      default: break
      }
      at += 1
    }
    guard at < bytes.count else { return }
    let whole = Array(bytes[at...]) + [UInt8](repeating: 0, count: Decoder.maximumLength)
    _ = TestShape.decoder.decode(whole, count: whole.count, mode: .bits16, into: &record)
    length = at + Int(record.length)
    let opcode = bytes[at]
    at += 1
    segment = override ?? 6
    if OpcodeTable.shared.hasModRM(UInt16(opcode)), at < bytes.count {
      let m = bytes[at]
      modrm = m
      at += 1
      if m < 0xC0 {
        let (bx, bp, si, di) = (r[1], r[9], r[10], r[11])
        var address: UInt16
        var stack = false
        switch m & 7 {
        case 0: address = bx &+ si
        case 1: address = bx &+ di
        case 2: (address, stack) = (bp &+ si, true)
        case 3: (address, stack) = (bp &+ di, true)
        case 4: address = si
        case 5: address = di
        case 6: (address, stack) = (bp, true)
        default: address = bx
        }
        if m & 0xC7 == 6 {
          (address, stack) = (word(at), false)
        } else if m >> 6 == 1 {
          address &+= UInt16(bitPattern: Int16(Int8(bitPattern: byte(at))))
        } else if m >> 6 == 2 {
          address &+= word(at)
        }
        offset = address
        if stack && override == nil { segment = 5 }
      }
    } else if record.hasMemory {
      // The offset follows the opcode.
      offset = word(at)
    }
  }

  private func byte(_ at: Int) -> UInt8 { at < bytes.count ? bytes[at] : 0 }
  private func word(_ at: Int) -> UInt16 { UInt16(byte(at)) | UInt16(byte(at + 1)) << 8 }

  /// Bytes of the memory operand, with an 8086 or 80286; of an instruction for the x87 those that the processor itself reads.
  var operandSize: Int {
    if isEscape { return 2 }
    if op == .lea { return 0 }
    let (first, second, _) = record.encoding.operands
    if [first, second].contains(where: { $0 == .mp || $0 == .ma }) { return 4 }
    return record.encoding.isByte ? 1 : 2
  }

  /// Whether the operand goes on behind offset FFFF.
  var operandWraps: Bool {
    guard let offset else { return false }
    return Int(offset) + operandSize > 0x10000
  }
}
