// Where processors from the 386 on rightly differ from the 8086.
//
// Owns: the named rules for the 8086 suite; each names the only fields it explains and, where the manual tells it, the value a later
// processor has there. Must not know: how a test runs.
// Follows: Intel 80386 Programmer's Reference Manual, chapter 14.7 (differences from the 8086).

import CPU

enum Rules8086 {
  /// Opcode forms that are other instructions, or none, on a 386.
  private static let otherInstructions: Set<String> = {
    var names = Set((0x60...0x6F).map { String($0, radix: 16, uppercase: true) })
    names.formUnion(["C0", "C1", "C8", "C9", "D0.6", "D1.6", "D2.6", "D3.6", "FF.7", "0F"])
    return names
  }()

  /// Tests that say nothing about a later processor.
  static func excluded(_ name: String, _ test: MOOTest, _ shape: TestShape) -> String? {
    if otherInstructions.contains(name) { return "another instruction, or none, on a 386" }
    if shape.record.encoding.operands.1 == .cl, let cx = test.initial.registers.words[2],
      cx & 0xFF > 31
    {
      return "a shift count above 31, which a 386 masks"
    }
    if shape.op == .movFromSeg && shape.record.reg > 3 {
      return "segment register field 4 to 7 is FS, GS or undefined on a 386"
    }
    if shape.op == .movToSeg && (shape.record.reg > 3 || shape.record.reg == 1) {
      return "MOV to CS or to segment register 4 to 7 is FS, GS or undefined on a 386"
    }
    if shape.isUndefined {
      // Where the table has an operation, only the kind of operand is wrong.
      return shape.op == Instruction().op
        ? "undefined on a 386" : "a register where a 386 demands memory"
    }
    return nil
  }

  /// Explains a whole test by the exception that a later processor raises instead.
  static func whole(_ test: MOOTest, _ shape: TestShape, _ runner: SingleStepRunner) -> String? {
    let before = test.initial.registers.words.map { $0 ?? 0 }
    if shape.isLocked && runner.standsBefore(6) { return "LOCK on a form that a 386 refuses" }
    if runner.isShutDown && before[8] & 1 == 1 && before[8] <= 5 {
      return "a stack word at offset FFFF is a fault, and so is its delivery: shutdown"
    }
    if shape.isEscape && runner.standsBefore(6) && runner.pushedIP == before[12] {
      if shape.offset == nil || shape.op == .fpuUndefined {
        return "ESC with a form that the x87 does not define"
      }
    }
    let faulted = runner.standsBefore(13) || runner.standsBefore(12)
    if faulted && runner.pushedIP == before[12] {
      if shape.isEscape, let offset = shape.offset, offset > 0xFFFF - 107 {
        return "an x87 operand that goes on behind offset FFFF is a fault"
      }
      if shape.operandWraps { return "an operand that goes on behind offset FFFF is a fault" }
      if Int(before[12]) + shape.length > 0x10000 {
        return "an instruction that goes on behind offset FFFF is a fault"
      }
      let sp = before[8]
      if sp & 1 == 1 && (sp <= 5 || sp >= 0xFFFB) && runner.standsBefore(12) {
        return "a stack word at offset FFFF is a fault"
      }
      if shape.isStringWord,
        runner.word(10) == 0xFFFF || runner.word(11) == 0xFFFF
      {
        return "a string word at offset FFFF is a fault"
      }
    }
    return nil
  }

  /// IDIV with a REP prefix negates the quotient on an 8086.
  private static func excuseRepeatedDivision(_ difference: Difference, _ shape: TestShape)
    -> String?
  {
    guard shape.isRepeated, difference.place == .register(0), shape.op == .idiv else { return nil }
    let mask: UInt32 = shape.record.isByte ? 0xFF : 0xFFFF
    let sum = (difference.expected &+ difference.actual) & mask
    return sum == 0 && (difference.expected ^ difference.actual) & ~mask == 0
      ? "IDIV with REP negates the quotient" : nil
  }

