// The forms of whole blocks as the generator reads them.
//
// Owns: the grammar of forms.txt (told there) and its errors. Must not know: what is made from it, what handlers do.

/// What forms.txt says.
struct Forms {
  /// A form with what is done for it.
  struct Case {
    var name: String
    var body: [String]
  }
  /// A form together with a conditional jump.
  struct Jump {
    var form: String
    var condition: Int
    var name: String
  }
  /// Two forms as one.
  struct Pair {
    var first: String
    var second: String
    var name: String
  }
  private(set) var cases: [Case] = []
  /// Handlers that a loop over whole blocks leaves to themselves.
  private(set) var slow: [String] = []
  private(set) var jumps: [Jump] = []
  private(set) var pairs: [Pair] = []
  private var index: [String: Int] = [:]

  /// A variable of `for` with its words.
  private typealias List = (name: String, words: [String])
  /// A line with the lines of its body.
  private struct Entry {
    var words: [String]
    var body: [String]
    var indentation: Int
    var line: Int
  }

  init(_ source: String, _ table: Table) throws {
    var lists: [List] = []
    var group: [Entry] = []
    var number = 0
    for line in source.split(separator: "\n", omittingEmptySubsequences: false) {
      number += 1
      let text = String(line)
      if text.hasPrefix("#") || text.trimmed.isEmpty {
        continue
      }
      let depth = text.prefix { $0 == " " }.count
      if let last = group.last, depth >= last.indentation + 4 {
        group[group.count - 1].body.append(text.trimmed)
        continue
      }
      if depth == 0 {
        try expand(group, lists, table)
        group = []
        lists = []
      }
      if depth == 0, text.hasPrefix("for ") {
        lists = try Forms.at(number) { () throws(TableError) in try Forms.lists(text) }
      } else {
        group.append(Forms.entry(text, depth, number))
      }
    }
    try expand(group, lists, table)
  }

  /// Says in an error where it is.
  private static func at<T>(_ line: Int, _ body: () throws(TableError) -> T) throws(TableError) -> T
  {
    do { return try body() } catch {
      throw TableError(description: "forms.txt:\(line): \(error)")
    }
  }

  private static func lists(_ text: String) throws(TableError) -> [List] {
    try text.dropFirst(4).split(separator: ",").map { (part) throws(TableError) in
      let words = part.split(separator: " ").map(String.init)
      guard words.count > 2, words[1] == "in" else {
        throw TableError(description: "for VAR in WORD...: '\(text)'")
      }
      return (words[0], Array(words.dropFirst(2)))
    }
  }

  private static func entry(_ text: String, _ depth: Int, _ line: Int) -> Entry {
    let parts = text.split(separator: "=", maxSplits: 1).map { String($0).trimmed }
    // `pair` and `slow` have no body.
    let hasBody = text.contains(" =")
    return Entry(
      words: (hasBody ? parts[0] : text).split(separator: " ").map(String.init),
      body: hasBody && parts.count > 1 && !parts[1].isEmpty ? [parts[1]] : [], indentation: depth,
      line: line)
  }

  /// Takes up the lines of a group for each of the words of its lists.
  private mutating func expand(_ group: [Entry], _ lists: [List], _ table: Table) throws(TableError)
  {
    guard let list = lists.first else {
      for entry in group {
        do { try add(entry, table) } catch {
          throw TableError(description: "forms.txt:\(entry.line): \(error)")
        }
      }
      return
    }
    for word in list.words {
      func filled(_ text: String) -> String {
        var text = text.replacing("{\(list.name)}", with: word)
          .replacing(
            "{\(list.name.prefix(1).uppercased() + list.name.dropFirst())}",
            with: word.prefix(1).uppercased() + word.dropFirst())
        if let bits = Int(word) { text = text.replacing("{bytes}", with: "\(bits / 8)") }
        return text
      }
      let entries = group.map {
        Entry(
          words: $0.words.map(filled), body: $0.body.map(filled), indentation: $0.indentation,
          line: $0.line)
      }
      try expand(entries, Array(lists.dropFirst()), table)
    }
  }

  private mutating func add(_ entry: Entry, _ table: Table) throws(TableError) {
    let words = entry.words
    switch words[0] {
    case "slow": slow += words.dropFirst()
    case "pair" where words.count == 3:
      let second = words[2].prefix(1).uppercased() + words[2].dropFirst()
      let pair = Pair(first: words[1], second: words[2], name: words[1] + "And" + second)
      guard let a = index[pair.first], let b = index[pair.second] else {
        throw TableError(description: "a pair of unknown forms: \(pair.name)")
      }
      try define(pair.name, cases[a].body + ["p += 1"] + cases[b].body)
      pairs.append(pair)
    case "jump" where words.count > 2:
      for condition in words.dropFirst(2) {
        guard let op = table.operation("j" + condition), op.isNumbered else {
          throw TableError(description: "no condition '\(condition)'")
        }
        let name = words[1] + "J" + condition
        // Against zero S is L.
        let relation = ["s": "L", "ns": "NL"][condition] ?? condition.uppercased()
        try define(name, entry.body.map { $0.replacing("{If}", with: "If.\(relation).self") })
        jumps.append(Jump(form: words[1], condition: op.number, name: name))
      }
    default:
      for name in words { try define(name, entry.body) }
    }
  }

  private mutating func define(_ name: String, _ body: [String]) throws(TableError) {
    if body.isEmpty { throw TableError(description: "nothing is done for \(name)") }
    if let rest = (body + [name]).first(where: { $0.contains("{n}") || $0.contains("{op}") }) {
      throw TableError(description: "no list for '\(rest)'")
    }
    if index.updateValue(cases.count, forKey: name) != nil {
      throw TableError(description: "\(name) is there already")
    }
    cases.append(Case(name: name, body: body))
  }
}
