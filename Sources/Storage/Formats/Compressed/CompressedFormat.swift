// Compressed raw images: read without being unpacked.
//
// Owns: recognising them, opening what is inside. Must not know: how either is decoded.
// After: RFC 1952 (gzip), RFC 8878 (zstd): their signatures.

/// A format for each of the two ways.
struct CompressedFormat: ImageFormat {
  let name: String
  let codec: any CompressedCodec

  static let all: [any ImageFormat] = [
    CompressedFormat(name: "gzip", codec: GzipCodec()),
    CompressedFormat(name: "zstd", codec: ZstdCodec()),
  ]

  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    let head = try store.bytes(at: 0, count: 512)
    // A boot sector that happens to begin so is a boot sector.
    return codec.begins(head) && !BootSector.isSigned(head) ? .certain : nil
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    let image = CompressedImage(store, try CompressedIndexes.index(of: store, codec), codec, name)
    if image.byteCount == 0 {
      throw StorageError(path: store.name, reason: "is compressed by \(name), and empty inside")
    }
    var inner = context
    // Nothing is compressed twice but what wants to be unpacked for ever.
    inner.formats = context.formats.filter { !($0 is CompressedFormat) && !($0 is SplitFormat) }
    let inside = DeviceStore(image)
    let format = try ImageFormats.format(of: inside, inner)
    let note =
      "compressed by \(name): \(image.byteCount) bytes in \(store.size), read-only, "
      + "\(image.restartCount) places to begin at"
    if format is RawFormat { return ImageContents(image, notes: [note]) }
    var contents = try ImageFormats.open(inside, inner, as: format)
    contents.notes.insert(note, at: 0)
    return contents
  }
}

/// Where decoding can begin.
struct RestartPoint: Sendable {
  /// The byte of the contents, and of the file.
  var position: UInt64
  var offset: UInt64
  /// gzip: bits of the byte before `offset` that belong to what begins here, and the 32 KiB before `position`; nil: a member begins here.
  var bits: Int32 = 0
  var window: [UInt8]?
}

/// All of a file's.
struct CompressedIndex: Sendable {
  var byteCount: UInt64
  var points: [RestartPoint]

  /// The last point at or before a position.
  func point(for position: UInt64) -> RestartPoint {
    var (low, high) = (0, points.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if points[middle].position <= position { low = middle } else { high = middle }
    }
    return points[low]
  }
}

/// A way of compressing.
protocol CompressedCodec: Sendable {
  func begins(_ head: [UInt8]) -> Bool
  /// Reads the file once.
  func index(_ store: any ByteStore) throws(StorageError) -> CompressedIndex
  /// Begins to decode.
  func decoder(_ store: any ByteStore, at point: RestartPoint) throws(StorageError)
    -> any CompressedDecoder
}

/// Something that decodes, from a point on.
protocol CompressedDecoder: AnyObject {
  /// Fills a buffer as far as there is anything; fewer bytes only at the end.
  func decode(into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) -> Int
}
