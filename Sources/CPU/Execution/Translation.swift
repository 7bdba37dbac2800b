// How translated code and the interpreter work together.
//
// Owns: what a translator must be able to do, the contexts code is made for, entering code, and the functions through which code has
// one instruction interpreted, a segment register loaded, a table entry made. Must not know: any host instruction.
//
// Between translated blocks the state is: general registers in host registers, arithmetic flags in `rawFlags`, EIP implied by the
// place, `budget` in a host register, everything else in `CPUState`. `retired` is `runEnd - budget`.

/// Makes host code of decoded blocks.
package protocol BlockTranslator: AnyObject {
  /// Makes code for a block that starts at `eip` in the present context and sets its `code`, `codeContext`, `codeEIP`.
  /// - Returns: false when it does not do so for now.
  func translate(_ block: BlockPointer, eip: UInt32) -> Bool
  /// Code of this number (`Block.codeNumber`) must not be entered any more.
  func dropped(_ number: Int)
  /// All blocks are gone.
  func reset()
  /// An exit of translated code (`CPU.linkRequest`) leads to this block from now on.
  func link(_ request: Int, to block: BlockPointer)
  /// Tags of code (`CPUState.codeTag`) begin anew: none that was kept may be found.
  func forgetPlaces()
  /// A window access (`CPUState.windowFault`) has faulted: that instruction does not use the window any more.
  func avoidWindow(_ fault: UInt64)
}

/// Enters translated code: the state and the address; returns `CodeExit`.
package typealias EnterCode =
  @convention(c) (UnsafeMutableRawPointer, UnsafeRawPointer) -> Int

/// What translated code returns with.
package enum CodeExit {
  /// Nothing special; EIP tells where to go on.
  package static let plain = 0
  /// The last instruction has raised an unmasked x87 exception.
  package static let fpuError = 1
  /// An exit that can be linked: this plus its number.
  package static let link = 16
}

/// What happened, for `--stats`.
package struct ExecutionStatistics {
  package var codeEntries = 0
  package var interpretedFromCode = 0
  /// Of those: raised an exception, were the first to leave the window at their place, wrote over decoded code.
  package var faultsFromCode = 0
  package var windowMisses = 0
  package var overwrites = 0
  /// Entries made in the tables of the fast path.
  package var tableFills = 0
  package var translatedBlocks = 0
  package var translatedInstructions = 0
  /// Time in HLT, counted in instructions.
  package var idleInstructions: UInt64 = 0
}

/// Bits of `CPUState.hostUnits`.
package enum HostUnits {
  /// The host's x87 holds the guest's, and all its exceptions are masked.
  package static let x87: UInt8 = 1
  /// The host's XMM0 to XMM7 and MXCSR hold the guest's, whose exceptions are all masked.
  package static let sse: UInt8 = 2
  /// The host's x87 holds the guest's.
  package static let x87Loaded: UInt8 = 4
}

extension CPU {
  /// Where `FPUState` follows `CPUState`, and behind it scratch memory for moving it to the host's units and back.
  package static let fpuOffset = 1024
  package static let unitScratchOffset = 1536
  package static let unitScratchSize = 1024
  /// `CPU.branchRing`, `branchIndex`, `farContexts`.
  package static let branchesOffset = 2560
  package static let branchIndexOffset = 2688
  package static let farContextsOffset = 2752
  /// Behind it where calls are expected to return to: for each 4 bytes of 256 KiB of stack the offset of a code place.
  package static let returnsOffset = 4096
  package static let returnsSize = 256 << 10

  package typealias LoadSegment = @convention(c) (UnsafeRawPointer, UInt32) -> UInt32
  package typealias UpdateContext = @convention(c) (UnsafeRawPointer) -> Void
  package typealias FillEntry = @convention(c) (UnsafeRawPointer, UInt32, UInt32) -> Int
  package typealias InterpretOne =
    @convention(c) (UnsafeRawPointer, UnsafeRawPointer, Int, UInt32) -> Int

