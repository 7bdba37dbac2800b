// Reading a regular expression.
//
// Owns: the grammar, which is that of POSIX's extended expressions with what Perl has added and people expect; the words for what is not
// supported. Must not know: what is made of an expression (LinePattern.swift).

/// Reads an expression.
struct PatternParser {
  typealias Problem = LinePattern.Problem
  typealias CharacterSet = LinePattern.CharacterSet
  private let text: [Unicode.Scalar]
  private var at = 0
  private var depth = 0
  private var ignoresCase = false

  init(_ text: String) { self.text = Array(text.unicodeScalars) }

  private var next: Unicode.Scalar? { at < text.count ? text[at] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    if next != scalar { return false }
    at += 1
    return true
  }

  private mutating func take(_ word: String) -> Bool {
    let scalars = Array(word.unicodeScalars)
    guard text[at...].starts(with: scalars) else { return false }
    at += scalars.count
    return true
  }

  mutating func parse() throws(Problem) -> LinePattern.Node {
    if take("(?i)") { ignoresCase = true }
    let node = try choice()
    if at < text.count { throw Problem(description: "')' has no '('") }
    return node
  }

  private mutating func choice() throws(Problem) -> LinePattern.Node {
    depth += 1
    defer { depth -= 1 }
    if depth > 100 { throw Problem(description: "too many '(' in each other") }
    var nodes = [try sequence()]
    while take("|") { nodes.append(try sequence()) }
    return nodes.count == 1 ? nodes[0] : .choice(nodes)
  }

  private mutating func sequence() throws(Problem) -> LinePattern.Node {
    var nodes: [LinePattern.Node] = []
    while let c = next, c != "|", c != ")" { nodes.append(try repetition()) }
    return nodes.isEmpty ? .empty : .sequence(nodes)
  }

  private mutating func repetition() throws(Problem) -> LinePattern.Node {
    var node = try atom()
    var count = 0
    while let (least, most) = try quantifier() {
      count += 1
      if count > 1 { throw Problem(description: "two repetitions of one thing: put it in ( )") }
      if case .place = node { throw Problem(description: "a place (^ $ \\b) cannot be repeated") }
      let isGreedy = !take("?")
      if next == "+" {
        throw Problem(description: "possessive repetitions (+ behind one) are not supported")
      }
      node = .repetition(node, least: least, most: most, isGreedy: isGreedy)
    }
    return node
  }

  private mutating func quantifier() throws(Problem) -> (Int, Int?)? {
    if take("*") { return (0, nil) }
    if take("+") { return (1, nil) }
    if take("?") { return (0, 1) }
    guard next == "{" else { return nil }
    let start = at
    at += 1
    let least = number()
    var most = least
    if take(",") { most = number() }
    guard take("}"), least != nil || most != nil else {
      // A brace that says nothing is one.
      at = start
      return nil
    }
    let from = least ?? 0
    let isOpen = most == nil
    if from > 1000 || most ?? 0 > 1000 {
      throw Problem(description: "more than 1000 repetitions are not supported")
    }
    if let most, most < from { throw Problem(description: "{\(from),\(most)} is empty") }
    return (from, isOpen ? nil : most)
  }

  private mutating func number() -> Int? {
    var value: Int?
    while let c = next, ("0"..."9").contains(c) {
      value = min((value ?? 0) * 10 + Int(c.value - 0x30), 1_000_000)
      at += 1
    }
    return value
  }

  private mutating func atom() throws(Problem) -> LinePattern.Node {
    guard let c = next else { return .empty }
    at += 1
    switch c {
    case "(": return try group()
    case "[": return .set(folded(try set()))
    case ".": return .set(.any)
    case "^": return .place(.start)
    case "$": return .place(.end)
    case "*", "+", "?": throw Problem(description: "'\(c)' has nothing to repeat")
    case "\\": return try escape()
    case "{":
      at -= 1
      if try quantifier() != nil { throw Problem(description: "'{' has nothing to repeat") }
      at += 1
      return .set(one(c.value))
    default: return .set(one(c.value))
    }
  }

  private mutating func group() throws(Problem) -> LinePattern.Node {
    if take("?:") {
      // Nothing is kept of any group.
    } else if take("?<=") || take("?<!") || take("?=") || take("?!") {
      throw Problem(description: "looking ahead or behind, (?= (?! (?<= (?<!, is not supported")
    } else if take("?<") || take("?P<") {
      while let c = next, c != ">" { at += 1 }
      at += 1
    } else if take("?") {
      throw Problem(
        description: "of the groups with (? only (?: ) and, at the beginning, (?i) are supported")
    }
    let node = try choice()
    if !take(")") { throw Problem(description: "'(' has no ')'") }
    return node
  }

