// The blocks of a VHD image.
//
// Owns: its table of blocks and their bitmaps, where a new block goes, the order of writes. Must not know: names, parents' files.
// After: Virtual Hard Disk Image Format Specification 1.0 (Microsoft), "Block Allocation Table and Data Blocks".
//
// A block is a bitmap with a bit for each sector, in whole sectors, and the data behind it. A sector whose bit is 0 is the parent's; of an
// image without one it is zeros. New blocks go where the footer at the end is, which moves; until it has been written, the copy at the
// beginning counts. The order: data and the new footer; bitmaps; the table.

final class VHDMap: BlockMap, BlockTable {
  let store: any ByteStore
  private(set) var footer: VHDFooter
  /// Nil of a fixed image.
  private(set) var header: VHDHeader?
  private(set) var blockCount: UInt64
  let blockSize = 512
  let base: (any BlockDevice)?
  /// How large the parent's disk is.
  let baseByteCount: UInt64
  let kindOfImage: VHDKind
  /// Where the footer at the end is; nil: there is no good one.
  private var footerPlace: UInt64?
  /// A footer at the end stays the end.
  var mayLengthen: Bool { footerPlace == nil }
  /// Where the next block goes; nil until the table has been looked through.
  private var next: UInt64?
  private let bitmaps: MetadataCache
  private let table: MetadataCache
  private var hasPrepared = false
  /// The flush that what is held waits for.
  private var begun: UInt64 = 0

  private static let unused = UInt32.max

  init(
    _ store: any ByteStore, _ footer: VHDFooter, _ header: VHDHeader?, sectorCount: UInt64,
    footerPlace: UInt64?, base: (any BlockDevice)?, baseByteCount: UInt64
  ) {
    self.store = store
    self.footer = footer
    self.header = header
    self.base = base
    self.baseByteCount = baseByteCount
    self.footerPlace = footerPlace
    blockCount = sectorCount
    kindOfImage = footer.kind ?? .fixed
    bitmaps = MetadataCache(store, start: 0, end: .max, pageSize: 512, byteLimit: 1 << 19)
    table = MetadataCache(
      store, start: header?.tableOffset ?? 0, end: header?.tableRange.upperBound ?? 0)
  }

  var kind: String { "\(kindOfImage.words) image" }
  var uniqueID: GUID { footer.uniqueID }

  // MARK: The table

  var entryCount: UInt64 { min(UInt64(header?.entryCount ?? 0), usedEntries) }
  /// As many blocks as the disk has.
  private var usedEntries: UInt64 {
    let sectors = sectorsInBlock
    return blockCount / sectors + (blockCount % sectors == 0 ? 0 : 1)
  }
  var unit: UInt64 { dataSize + bitmapSize }
  var dataStart: UInt64 { VHDFooter.size }
  let unitName = "block"
  private var dataSize: UInt64 { header?.blockSize ?? 512 }
  private var bitmapSize: UInt64 { header?.bitmapSize ?? 0 }
  private var sectorsInBlock: UInt64 { dataSize / 512 }

  /// Headers, table, names of the parent.
  var reserved: [Range<UInt64>] {
    guard let header else { return [] }
    return [header.offset..<header.offset + UInt64(VHDHeader.size), header.tableRange]
      + header.locatorRanges
  }

  func entryOffset(_ number: UInt64) -> UInt64 { (header?.tableOffset ?? 0) + number * 4 }

  func entry(_ number: UInt64) throws(StorageError) -> TableEntry {
    let value = UInt32(bigEndian: try table.load(entryOffset(number), as: UInt32.self))
    return value == VHDMap.unused ? .none : .at(UInt64(value) * 512)
  }

  func setEntry(_ number: UInt64, _ entry: TableEntry) throws(StorageError) {
    var value = VHDMap.unused
    if case .at(let place) = entry {
      guard let sector = UInt32(exactly: place / 512), sector < VHDMap.unused else {
        throw store.refusal(at: place, "the image is full: its table reaches no further")
      }
      value = sector
    }
    try table.put(entryOffset(number), value.bigEndian)
  }