  /// Gives the processor a translator.
  /// - Parameters:
  ///   - enter: leads into translated code.
  ///   - noCode: leads out of it again, given a linear address.
  ///   - enterWindow: sets the base of GS, or nil where that cannot be done.
  package func attach(
    _ translator: any BlockTranslator, enter: @escaping EnterCode, noCode: UnsafeRawPointer,
    enterWindow: (@convention(c) (UnsafeMutableRawPointer) -> Void)?
  ) {
    dropAllCode()
    self.translator = translator
    enterCode = enter
    blocks.noCode = noCode
    s.pointee.noCode = noCode
    if let enterWindow, let base = memory.openWindow() {
      windowBase = base
      self.enterWindow = enterWindow
    }
    updateCodeTag()
    blocks.clearLookaside()
    blocks.codeDropped = { [unowned self] in self.translator?.dropped(Int($0)) }
  }

  /// The key of code at a linear address now.
  package func codeKey(_ linear: LinearAddress) -> UInt64 { s.codeKey(linear.low) }

  /// The context of translated code now.
  package var codeContext: CodeContext { contexts.current }

  /// The number of the present context with another base of CS, for far transfers of translated code; nil where there is none.
  package func contextNumber(base: UInt32) -> UInt32? {
    var context = codeContext
    context.base = base
    return contexts.number(of: context).map { UInt32($0) }
  }

  /// What the present context has in common with those that differ in the base of CS alone, above a selector's 16 bits.
  package func familyKey() -> UInt32 { contexts.family(of: codeContext) << 16 }

  /// Where translated code finds the context of a selector: the key in the lower half, the number in the upper one.
  @inline(__always)
  package static func farContextIndex(_ selector: UInt16) -> Int {
    Int((UInt32(selector) &* 0x9E37) >> 10 & 63)
  }

  /// `codeTag` without the epoch.
  @inline(__always)
  package var contextNumber: UInt64 { s.pointee.codeTag & CPU.contextMask }
  package static var contextMask: UInt64 { CodeTag.contextMask }

  /// Epoch or context have changed: `codeTag` is made anew before it is used next.
  @inline(__always) func contextChanged() { s.pointee.codeTag = 0 }

  /// What distinguishes code lookups beside the linear address: epoch and context.
  @inline(never)
  package func updateCodeTag() {
    let cs = segmentPointer(SegmentRegister.cs)
    var context = CodeContext()
    context.base = cs.pointee.base
    context.limit = cs.pointee.limit
    context.flat = flatSegments
    context.cpl = UInt8(truncatingIfNeeded: s.pointee.cpl)
    context.mode = v86 ? .v86 : protectedMode ? .protected : .real
    context.decode = cs.pointee.decodeMode
    if s.pointee.eflags & EFLAGS.df != 0 { context.traits.insert(.down) }
    if segmentPointer(SegmentRegister.ss).pointee.isBig { context.traits.insert(.bigStack) }
    if s.pointee.cr0 & CR0.pg != 0 { context.traits.insert(.paged) }
    if a20Mask != 0xFFFF_FFFF { context.traits.insert(.a20Masked) }
    if management.isActive { context.traits.insert(.management) }
    if enterWindow != nil,
      context.traits.isDisjoint(with: [.paged, .a20Masked, .management]),
      s.pointee.readTable != tables.empty, !watching, !tracksWrites || memory.guardsWindow
    {
      context.traits.insert(.window)
    }
    if !contexts.use(context) {
      // Numbers start anew: nothing made for the old ones may be found.
      codeEpochChanged()
      blocks.clearLookaside()
      blocks.forgetContexts()
      farContexts.update(repeating: 0, count: 64)
    }
    let epoch = s.pointee.cpl == 3 ? userEpoch : supervisorEpoch
    s.pointee.codeTag = epoch << CodeTag.epochShift | contexts.number << CodeTag.contextShift
  }

  /// A segment register's cache has changed.
  @_transparent
  func noteSegmentChange(_ index: Int, flat: Bool) {
    guard index < 6 else { return }
    let bit: UInt8 = 1 << UInt8(index)
    let new = flat ? flatSegments | bit : flatSegments & ~bit
    if new != flatSegments || index == SegmentRegister.cs || index == SegmentRegister.ss {
      flatSegments = new
      contextChanged()
    }
  }

