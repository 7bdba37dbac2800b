// The x87 instructions on the top of the stack: D9 E0-FF.
//
// Owns: sign operations, FTST, FXAM, partial remainders, scaling, square root and the transcendental instructions as instructions.
// Must not know: how results are computed (SoftFloat80).
// Follows: Intel SDM volume 2, the pages of these instructions.

extension CPU {
  /// FCHS, FABS, FTST, FXAM.
  func executeD9E0(_ i: Insn, _ n: Int) throws(Fault) {
    guard n == 0 || n == 1 || n == 4 || n == 5 else { throw .ud }
    try checkFPUPending()
    beginFPU(i)
    if n == 5 {
      fpu.pointee.sw = fpu.pointee.sw & ~FPUStatus.conditions | examine()
      return
    }
    if n == 4 {
      if isEmptyST(0) {
        _ = comparisonFault()
        return
      }
      var unit = arithmetic
      let conditions = unit.compare(st(0), .zero(0), quiet: false)
      _ = setComparison(conditions, unit.flags)
      return
    }
    if isEmptyST(0) {
      if stackFault(overflow: false) { setST(0, .indefinite) }
      return
    }
    var value = st(0)
    value.signExponent = n == 0 ? value.signExponent ^ 0x8000 : value.signExponent & 0x7FFF
    setST(0, value)
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

  /// F2XM1, FYL2X, FPTAN, FPATAN, FXTRACT, FPREM1, FDECSTP, FINCSTP.
  func executeD9F0(_ i: Insn, _ n: Int) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    if n >= 6 {
      fpu.pointee.top = (fpu.pointee.top &+ (n == 6 ? 7 : 1)) & 7
      return
    }
    var unit = arithmetic
    switch n {
    case 0:
      if faultsOnEmpty() { return }
      let result = unit.exponentialMinusOne(st(0))
      if raiseFPU(unit.flags) & FPUStatus.before == 0 { setST(0, result) }
    case 1:
      if faultsOnEmptyPair() { return }
      let result = unit.logarithm(y: st(1), x: st(0))
      finishPair(result, unit.flags)
    case 2:
      fpu.pointee.sw &= ~FPUStatus.c2
      if faultsOnEmptyOrFull() { return }
      guard let (result, pushed) = unit.tangent(st(0)) else {
        fpu.pointee.sw |= FPUStatus.c2
        return
      }
      if raiseFPU(unit.flags) & FPUStatus.before != 0 { return }
      setST(0, result)
      pushST(pushed)
    case 3:
      if faultsOnEmptyPair() { return }
      let result = unit.arctangent(y: st(1), x: st(0))
      finishPair(result, unit.flags)
    case 4:
      if faultsOnEmptyOrFull() { return }
      let (exponent, significand) = unit.extract(st(0))
      if raiseFPU(unit.flags) & FPUStatus.before != 0 { return }
      setST(0, exponent)
      pushST(significand)
    default: partialRemainder(nearest: true)
    }
  }

  /// FPREM, FYL2XP1, FSQRT, FSINCOS, FRNDINT, FSCALE, FSIN, FCOS.
  func executeD9F8(_ i: Insn, _ n: Int) throws(Fault) {
    try checkFPUPending()
    beginFPU(i)
    var unit = arithmetic
    let result: Float80Bits?
    switch n {
    case 0: return partialRemainder(nearest: false)
    case 1:
      if faultsOnEmptyPair() { return }
      let result = unit.logarithmOnePlus(y: st(1), x: st(0))
      return finishPair(result, unit.flags)
    case 3:
      fpu.pointee.sw &= ~FPUStatus.c2
      if faultsOnEmptyOrFull() { return }
      guard let (sine, cosine) = unit.sineAndCosine(st(0)) else {
        fpu.pointee.sw |= FPUStatus.c2
        return
      }
      if raiseFPU(unit.flags) & FPUStatus.before != 0 { return }
      setST(0, sine)
      return pushST(cosine)
    case 2:
      if faultsOnEmpty() { return }
      result = unit.squareRoot(st(0))
    case 4:
      if faultsOnEmpty() { return }
      result = unit.roundToInteger(st(0))
    case 5:
      if isEmptyST(0) || isEmptyST(1) {
        if stackFault(overflow: false) { setST(0, .indefinite) }
        return
      }
      result = unit.scale(st(0), st(1))
    default:
      fpu.pointee.sw &= ~FPUStatus.c2
      if faultsOnEmpty() { return }
      result = n == 6 ? unit.sine(st(0)) : unit.cosine(st(0))
    }
    guard let result else {
      fpu.pointee.sw |= FPUStatus.c2
      return
    }
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

  private func finishPair(_ result: Float80Bits, _ flags: UInt16) {
    if raiseFPU(flags) & FPUStatus.before != 0 { return }
    setST(1, result)
    popST()
  }

  private func partialRemainder(nearest: Bool) {
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
