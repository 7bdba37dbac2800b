// Short paths of far transfers for translated code: INT n, IRET, SYSENTER, SYSEXIT, far CALL, JMP and RET.
//
// Owns: the cases in which every check passes and all memory is reached by the tables: 32-bit interrupt and trap gates, code segments
// of the same level, returns to an outer one, real mode. In all others nothing has been done, and the instruction is interpreted.
// Must not know: faults. Any doubt leads to the interpreter; what is here does the same as Interrupts.swift, InterruptReturn.swift and
// FarTransfers.swift.
// Follows: Intel SDM volume 2 (INT n, IRET, SYSENTER, SYSEXIT, CALL, JMP, RET); volume 3, section 6.12.

extension Instruction {
  /// Whether `CPU.transferQuickly` may know this instruction.
  @inline(__always) package var isFarTransfer: Bool {
    // What LOCK makes undefined is of these operations too.
    guard handler == .system else { return false }
    switch op {
    case .int3, .int, .iret, .callFar, .callFarIndirect, .jmpFar, .jmpFarIndirect, .retFar,
      .sysenter, .sysexit:
      return true
    default: return false
    }
  }
}

extension CPU {
  /// `transferQuickly` as translated code calls it.
  static let transferFunction: InterpretOne = { context, record, left, blockEIP in
    Unmanaged<CPU>.fromOpaque(context)._withUnsafeGuaranteedRef {
      $0.transferQuickly(record.assumingMemoryBound(to: Instruction.self), left, blockEIP)
    }
  }

  /// Carries out a far transfer at the end of a translated block; parameters and result are those of `interpretOne`.
  private func transferQuickly(_ record: Insn, _ left: Int, _ blockEIP: UInt32) -> Int {
    let s = self.s
    let watchedFlags = EFLAGS.tf | EFLAGS.rf | EFLAGS.ac | EFLAGS.nt
    guard left == 1, s.pointee.eflags & watchedFlags == 0, s.pointee.dr7 & 0xFF == 0,
      debugEvents.isEmpty, !watching
    else { return interpretOne(record, left, blockEIP) }
    let next = blockEIP &+ UInt32(record.pointee.nextOffset)
    let from =
      segmentPointer(SegmentRegister.cs).pointee.base &+ next &- UInt32(record.pointee.length)
    let is32 = record.pointee.isOperand32
    let done: Bool
    switch record.pointee.op {
    case .int3: done = interruptQuickly(3, next)
    case .int: done = interruptQuickly(record.pointee.imm & 0xFF, next)
    case .iret: done = returnFromInterruptQuickly(is32, from)
    case .callFar: done = farQuickly(record.pointee.imm2, record.pointee.imm, is32, next, from)
    case .jmpFar: done = farQuickly(record.pointee.imm2, record.pointee.imm, is32, nil, from)
    case .retFar: done = farReturnQuickly(is32, record.pointee.imm & 0xFFFF, from)
    case .sysenter: done = enterSystemQuickly(from)
    case .sysexit: done = exitSystemQuickly(from)
    case .callFarIndirect, .jmpFarIndirect:
      guard let p = farPointerQuickly(record) else { return interpretOne(record, left, blockEIP) }
      done = farQuickly(
        p.selector, p.offset, is32, record.pointee.op == .callFarIndirect ? next : nil, from)
    default: done = false
    }
    if !done { return interpretOne(record, left, blockEIP) }
    if s.pointee.codeTag == 0 { updateCodeTag() }
    noteFarContext()
    if waits { return 1 }
    return codeAtEIP
  }

  /// In real and V86 mode: translated code will find the context of this CS.
  private func noteFarContext() {
    let cs = segmentPointer(SegmentRegister.cs)
    guard realSegments, cs.pointee.limit == 0xFFFF,
      cs.pointee.base == UInt32(cs.pointee.selector) << 4
    else { return }
    let n = CPU.farContextIndex(cs.pointee.selector)
    let number = contextNumber >> 32
    // The same selector has one number in each family; the key is made only for what is new.
    if farContexts[n] & 0xFFFF == UInt64(cs.pointee.selector), farContexts[n] >> 32 == number {
      return
    }
    farContexts[n] = number << 32 | UInt64(familyKey() | UInt32(cs.pointee.selector))
  }

  // MARK: - Memory by the tables

