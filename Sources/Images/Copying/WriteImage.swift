// A disk that is open into a new image: for those who have disks that no file is.
//
// Owns: copying, so that the image has its name when it is whole. Must not know: what the disk is.

import Host
import Storage

/// What became of a disk that was written into a new image.
public struct WrittenImage: Sendable {
  /// Bytes of the disk, and those that were written as data.
  public var virtualSize: UInt64
  public var dataBytes: UInt64
  public var format: String
  public var notes: [String]
}

extension ImageOperations {
  /// Writes a disk into a new image, which has its name when all of it is on stable storage.
  /// - Parameters:
  ///   - request: its size is the disk's, whatever it says.
  ///   - encrypts: an image that would not be encrypted is refused.
  public static func write(
    _ source: any BlockDevice, _ request: CreateRequest, encrypts: Bool = false,
    _ job: ImageJob = ImageJob()
  ) throws -> WrittenImage {
    let source = source.withBlocks(of: 512)
    var request = request
    request.byteCount = source.blockCount * 512
    let files = NewImageFiles(replaces: request.replaces)
    let image = try UnfinishedImage(request, files: files)
    let target = try image.open().device
    if encrypts, target.volumeKeys.isEmpty {
      throw ImageUsageError(
        "\(request.path): would have readable what is encrypted: give a format that is (-O luks or qcow2, with --new-key-file), or --readable"
      )
    }
    var result = WrittenImage(
      virtualSize: source.blockCount * 512, dataBytes: 0, format: image.format.name,
      notes: image.notes)
    let meter = job.meter(total: result.virtualSize)
    let piece: UInt64 = 1 << 20
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(piece), alignment: 4096)
    defer { buffer.deallocate() }
    let blocks = piece / 512
    // Zeros are written too where a new image holds something else.
    let isZero = image.format.newImagesAreZeros
    var block: UInt64 = 0
    while true {
      if isZero { block = source.nextData(from: block) }
      if block >= source.blockCount { break }
      block -= block % blocks
      let count = min(blocks, source.blockCount - block)
      let bytes = Int(count) * 512
      try source.read(block: block, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<bytes]))
      result.dataBytes += try put(
        buffer, bytes, at: block * 512, into: target, isZero: isZero)
      block += count
      try meter.update(block * 512)
    }
    try target.finish()
    try image.finish(files, nil)
    target.close()
    try meter.update(result.virtualSize, isLast: true)
    return result
  }

  /// Writes what is not zeros of a piece, in runs of 64 KiB.
  private static func put(
    _ buffer: UnsafeMutableRawBufferPointer, _ bytes: Int, at offset: UInt64,
    into target: any BlockDevice, isZero: Bool
  ) throws(StorageError) -> UInt64 {
    // The last sectors may not fill a block of the target.
    let whole = (bytes + target.blockSize - 1) / target.blockSize * target.blockSize
    UnsafeMutableRawBufferPointer(rebasing: buffer[bytes..<whole]).initializeMemory(
      as: UInt8.self, repeating: 0)
    let unit = max(65536, target.blockSize)
    var written: UInt64 = 0
    var at = 0
    while at < whole {
      let end = min(whole, at + unit)
      let part = UnsafeRawBufferPointer(rebasing: buffer[at..<end])
      let first = (offset + UInt64(at)) / UInt64(target.blockSize)
      if !ZeroSearch.isZero(part) {
        try target.write(block: first, from: part)
        written += UInt64(end - at)
      } else if !isZero {
        try target.discard(block: first, count: UInt64(end - at) / UInt64(target.blockSize))
      }
      at = end
    }
    return written
  }
}
