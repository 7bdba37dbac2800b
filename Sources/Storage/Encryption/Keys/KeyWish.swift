// Where a key is, as people write it.
//
// Owns: the words "file:PATH", "ring:NAME", "prompt", and a disk's number before them. Must not know: which options have them.

/// Where a passphrase comes from.
public enum KeyWish: Equatable, Sendable {
  /// "-" is standard input.
  case file(String)
  case ring(String)
  case prompt

  /// - Returns: nil when it is nothing of that.
  public init?(_ text: String) {
    if text == "prompt" {
      self = .prompt
    } else if text.hasPrefix("file:"), text.utf8.count > 5 {
      self = .file(String(text.dropFirst(5)))
    } else if text.hasPrefix("ring:"), text.utf8.count > 5 {
      self = .ring(String(text.dropFirst(5)))
    } else {
      return nil
    }
  }

  /// What is read or asked when an image needs it.
  public var source: any KeySource {
    switch self {
    case .file(let path): KeyFile(path)
    case .ring(let name): KeyRingKey(name)
    case .prompt: PassphrasePrompt()
    }
  }

  /// What the words can be, for messages.
  public static let words = "file:PATH (file:- is standard input), ring:NAME or prompt"
}

/// The key of one of a machine's disks: "0=file:disk.key"; without a number, that of all.
public struct DiskKeyWish: Equatable, Sendable {
  /// The disk's number; nil: any disk that is encrypted.
  public var disk: Int?
  public var key: KeyWish

  /// - Returns: nil when it is nothing of that.
  public init?(_ text: String) {
    if let key = KeyWish(text) {
      self.key = key
      return
    }
    guard let mark = text.firstIndex(of: "="), let number = Int(text[..<mark]), number >= 0,
      String(number) == text[..<mark], let key = KeyWish(String(text[text.index(after: mark)...]))
    else { return nil }
    disk = number
    self.key = key
  }

  /// The keys of each disk; nil: nobody says, so that one that is encrypted is refused.
  /// - Parameter prompts: somebody can be asked for what is not said.
  public static func keys(
    of disk: Int, from wishes: [DiskKeyWish], prompts: Bool = PassphrasePrompt.isPossible,
    limits: KeyLimits = KeyLimits()
  ) -> DiskKeys? {
    let own = wishes.filter { $0.disk == disk || $0.disk == nil }
    if own.isEmpty { return prompts ? DiskKeys([PassphrasePrompt()], limits: limits) : nil }
    return DiskKeys(own.map(\.key.source), limits: limits)
  }
}
