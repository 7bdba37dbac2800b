// Hardware task switching.
//
// Owns: the switch between 16-bit and 32-bit TSSs, with everything before the commit point free of effects and everything after it
// happening in the new task. Must not know: which gate or instruction led here (`TaskSwitchSource` says what matters of it).
// Follows: Intel SDM volume 3, chapter 7 (task management), tables 7-1 and 7-2.

/// What causes a task switch.
enum TaskSwitchSource {
  case jump, call, iret, interrupt
}

extension CPU {
  /// Switches tasks for an instruction: a fault past the commit point is delivered here, in the new task.
  /// - Throws: a fault of the old task; nothing has changed then.
  func switchTaskFromInstruction(
    _ selector: UInt16, _ tss: Descriptor, _ source: TaskSwitchSource
  ) throws(Fault) {
    taskSwitchCommitted = false
    do {
      try switchTask(selector, tss, source, ext: 0)
    } catch {
      if !taskSwitchCommitted { throw error }
      deliverFault(error)
    }
  }

  /// Switches to the task whose TSS descriptor has passed the checks of type, privilege and presence.
  /// - Throws: #TS and others before the commit point; after it (`taskSwitchCommitted`) in the new task.
  func switchTask(
    _ selector: UInt16, _ tss: Descriptor, _ source: TaskSwitchSource, ext: UInt16
  ) throws(Fault) {
    taskSwitchCommitted = false
    let new32 = tss.type & 8 != 0
    if tss.limit < (new32 ? 0x67 : 0x2B) { throw selectorFault(10, selector, ext) }
    let tr = segmentPointer(SegmentRegister.tr)
    let old32 = tr.pointee.attributes & 8 != 0
    let oldBase = tr.pointee.base
    let oldSelector = tr.pointee.selector
    if tr.pointee.limit < (old32 ? 0x5F : 0x29) { throw selectorFault(10, oldSelector, ext) }
    let base = tss.base

    // Everything that will be touched must be there.
    try probeRead(base, new32 ? 0x68 : 0x2C, [])
    if source == .call || source == .interrupt { try probeWrite(base, 2, []) }
    if old32 {
      try probeWrite(oldBase &+ 0x20, 0x40, [])
    } else {
      try probeWrite(oldBase &+ 0x0E, 0x1C, [])
    }
    if source != .iret, let address = descriptorAddress(selector) {
      try probeWrite(address &+ 5, 1, [])
    }
    let oldDescriptor = try descriptorOfTask(oldSelector, source)

    // The old task's state.
    var flags = eflags
    if source == .iret { flags &= ~EFLAGS.nt }
    if faultRF && source == .interrupt { flags |= EFLAGS.rf }
    if old32 {
      try saveTask32(oldBase, flags)
    } else {
      try saveTask16(oldBase, flags)
    }
    if source == .jump || source == .iret, let oldDescriptor {
      try setBusy(oldSelector, oldDescriptor, busy: false)
    }
    if source == .call || source == .interrupt { try writeSystem16(base, oldSelector) }
    let image = try loadTask(base, new32)
    if source != .iret { try setBusy(selector, tss, busy: true) }

    // The commit point: TR, CR0.TS, then the new state.
    let from = segmentPointer(SegmentRegister.cs).pointee.base &+ s.pointee.eip
    if debugEvents.contains(.tasks) { noteDebug(.task(from: oldSelector, to: selector)) }
    setSegment(SegmentRegister.tr, selector, tss)
    tr.pointee.attributes |= 2
    s.pointee.cr0 |= CR0.ts
    s.pointee.dr7 &= ~0x155
    taskSwitchCommitted = true
    try enterTask(
      image, new32, nested: source == .call || source == .interrupt, from: from, ext: ext)
  }

  /// The old task's descriptor when its busy bit will be cleared, checked to be writable.
  private func descriptorOfTask(_ selector: UInt16, _ source: TaskSwitchSource) throws(Fault)
    -> Descriptor?
  {
    guard source == .jump || source == .iret, let address = descriptorAddress(selector) else {
      return nil
    }
    try probeWrite(address &+ 5, 1, [])
    return Descriptor(try readSystem64(address))
  }

  private func saveTask32(_ base: UInt32, _ flags: UInt32) throws(Fault) {
    try writeSystem32(base &+ 0x20, s.pointee.eip)
    try writeSystem32(base &+ 0x24, flags)
    for n in 0..<8 { try writeSystem32(base &+ 0x28 &+ UInt32(n &* 4), gpr32[n]) }
    for n in 0..<6 {
      try writeSystem16(base &+ 0x48 &+ UInt32(n &* 4), segmentPointer(n).pointee.selector)
    }
  }

