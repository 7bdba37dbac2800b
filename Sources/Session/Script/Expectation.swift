// What a script can wait for.
//
// Owns: the kinds as values, their check, and finding them in lines of text. Must not know: where lines come from or how old they are.

import Video

/// Something to be waited for.
public struct Awaited: Equatable, Sendable, CustomStringConvertible {
  /// How the text is meant.
  public enum Kind: String, Sendable, CaseIterable {
    /// It appears anywhere.
    case text
    /// It appears as a line that holds nothing else but blanks around it.
    case line
    /// Something that a regular expression describes appears within a line.
    case regex
    /// It is not on the screen.
    case gone
  }

  /// An expectation that nothing can meet.
  public struct Problem: Error, Equatable, CustomStringConvertible {
    public var description: String
  }

  public let kind: Kind
  public let text: String
  /// The virtual nanoseconds it may take from the end of the step before; nil: any.
  public var limit: UInt64?

  /// - Throws: where nothing could ever match.
  public init(_ kind: Kind, _ text: String, limit: UInt64? = nil) throws(Problem) {
    self.kind = kind
    self.text = text
    self.limit = limit
    if text.isEmpty { throw Problem(description: "the text is empty") }
    if text.allSatisfy({ $0 == " " || $0 == "\n" }) {
      throw Problem(description: "there are only blanks in it")
    }
    if kind == .line, text.contains("\n") {
      throw Problem(description: "a line has no line ends in it")
    }
    if kind == .regex {
      if Awaited.namesLineEnd(text) {
        throw Problem(description: "a match lies within a line, which has no line ends in it")
      }
      do throws(LinePattern.Problem) { _ = try LinePattern(text) } catch {
        throw Problem(description: "as a regular expression: \(error)")
      }
    }
  }

  /// Whether a regular expression has a line end in it, or `\n`.
  private static func namesLineEnd(_ text: String) -> Bool {
    var isEscaped = false
    for character in text {
      if character.isNewline || (isEscaped && character == "n") { return true }
      isEscaped = character == "\\" && !isEscaped
    }
    return false
  }

  /// For text that is known to have something in it.
  init(text: String) {
    kind = .text
    self.text = text
  }

  public var description: String { "'\(text)'" }

  /// What did not happen, for a message: "before ..." goes on from here.
  public var missing: String {
    switch kind {
    case .text: "'\(text)' showed"
    case .line: "a line '\(text)' showed"
    case .regex: "anything matching '\(text)' showed"
    case .gone: "'\(text)' was gone"
    }
  }
}

/// An expectation prepared for being looked for.
struct Matcher {
  let expectation: Awaited
  /// The text line by line in the screen's codes; nil where the screen has no such character.
  let codes: [[UInt8]]?
  /// The text as it goes over a serial line.
  let bytes: [UInt8]
  let pattern: LinePattern?

