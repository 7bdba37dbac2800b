// What is wrong with a QCOW2 file.
//
// Owns: going through everything that refers to clusters, and comparing that with the refcounts. Must not know: devices; how things are mended
// is in QCOW2Repair.swift.
// After: QEMU, docs/interop/qcow2.txt.
//
// Each table is read once, however many refer to it, so time and memory are bounded by the file's size; holes are not read.

/// The check of one file.
final class QCOW2Checker {
  let store: any ByteStore
  let repair: ImageRepair
  /// Whether a repair lets go of what the file has lost with its end; otherwise it stays an error.
  let dropsLost: Bool
  var header: QCOW2Header
  var layout: QCOW2Layout { header.layout }
  var result = ImageCheck()
  var references = QCOW2References()
  /// What refers to an L2 table: entries of the active L1 table, and of all.
  var l2Tables: [UInt64: (active: UInt32, all: UInt32)] = [:]
  var l1: [UInt64] = []
  var refcountTable: [UInt64] = []
  /// Refcount blocks that are where blocks can be, and nowhere else; by slot.
  var blocks: [Int: UInt64] = [:]
  /// Some tables could not be followed: there may be references that were not counted.
  var isIncomplete = false
  var countsTooLow = 0
  var hasBrokenBlocks = false
  /// Counts in the file that are not what they should be, by cluster.
  private var wrongCounts: [UInt64: UInt64] = [:]
  private static let mostWrongCounts = 1 << 20
  /// L1 entries that are looked at, in all snapshots together.
  private static let mostL1Entries = 1 << 25
  private(set) var keys = QCOW2Findings()
  /// What becomes of what is lost, by the finding's key; of those that are listed.
  private(set) var fates: [Int: String] = [:]
  private(set) var hasLost = false
  /// Snapshots whose entries and L1 tables are there, at least in part, and whether others are lost.
  private(set) var snapshots: [QCOW2Snapshot] = []
  private(set) var hasLostSnapshots = false
  private(set) var hasLostBitmaps = false
  /// Nothing is left of the active L1 table.
  private(set) var isL1Gone = false
  /// L2 tables that are lost.
  private(set) var lostTables: UInt64 = 0
  /// The mark "corrupt" is this repair's.
  var isMarked = false
  /// Entries of compressed clusters whose ends are missing, so that they cannot be unpacked.
  var cutCompressed = Set<UInt64>()
  var cutTrials = 0

  init(_ store: any ByteStore, repair: ImageRepair, dropsLost: Bool = true) throws(StorageError) {
    self.store = store
    self.repair = repair
    self.dropsLost = dropsLost
    header = try QCOW2Header(store, toleratesLoss: true)
  }

  /// Checks, and mends if that is wished.
  func run() throws(StorageError) -> ImageCheck {
    try look()
    if repair == .none || result.isClean { return result }
    if repair == .all && dropsLost && hasLost {
      try dropLost()
      let rest = try QCOW2Checker(store, repair: .all)
      try rest.look()
      try rest.mend()
      if isMarked { try rest.clearMark() }
    } else {
      try mend()
    }
    let after = try QCOW2Checker(store, repair: .none)
    try after.look()
    let left = after.result
    if repair == .all && left.leaks + left.corruptions + left.unreadables == after.marks {
      try after.clearMarks()
      after.forget()
    }
    var final = report(after)
    final.totalUnits = left.totalUnits
    final.allocatedUnits = left.allocatedUnits
    final.compressedUnits = left.compressedUnits
    final.imageEnd = left.imageEnd
    return final
  }

  /// Findings that are only the marks "dirty" and "corrupt".
  private(set) var marks = 0

  func found(_ severity: ImageCheck.Severity, _ offset: UInt64?, _ text: String) {
    let finding = ImageCheck.Finding(severity, at: offset, text)
    result.add(finding)
    keys.add(finding)
  }

  /// Something that lay behind the file's end, or whose end did, and what a repair that drops it does. Where that end is, which changes with the
  /// repair, is no part of the text: what stays has the same.
  func foundLost(_ offset: UInt64?, _ text: String, _ fate: String) {
    hasLost = true
    found(.corruption, offset, text)
    if let finding = result.findings.last, finding.text == text, finding.offset == offset {
      fates[QCOW2Findings.key(finding)] = fate
    }
  }

