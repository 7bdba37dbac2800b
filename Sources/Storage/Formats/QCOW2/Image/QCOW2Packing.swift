// Compressed clusters, written.
//
// Owns: where they go: each behind the one before it, several to a cluster. Must not know: who converts what.
// After: QEMU, docs/interop/qcow2.txt, "Compressed Clusters Descriptor".

extension QCOW2Image: CompressingDevice {
  public var compressionUnit: UInt64 { UInt64(layout.clusterSize / 512) }

  public var compressor: @Sendable (UnsafeRawBufferPointer) -> [UInt8]? {
    let (compression, size) = (QCOW2Compression(header.compressionType, layout), layout.clusterSize)
    return { contents in
      if contents.count == size { return compression.pack(contents) }
      // The disk's end need not be a cluster's.
      var whole = Array(contents)
      whole += repeatElement(0, count: size - whole.count)
      return whole.withUnsafeBytes { compression.pack($0) }
    }
  }

  public func writeCompressed(block: UInt64, _ packed: [UInt8]) throws(StorageError) {
    try checkBlocks(block, 1)
    let place = block * 512
    guard place & layout.clusterMask == 0, !packed.isEmpty, packed.count < layout.clusterSize else {
      throw StorageError(path: name, reason: "compressed data are of whole clusters")
    }
    guard !isExternal else {
      throw StorageError(path: name, reason: "has its data in another file, uncompressed")
    }
    guard encryption == nil else {
      throw StorageError(path: name, reason: "is encrypted, which compressed clusters cannot be")
    }
    let refcounts = try prepareWrite()
    hashes.note(block, min(compressionUnit, blockCount - block))
    let (offset, word) = try room(packed.count, refcounts)
    let table: UInt64
    do throws(StorageError) {
      try store.write(at: offset, packed)
      table = try writableTable(place, refcounts)
    } catch {
      leave(QCOW2Entry(word: word), refcounts)
      throw error
    }
    let old = try entry(place, in: table)
    try set(place, in: table, QCOW2Entry(word: word))
    leave(old, refcounts)
    compressedEnd = offset + UInt64(packed.count)
    if unpacked?.word == word { unpacked?.word = .max }
    try writeBackIfFull()
  }

  /// Room for packed bytes: behind the last ones, if their cluster has some and can be referred to once more.
  private func room(_ count: Int, _ refcounts: QCOW2Refcounts) throws(StorageError) -> (
    offset: UInt64, word: UInt64
  ) {
    let bits = UInt64(layout.clusterBits)
    func word(_ offset: UInt64) throws(StorageError) -> UInt64 {
      guard let word = layout.compressedWord(offset, count) else {
        throw StorageError(
          path: name, offset: offset, reason: "a compressed cluster cannot lie so far behind")
      }
      return word
    }
    if let end = compressedEnd, end & layout.clusterMask != 0 {
      let cluster = end >> bits
      let fits = Int(layout.clusterMask + 1 - end & layout.clusterMask) >= count
      let now = try refcounts.count(cluster)
      if now > 0 && now < layout.largestRefcount {
        let hasRoom = fits ? true : try refcounts.allocate(behind: cluster) != nil
        if hasRoom {
          let word = try word(end)
          _ = try refcounts.add(cluster)
          return (end, word)
        }
      }
    }
    let run = try refcounts.allocate(1)
    return (run.first << bits, try word(run.first << bits))
  }
}

extension CompressingDevice {
  /// Writes a unit, or what is left of one at the disk's end: compressed where that saves room, as zeros where it holds nothing else.
  public func writeCompressed(block: UInt64, from contents: UnsafeRawBufferPointer)
    throws(StorageError)
  {
    try BlockRange.check(name, block, contents.count, blockCount, blockSize)
    if contents.allSatisfy({ $0 == 0 }) {
      try writeZeroes(block: block, count: UInt64(contents.count / blockSize))
    } else if let packed = compressor(contents) {
      try writeCompressed(block: block, packed)
    } else {
      try write(block: block, from: contents)
    }
  }
}
