// The check sum of VHDX.
//
// Owns: CRC-32C (polynomial 1EDC6F41h, reflected). Must not know: what is checked. After: RFC 3720 appendix B.4 (the examples), [MS-VHDX] 2.2.

/// CRC-32C, eight bytes at a time.
enum CRC32C {
  /// At n * 256 + byte: what a byte does n bytes further on.
  nonisolated(unsafe) private static let tables: UnsafePointer<UInt32> = {
    let tables = UnsafeMutablePointer<UInt32>.allocate(capacity: 8 * 256)
    for byte in 0..<256 {
      var value = UInt32(byte)
      for _ in 0..<8 { value = value >> 1 ^ (value & 1 == 0 ? 0 : 0x82F6_3B78) }
      tables[byte] = value
    }
    for n in 256..<8 * 256 {
      let before = tables[n - 256]
      tables[n] = before >> 8 ^ tables[Int(before & 0xFF)]
    }
    return UnsafePointer(tables)
  }()

  /// The sum of bytes, where the four at `hole` count as zeros (that is where structures keep it).
  static func sum(_ bytes: UnsafeRawBufferPointer, hole: Int? = nil) -> UInt32 {
    var state: UInt32 = .max
    if let hole {
      update(&state, UnsafeRawBufferPointer(rebasing: bytes[..<hole]))
      withUnsafeBytes(of: UInt32(0)) { update(&state, $0) }
      update(&state, UnsafeRawBufferPointer(rebasing: bytes[(hole + 4)...]))
    } else {
      update(&state, bytes)
    }
    return ~state
  }

  static func sum(_ bytes: [UInt8], hole: Int? = nil) -> UInt32 {
    bytes.withUnsafeBytes { sum($0, hole: hole) }
  }

  private static func update(_ state: inout UInt32, _ bytes: UnsafeRawBufferPointer) {
    var crc = state
    let tables = tables
    var at = 0
    while at &+ 8 <= bytes.count {
      let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      let mixed = word ^ UInt64(crc)
      func part(_ n: Int) -> UInt32 {
        tables[(7 &- n) &* 256 &+ Int(truncatingIfNeeded: mixed >> UInt64(8 &* n) & 0xFF)]
      }
      crc =
        part(0) ^ part(1) ^ part(2) ^ part(3) ^ part(4) ^ part(5) ^ part(6) ^ part(7)
      at &+= 8
    }
    while at < bytes.count {
      crc = crc >> 8 ^ tables[Int((crc ^ UInt32(bytes[at])) & 0xFF)]
      at += 1
    }
    state = crc
  }
}
