// The floating-point instructions of SSE and SSE2.
//
// Owns: which elements an instruction works on, reporting of SIMD exceptions. Must not know: arithmetic (SIMDFloat).
// Follows: Intel SDM volume 2 (ADDPS to UCOMISD, CVT..), volume 1, section 11.5.

extension CPU {
  /// Enters exceptions into MXCSR.
  /// - Throws: #XM for an unmasked one, #UD while CR4.OSXMMEXCPT is clear.
  private func finish(_ unit: SIMDFloat) throws(Fault) {
    var flags = unit.flags
    if flags == 0 { return }
    let unmasked = ~(unit.control >> 7)
    if flags & unmasked & MXCSR.before != 0 { flags &= MXCSR.before }
    fpu.pointee.mxcsr |= flags
    if flags & unmasked != 0 {
      throw s.pointee.cr4 & CR4.osxmmexcpt != 0 ? .xm : .ud
    }
  }

  /// The source of a packed or scalar instruction.
  @inline(__always)
  private func floatSource(_ i: Insn, _ prefix: MandatoryPrefix) throws(Fault) -> XMMBits {
    if !i.pointee.hasMemory { return xmm[Int(i.pointee.rm & 7)] }
    switch prefix {
    case .none, .operandSize: return try read128(i, aligned: true)
    case .rep: return XMMBits(try lowSource(i, 4))
    case .repne: return XMMBits(try lowSource(i, 8))
    }
  }

  /// The low four or eight bytes of the source.
  @inline(__always)
  private func lowSource(_ i: Insn, _ size: Int) throws(Fault) -> UInt64 {
    if !i.pointee.hasMemory { return xmm[Int(i.pointee.rm & 7)].low }
    if size == 8 { return try read(Int(i.pointee.segment), effectiveAddress(i)) }
    let value: UInt32 = try read(Int(i.pointee.segment), effectiveAddress(i))
    return UInt64(value)
  }

  /// Applies an operation to the elements that the prefix names; the others stay as in `a`.
  @inline(__always)
  private func elements(
    _ prefix: MandatoryPrefix, _ a: XMMBits, _ b: XMMBits,
    _ body: (UInt64, UInt64, FloatFormat) -> UInt64
  ) -> XMMBits {
    let mask: UInt64 = 0xFFFF_FFFF
    switch prefix {
    case .none:
      return XMMBits(
        body(a.low & mask, b.low & mask, .single) | body(a.low >> 32, b.low >> 32, .single) << 32,
        body(a.high & mask, b.high & mask, .single)
          | body(a.high >> 32, b.high >> 32, .single) << 32)
    case .operandSize:
      return XMMBits(body(a.low, b.low, .double), body(a.high, b.high, .double))
    case .rep:
      return XMMBits(a.low & ~mask | body(a.low & mask, b.low & mask, .single), a.high)
    case .repne: return XMMBits(body(a.low, b.low, .double), a.high)
    }
  }

  /// 51-53, 58, 59, 5C-5F, C2.
  func executeFloatArithmetic(_ i: Insn, _ opcode: UInt8, _ prefix: MandatoryPrefix) throws(Fault) {
    let b = try floatSource(i, prefix)
    let destination = Int(i.pointee.reg & 7)
    let a = xmm[destination]
    var unit = SIMDFloat(control: fpu.pointee.mxcsr)
    let result: XMMBits
    switch opcode {
    case 0x51: result = elements(prefix, a, b) { _, b, f in unit.squareRoot(b, f) }
    case 0x52: result = elements(prefix, a, b) { _, b, _ in SIMDFloat.reciprocalRoot(b) }
    case 0x53: result = elements(prefix, a, b) { _, b, _ in SIMDFloat.reciprocal(b) }
    case 0x58: result = elements(prefix, a, b) { a, b, f in unit.add(a, b, f) }
    case 0x59: result = elements(prefix, a, b) { a, b, f in unit.multiply(a, b, f) }
    case 0x5C: result = elements(prefix, a, b) { a, b, f in unit.add(a, b, f, subtract: true) }
    case 0x5D: result = elements(prefix, a, b) { a, b, f in unit.extreme(a, b, f, wanted: .less) }
    case 0x5E: result = elements(prefix, a, b) { a, b, f in unit.divide(a, b, f) }
    case 0x5F:
      result = elements(prefix, a, b) { a, b, f in unit.extreme(a, b, f, wanted: .greater) }
    default:
      let predicate = UInt8(truncatingIfNeeded: i.pointee.imm & 7)
      result = elements(prefix, a, b) { a, b, f in
        unit.holds(predicate, a, b, f) ? f.signBit | (f.signBit &- 1) : 0
      }
    }
    try finish(unit)
    xmm[destination] = result
  }

  /// COMISS, COMISD, UCOMISS, UCOMISD.
  func executeFloatCompare(_ i: Insn, _ opcode: UInt8, _ prefix: MandatoryPrefix) throws(Fault) {
    let format = prefix == .none ? FloatFormat.single : .double
    let mask: UInt64 = prefix == .none ? 0xFFFF_FFFF : UInt64.max
    let b = try lowSource(i, prefix == .none ? 4 : 8) & mask
    var unit = SIMDFloat(control: fpu.pointee.mxcsr)
    let order = unit.compare(
      xmm[Int(i.pointee.reg & 7)].low & mask, b, format, signaling: opcode == 0x2F)
    try finish(unit)
    switch order {
    case .less: setArithmeticFlags(EFLAGS.cf)
    case .equal: setArithmeticFlags(EFLAGS.zf)
    case .greater: setArithmeticFlags(0)
    case .unordered: setArithmeticFlags(EFLAGS.zf | EFLAGS.pf | EFLAGS.cf)
    }
  }

