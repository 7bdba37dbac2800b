// Memory operands: segment check, fast path, slow path.
//
// Owns: every data access of the processor, by segment and offset, and system accesses (descriptor tables, TSS, stacks of inner rings)
// by linear address. Must not know: instructions.
// Follows: Intel SDM volume 3, sections 5.3 (limit checking), 4.6 (access rights), 17.2 (debug registers), 6.15 (#AC).

extension CPU {
  // MARK: - By segment and offset

  /// The linear address of an operand that may be read.
  /// - Throws: #GP(0) or #SS(0).
  @inline(__always)
  func linearForRead(_ segment: Int, _ offset: UInt32, _ size: UInt32) throws(Fault) -> UInt32 {
    let cache = segmentPointer(segment)
    if Int64(offset) &+ Int64(size &- 1) <= cache.pointee.readLimit {
      return cache.pointee.base &+ offset
    }
    return try linearSlow(segment, offset, size, write: false)
  }

  /// The linear address of an operand that may be written.
  @inline(__always)
  func linearForWrite(_ segment: Int, _ offset: UInt32, _ size: UInt32) throws(Fault) -> UInt32 {
    let cache = segmentPointer(segment)
    if Int64(offset) &+ Int64(size &- 1) <= cache.pointee.writeLimit {
      return cache.pointee.base &+ offset
    }
    return try linearSlow(segment, offset, size, write: true)
  }

  @inline(never)
  func linearSlow(_ segment: Int, _ offset: UInt32, _ size: UInt32, write: Bool) throws(Fault)
    -> UInt32
  {
    let cache = segmentPointer(segment).pointee
    let fault: Fault = segment == SegmentRegister.ss ? .ss(0) : .gp(0)
    let last = offset.addingReportingOverflow(size &- 1)
    let attributes = cache.attributes
    // A null or unusable register has P clear.
    guard attributes & 0x80 != 0 else { throw fault }
    if attributes & 8 != 0 {
      // Code: readable if bit 1, never writable (real-mode CS is loaded as writable data).
      if write || attributes & 2 == 0 { throw .gp(0) }
    } else if write && attributes & 2 == 0 {
      throw .gp(0)
    }
    if attributes & 0xC == 4 {
      // Expand-down: offsets above the limit up to FFFFh or FFFFFFFFh.
      let top: UInt32 = attributes & 0x4000 != 0 ? 0xFFFF_FFFF : 0xFFFF
      if offset <= cache.limit || last.overflow || last.partialValue > top { throw fault }
    } else if last.overflow || last.partialValue > cache.limit {
      throw fault
    }
    return cache.base &+ offset
  }

  /// Reads an operand.
  @inline(__always)
  func read<T: FixedWidthInteger & UnsignedInteger>(_ segment: Int, _ offset: UInt32)
    throws(Fault) -> T
  {
    let size = UInt32(MemoryLayout<T>.size)
    let linear = try linearForRead(segment, offset, size)
    let delta = s.pointee.readTable[Int(linear >> 12)]
    if delta > 0 && linear & 0xFFF <= 0x1000 &- size {
      return UnsafeRawPointer(bitPattern: delta &+ Int(linear)).unsafelyUnwrapped.loadUnaligned(
        as: T.self)
    }
    return T(truncatingIfNeeded: try readSlow(linear, size, userAccess))
  }

  /// Writes an operand.
  @inline(__always)
  func write<T: FixedWidthInteger & UnsignedInteger>(_ segment: Int, _ offset: UInt32, _ value: T)
    throws(Fault)
  {
    let size = UInt32(MemoryLayout<T>.size)
    let linear = try linearForWrite(segment, offset, size)
    let delta = s.pointee.writeTable[Int(linear >> 12)]
    if delta > 0 && linear & 0xFFF <= 0x1000 &- size {
      UnsafeMutableRawPointer(bitPattern: delta &+ Int(linear)).unsafelyUnwrapped.storeBytes(
        of: value, as: T.self)
      return
    }
    try writeSlow(linear, UInt64(truncatingIfNeeded: value), size, userAccess)
  }

