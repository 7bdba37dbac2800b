// The emulated processor in the same surroundings as the host's: segments, one region of memory, privilege level 3.
//
// Owns: page tables, descriptor tables and the handlers that stop the guest. Must not know: cases, comparing.
// Follows: Intel SDM volume 3, chapters 3 to 6.

import CPU
import Host

/// An emulated processor that runs one instruction at a time at level 3.
final class HostGuest {
  let cpu: CPU
  let memory: PhysicalMemory
  /// The region in guest memory.
  let region: UnsafeMutableRawPointer

  /// Where the guest's own tables are mapped; a place that cases hardly ever hit.
  private static let system: UInt32 = 0x6B40_0000
  private enum At {
    static let directory: UInt32 = 0x1000
    static let systemTable: UInt32 = 0x2000
    static let regionTable: UInt32 = 0x3000
    static let gdt: UInt32 = 0x4000
    static let ldt: UInt32 = 0x5000
    static let idt: UInt32 = 0x6000
    static let tss: UInt32 = 0x7000
    static let handlers: UInt32 = 0x8000
    static let stackTop: UInt32 = 0xA000
  }

  init(model: CPUModel) throws(HostError) {
    memory = try PhysicalMemory(ramSize: 32 << 20)
    cpu = try CPU(model: model, memory: memory, bus: SystemBus())
    region = memory.ram + Int(HostProcessor.base)
    buildTables()
    cpu.reset()
    cpu.a20 = true
    let s = cpu.s
    s.pointee.cr0 = 0x8000_0031
    s.pointee.cr4 = model.features.contains(.sse) ? CR4.osfxsr | CR4.osxmmexcpt : 0
    s.pointee.cr3 = At.directory
    s.pointee.gdtBase = HostGuest.system + At.gdt
    s.pointee.gdtLimit = 0x7F
    s.pointee.idtBase = HostGuest.system + At.idt
    s.pointee.idtLimit = 0x7FF
    cpu.flushTLB()
  }

  private func put(_ address: UInt32, _ value: UInt32) {
    memory.ram.storeBytes(of: value, toByteOffset: Int(address), as: UInt32.self)
  }

  private func descriptor(_ at: UInt32, _ low: UInt32, _ high: UInt32) {
    put(at, low)
    put(at + 4, high)
  }

  private func buildTables() {
    put(At.directory + (HostGuest.system >> 22) * 4, At.systemTable | 3)
    put(At.directory + (HostProcessor.base >> 22) * 4, At.regionTable | 7)
    for page in UInt32(0)..<16 {
      put(At.systemTable + page * 4, page << 12 | 3)
      let isCode = Int(page << 12) == HostProcessor.codeOffset
      put(At.regionTable + page * 4, HostProcessor.base + page << 12 | (isCode ? 5 : 7))
    }
    descriptor(At.gdt + 0x08, 0x0000_FFFF, 0x00CF_9B00)
    descriptor(At.gdt + 0x10, 0x0000_FFFF, 0x00CF_9300)
    descriptor(At.gdt + 0x20, 0x0000_FFFF, 0x00CF_FB00)
    descriptor(At.gdt + 0x28, 0x0000_FFFF, 0x00CF_F300)
    // Linux's 64-bit code segment: to 32-bit code readable like any other.
    descriptor(At.gdt + 0x30, 0x0000_FFFF, 0x00AF_FB00)
    // And the segment whose limit holds the processor's number: read-only, expand-down.
    descriptor(At.gdt + 0x78, 0x0000_0000, 0x0040_F500)
    let base = (HostProcessor.base & 0xFFFF) << 16
    let high = HostProcessor.base & 0xFF00_0000 | HostProcessor.base >> 16 & 0xFF
    descriptor(At.ldt + 0x00, base | 0xFFFF, high | 0x0010_FB00)
    descriptor(At.ldt + 0x08, base | 0xFFFF, high | 0x0010_F300)
    descriptor(At.ldt + 0x10, base | 0xFFFF, high | 0x0050_FB00)
    descriptor(At.ldt + 0x18, base | 0xFFFF, high | 0x0050_F300)
    put(At.tss + 4, HostGuest.system + At.stackTop)
    put(At.tss + 8, 0x10)
    put(At.tss + 0x64, 0x0068_0000)
    for vector in UInt32(0)..<256 {
      let handler = HostGuest.system + At.handlers + vector
      let level: UInt32 = vector == 3 || vector == 4 ? 0x6000 : 0
      descriptor(
        At.idt + vector * 8, 0x0008_0000 | handler & 0xFFFF,
        handler & 0xFFFF_0000 | 0x8E00 | level)
      memory.ram.storeBytes(of: 0xF4, toByteOffset: Int(At.handlers + vector), as: UInt8.self)
    }
  }

