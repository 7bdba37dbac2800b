// The log of a VHDX image: what of it has to be replayed, and writing to it.
//
// Owns: log entries. Must not know: what the pages mean that are in them. After: [MS-VHDX] 2.3 "Log".

enum VHDXLog {
  static let sector = 4096
  private static let headerSize = 64
  private static let descriptorSize = 32
  /// Longer logs than that are not read; they are of one megabyte as a rule.
  static let longest: UInt64 = 64 << 20

  /// An entry that is whole.
  private struct Entry {
    var position: Int
    var length: Int
    var tail: Int
    var sequence: UInt64
    var descriptorCount: Int
    var flushedSize: UInt64
    var lastSize: UInt64
  }

  /// The file as it is when the log has been replayed; nil when there is nothing to replay.
  static func replay(_ store: any ByteStore, _ header: VHDXHeader) throws(StorageError)
    -> PatchedStore?
  {
    if header.logID == .zero || header.logLength == 0 { return nil }
    guard header.logLength <= longest else {
      throw store.refusal(at: header.logOffset, "a log of \(header.logLength) bytes to be replayed")
    }
    let log = try store.bytes(at: header.logOffset, count: Int(header.logLength))
    guard log.count == Int(header.logLength) else {
      throw store.refusal(at: header.logOffset, "the log is cut short")
    }
    let reader = Reader(log, header.logID)
    guard let sequence = reader.activeSequence() else { return nil }
    let patched = PatchedStore(store)
    for entry in sequence {
      if entry.flushedSize > store.size {
        throw store.refusal(
          at: header.logOffset + UInt64(entry.position) + 48,
          "the file had \(entry.flushedSize) bytes once, and now has \(store.size): it is cut short"
        )
      }
      if entry.lastSize > 1 << 47 {
        throw store.refusal(
          at: header.logOffset + UInt64(entry.position) + 56, "a file of \(entry.lastSize) bytes")
      }
      if let fault = reader.apply(entry, to: patched) {
        throw store.refusal(at: header.logOffset + UInt64(entry.position), fault)
      }
      patched.patchSize(entry.lastSize)
    }
    patched.seal()
    return patched
  }

  private struct Reader {
    let log: [UInt8]
    let fields: Fields
    let id: [UInt8]

    init(_ log: [UInt8], _ id: GUID) {
      self.log = log
      fields = Fields(log)
      self.id = id.little
    }

    /// Bytes from a position on, around the end.
    func bytes(_ position: Int, _ count: Int) -> [UInt8] {
      let start = position % log.count
      if start + count <= log.count { return Array(log[start..<start + count]) }
      return Array(log[start...]) + log[..<(start + count - log.count)]
    }

    /// All that is right about an entry is looked at, its check sum last.
    private func entry(_ position: Int, _ budget: inout Int) -> Entry? {
      guard log[position..<position + 4].elementsEqual("loge".utf8),
        log[position + 32..<position + 48].elementsEqual(id)
      else { return nil }
      let length = Int(fields.little(position + 8, as: UInt32.self))
      let tail = Int(fields.little(position + 12, as: UInt32.self))
      let count = Int(fields.little(position + 24, as: UInt32.self))
      let sequence = fields.little(position + 16, as: UInt64.self)
      guard length >= sector, length <= log.count, length % sector == 0, tail % sector == 0,
        tail < log.count, sequence > 0,
        count <= (length - headerSize) / descriptorSize
      else { return nil }
      // Nothing writes entries that overlap so much that this would be reached.
      budget -= length
      guard budget >= 0 else { return nil }
      let bytes = bytes(position, length)
      guard CRC32C.sum(bytes, hole: 4) == fields.little(position + 4, as: UInt32.self) else {
        return nil
      }
      return Entry(
        position: position, length: length, tail: tail, sequence: sequence, descriptorCount: count,
        flushedSize: fields.little(position + 48), lastSize: fields.little(position + 56))
    }

    /// The entries from the tail to the head of the latest sequence that is whole.
    func activeSequence() -> [Entry]? {
      var entries: [Int: Entry] = [:]
      var budget = 16 * log.count + (16 << 20)
      for position in stride(from: 0, to: log.count, by: sector) {
        entries[position] = entry(position, &budget)
      }
      for head in entries.values.sorted(by: { $0.sequence > $1.sequence }) {
        var sequence: [Entry] = []
        var next = entries[head.tail]
        while let entry = next, sequence.count <= entries.count {
          if let last = sequence.last, entry.sequence != last.sequence &+ 1 { break }
          sequence.append(entry)
          if entry.position == head.position { return sequence }
          next = entries[(entry.position + entry.length) % log.count]
        }
      }
      return nil
    }