  private func saveTask16(_ base: UInt32, _ flags: UInt32) throws(Fault) {
    try writeSystem16(base &+ 0x0E, UInt16(truncatingIfNeeded: s.pointee.eip))
    try writeSystem16(base &+ 0x10, UInt16(truncatingIfNeeded: flags))
    for n in 0..<8 {
      try writeSystem16(base &+ 0x12 &+ UInt32(n &* 2), UInt16(truncatingIfNeeded: gpr32[n]))
    }
    for n in 0..<4 {
      try writeSystem16(base &+ 0x22 &+ UInt32(n &* 2), segmentPointer(n).pointee.selector)
    }
  }

  /// What a TSS holds of a task.
  private struct TaskImage {
    var cr3: UInt32 = 0
    var eip: UInt32 = 0
    var flags: UInt32 = 0
    var gpr: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) = (
      0, 0, 0, 0, 0, 0, 0, 0
    )
    /// ES CS SS DS FS GS.
    var selectors: (UInt16, UInt16, UInt16, UInt16, UInt16, UInt16) = (0, 0, 0, 0, 0, 0)
    var ldt: UInt16 = 0
    var trap = false
  }

  private func loadTask(_ base: UInt32, _ is32: Bool) throws(Fault) -> TaskImage {
    var t = TaskImage()
    if is32 {
      t.cr3 = try readSystem32(base &+ 0x1C)
      t.eip = try readSystem32(base &+ 0x20)
      t.flags = try readSystem32(base &+ 0x24)
      let r = base &+ 0x28
      t.gpr = (
        try readSystem32(r), try readSystem32(r &+ 4), try readSystem32(r &+ 8),
        try readSystem32(r &+ 12), try readSystem32(r &+ 16), try readSystem32(r &+ 20),
        try readSystem32(r &+ 24), try readSystem32(r &+ 28)
      )
      let g = base &+ 0x48
      t.selectors = (
        try readSystem16(g), try readSystem16(g &+ 4), try readSystem16(g &+ 8),
        try readSystem16(g &+ 12), try readSystem16(g &+ 16), try readSystem16(g &+ 20)
      )
      t.ldt = try readSystem16(base &+ 0x60)
      t.trap = try readSystem16(base &+ 0x64) & 1 != 0
    } else {
      t.eip = UInt32(try readSystem16(base &+ 0x0E))
      t.flags = UInt32(try readSystem16(base &+ 0x10))
      // The upper halves are ones, as the processor leaves them.
      let r = base &+ 0x12
      t.gpr = (
        try taskWord(r), try taskWord(r &+ 2), try taskWord(r &+ 4), try taskWord(r &+ 6),
        try taskWord(r &+ 8), try taskWord(r &+ 10), try taskWord(r &+ 12), try taskWord(r &+ 14)
      )
      let g = base &+ 0x22
      t.selectors = (
        try readSystem16(g), try readSystem16(g &+ 2), try readSystem16(g &+ 4),
        try readSystem16(g &+ 6), 0, 0
      )
      t.ldt = try readSystem16(base &+ 0x2A)
    }
    return t
  }

  private func taskWord(_ linear: UInt32) throws(Fault) -> UInt32 {
    0xFFFF_0000 | UInt32(try readSystem16(linear))
  }

  /// Loads the new task; faults belong to it.
  private func enterTask(
    _ t: TaskImage, _ is32: Bool, nested: Bool, from: UInt32, ext: UInt16
  ) throws(Fault) {
    // All registers and visible selectors first: whatever faults below sees the new task, with segments not yet usable.
    gpr32[0] = t.gpr.0
    gpr32[1] = t.gpr.1
    gpr32[2] = t.gpr.2
    gpr32[3] = t.gpr.3
    gpr32[4] = t.gpr.4
    gpr32[5] = t.gpr.5
    gpr32[6] = t.gpr.6
    gpr32[7] = t.gpr.7
    s.pointee.eip = t.eip
    var flags = t.flags & implementedFlags
    if nested { flags |= EFLAGS.nt }
    setNullSegment(SegmentRegister.es, t.selectors.0)
    setNullSegment(SegmentRegister.cs, t.selectors.1)
    setNullSegment(SegmentRegister.ss, t.selectors.2)
    setNullSegment(SegmentRegister.ds, t.selectors.3)
    setNullSegment(SegmentRegister.fs, t.selectors.4)
    setNullSegment(SegmentRegister.gs, t.selectors.5)
    setNullSegment(SegmentRegister.ldtr, t.ldt)
    let toV86 = flags & EFLAGS.vm != 0
    s.pointee.cpl = toV86 ? 3 : Int(t.selectors.1 & 3)
    setEFLAGS(flags)
    updateMode()
    if t.trap { raiseDebugTrap(DR6.bt) }
    if is32 && s.pointee.cr0 & CR0.pg != 0 { try loadCR3(t.cr3) }

    do {
      try loadTaskLDT(t.ldt, ext)
    } catch {
      // All of the new state is there before the exception is: a good stack segment of the GDT serves its handler. What is wrong with a
      // bad one is not told; `interrupt` finds another stack.
      if !toV86 && t.selectors.2 & 4 == 0 {
        // A page fault that is not told must not leave its address for the fault that is.
        let cr2 = s.pointee.cr2
        do { try loadTaskStack(t.selectors.2, s.pointee.cpl, ext) } catch { s.pointee.cr2 = cr2 }
      }
      throw error
    }
    if toV86 {
      loadRealSegment(SegmentRegister.cs, t.selectors.1)
      loadRealSegment(SegmentRegister.ss, t.selectors.2)
      loadRealSegment(SegmentRegister.es, t.selectors.0)
      loadRealSegment(SegmentRegister.ds, t.selectors.3)
      loadRealSegment(SegmentRegister.fs, t.selectors.4)
      loadRealSegment(SegmentRegister.gs, t.selectors.5)
      recordBranch(from: from, to: UInt32(t.selectors.1) << 4 &+ t.eip)
      updateMode()
      if t.eip > 0xFFFF { throw .gp(ext) }
      return
    }
    let cpl = s.pointee.cpl
    try loadTaskStack(t.selectors.2, cpl, ext)
    let cs = t.selectors.1
    if cs & 0xFFFC == 0 { throw selectorFault(10, cs, ext) }
    let code = try fetchDescriptor(cs, vector: 10, ext: ext)
    if !code.isCode || (code.isConforming ? code.dpl > cpl : code.dpl != cpl) {
      throw selectorFault(10, cs, ext)
    }
    if !code.isPresent { throw selectorFault(11, cs, ext) }
    try markAccessed(cs, code)
    setSegment(SegmentRegister.cs, cs, code)
    recordBranch(from: from, to: code.base &+ t.eip)
    updateMode()
    try loadTaskData(SegmentRegister.es, t.selectors.0, cpl, ext)
    try loadTaskData(SegmentRegister.ds, t.selectors.3, cpl, ext)
    try loadTaskData(SegmentRegister.fs, t.selectors.4, cpl, ext)
    try loadTaskData(SegmentRegister.gs, t.selectors.5, cpl, ext)
    if t.eip > code.limit { throw .gp(ext) }
  }

  private func loadTaskLDT(_ selector: UInt16, _ ext: UInt16) throws(Fault) {
    if selector & 0xFFFC == 0 { return }
    if selector & 4 != 0 { throw selectorFault(10, selector, ext) }
    let ldt = try fetchDescriptor(selector, vector: 10, ext: ext)
    if ldt.fullType != 2 || !ldt.isPresent { throw selectorFault(10, selector, ext) }
    setSegment(SegmentRegister.ldtr, selector, ldt)
  }

  private func loadTaskStack(_ ss: UInt16, _ cpl: Int, _ ext: UInt16) throws(Fault) {
    if ss & 0xFFFC == 0 { throw selectorFault(10, ss, ext) }
    let d = try fetchDescriptor(ss, vector: 10, ext: ext)
    if !d.isWritableData { throw selectorFault(10, ss, ext) }
    if !d.isPresent { throw selectorFault(12, ss, ext) }
    if d.dpl != cpl || Int(ss & 3) != cpl { throw selectorFault(10, ss, ext) }
    try markAccessed(ss, d)
    setSegment(SegmentRegister.ss, ss, d)
  }

  private func loadTaskData(_ index: Int, _ selector: UInt16, _ cpl: Int, _ ext: UInt16)
    throws(Fault)
  {
    if selector & 0xFFFC == 0 { return }
    let d = try fetchDescriptor(selector, vector: 10, ext: ext)
    if !d.isReadable || (!d.isConforming && (Int(selector & 3) > d.dpl || cpl > d.dpl)) {
      throw selectorFault(10, selector, ext)
    }
    if !d.isPresent { throw selectorFault(11, selector, ext) }
    try markAccessed(selector, d)
    setSegment(index, selector, d)
  }
}
