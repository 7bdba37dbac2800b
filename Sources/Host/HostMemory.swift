// Anonymous memory from the host: demand-zero, so that untouched guest memory costs nothing.
//
// Owns: mapping and unmapping. Must not know: what the memory is for.

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
  public init(_ reason: String) { self.reason = reason }
  public var description: String { reason }
}

/// A page-aligned, zero-filled region of host memory that lives as long as this object.
public final class HostMemory {
  /// The first byte; page-aligned.
  public let base: UnsafeMutableRawPointer
  /// The length in bytes.
  public let count: Int
  /// The memory file behind a region that can be mapped a second time, or -1.
  let file: Int32

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

  deinit {
    munmap(base, count)
    if file >= 0 { close(file) }
  }

  /// Calls `body` with ascending ranges of bytes outside of which all are zeros and were never touched; where the host does not tell,
  /// that is the whole region. Asking touches nothing.
  public func forEachUsedRange(_ body: (Range<Int>) -> Void) {
    #if os(Linux)
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

  /// Gives the contents back: the region reads as zeros again and costs no memory until touched.
  public func discard() {
    #if canImport(Darwin)
      // New pages in the place of the old ones.
      let flags = MAP_PRIVATE | MAP_ANON | MAP_NORESERVE | MAP_FIXED
      if mmap(base, count, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED {
        memset(base, 0, count)
      }
    #else
      if file >= 0 {
        // A hole in the file: FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE.
        if fallocate(file, 3, 0, count) != 0 { memset(base, 0, count) }
        return
      }
      if madvise(base, count, MADV_DONTNEED) != 0 { memset(base, 0, count) }
    #endif
  }
}
