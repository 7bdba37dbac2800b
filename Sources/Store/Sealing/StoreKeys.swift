// A store's seal by the keys of a machine's encrypted disks: by those that its saved states are sealed by.
//
// Owns: which keys are derived for what. Must not know: algorithms, packs, roots.
//
// The store's header is that of a sealed file, and tells which disks' keys open it. From its secret come a key for names ("apus store:
// names") and for each salt a key for contents ("apus store: contents").

import Storage

/// The keys of encrypted disks as those of a store: who opens the store needs all that it was made by.
public struct StoreKeys: ContentKeys {
  private let keys: [VolumeKey]

  /// - Parameter keys: of all encrypted disks of a machine, at least one (`BlockDevice.volumeKeys`).
  public init(_ keys: [VolumeKey]) { self.keys = keys }

  public func makeSeal(for file: String) throws(StorageError) -> any ContentSeal {
    try StoreSeal(ContentSecret(sealing: keys, for: file), for: file)
  }

  public func openSeal(_ header: [UInt8], for file: String) throws(StorageError) -> any ContentSeal
  {
    try StoreSeal(ContentSecret(opening: header, keys, for: file), for: file)
  }
}

/// A secret as a store's.
private final class StoreSeal: ContentSeal {
  private let secret: ContentSecret
  private let names: KeyedHash

  init(_ secret: ContentSecret, for file: String) throws(StorageError) {
    self.secret = secret
    names = try secret.keyedHash("apus store: names", for: file)
  }

  var header: [UInt8] { secret.header }

  func name(_ contents: UnsafeRawBufferPointer) -> ContentName {
    withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { room in
      names.hash(contents, into: room.baseAddress!)
      return ContentName(room.baseAddress!)
    }
  }

  func salt(for file: String) throws(StorageError) -> [UInt8] {
    try secret.random(SealLimits.saltSize, for: file)
  }

  func cipher(salt: [UInt8], encrypts: Bool, for file: String) throws(StorageError)
    -> any ContentCipher
  {
    StoreCipher(
      try secret.cipher("apus store: contents", salt: salt, encrypts: encrypts, for: file))
  }
}

/// A cipher for numbered messages as a store's.
private final class StoreCipher: ContentCipher {
  private let cipher: MessageCipher
  init(_ cipher: MessageCipher) { self.cipher = cipher }

  func seal(
    _ number: UInt64, known: [UInt8], _ contents: UnsafeRawBufferPointer,
    into room: UnsafeMutableRawPointer
  ) -> Bool {
    cipher.seal(number, known: known, contents, into: room)
  }

  func open(
    _ number: UInt64, known: [UInt8], _ sealed: UnsafeRawBufferPointer,
    into room: UnsafeMutableRawPointer
  ) -> Bool {
    cipher.open(number, known: known, sealed, into: room)
  }
}
