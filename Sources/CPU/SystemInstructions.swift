// The system instructions, by opcode.
//
// Owns: the switch from decoded record to operation, and the small operations that have no file of their own.
// Must not know: decoding; what LOCK allows (the decoder refuses it).
// Follows: Intel SDM volume 2.

extension CPU {
  /// Executes a system instruction. `s.eip` is the next instruction's EIP, and the target's after a transfer.
  /// - Throws: the fault; nothing is changed then.
  func executeSystem(_ i: Insn) throws(Fault) {
    let is32 = i.pointee.isOperand32
    switch i.pointee.opcode {
    case 0x06: try pushSegment(SegmentRegister.es, is32)
    case 0x0E: try pushSegment(SegmentRegister.cs, is32)
    case 0x16: try pushSegment(SegmentRegister.ss, is32)
    case 0x1E: try pushSegment(SegmentRegister.ds, is32)
    case 0x0FA0: try pushSegment(SegmentRegister.fs, is32)
    case 0x0FA8: try pushSegment(SegmentRegister.gs, is32)
    case 0x07: try popSegment(SegmentRegister.es, is32)
    case 0x17: try popSegment(SegmentRegister.ss, is32)
    case 0x1F: try popSegment(SegmentRegister.ds, is32)
    case 0x0FA1: try popSegment(SegmentRegister.fs, is32)
    case 0x0FA9: try popSegment(SegmentRegister.gs, is32)
    case 0x63: try executeARPL(i)
    case 0x8C:
      if i.pointee.digit > 5 { throw .ud }
      try storeSelector(i, segmentPointer(i.pointee.digit).pointee.selector)
    case 0x8E:
      let index = i.pointee.digit
      if index == SegmentRegister.cs || index > 5 { throw .ud }
      try loadSegment(index, try readRM(i))
      if index == SegmentRegister.ss { holdInterrupts() }
    case 0x9A: try farCall(selector: i.pointee.imm2, offset: i.pointee.imm, operand32: is32)
    case 0xEA: try farJump(selector: i.pointee.imm2, offset: i.pointee.imm, operand32: is32)
    case 0xFF: try executeIndirectFar(i)
    case 0x9C: try pushFlags(operand32: is32)
    case 0x9D: try popFlags(operand32: is32)
    case 0xC4: try loadFarPointer(i, SegmentRegister.es)
    case 0xC5: try loadFarPointer(i, SegmentRegister.ds)
    case 0x0FB2: try loadFarPointer(i, SegmentRegister.ss)
    case 0x0FB4: try loadFarPointer(i, SegmentRegister.fs)
    case 0x0FB5: try loadFarPointer(i, SegmentRegister.gs)
    case 0xCA: try farReturn(operand32: is32, pop: i.pointee.imm & 0xFFFF)
    case 0xCB: try farReturn(operand32: is32, pop: 0)
    case 0xCC: try softwareInterrupt(vector: 3, kind: .softwareException)
    case 0xCD:
      try softwareInterrupt(
        vector: UInt8(truncatingIfNeeded: i.pointee.imm), kind: .software)
    case 0xCE: if of { try softwareInterrupt(vector: 4, kind: .softwareException) }
    case 0xF1: try softwareInterrupt(vector: 1, kind: .privileged)
    case 0xCF: try interruptReturn(operand32: is32)
    case 0xF4:
      try requireCPL0()
      s.pointee.halted = true
      s.pointee.attention |= Attention.halted
      if debugEvents.contains(.halt) { noteDebug(.halt) }
    case 0xFA: try clearInterruptFlag()
    case 0xFB: try setInterruptFlag()
    case 0x0F00: try executeGroup6(i)
    case 0x0F01: try executeGroup7(i)
    case 0x0F02, 0x0F03: try executeLARLSL(i)
    case 0x0F06:
      try requireCPL0()
      s.pointee.cr0 &= ~CR0.ts
      updateMode()
    case 0x0F08, 0x0F09:
      if !model.features.contains(.i486) { throw .ud }
      try requireCPL0()
    case 0x0F20: try moveControl(i, write: false)
    case 0x0F21: try moveDebug(i, write: false)
    case 0x0F22: try moveControl(i, write: true)
    case 0x0F23: try moveDebug(i, write: true)
    case 0x0F24: try moveTest(i, write: false)
    case 0x0F26: try moveTest(i, write: true)
    case 0x0F30: try executeWRMSR()
    case 0x0F31: try executeRDTSC()
    case 0x0F32: try executeRDMSR()
    case 0x0F33: try executeRDPMC()
    case 0x0F34: try executeSYSENTER()
    case 0x0F35: try executeSYSEXIT()
    case 0x0FA2: try executeCPUID()
    default: throw .ud  // UD0, UD1, UD2, RSM outside of SMM
    }
  }

  /// After MOV SS and POP SS: interrupts and debug traps wait for the next instruction.
  private func holdInterrupts() {
    s.pointee.attention |= Attention.shadow
    s.pointee.shadowHoldsTraps = true
  }

  /// PUSH of a segment register; with 32-bit operand size the upper half of the slot is left alone.
  private func pushSegment(_ index: Int, _ is32: Bool) throws(Fault) {
    let sp = (gpr32[Register.esp] &- (is32 ? 4 : 2)) & stackMask
    try write(SegmentRegister.ss, sp, segmentPointer(index).pointee.selector)
    setStackPointer(sp)
  }

  private func popSegment(_ index: Int, _ is32: Bool) throws(Fault) {
    let sp = gpr32[Register.esp] & stackMask
    let selector: UInt16 = try read(SegmentRegister.ss, sp)
    // POP SS moves the pointer by the old stack's size, as it was when the instruction began.
    let mask = stackMask
    let after = (gpr32[Register.esp] & ~mask) | ((sp &+ (is32 ? 4 : 2)) & mask)
    try loadSegment(index, selector)
    gpr32[Register.esp] = after
    if index == SegmentRegister.ss { holdInterrupts() }
  }

