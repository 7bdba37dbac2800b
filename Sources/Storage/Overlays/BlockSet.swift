// A set of block numbers that takes little room, however a guest fills it.
//
// Owns: the numbers. Must not know: what is with these blocks.

/// Numbers of blocks: a bit each, and next to nothing where all of many neighbours are in it.
struct BlockSet {
  /// How many numbers share a piece.
  private static let pieceSize: UInt64 = 32_768
  /// Bits of a piece; none: all of its numbers are in the set.
  private var pieces: [UInt64: Piece] = [:]
  private(set) var count: UInt64 = 0

  private struct Piece {
    var words: [UInt64]
    var count: UInt64
  }

  var isEmpty: Bool { count == 0 }

  func contains(_ number: UInt64) -> Bool {
    guard count > 0, let piece = pieces[number / BlockSet.pieceSize] else { return false }
    if piece.words.isEmpty { return true }
    let bit = number % BlockSet.pieceSize
    return piece.words[Int(bit >> 6)] >> (bit & 63) & 1 != 0
  }

  mutating func insert(_ range: Range<UInt64>) {
    BlockSet.forEachPart(range) { key, bits in
      var piece =
        pieces.removeValue(forKey: key)
        ?? Piece(words: [UInt64](repeating: 0, count: Int(BlockSet.pieceSize / 64)), count: 0)
      let before = piece.count
      if bits.count == Int(BlockSet.pieceSize) {
        piece.count = BlockSet.pieceSize
      } else if !piece.words.isEmpty {
        for bit in bits where piece.words[bit >> 6] >> UInt64(bit & 63) & 1 == 0 {
          piece.words[bit >> 6] |= 1 << UInt64(bit & 63)
          piece.count += 1
        }
      }
      if piece.count == BlockSet.pieceSize { piece.words = [] }
      count += piece.count - before
      pieces[key] = piece
    }
  }

  mutating func remove(_ number: UInt64) {
    guard contains(number) else { return }
    let (key, bit) = (number / BlockSet.pieceSize, Int(number % BlockSet.pieceSize))
    guard var piece = pieces.removeValue(forKey: key) else { return }
    if piece.words.isEmpty {
      piece.words = [UInt64](repeating: UInt64.max, count: Int(BlockSet.pieceSize / 64))
    }
    piece.words[bit >> 6] &= ~(1 << UInt64(bit & 63))
    piece.count -= 1
    count -= 1
    if piece.count > 0 { pieces[key] = piece }
  }

  mutating func removeAll() { self = BlockSet() }

  /// The numbers, ascending, in runs of neighbours; those of two pieces are never in one run.
  func forEachRun(_ body: (Range<UInt64>) -> Void) {
    for key in pieces.keys.sorted() {
      guard let piece = pieces[key] else { continue }
      let first = key * BlockSet.pieceSize
      if piece.words.isEmpty {
        body(first..<first + BlockSet.pieceSize)
        continue
      }
      var start: UInt64?
      for bit in 0..<BlockSet.pieceSize {
        let word = piece.words[Int(bit >> 6)]
        let isSet = word >> (bit & 63) & 1 != 0
        if isSet, start == nil { start = bit }
        if !isSet, let begun = start {
          body(first + begun..<first + bit)
          start = nil
        }
      }
      if let start { body(first + start..<first + BlockSet.pieceSize) }
    }
  }

  /// Cuts a range at the ends of pieces.
  private static func forEachPart(_ range: Range<UInt64>, _ body: (UInt64, Range<Int>) -> Void) {
    var at = range.lowerBound
    while at < range.upperBound {
      let key = at / BlockSet.pieceSize
      let end = min(range.upperBound, (key + 1) * BlockSet.pieceSize)
      let first = key * BlockSet.pieceSize
      body(key, Int(at - first)..<Int(end - first))
      at = end
    }
  }
}
