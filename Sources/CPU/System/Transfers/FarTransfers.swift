// Far jumps, calls and returns in every mode.
//
// Owns: JMP, CALL and RET far, through code segments, call gates, task gates and TSS descriptors. Must not know: decoding.
// Every check comes before the first change; only a task switch past its commit point faults in the new task.
// Follows: Intel SDM volume 2 (CALL, JMP, RET), volume 3 section 5.8 (privilege levels of transfers).

extension CPU {
  /// JMP far.
  func farJump(selector: UInt16, offset: UInt32, operand32: Bool) throws(Fault) {
    let plan = try planJump(.any, selector, offset, operand32, from: currentLinear)
    if plan.isTask {
      try switchTaskFromInstruction(plan.selector, plan.code, .jump)
    } else {
      try commit(.any, plan)
    }
  }

  /// CALL far.
  func farCall(selector: UInt16, offset: UInt32, operand32: Bool) throws(Fault) {
    let plan = try planCall(.any, selector, offset, operand32, from: currentLinear)
    if plan.isTask {
      try switchTaskFromInstruction(plan.selector, plan.code, .call)
    } else {
      try commit(.any, plan)
    }
  }

  /// RET far; `pop` is the count of parameter bytes that are dropped as well.
  func farReturn(operand32: Bool, pop: UInt32) throws(Fault) {
    try commit(.any, try planFarReturn(.any, operand32, pop: pop, from: currentLinear))
  }

  /// Notes a far transfer for reports (linear addresses).
  @inline(__always)
  func recordBranch(from: UInt32, to: UInt32) {
    let n = branchIndex.pointee & 15
    branchRing[Int(n)] = (from, to)
    branchIndex.pointee = (n &+ 1) & 15
    if debugEvents.contains(.farBranches) { noteDebug(.farBranch(from: from, to: to)) }
  }

  /// The linear address of the instruction being executed.
  @_transparent var currentLinear: UInt32 {
    segmentPointer(SegmentRegister.cs).pointee.base &+ currentEIP
  }

  /// The limit CS will have after a real-mode transfer.
  @_transparent var realCodeLimit: UInt32 {
    v86 ? 0xFFFF : segmentPointer(SegmentRegister.cs).pointee.limit
  }

  // MARK: - Targets

  /// Checks a code segment as the target of a direct far jump or call.
  @_transparent
  private func checkDirect(_ selector: UInt16, _ d: Descriptor) throws(Fault) {
    let cpl = s.pointee.cpl
    if !d.isCode { throw .gp(selector & 0xFFFC) }
    if d.isConforming {
      if d.dpl > cpl { throw .gp(selector & 0xFFFC) }
    } else if Int(selector & 3) > cpl || d.dpl != cpl {
      throw .gp(selector & 0xFFFC)
    }
    if !d.isPresent { throw .np(selector & 0xFFFC) }
  }

  /// Checks DPL and presence of a gate or TSS descriptor named by a far jump or call.
  @_transparent
  private func checkSystem(_ selector: UInt16, _ d: Descriptor) throws(Fault) {
    if d.dpl < s.pointee.cpl || Int(selector & 3) > d.dpl { throw .gp(selector & 0xFFFC) }
    if !d.isPresent { throw .np(selector & 0xFFFC) }
  }

  /// The code segment that a call gate names.
  @_transparent
  private func callGateTarget(_ reach: Reach, _ selector: UInt16)
    throws(Fault) -> Descriptor
  {
    if selector & 0xFFFC == 0 { throw .gp(0) }
    let d = try descriptor(reach, selector)
    if !d.isCode || d.dpl > s.pointee.cpl { throw .gp(selector & 0xFFFC) }
    return d
  }

