// Delivery of interrupts and exceptions.
//
// Owns: INT n, faults, traps, NMI, external interrupts; interrupt, trap and task gates; the double-fault rules and shutdown.
// Must not know: which device asks.
// Delivery is atomic: all checks come before the first change; only a task switch past its commit point faults in the new task.
// Follows: Intel SDM volume 3, chapter 6; volume 2 (INT n); section 20.3 (V86 mode), 20.1 (real mode).

/// What calls a handler, because privilege and error codes depend on it.
enum InterruptKind {
  /// INTR or NMI.
  case external
  /// A fault, trap or abort.
  case exception
  /// INT n.
  case software
  /// INT3 and INTO: as INT n, but never bound to IOPL nor redirected in V86 mode.
  case softwareException
  /// INT1 (ICEBP): no DPL check.
  case privileged
}

extension CPU {
  // MARK: - Entrances

  /// INT n, INT3, INTO, INT1.
  func softwareInterrupt(vector: UInt8, kind: InterruptKind) throws(Fault) {
    if v86 && kind == .software {
      if s.pointee.cr4 & CR4.vme != 0, try redirectedToV86(vector) {
        if !debugEvents.isEmpty { noteInterrupt(vector, kind, nil) }
        try interruptV86(vector)
        return
      }
      if iopl < 3 { throw .gp(0) }
    }
    taskSwitchCommitted = false
    do {
      try interrupt(vector, kind, nil)
    } catch {
      if !taskSwitchCommitted { throw error }
      deliverFault(error)
    }
  }

  /// Delivers the vector of an acknowledged external interrupt, between instructions.
  func deliverExternalInterrupt(vector: UInt8) {
    s.pointee.halted = false
    do { try interrupt(vector, .external, nil) } catch { deliverFault(error) }
  }

  /// Delivers the latched NMI, between instructions.
  func deliverNMI() {
    s.pointee.halted = false
    s.pointee.attention &= ~Attention.nmi
    s.pointee.nmiBlocked = true
    do { try interrupt(2, .external, nil) } catch { deliverFault(error) }
  }

  /// Delivers the debug trap after an instruction: DR6 gets what is pending; nothing pending, or `singleStep`, means BS.
  func deliverDebugTrap(singleStep: Bool = false) {
    var bits = s.pointee.pendingDebug
    if singleStep || bits == 0 { bits |= DR6.bs }
    s.pointee.pendingDebug = 0
    s.pointee.halted = false
    s.pointee.dr6 = (s.pointee.dr6 & ~(DR6.hits | DR6.bt)) | bits
    enterDebugHandler()
    do { try interrupt(1, .exception, nil) } catch { deliverFault(error) }
    updateMode()
  }

  /// Delivers a fault, with the double-fault rules; `s.eip` is the EIP that the handler returns to. Never throws: a triple fault
  /// shuts the processor down.
  func deliverFault(_ fault: Fault) {
    if fault.vector == 255 {
      shutDown()
      return
    }
    if fault == .freeze {
      // As in HLT, but the handler returns to the instruction itself. SDM volume 1, 8.7.2 and D.2.1.
      s.pointee.halted = true
      s.pointee.attention |= Attention.halted
      return
    }
    if hasCodeBreakpoints { noteInterruption(counted: 1) }
    // Traps that the faulting instruction had collected are lost with it.
    if s.pointee.pendingDebug != 0 {
      s.pointee.pendingDebug = 0
      updateMode()
    }
    s.pointee.halted = false
    var current = fault
    while true {
      do {
        if current.vector == 1 { enterDebugHandler() }
        // Trap-class exceptions and instruction breakpoints leave RF alone; other faults set it in the pushed image.
        faultRF = !(current.vector == 1 && current.errorCode == Fault.instructionBreakpoint)
        defer { faultRF = false }
        try interrupt(
          current.vector, .exception, current.hasErrorCode ? current.errorCode : nil)
        return
      } catch {
        if error.vector == 255 || current.vector == 8 {
          shutDown()
          return
        }
        let first = current.severity
        let second = error.severity
        if (first == .contributory && second == .contributory)
          || (first == .pageFault && second != .benign)
        {
          current = .df
        } else {
          current = error
        }
      }
    }
  }

  /// The shutdown state: only RESET# leads out.
  private func shutDown() {
    if debugEvents.contains(.tripleFault) { noteDebug(.tripleFault) }
    s.pointee.shutdown = true
    bus.shutdownCycle()
    requestStop()
  }

  /// Entering the #DB handler clears DR7.GD (and LBR, BTF).
  private func enterDebugHandler() {
    s.pointee.dr7 &= ~DR7.gd
    if let control = msrs[MSR.debugControl] { msrs[MSR.debugControl] = control & ~3 }
  }

  // MARK: - Delivery

