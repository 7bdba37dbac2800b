// Internal snapshots made, taken back to, deleted.
//
// Owns: the order of it, so that a failure leaves at most counts that are too high. Must not know: whose states they are.
// After: QEMU, docs/interop/qcow2.txt, "Snapshots".

extension QCOW2Image: SnapshottingDevice {
  public var imageSnapshots: [ImageSnapshot] {
    ((try? snapshots()) ?? []).map {
      ImageSnapshot(
        id: $0.id, name: $0.name, time: UInt64($0.seconds), byteCount: $0.diskSize,
        stateByteCount: $0.stateSize)
    }
  }

  public func createSnapshot(named newName: String, time: UInt64) throws(StorageError) {
    try createSnapshot(named: newName, seconds: UInt32(truncatingIfNeeded: time))
  }

  /// The snapshots inside the file.
  public func snapshots() throws(StorageError) -> [QCOW2Snapshot] {
    try QCOW2Snapshot.table(store, header).snapshots
  }

  private func refuse(_ reason: String) -> StorageError { StorageError(path: name, reason: reason) }

  private func snapshot(_ nameOrID: String) throws(StorageError) -> QCOW2Snapshot {
    try QCOW2Snapshot.find(nameOrID, in: try snapshots(), name)
  }

  /// Keeps the present state under a name.
  /// - Parameters:
  ///   - seconds: since 1970.
  ///   - guestNanoseconds: how long the guest has run.
  /// - Returns: the snapshot's ID.
  @discardableResult
  public func createSnapshot(
    named newName: String, seconds: UInt32, nanoseconds: UInt32 = 0,
    guestNanoseconds: UInt64 = 0
  ) throws(StorageError) -> String {
    if isExternal { throw refuse("has its data in another file, so it has no snapshots") }
    let refcounts = try prepareWrite()
    try writeBack()
    var table = try QCOW2Snapshot.table(store, header)
    guard newName.utf8.count <= QCOW2Header.longestName, !newName.isEmpty,
      !table.snapshots.contains(where: { $0.name == newName })
    else { throw refuse("a snapshot cannot be called '\(newName)', or there is one already") }
    guard table.snapshots.count < QCOW2Header.mostSnapshots else {
      throw refuse("has as many snapshots as there can be")
    }
    let more = try references(of: l1)
    try check(more, raisedBy: more, refcounts)
    // What needs room comes before what changes the image: where there is none, all is as it was.
    let place = try newTable(l1.map { $0 & ~QCOW2Layout.copied }, refcounts)
    let id = String((table.snapshots.compactMap { Int($0.id) }.max() ?? 0) + 1)
    table.snapshots.append(
      QCOW2Snapshot(
        id: id, name: newName, seconds: seconds, nanoseconds: nanoseconds,
        guestNanoseconds: guestNanoseconds, stateSize: 0, diskSize: diskSize, l1TableOffset: place,
        l1Size: l1.count))
    let tablePlace: UInt64
    do throws(StorageError) { tablePlace = try newTable(table.snapshots, refcounts) } catch {
      withdrawTable(place, l1.count, refcounts)
      throw error
    }
    // First nothing may be overwritten any more, then the counts go up.
    try whileMarked { () throws(StorageError) in
      try clearFlags()
      try writeBack()
      try raise(more, refcounts)
      try replaceTable(table.snapshots, at: tablePlace, oldBytes: table.byteCount, refcounts)
    }
    return id
  }

  /// Makes the disk what it was when a snapshot was taken; what it holds now is lost.
  public func applySnapshot(_ nameOrID: String) throws(StorageError) {
    let refcounts = try prepareWrite()
    try writeBack()
    let snapshot = try snapshot(nameOrID)
    let words = try QCOW2Table.read(store, at: snapshot.l1TableOffset, count: snapshot.l1Size)
    // What both states have keeps its counts: there may be no room for one more.
    let (before, after) = (try references(of: l1), try references(of: words))
    let more = try difference(after, before)
    let less = try difference(before, after)
    try check(after, raisedBy: more, refcounts)
    let new = words.map { $0 & ~QCOW2Layout.copied }
    let place = try newTable(new, refcounts)
    try whileMarked { () throws(StorageError) in
      try raise(more, refcounts)
      let (oldCount, oldOffset) = (l1.count, header.l1TableOffset)
      try changeHeader {
        if snapshot.diskSize != $0.size { $0.dropBitmaps() }
        $0.l1TableOffset = place
        $0.l1Size = new.count
        $0.size = snapshot.diskSize
      }
      l1 = new
      compressedEnd = nil
      setBlockCount((snapshot.diskSize + 511) / 512)
      try store.flush()
      try giveBack(less, tableAt: oldOffset, oldCount, refcounts)
      try writeBack()
      try setFlags(refcounts)
    }
  }

