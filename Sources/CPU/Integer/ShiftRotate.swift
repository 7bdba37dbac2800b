// Shifts and rotates, single and double.
//
// Owns: results and flags. OF after counts other than 1 is as Intel and AMD processors leave it; AF is cleared by shifts.
// Must not know: encodings. Follows: Intel SDM volume 2, RCL/RCR/ROL/ROR, SAL/SAR/SHL/SHR, SHLD, SHRD.

extension UnsafeMutablePointer<CPUState> {
  // MARK: - By 1 to 31 bits, operands of any size; with or without flags

  @inline(__always)
  func shl<T: FixedWidthInteger & UnsignedInteger>(_ v: T, _ n: UInt32, flags: Bool = true) -> T {
    let x = UInt32(truncatingIfNeeded: v)
    let r = T(truncatingIfNeeded: x &<< n)
    if flags {
      let carry =
        T.bitWidth == 32 ? (x &>> (0 &- n)) & 1 : (x &<< n) &>> UInt32(T.bitWidth) & 1
      // OF is CF ^ sign.
      setShiftFlags(r, carry: carry, carryWithoutOverflow: UInt32(r >> T(T.bitWidth - 1)))
    }
    return r
  }

  @inline(__always)
  func shr<T: FixedWidthInteger & UnsignedInteger>(_ v: T, _ n: UInt32, flags: Bool = true) -> T {
    let x = UInt32(truncatingIfNeeded: v)
    let r = T(truncatingIfNeeded: x &>> n)
    if flags {
      let carry = (x &>> (n &- 1)) & 1
      // The top two result bits differ only when the count is 1 and the sign was set.
      let overflow = n == 1 ? UInt32(v >> T(T.bitWidth - 1)) : 0
      setShiftFlags(r, carry: carry, carryWithoutOverflow: carry ^ overflow)
    }
    return r
  }

  @inline(__always)
  func sar<T: FixedWidthInteger & UnsignedInteger>(_ v: T, _ n: UInt32, flags: Bool = true) -> T {
    let shift = Int32(32 - T.bitWidth)
    let x = (Int32(truncatingIfNeeded: v) &<< shift) &>> shift
    let r = T(truncatingIfNeeded: x &>> Int32(bitPattern: n))
    if flags {
      let carry = UInt32(bitPattern: x &>> Int32(bitPattern: n &- 1)) & 1
      setShiftFlags(r, carry: carry, carryWithoutOverflow: carry)
    }
    return r
  }

  @inline(__always)
  func rol<T: FixedWidthInteger & UnsignedInteger>(_ v: T, _ n: UInt32, flags: Bool = true) -> T {
    let n = T(truncatingIfNeeded: n)
    let r = v &<< n | v &>> (0 &- n)
    if flags {
      // CF is the lowest bit; CF ^ OF the highest.
      pointee.flagAux =
        (pointee.flagAux & 0x3FFF_FFFF) | UInt32(truncatingIfNeeded: r) << 31
        | UInt32(truncatingIfNeeded: r >> T(T.bitWidth - 1)) << 30
    }
    return r
  }

  @inline(__always)
  func ror<T: FixedWidthInteger & UnsignedInteger>(_ v: T, _ n: UInt32, flags: Bool = true) -> T {
    let n = T(truncatingIfNeeded: n)
    let r = v &>> n | v &<< (0 &- n)
    if flags {
      // CF is the highest bit, OF its difference from the next.
      let top = UInt32(truncatingIfNeeded: r) &<< UInt32(32 - T.bitWidth)
      pointee.flagAux = (pointee.flagAux & 0x3FFF_FFFF) | (top & 0xC000_0000)
    }
    return r
  }

  /// SF, ZF and PF of a result; AF is cleared.
  /// - Parameter carryWithoutOverflow: CF ^ OF.
  @inline(__always)
  private func setShiftFlags<T: FixedWidthInteger & UnsignedInteger>(
    _ r: T, carry: UInt32, carryWithoutOverflow: UInt32
  ) {
    setLogicFlags(r)
    pointee.flagAux = carry << 31 | carryWithoutOverflow << 30
  }

  // MARK: - 32-bit registers by immediates other than 0

  @inline(__always)
  func shiftLeft(_ i: Insn, flags: Bool) {
    setReg(i.pointee.rm, shl(reg(i.pointee.rm) as UInt32, i.pointee.imm & 31, flags: flags))
  }

  @inline(__always)
  func shiftRight(_ i: Insn, flags: Bool) {
    setReg(i.pointee.rm, shr(reg(i.pointee.rm) as UInt32, i.pointee.imm & 31, flags: flags))
  }

  @inline(__always)
  func shiftArithmetic(_ i: Insn, flags: Bool) {
    setReg(i.pointee.rm, sar(reg(i.pointee.rm) as UInt32, i.pointee.imm & 31, flags: flags))
  }

  @inline(__always)
  func rotateLeft(_ i: Insn, flags: Bool) {
    setReg(i.pointee.rm, rol(reg(i.pointee.rm) as UInt32, i.pointee.imm & 31, flags: flags))
  }

