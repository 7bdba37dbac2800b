// Where processors from the 386 on rightly differ from the 80286, beyond the list that stands beside the vectors.
//
// Owns: the named rules for the 80286 suite. Must not know: how a test runs.
// Follows: Intel 80386 Programmer's Reference Manual, chapter 14.7 (differences from the 80286).

enum Rules286 {
  /// Tests that say nothing about a later processor.
  static func excluded(_ name: String, _ test: MOOTest, _ shape: TestShape) -> String? {
    let isInterrupt = (0xCC...0xCE).contains(shape.opcode)
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
    if ["8C", "8E"].contains(name), [4, 5].contains(shape.digit) {
      return "segment register field 4 or 5 is FS and GS"
    }
    return nil
  }

  /// Whether a rule explains a difference.
  static func excuse(_ difference: Difference, _ test: MOOTest, _ shape: TestShape) -> String? {
    if test.exception?.vector == 13, (0x6C...0x6F).contains(shape.opcode),
      case .register(let n) = difference.place, [2, 10, 11].contains(n)
    {
      return "a string instruction that faults leaves CX, SI and DI"
    }
    if test.exception?.vector == 6, shape.opcode == 0xFF, [3, 5].contains(shape.digit),
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
}
