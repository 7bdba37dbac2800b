// How contents become names.
//
// Owns: SHA-256 by whatever does it quickest here. Must not know: what is hashed.
// After: FIPS 180-4; the manual page EVP_DigestInit(3ssl) of OpenSSL 3.0.
//
// OpenSSL uses the processor's own instructions, which is five to ten times as quick as Swift. It is loaded when the first name is wanted;
// where there is none, Storage's SHA-256 gives the same names.

import Storage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Names of a store: plain hashes, or those that its keys make.
struct Naming: Sendable {
  var seal: (any ContentSeal)?

  /// The name of contents that are not all zeros.
  func name(_ bytes: UnsafeRawBufferPointer) -> ContentName {
    if let seal { return seal.name(bytes) }
    return Naming.digest(bytes)
  }

  /// SHA-256.
  static func digest(_ bytes: UnsafeRawBufferPointer) -> ContentName {
    if let library = HashLibrary.shared, let name = library.digest(bytes) { return name }
    return digestInSwift(bytes)
  }

  /// The same without a library.
  static func digestInSwift(_ bytes: UnsafeRawBufferPointer) -> ContentName {
    var hash = SHA256()
    hash.add(bytes)
    return hash.finish().withUnsafeBytes { ContentName($0.baseAddress.unsafelyUnwrapped) }
  }
}

extension ContentName {
  /// SHA-256 of bytes.
  public static func digest(of bytes: UnsafeRawBufferPointer) -> ContentName {
    Naming.digest(bytes)
  }
}

/// OpenSSL's SHA-256.
private struct HashLibrary: Sendable {
  private typealias Fetch =
    @convention(c) @Sendable (OpaquePointer?, UnsafePointer<CChar>, UnsafePointer<CChar>?) ->
    OpaquePointer?
  private typealias Digest =
    @convention(c) @Sendable (
      UnsafeRawPointer?, Int, UnsafeMutableRawPointer?, UnsafeMutablePointer<UInt32>?,
      OpaquePointer?, OpaquePointer?
    ) -> Int32

  private let run: Digest
  /// The algorithm's address as a number. It stays for as long as the process runs.
  private let algorithm: UInt

  static let shared: HashLibrary? = HashLibrary([
    "libcrypto.so.3", "libcrypto.3.dylib", "/opt/homebrew/opt/openssl@3/lib/libcrypto.3.dylib",
    "/usr/local/opt/openssl@3/lib/libcrypto.3.dylib",
  ])

  private init?(_ names: [String]) {
    for name in names {
      guard let library = dlopen(name, RTLD_NOW | RTLD_LOCAL) else { continue }
      guard let fetch = dlsym(library, "EVP_MD_fetch"), let digest = dlsym(library, "EVP_Digest"),
        let found = unsafeBitCast(fetch, to: Fetch.self)(nil, "SHA256", nil)
      else { return nil }
      run = unsafeBitCast(digest, to: Digest.self)
      algorithm = UInt(bitPattern: found)
      return
    }
    return nil
  }

  func digest(_ bytes: UnsafeRawBufferPointer) -> ContentName? {
    var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    return withUnsafeMutableBytes(of: &words) { room in
      let isDone = run(
        bytes.baseAddress, bytes.count, room.baseAddress, nil, OpaquePointer(bitPattern: algorithm),
        nil)
      return isDone == 1 ? ContentName(UnsafeRawPointer(room.baseAddress.unsafelyUnwrapped)) : nil
    }
  }
}
