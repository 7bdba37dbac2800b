// The blocks of a VHDX image.
//
// Owns: the table of blocks (BAT) and the sector bitmaps, where a new block goes, the order of writes through the log. Must not know: names,
// parents' files. After: [MS-VHDX] 2.4 "Blocks", 2.5 "BAT", 2.3 "Log".
//
// The table has an entry for each payload block, and behind as many of them as a sector bitmap covers (a chunk) one for that. Tables and
// bitmaps are changed through the log only: data are written and flushed, the new pages go into the log, that is flushed, and they go to their
// places, which is flushed before the next entry is written.

final class VHDXMap: BlockMap, BlockTable, IdentifiedMap, ChangeMarkingMap {
  var keepsIdentifier = false
  private(set) var store: any ByteStore
  let blockSize: Int
  var blockCount: UInt64
  let base: (any BlockDevice)?
  /// How large the parent's disk is.
  let baseByteCount: UInt64
  let metadata: VHDXMetadata
  private(set) var header: VHDXHeader
  var batRegion: VHDXRegions.Region
  var regions: [VHDXRegions.Region]
  /// Payload blocks that share a sector bitmap.
  private let chunkRatio: UInt64
  let table: MetadataCache
  private let bitmaps: MetadataCache
  let sizes: MetadataCache
  private var log: VHDXLog.Writer?
  var next: UInt64?
  private var hasPrepared = false
  /// How long the file was at the last flush.
  private var flushedSize: UInt64
  /// The flush that what is held waits for, and how long the file was then.
  private var begun: UInt64 = 0
  private var begunSize: UInt64 = 0
  /// What is held is in the log.
  private var isLogged = false

  enum State {
    static let notPresent: UInt64 = 0
    static let undefined: UInt64 = 1
    static let zero: UInt64 = 2
    static let unmapped: UInt64 = 3
    static let fullyPresent: UInt64 = 6
    static let partiallyPresent: UInt64 = 7
  }
  private static let bitmapSize: UInt64 = 1 << 20
  /// What is changed between two entries of the log at most, less what one more write changes.
  static let mostDirty = 90

  init(
    _ store: any ByteStore, _ header: VHDXHeader, _ regions: VHDXRegions,
    _ bat: VHDXRegions.Region, _ metadata: VHDXMetadata, base: (any BlockDevice)?,
    baseByteCount: UInt64
  ) {
    self.store = store
    self.header = header
    self.metadata = metadata
    self.base = base
    self.baseByteCount = baseByteCount
    self.regions = regions.regions
    batRegion = bat
    blockSize = metadata.sectorSize
    blockCount = metadata.diskSize / UInt64(metadata.sectorSize)
    chunkRatio = VHDXMap.chunkRatio(metadata.sectorSize, metadata.blockSize)
    flushedSize = store.size
    table = MetadataCache(
      store, start: bat.offset, end: bat.range.upperBound, byteLimit: 1 << 20)
    bitmaps = MetadataCache(store, start: 0, end: .max, byteLimit: 1 << 20)
    sizes = MetadataCache(store, start: 0, end: .max, byteLimit: 1 << 16)
  }

  static func chunkRatio(_ sectorSize: Int, _ blockSize: UInt64) -> UInt64 {
    (UInt64(sectorSize) << 23) / blockSize
  }

  /// How many entries the table has.
  static func entries(diskSize: UInt64, blockSize: UInt64, sectorSize: Int, hasParent: Bool)
    -> UInt64
  {
    let ratio = chunkRatio(sectorSize, blockSize)
    let blocks = (diskSize + blockSize - 1) / blockSize
    if hasParent { return (blocks + ratio - 1) / ratio * (ratio + 1) }
    return blocks == 0 ? 0 : blocks + (blocks - 1) / ratio
  }

  var kind: String {
    metadata.hasParent ? "differencing VHDX image" : "VHDX image"
  }
  var uniqueID: GUID { metadata.diskID }
  var changeID: GUID? { header.dataWriteID }

  // MARK: The table

  var entryCount: UInt64 {
    VHDXMap.entries(
      diskSize: blockCount * UInt64(blockSize), blockSize: metadata.blockSize,
      sectorSize: blockSize, hasParent: metadata.hasParent)
  }
  var unit: UInt64 { metadata.blockSize }
  let dataStart: UInt64 = 1 << 20
  let unitName = "entry"
  var reserved: [Range<UInt64>] {
    [header.logRange] + regions.map(\.range)
  }