  /// Calls the handler of a vector.
  /// - Throws: what goes wrong meanwhile, with EXT in the error code where it belongs; nothing has changed then, unless
  ///   `taskSwitchCommitted` says that a new task is running.
  func interrupt(_ vector: UInt8, _ kind: InterruptKind, _ errorCode: UInt32?) throws(Fault) {
    if !debugEvents.isEmpty { noteInterrupt(vector, kind, errorCode) }
    if !protectedMode {
      try interruptReal(vector)
      return
    }
    let ext: UInt16 = kind == .software || kind == .softwareException ? 0 : 1
    let own = UInt16(vector) << 3 | 2
    let index = UInt32(vector) << 3
    if index &+ 7 > s.pointee.idtLimit { throw .gp(own | ext) }
    let gate = Descriptor(try readSystem64(s.pointee.idtBase &+ index))
    let type = gate.fullType
    guard type == 5 || (type & ~9) == 6 else { throw .gp(own | ext) }
    if kind == .software || kind == .softwareException {
      if gate.dpl < s.pointee.cpl { throw .gp(own) }
    }
    if !gate.isPresent { throw .np(own | ext) }
    if type == 5 {
      let tss = try taskGateTarget(gate.gateSelector, ext: ext)
      try switchTask(gate.gateSelector, tss, .interrupt, ext: ext)
      if let errorCode { try pushErrorCode(errorCode, ext: ext) }
      return
    }
    let selector = gate.gateSelector
    if selector & 0xFFFC == 0 { throw .gp(ext) }
    let code = try fetchDescriptor(selector, ext: ext)
    if !code.isCode || code.dpl > s.pointee.cpl { throw selectorFault(13, selector, ext) }
    if !code.isPresent { throw selectorFault(11, selector, ext) }

    let size: UInt32 = gate.isGate32 ? 4 : 2
    let offset = gate.gateOffset
    let flags = eflags | (faultRF ? EFLAGS.rf : 0)
    let oldCS = UInt32(segmentPointer(SegmentRegister.cs).pointee.selector)
    let count: UInt32 = errorCode == nil ? 3 : 4
    var newCPL = s.pointee.cpl
    // A task whose SS could not be loaded has no stack for a handler of its own level: it gets the one that the TSS has for inner levels.
    // The manual leaves it open (it asks for a task gate; section 6.15, #TS); so does Bochs, and QEMU pushes at the new ESP unchecked.
    let hasNoStack =
      segmentPointer(SegmentRegister.ss).pointee.attributes & 0x80 == 0 && !v86 && newCPL < 3
      && (code.isConforming || code.dpl == newCPL)
    if (!code.isConforming && code.dpl < newCPL) || hasNoStack {
      if !hasNoStack { newCPL = code.dpl }
      let fromV86 = v86
      if fromV86 && newCPL != 0 { throw selectorFault(13, selector, ext) }
      let (ss, esp) = try innerStackPointer(newCPL, ext: ext)
      let stack = try innerStackSegment(ss, newCPL, ext: ext)
      var frame = StackFrame(stack, sp: esp, cpl: newCPL)
      try reserve(frame, count: count &+ (fromV86 ? 6 : 2), size: size, code: ss & 0xFFFC | ext)
      if offset > code.limit { throw .gp(ext) }
      try markAccessed(selector, code)
      try markAccessed(ss, stack)
      if fromV86 {
        try push(&frame, UInt32(segmentPointer(SegmentRegister.gs).pointee.selector), size)
        try push(&frame, UInt32(segmentPointer(SegmentRegister.fs).pointee.selector), size)
        try push(&frame, UInt32(segmentPointer(SegmentRegister.ds).pointee.selector), size)
        try push(&frame, UInt32(segmentPointer(SegmentRegister.es).pointee.selector), size)
      }
      try push(&frame, UInt32(segmentPointer(SegmentRegister.ss).pointee.selector), size)
      try push(&frame, gpr32[Register.esp], size)
      try push(&frame, flags, size)
      try push(&frame, oldCS, size)
      try push(&frame, s.pointee.eip, size)
      if let errorCode { try push(&frame, errorCode, size) }
      if fromV86 {
        setNullSegment(SegmentRegister.gs, 0)
        setNullSegment(SegmentRegister.fs, 0)
        setNullSegment(SegmentRegister.ds, 0)
        setNullSegment(SegmentRegister.es, 0)
      }
      setSegment(SegmentRegister.ss, ss, stack)
      gpr32[Register.esp] = frame.sp
    } else {
      // The same level: conforming code, or a nonconforming segment of exactly this level.
      if v86 || (!code.isConforming && code.dpl != newCPL) {
        throw selectorFault(13, selector, ext)
      }
      var frame = currentStack()
      try reserve(frame, count: count, size: size, code: ext)
      if offset > code.limit { throw .gp(ext) }
      try markAccessed(selector, code)
      try push(&frame, flags, size)
      try push(&frame, oldCS, size)
      try push(&frame, s.pointee.eip, size)
      if let errorCode { try push(&frame, errorCode, size) }
      gpr32[Register.esp] = frame.sp
    }
    var cleared = EFLAGS.tf | EFLAGS.nt | EFLAGS.vm | EFLAGS.rf
    if type & 1 == 0 { cleared |= EFLAGS.if }
    s.pointee.eflags &= ~cleared
    enterHandler(selector, code, cpl: newCPL, eip: offset)
  }

