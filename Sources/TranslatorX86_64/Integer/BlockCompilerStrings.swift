// String instructions without repetition in translated code.
//
// Owns: MOVS, STOS, LODS, SCAS, CMPS. Must not know: repetitions (BlockCompilerRepeat.swift).
// Follows: Intel SDM volume 2, the instructions' pages.

import Assembler
import CPU
import Translator

extension BlockCompiler {
  /// Moves SI or DI by an operand; leaves the flags.
  private func advance(_ register: HostRegister, _ size: Int, _ i: Instruction) {
    let delta = Int32(context.has(.down) ? -size : size)
    let m = MemoryOperand(base: register, displacement: delta)
    if i.isAddress32 {
      a.lea(register, m)
    } else {
      a.lea(.r8, m)
      a.mov(register, .r8, .word)
    }
  }

  /// The operand at SI or DI. Uses R8, R9.
  private func stringOperand(
    _ register: HostRegister, _ segment: Int, _ size: Int, _ i: Instruction, write: Bool
  ) -> MemoryOperand {
    var j = i
    j.base = register == .rsi ? 6 * 4 : 7 * 4
    j.index = 32
    j.scale = 0
    j.disp = 0
    j.segment = UInt8(segment)
    return emitAddress(j, size, write: write)
  }

  /// MOVS, STOS, LODS, SCAS, CMPS without a repetition; the direction is part of the context.
  func emitString(_ i: Instruction) -> Bool {
    if i.hasRep || i.hasRepne { return emitRepeatedString(i) }
    if !options.contains(.strings) { return emitInterpreted() }
    let size = i.operandSize
    let width = Width(bytes: size)
    let es = SegmentRegister.es
    let segment = Int(i.segment)
    let si = HostRegister.rsi
    let di = HostRegister.rdi
    switch i.op {
    case .movs:
      willWrite(1 << 6 | 1 << 7)
      // R10 holds the datum on the way to the second operand.
      clobberFlags()
      let from = stringOperand(si, segment, size, i, write: false)
      a.mov(.r10, from, width)
      let to = stringOperand(di, es, size, i, write: true)
      a.mov(to, .r10, width)
      advance(si, size, i)
      advance(di, size, i)
    case .stos:
      willWrite(1 << 7)
      a.mov(stringOperand(di, es, size, i, write: true), .rax, width)
      advance(di, size, i)
    case .lods:
      willWrite(1 | 1 << 6)
      a.mov(.rax, stringOperand(si, segment, size, i, write: false), width)
      advance(si, size, i)
    case .scas:
      a.cmp(.rax, stringOperand(di, es, size, i, write: false), width)
      advance(di, size, i)
      defineFlags()
    case .cmps:
      clobberFlags()
      let from = stringOperand(si, segment, size, i, write: false)
      a.mov(.r10, from, width)
      let with = stringOperand(di, es, size, i, write: false)
      a.cmp(.r10, with, width)
      advance(si, size, i)
      advance(di, size, i)
      defineFlags()
    default: return emitInterpreted()
    }
    return false
  }
}