  private func isBitmap(_ number: UInt64) -> Bool { number % (chunkRatio + 1) == chunkRatio }
  func index(_ payload: UInt64) -> UInt64 { payload + payload / chunkRatio }
  func entryOffset(_ number: UInt64) -> UInt64 { batRegion.offset + number * 8 }
  func bytesInFile(_ number: UInt64) -> UInt64 {
    isBitmap(number) ? VHDXMap.bitmapSize : unit
  }
  func emptyMap() -> SpaceMap { SpaceMap(unit: 1 << 20, start: 0) }

  func take(_ place: UInt64, _ number: UInt64, in map: inout SpaceMap) -> Bool {
    take(place, bytes: bytesInFile(number), in: &map)
  }

  private func take(_ place: UInt64, bytes: UInt64, in map: inout SpaceMap) -> Bool {
    for offset in stride(from: place, to: place + bytes, by: 1 << 20) {
      if !map.take(offset) { return false }
    }
    return true
  }

  @inline(__always)
  func raw(_ number: UInt64) throws(StorageError) -> UInt64 {
    UInt64(littleEndian: try table.load(entryOffset(number), as: UInt64.self))
  }

  private static func place(_ raw: UInt64) -> UInt64 { (raw >> 20) << 20 }

  func entry(_ number: UInt64) throws(StorageError) -> TableEntry {
    let raw = try raw(number)
    switch raw & 7 {
    case State.fullyPresent: return .at(VHDXMap.place(raw))
    case State.partiallyPresent: return .at(VHDXMap.place(raw))
    case State.zero: return .zero
    default: return .none
    }
  }

  /// What is wrong with the state of an entry, or nil.
  func stateFault(_ number: UInt64) throws(StorageError) -> String? {
    let raw = try raw(number)
    let state = raw & 7
    if isBitmap(number) {
      return state == State.notPresent || state == State.fullyPresent
        ? nil : "is a bitmap of state \(state)"
    }
    switch state {
    case 4, 5: return "is of state \(state)"
    case State.partiallyPresent:
      if !metadata.hasParent { return "is partially present in an image without a parent" }
      let bitmap = number / (chunkRatio + 1) * (chunkRatio + 1) + chunkRatio
      return try self.raw(bitmap) & 7 == State.fullyPresent
        ? nil : "is partially present without a bitmap"
    default: return nil
    }
  }

  func setEntry(_ number: UInt64, _ entry: TableEntry) throws(StorageError) {
    switch entry {
    case .none: try setRaw(number, State.notPresent)
    case .zero: try setRaw(number, State.zero)
    case .at(let place): try setRaw(number, place | (try raw(number) & 7))
    }
  }

  func setRaw(_ number: UInt64, _ value: UInt64) throws(StorageError) {
    try table.put(entryOffset(number), value.littleEndian)
  }

  /// The place in an entry, checked.
  func place(_ number: UInt64, _ raw: UInt64) throws(StorageError) -> UInt64 {
    let place = VHDXMap.place(raw)
    let bytes = bytesInFile(number)
    if place < dataStart || place >= store.size || bytes > store.size - place {
      throw store.refusal(
        at: entryOffset(number), "block \(number) \(fault(of: place, number) ?? "lies outside")")
    }
    return place
  }

  func run(at block: UInt64, limit: UInt64) throws(StorageError) -> MappedRun {
    let sectors = unit / UInt64(blockSize)
    var payload = block / sectors
    let index = block % sectors
    var count = min(limit, sectors - index)
    let number = self.index(payload)
    let raw = try raw(number)
    switch raw & 7 {
    case State.fullyPresent:
      let place = try place(number, raw)
      return MappedRun(kind: .data, count: count, offset: place + index * UInt64(blockSize))
    case State.partiallyPresent:
      let place = try place(number, raw)
      let (isSet, length) = try bitmaps.bits(
        try bitmap(of: payload), bitIndex(block), count, .lowestFirst)
      if !isSet { return MappedRun(kind: .absent, count: length) }
      return MappedRun(kind: .data, count: length, offset: place + index * UInt64(blockSize))
    case 4, 5:
      throw store.refusal(at: entryOffset(number), "block \(payload) is of state \(raw & 7)")
    default:
      let blocks = entryBlocks
      while count < limit {
        payload += 1
        guard payload < blocks, try self.raw(self.index(payload)) & 7 == raw & 7 else { break }
        count = min(limit, count + sectors)
      }
      return MappedRun(kind: raw & 7 == State.notPresent ? .absent : .zero, count: count)
    }
  }

  private var entryBlocks: UInt64 {
    let sectors = unit / UInt64(blockSize)
    return (blockCount + sectors - 1) / sectors
  }

  // MARK: Sector bitmaps

  /// A sector's bit in the bitmap of its chunk.
  private func bitIndex(_ block: UInt64) -> UInt64 { block % (1 << 23) }

  private func bitmapEntry(_ payload: UInt64) -> UInt64 {
    payload / chunkRatio * (chunkRatio + 1) + chunkRatio
  }

