// OpenSSL 3: ciphers, hashes, key derivation, random numbers.
//
// Owns: the library's functions, under their own names, loaded when the first encrypted image is opened. Must not know: formats.
// After: the manual pages EVP_EncryptInit(3ssl), EVP_DigestInit(3ssl), PKCS5_PBKDF2_HMAC(3ssl), EVP_KDF(3ssl), RAND_bytes(3ssl),
// OSSL_PARAM(3ssl) of OpenSSL 3.0.

// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Host

/// The functions that are used.
struct OpenSSL: Sendable {
  typealias Pointer = OpaquePointer
  typealias Bytes = UnsafeRawPointer
  typealias Room = UnsafeMutableRawPointer

  let EVP_CIPHER_fetch:
    @convention(c) @Sendable (Pointer?, UnsafePointer<CChar>, UnsafePointer<CChar>?) -> Pointer?
  let EVP_CIPHER_free: @convention(c) @Sendable (Pointer?) -> Void
  let EVP_CIPHER_get_key_length: @convention(c) @Sendable (Pointer?) -> Int32
  let EVP_CIPHER_get_iv_length: @convention(c) @Sendable (Pointer?) -> Int32
  let EVP_CIPHER_CTX_new: @convention(c) @Sendable () -> Pointer?
  let EVP_CIPHER_CTX_free: @convention(c) @Sendable (Pointer?) -> Void
  let EVP_CIPHER_CTX_set_padding: @convention(c) @Sendable (Pointer?, Int32) -> Int32
  let EVP_CIPHER_CTX_ctrl: @convention(c) @Sendable (Pointer?, Int32, Int32, Room?) -> Int32
  let EVP_CipherInit_ex:
    @convention(c) @Sendable (Pointer?, Pointer?, Pointer?, Bytes?, Bytes?, Int32) -> Int32
  let EVP_CipherUpdate:
    @convention(c) @Sendable (Pointer?, Room?, UnsafeMutablePointer<Int32>, Bytes?, Int32) -> Int32
  let EVP_CipherFinal_ex:
    @convention(c) @Sendable (Pointer?, Room?, UnsafeMutablePointer<Int32>) -> Int32
  let EVP_MD_fetch:
    @convention(c) @Sendable (Pointer?, UnsafePointer<CChar>, UnsafePointer<CChar>?) -> Pointer?
  let EVP_MD_free: @convention(c) @Sendable (Pointer?) -> Void
  let EVP_MD_get_size: @convention(c) @Sendable (Pointer?) -> Int32
  let EVP_Digest:
    @convention(c) @Sendable (
      Bytes?, Int, Room?, UnsafeMutablePointer<UInt32>?, Pointer?, Pointer?
    ) -> Int32
  let PKCS5_PBKDF2_HMAC:
    @convention(c) @Sendable (
      Bytes?, Int32, Bytes?, Int32, Int32, Pointer?, Int32, Room?
    ) -> Int32
  let EVP_KDF_fetch:
    @convention(c) @Sendable (Pointer?, UnsafePointer<CChar>, UnsafePointer<CChar>?) -> Pointer?
  let EVP_KDF_free: @convention(c) @Sendable (Pointer?) -> Void
  let EVP_KDF_CTX_new: @convention(c) @Sendable (Pointer?) -> Pointer?
  let EVP_KDF_CTX_free: @convention(c) @Sendable (Pointer?) -> Void
  let EVP_KDF_derive: @convention(c) @Sendable (Pointer?, Room?, Int, Bytes?) -> Int32
  let RAND_priv_bytes: @convention(c) @Sendable (Room?, Int32) -> Int32
  let CRYPTO_memcmp: @convention(c) @Sendable (Bytes?, Bytes?, Int) -> Int32

  private static let library = RuntimeLibrary([
    "libcrypto.so.3", "libcrypto.3.dylib", "/opt/homebrew/opt/openssl@3/lib/libcrypto.3.dylib",
    "/usr/local/opt/openssl@3/lib/libcrypto.3.dylib",
  ])

  /// Loaded once, by whoever asks first.
  private static let shared: OpenSSL? = library.flatMap { OpenSSL($0) }

  private init?(_ library: RuntimeLibrary) {
    func need<Function>(_ name: String) throws(Missing) -> Function {
      guard let function = library.function(name, Function.self) else { throw Missing() }
      return function
    }
    do throws(Missing) {
      EVP_CIPHER_fetch = try need("EVP_CIPHER_fetch")
      EVP_CIPHER_free = try need("EVP_CIPHER_free")
      EVP_CIPHER_get_key_length = try need("EVP_CIPHER_get_key_length")
      EVP_CIPHER_get_iv_length = try need("EVP_CIPHER_get_iv_length")
      EVP_CIPHER_CTX_new = try need("EVP_CIPHER_CTX_new")
      EVP_CIPHER_CTX_free = try need("EVP_CIPHER_CTX_free")
      EVP_CIPHER_CTX_set_padding = try need("EVP_CIPHER_CTX_set_padding")
      EVP_CIPHER_CTX_ctrl = try need("EVP_CIPHER_CTX_ctrl")
      EVP_CipherInit_ex = try need("EVP_CipherInit_ex")
      EVP_CipherUpdate = try need("EVP_CipherUpdate")
      EVP_CipherFinal_ex = try need("EVP_CipherFinal_ex")
      EVP_MD_fetch = try need("EVP_MD_fetch")
      EVP_MD_free = try need("EVP_MD_free")
      EVP_MD_get_size = try need("EVP_MD_get_size")
      EVP_Digest = try need("EVP_Digest")
      PKCS5_PBKDF2_HMAC = try need("PKCS5_PBKDF2_HMAC")
      EVP_KDF_fetch = try need("EVP_KDF_fetch")
      EVP_KDF_free = try need("EVP_KDF_free")
      EVP_KDF_CTX_new = try need("EVP_KDF_CTX_new")
      EVP_KDF_CTX_free = try need("EVP_KDF_CTX_free")
      EVP_KDF_derive = try need("EVP_KDF_derive")
      RAND_priv_bytes = try need("RAND_priv_bytes")
      CRYPTO_memcmp = try need("CRYPTO_memcmp")
    } catch { return nil }
  }

