// The disk in an image that has a table of its blocks.
//
// Owns: walking the runs that the table gives; passing pointers through; the base below; when the table is written. Must not know: any format.

/// A block device whose blocks are where a format's table says.
final class MappedImage: BlockDevice {
  let map: any BlockMap
  let blockSize: Int
  let capabilities: BlockCapabilities
  private(set) var generation: UInt64 = 0
  private var isOpen = true
  private var hasChanged = false
  /// Bytes that were written since the table was last brought on.
  private var writtenBytes = 0

  /// - Parameter isReadOnly: the format cannot write images of this kind, whether the file may be written or not.
  init(_ map: any BlockMap, isReadOnly: Bool = false) {
    self.map = map
    blockSize = map.blockSize
    var capabilities: BlockCapabilities = [.discards, .growable, .knowsAllocation]
    if map.store.isWritable && !isReadOnly { capabilities.insert(.writable) }
    if map.store.zeroesCheaply { capabilities.insert(.zeroesCheaply) }
    self.capabilities = capabilities
  }

  deinit { if isOpen, hasChanged { try? map.finish() } }

  var blockCount: UInt64 { map.blockCount }
  var name: String { map.store.name }
  var base: (any BlockDevice)? { map.base }
  var layer: BlockLayer {
    BlockLayer(kind: map.kind, file: map.store.name, of: self, details: map.details)
  }