  /// Reads, changes and writes an operand; faults before anything changes.
  @inline(__always)
  func modify<T: FixedWidthInteger & UnsignedInteger>(
    _ segment: Int, _ offset: UInt32, _ body: (T) -> T
  ) throws(Fault) {
    let size = UInt32(MemoryLayout<T>.size)
    let linear = try linearForWrite(segment, offset, size)
    let delta = s.pointee.writeTable[Int(linear >> 12)]
    if delta > 0 && linear & 0xFFF <= 0x1000 &- size {
      let p = UnsafeMutableRawPointer(bitPattern: delta &+ Int(linear)).unsafelyUnwrapped
      p.storeBytes(of: body(p.loadUnaligned(as: T.self)), as: T.self)
      return
    }
    let old = T(truncatingIfNeeded: try readForWriteSlow(linear, size, userAccess))
    try writeSlow(linear, UInt64(truncatingIfNeeded: body(old)), size, userAccess)
  }

  /// Reads an operand that will be written by the same instruction: faults as the write would.
  @inline(__always)
  func readForWrite<T: FixedWidthInteger & UnsignedInteger>(_ segment: Int, _ offset: UInt32)
    throws(Fault) -> T
  {
    let size = UInt32(MemoryLayout<T>.size)
    let linear = try linearForWrite(segment, offset, size)
    return T(truncatingIfNeeded: try readForWriteSlow(linear, size, userAccess))
  }

  // MARK: - By linear address

  /// `.user` at CPL 3, else nothing: the privilege of explicit accesses.
  @inline(__always) var userAccess: Access { s.pointee.cpl == 3 ? .user : [] }

  /// Reads 1 to 8 bytes at a linear address the long way: alignment check, translation of each page, data breakpoints, devices.
  @inline(never)
  func readSlow(_ linear: UInt32, _ size: UInt32, _ access: Access) throws(Fault) -> UInt64 {
    try checkAlignment(linear, size, access)
    let first = min(size, 0x1000 &- (linear & 0xFFF))
    let a = try translate(linear, access)
    var b: Physical? = nil
    var value: UInt64
    if first == size {
      value = physicalRead(a, size)
    } else {
      let second = try translate(linear &+ first, access)
      b = second
      value = physicalRead(a, first) | physicalRead(second, size &- first) << UInt64(8 &* first)
    }
    if watching { noteAccess(linear, size, a, first, b, write: false, value: value) }
    if s.pointee.dr7 & 0xFF != 0 { checkDataBreakpoints(linear, size, write: false) }
    return value
  }

  /// Checks that an operand can be written and reads it.
  @inline(never)
  func readForWriteSlow(_ linear: UInt32, _ size: UInt32, _ access: Access) throws(Fault) -> UInt64
  {
    try checkAlignment(linear, size, access)
    let first = min(size, 0x1000 &- (linear & 0xFFF))
    let entry = s.pointee.writeTable[Int(linear >> 12)]
    if entry < 0 && first == size && access == userAccess {
      // As in `writeSlow`, which follows.
      if let physical = memory.physical(ofHost: (entry & Int.max) &+ Int(linear)) {
        return physicalRead(physical, size)
      }
    }
    let a = try translate(linear, access.union(.write))
    if first == size {
      let value = physicalRead(a, size)
      if watching { noteAccess(linear, size, a, first, nil, write: false, value: value) }
      return value
    }
    let b = try translate(linear &+ first, access.union(.write))
    let value = physicalRead(a, first) | physicalRead(b, size &- first) << UInt64(8 &* first)
    if watching { noteAccess(linear, size, a, first, b, write: false, value: value) }
    return value
  }

