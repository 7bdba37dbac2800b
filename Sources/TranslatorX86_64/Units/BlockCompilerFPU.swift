// x87 instructions in translated code.
//
// Owns: which run on the host's x87 and how. Most keep their encoding; memory operands go through the translator's addresses.
// Must not know: how the unit is loaded (HostUnits).
// Follows: Intel SDM volume 2. The portable software computes the transcendental instructions, whose last bit differs among processors
// (HostTranscendentals). Interpreted are FPREM, whose partial results differ, FBLD, environment images, and what is undefined or an
// undocumented alias.

import Assembler
import CPU
import Translator

extension BlockCompiler {
  /// What becomes of an x87 instruction.
  private enum FPUForm {
    case interpreted
    /// The same instruction; whether FIP and its like tell of it.
    case plain(pointers: Bool)
    /// FFREE.
    case free
    case transcendental(HostTranscendental)
    /// A memory operand of so many bytes.
    case load(Int)
    case store(Int)
    case loadControl
    case storeControl
    case storeStatus
    case statusToAX
    case conditionalMove
    case compareToFlags
    case initialize
    case wait
  }

  private func memoryForm(_ escape: Int, _ digit: Int) -> FPUForm {
    switch (escape, digit) {
    case (0, _), (2, _): return .load(4)
    case (4, _): return .load(8)
    case (6, _): return .load(2)
    case (1, 0), (3, 0): return .load(4)
    case (5, 0): return .load(8)
    case (7, 0): return .load(2)
    case (1, 2), (1, 3), (3, 2), (3, 3): return .store(4)
    case (5, 2), (5, 3), (7, 7): return .store(8)
    case (7, 2), (7, 3): return .store(2)
    case (7, 5): return .load(8)
    case (3, 5): return .load(10)
    case (3, 7): return .store(10)
    case (1, 5): return .loadControl
    case (1, 7): return .storeControl
    case (5, 7): return .storeStatus
    default: return .interpreted
    }
  }

  private func registerForm(_ escape: Int, _ digit: Int, _ n: Int) -> FPUForm {
    let hasConditions = cpu.model.features.contains(.cmov)
    switch escape {
    case 0: return .plain(pointers: true)
    case 1:
      switch digit {
      case 0, 1: return .plain(pointers: true)
      case 2: return n == 0 ? .plain(pointers: true) : .interpreted
      case 4: return n < 2 || n == 4 || n == 5 ? .plain(pointers: true) : .interpreted
      case 5: return n < 7 ? .plain(pointers: true) : .interpreted
      case 6:
        if let function = HostTranscendental(n) { return .transcendental(function) }
        // FXTRACT; FDECSTP, FINCSTP.
        return n == 4 || n >= 6 ? .plain(pointers: true) : .interpreted
      case 7:
        if let function = HostTranscendental(8 + n) { return .transcendental(function) }
        // FSQRT, FRNDINT, FSCALE.
        return n == 2 || n == 4 || n == 5 ? .plain(pointers: true) : .interpreted
      default: return .interpreted
      }
    case 2:
      if digit < 4 { return hasConditions ? .conditionalMove : .interpreted }
      return digit == 5 && n == 1 ? .plain(pointers: true) : .interpreted
    case 3:
      switch digit {
      case 0...3: return hasConditions ? .conditionalMove : .interpreted
      case 4: return n == 2 ? .plain(pointers: false) : n == 3 ? .initialize : .interpreted
      case 5, 6: return hasConditions ? .compareToFlags : .interpreted
      default: return .interpreted
      }
    case 4: return digit & 6 == 2 ? .interpreted : .plain(pointers: true)
    case 5:
      switch digit {
      case 0: return .free
      case 2...5: return .plain(pointers: true)
      default: return .interpreted
      }
    case 6:
      if digit == 2 { return .interpreted }
      return digit != 3 || n == 1 ? .plain(pointers: true) : .interpreted
    default:
      switch digit {
      case 4: return n == 0 ? .statusToAX : .interpreted
      case 5, 6: return hasConditions ? .compareToFlags : .interpreted
      default: return .interpreted
      }
    }
  }

