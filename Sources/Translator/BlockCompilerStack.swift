// Instructions with frames of several words, and XLAT, in translated code.
//
// Owns: PUSHA, POPA, ENTER without nesting, LEAVE, POP to memory, XLAT. Must not know: where blocks lead.
// A frame is reached as one operand, so that nothing has changed when a part of it has to be interpreted.
// Follows: Intel SDM volume 2, the instructions' pages.

import Assembler
import CPU

extension BlockCompiler {
  /// Emits such an instruction.
  /// - Returns: whether it ends the block.
  func emitFrameInstruction(_ i: Instruction) -> Bool {
    guard options.contains(.memory) else { return emitInterpreted() }
    switch i.handler {
    case .pusha: emitPushAll(i.isOperand32 ? 4 : 2)
    case .popa: emitPopAll(i.isOperand32 ? 4 : 2)
    case .enter where i.imm2 & 31 == 0: emitEnter(Int(i.imm & 0xFFFF), i.isOperand32 ? 4 : 2)
    case .leave16: emitLeave(2)
    case .leave32: emitLeave(4)
    case .pop16M: emitPopMemory(i, 2)
    case .pop32M: emitPopMemory(i, 4)
    case .xlat: emitTranslate(i)
    default: return emitInterpreted()
    }
    return false
  }

  private func emitPushAll(_ size: Int) {
    willWrite(1 << 4)
    var m = emitPush(8 * size)
    for n in [7, 6, 5, 4, 3, 2, 1, 0] {
      a.store(m, host(UInt8(n * 4)), size)
      m.displacement += Int32(size)
    }
    finishPush(8 * size)
  }

  private func emitPopAll(_ size: Int) {
    willWrite(0xFF)
    var m = emitPop(8 * size)
    for n in [7, 6, 5, 4, 3, 2, 1, 0] {
      if n != 4 { a.load(host(UInt8(n * 4)), m, size) }
      m.displacement += Int32(size)
    }
    moveStack(8 * size)
  }

  private func emitEnter(_ locals: Int, _ size: Int) {
    willWrite(1 << 4 | 1 << 5)
    // The new top of the stack must be writable, but the push comes first.
    if !keepsFlags(SegmentRegister.ss) { _ = emitPush(size) }
    let top = emitStackAccess(-(size + locals), size, write: true)
    if top.isWindow {
      a.load(H.r10, top, size)
      a.store(top, H.r10, size)
    }
    a.store(emitPush(size), H.rbp, size)
    finishPush(size)
    // The operand size decides, not the stack's: EBP gets the whole of ESP.
    a.move(H.rbp, H.r12, size)
    if locals != 0 { moveStack(-locals) }
  }

  private func emitLeave(_ size: Int) {
    willWrite(1 << 4 | 1 << 5)
    let isBig = context.has(CodeContext.bigStack)
    a.load(H.r10, emitFrame(size), size)
    if isBig {
      a.lea(H.r12, MemoryOperand(base: H.rbp, displacement: Int32(size)))
    } else {
      a.lea(H.r8, MemoryOperand(base: H.rbp, displacement: Int32(size)))
      a.move(H.r12, H.r8, 2)
    }
    a.move(H.rbp, H.r10, size)
  }

  private func emitPopMemory(_ i: Instruction, _ size: Int) {
    willWrite(1 << 4)
    // R10 holds the value on its way.
    clobberFlags()
    a.load(H.r10, emitPop(size), size)
    var target = i
    // The address is computed with the incremented stack pointer.
    if i.base == 4 * 4 { target.disp = i.disp &+ UInt32(size) }
    a.store(emitAddress(target, size, write: true), H.r10, size)
    moveStack(size)
  }

  private func emitTranslate(_ i: Instruction) {
    willWrite(1)
    let segment = Int(i.segment)
    let flat = keepsFlags(segment)
    if !flat { clobberFlags() }
    a.rr(0x0FB6, 4, reg: H.r8, rm: H.rax)
    a.lea(H.r8, MemoryOperand(base: H.r8, index: H.rbx))
    if !i.isAddress32 { a.rr(0x0FB7, 4, reg: H.r8, rm: H.r8) }
    if flat {
      windowStub()
      var m = MemoryOperand(base: H.r8)
      m.isWindow = true
      a.load(H.rax, m, 1)
      return
    }
    let slow = interpretStub()
    a.load(H.rax, emitAccess(H.r8, segment, 1, write: false, slow: slow), 1)
  }
}