  /// Eight bytes of a system table.
  @inline(__always)
  private func systemQuad(_ linear: UInt32) -> UInt64? {
    let delta = tables.supervisorRead[Int(linear >> 12)]
    guard delta > 0, linear & 0xFFF <= 0xFF8 else { return nil }
    return UnsafeRawPointer(bitPattern: delta &+ Int(linear)).unsafelyUnwrapped.loadUnaligned(
      as: UInt64.self)
  }

  /// Where `bytes` bytes in one page are, by a table's entry.
  @inline(__always)
  private func place(_ linear: UInt32, _ bytes: UInt32, _ table: UnsafeMutablePointer<Int>)
    -> UnsafeMutableRawPointer?
  {
    let delta = table[Int(linear >> 12)]
    guard delta > 0, linear & 0xFFF <= 0x1000 &- bytes else { return nil }
    return UnsafeMutableRawPointer(bitPattern: delta &+ Int(linear)).unsafelyUnwrapped
  }

  /// The same for a write, which may also go beside code.
  @inline(__always)
  private func placeToWrite(_ linear: UInt32, _ bytes: UInt32, _ table: UnsafeMutablePointer<Int>)
    -> UnsafeMutableRawPointer?
  {
    let entry = table[Int(linear >> 12)]
    guard entry != 0, linear & 0xFFF <= 0x1000 &- bytes else { return nil }
    let host = UnsafeMutableRawPointer(bitPattern: (entry & Int.max) &+ Int(linear))
      .unsafelyUnwrapped
    if entry < 0 {
      let page = (host - memory.ram) >> 12
      let mask = PhysicalMemory.granuleMask(offset: linear & 0xFFF, count: bytes)
      if tracksWrites || memory.codeGranules[page] & mask != 0 { return nil }
    }
    return host
  }

  /// The lowest of `bytes` bytes to be pushed on the present stack.
  @inline(__always)
  private func roomOnStack(_ bytes: UInt32) -> UnsafeMutableRawPointer? {
    let ss = segmentPointer(SegmentRegister.ss)
    let top = gpr32[Register.esp] & stackMask
    guard top >= bytes, Int64(top &- 1) <= ss.pointee.writeLimit else { return nil }
    return placeToWrite(ss.pointee.base &+ top &- bytes, bytes, s.pointee.writeTable)
  }

  /// The `bytes` bytes at the top of the present stack.
  @inline(__always)
  private func topOfStack(_ bytes: UInt32) -> UnsafeMutableRawPointer? {
    let ss = segmentPointer(SegmentRegister.ss)
    let mask = stackMask
    let top = gpr32[Register.esp] & mask
    let last = UInt64(top) &+ UInt64(bytes &- 1)
    guard last <= UInt64(mask), Int64(bitPattern: last) <= ss.pointee.readLimit else { return nil }
    return place(ss.pointee.base &+ top, bytes, s.pointee.readTable)
  }

  /// A present, accessed, nonconforming code segment.
  @inline(__always)
  private func codeQuickly(_ selector: UInt16) -> Descriptor? {
    guard selector & 0xFFFC != 0, let linear = descriptorAddress(selector),
      let raw = systemQuad(linear)
    else { return nil }
    let d = Descriptor(raw)
    return d.high & 0x9D00 == 0x9900 ? d : nil
  }

  /// A present, accessed, writable 32-bit data segment that does not expand down.
  @inline(__always)
  private func stackQuickly(_ selector: UInt16) -> Descriptor? {
    guard selector & 0xFFFC != 0, let linear = descriptorAddress(selector),
      let raw = systemQuad(linear)
    else { return nil }
    let d = Descriptor(raw)
    return d.high & 0x40_9F00 == 0x40_9300 ? d : nil
  }

  // MARK: - Flags as translated code keeps them

  /// EFLAGS with the arithmetic flags of `rawFlags`.
  @inline(__always)
  private var wholeFlags: UInt32 {
    let raw = UInt32(s.pointee.rawFlags)
    return s.pointee.eflags & ~EFLAGS.arithmetic | raw >> 8 & 0xD5 | (raw & 1) << 11 | 2
  }

  /// Takes flags from the stack.
  /// - Parameter mask: what may be changed.
  /// - Returns: false, and nothing is done, when other flags change than the arithmetic ones, IF, DF and IOPL.
  @inline(__always)
  private func takeFlags(_ value: UInt32, _ mask: UInt32) -> Bool {
    let changed = (s.pointee.eflags ^ value) & mask & ~EFLAGS.arithmetic & 0x003F_7FD5
    if changed & ~(EFLAGS.if | EFLAGS.df | EFLAGS.iopl) != 0 { return false }
    s.pointee.eflags ^= changed
    if changed & EFLAGS.df != 0 { contextChanged() }
    s.pointee.rawFlags = UInt16(
      truncatingIfNeeded: (value & 0xD5 | 2) << 8 | value >> 11 & 1)
    return true
  }

