// A seal by the keys of encrypted disks, as Storage could have one.
//
// Owns: deriving keys, names, ciphers. Must not know: packs, roots.
// After: RFC 5869 (HKDF), FIPS 198-1 (HMAC), NIST SP 800-38D (AES-GCM).
//
// The header is that of a sealed file (SealedFormat.swift), whose key is the store's. From it come HKDF-SHA-256(key, "", "apus store: names"),
// and for each salt HKDF-SHA-256(key, salt, "apus store: contents").

@testable import Storage
@testable import Store

struct DiskSealKeys: ContentKeys {
  let keys: [VolumeKey]

  func makeSeal(for file: String) throws(StorageError) -> any ContentSeal {
    let crypto = try OpenSSL.load(for: file)
    let header = try SealedHeader(sealing: keys, chunkSize: 1 << 20, crypto, for: file)
    return try DiskSeal(header.bytes, header.key, crypto, for: file)
  }

  func openSeal(_ header: [UInt8], for file: String) throws(StorageError) -> any ContentSeal {
    let crypto = try OpenSSL.load(for: file)
    let opened = try SealedHeader(opening: header, keys, crypto, for: file)
    return try DiskSeal(header, opened.key, crypto, for: file)
  }
}

final class DiskSeal: ContentSeal {
  let header: [UInt8]
  private let key: SecretBytes
  private let names: SecretBytes
  private let crypto: OpenSSL
  /// SHA-256, as a number; it stays.
  private let hash: UInt

  init(_ header: [UInt8], _ key: SecretBytes, _ crypto: OpenSSL, for file: String)
    throws(StorageError)
  {
    self.header = header
    self.key = key
    self.crypto = crypto
    hash = UInt(bitPattern: crypto.EVP_MD_fetch(nil, "SHA256", nil))
    names = try DiskSeal.derive(key, [0], "apus store: names", crypto, file)
  }

  private static func derive(
    _ key: SecretBytes, _ salt: [UInt8], _ purpose: String, _ crypto: OpenSSL, _ file: String
  ) throws(StorageError) -> SecretBytes {
    let result = SecretBytes(count: 32)
    let info = Array(purpose.utf8)
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

  func name(_ contents: UnsafeRawBufferPointer) -> ContentName {
    func hash(_ pad: UInt8, _ part: UnsafeRawBufferPointer) -> ContentName {
      let room = ByteRoom(count: 64 + part.count)
      room.clear()
      (room.pointer).copyMemory(from: names.pointer, byteCount: 32)
      for at in 0..<64 { room.buffer[at] ^= pad }
      if part.count > 0 {
        (room.pointer + 64).copyMemory(from: part.baseAddress!, byteCount: part.count)
      }
      let result = ByteRoom(count: 32)
      _ = crypto.EVP_Digest(
        room.pointer, room.count, result.pointer, nil, OpaquePointer(bitPattern: self.hash), nil)
      return ContentName(result.pointer)
    }
    let inner = ByteRoom(count: 32)
    hash(0x36, contents).store(to: inner.pointer)
    return hash(0x5C, inner.buffer.reading)
  }

  func salt(for file: String) throws(StorageError) -> [UInt8] { try crypto.random(32, for: file) }

  func cipher(salt: [UInt8], encrypts: Bool, for file: String) throws(StorageError)
    -> any ContentCipher
  {
    let own = try DiskSeal.derive(key, salt, "apus store: contents", crypto, file)
    return DiskSealCipher(try SealingCipher(own, encrypts: encrypts, crypto, for: file))
  }
}

private final class DiskSealCipher: ContentCipher {
  private let cipher: SealingCipher
  init(_ cipher: SealingCipher) { self.cipher = cipher }

  func seal(
    _ number: UInt64, known: [UInt8], _ contents: UnsafeRawBufferPointer,
    into room: UnsafeMutableRawPointer
  ) -> Bool {
    cipher.seal(SealingCipher.nonce(number, isLast: false), known, contents, into: room)
  }

  func open(
    _ number: UInt64, known: [UInt8], _ sealed: UnsafeRawBufferPointer,
    into room: UnsafeMutableRawPointer
  ) -> Bool {
    cipher.open(SealingCipher.nonce(number, isLast: false), known, sealed, into: room)
  }
}
