// Moves, exchanges and what depends on conditions, in translated code.
//
// Owns: MOV, MOVZX, MOVSX, LEA, XCHG, SETcc, CMOVcc. Must not know: where blocks lead.
// Follows: Intel SDM volume 2, the instructions' pages.

import Assembler
import CPU
import Translator

extension BlockCompiler {
  func moveRegister(_ i: Instruction, _ width: Width) {
    willWrite(mask(i.rm))
    a.mov(host(i.rm, width), host(i.reg, width), width)
  }

  func loadRegister(_ i: Instruction, _ width: Width) {
    willWrite(mask(i.reg))
    let m = emitAddress(i, width.bytes, write: false)
    let r = host(i.reg, width)
    if r.isHighByte {
      // The address may be made of that register: the byte goes through R10B.
      a.movzx(.r10, m, .byte)
      withHighByte(r) { a.mov($0, .r10, .byte) }
    } else {
      a.mov(r, m, width)
    }
  }

  func extendRegister(_ i: Instruction, signed: Bool, _ from: Width, _ to: Width) {
    willWrite(mask(i.reg))
    var source = host(i.rm, from)
    let target = host(i.reg)
    // With a prefix that names R12 no high byte can be named.
    if target.isExtended { source = byteSource(source) }
    a.extend(target, source, signed: signed, from, to: to)
  }

  func extendMemory(_ i: Instruction, signed: Bool, _ from: Width) {
    willWrite(mask(i.reg))
    let m = emitAddress(i, from.bytes, write: false)
    a.extend(host(i.reg), m, signed: signed, from)
  }

  func emitLea(_ i: Instruction) {
    willWrite(mask(i.reg))
    let m = operand(i)
    let r = host(i.reg)
    if i.handler == .lea32 && i.isAddress32 {
      a.lea(r, m)
    } else {
      a.lea(.r8, m)
      if i.handler == .lea16 {
        a.mov(r, .r8, .word)
      } else {
        a.movzx(r, .r8, .word)
      }
    }
  }

  func emitExchange(_ i: Instruction) -> Bool {
    let size = i.operandSize
    let width = Width(bytes: size)
    let r = host(i.reg, width)
    if !i.hasMemory {
      willWrite(mask(i.reg) | mask(i.rm))
      let other = host(i.rm, width)
      if size == 4 && r == other { return false }
      a.xchg(r, other, width)
      return false
    }
    if r.isHighByte { return emitInterpreted() }
    willWrite(mask(i.reg))
    let m = emitAddress(i, size, write: true)
    a.mov(.r10, m, width)
    a.mov(m, r, width)
    a.mov(r, .r10, width)
    return false
  }

  func emitSet(_ i: Instruction) {
    let condition = Condition(code: i.condition)
    useHostFlags(for: condition)
    if !i.hasMemory {
      willWrite(mask(i.rm))
      a.set(condition, host(i.rm, .byte))
      return
    }
    if !keepsFlags(Int(i.segment)) && !memoryFlagsValid && recipe == nil {
      saveFlags()
      useHostFlags()
    }
    a.set(condition, .r10)
    if !keepsFlags(Int(i.segment)) { hostFlagsValid = false }
    a.mov(emitAddress(i, 1, write: true), .r10, .byte)
  }

  func emitConditionalMove(_ i: Instruction, _ width: Width) {
    let size = width.bytes
    let condition = Condition(code: i.condition)
    if !i.hasMemory {
      useHostFlags(for: condition)
      willWrite(mask(i.reg))
      a.cmov(condition, host(i.reg), host(i.rm), width)
      return
    }
    if keepsFlags(Int(i.segment)) {
      useHostFlags(for: condition)
      willWrite(mask(i.reg))
      a.mov(.r10, emitAddress(i, size, write: false), width)
    } else {
      saveFlags()
      willWrite(mask(i.reg))
      a.mov(.r10, emitAddress(i, size, write: false), width)
      restoreFlags(scratch: .r8)
      hostFlagsValid = true
    }
    a.cmov(condition, host(i.reg), .r10, width)
  }
}
