// The instruction table as the generator reads it.
//
// Owns: the grammar of Table/*.txt (told in integer.txt) and its errors. Must not know: what is made from it.

/// An operation.
struct Operation {
  /// The case of `Op`.
  var name: String
  var mnemonic: String
  /// The group whose switch calls `call`; nil where the operation has handlers.
  var group: String?
  var call: String?
  var number: Int
  var isNumbered: Bool
  /// Which handler for which forms, in order.
  var choices: [HandlerChoice] = []
}

/// A handler with the conditions under which an operation has it.
struct HandlerChoice {
  /// With % or # for the size.
  var handler: String
  var conditions: [String]
  var swaps: Bool
}

/// A handler.
struct HandlerLine {
  var name: String
  var call: String
  var isOften: Bool
  var isPlain: Bool
  /// The group that it stands for.
  var group: String?
}

/// An encoding.
struct Encoding {
  var text: String
  /// The first column.
  var code: String
  var prefix: String?
  var opcode: Int
  var digit: Int?
  /// any, memory, register, exact.
  var form: Int
  var modrm: Int
  var op: String
  var operands: [String]
  /// Letters of flags.
  var flags: [String: String] = [:]
  var words: Set<String> = []
  var memorySize: Int
}

struct TableError: Error, CustomStringConvertible {
  var description: String
}

/// The whole table.
struct Table {
  private(set) var operations: [Operation] = []
  private(set) var handlers: [HandlerLine] = []
  private(set) var encodings: [Encoding] = []
  private var operationIndex: [String: Int] = [:]
  private var handlerIndex: [String: Int] = [:]
  private var problem: String?

  static let groups = ["string", "mulDiv", "system", "x87", "fpu", "simd", "sse", "mmx"]
  /// The handler of a group, and its switch.
  static let groupHandlers = ["x87": "fpu", "sse": "simd", "mmx": "simd"]
  static let attributes: Set<String> = [
    "lock", "end", "endrep", "rep", "alias", "foreign",
  ]
  /// Names of `CPUFeatures`.
  static let features: Set<String> = [
    "i486", "cpuid", "cx8", "tsc", "msr", "cmov", "sep", "fxsr", "rdpmc", "p6", "mmx", "sse",
    "sse2", "clfsh",
  ]
  static let flagBits = [
    "c": 0, "p": 2, "a": 4, "z": 6, "s": 7, "t": 8, "i": 9, "d": 10, "o": 11, "n": 14,
  ].mapValues { 1 << $0 }

  /// - Parameter files: names and texts, in order.
  init(_ files: [(name: String, text: String)]) throws {
    for file in files {
      var block: Block?
      for (n, line) in file.text.split(separator: "\n", omittingEmptySubsequences: false)
        .enumerated()
      {
        let text = line.hasPrefix("#") ? "" : String(line)
        do {
          let isIndented = text.hasPrefix("  ")
          if !isIndented, let done = block {
            try finish(done)
            block = nil
          }
          if text.allSatisfy({ $0 == " " }) { continue }
          if isIndented {
            guard block != nil else { throw TableError(description: "a handler of no operation") }
            try block!.add(text)
          } else if text.hasPrefix("op ") || text.hasPrefix("handler ") {
            block = try Block(text)
          } else {
            try addEncoding(text)
          }
        } catch let error as TableError {
          throw TableError(description: "\(file.name):\(n + 1): \(error)")
        }
      }
      if let block { try finish(block) }
    }
    try check()
  }

  func operation(_ name: String) -> Operation? { operationIndex[name].map { operations[$0] } }

  /// `ret.far` as `retFar`.
  static func camelCase(_ name: String) -> String {
    let parts = name.split(separator: ".", maxSplits: 1)
    if parts.count < 2 { return name }
    return parts[0] + parts[1].prefix(1).uppercased() + parts[1].dropFirst()
  }

  // MARK: - Operations

  /// An `op` or `handler` line with what is indented below it.
  private struct Block {
    var names: [String] = []
    var mnemonic: String?
    var group: String?
    var call: String?
    var isNumbered = false
    var number = 0
    var isOften: Bool?
    var isHandler: Bool
    var lines: [(name: String, words: [String], call: String?)] = []

    init(_ text: String) throws {
      let (words, call) = Block.split(text)
      self.call = call
      isHandler = words[0] == "handler"
      for word in words.dropFirst() {
        if word.hasPrefix("as:") {
          mnemonic = String(word.dropFirst(3)).replacing("_", with: " ")
        } else if word == "numbered" {
          isNumbered = true
        } else if word.hasPrefix("number:"), let n = Int(word.dropFirst(7)) {
          isNumbered = true
          number = n
        } else if word == "often" || word == "seldom" {
          isOften = word == "often"
        } else if !isHandler && Table.groups.contains(word) && !names.isEmpty {
          group = word
        } else {
          names.append(word)
        }
      }
      if names.isEmpty { throw TableError(description: "no name") }
      if group == nil && isOften == nil { throw TableError(description: "neither group nor often") }
      if group != nil && call == nil { throw TableError(description: "nothing to call") }
    }

