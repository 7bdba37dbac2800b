// The stack's instructions, and XLAT, in translated code.
//
// Owns: PUSH, POP, PUSHA, POPA, ENTER without nesting, LEAVE, XLAT. Must not know: where blocks lead.
// A frame is reached as one operand, so that nothing has changed when a part of it has to be interpreted.
// Follows: Intel SDM volume 2, the instructions' pages.

import Assembler
import CPU
import Translator

extension BlockCompiler {
  /// PUSH of a register, an immediate or memory.
  func emitPush(_ i: Instruction, _ width: Width) {
    let size = width.bytes
    willWrite(1 << 4)
    switch i.handler {
    case .push16R, .push32R: a.mov(emitPush(size), host(i.rm), width)
    case .push16I, .push32I: a.mov(emitPush(size), i.imm, width)
    default:
      // R10 holds the value on the way to the stack.
      clobberFlags()
      a.mov(.r10, emitAddress(i, size, write: false), width)
      a.mov(emitPush(size), .r10, width)
    }
    finishPush(size)
  }

  /// POP to a register.
  func emitPopRegister(_ i: Instruction, _ width: Width) {
    let size = width.bytes
    willWrite(1 << 4 | mask(i.rm))
    let m = emitPop(size)
    if i.rm == 16 {
      // POP ESP: the value wins.
      a.mov(.r10, m, width)
      moveStack(size)
      a.mov(.r12, .r10, width)
    } else {
      a.mov(host(i.rm), m, width)
      moveStack(size)
    }
  }

  /// Emits an instruction with a frame, or XLAT.
  /// - Returns: whether it ends the block.
  func emitFrameInstruction(_ i: Instruction) -> Bool {
    guard options.contains(.memory) else { return emitInterpreted() }
    switch i.handler {
    case .pusha: emitPushAll(i.isOperand32 ? .long : .word)
    case .popa: emitPopAll(i.isOperand32 ? .long : .word)
    case .enter where i.imm2 & 31 == 0:
      emitEnter(Int(i.imm & 0xFFFF), i.isOperand32 ? .long : .word)
    case .leave16: emitLeave(.word)
    case .leave32: emitLeave(.long)
    case .pop16M: emitPopMemory(i, .word)
    case .pop32M: emitPopMemory(i, .long)
    case .xlat: emitTranslate(i)
    default: return emitInterpreted()
    }
    return false
  }

  private func emitPushAll(_ width: Width) {
    let size = width.bytes
    willWrite(1 << 4)
    var m = emitPush(8 * size)
    for n in [7, 6, 5, 4, 3, 2, 1, 0] {
      a.mov(m, host(UInt8(n * 4)), width)
      m.displacement += Int32(size)
    }
    finishPush(8 * size)
  }

  private func emitPopAll(_ width: Width) {
    let size = width.bytes
    willWrite(0xFF)
    var m = emitPop(8 * size)
    for n in [7, 6, 5, 4, 3, 2, 1, 0] {
      if n != 4 { a.mov(host(UInt8(n * 4)), m, width) }
      m.displacement += Int32(size)
    }
    moveStack(8 * size)
  }

  private func emitEnter(_ locals: Int, _ width: Width) {
    let size = width.bytes
    willWrite(1 << 4 | 1 << 5)
    // The new top of the stack must be writable, but the push comes first.
    if !keepsFlags(SegmentRegister.ss) { _ = emitPush(size) }
    let top = emitStackAccess(-(size + locals), size, write: true)
    if top.isWindow {
      a.mov(.r10, top, width)
      a.mov(top, .r10, width)
    }
    a.mov(emitPush(size), .rbp, width)
    finishPush(size)
    // The operand size decides, not the stack's: EBP gets the whole of ESP.
    a.mov(.rbp, .r12, width)
    if locals != 0 { moveStack(-locals) }
  }

  private func emitLeave(_ width: Width) {
    let size = width.bytes
    willWrite(1 << 4 | 1 << 5)
    let isBig = context.has(.bigStack)
    a.mov(.r10, emitFrame(size), width)
    if isBig {
      a.lea(.r12, MemoryOperand(base: .rbp, displacement: Int32(size)))
    } else {
      a.lea(.r8, MemoryOperand(base: .rbp, displacement: Int32(size)))
      a.mov(.r12, .r8, .word)
    }
    a.mov(.rbp, .r10, width)
  }

  private func emitPopMemory(_ i: Instruction, _ width: Width) {
    let size = width.bytes
    willWrite(1 << 4)
    // R10 holds the value on its way.
    clobberFlags()
    a.mov(.r10, emitPop(size), width)
    var target = i
    // The address is computed with the incremented stack pointer.
    if i.base == 4 * 4 { target.disp = i.disp &+ UInt32(size) }
    a.mov(emitAddress(target, size, write: true), .r10, width)
    moveStack(size)
  }

  private func emitTranslate(_ i: Instruction) {
    willWrite(1)
    let segment = Int(i.segment)
    let flat = keepsFlags(segment)
    if !flat { clobberFlags() }
    a.movzx(.r8, .rax, .byte)
    a.lea(.r8, MemoryOperand(base: .r8, index: .rbx))
    if !i.isAddress32 { a.movzx(.r8, .r8, .word) }
    if flat {
      windowStub()
      var m = MemoryOperand(base: .r8)
      m.isWindow = true
      a.mov(.rax, m, .byte)
      return
    }
    let slow = interpretStub()
    a.mov(.rax, emitAccess(.r8, segment, 1, write: false, slow: slow), .byte)
  }
}
