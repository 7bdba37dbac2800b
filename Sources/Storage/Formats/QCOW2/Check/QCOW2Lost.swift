// What a QCOW2 file has lost with its end.
//
// Owns: letting go of what lies behind the end, so that the rest can be used. Must not know: refcounts, which are counted again afterwards.
// After: QEMU, docs/interop/qcow2.txt.
//
// Nothing that can be read is touched: an entry goes when what it refers to is not there. A cluster that was the image's own reads as zeros
// then, not as what a base has there, and so does all that a lost table may have had, as nobody knows what of it was the image's own. Version
// 2 has no word for zeros: over a base, that shows.

extension QCOW2Checker {
  private var showsBase: Bool { header.version < 3 && header.backingName != nil }
  private static let baseFate = "the base shows there now, as version 2 has no zeros over one"
  /// What becomes of a cluster that is lost.
  var clusterFate: String { showsBase ? QCOW2Checker.baseFate : "it reads as zeros now" }
  /// What becomes of all that a lost table had.
  var tableFate: String {
    if showsBase { return QCOW2Checker.baseFate }
    return header.backingName == nil
      ? "nothing of it is allocated any more" : "all of it reads as zeros now"
  }
  /// L2 tables that have to be made so that what was lost reads as zeros.
  private var zeroTables: UInt64 {
    if header.backingName == nil || header.version < 3 { return 0 }
    return lostTables + (isL1Gone ? layout.l1Entries(header.size) : 0)
  }
  /// More is not made.
  private static let mostZeroBytes: UInt64 = 1 << 30
  /// Compressed clusters at the file's end that are unpacked to find out whether they are whole; no sound image has more.
  private static let mostCutTrials = 256

  /// The words of an L1 table as far as it is in the file, then zeros.
  func l1Entries(_ offset: UInt64, _ count: Int) throws(StorageError) -> [UInt64] {
    let there = offset < store.size ? Int(min(UInt64(count), (store.size - offset) / 8)) : 0
    return try QCOW2Table.read(store, at: offset, count: there)
      + [UInt64](repeating: 0, count: count - there)
  }

  /// Whether an L2 table was behind what is the end now: its cluster has a count, or the count is lost, too. Without one the entry is damaged,
  /// and the table with all that it refers to may still be there for somebody who finds it.
  func isLostTable(_ offset: UInt64) -> Bool {
    if offset < store.size { return false }
    let isDirty = header.incompatible & QCOW2Header.Incompatible.dirty != 0
    if isDirty || header.refcountTableOffset >= store.size { return true }
    let cluster = offset >> UInt64(layout.clusterBits)
    let slot = cluster >> UInt64(layout.refcountBlockBits)
    guard slot < UInt64(refcountTable.count) else { return false }
    if header.refcountTableOffset + slot * 8 + 8 > store.size { return true }
    let block = refcountTable[Int(slot)]
    if block == 0 { return false }
    let bit =
      (cluster & (1 << UInt64(layout.refcountBlockBits) - 1)) << UInt64(layout.refcountOrder)
    let (place, bytes) = (block &+ bit >> 3, max(1, layout.refcountBits / 8))
    guard place < store.size, UInt64(bytes) <= store.size - place,
      let count = try? store.bytes(at: place, count: bytes)
    else { return true }
    return layout.refcountOrder >= 3
      ? count.contains { $0 != 0 }
      : UInt64(count[0]) >> (bit & 7) & layout.largestRefcount != 0
  }

  /// Whether a compressed cluster reaches behind the file's end and lacks something there: it may end anywhere in its last sector.
  func isCutOff(_ word: UInt64) -> Bool {
    let (offset, length) = layout.compressedRange(word)
    if offset + UInt64(length) <= store.size { return false }
    if cutCompressed.contains(word) { return true }
    cutTrials += 1
    guard cutTrials <= QCOW2Checker.mostCutTrials,
      let packed = try? store.bytes(at: offset, count: length)
    else { return false }
    let memory = UnsafeMutableRawBufferPointer.allocate(
      byteCount: layout.clusterSize, alignment: 16)
    defer { memory.deallocate() }
    if QCOW2Compression(header.compressionType, layout).unpack(packed, into: memory) {
      return false
    }
    cutCompressed.insert(word)
    return true
  }