  /// Whether a rule explains a difference.
  static func excuse(
    _ difference: Difference, _ test: MOOTest, _ shape: TestShape, _ runner: SingleStepRunner,
    flags: UInt32
  ) -> String? {
    let before = test.initial.registers.words.map { $0 ?? 0 }
    let after = zip(test.final.registers.words, before).map { $0 ?? $1 }
    let stack = { (offset: UInt16) in
      ((UInt32(after[5]) << 4) &+ UInt32(after[8] &+ offset)) & 0xFFFFF
    }
    let changed = difference.expected ^ difference.actual
    if let rule = excuseRepeatedDivision(difference, shape) { return rule }
    if let rule = excuseEscape(difference, shape, before) { return rule }
    if let rule = excuseAdjust(difference, shape, before) { return rule }
    if case .memory(let at) = difference.place {
      // The flags word that PUSHF and interrupts push.
      let pushesFlags: UInt16? =
        switch shape.op {
        case .pushf: 0
        case .int3, .int, .into: 4
        default: nil
        }
      if let offset = pushesFlags, at == stack(offset &+ 1), changed & 0x0F == 0 {
        return "bits 12 to 15 of pushed FLAGS are set on an 8086"
      }
      if isDivision(shape) && faultsThere(test) {
        if at == stack(5), changed & ~(0xF0 | ~(flags >> 8) & 0x0F) == 0 {
          return "bits 12 to 15 of pushed FLAGS are set on an 8086"
        }
        if at == stack(4) || at == stack(5) { return "flags pushed by a divide error, undefined" }
        let next = before[12] &+ UInt16(truncatingIfNeeded: shape.length)
        for n in UInt16(0)...1 where at == stack(n) {
          if difference.expected == UInt32(next >> (8 * n) & 0xFF),
            difference.actual == UInt32(before[12] >> (8 * n) & 0xFF)
          {
            return "a divide error pushes the address of the instruction, not of the next"
          }
        }
      }
      if shape.op == .push && shape.offset == nil && shape.record.rm == Register.esp * 4 {
        for n in UInt16(0)...1 where at == stack(n) {
          if difference.actual == UInt32(before[8] >> (8 * n) & 0xFF),
            difference.expected == UInt32((before[8] &- 2) >> (8 * n) & 0xFF)
          {
            return "PUSH SP pushes SP as it was, not decremented"
          }
        }
      }
    }
    if isDivision(shape) && faultsThere(test), difference.place == .register(13) {
      return "flags after a divide error, undefined"
    }
    return nil
  }

  /// ESC: the 8086 alone only reads a word; with an x87 inside, the instruction is carried out.
  private static func excuseEscape(
    _ difference: Difference, _ shape: TestShape, _ before: [UInt16]
  ) -> String? {
    guard shape.isEscape else { return nil }
    switch difference.place {
    case .memory(let at):
      guard let offset = shape.offset else { return nil }
      let first = (UInt32(before[shape.segment]) << 4) &+ UInt32(offset)
      return (at &- first) & 0xFFFFF < 108 ? "an x87 instruction stores its operand" : nil
    case .register(0): return shape.op == .fnstswAX ? "FNSTSW AX" : nil
    case .register(13):
      let compares: Set<Op> = [.fcomi, .fcomip, .fucomi, .fucomip]
      return compares.contains(shape.op) ? "FCOMI sets flags" : nil
    default: return nil
    }
  }

  /// Decimal adjustment of values that are no decimal digits.
  private static func excuseAdjust(
    _ difference: Difference, _ shape: TestShape, _ before: [UInt16]
  ) -> String? {
    let al = before[0] & 0xFF
    let (carry, adjust) = (before[13] & 1 != 0, before[13] & 0x10 != 0)
    switch (shape.op, difference.place) {
    case (.daa, .register(0)), (.das, .register(0)), (.daa, .register(13)), (.das, .register(13)):
      // With AF set an 8086 compares AL with 9Fh, later processors always with 99h; DAS carries by the low digit's borrow only there.
      if !carry && adjust && (0x9A...0x9F).contains(al) {
        return "DAA, DAS with AF set compare AL with 99h, not 9Fh"
      }
      if shape.op == .das && !carry && al < 6 && difference.place == .register(13),
        difference.expected ^ difference.actual == 1
      {
        return "DAS: the low digit's borrow sets CF"
      }
      return nil
    case (.aaa, .register(0)):
      let wanted = UInt32((before[0] &+ 0x106) & 0xFF0F)
      return al >= 0xFA && difference.actual == wanted ? "AAA carries from AL into AH" : nil
    case (.aas, .register(0)):
      let wanted = UInt32((before[0] &- 0x106) & 0xFF0F)
      return al < 6 && difference.actual == wanted ? "AAS borrows from AH for AL" : nil
    default: return nil
    }
  }

  private static func isDivision(_ shape: TestShape) -> Bool {
    shape.op.isDivision || shape.op == .aam
  }

  /// Whether the test expects the divide error's handler.
  private static func faultsThere(_ test: MOOTest) -> Bool {
    guard let sp = test.initial.registers.words[8] else { return false }
    return test.final.registers.words[8] == sp &- 6
  }
}
