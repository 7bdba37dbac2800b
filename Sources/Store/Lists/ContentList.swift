// A long list of names, kept as objects: what a memory or a disk holds, slot by slot.
//
// Owns: the format, making, reading. Must not know: what slots are.
// After: Merkle, "A Digital Signature Based on a Conventional Encryption Function" (1987): a name tells everything below it.
//
// Numbers are little-endian. The list's object:
//   0   8   "APUSLIST"
//   8   8   how many slots there are
//   16  4   slots in a chunk: 512
//   20  4   0
//   24  ... the names of the chunks, 32 bytes each; that of zeros where all slots are zeros
// A chunk's object: 512 names, 32 bytes each; those behind the last slot are zeros.

import Storage

/// A list of names, of which whole chunks are shared with other lists.
public struct ContentList: Equatable, Sendable {
  /// Of the list's object, which leads to everything else.
  public let name: ContentName
  /// Slots.
  public let count: UInt64
  let chunks: [ContentName]

  /// Slots in a chunk.
  public static let slotsPerChunk = 512
  /// The most slots that a list can have: 2^28 - 512, which are pages of nearly 1 TiB.
  public static let mostSlots = UInt64(mostChunks * slotsPerChunk)
  static let chunkSize = slotsPerChunk * ContentName.byteCount
  static let magic = Array("APUSLIST".utf8)
  static let headerSize = 24
  static let mostChunks = (PackLayout.longestObject - headerSize) / ContentName.byteCount

  static func chunkCount(_ count: UInt64) -> Int {
    Int((count + UInt64(slotsPerChunk) - 1) / UInt64(slotsPerChunk))
  }

  static func refuse(_ store: ContentStore, _ reason: String) -> StorageError {
    StorageError(path: store.folder, reason: reason)
  }

  // MARK: Making

  /// Makes a list.
  /// - Parameters:
  ///   - count: slots.
  ///   - entries: slots that are not zeros, ascending, below `count`, each once.
  public init(
    count: UInt64, _ entries: some Sequence<(slot: UInt64, name: ContentName)>,
    into batch: Batch
  ) throws(StorageError) {
    let store = batch.store
    guard count <= ContentList.mostSlots else {
      throw ContentList.refuse(store, "a list of \(count) slots is too long")
    }
    let zeros = ContentList(
      name: .zero, count: count,
      chunks: Array(repeating: .zero, count: ContentList.chunkCount(count)))
    self = try zeros.changing(entries, into: batch)
  }

  /// A list whose slots are all zeros.
  /// - Parameter count: slots, at most `mostSlots`.
  public init(zeros count: UInt64) {
    self.init(
      name: .zero, count: count,
      chunks: Array(repeating: .zero, count: ContentList.chunkCount(count)))
  }

  init(name: ContentName, count: UInt64, chunks: [ContentName]) {
    self.name = name
    self.count = count
    self.chunks = chunks
  }

  /// A list that differs in some slots. Chunks without changes are shared with this one.
  /// - Parameters:
  ///   - changes: slots and what they become, ascending, each once.
  ///   - count: slots of the new list; nil: as many as here. What is behind is gone; what is new is zeros.
  ///   - batch: what is new goes there. This list is in its store, published.
  public func changing(
    _ changes: some Sequence<(slot: UInt64, name: ContentName)>, count: UInt64? = nil,
    into batch: Batch
  ) throws(StorageError) -> ContentList {
    let store = batch.store
    let count = count ?? self.count
    guard count <= ContentList.mostSlots else {
      throw ContentList.refuse(store, "a list of \(count) slots is too long")
    }
    let chunkCount = ContentList.chunkCount(count)
    var chunks = Array(self.chunks.prefix(chunkCount))
    chunks += repeatElement(.zero, count: chunkCount - chunks.count)
    let room = ByteRoom(count: ContentList.chunkSize)
    defer { withExtendedLifetime(room) {} }
    var open = -1
    let perChunk = UInt64(ContentList.slotsPerChunk)
    func close() throws(StorageError) {
      if open >= 0 { chunks[open] = try batch.add(room.buffer.reading) }
      open = -1
    }
    // Slots behind a new end that is in the middle of a chunk.
    let cut = count < self.count && count % perChunk != 0 ? chunkCount - 1 : -1
    var isCut = cut < 0
    func begin(_ chunk: Int) throws(StorageError) {
      if chunk == open { return }
      try close()
      try store.read(chunks[chunk], into: room.buffer)
      open = chunk
      if chunk == cut {
        let at = Int(count % perChunk) * ContentName.byteCount
        (room.pointer + at).initializeMemory(
          as: UInt8.self, repeating: 0, count: ContentList.chunkSize - at)
        isCut = true
      }
    }
    var next: UInt64 = 0
    for (slot, name) in changes {
      guard slot >= next, slot < count else {
        var error = ContentList.refuse(
          store, "slot \(slot) behind slot \(next &- 1) of \(count) makes no list")
        error.isUsage = true
        throw error
      }
      next = slot + 1
      try begin(Int(slot / perChunk))
      name.store(to: room.pointer + Int(slot % perChunk) * ContentName.byteCount)
    }
    if !isCut { try begin(cut) }
    try close()
    let list = ByteRoom(count: ContentList.headerSize + chunkCount * ContentName.byteCount)
    defer { withExtendedLifetime(list) {} }
    list.set(0, ContentList.magic)
    list.setLittle(8, count)
    list.setLittle(16, UInt32(ContentList.slotsPerChunk))
    list.setLittle(20, UInt32(0))
    for (index, chunk) in chunks.enumerated() {
      chunk.store(to: list.pointer + ContentList.headerSize + index * ContentName.byteCount)
    }
    return ContentList(name: try batch.add(list.buffer.reading), count: count, chunks: chunks)
  }

