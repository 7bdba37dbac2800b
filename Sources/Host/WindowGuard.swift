// First writes to pages of a memory window.
//
// Owns: which pages of a window are write-protected only so that the first write to each is noticed, and what the fault handler does
// then: notes the page, lets it be written, and the instruction runs again. Must not know: who wants to know, what the memory means.
// Nothing that the handler calls allocates or takes a lock. Protection is given up in larger pieces the more faults there are, so
// that a guest that writes everywhere costs few faults; more pages than necessary are noted then.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import Glibc
  import Synchronization

  /// Tells of first writes.
  public final class WindowGuard {
    private struct Place {
      var base: UInt = 0
      var size: UInt = 0
      /// A byte for each page: 1 while it is protected for this purpose alone.
      var guarded: UnsafeMutablePointer<UInt8>
      /// A byte for each page that is set to FFh at its first write.
      var dirty: UnsafeMutablePointer<UInt8>
      var faults = 0
    }

    private static let maximum = 256
    /// Never freed, since a handler may look at any of them; a size of 0 is a free place.
    private nonisolated(unsafe) static let places: UnsafeMutablePointer<Place> = {
      let none = UnsafeMutablePointer<UInt8>(bitPattern: 8)!
      let p = UnsafeMutablePointer<Place>.allocate(capacity: maximum)
      p.initialize(repeating: Place(guarded: none, dirty: none), count: maximum)
      return p
    }()
    private static let lock = Mutex(())
    private let window: MemoryWindow
    private let place: UnsafeMutablePointer<Place>
    private let pages: Int

    /// - Parameters:
    ///   - pages: how many pages from the window's start may be guarded.
    ///   - dirty: a byte for each of them; outlives this.
    /// - Returns: nil when too many windows are guarded.
    public init?(_ window: MemoryWindow, pages: Int, dirty: UnsafeMutablePointer<UInt8>) {
      let found: Int? = WindowGuard.lock.withLock { _ in
        for n in 0..<WindowGuard.maximum where WindowGuard.places[n].size == 0 {
          let guarded = UnsafeMutablePointer<UInt8>.allocate(capacity: pages)
          guarded.initialize(repeating: 0, count: pages)
          WindowGuard.places[n] = Place(
            base: UInt(bitPattern: window.base), size: UInt(pages) << 12, guarded: guarded,
            dirty: dirty)
          return n
        }
        return nil
      }
      guard let found else { return nil }
      CodeFaults.prepare()
      self.window = window
      self.pages = pages
      place = WindowGuard.places + found
    }

    deinit {
      WindowGuard.lock.withLock { _ in
        place.pointee.size = 0
        place.pointee.guarded.deallocate()
      }
    }

    /// Protects a range of pages; those that `isFree` refuses keep their protection as it is.
    public func protect(_ range: Range<Int>, where isFree: (Int) -> Bool) {
      let range = range.clamped(to: 0..<pages)
      if range.isEmpty { return }
      place.pointee.faults = 0
      for page in range { place.pointee.guarded[page] = isFree(page) ? 1 : 0 }
      window.setWritable(false, at: range.lowerBound << 12, count: range.count << 12)
    }

    /// Somebody else decides about a page's protection from now on.
    public func release(_ page: Int) {
      if page < pages { place.pointee.guarded[page] = 0 }
    }

    /// For the fault handler: whether it was such a write, which can be repeated now.
    static func handle(_ address: UInt) -> Bool {
      for n in 0..<maximum {
        let place = places + n
        let offset = address &- place.pointee.base
        if offset >= place.pointee.size { continue }
        let page = Int(offset >> 12)
        if place.pointee.guarded[page] == 0 { return false }
        let saved = errno
        defer { errno = saved }
        place.pointee.faults &+= 1
        let piece = place.pointee.faults < 512 ? 1 : place.pointee.faults < 2048 ? 16 : 256
        let first = page & ~(piece &- 1)
        let end = min(first &+ piece, Int(place.pointee.size >> 12))
        var at = first
        while at < end {
          var next = at
          while next < end, place.pointee.guarded[next] != 0 {
            place.pointee.guarded[next] = 0
            place.pointee.dirty[next] = 0xFF
            next &+= 1
          }
          if next > at {
            let start = UnsafeMutableRawPointer(
              bitPattern: place.pointee.base &+ UInt(at) << 12)
            if mprotect(start, (next &- at) << 12, PROT_READ | PROT_WRITE) != 0 { return false }
          }
          at = next &+ 1
        }
        return true
      }
      return false
    }
  }
#else
  /// There are no windows to guard on this host.
  public final class WindowGuard {
    public init?(_ window: MemoryWindow, pages: Int, dirty: UnsafeMutablePointer<UInt8>) {
      return nil
    }
    public func protect(_ range: Range<Int>, where isFree: (Int) -> Bool) {}
    public func release(_ page: Int) {}
    static func handle(_ address: UInt) -> Bool { false }
  }
#endif
