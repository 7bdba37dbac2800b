// A file as it would be after changes that are not made yet: a log that was not replayed.
//
// Owns: the changed pages and the ranges that are zeros. Must not know: where they come from.

/// A store with changes in memory, which can be made at last.
final class PatchedStore: ByteStore {
  static let pageSize: UInt64 = 4096
  let store: any ByteStore
  private(set) var size: UInt64
  /// By the number of the page in the file.
  private var pages: [UInt64: ArraySlice<UInt8>] = [:]
  /// Ascending, not overlapping, once all are there; pages are above them.
  private var zeros: [Range<UInt64>] = []

  init(_ store: any ByteStore) {
    self.store = store
    size = store.size
  }

  // MARK: Changes

  /// A page at a multiple of its size.
  func patch(_ offset: UInt64, _ bytes: ArraySlice<UInt8>) {
    pages[offset / PatchedStore.pageSize] = bytes
    size = max(size, offset + PatchedStore.pageSize)
  }

  /// Whole pages of zeros.
  func patchZeros(_ range: Range<UInt64>) {
    let numbers =
      range.lowerBound / PatchedStore.pageSize..<range.upperBound / PatchedStore.pageSize
    if UInt64(pages.count) < numbers.upperBound - numbers.lowerBound {
      for number in pages.keys where numbers.contains(number) { pages[number] = nil }
    } else {
      for number in numbers { pages[number] = nil }
    }
    zeros.append(range)
    size = max(size, range.upperBound)
  }

  func patchSize(_ size: UInt64) { self.size = max(self.size, size) }

  /// All changes are known.
  func seal() {
    var merged: [Range<UInt64>] = []
    for range in zeros.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = merged.last, last.upperBound >= range.lowerBound {
        merged[merged.count - 1] =
          last.lowerBound..<max(last.upperBound, range.upperBound)
      } else {
        merged.append(range)
      }
    }
    zeros = merged
  }

  /// Makes the changes in the file. It can be done again when it fails.
  func apply() throws(StorageError) {
    try store.grow(to: size)
    for range in zeros {
      try store.zero(
        at: range.lowerBound, count: range.upperBound - range.lowerBound, releasing: false)
    }
    for number in pages.keys.sorted() {
      try store.write(at: number * PatchedStore.pageSize, Array(pages[number]!))
    }
    try store.flush()
  }

  // MARK: The store

  var name: String { store.name }
  var isWritable: Bool { store.isWritable }
  var zeroesCheaply: Bool { store.zeroesCheaply }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    let count = UInt64(buffer.count)
    if offset > size || count > size - offset {
      throw refusal(at: offset, "the file ends at \(size) bytes")
    }
    if count == 0 { return }
    let end = offset + count
    let kept = offset < store.size ? Int(min(count, store.size - offset)) : 0
    if kept > 0 {
      try store.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<kept]))
    }
    UnsafeMutableRawBufferPointer(rebasing: buffer[kept...]).initializeMemory(
      as: UInt8.self, repeating: 0)
    var low = 0
    var high = zeros.count
    while low < high {
      let middle = (low + high) / 2
      if zeros[middle].upperBound <= offset { low = middle + 1 } else { high = middle }
    }
    while low < zeros.count, zeros[low].lowerBound < end {
      let part = zeros[low].clamped(to: offset..<end)
      UnsafeMutableRawBufferPointer(
        rebasing: buffer[Int(part.lowerBound - offset)..<Int(part.upperBound - offset)]
      ).initializeMemory(as: UInt8.self, repeating: 0)
      low += 1
    }
    if pages.isEmpty { return }
    for number in offset / PatchedStore.pageSize...(end - 1) / PatchedStore.pageSize {
      guard let page = pages[number] else { continue }
      let start = number * PatchedStore.pageSize
      let part = (start..<start + PatchedStore.pageSize).clamped(to: offset..<end)
      let first = page.startIndex + Int(part.lowerBound - start)
      UnsafeMutableRawBufferPointer(rebasing: buffer[Int(part.lowerBound - offset)...]).copyBytes(
        from: page[first..<first + part.count])
    }
  }

  private func refuseChange() -> StorageError { refusal("has changes that are not made yet") }
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    throw refuseChange()
  }
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    throw refuseChange()
  }
  func setSize(_ size: UInt64) throws(StorageError) { throw refuseChange() }
  func flush() throws(StorageError) { try store.flush() }
  func beginFlush() throws(StorageError) -> UInt64 { try store.beginFlush() }
  func hasFlushed(_ number: UInt64) throws(StorageError) -> Bool { try store.hasFlushed(number) }

  func mark() -> FileMark { store.mark() }
  func change(since mark: FileMark) -> String? { store.change(since: mark) }
  var displacement: String? { store.displacement }
  func shareLock() { store.shareLock() }
  func unlock() { store.unlock() }
  func lockAgain(exclusive: Bool) throws(StorageError) {
    try store.lockAgain(exclusive: exclusive)
  }
  func close() { store.close() }
}
