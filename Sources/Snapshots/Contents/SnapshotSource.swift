// A disk as a snapshot has it, read while a machine writes the image.
//
// Owns: where each cluster is found, whatever is done with the tree meanwhile. Must not know: what it is read for.
//
// The image has what was not overwritten since, the present period's log what was; the store has what earlier periods had overwritten. The
// first two are looked at while nobody else uses the disk, which is for one cluster at a time: the machine hardly notices.

import State
import Storage
import Store

/// A disk at the time of a snapshot. It can only be read, by one thread; the machine goes on meanwhile, and other snapshots are taken.
public final class SnapshotSource: BlockDevice {
  private let tree: SnapshotTree
  private let snapshot: SnapshotRecord
  private let index: Int
  private let attachment: TreeAttachment
  public let blockSize: Int
  public let blockCount: UInt64
  /// What earlier periods had overwritten, and the period whose log has the rest; nil: nothing is kept of what is overwritten.
  private var known: (map: ClusterMap, period: UInt64?)
  private var cluster: UInt64?
  private let room: UnsafeMutableRawBufferPointer

  init(
    _ tree: SnapshotTree, _ snapshot: SnapshotRecord, _ index: Int, _ attachment: TreeAttachment
  ) throws(StorageError) {
    self.tree = tree
    self.snapshot = snapshot
    self.index = index
    self.attachment = attachment
    blockSize = attachment.device.blockSize
    blockCount = attachment.device.blockCount
    known = try tree.whereabouts(of: snapshot, disk: index)
    room = .allocate(byteCount: UndoDevice.clusterSize, alignment: 4096)
  }

  deinit { room.deallocate() }

  private var perCluster: UInt64 { UInt64(UndoDevice.clusterSize / blockSize) }
  /// How many clusters it has.
  public var clusterCount: UInt64 { (blockCount + perCluster - 1) / perCluster }

  /// Bytes of a cluster: the last one may be shorter.
  public func length(of cluster: UInt64) -> Int {
    Int(min(perCluster, blockCount - cluster * perCluster)) * blockSize
  }

  /// Runs something while nobody uses the disk and what is known of it holds.
  private func settled(_ body: () throws(StorageError) -> Void) throws(StorageError) {
    while true {
      var isDone = false
      try tree.piece { () throws(StorageError) in
        try attachment.alone { () throws(StorageError) in
          guard attachment.undo?.log?.period == known.period else { return }
          try body()
          isDone = true
        }
      }
      if isDone { return }
      // Another snapshot was taken: what the log had is in the store now.
      known = try tree.whereabouts(of: snapshot, disk: index)
    }
  }

  /// The next cluster that may hold something else than zeros; nil: none follows.
  public func nextCluster(from start: UInt64) throws(StorageError) -> UInt64? {
    let end = clusterCount
    var found: UInt64?
    try settled { () throws(StorageError) in
      let kept = attachment.undo?.keptClusters
      var at = start
      while at < end {
        let next =
          attachment.undo.map { $0.nextData(from: at * perCluster) }
          ?? attachment.device.nextData(from: at * perCluster)
        let data = next >= blockCount ? end : next / perCluster
        // What the image does not hold may have been there.
        while at < data, kept?.contains(at) != true, known.map.names[at] == nil { at += 1 }
        if at >= end { break }
        if known.map.names[at] == .zero {
          at += 1
          continue
        }
        found = at
        return
      }
    }
    return found
  }

  /// Reads what a cluster held.
  /// - Parameter buffer: of the cluster's length.
  public func read(cluster: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    var name = known.map.names[cluster]
    if name == nil {
      try settled { () throws(StorageError) in
        // It may have got there while this one waited.
        name = known.map.names[cluster]
        if name != nil { return }
        if let undo = attachment.undo, undo.log != nil {
          try undo.readAtBeginning(cluster, into: buffer)
        } else {
          try (attachment.undo ?? attachment.device).read(
            block: cluster * perCluster, into: buffer)
        }
      }
    }
    if let name { try tree.store.read(name, into: buffer) }
  }

  // MARK: As a device

  public var name: String { attachment.device.name }
  public var capabilities: BlockCapabilities { .knowsAllocation }
  public var persistence: BlockPersistence { .file }
  public var layer: BlockLayer { BlockLayer(kind: "snapshot", of: self, details: []) }
  public var base: (any BlockDevice)? { nil }
  public var generation: UInt64 { 0 }

  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try checkBlocks(block, UInt64(buffer.count / blockSize))
    var at = block
    let end = block + UInt64(buffer.count / blockSize)
    while at < end {
      let number = at / perCluster
      let next = min(end, (number + 1) * perCluster)
      let whole = UnsafeMutableRawBufferPointer(rebasing: room[..<length(of: number)])
      if cluster != number {
        cluster = nil
        try read(cluster: number, into: whole)
        cluster = number
      }
      let first = Int(at - number * perCluster) * blockSize
      let count = Int(next - at) * blockSize
      UnsafeMutableRawBufferPointer(
        rebasing: buffer[Int(at - block) * blockSize..<Int(next - block) * blockSize]
      )
      .copyMemory(from: UnsafeRawBufferPointer(rebasing: room[first..<first + count]))
      at = next
    }
  }

  public func nextData(from block: UInt64) -> UInt64 {
    if block >= blockCount { return blockCount }
    do throws(StorageError) {
      guard let next = try nextCluster(from: block / perCluster) else { return blockCount }
      return max(block, next * perCluster)
    } catch {
      // What cannot be told is read, which tells why.
      return block
    }
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
