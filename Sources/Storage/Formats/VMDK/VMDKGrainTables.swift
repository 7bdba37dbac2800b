// Grain directories and grain tables, of which each kind of sparse extent has its own.
//
// Owns: where the tables of 32-bit entries are, and the copies of them. Must not know: what is in a grain, when anything is written.
// After: VMware Virtual Disk Format 5.0, "Grain Directories and Grain Tables".

/// A directory of tables with an entry for each grain.
final class VMDKGrainTables {
  let store: any ByteStore
  let entriesPerTable: UInt64
  let tableCount: UInt64
  private let directory: MetadataCache
  private let redundantDirectory: MetadataCache?
  private let tables: MetadataCache
  /// What is to be written to the copies of tables, which must never be ahead of them.
  var copies: [(offset: UInt64, bytes: [UInt8])] = []
  /// To which table a page that was changed belongs, by its offset.
  private var owners: [UInt64: UInt64] = [:]

  /// - Parameters:
  ///   - directory: its byte offset; `redundant`: that of its copy.
  init(
    _ store: any ByteStore, directory: UInt64, redundant: UInt64?, entriesPerTable: UInt64,
    tableCount: UInt64
  ) {
    self.store = store
    self.entriesPerTable = entriesPerTable
    self.tableCount = tableCount
    let size = tableCount * 4
    self.directory = MetadataCache(
      store, start: directory, end: directory + size, byteLimit: 1 << 18)
    redundantDirectory = redundant.map {
      MetadataCache(store, start: $0, end: $0 + size, byteLimit: 1 << 17)
    }
    // A page is a sector: nothing but a table is in it.
    tables = MetadataCache(store, start: 0, end: .max, pageSize: 512, byteLimit: 1 << 20)
  }

  convenience init(_ store: any ByteStore, _ header: VMDKSparseHeader) {
    self.init(
      store, directory: header.directory * 512,
      redundant: header.hasRedundant ? header.redundantDirectory * 512 : nil,
      entriesPerTable: header.entriesPerTable, tableCount: header.tableCount)
  }

  var hasRedundant: Bool { redundantDirectory != nil }
  var isDirty: Bool { tables.isDirty }
  var isFull: Bool { tables.isFull }
  var tableSize: UInt64 { entriesPerTable * 4 }

  /// Where a table is, nil: nowhere.
  func table(_ number: UInt64, redundant: Bool = false) throws(StorageError) -> UInt64? {
    guard let cache = redundant ? redundantDirectory : directory else { return nil }
    let offset = cache.start + number * 4
    let sector = UInt32(littleEndian: try cache.load(offset, as: UInt32.self))
    if sector == 0 { return nil }
    let place = UInt64(sector) * 512
    if place >= store.size || tableSize > store.size - place {
      throw store.refusal(
        at: offset, "grain table \(number) lies at \(place), but the file ends at \(store.size)")
    }
    return place
  }

  /// Where the directory's entry is.
  func directoryOffset(_ number: UInt64, redundant: Bool = false) -> UInt64 {
    ((redundant ? redundantDirectory : directory) ?? directory).start + number * 4
  }

  /// A grain's entry: 0 where there is no table.
  @inline(__always)
  func entry(_ grain: UInt64) throws(StorageError) -> UInt32 {
    guard let table = try table(grain / entriesPerTable) else { return 0 }
    return UInt32(
      littleEndian: try tables.load(table + grain % entriesPerTable * 4, as: UInt32.self))
  }

  func entryOffset(_ grain: UInt64) throws(StorageError) -> UInt64 {
    let number = grain / entriesPerTable
    return try table(number).map { $0 + grain % entriesPerTable * 4 } ?? directoryOffset(number)
  }

  func setEntry(_ grain: UInt64, _ value: UInt32) throws(StorageError) {
    let number = grain / entriesPerTable
    guard let table = try table(number) else {
      throw store.refusal(at: directoryOffset(number), "grain \(grain) has no table")
    }
    let offset = table + grain % entriesPerTable * 4
    try tables.put(offset, value.littleEndian)
    owners[offset / 512] = number
  }

  /// Writes the tables that were changed, and notes what is to be written to their copies, also for those before one that fails.
  func writeBack() throws(StorageError) {
    try tables.writeBack { [self] (offset, bytes) throws(StorageError) in
      if let copy = try copy(of: offset) { copies.append((copy, Array(bytes))) }
    }
    owners = [:]
  }

  /// The tables as they are now are to be written later (`writeHeld`).
  func hold() { tables.hold() }
  var isHolding: Bool { tables.isHolding }
  func letGo() { tables.letGo() }

  /// As `writeBack`, of what is held.
  func writeHeld() throws(StorageError) {
    try tables.writeHeld { [self] (offset, bytes) throws(StorageError) in
      if let copy = try copy(of: offset) { copies.append((copy, Array(bytes))) }
    }
    if !tables.isDirty { owners = [:] }
  }

  /// Where the copy of bytes of a table is; nil: nowhere.
  private func copy(of offset: UInt64) throws(StorageError) -> UInt64? {
    guard redundantDirectory != nil, let number = owners[offset / 512],
      let table = try table(number), let copy = try redundantTable(number), copy != table
    else { return nil }
    return copy + (offset - table)
  }

  private func redundantTable(_ number: UInt64) throws(StorageError) -> UInt64? {
    try table(number, redundant: true)
  }

  /// A table that lies where another does: with many of those a small file would have a grain without end.
  func overlap() throws(StorageError) -> (number: UInt64, place: UInt64)? {
    var map = SpaceMap(unit: tableSize, start: 0)
    for number in 0..<tableCount {
      if let place = try table(number), !map.take(place) { return (number, place) }
    }
    return nil
  }

  /// Behind the last byte of any table and of the directories, which may lie behind grains; tables that lie outside the file do not count.
  func end() -> UInt64 {
    var end = max(directory.end, redundantDirectory?.end ?? 0)
    for number in 0..<tableCount {
      for isCopy in [false, true] {
        if let place = try? table(number, redundant: isCopy) { end = max(end, place + tableSize) }
      }
    }
    return end
  }

  /// Whether a table names nothing for sure: there is none, or it is in a hole of the file.
  func isBlank(_ number: UInt64) throws(StorageError) -> Bool {
    guard let place = try table(number) else { return true }
    return !tables.isDirty && !tables.isHolding && store.nextData(from: place) >= place + tableSize
  }

  /// Names a new table and its copy, which are in the file already.
  func setTable(_ number: UInt64, _ place: UInt64, copy: UInt64?) throws(StorageError) {
    if let copy, let redundantDirectory {
      try redundantDirectory.put(
        redundantDirectory.start + number * 4, UInt32(copy / 512).littleEndian)
      try redundantDirectory.writeBack()
    }
    try directory.put(directory.start + number * 4, UInt32(place / 512).littleEndian)
    try directory.writeBack()
    try store.flush()
  }
}
