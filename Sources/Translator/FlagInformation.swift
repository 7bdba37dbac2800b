// What the instruction table says of flags, in the form the translator asks for.
//
// Owns: which arithmetic flags an instruction reads and which it replaces. Must not know: host code.

import CPU

/// What an instruction does to the arithmetic flags, as masks of `EFLAGS` bits.
package struct FlagEffect {
  package var reads: UInt16
  /// Written whatever the operands are, or undefined afterwards.
  package var replaces: UInt16
}

/// Flag use of each entry of the opcode table.
package final class FlagInformation {
  package static let all = UInt16(EFLAGS.arithmetic)
  package static let carry = UInt16(EFLAGS.cf)
  package static let carryAndOverflow = UInt16(EFLAGS.cf | EFLAGS.of)
  private let table: [FlagEffect]

  package init() {
    table = OpcodeTable.shared.entries.map { entry in
      FlagEffect(
        reads: UInt16(entry.flagsRead & EFLAGS.arithmetic),
        replaces: UInt16((entry.flagsWritten | entry.flagsUndefined) & EFLAGS.arithmetic))
    }
  }

  package func callAsFunction(_ i: Instruction) -> FlagEffect {
    var effect = table[Int(i.entry)]
    switch i.handler {
    case .shl32I, .shr32I, .sar32I, .shift8, .shift16, .shift32:
      // A count of 0 leaves the flags, and so may rotations of a whole turn; OF is theirs when they rotate by one.
      if i.countsByCL || i.imm & 31 == 0 {
        effect.replaces = 0
      } else if i.op.isRotation && i.imm & 31 != 1 {
        effect.replaces = i.op.rotatesThroughCarry ? 0 : FlagInformation.carry
      }
    case .shld, .shrd: effect.replaces = 0
    case .bitTest, .bitTestImm: effect.replaces = FlagInformation.carry
    case .bsf, .bsr:
      // What the manual has undefined stays as it was.
      effect.replaces = 0
    case .mulDiv where i.op.isDivision:
      // Divisions leave the flags as they were.
      effect.replaces = 0
    default: break
    }
    return effect
  }

  /// Which of the flags that each instruction leaves something may look at, from the end backwards.
  /// - Parameters:
  ///   - needed: receives one mask for each of `count` records.
  ///   - mayExit: whether a fault, a device or the interpreter can come in at an instruction; nil: everywhere.
  package func analyse(
    _ records: UnsafeMutablePointer<Instruction>, _ count: Int, into needed: inout [UInt16],
    mayExit: ((Instruction) -> Bool)?
  ) {
    var need = FlagInformation.all
    for n in stride(from: count - 1, through: 0, by: -1) {
      needed[n] = need
      let i = records[n]
      if mayExit?(i) ?? true {
        need = FlagInformation.all
      } else {
        let effect = self(i)
        need = need & ~effect.replaces | effect.reads
      }
    }
  }
}
