// gzip.
//
// Owns: the pass through the file that finds places to begin at, and decoding from such a place. Must not know: blocks, disks.
// After: RFC 1951, RFC 1952; zlib's manual (inflate with Z_BLOCK, inflatePrime, inflateSetDictionary).
//
// Decoding can begin where a deflate block does, if the 32 KiB before it are known. So each place has them; as there are at most so many
// places, the memory is bounded whatever the file is.

import CZlib

struct GzipCodec: CompressedCodec {
  /// Bytes of contents between two places, at first; doubled whenever there are too many.
  private static let firstSpan: UInt64 = 4 << 20
  private static let mostPoints = 1024

  func begins(_ head: [UInt8]) -> Bool { head.starts(with: [0x1F, 0x8B, 0x08]) }

  func index(_ store: any ByteStore) throws(StorageError) -> CompressedIndex {
    let inflater = try GzipInflater(store, offset: 0)
    var points = [RestartPoint(position: 0, offset: 0)]
    var span = GzipCodec.firstSpan
    while true {
      let event = try inflater.step()
      switch event {
      case .end: return CompressedIndex(byteCount: inflater.position, points: points)
      case .member, .block:
        guard let last = points.last, inflater.position - last.position >= span else { continue }
        points.append(inflater.point(isMember: event == .member))
        if points.count > GzipCodec.mostPoints {
          // Every second one goes.
          points = points.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
          span *= 2
        }
      case .more: continue
      }
    }
  }

  func decoder(_ store: any ByteStore, at point: RestartPoint) throws(StorageError)
    -> any CompressedDecoder
  {
    let inflater = try GzipInflater(store, offset: point.offset, inside: point.window != nil)
    if let window = point.window { try inflater.begin(window, bits: point.bits) }
    return inflater
  }
}

/// zlib's decoder over a store.
final class GzipInflater: CompressedDecoder {
  enum Event {
    /// Output or input is used up; nothing special.
    case more
    /// A deflate block begins.
    case block
    /// A member begins.
    case member
    case end
  }

  private let store: any ByteStore
  private var stream = z_stream()
  private let input: UnsafeMutableRawBufferPointer
  /// The last 32 KiB of output, as a ring, in the pass for the index.
  private var window: UnsafeMutableRawBufferPointer?
  private var windowAt = 0
  /// The next byte that is read from the store.
  private var offset: UInt64
  /// Bytes that came out.
  private(set) var position: UInt64 = 0
  /// The decoder is inside a member that it did not begin: the check value at its end says nothing.
  private var isInside: Bool
  private var isAtEnd = false

  private static let inputSize = 256 << 10
  private static let windowSize = 32768

