// Other looks of a device: another number of blocks, another size of block.
//
// Owns: the arithmetic between the two. Must not know: controllers, files, formats.

import State

/// A device that is cut, or has zeros behind its end, or is protected; for devices that cannot be that themselves.
final class DeviceView: BlockDevice {
  private let device: any BlockDevice
  let blockSize: Int
  let blockCount: UInt64
  private let isWriteProtected: Bool

  init(_ device: any BlockDevice, blockCount: UInt64, isWriteProtected: Bool) {
    self.device = device
    self.blockCount = blockCount
    self.isWriteProtected = isWriteProtected
    blockSize = device.blockSize
  }

  var name: String { device.name }
  var byteCount: UInt64 { min(device.byteCount, blockCount * UInt64(blockSize)) }
  var capabilities: BlockCapabilities {
    isWriteProtected ? device.capabilities.subtracting(.writable) : device.capabilities
  }

  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    let inside = UInt64(buffer.count / blockSize)
    let kept = block < device.blockCount ? Int(min(inside, device.blockCount - block)) : 0
    if kept > 0 {
      try device.read(
        block: block, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<(kept * blockSize)]))
    }
    if kept * blockSize < buffer.count {
      UnsafeMutableRawBufferPointer(rebasing: buffer[(kept * blockSize)...]).initializeMemory(
        as: UInt8.self, repeating: 0)
    }
  }

  /// Refuses what the device below has no room for.
  private func checkWrite(_ block: UInt64, _ count: UInt64) throws(StorageError) {
    try checkBlocks(block, count)
    if isReadOnly { throw StorageError(path: name, reason: "the image is write-protected") }
    if block + count > device.blockCount {
      throw StorageError(
        path: name, offset: block * UInt64(blockSize),
        reason: "the write would make the image longer, which is not done")
    }
  }

  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    try checkWrite(block, UInt64(buffer.count / blockSize))
    try device.write(block: block, from: buffer)
  }

  func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    try checkWrite(block, count)
    try device.writeZeroes(block: block, count: count)
  }

  func discard(block: UInt64, count: UInt64) throws(StorageError) {
    try checkWrite(block, count)
    try device.discard(block: block, count: count)
  }

  func flush() throws(StorageError) { try device.flush() }
  func finish() throws(StorageError) { try device.finish() }
  func prepare(_ access: BlockAccess) { if !isPartly(access) { device.prepare(access) } }
  func isReady(for access: BlockAccess) -> Bool {
    isPartly(access) ? device.isReady(for: .flush) : device.isReady(for: access)
  }
  func awaitProgress(nanoseconds: UInt64) { device.awaitProgress(nanoseconds: nanoseconds) }
  var trouble: StorageError? { device.trouble }
  func settle() throws(StorageError) -> Bool { try device.settle() }

  /// Whether the device below has only a part of the blocks, or none.
  private func isPartly(_ access: BlockAccess) -> Bool {
    switch access {
    case .read(let block, let count), .write(let block, let count):
      block > device.blockCount || count > device.blockCount - block
    case .flush: false
    }
  }

  func nextData(from block: UInt64) -> UInt64 {
    block < device.blockCount ? min(device.nextData(from: block), blockCount) : blockCount
  }

  func extent(at block: UInt64, limit: UInt64) throws(StorageError) -> BlockExtent {
    try checkBlocks(block, 1)
    let most = min(max(limit, 1), blockCount - block)
    if block >= device.blockCount { return BlockExtent(.zero, count: most) }
    return try device.extent(at: block, limit: min(most, device.blockCount - block))
  }

  var generation: UInt64 { device.generation }
  var persistence: BlockPersistence { device.persistence }
  var base: (any BlockDevice)? {
    device.base?.view(blockCount: blockCount, isWriteProtected: isWriteProtected)
  }
  var whole: any BlockDevice { device.whole }
  var layer: BlockLayer { BlockLayer(kind: "view", of: self) }
  var layers: [BlockLayer] { [layer] + device.layers }
  func isWritten(_ block: UInt64) -> Bool {
    block >= device.blockCount || device.isWritten(block)
  }
  var writtenBlockCount: UInt64 { UInt64(writtenBlocks.count) }
  var writtenBlocks: [UInt64] { device.writtenBlocks.filter { $0 < blockCount } }
  func forget(_ block: UInt64) { device.forget(block) }
  func forgetAll() { device.forgetAll() }
  func saveContents(to writer: inout StateWriter) { saveByBlocks(to: &writer) }
  func restoreContents(from reader: inout StateReader) throws(StateError) {
    try restoreByBlocks(from: &reader)
  }
  func mark() -> FileMark { device.mark() }
  func change(since mark: FileMark) -> String? { device.change(since: mark) }
  var displacement: String? { device.displacement }
  func unlock() { device.unlock() }
  func lockAgain() throws(StorageError) { try device.lockAgain() }
  func close() { device.close() }
}

