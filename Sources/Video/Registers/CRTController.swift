// The CRT controller: timing, addressing, cursor.
//
// Owns: CR0-CR18 and their index, with the write protection of CR11. Must not know: memory, colours, time.
// Follows the IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem".
//
//   3x4  index (6 bits; registers above 18h do not exist, except the read-only 22h, 24h and 26h the VGA answers)
//   3x5  00 Horizontal Total - 5      0C/0D Start Address
//        01 Horizontal Display End    0E/0F Cursor Location
//        02-05 blanking and retrace   10/11 Vertical Retrace (11: 4 clear int, 5 disable int, 7 protect 00-07)
//        06 Vertical Total - 2        12 Vertical Display End
//        07 Overflow                  13 Offset (words between rows)
//        08 Preset Row Scan           14 Underline Location (5 count by 4, 6 doubleword)
//        09 Maximum Scan Line         15/16 Vertical Blanking
//        0A/0B Cursor Start/End       17 Mode Control,  18 Line Compare

/// The CRT controller's registers.
public struct CRTController: Sendable {
  /// The number of registers.
  static let count = 0x19
  private static let masks: [UInt8] = [
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0x3F, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xEF, 0xFF,
  ]

  /// The index register.
  public internal(set) var index: UInt8 = 0
  /// CR0 to CR18; unused bits are 0.
  public internal(set) var registers = [UInt8](repeating: 0, count: CRTController.count)

  /// Reads the register the index points at; those that do not exist read as 0.
  func read() -> UInt8 {
    let i = Int(index)
    return i < CRTController.count ? registers[i] : 0
  }

  /// Writes the register the index points at. Returns whether it changed.
  mutating func write(_ value: UInt8) -> Bool {
    let i = Int(index)
    guard i < CRTController.count else { return false }
    var new = value & CRTController.masks[i]
    if i <= 7, registers[0x11] & 0x80 != 0 {
      // Protected, but bit 4 of the overflow register (line compare) stays writable.
      if i != 7 { return false }
      new = registers[7] & 0xEF | new & 0x10
    }
    if registers[i] == new { return false }
    registers[i] = new
    return true
  }

  mutating func sanitize() {
    index &= 0x3F
    for i in 0..<CRTController.count { registers[i] &= CRTController.masks[i] }
  }

  private func overflow(_ low: Int, _ bit8: UInt8, _ bit9: UInt8) -> Int {
    Int(registers[low]) | (registers[7] & bit8 != 0 ? 0x100 : 0)
      | (registers[7] & bit9 != 0 ? 0x200 : 0)
  }

  /// Character clocks in a line.
  var horizontalTotal: Int { Int(registers[0]) + 5 }
  /// Character clocks for which display enable is on: all of them where the counter does not get to its end.
  var horizontalDisplay: Int { min(Int(registers[1]) + 1, horizontalTotal) }
  /// Character clocks by which display enable comes late.
  var displaySkew: Int { Int(registers[3] >> 5 & 3) }
  /// The character clocks that are black. The signal comes a character later than display enable, so that 80 columns, blanked from
  /// 50h, have a border of one on each side, as measured on hardware.
  var horizontalBlanking: CounterGate {
    CounterGate(
      start: Int(registers[2]), end: Int(registers[3] & 0x1F) | Int(registers[5] >> 2 & 0x20),
      mask: 0x3F, total: horizontalTotal, delay: 1)
  }
  /// The character clocks of horizontal retrace.
  var horizontalRetrace: CounterGate {
    let skew = Int(registers[5] >> 5 & 3)
    return CounterGate(
      start: Int(registers[4]) + skew, end: (Int(registers[5] & 0x1F) + skew) & 0x1F, mask: 0x1F,
      total: horizontalTotal)
  }
  /// 2 when the vertical counter is clocked by every second horizontal retrace.
  var verticalFactor: Int { registers[0x17] & 0x04 != 0 ? 2 : 1 }
  /// Scan lines in a frame.
  var verticalTotal: Int { (overflow(0x06, 0x01, 0x20) + 2) * verticalFactor }
  /// Scan lines shown: all of them where the counter does not get to the display's end.
  var verticalDisplay: Int { min(displayEnd, verticalTotal) }
  /// The same as programmed, whatever the total is: video BIOSes of some adapters give a total that is too small.
  var displayEnd: Int { (overflow(0x12, 0x02, 0x40) + 1) * verticalFactor }
  /// The scan line at which vertical retrace begins.
  var retraceStart: Int { overflow(0x10, 0x04, 0x80) * verticalFactor }
  /// The scan lines of vertical retrace.
  var verticalRetrace: CounterGate {
    CounterGate(
      start: overflow(0x10, 0x04, 0x80), end: Int(registers[0x11] & 0x0F), mask: 0x0F,
      total: verticalTotal / verticalFactor
    ).scaled(by: verticalFactor)
  }
  /// The scan lines that are black; the register's value is one less than the first of them.
  var verticalBlanking: CounterGate {
    CounterGate(
      start: overflow(0x15, 0x08, 0) | (registers[9] & 0x20 != 0 ? 0x200 : 0),
      end: Int(registers[0x16]), mask: 0xFF, total: verticalTotal / verticalFactor, delay: 1
    ).scaled(by: verticalFactor)
  }
  /// The last scan line before the display continues from address 0.
  var lineCompare: Int {
    let count = overflow(0x18, 0x10, 0) | (registers[9] & 0x40 != 0 ? 0x200 : 0)
    return (count + 1) * verticalFactor - 1
  }
  /// Whether each row scan lasts two scan lines.
  var doubleScan: Bool { registers[9] & 0x80 != 0 }
  /// The last row scan of a character row.
  var maximumScanLine: Int { Int(registers[9] & 0x1F) }
  var startAddress: UInt32 { UInt32(registers[0x0C]) << 8 | UInt32(registers[0x0D]) }
  var cursorAddress: UInt32 { UInt32(registers[0x0E]) << 8 | UInt32(registers[0x0F]) }
  /// Address counter steps between rows.
  var rowPitch: UInt32 { UInt32(registers[0x13]) * 2 }
  var presetRowScan: Int { Int(registers[8] & 0x1F) }
  var bytePanning: UInt32 { UInt32(registers[8] >> 5 & 3) }
  /// Whether the sync signals are produced at all.
  var retraceEnabled: Bool { registers[0x17] & 0x80 != 0 }
}
