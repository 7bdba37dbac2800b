// Far jumps, calls and returns in every mode.
//
// Owns: JMP, CALL and RET far, through code segments, call gates, task gates and TSS descriptors. Must not know: decoding.
// Every check comes before the first change; only a task switch past its commit point faults in the new task.
// Follows: Intel SDM volume 2 (CALL, JMP, RET), volume 3 section 5.8 (privilege levels of transfers).

extension CPU {
  /// Notes a far transfer for reports (linear addresses).
  func recordBranch(from: UInt32, to: UInt32) {
    let n = branchIndex.pointee & 15
    branchRing[Int(n)] = (from, to)
    branchIndex.pointee = (n &+ 1) & 15
    if debugEvents.contains(.farBranches) { noteDebug(.farBranch(from: from, to: to)) }
  }

  /// The linear address of the instruction being executed.
  @inline(__always) var currentLinear: UInt32 {
    segmentPointer(SegmentRegister.cs).pointee.base &+ currentEIP
  }

  /// Takes a code segment whose checks have passed.
  @inline(__always)
  func enterCode(_ selector: UInt16, _ d: Descriptor, cpl: Int, eip: UInt32) {
    let from = currentLinear
    setSegment(SegmentRegister.cs, selector & 0xFFFC | UInt16(truncatingIfNeeded: cpl), d)
    s.pointee.cpl = cpl
    s.pointee.eip = eip
    recordBranch(from: from, to: d.base &+ eip)
    updateMode()
  }

  /// Transfers in real or V86 mode.
  @inline(__always)
  func enterReal(_ selector: UInt16, eip: UInt32) {
    let from = currentLinear
    loadRealSegment(SegmentRegister.cs, selector)
    s.pointee.eip = eip
    recordBranch(from: from, to: UInt32(selector) << 4 &+ eip)
  }

  /// The limit CS will have after a real-mode transfer.
  @inline(__always) var realCodeLimit: UInt32 {
    v86 ? 0xFFFF : segmentPointer(SegmentRegister.cs).pointee.limit
  }

  /// Checks a code segment as the target of a direct far jump or call.
  private func checkDirect(_ selector: UInt16, _ d: Descriptor) throws(Fault) {
    let cpl = s.pointee.cpl
    if d.isConforming {
      if d.dpl > cpl { throw .gp(selector & 0xFFFC) }
    } else if Int(selector & 3) > cpl || d.dpl != cpl {
      throw .gp(selector & 0xFFFC)
    }
    if !d.isPresent { throw .np(selector & 0xFFFC) }
  }

  /// Checks DPL and presence of a gate or TSS descriptor named by a far jump or call.
  private func checkSystem(_ selector: UInt16, _ d: Descriptor) throws(Fault) {
    if d.dpl < s.pointee.cpl || Int(selector & 3) > d.dpl { throw .gp(selector & 0xFFFC) }
    if !d.isPresent { throw .np(selector & 0xFFFC) }
  }

  /// The TSS that a task gate names.
  func taskGateTarget(_ selector: UInt16, ext: UInt16) throws(Fault) -> Descriptor {
    if selector & 4 != 0 { throw selectorFault(13, selector, ext) }
    let d = try fetchDescriptor(selector, ext: ext)
    if !d.isAvailableTSS { throw selectorFault(13, selector, ext) }
    if !d.isPresent { throw selectorFault(11, selector, ext) }
    return d
  }

  /// The code segment that a call gate names.
  private func callGateTarget(_ selector: UInt16) throws(Fault) -> Descriptor {
    if selector & 0xFFFC == 0 { throw .gp(0) }
    let d = try fetchDescriptor(selector)
    if !d.isCode || d.dpl > s.pointee.cpl { throw .gp(selector & 0xFFFC) }
    return d
  }

  // MARK: - JMP

