// Another size for a VDI disk.
//
// Owns: a table that is longer or shorter, blocks that move so that there are no gaps. Must not know: names, parents' files.
// After: the VDI format as publicly documented for VirtualBox.

extension VDIMap {
  func resize(to blockCount: UInt64) throws(StorageError) {
    let size = blockCount * 512
    let entries = size / header.blockSize + (size % header.blockSize == 0 ? 0 : 1)
    guard entries <= VDIHeader.mostBlocks else { throw store.refusal("too many blocks") }
    if blockCount < self.blockCount { return try shrink(to: blockCount, entries) }
    if baseByteCount > self.blockCount * 512 {
      throw store.refusal(
        "cannot be made larger: its parent is larger than it, and what is there would show")
    }
    if header.kind == .fixed {
      throw store.refusal("a fixed VDI image cannot be made larger")
    }
    // Behind the old end of the last block there may be anything.
    let sectors = sectorsInBlock
    let index = self.blockCount % sectors
    if index != 0, case .at(let place) = try entry(self.blockCount / sectors) {
      try store.grow(to: place + unit)
      try store.zero(
        at: place + header.blockExtra + index * 512, count: (sectors - index) * 512,
        releasing: true)
    }
    if entries > (header.dataOffset - header.blocksOffset) / 4 {
      return try moveTable(size, entries)
    }
    let old = header.blockCount
    let end = header.blocksOffset + entries * 4
    try store.grow(to: end)
    table.move(start: header.blocksOffset, end: end)
    for number in old..<max(old, entries) {
      try setEntry(number, .none)
      if table.isFull { try commit() }
    }
    try commit()
    header.setDisk(size: size)
    headerIsDirty = true
    try writeHeader()
    try store.flush()
    self.blockCount = blockCount
  }

  /// A larger table, where the first blocks are now: they move behind the others. The data begin that many blocks later then, so that every
  /// block has a smaller number: that is in the new table, and the header, which is one sector, changes from one to the other.
  private func moveTable(_ size: UInt64, _ entries: UInt64) throws(StorageError) {
    var free = try places()
    guard free.gaps.isEmpty else {
      throw store.refusal("has gaps between its blocks; a repair closes them")
    }
    let start = header.dataOffset
    let shift = ((entries * 4).rounded(upTo: 512) + unit - 1) / unit
    guard start + shift * unit <= UInt64(UInt32.max) else {
      throw store.refusal("the image's table has no room for \(entries) blocks")
    }
    // Whoever goes on with what a power failure leaves here gives a new block a number above all of these.
    let target = max(free.next, shift)
    header.setAllocated(min(header.blockCount, target + min(shift, free.next)))
    headerIsDirty = true
    try writeHeader()
    try store.grow(to: start + (target + shift) * unit)
    try store.flush()
    var behind = target
    for number in 0..<entryCount {
      guard case .at(let place) = try entry(number), place < start + shift * unit else { continue }
      let new = start + behind * unit
      try ByteCopy.copy(store, place, to: store, new, count: min(unit, store.size - place))
      try store.flush()
      try setEntry(number, .at(new))
      try table.writeBack()
      behind += 1
    }
    try store.flush()
    // Nothing is in the new table's place any more.
    var at = start
    var known: UInt64 = 0
    while known < entries {
      var page = Fields(count: Int(min(65536, ((entries - known) * 4).rounded(upTo: 512))))
      for n in 0..<page.count / 4 {
        let number = known + UInt64(n)
        var value = UInt32.max
        if number < entryCount {
          switch try entry(number) {
          case .none: break
          case .zero: value = UInt32.max - 1
          case .at(let place): value = UInt32((place - start) / unit - shift)
          }
        }
        page.setLittle(n * 4, value)
      }
      try store.write(at: at, page.bytes)
      at += UInt64(page.count)
      known += UInt64(page.count / 4)
    }
    try store.flush()
    header.setTable(offset: start, dataOffset: start + shift * unit)
    header.setDisk(size: size)
    header.setAllocated(free.count)
    headerIsDirty = true
    try writeHeader()
    try store.flush()
    table.move(start: header.blocksOffset, end: header.blocksOffset + entries * 4)
    blockCount = size / 512
    free.next = behind - shift
    self.free = free
  }

  /// Blocks that are cut off leave no gaps: the last ones move there.
  private func shrink(to blockCount: UInt64, _ entries: UInt64) throws(StorageError) {
    var free = try places()
    guard free.gaps.count < 4096 else {
      throw store.refusal("has many gaps between its blocks; a repair closes them")
    }
    // What is cut off goes first, while the disk has its old size: an image that is left in the middle is whole, and is cut by the next
    // attempt. Size and count change in one write: the count of a disk may not be above its blocks.
    var gone: [UInt64] = []
    for number in entries..<max(entries, header.blockCount) {
      guard case .at(let place) = try entry(number) else { continue }
      gone.append((place - header.dataOffset) / unit)
      try setEntry(number, .none)
      if table.isFull { try commit() }
    }
    try commit()
    try store.flush()
    let gaps = (gone + free.gaps).sorted()
    free.count -= UInt64(gone.count)
    try fillGaps(gaps, &free, entries)
    header.setDisk(size: blockCount * 512)
    header.setAllocated(free.count)
    headerIsDirty = true
    try writeHeader()
    try store.flush()
    self.blockCount = blockCount
    table.move(start: header.blocksOffset, end: header.blocksOffset + entries * 4)
    self.free = free
    let end = header.dataOffset + free.next * unit
    if end < store.size { try store.setSize(end) }
  }

  /// Moves the blocks with the highest places into gaps, each only when its copy is safe.
  func fillGaps(_ gaps: [UInt64], _ free: inout FreePlaces, _ entries: UInt64)
    throws(StorageError)
  {
    var movable: [(place: UInt64, number: UInt64)] = []
    for number in 0..<entries {
      if case .at(let place) = try entry(number) {
        let index = (place - header.dataOffset) / unit
        if index >= free.count { movable.append((index, number)) }
      }
    }
    let targets = gaps.filter { $0 < free.count }
    for (target, source) in zip(targets, movable) {
      let place = header.dataOffset + target * unit
      try ByteCopy.copy(
        store, header.dataOffset + source.place * unit, to: store, place, count: unit)
      try store.flush()
      try setEntry(source.number, .at(place))
      try table.writeBack()
    }
    try store.flush()
    free.gaps = []
    free.next = free.count
  }
}
