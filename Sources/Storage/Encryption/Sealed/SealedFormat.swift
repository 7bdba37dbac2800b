// Files that only who can open a machine's encrypted disks can read: saved states, recordings.
//
// Owns: the layout, the keys. Must not know: what is in them, where they are.
// After: NIST SP 800-38D (AES-GCM); RFC 5869 (HKDF); the chunks are chained as in "Online Authenticated-Encryption and its Nonce-Reuse
// Misuse-Resistance" (Hoang, Reyhanitabar, Rogaway, Vizár 2015), STREAM: a number and "this is the last" are in each nonce.
//
// Numbers are little-endian.
//
//   0   8   "APUSSEAL"
//   8   2   version: 1
//   10  2   how many keys are needed, 1 to 64: n
//   12  4   bytes in the longest chunk
//   16  32  salt
//   48  16n which keys: the first 16 bytes of HKDF-SHA-256(key of the disk, salt, "apus sealed file: name")
//       12  nonce
//       32  the file's own key, encrypted by AES-256-GCM under HKDF-SHA-256(all keys of the disks in order, salt, "apus sealed file: key");
//           everything before it is authenticated with it
//       16  tag
// then chunks, one behind the other:
//       4   bytes of its contents; bit 31: it is the last
//       ... contents, encrypted by AES-256-GCM under the file's own key; the nonce is the chunk's number (8 bytes) and 0 or, of the last
//           chunk, 1 (4 bytes); the four bytes before it are authenticated with it
//       16  tag
//
// The file's own key is random and used for this file only, so that no nonce comes twice. A chunk that was changed, moved, left out, or taken
// from another file does not open; without the last chunk the file is known to be cut short.

/// The keys of a file's chunks, and its header.
struct SealedHeader {
  static let magic = Array("APUSSEAL".utf8)
  static let longestChunk = 16 << 20
  static let mostKeys = 64
  static let tagSize = 16

  var bytes: [UInt8]
  var chunkSize: Int
  let key: SecretBytes

  private static func refuse(_ file: String, _ at: UInt64?, _ reason: String) -> StorageError {
    StorageError(path: file, offset: at, reason: reason)
  }

  /// Derives bytes from the disks' keys.
  private static func derive(
    _ keys: [VolumeKey], _ salt: [UInt8], _ purpose: String, _ count: Int, _ crypto: OpenSSL,
    _ file: String
  ) throws(StorageError) -> SecretBytes {
    let all = SecretBytes(count: keys.reduce(0) { $0 + $1.bytes.count })
    defer { withExtendedLifetime(all) {} }
    var at = 0
    for key in keys {
      (all.pointer + at).copyMemory(from: key.bytes.pointer, byteCount: key.bytes.count)
      at += key.bytes.count
    }
    let result = SecretBytes(count: count)
    defer { withExtendedLifetime(result) {} }
    let info = Array("apus sealed file: \(purpose)".utf8)
    let isDone = salt.withUnsafeBytes { salt in
      info.withUnsafeBytes { info in
        crypto.derive(
          "HKDF",
          [
            .text("digest", "SHA256"), .bytes("key", UnsafeRawPointer(all.pointer), all.count),
            .bytes("salt", salt.baseAddress!, salt.count),
            .bytes("info", info.baseAddress!, info.count),
          ], into: result.pointer, count)
      }
    }
    if !isDone { throw refuse(file, nil, "OpenSSL has no HKDF") }
    return result
  }

  private static func name(
    _ key: VolumeKey, _ salt: [UInt8], _ crypto: OpenSSL, _ file: String
  ) throws(StorageError) -> [UInt8] {
    try derive([key], salt, "name", 16, crypto, file).copy
  }

