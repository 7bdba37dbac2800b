// Operands as the interpreter's loop reaches them: registers, and memory where the tables of the fast path lead.
//
// Owns: addresses of operands for forms and handlers that do without the `CPU` object. Where an operand needs more than a look at a
// segment's limit and at a table there is no address, and the instruction goes the long way.
// Must not know: instructions, faults. Follows: Intel SDM volume 3, section 5.3 (limit checking).

extension UnsafeMutableRawPointer {
  @inline(__always) var value16: UInt16 { loadUnaligned(as: UInt16.self) }
  @inline(__always) var value32: UInt32 { loadUnaligned(as: UInt32.self) }
  @inline(__always) var word: UInt32 { UInt32(value16) }
}

extension UnsafeMutablePointer<CPUState> {
  // MARK: - Registers

  @inline(__always)
  func reg<T: FixedWidthInteger>(_ offset: UInt8) -> T {
    UnsafeRawPointer(self).load(fromByteOffset: Int(offset), as: T.self)
  }

  @inline(__always)
  func setReg<T: FixedWidthInteger>(_ offset: UInt8, _ value: T) {
    UnsafeMutableRawPointer(self).storeBytes(of: value, toByteOffset: Int(offset), as: T.self)
  }

  /// The cache of the memory operand's segment.
  @inline(__always)
  func segment(_ i: Insn) -> UnsafeMutablePointer<SegmentCache> {
    (UnsafeMutableRawPointer(self) + Int(i.pointee.segmentOffset)).assumingMemoryBound(
      to: SegmentCache.self)
  }

  @inline(__always)
  var stack: UnsafeMutablePointer<SegmentCache> {
    (UnsafeMutableRawPointer(self) + (64 + 32 * SegmentRegister.ss)).assumingMemoryBound(
      to: SegmentCache.self)
  }

  // MARK: - Addresses

  /// The offset of the memory operand; addresses have 32 bits.
  @inline(__always)
  func offset32(_ i: Insn) -> UInt32 {
    let base: UInt32 = reg(i.pointee.base)
    let index: UInt32 = reg(i.pointee.index)
    return base &+ (index &<< UInt32(i.pointee.scale)) &+ i.pointee.disp
  }

  /// The offset of the memory operand.
  @inline(__always)
  func offset(_ i: Insn) -> UInt32 {
    if i.pointee.isAddress32 { return offset32(i) }
    // As words, which they were most likely written as: the host forwards them sooner.
    let base: UInt16 = reg(i.pointee.base)
    let index: UInt16 = reg(i.pointee.index)
    return UInt32(base &+ index &+ UInt16(truncatingIfNeeded: i.pointee.disp))
  }

  /// The host's address of what lies in one page that a table of the fast path knows.
  @inline(__always)
  func host(_ table: UnsafeMutablePointer<Int>, _ linear: UInt32, _ size: Int)
    -> UnsafeMutableRawPointer?
  {
    let delta = table[Int(linear >> 12)]
    if delta <= 0 || (size > 1 && linear & 0xFFF > UInt32(0x1000 &- size)) { return nil }
    return UnsafeMutableRawPointer(bitPattern: delta &+ Int(linear)).unsafelyUnwrapped
  }

  /// Where a linear address can be read.
  @inline(__always)
  func flatRead(at linear: UInt32, _ size: Int) -> UnsafeMutableRawPointer? {
    host(pointee.readTable, linear, size)
  }

  /// Where a linear address can be read and written.
  @inline(__always)
  func flatWrite(at linear: UInt32, _ size: Int) -> UnsafeMutableRawPointer? {
    host(pointee.writeTable, linear, size)
  }

  /// The memory operand in a flat segment.
  @inline(__always)
  func flatRead(_ i: Insn, _ size: Int) -> UnsafeMutableRawPointer? {
    flatRead(at: offset32(i), size)
  }

  @inline(__always)
  func flatWrite(_ i: Insn, _ size: Int) -> UnsafeMutableRawPointer? {
    flatWrite(at: offset32(i), size)
  }

