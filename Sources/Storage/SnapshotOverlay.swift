// Temporary writes: what the guest writes stays in memory, the image below is never written.
//
// Owns: the written sectors. Must not know: files, controllers. Written sectors are part of the machine's state.

import State

/// A copy-on-write layer in memory above another device; it can be written even if that one cannot.
public final class SnapshotOverlay: BlockDevice {
  public let base: any BlockDevice
  public var sectorCount: UInt64 { base.sectorCount }
  public let isReadOnly: Bool
  /// Where each written sector lies, as a slot number.
  private var slots: [UInt64: Int] = [:]
  /// Slots in chunks, so that growing never copies what is there.
  private var chunks: [UnsafeMutableRawPointer] = []
  private static let slotsInChunk = 128
  /// Slots of sectors that were forgotten.
  private var free: [Int] = []

  /// - Parameter isReadOnly: a write-protected medium stays protected even though nothing would be damaged.
  public init(base: any BlockDevice, isReadOnly: Bool = false) {
    self.base = base
    self.isReadOnly = isReadOnly
  }

  deinit { for chunk in chunks { chunk.deallocate() } }

  /// How many sectors have been written and are held in memory.
  public var writtenSectors: Int { slots.count }

  public func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    try checkRange("(snapshot)", sector, buffer.count, sectorCount)
    let count = buffer.count / 512
    if slots.isEmpty { return try base.read(sector: sector, into: buffer) }
    var index = 0
    while index < count {
      if let slot = slots[sector + UInt64(index)] {
        (buffer.baseAddress! + index * 512).copyMemory(from: address(slot), byteCount: 512)
        index += 1
        continue
      }
      var end = index + 1
      while end < count, slots[sector + UInt64(end)] == nil { end += 1 }
      try base.read(
        sector: sector + UInt64(index),
        into: UnsafeMutableRawBufferPointer(rebasing: buffer[index * 512..<end * 512]))
      index = end
    }
  }

  public func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try checkRange("(snapshot)", sector, buffer.count, sectorCount)
    if isReadOnly { throw StorageError(path: "(snapshot)", reason: "the image is write-protected") }
    for index in 0..<buffer.count / 512 {
      store(sector + UInt64(index), buffer.baseAddress! + index * 512)
    }
  }

  public func flush() throws(StorageError) {}
  public func close() { base.close() }

  /// Those of the image below, except for what was written.
  public func clusterHashes() throws(StorageError) -> ClusterHashes {
    var hashes = try base.clusterHashes()
    try hashes.update(Set(slots.keys.map { hashes.cluster(of: $0) }), from: self)
    return hashes
  }

  /// Forgets everything written: the contents are the base's again.
  public func discard() {
    slots = [:]
    free = []
    for chunk in chunks { chunk.deallocate() }
    chunks = []
  }

  /// Whether a sector has been written.
  public func isWritten(_ sector: UInt64) -> Bool { slots[sector] != nil }

  /// The sectors that have been written, ascending.
  public var writtenSectorNumbers: [UInt64] { slots.keys.sorted() }

  /// Forgets what was written to one sector: it is the base's again.
  public func forget(_ sector: UInt64) {
    if let slot = slots.removeValue(forKey: sector) { free.append(slot) }
  }

  private func address(_ slot: Int) -> UnsafeMutableRawPointer {
    chunks[slot / SnapshotOverlay.slotsInChunk] + slot % SnapshotOverlay.slotsInChunk * 512
  }

  private func store(_ sector: UInt64, _ data: UnsafeRawPointer) {
    let slot: Int
    if let known = slots[sector] {
      slot = known
    } else {
      slot = free.popLast() ?? slots.count
      if slot / SnapshotOverlay.slotsInChunk == chunks.count {
        chunks.append(
          UnsafeMutableRawPointer.allocate(
            byteCount: SnapshotOverlay.slotsInChunk * 512, alignment: 4096))
      }
      slots[sector] = slot
    }
    address(slot).copyMemory(from: data, byteCount: 512)
  }

  /// Writes the device's size and every written sector, in ascending order.
  public func save(to writer: inout StateWriter) {
    writer.write(sectorCount)
    writer.write(UInt64(slots.count))
    for (sector, slot) in slots.sorted(by: { $0.key < $1.key }) {
      writer.write(sector)
      writer.write(raw: UnsafeRawBufferPointer(start: address(slot), count: 512))
    }
  }

  /// Reads what `save` wrote; the base must be of the same size. What was written before is forgotten.
  public func restore(from reader: inout StateReader) throws(StateError) {
    let size = try reader.read(UInt64.self)
    if size != sectorCount {
      throw reader.error("a snapshot of \(size) sectors, but the image has \(sectorCount)")
    }
    discard()
    let count = try reader.read(in: 0...sectorCount)
    var next: UInt64 = 0
    for _ in 0..<count {
      let sector = try reader.read(UInt64.self)
      if sector < next || sector >= sectorCount {
        throw reader.error("sector \(sector) out of order or range")
      }
      let data = try reader.readBytes(count: 512)
      data.withUnsafeBytes { store(sector, $0.baseAddress!) }
      next = sector + 1
    }
  }
}
