// What surrounds the user data of a CD's data sectors.
//
// Owns: synchronisation, header, EDC and ECC of a sector of 2352 bytes. Must not know: images, tracks.
// After: ECMA-130 clause 14 (modes), 14.3 (EDC), annex A (ECC as a product code); the "Yellow Book" extended by CD-ROM XA for mode 2.
//
//   mode 1         0 sync 12 · 12 header 4 · 16 user 2048 · 2064 EDC 4 · 2068 zeros 8 · 2076 P 172 · 2248 Q 104
//   mode 2         0 sync 12 · 12 header 4 · 16 user 2336
//   mode 2 form 1  ... 16 subheader 8 · 24 user 2048 · 2072 EDC 4 · 2076 P 172 · 2248 Q 104 (made as if the header were zeros)
//   mode 2 form 2  ... 16 subheader 8 · 24 user 2324 · 2348 EDC 4, or zeros

/// Makes and judges sectors of 2352 bytes.
public enum CDSector {
  /// Bytes of a whole sector.
  public static let rawSize = 2352
  /// Bytes of user data in mode 1 and mode 2 form 1.
  public static let userSize = 2048
  /// Where the user data begin.
  static let userOffset = 16
  static let xaUserOffset = 24
  private static let syncSize = 12
  private static let pOffset = 2076
  private static let qOffset = 2248

  /// What a data sector begins with.
  static let sync: [UInt8] = [0x00] + [UInt8](repeating: 0xFF, count: 10) + [0x00]

  /// Bit 5 of the submode in a subheader: form 2.
  static let formBit: UInt8 = 0x20

  /// Writes synchronisation and header.
  static func putHeader(_ sector: UnsafeMutableRawPointer, lba: Int, mode: UInt8) {
    for (n, byte) in sync.enumerated() {
      sector.storeBytes(of: byte, toByteOffset: n, as: UInt8.self)
    }
    let (m, s, f) = CDAddress.msf(lba)
    sector.storeBytes(of: CDAddress.bcd(m), toByteOffset: 12, as: UInt8.self)
    sector.storeBytes(of: CDAddress.bcd(s), toByteOffset: 13, as: UInt8.self)
    sector.storeBytes(of: CDAddress.bcd(f), toByteOffset: 14, as: UInt8.self)
    sector.storeBytes(of: mode, toByteOffset: 15, as: UInt8.self)
  }

  /// Makes a mode 1 sector of user data that stand at their place in it.
  static func completeMode1(_ sector: UnsafeMutableRawPointer, lba: Int) {
    putHeader(sector, lba: lba, mode: 1)
    putEDC(sector, from: 0, to: 2064)
    for n in 2068..<2076 { sector.storeBytes(of: 0, toByteOffset: n, as: UInt8.self) }
    putECC(sector)
  }

  /// Makes a mode 2 form 1 sector of user data that stand at their place in it; the subheader says "data" in file 0, channel 0.
  static func completeForm1(_ sector: UnsafeMutableRawPointer, lba: Int) {
    for n in 12..<24 { sector.storeBytes(of: 0, toByteOffset: n, as: UInt8.self) }
    // Submode bit 3: data. The four bytes stand twice.
    sector.storeBytes(of: 0x08, toByteOffset: 18, as: UInt8.self)
    sector.storeBytes(of: 0x08, toByteOffset: 22, as: UInt8.self)
    putEDC(sector, from: 16, to: 2072)
    putECC(sector)
    putHeader(sector, lba: lba, mode: 2)
  }

  // MARK: EDC

  /// P(x) = (x^16 + x^15 + x^2 + 1)(x^16 + x^2 + x + 1), the least significant bit of a byte first.
  private static let edcTable: [UInt32] = (0..<256).map { n in
    var value = UInt32(n)
    for _ in 0..<8 { value = value & 1 != 0 ? value >> 1 ^ 0xD801_8001 : value >> 1 }
    return value
  }

  static func edc(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    edcTable.withUnsafeBufferPointer { table in
      var value: UInt32 = 0
      for byte in bytes { value = value >> 8 ^ table[Int(UInt8(truncatingIfNeeded: value) ^ byte)] }
      return value
    }
  }

  private static func putEDC(_ sector: UnsafeMutableRawPointer, from start: Int, to end: Int) {
    let value = edc(UnsafeRawBufferPointer(start: sector + start, count: end - start))
    for n in 0..<4 {
      sector.storeBytes(
        of: UInt8(truncatingIfNeeded: value >> UInt32(8 * n)), toByteOffset: end + n, as: UInt8.self
      )
    }
  }

  // MARK: ECC

  /// Multiplication by alpha in GF(2^8) with x^8 + x^4 + x^3 + x^2 + 1.
  private static func timesAlpha(_ value: UInt8) -> UInt8 {
    value << 1 ^ (value & 0x80 != 0 ? 0x1D : 0)
  }

  /// Division by alpha + 1.
  private static let quotients: [UInt8] = {
    var table = [UInt8](repeating: 0, count: 256)
    for n in 0..<256 {
      let value = UInt8(n)
      table[Int(timesAlpha(value) ^ value)] = value
    }
    return table
  }()

  /// The two parity bytes that make the sum of a vector, and its sum weighted with falling powers of alpha, zero.
  @inline(__always)
  private static func parity(
    _ bytes: UnsafePointer<UInt8>, count: Int, _ quotients: UnsafePointer<UInt8>,
    _ place: (Int) -> Int
  ) -> (UInt8, UInt8) {
    var sum: UInt8 = 0
    var weighted: UInt8 = 0
    for n in 0..<count {
      let byte = bytes[place(n)]
      sum ^= byte
      weighted = timesAlpha(weighted) ^ byte
    }
    // The last data byte's weight is alpha squared, those of the parity bytes are alpha and 1.
    weighted = timesAlpha(timesAlpha(weighted))
    let first = quotients[Int(sum ^ weighted)]
    return (first, sum ^ first)
  }

  /// P over bytes 12 to 2075 in 2 x 43 columns of 24, Q over these and P in 2 x 26 diagonals of 43; both of the even and the odd bytes.
  private static func putECC(_ sector: UnsafeMutableRawPointer) {
    let bytes = sector.assumingMemoryBound(to: UInt8.self)
    let data = UnsafePointer(bytes + syncSize)
    quotients.withUnsafeBufferPointer { table in
      let quotients = table.baseAddress!
      for column in 0..<86 {
        let (a, b) = parity(data, count: 24, quotients) { column + 86 * $0 }
        bytes[pOffset + column] = a
        bytes[pOffset + 86 + column] = b
      }
      for diagonal in 0..<26 {
        for half in 0..<2 {
          let (a, b) = parity(data, count: 43, quotients) {
            (44 * $0 + 43 * diagonal) % 1118 * 2 + half
          }
          bytes[qOffset + 2 * diagonal + half] = a
          bytes[qOffset + 52 + 2 * diagonal + half] = b
        }
      }
    }
  }

  // MARK: Subchannel

  /// CRC of the Q subchannel: x^16 + x^12 + x^5 + 1, inverted (ECMA-130 22.3.3.4).
  public static func subchannelCRC(_ bytes: some Sequence<UInt8>) -> UInt16 {
    var value: UInt16 = 0
    for byte in bytes {
      value ^= UInt16(byte) << 8
      for _ in 0..<8 { value = value & 0x8000 != 0 ? value << 1 ^ 0x1021 : value << 1 }
    }
    return ~value
  }
}