  @inline(__always)
  func rotateRight(_ i: Insn, flags: Bool) {
    setReg(i.pointee.rm, ror(reg(i.pointee.rm) as UInt32, i.pointee.imm & 31, flags: flags))
  }
}

/// Rotations and shifts, as the instruction table numbers them.
private enum ShiftKind: UInt8 {
  case rol, ror, rcl, rcr, shl, shr, sal, sar

  @inline(__always)
  init(_ i: Insn) {
    self = unsafeBitCast(UInt8(truncatingIfNeeded: i.pointee.imm2 & 7), to: ShiftKind.self)
  }
}

extension CPU {
  /// Rotations and shifts by an immediate or CL.
  @inline(__always)
  func shiftRM<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn, _: T.Type) throws(Fault) {
    let count = (i.pointee.countsByCL ? gpr32[Register.ecx] : i.pointee.imm) & 31
    try modifyRM(i) { (v: T) in shift(i, v, count) }
  }

  @inline(never)
  func shift<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn, _ v: T, _ count: UInt32) -> T {
    if count == 0 { return v }
    let bits = UInt32(T.bitWidth)
    switch ShiftKind(i) {
    case .rol: return s.rol(v, count)
    case .ror: return s.ror(v, count)
    case .rcl:
      let n = count % (bits + 1)
      if n == 0 && bits < 32 {
        setRotateFlags(carry: cf, overflow: cf != (v >> (T(bits) - 1) != 0))
        return v
      }
      var wide = UInt64(truncatingIfNeeded: v) | UInt64(carryBit) << UInt64(bits)
      let span = UInt64(bits) + 1
      wide = (wide << UInt64(n)) | (wide >> (span - UInt64(n)))
      let r = T(truncatingIfNeeded: wide)
      let carry = wide >> UInt64(bits) & 1 != 0
      setRotateFlags(carry: carry, overflow: carry != (r >> (T(bits) - 1) != 0))
      return r
    case .rcr:
      let n = count % (bits + 1)
      if n == 0 && bits < 32 {
        let top = v >> (T(bits) - 1)
        setRotateFlags(carry: cf, overflow: top != (v >> (T(bits) - 2)) & 1)
        return v
      }
      var wide = UInt64(truncatingIfNeeded: v) | UInt64(carryBit) << UInt64(bits)
      let span = UInt64(bits) + 1
      wide = (wide >> UInt64(n)) | (wide << (span - UInt64(n)))
      let r = T(truncatingIfNeeded: wide)
      let carry = wide >> UInt64(bits) & 1 != 0
      let top = r >> (T(bits) - 1)
      setRotateFlags(carry: carry, overflow: top != (r >> (T(bits) - 2)) & 1)
      return r
    case .shl, .sal: return s.shl(v, count)
    case .shr: return s.shr(v, count)
    case .sar: return s.sar(v, count)
    }
  }

  /// CF and OF of a rotate; the other flags stay.
  @inline(__always)
  private func setRotateFlags(carry: Bool, overflow: Bool) {
    s.pointee.flagAux =
      (s.pointee.flagAux & 0x3FFF_FFFF) | (carry ? 0x8000_0000 : 0)
      | (carry != overflow ? 0x4000_0000 : 0)
  }

  /// SHLD and SHRD. A 16-bit operand with a count above 16 shifts through the concatenation destination:source:destination.
  func doubleShift(_ i: Insn, left: Bool) throws(Fault) {
    let count = (i.pointee.countsByCL ? gpr32[Register.ecx] : i.pointee.imm) & 31
    if i.pointee.isOperand32 {
      let source: UInt32 = reg(i.pointee.reg)
      try modifyRM(i) { (v: UInt32) in
        if count == 0 { return v }
        let r: UInt32
        let carry: Bool
        let overflow: Bool
        if left {
          r = (v &<< count) | (source &>> (32 &- count))
          carry = (v &>> (32 &- count)) & 1 != 0
          overflow = carry != (r >> 31 != 0)
        } else {
          r = (v &>> count) | (source &<< (32 &- count))
          carry = (v &>> (count &- 1)) & 1 != 0
          overflow = (r ^ r << 1) >> 31 != 0
        }
        // As for the single shifts, OF is that of the last step by one bit.
        setFlags(r, cf: carry, of: overflow, af: false)
        return r
      }
    } else {
      let source: UInt16 = reg(i.pointee.reg)
      try modifyRM(i) { (v: UInt16) in
        if count == 0 { return v }
        let d = UInt64(v)
        let x = UInt64(source)
        let r: UInt16
        let carry: Bool
        let overflow: Bool
        if left {
          let wide = d << 32 | x << 16 | d
          r = UInt16(truncatingIfNeeded: wide >> UInt64(32 - count))
          carry = wide >> UInt64(48 - count) & 1 != 0
          overflow = carry != (r >> 15 != 0)
        } else {
          let wide = d << 32 | x << 16 | d
          r = UInt16(truncatingIfNeeded: wide >> UInt64(count))
          carry = wide >> UInt64(count - 1) & 1 != 0
          overflow = (r ^ (r << 1)) >> 15 != 0
        }
        setFlags(r, cf: carry, of: overflow, af: false)
        return r
      }
    }
  }
}
