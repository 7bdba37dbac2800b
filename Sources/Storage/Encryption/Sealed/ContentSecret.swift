// A secret that the keys of encrypted disks open, and what is derived from it for those who keep contents in files of their own.
//
// Owns: the secret, keyed hashes, ciphers for numbered messages. Must not know: what the contents are, where they are, how files look.
// After: RFC 5869 (HKDF), FIPS 198-1 (HMAC), NIST SP 800-38D (AES-GCM).
//
// The secret is the key of a sealed file's header (SealedFormat.swift), which tells the disks whose keys open it. Nothing is encrypted by it:
// keys come from it by HKDF-SHA-256, with a salt and with words that say what for.

/// A random secret that is opened by the keys of encrypted disks, all of them.
public final class ContentSecret: Sendable {
  /// What has to be kept, readable, so that the secret can be opened: at most a few KiB. It tells which keys are needed.
  public let header: [UInt8]
  private let key: SecretBytes
  private let crypto: OpenSSL

  /// A new secret.
  /// - Parameters:
  ///   - keys: of all encrypted disks of a machine, 1 to 64; who opens the secret needs all of them.
  ///   - file: what is named in errors.
  public init(sealing keys: [VolumeKey], for file: String) throws(StorageError) {
    crypto = try OpenSSL.load(for: file)
    let sealed = try SealedHeader(
      sealing: keys, chunkSize: SealedHeader.longestChunk, crypto, for: file)
    header = sealed.bytes
    key = sealed.key
  }

  /// A secret from what its `header` was.
  /// - Parameter keys: of the disks that are open; those that are needed are looked for.
  /// - Throws: when one that is needed is not among them, or the header was changed.
  public init(opening header: [UInt8], _ keys: [VolumeKey], for file: String) throws(StorageError) {
    crypto = try OpenSSL.load(for: file)
    let opened = try SealedHeader(opening: header, keys, crypto, for: file)
    self.header = header
    key = opened.key
  }

  private func derive(_ purpose: String, salt: [UInt8], _ file: String) throws(StorageError)
    -> SecretBytes
  {
    let result = SecretBytes(count: 32)
    let info = Array(purpose.utf8)
    // OpenSSL takes no salt of no bytes; one zero is the same to HKDF.
    let salt = salt.isEmpty ? [0] : salt
    let isDone = salt.withUnsafeBytes { salt in
      info.withUnsafeBytes { info in
        crypto.derive(
          "HKDF",
          [
            .text("digest", "SHA256"), .bytes("key", UnsafeRawPointer(key.pointer), key.count),
            .bytes("salt", salt.baseAddress!, salt.count),
            .bytes("info", info.baseAddress!, info.count),
          ], into: result.pointer, 32)
      }
    }
    withExtendedLifetime((key, result)) {}
    if !isDone { throw StorageError(path: file, reason: "OpenSSL has no HKDF") }
    return result
  }

  /// So many random bytes.
  public func random(_ count: Int, for file: String) throws(StorageError) -> [UInt8] {
    try crypto.random(count, for: file)
  }

  /// HMAC-SHA-256 by a key of its own.
  /// - Parameter purpose: what for: others have other keys.
  public func keyedHash(_ purpose: String, for file: String) throws(StorageError) -> KeyedHash {
    try KeyedHash(try derive(purpose, salt: [], file), crypto, for: file)
  }

  /// AES-256-GCM by a key of its own.
  /// - Parameters:
  ///   - purpose: what for.
  ///   - salt: random bytes, others for each file: under another salt it is another key.
  public func cipher(_ purpose: String, salt: [UInt8], encrypts: Bool, for file: String)
    throws(StorageError) -> MessageCipher
  {
    let own = try derive(purpose, salt: salt, file)
    return MessageCipher(try SealingCipher(own, encrypts: encrypts, crypto, for: file))
  }

  /// 16 bytes that tell whether a secret is the one of a file with that salt.
  func proof(_ purpose: String, salt: [UInt8], for file: String) throws(StorageError) -> [UInt8] {
    Array(try derive(purpose, salt: salt, file).copy.prefix(16))
  }
}

/// HMAC-SHA-256 under one key, from any thread.
public final class KeyedHash: Sendable {
  private let key: SecretBytes
  private let crypto: OpenSSL
  private let digest: Hash

  fileprivate init(_ key: SecretBytes, _ crypto: OpenSSL, for file: String) throws(StorageError) {
    self.key = key
    self.crypto = crypto
    digest = try Hash("sha256", crypto, for: file)
  }

  /// Writes the 32 bytes that stand for contents.
  public func hash(_ contents: UnsafeRawBufferPointer, into room: UnsafeMutableRawPointer) {
    let inner = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 + 32, alignment: 16)
    defer {
      SecretBytes.wipe(inner.baseAddress!, inner.count)
      inner.deallocate()
    }
    hash(0x36, contents, into: inner.baseAddress! + 64)
    hash(0x5C, UnsafeRawBufferPointer(rebasing: inner[64...]), into: room)
  }

  private func hash(
    _ pad: UInt8, _ part: UnsafeRawBufferPointer, into room: UnsafeMutableRawPointer
  ) {
    let all = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 + part.count, alignment: 16)
    defer {
      SecretBytes.wipe(all.baseAddress!, 64)
      all.deallocate()
    }
    for at in 0..<64 { all[at] = at < key.count ? key.buffer[at] ^ pad : pad }
    if let start = part.baseAddress {
      (all.baseAddress! + 64).copyMemory(from: start, byteCount: part.count)
    }
    withExtendedLifetime((key, digest)) {
      guard crypto.EVP_Digest(all.baseAddress, all.count, room, nil, digest.digest, nil) == 1 else {
        fatalError("OpenSSL's SHA-256 fails")
      }
    }
  }
}

/// AES-256-GCM under one key in one direction, for numbered messages. Used by one thread at a time.
public final class MessageCipher {
  /// How much longer a message is when it is sealed.
  public static let tagSize = SealedHeader.tagSize
  private let cipher: SealingCipher

  fileprivate init(_ cipher: SealingCipher) { self.cipher = cipher }

  /// Writes the contents, encrypted, and a tag of 16 bytes behind them.
  /// - Parameters:
  ///   - number: another one for each message under this key, whether it was ever used or not.
  ///   - known: is authenticated and not encrypted.
  /// - Returns: false: it failed.
  public func seal(
    _ number: UInt64, known: [UInt8], _ contents: UnsafeRawBufferPointer,
    into room: UnsafeMutableRawPointer
  ) -> Bool {
    cipher.seal(SealingCipher.nonce(number, isLast: false), known, contents, into: room)
  }

  /// Writes the contents of what was sealed, which is 16 bytes longer.
  /// - Returns: false: it is not what was sealed by that number, and the room means nothing.
  public func open(
    _ number: UInt64, known: [UInt8], _ sealed: UnsafeRawBufferPointer,
    into room: UnsafeMutableRawPointer
  ) -> Bool {
    cipher.open(SealingCipher.nonce(number, isLast: false), known, sealed, into: room)
  }
}
