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
  }

  deinit { munmap(base, count) }

  /// Gives the contents back: the region reads as zeros again and costs no memory until touched.
  public func discard() {
    #if canImport(Darwin)
      memset(base, 0, count)
    #else
      if madvise(base, count, MADV_DONTNEED) != 0 { memset(base, 0, count) }
    #endif
  }
}
