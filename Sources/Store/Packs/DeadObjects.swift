// Which objects of a pack nobody needs any more.
//
// Owns: one bit for each object. Must not know: why.

/// A set of small numbers; empty, it takes no room.
struct DeadObjects: Equatable {
  private(set) var words: [UInt64] = []
  private(set) var count = 0
  /// Objects of the pack.
  let limit: Int

  init(limit: Int) { self.limit = limit }

  /// Reads as many bytes as `byteCount(limit)` says.
  /// - Returns: nil: a bit behind the last object is set.
  init?(_ bytes: UnsafeRawBufferPointer, limit: Int) {
    self.limit = limit
    words = [UInt64](repeating: 0, count: (limit + 63) / 64)
    for (at, byte) in bytes.enumerated() {
      words[at >> 3] |= UInt64(byte) << UInt64((at & 7) * 8)
    }
    if limit & 63 != 0, words[words.count - 1] >> UInt64(limit & 63) != 0 { return nil }
    count = words.reduce(0) { $0 + $1.nonzeroBitCount }
  }

  static func byteCount(_ limit: Int) -> Int { (limit + 7) / 8 }

  /// Writes so many bytes.
  func store(to room: UnsafeMutableRawPointer) {
    for at in 0..<DeadObjects.byteCount(limit) {
      room.storeBytes(
        of: UInt8(truncatingIfNeeded: words[at >> 3] >> UInt64((at & 7) * 8)), toByteOffset: at,
        as: UInt8.self)
    }
  }

  func contains(_ index: Int) -> Bool {
    !words.isEmpty && words[index >> 6] >> UInt64(index & 63) & 1 != 0
  }

  /// Adds those of another set for the same pack.
  mutating func formUnion(_ other: DeadObjects) {
    if other.words.isEmpty { return }
    if words.isEmpty {
      self = other
      return
    }
    for at in words.indices { words[at] |= other.words[at] }
    count = words.reduce(0) { $0 + $1.nonzeroBitCount }
  }

  mutating func insert(_ index: Int) {
    if words.isEmpty { words = [UInt64](repeating: 0, count: (limit + 63) / 64) }
    let bit: UInt64 = 1 << UInt64(index & 63)
    if words[index >> 6] & bit == 0 {
      words[index >> 6] |= bit
      count += 1
    }
  }
}