  /// A new file's.
  init(sealing keys: [VolumeKey], chunkSize: Int, _ crypto: OpenSSL, for file: String)
    throws(StorageError)
  {
    guard (1...SealedHeader.mostKeys).contains(keys.count) else {
      throw SealedHeader.refuse(file, nil, "cannot be sealed by \(keys.count) keys")
    }
    self.chunkSize = chunkSize
    let salt = try crypto.random(32, for: file)
    var fields = Fields(count: 48)
    fields.bytes.replaceSubrange(0..<8, with: SealedHeader.magic)
    fields.setLittle(8, UInt16(1))
    fields.setLittle(10, UInt16(keys.count))
    fields.setLittle(12, UInt32(chunkSize))
    fields.bytes.replaceSubrange(16..<48, with: salt)
    bytes = fields.bytes
    for key in keys { bytes += try SealedHeader.name(key, salt, crypto, file) }
    let nonce = try crypto.random(12, for: file)
    key = SecretBytes(count: 32)
    try crypto.random(key.pointer, 32, for: file)
    let wrap = try SealedHeader.derive(keys, salt, "key", 32, crypto, file)
    let cipher = try SealingCipher(wrap, encrypts: true, crypto, for: file)
    var wrapped = [UInt8](repeating: 0, count: 48)
    let isDone = wrapped.withUnsafeMutableBytes {
      cipher.seal(nonce, bytes, UnsafeRawBufferPointer(key.buffer), into: $0.baseAddress!)
    }
    if !isDone { throw SealedHeader.refuse(file, nil, "OpenSSL's AES-256-GCM fails") }
    bytes += nonce + wrapped
  }

  /// Whether a file is a sealed one, from its first bytes.
  static func begins(_ bytes: some Sequence<UInt8>) -> Bool { bytes.starts(with: magic) }

  /// How long a header is, from its first 16 bytes.
  static func length(_ bytes: [UInt8], for file: String) throws(StorageError) -> Int {
    let fields = Fields(bytes)
    guard fields.count >= 16, begins(bytes) else {
      throw refuse(file, 0, "is no sealed file, or one that is cut short")
    }
    let version: UInt16 = fields.little(8)
    guard version == 1 else {
      throw refuse(file, 8, "is a sealed file of version \(version); 1 is known")
    }
    let count = Int(fields.little(10, as: UInt16.self))
    guard (1...mostKeys).contains(count) else {
      throw refuse(file, 10, "is sealed by \(count) keys")
    }
    let chunk = Int(fields.little(12, as: UInt32.self))
    guard (1...longestChunk).contains(chunk) else {
      throw refuse(file, 12, "chunks of \(chunk) bytes")
    }
    return 48 + 16 * count + 60
  }

  /// A header that is there.
  /// - Parameter keys: all that there are; those that are needed are looked for among them.
  init(opening bytes: [UInt8], _ keys: [VolumeKey], _ crypto: OpenSSL, for file: String)
    throws(StorageError)
  {
    let length = try SealedHeader.length(bytes, for: file)
    guard bytes.count == length else { throw SealedHeader.refuse(file, 0, "is cut short") }
    self.bytes = bytes
    let fields = Fields(bytes)
    chunkSize = Int(fields.little(12, as: UInt32.self))
    let count = Int(fields.little(10, as: UInt16.self))
    let salt = Array(bytes[16..<48])
    var known: [[UInt8]: VolumeKey] = [:]
    for key in keys { known[try SealedHeader.name(key, salt, crypto, file)] = key }
    var needed: [VolumeKey] = []
    for n in 0..<count {
      guard let key = known[Array(bytes[48 + n * 16..<64 + n * 16])] else {
        throw SealedHeader.refuse(
          file, UInt64(48 + n * 16),
          "is sealed by the key of an encrypted disk that is not open (\(n + 1) of \(count)), or of "
            + "another one; the machine that wrote it had that disk")
      }
      needed.append(key)
    }
    let at = 48 + 16 * count
    let wrap = try SealedHeader.derive(needed, salt, "key", 32, crypto, file)
    key = SecretBytes(count: 32)
    let cipher = try SealingCipher(wrap, encrypts: false, crypto, for: file)
    let isWhole = bytes.withUnsafeBytes {
      cipher.open(
        Array(bytes[at..<at + 12]), Array(bytes[..<at]),
        UnsafeRawBufferPointer(rebasing: $0[(at + 12)...]), into: key.pointer)
    }
    guard isWhole else {
      throw SealedHeader.refuse(file, UInt64(at), "the header was changed: its key does not open")
    }
  }
}

