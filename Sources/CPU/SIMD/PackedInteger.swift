// The packed integer operations of MMX and SSE2 on 64 bits; an XMM register is two such halves.
//
// Owns: arithmetic, comparison, shifts, packing and shuffling. Must not know: registers, memory, faults.
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

  // MARK: - Operations within 64 bits, named as the instructions

  static func pcmpgtb(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int8, b: Int8) in a > b ? -1 : 0 }
  }
  static func pcmpgtw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int16, b: Int16) in a > b ? -1 : 0 }
  }
  static func pcmpgtd(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int32, b: Int32) in a > b ? -1 : 0 }
  }
  static func pcmpeqb(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int8, b: Int8) in a == b ? -1 : 0 }
  }
  static func pcmpeqw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int16, b: Int16) in a == b ? -1 : 0 }
  }
  static func pcmpeqd(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int32, b: Int32) in a == b ? -1 : 0 }
  }
  static func paddq(_ a: UInt64, _ b: UInt64) -> UInt64 {
    a &+ b
  }
  static func pmullw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt16, b: UInt16) in a &* b }
  }
  static func psubusb(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt8, b: UInt8) in subtractSaturated(a, b) }
  }
  static func psubusw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt16, b: UInt16) in subtractSaturated(a, b) }
  }
  static func pminub(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt8, b: UInt8) in min(a, b) }
  }
  static func pand(_ a: UInt64, _ b: UInt64) -> UInt64 {
    a & b
  }
  static func paddusb(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt8, b: UInt8) in addSaturated(a, b) }
  }
  static func paddusw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt16, b: UInt16) in addSaturated(a, b) }
  }
  static func pmaxub(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt8, b: UInt8) in max(a, b) }
  }
  static func pandn(_ a: UInt64, _ b: UInt64) -> UInt64 {
    ~a & b
  }
  static func pavgb(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt8, b: UInt8) in (a | b) &- (a ^ b) &>> 1 }
  }
  static func pavgw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt16, b: UInt16) in (a | b) &- (a ^ b) &>> 1 }
  }
  static func pmulhuw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt16, b: UInt16) in high(a, b) }
  }
  static func pmulhw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int16, b: Int16) in high(a, b) }
  }
  static func psubsb(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int8, b: Int8) in subtractSaturated(a, b) }
  }
  static func psubsw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int16, b: Int16) in subtractSaturated(a, b) }
  }
  static func pminsw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int16, b: Int16) in min(a, b) }
  }
  static func por(_ a: UInt64, _ b: UInt64) -> UInt64 {
    a | b
  }
  static func paddsb(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int8, b: Int8) in addSaturated(a, b) }
  }
  static func paddsw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int16, b: Int16) in addSaturated(a, b) }
  }
  static func pmaxsw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int16, b: Int16) in max(a, b) }
  }
  static func pxor(_ a: UInt64, _ b: UInt64) -> UInt64 {
    a ^ b
  }
  static func pmuludq(_ a: UInt64, _ b: UInt64) -> UInt64 {
    (a & 0xFFFF_FFFF) &* (b & 0xFFFF_FFFF)
  }
  static func pmaddwd(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: Int32, b: Int32) in multiplyAdd(a, b) }
  }
  static func psubb(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt8, b: UInt8) in a &- b }
  }
  static func psubw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt16, b: UInt16) in a &- b }
  }
  static func psubd(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt32, b: UInt32) in a &- b }
  }
  static func psubq(_ a: UInt64, _ b: UInt64) -> UInt64 {
    a &- b
  }
  static func paddb(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt8, b: UInt8) in a &+ b }
  }
  static func paddw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt16, b: UInt16) in a &+ b }
  }
  static func paddd(_ a: UInt64, _ b: UInt64) -> UInt64 {
    each(a, b) { (a: UInt32, b: UInt32) in a &+ b }
  }

  /// PMADDWD of one pair of words; 8000h in all four places wraps.
  @inline(__always)
  private static func multiplyAdd(_ a: Int32, _ b: Int32) -> Int32 {
    let low = Int32(Int16(truncatingIfNeeded: a)) &* Int32(Int16(truncatingIfNeeded: b))
    return low &+ (a &>> 16) &* (b &>> 16)
  }

  static func psadbw(_ a: UInt64, _ b: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for n in UInt64(0)..<8 {
      let x = a >> (8 &* n) & 0xFF
      let y = b >> (8 &* n) & 0xFF
      sum &+= x > y ? x &- y : y &- x
    }
    return sum
  }

  // MARK: - Shifts of every element; counts past the width give zeros, or signs

  static func psrlw(_ a: UInt64, _ count: UInt64) -> UInt64 {
    each(a, 0) { (a: UInt16, _) in count > 15 ? 0 : a &>> UInt16(count) }
  }
  static func psrld(_ a: UInt64, _ count: UInt64) -> UInt64 {
    each(a, 0) { (a: UInt32, _) in count > 31 ? 0 : a &>> UInt32(count) }
  }
  static func psrlq(_ a: UInt64, _ count: UInt64) -> UInt64 {
    count > 63 ? 0 : a &>> count
  }
  static func psraw(_ a: UInt64, _ count: UInt64) -> UInt64 {
    each(a, 0) { (a: Int16, _) in a &>> Int16(min(count, 15)) }
  }
  static func psrad(_ a: UInt64, _ count: UInt64) -> UInt64 {
    each(a, 0) { (a: Int32, _) in a &>> Int32(min(count, 31)) }
  }
  static func psllw(_ a: UInt64, _ count: UInt64) -> UInt64 {
    each(a, 0) { (a: UInt16, _) in count > 15 ? 0 : a &<< UInt16(count) }
  }
  static func pslld(_ a: UInt64, _ count: UInt64) -> UInt64 {
    each(a, 0) { (a: UInt32, _) in count > 31 ? 0 : a &<< UInt32(count) }
  }
  static func psllq(_ a: UInt64, _ count: UInt64) -> UInt64 {
    count > 63 ? 0 : a &<< count
  }

  // MARK: - Rearranging

  /// PUNPCK..: the elements of two 32-bit halves in turn, of 8, 16 or 32 bits.
  static func interleave(width: UInt64, _ a: UInt64, _ b: UInt64) -> UInt64 {
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

  /// PACKSSDW of one operand: its elements, saturated to half their width.
  static func packssdw(_ a: UInt64) -> UInt64 {
    var result: UInt64 = 0
    for n in UInt64(0)..<2 {
      let value = Int32(truncatingIfNeeded: a &>> (32 &* n))
      result |= UInt64(UInt16(bitPattern: Int16(clamping: value))) &<< (16 &* n)
    }
    return result
  }

  /// PACKSSWB of one operand.
  static func packsswb(_ a: UInt64) -> UInt64 {
    var result: UInt64 = 0
    for n in UInt64(0)..<4 {
      let value = Int16(truncatingIfNeeded: a &>> (16 &* n))
      result |= UInt64(UInt8(bitPattern: Int8(clamping: value))) &<< (8 &* n)
    }
    return result
  }

  /// PACKUSWB of one operand.
  static func packuswb(_ a: UInt64) -> UInt64 {
    var result: UInt64 = 0
    for n in UInt64(0)..<4 {
      let value = Int16(truncatingIfNeeded: a &>> (16 &* n))
      result |= UInt64(UInt8(clamping: value)) &<< (8 &* n)
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
