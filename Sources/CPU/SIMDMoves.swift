// SSE and SSE2 moves and shuffles, MXCSR, and the integer instructions on XMM registers.
//
// Owns: these instructions, 128-bit memory operands. Must not know: arithmetic (SIMDFloat, PackedInteger).
// Follows: Intel SDM volume 2, the pages of the instructions; volume 1, section 4.1.1 (alignment).

extension CPU {
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

  private func memory64(_ i: Insn) throws(Fault) -> UInt64 {
    try read(Int(i.pointee.segment), effectiveAddress(i))
  }

  private func storeMemory<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn, _ value: T)
    throws(Fault)
  {
    try write(Int(i.pointee.segment), effectiveAddress(i), value)
  }

  /// An XMM register or sixteen aligned bytes.
  @inline(__always)
  private func source128(_ i: Insn) throws(Fault) -> XMMBits {
    if i.pointee.hasMemory { return try read128(i, aligned: true) }
    return xmm[Int(i.pointee.rm & 7)]
  }

  // MARK: - Floating-point moves

  /// 10-17, 28, 29, 2B, 50, 54-57, C6.
  func executeFloatMove(_ i: Insn, _ opcode: UInt8, _ prefix: MandatoryPrefix) throws(Fault) {
    let memory = i.pointee.hasMemory
    let reg = Int(i.pointee.reg & 7)
    let rm = Int(i.pointee.rm & 7)
    let wide = prefix == .operandSize
    switch opcode {
    case 0x10:
      switch prefix {
      case .none, .operandSize:
        xmm[reg] = memory ? try read128(i, aligned: false) : xmm[rm]
      case .rep:
        if memory {
          let value: UInt32 = try read(Int(i.pointee.segment), effectiveAddress(i))
          xmm[reg] = XMMBits(UInt64(value))
        } else {
          xmm[reg].low = xmm[reg].low & ~0xFFFF_FFFF | xmm[rm].low & 0xFFFF_FFFF
        }
      case .repne:
        if memory { xmm[reg] = XMMBits(try memory64(i)) } else { xmm[reg].low = xmm[rm].low }
      }
    case 0x11:
      switch prefix {
      case .none, .operandSize:
        if memory { try write128(i, xmm[reg], aligned: false) } else { xmm[rm] = xmm[reg] }
      case .rep:
        if memory {
          try storeMemory(i, UInt32(truncatingIfNeeded: xmm[reg].low))
        } else {
          xmm[rm].low = xmm[rm].low & ~0xFFFF_FFFF | xmm[reg].low & 0xFFFF_FFFF
        }
      case .repne:
        if memory { try storeMemory(i, xmm[reg].low) } else { xmm[rm].low = xmm[reg].low }
      }
    case 0x12: xmm[reg].low = memory ? try memory64(i) : xmm[rm].high
    case 0x13: try storeMemory(i, xmm[reg].low)
    case 0x16: xmm[reg].high = memory ? try memory64(i) : xmm[rm].low
    case 0x17: try storeMemory(i, xmm[reg].high)
    case 0x14, 0x15:
      let b = try source128(i)
      let a = xmm[reg]
      let (x, y) = opcode == 0x14 ? (a.low, b.low) : (a.high, b.high)
      xmm[reg] =
        wide
        ? XMMBits(x, y)
        : XMMBits(x & 0xFFFF_FFFF | y << 32, x >> 32 | y & 0xFFFF_FFFF_0000_0000)
    case 0x28: xmm[reg] = try source128(i)
    case 0x29:
      if memory { try write128(i, xmm[reg], aligned: true) } else { xmm[rm] = xmm[reg] }
    case 0x2B: try write128(i, xmm[reg], aligned: true)
    case 0x50:
      let a = xmm[rm]
      let tops = (a.low >> 63, a.high >> 63)
      let middles = (a.low >> 31 & 1) | (a.high >> 31 & 1) << 2
      let signs = wide ? tops.0 | tops.1 << 1 : middles | tops.0 << 1 | tops.1 << 3
      setReg(i.pointee.reg, UInt32(truncatingIfNeeded: signs))
    case 0x54, 0x55, 0x56, 0x57:
      let b = try source128(i)
      let a = xmm[reg]
      switch opcode {
      case 0x54: xmm[reg] = XMMBits(a.low & b.low, a.high & b.high)
      case 0x55: xmm[reg] = XMMBits(~a.low & b.low, ~a.high & b.high)
      case 0x56: xmm[reg] = XMMBits(a.low | b.low, a.high | b.high)
      default: xmm[reg] = XMMBits(a.low ^ b.low, a.high ^ b.high)
      }
    default:
      let b = try source128(i)
      let a = xmm[reg]
      let order = UInt8(truncatingIfNeeded: i.pointee.imm)
      if wide {
        xmm[reg] = XMMBits(order & 1 != 0 ? a.high : a.low, order & 2 != 0 ? b.high : b.low)
      } else {
        xmm[reg] = XMMBits(
          CPU.dword(a, order) | CPU.dword(a, order >> 2) << 32,
          CPU.dword(b, order >> 4) | CPU.dword(b, order >> 6) << 32)
      }
    }
  }

  /// The element that the low two bits of `place` name.
  @inline(__always)
  private static func dword(_ a: XMMBits, _ place: UInt8) -> UInt64 {
    let half = place & 2 != 0 ? a.high : a.low
    return place & 1 != 0 ? half >> 32 : half & 0xFFFF_FFFF
  }

  // MARK: - Integers in XMM registers

  /// 60-7F, C4, C5, D0-FF with a mandatory prefix.
  func executeXMMInteger(_ i: Insn, _ opcode: UInt8, _ prefix: MandatoryPrefix) throws(Fault) {
    let memory = i.pointee.hasMemory
    let reg = Int(i.pointee.reg & 7)
    let rm = Int(i.pointee.rm & 7)
    let immediate = UInt8(truncatingIfNeeded: i.pointee.imm)
    switch opcode {
    case 0x60, 0x61, 0x62:
      let b = try source128(i)
      let a = xmm[reg]
      xmm[reg] = XMMBits(
        PackedInteger.interleave(opcode, a.low, b.low),
        PackedInteger.interleave(opcode, a.low >> 32, b.low >> 32))
    case 0x68, 0x69, 0x6A:
      let b = try source128(i)
      let a = xmm[reg]
      xmm[reg] = XMMBits(
        PackedInteger.interleave(opcode, a.high, b.high),
        PackedInteger.interleave(opcode, a.high >> 32, b.high >> 32))
    case 0x6C: xmm[reg] = XMMBits(xmm[reg].low, try source128(i).low)
    case 0x6D: xmm[reg] = XMMBits(xmm[reg].high, try source128(i).high)
    case 0x63, 0x67, 0x6B:
      let b = try source128(i)
      let a = xmm[reg]
      xmm[reg] = XMMBits(
        PackedInteger.pack(opcode, a.low, a.high), PackedInteger.pack(opcode, b.low, b.high))
    case 0x6E:
      let value: UInt32 = try readRM(i)
      xmm[reg] = XMMBits(UInt64(value))
    case 0x6F: xmm[reg] = memory ? try read128(i, aligned: prefix != .rep) : xmm[rm]
    case 0x70:
      let b = try source128(i)
      switch prefix {
      case .rep: xmm[reg] = XMMBits(b.low, PackedInteger.shuffle(b.high, immediate))
      case .repne: xmm[reg] = XMMBits(PackedInteger.shuffle(b.low, immediate), b.high)
      default:
        xmm[reg] = XMMBits(
          CPU.dword(b, immediate) | CPU.dword(b, immediate >> 2) << 32,
          CPU.dword(b, immediate >> 4) | CPU.dword(b, immediate >> 6) << 32)
      }
    case 0x71, 0x72, 0x73:
      let a = xmm[rm]
      if opcode == 0x73 && i.pointee.digit & 3 == 3 {
        xmm[rm] = CPU.shiftBytes(a, immediate, left: i.pointee.digit == 7)
      } else {
        let form = PackedInteger.shiftOpcode(i)
        xmm[rm] = XMMBits(
          PackedInteger.shift(form, a.low, UInt64(immediate)),
          PackedInteger.shift(form, a.high, UInt64(immediate)))
      }
    case 0x7E:
      if prefix == .rep {
        xmm[reg] = XMMBits(memory ? try memory64(i) : xmm[rm].low)
      } else {
        try writeRM(i, UInt32(truncatingIfNeeded: xmm[reg].low))
      }
    case 0x7F:
      if memory {
        try write128(i, xmm[reg], aligned: prefix != .rep)
      } else {
        xmm[rm] = xmm[reg]
      }
    case 0xC4:
      let word: UInt16 = try readRM(i)
      if immediate & 4 != 0 {
        xmm[reg].high = PackedInteger.insert(xmm[reg].high, word, immediate)
      } else {
        xmm[reg].low = PackedInteger.insert(xmm[reg].low, word, immediate)
      }
    case 0xC5:
      let half = immediate & 4 != 0 ? xmm[rm].high : xmm[rm].low
      setReg(i.pointee.reg, UInt32(PackedInteger.extract(half, immediate)))
    case 0xD6:
      switch prefix {
      case .rep:
        xmm[reg] = XMMBits(mm(i.pointee.rm))
        enterMMX()
      case .repne: setMM(i.pointee.reg, xmm[rm].low)
      default:
        if memory { try storeMemory(i, xmm[reg].low) } else { xmm[rm] = XMMBits(xmm[reg].low) }
      }
    case 0xD7:
      setReg(
        i.pointee.reg, PackedInteger.signs(xmm[rm].low) | PackedInteger.signs(xmm[rm].high) << 8)
    case 0xE7: try write128(i, xmm[reg], aligned: true)
    case 0xF7:
      let mask = PackedInteger.signs(xmm[rm].low) | PackedInteger.signs(xmm[rm].high) << 8
      try writeMasked(i, xmm[reg], mask, 16)
    case 0xD1...0xD3, 0xE1, 0xE2, 0xF1...0xF3:
      let count = try source128(i).low
      xmm[reg] = XMMBits(
        PackedInteger.shift(opcode, xmm[reg].low, count),
        PackedInteger.shift(opcode, xmm[reg].high, count))
    default:
      let b = try source128(i)
      xmm[reg] = XMMBits(
        PackedInteger.operate(opcode, xmm[reg].low, b.low),
        PackedInteger.operate(opcode, xmm[reg].high, b.high))
    }
  }

  /// PSRLDQ, PSLLDQ.
  private static func shiftBytes(_ a: XMMBits, _ count: UInt8, left: Bool) -> XMMBits {
    if count > 15 { return XMMBits() }
    let value = UInt128(a.high) << 64 | UInt128(a.low)
    let bits = UInt128(count) &* 8
    let shifted = left ? value &<< bits : value &>> bits
    return XMMBits(
      UInt64(truncatingIfNeeded: shifted), UInt64(truncatingIfNeeded: shifted >> 64))
  }

  // MARK: - MXCSR and fences

  /// 0FAE /2 to /7: LDMXCSR, STMXCSR, LFENCE, MFENCE, SFENCE, CLFLUSH.
  func executeMXCSRGroup(_ i: Insn) throws(Fault) {
    let memory = i.pointee.hasMemory
    switch i.pointee.digit {
    case 2, 3:
      if !memory { throw .ud }
      try checkSSE()
      if i.pointee.digit == 3 { return try storeMemory(i, fpu.pointee.mxcsr) }
      let value: UInt32 = try read(Int(i.pointee.segment), effectiveAddress(i))
      if value & ~mxcsrMask != 0 { throw .gp(0) }
      fpu.pointee.mxcsr = value
    case 7 where memory:
      // CLFLUSH: no caches, but the line must be readable.
      if !model.features.contains(.sse2) { throw .ud }
      let linear = try linearForRead(Int(i.pointee.segment), effectiveAddress(i), 1)
      try probeRead(linear, 1, userAccess)
    default: if memory { throw .ud }
    }
  }
}
