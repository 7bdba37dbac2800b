// The packed integer operations of MMX and SSE2 on 64 bits; an XMM register is two such halves.
//
// Owns: arithmetic, comparison, shifts, packing and shuffling by opcode. Must not know: registers, memory, faults.
// Follows: Intel SDM volume 2, the pages of PADDB to PXOR.

enum PackedInteger {
  /// Applies a function to the elements of two operands.
  @inline(__always)
  private static func each<T: FixedWidthInteger>(
    _ a: UInt64, _ b: UInt64, _ body: (T, T) -> T
  ) -> UInt64 {
    var result: UInt64 = 0
    var shift: UInt64 = 0
    while shift < 64 {
      let value = body(T(truncatingIfNeeded: a &>> shift), T(truncatingIfNeeded: b &>> shift))
      result |= UInt64(truncatingIfNeeded: T.Magnitude(truncatingIfNeeded: value)) &<< shift
      shift &+= UInt64(T.bitWidth)
    }
    return result
  }

  @inline(__always)
  private static func addSaturated<T: FixedWidthInteger>(_ a: T, _ b: T) -> T {
    let (value, overflow) = a.addingReportingOverflow(b)
    return overflow ? (b < 0 ? T.min : T.max) : value
  }

  @inline(__always)
  private static func subtractSaturated<T: FixedWidthInteger>(_ a: T, _ b: T) -> T {
    let (value, overflow) = a.subtractingReportingOverflow(b)
    return overflow ? (T.isSigned && b < 0 ? T.max : T.min) : value
  }

  @inline(__always)
  private static func high<T: FixedWidthInteger>(_ a: T, _ b: T) -> T {
    a.multipliedFullWidth(by: b).high
  }

  /// The operations that work within 64 bits, by the opcode's second byte.
  static func operate(_ opcode: UInt8, _ a: UInt64, _ b: UInt64) -> UInt64 {
    switch opcode {
    case 0x64: return each(a, b) { (a: Int8, b: Int8) in a > b ? -1 : 0 }
    case 0x65: return each(a, b) { (a: Int16, b: Int16) in a > b ? -1 : 0 }
    case 0x66: return each(a, b) { (a: Int32, b: Int32) in a > b ? -1 : 0 }
    case 0x74: return each(a, b) { (a: Int8, b: Int8) in a == b ? -1 : 0 }
    case 0x75: return each(a, b) { (a: Int16, b: Int16) in a == b ? -1 : 0 }
    case 0x76: return each(a, b) { (a: Int32, b: Int32) in a == b ? -1 : 0 }
    case 0xD4: return a &+ b
    case 0xD5: return each(a, b) { (a: UInt16, b: UInt16) in a &* b }
    case 0xD8: return each(a, b) { (a: UInt8, b: UInt8) in subtractSaturated(a, b) }
    case 0xD9: return each(a, b) { (a: UInt16, b: UInt16) in subtractSaturated(a, b) }
    case 0xDA: return each(a, b) { (a: UInt8, b: UInt8) in min(a, b) }
    case 0xDB: return a & b
    case 0xDC: return each(a, b) { (a: UInt8, b: UInt8) in addSaturated(a, b) }
    case 0xDD: return each(a, b) { (a: UInt16, b: UInt16) in addSaturated(a, b) }
    case 0xDE: return each(a, b) { (a: UInt8, b: UInt8) in max(a, b) }
    case 0xDF: return ~a & b
    case 0xE0: return each(a, b) { (a: UInt8, b: UInt8) in (a | b) &- (a ^ b) &>> 1 }
    case 0xE3: return each(a, b) { (a: UInt16, b: UInt16) in (a | b) &- (a ^ b) &>> 1 }
    case 0xE4: return each(a, b) { (a: UInt16, b: UInt16) in high(a, b) }
    case 0xE5: return each(a, b) { (a: Int16, b: Int16) in high(a, b) }
    case 0xE8: return each(a, b) { (a: Int8, b: Int8) in subtractSaturated(a, b) }
    case 0xE9: return each(a, b) { (a: Int16, b: Int16) in subtractSaturated(a, b) }
    case 0xEA: return each(a, b) { (a: Int16, b: Int16) in min(a, b) }
    case 0xEB: return a | b
    case 0xEC: return each(a, b) { (a: Int8, b: Int8) in addSaturated(a, b) }
    case 0xED: return each(a, b) { (a: Int16, b: Int16) in addSaturated(a, b) }
    case 0xEE: return each(a, b) { (a: Int16, b: Int16) in max(a, b) }
    case 0xEF: return a ^ b
    case 0xF4: return (a & 0xFFFF_FFFF) &* (b & 0xFFFF_FFFF)
    case 0xF5: return each(a, b) { (a: Int32, b: Int32) in multiplyAdd(a, b) }
    case 0xF6: return sumOfDifferences(a, b)
    case 0xF8: return each(a, b) { (a: UInt8, b: UInt8) in a &- b }
    case 0xF9: return each(a, b) { (a: UInt16, b: UInt16) in a &- b }
    case 0xFA: return each(a, b) { (a: UInt32, b: UInt32) in a &- b }
    case 0xFB: return a &- b
    case 0xFC: return each(a, b) { (a: UInt8, b: UInt8) in a &+ b }
    case 0xFD: return each(a, b) { (a: UInt16, b: UInt16) in a &+ b }
    default: return each(a, b) { (a: UInt32, b: UInt32) in a &+ b }
    }
  }