/// AES-256-GCM with one key, in one direction.
final class SealingCipher {
  private let crypto: OpenSSL
  private let context: OpaquePointer
  // EVP_CTRL_AEAD_GET_TAG and _SET_TAG.
  private static let getTag: Int32 = 0x10
  private static let setTag: Int32 = 0x11

  init(_ key: SecretBytes, encrypts: Bool, _ crypto: OpenSSL, for file: String)
    throws(StorageError)
  {
    guard let cipher = crypto.EVP_CIPHER_fetch(nil, "AES-256-GCM", nil) else {
      throw StorageError(path: file, reason: "OpenSSL has no AES-256-GCM")
    }
    defer { crypto.EVP_CIPHER_free(cipher) }
    guard let context = crypto.EVP_CIPHER_CTX_new() else {
      throw StorageError(path: file, reason: "no memory for a cipher")
    }
    guard crypto.EVP_CipherInit_ex(context, cipher, nil, key.pointer, nil, encrypts ? 1 : 0) == 1
    else {
      crypto.EVP_CIPHER_CTX_free(context)
      throw StorageError(path: file, reason: "OpenSSL's AES-256-GCM does not take the key")
    }
    self.crypto = crypto
    self.context = context
  }

  deinit { crypto.EVP_CIPHER_CTX_free(context) }

  private func run(
    _ nonce: [UInt8], _ known: [UInt8], _ source: UnsafeRawBufferPointer,
    _ room: UnsafeMutableRawPointer
  ) -> Bool {
    var length: Int32 = 0
    guard nonce.count == 12, crypto.EVP_CipherInit_ex(context, nil, nil, nil, nonce, -1) == 1,
      crypto.EVP_CipherUpdate(context, nil, &length, known, Int32(known.count)) == 1
    else { return false }
    if source.count == 0 { return true }
    return crypto.EVP_CipherUpdate(
      context, room, &length, source.baseAddress, Int32(source.count)) == 1
      && Int(length) == source.count
  }

  /// Writes the contents, encrypted, and their tag.
  func seal(
    _ nonce: [UInt8], _ known: [UInt8], _ contents: UnsafeRawBufferPointer,
    into room: UnsafeMutableRawPointer
  ) -> Bool {
    var length: Int32 = 0
    return run(nonce, known, contents, room)
      && crypto.EVP_CipherFinal_ex(context, room + contents.count, &length) == 1
      && crypto.EVP_CIPHER_CTX_ctrl(
        context, SealingCipher.getTag, Int32(SealedHeader.tagSize), room + contents.count) == 1
  }

  /// Writes the contents of what was sealed; false: it is not what was sealed, and the room means nothing.
  func open(
    _ nonce: [UInt8], _ known: [UInt8], _ sealed: UnsafeRawBufferPointer,
    into room: UnsafeMutableRawPointer
  ) -> Bool {
    let count = sealed.count - SealedHeader.tagSize
    guard count >= 0 else { return false }
    var length: Int32 = 0
    var tag = Array(sealed[count...])
    let isOpen =
      run(nonce, known, UnsafeRawBufferPointer(rebasing: sealed[..<count]), room)
      && tag.withUnsafeMutableBytes {
        crypto.EVP_CIPHER_CTX_ctrl(
          context, SealingCipher.setTag, Int32(SealedHeader.tagSize), $0.baseAddress)
      } == 1 && crypto.EVP_CipherFinal_ex(context, room + count, &length) == 1
    // What does not prove to be genuine is not handed out.
    if !isOpen { SecretBytes.wipe(room, count) }
    return isOpen
  }

  /// The nonce of a chunk.
  static func nonce(_ number: UInt64, isLast: Bool) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } + [isLast ? 1 : 0, 0, 0, 0]
  }
}