  @inline(__always)
  private func enterHandler(_ selector: UInt16, _ d: Descriptor, cpl: Int, eip: UInt32) {
    let cs = segmentPointer(SegmentRegister.cs)
    let from = cs.pointee.base &+ s.pointee.eip
    setSegment(SegmentRegister.cs, selector & 0xFFFC | UInt16(truncatingIfNeeded: cpl), d)
    s.pointee.cpl = cpl
    s.pointee.eip = eip
    recordBranch(from: from, to: d.base &+ eip)
    updateMode()
  }

  /// Pushes the error code of an exception that a task gate took, in the new task.
  private func pushErrorCode(_ errorCode: UInt32, ext: UInt16) throws(Fault) {
    let size: UInt32 = segmentPointer(SegmentRegister.tr).pointee.attributes & 8 != 0 ? 4 : 2
    var frame = currentStack()
    try reserve(frame, count: 1, size: size, code: ext)
    try push(&frame, errorCode, size)
    gpr32[Register.esp] = frame.sp
  }

  // MARK: - Real mode

  /// Delivery through the real-mode vector table.
  private func interruptReal(_ vector: UInt8) throws(Fault) {
    let index = UInt32(vector) << 2
    if index &+ 3 > s.pointee.idtLimit { throw .gp(UInt16(vector) << 3 | 2) }
    let entry = try readSystem32(s.pointee.idtBase &+ index)
    var frame = currentStack()
    try reserve(frame, count: 3, size: 2, code: 0)
    let cs = segmentPointer(SegmentRegister.cs)
    let flags = eflags
    let from = cs.pointee.base &+ s.pointee.eip
    try push(&frame, flags, 2)
    try push(&frame, UInt32(cs.pointee.selector), 2)
    try push(&frame, s.pointee.eip, 2)
    gpr32[Register.esp] = frame.sp
    let stepping = s.pointee.eflags & (EFLAGS.tf | EFLAGS.ac) != 0
    s.pointee.eflags &= ~(EFLAGS.if | EFLAGS.tf | EFLAGS.ac | EFLAGS.rf)
    loadRealSegment(SegmentRegister.cs, UInt16(truncatingIfNeeded: entry >> 16))
    s.pointee.eip = entry & 0xFFFF
    recordBranch(from: from, to: cs.pointee.base &+ s.pointee.eip)
    if stepping || s.pointee.attention & Attention.trap != 0 { updateMode() }
  }

  // MARK: - Virtual-8086 mode extensions

  /// CR4.VME: whether the TSS's redirection bitmap sends INT n to the 8086 program's own handler.
  private func redirectedToV86(_ vector: UInt8) throws(Fault) -> Bool {
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
  private func interruptV86(_ vector: UInt8) throws(Fault) {
    let entry = UInt32(
      truncatingIfNeeded: try readLinear32(UInt32(vector) << 2))
    var flags = eflags
    if iopl < 3 {
      flags |= EFLAGS.iopl
      flags = flags & EFLAGS.vif != 0 ? flags | EFLAGS.if : flags & ~EFLAGS.if
    }
    var frame = currentStack()
    try reserve(frame, count: 3, size: 2, code: 0)
    let from = currentLinear
    try push(&frame, flags, 2)
    try push(&frame, UInt32(segmentPointer(SegmentRegister.cs).pointee.selector), 2)
    try push(&frame, s.pointee.eip, 2)
    gpr32[Register.esp] = frame.sp
    s.pointee.eflags &= ~(EFLAGS.tf | EFLAGS.rf | (iopl == 3 ? EFLAGS.if : EFLAGS.vif))
    loadRealSegment(SegmentRegister.cs, UInt16(truncatingIfNeeded: entry >> 16))
    s.pointee.eip = entry & 0xFFFF
    recordBranch(
      from: from, to: segmentPointer(SegmentRegister.cs).pointee.base &+ s.pointee.eip)
    updateMode()
  }

  /// Reads a doubleword by linear address with the current privilege.
  private func readLinear32(_ linear: UInt32) throws(Fault) -> UInt64 {
    try readSlow(linear, 4, userAccess)
  }
}

/// How an exception counts for the double-fault rules.
enum FaultSeverity {
  case benign, contributory, pageFault
}

extension Fault {
  /// `errorCode` of a #DB (which pushes none) that an instruction breakpoint caused.
  static let instructionBreakpoint: UInt32 = 1

  /// SDM volume 3, table 6-4.
  var severity: FaultSeverity {
    switch vector {
    case 0, 10, 11, 12, 13: .contributory
    case 14: .pageFault
    default: .benign
    }
  }
}