    /// Does what an entry says. Returns what is wrong with it, or nil.
    func apply(_ entry: Entry, to store: PatchedStore) -> String? {
      let whole = bytes(entry.position, entry.length)
      let fields = Fields(whole)
      let used = headerSize + entry.descriptorCount * descriptorSize
      var data = (used + sector - 1) / sector * sector
      for n in 0..<entry.descriptorCount {
        let at = headerSize + n * descriptorSize
        let offset = fields.little(at + 16, as: UInt64.self)
        guard fields.little(at + 24, as: UInt64.self) == entry.sequence else {
          return "descriptor \(n) of a log entry belongs to another"
        }
        guard offset % UInt64(sector) == 0, offset < 1 << 47 else {
          return "descriptor \(n) of a log entry writes at \(offset)"
        }
        if fields.starts(with: Array("zero".utf8), at: at) {
          let count = fields.little(at + 8, as: UInt64.self)
          guard count % UInt64(sector) == 0, count < 1 << 47 else {
            return "descriptor \(n) of a log entry zeroes \(count) bytes"
          }
          if count > 0 { store.patchZeros(offset..<offset + count) }
        } else if fields.starts(with: Array("desc".utf8), at: at) {
          guard data + sector <= whole.count, fields.starts(with: Array("data".utf8), at: data)
          else { return "a log entry has no data for descriptor \(n)" }
          let high = UInt64(fields.little(data + 4, as: UInt32.self))
          let low = UInt64(fields.little(data + sector - 4, as: UInt32.self))
          guard high << 32 | low == entry.sequence else {
            return "the data for descriptor \(n) of a log entry belong to another"
          }
          let page =
            fields.slice(at + 8, 8) + whole[data + 8..<data + sector - 4] + fields.slice(at + 4, 4)
          store.patch(offset, page[...])
          data += sector
        } else {
          return "descriptor \(n) of a log entry is of an unknown kind"
        }
      }
      return nil
    }
  }

  /// Writes entries, one after the other. Each stands for itself: what the one before did is in its place when the next is written.
  struct Writer {
    /// As many pages as one entry takes, with its descriptors in one sector.
    static let mostPages = (sector - headerSize) / descriptorSize
    let id: GUID
    private let range: Range<UInt64>
    private var position: UInt64 = 0
    private var sequence: UInt64 = 0

    init(_ header: VHDXHeader) {
      id = .random()
      range = header.logRange
    }

    /// - Parameter pages: their offsets in the file, and what will be there.
    mutating func write(
      _ pages: [(offset: UInt64, bytes: UnsafeRawBufferPointer)], to store: any ByteStore,
      flushedSize: UInt64
    ) throws(StorageError) {
      let length = sector * (1 + pages.count)
      if position + UInt64(length) > range.upperBound - range.lowerBound { position = 0 }
      sequence += 1
      var fields = Fields(count: length)
      fields.set(0, Array("loge".utf8))
      fields.setLittle(8, UInt32(length))
      fields.setLittle(12, UInt32(position))
      fields.setLittle(16, sequence)
      fields.setLittle(24, UInt32(pages.count))
      fields.set(32, id.little)
      fields.setLittle(48, flushedSize)
      fields.setLittle(56, store.size)
      for (n, page) in pages.enumerated() {
        let at = headerSize + n * descriptorSize
        fields.set(at, Array("desc".utf8))
        fields.set(at + 4, page.bytes[(sector - 4)...])
        fields.set(at + 8, page.bytes[..<8])
        fields.setLittle(at + 16, page.offset)
        fields.setLittle(at + 24, sequence)
        let data = sector * (1 + n)
        fields.set(data, Array("data".utf8))
        fields.setLittle(data + 4, UInt32(sequence >> 32))
        fields.set(data + 8, page.bytes[8..<sector - 4])
        fields.setLittle(data + sector - 4, UInt32(truncatingIfNeeded: sequence))
      }
      fields.setLittle(4, CRC32C.sum(fields.bytes, hole: 4))
      try store.write(at: range.lowerBound + position, fields.bytes)
      position += UInt64(length)
    }
  }
}
