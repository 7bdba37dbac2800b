// Where processors from the 386 on rightly differ from the 80286, beyond the list that stands beside the vectors.
//
// Owns: the named rules for the 80286 suite. Must not know: how a test runs.
// Follows: Intel 80386 Programmer's Reference Manual, chapter 14.7 (differences from the 80286).

import CPU

enum Rules286 {
  /// Tests that say nothing about a later processor.
  static func excluded(_ name: String, _ test: MOOTest, _ shape: TestShape) -> String? {
    let isInterrupt = [.int3, .int, .into].contains(shape.op)
    if shape.prefixes.contains(0xF0) && (isInterrupt || test.exception?.vector != 6) {
      return "LOCK on a form that a 386 refuses to lock"
    }
    // The bytes end with the HLT that stops the test.
    if test.bytes.count - 1 > 10 && test.exception?.vector == 13 {
      return "more than 10 bytes long"
    }
    if shape.isEscape, let offset = shape.offset, offset > 0xFFFF - 107, test.exception == nil {
      return "an x87 operand that goes on behind offset FFFF is a fault"
    }
    if [.movFromSeg, .movToSeg].contains(shape.op), [4, 5].contains(shape.record.reg) {
      return "segment register field 4 or 5 is FS and GS"
    }
    return nil
  }

  /// Arithmetic flags.
  private static let arithmetic: UInt32 = 0x8D5

  /// Whether a rule explains a difference.
  static func excuse(
    _ difference: Difference, _ test: MOOTest, _ shape: TestShape, _ runner: SingleStepRunner,
    flags: UInt32
  ) -> String? {
    let before = test.initial.registers.words.map { $0 ?? 0 }
    if test.exception?.vector == 13, shape.op == .ins || shape.op == .outs,
      case .register(let n) = difference.place, [2, 10, 11].contains(n)
    {
      return "a string instruction that faults leaves CX, SI and DI"
    }
    if let rule = excuseStringWord(difference, test, shape, runner, before, flags) { return rule }
    if let rule = excusePop(difference, test, shape, runner, before, flags) { return rule }
    if shape.op == .aam, shape.record.imm & 0xFF == 0, test.exception?.vector == 0,
      keepsFlags(difference, runner, before, flags)
    {
      return "AAM by 0 leaves the flags"
    }
    if test.exception?.vector == 6, [.callFarIndirect, .jmpFarIndirect].contains(shape.op),
      (shape.modrm ?? 0) >= 0xC0, case .memory(let at) = difference.place,
      let ss = test.initial.registers.words[5], let sp = test.final.registers.words[8],
      let cs = test.initial.registers.words[4]
    {
      let slot = (UInt32(ss) << 4) &+ UInt32(sp &+ 2)
      if at &- slot < 2, difference.actual == UInt32(cs >> (8 * UInt16(at &- slot)) & 0xFF) {
        return "a far CALL by register pushes the CS that was, not SS"
      }
    }
    return nil
  }

  /// Whether a difference is one of FLAGS, or of FLAGS as the exception pushed it, and they are as they were before the instruction.
  private static func keepsFlags(
    _ difference: Difference, _ runner: SingleStepRunner, _ before: [UInt16], _ flags: UInt32
  ) -> Bool {
    let old = UInt32(before[13])
    switch difference.place {
    case .register(13): return (difference.actual ^ old) & flags & arithmetic == 0
    case .memory(let at):
      let pushed = UInt32(runner.word(5)) << 4 &+ UInt32(runner.word(8) &+ 4)
      guard at &- pushed < 2 else { return false }
      let shift = 8 * (at &- pushed)
      return (difference.actual ^ old >> shift) & flags >> shift & arithmetic >> shift & 0xFF == 0
    default: return false
    }
  }

  /// A word operand at offset FFFF of MOVS, CMPS, STOS, LODS or SCAS: the 286 has moved SI and DI and counted before it faults. The
  /// later processor stands before the iteration that faults; of a comparison it gives the flags back.
  private static func excuseStringWord(
    _ difference: Difference, _ test: MOOTest, _ shape: TestShape, _ runner: SingleStepRunner,
    _ before: [UInt16], _ flags: UInt32
  ) -> String? {
    guard test.exception?.vector == 13, shape.isStringWord
    else { return nil }
    let readsSource = [.movs, .cmps, .lods].contains(shape.op)
    let hasTarget = shape.op != .lods
    guard readsSource && runner.word(10) == 0xFFFF || hasTarget && runner.word(11) == 0xFFFF
    else { return nil }
    let step: UInt32 = before[13] & 0x400 != 0 ? 0xFFFE : 2
    let name = "a string word at offset FFFF: a fault that leaves CX, SI and DI"
    switch difference.place {
    case .register(10) where readsSource, .register(11) where hasTarget:
      return (difference.expected &- difference.actual) & 0xFFFF == step ? name : nil
    case .register(2) where shape.isRepeated:
      // Those that store have counted the next iteration, too.
      let ahead = (difference.actual &- difference.expected) & 0xFFFF
      let stores = shape.op == .movs || shape.op == .stos
      return ahead == 1 || stores && ahead == 2 ? name : nil
    default:
      let compares = shape.op == .cmps || shape.op == .scas
      return compares && shape.isRepeated && keepsFlags(difference, runner, before, flags)
        ? "a repeated comparison that faults gives the flags back" : nil
    }
  }

  /// POP to a word at offset FFFF: the 286 has moved SP before it faults, so that the exception's frame lies two bytes higher.
  private static func excusePop(
    _ difference: Difference, _ test: MOOTest, _ shape: TestShape, _ runner: SingleStepRunner,
    _ before: [UInt16], _ flags: UInt32
  ) -> String? {
    guard shape.op == .pop, test.exception?.vector == 13, shape.operandWraps else { return nil }
    let sp = before[8]
    guard runner.word(8) == sp &- 6, test.final.registers.words[8] == sp &- 4 else { return nil }
    let stack = { (offset: UInt16) in UInt32(before[5]) << 4 &+ UInt32(offset) }
    // The frames are equal.
    var expected: [UInt32: UInt8] = [:]
    for (address, value) in test.initial.memory + test.final.memory { expected[address] = value }
    for n in UInt16(0)..<6 {
      guard let wanted = expected[stack(sp &- 4 &+ n)] else { return nil }
      let mask: UInt32 = n < 4 ? 0xFF : flags >> (8 * UInt32(n - 4)) & (n == 4 ? 0xFF : 0x0F)
      if UInt32(wanted ^ runner.peek(stack(sp &- 6 &+ n))) & mask != 0 { return nil }
    }
    let name = "POP to a word at offset FFFF: a fault that leaves SP"
    switch difference.place {
    case .register(8): return name
    case .memory(let at): return (0..<8).contains { stack(sp &- 6 &+ $0) == at } ? name : nil
    default: return nil
    }
  }
}
