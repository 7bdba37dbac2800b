// Decimal adjustment in translated code; the host's 64-bit mode has none of these instructions.
//
// Owns: AAA, AAS, AAM, AAD, DAA, DAS. Must not know: anything else. Flags they leave undefined are as the interpreter leaves them.
// Follows: Intel SDM volume 2, the instructions' pages.

import Assembler
import CPU
import Translator

/// What DAA, DAS, AAA and AAS make of AL, CF and AF.
///
/// Entries are found by AL and, where `CPUState.rawFlags` has them, AF and CF: what is added to AL (or AX) in the lower half, the new
/// `rawFlags` in the upper one.
private struct DecimalTable: @unchecked Sendable {
  static let daa = DecimalTable { al, carry, low in
    let high = al > 0x99 || carry
    let new = al &+ (low ? 6 : 0) &+ (high ? 0x60 : 0)
    // OF tells whether the sign has come.
    return (UInt16(new &- al), DecimalTable.flags(new, carry: high, low, overflow: ~al & new))
  }
  static let das = DecimalTable { al, carry, low in
    let high = al > 0x99 || carry
    let new = al &- (low ? 6 : 0) &- (high ? 0x60 : 0)
    // A borrow of the low digit out of the byte counts, too. OF tells whether the sign has gone.
    return (
      UInt16(new &- al),
      DecimalTable.flags(new, carry: high || (low && al < 6), low, overflow: al & ~new)
    )
  }
  static let aaa = DecimalTable { al, _, low in
    let new = (UInt16(al) &+ (low ? 0x106 : 0)) & 0xFF0F
    let flags = DecimalTable.flags(UInt8(truncatingIfNeeded: new), carry: low, low, overflow: 0)
    return (new &- UInt16(al), flags)
  }
  static let aas = DecimalTable { al, _, low in
    let new = (UInt16(al) &- (low ? 0x106 : 0)) & 0xFF0F
    let flags = DecimalTable.flags(UInt8(truncatingIfNeeded: new), carry: low, low, overflow: 0)
    return (new &- UInt16(al), flags)
  }

  /// Bits of `rawFlags` in an index: CF and AF.
  static let indexFlags = 0x1100
  let entries: UnsafeMutablePointer<UInt32>

  /// - Parameter result: of AL, CF and whether the low digit is adjusted: what is added, and the flags.
  private init(_ result: (UInt8, Bool, Bool) -> (UInt16, UInt16)) {
    entries = .allocate(capacity: DecimalTable.indexFlags + 256)
    entries.initialize(repeating: 0, count: DecimalTable.indexFlags + 256)
    for al in UInt8.min...UInt8.max {
      for (flags, carry, adjust) in [
        (0, false, false), (0x100, true, false), (0x1000, false, true), (0x1100, true, true),
      ] {
        let (delta, raw) = result(al, carry, al & 15 > 9 || adjust)
        entries[flags | Int(al)] = UInt32(raw) << 16 | UInt32(delta)
      }
    }
  }

  /// SF, ZF, PF of a byte, CF, AF, and OF as the top bit of `overflow`.
  private static func flags(_ result: UInt8, carry: Bool, _ adjust: Bool, overflow: UInt8) -> UInt16
  {
    let sign = UInt16(result & 0x80)
    let zero: UInt16 = result == 0 ? 0x40 : 0
    let parity: UInt16 = result.nonzeroBitCount & 1 == 0 ? 4 : 0
    let high = sign | zero | parity | (adjust ? 0x10 : 0) | (carry ? 1 : 0) | 2
    return high << 8 | UInt16(overflow >> 7)
  }
}

extension BlockCompiler {
  /// Adds a table's entry to AL or AX; what flags there were is replaced. Uses R8 to R10.
  private func emitDecimal(_ table: DecimalTable, _ width: Width) {
    if memoryFlagsValid && !hostFlagsValid {
      a.movzx(.r8, StateOperand.rawFlags, .word)
      a.and(.r8, Int32(DecimalTable.indexFlags))
      a.movzx(.r9, .rax, .byte)
      a.or(.r8, .r9)
    } else {
      // LAHF puts the flags where the index has them.
      useHostFlags(overflow: false)
      a.mov(.r8, .rax, .quad)
      a.lahf()
      a.movzx(.r9, .rax, .word)
      a.mov(.rax, .r8, .quad)
      let flags = garbage.adjust ? 0x100 : DecimalTable.indexFlags
      a.and(.r9, Int32(flags | 0xFF))
      a.mov(.r8, .r9)
    }
    a.mov(.r9, address: UInt64(UInt(bitPattern: table.entries)), "decimal table")
    a.mov(.r8, MemoryOperand(base: .r9, index: .r8, scale: 2))
    a.add(.rax, .r8, width)
    a.shr(.r8, 16)
    a.mov(StateOperand.rawFlags, .r8, .word)
    flagsAreInMemory()
  }

  /// AAA and AAS.
  func emitASCIIAdjust(subtract: Bool) {
    emitDecimal(subtract ? DecimalTable.aas : DecimalTable.aaa, .word)
  }

  /// DAA and DAS.
  func emitDecimalAdjust(subtract: Bool) {
    emitDecimal(subtract ? DecimalTable.das : DecimalTable.daa, .byte)
  }

  /// AAM with base 10.
  func emitASCIIMultiply(_ i: Instruction) -> Bool {
    guard i.imm & 0xFF == 10 else { return emitInterpreted() }
    a.movzx(.r10, .rax, .byte)
    // A quotient by 10 of a byte is 205 / 2048 of it.
    a.imul(.r9, .r10, 205)
    a.shr(.r9, 11)
    a.lea(.r8, MemoryOperand(base: .r9, index: .r9, scale: 2))
    a.add(.r8, .r8)
    a.sub(.r10, .r8)
    a.shl(.r9, 8)
    a.or(.r10, .r9)
    a.mov(.rax, .r10, .word)
    a.test(.rax, .rax, .byte)
    defineFlags(FlagRecipe(kind: .test, width: .byte, first: .rax, second: .rax, registers: 1))
    return false
  }

  /// AAD with any base.
  func emitASCIIDivide(_ i: Instruction) {
    a.rorx(.r10, .rax, 8)
    a.movzx(.r10, .r10, .byte)
    a.imul(.r10, .r10, i.imm & 0xFF)
    a.add(.r10, .rax, .byte)
    a.movzx(.r10, .r10, .byte)
    a.mov(.rax, .r10, .word)
    a.test(.rax, .rax, .byte)
    defineFlags(FlagRecipe(kind: .test, width: .byte, first: .rax, second: .rax, registers: 1))
  }
}
