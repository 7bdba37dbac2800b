// The x87 instructions on the top of the stack: D9 E0-FF.
//
// Owns: sign operations, FTST, FXAM, partial remainders, scaling, square root and the transcendental instructions as instructions.
// Must not know: encodings (the instruction table), how results are computed (SoftFloat80).
// Follows: Intel SDM volume 2, the pages of these instructions.

extension CPU {
  /// FCHS, FABS.
  func changeSign(_ i: Insn, _ change: (UInt16) -> UInt16) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    if isEmptyST(0) {
      if stackFault(overflow: false) { setST(0, .indefinite) }
      return
    }
    var value = st(0)
    value.signExponent = change(value.signExponent)
    setST(0, value)
  }

  /// FTST.
  func testST(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    if isEmptyST(0) {
      _ = comparisonFault()
      return
    }
    var unit = arithmetic
    let conditions = unit.compare(st(0), .zero(0), quiet: false)
    _ = setComparison(conditions, unit.flags)
  }

  /// FXAM.
  func examineST(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    fpu.pointee.sw = fpu.pointee.sw & ~FPUStatus.conditions | examine()
  }

  /// FXAM's condition codes.
  private func examine() -> UInt16 {
    let value = st(0)
    let sign = value.isNegative ? FPUStatus.c1 : 0
    if isEmptyST(0) { return sign | FPUStatus.c3 | FPUStatus.c0 }
    if value.isUnsupported { return sign }
    if value.isNaN { return sign | FPUStatus.c0 }
    if value.isInfinity { return sign | FPUStatus.c2 | FPUStatus.c0 }
    if value.isZero { return sign | FPUStatus.c3 }
    if value.isDenormal { return sign | FPUStatus.c3 | FPUStatus.c2 }
    return sign | FPUStatus.c2
  }

  /// FDECSTP, FINCSTP.
  func rotateStack(_ i: Insn, by n: UInt8) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    fpu.pointee.top = (fpu.pointee.top &+ n) & 7
  }

  /// F2XM1, FSQRT, FRNDINT: ST(0) becomes a function of itself.
  func functionOfST(
    _ i: Insn, _ function: (Float80Bits, inout SoftFloat80) -> Float80Bits
  ) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    if faultsOnEmpty() { return }
    var unit = arithmetic
    let result = function(st(0), &unit)
    if raiseFPU(unit.flags) & FPUStatus.before == 0 { setST(0, result) }
  }

  /// FSIN, FCOS: the same where the operand is in range; C2 tells.
  func functionWithRange(
    _ i: Insn, _ function: (Float80Bits, inout SoftFloat80) -> Float80Bits?
  ) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    fpu.pointee.sw &= ~FPUStatus.c2
    if faultsOnEmpty() { return }
    var unit = arithmetic
    guard let result = function(st(0), &unit) else {
      fpu.pointee.sw |= FPUStatus.c2
      return
    }
    if raiseFPU(unit.flags) & FPUStatus.before == 0 { setST(0, result) }
  }

  /// FYL2X, FYL2XP1, FPATAN: of ST(0) and ST(1), to ST(1), and a pop.
  func functionOfPair(
    _ i: Insn, _ function: (Float80Bits, Float80Bits, inout SoftFloat80) -> Float80Bits
  ) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    if faultsOnEmptyPair() { return }
    var unit = arithmetic
    let result = function(st(0), st(1), &unit)
    if raiseFPU(unit.flags) & FPUStatus.before != 0 { return }
    setST(1, result)
    popST()
  }

  /// FPTAN, FSINCOS: ST(0) becomes one number and another is pushed.
  func functionToPair(
    _ i: Insn, _ function: (Float80Bits, inout SoftFloat80) -> (Float80Bits, Float80Bits)?
  ) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    fpu.pointee.sw &= ~FPUStatus.c2
    if faultsOnEmptyOrFull() { return }
    var unit = arithmetic
    guard let (result, pushed) = function(st(0), &unit) else {
      fpu.pointee.sw |= FPUStatus.c2
      return
    }
    if raiseFPU(unit.flags) & FPUStatus.before != 0 { return }
    setST(0, result)
    pushST(pushed)
  }

  /// FXTRACT.
  func extractST(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    if faultsOnEmptyOrFull() { return }
    var unit = arithmetic
    let (exponent, significand) = unit.extract(st(0))
    if raiseFPU(unit.flags) & FPUStatus.before != 0 { return }
    setST(0, exponent)
    pushST(significand)
  }

  /// FSCALE.
  func scaleST(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    if isEmptyST(0) || isEmptyST(1) {
      if stackFault(overflow: false) { setST(0, .indefinite) }
      return
    }
    var unit = arithmetic
    let result = unit.scale(st(0), st(1))
    if raiseFPU(unit.flags) & FPUStatus.before == 0 { setST(0, result) }
  }

  // MARK: - Common parts

  /// The stack fault of an instruction on ST(0).
  private func faultsOnEmpty() -> Bool {
    if !isEmptyST(0) { return false }
    if stackFault(overflow: false) { setST(0, .indefinite) }
    return true
  }

  /// The stack fault of an instruction that takes ST(0) and ST(1), stores in ST(1) and pops.
  private func faultsOnEmptyPair() -> Bool {
    if !isEmptyST(0) && !isEmptyST(1) { return false }
    if stackFault(overflow: false) {
      setST(1, .indefinite)
      popST()
    }
    return true
  }

  /// The stack fault of an instruction that replaces ST(0) and pushes.
  private func faultsOnEmptyOrFull() -> Bool {
    let empty = isEmptyST(0)
    if !empty && isEmptyST(7) { return false }
    if stackFault(overflow: !empty) {
      setST(0, .indefinite)
      pushST(.indefinite)
    }
    return true
  }

  /// FPREM, FPREM1.
  func partialRemainder(_ i: Insn, nearest: Bool) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    if isEmptyST(0) || isEmptyST(1) {
      fpu.pointee.sw &= ~FPUStatus.c2
      if stackFault(overflow: false) { setST(0, .indefinite) }
      return
    }
    var unit = arithmetic
    let (result, conditions) = unit.remainder(st(0), st(1), nearest: nearest)
    // C1 is a quotient bit here.
    let flags = unit.flags & ~FPUStatus.c1
    if raiseFPU(flags) & FPUStatus.before != 0 {
      fpu.pointee.sw &= ~FPUStatus.c2
      return
    }
    if let conditions {
      fpu.pointee.sw = fpu.pointee.sw & ~FPUStatus.conditions | conditions
    } else {
      fpu.pointee.sw &= ~FPUStatus.c2
    }
    setST(0, result)
  }
}
