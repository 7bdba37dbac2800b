// Numbers with 128-bit significands and the power series behind the transcendental instructions.
//
// Owns: multiplication, division and series with errors below 2^-118, and the constants to that precision.
// Must not know: 80-bit special values, exceptions, rounding modes.
// Follows: the Taylor series; the 66-bit pi of Intel SDM volume 1, section 8.3.8.

/// A positive number: significand * 2^(exponent - 127), bit 127 of the significand set; or zero with significand 0.
struct Wide {
  var exponent: Int
  var significand: UInt128

  @inline(__always) init(exponent: Int, significand: UInt128) {
    self.exponent = exponent
    self.significand = significand
  }

  /// significand * 2^(exponent - 127) of any significand.
  @inline(__always)
  init(normalizing significand: UInt128, exponent: Int) {
    if significand == 0 {
      self.init(exponent: 0, significand: 0)
    } else {
      let shift = significand.leadingZeroBitCount
      self.init(exponent: exponent &- shift, significand: significand << UInt128(shift))
    }
  }

  /// The upper half of the product.
  @inline(__always)
  static func multiplyHigh(_ a: UInt128, _ b: UInt128) -> UInt128 {
    let a1 = a >> 64
    let a0 = a & 0xFFFF_FFFF_FFFF_FFFF
    let b1 = b >> 64
    let b0 = b & 0xFFFF_FFFF_FFFF_FFFF
    let middle = a1 &* b0 &+ (a0 &* b0) >> 64
    let other = a0 &* b1 &+ middle & 0xFFFF_FFFF_FFFF_FFFF
    // Swift's & binds tighter than &+.
    return a1 &* b1 &+ middle >> 64 &+ other >> 64
  }

  @inline(__always)
  static func * (a: Wide, b: Wide) -> Wide {
    let high = multiplyHigh(a.significand, b.significand)
    if high >> 127 != 0 {
      return Wide(exponent: a.exponent &+ b.exponent &+ 1, significand: high)
    }
    return Wide(exponent: a.exponent &+ b.exponent, significand: high << 1)
  }

  /// `b` is not zero.
  static func / (a: Wide, b: Wide) -> Wide {
    if a.significand >= b.significand {
      // Halved, with the bit that is lost coming after the first 128 of the quotient's digits.
      let q = quotient(a.significand >> 1, a.significand << 127, by: b.significand)
      return Wide(exponent: a.exponent &- b.exponent, significand: q)
    }
    let q = quotient(a.significand, 0, by: b.significand)
    return Wide(exponent: a.exponent &- b.exponent &- 1, significand: q)
  }

  /// The 256-bit number (high, low) by one with bit 127 set, `high` being below it: two digits of 64 bits, one after the other.
  /// Follows: Knuth, The Art of Computer Programming, volume 2, 4.3.1, algorithm D.
  private static func quotient(_ high: UInt128, _ low: UInt128, by divisor: UInt128) -> UInt128 {
    let (first, rest) = digit(high, UInt64(truncatingIfNeeded: low >> 64), divisor)
    let (second, _) = digit(rest, UInt64(truncatingIfNeeded: low), divisor)
    return UInt128(first) << 64 | UInt128(second)
  }

  /// The 192-bit number (above, below) by the divisor: quotient and rest.
  @inline(__always)
  private static func digit(
    _ above: UInt128, _ below: UInt64, _ divisor: UInt128
  ) -> (UInt64, UInt128) {
    let d1 = UInt64(truncatingIfNeeded: divisor >> 64)
    let d0 = UInt64(truncatingIfNeeded: divisor)
    let n1 = UInt64(truncatingIfNeeded: above >> 64)
    let n0 = UInt64(truncatingIfNeeded: above)
    var q = UInt64.max
    var carry = false
    var rest: UInt64
    if n1 >= d1 {
      (rest, carry) = n0.addingReportingOverflow(d1)
    } else {
      (q, rest) = d1.dividingFullWidth((n1, n0))
    }
    while !carry {
      let (high, low) = q.multipliedFullWidth(by: d0)
      if high < rest || (high == rest && low <= below) { break }
      q &-= 1
      (rest, carry) = rest.addingReportingOverflow(d1)
    }
    let product = UInt128(q) &* UInt128(d0)
    return (q, (UInt128(rest) << 64 | UInt128(below)) &- product)
  }