  /// Where a block is, checked; nil: nowhere.
  private func place(_ number: UInt64) throws(StorageError) -> UInt64? {
    guard case .at(let place) = try entry(number) else { return nil }
    if place < dataStart || place >= store.size || unit > store.size - place {
      throw store.refusal(
        at: entryOffset(number), "block \(number) \(fault(of: place, number) ?? "")")
    }
    return place
  }

  func run(at block: UInt64, limit: UInt64) throws(StorageError) -> MappedRun {
    guard header != nil else {
      return MappedRun(kind: .data, count: min(limit, blockCount - block), offset: block * 512)
    }
    let sectors = sectorsInBlock
    var number = block / sectors
    let index = block % sectors
    var count = min(limit, sectors - index)
    guard let place = try place(number) else {
      while count < limit {
        number += 1
        guard number < entryCount, try entry(number) == .none else { break }
        count = min(limit, count + sectors)
      }
      return MappedRun(kind: .absent, count: count)
    }
    let (isSet, length) = try bitmaps.bits(place, index, count, .highestFirst)
    if !isSet { return MappedRun(kind: .absent, count: length) }
    return MappedRun(kind: .data, count: length, offset: place + bitmapSize + index * 512)
  }

  /// The first sector is the highest bit of the first byte.
  private func setBits(_ place: UInt64, _ index: UInt64, _ count: UInt64) throws(StorageError) {
    try bitmaps.setBits(place, index, count, to: true, .highestFirst)
  }

  // MARK: Changes

  func prepareChange() throws(StorageError) {
    if hasPrepared { return }
    if header != nil, footerPlace == nil {
      // The copy at the beginning was used: the one at the end is put right before anything else.
      let place = store.size.rounded(upTo: 512)
      try writeFooter(at: place)
      try store.flush()
    }
    hasPrepared = true
  }

  private func writeFooter(at place: UInt64) throws(StorageError) {
    try store.grow(to: place + VHDFooter.size)
    try store.write(at: place, footer.bytes)
    footerPlace = place
  }

  func fill(_ block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) -> UInt64 {
    let sectors = sectorsInBlock
    let (number, index) = (block / sectors, block % sectors)
    let count = min(UInt64(buffer.count) / 512, sectors - index)
    let data = UnsafeRawBufferPointer(rebasing: buffer[..<(Int(count) * 512)])
    if let place = try place(number) {
      try store.write(at: place + bitmapSize + index * 512, from: data)
      try setBits(place, index, count)
    } else {
      let place = try allocate()
      try store.write(at: place + bitmapSize + index * 512, from: data)
      // Without a parent the rest is zeros, as it is in the file.
      if base == nil {
        try setBits(place, 0, sectors)
      } else {
        try setBits(place, index, count)
      }
      try setEntry(number, .at(place))
    }
    if bitmaps.isFull || table.isFull { try commit() }
    return count
  }

  /// Room for a block, with a bitmap of zeros and data of zeros.
  private func allocate() throws(StorageError) -> UInt64 {
    let place = aligned(try nextPlace())
    let end = place + unit
    guard end <= UInt64(UInt32.max - 1) * 512 else {
      throw store.refusal(at: place, "the image is full: its table reaches no further")
    }
    let before = store.size
    let old = footerPlace ?? before
    if end + VHDFooter.size > before {
      try writeFooter(at: end)
      // Where data will be over the old one, the new one has to be there first.
      if place < old { try store.flush() }
    }
    if place < old { try store.zero(at: place, count: min(end, before) - place, releasing: false) }
    bitmaps.drop(place..<place + bitmapSize)
    for at in stride(from: place, to: place + bitmapSize, by: 512) {
      try bitmaps.change(at, count: 512) { $0.initializeMemory(as: UInt8.self, repeating: 0) }
    }
    next = end
    return place
  }