  // MARK: - Entering code

  /// The code of a block, if it has some for the present context; counts and translates otherwise.
  @inline(__always)
  func codeToEnter(
    _ block: BlockPointer, _ eip: UInt32, _ slot: UnsafeMutablePointer<BlockCache.Entry>
  ) -> UnsafeRawPointer? {
    // What is not remembered (breakpoints, code in devices) is met by the run loop each time.
    guard slot.pointee.block == block else {
      linkRequest = -1
      return nil
    }
    if let code = block.pointee.code, block.pointee.codeContext == contextNumber,
      block.pointee.codeEIP == eip
    {
      slot.pointee.code = code
      if linkRequest >= 0 {
        translator?.link(linkRequest, to: block)
        linkRequest = -1
      }
      return code
    }
    if block.pointee.others != nil,
      blocks.selectCode(block, context: contextNumber, eip: eip)
    {
      slot.pointee.code = block.pointee.code.unsafelyUnwrapped
      linkRequest = -1
      return block.pointee.code
    }
    linkRequest = -1
    block.pointee.heat &+= 1
    if block.pointee.heat == translationThreshold {
      heated(block, eip)
      // Tests run a block once: it runs as translated.
      if translationThreshold == 1, let code = block.pointee.code,
        block.pointee.codeContext == contextNumber, block.pointee.codeEIP == eip
      {
        slot.pointee.code = code
        return code
      }
    }
    return nil
  }

  @inline(never)
  private func heated(_ block: BlockPointer, _ eip: UInt32) {
    block.pointee.heat = 0
    guard block.pointee.byteLength != BlockCache.droppedLength else { return }
    blocks.stashCode(block)
    s.pointee.place = ExecutionPlace.translation
    // Far transfers of translated code change the tag alone.
    updateCodeTag()
    _ = translator?.translate(block, eip: eip)
    s.pointee.place = ExecutionPlace.interpreter
  }

  /// The block is translated again the next time it is met.
  package func reheat(_ block: BlockPointer) {
    block.pointee.heat = translationThreshold &- 1
  }

  /// Runs translated code until it leads out.
  func runCode(_ enter: EnterCode, _ code: UnsafeRawPointer, _ limit: UInt64) {
    let budget = Int64(min(limit, 1 << 40))
    s.pointee.budget = budget
    s.pointee.runEnd = s.pointee.retired &+ UInt64(budget)
    s.pointee.rawFlags = UInt16(truncatingIfNeeded: packedFlags)
    statistics.codeEntries &+= 1
    s.pointee.place = ExecutionPlace.code
    let exit = enter(UnsafeMutableRawPointer(s), code)
    s.pointee.place = ExecutionPlace.interpreter
    s.pointee.retired = s.pointee.runEnd &- UInt64(bitPattern: s.pointee.budget)
    unpackFlags()
    if exit >= CodeExit.link {
      linkRequest = exit - CodeExit.link
    } else if exit == CodeExit.fpuError && s.pointee.cr0 & CR0.ne == 0 {
      bus.ferr(true)
    }
  }

  /// The arithmetic flags as LAHF and SETO AL leave them in AX.
  @inline(__always)
  var packedFlags: UInt32 {
    let result = s.pointee.flagResult
    let aux = s.pointee.flagAux
    let odd = UInt32((UInt8(truncatingIfNeeded: result ^ aux >> 8).nonzeroBitCount & 1))
    return (aux >> 30 ^ aux >> 31) & 1 | 0x200
      | (aux >> 31) << 8 | (odd ^ 1) << 10 | (aux & 8) << 9 | (result == 0 ? 1 << 14 : 0)
      | ((result >> 31 ^ aux) & 1) << 15
  }

  @inline(__always)
  func unpackFlags() {
    let raw = UInt32(s.pointee.rawFlags)
    let zero = raw >> 14 & 1
    let carry = raw >> 8 & 1
    // Result 0 has even parity, result 1 odd.
    s.pointee.flagResult = zero ^ 1
    s.pointee.flagAux =
      carry << 31 | (carry ^ raw & 1) << 30 | (raw >> 12 & 1) << 3 | raw >> 15 & 1
      | ((raw >> 10 ^ zero) & 1) << 8
  }

