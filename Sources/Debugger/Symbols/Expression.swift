// Expressions: numbers, registers, symbols, segment:offset, memory, arithmetic, comparisons.
//
// Owns: their grammar and meaning. Must not know: commands; where registers, symbols and memory come from (`ExpressionContext`).
//
//   or      := and ("||" and)*            and := compare ("&&" compare)*
//   compare := bits (("=="|"!="|"<"|"<="|">"|">=") bits)*
//   bits    := sum (("&"|"|"|"^"|"<<"|">>") sum)*
//   sum     := product (("+"|"-") product)*          product := unary (("*"|"/"|"%") unary)*
//   unary   := ("-"|"~"|"!"|"*"|"&"|"{" type "}"|"(" type ")") unary | far       far := primary [":" primary]
//   primary := number | name | "$"name | "(" or ")" | "[" ["b"|"w"|"d"|"q"] ["p:"] or "]" | "'"character"'"
//
// Numbers are hexadecimal; 0n10 or 10t is decimal. A word that is a register, a flag or a symbol is that; other words of hexadecimal
// digits are numbers, which is why CF is the carry flag and 0CF the number. As in gdb *X is memory of the size that a cast of X says (4
// bytes without one), {int}X the same, (char)X cuts, and adding to a pointer that was cast counts elements; &X is X.

/// Where an expression's names lead.
protocol ExpressionContext: AnyObject {
  /// The value of a register, flag, variable or symbol.
  func value(named name: String) -> UInt64?
  /// The linear base of a segment named by a register or a selector.
  func segmentBase(register name: String) -> UInt32?
  func segmentBase(selector: UInt16) -> UInt32?
  /// 1 to 8 bytes of memory, nil where nothing is mapped.
  func load(_ address: UInt64, size: Int, physical: Bool) -> UInt64?
}

