// How an undo log looks in its file.
//
// Owns: the header and the heads of records as bytes, their checks. Must not know: files, devices, when something is written.
//
// A header of one sector, then records: a head of 32 bytes and what the cluster held. Numbers have their low byte first. Each head says up to
// where the file was on stable storage when it was written: that is how damage is told from what a power failure never wrote. Its check
// covers the log's identity and its own place too, so that no record of another log or from elsewhere in the file passes for one.
//
//   header  0 "APUSUNDO"  8 version (u32)  12 cluster size (u32)  16 size of the disk (u64)  24 identity (16 bytes)  40 period (u64)
//           48 flags (u32; 1: sealed)  52 salt (32 bytes)  84 proof of the secret (16 bytes)  508 CRC-32C of all before
//   head    0 "APUR"  4 length of what follows (u32)  8 cluster (u64; all ones: the end)  16 bytes on stable storage (u64)
//           24 CRC-32C of what follows  28 CRC-32C of identity, period, place and all before
//
// What follows the head is what the cluster held, and nothing if that was zeros. In a sealed log it is a number (u64) that no other record
// ever written has, the same encrypted, and a tag of 16 bytes; which clusters there are, and which held zeros, can be read.

/// What the header says.
struct UndoHeader: Equatable {
  static let size = 512
  static let magic = Array("APUSUNDO".utf8)
  static let version: UInt32 = 1
  /// The largest disk that an offset in bytes can be given for.
  static let largestDisk: UInt64 = 1 << 62

  var diskSize: UInt64
  /// 16 bytes.
  var identity: [UInt8]
  var period: UInt64
  /// Of a sealed log: 32 bytes; otherwise none.
  var salt: [UInt8] = []
  /// 16 bytes that tell the secret.
  var proof: [UInt8] = []

  var isSealed: Bool { !salt.isEmpty }
  /// How many bytes a record of a cluster has behind its head.
  func recordLength(of cluster: UInt64, isZero: Bool) -> Int {
    (isSealed ? UndoSeal.overhead : 0) + (isZero ? 0 : length(of: cluster))
  }

  var bytes: [UInt8] {
    var fields = Fields(count: UndoHeader.size)
    fields.set(0, UndoHeader.magic)
    fields.setLittle(8, UndoHeader.version)
    fields.setLittle(12, UInt32(UndoDevice.clusterSize))
    fields.setLittle(16, diskSize)
    fields.set(24, identity)
    fields.setLittle(40, period)
    if isSealed {
      fields.setLittle(48, UInt32(1))
      fields.set(52, salt)
      fields.set(84, proof)
    }
    fields.setLittle(508, CRC32C.sum(fields.slice(0, 508)))
    return fields.bytes
  }

  init(diskSize: UInt64, identity: [UInt8], period: UInt64) {
    self.diskSize = diskSize
    self.identity = identity
    self.period = period
  }

  init(_ fields: Fields, _ name: String) throws(StorageError) {
    func refuse(_ offset: UInt64, _ reason: String) -> StorageError {
      StorageError(path: name, offset: offset, reason: reason)
    }
    if !fields.starts(with: UndoHeader.magic) { throw refuse(0, "is no undo log") }
    let version: UInt32 = fields.little(8)
    if version != UndoHeader.version {
      throw refuse(8, "is an undo log of version \(version), which is not known")
    }
    if fields.little(508, as: UInt32.self) != CRC32C.sum(fields.slice(0, 508)) {
      throw refuse(508, "the header of the undo log is damaged")
    }
    let cluster: UInt32 = fields.little(12)
    if cluster != UInt32(UndoDevice.clusterSize) {
      throw refuse(12, "has clusters of \(cluster) bytes, not \(UndoDevice.clusterSize)")
    }
    let flags: UInt32 = fields.little(48)
    if flags > 1 { throw refuse(48, "has features that are not known (\(flags))") }
    diskSize = fields.little(16)
    identity = fields.slice(24, 16)
    period = fields.little(40)
    if flags == 1 { (salt, proof) = (fields.slice(52, 32), fields.slice(84, 16)) }
    if diskSize > UndoHeader.largestDisk {
      throw refuse(16, "is of a disk of \(diskSize) bytes, which is too much")
    }
  }

  /// How many clusters the disk has.
  var clusterCount: UInt64 { diskSize.rounded(upTo: UInt64(UndoDevice.clusterSize)) >> 16 }

  /// How many bytes a cluster of the disk has: fewer at its end.
  func length(of cluster: UInt64) -> Int {
    Int(min(UInt64(UndoDevice.clusterSize), diskSize - cluster << 16))
  }
}

/// The head of a record.
struct UndoHead: Equatable {
  static let size = 32
  /// "APUR".
  static let magic: UInt32 = 0x5255_5041
  /// The cluster of the record behind which there is none.
  static let endMark = UInt64.max