  // MARK: - Called by translated code

  /// `interpretOne` as translated code calls it.
  static let interpretOneFunction: InterpretOne = { context, record, left, blockEIP in
    Unmanaged<CPU>.fromOpaque(context)._withUnsafeGuaranteedRef {
      $0.interpretOne(record.assumingMemoryBound(to: Instruction.self), left, blockEIP)
    }
  }

  /// `loadSegmentQuickly` as translated code calls it: the register's number is above the selector.
  static let loadSegmentFunction: LoadSegment = { context, request in
    Unmanaged<CPU>.fromOpaque(context)._withUnsafeGuaranteedRef {
      $0.loadSegmentQuickly(
        Int(request >> 16), UInt16(truncatingIfNeeded: request))
    }
  }

  /// `fillEntry` as translated code calls it.
  static let fillFunction: FillEntry = { context, linear, size in
    Unmanaged<CPU>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.fillEntry(linear, size) }
  }

  /// `updateCodeTag` as translated code calls it.
  static let updateContextFunction: UpdateContext = { context in
    Unmanaged<CPU>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.updateCodeTag() }
  }

  /// Makes a table entry for an access of translated code that found none.
  /// - Parameter size: of what is read in one page; 0 for a write.
  /// - Returns: the entry, or where it would have to be to reach what a device gave; not positive where the access has to be made by
  ///   the interpreter.
  private func fillEntry(_ linear: UInt32, _ size: UInt32) -> Int {
    let write = size == 0
    let table = write ? s.pointee.writeTable : s.pointee.readTable
    let index = Int(linear >> 12)
    // Debug registers, alignment checks.
    guard table != tables.empty, !watching else { return 0 }
    if tables.notes[index] & TranslationTables.Note.device != 0 {
      guard !write, let value = deviceData(linear, size) else { return 0 }
      s.pointee.deviceData = value
      let offset = MemoryLayout<CPUState>.offset(of: \.deviceData).unsafelyUnwrapped
      return Int(bitPattern: s) &+ offset &- Int(linear)
    }
    if table[index] != 0 { return write ? firstWrite(linear, table) : 0 }
    let before = CodeMoment(self)
    do throws(Fault) {
      _ = try translate(linear, write ? userAccess.union(.write) : userAccess)
    } catch {
      return 0
    }
    if s.pointee.codeTag == 0 { updateCodeTag() }
    if !before.keepsCode(self) {
      // The walk has marked a page table that is code as well: behind the instruction, nothing is as it was.
      fillDroppedCode = true
      return 0
    }
    return table[index]
  }

  /// A write entry that is there waits for the first write to its page since somebody has looked (WriteTracking.swift), or marks a page
  /// with code. The first write is noted here, before it is made.
  /// - Returns: what `fillEntry` returns.
  private func firstWrite(_ linear: UInt32, _ table: UnsafeMutablePointer<Int>) -> Int {
    let entry = table[Int(linear >> 12)] & Int.max
    guard let physical = memory.physical(ofHost: entry &+ Int(linear)) else { return 0 }
    let page = UInt32(truncatingIfNeeded: physical >> 12) & 0xFFFFFF
    switch memory.kinds[Int(page)] {
    case PhysicalMemory.Kind.ram: memory.dirty[Int(page)] = 0xFF
    case PhysicalMemory.Kind.direct: memory.noteDirectWrite(page: page)
    default: return 0
    }
    table[Int(linear >> 12)] = entry
    return entry
  }

  /// Loads ES, DS, FS or GS in protected mode when nothing stands against it and its descriptor can be read by the tables.
  /// - Returns: 0 when nothing was done; 1; or 2 when code for another context has to follow.
  private func loadSegmentQuickly(_ index: Int, _ selector: UInt16) -> UInt32 {
    if selector & 0xFFFC == 0 {
      setNullSegment(index, selector)
      return contextAfterLoad
    }
    guard let linear = descriptorAddress(selector), linear & 0xFFF <= 0xFF8 else { return 0 }
    let delta = tables.supervisorRead[Int(linear >> 12)]
    guard delta > 0, s.pointee.dr7 & 0xFF == 0,
      let p = UnsafeRawPointer(bitPattern: delta &+ Int(linear))
    else { return 0 }
    let d = Descriptor(p.loadUnaligned(as: UInt64.self))
    // Present and accessed.
    guard d.high & 0x8100 == 0x8100, d.isReadable,
      d.isConforming || (Int(selector & 3) <= d.dpl && s.pointee.cpl <= d.dpl)
    else { return 0 }
    setSegment(index, selector, d)
    return contextAfterLoad
  }

  @inline(__always)
  private var contextAfterLoad: UInt32 {
    if s.pointee.codeTag != 0 { return 1 }
    updateCodeTag()
    return 2
  }

  /// Interprets one instruction of a translated block.
  /// - Parameters:
  ///   - left: instructions of the block from this one on.
  ///   - blockEIP: EIP of the block's first instruction.
  /// - Returns: 0 to go on with the next instruction, 1 to leave, otherwise the address of the code to go on with.
  func interpretOne(_ record: Insn, _ left: Int, _ blockEIP: UInt32) -> Int {
    let s = self.s
    statistics.interpretedFromCode &+= 1
    let kind = record.pointee.flags & InstructionFlags.memory != 0 ? 1 : 0
    slowCounts[2 &* Int(record.pointee.entry) &+ kind] &+= 1
    s.pointee.place = ExecutionPlace.interpreter
    defer { s.pointee.place = ExecutionPlace.code }
    s.pointee.retired = s.pointee.runEnd &- UInt64(bitPattern: s.pointee.budget &+ Int64(left))
    s.pointee.blockEIP = blockEIP
    s.pointee.blockStart = record
    s.pointee.current = record
    s.pointee.end = record + 1
    s.pointee.eip = blockEIP &+ UInt32(record.pointee.nextOffset)
    // Where no flag is looked at or changed, they stay as translated code keeps them.
    let keepsFlags = record.pointee.handler.leavesFlags && debugEvents.isEmpty && !watching
    if !keepsFlags { unpackFlags() }
    let before = CodeMoment(self)
    var goesOn = record.pointee.flags & InstructionFlags.endsBlock == 0
    do throws(Fault) {
      try execute(record)
      s.pointee.retired &+= 1
      leaveBlock()
    } catch {
      statistics.faultsFromCode &+= 1
      if keepsFlags { unpackFlags() }
      s.pointee.eip = currentEIP
      s.pointee.retired &+= 1
      leaveBlock()
      deliverFault(error)
      goesOn = false
    }
    let windowFault = s.pointee.windowFault != 0
    if windowFault {
      statistics.windowMisses &+= 1
      translator?.avoidWindow(s.pointee.windowFault)
      s.pointee.windowFault = 0
    }
    if !keepsFlags { s.pointee.rawFlags = UInt16(truncatingIfNeeded: packedFlags) }
    if fillDroppedCode {
      fillDroppedCode = false
      return goOn(left, before, inBlock: goesOn, leave: true)
    }
    return goOn(left, before, inBlock: goesOn, leave: windowFault)
  }

  /// After an instruction of a translated block was carried out and counted: where its code goes on.
  /// - Parameters:
  ///   - left: instructions of the block with this one.
  ///   - before: how things were before the instruction.
  ///   - inBlock: with the next instruction of the block, when all is as it was.
  ///   - leave: in any case through the run loop.
  /// - Returns: what `interpretOne` returns.
  @inline(__always)
  func goOn(_ left: Int, _ before: CodeMoment, inBlock: Bool, leave: Bool) -> Int {
    let s = self.s
    if s.pointee.codeTag == 0 { updateCodeTag() }
    let deadline = s.pointee.deadline
    let retired = s.pointee.retired
    guard retired < deadline else {
      s.pointee.runEnd = retired
      s.pointee.budget = 0
      return 1
    }
    let budget = Int64(min(deadline &- retired, 1 << 40))
    s.pointee.runEnd = retired &+ UInt64(budget)
    s.pointee.budget = budget
    if !before.keepsCode(self) {
      statistics.overwrites &+= 1
      return 1
    }
    if leave || waits { return 1 }
    if inBlock && before.tag == s.pointee.codeTag {
      let rest = Int64(left &- 1)
      if budget < rest { return 1 }
      s.pointee.budget = budget &- rest
      return 0
    }
    return codeAtEIP
  }

  /// Set in the byte of `CPUState.pageNotes` for each linear page that probably leads to a device.
  package static let deviceNote = TranslationTables.Note.device

  /// Whether the run loop has something to look at; an interrupt that is held back by IF is none.
  @inline(__always)
  var waits: Bool {
    let attention = s.pointee.attention
    return attention != 0
      && (attention != Attention.intr || s.pointee.eflags & EFLAGS.if != 0)
  }

  /// Code for EIP in the present context, or 1.
  @inline(__always)
  var codeAtEIP: Int {
    let linear = segmentPointer(SegmentRegister.cs).pointee.base &+ s.pointee.eip
    let slot = blocks.slot(linear)
    if slot.pointee.tag == s.codeKey(linear), slot.pointee.code != blocks.noCode {
      return Int(bitPattern: slot.pointee.code)
    }
    return 1
  }
}