  /// Bytes at a linear address of the region.
  func peek(_ linear: UInt32, _ count: Int) -> [UInt8] {
    let offset = UInt64(linear &- HostProcessor.base)
    if offset + UInt64(count) > UInt64(HostProcessor.size) { return [] }
    return memory.peek(linear, count: count)
  }

  /// Writes code into the region, telling the processor.
  func setCode(_ offset: Int, _ bytes: [UInt8]) {
    bytes.withUnsafeBytes { memory.copyIn(HostProcessor.base + UInt32(offset), from: $0) }
  }

  private func setSegment(_ n: Int, _ selector: UInt16, _ mode: HostProcessor.Mode) {
    var cache = SegmentCache()
    cache.selector = selector
    let isCode = n == SegmentRegister.cs
    switch mode {
    case .flat: cache.attributes = isCode ? 0xC0FB : 0xC0F3
    case .small: cache.attributes = isCode ? 0x00FB : 0x00F3
    case .based: cache.attributes = isCode ? 0x40FB : 0x40F3
    }
    cache.base = mode == .flat ? 0 : HostProcessor.base
    cache.limit = mode == .flat ? 0xFFFF_FFFF : 0xFFFF
    cpu[segment: n] = cache
  }

  private func setSystem(_ n: Int, _ base: UInt32, _ limit: UInt32, _ attributes: UInt16) {
    var cache = SegmentCache()
    cache.selector = n == SegmentRegister.tr ? 0x40 : 0x48
    cache.base = HostGuest.system + base
    cache.limit = limit
    cache.attributes = attributes
    cpu[segment: n] = cache
  }

  /// Runs the instruction at `state.eip`; the vector is 255 when the guest did not come to a handler.
  ///
  /// - Parameters:
  ///   - fpu: the registers of x87, MMX and SSE, before and after.
  ///   - limit: instructions after which the run is given up.
  func run(
    _ mode: HostProcessor.Mode, _ state: HostProcessor.State, _ fpu: inout FPUState, repeats: Int,
    limit: UInt64 = 8
  ) -> HostProcessor.State {
    cpu.fpuState = fpu
    defer { fpu = cpu.fpuState }
    var state = state
    let start = state.eip
    // Counts say the same in both engines.
    cpu.s.pointee.retired = 1000
    for _ in 0...repeats {
      state = step(mode, state, limit)
      if state.vector != 1 || state.eip != start { break }
    }
    return state
  }

  private func step(_ mode: HostProcessor.Mode, _ state: HostProcessor.State, _ limit: UInt64)
    -> HostProcessor.State
  {
    let s = cpu.s
    s.pointee.cpl = 3
    s.pointee.halted = false
    s.pointee.shutdown = false
    s.pointee.pendingDebug = 0
    s.pointee.attention = 0
    let selectors = mode.selectors
    setSystem(SegmentRegister.tr, At.tss, 0x67, 0x8B)
    setSystem(SegmentRegister.ldtr, At.ldt, 0x1F, 0x82)
    s.pointee.shadowHoldsTraps = false
    for n in 0..<6 where n != SegmentRegister.cs { setSegment(n, selectors.data, mode) }
    setSegment(SegmentRegister.cs, selectors.code, mode)
    for n in 0..<8 { cpu[n] = state.registers[n] }
    s.pointee.eip = state.eip
    s.pointee.cr2 = 0
    cpu.setEFLAGS(state.eflags & ~EFLAGS.rf)
    // Registers were set behind the processor's back: derived state follows CS.
    setSegment(SegmentRegister.cs, selectors.code, mode)
    cpu.setDeadline(cpu.instructionCount &+ limit)
    let exit = cpu.run()
    var after = HostProcessor.State()
    let vector = s.pointee.eip &- HostGuest.system &- At.handlers &- 1
    guard exit == .halted, s.pointee.cpl == 0, vector < 256 else {
      after.vector = 255
      return after
    }
    after.vector = UInt8(vector)
    var at = cpu[4] &- HostGuest.system
    func pop() -> UInt32 {
      defer { at &+= 4 }
      return memory.ram.load(fromByteOffset: Int(at & 0xFFFC), as: UInt32.self)
    }
    if [8, 10, 11, 12, 13, 14, 17].contains(after.vector) { after.errorCode = pop() }
    after.eip = pop()
    after.cs = UInt16(truncatingIfNeeded: pop())
    after.eflags = pop()
    for n in 0..<8 { after.registers[n] = cpu[n] }
    after.registers[4] = pop()
    after.ss = UInt16(truncatingIfNeeded: pop())
    after.cr2 = s.pointee.cr2
    after.ds = cpu[segment: SegmentRegister.ds].selector
    after.es = cpu[segment: SegmentRegister.es].selector
    after.fs = cpu[segment: SegmentRegister.fs].selector
    after.gs = cpu[segment: SegmentRegister.gs].selector
    return after
  }
}
