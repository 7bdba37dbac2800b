// Short paths of far transfers for translated code: INT n, IRET, SYSENTER, SYSEXIT, far CALL, JMP and RET.
//
// Owns: when they are tried. Where not everything is at hand nothing has been done, and the instruction is interpreted. What a transfer
// checks and changes is not here: the plans are the interpreter's.
// Must not know: faults. Any doubt leads to the interpreter.

extension Instruction {
  /// Whether `CPU.transferQuickly` may know this instruction.
  @inline(__always) package var isFarTransfer: Bool {
    // What LOCK makes undefined is of these operations too.
    guard handler == .system else { return false }
    switch op {
    case .int3, .int, .iret, .callFar, .callFarIndirect, .jmpFar, .jmpFarIndirect, .retFar,
      .sysenter, .sysexit:
      return true
    default: return false
    }
  }
}

extension CPU {
  /// `transferQuickly` as translated code calls it.
  static let transferFunction: InterpretOne = { context, record, left, blockEIP in
    Unmanaged<CPU>.fromOpaque(context)._withUnsafeGuaranteedRef {
      $0.transferQuickly(record.assumingMemoryBound(to: Instruction.self), left, blockEIP)
    }
  }

  /// Carries out a far transfer at the end of a translated block; parameters and result are those of `interpretOne`.
  private func transferQuickly(_ record: Insn, _ left: Int, _ blockEIP: UInt32) -> Int {
    let s = self.s
    let watchedFlags = EFLAGS.tf | EFLAGS.rf | EFLAGS.ac | EFLAGS.nt
    guard left == 1, s.pointee.eflags & watchedFlags == 0, s.pointee.dr7 & 0xFF == 0,
      debugEvents.isEmpty, !watching
    else { return interpretOne(record, left, blockEIP) }
    let next = blockEIP &+ UInt32(record.pointee.nextOffset)
    s.pointee.eip = next
    let from =
      segmentPointer(SegmentRegister.cs).pointee.base &+ next &- UInt32(record.pointee.length)
    do throws(Fault) {
      switch record.pointee.op {
      case .int: try interruptQuickly(UInt8(truncatingIfNeeded: record.pointee.imm))
      case .int3: try interruptQuickly(3)
      case .iret: try returnQuickly(record.pointee.isOperand32, from)
      case .callFar, .callFarIndirect: try callQuickly(record, from)
      case .jmpFar, .jmpFarIndirect: try jumpQuickly(record, from)
      case .retFar: try farReturnQuickly(record, from)
      case .sysenter: try commitQuickly(try planSYSENTER(from: from))
      case .sysexit: try commitQuickly(try planSYSEXIT(from: from))
      default: throw .notAtHand
      }
    } catch {
      return interpretOne(record, left, blockEIP)
    }
    if s.pointee.codeTag == 0 { updateCodeTag() }
    if realSegments { noteFarContext() }
    if waits { return 1 }
    return codeAtEIP
  }

  private func interruptQuickly(_ vector: UInt8) throws(Fault) {
    // In V86 mode INT n has more rules. Elsewhere INT3 is as INT n.
    if v86 { throw .notAtHand }
    // Two functions, because each has less to tell apart.
    if protectedMode {
      try interruptProtected(vector)
    } else {
      try commitQuickly(try planInterruptReal(.atHand, vector))
    }
  }

  @inline(never)
  private func interruptProtected(_ vector: UInt8) throws(Fault) {
    try commitQuickly(try planInterruptProtected(.atHand, vector, .software, nil))
  }

  private func returnQuickly(_ operand32: Bool, _ from: UInt32) throws(Fault) {
    if realSegments {
      try commitQuickly(try planReturn8086(.atHand, operand32, from))
    } else {
      try returnProtected(operand32, from)
    }
    s.pointee.nmiBlocked = false
  }

  @inline(never)
  private func returnProtected(_ operand32: Bool, _ from: UInt32) throws(Fault) {
    try commitQuickly(try planReturnProtected(.atHand, operand32, from))
  }

  private func callQuickly(_ i: Insn, _ from: UInt32) throws(Fault) {
    let p = try target(i, .callFar)
    try commitQuickly(
      try planCall(.atHand, p.selector, p.offset, i.pointee.isOperand32, from: from))
  }

  private func jumpQuickly(_ i: Insn, _ from: UInt32) throws(Fault) {
    let p = try target(i, .jmpFar)
    try commitQuickly(
      try planJump(.atHand, p.selector, p.offset, i.pointee.isOperand32, from: from))
  }

  private func farReturnQuickly(_ i: Insn, _ from: UInt32) throws(Fault) {
    try commitQuickly(
      try planFarReturn(
        .atHand, i.pointee.isOperand32, pop: i.pointee.imm & 0xFFFF, from: from))
  }

  @_transparent
  private func commitQuickly(_ plan: TransferPlan) throws(Fault) {
    if plan.isTask { throw .notAtHand }
    try commit(.atHand, plan)
  }

  /// Where a CALL or JMP goes; `direct` has the pointer in the code.
  @_transparent
  private func target(_ i: Insn, _ direct: Op) throws(Fault) -> (selector: UInt16, offset: UInt32) {
    if i.pointee.op == direct { return (i.pointee.imm2, i.pointee.imm) }
    return try farPointer(.atHand, i)
  }

  /// In real and V86 mode: translated code will find the context of this CS.
  private func noteFarContext() {
    let cs = segmentPointer(SegmentRegister.cs)
    guard cs.pointee.limit == 0xFFFF, cs.pointee.base == UInt32(cs.pointee.selector) << 4
    else { return }
    let n = CPU.farContextIndex(cs.pointee.selector)
    let number = contextNumber >> 32
    // The same selector has one number in each family; the key is made only for what is new.
    if farContexts[n] & 0xFFFF == UInt64(cs.pointee.selector), farContexts[n] >> 32 == number {
      return
    }
    farContexts[n] = number << 32 | UInt64(familyKey() | UInt32(cs.pointee.selector))
  }
}
