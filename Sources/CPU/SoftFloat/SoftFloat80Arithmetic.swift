// Addition, subtraction, multiplication, division, square root and comparison of 80-bit values.
//
// Owns: the four operations and what precision control applies to. Must not know: the register stack, instructions.
// Follows: Intel SDM volume 2 (FADD, FSUB, FMUL, FDIV, FSQRT, FCOM result tables), volume 1 section 8.5.

extension SoftFloat80 {
  // MARK: - Addition

  /// a + b.
  @inline(__always)
  mutating func add(_ a: Float80Bits, _ b: Float80Bits) -> Float80Bits {
    if a.isNormal && b.isNormal {
      return addFinite(
        a.sign, a.exponent, a.significand, b.sign, b.exponent, b.significand)
    }
    return addSpecial(a, b, flip: 0)
  }

  /// a - b.
  @inline(__always)
  mutating func subtract(_ a: Float80Bits, _ b: Float80Bits) -> Float80Bits {
    if a.isNormal && b.isNormal {
      return addFinite(
        a.sign, a.exponent, a.significand, b.sign ^ 0x8000, b.exponent, b.significand)
    }
    return addSpecial(a, b, flip: 0x8000)
  }

  @inline(never)
  private mutating func addSpecial(_ a: Float80Bits, _ b: Float80Bits, flip: UInt16)
    -> Float80Bits
  {
    if let nan = nanResult(a, b) { return nan }
    let signB = b.sign ^ flip
    if a.isInfinity && b.isInfinity {
      return a.sign == signB ? a : invalid()
    }
    if a.isDenormal || b.isDenormal, raiseDenormal() { return a }
    if a.isInfinity { return a }
    if b.isInfinity { return .infinity(signB) }
    if a.isZero {
      if b.isZero {
        if a.sign == signB { return a }
        return .zero(rounding == Rounding.down ? 0x8000 : 0)
      }
      let (exponent, significand) = b.normalized
      return roundPack(signB, exponent, UInt128(significand) << 64, precisionMask)
    }
    let (exponentA, significandA) = a.normalized
    if b.isZero {
      return roundPack(a.sign, exponentA, UInt128(significandA) << 64, precisionMask)
    }
    let (exponentB, significandB) = b.normalized
    return addFinite(a.sign, exponentA, significandA, signB, exponentB, significandB)
  }

  @inline(never)
  private mutating func addFinite(
    _ signA: UInt16, _ exponentA: Int, _ significandA: UInt64,
    _ signB: UInt16, _ exponentB: Int, _ significandB: UInt64
  ) -> Float80Bits {
    // The larger exponent first.
    let swap = exponentA < exponentB
    let sign = swap ? signB : signA
    var exponent = swap ? exponentB : exponentA
    let difference = swap ? exponentB &- exponentA : exponentA &- exponentB
    let large = UInt128(swap ? significandB : significandA) << 64
    let whole = UInt128(swap ? significandA : significandB) << 64
    var small: UInt128
    if difference <= 64 {
      small = whole &>> UInt128(difference)
    } else if difference < 128 {
      small = whole &>> UInt128(difference)
      if small &<< UInt128(difference) != whole { small |= 1 }
    } else {
      small = 1
    }
    if signA == signB {
      var (sum, carry) = large.addingReportingOverflow(small)
      if carry {
        sum = sum >> 1 | sum & 1 | UInt128(1) << 127
        exponent &+= 1
      }
      return roundPack(sign, exponent, sum, precisionMask)
    }
    if large == small { return .zero(rounding == Rounding.down ? 0x8000 : 0) }
    let negative = large < small
    let result = negative ? small &- large : large &- small
    let shift = result.leadingZeroBitCount
    return roundPack(
      negative ? sign ^ 0x8000 : sign, exponent &- shift, result &<< UInt128(shift), precisionMask)
  }

  // MARK: - Multiplication

  /// a * b.
  @inline(__always)
  mutating func multiply(_ a: Float80Bits, _ b: Float80Bits) -> Float80Bits {
    if a.isNormal && b.isNormal {
      return multiplyFinite(
        a.sign ^ b.sign, a.exponent &+ b.exponent, a.significand, b.significand)
    }
    return multiplySpecial(a, b)
  }

  @inline(never)
  private mutating func multiplySpecial(_ a: Float80Bits, _ b: Float80Bits) -> Float80Bits {
    if let nan = nanResult(a, b) { return nan }
    let sign = a.sign ^ b.sign
    if a.isInfinity || b.isInfinity {
      if a.isZero || b.isZero { return invalid() }
      if a.isDenormal || b.isDenormal, raiseDenormal() { return a }
      return .infinity(sign)
    }
    if a.isDenormal || b.isDenormal, raiseDenormal() { return a }
    if a.isZero || b.isZero { return .zero(sign) }
    let (exponentA, significandA) = a.normalized
    let (exponentB, significandB) = b.normalized
    return multiplyFinite(sign, exponentA &+ exponentB, significandA, significandB)
  }

  @inline(__always)
  private mutating func multiplyFinite(
    _ sign: UInt16, _ exponents: Int, _ a: UInt64, _ b: UInt64
  ) -> Float80Bits {
    let product = UInt128(a) &* UInt128(b)
    if product >> 127 != 0 {
      return roundPack(sign, exponents &- 16382, product, precisionMask)
    }
    return roundPack(sign, exponents &- 16383, product &<< 1, precisionMask)
  }