  /// PMADDWD of one pair of words; 8000h in all four places wraps.
  @inline(__always)
  private static func multiplyAdd(_ a: Int32, _ b: Int32) -> Int32 {
    let low = Int32(Int16(truncatingIfNeeded: a)) &* Int32(Int16(truncatingIfNeeded: b))
    return low &+ (a &>> 16) &* (b &>> 16)
  }

  /// PSADBW.
  private static func sumOfDifferences(_ a: UInt64, _ b: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for n in UInt64(0)..<8 {
      let x = a >> (8 &* n) & 0xFF
      let y = b >> (8 &* n) & 0xFF
      sum &+= x > y ? x &- y : y &- x
    }
    return sum
  }

  // MARK: - Shifts

  /// The opcode of the form with a count operand that 71, 72 and 73 /2 /4 /6 stand for.
  @inline(__always)
  static func shiftOpcode(_ i: Insn) -> UInt8 {
    let row: UInt8 = i.pointee.digit == 2 ? 0xD0 : i.pointee.digit == 4 ? 0xE0 : 0xF0
    return row | UInt8(truncatingIfNeeded: i.pointee.opcode) & 3
  }

  /// Shifts every element; counts past the width give zeros, or signs.
  static func shift(_ opcode: UInt8, _ a: UInt64, _ count: UInt64) -> UInt64 {
    switch opcode {
    case 0xD1: return each(a, 0) { (a: UInt16, _) in count > 15 ? 0 : a &>> UInt16(count) }
    case 0xD2: return each(a, 0) { (a: UInt32, _) in count > 31 ? 0 : a &>> UInt32(count) }
    case 0xD3: return count > 63 ? 0 : a &>> count
    case 0xE1: return each(a, 0) { (a: Int16, _) in a &>> Int16(min(count, 15)) }
    case 0xE2: return each(a, 0) { (a: Int32, _) in a &>> Int32(min(count, 31)) }
    case 0xF1: return each(a, 0) { (a: UInt16, _) in count > 15 ? 0 : a &<< UInt16(count) }
    case 0xF2: return each(a, 0) { (a: UInt32, _) in count > 31 ? 0 : a &<< UInt32(count) }
    default: return count > 63 ? 0 : a &<< count
    }
  }

  // MARK: - Rearranging

  /// PUNPCK..: the elements of two 32-bit halves in turn; bytes, words or dwords by the opcode.
  static func interleave(_ opcode: UInt8, _ a: UInt64, _ b: UInt64) -> UInt64 {
    let width: UInt64
    switch opcode {
    case 0x60, 0x68: width = 8
    case 0x61, 0x69: width = 16
    default: width = 32
    }
    let mask: UInt64 = 1 &<< width &- 1
    var result: UInt64 = 0
    var from: UInt64 = 0
    while from < 32 {
      result |= (a &>> from & mask) &<< (2 &* from)
      result |= (b &>> from & mask) &<< (2 &* from &+ width)
      from &+= width
    }
    return result
  }

  /// PACKSSWB, PACKUSWB, PACKSSDW: the elements of two operands, saturated to half their width.
  static func pack(_ opcode: UInt8, _ low: UInt64, _ high: UInt64) -> UInt64 {
    pack(opcode, low) | pack(opcode, high) << 32
  }

  private static func pack(_ opcode: UInt8, _ a: UInt64) -> UInt64 {
    var result: UInt64 = 0
    if opcode == 0x6B {
      for n in UInt64(0)..<2 {
        let value = Int32(truncatingIfNeeded: a &>> (32 &* n))
        result |= UInt64(UInt16(bitPattern: Int16(clamping: value))) &<< (16 &* n)
      }
    } else {
      for n in UInt64(0)..<4 {
        let value = Int16(truncatingIfNeeded: a &>> (16 &* n))
        let byte =
          opcode == 0x67 ? UInt8(clamping: value) : UInt8(bitPattern: Int8(clamping: value))
        result |= UInt64(byte) &<< (8 &* n)
      }
    }
    return result
  }

  /// PSHUFW: four words chosen by two bits each.
  static func shuffle(_ a: UInt64, _ order: UInt8) -> UInt64 {
    var result: UInt64 = 0
    for n in UInt64(0)..<4 {
      let from = UInt64(order) >> (2 &* n) & 3
      result |= (a &>> (16 &* from) & 0xFFFF) &<< (16 &* n)
    }
    return result
  }

  /// PINSRW.
  static func insert(_ a: UInt64, _ word: UInt16, _ place: UInt8) -> UInt64 {
    let shift = UInt64(place & 3) &* 16
    return a & ~(0xFFFF &<< shift) | UInt64(word) &<< shift
  }

  /// PEXTRW.
  static func extract(_ a: UInt64, _ place: UInt8) -> UInt16 {
    UInt16(truncatingIfNeeded: a &>> (UInt64(place & 3) &* 16))
  }

  /// PMOVMSKB: the bytes' top bits.
  static func signs(_ a: UInt64) -> UInt32 {
    var result: UInt32 = 0
    for n in UInt64(0)..<8 {
      result |= UInt32(truncatingIfNeeded: a &>> (8 &* n &+ 7) & 1) &<< UInt32(n)
    }
    return result
  }
}
