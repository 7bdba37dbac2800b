// What a VHDX image says of its disk: sizes, identifiers, the parent.
//
// Owns: the metadata table and its items. Must not know: blocks. After: [MS-VHDX] 2.6 "Metadata Region".

struct VHDXMetadata {
  static let tableSize: UInt64 = 64 << 10
  enum Item {
    static let fileParameters = GUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B")!
    static let virtualDiskSize = GUID("2FA54224-CD1B-4876-B211-5DBED83BF4B8")!
    static let virtualDiskID = GUID("BECA12AB-B2E6-4523-93EF-C309E000C746")!
    static let logicalSectorSize = GUID("8141BF1D-A96F-4709-BA47-F233A8FAAB5F")!
    static let physicalSectorSize = GUID("CDA348C7-445D-4471-9CC9-E9885251C556")!
    static let parentLocator = GUID("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C")!
    static let known = [
      fileParameters, virtualDiskSize, virtualDiskID, logicalSectorSize, physicalSectorSize,
      parentLocator,
    ]
  }
  static let locatorType = GUID("B04AEFB7-D19E-4A81-B789-25B8E9445913")!

  private(set) var blockSize: UInt64 = 0
  private(set) var hasParent = false
  private(set) var diskSize: UInt64 = 0
  private(set) var diskID = GUID.zero
  private(set) var sectorSize = 512
  /// The parent's names and identifiers.
  private(set) var parent: [String: String] = [:]
  /// Where the disk's size and the table of the items are in the file.
  private(set) var diskSizeOffset: UInt64 = 0

  init(_ store: any ByteStore, _ region: VHDXRegions.Region) throws(StorageError) {
    let table = try store.fields(
      at: region.offset, count: Int(VHDXMetadata.tableSize), "the metadata table")
    func refuse(_ at: UInt64, _ reason: String) -> StorageError {
      store.refusal(at: region.offset + at, reason)
    }
    guard table.starts(with: Array("metadata".utf8)) else {
      throw refuse(0, "no metadata table is here")
    }
    let count = Int(table.little(10, as: UInt16.self))
    guard count <= 2047 else { throw refuse(10, "\(count) items of metadata") }
    var items: [GUID: (offset: UInt64, length: UInt64)] = [:]
    for n in 0..<count {
      let at = 32 + n * 32
      let id = GUID(little: table.slice(at, 16))
      let offset = UInt64(table.little(at + 16, as: UInt32.self))
      let length = UInt64(table.little(at + 20, as: UInt32.self))
      let flags = table.little(at + 24, as: UInt32.self)
      let isUsers = flags & 1 != 0
      if isUsers || !Item.known.contains(id) {
        if flags & 4 != 0 {
          throw refuse(
            UInt64(at), "needs the item \(id), which is not known: it cannot be read without it")
        }
        continue
      }
      guard offset >= VHDXMetadata.tableSize, offset <= region.length, length <= 1 << 20,
        length <= region.length - offset
      else { throw refuse(UInt64(at) + 16, "an item of \(length) bytes at \(offset)") }
      if items[id] != nil { throw refuse(UInt64(at), "the item \(id) for the second time") }
      items[id] = (offset, length)
    }
    func item(_ id: GUID, _ what: String, _ length: UInt64) throws(StorageError) -> (
      UInt64, Fields
    ) {
      guard let item = items[id] else { throw refuse(0, "does not say \(what)") }
      guard item.length >= length else {
        throw refuse(item.offset, "says \(what) in \(item.length) bytes")
      }
      return (
        item.offset, try store.fields(at: region.offset + item.offset, count: Int(length), what)
      )
    }
    let (parametersAt, parameters) = try item(Item.fileParameters, "the size of blocks", 8)
    blockSize = UInt64(parameters.little(0, as: UInt32.self))
    hasParent = parameters.little(4, as: UInt32.self) & 2 != 0
    guard blockSize >= 1 << 20, blockSize <= 1 << 28, blockSize & (blockSize - 1) == 0 else {
      throw refuse(parametersAt, "blocks of \(blockSize) bytes")
    }
    let (sectorAt, sector) = try item(Item.logicalSectorSize, "the size of sectors", 4)
    sectorSize = Int(sector.little(0, as: UInt32.self))
    guard sectorSize == 512 || sectorSize == 4096 else {
      throw refuse(sectorAt, "sectors of \(sectorSize) bytes")
    }
    let (sizeAt, size) = try item(Item.virtualDiskSize, "the size of the disk", 8)
    diskSize = size.little(0)
    diskSizeOffset = region.offset + sizeAt
    guard diskSize <= VHDXLayout.largest, diskSize % UInt64(sectorSize) == 0 else {
      throw refuse(sizeAt, "a disk of \(diskSize) bytes")
    }
    if let (_, id) = try? item(Item.virtualDiskID, "the disk's identifier", 16) {
      diskID = GUID(little: id.bytes)
    }
    if hasParent {
      guard let place = items[Item.parentLocator] else {
        throw refuse(0, "does not say what its parent is")
      }
      let (at, fields) = try item(Item.parentLocator, "what its parent is", max(20, place.length))
      try readLocator(fields, { refuse(at + UInt64($0), $1) })
    }
  }