/// A parsed expression.
indirect enum Expression: Equatable {
  case number(UInt64)
  case name(String)
  case unary(String, Expression)
  case binary(String, Expression, Expression)
  case far(Expression, Expression)
  case memory(Expression, size: Int, physical: Bool)
  case cast(Expression, CType)

  /// What a pointer leads to, where a cast says so.
  var pointee: CType? {
    switch self {
    case .cast(_, let type): type.pointee
    case .binary("+", let a, let b): a.pointee ?? b.pointee
    case .binary("-", let a, _): a.pointee
    default: nil
    }
  }

  /// The place in memory that it names, so that it can be written or watched.
  var place: (address: Expression, size: Int, physical: Bool)? {
    switch self {
    case .memory(let address, let size, let physical): (address, size, physical)
    case .cast(let inner, _): inner.place
    default: nil
    }
  }

  /// Reads a whole text.
  static func parse(_ text: String) throws(DebuggerError) -> Expression {
    var parser = try ExpressionParser(text)
    let expression = try parser.expression()
    try parser.end()
    return expression
  }

  /// The expression's value. Far addresses give their linear address.
  func evaluate(_ context: any ExpressionContext) throws(DebuggerError) -> UInt64 {
    switch self {
    case .number(let value): return value
    case .name(let name):
      if let value = context.value(named: name) { return value }
      if let value = Expression.hexadecimal(name) { return value }
      throw DebuggerError(Habits.unknownName(name))
    case .unary(let op, let a):
      let value = try a.evaluate(context)
      switch op {
      case "-": return value >> 32 == 0 ? UInt64(0 &- UInt32(value)) : 0 &- value
      case "~": return value >> 32 == 0 ? UInt64(~UInt32(value)) : ~value
      default: return value == 0 ? 1 : 0
      }
    case .far(let segment, let offset):
      let base: UInt32?
      if case .name(let name) = segment, let found = context.segmentBase(register: name) {
        base = found
      } else {
        let selector = try segment.evaluate(context)
        guard selector <= 0xFFFF else {
          throw DebuggerError("\(hexDigits(selector)) is no segment")
        }
        base = context.segmentBase(selector: UInt16(selector))
        if base == nil {
          throw DebuggerError("no segment has the selector \(hexDigits(selector, 4))")
        }
      }
      let value = UInt32(truncatingIfNeeded: try offset.evaluate(context))
      return UInt64((base ?? 0) &+ value)
    case .cast(let inner, let type): return type.cut(try inner.evaluate(context))
    case .memory(let address, let size, let physical):
      let whole = try address.evaluate(context)
      let at = physical ? whole : whole & 0xFFFF_FFFF
      guard let value = context.load(at, size: size, physical: physical) else {
        throw DebuggerError("nothing is mapped at \(hexDigits(at, 8))")
      }
      return value
    case .binary: return try evaluateChain(context)
    }
  }

  /// A chain of operators that grows to the left, however long, without going down it.
  private func evaluateChain(_ context: any ExpressionContext) throws(DebuggerError) -> UInt64 {
    var first = self
    var rest: [(op: String, right: Expression)] = []
    while case .binary(let op, let left, let right) = first {
      rest.append((op, right))
      first = left
    }
    var value = try first.evaluate(context)
    for (op, right) in rest.reversed() {
      switch op {
      case "&&": value = value == 0 ? 0 : try right.evaluate(context) != 0 ? 1 : 0
      case "||": value = value != 0 ? 1 : try right.evaluate(context) != 0 ? 1 : 0
      default: value = try Expression.apply(op, value, try right.evaluate(context))
      }
    }
    return value
  }

  private static func apply(_ op: String, _ a: UInt64, _ b: UInt64) throws(DebuggerError) -> UInt64
  {
    let narrow = a >> 32 == 0 && b >> 32 == 0
    func cut(_ value: UInt64) -> UInt64 { narrow ? value & 0xFFFF_FFFF : value }
    switch op {
    case "+": return cut(a &+ b)
    case "-": return cut(a &- b)
    case "*": return cut(a &* b)
    case "/", "%":
      if b == 0 { throw DebuggerError("division by zero") }
      return op == "/" ? a / b : a % b
    case "&": return a & b
    case "|": return a | b
    case "^": return a ^ b
    case "<<": return b > 63 ? 0 : cut(a << b)
    case ">>": return b > 63 ? 0 : a >> b
    case "==": return a == b ? 1 : 0
    case "!=": return a != b ? 1 : 0
    case "<": return a < b ? 1 : 0
    case "<=": return a <= b ? 1 : 0
    case ">": return a > b ? 1 : 0
    default: return a >= b ? 1 : 0
    }
  }

  static func hexadecimal(_ text: some StringProtocol) -> UInt64? {
    guard let first = text.first, first.isHexDigit else { return nil }
    return UInt64(text, radix: 16)
  }
}

/// Reads expressions from the start of a text.
struct ExpressionParser {
  private enum Token: Equatable {
    case number(UInt64)
    case word(String)
    case op(String)
  }

  private var tokens: [Token] = []
  /// Where each token starts and ends, in characters.
  private var places: [(start: Int, end: Int)] = []
  private var at = 0
  private var depth = 0
  private let characters: [Character]
  private static let maximumDepth = 64
  /// Numbers, names and operators; a chain of them is as deep as it is long.
  private static let mostTokens = 8_192

  init(_ text: String) throws(DebuggerError) {
    characters = Array(text)
    var i = 0
    while i < characters.count {
      let c = characters[i]
      let start = i
      if c.isWhitespace {
        i += 1
        continue
      }
      if c.isNumber || c.isLetter || "_$.@?".contains(c) {
        while i < characters.count,
          characters[i].isLetter || characters[i].isNumber || "_$.@?".contains(characters[i])
        {
          i += 1
        }
        let word = String(characters[start..<i])
        if let first = word.first, first.isNumber {
          guard let value = ExpressionParser.number(word) else {
            throw DebuggerError("'\(word)' is no number (they are hexadecimal; 0n10 is decimal)")
          }
          tokens.append(.number(value))
        } else {
          tokens.append(.word(word))
        }
      } else if c == "'" {
        guard i + 2 < characters.count, characters[i + 2] == "'",
          let value = characters[i + 1].unicodeScalars.first?.value
        else { throw DebuggerError("a character stands between two '") }
        tokens.append(.number(UInt64(value)))
        i += 3
      } else {
        let two = i + 1 < characters.count ? String(characters[i...i + 1]) : ""
        if ["==", "!=", "<=", ">=", "<<", ">>", "&&", "||"].contains(two) {
          tokens.append(.op(two))
          i += 2
        } else if "+-*/%&|^~!<>()[]:,={}\"/;".contains(c) {
          tokens.append(.op(String(c)))
          i += 1
        } else {
          throw DebuggerError("'\(c)' is not understood")
        }
      }
      places.append((start, i))
      if tokens.count > ExpressionParser.mostTokens {
        throw DebuggerError(
          "the expression is too long: more than \(ExpressionParser.mostTokens) numbers, names and operators"
        )
      }
    }
  }