  /// Stores a 16-bit system register: memory gets a word, a 32-bit register the zero-extended value.
  private func storeSelector(_ i: Insn, _ value: UInt16) throws(Fault) {
    if i.pointee.hasMemory || !i.pointee.isOperand32 {
      try writeRM(i, value)
    } else {
      setReg(i.pointee.rm, UInt32(value))
    }
  }

  /// Reads a far pointer from memory.
  private func readFarPointer(_ i: Insn) throws(Fault) -> (selector: UInt16, offset: UInt32) {
    if !i.pointee.hasMemory { throw .ud }
    let segment = Int(i.pointee.segment)
    let address = effectiveAddress(i)
    if i.pointee.isOperand32 {
      let offset: UInt32 = try read(segment, address)
      return (try read(segment, (address &+ 4) & i.pointee.addressMask), offset)
    }
    let offset: UInt16 = try read(segment, address)
    return (try read(segment, (address &+ 2) & i.pointee.addressMask), UInt32(offset))
  }

  private func loadFarPointer(_ i: Insn, _ index: Int) throws(Fault) {
    let p = try readFarPointer(i)
    try loadSegment(index, p.selector)
    if i.pointee.isOperand32 {
      setReg(i.pointee.reg, p.offset)
    } else {
      setReg(i.pointee.reg, UInt16(truncatingIfNeeded: p.offset))
    }
  }

  /// CALL and JMP far through memory.
  private func executeIndirectFar(_ i: Insn) throws(Fault) {
    let p = try readFarPointer(i)
    let is32 = i.pointee.isOperand32
    switch i.pointee.digit {
    case 3: try farCall(selector: p.selector, offset: p.offset, operand32: is32)
    case 5: try farJump(selector: p.selector, offset: p.offset, operand32: is32)
    default: throw .ud
    }
  }

  private func executeARPL(_ i: Insn) throws(Fault) {
    if realSegments { throw .ud }
    let source: UInt16 = reg(i.pointee.reg)
    // The operand is written only when it changes: an unchanged one may lie in a segment that cannot be written.
    let destination: UInt16 = try readRM(i)
    let raise = destination & 3 < source & 3
    if raise { try writeRM(i, destination & 0xFFFC | source & 3) }
    setZF(raise)
  }

  /// LAR and LSL.
  private func executeLARLSL(_ i: Insn) throws(Fault) {
    if realSegments { throw .ud }
    let selector: UInt16 = try readRM(i)
    let value =
      i.pointee.opcode == 0x0F02 ? try accessRights(selector) : try segmentLimit(selector)
    if let value {
      if i.pointee.isOperand32 {
        setReg(i.pointee.reg, value)
      } else {
        setReg(i.pointee.reg, UInt16(truncatingIfNeeded: value))
      }
    }
    setZF(value != nil)
  }

  /// 0F 00: SLDT STR LLDT LTR VERR VERW.
  private func executeGroup6(_ i: Insn) throws(Fault) {
    if realSegments { throw .ud }
    switch i.pointee.digit {
    case 0: try storeSelector(i, segmentPointer(SegmentRegister.ldtr).pointee.selector)
    case 1: try storeSelector(i, segmentPointer(SegmentRegister.tr).pointee.selector)
    case 2:
      try requireCPL0()
      try loadLDT(try readRM(i))
    case 3:
      try requireCPL0()
      try loadTaskRegister(try readRM(i))
    case 4: setZF(try verify(try readRM(i), write: false))
    case 5: setZF(try verify(try readRM(i), write: true))
    default: throw .ud
    }
  }

  /// 0F 01: SGDT SIDT LGDT LIDT SMSW LMSW INVLPG.
  private func executeGroup7(_ i: Insn) throws(Fault) {
    let digit = i.pointee.digit
    switch digit {
    case 4:
      if i.pointee.hasMemory || !i.pointee.isOperand32 {
        try writeRM(i, UInt16(truncatingIfNeeded: s.pointee.cr0))
      } else {
        setReg(i.pointee.rm, s.pointee.cr0)
      }
      return
    case 6:
      try requireCPL0()
      let word: UInt16 = try readRM(i)
      // PE can be set but not cleared.
      let keep = s.pointee.cr0 & ~0xE
      try setCR0(keep | UInt32(word & 0xF))
      return
    default: break
    }
    if !i.pointee.hasMemory || digit == 5 { throw .ud }
    let segment = Int(i.pointee.segment)
    let address = effectiveAddress(i)
    let upper = (address &+ 2) & i.pointee.addressMask
    switch digit {
    case 0, 1:
      let limit = digit == 0 ? s.pointee.gdtLimit : s.pointee.idtLimit
      let base = digit == 0 ? s.pointee.gdtBase : s.pointee.idtBase
      // Both halves must be writable before the first is written.
      _ = try readForWrite(segment, upper) as UInt32
      try write(segment, address, UInt16(truncatingIfNeeded: limit))
      try write(segment, upper, base)
    case 2, 3:
      try requireCPL0()
      let limit: UInt16 = try read(segment, address)
      var base: UInt32 = try read(segment, upper)
      if !i.pointee.isOperand32 { base &= 0xFF_FFFF }
      if digit == 2 {
        s.pointee.gdtBase = base
        s.pointee.gdtLimit = UInt32(limit)
      } else {
        s.pointee.idtBase = base
        s.pointee.idtLimit = UInt32(limit)
      }
    default:
      if !model.features.contains(.i486) { throw .ud }
      try requireCPL0()
      invalidatePage(segmentPointer(segment).pointee.base &+ address)
    }
  }
}
