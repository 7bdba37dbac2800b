// What the opcode table says of flags, in the form the translator asks for.
//
// Owns: per entry of the table, whether arithmetic flags are read, written, and all of them replaced. Must not know: host code.

import CPU

/// Flag use of each entry of the opcode table.
final class FlagInformation {
  static let reads: UInt8 = 1
  static let writes: UInt8 = 2
  /// All six are written or undefined afterwards.
  static let replaces: UInt8 = 4
  private let table: [UInt8]

  init() {
    table = OpcodeTable.shared.entries.map { entry in
      var bits: UInt8 = 0
      if entry.flagsRead & EFLAGS.arithmetic != 0 { bits |= FlagInformation.reads }
      let changed = (entry.flagsWritten | entry.flagsUndefined) & EFLAGS.arithmetic
      if changed != 0 { bits |= FlagInformation.writes }
      if changed == EFLAGS.arithmetic { bits |= FlagInformation.replaces }
      return bits
    }
  }

  func callAsFunction(_ i: Instruction) -> UInt8 {
    let bits = table[Int(i.entry)]
    switch i.handler {
    case .shift8, .shift16, .shift32:
      // A count of 0 leaves the flags.
      if i.opcode & 0xFE == 0xD2 || i.imm & 31 == 0 { return bits & ~FlagInformation.replaces }
      return bits
    case .bitTest, .bitTestImm, .bsf, .bsr:
      // What the manual has undefined stays as it was.
      return bits & ~FlagInformation.replaces
    case .mulDiv:
      // Divisions leave the flags as they were.
      return i.digit >= 6 ? 0 : bits
    default: return bits
    }
  }
}
