// MMX, SSE and SSE2 instructions in translated code.
//
// Owns: which run on the host's units and how. They keep their encoding; the guest's registers are the host's of the same number.
// Must not know: how the units are loaded (HostUnits).
// Follows: Intel SDM volume 2; volume 1, sections 4.1.1 (alignment) and 9.6 (MMX and x87). Interpreted are the approximations RCPPS and
// RSQRTPS, which differ among processors, masked stores, and moves between MMX and XMM registers.

import Assembler
import CPU

extension BlockCompiler {
  private static let prefixes = [0, 0x66, 0xF3, 0xF2]

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
      a.store(emitAddress(i, 4, write: true), host(i.reg))
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
    _ i: Instruction, _ unit: UInt8, _ prefix: Int, _ size: Int, aligned: Bool,
    immediate: Int? = nil
  ) {
    useUnit(unit)
    let op = Int(i.opcode)
    if i.hasMemory {
      let m = emitAddress(i, size, write: false, aligned: aligned)
      a.rm(op, 4, reg: vector(i), m, prefix: prefix)
    } else {
      a.rr(op, 4, reg: vector(i), rm: vectorRM(i), prefix: prefix)
    }
    if let immediate { a.byte(immediate) }
  }

  /// A register to a register or memory.
  private func store(
    _ i: Instruction, _ unit: UInt8, _ prefix: Int, _ size: Int, aligned: Bool = false,
    op: Int? = nil
  ) {
    useUnit(unit)
    let op = op ?? Int(i.opcode)
    if i.hasMemory {
      let m = emitAddress(i, size, write: true, aligned: aligned)
      a.rm(op, 4, reg: vector(i), m, prefix: prefix)
    } else {
      a.rr(op, 4, reg: vector(i), rm: vectorRM(i), prefix: prefix)
    }
  }

  /// A vector register from a general register or memory.
  private func fromGeneral(
    _ i: Instruction, _ unit: UInt8, _ prefix: Int, _ size: Int, immediate: Int? = nil
  ) {
    useUnit(unit)
    let op = Int(i.opcode)
    if i.hasMemory {
      a.rm(op, 4, reg: vector(i), emitAddress(i, size, write: false), prefix: prefix)
    } else {
      a.rr(op, 4, reg: vector(i), rm: host(i.rm), prefix: prefix)
    }
    if let immediate { a.byte(immediate) }
  }

  /// A general register from a vector register or memory.
  private func toGeneral(
    _ i: Instruction, _ unit: UInt8, _ prefix: Int, _ size: Int, immediate: Int? = nil
  ) {
    useUnit(unit)
    willWrite(mask(i.reg))
    let op = Int(i.opcode)
    if i.hasMemory {
      a.rm(op, 4, reg: host(i.reg), emitAddress(i, size, write: false), prefix: prefix)
    } else {
      a.rr(op, 4, reg: host(i.reg), rm: vectorRM(i), prefix: prefix)
    }
    if let immediate { a.byte(immediate) }
  }

  /// MOVD to a general register or memory.
  private func moveToGeneral(_ i: Instruction, _ unit: UInt8, _ prefix: Int) {
    useUnit(unit)
    if i.hasMemory {
      a.rm(0x0F7E, 4, reg: vector(i), emitAddress(i, 4, write: true), prefix: prefix)
    } else {
      willWrite(mask(i.rm))
      a.rr(0x0F7E, 4, reg: vector(i), rm: host(i.rm), prefix: prefix)
    }
  }

  // MARK: - Floating point

  /// 10-5F, C2, C6; false when it is interpreted.
  private func emitFloat(_ i: Instruction, _ opcode: Int, _ kind: Int) -> Bool {
    let sse = HostUnits.sse
    let prefix = Self.prefixes[kind]
    /// What the prefix says of packed and scalar operands.
    let size = [16, 16, 4, 8][kind]
    switch opcode {
    case 0x10: operate(i, sse, prefix, size, aligned: false)
    case 0x11: store(i, sse, prefix, size)
    case 0x12, 0x16: operate(i, sse, prefix, 8, aligned: false)
    case 0x13, 0x17: store(i, sse, prefix, 8)
    case 0x14, 0x15, 0x28, 0x54...0x57: operate(i, sse, prefix, 16, aligned: true)
    case 0x29: store(i, sse, prefix, 16, aligned: true)
    case 0x2B: store(i, sse, 0, 16, aligned: true, op: 0x0F29)
    case 0x2A:
      if kind < 2 { return false }
      fromGeneral(i, sse, prefix, 4)
    case 0x2C, 0x2D:
      if kind < 2 { return false }
      toGeneral(i, sse, prefix, size)
    case 0x2E, 0x2F:
      operate(i, sse, prefix, kind == 0 ? 4 : 8, aligned: false)
      defineFlags()
    case 0x50: toGeneral(i, sse, prefix, 16)
    case 0x51, 0x58, 0x59, 0x5C...0x5F: operate(i, sse, prefix, size, aligned: kind < 2)
    case 0x5A:
      let from = kind == 0 ? 8 : size
      operate(i, sse, prefix, from, aligned: kind == 1)
    case 0x5B: operate(i, sse, prefix, 16, aligned: true)
    case 0xC2:
      operate(i, sse, prefix, size, aligned: kind < 2, immediate: Int(i.imm & 7))
    case 0xC6: operate(i, sse, prefix, 16, aligned: true, immediate: Int(i.imm & 0xFF))
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
      a.load(H.r10, m)
      let reserved: UInt32 = cpu.model.features.contains(.sse2) ? 0xFFFF_0000 : 0xFFFF_0040
      a.move(H.r8, H.r10)
      a.arithmetic(4, H.r8, immediate: Int32(bitPattern: reserved | 0x1F80))
      a.arithmetic(7, H.r8, immediate: 0x1F80)
      a.jump(Condition.nz, &stubs[slow].label)
      a.store(StateOperand.unitScratch, H.r10)
      a.rm(0x0FAE, 4, reg: 2, StateOperand.unitScratch)
      return true
    case 3 where i.hasMemory:
      useUnit(HostUnits.sse)
      a.rm(0x0FAE, 4, reg: 3, emitAddress(i, 4, write: true))
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
    let prefix = Self.prefixes[kind]
    switch (opcode, kind) {
    case (0x6F, 2): operate(i, sse, prefix, 16, aligned: false)
    case (0x7F, 2): store(i, sse, prefix, 16)
    case (0x70, _): operate(i, sse, prefix, 16, aligned: true, immediate: Int(i.imm & 0xFF))
    case (0x7E, 2): operate(i, sse, prefix, 8, aligned: false)
    case (0xE6, _): operate(i, sse, prefix, kind == 2 ? 8 : 16, aligned: kind != 2)
    case (_, 2), (_, 3): return false
    case (0x71...0x73, _): shiftImmediate(i, sse, prefix)
    case (0x6E, _): fromGeneral(i, sse, prefix, 4)
    case (0x7E, _): moveToGeneral(i, sse, prefix)
    case (0x7F, _): store(i, sse, prefix, 16, aligned: true)
    case (0xC4, _): fromGeneral(i, sse, prefix, 2, immediate: Int(i.imm & 7))
    case (0xC5, _): toGeneral(i, sse, prefix, 16, immediate: Int(i.imm & 7))
    case (0xD6, _): store(i, sse, prefix, 8)
    case (0xD7, _): toGeneral(i, sse, prefix, 16)
    case (0xE7, _): store(i, sse, 0x66, 16, aligned: true, op: 0x0F7F)
    case (0xF7, _): return false
    case (0x60...0x6D, _), (0x6F, _), (0x74...0x76, _), (0xD1...0xFE, _):
      operate(i, sse, prefix, 16, aligned: true)
    default: return false
    }
    return true
  }

  private func shiftImmediate(_ i: Instruction, _ unit: UInt8, _ prefix: Int) {
    useUnit(unit)
    a.rr(Int(i.opcode), 4, reg: i.digit, rm: vectorRM(i), prefix: prefix)
    a.byte(Int(i.imm & 0xFF))
  }

  // MARK: - MMX

  /// The instructions on MMX registers; false when it is interpreted.
  private func emitMMX(_ i: Instruction, _ opcode: Int) -> Bool {
    let mmx = HostUnits.x87
    switch opcode {
    case 0x60...0x62: operate(i, mmx, 0, 4, aligned: false)
    case 0x6E: fromGeneral(i, mmx, 0, 4)
    case 0x70: operate(i, mmx, 0, 8, aligned: false, immediate: Int(i.imm & 0xFF))
    case 0x71...0x73: shiftImmediate(i, mmx, 0)
    case 0x77:
      useUnit(mmx)
      a.byte(0x0F)
      a.byte(0x77)
    case 0x7E: moveToGeneral(i, mmx, 0)
    case 0x7F: store(i, mmx, 0, 8)
    case 0xC4: fromGeneral(i, mmx, 0, 2, immediate: Int(i.imm & 3))
    case 0xC5: toGeneral(i, mmx, 0, 8, immediate: Int(i.imm & 3))
    case 0xD7: toGeneral(i, mmx, 0, 8)
    case 0xE7: store(i, mmx, 0, 8, op: 0x0F7F)
    case 0xF7: return false
    case 0x63...0x6B, 0x6F, 0x74...0x76, 0xD1...0xFE: operate(i, mmx, 0, 8, aligned: false)
    default: return false
    }
    return true
  }
}
