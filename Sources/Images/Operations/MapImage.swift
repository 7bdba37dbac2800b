// `map`: where the blocks of a disk are.
//
// Owns: runs of blocks of which the same is to be said, through all layers. Must not know: formats.

import Storage

/// A run, for programs.
public struct MapEntry: Codable, Equatable, Sendable {
  /// Bytes on the disk.
  public var start: UInt64
  public var length: UInt64
  /// 0: in the image itself, 1: in its base, ...
  public var depth: Int
  /// Whether any image says something of it.
  public var present: Bool
  /// Whether it reads as zeros without being read.
  public var zero: Bool
  public var data: Bool
  public var compressed: Bool
  /// Where it is in that image's file, and the file; nil where that means nothing.
  public var offset: UInt64?
  public var file: String?
}

public struct MapResult: Codable, Equatable, Sendable {
  public var schema = "apus-image-map"
  public var version = 1
  public var file: String
  public var entries: [MapEntry]
}

extension ImageOperations {
  /// Tells where blocks are.
  /// - Parameters:
  ///   - start: the first byte.
  ///   - length: as many bytes; nil: to the end.
  public static func map(
    _ reference: ImageReference, start: UInt64 = 0, length: UInt64? = nil,
    _ job: ImageJob = ImageJob()
  ) throws -> MapResult {
    var reference = reference
    // Where blocks are is told without a key.
    reference.mayStayLocked = true
    let image = try DiskImage(reference, .reading)
    defer { image.close() }
    var result = MapResult(file: image.path, entries: [])
    let block = UInt64(image.device.blockSize)
    let extents = ShownExtents(image.device)
    // What a layer is called is its path.
    let files = extents.layers.map(\.whole.name)
    let size = image.byteCount
    if start >= size { return result }
    let end = length.map { start + min($0, size - start) } ?? size
    var at = start / block
    let last = (end + block - 1) / block
    var turns = 0
    while at < last {
      turns += 1
      if turns % 4096 == 0 { try job.check() }
      let run = try extents.run(at: at, limit: last - at)
      let from = max(start, at * block)
      let to = min(end, (at + run.count) * block)
      let offset = run.isZero ? nil : run.offset.map { $0 + (from - at * block) }
      let entry = MapEntry(
        start: from, length: to - from, depth: run.depth, present: run.isPresent,
        zero: run.isZero, data: !run.isZero, compressed: run.isCompressed, offset: offset,
        file: offset == nil || run.depth >= files.count ? nil : files[run.depth])
      if !result.entries.isEmpty,
        result.entries[result.entries.count - 1].absorb(entry)
      {
      } else {
        if result.entries.count >= 10_000_000 {
          throw StorageError(path: image.path, reason: "has more runs than can be told at once")
        }
        result.entries.append(entry)
      }
      at += run.count
    }
    return result
  }
}

extension MapEntry {
  /// Takes the next run in, if the same is to be said of it.
  fileprivate mutating func absorb(_ next: MapEntry) -> Bool {
    guard next.depth == depth, next.present == present, next.zero == zero, next.data == data,
      next.compressed == compressed, next.file == file
    else { return false }
    switch (offset, next.offset) {
    case (nil, nil): break
    case (let a?, let b?) where a + length == b: break
    default: return false
    }
    length += next.length
    return true
  }
}
