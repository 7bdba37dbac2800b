// The transcendental operations on 80-bit values.
//
// Owns: FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1: special operands, argument reduction, final rounding.
// Must not know: the register stack, instructions.
// Follows: Intel SDM volume 2 (result tables of these instructions), volume 1 sections 8.3.8 and 8.3.10 (66-bit pi, accuracy below 1 ulp).

extension SoftFloat80 {
  /// Rounds a logarithm that may be exact; processors call it inexact all the same.
  private mutating func finishExact(_ sign: UInt16, _ value: Wide) -> Float80Bits {
    let result = roundPack(sign, value.exponent &+ 16383, value.significand, 0)
    flags |= FPUStatus.pe
    if result.exponent == 0 { flags |= FPUStatus.ue }
    return result
  }

  /// Rounds a result that is never exact.
  private mutating func finish(_ sign: UInt16, _ value: Wide) -> Float80Bits {
    roundPack(sign, value.exponent &+ 16383, value.significand | 1, 0)
  }

  /// The same of a value known to 2^-78 of itself, or nil when that is not enough.
  @inline(__always)
  private mutating func finishQuick(_ sign: UInt16, _ value: Wide) -> Float80Bits? {
    if isThorough || !value.decidesRounding { return nil }
    return finish(sign, value)
  }

  @inline(__always)
  private func wide(_ a: Float80Bits) -> Wide {
    let (exponent, significand) = a.normalized
    return Wide(exponent: exponent &- 16383, significand: UInt128(significand) << 64)
  }

  // MARK: - Sine, cosine, tangent

  /// What the trigonometric instructions do with an operand.
  enum Trigonometric {
    /// The magnitude reduced: |x| = quadrant * pi/2 + r, r negative if `negative`.
    case reduced(Wide, negative: Bool, quadrant: Int)
    /// The result is decided: zero, NaN, indefinite or an unmasked exception.
    case special(Float80Bits)
    /// 2^63 or more: C2 is set and nothing happens.
    case outOfRange
  }

  /// The operand's class, exceptions, and its reduction by the 66-bit pi.
  private mutating func reduce(_ a: Float80Bits) -> Trigonometric {
    if let nan = nanResult(a) { return .special(nan) }
    if a.isInfinity { return .special(invalid()) }
    if a.isZero { return .special(a) }
    if a.isDenormal, raiseDenormal() { return .special(a) }
    if a.exponent >= 16383 + 63 { return .outOfRange }
    let x = wide(a)
    if x.exponent < -1 || (x.exponent == -1 && a.significand <= 0xC90F_DAA2_2168_C234) {
      return .reduced(x, negative: false, quadrant: 0)
    }
    // In units of 2^-65 pi/2 is this integer, and the operand is one of at most 128 bits.
    let halfPi: UInt128 = 0x3_243F_6A88_85A3_08D3
    let units = UInt128(a.significand) << UInt128(x.exponent &+ 2)
    // By the reciprocal, 2^193 / halfPi: the quotient, or one less.
    var quotient =
      Wide.multiplyHigh(units, 0xA2F9_836E_4E44_152A_0006_2BC4_0DA2_76BE) >> 65
    var rest = units &- quotient &* halfPi
    if rest >= halfPi {
      rest &-= halfPi
      quotient &+= 1
    }
    var negative = false
    if rest > halfPi >> 1 {
      rest = halfPi &- rest
      quotient &+= 1
      negative = true
    }
    return .reduced(
      Wide(normalizing: rest, exponent: 62), negative: negative,
      quadrant: Int(truncatingIfNeeded: quotient) & 3)
  }

  /// The sine in quadrant 0, the cosine in 1, and their negatives of a reduced magnitude, the operand's sign left out.
  @inline(__always)
  private mutating func circular(
    _ r: Wide, square: UInt128, _ negative: Bool, _ quadrant: Int, _ sign: UInt16
  ) -> Float80Bits {
    var sign = quadrant & 2 != 0 ? sign ^ 0x8000 : sign
    if quadrant & 1 == 0 {
      if negative { sign ^= 0x8000 }
      return finishQuick(sign, Wide.quickSine(r, square: square)) ?? finish(sign, Wide.sine(r))
    }
    return finishQuick(sign, Wide.quickCosine(square: square)) ?? finish(sign, Wide.cosine(r))
  }

  /// FSIN; nil when out of range.
  mutating func sine(_ a: Float80Bits) -> Float80Bits? {
    switch reduce(a) {
    case .special(let result): return result
    case .outOfRange: return nil
    case .reduced(let r, let negative, let quadrant):
      return circular(r, square: r.squareFraction, negative, quadrant, a.sign)
    }
  }

