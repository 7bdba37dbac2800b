// The first megabyte of a VHDX image: file identifier, two headers, two region tables.
//
// Owns: which header and which table count, and writing the next header. Must not know: what is in the regions.
// After: [MS-VHDX] 2.2 "Header Section".

/// Where things are ([MS-VHDX] 2.2).
enum VHDXLayout {
  static let megabyte: UInt64 = 1 << 20
  static let signature = Array("vhdxfile".utf8)
  static let headers: [UInt64] = [64 << 10, 128 << 10]
  static let regionTables: [UInt64] = [192 << 10, 256 << 10]
  static let headerSize = 4096
  static let regionTableSize = 64 << 10
  static let batRegion = GUID("2DC27766-F623-4200-9D64-115E9BFD4A08")!
  static let metadataRegion = GUID("8B7CA206-4790-4B9A-B8FE-575F050F886E")!
  /// The largest disk.
  static let largest: UInt64 = 64 << 40

  /// The words of a file's own structures; a check sum stands at 4 in all.
  static let checksumOffset = 4
}

/// A header ([MS-VHDX] 2.2.2).
struct VHDXHeader {
  enum Offset {
    static let sequence = 8
    static let fileWriteID = 16
    static let dataWriteID = 32
    static let logID = 48
    static let logVersion = 64
    static let version = 66
    static let logLength = 68
    static let logOffset = 72
  }
  private(set) var fields: Fields
  /// Which of the two it is.
  private(set) var slot: Int

  /// - Returns: nil when it is none, or a damaged one.
  init?(_ bytes: [UInt8], slot: Int) {
    fields = Fields(bytes)
    self.slot = slot
    guard bytes.count == VHDXLayout.headerSize, fields.starts(with: Array("head".utf8)),
      fields.little(4, as: UInt32.self) == CRC32C.sum(bytes, hole: 4)
    else { return nil }
  }

  /// A new one, to be written to the first place.
  init(logOffset: UInt64, logLength: UInt64, fileWriteID: GUID, dataWriteID: GUID) {
    fields = Fields(count: VHDXLayout.headerSize)
    fields.set(0, Array("head".utf8))
    fields.set(Offset.fileWriteID, fileWriteID.little)
    fields.set(Offset.dataWriteID, dataWriteID.little)
    fields.setLittle(Offset.version, UInt16(1))
    fields.setLittle(Offset.logLength, UInt32(logLength))
    fields.setLittle(Offset.logOffset, logOffset)
    slot = 1
  }

  /// The header that counts: of the good ones the later.
  static func current(_ store: any ByteStore) throws(StorageError) -> VHDXHeader {
    var best: VHDXHeader?
    for (slot, offset) in VHDXLayout.headers.enumerated() {
      let bytes = try store.bytes(at: offset, count: VHDXLayout.headerSize)
      guard let header = VHDXHeader(bytes, slot: slot) else { continue }
      if best == nil || header.sequence > best!.sequence { best = header }
    }
    guard let best else {
      throw store.refusal(at: VHDXLayout.headers[0], "both headers are damaged")
    }
    let offset = VHDXLayout.headers[best.slot]
    guard best.fields.little(Offset.version, as: UInt16.self) == 1 else {
      throw store.refusal(
        at: offset + UInt64(Offset.version),
        "version \(best.fields.little(Offset.version, as: UInt16.self)) of the VHDX format")
    }
    guard best.fields.little(Offset.logVersion, as: UInt16.self) == 0 else {
      throw store.refusal(
        at: offset + UInt64(Offset.logVersion),
        "version \(best.fields.little(Offset.logVersion, as: UInt16.self)) of the log")
    }
    let log = best.logOffset
    guard log >= VHDXLayout.megabyte, log % VHDXLayout.megabyte == 0,
      best.logLength % VHDXLayout.megabyte == 0, log <= store.size,
      best.logLength <= store.size - log
    else {
      throw store.refusal(
        at: offset + UInt64(Offset.logOffset),
        "a log of \(best.logLength) bytes at \(log), in a file of \(store.size) bytes")
    }
    return best
  }

  /// Writes the header that follows this one to the other place: whenever the host stops, one of the two is whole.
  mutating func advance(_ store: any ByteStore, _ change: (inout VHDXHeader) -> Void)
    throws(StorageError)
  {
    var next = self
    change(&next)
    next.slot = 1 - slot
    next.fields.setLittle(Offset.sequence, sequence &+ 1)
    next.fields.setLittle(4, CRC32C.sum(next.fields.bytes, hole: 4))
    try store.write(at: VHDXLayout.headers[next.slot], next.fields.bytes)
    try store.flush()
    self = next
  }