  /// The sum and its sign of two signed numbers; the smaller one's lost bits are not rounded.
  static func add(_ a: Wide, negative signA: Bool, _ b: Wide, negative signB: Bool) -> (
    value: Wide, negative: Bool
  ) {
    if a.significand == 0 { return (b, signB) }
    if b.significand == 0 { return (a, signA) }
    let swap =
      a.exponent < b.exponent || (a.exponent == b.exponent && a.significand < b.significand)
    let large = swap ? b : a
    let small = swap ? a : b
    let shift = large.exponent &- small.exponent
    let aligned: UInt128 = shift > 127 ? 0 : small.significand >> UInt128(shift)
    let sign = swap ? signB : signA
    if signA == signB {
      let (sum, carry) = large.significand.addingReportingOverflow(aligned)
      if carry {
        return (
          Wide(exponent: large.exponent &+ 1, significand: sum >> 1 | UInt128(1) << 127), sign
        )
      }
      return (Wide(exponent: large.exponent, significand: sum), sign)
    }
    return (
      Wide(normalizing: large.significand &- aligned, exponent: large.exponent), sign
    )
  }

  /// The number, which is below 1, in units of 2^-128.
  @inline(__always) var fraction: UInt128 {
    let shift = -1 &- exponent
    return shift > 127 ? 0 : significand >> UInt128(shift)
  }

  /// The square, which is below 1, in units of 2^-128.
  @inline(__always) var squareFraction: UInt128 {
    let square = Wide.multiplyHigh(significand, significand)
    let shift = -2 &- 2 &* exponent
    return shift > 127 ? 0 : square >> UInt128(shift)
  }

  /// 1 - t for a fraction t; a t too small to be seen still makes the result less than 1.
  @inline(__always)
  static func oneMinus(_ t: UInt128) -> Wide {
    let value = 0 &- max(t, 1)
    return Wide(normalizing: value, exponent: -1)
  }

  // MARK: - Constants

  static let ln2 = Wide(exponent: -1, significand: 0xB172_17F7_D1CF_79AB_C9E3_B398_03F2_F6AF)
  static let log2e = Wide(exponent: 0, significand: 0xB8AA_3B29_5C17_F0BB_BE87_FED0_691D_3E89)
  static let pi = Wide(exponent: 1, significand: 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1)
  static let halfPi = Wide(exponent: 0, significand: 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1)
  static let quarterPi = Wide(
    exponent: -1, significand: 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1)
  static let threeQuarterPi = Wide(
    exponent: 1, significand: 0x96CB_E3F9_990E_91A7_9394_C9E8_A0A5_159D)

  /// atan(k/16) for k from 1 to 16.
  @inline(__always)
  static func arctangentOfSixteenths(_ k: Int) -> Wide {
    Wide(normalizing: arctangents[min(k, 16) &- 1], exponent: -1)
  }

  /// 1/n! in units of 2^-128, for n from 2 (index 0) to 35.
  private static let factorials: [UInt128] = {
    var value = UInt128.max
    return (2...35).map { n in
      value /= UInt128(n)
      return value
    }
  }()

  /// 1/(2k + 1) in units of 2^-128, for k from 1 (index 0) to 27.
  private static let oddReciprocals: [UInt128] = (1...27).map { UInt128.max / UInt128(2 * $0 + 1) }

  /// atan(k/16) in units of 2^-128, for k from 1 (index 0) to 16.
  private static let arctangents: [UInt128] = [
    0x0FFA_ADDB_967E_F4E3_6CB2_792D_C0E2_E0D5, 0x1FD5_BA9A_AC2F_6DC6_5912_F313_E7D1_11DF,
    0x2F72_F697_9CB6_044D_1EC2_D3E2_0727_1D22, 0x3EB6_EBF2_5901_BAC5_5B71_E7BD_7DE8_85F9,
    0x4D89_DCDC_1FAF_2F34_E2D5_DA4C_693D_7994, 0x5BD8_6507_937B_C239_C551_9091_6E7F_2242,
    0x6993_BB0F_308F_F2DB_213E_4AF4_800F_389B, 0x76B1_9C15_86ED_3DA2_B7F2_22F6_5E1D_4682,
    0x832B_F4A6_D986_7E2A_4B6A_09CB_61A5_15C1, 0x8F00_5D5E_F7F5_9F9B_5C83_5E16_65C4_3748,
    0x9A2F_80E6_71BD_DA20_4226_F8E2_204F_F3BD, 0xA4BC_7D19_34F7_0924_19A8_7F2A_457D_AC9F,
    0xAEAC_4C38_B4D8_C080_1472_5E2F_3E52_070A, 0xB805_3E2B_C231_9E73_CB2D_A552_10A4_443D,
    0xC0CE_85B8_AC52_6640_89DD_62C4_6E92_FA25, 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1,
  ]

  // MARK: - Series

  /// sin x for 0 < x <= pi/4.
  static func sine(_ x: Wide) -> Wide {
    let z = x.squareFraction
    // z/3! - z^2/5! + ...: factorials[n - 2] is 1/n!.
    var sum: UInt128 = 0
    var n = 31
    while n >= 3 {
      sum = multiplyHigh(z, factorials[n - 2] &- sum)
      n -= 2
    }
    return x * oneMinus(sum)
  }

