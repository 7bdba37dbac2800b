// Transcendental instructions while the guest's x87 registers are in the host's unit.
//
// Owns: the ways between the unit and the software that computes them: moving all registers to memory and back, as an interpreted x87
// instruction has it, would take longer than the function. Must not know: how it is computed, blocks.
// Follows: Intel SDM volume 1, sections 8.1.10 (32-bit environment image) and 10.5 (FXSAVE image).
//
// FXSAVE leaves the unit as it is and shows everything. The software (`HostFunctions` in CPU) looks at the image and leaves results behind
// it; what is not quite usual (an empty register, an exception other than "inexact") it refuses, and the instruction is interpreted.
// Loading the results gives the status word that an exact result would have. Where C1 or the inexact flag must be set, an environment
// image follows.

import Assembler
import CPU

extension StateOperand {
  static let firstResult = image(HostFunctions.firstResult)
  static let secondResult = image(HostFunctions.secondResult)
  static let environment = image(HostFunctions.environment)
}

extension Translator {
  /// A thunk for each shape: R8D is the function's number, afterwards 0 when it was refused. Called; destroys R8 to R10 and the flags.
  func emitTranscendentals() {
    for shape in HostTranscendental.Shape.allCases {
      thunks.transcendentals[shape.rawValue] = a.position
      emitTranscendental(shape)
    }
  }

  private func emitTranscendental(_ shape: HostTranscendental.Shape) {
    var refused = Label()
    var done = Label()
    // The software uses the XMM registers.
    a.rm(0xF6, 1, reg: 0, StateOperand.hostUnits)
    a.byte(Int(HostUnits.sse))
    a.jump(Condition.nz, &refused)
    // FXSAVE
    a.rm(0x0FAE, 4, reg: 0, StateOperand.image(0))
    let saved = [H.rax, H.rcx, H.rdx, H.rsi, H.rdi]
    for n in saved { a.store(StateOperand.gpr(n), n) }
    a.store(StateOperand.budget, H.r11, 8)
    a.lea(H.rdi, StateOperand.image(0), 8)
    a.move(H.rsi, H.r8)
    a.move64(
      H.rax, immediate: UInt64(UInt(bitPattern: unsafeBitCast(HostFunctions.compute, to: Int.self)))
    )
    a.arithmetic(5, H.rsp, immediate: 8, 8)
    a.rr(0xFF, 4, reg: 2, rm: H.rax)
    a.arithmetic(0, H.rsp, immediate: 8, 8)
    a.move(H.r8, H.rax)
    for n in saved { a.load(n, StateOperand.gpr(n)) }
    a.load(H.r11, StateOperand.budget, 8)
    a.rr(0x85, 4, reg: H.r8, rm: H.r8)
    a.jump(Condition.z, &done)
    switch shape {
    case .one:
      pop()
      load(StateOperand.firstResult)
    case .pair:
      // The stack may be full. What was ST(0) stays in its register, empty, as after any instruction that pops.
      pop()
      pop()
      load(StateOperand.firstResult)
    case .push:
      pop()
      load(StateOperand.firstResult)
      load(StateOperand.secondResult)
    }
    a.arithmetic(7, H.r8, immediate: 1)
    a.jump(Condition.z, &done)
    // FLDENV
    a.rm(0xD9, 4, reg: 4, StateOperand.environment)
    a.bind(&done)
    a.byte(0xC3)
    a.bind(&refused)
    a.rr(0x31, 4, reg: H.r8, rm: H.r8)
    a.byte(0xC3)
  }

  /// FSTP ST(0)
  private func pop() {
    a.byte(0xDD)
    a.byte(0xD8)
  }

  /// FLD m80
  private func load(_ m: MemoryOperand) { a.rm(0xDB, 4, reg: 5, m) }
}
