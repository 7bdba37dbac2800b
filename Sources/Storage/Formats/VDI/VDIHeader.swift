// The header of a VDI image (VirtualBox Disk Image), version 1.1.
//
// Owns: its fields and what they may be. Must not know: blocks. After: the VDI format as publicly documented for VirtualBox; all numbers are
// little-endian, UUIDs are in Microsoft's order.

/// What kind of image it is.
enum VDIKind: UInt32 {
  case dynamic = 1
  case fixed = 2
  case undo = 3
  case differencing = 4

  var words: String {
    switch self {
    case .dynamic: "dynamic VDI"
    case .fixed: "fixed VDI"
    case .undo: "undo VDI"
    case .differencing: "differencing VDI"
    }
  }
}

/// A header all of whose numbers are sound for the file it is in.
struct VDIHeader {
  static let size = 512
  static let signature: UInt32 = 0xBEDA_107F
  static let text = "<<< Oracle VM VirtualBox Disk Image >>>\n"
  /// The largest disk that has a table: 2^32 blocks are marks of their own.
  static let mostBlocks: UInt64 = 0xFFFF_FF00
  enum Offset {
    static let signature = 64
    static let version = 68
    static let headerSize = 72
    static let kind = 76
    static let flags = 80
    static let comment = 84
    static let blocksOffset = 340
    static let dataOffset = 344
    static let legacyGeometry = 348
    static let sectorSize = 360
    static let diskSize = 368
    static let blockSize = 376
    static let blockExtra = 380
    static let blockCount = 384
    static let allocated = 388
    static let uniqueID = 392
    static let modification = 408
    static let link = 424
    static let parentModification = 440
    static let geometry = 456
  }
  static let commentSize = 256

  private(set) var fields: Fields

  init(_ store: any ByteStore) throws(StorageError) {
    fields = try store.fields(at: 0, count: VDIHeader.size, "the header")
    func refuse(_ at: Int, _ reason: String) -> StorageError {
      store.refusal(at: UInt64(at), reason)
    }
    guard fields.little(Offset.signature, as: UInt32.self) == VDIHeader.signature else {
      throw refuse(Offset.signature, "no VDI image")
    }
    let version = fields.little(Offset.version, as: UInt32.self)
    guard version == 0x0001_0001 else {
      throw refuse(
        Offset.version,
        "version \(version >> 16).\(version & 0xFFFF) of the VDI format, where 1.1 is known")
    }
    guard fields.little(Offset.headerSize, as: UInt32.self) >= 0x180 else {
      throw refuse(Offset.headerSize, "a header of too few bytes")
    }
    guard let kind = VDIKind(rawValue: fields.little(Offset.kind)), kind != .undo else {
      throw refuse(
        Offset.kind,
        "a VDI image of kind \(fields.little(Offset.kind, as: UInt32.self)), which is not known")
    }
    guard fields.little(Offset.sectorSize, as: UInt32.self) == 512 else {
      throw refuse(Offset.sectorSize, "sectors of another size than 512 bytes")
    }
    guard blockSize >= 4096, blockSize <= 1 << 28, blockSize & (blockSize - 1) == 0 else {
      throw refuse(Offset.blockSize, "blocks of \(blockSize) bytes")
    }
    guard blockExtra == 0 || blockExtra <= 1 << 28 && blockExtra % 512 == 0 else {
      throw refuse(Offset.blockExtra, "\(blockExtra) bytes before each block")
    }
    guard blockCount <= VDIHeader.mostBlocks else {
      throw refuse(Offset.blockCount, "\(blockCount) blocks")
    }
    guard diskSize >= 512 || diskSize == 0, diskSize <= blockCount * blockSize else {
      throw refuse(
        Offset.diskSize, "a disk of \(diskSize) bytes in \(blockCount) blocks of \(blockSize)")
    }
    guard blocksOffset >= UInt64(VDIHeader.size), blocksOffset % 512 == 0,
      blocksOffset <= store.size, blockCount * 4 <= store.size - blocksOffset
    else {
      throw refuse(
        Offset.blocksOffset,
        "a table of \(blockCount) blocks at \(blocksOffset), in a file of \(store.size) bytes")
    }
    guard dataOffset % 512 == 0, dataOffset >= blocksOffset + blockCount * 4 else {
      throw refuse(Offset.dataOffset, "data at \(dataOffset), where the table is")
    }
    guard allocated <= blockCount else {
      throw refuse(Offset.allocated, "\(allocated) of \(blockCount) blocks have room")
    }
  }

