// The shift registers: from the four bytes of a plane address to pixels.
//
// Owns: tables and the bits' order. Must not know: addresses, colours.

/// Turns plane bytes into pixels, one a byte, the leftmost lowest.
struct PixelShift {
  /// For each byte its eight bits as eight bytes, highest bit first.
  private let bits: UnsafeMutablePointer<UInt64>
  /// For each byte its four bit pairs as four bytes, highest pair first.
  private let pairs: UnsafeMutablePointer<UInt32>

  /// Allocates tables, which `deallocate` gives back.
  init() {
    bits = .allocate(capacity: 256)
    pairs = .allocate(capacity: 256)
    for byte in 0..<256 {
      var wide: UInt64 = 0
      for i in 0..<8 where byte & (0x80 >> i) != 0 { wide |= 1 << UInt64(8 * i) }
      (bits + byte).initialize(to: wide)
      var narrow: UInt32 = 0
      for i in 0..<4 { narrow |= UInt32(byte >> (6 - 2 * i) & 3) << UInt32(8 * i) }
      (pairs + byte).initialize(to: narrow)
    }
  }

  func deallocate() {
    bits.deallocate()
    pairs.deallocate()
  }

  /// Eight pixels of a bit from each plane.
  @inline(__always)
  func planes(_ cell: UInt32) -> UInt64 {
    bits[Int(cell & 0xFF)] | bits[Int(cell >> 8 & 0xFF)] << 1
      | bits[Int(cell >> 16 & 0xFF)] << 2 | bits[Int(cell >> 24)] << 3
  }

  /// Eight pixels of two bits from planes 0 and 2, then from planes 1 and 3.
  @inline(__always)
  func interleave(_ cell: UInt32) -> UInt64 {
    let first = pairs[Int(cell & 0xFF)] | pairs[Int(cell >> 16 & 0xFF)] << 2
    let second = pairs[Int(cell >> 8 & 0xFF)] | pairs[Int(cell >> 24)] << 2
    return UInt64(first) | UInt64(second) << 32
  }

  /// Eight pixels of four bits, plane after plane, high nibble first.
  @inline(__always)
  func split(_ cell: UInt32) -> UInt64 {
    var spread = UInt64(cell)
    spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF
    spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF
    return spread >> 4 & 0x000F_000F_000F_000F | (spread & 0x000F_000F_000F_000F) << 8
  }

  /// What comes out `later` character clocks after loading where nothing has been loaded since: the four registers are chained in a
  /// ring, each going on with what the next plane's has shifted out.
  @inline(__always)
  func chained(_ eight: UInt64, later: Int) -> UInt64 {
    let mask: UInt64 = 0x0F0F_0F0F_0F0F_0F0F
    return (eight >> UInt64(later) | eight << UInt64(4 - later)) & mask
  }

  /// Four eight-bit pixels, each of two four-bit ones.
  @inline(__always)
  func join(_ eight: UInt64) -> UInt32 {
    var result: UInt32 = 0
    for i in 0..<4 {
      let pair = eight >> UInt64(16 * i)
      let byte = UInt32(truncatingIfNeeded: (pair & 0x0F) << 4 | pair >> 8 & 0x0F)
      result |= byte << UInt32(8 * i)
    }
    return result
  }
}
