// Remainder, scaling, extraction and rounding to an integer of 80-bit values.
//
// Owns: FPREM, FPREM1, FSCALE, FXTRACT, FRNDINT. Must not know: the register stack, instructions.
// Follows: Intel SDM volume 2 (result tables and the operation sections of these instructions).

extension SoftFloat80 {
  // MARK: - Remainder

  /// One step of FPREM (`nearest` false, quotient chopped) or FPREM1 (quotient rounded to nearest).
  ///
  /// `conditions`: C2 while the reduction is incomplete, else the three low quotient bits in C0, C3, C1; nil where there is no quotient.
  mutating func remainder(_ a: Float80Bits, _ b: Float80Bits, nearest: Bool) -> (
    result: Float80Bits, conditions: UInt16?
  ) {
    if let nan = nanResult(a, b) { return (nan, nil) }
    if a.isInfinity || b.isZero { return (invalid(), nil) }
    if a.isDenormal || b.isDenormal, raiseDenormal() { return (a, 0) }
    // By infinity the dividend itself remains (SDM, table of FPREM): that is no underflow.
    if a.isZero || b.isInfinity { return (SoftFloat80.unchanged(a), 0) }
    let (exponentA, significandA) = a.normalized
    let (exponentB, significandB) = b.normalized
    let difference = exponentA &- exponentB
    if difference < (nearest ? -1 : 0) {
      return (roundPack(a.sign, exponentA, UInt128(significandA) << 64, 0), 0)
    }
    if difference >= 64 {
      // Between 32 and 63 bits of the quotient at a time.
      let bits = difference & 31 | 32
      let wide = UInt128(significandA) << UInt128(bits)
      let (_, rest) = significandB.dividingFullWidth(
        (UInt64(truncatingIfNeeded: wide >> 64), UInt64(truncatingIfNeeded: wide)))
      let result = normalizeRoundPack(a.sign, exponentA &- bits, UInt128(rest) << 64, 0)
      return (result, FPUStatus.c2)
    }
    var sign = a.sign
    // Everything in units of half an ulp of the smaller exponent.
    var quotient: UInt64
    var rest: UInt128
    let divisor = UInt128(significandB) << 1
    let exponent: Int
    if difference < 0 {
      quotient = 0
      rest = UInt128(significandA)
      exponent = exponentB
    } else {
      let wide = UInt128(significandA) << UInt128(difference)
      let (q, r) = significandB.dividingFullWidth(
        (UInt64(truncatingIfNeeded: wide >> 64), UInt64(truncatingIfNeeded: wide)))
      quotient = q
      rest = UInt128(r) << 1
      exponent = exponentB
    }
    if nearest {
      let double = rest << 1
      if double > divisor || (double == divisor && quotient & 1 != 0) {
        rest = divisor &- rest
        sign ^= 0x8000
        quotient &+= 1
      }
    }
    let conditions =
      (quotient & 1 != 0 ? FPUStatus.c1 : 0) | (quotient & 2 != 0 ? FPUStatus.c3 : 0)
      | (quotient & 4 != 0 ? FPUStatus.c0 : 0)
    if rest == 0 { return (.zero(a.sign), conditions) }
    // `rest` counts half ulps: bit 64 is the integer bit of `exponent`.
    return (normalizeRoundPack(sign, exponent, rest << 63, 0), conditions)
  }

  /// A result that is the operand itself; a pseudo-denormal becomes the normal number that it is.
  private static func unchanged(_ a: Float80Bits) -> Float80Bits {
    a.exponent == 0 && a.significand >> 63 != 0
      ? Float80Bits(signExponent: a.sign | 1, significand: a.significand) : a
  }

  // MARK: - Scaling

  /// a * 2^trunc(b).
  mutating func scale(_ a: Float80Bits, _ b: Float80Bits) -> Float80Bits {
    if let nan = nanResult(a, b) { return nan }
    if b.isInfinity {
      if b.isNegative {
        if a.isInfinity { return invalid() }
        if a.isDenormal, raiseDenormal() { return a }
        return .zero(a.sign)
      }
      if a.isZero { return invalid() }
      if a.isDenormal, raiseDenormal() { return a }
      return .infinity(a.sign)
    }
    if a.isDenormal || b.isDenormal, raiseDenormal() { return a }
    // By zero the number itself remains (SDM, table of FSCALE): that is no underflow.
    if a.isInfinity || a.isZero || b.isZero { return SoftFloat80.unchanged(a) }
    let (exponent, significand) = a.normalized
    var shift = 0
    let power = b.exponent &- 16383
    if power >= 0 {
      shift = power > 16 ? 0x20000 : Int(b.significand >> UInt64(63 &- power))
      if b.isNegative { shift = 0 &- shift }
    }
    return roundPack(a.sign, exponent &+ shift, UInt128(significand) << 64, 0)
  }

  // MARK: - Extraction

  /// FXTRACT: the unbiased exponent as a number, and the value with the exponent of 1.
  mutating func extract(_ a: Float80Bits) -> (exponent: Float80Bits, significand: Float80Bits) {
    if let nan = nanResult(a) { return (nan, nan) }
    if a.isInfinity { return (.infinity(0), a) }
    if a.isZero {
      flags |= FPUStatus.ze
      return (.infinity(0x8000), a)
    }
    if a.isDenormal, raiseDenormal() { return (a, a) }
    let (exponent, significand) = a.normalized
    return (
      SoftFloat80.fromInteger(Int64(exponent &- 16383)),
      Float80Bits(signExponent: a.sign | 0x3FFF, significand: significand)
    )
  }

  // MARK: - Rounding to an integer

  /// Cuts a finite nonzero value to an integer magnitude: the magnitude and the rest (half being 2^63); nil from 2^64 on.
  @inline(__always)
  func integerPart(_ a: Float80Bits) -> (magnitude: UInt64, rest: UInt64)? {
    let power = a.exponent &- 16383
    if power > 63 { return nil }
    if power == 63 { return (a.significand, 0) }
    if power >= 0 {
      return (
        a.significand >> UInt64(63 &- power), a.significand &<< UInt64(power &+ 1)
      )
    }
    if power == -1 { return (0, a.significand) }
    return (0, a.significand != 0 ? 1 : 0)
  }

  /// FRNDINT.
  mutating func roundToInteger(_ a: Float80Bits) -> Float80Bits {
    if let nan = nanResult(a) { return nan }
    if a.isZero || a.exponent >= 16383 + 63 { return a }
    if a.isDenormal, raiseDenormal() { return a }
    guard let (whole, rest) = integerPart(a) else { return a }
    var magnitude = whole
    if rest == 0 { return a }
    flags |= FPUStatus.pe
    if roundsUp(a.sign, rest, odd: magnitude & 1 != 0) {
      flags |= FPUStatus.c1
      magnitude &+= 1
    }
    if magnitude == 0 { return .zero(a.sign) }
    let shift = magnitude.leadingZeroBitCount
    return Float80Bits(
      signExponent: a.sign | UInt16(truncatingIfNeeded: 16383 &+ 63 &- shift),
      significand: magnitude &<< UInt64(shift))
  }
}
