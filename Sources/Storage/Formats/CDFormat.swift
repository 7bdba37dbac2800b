// CDs and DVDs, as far as they are told apart from disks: some are both.
//
// Owns: recognising CD images and CUE sheets; which of them are used as a disk where nobody says what they are. Must not know: sectors.
// After: ECMA-119 (ISO 9660) 8.1 and 8.2, the El Torito specification 1.0 (boot record volume descriptor), ECMA-130 (raw sectors).

/// A file of the sectors of a disc with one track: an ISO file, or a raw dump of 2352 bytes a sector.
struct CDFormat: ImageFormat {
  let name = "CD"

  /// What kind of CD a file is, or nil.
  private func description(_ store: any ByteStore) throws(StorageError) -> (
    what: String, isHybrid: Bool
  )? {
    let head = try store.bytes(at: 0, count: 512)
    // Raw CD dumps begin each 2352-byte sector with a synchronisation pattern.
    if head.starts(with: CDSector.sync) { return ("sectors of 2352 bytes", false) }
    let volume = try store.bytes(at: 0x8000, count: 0x1000)
    guard volume.count >= 6, volume[1...5].elementsEqual("CD001".utf8) else { return nil }
    let second = volume.count >= 0x848 ? Array(volume[0x807..<0x81E]) : []
    let bootable = second.elementsEqual("EL TORITO SPECIFICATION".utf8)
    return (
      bootable ? "ISO 9660 with El Torito boot" : "ISO 9660", MasterBootRecord(sector: head) != nil
    )
  }

  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    // Who says that it is a disk or a floppy has it as one; a CD may hold anything (HFS, UDF, nothing that is known).
    switch context.kind {
    case .disk, .floppy: return nil
    case .cd: return .certain
    case .auto:
      // Descriptions of discs that are none, or not of a kind that can be read, are refused in words, not booted.
      if [".cue", ".ccd", ".mds"].contains(where: store.name.lowercased().hasSuffix) {
        return .certain
      }
      return try description(store) == nil ? nil : .certain
    }
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    let (what, isHybrid) = try description(store) ?? ("", false)
    guard isHybrid, context.kind == .auto else {
      return ImageContents(try CDContents(sectors: store))
    }
    // The small ones are rescue floppies; what does not fit on 1.44 MB was meant for larger media.
    if store.size <= UInt64(FloppyFormat.all[6].byteCount) {
      return ImageContents(
        RawImage(store), kind: .floppy,
        notes: [
          "a CD image (\(what)) that also boots from a floppy: used as one (--cdrom has it as a CD)"
        ])
    }
    return ImageContents(
      RawImage(store), kind: .disk,
      notes: [
        "a CD image (\(what)) that is also a bootable disk: used as a disk (--cdrom has it as a CD)"
      ])
  }
}

/// A CUE sheet, which names the files with the sectors.
struct CUEFormat: ImageFormat {
  let name = "CUE"

  static func isLikely(_ store: any ByteStore) throws(StorageError) -> Bool {
    guard store.size <= CUESheet.largest else { return false }
    return CUESheet.isLikely(try store.bytes(at: 0, count: Int(store.size)))
  }

  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    if context.kind == .disk || context.kind == .floppy { return nil }
    return try CUEFormat.isLikely(store) ? .certain : nil
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    ImageContents(try CDContents(cue: store, context))
  }
}

extension ImageContents {
  /// A disc.
  fileprivate init(_ disc: CDContents) {
    self.init(CDFiles(disc.stores), kind: .cd, notes: disc.notes, warnings: disc.warnings)
    cd = disc.image
  }
}
