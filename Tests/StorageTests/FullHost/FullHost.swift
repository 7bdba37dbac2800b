// Files on a host that has no more room, at any moment and for as long as is wished.
//
// Owns: the count of what is done to the files, and which of it is refused. Must not know: formats, guests.
//
// What is refused may be done in part, as a write is of which the first pages had room.

import Testing

@testable import Storage

/// The host of some files.
final class FullHost {
  /// How many writes, changes of the size and flushes there were.
  private(set) var count = 0
  /// Those of these numbers are refused.
  var refused: Range<Int> = 0..<0
  private(set) var files: [String: FullStore] = [:]
  fileprivate var random: PowerCutRandom
  /// Bytes that there is room for in all files, in pages that were written; nil: no end.
  var room: Int?

  init(_ files: [(name: String, bytes: [UInt8])], seed: UInt64 = 1) {
    random = PowerCutRandom(seed: seed)
    for (name, bytes) in files { _ = add(name, bytes) }
  }

  func add(_ name: String, _ bytes: [UInt8]) -> FullStore {
    let store = FullStore(name, bytes, host: self)
    files[name] = store
    return store
  }

  /// What the files hold now, as a program would find it that was started after this one was killed.
  func contents() -> [(name: String, bytes: [UInt8])] {
    files.sorted { $0.key < $1.key }.map { ($0.key, $0.value.bytes) }
  }

  var context: ImageContext {
    ImageContext(kind: .disk) { [unowned self] (name, use) throws(StorageError) in
      if use == .newPart { return try made(name) }
      guard let store = files[name] else {
        throw StorageError.missing(name)
      }
      return store
    }
  }

  /// A new file.
  func made(_ name: String) throws(StorageError) -> any ByteStore {
    try count(name)
    if let there = files[name] {
      var error = StorageError(path: there.name, reason: "exists already")
      error.nameIsTaken = true
      throw error
    }
    return add(name, [])
  }

  fileprivate func count(_ name: String) throws(StorageError) {
    count += 1
    if refused.contains(count) { throw FullHost.error(name) }
  }

  fileprivate func remove(_ name: String) { files[name] = nil }

  fileprivate static func error(_ name: String) -> StorageError {
    StorageError(path: name, reason: "no room is left", lacksRoom: true)
  }

  /// Pages that have room.
  var usedBytes: Int { files.values.reduce(0) { $0 + $1.pages.count * FullStore.page } }
}

/// One of the files.
final class FullStore: ByteStore {
  let name: String
  private(set) var bytes: [UInt8]
  /// Gone when a device that was not closed ends behind it.
  private weak var host: FullHost?
  static let page = 4096
  /// Those that were written.
  fileprivate var pages = Set<Int>()

  fileprivate init(_ name: String, _ bytes: [UInt8], host: FullHost) {
    self.name = name
    self.bytes = bytes
    self.host = host
    for page in stride(from: 0, to: bytes.count, by: FullStore.page)
    where bytes[page..<min(bytes.count, page + FullStore.page)].contains(where: { $0 != 0 }) {
      pages.insert(page / FullStore.page)
    }
  }

  var size: UInt64 { UInt64(bytes.count) }
  let isWritable = true
  let zeroesCheaply = true

  private func check(_ offset: UInt64, _ count: UInt64) throws(StorageError) {
    if offset > size || count > size - offset {
      throw StorageError(path: name, offset: offset, reason: "ends here, at \(size) bytes")
    }
  }

  /// How many of the bytes from a place on have room, which they take.
  private func take(_ offset: Int, _ count: Int) -> Int {
    guard let host, let room = host.room else { return count }
    var left = (room - host.usedBytes) / FullStore.page
    for page in offset / FullStore.page..<(offset + count + FullStore.page - 1) / FullStore.page
    where !pages.contains(page) {
      if left <= 0 { return max(0, page * FullStore.page - offset) }
      left -= 1
      pages.insert(page)
    }
    return count
  }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try check(offset, UInt64(buffer.count))
    bytes.withUnsafeBytes {
      buffer.copyMemory(
        from: UnsafeRawBufferPointer(rebasing: $0[Int(offset)..<Int(offset) + buffer.count]))
    }
  }

  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try check(offset, UInt64(buffer.count))
    var failure: StorageError?
    var part = take(Int(offset), buffer.count)
    if part < buffer.count { failure = FullHost.error(name) }
    do throws(StorageError) { try host?.count(name) } catch {
      failure = error
      part = min(part, (host?.random.below(buffer.count / 512 + 1) ?? 0) * 512)
    }
    bytes.withUnsafeMutableBytes {
      UnsafeMutableRawBufferPointer(rebasing: $0[Int(offset)..<Int(offset) + part])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<part]))
    }
    if let failure { throw failure }
  }

  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try check(offset, count)
    try host?.count(name)
    if releasing {
      let first = (Int(offset) + FullStore.page - 1) / FullStore.page
      for page in first..<max(first, Int(offset + count) / FullStore.page) { pages.remove(page) }
    } else if take(Int(offset), Int(count)) < Int(count) {
      throw FullHost.error(name)
    }
    bytes.replaceSubrange(
      Int(offset)..<Int(offset + count), with: repeatElement(0, count: Int(count)))
  }

  func setSize(_ size: UInt64) throws(StorageError) {
    try host?.count(name)
    let size = Int(size)
    if size < bytes.count {
      bytes.removeLast(bytes.count - size)
      pages = pages.filter { $0 * FullStore.page < size }
    } else {
      bytes += repeatElement(0, count: size - bytes.count)
    }
  }

  func extend(at offset: UInt64, _ data: [UInt8]) throws(StorageError) {
    try host?.count(name)
    let before = bytes.count
    bytes += repeatElement(0, count: max(0, Int(offset) + data.count - before))
    if take(Int(offset), data.count) < data.count {
      bytes.removeLast(bytes.count - before)
      throw FullHost.error(name)
    }
    bytes.replaceSubrange(Int(offset)..<Int(offset) + data.count, with: data)
  }

  func flush() throws(StorageError) { try host?.count(name) }
  func beginFlush() throws(StorageError) -> UInt64 {
    try host?.count(name)
    return UInt64(host?.count ?? 0)
  }
  func hasFlushed(_ flush: UInt64) throws(StorageError) -> Bool {
    host?.random.one(in: 2) != true
  }
  func remove() { host?.remove(name) }
}