  // MARK: - Code segments

  /// Goes on in a code segment of the present level or, with `cpl`, of another.
  @inline(__always)
  private func goTo(_ selector: UInt16, _ d: Descriptor, cpl: Int, _ eip: UInt32, _ from: UInt32) {
    setSegment(SegmentRegister.cs, selector & 0xFFFC | UInt16(truncatingIfNeeded: cpl), d)
    if cpl != s.pointee.cpl {
      s.pointee.cpl = cpl
      s.pointee.readTable = cpl == 3 ? tables.userRead : tables.supervisorRead
      s.pointee.writeTable = cpl == 3 ? tables.userWrite : tables.supervisorWrite
    }
    s.pointee.eip = eip
    recordBranch(from: from, to: d.base &+ eip)
  }

  /// The same in real and V86 mode.
  @inline(__always)
  private func goToReal(_ selector: UInt16, _ eip: UInt32, _ from: UInt32) {
    loadRealSegment(SegmentRegister.cs, selector)
    s.pointee.eip = eip
    recordBranch(from: from, to: UInt32(selector) << 4 &+ eip)
  }

  // MARK: - INT n

  private func interruptQuickly(_ vector: UInt32, _ next: UInt32) -> Bool {
    if !protectedMode { return interruptRealQuickly(vector, next) }
    if v86 { return false }
    let s = self.s
    let index = vector << 3
    guard index &+ 7 <= s.pointee.idtLimit, let raw = systemQuad(s.pointee.idtBase &+ index) else {
      return false
    }
    let gate = Descriptor(raw)
    let cpl = s.pointee.cpl
    // A present 32-bit interrupt or trap gate.
    guard gate.high & 0x9E00 == 0x8E00, gate.dpl >= cpl, let code = codeQuickly(gate.gateSelector),
      gate.gateOffset <= code.limit
    else { return false }
    let cs = segmentPointer(SegmentRegister.cs)
    let from = cs.pointee.base &+ next
    let flags = wholeFlags
    let level = code.dpl
    if level == cpl {
      guard let frame = roomOnStack(12) else { return false }
      frame.storeBytes(of: next, as: UInt32.self)
      frame.storeBytes(of: UInt32(cs.pointee.selector), toByteOffset: 4, as: UInt32.self)
      frame.storeBytes(of: flags, toByteOffset: 8, as: UInt32.self)
      setStackPointer(gpr32[Register.esp] &- 12)
    } else {
      guard level < cpl else { return false }
      let tr = segmentPointer(SegmentRegister.tr)
      let offset = UInt32(level &* 8 &+ 4)
      guard tr.pointee.attributes & 0x88 == 0x88, offset &+ 5 <= tr.pointee.limit,
        let pointer = systemQuad(tr.pointee.base &+ offset)
      else { return false }
      let esp = UInt32(truncatingIfNeeded: pointer)
      let selector = UInt16(truncatingIfNeeded: pointer >> 32)
      guard let stack = stackQuickly(selector), Int(selector & 3) == level, stack.dpl == level,
        esp >= 20, esp &- 1 <= stack.limit,
        let frame = placeToWrite(stack.base &+ esp &- 20, 20, tables.supervisorWrite)
      else { return false }
      let ss = segmentPointer(SegmentRegister.ss)
      frame.storeBytes(of: next, as: UInt32.self)
      frame.storeBytes(of: UInt32(cs.pointee.selector), toByteOffset: 4, as: UInt32.self)
      frame.storeBytes(of: flags, toByteOffset: 8, as: UInt32.self)
      frame.storeBytes(of: gpr32[Register.esp], toByteOffset: 12, as: UInt32.self)
      frame.storeBytes(of: UInt32(ss.pointee.selector), toByteOffset: 16, as: UInt32.self)
      setSegment(SegmentRegister.ss, selector, stack)
      gpr32[Register.esp] = esp &- 20
    }
    // A trap gate leaves IF.
    if gate.high & 0x100 == 0 { s.pointee.eflags &= ~EFLAGS.if }
    goTo(gate.gateSelector, code, cpl: level, gate.gateOffset, from)
    return true
  }

