// The order in which what changed of a QCOW2 image gets into its file.
//
// Owns: the steps of a flush; the same steps without waiting for each (`settle`). Must not know: what the tables say.
// After: QEMU, docs/interop/qcow2.txt.

extension QCOW2Image {
  public func flush() throws(StorageError) { try writeBack() }

  /// The file ends with what is used, so that closing it changes nothing any more.
  public func finish() throws(StorageError) {
    try writeBack()
    guard let refcounts else { return }
    let end = refcounts.end << UInt64(layout.clusterBits)
    if end < store.size { try store.setSize(end) }
  }

  /// Whether so much waits that it should be written back between two clusters.
  func writeBackIfFull() throws(StorageError) {
    guard let refcounts else { return }
    if l2.isFull || refcounts.leavingRuns > 4096 { return try writeBack() }
    if refcounts.newBytes > mostNewBytes {
      refcounts.newBytes = 0
      // The next flush tells what goes wrong.
      _ = try? settle()
    }
  }

  /// Writes everything that waits, in its order.
  func writeBack() throws(StorageError) {
    guard let refcounts else {
      if store.isWritable { try store.flush() }
      return
    }
    letGo(refcounts)
    refcounts.newBytes = 0
    let hasTables = l2.dirtyCount > 0 || changedL1 != nil
    try refcounts.writeCounts()
    if isExternal { try data.flush() }
    try store.flush()
    if hasTables {
      try l2.writeBack()
      if let changed = changedL1 {
        try writeL1(changed.lowerBound, Array(l1[changed]))
        changedL1 = nil
      }
      try store.flush()
    }
    if refcounts.hasLeaving {
      try free(refcounts.takeLeaving(), refcounts)
      try refcounts.writeCounts()
    }
  }

  private func writeL1(_ first: Int, _ words: [UInt64]) throws(StorageError) {
    try QCOW2Table.write(store, at: header.l1TableOffset + UInt64(first) * 8, words[...])
  }

  /// What nothing in the file refers to any more is free, and the host has its room.
  private func free(
    _ runs: [(first: UInt64, count: UInt64)], _ refcounts: QCOW2Refcounts
  ) throws(StorageError) {
    for run in try refcounts.free(runs) {
      let offset = run.first << UInt64(layout.clusterBits)
      let end = min((run.first + run.count) << UInt64(layout.clusterBits), store.size)
      if end > offset { try store.zero(at: offset, count: end - offset, releasing: true) }
    }
  }

  // MARK: Without waiting

  /// What waits for a flush that was begun.
  struct Settling {
    var flush: UInt64
    var dataFlush: UInt64
    /// The part of the L1 table that goes with the held L2 slices.
    var l1: (first: Int, words: [UInt64])?
    /// What has no reference when these tables are in the file, and flushed.
    var leaving: [(first: UInt64, count: UInt64)]
    /// What has none as soon as the flush is done.
    var left: [(first: UInt64, count: UInt64)]
  }

  @discardableResult
  public func settle() throws(StorageError) -> Bool {
    guard let refcounts else { return false }
    do throws(StorageError) { return try bringOn(refcounts) } catch {
      letGo(refcounts)
      throw error
    }
  }

  private func bringOn(_ refcounts: QCOW2Refcounts) throws(StorageError) -> Bool {
    var left: [(first: UInt64, count: UInt64)] = []
    if let now = settling {
      guard try store.hasFlushed(now.flush) else { return true }
      if isExternal, try !data.hasFlushed(now.dataFlush) { return true }
      try l2.writeHeld()
      if let l1 = now.l1 { try writeL1(l1.first, l1.words) }
      left = now.leaving
      settling?.l1 = nil
      let gone = now.left
      settling?.left = []
      try free(gone, refcounts)
      settling = nil
    }
    let hasTables = l2.dirtyCount > 0 || changedL1 != nil
    if !hasTables && left.isEmpty && !refcounts.hasLeaving && !refcounts.isDirty { return false }
    let leaving = refcounts.takeLeaving()
    settling = Settling(flush: 0, dataFlush: 0, l1: nil, leaving: leaving, left: left)
    try refcounts.writeCounts()
    if !hasTables && left.isEmpty && leaving.isEmpty {
      settling = nil
      return false
    }
    l2.hold()
    if let changed = changedL1 { settling?.l1 = (changed.lowerBound, Array(l1[changed])) }
    changedL1 = nil
    settling?.flush = try store.beginFlush()
    if isExternal { settling?.dataFlush = try data.beginFlush() }
    return true
  }

  /// What was begun is left to whoever writes everything back.
  private func letGo(_ refcounts: QCOW2Refcounts) {
    guard let now = settling else { return }
    settling = nil
    l2.letGo()
    if let held = now.l1 {
      let range = held.first..<held.first + held.words.count
      let changed = changedL1 ?? range
      changedL1 =
        min(changed.lowerBound, range.lowerBound)..<max(changed.upperBound, range.upperBound)
    }
    refcounts.putLeaving(now.left + now.leaving)
  }
}
