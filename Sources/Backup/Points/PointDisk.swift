// A disk as a point has it, to be read.
//
// Owns: which object each cluster is. Must not know: what it is read for.

import State
import Storage
import Store

/// A disk of a backup. It can only be read, by one thread at a time.
public final class PointDisk: BlockDevice {
  public let name: String
  public let blockSize: Int
  public let blockCount: UInt64
  private let store: ContentStore
  /// The clusters that are not zeros, ascending.
  private let slots: [UInt64]
  private let names: [ContentName]
  /// The cluster that was read last.
  private var cluster: UInt64?
  private let room: UnsafeMutableRawBufferPointer

  init(_ disk: BackupDisk, _ store: ContentStore, name: String) throws(StorageError) {
    self.name = name
    self.store = store
    blockSize = disk.sectorSize
    blockCount = disk.byteCount / UInt64(disk.sectorSize)
    let list = try ContentList(
      disk.contents, in: store, count: BackupDisk.clusterCount(disk.byteCount))
    var (slots, names): ([UInt64], [ContentName]) = ([], [])
    try list.forEach(in: store) { (slot, name) throws(StorageError) in
      slots.append(slot)
      names.append(name)
    }
    (self.slots, self.names) = (slots, names)
    room = .allocate(byteCount: UndoDevice.clusterSize, alignment: 4096)
  }

  deinit { room.deallocate() }

  private var perCluster: UInt64 { UInt64(UndoDevice.clusterSize / blockSize) }

  /// The place of the first cluster from `number` on, in `slots`.
  private func place(_ number: UInt64) -> Int {
    var (low, high) = (0, slots.count)
    while low < high {
      let middle = (low + high) / 2
      if slots[middle] < number { low = middle + 1 } else { high = middle }
    }
    return low
  }

  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try checkBlocks(block, UInt64(buffer.count / blockSize))
    var at = block
    let end = block + UInt64(buffer.count / blockSize)
    while at < end {
      let number = at / perCluster
      let next = min(end, (number + 1) * perCluster)
      let part = UnsafeMutableRawBufferPointer(
        rebasing: buffer[Int(at - block) * blockSize..<Int(next - block) * blockSize])
      let place = place(number)
      if place < slots.count, slots[place] == number {
        if cluster != number {
          cluster = nil
          let blocks = min(perCluster, blockCount - number * perCluster)
          try store.read(
            names[place],
            into: UnsafeMutableRawBufferPointer(rebasing: room[..<(Int(blocks) * blockSize)]))
          cluster = number
        }
        let first = Int(at - number * perCluster) * blockSize
        part.copyMemory(from: UnsafeRawBufferPointer(rebasing: room[first..<first + part.count]))
      } else {
        part.initializeMemory(as: UInt8.self, repeating: 0)
      }
      at = next
    }
  }

  public func nextData(from block: UInt64) -> UInt64 {
    let place = place(block / perCluster)
    return place < slots.count ? max(block, slots[place] * perCluster) : blockCount
  }

  public var capabilities: BlockCapabilities { .knowsAllocation }
  public var persistence: BlockPersistence { .file }
  public var layer: BlockLayer {
    BlockLayer(kind: "backup", of: self, details: ["\(slots.count) clusters"])
  }
  public var base: (any BlockDevice)? { nil }
  public var generation: UInt64 { 0 }

  private func refuse() -> StorageError {
    StorageError(path: name, reason: "a backup's disk is not written")
  }
  public func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    throw refuse()
  }
  public func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) { throw refuse() }
  public func discard(block: UInt64, count: UInt64) throws(StorageError) { throw refuse() }
  public func flush() throws(StorageError) {}
  public func close() {}
}

extension BackupFolder {
  /// A disk as a point has it.
  public func disk(_ index: Int, of point: BackupPoint) throws(StorageError) -> PointDisk {
    try PointDisk(point.disks[index], store, name: "\(folder): '\(point.name)'")
  }
}
