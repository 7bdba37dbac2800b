// The register stack, exception reporting and the last-instruction pointers.
//
// Owns: ST(i) addressing, stack faults, the status word's summary bits, FERR#. Must not know: arithmetic, instruction encodings.
// Follows: Intel SDM volume 1, sections 8.1.2 (register stack), 8.1.3 (status word), 8.1.8 (pointers), 8.5.1.1 (stack faults),
// 8.6 and 8.7 (when and how exceptions are reported).

extension CPU {
  /// The physical registers R0-R7.
  @inline(__always) var fpuRegisters: UnsafeMutablePointer<Float80Bits> {
    UnsafeMutableRawPointer(fpu).assumingMemoryBound(to: Float80Bits.self)
  }

  /// The number of the physical register behind ST(n).
  @inline(__always) func fpuIndex(_ n: Int) -> Int { (Int(fpu.pointee.top) &+ n) & 7 }

  /// ST(n).
  @inline(__always) func st(_ n: Int) -> Float80Bits { fpuRegisters[fpuIndex(n)] }

  /// Sets ST(n) and tags it as in use.
  @inline(__always) func setST(_ n: Int, _ value: Float80Bits) {
    let index = fpuIndex(n)
    fpuRegisters[index] = value
    fpu.pointee.empty &= ~(1 &<< UInt8(index))
  }

  @inline(__always) func isEmptyST(_ n: Int) -> Bool {
    fpu.pointee.empty >> UInt8(fpuIndex(n)) & 1 != 0
  }

  @inline(__always) func popST() {
    fpu.pointee.empty |= 1 &<< (fpu.pointee.top & 7)
    fpu.pointee.top = (fpu.pointee.top &+ 1) & 7
  }

  @inline(__always) func pushST(_ value: Float80Bits) {
    fpu.pointee.top = (fpu.pointee.top &- 1) & 7
    setST(0, value)
  }

  /// The status word with TOP.
  @inline(__always) var fpuStatusWord: UInt16 {
    fpu.pointee.sw & ~0x3800 | UInt16(fpu.pointee.top & 7) << 11
  }

  func setFPUStatusWord(_ value: UInt16) {
    fpu.pointee.sw = value & ~0x3800
    fpu.pointee.top = UInt8(value >> 11 & 7)
  }

  // MARK: - Exceptions

  /// An operation with the present control word.
  @inline(__always) var arithmetic: SoftFloat80 { SoftFloat80(control: fpu.pointee.cw) }

  @inline(__always) func clearC1() { fpu.pointee.sw &= ~FPUStatus.c1 }

  /// Enters exceptions (and C1) into the status word; the unmasked ones among them are returned and become pending.
  @discardableResult
  @inline(__always)
  func raiseFPU(_ flags: UInt16) -> UInt16 {
    if flags == 0 { return 0 }
    fpu.pointee.sw |= flags
    let unmasked = flags & ~fpu.pointee.cw & FPUStatus.exceptions
    if unmasked != 0 { fpuErrorPending() }
    return unmasked
  }

  @inline(never)
  private func fpuErrorPending() {
    fpu.pointee.sw |= FPUStatus.es | FPUStatus.busy
    if s.pointee.cr0 & CR0.ne == 0 { bus.ferr(true) }
  }

  /// A stack fault; true when the masked response (indefinite results) follows.
  @inline(never)
  func stackFault(overflow: Bool) -> Bool {
    clearC1()
    let flags = FPUStatus.ie | FPUStatus.sf | (overflow ? FPUStatus.c1 : 0)
    return raiseFPU(flags) == 0
  }

  /// Recomputes the summary bits after the control or status word was replaced.
  func updateFPUSummary() {
    if fpu.pointee.sw & ~fpu.pointee.cw & FPUStatus.exceptions != 0 {
      fpuErrorPending()
    } else if fpu.pointee.sw & (FPUStatus.es | FPUStatus.busy) != 0 {
      clearFPUSummary()
    }
  }

  private func clearFPUSummary() {
    if fpu.pointee.sw & FPUStatus.es != 0 { bus.ferr(false) }
    fpu.pointee.sw &= ~(FPUStatus.es | FPUStatus.busy)
  }

  /// FNCLEX.
  func clearFPUExceptions() {
    clearFPUSummary()
    fpu.pointee.sw &= FPUStatus.conditions
  }

  /// FNINIT.
  func initializeFPU() {
    clearFPUSummary()
    fpu.pointee.cw = 0x037F
    fpu.pointee.sw = 0
    fpu.pointee.top = 0
    fpu.pointee.empty = 0xFF
    fpu.pointee.fop = 0
    fpu.pointee.fip = 0
    fpu.pointee.fcs = 0
    fpu.pointee.fdp = 0
    fpu.pointee.fds = 0
  }

  /// Sets the control word; reserved bits read as 0, bit 6 as 1.
  func setFPUControlWord(_ value: UInt16) {
    fpu.pointee.cw = value & 0x1F3F | 0x0040
    updateFPUSummary()
  }

  // MARK: - Before and after an instruction

  /// What a waiting instruction does first: #MF for a pending exception; where the system takes it as IRQ 13, the instruction is held
  /// back until that interrupt, or goes on where the system asserts IGNNE#.
  @inline(__always)
  func checkFPUPending() throws(Fault) {
    if fpu.pointee.sw & FPUStatus.es != 0 { try reportFPUPending() }
  }

  @inline(never)
  private func reportFPUPending() throws(Fault) {
    if s.pointee.cr0 & CR0.ne != 0 { throw .mf }
    bus.ferr(true)
    if !bus.ignoresNumericErrors { throw .freeze }
  }

  /// Notes the opcode and address of a non-control instruction, and clears C1.
  @inline(__always)
  func beginFPU(_ i: Insn, clearingC1: Bool = true) {
    let p = i.pointee
    fpu.pointee.fop = p.imm2
    fpu.pointee.fip = s.pointee.blockEIP &+ UInt32(p.nextOffset) &- UInt32(p.length)
    fpu.pointee.fcs = segmentPointer(SegmentRegister.cs).pointee.selector
    if clearingC1 { fpu.pointee.sw &= ~FPUStatus.c1 }
  }

  /// The same of an instruction with a memory operand.
  @inline(__always)
  func beginFPU(_ i: Insn, operand offset: UInt32) {
    beginFPU(i)
    fpu.pointee.fdp = offset
    fpu.pointee.fds = segmentPointer(Int(i.pointee.segment)).pointee.selector
  }
}
