// MMX, SSE and SSE2: availability, operands, the instructions on packed integers.
//
// Owns: the checks before an instruction, MMX and XMM registers and their memory operands, and the integer instructions, which have a form
// on each kind of register. Must not know: encodings (the instruction table), what the operations compute (PackedInteger).
// Follows: Intel SDM volume 1, chapters 9 to 11 (aliasing of the MMX registers in 9.6), volume 3, tables 2-2 and 13-1 (availability),
// volume 2 (the instructions' pages).

extension CPU {
  /// XMM0-XMM7.
  @inline(__always) var xmm: UnsafeMutablePointer<XMMBits> {
    (UnsafeMutableRawPointer(fpu) + 128).assumingMemoryBound(to: XMMBits.self)
  }

  /// The bits of MXCSR that the model has.
  var mxcsrMask: UInt32 { model.features.contains(.sse2) ? 0xFFFF : 0xFFBF }

  // MARK: - Availability

  /// #UD, #NM or #MF where MMX instructions cannot be used.
  @inline(__always)
  func checkMMX() throws(Fault) {
    if s.pointee.cr0 & (CR0.em | CR0.ts) != 0 {
      throw s.pointee.cr0 & CR0.em != 0 ? .ud : .nm
    }
    try checkFPUPending()
  }

  /// #UD or #NM where instructions on XMM registers cannot be used.
  @inline(__always)
  func checkSSE() throws(Fault) {
    if s.pointee.cr0 & CR0.em != 0 || s.pointee.cr4 & CR4.osfxsr == 0 { throw .ud }
    if s.pointee.cr0 & CR0.ts != 0 { throw .nm }
  }

  /// The check of an instruction that has a form on MMX and one on XMM registers.
  @inline(__always)
  func checkMMX(_ i: Insn) throws(Fault) {
    if i.pointee.isMMX { try checkMMX() } else { try checkSSE() }
  }

  // MARK: - MMX registers

  /// What every MMX instruction but EMMS does to the x87: TOP is 0, all registers are in use.
  @inline(__always)
  func enterMMX() {
    fpu.pointee.top = 0
    fpu.pointee.empty = 0
  }

  @inline(__always)
  func mm(_ n: UInt8) -> UInt64 { fpuRegisters[Int(n & 7)].significand }

  /// Writes an MMX register.
  @inline(__always)
  func setMM(_ n: UInt8, _ value: UInt64) {
    fpuRegisters[Int(n & 7)] = Float80Bits(signExponent: 0xFFFF, significand: value)
    enterMMX()
  }

  /// An MMX register or eight bytes of memory.
  @inline(__always)
  func mmxSource(_ i: Insn) throws(Fault) -> UInt64 {
    if i.pointee.hasMemory { return try read(Int(i.pointee.segment), effectiveAddress(i)) }
    return mm(i.pointee.rm)
  }

  // MARK: - Packed integers

  private func immediate(_ i: Insn) -> UInt8 { UInt8(truncatingIfNeeded: i.pointee.imm) }

  /// An operation on each half of the registers.
  func packed(_ i: Insn, _ operation: (UInt64, UInt64) -> UInt64) throws(Fault) {
    if i.pointee.isMMX {
      let b = try mmxSource(i)
      setMM(i.pointee.reg, operation(mm(i.pointee.reg), b))
    } else {
      let b = try source128(i)
      let reg = xmmReg(i)
      xmm[reg] = XMMBits(operation(xmm[reg].low, b.low), operation(xmm[reg].high, b.high))
    }
  }

  /// A shift by a count in a register or memory.
  func packedShift(_ i: Insn, _ operation: (UInt64, UInt64) -> UInt64) throws(Fault) {
    if i.pointee.isMMX {
      let count = try mmxSource(i)
      setMM(i.pointee.reg, operation(mm(i.pointee.reg), count))
    } else {
      let count = try source128(i).low
      let reg = xmmReg(i)
      xmm[reg] = XMMBits(operation(xmm[reg].low, count), operation(xmm[reg].high, count))
    }
  }

