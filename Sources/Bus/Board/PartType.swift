// Kinds of parts that a board can carry, and their options.
//
// Owns: how a part says what it is, what can be chosen, and how choices are written and read. Must not know: any particular part.

/// What can be chosen of a part.
public struct PartOption: Sendable {
  /// What values it takes.
  public enum Kind: Sendable {
    /// A port number in hexadecimal.
    case port
    /// An interrupt request, 0 to 15.
    case interrupt
    /// A number of a range, decimal.
    case number(ClosedRange<Int>)
    /// yes or no.
    case flag
    /// One of some words; an empty one stands for no choice and is not told of.
    case choice([String])
    /// Any text.
    case text
  }

  public var name: String
  public var kind: Kind
  /// As it would be written; empty: it must be given, or is found out.
  public var standard: String
  /// One line.
  public var help: String

  public init(_ name: String, _ kind: Kind, _ standard: String, _ help: String) {
    (self.name, self.kind, self.standard, self.help) = (name, kind, standard, help)
  }

  /// What may be written.
  public var values: String {
    switch kind {
    case .port: "port (hexadecimal)"
    case .interrupt: "0 to 15"
    case .number(let range): "\(range.lowerBound) to \(range.upperBound)"
    case .flag: "yes or no"
    case .choice(let words): PartOption.list(words)
    case .text: "text"
    }
  }

  private static func list(_ words: [String]) -> String {
    words.filter { !$0.isEmpty }.joined(separator: ", ")
  }

  /// nil when a value is of the right kind, else what is wrong.
  func complaint(_ value: String) -> String? {
    switch kind {
    case .port: UInt16(value, radix: 16) == nil ? "is no port number (hexadecimal)" : nil
    case .interrupt: Int(value).map { (0...15).contains($0) } == true ? nil : "is none of 0 to 15"
    case .number(let range):
      Int(value).map { range.contains($0) } == true
        ? nil : "is none of \(range.lowerBound) to \(range.upperBound)"
    case .flag: value == "yes" || value == "no" ? nil : "is neither yes nor no"
    case .choice(let words):
      words.contains(value) ? nil : "is none of \(PartOption.list(words))"
    case .text: nil
    }
  }
}

/// A kind of part.
public struct PartType: Sendable {
  /// As boards and `--device` write it.
  public var name: String
  /// One line.
  public var summary: String
  public var options: [PartOption]
  /// Whether a machine can have several.
  public var isMultiple: Bool
  /// Makes one and puts it on a board.
  public var add: @Sendable (Board, PartValues) throws -> Void

  public init(
    _ name: String, _ summary: String, isMultiple: Bool = false, options: [PartOption] = [],
    add: @escaping @Sendable (Board, PartValues) throws -> Void
  ) {
    (self.name, self.summary, self.options) = (name, summary, options)
    (self.isMultiple, self.add) = (isMultiple, add)
  }

  /// The options of every part that there can be several of.
  static let identity = PartOption("id", .text, "", "its name in states and for the debugger")

  /// All that can be chosen.
  public var allOptions: [PartOption] {
    (isMultiple ? [PartType.identity] : []) + options
  }

  /// Reads choices.
  /// - Parameter text: `key=value` with commas between, or nothing.
  public func values(_ text: String) throws(BoardError) -> PartValues {
    var given: [String: String] = [:]
    for piece in text.split(separator: ",", omittingEmptySubsequences: true) {
      guard let equals = piece.firstIndex(of: "=") else {
        throw BoardError("\(name): '\(piece)' is not of the form option=value")
      }
      let key = String(piece[..<equals])
      let value = String(piece[piece.index(after: equals)...])
      guard let option = allOptions.first(where: { $0.name == key }) else {
        let known = allOptions.map(\.name).joined(separator: ", ")
        throw BoardError(
          "\(name) has no option '\(key)'" + (known.isEmpty ? "" : " (it has \(known))"))
      }
      if given[key] != nil { throw BoardError("\(name): '\(key)' is given twice") }
      if let complaint = option.complaint(value) {
        throw BoardError("\(name): \(key)=\(value) \(complaint)")
      }
      given[key] = value
    }
    return PartValues(type: self, given: given)
  }
}

/// What was chosen of a part.
public struct PartValues: Sendable {
  let type: PartType
  let given: [String: String]

  /// The value of an option as text; "" when it has none.
  public subscript(name: String) -> String {
    given[name] ?? type.allOptions.first { $0.name == name }?.standard ?? ""
  }

  /// The part's name: what was chosen, or the first of `name`, `name2`, ... that is free on a board. To be asked before the part is made,
  /// which registers events by this name.
  /// - Throws: when the name that was chosen is another's.
  public func identity(on board: Board) throws(BoardError) -> String {
    let chosen = self["id"]
    if !chosen.isEmpty {
      if isTaken(chosen, on: board) {
        throw BoardError("there is a '\(chosen)' already: give it another name (id=...)")
      }
      return chosen
    }
    var name = type.name
    var n = 2
    while isTaken(name, on: board) {
      name = type.name + String(n)
      n += 1
    }
    return name
  }

  private func isTaken(_ name: String, on board: Board) -> Bool {
    board.devices.contains { $0.stateName == name } || board.sockets.contains { $0.name == name }
  }

  public func port(_ name: String) -> UInt16 { UInt16(self[name], radix: 16) ?? 0 }
  public func number(_ name: String) -> Int { Int(self[name]) ?? 0 }
  public func flag(_ name: String) -> Bool { self[name] == "yes" }
}

/// All kinds of parts that are known.
public struct PartCatalogue: Sendable {
  public private(set) var types: [PartType]
  public init(_ types: [PartType]) {
    self.types = types.sorted { $0.name < $1.name }
  }

  /// A kind by name.
  public subscript(name: String) -> PartType? { types.first { $0.name == name } }

  /// Puts a part on a board.
  /// - Parameter text: its name, and behind a comma its options.
  /// - Returns: the name and the options.
  @discardableResult
  public func add(_ text: String, to board: Board) throws -> (name: String, options: String) {
    let comma = text.firstIndex(of: ",")
    let name = String(text[..<(comma ?? text.endIndex)])
    let options = comma.map { String(text[text.index(after: $0)...]) } ?? ""
    guard let type = self[name] else {
      throw BoardError("there is no device '\(name)' (apus devices lists them)")
    }
    let values = try type.values(options)
    try board.noteKind(type)
    try type.add(board, values)
    return (name, options)
  }
}
