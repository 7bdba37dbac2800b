// Short paths of far transfers for translated code: INT n, IRET, SYSENTER, SYSEXIT, far CALL, JMP and RET.
//
// Owns: when they are tried, and the access that takes only what is at hand: memory by the tables, in one page, descriptors whose
// accessed bit is set, arithmetic flags as translated code keeps them. Where more is needed nothing has been done, and the instruction
// is interpreted. What a transfer checks and changes is not here: the plans are the interpreter's.
// Must not know: faults. Any doubt leads to the interpreter.

extension Instruction {
  /// Whether `CPU.transferQuickly` may know this instruction.
  @inline(__always) package var isFarTransfer: Bool {
    // What LOCK makes undefined is of these operations too.
    guard handler == .system else { return false }
    switch op {
    case .int3, .int, .iret, .callFar, .callFarIndirect, .jmpFar, .jmpFarIndirect, .retFar,
      .sysenter, .sysexit:
      return true
    default: return false
    }
  }
}

extension Fault {
  /// Something is not at hand. Nobody delivers this one.
  fileprivate static var notAtHand: Fault { Fault(vector: 253) }
}

/// What is at hand.
enum QuickAccess: TransferAccess {
  /// Room in one page.
  struct Room {
    /// The lowest byte pushed so far.
    var host: UnsafeMutableRawPointer
    var esp: UInt32
  }

  @inline(__always)
  private static func system(_ cpu: CPU, _ linear: UInt32, _ bytes: UInt32) throws(Fault)
    -> UnsafeRawPointer
  {
    try place(linear, bytes, cpu.tables.supervisorRead)
  }

  /// Where `bytes` bytes in one page are, by a table's entry.
  @inline(__always)
  private static func place(
    _ linear: UInt32, _ bytes: UInt32, _ table: UnsafeMutablePointer<Int>
  ) throws(Fault) -> UnsafeRawPointer {
    let delta = table[Int(linear >> 12)]
    guard delta > 0, linear & 0xFFF <= 0x1000 &- bytes else { throw .notAtHand }
    return UnsafeRawPointer(bitPattern: delta &+ Int(linear)).unsafelyUnwrapped
  }

  @inline(__always)
  static func word(_ cpu: CPU, _ linear: UInt32) throws(Fault) -> UInt16 {
    try system(cpu, linear, 2).loadUnaligned(as: UInt16.self)
  }
  @inline(__always)
  static func doubleword(_ cpu: CPU, _ linear: UInt32) throws(Fault) -> UInt32 {
    try system(cpu, linear, 4).loadUnaligned(as: UInt32.self)
  }
  @inline(__always)
  static func quadword(_ cpu: CPU, _ linear: UInt32) throws(Fault) -> UInt64 {
    try system(cpu, linear, 8).loadUnaligned(as: UInt64.self)
  }
  @inline(__always)
  static func accept(_ d: Descriptor) throws(Fault) {
    if d.high & 0x1100 == 0x1000 { throw .notAtHand }
  }

  @inline(__always)
  static func operand<T: FixedWidthInteger & UnsignedInteger>(
    _ cpu: CPU, _ segment: Int, _ offset: UInt32, _: T.Type
  ) throws(Fault) -> T {
    let size = UInt32(MemoryLayout<T>.size)
    let cache = cpu.segmentPointer(segment)
    guard Int64(offset) &+ Int64(size &- 1) <= cache.pointee.readLimit else { throw .notAtHand }
    return try place(cache.pointee.base &+ offset, size, cpu.s.pointee.readTable).loadUnaligned(
      as: T.self)
  }

  @inline(__always)
  static func top(_ cpu: CPU, _ bytes: UInt32) throws(Fault) -> UnsafeRawPointer {
    let ss = cpu.segmentPointer(SegmentRegister.ss)
    let mask = cpu.stackMask
    let top = cpu.gpr32[Register.esp] & mask
    let last = UInt64(top) &+ UInt64(bytes &- 1)
    guard last <= UInt64(mask), Int64(bitPattern: last) <= ss.pointee.readLimit else {
      throw .notAtHand
    }
    return try place(ss.pointee.base &+ top, bytes, cpu.s.pointee.readTable)
  }

  @inline(__always)
  static func slot(_ cpu: CPU, _ top: UnsafeRawPointer, _ offset: UInt32, _ size: UInt32)
    -> UInt32
  {
    size == 4
      ? top.loadUnaligned(fromByteOffset: Int(offset), as: UInt32.self)
      : UInt32(top.loadUnaligned(fromByteOffset: Int(offset), as: UInt16.self))
  }

  @inline(__always)
  static func reserve(
    _ cpu: CPU, _ stack: StackFrame, count: UInt32, size: UInt32, code: UInt16
  ) throws(Fault) -> Room {
    let bytes = count &* size
    let top = stack.sp & stack.mask
    guard top >= bytes, stack.contains(top &- bytes, bytes) else { throw .notAtHand }
    let linear = stack.base &+ top &- bytes
    let table =
      stack.access.contains(.user) ? cpu.tables.userWrite : cpu.tables.supervisorWrite
    let entry = table[Int(linear >> 12)]
    guard entry != 0, linear & 0xFFF <= 0x1000 &- bytes else { throw .notAtHand }
    let host = UnsafeMutableRawPointer(bitPattern: (entry & Int.max) &+ Int(linear))
      .unsafelyUnwrapped
    if entry < 0 {
      // It may go beside code.
      let page = (host - cpu.memory.ram) >> 12
      let mask = PhysicalMemory.granuleMask(offset: linear & 0xFFF, count: bytes)
      if cpu.tracksWrites || cpu.memory.codeGranules[page] & mask != 0 { throw .notAtHand }
    }
    return Room(host: host + Int(bytes), esp: stack.sp)
  }