  private func interruptRealQuickly(_ vector: UInt32, _ next: UInt32) -> Bool {
    let index = vector << 2
    let linear = s.pointee.idtBase &+ index
    guard index &+ 3 <= s.pointee.idtLimit, let entry = place(linear, 4, tables.supervisorRead),
      let frame = roomOnStack(6)
    else { return false }
    let target = entry.loadUnaligned(as: UInt32.self)
    let cs = segmentPointer(SegmentRegister.cs)
    let from = cs.pointee.base &+ next
    frame.storeBytes(of: UInt16(truncatingIfNeeded: next), as: UInt16.self)
    frame.storeBytes(of: cs.pointee.selector, toByteOffset: 2, as: UInt16.self)
    frame.storeBytes(
      of: UInt16(truncatingIfNeeded: wholeFlags), toByteOffset: 4, as: UInt16.self)
    setStackPointer(gpr32[Register.esp] &- 6)
    s.pointee.eflags &= ~EFLAGS.if
    goToReal(UInt16(truncatingIfNeeded: target >> 16), target & 0xFFFF, from)
    return true
  }

  // MARK: - IRET

  private func returnFromInterruptQuickly(_ is32: Bool, _ from: UInt32) -> Bool {
    let s = self.s
    if realSegments { return returnRealQuickly(is32, from) }
    guard is32, let frame = topOfStack(12) else { return false }
    let eip = frame.loadUnaligned(as: UInt32.self)
    let selector = frame.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
    let flags = frame.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
    let cpl = s.pointee.cpl
    let level = Int(selector & 3)
    guard flags & EFLAGS.vm == 0, level >= cpl, let code = codeQuickly(selector),
      code.dpl == level, eip <= code.limit
    else { return false }
    var mask: UInt32 = 0x4DD5 | EFLAGS.rf | EFLAGS.ac | EFLAGS.id
    if cpl <= iopl { mask |= EFLAGS.if }
    if cpl == 0 { mask |= EFLAGS.iopl | EFLAGS.vif | EFLAGS.vip }
    if level == cpl {
      guard takeFlags(flags, mask) else { return false }
      setStackPointer(gpr32[Register.esp] &+ 12)
      goTo(selector, code, cpl: cpl, eip, from)
    } else {
      guard let whole = topOfStack(20) else { return false }
      let esp = whole.loadUnaligned(fromByteOffset: 12, as: UInt32.self)
      let ss = whole.loadUnaligned(fromByteOffset: 16, as: UInt16.self)
      guard let stack = stackQuickly(ss), Int(ss & 3) == level, stack.dpl == level,
        takeFlags(flags, mask)
      else { return false }
      setSegment(SegmentRegister.ss, ss, stack)
      gpr32[Register.esp] = esp
      goTo(selector, code, cpl: level, eip, from)
      dropInnerSegments()
    }
    s.pointee.nmiBlocked = false
    return true
  }