  // MARK: Reading

  /// Opens a list that is in a store.
  public init(_ name: ContentName, in store: ContentStore) throws(StorageError) {
    let bytes = ByteRoom(try store.bytes(of: name, limit: PackLayout.longestObject))
    defer { withExtendedLifetime(bytes) {} }
    guard bytes.count >= ContentList.headerSize, bytes.starts(with: ContentList.magic) else {
      throw ContentList.refuse(store, "object \(name.short) is no list")
    }
    let count: UInt64 = bytes.little(8)
    let perChunk: UInt32 = bytes.little(16)
    guard count <= ContentList.mostSlots, perChunk == UInt32(ContentList.slotsPerChunk),
      bytes.little(20, as: UInt32.self) == 0,
      bytes.count == ContentList.headerSize
        + ContentList.chunkCount(count) * ContentName.byteCount
    else {
      throw ContentList.refuse(
        store, "object \(name.short), a list of \(count) slots in \(bytes.count) bytes, cannot be")
    }
    self.name = name
    self.count = count
    chunks = (0..<ContentList.chunkCount(count)).map {
      ContentName(bytes.pointer + ContentList.headerSize + $0 * ContentName.byteCount)
    }
  }

  /// Hands out all slots that are not zeros, ascending.
  public func forEach(
    in store: ContentStore,
    _ body: (_ slot: UInt64, _ name: ContentName) throws(StorageError) -> Void
  ) throws(StorageError) {
    let reader = ContentListReader(self, in: store)
    for chunk in chunks.indices where chunks[chunk] != .zero {
      try reader.open(chunk)
      for slot in slots(of: chunk) {
        let name = reader.openName(slot)
        if name != .zero { try body(slot, name) }
      }
    }
  }

  /// Hands out all slots in which two lists differ, ascending. Slots behind a list's end are zeros. Chunks that both have are not read.
  /// - Parameter oldStore: where the old one is, if elsewhere: names of stores that are not encrypted are the same in all of them.
  public func difference(
    from old: ContentList, in store: ContentStore, oldStore: ContentStore? = nil,
    _ body: (_ slot: UInt64, _ old: ContentName, _ new: ContentName) throws(StorageError) -> Void
  ) throws(StorageError) {
    let (before, after) = (
      ContentListReader(old, in: oldStore ?? store), ContentListReader(self, in: store)
    )
    let longer = old.count > count ? old : self
    for chunk in longer.chunks.indices {
      let first = chunk < old.chunks.count ? old.chunks[chunk] : .zero
      let second = chunk < chunks.count ? chunks[chunk] : .zero
      if first == second { continue }
      try before.open(chunk)
      try after.open(chunk)
      for slot in longer.slots(of: chunk) {
        let (one, other) = (before.openName(slot), after.openName(slot))
        if one != other { try body(slot, one, other) }
      }
    }
  }

  func slots(of chunk: Int) -> Range<UInt64> {
    let first = UInt64(chunk * ContentList.slotsPerChunk)
    return first..<min(count, first + UInt64(ContentList.slotsPerChunk))
  }
}

/// Looks names up in a list, in one thread. The chunk that was needed last is kept.
public final class ContentListReader {
  public let list: ContentList
  private let store: ContentStore
  private let room = ByteRoom(count: ContentList.chunkSize)
  private var current = -1

  public init(_ list: ContentList, in store: ContentStore) {
    self.list = list
    self.store = store
  }

  /// What a slot holds; that of zeros behind the list's end.
  public func name(_ slot: UInt64) throws(StorageError) -> ContentName {
    if slot >= list.count { return .zero }
    try open(Int(slot / UInt64(ContentList.slotsPerChunk)))
    return openName(slot)
  }

  /// A chunk behind the end has zeros.
  func open(_ chunk: Int) throws(StorageError) {
    if chunk == current { return }
    current = -1
    try store.read(chunk < list.chunks.count ? list.chunks[chunk] : .zero, into: room.buffer)
    current = chunk
  }

  /// Of the chunk that is open.
  func openName(_ slot: UInt64) -> ContentName {
    if slot >= list.count { return .zero }
    return ContentName(
      room.pointer + Int(slot % UInt64(ContentList.slotsPerChunk)) * ContentName.byteCount)
  }

  /// Of the chunk that is open, also behind the list's end.
  func chunkName(_ slot: Int) -> ContentName {
    ContentName(room.pointer + slot * ContentName.byteCount)
  }
}
