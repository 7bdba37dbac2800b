// Near control transfers and the stack instructions beside them.
//
// Owns: near jumps, calls, returns, loops, ENTER, LEAVE, PUSHA, POPA, POP to memory. An offset outside the code segment faults before
// anything changes. Must not know: far transfers (FarTransfers.swift).
// Follows: Intel SDM volume 2, the instructions' pages.

extension CPU {
  /// Goes to an offset in the code segment.
  @inline(__always)
  func jumpTo(_ target: UInt32) throws(Fault) {
    if target > segmentPointer(SegmentRegister.cs).pointee.limit { throw .gp(0) }
    s.pointee.eip = target
  }

  /// The target of a relative branch.
  @inline(__always)
  func relativeTarget(_ i: Insn) -> UInt32 {
    let target = s.pointee.eip &+ i.pointee.imm
    return i.pointee.isOperand32 ? target : target & 0xFFFF
  }

  @inline(__always)
  func jumpRelative(_ i: Insn) throws(Fault) { try jumpTo(relativeTarget(i)) }

  @inline(__always)
  func callTo32(_ target: UInt32) throws(Fault) {
    if target > segmentPointer(SegmentRegister.cs).pointee.limit { throw .gp(0) }
    try push32(s.pointee.eip)
    s.pointee.eip = target
  }

  @inline(__always)
  func callTo16(_ target: UInt16) throws(Fault) {
    if UInt32(target) > segmentPointer(SegmentRegister.cs).pointee.limit { throw .gp(0) }
    try push16(UInt16(truncatingIfNeeded: s.pointee.eip))
    s.pointee.eip = UInt32(target)
  }

  @inline(__always)
  func callRelative32(_ i: Insn) throws(Fault) { try callTo32(relativeTarget(i)) }
  @inline(__always)
  func callRelative16(_ i: Insn) throws(Fault) {
    try callTo16(UInt16(truncatingIfNeeded: relativeTarget(i)))
  }

  @inline(__always)
  func returnNear32(_ i: Insn) throws(Fault) {
    let sp = gpr32[Register.esp] & stackMask
    let target: UInt32 = try read(SegmentRegister.ss, sp)
    try jumpTo(target)
    setStackPointer(sp &+ 4 &+ i.pointee.imm)
  }

  @inline(__always)
  func returnNear16(_ i: Insn) throws(Fault) {
    let sp = gpr32[Register.esp] & stackMask
    let target: UInt16 = try read(SegmentRegister.ss, sp)
    try jumpTo(UInt32(target))
    setStackPointer(sp &+ 2 &+ i.pointee.imm)
  }

  // MARK: - Loops

  /// Decrements CX or ECX by address size; whether it is not zero then. The count is only changed once the branch cannot fault.
  @inline(__always)
  func decrementCount(_ i: Insn) throws(Fault) -> Bool {
    if i.pointee.isAddress32 {
      let count = gpr32[Register.ecx] &- 1
      if count != 0 { try checkBranch(i) }
      gpr32[Register.ecx] = count
      return count != 0
    }
    let count = (reg(4) as UInt16) &- 1
    if count != 0 { try checkBranch(i) }
    setReg(4, count)
    return count != 0
  }

  @inline(__always)
  private func checkBranch(_ i: Insn) throws(Fault) {
    if relativeTarget(i) > segmentPointer(SegmentRegister.cs).pointee.limit { throw .gp(0) }
  }

  func loopOnZero(_ i: Insn, wanted: Bool) throws(Fault) {
    let count: UInt32
    if i.pointee.isAddress32 {
      count = gpr32[Register.ecx] &- 1
    } else {
      count = UInt32((reg(4) as UInt16) &- 1)
    }
    let taken = count != 0 && zf == wanted
    if taken { try checkBranch(i) }
    if i.pointee.isAddress32 {
      gpr32[Register.ecx] = count
    } else {
      setReg(4, UInt16(truncatingIfNeeded: count))
    }
    if taken { s.pointee.eip = relativeTarget(i) }
  }

  func jumpIfCountZero(_ i: Insn) throws(Fault) {
    let count = gpr32[Register.ecx] & i.pointee.addressMask
    if count == 0 { try jumpRelative(i) }
  }

  // MARK: - Stack frames

