// The file allocation table.
//
// Owns: its entries, read and written through a bounded cache; both copies; which clusters are free. Must not know: directories.
// After: Microsoft FAT specification 1.03, "FAT Data Structure".

/// The entries of a FAT.
final class FATTable {
  private let store: any ByteStore
  private let layout: FATLayout
  private struct Page {
    var bytes: [UInt8]
    /// Sectors that differ from the disk's.
    var dirty: Set<Int> = []
    var used: UInt64
  }
  /// A multiple of every sector's size, and of three: no entry of 12 bits lies across pages.
  private let pageSize: Int
  private var pages: [UInt64: Page] = [:]
  private var clock: UInt64 = 0
  private static let mostPages = 64
  /// The number of free clusters; nil: nobody has counted.
  private(set) var freeCount: UInt32?
  private var nextFree: UInt32 = 2

  init(_ store: any ByteStore, _ layout: FATLayout) {
    self.store = store
    self.layout = layout
    pageSize = 3 * 4096 * 4
  }

  /// Where entries are read from.
  private var firstOffset: UInt64 {
    layout.fatOffset + UInt64(layout.activeFAT ?? 0) * layout.fatByteCount
  }

  private func load(_ number: UInt64) throws(StorageError) {
    clock += 1
    if pages[number] != nil {
      pages[number]!.used = clock
      return
    }
    if pages.count >= FATTable.mostPages {
      // Changed pages stay until they are written in their turn.
      let clean = pages.filter { $0.value.dirty.isEmpty }
      if let oldest = clean.min(by: { $0.value.used < $1.value.used }) {
        pages[oldest.key] = nil
      } else {
        try flush()
        pages = [:]
      }
    }
    let start = number * UInt64(pageSize)
    let count = Int(min(UInt64(pageSize), layout.fatByteCount - start))
    pages[number] = Page(
      bytes: try store.bytes(at: firstOffset + start, count: count), used: clock)
  }

  /// What an entry says: 0 free, the next cluster, or the end.
  func entry(_ cluster: UInt32) throws(StorageError) -> UInt32 {
    let (page, at, isOdd) = place(cluster)
    try load(page)
    let bytes = pages[page]!.bytes
    switch layout.kind {
    case .fat12:
      let word = UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8
      return isOdd ? word >> 4 : word & 0xFFF
    case .fat16: return UInt32(little16(bytes, at))
    case .fat32: return little32(bytes, at) & 0x0FFF_FFFF
    }
  }

  private func place(_ cluster: UInt32) -> (page: UInt64, at: Int, isOdd: Bool) {
    let offset: UInt64 =
      switch layout.kind {
      case .fat12: UInt64(cluster) * 3 / 2
      case .fat16: UInt64(cluster) * 2
      case .fat32: UInt64(cluster) * 4
      }
    let size = UInt64(pageSize)
    return (offset / size, Int(offset % size), cluster & 1 == 1)
  }

  /// Changes an entry in memory; `flush` writes it.
  func set(_ cluster: UInt32, _ value: UInt32) throws(StorageError) {
    let old = try entry(cluster)
    let (page, at, isOdd) = place(cluster)
    if let count = freeCount {
      if old == 0 && value != 0 { freeCount = count - 1 }
      if old != 0 && value == 0 { freeCount = count + 1 }
    }
    var bytes: [UInt8]
    switch layout.kind {
    case .fat12:
      let first = pages[page]!.bytes[at]
      let second = pages[page]!.bytes[at + 1]
      bytes =
        isOdd
        ? [first & 0x0F | UInt8(value << 4 & 0xF0), UInt8(value >> 4 & 0xFF)]
        : [UInt8(value & 0xFF), second & 0xF0 | UInt8(value >> 8 & 0x0F)]
    case .fat16: bytes = [UInt8(value & 0xFF), UInt8(value >> 8 & 0xFF)]
    case .fat32:
      // The upper four bits are not the entry's.
      let kept = UInt32(pages[page]!.bytes[at + 3] & 0xF0) << 24
      let word = value & 0x0FFF_FFFF | kept
      bytes = (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
    }
    for (n, byte) in bytes.enumerated() {
      pages[page]!.bytes[at + n] = byte
      pages[page]!.dirty.insert((at + n) / layout.bytesPerSector)
    }
  }

  /// Writes what was changed, to all copies, and waits until it is on stable storage.
  func flush() throws(StorageError) {
    let size = layout.bytesPerSector
    var isChanged = false
    for number in pages.keys.sorted() {
      let page = pages[number]!
      if page.dirty.isEmpty { continue }
      isChanged = true
      var runs: [Range<Int>] = []
      for sector in page.dirty.sorted() {
        if let last = runs.last, last.upperBound == sector {
          runs[runs.count - 1] = last.lowerBound..<sector + 1
        } else {
          runs.append(sector..<sector + 1)
        }
      }
      for run in runs {
        let bytes = Array(
          page.bytes[run.lowerBound * size..<min(run.upperBound * size, page.bytes.count)])
        let offset = number * UInt64(pageSize) + UInt64(run.lowerBound * size)
        for copy in 0..<layout.fatCount where layout.activeFAT == nil || layout.activeFAT == copy {
          try store.write(
            at: layout.fatOffset + UInt64(copy) * layout.fatByteCount + offset, bytes)
        }
      }
      pages[number]!.dirty = []
    }
    if isChanged { try store.flush() }
  }

  // MARK: Free clusters

  /// Counts the free clusters.
  func countFree() throws(StorageError) -> UInt32 {
    if let freeCount { return freeCount }
    var count: UInt32 = 0
    for cluster in 2..<layout.clusterCount + 2 where try entry(cluster) == 0 { count += 1 }
    freeCount = count
    return count
  }

  /// A free cluster at or behind a hint, wherever there is one; it is not taken yet.
  func free(from hint: UInt32, excluding taken: Set<UInt32> = []) throws(StorageError) -> UInt32? {
    let count = layout.clusterCount
    let start = layout.isCluster(hint) ? hint - 2 : 0
    for step in 0..<count {
      let cluster = (start + step) % count + 2
      if try entry(cluster) == 0 && !taken.contains(cluster) { return cluster }
    }
    return nil
  }

  /// Takes free clusters and links them; the chain is nobody's yet.
  func allocate(_ count: UInt32, name: String) throws(StorageError) -> [UInt32] {
    guard try countFree() >= count else {
      throw StorageError(
        path: name,
        reason: "the file system is full: \(UInt64(count) * UInt64(layout.clusterSize)) bytes are "
          + "wanted and \(UInt64(try countFree()) * UInt64(layout.clusterSize)) free")
    }
    var chain: [UInt32] = []
    chain.reserveCapacity(Int(count))
    var hint = nextFree
    while chain.count < Int(count) {
      guard let cluster = try free(from: hint) else {
        throw StorageError(path: name, reason: "the file system is full")
      }
      try set(cluster, layout.kind.last)
      if let last = chain.last { try set(last, cluster) }
      chain.append(cluster)
      hint = cluster + 1
    }
    nextFree = hint
    return chain
  }

  /// Where the search begins.
  func startSearching(at cluster: UInt32) { if layout.isCluster(cluster) { nextFree = cluster } }
  var searchStart: UInt32 { nextFree }

  /// Gives a chain back.
  func release(_ chain: [UInt32]) throws(StorageError) {
    for cluster in chain { try set(cluster, 0) }
    if let first = chain.min(), first < nextFree { nextFree = first }
  }
}
