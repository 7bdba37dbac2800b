// The header of a dynamic or differencing VHD image.
//
// Owns: its fields, its check sum, the parent's names. Must not know: blocks.
// After: Virtual Hard Disk Image Format Specification 1.0 (Microsoft), "Dynamic Disk Header Format".

/// A header all of whose numbers are sound for the file it is in.
struct VHDHeader {
  static let size = 1024
  static let cookie = Array("cxsparse".utf8)
  enum Offset {
    static let dataOffset = 8
    static let tableOffset = 16
    static let version = 24
    static let maxTableEntries = 28
    static let blockSize = 32
    static let checksum = 36
    static let parentUniqueID = 40
    static let parentTimeStamp = 56
    static let parentUnicodeName = 64
    static let locators = 576
  }
  static let locatorCount = 8
  /// Names are short; what is longer is none.
  static let longestName: UInt64 = 65536

  private(set) var fields: Fields
  /// Where it is.
  let offset: UInt64
  /// The parts of the file that hold the parent's names.
  private(set) var locatorRanges: [Range<UInt64>] = []

  init(_ store: any ByteStore, at offset: UInt64) throws(StorageError) {
    self.offset = offset
    guard offset >= VHDFooter.size, offset % 512 == 0, offset <= store.size else {
      throw store.refusal(at: 16, "a header at \(offset), in a file of \(store.size) bytes")
    }
    fields = try store.fields(at: offset, count: VHDHeader.size, "the header")
    func refuse(_ at: Int, _ reason: String) -> StorageError {
      store.refusal(at: offset + UInt64(at), reason)
    }
    guard fields.starts(with: VHDHeader.cookie) else {
      throw refuse(0, "no header of a dynamic VHD is here")
    }
    guard fields.big(Offset.checksum) == VHDFooter.checksum(fields, Offset.checksum) else {
      throw refuse(Offset.checksum, "the header's check sum is wrong")
    }
    guard fields.big(Offset.version, as: UInt32.self) >> 16 == 1 else {
      throw refuse(
        Offset.version, "version \(fields.big(Offset.version, as: UInt32.self)) of the header")
    }
    let blockSize = UInt64(fields.big(Offset.blockSize, as: UInt32.self))
    guard blockSize >= 512, blockSize & (blockSize - 1) == 0, blockSize <= 1 << 28 else {
      throw refuse(Offset.blockSize, "blocks of \(blockSize) bytes")
    }
    guard tableOffset >= VHDFooter.size, tableOffset % 512 == 0, tableOffset <= store.size else {
      throw refuse(
        Offset.tableOffset, "a table at \(tableOffset), in a file of \(store.size) bytes")
    }
    guard UInt64(entryCount) <= (store.size - tableOffset) / 4 else {
      throw refuse(
        Offset.maxTableEntries, "\(entryCount) blocks, for which the file's table has no room")
    }
    for n in 0..<VHDHeader.locatorCount {
      let locator = locator(n)
      if locator.code == 0 || locator.length == 0 { continue }
      guard locator.length <= VHDHeader.longestName, locator.offset <= store.size,
        locator.length <= store.size - locator.offset
      else {
        throw refuse(
          Offset.locators + n * 24,
          "a name of the parent of \(locator.length) bytes at \(locator.offset)")
      }
      locatorRanges.append(
        locator.offset..<(locator.offset + locator.length).rounded(upTo: 512))
    }
  }

  /// A new one.
  init(
    tableOffset: UInt64, entryCount: UInt32, blockSize: UInt32,
    parent: (id: GUID, time: UInt32, name: String)?
  ) {
    offset = VHDFooter.size
    fields = Fields(count: VHDHeader.size)
    fields.set(0, VHDHeader.cookie)
    fields.setBig(Offset.dataOffset, UInt64.max)
    fields.setBig(Offset.version, UInt32(0x0001_0000))
    fields.setBig(Offset.blockSize, blockSize)
    if let parent {
      fields.set(Offset.parentUniqueID, parent.id.bytes)
      fields.setBig(Offset.parentTimeStamp, parent.time)
      fields.set(Offset.parentUnicodeName, WideText.bigBytes(parent.name).prefix(510))
    }
    setTable(offset: tableOffset, entryCount: entryCount)
  }

