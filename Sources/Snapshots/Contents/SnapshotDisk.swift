// A disk as a snapshot has it, to be read.
//
// Owns: which clusters come from the store and which from the image. Must not know: what it is read for.

import State
import Storage
import Store

/// A disk at the time of a snapshot. It can only be read; the image below must not be written meanwhile.
public final class SnapshotDisk: BlockDevice {
  private let image: any BlockDevice
  private let map: ClusterMap
  /// Its clusters, ascending.
  private let kept: [UInt64]
  private let store: ContentStore
  public let blockSize: Int
  public let blockCount: UInt64
  /// The cluster that was read last.
  private var cluster: UInt64?
  private let room: UnsafeMutableRawBufferPointer

  init(_ image: any BlockDevice, _ map: ClusterMap, _ store: ContentStore) {
    self.image = image
    self.map = map
    kept = map.clusters
    self.store = store
    blockSize = image.blockSize
    blockCount = image.blockCount
    room = .allocate(byteCount: UndoDevice.clusterSize, alignment: 4096)
  }

  deinit { room.deallocate() }

  public var name: String { image.name }
  public var capabilities: BlockCapabilities { image.capabilities.intersection(.knowsAllocation) }
  public var persistence: BlockPersistence { .file }
  public var layer: BlockLayer {
    BlockLayer(kind: "snapshot", of: self, details: ["\(map.names.count) clusters kept"])
  }
  public var base: (any BlockDevice)? { nil }
  public var generation: UInt64 { 0 }

  private var perCluster: UInt64 { UInt64(UndoDevice.clusterSize / blockSize) }

  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try checkBlocks(block, UInt64(buffer.count / blockSize))
    var at = block
    let end = block + UInt64(buffer.count / blockSize)
    while at < end {
      let number = at / perCluster
      let next = min(end, (number + 1) * perCluster)
      let part = UnsafeMutableRawBufferPointer(
        rebasing: buffer[Int(at - block) * blockSize..<Int(next - block) * blockSize])
      if let name = map.names[number] {
        if name == .zero {
          part.initializeMemory(as: UInt8.self, repeating: 0)
        } else {
          if cluster != number {
            cluster = nil
            try store.read(name, into: whole(number))
            cluster = number
          }
          let first = Int(at - number * perCluster) * blockSize
          part.copyMemory(
            from: UnsafeRawBufferPointer(rebasing: room[first..<first + part.count]))
        }
      } else {
        try image.read(block: at, into: part)
      }
      at = next
    }
  }

  /// Room for a cluster; the disk's last may be shorter.
  private func whole(_ number: UInt64) -> UnsafeMutableRawBufferPointer {
    let blocks = min(perCluster, blockCount - number * perCluster)
    return UnsafeMutableRawBufferPointer(rebasing: room[..<(Int(blocks) * blockSize)])
  }

  public func nextData(from block: UInt64) -> UInt64 {
    var at = block
    while at < blockCount {
      let number = at / perCluster
      if let name = map.names[number] {
        if name != .zero { return at }
        at = (number + 1) * perCluster
        continue
      }
      let next = image.nextData(from: at)
      if next / perCluster == number { return next }
      // What the store has may come before the image's next.
      at = min(next, keptCluster(after: number).map { $0 * perCluster } ?? blockCount)
    }
    return blockCount
  }

  private func keptCluster(after number: UInt64) -> UInt64? {
    var (low, high) = (0, kept.count)
    while low < high {
      let middle = (low + high) / 2
      if kept[middle] <= number { low = middle + 1 } else { high = middle }
    }
    return low < kept.count ? kept[low] : nil
  }

  private func refuse() -> StorageError {
    StorageError(path: name, reason: "a snapshot's disk is not written")
  }
  public func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    throw refuse()
  }
  public func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) { throw refuse() }
  public func discard(block: UInt64, count: UInt64) throws(StorageError) { throw refuse() }
  public func flush() throws(StorageError) {}
  public func close() {}
}