  /// FCOS; nil when out of range.
  mutating func cosine(_ a: Float80Bits) -> Float80Bits? {
    switch reduce(a) {
    case .special(let result): return result.isZero && !isUnmasked(flags) ? .one : result
    case .outOfRange: return nil
    case .reduced(let r, let negative, let quadrant):
      return circular(r, square: r.squareFraction, negative, (quadrant &+ 1) & 3, 0)
    }
  }

  /// FSINCOS; nil when out of range. C1 is the cosine's, which is the last stored.
  mutating func sineAndCosine(_ a: Float80Bits) -> (sine: Float80Bits, cosine: Float80Bits)? {
    switch reduce(a) {
    case .special(let result):
      return (result, result.isZero && !isUnmasked(flags) ? .one : result)
    case .outOfRange: return nil
    case .reduced(let r, let negative, let quadrant):
      let square = r.squareFraction
      let sine = circular(r, square: square, negative, quadrant, a.sign)
      flags &= ~FPUStatus.c1
      return (sine, circular(r, square: square, negative, (quadrant &+ 1) & 3, 0))
    }
  }

  /// FPTAN: the tangent and whether 1 is pushed (NaNs are pushed twice); nil when out of range.
  mutating func tangent(_ a: Float80Bits) -> (tangent: Float80Bits, pushed: Float80Bits)? {
    switch reduce(a) {
    case .special(let result): return (result, result.isZero ? .one : result)
    case .outOfRange: return nil
    case .reduced(let r, let negative, let quadrant):
      let sign: UInt16 = (negative ? 0x8000 : 0) ^ a.sign
      let square = r.squareFraction
      let quickSine = Wide.quickSine(r, square: square)
      let quickCosine = Wide.quickCosine(square: square)
      let quick =
        quadrant & 1 == 0
        ? finishQuick(sign, Wide.quickQuotient(quickSine, quickCosine))
        : finishQuick(sign ^ 0x8000, Wide.quickQuotient(quickCosine, quickSine))
      if let quick { return (quick, .one) }
      let sine = Wide.sine(r)
      let cosine = Wide.cosine(r)
      if quadrant & 1 == 0 && r.exponent < -62 {
        // Just above the operand.
        return (finish(sign, r), .one)
      }
      if quadrant & 1 == 0 { return (finish(sign, sine / cosine), .one) }
      return (finish(sign ^ 0x8000, cosine / sine), .one)
    }
  }

  // MARK: - Arctangent

  /// FPATAN: the angle of the point (x, y).
  mutating func arctangent(y: Float80Bits, x: Float80Bits) -> Float80Bits {
    if let nan = nanResult(y, x) { return nan }
    if y.isDenormal || x.isDenormal, raiseDenormal() { return y }
    let sign = y.sign
    if y.isInfinity {
      if !x.isInfinity { return finish(sign, .halfPi) }
      return finish(sign, x.isNegative ? .threeQuarterPi : .quarterPi)
    }
    if y.isZero || x.isInfinity {
      if !x.isNegative { return .zero(sign) }
      return finish(sign, .pi)
    }
    if x.isZero { return finish(sign, .halfPi) }
    let (exponentY, significandY) = y.normalized
    let (exponentX, significandX) = x.normalized
    let steep =
      exponentY > exponentX || (exponentY == exponentX && significandY > significandX)
    let difference = steep ? exponentY &- exponentX : exponentX &- exponentY
    let small = UInt128(steep ? significandX : significandY)
    let large = UInt128(steep ? significandY : significandX)
    // Beyond six binary digits of difference the quotient is small enough for the series.
    let exact = difference <= 6
    let scaled = exact ? large << UInt128(difference) : large
    let numerator = Wide(normalizing: small, exponent: 127 &- difference)
    let denominator = Wide(normalizing: large, exponent: 127)
    func turned(_ angle: Wide) -> Wide {
      if steep { return Wide.add(.halfPi, negative: false, angle, negative: !x.isNegative).value }
      if !x.isNegative { return angle }
      return Wide.add(.pi, negative: false, angle, negative: true).value
    }
    let quick =
      exact
      ? Wide.quickArctangent(
        small: UInt64(truncatingIfNeeded: small), large: UInt64(truncatingIfNeeded: large),
        difference: difference)
      : Wide.quickArctangent(Wide.quickQuotient(numerator, denominator))
    if let result = finishQuick(sign, turned(quick)) { return result }
    return finish(
      sign,
      turned(
        Wide.arctangent(ratio: numerator / denominator, y: small, x: scaled, exact: exact)))
  }

