// The run loop: finds blocks, executes records, counts, looks at interrupts between blocks.
//
// Owns: the order in which pending things are taken, exact counting on every path, fetching and decoding of code.
// Must not know: what instructions do, any device.
// Follows: Intel SDM volume 3, section 6.9 (priority among simultaneous events), 6.8.3 (interrupt shadow), 17.3 (single step).

/// Why `CPU.run` came back.
public enum RunExit: Equatable, Sendable {
  /// The deadline is reached.
  case deadline
  /// `requestStop` was called.
  case stopRequested
  /// HLT, and nothing deliverable is pending.
  case halted
  /// Triple fault.
  case shutdown
  /// The next instruction, at this linear address, has a breakpoint (`CPU.debugConditions`).
  case breakpoint(UInt32)
  /// A watched byte was accessed; `CPU.takeDebugRecords` tells more.
  case watchpoint
  /// Another event of `CPU.debugConditions` happened; `CPU.takeDebugRecords` tells more.
  case debugEvent
}

extension CPU {
  /// Executes until the deadline (`setDeadline`) or until something needs the machine.
  public func run() -> RunExit {
    let s = self.s
    if let enterWindow { enterWindow(windowBase) }
    memory.show(inManagement: management.isActive)
    while true {
      if s.pointee.retired >= s.pointee.deadline {
        return s.pointee.attention & Attention.debugger != 0 ? takeDebugExit() : .deadline
      }
      let shadow = s.pointee.attention & Attention.shadow
      var limit = s.pointee.deadline &- s.pointee.retired
      var stepping = false
      var trapped = false
      if s.pointee.attention != 0 {
        switch attend() {
        case .proceed: break
        case .again: continue
        case .step(let trap):
          limit = 1
          stepping = true
          trapped = trap
        case .exit(let exit): return exit
        }
      }
      if s.pointee.codeTag == 0 { updateCodeTag() }
      let cs = segmentPointer(SegmentRegister.cs)
      let eip = s.pointee.eip
      let linear = cs.pointee.base &+ eip
      let slot = blocks.slot(linear)
      var block: BlockPointer
      if slot.pointee.tag == s.codeKey(linear),
        let found = slot.pointee.block,
        Int64(eip) &+ found.pointee.byteLength &- 1 <= Int64(cs.pointee.limit)
      {
        block = found
      } else {
        do throws(Fault) {
          block = try fetchBlock(linear)
        } catch {
          s.pointee.retired &+= 1
          deliverFault(error)
          continue
        }
        if hasCodeBreakpoints, let exit = breakpointExit(linear, block) {
          s.pointee.attention |= shadow
          return exit
        }
        // The walk to the code wrote watched bytes.
        if watching, s.pointee.attention & Attention.debugger != 0 {
          s.pointee.attention |= shadow
          continue
        }
      }
      let start = UnsafePointer(block.pointee.records)
      let count = Int(block.pointee.count)
      if let enterCode, !stepping, limit >= UInt64(count) {
        if let code = codeToEnter(block, eip, slot) {
          runCode(enterCode, code, limit)
          continue
        }
      }
      if limit >= UInt64(count), !stepping {
        if block.pointee.flatness & ~flatness != 0 { blocks.loosen(block, flatness: flatness) }
        do throws(Fault) {
          try runBlocks(block, eip)
        } catch {
          faulted(error)
        }
        continue
      }
      let stop = start + (limit < UInt64(count) ? Int(limit) : count)
      trail[trailIndex & 31] = linear
      trailIndex = trailIndex &+ 1
      // RF holds breakpoints back for this one instruction; what the instruction itself loads into it stays.
      let resumed = stepping && s.pointee.eflags & EFLAGS.rf != 0
      if resumed { s.pointee.eflags &= ~EFLAGS.rf }
      s.pointee.blockEIP = eip
      s.pointee.blockStart = start
      s.pointee.end = stop
      s.pointee.eip = eip &+ UInt32(truncatingIfNeeded: block.pointee.byteLength)
      do throws(Fault) {
        let p = try executeRecords(start)
        s.pointee.retired &+= UInt64(p - start)
        if p != start + count {
          s.pointee.eip = eip &+ UInt32((p - 1).pointee.nextOffset)
        }
        leaveBlock()
        if resumed {
          // A repetition that goes on keeps RF.
          if s.pointee.eip == eip && ((p - 1).pointee.hasRep || (p - 1).pointee.hasRepne) {
            s.pointee.eflags |= EFLAGS.rf
          }
          updateMode()
        }
        if stepping { afterStep(trapped, p - 1) }
      } catch {
        faulted(error)
      }
    }
  }

