// The processor: its state, what it is connected to, reset, and what follows from a change of mode.
//
// Owns: construction, reset, the derived state (fast-path tables, segment limits, attention bits). Must not know: any device.
// Follows: Intel SDM volume 3, chapter 9 (state after reset), section 5.1 (when protection applies).

import Bus
import Host
@_exported import X86ISA

@_exported import struct Bus.LinearAddress
@_exported import struct Bus.PhysicalAddress

/// An x86 processor with its memory management, interpreter and x87.
public final class CPU {
  /// The model being emulated.
  public let model: CPUModel
  /// EFLAGS bits the model has.
  let implementedFlags: UInt32
  /// Which of the machine's it is; 0 starts first. The power-on ID of its APIC.
  public let number: Int
  /// Physical memory.
  public let memory: PhysicalMemory
  /// The rest of the machine.
  public let bus: SystemBus
  /// The architectural state.
  public let s: UnsafeMutablePointer<CPUState>
  /// The x87 state.
  let fpu: UnsafeMutablePointer<FPUState>
  /// General registers as 32-bit words; the first field of `s`.
  let gpr32: UnsafeMutablePointer<UInt32>
  /// The flat translation tables.
  var tables: TranslationTables
  /// In system management mode those from before it; see ManagementTables.swift.
  var asideTables: TranslationTables?
  /// Those of system management mode, once it was entered.
  var managementTables: TranslationTables?
  /// `DebugHooks.held` of `asideTables`.
  var asideHeld: [UInt32: HeldTranslation] = [:]
  /// System management mode: whether, and what outlasts it.
  var management = ManagementState()
  /// What of physical memory this processor sees.
  var view: ProcessorView
  /// CR0.AM and EFLAGS.AC at CPL 3.
  var alignmentChecked = false
  /// MSRs with plain storage and no effect here (APIC base, MTRRs, microcode, ...), by number.
  var msrs: [UInt32: UInt64] = [:]
  /// TR3 to TR7 of the 386 and 486; plain storage.
  var testRegisters = [UInt32](repeating: 0, count: 8)
  /// A task switch has gone past the point where faults belong to the new task.
  var taskSwitchCommitted = false
  /// The event being delivered pushes EFLAGS with RF set (faults do).
  var faultRF = false
  /// Decoded blocks.
  package let blocks: BlockCache
  /// The last control transfers (from, to), for reports; see `recordBranch`.
  let branchRing: UnsafeMutablePointer<(from: UInt32, to: UInt32)>
  /// Where the next one goes, below 16; translated code moves it on, too.
  let branchIndex: UnsafeMutablePointer<UInt32>
  /// By a hash of the selector: what translated code knows of contexts that differ in the base of CS alone; see QuickTransfers.swift.
  let farContexts: UnsafeMutablePointer<UInt64>
  /// Linear addresses of the last 32 blocks run, for reports; not part of saved states.
  let trail: UnsafeMutablePointer<UInt32>
  var trailIndex = 0
  /// The decoder for this model.
  let decoder: Decoder
  /// The guest has written the time-stamp counter; whose turn it is asks and clears it.
  public var timeStampsWritten = false
  /// Others may take turns with this processor, so that PAUSE means something (`CPUState.givesWay`); set before it executes anything.
  public var hasPeers = false
  /// The last instruction gives the turn away; whose turn it is asks and clears it.
  public var gaveWay = false
  /// It was PAUSE, or the jump of a loop that waits; cleared with it.
  public var waited = false
  /// Where `s` and `fpu` are.
  private let stateRegion: HostMemory
  /// Makes host code of blocks; nil when only the interpreter works.
  package internal(set) var translator: (any BlockTranslator)?
  /// Enters translated code; nil without a translator.
  var enterCode: EnterCode?
  /// The exit of translated code that asks to be linked to the next block entered, or -1.
  var linkRequest = -1
  /// How often a block is interpreted before it is translated.
  package var translationThreshold: UInt32 = 24 {
    didSet { blocks.rebirthPatience = translationThreshold == 1 ? 0 : 24 }
  }
  /// What translated code may rely on, by number; see `updateCodeTag`.
  var contexts = CodeContexts()
  /// Bits of `CodeContext.flat` for ES, CS, SS, DS, FS, GS.
  var flatSegments: UInt8 = 0
  /// Written pages are being kept track of: all writes must go through the tables.
  var tracksWrites = false {
    didSet { s.pointee.tracksWrites = tracksWrites }
  }
  /// Sets the base of GS to the window for this thread; nil without a window.
  var enterWindow: (@convention(c) (UnsafeMutableRawPointer) -> Void)?
  var windowBase = UnsafeMutableRawPointer(bitPattern: 1)!
  /// What happened while translated code ran.
  package var statistics = ExecutionStatistics()
  /// Instructions that translated code left to the interpreter: two numbers for each entry of the opcode table, without and with a
  /// memory operand.
  let slowCounts: UnsafeMutablePointer<UInt64>
  /// Instructions in a block at most; less than the usual number narrows a fault of the translator down.
  package var blockLimit = BlockCache.maximumCount
  var decodeDepth = DecodeDepth()
  /// Number states of translation, below CPL 3 and at CPL 3; part of `codeTag`.
  var supervisorEpoch: UInt64 = 1
  var userEpoch: UInt64 = 2
  /// What is known of code when CR3 has a value again.
  var spaces = AddressSpaces()
  /// What a debugger waits for, and the words that say cheaply whether it does; see DebugHooks.swift.
  let debug = DebugHooks()
  var debugEvents: DebugEvents = [] {
    didSet { s.pointee.hasEvents = !debugEvents.isEmpty }
  }
  var hasCodeBreakpoints = false
  /// `CodeContexts.restarts` for which code was dropped.
  var knownRestarts = 0
  /// Making a table entry for translated code has dropped code.
  var fillDroppedCode = false
  var watching = false
  /// x87 instructions are carried out in portable software also where the host's own x87 could do it; set before a translator is
  /// attached.
  public var softwareFPU = false
  /// A record that decodes to nothing; where `current` points outside of blocks.
  let idle: UnsafeMutablePointer<Instruction>

