// Names of files that are bytes on the host and text in the program.
//
// Owns: the one way from bytes to text and back, and names made fit to be shown. Must not know: which files there are.
//
// On Unix a file's name is any bytes but NUL and "/". What is no UTF-8, and control characters, stand as private-use characters in the
// program, U+F780 and the byte; characters that are these in the name itself stand as their three bytes. So every name comes out again
// as it went in.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Names of files as text.
public enum HostPath {
  private static let first: UInt32 = 0xF780
  private static let last: UInt32 = 0xF87F

  /// Whether a character stands for a byte that is no text, or a control character.
  public static func stands(_ scalar: Unicode.Scalar) -> Bool {
    (first...last).contains(scalar.value)
  }

  /// The most bytes that hosts allow for a name in a folder.
  private static let longestName = 255

  /// A name beside a file's: its own with something behind it, and cut where that would be longer than names can be.
  public static func beside(_ path: String, suffix: String) -> String {
    let start = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
    var name = path[start...]
    while bytes(String(name)).count + suffix.utf8.count > longestName, !name.isEmpty {
      name.removeLast()
    }
    return path[..<start] + name + suffix
  }

  /// The text of a name.
  /// - Parameter controls: control characters are replaced too; no for text that may have several lines.
  public static func decode(_ bytes: some Sequence<UInt8>, controls: Bool = true) -> String {
    let bytes = Array(bytes)
    var text = String.UnicodeScalarView()
    var index = 0
    while index < bytes.count {
      let byte = bytes[index]
      if byte < 0x80 {
        let isControl = byte < 0x20 || byte == 0x7F
        text.append(isControl && controls ? stand(for: byte) : Unicode.Scalar(byte))
        index += 1
        continue
      }
      let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2
      if index + length <= bytes.count,
        let character = String(validating: bytes[index..<index + length], as: UTF8.self),
        character.unicodeScalars.count == 1, let scalar = character.unicodeScalars.first,
        !(first...last).contains(scalar.value),
        controls ? !(0x80..<0xA0).contains(scalar.value) : true
      {
        text.append(scalar)
        index += length
      } else {
        text.append(stand(for: byte))
        index += 1
      }
    }
    return String(text)
  }

  private static func stand(for byte: UInt8) -> Unicode.Scalar {
    // Always a character: the range holds no surrogates.
    Unicode.Scalar(first + UInt32(byte)) ?? "?"
  }

  private static func byte(of scalar: Unicode.Scalar) -> UInt8? {
    (first...last).contains(scalar.value) ? UInt8(scalar.value - first) : nil
  }

  /// Whether any character stands for a byte. All of them begin with the same byte in UTF-8.
  private static func hasStandIns(_ text: String) -> Bool {
    text.utf8.contains(0xEF) && text.unicodeScalars.contains { byte(of: $0) != nil }
  }

  /// The bytes of a name or another text, without a NUL behind them.
  public static func bytes(_ text: String) -> [UInt8] {
    if !hasStandIns(text) { return Array(text.utf8) }
    var bytes: [UInt8] = []
    for scalar in text.unicodeScalars {
      if let byte = byte(of: scalar) {
        bytes.append(byte)
      } else {
        bytes += UTF8.encode(scalar).map { Array($0) } ?? []
      }
    }
    return bytes
  }

  /// The name as the system wants it.
  public static func system(_ path: String) -> [CChar] {
    bytes(path).map { CChar(bitPattern: $0) } + [0]
  }

  /// The text of a name that the system gave.
  static func decode(cString: UnsafePointer<CChar>) -> String {
    decode(
      UnsafeBufferPointer(start: cString, count: strlen(cString)).lazy.map { UInt8(bitPattern: $0) }
    )
  }

  /// The words of the command line, without the program's.
  public static var arguments: [String] {
    (1..<max(1, Int(CommandLine.argc))).compactMap { index in
      CommandLine.unsafeArgv[index].map { decode(cString: $0) }
    }
  }

  /// The text that a word of the command line is where it is no name: with its control characters, and without what is no UTF-8.
  public static func text(_ word: String) -> String {
    hasStandIns(word) ? String(decoding: bytes(word), as: UTF8.self) : word
  }

  /// A word of the command line that may have several lines and names of files in it.
  public static func lines(_ word: String) -> String {
    hasStandIns(word) ? decode(bytes(word), controls: false) : word
  }

  /// Text for people: bytes that are no characters are written out as "\xNN".
  public static func shown(_ text: String) -> String {
    if !hasStandIns(text) { return text }
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      guard let byte = byte(of: scalar) else {
        result.append(scalar)
        continue
      }
      let digits = String(byte, radix: 16)
      result.append(contentsOf: ("\\x" + (digits.count < 2 ? "0" : "") + digits).unicodeScalars)
    }
    return String(result)
  }
}