  private func forget() {
    result = ImageCheck()
    keys = QCOW2Findings()
  }

  private func look() throws(StorageError) {
    if header.incompatible & QCOW2Header.Incompatible.dirty != 0 {
      found(.leak, 72, "the image was not closed: its refcounts are to be counted again")
      marks += 1
    }
    if header.incompatible & QCOW2Header.Incompatible.corrupt != 0 {
      found(.corruption, 72, "the image is marked as corrupt")
      marks += 1
    }
    references.add(0)
    if let area = header.encryption {
      addArea(area.offset, area.length)
      // What is wrong there concerns whoever opens the image; its data are where they are.
      do { _ = try LUKS1Header.read(store, at: area.offset, limit: area.length) } catch {
        found(.corruption, error.offset, "the LUKS header: \(error.reason)")
      }
    }
    try collectRefcounts()
    try collectL1()
    try collectBitmaps()
    try collectL2()
    if references.isFull {
      throw StorageError(
        path: store.name, reason: "refers to more clusters than can be counted")
    }
    try compareCounts()
    try compareFlags()
    result.totalUnits = layout.clusters(header.size)
    result.imageEnd = references.end << UInt64(layout.clusterBits)
  }

  // MARK: What refers to clusters

  private func addArea(_ offset: UInt64, _ bytes: UInt64, _ count: UInt32 = 1) {
    if bytes == 0 { return }
    let bits = UInt64(layout.clusterBits)
    for cluster in offset >> bits...(offset + bytes - 1) >> bits { references.add(cluster, count) }
  }

  private func collectRefcounts() throws(StorageError) {
    if header.refcountTableOffset < store.size {
      addArea(
        header.refcountTableOffset,
        UInt64(header.refcountTableClusters) << UInt64(layout.clusterBits))
    } else {
      found(.corruption, 48, "the refcount table lies behind the file's end")
      hasBrokenBlocks = true
    }
    refcountTable = try QCOW2Refcounts.readTable(store, header)
    var seen = Set<UInt64>()
    for (slot, entry) in refcountTable.enumerated() where entry != 0 {
      let place = header.refcountTableOffset + UInt64(slot) * 8
      guard entry & layout.clusterMask == 0, entry < store.size else {
        found(.corruption, place, "refcount block \(slot) is said to be at \(entry)")
        hasBrokenBlocks = true
        continue
      }
      references.add(entry >> UInt64(layout.clusterBits))
      guard seen.insert(entry).inserted else {
        found(.corruption, place, "refcount block \(slot) lies where another does")
        hasBrokenBlocks = true
        continue
      }
      blocks[slot] = entry
    }
  }

  private func collectL1() throws(StorageError) {
    try collectL1Area()
    l1 = try l1Entries(header.l1TableOffset, header.l1Size)
    collect(l1, header.l1TableOffset, active: 1, all: 1)
    let table: (snapshots: [QCOW2Snapshot], byteCount: Int, lost: [QCOW2Snapshot.Lost])
    do {
      table = try QCOW2Snapshot.survey(store, header)
    } catch {
      found(.corruption, error.offset, error.reason)
      isIncomplete = true
      return
    }
    snapshots = table.snapshots
    for lost in table.lost {
      hasLostSnapshots = true
      isIncomplete = true
      foundLost(lost.error.offset, lost.error.reason, lost.fate)
    }
    addArea(header.snapshotsOffset, UInt64(table.byteCount))
    struct Place: Hashable {
      var offset: UInt64
      var count: Int
    }
    var tables: [Place: UInt32] = [:]
    for snapshot in table.snapshots where snapshot.l1Size > 0 {
      tables[Place(offset: snapshot.l1TableOffset, count: snapshot.l1Size), default: 0] += 1
      addArea(snapshot.l1TableOffset, UInt64(snapshot.l1Size) * 8)
    }
    var entries = 0
    for (place, count) in tables.sorted(by: { $0.key.offset < $1.key.offset }) {
      entries += place.count
      guard entries <= QCOW2Checker.mostL1Entries else {
        found(.unreadable, place.offset, "the L1 tables of snapshots are longer than any image's")
        isIncomplete = true
        return
      }
      collect(try l1Entries(place.offset, place.count), place.offset, active: 0, all: count)
    }
  }