  /// Forgets a snapshot; what only it held is free.
  public func deleteSnapshot(_ nameOrID: String) throws(StorageError) {
    let refcounts = try prepareWrite()
    try writeBack()
    let gone = try snapshot(nameOrID)
    let words = try QCOW2Table.read(store, at: gone.l1TableOffset, count: gone.l1Size)
    let table = try QCOW2Snapshot.table(store, header)
    let rest = table.snapshots.filter {
      $0.id != gone.id || $0.l1TableOffset != gone.l1TableOffset
    }
    let less = try references(of: words)
    let place = try newTable(rest, refcounts)
    try whileMarked { () throws(StorageError) in
      try replaceTable(rest, at: place, oldBytes: table.byteCount, refcounts)
      compressedEnd = nil
      try giveBack(less, tableAt: gone.l1TableOffset, words.count, refcounts)
      try writeBack()
      try setFlags(refcounts)
    }
  }

  /// Does what leaves flags wrong meanwhile, and then writes everything back. Who is killed in between leaves the image marked as not closed:
  /// that is mended before the next write, here and by QEMU. Version 2 has no mark, and only a check tells.
  private func whileMarked(_ body: () throws(StorageError) -> Void) throws(StorageError) {
    let isMarkable = header.version >= 3
    if isMarkable {
      try changeHeader { $0.incompatible |= QCOW2Header.Incompatible.dirty }
      try store.flush()
    }
    try body()
    try writeBack()
    if isMarkable {
      try store.flush()
      try changeHeader { $0.incompatible &= ~QCOW2Header.Incompatible.dirty }
      try store.flush()
    }
  }

  // MARK: Parts

  /// What an L1 table refers to, itself not counted.
  private func references(of words: [UInt64]) throws(StorageError) -> QCOW2References {
    var all = QCOW2References()
    let bits = UInt64(layout.clusterBits)
    try followEntries(
      words, table: { all.add($0 >> bits) },
      entry: { (entry, _) in
        if entry.isCompressed {
          let (offset, count) = layout.compressedRange(entry.word)
          for cluster in offset >> bits...(offset + UInt64(count) - 1) >> bits { all.add(cluster) }
        } else if entry.hostOffset != 0 {
          all.add(entry.hostOffset >> bits)
        }
      })
    if all.isFull { throw refuse("refers to more clusters than can be counted") }
    return all
  }

  /// Goes through all entries below an L1 table that are not 0.
  private func followEntries(
    _ words: [UInt64], table: (UInt64) throws(StorageError) -> Void,
    entry body: (_ entry: QCOW2Entry, _ place: UInt64) throws(StorageError) -> Void
  ) throws(StorageError) {
    let step = 1 << layout.l2EntryBits
    for word in words {
      let l2Table = word & QCOW2Layout.hostOffsetMask
      if l2Table == 0 { continue }
      guard l2Table & layout.clusterMask == 0, l2Table < store.size else {
        throw StorageError(
          path: name, offset: l2Table,
          reason: "an L2 table cannot be here; the image needs a repair")
      }
      try table(l2Table)
      for at in stride(from: 0, to: layout.clusterSize, by: step) {
        let place = l2Table + UInt64(at)
        let pointer = UnsafeRawPointer(try l2.pointer(place))
        let entry = QCOW2Entry(
          word: pointer.big64(0), bitmap: layout.hasExtendedL2 ? pointer.big64(8) : 0)
        if entry != .absent { try body(entry, place) }
      }
    }
  }

  /// What one has more than another.
  private func difference(_ all: QCOW2References, _ others: QCOW2References) throws(StorageError)
    -> QCOW2References
  {
    var more = QCOW2References()
    try all.each { (cluster, count) throws(StorageError) in
      if count > others[cluster] { more.add(cluster, count - others[cluster]) }
    }
    return more
  }

  /// Refuses what the counts have no room for.
  private func check(
    _ used: QCOW2References, raisedBy more: QCOW2References, _ refcounts: QCOW2Refcounts
  ) throws(StorageError) {
    try used.each { (cluster, _) throws(StorageError) in
      let now = try refcounts.count(cluster)
      if now == 0 {
        throw StorageError(
          path: name, offset: cluster << UInt64(layout.clusterBits),
          reason: "a cluster is used but has no refcount; the image needs a repair")
      }
      if layout.largestRefcount - now < UInt64(more[cluster]) {
        throw refuse(
          layout.refcountOrder == 0
            ? "its refcounts of 1 bit leave no room for snapshots; a converted image has it (refcount_bits=16)"
            : "its refcounts of \(layout.refcountBits) bits end at \(layout.largestRefcount), and as many states share data already: "
              + "delete a snapshot, or convert the image to one with refcount_bits=16")
      }
    }
  }

  private func raise(_ more: QCOW2References, _ refcounts: QCOW2Refcounts) throws(StorageError) {
    try more.each { (cluster, count) throws(StorageError) in
      try refcounts.set(cluster, try refcounts.count(cluster) + UInt64(count))
    }
    try refcounts.writeCounts()
    try store.flush()
  }

