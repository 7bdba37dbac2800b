// `compare`: whether two images hold the same.
//
// Owns: the comparison, by two threads where both have data. Must not know: formats.

import Host
import Storage

public struct CompareResult: Codable, Equatable, Sendable {
  public var schema = "apus-image-compare"
  public var version = 1
  public var files: [String]
  public var isEqual: Bool
  /// The first byte that differs; nil: none does.
  public var offset: UInt64?
  /// In words.
  public var difference: String?
  public var sizes: [UInt64]
}

extension ImageOperations {
  /// Compares two images. Where one is longer, the rest of it has to be zeros.
  /// - Parameter isStrict: the sizes have to be the same, and what has room in one has it in the other.
  public static func compare(
    _ first: ImageReference, _ second: ImageReference, isStrict: Bool = false,
    _ job: ImageJob = ImageJob()
  ) throws -> CompareResult {
    let a = try CopySource(first)
    let b = try CopySource(second)
    defer {
      a.close()
      b.close()
    }
    var result = CompareResult(
      files: [first.path, second.path], isEqual: true, offset: nil, difference: nil,
      sizes: [a.byteCount, b.byteCount])
    func differ(_ offset: UInt64?, _ words: String) -> CompareResult {
      result.isEqual = false
      result.offset = offset
      result.difference = words
      return result
    }
    if isStrict && a.byteCount != b.byteCount { return differ(nil, "the sizes differ") }
    var scan = try CompareScan(a.device, b.device, isStrict: isStrict)
    let readers = try (0..<min(2, HostThread.processorCount)).map { _ in
      let left = try CopySource(first, checksBase: false)
      let right = try CopySource(second, checksBase: false)
      return { (chunk: Chunk) in
        let count = Int(chunk.count)
        let one = UnsafeMutableRawBufferPointer(rebasing: chunk.buffer[..<count])
        let other = UnsafeMutableRawBufferPointer(rebasing: chunk.second[..<count])
        try BaseReading.read(left.device, at: chunk.offset, into: one)
        try BaseReading.read(right.device, at: chunk.offset, into: other)
        if let at = DifferentRuns.first(UnsafeRawBufferPointer(one), UnsafeRawBufferPointer(other))
        {
          chunk.runs = [Chunk.Run(start: at, count: 1, isZero: false)]
        }
      }
    }
    let pipeline = try ChunkPipeline(readers: readers)
    defer { pipeline.stop() }
    let meter = job.meter(total: max(a.byteCount, b.byteCount))
    struct Found: Error { let offset: UInt64 }
    do {
      let next = { try scan.next() }
      try pipeline.run(next: next) { chunk in
        if let run = chunk.runs.first { throw Found(offset: chunk.offset + UInt64(run.start)) }
        try meter.update(chunk.offset + chunk.count)
      }
    } catch let found as Found { return differ(found.offset, "the contents differ") }
    if let place = scan.allocationDiffers {
      return differ(place, "one has room there and the other not")
    }
    try meter.update(max(a.byteCount, b.byteCount), isLast: true)
    return result
  }
}

/// Pieces of two disks at once: to be read where either has data.
private struct CompareScan {
  private let a: ShownExtents
  private let b: ShownExtents
  private let size: UInt64
  private let isStrict: Bool
  private var position: UInt64 = 0
  /// In strict comparison: where only one has room.
  private(set) var allocationDiffers: UInt64?

  init(_ a: any BlockDevice, _ b: any BlockDevice, isStrict: Bool) throws {
    self.a = ShownExtents(a)
    self.b = ShownExtents(b)
    self.isStrict = isStrict
    size = max(a.blockCount, b.blockCount) * 512
  }

  private func run(_ extents: ShownExtents, _ at: UInt64, _ limit: UInt64) throws -> (
    isZero: Bool, isPresent: Bool, end: UInt64
  ) {
    let count = extents.layers[0].blockCount * 512
    if at >= count { return (true, false, at + limit) }
    let found = try extents.run(at: at / 512, limit: (min(limit, count - at) + 511) / 512)
    return (found.isZero, !found.isZero, at + found.count * 512)
  }

  mutating func next() throws -> ChunkWish? {
    if position >= size || allocationDiffers != nil { return nil }
    let start = position
    let chunk = UInt64(ChunkPipeline.chunkSize)
    let end = min(size, start - start % chunk + chunk)
    var at = start
    var isZero: Bool?
    let far = min(size, start.addingReportingOverflow(1 << 40).partialValue)
    while at < far {
      let (one, other) = (try run(a, at, far - at), try run(b, at, far - at))
      if isStrict && one.isPresent != other.isPresent {
        allocationDiffers = at
        return nil
      }
      let both = one.isZero && other.isZero
      if let isZero, isZero != both { break }
      isZero = both
      at = min(far, one.end, other.end)
      if !both && at >= end { break }
    }
    position = isZero == true ? at : min(at, end)
    return ChunkWish(offset: start, count: position - start, isZero: isZero == true)
  }
}
