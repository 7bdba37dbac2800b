// What gates, code segments and stacks must be like for a handler to be called, and what the call changes.
//
// Owns: interrupt, trap and task gates, the vector table of real mode, the redirection of INT n in V86 mode.
// Must not know: why the handler is called beyond what privilege and error codes depend on.
// Follows: Intel SDM volume 2 (INT n), volume 3 sections 6.10 to 6.14, 20.1 (real mode), 20.3 (V86 mode).

extension CPU {
  /// The call of a vector's handler.
  /// - Throws: what stands against it, with EXT in the error code where it belongs.
  @_transparent
  func planInterrupt(
    _ reach: Reach, _ vector: UInt8, _ kind: InterruptKind, _ errorCode: UInt32?
  ) throws(Fault) -> TransferPlan {
    if !protectedMode { return try planInterruptReal(reach, vector) }
    return try planInterruptProtected(reach, vector, kind, errorCode)
  }

  /// Through a gate.
  @_transparent
  func planInterruptProtected(
    _ reach: Reach, _ vector: UInt8, _ kind: InterruptKind, _ errorCode: UInt32?
  ) throws(Fault) -> TransferPlan {
    let ext = kind.externalBit
    let own = UInt16(vector) << 3 | 2
    let index = UInt32(vector) << 3
    if index &+ 7 > s.pointee.idtLimit { throw .gp(own | ext) }
    let gate = Descriptor(try quadword(reach, s.pointee.idtBase &+ index))
    let type = gate.fullType
    guard type == 5 || (type & ~9) == 6 else { throw .gp(own | ext) }
    if kind.isSoftware && gate.dpl < s.pointee.cpl { throw .gp(own) }
    if !gate.isPresent { throw .np(own | ext) }
    if type == 5 {
      return plan(task: gate.gateSelector, try taskGateTarget(reach, gate.gateSelector, ext: ext))
    }
    let selector = gate.gateSelector
    if selector & 0xFFFC == 0 { throw .gp(ext) }
    let code = try descriptor(reach, selector, ext: ext)
    if !code.isCode || code.dpl > s.pointee.cpl { throw selectorFault(13, selector, ext) }
    if !code.isPresent { throw selectorFault(11, selector, ext) }

    let size: UInt32 = gate.isGate32 ? 4 : 2
    let count: UInt32 = errorCode == nil ? 3 : 4
    let inner = !code.isConforming && code.dpl < s.pointee.cpl
    let level = inner ? code.dpl : s.pointee.cpl
    var plan = plan(selector, code, eip: gate.gateOffset, cpl: level, from: linearAfter)
    // A task whose SS could not be loaded has no stack for a handler of its own level: it gets the one that the TSS has for inner levels.
    // The manual leaves it open (it asks for a task gate; section 6.15, #TS); so does Bochs, and QEMU pushes at the new ESP unchecked.
    let hasNoStack =
      reach == .any && segmentPointer(SegmentRegister.ss).pointee.attributes & 0x80 == 0 && !v86
      && level < 3 && (code.isConforming || code.dpl == level) && !inner
    if inner || hasNoStack {
      let fromV86 = v86
      if fromV86 && level != 0 { throw selectorFault(13, selector, ext) }
      let (ss, esp) = try innerStackPointer(reach, level, ext: ext)
      let stack = try innerStackSegment(reach, ss, level, ext: ext)
      let room = try room(
        reach, StackFrame(stack, sp: esp, cpl: level), count: count &+ (fromV86 ? 6 : 2),
        size: size, code: ss & 0xFFFC | ext)
      plan.push(room, size: size)
      plan.pushesStack = true
      if fromV86 {
        plan.pushesData = true
        plan.data = .null
      }
      plan.loadStack(ss, stack)
    } else {
      // The same level: conforming code, or a nonconforming segment of exactly this level.
      if v86 || (!code.isConforming && code.dpl != s.pointee.cpl) {
        throw selectorFault(13, selector, ext)
      }
      let room = try room(reach, currentStack(), count: count, size: size, code: ext)
      plan.push(room, size: size)
    }
    if plan.eip > code.limit { throw .gp(ext) }
    plan.pushesFlags = true
    plan.flagsImage = wholeFlags(reach) | (faultRF ? EFLAGS.rf : 0)
    plan.errorCode = errorCode
    plan.flagMask = EFLAGS.tf | EFLAGS.nt | EFLAGS.vm | EFLAGS.rf
    // A trap gate leaves IF.
    if type & 1 == 0 { plan.flagMask |= EFLAGS.if }
    return plan
  }

