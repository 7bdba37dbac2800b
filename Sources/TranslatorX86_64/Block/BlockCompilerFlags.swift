// Where the arithmetic flags are while a block is emitted.
//
// Owns: the bookkeeping. Flags can be in the host's EFLAGS, in `CPUState.rawFlags`, or nowhere but in a recipe: an instruction that makes
// them again from registers that have not changed. Checks of memory accesses destroy the host's; what is destroyed is saved first
// unless a recipe brings it back, or nothing looks at it before all flags are replaced.
// Must not know: which instruction needs what.
// Follows: Intel SDM volume 2, LAHF, SAHF, SETcc.

import Assembler
import CPU
import Translator

/// Makes the flags of one earlier instruction again. Uses R9.
struct FlagStep: Equatable {
  enum Kind {
    /// CMP of two registers, of a register and an immediate.
    case compare, compareImmediate
    case test, testImmediate
    /// Of a result: what SUB, ADD with an immediate or a register left in `first`.
    case subtractedImmediate, addedImmediate, subtracted, added
    /// Of a result: what DEC, INC left in `first`. CF stays.
    case decremented, incremented
  }
  var kind: Kind
  var width: Width
  /// Host registers.
  var first: HostRegister
  var second = HostRegister.rax
  var immediate: UInt32 = 0
}

/// Makes the flags of earlier instructions again. Uses R9.
struct FlagRecipe: Equatable {
  /// What CF comes from, where it is another instruction than the last.
  var carry: FlagStep?
  var last: FlagStep
  /// General registers it reads.
  var registers: UInt16

  init(
    kind: FlagStep.Kind, width: Width, first: HostRegister, second: HostRegister = .rax,
    immediate: UInt32 = 0, registers: UInt16
  ) {
    last = FlagStep(
      kind: kind, width: width, first: first, second: second, immediate: immediate)
    self.registers = registers
  }

  /// Behind INC or DEC of a register that is none of its own.
  func behind(_ step: FlagStep, registers: UInt16) -> FlagRecipe {
    var recipe = self
    recipe.carry = carry ?? last
    recipe.last = step
    recipe.registers |= registers
    return recipe
  }
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
    a.lahf()
    switch garbage.overflow {
    case .right: a.set(.o, .rax)
    case .clear: a.xor(.rax, .rax, .byte)
    case .signAndCarry:
      // mov al,ah; rol al,1; xor al,ah; and al,1
      a.mov(.rax, .ah, .byte)
      a.shiftOnce(.rol, .rax, .byte)
      a.xor(.rax, .ah, .byte)
      a.and(.rax, 1, .byte)
    }
    if garbage.adjust { a.and(.ah, Int32(0xEF - 0x100), .byte) }
  }

  /// LAHF and SETO into memory; leaves the host's flags unless some must be corrected. Uses R10.
  private func emitSave() {
    a.mov(.r10, .rax, .quad)
    emitRawFlags(garbage)
    if garbage != .none {
      hostFlagsValid = false
      garbage = .none
    }
    a.mov(StateOperand.rawFlags, .rax, .word)
    a.mov(.rax, .r10, .quad)
  }

  /// Flags from memory to the host's. Uses `scratch`.
  func restoreFlags(scratch: HostRegister) {
    a.mov(scratch, .rax, .quad)
    a.movzx(.rax, StateOperand.rawFlags, .word)
    a.add(.rax, 0x7F, .byte)
    a.sahf()
    a.mov(.rax, scratch, .quad)
  }

  func emitRecipe(_ recipe: FlagRecipe) {
    if let carry = recipe.carry { emitStep(carry) }
    emitStep(recipe.last)
  }

  private func emitStep(_ r: FlagStep) {
    switch r.kind {
    case .compare: a.cmp(r.first, r.second, r.width)
    case .compareImmediate:
      a.cmp(r.first, signed(r.immediate, r.width), r.width)
    case .test: a.test(r.first, r.second, r.width)
    case .testImmediate:
      a.test(r.first, r.immediate, r.width)
    case .subtractedImmediate:
      a.lea(.r9, MemoryOperand(base: r.first, displacement: signed(r.immediate, r.width)))
      a.cmp(.r9, signed(r.immediate, r.width), r.width)
    case .addedImmediate:
      a.lea(.r9, MemoryOperand(base: r.first, displacement: 0 &- signed(r.immediate, r.width)))
      a.add(.r9, signed(r.immediate, r.width), r.width)
    case .subtracted:
      a.lea(.r9, MemoryOperand(base: r.first, index: r.second))
      a.cmp(.r9, r.second, r.width)
    case .added:
      a.mov(.r9, r.first)
      a.sub(.r9, r.second, r.width)
      a.add(.r9, r.second, r.width)
    case .decremented:
      a.lea(.r9, MemoryOperand(base: r.first, displacement: 1))
      a.dec(.r9, r.width)
    case .incremented:
      a.lea(.r9, MemoryOperand(base: r.first, displacement: -1))
      a.inc(.r9, r.width)
    }
  }

  func signed(_ value: UInt32, _ width: Width) -> Int32 {
    switch width {
    case .byte: Int32(Int8(truncatingIfNeeded: value))
    case .word: Int32(Int16(truncatingIfNeeded: value))
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
    a.mov(.r10, .rax, .quad)
    emitRawFlags(stub.hostFlagsValid ? stub.garbage : .none)
    a.mov(StateOperand.rawFlags, .rax, .word)
    a.mov(.rax, .r10, .quad)
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
    if !memoryFlagsValid, let recipe { emitRecipe(recipe) } else { restoreFlags(scratch: .r10) }
    hostFlagsValid = true
  }

  /// The flags that a condition code looks at are in the host's after this. Uses R9, R10.
  func useHostFlags(for condition: Condition) {
    useHostFlags(overflow: condition.readsOverflow)
  }

  /// At least CF is in the host's after this. Uses R9, R10.
  func useCarry() {
    if hostFlagsValid { return }
    if memoryFlagsValid { loadCarry() } else { useHostFlags(overflow: false) }
  }

  /// CF from memory.
  func loadCarry() {
    a.bit(.bt, StateOperand.rawFlags, 8, .word)
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