  /// The task that a task gate or a TSS descriptor names.
  @_transparent
  private func taskTarget(
    _ reach: Reach, _ selector: UInt16, _ d: Descriptor
  ) throws(Fault) -> TransferPlan {
    switch d.type {
    case 5:
      try checkSystem(selector, d)
      return plan(task: d.gateSelector, try taskGateTarget(reach, d.gateSelector, ext: 0))
    case 1, 9:
      if selector & 4 != 0 { throw .gp(selector & 0xFFFC) }
      try checkSystem(selector, d)
      return plan(task: selector, d)
    default:
      throw .gp(selector & 0xFFFC)
    }
  }

  // MARK: - JMP

  /// JMP far.
  @_transparent
  func planJump(
    _ reach: Reach, _ selector: UInt16, _ target: UInt32, _ operand32: Bool, from: UInt32
  ) throws(Fault) -> TransferPlan {
    let offset = operand32 ? target : target & 0xFFFF
    let cpl = s.pointee.cpl
    if realSegments {
      if offset > realCodeLimit { throw .gp(0) }
      return plan(paragraph: selector, eip: offset, cpl: cpl, from: from)
    }
    if selector & 0xFFFC == 0 { throw .gp(0) }
    let d = try descriptor(reach, selector)
    if d.isSegment {
      try checkDirect(selector, d)
      if offset > d.limit { throw .gp(0) }
      return plan(selector, d, eip: offset, cpl: cpl, from: from)
    }
    guard d.isCallGate else { return try taskTarget(reach, selector, d) }
    try checkSystem(selector, d)
    let through = d.gateSelector
    let code = try callGateTarget(reach, through)
    if !code.isConforming && code.dpl != cpl { throw .gp(through & 0xFFFC) }
    if !code.isPresent { throw .np(through & 0xFFFC) }
    if d.gateOffset > code.limit { throw .gp(0) }
    return plan(through, code, eip: d.gateOffset, cpl: cpl, from: from)
  }

  // MARK: - CALL

  /// CALL far.
  @_transparent
  func planCall(
    _ reach: Reach, _ selector: UInt16, _ target: UInt32, _ operand32: Bool, from: UInt32
  ) throws(Fault) -> TransferPlan {
    let offset = operand32 ? target : target & 0xFFFF
    let size: UInt32 = operand32 ? 4 : 2
    if realSegments {
      let room = try room(reach, currentStack(), count: 2, size: size, code: 0)
      if offset > realCodeLimit { throw .gp(0) }
      var plan = plan(paragraph: selector, eip: offset, cpl: s.pointee.cpl, from: from)
      plan.push(room, size: size)
      return plan
    }
    if selector & 0xFFFC == 0 { throw .gp(0) }
    let d = try descriptor(reach, selector)
    if d.isSegment {
      try checkDirect(selector, d)
      return try planCallWithin(reach, selector, d, offset, size, from)
    }
    guard d.isCallGate else { return try taskTarget(reach, selector, d) }
    try checkSystem(selector, d)
    let through = d.gateSelector
    let code = try callGateTarget(reach, through)
    if !code.isPresent { throw .np(through & 0xFFFC) }
    if !code.isConforming && code.dpl < s.pointee.cpl {
      return try planCallInner(reach, gate: d, code, from)
    }
    return try planCallWithin(reach, through, code, d.gateOffset, d.isGate32 ? 4 : 2, from)
  }

  /// CALL to the same level.
  @_transparent
  private func planCallWithin(
    _ reach: Reach, _ selector: UInt16, _ d: Descriptor, _ offset: UInt32, _ size: UInt32,
    _ from: UInt32
  ) throws(Fault) -> TransferPlan {
    let room = try room(reach, currentStack(), count: 2, size: size, code: 0)
    if offset > d.limit { throw .gp(0) }
    var plan = plan(selector, d, eip: offset, cpl: s.pointee.cpl, from: from)
    plan.push(room, size: size)
    return plan
  }

