// The bytes of each emitter method.
//
// What they must be is in Encodings.txt, which was checked against a disassembler; where the host has one it is checked again. After a
// new method or sample: APUS_WRITE_GOLDEN=1 with a filter for these tests writes the file, and the disassembler must agree.

import Assembler
import Foundation
import Host
import Testing

@Suite struct EncodingTests {
  private struct Line: Equatable {
    var hex: String
    var text: String
  }

  private static let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Encodings.txt")

  /// A buffer with what a body emits, listed.
  private func emitted(_ body: (Assembler) -> Void) -> (Assembler, [Listing.Instruction]) {
    let size = 1 << 17
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
    let a = Assembler(buffer: buffer, capacity: size)
    let listing = Listing()
    a.listing = listing
    body(a)
    return (a, listing.instructions(0..<a.position, of: a))
  }

  @Test func eachMethodEncodesWhatIsKept() throws {
    let lines = emitted(Samples.emit).1.map { "\($0.hex) \($0.text)" }
    if ProcessInfo.processInfo.environment["APUS_WRITE_GOLDEN"] != nil {
      try (lines.joined(separator: "\n") + "\n").write(
        to: EncodingTests.file, atomically: true, encoding: .utf8)
    }
    let kept = try String(contentsOf: EncodingTests.file, encoding: .utf8)
      .split(separator: "\n").map(String.init)
    try #require(lines.count == kept.count)
    let different = zip(lines, kept).filter { $0 != $1 }
    #expect(
      different.isEmpty,
      "\(different.prefix(10).map { "\($0.0) instead of \($0.1)" }.joined(separator: "\n"))")
  }

  @Test func aDisassemblerReadsTheSameInstructions() throws {
    let (a, instructions) = emitted(Samples.emit)
    let code = Array(UnsafeBufferPointer(start: a.buffer, count: a.position))
    guard let lines = HostDisassembler.lines(code) else {
      print("there is no objdump: the kept bytes have to do")
      return
    }
    let texts = Dictionary(lines.map { ($0.offset, $0.text) }, uniquingKeysWith: { x, _ in x })
    let wrong = instructions.filter { !isSame(texts[$0.offset] ?? "nothing", $0.text) }
    #expect(
      wrong.isEmpty,
      "\(wrong.prefix(20).map { "\($0.hex) \($0.text): objdump reads \(texts[$0.offset] ?? "nothing")" }.joined(separator: "\n"))"
    )
  }

  /// Whether a disassembler's text is the listing's. With vector registers, x87 and strings it names operands in other ways.
  private func isSame(_ theirs: String, _ ours: String) -> Bool {
    if theirs == ours { return true }
    func plain(_ text: String) -> String {
      text.replacing(#/[xy]?mm(\d+)/#) { "v\($0.1)" }
        .replacing(#/[A-Z]+ PTR /#, with: "")
        // A comparison's kind is part of the name, or follows as an immediate.
        .replacing(#/^cmplt(\w\w)(.*)$/#) { "cmp\($0.1)\($0.2),0x1" }
        .replacing("st(0)", with: "st")
    }
    return ours.contains(#/\bv\d|^cvt/#) && plain(theirs) == plain(ours)
  }

  @Test func jumpsLeadToTheirLabels() {
    let (a, lines) = emitted { a in
      var ahead = Label()
      let start = a.position
      a.jmp(&ahead)
      a.j(.ne, &ahead)
      let near = a.jrcxz()
      a.bind(&ahead)
      a.bind(near)
      a.j(.l, &ahead)
      a.jmp(toOffset: start)
      a.call(toOffset: start)
      a.j(.e, toOffset: start)
      let later = a.jmpLater()
      a.patch(later, toOffset: start)
      let count = a.subWide(.r11, 0, .quad)
      a.patch(count, immediate: 9)
      let short = a.jShort(.ae)
      a.ret()
      a.bind(short)
    }
    #expect(
      lines.map(\.hex) == [
        // Two and a half jumps to 13, then back to the start.
        "e908000000", "0f8502000000", "e300", "0f8cfaffffff", "e9e8ffffff", "e8e3ffffff",
        "0f84ddffffff", "e9d8ffffff", "4981eb09000000", "7301", "c3",
      ])
    #expect(a.position == 13 + 6 + 5 + 5 + 6 + 5 + 7 + 2 + 1)
  }
}
