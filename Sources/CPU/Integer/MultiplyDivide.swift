// Multiplication, division and decimal adjustment.
//
// Owns: results, flags and #DE. Must not know: encodings.
// Follows: Intel SDM volume 2, MUL, IMUL, DIV, IDIV, AAA, AAD, AAM, AAS, DAA, DAS.

extension UnsafeMutablePointer<CPUState> {
  /// Two- and three-operand IMUL.
  @inline(__always)
  func multiply<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> T {
    let x = Int64(signExtendAny(a)) &* Int64(signExtendAny(b))
    let r = T(truncatingIfNeeded: x)
    setMultiplyFlags(r, overflow: Int64(signExtendAny(r)) != x)
    return r
  }

  @inline(__always)
  private func signExtendAny<T: FixedWidthInteger & UnsignedInteger>(_ v: T) -> Int32 {
    let shift = Int32(32 - T.bitWidth)
    return (Int32(truncatingIfNeeded: v) &<< shift) &>> shift
  }

  /// CF and OF tell overflow; SF follows the low half, ZF, AF and PF are undefined.
  @inline(__always)
  func setMultiplyFlags<T: FixedWidthInteger & UnsignedInteger>(_ low: T, overflow: Bool) {
    setFlags(low, cf: overflow, of: overflow, af: false)
  }
}

extension CPU {
  /// Two- and three-operand IMUL.
  @inline(__always)
  func multiply<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> T { s.multiply(a, b) }

  @inline(__always)
  private func setMultiplyFlags<T: FixedWidthInteger & UnsignedInteger>(_ low: T, overflow: Bool) {
    s.setMultiplyFlags(low, overflow: overflow)
  }

  /// MUL: the accumulator's product with the operand, in twice its width.
  func multiplyAccumulator(_ i: Insn) throws(Fault) {
    if i.pointee.isByte {
      let v: UInt8 = try readRM(i)
      let r = UInt16(reg(0) as UInt8) &* UInt16(v)
      setReg(0, r)
      setMultiplyFlags(UInt8(truncatingIfNeeded: r), overflow: r >> 8 != 0)
    } else if i.pointee.isOperand32 {
      let v: UInt32 = try readRM(i)
      let r = UInt64(gpr32[Register.eax]) &* UInt64(v)
      gpr32[Register.eax] = UInt32(truncatingIfNeeded: r)
      gpr32[Register.edx] = UInt32(truncatingIfNeeded: r >> 32)
      setMultiplyFlags(UInt32(truncatingIfNeeded: r), overflow: r >> 32 != 0)
    } else {
      let v: UInt16 = try readRM(i)
      let r = UInt32(reg(0) as UInt16) &* UInt32(v)
      setReg(0, UInt16(truncatingIfNeeded: r))
      setReg(8, UInt16(truncatingIfNeeded: r >> 16))
      setMultiplyFlags(UInt16(truncatingIfNeeded: r), overflow: r >> 16 != 0)
    }
  }

  /// IMUL with one operand.
  func multiplyAccumulatorSigned(_ i: Insn) throws(Fault) {
    if i.pointee.isByte {
      let v: UInt8 = try readRM(i)
      let r = Int16(Int8(bitPattern: reg(0))) &* Int16(Int8(bitPattern: v))
      setReg(0, UInt16(bitPattern: r))
      setMultiplyFlags(
        UInt8(truncatingIfNeeded: r), overflow: Int16(Int8(truncatingIfNeeded: r)) != r)
    } else if i.pointee.isOperand32 {
      let v: UInt32 = try readRM(i)
      let r = Int64(Int32(bitPattern: gpr32[Register.eax])) &* Int64(Int32(bitPattern: v))
      gpr32[Register.eax] = UInt32(truncatingIfNeeded: r)
      gpr32[Register.edx] = UInt32(truncatingIfNeeded: r >> 32)
      setMultiplyFlags(
        UInt32(truncatingIfNeeded: r), overflow: Int64(Int32(truncatingIfNeeded: r)) != r)
    } else {
      let v: UInt16 = try readRM(i)
      let r = Int32(Int16(bitPattern: reg(0))) &* Int32(Int16(bitPattern: v))
      setReg(0, UInt16(truncatingIfNeeded: r))
      setReg(8, UInt16(truncatingIfNeeded: r >> 16))
      setMultiplyFlags(
        UInt16(truncatingIfNeeded: r), overflow: Int32(Int16(truncatingIfNeeded: r)) != r)
    }
  }

