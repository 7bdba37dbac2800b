// A small image format, made up for the tests and the documentation: blocks where they were first written, with a table of places.
//
//   offset  0  "SPARSE01"
//           8  bytes in a block (u32)
//          12  length of the base's name (u32), 0: no base
//          16  blocks (u64)
//          24  where the table is (u64)
//          32  name of the base
//   table: for each block a u32: 0 the base's or zeros, 1 zeros, otherwise the place in the file, in blocks
//
// Everything little-endian. A block is written before the table says where it is: whenever the host stops, the file is whole.

import Storage

struct SparseFormat: ImageFormat {
  let name = "sparse"
  static let magic = Array("SPARSE01".utf8)

  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    try store.bytes(at: 0, count: 8) == SparseFormat.magic ? .certain : nil
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    let header = try SparseHeader(store)
    var base: (any BlockDevice)?
    if !header.baseName.isEmpty {
      let device = try context.base(named: header.baseName)
      let size = UInt64(header.blockSize) * header.blockCount
      // A base that is shorter reads as zeros behind its end.
      base = device.view(
        blockCount: size / UInt64(device.blockSize), isWriteProtected: true
      ).withBlocks(of: header.blockSize)
    }
    return ImageContents(
      try SparseImage(store, header, base: base), kind: .disk,
      notes: ["a sparse image in blocks of \(header.blockSize) bytes"])
  }
}

/// The header, all of whose numbers are sound.
struct SparseHeader {
  var blockSize: Int
  var blockCount: UInt64
  var tableOffset: UInt64
  var baseName: String

