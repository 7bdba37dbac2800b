// The files of a disc as blocks, for whoever keeps images apart, hashes and locks them.
//
// Owns: all bytes of all files in one row. Must not know: what they mean.

/// All files of a disc one after the other, write-protected. The last block is filled up with zeros.
final class CDFiles: BlockDevice {
  let blockSize = 512
  let blockCount: UInt64
  let byteCount: UInt64
  let capabilities: BlockCapabilities = []
  let generation: UInt64 = 0
  let stores: [any ByteStore]
  private var hashes: ClusterHashes?
  private var hashedMark: FileMark?

  init(_ stores: [any ByteStore]) {
    self.stores = stores
    byteCount = stores.reduce(0) { $0 + $1.size }
    blockCount = (byteCount + 511) / 512
    for store in stores { store.shareLock() }
  }

  var name: String { stores[0].name }
  var layer: BlockLayer {
    BlockLayer(kind: "CD image", file: name, of: self)
  }
  /// Every file is told of, so that none is written over.
  var layers: [BlockLayer] {
    [layer]
      + stores.dropFirst().map { BlockLayer(kind: "part of a CD image", file: $0.name, of: self) }
  }

  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    let start = block * UInt64(blockSize)
    let end = start + UInt64(buffer.count)
    var base: UInt64 = 0
    for store in stores {
      let (from, to) = (max(start, base), min(end, base + store.size))
      if from < to {
        try store.read(
          at: from - base,
          into: UnsafeMutableRawBufferPointer(
            rebasing: buffer[Int(from - start)..<Int(to - start)]))
      }
      base += store.size
    }
    if base < end { for n in Int(max(base, start) - start)..<buffer.count { buffer[n] = 0 } }
  }

  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    throw StorageError(path: name, reason: "a CD cannot be written")
  }

  func flush() {}

  func clusterHashes() throws(StorageError) -> ClusterHashes {
    let mark = mark()
    if let hashes, hashedMark == mark { return hashes }
    let new = try ClusterHashes(reading: self)
    (hashes, hashedMark) = (new, mark)
    return new
  }

  func mark() -> FileMark { stores.dropFirst().reduce(stores[0].mark()) { $0 + $1.mark() } }

  func change(since mark: FileMark) -> String? {
    var rest = mark
    for store in stores {
      let split = rest.split
      if let change = store.change(since: split.first) { return change }
      rest = split.rest
    }
    return nil
  }

  func unlock() { for store in stores { store.unlock() } }

  func lockAgain() throws(StorageError) {
    for store in stores { try store.lockAgain(exclusive: false) }
  }

  func close() { for store in stores { store.close() } }
}
