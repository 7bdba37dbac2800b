// Another size for a VHDX disk.
//
// Owns: which entries of the table a size needs, a table that moves because it has to be longer. Must not know: names, parents' files.
// After: [MS-VHDX] 2.2.3 "Region Table", 2.5 "BAT".

extension VHDXMap {
  func resize(to blockCount: UInt64) throws(StorageError) {
    let size = blockCount * UInt64(blockSize)
    guard size <= VHDXLayout.largest else {
      throw store.refusal("a VHDX image holds at most \(VHDXLayout.largest) bytes")
    }
    let entries = VHDXMap.entries(
      diskSize: size, blockSize: unit, sectorSize: blockSize, hasParent: metadata.hasParent)
    guard metadata.diskSizeOffset % 4096 <= 4088 else {
      throw store.refusal(at: metadata.diskSizeOffset, "the disk's size lies across pages")
    }
    let old = entryCount
    if blockCount > self.blockCount {
      if baseByteCount > self.blockCount * UInt64(blockSize) {
        throw store.refusal(
          "cannot be made larger: its parent is larger than it, and what is there would show")
      }
      for number in old..<max(old, min(entries, batRegion.length / 8))
      where try raw(number) != 0 {
        try setRaw(number, State.notPresent)
        if table.dirtyCount > VHDXMap.mostDirty { try commit() }
      }
      try clearTail()
      if entries > batRegion.length / 8 { try moveTable(entries) }
      try setDiskSize(size)
      self.blockCount = blockCount
      return
    }
    try setDiskSize(size)
    self.blockCount = blockCount
    // A block that is cut off in the middle keeps its room; what is wholly cut off loses it.
    for number in entries..<max(old, entries) where try raw(number) != 0 {
      try setRaw(number, State.notPresent)
      if table.dirtyCount > VHDXMap.mostDirty { try commit() }
    }
    try commit()
  }

  /// A larger table, behind everything; the old one's room stays unused. The names of both places are in the two copies of the region table,
  /// whose first pages change with one entry of the log.
  private func moveTable(_ entries: UInt64) throws(StorageError) {
    try commit()
    let (place, length) = (try nextPlace(), (entries * 8).rounded(upTo: 1 << 20))
    guard length <= UInt64(UInt32.max), place + length <= 1 << 47 else {
      throw store.refusal("a table of \(length) bytes has no room")
    }
    try store.grow(to: place + length)
    try ByteCopy.copy(store, batRegion.offset, to: store, place, count: batRegion.length)
    let rest = place + batRegion.length
    try store.zero(at: rest, count: place + length - rest, releasing: false)
    try store.flush()
    guard let old = try VHDXRegions.copies(store).compactMap({ $0 }).first else {
      throw store.refusal(at: VHDXLayout.regionTables[0], "both region tables are damaged")
    }
    var fields = Fields(old)
    let count = Int(min(2047, fields.little(8, as: UInt32.self)))
    guard
      let at = (0..<count).map({ 16 + $0 * 32 }).first(where: {
        GUID(little: fields.slice($0, 16)) == VHDXLayout.batRegion
      }), at + 32 <= 4096
    else { throw store.refusal(at: VHDXLayout.regionTables[0], "has no table to be moved") }
    fields.setLittle(at + 16, place)
    fields.setLittle(at + 24, UInt32(length))
    fields.setLittle(4, UInt32(0))
    fields.setLittle(4, CRC32C.sum(fields.bytes, hole: 4))
    for (start, copy) in zip(VHDXLayout.regionTables, try VHDXRegions.copies(store)) {
      // One that was damaged is whole again.
      if copy == nil { try store.write(at: start + 4096, fields.slice(4096, fields.count - 4096)) }
      try sizes.change(start, count: 4096) { $0.copyBytes(from: fields.slice(0, 4096)) }
    }
    next = place + length
    try commit()
    batRegion.offset = place
    batRegion.length = length
    regions = regions.map { $0.id == batRegion.id ? batRegion : $0 }
    table.move(start: place, end: place + length)
  }

  private func setDiskSize(_ size: UInt64) throws(StorageError) {
    try commit()
    try sizes.put(metadata.diskSizeOffset, size.littleEndian)
    try commit()
  }

  /// What is behind the disk's end in its last block was cut off once, or never used.
  private func clearTail() throws(StorageError) {
    let sectors = unit / UInt64(blockSize)
    let index = blockCount % sectors
    let number = self.index(blockCount / sectors)
    guard index != 0, case .at = try entry(number) else { return }
    let place = try place(number, try raw(number))
    try store.zero(
      at: place + index * UInt64(blockSize), count: (sectors - index) * UInt64(blockSize),
      releasing: true)
    try store.flush()
  }
}
