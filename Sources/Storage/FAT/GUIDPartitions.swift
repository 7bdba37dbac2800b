// Partitions of a disk in a GUID partition table.
//
// Owns: both headers with their check sums, the array of entries. Must not know: file systems.
// After: UEFI Specification 2.10, chapter 5.3.

/// The table behind a protective master boot record.
enum GUIDPartitions {
  private static let signature = Array("EFI PART".utf8)
  /// Larger arrays nobody has: 128 entries of 128 bytes are usual.
  private static let mostBytes: UInt64 = 1 << 20

  /// Reads the table, or its copy at the disk's end.
  /// - Throws: when neither is whole.
  static func read(_ store: any ByteStore) throws(StorageError) -> (
    partitions: [DiskPartition], note: String?
  ) {
    var first: StorageError?
    // Disks with sectors of 4096 bytes have it elsewhere.
    for sector in [512, 4096] as [UInt64] where store.size >= sector * 3 {
      do throws(StorageError) {
        if let found = try table(store, at: sector, sector) { return (found, nil) }
      } catch { if first == nil { first = error } }
    }
    for sector in [512, 4096] as [UInt64] where store.size >= sector * 3 {
      let last = (store.size / sector - 1) * sector
      if let found = try? table(store, at: last, sector) {
        let why = first.map(\.reason) ?? "there is none where it should be"
        return (found, "the copy of the partition table at the disk's end is used: \(why)")
      }
    }
    throw first
      ?? StorageError(
        path: store.name, offset: 512,
        reason:
          "a GUID partition table should be here, and its copy at the disk's end is none either")
  }

  /// - Returns: nil where there is no table.
  private static func table(_ store: any ByteStore, at offset: UInt64, _ sector: UInt64)
    throws(StorageError) -> [DiskPartition]?
  {
    func refuse(_ field: UInt64, _ reason: String) -> StorageError {
      StorageError(path: store.name, offset: offset + field, reason: reason)
    }
    var header = try store.bytes(at: offset, count: 512)
    guard header.count == 512, header.starts(with: signature) else { return nil }
    let length = Int(little32(header, 12))
    guard (92...512).contains(length) else {
      throw refuse(12, "a GUID partition table's header of \(length) bytes")
    }
    let sum = little32(header, 16)
    header.replaceSubrange(16..<20, with: [0, 0, 0, 0])
    if crc32(header[..<length]) != sum {
      throw refuse(16, "the check sum of the GUID partition table's header is wrong")
    }
    if little64(header, 24) != offset / sector {
      throw refuse(24, "the GUID partition table says that it is somewhere else")
    }
    let (place, count) = (little64(header, 72), UInt64(little32(header, 80)))
    let size = UInt64(little32(header, 84))
    let sectors = store.size / sector
    guard size >= 128, size % 8 == 0, count > 0, size <= mostBytes, count <= mostBytes / size,
      place > 0, place < sectors, count * size <= store.size - place * sector
    else { throw refuse(72, "\(count) entries of \(size) bytes at sector \(place)") }
    let entries = try store.bytes(at: place * sector, count: Int(count * size))
    if crc32(entries[...]) != little32(header, 88) {
      throw refuse(88, "the check sum of the GUID partition table's entries is wrong")
    }
    var found: [DiskPartition] = []
    for index in 0..<Int(count) {
      let at = index * Int(size)
      if entries[at..<at + 16].allSatisfy({ $0 == 0 }) { continue }
      let (start, last) = (little64(entries, at + 32), little64(entries, at + 40))
      guard start > 0, last >= start, last < sectors else {
        throw StorageError(
          path: store.name, offset: place * sector + UInt64(at),
          reason: "partition \(index + 1) is from sector \(start) to \(last), of \(sectors)")
      }
      let unit = sector / 512
      found.append(
        DiskPartition(
          number: index + 1, type: 0, start: start * unit, count: (last - start + 1) * unit,
          isActive: false))
    }
    return found
  }

  private static func little64(_ bytes: [UInt8], _ at: Int) -> UInt64 {
    UInt64(little32(bytes, at)) | UInt64(little32(bytes, at + 4)) << 32
  }

  /// The CRC of IEEE 802.3, as UEFI uses it.
  static func crc32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    ~bytes.reduce(UInt32.max) { sum, byte in
      (0..<8).reduce(sum ^ UInt32(byte)) { value, _ in
        value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1
      }
    }
  }
}