/// What translated code relies on while something else acts.
struct CodeMoment {
  let tag: UInt64
  /// Events that dropped blocks, so far.
  let drops: Int
  let deadline: UInt64

  @inline(__always)
  init(_ cpu: CPU) {
    tag = cpu.s.pointee.codeTag
    drops = cpu.blocks.invalidations &+ cpu.blocks.flushes
    deadline = cpu.s.pointee.deadline
  }

  /// Whether no block was dropped.
  @inline(__always)
  func keepsCode(_ cpu: CPU) -> Bool { drops == cpu.blocks.invalidations &+ cpu.blocks.flushes }

  /// Whether everything but the deadline is as it was and nothing waits.
  @inline(__always)
  func isPresent(_ cpu: CPU) -> Bool {
    tag == cpu.s.pointee.codeTag && keepsCode(cpu) && !cpu.waits
  }
}

extension CPU {
  /// Code for a linear address in the present or another context is not found any more.
  package func forgetCode(_ linear: LinearAddress, _ code: UnsafeRawPointer) {
    let slot = blocks.slot(linear.low)
    if slot.pointee.code == code { slot.pointee.code = blocks.noCode }
  }

  /// One version of a block's code must not be entered any more; false when the block does not have it.
  package func dropCode(_ block: BlockPointer, number: Int) -> Bool {
    blocks.dropCode(block, number: Int32(truncatingIfNeeded: number))
  }

