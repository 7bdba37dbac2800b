// Where the arithmetic flags are while a block is emitted.
//
// Owns: the bookkeeping. Flags can be in the host's EFLAGS, in `CPUState.rawFlags`, or nowhere but in a recipe: an instruction that makes
// them again from registers that have not changed. Checks of memory accesses destroy the host's; what is destroyed is saved first
// unless a recipe brings it back, or nothing looks at it before all flags are replaced.
// Must not know: which instruction needs what.
// Follows: Intel SDM volume 2, LAHF, SAHF, SETcc.

import Assembler
import CPU

/// Makes the flags of an earlier instruction again. Uses R9.
struct FlagRecipe: Equatable {
  enum Kind {
    /// CMP of two registers, of a register and an immediate.
    case compare, compareImmediate
    case test, testImmediate
    /// Of a result: what SUB, ADD with an immediate or a register left in `first`.
    case subtractedImmediate, addedImmediate, subtracted, added
  }
  var kind: Kind
  var size: Int
  /// Host registers, for bytes in the encoding without REX.
  var first: Int
  var second = 0
  var immediate: UInt32 = 0
  /// General registers it reads.
  var registers: UInt16
}

/// What of the host's flags is not as the guest has it, because processors differ in what the manual leaves undefined.
struct FlagGarbage: Equatable {
  enum Overflow {
    /// Nothing to be done: it is right.
    case right
    /// It is clear.
    case clear
    /// It tells whether SF and CF differ.
    case signAndCarry
  }
  /// AF is clear.
  var adjust = false
  var overflow = Overflow.right
  static let none = FlagGarbage()
  /// The same behind an instruction that keeps AF alone.
  var keepingAdjust: FlagGarbage { FlagGarbage(adjust: adjust) }
}

extension BlockCompiler {
  /// The host's flags into RAX as `rawFlags` has them; leaves the host's unless there is garbage.
  private func emitRawFlags(_ garbage: FlagGarbage) {
    // LAHF
    a.byte(0x9F)
    switch garbage.overflow {
    case .right: a.rr(0x0F90, 1, reg: 0, rm: H.rax)
    case .clear: a.rr(0x30, 1, reg: H.rax, rm: H.rax)
    case .signAndCarry:
      // mov al,ah; rol al,1; xor al,ah; and al,1
      a.rr(0x88, 1, reg: 4, rm: H.rax)
      a.rr(0xD0, 1, reg: 0, rm: H.rax)
      a.rr(0x30, 1, reg: 4, rm: H.rax)
      a.arithmetic(4, H.rax, immediate: 1, 1)
    }
    if garbage.adjust { a.arithmetic(4, 4, immediate: Int32(0xEF - 0x100), 1) }
  }

  /// LAHF and SETO into memory; leaves the host's flags unless some must be corrected. Uses R10.
  private func emitSave() {
    a.move(H.r10, H.rax, 8)
    emitRawFlags(garbage)
    if garbage != .none {
      hostFlagsValid = false
      garbage = .none
    }
    a.store(StateOperand.rawFlags, H.rax, 2)
    a.move(H.rax, H.r10, 8)
  }

  /// Flags from memory to the host's. Uses `scratch`.
  func restoreFlags(scratch: Int) {
    a.move(scratch, H.rax, 8)
    a.rm(0x0FB7, 4, reg: H.rax, StateOperand.rawFlags)
    a.rr(0x80, 1, reg: 0, rm: H.rax)
    a.byte(0x7F)
    a.byte(0x9E)
    a.move(H.rax, scratch, 8)
  }