  // MARK: - Division

  /// a / b.
  @inline(__always)
  mutating func divide(_ a: Float80Bits, _ b: Float80Bits) -> Float80Bits {
    if a.isNormal && b.isNormal {
      return divideFinite(
        a.sign ^ b.sign, a.exponent &- b.exponent, a.significand, b.significand)
    }
    return divideSpecial(a, b)
  }

  @inline(never)
  private mutating func divideSpecial(_ a: Float80Bits, _ b: Float80Bits) -> Float80Bits {
    if let nan = nanResult(a, b) { return nan }
    let sign = a.sign ^ b.sign
    if a.isInfinity {
      if b.isInfinity { return invalid() }
      if b.isDenormal, raiseDenormal() { return a }
      return .infinity(sign)
    }
    if b.isZero {
      if a.isZero { return invalid() }
      flags |= FPUStatus.ze
      return .infinity(sign)
    }
    if a.isDenormal || b.isDenormal, raiseDenormal() { return a }
    if a.isZero || b.isInfinity { return .zero(sign) }
    let (exponentA, significandA) = a.normalized
    let (exponentB, significandB) = b.normalized
    return divideFinite(sign, exponentA &- exponentB, significandA, significandB)
  }

  @inline(__always)
  private mutating func divideFinite(
    _ sign: UInt16, _ difference: Int, _ a: UInt64, _ b: UInt64
  ) -> Float80Bits {
    var exponent = difference &+ 16383
    let quotient: UInt64
    let remainder: UInt64
    if a >= b {
      (quotient, remainder) = b.dividingFullWidth((a >> 1, a &<< 63))
    } else {
      exponent &-= 1
      (quotient, remainder) = b.dividingFullWidth((a, 0))
    }
    // The next bits: remainder / b against one half.
    let low: UInt64
    if remainder == 0 {
      low = 0
    } else {
      let rest = b &- remainder
      low = remainder > rest ? 0x8000_0000_0000_0001 : remainder == rest ? 1 << 63 : 1
    }
    return roundPack(
      sign, exponent, UInt128(quotient) << 64 | UInt128(low), precisionMask)
  }

  // MARK: - Square root

  /// The square root of a.
  mutating func squareRoot(_ a: Float80Bits) -> Float80Bits {
    if let nan = nanResult(a) { return nan }
    if a.isZero { return a }
    if a.isNegative { return invalid() }
    if a.isInfinity { return a }
    if a.isDenormal, raiseDenormal() { return a }
    let (exponent, significand) = a.normalized
    // The radicand as 128 bits with an even exponent, so that the root has 64.
    let unbiased = exponent &- 16383
    let even = unbiased & 1 == 0
    let radicand = UInt128(significand) << (even ? 63 : 64)
    let root = SoftFloat80.integerRoot(radicand)
    let remainder = radicand &- UInt128(root) &* UInt128(root)
    // (root + 1/2)^2 is never reached exactly.
    let low: UInt64 = remainder == 0 ? 0 : remainder > UInt128(root) ? 0x8000_0000_0000_0001 : 1
    return roundPack(
      0, (unbiased >> 1) &+ 16383, UInt128(root) << 64 | UInt128(low), precisionMask)
  }

  /// The integer part of the square root of a value of at least 2^126.
  static func integerRoot(_ value: UInt128) -> UInt64 {
    let hi = UInt64(truncatingIfNeeded: value >> 64)
    // An estimate from above, so that the divisions cannot overflow, and Newton's steps down from it.
    let estimate = Double(hi).squareRoot() * 4294967296.0 * 1.0000000001
    var root = estimate >= 18446744073709549568.0 ? UInt64.max : UInt64(estimate)
    while true {
      let quotient =
        hi >= root
        ? UInt64.max : root.dividingFullWidth((hi, UInt64(truncatingIfNeeded: value))).quotient
      if quotient >= root { break }
      let (sum, carry) = root.addingReportingOverflow(quotient)
      root = sum >> 1 | (carry ? 1 << 63 : 0)
    }
    return root
  }

  // MARK: - Comparison

  /// The condition codes of a comparison: C3 equal, C0 less, all three unordered. `quiet`: quiet NaNs are not invalid (FUCOM).
  mutating func compare(_ a: Float80Bits, _ b: Float80Bits, quiet: Bool) -> UInt16 {
    let unordered = FPUStatus.c0 | FPUStatus.c2 | FPUStatus.c3
    if a.isUnsupported || b.isUnsupported {
      flags |= FPUStatus.ie
      return unordered
    }
    if a.isNaN || b.isNaN {
      if !quiet || a.isSignaling || b.isSignaling { flags |= FPUStatus.ie }
      return unordered
    }
    if a.isDenormal || b.isDenormal { flags |= FPUStatus.de }
    if a.significand == 0 && b.significand == 0 { return FPUStatus.c3 }
    if a.sign != b.sign { return a.isNegative ? FPUStatus.c0 : 0 }
    // A pseudo-denormal counts as exponent 1.
    let exponentA = a.exponent == 0 ? 1 : a.exponent
    let exponentB = b.exponent == 0 ? 1 : b.exponent
    if exponentA == exponentB && a.significand == b.significand { return FPUStatus.c3 }
    let smaller =
      exponentA == exponentB ? a.significand < b.significand : exponentA < exponentB
    return smaller != a.isNegative ? FPUStatus.c0 : 0
  }
}
