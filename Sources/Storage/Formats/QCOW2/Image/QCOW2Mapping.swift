// Where the bytes of a QCOW2 disk are.
//
// Owns: the way from an offset on the disk through L1 and L2 tables to a run of bytes of one kind, and what is said of blocks. Must not know:
// how they are read or written.
// After: QEMU, docs/interop/qcow2.txt, "Cluster mapping", "Extended L2 Entries".

extension QCOW2Image {
  /// A run of bytes of the disk.
  struct Run {
    enum Kind: Equatable {
      /// They are there, in the store for data.
      case data(UInt64)
      case zero, absent
      /// A part of a compressed cluster with this entry.
      case compressed(UInt64)
    }
    var kind: Kind
    var count: UInt64
    /// Whether data may be overwritten where they are.
    var isCopied = false
  }

  /// The offset of the L2 table for an offset on the disk; nil: there is none.
  func l2Table(_ offset: UInt64) throws(StorageError) -> UInt64? {
    let index = offset >> UInt64(layout.l1Bits)
    guard index < UInt64(l1.count) else { return nil }
    let table = l1[Int(index)] & QCOW2Layout.hostOffsetMask
    if table == 0 { return nil }
    guard table & layout.clusterMask == 0, table < store.size else {
      throw StorageError(
        path: name, offset: header.l1TableOffset + index * 8,
        reason: "an L2 table at \(table), where there cannot be one")
    }
    return table
  }

  /// Where the L2 entry of an offset on the disk is in its table.
  @inline(__always)
  func entryPlace(_ offset: UInt64) -> UInt64 {
    (offset >> UInt64(layout.clusterBits) & (1 << UInt64(layout.l2Bits) - 1))
      << UInt64(layout.l2EntryBits)
  }

  func entry(_ offset: UInt64, in table: UInt64) throws(StorageError) -> QCOW2Entry {
    let pointer = UnsafeRawPointer(try l2.pointer(table + entryPlace(offset)))
    return QCOW2Entry(
      word: pointer.big64(0), bitmap: layout.hasExtendedL2 ? pointer.big64(8) : 0)
  }

  /// The L2 entry of an offset on the disk.
  func entry(_ offset: UInt64) throws(StorageError) -> QCOW2Entry {
    guard let table = try l2Table(offset) else { return .absent }
    return try entry(offset, in: table)
  }

  /// Refuses a cluster that cannot be where an entry says it is.
  @inline(__always)
  func checkHost(_ host: UInt64, _ offset: UInt64) throws(StorageError) {
    if host & layout.clusterMask != 0
      || (isExternal ? host != offset & ~layout.clusterMask : host >= data.size)
    {
      throw badHost(host, offset)
    }
  }

  private func badHost(_ host: UInt64, _ offset: UInt64) -> StorageError {
    StorageError(
      path: data.name, offset: host,
      reason: "the cluster for offset \(offset) of the disk cannot be here"
        + (host >= data.size ? ", as the file ends at \(data.size)" : ""))
  }

  /// The run that begins at an offset on the disk: at most `limit` bytes, at least one; it may end earlier than it had to.
  func run(_ offset: UInt64, limit: UInt64) throws(StorageError) -> Run {
    guard let table = try l2Table(offset) else {
      let bits = UInt64(layout.l1Bits)
      return Run(kind: .absent, count: min(limit, (offset >> bits + 1) << bits - offset))
    }
    let place = entryPlace(offset)
    let pointer = UnsafeRawPointer(try l2.pointer(table + place))
    // Entries that are in the same slice.
    let left =
      (l2.sliceSize - Int((table + place) & UInt64(l2.sliceSize - 1))) >> layout.l2EntryBits
    let within = offset & layout.clusterMask
    var run = try firstPart(load(pointer, 0), offset, within)
    var n = 1
    while run.count < limit, n < left, (within + run.count) & layout.clusterMask == 0 {
      let next = try firstPart(load(pointer, n), offset + run.count, 0)
      switch (run.kind, next.kind) {
      case (.data(let host), .data(let behind)):
        if behind != host + run.count || next.isCopied != run.isCopied {
          return clipped(run, limit)
        }
      case (.zero, .zero), (.absent, .absent): break
      default: return clipped(run, limit)
      }
      run.count += next.count
      n += 1
    }
    return clipped(run, limit)
  }

