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
  /// Slots in chunks, so that growing never copies what is there.
  private var chunks: [UnsafeMutableRawPointer] = []
  private let slotsInChunk: Int
  /// Slots that were made, and those of them whose blocks were forgotten.
  private var made = 0
  private var free: [Int] = []
  /// The slot of a block that holds zeros: none.
  private static let zeroSlot = -1

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
    BlockLayer(kind: "snapshot", of: self, details: ["\(slots.count) blocks written"])
  }

  // MARK: Transfers

  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    try BlockRange.check("(snapshot)", block, buffer.count, blockCount, blockSize)
    if slots.isEmpty { return try lower.read(block: block, into: buffer) }
    let count = buffer.count / blockSize
    var index = 0
    while index < count {
      if let slot = slots[block + UInt64(index)] {
        let place = buffer.baseAddress! + index * blockSize
        if slot == SnapshotOverlay.zeroSlot {
          place.initializeMemory(as: UInt8.self, repeating: 0, count: blockSize)
        } else {
          place.copyMemory(from: address(slot), byteCount: blockSize)
        }
        index += 1
        continue
      }
      var end = index + 1
      while end < count, slots[block + UInt64(end)] == nil { end += 1 }
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

  /// Zeros take no room but their place in the table.
  public func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    try checkBlocks(block, count)
    if isReadOnly { throw StorageError(path: "(snapshot)", reason: "the image is write-protected") }
    generation &+= 1
    for number in block..<block + count {
      if let old = slots.updateValue(SnapshotOverlay.zeroSlot, forKey: number), old >= 0 {
        free.append(old)
      }
    }
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
    try hashes.update(Set(slots.keys.map { hashes.cluster(of: $0 * sectors) }), from: self)
    return hashes
  }

  // MARK: What was written

  public var writtenBlockCount: UInt64 { UInt64(slots.count) }
  public func isWritten(_ block: UInt64) -> Bool { slots[block] != nil }
  public var writtenBlocks: [UInt64] { slots.keys.sorted() }

  public func forget(_ block: UInt64) {
    guard let slot = slots.removeValue(forKey: block) else { return }
    generation &+= 1
    if slot >= 0 { free.append(slot) }
  }

  public func forgetAll() {
    generation &+= 1
    slots = [:]
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
    if let known = slots[block], known >= 0 {
      slot = known
    } else {
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

  public func saveContents(to writer: inout StateWriter) { saveByBlocks(to: &writer) }

  /// Also where the medium is write-protected: what was written before it was is there.
  public func restoreContents(from reader: inout StateReader) throws(StateError) {
    try restoreWrittenBlocks(
      from: &reader, mayHold: { _ in forgetAll() },
      put: { block, bytes in bytes.withUnsafeBytes { self.store(block, $0.baseAddress!) } })
  }
}
