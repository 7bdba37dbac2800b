// Numbers in the headers of images, in either order of bytes.
//
// Owns: reading and writing them inside an array of bytes, and the words of a refusal. Must not know: any format.

/// The bytes of a structure in a file. Offsets are the manual's, not the file's.
struct Fields {
  var bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// A structure of zeros.
  init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }

  var count: Int { bytes.count }

  /// A little-endian number.
  func little<Number: FixedWidthInteger>(_ at: Int, as: Number.Type = Number.self) -> Number {
    bytes.withUnsafeBytes {
      Number(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: Number.self))
    }
  }

  /// A big-endian number.
  func big<Number: FixedWidthInteger>(_ at: Int, as: Number.Type = Number.self) -> Number {
    bytes.withUnsafeBytes {
      Number(bigEndian: $0.loadUnaligned(fromByteOffset: at, as: Number.self))
    }
  }

  mutating func setLittle<Number: FixedWidthInteger>(_ at: Int, _ value: Number) {
    bytes.withUnsafeMutableBytes {
      $0.storeBytes(of: value.littleEndian, toByteOffset: at, as: Number.self)
    }
  }

  mutating func setBig<Number: FixedWidthInteger>(_ at: Int, _ value: Number) {
    bytes.withUnsafeMutableBytes {
      $0.storeBytes(of: value.bigEndian, toByteOffset: at, as: Number.self)
    }
  }

  /// Puts bytes at an offset; they fit.
  mutating func set(_ at: Int, _ part: some Collection<UInt8>) {
    bytes.replaceSubrange(at..<at + part.count, with: part)
  }

  func slice(_ at: Int, _ count: Int) -> [UInt8] { Array(bytes[at..<at + count]) }

  func starts(with signature: [UInt8], at offset: Int = 0) -> Bool {
    bytes.count >= offset + signature.count
      && bytes[offset..<offset + signature.count].elementsEqual(signature)
  }
}

extension ByteStore {
  /// A refusal of this file.
  func refusal(at offset: UInt64? = nil, _ reason: String) -> StorageError {
    StorageError(path: name, offset: offset, reason: reason)
  }

  /// A structure that must be there as a whole.
  func fields(at offset: UInt64, count: Int, _ what: String) throws(StorageError) -> Fields {
    guard offset <= size, UInt64(count) <= size - offset else {
      throw refusal(at: offset, "\(what) is cut short: the file ends at \(size) bytes")
    }
    return Fields(try bytes(at: offset, count: count))
  }

  /// Makes the file at least so long.
  /// Where the first byte at or behind `offset` is that is not 0; nil: there is none.
  func firstNonzero(from offset: UInt64) throws(StorageError) -> UInt64? {
    var at = nextData(from: offset)
    while at < size {
      let bytes = try bytes(at: at, count: 1 << 20)
      if let index = bytes.firstIndex(where: { $0 != 0 }) { return at + UInt64(index) }
      at = nextData(from: at + UInt64(bytes.count))
    }
    return nil
  }

  func grow(to size: UInt64) throws(StorageError) { if size > self.size { try setSize(size) } }
}

extension UInt64 {
  /// The next multiple of a power of two or of any other number above 0; the caller knows that there is one.
  func rounded(upTo unit: UInt64) -> UInt64 {
    let rest = self % unit
    return rest == 0 ? self : self - rest + unit
  }
}

/// Text as other systems keep it.
enum WideText {
  /// UTF-16 with the low byte first; ends before a zero.
  static func little(_ bytes: [UInt8]) -> String? { text(bytes, low: 0) }
  /// UTF-16 with the high byte first; ends before a zero.
  static func big(_ bytes: [UInt8]) -> String? { text(bytes, low: 1) }

  private static func text(_ bytes: [UInt8], low: Int) -> String? {
    var units: [UInt16] = []
    for at in stride(from: 0, to: bytes.count & ~1, by: 2) {
      let unit = UInt16(bytes[at + low]) | UInt16(bytes[at + 1 - low]) << 8
      if unit == 0 { break }
      units.append(unit)
    }
    return String(validating: units, as: UTF16.self)
  }

  static func littleBytes(_ text: String) -> [UInt8] {
    text.utf16.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
  }

  static func bigBytes(_ text: String) -> [UInt8] {
    text.utf16.flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] }
  }

  /// A path as Windows writes it, as one relative to the image's folder; nil when it is absolute.
  static func relativePath(_ text: String) -> String? {
    var path = text.replacing("\\", with: "/")
    // Behind that no drive's letter stands.
    let isHere = path.hasPrefix("./")
    while path.hasPrefix("./") { path.removeFirst(2) }
    if path.isEmpty || path.hasPrefix("/") { return nil }
    if !isHere && path.dropFirst().hasPrefix(":") { return nil }
    return path
  }

  /// What stands behind the last separator of a path of any system.
  static func lastComponent(_ text: String) -> String? {
    let slashes = text.split(whereSeparator: { $0 == "/" || $0 == "\\" })
    guard slashes.count == 1, let only = slashes.first, only.count == text.count else {
      return slashes.last.map(String.init)
    }
    // Macintosh, or a drive's letter without a folder.
    return only.split(separator: ":").last.map(String.init)
  }
}