  /// 7C00, 0x7C00, 7C00h, 0n31744, 31744t.
  static func number(_ word: String) -> UInt64? {
    let text = word.lowercased().filter { $0 != "_" }
    if text.hasPrefix("0x") { return UInt64(text.dropFirst(2), radix: 16) }
    if text.hasPrefix("0n") { return UInt64(text.dropFirst(2), radix: 10) }
    if text.hasSuffix("h") { return UInt64(text.dropLast(), radix: 16) }
    if text.hasSuffix("t") { return UInt64(text.dropLast(), radix: 10) }
    return UInt64(text, radix: 16)
  }

  /// Whether everything was read.
  var isAtEnd: Bool { at == tokens.count }

  func end() throws(DebuggerError) {
    if at < tokens.count {
      let place = places[at]
      throw DebuggerError("'\(String(characters[place.start...]))' is too much")
    }
  }

  /// What has not been read, as text.
  var rest: String { at < tokens.count ? String(characters[places[at].start...]) : "" }

  /// Takes an operator if it comes next.
  mutating func accept(_ op: String) -> Bool {
    if at < tokens.count, tokens[at] == .op(op) {
      at += 1
      return true
    }
    return false
  }

  /// Takes a word if it comes next.
  mutating func acceptWord(_ word: String) -> Bool {
    if at < tokens.count, case .word(let next) = tokens[at], next.lowercased() == word {
      at += 1
      return true
    }
    return false
  }

  mutating func expression() throws(DebuggerError) -> Expression { try level(0) }

  /// Without comparisons and logic: what an address in a list is.
  mutating func address() throws(DebuggerError) -> Expression { try level(2) }

  private static let levels: [[String]] = [
    ["||"], ["&&"], ["==", "!=", "<", "<=", ">", ">="], ["&", "|", "^", "<<", ">>"], ["+", "-"],
    ["*", "/", "%"],
  ]
  /// Where sums are in `levels`.
  private static let sums = 4

  private mutating func level(_ n: Int) throws(DebuggerError) -> Expression {
    if n == ExpressionParser.levels.count { return try unary() }
    depth += 1
    defer { depth -= 1 }
    if depth > ExpressionParser.maximumDepth * ExpressionParser.levels.count {
      throw DebuggerError("the expression is nested too deeply")
    }
    var left = try level(n + 1)
    // Asked once for each operand: a long chain would be gone down again and again.
    var pointee = n == ExpressionParser.sums ? left.pointee : nil
    while at < tokens.count, case .op(let op) = tokens[at],
      ExpressionParser.levels[n].contains(op)
    {
      at += 1
      var right = try level(n + 1)
      if n == ExpressionParser.sums {
        // Elements of the type that a pointer leads to.
        let other = right.pointee
        if let type = pointee {
          if type.size > 1 && other == nil {
            right = .binary("*", right, .number(UInt64(type.size)))
          }
        } else if op == "+", let type = other {
          if type.size > 1 { left = .binary("*", left, .number(UInt64(type.size))) }
          pointee = type
        }
      }
      left = .binary(op, left, right)
    }
    return left
  }

  private enum Prefix {
    case op(String)
    case cast(CType)
    case braces(CType)
  }