  /// The memory operand in a flat segment, without an index.
  @inline(__always)
  func baseRead(_ i: Insn, _ size: Int) -> UnsafeMutableRawPointer? {
    flatRead(at: (reg(i.pointee.base) as UInt32) &+ i.pointee.disp, size)
  }

  @inline(__always)
  func baseWrite(_ i: Insn, _ size: Int) -> UnsafeMutableRawPointer? {
    flatWrite(at: (reg(i.pointee.base) as UInt32) &+ i.pointee.disp, size)
  }

  /// The memory operand in any segment.
  @inline(__always)
  func readable(_ i: Insn, _ size: Int) -> UnsafeMutableRawPointer? {
    let segment = segment(i)
    let offset = offset(i)
    if Int64(offset) &+ Int64(size &- 1) > segment.pointee.readLimit { return nil }
    return flatRead(at: segment.pointee.base &+ offset, size)
  }

  @inline(__always)
  func writable(_ i: Insn, _ size: Int) -> UnsafeMutableRawPointer? {
    writable(i, at: offset(i), size)
  }

  /// The same, with an offset other than the ModRM byte's.
  @inline(__always)
  func writable(_ i: Insn, at offset: UInt32, _ size: Int) -> UnsafeMutableRawPointer? {
    let segment = segment(i)
    if Int64(offset) &+ Int64(size &- 1) > segment.pointee.writeLimit { return nil }
    return flatWrite(at: segment.pointee.base &+ offset, size)
  }

  /// The ModRM r/m operand, register or memory.
  @inline(__always)
  func readableRM(_ i: Insn, _ size: Int) -> UnsafeMutableRawPointer? {
    if i.pointee.hasMemory { return readable(i, size) }
    return UnsafeMutableRawPointer(self) + Int(i.pointee.rm)
  }

  @inline(__always)
  func writableRM(_ i: Insn, _ size: Int) -> UnsafeMutableRawPointer? {
    if i.pointee.hasMemory { return writable(i, size) }
    return UnsafeMutableRawPointer(self) + Int(i.pointee.rm)
  }

  // MARK: - Moves; they return true where the instruction has to go the long way

  @inline(__always)
  func moveRM<T: FixedWidthInteger>(_ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type) -> Bool {
    guard let m else { return true }
    setReg(i.pointee.reg, m.loadUnaligned(as: T.self))
    return false
  }

  @inline(__always)
  func moveMR<T: FixedWidthInteger>(_ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type) -> Bool {
    guard let m else { return true }
    m.storeBytes(of: reg(i.pointee.reg) as T, as: T.self)
    return false
  }

  @inline(__always)
  func moveMI<T: FixedWidthInteger>(_ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type) -> Bool {
    guard let m else { return true }
    m.storeBytes(of: T(truncatingIfNeeded: i.pointee.imm), as: T.self)
    return false
  }

  /// MOVZX (unsigned `T`) and MOVSX (signed `T`) to 32 bits.
  @inline(__always)
  func extendRM<T: FixedWidthInteger>(_ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type) -> Bool {
    guard let m else { return true }
    setReg(i.pointee.reg, UInt32(truncatingIfNeeded: m.loadUnaligned(as: T.self)))
    return false
  }

  /// MOVZX and MOVSX of a byte to 16 bits.
  @inline(__always)
  func extendRM16<T: FixedWidthInteger>(_ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type)
    -> Bool
  {
    guard let m else { return true }
    setReg(i.pointee.reg, UInt16(truncatingIfNeeded: m.loadUnaligned(as: T.self)))
    return false
  }

  // MARK: - The stack

  /// Pushes to a stack of any kind.
  @inline(__always)
  func push<T: FixedWidthInteger>(_ value: T) -> Bool {
    let size = MemoryLayout<T>.size
    let mask: UInt32 = stack.pointee.isBig ? 0xFFFF_FFFF : 0xFFFF
    let esp: UInt32 = reg(16)
    let sp = (esp &- UInt32(size)) & mask
    if Int64(sp) &+ Int64(size &- 1) > stack.pointee.writeLimit { return true }
    guard let m = flatWrite(at: stack.pointee.base &+ sp, size) else { return true }
    m.storeBytes(of: value, as: T.self)
    setReg(16, (esp & ~mask) | sp)
    return false
  }

