// What a debugger may ask of the processor: breakpoints, watchpoints, events.
//
// Owns: the conditions, their tests, the records of what met them. Must not know: consoles, commands, symbols.
// They cost nothing while unused. Execution breakpoints are looked at when a block is fetched the slow way: a block never contains an
// instruction with a breakpoint but as its first, and such a block never enters the lookaside, so every arrival is seen. Pages with
// watched bytes never enter the flat tables, so every access takes the slow path, which looks. Everything else is one word
// (`debugEvents`) tested in functions that are slow anyway.

/// What else a debugger may want to hear of.
public struct DebugEvents: OptionSet, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// IN, OUT, INS, OUTS on the ports of `DebugConditions.ports`.
  public static let ports = DebugEvents(rawValue: 1)
  /// Delivery of the vectors in `DebugConditions.interrupts`, `.exceptions` and `.software`.
  public static let interrupts = DebugEvents(rawValue: 2)
  /// Changes of the mode bits in `DebugConditions.modeMask`.
  public static let modes = DebugEvents(rawValue: 4)
  /// Hardware task switches.
  public static let tasks = DebugEvents(rawValue: 8)
  /// HLT.
  public static let halt = DebugEvents(rawValue: 16)
  /// Triple fault.
  public static let tripleFault = DebugEvents(rawValue: 32)
  /// RDMSR and WRMSR.
  public static let msr = DebugEvents(rawValue: 64)
  /// Far jumps, calls, returns, interrupts and their returns.
  public static let farBranches = DebugEvents(rawValue: 128)
  /// MOV to a control register.
  public static let control = DebugEvents(rawValue: 256)
  /// XCHG BX,BX, which programs contain to stop a debugger; it stops before the instruction.
  public static let magic = DebugEvents(rawValue: 512)
}

/// A set of interrupt vectors.
public struct VectorSet: Equatable, Sendable {
  private var words = SIMD4<UInt64>(repeating: 0)
  public init() {}
  /// Every vector.
  public static var all: VectorSet {
    var set = VectorSet()
    set.words = SIMD4(repeating: UInt64.max)
    return set
  }
  /// Whether a vector is in the set.
  public subscript(_ vector: UInt8) -> Bool {
    get { words[Int(vector >> 6)] >> UInt64(vector & 63) & 1 != 0 }
    set {
      let bit = UInt64(1) << UInt64(vector & 63)
      if newValue { words[Int(vector >> 6)] |= bit } else { words[Int(vector >> 6)] &= ~bit }
    }
  }
  public var isEmpty: Bool { words == SIMD4(repeating: 0) }
}

/// Bytes whose accesses stop the processor after the instruction.
public struct Watchpoint: Equatable, Sendable {
  public var address: UInt64
  /// Bytes, at least 1.
  public var length: UInt64
  public var onRead: Bool
  public var onWrite: Bool
  /// The address is physical, not linear.
  public var isPhysical: Bool

  public init(
    address: UInt64, length: UInt64, onRead: Bool, onWrite: Bool, isPhysical: Bool = false
  ) {
    self.address = address
    self.length = max(1, length)
    self.onRead = onRead
    self.onWrite = onWrite
    self.isPhysical = isPhysical
  }

  /// Whether `count` bytes at `start` touch it. Linear addresses wrap at 4 GiB.
  public func touches(_ start: UInt64, _ count: UInt32) -> Bool {
    let mask: UInt64 = isPhysical ? UInt64.max : 0xFFFF_FFFF
    return (start &- address) & mask < length || (address &- start) & mask < UInt64(count)
  }
}

/// Ports whose accesses are events.
public struct WatchedPorts: Equatable, Sendable {
  public var ports: ClosedRange<UInt16>
  public var onRead: Bool
  public var onWrite: Bool
  public init(ports: ClosedRange<UInt16>, onRead: Bool, onWrite: Bool) {
    self.ports = ports
    self.onRead = onRead
    self.onWrite = onWrite
  }
}

/// The processor's mode as bits.
public struct CPUMode: OptionSet, Sendable, Equatable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  /// CR0.PE.
  public static let protected = CPUMode(rawValue: 1)
  /// EFLAGS.VM.
  public static let v86 = CPUMode(rawValue: 2)
  /// CR0.PG.
  public static let paging = CPUMode(rawValue: 4)
  /// CS.D.
  public static let code32 = CPUMode(rawValue: 8)
  /// Both bits of the CPL.
  public static let privilege = CPUMode(rawValue: 0x30)
  /// Everything but the privilege.
  public static let modes: CPUMode = [.protected, .v86, .paging, .code32]
  public var cpl: Int { Int(rawValue >> 4 & 3) }
}

