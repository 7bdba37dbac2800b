// Where processors from the 386 on rightly differ from the 80286, beyond the list that stands beside the vectors.
//
// Owns: the named rules for the 80286 suite. Must not know: how a test runs.
// Follows: Intel 80386 Programmer's Reference Manual, chapter 14.7 (differences from the 80286).

enum Rules286 {
  /// Tests that say nothing about a later processor.
  static func excluded(_ name: String, _ test: MOOTest, _ shape: TestShape) -> String? {
    if shape.prefixes.contains(0xF0) && test.exception?.vector != 6 {
      return "LOCK on a form that a 386 refuses to lock"
    }
    // The bytes end with the HLT that stops the test.
    if test.bytes.count - 1 > 10 && test.exception?.vector == 13 {
      return "more than 10 bytes long"
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
    return nil
  }
}
