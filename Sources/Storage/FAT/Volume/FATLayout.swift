// Where everything is on a FAT file system.
//
// Owns: reading a boot sector with all its checks, the arithmetic of clusters. Must not know: directories, names, partitions.
// After: Microsoft Extensible Firmware Initiative FAT32 File System Specification, version 1.03, sections "Boot Sector and BPB" to "FAT
// Type Determination", whose names the fields have.

/// FAT12, FAT16 or FAT32.
public enum FATKind: Int, Sendable {
  case fat12 = 12
  case fat16 = 16
  case fat32 = 32

  public var name: String { "FAT\(rawValue)" }
  /// From this value on an entry ends a chain; `bad` marks a cluster that cannot be used.
  var endOfChain: UInt32 { self == .fat12 ? 0xFF8 : self == .fat16 ? 0xFFF8 : 0x0FFF_FFF8 }
  var bad: UInt32 { endOfChain - 1 }
  var last: UInt32 { endOfChain + 7 }
}

/// A file system's measures, all sound.
public struct FATLayout: Equatable, Sendable {
  public let kind: FATKind
  public let bytesPerSector: Int
  public let sectorsPerCluster: Int
  public let reservedSectors: UInt64
  public let fatCount: Int
  /// FAT12 and FAT16: entries of the root directory.
  public let rootEntryCount: Int
  public let totalSectors: UInt64
  public let sectorsPerFAT: UInt64
  public let media: UInt8
  /// FAT32: the root directory's first cluster, and the sector of FSInfo.
  public let rootCluster: UInt32
  public let fsInfoSector: UInt64?
  /// FAT32: the only FAT in use; nil: all are kept the same.
  public let activeFAT: Int?
  /// Clusters are numbered from 2 to this + 1.
  public let clusterCount: UInt32

  public var clusterSize: Int { bytesPerSector * sectorsPerCluster }
  public var fatOffset: UInt64 { reservedSectors * UInt64(bytesPerSector) }
  public var fatByteCount: UInt64 { sectorsPerFAT * UInt64(bytesPerSector) }
  public var rootOffset: UInt64 { fatOffset + UInt64(fatCount) * fatByteCount }
  public var rootByteCount: Int {
    (rootEntryCount * 32 + bytesPerSector - 1) / bytesPerSector * bytesPerSector
  }
  public var dataOffset: UInt64 { rootOffset + UInt64(rootByteCount) }

  /// Where a cluster's bytes are.
  func offset(of cluster: UInt32) -> UInt64 {
    dataOffset + UInt64(cluster - 2) * UInt64(clusterSize)
  }

  func isCluster(_ number: UInt32) -> Bool { number >= 2 && number - 2 < clusterCount }

  /// Whether a sector looks like a FAT boot sector at all; what is wrong with it otherwise is said by `init`.
  public static func isLikely(_ sector: [UInt8]) -> Bool {
    guard sector.count >= 512 else { return false }
    let size = Int(little16(sector, 11))
    let cluster = sector[13]
    return [512, 1024, 2048, 4096].contains(size) && cluster != 0 && cluster & (cluster &- 1) == 0
      && little16(sector, 14) > 0 && (1...4).contains(sector[16])
      && (sector[21] == 0xF0 || sector[21] >= 0xF8)
      && (little16(sector, 22) != 0 || little32(sector, 36) != 0)
      && (little16(sector, 19) != 0 || little32(sector, 32) != 0)
  }

