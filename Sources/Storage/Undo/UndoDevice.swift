// A device whose overwritten clusters are kept.
//
// Owns: which clusters are kept already, writes that wait until what they overwrite is on stable storage, holding writes back. Must not
// know: formats, snapshots, where logs are.
//
// What makes it safe when the power fails: what a cluster held is on stable storage before the device below is given something else for
// it. Waiting for stable storage at each write would cost too much, so writes to clusters of which that is not certain yet gather in memory.
// When there are enough of them, or somebody wants to have them in the files, the log is brought to stable storage, then they are written,
// and only then the device is flushed. Everything else goes straight through.

import State

/// A device whose overwritten clusters are kept in a log. It is used by one thread at a time: below a `QueuedDevice` it is.
public final class UndoDevice: BlockDevice {
  /// Bytes in a cluster, whatever the image's format has.
  public static let clusterSize = 65_536
  /// Bytes of the log, or of writes, that may wait.
  var mostBytes: UInt64 = 8 << 20
  /// With so many the host is asked to bring them to its disk, and nobody waits for it yet.
  var manyBytes: UInt64 = 2 << 20

  private(set) var device: any BlockDevice
  public let blockSize: Int
  /// How many blocks a cluster has.
  let factor: UInt64

  /// Where clusters are kept; nil: they are not.
  public private(set) var log: UndoLog?
  /// Clusters of this period that are in the log.
  private var kept = ClusterSet()
  /// Those of them that may not be on stable storage yet, as a set and in the log's order with where their records end.
  private var unsynced = BlockSet()
  private var order: [(cluster: UInt64, end: UInt64)] = []
  /// The host refused to say that the log is on stable storage: what was not is to be written once more.
  private var mustRewrite = false

  /// Writes that wait. Clusters in which any do are in `waiting`; blocks that are to be discarded, and read as zeros, in `discarded`.
  private(set) var pending: SnapshotOverlay
  private(set) var waiting = BlockSet()
  private var discarded = BlockSet()
  private let buffer: UnsafeMutableRawBufferPointer

  /// Whether writes are held back.
  public private(set) var isHeld = false
  /// Clusters that were written since somebody began to ask; nil: nobody asks.
  private var noted: BlockSet?
  /// Grows with what is written here.
  private(set) var ownGeneration: UInt64 = 0

  /// - Parameter device: used only through this from now on.
  public init(_ device: any BlockDevice) {
    self.device = device
    blockSize = device.blockSize
    factor = UInt64(UndoDevice.clusterSize / device.blockSize)
    pending = UndoDevice.overlay(device, mostBytes)
    buffer = .allocate(byteCount: UndoDevice.clusterSize, alignment: 4096)
  }

  deinit { buffer.deallocate() }

  private static func overlay(_ device: any BlockDevice, _ spare: UInt64) -> SnapshotOverlay {
    let overlay = SnapshotOverlay(base: device)
    overlay.mostSpareBytes = Int(spare)
    return overlay
  }

  // MARK: Copies of a disk in use

  /// From here on it is noted which clusters are written, for whoever copies the disk meanwhile.
  public func beginNoting() { noted = BlockSet() }

  /// The clusters written since it was asked last, or since the beginning.
  public func takeNoted() -> ClusterSet {
    defer { if noted != nil { noted = BlockSet() } }
    return ClusterSet(noted ?? BlockSet())
  }

  /// Nothing is noted any more.
  public func endNoting() { noted = nil }

  /// Puts another device in the place of the one below: of the same size, with what this one has had written.
  /// - Throws: when it is of another shape, or something is kept or waits.
  public func exchange(_ other: any BlockDevice) throws(StorageError) {
    guard other.blockSize == blockSize, other.blockCount == blockCount else {
      throw StorageError(
        path: other.name,
        reason: "has \(other.blockCount * UInt64(other.blockSize)) bytes, not "
          + "\(blockCount * UInt64(blockSize))")
    }
    if log != nil || isHeld || !waiting.isEmpty {
      throw StorageError(path: name, reason: "is in use")
    }
    device = other
    pending = UndoDevice.overlay(other, mostBytes)
    ownGeneration &+= 1
  }

  private func note(_ block: UInt64, _ count: UInt64) {
    if noted != nil, count > 0 { noted!.insert(clusters(block, count)) }
  }

  // MARK: Periods

