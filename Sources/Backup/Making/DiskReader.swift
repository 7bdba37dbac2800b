// Clusters of disks on their way into the folder.
//
// Owns: reading them into lists, how far it is. Must not know: which have to be read.

import Snapshots
import Storage
import Store

/// Reads disks into a batch, in one thread.
final class DiskReader {
  private let store: ContentStore
  private let batch: Batch
  private let progress: BackupProgress
  private let room = UnsafeMutableRawBufferPointer.allocate(
    byteCount: UndoDevice.clusterSize, alignment: 4096)
  /// Bytes that there are, and those that are dealt with.
  var total: UInt64 = 0
  private var done: UInt64 = 0
  /// Bytes that were read.
  private(set) var readBytes: UInt64 = 0

  init(_ store: ContentStore, _ batch: Batch, _ progress: @escaping BackupProgress) {
    (self.store, self.batch, self.progress) = (store, batch, progress)
  }

  deinit { room.deallocate() }

  func end() { progress(total, total) }

  private func add(
    _ length: Int, _ read: (UnsafeMutableRawBufferPointer) throws(StorageError) -> Void
  ) throws(StorageError) -> ContentName {
    let part = UnsafeMutableRawBufferPointer(rebasing: room[..<length])
    try read(part)
    readBytes += UInt64(length)
    return try batch.add(UnsafeRawBufferPointer(part))
  }

  private func tell(_ place: UInt64) { progress(min(done + place, total), total) }

  /// Reads some clusters of a disk; the others are those of an earlier point.
  func read(_ source: SnapshotSource, _ clusters: [UInt64], _ old: BackupDisk)
    throws(StorageError) -> ContentName
  {
    let list = try ContentList(
      old.contents, in: store, count: BackupDisk.clusterCount(old.byteCount))
    if clusters.isEmpty { return old.contents }
    var changes: [(slot: UInt64, name: ContentName)] = []
    for cluster in clusters {
      let name = try add(source.length(of: cluster)) { (part) throws(StorageError) in
        try source.read(cluster: cluster, into: part)
      }
      changes.append((cluster, name))
      done += UInt64(UndoDevice.clusterSize)
      tell(0)
    }
    return try list.changing(changes, into: batch).name
  }

  /// Reads all of a disk.
  func read(_ source: SnapshotSource) throws(StorageError) -> ContentName {
    var entries: [(slot: UInt64, name: ContentName)] = []
    var next = try source.nextCluster(from: 0)
    while let cluster = next {
      let name = try add(source.length(of: cluster)) { (part) throws(StorageError) in
        try source.read(cluster: cluster, into: part)
      }
      if name != .zero { entries.append((cluster, name)) }
      tell(cluster * UInt64(UndoDevice.clusterSize))
      next = try source.nextCluster(from: cluster + 1)
    }
    done += source.byteCount
    return try ContentList(count: source.clusterCount, entries, into: batch).name
  }

  /// Reads all of a disk that nobody writes.
  func read(_ device: any BlockDevice) throws(StorageError) -> ContentName {
    var entries: [(slot: UInt64, name: ContentName)] = []
    let perCluster = UInt64(UndoDevice.clusterSize / device.blockSize)
    let count = BackupDisk.clusterCount(device.blockCount * UInt64(device.blockSize))
    var block: UInt64 = 0
    while true {
      block = device.nextData(from: block)
      if block >= device.blockCount { break }
      let cluster = block / perCluster
      let blocks = min(perCluster, device.blockCount - cluster * perCluster)
      let name = try add(Int(blocks) * device.blockSize) { (part) throws(StorageError) in
        try device.read(block: cluster * perCluster, into: part)
      }
      if name != .zero { entries.append((cluster, name)) }
      block = (cluster + 1) * perCluster
      tell(cluster * UInt64(UndoDevice.clusterSize))
    }
    done += device.blockCount * UInt64(device.blockSize)
    return try ContentList(count: count, entries, into: batch).name
  }
}
