// The x87 instructions with memory operands.
//
// Owns: the opcode map of mod != 3 and the order of access, exception and pop. Must not know: how results are computed (SoftFloat80), the
// environment images (FPUEnvironment).
// Follows: Intel SDM volume 2 (FLD, FST, FILD, FIST, FBLD, FBSTP, arithmetic with memory operands).

extension CPU {
  /// D8-DF with a memory operand.
  func executeFPUMemory(_ i: Insn) throws(Fault) {
    let digit = i.pointee.digit
    switch i.pointee.opcode & 7 {
    case 0:
      try checkFPUPending()
      let offset = effectiveAddress(i)
      let bits: UInt32 = try read(Int(i.pointee.segment), offset)
      operateFloat(i, digit, offset, UInt64(bits), .single)
    case 1:
      switch digit {
      case 0:
        try checkFPUPending()
        let offset = effectiveAddress(i)
        let bits: UInt32 = try read(Int(i.pointee.segment), offset)
        loadFloat(i, offset, UInt64(bits), .single)
      case 2, 3: try storeFloat(i, .single, pop: digit == 3)
      case 4: try loadEnvironment(i)
      case 5:
        try checkFPUPending()
        let value: UInt16 = try read(Int(i.pointee.segment), effectiveAddress(i))
        setFPUControlWord(value)
      case 6: try storeEnvironment(i)
      case 7: try write(Int(i.pointee.segment), effectiveAddress(i), fpu.pointee.cw)
      default: throw .ud
      }
    case 2:
      try checkFPUPending()
      let offset = effectiveAddress(i)
      let bits: UInt32 = try read(Int(i.pointee.segment), offset)
      operateInteger(i, digit, offset, Int64(Int32(bitPattern: bits)))
    case 3:
      switch digit {
      case 0:
        try checkFPUPending()
        let offset = effectiveAddress(i)
        let bits: UInt32 = try read(Int(i.pointee.segment), offset)
        load(i, offset, SoftFloat80.fromInteger(Int64(Int32(bitPattern: bits))))
      case 2, 3: try storeInteger(i, 32, pop: digit == 3)
      case 5: try loadExtended(i)
      case 7: try storeExtended(i)
      default: throw .ud
      }
    case 4:
      try checkFPUPending()
      let offset = effectiveAddress(i)
      let bits: UInt64 = try read(Int(i.pointee.segment), offset)
      operateFloat(i, digit, offset, bits, .double)
    case 5:
      switch digit {
      case 0:
        try checkFPUPending()
        let offset = effectiveAddress(i)
        let bits: UInt64 = try read(Int(i.pointee.segment), offset)
        loadFloat(i, offset, bits, .double)
      case 2, 3: try storeFloat(i, .double, pop: digit == 3)
      case 4: try restoreState(i)
      case 6: try saveState(i)
      case 7: try write(Int(i.pointee.segment), effectiveAddress(i), fpuStatusWord)
      default: throw .ud
      }
    case 6:
      try checkFPUPending()
      let offset = effectiveAddress(i)
      let bits: UInt16 = try read(Int(i.pointee.segment), offset)
      operateInteger(i, digit, offset, Int64(Int16(bitPattern: bits)))
    default:
      switch digit {
      case 0:
        try checkFPUPending()
        let offset = effectiveAddress(i)
        let bits: UInt16 = try read(Int(i.pointee.segment), offset)
        load(i, offset, SoftFloat80.fromInteger(Int64(Int16(bitPattern: bits))))
      case 2, 3: try storeInteger(i, 16, pop: digit == 3)
      case 4:
        try checkFPUPending()
        let offset = effectiveAddress(i)
        let (low, high) = try read80(Int(i.pointee.segment), offset)
        load(i, offset, SoftFloat80.fromDecimal(low, high))
      case 5:
        try checkFPUPending()
        let offset = effectiveAddress(i)
        let bits: UInt64 = try read(Int(i.pointee.segment), offset)
        load(i, offset, SoftFloat80.fromInteger(Int64(bitPattern: bits)))
      case 6: try storeDecimal(i)
      case 7: try storeInteger(i, 64, pop: true)
      default: throw .ud
      }
    }
  }

  // MARK: - Ten-byte operands

  private func read80(_ segment: Int, _ offset: UInt32) throws(Fault) -> (UInt64, UInt16) {
    _ = try linearForRead(segment, offset, 10)
    let low: UInt64 = try read(segment, offset)
    let high: UInt16 = try read(segment, offset &+ 8)
    return (low, high)
  }

  private func write80(_ segment: Int, _ offset: UInt32, _ low: UInt64, _ high: UInt16)
    throws(Fault)
  {
    let linear = try linearForWrite(segment, offset, 10)
    if linear & 0xFFF > 0x1000 - 10 { try probeWrite(linear, 10, userAccess) }
    try write(segment, offset, low)
    try write(segment, offset &+ 8, high)
  }

  // MARK: - Loads

  @inline(__always)
  private func load(_ i: Insn, _ offset: UInt32, _ value: Float80Bits) {
    beginFPU(i, operand: offset)
    if isEmptyST(7) {
      pushST(value)
    } else if stackFault(overflow: true) {
      pushST(.indefinite)
    }
  }

  @inline(__always)
  private func loadFloat(_ i: Insn, _ offset: UInt32, _ bits: UInt64, _ format: FloatFormat) {
    beginFPU(i, operand: offset)
    if !isEmptyST(7) {
      if stackFault(overflow: true) { pushST(.indefinite) }
      return
    }
    var unit = arithmetic
    let value = unit.load(bits, format)
    // An unmasked denormal exception does not keep the value from being loaded.
    if raiseFPU(unit.flags) & FPUStatus.ie == 0 { pushST(value) }
  }

