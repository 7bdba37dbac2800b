// The guest's address space as one range of the host's.
//
// Owns: 4 GiB of reserved addresses, what is mapped there, and which pages of it can be written. Everything else in the range faults.
// Must not know: what the memory means. x86-64 Linux with FSGSBASE; elsewhere there is none.

#if os(Linux) && canImport(Glibc)
  import Glibc

  /// A 4 GiB window in which shared regions appear a second time.
  public final class MemoryWindow {
    /// Where guest address 0 is.
    public let base: UnsafeMutableRawPointer
    private static let size = (1 << 32) + 0x10000

    /// Whether this host lets programs set the base of GS.
    public static let isSupported: Bool = {
      #if arch(x86_64)
        // The auxiliary vector: pairs of words; AT_HWCAP2 is 26, HWCAP2_FSGSBASE bit 1.
        guard let file = fopen("/proc/self/auxv", "r") else { return false }
        defer { fclose(file) }
        var pair: (UInt, UInt) = (0, 0)
        while fread(&pair, 16, 1, file) == 1 {
          if pair.0 == 26 { return pair.1 & 2 != 0 }
        }
        return false
      #else
        return false
      #endif
    }()

    public init() throws(HostError) {
      guard MemoryWindow.isSupported else { throw HostError("the host has no FSGSBASE") }
      let address = mmap(
        nil, MemoryWindow.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
      guard let address, address != MAP_FAILED else {
        throw HostError("no 4 GiB of addresses: \(String(cString: strerror(errno)))")
      }
      base = address
    }

    deinit { munmap(base, MemoryWindow.size) }

    /// Shows part of a shareable region.
    /// - Parameters: all multiples of 4096, within the region and the window.
    /// - Returns: false when the host refuses.
    public func map(_ memory: HostMemory, offset: Int, at address: Int, count: Int) -> Bool {
      guard memory.file >= 0, offset >= 0, offset + count <= memory.count, address >= 0,
        address + count <= 1 << 32, count > 0
      else { return false }
      let result = mmap(
        base + address, count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
        memory.file, off_t(offset))
      return result != MAP_FAILED
    }

    /// Takes away what is shown; accesses fault again.
    public func unmap(at address: Int, count: Int) {
      _ = mmap(
        base + address, count, PROT_NONE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0)
    }

    /// Lets a shown page be written, or only read.
    /// - Returns: false when the host refuses, as it does when a process has too many mappings.
    public func setWritable(_ writable: Bool, at address: Int, count: Int = 4096) -> Bool {
      mprotect(base + address, count, writable ? PROT_READ | PROT_WRITE : PROT_READ) == 0
    }
  }
#else
  /// There is no window on this host.
  public final class MemoryWindow {
    public let base = UnsafeMutableRawPointer(bitPattern: 1)!
    public static var isSupported: Bool { false }
    public init() throws(HostError) { throw HostError("no memory window on this host") }
    public func map(_ memory: HostMemory, offset: Int, at address: Int, count: Int) -> Bool {
      false
    }
    public func unmap(at address: Int, count: Int) {}
    public func setWritable(_ writable: Bool, at address: Int, count: Int = 4096) -> Bool { false }
  }
#endif
