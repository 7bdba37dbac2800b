// What a LUKS header says, of either version.
//
// Owns: the parts of it, checked against each other; opening by a passphrase. Must not know: how they are written in a file.
// After: LUKS1 On-Disk Format Specification 1.2.3; LUKS2 On-Disk Format Specification 1.1.3.

/// The header of an encrypted disk.
struct LUKSContainer: Equatable, Sendable {
  /// A place where the volume key is, encrypted by a passphrase.
  struct Slot: Equatable, Sendable {
    var number: Int
    /// Bytes of the volume key that is in it.
    var keySize: Int
    var derivation: KeyDerivation
    var salt: [UInt8]
    /// Where the key material is, from the header's beginning, and how much room it has.
    var offset: UInt64
    var size: UInt64
    /// How the material is encrypted, by a key of how many bytes.
    var cipher: CipherSpecification
    var areaKeySize: Int
    var stripes: Int
    var hash: String
    /// Which of the digests proves its key.
    var digest: Int
    /// Tried in this order, the lower ones first.
    var order = 1

    /// Bytes that the material has.
    var materialSize: UInt64 { (UInt64(keySize) * UInt64(stripes) + 511) & ~511 }
  }
  /// What proves a volume key.
  struct Digest: Equatable, Sendable {
    var hash: String
    var iterations: UInt64
    var salt: [UInt8]
    var digest: [UInt8]
  }

  var version: Int
  var uuid: String
  var label = ""
  var cipher: CipherSpecification
  /// Bytes of the volume key.
  var keySize: Int
  /// Where the disk is, from the header's beginning.
  var payloadOffset: UInt64
  /// Bytes of the disk; nil: as far as the file goes.
  var payloadSize: UInt64?
  var sectorSize = 512
  /// Added to the numbers of sectors.
  var ivTweak: UInt64 = 0
  var slots: [Slot]
  var digests: [Digest]
  /// How many slots there can be.
  var slotCount: Int
  /// What is odd, but keeps nobody from opening it.
  var warnings: [String] = []

  static let magic: [UInt8] = Array("LUKS".utf8) + [0xBA, 0xBE]
  static let stripes = 4000
  /// No cipher has longer keys.
  static let longestKey = 64

  /// The bytes that a key is proved by, and that say which key it is.
  var proof: [UInt8] {
    var bytes = Array(uuid.utf8)
    for digest in digests {
      bytes += Array("/\(digest.hash)/\(digest.iterations)/".utf8) + digest.salt + digest.digest
    }
    return bytes
  }

  // MARK: Opening

  /// Refuses what would take too long, or too much memory.
  func check(_ limits: KeyLimits, for file: String) throws(StorageError) {
    func refuse(_ reason: String) -> StorageError {
      StorageError(
        path: file, reason: reason + "; if that is meant, --allow-slow-keys opens it all the same")
    }
    var iterations: UInt64 = 0
    var filled: UInt64 = 0
    func add(_ sum: inout UInt64, _ a: UInt64, _ b: UInt64) {
      let (product, overflow) = a.multipliedReportingOverflow(by: b)
      let (total, overflows) = sum.addingReportingOverflow(product)
      sum = overflow || overflows ? .max : total
    }
    for slot in slots {
      switch slot.derivation {
      // A hash of 32 bytes does a key of 64 in two goes; shorter hashes in more.
      case .pbkdf2(_, let rounds): add(&iterations, rounds, UInt64(slot.areaKeySize + 31) / 32)
      case .argon2(_, let time, let memory, _):
        if memory > limits.memory {
          throw refuse(
            "key slot \(slot.number) wants \(memory / 1024) MiB of memory, more than "
              + "\(limits.memory / 1024)")
        }
        add(&filled, time, memory)
      }
      add(&iterations, digests[slot.digest].iterations, 1)
    }
    if iterations > limits.iterations {
      throw refuse(
        "the key slots want \(iterations) iterations for a passphrase, more than "
          + "\(limits.iterations)")
    }
    if filled > limits.filled {
      throw refuse(
        "the key slots want to fill \(filled >> 20) GiB of memory for a passphrase, more than "
          + "\(limits.filled >> 20)")
    }
  }