  /// Where the bitmap of a block's chunk is.
  private func bitmap(of payload: UInt64) throws(StorageError) -> UInt64 {
    let number = bitmapEntry(payload)
    let raw = try raw(number)
    guard metadata.hasParent, raw & 7 == State.fullyPresent else {
      throw store.refusal(
        at: entryOffset(number), "block \(payload) is partially present without a bitmap")
    }
    return try place(number, raw)
  }

  /// The first sector is the lowest bit of the first byte.
  private func setBits(_ place: UInt64, _ index: UInt64, _ count: UInt64, to value: Bool)
    throws(StorageError)
  {
    try bitmaps.setBits(place, index, count, to: value, .lowestFirst)
  }

  // MARK: Changes

  /// A log that was to be replayed is; the header says that file and data are other ones now.
  func prepareChange() throws(StorageError) {
    if hasPrepared { return }
    guard header.logLength >= 1 << 20 else {
      throw store.refusal(
        at: VHDXLayout.headers[header.slot], "has no log, without which it is not written")
    }
    if let patched = store as? PatchedStore {
      try patched.apply()
      store = patched.store
      for cache in [table, bitmaps, sizes] { cache.use(store) }
    }
    try header.advance(store) { header in
      header.fileWriteID = .random()
      if !keepsIdentifier { header.dataWriteID = .random() }
      header.logID = .zero
    }
    log = VHDXLog.Writer(header)
    flushedSize = store.size
    hasPrepared = true
  }

  func fill(_ block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) -> UInt64 {
    let sectors = unit / UInt64(blockSize)
    let payload = block / sectors
    let first = payload * sectors
    let count = min(UInt64(buffer.count / blockSize), sectors - (block - first))
    let data = UnsafeRawBufferPointer(rebasing: buffer[..<(Int(count) * blockSize)])
    let number = index(payload)
    let raw = try raw(number)
    if raw & 7 == State.partiallyPresent {
      let place = try place(number, raw)
      let bitmap = try bitmap(of: payload)
      try store.write(at: place + (block - first) * UInt64(blockSize), from: data)
      try setBits(bitmap, bitIndex(block), count, to: true)
    } else if raw & 7 == State.notPresent, base != nil, count < min(sectors, blockCount - first) {
      // Some of it is the parent's still.
      let bitmap = try ownBitmap(payload)
      let (place, isClean) = try allocate(unit)
      if !isClean { try store.zero(at: place, count: unit, releasing: false) }
      try store.write(at: place + (block - first) * UInt64(blockSize), from: data)
      try setBits(bitmap, bitIndex(first), sectors, to: false)
      try setBits(bitmap, bitIndex(block), count, to: true)
      try setRaw(number, place | State.partiallyPresent)
      next = place + unit
    } else {
      let (place, isClean) = try allocate(unit)
      try fillUnit(
        at: place, in: store, first: first, unit: min(sectors, blockCount - first),
        isClean: isClean, block, from: data, showsBase: false)
      try setRaw(number, place | State.fullyPresent)
      next = place + unit
    }
    if table.dirtyCount + bitmaps.dirtyCount > VHDXMap.mostDirty { try commit() }
    return count
  }

  func blank(_ block: UInt64, count: UInt64) throws(StorageError) -> UInt64 {
    let sectors = unit / UInt64(blockSize)
    let payload = block / sectors
    let size = min(sectors, blockCount - payload * sectors)
    guard block % sectors == 0, count >= size, try raw(index(payload)) & 7 == State.notPresent
    else { return 0 }
    try setRaw(index(payload), State.zero)
    if table.dirtyCount + bitmaps.dirtyCount > VHDXMap.mostDirty { try commit() }
    return size
  }

  /// The bitmap of a block's chunk, which gets room if it has none.
  private func ownBitmap(_ payload: UInt64) throws(StorageError) -> UInt64 {
    let number = bitmapEntry(payload)
    let raw = try raw(number)
    if raw & 7 == State.fullyPresent { return try place(number, raw) }
    let (place, isClean) = try allocate(VHDXMap.bitmapSize)
    if !isClean { try store.zero(at: place, count: VHDXMap.bitmapSize, releasing: false) }
    bitmaps.drop(place..<place + VHDXMap.bitmapSize)
    try setRaw(number, place | State.fullyPresent)
    next = place + VHDXMap.bitmapSize
    return place
  }

  /// Room at the end of what is used. What is there was never named by the table, but need not be zeros.
  private func allocate(_ bytes: UInt64) throws(StorageError) -> (place: UInt64, isClean: Bool) {
    let place = try nextPlace()
    guard place + bytes <= 1 << 47 else { throw store.refusal("the image is full") }
    let before = store.size
    try store.grow(to: place + bytes)
    return (place, place >= before)
  }