  @inline(__always)
  static func push(_ cpu: CPU, _ room: inout Room, _ value: UInt32, _ size: UInt32) {
    room.host -= Int(size)
    room.esp &-= size
    if size == 4 {
      room.host.storeBytes(of: value, as: UInt32.self)
    } else {
      room.host.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
    }
  }
  @inline(__always)
  static func stackPointer(_ room: Room) -> UInt32 { room.esp }

  @inline(__always)
  static func flags(_ cpu: CPU) -> UInt32 {
    let raw = UInt32(cpu.s.pointee.rawFlags)
    return cpu.s.pointee.eflags & ~EFLAGS.arithmetic | raw >> 8 & 0xD5 | (raw & 1) << 11 | 2
  }
  @inline(__always)
  static func setArithmeticFlags(_ cpu: CPU, _ value: UInt32) {
    cpu.s.pointee.rawFlags = UInt16(
      truncatingIfNeeded: (value & 0xD5 | 2) << 8 | value >> 11 & 1)
  }
}

extension CPU {
  /// `transferQuickly` as translated code calls it.
  static let transferFunction: InterpretOne = { context, record, left, blockEIP in
    Unmanaged<CPU>.fromOpaque(context)._withUnsafeGuaranteedRef {
      $0.transferQuickly(record.assumingMemoryBound(to: Instruction.self), left, blockEIP)
    }
  }

  /// Carries out a far transfer at the end of a translated block; parameters and result are those of `interpretOne`.
  private func transferQuickly(_ record: Insn, _ left: Int, _ blockEIP: UInt32) -> Int {
    let s = self.s
    let watchedFlags = EFLAGS.tf | EFLAGS.rf | EFLAGS.ac | EFLAGS.nt
    guard left == 1, s.pointee.eflags & watchedFlags == 0, s.pointee.dr7 & 0xFF == 0,
      debugEvents.isEmpty, !watching
    else { return interpretOne(record, left, blockEIP) }
    let next = blockEIP &+ UInt32(record.pointee.nextOffset)
    s.pointee.eip = next
    let from =
      segmentPointer(SegmentRegister.cs).pointee.base &+ next &- UInt32(record.pointee.length)
    do throws(Fault) {
      switch record.pointee.op {
      case .int: try interruptQuickly(UInt8(truncatingIfNeeded: record.pointee.imm))
      case .int3: try interruptQuickly(3)
      case .iret: try returnQuickly(record.pointee.isOperand32, from)
      case .callFar, .callFarIndirect: try callQuickly(record, from)
      case .jmpFar, .jmpFarIndirect: try jumpQuickly(record, from)
      case .retFar:
        try commit(
          try planFarReturn(
            QuickAccess.self, record.pointee.isOperand32, pop: record.pointee.imm & 0xFFFF,
            from: from))
      case .sysenter: try commit(try planSYSENTER(QuickAccess.self, from: from))
      case .sysexit: try commit(try planSYSEXIT(QuickAccess.self, from: from))
      default: throw .notAtHand
      }
    } catch {
      return interpretOne(record, left, blockEIP)
    }
    if s.pointee.codeTag == 0 { updateCodeTag() }
    noteFarContext()
    if waits { return 1 }
    return codeAtEIP
  }

  private func interruptQuickly(_ vector: UInt8) throws(Fault) {
    // In V86 mode INT n has more rules. Elsewhere INT3 is as INT n.
    guard !v86, case .plan(let plan) = try planInterrupt(QuickAccess.self, vector, .software, nil)
    else { throw .notAtHand }
    try commit(plan)
  }

  private func returnQuickly(_ operand32: Bool, _ from: UInt32) throws(Fault) {
    try commit(try planInterruptReturn(QuickAccess.self, operand32, from: from))
    s.pointee.nmiBlocked = false
  }

  private func callQuickly(_ i: Insn, _ from: UInt32) throws(Fault) {
    let p = try target(i, .callFar)
    guard
      case .plan(let plan) = try planCall(
        QuickAccess.self, p.selector, p.offset, i.pointee.isOperand32, from: from)
    else { throw .notAtHand }
    try commit(plan)
  }

  private func jumpQuickly(_ i: Insn, _ from: UInt32) throws(Fault) {
    let p = try target(i, .jmpFar)
    guard
      case .plan(let plan) = try planJump(
        QuickAccess.self, p.selector, p.offset, i.pointee.isOperand32, from: from)
    else { throw .notAtHand }
    try commit(plan)
  }

  /// Where a CALL or JMP goes; `direct` has the pointer in the code.
  @inline(__always)
  private func target(_ i: Insn, _ direct: Op) throws(Fault) -> (selector: UInt16, offset: UInt32) {
    if i.pointee.op == direct { return (i.pointee.imm2, i.pointee.imm) }
    return try farPointer(QuickAccess.self, i)
  }

  /// In real and V86 mode: translated code will find the context of this CS.
  private func noteFarContext() {
    let cs = segmentPointer(SegmentRegister.cs)
    guard realSegments, cs.pointee.limit == 0xFFFF,
      cs.pointee.base == UInt32(cs.pointee.selector) << 4
    else { return }
    let n = CPU.farContextIndex(cs.pointee.selector)
    let number = contextNumber >> 32
    // The same selector has one number in each family; the key is made only for what is new.
    if farContexts[n] & 0xFFFF == UInt64(cs.pointee.selector), farContexts[n] >> 32 == number {
      return
    }
    farContexts[n] = number << 32 | UInt64(familyKey() | UInt32(cs.pointee.selector))
  }
}
