// MMX, SSE and SSE2 instructions in translated code.
//
// Owns: which run on the host's units and how. They keep their encoding; the guest's registers are the host's of the same number.
// Must not know: how the units are loaded (HostUnits).
// Follows: Intel SDM volume 2; volume 1, sections 4.1.1 (alignment) and 9.6 (MMX and x87). Interpreted are the approximations RCPPS and
// RSQRTPS, which differ among processors, masked stores, and moves between MMX and XMM registers.

import Assembler
import CPU
import Translator

extension BlockCompiler {
  private static let forms: [SIMDInstruction.Form] = [.none, .wide, .single, .double]

  /// Emits an MMX, SSE or SSE2 instruction.
  /// - Returns: whether the block ends with it.
  func emitSIMD(_ i: Instruction) -> Bool {
    let kind = Int(i.imm2 & 3)
    guard options.contains(.simd), i.imm2 < 4, i.opcode >> 8 == 0x0F else {
      return emitInterpreted()
    }
    let opcode = Int(i.opcode & 0xFF)
    let done: Bool
    switch opcode {
    case 0xAE: done = emitMXCSR(i)
    case 0xC3:
      a.mov(emitAddress(i, 4, write: true), host(i.reg))
      done = true
    case 0x10...0x5F, 0xC2, 0xC6: done = emitFloat(i, opcode, kind)
    default: done = kind == 0 ? emitMMX(i, opcode) : emitXMMInteger(i, opcode, kind)
    }
    return done ? false : emitInterpreted()
  }

  // MARK: - Common shapes

  private func vector(_ i: Instruction) -> Int { Int(i.modrm >> 3 & 7) }
  private func vectorRM(_ i: Instruction) -> Int { Int(i.modrm & 7) }

  /// A register and a register or memory source; the sizes are of memory.
  private func operate(
    _ i: Instruction, _ unit: UInt8, _ form: SIMDInstruction.Form, _ size: Int, aligned: Bool,
    immediate: Int? = nil
  ) {
    useUnit(unit)
    let instruction = SIMDInstruction(form, Int(i.opcode & 0xFF))
    if i.hasMemory {
      let m = emitAddress(i, size, write: false, aligned: aligned)
      a.simd(instruction, vector(i), m, immediate: immediate)
    } else {
      a.simd(instruction, vector(i), vectorRM(i), immediate: immediate)
    }
  }

  /// A register to a register or memory.
  private func store(
    _ i: Instruction, _ unit: UInt8, _ form: SIMDInstruction.Form, _ size: Int,
    aligned: Bool = false,
    as other: SIMDInstruction? = nil
  ) {
    useUnit(unit)
    let instruction = other ?? SIMDInstruction(form, Int(i.opcode & 0xFF))
    if i.hasMemory {
      let m = emitAddress(i, size, write: true, aligned: aligned)
      a.simd(instruction, vector(i), m)
    } else {
      a.simd(instruction, vector(i), vectorRM(i))
    }
  }

  /// A vector register from a general register or memory.
  private func fromGeneral(
    _ i: Instruction, _ unit: UInt8, _ form: SIMDInstruction.Form, _ size: Int,
    immediate: Int? = nil
  ) {
    useUnit(unit)
    let instruction = SIMDInstruction(form, Int(i.opcode & 0xFF))
    if i.hasMemory {
      a.simd(instruction, vector(i), emitAddress(i, size, write: false), immediate: immediate)
    } else {
      a.simd(instruction, vector(i), host(i.rm), immediate: immediate)
    }
  }

  /// A general register from a vector register or memory.
  private func toGeneral(
    _ i: Instruction, _ unit: UInt8, _ form: SIMDInstruction.Form, _ size: Int,
    immediate: Int? = nil
  ) {
    useUnit(unit)
    willWrite(mask(i.reg))
    let instruction = SIMDInstruction(form, Int(i.opcode & 0xFF))
    if i.hasMemory {
      a.simd(instruction, host(i.reg), emitAddress(i, size, write: false), immediate: immediate)
    } else {
      a.simd(instruction, host(i.reg), vectorRM(i), immediate: immediate)
    }
  }

  /// MOVD to a general register or memory.
  private func moveToGeneral(_ i: Instruction, _ unit: UInt8, _ form: SIMDInstruction.Form) {
    useUnit(unit)
    let instruction = SIMDInstruction(form, Int(i.opcode & 0xFF))
    if i.hasMemory {
      a.simd(instruction, vector(i), emitAddress(i, 4, write: true))
    } else {
      willWrite(mask(i.rm))
      a.simd(instruction, vector(i), host(i.rm))
    }
  }

  // MARK: - Floating point

  /// 10-5F, C2, C6; false when it is interpreted.
  private func emitFloat(_ i: Instruction, _ opcode: Int, _ kind: Int) -> Bool {
    let sse = HostUnits.sse
    let form = Self.forms[kind]
    /// What the prefix says of packed and scalar operands.
    let size = [16, 16, 4, 8][kind]
    switch opcode {
    case 0x10: operate(i, sse, form, size, aligned: false)
    case 0x11: store(i, sse, form, size)
    case 0x12, 0x16: operate(i, sse, form, 8, aligned: false)
    case 0x13, 0x17: store(i, sse, form, 8)
    case 0x14, 0x15, 0x28, 0x54...0x57: operate(i, sse, form, 16, aligned: true)
    case 0x29: store(i, sse, form, 16, aligned: true)
    case 0x2B: store(i, sse, .none, 16, aligned: true, as: .movapsStore)
    case 0x2A:
      if kind < 2 { return false }
      fromGeneral(i, sse, form, 4)
    case 0x2C, 0x2D:
      if kind < 2 { return false }
      toGeneral(i, sse, form, size)
    case 0x2E, 0x2F:
      operate(i, sse, form, kind == 0 ? 4 : 8, aligned: false)
      defineFlags()
    case 0x50: toGeneral(i, sse, form, 16)
    case 0x51, 0x58, 0x59, 0x5C...0x5F: operate(i, sse, form, size, aligned: kind < 2)
    case 0x5A:
      let from = kind == 0 ? 8 : size
      operate(i, sse, form, from, aligned: kind == 1)
    case 0x5B: operate(i, sse, form, 16, aligned: true)
    case 0xC2:
      operate(i, sse, form, size, aligned: kind < 2, immediate: Int(i.imm & 7))
    case 0xC6: operate(i, sse, form, 16, aligned: true, immediate: Int(i.imm & 0xFF))
    default: return false
    }
    return true
  }

