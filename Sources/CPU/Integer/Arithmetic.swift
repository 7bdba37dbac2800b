// Binary arithmetic and logic in all operand shapes, INC, DEC, NEG, NOT, sign extension.
//
// Owns: results and flags of these operations, for handlers and forms alike (StateArithmetic.swift). Must not know: encodings.
// Follows: Intel SDM volume 2, and volume 1 section 3.4.3.1 for the flags.

/// A two-operand operation that sets the arithmetic flags.
protocol BinaryOperation {
  /// The result, and the flags in the state.
  static func apply<T: FixedWidthInteger & UnsignedInteger>(_ s: StatePointer, _ a: T, _ b: T) -> T
}

/// An operation whose result does not depend on flags.
protocol PlainOperation: BinaryOperation {
  /// The result alone.
  static func value<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> T
}

enum AddOperation: PlainOperation {
  @inline(__always)
  static func value<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> T { a &+ b }

  @inline(__always)
  static func apply<T: FixedWidthInteger & UnsignedInteger>(_ s: StatePointer, _ a: T, _ b: T) -> T
  {
    let r = value(a, b)
    s.setFlags(r, carries: StatePointer.addCarries(a, b, r))
    return r
  }
}

enum AdcOperation: BinaryOperation {
  @inline(__always)
  static func apply<T: FixedWidthInteger & UnsignedInteger>(_ s: StatePointer, _ a: T, _ b: T) -> T
  {
    let r = a &+ b &+ T(truncatingIfNeeded: s.carryBit)
    s.setFlags(r, carries: StatePointer.addCarries(a, b, r))
    return r
  }
}

enum SubOperation: PlainOperation {
  @inline(__always)
  static func value<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> T { a &- b }

  @inline(__always)
  static func apply<T: FixedWidthInteger & UnsignedInteger>(_ s: StatePointer, _ a: T, _ b: T) -> T
  {
    let r = value(a, b)
    s.setFlags(r, carries: StatePointer.subCarries(a, b, r))
    return r
  }
}

typealias CmpOperation = SubOperation

enum SbbOperation: BinaryOperation {
  @inline(__always)
  static func apply<T: FixedWidthInteger & UnsignedInteger>(_ s: StatePointer, _ a: T, _ b: T) -> T
  {
    let r = a &- b &- T(truncatingIfNeeded: s.carryBit)
    s.setFlags(r, carries: StatePointer.subCarries(a, b, r))
    return r
  }
}

enum AndOperation: PlainOperation {
  @inline(__always)
  static func value<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> T { a & b }

  @inline(__always)
  static func apply<T: FixedWidthInteger & UnsignedInteger>(_ s: StatePointer, _ a: T, _ b: T) -> T
  {
    let r = value(a, b)
    s.setLogicFlags(r)
    return r
  }
}

typealias TestOperation = AndOperation

enum OrOperation: PlainOperation {
  @inline(__always)
  static func value<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> T { a | b }

  @inline(__always)
  static func apply<T: FixedWidthInteger & UnsignedInteger>(_ s: StatePointer, _ a: T, _ b: T) -> T
  {
    let r = value(a, b)
    s.setLogicFlags(r)
    return r
  }
}

enum XorOperation: PlainOperation {
  @inline(__always)
  static func value<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> T { a ^ b }

  @inline(__always)
  static func apply<T: FixedWidthInteger & UnsignedInteger>(_ s: StatePointer, _ a: T, _ b: T) -> T
  {
    let r = value(a, b)
    s.setLogicFlags(r)
    return r
  }
}

extension UnsafeMutablePointer<CPUState> {
  /// Stores result and carries of INC or DEC, which leave CF.
  @inline(__always)
  private func setFlagsKeepingCF<T: FixedWidthInteger & UnsignedInteger>(_ r: T, carries: T) {
    let carry = pointee.flagAux & 0x8000_0000
    setFlags(r, carries: carries)
    // Where the operation's own carry differs from the kept one both top bits flip, which leaves OF.
    let flip = (pointee.flagAux ^ carry) & 0x8000_0000
    pointee.flagAux ^= flip | flip >> 1
  }

  @inline(__always)
  func increment<T: FixedWidthInteger & UnsignedInteger>(_ a: T) -> T {
    let r = a &+ 1
    setFlagsKeepingCF(r, carries: StatePointer.addCarries(a, 1, r))
    return r
  }

  @inline(__always)
  func decrement<T: FixedWidthInteger & UnsignedInteger>(_ a: T) -> T {
    let r = a &- 1
    setFlagsKeepingCF(r, carries: StatePointer.subCarries(a, 1, r))
    return r
  }

