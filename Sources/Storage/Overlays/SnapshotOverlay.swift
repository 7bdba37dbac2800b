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
  /// Written blocks with their neighbours, by the number of the first of them divided by `blocksInExtent`.
  private var extents: [UInt64: Extent] = [:]
  /// How many blocks `extents` holds.
  private var storedCount: UInt64 = 0
  /// Blocks that hold zeros: a guest that discards a large disk must not fill the host's memory. None of them is in `extents`.
  private var zeroes = BlockSet()
  private let blocksInExtent: UInt64
  /// Room of extents that are gone, for new ones: the host takes long to give memory again. Of no use where few are written anew.
  private var spare: [UnsafeMutableRawPointer] = []
  /// How many bytes of it are kept.
  var mostSpareBytes = 0

  /// Room for neighbours, of which those that were written have contents. The host gives memory to its pages when they are.
  private struct Extent {
    let bytes: UnsafeMutableRawPointer
    /// A bit for each block.
    var written: (UInt64, UInt64) = (0, 0)

    var isEmpty: Bool { written.0 | written.1 == 0 }
    func contains(_ index: Int) -> Bool {
      (index < 64 ? written.0 : written.1) >> UInt64(index & 63) & 1 != 0
    }
    /// How many blocks from this one on are alike, up to `end`.
    func run(from index: Int, to end: Int) -> Int {
      let kind = contains(index)
      var next = index + 1
      while next < end, contains(next) == kind { next += 1 }
      return next - index
    }
    /// - Returns: how many it did not contain.
    mutating func insert(_ range: Range<Int>) -> Int {
      let before = count
      written.0 |= Extent.mask(range, 0)
      written.1 |= Extent.mask(range, 64)
      return count - before
    }
    /// - Returns: how many it contained.
    mutating func remove(_ range: Range<Int>) -> Int {
      let before = count
      written.0 &= ~Extent.mask(range, 0)
      written.1 &= ~Extent.mask(range, 64)
      return before - count
    }
    private var count: Int { written.0.nonzeroBitCount + written.1.nonzeroBitCount }
    /// The bits of a range among the 64 from `first` on.
    private static func mask(_ range: Range<Int>, _ first: Int) -> UInt64 {
      let low = min(max(range.lowerBound - first, 0), 64)
      let high = min(max(range.upperBound - first, 0), 64)
      return (UInt64.max << UInt64(low)) & ~(UInt64.max << UInt64(high))
    }
  }

  /// - Parameter isReadOnly: a write-protected medium stays protected even though nothing would be damaged.
  public init(base: any BlockDevice, isReadOnly: Bool = false) {
    lower = base
    blockSize = base.blockSize
    blockCount = base.blockCount
    blocksInExtent = UInt64(max(1, min(128, 65536 / base.blockSize)))
    let kept: BlockCapabilities = [.temporary, .zeroesCheaply, .discards]
    capabilities =
      kept.union(isReadOnly ? [] : .writable)
      .union(base.capabilities.intersection(.knowsAllocation))
  }

  deinit {
    for extent in extents.values { extent.bytes.deallocate() }
    for bytes in spare { bytes.deallocate() }
  }

  private func allocate() -> UnsafeMutableRawPointer {
    spare.popLast() ?? .allocate(byteCount: Int(blocksInExtent) * blockSize, alignment: 4096)
  }

  private func letGo(_ bytes: UnsafeMutableRawPointer) {
    if spare.count < mostSpareBytes / (Int(blocksInExtent) * blockSize) {
      spare.append(bytes)
    } else {
      bytes.deallocate()
    }
  }

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
    if extents.isEmpty && zeroes.isEmpty { return try lower.read(block: block, into: buffer) }
    func place(_ range: Range<UInt64>) -> UnsafeMutableRawBufferPointer {
      let at = Int(range.lowerBound - block) * blockSize
      return UnsafeMutableRawBufferPointer(
        rebasing: buffer[at..<at + Int(range.upperBound - range.lowerBound) * blockSize])
    }
    // What is not here is read in pieces as long as possible.
    var below = block..<block
    try forEachPart(block..<block + UInt64(buffer.count / blockSize)) {
      (key, part) throws(StorageError) in
      let first = key * blocksInExtent
      let extent = extents[key]
      var index = part.lowerBound
      while index < part.upperBound {
        let count = extent?.run(from: index, to: part.upperBound) ?? part.upperBound - index
        let run = first + UInt64(index)..<first + UInt64(index + count)
        if let extent, extent.contains(index) {
          place(run).copyMemory(
            from: UnsafeRawBufferPointer(
              start: extent.bytes + index * blockSize, count: count * blockSize))
        } else if below.upperBound == run.lowerBound {
          below = below.lowerBound..<run.upperBound
        } else {
          try readBelow(below.lowerBound, into: place(below))
          below = run
        }
        index += count
      }
    }
    try readBelow(below.lowerBound, into: place(below))
  }

  /// Blocks of which none is in `extents`; may be none at all.
  private func readBelow(_ block: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    if buffer.isEmpty { return }
    if zeroes.isEmpty { return try lower.read(block: block, into: buffer) }
    let count = buffer.count / blockSize
    var index = 0
    while index < count {
      let isZero = zeroes.contains(block + UInt64(index))
      var end = index + 1
      while end < count, zeroes.contains(block + UInt64(end)) == isZero { end += 1 }
      let part = UnsafeMutableRawBufferPointer(
        rebasing: buffer[index * blockSize..<end * blockSize])
      if isZero {
        part.initializeMemory(as: UInt8.self, repeating: 0)
      } else {
        try lower.read(block: block + UInt64(index), into: part)
      }
      index = end
    }
  }

  /// Cuts a range of blocks at the ends of extents; what is given are the extent and the blocks' numbers in it.
  private func forEachPart<E: Error>(
    _ range: Range<UInt64>, _ body: (UInt64, Range<Int>) throws(E) -> Void
  ) throws(E) {
    var at = range.lowerBound
    while at < range.upperBound {
      let key = at / blocksInExtent
      let first = key * blocksInExtent
      let end = min(range.upperBound, first + blocksInExtent)
      try body(key, Int(at - first)..<Int(end - first))
      at = end
    }
  }

  public func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try BlockRange.check("(snapshot)", block, buffer.count, blockCount, blockSize)
    if isReadOnly { throw StorageError(path: "(snapshot)", reason: "the image is write-protected") }
    generation &+= 1
    store(block, buffer)
  }

  /// Zeros take a bit each at most.
  public func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    try checkBlocks(block, count)
    if isReadOnly { throw StorageError(path: "(snapshot)", reason: "the image is write-protected") }
    generation &+= 1
    let range = block..<block + count
    if count / blocksInExtent > UInt64(extents.count) {
      for key in Array(extents.keys) {
        let first = key * blocksInExtent
        let part = range.clamped(to: first..<first + blocksInExtent)
        if !part.isEmpty {
          release(key, Int(part.lowerBound - first)..<Int(part.upperBound - first))
        }
      }
    } else {
      forEachPart(range) { key, part in release(key, part) }
    }
    zeroes.insert(range)
  }

  private func release(_ key: UInt64, _ part: Range<Int>) {
    guard var extent = extents[key] else { return }
    storedCount -= UInt64(extent.remove(part))
    if extent.isEmpty {
      extents[key] = nil
      letGo(extent.bytes)
    } else {
      extents[key] = extent
    }
  }

  /// What is discarded is no longer the base's either.
  public func discard(block: UInt64, count: UInt64) throws(StorageError) {
    try writeZeroes(block: block, count: count)
  }

  public func flush() throws(StorageError) {}

  public func nextData(from block: UInt64) -> UInt64 {
    var next = lower.nextData(from: block)
    for (key, extent) in extents {
      let first = key * blocksInExtent
      if next <= block { break }
      if first >= next || first + blocksInExtent <= block { continue }
      for index in 0..<blocksInExtent
      where first + index >= block && extent.contains(Int(index)) {
        next = min(next, first + index)
        break
      }
    }
    return next
  }

  /// Those of the image below, except for what was written.
  public func clusterHashes() throws(StorageError) -> ClusterHashes {
    var hashes = try lower.clusterHashes()
    let sectors = UInt64(blockSize / 512)
    var changed = Set<Int>()
    forEachStored { block, _ in changed.insert(hashes.cluster(of: block * sectors)) }
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

  public var writtenBlockCount: UInt64 { storedCount + zeroes.count }
  public func isWritten(_ block: UInt64) -> Bool {
    extents[block / blocksInExtent]?.contains(Int(block % blocksInExtent)) ?? false
      || zeroes.contains(block)
  }
  public var writtenBlocks: [UInt64] {
    var all: [UInt64] = []
    forEachStored { block, _ in all.append(block) }
    zeroes.forEachRun { all += $0 }
    return all.sorted()
  }

  /// The blocks that have bytes here, ascending.
  private func forEachStored(_ body: (UInt64, UnsafeMutableRawPointer) -> Void) {
    for (key, extent) in extents.sorted(by: { $0.key < $1.key }) {
      for index in 0..<Int(blocksInExtent) where extent.contains(index) {
        body(key * blocksInExtent + UInt64(index), extent.bytes + index * blockSize)
      }
    }
  }

  /// Blocks that have bytes here, in runs of neighbours, ascending; a run is never longer than 65536 bytes, nor across a multiple of them.
  func forEachStoredRun(
    _ body: (Range<UInt64>, UnsafeRawBufferPointer) throws(StorageError) -> Void
  ) throws(StorageError) {
    for (key, extent) in extents.sorted(by: { $0.key < $1.key }) {
      var index = 0
      while index < Int(blocksInExtent) {
        let count = extent.run(from: index, to: Int(blocksInExtent))
        if extent.contains(index) {
          let first = key * blocksInExtent + UInt64(index)
          try body(
            first..<first + UInt64(count),
            UnsafeRawBufferPointer(
              start: extent.bytes + index * blockSize, count: count * blockSize))
        }
        index += count
      }
    }
  }

  /// Blocks that hold zeros by what was written, in runs of neighbours, ascending.
  var zeroRuns: [Range<UInt64>] {
    var runs: [Range<UInt64>] = []
    zeroes.forEachRun { runs.append($0) }
    return runs
  }

  public func forget(_ block: UInt64) {
    if !isWritten(block) { return }
    generation &+= 1
    let index = Int(block % blocksInExtent)
    release(block / blocksInExtent, index..<index + 1)
    zeroes.remove(block)
  }

  /// Forgets blocks of which none holds zeros by what was written.
  func forget(stored range: Range<UInt64>) {
    generation &+= 1
    forEachPart(range) { key, part in release(key, part) }
  }

  public func forgetAll() {
    generation &+= 1
    for extent in extents.values { letGo(extent.bytes) }
    extents.removeAll(keepingCapacity: mostSpareBytes > 0)
    storedCount = 0
    zeroes.removeAll()
  }

  private func store(_ block: UInt64, _ data: UnsafeRawBufferPointer) {
    let range = block..<block + UInt64(data.count / blockSize)
    if !zeroes.isEmpty { for number in range { zeroes.remove(number) } }
    forEachPart(range) { key, part in
      var extent =
        extents[key]
        ?? Extent(bytes: allocate())
      let added = extent.insert(part)
      if added > 0 {
        storedCount += UInt64(added)
        extents[key] = extent
      }
      let at = Int(key * blocksInExtent + UInt64(part.lowerBound) - block) * blockSize
      (extent.bytes + part.lowerBound * blockSize).copyMemory(
        from: data.baseAddress! + at, byteCount: part.count * blockSize)
    }
  }

  // MARK: Saved states

  public func saveContents(to writer: inout StateWriter) {
    var blocks = SavedBlocks()
    var entries: [(range: Range<UInt64>, bytes: UnsafeMutableRawPointer?)] = []
    forEachStored { block, bytes in entries.append((block..<block + 1, bytes)) }
    zeroes.forEachRun { entries.append(($0, nil)) }
    entries.sort { $0.range.lowerBound < $1.range.lowerBound }
    for (range, bytes) in entries {
      if let bytes, !SavedBlocks.isZero(bytes, blockSize) {
        blocks.add(range.lowerBound)
      } else {
        blocks.add(zeroes: range)
      }
    }
    blocks.write(to: &writer, blockCount: blockCount) { block in
      let extent = extents[block / blocksInExtent].unsafelyUnwrapped
      return UnsafeRawBufferPointer(
        start: extent.bytes + Int(block % blocksInExtent) * blockSize, count: blockSize)
    }
  }

  /// Also where the medium is write-protected: what was written before it was is there.
  public func restoreContents(from reader: inout StateReader) throws(StateError) {
    try restoreWrittenBlocks(
      from: &reader, mayHold: { _ in forgetAll() },
      put: { block, bytes in bytes.withUnsafeBytes { self.store(block, $0) } },
      zero: { range in self.zeroes.insert(range) })
  }
}
