// The x87 instructions D8-DF, WAIT, FXSAVE and FXRSTOR: availability checks and the forms with register operands.
//
// Owns: the opcode map of mod = 3. Must not know: how results are computed (SoftFloat80), the memory forms (FPUMemory).
// Follows: Intel SDM volume 2, appendix A (escape opcodes) and the instruction pages; volume 1 section 8.3.

extension CPU {
  /// Executes an x87 instruction: opcode D8-DF, 9B (WAIT) or 0FAE (FXSAVE, FXRSTOR).
  ///
  /// - Throws: #NM, #MF, #UD and what the memory operand may raise.
  func executeFPU(_ i: Insn) throws(Fault) {
    let opcode = i.pointee.opcode
    if opcode == 0x9B {
      if s.pointee.cr0 & (CR0.ts | CR0.mp) == CR0.ts | CR0.mp { throw .nm }
      return try checkFPUPending()
    }
    if opcode == 0x0FAE { return try executeFXGroup(i) }
    if s.pointee.cr0 & (CR0.em | CR0.ts) != 0 { throw .nm }
    if i.pointee.hasMemory { return try executeFPUMemory(i) }
    let n = Int(i.pointee.modrm & 7)
    let digit = i.pointee.digit
    switch opcode & 7 {
    case 0:
      if digit & 6 == 2 { return try compareST(i, n, pops: digit & 1, quiet: false) }
      try arithmeticST(i, digit, n, destination: 0, pop: false)
    case 1: try executeD9(i, digit, n)
    case 2:
      if digit < 4 { return try moveConditionally(i, n, negate: false) }
      guard i.pointee.modrm == 0xE9 else { throw .ud }
      try compareST(i, 1, pops: 2, quiet: true)
    case 3: try executeDB(i, digit, n)
    case 4:
      // DC D0 and DC D8 are aliases of FCOM and FCOMP.
      if digit & 6 == 2 { return try compareST(i, n, pops: digit & 1, quiet: false) }
      try arithmeticST(i, digit, n, destination: n, pop: false)
    case 5:
      switch digit {
      case 0: try freeST(i, n, pop: false)
      case 1: try exchange(i, n)
      case 2: try copyST(i, n, pop: false)
      case 3: try copyST(i, n, pop: true)
      case 4: try compareST(i, n, pops: 0, quiet: true)
      case 5: try compareST(i, n, pops: 1, quiet: true)
      default: throw .ud
      }
    case 6:
      switch digit {
      case 2: try compareST(i, n, pops: 1, quiet: false)
      case 3:
        guard n == 1 else { throw .ud }
        try compareST(i, 1, pops: 2, quiet: false)
      default: try arithmeticST(i, digit, n, destination: n, pop: true)
      }
    default:
      switch digit {
      case 0: try freeST(i, n, pop: true)
      case 1: try exchange(i, n)
      case 2, 3: try copyST(i, n, pop: true)
      case 4:
        guard n == 0 else { throw .ud }
        setReg(0, fpuStatusWord)
      case 5: try compareToFlags(i, n, pop: true, quiet: true)
      case 6: try compareToFlags(i, n, pop: true, quiet: false)
      default: throw .ud
      }
    }
  }

  private func executeDB(_ i: Insn, _ digit: Int, _ n: Int) throws(Fault) {
    switch digit {
    case 0, 1, 2, 3: try moveConditionally(i, n, negate: true)
    case 4:
      switch n {
      case 2: clearFPUExceptions()
      case 3: initializeFPU()
      // FENI, FDISI of the 8087 and FSETPM of the 80287 do nothing.
      case 0, 1, 4: break
      default: throw .ud
      }
    case 5: try compareToFlags(i, n, pop: false, quiet: true)
    case 6: try compareToFlags(i, n, pop: false, quiet: false)
    default: throw .ud
    }
  }