  /// JMP far.
  func farJump(selector: UInt16, offset: UInt32, operand32: Bool) throws(Fault) {
    let offset = operand32 ? offset : offset & 0xFFFF
    if realSegments {
      if offset > realCodeLimit { throw .gp(0) }
      enterReal(selector, eip: offset)
      return
    }
    if selector & 0xFFFC == 0 { throw .gp(0) }
    let d = try fetchDescriptor(selector)
    if d.isSegment {
      if !d.isCode { throw .gp(selector & 0xFFFC) }
      try checkDirect(selector, d)
      if offset > d.limit { throw .gp(0) }
      try markAccessed(selector, d)
      enterCode(selector, d, cpl: s.pointee.cpl, eip: offset)
      return
    }
    switch d.type {
    case 4, 12:
      try checkSystem(selector, d)
      let target = d.gateSelector
      let code = try callGateTarget(target)
      if !code.isConforming && code.dpl != s.pointee.cpl { throw .gp(target & 0xFFFC) }
      if !code.isPresent { throw .np(target & 0xFFFC) }
      if d.gateOffset > code.limit { throw .gp(0) }
      try markAccessed(target, code)
      enterCode(target, code, cpl: s.pointee.cpl, eip: d.gateOffset)
    case 5:
      try checkSystem(selector, d)
      let tss = try taskGateTarget(d.gateSelector, ext: 0)
      try switchTaskFromInstruction(d.gateSelector, tss, .jump)
    case 1, 9:
      if selector & 4 != 0 { throw .gp(selector & 0xFFFC) }
      try checkSystem(selector, d)
      try switchTaskFromInstruction(selector, d, .jump)
    default:
      throw .gp(selector & 0xFFFC)
    }
  }

  // MARK: - CALL

  /// CALL far.
  func farCall(selector: UInt16, offset: UInt32, operand32: Bool) throws(Fault) {
    let offset = operand32 ? offset : offset & 0xFFFF
    let size: UInt32 = operand32 ? 4 : 2
    if realSegments {
      var frame = currentStack()
      try reserve(frame, count: 2, size: size, code: 0)
      if offset > realCodeLimit { throw .gp(0) }
      try pushReturn(&frame, size)
      gpr32[Register.esp] = frame.sp
      enterReal(selector, eip: offset)
      return
    }
    if selector & 0xFFFC == 0 { throw .gp(0) }
    let d = try fetchDescriptor(selector)
    if d.isSegment {
      if !d.isCode { throw .gp(selector & 0xFFFC) }
      try checkDirect(selector, d)
      try callSameLevel(selector, d, offset: offset, size: size)
      return
    }
    switch d.type {
    case 4, 12:
      try checkSystem(selector, d)
      let target = d.gateSelector
      let code = try callGateTarget(target)
      if !code.isPresent { throw .np(target & 0xFFFC) }
      if !code.isConforming && code.dpl < s.pointee.cpl {
        try callInnerLevel(gate: d, code)
      } else {
        try callSameLevel(target, code, offset: d.gateOffset, size: d.isGate32 ? 4 : 2)
      }
    case 5:
      try checkSystem(selector, d)
      let tss = try taskGateTarget(d.gateSelector, ext: 0)
      try switchTaskFromInstruction(d.gateSelector, tss, .call)
    case 1, 9:
      if selector & 4 != 0 { throw .gp(selector & 0xFFFC) }
      try checkSystem(selector, d)
      try switchTaskFromInstruction(selector, d, .call)
    default:
      throw .gp(selector & 0xFFFC)
    }
  }

  private func pushReturn(_ frame: inout StackFrame, _ size: UInt32) throws(Fault) {
    try push(&frame, UInt32(segmentPointer(SegmentRegister.cs).pointee.selector), size)
    try push(&frame, s.pointee.eip, size)
  }

  private func callSameLevel(_ selector: UInt16, _ d: Descriptor, offset: UInt32, size: UInt32)
    throws(Fault)
  {
    var frame = currentStack()
    try reserve(frame, count: 2, size: size, code: 0)
    if offset > d.limit { throw .gp(0) }
    try markAccessed(selector, d)
    try pushReturn(&frame, size)
    gpr32[Register.esp] = frame.sp
    enterCode(selector, d, cpl: s.pointee.cpl, eip: offset)
  }