  func nextPlace() throws(StorageError) -> UInt64 {
    if let next { return next }
    let map = try soundSurvey()
    let place = reserved.map(\.upperBound).reduce(max(map.end, dataStart)) { max($0, $1) }
    next = place.rounded(upTo: 1 << 20)
    return next!
  }

  func settle() throws(StorageError) -> Bool {
    guard hasPrepared, var log else { return false }
    if bitmaps.isHolding || table.isHolding {
      guard try store.hasFlushed(begun) else { return true }
      if !isLogged {
        flushedSize = begunSize
        let held = bitmaps.held + table.held
        try StorageError.passing { failure in
          VHDXMap.withBytes(of: held[...], []) { pages in
            do throws(StorageError) {
              try log.write(pages, to: store, flushedSize: flushedSize)
            } catch { failure = error }
          }
        }
        self.log = log
        if header.logID != log.id {
          // Only now is there something to replay.
          try store.flush()
          try header.advance(store) { $0.logID = log.id }
        }
        isLogged = true
        begun = try store.beginFlush()
        return true
      }
      try writeLogged()
    }
    let count = bitmaps.dirtyCount + table.dirtyCount
    if count == 0 { return false }
    if count > VHDXLog.Writer.mostPages {
      try commit()
      return false
    }
    bitmaps.hold(wholePages: true)
    table.hold(wholePages: true)
    begunSize = store.size
    begun = try store.beginFlush()
    return true
  }

  /// Pages as an entry of the log is made of them.
  private static func withBytes(
    of pages: ArraySlice<(offset: UInt64, bytes: [UInt8])>,
    _ done: [(offset: UInt64, bytes: UnsafeRawBufferPointer)],
    _ body: ([(offset: UInt64, bytes: UnsafeRawBufferPointer)]) -> Void
  ) {
    guard let first = pages.first else { return body(done) }
    first.bytes.withUnsafeBytes {
      withBytes(of: pages.dropFirst(), done + [(first.offset, $0)], body)
    }
  }

  /// What is in the log goes to its place.
  private func writeLogged() throws(StorageError) {
    try bitmaps.writeHeld()
    try table.writeHeld()
    isLogged = false
  }

  func letGo() {
    // Whether it is in the log or not: the next entry has it again.
    bitmaps.letGo()
    table.letGo()
    isLogged = false
  }

  func commit() throws(StorageError) {
    letGo()
    try store.flush()
    flushedSize = store.size
    guard hasPrepared, var log else { return }
    var pages: [(offset: UInt64, bytes: UnsafeRawBufferPointer)] = []
    let caches = [bitmaps, table, sizes]
    for cache in caches {
      for offset in cache.dirtyPages {
        pages.append((offset, try cache.contents(ofPage: offset)))
      }
    }
    if pages.isEmpty { return }
    var first = 0
    while first < pages.count {
      if first > 0 {
        // More than one entry takes: each is in its places before the next is written.
        for page in pages[..<first] { try store.write(at: page.offset, from: page.bytes) }
        try store.flush()
      }
      let part = pages[first..<min(first + VHDXLog.Writer.mostPages, pages.count)]
      try log.write(Array(part), to: store, flushedSize: flushedSize)
      try store.flush()
      self.log = log
      if header.logID != log.id {
        // Only now is there something to replay.
        try header.advance(store) { $0.logID = log.id }
      }
      first += part.count
    }
    for cache in caches { try cache.writeBack() }
  }

  /// All is in its place: there is nothing to replay.
  func finish() throws(StorageError) {
    try commit()
    if !hasPrepared || header.logID == .zero { return }
    try store.flush()
    try header.advance(store) { $0.logID = .zero }
  }

  // MARK: Checks

  /// Gives a block a copy of what another has as well.
  func relocate(_ number: UInt64, _ place: UInt64, _ map: inout SpaceMap) throws(StorageError)
    -> UInt64?
  {
    try prepareChange()
    let bytes = bytesInFile(number)
    let start = reserved.map(\.upperBound).reduce(max(map.end, next ?? 0)) { max($0, $1) }
    next = start.rounded(upTo: 1 << 20)
    let (target, _) = try allocate(bytes)
    try ByteCopy.copy(store, place, to: store, target, count: bytes)
    try setEntry(number, .at(target))
    next = target + bytes
    try commit()
    _ = take(target, bytes: bytes, in: &map)
    return target
  }

  /// Gives back what is behind the last block.
  func cutTail(after end: UInt64) throws(StorageError) {
    try prepareChange()
    try finish()
    try store.setSize(end)
    try store.flush()
  }
}