  /// The active L1 table itself: where a snapshot was gone back to, it may be the last there is in the file.
  private func collectL1Area() throws(StorageError) {
    let (offset, bytes) = (header.l1TableOffset, UInt64(header.l1Size) * 8)
    if bytes <= store.size, offset <= store.size - bytes { return addArea(offset, bytes) }
    isL1Gone = offset >= store.size
    // A number that is wrong is no loss: the table may be in the file for somebody who finds it.
    if isL1Gone, !isLostTable(offset) {
      throw StorageError(
        path: store.name, offset: 40,
        reason: "an L1 table of \(bytes) bytes at \(offset), in a file of \(store.size) bytes")
    }
    isIncomplete = true
    if !isL1Gone { addArea(offset, bytes) }
    let how = isL1Gone ? "behind the file's end" : "which the file's end cuts off"
    foundLost(40, "the L1 table is at \(offset), \(how)", tableFate)
  }

  private func collect(_ table: [UInt64], _ offset: UInt64, active: UInt32, all: UInt32) {
    for (n, word) in table.enumerated() where word != 0 {
      let place = offset + UInt64(n) * 8
      if word & ~(QCOW2Layout.hostOffsetMask | QCOW2Layout.copied) != 0 {
        found(.corruption, place, "L1 entry \(n) has reserved bits set")
      }
      let l2 = word & QCOW2Layout.hostOffsetMask
      if l2 == 0 { continue }
      if isLostTable(l2) {
        isIncomplete = true
        lostTables += 1
        foundLost(
          place, "L1 entry \(n) refers to a table at \(l2), behind the file's end", tableFate)
        continue
      }
      guard l2 & layout.clusterMask == 0, l2 < store.size else {
        found(.corruption, place, "L1 entry \(n) refers to a table at \(l2)")
        isIncomplete = true
        continue
      }
      let before = l2Tables[l2] ?? (0, 0)
      if before.active > 0 && active > 0 {
        found(.corruption, place, "L1 entry \(n) refers to a table that is another entry's too")
      }
      l2Tables[l2] = (before.active &+ active, before.all &+ all)
      references.add(l2 >> UInt64(layout.clusterBits), all)
    }
  }

  /// Bitmaps count only where the bit says that they are valid.
  private func collectBitmaps() throws(StorageError) {
    guard header.autoclear & QCOW2Header.Autoclear.bitmaps != 0 else { return }
    let bitmaps: [QCOW2Bitmap]
    do { bitmaps = try QCOW2Bitmap.directory(store, header) } catch {
      hasLostBitmaps = true
      isIncomplete = true
      return foundLost(error.offset, error.reason, "no bitmap is valid any more")
    }
    if let directory = header.bitmaps { addArea(directory.offset, directory.size) }
    for bitmap in bitmaps {
      addArea(bitmap.tableOffset, UInt64(bitmap.tableSize) * 8)
      for (n, word) in try QCOW2Table.read(
        store, at: bitmap.tableOffset, count: bitmap.tableSize
      ).enumerated() {
        let offset = word & QCOW2Layout.hostOffsetMask
        if offset == 0 { continue }
        guard offset & layout.clusterMask == 0, offset < store.size else {
          hasLostBitmaps = true
          foundLost(
            bitmap.tableOffset + UInt64(n) * 8, "bitmap '\(bitmap.name)' has data at \(offset)",
            "no bitmap is valid any more")
          continue
        }
        references.add(offset >> UInt64(layout.clusterBits))
      }
    }
  }

  private func collectL2() throws(StorageError) {
    for table in l2Tables.keys.sorted() {
      let (active, all) = l2Tables[table]!
      try forEachEntry(table) { (place, entry) throws(StorageError) in
        collect(entry, place, all)
        if active > 0 {
          if entry.isCompressed { result.compressedUnits += 1 }
          if entry.isCompressed || entry.hasHost(header.isExternal) { result.allocatedUnits += 1 }
        }
      }
    }
  }

