// Where two disks differ, for images that keep only that.
//
// Owns: the comparison of bytes in units, reads of a base that is shorter. Must not know: where the bytes come from.

import Storage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

enum BaseReading {
  /// Fills a buffer with what a disk shows at an offset; behind its end are zeros.
  static func read(
    _ device: any BlockDevice, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StorageError) {
    let size = device.blockCount * UInt64(device.blockSize)
    let inside = offset >= size ? 0 : Int(min(UInt64(buffer.count), size - offset))
    if inside > 0 {
      try device.read(
        block: offset / UInt64(device.blockSize),
        into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<inside]))
    }
    if inside < buffer.count {
      UnsafeMutableRawBufferPointer(rebasing: buffer[inside...]).initializeMemory(
        as: UInt8.self, repeating: 0)
    }
  }
}

extension BaseReading {
  /// Makes a run zeros in an overlay where what is below shows anything else. The run is whole blocks of the overlay, but at its end.
  /// - Parameter below: in sectors of 512 bytes.
  static func hide(
    _ below: ShownExtents, _ offset: UInt64, _ count: UInt64, in target: any BlockDevice
  ) throws(StorageError) {
    let block = UInt64(target.blockSize)
    let end = offset + count
    let limit = min(end, below.layers[0].blockCount * 512)
    var at = offset
    while at < limit {
      let run = try below.run(at: at / 512, limit: (limit - at + 511) / 512)
      let next = min(limit, at + run.count * 512)
      if !run.isZero {
        let first = at / block
        let last = min((next + block - 1) / block, target.blockCount)
        if last > first { try target.writeZeroes(block: first, count: last - first) }
      }
      at = next
    }
  }
}

enum DifferentRuns {
  /// The runs of units in which the bytes differ; those of zeros are marked.
  static func find(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, unit: Int)
    -> [Chunk.Run]
  {
    var runs: [Chunk.Run] = []
    guard let first = a.baseAddress, let second = b.baseAddress else { return [] }
    for start in stride(from: 0, to: a.count, by: unit) {
      let count = min(unit, a.count - start)
      if memcmp(first + start, second + start, count) == 0 { continue }
      let isZero = ZeroSearch.isZero(UnsafeRawBufferPointer(start: first + start, count: count))
      if let last = runs.last, last.start + last.count == start, last.isZero == isZero {
        runs[runs.count - 1].count += count
      } else {
        runs.append(Chunk.Run(start: start, count: count, isZero: isZero))
      }
    }
    return runs
  }

  /// Where the first byte is that differs; nil: none does.
  static func first(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int? {
    guard let first = a.baseAddress, let second = b.baseAddress else { return nil }
    if memcmp(first, second, a.count) == 0 { return nil }
    var low = 0
    // Whole pages at once, then bytes.
    while low + 4096 <= a.count, memcmp(first + low, second + low, 4096) == 0 { low += 4096 }
    return (low..<a.count).first { a[$0] != b[$0] }
  }
}
