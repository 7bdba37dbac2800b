// The handlers met less often.
//
// Owns: the second switch. Must not know: blocks, counting.

extension CPU {
  @inline(never)
  func executeGeneral(_ i: Insn, _ handler: Handler) throws(Fault) {
    switch handler {
    case .system:
      try executeSystem(i)
      if s.pointee.halted { s.pointee.attention |= Attention.halted }
    case .ud: throw .ud
    case .simd: try executeSIMD(i)
    case .lengthFault: throw .gp(0)
    case .inPort: try inputFromPort(i)
    case .outPort: try outputToPort(i)
    case .ins: try inputString(i)
    case .outs: try outputString(i)
    case .pusha: try pushAll(i)
    case .popa: try popAll(i)
    case .bound: try bound(i)
    case .daa: decimalAdjustAfterAddition()
    case .das: decimalAdjustAfterSubtraction()
    case .aaa: asciiAdjust(subtract: false)
    case .aas: asciiAdjust(subtract: true)
    case .aam: try asciiAdjustAfterMultiply(i)
    case .aad: asciiAdjustBeforeDivision(i)
    case .salc: setReg(0, cf ? UInt8.max : 0)
    case .xlat:
      let offset = (gpr32[Register.ebx] &+ UInt32(reg(0) as UInt8)) & i.pointee.addressMask
      setReg(0, try read(Int(i.pointee.segment), offset) as UInt8)
    case .sahf:
      setArithmeticFlags((arithmeticFlags & EFLAGS.of) | UInt32(reg(1) as UInt8))
    case .lahf: setReg(1, UInt8(truncatingIfNeeded: arithmeticFlags) | 2)
    case .cmc: setCF(!cf)
    case .clc: setCF(false)
    case .stc: setCF(true)
    case .cld:
      if s.pointee.eflags & EFLAGS.df != 0 { contextChanged() }
      s.pointee.eflags &= ~EFLAGS.df
    case .std:
      if s.pointee.eflags & EFLAGS.df == 0 { contextChanged() }
      s.pointee.eflags |= EFLAGS.df
    case .enter: try enter(i)
    case .bitTest: try bitTest(i, immediate: false)
    case .bitTestImm: try bitTest(i, immediate: true)
    case .bsf: try bitScan(i, reverse: false)
    case .bsr: try bitScan(i, reverse: true)
    case .shld: try doubleShift(i, left: true)
    case .shrd: try doubleShift(i, left: false)
    case .cmpxchg8: try compareExchange(i, UInt8.self)
    case .cmpxchg16: try compareExchange(i, UInt16.self)
    case .cmpxchg32: try compareExchange(i, UInt32.self)
    case .cmpxchg8b: try compareExchange8(i)
    case .xadd8: try exchangeAdd(i, UInt8.self)
    case .xadd16: try exchangeAdd(i, UInt16.self)
    case .xadd32: try exchangeAdd(i, UInt32.self)
    case .bswap: byteSwap(i)
    case .loopz: try loopOnZero(i, wanted: true)
    case .loopnz: try loopOnZero(i, wanted: false)
    case .jcxz: try jumpIfCountZero(i)
    default: throw .ud
    }
  }

  /// BOUND: #BR when the signed index is outside the pair of bounds.
  private func bound(_ i: Insn) throws(Fault) {
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
