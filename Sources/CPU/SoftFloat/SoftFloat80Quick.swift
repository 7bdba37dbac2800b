// Quick ways to the series behind the transcendental instructions.
//
// Owns: the same functions as SoftFloat80Wide with errors below 2^-78 of the result, in half a dozen wide multiplications: the further
// a term is down the series, the fewer of its bits count, and most are 64-bit arithmetic. And the test whether such a value decides the
// rounding to 64 bits; where it does not (one time in some thousands, and where results are exact), the thorough way is gone.
// Must not know: 80-bit special values, exceptions, rounding modes.
// Follows: the Taylor series.

extension Wide {
  /// Whether all values that differ by less than 2^-76 of this one have the same 64-bit significand in each rounding mode, and a normal
  /// exponent whatever the rounding.
  @inline(__always) var decidesRounding: Bool {
    let margin: UInt64 = 1 << 51
    let half: UInt64 = 1 << 63
    let low = UInt64(truncatingIfNeeded: significand)
    return (low &+ margin) & (half &- 1) > 2 &* margin && exponent > -16380 && exponent < 16380
  }

  @inline(__always)
  private static func high(_ a: UInt64, _ b: UInt64) -> UInt64 { a.multipliedFullWidth(by: b).high }

  /// A fraction in units of 2^-128 times one in units of 2^-64, in units of 2^-128.
  @inline(__always)
  private static func multiply(_ a: UInt128, _ b: UInt64) -> UInt128 {
    let low = UInt64(truncatingIfNeeded: a).multipliedFullWidth(by: b).high
    let (high, middle) = UInt64(truncatingIfNeeded: a >> 64).multipliedFullWidth(by: b)
    return UInt128(high) << 64 | UInt128(middle) &+ UInt128(low)
  }

  @inline(__always)
  private static func top(_ a: UInt128) -> UInt64 { UInt64(truncatingIfNeeded: a >> 64) }

  /// a/b with an error below 2^-100 of it; `b` is not zero.
  @inline(__always)
  static func quickQuotient(_ a: Wide, _ b: Wide) -> Wide {
    // The reciprocal of b.significand / 2^128, first to 51 bits in units of 2^-62, then doubled by Newton's method.
    let estimate = UInt64(0x1p126 / Double(top(b.significand)))
    let product = multiply(b.significand, estimate)
    // 1 - b * estimate in units of 2^-126: some 76 bits.
    let rest = Int128(truncatingIfNeeded: (UInt128(1) << 126) &- product)
    let correction = Int128(estimate) &* (rest >> 14)
    let reciprocal = UInt128(
      truncatingIfNeeded: Int128(estimate) << 64 &+ correction >> 48)
    return Wide(
      normalizing: multiplyHigh(a.significand, reciprocal),
      exponent: a.exponent &- b.exponent &+ 1)
  }

  /// sin x for 0 < x <= pi/4; `square` is x.squareFraction.
  @inline(__always)
  static func quickSine(_ x: Wide, square: UInt128) -> Wide {
    let z = top(square)
    // The terms from 1/9! on in units of 2^-82.
    var t: UInt64 = 0x0000_0000_0000_00BB
    t = 0x0000_0000_0001_71B8 &- high(z, t)
    t = 0x0000_0000_025E_9368 &- high(z, t)
    t = 0x0000_0003_2A58_EE06 &- high(z, t)
    t = 0x0000_035C_FE7C_E677 &- high(z, t)
    t = 0x0002_C248_C275_0DA1 &- high(z, t)
    t = 0x01AE_6456_7F54_4E38 &- high(z, t)
    t = 0xB8EF_1D2A_B639_9C7D &- high(z, t)
    var sum = 0x000D_00D0_0D00_D00D_00D0_0D00_D00D_00D0 &- multiply(square, t) >> 18
    sum = 0x0222_2222_2222_2222_2222_2222_2222_2222 &- multiplyHigh(square, sum)
    sum = 0x2AAA_AAAA_AAAA_AAAA_AAAA_AAAA_AAAA_AAAA &- multiplyHigh(square, sum)
    return x * oneMinus(multiplyHigh(square, sum))
  }

