// Saving and restoring the processor.
//
// Owns: the byte form of everything architectural and the checks on the way back. Must not know: memory contents, devices.
// Derived values (limits of the fast path, page tables, decoded blocks, mode) are rebuilt, never stored.

import State

extension CPU {
  /// The version that `save` writes. 2 added the XMM registers, 3 the scale of the TSC, 4 system management mode.
  public static var stateVersion: UInt16 { 4 }

  /// Writes the processor's state; call between blocks.
  public func save(to w: inout StateWriter) {
    let p = s.pointee
    w.write(model.name)
    for n in 0..<8 { w.write(gpr32[n]) }
    for n in 0..<8 {
      let cache = segmentPointer(n).pointee
      w.write(cache.selector)
      w.write(cache.attributes)
      w.write(cache.base)
      w.write(cache.limit)
    }
    w.write(currentEIP)
    w.write(eflags)
    w.write(p.attention & CPU.savedAttention)
    // Without a shadow it says nothing, and the engines differ in when they clear it.
    w.write(p.shadowHoldsTraps && p.attention & Attention.shadow != 0)
    w.write(instructionCount)
    w.write(UInt8(truncatingIfNeeded: p.cpl))
    for value in [
      p.cr0, p.cr2, p.cr3, p.cr4, p.dr.0, p.dr.1, p.dr.2, p.dr.3, p.dr6, p.dr7, p.pendingDebug,
      p.gdtBase, p.gdtLimit, p.idtBase, p.idtLimit, p.sysenterCS, p.sysenterESP, p.sysenterEIP,
    ] {
      w.write(value)
    }
    w.write(p.halted)
    w.write(p.shutdown)
    w.write(p.nmiBlocked)
    w.write(p.pdpte.0)
    w.write(p.pdpte.1)
    w.write(p.pdpte.2)
    w.write(p.pdpte.3)
    w.write(p.tscBase)
    w.write(p.tscBaseCount)
    w.write(p.tscScale)
    w.write(a20)
    w.write(array: testRegisters)
    let numbers = msrs.keys.sorted()
    w.write(UInt32(numbers.count))
    for number in numbers {
      w.write(number)
      w.write(msrs[number] ?? 0)
    }
    w.write(UInt8(truncatingIfNeeded: branchIndex.pointee & 15))
    for n in 0..<16 {
      w.write(branchRing[n].from)
      w.write(branchRing[n].to)
    }
    saveFPU(to: &w)
    management.save(to: &w)
  }

  /// What of `attention` is state and not derived from it.
  private static var savedAttention: UInt32 {
    Attention.intr | Attention.nmi | Attention.smi | Attention.shadow
  }

  private func saveFPU(to w: inout StateWriter) {
    let f = fpu.pointee
    for r in CPU.registers(of: f) {
      w.write(r.significand)
      w.write(r.signExponent)
    }
    w.write(f.cw)
    w.write(f.sw)
    w.write(f.top)
    w.write(f.empty)
    w.write(f.fop)
    w.write(f.fip)
    w.write(f.fcs)
    w.write(f.fdp)
    w.write(f.fds)
    w.write(f.mxcsr)
    for n in 0..<8 {
      w.write(xmm[n].low)
      w.write(xmm[n].high)
    }
  }

  static func registers(of f: FPUState) -> [Float80Bits] {
    [f.r.0, f.r.1, f.r.2, f.r.3, f.r.4, f.r.5, f.r.6, f.r.7]
  }

