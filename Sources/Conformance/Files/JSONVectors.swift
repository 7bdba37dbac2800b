// SingleStepTests in JSON.
//
// Owns: a small JSON reader that keeps offsets for messages, and the keys of the suites' tests. Must not know: how a test is run.
// Follows: RFC 8259; the SingleStepTests repositories (name, bytes, initial and final with regs and ram, exception, idx, hash).

/// A JSON value; numbers are whole.
indirect enum JSONValue {
  case null
  case bool(Bool)
  case number(Int64)
  case text(String)
  case list([JSONValue])
  case object([String: JSONValue])

  subscript(key: String) -> JSONValue? {
    if case .object(let members) = self { return members[key] }
    return nil
  }
  var list: [JSONValue]? {
    if case .list(let values) = self { return values }
    return nil
  }
  var members: [String: JSONValue]? {
    if case .object(let members) = self { return members }
    return nil
  }
  var text: String? {
    if case .text(let text) = self { return text }
    return nil
  }
  var number: Int64? {
    if case .number(let value) = self { return value }
    return nil
  }
}

/// Reads JSON text.
struct JSONReader {
  private let bytes: [UInt8]
  private let path: String
  private(set) var at = 0
  private static let deepest = 64

  init(_ bytes: [UInt8], path: String) {
    self.bytes = bytes
    self.path = path
  }

  func error(_ reason: String) -> VectorFileError {
    VectorFileError(path: path, offset: at, reason: reason)
  }

  mutating func skipSpace() {
    while at < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[at]) { at += 1 }
  }

  /// The next character that is no space, without passing it.
  mutating func peek() throws(VectorFileError) -> UInt8 {
    skipSpace()
    if at >= bytes.count { throw error("the text ends early") }
    return bytes[at]
  }

  mutating func expect(_ character: Character) throws(VectorFileError) {
    let found = try peek()
    if found != character.asciiValue { throw error("'\(character)' expected") }
    at += 1
  }

  var isAtEnd: Bool { at >= bytes.count }

  mutating func value(depth: Int = 0) throws(VectorFileError) -> JSONValue {
    if depth > JSONReader.deepest { throw error("nested too deep") }
    switch try peek() {
    case UInt8(ascii: "{"):
      at += 1
      var members: [String: JSONValue] = [:]
      if try peek() == UInt8(ascii: "}") {
        at += 1
        return .object(members)
      }
      while true {
        if try peek() != UInt8(ascii: "\"") { throw error("a key expected") }
        let key = try string()
        try expect(":")
        members[key] = try value(depth: depth + 1)
        if try peek() == UInt8(ascii: ",") {
          at += 1
          continue
        }
        try expect("}")
        return .object(members)
      }
    case UInt8(ascii: "["):
      at += 1
      var values: [JSONValue] = []
      if try peek() == UInt8(ascii: "]") {
        at += 1
        return .list(values)
      }
      while true {
        values.append(try value(depth: depth + 1))
        if try peek() == UInt8(ascii: ",") {
          at += 1
          continue
        }
        try expect("]")
        return .list(values)
      }
    case UInt8(ascii: "\""): return .text(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return .number(try number())
    }
  }

  /// Reads an object; `body` reads the value of each key.
  mutating func members(
    _ body: (inout JSONReader, String) throws(VectorFileError) -> Void
  ) throws(VectorFileError) {
    try expect("{")
    if try peek() == UInt8(ascii: "}") {
      at += 1
      return
    }
    while true {
      if try peek() != UInt8(ascii: "\"") { throw error("a key expected") }
      let key = try string()
      try expect(":")
      _ = try peek()
      try body(&self, key)
      if try peek() == UInt8(ascii: ",") {
        at += 1
        continue
      }
      return try expect("}")
    }
  }

  /// Reads a list; `body` reads each value.
  mutating func elements(_ body: (inout JSONReader) throws(VectorFileError) -> Void)
    throws(VectorFileError)
  {
    try expect("[")
    if try peek() == UInt8(ascii: "]") {
      at += 1
      return
    }
    while true {
      try body(&self)
      if try peek() == UInt8(ascii: ",") {
        at += 1
        continue
      }
      return try expect("]")
    }
  }

  private mutating func word(_ word: String, _ value: JSONValue) throws(VectorFileError)
    -> JSONValue
  {
    let text = Array(word.utf8)
    if bytes.count - at < text.count || Array(bytes[at..<at + text.count]) != text {
      throw error("no JSON value")
    }
    at += text.count
    return value
  }

  private mutating func number() throws(VectorFileError) -> Int64 {
    let start = at
    var negative = false
    if bytes[at] == UInt8(ascii: "-") {
      negative = true
      at += 1
    }
    var value: Int64 = 0
    var digits = 0
    while at < bytes.count, bytes[at] >= 0x30, bytes[at] <= 0x39 {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(Int64(bytes[at] - 0x30))
      if overflow || carry { throw error("a number of more than 64 bits") }
      value = sum
      at += 1
      digits += 1
    }
    if digits == 0 {
      at = start
      throw error("no JSON value")
    }
    if at < bytes.count, [0x2E, 0x65, 0x45].contains(bytes[at]) {
      throw error("a number that is not whole")
    }
    return negative ? -value : value
  }

  private mutating func string() throws(VectorFileError) -> String {
    at += 1
    var text: [UInt8] = []
    while true {
      if at >= bytes.count { throw error("the text ends in a string") }
      let byte = bytes[at]
      at += 1
      if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
      if byte != UInt8(ascii: "\\") {
        text.append(byte)
        continue
      }
      if at >= bytes.count { throw error("the text ends in a string") }
      let escape = bytes[at]
      at += 1
      switch escape {
      case UInt8(ascii: "n"): text.append(0x0A)
      case UInt8(ascii: "t"): text.append(0x09)
      case UInt8(ascii: "r"): text.append(0x0D)
      case UInt8(ascii: "u"):
        guard bytes.count - at >= 4,
          let code = UInt32(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16)
        else { throw error("a \\u without four digits") }
        at += 4
        text.append(contentsOf: String(UnicodeScalar(code) ?? "?").utf8)
      default: text.append(escape)
      }
    }
  }
}

