// Small bootable discs for tests, made after the El Torito specification 1.0 (chapters 2 and 3).
//
// Owns: boot record, catalog, where the images lie. Must not know: what is in the images.

/// A disc: sectors that begin and end with their number, a boot record, a catalog, one boot image.
struct ElToritoDisc {
  /// The bytes of the file, sectors of 2048 bytes.
  private(set) var bytes: [UInt8]

  static let sectorSize = 2048
  static let catalog = 20
  static let image = 64
  /// Sectors behind the image that nothing else is in.
  static let spare = 60

  var sectors: Int { bytes.count / Self.sectorSize }
  /// The first of forty sectors that begin and end with their numbers.
  var filler: Int { sectors - 50 }

  /// An entry of the catalog (figures 4 and 5 of the specification).
  struct Entry {
    var indicator: UInt8 = 0x88
    var kind: UInt8 = 0
    var loadSegment: UInt16 = 0
    var system: UInt8 = 0
    var count: UInt16 = 1
    var image = UInt32(ElToritoDisc.image)

    var bytes: [UInt8] {
      var bytes = [UInt8](repeating: 0, count: 32)
      bytes[0] = indicator
      bytes[1] = kind
      put(UInt32(loadSegment), 2, into: &bytes, at: 2)
      bytes[4] = system
      put(UInt32(count), 2, into: &bytes, at: 6)
      put(image, 4, into: &bytes, at: 8)
      return bytes
    }
  }

  /// A disc with `image`, of which only the first entry of the catalog speaks.
  init(image: [UInt8], entry: Entry) {
    let size = Self.sectorSize
    let count = Self.image + (image.count + size - 1) / size + Self.spare
    bytes = [UInt8](repeating: 0, count: count * size)
    for sector in 0..<count {
      put(UInt32(sector), 4, into: &bytes, at: sector * size)
      put(UInt32(sector), 4, into: &bytes, at: sector * size + size - 4)
    }
    write([0] + Array("CD001".utf8) + [1] + Array("EL TORITO SPECIFICATION".utf8), at: 17 * size)
    put(UInt32(Self.catalog), 4, into: &bytes, at: 17 * size + 0x47)
    write([UInt8](repeating: 0, count: size), at: Self.catalog * size)
    setPlatform(0)
    write(entry.bytes, at: Self.catalog * size + 32)
    write(image, at: Self.image * size)
  }

  /// Something else altogether.
  init(bytes: [UInt8]) { self.bytes = bytes }

  /// Puts bytes anywhere.
  mutating func write(_ contents: [UInt8], at offset: Int) {
    bytes.replaceSubrange(offset..<offset + contents.count, with: contents)
  }

  /// Puts bytes into the catalog.
  mutating func writeCatalog(_ contents: [UInt8], at offset: Int) {
    write(contents, at: Self.catalog * Self.sectorSize + offset)
  }

  /// Writes the validation entry: 0 80x86, 1 PowerPC, 2 Macintosh.
  mutating func setPlatform(_ platform: UInt8) {
    var entry = [UInt8](repeating: 0, count: 32)
    entry[0] = 1
    entry[1] = platform
    entry[0x1E] = 0x55
    entry[0x1F] = 0xAA
    let sum = stride(from: 0, to: 32, by: 2).reduce(0) {
      $0 + Int(entry[$1]) + Int(entry[$1 + 1]) << 8
    }
    put(UInt32((0x10000 - sum & 0xFFFF) & 0xFFFF), 2, into: &entry, at: 0x1C)
    writeCatalog(entry, at: 0)
  }

  /// A section header: what of, how many entries, whether other headers follow.
  static func header(platform: UInt8 = 0, count: UInt16, isLast: Bool) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 32)
    bytes[0] = isLast ? 0x91 : 0x90
    bytes[1] = platform
    put(UInt32(count), 2, into: &bytes, at: 2)
    return bytes
  }
}

/// Stores the low `width` bytes of `value`, low byte first.
func put(_ value: UInt32, _ width: Int, into bytes: inout [UInt8], at offset: Int) {
  for index in 0..<width {
    bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt32(index)))
  }
}