  /// A new period begins: clusters are kept in this log from here on; nil: nothing is kept any more. What was written so far, and what the
  /// former log has, is on stable storage and the former log's file is closed when this returns.
  /// - Throws: then nothing has begun. Also when writes are held back, the log is of a disk of another size, or it is not sealed although the
  ///   disk is encrypted.
  public func begin(_ log: UndoLog?) throws(StorageError) {
    if isHeld { throw heldError("no period can begin") }
    if let log, log.diskSize != blockCount * UInt64(blockSize) {
      throw StorageError.usage(
        log.path, "is of a disk of \(log.diskSize) bytes, not of '\(name)'")
    }
    if let log, !log.isSealed, !device.volumeKeys.isEmpty {
      throw StorageError.usage(
        log.path, "would have readable what is encrypted in '\(name)'")
    }
    // What the new period begins with must not be lost by a power failure: nothing else has it.
    try flush()
    try self.log?.close()
    self.log = log
    kept = ClusterSet(log?.clusters ?? [])
  }

  /// Brings what waits in the log to stable storage and to the device, without the guest having to flush; so that `begin` has little to do.
  public func prepareBegin() throws(StorageError) {
    try writeAll()
    if !isHeld { try device.flush() }
  }

  /// The clusters kept in this period so far: all others are as they were when it began.
  public var keptClusters: ClusterSet { kept }

  func isKept(_ cluster: UInt64) -> Bool { kept.contains(cluster) }
  /// Whether the record of a cluster that is kept may not be on stable storage yet.
  func mayBeLost(_ cluster: UInt64) -> Bool { unsynced.contains(cluster) }

  /// From here on nothing is written to the device below: writes gather in memory, as many as there are, and are read from there. Flushing
  /// brings only what was written before to stable storage. What they overwrite is kept as ever.
  public func hold() { isHeld = true }

  /// Writes what was held back, when what it overwrites is on stable storage; from here on nothing is held back.
  /// - Throws: then the rest is still held back, and this may be called again.
  public func release() throws(StorageError) {
    if !isHeld { return }
    try syncLog()
    isHeld = false
    do throws(StorageError) { try writePending() } catch {
      isHeld = true
      throw error
    }
  }

  /// Forgets what was written since `hold`, and ends that. Only where nothing waited then (`prepareBegin`).
  public func cancelHold() {
    if !isHeld { return }
    pending.forgetAll()
    isHeld = false
  }

  func heldError(_ what: String) -> StorageError {
    StorageError.usage(name, "\(what) while writes are held back")
  }

  // MARK: Keeping

  /// The clusters that blocks are in.
  private func clusters(_ block: UInt64, _ count: UInt64) -> Range<UInt64> {
    block / factor..<(block + count - 1) / factor + 1
  }

