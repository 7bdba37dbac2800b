// Partitions of a disk, as DOS and Windows made them.
//
// Owns: the master boot record with its extended partitions, which of the partitions is meant. Must not know: file systems.
// After: the PC's partition table as documented in the IBM PC DOS 3.3 and Microsoft knowledge base articles (types 05h, 0Fh, 85h are extended).

/// A part of a disk.
public struct DiskPartition: Equatable, Sendable {
  /// 1 to 4: in the master boot record; from 5 on: inside an extended partition. In a GUID partition table the entry's place there.
  public var number: Int
  /// 0: a GUID partition table has others.
  public var type: UInt8
  /// Sectors of 512 bytes.
  public var start: UInt64
  public var count: UInt64
  public var isActive: Bool
}

/// The partitions of a disk.
public struct PartitionTable {
  public let partitions: [DiskPartition]
  /// What the user should hear of it, or nil.
  public let note: String?
  private static let extended: Set<UInt8> = [0x05, 0x0F, 0x85]
  private static let mostLogical = 128

  /// Reads the table; nil: the disk has none.
  /// - Throws: where it leads out of the disk, or in circles.
  public init?(_ store: any ByteStore) throws(StorageError) {
    let sector = try store.bytes(at: 0, count: 512)
    let total = store.size / 512
    guard let entries = PartitionTable.entries(sector) else { return nil }
    if entries.contains(where: { $0.type == 0xEE }) {
      (partitions, note) = try GUIDPartitions.read(store)
      return
    }
    note = nil
    var found: [DiskPartition] = []
    for (index, entry) in entries.enumerated() where entry.type != 0 && entry.count != 0 {
      guard entry.start < total, entry.start > 0 else { return nil }
      if PartitionTable.extended.contains(entry.type) {
        try PartitionTable.logical(store, entry.start, entry.count, &found)
      } else {
        found.append(
          DiskPartition(
            number: index + 1, type: entry.type, start: entry.start, count: entry.count,
            isActive: entry.isActive))
      }
    }
    if found.isEmpty && !entries.contains(where: { PartitionTable.extended.contains($0.type) }) {
      return nil
    }
    partitions = found.sorted { $0.number < $1.number }
  }

  private struct Entry {
    var isActive: Bool
    var type: UInt8
    var start: UInt64
    var count: UInt64
  }

  private static func entries(_ sector: [UInt8]) -> [Entry]? {
    guard sector.count == 512, sector[510] == 0x55, sector[511] == 0xAA else { return nil }
    var entries: [Entry] = []
    for index in 0..<4 {
      let at = 446 + index * 16
      // Boot code where a table would be.
      if sector[at] & 0x7F != 0 { return nil }
      entries.append(
        Entry(
          isActive: sector[at] == 0x80, type: sector[at + 4],
          start: UInt64(little32(sector, at + 8)), count: UInt64(little32(sector, at + 12))))
    }
    return entries
  }

  /// Partitions inside an extended one: each has a sector with its own entry and one that leads to the next.
  private static func logical(
    _ store: any ByteStore, _ base: UInt64, _ length: UInt64, _ found: inout [DiskPartition]
  ) throws(StorageError) {
    var place = base
    var seen = Set<UInt64>()
    while true {
      let offset = place * 512
      guard seen.insert(place).inserted else {
        throw StorageError(
          path: store.name, offset: offset, reason: "the extended partitions lead in a circle")
      }
      guard seen.count <= mostLogical else {
        throw StorageError(
          path: store.name, offset: offset,
          reason: "more than \(mostLogical) partitions in an extended one")
      }
      guard place < store.size / 512,
        let entries = entries(try store.bytes(at: offset, count: 512))
      else {
        throw StorageError(
          path: store.name, offset: offset, reason: "an extended partition without a table")
      }
      var next: UInt64?
      for entry in entries where entry.type != 0 && entry.count != 0 {
        if extended.contains(entry.type) {
          if entry.start < length { next = base + entry.start }
        } else {
          let number = 5 + found.filter { $0.number >= 5 }.count
          found.append(
            DiskPartition(
              number: number, type: entry.type, start: place + entry.start, count: entry.count,
              isActive: entry.isActive))
        }
      }
      guard let next else { return }
      place = next
    }
  }
}

/// A part of a store as a store.
final class PartStore: ByteStore {
  private let store: any ByteStore
  private let start: UInt64
  let size: UInt64
  var name: String { store.name }
  var isWritable: Bool { store.isWritable }
  var zeroesCheaply: Bool { store.zeroesCheaply }

  /// - Parameter start: a byte inside the store; what the part has more than the store is left out.
  init(_ store: any ByteStore, start: UInt64, count: UInt64) {
    self.store = store
    self.start = min(start, store.size)
    size = min(count, store.size - self.start)
  }

  private func check(_ offset: UInt64, _ count: UInt64) throws(StorageError) {
    if offset > size || count > size - offset {
      throw StorageError(
        path: name, offset: start &+ offset, reason: "the partition ends at byte \(start + size)")
    }
  }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try check(offset, UInt64(buffer.count))
    try store.read(at: start + offset, into: buffer)
  }
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try check(offset, UInt64(buffer.count))
    try store.write(at: start + offset, from: buffer)
  }
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try check(offset, count)
    try store.zero(at: start + offset, count: count, releasing: releasing)
  }
  func setSize(_ size: UInt64) throws(StorageError) {
    if size != self.size { throw StorageError(path: name, reason: "a partition keeps its size") }
  }
  func flush() throws(StorageError) { try store.flush() }
  func beginFlush() throws(StorageError) -> UInt64 { try store.beginFlush() }
  func hasFlushed(_ number: UInt64) throws(StorageError) -> Bool { try store.hasFlushed(number) }
}

extension DiskPartition {
  /// A part of a disk as a store; the numbers are sectors.
  public static func store(_ disk: any ByteStore, start: UInt64, count: UInt64) -> any ByteStore {
    PartStore(disk, start: start * 512, count: count * 512)
  }
}
