// The x87 instructions with register operands, WAIT and the checks before an instruction.
//
// Owns: what the instructions do with the stack. Must not know: encodings (the instruction table), how results are computed
// (SoftFloat80), the memory forms (FPUMemory).
// Follows: Intel SDM volume 2, the instruction pages; volume 1 section 8.3.

/// The arithmetic operations of ST(0) and another operand.
enum FPUArithmetic {
  case add, multiply, subtract, subtractReversed, divide, divideReversed
}

/// The numbers that instructions load.
enum FPUConstant {
  case one, log2Of10, log2OfE, pi, log10Of2, naturalLogOf2, zero
}

extension CPU {
  /// #NM where x87 instructions cannot be used.
  @inline(__always)
  func checkFPU() throws(Fault) {
    if s.pointee.cr0 & (CR0.em | CR0.ts) != 0 { throw .nm }
  }

  /// WAIT.
  func waitForFPU() throws(Fault) {
    if s.pointee.cr0 & (CR0.ts | CR0.mp) == CR0.ts | CR0.mp { throw .nm }
    try checkFPUPending()
  }

  /// FNOP; it changes the pointers.
  func executeFNOP(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    beginFPU(i, clearingC1: false)
  }

  /// FLD of a register.
  func loadST(_ i: Insn) throws(Fault) {
    let n = Int(i.pointee.rm)
    try checkFPUPending()
    beginFPU(i)
    let underflow = isEmptyST(n)
    if underflow || !isEmptyST(7) {
      if stackFault(overflow: !underflow) { pushST(.indefinite) }
    } else {
      pushST(st(n))
    }
  }

  // MARK: - Arithmetic

  /// An operation between ST(0) and another operand.
  @inline(__always)
  func operate(
    _ operation: FPUArithmetic, _ a: Float80Bits, _ b: Float80Bits, _ unit: inout SoftFloat80
  ) -> Float80Bits {
    switch operation {
    case .add: return unit.add(a, b)
    case .multiply: return unit.multiply(a, b)
    case .subtract: return unit.subtract(a, b)
    case .subtractReversed: return unit.subtract(b, a)
    case .divide: return unit.divide(a, b)
    case .divideReversed: return unit.divide(b, a)
    }
  }

  /// With ST(0) as the destination.
  func arithmeticST(_ i: Insn, _ operation: FPUArithmetic) throws(Fault) {
    try arithmetic(i, operation, destination: 0, pop: false)
  }

  /// With the other register as the destination. The operation is named as the manual does: it is what the destination's value is taken
  /// from or divided by, so that its operands are in the other order.
  func arithmeticTo(_ i: Insn, _ operation: FPUArithmetic, pop: Bool) throws(Fault) {
    let fromST: FPUArithmetic
    switch operation {
    case .add, .multiply: fromST = operation
    case .subtract: fromST = .subtractReversed
    case .subtractReversed: fromST = .subtract
    case .divide: fromST = .divideReversed
    case .divideReversed: fromST = .divide
    }
    try arithmetic(i, fromST, destination: Int(i.pointee.rm), pop: pop)
  }

  @inline(__always)
  private func arithmetic(
    _ i: Insn, _ operation: FPUArithmetic, destination: Int, pop: Bool
  ) throws(Fault) {
    let n = Int(i.pointee.rm)
    try checkFPUPending()
    beginFPU(i)
    if isEmptyST(0) || isEmptyST(n) {
      if stackFault(overflow: false) {
        setST(destination, .indefinite)
        if pop { popST() }
      }
      return
    }
    var unit = arithmetic
    let result = operate(operation, st(0), st(n), &unit)
    if raiseFPU(unit.flags) & FPUStatus.before != 0 { return }
    setST(destination, result)
    if pop { popST() }
  }

  // MARK: - Comparison

  private func popTimes(_ pops: Int) {
    if pops > 0 { popST() }
    if pops > 1 { popST() }
  }

  /// Enters the outcome of a comparison; false when an unmasked exception forbids to pop. The condition codes are set all the same, as
  /// processors do.
  func setComparison(_ conditions: UInt16, _ flags: UInt16) -> Bool {
    fpu.pointee.sw = fpu.pointee.sw & ~FPUStatus.conditions | conditions
    return raiseFPU(flags) & FPUStatus.before == 0
  }

  /// The stack fault of a comparison: unordered; true where masked.
  func comparisonFault() -> Bool {
    fpu.pointee.sw |= FPUStatus.c0 | FPUStatus.c2 | FPUStatus.c3
    return stackFault(overflow: false)
  }

