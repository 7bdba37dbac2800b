// The name of an object: what its contents hash to.
//
// Owns: the 32 bytes, comparing them, their text. Must not know: where objects are, what computes names.
// After: FIPS 180-4 (SHA-256), FIPS 198-1 (HMAC).

/// The SHA-256 of an object's contents, or its HMAC-SHA-256 in a store with keys.
@frozen public struct ContentName: Hashable, Sendable, CustomStringConvertible {
  /// The 32 bytes, eight in each word, the first byte in the lowest bits.
  public var words: (UInt64, UInt64, UInt64, UInt64)

  /// Bytes in a name.
  public static let byteCount = 32

  /// The name of zeros of any length. No object has it, and none of zeros is stored.
  public static let zero = ContentName((0, 0, 0, 0))

  @inlinable public init(_ words: (UInt64, UInt64, UInt64, UInt64)) { self.words = words }

  /// Reads 32 bytes.
  @inlinable public init(_ bytes: UnsafeRawPointer) {
    words = (
      UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self)),
      UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
      UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
      UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
    )
  }

  /// Writes 32 bytes.
  @inlinable public func store(to room: UnsafeMutableRawPointer) {
    room.storeBytes(of: words.0.littleEndian, as: UInt64.self)
    room.storeBytes(of: words.1.littleEndian, toByteOffset: 8, as: UInt64.self)
    room.storeBytes(of: words.2.littleEndian, toByteOffset: 16, as: UInt64.self)
    room.storeBytes(of: words.3.littleEndian, toByteOffset: 24, as: UInt64.self)
  }

  /// The 32 bytes.
  public var bytes: [UInt8] {
    [words.0, words.1, words.2, words.3].flatMap { word in
      (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
    }
  }

  @inlinable public static func == (a: ContentName, b: ContentName) -> Bool {
    a.words.0 == b.words.0 && a.words.1 == b.words.1 && a.words.2 == b.words.2
      && a.words.3 == b.words.3
  }

  /// One word is as good as all: they come from a hash.
  @inlinable public func hash(into hasher: inout Hasher) { hasher.combine(words.0) }

  /// 64 hexadecimal digits.
  public var description: String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  /// The first 16 of them, for messages.
  public var short: String { String(description.prefix(16)) }
}
