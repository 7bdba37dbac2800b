// A stack that a control transfer pushes to before it becomes (or while it is) the current stack.
//
// Owns: checking the room for all pushes first, so that nothing has changed when one of them faults. Must not know: what is pushed.
// Follows: Intel SDM volume 3, sections 5.8.5 (stack switching), 6.12 (exception and interrupt handling).

/// Where pushes of a transfer go.
struct StackFrame {
  let base: UInt32
  let limit: UInt32
  let attributes: UInt16
  /// The whole ESP; only the part under `mask` moves.
  var sp: UInt32
  let mask: UInt32
  let access: Access

  @_transparent
  init(_ cache: SegmentCache, sp: UInt32, cpl: Int) {
    base = cache.base
    limit = cache.limit
    attributes = cache.attributes
    self.sp = sp
    mask = cache.attributes & 0x4000 != 0 ? 0xFFFF_FFFF : 0xFFFF
    access = cpl == 3 ? .user : []
  }

  @_transparent
  init(_ d: Descriptor, sp: UInt32, cpl: Int) {
    base = d.base
    limit = d.limit
    attributes = d.attributes
    self.sp = sp
    mask = d.isBig ? 0xFFFF_FFFF : 0xFFFF
    access = cpl == 3 ? .user : []
  }

  /// Whether `size` bytes at an offset lie within the segment.
  @_transparent
  func contains(_ offset: UInt32, _ size: UInt32) -> Bool {
    let last = offset.addingReportingOverflow(size &- 1)
    if last.overflow || attributes & 0x80 == 0 || attributes & 2 == 0 { return false }
    if attributes & 0xC == 4 {
      let top: UInt32 = attributes & 0x4000 != 0 ? 0xFFFF_FFFF : 0xFFFF
      return offset > limit && last.partialValue <= top
    }
    return last.partialValue <= limit
  }
}

extension CPU {
  /// The current stack.
  @_transparent
  func currentStack() -> StackFrame {
    StackFrame(
      segmentPointer(SegmentRegister.ss).pointee, sp: gpr32[Register.esp], cpl: s.pointee.cpl)
  }

  /// Checks that `count` pushes of `size` bytes will succeed.
  /// - Throws: #SS with `code`, #PF with CR2 of the push that would fail, #AC.
  func reserve(_ frame: StackFrame, count: UInt32, size: UInt32, code: UInt16) throws(Fault) {
    let total = count &* size
    let top = frame.sp & frame.mask
    let low = (top &- total) & frame.mask
    if top == 0 || top >= total {
      if !frame.contains(low, total) { throw .ss(code) }
      let linear = frame.base &+ low
      if alignmentChecked && frame.access.contains(.user) && linear & (size &- 1) != 0 {
        throw .ac
      }
      let last = linear &+ total &- 1
      if (linear ^ last) & 0xFFFF_F000 == 0 {
        try probePush(linear &+ total &- size, frame.access)
      } else {
        // The highest push comes first; the lower page is touched by the first push that reaches below the boundary.
        let above = ((last &+ 1) & 0xFFF) / size
        if above > 0 { try probePush(last &+ 1 &- size, frame.access) }
        let below = last &+ 1 &- (above &+ 1) &* size
        try probePush(below, frame.access)
        try probePush(below &+ size &- 1, frame.access)
      }
      return
    }
    // SP wraps within the pushes.
    var sp = top
    for _ in 0..<count {
      sp = (sp &- size) & frame.mask
      if !frame.contains(sp, size) { throw .ss(code) }
      try probePush(frame.base &+ sp, frame.access)
      try probePush(frame.base &+ sp &+ size &- 1, frame.access)
    }
  }

  @inline(__always)
  private func probePush(_ linear: UInt32, _ access: Access) throws(Fault) {
    let table = access.contains(.user) ? tables.userWrite : tables.supervisorWrite
    if table[Int(linear >> 12)] == 0 { _ = try translate(linear, access.union(.write)) }
  }

  /// Pushes a word or doubleword for which room was reserved.
  @inline(__always)
  func push(_ frame: inout StackFrame, _ value: UInt32, _ size: UInt32) throws(Fault) {
    let offset = (frame.sp &- size) & frame.mask
    frame.sp = (frame.sp & ~frame.mask) | offset
    let linear = frame.base &+ offset
    let table = frame.access.contains(.user) ? tables.userWrite : tables.supervisorWrite
    let delta = table[Int(linear >> 12)]
    if delta > 0 && linear & 0xFFF <= 0x1000 &- size && s.pointee.dr7 & 0xFF == 0 {
      let p = UnsafeMutableRawPointer(bitPattern: delta &+ Int(linear)).unsafelyUnwrapped
      if size == 4 {
        p.storeBytes(of: value, as: UInt32.self)
      } else {
        p.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
      }
      return
    }
    try writeSlow(linear, UInt64(value), size, frame.access)
  }

  /// Reads a word or doubleword `offset` bytes above the current stack pointer.
  @inline(__always)
  func peekStack(_ offset: UInt32, _ size: UInt32) throws(Fault) -> UInt32 {
    let at = (gpr32[Register.esp] &+ offset) & stackMask
    if size == 4 { return try read(SegmentRegister.ss, at) as UInt32 }
    return UInt32(try read(SegmentRegister.ss, at) as UInt16)
  }

  /// SS and ESP of an inner ring, from the current TSS.
  /// - Throws: #TS with the TSS selector.
  @_transparent
  func innerStackPointer(_ reach: Reach, _ dpl: Int, ext: UInt16) throws(Fault)
    -> (ss: UInt16, esp: UInt32)
  {
    let tr = segmentPointer(SegmentRegister.tr)
    let big = tr.pointee.attributes & 8 != 0
    let offset = big ? UInt32(dpl &* 8 &+ 4) : UInt32(dpl &* 4 &+ 2)
    // SS ends at offset 5 (or 3) of the pair.
    if offset &+ (big ? 5 : 3) > tr.pointee.limit || !tr.pointee.isPresent {
      throw selectorFault(10, tr.pointee.selector, ext)
    }
    let linear = tr.pointee.base &+ offset
    if big { return try stackPair(reach, linear) }
    return (try word(reach, linear &+ 2), UInt32(try word(reach, linear)))
  }

  /// Checks the stack segment of an inner ring.
  /// - Throws: #TS or #SS with its selector.
  @_transparent
  func innerStackSegment(
    _ reach: Reach, _ ss: UInt16, _ dpl: Int, ext: UInt16
  ) throws(Fault) -> Descriptor {
    if ss & 0xFFFC == 0 { throw selectorFault(10, 0, ext) }
    let d = try descriptor(reach, ss, vector: 10, ext: ext)
    if Int(ss & 3) != dpl || d.dpl != dpl || !d.isWritableData {
      throw selectorFault(10, ss, ext)
    }
    if !d.isPresent { throw selectorFault(12, ss, ext) }
    return d
  }
}
