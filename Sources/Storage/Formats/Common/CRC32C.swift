// The check sum of VHDX.
//
// Owns: CRC-32C (polynomial 1EDC6F41h, reflected). Must not know: what is checked. After: RFC 3720 appendix B.4 (the examples), [MS-VHDX] 2.2.

/// CRC-32C, eight bytes at a time.
enum CRC32C {
  /// tables[n][byte]: what a byte does n bytes further on.
  private static let tables: [[UInt32]] = {
    var tables = [[UInt32]](repeating: [UInt32](repeating: 0, count: 256), count: 8)
    for byte in 0..<256 {
      var value = UInt32(byte)
      for _ in 0..<8 { value = value >> 1 ^ (value & 1 == 0 ? 0 : 0x82F6_3B78) }
      tables[0][byte] = value
    }
    for n in 1..<8 {
      for byte in 0..<256 {
        let before = tables[n - 1][byte]
        tables[n][byte] = before >> 8 ^ tables[0][Int(before & 0xFF)]
      }
    }
    return tables
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
    var at = 0
    while at + 8 <= bytes.count {
      let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      let low = UInt32(truncatingIfNeeded: word) ^ crc
      let high = UInt32(truncatingIfNeeded: word >> 32)
      crc =
        tables[7][Int(low & 0xFF)] ^ tables[6][Int(low >> 8 & 0xFF)]
        ^ tables[5][Int(low >> 16 & 0xFF)] ^ tables[4][Int(low >> 24)]
      crc ^=
        tables[3][Int(high & 0xFF)] ^ tables[2][Int(high >> 8 & 0xFF)]
        ^ tables[1][Int(high >> 16 & 0xFF)] ^ tables[0][Int(high >> 24)]
      at += 8
    }
    while at < bytes.count {
      crc = crc >> 8 ^ tables[0][Int((crc ^ UInt32(bytes[at])) & 0xFF)]
      at += 1
    }
    state = crc
  }
}
