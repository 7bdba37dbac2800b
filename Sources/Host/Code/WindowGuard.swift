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
    private struct Place: ~Copyable {
      /// 0 while the place is free. It is the last that is set and the first that is cleared: a handler on another thread may look
      /// at any time.
      let size = Atomic<UInt>(0)
      var base: UInt = 0
      /// A byte for each page: 1 while it is protected for this purpose alone.
      var guarded: UnsafeMutablePointer<UInt8>
      /// A byte for each page that is set to FFh at its first write.
      var dirty: UnsafeMutablePointer<UInt8>
      var faults = 0
    }

    private static let maximum = 256
    /// Never freed, since a handler may look at any of them.
    private nonisolated(unsafe) static let places: UnsafeMutablePointer<Place> = {
      let none = UnsafeMutablePointer<UInt8>(bitPattern: 8)!
      let p = UnsafeMutablePointer<Place>.allocate(capacity: maximum)
      for n in 0..<maximum { (p + n).initialize(to: Place(guarded: none, dirty: none)) }
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
        for n in 0..<WindowGuard.maximum
        where WindowGuard.places[n].size.load(ordering: .relaxed) == 0 {
          let guarded = UnsafeMutablePointer<UInt8>.allocate(capacity: pages)
          guarded.initialize(repeating: 0, count: pages)
          WindowGuard.places[n].base = UInt(bitPattern: window.base)
          WindowGuard.places[n].guarded = guarded
          WindowGuard.places[n].dirty = dirty
          WindowGuard.places[n].faults = 0
          WindowGuard.places[n].size.store(UInt(pages) << 12, ordering: .releasing)
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
        place.pointee.size.store(0, ordering: .sequentiallyConsistent)
        place.pointee.guarded.deallocate()
      }
    }

    /// Protects a range of pages; those that `isFree` refuses keep their protection as it is.
    public func protect(_ range: Range<Int>, where isFree: (Int) -> Bool) {
      let range = range.clamped(to: 0..<pages)
      if range.isEmpty { return }
      place.pointee.faults = 0
      for page in range { place.pointee.guarded[page] = isFree(page) ? 1 : 0 }
      if !window.setWritable(false, at: range.lowerBound << 12, count: range.count << 12) {
        giveUp(range)
      }
    }

    /// Pages that are guarded count as written from now on; their writes are not noticed any more.
    public func giveUp(_ range: Range<Int>) {
      for page in range.clamped(to: 0..<pages) where place.pointee.guarded[page] != 0 {
        place.pointee.guarded[page] = 0
        place.pointee.dirty[page] = 0xFF
      }
    }

    /// Somebody else decides about a page's protection from now on.
    public func release(_ page: Int) {
      if page < pages { place.pointee.guarded[page] = 0 }
    }

    /// For the fault handler: whether it was such a write, which can be repeated now.
    static func handle(_ address: UInt) -> Bool {
      for n in 0..<maximum {
        let place = places + n
        let size = place.pointee.size.load(ordering: .acquiring)
        let offset = address &- place.pointee.base
        if offset >= size { continue }
        let page = Int(offset >> 12)
        if place.pointee.guarded[page] == 0 { return false }
        let saved = errno
        defer { errno = saved }
        place.pointee.faults &+= 1
        let piece = place.pointee.faults < 512 ? 1 : place.pointee.faults < 2048 ? 16 : 256
        let first = page & ~(piece &- 1)
        let end = min(first &+ piece, Int(size >> 12))
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
    public func giveUp(_ range: Range<Int>) {}
    static func handle(_ address: UInt) -> Bool { false }
  }
#endif
