// Integer instructions in translated code.
//
// Owns: which method makes code of which. Most keep their opcode; operands move to the host's registers and flags are kept track of.
// Must not know: where blocks lead, what each becomes (the files beside this one).
// Follows: Intel SDM volume 2; flags it leaves undefined are as the interpreter leaves them.

import Assembler
import CPU
import Translator

extension BlockCompiler {
  /// Whether the instruction works on registers alone and never leaves the block.
  func isPure(_ i: Instruction) -> Bool {
    if i.hasMemory && i.handler != .lea32 && i.handler != .lea16 { return false }
    if let shape = i.handler.shape { return !shape.hasMemory }
    switch i.handler {
    case .inc8R, .inc16R, .inc32R, .dec8R, .dec16R, .dec32R, .lea16, .lea32, .movzx32R8,
      .movzx32R16, .movsx32R8, .movsx32R16, .movzx16, .movsx16, .shl32I, .shr32I, .sar32I, .setcc,
      .cmov16, .cmov32, .imul16I, .imul32I, .imul16, .imul32, .not, .neg, .cwde, .cdq, .cbw16,
      .cwd16, .xchg, .nop, .cmc, .clc, .stc, .sahf, .lahf:
      return true
    case .mulDiv: return !i.op.isDivision
    // Those of which some are interpreted.
    case .shift8, .shift16, .shift32:
      return !i.countsByCL || mask(i.rm) != 1 << 1
    case .bswap: return i.isOperand32
    case .bitTest, .bitTestImm: return true
    // Where no other processor waits for this one, it is a NOP.
    case .pause: return !cpu.hasPeers
    default: return false
    }
  }

  /// Whether a fault, a device or the interpreter can come in.
  func mayExit(_ i: Instruction) -> Bool { !isPure(i) }

  /// PAUSE, which gives way where that is wanted at present.
  private func emitPause() {
    if !cpu.hasPeers { return }
    clobberFlags()
    let slow = interpretStub()
    a.cmp(StateOperand.givesWay, 0, .byte)
    a.j(.ne, &stubs[slow].label)
  }

  /// The jump of a loop that waits, which gives way where that is wanted at present.
  private func emitWaitJump(_ i: Instruction) -> Bool {
    guard options.contains(.control) else { return emitInterpreted() }
    emitPause()
    var plain = i
    plain.handler = i.op.isConditionalJump ? .jz : .jmpRel
    return emitControl(plain)
  }