  /// - Throws: `HostError` when the host has no memory for the tables.
  public init(model: CPUModel, memory: PhysicalMemory, bus: SystemBus, number: Int = 0)
    throws(HostError)
  {
    self.model = model
    self.number = number
    implementedFlags = EFLAGS.implemented(by: model)
    self.memory = memory
    self.bus = bus
    view = ProcessorView(memory)
    tables = try TranslationTables(pages: memory.pageCount)
    idle = UnsafeMutablePointer<Instruction>.allocate(capacity: 1)
    idle.initialize(to: Instruction())
    // One piece of memory, so that translated code reaches both from one register.
    precondition(MemoryLayout<CPUState>.size <= CPU.fpuOffset)
    precondition(MemoryLayout<FPUState>.size <= CPU.unitScratchOffset - CPU.fpuOffset)
    stateRegion = try HostMemory(count: CPU.returnsOffset + CPU.returnsSize)
    let raw = stateRegion.base
    s = raw.bindMemory(to: CPUState.self, capacity: 1)
    s.initialize(
      to: CPUState(
        current: UnsafePointer(idle), end: UnsafePointer(idle), blockStart: UnsafePointer(idle),
        readTable: tables.supervisorRead, writeTable: tables.supervisorWrite,
        interpretOne: CPU.interpretOneFunction))
    branchRing = (raw + CPU.branchesOffset).bindMemory(
      to: (from: UInt32, to: UInt32).self, capacity: 16)
    branchIndex = (raw + CPU.branchIndexOffset).bindMemory(to: UInt32.self, capacity: 1)
    farContexts = (raw + CPU.farContextsOffset).bindMemory(to: UInt64.self, capacity: 64)
    fpu = (raw + CPU.fpuOffset).bindMemory(to: FPUState.self, capacity: 1)
    fpu.initialize(to: FPUState())
    gpr32 = UnsafeMutableRawPointer(s).assumingMemoryBound(to: UInt32.self)
    precondition(MemoryLayout<CPUState>.offset(of: \CPUState.segments) == 64)
    precondition(MemoryLayout<SegmentCache>.stride == 32)
    precondition(MemoryLayout<FPUState>.offset(of: \FPUState.xmm) == 128)
    blocks = try BlockCache()
    decoder = Decoder(features: model.features)
    s.pointee.lookaside = UnsafeRawPointer(blocks.lookaside)
    let entries = OpcodeTable.shared.entries.count
    slowCounts = .allocate(capacity: 2 * entries)
    slowCounts.initialize(repeating: 0, count: 2 * entries)
    trail = .allocate(capacity: 32)
    trail.initialize(repeating: 0, count: 32)
    s.pointee.context = UnsafeRawPointer(Unmanaged.passUnretained(self).toOpaque())
    memory.attach(self)
    reset()
  }

