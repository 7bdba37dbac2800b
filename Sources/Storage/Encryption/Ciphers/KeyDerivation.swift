// From a passphrase to the key of a key slot.
//
// Owns: the ways there are with their numbers, what they cost, the bounds of that. Must not know: headers.
// After: RFC 8018 (PBKDF2), RFC 9106 (Argon2).

/// A way, with the numbers a header has for it.
enum KeyDerivation: Equatable, Sendable {
  case pbkdf2(hash: String, iterations: UInt64)
  /// Passes, KiB of memory, threads.
  case argon2(Argon2.Kind, time: UInt64, memory: UInt64, lanes: UInt64)

  /// As in "pbkdf2 (sha256), 1000 iterations".
  var text: String {
    switch self {
    case .pbkdf2(let hash, let iterations): "pbkdf2 (\(hash)), \(iterations) iterations"
    case .argon2(let kind, let time, let memory, let lanes):
      "\(kind.rawValue), \(time) passes over \(memory / 1024) MiB, \(lanes) threads"
    }
  }

  var name: String {
    switch self {
    case .pbkdf2: "pbkdf2"
    case .argon2(let kind, _, _, _): kind.rawValue
    }
  }

  /// Derives `key.count` bytes. The numbers were checked (`KeyLimits`).
  func derive(
    _ passphrase: SecretBytes, salt: [UInt8], into key: SecretBytes, _ crypto: OpenSSL,
    for file: String
  ) throws(StorageError) {
    switch self {
    case .pbkdf2(let hash, let iterations):
      let hash = try Hash(hash, crypto, for: file)
      defer { withExtendedLifetime(hash) {} }
      guard let rounds = Int32(exactly: iterations), rounds > 0,
        let length = Int32(exactly: passphrase.count),
        crypto.PKCS5_PBKDF2_HMAC(
          passphrase.pointer, length, salt, Int32(salt.count), rounds, hash.digest,
          Int32(key.count), key.pointer) == 1
      else {
        throw StorageError(path: file, reason: "OpenSSL's PBKDF2 fails (\(text))")
      }
    case .argon2(let kind, let time, let memory, let lanes):
      guard let time = UInt32(exactly: time), let memory = UInt32(exactly: memory),
        let lanes = UInt32(exactly: lanes)
      else { throw StorageError(path: file, reason: "no key slot can want \(text)") }
      try Argon2.derive(
        kind, passphrase, salt: salt, time: time, memory: memory, lanes: lanes, into: key.pointer,
        key.count, crypto, for: file)
    }
  }
}

/// What opening an image may cost. Whoever made the image chose the numbers.
public struct KeyLimits: Sendable, Equatable {
  /// Iterations of PBKDF2 in all key slots of an image together, for one passphrase.
  public var iterations: UInt64 = 200_000_000
  /// KiB of memory that one key slot may want.
  public var memory: UInt64 = 2 << 20
  /// KiB that all key slots together may fill, each pass counted.
  public var filled: UInt64 = 256 << 20

  public init() {}

  /// As much as the formats can say.
  public static var none: KeyLimits {
    var limits = KeyLimits()
    limits.iterations = .max
    limits.memory = .max
    limits.filled = .max
    return limits
  }
}
