// The blocks of a VDI image.
//
// Owns: its table, where a new block goes, the count of those that have room, the order of writes. Must not know: names, parents' files.
// After: the VDI format as publicly documented for VirtualBox.
//
// Blocks are numbered in the file; VirtualBox and QEMU give the next block the number that is the count in the header, so the count is right
// and there are no gaps: a block that is discarded keeps its place, and the host has its room. The order: data, and a count that is not too
// small; then the table. Behind a power failure the count may be too large, and the first blocks that get room then get what is left over.

final class VDIMap: BlockMap, BlockTable, IdentifiedMap, ChangeMarkingMap {
  var keepsIdentifier = false
  let store: any ByteStore
  var header: VDIHeader
  var blockCount: UInt64
  let blockSize = 512
  let base: (any BlockDevice)?
  /// How large the parent's disk is.
  let baseByteCount: UInt64
  let table: MetadataCache
  /// Places that get the next blocks; nil until the table has been looked through.
  var free: FreePlaces?
  /// The header has to be written before the table.
  var headerIsDirty = false
  private var hasPrepared = false
  /// The flush that what the table holds waits for.
  private var begun: UInt64 = 0

  struct FreePlaces {
    /// Numbers below `next` that no block has, the first last.
    var gaps: [UInt64]
    var next: UInt64
    /// Blocks that have room.
    var count: UInt64
  }

  /// Marks in the table.
  private static let unallocated = UInt32.max
  private static let zero = UInt32.max - 1

  init(_ store: any ByteStore, _ header: VDIHeader, base: (any BlockDevice)?, baseByteCount: UInt64)
  {
    self.store = store
    self.header = header
    self.base = base
    self.baseByteCount = baseByteCount
    blockCount = header.diskSize / 512
    table = MetadataCache(
      store, start: header.blocksOffset, end: header.blocksOffset + header.blockCount * 4)
  }

  var kind: String { "\(header.kind.words) image" }
  var uniqueID: GUID { header.uniqueID }

  // MARK: The table

  var entryCount: UInt64 { header.blockCount }
  /// A block in the file, with the bytes before it.
  var unit: UInt64 { header.blockSize + header.blockExtra }
  var dataStart: UInt64 { header.dataOffset }
  let unitName = "block"
  var sectorsInBlock: UInt64 { header.blockSize / 512 }

  func entryOffset(_ number: UInt64) -> UInt64 { header.blocksOffset + number * 4 }
  func emptyMap() -> SpaceMap { SpaceMap(unit: unit, start: header.dataOffset) }

  /// Fixed images of some programs end where the disk does, within the last block.
  func bytesInFile(_ number: UInt64) -> UInt64 {
    let (bytes, overflow) = (number + 1).multipliedReportingOverflow(by: header.blockSize)
    if overflow || bytes <= header.diskSize { return unit }
    let rest = header.diskSize - min(header.diskSize, number * header.blockSize)
    return header.blockExtra + rest
  }

  func entry(_ number: UInt64) throws(StorageError) -> TableEntry {
    let value = UInt32(littleEndian: try table.load(entryOffset(number), as: UInt32.self))
    if value == VDIMap.unallocated { return .none }
    if value == VDIMap.zero { return .zero }
    return .at(header.dataOffset + UInt64(value) * unit)
  }

  func setEntry(_ number: UInt64, _ entry: TableEntry) throws(StorageError) {
    let value =
      switch entry {
      case .none: VDIMap.unallocated
      case .zero: VDIMap.zero
      case .at(let place): UInt32((place - header.dataOffset) / unit)
      }
    try table.put(entryOffset(number), value.littleEndian)
  }

  func run(at block: UInt64, limit: UInt64) throws(StorageError) -> MappedRun {
    let sectors = sectorsInBlock
    var number = block / sectors
    let index = block % sectors
    var count = min(limit, sectors - index)
    let first = try entry(number)
    if case .at(let place) = first {
      let start = place + header.blockExtra + index * 512
      if start >= store.size || count * 512 > store.size - start {
        throw store.refusal(
          at: entryOffset(number), "block \(number) \(fault(of: place, number) ?? "lies outside")")
      }
      return MappedRun(kind: .data, count: count, offset: start)
    }
    while count < limit {
      number += 1
      guard number < entryCount, try entry(number) == first else { break }
      count = min(limit, count + sectors)
    }
    return MappedRun(kind: first == .zero ? .zero : .absent, count: count)
  }

  // MARK: Changes

