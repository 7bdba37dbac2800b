// The line protocol of device tests: what a line asks for.
//
// Owns: words, numbers, data in hexadecimal and base 64. Must not know: what a machine does with them.
// Follows: QEMU's docs/devel/testing/qtest (qtest protocol). Numbers are as strtoul reads them with base 0.

/// What a line asks for.
enum DeviceLine: Equatable {
  case portRead(UInt16, width: Int)
  case portWrite(UInt16, UInt32, width: Int)
  case memoryRead(UInt64, width: Int)
  case memoryWrite(UInt64, UInt64, width: Int)
  /// A run of bytes; the answer is hexadecimal, or base 64.
  case read(UInt64, count: Int, base64: Bool)
  case write(UInt64, [UInt8])
  case fill(UInt64, count: Int, UInt8)
  /// Nil: to the next event.
  case step(UInt64?)
  case clock(UInt64)
  case interceptInputs(of: String)
  case setInput(of: String, UInt64, Bool)
  case endianness
  /// Not of the protocol: a floppy goes into drive A (0) or B, or out of it.
  case floppy(drive: Int, file: String?)
  /// The same for a disc and a CD drive (0: the first).
  case cd(drive: Int, file: String?)

  /// A line that asks for nothing that can be done.
  struct Refusal: Error, Equatable {
    var reason: String
    init(_ reason: String) { self.reason = reason }
  }

  /// The most bytes that a line moves.
  static let mostBytes = 1 << 26

  /// Nil: an empty line, or a comment (`#`).
  init?(_ line: [UInt8]) throws(Refusal) {
    let words = line.split { $0 == 0x20 || $0 == 0x09 }
    guard let first = words.first, first.first != 0x23 else { return nil }
    let name = String(decoding: first, as: UTF8.self)
    guard let need = DeviceLine.words[name] else { throw Refusal("Unknown command '\(name)'") }
    guard need.contains(words.count - 1) else {
      throw Refusal("\(name): \(words.count - 1) values, wanted \(need.lowerBound)")
    }
    func number(_ index: Int) throws(Refusal) -> UInt64 {
      guard let value = DeviceLine.number(words[index]) else {
        throw Refusal("\(name): '\(String(decoding: words[index], as: UTF8.self))' is no number")
      }
      return value
    }
    func port() throws(Refusal) -> UInt16 {
      guard let port = UInt16(exactly: try number(1)) else {
        throw Refusal("\(name): ports are 0 to 0xffff")
      }
      return port
    }
    func count() throws(Refusal) -> Int {
      let value = try number(2)
      guard value <= UInt64(DeviceLine.mostBytes), value > 0 || name == "memset" else {
        throw Refusal("\(name): 1 to \(DeviceLine.mostBytes) bytes")
      }
      return Int(value)
    }
    func text(_ index: Int) -> String { String(decoding: words[index], as: UTF8.self) }
    switch name {
    case "inb", "inw", "inl":
      self = .portRead(try port(), width: DeviceLine.width(name))
    case "outb", "outw", "outl":
      self = .portWrite(
        try port(), UInt32(truncatingIfNeeded: try number(2)), width: DeviceLine.width(name))
    case "readb", "readw", "readl", "readq":
      self = .memoryRead(try number(1), width: DeviceLine.width(name))
    case "writeb", "writew", "writel", "writeq":
      self = .memoryWrite(try number(1), try number(2), width: DeviceLine.width(name))
    case "read", "b64read":
      self = .read(try number(1), count: try count(), base64: name == "b64read")
    case "write", "b64write":
      let count = try count()
      let data = name == "write" ? DeviceLine.hexadecimal(words[3]) : DeviceLine.base64(words[3])
      guard var bytes = data else { throw Refusal("\(name): the data is none") }
      bytes = Array(bytes.prefix(count))
      // What is not given is 0; in base 64 it is not written.
      if name == "write" { bytes += [UInt8](repeating: 0, count: count - bytes.count) }
      self = .write(try number(1), bytes)
    case "memset":
      self = .fill(
        try number(1), count: try count(), UInt8(truncatingIfNeeded: try number(3)))
    case "clock_step": self = .step(words.count == 1 ? nil : try number(1))
    case "clock_set": self = .clock(try number(1))
    case "irq_intercept_in": self = .interceptInputs(of: text(1))
    case "set_irq_in":
      // The level is signed; the pins of a controller are the only ones without a name.
      self = .setInput(of: text(1), try number(3), words[4] != [0x30])
    case "apus_insert", "apus_eject":
      let file = name == "apus_insert" ? text(2) : nil
      if let drive = ["a", "b"].firstIndex(of: text(1)) {
        self = .floppy(drive: drive, file: file)
      } else if let drive = ["cd", "cd1", "cd2", "cd3", "cd4"].firstIndex(of: text(1)) {
        self = .cd(drive: max(drive - 1, 0), file: file)
      } else {
        throw Refusal("\(name): the drives are a, b and cd (cd2 the second CD drive)")
      }
    default: self = .endianness
    }
  }

