// Control registers: MOV CRn, LMSW, CLTS and what follows from a change.
//
// Owns: CR0, CR3, CR4 and the PAE page-directory pointers, with their consistency rules. Must not know: page walks.
// Follows: Intel SDM volume 3, section 2.5 (control registers), 4.4.1 (PDPTE registers), 9.9 (mode switching).

extension CPU {
  /// CR0 bits the model has.
  var implementedCR0: UInt32 {
    model.features.contains(.i486) ? 0xE005_003F : 0x8000_001F
  }

  /// CR4 bits the model has; 0 when it has no CR4.
  var implementedCR4: UInt32 {
    let f = model.features
    var mask: UInt32 = 0
    if f.contains(.vme) { mask |= CR4.vme | CR4.pvi }
    if f.contains(.tsc) { mask |= CR4.tsd }
    if f.contains(.de) { mask |= CR4.de }
    if f.contains(.pse) { mask |= CR4.pse }
    if f.contains(.pae) { mask |= CR4.pae }
    if f.contains(.msr) { mask |= CR4.mce }
    if f.contains(.pge) { mask |= CR4.pge }
    if f.contains(.rdpmc) { mask |= CR4.pce }
    if f.contains(.fxsr) { mask |= CR4.osfxsr }
    if f.contains(.sse) { mask |= CR4.osxmmexcpt }
    return mask
  }

  /// MOV to CR0 and LMSW.
  /// - Throws: #GP(0) for PG without PE, NW without CD, reserved bits of the PDPTEs.
  func setCR0(_ value: UInt32) throws(Fault) {
    let old = s.pointee.cr0
    let new = (value & implementedCR0) | CR0.et
    if new & (CR0.pg | CR0.pe) == CR0.pg { throw .gp(0) }
    if new & (CR0.nw | CR0.cd) == CR0.nw { throw .gp(0) }
    let changed = old ^ new
    if changed & new & CR0.pg != 0 && s.pointee.cr4 & CR4.pae != 0 {
      try loadPDPTEs(s.pointee.cr3)
    }
    s.pointee.cr0 = new
    if changed & CR0.pe != 0 { s.pointee.cpl = 0 }
    // While paging is off the tables say the same in every mode.
    if changed & CR0.pg != 0 || (value & CR0.pg != 0 && changed & (CR0.pe | CR0.wp) != 0) {
      flushTLB()
    }
    updateMode()
  }

  /// Loads CR3, with the PDPTEs under PAE paging, and drops the translations that are not global.
  func loadCR3(_ value: UInt32) throws(Fault) {
    if s.pointee.cr4 & CR4.pae != 0 && s.pointee.cr0 & CR0.pg != 0 { try loadPDPTEs(value) }
    s.pointee.cr3 = value
    flushTLB(keepGlobal: true)
  }

  /// MOV to CR4.
  func setCR4(_ value: UInt32) throws(Fault) {
    if value & ~implementedCR4 != 0 { throw .gp(0) }
    let changed = s.pointee.cr4 ^ value
    let paging = CR4.pse | CR4.pae | CR4.pge
    if changed & paging != 0 && value & CR4.pae != 0 && s.pointee.cr0 & CR0.pg != 0 {
      try loadPDPTEs(s.pointee.cr3)
    }
    s.pointee.cr4 = value
    if changed & paging != 0 { flushTLB() }
    updateMode()
  }

  /// Reads the four page-directory pointers.
  /// - Throws: #GP(0) when a present one has reserved bits set.
  private func loadPDPTEs(_ cr3: UInt32) throws(Fault) {
    guard let all = readPDPTEs(cr3) else { throw .gp(0) }
    s.pointee.pdpte = all
  }

  /// The four page-directory pointers in memory; nil when a present one has reserved bits set.
  func readPDPTEs(_ cr3: UInt32) -> (UInt64, UInt64, UInt64, UInt64)? {
    let table = Physical((cr3 & 0xFFFF_FFE0) & a20Mask)
    var all: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    for n in Physical(0)..<4 {
      let value =
        UInt64(memory.read(table &+ n &* 8, width: 4))
        | UInt64(memory.read(table &+ n &* 8 &+ 4, width: 4)) << 32
      if value & 1 != 0 && value & 0xFFFF_FFF0_0000_01E6 != 0 { return nil }
      switch n {
      case 0: all.0 = value
      case 1: all.1 = value
      case 2: all.2 = value
      default: all.3 = value
      }
    }
    return all
  }

  /// #GP(0) unless at CPL 0.
  @inline(__always)
  func requireCPL0() throws(Fault) {
    if s.pointee.cpl != 0 { throw .gp(0) }
  }

  /// MOV r32, CRn and MOV CRn, r32.
  func moveControl(_ i: Insn, write: Bool) throws(Fault) {
    let number = i.pointee.reg
    switch number {
    case 0, 2, 3: break
    case 4: if implementedCR4 == 0 { throw .ud }
    default: throw .ud
    }
    try requireCPL0()
    if write {
      let value: UInt32 = reg(i.pointee.rm)
      let old = controlRegister(number)
      switch number {
      case 0: try setCR0(value)
      case 2: s.pointee.cr2 = value
      case 3: try loadCR3(value)
      default: try setCR4(value)
      }
      if debugEvents.contains(.control) {
        noteDebug(.control(register: Int(number), old: old, new: controlRegister(number)))
      }
    } else {
      setReg(i.pointee.rm, controlRegister(number))
    }
  }

  private func controlRegister(_ number: UInt8) -> UInt32 {
    switch number {
    case 0: s.pointee.cr0
    case 2: s.pointee.cr2
    case 3: s.pointee.cr3
    default: s.pointee.cr4
    }
  }

  /// MOV to and from the test registers that only the 386 (TR6, TR7) and the 486 (TR3 to TR7) have; plain storage.
  func moveTest(_ i: Insn, write: Bool) throws(Fault) {
    let number = Int(i.pointee.reg & 7)
    let first = model.features.contains(.i486) ? 3 : 6
    if model.features.contains(.tsc) || number < first { throw .ud }
    try requireCPL0()
    if write {
      testRegisters[number] = reg(i.pointee.rm)
    } else {
      setReg(i.pointee.rm, testRegisters[number])
    }
  }
}
