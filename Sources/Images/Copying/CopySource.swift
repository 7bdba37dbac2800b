// What is copied: a disk, or a part of one, opened as many times as there are threads.
//
// Owns: opening it again, runs of data and zeros in pieces of a good size. Must not know: where it is copied to.

import Host
import Storage

/// A part of a store as a store, for parts that begin inside a sector.
final class RegionStore: ByteStore {
  private let store: any ByteStore
  private let start: UInt64
  let size: UInt64
  let isWritable = false
  var name: String { store.name }

  init(_ store: any ByteStore, _ region: Range<UInt64>) {
    self.store = store
    start = region.lowerBound
    size = region.upperBound - region.lowerBound
  }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    guard offset <= size, UInt64(buffer.count) <= size - offset else {
      throw StorageError(path: name, offset: offset, reason: "ends here, at \(size) bytes")
    }
    try store.read(at: start + offset, into: buffer)
  }
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    throw StorageError(path: name, reason: "is only read")
  }
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    throw StorageError(path: name, reason: "is only read")
  }
  func setSize(_ size: UInt64) throws(StorageError) {
    throw StorageError(path: name, reason: "is only read")
  }
  func flush() throws(StorageError) {}
  func nextData(from offset: UInt64) -> UInt64 {
    if offset >= size { return .max }
    let next = store.nextData(from: start + offset)
    return next == .max || next - start >= size ? .max : next - start
  }
  func close() { store.close() }
}

/// A disk that is read from its beginning to its end.
struct CopySource {
  let image: DiskImage
  /// In sectors of 512 bytes.
  let device: any BlockDevice
  var byteCount: UInt64 { device.byteCount }

  init(_ reference: ImageReference, region: Range<UInt64>? = nil, checksBase: Bool = true) throws {
    var reference = reference
    reference.checksBase = reference.checksBase && checksBase
    image = try DiskImage(reference, .reading)
    guard let region else {
      device = image.device.withBlocks(of: 512)
      return
    }
    // An incomplete last sector ends with zeros.
    device = RawImage(RegionStore(DeviceStore(image.device), region))
  }

  func close() { image.close() }
}

/// Cuts a disk into pieces: data in pieces that begin at multiples of the piece's size, zeros in runs of any length.
struct PieceScan {
  private let extents: ShownExtents
  private let size: UInt64
  /// Zeros that begin or end inside a unit are read with the data beside them.
  private let unit: UInt64
  private var position: UInt64
  /// Whether zeros are left out at all.
  private let readsEverything: Bool

  init(
    _ device: any BlockDevice, from position: UInt64, unit: UInt64, readsEverything: Bool = false
  ) {
    extents = ShownExtents(device)
    size = device.blockCount * 512
    self.unit = unit
    self.position = position
    self.readsEverything = readsEverything
  }

  mutating func next() throws -> ChunkWish? {
    if position >= size { return nil }
    let start = position
    let chunk = UInt64(ChunkPipeline.chunkSize)
    let end = min(size, start - start % chunk + chunk)
    if readsEverything {
      position = end
      return ChunkWish(offset: start, count: end - start, isZero: false)
    }
    // Zeros, over as many runs as there are; long ones in pieces, so that somebody can cancel.
    var zeros = start
    let far = min(size, start.addingReportingOverflow(1 << 40).partialValue)
    while zeros < far {
      let run = try extents.run(at: zeros / 512, limit: (far - zeros + 511) / 512)
      if !run.isZero { break }
      zeros = min(size, zeros + run.count * 512)
    }
    if zeros < size { zeros -= zeros % unit }
    if zeros > start {
      position = zeros
      return ChunkWish(offset: start, count: zeros - start, isZero: true)
    }
    // Data, until the piece is full or a unit of zeros comes.
    var data = start
    while data < end {
      let run = try extents.run(at: data / 512, limit: (end - data + 511) / 512)
      let next = min(end, data + run.count * 512)
      if run.isZero {
        let first = (data + unit - 1) / unit * unit
        if first < next, next - first >= unit, first > start {
          data = first
          break
        }
      }
      data = next
    }
    position = min(data, end)
    return ChunkWish(offset: start, count: position - start, isZero: false)
  }
}