  /// Replaces the processor's state by a saved one.
  /// - Throws: `StateError` when the bytes are cut short, belong to another model, or hold impossible values; the processor may
  ///   then hold a part of them and must be reset.
  public func restore(from r: inout StateReader, version: UInt16) throws(StateError) {
    let name = try r.readString()
    if name != model.name {
      throw r.error("the state is of a '\(name)' processor, this is a '\(model.name)'")
    }
    leaveBlock()
    resetManagement(keepsBase: false)
    for n in 0..<8 { gpr32[n] = try r.read() }
    for n in 0..<8 {
      let cache = segmentPointer(n)
      cache.pointee.selector = try r.read()
      cache.pointee.attributes = try r.read(UInt16.self) & 0xF0FF
      cache.pointee.base = try r.read()
      cache.pointee.limit = try r.read()
      updateSegmentLimits(n)
    }
    s.pointee.eip = try r.read()
    let flags: UInt32 = try r.read()
    let attention: UInt32 = try r.read()
    s.pointee.shadowHoldsTraps = try r.readBool()
    s.pointee.retired = try r.read()
    let cpl = try r.read(in: UInt8(0)...3)
    s.pointee.cpl = Int(cpl)
    s.pointee.cr0 = try r.read()
    s.pointee.cr2 = try r.read()
    s.pointee.cr3 = try r.read()
    s.pointee.cr4 = try r.read()
    if s.pointee.cr0 & (CR0.pg | CR0.pe) == CR0.pg { throw r.error("paging without protection") }
    if s.pointee.cr4 & ~implementedCR4 != 0 { throw r.error("CR4 bits that the model lacks") }
    if flags & EFLAGS.vm != 0 ? !protectedMode || cpl != 3 : !protectedMode && cpl != 0 {
      throw r.error("a privilege level that does not fit the mode")
    }
    s.pointee.dr = (try r.read(), try r.read(), try r.read(), try r.read())
    s.pointee.dr6 = try r.read()
    s.pointee.dr7 = try r.read(UInt32.self) & 0xFFFF_2BFF | 0x400
    s.pointee.pendingDebug = try r.read(UInt32.self) & 0xE00F
    s.pointee.gdtBase = try r.read()
    s.pointee.gdtLimit = try r.read(in: UInt32(0)...0xFFFF)
    s.pointee.idtBase = try r.read()
    s.pointee.idtLimit = try r.read(in: UInt32(0)...0xFFFF)
    s.pointee.sysenterCS = try r.read()
    s.pointee.sysenterESP = try r.read()
    s.pointee.sysenterEIP = try r.read()
    s.pointee.halted = try r.readBool()
    s.pointee.shutdown = try r.readBool()
    s.pointee.nmiBlocked = try r.readBool()
    s.pointee.pdpte = (try r.read(), try r.read(), try r.read(), try r.read())
    s.pointee.tscBase = try r.read()
    if version >= 3 {
      s.pointee.tscBaseCount = try r.read(in: 0...s.pointee.retired)
      s.pointee.tscScale = try r.read(in: 0...UInt64(1) << 54)
    } else {
      // It was the difference to the count of instructions.
      (s.pointee.tscBaseCount, s.pointee.tscScale) = (0, 1 << 32)
    }
    view.a20 = try r.readBool()
    testRegisters = try r.readArray(count: 8)
    let count = try r.read(in: UInt32(0)...4096)
    var values: [UInt32: UInt64] = [:]
    for _ in 0..<count {
      let number: UInt32 = try r.read()
      values[number] = try r.read()
    }
    if Set(values.keys) != Set(msrs.keys) { throw r.error("other MSRs than the model has") }
    msrs = values
    branchIndex.pointee = UInt32(try r.read(in: UInt8(0)...15))
    for n in 0..<16 { branchRing[n] = (try r.read(), try r.read()) }
    try restoreFPU(from: &r, version)
    if version >= 4 { try restoreManagement(from: &r) }
    s.pointee.attention =
      (attention & CPU.savedAttention) | (s.pointee.halted ? Attention.halted : 0)
      | (s.pointee.shutdown ? Attention.stop : 0)
    setEFLAGS(flags & implementedFlags)
    flushTLB()
    updateMode()
    forgetDebugRecords()
  }

  private func restoreFPU(from r: inout StateReader, _ version: UInt16) throws(StateError) {
    var all: [Float80Bits] = []
    for _ in 0..<8 {
      let significand: UInt64 = try r.read()
      all.append(Float80Bits(signExponent: try r.read(), significand: significand))
    }
    var f = FPUState()
    f.r = (all[0], all[1], all[2], all[3], all[4], all[5], all[6], all[7])
    f.cw = try r.read()
    f.sw = try r.read(UInt16.self) & ~0x3800
    f.top = try r.read(in: UInt8(0)...7)
    f.empty = try r.read()
    f.fop = try r.read(UInt16.self) & 0x7FF
    f.fip = try r.read()
    f.fcs = try r.read()
    f.fdp = try r.read()
    f.fds = try r.read()
    f.mxcsr = try r.read()
    if f.mxcsr & ~0xFFFF != 0 { throw r.error("reserved bits of MXCSR") }
    fpu.pointee = f
    if version >= 2 {
      for n in 0..<8 {
        let low: UInt64 = try r.read()
        xmm[n] = XMMBits(low, try r.read())
      }
    }
  }
}
