// Small instructions without a file of their own.
//
// Owns: SETcc, XLAT, CLD, STD, BOUND. Must not know: blocks, counting.
// Follows: Intel SDM volume 2.

extension CPU {
  /// SETcc.
  @inline(__always)
  func setByCondition(_ i: Insn) throws(Fault) {
    try writeRM(i, condition(i.pointee.condition) ? 1 : 0 as UInt8)
  }

  /// XLAT.
  func translateByte(_ i: Insn) throws(Fault) {
    let offset = (gpr32[Register.ebx] &+ UInt32(reg(0) as UInt8)) & i.pointee.addressMask
    setReg(0, try read(Int(i.pointee.segment), offset) as UInt8)
  }

  /// CLD and STD.
  func setDirection(down: Bool) {
    if (s.pointee.eflags & EFLAGS.df != 0) != down { contextChanged() }
    if down { s.pointee.eflags |= EFLAGS.df } else { s.pointee.eflags &= ~EFLAGS.df }
  }

  /// BOUND: #BR when the signed index is outside the pair of bounds.
  func bound(_ i: Insn) throws(Fault) {
    let offset = effectiveAddress(i)
    let segment = Int(i.pointee.segment)
    let mask = i.pointee.addressMask
    if i.pointee.isOperand32 {
      let index = Int32(bitPattern: reg(i.pointee.reg))
      let low = Int32(bitPattern: try read(segment, offset))
      let high = Int32(bitPattern: try read(segment, (offset &+ 4) & mask))
      if index < low || index > high { throw .br }
    } else {
      let index = Int16(bitPattern: reg(i.pointee.reg))
      let low = Int16(bitPattern: try read(segment, offset))
      let high = Int16(bitPattern: try read(segment, (offset &+ 2) & mask))
      if index < low || index > high { throw .br }
    }
  }
}