  @inline(__always)
  func negate<T: FixedWidthInteger & UnsignedInteger>(_ a: T) -> T {
    let r = 0 &- a
    setFlags(r, carries: StatePointer.subCarries(0, a, r))
    return r
  }
}

extension CPU {
  // MARK: - Memory operands

  @inline(__always)
  func load<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn) throws(Fault) -> T {
    try read(Int(i.pointee.segment), effectiveAddress(i))
  }

  @inline(__always)
  func store<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn, _ value: T) throws(Fault) {
    try write(Int(i.pointee.segment), effectiveAddress(i), value)
  }

  @inline(__always)
  func modifyMemory<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ body: (T) -> T
  ) throws(Fault) {
    try modify(Int(i.pointee.segment), effectiveAddress(i), body)
  }

  // MARK: - Operand shapes

  @inline(__always)
  func binaryRR<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ operation: O.Type, _ size: T.Type
  ) {
    s.binaryRR(i, operation, size)
  }

  @inline(__always)
  func binaryRM<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _: O.Type, _: T.Type
  ) throws(Fault) {
    let b: T = try load(i)
    setReg(i.pointee.reg, O.apply(s, reg(i.pointee.reg) as T, b))
  }

  @inline(__always)
  func binaryMR<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _: O.Type, _: T.Type
  ) throws(Fault) {
    let b: T = reg(i.pointee.reg)
    try modifyMemory(i) { (a: T) in O.apply(s, a, b) }
  }

  @inline(__always)
  func binaryRI<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ operation: O.Type, _ size: T.Type
  ) {
    s.binaryRI(i, operation, size)
  }

  @inline(__always)
  func binaryMI<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _: O.Type, _: T.Type
  ) throws(Fault) {
    let b = T(truncatingIfNeeded: i.pointee.imm)
    try modifyMemory(i) { (a: T) in O.apply(s, a, b) }
  }

  @inline(__always)
  func compareRR<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ operation: O.Type, _ size: T.Type
  ) {
    s.compareRR(i, operation, size)
  }

  @inline(__always)
  func compareRM<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _: O.Type, _: T.Type
  ) throws(Fault) {
    let b: T = try load(i)
    _ = O.apply(s, reg(i.pointee.reg) as T, b)
  }

  @inline(__always)
  func compareMR<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _: O.Type, _: T.Type
  ) throws(Fault) {
    let a: T = try load(i)
    _ = O.apply(s, a, reg(i.pointee.reg) as T)
  }

  @inline(__always)
  func compareRI<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ operation: O.Type, _ size: T.Type
  ) {
    s.compareRI(i, operation, size)
  }

  @inline(__always)
  func compareMI<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _: O.Type, _: T.Type
  ) throws(Fault) {
    let a: T = try load(i)
    _ = O.apply(s, a, T(truncatingIfNeeded: i.pointee.imm))
  }

  // MARK: - One operand

  @inline(__always)
  func increment<T: FixedWidthInteger & UnsignedInteger>(_ a: T) -> T { s.increment(a) }
  @inline(__always)
  func decrement<T: FixedWidthInteger & UnsignedInteger>(_ a: T) -> T { s.decrement(a) }

  func negateRM(_ i: Insn) throws(Fault) {
    if i.pointee.isByte {
      try modifyRM(i) { (v: UInt8) in s.negate(v) }
    } else if i.pointee.isOperand32 {
      try modifyRM(i) { (v: UInt32) in s.negate(v) }
    } else {
      try modifyRM(i) { (v: UInt16) in s.negate(v) }
    }
  }

  func complementRM(_ i: Insn) throws(Fault) {
    if i.pointee.isByte {
      try modifyRM(i) { (v: UInt8) in ~v }
    } else if i.pointee.isOperand32 {
      try modifyRM(i) { (v: UInt32) in ~v }
    } else {
      try modifyRM(i) { (v: UInt16) in ~v }
    }
  }

  @inline(__always)
  func signExtend(_ value: UInt8) -> UInt32 { UInt32(bitPattern: Int32(Int8(bitPattern: value))) }
  @inline(__always)
  func signExtend(_ value: UInt16) -> UInt32 { UInt32(bitPattern: Int32(Int16(bitPattern: value))) }

  /// MOVZX and MOVSX from a byte to a word.
  func movedByte(_ i: Insn, signed: Bool) throws(Fault) -> UInt16 {
    let value: UInt8 = try readRM(i)
    return signed ? UInt16(truncatingIfNeeded: signExtend(value)) : UInt16(value)
  }

  @inline(__always)
  func conditionalMove<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn, _: T.Type) throws(Fault) {
    let value: T = try readRM(i)
    if condition(i.pointee.condition) { setReg(i.pointee.reg, value) }
  }
}
