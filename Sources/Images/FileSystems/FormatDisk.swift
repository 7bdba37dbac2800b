// `format`: an empty FAT file system on a floppy, a disk or a partition.
//
// Owns: which part of the disk gets it, and the table of partitions. Must not know: FAT's measures.

import Host
import Storage

public struct FormatRequest: Sendable {
  public var volume: VolumeReference
  /// "fat12", "fat16", "fat32"; nil: by size.
  public var kind: FATKind?
  public var label: String?
  public var clusterSize: Int?
  /// The whole image is one file system, without a partition table; nil: as a floppy's size says.
  public var isSuperfloppy: Bool?
  /// A disk that holds anything loses it.
  public var replaces = false
  public var serial: UInt32?
  public init(_ volume: VolumeReference) { self.volume = volume }
}

extension ImageOperations {
  /// Makes a file system; a whole disk gets a table with one partition.
  public static func format(_ request: FormatRequest) throws -> FilesResult {
    let image = try DiskImage(request.volume.image, .writing)
    defer { image.close() }
    let device = image.device.withBlocks(of: 512)
    let store = DeviceStore(device)
    func refuse(_ reason: String) -> StorageError { StorageError(path: image.path, reason: reason) }
    if device.isReadOnly { throw refuse("cannot be written") }
    var wish = FATWish()
    wish.kind = request.kind
    wish.label = request.label
    wish.clusterSize = request.clusterSize
    wish.serial = request.serial ?? UInt32.random(in: .min ... .max)
    wish.time = FATTime(localSeconds: HostClock.localSeconds())
    let geometry = DiskGeometry.lbaAssisted(sectorCount: device.sectorCount)
    wish.heads = geometry.heads
    wish.sectorsPerTrack = geometry.sectors
    if let number = request.volume.partition {
      guard let found = try PartitionTable(store)?.partitions.first(where: { $0.number == number })
      else { throw refuse("has no partition \(number)") }
      wish.hiddenSectors = found.start
      let part = try partition(store, start: found.start, count: found.count)
      if !request.replaces { try checkEmpty(part) }
      try FATFormatter.format(part, wish)
    } else {
      if !request.replaces, device.nextData(from: 0) < device.blockCount { try checkEmpty(store) }
      let floppy = FloppyFormat.ofSize(device.byteCount)
      if request.isSuperfloppy ?? (floppy != nil) {
        wish.floppy = request.kind == nil || request.kind == .fat12 ? floppy : nil
        if floppy == nil { wish.hiddenSectors = 0 }
        try FATFormatter.format(store, wish)
      } else {
        guard let (start, count) = NewPartitionTable.wholeDisk(sectors: device.sectorCount) else {
          throw refuse("is too small for a partition")
        }
        // Without the old table nothing is there until the file system is.
        try store.zero(at: 0, count: 512, releasing: false)
        wish.hiddenSectors = start
        let part = try partition(store, start: start, count: count)
        try FATFormatter.format(part, wish)
        let layout = try FATVolume(part).layout
        let sector = NewPartitionTable.sector(
          start: start, count: count,
          type: NewPartitionTable.type(of: layout.kind, count: count, end: start + count),
          heads: geometry.heads, sectorsPerTrack: geometry.sectors, serial: wish.serial)
        try store.write(at: 0, sector)
      }
    }
    try store.flush()
    return FilesResult(file: image.path, volume: request.label?.uppercased(), entries: [])
  }

  private static func partition(_ store: any ByteStore, start: UInt64, count: UInt64)
    throws(StorageError) -> any ByteStore
  {
    guard start > 0, count > 0, start + count <= store.size / 512 else {
      throw StorageError(
        path: store.name, reason: "a partition of \(count) sectors at \(start) is not on the disk")
    }
    return DiskPartition.store(store, start: start, count: count)
  }

  /// Refuses to overwrite what may be somebody's.
  private static func checkEmpty(_ store: any ByteStore) throws(StorageError) {
    let head = try store.bytes(at: 0, count: 1 << 16)
    if head.contains(where: { $0 != 0 }) {
      throw StorageError(
        path: store.name, reason: "is not empty; --force makes a new file system all the same")
    }
  }
}