  private mutating func escape() throws(Problem) -> LinePattern.Node {
    switch next {
    case "b"?:
      at += 1
      return .place(.wordEdge)
    case "B"?:
      at += 1
      return .place(.noWordEdge)
    case "A"?:
      at += 1
      return .place(.start)
    case "z"?, "Z"?:
      at += 1
      return .place(.end)
    default: break
    }
    if let set = try classEscape() { return .set(set) }
    return .set(one(try characterEscape()))
  }

  /// `\d` and its relatives.
  private mutating func classEscape() throws(Problem) -> CharacterSet? {
    let set: CharacterSet
    switch next {
    case "d"?: set = .digit
    case "D"?: set = .digit.inverted
    case "w"?: set = .word
    case "W"?: set = .word.inverted
    case "s"?: set = .space
    case "S"?: set = .space.inverted
    default: return nil
    }
    at += 1
    return set
  }

  /// A single character behind a backslash.
  private mutating func characterEscape() throws(Problem) -> UInt32 {
    guard let c = next else { throw Problem(description: "'\\' is the last character") }
    at += 1
    switch c {
    case "t": return 9
    case "n": return 10
    case "r": return 13
    case "f": return 12
    case "e": return 27
    case "x", "u":
      var digits = ""
      if take("{") {
        while let c = next, c != "}" {
          digits.unicodeScalars.append(c)
          at += 1
        }
        at += 1
      } else {
        let end = min(at + (c == "x" ? 2 : 4), text.count)
        for scalar in text[at..<end] { digits.unicodeScalars.append(scalar) }
        at = end
      }
      guard let value = UInt32(digits, radix: 16), value <= 0x10FFFF else {
        throw Problem(description: "'\\\(c)' wants a hexadecimal number")
      }
      return value
    case "1"..."9", "k":
      throw Problem(description: "back references (\\\(c)) are not supported")
    case "a"..."z", "A"..."Z", "0":
      throw Problem(description: "'\\\(c)' is not supported")
    default: return c.value
    }
  }

  private func one(_ value: UInt32) -> CharacterSet {
    folded(CharacterSet(ranges: [value...value]))
  }

  /// With the letters of the other case.
  private func folded(_ set: CharacterSet) -> CharacterSet {
    if !ignoresCase { return set }
    var result = set
    for range in set.ranges {
      let low = range.clamped(to: 0x61...0x7A)
      if range.overlaps(0x61...0x7A) {
        result.ranges.append(low.lowerBound - 32...low.upperBound - 32)
      }
      let high = range.clamped(to: 0x41...0x5A)
      if range.overlaps(0x41...0x5A) {
        result.ranges.append(high.lowerBound + 32...high.upperBound + 32)
      }
    }
    return result
  }

  /// Behind "[".
  private mutating func set() throws(Problem) -> CharacterSet {
    var ranges: [ClosedRange<UInt32>] = []
    let isInverted = take("^")
    var isFirst = true
    while true {
      guard let c = next else { throw Problem(description: "'[' has no ']'") }
      if c == "]" && !isFirst { break }
      isFirst = false
      if c == "[", at + 1 < text.count, text[at + 1] == ":" {
        ranges += try namedClass()
        continue
      }
      at += 1
      var low = c.value
      if c == "\\" {
        if let set = try classEscape() {
          ranges += set.isInverted ? CharacterSet.complement(set.ranges) : set.ranges
          continue
        }
        low = next == "b" ? 8 : try characterEscape()
        if low == 8, next == "b" { at += 1 }
      }
      var high = low
      if next == "-", at + 1 < text.count, text[at + 1] != "]" {
        at += 1
        high = text[at].value
        at += 1
        if high == 0x5C { high = try characterEscape() }
        if high < low { throw Problem(description: "a range in [ ] goes backwards") }
      }
      ranges.append(low...high)
    }
    at += 1
    return CharacterSet(ranges: ranges, isInverted: isInverted)
  }

  /// `[:alpha:]` and its relatives.
  private mutating func namedClass() throws(Problem) -> [ClosedRange<UInt32>] {
    let names: [(String, [ClosedRange<UInt32>])] = [
      ("alpha", [0x41...0x5A, 0x61...0x7A]), ("digit", [0x30...0x39]),
      ("alnum", [0x30...0x39, 0x41...0x5A, 0x61...0x7A]), ("upper", [0x41...0x5A]),
      ("lower", [0x61...0x7A]), ("space", [0x09...0x0D, 0x20...0x20]),
      ("blank", [0x09...0x09, 0x20...0x20]), ("xdigit", [0x30...0x39, 0x41...0x46, 0x61...0x66]),
      ("punct", [0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E]),
    ]
    for (name, ranges) in names where take("[:\(name):]") { return ranges }
    throw Problem(
      description: "of the classes with [: there are " + names.map(\.0).joined(separator: " "))
  }
}
