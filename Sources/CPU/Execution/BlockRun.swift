// The interpreter's loop over whole blocks: a switch over forms, and the way from one block to the next.
//
// Owns: executing blocks from their start while nothing is pending and the deadline leaves room, and the links between them. What an
// instruction does beside registers and memory behind the tables of the fast path is left to its handler (the long way).
// Must not know: what is pending; `run` looks at that.

extension CPU {
  /// Runs a block and, as long as nothing needs the run loop, those that follow. There is room for the block before the deadline.
  @inline(never)
  func runBlocks(_ first: BlockPointer, _ firstEIP: UInt32) throws(Fault) {
    let s = self.s
    let trail = self.trail
    let (add, or, adc, sbb) = (
      AddOperation.self, OrOperation.self, AdcOperation.self, SbbOperation.self
    )
    let (and, sub, xor) = (AndOperation.self, SubOperation.self, XorOperation.self)
    let (cmp, test) = (CmpOperation.self, TestOperation.self)
    let (u8, u16, u32, i8, i16) = (UInt8.self, UInt16.self, UInt32.self, Int8.self, Int16.self)
    var block = first
    var eip = firstEIP
    while true {
      var p = UnsafePointer(block.pointee.records)
      let codeBase = segmentPointer(SegmentRegister.cs).pointee.base
      trail[trailIndex & 31] = codeBase &+ eip
      trailIndex = trailIndex &+ 1
      let link: UnsafeMutablePointer<BlockLink>
      linked: do {
        branched: do {
          yes: do {
            no: do {
              while true {
                done: do {
                  slow: do {
                    switch p.pointee.form {
                    case .addRR8: s.binaryRR(p, add, u8)
                    case .addRM8: if s.binaryRM(p, s.readable(p, 1), add, u8) { break slow }
                    case .addMR8: if s.binaryMR(p, s.writable(p, 1), add, u8) { break slow }
                    case .addRI8: s.binaryRI(p, add, u8)
                    case .addMI8: if s.binaryMI(p, s.writable(p, 1), add, u8) { break slow }
                    case .addRR16: s.binaryRR(p, add, u16)
                    case .addRM16: if s.binaryRM(p, s.readable(p, 2), add, u16) { break slow }
                    case .addMR16: if s.binaryMR(p, s.writable(p, 2), add, u16) { break slow }
                    case .addRI16: s.binaryRI(p, add, u16)
                    case .addMI16: if s.binaryMI(p, s.writable(p, 2), add, u16) { break slow }
                    case .addRR32: s.binaryRR(p, add, u32)
                    case .addRM32: if s.binaryRM(p, s.readable(p, 4), add, u32) { break slow }
                    case .addMR32: if s.binaryMR(p, s.writable(p, 4), add, u32) { break slow }
                    case .addRI32: s.binaryRI(p, add, u32)
                    case .addMI32: if s.binaryMI(p, s.writable(p, 4), add, u32) { break slow }
                    case .orRR8: s.binaryRR(p, or, u8)
                    case .orRM8: if s.binaryRM(p, s.readable(p, 1), or, u8) { break slow }
                    case .orMR8: if s.binaryMR(p, s.writable(p, 1), or, u8) { break slow }
                    case .orRI8: s.binaryRI(p, or, u8)
                    case .orMI8: if s.binaryMI(p, s.writable(p, 1), or, u8) { break slow }
                    case .orRR16: s.binaryRR(p, or, u16)
                    case .orRM16: if s.binaryRM(p, s.readable(p, 2), or, u16) { break slow }
                    case .orMR16: if s.binaryMR(p, s.writable(p, 2), or, u16) { break slow }
                    case .orRI16: s.binaryRI(p, or, u16)
                    case .orMI16: if s.binaryMI(p, s.writable(p, 2), or, u16) { break slow }
                    case .orRR32: s.binaryRR(p, or, u32)
                    case .orRM32: if s.binaryRM(p, s.readable(p, 4), or, u32) { break slow }
                    case .orMR32: if s.binaryMR(p, s.writable(p, 4), or, u32) { break slow }
                    case .orRI32: s.binaryRI(p, or, u32)
                    case .orMI32: if s.binaryMI(p, s.writable(p, 4), or, u32) { break slow }
                    case .adcRR8: s.binaryRR(p, adc, u8)
                    case .adcRM8: if s.binaryRM(p, s.readable(p, 1), adc, u8) { break slow }
                    case .adcMR8: if s.binaryMR(p, s.writable(p, 1), adc, u8) { break slow }
                    case .adcRI8: s.binaryRI(p, adc, u8)
                    case .adcMI8: if s.binaryMI(p, s.writable(p, 1), adc, u8) { break slow }
                    case .adcRR16: s.binaryRR(p, adc, u16)
                    case .adcRM16: if s.binaryRM(p, s.readable(p, 2), adc, u16) { break slow }
                    case .adcMR16: if s.binaryMR(p, s.writable(p, 2), adc, u16) { break slow }
                    case .adcRI16: s.binaryRI(p, adc, u16)
                    case .adcMI16: if s.binaryMI(p, s.writable(p, 2), adc, u16) { break slow }
                    case .adcRR32: s.binaryRR(p, adc, u32)
                    case .adcRM32: if s.binaryRM(p, s.readable(p, 4), adc, u32) { break slow }
                    case .adcMR32: if s.binaryMR(p, s.writable(p, 4), adc, u32) { break slow }
                    case .adcRI32: s.binaryRI(p, adc, u32)
                    case .adcMI32: if s.binaryMI(p, s.writable(p, 4), adc, u32) { break slow }
                    case .sbbRR8: s.binaryRR(p, sbb, u8)
                    case .sbbRM8: if s.binaryRM(p, s.readable(p, 1), sbb, u8) { break slow }
                    case .sbbMR8: if s.binaryMR(p, s.writable(p, 1), sbb, u8) { break slow }
                    case .sbbRI8: s.binaryRI(p, sbb, u8)
                    case .sbbMI8: if s.binaryMI(p, s.writable(p, 1), sbb, u8) { break slow }
                    case .sbbRR16: s.binaryRR(p, sbb, u16)
                    case .sbbRM16: if s.binaryRM(p, s.readable(p, 2), sbb, u16) { break slow }
                    case .sbbMR16: if s.binaryMR(p, s.writable(p, 2), sbb, u16) { break slow }
                    case .sbbRI16: s.binaryRI(p, sbb, u16)
                    case .sbbMI16: if s.binaryMI(p, s.writable(p, 2), sbb, u16) { break slow }
                    case .sbbRR32: s.binaryRR(p, sbb, u32)
                    case .sbbRM32: if s.binaryRM(p, s.readable(p, 4), sbb, u32) { break slow }
                    case .sbbMR32: if s.binaryMR(p, s.writable(p, 4), sbb, u32) { break slow }
                    case .sbbRI32: s.binaryRI(p, sbb, u32)
                    case .sbbMI32: if s.binaryMI(p, s.writable(p, 4), sbb, u32) { break slow }
                    case .andRR8: s.binaryRR(p, and, u8)
                    case .andRM8: if s.binaryRM(p, s.readable(p, 1), and, u8) { break slow }
                    case .andMR8: if s.binaryMR(p, s.writable(p, 1), and, u8) { break slow }
                    case .andRI8: s.binaryRI(p, and, u8)
                    case .andMI8: if s.binaryMI(p, s.writable(p, 1), and, u8) { break slow }
                    case .andRR16: s.binaryRR(p, and, u16)
                    case .andRM16: if s.binaryRM(p, s.readable(p, 2), and, u16) { break slow }
                    case .andMR16: if s.binaryMR(p, s.writable(p, 2), and, u16) { break slow }
                    case .andRI16: s.binaryRI(p, and, u16)
                    case .andMI16: if s.binaryMI(p, s.writable(p, 2), and, u16) { break slow }
                    case .andRR32: s.binaryRR(p, and, u32)
                    case .andRM32: if s.binaryRM(p, s.readable(p, 4), and, u32) { break slow }
                    case .andMR32: if s.binaryMR(p, s.writable(p, 4), and, u32) { break slow }
                    case .andRI32: s.binaryRI(p, and, u32)
                    case .andMI32: if s.binaryMI(p, s.writable(p, 4), and, u32) { break slow }
                    case .subRR8: s.binaryRR(p, sub, u8)
                    case .subRM8: if s.binaryRM(p, s.readable(p, 1), sub, u8) { break slow }
                    case .subMR8: if s.binaryMR(p, s.writable(p, 1), sub, u8) { break slow }
                    case .subRI8: s.binaryRI(p, sub, u8)
                    case .subMI8: if s.binaryMI(p, s.writable(p, 1), sub, u8) { break slow }
                    case .subRR16: s.binaryRR(p, sub, u16)
                    case .subRM16: if s.binaryRM(p, s.readable(p, 2), sub, u16) { break slow }
                    case .subMR16: if s.binaryMR(p, s.writable(p, 2), sub, u16) { break slow }
                    case .subRI16: s.binaryRI(p, sub, u16)
                    case .subMI16: if s.binaryMI(p, s.writable(p, 2), sub, u16) { break slow }
                    case .subRR32: s.binaryRR(p, sub, u32)
                    case .subRM32: if s.binaryRM(p, s.readable(p, 4), sub, u32) { break slow }
                    case .subMR32: if s.binaryMR(p, s.writable(p, 4), sub, u32) { break slow }
                    case .subRI32: s.binaryRI(p, sub, u32)
                    case .subMI32: if s.binaryMI(p, s.writable(p, 4), sub, u32) { break slow }
                    case .xorRR8: s.binaryRR(p, xor, u8)
                    case .xorRM8: if s.binaryRM(p, s.readable(p, 1), xor, u8) { break slow }
                    case .xorMR8: if s.binaryMR(p, s.writable(p, 1), xor, u8) { break slow }
                    case .xorRI8: s.binaryRI(p, xor, u8)
                    case .xorMI8: if s.binaryMI(p, s.writable(p, 1), xor, u8) { break slow }
                    case .xorRR16: s.binaryRR(p, xor, u16)
                    case .xorRM16: if s.binaryRM(p, s.readable(p, 2), xor, u16) { break slow }
                    case .xorMR16: if s.binaryMR(p, s.writable(p, 2), xor, u16) { break slow }
                    case .xorRI16: s.binaryRI(p, xor, u16)
                    case .xorMI16: if s.binaryMI(p, s.writable(p, 2), xor, u16) { break slow }
                    case .xorRR32: s.binaryRR(p, xor, u32)
                    case .xorRM32: if s.binaryRM(p, s.readable(p, 4), xor, u32) { break slow }
                    case .xorMR32: if s.binaryMR(p, s.writable(p, 4), xor, u32) { break slow }
                    case .xorRI32: s.binaryRI(p, xor, u32)
                    case .xorMI32: if s.binaryMI(p, s.writable(p, 4), xor, u32) { break slow }
                    case .cmpRR8: s.compareRR(p, cmp, u8)
                    case .cmpRM8: if s.compareRM(p, s.readable(p, 1), cmp, u8) { break slow }
                    case .cmpMR8: if s.compareMR(p, s.readable(p, 1), cmp, u8) { break slow }
                    case .cmpRI8: s.compareRI(p, cmp, u8)
                    case .cmpMI8: if s.compareMI(p, s.readable(p, 1), cmp, u8) { break slow }
                    case .cmpRR16: s.compareRR(p, cmp, u16)
                    case .cmpRM16: if s.compareRM(p, s.readable(p, 2), cmp, u16) { break slow }
                    case .cmpMR16: if s.compareMR(p, s.readable(p, 2), cmp, u16) { break slow }
                    case .cmpRI16: s.compareRI(p, cmp, u16)
                    case .cmpMI16: if s.compareMI(p, s.readable(p, 2), cmp, u16) { break slow }
                    case .cmpRR32: s.compareRR(p, cmp, u32)
                    case .cmpRM32: if s.compareRM(p, s.readable(p, 4), cmp, u32) { break slow }
                    case .cmpMR32: if s.compareMR(p, s.readable(p, 4), cmp, u32) { break slow }
                    case .cmpRI32: s.compareRI(p, cmp, u32)
                    case .cmpMI32: if s.compareMI(p, s.readable(p, 4), cmp, u32) { break slow }
                    case .testRR8: s.compareRR(p, test, u8)
                    case .testRM8: if s.compareRM(p, s.readable(p, 1), test, u8) { break slow }
                    case .testMR8: if s.compareMR(p, s.readable(p, 1), test, u8) { break slow }
                    case .testRI8: s.compareRI(p, test, u8)
                    case .testMI8: if s.compareMI(p, s.readable(p, 1), test, u8) { break slow }
                    case .testRR16: s.compareRR(p, test, u16)
                    case .testRM16: if s.compareRM(p, s.readable(p, 2), test, u16) { break slow }
                    case .testMR16: if s.compareMR(p, s.readable(p, 2), test, u16) { break slow }
                    case .testRI16: s.compareRI(p, test, u16)
                    case .testMI16: if s.compareMI(p, s.readable(p, 2), test, u16) { break slow }
                    case .testRR32: s.compareRR(p, test, u32)
                    case .testRM32: if s.compareRM(p, s.readable(p, 4), test, u32) { break slow }
                    case .testMR32: if s.compareMR(p, s.readable(p, 4), test, u32) { break slow }
                    case .testRI32: s.compareRI(p, test, u32)
                    case .testMI32: if s.compareMI(p, s.readable(p, 4), test, u32) { break slow }
                    case .movRR8: s.setReg(p.pointee.rm, s.reg(p.pointee.reg) as UInt8)
                    case .movRM8: if s.moveRM(p, s.readable(p, 1), u8) { break slow }
                    case .movMR8: if s.moveMR(p, s.writable(p, 1), u8) { break slow }
                    case .movRI8: s.setReg(p.pointee.rm, UInt8(truncatingIfNeeded: p.pointee.imm))
                    case .movMI8: if s.moveMI(p, s.writable(p, 1), u8) { break slow }
                    case .movRR16: s.setReg(p.pointee.rm, s.reg(p.pointee.reg) as UInt16)
                    case .movRM16: if s.moveRM(p, s.readable(p, 2), u16) { break slow }
                    case .movMR16: if s.moveMR(p, s.writable(p, 2), u16) { break slow }
                    case .movRI16: s.setReg(p.pointee.rm, UInt16(truncatingIfNeeded: p.pointee.imm))
                    case .movMI16: if s.moveMI(p, s.writable(p, 2), u16) { break slow }
                    case .movRR32: s.setReg(p.pointee.rm, s.reg(p.pointee.reg) as UInt32)
                    case .movRM32: if s.moveRM(p, s.readable(p, 4), u32) { break slow }
                    case .movMR32: if s.moveMR(p, s.writable(p, 4), u32) { break slow }
                    case .movRI32: s.setReg(p.pointee.rm, UInt32(truncatingIfNeeded: p.pointee.imm))
                    case .movMI32: if s.moveMI(p, s.writable(p, 4), u32) { break slow }
                    case .inc8R: s.setReg(p.pointee.rm, s.increment(s.reg(p.pointee.rm) as UInt8))
                    case .dec8R: s.setReg(p.pointee.rm, s.decrement(s.reg(p.pointee.rm) as UInt8))
                    case .incM8: if s.incrementM(p, s.writable(p, 1), u8) { break slow }
                    case .decM8: if s.decrementM(p, s.writable(p, 1), u8) { break slow }
                    case .inc16R: s.setReg(p.pointee.rm, s.increment(s.reg(p.pointee.rm) as UInt16))
                    case .dec16R: s.setReg(p.pointee.rm, s.decrement(s.reg(p.pointee.rm) as UInt16))
                    case .incM16: if s.incrementM(p, s.writable(p, 2), u16) { break slow }
                    case .decM16: if s.decrementM(p, s.writable(p, 2), u16) { break slow }
                    case .inc32R: s.setReg(p.pointee.rm, s.increment(s.reg(p.pointee.rm) as UInt32))
                    case .dec32R: s.setReg(p.pointee.rm, s.decrement(s.reg(p.pointee.rm) as UInt32))
                    case .incM32: if s.incrementM(p, s.writable(p, 4), u32) { break slow }
                    case .decM32: if s.decrementM(p, s.writable(p, 4), u32) { break slow }
                    case .push16R: if s.push(s.reg(p.pointee.rm) as UInt16) { break slow }
                    case .push32R: if s.push(s.reg(p.pointee.rm) as UInt32) { break slow }
                    case .push16I:
                      if s.push(UInt16(truncatingIfNeeded: p.pointee.imm)) { break slow }
                    case .push32I: if s.push(p.pointee.imm) { break slow }
                    case .push16M:
                      guard let m = s.readable(p, 2) else { break slow }
                      if s.push(m.value16) { break slow }
                    case .push32M:
                      guard let m = s.readable(p, 4) else { break slow }
                      if s.push(m.value32) { break slow }
                    case .pop16R:
                      guard let value = s.pop(u16) else { break slow }
                      s.setReg(p.pointee.rm, value)
                    case .pop32R:
                      guard let value = s.pop(u32) else { break slow }
                      s.setReg(p.pointee.rm, value)
                    case .lea16: s.setReg(p.pointee.reg, UInt16(truncatingIfNeeded: s.offset(p)))
                    case .lea32: s.setReg(p.pointee.reg, s.offset(p))
                    case .lea32F: s.setReg(p.pointee.reg, s.offset32(p))
                    case .jo: if s.of { break yes } else { break no }
                    case .jno: if !s.of { break yes } else { break no }
                    case .jb: if s.cf { break yes } else { break no }
                    case .jnb: if !s.cf { break yes } else { break no }
                    case .jz: if s.zf { break yes } else { break no }
                    case .jnz: if !s.zf { break yes } else { break no }
                    case .jbe: if s.cf || s.zf { break yes } else { break no }
                    case .jnbe: if !(s.cf || s.zf) { break yes } else { break no }
                    case .js: if s.sf { break yes } else { break no }
                    case .jns: if !s.sf { break yes } else { break no }
                    case .jp: if s.pf { break yes } else { break no }
                    case .jnp: if !s.pf { break yes } else { break no }
                    case .jl: if s.sf != s.of { break yes } else { break no }
                    case .jnl: if s.sf == s.of { break yes } else { break no }
                    case .jle: if s.zf || s.sf != s.of { break yes } else { break no }
                    case .jnle: if !(s.zf || s.sf != s.of) { break yes } else { break no }
                    case .jmpRel: break yes
                    case .call32F:
                      let target = s.target(p, eip)
                      if target > s.codeLimit || s.flatPush(s.next(p, eip)) { break slow }
                      eip = target
                      break branched
                    case .call32:
                      let target = s.target(p, eip)
                      if target > s.codeLimit || s.push(s.next(p, eip)) { break slow }
                      eip = target
                      break branched
                    case .call16:
                      let target = s.target(p, eip) & 0xFFFF
                      if target > s.codeLimit || s.push(UInt16(truncatingIfNeeded: s.next(p, eip)))
                      {
                        break slow
                      }
                      eip = target
                      break branched
                    case .ret32F:
                      let sp: UInt32 = s.reg(16)
                      guard let m = s.flatRead(at: sp, 4) else { break slow }
                      let target = m.value32
                      if target > s.codeLimit { break slow }
                      s.setReg(16, sp &+ 4 &+ p.pointee.imm)
                      eip = target
                      break branched
                    case .ret32:
                      guard let target = s.peek(u32), target <= s.codeLimit else {
                        break slow
                      }
                      _ = s.pop(u32, more: p.pointee.imm)
                      eip = target
                      break branched
                    case .ret16:
                      guard let target = s.peek(u16), UInt32(target) <= s.codeLimit else {
                        break slow
                      }
                      _ = s.pop(u16, more: p.pointee.imm)
                      eip = UInt32(target)
                      break branched
                    case .jmp32E:
                      guard let target = s.readableRM(p, 4)?.value32 else { break slow }
                      if target > s.codeLimit { break slow }
                      eip = target
                      break branched
                    case .call32EF:
                      guard let target = s.flatRead(p, 4)?.value32 else { break slow }
                      if target > s.codeLimit || s.flatPush(s.next(p, eip)) { break slow }
                      eip = target
                      break branched
                    case .call32E:
                      guard let target = s.readableRM(p, 4)?.value32 else { break slow }
                      if target > s.codeLimit || s.push(s.next(p, eip)) { break slow }
                      eip = target
                      break branched
                    case .loop:
                      if s.target(p, eip) > s.codeLimit { break slow }
                      if s.countDown(p) { break yes } else { break no }
                    case .movzx32R8: s.setReg(p.pointee.reg, UInt32(s.reg(p.pointee.rm) as UInt8))
                    case .movzx32M8: if s.extendRM(p, s.readable(p, 1), u8) { break slow }
                    case .movsx32R8:
                      s.setReg(
                        p.pointee.reg, UInt32(truncatingIfNeeded: s.reg(p.pointee.rm) as Int8))
                    case .movsx32M8: if s.extendRM(p, s.readable(p, 1), i8) { break slow }
                    case .movzx32R16: s.setReg(p.pointee.reg, UInt32(s.reg(p.pointee.rm) as UInt16))
                    case .movzx32M16: if s.extendRM(p, s.readable(p, 2), u16) { break slow }
                    case .movsx32R16:
                      s.setReg(
                        p.pointee.reg, UInt32(truncatingIfNeeded: s.reg(p.pointee.rm) as Int16))
                    case .movsx32M16: if s.extendRM(p, s.readable(p, 2), i16) { break slow }
                    case .shl32I: s.shiftLeft(p, flags: true)
                    case .shr32I: s.shiftRight(p, flags: true)
                    case .sar32I: s.shiftArithmetic(p, flags: true)
                    case .shl32IN: s.shiftLeft(p, flags: false)
                    case .shr32IN: s.shiftRight(p, flags: false)
                    case .sar32IN: s.shiftArithmetic(p, flags: false)
                    case .rol32I: s.rotateLeft(p, flags: true)
                    case .rol32IN: s.rotateLeft(p, flags: false)
                    case .ror32I: s.rotateRight(p, flags: true)
                    case .ror32IN: s.rotateRight(p, flags: false)
                    case .setcc: if s.setByCondition(p) { break slow }
                    case .cmov16: if s.conditionalMove(p, s.readableRM(p, 2), u16) { break slow }
                    case .cmov32: if s.conditionalMove(p, s.readableRM(p, 4), u32) { break slow }
                    case .imul16: if s.multiplyRM(p, s.readableRM(p, 2), u16) { break slow }
                    case .imul32: if s.multiplyRM(p, s.readableRM(p, 4), u32) { break slow }
                    case .imul16I: if s.multiplyRMI(p, s.readableRM(p, 2), u16) { break slow }
                    case .imul32I: if s.multiplyRMI(p, s.readableRM(p, 4), u32) { break slow }
                    case .neg: if s.negate(p) { break slow }
                    case .not: if s.complement(p) { break slow }
                    case .xchg: if s.exchange(p) { break slow }
                    case .shift8: if shiftRM(p, s.writableRM(p, 1), u8) { break slow }
                    case .shift16: if shiftRM(p, s.writableRM(p, 2), u16) { break slow }
                    case .shift32: if shiftRM(p, s.writableRM(p, 4), u32) { break slow }
                    case .bitTest: if s.bitTest(p, immediate: false) { break slow }
                    case .bitTestImm: if s.bitTest(p, immediate: true) { break slow }
                    case .movzx16: if s.extendRM16(p, s.readableRM(p, 1), u8) { break slow }
                    case .movsx16: if s.extendRM16(p, s.readableRM(p, 1), i8) { break slow }
                    case .bswap: byteSwap(p)
                    case .cmc: s.setCF(!s.cf)
                    case .clc: s.setCF(false)
                    case .stc: s.setCF(true)
                    case .lahf: s.setReg(1, UInt8(truncatingIfNeeded: arithmeticFlags) | 2)
                    case .sahf:
                      setArithmeticFlags((arithmeticFlags & EFLAGS.of) | UInt32(s.reg(1) as UInt8))
                    case .daa: decimalAdjustAfterAddition()
                    case .das: decimalAdjustAfterSubtraction()
                    case .aaa: asciiAdjust(subtract: false)
                    case .aas: asciiAdjust(subtract: true)
                    case .aad: asciiAdjustBeforeDivision(p)
                    case .cwde: s.setReg(0, UInt32(truncatingIfNeeded: s.reg(0) as Int16))
                    case .cdq: s.setReg(8, UInt32(bitPattern: (s.reg(0) as Int32) >> 31))
                    case .cbw16: s.setReg(0, UInt16(truncatingIfNeeded: s.reg(0) as Int8))
                    case .cwd16: s.setReg(8, UInt16(bitPattern: (s.reg(0) as Int16) >> 15))
                    case .nop: break
                    case .leave32F:
                      let sp: UInt32 = s.reg(20)
                      guard let m = s.flatRead(at: sp, 4) else { break slow }
                      s.setReg(16, sp &+ 4)
                      s.setReg(20, m.value32)
                    case .movRM8F: if s.moveRM(p, s.flatRead(p, 1), u8) { break slow }
                    case .movMR8F: if s.moveMR(p, s.flatWrite(p, 1), u8) { break slow }
                    case .movMI8F: if s.moveMI(p, s.flatWrite(p, 1), u8) { break slow }
                    case .movRM16F: if s.moveRM(p, s.flatRead(p, 2), u16) { break slow }
                    case .movMR16F: if s.moveMR(p, s.flatWrite(p, 2), u16) { break slow }
                    case .movMI16F: if s.moveMI(p, s.flatWrite(p, 2), u16) { break slow }
                    case .movRM32F: if s.moveRM(p, s.flatRead(p, 4), u32) { break slow }
                    case .movMR32F: if s.moveMR(p, s.flatWrite(p, 4), u32) { break slow }
                    case .movMI32F: if s.moveMI(p, s.flatWrite(p, 4), u32) { break slow }
                    case .movRM8B: if s.moveRM(p, s.baseRead(p, 1), u8) { break slow }
                    case .movMR8B: if s.moveMR(p, s.baseWrite(p, 1), u8) { break slow }
                    case .movRM32B: if s.moveRM(p, s.baseRead(p, 4), u32) { break slow }
                    case .movMR32B: if s.moveMR(p, s.baseWrite(p, 4), u32) { break slow }
                    case .movMI32B: if s.moveMI(p, s.baseWrite(p, 4), u32) { break slow }
                    case .movzx32M8B: if s.extendRM(p, s.baseRead(p, 1), u8) { break slow }
                    case .movzx32M8F: if s.extendRM(p, s.flatRead(p, 1), u8) { break slow }
                    case .movsx32M8F: if s.extendRM(p, s.flatRead(p, 1), i8) { break slow }
                    case .movzx32M16F: if s.extendRM(p, s.flatRead(p, 2), u16) { break slow }
                    case .movsx32M16F: if s.extendRM(p, s.flatRead(p, 2), i16) { break slow }
                    case .addRM32F: if s.binaryRM(p, s.flatRead(p, 4), add, u32) { break slow }
                    case .addMR32F: if s.binaryMR(p, s.flatWrite(p, 4), add, u32) { break slow }
                    case .addMI32F: if s.binaryMI(p, s.flatWrite(p, 4), add, u32) { break slow }
                    case .orRM32F: if s.binaryRM(p, s.flatRead(p, 4), or, u32) { break slow }
                    case .orMR32F: if s.binaryMR(p, s.flatWrite(p, 4), or, u32) { break slow }
                    case .orMI32F: if s.binaryMI(p, s.flatWrite(p, 4), or, u32) { break slow }
                    case .andRM32F: if s.binaryRM(p, s.flatRead(p, 4), and, u32) { break slow }
                    case .andMR32F: if s.binaryMR(p, s.flatWrite(p, 4), and, u32) { break slow }
                    case .andMI32F: if s.binaryMI(p, s.flatWrite(p, 4), and, u32) { break slow }
                    case .subRM32F: if s.binaryRM(p, s.flatRead(p, 4), sub, u32) { break slow }
                    case .subMR32F: if s.binaryMR(p, s.flatWrite(p, 4), sub, u32) { break slow }
                    case .subMI32F: if s.binaryMI(p, s.flatWrite(p, 4), sub, u32) { break slow }
                    case .xorRM32F: if s.binaryRM(p, s.flatRead(p, 4), xor, u32) { break slow }
                    case .xorMR32F: if s.binaryMR(p, s.flatWrite(p, 4), xor, u32) { break slow }
                    case .cmpRM32F: if s.compareRM(p, s.flatRead(p, 4), cmp, u32) { break slow }
                    case .cmpMR32F: if s.compareMR(p, s.flatRead(p, 4), cmp, u32) { break slow }
                    case .cmpMI32F: if s.compareMI(p, s.flatRead(p, 4), cmp, u32) { break slow }
                    case .testMR32F: if s.compareMR(p, s.flatRead(p, 4), test, u32) { break slow }
                    case .testMI32F: if s.compareMI(p, s.flatRead(p, 4), test, u32) { break slow }
                    case .cmpRM8F: if s.compareRM(p, s.flatRead(p, 1), cmp, u8) { break slow }
                    case .cmpMR8F: if s.compareMR(p, s.flatRead(p, 1), cmp, u8) { break slow }
                    case .cmpMI8F: if s.compareMI(p, s.flatRead(p, 1), cmp, u8) { break slow }
                    case .testMI8F: if s.compareMI(p, s.flatRead(p, 1), test, u8) { break slow }
                    case .incM32F: if s.incrementM(p, s.flatWrite(p, 4), u32) { break slow }
                    case .decM32F: if s.decrementM(p, s.flatWrite(p, 4), u32) { break slow }
                    case .push32RF: if s.flatPush(s.reg(p.pointee.rm)) { break slow }
                    case .push32IF: if s.flatPush(p.pointee.imm) { break slow }
                    case .push32MF:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.flatPush(m.value32) { break slow }
                    case .pop32RF: if s.flatPop(p) { break slow }
                    case .addRR32N: s.flaglessRR(p, add)
                    case .addRI32N: s.flaglessRI(p, add)
                    case .orRR32N: s.flaglessRR(p, or)
                    case .orRI32N: s.flaglessRI(p, or)
                    case .andRR32N: s.flaglessRR(p, and)
                    case .andRI32N: s.flaglessRI(p, and)
                    case .subRR32N: s.flaglessRR(p, sub)
                    case .subRI32N: s.flaglessRI(p, sub)
                    case .xorRR32N: s.flaglessRR(p, xor)
                    case .xorRI32N: s.flaglessRI(p, xor)
                    case .inc32RN: s.setReg(p.pointee.rm, (s.reg(p.pointee.rm) as UInt32) &+ 1)
                    case .dec32RN: s.setReg(p.pointee.rm, (s.reg(p.pointee.rm) as UInt32) &- 1)
                    case .cmpRR32Jb: if s.cmpRR(&p, u32, If.B.self) { break yes } else { break no }
                    case .cmpRR32Jnb:
                      if s.cmpRR(&p, u32, If.NB.self) { break yes } else { break no }
                    case .cmpRR32Jz: if s.cmpRR(&p, u32, If.Z.self) { break yes } else { break no }
                    case .cmpRR32Jnz:
                      if s.cmpRR(&p, u32, If.NZ.self) { break yes } else { break no }
                    case .cmpRR32Jbe:
                      if s.cmpRR(&p, u32, If.BE.self) { break yes } else { break no }
                    case .cmpRR32Jnbe:
                      if s.cmpRR(&p, u32, If.NBE.self) { break yes } else { break no }
                    case .cmpRR32Jl: if s.cmpRR(&p, u32, If.L.self) { break yes } else { break no }
                    case .cmpRR32Jnl:
                      if s.cmpRR(&p, u32, If.NL.self) { break yes } else { break no }
                    case .cmpRR32Jle:
                      if s.cmpRR(&p, u32, If.LE.self) { break yes } else { break no }
                    case .cmpRR32Jnle:
                      if s.cmpRR(&p, u32, If.NLE.self) { break yes } else { break no }
                    case .cmpRI32Jb: if s.cmpRI(&p, u32, If.B.self) { break yes } else { break no }
                    case .cmpRI32Jnb:
                      if s.cmpRI(&p, u32, If.NB.self) { break yes } else { break no }
                    case .cmpRI32Jz: if s.cmpRI(&p, u32, If.Z.self) { break yes } else { break no }
                    case .cmpRI32Jnz:
                      if s.cmpRI(&p, u32, If.NZ.self) { break yes } else { break no }
                    case .cmpRI32Jbe:
                      if s.cmpRI(&p, u32, If.BE.self) { break yes } else { break no }
                    case .cmpRI32Jnbe:
                      if s.cmpRI(&p, u32, If.NBE.self) { break yes } else { break no }
                    case .cmpRI32Jl: if s.cmpRI(&p, u32, If.L.self) { break yes } else { break no }
                    case .cmpRI32Jnl:
                      if s.cmpRI(&p, u32, If.NL.self) { break yes } else { break no }
                    case .cmpRI32Jle:
                      if s.cmpRI(&p, u32, If.LE.self) { break yes } else { break no }
                    case .cmpRI32Jnle:
                      if s.cmpRI(&p, u32, If.NLE.self) { break yes } else { break no }
                    case .cmpRM32Jb:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpRM(&p, m, u32, If.B.self) { break yes } else { break no }
                    case .cmpRM32Jnb:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpRM(&p, m, u32, If.NB.self) { break yes } else { break no }
                    case .cmpRM32Jz:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpRM(&p, m, u32, If.Z.self) { break yes } else { break no }
                    case .cmpRM32Jnz:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpRM(&p, m, u32, If.NZ.self) { break yes } else { break no }
                    case .cmpRM32Jbe:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpRM(&p, m, u32, If.BE.self) { break yes } else { break no }
                    case .cmpRM32Jnbe:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpRM(&p, m, u32, If.NBE.self) { break yes } else { break no }
                    case .cmpRM32Jl:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpRM(&p, m, u32, If.L.self) { break yes } else { break no }
                    case .cmpRM32Jnl:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpRM(&p, m, u32, If.NL.self) { break yes } else { break no }
                    case .cmpRM32Jle:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpRM(&p, m, u32, If.LE.self) { break yes } else { break no }
                    case .cmpRM32Jnle:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpRM(&p, m, u32, If.NLE.self) { break yes } else { break no }
                    case .cmpMR32Jb:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMR(&p, m, u32, If.B.self) { break yes } else { break no }
                    case .cmpMR32Jnb:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMR(&p, m, u32, If.NB.self) { break yes } else { break no }
                    case .cmpMR32Jz:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMR(&p, m, u32, If.Z.self) { break yes } else { break no }
                    case .cmpMR32Jnz:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMR(&p, m, u32, If.NZ.self) { break yes } else { break no }
                    case .cmpMR32Jbe:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMR(&p, m, u32, If.BE.self) { break yes } else { break no }
                    case .cmpMR32Jnbe:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMR(&p, m, u32, If.NBE.self) { break yes } else { break no }
                    case .cmpMR32Jl:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMR(&p, m, u32, If.L.self) { break yes } else { break no }
                    case .cmpMR32Jnl:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMR(&p, m, u32, If.NL.self) { break yes } else { break no }
                    case .cmpMR32Jle:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMR(&p, m, u32, If.LE.self) { break yes } else { break no }
                    case .cmpMR32Jnle:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMR(&p, m, u32, If.NLE.self) { break yes } else { break no }
                    case .cmpMI32Jb:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMI(&p, m, u32, If.B.self) { break yes } else { break no }
                    case .cmpMI32Jnb:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMI(&p, m, u32, If.NB.self) { break yes } else { break no }
                    case .cmpMI32Jz:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMI(&p, m, u32, If.Z.self) { break yes } else { break no }
                    case .cmpMI32Jnz:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMI(&p, m, u32, If.NZ.self) { break yes } else { break no }
                    case .cmpMI32Jbe:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMI(&p, m, u32, If.BE.self) { break yes } else { break no }
                    case .cmpMI32Jnbe:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMI(&p, m, u32, If.NBE.self) { break yes } else { break no }
                    case .cmpMI32Jl:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMI(&p, m, u32, If.L.self) { break yes } else { break no }
                    case .cmpMI32Jnl:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMI(&p, m, u32, If.NL.self) { break yes } else { break no }
                    case .cmpMI32Jle:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMI(&p, m, u32, If.LE.self) { break yes } else { break no }
                    case .cmpMI32Jnle:
                      guard let m = s.flatRead(p, 4) else { break slow }
                      if s.cmpMI(&p, m, u32, If.NLE.self) { break yes } else { break no }
                    case .cmpRR8Jb: if s.cmpRR(&p, u8, If.B.self) { break yes } else { break no }
                    case .cmpRR8Jnb: if s.cmpRR(&p, u8, If.NB.self) { break yes } else { break no }
                    case .cmpRR8Jz: if s.cmpRR(&p, u8, If.Z.self) { break yes } else { break no }
                    case .cmpRR8Jnz: if s.cmpRR(&p, u8, If.NZ.self) { break yes } else { break no }
                    case .cmpRR8Jbe: if s.cmpRR(&p, u8, If.BE.self) { break yes } else { break no }
                    case .cmpRR8Jnbe:
                      if s.cmpRR(&p, u8, If.NBE.self) { break yes } else { break no }
                    case .cmpRR8Jl: if s.cmpRR(&p, u8, If.L.self) { break yes } else { break no }
                    case .cmpRR8Jnl: if s.cmpRR(&p, u8, If.NL.self) { break yes } else { break no }
                    case .cmpRR8Jle: if s.cmpRR(&p, u8, If.LE.self) { break yes } else { break no }
                    case .cmpRR8Jnle:
                      if s.cmpRR(&p, u8, If.NLE.self) { break yes } else { break no }
                    case .cmpRI8Jb: if s.cmpRI(&p, u8, If.B.self) { break yes } else { break no }
                    case .cmpRI8Jnb: if s.cmpRI(&p, u8, If.NB.self) { break yes } else { break no }
                    case .cmpRI8Jz: if s.cmpRI(&p, u8, If.Z.self) { break yes } else { break no }
                    case .cmpRI8Jnz: if s.cmpRI(&p, u8, If.NZ.self) { break yes } else { break no }
                    case .cmpRI8Jbe: if s.cmpRI(&p, u8, If.BE.self) { break yes } else { break no }
                    case .cmpRI8Jnbe:
                      if s.cmpRI(&p, u8, If.NBE.self) { break yes } else { break no }
                    case .cmpRI8Jl: if s.cmpRI(&p, u8, If.L.self) { break yes } else { break no }
                    case .cmpRI8Jnl: if s.cmpRI(&p, u8, If.NL.self) { break yes } else { break no }
                    case .cmpRI8Jle: if s.cmpRI(&p, u8, If.LE.self) { break yes } else { break no }
                    case .cmpRI8Jnle:
                      if s.cmpRI(&p, u8, If.NLE.self) { break yes } else { break no }
                    case .cmpMI8Jb:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.cmpMI(&p, m, u8, If.B.self) { break yes } else { break no }
                    case .cmpMI8Jnb:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.cmpMI(&p, m, u8, If.NB.self) { break yes } else { break no }
                    case .cmpMI8Jz:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.cmpMI(&p, m, u8, If.Z.self) { break yes } else { break no }
                    case .cmpMI8Jnz:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.cmpMI(&p, m, u8, If.NZ.self) { break yes } else { break no }
                    case .cmpMI8Jbe:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.cmpMI(&p, m, u8, If.BE.self) { break yes } else { break no }
                    case .cmpMI8Jnbe:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.cmpMI(&p, m, u8, If.NBE.self) { break yes } else { break no }
                    case .cmpMI8Jl:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.cmpMI(&p, m, u8, If.L.self) { break yes } else { break no }
                    case .cmpMI8Jnl:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.cmpMI(&p, m, u8, If.NL.self) { break yes } else { break no }
                    case .cmpMI8Jle:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.cmpMI(&p, m, u8, If.LE.self) { break yes } else { break no }
                    case .cmpMI8Jnle:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.cmpMI(&p, m, u8, If.NLE.self) { break yes } else { break no }
                    case .testRR32Jz:
                      if s.testRR(&p, u32, If.Z.self) { break yes } else { break no }
                    case .testRR32Jnz:
                      if s.testRR(&p, u32, If.NZ.self) { break yes } else { break no }
                    case .testRR32Js:
                      if s.testRR(&p, u32, If.L.self) { break yes } else { break no }
                    case .testRR32Jns:
                      if s.testRR(&p, u32, If.NL.self) { break yes } else { break no }
                    case .testRR32Jle:
                      if s.testRR(&p, u32, If.LE.self) { break yes } else { break no }
                    case .testRR32Jnle:
                      if s.testRR(&p, u32, If.NLE.self) { break yes } else { break no }
                    case .testRI32Jz:
                      if s.testRI(&p, u32, If.Z.self) { break yes } else { break no }
                    case .testRI32Jnz:
                      if s.testRI(&p, u32, If.NZ.self) { break yes } else { break no }
                    case .testRI32Js:
                      if s.testRI(&p, u32, If.L.self) { break yes } else { break no }
                    case .testRI32Jns:
                      if s.testRI(&p, u32, If.NL.self) { break yes } else { break no }
                    case .testRI32Jle:
                      if s.testRI(&p, u32, If.LE.self) { break yes } else { break no }
                    case .testRI32Jnle:
                      if s.testRI(&p, u32, If.NLE.self) { break yes } else { break no }
                    case .testRR8Jz: if s.testRR(&p, u8, If.Z.self) { break yes } else { break no }
                    case .testRR8Jnz:
                      if s.testRR(&p, u8, If.NZ.self) { break yes } else { break no }
                    case .testRR8Js: if s.testRR(&p, u8, If.L.self) { break yes } else { break no }
                    case .testRR8Jns:
                      if s.testRR(&p, u8, If.NL.self) { break yes } else { break no }
                    case .testRR8Jle:
                      if s.testRR(&p, u8, If.LE.self) { break yes } else { break no }
                    case .testRR8Jnle:
                      if s.testRR(&p, u8, If.NLE.self) { break yes } else { break no }
                    case .testRI8Jz: if s.testRI(&p, u8, If.Z.self) { break yes } else { break no }
                    case .testRI8Jnz:
                      if s.testRI(&p, u8, If.NZ.self) { break yes } else { break no }
                    case .testRI8Js: if s.testRI(&p, u8, If.L.self) { break yes } else { break no }
                    case .testRI8Jns:
                      if s.testRI(&p, u8, If.NL.self) { break yes } else { break no }
                    case .testRI8Jle:
                      if s.testRI(&p, u8, If.LE.self) { break yes } else { break no }
                    case .testRI8Jnle:
                      if s.testRI(&p, u8, If.NLE.self) { break yes } else { break no }
                    case .testMI8Jz:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.testMI(&p, m, u8, If.Z.self) { break yes } else { break no }
                    case .testMI8Jnz:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.testMI(&p, m, u8, If.NZ.self) { break yes } else { break no }
                    case .testMI8Js:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.testMI(&p, m, u8, If.L.self) { break yes } else { break no }
                    case .testMI8Jns:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.testMI(&p, m, u8, If.NL.self) { break yes } else { break no }
                    case .testMI8Jle:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.testMI(&p, m, u8, If.LE.self) { break yes } else { break no }
                    case .testMI8Jnle:
                      guard let m = s.flatRead(p, 1) else { break slow }
                      if s.testMI(&p, m, u8, If.NLE.self) { break yes } else { break no }
                    case .dec32RJz: if s.decrementR(&p, If.Z.self) { break yes } else { break no }
                    case .dec32RJnz: if s.decrementR(&p, If.NZ.self) { break yes } else { break no }
                    case .dec32RJs: if s.decrementR(&p, If.L.self) { break yes } else { break no }
                    case .dec32RJns: if s.decrementR(&p, If.NL.self) { break yes } else { break no }
                    case .inc32RJz: if s.incrementR(&p, If.Z.self) { break yes } else { break no }
                    case .inc32RJnz: if s.incrementR(&p, If.NZ.self) { break yes } else { break no }
                    case .addRI32Jz:
                      if s.resultRI(&p, add, If.Z.self) { break yes } else { break no }
                    case .addRI32Jnz:
                      if s.resultRI(&p, add, If.NZ.self) { break yes } else { break no }
                    case .subRI32Jz:
                      if s.resultRI(&p, sub, If.Z.self) { break yes } else { break no }
                    case .subRI32Jnz:
                      if s.resultRI(&p, sub, If.NZ.self) { break yes } else { break no }
                    case .subRR32Jz:
                      if s.resultRR(&p, sub, If.Z.self) { break yes } else { break no }
                    case .subRR32Jnz:
                      if s.resultRR(&p, sub, If.NZ.self) { break yes } else { break no }
                    case .andRI32Jz:
                      if s.resultRI(&p, and, If.Z.self) { break yes } else { break no }
                    case .andRI32Jnz:
                      if s.resultRI(&p, and, If.NZ.self) { break yes } else { break no }
                    case .jmp16E:
                      guard let target = s.readableRM(p, 2)?.word else { break slow }
                      if target > s.codeLimit { break slow }
                      eip = target
                      break branched
                    case .call16E:
                      guard let target = s.readableRM(p, 2)?.word else { break slow }
                      if target > s.codeLimit || s.push(UInt16(truncatingIfNeeded: s.next(p, eip)))
                      {
                        break slow
                      }
                      eip = target
                      break branched
                    case .jcxz:
                      let count = (s.reg(4) as UInt32) & p.pointee.addressMask
                      if count == 0 { break yes } else { break no }
                    case .string:
                      s.begin(p, block, eip)
                      try executeString(p)
                      break done
                    case .fpu:
                      s.begin(p, block, eip)
                      try executeFPU(p)
                      break done
                    case .simd:
                      s.begin(p, block, eip)
                      try executeSIMD(p)
                      break done
                    case .mulDiv:
                      s.begin(p, block, eip)
                      try executeMulDiv(p)
                      break done
                    case .shld:
                      s.begin(p, block, eip)
                      try doubleShift(p, left: true)
                      break done
                    case .shrd:
                      s.begin(p, block, eip)
                      try doubleShift(p, left: false)
                      break done
                    case .bsf:
                      s.begin(p, block, eip)
                      try bitScan(p, reverse: false)
                      break done
                    case .bsr:
                      s.begin(p, block, eip)
                      try bitScan(p, reverse: true)
                      break done
                    case .inPort:
                      s.begin(p, block, eip)
                      try inputFromPort(p)
                      break done
                    case .outPort:
                      s.begin(p, block, eip)
                      try outputToPort(p)
                      break done
                    case .movRR32AndShl32IN:
                      s.setReg(p.pointee.rm, s.reg(p.pointee.reg) as UInt32)
                      p += 1
                      s.shiftLeft(p, flags: false)
                    case .movRR32AndShr32IN:
                      s.setReg(p.pointee.rm, s.reg(p.pointee.reg) as UInt32)
                      p += 1
                      s.shiftRight(p, flags: false)
                    case .movRR32AndRol32IN:
                      s.setReg(p.pointee.rm, s.reg(p.pointee.reg) as UInt32)
                      p += 1
                      s.rotateLeft(p, flags: false)
                    case .movRR32AndMovRR32:
                      s.setReg(p.pointee.rm, s.reg(p.pointee.reg) as UInt32)
                      p += 1
                      s.setReg(p.pointee.rm, s.reg(p.pointee.reg) as UInt32)
                    case .movRM32BAndMovRM32B:
                      if s.moveRM(p, s.baseRead(p, 4), u32) { break slow }
                      p += 1
                      if s.moveRM(p, s.baseRead(p, 4), u32) { break slow }
                    case .movRM32BAndMovMR32B:
                      if s.moveRM(p, s.baseRead(p, 4), u32) { break slow }
                      p += 1
                      if s.moveMR(p, s.baseWrite(p, 4), u32) { break slow }
                    case .movRM32BAndMovRR32:
                      if s.moveRM(p, s.baseRead(p, 4), u32) { break slow }
                      p += 1
                      s.setReg(p.pointee.rm, s.reg(p.pointee.reg) as UInt32)
                    case .movMR32BAndMovRM32B:
                      if s.moveMR(p, s.baseWrite(p, 4), u32) { break slow }
                      p += 1
                      if s.moveRM(p, s.baseRead(p, 4), u32) { break slow }
                    case .movMR32BAndMovMR32B:
                      if s.moveMR(p, s.baseWrite(p, 4), u32) { break slow }
                      p += 1
                      if s.moveMR(p, s.baseWrite(p, 4), u32) { break slow }
                    case .push32RFAndPush32RF:
                      if s.flatPush(s.reg(p.pointee.rm)) { break slow }
                      p += 1
                      if s.flatPush(s.reg(p.pointee.rm)) { break slow }
                    case .pop32RFAndPop32RF:
                      if s.flatPop(p) { break slow }
                      p += 1
                      if s.flatPop(p) { break slow }
                    case .addRI32NAndAddRI32N:
                      s.flaglessRI(p, add)
                      p += 1
                      s.flaglessRI(p, add)
                    case .addRR32NAndAddRI32N:
                      s.flaglessRR(p, add)
                      p += 1
                      s.flaglessRI(p, add)
                    case .xorRR32NAndMovRR32:
                      s.flaglessRR(p, xor)
                      p += 1
                      s.setReg(p.pointee.rm, s.reg(p.pointee.reg) as UInt32)
                    case .xorRR32NAndAddRR32N:
                      s.flaglessRR(p, xor)
                      p += 1
                      s.flaglessRR(p, add)
                    case .andRR32NAndXorRR32N:
                      s.flaglessRR(p, and)
                      p += 1
                      s.flaglessRR(p, xor)
                    case .rol32INAndMovRR32:
                      s.rotateLeft(p, flags: false)
                      p += 1
                      s.setReg(p.pointee.rm, s.reg(p.pointee.reg) as UInt32)
                    case .rol32INAndXorRR32N:
                      s.rotateLeft(p, flags: false)
                      p += 1
                      s.flaglessRR(p, xor)
                    case .nops: p += Int(p.pointee.span)
                    case .blockEnd: break no
                    case .pop16M, .pop32M, .leave16, .leave32, .byHandler: break slow
                    }
                    p += 1
                    continue
                  }
                  // The long way.
                  s.begin(p, block, eip)
                  try executeOne(p)
                }
                // What was called may have changed anything.
                p += 1
                let end = UnsafePointer(block.pointee.records) + Int(block.pointee.count)
                if p == end {
                  eip = s.pointee.eip
                  break branched
                }
                if s.pointee.end == end && s.pointee.codeTag != 0 { continue }
                // The block is to end earlier, or segments are not what the forms rely on.
                if p < s.pointee.end { p = try executeRecords(p) }
                s.pointee.retired &+= UInt64(p - s.pointee.blockStart)
                if p != end {
                  s.pointee.eip = s.pointee.blockEIP &+ UInt32((p - 1).pointee.nextOffset)
                }
                leaveBlock()
                return
              }
            }
            eip = s.next(p, eip)
            link = BlockLink.next(of: block)
            break linked
          }
          let target = s.target(p, eip)
          if target > s.codeLimit {
            s.begin(p, block, eip)
            throw .gp(0)
          }
          eip = target
        }
        link = BlockLink.branch(of: block)
      }
      let retired = s.pointee.retired &+ UInt64(UInt32(bitPattern: block.pointee.count))
      s.pointee.retired = retired
      let tag = s.pointee.codeTag | UInt64(codeBase &+ eip)
      if link.pointee.tag != tag && !follow(link, eip, tag)
        || (s.pointee.attention != 0 && waits) || retired >= s.pointee.deadline
        || link.pointee.block.pointee.cost > s.pointee.deadline &- retired
      {
        s.pointee.eip = eip
        leaveBlock()
        return
      }
      block = link.pointee.block
    }
  }

