// Reading a QCOW2 disk.
//
// Owns: from runs to bytes; compressed clusters unpacked. Must not know: writing.
// After: QEMU, docs/interop/qcow2.txt, "Compressed Clusters Descriptor".

extension QCOW2Image {
  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    try readDisk(block * 512, buffer)
  }

  /// Reads bytes of the disk; what is behind its end reads as zeros.
  func readDisk(_ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    var done = 0
    while done < buffer.count {
      let place = offset + UInt64(done)
      let run = try run(place, limit: UInt64(buffer.count - done))
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + Int(run.count)])
      switch run.kind {
      case .data(let host): try readData(host, part)
      case .zero: part.initializeMemory(as: UInt8.self, repeating: 0)
      case .absent: try readBase(place, part)
      case .compressed(let word):
        let whole = try unpack(word, place)
        part.copyMemory(
          from: UnsafeRawBufferPointer(
            rebasing: whole[Int(place & layout.clusterMask)...].prefix(part.count)))
      }
      done += part.count
    }
  }

  /// The end of the last cluster may be missing in the file: it reads as zeros.
  private func readData(_ host: UInt64, _ part: UnsafeMutableRawBufferPointer) throws(StorageError)
  {
    if host <= data.size, UInt64(part.count) <= data.size - host {
      return try data.read(at: host, into: part)
    }
    let there = host < data.size ? Int(data.size - host) : 0
    if there > 0 {
      try data.read(at: host, into: UnsafeMutableRawBufferPointer(rebasing: part[..<there]))
    }
    UnsafeMutableRawBufferPointer(rebasing: part[there...]).initializeMemory(
      as: UInt8.self, repeating: 0)
  }

  private func readBase(_ place: UInt64, _ part: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    guard let base, place < diskSize else {
      part.initializeMemory(as: UInt8.self, repeating: 0)
      return
    }
    // Places and counts are of whole sectors; only a cluster's end may lie behind the disk's.
    let there = Int(min(UInt64(part.count), diskSize - place))
    try base.read(
      block: place / 512, into: UnsafeMutableRawBufferPointer(rebasing: part[..<there]))
    if there < part.count {
      UnsafeMutableRawBufferPointer(rebasing: part[there...]).initializeMemory(
        as: UInt8.self, repeating: 0)
    }
  }

  /// A compressed cluster's contents; valid until the next one is unpacked.
  func unpack(_ word: UInt64, _ place: UInt64) throws(StorageError) -> UnsafeRawBufferPointer {
    if let unpacked, unpacked.word == word { return UnsafeRawBufferPointer(unpacked.memory) }
    let (offset, count) = layout.compressedRange(word)
    func refuse(_ reason: String) -> StorageError {
      StorageError(
        path: name, offset: offset,
        reason:
          "the compressed cluster for offset \(place & ~layout.clusterMask) of the disk \(reason)")
    }
    guard !isExternal else { throw refuse("cannot be, as the data are in another file") }
    guard offset < store.size else { throw refuse("lies behind the file's end") }
    let packed = try store.bytes(at: offset, count: count)
    let memory =
      unpacked?.memory
      ?? UnsafeMutableRawBufferPointer.allocate(byteCount: layout.clusterSize, alignment: 4096)
    unpacked = (.max, memory)
    guard QCOW2Compression(header.compressionType, layout).unpack(packed, into: memory) else {
      throw refuse("cannot be unpacked")
    }
    unpacked = (word, memory)
    return UnsafeRawBufferPointer(memory)
  }
}