  /// Pops from a stack of any kind, and `more` bytes beside.
  @inline(__always)
  func pop<T: FixedWidthInteger>(_: T.Type, more: UInt32 = 0) -> T? {
    let size = MemoryLayout<T>.size
    let mask: UInt32 = stack.pointee.isBig ? 0xFFFF_FFFF : 0xFFFF
    let esp: UInt32 = reg(16)
    let sp = esp & mask
    if Int64(sp) &+ Int64(size &- 1) > stack.pointee.readLimit { return nil }
    guard let m = flatRead(at: stack.pointee.base &+ sp, size) else { return nil }
    setReg(16, (esp & ~mask) | ((sp &+ UInt32(size) &+ more) & mask))
    return m.loadUnaligned(as: T.self)
  }

  /// Pushes a doubleword to a flat stack with 32-bit stack pointer.
  @inline(__always)
  func flatPush(_ value: UInt32) -> Bool {
    let sp = (reg(16) as UInt32) &- 4
    guard let m = flatWrite(at: sp, 4) else { return true }
    m.storeBytes(of: value, as: UInt32.self)
    setReg(16, sp)
    return false
  }

  /// The top of a stack of any kind.
  @inline(__always)
  func peek<T: FixedWidthInteger>(_: T.Type) -> T? {
    let size = MemoryLayout<T>.size
    let sp = (reg(16) as UInt32) & (stack.pointee.isBig ? 0xFFFF_FFFF : 0xFFFF)
    if Int64(sp) &+ Int64(size &- 1) > stack.pointee.readLimit { return nil }
    guard let m = flatRead(at: stack.pointee.base &+ sp, size) else { return nil }
    return m.loadUnaligned(as: T.self)
  }

  /// Pops a doubleword from a flat stack with 32-bit stack pointer.
  @inline(__always)
  func flatPop(_ i: Insn) -> Bool {
    let sp: UInt32 = reg(16)
    guard let m = flatRead(at: sp, 4) else { return true }
    setReg(16, sp &+ 4)
    setReg(i.pointee.rm, m.value32)
    return false
  }

  // MARK: - Branches

  /// The code segment's limit.
  @inline(__always)
  var codeLimit: UInt32 {
    (UnsafeMutableRawPointer(self) + (64 + 32 * SegmentRegister.cs)).assumingMemoryBound(
      to: SegmentCache.self
    ).pointee.limit
  }

  /// Where the instruction behind this one is, in a block that starts at `eip`.
  @inline(__always)
  func next(_ i: Insn, _ eip: UInt32) -> UInt32 { eip &+ UInt32(i.pointee.nextOffset) }

  /// The target of a relative branch in a block that starts at `eip`.
  @inline(__always)
  func target(_ i: Insn, _ eip: UInt32) -> UInt32 {
    let target = next(i, eip) &+ i.pointee.imm
    return i.pointee.isOperand32 ? target : target & 0xFFFF
  }

  /// Makes the state ready for a handler: it may fault, ask for the time, or stop the block.
  @inline(__always)
  func begin(_ i: Insn, _ block: BlockPointer, _ eip: UInt32) {
    let start = UnsafePointer(block.pointee.records)
    let end = start + Int(block.pointee.count)
    pointee.current = i
    pointee.blockEIP = eip
    pointee.blockStart = start
    pointee.end = end
    pointee.eip = next(end - 1, eip)
  }

  /// Decrements CX or ECX by address size; whether it is not zero then.
  @inline(__always)
  func countDown(_ i: Insn) -> Bool {
    if i.pointee.isAddress32 {
      let count = (reg(4) as UInt32) &- 1
      setReg(4, count)
      return count != 0
    }
    let count = (reg(4) as UInt16) &- 1
    setReg(4, count)
    return count != 0
  }
}