  // MARK: Transfers

  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    var (block, at) = (block, 0)
    while at < buffer.count {
      let run = try map.run(at: block, limit: UInt64((buffer.count - at) / blockSize))
      let count = Int(run.count) * blockSize
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[at..<at + count])
      switch run.kind {
      case .data: try (run.store ?? map.store).read(at: run.offset, into: part)
      case .zero: part.initializeMemory(as: UInt8.self, repeating: 0)
      case .absent: try map.readBelow(block, into: part)
      case .packed: try map.unpack(block, into: part)
      }
      block += run.count
      at += count
    }
  }

  /// Refuses what may not be written, and notes that something will be.
  private func prepareChange() throws(StorageError) {
    if isReadOnly { throw map.store.refusal("the image is write-protected") }
    generation &+= 1
    hasChanged = true
    try map.prepareChange()
  }

  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    if buffer.isEmpty { return }
    try prepareChange()
    var (block, at) = (block, 0)
    while at < buffer.count {
      let run = try map.run(at: block, limit: UInt64((buffer.count - at) / blockSize))
      let count = Int(run.count) * blockSize
      let part = UnsafeRawBufferPointer(rebasing: buffer[at..<at + count])
      if run.kind == .data {
        try (run.store ?? map.store).write(at: run.offset, from: part)
        block += run.count
        at += count
      } else {
        let done = try map.fill(block, from: part)
        block += done
        at += Int(done) * blockSize
      }
    }
    noteWritten(buffer.count)
  }

  func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    try zero(block, count, releasing: false)
  }

  func discard(block: UInt64, count: UInt64) throws(StorageError) {
    try zero(block, count, releasing: true)
  }

  /// Room that is there stays the image's; the host may have it back until it is written again.
  private func zero(_ block: UInt64, _ count: UInt64, releasing: Bool) throws(StorageError) {
    try checkBlocks(block, count)
    if count == 0 { return }
    try prepareChange()
    var (block, left) = (block, count)
    while left > 0 {
      let run = try map.run(at: block, limit: left)
      var done = run.count
      switch run.kind {
      case .data:
        try (run.store ?? map.store).zero(
          at: run.offset, count: done * UInt64(blockSize), releasing: releasing)
      case .zero: break
      case .absent where map.base == nil: break
      case .absent, .packed:
        done = try map.blank(block, count: run.count)
        if done == 0 { done = try fillWithZeros(block, run.count) }
      }
      block += done
      left -= done
    }
  }

  private func fillWithZeros(_ block: UInt64, _ count: UInt64) throws(StorageError) -> UInt64 {
    let most = UInt64((1 << 20) / blockSize)
    let zeros = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Int(min(count, most)) * blockSize, alignment: 64)
    defer { zeros.deallocate() }
    zeros.initializeMemory(as: UInt8.self, repeating: 0)
    return try map.fill(block, from: UnsafeRawBufferPointer(zeros))
  }

  func flush() throws(StorageError) {
    if isReadOnly { return }
    writtenBytes = 0
    try map.commit()
  }

  func settle() throws(StorageError) -> Bool {
    if isReadOnly || !hasChanged { return false }
    do throws(StorageError) { return try map.settle() } catch {
      map.letGo()
      throw error
    }
  }

  /// After so many bytes the table is brought on even when nobody calls `settle`.
  var mostBytes = 512 << 20

  private func noteWritten(_ bytes: Int) {
    writtenBytes += bytes
    if writtenBytes < mostBytes { return }
    writtenBytes = 0
    // The next flush tells what goes wrong.
    _ = try? settle()
  }

  func finish() throws(StorageError) { if !isReadOnly { try map.finish() } }

  // MARK: What it holds

  func nextData(from block: UInt64) -> UInt64 {
    var block = block
    // The base's next data: asked again only behind them.
    var below: UInt64?
    while block < blockCount {
      guard let run = try? map.run(at: block, limit: blockCount - block) else { return block }
      switch run.kind {
      case .data, .packed: return block
      case .zero: break
      case .absent:
        if let base = map.base {
          let next = below.flatMap { $0 >= block ? $0 : nil } ?? base.nextData(from: block)
          below = next
          if next < block + run.count { return max(next, block) }
        }
      }
      block += run.count
    }
    return blockCount
  }

  func extent(at block: UInt64, limit: UInt64) throws(StorageError) -> BlockExtent {
    try checkBlocks(block, 1)
    let limit = max(1, min(limit, blockCount - block))
    var extent: BlockExtent?
    while (extent?.count ?? 0) < limit {
      let done = extent?.count ?? 0
      let run = try map.run(at: block + done, limit: limit - done)
      let next: BlockExtent
      switch run.kind {
      case .data:
        next = BlockExtent(
          .data, count: run.count, offset: map.otherStores.isEmpty ? run.offset : nil)
      case .zero: next = BlockExtent(.zero, count: run.count)
      case .absent: next = BlockExtent(.absent, count: run.count)
      case .packed: next = BlockExtent(.data, count: run.count, isCompressed: true)
      }
      guard var known = extent else {
        extent = next
        continue
      }
      let follows = known.offset.map { $0 + done * UInt64(blockSize) }
      guard known.kind == next.kind, known.isCompressed == next.isCompressed, follows == next.offset
      else { break }
      known.count += next.count
      extent = known
    }
    return extent!
  }

  func resize(to blockCount: UInt64) throws(StorageError) {
    if blockCount == self.blockCount { return }
    guard blockCount > 0, blockCount <= UInt64(Int64.max) / UInt64(blockSize) else {
      throw map.store.refusal("\(blockCount) blocks are no size of a disk")
    }
    try prepareChange()
    try map.commit()
    try map.resize(to: blockCount)
  }

  func isWritten(_ block: UInt64) -> Bool {
    guard block < blockCount, let run = try? map.run(at: block, limit: 1) else { return true }
    return run.kind != .absent
  }

  // MARK: The files

  func mark() -> FileMark {
    map.otherStores.reduce(map.store.mark()) { $0 + $1.mark() } + (base?.mark() ?? FileMark())
  }

  func change(since mark: FileMark) -> String? {
    var rest = mark
    for store in [map.store] + map.otherStores {
      let (own, below) = rest.split
      if let change = store.change(since: own) { return change }
      rest = below
    }
    return base?.change(since: rest)
  }

  var displacement: String? {
    map.store.displacement ?? map.otherStores.lazy.compactMap(\.displacement).first
  }

  func unlock() {
    // Others will read the file: it says what is.
    if hasChanged { try? map.commit() }
    for store in [map.store] + map.otherStores { store.unlock() }
    base?.unlock()
  }

  func lockAgain() throws(StorageError) {
    for store in [map.store] + map.otherStores {
      try store.lockAgain(exclusive: !isReadOnly)
    }
    try base?.lockAgain()
  }

  func close() {
    if isOpen, hasChanged { try? map.finish() }
    isOpen = false
    for store in [map.store] + map.otherStores { store.close() }
    base?.close()
  }
}
