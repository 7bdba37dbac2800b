// Video memory: its bytes, and which of its pages were written.
//
// Owns: the bytes, marks of pages, the numbers by which those who look tell what is new to them. Must not know: what the bytes show,
// who writes. Nothing of the marks is the guest's.

import Host
import State

/// The memory of an adapter. Its size is a power of two.
final class VideoMemory {
  static let pageSize = 4096
  /// Bytes.
  let size: Int
  let base: UnsafeMutableRawPointer
  /// For each page FFh once it was written, until `collect`.
  let written: UnsafeMutablePointer<UInt8>
  /// For each page the number of the last `collect` that found it written.
  private let serials: UnsafeMutablePointer<UInt64>
  /// The number of the last `collect` that found anything.
  private(set) var serial: UInt64 = 1
  /// The number from which on everything counts as written.
  private var allSerial: UInt64 = 1
  private let pages: Int
  private let region: HostMemory?

  init(size: Int) {
    precondition(size >= 0x40000 && size & (size - 1) == 0)
    self.size = size
    pages = size / VideoMemory.pageSize
    // A few bytes more, so that an access may begin with the last one. Untouched memory costs nothing.
    region = try? HostMemory(count: size + VideoMemory.pageSize)
    if let region {
      base = region.base
    } else {
      base = .allocate(byteCount: size + VideoMemory.pageSize, alignment: VideoMemory.pageSize)
      base.initializeMemory(as: UInt8.self, repeating: 0, count: size + VideoMemory.pageSize)
    }
    written = .allocate(capacity: pages)
    written.initialize(repeating: 0, count: pages)
    serials = .allocate(capacity: pages)
    serials.initialize(repeating: 0, count: pages)
  }

  deinit {
    if region == nil { base.deallocate() }
    written.deallocate()
    serials.deallocate()
  }

  /// Says that bytes were or will be written; the range wraps at the end.
  @inline(__always)
  func note(_ first: Int, _ count: Int) {
    if count <= 0 { return }
    if count >= size { return written.update(repeating: 0xFF, count: pages) }
    let from = first & (size - 1)
    let to = from + count - 1
    for page in from / VideoMemory.pageSize...min(to, size - 1) / VideoMemory.pageSize {
      written[page] = 0xFF
    }
    if to >= size {
      for page in 0...(to - size) / VideoMemory.pageSize { written[page] = 0xFF }
    }
  }

  /// Everything may look otherwise, whether memory was written or not.
  func noteAll() {
    serial &+= 1
    allSerial = serial
  }

  func clear() {
    if let region {
      region.discard()
    } else {
      base.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    }
    written.update(repeating: 0, count: pages)
    serials.update(repeating: 0, count: pages)
    noteAll()
  }

  /// Whether any page of a range was written since the last `collect`; the range wraps at the end.
  func isWritten(_ first: Int, _ count: Int) -> Bool {
    var found = false
    forEachPage(first, count) { found = found || written[$0] != 0 }
    return found
  }

  /// Numbers what was written.
  /// - Returns: whether there was anything.
  func collect() -> Bool {
    let words = UnsafeMutableRawPointer(written)
    var isFirst = true
    for n in stride(from: 0, to: pages, by: 8)
    where words.loadUnaligned(fromByteOffset: n, as: UInt64.self) != 0 {
      if isFirst { serial &+= 1 }
      isFirst = false
      for page in n..<n + 8 where written[page] != 0 {
        serials[page] = serial
        written[page] = 0
      }
    }
    return !isFirst
  }

  /// Whether a `collect` after the one of a number found any page of a range written; the range wraps at the end.
  @inline(__always)
  func changed(_ first: Int, _ count: Int, since: UInt64) -> Bool {
    if allSerial > since { return true }
    var found = false
    forEachPage(first, count) { found = found || serials[$0] > since }
    return found
  }

  @inline(__always)
  private func forEachPage(_ first: Int, _ count: Int, _ body: (Int) -> Void) {
    if count <= 0 { return }
    let from = first & (size - 1)
    let to = from + min(count, size) - 1
    for page in from / VideoMemory.pageSize...min(to, size - 1) / VideoMemory.pageSize {
      body(page)
    }
    if to >= size { for page in 0...(to - size) / VideoMemory.pageSize { body(page) } }
  }

  // MARK: State

  /// Only what is not zero takes room, and only what was ever written is looked at.
  func save(to writer: inout StateWriter) {
    var used: [UInt8] = []
    used.reserveCapacity(pages)
    for page in 0..<pages {
      let isTouched = written[page] != 0 || serials[page] != 0
      used.append(!isTouched || isZero(page) ? 0 : 1)
    }
    writer.write(bytes: used)
    for page in 0..<pages where used[page] != 0 {
      writer.write(
        raw: UnsafeRawBufferPointer(
          start: base + page * VideoMemory.pageSize, count: VideoMemory.pageSize))
    }
  }

  func restore(from reader: inout StateReader) throws(StateError) {
    let used = try reader.readBytes(count: pages)
    clear()
    for page in 0..<pages where used[page] != 0 {
      let bytes = try reader.readBytes(count: VideoMemory.pageSize)
      bytes.withUnsafeBytes {
        (base + page * VideoMemory.pageSize).copyMemory(
          from: $0.baseAddress!, byteCount: VideoMemory.pageSize)
      }
      written[page] = 0xFF
    }
  }

  /// What states had before there were other sizes.
  func restorePlain(from reader: inout StateReader) throws(StateError) {
    let bytes = try reader.readBytes(count: size)
    bytes.withUnsafeBytes { base.copyMemory(from: $0.baseAddress!, byteCount: size) }
    note(0, size)
  }

  private func isZero(_ page: Int) -> Bool {
    let bytes = base + page * VideoMemory.pageSize
    for offset in stride(from: 0, to: VideoMemory.pageSize, by: 64) {
      var any: UInt64 = 0
      for word in stride(from: offset, to: offset + 64, by: 8) {
        any |= bytes.load(fromByteOffset: word, as: UInt64.self)
      }
      if any != 0 { return false }
    }
    return true
  }
}