/// All that a debugger waits for, as one value.
public struct DebugConditions: Equatable, Sendable {
  /// Execution breakpoints by linear and by physical address.
  public var linear: Set<UInt32> = []
  public var physical: Set<UInt64> = []
  public var watchpoints: [Watchpoint] = []
  public var events: DebugEvents = []
  public var ports: [WatchedPorts] = []
  /// Vectors by how they are raised: INTR and NMI, exceptions, INT n (with INT3, INTO, INT1).
  public var interrupts = VectorSet()
  public var exceptions = VectorSet()
  public var software = VectorSet()
  public var modeMask: CPUMode = []
  /// Stops before the RET or IRET that leaves the procedure whose stack pointer (linear) this was: the first one executed with the
  /// stack pointer at or a little above it.
  public var returnsAbove: UInt32?
  public init() {}
}

/// Something that a condition waited for.
public enum DebugEvent: Equatable, Sendable {
  /// An access to a watched byte: the whole operand with its value before and after (1 to 8 bytes).
  case memory(
    linear: UInt32, physical: UInt64, size: Int, isWrite: Bool, old: UInt64, new: UInt64)
  /// A write to watched bytes by no instruction: a device, or the page walk setting accessed and dirty bits. `linear` is the
  /// watched address if that is linear, else the low half of the physical one.
  case otherWrite(
    by: DebugWriter, linear: UInt32, physical: UInt64, size: Int, old: UInt64, new: UInt64)
  case port(port: UInt16, width: Int, isWrite: Bool, value: UInt32)
  case interrupt(vector: UInt8, source: DebugInterruptSource, errorCode: UInt32?)
  case mode(from: CPUMode, to: CPUMode)
  /// TSS selectors.
  case task(from: UInt16, to: UInt16)
  case halt
  case tripleFault
  case msr(number: UInt32, isWrite: Bool, value: UInt64)
  case control(register: Int, old: UInt32, new: UInt32)
  /// Linear addresses.
  case farBranch(from: UInt32, to: UInt32)
  case magic
  /// The next instruction is the return of `DebugConditions.returnsAbove`.
  case returning
}

/// Who writes memory beside instructions.
public enum DebugWriter: String, Equatable, Sendable {
  case busMaster, pageWalk
}

/// How an interrupt is raised.
public enum DebugInterruptSource: String, Equatable, Sendable {
  case external, exception, software
}

/// An event with the instruction that caused it.
public struct DebugRecord: Equatable, Sendable {
  public var event: DebugEvent
  /// CS:EIP of the instruction (of the next one for an event between instructions), and its linear address.
  public var cs: UInt16
  public var eip: UInt32
  public var linear: UInt32
  /// Instructions retired before it.
  public var count: UInt64
}

/// The conditions and what met them.
public final class DebugHooks {
  var conditions = DebugConditions()
  /// Low 12 bits of linear breakpoints: blocks are split there whatever the linear page, for they are shared by aliases.
  var offsets: Set<UInt32> = []
  var pending: [DebugRecord] = []
  /// The arrival that does not stop again: linear address and retired count.
  var resumeLinear: UInt32 = 0
  var resumeCount = UInt64.max
  var mode: CPUMode = []
  /// The instruction that was about to run when an exception or interrupt came: going back to it is no new arrival.
  var restart: RestartPlace?
  /// Translations of watched pages by linear page.
  var held: [UInt32: HeldTranslation] = [:]
  static let maximumPending = 64
}

extension CPU {
  /// What the debugger waits for. Setting it drops decoded code or translations as needed; set it between runs only.
  public var debugConditions: DebugConditions {
    get { debug.conditions }
    set {
      let old = debug.conditions
      if old == newValue { return }
      let translations = old.watchpoints == newValue.watchpoints ? nil : saveTranslations()
      debug.conditions = newValue
      debug.offsets = Set(newValue.linear.map { $0 & 0xFFF })
      debugEvents = newValue.events
      debug.mode = mode
      hasCodeBreakpoints =
        !newValue.linear.isEmpty || !newValue.physical.isEmpty
        || newValue.events.contains(.magic) || newValue.returnsAbove != nil
      watching = !newValue.watchpoints.isEmpty
      if old.linear != newValue.linear || old.physical != newValue.physical
        || old.events.contains(.magic) != newValue.events.contains(.magic)
        || (old.returnsAbove == nil) != (newValue.returnsAbove == nil)
      {
        dropAllCode()
      }
      if let translations {
        dropAllCode()
        debug.held = [:]
        asideHeld = [:]
        // Watched pages move out of the tables or back: what the guest's translations are stays.
        restoreTranslations(translations)
        memory.watchBusMasters(
          for: self, watching ? { [unowned self] in noteBusMaster($0, $1) } : nil)
      }
    }
  }

