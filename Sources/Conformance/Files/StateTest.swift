// Tests in JSON: an image or a few bytes of code, the registers and memory it starts from, and those it must end with.
//
// Owns: the schema, reading and writing it. Must not know: how a test is run (StateTestRunner).
//
// The schema; numbers are hexadecimal text ("1F80", "0x1F80", spaces allowed) or JSON numbers (decimal):
//
//     {
//       "format": "apus-state-test/1",    this line tells the file from others
//       "name": "...",                    for reports; the file's name otherwise
//       "cpu": "pentium4",                the model; what --cpu says or pentium4 otherwise
//       "image": "add.bin",               a file beside this one, or
//       "code": "01 D8 F4",               bytes in its place
//       "mode": "real",                   real, protected16, protected32 (level 0, flat), user16, user32, user32-flat (level 3)
//       "address": "7C00",                linear address of image or code
//       "entry": "7C00",                  EIP at the start; the image's first byte otherwise
//       "limit": 1000000,                 instructions after which it has failed
//       "initial": { STATE },
//       "expected": { STATE, "exception": { "vector": "0D", "error": "0" } }
//     }
//
// STATE: eax ecx edx ebx esp ebp esi edi eip eflags, es cs ss ds fs gs, cr0 cr2 cr3 cr4, fcw fsw ftw fop fip fcs fdp fds,
// st0-st7 (20 digits: sign and exponent, significand), mm0-mm7 (16), xmm0-xmm7 (32, highest bits first), mxcsr; "memory": a list of
// { "address": ..., "bytes": ... } at linear addresses, with "repeat": N the bytes N times; the code is laid over them. In "expected" a NAME-mask says which bits count ("eflags-mask": "8D5"), and
// "exception" may be the vector alone; without it the program must end in HLT.
//
// Without "mode" the file only judges: the image is a ROM or a kernel in a whole machine (apus conform program IMAGE --expect-state).

import CPU

/// Registers and memory by name.
public struct StateValues: Sendable {
  /// By name; masks under NAME-mask.
  public var registers: [String: UInt128] = [:]
  /// Bytes at linear addresses.
  public var memory: [(address: UInt32, bytes: [UInt8])] = []

  public init() {}

  /// Hexadecimal digits of a register; nil: no such register.
  static func digits(_ name: String) -> Int? {
    switch name {
    case "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags", "cr0", "cr2",
      "cr3", "cr4", "mxcsr", "fip", "fdp":
      return 8
    case "es", "cs", "ss", "ds", "fs", "gs", "fcw", "fsw", "ftw", "fop", "fcs", "fds": return 4
    default:
      for (prefix, digits) in [("st", 20), ("mm", 16), ("xmm", 32)] where name.hasPrefix(prefix) {
        let rest = name.dropFirst(prefix.count)
        if rest.count == 1, let n = rest.first?.wholeNumberValue, n < 8 { return digits }
      }
      return nil
    }
  }
}

/// A test as its file says.
public struct StateTest: Sendable {
  /// What the processor is set up as.
  public enum Mode: String, Sendable, CaseIterable {
    case real, protected16, protected32, user16, user32
    case flat = "user32-flat"
  }
  /// An exception that ends a test.
  public struct Exception: Sendable, Equatable {
    public var vector: UInt8
    public var error: UInt32?
  }

  public var path: String
  public var name: String
  public var cpu: CPUModel?
  public var image: String?
  public var code: [UInt8] = []
  public var mode: Mode?
  public var address: UInt32?
  public var entry: UInt32?
  public var limit: UInt64 = 10_000_000
  public var initial = StateValues()
  public var expected = StateValues()
  public var exception: Exception?
  /// A sentence for readers of the file.
  public var note = ""

  static let format = "apus-state-test/1"

  init(path: String, name: String) {
    self.path = path
    self.name = name
  }

  /// Whether the first bytes of a file are those of a test.
  static func isTest(_ head: ArraySlice<UInt8>) -> Bool {
    String(decoding: head, as: UTF8.self).contains("\"apus-state-test/")
  }

  // MARK: - Reading