  /// A new one.
  init(
    kind: VDIKind, diskSize: UInt64, blockSize: UInt64, dataOffset: UInt64, id: GUID,
    modification: GUID
  ) {
    fields = Fields(count: VDIHeader.size)
    fields.set(0, Array(VDIHeader.text.utf8))
    fields.setLittle(Offset.signature, VDIHeader.signature)
    fields.setLittle(Offset.version, UInt32(0x0001_0001))
    fields.setLittle(Offset.headerSize, UInt32(0x190))
    fields.setLittle(Offset.kind, kind.rawValue)
    fields.setLittle(Offset.blocksOffset, UInt32(VDIHeader.size))
    fields.setLittle(Offset.dataOffset, UInt32(dataOffset))
    fields.setLittle(Offset.sectorSize, UInt32(512))
    fields.setLittle(Offset.blockSize, UInt32(blockSize))
    fields.set(Offset.uniqueID, id.little)
    fields.set(Offset.modification, modification.little)
    setDisk(size: diskSize)
  }

  /// Gives the disk another size, whose table has room.
  mutating func setDisk(size: UInt64) {
    let count = (size + blockSize - 1) / blockSize
    fields.setLittle(Offset.diskSize, size)
    fields.setLittle(Offset.blockCount, UInt32(count))
  }

  mutating func setAllocated(_ count: UInt64) {
    fields.setLittle(Offset.allocated, UInt32(count))
  }

  /// The table and the data lie elsewhere.
  mutating func setTable(offset: UInt64, dataOffset: UInt64) {
    fields.setLittle(Offset.blocksOffset, UInt32(offset))
    fields.setLittle(Offset.dataOffset, UInt32(dataOffset))
  }

  mutating func setModification(_ id: GUID) { fields.set(Offset.modification, id.little) }

  mutating func setParent(_ link: GUID, _ modification: GUID, comment: String) {
    fields.set(Offset.link, link.little)
    fields.set(Offset.parentModification, modification.little)
    fields.set(Offset.comment, Array(comment.utf8).prefix(VDIHeader.commentSize - 1))
  }

  private func number(_ at: Int) -> UInt64 { UInt64(fields.little(at, as: UInt32.self)) }

  var bytes: [UInt8] { fields.bytes }
  var kind: VDIKind { VDIKind(rawValue: fields.little(Offset.kind)) ?? .dynamic }
  var blocksOffset: UInt64 { number(Offset.blocksOffset) }
  var dataOffset: UInt64 { number(Offset.dataOffset) }
  var diskSize: UInt64 { fields.little(Offset.diskSize) }
  var blockSize: UInt64 { number(Offset.blockSize) }
  var blockExtra: UInt64 { number(Offset.blockExtra) }
  var blockCount: UInt64 { number(Offset.blockCount) }
  var allocated: UInt64 { number(Offset.allocated) }
  var uniqueID: GUID { GUID(little: fields.slice(Offset.uniqueID, 16)) }
  var modification: GUID { GUID(little: fields.slice(Offset.modification, 16)) }
  var link: GUID { GUID(little: fields.slice(Offset.link, 16)) }
  var parentModification: GUID { GUID(little: fields.slice(Offset.parentModification, 16)) }
  var comment: String {
    String(
      decoding: fields.slice(Offset.comment, VDIHeader.commentSize).prefix { $0 != 0 },
      as: UTF8.self)
  }
}