  private func collect(_ entry: QCOW2Entry, _ place: UInt64, _ count: UInt32) {
    let bits = UInt64(layout.clusterBits)
    if entry.isCompressed {
      let (offset, length) = layout.compressedRange(entry.word)
      if entry.isCopied { found(.corruption, place, "a compressed cluster with OFLAG_COPIED") }
      if !header.isExternal && offset >= store.size {
        return foundLost(
          place, "a compressed cluster at \(offset), behind the file's end", clusterFate)
      }
      guard !header.isExternal, offset >= UInt64(layout.clusterSize) else {
        return found(.corruption, place, "a compressed cluster at \(offset)")
      }
      if isCutOff(entry.word) {
        foundLost(
          place, "a compressed cluster at \(offset), which the file's end cuts off", clusterFate)
      }
      for cluster in offset >> bits...(offset + UInt64(length) - 1) >> bits {
        references.add(cluster, count)
      }
      return
    }
    let reserved =
      ~(QCOW2Layout.hostOffsetMask | QCOW2Layout.copied
      | (layout.hasZeroFlag ? QCOW2Layout.zeroFlag : 0))
    if entry.word & reserved != 0 { found(.corruption, place, "an L2 entry has reserved bits set") }
    if layout.hasExtendedL2 {
      if entry.bitmap & entry.bitmap >> 32 & 0xFFFF_FFFF != 0 {
        found(.corruption, place, "subclusters that are allocated and zeros at once")
      }
      if entry.bitmap & 0xFFFF_FFFF != 0 && !entry.hasHost(header.isExternal) {
        found(.corruption, place, "subclusters are allocated, but there is no cluster")
      }
    }
    guard entry.hasHost(header.isExternal) else { return }
    let host = entry.hostOffset
    if header.isExternal {
      if host & layout.clusterMask != 0 { found(.corruption, place, "a cluster at \(host)") }
      return
    }
    if host >= store.size {
      return foundLost(
        place, "a cluster at \(host), behind the file's end", clusterFate)
    }
    guard host & layout.clusterMask == 0 else {
      return found(.corruption, place, "a cluster at \(host)")
    }
    references.add(host >> bits, count)
  }

  /// Goes through the entries of an L2 table that are not 0, with their places in the file.
  func forEachEntry(_ table: UInt64, _ body: (UInt64, QCOW2Entry) throws(StorageError) -> Void)
    throws(StorageError)
  {
    let end = min(table + UInt64(layout.clusterSize), store.size)
    if store.nextData(from: table) >= end { return }
    let words = try QCOW2Table.read(store, at: table, count: Int(end - table) / 8)
    let step = layout.hasExtendedL2 ? 2 : 1
    for n in stride(from: 0, through: words.count - step, by: step) {
      let entry = QCOW2Entry(word: words[n], bitmap: step == 2 ? words[n + 1] : 0)
      if entry != .absent { try body(table + UInt64(n) * 8, entry) }
    }
  }

  // MARK: Comparing

  private func compareCounts() throws(StorageError) {
    let bits = UInt64(layout.clusterBits)
    let blockBits = UInt64(layout.refcountBlockBits)
    var holes = Set<Int>()
    for (slot, block) in blocks.sorted(by: { $0.key < $1.key }) {
      let first = UInt64(slot) << blockBits
      if store.nextData(from: block) >= block + UInt64(layout.clusterSize) {
        holes.insert(slot)
        continue
      }
      try forEachCount(block) { (n, count) throws(StorageError) in
        compare(first + n, count)
      }
    }
    // Those whose block is not there.
    try references.each { (cluster, count) throws(StorageError) in
      let slot = cluster >> blockBits
      if slot >= UInt64(refcountTable.count) || blocks[Int(slot)] == nil {
        countsTooLow += 1
        found(.corruption, cluster << bits, "a cluster has no refcount, but \(count) references")
      } else if holes.contains(Int(slot)) {
        compare(cluster, 0)
      }
    }
  }

  private func compare(_ cluster: UInt64, _ count: UInt64) {
    let wanted = UInt64(references[cluster])
    if count == wanted { return }
    if wrongCounts.count < QCOW2Checker.mostWrongCounts { wrongCounts[cluster] = count }
    let offset = cluster << UInt64(layout.clusterBits)
    if count < wanted {
      countsTooLow += 1
      found(
        .corruption, offset, "a cluster has a refcount of \(count), but \(wanted) references")
    } else {
      found(.leak, offset, "a cluster has a refcount of \(count), but \(wanted) references")
    }
  }

