// Lines of serial ports as expectations see them.

import Testing

@testable import Session

@Suite struct SerialLineTests {
  private func arrives(_ kind: Awaited.Kind, _ wanted: String, in text: String) throws -> Bool {
    var ports = SerialExpectations()
    let bytes = Array(text.utf8)
    for (n, byte) in bytes.enumerated() {
      ports.add(0, byte, stamp: UInt64(n + 1), typed: TypedEcho())
    }
    return ports.arrived(
      Matcher(try Awaited(kind, wanted)), settled: UInt64(bytes.count)) != nil
  }

  /// ECMA-48, 5.3 and 5.4: CSI with parameters, two-character sequences; xterm's OSC.
  @Test func escapeSequencesAreNoPartOfALine() throws {
    #expect(try arrives(.line, "HELLO", in: "\u{1B}[1;32mHELLO\u{1B}[0m\r\n"))
    #expect(try arrives(.line, "/ #", in: "/ # \u{1B}[6n"))
    #expect(try arrives(.line, "root@deb:~#", in: "\u{1B}[?2004hroot@deb:~# "))
    #expect(try arrives(.regex, "^TEXT$", in: "\u{1B}[H\u{1B}[2J\u{1B}(BTEXT\r\n"))
    #expect(try arrives(.line, "x", in: "\u{1B}]0;title\u{07}x\n"))
    #expect(try arrives(.line, "x", in: "\u{1B}]0;title\u{1B}\\x\n"))
    // One that is cut off has not become text yet.
    #expect(try !arrives(.line, "x3", in: "x\u{1B}[3"))
    #expect(try !arrives(.line, "HELLO", in: "\u{1B}[1mHELLO you\n"))
  }
}
