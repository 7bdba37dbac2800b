// SSE and SSE2 moves, bitwise operations and shuffles, MXCSR.
//
// Owns: these instructions, 128-bit memory operands. Must not know: encodings (the instruction table), arithmetic (SIMDFloat).
// Follows: Intel SDM volume 2, the pages of the instructions; volume 1, section 4.1.1 (alignment).

extension CPU {
  /// The XMM register that ModRM.reg names.
  @inline(__always)
  func xmmReg(_ i: Insn) -> Int { Int(i.pointee.reg & 7) }

  /// The one that ModRM.rm names.
  @inline(__always)
  func xmmRM(_ i: Insn) -> Int { Int(i.pointee.rm & 7) }

  // MARK: - Memory

  /// Sixteen bytes of memory.
  /// - Throws: #GP(0) where they must be aligned and are not.
  func read128(_ i: Insn, aligned: Bool) throws(Fault) -> XMMBits {
    let linear = try linearForRead(Int(i.pointee.segment), effectiveAddress(i), 16)
    if aligned && linear & 15 != 0 { throw .gp(0) }
    let delta = s.pointee.readTable[Int(linear >> 12)]
    if delta > 0 && linear & 0xFFF <= 0xFF0 {
      let p = UnsafeRawPointer(bitPattern: delta &+ Int(linear)).unsafelyUnwrapped
      return XMMBits(
        p.loadUnaligned(as: UInt64.self), p.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }
    let low = try readSlow(linear, 8, userAccess)
    return XMMBits(low, try readSlow(linear &+ 8, 8, userAccess))
  }

  func write128(_ i: Insn, _ value: XMMBits, aligned: Bool) throws(Fault) {
    let linear = try linearForWrite(Int(i.pointee.segment), effectiveAddress(i), 16)
    if aligned && linear & 15 != 0 { throw .gp(0) }
    let delta = s.pointee.writeTable[Int(linear >> 12)]
    if delta > 0 && linear & 0xFFF <= 0xFF0 {
      let p = UnsafeMutableRawPointer(bitPattern: delta &+ Int(linear)).unsafelyUnwrapped
      p.storeBytes(of: value.low, as: UInt64.self)
      p.storeBytes(of: value.high, toByteOffset: 8, as: UInt64.self)
      return
    }
    // Nothing is written unless both halves can be.
    if linear & 0xFFF > 0xFF0 { try probeWrite(linear, 16, userAccess) }
    try writeSlow(linear, value.low, 8, userAccess)
    try writeSlow(linear &+ 8, value.high, 8, userAccess)
  }

  func memory64(_ i: Insn) throws(Fault) -> UInt64 {
    try read(Int(i.pointee.segment), effectiveAddress(i))
  }

  func storeMemory<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn, _ value: T)
    throws(Fault)
  {
    try write(Int(i.pointee.segment), effectiveAddress(i), value)
  }

  /// An XMM register or sixteen aligned bytes.
  @inline(__always)
  func source128(_ i: Insn) throws(Fault) -> XMMBits {
    if i.pointee.hasMemory { return try read128(i, aligned: true) }
    return xmm[Int(i.pointee.rm & 7)]
  }

  // MARK: - Moves

  /// An XMM register to another or to memory.
  func storeXMM(_ i: Insn, aligned: Bool) throws(Fault) {
    if i.pointee.hasMemory {
      try write128(i, xmm[xmmReg(i)], aligned: aligned)
    } else {
      xmm[xmmRM(i)] = xmm[xmmReg(i)]
    }
  }

  /// MOVSS from a register or memory; memory clears the rest.
  func loadSingleXMM(_ i: Insn) throws(Fault) {
    let reg = xmmReg(i)
    if i.pointee.hasMemory {
      let value: UInt32 = try read(Int(i.pointee.segment), effectiveAddress(i))
      xmm[reg] = XMMBits(UInt64(value))
    } else {
      xmm[reg].low = xmm[reg].low & ~0xFFFF_FFFF | xmm[xmmRM(i)].low & 0xFFFF_FFFF
    }
  }

  /// MOVSS to a register or memory.
  func storeSingleXMM(_ i: Insn) throws(Fault) {
    let rm = xmmRM(i)
    if i.pointee.hasMemory {
      try storeMemory(i, UInt32(truncatingIfNeeded: xmm[xmmReg(i)].low))
    } else {
      xmm[rm].low = xmm[rm].low & ~0xFFFF_FFFF | xmm[xmmReg(i)].low & 0xFFFF_FFFF
    }
  }

  /// MOVSD from a register or memory; memory clears the rest.
  func loadDoubleXMM(_ i: Insn) throws(Fault) {
    if i.pointee.hasMemory {
      xmm[xmmReg(i)] = XMMBits(try memory64(i))
    } else {
      xmm[xmmReg(i)].low = xmm[xmmRM(i)].low
    }
  }

