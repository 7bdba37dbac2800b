// System management mode: SMI, RSM, and what lasts from the one to the other.
//
// Owns: entry and exit, what is held back meanwhile, restart of HLT and of I/O instructions. Must not know: who asserts SMI#, what memory
// is SMRAM (SystemManagementRAM.swift), which translations hold (ManagementTables.swift).
// Follows: Intel SDM volume 3, chapter "System Management Mode"; table "Priority Among Simultaneous Exceptions and Interrupts". Models
// from the SL-enhanced Intel486 on have it, which is what one with CPUID is.
//
// A20M# does not matter in the mode, as SMRAM may be relocated to any megabyte (AMD64 APM volume 2, 10.3; so does QEMU).

import State

/// The mode, and what belongs to it.
struct ManagementState {
  /// SMBASE.
  var base = ManagementState.initialBase
  var isActive = false
  /// An SMI came in the mode; one is kept.
  var isRequested = false
  /// An INIT# came in the mode.
  var isInitRequested = false
  /// Debug traps that were pending before.
  var pendingDebug: UInt32 = 0
  /// Paging as it was before.
  var paging = PagingRegisters()
  /// The latched SMI came in the middle of an I/O instruction: its EIP, and ESI, ECX, EDI as it began with.
  var io: [UInt32]?

  static let initialBase: UInt32 = 0x3_0000

  func save(to w: inout StateWriter) {
    w.write(base)
    for flag in [isActive, isRequested, isInitRequested] { w.write(flag) }
    w.write(pendingDebug)
    for word in [paging.cr0, paging.cr3, paging.cr4] { w.write(word) }
    for pointer in paging.pdpte { w.write(pointer) }
    w.write(io != nil)
    for word in io ?? [0, 0, 0, 0] { w.write(word) }
  }

  init() {}

  init(from r: inout StateReader) throws(StateError) {
    base = try r.read()
    isActive = try r.readBool()
    isRequested = try r.readBool()
    isInitRequested = try r.readBool()
    pendingDebug = try r.read(UInt32.self) & 0xE00F
    (paging.cr0, paging.cr3, paging.cr4) = (try r.read(), try r.read(), try r.read())
    for n in 0..<4 { paging.pdpte[n] = try r.read() }
    let isIO = try r.readBool()
    var words: [UInt32] = []
    for _ in 0..<4 { words.append(try r.read()) }
    if isIO { io = words }
  }
}

extension CPU {
  /// Whether the model has system management mode.
  public var hasManagementMode: Bool { model.features.contains(.cpuid) }
  /// Whether it is in it.
  public var isInManagementMode: Bool { management.isActive }
  /// SMBASE.
  public var managementBase: UInt32 { management.base }

  /// SMI#, or the message of that name: taken at the end of the instruction, in the mode after RSM. Nothing where the model lacks it.
  public func raiseSMI() {
    if !hasManagementMode { return }
    if management.isActive {
      management.isRequested = true
      return
    }
    noteInputOutput()
    s.pointee.attention |= Attention.smi
    stopAfterCurrent()
  }

  /// INIT# comes: in system management mode it is held back until RSM, when the bus hears of it again (`SystemBus.heldInit`).
  public func holdsInit() -> Bool {
    if !management.isActive || s.pointee.shutdown { return false }
    management.isInitRequested = true
    return true
  }

  /// The SMI comes with an I/O instruction, before its registers are advanced: it can be started again.
  private func noteInputOutput() {
    if s.pointee.current == UnsafePointer(idle) { return }
    switch s.pointee.current.pointee.op {
    case .in, .out, .ins, .outs:
      management.io = [
        currentEIP, gpr32[Register.esi], gpr32[Register.ecx], gpr32[Register.edi],
      ]
    default: break
    }
  }

  /// RESET#, INIT#, or another state: out of the mode.
  func resetManagement(keepsBase: Bool) {
    let base = keepsBase ? management.base : ManagementState.initialBase
    if management.isActive { useUsualTables(keeps: false) }
    management = ManagementState()
    management.base = base
    view.ignoresGate = false
  }

  /// The mode of a saved state. The rest of it was read before, but for what is derived.
  func restoreManagement(from r: inout StateReader) throws(StateError) {
    let saved = try ManagementState(from: &r)
    if saved.isActive {
      if !hasManagementMode { throw r.error("system management mode, which the model lacks") }
      useManagementTables()
    }
    management = saved
    view.ignoresGate = saved.isActive
  }

