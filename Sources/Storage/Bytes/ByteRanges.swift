// Ranges of bytes that have something in common.
//
// Owns: a set of them, joined where they touch. Must not know: what they have in common.

/// Ranges that lie apart from each other, ascending.
struct ByteRanges {
  private(set) var ranges: [Range<UInt64>] = []

  var isEmpty: Bool { ranges.isEmpty }

  /// The first range that ends behind an offset.
  private func index(behind offset: UInt64) -> Int {
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound > offset { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// What of a range is in it first; nil: nothing is.
  func first(in range: Range<UInt64>) -> Range<UInt64>? {
    let at = index(behind: range.lowerBound)
    guard at < ranges.count, !range.isEmpty, ranges[at].lowerBound < range.upperBound else {
      return nil
    }
    return ranges[at].clamped(to: range)
  }

  /// All of the range that a part is of.
  func whole(_ part: Range<UInt64>) -> Range<UInt64> { ranges[index(behind: part.lowerBound)] }

  mutating func add(_ range: Range<UInt64>) {
    if range.isEmpty { return }
    var new = range
    let first = index(behind: range.lowerBound == 0 ? 0 : range.lowerBound - 1)
    var last = first
    while last < ranges.count, ranges[last].lowerBound <= range.upperBound {
      new =
        min(new.lowerBound, ranges[last].lowerBound)..<max(new.upperBound, ranges[last].upperBound)
      last += 1
    }
    ranges.replaceSubrange(first..<last, with: [new])
  }

  mutating func remove(_ range: Range<UInt64>) {
    if range.isEmpty { return }
    let first = index(behind: range.lowerBound)
    var last = first
    var rest: [Range<UInt64>] = []
    while last < ranges.count, ranges[last].lowerBound < range.upperBound {
      let old = ranges[last]
      if old.lowerBound < range.lowerBound { rest.append(old.lowerBound..<range.lowerBound) }
      if old.upperBound > range.upperBound { rest.append(range.upperBound..<old.upperBound) }
      last += 1
    }
    ranges.replaceSubrange(first..<last, with: rest)
  }
}
