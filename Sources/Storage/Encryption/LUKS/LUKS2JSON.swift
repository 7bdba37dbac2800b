// JSON as LUKS2 has it, from a file that anybody may have made.
//
// Owns: reading it in bounded time and memory. Must not know: what its members mean.
// After: RFC 8259; LUKS2 On-Disk Format Specification 1.1.3, section 3 (numbers of 64 bits are strings).

/// A value. Numbers are whole and not negative; others are kept as `other`, as nothing here has them.
indirect enum LUKS2JSON: Equatable {
  case object([String: LUKS2JSON])
  case array([LUKS2JSON])
  case text(String)
  case number(UInt64)
  case flag(Bool)
  case other

  struct Refusal: Error {
    var at: Int
    var reason: String
  }

  private static let deepest = 16
  private static let mostValues = 20_000

  /// Reads one value, behind which there may be nothing but white space.
  static func read(_ bytes: [UInt8]) throws(Refusal) -> LUKS2JSON {
    var reader = Reader(bytes: bytes)
    let value = try reader.value(0)
    reader.skip()
    if reader.at < bytes.count { throw reader.refuse("something behind the end") }
    return value
  }

  private struct Reader {
    let bytes: [UInt8]
    var at = 0
    var values = 0

    func refuse(_ reason: String) -> Refusal { Refusal(at: at, reason: reason) }

    var next: UInt8 { at < bytes.count ? bytes[at] : 0 }

    mutating func skip() {
      while [0x20, 0x09, 0x0A, 0x0D].contains(next), at < bytes.count { at += 1 }
    }

    mutating func take(_ byte: UInt8) throws(Refusal) {
      skip()
      if next != byte { throw refuse("'\(Character(UnicodeScalar(byte)))' is missing") }
      at += 1
    }

    mutating func value(_ depth: Int) throws(Refusal) -> LUKS2JSON {
      values += 1
      if depth > LUKS2JSON.deepest { throw refuse("nested too deep") }
      if values > LUKS2JSON.mostValues { throw refuse("too many values") }
      skip()
      switch next {
      case UInt8(ascii: "{"): return try object(depth)
      case UInt8(ascii: "["):
        at += 1
        var items: [LUKS2JSON] = []
        skip()
        if next == UInt8(ascii: "]") {
          at += 1
          return .array([])
        }
        while true {
          items.append(try value(depth + 1))
          skip()
          if next == UInt8(ascii: "]") { break }
          try take(UInt8(ascii: ","))
        }
        at += 1
        return .array(items)
      case UInt8(ascii: "\""): return .text(try text())
      case UInt8(ascii: "t"): return try word("true", .flag(true))
      case UInt8(ascii: "f"): return try word("false", .flag(false))
      case UInt8(ascii: "n"): return try word("null", .other)
      case UInt8(ascii: "-"), 0x30...0x39: return try number()
      default: throw refuse("no value")
      }
    }

    private mutating func word(_ word: String, _ value: LUKS2JSON) throws(Refusal) -> LUKS2JSON {
      guard bytes[at...].starts(with: word.utf8) else { throw refuse("no value") }
      at += word.utf8.count
      return value
    }

    private mutating func object(_ depth: Int) throws(Refusal) -> LUKS2JSON {
      at += 1
      var members: [String: LUKS2JSON] = [:]
      skip()
      if next == UInt8(ascii: "}") {
        at += 1
        return .object([:])
      }
      while true {
        skip()
        if next != UInt8(ascii: "\"") { throw refuse("a name is missing") }
        let name = try text()
        try take(UInt8(ascii: ":"))
        if members.updateValue(try value(depth + 1), forKey: name) != nil {
          throw refuse("a name twice")
        }
        skip()
        if next == UInt8(ascii: "}") { break }
        try take(UInt8(ascii: ","))
      }
      at += 1
      return .object(members)
    }

    private mutating func number() throws(Refusal) -> LUKS2JSON {
      let start = at
      while "+-.eE0123456789".utf8.contains(next), at < bytes.count { at += 1 }
      if at - start > 32 { throw refuse("a number of too many digits") }
      return UInt64(String(decoding: bytes[start..<at], as: UTF8.self)).map { .number($0) }
        ?? .other
    }

    private mutating func text() throws(Refusal) -> String {
      at += 1
      var result: [UInt8] = []
      while true {
        if at >= bytes.count { throw refuse("a text without an end") }
        let byte = bytes[at]
        if byte < 0x20 { throw refuse("a control character in a text") }
        at += 1
        if byte == UInt8(ascii: "\"") { break }
        if byte != UInt8(ascii: "\\") {
          result.append(byte)
          continue
        }
        let escape = next
        at += 1
        switch escape {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(escape)
        case UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"),
          UInt8(ascii: "t"):
          result.append(0x20)
        case UInt8(ascii: "u"):
          guard at + 4 <= bytes.count,
            let code = UInt32(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16)
          else { throw refuse("an escape that is none") }
          at += 4
          // Labels may have others; none of them is used.
          let scalar = UnicodeScalar(code).map { $0.value < 0x20 ? "?" : $0 } ?? "?"
          result += Array(String(Character(scalar)).utf8)
        default: throw refuse("an escape that is none")
        }
      }
      guard let text = String(validating: result, as: UTF8.self) else {
        throw refuse("a text that is no UTF-8")
      }
      return text
    }
  }

  // MARK: Members

  subscript(_ name: String) -> LUKS2JSON? {
    guard case .object(let members) = self else { return nil }
    return members[name]
  }

  var string: String? {
    guard case .text(let text) = self else { return nil }
    return text
  }

  /// A number, or a text that is one.
  var unsigned: UInt64? {
    switch self {
    case .number(let number): number
    case .text(let text): text.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } ? UInt64(text) : nil
    default: nil
    }
  }

  var items: [LUKS2JSON]? {
    guard case .array(let items) = self else { return nil }
    return items
  }

  /// Members whose names are numbers, ascending.
  var numbered: [(number: Int, value: LUKS2JSON)]? {
    guard case .object(let members) = self else { return nil }
    var result: [(number: Int, value: LUKS2JSON)] = []
    for (name, value) in members {
      guard let number = Int(name), number >= 0, number < 1024, name == "\(number)" else {
        return nil
      }
      result.append((number, value))
    }
    return result.sorted { $0.number < $1.number }
  }

  /// The bytes of a text in base64 (RFC 4648, section 4).
  var base64: [UInt8]? {
    guard case .text(let text) = self, text.utf8.count % 4 == 0 else { return nil }
    var result: [UInt8] = []
    var (bits, count): (UInt32, Int) = (0, 0)
    var padding = 0
    for byte in text.utf8 {
      let value: UInt32
      switch byte {
      case 0x41...0x5A: value = UInt32(byte - 0x41)
      case 0x61...0x7A: value = UInt32(byte - 0x61 + 26)
      case 0x30...0x39: value = UInt32(byte - 0x30 + 52)
      case 0x2B: value = 62
      case 0x2F: value = 63
      case 0x3D:
        padding += 1
        continue
      default: return nil
      }
      if padding > 0 { return nil }
      bits = bits << 6 | value
      count += 6
      if count >= 8 {
        count -= 8
        result.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
      }
    }
    return padding <= 2 ? result : nil
  }
}
