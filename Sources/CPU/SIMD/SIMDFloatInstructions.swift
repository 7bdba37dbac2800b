// The floating-point instructions of SSE and SSE2.
//
// Owns: which elements an instruction works on, reporting of SIMD exceptions. Must not know: encodings (the instruction table), arithmetic (SIMDFloat).
// Follows: Intel SDM volume 2 (ADDPS to UCOMISD), volume 1, section 11.5.

extension CPU {
  /// Enters exceptions into MXCSR.
  /// - Throws: #XM for an unmasked one, #UD while CR4.OSXMMEXCPT is clear.
  func finish(_ unit: SIMDFloat) throws(Fault) {
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
  func lowSource(_ i: Insn, _ size: Int) throws(Fault) -> UInt64 {
    if !i.pointee.hasMemory { return xmm[Int(i.pointee.rm & 7)].low }
    if size == 8 { return try read(Int(i.pointee.segment), effectiveAddress(i)) }
    let value: UInt32 = try read(Int(i.pointee.segment), effectiveAddress(i))
    return UInt64(value)
  }

  /// Applies an operation to the elements that the prefix names; the others stay as in `a`.
  @inline(__always)
  func elements(
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

  /// Which elements an instruction works on: its mandatory prefix.
  @inline(__always)
  private func elementPrefix(_ i: Insn) -> MandatoryPrefix {
    unsafeBitCast(UInt8(truncatingIfNeeded: i.pointee.imm2 & 3), to: MandatoryPrefix.self)
  }

  /// ADDPS to MAXSD: `operation` gets the unit, elements of destination and source, and their format.
  func floatArithmetic(
    _ i: Insn, _ operation: (inout SIMDFloat, UInt64, UInt64, FloatFormat) -> UInt64
  ) throws(Fault) {
    let prefix = elementPrefix(i)
    let b = try floatSource(i, prefix)
    let a = xmm[xmmReg(i)]
    var unit = SIMDFloat(control: fpu.pointee.mxcsr)
    let result = elements(prefix, a, b) { a, b, format in operation(&unit, a, b, format) }
    try finish(unit)
    xmm[xmmReg(i)] = result
  }

  /// CMPPS to CMPSD.
  func floatComparison(_ i: Insn) throws(Fault) {
    let predicate = UInt8(truncatingIfNeeded: i.pointee.imm & 7)
    try floatArithmetic(i) { unit, a, b, format in
      unit.holds(predicate, a, b, format) ? format.signBit | (format.signBit &- 1) : 0
    }
  }

  /// COMISS, COMISD, UCOMISS, UCOMISD.
  func compareToFlags(_ i: Insn, signaling: Bool) throws(Fault) {
    let isSingle = elementPrefix(i) == .none
    let mask: UInt64 = isSingle ? 0xFFFF_FFFF : UInt64.max
    let b = try lowSource(i, isSingle ? 4 : 8) & mask
    var unit = SIMDFloat(control: fpu.pointee.mxcsr)
    let order = unit.compare(
      xmm[xmmReg(i)].low & mask, b, isSingle ? .single : .double, signaling: signaling)
    try finish(unit)
    switch order {
    case .less: setArithmeticFlags(EFLAGS.cf)
    case .equal: setArithmeticFlags(EFLAGS.zf)
    case .greater: setArithmeticFlags(0)
    case .unordered: setArithmeticFlags(EFLAGS.zf | EFLAGS.pf | EFLAGS.cf)
    }
  }
}
