// Bitmaps with a bit for each sector, as VHD and VHDX have them.
//
// Owns: counting equal bits, changing runs of them. Must not know: what a bit says, where a bitmap is.

/// In which order the bits of a byte are counted.
enum BitOrder {
  case highestFirst, lowestFirst
}

extension MetadataCache {
  /// The first bit of a range of a bitmap, and how many are like it.
  /// - Parameter place: where the bitmap is in the file.
  func bits(_ place: UInt64, _ index: UInt64, _ count: UInt64, _ order: BitOrder)
    throws(StorageError) -> (isSet: Bool, count: UInt64)
  {
    var at = index
    let end = index + count
    var isSet: Bool?
    while at < end {
      // Until the page ends.
      var bytes = try rest(of: place + at / 8)[...]
      if let isSet, at & 7 == 0 {
        // Words that are all alike.
        let pattern: UInt64 = isSet ? .max : 0
        while at < end, bytes.count >= 8,
          bytes.base.loadUnaligned(fromByteOffset: bytes.startIndex, as: UInt64.self) == pattern
        {
          at += 64
          bytes = bytes.dropFirst(8)
        }
        if at >= end { break }
      }
      for byte in bytes {
        let first = UInt8(truncatingIfNeeded: at & 7)
        let wanted =
          isSet ?? (order == .highestFirst ? (byte << first) >> 7 != 0 : byte >> first & 1 != 0)
        isSet = wanted
        // What differs is 1.
        let other = wanted ? ~byte : byte
        let same = min(
          8 - Int(first),
          order == .highestFirst
            ? (other << first).leadingZeroBitCount : (other >> first).trailingZeroBitCount)
        at += UInt64(same)
        if same < 8 - Int(first) || at >= end { return (wanted, min(at, end) - index) }
        if at & 63 == 0, end - at >= 64 { break }
      }
    }
    return (isSet == true, min(at, end) - index)
  }

  /// Makes a range of a bitmap's bits the same.
  func setBits(
    _ place: UInt64, _ index: UInt64, _ count: UInt64, to value: Bool, _ order: BitOrder
  ) throws(StorageError) {
    var at = index
    let end = index + count
    while at < end {
      let byte = at / 8
      let left = UInt64(pageSize) - (place + byte - start) % UInt64(pageSize)
      try change(place + byte, count: Int(min(left, (end + 7) / 8 - byte))) { bytes in
        for n in 0..<bytes.count {
          let first = at & 7
          let last = min(8, first + end - at)
          let mask: UInt8 =
            order == .highestFirst
            ? UInt8(truncatingIfNeeded: 0xFF >> first) & ~UInt8(truncatingIfNeeded: 0xFF >> last)
            : UInt8(truncatingIfNeeded: (1 << last) - (1 << first))
          if value { bytes[n] |= mask } else { bytes[n] &= ~mask }
          at += last - first
        }
      }
    }
  }
}
