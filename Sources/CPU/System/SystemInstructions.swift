// The system instructions that have no file of their own.
//
// Owns: moves of segment registers and far pointers, the instructions on system tables and on the machine status.
// Must not know: decoding; what LOCK allows (the decoder refuses it); which operation calls what (the instruction table).
// Follows: Intel SDM volume 2.

extension CPU {
  /// HLT.
  func halt() throws(Fault) {
    try requireCPL0()
    s.pointee.halted = true
    s.pointee.attention |= Attention.halted
    if debugEvents.contains(.halt) { noteDebug(.halt) }
  }

  /// PAUSE: a processor that waits for another lets it go on. Anywhere else it is a NOP, as in processors before the Pentium 4.
  func pause() {
    if !s.pointee.givesWay { return }
    gaveWay = true
    waited = true
    requestStop()
  }

  /// STI that sets IF, while others wait for something: often a lock that was just released, which this processor, going on alone, would
  /// have taken again whenever another looks.
  func letOthersIn() {
    if !s.pointee.givesWayAtSTI { return }
    gaveWay = true
    requestStop()
  }

  /// CLTS.
  func clearTaskSwitched() throws(Fault) {
    try requireCPL0()
    s.pointee.cr0 &= ~CR0.ts
    updateMode()
  }

  // MARK: - Segment registers

  /// After MOV SS and POP SS: interrupts and debug traps wait for the next instruction.
  private func holdInterrupts() {
    s.pointee.attention |= Attention.shadow
    s.pointee.shadowHoldsTraps = true
  }

  /// PUSH of a segment register; with 32-bit operand size the upper half of the slot is left alone.
  func pushSegment(_ i: Insn) throws(Fault) {
    let sp = (gpr32[Register.esp] &- (i.pointee.isOperand32 ? 4 : 2)) & stackMask
    try write(SegmentRegister.ss, sp, segmentPointer(Int(i.pointee.reg)).pointee.selector)
    setStackPointer(sp)
  }

  func popSegment(_ i: Insn) throws(Fault) {
    let index = Int(i.pointee.reg)
    let sp = gpr32[Register.esp] & stackMask
    let selector: UInt16 = try read(SegmentRegister.ss, sp)
    // POP SS moves the pointer by the old stack's size, as it was when the instruction began.
    let mask = stackMask
    let after = (gpr32[Register.esp] & ~mask) | ((sp &+ (i.pointee.isOperand32 ? 4 : 2)) & mask)
    try loadSegment(index, selector)
    gpr32[Register.esp] = after
    if index == SegmentRegister.ss { holdInterrupts() }
  }

  /// MOV from a segment register.
  func moveFromSegment(_ i: Insn) throws(Fault) {
    if i.pointee.reg > 5 { throw .ud }
    try storeSelector(i, segmentPointer(Int(i.pointee.reg)).pointee.selector)
  }

