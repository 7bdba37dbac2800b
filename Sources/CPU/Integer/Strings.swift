// String instructions, alone and repeated.
//
// Owns: MOVS, CMPS, STOS, LODS, SCAS. A repetition counts one instruction an iteration, stops exactly at the deadline and resumes at its
// own EIP; registers always show the iterations done, also when one faults. Runs of memory that the fast-path tables cover are done
// at once (StringRuns.swift). Must not know: ports (PortIO.swift). Follows: Intel SDM volume 2, REP and the instructions' pages.

/// What a string instruction does.
enum StringOperation {
  /// MOVS, CMPS, STOS, LODS, SCAS.
  case move, compare, store, load, scan
}

extension CPU {
  @inline(__always)
  func string(_ i: Insn, _ operation: StringOperation) throws(Fault) {
    if i.pointee.isByte {
      try string(i, operation, UInt8.self)
    } else if i.pointee.isOperand32 {
      try string(i, operation, UInt32.self)
    } else {
      try string(i, operation, UInt16.self)
    }
  }

  /// Adds to SI or DI (by file offset) within the address size.
  @inline(__always)
  func advance(_ register: Int, _ delta: UInt32, _ mask: UInt32) {
    let old = gpr32[register]
    gpr32[register] = (old & ~mask) | ((old &+ delta) & mask)
  }

  @inline(__always)
  private func string<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ operation: StringOperation, _: T.Type
  ) throws(Fault) {
    let size = UInt32(MemoryLayout<T>.size)
    let delta = s.pointee.eflags & EFLAGS.df != 0 ? 0 &- size : size
    let mask = i.pointee.addressMask
    if i.pointee.flags & (InstructionFlags.rep | InstructionFlags.repne) == 0 {
      _ = try stringStep(i, operation, delta, mask, T.self)
      return
    }
    try repeated(i) { (budget) throws(Fault) in
      let (run, ended) =
        delta == size
        ? stringRun(i, operation, budget, mask, T.self)
        : stringRunDown(i, operation, budget, mask, T.self)
      if run > 0 { return (run, ended) }
      if operation == .store, delta == size, budget > 1 {
        let filled = try videoFill(i, budget, mask, reg(0) as T)
        if filled > 0 { return (filled, false) }
      }
      let goOn = try stringStep(i, operation, delta, mask, T.self)
      return (1, !goOn)
    }
  }

  /// Runs a repetition: `body` gets how many iterations it may do and says how many it did and whether the end condition was met.
  @inline(__always)
  func repeated(_ i: Insn, _ body: (UInt32) throws(Fault) -> (UInt32, Bool)) throws(Fault) {
    let mask = i.pointee.addressMask
    let before = s.pointee.retired &+ UInt64(s.pointee.current - s.pointee.blockStart)
    var done: UInt64 = 0
    var count = gpr32[Register.ecx] & mask
    if count == 0 { return }
    // Flags of comparisons: an instruction that is not at its end (faulted or interrupted) shows those that it began with, so that they
    // do not depend on where it was cut. SDM volume 2, REP.
    let flagResult = s.pointee.flagResult
    let flagAux = s.pointee.flagAux
    func restoreFlags() {
      s.pointee.flagResult = flagResult
      s.pointee.flagAux = flagAux
    }
    // A trap follows each single iteration.
    let most = s.pointee.attention & Attention.trap != 0 ? 1 : UInt64.max
    do throws(Fault) {
      while true {
        let left = s.pointee.deadline &- (before &+ done)
        let budget = UInt32(truncatingIfNeeded: min(left, most, UInt64(count)))
        let (n, ended) = try body(max(budget, 1))
        done &+= UInt64(n)
        // What devices see of the time does not depend on where the repetition is cut.
        s.pointee.retired &+= UInt64(n)
        count = count &- n
        advance(Register.ecx, 0 &- n, mask)
        if count == 0 || ended { break }
        if before &+ done >= s.pointee.deadline {
          s.pointee.eip = currentEIP
          restoreFlags()
          if hasCodeBreakpoints { repetitionPauses(at: before &+ done) }
          break
        }
        if s.pointee.attention
          & (Attention.trap | Attention.stop | Attention.nmi | Attention.smi | Attention.debugger)
          != 0
          || (s.pointee.attention & Attention.intr != 0
            && s.pointee.eflags & EFLAGS.if != 0)
        {
          s.pointee.eip = currentEIP
          restoreFlags()
          if hasCodeBreakpoints { repetitionPauses(at: before &+ done) }
          break
        }
      }
    } catch {
      restoreFlags()
      throw error
    }
    s.pointee.retired &-= 1
  }

  /// One iteration; false when REPE or REPNE ends.
  @inline(__always)
  private func stringStep<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ operation: StringOperation, _ delta: UInt32, _ mask: UInt32, _: T.Type
  ) throws(Fault) -> Bool {
    let si = gpr32[Register.esi] & mask
    let di = gpr32[Register.edi] & mask
    let segment = Int(i.pointee.segment)
    switch operation {
    case .move:
      let value: T = try read(segment, si)
      try write(SegmentRegister.es, di, value)
      advance(Register.esi, delta, mask)
      advance(Register.edi, delta, mask)
    case .compare:
      let a: T = try read(segment, si)
      let b: T = try read(SegmentRegister.es, di)
      _ = SubOperation.apply(s, a, b)
      advance(Register.esi, delta, mask)
      advance(Register.edi, delta, mask)
      return i.pointee.hasRep ? zf : !zf
    case .store:
      try write(SegmentRegister.es, di, reg(0) as T)
      advance(Register.edi, delta, mask)
    case .load:
      let value: T = try read(segment, si)
      setReg(0, value)
      advance(Register.esi, delta, mask)
    case .scan:
      let b: T = try read(SegmentRegister.es, di)
      _ = SubOperation.apply(s, reg(0) as T, b)
      advance(Register.edi, delta, mask)
      return i.pointee.hasRep ? zf : !zf
    }
    return true
  }
}