  /// Lets go of everything that `foundLost` told of.
  func dropLost() throws(StorageError) {
    let room = zeroTables << UInt64(layout.clusterBits)
    if room > QCOW2Checker.mostZeroBytes {
      throw StorageError(
        path: store.name,
        reason:
          "what it has lost would need \(room >> 20) MB of tables that say so over its base; nothing was changed"
      )
    }
    let corrupt = QCOW2Header.Incompatible.corrupt
    if header.version >= 3, header.incompatible & corrupt == 0 {
      // New tables have no counts until the end: whoever finds it cut off here must not write it. ("Dirty" would say that no count can be
      // trusted, and from counts it is known what is lost.)
      isMarked = true
      header.incompatible |= corrupt
      try header.writeFields(store)
      try store.flush()
    }
    let holes = try dropEntries()
    try store.flush()
    try putBack(holes)
    // What was cut in the middle is whole, with zeros; nothing refers to what comes to be here.
    var end = layout.clusters(store.size) << UInt64(layout.clusterBits)
    for snapshot in snapshots {
      end = max(end, snapshot.l1TableOffset + UInt64(snapshot.l1Size) * 8)
    }
    if !isL1Gone { end = max(end, header.l1TableOffset + UInt64(header.l1Size) * 8) }
    try store.grow(to: layout.clusters(end) << UInt64(layout.clusterBits))
    try makeL1(holes)
    try fill(holes)
    if hasLostBitmaps { header.dropBitmaps() }
    if hasLostSnapshots {
      let bytes = snapshots.flatMap(\.bytes)
      header.snapshotCount = snapshots.count
      header.snapshotsOffset = bytes.isEmpty ? 0 : store.size
      try store.grow(
        to: layout.clusters(store.size + UInt64(bytes.count)) << UInt64(layout.clusterBits))
      try store.write(at: header.snapshotsOffset, bytes)
      try store.flush()
    }
    try header.writeFields(store)
    try store.flush()
  }

  /// An entry of an L1 table whose L2 table is lost.
  private struct Hole {
    /// Where the L1 table is; nil: the active one, which is made anew.
    var table: UInt64?
    var entry: Int
    /// Where the L2 table was; nil: the entry itself is lost.
    var place: UInt64?
  }

  /// Whether what is lost has to be said to be zeros, as a base would show there.
  private var needsZeros: Bool { header.backingName != nil && header.version >= 3 }

  /// The bytes of an L2 table all of which reads as zeros.
  private var zeroTable: [UInt8] {
    let words: [UInt64]
    if layout.hasExtendedL2 {
      words = (0..<1 << layout.l2Bits).flatMap { _ in [0, 0xFFFF_FFFF << 32] }
    } else {
      words = [UInt64](repeating: QCOW2Layout.zeroFlag, count: 1 << layout.l2Bits)
    }
    var bytes = BigEndianBytes(count: words.count * 8)
    for (n, word) in words.enumerated() { bytes.put(word, n * 8, 8) }
    return bytes.bytes
  }

  /// Tables of zeros come to be where the lost ones were, in their order: whoever is killed here leaves those that are still missing missing.
  private func putBack(_ holes: [Hole]) throws(StorageError) {
    if !needsZeros { return }
    let bytes = zeroTable
    for place in Set(holes.compactMap(\.place)).sorted() where place >= store.size {
      try store.extend(at: place, bytes)
    }
    try store.flush()
  }

  /// The active L1 table behind the file's end, where nothing or only a part of it is left: with tables of zeros where it is to have some.
  /// It is in use when the header names it.
  private func makeL1(_ holes: [Hole]) throws(StorageError) {
    let missing = holes.filter { $0.table == nil && $0.place == nil }.map(\.entry)
    if !isL1Gone && missing.isEmpty { return }
    var entries =
      isL1Gone
      ? [UInt64](repeating: 0, count: header.l1Size)
      : try l1Entries(header.l1TableOffset, header.l1Size)
    let bits = UInt64(layout.clusterBits)
    if needsZeros {
      let bytes = zeroTable
      for entry in missing {
        let place = store.size
        try store.extend(at: place, bytes)
        entries[entry] = place
      }
    }
    let place = store.size
    try store.grow(to: place + layout.clusters(UInt64(header.l1Size) * 8) << bits)
    try QCOW2Table.write(store, at: place, entries)
    try store.flush()
    header.l1TableOffset = place
    try header.writeFields(store)
    try store.flush()
  }