  /// cos x for 0 < x <= pi/4; `square` is x.squareFraction.
  @inline(__always)
  static func quickCosine(square: UInt128) -> Wide {
    let z = top(square)
    // The terms from 1/8! on in units of 2^-79.
    var t: UInt64 = 0x0000_0000_0000_0219
    t = 0x0000_0000_0003_CA85 &- high(z, t)
    t = 0x0000_0000_05A0_9E18 &- high(z, t)
    t = 0x0000_0006_B9FC_F9CC &- high(z, t)
    t = 0x0000_064E_5D2A_301F &- high(z, t)
    t = 0x0004_7BB6_3BFE_3625 &- high(z, t)
    t = 0x024F_C9F6_EF13_EB8E &- high(z, t)
    t = 0xD00D_00D0_0D00_D00D &- high(z, t)
    var sum = 0x005B_05B0_5B05_B05B_05B0_5B05_B05B_05B0 &- multiply(square, t) >> 15
    sum = 0x0AAA_AAAA_AAAA_AAAA_AAAA_AAAA_AAAA_AAAA &- multiplyHigh(square, sum)
    sum = 0x8000_0000_0000_0000_0000_0000_0000_0000 &- multiplyHigh(square, sum)
    return oneMinus(multiplyHigh(square, sum))
  }

  /// The arctangent of small / (large * 2^difference), both with bit 63 set, the quotient being at most 1; `difference` at most 6.
  @inline(__always)
  static func quickArctangent(small: UInt64, large: UInt64, difference: Int) -> Wide {
    let (y, x) = (UInt128(small), UInt128(large) << UInt128(difference))
    let sixteenths = Double(small) * Double(1024 >> difference) / Double(large) * 0x1p-6
    let step = Int(sixteenths + 0.5)
    if step == 0 { return quickArctangent(quickQuotient(Wide(y), Wide(x))) }
    let k = UInt128(truncatingIfNeeded: step)
    let above = y &* 16 >= x &* k
    let numerator = above ? y &* 16 &- x &* k : x &* k &- y &* 16
    let base = arctangentOfSixteenths(step)
    if numerator == 0 { return base }
    let u = quickQuotient(Wide(numerator), Wide(x &* 16 &+ y &* k))
    return add(base, negative: false, quickArctangent(u), negative: !above).value
  }

  /// An integer that is not zero.
  @inline(__always)
  private init(_ integer: UInt128) { self.init(normalizing: integer, exponent: 127) }

  /// atan u for 0 < u < 1/31.
  @inline(__always)
  static func quickArctangent(_ u: Wide) -> Wide {
    let square = u.squareFraction
    let z = top(square)
    // The terms from 1/5 on in units of 2^-66.
    var t: UInt64 = 0x35E5_0D79_435E_50D7
    t = 0x3C3C_3C3C_3C3C_3C3C &- high(z, t)
    t = 0x4444_4444_4444_4444 &- high(z, t)
    t = 0x4EC4_EC4E_C4EC_4EC4 &- high(z, t)
    t = 0x5D17_45D1_745D_1745 &- high(z, t)
    t = 0x71C7_1C71_C71C_71C7 &- high(z, t)
    t = 0x9249_2492_4924_9249 &- high(z, t)
    t = 0xCCCC_CCCC_CCCC_CCCC &- high(z, t)
    let sum = 0x5555_5555_5555_5555_5555_5555_5555_5555 &- multiply(square, t) >> 2
    return u * oneMinus(multiplyHigh(square, sum))
  }

