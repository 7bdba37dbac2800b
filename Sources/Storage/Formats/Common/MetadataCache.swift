// A table in a file, read when it is needed and written when that is safe.
//
// Owns: the pages of the table that are in memory, which of them differ from the file, and how many there may be. Must not know: what the
// numbers mean, and when it is safe: whoever owns the cache writes it back between two flushes.

/// A bounded number of pages of a part of a file.
///
/// A page that was changed stays until it is written back. Who changes many writes back in between (`isFull`).
final class MetadataCache {
  private final class Page {
    let number: UInt64
    let bytes: UnsafeMutableRawBufferPointer
    /// What differs from the file.
    var dirty: Range<Int>?
    /// What of it is held (`hold`), as it was then, and from where on.
    var held: (at: Int, bytes: [UInt8])?
    var wasUsed = true

    init(_ number: UInt64, _ size: Int) {
      self.number = number
      bytes = .allocate(byteCount: size, alignment: 16)
      bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { bytes.deallocate() }
  }

  private var store: any ByteStore
  /// Where the part begins and ends in the file.
  private(set) var start: UInt64
  private(set) var end: UInt64
  let pageSize: Int
  private let pageBits: UInt64
  private let capacity: Int
  private var pages: [UInt64: Page] = [:]
  /// All pages, for the clock that finds one to drop.
  private var ring: [Page] = []
  private var hand = 0
  private var last: Page?
  private(set) var dirtyCount = 0
  private var heldPages: [Page] = []

  /// - Parameters:
  ///   - start, end: offsets in the file; what is behind the file's end reads as zeros.
  ///   - pageSize: bytes in a page, a power of two; pages are counted from `start`.
  ///   - byteLimit: so much is kept at most, beyond what is dirty.
  init(
    _ store: any ByteStore, start: UInt64, end: UInt64, pageSize: Int = 4096,
    byteLimit: Int = 1 << 20
  ) {
    self.store = store
    self.start = start
    self.end = end
    self.pageSize = pageSize
    pageBits = UInt64(pageSize.trailingZeroBitCount)
    capacity = max(8, byteLimit / pageSize)
  }

  var isDirty: Bool { dirtyCount > 0 }
  /// Half of what is kept waits for being written back.
  var isFull: Bool { dirtyCount > capacity / 2 }

  /// Uses another store that holds the same.
  func use(_ store: any ByteStore) { self.store = store }

  /// Forgets all pages and looks at another part of the file.
  func move(start: UInt64, end: UInt64) {
    (self.start, self.end) = (start, end)
    forget()
  }

  /// Forgets everything, also what was changed.
  func forget() {
    pages = [:]
    ring = []
    last = nil
    dirtyCount = 0
    heldPages = []
  }

  // MARK: Bytes

  /// A number as its bytes are in the file, `offset` bytes from the file's beginning; it does not cross pages.
  @inline(__always)
  func load<Number: FixedWidthInteger>(_ offset: UInt64, as: Number.Type) throws(StorageError)
    -> Number
  {
    let (page, at) = try page(offset)
    return page.bytes.loadUnaligned(fromByteOffset: at, as: Number.self)
  }

  /// Changes a number.
  @inline(__always)
  func put<Number: FixedWidthInteger>(_ offset: UInt64, _ value: Number) throws(StorageError) {
    let (page, at) = try page(offset)
    page.bytes.storeBytes(of: value, toByteOffset: at, as: Number.self)
    mark(page, at..<at + MemoryLayout<Number>.size)
  }

  /// The rest of a page from an offset on, for looking at it.
  func rest(of offset: UInt64) throws(StorageError) -> UnsafeRawBufferPointer {
    let (page, at) = try page(offset)
    return UnsafeRawBufferPointer(rebasing: page.bytes[at...])
  }

  /// Changes bytes that do not cross pages.
  func change(_ offset: UInt64, count: Int, _ body: (UnsafeMutableRawBufferPointer) -> Void)
    throws(StorageError)
  {
    let (page, at) = try page(offset)
    body(UnsafeMutableRawBufferPointer(rebasing: page.bytes[at..<at + count]))
    mark(page, at..<at + count)
  }

  /// Forgets the clean pages of a range of the file, which somebody else wrote.
  func drop(_ range: Range<UInt64>) {
    guard range.lowerBound < end, range.upperBound > start, !pages.isEmpty else { return }
    let first = (max(range.lowerBound, start) - start) / UInt64(pageSize)
    let lastPage = (min(range.upperBound, end) - 1 - start) / UInt64(pageSize)
    let gone = ring.filter {
      $0.number >= first && $0.number <= lastPage && $0.dirty == nil && $0.held == nil
    }
    if gone.isEmpty { return }
    for page in gone { pages[page.number] = nil }
    ring.removeAll { page in gone.contains { $0 === page } }
    hand = 0
    last = nil
  }