  /// Says where the table is; all that changes is in one sector.
  mutating func setTable(offset: UInt64, entryCount: UInt32) {
    fields.setBig(Offset.tableOffset, offset)
    fields.setBig(Offset.maxTableEntries, entryCount)
    fields.setBig(Offset.checksum, VHDFooter.checksum(fields, Offset.checksum))
  }

  /// Names a place with a name of the parent.
  mutating func setLocator(_ n: Int, code: String, offset: UInt64, length: Int) {
    let at = Offset.locators + n * 24
    fields.set(at, Array(code.utf8))
    // Some count the room in sectors, as the specification says, some in bytes; those who read go by the length.
    fields.setBig(at + 4, UInt32(512))
    fields.setBig(at + 8, UInt32(length))
    fields.setBig(at + 16, offset)
    fields.setBig(Offset.checksum, VHDFooter.checksum(fields, Offset.checksum))
    locatorRanges.append(offset..<(offset + UInt64(length)).rounded(upTo: 512))
  }

  var bytes: [UInt8] { fields.bytes }
  var tableOffset: UInt64 { fields.big(Offset.tableOffset) }
  var entryCount: UInt32 { fields.big(Offset.maxTableEntries) }
  var blockSize: UInt64 { UInt64(fields.big(Offset.blockSize, as: UInt32.self)) }
  var parentID: GUID { GUID(bytes: fields.slice(Offset.parentUniqueID, 16)) }
  /// The table's bytes, up to the end of its last sector.
  var tableRange: Range<UInt64> {
    tableOffset..<(tableOffset + UInt64(entryCount) * 4).rounded(upTo: 512)
  }
  /// The sectors of a block's bitmap.
  var bitmapSize: UInt64 { (blockSize / 512 / 8).rounded(upTo: 512) }

  private func locator(_ n: Int) -> (code: UInt32, length: UInt64, offset: UInt64) {
    let at = Offset.locators + n * 24
    return (
      fields.big(at), UInt64(fields.big(at + 8, as: UInt32.self)), fields.big(at + 16)
    )
  }

  /// What the parent may be called, relative to the image's folder, the likeliest first.
  func parentNames(_ store: any ByteStore) throws(StorageError) -> [String] {
    var relative: [String] = []
    var absolute: [String] = []
    for n in 0..<VHDHeader.locatorCount {
      let locator = locator(n)
      if locator.length == 0 { continue }
      // 'W2ru' and 'W2ku' have UTF-16 with the low byte first; 'MacX' has a URL.
      if locator.code == 0x5732_7275 || locator.code == 0x5732_6B75 {
        let bytes = try store.bytes(at: locator.offset, count: Int(locator.length))
        guard let text = WideText.little(bytes) else { continue }
        if locator.code == 0x5732_7275, let path = WideText.relativePath(text) {
          relative.append(path)
        }
        if let last = WideText.lastComponent(text) { absolute.append(last) }
      } else if locator.code == 0x4D61_6358 {
        let bytes = try store.bytes(at: locator.offset, count: Int(locator.length))
        if let text = String(validating: bytes.prefix { $0 != 0 }, as: UTF8.self),
          let last = WideText.lastComponent(text)
        {
          absolute.append(last)
        }
      }
    }
    if let text = WideText.big(fields.slice(Offset.parentUnicodeName, 512)),
      let last = WideText.lastComponent(text)
    {
      absolute.append(last)
    }
    var names: [String] = []
    for name in relative + absolute where !names.contains(name) { names.append(name) }
    return names
  }
}
