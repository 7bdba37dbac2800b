// Whether a monitor in ring 0 serves a program in virtual-8086 mode at this moment.
//
// Owns: looking for that program's registers where the processor has left them. Must not know: any monitor (EMM386, JEMM386), what for.
// Follows: Intel SDM volume 3, 21.2.3 (what an interrupt out of virtual-8086 mode puts on the stack of ring 0), 8.2.1 (32-bit TSS).

extension CPU {
  /// Whether ring 0 was entered from virtual-8086 mode: a monitor's program waits, as DOS does in HLT, and goes on there. No side effects.
  public var servesV86: Bool {
    let state = s.pointee
    let tr = segmentPointer(SegmentRegister.tr).pointee
    // A 32-bit TSS; only ring 0 is entered from that mode by way of it.
    guard state.cr0 & CR0.pe != 0, state.eflags & EFLAGS.vm == 0, state.cpl == 0,
      tr.attributes & 8 != 0, tr.limit >= 103
    else { return false }
    func word(_ linear: UInt32) -> UInt32? {
      let bytes = peekBytes(linear, count: 4)
      return bytes.count < 4 ? nil : bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
    guard let top = word(tr.base &+ 4), let ss = word(tr.base &+ 8),
      let base = segmentBase(ofSelector: UInt16(truncatingIfNeeded: ss))
    else { return false }
    // From the top: GS, FS, DS, ES, SS, ESP, EFLAGS, CS, EIP.
    var frame: [UInt32] = []
    for n in 1...9 {
      guard let value = word(base &+ top &- UInt32(n) * 4) else { return false }
      frame.append(value)
    }
    let flags = frame[6]
    // Bit 1 is always set, bits 22 and up never.
    return flags & EFLAGS.vm != 0 && flags & 2 != 0 && flags >> 22 == 0
      && [4, 7, 8].allSatisfy { frame[$0] <= 0xFFFF }
  }
}