  /// Emits one instruction.
  /// - Returns: whether the block ends with it.
  func emit(_ i: Instruction) -> Bool {
    if i.hasMemory && !options.contains(.memory) && !isPure(i)
      && i.flags & InstructionFlags.endsBlock == 0
    {
      return emitInterpreted()
    }
    if emitArithmetic(i) { return false }
    switch i.handler {
    case .movRR8: moveRegister(i, .byte)
    case .movRR16: moveRegister(i, .word)
    case .movRR32: moveRegister(i, .long)
    case .movRI8:
      willWrite(mask(i.rm))
      a.mov(host(i.rm, .byte), i.imm, .byte)
    case .movRI16:
      willWrite(mask(i.rm))
      a.mov(host(i.rm), i.imm, .word)
    case .movRI32:
      willWrite(mask(i.rm))
      a.mov(host(i.rm), i.imm)
    case .movRM8: loadRegister(i, .byte)
    case .movRM16: loadRegister(i, .word)
    case .movRM32: loadRegister(i, .long)
    case .movMR8:
      let m = emitAddress(i, 1, write: true)
      a.mov(m, byteSource(host(i.reg, .byte)), .byte)
    case .movMR16: a.mov(emitAddress(i, 2, write: true), host(i.reg), .word)
    case .movMR32: a.mov(emitAddress(i, 4, write: true), host(i.reg))
    case .movMI8: a.mov(emitAddress(i, 1, write: true), i.imm, .byte)
    case .movMI16: a.mov(emitAddress(i, 2, write: true), i.imm, .word)
    case .movMI32: a.mov(emitAddress(i, 4, write: true), i.imm)
    case .inc8R: incrementRegister(i, up: true, .byte)
    case .inc16R: incrementRegister(i, up: true, .word)
    case .inc32R: incrementRegister(i, up: true, .long)
    case .dec8R: incrementRegister(i, up: false, .byte)
    case .dec16R: incrementRegister(i, up: false, .word)
    case .dec32R: incrementRegister(i, up: false, .long)
    case .incM8: incrementMemory(i, up: true, .byte)
    case .incM16: incrementMemory(i, up: true, .word)
    case .incM32: incrementMemory(i, up: true, .long)
    case .decM8: incrementMemory(i, up: false, .byte)
    case .decM16: incrementMemory(i, up: false, .word)
    case .decM32: incrementMemory(i, up: false, .long)
    case .lea16, .lea32: emitLea(i)
    case .push16R, .push16I, .push16M: emitPush(i, .word)
    case .push32R, .push32I, .push32M: emitPush(i, .long)
    case .pop16R: emitPopRegister(i, .word)
    case .pop32R: emitPopRegister(i, .long)
    case .leave16, .leave32, .enter, .pusha, .popa, .pop16M, .pop32M, .xlat:
      return emitFrameInstruction(i)
    case .movzx32R8: extendRegister(i, signed: false, .byte, .long)
    case .movzx32R16: extendRegister(i, signed: false, .word, .long)
    case .movsx32R8: extendRegister(i, signed: true, .byte, .long)
    case .movsx32R16: extendRegister(i, signed: true, .word, .long)
    case .movzx16, .movsx16:
      let signed = i.handler == .movsx16
      if i.hasMemory {
        willWrite(mask(i.reg))
        let m = emitAddress(i, 1, write: false)
        a.extend(host(i.reg), m, signed: signed, .byte, to: .word)
      } else {
        extendRegister(i, signed: signed, .byte, .word)
      }
    case .movzx32M8: extendMemory(i, signed: false, .byte)
    case .movzx32M16: extendMemory(i, signed: false, .word)
    case .movsx32M8: extendMemory(i, signed: true, .byte)
    case .movsx32M16: extendMemory(i, signed: true, .word)
    case .shl32I, .shr32I, .sar32I, .shift32: emitShift(i, .long)
    case .shift16: emitShift(i, .word)
    case .shift8: emitShift(i, .byte)
    case .setcc: emitSet(i)
    case .cmov16: emitConditionalMove(i, .word)
    case .cmov32: emitConditionalMove(i, .long)
    case .imul16, .imul16I: emitMultiply(i, .word)
    case .imul32, .imul32I: emitMultiply(i, .long)
    case .not: emitNot(i)
    case .neg: emitNegate(i)
    case .mulDiv: emitMultiplyDivide(i)
    case .cwde, .cbw16:
      willWrite(1)
      a.extendAccumulator(to: i.handler == .cbw16 ? .word : .long)
    case .cdq, .cwd16:
      willWrite(1 << 2)
      a.spreadSign(i.handler == .cwd16 ? .word : .long)
    case .xchg: return emitExchange(i)
    case .nop: break
    case .pause: emitPause()
    case .waitJump: return emitWaitJump(i)
    case .bswap where i.isOperand32:
      willWrite(mask(i.rm))
      a.bswap(host(i.rm))
    case .clc, .stc, .cmc:
      if needs(~FlagInformation.carry) {
        useHostFlags()
      } else if i.handler == .cmc && needs() {
        useCarry()
      }
      if needs() {
        switch i.handler {
        case .clc: a.clc()
        case .stc: a.stc()
        default: a.cmc()
        }
        defineFlags(garbage: hostFlagsValid ? garbage.keepingAdjust : .none)
      }
    case .sahf:
      if needs() {
        if needs(UInt16(EFLAGS.of)) { useHostFlags() }
        a.sahf()
        defineFlags()
      }
    case .lahf:
      if garbage.adjust { saveFlags() }
      useHostFlags()
      willWrite(1)
      a.lahf()
    case .bitTest, .bitTestImm: return emitBitTest(i)
    case .bsf, .bsr: emitBitScan(i)
    case .shld, .shrd: return emitDoubleShift(i)
    case .cmpxchg8: return emitCompareExchange(i, 1)
    case .cmpxchg16: return emitCompareExchange(i, 2)
    case .cmpxchg32: return emitCompareExchange(i, 4)
    case .cmpxchg8b: return emitCompareExchangePair(i)
    case .xadd8: return emitExchangeAdd(i, 1)
    case .xadd16: return emitExchangeAdd(i, 2)
    case .xadd32: return emitExchangeAdd(i, 4)
    case .string: return emitString(i)
    case .aaa: emitASCIIAdjust(subtract: false)
    case .aas: emitASCIIAdjust(subtract: true)
    case .aam: return emitASCIIMultiply(i)
    case .aad: emitASCIIDivide(i)
    case .daa: emitDecimalAdjust(subtract: false)
    case .das: emitDecimalAdjust(subtract: true)
    case .cld where !context.has(.down), .std where context.has(.down): break
    case .cld, .std: return emitDirection(i)
    case .fpu: return emitFPU(i)
    case .simd: return emitSIMD(i)
    case .inPort, .outPort: return emitPort(i)
    default:
      if let ended = emitSegments(i) ?? emitSystem(i) ?? emitFar(i) { return ended }
      if i.flags & InstructionFlags.endsBlock != 0 { return emitControl(i) }
      return emitInterpreted()
    }
    return false
  }
}
