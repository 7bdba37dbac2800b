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
  /// What the host's instruction is made of, which has the same encoding.
  private struct Vector {
    var form: SIMDInstruction.Form
    var instruction: SIMDInstruction
    /// Bytes of the memory operand.
    var size: Int
    /// The memory operand must be aligned.
    var aligned: Bool
    var immediate: Int?

    init(_ i: Instruction, _ encoding: OpcodeEntry) {
      form =
        switch encoding.prefix {
        case .none: .none
        case .operandSize: .wide
        case .rep: .single
        case .repne: .double
        }
      instruction = SIMDInstruction(form, Int(encoding.opcode & 0xFF))
      size = Int(encoding.memorySize)
      switch i.op {
      case .movups, .movupd, .movdqu, .movupsStore, .movupdStore, .movdquStore: aligned = false
      default: aligned = size == 16
      }
      guard encoding.operands.2 == .ib else { return }
      // Bits that count: which of the first eight predicates, or of the words of a register.
      let mask: UInt32 =
        switch i.op {
        case .cmpps, .cmppd, .cmpss, .cmpsd: 7
        case .pinsrw, .pextrw: encoding.prefix == .none ? 3 : 7
        default: 0xFF
        }
      immediate = Int(i.imm & mask)
    }
  }

  /// Emits an MMX, SSE or SSE2 instruction.
  /// - Returns: whether the block ends with it.
  func emitSIMD(_ i: Instruction) -> Bool {
    guard options.contains(.simd) else { return emitInterpreted() }
    let sse = HostUnits.sse
    let mmx = HostUnits.x87
    let encoding = i.encoding
    var v = Vector(i, encoding)
    switch i.op {
    case .rcpps, .rcpss, .rsqrtps, .rsqrtss, .maskmovq, .maskmovdqu, .clflush:
      return emitInterpreted()
    case .movnti: a.mov(emitAddress(i, 4, write: true), host(i.reg))
    case .ldmxcsr: emitLoadMXCSR(i)
    case .stmxcsr:
      useUnit(sse)
      a.stmxcsr(emitAddress(i, 4, write: true))
    // They order nothing here.
    case .lfence, .mfence, .sfence: break
    case .emms:
      useUnit(mmx)
      a.emms()
    default:
      // Stores past the caches are stores.
      switch i.op {
      case .movntps, .movntpd: v.instruction = .movapsStore
      case .movntdq: v.instruction = .movdqaStore
      case .movntq: v.instruction = .movqMMXStore
      default: break
      }
      switch (encoding.operands.0, encoding.operands.1) {
      case (.vx, .wx), (.vx, .ux), (.vx, .m): operate(i, sse, v)
      case (.wx, .vx), (.m, .vx): store(i, sse, v)
      case (.vx, .ev): fromGeneral(i, sse, v)
      case (.gv, .wx), (.gv, .ux): toGeneral(i, sse, v)
      case (.ev, .vx): moveToGeneral(i, sse, v)
      case (.ux, .ib): shiftImmediate(i, sse, v)
      case (.pq, .qq): operate(i, mmx, v)
      case (.qq, .pq), (.m, .pq): store(i, mmx, v)
      case (.pq, .ev): fromGeneral(i, mmx, v)
      case (.gv, .nq): toGeneral(i, mmx, v)
      case (.ev, .pq): moveToGeneral(i, mmx, v)
      case (.nq, .ib): shiftImmediate(i, mmx, v)
      // Moves and conversions between MMX and XMM.
      default: return emitInterpreted()
      }
      if encoding.flagsWritten != 0 { defineFlags() }
    }
    return false
  }

  // MARK: - Common shapes

  private func vector(_ i: Instruction) -> Int { Int(i.modrm >> 3 & 7) }
  private func vectorRM(_ i: Instruction) -> Int { Int(i.modrm & 7) }

  /// A register and a register or memory source.
  private func operate(_ i: Instruction, _ unit: UInt8, _ v: Vector) {
    useUnit(unit)
    if i.hasMemory {
      let m = emitAddress(i, v.size, write: false, aligned: v.aligned)
      a.simd(v.instruction, vector(i), m, immediate: v.immediate)
    } else {
      a.simd(v.instruction, vector(i), vectorRM(i), immediate: v.immediate)
    }
  }

  /// A register to a register or memory.
  private func store(_ i: Instruction, _ unit: UInt8, _ v: Vector) {
    useUnit(unit)
    if i.hasMemory {
      let m = emitAddress(i, v.size, write: true, aligned: v.aligned)
      a.simd(v.instruction, vector(i), m)
    } else {
      a.simd(v.instruction, vector(i), vectorRM(i))
    }
  }

  /// A vector register from a general register or memory.
  private func fromGeneral(_ i: Instruction, _ unit: UInt8, _ v: Vector) {
    useUnit(unit)
    if i.hasMemory {
      let m = emitAddress(i, v.size, write: false)
      a.simd(v.instruction, vector(i), m, immediate: v.immediate)
    } else {
      a.simd(v.instruction, vector(i), host(i.rm), immediate: v.immediate)
    }
  }

  /// A general register from a vector register or memory.
  private func toGeneral(_ i: Instruction, _ unit: UInt8, _ v: Vector) {
    useUnit(unit)
    willWrite(mask(i.reg))
    if i.hasMemory {
      let m = emitAddress(i, v.size, write: false)
      a.simd(v.instruction, host(i.reg), m, immediate: v.immediate)
    } else {
      a.simd(v.instruction, host(i.reg), vectorRM(i), immediate: v.immediate)
    }
  }

  /// MOVD to a general register or memory.
  private func moveToGeneral(_ i: Instruction, _ unit: UInt8, _ v: Vector) {
    useUnit(unit)
    if i.hasMemory {
      a.simd(v.instruction, vector(i), emitAddress(i, 4, write: true))
    } else {
      willWrite(mask(i.rm))
      a.simd(v.instruction, vector(i), host(i.rm))
    }
  }

  private func shiftImmediate(_ i: Instruction, _ unit: UInt8, _ v: Vector) {
    useUnit(unit)
    a.simdShift(v.instruction, digit: i.digit, vectorRM(i), Int(i.imm & 0xFF))
  }

  /// LDMXCSR.
  private func emitLoadMXCSR(_ i: Instruction) {
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
  }
}