  /// Writes 1 to 8 bytes at a linear address the long way; nothing is written when any page of it faults.
  @inline(never)
  func writeSlow(_ linear: UInt32, _ value: UInt64, _ size: UInt32, _ access: Access) throws(Fault)
  {
    try checkAlignment(linear, size, access)
    let first = min(size, 0x1000 &- (linear & 0xFFF))
    let entry = s.pointee.writeTable[Int(linear >> 12)]
    if entry < 0 && first == size && access == userAccess {
      // A page that holds code or was not written for some time: the entry still tells where it is.
      if let physical = memory.physical(ofHost: (entry & Int.max) &+ Int(linear)) {
        physicalWrite(physical, value, size)
        noteWritten(linear, physical, access)
        return
      }
    }
    let a = try translate(linear, access.union(.write))
    if first == size {
      if watching { noteAccess(linear, size, a, first, nil, write: true, value: value) }
      physicalWrite(a, value, size)
      noteWritten(linear, a, access)
    } else {
      let b = try translate(linear &+ first, access.union(.write))
      if watching { noteAccess(linear, size, a, first, b, write: true, value: value) }
      physicalWrite(a, value, first)
      physicalWrite(b, value >> UInt64(8 &* first), size &- first)
    }
    if s.pointee.dr7 & 0xFF != 0 { checkDataBreakpoints(linear, size, write: true) }
  }

  /// Checks that `size` bytes (1 to 4096) at a linear address can be written, without writing.
  func probeWrite(_ linear: UInt32, _ size: UInt32, _ access: Access) throws(Fault) {
    _ = try translate(linear, access.union(.write))
    if (linear & 0xFFF) &+ size > 0x1000 {
      // CR2 tells the first byte that is not there.
      _ = try translate((linear &+ size &- 1) & ~0xFFF, access.union(.write))
    }
  }

  /// Checks that `size` bytes (1 to 4096) at a linear address can be read.
  func probeRead(_ linear: UInt32, _ size: UInt32, _ access: Access) throws(Fault) {
    _ = try translate(linear, access)
    if (linear & 0xFFF) &+ size > 0x1000 {
      _ = try translate((linear &+ size &- 1) & ~0xFFF, access)
    }
  }

  private func physicalRead(_ address: Physical, _ size: UInt32) -> UInt64 {
    switch size {
    case 1, 2, 4: return UInt64(memory.read(address, width: size))
    case 8:
      return UInt64(memory.read(address, width: 4)) | UInt64(memory.read(address &+ 4, width: 4))
        << 32
    default:
      var value: UInt64 = 0
      for i in 0..<size {
        value |= UInt64(memory.read(address &+ UInt64(i), width: 1)) << UInt64(8 &* i)
      }
      return value
    }
  }

  private func physicalWrite(_ address: Physical, _ value: UInt64, _ size: UInt32) {
    switch size {
    case 1, 2, 4: memory.write(address, UInt32(truncatingIfNeeded: value), width: size)
    case 8:
      memory.write(address, UInt32(truncatingIfNeeded: value), width: 4)
      memory.write(address &+ 4, UInt32(truncatingIfNeeded: value >> 32), width: 4)
    default:
      for i in 0..<size {
        memory.write(address &+ UInt64(i), UInt32(value >> UInt64(8 &* i) & 0xFF), width: 1)
      }
    }
  }

  @inline(__always)
  private func checkAlignment(_ linear: UInt32, _ size: UInt32, _ access: Access) throws(Fault) {
    if alignmentChecked && access.contains(.user) && size > 1 {
      let mask = size == 10 ? 7 : size &- 1
      if linear & mask != 0 { throw .ac }
    }
  }

  // MARK: - System accesses (supervisor whatever the CPL)

