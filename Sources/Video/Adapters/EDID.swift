// What a monitor says of itself.
//
// Owns: the block of 128 bytes. Must not know: how it is read.
// Follows: VESA Enhanced EDID Standard, release A revision 2 (structure 1.4).

/// A monitor that shows all that the adapters can.
enum EDID {
  /// The block.
  static let block: [UInt8] = {
    var b = [UInt8](repeating: 0, count: 128)
    for n in 1...6 { b[n] = 0xFF }
    // Three letters of five bits each: "APU"; product 1, serial 0, made in 2026.
    let maker: UInt16 = 1 << 10 | 16 << 5 | 21
    b[8] = UInt8(maker >> 8)
    b[9] = UInt8(truncatingIfNeeded: maker)
    b[10] = 1
    b[16] = 1
    b[17] = UInt8(2026 - 1990)
    b[18] = 1
    b[19] = 4
    // Analogue, separate sync; 32 by 24 cm; gamma 2.2; DPMS, RGB, sRGB, the first timing is the preferred one.
    b[20] = 0x08
    b[21] = 32
    b[22] = 24
    b[23] = 120
    b[24] = 0xEE
    // sRGB's primaries.
    let chromaticity: [UInt8] = [0xEE, 0x91, 0xA3, 0x54, 0x4C, 0x99, 0x26, 0x0F, 0x50, 0x54]
    for (n, value) in chromaticity.enumerated() { b[25 + n] = value }
    // 720x400 70, 640x480 60, 800x600 60; 1024x768 60.
    b[35] = 0xA1
    b[36] = 0x08
    b[37] = 0
    // Width / 8 - 31; shape (0 16:10, 1 4:3, 2 5:4, 3 16:9) and rate - 60.
    let standards: [(Int, UInt8)] = [
      (1280, 2), (1280, 1), (1152, 1), (1600, 1), (1400, 1), (1920, 3), (1680, 0), (1280, 3),
    ]
    for (n, (width, shape)) in standards.enumerated() {
      b[38 + 2 * n] = UInt8(width / 8 - 31)
      b[39 + 2 * n] = shape << 6
    }
    timing(
      &b, 54, kilohertz: 65_000, horizontal: (1024, 320, 24, 136), vertical: (768, 38, 3, 6))
    // 50 to 125 Hz, 30 to 160 kHz, up to 270 MHz, no formula.
    let limits: [UInt8] = [0, 0, 0, 0xFD, 0, 50, 125, 30, 160, 27, 1, 0x0A]
    for (n, value) in limits.enumerated() { b[72 + n] = value }
    for n in 84..<90 { b[n] = 0x20 }
    text(&b, 90, 0xFC, "Apus monitor")
    text(&b, 108, 0xFF, "1")
    b[127] = 0 &- b[..<127].reduce(0, &+)
    return b
  }()

  /// Active, blanking, front porch and sync width of each direction.
  private static func timing(
    _ b: inout [UInt8], _ at: Int, kilohertz: Int, horizontal h: (Int, Int, Int, Int),
    vertical v: (Int, Int, Int, Int)
  ) {
    func low(_ value: Int) -> UInt8 { UInt8(truncatingIfNeeded: value) }
    b[at] = low(kilohertz / 10)
    b[at + 1] = low((kilohertz / 10) >> 8)
    b[at + 2] = low(h.0)
    b[at + 3] = low(h.1)
    b[at + 4] = low((h.0 >> 8) << 4 | h.1 >> 8)
    b[at + 5] = low(v.0)
    b[at + 6] = low(v.1)
    b[at + 7] = low((v.0 >> 8) << 4 | v.1 >> 8)
    b[at + 8] = low(h.2)
    b[at + 9] = low(h.3)
    b[at + 10] = low((v.2 & 15) << 4 | v.3 & 15)
    b[at + 11] = low((h.2 >> 8) << 6 | (h.3 >> 8) << 4 | (v.2 >> 4) << 2 | v.3 >> 4)
    // Millimetres.
    b[at + 12] = low(320)
    b[at + 13] = low(240)
    b[at + 14] = low((320 >> 8) << 4 | 240 >> 8)
    // Separate digital sync, both negative.
    b[at + 17] = 0x18
  }

  private static func text(_ b: inout [UInt8], _ at: Int, _ tag: UInt8, _ text: String) {
    b[at + 3] = tag
    let bytes = Array(text.utf8.prefix(13)) + [0x0A]
    for n in 0..<13 { b[at + 5 + n] = n < bytes.count ? bytes[n] : 0x20 }
  }
}