  init(_ store: any ByteStore, offset: UInt64, inside: Bool = false) throws(StorageError) {
    self.store = store
    self.offset = offset
    isInside = inside
    input = .allocate(byteCount: GzipInflater.inputSize, alignment: 64)
    // -15: deflate alone; 31: gzip with its header and check value.
    let result = inflateInit2_(
      &stream, inside ? -15 : 31, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    if result != Z_OK {
      throw StorageError(path: store.name, reason: "the decoder does not start (\(result))")
    }
  }

  deinit {
    inflateEnd(&stream)
    input.deallocate()
    window?.deallocate()
  }

  /// Where the next byte of input is.
  private var place: UInt64 { offset - UInt64(stream.avail_in) }

  /// Begins inside a member.
  func begin(_ window: [UInt8], bits: Int32) throws(StorageError) {
    if bits > 0 {
      let byte = try store.bytes(at: offset - 1, count: 1)
      guard byte.count == 1 else { throw damaged("ends too early") }
      inflatePrime(&stream, bits, Int32(byte[0]) >> (8 - bits))
    }
    let result = window.withUnsafeBufferPointer {
      inflateSetDictionary(&stream, $0.baseAddress, UInt32($0.count))
    }
    if result != Z_OK { throw damaged("cannot be entered here") }
  }

  private func damaged(_ what: String) -> StorageError {
    StorageError(
      path: store.name, offset: place, reason: "the gzip data are damaged: \(what)")
  }

  private func refill() throws(StorageError) {
    if stream.avail_in > 0 { return }
    let count = Int(min(UInt64(input.count), store.size - min(offset, store.size)))
    if count == 0 { throw damaged("they end too early") }
    try store.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: input[..<count]))
    offset += UInt64(count)
    stream.next_in = input.baseAddress?.assumingMemoryBound(to: UInt8.self)
    stream.avail_in = UInt32(count)
  }

  /// The end of a member: another one may follow, zeros of padding too.
  /// - Returns: false: nothing follows.
  private func nextMember() throws(StorageError) -> Bool {
    if isInside {
      // The check value and the size, which zlib does not know of in this mode.
      for _ in 0..<8 {
        try refill()
        stream.next_in += 1
        stream.avail_in -= 1
      }
    }
    var next = try store.bytes(at: place, count: 2)
    while next.first == 0 {
      // Padding of tapes.
      let zeros = try store.bytes(at: place, count: 65536)
      let count = zeros.prefix { $0 == 0 }.count
      offset = place + UInt64(count)
      stream.avail_in = 0
      next = try store.bytes(at: place, count: 2)
    }
    if next.isEmpty { return false }
    guard next == [0x1F, 0x8B] else {
      throw damaged("something that is not gzip follows")
    }
    // The input that is left stays.
    isInside = false
    if inflateReset2(&stream, 31) != Z_OK { throw damaged("another member does not begin") }
    return true
  }

  private func run(_ flush: Int32) throws(StorageError) -> Int32 {
    try refill()
    let before = stream.avail_out
    let result = inflate(&stream, flush)
    position += UInt64(before - stream.avail_out)
    switch result {
    case Z_OK, Z_STREAM_END, Z_BUF_ERROR: return result
    case Z_NEED_DICT: throw damaged("a dictionary is wanted")
    case Z_MEM_ERROR: throw StorageError(path: store.name, reason: "no memory for the decoder")
    default:
      throw damaged(stream.msg.map { String(cString: $0) } ?? "code \(result)")
    }
  }

  // MARK: The pass for the index

  /// Decodes up to the next block, or until the window has gone round.
  func step() throws(StorageError) -> Event {
    if isAtEnd { return .end }
    let ring: UnsafeMutableRawBufferPointer
    if let window {
      ring = window
    } else {
      ring = .allocate(byteCount: GzipInflater.windowSize, alignment: 64)
      ring.initializeMemory(as: UInt8.self, repeating: 0)
      window = ring
    }
    if windowAt == ring.count { windowAt = 0 }
    guard let start = ring.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return .end }
    stream.next_out = start + windowAt
    stream.avail_out = UInt32(ring.count - windowAt)
    let result = try run(Z_BLOCK)
    windowAt = ring.count - Int(stream.avail_out)
    if result == Z_STREAM_END {
      if try nextMember() { return .member }
      isAtEnd = true
      return .end
    }
    // Bit 7: a block has ended; bit 6: it was the last.
    return stream.data_type & 0x80 != 0 && stream.data_type & 0x40 == 0 ? .block : .more
  }

  /// Here.
  func point(isMember: Bool) -> RestartPoint {
    if isMember { return RestartPoint(position: position, offset: place) }
    var bytes = [UInt8]()
    if let window {
      bytes.reserveCapacity(window.count)
      if position >= UInt64(window.count) { bytes += window[windowAt...] }
      bytes += window[..<windowAt]
    }
    return RestartPoint(
      position: position, offset: place, bits: stream.data_type & 7, window: bytes)
  }

  // MARK: Reading

  func decode(into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) -> Int {
    if isAtEnd || buffer.count == 0 { return 0 }
    stream.next_out = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
    stream.avail_out = UInt32(buffer.count)
    while stream.avail_out > 0 {
      if try run(Z_NO_FLUSH) == Z_STREAM_END, try !nextMember() {
        isAtEnd = true
        break
      }
    }
    return buffer.count - Int(stream.avail_out)
  }
}
