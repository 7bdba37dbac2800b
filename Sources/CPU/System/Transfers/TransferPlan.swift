// What a transfer of control changes, as a value, and the one place that changes it.
//
// Owns: the plan, and carrying it out: accessed bits, pushes, flags, stack, code segment, privilege, and what follows from them.
// Interrupts, returns, far calls and jumps, SYSENTER and SYSEXIT make plans: functions that check everything in the manual's order and
// change nothing. The interpreter and translated code's short paths make the same plans, each with its own reach.
// Must not know: which instruction or event it was; task switches. Follows: Intel SDM volume 3, sections 5.8 and 6.12.

/// What a transfer of control changes. Whatever can be checked has been.
struct TransferPlan {
  /// How a segment register is loaded.
  enum Load: UInt8 {
    case stays, descriptor
    /// As in real and V86 mode.
    case paragraph
  }

  /// What becomes of ES, DS, FS and GS.
  enum Data: UInt8 {
    case stays
    /// What the new level may not see becomes null.
    case dropsInner
    case null
    /// `dataSelectors`, for V86 mode.
    case paragraphs
  }

  /// A hardware task switch to the TSS that `selector` and `code` name is what has to follow; nothing else of the plan counts.
  var isTask = false

  /// The linear address the transfer comes from, for reports.
  var from: UInt32
  /// CS with its RPL, which is CPL.
  var selector: UInt16
  var code: Descriptor
  var codeLoad: Load
  var eip: UInt32
  var cpl: Int

  var ss: UInt16 = 0
  var stack = Descriptor(0)
  var stackLoad = Load.stays
  /// ESP, where nothing is pushed.
  var esp: UInt32

  /// CS and EIP are pushed, and what else is set below, in this order.
  var pushes = false
  var room: PushRoom
  /// Bytes a push.
  var size: UInt32 = 4
  /// GS, FS, DS, ES.
  var pushesData = false
  /// SS and ESP.
  var pushesStack = false
  /// How many words or doublewords are copied from the present stack.
  var parameters: UInt32 = 0
  var pushesFlags = false
  var flagsImage: UInt32 = 0
  var errorCode: UInt32? = nil

  /// Flags that change; all of the arithmetic ones or none.
  var flagMask: UInt32 = 0
  var flags: UInt32 = 0

  var data = Data.stays
  var dataSelectors: (es: UInt16, ds: UInt16, fs: UInt16, gs: UInt16) = (0, 0, 0, 0)

  @_transparent
  fileprivate init(
    from: UInt32, selector: UInt16, code: Descriptor, load: Load, eip: UInt32, cpl: Int,
    room: PushRoom
  ) {
    self.from = from
    self.selector = selector
    self.code = code
    codeLoad = load
    self.eip = eip
    self.cpl = cpl
    esp = room.stack.sp
    self.room = room
  }

  @_transparent
  mutating func push(_ room: PushRoom, size: UInt32) {
    pushes = true
    self.room = room
    self.size = size
  }

  @_transparent
  mutating func loadStack(_ selector: UInt16, _ d: Descriptor) {
    ss = selector
    stack = d
    stackLoad = .descriptor
  }
}

extension CPU {
  /// Carries out a plan.
  /// - Throws: what the accessed bits and the pushes raise in spite of the checks; no register has changed then.
  @_transparent
  func commit(_ reach: Reach, _ plan: TransferPlan) throws(Fault) {
    if reach == .any {
      // At hand they are set.
      if plan.codeLoad == .descriptor { try markAccessed(plan.selector, plan.code) }
      if plan.stackLoad == .descriptor { try markAccessed(plan.ss, plan.stack) }
    }
    var esp = plan.esp
    if plan.pushes { esp = try push(reach, plan) }

    let level = s.pointee.cpl
    let old = s.pointee.eflags
    let mask = plan.flagMask & ~EFLAGS.arithmetic
    s.pointee.eflags = old & ~mask | plan.flags & mask
    if plan.flagMask & EFLAGS.cf != 0 { setArithmeticFlags(reach, plan.flags) }
    switch plan.stackLoad {
    case .stays: break
    case .descriptor: setSegment(SegmentRegister.ss, plan.ss, plan.stack)
    case .paragraph: loadRealSegment(SegmentRegister.ss, plan.ss)
    }
    gpr32[Register.esp] = esp
    if plan.codeLoad == .descriptor {
      setSegment(SegmentRegister.cs, plan.selector, plan.code)
    } else {
      loadRealSegment(SegmentRegister.cs, plan.selector)
    }
    s.pointee.cpl = plan.cpl
    s.pointee.eip = plan.eip
    switch plan.data {
    case .stays: break
    case .dropsInner: dropInnerSegments()
    case .null:
      setNullSegment(SegmentRegister.es, 0)
      setNullSegment(SegmentRegister.ds, 0)
      setNullSegment(SegmentRegister.fs, 0)
      setNullSegment(SegmentRegister.gs, 0)
    case .paragraphs:
      loadRealSegment(SegmentRegister.es, plan.dataSelectors.es)
      loadRealSegment(SegmentRegister.ds, plan.dataSelectors.ds)
      loadRealSegment(SegmentRegister.fs, plan.dataSelectors.fs)
      loadRealSegment(SegmentRegister.gs, plan.dataSelectors.gs)
    }
    recordBranch(
      from: plan.from, to: segmentPointer(SegmentRegister.cs).pointee.base &+ plan.eip)
    modeFollows(level: level, flags: old)
  }

