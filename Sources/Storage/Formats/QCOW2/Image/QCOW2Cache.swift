// Parts of tables in memory, at most so many.
//
// Owns: slices of L2 tables or of refcount blocks, which of their bytes are not in the file yet, and writing them there. Must not know: what
// they mean, in which order tables have to be written (`QCOW2Image.writeBack`).

/// A cache of slices of a store, each at a multiple of its size.
final class QCOW2Cache {
  private let store: any ByteStore
  let sliceSize: Int
  private let limit: Int
  /// Whether a changed slice may be written whenever its room is needed.
  private let writesAnyTime: Bool

  private struct Slice {
    var offset: UInt64
    var memory: UnsafeMutableRawPointer
    /// The changed bytes; empty where the first is behind the last.
    var first = Int.max
    var last = 0
    var wasUsed = true
    /// What of it is held (`hold`), as it was then, and from where on.
    var held: (first: Int, bytes: [UInt8])?
  }
  private var slices: [Slice] = []
  private var index: [UInt64: Int] = [:]
  private var hand = 0
  private var recentOffset = UInt64.max
  private var recent = 0
  /// Slices with changed bytes.
  private(set) var dirtyCount = 0

  /// - Parameter bytes: what it holds at most, but for changed slices that may not be written yet.
  init(_ store: any ByteStore, sliceSize: Int, bytes: Int, writesAnyTime: Bool) {
    self.store = store
    self.sliceSize = sliceSize
    limit = max(8, bytes / sliceSize)
    self.writesAnyTime = writesAnyTime
  }

  deinit { for slice in slices { slice.memory.deallocate() } }

  /// Whether so much is changed that it should be written soon.
  var isFull: Bool { dirtyCount > limit / 2 }

  /// The memory of the bytes from `offset` on to the end of its slice; valid until the next call.
  @inline(__always)
  func pointer(_ offset: UInt64) throws(StorageError) -> UnsafeMutableRawPointer {
    let start = offset & ~UInt64(sliceSize - 1)
    if start != recentOffset { try find(start) }
    return slices[recent].memory + Int(offset - start)
  }

  /// As above, of bytes that are about to be changed.
  @inline(__always)
  func changing(_ offset: UInt64, _ count: Int) throws(StorageError) -> UnsafeMutableRawPointer {
    let pointer = try pointer(offset)
    let at = Int(offset & UInt64(sliceSize - 1))
    if slices[recent].first == .max { dirtyCount += 1 }
    slices[recent].first = min(slices[recent].first, at)
    slices[recent].last = max(slices[recent].last, at + count)
    return pointer
  }

  private func find(_ start: UInt64) throws(StorageError) {
    if let found = index[start] {
      slices[found].wasUsed = true
      (recentOffset, recent) = (start, found)
      return
    }
    let place = try room()
    recentOffset = .max
    // What is behind the file's end is zeros.
    let memory = slices[place].memory
    let there = start < store.size ? Int(min(UInt64(sliceSize), store.size - start)) : 0
    if there < sliceSize { memory.initializeMemory(as: UInt8.self, repeating: 0, count: sliceSize) }
    if there > 0 {
      try store.read(
        at: start, into: UnsafeMutableRawBufferPointer(start: memory, count: there))
    }
    slices[place].offset = start
    index[start] = place
    (recentOffset, recent) = (start, place)
  }

  /// A slice that holds nothing.
  private func room() throws(StorageError) -> Int {
    if slices.count >= limit {
      // Twice around: those used since the hand came by get another turn.
      for _ in 0..<2 * slices.count {
        hand = (hand + 1) % slices.count
        if slices[hand].wasUsed {
          slices[hand].wasUsed = false
        } else if slices[hand].held == nil, slices[hand].first == .max || writesAnyTime {
          if slices[hand].first != .max { try write(hand) }
          index[slices[hand].offset] = nil
          slices[hand].offset = .max
          slices[hand].wasUsed = true
          return hand
        }
      }
    }
    slices.append(
      Slice(
        offset: .max,
        memory: .allocate(byteCount: sliceSize, alignment: 4096)))
    return slices.count - 1
  }

  private func write(_ place: Int) throws(StorageError) {
    let slice = slices[place]
    try store.write(
      at: slice.offset + UInt64(slice.first),
      from: UnsafeRawBufferPointer(
        start: slice.memory + slice.first, count: slice.last - slice.first))
    slices[place].first = .max
    slices[place].last = 0
    dirtyCount -= 1
  }

  /// Writes all changed bytes.
  func writeBack() throws(StorageError) {
    if dirtyCount == 0 { return }
    let changed = slices.indices.filter { slices[$0].first != .max }
    for place in changed.sorted(by: { slices[$0].offset < slices[$1].offset }) { try write(place) }
  }

  // MARK: Writing back without waiting

  /// What was changed is to be written as it is now, when something else is with the stable storage; further changes are not part of it.
  func hold() {
    for place in slices.indices where slices[place].first != .max && slices[place].held == nil {
      let slice = slices[place]
      slices[place].held = (
        slice.first,
        Array(
          UnsafeRawBufferPointer(
            start: slice.memory + slice.first, count: slice.last - slice.first))
      )
      slices[place].first = .max
      slices[place].last = 0
      dirtyCount -= 1
    }
  }

  /// Writes what is held. What fails stays held.
  func writeHeld() throws(StorageError) {
    for place in slices.indices {
      guard let held = slices[place].held else { continue }
      try store.write(at: slices[place].offset + UInt64(held.first), held.bytes)
      slices[place].held = nil
    }
  }

  /// What is held is as if it had only been changed.
  func letGo() {
    for place in slices.indices {
      guard let held = slices[place].held else { continue }
      if slices[place].first == .max { dirtyCount += 1 }
      slices[place].first = min(slices[place].first, held.first)
      slices[place].last = max(slices[place].last, held.first + held.bytes.count)
      slices[place].held = nil
    }
  }

  /// Forgets what it holds of bytes that have become something else.
  func forget(_ offset: UInt64, count: UInt64) {
    recentOffset = .max
    var start = offset & ~UInt64(sliceSize - 1)
    while start < offset + count {
      if let place = index.removeValue(forKey: start) {
        if slices[place].first != .max { dirtyCount -= 1 }
        slices[place].first = .max
        slices[place].last = 0
        slices[place].held = nil
        slices[place].offset = .max
        slices[place].wasUsed = false
      }
      start += UInt64(sliceSize)
    }
  }

  func forgetAll() {
    for slice in slices { slice.memory.deallocate() }
    slices = []
    index = [:]
    recentOffset = .max
    dirtyCount = 0
  }
}