  var sequence: UInt64 { fields.little(Offset.sequence) }
  var logOffset: UInt64 { fields.little(Offset.logOffset) }
  var logLength: UInt64 { UInt64(fields.little(Offset.logLength, as: UInt32.self)) }
  var logRange: Range<UInt64> { logOffset..<logOffset + logLength }
  var logID: GUID {
    get { GUID(little: fields.slice(Offset.logID, 16)) }
    set { fields.set(Offset.logID, newValue.little) }
  }
  var fileWriteID: GUID {
    get { GUID(little: fields.slice(Offset.fileWriteID, 16)) }
    set { fields.set(Offset.fileWriteID, newValue.little) }
  }
  var dataWriteID: GUID {
    get { GUID(little: fields.slice(Offset.dataWriteID, 16)) }
    set { fields.set(Offset.dataWriteID, newValue.little) }
  }
}

/// A region table ([MS-VHDX] 2.2.3).
struct VHDXRegions {
  struct Region {
    var id: GUID
    var offset: UInt64
    var length: UInt64
    var isRequired: Bool

    var range: Range<UInt64> { offset..<offset + length }
  }
  let regions: [Region]
  /// The table's bytes.
  let bytes: [UInt8]

  private static func isGood(_ bytes: [UInt8]) -> Bool {
    bytes.count == VHDXLayout.regionTableSize && bytes.starts(with: Array("regi".utf8))
      && Fields(bytes).little(4, as: UInt32.self) == CRC32C.sum(bytes, hole: 4)
  }

  /// The copies that are whole.
  static func copies(_ store: any ByteStore) throws(StorageError) -> [[UInt8]?] {
    var found: [[UInt8]?] = []
    for offset in VHDXLayout.regionTables {
      let bytes = try store.bytes(at: offset, count: VHDXLayout.regionTableSize)
      found.append(isGood(bytes) ? bytes : nil)
    }
    return found
  }

  init(_ store: any ByteStore) throws(StorageError) {
    var found: (n: Int, bytes: [UInt8])?
    for (n, offset) in VHDXLayout.regionTables.enumerated() where found == nil {
      let bytes = try store.bytes(at: offset, count: VHDXLayout.regionTableSize)
      if VHDXRegions.isGood(bytes) { found = (n, bytes) }
    }
    guard let (n, bytes) = found else {
      throw store.refusal(at: VHDXLayout.regionTables[0], "both region tables are damaged")
    }
    let start = VHDXLayout.regionTables[n]
    let fields = Fields(bytes)
    let count = Int(fields.little(8, as: UInt32.self))
    guard count <= 2047 else { throw store.refusal(at: start + 8, "\(count) regions") }
    var regions: [Region] = []
    for n in 0..<count {
      let at = 16 + n * 32
      func refuse(_ part: Int, _ reason: String) -> StorageError {
        store.refusal(at: start + UInt64(at + part), reason)
      }
      let region = Region(
        id: GUID(little: fields.slice(at, 16)), offset: fields.little(at + 16),
        length: UInt64(fields.little(at + 24, as: UInt32.self)),
        isRequired: fields.little(at + 28, as: UInt32.self) & 1 != 0)
      let isKnown = [VHDXLayout.batRegion, VHDXLayout.metadataRegion].contains(region.id)
      if !isKnown && region.isRequired {
        throw refuse(
          0, "needs the region \(region.id), which is not known: it cannot be read without it")
      }
      guard region.offset >= VHDXLayout.megabyte, region.offset % VHDXLayout.megabyte == 0,
        region.length % VHDXLayout.megabyte == 0, region.length > 0,
        region.offset <= store.size, region.length <= store.size - region.offset
      else {
        throw refuse(
          16,
          "a region of \(region.length) bytes at \(region.offset), in a file of \(store.size) bytes"
        )
      }
      if regions.contains(where: { $0.id == region.id }) {
        throw refuse(0, "the region \(region.id) for the second time")
      }
      if regions.contains(where: { $0.range.overlaps(region.range) }) {
        throw refuse(16, "a region at \(region.offset), where another is")
      }
      regions.append(region)
    }
    self.regions = regions
    self.bytes = bytes
  }

  /// A new one's bytes.
  static func table(_ regions: [Region]) -> [UInt8] {
    var fields = Fields(count: VHDXLayout.regionTableSize)
    fields.set(0, Array("regi".utf8))
    fields.setLittle(8, UInt32(regions.count))
    for (n, region) in regions.enumerated() {
      let at = 16 + n * 32
      fields.set(at, region.id.little)
      fields.setLittle(at + 16, region.offset)
      fields.setLittle(at + 24, UInt32(region.length))
      fields.setLittle(at + 28, UInt32(region.isRequired ? 1 : 0))
    }
    fields.setLittle(4, CRC32C.sum(fields.bytes, hole: 4))
    return fields.bytes
  }

  func region(_ id: GUID, _ what: String, _ store: any ByteStore) throws(StorageError) -> Region {
    guard let region = regions.first(where: { $0.id == id }) else {
      throw store.refusal(at: VHDXLayout.regionTables[0], "has no \(what)")
    }
    return region
  }
}
