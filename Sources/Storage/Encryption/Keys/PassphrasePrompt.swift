// Passphrases that somebody types.
//
// Owns: the terminal without echo, the question. Must not know: what opens by them.
// After: termios(3).

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Asks at the terminal that standard input is.
public final class PassphrasePrompt: KeySource {
  public let name = "what was typed"

  public init() {}

  /// Whether there is somebody to ask.
  public static var isPossible: Bool { isatty(0) == 1 }

  private static let longest = 512

  public func passphrase(for file: String, isNew: Bool) throws(StorageError) -> SecretBytes {
    guard PassphrasePrompt.isPossible else {
      throw StorageError(
        path: file,
        reason: "is encrypted, and nobody can be asked for its passphrase: standard input is no "
          + "terminal (--key-file FILE, or - for standard input)")
    }
    let first = try ask(isNew ? "New passphrase for \(file): " : "Passphrase for \(file): ", file)
    if isNew {
      let second = try ask("Once more: ", file)
      defer { withExtendedLifetime(second) {} }
      guard first.count == second.count,
        memcmp(first.pointer, second.pointer, first.count) == 0
      else { throw StorageError(path: file, reason: "the two passphrases are not the same") }
    }
    if first.count == 0 { throw StorageError(path: file, reason: "no passphrase was typed") }
    return first
  }

  private func say(_ text: String) {
    let bytes = Array(text.utf8)
    _ = write(2, bytes, bytes.count)
  }

  /// Reads a line.
  private func ask(_ question: String, _ file: String) throws(StorageError) -> SecretBytes {
    var old = termios()
    guard tcgetattr(0, &old) == 0 else {
      throw StorageError(path: file, reason: "the terminal does not say how it is set")
    }
    var quiet = old
    // Ctrl-C comes as a character: whoever ends the program would leave the terminal without its echo.
    quiet.c_lflag &= ~tcflag_t(UInt32(ECHO) | UInt32(ICANON) | UInt32(ISIG) | UInt32(IEXTEN))
    withUnsafeMutableBytes(of: &quiet.c_cc) {
      $0[Int(VMIN)] = 1
      $0[Int(VTIME)] = 0
    }
    say(
      question.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "?" : String($0) }
        .joined())
    tcsetattr(0, TCSAFLUSH, &quiet)
    defer {
      tcsetattr(0, TCSAFLUSH, &old)
      say("\n")
    }
    let line = SecretBytes(count: PassphrasePrompt.longest)
    defer { withExtendedLifetime(line) {} }
    var count = 0
    while true {
      // One at a time: what stands behind the line is somebody else's.
      let got = readOne(line.pointer + count)
      if got < 0 && errno == EINTR { continue }
      if got <= 0 { break }
      let byte = line.buffer[count]
      switch byte {
      case 0x0A, 0x0D: return SecretBytes(copying: line, count: count)
      case 0x03, 0x1C: throw StorageError(path: file, reason: "no passphrase was typed")
      case 0x04: return SecretBytes(copying: line, count: count)
      case 0x08, 0x7F:
        // A character of UTF-8 may be several bytes.
        while count > 0 {
          count -= 1
          if line.buffer[count] & 0xC0 != 0x80 { break }
        }
      case 0x15: count = 0
      default:
        count += 1
        if count == line.count {
          throw StorageError(path: file, reason: "passphrases have at most \(line.count - 1) bytes")
        }
      }
    }
    return SecretBytes(copying: line, count: count)
  }

  private func readOne(_ room: UnsafeMutableRawPointer) -> Int { read(0, room, 1) }
}