  var cluster: UInt64
  /// Bytes that follow.
  var length: Int
  /// How many bytes of the file were on stable storage when this was written.
  var synced: UInt64
  var dataSum: UInt32

  /// Puts the head into `bytes` (32 of them), for a place in the file.
  func put(_ bytes: UnsafeMutableRawBufferPointer, at place: UInt64, _ header: UndoHeader) {
    bytes.storeBytes(of: UndoHead.magic.littleEndian, toByteOffset: 0, as: UInt32.self)
    bytes.storeBytes(of: UInt32(length).littleEndian, toByteOffset: 4, as: UInt32.self)
    bytes.storeBytes(of: cluster.littleEndian, toByteOffset: 8, as: UInt64.self)
    bytes.storeBytes(of: synced.littleEndian, toByteOffset: 16, as: UInt64.self)
    bytes.storeBytes(of: dataSum.littleEndian, toByteOffset: 24, as: UInt32.self)
    let sum = UndoHead.sum(UnsafeRawBufferPointer(bytes), at: place, header)
    bytes.storeBytes(of: sum.littleEndian, toByteOffset: 28, as: UInt32.self)
  }

  /// - Returns: nil where no whole head is, or one that cannot be at this place.
  init?(_ bytes: UnsafeRawBufferPointer, at place: UInt64, _ header: UndoHeader) {
    func little<Number: FixedWidthInteger>(_ at: Int) -> Number {
      Number(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Number.self))
    }
    guard little(0) == UndoHead.magic, little(28) == UndoHead.sum(bytes, at: place, header) else {
      return nil
    }
    length = Int(little(4) as UInt32)
    cluster = little(8)
    synced = little(16)
    dataSum = little(24)
    if synced < UInt64(UndoHeader.size) || synced > place { return nil }
    if cluster == UndoHead.endMark {
      if length != 0 || synced != place { return nil }
    } else {
      if cluster >= header.clusterCount { return nil }
      if length != header.recordLength(of: cluster, isZero: true)
        && length != header.recordLength(of: cluster, isZero: false)
      {
        return nil
      }
    }
  }

  init(cluster: UInt64, length: Int, synced: UInt64, dataSum: UInt32) {
    self.cluster = cluster
    self.length = length
    self.synced = synced
    self.dataSum = dataSum
  }

  private static func sum(
    _ bytes: UnsafeRawBufferPointer, at place: UInt64, _ header: UndoHeader
  ) -> UInt32 {
    withUnsafeTemporaryAllocation(byteCount: 60, alignment: 8) { all in
      for (n, byte) in header.identity.enumerated() { all[n] = byte }
      all.storeBytes(of: header.period.littleEndian, toByteOffset: 16, as: UInt64.self)
      all.storeBytes(of: place.littleEndian, toByteOffset: 24, as: UInt64.self)
      UnsafeMutableRawBufferPointer(rebasing: all[32..<60]).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: bytes[..<28]))
      return CRC32C.sum(UnsafeRawBufferPointer(all))
    }
  }
}

/// Where the records are: 16 bytes for each.
struct UndoIndex {
  struct Entry {
    var cluster: UInt64
    /// Of the record's head.
    var place: UInt64
  }

  /// Ascending by cluster, each once; but for what was added since.
  private var entries: [Entry] = []
  private var sortedCount = 0

  /// How many records there are; a cluster may have several.
  var count: Int { entries.count }

  mutating func add(_ cluster: UInt64, at place: UInt64) {
    if sortedCount == entries.count, entries.last.map({ $0.cluster < cluster }) ?? true {
      sortedCount += 1
    }
    entries.append(Entry(cluster: cluster, place: place))
  }

  /// Sorts, and leaves of each cluster the first.
  mutating func sort() {
    if sortedCount == entries.count { return }
    entries.sort { ($0.cluster, $0.place) < ($1.cluster, $1.place) }
    var kept = 0
    for entry in entries where kept == 0 || entries[kept - 1].cluster != entry.cluster {
      entries[kept] = entry
      kept += 1
    }
    entries.removeLast(entries.count - kept)
    sortedCount = kept
  }

  /// Forgets the records from a place on.
  mutating func cut(at place: UInt64) {
    entries.removeAll { $0.place >= place }
    // Those that are left may be in any order.
    sortedCount = 0
    sort()
  }

  mutating func place(of cluster: UInt64) -> UInt64? {
    sort()
    var (low, high) = (0, entries.count)
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].cluster < cluster { low = middle + 1 } else { high = middle }
    }
    guard low < entries.count, entries[low].cluster == cluster else { return nil }
    return entries[low].place
  }

  mutating func clusters() -> [UInt64] {
    sort()
    return entries.map(\.cluster)
  }
}
