// Mending a QCOW2 file.
//
// Owns: refcounts and flags made what they should be. Must not know: how it was found out.
// After: QEMU, docs/interop/qcow2.txt, "Host cluster management".
//
// Guest data and the entries that refer to them are left as they are: what can be read before can be read afterwards. Counts only go down where
// all references are known.

extension QCOW2Checker {
  func mend() throws(StorageError) {
    if repair == .all { try setFlags(false) }
    if repair == .all && (countsTooLow > 0 || hasBrokenBlocks) {
      if isIncomplete {
        try adjust { $0 < $1 }
      } else {
        try rebuild()
      }
    } else if !isIncomplete {
      try adjust { $0 > $1 }
    }
    if !isIncomplete { try setFlags(true) }
  }

  /// Sets or clears OFLAG_COPIED where it should be so.
  private func setFlags(_ wanted: Bool) throws(StorageError) {
    var changed = false
    try forEachWrongFlag { (place, word, flag) throws(StorageError) in
      if flag != wanted { return }
      let new = flag ? word | QCOW2Layout.copied : word & ~QCOW2Layout.copied
      try QCOW2Table.write(store, at: place, [new])
      changed = true
    }
    if !changed { return }
    try store.flush()
    l1 = try l1Entries(header.l1TableOffset, header.l1Size)
  }

  /// Makes counts that have a block what they should be, where `isWrong(count, references)`.
  private func adjust(_ isWrong: (UInt64, UInt64) -> Bool) throws(StorageError) {
    if hasBrokenBlocks { return }
    let refcounts = try QCOW2Refcounts(store, header)
    let blockBits = UInt64(layout.refcountBlockBits)
    for slot in blocks.keys.sorted() {
      let first = UInt64(slot) << blockBits
      for cluster in first..<first + 1 << blockBits {
        let (count, wanted) = (try refcounts.count(cluster), UInt64(references[cluster]))
        if isWrong(count, wanted), wanted <= layout.largestRefcount {
          try refcounts.set(cluster, wanted)
        }
      }
    }
    try refcounts.writeCounts()
    try store.flush()
  }

  /// Writes a new refcount table with new blocks behind the file's end, and then the header that refers to it.
  private func rebuild() throws(StorageError) {
    let bits = UInt64(layout.clusterBits)
    let blockBits = UInt64(layout.refcountBlockBits)
    // What only the old table refers to is free afterwards.
    var counts = try QCOW2Checker.withoutRefcounts(self)
    let start = max(layout.clusters(store.size), counts.end)
    var slots = Set<UInt64>()
    try counts.each { (cluster, _) throws(StorageError) in slots.insert(cluster >> blockBits) }
    var tableClusters: UInt64 = 1
    while true {
      let last = start + tableClusters + UInt64(slots.count) - 1
      let before = slots.count
      for slot in start >> blockBits...last >> blockBits { slots.insert(slot) }
      let needed = layout.clusters((slots.max()! + 1) * 8)
      if needed <= tableClusters && slots.count == before { break }
      tableClusters = max(tableClusters, needed)
    }
    guard tableClusters << bits <= UInt64(QCOW2Header.mostRefcountTableBytes) else {
      throw StorageError(path: store.name, reason: "the refcount table would be too long")
    }
    let blockStart = start + tableClusters
    let end = blockStart + UInt64(slots.count)
    for cluster in start..<end { counts.add(cluster) }
    try store.setSize(end << bits)
    var table = [UInt64](repeating: 0, count: Int(tableClusters << bits) / 8)
    for (n, slot) in slots.sorted().enumerated() {
      let place = (blockStart + UInt64(n)) << bits
      table[Int(slot)] = place
      try store.write(at: place, block(slot << blockBits, counts))
    }
    try QCOW2Table.write(store, at: start << bits, table)
    try store.flush()
    header.refcountTableOffset = start << bits
    header.refcountTableClusters = Int(tableClusters)
    try header.writeFields(store)
    try store.flush()
    references = counts
  }

  /// The references that are not of the refcount structures.
  private static func withoutRefcounts(_ checker: QCOW2Checker) throws(StorageError)
    -> QCOW2References
  {
    var own = QCOW2References()
    let bits = UInt64(checker.layout.clusterBits)
    for n in 0..<UInt64(checker.header.refcountTableClusters) {
      own.add(checker.header.refcountTableOffset >> bits + n)
    }
    for entry in checker.refcountTable
    where entry != 0 && entry & checker.layout.clusterMask == 0 && entry < checker.store.size {
      own.add(entry >> bits)
    }
    var rest = QCOW2References()
    try checker.references.each { (cluster, count) throws(StorageError) in
      let other = count - min(count, own[cluster])
      if other > 0 { rest.add(cluster, other) }
    }
    return rest
  }

  private func block(_ first: UInt64, _ counts: QCOW2References) -> [UInt8] {
    var bytes = BigEndianBytes(count: layout.clusterSize)
    let order = layout.refcountOrder
    for n in 0..<1 << layout.refcountBlockBits {
      let count = min(UInt64(counts[first + UInt64(n)]), layout.largestRefcount)
      if count == 0 { continue }
      if order >= 3 {
        bytes.put(count, n << (order - 3), 1 << (order - 3))
      } else {
        bytes.bytes[(n << order) >> 3] |= UInt8(count << UInt64(n << order & 7))
      }
    }
    return bytes.bytes
  }

  /// Takes the mark "corrupt" away that was set for the time of a repair.
  func clearMark() throws(StorageError) {
    header.incompatible &= ~QCOW2Header.Incompatible.corrupt
    try store.flush()
    try header.writeFields(store)
    try store.flush()
  }

  /// Takes the marks "dirty" and "corrupt" away from an image that has no other fault.
  func clearMarks() throws(StorageError) {
    if marks == 0 { return }
    header.incompatible &= ~(QCOW2Header.Incompatible.dirty | QCOW2Header.Incompatible.corrupt)
    try store.flush()
    try header.writeFields(store)
    try store.flush()
  }
}