  /// A shift by an immediate count.
  func packedShiftImmediate(_ i: Insn, _ operation: (UInt64, UInt64) -> UInt64) {
    let count = UInt64(immediate(i))
    if i.pointee.isMMX {
      setMM(i.pointee.rm, operation(mm(i.pointee.rm), count))
    } else {
      let rm = xmmRM(i)
      xmm[rm] = XMMBits(operation(xmm[rm].low, count), operation(xmm[rm].high, count))
    }
  }

  /// PSRLDQ, PSLLDQ.
  func shiftBytes(_ i: Insn, left: Bool) {
    let a = xmm[xmmRM(i)]
    let count = immediate(i)
    if count > 15 {
      xmm[xmmRM(i)] = XMMBits()
      return
    }
    let value = UInt128(a.high) << 64 | UInt128(a.low)
    let bits = UInt128(count) &* 8
    let shifted = left ? value &<< bits : value &>> bits
    xmm[xmmRM(i)] = XMMBits(
      UInt64(truncatingIfNeeded: shifted), UInt64(truncatingIfNeeded: shifted >> 64))
  }

  /// PACKSSWB, PACKUSWB, PACKSSDW.
  func packedPack(_ i: Insn, _ pack: (UInt64) -> UInt64) throws(Fault) {
    if i.pointee.isMMX {
      let b = try mmxSource(i)
      setMM(i.pointee.reg, pack(mm(i.pointee.reg)) | pack(b) << 32)
    } else {
      let b = try source128(i)
      let a = xmm[xmmReg(i)]
      xmm[xmmReg(i)] = XMMBits(pack(a.low) | pack(a.high) << 32, pack(b.low) | pack(b.high) << 32)
    }
  }

  /// PUNPCKL..
  func interleaveLow(_ i: Insn, width: UInt64) throws(Fault) {
    if i.pointee.isMMX {
      // Of memory only the half that is used is read.
      let b: UInt64
      if i.pointee.hasMemory {
        let half: UInt32 = try read(Int(i.pointee.segment), effectiveAddress(i))
        b = UInt64(half)
      } else {
        b = mm(i.pointee.rm)
      }
      setMM(i.pointee.reg, PackedInteger.interleave(width: width, mm(i.pointee.reg), b))
    } else {
      let b = try source128(i)
      let a = xmm[xmmReg(i)]
      xmm[xmmReg(i)] = XMMBits(
        PackedInteger.interleave(width: width, a.low, b.low),
        PackedInteger.interleave(width: width, a.low >> 32, b.low >> 32))
    }
  }

  /// PUNPCKH..
  func interleaveHigh(_ i: Insn, width: UInt64) throws(Fault) {
    if i.pointee.isMMX {
      let b = try mmxSource(i)
      setMM(
        i.pointee.reg,
        PackedInteger.interleave(width: width, mm(i.pointee.reg) >> 32, b >> 32))
    } else {
      let b = try source128(i)
      let a = xmm[xmmReg(i)]
      xmm[xmmReg(i)] = XMMBits(
        PackedInteger.interleave(width: width, a.high, b.high),
        PackedInteger.interleave(width: width, a.high >> 32, b.high >> 32))
    }
  }

  /// PINSRW.
  func insertWord(_ i: Insn) throws(Fault) {
    let word: UInt16 = try readRM(i)
    let place = immediate(i)
    let reg = xmmReg(i)
    if i.pointee.isMMX {
      setMM(i.pointee.reg, PackedInteger.insert(mm(i.pointee.reg), word, place))
    } else if place & 4 != 0 {
      xmm[reg].high = PackedInteger.insert(xmm[reg].high, word, place)
    } else {
      xmm[reg].low = PackedInteger.insert(xmm[reg].low, word, place)
    }
  }

  /// PEXTRW.
  func extractWord(_ i: Insn) {
    let place = immediate(i)
    if i.pointee.isMMX {
      setReg(i.pointee.reg, UInt32(PackedInteger.extract(mm(i.pointee.rm), place)))
      enterMMX()
    } else {
      let half = place & 4 != 0 ? xmm[xmmRM(i)].high : xmm[xmmRM(i)].low
      setReg(i.pointee.reg, UInt32(PackedInteger.extract(half, place)))
    }
  }