  /// In real mode, and in V86 mode with IOPL 3.
  private func returnRealQuickly(_ is32: Bool, _ from: UInt32) -> Bool {
    guard !is32, let frame = topOfStack(6) else { return false }
    let isV86 = v86
    if isV86 && iopl != 3 { return false }
    let eip = UInt32(frame.loadUnaligned(as: UInt16.self))
    let selector = frame.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
    let flags = UInt32(frame.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
    guard eip <= realCodeLimit, takeFlags(flags, isV86 ? 0x7FD5 & ~EFLAGS.iopl : 0x7FD5) else {
      return false
    }
    setStackPointer(gpr32[Register.esp] &+ 6)
    goToReal(selector, eip, from)
    s.pointee.nmiBlocked = false
    return true
  }

  // MARK: - SYSENTER, SYSEXIT

  private func enterSystemQuickly(_ from: UInt32) -> Bool {
    let cs = s.pointee.sysenterCS & 0xFFFC
    guard model.features.contains(.sep), protectedMode, !v86, cs != 0 else { return false }
    s.pointee.eflags &= ~EFLAGS.if
    setFlatSegment(SegmentRegister.cs, cs, attributes: 0xC09B)
    setFlatSegment(SegmentRegister.ss, cs &+ 8, attributes: 0xC093)
    gpr32[Register.esp] = s.pointee.sysenterESP
    goToFlat(s.pointee.sysenterEIP, cpl: 0, from)
    return true
  }

  private func exitSystemQuickly(_ from: UInt32) -> Bool {
    let cs = s.pointee.sysenterCS & 0xFFFC
    guard model.features.contains(.sep), protectedMode, !v86, cs != 0, s.pointee.cpl == 0 else {
      return false
    }
    setFlatSegment(SegmentRegister.cs, (cs &+ 16) | 3, attributes: 0xC0FB)
    setFlatSegment(SegmentRegister.ss, (cs &+ 24) | 3, attributes: 0xC0F3)
    gpr32[Register.esp] = gpr32[Register.ecx]
    goToFlat(gpr32[Register.edx], cpl: 3, from)
    return true
  }

  private func goToFlat(_ eip: UInt32, cpl: Int, _ from: UInt32) {
    s.pointee.cpl = cpl
    s.pointee.readTable = cpl == 3 ? tables.userRead : tables.supervisorRead
    s.pointee.writeTable = cpl == 3 ? tables.userWrite : tables.supervisorWrite
    s.pointee.eip = eip
    recordBranch(from: from, to: eip)
  }

  // MARK: - CALL, JMP, RET

  private func farPointerQuickly(_ i: Insn) -> (selector: UInt16, offset: UInt32)? {
    guard i.pointee.hasMemory else { return nil }
    let size: UInt32 = i.pointee.isOperand32 ? 4 : 2
    let segment = segmentPointer(Int(i.pointee.segment))
    let offset = effectiveAddress(i)
    let last = UInt64(offset) &+ UInt64(size &+ 1)
    guard last <= UInt64(i.pointee.addressMask),
      Int64(bitPattern: last) <= segment.pointee.readLimit,
      let p = place(segment.pointee.base &+ offset, size &+ 2, s.pointee.readTable)
    else { return nil }
    let selector = p.loadUnaligned(fromByteOffset: Int(size), as: UInt16.self)
    if size == 4 { return (selector, p.loadUnaligned(as: UInt32.self)) }
    return (selector, UInt32(p.loadUnaligned(as: UInt16.self)))
  }

  /// CALL where `next`, the EIP to return to, is given, otherwise JMP.
  private func farQuickly(
    _ selector: UInt16, _ target: UInt32, _ is32: Bool, _ next: UInt32?, _ from: UInt32
  ) -> Bool {
    let eip = is32 ? target : target & 0xFFFF
    let cpl = s.pointee.cpl
    var code: Descriptor? = nil
    if realSegments {
      if eip > realCodeLimit { return false }
    } else {
      guard let d = codeQuickly(selector), Int(selector & 3) <= cpl, d.dpl == cpl, eip <= d.limit
      else { return false }
      code = d
    }
    if let next {
      let old = segmentPointer(SegmentRegister.cs).pointee.selector
      guard let frame = roomOnStack(is32 ? 8 : 4) else { return false }
      if is32 {
        frame.storeBytes(of: next, as: UInt32.self)
        frame.storeBytes(of: UInt32(old), toByteOffset: 4, as: UInt32.self)
      } else {
        frame.storeBytes(of: UInt16(truncatingIfNeeded: next), as: UInt16.self)
        frame.storeBytes(of: old, toByteOffset: 2, as: UInt16.self)
      }
      setStackPointer(gpr32[Register.esp] &- (is32 ? 8 : 4))
    }
    if let code {
      goTo(selector, code, cpl: cpl, eip, from)
    } else {
      goToReal(selector, eip, from)
    }
    return true
  }

  /// RET to the same level.
  private func farReturnQuickly(_ is32: Bool, _ pop: UInt32, _ from: UInt32) -> Bool {
    guard let frame = topOfStack(is32 ? 8 : 4) else { return false }
    let eip =
      is32 ? frame.loadUnaligned(as: UInt32.self) : UInt32(frame.loadUnaligned(as: UInt16.self))
    let selector = frame.loadUnaligned(fromByteOffset: is32 ? 4 : 2, as: UInt16.self)
    let cpl = s.pointee.cpl
    var code: Descriptor? = nil
    if realSegments {
      if eip > realCodeLimit { return false }
    } else {
      guard let d = codeQuickly(selector), Int(selector & 3) == cpl, d.dpl == cpl, eip <= d.limit
      else { return false }
      code = d
    }
    setStackPointer(gpr32[Register.esp] &+ (is32 ? 8 : 4) &+ pop)
    if let code {
      goTo(selector, code, cpl: cpl, eip, from)
    } else {
      goToReal(selector, eip, from)
    }
    return true
  }
}
