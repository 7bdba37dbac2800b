// IRET in every direction.
//
// Owns: IRET within a ring, to outer rings, to V86 mode, within V86 mode, from a nested task; which EFLAGS it may change.
// Must not know: how the handler was entered.
// Follows: Intel SDM volume 2 (IRET), volume 3 sections 6.12, 7.4, 20.2.5 and 20.3.

extension CPU {
  /// IRET and IRETD.
  func interruptReturn(operand32: Bool) throws(Fault) {
    s.pointee.nmiBlocked = false
    if protectedMode && !v86 && s.pointee.eflags & EFLAGS.nt != 0 {
      try returnFromTask()
    } else {
      try commit(.any, try planInterruptReturn(.any, operand32, from: currentLinear))
    }
  }

  /// IRET with NT set: back to the task that called.
  private func returnFromTask() throws(Fault) {
    let link = try readSystem16(segmentPointer(SegmentRegister.tr).pointee.base)
    if link & 4 != 0 { throw selectorFault(10, link) }
    let d = try fetchDescriptor(link, vector: 10)
    if !d.isBusyTSS { throw selectorFault(10, link) }
    if !d.isPresent { throw selectorFault(11, link) }
    try switchTaskFromInstruction(link, d, .iret)
  }

  /// IRET, but not from a task.
  @_transparent
  func planInterruptReturn(
    _ reach: Reach, _ operand32: Bool, from: UInt32
  ) throws(Fault) -> TransferPlan {
    if realSegments { return try planReturn8086(reach, operand32, from) }
    return try planReturnProtected(reach, operand32, from)
  }

  /// In real and V86 mode.
  @_transparent
  func planReturn8086(_ reach: Reach, _ operand32: Bool, _ from: UInt32) throws(Fault)
    -> TransferPlan
  {
    if v86 { return try planReturnWithinV86(reach, operand32, from) }
    return try planReturnReal(reach, operand32, from)
  }

  @_transparent
  private func planReturnReal(
    _ reach: Reach, _ operand32: Bool, _ from: UInt32
  ) throws(Fault) -> TransferPlan {
    let size: UInt32 = operand32 ? 4 : 2
    let top = try stackTop(reach, 3 &* size)
    let offset = try slot(reach, top, 0, size)
    let selector = UInt16(truncatingIfNeeded: try slot(reach, top, size, size))
    let flags = try slot(reach, top, 2 &* size, size)
    if offset > realCodeLimit { throw .gp(0) }
    var plan = plan(paragraph: selector, eip: offset, cpl: s.pointee.cpl, from: from)
    plan.esp = popped(3 &* size)
    plan.flags = flags
    plan.flagMask =
      (operand32 ? 0x7FD5 | EFLAGS.rf | EFLAGS.ac | EFLAGS.id : 0x7FD5) & implementedFlags
    return plan
  }

  @_transparent
  private func planReturnWithinV86(
    _ reach: Reach, _ operand32: Bool, _ from: UInt32
  ) throws(Fault) -> TransferPlan {
    let size: UInt32 = operand32 ? 4 : 2
    let virtual = iopl < 3
    if virtual && (operand32 || s.pointee.cr4 & CR4.vme == 0) { throw .gp(0) }
    let top = try stackTop(reach, 3 &* size)
    let offset = try slot(reach, top, 0, size)
    let selector = UInt16(truncatingIfNeeded: try slot(reach, top, size, size))
    var flags = try slot(reach, top, 2 &* size, size)
    if offset > 0xFFFF { throw .gp(0) }
    var mask: UInt32 = 0x7FD5 & ~EFLAGS.iopl
    if virtual {
      if flags & EFLAGS.tf != 0
        || (flags & EFLAGS.if != 0 && s.pointee.eflags & EFLAGS.vip != 0)
      {
        throw .gp(0)
      }
      // IF goes to VIF.
      mask = mask & ~EFLAGS.if | EFLAGS.vif
      flags = flags & EFLAGS.if != 0 ? flags | EFLAGS.vif : flags & ~EFLAGS.vif
    } else if operand32 {
      mask |= EFLAGS.rf | EFLAGS.ac | EFLAGS.id
    }
    var plan = plan(paragraph: selector, eip: offset, cpl: s.pointee.cpl, from: from)
    plan.esp = popped(3 &* size)
    plan.flags = flags
    plan.flagMask = mask & implementedFlags
    return plan
  }

  @_transparent
  func planReturnProtected(
    _ reach: Reach, _ operand32: Bool, _ from: UInt32
  ) throws(Fault) -> TransferPlan {
    let size: UInt32 = operand32 ? 4 : 2
    let top = try stackTop(reach, 3 &* size)
    let offset = try slot(reach, top, 0, size)
    let selector = UInt16(truncatingIfNeeded: try slot(reach, top, size, size))
    let flags = try slot(reach, top, 2 &* size, size)
    let cpl = s.pointee.cpl
    if operand32 && flags & EFLAGS.vm != 0 && cpl == 0 {
      // Seldom enough to be left to the interpreter.
      if reach == .atHand { throw .notAtHand }
      return try planReturnToV86(reach, offset, selector, flags, from)
    }
    let d = try returnTarget(reach, selector)
    var mask: UInt32 = 0x4DD5  // NT OF DF TF SF ZF AF PF CF
    if operand32 { mask |= EFLAGS.rf | EFLAGS.ac | EFLAGS.id }
    if cpl <= iopl { mask |= EFLAGS.if }
    if cpl == 0 {
      mask |= EFLAGS.iopl
      if operand32 { mask |= EFLAGS.vif | EFLAGS.vip }
    }
    var plan = try planReturn(
      reach, selector, d, eip: offset, frame: 3 &* size, size, more: 0, from)
    plan.flags = flags
    plan.flagMask = mask & implementedFlags
    return plan
  }

  @_transparent
  private func planReturnToV86(
    _ reach: Reach, _ offset: UInt32, _ selector: UInt16, _ flags: UInt32, _ from: UInt32
  ) throws(Fault) -> TransferPlan {
    let top = try stackTop(reach, 36)
    let esp = try slot(reach, top, 12, 4)
    let ss = UInt16(truncatingIfNeeded: try slot(reach, top, 16, 4))
    let es = UInt16(truncatingIfNeeded: try slot(reach, top, 20, 4))
    let ds = UInt16(truncatingIfNeeded: try slot(reach, top, 24, 4))
    let fs = UInt16(truncatingIfNeeded: try slot(reach, top, 28, 4))
    let gs = UInt16(truncatingIfNeeded: try slot(reach, top, 32, 4))
    if offset > 0xFFFF { throw .gp(0) }
    var plan = plan(paragraph: selector, eip: offset, cpl: 3, from: from)
    plan.ss = ss
    plan.stackLoad = .paragraph
    plan.esp = esp
    plan.data = .paragraphs
    plan.dataSelectors = (es, ds, fs, gs)
    plan.flags = flags
    plan.flagMask = implementedFlags
    return plan
  }
}