  /// Reads a test.
  /// - Throws: `VectorFileError` with the offset of what is wrong.
  public init(bytes: [UInt8], path: String) throws(VectorFileError) {
    self.path = path
    name = String(path.split(separator: "/").last ?? "")
    var reader = JSONReader(bytes, path: path)
    var known = false
    var read = self
    try reader.members { reader, key throws(VectorFileError) in
      switch key {
      case "format":
        let format = try StateTest.text(&reader)
        if format != StateTest.format {
          throw reader.error("format '\(format)'; this program knows \(StateTest.format)")
        }
        known = true
      case "name": read.name = try StateTest.text(&reader)
      case "note", "assembly": read.note = try StateTest.text(&reader)
      case "cpu":
        let name = try StateTest.text(&reader)
        guard let model = CPUModel.named(name) else { throw reader.error("no model '\(name)'") }
        read.cpu = model
      case "image": read.image = try StateTest.text(&reader)
      case "code": read.code = try StateTest.bytes(&reader)
      case "mode":
        let name = try StateTest.text(&reader)
        guard let mode = Mode(rawValue: name) else {
          let names = Mode.allCases.map(\.rawValue).joined(separator: ", ")
          throw reader.error("mode '\(name)'; there are \(names)")
        }
        read.mode = mode
      case "address": read.address = UInt32(try StateTest.number(&reader, digits: 8))
      case "entry": read.entry = UInt32(try StateTest.number(&reader, digits: 8))
      case "limit": read.limit = UInt64(try StateTest.number(&reader, digits: 12))
      case "initial": read.initial = try StateTest.values(&reader, &read.exception, final: false)
      case "expected": read.expected = try StateTest.values(&reader, &read.exception, final: true)
      default: throw reader.error("unknown key '\(key)'")
      }
    }
    reader.skipSpace()
    if !reader.isAtEnd { throw reader.error("something after the test") }
    if !known { throw reader.error("no \"format\": \"\(StateTest.format)\"") }
    if read.mode == nil && (!read.code.isEmpty || read.address != nil || read.entry != nil) {
      throw reader.error("\"code\", \"address\" and \"entry\" need a \"mode\"")
    }
    self = read
  }

  private static func text(_ reader: inout JSONReader) throws(VectorFileError) -> String {
    let before = reader
    guard let text = try reader.value().text else { throw before.error("a text expected") }
    return text
  }

  /// A hexadecimal text or a decimal number of at most so many hexadecimal digits.
  private static func number(_ reader: inout JSONReader, digits: Int) throws(VectorFileError)
    -> UInt128
  {
    let before = reader
    var result: UInt128?
    switch try reader.value() {
    case .number(let value): result = value >= 0 ? UInt128(value) : nil
    case .text(let text):
      var plain = text.filter { $0 != " " && $0 != "_" }
      if plain.lowercased().hasPrefix("0x") { plain = String(plain.dropFirst(2)) }
      if plain.first != "-" && plain.first != "+" { result = UInt128(plain, radix: 16) }
    default: break
    }
    guard let result, digits >= 32 || result >> UInt128(4 * digits) == 0 else {
      throw before.error("a number of up to \(digits) hexadecimal digits expected")
    }
    return result
  }

  private static func bytes(_ reader: inout JSONReader) throws(VectorFileError) -> [UInt8] {
    let before = reader
    guard let text = try reader.value().text else {
      throw before.error("bytes expected, as hexadecimal text")
    }
    var bytes: [UInt8] = []
    var high: UInt8?
    for character in text.utf8 where character != 0x20 && character != 0x0A {
      guard let digit = Character(UnicodeScalar(character)).hexDigitValue else {
        throw before.error("bytes expected, as hexadecimal text")
      }
      if let first = high {
        bytes.append(first << 4 | UInt8(digit))
        high = nil
      } else {
        high = UInt8(digit)
      }
    }
    if high != nil { throw before.error("an odd number of hexadecimal digits") }
    return bytes
  }