  /// The magnitude of e^y - 1 for 0 < |y| < 0.7.
  static func quickExponentialMinusOne(_ y: Wide, negative: Bool) -> Wide {
    let fraction = y.fraction
    let z = top(fraction)
    if negative {
      // The terms from 1/8! on in units of 2^-79.
      var t: UInt64 = 0x0000_0000_0000_0017
      t = 0x0000_0000_0000_0219 &- high(z, t)
      t = 0x0000_0000_0000_2E37 &- high(z, t)
      t = 0x0000_0000_0003_CA85 &- high(z, t)
      t = 0x0000_0000_004B_D26D &- high(z, t)
      t = 0x0000_0000_05A0_9E18 &- high(z, t)
      t = 0x0000_0000_654B_1DC0 &- high(z, t)
      t = 0x0000_0006_B9FC_F9CC &- high(z, t)
      t = 0x0000_006B_9FCF_9CCE &- high(z, t)
      t = 0x0000_064E_5D2A_301F &- high(z, t)
      t = 0x0000_5849_184E_A1B4 &- high(z, t)
      t = 0x0004_7BB6_3BFE_3625 &- high(z, t)
      t = 0x0035_CC8A_CFEA_89C7 &- high(z, t)
      t = 0x024F_C9F6_EF13_EB8E &- high(z, t)
      t = 0x171D_E3A5_56C7_338F &- high(z, t)
      t = 0xD00D_00D0_0D00_D00D &- high(z, t)
      var sum = 0x000D_00D0_0D00_D00D_00D0_0D00_D00D_00D0 &- multiply(fraction, t) >> 15
      sum = 0x005B_05B0_5B05_B05B_05B0_5B05_B05B_05B0 &- multiplyHigh(fraction, sum)
      sum = 0x0222_2222_2222_2222_2222_2222_2222_2222 &- multiplyHigh(fraction, sum)
      sum = 0x0AAA_AAAA_AAAA_AAAA_AAAA_AAAA_AAAA_AAAA &- multiplyHigh(fraction, sum)
      sum = 0x2AAA_AAAA_AAAA_AAAA_AAAA_AAAA_AAAA_AAAA &- multiplyHigh(fraction, sum)
      sum = 0x8000_0000_0000_0000_0000_0000_0000_0000 &- multiplyHigh(fraction, sum)
      return y * oneMinus(multiplyHigh(fraction, sum))
    }
    var t: UInt64 = 0x0000_0000_0000_0017
    t = 0x0000_0000_0000_0219 &+ high(z, t)
    t = 0x0000_0000_0000_2E37 &+ high(z, t)
    t = 0x0000_0000_0003_CA85 &+ high(z, t)
    t = 0x0000_0000_004B_D26D &+ high(z, t)
    t = 0x0000_0000_05A0_9E18 &+ high(z, t)
    t = 0x0000_0000_654B_1DC0 &+ high(z, t)
    t = 0x0000_0006_B9FC_F9CC &+ high(z, t)
    t = 0x0000_006B_9FCF_9CCE &+ high(z, t)
    t = 0x0000_064E_5D2A_301F &+ high(z, t)
    t = 0x0000_5849_184E_A1B4 &+ high(z, t)
    t = 0x0004_7BB6_3BFE_3625 &+ high(z, t)
    t = 0x0035_CC8A_CFEA_89C7 &+ high(z, t)
    t = 0x024F_C9F6_EF13_EB8E &+ high(z, t)
    t = 0x171D_E3A5_56C7_338F &+ high(z, t)
    t = 0xD00D_00D0_0D00_D00D &+ high(z, t)
    var sum = 0x000D_00D0_0D00_D00D_00D0_0D00_D00D_00D0 &+ multiply(fraction, t) >> 15
    sum = 0x005B_05B0_5B05_B05B_05B0_5B05_B05B_05B0 &+ multiplyHigh(fraction, sum)
    sum = 0x0222_2222_2222_2222_2222_2222_2222_2222 &+ multiplyHigh(fraction, sum)
    sum = 0x0AAA_AAAA_AAAA_AAAA_AAAA_AAAA_AAAA_AAAA &+ multiplyHigh(fraction, sum)
    sum = 0x2AAA_AAAA_AAAA_AAAA_AAAA_AAAA_AAAA_AAAA &+ multiplyHigh(fraction, sum)
    sum = 0x8000_0000_0000_0000_0000_0000_0000_0000 &+ multiplyHigh(fraction, sum)
    sum = multiplyHigh(fraction, sum)
    return y * Wide(exponent: 0, significand: UInt128(1) << 127 | sum >> 1)
  }

  /// log2((1 + s)/(1 - s)) for 0 < s < 0.172.
  static func quickLogarithmSeries(_ s: Wide) -> Wide {
    let square = s.squareFraction
    let z = top(square)
    // The terms from 1/9 on in units of 2^-67.
    var t: UInt64 = 0x3A83_A83A_83A8_3A83
    t = 0x3E0F_83E0_F83E_0F83 &+ high(z, t)
    t = 0x4210_8421_0842_1084 &+ high(z, t)
    t = 0x469E_E584_69EE_5846 &+ high(z, t)
    t = 0x4BDA_12F6_84BD_A12F &+ high(z, t)
    t = 0x51EB_851E_B851_EB85 &+ high(z, t)
    t = 0x590B_2164_2C85_90B2 &+ high(z, t)
    t = 0x6186_1861_8618_6186 &+ high(z, t)
    t = 0x6BCA_1AF2_86BC_A1AF &+ high(z, t)
    t = 0x7878_7878_7878_7878 &+ high(z, t)
    t = 0x8888_8888_8888_8888 &+ high(z, t)
    t = 0x9D89_D89D_89D8_9D89 &+ high(z, t)
    t = 0xBA2E_8BA2_E8BA_2E8B &+ high(z, t)
    t = 0xE38E_38E3_8E38_E38E &+ high(z, t)
    var sum = 0x2492_4924_9249_2492_4924_9249_2492_4924 &+ multiply(square, t) >> 3
    sum = 0x3333_3333_3333_3333_3333_3333_3333_3333 &+ multiplyHigh(square, sum)
    sum = 0x5555_5555_5555_5555_5555_5555_5555_5555 &+ multiplyHigh(square, sum)
    sum = multiplyHigh(square, sum)
    var result = s * Wide(exponent: 0, significand: UInt128(1) << 127 | sum >> 1) * log2e
    result.exponent &+= 1
    return result
  }
}