  /// The instruction at `current` has faulted.
  @inline(never)
  private func faulted(_ fault: Fault) {
    s.pointee.eip = currentEIP
    // A fault counts one, so that a handler that faults for ever still lets time pass.
    s.pointee.retired &+= UInt64(s.pointee.current - s.pointee.blockStart) &+ 1
    leaveBlock()
    deliverFault(fault)
  }

  /// Executes records up to `end`, which they may lower. `current` is the one that faulted.
  /// - Returns: the record behind the last.
  @inline(never)
  func executeRecords(_ start: Insn) throws(Fault) -> Insn {
    let s = self.s
    var p = start
    repeat {
      s.pointee.current = p
      try executeOne(p)
      p += 1
    } while p < s.pointee.end
    return p
  }

  private enum Attended {
    case proceed
    case again
    /// Run one instruction; whether a single-step trap follows.
    case step(Bool)
    case exit(RunExit)
  }

  /// Takes what is pending before an instruction, most urgent first.
  private func attend() -> Attended {
    let attention = s.pointee.attention
    if attention & Attention.debugger != 0 { return .exit(takeDebugExit()) }
    if s.pointee.shutdown {
      s.pointee.attention &= ~Attention.stop
      return .exit(.shutdown)
    }
    if attention & Attention.stop != 0 {
      s.pointee.attention &= ~Attention.stop
      return .exit(.stopRequested)
    }
    let trapFlag = s.pointee.eflags & EFLAGS.tf != 0
    if attention & Attention.shadow != 0 {
      s.pointee.attention &= ~Attention.shadow
      if s.pointee.pendingDebug == 0 || s.pointee.shadowHoldsTraps {
        return .step(trapFlag)
      }
    }
    if attention & Attention.smi != 0 {
      if hasCodeBreakpoints { noteInterruption(counted: 0) }
      s.pointee.retired &+= 1
      enterManagementMode()
      return .again
    }
    if s.pointee.pendingDebug != 0 {
      s.pointee.retired &+= 1
      deliverDebugTrap()
      return .again
    }
    if attention & Attention.nmi != 0 && !s.pointee.nmiBlocked {
      s.pointee.attention &= ~Attention.halted
      if hasCodeBreakpoints { noteInterruption(counted: 0) }
      s.pointee.retired &+= 1
      deliverNMI()
      return .again
    }
    if attention & Attention.intr != 0 && interruptsEnabled {
      s.pointee.attention &= ~Attention.halted
      if hasCodeBreakpoints { noteInterruption(counted: 0) }
      s.pointee.retired &+= 1
      deliverExternalInterrupt(vector: bus.acknowledgeInterrupt())
      return .again
    }
    if s.pointee.halted { return .exit(.halted) }
    s.pointee.attention &= ~Attention.halted
    if attention & Attention.breakpoints != 0 {
      let linear = segmentPointer(SegmentRegister.cs).pointee.base &+ s.pointee.eip
      do throws(Fault) {
        try checkInstructionBreakpoints(linear)
      } catch {
        s.pointee.retired &+= 1
        deliverFault(error)
        return .again
      }
      return .step(trapFlag)
    }
    if trapFlag || s.pointee.eflags & EFLAGS.rf != 0 { return .step(trapFlag) }
    return .proceed
  }

  /// Whether a maskable interrupt is taken now.
  @inline(__always)
  private var interruptsEnabled: Bool { s.pointee.eflags & EFLAGS.if != 0 }