    mutating func add(_ text: String) throws {
      let (words, call) = Block.split(text)
      lines.append((words[0], Array(words.dropFirst()), call))
    }

    static func split(_ text: String) -> (words: [String], call: String?) {
      let parts = text.split(separator: " = ", maxSplits: 1).map(String.init)
      let words = parts[0].split(separator: " ").map(String.init)
      return (words, parts.count > 1 ? parts[1].trimmed : nil)
    }
  }

  private mutating func finish(_ block: Block) throws {
    if block.isHandler {
      let group = Table.groups.contains(block.names[0]) ? block.names[0] : nil
      return try define(
        HandlerLine(
          name: block.names[0], call: block.call ?? "", isOften: block.isOften!, isPlain: false,
          group: group))
    }
    for (n, name) in block.names.enumerated() {
      let caseName = Table.camelCase(name)
      func fill(_ text: String, size: Int) -> String {
        text.replacing("@@", with: caseName.prefix(1).uppercased() + caseName.dropFirst())
          .replacing("@", with: caseName).replacing("%", with: "\(size)")
          .replacing("#", with: "\(size)")
      }
      var operation = Operation(
        name: caseName, mnemonic: block.mnemonic ?? String(name.prefix { $0 != "." }),
        group: block.group, call: block.group == nil ? nil : fill(block.call!, size: 32),
        number: block.isNumbered ? block.number + n : 0, isNumbered: block.isNumbered)
      var lines = block.lines
      if block.group == nil, let call = block.call { lines = [("@", [], call)] }
      if block.group == nil && lines.isEmpty {
        throw TableError(description: "\(caseName) has neither group nor handler")
      }
      let names = lines.map(\.name).joined()
      let sizes = names.contains("%") ? [8, 16, 32] : names.contains("#") ? [16, 32] : [32]
      for size in sizes {
        for line in lines {
          guard let call = line.call else { continue }
          let handler = fill(line.name, size: size)
          if handlerIndex[handler] != nil && n > 0 { continue }
          if size != sizes[0] && !line.name.contains("%") && !line.name.contains("#") { continue }
          try define(
            HandlerLine(
              name: handler, call: fill(call, size: size), isOften: block.isOften!,
              isPlain: line.words.contains("plain")))
        }
      }
      operation.choices = lines.map { line in
        HandlerChoice(
          handler: line.name.replacing("@", with: caseName),
          conditions: line.words.filter { $0 != "plain" && $0 != "swap" },
          swaps: line.words.contains("swap"))
      }
      if operationIndex.updateValue(operations.count, forKey: caseName) != nil {
        throw TableError(description: "\(caseName) is there already")
      }
      operations.append(operation)
    }
  }

  private mutating func define(_ handler: HandlerLine) throws {
    if handlerIndex.updateValue(handlers.count, forKey: handler.name) != nil {
      throw TableError(description: "handler \(handler.name) is there already")
    }
    handlers.append(handler)
  }

  // MARK: - Encodings

  private mutating func addEncoding(_ text: String) throws {
    let words = text.split(separator: " ").map(String.init)
    guard words.count >= 3 else { throw TableError(description: "an encoding has three columns") }
    var code = words[0]
    var encoding = Encoding(
      text: text, code: words[0], opcode: 0, form: 0, modrm: 0, op: Table.camelCase(words[1]),
      operands: words[2] == "-" ? [] : words[2].split(separator: ",").map(String.init),
      memorySize: 0)
    if let dot = code.firstIndex(of: ".") {
      encoding.prefix = String(code[..<dot])
      code = String(code[code.index(after: dot)...])
    }
    if let colon = code.firstIndex(of: ":") {
      encoding.form = 3
      encoding.modrm = try Table.hexadecimal(code[code.index(after: colon)...])
      code = String(code[..<colon])
    } else if let slash = code.firstIndex(of: "/") {
      for character in code[code.index(after: slash)...] {
        switch character {
        case "m": encoding.form = 1
        case "r": encoding.form = 2
        default: encoding.digit = try Table.hexadecimal("\(character)")
        }
      }
      code = String(code[..<slash])
    }
    encoding.opcode = try Table.hexadecimal(code[...])
    for word in words.dropFirst(3) {
      let parts = word.split(separator: ":").map(String.init)
      if parts.count == 2, ["r", "w", "u"].contains(parts[0]) {
        for letter in parts[1] where Table.flagBits["\(letter)"] == nil {
          throw TableError(description: "no flag '\(letter)'")
        }
        encoding.flags[parts[0]] = parts[1]
      } else if word.hasPrefix("mem"), let size = Int(word.dropFirst(3)) {
        encoding.memorySize = size
      } else if Table.attributes.contains(word) || Table.features.contains(word) {
        encoding.words.insert(word)
      } else {
        throw TableError(description: "no attribute '\(word)'")
      }
    }
    if let prefix = encoding.prefix, !["np", "66", "F2", "F3"].contains(prefix) {
      throw TableError(description: "no prefix '\(prefix)'")
    }
    if encodings.contains(where: { $0.code == words[0] }) {
      throw TableError(description: "'\(words[0])' is there already")
    }
    encodings.append(encoding)
  }