  /// cos x for 0 < x <= pi/4.
  static func cosine(_ x: Wide) -> Wide {
    let z = x.squareFraction
    var sum: UInt128 = 0
    var n = 32
    while n >= 2 {
      sum = multiplyHigh(z, factorials[n - 2] &- sum)
      n -= 2
    }
    return oneMinus(sum)
  }

  /// The arctangent of y/x, integers scaled alike below 2^66 with 0 < y <= x (`exact` false: y is so much smaller that only `ratio`,
  /// their quotient, counts).
  static func arctangent(ratio: Wide, y: UInt128, x: UInt128, exact: Bool) -> Wide {
    let step = exact ? Int((y * 16 + x / 2) / x) : 0
    if step == 0 { return ratio * arctangentSeries(ratio) }
    let base = arctangents[min(step, 16) - 1]
    // atan(y/x) - atan(k/16) = atan((16y - kx) / (16x + ky)).
    let k = UInt128(step)
    let above = y * 16 >= x * k
    let numerator = above ? y * 16 - x * k : x * k - y * 16
    let baseWide = Wide(normalizing: base, exponent: -1)
    if numerator == 0 { return baseWide }
    let u =
      Wide(normalizing: numerator, exponent: 127)
      / Wide(normalizing: x * 16 + y * k, exponent: 127)
    return add(baseWide, negative: false, u * arctangentSeries(u), negative: !above).value
  }

  /// atan(u)/u for 0 < u <= 1/32.
  private static func arctangentSeries(_ u: Wide) -> Wide {
    let z = u.squareFraction
    var sum: UInt128 = 0
    var k = 13
    while k >= 1 {
      sum = multiplyHigh(z, oddReciprocals[k - 1] &- sum)
      k -= 1
    }
    return oneMinus(sum)
  }

  /// The magnitude of e^y - 1 for 0 < |y| < 0.7.
  static func exponentialMinusOne(_ y: Wide, negative: Bool) -> Wide {
    let z = y.fraction
    var sum: UInt128 = 0
    var n = 34
    while n >= 2 {
      let term = factorials[n - 2]
      sum = multiplyHigh(z, negative ? term &- sum : term &+ sum)
      n -= 1
    }
    if negative { return y * oneMinus(sum) }
    return y * Wide(exponent: 0, significand: UInt128(1) << 127 | sum >> 1)
  }

  /// log2((1 + s)/(1 - s)) for 0 < s < 0.172: 2/ln 2 (s + s^3/3 + s^5/5 + ...).
  private static func logarithmSeries(_ s: Wide) -> Wide {
    let z = s.squareFraction
    var sum: UInt128 = 0
    var k = 27
    while k >= 1 {
      sum = multiplyHigh(z, oddReciprocals[k - 1] &+ sum)
      k -= 1
    }
    var result = s * Wide(exponent: 0, significand: UInt128(1) << 127 | sum >> 1) * log2e
    result.exponent &+= 1
    return result
  }

  /// The base 2 logarithm of a positive number with its sign; zero has significand 0. `exact`: the number is a power of two.
  /// `quick`: with the errors of SoftFloat80Quick.
  static func logarithm(_ x: Wide, quick: Bool) -> (value: Wide, negative: Bool, exact: Bool) {
    // x = m * 2^e with m between sqrt(1/2) and sqrt(2).
    let upper = x.significand > 0xB504_F333_F9DE_6484_597D_89B3_754A_BE9F
    let e = upper ? x.exponent &+ 1 : x.exponent
    let whole = Wide(normalizing: UInt128(e.magnitude), exponent: 127)
    let one = UInt128(1) << 127
    if x.significand == one && !upper { return (whole, e < 0, true) }
    // s = |m - 1| / (m + 1).
    let s: Wide
    if upper {
      // m = significand / 2^128.
      let distance = Wide(normalizing: 0 &- x.significand, exponent: -1)
      let sum = Wide(exponent: 0, significand: one | x.significand >> 1)
      s = quick ? quickQuotient(distance, sum) : distance / sum
    } else {
      let distance = Wide(normalizing: x.significand &- one, exponent: 0)
      let sum = Wide(exponent: 1, significand: one >> 1 &+ x.significand >> 1)
      s = quick ? quickQuotient(distance, sum) : distance / sum
    }
    let (value, negative) = add(
      whole, negative: e < 0, quick ? quickLogarithmSeries(s) : logarithmSeries(s),
      negative: upper)
    return (value, negative, false)
  }

  /// The magnitude and sign of log2(1 + x) for |x| < 0.2929.
  static func logarithmOnePlus(_ x: Wide, negative: Bool, quick: Bool) -> Wide {
    // s = |x| / (2 + x).
    let two = Wide(exponent: 1, significand: UInt128(1) << 127)
    let sum = add(two, negative: false, x, negative: negative).value
    return quick ? quickLogarithmSeries(quickQuotient(x, sum)) : logarithmSeries(x / sum)
  }
}
