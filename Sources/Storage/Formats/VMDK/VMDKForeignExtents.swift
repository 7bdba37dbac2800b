// Sparse extents of ESX, which are read only.
//
// Owns: their headers and tables. Must not know: descriptors. After: VMware Virtual Disk Format 5.0, "ESX Server Sparse Extents" (COWD); the
// SE sparse format as publicly documented (all numbers little-endian, places in sectors).

/// A COWD extent (vmfsSparse).
final class VMDKCOWDExtent: VMDKExtent {
  static let magic = Array("COWD".utf8)
  let store: any ByteStore
  let sectorCount: UInt64
  let grainSize: UInt64
  let isWritable = false
  private let tables: VMDKGrainTables
  private static let entriesPerTable: UInt64 = 4096

  init(_ store: any ByteStore) throws(StorageError) {
    self.store = store
    let fields = try store.fields(at: 0, count: 512, "the header")
    func number(_ at: Int) -> UInt64 { UInt64(fields.little(at, as: UInt32.self)) }
    guard fields.starts(with: VMDKCOWDExtent.magic) else {
      throw store.refusal(at: 0, "no sparse extent of ESX")
    }
    guard number(4) == 1 else { throw store.refusal(at: 4, "version \(number(4)) of the format") }
    let (capacity, grain, directory) = (number(12), number(16), number(20))
    guard capacity > 0 else { throw store.refusal(at: 12, "no sectors") }
    guard grain > 0, grain <= 1 << 15 else {
      throw store.refusal(at: 16, "grains of \(grain) sectors")
    }
    let grains = (capacity + grain - 1) / grain
    let count = (grains + VMDKCOWDExtent.entriesPerTable - 1) / VMDKCOWDExtent.entriesPerTable
    guard directory > 0, directory * 512 <= store.size, count * 4 <= store.size - directory * 512
    else {
      throw store.refusal(
        at: 20, "a grain directory of \(count) entries at sector \(directory)")
    }
    sectorCount = capacity
    grainSize = grain
    tables = VMDKGrainTables(
      store, directory: directory * 512, redundant: nil,
      entriesPerTable: VMDKCOWDExtent.entriesPerTable, tableCount: count)
  }

  func run(at sector: UInt64, limit: UInt64) throws(StorageError) -> MappedRun {
    let grain = sector / grainSize
    let index = sector % grainSize
    let count = min(limit, sectorCount - sector, grainSize - index)
    let entry = UInt64(try tables.entry(grain))
    if entry == 0 { return MappedRun(kind: .absent, count: count) }
    let start = (entry + index) * 512
    guard start <= store.size, count * 512 <= store.size - start else {
      throw store.refusal(
        at: try tables.entryOffset(grain),
        "grain \(grain) lies at \(entry * 512), but the file ends at \(store.size)")
    }
    return MappedRun(kind: .data, count: count, offset: start, store: store)
  }
}

/// An SE sparse extent.
final class VMDKSESparseExtent: VMDKExtent {
  static let magic: UInt64 = 0xCAFE_BABE
  let store: any ByteStore
  let sectorCount: UInt64
  let grainSize: UInt64
  let isWritable = false
  private let directory: MetadataCache
  private let tables: MetadataCache
  private let tablesStart: UInt64
  private let tablesEnd: UInt64
  private let grainsStart: UInt64
  /// Entries of a grain table, of 64 bits.
  private let entriesPerTable: UInt64

