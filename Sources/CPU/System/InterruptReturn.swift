// IRET in every direction.
//
// Owns: IRET within a ring, to outer rings, to V86 mode, within V86 mode, from a nested task; which EFLAGS it may change.
// Must not know: how the handler was entered.
// Follows: Intel SDM volume 2 (IRET), volume 3 sections 6.12, 7.4, 20.2.5 and 20.3.

extension CPU {
  /// IRET and IRETD.
  func interruptReturn(operand32: Bool) throws(Fault) {
    s.pointee.nmiBlocked = false
    if !protectedMode {
      try returnReal(operand32)
    } else if v86 {
      try returnWithinV86(operand32)
    } else if s.pointee.eflags & EFLAGS.nt != 0 {
      try returnFromTask()
    } else {
      try returnProtected(operand32)
    }
  }

  /// EFLAGS bits this model has.
  var implementedFlags: UInt32 {
    var mask: UInt32 = 0x7FD5 | EFLAGS.rf | EFLAGS.vm
    if model.features.contains(.i486) { mask |= EFLAGS.ac }
    if model.features.contains(.cpuid) { mask |= EFLAGS.id }
    if model.features.contains(.vme) { mask |= EFLAGS.vif | EFLAGS.vip }
    return mask
  }

  /// Replaces the EFLAGS bits under `mask`, as far as the model has them.
  @inline(__always)
  func changeFlags(_ value: UInt32, mask: UInt32) {
    let m = mask & implementedFlags
    setEFLAGS((eflags & ~m) | (value & m))
  }

  private func returnReal(_ operand32: Bool) throws(Fault) {
    let size: UInt32 = operand32 ? 4 : 2
    let offset = try peekStack(0, size)
    let selector = UInt16(truncatingIfNeeded: try peekStack(size, size))
    let flags = try peekStack(2 &* size, size)
    if offset > realCodeLimit { throw .gp(0) }
    setStackPointer(gpr32[Register.esp] &+ 3 &* size)
    enterReal(selector, eip: offset)
    changeFlags(
      flags, mask: operand32 ? 0x7FD5 | EFLAGS.rf | EFLAGS.ac | EFLAGS.id : 0x7FD5)
  }

  private func returnWithinV86(_ operand32: Bool) throws(Fault) {
    let size: UInt32 = operand32 ? 4 : 2
    let virtual = iopl < 3
    if virtual && (operand32 || s.pointee.cr4 & CR4.vme == 0) { throw .gp(0) }
    let offset = try peekStack(0, size)
    let selector = UInt16(truncatingIfNeeded: try peekStack(size, size))
    var flags = try peekStack(2 &* size, size)
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
    setStackPointer(gpr32[Register.esp] &+ 3 &* size)
    enterReal(selector, eip: offset)
    changeFlags(flags, mask: mask)
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

  private func returnProtected(_ operand32: Bool) throws(Fault) {
    let size: UInt32 = operand32 ? 4 : 2
    let offset = try peekStack(0, size)
    let selector = UInt16(truncatingIfNeeded: try peekStack(size, size))
    let flags = try peekStack(2 &* size, size)
    let cpl = s.pointee.cpl
    if operand32 && flags & EFLAGS.vm != 0 && cpl == 0 {
      try returnToV86(offset, selector, flags)
      return
    }
    let d = try returnTarget(selector)
    var mask: UInt32 = 0x4DD5  // NT OF DF TF SF ZF AF PF CF
    if operand32 { mask |= EFLAGS.rf | EFLAGS.ac | EFLAGS.id }
    if cpl <= iopl { mask |= EFLAGS.if }
    if cpl == 0 {
      mask |= EFLAGS.iopl
      if operand32 { mask |= EFLAGS.vif | EFLAGS.vip }
    }
    let rpl = Int(selector & 3)
    if rpl == cpl {
      if offset > d.limit { throw .gp(0) }
      try markAccessed(selector, d)
      setStackPointer(gpr32[Register.esp] &+ 3 &* size)
      changeFlags(flags, mask: mask)
      enterCode(selector, d, cpl: rpl, eip: offset)
      return
    }
    let esp = try peekStack(3 &* size, size)
    let ss = UInt16(truncatingIfNeeded: try peekStack(4 &* size, size))
    let stack = try outerStack(ss, rpl)
    if offset > d.limit { throw .gp(0) }
    try markAccessed(selector, d)
    try markAccessed(ss, stack)
    changeFlags(flags, mask: mask)
    setSegment(SegmentRegister.ss, ss, stack)
    setStackPointer(esp)
    enterCode(selector, d, cpl: rpl, eip: offset)
    dropInnerSegments()
  }

  private func returnToV86(_ offset: UInt32, _ selector: UInt16, _ flags: UInt32) throws(Fault) {
    let esp = try peekStack(12, 4)
    let ss = UInt16(truncatingIfNeeded: try peekStack(16, 4))
    let es = UInt16(truncatingIfNeeded: try peekStack(20, 4))
    let ds = UInt16(truncatingIfNeeded: try peekStack(24, 4))
    let fs = UInt16(truncatingIfNeeded: try peekStack(28, 4))
    let gs = UInt16(truncatingIfNeeded: try peekStack(32, 4))
    if offset > 0xFFFF { throw .gp(0) }
    s.pointee.cpl = 3
    changeFlags(flags, mask: UInt32.max)
    enterReal(selector, eip: offset)
    loadRealSegment(SegmentRegister.ss, ss)
    loadRealSegment(SegmentRegister.es, es)
    loadRealSegment(SegmentRegister.ds, ds)
    loadRealSegment(SegmentRegister.fs, fs)
    loadRealSegment(SegmentRegister.gs, gs)
    gpr32[Register.esp] = esp
    updateMode()
  }
}
