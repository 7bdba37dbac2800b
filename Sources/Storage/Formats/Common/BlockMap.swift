// Where a format keeps the blocks of a disk: the question that VHD, VDI, VHDX and VMDK answer, each from its table.
//
// Owns: the interface between the table of a format and the device that all of them share (`MappedImage`). Must not know: any format.

/// A run of blocks that are kept in the same way.
struct MappedRun {
  enum Kind {
    /// In the file, one after the other, from `offset` on.
    case data
    /// They read as zeros, whatever is below.
    case zero
    /// Nothing is kept: the base shows, or zeros.
    case absent
    /// In the file, but compressed: `BlockMap.unpack`.
    case packed
  }

  var kind: Kind
  /// At least 1.
  var count: UInt64
  /// Where the first is in the file; only of `data`.
  var offset: UInt64 = 0
  /// The file, where it is not the map's own.
  var store: (any ByteStore)?
}

/// A format's table of blocks.
///
/// The device has checked all ranges, and that the image may be written, before it asks.
protocol BlockMap: AnyObject {
  /// What the image is, as in "VDI image".
  var kind: String { get }
  /// The file; the first, where there are several.
  var store: any ByteStore { get }
  /// The other files.
  var otherStores: [any ByteStore] { get }
  var blockSize: Int { get }
  var blockCount: UInt64 { get }
  /// What shows where nothing is kept: as large as this one, in blocks of the same size.
  var base: (any BlockDevice)? { get }
  /// Lines for people.
  var details: [String] { get }

  /// The run from a block on: at most `limit` blocks. Every number from the file is checked here.
  func run(at block: UInt64, limit: UInt64) throws(StorageError) -> MappedRun
  /// Reads blocks of a run that is `packed`.
  func unpack(_ block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
  /// Something is about to be changed: the last moment for what has to be noted in the file before.
  func prepareChange() throws(StorageError)
  /// Writes the first blocks of `buffer` to where no room is yet (a run that is not `data`).
  /// - Returns: how many blocks, at least 1.
  func fill(_ block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) -> UInt64
  /// Makes blocks that have no room read as zeros, without giving them any.
  /// - Returns: how many, 0: the format cannot say that of these.
  func blank(_ block: UInt64, count: UInt64) throws(StorageError) -> UInt64
  /// Returns when all is with the host's stable storage: data first, then the tables that name them.
  func commit() throws(StorageError)
  /// Brings on what waits, as `BlockDevice.settle` says: one step each time, of which every one may need that a flush is done.
  /// - Returns: whether something still waits.
  func settle() throws(StorageError) -> Bool
  /// What `settle` has begun is left to the next `commit`, or begun anew.
  func letGo()
  /// Another number of blocks.
  func resize(to blockCount: UInt64) throws(StorageError)
  /// Nothing will be written any more; what says so in the file is written.
  func finish() throws(StorageError)
}

extension BlockMap {
  var otherStores: [any ByteStore] { [] }
  var details: [String] { [] }
  func unpack(_ block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    throw store.refusal("has no compressed blocks")
  }
  func prepareChange() throws(StorageError) {}
  func settle() throws(StorageError) -> Bool { false }
  func letGo() {}
  func blank(_ block: UInt64, count: UInt64) throws(StorageError) -> UInt64 { 0 }
  func finish() throws(StorageError) { try commit() }
  func resize(to blockCount: UInt64) throws(StorageError) {
    throw store.refusal("a \(kind) cannot be given another size")
  }

  /// Fills a buffer with what shows where nothing is kept.
  func readBelow(_ block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    if let base {
      try read(base, block, into: buffer)
    } else {
      buffer.initializeMemory(as: UInt8.self, repeating: 0)
    }
  }

  /// Behind a base's end, where an image can reach that became longer, are zeros.
  private func read(
    _ base: any BlockDevice, _ block: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StorageError) {
    let there = block < base.blockCount ? base.blockCount - block : 0
    let bytes = Int(min(UInt64(buffer.count / blockSize), there)) * blockSize
    if bytes > 0 {
      try base.read(block: block, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<bytes]))
    }
    UnsafeMutableRawBufferPointer(rebasing: buffer[bytes...]).initializeMemory(
      as: UInt8.self, repeating: 0)
  }

  /// Writes blocks into a unit that gets room now: what the buffer has not comes from the base.
  /// - Parameters:
  ///   - place: where the unit is in the file, which has zeros there (`isClean`) or anything.
  ///   - first: the unit's first block; `unit`: how many it has, fewer at the disk's end.
  func fillUnit(
    at place: UInt64, in file: any ByteStore, first: UInt64, unit: UInt64, isClean: Bool,
    _ block: UInt64, from buffer: UnsafeRawBufferPointer, showsBase: Bool
  ) throws(StorageError) {
    let size = UInt64(blockSize)
    let count = UInt64(buffer.count) / size
    let start = place + (block - first) * size
    try file.write(at: start, from: buffer)
    let before = block - first
    let after = first + unit - block - count
    for (from, number) in [(first, before), (block + count, after)] where number > 0 {
      let offset = place + (from - first) * size
      if showsBase, let base {
        try copy(base, from, number, to: file, at: offset)
      } else if !isClean {
        try file.zero(at: offset, count: number * size, releasing: false)
      }
    }
  }

  /// Copies blocks of the base into the file.
  private func copy(
    _ base: any BlockDevice, _ block: UInt64, _ count: UInt64, to file: any ByteStore,
    at offset: UInt64
  ) throws(StorageError) {
    let most = max(1, UInt64((1 << 20) / blockSize))
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Int(min(most, count)) * blockSize, alignment: 64)
    defer { buffer.deallocate() }
    var done: UInt64 = 0
    while done < count {
      let part = min(most, count - done)
      let slice = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(Int(part) * blockSize)])
      try read(base, block + done, into: slice)
      try file.write(at: offset + done * UInt64(blockSize), from: UnsafeRawBufferPointer(slice))
      done += part
    }
  }
}

extension BlockDevice {
  /// The device as a base of an image: in blocks of its size, as many bytes, zeros behind its end.
  func below(byteCount: UInt64, blockSize: Int) -> any BlockDevice {
    let own = UInt64(self.blockSize)
    let blocks = byteCount / own + (byteCount % own == 0 ? 0 : 1)
    return view(blockCount: blocks, isWriteProtected: true).withBlocks(of: blockSize)
  }
}