extension BlockDevice {
  /// The same bytes in blocks of another size, for a controller whose sectors are of that size. What does not fill a last block is left out.
  public func withBlocks(of size: Int) -> any BlockDevice {
    size == blockSize ? self : ReblockedDevice(self, blockSize: size)
  }
}

/// A device in blocks of another size.
///
/// Where its blocks are the smaller ones, a write to a part of a block below reads that block first and writes it whole.
final class ReblockedDevice: BlockDevice {
  private let device: any BlockDevice
  let blockSize: Int
  let blockCount: UInt64

  init(_ device: any BlockDevice, blockSize: Int) {
    precondition(BlockSize.isValid(blockSize) && BlockSize.isValid(device.blockSize))
    self.device = device
    self.blockSize = blockSize
    blockCount = device.sectorCount / UInt64(blockSize / 512)
  }

  private var outer: Int { device.blockSize }

  var name: String { device.name }
  var byteCount: UInt64 { min(device.byteCount, blockCount * UInt64(blockSize)) }
  var capabilities: BlockCapabilities { device.capabilities }

  /// A run of this device's blocks as runs of the device's below: whole ones, or a part of a single one.
  private func eachPart(
    _ block: UInt64, _ bytes: Int,
    _ body: (_ outerBlock: UInt64, _ skipped: Int, _ at: Int, _ count: Int) throws(StorageError) ->
      Void
  ) throws(StorageError) {
    let start = block * UInt64(blockSize)
    var at = 0
    while at < bytes {
      let place = start + UInt64(at)
      let skipped = Int(place & UInt64(outer - 1))
      var count = bytes - at
      if skipped != 0 || count < outer {
        count = min(count, outer - skipped)
      } else {
        count &= ~(outer - 1)
      }
      try body(place / UInt64(outer), skipped, at, count)
      at += count
    }
  }

  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    try eachPart(block, buffer.count) { (number, skipped, at, count) throws(StorageError) in
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[at..<at + count])
      if count & (outer - 1) == 0 { return try device.read(block: number, into: part) }
      let whole = try device.contents(of: number)
      part.copyBytes(from: whole[skipped..<skipped + count])
    }
  }

  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    try eachPart(block, buffer.count) { (number, skipped, at, count) throws(StorageError) in
      let part = UnsafeRawBufferPointer(rebasing: buffer[at..<at + count])
      if count & (outer - 1) == 0 { return try device.write(block: number, from: part) }
      var whole = try device.contents(of: number)
      whole.replaceSubrange(skipped..<skipped + count, with: part)
      try device.write(block: number, whole)
    }
  }

  func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    try zero(block, count) { (block, count) throws(StorageError) in
      try device.writeZeroes(block: block, count: count)
    }
  }

  func discard(block: UInt64, count: UInt64) throws(StorageError) {
    try zero(block, count) { (block, count) throws(StorageError) in
      try device.discard(block: block, count: count)
    }
  }

  /// Whole blocks below at once, what is left at both ends by writing.
  private func zero(
    _ block: UInt64, _ count: UInt64,
    _ whole: (UInt64, UInt64) throws(StorageError) -> Void
  ) throws(StorageError) {
    try checkBlocks(block, count)
    let (inner, outer) = (UInt64(blockSize), UInt64(outer))
    let (start, end) = (block * inner, (block + count) * inner)
    let (first, last) = ((start + outer - 1) / outer, end / outer)
    if first >= last { return try writeAsZeros(block, count) }
    let (from, to) = (first * outer / inner, last * outer / inner)
    try writeAsZeros(block, from - block)
    try whole(first, last - first)
    try writeAsZeros(to, block + count - to)
  }

  func flush() throws(StorageError) { try device.flush() }
  func finish() throws(StorageError) { try device.finish() }
  // Blocks of another size are done at once; only what has to wait for them is asked.
  func isReady(for access: BlockAccess) -> Bool { device.isReady(for: .flush) }
  func awaitProgress(nanoseconds: UInt64) { device.awaitProgress(nanoseconds: nanoseconds) }
  var trouble: StorageError? { device.trouble }
  func settle() throws(StorageError) -> Bool { try device.settle() }

  func nextData(from block: UInt64) -> UInt64 {
    if block >= blockCount { return blockCount }
    let start = block * UInt64(blockSize) / UInt64(outer)
    let found = device.nextData(from: start)
    if found <= start { return block }
    return min(found * UInt64(outer) / UInt64(blockSize), blockCount)
  }

  func extent(at block: UInt64, limit: UInt64) throws(StorageError) -> BlockExtent {
    try checkBlocks(block, 1)
    let most = min(max(limit, 1), blockCount - block)
    let (inner, outer) = (UInt64(blockSize), UInt64(outer))
    let start = block * inner
    // What is asked for may begin inside a block below, or need several.
    let needed = (start % outer + most * inner + outer - 1) / outer
    var found = try device.extent(at: start / outer, limit: needed)
    let bytes = found.count * outer - start % outer
    found.offset = found.offset.map { $0 + start % outer }
    if bytes >= inner {
      found.count = min(most, bytes / inner)
      return found
    }
    // Blocks below that are not of one kind make one here, which then has to be read.
    var number = start / outer + found.count
    while number * outer < start + inner {
      let next = try device.extent(
        at: number, limit: (start + inner + outer - 1) / outer - number)
      if next.kind != found.kind { return BlockExtent(.data, count: 1) }
      number += next.count
    }
    found.count = 1
    return found
  }

  func clusterHashes() throws(StorageError) -> ClusterHashes {
    if sectorCount == device.sectorCount { return try device.clusterHashes() }
    return try ClusterHashes(reading: self)
  }

  var generation: UInt64 { device.generation }
  var persistence: BlockPersistence { device.persistence }
  var base: (any BlockDevice)? { device.base.map { $0.withBlocks(of: blockSize) } }
  var whole: any BlockDevice { device.whole }
  var layer: BlockLayer { BlockLayer(kind: "blocks of \(blockSize) bytes", of: self) }
  var layers: [BlockLayer] { [layer] + device.layers }

  private func outerBlocks(_ block: UInt64) -> ClosedRange<UInt64> {
    let start = block * UInt64(blockSize)
    return start / UInt64(outer)...(start + UInt64(blockSize) - 1) / UInt64(outer)
  }

  func isWritten(_ block: UInt64) -> Bool {
    outerBlocks(block).contains { device.isWritten($0) }
  }

  var writtenBlockCount: UInt64 { UInt64(writtenBlocks.count) }

  var writtenBlocks: [UInt64] {
    var found: [UInt64] = []
    for number in device.writtenBlocks {
      let start = number * UInt64(outer)
      for block in start / UInt64(blockSize)...(start + UInt64(outer) - 1) / UInt64(blockSize)
      where block < blockCount && block != found.last {
        found.append(block)
      }
    }
    return found
  }

  /// The blocks below are one: when none of a block was written at some time, going back there forgets all of it.
  func forget(_ block: UInt64) { for number in outerBlocks(block) { device.forget(number) } }
  func forgetAll() { device.forgetAll() }
  func saveContents(to writer: inout StateWriter) { saveByBlocks(to: &writer) }
  func restoreContents(from reader: inout StateReader) throws(StateError) {
    try restoreByBlocks(from: &reader)
  }
  func mark() -> FileMark { device.mark() }
  func change(since mark: FileMark) -> String? { device.change(since: mark) }
  var displacement: String? { device.displacement }
  func unlock() { device.unlock() }
  func lockAgain() throws(StorageError) { try device.lockAgain() }
  func close() { device.close() }
}