  /// LDMXCSR, STMXCSR and the fences.
  private func emitMXCSR(_ i: Instruction) -> Bool {
    switch i.digit {
    case 2 where i.hasMemory:
      useUnit(HostUnits.sse)
      clobberFlags()
      let m = emitAddress(i, 4, write: false)
      // Reserved bits fault, and what unmasks an exception is the interpreter's too.
      let slow = interpretStub()
      a.mov(.r10, m)
      let reserved: UInt32 = cpu.model.features.contains(.sse2) ? 0xFFFF_0000 : 0xFFFF_0040
      a.mov(.r8, .r10)
      a.and(.r8, Int32(bitPattern: reserved | 0x1F80))
      a.cmp(.r8, 0x1F80)
      a.j(.ne, &stubs[slow].label)
      a.mov(StateOperand.unitScratch, .r10)
      a.ldmxcsr(StateOperand.unitScratch)
      return true
    case 3 where i.hasMemory:
      useUnit(HostUnits.sse)
      a.stmxcsr(emitAddress(i, 4, write: true))
      return true
    case 5, 6, 7:
      // LFENCE, MFENCE, SFENCE order nothing here.
      return !i.hasMemory
    default: return false
    }
  }

  // MARK: - Integers in XMM registers

  /// 60-7F, C4, C5, D0-FF with a mandatory prefix; false when it is interpreted.
  private func emitXMMInteger(_ i: Instruction, _ opcode: Int, _ kind: Int) -> Bool {
    let sse = HostUnits.sse
    let form = Self.forms[kind]
    switch (opcode, kind) {
    case (0x6F, 2): operate(i, sse, form, 16, aligned: false)
    case (0x7F, 2): store(i, sse, form, 16)
    case (0x70, _): operate(i, sse, form, 16, aligned: true, immediate: Int(i.imm & 0xFF))
    case (0x7E, 2): operate(i, sse, form, 8, aligned: false)
    case (0xE6, _): operate(i, sse, form, kind == 2 ? 8 : 16, aligned: kind != 2)
    case (_, 2), (_, 3): return false
    case (0x71...0x73, _): shiftImmediate(i, sse, form)
    case (0x6E, _): fromGeneral(i, sse, form, 4)
    case (0x7E, _): moveToGeneral(i, sse, form)
    case (0x7F, _): store(i, sse, form, 16, aligned: true)
    case (0xC4, _): fromGeneral(i, sse, form, 2, immediate: Int(i.imm & 7))
    case (0xC5, _): toGeneral(i, sse, form, 16, immediate: Int(i.imm & 7))
    case (0xD6, _): store(i, sse, form, 8)
    case (0xD7, _): toGeneral(i, sse, form, 16)
    case (0xE7, _): store(i, sse, .wide, 16, aligned: true, as: .movdqaStore)
    case (0xF7, _): return false
    case (0x60...0x6D, _), (0x6F, _), (0x74...0x76, _), (0xD1...0xFE, _):
      operate(i, sse, form, 16, aligned: true)
    default: return false
    }
    return true
  }

  private func shiftImmediate(_ i: Instruction, _ unit: UInt8, _ form: SIMDInstruction.Form) {
    useUnit(unit)
    let instruction = SIMDInstruction(form, Int(i.opcode & 0xFF))
    a.simdShift(instruction, digit: i.digit, vectorRM(i), Int(i.imm & 0xFF))
  }

  // MARK: - MMX

  /// The instructions on MMX registers; false when it is interpreted.
  private func emitMMX(_ i: Instruction, _ opcode: Int) -> Bool {
    let mmx = HostUnits.x87
    switch opcode {
    case 0x60...0x62: operate(i, mmx, .none, 4, aligned: false)
    case 0x6E: fromGeneral(i, mmx, .none, 4)
    case 0x70: operate(i, mmx, .none, 8, aligned: false, immediate: Int(i.imm & 0xFF))
    case 0x71...0x73: shiftImmediate(i, mmx, .none)
    case 0x77:
      useUnit(mmx)
      a.emms()
    case 0x7E: moveToGeneral(i, mmx, .none)
    case 0x7F: store(i, mmx, .none, 8)
    case 0xC4: fromGeneral(i, mmx, .none, 2, immediate: Int(i.imm & 3))
    case 0xC5: toGeneral(i, mmx, .none, 8, immediate: Int(i.imm & 3))
    case 0xD7: toGeneral(i, mmx, .none, 8)
    case 0xE7: store(i, mmx, .none, 8, as: .movqMMXStore)
    case 0xF7: return false
    case 0x63...0x6B, 0x6F, 0x74...0x76, 0xD1...0xFE: operate(i, mmx, .none, 8, aligned: false)
    default: return false
    }
    return true
  }
}