  /// Data begin where hosts keep them together best; the bitmap is right before. The room between blocks is a hole.
  private func aligned(_ place: UInt64) -> UInt64 {
    let unit: UInt64 = dataSize >= 2 << 20 ? 65536 : 4096
    return (place + bitmapSize).rounded(upTo: unit) - bitmapSize
  }

  /// Behind the last block; what is there was never named by a table, or is the footer.
  private func nextPlace() throws(StorageError) -> UInt64 {
    if let next { return next }
    let map = try soundSurvey()
    let place = reserved.map(\.upperBound).reduce(map.end) { max($0, $1) }.rounded(upTo: 512)
    next = place
    return place
  }

  func settle() throws(StorageError) -> Bool {
    if bitmaps.isHolding || table.isHolding {
      guard try store.hasFlushed(begun) else { return true }
      if bitmaps.isHolding {
        try bitmaps.writeHeld()
        if table.isHolding {
          begun = try store.beginFlush()
          return true
        }
      }
      try table.writeHeld()
    }
    if !bitmaps.isDirty && !table.isDirty { return false }
    bitmaps.hold()
    table.hold()
    begun = try store.beginFlush()
    return true
  }

  func letGo() {
    bitmaps.letGo()
    table.letGo()
  }

  func commit() throws(StorageError) {
    letGo()
    try store.flush()
    if bitmaps.isDirty {
      try bitmaps.writeBack()
      try store.flush()
    }
    if table.isDirty {
      try table.writeBack()
      try store.flush()
    }
  }

  // MARK: Another size

  func resize(to blockCount: UInt64) throws(StorageError) {
    let byteCount = blockCount * 512
    guard byteCount <= VHDFooter.largest else {
      throw store.refusal("a VHD image holds at most \(VHDFooter.largest) bytes")
    }
    let grows = blockCount > self.blockCount
    if grows, baseByteCount > self.blockCount * 512 {
      throw store.refusal(
        "cannot be made larger: its parent is larger than it, and what is there would show")
    }
    let before = footer
    do throws(StorageError) { try changeSize(to: blockCount, grows: grows) } catch {
      // The next footer that is written is not that of a disk that did not come to be.
      footer = before
      throw error
    }
  }

  private func changeSize(to blockCount: UInt64, grows: Bool) throws(StorageError) {
    let byteCount = blockCount * 512
    // From now on the size counts, not a geometry.
    footer.setCreator("win ")
    guard let header else { return try resizeFixed(to: byteCount) }
    if grows {
      try growTable(header, to: (byteCount + header.blockSize - 1) / header.blockSize)
      try clearTail()
      footer.setSize(byteCount)
      try writeFooters()
      self.blockCount = blockCount
      return
    }
    let entries = entryCount
    footer.setSize(byteCount)
    try writeFooters()
    self.blockCount = blockCount
    for number in entryCount..<max(entries, entryCount) where try entry(number) != .none {
      try setEntry(number, .none)
    }
    try commit()
  }

  private func writeFooters() throws(StorageError) {
    try store.write(at: 0, footer.bytes)
    try store.flush()
    try writeFooter(at: footerPlace ?? store.size.rounded(upTo: 512))
    try store.flush()
  }

  /// What is in the last block behind the disk's end was cut off once, or never used: the disk's new part is zeros.
  private func clearTail() throws(StorageError) {
    let sectors = sectorsInBlock
    let index = blockCount % sectors
    guard index != 0, let place = try place(blockCount / sectors) else { return }
    try store.zero(
      at: place + bitmapSize + index * 512, count: (sectors - index) * 512, releasing: true)
    try store.flush()
    try setBits(place, index, sectors - index)
    try commit()
  }

