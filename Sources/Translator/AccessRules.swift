// What may be done for an access of memory before its instruction is interpreted.
//
// Owns: which instructions may have a table entry made, and which read a device once. Must not know: how code asks for it.

import CPU

extension Instruction {
  /// Whether nothing but the access itself can fault once it has come to it. x87 and SIMD instructions ask for their units later.
  package var mayFillTable: Bool {
    handler != .fpu && handler != .simd && !hasRep && !hasRepne
  }

  /// Whether nothing sends the instruction to the interpreter once it has read: a device must not be read twice.
  package var readsOnce: Bool {
    switch handler {
    case .string: op == .lods || op == .scas
    case .mulDiv: !op.isDivision
    case .push16M, .push32M, .pop16M, .pop32M, .call16E, .call32E, .jmp16E, .jmp32E, .ret16, .ret32,
      .system:
      false
    default: true
    }
  }
}