  /// What stands above this one notices that it has changed.
  func prepareChange() throws(StorageError) {
    if hasPrepared { return }
    hasPrepared = true
    if keepsIdentifier { return }
    header.setModification(.random())
    headerIsDirty = true
    try writeHeader()
  }

  func writeHeader() throws(StorageError) {
    if !headerIsDirty { return }
    try store.write(at: 0, header.bytes)
    headerIsDirty = false
  }

  func fill(_ block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) -> UInt64 {
    let sectors = sectorsInBlock
    let (number, index) = (block / sectors, block % sectors)
    let count = min(UInt64(buffer.count) / 512, sectors - index)
    let before = try entry(number)
    let (place, isClean) = try allocate()
    try fillUnit(
      at: place + header.blockExtra, in: store, first: number * sectors,
      unit: min(sectors, blockCount - number * sectors), isClean: isClean, block,
      from: UnsafeRawBufferPointer(rebasing: buffer[..<(Int(count) * 512)]),
      showsBase: before == .none)
    try setEntry(number, .at(place))
    taken()
    if table.isFull { try commit() }
    return count
  }

  func blank(_ block: UInt64, count: UInt64) throws(StorageError) -> UInt64 {
    let sectors = sectorsInBlock
    let (number, index) = (block / sectors, block % sectors)
    // Whole blocks only; the last may be one in part.
    let size = min(sectors, blockCount - number * sectors)
    guard index == 0, count >= size, try entry(number) == .none else { return 0 }
    try setEntry(number, .zero)
    if table.isFull { try commit() }
    return size
  }

  func places() throws(StorageError) -> FreePlaces {
    if let free { return free }
    let map = try soundSurvey()
    let found = FreePlaces(
      gaps: map.free(limit: 4096).reversed(), next: (map.end - header.dataOffset) / unit,
      count: map.count)
    free = found
    return found
  }

  /// Room for a block; it is taken when the table has it.
  private func allocate() throws(StorageError) -> (place: UInt64, isClean: Bool) {
    let free = try places()
    let number = free.gaps.last ?? free.next
    guard number < VDIHeader.mostBlocks else { throw store.refusal("the image is full") }
    let place = header.dataOffset + number * unit
    let before = store.size
    try store.grow(to: place + unit)
    return (place, place >= before)
  }

  private func taken() {
    guard var places = free else { return }
    if places.gaps.popLast() == nil { places.next += 1 }
    places.count += 1
    free = places
    headerIsDirty = true
  }

  func settle() throws(StorageError) -> Bool {
    if table.isHolding {
      guard try store.hasFlushed(begun) else { return true }
      try table.writeHeld()
    }
    if !table.isDirty { return false }
    try writeCount()
    table.hold()
    begun = try store.beginFlush()
    return true
  }

  func letGo() { table.letGo() }

  /// The header has at least the count of what the table will name.
  private func writeCount() throws(StorageError) {
    if let free, table.isDirty, free.count != header.allocated || headerIsDirty {
      header.setAllocated(free.count)
      headerIsDirty = true
      try writeHeader()
    }
  }

  func commit() throws(StorageError) {
    table.letGo()
    try writeCount()
    try store.flush()
    if table.isDirty {
      try table.writeBack()
      try store.flush()
    }
  }

  // MARK: Checks

  /// Gives a block a copy of what another has as well.
  func relocate(_ number: UInt64, _ place: UInt64, _ map: inout SpaceMap) throws(StorageError)
    -> UInt64?
  {
    let target = map.free(limit: 1).first.map { header.dataOffset + $0 * unit } ?? map.end
    try store.grow(to: target + unit)
    try ByteCopy.copy(store, place, to: store, target, count: min(unit, store.size - place))
    try store.flush()
    try setEntry(number, .at(target))
    try table.writeBack()
    _ = map.take(target)
    return target
  }

  /// More gaps than that are not filled.
  static let mostGaps = 1 << 20

  /// Says how many blocks have room.
  func mendCount(_ count: UInt64) throws(StorageError) {
    header.setAllocated(count)
    try store.write(at: 0, header.bytes)
    try store.flush()
  }

  /// Fills gaps and gives back what is behind the last block.
  func compact(_ map: SpaceMap) throws(StorageError) {
    var places = FreePlaces(
      gaps: [], next: (map.end - header.dataOffset) / unit, count: map.count)
    try fillGaps(map.free(limit: VDIMap.mostGaps), &places, entryCount)
    try mendCount(map.count)
    let end = header.dataOffset + places.next * unit
    if end < store.size {
      try store.setSize(end)
      try store.flush()
    }
  }
}
