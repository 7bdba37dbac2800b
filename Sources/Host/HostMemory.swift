// Memory from the host: demand-zero, so that untouched guest memory costs nothing, or a private copy of a file's bytes.
//
// Owns: mapping and unmapping. Must not know: what the memory is for.

import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The host refused a request.
public struct HostError: Error, CustomStringConvertible {
  public var reason: String
  /// Nothing came in the time that was given; what is asked again may bring it.
  public var isSilence = false
  public init(_ reason: String) { self.reason = reason }
  public var description: String { reason }

  /// Runs something that hands out a pointer, whose closure could not throw this error by itself.
  public static func passing<Value>(_ body: (inout HostError?) -> Value) throws(HostError) -> Value
  {
    var failure: HostError?
    let value = body(&failure)
    if let failure { throw failure }
    return value
  }
}

/// A page-aligned, zero-filled region of host memory that lives as long as this object.
public final class HostMemory {
  /// The first byte; page-aligned.
  public let base: UnsafeMutableRawPointer
  /// The length in bytes.
  public let count: Int
  /// The memory file behind a region that can be mapped a second time, or -1.
  let file: Int32
  /// What the region is a private copy of, or nil.
  private var source: MemorySource?

  /// How many regions there are that a copy of this process would share with it.
  private static let shared = Atomic<Int>(0)
  static var sharedRegions: Int { shared.load(ordering: .relaxed) }

  /// - Parameter count: bytes, more than 0; rounded up to whole pages by the host.
  /// - Throws: `HostError` when the host has no such region.
  public init(count: Int) throws(HostError) {
    #if canImport(Darwin)
      let flags = MAP_PRIVATE | MAP_ANON | MAP_NORESERVE
    #else
      let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    #endif
    let address = mmap(nil, count, PROT_READ | PROT_WRITE, flags, -1, 0)
    guard let address, address != MAP_FAILED else {
      throw HostError(
        "the host has no \(count) bytes of memory to map: \(String(cString: strerror(errno)))")
    }
    base = address
    self.count = count
    file = -1
  }

  /// A region that a `MemoryWindow` can show too, where the host has such; else an ordinary one.
  public init(shareableCount count: Int) throws(HostError) {
    #if os(Linux)
      let file = memfd_create("apus-memory", UInt32(MFD_CLOEXEC))
      if file >= 0 {
        if ftruncate(file, count) == 0,
          let address = mmap(
            nil, count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0),
          address != MAP_FAILED
        {
          base = address
          self.count = count
          self.file = file
          HostMemory.shared.add(1, ordering: .relaxed)
          return
        }
        close(file)
      }
    #endif
    #if canImport(Darwin)
      let flags = MAP_PRIVATE | MAP_ANON | MAP_NORESERVE
    #else
      let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    #endif
    let address = mmap(nil, count, PROT_READ | PROT_WRITE, flags, -1, 0)
    guard let address, address != MAP_FAILED else {
      throw HostError(
        "the host has no \(count) bytes of memory to map: \(String(cString: strerror(errno)))")
    }
    base = address
    self.count = count
    self.file = -1
  }

  /// A region that begins with what a file holds, or one that can be shared.
  /// - Throws: `HostError` when the file has another number of bytes, or the host refuses.
  public convenience init(shareableCount count: Int, from source: MemorySource?) throws(HostError) {
    guard let source else {
      try self.init(shareableCount: count)
      return
    }
    if source.count != count {
      throw HostError(
        "\(source.path): has \(source.count) bytes of memory for a machine of \(count)")
    }
    try self.init(privateCopyOf: source)
  }

  /// A region that begins with what a file holds. What is written to it is its own; the file is only read.
  /// - Throws: `HostError` when the host cannot map it.
  public init(privateCopyOf source: MemorySource) throws(HostError) {
    let address = mmap(
      nil, source.count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, source.descriptor,
      off_t(source.offset))
    guard let address, address != MAP_FAILED else {
      throw HostError("\(source.path): cannot be mapped: \(String(cString: strerror(errno)))")
    }
    base = address
    count = source.count
    file = -1
    self.source = source
    MappedFiles.add(address, count, source.path)
  }

  deinit {
    if source != nil { MappedFiles.remove(base) }
    munmap(base, count)
    if file >= 0 {
      close(file)
      HostMemory.shared.subtract(1, ordering: .relaxed)
    }
  }

  /// Makes a private copy what its file holds again.
  /// - Returns: false where it is none.
  public func revert() -> Bool {
    source != nil && madvise(base, count, MADV_DONTNEED) == 0
  }

  /// Calls `body` with ascending ranges of bytes outside of which all are zeros and were never touched; where the host does not tell,
  /// that is the whole region. Asking touches nothing.
  public func forEachUsedRange(_ body: (Range<Int>) -> Void) {
    #if os(Linux)
      if let source { return forEachUsedRange(of: source, body) }
      if file >= 0 {
        // lseek's SEEK_DATA and SEEK_HOLE.
        var at = 0
        while at < count {
          let start = lseek(file, at, 3)
          if start < 0 {
            // There is no more, or it does not tell.
            if errno != ENXIO { body(at..<count) }
            return
          }
          let end = lseek(file, start, 4)
          if end <= start { return body(Int(start)..<count) }
          body(Int(start)..<min(Int(end), count))
          at = Int(end)
        }
        return
      }
    #endif
    body(0..<count)
  }

  #if os(Linux)
    /// Of a private copy: what the file holds, and pages of its own.
    private func forEachUsedRange(of source: MemorySource, _ body: (Range<Int>) -> Void) {
      let pages = count >> 12
      var used = [Bool](repeating: false, count: pages)
      source.forEachDataRange { range in
        for page in range.lowerBound >> 12..<min((range.upperBound + 0xFFF) >> 12, pages) {
          used[page] = true
        }
      }
      guard addOwnPages(to: &used) else { return body(0..<count) }
      var start: Int?
      for page in 0...pages {
        if page < pages && used[page] {
          start = start ?? page
        } else if let first = start {
          body(first << 12..<page << 12)
          start = nil
        }
      }
    }

    /// Of a page in memory or swapped out (bits 63 and 62 of its word in pagemap) that is no file's (bit 61).
    private func addOwnPages(to used: inout [Bool]) -> Bool {
      let map = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
      if map < 0 { return false }
      defer { close(map) }
      var words = [UInt64](repeating: 0, count: 8192)
      let first = Int(bitPattern: base) >> 12
      var page = 0
      while page < used.count {
        let wanted = min(words.count, used.count - page)
        let got = pread(map, &words, wanted * 8, off_t((first + page) * 8))
        if got != wanted * 8 { return false }
        for n in 0..<wanted where words[n] >> 61 & 1 == 0 && words[n] >> 62 != 0 {
          used[page + n] = true
        }
        page += wanted
      }
      return true
    }
  #endif

  /// Gives the contents back: the region reads as zeros again and costs no memory until touched.
  public func discard() {
    #if canImport(Darwin)
      // New pages in the place of the old ones.
      let flags = MAP_PRIVATE | MAP_ANON | MAP_NORESERVE | MAP_FIXED
      if mmap(base, count, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED {
        memset(base, 0, count)
      }
    #else
      if source != nil {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED
        if mmap(base, count, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED {
          memset(base, 0, count)
        } else {
          MappedFiles.remove(base)
          source = nil
        }
        return
      }
      if file >= 0 {
        // A hole in the file: FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE.
        if fallocate(file, 3, 0, count) != 0 { memset(base, 0, count) }
        return
      }
      if madvise(base, count, MADV_DONTNEED) != 0 { memset(base, 0, count) }
    #endif
  }
}
