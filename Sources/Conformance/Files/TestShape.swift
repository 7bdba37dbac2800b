// What the first instruction of a 16-bit test touches.
//
// Owns: prefixes, opcode, ModRM and the effective address of 8086 and 80286 encodings. Must not know: the processor under test; it is
// an independent look at the bytes, so that a wrong address there cannot excuse itself.
// Follows: The 8086 Family User's Manual, table 4-8 (mod and r/m encoding).

/// The parts of an instruction that rules ask for.
struct TestShape {
  private(set) var prefixes: [UInt8] = []
  private(set) var opcode: UInt8 = 0
  private(set) var modrm: UInt8?
  /// The offset of the memory operand.
  private(set) var offset: UInt16?
  /// The segment register of the memory operand, by its number in the file's order.
  private(set) var segment = 6
  /// All bytes of the instruction itself.
  private(set) var length = 0
  /// Where the immediate or displacement that follows the ModRM part stands.
  private var tail = 0
  private let bytes: [UInt8]

  var digit: Int { Int((modrm ?? 0) >> 3 & 7) }
  var isRepeated: Bool { prefixes.contains(0xF2) || prefixes.contains(0xF3) }
  var isLocked: Bool { prefixes.contains(0xF0) || prefixes.contains(0xF1) }

  var isEscape: Bool { (0xD8...0xDF).contains(opcode) }

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
    opcode = bytes[at]
    at += 1
    segment = override ?? 6
    if TestShape.hasModRM(opcode), at < bytes.count {
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
          at += 2
        } else if m >> 6 == 1 {
          address &+= UInt16(bitPattern: Int16(Int8(bitPattern: byte(at))))
          at += 1
        } else if m >> 6 == 2 {
          address &+= word(at)
          at += 2
        }
        offset = address
        if stack && override == nil { segment = 5 }
      }
    } else if (0xA0...0xA3).contains(opcode) {
      offset = word(at)
      at += 2
    }
    tail = at
    length = at + immediateLength
  }

  private func byte(_ at: Int) -> UInt8 { at < bytes.count ? bytes[at] : 0 }
  private func word(_ at: Int) -> UInt16 { UInt16(byte(at)) | UInt16(byte(at + 1)) << 8 }

  /// The byte after the ModRM part.
  var immediate: UInt8 { byte(tail) }

  /// Bytes of the memory operand.
  var operandSize: Int {
    switch opcode {
    case 0xC4, 0xC5, 0x62: return 4
    case 0xFF: return digit == 3 || digit == 5 ? 4 : 2
    case 0x8D: return 0
    case 0x8C, 0x8E, 0x8F, 0xD8...0xDF: return 2
    case 0xF6, 0xFE, 0xC0, 0xD0, 0xD2, 0xC6: return 1
    default: return opcode & 1 == 0 ? 1 : 2
    }
  }

  /// Whether the operand goes on behind offset FFFF.
  var operandWraps: Bool {
    guard let offset else { return false }
    return Int(offset) + operandSize > 0x10000
  }

  private var immediateLength: Int {
    switch opcode {
    case 0x00...0x3F: opcode & 7 == 4 ? 1 : opcode & 7 == 5 ? 2 : 0
    case 0x70...0x7F, 0x80, 0x82, 0x83, 0xA8, 0xB0...0xB7, 0xCD, 0xD4, 0xD5, 0xE0...0xE7, 0xEB,
      0xC6, 0x6A, 0x6B, 0xC0, 0xC1:
      1
    case 0x81, 0xA9, 0xB8...0xBF, 0xC2, 0xCA, 0xC7, 0xE8, 0xE9, 0x68, 0x69: 2
    case 0xC8: 3
    case 0x9A, 0xEA: 4
    case 0xF6: digit < 2 ? 1 : 0
    case 0xF7: digit < 2 ? 2 : 0
    default: 0
    }
  }

  private static func hasModRM(_ opcode: UInt8) -> Bool {
    switch opcode {
    case 0x00...0x3F: opcode & 7 < 4
    case 0x62, 0x63, 0x69, 0x6B, 0x80...0x8F, 0xC0, 0xC1, 0xC4...0xC7, 0xD0...0xD3, 0xD8...0xDF,
      0xF6, 0xF7, 0xFE, 0xFF:
      true
    default: false
    }
  }
}
