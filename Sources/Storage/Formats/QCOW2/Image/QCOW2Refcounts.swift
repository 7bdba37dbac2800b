// Which clusters of a QCOW2 file are used, and how often.
//
// Owns: refcount table and blocks, allocation, what will be free once the tables are written. Must not know: what clusters hold.
// After: QEMU, docs/interop/qcow2.txt, "Host cluster management".
//
// A count may be too high in the file, never too low: counts go up before anything refers to the cluster, and down when nothing in the file
// does any more (`giveBack` notes, `free` does it).

/// The refcounts of an image that is written.
final class QCOW2Refcounts {
  private let store: any ByteStore
  private let layout: QCOW2Layout
  private let cache: QCOW2Cache
  /// Offsets of the blocks; 0: there is none, all its counts are 0.
  private(set) var table: [UInt64]
  private(set) var tableOffset: UInt64
  private(set) var tableClusters: Int
  /// Entries that are not in the file yet.
  private var changedEntries: Range<Int>?
  /// No free cluster is below.
  private var hint: UInt64 = 1
  /// Behind the last long run of data; 0: there was none.
  private var dataNext: UInt64 = 0
  /// From here on, clusters hold zeros once the file reaches there.
  private var freshFrom: UInt64
  /// Clusters whose counts go down when the tables are in the file.
  private var leaving: [(first: UInt64, count: UInt64)] = []
  /// Bytes that were allocated since somebody made this 0.
  var newBytes: UInt64 = 0
  /// Called with the table's new place, to write the header.
  var tableMoves: ((_ offset: UInt64, _ clusters: Int) throws(StorageError) -> Void)?
  /// What no allocation may hit whatever the refcounts say.
  var isOffLimits: (Range<UInt64>) -> Bool = { _ in false }

  init(_ store: any ByteStore, _ header: QCOW2Header) throws(StorageError) {
    self.store = store
    layout = header.layout
    tableOffset = header.refcountTableOffset
    tableClusters = header.refcountTableClusters
    cache = QCOW2Cache(
      store, sliceSize: min(layout.clusterSize, 4096), bytes: 2 << 20, writesAnyTime: true)
    table = try QCOW2Refcounts.readTable(store, header)
    freshFrom = layout.clusters(store.size)
  }

  /// The refcount table as it is; what lies behind the file's end is zeros.
  static func readTable(_ store: any ByteStore, _ header: QCOW2Header) throws(StorageError)
    -> [UInt64]
  {
    let whole = header.refcountTableClusters << header.clusterBits / 8
    if header.refcountTableOffset >= store.size { return [UInt64](repeating: 0, count: whole) }
    let there = Int(min(UInt64(whole), (store.size - header.refcountTableOffset) / 8))
    var table = try QCOW2Table.read(store, at: header.refcountTableOffset, count: there)
    table += repeatElement(0, count: whole - there)
    return table
  }

  /// Where the used part of the file ends, in clusters, as far as it was extended here.
  var end: UInt64 { freshFrom }
  var hasLeaving: Bool { !leaving.isEmpty }
  var leavingRuns: Int { leaving.count }
  var isDirty: Bool { cache.dirtyCount > 0 || changedEntries != nil }

  // MARK: Counts

  /// Where a count is: the byte offset of its (first) byte, and the shift of one smaller than a byte. Nil: there is no block.
  private func place(_ cluster: UInt64) throws(StorageError) -> (offset: UInt64, shift: UInt64)? {
    let slot = cluster >> UInt64(layout.refcountBlockBits)
    guard slot < UInt64(table.count) else { return nil }
    let block = table[Int(slot)]
    if block == 0 { return nil }
    guard block & layout.clusterMask == 0, block < store.size else {
      throw StorageError(
        path: store.name, offset: tableOffset + slot * 8,
        reason: "a refcount block at \(block), where there cannot be one; the image needs a repair")
    }
    let bit =
      (cluster & (1 << UInt64(layout.refcountBlockBits) - 1)) << UInt64(layout.refcountOrder)
    return (block + bit >> 3, bit & 7)
  }

  private func load(_ at: (offset: UInt64, shift: UInt64)) throws(StorageError) -> UInt64 {
    let pointer = UnsafeRawPointer(try cache.pointer(at.offset))
    return switch layout.refcountOrder {
    case 6: pointer.big64(0)
    case 5: UInt64(pointer.big32(0))
    case 4: UInt64(pointer.big16(0))
    default:
      UInt64(pointer.load(as: UInt8.self)) >> at.shift & layout.largestRefcount
    }
  }

  func count(_ cluster: UInt64) throws(StorageError) -> UInt64 {
    guard let place = try place(cluster) else { return 0 }
    return try load(place)
  }

