// Argon2: key derivation that takes memory.
//
// Owns: loading libargon2, and OpenSSL's own function where that is not installed. Must not know: formats.
// After: RFC 9106; the interface of libargon2 (argon2.h); EVP_KDF-ARGON2(7ssl) of OpenSSL 3.2.

import Host

enum Argon2 {
  enum Kind: String, Sendable {
    case argon2i, argon2id
  }

  private typealias Function =
    @convention(c) @Sendable (
      UInt32, UInt32, UInt32, UnsafeRawPointer?, Int, UnsafeRawPointer?, Int,
      UnsafeMutableRawPointer?, Int
    ) -> Int32

  private static let library = RuntimeLibrary([
    "libargon2.so.1", "libargon2.1.dylib", "/opt/homebrew/lib/libargon2.1.dylib",
    "/usr/local/lib/libargon2.1.dylib",
  ])

  /// Whether libargon2 is installed.
  static var isThere: Bool { library != nil }

  /// Derives `count` bytes from a passphrase.
  /// - Parameters:
  ///   - time: passes over the memory.
  ///   - memory: in KiB.
  ///   - lanes: how many threads work at once.
  ///   - usesOpenSSL: as if libargon2 were not installed.
  static func derive(
    _ kind: Kind, _ passphrase: SecretBytes, salt: [UInt8], time: UInt32, memory: UInt32,
    lanes: UInt32, into room: UnsafeMutableRawPointer, _ count: Int, _ crypto: OpenSSL,
    for file: String, usesOpenSSL: Bool = false
  ) throws(StorageError) {
    if !usesOpenSSL, let library,
      let hash = library.function("\(kind.rawValue)_hash_raw", Function.self)
    {
      let code = hash(
        time, memory, lanes, passphrase.pointer, passphrase.count, salt, salt.count, room, count)
      if code == 0 { return }
      // ARGON2_MEMORY_ALLOCATION_ERROR.
      throw StorageError(
        path: file,
        reason: code == -22
          ? "the host does not have the \(memory / 1024) MiB of memory that a key slot wants"
          : "\(kind.rawValue) does not take what a key slot says (error \(code))")
    }
    let name = kind.rawValue.uppercased()
    guard crypto.hasDerivation(name) else {
      throw StorageError(
        path: file,
        reason: "a key slot needs \(kind.rawValue): install libargon2 (the package libargon2-1 of "
          + "Debian and Ubuntu, libargon2 of Fedora, argon2 of Homebrew), or OpenSSL 3.2 or later")
    }
    let isDone = salt.withUnsafeBytes { salt in
      crypto.derive(
        name,
        [
          .bytes("pass", UnsafeRawPointer(passphrase.pointer), passphrase.count),
          .bytes("salt", salt.baseAddress ?? UnsafeRawPointer(passphrase.pointer), salt.count),
          .number("iter", time), .number("memcost", memory), .number("lanes", lanes),
          // More than one needs OSSL_set_max_threads; the result is the same.
          .number("threads", 1),
        ], into: room, count)
    }
    if !isDone {
      throw StorageError(
        path: file, reason: "OpenSSL's \(name) does not take what a key slot says")
    }
  }
}