  /// MOVSD to a register or memory.
  func storeDoubleXMM(_ i: Insn) throws(Fault) {
    if i.pointee.hasMemory {
      try storeMemory(i, xmm[xmmReg(i)].low)
    } else {
      xmm[xmmRM(i)].low = xmm[xmmReg(i)].low
    }
  }

  /// MOVMSKPS.
  func moveSingleSigns(_ i: Insn) {
    let a = xmm[xmmRM(i)]
    let middles = (a.low >> 31 & 1) | (a.high >> 31 & 1) << 2
    setReg(
      i.pointee.reg, UInt32(truncatingIfNeeded: middles | (a.low >> 63) << 1 | (a.high >> 63) << 3))
  }

  /// MOVMSKPD.
  func moveDoubleSigns(_ i: Insn) {
    let a = xmm[xmmRM(i)]
    setReg(i.pointee.reg, UInt32(truncatingIfNeeded: a.low >> 63 | (a.high >> 63) << 1))
  }

  // MARK: - Bitwise operations, shuffles

  /// ANDPS and its like.
  func bitwise(_ i: Insn, _ operation: (UInt64, UInt64) -> UInt64) throws(Fault) {
    let b = try source128(i)
    let a = xmm[xmmReg(i)]
    xmm[xmmReg(i)] = XMMBits(operation(a.low, b.low), operation(a.high, b.high))
  }

  /// UNPCKLPS, UNPCKHPS.
  func unpackSingles(_ i: Insn, high: Bool) throws(Fault) {
    let b = try source128(i)
    let a = xmm[xmmReg(i)]
    let (x, y) = high ? (a.high, b.high) : (a.low, b.low)
    xmm[xmmReg(i)] = XMMBits(x & 0xFFFF_FFFF | y << 32, x >> 32 | y & 0xFFFF_FFFF_0000_0000)
  }

  /// UNPCKLPD, UNPCKHPD, PUNPCKLQDQ, PUNPCKHQDQ.
  func unpackQuadwords(_ i: Insn, high: Bool) throws(Fault) {
    let b = try source128(i)
    let a = xmm[xmmReg(i)]
    xmm[xmmReg(i)] = high ? XMMBits(a.high, b.high) : XMMBits(a.low, b.low)
  }

  /// SHUFPS.
  func shuffleSingles(_ i: Insn) throws(Fault) {
    let b = try source128(i)
    let a = xmm[xmmReg(i)]
    let order = UInt8(truncatingIfNeeded: i.pointee.imm)
    xmm[xmmReg(i)] = XMMBits(
      CPU.dword(a, order) | CPU.dword(a, order >> 2) << 32,
      CPU.dword(b, order >> 4) | CPU.dword(b, order >> 6) << 32)
  }

  /// SHUFPD.
  func shuffleDoubles(_ i: Insn) throws(Fault) {
    let b = try source128(i)
    let a = xmm[xmmReg(i)]
    let order = i.pointee.imm
    xmm[xmmReg(i)] = XMMBits(order & 1 != 0 ? a.high : a.low, order & 2 != 0 ? b.high : b.low)
  }

  /// PSHUFD.
  func shuffleDoublewords(_ i: Insn) throws(Fault) {
    let b = try source128(i)
    let order = UInt8(truncatingIfNeeded: i.pointee.imm)
    xmm[xmmReg(i)] = XMMBits(
      CPU.dword(b, order) | CPU.dword(b, order >> 2) << 32,
      CPU.dword(b, order >> 4) | CPU.dword(b, order >> 6) << 32)
  }

  /// PSHUFHW.
  func shuffleHighWords(_ i: Insn) throws(Fault) {
    let b = try source128(i)
    let order = UInt8(truncatingIfNeeded: i.pointee.imm)
    xmm[xmmReg(i)] = XMMBits(b.low, PackedInteger.shuffle(b.high, order))
  }

  /// PSHUFLW.
  func shuffleLowWords(_ i: Insn) throws(Fault) {
    let b = try source128(i)
    let order = UInt8(truncatingIfNeeded: i.pointee.imm)
    xmm[xmmReg(i)] = XMMBits(PackedInteger.shuffle(b.low, order), b.high)
  }

  /// The element that the low two bits of `place` name.
  @inline(__always)
  private static func dword(_ a: XMMBits, _ place: UInt8) -> UInt64 {
    let half = place & 2 != 0 ? a.high : a.low
    return place & 1 != 0 ? half >> 32 : half & 0xFFFF_FFFF
  }

  // MARK: - MXCSR, cache lines

  /// LDMXCSR.
  func loadMXCSR(_ i: Insn) throws(Fault) {
    let value: UInt32 = try read(Int(i.pointee.segment), effectiveAddress(i))
    if value & ~mxcsrMask != 0 { throw .gp(0) }
    fpu.pointee.mxcsr = value
  }

  /// CLFLUSH: no caches, but the line must be readable.
  func flushLine(_ i: Insn) throws(Fault) {
    let linear = try linearForRead(Int(i.pointee.segment), effectiveAddress(i), 1)
    try probeRead(linear, 1, userAccess)
  }
}