  @_transparent
  private func push(_ reach: Reach, _ plan: TransferPlan) throws(Fault) -> UInt32 {
    var room = plan.room
    let size = plan.size
    if plan.pushesData {
      try push(reach, &room, visible(SegmentRegister.gs), size)
      try push(reach, &room, visible(SegmentRegister.fs), size)
      try push(reach, &room, visible(SegmentRegister.ds), size)
      try push(reach, &room, visible(SegmentRegister.es), size)
    }
    if plan.pushesStack {
      try push(reach, &room, visible(SegmentRegister.ss), size)
      try push(reach, &room, gpr32[Register.esp], size)
    }
    if plan.parameters > 0 {
      let top = try stackTop(reach, plan.parameters &* size)
      var n = plan.parameters
      while n > 0 {
        n &-= 1
        try push(reach, &room, try slot(reach, top, n &* size, size), size)
      }
    }
    if plan.pushesFlags { try push(reach, &room, plan.flagsImage, size) }
    try push(reach, &room, visible(SegmentRegister.cs), size)
    try push(reach, &room, s.pointee.eip, size)
    if let errorCode = plan.errorCode { try push(reach, &room, errorCode, size) }
    return room.stack.sp
  }

  @_transparent
  private func visible(_ index: Int) -> UInt32 { UInt32(segmentPointer(index).pointee.selector) }

  /// What depends on CPL and EFLAGS follows their change, as `updateMode` has it; mostly there is little of it.
  @_transparent
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

  /// A plan that goes on in a code segment whose checks have passed.
  @_transparent
  func plan(_ selector: UInt16, _ d: Descriptor, eip: UInt32, cpl: Int, from: UInt32)
    -> TransferPlan
  {
    TransferPlan(
      from: from, selector: selector & 0xFFFC | UInt16(truncatingIfNeeded: cpl), code: d,
      load: .descriptor, eip: eip, cpl: cpl, room: PushRoom(stack: currentStack(), host: nil))
  }

  /// The same in real and V86 mode.
  @_transparent
  func plan(paragraph selector: UInt16, eip: UInt32, cpl: Int, from: UInt32) -> TransferPlan {
    TransferPlan(
      from: from, selector: selector, code: Descriptor(0), load: .paragraph, eip: eip, cpl: cpl,
      room: PushRoom(stack: currentStack(), host: nil))
  }

  /// A task switch that has to follow.
  @_transparent
  func plan(task selector: UInt16, _ tss: Descriptor) -> TransferPlan {
    var plan = TransferPlan(
      from: 0, selector: selector, code: tss, load: .stays, eip: 0, cpl: 0,
      room: PushRoom(stack: currentStack(), host: nil))
    plan.isTask = true
    return plan
  }

  /// ESP after a change of the part that a stack has.
  @_transparent
  func moved(_ esp: UInt32, big: Bool) -> UInt32 {
    big ? esp : gpr32[Register.esp] & 0xFFFF_0000 | esp & 0xFFFF
  }

  /// ESP after `bytes` bytes of the present stack were popped.
  @_transparent
  func popped(_ bytes: UInt32) -> UInt32 {
    moved(
      gpr32[Register.esp] &+ bytes, big: segmentPointer(SegmentRegister.ss).pointee.isBig)
  }

  /// The linear address of EIP: that of the next instruction, or of the one that has faulted.
  @_transparent var linearAfter: UInt32 {
    segmentPointer(SegmentRegister.cs).pointee.base &+ s.pointee.eip
  }
}