  /// The log has what a cluster holds in the device below; nothing that waits is in it yet.
  private func append(_ cluster: UInt64, _ log: UndoLog) throws(StorageError) {
    let first = cluster * factor
    let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<log.length(of: cluster)])
    // A disk that was made smaller has nothing there; what it had was kept before.
    let there = min(first + UInt64(bytes.count / blockSize), blockCount)
    if first >= there { return try log.appendZeros(cluster) }
    if capabilities.contains(.knowsAllocation), device.nextData(from: first) >= there {
      return try log.appendZeros(cluster)
    }
    try readBelow(first, into: bytes)
    try log.append(cluster, UnsafeRawBufferPointer(bytes))
  }

  private func keep(_ cluster: UInt64, _ log: UndoLog) throws(StorageError) {
    try append(cluster, log)
    kept.numbers.insert(cluster..<cluster + 1)
    unsynced.insert(cluster..<cluster + 1)
    order.append((cluster, log.end))
  }

  /// Keeps clusters that have yet to be. What the disk has more than at the beginning of the period is nobody's.
  private func keep(_ clusters: Range<UInt64>) throws(StorageError) {
    guard let log else { return }
    let end = min(clusters.upperBound, log.clusterCount)
    var cluster = clusters.lowerBound
    while cluster < end {
      if !kept.contains(cluster) { try keep(cluster, log) }
      cluster += 1
    }
  }

  /// The same for those that may hold something else than zeros, before zeros take their place.
  private func keepData(_ clusters: Range<UInt64>) throws(StorageError) {
    guard let log else { return }
    let end = min(clusters.upperBound, log.clusterCount)
    let knows = capabilities.contains(.knowsAllocation)
    var cluster = clusters.lowerBound
    while cluster < end {
      if kept.contains(cluster) {
        cluster += 1
        continue
      }
      if knows {
        let next = device.nextData(from: cluster * factor)
        if next >= blockCount { return }
        if next / factor > cluster {
          cluster = next / factor
          continue
        }
      }
      try keep(cluster, log)
      cluster += 1
      if log.unsyncedBytes >= mostBytes { try syncLog() }
    }
  }

  // MARK: Order

  /// All that is in the log is on stable storage when this returns.
  private func syncLog() throws(StorageError) {
    guard let log, mustRewrite || log.unsyncedBytes > 0 else { return }
    try orRewrite { () throws(StorageError) in
      if mustRewrite {
        // The device has what these clusters held: nothing was written there that could have waited for the log.
        try log.dropUnsynced()
        for n in order.indices {
          try append(order[n].cluster, log)
          order[n].end = log.end
        }
        mustRewrite = false
      }
      try log.sync()
    }
    noteSynced(log)
  }

  /// A host that failed to bring pages to its disk forgets them, and says so once.
  private func orRewrite(_ body: () throws(StorageError) -> Void) throws(StorageError) {
    do throws(StorageError) { try body() } catch {
      mustRewrite = true
      throw error
    }
  }

  /// Clusters whose records are on stable storage may be written.
  private func noteSynced(_ log: UndoLog) {
    if log.unsyncedBytes == 0 {
      unsynced.removeAll()
      order.removeAll(keepingCapacity: true)
      return
    }
    var count = 0
    while count < order.count, order[count].end <= log.syncedEnd {
      unsynced.remove(order[count].cluster)
      count += 1
    }
    order.removeFirst(count)
  }

  /// Writes what waits and may be written.
  private func writePending() throws(StorageError) {
    if isHeld || waiting.isEmpty { return }
    var isAll = true
    var (stored, zeros): ([Range<UInt64>], [Range<UInt64>]) = ([], [])
    func mayWrite(_ cluster: UInt64) -> Bool {
      if !unsynced.contains(cluster) { return true }
      isAll = false
      return false
    }
    try pending.forEachStoredRun { (run, bytes) throws(StorageError) in
      if !mayWrite(run.lowerBound / factor) { return }
      try device.write(block: run.lowerBound, from: bytes)
      stored.append(run)
    }
    for run in pending.zeroRuns {
      var block = run.lowerBound
      while block < run.upperBound {
        let part = zeroPart(from: block, to: run.upperBound)
        if mayWrite(block / factor) {
          let count = part.upperBound - block
          if discarded.contains(block) {
            try device.discard(block: block, count: count)
          } else {
            try device.writeZeroes(block: block, count: count)
          }
          zeros.append(part)
        }
        block = part.upperBound
      }
    }
    if isAll {
      forgetPending()
      return
    }
    for run in stored {
      pending.forget(stored: run)
      waiting.remove(run.lowerBound / factor)
    }
    for run in zeros {
      for block in run {
        pending.forget(block)
        discarded.remove(block)
      }
      waiting.remove(run.lowerBound / factor)
    }
  }

  /// Zeros that are written in one go: all discarded or none, all in clusters that may be written or all in one that may not.
  private func zeroPart(from block: UInt64, to end: UInt64) -> Range<UInt64> {
    var last = end
    if !unsynced.isEmpty { last = min(last, (block / factor + 1) * factor) }
    if discarded.isEmpty { return block..<last }
    let kind = discarded.contains(block)
    var next = block + 1
    while next < last, discarded.contains(next) == kind { next += 1 }
    return block..<next
  }

  private func forgetPending() {
    pending.forgetAll()
    waiting.removeAll()
    discarded.removeAll()
  }

  /// Nothing waits any more when this returns, but for what is held back.
  func writeAll() throws(StorageError) {
    try syncLog()
    try writePending()
  }

  /// So much may wait and no more; what is held back may be any amount.
  private func makeRoom() throws(StorageError) {
    guard let log else { return }
    let written = isHeld ? 0 : pending.writtenBlockCount * UInt64(blockSize)
    let waiting = max(log.unsyncedBytes, written)
    if waiting < manyBytes { return }
    if waiting >= mostBytes || mustRewrite { return try writeAll() }
    if try goOn(log) { try writePending() }
  }

  /// Goes on with bringing the log to stable storage, for which nobody waits.
  /// - Returns: whether more of it is there than before.
  private func goOn(_ log: UndoLog) throws(StorageError) -> Bool {
    let before = log.syncedEnd
    try orRewrite { () throws(StorageError) in
      try log.lookAtSync()
      if !log.isSyncing { try log.beginSync() }
    }
    if log.syncedEnd == before { return false }
    noteSynced(log)
    return true
  }

  /// Whether all clusters may be written at once.
  private func goesThrough(_ clusters: Range<UInt64>) -> Bool {
    if isHeld { return false }
    if unsynced.isEmpty && waiting.isEmpty { return true }
    for cluster in clusters where unsynced.contains(cluster) || waiting.contains(cluster) {
      return false
    }
    return true
  }

  // MARK: Writing

  public func write(block: UInt64, from bytes: UnsafeRawBufferPointer) throws(StorageError) {
    note(block, UInt64(bytes.count / blockSize))
    if log == nil && !isHeld { return try device.write(block: block, from: bytes) }
    try BlockRange.check(name, block, bytes.count, blockCount, blockSize)
    if isReadOnly || bytes.isEmpty { return try device.write(block: block, from: bytes) }
    let count = UInt64(bytes.count / blockSize)
    let clusters = clusters(block, count)
    if needsNothing(clusters) { return try device.write(block: block, from: bytes) }
    try makeRoom()
    try keep(clusters)
    if goesThrough(clusters) { return try device.write(block: block, from: bytes) }
    try pending.write(block: block, from: bytes)
    waiting.insert(clusters)
    if !discarded.isEmpty { for block in block..<block + count { discarded.remove(block) } }
    ownGeneration &+= 1
  }

  /// Whether clusters are kept and may be written.
  private func needsNothing(_ clusters: Range<UInt64>) -> Bool {
    guard goesThrough(clusters) else { return false }
    let end = min(clusters.upperBound, log?.clusterCount ?? 0)
    var cluster = clusters.lowerBound
    while cluster < end {
      if !kept.contains(cluster) { return false }
      cluster += 1
    }
    return true
  }

  public func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    try zero(block, count, discards: false)
  }

  public func discard(block: UInt64, count: UInt64) throws(StorageError) {
    try zero(block, count, discards: true)
  }

  private func zero(_ block: UInt64, _ count: UInt64, discards: Bool) throws(StorageError) {
    func pass() throws(StorageError) {
      if discards {
        try device.discard(block: block, count: count)
      } else {
        try device.writeZeroes(block: block, count: count)
      }
    }
    if count > 0, block < blockCount { note(block, min(count, blockCount - block)) }
    if log == nil && !isHeld { return try pass() }
    try checkBlocks(block, count)
    if isReadOnly || count == 0 { return try pass() }
    let clusters = clusters(block, count)
    try makeRoom()
    try keepData(clusters)
    if !isHeld {
      // What is large is not worth gathering.
      if count * UInt64(blockSize) > mostBytes { try writeAll() }
      if unsynced.isEmpty && waiting.isEmpty || goesThrough(clusters) { return try pass() }
    }
    try pending.writeZeroes(block: block, count: count)
    waiting.insert(clusters)
    if discards {
      discarded.insert(block..<block + count)
    } else if !discarded.isEmpty {
      for block in block..<block + count { discarded.remove(block) }
    }
    ownGeneration &+= 1
  }

  public func flush() throws(StorageError) {
    try writeAll()
    try device.flush()
  }

  public func finish() throws(StorageError) {
    try writeAll()
    try device.finish()
  }

  public func settle() throws(StorageError) -> Bool {
    let waits = try settleLog()
    return try device.settle() || waits
  }

  /// Goes on with bringing the log to stable storage beside whoever asks, and writes what waited for what is there.
  private func settleLog() throws(StorageError) -> Bool {
    if mustRewrite { try writeAll() }
    if let log, log.unsyncedBytes > 0 { _ = try goOn(log) }
    try writePending()
    return log.map { $0.unsyncedBytes > 0 } ?? false
  }

  public func resize(to blockCount: UInt64) throws(StorageError) {
    if isHeld { throw heldError("its size cannot change") }
    try writeAll()
    if blockCount < self.blockCount {
      try keepData(blockCount / factor..<clusters(self.blockCount - 1, 1).upperBound)
      try syncLog()
    }
    try device.resize(to: blockCount)
    pending = UndoDevice.overlay(device, mostBytes)
  }

  /// What is held back is gone.
  public func close() {
    try? writeAll()
    try? log?.close()
    forgetPending()
    device.close()
  }

  public func restoreContents(from reader: inout StateReader) throws(StateError) {
    forgetPending()
    ownGeneration &+= 1
    try device.restoreContents(from: &reader)
  }
}