  private func put(_ at: (offset: UInt64, shift: UInt64), _ value: UInt64) throws(StorageError) {
    let bytes = max(1, layout.refcountBits / 8)
    let pointer = try cache.changing(at.offset, bytes)
    if layout.refcountOrder < 3 {
      let mask = UInt8(layout.largestRefcount << at.shift)
      let old = pointer.load(as: UInt8.self)
      pointer.storeBytes(of: old & ~mask | UInt8(value << at.shift), as: UInt8.self)
    } else {
      for n in 0..<bytes {
        pointer.storeBytes(
          of: UInt8(truncatingIfNeeded: value >> UInt64(8 * (bytes - 1 - n))), toByteOffset: n,
          as: UInt8.self)
      }
    }
  }

  /// Gives a cluster another count; makes the block if there is none.
  func set(_ cluster: UInt64, _ value: UInt64) throws(StorageError) {
    try makeBlock(for: cluster)
    guard let place = try place(cluster) else {
      throw StorageError(path: store.name, reason: "cluster \(cluster) has no refcount")
    }
    try put(place, value)
    if value == 0 { hint = min(hint, cluster) }
  }

  /// One more reference.
  /// - Returns: false when the count can grow no more.
  func add(_ cluster: UInt64) throws(StorageError) -> Bool {
    let now = try count(cluster)
    if now >= layout.largestRefcount { return false }
    try set(cluster, now + 1)
    return true
  }

  // MARK: Giving back

  /// Clusters that were allocated, and that nothing came to refer to, are free at once.
  func withdraw(_ first: UInt64, _ count: UInt64 = 1) {
    for cluster in first..<first + count { try? set(cluster, 0) }
  }

  /// One reference less, as soon as the file's tables say so.
  func giveBack(_ first: UInt64, _ count: UInt64 = 1) {
    if let last = leaving.last, last.first + last.count == first {
      leaving[leaving.count - 1].count += count
    } else {
      leaving.append((first, count))
    }
  }

  /// What was given back until now, which whoever takes it gives to `free` when the tables are in the file.
  func takeLeaving() -> [(first: UInt64, count: UInt64)] {
    defer { leaving = [] }
    return leaving
  }

  /// What was taken is as if it had not been.
  func putLeaving(_ runs: [(first: UInt64, count: UInt64)]) { leaving = runs + leaving }

  /// The tables are in the file, so what was given back is free.
  /// - Returns: runs of clusters that nobody uses now.
  func free(_ all: [(first: UInt64, count: UInt64)]) throws(StorageError) -> [(
    first: UInt64, count: UInt64
  )] {
    var free: [(first: UInt64, count: UInt64)] = []
    for run in all {
      for cluster in run.first..<run.first + run.count {
        guard let place = try place(cluster) else { continue }
        let now = try load(place)
        // A count that is too low already cannot be made lower: the check tells.
        if now == 0 { continue }
        try put(place, now - 1)
        if now > 1 { continue }
        hint = min(hint, cluster)
        // It is used again before the file becomes longer.
        dataNext = 0
        if let last = free.last, last.first + last.count == cluster {
          free[free.count - 1].count += 1
        } else {
          free.append((cluster, 1))
        }
      }
    }
    return free
  }

  // MARK: Allocation

  /// Clusters that were allocated.
  struct Run {
    var first: UInt64
    var count: UInt64
    /// They hold zeros.
    var isFresh: Bool
  }

  /// Allocates up to `most` clusters that lie behind each other.
  func allocate(_ most: UInt64) throws(StorageError) -> Run {
    let first = try firstFree(hint)
    let count = try freeRun(first, most)
    hint = first + count
    return try take(first, count)
  }

  private func freeRun(_ first: UInt64, _ most: UInt64) throws(StorageError) -> UInt64 {
    var count: UInt64 = 1
    while count < most, try isFree(first + count) { count += 1 }
    return count
  }

  /// Bytes that hosts keep together best (large folios of their page cache): what begins with such a unit on the disk does so in the file.
  private static let hostUnit: UInt64 = 65536

  /// As `allocate`, for data of the disk from a cluster on. Where clusters are small, long runs lie as on the disk within a unit of the host;
  /// what is left out on the way tables and single clusters get.
  func allocate(_ most: UInt64, forDisk cluster: UInt64) throws(StorageError) -> Run {
    let unit = QCOW2Refcounts.hostUnit >> UInt64(layout.clusterBits)
    if unit < 2 || most < unit { return try allocate(most) }
    var first = dataNext
    var follows = first != 0 && first & (unit - 1) == cluster & (unit - 1)
    if follows { follows = try isFree(first) }
    if !follows {
      first = try firstFree(max(hint, dataNext))
      var tries = 0
      while true {
        let place = first + (cluster &- first) & (unit - 1)
        if try isFree(place) {
          first = place
          break
        }
        // A block of counts may have come to be there.
        tries += 1
        first = try firstFree(place)
        if tries == 32 { break }
      }
    }
    let count = try freeRun(first, most)
    dataNext = first + count
    return try take(first, count)
  }

