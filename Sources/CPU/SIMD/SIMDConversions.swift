// The conversions of SSE and SSE2.
//
// Owns: where operands come from and results go, reporting of SIMD exceptions. Must not know: encodings (the instruction table), arithmetic
// (SIMDFloat).
// Follows: Intel SDM volume 2 (CVT..), volume 1, section 11.5.

private let lowHalf: UInt64 = 0xFFFF_FFFF

extension CPU {
  /// Two integers of one format from two numbers.
  private func integers(
    _ unit: inout SIMDFloat, _ a: UInt64, _ b: UInt64, _ f: FloatFormat, _ truncate: Bool
  ) -> UInt64 {
    UInt64(unit.toInteger(a, f, truncate: truncate))
      | UInt64(unit.toInteger(b, f, truncate: truncate)) << 32
  }

  private var simdUnit: SIMDFloat { SIMDFloat(control: fpu.pointee.mxcsr) }

  // MARK: - Between MMX and XMM registers

  /// The source of CVTPI2PS and CVTPI2PD. With an operand in memory nothing of the x87 matters or changes, as processors do.
  private func pairSource(_ i: Insn) throws(Fault) -> UInt64 {
    if !i.pointee.hasMemory { try checkFPUPending() }
    return try mmxSource(i)
  }

  /// CVTPI2PS.
  func convertPairToSingles(_ i: Insn) throws(Fault) {
    let source = try pairSource(i)
    var unit = simdUnit
    let result =
      unit.fromInteger(UInt32(truncatingIfNeeded: source), .single)
      | unit.fromInteger(UInt32(truncatingIfNeeded: source >> 32), .single) << 32
    try finish(unit)
    xmm[xmmReg(i)].low = result
    if !i.pointee.hasMemory { enterMMX() }
  }

  /// CVTPI2PD.
  func convertPairToDoubles(_ i: Insn) throws(Fault) {
    let source = try pairSource(i)
    var unit = simdUnit
    let result = XMMBits(
      unit.fromInteger(UInt32(truncatingIfNeeded: source), .double),
      unit.fromInteger(UInt32(truncatingIfNeeded: source >> 32), .double))
    try finish(unit)
    xmm[xmmReg(i)] = result
    if !i.pointee.hasMemory { enterMMX() }
  }

  /// CVTPS2PI, CVTTPS2PI.
  func convertSinglesToPair(_ i: Insn, truncate: Bool) throws(Fault) {
    try checkFPUPending()
    var unit = simdUnit
    let b = try lowSource(i, 8)
    let value = integers(&unit, b & lowHalf, b >> 32, .single, truncate)
    try finish(unit)
    setMM(i.pointee.reg, value)
  }

  /// CVTPD2PI, CVTTPD2PI.
  func convertDoublesToPair(_ i: Insn, truncate: Bool) throws(Fault) {
    try checkFPUPending()
    var unit = simdUnit
    let b = try source128(i)
    let value = integers(&unit, b.low, b.high, .double, truncate)
    try finish(unit)
    setMM(i.pointee.reg, value)
  }

  // MARK: - Between general and XMM registers

  /// CVTSI2SS.
  func convertIntegerToSingle(_ i: Insn) throws(Fault) {
    let source: UInt32 = try readRM(i)
    var unit = simdUnit
    let result = xmm[xmmReg(i)].low & ~lowHalf | unit.fromInteger(source, .single)
    try finish(unit)
    xmm[xmmReg(i)].low = result
  }

  /// CVTSI2SD.
  func convertIntegerToDouble(_ i: Insn) throws(Fault) {
    let source: UInt32 = try readRM(i)
    var unit = simdUnit
    let result = unit.fromInteger(source, .double)
    try finish(unit)
    xmm[xmmReg(i)].low = result
  }

  /// CVTSS2SI, CVTTSS2SI.
  func convertSingleToInteger(_ i: Insn, truncate: Bool) throws(Fault) {
    var unit = simdUnit
    let value = unit.toInteger(try lowSource(i, 4) & lowHalf, .single, truncate: truncate)
    try finish(unit)
    setReg(i.pointee.reg, value)
  }

  /// CVTSD2SI, CVTTSD2SI.
  func convertDoubleToInteger(_ i: Insn, truncate: Bool) throws(Fault) {
    var unit = simdUnit
    let value = unit.toInteger(try lowSource(i, 8), .double, truncate: truncate)
    try finish(unit)
    setReg(i.pointee.reg, value)
  }

  // MARK: - Between formats

  /// CVTPS2PD.
  func convertSinglesToDoubles(_ i: Insn) throws(Fault) {
    let b = try lowSource(i, 8)
    var unit = simdUnit
    let result = XMMBits(
      unit.convert(b & lowHalf, from: .single, to: .double),
      unit.convert(b >> 32, from: .single, to: .double))
    try finish(unit)
    xmm[xmmReg(i)] = result
  }

  /// CVTPD2PS.
  func convertDoublesToSingles(_ i: Insn) throws(Fault) {
    let b = try source128(i)
    var unit = simdUnit
    let result = XMMBits(
      unit.convert(b.low, from: .double, to: .single)
        | unit.convert(b.high, from: .double, to: .single) << 32)
    try finish(unit)
    xmm[xmmReg(i)] = result
  }

  /// CVTSS2SD.
  func convertSingleToDouble(_ i: Insn) throws(Fault) {
    var unit = simdUnit
    let result = unit.convert(try lowSource(i, 4) & lowHalf, from: .single, to: .double)
    try finish(unit)
    xmm[xmmReg(i)].low = result
  }

  /// CVTSD2SS.
  func convertDoubleToSingle(_ i: Insn) throws(Fault) {
    var unit = simdUnit
    let converted = unit.convert(try lowSource(i, 8), from: .double, to: .single)
    try finish(unit)
    xmm[xmmReg(i)].low = xmm[xmmReg(i)].low & ~lowHalf | converted
  }

  // MARK: - Integers in XMM registers

  /// CVTDQ2PS.
  func convertIntegersToSingles(_ i: Insn) throws(Fault) {
    let b = try source128(i)
    var unit = simdUnit
    let result = elements(.none, b, b) { a, _, f in
      unit.fromInteger(UInt32(truncatingIfNeeded: a), f)
    }
    try finish(unit)
    xmm[xmmReg(i)] = result
  }

  /// CVTPS2DQ, CVTTPS2DQ.
  func convertSinglesToIntegers(_ i: Insn, truncate: Bool) throws(Fault) {
    let b = try source128(i)
    var unit = simdUnit
    let result = elements(.none, b, b) { a, _, f in
      UInt64(unit.toInteger(a, f, truncate: truncate))
    }
    try finish(unit)
    xmm[xmmReg(i)] = result
  }

  /// CVTDQ2PD.
  func convertIntegersToDoubles(_ i: Insn) throws(Fault) {
    let b = try lowSource(i, 8)
    var unit = simdUnit
    let result = XMMBits(
      unit.fromInteger(UInt32(truncatingIfNeeded: b), .double),
      unit.fromInteger(UInt32(truncatingIfNeeded: b >> 32), .double))
    try finish(unit)
    xmm[xmmReg(i)] = result
  }

  /// CVTPD2DQ, CVTTPD2DQ.
  func convertDoublesToIntegers(_ i: Insn, truncate: Bool) throws(Fault) {
    let b = try source128(i)
    var unit = simdUnit
    let result = XMMBits(integers(&unit, b.low, b.high, .double, truncate))
    try finish(unit)
    xmm[xmmReg(i)] = result
  }
}