  /// Goes through the counts of a refcount block, all of which are 0 in a hole.
  private func forEachCount(_ block: UInt64, _ body: (UInt64, UInt64) throws(StorageError) -> Void)
    throws(StorageError)
  {
    let end = min(block + UInt64(layout.clusterSize), store.size)
    var bytes = try store.bytes(at: block, count: Int(end - block))
    bytes += repeatElement(0, count: layout.clusterSize - bytes.count)
    let order = layout.refcountOrder
    try StorageError.passing { failure in
      bytes.withUnsafeBytes { buffer in
        let pointer = buffer.baseAddress!
        do throws(StorageError) {
          for n in 0..<1 << layout.refcountBlockBits {
            let count: UInt64 =
              switch order {
              case 6: pointer.big64(n * 8)
              case 5: UInt64(pointer.big32(n * 4))
              case 4: UInt64(pointer.big16(n * 2))
              default:
                UInt64(buffer[(n << order) >> 3]) >> UInt64(n << order & 7) & layout.largestRefcount
              }
            try body(UInt64(n), count)
          }
        } catch { failure = error }
      }
    }
  }

  /// Whether a cluster that an active entry refers to has the flag it should have once the counts are right: nil, or what it should be.
  func wrongFlag(_ word: UInt64, _ host: UInt64) -> Bool? {
    let isCopied = word & QCOW2Layout.copied != 0
    var count = UInt64(references[host >> UInt64(layout.clusterBits)])
    // A count that is too high stays where there may be references that were not found.
    if isIncomplete { count = max(count, wrongCounts[host >> UInt64(layout.clusterBits)] ?? 0) }
    return isCopied == (count == 1) ? nil : count == 1
  }

  /// Goes through the active entries that refer to clusters, with those.
  private func forEachFlag(
    _ body: (_ place: UInt64, _ word: UInt64, _ host: UInt64) throws(StorageError) -> Void
  ) throws(StorageError) {
    for (n, word) in l1.enumerated() {
      let table = word & QCOW2Layout.hostOffsetMask
      guard l2Tables[table] != nil else { continue }
      try body(header.l1TableOffset + UInt64(n) * 8, word, table)
    }
    if header.isExternal { return }
    for (table, count) in l2Tables.sorted(by: { $0.key < $1.key }) where count.active > 0 {
      try forEachEntry(table) { (place, entry) throws(StorageError) in
        let host = entry.hostOffset
        guard !entry.isCompressed, host != 0, host & layout.clusterMask == 0, host < store.size
        else { return }
        try body(place, entry.word, host)
      }
    }
  }

  /// Goes through the active entries whose flag is wrong.
  func forEachWrongFlag(
    _ body: (_ place: UInt64, _ word: UInt64, _ flag: Bool) throws(StorageError) -> Void
  ) throws(StorageError) {
    try forEachFlag { (place, word, host) throws(StorageError) in
      if let flag = wrongFlag(word, host) { try body(place, word, flag) }
    }
  }

  /// Tells of flags that contradict the counts in the file, as QEMU does: it calls both kinds corruptions.
  private func compareFlags() throws(StorageError) {
    try forEachFlag { (place, word, host) throws(StorageError) in
      let cluster = host >> UInt64(layout.clusterBits)
      let references = UInt64(references[cluster])
      let count = wrongCounts[cluster] ?? references
      let isSet = word & QCOW2Layout.copied != 0
      // With the flag a write overwrites what others have; without it, it copies what it need not copy.
      if isSet, count != 1 || references > 1 {
        let words =
          references > 1 ? "the cluster has several references" : "the refcount is \(count)"
        found(.corruption, place, "OFLAG_COPIED is set, though \(words)")
      } else if !isSet, count == 1, references == 1 {
        // The mark says that it is mended before the next write.
        let isMarked = header.incompatible & QCOW2Header.Incompatible.dirty != 0
        found(isMarked ? .leak : .corruption, place, QCOW2Checker.clearFlag)
      }
    }
  }

  /// What a program that was killed while it made or deleted a snapshot leaves: no data are in danger.
  static let clearFlag = "OFLAG_COPIED is clear, though the refcount is 1"
}
