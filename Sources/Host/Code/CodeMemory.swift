// Memory for machine code made at run time: one region, mapped twice.
//
// Owns: the two mappings, one that can be written and one that can be executed; never both through one address. Must not know: what
// the code does. Linux uses memfd_create(2); where the host refuses executable memory, construction fails and says so.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A region of executable memory that is written through another mapping.
public final class CodeMemory {
  /// The mapping for writing.
  public let writable: UnsafeMutableRawPointer
  /// The mapping for executing.
  public let executable: UnsafeRawPointer
  /// Bytes.
  public let count: Int

  /// - Parameter count: bytes, a multiple of the host's page size.
  /// - Throws: `HostError` when the host forbids executable memory.
  public init(count: Int) throws(HostError) {
    #if os(Linux)
      let file = memfd_create("apus-code", UInt32(MFD_CLOEXEC))
      guard file >= 0 else {
        throw HostError("no memory file for code: \(String(cString: strerror(errno)))")
      }
      defer { close(file) }
      guard ftruncate(file, count) == 0 else {
        let reason =
          errno == EFBIG
          ? "the limit of a file's size (ulimit -f) counts for them too"
          : String(cString: strerror(errno))
        throw HostError("no \(count) bytes for code: \(reason)")
      }
      let w = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
      guard let w, w != MAP_FAILED else {
        throw HostError("cannot map memory for code: \(String(cString: strerror(errno)))")
      }
      let x = mmap(nil, count, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0)
      guard let x, x != MAP_FAILED else {
        let reason = String(cString: strerror(errno))
        munmap(w, count)
        throw HostError("the host forbids executable memory: \(reason)")
      }
      writable = w
      executable = UnsafeRawPointer(x)
      self.count = count
      CodeCopies.add(w, executable, count)
    #else
      throw HostError("no executable memory on this host")
    #endif
  }

  deinit {
    CodeCopies.remove(writable)
    munmap(writable, count)
    munmap(UnsafeMutableRawPointer(mutating: executable), count)
  }
}