  private func clipped(_ run: Run, _ limit: UInt64) -> Run {
    var run = run
    run.count = min(run.count, limit)
    return run
  }

  @inline(__always)
  private func load(_ pointer: UnsafeRawPointer, _ n: Int) -> QCOW2Entry {
    layout.hasExtendedL2
      ? QCOW2Entry(word: pointer.big64(n * 16), bitmap: pointer.big64(n * 16 + 8))
      : QCOW2Entry(word: pointer.big64(n * 8))
  }

  /// What an entry says of the bytes from `within` on, up to the end of the cluster or the last subcluster that is alike.
  @inline(__always)
  private func firstPart(_ entry: QCOW2Entry, _ offset: UInt64, _ within: UInt64)
    throws(StorageError) -> Run
  {
    let size = UInt64(layout.clusterSize)
    var count = size - within
    let first = Int(within >> UInt64(layout.unitBits))
    let kind = entry.kind(first, layout, isExternal: isExternal)
    if layout.hasExtendedL2 && kind != .compressed {
      var unit = first + 1
      while unit < 32, entry.kind(unit, layout, isExternal: isExternal) == kind { unit += 1 }
      count = UInt64(unit) << UInt64(layout.unitBits) - within
    }
    switch kind {
    case .zero: return Run(kind: .zero, count: count)
    case .absent: return Run(kind: .absent, count: count)
    case .compressed: return Run(kind: .compressed(entry.word), count: size - within)
    case .data:
      let host = entry.hostOffset
      try checkHost(host, offset)
      return Run(kind: .data(host + within), count: count, isCopied: entry.isCopied)
    }
  }

  // MARK: What is said of blocks

  /// Runs that are looked at for one answer.
  private var mostRuns: Int { 1 << 17 }

  /// Whether a run of the disk reads as zeros because nothing is there.
  func readsAsZeros(_ run: Run, _ offset: UInt64) -> Bool {
    switch run.kind {
    case .zero: return true
    case .absent:
      guard let base else { return true }
      let block = offset / 512
      return base.nextData(from: block) >= block + (run.count + 511) / 512
    default: return false
    }
  }

  public func nextData(from block: UInt64) -> UInt64 {
    var offset = block * 512
    // A disk of zero clusters may have more runs than there is time for: where they end, there may be data.
    var left = mostRuns
    // The base's next data: asked again only behind them, or a chain of images would ask as often as all of them have runs together.
    var below: UInt64?
    while offset < diskSize {
      left -= 1
      if left == 0 { return offset / 512 }
      guard let run = try? run(offset, limit: diskSize - offset) else { return offset / 512 }
      switch run.kind {
      case .data, .compressed: return offset / 512
      case .zero: break
      case .absent:
        if let base {
          let block = offset / 512
          let data = below.flatMap { $0 >= block ? $0 : nil } ?? base.nextData(from: block)
          below = data
          if data * 512 < offset + run.count { return max(data, offset / 512) }
        }
      }
      offset += run.count
    }
    return blockCount
  }

  public func isWritten(_ block: UInt64) -> Bool {
    guard block < blockCount, let run = try? run(block * 512, limit: 512) else { return true }
    return run.kind != .absent
  }

  public func extent(at block: UInt64, limit: UInt64) throws(StorageError) -> BlockExtent {
    try checkBlocks(block, min(limit, 1))
    let start = block * 512
    let limit = min(max(limit, 1), blockCount - block) * 512
    var whole = try run(start, limit: limit)
    // Long runs go over many slices; so far is enough for one answer.
    var left = mostRuns
    while whole.count < limit && left > 0 {
      left -= 1
      let next = try run(start + whole.count, limit: limit - whole.count)
      switch (whole.kind, next.kind) {
      case (.data(let host), .data(let behind)) where behind == host + whole.count: break
      case (.zero, .zero), (.absent, .absent): break
      default: return described(whole)
      }
      whole.count += next.count
    }
    return described(whole)
  }

  private func described(_ run: Run) -> BlockExtent {
    let count = max(1, run.count / 512)
    return switch run.kind {
    case .data(let host): BlockExtent(.data, count: count, offset: isExternal ? nil : host)
    case .compressed: BlockExtent(.data, count: count, isCompressed: true)
    case .zero: BlockExtent(.zero, count: count)
    case .absent: BlockExtent(.absent, count: count)
    }
  }
}
