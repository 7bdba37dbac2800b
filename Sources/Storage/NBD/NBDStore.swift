// An export as the bytes of an image.
//
// Owns: any offset and length where the server wants whole blocks, what is remembered of holes. Must not know: the protocol, image formats.

import Host

/// The bytes of an export. Its size is the export's.
public final class NBDStore: ByteStore {
  private let session: NBDSession
  public let name: String
  public let size: UInt64
  public let isWritable: Bool
  public let zeroesCheaply: Bool
  public let writeRefusal: String?
  private let block: UInt64
  /// What the server said of holes last, one run behind the other.
  private var runs: [NBDRun] = []
  /// Where among them the last answer was.
  private var place = 0
  private var isClosed = false
  /// Guards these.
  private let holes = HostCondition()

  /// Connects.
  /// - Parameter writable: writes are wished; an export that does not allow them is read, and `writeRefusal` says so.
  public convenience init(_ name: String, writable: Bool) throws(StorageError) {
    try self.init(NBDSession.open(name), writable: writable)
  }

  init(_ session: NBDSession, writable: Bool) {
    self.session = session
    name = session.name
    size = session.export.size
    block = session.export.minimum
    zeroesCheaply = session.export.has(NBD.sendWriteZeroes)
    isWritable = writable && !session.export.isReadOnly
    writeRefusal = writable && session.export.isReadOnly ? "the export is read-only" : nil
  }

  deinit { close() }

  /// The session may be others' as well: it hears of this once.
  public func close() {
    let isFirst = holes.locked {
      defer { isClosed = true }
      return !isClosed
    }
    if isFirst { session.close() }
  }

  private func check(_ offset: UInt64, _ count: UInt64) throws(StorageError) {
    if offset > size || count > size - offset {
      throw StorageError(path: name, offset: offset, reason: "the export ends at \(size) bytes")
    }
  }

  private func checkWritable(_ offset: UInt64) throws(StorageError) {
    if !isWritable { throw StorageError(path: name, offset: offset, reason: "may not be written") }
  }

  // MARK: Transfers

  public func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    let count = UInt64(buffer.count)
    try check(offset, count)
    if count == 0 { return }
    if offset % block == 0 && count % block == 0 {
      return try session.read(at: offset, into: buffer)
    }
    let start = offset - offset % block
    let length = Int((offset + count + block - 1) / block * block - start)
    let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: length, alignment: 4096)
    defer { whole.deallocate() }
    try session.read(at: start, into: whole)
    let skipped = Int(offset - start)
    buffer.copyMemory(
      from: UnsafeRawBufferPointer(rebasing: whole[skipped..<skipped + buffer.count]))
  }

  public func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    let count = UInt64(buffer.count)
    try checkWritable(offset)
    try check(offset, count)
    if count == 0 { return }
    forgetHoles(offset, count)
    if offset % block == 0 && count % block == 0 {
      return try session.write(at: offset, from: buffer)
    }
    // The blocks at both ends are read, and written with the rest as it was.
    let start = offset - offset % block
    let end = (offset + count + block - 1) / block * block
    let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(end - start), alignment: 4096)
    defer { whole.deallocate() }
    let one = Int(block)
    try session.read(at: start, into: UnsafeMutableRawBufferPointer(rebasing: whole[..<one]))
    if end - start > block {
      try session.read(
        at: end - block,
        into: UnsafeMutableRawBufferPointer(rebasing: whole[(whole.count - one)...]))
    }
    let skipped = Int(offset - start)
    UnsafeMutableRawBufferPointer(rebasing: whole[skipped..<skipped + buffer.count]).copyMemory(
      from: buffer)
    try session.write(at: start, from: UnsafeRawBufferPointer(whole))
  }

  public func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try checkWritable(offset)
    try check(offset, count)
    if count == 0 { return }
    forgetHoles(offset, count)
    let first = (offset + block - 1) / block * block
    let last = (offset + count) / block * block
    if first >= last { return try writeZeros(at: offset, count: count) }
    try writeZeros(at: offset, count: first - offset)
    try session.zero(at: first, count: last - first, releasing: releasing)
    try writeZeros(at: last, count: offset + count - last)
  }

  public func setSize(_ size: UInt64) throws(StorageError) {
    if size != self.size {
      throw StorageError(
        path: name, reason: "an export cannot become longer or shorter: it has \(self.size) bytes")
    }
  }

  public func flush() throws(StorageError) { if isWritable { try session.flush() } }

  // MARK: Holes

  private func forgetHoles(_ offset: UInt64, _ count: UInt64) {
    holes.locked { forget(offset, count) }
  }

  private func forget(_ offset: UInt64, _ count: UInt64) {
    guard let first = runs.first, let last = runs.last, offset < last.end,
      offset + count > first.offset
    else { return }
    (runs, place) = ([], 0)
  }

  /// The run that an offset is in; nil: nobody knows.
  private func run(at offset: UInt64) -> NBDRun? {
    if let first = runs.first, let last = runs.last, offset >= first.offset, offset < last.end {
      // As a rule it is the one of before, or the next.
      if place >= runs.count || runs[place].offset > offset { place = 0 }
      if offset - runs[place].offset > 1 << 30 || runs.count - place > 64 { place = search(offset) }
      while runs[place].end <= offset { place += 1 }
      return runs[place]
    }
    let start = offset - offset % block
    let count = min(size - start, 2 << 30)
    guard let found = session.status(at: start, count: count), let first = found.first,
      first.offset == start
    else { return nil }
    (runs, place) = (found, 0)
    while place < runs.count, runs[place].end <= offset { place += 1 }
    return place < runs.count ? runs[place] : nil
  }

  private func search(_ offset: UInt64) -> Int {
    var (low, high) = (0, runs.count - 1)
    while low < high {
      let middle = (low + high + 1) / 2
      if runs[middle].offset <= offset { low = middle } else { high = middle - 1 }
    }
    return low
  }

  /// Where the first byte is that is in no run of a kind. A server that tells of short runs without an end is not asked for ever: what is
  /// left counts as data.
  private func end(ofRunsThatAreZero isZero: Bool, from offset: UInt64) -> UInt64 {
    var at = offset
    let limit = HostClock.nanoseconds() &+ session.address.timeout
    while at < size, let run = run(at: at), run.isZero == isZero {
      at = run.end
      if HostClock.nanoseconds() > limit { break }
    }
    return min(at, size)
  }

  public func nextData(from offset: UInt64) -> UInt64 {
    if offset >= size { return .max }
    let found = holes.locked { end(ofRunsThatAreZero: true, from: offset) }
    return found >= size ? .max : found
  }

  public func nextHole(from offset: UInt64) -> UInt64 {
    if offset >= size { return size }
    return holes.locked {
      run(at: offset) == nil ? size : end(ofRunsThatAreZero: false, from: offset)
    }
  }
}