  /// After one instruction that ran with TF set: the trap comes before the next one, unless the instruction called a handler itself.
  private func afterStep(_ trapped: Bool, _ i: Insn) {
    guard trapped else { return }
    switch i.pointee.op {
    case .int3, .int, .into, .int1: if s.pointee.eflags & EFLAGS.tf == 0 { return }
    default: break
    }
    s.pointee.pendingDebug |= 1 << 14
    s.pointee.attention |= Attention.trap
  }

  // MARK: - Fetching

  /// The physical page of a linear page of code.
  private func codePage(_ linear: Linear) throws(Fault) -> UInt32 {
    let tag = s.codeKey(linear & 0xFFFF_F000)
    if let page = blocks.cachedPage(tag, linear) { return page }
    let page = UInt32(truncatingIfNeeded: try translate(linear, userAccess) >> 12)
    blocks.cachePage(tag, linear, page)
    noteCodePage(linear, physicalPage: page)
    return page
  }

  /// Finds or decodes the block at a linear address.
  /// - Throws: #GP when EIP is outside the segment, #PF.
  @inline(never)
  private func fetchBlock(_ linear: Linear) throws(Fault) -> BlockPointer {
    if contexts.restarts != knownRestarts {
      knownRestarts = contexts.restarts
      dropAllCode()
    }
    let cs = segmentPointer(SegmentRegister.cs).pointee
    let eip = s.pointee.eip
    guard eip <= cs.limit else { throw .gp(0) }
    let page = try codePage(linear)
    let physical = Physical(page) << 12 | Physical(linear & 0xFFF)
    // What is fetched from the video memory is no block; those there are of SMRAM.
    let isVideo = ShadowPages.isVideo(page) && !memory.fetchesRAM(page: page)
    var known =
      isVideo ? nil : blocks.find(physical: physical, mode: cs.decodeMode, secondPage: nil)
    // Blocks that cross start in a page's last bytes. Only a look: what is decoded already must not show in accessed bits, so the
    // second page is reached for when it is known that the instruction goes there.
    if known == nil, !isVideo, linear & 0xFFF > 0xFF0,
      let second = peekPhysical((linear & 0xFFFF_F000) &+ 0x1000),
      let crossing = blocks.find(
        physical: physical, mode: cs.decodeMode,
        secondPage: UInt32(truncatingIfNeeded: second >> 12)),
      Int64(eip) &+ crossing.pointee.byteLength &- 1 <= Int64(cs.limit),
      try codePage((linear & 0xFFFF_F000) &+ 0x1000) == UInt32(truncatingIfNeeded: second >> 12)
    {
      known = crossing
    }
    if let block = known,
      Int64(eip) &+ block.pointee.byteLength &- 1 <= Int64(cs.limit)
    {
      remember(block, at: linear)
      return block
    }
    let isFull = blocks.isFull
    if isFull { decodeDepth.arenasFilled(at: s.pointee.retired, used: blocks.used) }
    if isFull || memory.isWindowFragmented
      || decodeDepth.deepens(at: s.pointee.retired, used: blocks.used)
    {
      dropAllCode()
      if memory.isWindowFragmented { memory.joinWindow() }
    }
    return try decodeBlock(linear: linear, page: page, cs)
  }

  /// Enters a block into the lookaside, unless arriving at it must be seen.
  @inline(__always)
  private func remember(_ block: BlockPointer, at linear: Linear) {
    if hasCodeBreakpoints && holdsBreakpoint(linear, block) { return }
    blocks.slot(linear).pointee = BlockCache.Entry(
      tag: s.codeKey(linear), block: block, code: blocks.noCode)
  }