  func leave32() throws(Fault) {
    let sp = gpr32[Register.ebp] & stackMask
    let value: UInt32 = try read(SegmentRegister.ss, sp)
    setStackPointer(sp &+ 4)
    gpr32[Register.ebp] = value
  }

  func leave16() throws(Fault) {
    let sp = gpr32[Register.ebp] & stackMask
    let value: UInt16 = try read(SegmentRegister.ss, sp)
    setStackPointer(sp &+ 2)
    setReg(20, value)
  }

  func enter(_ i: Insn) throws(Fault) {
    let size = UInt32(i.pointee.imm & 0xFFFF)
    let level = Int(i.pointee.imm2 & 31)
    let savedESP = gpr32[Register.esp]
    do throws(Fault) {
      if i.pointee.isOperand32 {
        var bp = gpr32[Register.ebp]
        try push32(bp)
        let frame = gpr32[Register.esp]
        if level > 0 {
          for _ in 1..<max(level, 1) {
            bp = bp &- 4
            try push32(try read(SegmentRegister.ss, bp & stackMask))
          }
          try push32(frame)
        }
        try finishEnter(size, 4)
        // The operand size decides, not the stack's: EBP gets the whole of ESP.
        gpr32[Register.ebp] = frame
      } else {
        var bp = gpr32[Register.ebp]
        try push16(UInt16(truncatingIfNeeded: bp))
        let frame = gpr32[Register.esp]
        if level > 0 {
          for _ in 1..<max(level, 1) {
            bp = bp &- 2
            try push16(try read(SegmentRegister.ss, bp & stackMask))
          }
          try push16(UInt16(truncatingIfNeeded: frame))
        }
        try finishEnter(size, 2)
        setReg(20, UInt16(truncatingIfNeeded: frame))
      }
    } catch {
      gpr32[Register.esp] = savedESP
      throw error
    }
  }

  /// Makes room for the locals; the new top of the stack must be writable.
  private func finishEnter(_ size: UInt32, _ width: UInt32) throws(Fault) {
    let sp = (gpr32[Register.esp] &- size) & stackMask
    if width == 4 {
      _ = try readForWrite(SegmentRegister.ss, sp) as UInt32
    } else {
      _ = try readForWrite(SegmentRegister.ss, sp) as UInt16
    }
    setStackPointer(sp)
  }

  func pushAll(_ i: Insn) throws(Fault) {
    let saved = gpr32[Register.esp]
    do throws(Fault) {
      for n in 0..<8 {
        let value = n == Register.esp ? saved : gpr32[n]
        if i.pointee.isOperand32 {
          try push32(value)
        } else {
          try push16(UInt16(truncatingIfNeeded: value))
        }
      }
    } catch {
      gpr32[Register.esp] = saved
      throw error
    }
  }

  func popAll(_ i: Insn) throws(Fault) {
    let mask = stackMask
    let sp = gpr32[Register.esp] & mask
    if i.pointee.isOperand32 {
      // Every slot is read before anything changes; the reads have no side effects worth repeating.
      for n in UInt32(0)..<8 {
        _ = try read(SegmentRegister.ss, (sp &+ 4 &* n) & mask) as UInt32
      }
      for n in UInt32(0)..<8 where n != 3 {
        gpr32[7 - Int(n)] = try read(SegmentRegister.ss, (sp &+ 4 &* n) & mask)
      }
      setStackPointer(sp &+ 32)
    } else {
      for n in UInt32(0)..<8 {
        _ = try read(SegmentRegister.ss, (sp &+ 2 &* n) & mask) as UInt16
      }
      for n in UInt32(0)..<8 where n != 3 {
        let value: UInt16 = try read(SegmentRegister.ss, (sp &+ 2 &* n) & mask)
        setReg(UInt8((7 - n) * 4), value)
      }
      setStackPointer(sp &+ 16)
    }
  }

  /// POP m: the address is computed with the incremented stack pointer, which a fault takes back.
  func popMemory16(_ i: Insn) throws(Fault) {
    let saved = gpr32[Register.esp]
    let value = try pop16()
    do throws(Fault) {
      try store(i, value)
    } catch {
      gpr32[Register.esp] = saved
      throw error
    }
  }

  func popMemory32(_ i: Insn) throws(Fault) {
    let saved = gpr32[Register.esp]
    let value = try pop32()
    do throws(Fault) {
      try store(i, value)
    } catch {
      gpr32[Register.esp] = saved
      throw error
    }
  }
}
