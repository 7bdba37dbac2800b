// Regions of code in processes that came from one by fork(2).
//
// Owns: the list of regions, and what happens at the first write to a part of one that several processes have: the part becomes this
// process's own. Must not know: what the code does. Nothing that the fault handler calls allocates or takes a lock.
// Follows: fork(2), mmap(2). Addresses stay, so code that was translated before the fork is used by all of them.

#if os(Linux) && canImport(Glibc)
  import Glibc
  import Synchronization

  /// Copies of parts of code memory, made when they are written.
  enum CodeCopies {
    private struct Place: ~Copyable {
      /// 0 while the place is free. It is the last that is set and the first that is cleared.
      let size = Atomic<UInt>(0)
      var writable: UInt = 0
      var executable: UInt = 0
      /// What this process's parts are in; -1: all of the region is its own.
      var file: Int32 = -1
    }
    private static let most = 1024
    private static let part: UInt = 1 << 16
    /// Never freed, since a handler may look at any of them.
    private nonisolated(unsafe) static let places: UnsafeMutablePointer<Place> = {
      let places = UnsafeMutablePointer<Place>.allocate(capacity: most)
      for n in 0..<most { (places + n).initialize(to: Place()) }
      return places
    }()
    private static let lock = Mutex(())

    static func add(
      _ writable: UnsafeMutableRawPointer, _ executable: UnsafeRawPointer, _ count: Int
    ) {
      lock.withLock { _ in
        for n in 0..<most where places[n].size.load(ordering: .relaxed) == 0 {
          places[n].writable = UInt(bitPattern: writable)
          places[n].executable = UInt(bitPattern: executable)
          places[n].file = -1
          places[n].size.store(UInt(count), ordering: .releasing)
          return
        }
      }
    }

    static func remove(_ writable: UnsafeMutableRawPointer) {
      lock.withLock { _ in
        for n in 0..<most
        where places[n].size.load(ordering: .relaxed) != 0
          && places[n].writable == UInt(bitPattern: writable)
        {
          places[n].size.store(0, ordering: .sequentiallyConsistent)
          if places[n].file >= 0 { close(places[n].file) }
          return
        }
      }
    }

    /// In a child: what is written to any region from here on is its own.
    static func separate() throws(HostError) {
      CodeFaults.prepare()
      for n in 0..<most {
        let size = places[n].size.load(ordering: .relaxed)
        if size == 0 { continue }
        let file = memfd_create("apus-code", UInt32(MFD_CLOEXEC))
        guard file >= 0, ftruncate(file, off_t(size)) == 0,
          mprotect(UnsafeMutableRawPointer(bitPattern: places[n].writable), Int(size), PROT_READ)
            == 0
        else {
          throw HostError("no memory for a copy of code: \(String(cString: strerror(errno)))")
        }
        if places[n].file >= 0 { close(places[n].file) }
        places[n].file = file
      }
    }

    /// For the fault handler: whether it was a write to a part that has become this process's own, so that it can be repeated.
    static func handle(_ address: UInt) -> Bool {
      for n in 0..<most {
        let size = places[n].size.load(ordering: .acquiring)
        let offset = address &- places[n].writable
        if offset >= size { continue }
        let file = places[n].file
        if file < 0 { return false }
        let saved = errno
        defer { errno = saved }
        let start = offset & ~(part &- 1)
        let count = Int(min(part, size &- start))
        let writable = UnsafeMutableRawPointer(bitPattern: places[n].writable &+ start)
        let executable = UnsafeMutableRawPointer(bitPattern: places[n].executable &+ start)
        var done = 0
        while done < count {
          let written = pwrite(
            file, writable.unsafelyUnwrapped + done, count - done, off_t(start) + off_t(done))
          if written <= 0 { return false }
          done += written
        }
        let shared = MAP_SHARED | MAP_FIXED
        return mmap(executable, count, PROT_READ | PROT_EXEC, shared, file, off_t(start))
          != MAP_FAILED
          && mmap(writable, count, PROT_READ | PROT_WRITE, shared, file, off_t(start)) != MAP_FAILED
      }
      return false
    }
  }
#else
  enum CodeCopies {
    static func add(
      _ writable: UnsafeMutableRawPointer, _ executable: UnsafeRawPointer, _ count: Int
    ) {}
    static func remove(_ writable: UnsafeMutableRawPointer) {}
    static func separate() throws(HostError) {}
    static func handle(_ address: UInt) -> Bool { false }
  }
#endif