  /// Sets a link to the block that follows, if that can be entered as it is.
  @inline(never)
  private func follow(_ link: UnsafeMutablePointer<BlockLink>, _ eip: UInt32, _ tag: UInt64) -> Bool
  {
    // With a translator the run loop counts how often a block is met.
    guard enterCode == nil, s.pointee.codeTag != 0 else { return false }
    let slot = blocks.slot(UInt32(truncatingIfNeeded: tag))
    guard slot.pointee.tag == tag, let block = slot.pointee.block,
      Int64(eip) &+ block.pointee.byteLength &- 1
        <= Int64(segmentPointer(SegmentRegister.cs).pointee.limit),
      block.pointee.flatness & ~flatness == 0
    else { return false }
    if !block.pointee.hasForms { blocks.chooseForms(block) }
    link.pointee = BlockLink(tag: tag, block: block)
    return true
  }

  /// Shifts and rotates of any kind; true where the instruction has to go the long way.
  @inline(__always)
  private func shiftRM<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    let count = (i.pointee.countsByCL ? s.reg(4) : i.pointee.imm) & 31
    m.storeBytes(of: shift(i, m.loadUnaligned(as: T.self), count), as: T.self)
    return false
  }

  /// An instruction's handler.
  @inline(never)
  func executeOne(_ p: Insn) throws(Fault) { try execute(p) }
}
