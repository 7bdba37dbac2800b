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

  private func form(_ i: Instruction) -> FPUForm {
    let encoding = i.encoding
    if !options.contains(.x87) || encoding.isAlias { return .interpreted }
    if let function = HostTranscendental(i.op) { return .transcendental(function) }
    let size = Int(encoding.memorySize)
    switch i.op {
    case .fadd32, .fmul32, .fcom32, .fcomp32, .fsub32, .fsubr32, .fdiv32, .fdivr32, .fadd64,
      .fmul64,
      .fcom64, .fcomp64, .fsub64, .fsubr64, .fdiv64, .fdivr64, .fiadd32, .fimul32, .ficom32,
      .ficomp32, .fisub32, .fisubr32, .fidiv32, .fidivr32, .fiadd16, .fimul16, .ficom16, .ficomp16,
      .fisub16, .fisubr16, .fidiv16, .fidivr16, .fld32, .fld64, .fld80, .fild16, .fild32, .fild64:
      return .load(size)
    case .fst32, .fstp32, .fst64, .fstp64, .fstp80, .fist16, .fistp16, .fist32, .fistp32, .fistp64:
      return .store(size)
    case .fadd, .fmul, .fcom, .fcomp, .fsub, .fsubr, .fdiv, .fdivr, .faddTo, .fmulTo, .fsubTo,
      .fsubrTo, .fdivTo, .fdivrTo, .faddp, .fmulp, .fsubp, .fsubrp, .fdivp, .fdivrp, .fcompp,
      .fucom,
      .fucomp, .fucompp, .fld, .fxch, .fst, .fstp, .fnop, .fchs, .fabs, .ftst, .fxam, .fld1,
      .fldl2t,
      .fldl2e, .fldpi, .fldlg2, .fldln2, .fldz, .fxtract, .fdecstp, .fincstp, .fsqrt, .frndint,
      .fscale:
      return .plain(pointers: true)
    case .fnclex: return .plain(pointers: false)
    case .ffree: return .free
    case .fcmovb, .fcmove, .fcmovbe, .fcmovu, .fcmovnb, .fcmovne, .fcmovnbe, .fcmovnu:
      return cpu.model.features.contains(.cmov) ? .conditionalMove : .interpreted
    case .fcomi, .fcomip, .fucomi, .fucomip:
      return cpu.model.features.contains(.cmov) ? .compareToFlags : .interpreted
    case .fldcw: return .loadControl
    case .fnstcw: return .storeControl
    case .fnstsw: return .storeStatus
    case .fnstswAX: return .statusToAX
    case .fninit: return .initialize
    case .fwait: return .wait
    default: return .interpreted
    }
  }

  /// Emits an x87 instruction.
  /// - Returns: whether the block ends with it.
  func emitFPU(_ i: Instruction) -> Bool {
    let form = form(i)
    switch form {
    case .interpreted: return emitInterpreted()
    case .transcendental where seesErrors: return emitInterpreted()
    // FSCALE: processors differ in the underflow that a denormal number raises.
    case .plain where seesErrors && i.op == .fscale: return emitInterpreted()
    default: break
    }
    useUnit(HostUnits.x87)
    // The host's instruction has the same encoding.
    let instruction = X87Instruction(escape: Int(i.imm2 >> 8), digit: i.digit)
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
