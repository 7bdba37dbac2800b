// Where a machine's RAM is in physical memory.
//
// Owns: the split around the hole below 4 GiB. Must not know: what is in the hole.

/// RAM as the memory map of firmware has it.
enum GuestRAM {
  /// RAM begins again at 4 GiB where this much is below it.
  static let mostBelow4GiB: UInt64 = 3 << 30

  /// Ascending; the first begins at 0 and counts the adapters' 384 KiB below 1 MiB.
  static func ranges(megabytes: Int) -> [Range<UInt64>] {
    let size = UInt64(megabytes) << 20
    let low = min(size, mostBelow4GiB)
    return size > low ? [0..<low, 1 << 32..<(1 << 32) + size - low] : [0..<low]
  }
}