  init(_ store: any ByteStore) throws(StorageError) {
    let bytes = try store.bytes(at: 0, count: 32)
    func number(_ at: Int, _ count: Int) -> UInt64 {
      bytes[at..<at + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    func refuse(_ offset: UInt64, _ reason: String) -> StorageError {
      StorageError(path: store.name, offset: offset, reason: reason)
    }
    guard bytes.count == 32 else { throw refuse(0, "the header is cut short") }
    guard let size = Int(exactly: number(8, 4)), BlockSize.isValid(size) else {
      throw refuse(8, "blocks of \(number(8, 4)) bytes")
    }
    let length = number(12, 4)
    guard length <= 255 else { throw refuse(12, "a name of \(length) bytes") }
    blockSize = size
    blockCount = number(16, 8)
    tableOffset = number(24, 8)
    guard tableOffset >= 32 + length, tableOffset % 4 == 0, tableOffset <= store.size else {
      throw refuse(24, "a table at \(tableOffset), in a file of \(store.size) bytes")
    }
    // Compared so that nothing can overflow, and before anything is allocated.
    guard blockCount > 0, blockCount <= (store.size - tableOffset) / 4 else {
      throw refuse(16, "\(blockCount) blocks, for which the file's table has no room")
    }
    let name = try store.bytes(at: 32, count: Int(length))
    guard let text = String(validating: name, as: UTF8.self) else {
      throw refuse(32, "a name that is no text")
    }
    baseName = text
  }
}

final class SparseImage: BlockDevice {
  let blockSize: Int
  let blockCount: UInt64
  let capabilities: BlockCapabilities
  let base: (any BlockDevice)?
  private(set) var generation: UInt64 = 0
  private let store: any ByteStore
  private let tableOffset: UInt64
  /// Where blocks are, in blocks of the file; 0: the base's or zeros, 1: zeros.
  private var table: [UInt32]
  /// Places that nobody uses any more.
  private var free: [UInt32] = []

  init(_ store: any ByteStore, _ header: SparseHeader, base: (any BlockDevice)?)
    throws(StorageError)
  {
    self.store = store
    self.base = base
    blockSize = header.blockSize
    blockCount = header.blockCount
    tableOffset = header.tableOffset
    var capabilities: BlockCapabilities = [
      .discards, .zeroesCheaply, .growable, .knowsAllocation,
    ]
    if store.isWritable { capabilities.insert(.writable) }
    self.capabilities = capabilities
    let bytes = try store.bytes(at: tableOffset, count: Int(blockCount) * 4)
    table = (0..<Int(blockCount)).map { n in
      bytes[n * 4..<n * 4 + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
    var used = Set<UInt32>()
    let size = UInt64(blockSize)
    let first = max(2, (tableOffset + blockCount * 4 + size - 1) / size)
    for (n, place) in table.enumerated() where place > 1 {
      let offset = tableOffset + UInt64(n) * 4
      guard UInt64(place) >= first, (UInt64(place) + 1) * size <= store.size else {
        throw StorageError(
          path: store.name, offset: offset, reason: "block \(n) lies outside the data")
      }
      guard used.insert(place).inserted else {
        throw StorageError(
          path: store.name, offset: offset, reason: "block \(n) lies where another does")
      }
    }
    let end = store.size / size
    if first < end {
      free = (first..<end).map { UInt32($0) }.filter { !used.contains($0) }.reversed()
    }
  }

  var name: String { store.name }
  var layer: BlockLayer { BlockLayer(kind: "sparse image", file: store.name, of: self) }

  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    for index in 0..<buffer.count / blockSize {
      let number = block + UInt64(index)
      let part = UnsafeMutableRawBufferPointer(
        rebasing: buffer[index * blockSize..<(index + 1) * blockSize])
      switch (table[Int(number)], base) {
      case (0, let base?): try base.read(block: number, into: part)
      case (0, nil), (1, _): part.initializeMemory(as: UInt8.self, repeating: 0)
      case (let place, _): try store.read(at: UInt64(place) * UInt64(blockSize), into: part)
      }
    }
  }

  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try checkBlocks(block, UInt64(buffer.count / blockSize))
    for index in 0..<buffer.count / blockSize {
      try put(
        Int(block) + index,
        UnsafeRawBufferPointer(rebasing: buffer[index * blockSize..<(index + 1) * blockSize]))
    }
  }

  private func put(_ number: Int, _ data: UnsafeRawBufferPointer) throws(StorageError) {
    if isReadOnly { throw StorageError(path: name, reason: "the image is write-protected") }
    generation &+= 1
    if table[number] > 1 {
      return try store.write(at: UInt64(table[number]) * UInt64(blockSize), from: data)
    }
    let size = UInt64(blockSize)
    let place: UInt32
    if let reused = free.last {
      place = reused
    } else {
      let end = max(store.size, tableOffset + blockCount * 4, 2 * size)
      guard let next = UInt32(exactly: (end + size - 1) / size), next < .max else {
        throw StorageError(path: name, offset: store.size, reason: "the image is full")
      }
      place = next
      try store.setSize((UInt64(place) + 1) * size)
    }
    try store.write(at: UInt64(place) * size, from: data)
    // The table may only say so when it is so.
    try store.flush()
    try set(number, place)
    if !free.isEmpty { free.removeLast() }
  }

  private func set(_ number: Int, _ place: UInt32) throws(StorageError) {
    let entry = (0..<4).map { UInt8(truncatingIfNeeded: place >> (8 * $0)) }
    try store.write(at: tableOffset + UInt64(number) * 4, entry)
    table[number] = place
  }

  func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    try checkBlocks(block, count)
    if isReadOnly { throw StorageError(path: name, reason: "the image is write-protected") }
    generation &+= 1
    let numbers = Int(block)..<Int(block + count)
    let places = numbers.map { table[$0] }.filter { $0 > 1 }
    for number in numbers { try set(number, base == nil ? 0 : 1) }
    if places.isEmpty { return }
    // Nobody may get the room while the table on the disk still gives it to these.
    try store.flush()
    free += places
    for place in places {
      try store.zero(
        at: UInt64(place) * UInt64(blockSize), count: UInt64(blockSize), releasing: true)
    }
  }

  func flush() throws(StorageError) { try store.flush() }

  func nextData(from block: UInt64) -> UInt64 {
    if base != nil { return min(block, blockCount) }
    return (block..<max(block, blockCount)).first { table[Int($0)] > 1 } ?? blockCount
  }

  func isWritten(_ block: UInt64) -> Bool { table[Int(block)] != 0 }

  func mark() -> FileMark { store.mark() + (base?.mark() ?? FileMark()) }

  func change(since mark: FileMark) -> String? {
    let (own, below) = mark.split
    return store.change(since: own) ?? base?.change(since: below)
  }

  var displacement: String? { store.displacement }
  func unlock() { store.unlock() }
  func lockAgain() throws(StorageError) { try store.lockAgain(exclusive: !isReadOnly) }

  func close() {
    store.close()
    base?.close()
  }
}
