// Sparse extents of hosted products: grains that get room when they are written.
//
// Owns: where a new grain goes, compressed grains, the order of writes. Must not know: descriptors, the disk's other extents.
// After: VMware Virtual Disk Format 5.0, "Hosted Sparse Extents", "Stream-Optimized Compressed Sparse Extents".
//
// The order: grains; then the tables; their copies when those are flushed, so that a copy never names what the table does not.

final class VMDKSparseExtent: VMDKExtent, BlockTable {
  let store: any ByteStore
  var header: VMDKSparseHeader
  let isWritable: Bool
  var tables: VMDKGrainTables
  var next: UInt64?
  /// As many sectors as the disk uses: fewer than the header says where a change of the size was cut off.
  var sectorCount: UInt64
  /// The flush that what is held, or the copies, wait for.
  private var begun: UInt64 = 0
  /// Packed grains that the tables in memory do not name any more.
  private var leaving: [(place: UInt64, count: UInt64)] = []
  /// The last compressed grain that was read.
  private var unpacked: (grain: UInt64, bytes: UnsafeMutableRawBufferPointer)?

  init(_ store: any ByteStore, isWritable: Bool) throws(StorageError) {
    self.store = store
    header = try VMDKSparseHeader(store)
    sectorCount = header.capacity
    // Behind a footer nothing can be added.
    self.isWritable = isWritable && store.isWritable && !header.isFooter
    tables = VMDKGrainTables(store, header)
  }

  deinit { unpacked?.bytes.deallocate() }

  var grainSize: UInt64 { header.grainSize }
  var isCompressed: Bool { header.isCompressed }

  // MARK: The table

  var entryCount: UInt64 { header.grainCount }
  var unit: UInt64 { header.grainSize * 512 }
  let unitName = "grain"
  /// Tables and whatever else is in front.
  var dataStart: UInt64 {
    let overhead = header.overhead
    return overhead > 0 && overhead <= store.size / 512 && !header.isFooter ? overhead * 512 : 512
  }

  func entryOffset(_ number: UInt64) throws(StorageError) -> UInt64 {
    try tables.entryOffset(number)
  }

  func nextEntry(_ number: UInt64) throws(StorageError) -> UInt64 {
    let entries = header.entriesPerTable
    var number = number
    while number < entryCount, number % entries == 0, try tables.isBlank(number / entries) {
      number += entries
    }
    return min(number, entryCount)
  }

  /// The last grain may end with the file.
  func bytesInFile(_ number: UInt64) -> UInt64 {
    number == entryCount - 1 ? (header.capacity - number * grainSize) * 512 : unit
  }

  func entry(_ number: UInt64) throws(StorageError) -> TableEntry {
    let value = try tables.entry(number)
    if value == 0 { return .none }
    if value == 1 { return header.hasZeroGrains ? .zero : .at(512) }
    return .at(UInt64(value) * 512)
  }

  func setEntry(_ number: UInt64, _ entry: TableEntry) throws(StorageError) {
    switch entry {
    case .none: try tables.setEntry(number, 0)
    case .zero: try tables.setEntry(number, 1)
    case .at(let place):
      guard let sector = UInt32(exactly: place / 512) else {
        throw store.refusal(at: place, "the extent is full: its tables reach no further")
      }
      try tables.setEntry(number, sector)
    }
  }

  func run(at sector: UInt64, limit: UInt64) throws(StorageError) -> MappedRun {
    let limit = min(limit, sectorCount - sector)
    var grain = sector / grainSize
    let index = sector % grainSize
    var count = min(limit, grainSize - index)
    let first = try entry(grain)
    guard case .at(let place) = first else {
      while count < limit {
        grain += 1
        guard grain < entryCount else { break }
        let entries = header.entriesPerTable
        // Whole tables are passed at once.
        if first == .none, grain % entries == 0, try tables.isBlank(grain / entries) {
          count = min(limit, count + entries * grainSize)
          grain += entries - 1
          continue
        }
        guard try entry(grain) == first else { break }
        count = min(limit, count + grainSize)
      }
      return MappedRun(kind: first == .zero ? .zero : .absent, count: count)
    }
    if isCompressed { return MappedRun(kind: .packed, count: count, store: store) }
    let start = place + index * 512
    try checkPlace(grain, place, (index + count) * 512)
    // Grains that follow each other in the file are read at once.
    while count < limit {
      grain += 1
      guard grain < entryCount, try entry(grain) == .at(start + count * 512) else { break }
      let part = min(limit - count, grainSize)
      try checkPlace(grain, start + count * 512, part * 512)
      count += part
    }
    return MappedRun(kind: .data, count: count, offset: start, store: store)
  }