  /// What happened since this was last called, oldest first.
  public func takeDebugRecords() -> [DebugRecord] {
    let records = debug.pending
    debug.pending = []
    return records
  }

  /// The instruction at CS:EIP runs without stopping at its breakpoint, if nothing else happens first.
  public func skipBreakpointOnce() {
    debug.resumeLinear = segmentPointer(SegmentRegister.cs).pointee.base &+ currentEIP
    debug.resumeCount = instructionCount
  }

  /// Forgets pending records and which breakpoint was just met: the processor's state was replaced.
  func forgetDebugRecords() {
    debug.pending = []
    debug.resumeCount = UInt64.max
    debug.restart = nil
    debug.mode = mode
    s.pointee.attention &= ~Attention.debugger
  }

  /// The present mode.
  public var mode: CPUMode {
    var m: CPUMode = CPUMode(rawValue: UInt8(truncatingIfNeeded: s.pointee.cpl & 3) << 4)
    if s.pointee.cr0 & CR0.pe != 0 { m.insert(.protected) }
    if s.pointee.cr0 & CR0.pg != 0 { m.insert(.paging) }
    if s.pointee.eflags & EFLAGS.vm != 0 { m.insert(.v86) }
    if segmentPointer(SegmentRegister.cs).pointee.isBig { m.insert(.code32) }
    return m
  }

  // MARK: - Records

  /// Notes an event; the processor stops after the instruction.
  func noteDebug(_ event: DebugEvent) {
    if debug.pending.count < DebugHooks.maximumPending {
      let cs = segmentPointer(SegmentRegister.cs).pointee
      let eip = currentEIP
      debug.pending.append(
        DebugRecord(
          event: event, cs: cs.selector, eip: eip, linear: cs.base &+ eip, count: instructionCount))
    }
    s.pointee.attention |= Attention.debugger
    stopAfterCurrent()
  }

  /// Ends a run for what was noted.
  func takeDebugExit() -> RunExit {
    s.pointee.attention &= ~Attention.debugger
    for record in debug.pending {
      switch record.event {
      case .memory, .otherWrite: return .watchpoint
      default: break
      }
    }
    return .debugEvent
  }

  // MARK: - Execution breakpoints

  /// RET near and far, IRET.
  private static func isReturn(_ i: Instruction) -> Bool {
    switch i.op {
    case .ret, .retFar, .iret: true
    default: false
    }
  }

  /// Whether the block's first instruction is the return that `returnsAbove` waits for.
  private func leavesProcedure(_ block: BlockPointer) -> Bool {
    guard let start = debug.conditions.returnsAbove, CPU.isReturn(block.pointee.records[0]) else {
      return false
    }
    let ss = segmentPointer(SegmentRegister.ss).pointee
    // Other stacks lie elsewhere; parameters and alignment stay small.
    return ss.base &+ (gpr32[Register.esp] & stackMask) &- start < 0x1_0000
  }

  /// Whether a block may not contain this instruction but as its first.
  func startsBlock(offset: UInt32, physical: Physical, _ record: Instruction) -> Bool {
    debug.offsets.contains(offset & 0xFFF) || debug.conditions.physical.contains(physical)
      || (debugEvents.contains(.magic) && CPU.isMagic(record))
      || (debug.conditions.returnsAbove != nil && CPU.isReturn(record))
  }

  /// XCHG BX,BX.
  private static func isMagic(_ i: Instruction) -> Bool {
    i.op == .xchg && !i.isByte && i.modrm == 0xDB
  }

  /// Whether arriving at a block's first instruction stops.
  func holdsBreakpoint(_ linear: UInt32, _ block: BlockPointer) -> Bool {
    debug.conditions.linear.contains(linear)
      || debug.conditions.physical.contains(block.pointee.physical)
      || (debugEvents.contains(.magic) && CPU.isMagic(block.pointee.records[0]))
      || (debug.conditions.returnsAbove != nil && CPU.isReturn(block.pointee.records[0]))
  }