extension MOOFile {
  private static let wordNames = [
    "ax": 0, "bx": 1, "cx": 2, "dx": 3, "cs": 4, "ss": 5, "ds": 6, "es": 7, "sp": 8, "bp": 9,
    "si": 10, "di": 11, "ip": 12, "flags": 13,
  ]
  private static let dwordNames = [
    "cr0": 0, "cr3": 1, "eax": 2, "ebx": 3, "ecx": 4, "edx": 5, "esi": 6, "edi": 7, "ebp": 8,
    "esp": 9, "cs": 10, "ds": 11, "es": 12, "fs": 13, "gs": 14, "ss": 15, "eip": 16,
    "eflags": 17, "dr6": 18, "dr7": 19,
  ]

  /// Reads tests in JSON; `cpu` stays empty, because the format does not tell it, except "386E" for 32-bit registers.
  init(json bytes: [UInt8], path: String, wanted: (Int) -> Bool = { _ in true })
    throws(VectorFileError)
  {
    self.init(cpu: "", tests: [])
    var reader = JSONReader(bytes, path: path)
    try reader.expect("[")
    var ordinal = 0
    if try reader.peek() != UInt8(ascii: "]") {
      while true {
        reader.skipSpace()
        let start = reader.at
        let value = try reader.value()
        if wanted(ordinal) {
          guard let test = MOOFile.test(value, ordinal) else {
            throw VectorFileError(
              path: path, offset: start,
              reason: "test \(ordinal) is not one of an x86 processor (initial, final, regs, ram)")
          }
          tests.append(test)
          if test.is32Bit { cpu = "386E" }
        }
        ordinal += 1
        if try reader.peek() == UInt8(ascii: ",") {
          try reader.expect(",")
          continue
        }
        break
      }
    }
    try reader.expect("]")
    reader.skipSpace()
    if !reader.isAtEnd { throw reader.error("more text after the tests") }
  }

  private static func test(_ value: JSONValue, _ ordinal: Int) -> MOOTest? {
    guard let initial = value["initial"], let final = value["final"],
      let before = state(initial, complete: true), let after = state(final, complete: false)
    else { return nil }
    var test = MOOTest()
    test.index = UInt32(truncatingIfNeeded: value["idx"]?.number ?? Int64(ordinal))
    test.name = value["name"]?.text ?? ""
    test.bytes = (value["bytes"]?.list ?? []).map {
      UInt8(truncatingIfNeeded: $0.number ?? 0)
    }
    test.initial = before
    test.final = after
    test.hash = value["hash"]?.text ?? value["test_hash"]?.text ?? ""
    if let exception = value["exception"], let number = exception["number"]?.number {
      test.exception = (
        UInt8(truncatingIfNeeded: number),
        UInt32(truncatingIfNeeded: exception["flag_address"]?.number ?? 0)
      )
    }
    return test
  }

  private static func state(_ value: JSONValue, complete: Bool) -> MOOState? {
    guard case .object(let registers)? = value["regs"] else { return nil }
    var state = MOOState()
    let wide = registers["eip"] != nil || registers["eax"] != nil || registers["eflags"] != nil
    for (name, entry) in registers {
      guard let number = entry.number else { return nil }
      if let n = wordNames[name] {
        state.registers.words[n] = UInt16(truncatingIfNeeded: number)
      }
      if let n = dwordNames[name] {
        state.registers.dwords[n] = UInt32(truncatingIfNeeded: number)
      }
    }
    if complete && registers[wide ? "eip" : "ip"] == nil { return nil }
    for entry in value["ram"]?.list ?? [] {
      guard let pair = entry.list, pair.count >= 2, let address = pair[0].number,
        let byte = pair[1].number
      else { return nil }
      state.memory.append(
        (UInt32(truncatingIfNeeded: address), UInt8(truncatingIfNeeded: byte)))
    }
    return state
  }
}
