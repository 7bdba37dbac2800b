// What an assembler has emitted, as text.
//
// Owns: the text of each instruction, which of its bytes differ between runs, and what jumps lead to. Must not know: encodings.
// The spelling is that of GNU's Intel syntax, except for vector registers (v0 to v7: the instruction says whether they are MMX or XMM),
// so that a disassembler can be asked whether it is true.

/// Collects text while it is an assembler's `listing`.
public final class Listing {
  struct Line {
    var offset: Int
    var text: String
    /// Where a displacement of four bytes or of one stands.
    var target = -1
    var shortTarget = -1
    /// Bytes that are an address of this process.
    var hidden = 0
    var hiddenCount = 0
    /// The displacement of its memory operand.
    var displacement = 0..<0
    /// What is 0 there is written later.
    var isLater = false
  }
  private(set) var lines: [Line] = []

  public init() {}

  func add(
    _ offset: Int, _ text: String, target: Int = -1, shortTarget: Int = -1, hidden: Int = 0,
    hiddenCount: Int = 0, isLater: Bool = false
  ) {
    lines.append(
      Line(
        offset: offset, text: text, target: target, shortTarget: shortTarget, hidden: hidden,
        hiddenCount: hiddenCount, isLater: isLater))
  }

  /// The memory operand of the instruction added last has its displacement here.
  func addDisplacement(_ offset: Int, _ count: Int) {
    if lines.isEmpty { return }
    lines[lines.count - 1].displacement = offset..<offset + count
  }

  public func removeAll() { lines.removeAll() }

  /// An instruction as it stands in the buffer now.
  public struct Instruction: Sendable {
    /// Offset in the buffer.
    public var offset: Int
    public var text: String
    /// Two digits a byte; dots for bytes that depend on the place of things.
    public var hex: String
    public var bytes: [UInt8]
  }

  /// The instructions in a range of the buffer.
  /// - Parameters:
  ///   - names: what offsets outside of the range are called; displacements to them are hidden.
  ///   - naming: another text of an instruction, whose memory operand's displacement is hidden then.
  public func instructions(
    _ range: Range<Int>, of a: Assembler, names: [Int: String] = [:],
    naming: (String) -> String? = { _ in nil }
  ) -> [Instruction] {
    let inside = lines.filter { range.contains($0.offset) }
    return inside.indices.map { n in
      let line = inside[n]
      let end = n + 1 < inside.count ? inside[n + 1].offset : range.upperBound
      var hidden = line.hidden..<line.hidden + line.hiddenCount
      var text = line.text
      if line.target >= 0 {
        let to = line.target + 4 + a.read32(line.target)
        if line.isLater && a.read32(line.target) == 0 {
          text += " <later>"
        } else if range.contains(to) {
          text += " +" + hexDigits(to - range.lowerBound)
        } else {
          text += " <\(names[to] ?? "outside")>"
          hidden = line.target..<line.target + 4
        }
      } else if line.shortTarget >= 0 {
        let to = line.shortTarget + 1 + Int(Int8(bitPattern: a.buffer[line.shortTarget]))
        text += " +" + hexDigits(to - range.lowerBound)
      }
      var hiddenToo = 0..<0
      if let name = naming(text) {
        text = name
        hiddenToo = line.displacement
      }
      let bytes = (line.offset..<end).map { a.buffer[$0] }
      let digits = (line.offset..<end).map { at in
        hidden.contains(at) || hiddenToo.contains(at) ? ".." : two(a.buffer[at])
      }
      return Instruction(
        offset: line.offset, text: text, hex: digits.joined(), bytes: bytes)
    }
  }

  private func hexDigits(_ value: Int) -> String { String(value, radix: 16) }

  private func two(_ value: UInt8) -> String {
    let text = String(value, radix: 16)
    return text.count == 1 ? "0" + text : text
  }
}