  // MARK: - Exponential and logarithms

  /// F2XM1: 2^x - 1 for |x| <= 1; larger operands, for which the result is undefined, are left as they are.
  mutating func exponentialMinusOne(_ a: Float80Bits) -> Float80Bits {
    if let nan = nanResult(a) { return nan }
    if a.isInfinity { return a.isNegative ? Float80Bits.one.negated : a }
    if a.isZero { return a }
    if a.isDenormal, raiseDenormal() { return a }
    if a.exponent >= 0x3FFF {
      // Processors call even the exact results inexact.
      flags |= FPUStatus.pe
      if a == .one { return a }
      if a == Float80Bits.one.negated {
        return Float80Bits(signExponent: 0xBFFE, significand: 1 << 63)
      }
      return a
    }
    let y = wide(a) * .ln2
    return finishQuick(a.sign, Wide.quickExponentialMinusOne(y, negative: a.isNegative))
      ?? finish(a.sign, Wide.exponentialMinusOne(y, negative: a.isNegative))
  }

  /// FYL2X: y * log2(x).
  mutating func logarithm(y: Float80Bits, x: Float80Bits) -> Float80Bits {
    if let nan = nanResult(y, x) { return nan }
    if x.isZero {
      if y.isZero { return invalid() }
      if y.isInfinity { return .infinity(y.sign ^ 0x8000) }
      flags |= FPUStatus.ze
      return .infinity(y.sign ^ 0x8000)
    }
    if x.isNegative { return invalid() }
    if x.isInfinity {
      if y.isZero { return invalid() }
      if y.isDenormal, raiseDenormal() { return y }
      return .infinity(y.sign)
    }
    let isOne = x == .one
    if y.isInfinity {
      if isOne { return invalid() }
      if x.isDenormal, raiseDenormal() { return y }
      return .infinity(x.exponent < 0x3FFF ? y.sign ^ 0x8000 : y.sign)
    }
    if x.isDenormal || y.isDenormal, raiseDenormal() { return y }
    if isOne { return .zero(y.sign) }
    if y.isZero { return .zero(x.exponent < 0x3FFF ? y.sign ^ 0x8000 : y.sign) }
    let quick = Wide.logarithm(wide(x), quick: true)
    let quickSign = y.sign ^ (quick.negative ? 0x8000 : 0)
    if !quick.exact, let result = finishQuick(quickSign, quick.value * wide(y)) { return result }
    let (value, negative, exact) = Wide.logarithm(wide(x), quick: false)
    let sign = y.sign ^ (negative ? 0x8000 : 0)
    let product = value * wide(y)
    return exact ? finishExact(sign, product) : finish(sign, product)
  }

  /// FYL2XP1: y * log2(x + 1).
  mutating func logarithmOnePlus(y: Float80Bits, x: Float80Bits) -> Float80Bits {
    if let nan = nanResult(y, x) { return nan }
    let sign = y.sign ^ x.sign
    if x.isInfinity {
      if x.isNegative || y.isZero { return invalid() }
      if y.isDenormal, raiseDenormal() { return y }
      return .infinity(y.sign)
    }
    if y.isInfinity {
      if x.isZero { return invalid() }
      if x.isDenormal, raiseDenormal() { return y }
      return .infinity(sign)
    }
    if x.isDenormal || y.isDenormal, raiseDenormal() { return y }
    if x.isZero || y.isZero { return .zero(sign) }
    // Inside the documented range the series of x, beyond it the logarithm of the sum; from -1 down the operand.
    let magnitude = wide(x)
    if x.exponent < 0x3FFD || (x.exponent == 0x3FFD && x.significand <= 0x95F6_1998_0C43_36F7) {
      let factor = wide(y)
      let quick = Wide.logarithmOnePlus(magnitude, negative: x.isNegative, quick: true)
      if let result = finishQuick(sign, quick * factor) { return result }
      let value = Wide.logarithmOnePlus(magnitude, negative: x.isNegative, quick: false)
      return finish(sign, value * factor)
    }
    let one = Wide(exponent: 0, significand: UInt128(1) << 127)
    let sum = Wide.add(one, negative: false, magnitude, negative: x.isNegative)
    if sum.negative || sum.value.significand == 0 {
      flags |= FPUStatus.pe
      return x
    }
    let (value, negative, exact) = Wide.logarithm(sum.value, quick: false)
    let resultSign = y.sign ^ (negative ? 0x8000 : 0)
    let product = value * wide(y)
    return exact && magnitude.exponent < 63
      ? finishExact(resultSign, product) : finish(resultSign, product)
  }
}