  // MARK: - Conversions

  /// Two integers of one format from two numbers.
  private func integers(
    _ unit: inout SIMDFloat, _ a: UInt64, _ b: UInt64, _ f: FloatFormat, _ truncate: Bool
  ) -> UInt64 {
    UInt64(unit.toInteger(a, f, truncate: truncate))
      | UInt64(unit.toInteger(b, f, truncate: truncate)) << 32
  }

  /// 2A: integers to numbers.
  func executeFromInteger(_ i: Insn, _ prefix: MandatoryPrefix) throws(Fault) {
    let destination = Int(i.pointee.reg & 7)
    var unit = SIMDFloat(control: fpu.pointee.mxcsr)
    var result = xmm[destination]
    switch prefix {
    case .none:
      let source = try mmxSource(i)
      result.low =
        unit.fromInteger(UInt32(truncatingIfNeeded: source), .single)
        | unit.fromInteger(UInt32(truncatingIfNeeded: source >> 32), .single) << 32
    case .operandSize:
      let source = try mmxSource(i)
      result = XMMBits(
        unit.fromInteger(UInt32(truncatingIfNeeded: source), .double),
        unit.fromInteger(UInt32(truncatingIfNeeded: source >> 32), .double))
    case .rep:
      let source: UInt32 = try readRM(i)
      result.low = result.low & ~0xFFFF_FFFF | unit.fromInteger(source, .single)
    case .repne:
      let source: UInt32 = try readRM(i)
      result.low = unit.fromInteger(source, .double)
    }
    try finish(unit)
    xmm[destination] = result
    // With its operand in memory nothing of the x87 changes, as processors do.
    if (prefix == .none || prefix == .operandSize) && !i.pointee.hasMemory { enterMMX() }
  }

  /// 2C, 2D: numbers to integers in MMX or general registers.
  func executeToInteger(_ i: Insn, _ prefix: MandatoryPrefix, truncate: Bool) throws(Fault) {
    var unit = SIMDFloat(control: fpu.pointee.mxcsr)
    switch prefix {
    case .none:
      let b = try lowSource(i, 8)
      let value = integers(&unit, b & 0xFFFF_FFFF, b >> 32, .single, truncate)
      try finish(unit)
      setMM(i.pointee.reg, value)
    case .operandSize:
      let b = try floatSource(i, prefix)
      let value = integers(&unit, b.low, b.high, .double, truncate)
      try finish(unit)
      setMM(i.pointee.reg, value)
    case .rep:
      let b = try lowSource(i, 4) & 0xFFFF_FFFF
      let value = unit.toInteger(b, .single, truncate: truncate)
      try finish(unit)
      setReg(i.pointee.reg, value)
    case .repne:
      let b = try lowSource(i, 8)
      let value = unit.toInteger(b, .double, truncate: truncate)
      try finish(unit)
      setReg(i.pointee.reg, value)
    }
  }

  /// 5A, 5B, E6: conversions between XMM registers.
  func executeConvert(_ i: Insn, _ opcode: UInt8, _ prefix: MandatoryPrefix) throws(Fault) {
    let destination = Int(i.pointee.reg & 7)
    var result = xmm[destination]
    let mask: UInt64 = 0xFFFF_FFFF
    var unit = SIMDFloat(control: fpu.pointee.mxcsr)
    switch (opcode, prefix) {
    case (0x5A, .none):
      let b = try lowSource(i, 8)
      result = XMMBits(
        unit.convert(b & mask, from: .single, to: .double),
        unit.convert(b >> 32, from: .single, to: .double))
    case (0x5A, .operandSize):
      let b = try floatSource(i, prefix)
      result = XMMBits(
        unit.convert(b.low, from: .double, to: .single)
          | unit.convert(b.high, from: .double, to: .single) << 32)
    case (0x5A, .rep):
      result.low = unit.convert(try lowSource(i, 4) & mask, from: .single, to: .double)
    case (0x5A, .repne):
      let b = try lowSource(i, 8)
      result.low = result.low & ~mask | unit.convert(b, from: .double, to: .single)
    case (0x5B, .none):
      let b = try floatSource(i, prefix)
      result = elements(.none, b, b) { a, _, f in
        unit.fromInteger(UInt32(truncatingIfNeeded: a), f)
      }
    case (0x5B, _):
      let b = try floatSource(i, .none)
      let truncate = prefix == .rep
      result = elements(.none, b, b) { a, _, f in
        UInt64(unit.toInteger(a, f, truncate: truncate))
      }
    case (_, .rep):
      let b = try lowSource(i, 8)
      result = XMMBits(
        unit.fromInteger(UInt32(truncatingIfNeeded: b), .double),
        unit.fromInteger(UInt32(truncatingIfNeeded: b >> 32), .double))
    default:
      let b = try floatSource(i, .operandSize)
      result = XMMBits(integers(&unit, b.low, b.high, .double, prefix == .operandSize))
    }
    try finish(unit)
    xmm[destination] = result
  }
}