  /// DIV.
  func divideAccumulator(_ i: Insn) throws(Fault) {
    if i.pointee.isByte {
      let v: UInt8 = try readRM(i)
      if v == 0 { throw .de }
      let ax: UInt16 = reg(0)
      let q = ax / UInt16(v)
      if q > 0xFF { throw .de }
      setReg(0, q | (ax % UInt16(v)) << 8)
    } else if i.pointee.isOperand32 {
      let v: UInt32 = try readRM(i)
      let high = gpr32[Register.edx]
      // The quotient fits exactly when the high half is below the divisor (which is then not 0).
      if high >= v { throw .de }
      let n = UInt64(high) << 32 | UInt64(gpr32[Register.eax])
      gpr32[Register.eax] = UInt32(truncatingIfNeeded: n / UInt64(v))
      gpr32[Register.edx] = UInt32(truncatingIfNeeded: n % UInt64(v))
    } else {
      let v: UInt16 = try readRM(i)
      let dx: UInt16 = reg(8)
      if dx >= v { throw .de }
      let n = UInt32(dx) << 16 | UInt32(reg(0) as UInt16)
      setReg(0, UInt16(truncatingIfNeeded: n / UInt32(v)))
      setReg(8, UInt16(truncatingIfNeeded: n % UInt32(v)))
    }
  }

  /// IDIV.
  func divideAccumulatorSigned(_ i: Insn) throws(Fault) {
    if i.pointee.isByte {
      let v: UInt8 = try readRM(i)
      let d = Int32(Int8(bitPattern: v))
      if d == 0 { throw .de }
      let n = Int32(Int16(bitPattern: reg(0)))
      let q = n / d
      if q > 127 || q < -128 { throw .de }
      setReg(0, UInt8(truncatingIfNeeded: q))
      setReg(1, UInt8(truncatingIfNeeded: n % d))
    } else if i.pointee.isOperand32 {
      let v: UInt32 = try readRM(i)
      let d = Int64(Int32(bitPattern: v))
      if d == 0 { throw .de }
      let n = Int64(
        bitPattern: UInt64(gpr32[Register.edx]) << 32 | UInt64(gpr32[Register.eax]))
      let (q, overflow) = n.dividedReportingOverflow(by: d)
      if overflow || Int64(Int32(truncatingIfNeeded: q)) != q { throw .de }
      gpr32[Register.eax] = UInt32(truncatingIfNeeded: q)
      gpr32[Register.edx] = UInt32(truncatingIfNeeded: n % d)
    } else {
      let v: UInt16 = try readRM(i)
      let d = Int32(Int16(bitPattern: v))
      if d == 0 { throw .de }
      let n = Int32(bitPattern: UInt32(reg(8) as UInt16) << 16 | UInt32(reg(0) as UInt16))
      let (q, overflow) = n.dividedReportingOverflow(by: d)
      if overflow || Int32(Int16(truncatingIfNeeded: q)) != q { throw .de }
      setReg(0, UInt16(truncatingIfNeeded: q))
      setReg(8, UInt16(truncatingIfNeeded: n % d))
    }
  }

  // MARK: - Decimal adjustment

  func decimalAdjustAfterAddition() {
    let old: UInt8 = reg(0)
    let oldCarry = cf
    var al = old
    var carry = false
    var adjust = false
    if old & 0xF > 9 || af {
      carry = oldCarry || old > 0xF9
      al = al &+ 6
      adjust = true
    }
    if old > 0x99 || oldCarry {
      al = al &+ 0x60
      carry = true
    }
    setReg(0, al)
    setFlags(al, cf: carry, of: (al & ~old) >> 7 != 0, af: adjust)
  }

  func decimalAdjustAfterSubtraction() {
    let old: UInt8 = reg(0)
    let oldCarry = cf
    var al = old
    var carry = false
    var adjust = false
    if old & 0xF > 9 || af {
      carry = oldCarry || old < 6
      al = al &- 6
      adjust = true
    }
    if old > 0x99 || oldCarry {
      al = al &- 0x60
      carry = true
    }
    setReg(0, al)
    setFlags(al, cf: carry, of: (old & ~al) >> 7 != 0, af: adjust)
  }

  func asciiAdjust(subtract: Bool) {
    var ax: UInt16 = reg(0)
    let adjust = ax & 0xF > 9 || af
    if adjust {
      ax = subtract ? (ax &- 6) &- 0x100 : ax &+ 0x106
    }
    let r = ax & 0xFF0F
    setReg(0, r)
    setFlags(UInt8(truncatingIfNeeded: r), cf: adjust, of: false, af: adjust)
  }

  func asciiAdjustAfterMultiply(_ i: Insn) throws(Fault) {
    let base = UInt8(truncatingIfNeeded: i.pointee.imm)
    if base == 0 { throw .de }
    let al: UInt8 = reg(0)
    setReg(1, al / base)
    setReg(0, al % base)
    setLogicFlags(al % base)
  }

  func asciiAdjustBeforeDivision(_ i: Insn) {
    let ax: UInt16 = reg(0)
    let product = UInt8(truncatingIfNeeded: (ax >> 8) &* UInt16(i.pointee.imm & 0xFF))
    let r = UInt8(truncatingIfNeeded: ax) &+ product
    setReg(0, UInt16(r))
    setLogicFlags(r)
  }
}
