// What a transfer of control changes, as a value, and the one place that changes it.
//
// Owns: the plan, and carrying it out: accessed bits, pushes, flags, stack, code segment, privilege, and what follows from them.
// Interrupts, returns, far calls and jumps, SYSENTER and SYSEXIT make plans: functions that check everything in the manual's order and
// change nothing. The interpreter and translated code's short paths make the same plans, each with its own access to memory.
// Must not know: which instruction or event it was, task switches. Follows: Intel SDM volume 3, sections 5.8 and 6.12.

/// What a transfer of control changes. Whatever can be checked has been.
struct TransferPlan<A: TransferAccess> {
  /// CS as it will be; the RPL is the new CPL.
  enum Code {
    case descriptor(UInt16, Descriptor)
    /// In real and V86 mode.
    case paragraph(UInt16)
  }

  enum Stack {
    case stays
    case descriptor(UInt16, Descriptor)
    case paragraph(UInt16)
  }

  /// What becomes of ES, DS, FS and GS.
  enum Data {
    case stay
    /// What the new level may not see becomes null.
    case dropInner
    case null
    case paragraphs(es: UInt16, ds: UInt16, fs: UInt16, gs: UInt16)
  }

  /// The linear address the transfer comes from, for reports.
  var from: UInt32
  var code: Code
  var eip: UInt32
  var cpl: Int
  var stack = Stack.stays
  /// ESP, where nothing is pushed.
  var esp: UInt32
  /// What is pushed.
  var frame: Frame? = nil
  /// Flags that change; all of the arithmetic ones or none.
  var flagMask: UInt32 = 0
  var flags: UInt32 = 0
  var data = Data.stay

  /// What is pushed, in this order; CS and EIP always are.
  struct Frame {
    var room: A.Room
    /// Bytes a push.
    var size: UInt32
    /// GS, FS, DS, ES.
    var data = false
    /// SS and ESP.
    var stack = false
    /// How many words or doublewords are copied from the present stack.
    var parameters: UInt32 = 0
    var flags: UInt32? = nil
    var errorCode: UInt32? = nil

    init(_ room: A.Room, size: UInt32) {
      self.room = room
      self.size = size
    }
  }
}

/// A transfer whose checks have passed; hardware task switches have checks and effects of their own.
enum Transfer<A: TransferAccess> {
  case plan(TransferPlan<A>)
  case task(UInt16, Descriptor)
}

extension CPU {
  /// Carries out a plan.
  /// - Throws: what the accessed bits and the pushes raise in spite of the checks; no register has changed then.
  @inline(__always)
  func commit<A: TransferAccess>(_ plan: TransferPlan<A>) throws(Fault) {
    if case .descriptor(let selector, let d) = plan.code { try markAccessed(selector, d) }
    if case .descriptor(let selector, let d) = plan.stack { try markAccessed(selector, d) }
    var esp = plan.esp
    if let frame = plan.frame { esp = try push(frame) }

    let level = s.pointee.cpl
    let old = s.pointee.eflags
    if plan.flagMask != 0 {
      let mask = plan.flagMask & ~EFLAGS.arithmetic
      s.pointee.eflags = old & ~mask | plan.flags & mask
      if plan.flagMask & EFLAGS.cf != 0 { A.setArithmeticFlags(self, plan.flags) }
    }
    switch plan.stack {
    case .stays: break
    case .descriptor(let selector, let d): setSegment(SegmentRegister.ss, selector, d)
    case .paragraph(let selector): loadRealSegment(SegmentRegister.ss, selector)
    }
    gpr32[Register.esp] = esp
    switch plan.code {
    case .descriptor(let selector, let d): setSegment(SegmentRegister.cs, selector, d)
    case .paragraph(let selector): loadRealSegment(SegmentRegister.cs, selector)
    }
    s.pointee.cpl = plan.cpl
    s.pointee.eip = plan.eip
    switch plan.data {
    case .stay: break
    case .dropInner: dropInnerSegments()
    case .null:
      setNullSegment(SegmentRegister.es, 0)
      setNullSegment(SegmentRegister.ds, 0)
      setNullSegment(SegmentRegister.fs, 0)
      setNullSegment(SegmentRegister.gs, 0)
    case .paragraphs(let es, let ds, let fs, let gs):
      loadRealSegment(SegmentRegister.es, es)
      loadRealSegment(SegmentRegister.ds, ds)
      loadRealSegment(SegmentRegister.fs, fs)
      loadRealSegment(SegmentRegister.gs, gs)
    }
    recordBranch(
      from: plan.from, to: segmentPointer(SegmentRegister.cs).pointee.base &+ plan.eip)
    modeFollows(level: level, flags: old)
  }