  private func mark(_ page: Page, _ range: Range<Int>) {
    guard let known = page.dirty else {
      page.dirty = range
      dirtyCount += 1
      return
    }
    page.dirty =
      min(known.lowerBound, range.lowerBound)..<max(known.upperBound, range.upperBound)
  }

  @inline(__always)
  private func page(_ offset: UInt64) throws(StorageError) -> (Page, Int) {
    let place = offset &- start
    let number = place &>> pageBits
    let at = Int(truncatingIfNeeded: place & (1 &<< pageBits &- 1))
    if let last, last.number == number { return (last, at) }
    return (try find(number), at)
  }

  private func find(_ number: UInt64) throws(StorageError) -> Page {
    if let page = pages[number] {
      page.wasUsed = true
      last = page
      return page
    }
    let place = start + number * UInt64(pageSize)
    guard place < end else {
      throw store.refusal(at: place, "a table ends at \(end), but more of it is asked for")
    }
    let page = Page(number, pageSize)
    let kept = min(end, store.size)
    if place < kept {
      let count = Int(min(UInt64(pageSize), kept - place))
      try store.read(
        at: place, into: UnsafeMutableRawBufferPointer(rebasing: page.bytes[..<count]))
    }
    makeRoom()
    pages[number] = page
    ring.append(page)
    last = page
    return page
  }

  /// Drops a clean page that was not used lately, if there are too many.
  private func makeRoom() {
    guard ring.count >= capacity else { return }
    for _ in 0..<2 * ring.count {
      if hand >= ring.count { hand = 0 }
      let page = ring[hand]
      if page.dirty == nil, page.held == nil, !page.wasUsed {
        pages[page.number] = nil
        ring.swapAt(hand, ring.count - 1)
        ring.removeLast()
        return
      }
      page.wasUsed = false
      hand += 1
    }
  }

  // MARK: Writing back without waiting

  /// What was changed is to be written as it is now, as soon as something else is with the stable storage; further changes are not part of it.
  /// - Parameter wholePages: what is held begins and ends with pages.
  func hold(wholePages: Bool = false) {
    for page in ring {
      guard var range = page.dirty, page.held == nil else { continue }
      if wholePages { range = 0..<pageSize }
      page.held = (range.lowerBound, Array(page.bytes[range]))
      page.dirty = nil
      dirtyCount -= 1
      heldPages.append(page)
    }
    heldPages.sort { $0.number < $1.number }
  }

  var isHolding: Bool { !heldPages.isEmpty }

  /// What is held, ascending.
  var held: [(offset: UInt64, bytes: [UInt8])] {
    heldPages.compactMap { page in
      page.held.map { (start + page.number * UInt64(pageSize) + UInt64($0.at), $0.bytes) }
    }
  }

  /// Writes what is held. What fails stays held.
  func writeHeld(
    also: ((UInt64, UnsafeRawBufferPointer) throws(StorageError) -> Void)? = nil
  ) throws(StorageError) {
    while let page = heldPages.last {
      if let held = page.held {
        let place = start + page.number * UInt64(pageSize) + UInt64(held.at)
        let count = Int(min(UInt64(held.bytes.count), end - place))
        try StorageError.passing { failure in
          held.bytes.withUnsafeBytes { bytes in
            let bytes = UnsafeRawBufferPointer(rebasing: bytes[..<count])
            do throws(StorageError) {
              try store.write(at: place, from: bytes)
              if let also { try also(place, bytes) }
            } catch { failure = error }
          }
        }
      }
      page.held = nil
      heldPages.removeLast()
    }
  }

  /// What is held is as if it had only been changed.
  func letGo() {
    for page in heldPages {
      if let held = page.held { mark(page, held.at..<held.at + held.bytes.count) }
      page.held = nil
    }
    heldPages = []
  }

  // MARK: Writing back

  /// The offsets in the file of the pages that were changed, ascending.
  var dirtyPages: [UInt64] {
    ring.filter { $0.dirty != nil }.map { start + $0.number * UInt64(pageSize) }.sorted()
  }

  /// The contents of a page.
  func contents(ofPage offset: UInt64) throws(StorageError) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(try page(offset).0.bytes)
  }

  /// Writes what was changed, in the order of the file. A page whose write fails stays changed.
  /// - Parameter also: writes the same bytes elsewhere (a copy of the table), by the offset in the file.
  func writeBack(
    also: ((UInt64, UnsafeRawBufferPointer) throws(StorageError) -> Void)? = nil
  ) throws(StorageError) {
    if dirtyCount == 0 { return }
    for page in ring.filter({ $0.dirty != nil }).sorted(by: { $0.number < $1.number }) {
      guard let range = page.dirty else { continue }
      let place = start + page.number * UInt64(pageSize)
      let count = Int(min(UInt64(range.upperBound), end - place))
      let bytes = UnsafeRawBufferPointer(rebasing: page.bytes[range.lowerBound..<count])
      try store.write(at: place + UInt64(range.lowerBound), from: bytes)
      if let also { try also(place + UInt64(range.lowerBound), bytes) }
      page.dirty = nil
      dirtyCount -= 1
    }
  }
}