  /// Decodes a block; makes it known unless it cannot be kept (code in devices, blocks cut by the segment limit).
  private func decodeBlock(linear: Linear, page: UInt32, _ cs: SegmentCache) throws(Fault)
    -> BlockPointer
  {
    let offset = linear & 0xFFF
    let limitRoom = UInt64(cs.limit) - UInt64(s.pointee.eip) + 1
    let records = blocks.nextRecords
    guard let host = memory.fetchPointer(page: page) else {
      return try decodeOne(linear: linear, page: page, cs, limitRoom, keep: false)
    }
    let code = host.assumingMemoryBound(to: UInt8.self)
    let room = Int(min(UInt64(0x1000 - offset), limitRoom))
    var at = 0
    var count = 0
    let physical = Physical(page) << 12 | Physical(offset)
    if enterCode != nil, blocks.isFleeting(physical: physical, mode: cs.decodeMode) {
      let result = decoder.decode(
        UnsafePointer(code + Int(offset)), count: room, mode: cs.decodeMode, into: &records[0])
      if result != .needMore {
        HandlerForms.reset(records)
        let length = Int(records[0].length)
        records[0].nextOffset = UInt16(length)
        if hasPeers {
          _ = noteWaitLoop(records, code, end: offset &+ UInt32(length), mode: cs.decodeMode)
        }
        return blocks.fleeting(
          physical: physical, mode: cs.decodeMode, byteLength: length, flatness: flatness)
      }
    }
    let former = blocks.formerRecords(physical: physical, mode: cs.decodeMode)
    let limit = min(blockLimit, decodeDepth.limit)
    while count < limit && at < room {
      let bytes = UnsafePointer(code + Int(offset) + at)
      if !former.reuse(count, at: at, bytes, room: room - at, into: records) {
        let result = decoder.decode(
          bytes, count: room - at, mode: cs.decodeMode, into: &records[count])
        if result == .needMore { break }
      }
      HandlerForms.reset(records + count)
      if hasCodeBreakpoints, count > 0,
        startsBlock(
          offset: offset &+ UInt32(at), physical: physical &+ Physical(at),
          records[count])
      {
        break
      }
      at += Int(records[count].length)
      records[count].nextOffset = UInt16(at)
      count += 1
      if records[count - 1].flags & InstructionFlags.endsBlock != 0 { break }
    }
    if count == 0 {
      return try decodeOne(linear: linear, page: page, cs, limitRoom, keep: true)
    }
    var granules = PhysicalMemory.granuleMask(offset: offset, count: UInt32(at))
    var scanned: UInt64 = 0
    let end = offset &+ UInt32(at)
    if hasPeers,
      let start = noteWaitLoop(records + (count - 1), code, end: end, mode: cs.decodeMode),
      start < offset
    {
      scanned = PhysicalMemory.granuleMask(offset: start, count: end &- start)
      granules |= scanned
    }
    let block = blocks.insert(
      physical: physical, mode: cs.decodeMode, count: count, byteLength: at, granules: granules,
      secondPage: UInt32.max, bytes: UnsafePointer(code + Int(offset)), flatness: flatness)
    block.pointee.scanned = scanned
    holdCode(page: page, granules: granules)
    remember(block, at: linear)
    return block
  }