  /// The footer at the file's end is the only one, and one sector: as long as it tells of the old size the rest is nobody's, and there is no
  /// moment at which the file has another end without one.
  private func resizeFixed(to byteCount: UInt64) throws(StorageError) {
    let (old, size) = (footerPlace ?? blockCount * 512, blockCount * 512)
    if byteCount > old {
      try store.extend(at: byteCount, oldFooter(of: size))
      try store.flush()
      footerPlace = byteCount
    }
    if byteCount > size {
      // The footer that was there, and what others left before it, is no part of the disk.
      let end = byteCount > old ? min(old + VHDFooter.size, byteCount) : byteCount
      if end > size { try store.zero(at: size, count: end - size, releasing: false) }
      try store.flush()
    }
    footer.setSize(byteCount)
    try store.write(at: footerPlace ?? old, footer.bytes)
    try store.flush()
    if byteCount < old {
      try store.write(at: byteCount, footer.bytes)
      try store.flush()
      try store.setSize(byteCount + VHDFooter.size)
      footerPlace = byteCount
      try store.flush()
    }
    blockCount = byteCount / 512
  }

  /// The footer of the disk before it changes.
  private func oldFooter(of size: UInt64) -> [UInt8] {
    var old = footer
    old.setSize(size)
    return old.bytes
  }

  /// A longer table, at the end of the file; the old one's room stays unused.
  private func growTable(_ header: VHDHeader, to entries: UInt64) throws(StorageError) {
    guard let count = UInt32(exactly: entries) else { throw store.refusal("too many blocks") }
    let room = (header.tableRange.upperBound - header.tableOffset) / 4
    if entries <= UInt64(header.entryCount) { return }
    var changed = header
    if entries <= room {
      // The last sector of the table has room; what is there may be anything.
      for number in UInt64(header.entryCount)..<entries { try setEntry(number, .none) }
      try commit()
      changed.setTable(offset: header.tableOffset, entryCount: count)
    } else {
      let place = try nextPlace()
      let bytes = (entries * 4).rounded(upTo: 512)
      try writeFooter(at: max(place + bytes, (footerPlace ?? 0) + VHDFooter.size))
      try store.flush()
      let known = UInt64(header.entryCount) * 4
      try ByteCopy.copy(store, header.tableOffset, to: store, place, count: known)
      var at = place + known
      let blank = [UInt8](repeating: 0xFF, count: 65536)
      while at < place + bytes {
        let part = min(place + bytes - at, 65536)
        try store.write(at: at, Array(blank[..<Int(part)]))
        at += part
      }
      try store.flush()
      next = place + bytes
      changed.setTable(offset: place, entryCount: count)
    }
    try store.write(at: header.offset, changed.bytes)
    try store.flush()
    self.header = changed
    table.move(start: changed.tableOffset, end: changed.tableRange.upperBound)
  }

  // MARK: Checks

  /// Gives a block a copy of what another has as well; nil when there is no room.
  func relocate(_ number: UInt64, _ place: UInt64, _ map: inout SpaceMap) throws(StorageError)
    -> UInt64?
  {
    let target = max(map.end, next ?? 0, reserved.map(\.upperBound).max() ?? 0).rounded(upTo: 512)
    next = target
    try prepareChange()
    let new = try allocate()
    bitmaps.drop(new..<new + bitmapSize)
    try ByteCopy.copy(store, place, to: store, new, count: unit)
    bitmaps.forget()
    try store.flush()
    try setEntry(number, .at(new))
    try commit()
    _ = map.take(new)
    return new
  }

  /// Writes the footers that are missing, from the good one.
  func mendFooters() throws(StorageError) {
    if header != nil { try store.write(at: 0, footer.bytes) }
    try prepareChange()
    try store.flush()
  }

  /// Gives back what is behind the last block.
  func cutTail(after end: UInt64) throws(StorageError) {
    let place = end.rounded(upTo: 512)
    try store.grow(to: place + VHDFooter.size)
    try store.write(at: place, footer.bytes)
    try store.flush()
    try store.setSize(place + VHDFooter.size)
    try store.flush()
    footerPlace = place
  }
}