  init(_ expectation: Awaited) {
    self.expectation = expectation
    let text =
      expectation.kind == .line ? Matcher.trimmed(expectation.text) : expectation.text
    bytes = Array(text.utf8)
    pattern = expectation.kind == .regex ? try? LinePattern(expectation.text) : nil
    var lines: [[UInt8]]? = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      let row = line.map { CodePage437.code($0) }
      if row.contains(nil) {
        lines = nil
        break
      }
      lines!.append(row.map { TextScreen.isBlank($0!) ? 0x20 : $0! })
    }
    codes = lines
  }

  private static func trimmed(_ text: String) -> String {
    let start = text.drop { $0 == " " }
    return String(start.prefix(start.count - start.reversed().prefix { $0 == " " }.count))
  }

  // MARK: On a screen

  /// Where it is on a screen: runs of offsets in the cells' codes.
  func places(_ cells: TextScreenCells) -> [Range<Int>] {
    switch expectation.kind {
    case .text, .gone:
      guard let lines = codes else { return [] }
      return lines.count == 1 ? find(lines[0], cells) : find(lines, cells)
    case .line:
      guard let wanted = codes?.first else { return [] }
      return (0..<cells.rows).compactMap { row in
        let range = Matcher.content(cells, row)
        return range.count == wanted.count && cells.codes[range].elementsEqual(wanted)
          ? range : nil
      }
    case .regex: return findRegex(cells)
    }
  }

  /// A row without the blanks around it.
  private static func content(_ cells: TextScreenCells, _ row: Int) -> Range<Int> {
    var (start, end) = (row * cells.columns, (row + 1) * cells.columns)
    while end > start, cells.codes[end - 1] == 0x20 { end -= 1 }
    while start < end, cells.codes[start] == 0x20 { start += 1 }
    return start..<end
  }

  /// Also text that runs on from one row to the next.
  private func find(_ wanted: [UInt8], _ cells: TextScreenCells) -> [Range<Int>] {
    var found: [Range<Int>] = []
    let (first, count) = (wanted[0], wanted.count)
    cells.codes.withUnsafeBufferPointer { codes in
      guard codes.count >= count else { return }
      for start in 0...codes.count - count where codes[start] == first {
        if codes[start..<start + count].elementsEqual(wanted) {
          // A text that begins with blanks may not have them from the end of a row that the guest did not write to.
          let rowEnd = (start / cells.columns + 1) * cells.columns
          if rowEnd < start + count, codes[start..<rowEnd].allSatisfy({ $0 == 0x20 }) { continue }
          found.append(start..<start + count)
        }
      }
    }
    return found
  }

  /// Text with line ends: what is before one ends its row, what is behind it begins one.
  private func find(_ lines: [[UInt8]], _ cells: TextScreenCells) -> [Range<Int>] {
    let columns = cells.columns
    guard cells.rows >= lines.count, lines.allSatisfy({ $0.count <= columns }) else { return [] }
    var found: [Range<Int>] = []
    func fits(_ line: [UInt8], _ start: Int, toTheEnd: Bool) -> Bool {
      let end = (start / columns + 1) * columns
      guard start + line.count <= end,
        cells.codes[start..<start + line.count].elementsEqual(line)
      else { return false }
      return !toTheEnd || cells.codes[start + line.count..<end].allSatisfy { $0 == 0x20 }
    }
    for row in 0...cells.rows - lines.count {
      let rest = lines.indices.dropFirst().allSatisfy {
        fits(lines[$0], (row + $0) * columns, toTheEnd: $0 < lines.count - 1)
      }
      guard rest else { continue }
      let last = (row + lines.count - 1) * columns + lines[lines.count - 1].count
      for column in 0...columns - lines[0].count
      where fits(lines[0], row * columns + column, toTheEnd: true) {
        found.append(row * columns + column..<last)
        break
      }
    }
    return found
  }

  private static let scalars: [UInt32] = (0...255).map {
    CodePage437.character(UInt8($0)).unicodeScalars.first?.value ?? 0x20
  }

  /// A row that is full to its last column goes on in the next one.
  private func findRegex(_ cells: TextScreenCells) -> [Range<Int>] {
    guard let pattern else { return [] }
    var found: [Range<Int>] = []
    var row = 0
    while row < cells.rows {
      let start = row * cells.columns
      while row + 1 < cells.rows, cells.codes[(row + 1) * cells.columns - 1] != 0x20 { row += 1 }
      row += 1
      var end = row * cells.columns
      // Blanks before the cursor were written; those behind everything are only the screen's.
      let least =
        cells.cursor.map { $0 > end - cells.columns && $0 < end ? $0 : start } ?? start
      while end > max(start, least), cells.codes[end - 1] == 0x20 { end -= 1 }
      if start == end { continue }
      for match in pattern.matches(in: cells.codes[start..<end].map { Matcher.scalars[Int($0)] }) {
        found.append(start + match.lowerBound..<start + match.upperBound)
      }
    }
    return found
  }
}
