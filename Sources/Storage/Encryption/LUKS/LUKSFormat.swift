// LUKS: encrypted disks as Linux has them, versions 1 and 2.
//
// Owns: recognising them, opening them with a key. Must not know: what is on the disk: that is raw whatever it looks like, as the guest wrote
// it.
// After: LUKS1 On-Disk Format Specification 1.2.3; LUKS2 On-Disk Format Specification 1.1.3.

/// A file that is a LUKS container.
public struct LUKSFormat: ImageFormat {
  public let name = "luks"

  public init() {}

  public func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    try store.bytes(at: 0, count: 6) == LUKSContainer.magic ? .certain : nil
  }

  static func container(_ store: any ByteStore) throws(StorageError) -> LUKSContainer {
    let head = Fields(try store.bytes(at: 0, count: 8))
    if head.count == 8, head.bytes.starts(with: LUKSContainer.magic) {
      let version: UInt16 = head.big(6)
      if version == 1 { return try LUKS1Header.read(store) }
      if version != 2 {
        throw StorageError(
          path: store.name, offset: 6,
          reason: "is a LUKS container of version \(version); 1 and 2 are known")
      }
    }
    return try LUKS2Header.read(store).container
  }

  public func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> ImageContents
  {
    if context.kind == .cd {
      throw StorageError(path: store.name, reason: "is a LUKS container, which is a disk, not a CD")
    }
    let container = try LUKSFormat.container(store)
    let key =
      context.mayStayLocked && context.keys == nil
      ? nil : try container.volumeKey(store, base: 0, context.keys)
    let image = try LUKSImage(store, container, key: key)
    var note =
      "a LUKS\(container.version) container, \(container.cipher.text) with a key of "
      + "\(container.keySize * 8) bits"
    if container.sectorSize != 512 { note += ", sectors of \(container.sectorSize) bytes" }
    if let slot = key?.slot { note += ", opened by key slot \(slot)" }
    return ImageContents(
      image, kind: .disk, notes: [note], warnings: container.warnings.map { "\(store.name): \($0)" }
    )
  }
}
