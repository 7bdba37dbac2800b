// Shifts and rotates, single and double.
//
// Owns: results and flags. OF after counts other than 1 is as Intel and AMD processors leave it; AF is cleared by shifts.
// Must not know: encodings. Follows: Intel SDM volume 2, RCL/RCR/ROL/ROR, SAL/SAR/SHL/SHR, SHLD, SHRD.

extension UnsafeMutablePointer<CPUState> {
  // 32-bit registers by immediates other than 0, with or without flags.

  @inline(__always)
  func shiftLeft(_ i: Insn, flags: Bool) {
    let n = i.pointee.imm & 31
    let v: UInt32 = reg(i.pointee.rm)
    let r = v &<< n
    setReg(i.pointee.rm, r)
    if !flags { return }
    let carry = (v &>> (32 &- n)) & 1
    pointee.flagResult = r
    // Bit 30 is CF ^ OF, and OF is CF ^ sign: so it is the sign.
    pointee.flagAux = carry << 31 | (r >> 31) << 30
  }

  @inline(__always)
  func shiftRight(_ i: Insn, flags: Bool) {
    let n = i.pointee.imm & 31
    let v: UInt32 = reg(i.pointee.rm)
    let r = v &>> n
    setReg(i.pointee.rm, r)
    if !flags { return }
    let carry = (v &>> (n &- 1)) & 1
    let overflow = n == 1 ? v >> 31 : 0
    pointee.flagResult = r
    pointee.flagAux = carry << 31 | (carry ^ overflow) << 30
  }

  @inline(__always)
  func shiftArithmetic(_ i: Insn, flags: Bool) {
    let n = i.pointee.imm & 31
    let v: UInt32 = reg(i.pointee.rm)
    let r = UInt32(bitPattern: Int32(bitPattern: v) &>> Int32(bitPattern: n))
    setReg(i.pointee.rm, r)
    if !flags { return }
    let carry = (v &>> (n &- 1)) & 1
    pointee.flagResult = r
    pointee.flagAux = carry << 31 | carry << 30
  }

  @inline(__always)
  func rotateLeft(_ i: Insn, flags: Bool) {
    let n = i.pointee.imm & 31
    let v: UInt32 = reg(i.pointee.rm)
    let r = v &<< n | v &>> (0 &- n)
    setReg(i.pointee.rm, r)
    if !flags { return }
    // CF is the lowest bit; CF ^ OF the highest.
    pointee.flagAux = (pointee.flagAux & 0x3FFF_FFFF) | r << 31 | (r >> 31) << 30
  }

  @inline(__always)
  func rotateRight(_ i: Insn, flags: Bool) {
    let n = i.pointee.imm & 31
    let v: UInt32 = reg(i.pointee.rm)
    let r = v &>> n | v &<< (0 &- n)
    setReg(i.pointee.rm, r)
    if !flags { return }
    // CF is the highest bit, OF its difference from the next.
    pointee.flagAux = (pointee.flagAux & 0x3FFF_FFFF) | (r & 0xC000_0000)
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
    case .rol:
      let n = T(truncatingIfNeeded: count & (bits - 1))
      let r = n == 0 ? v : (v &<< n) | (v &>> (T(bits) &- n))
      setRotateFlags(carry: r & 1 != 0, overflow: (r & 1) != (r >> (T(bits) - 1)))
      return r
    case .ror:
      let n = T(truncatingIfNeeded: count & (bits - 1))
      let r = n == 0 ? v : (v &>> n) | (v &<< (T(bits) &- n))
      let top = r >> (T(bits) - 1)
      setRotateFlags(carry: top != 0, overflow: top != (r >> (T(bits) - 2)) & 1)
      return r
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
    case .shl, .sal:
      let r = count >= bits ? 0 : v &<< T(truncatingIfNeeded: count)
      let carry =
        count <= bits && (v >> T(truncatingIfNeeded: bits - count)) & 1 != 0
      setFlags(r, cf: carry, of: carry != (r >> (T(bits) - 1) != 0), af: false)
      return r
    case .shr:
      let r = count >= bits ? 0 : v &>> T(truncatingIfNeeded: count)
      let carry = count <= bits && (v >> T(truncatingIfNeeded: count - 1)) & 1 != 0
      // The top two result bits differ only when the count is 1 and the sign was set.
      setFlags(r, cf: carry, of: count == 1 && v >> (T(bits) - 1) != 0, af: false)
      return r
    case .sar:
      let negative = v >> (T(bits) - 1) != 0
      let fill: T = negative ? ~0 : 0
      let r: T
      let carry: Bool
      if count >= bits {
        r = fill
        carry = negative
      } else {
        r = (v &>> T(truncatingIfNeeded: count)) | (fill &<< T(truncatingIfNeeded: bits - count))
        carry = (v >> T(truncatingIfNeeded: count - 1)) & 1 != 0
      }
      setFlags(r, cf: carry, of: false, af: false)
      return r
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