  /// Reads a boot sector.
  /// - Throws: offset and reason of what contradicts itself or the store.
  public init(_ store: any ByteStore) throws(StorageError) {
    let sector = try store.bytes(at: 0, count: 512)
    func refuse(_ offset: UInt64, _ reason: String) -> StorageError {
      StorageError(path: store.name, offset: offset, reason: "no FAT file system: \(reason)")
    }
    guard sector.count == 512 else { throw refuse(0, "too short") }
    bytesPerSector = Int(little16(sector, 11))
    guard [512, 1024, 2048, 4096].contains(bytesPerSector) else {
      throw refuse(11, "sectors of \(bytesPerSector) bytes")
    }
    sectorsPerCluster = Int(sector[13])
    guard sectorsPerCluster > 0, sectorsPerCluster & (sectorsPerCluster - 1) == 0 else {
      throw refuse(13, "clusters of \(sectorsPerCluster) sectors")
    }
    reservedSectors = UInt64(little16(sector, 14))
    guard reservedSectors > 0 else { throw refuse(14, "no reserved sector") }
    fatCount = Int(sector[16])
    guard (1...4).contains(fatCount) else { throw refuse(16, "\(fatCount) FATs") }
    rootEntryCount = Int(little16(sector, 17))
    let small = UInt64(little16(sector, 19))
    totalSectors = small != 0 ? small : UInt64(little32(sector, 32))
    media = sector[21]
    guard media == 0xF0 || media >= 0xF8 else { throw refuse(21, "a medium \(media)") }
    let fat16Size = UInt64(little16(sector, 22))
    sectorsPerFAT = fat16Size != 0 ? fat16Size : UInt64(little32(sector, 36))
    guard sectorsPerFAT > 0 else { throw refuse(22, "a FAT without sectors") }
    let size = UInt64(bytesPerSector)
    guard totalSectors > 0, totalSectors <= store.size / size else {
      throw refuse(
        small != 0 ? 19 : 32,
        "\(totalSectors) sectors, where there are \(store.size / size)")
    }
    let rootSectors = UInt64((rootEntryCount * 32 + bytesPerSector - 1) / bytesPerSector)
    // All factors are small enough that nothing overflows.
    let before = reservedSectors + UInt64(fatCount) * sectorsPerFAT + rootSectors
    guard before < totalSectors else {
      throw refuse(22, "FATs and root directory that fill all \(totalSectors) sectors")
    }
    let clusters = (totalSectors - before) / UInt64(sectorsPerCluster)
    guard clusters > 0 else { throw refuse(13, "no cluster") }
    kind = clusters < 4085 ? .fat12 : clusters < 65525 ? .fat16 : .fat32
    if fat16Size == 0 && kind != .fat32 {
      throw refuse(
        36, "\(clusters) clusters, too few for the FAT32 that its boot sector says it is")
    }
    if kind == .fat32 && (rootEntryCount != 0 || fat16Size != 0) {
      throw refuse(
        17, "\(clusters) clusters, too many for the FAT16 that its boot sector says it is")
    }
    if kind != .fat32 && rootEntryCount == 0 { throw refuse(17, "no root directory") }
    let bits = (clusters + 2) * (kind == .fat12 ? 12 : kind == .fat16 ? 16 : 32)
    guard clusters <= 0x0FFF_FFF4, (bits + 7) / 8 <= sectorsPerFAT * size else {
      throw refuse(22, "FATs of \(sectorsPerFAT) sectors, too few for \(clusters) clusters")
    }
    clusterCount = UInt32(clusters)
    var root: UInt32 = 0
    var info: UInt64?
    var active: Int?
    if kind == .fat32 {
      root = little32(sector, 44)
      guard root >= 2, root - 2 < clusterCount else {
        throw refuse(44, "a root directory in cluster \(root)")
      }
      let place = UInt64(little16(sector, 48))
      info = place > 0 && place < reservedSectors ? place : nil
      let flags = little16(sector, 40)
      if flags & 0x80 != 0 {
        guard Int(flags & 0x0F) < fatCount else { throw refuse(40, "FAT \(flags & 0x0F) in use") }
        active = Int(flags & 0x0F)
      }
      guard little16(sector, 42) == 0 else {
        throw refuse(42, "FAT32 of version \(little16(sector, 42))")
      }
    }
    rootCluster = root
    fsInfoSector = info
    activeFAT = active
  }
}
