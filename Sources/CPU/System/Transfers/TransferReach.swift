// How a transfer of control reaches memory and flags while it is planned and carried out.
//
// Owns: what the rules of interrupts, returns and far transfers ask for, answered in two ways: with whatever an access takes, page
// walks, devices and debug registers included, or with what is at hand for translated code: memory by the tables, in one page,
// descriptors whose accessed bit is set, flags as that code keeps them. A reach is always a literal and everything is inlined, so that
// each gets code of its own.
// Must not know: the rules.

/// How far a transfer reaches.
enum Reach {
  case any
  /// Where more is needed `Fault.notAtHand` is thrown and nothing has been done.
  case atHand
}

extension Fault {
  /// Something is not at hand. Nobody delivers this one.
  static var notAtHand: Fault { Fault(vector: 253) }
}

/// Room for pushes that cannot fail any more.
struct PushRoom {
  var stack: StackFrame
  /// At hand: the host's address of the lowest byte pushed so far.
  var host: UnsafeMutableRawPointer?
}

extension CPU {
  // MARK: - Tables of the system

  @_transparent
  func word(_ reach: Reach, _ linear: UInt32) throws(Fault) -> UInt16 {
    if reach == .any { return try readSystem16(linear) }
    return try place(linear, 2, tables.supervisorRead).loadUnaligned(as: UInt16.self)
  }

  @_transparent
  func doubleword(_ reach: Reach, _ linear: UInt32) throws(Fault) -> UInt32 {
    if reach == .any { return try readSystem32(linear) }
    return try place(linear, 4, tables.supervisorRead).loadUnaligned(as: UInt32.self)
  }

  @_transparent
  func quadword(_ reach: Reach, _ linear: UInt32) throws(Fault) -> UInt64 {
    if reach == .any { return try readSystem64(linear) }
    return try place(linear, 8, tables.supervisorRead).loadUnaligned(as: UInt64.self)
  }

  /// SS and ESP of an inner level in a 32-bit TSS.
  @_transparent
  func stackPair(_ reach: Reach, _ linear: UInt32) throws(Fault) -> (ss: UInt16, esp: UInt32) {
    if reach == .any { return (try readSystem16(linear &+ 4), try readSystem32(linear)) }
    let pair = try quadword(reach, linear)
    return (UInt16(truncatingIfNeeded: pair >> 32), UInt32(truncatingIfNeeded: pair))
  }

  /// Where `bytes` bytes in one page are, by a table's entry.
  @_transparent
  private func place(_ linear: UInt32, _ bytes: UInt32, _ table: UnsafeMutablePointer<Int>)
    throws(Fault) -> UnsafeRawPointer
  {
    let delta = table[Int(linear >> 12)]
    // A far return may leave out up to 64 KB of parameters.
    guard delta > 0, bytes <= 0x1000, linear & 0xFFF <= 0x1000 &- bytes else { throw .notAtHand }
    return UnsafeRawPointer(bitPattern: delta &+ Int(linear)).unsafelyUnwrapped
  }

  /// A selector's descriptor.
  /// - Throws: exception `vector` with the selector and `ext` as error code, when the selector lies outside of its table.
  @_transparent
  func descriptor(_ reach: Reach, _ selector: UInt16, vector: UInt8 = 13, ext: UInt16 = 0)
    throws(Fault) -> Descriptor
  {
    guard let address = descriptorAddress(selector) else {
      throw selectorFault(vector, selector, ext)
    }
    let d = Descriptor(try quadword(reach, address))
    // Whoever takes a segment sets its accessed bit.
    if reach == .atHand && d.high & 0x1100 == 0x1000 { throw .notAtHand }
    return d
  }

  // MARK: - Operands

  @_transparent
  private func operand<T: FixedWidthInteger & UnsignedInteger>(
    _ reach: Reach, _ segment: Int, _ offset: UInt32, _: T.Type
  ) throws(Fault) -> T {
    if reach == .any { return try read(segment, offset) }
    let size = UInt32(MemoryLayout<T>.size)
    let cache = segmentPointer(segment)
    guard Int64(offset) &+ Int64(size &- 1) <= cache.pointee.readLimit else { throw .notAtHand }
    return try place(cache.pointee.base &+ offset, size, s.pointee.readTable).loadUnaligned(
      as: T.self)
  }

