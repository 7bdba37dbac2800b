// 80-bit arithmetic in software: operand classes, exception flags, NaN rules and rounding.
//
// Owns: what every x87 operation has in common. The operations are extensions in the other SoftFloat80 files.
// Must not know: the register stack, memory, instructions.
// Follows: Intel SDM volume 1, sections 4.8 (formats, NaNs, rounding) and 8.5 (x87 exceptions), Intel 80387 Programmer's Reference.
//
// An operation adds its exceptions to `flags`, in the bit positions of the status word. Where an unmasked invalid, denormal or divide
// exception is among them, the result means nothing and the caller must not store it; where overflow or underflow is unmasked, the
// result has the exponent adjusted by 24576 and is to be stored in a register.

extension Float80Bits {
  /// Biased exponent.
  @inline(__always) var exponent: Int { Int(signExponent & 0x7FFF) }
  /// The sign at its place, 8000h or 0.
  @inline(__always) var sign: UInt16 { signExponent & 0x8000 }
  @inline(__always) var isNegative: Bool { signExponent & 0x8000 != 0 }
  /// A normal number: neither zero, denormal, infinity, NaN nor an unsupported encoding.
  @inline(__always) var isNormal: Bool {
    (signExponent & 0x7FFF) &- 1 < 0x7FFE && significand >> 63 != 0
  }
  @inline(__always) var isZero: Bool { significand == 0 && exponent == 0 }
  /// Denormal or pseudo-denormal.
  @inline(__always) var isDenormal: Bool { exponent == 0 && significand != 0 }
  @inline(__always) var isInfinity: Bool { exponent == 0x7FFF && significand == 1 << 63 }
  @inline(__always) var isNaN: Bool { exponent == 0x7FFF && significand > 1 << 63 }
  @inline(__always) var isSignaling: Bool { isNaN && significand & 1 << 62 == 0 }
  /// Unnormal, pseudo-infinity or pseudo-NaN.
  @inline(__always) var isUnsupported: Bool { exponent != 0 && significand >> 63 == 0 }

  /// The real indefinite: the NaN of the masked invalid-operation response.
  static var indefinite: Float80Bits {
    Float80Bits(signExponent: 0xFFFF, significand: 0xC000_0000_0000_0000)
  }
  @inline(__always) static func zero(_ sign: UInt16) -> Float80Bits {
    Float80Bits(signExponent: sign, significand: 0)
  }
  @inline(__always) static func infinity(_ sign: UInt16) -> Float80Bits {
    Float80Bits(signExponent: sign | 0x7FFF, significand: 1 << 63)
  }
  static var one: Float80Bits { Float80Bits(signExponent: 0x3FFF, significand: 1 << 63) }

  /// The value with NaNs made quiet.
  @inline(__always) var quieted: Float80Bits {
    Float80Bits(signExponent: signExponent, significand: significand | 1 << 62)
  }
  @inline(__always) var negated: Float80Bits {
    Float80Bits(signExponent: signExponent ^ 0x8000, significand: significand)
  }

  /// Exponent and significand of a finite nonzero number with the integer bit set; denormals get exponents of 0 and less.
  @inline(__always) var normalized: (exponent: Int, significand: UInt64) {
    if exponent != 0 { return (exponent, significand) }
    let shift = significand.leadingZeroBitCount
    return (1 &- shift, significand &<< UInt64(shift))
  }
}

/// Bits of the x87 status word.
enum FPUStatus {
  static let ie: UInt16 = 1 << 0
  static let de: UInt16 = 1 << 1
  static let ze: UInt16 = 1 << 2
  static let oe: UInt16 = 1 << 3
  static let ue: UInt16 = 1 << 4
  static let pe: UInt16 = 1 << 5
  /// Stack fault.
  static let sf: UInt16 = 1 << 6
  /// Error summary.
  static let es: UInt16 = 1 << 7
  static let c0: UInt16 = 1 << 8
  static let c1: UInt16 = 1 << 9
  static let c2: UInt16 = 1 << 10
  static let c3: UInt16 = 1 << 14
  static let busy: UInt16 = 1 << 15
  /// The exceptions found before the operation: unmasked, they leave the operands unchanged.
  static let before: UInt16 = ie | de | ze
  static let exceptions: UInt16 = 0x3F
  static let conditions: UInt16 = c0 | c1 | c2 | c3
}