  private func loadExtended(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    let offset = effectiveAddress(i)
    let (low, high) = try read80(Int(i.pointee.segment), offset)
    load(i, offset, Float80Bits(signExponent: high, significand: low))
  }

  // MARK: - Arithmetic

  private func operateFloat(
    _ i: Insn, _ digit: Int, _ offset: UInt32, _ bits: UInt64, _ format: FloatFormat
  ) {
    beginFPU(i, operand: offset)
    let (b, denormal) = SoftFloat80.widen(bits, format)
    operateMemory(digit, b, denormal: denormal)
  }

  private func operateInteger(_ i: Insn, _ digit: Int, _ offset: UInt32, _ value: Int64) {
    beginFPU(i, operand: offset)
    operateMemory(digit, SoftFloat80.fromInteger(value), denormal: false)
  }

  /// FADD, FMUL, FCOM, FCOMP, FSUB, FSUBR, FDIV, FDIVR of ST(0) and a memory operand that was a denormal in its own format or not.
  private func operateMemory(_ digit: Int, _ b: Float80Bits, denormal: Bool) {
    var unit = arithmetic
    if digit & 6 == 2 {
      if isEmptyST(0) {
        if comparisonFault() && digit == 3 { popST() }
        return
      }
      let conditions = unit.compare(st(0), b, quiet: false)
      if denormal && conditions & FPUStatus.c2 == 0 { unit.flags |= FPUStatus.de }
      if setComparison(conditions, unit.flags) && digit == 3 { popST() }
      return
    }
    if isEmptyST(0) {
      if stackFault(overflow: false) { setST(0, .indefinite) }
      return
    }
    let a = st(0)
    let result = operate(digit, a, b, &unit)
    if denormal && unit.flags & (FPUStatus.ie | FPUStatus.ze) == 0 && !a.isNaN {
      // Unmasked, the denormal operand would have stopped the operation before it raised anything else.
      if unit.isUnmasked(FPUStatus.de) { unit.flags = 0 }
      unit.flags |= FPUStatus.de
    }
    if raiseFPU(unit.flags) & FPUStatus.before == 0 { setST(0, result) }
  }

  // MARK: - Stores

  /// An unmasked exception keeps the store from memory, but not from being checked.
  private func probeStore(_ i: Insn, _ offset: UInt32, _ size: UInt32) throws(Fault) {
    let linear = try linearForWrite(Int(i.pointee.segment), offset, size)
    if alignmentChecked && linear & (size == 10 ? 7 : size &- 1) != 0 { throw .ac }
    try probeWrite(linear, size, userAccess)
  }

  private func storeFloat(_ i: Insn, _ format: FloatFormat, pop: Bool) throws(Fault) {
    try checkFPUPending()
    let offset = effectiveAddress(i)
    var unit = arithmetic
    let empty = isEmptyST(0)
    if empty { unit.flags = FPUStatus.ie | FPUStatus.sf }
    let bits = unit.store(empty ? .indefinite : st(0), format)
    let stores = !unit.isUnmasked(
      unit.flags & (FPUStatus.ie | FPUStatus.oe | FPUStatus.ue))
    if stores {
      if format.precision == 24 {
        try write(Int(i.pointee.segment), offset, UInt32(truncatingIfNeeded: bits))
      } else {
        try write(Int(i.pointee.segment), offset, bits)
      }
    } else {
      try probeStore(i, offset, format.precision == 24 ? 4 : 8)
    }
    beginFPU(i, operand: offset)
    raiseFPU(unit.flags)
    if stores && pop { popST() }
  }

  private func storeInteger(_ i: Insn, _ width: UInt64, pop: Bool) throws(Fault) {
    try checkFPUPending()
    let offset = effectiveAddress(i)
    var unit = arithmetic
    let empty = isEmptyST(0)
    if empty { unit.flags = FPUStatus.ie | FPUStatus.sf }
    let bits = unit.toInteger(empty ? .indefinite : st(0), width: width)
    let stores = !unit.isUnmasked(unit.flags & FPUStatus.ie)
    if stores {
      let segment = Int(i.pointee.segment)
      switch width {
      case 16: try write(segment, offset, UInt16(truncatingIfNeeded: bits))
      case 32: try write(segment, offset, UInt32(truncatingIfNeeded: bits))
      default: try write(segment, offset, bits)
      }
    } else {
      try probeStore(i, offset, UInt32(width / 8))
    }
    beginFPU(i, operand: offset)
    raiseFPU(unit.flags)
    if stores && pop { popST() }
  }

  private func storeDecimal(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    let offset = effectiveAddress(i)
    var unit = arithmetic
    let empty = isEmptyST(0)
    if empty { unit.flags = FPUStatus.ie | FPUStatus.sf }
    let (low, high) = unit.toDecimal(empty ? .indefinite : st(0))
    let stores = !unit.isUnmasked(unit.flags & FPUStatus.ie)
    if stores {
      try write80(Int(i.pointee.segment), offset, low, high)
    } else {
      try probeStore(i, offset, 10)
    }
    beginFPU(i, operand: offset)
    raiseFPU(unit.flags)
    if stores { popST() }
  }

  private func storeExtended(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    let offset = effectiveAddress(i)
    let empty = isEmptyST(0)
    let value = empty ? .indefinite : st(0)
    let flags = empty ? FPUStatus.ie | FPUStatus.sf : 0
    let stores = !arithmetic.isUnmasked(flags)
    if stores {
      try write80(Int(i.pointee.segment), offset, value.significand, value.signExponent)
    } else {
      try probeStore(i, offset, 10)
    }
    beginFPU(i, operand: offset)
    raiseFPU(flags)
    if stores { popST() }
  }
}
