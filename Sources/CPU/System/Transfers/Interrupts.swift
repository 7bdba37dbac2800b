// Delivery of interrupts and exceptions.
//
// Owns: who calls handlers: INT n, faults, traps, NMI, external interrupts; the double-fault rules and shutdown.
// Must not know: which device asks, what gates and stacks must be like (InterruptPlan.swift).
// Delivery is atomic: all checks come before the first change; only a task switch past its commit point faults in the new task.
// Follows: Intel SDM volume 3, chapter 6; volume 2 (INT n).

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

  /// INT n, INT3 and INTO: the gate's DPL counts.
  @inline(__always) var isSoftware: Bool { self == .software || self == .softwareException }
  /// EXT of error codes.
  @inline(__always) var externalBit: UInt16 { isSoftware ? 0 : 1 }
}

extension CPU {
  // MARK: - Entrances

  /// INT n, INT3, INTO, INT1.
  func softwareInterrupt(vector: UInt8, kind: InterruptKind) throws(Fault) {
    if v86 && kind == .software {
      if s.pointee.cr4 & CR4.vme != 0, try redirectedToV86(vector) {
        if !debugEvents.isEmpty { noteInterrupt(vector, kind, nil) }
        try commit(.any, try planInterruptV86(vector))
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
    let plan = try planInterrupt(.any, vector, kind, errorCode)
    if !plan.isTask {
      try commit(.any, plan)
      return
    }
    let ext = kind.externalBit
    try switchTask(plan.selector, plan.code, .interrupt, ext: ext)
    if let errorCode { try pushErrorCode(errorCode, ext: ext) }
  }

  /// Pushes the error code of an exception that a task gate took, in the new task.
  private func pushErrorCode(_ errorCode: UInt32, ext: UInt16) throws(Fault) {
    let size: UInt32 = segmentPointer(SegmentRegister.tr).pointee.attributes & 8 != 0 ? 4 : 2
    var frame = currentStack()
    try reserve(frame, count: 1, size: size, code: ext)
    try push(&frame, errorCode, size)
    gpr32[Register.esp] = frame.sp
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