  /// Writes an L1 table to a new place; 0: it is that of a disk without bytes.
  func newTable(_ words: [UInt64], _ refcounts: QCOW2Refcounts) throws(StorageError) -> UInt64 {
    if words.isEmpty { return 0 }
    let clusters = layout.clusters(UInt64(words.count) * 8)
    let place = try refcounts.allocateTogether(clusters).first << UInt64(layout.clusterBits)
    do throws(StorageError) { try QCOW2Table.write(store, at: place, words) } catch {
      withdrawTable(place, words.count, refcounts)
      throw error
    }
    return place
  }

  /// Nothing came to refer to an L1 table.
  private func withdrawTable(_ place: UInt64, _ count: Int, _ refcounts: QCOW2Refcounts) {
    if count == 0 { return }
    refcounts.withdraw(
      place >> UInt64(layout.clusterBits), layout.clusters(UInt64(count) * 8))
  }

  /// Writes a table of snapshots to a new place; 0: there is none.
  private func newTable(_ snapshots: [QCOW2Snapshot], _ refcounts: QCOW2Refcounts)
    throws(StorageError) -> UInt64
  {
    let bits = UInt64(layout.clusterBits)
    let bytes = snapshots.flatMap(\.bytes)
    if bytes.isEmpty { return 0 }
    let clusters = layout.clusters(UInt64(bytes.count))
    let first = try refcounts.allocateTogether(clusters).first
    do throws(StorageError) { try store.write(at: first << bits, bytes) } catch {
      refcounts.withdraw(first, clusters)
      throw error
    }
    return first << bits
  }

  private func replaceTable(
    _ snapshots: [QCOW2Snapshot], at place: UInt64, oldBytes: Int, _ refcounts: QCOW2Refcounts
  ) throws(StorageError) {
    let bits = UInt64(layout.clusterBits)
    try refcounts.writeCounts()
    try store.flush()
    let old = header.snapshotsOffset
    try changeHeader {
      $0.snapshotsOffset = place
      $0.snapshotCount = snapshots.count
    }
    try store.flush()
    if oldBytes > 0 { refcounts.giveBack(old >> bits, layout.clusters(UInt64(oldBytes))) }
  }

  /// Clusters have so many references less, and so have those of an L1 table.
  private func giveBack(
    _ less: QCOW2References, tableAt offset: UInt64, _ entries: Int, _ refcounts: QCOW2Refcounts
  ) throws(StorageError) {
    let bits = UInt64(layout.clusterBits)
    try less.each { (cluster, count) throws(StorageError) in
      for _ in 0..<count { refcounts.giveBack(cluster) }
    }
    if entries > 0 { refcounts.giveBack(offset >> bits, layout.clusters(UInt64(entries) * 8)) }
  }

  private func clearFlags() throws(StorageError) {
    try followEntries(
      l1, table: { _ in },
      entry: { (entry, place) throws(StorageError) in
        if entry.isCopied && !entry.isCompressed {
          try l2.changing(place, 8).putBig64(entry.word & ~QCOW2Layout.copied, 0)
        }
      })
    for (n, word) in l1.enumerated() where word & QCOW2Layout.copied != 0 {
      setL1(n, word & ~QCOW2Layout.copied)
    }
  }

  /// Sets OFLAG_COPIED where a cluster has one reference.
  private func setFlags(_ refcounts: QCOW2Refcounts) throws(StorageError) {
    let bits = UInt64(layout.clusterBits)
    for (n, word) in l1.enumerated() {
      let table = word & QCOW2Layout.hostOffsetMask
      if table == 0 { continue }
      // Whose table is shared has shared clusters.
      if try refcounts.count(table >> bits) != 1 { continue }
      try followEntries(
        [word], table: { _ in },
        entry: { (entry, place) throws(StorageError) in
          if entry.isCompressed || entry.hostOffset == 0 { return }
          let flag = try refcounts.count(entry.hostOffset >> bits) == 1 ? QCOW2Layout.copied : 0
          let new = entry.word & ~QCOW2Layout.copied | flag
          if new != entry.word { try l2.changing(place, 8).putBig64(new, 0) }
        })
      if word & QCOW2Layout.copied == 0 { setL1(n, word | QCOW2Layout.copied) }
    }
  }
}

extension QCOW2Snapshot {
  /// The snapshot of an ID, or else of a name.
  static func find(_ nameOrID: String, in all: [QCOW2Snapshot], _ path: String)
    throws(StorageError) -> QCOW2Snapshot
  {
    if let found = all.first(where: { $0.id == nameOrID })
      ?? all.first(where: { $0.name == nameOrID })
    {
      return found
    }
    throw StorageError(path: path, reason: "has no snapshot '\(nameOrID)'")
  }
}