  private func checkPlace(_ grain: UInt64, _ place: UInt64, _ bytes: UInt64) throws(StorageError) {
    if place < dataStart || place >= store.size || bytes > store.size - place {
      throw store.refusal(
        at: try entryOffset(grain), "grain \(grain) \(fault(of: place, grain) ?? "lies outside")")
    }
  }

  // MARK: Compressed grains

  func unpack(_ sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    let grain = sector / grainSize
    let whole = try unpackedGrain(grain)
    let start = Int(sector % grainSize) * 512
    buffer.copyMemory(
      from: UnsafeRawBufferPointer(rebasing: whole[start..<start + buffer.count]))
  }

  private func unpackedGrain(_ grain: UInt64) throws(StorageError) -> UnsafeMutableRawBufferPointer
  {
    if let unpacked, unpacked.grain == grain { return unpacked.bytes }
    guard case .at(let place) = try entry(grain) else {
      throw store.refusal("grain \(grain) has no data")
    }
    func refuse(_ reason: String) throws(StorageError) -> StorageError {
      store.refusal(at: place, "grain \(grain) \(reason)")
    }
    let size = Int(unit)
    var start = place
    var count = 2 * size
    if header.hasMarkers {
      let marker = try store.bytes(at: place, count: 12)
      guard marker.count == 12 else { throw try refuse("lies behind the file's end") }
      let fields = Fields(marker)
      let sector = fields.little(0, as: UInt64.self)
      count = Int(fields.little(8, as: UInt32.self))
      guard sector == grain * grainSize else {
        throw try refuse("has the marker of sector \(sector)")
      }
      guard count > 0, count <= 2 * size + 1024 else { throw try refuse("has \(count) bytes") }
      start += 12
    }
    let data = try store.bytes(at: start, count: count)
    if header.hasMarkers, data.count < count { throw try refuse("is cut short by the file's end") }
    let bytes = unpacked?.bytes ?? .allocate(byteCount: size, alignment: 64)
    unpacked = (.max, bytes)
    let isGood = data.withUnsafeBytes { GrainCodec.inflate($0, into: bytes) }
    guard isGood else { throw try refuse("has damaged compressed data") }
    unpacked = (grain, bytes)
    return bytes
  }

  /// Compresses a grain, writes it behind everything and names it.
  func pack(_ grain: UInt64, _ bytes: UnsafeRawBufferPointer) throws(StorageError) {
    try makeTable(grain)
    guard let data = GrainCodec.deflate(bytes) else { throw store.refusal("no memory is left") }
    var fields = Fields(count: header.hasMarkers ? 12 : 0)
    if header.hasMarkers {
      fields.setLittle(0, grain * grainSize)
      fields.setLittle(8, UInt32(data.count))
    }
    let old = try packedPlace(grain)
    let place = max(store.size, dataStart).rounded(upTo: 512)
    let all = fields.bytes + data
    guard place + UInt64(all.count) <= UInt64(UInt32.max) * 512 else {
      throw store.refusal(at: place, "the extent is full: its tables reach no further")
    }
    try store.setSize((place + UInt64(all.count)).rounded(upTo: 512))
    try store.write(at: place, all)
    try setEntry(grain, .at(place))
    leave(grain, old)
    if tables.isFull { try commit() }
  }

  /// Where a packed grain is now, and its bytes; nil: nowhere that can be said.
  private func packedPlace(_ grain: UInt64) throws(StorageError) -> (place: UInt64, count: UInt64)?
  {
    guard header.hasMarkers, case .at(let place) = try entry(grain), place >= dataStart else {
      return nil
    }
    let marker = try store.bytes(at: place, count: 12)
    guard marker.count == 12 else { return nil }
    let count = 12 + UInt64(Fields(marker).little(8, as: UInt32.self))
    guard count <= 2 * unit + 1024, count <= store.size - place else { return nil }
    // Up to the next sector nothing is.
    return (place, min(count.rounded(upTo: 512), store.size - place))
  }

  /// The tables in memory name another place than this for a grain: as soon as those in the file do, the host has its room.
  private func leave(_ grain: UInt64, _ old: (place: UInt64, count: UInt64)?) {
    if unpacked?.grain == grain { unpacked = unpacked.map { (.max, $0.bytes) } }
    if let old { leaving.append(old) }
  }

  // MARK: Changes

  /// Room for a grain; it is taken by `take`.
  func allocate(_ grain: UInt64) throws(StorageError) -> (place: UInt64, isClean: Bool) {
    try makeTable(grain)
    let place = try nextPlace()
    guard place + unit <= UInt64(UInt32.max) * 512 else {
      throw store.refusal(at: place, "the extent is full: its tables reach no further")
    }
    let before = store.size
    try store.grow(to: place + unit)
    return (place, place >= before)
  }

