// Raw images: the blocks one after the other in a file.
//
// Owns: the mapping of blocks to the file's bytes, and the promise that no write changes the file's size.
// Must not know: how the number of blocks was decided (`ImageOpener`), any controller.

/// A block device whose blocks are a file's bytes.
///
/// It may be larger than the file (a floppy image that was cut short): what lies behind the file's end reads as zeros and
/// cannot be written. It may be smaller (a footer behind the disk).
public final class RawImage: BlockDevice {
  public let blockSize: Int
  public private(set) var blockCount: UInt64
  public let capabilities: BlockCapabilities
  /// Bytes of the file that belong to the blocks.
  public private(set) var byteCount: UInt64
  private let store: any ByteStore
  /// What this is a view of.
  private var original: RawImage?
  public private(set) var generation: UInt64 = 0
  /// Hashes of what the file held; clusters that were written since; the file as it was before they were read.
  private var hashes: ClusterHashes?
  private var written = Set<Int>()
  private var hashedMark: FileMark?

  /// Opens a file as it is; an incomplete last sector is filled up with zeros and cannot be written.
  /// - Parameter readOnly: opens without the right to write; without it, a file that may not be written is opened read-only.
  public convenience init(path: String, readOnly: Bool = false) throws(StorageError) {
    self.init(try HostFile(path: path, writable: !readOnly))
  }

  /// The blocks of a store.
  /// - Parameter blockCount: as many as the store has, an incomplete last one too, unless another number is given.
  public init(
    _ store: any ByteStore, blockSize: Int = 512, blockCount: UInt64? = nil,
    isWriteProtected: Bool = false
  ) {
    precondition(BlockSize.isValid(blockSize))
    self.store = store
    self.blockSize = blockSize
    let size = UInt64(blockSize)
    let count = blockCount ?? store.size / size + (store.size % size == 0 ? 0 : 1)
    self.blockCount = count
    byteCount = min(store.size, count * size)
    var capabilities: BlockCapabilities = [.discards, .knowsAllocation]
    if !isWriteProtected && store.isWritable { capabilities.insert(.writable) }
    if store.zeroesCheaply { capabilities.insert(.zeroesCheaply) }
    self.capabilities = capabilities
  }

  public var name: String { store.name }
  public var layer: BlockLayer { BlockLayer(kind: "raw image", file: store.name, of: self) }

  public func view(blockCount: UInt64, isWriteProtected: Bool) -> any BlockDevice {
    if isWriteProtected { store.shareLock() }
    if blockCount == self.blockCount && (isReadOnly || !isWriteProtected) { return self }
    let view = RawImage(
      store, blockSize: blockSize, blockCount: blockCount,
      isWriteProtected: isWriteProtected || isReadOnly)
    view.original = original ?? self
    return view
  }

  public var whole: any BlockDevice { original ?? self }

  // MARK: Transfers

  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    let offset = block * UInt64(blockSize)
    let inFile = offset < byteCount ? Int(min(UInt64(buffer.count), byteCount - offset)) : 0
    if inFile > 0 {
      try store.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<inFile]))
    }
    if inFile < buffer.count {
      UnsafeMutableRawBufferPointer(rebasing: buffer[inFile...]).initializeMemory(
        as: UInt8.self, repeating: 0)
    }
  }

  /// Refuses what may not be written, and notes what will be.
  private func prepareWrite(_ block: UInt64, _ count: UInt64) throws(StorageError) {
    let offset = block * UInt64(blockSize)
    if isReadOnly {
      throw StorageError(path: name, offset: offset, reason: "the image is write-protected")
    }
    if offset + count * UInt64(blockSize) > byteCount {
      throw StorageError(
        path: name, offset: offset,
        reason: "the write would make the file longer, which is not done")
    }
    if count == 0 { return }
    generation &+= 1
    if let hashes {
      let sectors = UInt64(blockSize / 512)
      let first = hashes.cluster(of: block * sectors)
      for cluster in first...hashes.cluster(of: (block + count) * sectors - 1) {
        written.insert(cluster)
      }
    }
    hashedMark = nil
  }

  public func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    try prepareWrite(block, UInt64(buffer.count / blockSize))
    if buffer.count > 0 { try store.write(at: block * UInt64(blockSize), from: buffer) }
  }

  public func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    try zero(block, count, releasing: false)
  }

  public func discard(block: UInt64, count: UInt64) throws(StorageError) {
    try zero(block, count, releasing: true)
  }

  private func zero(_ block: UInt64, _ count: UInt64, releasing: Bool) throws(StorageError) {
    try checkBlocks(block, count)
    try prepareWrite(block, count)
    try store.zero(
      at: block * UInt64(blockSize), count: count * UInt64(blockSize), releasing: releasing)
  }

  public func flush() throws(StorageError) { try store.flush() }

  public func nextData(from block: UInt64) -> UInt64 {
    if block >= blockCount { return blockCount }
    return min(
      max(block, store.nextData(from: block * UInt64(blockSize)) / UInt64(blockSize)), blockCount)
  }

  public func extent(at block: UInt64, limit: UInt64) throws(StorageError) -> BlockExtent {
    try checkBlocks(block, 1)
    let most = min(max(limit, 1), blockCount - block)
    let next = nextData(from: block)
    if next > block { return BlockExtent(.zero, count: min(most, next - block)) }
    let offset = block * UInt64(blockSize)
    // A block that is only in part a hole is data.
    let hole = (store.nextHole(from: offset) + UInt64(blockSize) - 1) / UInt64(blockSize)
    return BlockExtent(.data, count: min(most, max(1, hole - min(hole, block))), offset: offset)
  }

  /// Only what asks for it changes the file's size (`apus image resize`); a guest cannot.
  public func resize(to blockCount: UInt64) throws(StorageError) {
    if isReadOnly { throw StorageError(path: name, reason: "the image is write-protected") }
    if store.size > byteCount {
      throw StorageError(
        path: name, offset: byteCount,
        reason: "there is something behind the disk, which has to stay where it is")
    }
    let (size, overflow) = blockCount.multipliedReportingOverflow(by: UInt64(blockSize))
    if overflow || size > UInt64(Int64.max) || blockCount == 0 {
      throw StorageError(path: name, reason: "\(blockCount) blocks are no size for a disk")
    }
    try store.setSize(size)
    generation &+= 1
    hashes = nil
    hashedMark = nil
    self.blockCount = blockCount
    byteCount = size
  }

  // MARK: What it holds

  /// Holes of sparse files are not read; after the first time only what was written is.
  public func clusterHashes() throws(StorageError) -> ClusterHashes {
    // Somebody else's writes are noticed as long as there are none of our own.
    let mark = store.mark()
    if let hashedMark, hashedMark != mark { hashes = nil }
    if var known = hashes {
      if !written.isEmpty {
        try known.update(written.sorted(), from: self)
        written = []
        hashes = known
      }
      return known
    }
    let new = try ClusterHashes(reading: self)
    hashes = new
    written = []
    hashedMark = mark
    return new
  }

  // MARK: The file

  public func mark() -> FileMark { store.mark() }
  public func change(since mark: FileMark) -> String? { store.change(since: mark) }
  public var displacement: String? { store.displacement }
  public func unlock() { store.unlock() }
  public func lockAgain() throws(StorageError) { try store.lockAgain(exclusive: !isReadOnly) }
  public func close() { store.close() }
}
