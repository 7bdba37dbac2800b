// Repeated string instructions in translated code.
//
// Owns: repetitions whose operands each lie in one page that the tables cover: the host's own repeated instruction does them at once.
// Everything else (descending, longer, at a deadline) is the interpreter's. Must not know: what interrupts a repetition.
// Follows: Intel SDM volume 2, REP and the instructions' pages; each iteration counts as an instruction.

import Assembler
import CPU
import Translator

extension BlockCompiler {
  /// REP MOVS, REP STOS, and REPE and REPNE with CMPS and SCAS.
  func emitRepeatedString(_ i: Instruction) -> Bool {
    guard let operation = StringOperation(i.op),
      options.contains(.repeats), options.contains(.memory), operation != .lods,
      !context.has(.down)
    else { return emitInterpreted() }
    let size = i.operandSize
    let compares = operation == .cmps || operation == .scas
    let hasSource = operation == .movs || operation == .cmps
    willWrite(1 << 1 | 1 << 6 | 1 << 7)
    clobberFlags()
    let slow = interpretStub()
    var done = Label()
    if i.isAddress32 {
      a.mov(.r10, .rcx)
    } else {
      a.movzx(.r10, .rcx, .word)
    }
    a.test(.r10, .r10)
    if !compares || !needs() {
      a.j(.e, &done)
    } else if memoryFlagsValid || garbage == .none {
      // With nothing to compare the flags stay.
      var some = Label()
      a.j(.ne, &some)
      if !memoryFlagsValid, let recipe {
        emitRecipe(recipe)
      } else {
        restoreFlags(scratch: .r10)
      }
      a.jmp(&done)
      a.bind(&some)
    } else {
      a.j(.e, &stubs[slow].label)
    }
    a.cmp(.r10, .r11, .quad)
    a.j(.g, &stubs[slow].label)
    if size > 1 {
      a.shl(.r10, size == 4 ? 2 : 1, .quad)
    }
    emitRun(.rdi, SegmentRegister.es, i, write: !compares, slow)
    if hasSource {
      a.mov(StateOperand.scratch, .r8, .quad)
      emitRun(.rsi, Int(i.segment), i, write: false, slow)
      // R9 and R8: what leads from host addresses back to SI and DI.
      a.mov(.r9, .rsi, .quad)
      a.sub(.r9, .r8, .quad)
      a.mov(.rsi, .r8, .quad)
      a.mov(.r8, .rdi, .quad)
      a.mov(.rdi, StateOperand.scratch, .quad)
      a.sub(.r8, .rdi, .quad)
    } else {
      a.mov(.r9, .r8, .quad)
      a.mov(.r8, .rdi, .quad)
      a.sub(.r8, .r9, .quad)
      a.mov(.rdi, .r9, .quad)
    }
    if !i.isAddress32 {
      a.mov(.r10, .rcx)
      a.movzx(.rcx, .rcx, .word)
    }
    // One iteration is counted with the block.
    a.sub(.r11, .rcx, .quad)
    a.add(.r11, 1, .quad)
    a.repeated(operation, whileDifferent: i.hasRepne && compares, Width(bytes: size))
    if compares { a.lea(.r11, MemoryOperand(base: .r11, index: .rcx), .quad) }
    if !i.isAddress32 {
      a.mov(.r10, .rcx, .word)
      a.mov(.rcx, .r10)
    }
    a.lea(.rdi, MemoryOperand(base: .rdi, index: .r8))
    if hasSource { a.lea(.rsi, MemoryOperand(base: .rsi, index: .r9)) }
    a.bind(&done)
    if compares { defineFlags() }
    emitExit(blockEIP &+ UInt32(i.nextOffset))
    return true
  }

  /// The host address of R10 bytes from an offset on in R8, if they lie in one page, within the segment. Destroys R9.
  private func emitRun(
    _ offset: HostRegister, _ segment: Int, _ i: Instruction, write: Bool, _ slow: Int
  ) {
    if i.isAddress32 {
      a.mov(.r8, offset)
    } else {
      a.movzx(.r8, offset, .word)
      // SI or DI must not wrap.
      a.lea(.r9, MemoryOperand(base: .r8, index: .r10), .quad)
      a.cmp(.r9, 0xFFFF, .quad)
      a.j(.a, &stubs[slow].label)
    }
    if !context.isFlat(segment) {
      let limit = write ? StateOperand.writeLimit : StateOperand.readLimit
      a.lea(.r9, MemoryOperand(base: .r8, index: .r10, displacement: -1), .quad)
      a.cmp(.r9, StateOperand.segment(segment, limit), .quad)
      a.j(.g, &stubs[slow].label)
      a.add(.r8, StateOperand.segment(segment, StateOperand.segmentBase))
    }
    a.mov(.r9, .r8)
    a.and(.r9, 0xFFF)
    a.add(.r9, .r10, .quad)
    a.cmp(.r9, 0x1000, .quad)
    a.j(.a, &stubs[slow].label)
    a.mov(.r9, .r8)
    a.shr(.r9, 12)
    a.mov(.r9, MemoryOperand(base: write ? .r13 : .r14, index: .r9, scale: 3), .quad)
    a.test(.r9, .r9, .quad)
    a.j(.le, &stubs[slow].label)
    a.add(.r8, .r9, .quad)
  }
}

extension StringOperation {
  /// The host's operation for a guest's.
  fileprivate init?(_ op: Op) {
    switch op {
    case .movs: self = .movs
    case .cmps: self = .cmps
    case .stos: self = .stos
    case .lods: self = .lods
    case .scas: self = .scas
    default: return nil
    }
  }
}
