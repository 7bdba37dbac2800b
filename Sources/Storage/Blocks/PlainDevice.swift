// What a device answers that has nothing special about it.
//
// Owns: the answers of a plain device: a file whose blocks are all its own, that knows no holes; and short ways to ask. Must not know: which
// devices there are.

import State

extension BlockDevice {
  public var name: String { base?.name ?? "(device)" }
  public var byteCount: UInt64 { blockCount * UInt64(blockSize) }

  public func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    try writeAsZeros(block, count)
  }

  public func discard(block: UInt64, count: UInt64) throws(StorageError) {
    try writeZeroes(block: block, count: count)
  }

  public func nextData(from block: UInt64) -> UInt64 { min(block, blockCount) }
  public func finish() throws(StorageError) { try flush() }
  @discardableResult public func settle() throws(StorageError) -> Bool { false }
  public func extent(at block: UInt64, limit: UInt64) throws(StorageError) -> BlockExtent {
    let next = nextData(from: block)
    if next > block { return BlockExtent(.zero, count: min(limit, next - block)) }
    // Who knows of holes may have one right behind this block.
    if capabilities.contains(.knowsAllocation) { return BlockExtent(.data, count: min(limit, 1)) }
    return BlockExtent(.data, count: min(limit, blockCount - block))
  }
  public func resize(to blockCount: UInt64) throws(StorageError) {
    throw StorageError(path: name, reason: "a \(layer.kind) cannot be given another size")
  }

  public func clusterHashes() throws(StorageError) -> ClusterHashes {
    try ClusterHashes(reading: self)
  }

  public var persistence: BlockPersistence { .file }
  public var base: (any BlockDevice)? { nil }
  public var whole: any BlockDevice { self }
  public var layer: BlockLayer { BlockLayer(kind: "device", of: self) }
  public var layers: [BlockLayer] { [layer] + (base?.layers ?? []) }
  public func isWritten(_ block: UInt64) -> Bool { true }
  public var writtenBlockCount: UInt64 { 0 }
  public var writtenBlocks: [UInt64] { [] }
  public func forget(_ block: UInt64) {}
  public func forgetAll() {}

  public func view(blockCount: UInt64, isWriteProtected: Bool) -> any BlockDevice {
    if blockCount == self.blockCount && (isReadOnly || !isWriteProtected) { return self }
    return DeviceView(self, blockCount: blockCount, isWriteProtected: isWriteProtected)
  }

  public func saveContents(to writer: inout StateWriter) {}
  public func restoreContents(from reader: inout StateReader) throws(StateError) {}

  public func mark() -> FileMark { base?.mark() ?? FileMark() }
  public func change(since mark: FileMark) -> String? { base?.change(since: mark) }
  public var displacement: String? { nil }
  public func unlock() { base?.unlock() }
  public func lockAgain() throws(StorageError) { try base?.lockAgain() }
  public func close() { base?.close() }

  // MARK: Short ways

  /// Writes are refused when true.
  public var isReadOnly: Bool { !capabilities.contains(.writable) }
  /// Its size in the sectors of 512 bytes that geometries, saved states and recordings count in.
  public var sectorCount: UInt64 { blockCount * UInt64(blockSize / 512) }
  /// The hash of what it holds.
  public func contentHash() throws(StorageError) -> ContentHash { try clusterHashes().content }

  /// Up to `count` bytes at a byte offset, fewer at the end of what is kept.
  public func bytes(at offset: UInt64, count: Int) throws(StorageError) -> [UInt8] {
    guard offset < byteCount, count > 0 else { return [] }
    let length = Int(min(UInt64(count), byteCount - offset))
    let first = offset / UInt64(blockSize)
    let last = (offset + UInt64(length) - 1) / UInt64(blockSize)
    var blocks = [UInt8](repeating: 0, count: Int(last - first + 1) * blockSize)
    try StorageError.passing { failure in
      blocks.withUnsafeMutableBytes { buffer in
        do throws(StorageError) { try read(block: first, into: buffer) } catch { failure = error }
      }
    }
    let start = Int(offset - first * UInt64(blockSize))
    return Array(blocks[start..<start + length])
  }

  /// What one block holds.
  public func contents(of block: UInt64) throws(StorageError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: blockSize)
    try StorageError.passing { failure in
      bytes.withUnsafeMutableBytes { buffer in
        do throws(StorageError) { try read(block: block, into: buffer) } catch { failure = error }
      }
    }
    return bytes
  }

  /// Writes whole blocks of an array.
  public func write(block: UInt64, _ bytes: some Collection<UInt8>) throws(StorageError) {
    let array = Array(bytes)
    try StorageError.passing { failure in
      array.withUnsafeBytes { buffer in
        do throws(StorageError) { try write(block: block, from: buffer) } catch { failure = error }
      }
    }
  }

  /// Makes blocks zeros by writing them.
  public func writeAsZeros(_ block: UInt64, _ count: UInt64) throws(StorageError) {
    try checkBlocks(block, count)
    if count == 0 { return }
    let most = UInt64(max(1, (1 << 20) / blockSize))
    let zeros = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Int(min(count, most)) * blockSize, alignment: 64)
    defer { zeros.deallocate() }
    zeros.initializeMemory(as: UInt8.self, repeating: 0)
    var done: UInt64 = 0
    while done < count {
      let part = min(count - done, most)
      try write(
        block: block + done,
        from: UnsafeRawBufferPointer(rebasing: zeros[..<(Int(part) * blockSize)]))
      done += part
    }
  }

  /// Refuses blocks outside the device; callers check before, this keeps a mistake there from reaching memory or files.
  public func checkBlocks(_ block: UInt64, _ count: UInt64) throws(StorageError) {
    if block > blockCount || count > blockCount - block {
      throw BlockRange.outside(name, block, count, blockCount, blockSize)
    }
  }
}

/// Ranges of blocks.
enum BlockRange {
  static func outside(
    _ name: String, _ block: UInt64, _ count: UInt64, _ blockCount: UInt64, _ blockSize: Int
  ) -> StorageError {
    StorageError(
      path: name,
      reason:
        "\(blockSize == 512 ? "sectors" : "blocks") \(block) to \(block &+ count) are outside the "
        + "\(blockCount) there are")
  }

  /// Refuses transfers that are not of whole blocks, or not inside a device.
  @inline(__always)
  static func check(
    _ name: @autoclosure () -> String, _ block: UInt64, _ bytes: Int, _ blockCount: UInt64,
    _ blockSize: Int
  ) throws(StorageError) {
    let count = UInt64(bytes) >> UInt64(truncatingIfNeeded: blockSize.trailingZeroBitCount)
    if bytes & (blockSize - 1) != 0 || block > blockCount || count > blockCount - block {
      throw outside(name(), block, count, blockCount, blockSize)
    }
  }
}