  private func callInnerLevel(gate: Descriptor, _ code: Descriptor) throws(Fault) {
    let size: UInt32 = gate.isGate32 ? 4 : 2
    let dpl = code.dpl
    let (ss, esp) = try innerStackPointer(dpl, ext: 0)
    let stack = try innerStackSegment(ss, dpl, ext: 0)
    var frame = StackFrame(stack, sp: esp, cpl: dpl)
    let count = gate.parameterCount
    try reserve(frame, count: 4 &+ count, size: size, code: ss & 0xFFFC)
    if gate.gateOffset > code.limit { throw .gp(0) }
    // Read every parameter once before anything is written.
    for n in 0..<count { _ = try peekStack(n &* size, size) }
    try markAccessed(gate.gateSelector, code)
    try markAccessed(ss, stack)
    let old = segmentPointer(SegmentRegister.ss).pointee.selector
    let oldESP = gpr32[Register.esp]
    try push(&frame, UInt32(old), size)
    try push(&frame, oldESP, size)
    var n = count
    while n > 0 {
      n &-= 1
      try push(&frame, try peekStack(n &* size, size), size)
    }
    try pushReturn(&frame, size)
    setSegment(SegmentRegister.ss, ss, stack)
    gpr32[Register.esp] = frame.sp
    enterCode(gate.gateSelector, code, cpl: dpl, eip: gate.gateOffset)
  }

  // MARK: - RET

  /// RET far; `pop` is the count of parameter bytes that are dropped as well.
  func farReturn(operand32: Bool, pop: UInt32) throws(Fault) {
    let size: UInt32 = operand32 ? 4 : 2
    let offset = try peekStack(0, size)
    let selector = UInt16(truncatingIfNeeded: try peekStack(size, size))
    let after = 2 &* size &+ pop
    if realSegments {
      if offset > realCodeLimit { throw .gp(0) }
      setStackPointer(gpr32[Register.esp] &+ after)
      enterReal(selector, eip: offset)
      return
    }
    let d = try returnTarget(selector)
    let rpl = Int(selector & 3)
    if rpl == s.pointee.cpl {
      if offset > d.limit { throw .gp(0) }
      try markAccessed(selector, d)
      setStackPointer(gpr32[Register.esp] &+ after)
      enterCode(selector, d, cpl: rpl, eip: offset)
      return
    }
    let esp = try peekStack(after, size)
    let ss = UInt16(truncatingIfNeeded: try peekStack(after &+ size, size))
    let stack = try outerStack(ss, rpl)
    if offset > d.limit { throw .gp(0) }
    try markAccessed(selector, d)
    try markAccessed(ss, stack)
    setSegment(SegmentRegister.ss, ss, stack)
    setStackPointer(esp &+ pop)
    enterCode(selector, d, cpl: rpl, eip: offset)
    dropInnerSegments()
  }

  /// Checks a code segment as the target of RET or IRET.
  func returnTarget(_ selector: UInt16) throws(Fault) -> Descriptor {
    if selector & 0xFFFC == 0 { throw .gp(0) }
    let d = try fetchDescriptor(selector)
    let rpl = Int(selector & 3)
    if !d.isCode || rpl < s.pointee.cpl { throw .gp(selector & 0xFFFC) }
    if d.isConforming ? d.dpl > rpl : d.dpl != rpl { throw .gp(selector & 0xFFFC) }
    if !d.isPresent { throw .np(selector & 0xFFFC) }
    return d
  }

  /// Checks the stack segment of a return to an outer ring.
  func outerStack(_ ss: UInt16, _ rpl: Int) throws(Fault) -> Descriptor {
    if ss & 0xFFFC == 0 { throw .gp(0) }
    let d = try fetchDescriptor(ss)
    if Int(ss & 3) != rpl || !d.isWritableData || d.dpl != rpl { throw .gp(ss & 0xFFFC) }
    if !d.isPresent { throw .ss(ss & 0xFFFC) }
    return d
  }

  /// After a return to an outer ring: data segments that it may not see become null.
  func dropInnerSegments() {
    dropInner(SegmentRegister.es)
    dropInner(SegmentRegister.ds)
    dropInner(SegmentRegister.fs)
    dropInner(SegmentRegister.gs)
  }

  @inline(__always)
  private func dropInner(_ index: Int) {
    let cache = segmentPointer(index)
    let a = cache.pointee.attributes
    if a & 0x80 != 0, a & 0x1C != 0x1C, cache.pointee.dpl < s.pointee.cpl {
      setNullSegment(index, 0)
    }
  }
}
