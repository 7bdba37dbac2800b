// What is in an undo log's file.
//
// Owns: going through the records, telling a cut tail from damage. Must not know: what the records are for.
//
// Heads are read, what is between them is not: that costs a few seconds for the largest logs. Only what was not on stable storage for
// certain, the last few megabytes, is read to see whether it is whole.

/// The records of a log.
struct UndoLogScan {
  let header: UndoHeader
  private(set) var index = UndoIndex()
  /// Behind the last whole record.
  private(set) var end: UInt64
  /// Whether the log was closed.
  private(set) var isComplete = false
  /// Heads are looked for in so many bytes at once.
  private static let window = 1 << 20

  init(_ file: any ByteStore, expecting identity: [UInt8], period: UInt64) throws(StorageError) {
    end = UInt64(UndoHeader.size)
    if file.size <= end {
      // Records come behind a header that is there to stay. One that is not there yet is nothing, and nothing relied on it.
      let start = try file.bytes(at: 0, count: UndoHeader.size)
      if file.size < end || !start.contains(where: { $0 != 0 }) {
        header = UndoHeader(diskSize: 0, identity: identity, period: period)
        end = 0
        return
      }
    }
    header = try UndoHeader(try file.fields(at: 0, count: UndoHeader.size, "the header"), file.name)
    if header.identity != identity {
      throw file.refusal(at: 24, "is an undo log of another disk or another history")
    }
    if header.period != period {
      throw file.refusal(
        at: 40, "is the undo log of period \(header.period), \(period) was expected")
    }

    let synced = try readHeads(file)
    if isComplete {
      if end < file.size {
        throw file.refusal(at: end, "there are bytes behind the end of the undo log")
      }
      return
    }
    if end < file.size { try lookForMore(file) }
    try checkTail(file, from: synced)
    index.sort()
  }

  /// The head at a place inside the file; nil: there is none.
  static func head(_ file: any ByteStore, _ place: UInt64, _ header: UndoHeader)
    throws(StorageError) -> UndoHead?
  {
    let bytes = try file.bytes(at: place, count: UndoHead.size)
    if bytes.count < UndoHead.size { return nil }
    return bytes.withUnsafeBytes { UndoHead($0, at: place, header) }
  }

  /// Goes from record to record.
  /// - Returns: how many bytes were on stable storage when the last of them was written.
  private mutating func readHeads(_ file: any ByteStore) throws(StorageError) -> UInt64 {
    var synced = UInt64(UndoHeader.size)
    let size = file.size
    // Heads that stand side by side are read together.
    var (part, partStart, ahead): ([UInt8], UInt64, Int) = ([], 0, 512)
    // A file in which a cluster has many records is none of ours; its index must not grow with it.
    var most = 1 << 16
    while size - end >= UInt64(UndoHead.size) {
      if end < partStart || end + UInt64(UndoHead.size) > partStart + UInt64(part.count) {
        (part, partStart) = (try file.bytes(at: end, count: ahead), end)
      }
      let at = Int(end - partStart)
      if at + UndoHead.size > part.count { break }
      let place = end
      let found = part.withUnsafeBytes {
        UndoHead(UnsafeRawBufferPointer(rebasing: $0[at..<at + UndoHead.size]), at: place, header)
      }
      guard let found, found.synced >= synced else { break }
      if UInt64(found.length) > size - end - UInt64(UndoHead.size) { break }
      synced = found.synced
      end += UInt64(UndoHead.size + found.length)
      if found.cluster == UndoHead.endMark {
        isComplete = true
        break
      }
      index.add(found.cluster, at: place)
      if index.count > most {
        index.sort()
        most = max(1 << 16, index.count * 2)
      }
      ahead = found.length < 512 ? 1 << 16 : 512
    }
    if isComplete { index.sort() }
    return synced
  }

  /// No record is whole at `end`. If a later one was written when this was on stable storage, that is damage.
  private func lookForMore(_ file: any ByteStore) throws(StorageError) {
    let magic = UndoHead.magic
    var at = end
    while file.size - at >= UInt64(UndoHead.size) {
      let bytes = try file.bytes(at: at, count: UndoLogScan.window)
      let later: UInt64? = bytes.withUnsafeBytes { buffer in
        for n in 0...buffer.count - UndoHead.size {
          if UInt32(littleEndian: buffer.loadUnaligned(fromByteOffset: n, as: UInt32.self)) != magic
          {
            continue
          }
          let part = UnsafeRawBufferPointer(rebasing: buffer[n..<n + UndoHead.size])
          if let head = UndoHead(part, at: at + UInt64(n), header), head.synced > end {
            return at + UInt64(n)
          }
        }
        return nil
      }
      if let later {
        throw file.refusal(
          at: end, "the undo log is damaged here: whole records follow, from offset \(later) on")
      }
      if at + UInt64(bytes.count) >= file.size { break }
      at += UInt64(bytes.count - UndoHead.size + 1)
    }
  }

  /// Ends the log before the first record that a power failure cut.
  private mutating func checkTail(_ file: any ByteStore, from synced: UInt64) throws(StorageError) {
    var place = synced
    while place < end {
      guard let head = try UndoLogScan.head(file, place, header) else { break }
      let data = try file.bytes(at: place + UInt64(UndoHead.size), count: head.length)
      if data.count != head.length || (head.length > 0 && CRC32C.sum(data) != head.dataSum) {
        break
      }
      place += UInt64(UndoHead.size + head.length)
    }
    if place < end {
      index.cut(at: place)
      end = place
    }
  }
}