/// One x87 operation's surroundings: control word in, exception flags out.
struct SoftFloat80 {
  /// Rounding control.
  enum Rounding {
    static let nearest: UInt16 = 0
    static let down: UInt16 = 1
    static let up: UInt16 = 2
    static let chop: UInt16 = 3
  }

  /// The control word.
  let control: UInt16
  /// Exceptions raised, and C1 where the result was rounded up (`FPUStatus` bits).
  var flags: UInt16 = 0

  /// Whether transcendental functions leave out their quick ways (SoftFloat80Quick), for tests: the results are the same.
  var isThorough = false

  @inline(__always) init(control: UInt16) { self.control = control }

  @inline(__always) var rounding: UInt16 { control >> 10 & 3 }

  /// The significand bits that precision control cuts off.
  @inline(__always) var precisionMask: UInt64 {
    switch control >> 8 & 3 {
    case 0: return 0xFF_FFFF_FFFF
    case 2: return 0x7FF
    default: return 0
    }
  }

  /// Whether an exception among `bits` is unmasked.
  @inline(__always) func isUnmasked(_ bits: UInt16) -> Bool {
    bits & ~control & FPUStatus.exceptions != 0
  }

  /// Raises the invalid-operation exception; its masked result.
  @inline(__always) mutating func invalid() -> Float80Bits {
    flags |= FPUStatus.ie
    return .indefinite
  }

  /// Raises the denormal exception; true when it is unmasked, so that the operation ends here.
  @inline(__always) mutating func raiseDenormal() -> Bool {
    flags |= FPUStatus.de
    return isUnmasked(FPUStatus.de)
  }

  // MARK: - NaNs

  /// The result where an operand is a NaN or unsupported, else nil.
  mutating func nanResult(_ a: Float80Bits) -> Float80Bits? {
    if a.isUnsupported { return invalid() }
    guard a.isNaN else { return nil }
    if a.isSignaling { flags |= FPUStatus.ie }
    return a.quieted
  }

  /// The same of two operands: a quiet NaN before a signaling one, else the larger significand, else the positive one.
  mutating func nanResult(_ a: Float80Bits, _ b: Float80Bits) -> Float80Bits? {
    if a.isUnsupported || b.isUnsupported { return invalid() }
    let aIsNaN = a.isNaN
    let bIsNaN = b.isNaN
    if !aIsNaN && !bIsNaN { return nil }
    let aSignals = a.isSignaling
    let bSignals = b.isSignaling
    if aSignals || bSignals { flags |= FPUStatus.ie }
    if !bIsNaN { return a.quieted }
    if !aIsNaN { return b.quieted }
    if aSignals != bSignals { return aSignals ? b : a }
    if a.significand != b.significand {
      return (a.significand > b.significand ? a : b).quieted
    }
    return (a.signExponent < b.signExponent ? a : b).quieted
  }

  // MARK: - Rounding

  /// Whether a magnitude is rounded up. `rest`: the part cut off, half an ulp being 2^63; `odd`: the kept part's last bit.
  @inline(__always)
  func roundsUp(_ sign: UInt16, _ rest: UInt64, odd: Bool) -> Bool {
    switch rounding {
    case Rounding.nearest: return rest > 1 << 63 || (rest == 1 << 63 && odd)
    case Rounding.down: return sign != 0 && rest != 0
    case Rounding.up: return sign == 0 && rest != 0
    default: return false
    }
  }

  /// Cuts a significand to the precision: kept bits and the rest, scaled so that half an ulp is 2^63, the last bit sticky.
  @inline(__always)
  private static func cut(_ value: UInt128, _ mask: UInt64) -> (UInt64, UInt64) {
    let hi = UInt64(truncatingIfNeeded: value >> 64)
    let lo = UInt64(truncatingIfNeeded: value)
    if mask == 0 { return (hi, lo) }
    let rest = (hi & mask) &<< UInt64(mask.leadingZeroBitCount)
    return (hi & ~mask, rest | (lo != 0 ? 1 : 0))
  }

