// Multiplication and division in translated code.
//
// Owns: what each becomes. Divisions that fault are the interpreter's. Must not know: where blocks lead.
// Follows: Intel SDM volume 2, MUL, IMUL, DIV, IDIV.

import Assembler
import CPU
import Translator

extension BlockCompiler {
  /// After MUL or IMUL: CF and OF tell overflow; the others follow the low half, AF clear, as the interpreter has them.
  private func finishMultiply(_ low: HostRegister, _ width: Width) {
    guard needs(~FlagInformation.carryAndOverflow) else {
      // The host's CF and OF are right.
      defineFlags()
      return
    }
    a.set(.b, .r10)
    a.test(low, low, width)
    a.mov(.r9, .rax, .quad)
    a.lahf()
    a.mov(.rax, .r10, .byte)
    a.or(.ah, .rax, .byte)
    a.mov(StateOperand.rawFlags, .rax, .word)
    a.mov(.rax, .r9, .quad)
    flagsAreInMemory()
  }

  func emitMultiply(_ i: Instruction, _ width: Width) {
    let r = host(i.reg)
    let immediate = i.handler == .imul16I || i.handler == .imul32I
    switch (i.hasMemory, immediate) {
    case (true, true): a.imul(r, emitAddress(i, width.bytes, write: false), i.imm, width)
    case (false, true): a.imul(r, host(i.rm), i.imm, width)
    case (true, false): a.imul(r, emitAddress(i, width.bytes, write: false), width)
    case (false, false): a.imul(r, host(i.rm), width)
    }
    finishMultiply(r, width)
  }

  func emitMultiplyDivide(_ i: Instruction) {
    let width = Width(bytes: i.operandSize)
    if i.op.isDivision {
      emitDivide(i, width, signed: i.op == .idiv)
      return
    }
    let signed = i.op == .imul1
    if i.hasMemory {
      let m = emitAddress(i, width.bytes, write: false)
      if signed { a.imul(m, width) } else { a.mul(m, width) }
    } else {
      let r = host(i.rm, width)
      if signed { a.imul(r, width) } else { a.mul(r, width) }
    }
    finishMultiply(.rax, width)
  }

  /// Divisions whose quotient fits run on the host; what would fault, and what is rare, is interpreted.
  private func emitDivide(_ i: Instruction, _ width: Width, signed: Bool) {
    willWrite(1 | 1 << 2)
    // The checks below destroy them, and a window access alone does not save them.
    clobberFlags()
    if i.hasMemory {
      a.mov(.r10, emitAddress(i, width.bytes, write: false), width)
    } else if width == .byte {
      a.mov(.r10, byteSource(host(i.rm, .byte)))
    } else {
      a.mov(.r10, host(i.rm))
    }
    if width != .long { a.extend(.r10, .r10, signed: signed, width) }
    let slow = interpretStub()
    if signed {
      // The dividend is a number of the operand's size and the divisor neither 0 nor -1.
      switch width {
      case .long:
        a.mov(.r9, .rax)
        a.sar(.r9, 31)
        a.cmp(.r9, .rdx)
      case .word:
        a.movsx(.r9, .rax, .word)
        a.sar(.r9, 31)
        a.cmp(.r9, .rdx, .word)
      default:
        a.movsx(.r9, .rax, .byte)
        a.cmp(.r9, .rax, .word)
      }
      a.j(.ne, &stubs[slow].label)
      a.lea(.r9, MemoryOperand(base: .r10, displacement: 1))
      a.cmp(.r9, 1)
      a.j(.be, &stubs[slow].label)
    } else {
      // The dividend's upper half is below the divisor.
      switch width {
      case .long: a.cmp(.rdx, .r10)
      case .word: a.cmp(.rdx, .r10, .word)
      default:
        a.rorx(.r9, .rax, 8)
        a.cmp(.r9, .r10, .byte)
      }
      a.j(.ae, &stubs[slow].label)
    }
    if signed { a.idiv(.r10, width) } else { a.div(.r10, width) }
  }
}