  @inline(__always)
  private func push<A: TransferAccess>(_ frame: TransferPlan<A>.Frame) throws(Fault) -> UInt32 {
    var room = frame.room
    let size = frame.size
    if frame.data {
      try A.push(self, &room, visible(SegmentRegister.gs), size)
      try A.push(self, &room, visible(SegmentRegister.fs), size)
      try A.push(self, &room, visible(SegmentRegister.ds), size)
      try A.push(self, &room, visible(SegmentRegister.es), size)
    }
    if frame.stack {
      try A.push(self, &room, visible(SegmentRegister.ss), size)
      try A.push(self, &room, gpr32[Register.esp], size)
    }
    if frame.parameters > 0 {
      let top = try A.top(self, frame.parameters &* size)
      var n = frame.parameters
      while n > 0 {
        n &-= 1
        try A.push(self, &room, try A.slot(self, top, n &* size, size), size)
      }
    }
    if let flags = frame.flags { try A.push(self, &room, flags, size) }
    try A.push(self, &room, visible(SegmentRegister.cs), size)
    try A.push(self, &room, s.pointee.eip, size)
    if let errorCode = frame.errorCode { try A.push(self, &room, errorCode, size) }
    return A.stackPointer(room)
  }

  @inline(__always)
  private func visible(_ index: Int) -> UInt32 { UInt32(segmentPointer(index).pointee.selector) }

  /// What depends on CPL and EFLAGS follows their change, as `updateMode` has it; mostly there is little of it.
  @inline(__always)
  private func modeFollows(level old: Int, flags oldFlags: UInt32) {
    let level = s.pointee.cpl
    let flags = s.pointee.eflags
    let changed = flags ^ oldFlags
    if changed & (EFLAGS.vm | EFLAGS.ac | EFLAGS.tf | EFLAGS.rf) != 0
      || s.pointee.attention & Attention.trap != 0 || !debugEvents.isEmpty
      || (level != old && (flags & EFLAGS.ac | s.pointee.dr7 & 0xFF) != 0)
    {
      updateMode()
      return
    }
    if level != old {
      s.pointee.readTable = level == 3 ? tables.userRead : tables.supervisorRead
      s.pointee.writeTable = level == 3 ? tables.userWrite : tables.supervisorWrite
      contextChanged()
    }
    if changed & EFLAGS.df != 0 { contextChanged() }
  }

  // MARK: - What plans have in common

  /// A plan that leaves stack and flags alone.
  @inline(__always)
  func plan<A: TransferAccess>(
    _: A.Type, _ code: TransferPlan<A>.Code, eip: UInt32, cpl: Int, from: UInt32
  ) -> TransferPlan<A> {
    TransferPlan(from: from, code: code, eip: eip, cpl: cpl, esp: gpr32[Register.esp])
  }

  /// A plan that goes on in a code segment whose checks have passed.
  @inline(__always)
  func plan<A: TransferAccess>(
    _ access: A.Type, _ selector: UInt16, _ d: Descriptor, eip: UInt32, cpl: Int, from: UInt32
  ) -> TransferPlan<A> {
    plan(
      access, .descriptor(selector & 0xFFFC | UInt16(truncatingIfNeeded: cpl), d), eip: eip,
      cpl: cpl, from: from)
  }

  /// ESP after a change of the part that a stack has.
  @inline(__always)
  func moved(_ esp: UInt32, big: Bool) -> UInt32 {
    big ? esp : gpr32[Register.esp] & 0xFFFF_0000 | esp & 0xFFFF
  }

  /// ESP after `bytes` bytes of the present stack were popped.
  @inline(__always)
  func popped(_ bytes: UInt32) -> UInt32 {
    moved(
      gpr32[Register.esp] &+ bytes, big: segmentPointer(SegmentRegister.ss).pointee.isBig)
  }

  /// The linear address of EIP: that of the next instruction, or of the one that has faulted.
  @inline(__always) var linearAfter: UInt32 {
    segmentPointer(SegmentRegister.cs).pointee.base &+ s.pointee.eip
  }
}
