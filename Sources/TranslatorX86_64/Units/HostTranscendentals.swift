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

extension X86Backend {
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
    a.test(StateOperand.hostUnits, UInt32(HostUnits.sse), .byte)
    a.j(.ne, &refused)
    a.fxsave(StateOperand.image(0))
    let saved: [HostRegister] = [.rax, .rcx, .rdx, .rsi, .rdi]
    for r in saved { a.mov(StateOperand.gpr(r), r) }
    a.mov(StateOperand.budget, .r11, .quad)
    a.lea(.rdi, StateOperand.image(0), .quad)
    a.mov(.rsi, .r8)
    a.mov64(.rax, UInt64(UInt(bitPattern: unsafeBitCast(HostFunctions.compute, to: Int.self))))
    a.sub(.rsp, 8, .quad)
    a.call(.rax)
    a.add(.rsp, 8, .quad)
    a.mov(.r8, .rax)
    for r in saved { a.mov(r, StateOperand.gpr(r)) }
    a.mov(.r11, StateOperand.budget, .quad)
    a.test(.r8, .r8)
    a.j(.e, &done)
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
    a.cmp(.r8, 1)
    a.j(.e, &done)
    a.fldenv(StateOperand.environment)
    a.bind(&done)
    a.ret()
    a.bind(&refused)
    a.xor(.r8, .r8)
    a.ret()
  }

  /// FSTP ST(0)
  private func pop() {
    a.fstp(0)
  }

  /// FLD m80
  private func load(_ m: MemoryOperand) { a.fldExtended(m) }
}