  /// Looks at the instructions at an offset in a block's page, until `verdict` has one. A true verdict makes the block depend on the
  /// bytes looked at: writes to them drop it.
  package func scanCode(
    _ block: BlockPointer, at offset: UInt32, _ verdict: (Instruction) -> Bool?
  ) -> Bool {
    let page = UInt32(truncatingIfNeeded: block.pointee.physical >> 12)
    guard let host = memory.fetchPointer(page: page) else { return false }
    let code = host.assumingMemoryBound(to: UInt8.self)
    var at = offset & 0xFFF
    for _ in 0..<8 {
      var i = Instruction()
      let room = Int(0x1000 - at)
      if room <= 0 { return false }
      guard decoder.decode(code + Int(at), count: room, mode: block.pointee.mode, into: &i) == .ok
      else { return false }
      at += UInt32(i.length)
      if i.handler == .ud || i.handler == .lengthFault { return false }
      if let answer = verdict(i) {
        if answer {
          let granules = PhysicalMemory.granuleMask(
            offset: offset & 0xFFF, count: at - (offset & 0xFFF))
          block.pointee.granules |= granules
          block.pointee.scanned |= granules
          // The page holds the block, so its writes are seen already.
          _ = memory.markCode(page: page, granules: granules)
        }
        return answer
      }
    }
    return false
  }
}
