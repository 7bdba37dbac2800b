// Raw disks, and raw disks with a footer: fixed VHD.
//
// Owns: recognising them. Must not know: geometries. After: Virtual Hard Disk Image Format Specification 1.0 (Microsoft), "Hard Disk Footer Format".

/// The bytes of the file are those of the disk. Any file can be that, so this is what is left when it is nothing else.
struct RawFormat: ImageFormat {
  let name = "raw"

  func probe(_ store: any ByteStore, _ context: ImageContext) -> FormatConfidence? { .possible }

  func open(_ store: any ByteStore, _ context: ImageContext) -> ImageContents {
    ImageContents(RawImage(store))
  }
}

/// A raw disk with a footer of 512 bytes behind it that is not part of it.
struct FixedVHDFormat: ImageFormat {
  let name = "fixed VHD"
  /// The footer's first field, and the byte that tells the kinds apart (2: fixed, 3: dynamic, 4: differencing).
  static let cookie = Array("conectix".utf8)
  private static let footerSize: UInt64 = 512
  private static let kindOffset = 63
  private static let fixedKind: UInt8 = 2

  /// The last sector, if it is a footer.
  static func footer(_ store: any ByteStore) throws(StorageError) -> [UInt8]? {
    guard store.size >= 2 * footerSize, store.size % 512 == 0 else { return nil }
    let footer = try store.bytes(at: store.size - footerSize, count: Int(footerSize))
    return footer.starts(with: cookie) ? footer : nil
  }

  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    guard let footer = try FixedVHDFormat.footer(store) else { return nil }
    // A fixed one can be used as a floppy as it is; the others are no raw disk.
    if footer[FixedVHDFormat.kindOffset] == FixedVHDFormat.fixedKind && context.kind == .floppy {
      return nil
    }
    return .likely
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    let footer = try FixedVHDFormat.footer(store) ?? []
    guard footer.count > FixedVHDFormat.kindOffset,
      footer[FixedVHDFormat.kindOffset] == FixedVHDFormat.fixedKind
    else {
      throw StorageError(
        path: store.name, reason: "is a dynamic VHD image; only raw images are supported")
    }
    return ImageContents(
      RawImage(store, blockCount: (store.size - FixedVHDFormat.footerSize) / 512), kind: .disk,
      notes: ["a VHD footer at the end is left alone"])
  }
}