  private static func values(
    _ reader: inout JSONReader, _ exception: inout Exception?, final: Bool
  ) throws(VectorFileError) -> StateValues {
    var values = StateValues()
    var found = exception
    try reader.members { reader, key throws(VectorFileError) in
      switch key {
      case "memory":
        try reader.elements { reader throws(VectorFileError) in
          var address: UInt32?
          var content: [UInt8] = []
          var count = 1
          try reader.members { reader, key throws(VectorFileError) in
            switch key {
            case "address": address = UInt32(try number(&reader, digits: 8))
            case "bytes": content = try bytes(&reader)
            case "repeat": count = Int(try number(&reader, digits: 7))
            default: throw reader.error("unknown key '\(key)' of a piece of memory")
            }
          }
          guard let address else { throw reader.error("memory without \"address\"") }
          if content.count * count > 16 << 20 { throw reader.error("more than 16 MB of memory") }
          values.memory.append((address, (0..<count).flatMap { _ in content }))
        }
      case "exception" where final:
        if try reader.peek() != UInt8(ascii: "{") {
          found = Exception(vector: UInt8(try number(&reader, digits: 2)))
          return
        }
        var one = Exception(vector: 0)
        try reader.members { reader, key throws(VectorFileError) in
          switch key {
          case "vector": one.vector = UInt8(try number(&reader, digits: 2))
          case "error": one.error = UInt32(try number(&reader, digits: 8))
          default: throw reader.error("unknown key '\(key)' of an exception")
          }
        }
        found = one
      default:
        let isMask = final && key.hasSuffix("-mask")
        guard let digits = StateValues.digits(isMask ? String(key.dropLast(5)) : key) else {
          throw reader.error("no register '\(key)'")
        }
        values.registers[key] = try number(&reader, digits: digits)
      }
    }
    exception = found
    return values
  }

  // MARK: - Writing

  /// The test as JSON.
  public func json() -> String {
    func quoted(_ text: String) -> String {
      var result = "\""
      for character in text.unicodeScalars {
        switch character {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        default: if character.value >= 0x20 { result += String(Character(character)) }
        }
      }
      return result + "\""
    }
    var lines = ["  \"format\": \(quoted(StateTest.format))", "  \"name\": \(quoted(name))"]
    if !note.isEmpty { lines.append("  \"assembly\": \(quoted(note))") }
    if let cpu { lines.append("  \"cpu\": \(quoted(cpu.name))") }
    if let image { lines.append("  \"image\": \(quoted(image))") }
    if !code.isEmpty {
      lines.append("  \"code\": \(quoted(code.map { hexByte($0) }.joined(separator: " ")))")
    }
    if let mode { lines.append("  \"mode\": \(quoted(mode.rawValue))") }
    if let address { lines.append("  \"address\": \(quoted(StateTest.hex(UInt128(address), 8)))") }
    if let entry { lines.append("  \"entry\": \(quoted(StateTest.hex(UInt128(entry), 8)))") }
    lines.append("  \"initial\": {\n\(body(initial, nil))\n  }")
    lines.append("  \"expected\": {\n\(body(expected, exception))\n  }")
    return "{\n" + lines.joined(separator: ",\n") + "\n}\n"
  }

  private func body(_ values: StateValues, _ exception: Exception?) -> String {
    var lines: [String] = []
    for (name, value) in values.registers.sorted(by: { StateTest.order($0.key, $1.key) }) {
      let plain = name.hasSuffix("-mask") ? String(name.dropLast(5)) : name
      lines.append("    \"\(name)\": \"\(StateTest.hex(value, StateValues.digits(plain) ?? 8))\"")
    }
    if !values.memory.isEmpty {
      let pieces = values.memory.map { piece in
        let isFill = piece.bytes.count > 16 && piece.bytes.allSatisfy { $0 == piece.bytes[0] }
        let bytes = isFill ? [piece.bytes[0]] : piece.bytes
        let more = isFill ? ", \"repeat\": \(piece.bytes.count)" : ""
        return "      { \"address\": \"\(StateTest.hex(UInt128(piece.address), 8))\", \"bytes\": "
          + "\"\(bytes.map { hexByte($0) }.joined(separator: " "))\"\(more) }"
      }
      lines.append("    \"memory\": [\n\(pieces.joined(separator: ",\n"))\n    ]")
    }
    if let exception {
      let error = exception.error.map { ", \"error\": \"\(StateTest.hex(UInt128($0), 4))\"" } ?? ""
      lines.append(
        "    \"exception\": { \"vector\": \"\(hexByte(exception.vector))\"\(error) }")
    }
    return lines.joined(separator: ",\n")
  }

  private static func order(_ a: String, _ b: String) -> Bool {
    let names = [
      "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags", "es", "cs", "ss",
      "ds", "fs", "gs", "cr", "f", "st", "mm", "xmm", "mxcsr",
    ]
    func rank(_ name: String) -> Int { names.firstIndex { name.hasPrefix($0) } ?? 99 }
    return (rank(a), a) < (rank(b), b)
  }

  static func hex(_ value: UInt128, _ digits: Int) -> String {
    let text = String(value, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }
}
