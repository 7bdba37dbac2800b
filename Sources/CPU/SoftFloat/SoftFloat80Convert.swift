// Conversions between 80-bit values and the memory formats.
//
// Owns: single and double precision, signed integers of 16, 32 and 64 bits, packed decimal. Must not know: memory, instructions.
// Follows: Intel SDM volume 1, sections 4.2, 4.7, 8.5.1.2, tables 8-7 and 8-10; volume 2 (FIST, FBSTP).

/// A floating-point memory format.
struct FloatFormat {
  /// Bits of the significand, the implied one included.
  let precision: UInt64
  let bias: Int
  /// The exponent of infinities and NaNs.
  let top: Int

  static let single = FloatFormat(precision: 24, bias: 127, top: 0xFF)
  static let double = FloatFormat(precision: 53, bias: 1023, top: 0x7FF)

  /// Sign bit, as a shift.
  @inline(__always) var width: UInt64 { self.precision == 24 ? 32 : 64 }
}

extension SoftFloat80 {
  // MARK: - Loading

  /// A single or double as an 80-bit value, exactly (signaling NaNs stay so), and whether it was a denormal.
  @inline(__always)
  static func widen(_ bits: UInt64, _ format: FloatFormat) -> (
    value: Float80Bits, denormal: Bool
  ) {
    let fractionBits = format.precision &- 1
    let sign: UInt16 = bits >> (format.width &- 1) & 1 != 0 ? 0x8000 : 0
    let exponent = Int(truncatingIfNeeded: bits >> fractionBits) & format.top
    let fraction = bits & (1 << fractionBits &- 1)
    let significand = fraction &<< (63 &- fractionBits)
    if exponent != 0 && exponent != format.top {
      let biased = UInt16(truncatingIfNeeded: exponent &- format.bias &+ 16383)
      return (
        Float80Bits(signExponent: sign | biased, significand: significand | 1 << 63), false
      )
    }
    if exponent != 0 {
      return (Float80Bits(signExponent: sign | 0x7FFF, significand: significand | 1 << 63), false)
    }
    if fraction == 0 { return (.zero(sign), false) }
    let shift = significand.leadingZeroBitCount
    // A fraction's first bit counts 2^(1 - bias).
    let biased = UInt16(truncatingIfNeeded: 16383 &- format.bias &+ 1 &- shift)
    return (
      Float80Bits(signExponent: sign | biased, significand: significand &<< UInt64(shift)), true
    )
  }

  /// FLD of a single or double: a signaling NaN is invalid and made quiet, a denormal raises DE.
  @inline(__always)
  mutating func load(_ bits: UInt64, _ format: FloatFormat) -> Float80Bits {
    let (value, denormal) = SoftFloat80.widen(bits, format)
    if denormal { flags |= FPUStatus.de }
    if value.exponent == 0x7FFF && value.isSignaling {
      flags |= FPUStatus.ie
      return value.quieted
    }
    return value
  }

  /// An integer, exactly.
  @inline(__always)
  static func fromInteger(_ value: Int64) -> Float80Bits {
    if value == 0 { return .zero(0) }
    let magnitude = value.magnitude
    let shift = magnitude.leadingZeroBitCount
    return Float80Bits(
      signExponent: (value < 0 ? 0x8000 : 0)
        | UInt16(truncatingIfNeeded: 16383 &+ 63 &- shift),
      significand: magnitude &<< UInt64(shift))
  }

  /// Packed decimal, ten bytes: 18 digits and the sign in the top bit.
  static func fromDecimal(_ low: UInt64, _ high: UInt16) -> Float80Bits {
    var value: UInt64 = 0
    for shift in [UInt16(4), 0] { value = value &* 10 &+ UInt64(high >> shift & 15) }
    var digits = low
    for _ in 0..<16 {
      value = value &* 10 &+ digits >> 60
      digits <<= 4
    }
    var result = fromInteger(Int64(bitPattern: value))
    result.signExponent |= high & 0x8000
    return result
  }

  // MARK: - Storing

