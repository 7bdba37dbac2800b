// Segment registers: loading them in every mode, and the instructions that ask about segments.
//
// Owns: the checks of MOV/POP/LxS to a segment register, LLDT, LTR, VERR, VERW, LAR, LSL, ARPL. Must not know: control transfers.
// Follows: Intel SDM volume 3, sections 5.4 to 5.8 (type and privilege checks), 5.10 (pointer validation).

extension CPU {
  /// Loads a data or stack segment register as MOV, POP and LxS do. CS is refused by the callers.
  /// - Throws: #GP, #NP, #SS with the selector, #PF; nothing is changed then.
  func loadSegment(_ index: Int, _ selector: UInt16) throws(Fault) {
    if realSegments {
      loadRealSegment(index, selector)
      return
    }
    let cpl = s.pointee.cpl
    let rpl = Int(selector & 3)
    if index == SegmentRegister.ss {
      if selector & 0xFFFC == 0 { throw .gp(0) }
      let d = try fetchDescriptor(selector)
      if rpl != cpl || !d.isWritableData || d.dpl != cpl { throw .gp(selector & 0xFFFC) }
      if !d.isPresent { throw .ss(selector & 0xFFFC) }
      try markAccessed(selector, d)
      setSegment(index, selector, d)
      updateMode()
      return
    }
    if selector & 0xFFFC == 0 {
      setNullSegment(index, selector)
      return
    }
    let d = try fetchDescriptor(selector)
    if !d.isReadable || (!d.isConforming && (rpl > d.dpl || cpl > d.dpl)) {
      throw .gp(selector & 0xFFFC)
    }
    if !d.isPresent { throw .np(selector & 0xFFFC) }
    try markAccessed(selector, d)
    setSegment(index, selector, d)
  }

  /// LLDT.
  func loadLDT(_ selector: UInt16) throws(Fault) {
    if selector & 0xFFFC == 0 {
      setNullSegment(SegmentRegister.ldtr, selector)
      return
    }
    if selector & 4 != 0 { throw .gp(selector & 0xFFFC) }
    let d = try fetchDescriptor(selector)
    if d.fullType != 2 { throw .gp(selector & 0xFFFC) }
    if !d.isPresent { throw .np(selector & 0xFFFC) }
    setSegment(SegmentRegister.ldtr, selector, d)
  }

  /// LTR.
  func loadTaskRegister(_ selector: UInt16) throws(Fault) {
    if selector & 0xFFFC == 0 { throw .gp(0) }
    if selector & 4 != 0 { throw .gp(selector & 0xFFFC) }
    let d = try fetchDescriptor(selector)
    if !d.isAvailableTSS { throw .gp(selector & 0xFFFC) }
    if !d.isPresent { throw .np(selector & 0xFFFC) }
    try setBusy(selector, d, busy: true)
    setSegment(SegmentRegister.tr, selector, d)
    segmentPointer(SegmentRegister.tr).pointee.attributes |= 2
  }

  /// Sets or clears the busy bit of a TSS descriptor in the GDT.
  func setBusy(_ selector: UInt16, _ d: Descriptor, busy: Bool) throws(Fault) {
    guard let address = descriptorAddress(selector) else { return }
    let access = UInt8(truncatingIfNeeded: d.high >> 8)
    try writeSystem8(address &+ 5, busy ? access | 2 : access & ~2)
  }

  /// The descriptor that VERR, VERW, LAR and LSL look at, or nil when the selector is null, out of its table, or not visible at
  /// this privilege. Conforming code is visible to everyone.
  private func visibleDescriptor(_ selector: UInt16) throws(Fault) -> Descriptor? {
    if selector & 0xFFFC == 0 { return nil }
    guard let address = descriptorAddress(selector) else { return nil }
    let d = Descriptor(try readSystem64(address))
    if !d.isConforming && (s.pointee.cpl > d.dpl || Int(selector & 3) > d.dpl) { return nil }
    return d
  }

  /// VERR and VERW: whether a segment could be read or written.
  func verify(_ selector: UInt16, write: Bool) throws(Fault) -> Bool {
    guard let d = try visibleDescriptor(selector), d.isSegment else { return false }
    return write ? d.isWritableData : d.isReadable
  }

  /// LAR: the second doubleword's access rights, or nil.
  func accessRights(_ selector: UInt16) throws(Fault) -> UInt32? {
    guard let d = try visibleDescriptor(selector) else { return nil }
    // System types: TSS, LDT, call gates, task gate.
    if !d.isSegment && (0x1A3E &>> d.type) & 1 == 0 { return nil }
    return d.high & 0x00FF_FF00
  }

  /// LSL: the limit in bytes, or nil.
  func segmentLimit(_ selector: UInt16) throws(Fault) -> UInt32? {
    guard let d = try visibleDescriptor(selector) else { return nil }
    // System types: TSS and LDT.
    if !d.isSegment && (0x0A0E &>> d.type) & 1 == 0 { return nil }
    return d.limit
  }
}
