// zstd.
//
// Owns: the walk along the frames, and decoding from the beginning of one. Must not know: blocks, disks.
// After: RFC 8878, sections 3.1.1 (frames) and 3.1.2 (skippable frames); zstd's manual (streaming decompression).
//
// Decoding can begin only where a frame does. Files of pzstd or in the seekable format have many; what `zstd` alone writes is one, in which
// going back means beginning again.

import CZstd

struct ZstdCodec: CompressedCodec {
  private static let mostPoints = 1 << 16

  func begins(_ head: [UInt8]) -> Bool {
    guard head.count >= 4 else { return false }
    let magic = little32(head, 0)
    return magic == 0xFD2F_B528 || (magic & 0xFFFF_FFF0 == 0x184D_2A50 && head.count > 8)
  }

  func index(_ store: any ByteStore) throws(StorageError) -> CompressedIndex {
    var points: [RestartPoint] = []
    var position: UInt64 = 0
    var offset: UInt64 = 0
    while offset < store.size {
      let frame = try ZstdFrame(store, offset)
      if !frame.isSkippable {
        points.append(RestartPoint(position: position, offset: offset))
        // Every second one goes when there are too many.
        if points.count > ZstdCodec.mostPoints {
          points = points.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
        }
        let size =
          if let size = frame.contentSize { size } else {
            try ZstdInflater.measure(store, offset, frame.end)
          }
        let (sum, overflow) = position.addingReportingOverflow(size)
        if overflow || sum > UInt64(Int64.max) {
          throw StorageError(
            path: store.name, offset: offset,
            reason: "the frames say that they hold more than any disk")
        }
        position = sum
      }
      offset = frame.end
    }
    if points.isEmpty { points = [RestartPoint(position: 0, offset: 0)] }
    return CompressedIndex(byteCount: position, points: points)
  }

  func decoder(_ store: any ByteStore, at point: RestartPoint) throws(StorageError)
    -> any CompressedDecoder
  {
    try ZstdInflater(store, offset: point.offset, end: store.size)
  }
}

/// A frame's measures, read without decoding it.
struct ZstdFrame {
  var isSkippable = false
  /// Where the next frame begins.
  var end: UInt64
  /// What it says that it holds; nil: it does not say.
  var contentSize: UInt64?

  init(_ store: any ByteStore, _ offset: UInt64) throws(StorageError) {
    func refuse(_ at: UInt64, _ reason: String) -> StorageError {
      StorageError(
        path: store.name, offset: at, reason: "the zstd data are damaged: \(reason)")
    }
    let head = try store.bytes(at: offset, count: 18)
    guard head.count >= 8 else { throw refuse(offset, "they end too early") }
    let magic = little32(head, 0)
    if magic & 0xFFFF_FFF0 == 0x184D_2A50 {
      isSkippable = true
      end = offset + 8 + UInt64(little32(head, 4))
      if end > store.size { throw refuse(offset, "they end too early") }
      return
    }
    guard magic == 0xFD2F_B528 else { throw refuse(offset, "something that is not zstd follows") }
    let descriptor = head[4]
    let sizeFlag = Int(descriptor >> 6)
    let isSingle = descriptor & 0x20 != 0
    if descriptor & 0x08 != 0 { throw refuse(offset + 4, "a reserved bit is set") }
    let dictionary = [0, 1, 2, 4][Int(descriptor & 3)]
    let sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][sizeFlag]
    let sizeAt = 5 + (isSingle ? 0 : 1) + dictionary
    guard head.count >= sizeAt + sizeBytes else { throw refuse(offset, "they end too early") }
    if sizeBytes > 0 {
      var value: UInt64 = 0
      for byte in head[sizeAt..<sizeAt + sizeBytes].reversed() { value = value << 8 | UInt64(byte) }
      contentSize = sizeBytes == 2 ? value + 256 : value
    }
    var place = offset + UInt64(sizeAt + sizeBytes)
    // Blocks: one bit for the last, two for the kind, 21 for the size. Each one has at least three bytes, so this ends.
    while true {
      let block = try store.bytes(at: place, count: 3)
      guard block.count == 3 else { throw refuse(place, "they end too early") }
      let word = UInt64(block[0]) | UInt64(block[1]) << 8 | UInt64(block[2]) << 16
      let kind = word >> 1 & 3
      if kind == 3 { throw refuse(place, "a block of a reserved kind") }
      place += 3 + (kind == 1 ? 1 : word >> 3)
      if word & 1 == 1 { break }
    }
    end = place + (descriptor & 0x04 != 0 ? 4 : 0)
    if end > store.size { throw refuse(place, "they end too early") }
  }
}

/// zstd's decoder over a store.
final class ZstdInflater: CompressedDecoder {
  private let store: any ByteStore
  private let context: OpaquePointer
  private let input: UnsafeMutableRawBufferPointer
  private var waiting = ZSTD_inBuffer(src: nil, size: 0, pos: 0)
  private var offset: UInt64
  private let end: UInt64

  init(_ store: any ByteStore, offset: UInt64, end: UInt64) throws(StorageError) {
    guard let context = ZSTD_createDCtx() else {
      throw StorageError(path: store.name, reason: "no memory for the decoder")
    }
    self.store = store
    self.context = context
    self.offset = offset
    self.end = end
    input = .allocate(byteCount: 256 << 10, alignment: 64)
  }

  deinit {
    ZSTD_freeDCtx(context)
    input.deallocate()
  }

  func decode(into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) -> Int {
    var output = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
    while output.pos < output.size {
      if waiting.pos == waiting.size {
        let count = Int(min(UInt64(input.count), end - min(offset, end)))
        if count > 0 {
          try store.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: input[..<count]))
          offset += UInt64(count)
        }
        waiting = ZSTD_inBuffer(src: input.baseAddress, size: count, pos: 0)
      }
      let (before, used) = (output.pos, waiting.pos)
      let result = ZSTD_decompressStream(context, &output, &waiting)
      if ZSTD_isError(result) != 0 {
        throw StorageError(
          path: store.name, offset: offset - UInt64(waiting.size - waiting.pos),
          reason: "the zstd data are damaged: "
            + String(cString: ZSTD_getErrorName(result)))
      }
      // Neither more came out nor went in: that is all there is.
      if output.pos == before && waiting.pos == used && waiting.size == waiting.pos && offset >= end
      {
        break
      }
    }
    return output.pos
  }

  /// How much a frame holds that does not say it.
  static func measure(_ store: any ByteStore, _ offset: UInt64, _ end: UInt64)
    throws(StorageError) -> UInt64
  {
    let inflater = try ZstdInflater(store, offset: offset, end: end)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    defer { buffer.deallocate() }
    var total: UInt64 = 0
    while true {
      let count = try inflater.decode(into: buffer)
      total += UInt64(count)
      if count < buffer.count { return total }
    }
  }
}
