// VHD images: those of Connectix, Virtual PC, Hyper-V, and of all who write for them.
//
// Owns: recognising them, finding the good footer, the parent. Must not know: blocks.
// After: Virtual Hard Disk Image Format Specification 1.0 (Microsoft).

/// Fixed, dynamic and differencing VHD images.
struct VHDFormat: ImageFormat {
  let name = "vhd"

  /// A footer that was found.
  struct Found {
    var footer: VHDFooter
    /// Where the good one at the end is, nil when only the copy at the beginning is good.
    var place: UInt64?
    /// Whether the copy at the beginning is the same; nil: a fixed image has none.
    var hasGoodCopy: Bool?
    /// The copy is whole and of the same image: what a power failure leaves while the disk gets another size.
    var copyIsOlder = false
  }

  /// The bytes where a footer could be: 512 at the end, or 511 behind the last whole sector.
  private static func ending(_ store: any ByteStore) throws(StorageError) -> (
    place: UInt64, bytes: [UInt8]
  )? {
    guard store.size >= 2 * VHDFooter.size - 1 else { return nil }
    let length: UInt64 = store.size % 512 == 511 ? 511 : 512
    let place = store.size - length
    return (place, try store.bytes(at: place, count: Int(length)))
  }

  /// The footer that counts.
  static func find(_ store: any ByteStore) throws(StorageError) -> Found? {
    let head = try store.bytes(at: 0, count: 512)
    let copy = VHDFooter(head)
    if let (place, bytes) = try ending(store), let footer = VHDFooter(bytes) {
      let isFixed = footer.kind == .fixed
      return Found(
        footer: footer, place: place, hasGoodCopy: isFixed ? nil : copy?.bytes == footer.bytes,
        copyIsOlder: copy?.uniqueID == footer.uniqueID && copy?.kind == footer.kind)
    }
    // A fixed image has no copy: what is in front there is the disk's.
    if let copy, copy.kind != .fixed { return Found(footer: copy, hasGoodCopy: true) }
    return nil
  }

  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    if let found = try VHDFormat.find(store) {
      if found.footer.kind == .fixed {
        // A fixed one can be used as a floppy as it is; the others are no raw disk.
        return context.kind == .floppy ? nil : .likely
      }
      return .certain
    }
    // Damaged ones are refused in words, not booted.
    if try store.bytes(at: 0, count: 8) == VHDFooter.cookie { return .certain }
    if let (_, bytes) = try VHDFormat.ending(store), bytes.starts(with: VHDFooter.cookie) {
      return context.kind == .floppy ? nil : .likely
    }
    return nil
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    let opened = try VHDFormat.openMap(store, context)
    return ImageContents(
      MappedImage(opened.map), kind: .disk, notes: opened.notes, warnings: opened.warnings)
  }

  /// The map of an image, and what is to be said of it.
  /// - Parameter findsParent: a check needs none.
  static func openMap(
    _ store: any ByteStore, _ context: ImageContext, findsParent: Bool = true
  ) throws(StorageError) -> (
    map: VHDMap, notes: [String], warnings: [String]
  ) {
    guard let found = try find(store) else {
      throw store.refusal(
        at: try ending(store)?.place,
        "is a VHD image whose footer is damaged: its check sum is wrong")
    }
    let footer = found.footer
    let footerOffset = found.place ?? 0
    guard let kind = footer.kind else {
      throw store.refusal(
        at: footerOffset + UInt64(VHDFooter.Offset.kind),
        "a VHD image of kind \(footer.rawKind), which is not known")
    }
    guard footer.version >> 16 == 1 else {
      throw store.refusal(
        at: footerOffset + UInt64(VHDFooter.Offset.version),
        "version \(footer.version >> 16) of the VHD format")
    }
    var (sectors, reason) = footer.sectorCount
    guard sectors > 0 || footer.currentSize == 0, footer.currentSize <= 1 << 50 else {
      throw store.refusal(
        at: footerOffset + UInt64(VHDFooter.Offset.currentSize),
        "a disk of \(footer.currentSize) bytes")
    }
    var warnings: [String] = []
    if footer.isSavedState {
      warnings.append(
        "\(store.name): belongs to a saved state of a virtual machine, which will not go with it once it is written"
      )
    }
    var header: VHDHeader?
    var base: (any BlockDevice)?
    var baseByteCount: UInt64 = 0
    if kind == .fixed {
      let kept = footerOffset / 512
      if sectors > kept {
        throw store.refusal(
          at: footerOffset + UInt64(VHDFooter.Offset.currentSize),
          "a disk of \(sectors) sectors, but the file has \(kept)")
      }
    } else {
      let found = try VHDHeader(store, at: footer.dataOffset)
      let room = UInt64(found.entryCount) * (found.blockSize / 512)
      if sectors > room {
        throw store.refusal(
          at: found.offset + UInt64(VHDHeader.Offset.maxTableEntries),
          "a table for \(room) sectors, but the disk has \(sectors)")
      }
      header = found
      if kind == .differencing, findsParent {
        let parent = try parent(found, store, context)
        baseByteCount = parent.byteCount
        base = parent.below(byteCount: sectors * 512, blockSize: 512)
      }
    }
    if found.place == nil {
      warnings.append(
        "\(store.name): the footer at the end is missing or damaged; its copy at the beginning is used"
      )
    }
    if kind == .fixed { reason += "; the footer at the end is left alone" }
    let map = VHDMap(
      store, footer, header, sectorCount: sectors, footerPlace: found.place, base: base,
      baseByteCount: baseByteCount)
    let notes = [
      "a \(kind.words) image by \(footer.creatorText)"
        + (header.map { " in blocks of \($0.blockSize) bytes" } ?? ""),
      "\(sectors) sectors: \(reason)",
    ]
    return (map, notes, warnings)
  }

  /// The image below: the first of its names that leads to a file, if that is the one that is meant.
  private static func parent(
    _ header: VHDHeader, _ store: any ByteStore, _ context: ImageContext
  ) throws(StorageError) -> any BlockDevice {
    let names = try header.parentNames(store)
    guard let device = try ParentFinder.find(names, store, context) else {
      throw store.refusal(
        at: header.offset + UInt64(VHDHeader.Offset.locators),
        "does not say what its parent is called")
    }
    let wanted = header.parentID
    if let own = ParentFinder.identity(of: device), own != wanted, wanted != .zero {
      throw store.refusal(
        at: header.offset + UInt64(VHDHeader.Offset.parentUniqueID),
        "stands above the image \(wanted), but '\(device.name)' is \(own)")
    }
    return device
  }
}
