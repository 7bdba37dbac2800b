// Another size for a QCOW2 disk.
//
// Owns: a longer L1 table, zeros where the disk becomes longer. Must not know: partitions.
// After: QEMU, docs/interop/qcow2.txt, "Header" (size, l1_size).

extension QCOW2Image {
  public func resize(to newCount: UInt64) throws(StorageError) {
    func refuse(_ reason: String) -> StorageError { StorageError(path: name, reason: reason) }
    let old = blockCount
    if newCount == old && header.size == old * 512 { return }
    guard newCount > 0, newCount <= UInt64(Int64.max) / 1024 else {
      throw refuse("cannot have \(newCount) blocks")
    }
    guard layout.l1Entries(newCount * 512) <= UInt64(QCOW2Header.mostL1Entries) else {
      throw refuse(
        "clusters of \(layout.clusterSize) bytes are too small for \(newCount * 512) bytes")
    }
    if header.version == 2 && header.snapshotCount > 0 {
      throw refuse("has snapshots, which in version 2 are of the disk's size")
    }
    let refcounts = try prepareWrite()
    try lengthenL1(newCount * 512, refcounts)
    // What was behind the end may hold something, as may a base that is longer than the disk was; so may what is cut off, if the disk grows
    // again.
    setBlockCount(max(old, newCount))
    defer { setBlockCount(header.size / 512 + (header.size % 512 == 0 ? 0 : 1)) }
    if isExternal && newCount > old { try data.setSize(max(data.size, newCount * 512)) }
    try zeroDisk(min(old, newCount) * 512, max(old, newCount) * 512, refcounts)
    try writeBack()
    try changeHeader {
      $0.dropBitmaps()
      $0.size = newCount * 512
    }
    try store.flush()
    if isExternal && newCount < old && data.size > newCount * 512 {
      try data.setSize(newCount * 512)
    }
  }

  /// Gives the L1 table room for a disk of so many bytes.
  func lengthenL1(_ size: UInt64, _ refcounts: QCOW2Refcounts) throws(StorageError) {
    let needed = Int(layout.l1Entries(size))
    if needed <= l1.count { return }
    try writeBack()
    let bits = UInt64(layout.clusterBits)
    let (old, oldCount) = (header.l1TableOffset, l1.count)
    let new = l1 + [UInt64](repeating: 0, count: needed - l1.count)
    let place = try newTable(new, refcounts)
    try refcounts.writeCounts()
    try store.flush()
    try changeHeader {
      $0.l1TableOffset = place
      $0.l1Size = new.count
    }
    l1 = new
    if oldCount > 0 { refcounts.giveBack(old >> bits, layout.clusters(UInt64(oldCount) * 8)) }
    try store.flush()
  }
}