  func take(_ grain: UInt64, _ place: UInt64) throws(StorageError) {
    try setEntry(grain, .at(place))
    next = place + unit
    if tables.isFull { try commit() }
  }

  /// Whole grains that are zeros, where the extent can say so.
  /// - Parameter showsBase: what has no grain is the parent's.
  func blank(_ sector: UInt64, _ count: UInt64, showsBase: Bool) throws(StorageError) -> UInt64 {
    guard sector % grainSize == 0, header.hasZeroGrains || isCompressed else { return 0 }
    let grain = sector / grainSize
    let size = min(grainSize, sectorCount - sector)
    guard count >= size else { return 0 }
    let before = try entry(grain)
    if isCompressed, case .at = before {
      if showsBase && !header.hasZeroGrains { return 0 }
      let old = try packedPlace(grain)
      try setEntry(grain, showsBase ? .zero : .none)
      leave(grain, old)
      if tables.isFull { try commit() }
      return size
    }
    guard header.hasZeroGrains, !isCompressed, before == .none else { return 0 }
    try makeTable(grain)
    try setEntry(grain, .zero)
    if tables.isFull { try commit() }
    return size
  }

  func nextPlace() throws(StorageError) -> UInt64 {
    if let next { return next }
    if let found = try tables.overlap() {
      throw store.refusal(
        at: tables.directoryOffset(found.number),
        "grain table \(found.number) lies at \(found.place), where another does")
    }
    let map = try soundSurvey()
    let place = max(map.end, tables.end(), dataStart).rounded(upTo: 512)
    next = place
    return place
  }

  /// A table for a grain that has none; its room is behind everything.
  private func makeTable(_ grain: UInt64) throws(StorageError) {
    let number = grain / header.entriesPerTable
    if try tables.table(number) != nil { return }
    let size = tables.tableSize
    let place =
      isCompressed ? max(store.size, dataStart).rounded(upTo: 512) : try nextPlace()
    let end = place + (tables.hasRedundant ? 2 : 1) * size
    guard end <= UInt64(UInt32.max) * 512 else { throw store.refusal("the extent is full") }
    try store.grow(to: end)
    try store.zero(at: place, count: end - place, releasing: false)
    try store.flush()
    try tables.setTable(number, place, copy: tables.hasRedundant ? place + size : nil)
    if !isCompressed { next = end }
  }

  func commit() throws(StorageError) {
    tables.letGo()
    if store.isWritable { try store.flush() }
    try writeCopies()
    if tables.isDirty {
      try tables.writeBack()
      try store.flush()
      try giveBack()
      // At once, so that they are in the file when the program is killed; with the next flush they are with the stable storage.
      try writeCopies()
    }
  }

  /// The host has the room of packed grains that no table names any more; those beside each other at once, as it counts in pages.
  private func giveBack() throws(StorageError) {
    var runs: [Range<UInt64>] = []
    for (place, count) in leaving.sorted(by: { $0.place < $1.place }) {
      if let last = runs.last, last.upperBound == place {
        runs[runs.count - 1] = last.lowerBound..<place + count
      } else {
        runs.append(place..<place + count)
      }
    }
    leaving = []
    for run in runs {
      try store.zero(
        at: run.lowerBound, count: run.upperBound - run.lowerBound, releasing: true)
    }
  }

  private func writeCopies() throws(StorageError) {
    for copy in tables.copies { try store.write(at: copy.offset, copy.bytes) }
    tables.copies = []
  }

  func settle() throws(StorageError) -> Bool {
    if !tables.copies.isEmpty || tables.isHolding {
      guard try store.hasFlushed(begun) else { return true }
      try writeCopies()
      if tables.isHolding {
        try tables.writeHeld()
        if !tables.copies.isEmpty {
          begun = try store.beginFlush()
          return true
        }
      }
    }
    if !tables.isDirty { return false }
    tables.hold()
    begun = try store.beginFlush()
    return true
  }

  func letGo() { tables.letGo() }

  /// Gives a grain a copy of what another has as well.
  func relocate(_ number: UInt64, _ place: UInt64, _ map: inout SpaceMap) throws(StorageError)
    -> UInt64?
  {
    let target = max(map.end, next ?? 0, tables.end(), dataStart).rounded(upTo: 512)
    try store.grow(to: target + unit)
    try ByteCopy.copy(store, place, to: store, target, count: min(unit, store.size - place))
    try setEntry(number, .at(target))
    next = target + unit
    try commit()
    _ = map.take(target)
    return target
  }
}
