// Single and double precision arithmetic with the exceptions of MXCSR.
//
// Owns: operand classes, NaN rules, rounding, the operations on one pair of elements as bits. Must not know: registers, instructions.
// Follows: Intel SDM volume 1, sections 4.8, 4.9 (priority of exceptions), 10.2.3 (MXCSR), 11.5 (SIMD exceptions), table 4-7 (NaNs).
//
// An operation adds its exceptions to `flags`; where one is unmasked the result means nothing.

/// Bits of MXCSR.
enum MXCSR {
  static let ie: UInt32 = 1 << 0
  static let de: UInt32 = 1 << 1
  static let ze: UInt32 = 1 << 2
  static let oe: UInt32 = 1 << 3
  static let ue: UInt32 = 1 << 4
  static let pe: UInt32 = 1 << 5
  /// Denormals are zeros.
  static let daz: UInt32 = 1 << 6
  /// Flush to zero.
  static let ftz: UInt32 = 1 << 15
  /// Exceptions found before the operation: unmasked, they keep those of the results from being looked for.
  static let before: UInt32 = ie | de | ze
}

extension FloatFormat {
  @inline(__always) var fractionBits: UInt64 { precision &- 1 }
  @inline(__always) var signBit: UInt64 { 1 &<< (width &- 1) }
  @inline(__always) var infinity: UInt64 { UInt64(top) &<< fractionBits }
  @inline(__always) var quietBit: UInt64 { 1 &<< (fractionBits &- 1) }
  @inline(__always) var indefinite: UInt64 { signBit | infinity | quietBit }
  @inline(__always) func isNaN(_ a: UInt64) -> Bool { a & ~signBit > infinity }
  @inline(__always) func isSignaling(_ a: UInt64) -> Bool { isNaN(a) && a & quietBit == 0 }
  @inline(__always) func isInfinity(_ a: UInt64) -> Bool { a & ~signBit == infinity }
  @inline(__always) func isZero(_ a: UInt64) -> Bool { a & ~signBit == 0 }
  @inline(__always) func isDenormal(_ a: UInt64) -> Bool {
    a & infinity == 0 && a & ~signBit != 0
  }
  /// Exponent and significand, its first bit in bit 63; denormals get exponents of 0 and less.
  @inline(__always) func unpack(_ a: UInt64) -> (exponent: Int, significand: UInt64) {
    let fraction = (a & ~signBit & ~infinity) &<< (64 &- precision)
    let exponent = Int(truncatingIfNeeded: a &>> fractionBits) & top
    if exponent != 0 { return (exponent, fraction | 1 << 63) }
    let shift = fraction.leadingZeroBitCount
    return (1 &- shift, fraction &<< UInt64(shift))
  }
}

struct SIMDFloat {
  /// MXCSR as it is before the instruction.
  let control: UInt32
  /// Exceptions raised.
  var flags: UInt32 = 0

  @inline(__always) init(control: UInt32) { self.control = control }

  /// Outcomes of a comparison.
  enum Order { case less, equal, greater, unordered }

  @inline(__always) private func isMasked(_ flag: UInt32) -> Bool { control & flag << 7 != 0 }

  /// An operand with denormals taken for zeros where MXCSR says so.
  @inline(__always)
  func operand(_ a: UInt64, _ f: FloatFormat) -> UInt64 {
    control & MXCSR.daz != 0 && f.isDenormal(a) ? a & f.signBit : a
  }

  /// The first operand that is a NaN, made quiet.
  private mutating func nanResult(_ a: UInt64, _ b: UInt64, _ f: FloatFormat) -> UInt64 {
    if f.isSignaling(a) || f.isSignaling(b) { flags |= MXCSR.ie }
    return (f.isNaN(a) ? a : b) | f.quietBit
  }

  private mutating func invalid(_ f: FloatFormat) -> UInt64 {
    flags |= MXCSR.ie
    return f.indefinite
  }

  @inline(__always)
  private mutating func noteDenormals(_ a: UInt64, _ b: UInt64, _ f: FloatFormat) {
    if f.isDenormal(a) || f.isDenormal(b) { flags |= MXCSR.de }
  }

  // MARK: - Rounding

  /// `rest`: the part cut off, half an ulp being 2^63.
  @inline(__always)
  private func roundsUp(_ negative: Bool, _ rest: UInt64, odd: Bool) -> Bool {
    switch control >> 13 & 3 {
    case 0: return rest > 1 << 63 || (rest == 1 << 63 && odd)
    case 1: return negative && rest != 0
    case 2: return !negative && rest != 0
    default: return false
    }
  }

