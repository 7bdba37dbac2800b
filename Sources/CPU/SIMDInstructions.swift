// MMX, SSE and SSE2: which instruction goes where, availability, operands.
//
// Owns: the checks before an instruction, MMX and XMM registers and their memory operands. Must not know: what the operations compute.
// Follows: Intel SDM volume 1, chapters 9 to 11 (aliasing of the MMX registers in 9.6), volume 3, tables 2-2 and 13-1 (availability),
// volume 2 (the instructions' pages).

extension CPU {
  /// XMM0-XMM7.
  @inline(__always) var xmm: UnsafeMutablePointer<XMMBits> {
    (UnsafeMutableRawPointer(fpu) + 128).assumingMemoryBound(to: XMMBits.self)
  }

  /// The bits of MXCSR that the model has.
  var mxcsrMask: UInt32 { model.features.contains(.sse2) ? 0xFFFF : 0xFFBF }

  /// Executes an MMX, SSE or SSE2 instruction.
  @inline(never)
  func executeSIMD(_ i: Insn) throws(Fault) {
    let prefix = MandatoryPrefix(rawValue: UInt8(truncatingIfNeeded: i.pointee.imm2)) ?? .none
    let opcode = UInt8(truncatingIfNeeded: i.pointee.opcode)
    switch opcode {
    case 0xAE: try executeMXCSRGroup(i)
    case 0xC3:
      // MOVNTI needs neither the SSE registers nor the system's support for them.
      try write(Int(i.pointee.segment), effectiveAddress(i), reg(i.pointee.reg) as UInt32)
    case 0x2A, 0x2C, 0x2D:
      try checkSSE()
      // MMX registers are involved, except where 2A has its operand in memory.
      let packed = prefix == .none || prefix == .operandSize
      if packed && !(opcode == 0x2A && i.pointee.hasMemory) { try checkFPUPending() }
      if opcode == 0x2A {
        try executeFromInteger(i, prefix)
      } else {
        try executeToInteger(i, prefix, truncate: opcode == 0x2C)
      }
    case 0x2E, 0x2F:
      try checkSSE()
      try executeFloatCompare(i, opcode, prefix)
    case 0x51...0x53, 0x58, 0x59, 0x5C...0x5F, 0xC2:
      try checkSSE()
      try executeFloatArithmetic(i, opcode, prefix)
    case 0x5A, 0x5B, 0xE6:
      try checkSSE()
      try executeConvert(i, opcode, prefix)
    case 0x10...0x57, 0xC6:
      try checkSSE()
      try executeFloatMove(i, opcode, prefix)
    default:
      if prefix == .none {
        try checkMMX()
        try executeMMX(i, opcode)
      } else {
        try checkSSE()
        if opcode == 0xD6 && prefix != .operandSize { try checkFPUPending() }
        try executeXMMInteger(i, opcode, prefix)
      }
    }
  }

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

  // MARK: - MMX instructions

  private func executeMMX(_ i: Insn, _ opcode: UInt8) throws(Fault) {
    let p = i.pointee
    let immediate = UInt8(truncatingIfNeeded: p.imm)
    switch opcode {
    case 0x60, 0x61, 0x62:
      // Of memory only the half that is used is read.
      let b: UInt64
      if p.hasMemory {
        let half: UInt32 = try read(Int(p.segment), effectiveAddress(i))
        b = UInt64(half)
      } else {
        b = mm(p.rm)
      }
      setMM(p.reg, PackedInteger.interleave(opcode, mm(p.reg), b))
    case 0x68, 0x69, 0x6A:
      let b = try mmxSource(i)
      setMM(p.reg, PackedInteger.interleave(opcode, mm(p.reg) >> 32, b >> 32))
    case 0x63, 0x67, 0x6B:
      let b = try mmxSource(i)
      setMM(p.reg, PackedInteger.pack(opcode, mm(p.reg), b))
    case 0x6E:
      let value: UInt32 = try readRM(i)
      setMM(p.reg, UInt64(value))
    case 0x6F: setMM(p.reg, try mmxSource(i))
    case 0x70: setMM(p.reg, PackedInteger.shuffle(try mmxSource(i), immediate))
    case 0x71, 0x72, 0x73:
      setMM(p.rm, PackedInteger.shift(PackedInteger.shiftOpcode(i), mm(p.rm), UInt64(immediate)))
    case 0x77:
      fpu.pointee.top = 0
      fpu.pointee.empty = 0xFF
    case 0x7E:
      try writeRM(i, UInt32(truncatingIfNeeded: mm(p.reg)))
      enterMMX()
    case 0x7F:
      if p.hasMemory {
        try write(Int(p.segment), effectiveAddress(i), mm(p.reg))
        enterMMX()
      } else {
        setMM(p.rm, mm(p.reg))
      }
    case 0xE7:
      try write(Int(p.segment), effectiveAddress(i), mm(p.reg))
      enterMMX()
    case 0xC4:
      let word: UInt16 = try readRM(i)
      setMM(p.reg, PackedInteger.insert(mm(p.reg), word, immediate))
    case 0xC5:
      setReg(p.reg, UInt32(PackedInteger.extract(mm(p.rm), immediate)))
      enterMMX()
    case 0xD7:
      setReg(p.reg, PackedInteger.signs(mm(p.rm)))
      enterMMX()
    case 0xF7:
      try writeMasked(i, XMMBits(mm(p.reg)), PackedInteger.signs(mm(p.rm)), 8)
      enterMMX()
    case 0xD1...0xD3, 0xE1, 0xE2, 0xF1...0xF3:
      let count = try mmxSource(i)
      setMM(p.reg, PackedInteger.shift(opcode, mm(p.reg), count))
    default:
      let b = try mmxSource(i)
      setMM(p.reg, PackedInteger.operate(opcode, mm(p.reg), b))
    }
  }

  /// MASKMOVQ, MASKMOVDQU: writes the chosen bytes to DS:EDI.
  func writeMasked(_ i: Insn, _ value: XMMBits, _ mask: UInt32, _ size: UInt32) throws(Fault) {
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
