// Zeros on a QCOW2 disk, and room given back.
//
// Owns: writeZeroes and discard. Must not know: how tables get into the file.
// After: QEMU, docs/interop/qcow2.txt, "Standard Cluster Descriptor", "Extended L2 Entries".

extension QCOW2Image {
  public func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    try checkBlocks(block, count)
    if count == 0 { return }
    let refcounts = try prepareWrite()
    hashes.note(block, count)
    try zeroDisk(block * 512, (block + count) * 512, refcounts)
  }

  public func discard(block: UInt64, count: UInt64) throws(StorageError) {
    try writeZeroes(block: block, count: count)
  }

  /// Makes bytes of the disk zeros. Whole clusters give their room back.
  func zeroDisk(_ start: UInt64, _ end: UInt64, _ refcounts: QCOW2Refcounts) throws(StorageError) {
    let size = UInt64(layout.clusterSize)
    var place = start
    while place < end {
      let within = place & layout.clusterMask
      let step = min(size - within, end - place)
      // The disk's end need not be a cluster's.
      if within == 0 && (step == size || place + step == diskSize) {
        let skipped = try nothingThere(place, end)
        if skipped >= size {
          place += min(skipped & ~layout.clusterMask, end - place)
          continue
        }
        try zeroCluster(place, refcounts)
      } else if try needsZeros(from: place, to: place + step) {
        try zeroPart(place, Int(step), refcounts)
      }
      place += step
      try writeBackIfFull()
    }
  }

  private func needsZeros(from place: UInt64, to end: UInt64) throws(StorageError) -> Bool {
    if zeroesAreOwn { return true }
    return try !readsAsZeros(from: place, to: end)
  }

  /// Bytes from a place on that read as zeros and have no room that could be given back.
  private func nothingThere(_ place: UInt64, _ end: UInt64) throws(StorageError) -> UInt64 {
    if isRawExternal || zeroesAreOwn { return 0 }
    let run = try run(place, limit: end - place)
    guard run.kind == .absent, readsAsZeros(run, place) else { return 0 }
    // In an extended entry without allocated subclusters there may still be a cluster.
    if layout.hasExtendedL2, try entry(place).hostOffset != 0 { return 0 }
    if layout.hasExtendedL2 && run.count > UInt64(layout.clusterSize), try l2Table(place) != nil {
      return UInt64(layout.clusterSize)
    }
    return run.count
  }

  private var isRawExternal: Bool { header.isRawExternal }

  private func zeroCluster(_ place: UInt64, _ refcounts: QCOW2Refcounts) throws(StorageError) {
    let size = UInt64(layout.clusterSize)
    if isRawExternal {
      // The data file is a raw disk too: the zeros have to be in it.
      let end = min(place + size, data.size)
      if place < end { try data.zero(at: place, count: end - place, releasing: true) }
      if try !readsAsZeros(from: place, to: min(place + size, diskSize)) {
        let table = try writableTable(place, refcounts)
        try set(
          place, in: table,
          QCOW2Entry(
            word: place | QCOW2Layout.copied, bitmap: layout.hasExtendedL2 ? 0xFFFF_FFFF : 0))
      }
      return
    }
    let old = try entry(place)
    let last = min(place + size, diskSize)
    let showsBase =
      zeroesAreOwn
      || base.map { $0.nextData(from: place / 512) < (last + 511) / 512 } ?? false
    let new: QCOW2Entry
    if !showsBase {
      new = .absent
    } else if layout.hasExtendedL2 {
      new = QCOW2Entry(word: 0, bitmap: 0xFFFF_FFFF_0000_0000)
    } else if layout.hasZeroFlag {
      new = QCOW2Entry(word: QCOW2Layout.zeroFlag)
    } else {
      // Version 2 has nothing to say so but zeros.
      if try needsZeros(from: place, to: last) {
        try zeroPart(place, Int(last - place), refcounts)
      }
      return
    }
    if new == old { return }
    let table = try writableTable(place, refcounts)
    try set(place, in: table, new)
    leave(old, refcounts)
  }

  private func zeroPart(_ place: UInt64, _ count: Int, _ refcounts: QCOW2Refcounts)
    throws(StorageError)
  {
    let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
    defer { zeros.deallocate() }
    zeros.initializeMemory(as: UInt8.self, repeating: 0)
    try writeDisk(place, UnsafeRawBufferPointer(zeros), refcounts)
  }
}

extension QCOW2Image: RebasedDevice {}

extension QCOW2Image: EmptiableDevice {
  public func makeEmpty() throws(StorageError) {
    let refcounts = try prepareWrite()
    hashes.forget()
    compressedEnd = nil
    for index in l1.indices where l1[index] & QCOW2Layout.hostOffsetMask != 0 {
      let start = UInt64(index) << UInt64(layout.l1Bits)
      for n in 0..<1 << UInt64(layout.l2Bits) {
        let place = start + UInt64(n) << UInt64(layout.clusterBits)
        let old = try entry(place)
        if old == .absent { continue }
        let table = try writableTable(place, refcounts)
        try set(place, in: table, .absent)
        leave(old, refcounts)
        try writeBackIfFull()
      }
    }
    try writeBack()
  }
}

extension QCOW2Image: DescribedDevice {
  public var imageFacts: ImageFacts {
    var facts = ImageFacts()
    facts.clusterSize = UInt64(layout.clusterSize)
    facts.isDirty = header.incompatible & QCOW2Header.Incompatible.dirty != 0
    facts.isEncrypted = encryption != nil
    facts.encryption = encryption?.container.facts
    facts.baseName = header.backingName
    facts.baseFormat = header.backingFormat
    func isSet(_ bits: UInt64, _ bit: UInt64) -> String { bits & bit != 0 ? "yes" : "no" }
    facts.others = [
      ("version", "\(header.version)"),
      ("refcount bits", "\(layout.refcountBits)"),
      ("compression", header.compressionType == 1 ? "zstd" : "zlib"),
      ("extended L2 entries", isSet(header.incompatible, QCOW2Header.Incompatible.extendedL2)),
      ("lazy refcounts", isSet(header.compatible, QCOW2Header.lazyRefcounts)),
      ("marked corrupt", isSet(header.incompatible, QCOW2Header.Incompatible.corrupt)),
    ]
    if let name = header.dataFileName, isExternal { facts.others.append(("data file", name)) }
    if let bitmaps = header.bitmaps { facts.others.append(("bitmaps", "\(bitmaps.count)")) }
    return facts
  }
}