  @inline(__always)
  private static func jam(_ a: UInt64, _ shift: Int) -> UInt64 {
    if shift == 0 { return a }
    if shift > 63 { return a != 0 ? 1 : 0 }
    return a &>> UInt64(shift) | (a &<< UInt64(64 &- shift) != 0 ? 1 : 0)
  }

  /// Rounds and packs a number; bit 63 of `significand` is set, its last bit may be sticky.
  private mutating func roundPack(
    _ negative: Bool, _ exponent: Int, _ significand: UInt64, _ f: FloatFormat
  ) -> UInt64 {
    let sign = negative ? f.signBit : 0
    let drop = 64 &- f.precision
    var kept = significand &>> drop
    var rest = significand &<< f.precision
    var up = roundsUp(negative, rest, odd: kept & 1 != 0)
    if exponent <= 0 {
      let tiny = exponent < 0 || !up || kept != 1 &<< f.precision &- 1
      if tiny && control & MXCSR.ftz != 0 && isMasked(MXCSR.ue) {
        flags |= MXCSR.ue | MXCSR.pe
        return sign
      }
      if tiny && !isMasked(MXCSR.ue) {
        // Nothing is stored; inexact is what the unbounded result would be.
        flags |= rest != 0 ? MXCSR.ue | MXCSR.pe : MXCSR.ue
        return sign
      }
      let shifted = SIMDFloat.jam(significand, 1 &- exponent)
      kept = shifted &>> drop
      rest = shifted &<< f.precision
      up = roundsUp(negative, rest, odd: kept & 1 != 0)
      if tiny && rest != 0 { flags |= MXCSR.ue }
      if rest != 0 { flags |= MXCSR.pe }
      return sign | (kept &+ (up ? 1 : 0))
    }
    var exponent = exponent
    if up {
      kept &+= 1
      if kept >> f.precision != 0 {
        kept >>= 1
        exponent &+= 1
      }
    }
    if exponent >= f.top {
      flags |= MXCSR.oe
      if rest != 0 || isMasked(MXCSR.oe) { flags |= MXCSR.pe }
      let mode = control >> 13 & 3
      let toInfinity = mode == 0 || (mode == 1 && negative) || (mode == 2 && !negative)
      return sign | (toInfinity ? f.infinity : f.infinity &- 1)
    }
    if rest != 0 { flags |= MXCSR.pe }
    return sign | UInt64(exponent) &<< f.fractionBits | kept & ~(1 &<< f.fractionBits)
  }

  // MARK: - Arithmetic

  mutating func add(_ x: UInt64, _ y: UInt64, _ f: FloatFormat, subtract: Bool = false) -> UInt64 {
    let a = operand(x, f)
    var b = operand(y, f)
    if f.isNaN(a) || f.isNaN(b) { return nanResult(a, b, f) }
    if subtract { b ^= f.signBit }
    let infinite = (f.isInfinity(a), f.isInfinity(b))
    if infinite.0 && infinite.1 && a != b { return invalid(f) }
    noteDenormals(a, b, f)
    if infinite.0 { return a }
    if infinite.1 { return b }
    let zeroSign = control >> 13 & 3 == 1 ? f.signBit : 0
    if f.isZero(a) && f.isZero(b) { return a == b ? a : zeroSign }
    if f.isZero(a) || f.isZero(b) {
      let c = f.isZero(a) ? b : a
      let (exponent, significand) = f.unpack(c)
      return roundPack(c & f.signBit != 0, exponent, significand, f)
    }
    var (ea, sa) = f.unpack(a)
    var (eb, sb) = f.unpack(b)
    var negative = a & f.signBit != 0
    let same = (a ^ b) & f.signBit == 0
    if ea < eb || (ea == eb && sa < sb) {
      (ea, eb, sa, sb) = (eb, ea, sb, sa)
      negative = b & f.signBit != 0
    }
    sa >>= 1
    sb = SIMDFloat.jam(sb >> 1, ea &- eb)
    let sum = same ? sa &+ sb : sa &- sb
    if sum == 0 { return zeroSign }
    let shift = sum.leadingZeroBitCount
    return roundPack(negative, ea &+ 1 &- shift, sum &<< UInt64(shift), f)
  }