  private static func hexadecimal(_ text: some StringProtocol) throws -> Int {
    guard let value = Int(text, radix: 16) else {
      throw TableError(description: "'\(text)' is no hexadecimal number")
    }
    return value
  }

  // MARK: - Handlers of encodings

  private func check() throws {
    var used: Set<String> = []
    for encoding in encodings {
      guard operation(encoding.op) != nil else {
        throw TableError(description: "no operation '\(encoding.op)' for '\(encoding.text)'")
      }
      used.insert(encoding.op)
      for place in 0..<8 { _ = try handler(of: encoding, place) }
    }
    for operation in operations where !used.contains(operation.name) {
      throw TableError(description: "operation '\(operation.name)' has no encoding")
    }
    for group in Set(operations.compactMap(\.group)) where handlerIndex[Table.handler(group)] == nil
    {
      throw TableError(description: "group '\(group)' has no handler")
    }
  }

  static func handler(_ group: String) -> String { groupHandlers[group] ?? group }

  /// The handler of an encoding with memory (4), 32-bit operand size (2) and a count (1), and whether reg and rm change places.
  func handler(of encoding: Encoding, _ place: Int) throws -> (name: String, swaps: Bool) {
    let operation = operation(encoding.op)!
    if let group = operation.group { return (Table.handler(group), false) }
    let hasMemory = place & 4 != 0
    let isWide = place & 2 != 0
    let shape = Table.shape(encoding.operands, hasMemory: hasMemory)
    for choice in operation.choices {
      let holds = choice.conditions.allSatisfy { condition in
        switch condition {
        case "RR", "RM", "MR", "RI", "MI": shape == condition
        case "reg": !hasMemory
        case "mem": hasMemory
        case "wide": isWide
        case "narrow": !isWide
        case "count": place & 1 != 0
        default: encoding.operands.contains(condition)
        }
      }
      if !holds { continue }
      let size = Table.isByte(encoding.operands) ? 8 : isWide ? 32 : 16
      let name = choice.handler.replacing("%", with: "\(size)").replacing("#", with: "\(size)")
      guard handlerIndex[name] != nil else {
        throw TableError(description: "no handler '\(name)' for '\(encoding.text)'")
      }
      // In RR shapes the destination is rm.
      let swaps =
        choice.conditions.contains("RR") && ["Gb", "Gv"].contains(encoding.operands[0])
      return (name, swaps || choice.swaps)
    }
    throw TableError(description: "no handler for '\(encoding.text)', form \(place)")
  }

  private static func shape(_ operands: [String], hasMemory: Bool) -> String {
    guard operands.count >= 2 else { return "" }
    switch (operands[0], operands[1]) {
    case ("Eb", "Gb"), ("Ev", "Gv"): return hasMemory ? "MR" : "RR"
    case ("Gb", "Eb"), ("Gv", "Ev"): return hasMemory ? "RM" : "RR"
    case ("AL", "Ob"), ("eAX", "Ov"): return "RM"
    case ("Ob", "AL"), ("Ov", "eAX"): return "MR"
    case ("AL", _), ("eAX", _): return "RI"
    default: return hasMemory ? "MI" : "RI"
    }
  }

  /// Whether the operand is a byte.
  static func isByte(_ operands: [String]) -> Bool {
    let bytes = ["Eb", "Gb", "AL", "Ob", "Zb", "Xb", "Yb"]
    guard let first = operands.first else { return false }
    if bytes.contains(first) { return true }
    return operands.count > 1 && (first == "Ib" || first == "DX") && bytes.contains(operands[1])
  }
}

extension String {
  /// Without spaces at both ends.
  var trimmed: String {
    var text = self[...]
    while text.first == " " { text.removeFirst() }
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}