  deinit {
    if memory.processorCount > 1 { dropAllCode() }
    memory.detach(self)
    idle.deallocate()
    trail.deallocate()
    slowCounts.deallocate()
    contexts.deallocate()
  }

  // MARK: - Registers

  /// A segment register's cache.
  @inline(__always)
  func segmentPointer(_ index: Int) -> UnsafeMutablePointer<SegmentCache> {
    (UnsafeMutableRawPointer(s) + (64 &+ (index & 7) &* 32)).assumingMemoryBound(
      to: SegmentCache.self)
  }

  /// A segment register (numbers of `SegmentRegister`, TR and LDTR included).
  public subscript(segment index: Int) -> SegmentCache {
    get { segmentPointer(index).pointee }
    set {
      segmentPointer(index).pointee = newValue
      updateSegmentLimits(index)
      if index == SegmentRegister.cs || index == SegmentRegister.ss { updateMode() }
    }
  }

  /// A general register, 32 bits (numbers of `Register`).
  public subscript(_ register: Int) -> UInt32 {
    get { gpr32[register & 7] }
    set { gpr32[register & 7] = newValue }
  }

  /// Register operand by file offset, of any size.
  @inline(__always)
  func reg<T: FixedWidthInteger>(_ offset: UInt8) -> T {
    UnsafeRawPointer(s).load(fromByteOffset: Int(offset), as: T.self)
  }
  @inline(__always)
  func setReg<T: FixedWidthInteger>(_ offset: UInt8, _ value: T) {
    UnsafeMutableRawPointer(s).storeBytes(of: value, toByteOffset: Int(offset), as: T.self)
  }

  /// EIP of the instruction being executed, or of the next one between blocks.
  public var currentEIP: UInt32 {
    if s.pointee.current == UnsafePointer(idle) { return s.pointee.eip }
    let i = s.pointee.current.pointee
    return s.pointee.blockEIP &+ UInt32(i.nextOffset) &- UInt32(i.length)
  }

  /// EIP after the instruction being executed.
  var nextEIP: UInt32 { s.pointee.blockEIP &+ UInt32(s.pointee.current.pointee.nextOffset) }

  /// Instructions retired so far, exact also in the middle of a block.
  public var instructionCount: UInt64 {
    if s.pointee.current == UnsafePointer(idle) { return s.pointee.retired }
    return s.pointee.retired &+ UInt64(s.pointee.current - s.pointee.blockStart)
  }

  /// `instructionCount` as a place in memory, for clocks that are asked often. Good while the processor exists.
  public var instructionCounter: InstructionCounter {
    let raw = UnsafeRawPointer(s)
    func place<T>(_ field: PartialKeyPath<CPUState>, _: T.Type) -> UnsafePointer<T> {
      (raw + MemoryLayout<CPUState>.offset(of: field)!).assumingMemoryBound(to: T.self)
    }
    precondition(MemoryLayout<Instruction>.stride == 1 << 5)
    // Between blocks both point at the same record.
    return InstructionCounter(
      retired: place(\.retired, UInt64.self), current: place(\.current, UInt.self),
      start: place(\.blockStart, UInt.self), shift: 5)
  }

  /// Leaves the block: nothing is being executed.
  @inline(__always) func leaveBlock() {
    s.pointee.current = UnsafePointer(idle)
    s.pointee.blockStart = UnsafePointer(idle)
  }

  /// Makes the running block stop after the current instruction.
  @inline(__always) func stopAfterCurrent() {
    if s.pointee.current < s.pointee.end { s.pointee.end = s.pointee.current + 1 }
  }

  // MARK: - Modes

  /// Protected mode (V86 included).
  @inline(__always) var protectedMode: Bool { s.pointee.cr0 & CR0.pe != 0 }
  /// Virtual-8086 mode.
  @inline(__always) var v86: Bool { s.pointee.eflags & EFLAGS.vm != 0 }
  /// Real or V86 mode: segments are paragraphs.
  @inline(__always) var realSegments: Bool { !protectedMode || v86 }
  @inline(__always) var iopl: Int { Int(s.pointee.eflags >> 12 & 3) }

