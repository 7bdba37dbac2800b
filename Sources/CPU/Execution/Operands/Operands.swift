// Operands of decoded instructions: effective addresses and ModRM operands of any size.
//
// Owns: how a record names its operands. Must not know: what is done with them.

extension CPU {
  /// The offset of the memory operand within its segment.
  @inline(__always)
  func effectiveAddress(_ i: Insn) -> UInt32 {
    let p = i.pointee
    let base: UInt32 = reg(p.base)
    let index: UInt32 = reg(p.index)
    return (base &+ (index &<< UInt32(p.scale)) &+ p.disp) & p.addressMask
  }

  /// The ModRM r/m operand, register or memory.
  @inline(__always)
  func readRM<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn) throws(Fault) -> T {
    if i.pointee.hasMemory { return try read(Int(i.pointee.segment), effectiveAddress(i)) }
    return reg(i.pointee.rm)
  }

  /// Writes the ModRM r/m operand.
  @inline(__always)
  func writeRM<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn, _ value: T) throws(Fault) {
    if i.pointee.hasMemory {
      try write(Int(i.pointee.segment), effectiveAddress(i), value)
    } else {
      setReg(i.pointee.rm, value)
    }
  }

  /// Reads, changes and writes the ModRM r/m operand.
  @inline(__always)
  func modifyRM<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn, _ body: (T) -> T) throws(Fault) {
    if i.pointee.hasMemory {
      try modify(Int(i.pointee.segment), effectiveAddress(i), body)
    } else {
      setReg(i.pointee.rm, body(reg(i.pointee.rm)))
    }
  }
}
