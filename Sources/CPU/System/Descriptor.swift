// Descriptors as they stand in the GDT, LDT and IDT.
//
// Owns: taking a descriptor apart, and fetching one by selector with the limit check. Must not know: who may use it.
// Follows: Intel SDM volume 3, section 3.4.5 (segment descriptors), 3.5 (system descriptors), 6.11 (gates).

/// Eight bytes of a descriptor table.
struct Descriptor {
  let low: UInt32
  let high: UInt32

  @_transparent
  init(_ raw: UInt64) {
    low = UInt32(truncatingIfNeeded: raw)
    high = UInt32(truncatingIfNeeded: raw >> 32)
  }

  /// The form `SegmentCache.attributes` has.
  @_transparent var attributes: UInt16 { UInt16(truncatingIfNeeded: high >> 8) & 0xF0FF }
  @_transparent var type: UInt32 { high >> 8 & 0xF }
  @_transparent var isSegment: Bool { high & 0x1000 != 0 }
  @_transparent var dpl: Int { Int(high >> 13 & 3) }
  @_transparent var isPresent: Bool { high & 0x8000 != 0 }
  @_transparent var isCode: Bool { high & 0x1800 == 0x1800 }
  @_transparent var isConforming: Bool { high & 0x1C00 == 0x1C00 }
  @_transparent var isWritableData: Bool { high & 0x1A00 == 0x1200 }
  /// Data, or code that may be read.
  @_transparent var isReadable: Bool {
    isSegment && (high & 0x800 == 0 || high & 0x200 != 0)
  }
  /// D/B: 32-bit.
  @_transparent var isBig: Bool { high & 0x40_0000 != 0 }
  @_transparent var base: UInt32 {
    low >> 16 | (high & 0xFF) << 16 | high & 0xFF00_0000
  }
  /// The limit in bytes, granularity applied.
  @_transparent var limit: UInt32 {
    let l = low & 0xFFFF | high & 0xF_0000
    return high & 0x80_0000 != 0 ? l << 12 | 0xFFF : l
  }

  // System types: 1 available 16-bit TSS, 2 LDT, 3 busy 16-bit TSS, 4 call gate 16, 5 task gate, 6 interrupt gate 16,
  // 7 trap gate 16, 9 available 32-bit TSS, B busy 32-bit TSS, C call gate 32, E interrupt gate 32, F trap gate 32.

  /// Type with the S bit above it: 10h to 1Fh for segments.
  @_transparent var fullType: UInt32 { high >> 8 & 0x1F }
  @_transparent var isAvailableTSS: Bool { fullType & ~8 == 1 }
  @_transparent var isBusyTSS: Bool { fullType & ~8 == 3 }
  @_transparent var isCallGate: Bool { fullType & ~8 == 4 }
  @_transparent var gateSelector: UInt16 { UInt16(truncatingIfNeeded: low >> 16) }
  /// The offset of a gate; 16-bit gates have 16 bits.
  @_transparent var gateOffset: UInt32 {
    high & 0x800 != 0 ? low & 0xFFFF | high & 0xFFFF_0000 : low & 0xFFFF
  }
  @_transparent var isGate32: Bool { high & 0x800 != 0 }
  @_transparent var parameterCount: UInt32 { high & 0x1F }
}

extension CPU {
  /// The linear address of a selector's descriptor, or nil when it lies outside of its table.
  @_transparent
  func descriptorAddress(_ selector: UInt16) -> UInt32? {
    let offset = UInt32(selector & 0xFFF8)
    if selector & 4 == 0 {
      return offset &+ 7 <= s.pointee.gdtLimit ? s.pointee.gdtBase &+ offset : nil
    }
    let ldt = segmentPointer(SegmentRegister.ldtr)
    guard ldt.pointee.isPresent, offset &+ 7 <= ldt.pointee.limit else { return nil }
    return ldt.pointee.base &+ offset
  }

  /// Fetches a selector's descriptor.
  /// - Throws: exception `vector` with the selector and `ext` as error code, when the selector lies outside of its table.
  func fetchDescriptor(_ selector: UInt16, vector: UInt8 = 13, ext: UInt16 = 0) throws(Fault)
    -> Descriptor
  {
    try descriptor(.any, selector, vector: vector, ext: ext)
  }

  /// An exception whose error code is a selector.
  @_transparent
  func selectorFault(_ vector: UInt8, _ selector: UInt16, _ ext: UInt16 = 0) -> Fault {
    Fault(vector: vector, errorCode: UInt32(selector & 0xFFFC | ext))
  }

  /// Sets the accessed bit of a segment's descriptor where it is clear.
  /// - Throws: #PF when the table cannot be written.
  @_transparent
  func markAccessed(_ selector: UInt16, _ d: Descriptor) throws(Fault) {
    if d.high & 0x100 == 0, let address = descriptorAddress(selector) {
      try writeSystem8(address &+ 5, UInt8(truncatingIfNeeded: d.high >> 8) | 1)
    }
  }

  /// Puts a descriptor into a segment register's cache; nothing is checked.
  @_transparent
  func setSegment(_ index: Int, _ selector: UInt16, _ d: Descriptor) {
    let cache = segmentPointer(index)
    // A segment is accessed now.
    let attributes = d.attributes | UInt16(truncatingIfNeeded: d.high >> 12 & 1)
    // Loading what is there changes nothing, nor the context of translated code.
    if cache.pointee.selector == selector, cache.pointee.attributes == attributes,
      cache.pointee.base == d.base, cache.pointee.limit == d.limit
    {
      return
    }
    cache.pointee.selector = selector
    cache.pointee.attributes = attributes
    cache.pointee.base = d.base
    cache.pointee.limit = d.limit
    updateSegmentLimits(index)
  }

  /// Recomputes the fast-path limits of a segment register after its cache changed.
  @_transparent
  func updateSegmentLimits(_ index: Int) {
    let cache = segmentPointer(index)
    let a = cache.pointee.attributes
    let limit = Int64(cache.pointee.limit)
    // Present, code that may be read or data that does not expand down; for writes, such data alone.
    let read = a & 0x90 == 0x90 && a & 0xC != 4 && a & 0xA != 8 ? limit : -1
    let write = a & 0x9E == 0x92 ? limit : -1
    cache.pointee.readLimit = read
    cache.pointee.writeLimit = write
    noteSegmentChange(index, flat: read == 0xFFFF_FFFF && write == read && cache.pointee.base == 0)
  }

  /// Makes a segment register unusable, with the given (null) selector. The limit stays: real mode, which does not load limits, finds
  /// it again.
  @inline(__always)
  func setNullSegment(_ index: Int, _ selector: UInt16) {
    let cache = segmentPointer(index)
    cache.pointee.selector = selector
    cache.pointee.attributes = 0
    cache.pointee.base = 0
    cache.pointee.readLimit = -1
    cache.pointee.writeLimit = -1
    noteSegmentChange(index, flat: false)
  }
}
