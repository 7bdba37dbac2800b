// Bit tests, bit scans, exchanges that compare.
//
// Owns: BT, BTS, BTR, BTC, BSF, BSR, BSWAP, XCHG, CMPXCHG, CMPXCHG8B, XADD. Must not know: encodings.
// Follows: Intel SDM volume 2, the instructions' pages.

extension UnsafeMutablePointer<CPUState> {
  /// BT (0), BTS (1), BTR (2) and BTC (3): CF, and the operand as it is afterwards.
  @inline(__always)
  func testBit<T: FixedWidthInteger & UnsignedInteger>(_ v: T, _ bit: T, _ kind: Int) -> T {
    setCF(v & bit != 0)
    switch kind {
    case 0: return v
    case 1: return v | bit
    case 2: return v & ~bit
    default: return v ^ bit
    }
  }

  /// Where the unit with a bit is: a register's bit offset reaches any bit relative to the operand, in units of the operand size.
  @inline(__always)
  func offsetOfBit<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ offset: UInt32, _ bit: Int32, _: T.Type
  ) -> UInt32 {
    let units = UInt32(bitPattern: bit >> (T.bitWidth == 32 ? 5 : 4))
    return (offset &+ units &* UInt32(MemoryLayout<T>.size)) & i.pointee.addressMask
  }
}

extension CPU {
  /// BT and relatives; the table numbers them.
  func bitTest(_ i: Insn, immediate: Bool) throws(Fault) {
    let kind = Int(i.pointee.imm2 & 3)
    if i.pointee.isOperand32 {
      try bitTest(i, kind, immediate, UInt32.self)
    } else {
      try bitTest(i, kind, immediate, UInt16.self)
    }
  }

  @inline(__always)
  private func bitTest<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ kind: Int, _ immediate: Bool, _: T.Type
  ) throws(Fault) {
    let width = UInt32(T.bitWidth)
    let raw: UInt32
    if immediate {
      raw = i.pointee.imm
    } else if T.bitWidth == 32 {
      raw = reg(i.pointee.reg)
    } else {
      raw = signExtend(reg(i.pointee.reg) as UInt16)
    }
    let bit = T(1) &<< T(truncatingIfNeeded: raw & (width - 1))
    guard i.pointee.hasMemory else {
      let r = s.testBit(reg(i.pointee.rm) as T, bit, kind)
      if kind != 0 { setReg(i.pointee.rm, r) }
      return
    }
    var offset = effectiveAddress(i)
    if !immediate { offset = s.offsetOfBit(i, offset, Int32(bitPattern: raw), T.self) }
    let segment = Int(i.pointee.segment)
    if kind == 0 {
      _ = s.testBit(try read(segment, offset) as T, bit, kind)
    } else {
      try modify(segment, offset) { (v: T) in s.testBit(v, bit, kind) }
    }
  }

  /// BSF and BSR: a zero source sets ZF and leaves the destination. The undefined flags follow the result, as on AMD processors.
  func bitScan(_ i: Insn, reverse: Bool) throws(Fault) {
    if i.pointee.isOperand32 {
      let v: UInt32 = try readRM(i)
      if v != 0 {
        let n = UInt32(reverse ? 31 - v.leadingZeroBitCount : v.trailingZeroBitCount)
        setReg(i.pointee.reg, n)
        setLogicFlags(n)
      }
      setZF(v == 0)
    } else {
      let v: UInt16 = try readRM(i)
      if v != 0 {
        let n = UInt16(reverse ? 15 - v.leadingZeroBitCount : v.trailingZeroBitCount)
        setReg(i.pointee.reg, n)
        setLogicFlags(n)
      }
      setZF(v == 0)
    }
  }

  func exchangeRM(_ i: Insn) throws(Fault) {
    if i.pointee.isByte {
      try exchange(i, UInt8.self)
    } else if i.pointee.isOperand32 {
      try exchange(i, UInt32.self)
    } else {
      try exchange(i, UInt16.self)
    }
  }

  @inline(__always)
  private func exchange<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn, _: T.Type) throws(Fault)
  {
    let mine: T = reg(i.pointee.reg)
    var theirs: T = 0
    try modifyRM(i) { (v: T) in
      theirs = v
      return mine
    }
    setReg(i.pointee.reg, theirs)
  }

  @inline(__always)
  func compareExchange<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn, _: T.Type) throws(Fault) {
    let accumulator: T = reg(0)
    let source: T = reg(i.pointee.reg)
    var found: T = 0
    try modifyRM(i) { (v: T) in
      found = v
      return v == accumulator ? source : v
    }
    _ = SubOperation.apply(s, accumulator, found)
    if found != accumulator { setReg(0, found) }
  }

  func compareExchange8(_ i: Insn) throws(Fault) {
    let expected = UInt64(gpr32[Register.edx]) << 32 | UInt64(gpr32[Register.eax])
    let replacement = UInt64(gpr32[Register.ecx]) << 32 | UInt64(gpr32[Register.ebx])
    var found: UInt64 = 0
    try modifyMemory(i) { (v: UInt64) in
      found = v
      return v == expected ? replacement : v
    }
    if found != expected {
      gpr32[Register.eax] = UInt32(truncatingIfNeeded: found)
      gpr32[Register.edx] = UInt32(truncatingIfNeeded: found >> 32)
    }
    setZF(found == expected)
  }

  @inline(__always)
  func exchangeAdd<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn, _: T.Type) throws(Fault) {
    let source: T = reg(i.pointee.reg)
    var found: T = 0
    if i.pointee.hasMemory {
      try modifyMemory(i) { (v: T) in
        found = v
        return v &+ source
      }
      setReg(i.pointee.reg, found)
      _ = AddOperation.apply(s, found, source)
    } else {
      found = reg(i.pointee.rm)
      // With equal operands the sum stays: the destination is written last.
      setReg(i.pointee.reg, found)
      setReg(i.pointee.rm, AddOperation.apply(s, found, source))
    }
  }

  /// BSWAP; with a 16-bit operand the result is undefined and processors clear the register.
  func byteSwap(_ i: Insn) {
    if i.pointee.isOperand32 {
      setReg(i.pointee.rm, (reg(i.pointee.rm) as UInt32).byteSwapped)
    } else {
      setReg(i.pointee.rm, 0 as UInt16)
    }
  }
}