  private mutating func readLocator(_ fields: Fields, _ refuse: (Int, String) -> StorageError)
    throws(StorageError)
  {
    guard GUID(little: fields.slice(0, 16)) == VHDXMetadata.locatorType else {
      throw refuse(0, "a parent of a kind that is not known")
    }
    let count = Int(fields.little(18, as: UInt16.self))
    guard count <= (fields.count - 20) / 12 else {
      throw refuse(18, "\(count) names of the parent")
    }
    for n in 0..<count {
      let at = 20 + n * 12
      let key = Int(fields.little(at, as: UInt32.self))
      let value = Int(fields.little(at + 4, as: UInt32.self))
      let keyLength = Int(fields.little(at + 8, as: UInt16.self))
      let valueLength = Int(fields.little(at + 10, as: UInt16.self))
      guard key + keyLength <= fields.count, value + valueLength <= fields.count,
        let name = WideText.little(fields.slice(key, keyLength)),
        let text = WideText.little(fields.slice(value, valueLength))
      else { throw refuse(at, "a name of the parent that cannot be read") }
      if parent[name] == nil { parent[name] = text }
    }
  }

  /// What the parent may be called, relative to the image's folder, the likeliest first.
  var parentNames: [String] {
    var names: [String] = []
    if let path = parent["relative_path"].flatMap({ WideText.relativePath($0) }) {
      names.append(path)
    }
    for key in ["relative_path", "absolute_win32_path", "volume_path"] {
      if let last = parent[key].flatMap({ WideText.lastComponent($0) }), !names.contains(last) {
        names.append(last)
      }
    }
    return names
  }

  /// What the parent's data may be identified by.
  var parentLinks: [GUID] {
    ["parent_linkage", "parent_linkage2"].compactMap { parent[$0].flatMap { GUID($0) } }
  }

  // MARK: New ones

  struct New {
    var blockSize: UInt64
    var diskSize: UInt64
    var sectorSize: Int
    var diskID: GUID
    /// The blocks keep their room.
    var isFixed: Bool
    var parent: [(key: String, value: String)]
  }

  /// The first 128 KiB of a region, with all items.
  static func region(_ new: New) -> [UInt8] {
    var fields = Fields(count: 128 << 10)
    fields.set(0, Array("metadata".utf8))
    var count = 0
    var at = Int(tableSize)
    func add(_ id: GUID, _ bytes: [UInt8], flags: UInt32) {
      let entry = 32 + count * 32
      fields.set(entry, id.little)
      fields.setLittle(entry + 16, UInt32(at))
      fields.setLittle(entry + 20, UInt32(bytes.count))
      fields.setLittle(entry + 24, flags)
      fields.set(at, bytes)
      at += (bytes.count + 7) & ~7
      count += 1
    }
    func number<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
      withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }
    let parameters = (new.isFixed ? UInt32(1) : 0) | (new.parent.isEmpty ? 0 : 2)
    add(Item.fileParameters, number(UInt32(new.blockSize)) + number(parameters), flags: 4)
    add(Item.virtualDiskSize, number(new.diskSize), flags: 6)
    add(Item.virtualDiskID, new.diskID.little, flags: 6)
    add(Item.logicalSectorSize, number(UInt32(new.sectorSize)), flags: 6)
    add(Item.physicalSectorSize, number(UInt32(4096)), flags: 6)
    if !new.parent.isEmpty {
      var locator = Fields(count: 20 + new.parent.count * 12)
      locator.set(0, locatorType.little)
      locator.setLittle(18, UInt16(new.parent.count))
      var texts: [UInt8] = []
      for (n, pair) in new.parent.enumerated() {
        let (key, value) = (WideText.littleBytes(pair.key), WideText.littleBytes(pair.value))
        let entry = 20 + n * 12
        locator.setLittle(entry, UInt32(locator.count + texts.count))
        locator.setLittle(entry + 4, UInt32(locator.count + texts.count + key.count))
        locator.setLittle(entry + 8, UInt16(key.count))
        locator.setLittle(entry + 10, UInt16(value.count))
        texts += key + value
      }
      add(Item.parentLocator, locator.bytes + texts, flags: 4)
    }
    fields.setLittle(10, UInt16(count))
    return fields.bytes
  }
}
