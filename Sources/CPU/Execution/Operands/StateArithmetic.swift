// Arithmetic forms: operations on operands that are at hand, and comparisons together with the jump behind them.
//
// Owns: which operands an operation takes and where its result goes. Must not know: addresses, flags beside storing them.

/// What a conditional jump asks of the operands of the comparison before it; named as the jumps are.
protocol Relation {
  static func holds<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> Bool
}

/// The relations, by the mnemonics' letters.
enum If {
  enum B: Relation {
    @inline(__always)
    static func holds<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> Bool { a < b }
  }
  enum NB: Relation {
    @inline(__always)
    static func holds<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> Bool { a >= b }
  }
  enum Z: Relation {
    @inline(__always)
    static func holds<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> Bool { a == b }
  }
  enum NZ: Relation {
    @inline(__always)
    static func holds<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> Bool { a != b }
  }
  enum BE: Relation {
    @inline(__always)
    static func holds<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> Bool { a <= b }
  }
  enum NBE: Relation {
    @inline(__always)
    static func holds<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> Bool { a > b }
  }
  /// Signed.
  enum L: Relation {
    @inline(__always)
    static func holds<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> Bool {
      let top: T = 1 &<< T(T.bitWidth - 1)
      return a ^ top < b ^ top
    }
  }
  enum NL: Relation {
    @inline(__always)
    static func holds<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> Bool {
      !L.holds(a, b)
    }
  }
  enum LE: Relation {
    @inline(__always)
    static func holds<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> Bool {
      !L.holds(b, a)
    }
  }
  enum NLE: Relation {
    @inline(__always)
    static func holds<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T) -> Bool {
      L.holds(b, a)
    }
  }
}

extension UnsafeMutablePointer<CPUState> {
  // MARK: - Two operands; with memory they return true where the instruction has to go the long way