  /// A far pointer in memory.
  @_transparent
  func farPointer(_ reach: Reach, _ i: Insn) throws(Fault) -> (selector: UInt16, offset: UInt32) {
    if !i.pointee.hasMemory { throw .ud }
    let segment = Int(i.pointee.segment)
    let address = effectiveAddress(i)
    let mask = i.pointee.addressMask
    if i.pointee.isOperand32 {
      let offset = try operand(reach, segment, address, UInt32.self)
      return (try operand(reach, segment, (address &+ 4) & mask, UInt16.self), offset)
    }
    let offset = try operand(reach, segment, address, UInt16.self)
    return (try operand(reach, segment, (address &+ 2) & mask, UInt16.self), UInt32(offset))
  }

  // MARK: - The present stack

  /// The top of the stack, of which `bytes` bytes will be read at most: at hand, the host's address.
  @_transparent
  func stackTop(_ reach: Reach, _ bytes: UInt32) throws(Fault) -> UnsafeRawPointer? {
    if reach == .any { return nil }
    let ss = segmentPointer(SegmentRegister.ss)
    let mask = stackMask
    let top = gpr32[Register.esp] & mask
    let last = UInt64(top) &+ UInt64(bytes &- 1)
    guard last <= UInt64(mask), Int64(bitPattern: last) <= ss.pointee.readLimit else {
      throw .notAtHand
    }
    return try place(ss.pointee.base &+ top, bytes, s.pointee.readTable)
  }

  /// The word or doubleword `offset` bytes above the stack pointer.
  @_transparent
  func slot(_ reach: Reach, _ top: UnsafeRawPointer?, _ offset: UInt32, _ size: UInt32)
    throws(Fault) -> UInt32
  {
    if reach == .any { return try peekStack(offset, size) }
    let top = top.unsafelyUnwrapped
    return size == 4
      ? top.loadUnaligned(fromByteOffset: Int(offset), as: UInt32.self)
      : UInt32(top.loadUnaligned(fromByteOffset: Int(offset), as: UInt16.self))
  }

  // MARK: - Pushes

  /// Checks that `count` pushes of `size` bytes will succeed.
  /// - Throws: #SS with `code`, #PF, #AC.
  @_transparent
  func room(
    _ reach: Reach, _ stack: StackFrame, count: UInt32, size: UInt32, code: UInt16
  ) throws(Fault) -> PushRoom {
    if reach == .any {
      try reserve(stack, count: count, size: size, code: code)
      return PushRoom(stack: stack, host: nil)
    }
    let bytes = count &* size
    let top = stack.sp & stack.mask
    guard top >= bytes, stack.contains(top &- bytes, bytes) else { throw .notAtHand }
    let linear = stack.base &+ top &- bytes
    let table = stack.access.contains(.user) ? tables.userWrite : tables.supervisorWrite
    let entry = table[Int(linear >> 12)]
    guard entry != 0, bytes <= 0x1000, linear & 0xFFF <= 0x1000 &- bytes else { throw .notAtHand }
    let host = UnsafeMutableRawPointer(bitPattern: (entry & Int.max) &+ Int(linear))
      .unsafelyUnwrapped
    if entry < 0 {
      // It may go beside code.
      let place = UInt(bitPattern: host - memory.ram)
      guard place < memory.ramSpan else { throw .notAtHand }
      let page = Int(place >> 12)
      let mask = PhysicalMemory.granuleMask(offset: linear & 0xFFF, count: bytes)
      if tracksWrites || memory.codeGranules[page] & mask != 0 { throw .notAtHand }
    }
    return PushRoom(stack: stack, host: host + Int(bytes))
  }

  @_transparent
  func push(_ reach: Reach, _ room: inout PushRoom, _ value: UInt32, _ size: UInt32)
    throws(Fault)
  {
    if reach == .any {
      try push(&room.stack, value, size)
      return
    }
    let host = room.host.unsafelyUnwrapped - Int(size)
    room.host = host
    // It does not wrap.
    room.stack.sp &-= size
    if size == 4 {
      host.storeBytes(of: value, as: UInt32.self)
    } else {
      host.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
    }
  }

  // MARK: - Flags

  /// The whole of EFLAGS.
  @_transparent
  func wholeFlags(_ reach: Reach) -> UInt32 {
    if reach == .any { return eflags }
    let raw = UInt32(s.pointee.rawFlags)
    return s.pointee.eflags & ~EFLAGS.arithmetic | raw >> 8 & 0xD5 | (raw & 1) << 11 | 2
  }

  @_transparent
  func setArithmeticFlags(_ reach: Reach, _ value: UInt32) {
    if reach == .any {
      setArithmeticFlags(value)
      return
    }
    s.pointee.rawFlags = UInt16(
      truncatingIfNeeded: (value & 0xD5 | 2) << 8 | value >> 11 & 1)
  }
}
