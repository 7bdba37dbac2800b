// Sectors, encrypted and decrypted.
//
// Owns: one context of OpenSSL for each direction, the vectors. Must not know: headers, stores.
// After: IEEE 1619 (XTS); dm-crypt's documentation for the vectors; EVP_EncryptInit(3ssl).

/// A cipher with its key. The key is in it, and wiped with it by OpenSSL.
final class SectorCipher {
  private let crypto: OpenSSL
  private let encryption: OpaquePointer
  private let decryption: OpaquePointer
  /// The cipher that makes vectors; nil: they are numbers.
  private var vectors: OpaquePointer?
  private let vector: CipherSpecification.Vector
  private let name: String
  /// Bytes that are encrypted with one vector.
  let sectorSize: Int
  /// The vector's sixteen bytes.
  private let room = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 16)

  /// - Parameter name: the file's, for messages.
  init(
    _ specification: CipherSpecification, key: UnsafeRawBufferPointer, sectorSize: Int = 512,
    _ crypto: OpenSSL, for name: String
  ) throws(StorageError) {
    let room = self.room
    func refuse(_ reason: String) -> StorageError { StorageError(path: name, reason: reason) }
    guard let known = specification.openSSLName(key.count) else {
      throw refuse("the cipher \(specification.text) has no keys of \(key.count * 8) bits")
    }
    func context(_ cipherName: String, _ key: UnsafeRawPointer, _ encrypts: Bool)
      throws(StorageError) -> OpaquePointer
    {
      guard let cipher = crypto.EVP_CIPHER_fetch(nil, cipherName, nil) else {
        throw refuse("OpenSSL has no cipher \(cipherName)")
      }
      defer { crypto.EVP_CIPHER_free(cipher) }
      guard let context = crypto.EVP_CIPHER_CTX_new() else {
        throw refuse("no memory for a cipher")
      }
      guard
        crypto.EVP_CipherInit_ex(context, cipher, nil, key, room, encrypts ? 1 : 0) == 1,
        crypto.EVP_CIPHER_CTX_set_padding(context, 0) == 1
      else {
        crypto.EVP_CIPHER_CTX_free(context)
        throw refuse("OpenSSL's \(cipherName) does not take the key")
      }
      return context
    }
    self.crypto = crypto
    self.name = name
    self.sectorSize = sectorSize
    vector = specification.vector
    room.initializeMemory(as: UInt8.self, repeating: 0, count: 32)
    let start = key.baseAddress!
    do throws(StorageError) {
      encryption = try context(known, start, true)
    } catch {
      room.deallocate()
      throw error
    }
    do throws(StorageError) {
      decryption = try context(known, start, false)
      if case .essiv(let hash) = vector {
        let digest = try Hash(hash, crypto, for: name)
        let salt = SecretBytes(count: digest.size)
        guard digest.compute(UnsafeRawBufferPointer(key), into: salt.pointer),
          [16, 24, 32].contains(digest.size)
        else { throw refuse("the hash \(hash) gives no key for vectors") }
        do throws(StorageError) {
          vectors = try context(
            "\(specification.cipher.uppercased())-\(digest.size * 8)-ECB", salt.pointer, true)
        } catch {
          crypto.EVP_CIPHER_CTX_free(decryption)
          throw error
        }
      }
    } catch {
      crypto.EVP_CIPHER_CTX_free(encryption)
      room.deallocate()
      throw error
    }
  }

  deinit {
    crypto.EVP_CIPHER_CTX_free(encryption)
    crypto.EVP_CIPHER_CTX_free(decryption)
    if let vectors { crypto.EVP_CIPHER_CTX_free(vectors) }
    room.deallocate()
  }

  /// Decrypts whole sectors where they are.
  /// - Parameter sector: the number of the first, in units of 512 bytes whatever a sector is.
  func decrypt(_ buffer: UnsafeMutableRawBufferPointer, sector: UInt64) throws(StorageError) {
    guard let start = buffer.baseAddress else { return }
    try run(decryption, UnsafeRawPointer(start), start, buffer.count, sector)
  }

  /// Encrypts whole sectors into room of the same size.
  func encrypt(
    _ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawPointer, sector: UInt64
  ) throws(StorageError) {
    guard let start = source.baseAddress else { return }
    try run(encryption, start, target, source.count, sector)
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
      return crypto.EVP_CipherUpdate(vectors, room, &length, room + 16, 16) == 1 && length == 16
    }
    return true
  }
}

/// A hash by the name that headers have for it.
final class Hash {
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