  func emitRecipe(_ r: FlagRecipe) {
    let wide = r.size == 1 ? 0 : 1
    switch r.kind {
    case .compare: a.rr(0x38 | wide, r.size, reg: r.second, rm: r.first)
    case .compareImmediate:
      a.arithmetic(7, r.first, immediate: signed(r.immediate, r.size), r.size)
    case .test: a.rr(0x84 | wide, r.size, reg: r.second, rm: r.first)
    case .testImmediate:
      a.rr(0xF6 | wide, r.size, reg: 0, rm: r.first)
      a.immediate(r.immediate, r.size)
    case .subtractedImmediate:
      a.lea(H.r9, MemoryOperand(base: r.first, displacement: signed(r.immediate, r.size)))
      a.arithmetic(7, H.r9, immediate: signed(r.immediate, r.size), r.size)
    case .addedImmediate:
      a.lea(H.r9, MemoryOperand(base: r.first, displacement: 0 &- signed(r.immediate, r.size)))
      a.arithmetic(0, H.r9, immediate: signed(r.immediate, r.size), r.size)
    case .subtracted:
      a.lea(H.r9, MemoryOperand(base: r.first, index: r.second))
      a.rr(0x38 | wide, r.size, reg: r.second, rm: H.r9)
    case .added:
      a.move(H.r9, r.first)
      a.rr(0x28 | wide, r.size, reg: r.second, rm: H.r9)
      a.rr(0x00 | wide, r.size, reg: r.second, rm: H.r9)
    }
  }

  func signed(_ value: UInt32, _ size: Int) -> Int32 {
    switch size {
    case 1: Int32(Int8(truncatingIfNeeded: value))
    case 2: Int32(Int16(truncatingIfNeeded: value))
    default: Int32(bitPattern: value)
    }
  }

  /// The flags are in memory after this; the host's stay where possible. Uses R9, R10.
  func saveFlags() {
    if memoryFlagsValid { return }
    if !hostFlagsValid, let recipe { emitRecipe(recipe) }
    emitSave()
    memoryFlagsValid = true
  }

  /// In a stub: the flags are in memory after this.
  func keepFlags(_ stub: Stub) {
    if stub.memoryFlagsValid { return }
    if !stub.hostFlagsValid, let recipe = stub.recipe { emitRecipe(recipe) }
    a.move(H.r10, H.rax, 8)
    emitRawFlags(stub.hostFlagsValid ? stub.garbage : .none)
    a.store(StateOperand.rawFlags, H.rax, 2)
    a.move(H.rax, H.r10, 8)
  }

  /// The host's flags are about to be destroyed. Uses R9, R10.
  func clobberFlags() {
    guard hostFlagsValid else { return }
    if !memoryFlagsValid && recipe == nil { saveFlags() }
    hostFlagsValid = false
  }

  /// All flags are in the host's after this. Uses R9, R10.
  /// - Parameter overflow: whether OF is looked at.
  func useHostFlags(overflow: Bool = true) {
    if hostFlagsValid {
      if !overflow || garbage.overflow == .right { return }
      saveFlags()
      // Unless memory had them already.
      hostFlagsValid = false
      garbage = .none
    }
    if !memoryFlagsValid, let recipe { emitRecipe(recipe) } else { restoreFlags(scratch: H.r10) }
    hostFlagsValid = true
  }

  /// The flags that a condition code looks at are in the host's after this. Uses R9, R10.
  func useHostFlags(for condition: Int) {
    // O, NO, L, NL, LE, NLE.
    useHostFlags(overflow: condition < 2 || condition >= 12)
  }

  /// At least CF is in the host's after this. Uses R9, R10.
  func useCarry() {
    if hostFlagsValid { return }
    if memoryFlagsValid { loadCarry() } else { useHostFlags(overflow: false) }
  }

  /// CF from memory.
  func loadCarry() {
    a.rm(0x0FBA, 2, reg: 4, StateOperand.rawFlags)
    a.byte(8)
  }

  /// The present instruction has left all flags, or what it leaves of them is right, in the host's.
  func defineFlags(_ new: FlagRecipe? = nil, garbage: FlagGarbage = .none) {
    if needs() {
      hostFlagsValid = true
      memoryFlagsValid = false
      recipe = options.contains(.recipes) ? new : nil
      self.garbage = garbage
    } else {
      forgetFlags()
    }
  }

  /// Nothing looks at the flags as they are.
  func forgetFlags() {
    hostFlagsValid = false
    memoryFlagsValid = true
    recipe = nil
    garbage = .none
  }

  /// The flags are in memory alone.
  func flagsAreInMemory() {
    hostFlagsValid = false
    memoryFlagsValid = true
    recipe = nil
    garbage = .none
  }

  /// Registers are about to change that the recipe may need. For instructions that do not replace all flags. Uses R9, R10.
  func willWrite(_ registers: UInt16) {
    guard let r = recipe, r.registers & registers != 0 else { return }
    if !hostFlagsValid && !memoryFlagsValid { saveFlags() }
    recipe = nil
  }
}
