// QCOW2: QEMU's image format, versions 2 and 3.
//
// Owns: recognising and opening it with its base and its data file. Must not know: which files those are.
// After: QEMU, docs/interop/qcow2.txt.

public struct QCOW2Format: CheckableFormat {
  public let name = "qcow2"

  public init() {}

  public func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    try store.bytes(at: 0, count: 4) == QCOW2Header.magic ? .certain : nil
  }

  public func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> ImageContents
  {
    try open(store, context, snapshot: nil)
  }

  /// Opens an image, or one of its snapshots, by name or ID, for reading.
  public func open(_ store: any ByteStore, _ context: ImageContext, snapshot nameOrID: String?)
    throws(StorageError) -> ImageContents
  {
    if context.kind == .cd {
      throw StorageError(path: store.name, reason: "is a qcow2 image, which is a disk, not a CD")
    }
    let header = try QCOW2Header(store)
    var snapshot: QCOW2Snapshot?
    if let nameOrID {
      snapshot = try QCOW2Snapshot.find(
        nameOrID, in: try QCOW2Snapshot.table(store, header).snapshots, store.name)
    }
    var data: (any ByteStore)?
    if header.isExternal {
      guard let name = header.dataFileName else {
        throw StorageError(
          path: store.name, offset: 72, reason: "has its data in another file, but does not name it"
        )
      }
      data = try context.file(named: name)
    }
    var base: (any BlockDevice)?
    if let name = header.backingName {
      base = try context.base(
        named: name.hasPrefix("file:") ? String(name.dropFirst(5)) : name,
        formatName: header.backingFormat)
    }
    let encryption = try QCOW2Encryption.open(header, store, context)
    let image = try QCOW2Image(
      store, header, data: data, base: base, snapshot: snapshot, encryption: encryption)
    var contents = ImageContents(image, kind: .disk, notes: notes(header))
    if header.incompatible & QCOW2Header.Incompatible.corrupt != 0 {
      contents.warnings.append(
        "\(store.name): is marked as corrupt, so it is not written; a repair may mend it")
    }
    return contents
  }

  private func notes(_ header: QCOW2Header) -> [String] {
    var note =
      "a qcow2 image of version \(header.version) with clusters of \(1 << header.clusterBits) bytes"
    if header.encryption != nil { note += ", encrypted by LUKS" }
    if header.layout.hasExtendedL2 { note += ", extended L2 entries" }
    if header.compressionType == 1 { note += ", compressed by zstd" }
    if header.snapshotCount > 0 { note += ", \(header.snapshotCount) snapshots" }
    if let name = header.dataFileName, header.isExternal { note += ", its data in \(name)" }
    var notes = [note]
    if let name = header.backingName {
      notes.append("over the base \(name)" + (header.backingFormat.map { " (\($0))" } ?? ""))
    }
    return notes
  }

  public func check(_ store: any ByteStore, _ repair: ImageRepair, _ context: ImageContext)
    throws(StorageError) -> ImageCheck
  {
    try QCOW2Checker(store, repair: repair).run()
  }
}
