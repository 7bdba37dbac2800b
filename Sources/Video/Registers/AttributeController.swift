// The attribute controller: from plane bits to an eight-bit DAC address.
//
// Owns: AR0-AR14, the index with its palette address source bit, the index/data flip-flop. Must not know: the DAC.
// Follows the IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem".
//
//   3C0  write: index (4-0) with palette address source (5), then data, in turn; read: index
//   3C1  read: data. Reading 3xA (input status 1) makes the next write an index.
//        00-0F palette   10 Mode: 0 graphics, 1 mono, 2 line graphics, 3 blink, 5 pan compatibility, 6 8-bit pixels, 7 P54S
//        11 overscan   12 color plane enable   13 horizontal PEL panning   14 color select

/// The attribute controller's registers.
public struct AttributeController: Sendable {
  /// The number of registers.
  static let count = 0x15
  private static let masks: [UInt8] = [
    0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F,
    0xEF, 0xFF, 0x3F, 0x0F, 0x0F,
  ]

  /// The index register, without the palette address source bit.
  public internal(set) var index: UInt8 = 0
  /// Palette address source: the display uses the palette (true), or the host may load it (false, screen shows overscan).
  public internal(set) var displayEnabled = false
  /// Whether the next write to 3C0 is data.
  public internal(set) var expectsData = false
  /// AR0 to AR14; unused bits are 0.
  public internal(set) var registers = [UInt8](repeating: 0, count: AttributeController.count)

  /// What port 3C0 reads as.
  var indexPort: UInt8 { index | (displayEnabled ? 0x20 : 0) }

  /// Reads the register the index points at; those that do not exist read as 0.
  func read() -> UInt8 {
    let i = Int(index)
    return i < AttributeController.count ? registers[i] : 0
  }

  /// A write to 3C0. Returns whether the display changed.
  mutating func write(_ value: UInt8) -> Bool {
    if !expectsData {
      expectsData = true
      index = value & 0x1F
      let enabled = value & 0x20 != 0
      defer { displayEnabled = enabled }
      return enabled != displayEnabled
    }
    expectsData = false
    let i = Int(index)
    guard i < AttributeController.count else { return false }
    // While the display owns the palette, the host cannot load it.
    if i < 0x10, displayEnabled { return false }
    let new = value & AttributeController.masks[i]
    if registers[i] == new { return false }
    registers[i] = new
    return true
  }

  mutating func sanitize() {
    index &= 0x1F
    for i in 0..<AttributeController.count { registers[i] &= AttributeController.masks[i] }
  }

  var lineGraphics: Bool { registers[0x10] & 0x04 != 0 }
  var blinkEnabled: Bool { registers[0x10] & 0x08 != 0 }
  var panningStopsAtSplit: Bool { registers[0x10] & 0x20 != 0 }
  var eightBitPixels: Bool { registers[0x10] & 0x40 != 0 }
  var overscan: UInt8 { registers[0x11] }
  var panning: Int { Int(registers[0x13]) }

  /// The color plane enable register's planes.
  var planes: UInt8 { registers[0x12] & 0x0F }

  /// A four-bit pixel of a graphics mode without the planes that are not shown. Where blinking is on, plane 3 says what blinks: a 1
  /// becomes `phase`, a 0 becomes 1. A plane 3 that is not shown counts as 1: so mode 0Fh, whose palette differs only at 4 and 0Ch,
  /// has the blinking colour that IBM's table promises.
  func shown(_ pixel: UInt8, phase: Bool) -> UInt8 {
    let value = pixel & planes
    if !blinkEnabled { return value }
    let blinks = (pixel | ~planes) & 8 != 0
    return blinks && !phase ? value & 7 : value | 8
  }

  /// The DAC address of a four-bit pixel.
  func dacAddress(_ pixel: UInt8) -> UInt8 { dacAddress(shown: pixel & planes) }

  /// The DAC address of an eight-bit pixel: its two nibbles go through the palette one after the other, and of each the lower four bits
  /// go on. Neither color select nor P54S has a part in it.
  func dacAddress(eightBit pixel: UInt8) -> UInt8 {
    let high = registers[Int(pixel >> 4 & planes)] & 0x0F
    return high << 4 | registers[Int(pixel & planes)] & 0x0F
  }

  /// The DAC address of a four-bit pixel that color plane enable has been applied to.
  func dacAddress(shown pixel: UInt8) -> UInt8 {
    var address = registers[Int(pixel & 0x0F)]
    let select = registers[0x14]
    if registers[0x10] & 0x80 != 0 { address = address & 0x0F | (select & 0x03) << 4 }
    return address | (select & 0x0C) << 4
  }
}