  init(_ store: any ByteStore) throws(StorageError) {
    self.store = store
    let fields = try store.fields(at: 0, count: 512, "the header")
    func number(_ at: Int) -> UInt64 { fields.little(at, as: UInt64.self) }
    func refuse(_ at: Int, _ reason: String) -> StorageError {
      store.refusal(at: UInt64(at), reason)
    }
    guard number(0) == VMDKSESparseExtent.magic else { throw refuse(0, "no SE sparse extent") }
    guard number(8) == 0x2_0000_0001 else { throw refuse(8, "version \(number(8)) of the format") }
    sectorCount = number(16)
    grainSize = number(24)
    guard sectorCount > 0, sectorCount <= 1 << 42 else {
      throw refuse(16, "\(sectorCount) sectors")
    }
    guard grainSize == 8 else {
      throw refuse(24, "grains of \(grainSize) sectors, where 8 are known")
    }
    guard number(32) == 64 else {
      throw refuse(32, "grain tables of \(number(32)) sectors, where 64 are known")
    }
    guard number(40) == 0 else { throw refuse(40, "flags \(number(40)), which are not known") }
    entriesPerTable = 64 * 512 / 8
    func range(_ at: Int, _ what: String) throws(StorageError) -> (start: UInt64, size: UInt64) {
      let (offset, count) = (number(at), number(at + 8))
      guard offset > 0, offset <= store.size / 512, count <= store.size / 512 - offset else {
        throw refuse(at, "\(what) of \(count) sectors at \(offset)")
      }
      return (offset * 512, count * 512)
    }
    let volatile = try range(80, "a volatile header")
    let state = try store.fields(at: volatile.start, count: 512, "the volatile header")
    guard state.little(24, as: UInt64.self) == 0 else {
      throw store.refusal(
        at: volatile.start + 24, "has a journal to be replayed, which only VMware's products can")
    }
    let directoryRange = try range(128, "a grain directory")
    let tableRange = try range(144, "grain tables")
    let grains = (sectorCount + grainSize - 1) / grainSize
    let count = (grains + entriesPerTable - 1) / entriesPerTable
    guard count * 8 <= directoryRange.size else {
      throw refuse(136, "a grain directory without room for \(count) tables")
    }
    guard number(192) <= store.size / 512 else { throw refuse(192, "grains at \(number(192))") }
    tablesStart = tableRange.start
    tablesEnd = tableRange.start + tableRange.size
    grainsStart = number(192) * 512
    directory = MetadataCache(
      store, start: directoryRange.start, end: directoryRange.start + directoryRange.size,
      byteLimit: 1 << 18)
    tables = MetadataCache(store, start: tablesStart, end: tablesEnd, byteLimit: 1 << 20)
  }

  func run(at sector: UInt64, limit: UInt64) throws(StorageError) -> MappedRun {
    let grain = sector / grainSize
    let index = sector % grainSize
    var count = min(limit, sectorCount - sector, grainSize - index)
    let place = directory.start + grain / entriesPerTable * 8
    let word = UInt64(littleEndian: try directory.load(place, as: UInt64.self))
    if word == 0 {
      let rest = entriesPerTable * grainSize - sector % (entriesPerTable * grainSize)
      return MappedRun(kind: .absent, count: min(limit, sectorCount - sector, rest))
    }
    guard word >> 32 == 0x1000_0000 else {
      throw store.refusal(at: place, "a grain directory entry that is not known")
    }
    let table = tablesStart + (word & 0xFFFF_FFFF) * entriesPerTable * 8
    guard table + entriesPerTable * 8 <= tablesEnd else {
      throw store.refusal(at: place, "a grain table at \(table), behind those there are")
    }
    let at = table + grain % entriesPerTable * 8
    let entry = UInt64(littleEndian: try tables.load(at, as: UInt64.self))
    switch entry >> 60 {
    case 0 where entry == 0: return MappedRun(kind: .absent, count: count)
    // Given back by the guest; and zeros.
    case 1, 2: return MappedRun(kind: .zero, count: count)
    case 3:
      let number = (entry >> 48 & 0xFFF) | ((entry & 0xFFFF_FFFF_FFFF) << 12)
      let (bytes, overflow) = number.multipliedReportingOverflow(by: grainSize * 512)
      let start = grainsStart + (overflow ? 0 : min(bytes, store.size)) + index * 512
      guard !overflow, start < store.size, bytes <= store.size else {
        throw store.refusal(at: at, "grain \(grain) lies behind the file's end")
      }
      count = min(count, (store.size - start) / 512)
      guard count > 0 else { throw store.refusal(at: at, "grain \(grain) is cut short") }
      return MappedRun(kind: .data, count: count, offset: start, store: store)
    default: throw store.refusal(at: at, "a grain table entry that is not known")
    }
  }
}
