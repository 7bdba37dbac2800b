// What a device answers whose overwritten clusters are kept: what the device below does, with what waits in front of it.
//
// Owns: reading and the questions. Must not know: logs, periods.

import State

extension UndoDevice {
  public var name: String { device.name }
  public var blockCount: UInt64 { device.blockCount }
  public var byteCount: UInt64 { device.byteCount }
  public var capabilities: BlockCapabilities { device.capabilities }

  /// Whether something waits in front of blocks.
  private func waits(_ block: UInt64, _ count: UInt64) -> Bool {
    if waiting.isEmpty || count == 0 { return false }
    // Looking at many clusters one by one takes longer than asking what waits.
    if count / factor > 64 { return true }
    for cluster in block / factor...(block + count - 1) / factor where waiting.contains(cluster) {
      return true
    }
    return false
  }

  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    if waiting.isEmpty { return try device.read(block: block, into: buffer) }
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    if waits(block, UInt64(buffer.count / blockSize)) {
      try pending.read(block: block, into: buffer)
    } else {
      try device.read(block: block, into: buffer)
    }
  }

  /// Fills `buffer` with what a cluster held when the period began, whether it was written since or not.
  /// - Parameter buffer: of the cluster's length, which `UndoLog.length(of:)` says.
  /// - Throws: also when no period has begun, or the disk had no such cluster.
  public func readAtBeginning(_ cluster: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    guard let log, cluster < log.clusterCount, buffer.count == log.length(of: cluster) else {
      throw StorageError.usage(name, "no period began with \(buffer.count) bytes of \(cluster)")
    }
    // A record that is not on stable storage may be written anew; the device below has it all the same.
    if isKept(cluster) && !mayBeLost(cluster) {
      _ = try log.read(cluster, into: buffer)
      return
    }
    try readBelow(cluster * factor, into: buffer)
  }

  /// Reads past what waits. A disk that was made smaller has zeros behind its end.
  func readBelow(_ block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    let blocks = block < blockCount ? blockCount - block : 0
    let there = Int(min(UInt64(buffer.count / blockSize), blocks)) * blockSize
    if there > 0 {
      try device.read(
        block: block, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<there]))
    }
    if there < buffer.count {
      UnsafeMutableRawBufferPointer(rebasing: buffer[there...]).initializeMemory(
        as: UInt8.self, repeating: 0)
    }
  }

  public func nextData(from block: UInt64) -> UInt64 {
    waiting.isEmpty ? device.nextData(from: block) : pending.nextData(from: block)
  }

  public func extent(at block: UInt64, limit: UInt64) throws(StorageError) -> BlockExtent {
    if waiting.isEmpty { return try device.extent(at: block, limit: limit) }
    try checkBlocks(block, 1)
    // Up to where one cluster ends, or where anything waits.
    let end = min(blockCount, (block / factor + 1) * factor)
    if waits(block, 1) {
      return BlockExtent(.data, count: min(max(limit, 1), end - block))
    }
    var last = end
    while last - block < limit, last < blockCount, last - block < factor << 10, !waits(last, 1) {
      last = min(blockCount, last + factor)
    }
    return try device.extent(at: block, limit: min(limit, last - block))
  }

  public func prepare(_ access: BlockAccess) { device.prepare(access) }
  public func isReady(for access: BlockAccess) -> Bool { device.isReady(for: access) }
  public func awaitProgress(nanoseconds: UInt64) { device.awaitProgress(nanoseconds: nanoseconds) }
  public var trouble: StorageError? { device.trouble }

  public func clusterHashes() throws(StorageError) -> ClusterHashes {
    waiting.isEmpty ? try device.clusterHashes() : try pending.clusterHashes()
  }
  public var generation: UInt64 { device.generation &+ ownGeneration }

  public var persistence: BlockPersistence { device.persistence }
  public var base: (any BlockDevice)? { device.base }
  public var layer: BlockLayer { device.layer }
  public var layers: [BlockLayer] { device.layers }
  public func isWritten(_ block: UInt64) -> Bool { device.isWritten(block) || waits(block, 1) }
  public var writtenBlockCount: UInt64 { device.writtenBlockCount }
  public var writtenBlocks: [UInt64] { device.writtenBlocks }
  public func forget(_ block: UInt64) { device.forget(block) }
  public func forgetAll() { device.forgetAll() }

  /// What is held back is not in it.
  public func saveContents(to writer: inout StateWriter) {
    try? writeAll()
    device.saveContents(to: &writer)
  }

  /// What waits is written first: it is nobody else's.
  public func mark() -> FileMark {
    try? writeAll()
    return device.mark()
  }
  public func change(since mark: FileMark) -> String? { device.change(since: mark) }
  public var displacement: String? { device.displacement }
  public func unlock() {
    try? writeAll()
    device.unlock()
  }
  public func lockAgain() throws(StorageError) { try device.lockAgain() }
}
