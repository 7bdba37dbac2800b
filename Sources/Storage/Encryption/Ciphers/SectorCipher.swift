// Sectors, encrypted and decrypted.
//
// Owns: one context of OpenSSL for each direction, the vectors. Must not know: headers, stores.
// After: IEEE 1619 (XTS); dm-crypt's documentation for the vectors; EVP_EncryptInit(3ssl).

/// A context of OpenSSL's: a cipher with its key in one direction. The key is wiped with it.
private final class CipherContext {
  let pointer: OpaquePointer
  private let crypto: OpenSSL

  init(
    _ cipherName: String, _ key: UnsafeRawPointer, encrypts: Bool, _ crypto: OpenSSL,
    for file: String
  ) throws(StorageError) {
    func refuse(_ reason: String) -> StorageError { StorageError(path: file, reason: reason) }
    guard let cipher = crypto.EVP_CIPHER_fetch(nil, cipherName, nil) else {
      throw refuse("OpenSSL has no cipher \(cipherName)")
    }
    defer { crypto.EVP_CIPHER_free(cipher) }
    guard let pointer = crypto.EVP_CIPHER_CTX_new() else {
      throw refuse("no memory for a cipher")
    }
    guard crypto.EVP_CipherInit_ex(pointer, cipher, nil, key, nil, encrypts ? 1 : 0) == 1,
      crypto.EVP_CIPHER_CTX_set_padding(pointer, 0) == 1
    else {
      crypto.EVP_CIPHER_CTX_free(pointer)
      throw refuse("OpenSSL's \(cipherName) does not take the key")
    }
    self.pointer = pointer
    self.crypto = crypto
  }

  deinit { crypto.EVP_CIPHER_CTX_free(pointer) }
}

/// A cipher with its key.
final class SectorCipher {
  private let crypto: OpenSSL
  private let encryption: CipherContext
  private let decryption: CipherContext
  /// The cipher that makes vectors; nil: they are numbers.
  private let vectors: CipherContext?
  private let vector: CipherSpecification.Vector
  private let name: String
  /// Bytes that are encrypted with one vector.
  let sectorSize: Int
  /// The vector's sixteen bytes, and what it is made of.
  private let room: UnsafeMutableRawPointer

  /// - Parameter name: the file's, for messages.
  init(
    _ specification: CipherSpecification, key: UnsafeRawBufferPointer, sectorSize: Int = 512,
    _ crypto: OpenSSL, for name: String
  ) throws(StorageError) {
    guard let known = specification.openSSLName(key.count), let start = key.baseAddress else {
      throw StorageError(
        path: name,
        reason: "the cipher \(specification.text) has no keys of \(key.count * 8) bits")
    }
    encryption = try CipherContext(known, start, encrypts: true, crypto, for: name)
    decryption = try CipherContext(known, start, encrypts: false, crypto, for: name)
    if case .essiv(let hash) = specification.vector {
      let digest = try Hash(hash, crypto, for: name)
      let salt = SecretBytes(count: digest.size)
      defer { withExtendedLifetime(salt) {} }
      guard [16, 24, 32].contains(digest.size), digest.compute(key, into: salt.pointer) else {
        throw StorageError(path: name, reason: "the hash \(hash) gives no key for vectors")
      }
      vectors = try CipherContext(
        "\(specification.cipher.uppercased())-\(digest.size * 8)-ECB", salt.pointer,
        encrypts: true, crypto, for: name)
    } else {
      vectors = nil
    }
    self.crypto = crypto
    self.name = name
    self.sectorSize = sectorSize
    vector = specification.vector
    room = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 16)
    room.initializeMemory(as: UInt8.self, repeating: 0, count: 32)
  }

  deinit { room.deallocate() }

  /// Decrypts whole sectors where they are.
  /// - Parameter sector: the number of the first, in units of 512 bytes whatever a sector is.
  func decrypt(_ buffer: UnsafeMutableRawBufferPointer, sector: UInt64) throws(StorageError) {
    guard let start = buffer.baseAddress else { return }
    try run(decryption.pointer, UnsafeRawPointer(start), start, buffer.count, sector)
  }

  /// Encrypts whole sectors into room of the same size.
  func encrypt(
    _ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawPointer, sector: UInt64
  ) throws(StorageError) {
    guard let start = source.baseAddress else { return }
    try run(encryption.pointer, start, target, source.count, sector)
  }

  private func run(
    _ context: OpaquePointer, _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer,
    _ count: Int, _ first: UInt64
  ) throws(StorageError) {
    precondition(count % sectorSize == 0)
    let step = UInt64(sectorSize / 512)
    var sector = first
    var length: Int32 = 0
    var at = 0
    while at < count {
      guard fill(sector), crypto.EVP_CipherInit_ex(context, nil, nil, nil, room, -1) == 1,
        crypto.EVP_CipherUpdate(context, target + at, &length, source + at, Int32(sectorSize)) == 1,
        Int(length) == sectorSize
      else {
        throw StorageError(path: name, reason: "OpenSSL fails at sector \(sector)")
      }
      at += sectorSize
      sector &+= step
    }
  }

  /// The vector of a sector.
  @inline(__always)
  private func fill(_ sector: UInt64) -> Bool {
    switch vector {
    case .plain64: room.storeBytes(of: sector.littleEndian, as: UInt64.self)
    case .plain:
      room.storeBytes(of: UInt64(UInt32(truncatingIfNeeded: sector)).littleEndian, as: UInt64.self)
    case .plain64be:
      room.storeBytes(of: 0, as: UInt64.self)
      room.storeBytes(of: sector.bigEndian, toByteOffset: 8, as: UInt64.self)
    case .essiv:
      var length: Int32 = 0
      room.storeBytes(of: sector.littleEndian, toByteOffset: 16, as: UInt64.self)
      room.storeBytes(of: 0, toByteOffset: 24, as: UInt64.self)
      return crypto.EVP_CipherUpdate(vectors?.pointer, room, &length, room + 16, 16) == 1
        && length == 16
    }
    return true
  }
}

/// A hash by the name that headers have for it.
final class Hash: @unchecked Sendable {
  let name: String
  let size: Int
  let digest: OpaquePointer
  private let crypto: OpenSSL

  init(_ name: String, _ crypto: OpenSSL, for file: String) throws(StorageError) {
    // Names from files go to OpenSSL only where it can be one.
    let isName =
      !name.isEmpty && name.utf8.count <= 31
      && name.utf8.allSatisfy {
        ($0 >= 0x30 && $0 <= 0x39) || ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A) || $0 == 0x2D
          || $0 == 0x2F
      }
    guard isName, let digest = crypto.EVP_MD_fetch(nil, name, nil) else {
      throw StorageError(
        path: file, reason: "OpenSSL has no hash '\(CipherSpecification.harmless(name))'")
    }
    self.name = name
    self.digest = digest
    self.crypto = crypto
    size = Int(crypto.EVP_MD_get_size(digest))
    // Functions with outputs of any length have none of their own.
    guard size > 0, size <= 64 else {
      crypto.EVP_MD_free(digest)
      throw StorageError(path: file, reason: "the hash '\(name)' has no length of its own")
    }
  }

  deinit { crypto.EVP_MD_free(digest) }

  /// Writes `size` bytes.
  func compute(_ bytes: UnsafeRawBufferPointer, into room: UnsafeMutableRawPointer) -> Bool {
    crypto.EVP_Digest(bytes.baseAddress, bytes.count, room, nil, digest, nil) == 1
  }
}