  /// A value rounded to single or double.
  ///
  /// With an unmasked invalid operation, overflow or underflow the result means nothing: nothing is to be stored.
  mutating func store(_ a: Float80Bits, _ format: FloatFormat) -> UInt64 {
    let fractionBits = format.precision &- 1
    let sign: UInt64 = a.isNegative ? 1 << (format.width &- 1) : 0
    let infinity = sign | UInt64(format.top) << fractionBits
    if !a.isNormal {
      if a.isUnsupported {
        flags |= FPUStatus.ie
        return 1 << (format.width &- 1) | UInt64(format.top) << fractionBits
          | 1 << (fractionBits &- 1)
      }
      if a.isZero { return sign }
      if a.isInfinity { return infinity }
      if a.isNaN {
        if a.isSignaling { flags |= FPUStatus.ie }
        return infinity | 1 << (fractionBits &- 1)
          | (a.significand &<< 1) >> (64 &- fractionBits)
      }
    }
    let (wideExponent, significand) = a.normalized
    let exponent = wideExponent &- 16383 &+ format.bias
    var kept = significand >> (64 &- format.precision)
    var rest = significand &<< format.precision
    var up = roundsUp(a.sign, rest, odd: kept & 1 != 0)
    let carries = up && kept == 1 << format.precision &- 1
    if exponent <= 0 {
      let tiny = exponent < 0 || !carries
      if tiny && isUnmasked(FPUStatus.ue) {
        flags |= FPUStatus.ue
        return sign
      }
      let shift = UInt64(min(1 &- exponent, 80)) &+ 64 &- format.precision
      if shift < 64 {
        kept = significand >> shift
        rest = significand &<< (64 &- shift)
      } else {
        kept = 0
        rest = shift == 64 ? significand : 1
      }
      if rest != 0 {
        flags |= FPUStatus.pe
        if tiny { flags |= FPUStatus.ue }
        up = roundsUp(a.sign, rest, odd: kept & 1 != 0)
        if up {
          flags |= FPUStatus.c1
          kept &+= 1
        }
      }
      // A carry into the implied bit makes the exponent 1.
      return sign | kept
    }
    if exponent >= format.top || (exponent == format.top &- 1 && carries) {
      flags |= FPUStatus.oe
      if isUnmasked(FPUStatus.oe) { return sign }
      flags |= FPUStatus.pe
      let toInfinity: Bool
      switch rounding {
      case Rounding.nearest: toInfinity = true
      case Rounding.down: toInfinity = a.isNegative
      case Rounding.up: toInfinity = !a.isNegative
      default: toInfinity = false
      }
      if toInfinity {
        flags |= FPUStatus.c1
        return infinity
      }
      return infinity &- 1
    }
    if rest != 0 {
      flags |= FPUStatus.pe
      if up {
        flags |= FPUStatus.c1
        kept &+= 1
      }
    }
    // The implied bit, and a carry beyond it, add to the exponent field.
    return sign | (UInt64(exponent &- 1) << fractionBits &+ kept)
  }

  /// A value as a signed integer of 16, 32 or 64 bits, rounded (or chopped); the integer indefinite when it does not fit.
  mutating func toInteger(_ a: Float80Bits, width: UInt64) -> UInt64 {
    let indefinite: UInt64 = 1 << (width &- 1)
    if a.isZero { return 0 }
    guard !a.isUnsupported, let part = integerPart(a) else {
      flags |= FPUStatus.ie
      return indefinite
    }
    var magnitude = part.magnitude
    var up = false
    if part.rest != 0 {
      up = roundsUp(a.sign, part.rest, odd: magnitude & 1 != 0)
      if up { magnitude &+= 1 }
    }
    if magnitude > indefinite || (magnitude == indefinite && !a.isNegative) {
      flags |= FPUStatus.ie
      return indefinite
    }
    if part.rest != 0 { flags |= FPUStatus.pe }
    if up { flags |= FPUStatus.c1 }
    return a.isNegative ? 0 &- magnitude : magnitude
  }

  /// A value as packed decimal, rounded; the packed decimal indefinite when it does not fit.
  mutating func toDecimal(_ a: Float80Bits) -> (low: UInt64, high: UInt16) {
    let indefinite: (UInt64, UInt16) = (0xC000_0000_0000_0000, 0xFFFF)
    if a.isZero { return (0, a.sign) }
    guard !a.isUnsupported, let part = integerPart(a) else {
      flags |= FPUStatus.ie
      return indefinite
    }
    var magnitude = part.magnitude
    var up = false
    if part.rest != 0 {
      up = roundsUp(a.sign, part.rest, odd: magnitude & 1 != 0)
      if up { magnitude &+= 1 }
    }
    if magnitude > 999_999_999_999_999_999 {
      flags |= FPUStatus.ie
      return indefinite
    }
    if part.rest != 0 { flags |= FPUStatus.pe }
    if up { flags |= FPUStatus.c1 }
    var low: UInt64 = 0
    for shift in UInt64(0)..<16 {
      low |= (magnitude % 10) << (4 * shift)
      magnitude /= 10
    }
    let high = UInt16(magnitude % 10 | (magnitude / 10) << 4)
    return (low, high | a.sign)
  }
}