  /// The volume key, where a passphrase opens a slot. All slots are tried, each with the same work whatever is wrong.
  /// - Parameter base: where the header begins in the store.
  func unlock(
    _ passphrase: SecretBytes, _ store: any ByteStore, base: UInt64, _ crypto: OpenSSL
  ) throws(StorageError) -> VolumeKey? {
    for slot in slots.sorted(by: { ($0.order, $0.number) < ($1.order, $1.number) }) {
      if let key = try open(slot, passphrase, store, base, crypto) {
        return VolumeKey(key, identity: uuid, slot: slot.number)
      }
    }
    return nil
  }

  private func open(
    _ slot: Slot, _ passphrase: SecretBytes, _ store: any ByteStore, _ base: UInt64,
    _ crypto: OpenSSL
  ) throws(StorageError) -> SecretBytes? {
    let key = SecretBytes(count: slot.areaKeySize)
    defer { withExtendedLifetime(key) {} }
    try slot.derivation.derive(
      passphrase, salt: slot.salt, into: key, crypto, for: store.name)
    let material = SecretBytes(count: Int(slot.materialSize))
    defer { withExtendedLifetime(material) {} }
    try store.read(at: base + slot.offset, into: material.buffer)
    let cipher = try SectorCipher(
      slot.cipher, key: UnsafeRawBufferPointer(key.buffer), crypto, for: store.name)
    try cipher.decrypt(material.buffer, sector: 0)
    let candidate = SecretBytes(count: slot.keySize)
    defer { withExtendedLifetime(candidate) {} }
    try AntiForensic.merge(
      UnsafeRawBufferPointer(material.buffer), stripes: slot.stripes, into: candidate,
      try Hash(slot.hash, crypto, for: store.name), for: store.name)
    return try proves(candidate, digests[slot.digest], crypto, store.name) ? candidate : nil
  }

  private func proves(
    _ key: SecretBytes, _ digest: Digest, _ crypto: OpenSSL, _ file: String
  ) throws(StorageError) -> Bool {
    let found = SecretBytes(count: digest.digest.count)
    defer { withExtendedLifetime(found) {} }
    try KeyDerivation.pbkdf2(hash: digest.hash, iterations: digest.iterations).derive(
      key, salt: digest.salt, into: found, crypto, for: file)
    return digest.digest.withUnsafeBytes {
      crypto.isEqual($0.baseAddress!, found.pointer, found.count)
    }
  }

  /// The key by the sources of a request: as `DiskKeys.volumeKey`.
  func volumeKey(_ store: any ByteStore, base: UInt64, _ keys: DiskKeys?) throws(StorageError)
    -> VolumeKey
  {
    guard let keys else { throw DiskKeys.missing(store.name) }
    if slots.isEmpty {
      throw StorageError(path: store.name, reason: "has no key slots in use: nothing opens it")
    }
    try check(keys.limits, for: store.name)
    let crypto = try OpenSSL.load(for: store.name)
    return try keys.volumeKey(proof: proof, file: store.name) {
      (passphrase) throws(StorageError) in
      try unlock(passphrase, store, base: base, crypto)
    }
  }

  /// The cipher of the disk's sectors.
  func sectorCipher(_ key: VolumeKey, for file: String) throws(StorageError) -> SectorCipher {
    guard key.bytes.count == keySize else {
      throw StorageError(path: file, reason: "the key is not of \(keySize) bytes")
    }
    return try SectorCipher(
      cipher, key: UnsafeRawBufferPointer(key.bytes.buffer), sectorSize: sectorSize,
      try OpenSSL.load(for: file), for: file)
  }

  // MARK: For people

  var facts: EncryptionFacts {
    EncryptionFacts(
      format: "luks\(version)", cipher: cipher.text, keyBits: keySize * 8, uuid: uuid,
      sectorSize: sectorSize, payloadOffset: payloadOffset, slotCount: slotCount,
      slots: slots.map {
        EncryptionFacts.Slot(number: $0.number, derivation: $0.derivation.text, hash: $0.hash)
      })
  }
}

/// What there is to tell of an encrypted image without its key.
public struct EncryptionFacts: Equatable, Sendable {
  public struct Slot: Equatable, Sendable {
    public var number: Int
    /// As in "pbkdf2 (sha256), 1000 iterations".
    public var derivation: String
    public var hash: String
  }
  /// "luks1", "luks2".
  public var format: String
  /// As in "aes-xts-plain64".
  public var cipher: String
  public var keyBits: Int
  public var uuid: String
  public var sectorSize: Int
  public var payloadOffset: UInt64
  /// How many key slots there can be, and those in use.
  public var slotCount: Int
  public var slots: [Slot]
}