  /// Decodes one instruction that crosses a page, runs into the segment limit, or lies in a device.
  private func decodeOne(
    linear: Linear, page: UInt32, _ cs: SegmentCache, _ limitRoom: UInt64, keep: Bool
  ) throws(Fault) -> BlockPointer {
    let offset = linear & 0xFFF
    let records = blocks.nextRecords
    var secondPage = UInt32.max
    var length = 0
    let first = Int(0x1000 - offset)
    let pageOne = page
    try withUnsafeTemporaryBytes { (bytes) throws(Fault) in
      var have = 0
      let allowed = Int(min(limitRoom, UInt64(Decoder.maximumLength)))
      func load(upTo count: Int, _ second: UInt32) {
        while have < count {
          let physical =
            have < first
            ? Physical(pageOne) << 12 | Physical(offset &+ UInt32(have))
            : Physical(second) << 12 | Physical(have - first)
          bytes[have] = memory.fetchByte(physical)
          have += 1
        }
      }
      load(upTo: min(allowed, first), 0)
      var result = decoder.decode(
        UnsafePointer(bytes), count: have, mode: cs.decodeMode, into: &records[0])
      if result == .needMore {
        if have == allowed { throw .gp(0) }
        secondPage = try codePage((linear & 0xFFFF_F000) &+ 0x1000)
        load(upTo: allowed, secondPage)
        result = decoder.decode(
          UnsafePointer(bytes), count: have, mode: cs.decodeMode, into: &records[0])
        if result == .needMore { throw .gp(0) }
      }
      length = Int(records[0].length)
    }
    HandlerForms.reset(records)
    records[0].nextOffset = UInt16(length)
    // Nothing tells of writes to a device, and what is seen in place of the video memory depends on who looks: such a block serves once.
    if !keep || secondPage != UInt32.max && ShadowPages.isVideo(secondPage) {
      return blocks.fleeting(
        physical: Physical(page) << 12 | Physical(offset), mode: cs.decodeMode, byteLength: length,
        flatness: flatness)
    }
    let granules = PhysicalMemory.granuleMask(
      offset: offset, count: UInt32(min(length, first)))
    let block = blocks.insert(
      physical: Physical(page) << 12 | Physical(offset), mode: cs.decodeMode, count: 1,
      byteLength: length,
      granules: granules, secondPage: secondPage, bytes: nil, flatness: flatness)
    holdCode(page: page, granules: granules)
    if secondPage != UInt32.max { holdCode(page: secondPage, granules: 1) }
    remember(block, at: linear)
    return block
  }

  private func withUnsafeTemporaryBytes(
    _ body: (UnsafeMutablePointer<UInt8>) throws(Fault) -> Void
  ) throws(Fault) {
    var buffer: (UInt64, UInt64) = (0, 0)
    var fault: Fault? = nil
    withUnsafeMutableBytes(of: &buffer) { raw in
      do throws(Fault) {
        try body(raw.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
      } catch {
        fault = error
      }
    }
    if let fault { throw fault }
  }

  // MARK: - Code and writes

  /// Marks decoded bytes so that writes to them are seen.
  private func holdCode(page: UInt32, granules: UInt64) {
    guard memory.fetchesRAM(page: page) else { return }
    let first = !memory.hasCode(page: page)
    if !memory.markCode(page: page, granules: granules) {
      // Writes through the window would not be seen: all goes through the tables from now on.
      enterWindow = nil
      updateCodeTag()
    }
    if first, let host = memory.fetchPointer(page: page) {
      memory.forEachProcessor {
        $0.tables.protectWrites(
          to: Int(bitPattern: host), physical: page, only: $0.onlyLinearPage(page))
        $0.asideTables?.protectWrites(
          to: Int(bitPattern: host), physical: page, only: $0.onlyAsidePage(page))
      }
    }
  }

  /// Without paging, the linear page that entries to a physical one are at (with A20 masked, the one above it too).
  @inline(__always)
  func onlyLinearPage(_ page: UInt32) -> UInt32? {
    s.pointee.cr0 & CR0.pg == 0 ? page : nil
  }

  /// A page holds no code any more: its write entries take the fast path again.
  func unprotectWrites(page: UInt32) {
    if memory.isRAMPage(page), let host = memory.readPointer(page: page) {
      tables.unprotectWrites(
        to: Int(bitPattern: host), physical: page, only: onlyLinearPage(page))
      asideTables?.unprotectWrites(
        to: Int(bitPattern: host), physical: page, only: onlyAsidePage(page))
    }
  }

  /// Drops all decoded code. A running block may finish its current instruction: its records stay until the next block is decoded.
  package func dropAllCode() {
    translator?.reset()
    linkRequest = -1
    blocks.removeAll { self.memory.codeDropped($0, by: self) }
    codeEpochChanged()
  }

  /// The physical map changed: every translation and all code of changed pages is stale.
  func memoryMapChanged() {
    dropAllCode()
    flushTLB()
    stopAfterCurrent()
  }

  /// Skips idle time: the processor is halted until `count`.
  public func advanceIdle(to count: UInt64) {
    guard count > s.pointee.retired else { return }
    statistics.idleInstructions &+= count &- s.pointee.retired
    s.pointee.retired = count
  }
}