  func readSystem8(_ linear: UInt32) throws(Fault) -> UInt8 {
    UInt8(truncatingIfNeeded: try readSystem(linear, 1))
  }
  func readSystem16(_ linear: UInt32) throws(Fault) -> UInt16 {
    UInt16(truncatingIfNeeded: try readSystem(linear, 2))
  }
  func readSystem32(_ linear: UInt32) throws(Fault) -> UInt32 {
    UInt32(truncatingIfNeeded: try readSystem(linear, 4))
  }
  func readSystem64(_ linear: UInt32) throws(Fault) -> UInt64 { try readSystem(linear, 8) }
  func writeSystem8(_ linear: UInt32, _ value: UInt8) throws(Fault) {
    try writeSystem(linear, UInt64(value), 1)
  }
  func writeSystem16(_ linear: UInt32, _ value: UInt16) throws(Fault) {
    try writeSystem(linear, UInt64(value), 2)
  }
  func writeSystem32(_ linear: UInt32, _ value: UInt32) throws(Fault) {
    try writeSystem(linear, UInt64(value), 4)
  }

  private func readSystem(_ linear: UInt32, _ size: UInt32) throws(Fault) -> UInt64 {
    let delta = tables.supervisorRead[Int(linear >> 12)]
    if delta > 0 && linear & 0xFFF <= 0x1000 &- size && s.pointee.dr7 & 0xFF == 0 {
      let p = UnsafeRawPointer(bitPattern: delta &+ Int(linear)).unsafelyUnwrapped
      switch size {
      case 1: return UInt64(p.load(as: UInt8.self))
      case 2: return UInt64(p.loadUnaligned(as: UInt16.self))
      case 4: return UInt64(p.loadUnaligned(as: UInt32.self))
      default: return p.loadUnaligned(as: UInt64.self)
      }
    }
    return try readSlow(linear, size, [])
  }

  private func writeSystem(_ linear: UInt32, _ value: UInt64, _ size: UInt32) throws(Fault) {
    let delta = tables.supervisorWrite[Int(linear >> 12)]
    if delta > 0 && linear & 0xFFF <= 0x1000 &- size && s.pointee.dr7 & 0xFF == 0 {
      let p = UnsafeMutableRawPointer(bitPattern: delta &+ Int(linear)).unsafelyUnwrapped
      switch size {
      case 1: p.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
      case 2: p.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
      case 4: p.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
      default: p.storeBytes(of: value, as: UInt64.self)
      }
      return
    }
    try writeSlow(linear, value, size, [])
  }

  // MARK: - The stack of the current privilege

  /// The mask of the stack pointer: FFFFh or FFFFFFFFh, by SS.B.
  @inline(__always) var stackMask: UInt32 {
    segmentPointer(SegmentRegister.ss).pointee.isBig ? 0xFFFF_FFFF : 0xFFFF
  }

  /// ESP with its low or whole part replaced, by SS.B.
  @inline(__always) func setStackPointer(_ value: UInt32) {
    let mask = stackMask
    gpr32[Register.esp] = (gpr32[Register.esp] & ~mask) | (value & mask)
  }

  @inline(__always) func push16(_ value: UInt16) throws(Fault) {
    let sp = (gpr32[Register.esp] &- 2) & stackMask
    try write(SegmentRegister.ss, sp, value)
    setStackPointer(sp)
  }

  @inline(__always) func push32(_ value: UInt32) throws(Fault) {
    let sp = (gpr32[Register.esp] &- 4) & stackMask
    try write(SegmentRegister.ss, sp, value)
    setStackPointer(sp)
  }

  @inline(__always) func pop16() throws(Fault) -> UInt16 {
    let sp = gpr32[Register.esp] & stackMask
    let value: UInt16 = try read(SegmentRegister.ss, sp)
    setStackPointer(sp &+ 2)
    return value
  }

  @inline(__always) func pop32() throws(Fault) -> UInt32 {
    let sp = gpr32[Register.esp] & stackMask
    let value: UInt32 = try read(SegmentRegister.ss, sp)
    setStackPointer(sp &+ 4)
    return value
  }
}
