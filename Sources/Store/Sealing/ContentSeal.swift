// What a store with keys needs of cryptography.
//
// Owns: the interface. Must not know: algorithms, libraries, where keys come from.
// The one who implements it uses HMAC-SHA-256 for names and AES-256-GCM for contents (FIPS 198-1, NIST SP 800-38D).
//
// Every pack and every root has a random salt, and a key of its own that is derived from the store's and the salt. In it each message has
// another number, which is its nonce. So no nonce comes twice under a key, even where a writer was stopped and its pack's number is used
// again.

import Storage

/// The keys that a store is made or opened by.
public protocol ContentKeys: Sendable {
  /// A new store's seal.
  /// - Parameter file: what is named in errors.
  func makeSeal(for file: String) throws(StorageError) -> any ContentSeal
  /// The seal of a store that is there, from what `ContentSeal.header` was.
  /// - Throws: when these keys do not open it.
  func openSeal(_ header: [UInt8], for file: String) throws(StorageError) -> any ContentSeal
}

/// A store's secret.
public protocol ContentSeal: Sendable {
  /// What stands readable in the store and tells its keys: at most 64 KiB.
  var header: [UInt8] { get }
  /// The name of contents under the store's key, from any thread.
  func name(_ contents: UnsafeRawBufferPointer) -> ContentName
  /// 32 random bytes.
  func salt(for file: String) throws(StorageError) -> [UInt8]
  /// What encrypts or decrypts all messages under one salt.
  func cipher(salt: [UInt8], encrypts: Bool, for file: String) throws(StorageError)
    -> any ContentCipher
}

/// Authenticated encryption under one key, used by one thread at a time.
public protocol ContentCipher: AnyObject {
  /// Writes the contents, encrypted, and a tag of 16 bytes behind them.
  /// - Parameters:
  ///   - number: another one for each message under this key.
  ///   - known: is authenticated and not encrypted.
  /// - Returns: false: it failed.
  func seal(
    _ number: UInt64, known: [UInt8], _ contents: UnsafeRawBufferPointer,
    into room: UnsafeMutableRawPointer
  ) -> Bool
  /// Writes the contents of what was sealed, which is 16 bytes longer.
  /// - Returns: false: it is not what was sealed by that number, and the room means nothing.
  func open(
    _ number: UInt64, known: [UInt8], _ sealed: UnsafeRawBufferPointer,
    into room: UnsafeMutableRawPointer
  ) -> Bool
}

/// Measures that hold for every seal.
enum SealLimits {
  static let tagSize = 16
  static let saltSize = 32
  static let longestHeader = 64 << 10
}