  /// Tables of zeros for what the L1 tables of snapshots have lost of themselves.
  private func fill(_ holes: [Hole]) throws(StorageError) {
    if !needsZeros { return }
    let bytes = zeroTable
    for hole in holes {
      guard let table = hole.table, hole.place == nil else { continue }
      let place = store.size
      try store.extend(at: place, bytes)
      try store.flush()
      try QCOW2Table.write(store, at: table + UInt64(hole.entry) * 8, [place])
    }
    try store.flush()
  }

  /// - Returns: the entries whose L2 tables are lost, or which are lost themselves, as far as disks reach. Those whose tables are put back stay.
  private func dropEntries() throws(StorageError) -> [Hole] {
    let bits = UInt64(layout.clusterBits)
    // Where tables lie in each other, or in data, there may be something else than entries.
    func isAlone(_ offset: UInt64, _ owners: UInt32) -> Bool {
      references[offset >> bits] == owners
    }
    for (table, owners) in l2Tables.sorted(by: { $0.key < $1.key })
    where isAlone(table, owners.all) {
      try forEachEntry(table) { (place, entry) throws(StorageError) in
        guard let new = withoutLost(entry) else { return }
        try QCOW2Table.write(
          store, at: place, layout.hasExtendedL2 ? [new.word, new.bitmap] : [new.word])
      }
    }
    var holes: [Hole] = []
    var tables: [UInt64: (count: Int, used: UInt64, owners: UInt32)] = [:]
    if isL1Gone {
      holes += (0..<Int(layout.l1Entries(header.size))).map { Hole(table: nil, entry: $0) }
    } else {
      tables[header.l1TableOffset] = (header.l1Size, layout.l1Entries(header.size), 1)
    }
    for snapshot in snapshots where snapshot.l1Size > 0 {
      let before = tables[snapshot.l1TableOffset] ?? (0, 0, 0)
      tables[snapshot.l1TableOffset] = (
        max(before.count, snapshot.l1Size),
        max(before.used, layout.l1Entries(snapshot.diskSize)), before.owners + 1
      )
    }
    for (offset, table) in tables.sorted(by: { $0.key < $1.key })
    where isAlone(offset, table.owners) {
      let size = store.size
      let there = offset < size ? Int(min(UInt64(table.count), (size - offset) / 8)) : 0
      for (n, word) in try l1Entries(offset, table.count).enumerated()
      where n >= there || isLostTable(word & QCOW2Layout.hostOffsetMask) {
        let place = word & QCOW2Layout.hostOffsetMask
        let isUsed = n < table.used
        // Of the others there is nothing to be put back.
        let isKept = n < there && isUsed && needsZeros && place & layout.clusterMask == 0
        if n < there, !isKept { try QCOW2Table.write(store, at: offset + UInt64(n) * 8, [0]) }
        if !isUsed { continue }
        // The active table is made anew where it is cut.
        let isActive = !isL1Gone && offset == header.l1TableOffset
        holes.append(
          Hole(
            table: isActive && n >= there ? nil : offset, entry: n, place: isKept ? place : nil))
      }
      // Half an entry.
      if there < table.count {
        let rest = size - (offset + UInt64(there) * 8)
        if rest > 0 { try store.zero(at: size - rest, count: rest, releasing: false) }
      }
    }
    return holes
  }

  /// What an entry becomes that refers to what is lost; nil: it does not.
  private func withoutLost(_ entry: QCOW2Entry) -> QCOW2Entry? {
    if header.isExternal { return nil }
    if entry.isCompressed {
      let offset = layout.compressedRange(entry.word).offset
      guard offset >= store.size || cutCompressed.contains(entry.word) else { return nil }
    } else if entry.hostOffset < store.size {
      return nil
    }
    if !layout.hasExtendedL2 {
      return QCOW2Entry(word: layout.hasZeroFlag ? QCOW2Layout.zeroFlag : 0)
    }
    // Each subcluster for itself: those that were not allocated show what they showed.
    let lost = entry.isCompressed ? 0xFFFF_FFFF : entry.bitmap & 0xFFFF_FFFF
    return QCOW2Entry(word: 0, bitmap: (entry.bitmap & 0xFFFF_FFFF_0000_0000) | lost << 32)
  }
}