  private func executeD9(_ i: Insn, _ digit: Int, _ n: Int) throws(Fault) {
    switch digit {
    case 0:
      try checkFPUPending()
      beginFPU(i)
      let underflow = isEmptyST(n)
      if underflow || !isEmptyST(7) {
        if stackFault(overflow: !underflow) { pushST(.indefinite) }
      } else {
        pushST(st(n))
      }
    case 1: try exchange(i, n)
    case 2:
      guard n == 0 else { throw .ud }
      try checkFPUPending()
      // FNOP changes the pointers.
      beginFPU(i, clearingC1: false)
    case 3: try moveAndPop(i, n)
    case 4: try executeD9E0(i, n)
    case 5:
      guard n < 7 else { throw .ud }
      try loadConstant(i, n)
    case 6: try executeD9F0(i, n)
    default: try executeD9F8(i, n)
    }
  }

  // MARK: - Arithmetic

  /// The operation that ModRM.reg names, between ST(0) and another operand.
  @inline(__always)
  func operate(
    _ digit: Int, _ a: Float80Bits, _ b: Float80Bits, _ unit: inout SoftFloat80
  ) -> Float80Bits {
    switch digit {
    case 0: return unit.add(a, b)
    case 1: return unit.multiply(a, b)
    case 4: return unit.subtract(a, b)
    case 5: return unit.subtract(b, a)
    case 6: return unit.divide(a, b)
    default: return unit.divide(b, a)
    }
  }

  @inline(__always)
  private func arithmeticST(_ i: Insn, _ digit: Int, _ n: Int, destination: Int, pop: Bool)
    throws(Fault)
  {
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
    let result = operate(digit, st(0), st(n), &unit)
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

  private func compareST(_ i: Insn, _ n: Int, pops: Int, quiet: Bool) throws(Fault) {
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

  private func compareToFlags(_ i: Insn, _ n: Int, pop: Bool, quiet: Bool) throws(Fault) {
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

  private func moveConditionally(_ i: Insn, _ n: Int, negate: Bool) throws(Fault) {
    guard model.features.contains(.cmov) else { throw .ud }
    try checkFPUPending()
    beginFPU(i, clearingC1: false)
    if isEmptyST(0) || isEmptyST(n) {
      if stackFault(overflow: false) { setST(0, .indefinite) }
      return
    }
    let holds: Bool
    switch i.pointee.digit {
    case 0: holds = cf
    case 1: holds = zf
    case 2: holds = cf || zf
    default: holds = pf
    }
    if holds != negate { setST(0, st(n)) }
  }

  // MARK: - Moves

  private func copyST(_ i: Insn, _ n: Int, pop: Bool) throws(Fault) {
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

  private func exchange(_ i: Insn, _ n: Int) throws(Fault) {
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
  private func moveAndPop(_ i: Insn, _ n: Int) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    if !isEmptyST(0) { setST(n, st(0)) }
    popST()
  }

  private func freeST(_ i: Insn, _ n: Int, pop: Bool) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    fpu.pointee.empty |= 1 &<< UInt8(fpuIndex(n))
    if pop { popST() }
  }

  private func loadConstant(_ i: Insn, _ n: Int) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    if !isEmptyST(7) {
      if stackFault(overflow: true) { pushST(.indefinite) }
      return
    }
    pushST(fpuConstant(n))
  }

  /// 1, log2 10, log2 e, pi, log10 2, ln 2, 0, rounded by the rounding control.
  func fpuConstant(_ n: Int) -> Float80Bits {
    // Each chopped; those whose next bit is set round up to nearest, and all the irrational ones round up towards +infinity.
    let chopped: Float80Bits
    let nearestIsUp: Bool
    switch n {
    case 0: return .one
    case 1:
      chopped = Float80Bits(signExponent: 0x4000, significand: 0xD49A_784B_CD1B_8AFE)
      nearestIsUp = false
    case 2:
      chopped = Float80Bits(signExponent: 0x3FFF, significand: 0xB8AA_3B29_5C17_F0BB)
      nearestIsUp = true
    case 3:
      chopped = Float80Bits(signExponent: 0x4000, significand: 0xC90F_DAA2_2168_C234)
      nearestIsUp = true
    case 4:
      chopped = Float80Bits(signExponent: 0x3FFD, significand: 0x9A20_9A84_FBCF_F798)
      nearestIsUp = true
    case 5:
      chopped = Float80Bits(signExponent: 0x3FFE, significand: 0xB172_17F7_D1CF_79AB)
      nearestIsUp = true
    default: return .zero(0)
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
