// The quick ways of the transcendental functions against the thorough ones.
//
// Owns: random operands of every magnitude. Must not know: how either computes. APUS_TRANSCENDENTALS=N tries N operands of each.

import TestSupport
import Testing

@testable import CPU

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension Random {
  /// A finite number with an exponent from a range; few bits set now and then.
  mutating func number(_ exponents: ClosedRange<Int>, negative: Bool = true) -> Float80Bits {
    let span = UInt64(exponents.upperBound - exponents.lowerBound + 1)
    let exponent = UInt16(0x3FFF + exponents.lowerBound + Int(next() % span))
    let sign: UInt16 = negative && next() & 1 << 40 != 0 ? 0x8000 : 0
    let bits = next() & 7 == 0 ? next() << (next() % 63) : next()
    return Float80Bits(signExponent: sign | exponent, significand: bits | 1 << 63)
  }
}

@Suite("Quick transcendental functions") struct QuickFunctionTests {
  private static var count: Int {
    getenv("APUS_TRANSCENDENTALS").flatMap { Int(String(cString: $0)) } ?? 4000
  }

  private typealias Results = (Float80Bits?, Float80Bits?)

  private func compare(
    _ name: String, _ operands: (inout Random) -> (Float80Bits, Float80Bits),
    _ function: (inout SoftFloat80, Float80Bits, Float80Bits) -> Results
  ) {
    var random = Random(seed: 0x9E37_79B9_7F4A_7C15)
    var failures = 0
    for n in 0..<Self.count {
      let (y, x) = operands(&random)
      // Each rounding; the precision counts for nothing.
      var quick = SoftFloat80(control: 0x033F | UInt16(n & 3) << 10)
      var thorough = quick
      thorough.isThorough = true
      let a = function(&quick, y, x)
      let b = function(&thorough, y, x)
      if a != b || quick.flags != thorough.flags {
        failures += 1
        if failures <= 5 {
          Issue.record("\(name) \(y) \(x): \(a) \(quick.flags), \(b) \(thorough.flags)")
        }
      }
    }
  }

  @Test func trigonometricFunctions() {
    let operand = { (r: inout Random) in (Float80Bits.one, r.number(-70...62)) }
    let usual = { (r: inout Random) in (Float80Bits.one, r.number(-12...4)) }
    for operands in [operand, usual] {
      compare("fsin", operands) { unit, _, x in (unit.sine(x), nil) }
      compare("fcos", operands) { unit, _, x in (unit.cosine(x), nil) }
      compare("fsincos", operands) { unit, _, x in
        let result = unit.sineAndCosine(x)
        return (result?.sine, result?.cosine)
      }
      compare("fptan", operands) { unit, _, x in
        let result = unit.tangent(x)
        return (result?.tangent, result?.pushed)
      }
    }
  }

  @Test func arctangent() {
    let all = { (r: inout Random) in (r.number(-16382...16383), r.number(-16382...16383)) }
    let near = { (r: inout Random) in (r.number(-5...5), r.number(-5...5)) }
    for operands in [all, near] {
      compare("fpatan", operands) { unit, y, x in (unit.arctangent(y: y, x: x), nil) }
    }
  }

  @Test func exponential() {
    let all = { (r: inout Random) in (Float80Bits.one, r.number(-90...(-1))) }
    let near = { (r: inout Random) in (Float80Bits.one, r.number(-5...(-1))) }
    for operands in [all, near] {
      compare("f2xm1", operands) { unit, _, x in (unit.exponentialMinusOne(x), nil) }
    }
  }

  @Test func logarithms() {
    let all = { (r: inout Random) in
      (r.number(-16382...16383), r.number(-16382...16383, negative: false))
    }
    let near = { (r: inout Random) in (r.number(-5...5), r.number(-2...1, negative: false)) }
    for operands in [all, near] {
      compare("fyl2x", operands) { unit, y, x in (unit.logarithm(y: y, x: x), nil) }
    }
    let small = { (r: inout Random) in (r.number(-20...20), r.number(-80...2)) }
    let usual = { (r: inout Random) in (r.number(-5...5), r.number(-10...(-2))) }
    for operands in [small, usual] {
      compare("fyl2xp1", operands) { unit, y, x in (unit.logarithmOnePlus(y: y, x: x), nil) }
    }
  }
}