  /// Allocates exactly `count` clusters that lie behind each other.
  func allocateTogether(_ count: UInt64) throws(StorageError) -> Run {
    if count == 1 { return try allocate(1) }
    var (first, found) = (hint, UInt64(0))
    // As far as there are blocks, one of which would lie in the way if it was made here.
    while first + found < layout.clusters(store.size), let place = try place(first + found) {
      if try load(place) == 0 {
        found += 1
        if found == count { return try take(first, count) }
      } else {
        first += found + 1
        found = 0
      }
    }
    return try append(count)
  }

  /// Allocates clusters at the file's end, the blocks for them behind them.
  private func append(_ count: UInt64) throws(StorageError) -> Run {
    let blockBits = UInt64(layout.refcountBlockBits)
    while true {
      let start = max(freshFrom, layout.clusters(store.size))
      var missing: [UInt64] = []
      while true {
        let last = start + count + UInt64(missing.count) - 1
        guard last >> blockBits < UInt64(table.count) else { break }
        let needed = (start >> blockBits...last >> blockBits).filter { table[Int($0)] == 0 }
        if needed.count == missing.count {
          for (n, slot) in needed.enumerated() {
            try put(blockAt: start + count + UInt64(n), slot)
          }
          for n in 0..<UInt64(needed.count) { try set(start + count + n, 1) }
          let run = try take(start, count)
          freshFrom = max(freshFrom, start + count + UInt64(needed.count))
          return run
        }
        missing = needed
      }
      try growTable(max(start + count, UInt64(table.count) << blockBits))
    }
  }

  /// The cluster behind one, if it is free.
  func allocate(behind cluster: UInt64) throws(StorageError) -> Run? {
    guard try isFree(cluster + 1) else { return nil }
    return try take(cluster + 1, 1)
  }

  private func isFree(_ cluster: UInt64) throws(StorageError) -> Bool {
    try makeBlock(for: cluster)
    return try count(cluster) == 0
  }

  private func firstFree(_ start: UInt64) throws(StorageError) -> UInt64 {
    var cluster = start
    while true {
      try makeBlock(for: cluster)
      guard let at = try place(cluster) else { continue }
      if layout.refcountOrder == 4 {
        // The common width, a slice at a time.
        let pointer = UnsafeRawPointer(try cache.pointer(at.offset))
        let left = (cache.sliceSize - Int(at.offset & UInt64(cache.sliceSize - 1))) / 2
        for n in 0..<left where pointer.loadUnaligned(fromByteOffset: n * 2, as: UInt16.self) == 0 {
          return cluster + UInt64(n)
        }
        cluster += UInt64(left)
      } else {
        if try load(at) == 0 { return cluster }
        cluster += 1
      }
    }
  }

  private func take(_ first: UInt64, _ count: UInt64) throws(StorageError) -> Run {
    let bits = UInt64(layout.clusterBits)
    guard (first + count) << bits < 1 << UInt64(QCOW2Layout.mostHostBits) else {
      throw StorageError(path: store.name, reason: "the image is full")
    }
    if isOffLimits(first << bits..<(first + count) << bits) {
      throw StorageError(
        path: store.name, offset: first << bits,
        reason: "the refcounts call free what the image's tables occupy; the image needs a repair")
    }
    try reach((first + count) << bits)
    for cluster in first..<first + count { try set(cluster, 1) }
    if hint >= first && hint < first + count { hint = first + count }
    let isFresh = first >= freshFrom
    freshFrom = max(freshFrom, first + count)
    newBytes += count << bits
    return Run(first: first, count: count, isFresh: isFresh)
  }

  /// Makes the file reach an offset; more at once than is needed, so that it need not be done for every cluster.
  private func reach(_ end: UInt64) throws(StorageError) {
    if end <= store.size { return }
    let step = max(UInt64(layout.clusterSize), min(16 << 20, store.size / 8 & ~layout.clusterMask))
    try store.setSize(max(end, store.size &+ step & ~layout.clusterMask))
  }

