// Repeated string instructions in translated code.
//
// Owns: repetitions whose operands each lie in one page that the tables cover: the host's own repeated instruction does them at once.
// Everything else (descending, longer, at a deadline) is the interpreter's. Must not know: what interrupts a repetition.
// Follows: Intel SDM volume 2, REP and the instructions' pages; each iteration counts as an instruction.

import Assembler
import CPU

extension BlockCompiler {
  /// REP MOVS, REP STOS, and REPE and REPNE with CMPS and SCAS.
  func emitRepeatedString(_ i: Instruction) -> Bool {
    let kind = i.opcode & 0xFE
    guard options.contains(.repeats), options.contains(.memory), kind != 0xAC,
      !context.has(CodeContext.down)
    else { return emitInterpreted() }
    let size = i.opcode & 1 == 0 ? 1 : i.isOperand32 ? 4 : 2
    let compares = kind == 0xA6 || kind == 0xAE
    let hasSource = kind == 0xA4 || kind == 0xA6
    willWrite(1 << 1 | 1 << 6 | 1 << 7)
    clobberFlags()
    let slow = interpretStub()
    var done = Label()
    if i.isAddress32 {
      a.move(H.r10, H.rcx)
    } else {
      a.rr(0x0FB7, 4, reg: H.r10, rm: H.rcx)
    }
    a.rr(0x85, 4, reg: H.r10, rm: H.r10)
    if !compares || !needs() {
      a.jump(Condition.z, &done)
    } else if memoryFlagsValid || garbage == .none {
      // With nothing to compare the flags stay.
      var some = Label()
      a.jump(Condition.nz, &some)
      if !memoryFlagsValid, let recipe {
        emitRecipe(recipe)
      } else {
        restoreFlags(scratch: H.r10)
      }
      a.jump(&done)
      a.bind(&some)
    } else {
      a.jump(Condition.z, &stubs[slow].label)
    }
    a.rr(0x3B, 8, reg: H.r10, rm: H.r11)
    a.jump(Condition.g, &stubs[slow].label)
    if size > 1 {
      a.rr(0xC1, 8, reg: 4, rm: H.r10)
      a.byte(size == 4 ? 2 : 1)
    }
    emitRun(H.rdi, SegmentRegister.es, i, write: !compares, slow)
    if hasSource {
      a.store(StateOperand.scratch, H.r8, 8)
      emitRun(H.rsi, Int(i.segment), i, write: false, slow)
      // R9 and R8: what leads from host addresses back to SI and DI.
      a.move(H.r9, H.rsi, 8)
      a.rr(0x2B, 8, reg: H.r9, rm: H.r8)
      a.move(H.rsi, H.r8, 8)
      a.move(H.r8, H.rdi, 8)
      a.load(H.rdi, StateOperand.scratch, 8)
      a.rr(0x2B, 8, reg: H.r8, rm: H.rdi)
    } else {
      a.move(H.r9, H.r8, 8)
      a.move(H.r8, H.rdi, 8)
      a.rr(0x2B, 8, reg: H.r8, rm: H.r9)
      a.move(H.rdi, H.r9, 8)
    }
    if !i.isAddress32 {
      a.move(H.r10, H.rcx)
      a.rr(0x0FB7, 4, reg: H.rcx, rm: H.rcx)
    }
    // One iteration is counted with the block.
    a.rr(0x2B, 8, reg: H.r11, rm: H.rcx)
    a.arithmetic(0, H.r11, immediate: 1, 8)
    if size == 2 { a.byte(0x66) }
    a.byte(i.hasRepne && compares ? 0xF2 : 0xF3)
    a.byte(Int(kind) | (size == 1 ? 0 : 1))
    if compares { a.lea(H.r11, MemoryOperand(base: H.r11, index: H.rcx), 8) }
    if !i.isAddress32 {
      a.move(H.r10, H.rcx, 2)
      a.move(H.rcx, H.r10)
    }
    a.lea(H.rdi, MemoryOperand(base: H.rdi, index: H.r8))
    if hasSource { a.lea(H.rsi, MemoryOperand(base: H.rsi, index: H.r9)) }
    a.bind(&done)
    if compares { defineFlags() }
    emitEdge(blockEIP &+ UInt32(i.nextOffset), isLast: true)
    return true
  }

  /// The host address of R10 bytes from an offset on in R8, if they lie in one page, within the segment. Destroys R9.
  private func emitRun(_ offset: Int, _ segment: Int, _ i: Instruction, write: Bool, _ slow: Int) {
    if i.isAddress32 {
      a.move(H.r8, offset)
    } else {
      a.rr(0x0FB7, 4, reg: H.r8, rm: offset)
      // SI or DI must not wrap.
      a.lea(H.r9, MemoryOperand(base: H.r8, index: H.r10), 8)
      a.arithmetic(7, H.r9, immediate: 0xFFFF, 8)
      a.jump(Condition.a, &stubs[slow].label)
    }
    if !context.isFlat(segment) {
      let limit = write ? StateOperand.writeLimit : StateOperand.readLimit
      a.lea(H.r9, MemoryOperand(base: H.r8, index: H.r10, displacement: -1), 8)
      a.rm(0x3B, 8, reg: H.r9, StateOperand.segment(segment, limit))
      a.jump(Condition.g, &stubs[slow].label)
      a.rm(0x03, 4, reg: H.r8, StateOperand.segment(segment, StateOperand.segmentBase))
    }
    a.move(H.r9, H.r8)
    a.arithmetic(4, H.r9, immediate: 0xFFF)
    a.rr(0x03, 8, reg: H.r9, rm: H.r10)
    a.arithmetic(7, H.r9, immediate: 0x1000, 8)
    a.jump(Condition.a, &stubs[slow].label)
    a.move(H.r9, H.r8)
    a.rr(0xC1, 4, reg: 5, rm: H.r9)
    a.byte(12)
    a.load(H.r9, MemoryOperand(base: write ? H.r13 : H.r14, index: H.r9, scale: 3), 8)
    a.rr(0x85, 8, reg: H.r9, rm: H.r9)
    a.jump(Condition.le, &stubs[slow].label)
    a.rr(0x03, 8, reg: H.r8, rm: H.r9)
  }
}
