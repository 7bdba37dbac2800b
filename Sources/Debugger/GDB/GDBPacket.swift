// Packets of gdb's remote protocol as bytes.
//
// Owns: framing, checksums, escapes, hexadecimal. Must not know: what packets mean, sockets.
// Follows: "Debugging with GDB", appendix E (Remote Serial Protocol), overview. Whatever bytes come in, nothing here fails.

/// Something that the client sent.
enum GDBEvent: Equatable {
  /// The contents of a packet, escapes still in it.
  case packet([UInt8])
  /// A packet with a wrong checksum, or one that is too long.
  case damaged
  /// It got, or did not get, the last reply.
  case acknowledged(Bool)
  /// Ctrl-C.
  case interrupt
}

/// Makes events of bytes.
struct GDBParser {
  /// The longest packet taken.
  static let maximumLength = 0x4000

  private enum Place { case between, inside, firstDigit, secondDigit }
  private var place = Place.between
  private var body: [UInt8] = []
  private var sum: UInt8 = 0
  private var isTooLong = false
  private var given: UInt8?

  /// What a byte completes, if anything.
  mutating func take(_ byte: UInt8) -> GDBEvent? {
    switch place {
    case .between:
      switch byte {
      case UInt8(ascii: "$"): begin()
      case UInt8(ascii: "+"): return .acknowledged(true)
      case UInt8(ascii: "-"): return .acknowledged(false)
      case 3: return .interrupt
      default: break
      }
    case .inside:
      if byte == UInt8(ascii: "#") {
        place = .firstDigit
      } else if byte == UInt8(ascii: "$") {
        // The end of the one before was lost.
        begin()
      } else {
        sum &+= byte
        if body.count < GDBParser.maximumLength { body.append(byte) } else { isTooLong = true }
      }
    case .firstDigit:
      given = GDBHex.digit(byte).map { $0 << 4 }
      place = .secondDigit
    case .secondDigit:
      place = .between
      defer { body = [] }
      guard !isTooLong, let high = given, let low = GDBHex.digit(byte), high | low == sum else {
        return .damaged
      }
      return .packet(body)
    }
    return nil
  }

  private mutating func begin() {
    place = .inside
    body = []
    sum = 0
    isTooLong = false
  }
}

/// Packets to send.
enum GDBPacket {
  /// A packet with these contents, which must be escaped already.
  static func frame(_ body: [UInt8]) -> [UInt8] {
    let sum = body.reduce(UInt8(0), &+)
    return [UInt8(ascii: "$")] + body + [UInt8(ascii: "#")] + GDBHex.encode([sum])
  }

  /// Binary data as packets may hold it.
  static func escape(_ data: some Sequence<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    for byte in data {
      switch byte {
      case UInt8(ascii: "$"), UInt8(ascii: "#"), UInt8(ascii: "}"), UInt8(ascii: "*"):
        result += [UInt8(ascii: "}"), byte ^ 0x20]
      default: result.append(byte)
      }
    }
    return result
  }

  /// The data that was escaped; nil when the last escape is cut off.
  static func unescape(_ data: some Sequence<UInt8>) -> [UInt8]? {
    var result: [UInt8] = []
    var isEscaped = false
    for byte in data {
      if isEscaped {
        result.append(byte ^ 0x20)
        isEscaped = false
      } else if byte == UInt8(ascii: "}") {
        isEscaped = true
      } else {
        result.append(byte)
      }
    }
    return isEscaped ? nil : result
  }
}

/// Hexadecimal as the protocol writes it.
enum GDBHex {
  static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte &- UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte &- UInt8(ascii: "a") &+ 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte &- UInt8(ascii: "A") &+ 10
    default: nil
    }
  }

  static func encode(_ data: some Sequence<UInt8>) -> [UInt8] {
    let digits = Array("0123456789abcdef".utf8)
    return data.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
  }

  static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
    guard text.count % 2 == 0 else { return nil }
    var result: [UInt8] = []
    result.reserveCapacity(text.count / 2)
    var high: UInt8?
    for character in text {
      guard let value = digit(character) else { return nil }
      if let first = high {
        result.append(first << 4 | value)
        high = nil
      } else {
        high = value
      }
    }
    return result
  }

  /// A number of 1 to 8 digits, more if those in front are 0.
  static func number(_ text: some Collection<UInt8>) -> UInt32? {
    if text.isEmpty { return nil }
    var value: UInt32 = 0
    for character in text {
      guard let next = digit(character), value >> 28 == 0 else { return nil }
      value = value << 4 | UInt32(next)
    }
    return value
  }
}