  /// The block of a cluster's count, made if it is not there. The cluster itself holds it then, so it is not free.
  private func makeBlock(for cluster: UInt64) throws(StorageError) {
    let slot = cluster >> UInt64(layout.refcountBlockBits)
    // A longer table brings the blocks for itself, which lies further on: that need not be this one.
    if slot >= UInt64(table.count) { try growTable(cluster) }
    if table[Int(slot)] != 0 { return }
    try put(blockAt: cluster, slot)
    freshFrom = max(freshFrom, cluster + 1)
    if let place = try place(cluster) { try put(place, 1) }
  }

  /// Makes a cluster the block of a slot, whose counts are all 0.
  private func put(blockAt cluster: UInt64, _ slot: UInt64) throws(StorageError) {
    let bits = UInt64(layout.clusterBits)
    let offset = cluster << bits
    if isOffLimits(offset..<offset + UInt64(layout.clusterSize)) {
      throw StorageError(
        path: store.name, offset: offset,
        reason: "the refcounts call free what the image's tables occupy; the image needs a repair")
    }
    try reach(offset + UInt64(layout.clusterSize))
    // Also where zeros are: the host has the room for sure then.
    try store.zero(at: offset, count: UInt64(layout.clusterSize), releasing: false)
    cache.forget(offset, count: UInt64(layout.clusterSize))
    table[Int(slot)] = offset
    let changed = changedEntries ?? Int(slot)..<Int(slot) + 1
    changedEntries = min(changed.lowerBound, Int(slot))..<max(changed.upperBound, Int(slot) + 1)
  }

  /// A longer table, behind everything there is, with the blocks for itself.
  private func growTable(_ cluster: UInt64) throws(StorageError) {
    let bits = UInt64(layout.clusterBits)
    let blockBits = UInt64(layout.refcountBlockBits)
    let perCluster = UInt64(layout.clusterSize / 8)
    try writeCounts()
    let start = max(
      max(UInt64(table.count) << blockBits, layout.clusters(store.size)),
      max(freshFrom, cluster + 1))
    var clusters = UInt64(tableClusters) + max(1, UInt64(tableClusters) / 2)
    var blocks: UInt64 = 1
    while true {
      let last = start + clusters + blocks - 1
      let neededBlocks = last >> blockBits - start >> blockBits + 1
      let neededClusters = (last >> blockBits + perCluster) / perCluster
      if neededBlocks <= blocks && neededClusters <= clusters { break }
      blocks = max(blocks, neededBlocks)
      clusters = max(clusters, neededClusters)
    }
    guard clusters << bits <= UInt64(QCOW2Header.mostRefcountTableBytes),
      (start + clusters + blocks) << bits < 1 << UInt64(QCOW2Layout.mostHostBits)
    else {
      throw StorageError(
        path: store.name, reason: "the image is full: its refcounts have no more room")
    }
    try store.setSize((start + clusters + blocks) << bits)
    // Nothing here changes before the header names the new table: an error leaves everything as it was.
    var new = table + [UInt64](repeating: 0, count: Int(clusters * perCluster) - table.count)
    for n in 0..<blocks {
      let place = (start + clusters + n) << bits
      let slot = start >> blockBits + n
      new[Int(slot)] = place
      try store.write(
        at: place, QCOW2Refcounts.block(layout, slot, used: start..<start + clusters + blocks))
      cache.forget(place, count: 1 << bits)
    }
    try QCOW2Table.write(store, at: start << bits, new)
    try store.flush()
    try tableMoves?(start << bits, Int(clusters))
    giveBack(tableOffset >> bits, UInt64(tableClusters))
    table = new
    changedEntries = nil
    freshFrom = start + clusters + blocks
    (tableOffset, tableClusters) = (start << bits, Int(clusters))
    try store.flush()
  }

  /// A refcount block in which some clusters have the count 1.
  private static func block(_ layout: QCOW2Layout, _ slot: UInt64, used: Range<UInt64>) -> [UInt8] {
    var bytes = BigEndianBytes(count: layout.clusterSize)
    let first = slot << UInt64(layout.refcountBlockBits)
    let order = layout.refcountOrder
    for n in 0..<1 << layout.refcountBlockBits where used.contains(first + UInt64(n)) {
      if order >= 3 {
        bytes.put(1, n << (order - 3), 1 << (order - 3))
      } else {
        bytes.bytes[(n << order) >> 3] |= 1 << UInt8(n << order & 7)
      }
    }
    return bytes.bytes
  }

  // MARK: Writing

  /// Writes all counts, and where their blocks are.
  func writeCounts() throws(StorageError) {
    try cache.writeBack()
    guard let changed = changedEntries else { return }
    // A block is one before the table says so.
    try store.flush()
    try QCOW2Table.write(
      store, at: tableOffset + UInt64(changed.lowerBound) * 8, table[changed])
    changedEntries = nil
  }
}