  private struct Missing: Error {}

  /// Whether it is installed.
  static var isThere: Bool { shared != nil }

  /// The library, for work on a file.
  /// - Throws: which package is to be installed.
  static func load(for file: String) throws(StorageError) -> OpenSSL {
    if let shared { return shared }
    throw StorageError(
      path: file,
      reason: "is encrypted, which needs OpenSSL 3 (libcrypto.so.3): install the package libssl3 "
        + "(Debian, Ubuntu), openssl-libs (Fedora) or openssl@3 (Homebrew)")
  }
}

extension OpenSSL {
  /// Random bytes for keys and salts.
  func random(_ room: UnsafeMutableRawPointer, _ count: Int, for file: String) throws(StorageError)
  {
    guard let count = Int32(exactly: count), RAND_priv_bytes(room, count) == 1 else {
      throw StorageError(path: file, reason: "the host gives no random numbers")
    }
  }

  func random(_ count: Int, for file: String) throws(StorageError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try StorageError.passing { failure in
      bytes.withUnsafeMutableBytes { buffer in
        do throws(StorageError) { try random(buffer.baseAddress!, count, for: file) } catch {
          failure = error
        }
      }
    }
    return bytes
  }

  /// Whether two runs of bytes are equal; the time says nothing about where they differ.
  func isEqual(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Bool {
    CRYPTO_memcmp(a, b, count) == 0
  }

  // MARK: Key derivation by name

  /// A parameter of OpenSSL's: OSSL_PARAM.
  enum Parameter {
    case text(String, String)
    case bytes(String, UnsafeRawPointer, Int)
    case number(String, UInt32)
  }

  /// Whether a key derivation function is there.
  func hasDerivation(_ name: String) -> Bool {
    guard let kdf = EVP_KDF_fetch(nil, name, nil) else { return false }
    EVP_KDF_free(kdf)
    return true
  }

  /// Derives `count` bytes by a function with parameters; false: it is not there, or does not take them.
  func derive(
    _ name: String, _ parameters: [Parameter], into room: UnsafeMutableRawPointer, _ count: Int
  ) -> Bool {
    guard let kdf = EVP_KDF_fetch(nil, name, nil) else { return false }
    defer { EVP_KDF_free(kdf) }
    guard let context = EVP_KDF_CTX_new(kdf) else { return false }
    defer { EVP_KDF_CTX_free(context) }
    // struct { const char *key; unsigned data_type; void *data; size_t data_size; size_t return_size; }, ended by a key of NULL.
    let (stride, arena) = (40, 256)
    let table = UnsafeMutableRawPointer.allocate(
      byteCount: (parameters.count + 1) * (stride + arena), alignment: 8)
    table.initializeMemory(
      as: UInt8.self, repeating: 0, count: (parameters.count + 1) * (stride + arena))
    defer { table.deallocate() }
    let rooms = table + (parameters.count + 1) * stride
    for (n, parameter) in parameters.enumerated() {
      let entry = table + n * stride
      let own = rooms + n * arena
      func put(_ key: String, _ kind: UInt32, _ data: UnsafeRawPointer, _ size: Int) {
        // The names and words are short; see where they are made.
        let words = Array(key.utf8.prefix(63)) + [0]
        (own + 128).copyMemory(from: words, byteCount: words.count)
        entry.storeBytes(of: UInt(bitPattern: own + 128), as: UInt.self)
        entry.storeBytes(of: kind, toByteOffset: 8, as: UInt32.self)
        entry.storeBytes(of: UInt(bitPattern: data), toByteOffset: 16, as: UInt.self)
        entry.storeBytes(of: size, toByteOffset: 24, as: Int.self)
        entry.storeBytes(of: UInt.max, toByteOffset: 32, as: UInt.self)
      }
      switch parameter {
      case .number(let key, let value):
        own.storeBytes(of: value, as: UInt32.self)
        put(key, 2, own, 4)
      case .text(let key, let value):
        let words = Array(value.utf8.prefix(63)) + [0]
        own.copyMemory(from: words, byteCount: words.count)
        put(key, 4, own, words.count - 1)
      case .bytes(let key, let data, let size): put(key, 5, data, size)
      }
    }
    return EVP_KDF_derive(context, room, count, table) == 1
  }
}
