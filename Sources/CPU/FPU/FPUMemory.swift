// The x87 instructions with memory operands.
//
// Owns: the order of access, exception and pop. Must not know: encodings (the instruction table), how results are computed (SoftFloat80),
// the environment images (FPUEnvironment).
// Follows: Intel SDM volume 2 (FLD, FST, FILD, FIST, FBLD, FBSTP, arithmetic with memory operands).

/// A memory operand of arithmetic.
struct FPUOperand {
  var value: Float80Bits
  /// It was a denormal number in its own format.
  var isDenormal = false
}

extension CPU {
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

  func loadExtended(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    let offset = effectiveAddress(i)
    let (low, high) = try read80(Int(i.pointee.segment), offset)
    load(i, offset, Float80Bits(signExponent: high, significand: low))
  }

  /// FLD of a single.
  func loadSingle(_ i: Insn) throws(Fault) {
    let (offset, bits): (UInt32, UInt32) = try memoryOperand(i)
    loadFloat(i, offset, UInt64(bits), .single)
  }

  /// FLD of a double.
  func loadDouble(_ i: Insn) throws(Fault) {
    let (offset, bits): (UInt32, UInt64) = try memoryOperand(i)
    loadFloat(i, offset, bits, .double)
  }

  /// FILD of a word.
  func loadInteger16(_ i: Insn) throws(Fault) {
    let (offset, bits): (UInt32, UInt16) = try memoryOperand(i)
    load(i, offset, SoftFloat80.fromInteger(Int64(Int16(bitPattern: bits))))
  }

  /// FILD of a doubleword.
  func loadInteger32(_ i: Insn) throws(Fault) {
    let (offset, bits): (UInt32, UInt32) = try memoryOperand(i)
    load(i, offset, SoftFloat80.fromInteger(Int64(Int32(bitPattern: bits))))
  }

  /// FILD of a quadword.
  func loadInteger64(_ i: Insn) throws(Fault) {
    let (offset, bits): (UInt32, UInt64) = try memoryOperand(i)
    load(i, offset, SoftFloat80.fromInteger(Int64(bitPattern: bits)))
  }

  /// FBLD.
  func loadDecimal(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    let offset = effectiveAddress(i)
    let (low, high) = try read80(Int(i.pointee.segment), offset)
    load(i, offset, SoftFloat80.fromDecimal(low, high))
  }

  /// FLDCW.
  func loadControlWord(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    let value: UInt16 = try read(Int(i.pointee.segment), effectiveAddress(i))
    setFPUControlWord(value)
  }

  // MARK: - Arithmetic

  /// The address and value of a memory operand, after a look at pending exceptions.
  @inline(__always)
  private func memoryOperand<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn) throws(Fault) -> (
    UInt32, T
  ) {
    try checkFPUPending()
    let offset = effectiveAddress(i)
    let bits: T = try read(Int(i.pointee.segment), offset)
    return (offset, bits)
  }

  /// A single as an operand; the instruction is noted.
  @inline(__always)
  func singleOperand(_ i: Insn) throws(Fault) -> FPUOperand {
    let (offset, bits): (UInt32, UInt32) = try memoryOperand(i)
    beginFPU(i, operand: offset)
    let (value, denormal) = SoftFloat80.widen(UInt64(bits), .single)
    return FPUOperand(value: value, isDenormal: denormal)
  }

  /// A double.
  @inline(__always)
  func doubleOperand(_ i: Insn) throws(Fault) -> FPUOperand {
    let (offset, bits): (UInt32, UInt64) = try memoryOperand(i)
    beginFPU(i, operand: offset)
    let (value, denormal) = SoftFloat80.widen(bits, .double)
    return FPUOperand(value: value, isDenormal: denormal)
  }

  /// A word.
  @inline(__always)
  func integer16Operand(_ i: Insn) throws(Fault) -> FPUOperand {
    let (offset, bits): (UInt32, UInt16) = try memoryOperand(i)
    beginFPU(i, operand: offset)
    return FPUOperand(value: SoftFloat80.fromInteger(Int64(Int16(bitPattern: bits))))
  }

  /// A doubleword.
  @inline(__always)
  func integer32Operand(_ i: Insn) throws(Fault) -> FPUOperand {
    let (offset, bits): (UInt32, UInt32) = try memoryOperand(i)
    beginFPU(i, operand: offset)
    return FPUOperand(value: SoftFloat80.fromInteger(Int64(Int32(bitPattern: bits))))
  }

  /// FCOM, FCOMP and their like with a memory operand.
  func compareMemory(_ b: FPUOperand, pop: Bool) {
    var unit = arithmetic
    if isEmptyST(0) {
      if comparisonFault() && pop { popST() }
      return
    }
    let conditions = unit.compare(st(0), b.value, quiet: false)
    if b.isDenormal && conditions & FPUStatus.c2 == 0 { unit.flags |= FPUStatus.de }
    if setComparison(conditions, unit.flags) && pop { popST() }
  }

  /// FADD, FMUL, FSUB, FSUBR, FDIV, FDIVR and their like of ST(0) and a memory operand.
  func operateMemory(_ b: FPUOperand, _ operation: FPUArithmetic) {
    if isEmptyST(0) {
      if stackFault(overflow: false) { setST(0, .indefinite) }
      return
    }
    var unit = arithmetic
    let a = st(0)
    let result = operate(operation, a, b.value, &unit)
    if b.isDenormal && unit.flags & (FPUStatus.ie | FPUStatus.ze) == 0 && !a.isNaN {
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

  func storeFloat(_ i: Insn, _ format: FloatFormat, pop: Bool) throws(Fault) {
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

  func storeInteger(_ i: Insn, _ width: UInt64, pop: Bool) throws(Fault) {
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

  func storeDecimal(_ i: Insn) throws(Fault) {
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

  func storeExtended(_ i: Insn) throws(Fault) {
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