  mutating func multiply(_ x: UInt64, _ y: UInt64, _ f: FloatFormat) -> UInt64 {
    let a = operand(x, f)
    let b = operand(y, f)
    if f.isNaN(a) || f.isNaN(b) { return nanResult(a, b, f) }
    let sign = (a ^ b) & f.signBit
    if f.isInfinity(a) || f.isInfinity(b) {
      if f.isZero(a) || f.isZero(b) { return invalid(f) }
      noteDenormals(a, b, f)
      return sign | f.infinity
    }
    noteDenormals(a, b, f)
    if f.isZero(a) || f.isZero(b) { return sign }
    let (ea, sa) = f.unpack(a)
    let (eb, sb) = f.unpack(b)
    var (high, low) = sa.multipliedFullWidth(by: sb)
    var exponent = ea &+ eb &- f.bias
    if high >> 63 == 0 {
      high = high << 1 | low >> 63
      low <<= 1
    } else {
      exponent &+= 1
    }
    return roundPack(sign != 0, exponent, high | (low != 0 ? 1 : 0), f)
  }

  mutating func divide(_ x: UInt64, _ y: UInt64, _ f: FloatFormat) -> UInt64 {
    let a = operand(x, f)
    let b = operand(y, f)
    if f.isNaN(a) || f.isNaN(b) { return nanResult(a, b, f) }
    let sign = (a ^ b) & f.signBit
    if f.isInfinity(a) {
      if f.isInfinity(b) { return invalid(f) }
      noteDenormals(a, b, f)
      return sign | f.infinity
    }
    if f.isZero(b) {
      if f.isZero(a) { return invalid(f) }
      flags |= MXCSR.ze
      return sign | f.infinity
    }
    noteDenormals(a, b, f)
    if f.isZero(a) || f.isInfinity(b) { return sign }
    let (ea, sa) = f.unpack(a)
    let (eb, sb) = f.unpack(b)
    var exponent = ea &- eb &+ f.bias
    let quotient: (quotient: UInt64, remainder: UInt64)
    if sa < sb {
      exponent &-= 1
      quotient = sb.dividingFullWidth((sa, 0))
    } else {
      quotient = sb.dividingFullWidth((sa >> 1, sa << 63))
    }
    return roundPack(
      sign != 0, exponent, quotient.quotient | (quotient.remainder != 0 ? 1 : 0), f)
  }

  mutating func squareRoot(_ x: UInt64, _ f: FloatFormat) -> UInt64 {
    let a = operand(x, f)
    if f.isNaN(a) { return nanResult(a, a, f) }
    if f.isZero(a) { return a }
    if a & f.signBit != 0 { return invalid(f) }
    if f.isInfinity(a) { return a }
    noteDenormals(a, a, f)
    let (exponent, significand) = f.unpack(a)
    let power = exponent &- f.bias
    // The root of a number with an even power of two.
    var rest = UInt128(significand) << (power & 1 != 0 ? 64 : 63)
    var root: UInt128 = 0
    var bit: UInt128 = 1 << 126
    while bit != 0 {
      if rest >= root &+ bit {
        rest &-= root &+ bit
        root = root >> 1 &+ bit
      } else {
        root >>= 1
      }
      bit >>= 2
    }
    let result = UInt64(truncatingIfNeeded: root) | (rest != 0 ? 1 : 0)
    return roundPack(false, power >> 1 &+ f.bias, result, f)
  }

  // MARK: - Comparison

  /// The order of two numbers; with `signaling` a quiet NaN is invalid too.
  mutating func compare(_ x: UInt64, _ y: UInt64, _ f: FloatFormat, signaling: Bool) -> Order {
    let a = operand(x, f)
    let b = operand(y, f)
    if f.isNaN(a) || f.isNaN(b) {
      if signaling || f.isSignaling(a) || f.isSignaling(b) { flags |= MXCSR.ie }
      return .unordered
    }
    noteDenormals(a, b, f)
    if a == b || (f.isZero(a) && f.isZero(b)) { return .equal }
    let negative = a & f.signBit != 0
    if negative != (b & f.signBit != 0) { return negative ? .less : .greater }
    return (a < b) != negative ? .less : .greater
  }

  /// MIN and MAX: the second operand where either is a NaN or both are zeros.
  mutating func extreme(_ x: UInt64, _ y: UInt64, _ f: FloatFormat, wanted: Order) -> UInt64 {
    let order = compare(x, y, f, signaling: true)
    return operand(order == wanted ? x : y, f)
  }