  func compareST(_ i: Insn, _ n: Int, pops: Int, quiet: Bool) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    if isEmptyST(0) || isEmptyST(n) {
      if comparisonFault() { popTimes(pops) }
      return
    }
    var unit = arithmetic
    let conditions = unit.compare(st(0), st(n), quiet: quiet)
    if setComparison(conditions, unit.flags) { popTimes(pops) }
  }

  func compareToFlags(_ i: Insn, pop: Bool, quiet: Bool) throws(Fault) {
    let n = Int(i.pointee.rm)
    guard model.features.contains(.cmov) else { throw .ud }
    try checkFPUPending()
    beginFPU(i)
    var conditions = FPUStatus.c0 | FPUStatus.c2 | FPUStatus.c3
    var pops = pop
    if isEmptyST(0) || isEmptyST(n) {
      pops = stackFault(overflow: false) && pop
    } else {
      var unit = arithmetic
      conditions = unit.compare(st(0), st(n), quiet: quiet)
      if raiseFPU(unit.flags) & FPUStatus.before != 0 { pops = false }
    }
    setArithmeticFlags(
      (conditions & FPUStatus.c0 != 0 ? EFLAGS.cf : 0)
        | (conditions & FPUStatus.c2 != 0 ? EFLAGS.pf : 0)
        | (conditions & FPUStatus.c3 != 0 ? EFLAGS.zf : 0))
    if pops { popST() }
  }

  func moveConditionally(_ i: Insn, _ holds: Bool) throws(Fault) {
    let n = Int(i.pointee.rm)
    guard model.features.contains(.cmov) else { throw .ud }
    try checkFPUPending()
    beginFPU(i, clearingC1: false)
    if isEmptyST(0) || isEmptyST(n) {
      if stackFault(overflow: false) { setST(0, .indefinite) }
      return
    }
    if holds { setST(0, st(n)) }
  }

  // MARK: - Moves

  func copyST(_ i: Insn, pop: Bool) throws(Fault) {
    let n = Int(i.pointee.rm)
    try checkFPUPending()
    beginFPU(i)
    if isEmptyST(0) {
      guard stackFault(overflow: false) else { return }
      setST(n, .indefinite)
    } else {
      setST(n, st(0))
    }
    if pop { popST() }
  }

  func exchange(_ i: Insn) throws(Fault) {
    let n = Int(i.pointee.rm)
    try checkFPUPending()
    beginFPU(i)
    var a = st(0)
    var b = st(n)
    if isEmptyST(0) || isEmptyST(n) {
      guard stackFault(overflow: false) else { return }
      if isEmptyST(0) { a = .indefinite }
      if isEmptyST(n) { b = .indefinite }
    }
    setST(0, b)
    setST(n, a)
  }

  /// D9 D8-DF: an alias of FSTP that raises no stack fault; an empty register is only popped.
  func moveAndPop(_ i: Insn) throws(Fault) {
    let n = Int(i.pointee.rm)
    try checkFPUPending()
    beginFPU(i)
    if !isEmptyST(0) { setST(n, st(0)) }
    popST()
  }

  func freeST(_ i: Insn, pop: Bool) throws(Fault) {
    let n = Int(i.pointee.rm)
    try checkFPUPending()
    beginFPU(i)
    fpu.pointee.empty |= 1 &<< UInt8(fpuIndex(n))
    if pop { popST() }
  }

  func loadConstant(_ i: Insn, _ constant: FPUConstant) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    if !isEmptyST(7) {
      if stackFault(overflow: true) { pushST(.indefinite) }
      return
    }
    pushST(fpuConstant(constant))
  }

  /// A number rounded by the rounding control.
  func fpuConstant(_ constant: FPUConstant) -> Float80Bits {
    // Each chopped; those whose next bit is set round up to nearest, and all the irrational ones round up towards +infinity.
    let chopped: Float80Bits
    let nearestIsUp: Bool
    switch constant {
    case .one: return .one
    case .log2Of10:
      chopped = Float80Bits(signExponent: 0x4000, significand: 0xD49A_784B_CD1B_8AFE)
      nearestIsUp = false
    case .log2OfE:
      chopped = Float80Bits(signExponent: 0x3FFF, significand: 0xB8AA_3B29_5C17_F0BB)
      nearestIsUp = true
    case .pi:
      chopped = Float80Bits(signExponent: 0x4000, significand: 0xC90F_DAA2_2168_C234)
      nearestIsUp = true
    case .log10Of2:
      chopped = Float80Bits(signExponent: 0x3FFD, significand: 0x9A20_9A84_FBCF_F798)
      nearestIsUp = true
    case .naturalLogOf2:
      chopped = Float80Bits(signExponent: 0x3FFE, significand: 0xB172_17F7_D1CF_79AB)
      nearestIsUp = true
    case .zero: return .zero(0)
    }
    let up: Bool
    switch fpu.pointee.cw >> 10 & 3 {
    case SoftFloat80.Rounding.nearest: up = nearestIsUp
    case SoftFloat80.Rounding.up: up = true
    default: up = false
    }
    return Float80Bits(
      signExponent: chopped.signExponent, significand: chopped.significand &+ (up ? 1 : 0))
  }
}