  /// Recomputes what depends on CR0, CR4, CPL, EFLAGS.VM/AC/TF, DR7. Call after changing any of them.
  func updateMode() {
    let user = s.pointee.cpl == 3
    alignmentChecked =
      user && s.pointee.eflags & EFLAGS.ac != 0 && s.pointee.cr0 & CR0.am != 0
    let slow = alignmentChecked || dataBreakpointsArmed
    if slow {
      s.pointee.readTable = tables.empty
      s.pointee.writeTable = tables.empty
    } else {
      s.pointee.readTable = user ? tables.userRead : tables.supervisorRead
      s.pointee.writeTable = user ? tables.userWrite : tables.supervisorWrite
    }
    if s.pointee.eflags & (EFLAGS.tf | EFLAGS.rf) != 0 || s.pointee.pendingDebug != 0 {
      s.pointee.attention |= Attention.trap
    } else {
      s.pointee.attention &= ~Attention.trap
    }
    if instructionBreakpointsArmed {
      s.pointee.attention |= Attention.breakpoints
    } else {
      s.pointee.attention &= ~Attention.breakpoints
    }
    contextChanged()
    stopAfterCurrent()
    if !debugEvents.isEmpty { noteMode() }
  }

  private func breakpointsArmed(where test: (UInt32) -> Bool) -> Bool {
    let dr7 = s.pointee.dr7
    if dr7 & 0xFF == 0 { return false }
    for i in UInt32(0)..<4 where dr7 >> (2 * i) & 3 != 0 && test(dr7 >> (16 + 4 * i) & 3) {
      return true
    }
    return false
  }
  private var dataBreakpointsArmed: Bool { breakpointsArmed { $0 & 1 != 0 } }
  private var instructionBreakpointsArmed: Bool { breakpointsArmed { $0 == 0 } }

  /// Loads a segment register as real and V86 mode do: base = selector * 16. In real mode limit and attributes stay as they are
  /// (unreal mode); V86 mode sets them.
  func loadRealSegment(_ index: Int, _ selector: UInt16) {
    let cache = segmentPointer(index)
    // A far transfer in real mode makes CS writable present data-like code; what protected mode left unusable becomes usable.
    let attributes = v86 ? 0xF3 : cache.pointee.attributes & 0xF000 | 0x93
    let limit = v86 ? 0xFFFF : cache.pointee.limit
    // Far calls within a segment are common: what follows from the cache stays, and so does the context of translated code.
    if cache.pointee.selector == selector, cache.pointee.base == UInt32(selector) << 4,
      cache.pointee.attributes == attributes, cache.pointee.limit == limit
    {
      return
    }
    cache.pointee.selector = selector
    cache.pointee.base = UInt32(selector) << 4
    cache.pointee.limit = limit
    cache.pointee.attributes = attributes
    updateSegmentLimits(index)
  }

  // MARK: - Pins

  /// FFFFFFFFh, or FFEFFFFFh while A20 is masked.
  @inline(__always) var a20Mask: UInt32 { view.lines }

  /// The A20 gate.
  public var a20: Bool {
    get { view.a20 }
    set {
      if newValue == view.a20 { return }
      view.a20 = newValue
      flushTLB()
      stopAfterCurrent()
    }
  }

  /// The INTR line's level.
  public func setINTR(_ level: Bool) {
    if level {
      s.pointee.attention |= Attention.intr
      if s.pointee.eflags & (EFLAGS.if | EFLAGS.vm) != 0 { stopAfterCurrent() }
    } else {
      s.pointee.attention &= ~Attention.intr
    }
  }

  /// A rising edge of NMI.
  public func raiseNMI() {
    s.pointee.attention |= Attention.nmi
    stopAfterCurrent()
  }

  /// Makes `run` return after the current instruction.
  public func requestStop() {
    s.pointee.attention |= Attention.stop
    stopAfterCurrent()
  }

