// What a board consists of, as text.
//
// Owns: the form of the text, and building from it. Must not know: any particular part or board.
//
//   # a remark
//   PART[,option=value...] [if FACT [FACT...]]
//
// One part a line, in the order in which they are made, saved and reset. A fact is a name that the machine knows to be so or not
// ("apic"); with a "!" before it, it must not be so.

/// A board's parts.
public struct BoardDescription: Sendable {
  /// A line.
  public struct Entry: Sendable {
    /// The part with its options.
    public var part: String
    /// What must be so.
    public var conditions: [String]
    /// Counted from 1.
    public var line: Int
  }

  public var name: String
  public private(set) var entries: [Entry] = []

  /// Reads a description.
  public init(name: String, text: String) throws(BoardError) {
    self.name = name
    for (n, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let words = line.prefix { $0 != "#" }.split(whereSeparator: {
        $0 == " " || $0 == "\t" || $0 == "\r"
      }).map(String.init)
      guard let part = words.first else { continue }
      if words.count > 1 && (words[1] != "if" || words.count < 3) {
        throw BoardError("board \(name), line \(n + 1): 'if' and facts are wanted behind \(part)")
      }
      entries.append(Entry(part: part, conditions: Array(words.dropFirst(2)), line: n + 1))
    }
  }

  /// The options of every line of one kind of part, whose conditions hold.
  public func options(of part: String, facts: Set<String> = []) -> [String] {
    entries.filter { holds($0, facts) && $0.part.prefix { $0 != "," } == part }.map {
      String($0.part.dropFirst(part.count + 1))
    }
  }

  private func holds(_ entry: Entry, _ facts: Set<String>) -> Bool {
    entry.conditions.allSatisfy {
      $0.hasPrefix("!") ? !facts.contains(String($0.dropFirst())) : facts.contains($0)
    }
  }

  /// Puts all parts on a board.
  /// - Parameter facts: what is so in this machine.
  public func build(_ board: Board, _ catalogue: PartCatalogue, facts: Set<String>) throws {
    for entry in entries where holds(entry, facts) {
      do {
        try catalogue.add(entry.part, to: board)
      } catch let error as BoardError {
        throw BoardError("board \(name), line \(entry.line): \(error.reason)")
      }
    }
  }
}