  private mutating func prefix() throws(DebuggerError) -> Prefix? {
    guard at < tokens.count, case .op(let op) = tokens[at] else { return nil }
    switch op {
    case "-", "~", "!", "+", "*", "&":
      at += 1
      return .op(op)
    case "(":
      guard let (type, next) = type(from: at + 1, isSure: false), next < tokens.count,
        tokens[next] == .op(")")
      else { return nil }
      at = next + 1
      return .cast(type)
    case "{":
      guard let (type, next) = type(from: at + 1, isSure: true), next < tokens.count,
        tokens[next] == .op("}")
      else { throw DebuggerError("a type stands between { }: {char}, {short}, {int}, {long long}") }
      at = next + 1
      return .braces(type)
    default: return nil
    }
  }

  /// A type's words and stars.
  private func type(from start: Int, isSure: Bool) -> (CType, Int)? {
    var words: [String] = []
    var stars = 0
    var n = start
    while n < tokens.count, n < start + 12 {
      if case .word(let word) = tokens[n], stars == 0 {
        words.append(word)
      } else if tokens[n] == .op("*") {
        stars += 1
      } else {
        break
      }
      n += 1
    }
    return CType(words, stars: stars, isSure: isSure).map { ($0, n) }
  }

  private mutating func unary() throws(DebuggerError) -> Expression {
    var prefixes: [Prefix] = []
    while let next = try prefix() {
      if prefixes.count > ExpressionParser.maximumDepth {
        throw DebuggerError("the expression is nested too deeply")
      }
      prefixes.append(next)
    }
    var value = try far()
    for prefix in prefixes.reversed() {
      switch prefix {
      case .op("+"): break
      case .op("*"): value = ExpressionParser.memory(value, value.pointee ?? .int)
      case .op("&"): value = value.place?.address ?? value
      case .op(let op): value = .unary(op, value)
      case .cast(let type): value = .cast(value, type)
      case .braces(let type): value = ExpressionParser.memory(value, type)
      }
    }
    return value
  }

  private static func memory(_ address: Expression, _ type: CType) -> Expression {
    let memory = Expression.memory(address, size: type.size, physical: false)
    return type.isSigned || type.depth > 0 ? .cast(memory, type) : memory
  }

  private mutating func far() throws(DebuggerError) -> Expression {
    let first = try primary()
    if accept(":") { return .far(first, try primary()) }
    return first
  }

  private mutating func primary() throws(DebuggerError) -> Expression {
    guard at < tokens.count else { throw DebuggerError("a value is missing") }
    let token = tokens[at]
    at += 1
    switch token {
    case .number(let value): return .number(value)
    case .word(let word):
      let sizes = ["byte": 1, "word": 2, "dword": 4, "qword": 8]
      if let size = sizes[word.lowercased()], at < tokens.count, tokens[at] == .op("[") {
        at += 1
        return try memory(size: size)
      }
      return .name(word)
    case .op("("):
      let inner = try expression()
      if !accept(")") { throw DebuggerError("')' is missing") }
      return inner
    case .op("["): return try memory(size: nil)
    case .op(let op): throw DebuggerError("a value is missing before '\(op)'")
    }
  }

  private mutating func memory(size given: Int?) throws(DebuggerError) -> Expression {
    var size = given ?? 4
    if given == nil, at + 1 < tokens.count, case .word(let word) = tokens[at] {
      let sizes = ["b": 1, "w": 2, "d": 4, "q": 8]
      if let s = sizes[word.lowercased()], tokens[at + 1] != .op("]"), !startsOperator(at + 1) {
        size = s
        at += 1
      }
    }
    var physical = false
    if at + 1 < tokens.count, case .word(let word) = tokens[at], word.lowercased() == "p",
      tokens[at + 1] == .op(":")
    {
      physical = true
      at += 2
    }
    let address = try expression()
    if !accept("]") { throw DebuggerError("']' is missing") }
    return .memory(address, size: size, physical: physical)
  }

  /// Whether the token is an operator between two values (so that the word before it is a value, not a size).
  private func startsOperator(_ n: Int) -> Bool {
    guard case .op(let op) = tokens[n] else { return false }
    return !["(", "[", "-", "~", "!"].contains(op)
  }
}
