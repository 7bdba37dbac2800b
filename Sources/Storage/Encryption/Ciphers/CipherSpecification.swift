// What a cipher is called in images.
//
// Owns: the names of Linux's dm-crypt ("aes", "xts-plain64", "cbc-essiv:sha256"), and what OpenSSL calls them. Must not know: headers, keys.
// After: LUKS1 On-Disk Format Specification 1.2.3, appendix A ("cipher and hash specification registry"); dm-crypt's documentation.

/// A cipher, how sectors are chained, and where their initialization vectors come from.
struct CipherSpecification: Equatable, Sendable {
  enum Vector: Equatable, Sendable {
    /// The sector's number in 32 bits, little-endian.
    case plain
    case plain64
    case plain64be
    /// The number, encrypted by the hash of the key.
    case essiv(hash: String)
  }
  /// As in "aes".
  var cipher: String
  /// As in "xts".
  var chaining: String
  var vector: Vector

  /// "aes-xts-plain64", as headers of LUKS2 have it.
  var text: String {
    let suffix =
      switch vector {
      case .plain: "plain"
      case .plain64: "plain64"
      case .plain64be: "plain64be"
      case .essiv(let hash): "essiv:\(hash)"
      }
    return "\(cipher)-\(chaining)-\(suffix)"
  }

  /// - Throws: why it is not known, in words that complete "...: ".
  static func parse(_ text: String) throws(CipherRefusal) -> CipherSpecification {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
    func refuse(_ what: String) -> CipherRefusal {
      CipherRefusal(
        reason: "the cipher '\(CipherSpecification.harmless(text))' is not known: \(what)")
    }
    guard parts.count == 3 else { throw refuse("NAME-CHAINING-VECTOR is wanted") }
    // What else Linux has (serpent, twofish) OpenSSL does not.
    guard ["aes", "camellia", "aria"].contains(parts[0]) else {
      throw refuse("there are aes, camellia and aria, as far as OpenSSL has them")
    }
    guard ["xts", "cbc"].contains(parts[1]) else {
      throw refuse("sectors are chained by xts or cbc")
    }
    guard parts[1] != "xts" || parts[0] == "aes" else {
      throw refuse("\(parts[0]) is there with cbc only, as OpenSSL has xts for aes alone")
    }
    let vector: Vector
    switch parts[2] {
    case "plain": vector = .plain
    case "plain64": vector = .plain64
    case "plain64be": vector = .plain64be
    default:
      guard parts[2].hasPrefix("essiv:"), parts[2].count > 6 else {
        throw refuse("vectors are plain, plain64, plain64be or essiv:HASH")
      }
      vector = .essiv(hash: String(parts[2].dropFirst(6)))
    }
    return CipherSpecification(cipher: parts[0], chaining: parts[1], vector: vector)
  }

  /// Text from a file as a message may have it.
  static func harmless(_ text: String) -> String {
    String(
      text.unicodeScalars.prefix(64).map {
        $0.value >= 0x20 && $0.value < 0x7F ? Character($0) : "?"
      })
  }

  /// Bits of the cipher's own key, for a key of so many bytes; nil: there is none of that length.
  func bits(_ keyBytes: Int) -> Int? {
    let own = chaining == "xts" ? keyBytes / 2 : keyBytes
    if chaining == "xts" && keyBytes % 2 != 0 { return nil }
    return [16, 24, 32].contains(own) ? own * 8 : nil
  }

  /// As in "AES-256-XTS".
  func openSSLName(_ keyBytes: Int) -> String? {
    bits(keyBytes).map { "\(cipher.uppercased())-\($0)-\(chaining.uppercased())" }
  }
}

/// Why a cipher or a hash is not taken.
struct CipherRefusal: Error {
  var reason: String
}