  /// Moves the deadline of the present run; may be called from a device in mid-block.
  public func setDeadline(_ deadline: UInt64) {
    s.pointee.deadline = deadline
    let left = deadline &- s.pointee.retired
    if deadline <= s.pointee.retired {
      stopAfterCurrent()
    } else if left < UInt64(max(0, s.pointee.end - s.pointee.blockStart)) {
      let limit = s.pointee.blockStart + Int(left)
      s.pointee.end = max(limit, s.pointee.current + 1)
    }
  }

  /// Time has passed in mid-instruction: the deadline comes nearer by that.
  /// - Parameters:
  ///   - instructions: as many as would have taken that time, rounded up.
  ///   - stamps: by how much the TSC advances.
  @inline(__always)
  public func timePassed(instructions: UInt64, stamps: UInt64) {
    s.pointee.tscBase &+= stamps
    let deadline = s.pointee.deadline
    let nearer = deadline > instructions ? deadline &- instructions : 0
    // Mostly it is not near: a block has at most so many instructions.
    if nearer > s.pointee.retired &+ UInt64(BlockCache.maximumCount) {
      s.pointee.deadline = nearer
    } else {
      setDeadline(nearer)
    }
  }

  /// RESET#: the state that SDM volume 3, table 9-1 gives. RAM and TSC-independent counters are kept, and INTR, which is an input's level.
  /// - Parameter isInit: INIT#, as chip sets give it where software asks for a processor that starts anew: MSRs (the time-stamp counter
  ///   among them), the registers of x87, MMX and SSE, and how caches are switched in CR0 stay as they are (9.1 and the same table).
  ///   Processors before the Pentium had no such pin; what boards reset there left the coprocessor alone, too.
  public func reset(isInit: Bool = false) {
    leaveBlock()
    resetManagement(keepsBase: isInit)
    let stamps = isInit ? timeStampCounter : 0
    let caching = isInit ? s.pointee.cr0 & (CR0.cd | CR0.nw) : 0x6000_0000
    let sysenter = (s.pointee.sysenterCS, s.pointee.sysenterESP, s.pointee.sysenterEIP)
    let retired = s.pointee.retired
    let deadline = s.pointee.deadline
    let scale = s.pointee.tscScale
    let intr = s.pointee.attention & Attention.intr
    let (places, noCode) = (s.pointee.places, s.pointee.noCode)
    s.pointee = CPUState(
      current: s.pointee.current, end: s.pointee.current, blockStart: s.pointee.current,
      readTable: tables.supervisorRead, writeTable: tables.supervisorWrite,
      interpretOne: CPU.interpretOneFunction)
    s.pointee.context = UnsafeRawPointer(Unmanaged.passUnretained(self).toOpaque())
    s.pointee.lookaside = UnsafeRawPointer(blocks.lookaside)
    (s.pointee.places, s.pointee.noCode) = (places, noCode)
    s.pointee.pageNotes = UnsafePointer(tables.notes)
    s.pointee.tracksWrites = tracksWrites
    s.pointee.hasEvents = !debugEvents.isEmpty
    s.pointee.retired = retired
    s.pointee.deadline = deadline
    s.pointee.attention = intr | (debug.pending.isEmpty ? 0 : Attention.debugger)
    s.pointee.tscBase = stamps
    s.pointee.tscBaseCount = retired
    s.pointee.tscScale = scale
    gpr32[Register.edx] = model.signature
    s.pointee.cr0 = 0x10 | (model.features.contains(.i486) ? caching : 0)
    s.pointee.eip = 0xFFF0
    // The manuals of the 386 and 486 give 3FFh, those of later processors FFFFh.
    s.pointee.idtLimit = model.features.contains(.tsc) ? 0xFFFF : 0x3FF
    for i in 0..<8 {
      let cache = segmentPointer(i)
      cache.pointee.limit = 0xFFFF
      cache.pointee.attributes = i < 6 ? 0x93 : (i == SegmentRegister.tr ? 0x8B : 0x82)
      updateSegmentLimits(i)
    }
    let cs = segmentPointer(SegmentRegister.cs)
    cs.pointee.selector = 0xF000
    cs.pointee.base = 0xFFFF_0000
    if isInit {
      (s.pointee.sysenterCS, s.pointee.sysenterESP, s.pointee.sysenterEIP) = sysenter
    } else {
      fpu.pointee = FPUState()
      msrs.removeAll()
      resetMSRs()
    }
    flushTLB()
    updateMode()
  }
}