  // MARK: - Entry

  /// Takes the latched SMI, between instructions.
  func enterManagementMode() {
    let s = self.s
    s.pointee.attention &= ~(Attention.smi | Attention.halted)
    if !hasManagementMode { return }
    if management.isActive {
      management.isRequested = true
      return
    }
    let from = nextLinear
    let wasHalted = s.pointee.halted
    s.pointee.halted = false
    management.paging = PagingRegisters(s)
    management.isActive = true
    management.pendingDebug = s.pointee.pendingDebug
    view.ignoresGate = true
    memory.show(inManagement: true)
    saveMap(wasHalted: wasHalted)

    s.pointee.nmiBlocked = true
    s.pointee.pendingDebug = 0
    s.pointee.cr0 &= ~(CR0.pe | CR0.em | CR0.ts | CR0.pg)
    s.pointee.cr4 = 0
    s.pointee.dr7 = 0x400
    s.pointee.cpl = 0
    useManagementTables()
    setEFLAGS(0)
    for n in 0..<6 {
      let cache = segmentPointer(n)
      cache.pointee.selector = 0
      cache.pointee.base = 0
      cache.pointee.limit = 0xFFFF_FFFF
      cache.pointee.attributes = 0x8093
    }
    let cs = segmentPointer(SegmentRegister.cs)
    cs.pointee.selector = UInt16(truncatingIfNeeded: management.base >> 4)
    cs.pointee.base = management.base
    for n in 0..<6 { updateSegmentLimits(n) }
    s.pointee.eip = ManagementMap.entry
    updateMode()
    recordBranch(from: from, to: management.base &+ ManagementMap.entry)
  }

  private func saveMap(wasHalted: Bool) {
    let s = self.s
    let base = management.base
    func put(_ offset: UInt32, _ value: UInt32) {
      busWrite(UInt64(base &+ offset), value, width: 4)
    }
    typealias Map = ManagementMap
    put(Map.cr0, s.pointee.cr0)
    put(Map.cr3, s.pointee.cr3)
    put(Map.eflags, eflags)
    put(Map.eip, s.pointee.eip)
    for n in 0..<8 { put(Map.eax &+ UInt32(n) &* 4, gpr32[n]) }
    put(Map.dr6, s.pointee.dr6)
    put(Map.dr7, s.pointee.dr7)
    for (n, place) in Map.segments.enumerated() {
      let cache = segmentPointer(n).pointee
      put(place.selector, UInt32(cache.selector))
      put(place.hidden, UInt32(cache.attributes))
      put(place.hidden &+ 4, cache.limit)
      put(place.hidden &+ 8, cache.base)
    }
    put(Map.gdtBase, s.pointee.gdtBase)
    put(Map.gdtLimit, s.pointee.gdtLimit)
    put(Map.idtBase, s.pointee.idtBase)
    put(Map.idtLimit, s.pointee.idtLimit)
    put(Map.cr4, s.pointee.cr4)
    // Where no I/O instruction is to be started again, starting it again changes nothing.
    let io =
      management.io
      ?? [s.pointee.eip, gpr32[Register.esi], gpr32[Register.ecx], gpr32[Register.edi]]
    management.io = nil
    for (place, value) in zip([Map.ioEIP, Map.ioESI, Map.ioECX, Map.ioEDI], io) {
      put(place, value)
    }
    put(Map.restart, wasHalted ? 1 << 16 : 0)
    put(Map.revision, Map.revisionValue)
    put(Map.base, base)
  }

  // MARK: - RSM