  /// MOV to a segment register.
  func moveToSegment(_ i: Insn) throws(Fault) {
    let index = Int(i.pointee.reg)
    if index == SegmentRegister.cs || index > 5 { throw .ud }
    try loadSegment(index, try readRM(i))
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

  func loadFarPointer(_ i: Insn, _ index: Int) throws(Fault) {
    let p = try farPointer(.any, i)
    try loadSegment(index, p.selector)
    if i.pointee.isOperand32 {
      setReg(i.pointee.reg, p.offset)
    } else {
      setReg(i.pointee.reg, UInt16(truncatingIfNeeded: p.offset))
    }
  }

  // MARK: - Far transfers

  /// CALL far to a pointer in the code.
  func farCall(_ i: Insn) throws(Fault) {
    try farCall(
      selector: i.pointee.imm2, offset: i.pointee.imm, operand32: i.pointee.isOperand32)
  }

  /// JMP far to a pointer in the code.
  func farJump(_ i: Insn) throws(Fault) {
    try farJump(
      selector: i.pointee.imm2, offset: i.pointee.imm, operand32: i.pointee.isOperand32)
  }

  /// CALL far through memory.
  func farCallIndirect(_ i: Insn) throws(Fault) {
    let p = try farPointer(.any, i)
    try farCall(selector: p.selector, offset: p.offset, operand32: i.pointee.isOperand32)
  }

  /// JMP far through memory.
  func farJumpIndirect(_ i: Insn) throws(Fault) {
    let p = try farPointer(.any, i)
    try farJump(selector: p.selector, offset: p.offset, operand32: i.pointee.isOperand32)
  }

  // MARK: - Protection

  /// ARPL.
  func adjustRPL(_ i: Insn) throws(Fault) {
    if realSegments { throw .ud }
    let source: UInt16 = reg(i.pointee.reg)
    // The operand is written only when it changes, as the manual's operation says: an unchanged one may lie where nothing can be
    // written, and one that is not there is a read's fault. So do Intel's processors; QEMU and Bochs ask for a write at once.
    let destination: UInt16 = try readRM(i)
    let raise = destination & 3 < source & 3
    if raise { try writeRM(i, destination & 0xFFFC | source & 3) }
    setZF(raise)
  }

  /// LAR.
  func loadAccessRights(_ i: Insn) throws(Fault) {
    if realSegments { throw .ud }
    loadIfVisible(i, try accessRights(try readRM(i)))
  }

  /// LSL.
  func loadSegmentLimit(_ i: Insn) throws(Fault) {
    if realSegments { throw .ud }
    loadIfVisible(i, try segmentLimit(try readRM(i)))
  }

  private func loadIfVisible(_ i: Insn, _ value: UInt32?) {
    if let value {
      if i.pointee.isOperand32 {
        setReg(i.pointee.reg, value)
      } else {
        setReg(i.pointee.reg, UInt16(truncatingIfNeeded: value))
      }
    }
    setZF(value != nil)
  }

  /// VERR and VERW.
  func verifySegment(_ i: Insn, write: Bool) throws(Fault) {
    if realSegments { throw .ud }
    setZF(try verify(try readRM(i), write: write))
  }

  // MARK: - System tables

  /// SLDT and STR.
  func storeSystemSelector(_ i: Insn, _ register: Int) throws(Fault) {
    if realSegments { throw .ud }
    try storeSelector(i, segmentPointer(register).pointee.selector)
  }

  /// LLDT.
  func loadLDT(_ i: Insn) throws(Fault) {
    if realSegments { throw .ud }
    try requireCPL0()
    try loadLDT(try readRM(i))
  }

  /// LTR.
  func loadTaskRegister(_ i: Insn) throws(Fault) {
    if realSegments { throw .ud }
    try requireCPL0()
    try loadTaskRegister(try readRM(i))
  }

  /// SGDT and SIDT.
  func storeTable(_ i: Insn, base: UInt32, limit: UInt32) throws(Fault) {
    let segment = Int(i.pointee.segment)
    let address = effectiveAddress(i)
    let upper = (address &+ 2) & i.pointee.addressMask
    // Both halves must be writable before the first is written.
    _ = try readForWrite(segment, upper) as UInt32
    try write(segment, address, UInt16(truncatingIfNeeded: limit))
    try write(segment, upper, base)
  }

  /// LGDT and LIDT.
  func loadTable(_ i: Insn) throws(Fault) -> (base: UInt32, limit: UInt32) {
    try requireCPL0()
    let segment = Int(i.pointee.segment)
    let address = effectiveAddress(i)
    let limit: UInt16 = try read(segment, address)
    let base: UInt32 = try read(segment, (address &+ 2) & i.pointee.addressMask)
    return (i.pointee.isOperand32 ? base : base & 0xFF_FFFF, UInt32(limit))
  }

  // MARK: - Machine status, pages

  /// SMSW.
  func storeMachineStatus(_ i: Insn) throws(Fault) {
    if i.pointee.hasMemory || !i.pointee.isOperand32 {
      try writeRM(i, UInt16(truncatingIfNeeded: s.pointee.cr0))
    } else {
      setReg(i.pointee.rm, s.pointee.cr0)
    }
  }

  /// LMSW.
  func loadMachineStatus(_ i: Insn) throws(Fault) {
    try requireCPL0()
    let word: UInt16 = try readRM(i)
    // PE can be set but not cleared.
    try setCR0(s.pointee.cr0 & ~0xE | UInt32(word & 0xF))
  }

  /// INVLPG.
  func invalidatePage(_ i: Insn) throws(Fault) {
    try requireCPL0()
    invalidatePage(segmentPointer(Int(i.pointee.segment)).pointee.base &+ effectiveAddress(i))
  }
}
