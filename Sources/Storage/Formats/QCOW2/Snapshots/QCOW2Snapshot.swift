// The snapshots inside a QCOW2 file, as its table has them.
//
// Owns: reading and writing the snapshot table. Must not know: refcounts, devices.
// After: QEMU, docs/interop/qcow2.txt, "Snapshots".

/// A state of the disk that was kept.
public struct QCOW2Snapshot: Equatable, Sendable {
  /// Unique among the snapshots of an image.
  public var id: String
  public var name: String
  /// When it was taken, in seconds since 1970, and the rest in nanoseconds.
  public var seconds: UInt32
  public var nanoseconds: UInt32
  /// How long the guest had run then, in nanoseconds.
  public var guestNanoseconds: UInt64
  /// Bytes of a machine's state that are kept with it, which nothing here reads.
  public var stateSize: UInt64
  /// Bytes of the disk.
  public var diskSize: UInt64
  var l1TableOffset: UInt64
  var l1Size: Int
  /// Extra data behind those that are known.
  var unknownExtra: [UInt8] = []

  private static let fixedSize = 40
  private static let mostExtra = 1024

  /// The snapshot table of an image, and its bytes in the file.
  static func table(_ store: any ByteStore, _ header: QCOW2Header) throws(StorageError) -> (
    snapshots: [QCOW2Snapshot], byteCount: Int
  ) {
    let all = try survey(store, header)
    if let lost = all.lost.first { throw lost.error }
    return (all.snapshots, all.byteCount)
  }

  /// What a file that was cut off has no more of a snapshot, and what is done about it.
  struct Lost {
    var error: StorageError
    var fate: String
  }

  /// The same of a file that may have lost its end.
  /// - Returns: beside the snapshots that are there, of whose L1 tables the ends may be missing, what is to be said of those that are not.
  static func survey(_ store: any ByteStore, _ header: QCOW2Header) throws(StorageError) -> (
    snapshots: [QCOW2Snapshot], byteCount: Int, lost: [Lost]
  ) {
    var found: [QCOW2Snapshot] = []
    var lost: [Lost] = []
    var offset = header.snapshotsOffset
    let layout = header.layout
    // A snapshot's L1 table has at most so many entries, all together a bounded number, as they are gone through one by one.
    for number in 0..<header.snapshotCount {
      func refuse(_ at: UInt64, _ reason: String) -> StorageError {
        StorageError(path: store.name, offset: offset + at, reason: "snapshot \(number) \(reason)")
      }
      let fixed = BigEndianBytes(try store.bytes(at: offset, count: fixedSize))
      guard fixed.bytes.count == fixedSize else {
        lost.append(Lost(error: refuse(0, "is cut short"), fate: "it and those behind it are gone"))
        break
      }
      let (idLength, nameLength) = (Int(fixed.number(12, 2)), Int(fixed.number(14, 2)))
      let extraLength = Int(fixed.number(36, 4))
      guard extraLength <= mostExtra else {
        throw refuse(36, "has \(extraLength) bytes of extra data")
      }
      let length = extraLength + idLength + nameLength
      let rest = BigEndianBytes(
        try store.bytes(at: offset + UInt64(fixedSize), count: length))
      guard rest.bytes.count == length else {
        lost.append(Lost(error: refuse(0, "is cut short"), fate: "it and those behind it are gone"))
        break
      }
      let entries = fixed.number(8, 4)
      let table = fixed.number(0, 8)
      guard entries <= UInt64(QCOW2Header.mostL1Entries) else {
        throw refuse(8, "has an L1 table of \(entries) entries")
      }
      guard table & layout.clusterMask == 0, table <= UInt64(Int64.max) else {
        throw refuse(0, "has an L1 table at \(table), where there cannot be one")
      }
      let diskSize = extraLength >= 16 ? rest.number(8, 8) : header.size
      guard diskSize <= UInt64(Int64.max) - UInt64(layout.clusterSize),
        layout.l1Entries(diskSize) <= entries
      else { throw refuse(48, "is of a disk of \(diskSize) bytes, too long for its L1 table") }
      let here = offset
      offset += UInt64((fixedSize + length + 7) & ~7)
      if table > store.size || entries * 8 > store.size - table {
        let isGone = table >= store.size
        let error = StorageError(
          path: store.name, offset: here,
          reason: "snapshot \(number) has an L1 table at \(table), "
            + (isGone ? "behind the file's end" : "which the file's end cuts off"))
        lost.append(
          Lost(
            error: error,
            fate: isGone ? "it is gone" : "what was in the end of the table is gone"))
        if isGone { continue }
      }
      found.append(
        QCOW2Snapshot(
          id: String(decoding: rest.bytes[extraLength..<extraLength + idLength], as: UTF8.self),
          name: String(decoding: rest.bytes[(extraLength + idLength)...], as: UTF8.self),
          seconds: UInt32(fixed.number(16, 4)), nanoseconds: UInt32(fixed.number(20, 4)),
          guestNanoseconds: fixed.number(24, 8),
          stateSize: extraLength >= 8 ? rest.number(0, 8) : fixed.number(32, 4),
          diskSize: diskSize, l1TableOffset: table, l1Size: Int(entries),
          unknownExtra: extraLength > 16 ? Array(rest.bytes[16..<extraLength]) : []))
    }
    return (found, Int(offset - header.snapshotsOffset), lost)
  }

  /// The entry of the table.
  var bytes: [UInt8] {
    var entry = BigEndianBytes(count: QCOW2Snapshot.fixedSize + 16)
    entry.put(l1TableOffset, 0, 8)
    entry.put(UInt64(l1Size), 8, 4)
    entry.put(UInt64(id.utf8.count), 12, 2)
    entry.put(UInt64(name.utf8.count), 14, 2)
    entry.put(UInt64(seconds), 16, 4)
    entry.put(UInt64(nanoseconds), 20, 4)
    entry.put(guestNanoseconds, 24, 8)
    entry.put(min(stateSize, UInt64(UInt32.max)), 32, 4)
    entry.put(UInt64(16 + unknownExtra.count), 36, 4)
    entry.put(stateSize, 40, 8)
    entry.put(diskSize, 48, 8)
    let all = entry.bytes + unknownExtra + Array(id.utf8) + Array(name.utf8)
    return all + [UInt8](repeating: 0, count: (8 - all.count % 8) % 8)
  }
}
