// How a transfer of control reaches memory and flags while it is planned and carried out.
//
// Owns: what the rules of interrupts, returns and far transfers ask for, and the answer of the interpreter: whatever an access takes,
// page walks, devices and debug registers included. QuickTransfers.swift has the other answer: what is at hand.
// Must not know: the rules.

/// What planning and carrying out a transfer needs. Everything is static, so that each kind makes code of its own.
protocol TransferAccess {
  /// Where pushes go for which room was reserved.
  associatedtype Room
  /// The top of the present stack.
  associatedtype Top

  // Tables of the system, by linear address, with the rights of a supervisor.

  static func word(_ cpu: CPU, _ linear: UInt32) throws(Fault) -> UInt16
  static func doubleword(_ cpu: CPU, _ linear: UInt32) throws(Fault) -> UInt32
  static func quadword(_ cpu: CPU, _ linear: UInt32) throws(Fault) -> UInt64
  /// Whether a descriptor may be used that was fetched; its accessed bit may have to be set.
  static func accept(_ d: Descriptor) throws(Fault)

  /// An operand of the instruction.
  static func operand<T: FixedWidthInteger & UnsignedInteger>(
    _ cpu: CPU, _ segment: Int, _ offset: UInt32, _: T.Type
  ) throws(Fault) -> T

  /// The top of the present stack, of which `bytes` bytes will be read at most.
  static func top(_ cpu: CPU, _ bytes: UInt32) throws(Fault) -> Top
  /// The word or doubleword `offset` bytes above the stack pointer.
  static func slot(_ cpu: CPU, _ top: Top, _ offset: UInt32, _ size: UInt32) throws(Fault) -> UInt32

  /// Checks that `count` pushes of `size` bytes will succeed.
  /// - Throws: #SS with `code`, #PF, #AC.
  static func reserve(
    _ cpu: CPU, _ stack: StackFrame, count: UInt32, size: UInt32, code: UInt16
  ) throws(Fault) -> Room
  static func push(_ cpu: CPU, _ room: inout Room, _ value: UInt32, _ size: UInt32) throws(Fault)
  /// ESP as the pushes have left it.
  static func stackPointer(_ room: Room) -> UInt32

  /// The whole of EFLAGS.
  static func flags(_ cpu: CPU) -> UInt32
  static func setArithmeticFlags(_ cpu: CPU, _ value: UInt32)
}

/// Whatever an access takes.
enum AnyAccess: TransferAccess {
  static func word(_ cpu: CPU, _ linear: UInt32) throws(Fault) -> UInt16 {
    try cpu.readSystem16(linear)
  }
  static func doubleword(_ cpu: CPU, _ linear: UInt32) throws(Fault) -> UInt32 {
    try cpu.readSystem32(linear)
  }
  static func quadword(_ cpu: CPU, _ linear: UInt32) throws(Fault) -> UInt64 {
    try cpu.readSystem64(linear)
  }
  @inline(__always)
  static func accept(_ d: Descriptor) {}

  @inline(__always)
  static func operand<T: FixedWidthInteger & UnsignedInteger>(
    _ cpu: CPU, _ segment: Int, _ offset: UInt32, _: T.Type
  ) throws(Fault) -> T {
    try cpu.read(segment, offset)
  }

  @inline(__always)
  static func top(_ cpu: CPU, _ bytes: UInt32) {}
  static func slot(_ cpu: CPU, _ top: Void, _ offset: UInt32, _ size: UInt32) throws(Fault)
    -> UInt32
  {
    try cpu.peekStack(offset, size)
  }

  @inline(__always)
  static func reserve(
    _ cpu: CPU, _ stack: StackFrame, count: UInt32, size: UInt32, code: UInt16
  ) throws(Fault) -> StackFrame {
    try cpu.reserve(stack, count: count, size: size, code: code)
    return stack
  }
  @inline(__always)
  static func push(_ cpu: CPU, _ room: inout StackFrame, _ value: UInt32, _ size: UInt32)
    throws(Fault)
  {
    try cpu.push(&room, value, size)
  }
  @inline(__always)
  static func stackPointer(_ room: StackFrame) -> UInt32 { room.sp }

  @inline(__always)
  static func flags(_ cpu: CPU) -> UInt32 { cpu.eflags }
  @inline(__always)
  static func setArithmeticFlags(_ cpu: CPU, _ value: UInt32) { cpu.setArithmeticFlags(value) }
}

extension CPU {
  /// A selector's descriptor.
  /// - Throws: exception `vector` with the selector and `ext` as error code, when the selector lies outside of its table.
  @inline(__always)
  func descriptor<A: TransferAccess>(
    _: A.Type, _ selector: UInt16, vector: UInt8 = 13, ext: UInt16 = 0
  ) throws(Fault) -> Descriptor {
    guard let address = descriptorAddress(selector) else {
      throw selectorFault(vector, selector, ext)
    }
    let d = Descriptor(try A.quadword(self, address))
    try A.accept(d)
    return d
  }

  /// A far pointer in memory.
  @inline(__always)
  func farPointer<A: TransferAccess>(_ access: A.Type, _ i: Insn) throws(Fault)
    -> (selector: UInt16, offset: UInt32)
  {
    if !i.pointee.hasMemory { throw .ud }
    let segment = Int(i.pointee.segment)
    let address = effectiveAddress(i)
    let mask = i.pointee.addressMask
    if i.pointee.isOperand32 {
      let offset = try access.operand(self, segment, address, UInt32.self)
      return (try access.operand(self, segment, (address &+ 4) & mask, UInt16.self), offset)
    }
    let offset = try access.operand(self, segment, address, UInt16.self)
    return (
      try access.operand(self, segment, (address &+ 2) & mask, UInt16.self), UInt32(offset)
    )
  }
}
