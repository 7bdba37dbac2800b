// Data and zeros inside a piece that was read.
//
// Owns: finding them, at a size below which zeros are written like data; compressing units. Must not know: where the bytes go.

import Storage

enum ZeroRuns {
  /// Runs of data and of zeros, in units of `unit` bytes.
  static func find(_ bytes: UnsafeRawBufferPointer, unit: Int) -> [Chunk.Run] {
    var runs: [Chunk.Run] = []
    var at = 0
    while at < bytes.count {
      let end = min(bytes.count, at + unit)
      let isZero = ZeroSearch.isZero(UnsafeRawBufferPointer(rebasing: bytes[at..<end]))
      if let last = runs.last, last.isZero == isZero {
        runs[runs.count - 1].count += end - at
      } else {
        runs.append(Chunk.Run(start: at, count: end - at, isZero: isZero))
      }
      at = end
    }
    return runs
  }

  /// Units one by one, compressed where that makes them smaller.
  static func compress(
    _ bytes: UnsafeRawBufferPointer, unit: Int,
    _ compressor: (UnsafeRawBufferPointer) -> [UInt8]?
  ) -> [Chunk.Run] {
    stride(from: 0, to: bytes.count, by: unit).map { start in
      let count = min(unit, bytes.count - start)
      let part = UnsafeRawBufferPointer(rebasing: bytes[start..<start + count])
      if ZeroSearch.isZero(part) { return Chunk.Run(start: start, count: count, isZero: true) }
      let compressed = count == unit ? compressor(part) : nil
      return Chunk.Run(start: start, count: count, isZero: false, compressed: compressed)
    }
  }
}
