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
    /// Pages in what is shown that are taken away for a time.
    private var hidden: Set<Int> = []

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

    /// Takes one page of what is shown away: something else of the guest's is seen there. Accesses fault.
    public func hide(at address: Int) {
      unmap(at: address, count: 4096)
      hidden.insert(address)
    }

    /// Shows a hidden page again, to be read and written.
    /// - Returns: false when the host refuses.
    public func show(_ memory: HostMemory, offset: Int, at address: Int) -> Bool {
      hidden.remove(address)
      return map(memory, offset: offset, at: address, count: 4096)
    }

    /// Lets shown pages be written, or only read; hidden ones stay hidden.
    /// - Returns: false when the host refuses, as it does when a process has too many mappings.
    public func setWritable(_ writable: Bool, at address: Int, count: Int = 4096) -> Bool {
      let access = writable ? PROT_READ | PROT_WRITE : PROT_READ
      if hidden.isEmpty { return mprotect(base + address, count, access) == 0 }
      var start = address
      for stop in hidden.sorted() where stop >= address && stop < address + count {
        if stop > start, mprotect(base + start, stop - start, access) != 0 { return false }
        start = stop + 4096
      }
      let end = address + count
      return start >= end || mprotect(base + start, end - start, access) == 0
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
    public func hide(at address: Int) {}
    public func show(_ memory: HostMemory, offset: Int, at address: Int) -> Bool { false }
    public func setWritable(_ writable: Bool, at address: Int, count: Int = 4096) -> Bool { false }
  }
#endif