  /// The TSS that a task gate names.
  @_transparent
  func taskGateTarget(_ reach: Reach, _ selector: UInt16, ext: UInt16)
    throws(Fault) -> Descriptor
  {
    if selector & 4 != 0 { throw selectorFault(13, selector, ext) }
    let d = try descriptor(reach, selector, ext: ext)
    if !d.isAvailableTSS { throw selectorFault(13, selector, ext) }
    if !d.isPresent { throw selectorFault(11, selector, ext) }
    return d
  }

  // MARK: - Real mode

  /// Through the real-mode vector table.
  @_transparent
  func planInterruptReal(_ reach: Reach, _ vector: UInt8)
    throws(Fault) -> TransferPlan
  {
    let index = UInt32(vector) << 2
    if index &+ 3 > s.pointee.idtLimit { throw .gp(UInt16(vector) << 3 | 2) }
    let entry = try doubleword(reach, s.pointee.idtBase &+ index)
    return try planVector(reach, entry, pushing: wholeFlags(reach), from: linearAfter)
  }

  /// To an entry of an 8086's vector table.
  @_transparent
  private func planVector(
    _ reach: Reach, _ entry: UInt32, pushing flags: UInt32, from: UInt32
  ) throws(Fault) -> TransferPlan {
    let room = try room(reach, currentStack(), count: 3, size: 2, code: 0)
    var plan = plan(
      paragraph: UInt16(truncatingIfNeeded: entry >> 16), eip: entry & 0xFFFF,
      cpl: s.pointee.cpl, from: from)
    plan.push(room, size: 2)
    plan.pushesFlags = true
    plan.flagsImage = flags
    plan.flagMask = EFLAGS.if | EFLAGS.tf | EFLAGS.ac | EFLAGS.rf
    return plan
  }

  // MARK: - Virtual-8086 mode extensions

  /// CR4.VME: whether the TSS's redirection bitmap sends INT n to the 8086 program's own handler.
  func redirectedToV86(_ vector: UInt8) throws(Fault) -> Bool {
    let tr = segmentPointer(SegmentRegister.tr)
    guard tr.pointee.attributes & 8 != 0, tr.pointee.limit >= 103 else { throw .gp(0) }
    let map = UInt32(try readSystem16(tr.pointee.base &+ 102))
    // The 32 bytes before the I/O permission bitmap.
    let offset = map &- 32 &+ UInt32(vector >> 3)
    if offset > tr.pointee.limit { throw .gp(0) }
    let byte = try readSystem8(tr.pointee.base &+ offset)
    return byte >> (vector & 7) & 1 == 0
  }

  /// An INT n of an 8086 program, handled by the program's own vector table at linear address 0.
  func planInterruptV86(_ vector: UInt8) throws(Fault) -> TransferPlan {
    let entry = UInt32(
      truncatingIfNeeded: try readSlow(UInt32(vector) << 2, 4, userAccess))
    var flags = eflags
    if iopl < 3 {
      flags |= EFLAGS.iopl
      flags = flags & EFLAGS.vif != 0 ? flags | EFLAGS.if : flags & ~EFLAGS.if
    }
    var plan = try planVector(.any, entry, pushing: flags, from: currentLinear)
    plan.flagMask = EFLAGS.tf | EFLAGS.rf | (iopl == 3 ? EFLAGS.if : EFLAGS.vif)
    return plan
  }
}
