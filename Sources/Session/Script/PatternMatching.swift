// Finding what a regular expression describes.
//
// Owns: the walk through a line with all possibilities side by side. Must not know: how an expression is written (LinePattern.swift).
// After: K. Thompson, "Regular Expression Search Algorithm", CACM 11 (1968); which of several matches counts is decided by the order in
// which possibilities are kept.

extension LinePattern {
  /// Where it matches in a line, from left to right, each match behind the one before and none of them empty.
  /// - Parameters:
  ///   - line: characters.
  ///   - hasStart: the line begins here; no for the end of a long one.
  func matches(in line: [UInt32], hasStart: Bool = true) -> [Range<Int>] {
    var search = PatternSearch(self, line, hasStart)
    var found: [Range<Int>] = []
    var from = 0
    while from < line.count, let match = search.first(from: from) {
      if match.isEmpty {
        from = match.lowerBound + 1
      } else {
        found.append(match)
        from = match.upperBound
      }
    }
    return found
  }
}

/// One line's search.
private struct PatternSearch {
  /// A possibility: where it stands in the program, and where its match began.
  private struct Possibility {
    var place: Int
    var start: Int
  }

  private let operations: [LinePattern.Operation]
  private let line: [UInt32]
  private let hasStart: Bool
  /// The line without the blanks around it.
  private let content: Range<Int>
  /// In which list each place of the program was seen last.
  private var seen: [Int]
  private var list = 0
  private var stack: [Int] = []

  init(_ pattern: LinePattern, _ line: [UInt32], _ hasStart: Bool) {
    operations = pattern.operations
    self.line = line
    self.hasStart = hasStart
    let first = line.firstIndex { $0 != 0x20 } ?? line.count
    let end = line.lastIndex { $0 != 0x20 }.map { $0 + 1 } ?? 0
    content = first..<max(first, end)
    seen = [Int](repeating: -1, count: pattern.operations.count)
  }

  /// The leftmost match at or behind a place; of several the one that the expression prefers.
  mutating func first(from: Int) -> Range<Int>? {
    var now: [Possibility] = []
    var then: [Possibility] = []
    var match: Range<Int>?
    list += 1
    for at in from...line.count {
      if match == nil { add(0, start: at, at: at, to: &now) } else if now.isEmpty { break }
      then.removeAll(keepingCapacity: true)
      list += 1
      for possibility in now {
        switch operations[possibility.place] {
        case .character(let set):
          if at < line.count, set.contains(line[at]) {
            add(possibility.place + 1, start: possibility.start, at: at + 1, to: &then)
          }
          continue
        case .done:
          match = possibility.start..<at
        default: continue
        }
        // What is less preferred does not count any more.
        break
      }
      swap(&now, &then)
    }
    return match
  }

  /// Adds a place of the program with all that it leads to before a character is needed.
  private mutating func add(
    _ place: Int, start: Int, at: Int, to possibilities: inout [Possibility]
  ) {
    stack.append(place)
    while let place = stack.popLast() {
      if seen[place] == list { continue }
      seen[place] = list
      switch operations[place] {
      case .goOn(let other): stack.append(other)
      case .either(let first, let second):
        stack.append(second)
        stack.append(first)
      case .place(let kind): if isAt(kind, at) { stack.append(place + 1) }
      case .character, .done: possibilities.append(Possibility(place: place, start: start))
      }
    }
  }

  private func isAt(_ kind: LinePattern.Place, _ at: Int) -> Bool {
    switch kind {
    case .start: return hasStart && at <= content.lowerBound
    case .end: return at >= content.upperBound
    case .wordEdge, .noWordEdge:
      let before = at > 0 && LinePattern.CharacterSet.word.contains(line[at - 1])
      let behind = at < line.count && LinePattern.CharacterSet.word.contains(line[at])
      return (before != behind) == (kind == .wordEdge)
    }
  }
}