  @inline(__always)
  func binaryRR<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _: O.Type, _: T.Type
  ) {
    setReg(i.pointee.rm, O.apply(self, reg(i.pointee.rm) as T, reg(i.pointee.reg) as T))
  }

  @inline(__always)
  func binaryRI<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _: O.Type, _: T.Type
  ) {
    let b = T(truncatingIfNeeded: i.pointee.imm)
    setReg(i.pointee.rm, O.apply(self, reg(i.pointee.rm) as T, b))
  }

  @inline(__always)
  func binaryRM<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: O.Type, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    let b = m.loadUnaligned(as: T.self)
    setReg(i.pointee.reg, O.apply(self, reg(i.pointee.reg) as T, b))
    return false
  }

  @inline(__always)
  func binaryMR<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: O.Type, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    let b: T = reg(i.pointee.reg)
    m.storeBytes(of: O.apply(self, m.loadUnaligned(as: T.self), b), as: T.self)
    return false
  }

  @inline(__always)
  func binaryMI<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: O.Type, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    let b = T(truncatingIfNeeded: i.pointee.imm)
    m.storeBytes(of: O.apply(self, m.loadUnaligned(as: T.self), b), as: T.self)
    return false
  }

  @inline(__always)
  func compareRR<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _: O.Type, _: T.Type
  ) {
    _ = O.apply(self, reg(i.pointee.rm) as T, reg(i.pointee.reg) as T)
  }

  @inline(__always)
  func compareRI<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _: O.Type, _: T.Type
  ) {
    _ = O.apply(self, reg(i.pointee.rm) as T, T(truncatingIfNeeded: i.pointee.imm))
  }

  @inline(__always)
  func compareRM<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: O.Type, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    _ = O.apply(self, reg(i.pointee.reg) as T, m.loadUnaligned(as: T.self))
    return false
  }

  @inline(__always)
  func compareMR<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: O.Type, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    _ = O.apply(self, m.loadUnaligned(as: T.self), reg(i.pointee.reg) as T)
    return false
  }

  @inline(__always)
  func compareMI<O: BinaryOperation, T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: O.Type, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    _ = O.apply(self, m.loadUnaligned(as: T.self), T(truncatingIfNeeded: i.pointee.imm))
    return false
  }

  @inline(__always)
  func flaglessRR<O: PlainOperation>(_ i: Insn, _: O.Type) {
    setReg(i.pointee.rm, O.value(reg(i.pointee.rm) as UInt32, reg(i.pointee.reg)))
  }

  @inline(__always)
  func flaglessRI<O: PlainOperation>(_ i: Insn, _: O.Type) {
    setReg(i.pointee.rm, O.value(reg(i.pointee.rm) as UInt32, i.pointee.imm))
  }

  // MARK: - One operand

  @inline(__always)
  func incrementM<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    m.storeBytes(of: increment(m.loadUnaligned(as: T.self)), as: T.self)
    return false
  }

  @inline(__always)
  func decrementM<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    m.storeBytes(of: decrement(m.loadUnaligned(as: T.self)), as: T.self)
    return false
  }

  @inline(__always)
  private func negateRM<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    m.storeBytes(of: negate(m.loadUnaligned(as: T.self)), as: T.self)
    return false
  }

  @inline(__always)
  private func complementRM<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    m.storeBytes(of: ~m.loadUnaligned(as: T.self), as: T.self)
    return false
  }

  @inline(__always)
  private func exchangeRM<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    let value = m.loadUnaligned(as: T.self)
    m.storeBytes(of: reg(i.pointee.reg) as T, as: T.self)
    setReg(i.pointee.reg, value)
    return false
  }

  /// NEG.
  @inline(__always)
  func negate(_ i: Insn) -> Bool {
    if i.pointee.isByte { return negateRM(i, writableRM(i, 1), UInt8.self) }
    if i.pointee.isOperand32 { return negateRM(i, writableRM(i, 4), UInt32.self) }
    return negateRM(i, writableRM(i, 2), UInt16.self)
  }

  /// NOT.
  @inline(__always)
  func complement(_ i: Insn) -> Bool {
    if i.pointee.isByte { return complementRM(i, writableRM(i, 1), UInt8.self) }
    if i.pointee.isOperand32 { return complementRM(i, writableRM(i, 4), UInt32.self) }
    return complementRM(i, writableRM(i, 2), UInt16.self)
  }

  /// XCHG.
  @inline(__always)
  func exchange(_ i: Insn) -> Bool {
    if i.pointee.isByte { return exchangeRM(i, writableRM(i, 1), UInt8.self) }
    if i.pointee.isOperand32 { return exchangeRM(i, writableRM(i, 4), UInt32.self) }
    return exchangeRM(i, writableRM(i, 2), UInt16.self)
  }

  /// CMOVcc.
  @inline(__always)
  func conditionalMove<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    let value = m.loadUnaligned(as: T.self)
    if condition(i.pointee.condition) { setReg(i.pointee.reg, value) }
    return false
  }

  /// SETcc.
  @inline(__always)
  func setByCondition(_ i: Insn) -> Bool {
    let value: UInt8 = condition(i.pointee.condition) ? 1 : 0
    if !i.pointee.hasMemory {
      setReg(i.pointee.rm, value)
      return false
    }
    guard let m = writable(i, 1) else { return true }
    m.storeBytes(of: value, as: UInt8.self)
    return false
  }

  /// IMUL of two and of three operands.
  @inline(__always)
  func multiplyRM<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    setReg(i.pointee.reg, multiply(reg(i.pointee.reg) as T, m.loadUnaligned(as: T.self)))
    return false
  }

  @inline(__always)
  func multiplyRMI<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    let b = T(truncatingIfNeeded: i.pointee.imm)
    setReg(i.pointee.reg, multiply(m.loadUnaligned(as: T.self), b))
    return false
  }

  /// BT, BTS, BTR, BTC of 32-bit operands.
  @inline(__always)
  func bitTest(_ i: Insn, immediate: Bool) -> Bool {
    if !i.pointee.isOperand32 { return true }
    let kind = Int(i.pointee.imm2 & 3)
    let place: UnsafeMutableRawPointer?
    if !i.pointee.hasMemory {
      place = UnsafeMutableRawPointer(self) + Int(i.pointee.rm)
    } else {
      var offset = offset(i)
      if !immediate {
        offset = offsetOfBit(i, offset, reg(i.pointee.reg), UInt32.self)
      }
      place = writable(i, at: offset, 4)
    }
    guard let m = place else { return true }
    let bit: UInt32 = 1 &<< (immediate ? i.pointee.imm : reg(i.pointee.reg))
    let r = testBit(m.value32, bit, kind)
    if kind != 0 { m.storeBytes(of: r, as: UInt32.self) }
    return false
  }

  // MARK: - With the jump behind: whether it is taken; the record becomes the jump's

  @inline(__always)
  private func compare<T: FixedWidthInteger & UnsignedInteger, R: Relation>(
    _ i: inout Insn, _ a: T, _ b: T, _: R.Type
  ) -> Bool {
    _ = CmpOperation.apply(self, a, b)
    i += 1
    return R.holds(a, b)
  }

  @inline(__always)
  func cmpRR<T: FixedWidthInteger & UnsignedInteger, R: Relation>(
    _ i: inout Insn, _: T.Type, _ relation: R.Type
  ) -> Bool {
    compare(&i, reg(i.pointee.rm) as T, reg(i.pointee.reg) as T, relation)
  }

  @inline(__always)
  func cmpRI<T: FixedWidthInteger & UnsignedInteger, R: Relation>(
    _ i: inout Insn, _: T.Type, _ relation: R.Type
  ) -> Bool {
    compare(&i, reg(i.pointee.rm) as T, T(truncatingIfNeeded: i.pointee.imm), relation)
  }

  @inline(__always)
  func cmpRM<T: FixedWidthInteger & UnsignedInteger, R: Relation>(
    _ i: inout Insn, _ m: UnsafeMutableRawPointer, _: T.Type, _ relation: R.Type
  ) -> Bool {
    compare(&i, reg(i.pointee.reg) as T, m.loadUnaligned(as: T.self), relation)
  }

  @inline(__always)
  func cmpMR<T: FixedWidthInteger & UnsignedInteger, R: Relation>(
    _ i: inout Insn, _ m: UnsafeMutableRawPointer, _: T.Type, _ relation: R.Type
  ) -> Bool {
    compare(&i, m.loadUnaligned(as: T.self), reg(i.pointee.reg) as T, relation)
  }

  @inline(__always)
  func cmpMI<T: FixedWidthInteger & UnsignedInteger, R: Relation>(
    _ i: inout Insn, _ m: UnsafeMutableRawPointer, _: T.Type, _ relation: R.Type
  ) -> Bool {
    compare(
      &i, m.loadUnaligned(as: T.self), T(truncatingIfNeeded: i.pointee.imm), relation)
  }

  @inline(__always)
  private func test<T: FixedWidthInteger & UnsignedInteger, R: Relation>(
    _ i: inout Insn, _ r: T, _: R.Type
  ) -> Bool {
    setLogicFlags(r)
    i += 1
    return R.holds(r, 0)
  }

  @inline(__always)
  func testRR<T: FixedWidthInteger & UnsignedInteger, R: Relation>(
    _ i: inout Insn, _: T.Type, _ relation: R.Type
  ) -> Bool {
    test(&i, (reg(i.pointee.rm) as T) & reg(i.pointee.reg), relation)
  }

  @inline(__always)
  func testRI<T: FixedWidthInteger & UnsignedInteger, R: Relation>(
    _ i: inout Insn, _: T.Type, _ relation: R.Type
  ) -> Bool {
    test(&i, (reg(i.pointee.rm) as T) & T(truncatingIfNeeded: i.pointee.imm), relation)
  }

  @inline(__always)
  func testMI<T: FixedWidthInteger & UnsignedInteger, R: Relation>(
    _ i: inout Insn, _ m: UnsafeMutableRawPointer, _: T.Type, _ relation: R.Type
  ) -> Bool {
    test(&i, m.loadUnaligned(as: T.self) & T(truncatingIfNeeded: i.pointee.imm), relation)
  }

  /// The result's relation to zero, which tells of ZF and SF.
  @inline(__always)
  private func result<R: Relation>(_ i: inout Insn, _ r: UInt32, _: R.Type) -> Bool {
    setReg(i.pointee.rm, r)
    i += 1
    return R.holds(r, 0)
  }

  @inline(__always)
  func incrementR<R: Relation>(_ i: inout Insn, _ relation: R.Type) -> Bool {
    result(&i, increment(reg(i.pointee.rm)), relation)
  }

  @inline(__always)
  func decrementR<R: Relation>(_ i: inout Insn, _ relation: R.Type) -> Bool {
    result(&i, decrement(reg(i.pointee.rm)), relation)
  }

  @inline(__always)
  func resultRR<O: BinaryOperation, R: Relation>(
    _ i: inout Insn, _: O.Type, _ relation: R.Type
  ) -> Bool {
    result(&i, O.apply(self, reg(i.pointee.rm) as UInt32, reg(i.pointee.reg)), relation)
  }

  @inline(__always)
  func resultRI<O: BinaryOperation, R: Relation>(
    _ i: inout Insn, _: O.Type, _ relation: R.Type
  ) -> Bool {
    result(&i, O.apply(self, reg(i.pointee.rm) as UInt32, i.pointee.imm), relation)
  }
}
