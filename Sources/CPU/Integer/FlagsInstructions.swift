// Instructions that change the system flags: PUSHF, POPF, CLI, STI; and the rights to use ports.
//
// Owns: the rules of IOPL, V86 mode, VME and PVI for IF and VIF; the I/O permission bitmap. Must not know: interrupt delivery.
// Follows: Intel SDM volume 2 (PUSHF, POPF, CLI, STI), volume 3 sections 20.3 and 20.4; volume 1 section 18.5 (I/O permission).

extension CPU {
  /// PUSHF and PUSHFD.
  func pushFlags(operand32: Bool) throws(Fault) {
    var image = eflags
    if v86 && iopl < 3 {
      if operand32 || s.pointee.cr4 & CR4.vme == 0 { throw .gp(0) }
      // The program sees VIF as IF, and IOPL 3.
      image = image & EFLAGS.vif != 0 ? image | EFLAGS.if : image & ~EFLAGS.if
      image |= EFLAGS.iopl
    }
    if operand32 {
      try push32(image & ~(EFLAGS.vm | EFLAGS.rf))
    } else {
      try push16(UInt16(truncatingIfNeeded: image))
    }
  }

  /// POPF and POPFD.
  func popFlags(operand32: Bool) throws(Fault) {
    let virtual = v86 && iopl < 3
    if virtual && (operand32 || s.pointee.cr4 & CR4.vme == 0) { throw .gp(0) }
    var flags = try peekStack(0, operand32 ? 4 : 2)
    var mask: UInt32 = 0x4DD5
    if operand32 { mask |= EFLAGS.ac | EFLAGS.id | EFLAGS.rf }
    if v86 {
      if virtual {
        if flags & EFLAGS.tf != 0
          || (flags & EFLAGS.if != 0 && s.pointee.eflags & EFLAGS.vip != 0)
        {
          throw .gp(0)
        }
        mask |= EFLAGS.vif
        flags = flags & EFLAGS.if != 0 ? flags | EFLAGS.vif : flags & ~EFLAGS.vif
      } else {
        mask |= EFLAGS.if
      }
    } else {
      let cpl = s.pointee.cpl
      if cpl <= iopl { mask |= EFLAGS.if }
      if cpl == 0 { mask |= EFLAGS.iopl }
    }
    setStackPointer(gpr32[Register.esp] &+ (operand32 ? 4 : 2))
    // RF is cleared, whatever was popped.
    changeFlags(flags & ~EFLAGS.rf, mask: mask)
  }

  /// Replaces the EFLAGS bits under `mask`, as far as the model has them.
  private func changeFlags(_ value: UInt32, mask: UInt32) {
    let m = mask & implementedFlags
    setEFLAGS((eflags & ~m) | (value & m))
  }

  /// Whether CLI and STI work on VIF here, or on IF (nil means neither: #GP).
  private enum InterruptFlag { case real, virtual }

  @inline(__always)
  private func interruptFlag() throws(Fault) -> InterruptFlag {
    if !protectedMode || s.pointee.cpl <= iopl { return .real }
    if v86 {
      if s.pointee.cr4 & CR4.vme != 0 { return .virtual }
    } else if s.pointee.cr4 & CR4.pvi != 0 && s.pointee.cpl == 3 {
      return .virtual
    }
    throw .gp(0)
  }

  /// CLI.
  func clearInterruptFlag() throws(Fault) {
    switch try interruptFlag() {
    case .real: s.pointee.eflags &= ~EFLAGS.if
    case .virtual: s.pointee.eflags &= ~EFLAGS.vif
    }
  }

  /// STI; interrupts stay held back for one instruction when IF was clear.
  func setInterruptFlag() throws(Fault) {
    switch try interruptFlag() {
    case .real:
      if s.pointee.eflags & EFLAGS.if == 0 {
        s.pointee.eflags |= EFLAGS.if
        s.pointee.attention |= Attention.shadow
        s.pointee.shadowHoldsTraps = false
        letOthersIn()
      }
    case .virtual:
      if s.pointee.eflags & EFLAGS.vip != 0 { throw .gp(0) }
      s.pointee.eflags |= EFLAGS.vif
    }
  }

  // MARK: - Ports

  /// Checks the right to access `width` bytes of ports.
  /// - Throws: #GP(0).
  @inline(__always)
  func checkIOPermission(_ port: UInt16, _ width: UInt32) throws(Fault) {
    if !protectedMode || (!v86 && s.pointee.cpl <= iopl) { return }
    try checkIOBitmap(port, width)
  }

  @inline(never)
  private func checkIOBitmap(_ port: UInt16, _ width: UInt32) throws(Fault) {
    let tr = segmentPointer(SegmentRegister.tr)
    // Only 32-bit TSSs have a bitmap.
    guard tr.pointee.isPresent, tr.pointee.attributes & 8 != 0, tr.pointee.limit >= 103 else {
      throw .gp(0)
    }
    let map = UInt32(try readSystem16(tr.pointee.base &+ 102))
    let offset = map &+ UInt32(port >> 3)
    // Two bytes are read always, for ports that cross a byte.
    if offset &+ 1 > tr.pointee.limit { throw .gp(0) }
    let bits = UInt32(try readSystem16(tr.pointee.base &+ offset)) >> UInt32(port & 7)
    if bits & ((1 << width) &- 1) != 0 { throw .gp(0) }
  }
}