  /// CALL through a gate to an inner level.
  @_transparent
  private func planCallInner(
    _ reach: Reach, gate: Descriptor, _ code: Descriptor, _ from: UInt32
  ) throws(Fault) -> TransferPlan {
    let size: UInt32 = gate.isGate32 ? 4 : 2
    let level = code.dpl
    let (ss, esp) = try innerStackPointer(reach, level, ext: 0)
    let stack = try innerStackSegment(reach, ss, level, ext: 0)
    let count = gate.parameterCount
    let room = try room(
      reach, StackFrame(stack, sp: esp, cpl: level), count: 4 &+ count, size: size,
      code: ss & 0xFFFC)
    if gate.gateOffset > code.limit { throw .gp(0) }
    if count > 0 {
      // Read every parameter once before anything is written.
      let top = try stackTop(reach, count &* size)
      for n in 0..<count { _ = try slot(reach, top, n &* size, size) }
    }
    var plan = plan(gate.gateSelector, code, eip: gate.gateOffset, cpl: level, from: from)
    plan.loadStack(ss, stack)
    plan.push(room, size: size)
    plan.pushesStack = true
    plan.parameters = count
    return plan
  }

  // MARK: - RET

  /// RET far; `pop` is the count of parameter bytes that are dropped as well.
  @_transparent
  func planFarReturn(
    _ reach: Reach, _ operand32: Bool, pop: UInt32, from: UInt32
  ) throws(Fault) -> TransferPlan {
    let size: UInt32 = operand32 ? 4 : 2
    let top = try stackTop(reach, 2 &* size)
    let offset = try slot(reach, top, 0, size)
    let selector = UInt16(truncatingIfNeeded: try slot(reach, top, size, size))
    let after = 2 &* size &+ pop
    if realSegments {
      if offset > realCodeLimit { throw .gp(0) }
      var plan = plan(paragraph: selector, eip: offset, cpl: s.pointee.cpl, from: from)
      plan.esp = popped(after)
      return plan
    }
    let d = try returnTarget(reach, selector)
    return try planReturn(
      reach, selector, d, eip: offset, frame: after, size, more: pop, from)
  }

  /// RET and IRET in protected mode, to a code segment that has been checked.
  /// - Parameters:
  ///   - frame: bytes on the stack below what an outer level's stack is taken from.
  ///   - more: bytes dropped from the outer level's stack.
  @_transparent
  func planReturn(
    _ reach: Reach, _ selector: UInt16, _ d: Descriptor, eip: UInt32, frame: UInt32,
    _ size: UInt32, more: UInt32, _ from: UInt32
  ) throws(Fault) -> TransferPlan {
    let level = Int(selector & 3)
    var plan = plan(selector, d, eip: eip, cpl: level, from: from)
    if level == s.pointee.cpl {
      plan.esp = popped(frame)
    } else {
      let top = try stackTop(reach, frame &+ 2 &* size)
      let esp = try slot(reach, top, frame, size)
      let ss = UInt16(truncatingIfNeeded: try slot(reach, top, frame &+ size, size))
      let stack = try outerStack(reach, ss, level)
      plan.loadStack(ss, stack)
      plan.esp = moved(esp &+ more, big: stack.isBig)
      plan.data = .dropsInner
    }
    if eip > d.limit { throw .gp(0) }
    return plan
  }

  /// Checks a code segment as the target of RET or IRET.
  @_transparent
  func returnTarget(_ reach: Reach, _ selector: UInt16) throws(Fault)
    -> Descriptor
  {
    if selector & 0xFFFC == 0 { throw .gp(0) }
    let d = try descriptor(reach, selector)
    let rpl = Int(selector & 3)
    if !d.isCode || rpl < s.pointee.cpl { throw .gp(selector & 0xFFFC) }
    if d.isConforming ? d.dpl > rpl : d.dpl != rpl { throw .gp(selector & 0xFFFC) }
    if !d.isPresent { throw .np(selector & 0xFFFC) }
    return d
  }

  /// Checks the stack segment of a return to an outer ring.
  @_transparent
  private func outerStack(_ reach: Reach, _ ss: UInt16, _ rpl: Int)
    throws(Fault) -> Descriptor
  {
    if ss & 0xFFFC == 0 { throw .gp(0) }
    let d = try descriptor(reach, ss)
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
