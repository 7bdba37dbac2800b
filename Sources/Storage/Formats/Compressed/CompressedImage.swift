// The device of a compressed image.
//
// Owns: pieces that were decoded lately, going on where the last piece ended. Must not know: codecs.

/// A read-only disk that is decoded as it is read.
final class CompressedImage: BlockDevice {
  let blockSize = 512
  let blockCount: UInt64
  let byteCount: UInt64
  let capabilities: BlockCapabilities = []
  let generation: UInt64 = 0
  private let store: any ByteStore
  private let index: CompressedIndex
  private let codec: any CompressedCodec
  private let format: String
  /// Where the decoder is, if there is one.
  private var decoder: (any CompressedDecoder)?
  private var position: UInt64 = 0
  private var pieces: [UInt64: (bytes: [UInt8], used: UInt64)] = [:]
  private var clock: UInt64 = 0

  static let pieceSize = 128 << 10
  private static let mostPieces = 64

  init(
    _ store: any ByteStore, _ index: CompressedIndex, _ codec: any CompressedCodec,
    _ format: String
  ) {
    self.store = store
    self.index = index
    self.codec = codec
    self.format = format
    byteCount = index.byteCount
    blockCount = (index.byteCount + 511) / 512
  }

  var name: String { store.name }
  var restartCount: Int { index.points.count }
  var layer: BlockLayer {
    BlockLayer(kind: "compressed image (\(format))", file: store.name, of: self)
  }

  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    let size = UInt64(CompressedImage.pieceSize)
    var offset = block * 512
    var done = 0
    while done < buffer.count {
      let piece = try piece(offset / size)
      let start = Int(offset % size)
      let count = min(buffer.count - done, CompressedImage.pieceSize - start)
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
      // The last sector may not be whole.
      let kept = min(count, max(0, piece.count - start))
      if kept > 0 {
        piece.withUnsafeBytes {
          part.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + kept]))
        }
      }
      if kept < count {
        UnsafeMutableRawBufferPointer(rebasing: part[kept...]).initializeMemory(
          as: UInt8.self, repeating: 0)
      }
      done += count
      offset += UInt64(count)
    }
  }

  private func piece(_ number: UInt64) throws(StorageError) -> [UInt8] {
    clock += 1
    if let known = pieces[number] {
      pieces[number]?.used = clock
      return known.bytes
    }
    let start = number * UInt64(CompressedImage.pieceSize)
    let point = index.point(for: start)
    // Going on is better than beginning again, unless a point lies between.
    if decoder == nil || position > start || point.position > position {
      decoder = try codec.decoder(store, at: point)
      position = point.position
    }
    let length = Int(min(UInt64(CompressedImage.pieceSize), byteCount - start))
    var bytes = [UInt8](repeating: 0, count: CompressedImage.pieceSize)
    while position < start {
      let gap = Int(min(start - position, UInt64(bytes.count)))
      try fill(&bytes, gap, until: start)
    }
    try fill(&bytes, length, until: byteCount)
    bytes.removeLast(bytes.count - length)
    if pieces.count >= CompressedImage.mostPieces,
      let oldest = pieces.min(by: { $0.value.used < $1.value.used })
    {
      pieces[oldest.key] = nil
    }
    pieces[number] = (bytes, clock)
    return bytes
  }

  private func fill(_ bytes: inout [UInt8], _ count: Int, until end: UInt64) throws(StorageError) {
    guard let decoder else { return }
    let got = try StorageError.passing { failure in
      bytes.withUnsafeMutableBytes { buffer in
        do throws(StorageError) {
          return try decoder.decode(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
        } catch {
          failure = error
          return 0
        }
      }
    }
    position += UInt64(got)
    if got < count {
      self.decoder = nil
      throw StorageError(
        path: name,
        reason: "ends at byte \(position) of its \(byteCount) bytes: the file was changed")
    }
  }

  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    throw StorageError(path: name, reason: "a compressed image is only read")
  }
  func flush() throws(StorageError) {}
  func mark() -> FileMark { store.mark() }
  func change(since mark: FileMark) -> String? { store.change(since: mark) }
  var displacement: String? { store.displacement }
  func unlock() { store.unlock() }
  func lockAgain() throws(StorageError) { try store.lockAgain(exclusive: false) }
  func close() { store.close() }
}
