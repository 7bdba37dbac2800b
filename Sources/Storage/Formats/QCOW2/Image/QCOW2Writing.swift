// Writing a QCOW2 disk.
//
// Owns: where new data go, copy on write of clusters and L2 tables. Must not know: how tables get into the file (`writeBack`).
// After: QEMU, docs/interop/qcow2.txt, "Cluster mapping", "Snapshots".

extension QCOW2Image {
  public func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    let refcounts = try prepareWrite()
    hashes.note(block, UInt64(buffer.count / 512))
    try writeDisk(block * 512, buffer, refcounts)
  }

  /// Writes bytes of the disk.
  func writeDisk(
    _ offset: UInt64, _ buffer: UnsafeRawBufferPointer, _ refcounts: QCOW2Refcounts
  ) throws(StorageError) {
    let size = UInt64(layout.clusterSize)
    var done = 0
    while done < buffer.count {
      let place = offset + UInt64(done)
      let left = UInt64(buffer.count - done)
      let within = place & layout.clusterMask
      let run = try run(place, limit: left)
      let count: UInt64
      if case .data(let host) = run.kind, run.isCopied {
        count = run.count
        if isTable(host..<host + count) && !isExternal {
          throw StorageError(
            path: name, offset: host,
            reason: "offset \(place) of the disk would lie in the image's tables; it needs a repair"
          )
        }
        try reachData(host + count)
        try data.write(
          at: host, from: UnsafeRawBufferPointer(rebasing: buffer[done..<done + Int(count)]))
      } else if within == 0 && left >= size {
        let part = UnsafeRawBufferPointer(rebasing: buffer[done...])
        count = try writeClusters(place, part, refcounts)
      } else {
        count = min(left, size - within)
        try writePart(
          place, UnsafeRawBufferPointer(rebasing: buffer[done..<done + Int(count)]), refcounts)
      }
      done += Int(count)
      try writeBackIfFull()
    }
  }

  /// The end of the last cluster may be missing in the file.
  private func reachData(_ end: UInt64) throws(StorageError) {
    if end > data.size { try data.setSize(end) }
  }

  // MARK: Whole clusters

  /// Writes whole clusters to new places, as many as lie behind each other there.
  /// - Returns: the bytes written.
  private func writeClusters(
    _ place: UInt64, _ buffer: UnsafeRawBufferPointer, _ refcounts: QCOW2Refcounts
  ) throws(StorageError) -> UInt64 {
    let bits = UInt64(layout.clusterBits)
    let table = try writableTable(place, refcounts)
    let at = table + entryPlace(place)
    let inSlice = (l2.sliceSize - Int(at & UInt64(l2.sliceSize - 1))) >> layout.l2EntryBits
    let most = min(UInt64(buffer.count) >> bits, UInt64(inSlice))
    var old: [QCOW2Entry] = []
    while UInt64(old.count) < most {
      let entry = try entry(place + UInt64(old.count) << bits, in: table)
      // Those that stay where they are come with the next run.
      if entry.isCopied && entry.hasHost(isExternal) { break }
      old.append(entry)
    }
    if old.isEmpty {
      // A cluster of its own with parts that are not allocated, or that reads as zeros.
      try writePart(
        place, UnsafeRawBufferPointer(rebasing: buffer[..<layout.clusterSize]), refcounts)
      return 1 << bits
    }
    let (host, count) = try newPlace(place, UInt64(old.count), refcounts)
    let bytes = Int(count << bits)
    do throws(StorageError) {
      try reachData(host + UInt64(bytes))
      try data.write(at: host, from: UnsafeRawBufferPointer(rebasing: buffer[..<bytes]))
    } catch {
      // A full host: whoever tries again later must find the room unused.
      if !isExternal { withdrawData(host, count, refcounts) }
      throw error
    }
    for n in 0..<Int(count) {
      let here = place + UInt64(n) << bits
      try set(
        here, in: table,
        QCOW2Entry(
          word: (host + UInt64(n) << bits) | QCOW2Layout.copied,
          bitmap: layout.hasExtendedL2 ? 0xFFFF_FFFF : 0))
      leave(old[n], refcounts)
    }
    return UInt64(bytes)
  }

  /// Clusters whose data could not be written are free, and what the host had room for of them is the host's again.
  private func withdrawData(_ host: UInt64, _ count: UInt64, _ refcounts: QCOW2Refcounts) {
    let bits = UInt64(layout.clusterBits)
    refcounts.withdraw(host >> bits, count)
    let end = min(host + count << bits, store.size)
    if host < end { try? store.zero(at: host, count: end - host, releasing: true) }
  }

  /// New room for clusters of the disk: where it is, and for how many.
  private func newPlace(_ offset: UInt64, _ count: UInt64, _ refcounts: QCOW2Refcounts)
    throws(StorageError) -> (host: UInt64, count: UInt64)
  {
    if isExternal { return (offset, count) }
    let run = try refcounts.allocate(
      count, forDisk: offset >> UInt64(layout.clusterBits))
    return (run.first << UInt64(layout.clusterBits), run.count)
  }

  // MARK: A part of a cluster

  /// Writes bytes inside one cluster, which gets a new place unless it has one of its own.
  private func writePart(
    _ place: UInt64, _ buffer: UnsafeRawBufferPointer, _ refcounts: QCOW2Refcounts
  ) throws(StorageError) {
    let table = try writableTable(place, refcounts)
    let old = try entry(place, in: table)
    let start = place & ~layout.clusterMask
    let (from, to) = (Int(place - start), Int(place - start) + buffer.count)
    let unit = layout.unitBits
    let units = layout.hasExtendedL2 ? 32 : 1
    let staysThere = old.isCopied && old.hasHost(isExternal)
    func kind(_ number: Int) -> QCOW2Entry.Kind {
      old.kind(number, layout, isExternal: isExternal)
    }
    // The subclusters that are allocated when this is done, and the bytes that have to be written for that.
    var touched: UInt64 = 0
    for number in from >> unit...(to - 1) >> unit { touched |= 1 << UInt64(number) }
    var (low, high) = (from, to)
    if staysThere {
      if kind(from >> unit) != .data { low = (from >> unit) << unit }
      if kind((to - 1) >> unit) != .data { high = ((to - 1) >> unit + 1) << unit }
    } else {
      for number in 0..<units where kind(number) == .data || kind(number) == .compressed {
        touched |= 1 << UInt64(number)
      }
      low = touched.trailingZeroBitCount << unit
      high = (64 - touched.leadingZeroBitCount) << unit
    }
    let host: UInt64
    if staysThere {
      host = old.hostOffset
      try checkHost(host, place)
      if isTable(host..<host + UInt64(layout.clusterSize)) && !isExternal {
        throw StorageError(
          path: name, offset: host,
          reason: "offset \(place) of the disk would lie in the image's tables; it needs a repair")
      }
    } else if isExternal {
      host = start
    } else {
      let run = try refcounts.allocate(1)
      host = run.first << UInt64(layout.clusterBits)
      // Zeros around the new data are there already, unless zeros decrypt to something else.
      if run.isFresh, encryption == nil,
        try readsAsZeros(from: start + UInt64(low), to: start + UInt64(high))
      {
        (low, high) = (from, to)
      }
    }
    do throws(StorageError) {
      try fill(host, start, low..<high, from..<to, buffer)
    } catch {
      if !staysThere && !isExternal { withdrawData(host, 1, refcounts) }
      throw error
    }
    var new = QCOW2Entry(word: host | QCOW2Layout.copied)
    if layout.hasExtendedL2 {
      let zeros = old.isCompressed ? 0 : old.bitmap & 0xFFFF_FFFF_0000_0000
      let allocated = staysThere ? old.bitmap & 0xFFFF_FFFF | touched : touched
      new.bitmap = zeros & ~(allocated << 32) | allocated
    }
    if new != old { try set(place, in: table, new) }
    if !staysThere { leave(old, refcounts) }
  }

  /// Writes a part of a cluster: the new bytes, and around them what the disk holds there now.
  private func fill(
    _ host: UInt64, _ start: UInt64, _ whole: Range<Int>, _ new: Range<Int>,
    _ buffer: UnsafeRawBufferPointer
  ) throws(StorageError) {
    let low = whole.lowerBound
    try reachData(host + UInt64(whole.upperBound))
    if whole == new { return try data.write(at: host + UInt64(low), from: buffer) }
    let memory = UnsafeMutableRawBufferPointer(rebasing: scratch[..<whole.count])
    let (from, to) = (new.lowerBound - low, new.upperBound - low)
    try readDisk(
      start + UInt64(low), UnsafeMutableRawBufferPointer(rebasing: memory[..<from]))
    try readDisk(
      start + UInt64(new.upperBound), UnsafeMutableRawBufferPointer(rebasing: memory[to...]))
    UnsafeMutableRawBufferPointer(rebasing: memory[from..<to]).copyMemory(from: buffer)
    try data.write(at: host + UInt64(low), from: UnsafeRawBufferPointer(memory))
  }

  /// Whether bytes of the disk read as zeros because nothing is there.
  func readsAsZeros(from start: UInt64, to end: UInt64) throws(StorageError) -> Bool {
    var place = start
    while place < end {
      let run = try run(place, limit: end - place)
      if !readsAsZeros(run, place) { return false }
      place += run.count
    }
    return true
  }

  // MARK: Tables

  /// The L2 table for an offset on the disk, one that may be changed: made, or copied from that of a snapshot.
  func writableTable(_ offset: UInt64, _ refcounts: QCOW2Refcounts) throws(StorageError) -> UInt64 {
    let index = Int(offset >> UInt64(layout.l1Bits))
    guard index < l1.count else {
      throw StorageError(path: name, reason: "the L1 table does not reach offset \(offset)")
    }
    let old = try l2Table(offset)
    if let old, l1[index] & QCOW2Layout.copied != 0 {
      if isTable(old..<old + UInt64(layout.clusterSize)) {
        throw StorageError(
          path: name, offset: old,
          reason: "an L2 table would lie in other tables; the image needs a repair")
      }
      return old
    }
    let bits = UInt64(layout.clusterBits)
    let run = try refcounts.allocate(1)
    let table = run.first << bits
    l2.forget(table, count: 1 << bits)
    do throws(StorageError) {
      if let old {
        try copyTable(old, to: table, isShared: refcounts.count(old >> bits) > 1)
      } else {
        // Also where zeros are: the host has the room for sure then, when the table is written and data may have taken the rest.
        try store.zero(at: table, count: 1 << bits, releasing: false)
      }
    } catch {
      refcounts.withdraw(run.first)
      throw error
    }
    if let old { refcounts.giveBack(old >> bits) }
    setL1(index, table | QCOW2Layout.copied)
    return table
  }

  private func copyTable(_ old: UInt64, to new: UInt64, isShared: Bool) throws(StorageError) {
    let memory = scratch
    let there = Int(min(UInt64(memory.count), store.size - old))
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    try store.read(at: old, into: UnsafeMutableRawBufferPointer(rebasing: memory[..<there]))
    // A shared table's clusters are shared too, whatever it says.
    let step = 1 << layout.l2EntryBits
    for at in stride(from: 0, to: isShared ? memory.count : 0, by: step) {
      let word = memory.baseAddress!.big64(at)
      if word & QCOW2Layout.copied != 0 && !isExternal {
        memory.baseAddress!.putBig64(word & ~QCOW2Layout.copied, at)
      }
    }
    try store.write(at: new, from: UnsafeRawBufferPointer(memory))
  }

  func set(_ offset: UInt64, in table: UInt64, _ entry: QCOW2Entry) throws(StorageError) {
    let pointer = try l2.changing(table + entryPlace(offset), 1 << layout.l2EntryBits)
    pointer.putBig64(entry.word, 0)
    if layout.hasExtendedL2 { pointer.putBig64(entry.bitmap, 8) }
  }

  /// What an entry referred to has a reference less.
  func leave(_ entry: QCOW2Entry, _ refcounts: QCOW2Refcounts) {
    if isExternal { return }
    let bits = UInt64(layout.clusterBits)
    if entry.isCompressed {
      let (offset, count) = layout.compressedRange(entry.word)
      let first = offset >> bits
      refcounts.giveBack(first, (offset + UInt64(count) - 1) >> bits - first + 1)
      // Nothing is put behind what goes: its cluster may go too, and become something else.
      if let end = compressedEnd, end >> bits <= (offset + UInt64(count)) >> bits, end >= offset {
        compressedEnd = nil
      }
      // Its place may be filled with something else of the same length.
      if unpacked?.word == entry.word { unpacked?.word = .max }
    } else if entry.hostOffset != 0 {
      refcounts.giveBack(entry.hostOffset >> bits)
    }
  }
}