  private func form(_ i: Instruction) -> FPUForm {
    if !options.contains(.x87) { return .interpreted }
    if i.opcode == 0x9B { return .wait }
    guard i.opcode & 0xFFF8 == 0xD8 else { return .interpreted }
    let escape = Int(i.opcode & 7)
    if i.hasMemory { return memoryForm(escape, i.digit) }
    return registerForm(escape, i.digit, Int(i.modrm & 7))
  }

  /// Emits an x87 instruction.
  /// - Returns: whether the block ends with it.
  func emitFPU(_ i: Instruction) -> Bool {
    let form = form(i)
    switch form {
    case .interpreted: return emitInterpreted()
    case .transcendental where seesErrors: return emitInterpreted()
    // FSCALE: processors differ in the underflow that a denormal number raises.
    case .plain where seesErrors && i.opcode == 0xD9 && i.modrm == 0xFD: return emitInterpreted()
    default: break
    }
    useUnit(HostUnits.x87)
    let instruction = X87Instruction(escape: Int(i.opcode), digit: i.digit)
    let n = Int(i.modrm & 7)
    switch form {
    case .interpreted, .wait: break
    case .plain(let pointers):
      a.x87(instruction, n)
      if pointers { notePointers(i) }
    case .free:
      clearC1()
      a.x87(instruction, n)
      notePointers(i)
    case .transcendental(let function):
      clobberFlags()
      let slow = interpretStub()
      a.mov(.r8, UInt32(function.rawValue))
      a.call(toOffset: backend.thunks.transcendentals[function.shape.rawValue])
      a.test(.r8, .r8)
      a.j(.e, &stubs[slow].label)
      notePointers(i)
    case .load(let size):
      a.x87(instruction, emitAddress(i, size, write: false))
      notePointers(i)
    case .store(let size):
      a.x87(instruction, emitAddress(i, size, write: true))
      notePointers(i)
    case .loadControl: emitLoadControl(i)
    case .storeControl, .storeStatus:
      // No other size of operand, and nothing to wait for: FNSTCW, FNSTSW.
      a.x87(instruction, emitAddress(i, 2, write: true))
    case .statusToAX:
      storePointers()
      willWrite(1)
      a.fnstswAX()
    case .conditionalMove:
      useHostFlags(overflow: false)
      a.x87(instruction, n)
      notePointers(i)
    case .compareToFlags:
      clearC1()
      a.x87(instruction, n)
      defineFlags()
      if seesErrors {
        // They must be right where an exception leads out.
        hostFlagsValid = true
        memoryFlagsValid = false
      }
      notePointers(i)
    case .initialize:
      a.fninit()
      if seesErrors {
        clobberFlags()
        a.or(StateOperand.hostUnits, Int32(HostUnits.x87), .byte)
      }
      pointers = nil
      for field in [StateOperand.fpuIP, StateOperand.fpuDP] { a.mov(field, 0) }
      for field in [StateOperand.fpuOpcode, StateOperand.fpuCS, StateOperand.fpuDS] {
        a.mov(field, 0, .word)
      }
    }
    return false
  }

  /// FINCSTP and FDECSTP: processors differ in whether the next instruction clears C1, which it does here.
  private func clearC1() {
    a.fincstp()
    a.fdecstp()
  }

  /// FLDCW: a control word that unmasks an exception is the interpreter's, unless the block looks for exceptions.
  private func emitLoadControl(_ i: Instruction) {
    clobberFlags()
    let m = emitAddress(i, 2, write: false)
    if seesErrors {
      a.movzx(.r10, m, .word)
      a.mov(.r8, .r10)
      backend.emitNoteMasks(.r8)
    } else {
      let slow = interpretStub()
      a.movzx(.r10, m, .word)
      a.mov(.r8, .r10)
      a.not(.r8)
      a.test(.r8, 0x3F, .byte)
      a.j(.ne, &stubs[slow].label)
    }
    a.and(.r10, 0x1F3F)
    a.or(.r10, 0x40)
    a.mov(StateOperand.unitScratch, .r10)
    a.fldcw(StateOperand.unitScratch)
    lookForError()
  }
}
