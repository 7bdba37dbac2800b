// Temporary writes: what the guest writes stays in memory, the image below is never written.
//
// Owns: the written blocks. Must not know: files, controllers. Written blocks are part of the machine's state.

import State

/// A copy-on-write layer in memory above another device; it can be written even if that one cannot.
public final class SnapshotOverlay: BlockDevice {
  private let lower: any BlockDevice
  public let blockSize: Int
  public let blockCount: UInt64
  public let capabilities: BlockCapabilities
  public private(set) var generation: UInt64 = 0
  /// Where each written block lies, as a slot number.
  private var slots: [UInt64: Int] = [:]
  /// Blocks that hold zeros: a guest that discards a large disk must not fill the host's memory. None of them is in `slots`.
  private var zeroes = BlockSet()
  /// Slots in chunks, so that growing never copies what is there.
  private var chunks: [UnsafeMutableRawPointer] = []
  private let slotsInChunk: Int
  /// Slots that were made, and those of them whose blocks were forgotten.
  private var made = 0
  private var free: [Int] = []

  /// - Parameter isReadOnly: a write-protected medium stays protected even though nothing would be damaged.
  public init(base: any BlockDevice, isReadOnly: Bool = false) {
    lower = base
    blockSize = base.blockSize
    blockCount = base.blockCount
    slotsInChunk = max(1, 65536 / base.blockSize)
    let kept: BlockCapabilities = [.temporary, .zeroesCheaply, .discards]
    capabilities =
      kept.union(isReadOnly ? [] : .writable)
      .union(base.capabilities.intersection(.knowsAllocation))
  }

  deinit { for chunk in chunks { chunk.deallocate() } }

  public var base: (any BlockDevice)? { lower }
  public var name: String { lower.name }
  public var persistence: BlockPersistence { .overlay }
  public var layer: BlockLayer {
    BlockLayer(kind: "snapshot", of: self, details: ["\(writtenBlockCount) blocks written"])
  }

  // MARK: Transfers

  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    try BlockRange.check("(snapshot)", block, buffer.count, blockCount, blockSize)
    if slots.isEmpty && zeroes.isEmpty { return try lower.read(block: block, into: buffer) }
    let count = buffer.count / blockSize
    var index = 0
    while index < count {
      let place = buffer.baseAddress! + index * blockSize
      if let slot = slots[block + UInt64(index)] {
        place.copyMemory(from: address(slot), byteCount: blockSize)
        index += 1
        continue
      }
      if zeroes.contains(block + UInt64(index)) {
        place.initializeMemory(as: UInt8.self, repeating: 0, count: blockSize)
        index += 1
        continue
      }
      var end = index + 1
      while end < count, !isWritten(block + UInt64(end)) { end += 1 }
      try lower.read(
        block: block + UInt64(index),
        into: UnsafeMutableRawBufferPointer(rebasing: buffer[index * blockSize..<end * blockSize]))
      index = end
    }
  }

  public func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try BlockRange.check("(snapshot)", block, buffer.count, blockCount, blockSize)
    if isReadOnly { throw StorageError(path: "(snapshot)", reason: "the image is write-protected") }
    generation &+= 1
    for index in 0..<buffer.count / blockSize {
      store(block + UInt64(index), buffer.baseAddress! + index * blockSize)
    }
  }

  /// Zeros take a bit each at most.
  public func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    try checkBlocks(block, count)
    if isReadOnly { throw StorageError(path: "(snapshot)", reason: "the image is write-protected") }
    generation &+= 1
    let range = block..<block + count
    if count > UInt64(slots.count) {
      for number in slots.keys.filter({ range.contains($0) }).sorted() { release(number) }
    } else {
      for number in range { release(number) }
    }
    zeroes.insert(range)
  }

  private func release(_ block: UInt64) {
    if let slot = slots.removeValue(forKey: block) { free.append(slot) }
  }

  /// What is discarded is no longer the base's either.
  public func discard(block: UInt64, count: UInt64) throws(StorageError) {
    try writeZeroes(block: block, count: count)
  }

  public func flush() throws(StorageError) {}

  public func nextData(from block: UInt64) -> UInt64 {
    var next = lower.nextData(from: block)
    if next > block { for number in slots.keys where number >= block { next = min(next, number) } }
    return next
  }

  /// Those of the image below, except for what was written.
  public func clusterHashes() throws(StorageError) -> ClusterHashes {
    var hashes = try lower.clusterHashes()
    let sectors = UInt64(blockSize / 512)
    var changed = Set(slots.keys.map { hashes.cluster(of: $0 * sectors) })
    zeroes.forEachRun { run in
      for cluster in hashes.cluster(
        of: run.lowerBound * sectors)...hashes.cluster(
          of: run.upperBound * sectors - 1)
      {
        changed.insert(cluster)
      }
    }
    try hashes.update(changed, from: self)
    return hashes
  }

  // MARK: What was written

  public var writtenBlockCount: UInt64 { UInt64(slots.count) + zeroes.count }
  public func isWritten(_ block: UInt64) -> Bool {
    slots[block] != nil || zeroes.contains(block)
  }
  public var writtenBlocks: [UInt64] {
    var all = Array(slots.keys)
    zeroes.forEachRun { all += $0 }
    return all.sorted()
  }

  public func forget(_ block: UInt64) {
    if !isWritten(block) { return }
    generation &+= 1
    release(block)
    zeroes.remove(block)
  }

  public func forgetAll() {
    generation &+= 1
    slots = [:]
    zeroes.removeAll()
    free = []
    made = 0
    for chunk in chunks { chunk.deallocate() }
    chunks = []
  }

  private func address(_ slot: Int) -> UnsafeMutableRawPointer {
    chunks[slot / slotsInChunk] + slot % slotsInChunk * blockSize
  }

  private func store(_ block: UInt64, _ data: UnsafeRawPointer) {
    let slot: Int
    if let known = slots[block] {
      slot = known
    } else {
      zeroes.remove(block)
      if let reused = free.popLast() {
        slot = reused
      } else {
        slot = made
        made += 1
      }
      if slot / slotsInChunk == chunks.count {
        chunks.append(
          UnsafeMutableRawPointer.allocate(byteCount: slotsInChunk * blockSize, alignment: 4096))
      }
      slots[block] = slot
    }
    address(slot).copyMemory(from: data, byteCount: blockSize)
  }

  // MARK: Saved states

  public func saveContents(to writer: inout StateWriter) {
    var blocks = SavedBlocks()
    var entries: [(range: Range<UInt64>, slot: Int?)] = slots.map {
      ($0.key..<$0.key + 1, $0.value)
    }
    zeroes.forEachRun { entries.append(($0, nil)) }
    entries.sort { $0.range.lowerBound < $1.range.lowerBound }
    for (range, slot) in entries {
      if let slot, !SavedBlocks.isZero(address(slot), blockSize) {
        blocks.add(range.lowerBound)
      } else {
        blocks.add(zeroes: range)
      }
    }
    blocks.write(to: &writer, blockCount: blockCount) { block in
      UnsafeRawBufferPointer(start: address(slots[block] ?? 0), count: blockSize)
    }
  }

  /// Also where the medium is write-protected: what was written before it was is there.
  public func restoreContents(from reader: inout StateReader) throws(StateError) {
    try restoreWrittenBlocks(
      from: &reader, mayHold: { _ in forgetAll() },
      put: { block, bytes in bytes.withUnsafeBytes { self.store(block, $0.baseAddress!) } },
      zero: { range in self.zeroes.insert(range) })
  }
}