  /// How many values a command has.
  private static let words: [String: ClosedRange<Int>] = [
    "inb": 1...1, "inw": 1...1, "inl": 1...1, "outb": 2...2, "outw": 2...2, "outl": 2...2,
    "readb": 1...1, "readw": 1...1, "readl": 1...1, "readq": 1...1, "writeb": 2...2,
    "writew": 2...2, "writel": 2...2, "writeq": 2...2, "read": 2...2, "b64read": 2...2,
    "write": 3...3, "b64write": 3...3, "memset": 3...3, "clock_step": 0...1, "clock_set": 1...1,
    "irq_intercept_in": 1...1, "set_irq_in": 4...4, "endianness": 0...0,
    "apus_insert": 2...2, "apus_eject": 1...1,
  ]

  private static func width(_ name: String) -> Int {
    switch name.last {
    case "b": 1
    case "w": 2
    case "l": 4
    default: 8
    }
  }

  /// Decimal, hexadecimal after 0x, octal after 0; nil where it is none, or has more than 64 bits.
  static func number(_ word: ArraySlice<UInt8>) -> UInt64? {
    let text = String(decoding: word, as: UTF8.self)
    if text.hasPrefix("+") || text.hasPrefix("-") { return nil }
    func digits(_ part: Substring, _ radix: Int) -> UInt64? {
      part.hasPrefix("+") || part.hasPrefix("-") ? nil : UInt64(part, radix: radix)
    }
    if text.hasPrefix("0x") || text.hasPrefix("0X") { return digits(text.dropFirst(2), 16) }
    if text.hasPrefix("0") && text.count > 1 { return digits(text.dropFirst(), 8) }
    return digits(text[...], 10)
  }

  // MARK: Data

  /// Bytes of digits after 0x; a digit too few is 0. Nil where something is no digit.
  static func hexadecimal(_ word: ArraySlice<UInt8>) -> [UInt8]? {
    guard word.count > 2, word.first == 0x30, word.dropFirst().first.map({ $0 | 0x20 }) == 0x78
    else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(word.count / 2)
    var high: UInt8?
    for digit in word.dropFirst(2) {
      let value: UInt8
      switch digit {
      case 0x30...0x39: value = digit - 0x30
      case 0x41...0x46: value = digit - 0x37
      case 0x61...0x66: value = digit - 0x57
      default: return nil
      }
      if let first = high {
        bytes.append(first << 4 | value)
        high = nil
      } else {
        high = value
      }
    }
    if let high { bytes.append(high << 4) }
    return bytes
  }

  static func hexadecimal(_ bytes: [UInt8]) -> [UInt8] {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(2 * bytes.count)
    for byte in bytes {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return text
  }

  private static let alphabet = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  /// RFC 4648, 4.
  static func base64(_ bytes: [UInt8]) -> [UInt8] {
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let value =
        group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
      for n in 0..<4 {
        text.append(n <= group.count ? alphabet[Int(value >> UInt32(18 - 6 * n) & 63)] : 0x3D)
      }
    }
    return text
  }

  /// Nil where something is no base 64.
  static func base64(_ word: ArraySlice<UInt8>) -> [UInt8]? {
    var bytes: [UInt8] = []
    var (value, bits): (UInt32, UInt32) = (0, 0)
    for letter in word where letter != 0x3D {
      guard let digit = digits[Int(letter)] else { return nil }
      value = value << 6 & 0xFFFF | UInt32(digit)
      bits += 6
      if bits >= 8 {
        bits -= 8
        bytes.append(UInt8(truncatingIfNeeded: value >> bits))
      }
    }
    return bytes
  }

  /// The value of each letter.
  private static let digits: [UInt8?] = {
    var table = [UInt8?](repeating: nil, count: 256)
    for (value, letter) in alphabet.enumerated() { table[Int(letter)] = UInt8(value) }
    return table
  }()
}
