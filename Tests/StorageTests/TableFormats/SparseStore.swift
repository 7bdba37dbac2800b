// Bytes in memory, only those that are not zeros: for images that are large, and for thousands of copies of one that differ a little.
//
// Owns: the pages. Must not know: formats.

@testable import Storage

/// A store in memory that is as sparse as a file can be.
final class SparseStore: ByteStore {
  private static let page = 4096
  let name: String
  private(set) var size: UInt64
  private let beginning: [UInt8]
  /// How much of the beginning still shows where there is no page.
  private var shown: UInt64
  private var pages: [UInt64: [UInt8]] = [:]
  /// More cannot be kept: the disk is full.
  var limit = 32768
  let isWritable: Bool
  let zeroesCheaply = true
  private(set) var readCount = 0
  private(set) var readBytes = 0

  init(
    _ beginning: [UInt8] = [], size: UInt64? = nil, name: String = "sparse", isWritable: Bool = true
  ) {
    self.beginning = beginning
    self.name = name
    self.isWritable = isWritable
    self.size = size ?? UInt64(beginning.count)
    shown = min(UInt64(beginning.count), self.size)
  }

  func contents() -> [UInt8] { try! bytes(at: 0, count: Int(size)) }

  private func check(_ offset: UInt64, _ count: UInt64) throws(StorageError) {
    if offset > size || count > size - offset {
      throw StorageError(path: name, offset: offset, reason: "ends here, at \(size) bytes")
    }
  }

  private func original(_ number: UInt64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: SparseStore.page)
    let start = number * UInt64(SparseStore.page)
    if start < shown {
      let count = Int(min(UInt64(SparseStore.page), shown - start))
      bytes.replaceSubrange(0..<count, with: beginning[Int(start)..<Int(start) + count])
    }
    return bytes
  }

  private func each(_ offset: UInt64, _ count: Int, _ body: (UInt64, Range<Int>, Int) -> Void) {
    var at = 0
    while at < count {
      let place = offset + UInt64(at)
      let inside = Int(place % UInt64(SparseStore.page))
      let part = min(count - at, SparseStore.page - inside)
      body(place / UInt64(SparseStore.page), inside..<inside + part, at)
      at += part
    }
  }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try check(offset, UInt64(buffer.count))
    readCount += 1
    readBytes += buffer.count
    each(offset, buffer.count) { number, range, at in
      if let page = pages[number] {
        page.withUnsafeBytes {
          UnsafeMutableRawBufferPointer(rebasing: buffer[at..<at + range.count]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: $0[range]))
        }
        return
      }
      let start = number * UInt64(SparseStore.page) + UInt64(range.lowerBound)
      let kept = start < shown ? Int(min(UInt64(range.count), shown - start)) : 0
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[at..<at + range.count])
      if kept > 0 {
        beginning.withUnsafeBytes {
          part.copyMemory(
            from: UnsafeRawBufferPointer(rebasing: $0[Int(start)..<Int(start) + kept]))
        }
      }
      if kept < part.count {
        UnsafeMutableRawBufferPointer(rebasing: part[kept...]).initializeMemory(
          as: UInt8.self, repeating: 0)
      }
    }
  }

  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    if !isWritable { throw StorageError(path: name, reason: "may not be written") }
    try check(offset, UInt64(buffer.count))
    if pages.count > limit { throw StorageError(path: name, reason: "no room is left") }
    each(offset, buffer.count) { number, range, at in
      var page = pages[number] ?? original(number)
      page.replaceSubrange(range, with: buffer[at..<at + range.count])
      pages[number] = page
    }
  }

  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    if !isWritable { throw StorageError(path: name, reason: "may not be written") }
    try check(offset, count)
    let page = UInt64(SparseStore.page)
    let (first, last) = ((offset + page - 1) / page, (offset + count) / page)
    if first >= last { return try writeZeros(at: offset, count: count) }
    try writeZeros(at: offset, count: first * page - offset)
    try writeZeros(at: last * page, count: offset + count - last * page)
    for number in pages.keys where number >= first && number < last { pages[number] = nil }
    // The beginning no longer shows there.
    let covered = (shown + page - 1) / page
    if first < covered {
      for number in first..<min(last, covered) {
        pages[number] = [UInt8](repeating: 0, count: SparseStore.page)
      }
    }
  }

  func setSize(_ size: UInt64) throws(StorageError) {
    if !isWritable { throw StorageError(path: name, reason: "may not be written") }
    if size > UInt64(Int64.max) { throw StorageError(path: name, reason: "too large") }
    if size < self.size {
      let page = UInt64(SparseStore.page)
      for number in pages.keys where number * page >= size { pages[number] = nil }
      if size % page != 0, var last = pages[size / page] {
        last.replaceSubrange(
          Int(size % page)..., with: repeatElement(0, count: Int(page - size % page)))
        pages[size / page] = last
      }
      shown = min(shown, size)
    }
    self.size = size
  }

  func flush() throws(StorageError) {}

  func nextData(from offset: UInt64) -> UInt64 {
    if offset >= size { return .max }
    if offset < shown { return offset }
    let page = UInt64(SparseStore.page)
    let next = pages.keys.filter { ($0 + 1) * page > offset }.min()
    return next.map { max($0 * page, offset) } ?? .max
  }
}
