// CDs, as far as they are told apart from disks: some are both.
//
// Owns: recognising CD images; which of them can be used as a disk. Must not know: geometries, drives.
// After: ECMA-119 (ISO 9660) 8.1 and 8.2, the El Torito specification 1.0 (boot record volume descriptor), ECMA-130 (raw sectors).

/// A CD image: refused, unless the same bytes are a bootable disk (isohybrid).
struct CDFormat: ImageFormat {
  let name = "CD"

  /// What kind of CD a file is, or nil.
  private func description(_ store: any ByteStore) throws(StorageError) -> (
    what: String, isHybrid: Bool
  )? {
    let head = try store.bytes(at: 0, count: 512)
    // Raw CD dumps begin each 2352-byte sector with a synchronisation pattern.
    if head.starts(with: [0x00] + [UInt8](repeating: 0xFF, count: 10) + [0x00]) {
      return ("sectors of 2352 bytes", false)
    }
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
    // Who says that it is a disk or a floppy has it as one.
    if context.kind == .disk || context.kind == .floppy { return nil }
    return try description(store) == nil ? nil : .certain
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    let (what, isHybrid) = try description(store) ?? ("", false)
    guard isHybrid else {
      throw StorageError(
        path: store.name, reason: "is a CD image (\(what)); CDs are not supported yet")
    }
    // The small ones are rescue floppies; what does not fit on 1.44 MB was meant for larger media.
    if store.size <= UInt64(FloppyFormat.all[6].byteCount) {
      return ImageContents(
        RawImage(store), kind: .floppy,
        notes: ["a CD image (\(what)) that also boots from a floppy: used as one"])
    }
    return ImageContents(
      RawImage(store), kind: .disk,
      notes: ["a CD image (\(what)) that is also a bootable disk: used as a disk"])
  }
}