  /// Arriving at a block the slow way: why to stop before it, or nil.
  func breakpointExit(_ linear: UInt32, _ block: BlockPointer) -> RunExit? {
    guard holdsBreakpoint(linear, block) else { return nil }
    let isPlace =
      debug.conditions.linear.contains(linear)
      || debug.conditions.physical.contains(block.pointee.physical)
    let isMagic = debugEvents.contains(.magic) && CPU.isMagic(block.pointee.records[0])
    let returns = leavesProcedure(block)
    guard isPlace || isMagic || returns else { return nil }
    if debug.resumeCount == s.pointee.retired && debug.resumeLinear == linear { return nil }
    debug.resumeLinear = linear
    debug.resumeCount = s.pointee.retired
    if let restart = debug.restart, restart == restartPlace(linear) {
      debug.restart = nil
      return nil
    }
    if isPlace { return .breakpoint(linear) }
    noteDebug(isMagic ? .magic : .returning)
    return takeDebugExit()
  }

  /// A repetition stops unfinished at `count`: going on with it is no new arrival.
  func repetitionPauses(at count: UInt64) {
    debug.resumeLinear = currentLinear
    debug.resumeCount = count
  }

  // MARK: - Watchpoints

  /// Whether a linear page or the physical page behind it holds watched bytes.
  func isWatched(linearPage: UInt32, physicalPage: UInt32) -> Bool {
    for w in debug.conditions.watchpoints {
      if w.touches(UInt64(w.isPhysical ? physicalPage : linearPage) << 12, 0x1000) { return true }
    }
    return false
  }

  /// Looks whether an access of `size` bytes touches watched bytes; call a write before it is made.
  /// - Parameters:
  ///   - a: physical address of the first `first` bytes.
  ///   - b: physical address of the rest, if the access crosses pages.
  func noteAccess(
    _ linear: UInt32, _ size: UInt32, _ a: Physical, _ first: UInt32, _ b: Physical?, write: Bool,
    value: UInt64
  ) {
    for w in debug.conditions.watchpoints where write ? w.onWrite : w.onRead {
      let hit =
        w.isPhysical
        ? w.touches(a, first) || (b.map { w.touches($0, size &- first) } ?? false)
        : w.touches(UInt64(linear), size)
      if !hit { continue }
      // INS probes its target as if it read it, as do SGDT and SIDT.
      let op = s.pointee.current.pointee.op
      if !write && (op == .ins || op == .sgdt || op == .sidt) { return }
      var old = value
      if write {
        old = 0
        for n in 0..<size {
          let address = n < first ? a &+ UInt64(n) : (b ?? a) &+ UInt64(n &- first)
          old |= UInt64(memory.peek(address, count: 1)[0]) << UInt64(8 &* n)
        }
      }
      let mask = UInt64.max >> UInt64(64 &- 8 &* min(size, 8))
      noteDebug(
        .memory(
          linear: linear, physical: a, size: Int(size), isWrite: write, old: old & mask,
          new: value & mask))
      return
    }
  }

  // MARK: - Events; call only where `debugEvents` is not empty

  func notePort(_ port: UInt16, _ width: UInt32, write: Bool, _ value: UInt32) {
    guard debugEvents.contains(.ports) else { return }
    let last = UInt16(truncatingIfNeeded: min(UInt32(port) &+ width &- 1, 0xFFFF))
    for w in debug.conditions.ports
    where (write ? w.onWrite : w.onRead) && w.ports.overlaps(port...last) {
      noteDebug(.port(port: port, width: Int(width), isWrite: write, value: value))
      return
    }
  }

  func noteInterrupt(_ vector: UInt8, _ kind: InterruptKind, _ errorCode: UInt32?) {
    guard debugEvents.contains(.interrupts) else { return }
    let source: DebugInterruptSource =
      switch kind {
      case .external: .external
      case .exception: .exception
      case .software, .softwareException, .privileged: .software
      }
    let set =
      switch source {
      case .external: debug.conditions.interrupts
      case .exception: debug.conditions.exceptions
      case .software: debug.conditions.software
      }
    if set[vector] {
      noteDebug(.interrupt(vector: vector, source: source, errorCode: errorCode))
    }
  }

  func noteMode() {
    guard debugEvents.contains(.modes) else { return }
    let new = mode
    let old = debug.mode
    if new == old { return }
    debug.mode = new
    // What one instruction changes in steps is one change.
    if let last = debug.pending.last, case .mode(let from, _) = last.event,
      last.count == instructionCount
    {
      debug.pending.removeLast()
      if from.symmetricDifference(new).isDisjoint(with: debug.conditions.modeMask) { return }
      noteDebug(.mode(from: from, to: new))
      return
    }
    if old.symmetricDifference(new).isDisjoint(with: debug.conditions.modeMask) { return }
    noteDebug(.mode(from: old, to: new))
  }
}