  /// RSM: the state in SMRAM becomes the processor's.
  /// - Throws: #UD outside of the mode; `Fault.shutdown`, with nothing changed, where the manual lets the processor shut down: bits of CR4
  ///   that there are not, paging without protection, NW without CD in CR0, page-directory pointers with reserved bits (as Bochs has
  ///   it), before the P6 family an SMBASE off a boundary of 32 KiB. Whatever else is in the map is taken as it is, as far as registers
  ///   have bits for it; EFLAGS.VM counts in protected mode only.
  func resumeFromManagementMode() throws(Fault) {
    guard management.isActive else { throw .ud }
    let s = self.s
    typealias Map = ManagementMap
    let map = management.base
    func get(_ offset: UInt32) -> UInt32 { busRead(UInt64(map &+ offset), width: 4) }
    let from = currentLinear
    var paging = PagingRegisters()
    paging.cr0 = get(Map.cr0) & implementedCR0 | CR0.et
    paging.cr3 = get(Map.cr3)
    paging.cr4 = implementedCR4 == 0 ? 0 : get(Map.cr4)
    let base = get(Map.base)
    if paging.cr4 & ~implementedCR4 != 0 || paging.cr0 & (CR0.pg | CR0.pe) == CR0.pg
      || paging.cr0 & (CR0.nw | CR0.cd) == CR0.nw
      || base & 0x7FFF != 0 && !model.features.contains(.p6)
    {
      throw .shutdown
    }
    let usesPointers = paging.cr0 & CR0.pg != 0 && paging.cr4 & CR4.pae != 0
    if usesPointers {
      guard let all = usualPDPTEs(paging.cr3) else { throw .shutdown }
      s.pointee.pdpte = all
      paging.pdpte = [all.0, all.1, all.2, all.3]
    } else {
      paging.pdpte = management.paging.pdpte
    }

    for n in 0..<8 { gpr32[n] = get(Map.eax &+ UInt32(n) &* 4) }
    for (n, place) in Map.segments.enumerated() {
      let cache = segmentPointer(n)
      cache.pointee.selector = UInt16(truncatingIfNeeded: get(place.selector))
      cache.pointee.attributes = UInt16(truncatingIfNeeded: get(place.hidden)) & 0xF0FF
      cache.pointee.limit = get(place.hidden &+ 4)
      cache.pointee.base = get(place.hidden &+ 8)
    }
    s.pointee.gdtBase = get(Map.gdtBase)
    s.pointee.gdtLimit = get(Map.gdtLimit) & 0xFFFF
    s.pointee.idtBase = get(Map.idtBase)
    s.pointee.idtLimit = get(Map.idtLimit) & 0xFFFF
    s.pointee.dr6 = get(Map.dr6) & 0xE00F | 0xFFFF_0FF0
    s.pointee.dr7 = get(Map.dr7) & 0xFFFF_2BFF | 0x400
    var flags = get(Map.eflags) & implementedFlags
    s.pointee.eip = get(Map.eip)
    let restart = get(Map.restart)
    if restart & 0xFF == 0xFF {
      s.pointee.eip = get(Map.ioEIP)
      gpr32[Register.esi] = get(Map.ioESI)
      gpr32[Register.ecx] = get(Map.ioECX)
      gpr32[Register.edi] = get(Map.ioEDI)
    }

    management.isActive = false
    management.base = base
    view.ignoresGate = false
    memory.show(inManagement: false)
    (s.pointee.cr0, s.pointee.cr3, s.pointee.cr4) = (paging.cr0, paging.cr3, paging.cr4)
    if paging.cr0 & CR0.pe == 0 { flags &= ~EFLAGS.vm }
    let isV86 = flags & EFLAGS.vm != 0
    s.pointee.cpl =
      paging.cr0 & CR0.pe == 0 ? 0 : isV86 ? 3 : segmentPointer(SegmentRegister.ss).pointee.dpl
    useUsualTables(keeps: paging == management.paging)
    setEFLAGS(flags)
    for n in 0..<8 { updateSegmentLimits(n) }
    // The map does not tell whether it was blocked before: an NMI that waits may nest in the handler of one ("NMI Handling While in SMM").
    s.pointee.nmiBlocked = false
    s.pointee.pendingDebug = management.pendingDebug
    if restart & 1 << 16 != 0 {
      s.pointee.halted = true
      s.pointee.attention |= Attention.halted
    }
    if management.isRequested {
      management.isRequested = false
      s.pointee.attention |= Attention.smi
    }
    updateMode()
    recordBranch(
      from: from, to: segmentPointer(SegmentRegister.cs).pointee.base &+ s.pointee.eip)
    if management.isInitRequested {
      management.isInitRequested = false
      bus.heldInit()
    }
  }

  /// The page-directory pointers as they are outside of the mode.
  private func usualPDPTEs(_ cr3: UInt32) -> (UInt64, UInt64, UInt64, UInt64)? {
    view.ignoresGate = false
    memory.show(inManagement: false)
    defer {
      view.ignoresGate = true
      memory.show(inManagement: true)
    }
    return readPDPTEs(cr3)
  }
}