  /// The top bits of an XMM register's bytes.
  private func signs(_ a: XMMBits) -> UInt32 {
    PackedInteger.signs(a.low) | PackedInteger.signs(a.high) << 8
  }

  /// PMOVMSKB.
  func moveByteSigns(_ i: Insn) {
    if i.pointee.isMMX {
      setReg(i.pointee.reg, PackedInteger.signs(mm(i.pointee.rm)))
      enterMMX()
    } else {
      setReg(i.pointee.reg, signs(xmm[xmmRM(i)]))
    }
  }

  /// MASKMOVQ, MASKMOVDQU.
  func storeMasked(_ i: Insn) throws(Fault) {
    if i.pointee.isMMX {
      try writeMasked(i, XMMBits(mm(i.pointee.reg)), PackedInteger.signs(mm(i.pointee.rm)), 8)
      enterMMX()
    } else {
      try writeMasked(i, xmm[xmmReg(i)], signs(xmm[xmmRM(i)]), 16)
    }
  }

  /// EMMS.
  func emptyMMX() {
    fpu.pointee.top = 0
    fpu.pointee.empty = 0xFF
  }

  // MARK: - Moves that have a form on each kind of register

  /// MOVD to a register.
  func moveDoubleword(_ i: Insn) throws(Fault) {
    let value: UInt32 = try readRM(i)
    if i.pointee.isMMX {
      setMM(i.pointee.reg, UInt64(value))
    } else {
      xmm[xmmReg(i)] = XMMBits(UInt64(value))
    }
  }

  /// MOVD from a register.
  func storeDoubleword(_ i: Insn) throws(Fault) {
    if i.pointee.isMMX {
      try writeRM(i, UInt32(truncatingIfNeeded: mm(i.pointee.reg)))
      enterMMX()
    } else {
      try writeRM(i, UInt32(truncatingIfNeeded: xmm[xmmReg(i)].low))
    }
  }

  /// MOVQ to a register.
  func moveQuadword(_ i: Insn) throws(Fault) {
    if i.pointee.isMMX {
      setMM(i.pointee.reg, try mmxSource(i))
    } else {
      xmm[xmmReg(i)] = XMMBits(i.pointee.hasMemory ? try memory64(i) : xmm[xmmRM(i)].low)
    }
  }

  /// MOVQ from a register.
  func storeQuadword(_ i: Insn) throws(Fault) {
    if !i.pointee.isMMX {
      let value = xmm[xmmReg(i)].low
      if i.pointee.hasMemory {
        try storeMemory(i, value)
      } else {
        xmm[xmmRM(i)] = XMMBits(value)
      }
    } else if i.pointee.hasMemory {
      try storeMMX(i)
    } else {
      setMM(i.pointee.rm, mm(i.pointee.reg))
    }
  }

  /// MOVQ and MOVNTQ to memory.
  func storeMMX(_ i: Insn) throws(Fault) {
    try storeMemory(i, mm(i.pointee.reg))
    enterMMX()
  }

  /// MOVQ2DQ.
  func moveMMXToXMM(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    xmm[xmmReg(i)] = XMMBits(mm(i.pointee.rm))
    enterMMX()
  }

  /// MOVDQ2Q.
  func moveXMMToMMX(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    setMM(i.pointee.reg, xmm[xmmRM(i)].low)
  }

  /// MASKMOVQ, MASKMOVDQU: writes the chosen bytes to DS:EDI.
  private func writeMasked(_ i: Insn, _ value: XMMBits, _ mask: UInt32, _ size: UInt32)
    throws(Fault)
  {
    if mask == 0 { return }
    let offset = gpr32[Register.edi] & i.pointee.addressMask
    let segment = Int(i.pointee.segment)
    // Nothing is written unless all of it can be.
    try probeWrite(try linearForWrite(segment, offset, size), size, userAccess)
    for n in UInt32(0)..<size where mask >> n & 1 != 0 {
      let half = n < 8 ? value.low : value.high
      try write(segment, offset &+ n, UInt8(truncatingIfNeeded: half >> UInt64((n & 7) &* 8)))
    }
  }
}