  /// Rounds and packs sign * value * 2^(exponent - 16383 - 127); bit 127 of `value` is set, its last bit may be sticky.
  @inline(__always)
  mutating func roundPack(_ sign: UInt16, _ exponent: Int, _ value: UInt128, _ mask: UInt64)
    -> Float80Bits
  {
    if exponent > 0 && exponent < 0x7FFE {
      var (hi, rest) = SoftFloat80.cut(value, mask)
      var exponent = UInt16(truncatingIfNeeded: exponent)
      if rest != 0 {
        flags |= FPUStatus.pe
        let unit = mask &+ 1
        if roundsUp(sign, rest, odd: hi & unit != 0) {
          flags |= FPUStatus.c1
          hi &+= unit
          if hi >> 63 == 0 {
            hi = 1 << 63
            exponent &+= 1
          }
        }
      }
      return Float80Bits(signExponent: sign | exponent, significand: hi)
    }
    return roundPackSlow(sign, exponent, value, mask)
  }

  @inline(never)
  private mutating func roundPackSlow(
    _ sign: UInt16, _ exponent: Int, _ value: UInt128, _ mask: UInt64
  ) -> Float80Bits {
    let unit = mask &+ 1
    var (hi, rest) = SoftFloat80.cut(value, mask)
    let up = roundsUp(sign, rest, odd: hi & unit != 0)
    let carries = up && hi == ~mask
    if exponent <= 0 {
      // Tiny is what is below the least normal number after rounding with an unbounded exponent.
      let tiny = exponent < 0 || !carries
      if tiny && isUnmasked(FPUStatus.ue) {
        flags |= FPUStatus.ue
        let biased = exponent &+ 24576
        // FSCALE can go below even that.
        if biased <= 0 {
          flags |= FPUStatus.pe
          return .zero(sign)
        }
        return roundPack(sign, biased, value, mask)
      }
      let shift = 1 &- exponent
      let shifted: UInt128 =
        shift > 127
        ? 1 : value >> UInt128(shift) | (value & (UInt128(1) << UInt128(shift) &- 1) != 0 ? 1 : 0)
      (hi, rest) = SoftFloat80.cut(shifted, mask)
      if rest != 0 {
        flags |= FPUStatus.pe
        if tiny { flags |= FPUStatus.ue }
        if roundsUp(sign, rest, odd: hi & unit != 0) {
          flags |= FPUStatus.c1
          hi &+= unit
        }
      }
      return Float80Bits(signExponent: sign | UInt16(hi >> 63), significand: hi)
    }
    if exponent > 0x7FFE || carries {
      flags |= FPUStatus.oe
      if isUnmasked(FPUStatus.oe) {
        let biased = exponent &- 24576
        if biased < 0x7FFE { return roundPack(sign, biased, value, mask) }
        flags |= FPUStatus.pe | FPUStatus.c1
        return .infinity(sign)
      }
      flags |= FPUStatus.pe
      let toInfinity: Bool
      switch rounding {
      case Rounding.nearest: toInfinity = true
      case Rounding.down: toInfinity = sign != 0
      case Rounding.up: toInfinity = sign == 0
      default: toInfinity = false
      }
      if !toInfinity { return Float80Bits(signExponent: sign | 0x7FFE, significand: ~mask) }
      flags |= FPUStatus.c1
      return .infinity(sign)
    }
    // Exponent 7FFEh without a carry out of it.
    if rest != 0 {
      flags |= FPUStatus.pe
      if up {
        flags |= FPUStatus.c1
        hi &+= unit
      }
    }
    return Float80Bits(signExponent: sign | 0x7FFE, significand: hi)
  }

  /// Normalizes, rounds and packs; zero gives `sign` zero.
  mutating func normalizeRoundPack(
    _ sign: UInt16, _ exponent: Int, _ value: UInt128, _ mask: UInt64
  ) -> Float80Bits {
    if value == 0 { return .zero(sign) }
    let shift = value.leadingZeroBitCount
    return roundPack(sign, exponent &- shift, value << UInt128(shift), mask)
  }
}
