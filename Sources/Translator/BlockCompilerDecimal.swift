// Decimal adjustment in translated code; the host's 64-bit mode has none of these instructions.
//
// Owns: AAA, AAS, AAM, AAD, DAA, DAS. Must not know: anything else. Flags they leave undefined are as the interpreter leaves them.
// Follows: Intel SDM volume 2, the instructions' pages.

import Assembler
import CPU

extension BlockCompiler {
  /// SF, ZF, PF of the byte in `result`, OF clear, and CF and AF as bits 0 and 4 of R10B; into memory. Uses R8.
  private func finishDecimal(_ result: Int) {
    a.rr(0x84, 1, reg: result, rm: result)
    a.move(H.r8, H.rax, 8)
    a.byte(0x9F)
    a.move(H.rax, H.r10, 1)
    a.rr(0x08, 1, reg: H.rax, rm: 4)
    a.rr(0x30, 1, reg: H.rax, rm: H.rax)
    a.store(StateOperand.rawFlags, H.rax, 2)
    a.move(H.rax, H.r8, 8)
    flagsAreInMemory()
  }

  /// SETcc R10B, R9B or R8B.
  private func set(_ condition: Int, _ register: Int) {
    a.rr(0x0F90 | condition, 1, reg: 0, rm: register)
  }

  /// R10D: 1 if the low digit needs adjustment. Flags are in memory; uses R9.
  private func emitLowDigit() {
    a.move(H.r9, H.rax)
    a.arithmetic(4, H.r9, immediate: 15)
    a.arithmetic(7, H.r9, immediate: 9)
    set(Condition.a, H.r9)
    // AF is bit 12 of the saved word.
    a.rm(0x0FB7, 4, reg: H.r10, StateOperand.rawFlags)
    a.rr(0xC1, 4, reg: 5, rm: H.r10)
    a.byte(12)
    a.rr(0x08, 1, reg: H.r9, rm: H.r10)
    a.arithmetic(4, H.r10, immediate: 1)
  }

  /// AAA and AAS.
  func emitASCIIAdjust(subtract: Bool) {
    saveFlags()
    hostFlagsValid = false
    emitLowDigit()
    a.rr(0x69, 4, reg: H.r9, rm: H.r10)
    a.word32(subtract ? -0x106 : 0x106)
    a.rr(0x01, 4, reg: H.rax, rm: H.r9)
    a.arithmetic(4, H.r9, immediate: 0xFF0F)
    a.move(H.rax, H.r9, 2)
    a.rr(0x6B, 4, reg: H.r10, rm: H.r10)
    a.byte(0x11)
    finishDecimal(H.r9)
  }

  /// AAM with base 10.
  func emitASCIIMultiply(_ i: Instruction) -> Bool {
    guard i.imm & 0xFF == 10 else { return emitInterpreted() }
    a.rr(0x0FB6, 4, reg: H.r10, rm: H.rax)
    // A quotient by 10 of a byte is 205 / 2048 of it.
    a.rr(0x69, 4, reg: H.r9, rm: H.r10)
    a.word32(205)
    a.rr(0xC1, 4, reg: 5, rm: H.r9)
    a.byte(11)
    a.lea(H.r8, MemoryOperand(base: H.r9, index: H.r9, scale: 2))
    a.rr(0x01, 4, reg: H.r8, rm: H.r8)
    a.rr(0x29, 4, reg: H.r8, rm: H.r10)
    a.rr(0xC1, 4, reg: 4, rm: H.r9)
    a.byte(8)
    a.rr(0x09, 4, reg: H.r9, rm: H.r10)
    a.move(H.rax, H.r10, 2)
    a.rr(0x84, 1, reg: H.rax, rm: H.rax)
    defineFlags(FlagRecipe(kind: .test, size: 1, first: H.rax, second: H.rax, registers: 1))
    return false
  }

  /// AAD with any base.
  func emitASCIIDivide(_ i: Instruction) {
    a.rorx(H.r10, H.rax, 8)
    a.rr(0x0FB6, 4, reg: H.r10, rm: H.r10)
    a.rr(0x69, 4, reg: H.r10, rm: H.r10)
    a.word32(Int(i.imm & 0xFF))
    a.rr(0x00, 1, reg: H.rax, rm: H.r10)
    a.rr(0x0FB6, 4, reg: H.r10, rm: H.r10)
    a.move(H.rax, H.r10, 2)
    a.rr(0x84, 1, reg: H.rax, rm: H.rax)
    defineFlags(FlagRecipe(kind: .test, size: 1, first: H.rax, second: H.rax, registers: 1))
  }

  /// DAA and DAS.
  func emitDecimalAdjust(subtract: Bool) {
    saveFlags()
    hostFlagsValid = false
    emitLowDigit()
    // R8: the old AL; R9: 1 where the high digit is adjusted.
    a.rr(0x0FB6, 4, reg: H.r8, rm: H.rax)
    a.arithmetic(7, H.r8, immediate: 0x99)
    set(Condition.a, H.r9)
    var high = StateOperand.rawFlags
    high.displacement += 1
    a.store(StateOperand.scratch, H.rcx, 8)
    a.rm(0x0FB6, 4, reg: H.rcx, high)
    a.rr(0x08, 1, reg: H.rcx, rm: H.r9)
    a.arithmetic(4, H.r9, immediate: 1)
    // AL plus or minus 6 and 60h.
    a.rr(0x6B, 4, reg: H.rcx, rm: H.r10)
    a.byte(6)
    a.rr(subtract ? 0x28 : 0x00, 1, reg: H.rcx, rm: H.rax)
    a.rr(0x6B, 4, reg: H.rcx, rm: H.r9)
    a.byte(0x60)
    a.rr(subtract ? 0x28 : 0x00, 1, reg: H.rcx, rm: H.rax)
    if subtract {
      // A borrow of the low digit out of the byte: old AL below 6 and adjusted.
      a.arithmetic(7, H.r8, immediate: 6)
      set(Condition.b, H.rcx)
      a.rr(0x20, 1, reg: H.r10, rm: H.rcx)
      a.rr(0x08, 1, reg: H.rcx, rm: H.r9)
    }
    // OF: the sign has come (DAA) or gone (DAS).
    if subtract {
      a.move(H.rcx, H.rax)
      a.rr(0xF7, 4, reg: 2, rm: H.rcx)
      a.rr(0x21, 4, reg: H.r8, rm: H.rcx)
    } else {
      a.rr(0xF7, 4, reg: 2, rm: H.r8)
      a.move(H.rcx, H.r8)
      a.rr(0x21, 4, reg: H.rax, rm: H.rcx)
    }
    a.rr(0xC1, 4, reg: 5, rm: H.rcx)
    a.byte(7)
    a.arithmetic(4, H.rcx, immediate: 1)
    // CF and AF.
    a.rr(0xC1, 4, reg: 4, rm: H.r10)
    a.byte(4)
    a.rr(0x09, 4, reg: H.r9, rm: H.r10)
    a.rr(0x84, 1, reg: H.rax, rm: H.rax)
    a.move(H.r8, H.rax, 8)
    a.byte(0x9F)
    a.move(H.rax, H.r10, 1)
    a.rr(0x08, 1, reg: H.rax, rm: 4)
    a.move(H.rax, H.rcx, 1)
    a.store(StateOperand.rawFlags, H.rax, 2)
    a.move(H.rax, H.r8, 8)
    a.load(H.rcx, StateOperand.scratch, 8)
    flagsAreInMemory()
  }
}