  /// CMPPS and its kin, by the predicate in the immediate's low three bits.
  mutating func holds(_ predicate: UInt8, _ a: UInt64, _ b: UInt64, _ f: FloatFormat) -> Bool {
    let kind = predicate & 3
    let order = compare(a, b, f, signaling: kind == 1 || kind == 2)
    let holds: Bool
    switch kind {
    case 0: holds = order == .equal
    case 1: holds = order == .less
    case 2: holds = order == .less || order == .equal
    default: holds = order == .unordered
    }
    return holds != (predicate & 4 != 0)
  }

  // MARK: - Conversion

  /// A signed 32-bit integer as a number.
  mutating func fromInteger(_ value: UInt32, _ f: FloatFormat) -> UInt64 {
    if value == 0 { return 0 }
    let signed = Int32(bitPattern: value)
    let magnitude = UInt64(signed.magnitude)
    let shift = magnitude.leadingZeroBitCount
    return roundPack(signed < 0, f.bias &+ 63 &- shift, magnitude &<< UInt64(shift), f)
  }

  /// A number as a signed 32-bit integer; 80000000h where it does not fit.
  mutating func toInteger(_ x: UInt64, _ f: FloatFormat, truncate: Bool) -> UInt32 {
    let a = operand(x, f)
    if f.isZero(a) { return 0 }
    let negative = a & f.signBit != 0
    let (biased, significand) = f.unpack(a)
    let exponent = biased &- f.bias
    guard exponent < 32 else {
      flags |= MXCSR.ie
      return 0x8000_0000
    }
    var kept: UInt64 = 0
    var rest: UInt64 = 1
    if exponent >= 0 {
      kept = significand &>> UInt64(63 &- exponent)
      rest = significand &<< UInt64(exponent &+ 1)
    } else if exponent == -1 {
      rest = significand
    }
    if !truncate && roundsUp(negative, rest, odd: kept & 1 != 0) { kept &+= 1 }
    if kept > (negative ? 0x8000_0000 : 0x7FFF_FFFF) {
      flags |= MXCSR.ie
      return 0x8000_0000
    }
    if rest != 0 { flags |= MXCSR.pe }
    let value = UInt32(truncatingIfNeeded: kept)
    return negative ? 0 &- value : value
  }

  /// Single to double and back.
  mutating func convert(_ x: UInt64, from: FloatFormat, to: FloatFormat) -> UInt64 {
    let a = operand(x, from)
    let sign = a & from.signBit != 0 ? to.signBit : 0
    if from.isNaN(a) {
      if from.isSignaling(a) { flags |= MXCSR.ie }
      let fraction = (a & ~from.signBit & ~from.infinity) &<< (64 &- from.fractionBits)
      return sign | to.infinity | to.quietBit | fraction &>> (64 &- to.fractionBits)
    }
    if from.isInfinity(a) { return sign | to.infinity }
    if from.isZero(a) { return sign }
    noteDenormals(a, a, from)
    let (exponent, significand) = from.unpack(a)
    return roundPack(sign != 0, exponent &- from.bias &+ to.bias, significand, to)
  }

  // MARK: - Approximations

  /// RCPPS: correctly rounded, which is within the allowed error of 1.5 * 2^-12. Raises nothing; denormals are zeros.
  static func reciprocal(_ a: UInt64) -> UInt64 {
    let f = FloatFormat.single
    if f.isNaN(a) { return a | f.quietBit }
    if a & f.infinity == 0 { return a & f.signBit | f.infinity }
    var unit = SIMDFloat(control: 0x1F80 | MXCSR.ftz)
    return unit.divide(UInt64(Float(1).bitPattern), a, f)
  }

  /// RSQRTPS, likewise.
  static func reciprocalRoot(_ a: UInt64) -> UInt64 {
    let f = FloatFormat.single
    if f.isNaN(a) { return a | f.quietBit }
    if a & f.infinity == 0 { return a & f.signBit | f.infinity }
    if a & f.signBit != 0 { return f.indefinite }
    var unit = SIMDFloat(control: 0x1F80)
    let root = unit.squareRoot(unit.convert(a, from: f, to: .double), .double)
    let result = unit.divide(UInt64(Double(1).bitPattern), root, .double)
    return unit.convert(result, from: .double, to: f)
  }
}
