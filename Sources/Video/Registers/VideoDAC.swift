// The video DAC: 256 colours of three six-bit components, or eight-bit ones.
//
// Owns: the colour table, the PEL mask, the address register and the three-step data sequence.
// Must not know: what the addresses stand for. Follows the INMOS IMSG171 data sheet and the IBM reference.
//
//   3C6  PEL mask
//   3C7  write: address for reading; read: 3 after that, 0 after a write to 3C8
//   3C8  address for writing; reads the address register
//   3C9  data: red, green, blue in turn; a colour is stored with its third component, then the address advances

/// The DAC's registers and colour table.
public struct VideoDAC: Sendable {
  /// Components have eight bits.
  var isWide = false
  /// Red, green, blue of each entry.
  public internal(set) var colours = [UInt8](repeating: 0, count: 768)
  /// The mask every pixel is ANDed with.
  public internal(set) var mask: UInt8 = 0xFF
  /// The entry the next transfer is about.
  var address: UInt8 = 0
  /// The component the next transfer is about, 0 to 2.
  var component = 0
  /// Whether 3C7 was written last.
  var reading = false
  /// The colour being read or collected.
  var latch: [UInt8] = [0, 0, 0]

  mutating func beginReading(_ value: UInt8) {
    address = value
    component = 0
    reading = true
    fetch()
  }

  mutating func beginWriting(_ value: UInt8) {
    address = value
    component = 0
    reading = false
  }

  /// Reading loads the whole colour and advances at once, as the chip does.
  private mutating func fetch() {
    let base = Int(address) * 3
    for i in 0..<3 { latch[i] = colours[base + i] }
    address &+= 1
  }

  mutating func readData() -> UInt8 {
    let value = latch[component]
    component += 1
    if component == 3 {
      component = 0
      fetch()
    }
    return value
  }

  /// What a component is written to is elsewhere; the address advances as if it were here.
  mutating func skip() {
    component += 1
    if component < 3 { return }
    component = 0
    address &+= 1
  }

  /// A colour as one number: red, green and blue, eight bits each, red lowest.
  func packed(_ index: UInt8) -> UInt32 {
    let base = Int(index) * 3
    return UInt32(colours[base]) | UInt32(colours[base + 1]) << 8 | UInt32(colours[base + 2]) << 16
  }

  mutating func setPacked(_ index: UInt8, _ value: UInt32) {
    for i in 0..<3 {
      colours[Int(index) * 3 + i] = UInt8(truncatingIfNeeded: value >> UInt32(8 * i))
    }
  }

  /// Returns whether a colour changed.
  mutating func writeData(_ value: UInt8) -> Bool {
    latch[component] = isWide ? value : value & 0x3F
    component += 1
    if component < 3 { return false }
    component = 0
    let base = Int(address) * 3
    address &+= 1
    var changed = false
    for i in 0..<3 where colours[base + i] != latch[i] {
      colours[base + i] = latch[i]
      changed = true
    }
    return changed
  }

  /// The colour shown for a DAC address, after the PEL mask, as FFRRGGBB with eight bits each.
  func colour(_ pixel: UInt8) -> UInt32 {
    let base = Int(pixel & mask) * 3
    func eight(_ i: Int) -> UInt32 {
      if isWide { return UInt32(colours[base + i]) }
      let c = UInt32(colours[base + i] & 0x3F)
      return c << 2 | c >> 4
    }
    return 0xFF00_0000 | eight(0) << 16 | eight(1) << 8 | eight(2)
  }
}
