// The sequencer: clocking mode, plane write enables, fonts, memory mode.
//
// Owns: SR0-SR4 and their index. Must not know: how the other parts use them.
// Follows the IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem".
//
//   3C4  index (bits 2-0)
//   3C5  0 Reset            bit 0 asynchronous, 1 synchronous (both 1: running)
//        1 Clocking Mode    0 8-dot, 2 shift load, 3 dot clock / 2, 4 shift 4, 5 screen off
//        2 Map Mask         3-0 planes the host may write
//        3 Character Map    1-0,4 map when attribute bit 3 is 0; 3-2,5 map when it is 1
//        4 Memory Mode      1 extended memory, 2 odd/even off, 3 chain 4

/// The sequencer's registers.
public struct Sequencer: Sendable {
  /// The number of registers.
  static let count = 5
  private static let masks: [UInt8] = [0x03, 0x3D, 0x0F, 0x3F, 0x0E]

  /// The index register.
  public internal(set) var index: UInt8 = 0
  /// SR0 to SR4; unused bits are 0.
  public internal(set) var registers = [UInt8](repeating: 0, count: Sequencer.count)

  /// Reads the register the index points at; those that do not exist read as 0.
  func read() -> UInt8 {
    let i = Int(index)
    return i < Sequencer.count ? registers[i] : 0
  }

  /// Writes the register the index points at. Returns whether it changed.
  mutating func write(_ value: UInt8) -> Bool {
    let i = Int(index)
    guard i < Sequencer.count else { return false }
    let new = value & Sequencer.masks[i]
    if registers[i] == new { return false }
    registers[i] = new
    return true
  }

  mutating func sanitize() {
    index &= 7
    for i in 0..<Sequencer.count { registers[i] &= Sequencer.masks[i] }
  }

  /// Whether both reset bits are released.
  var isRunning: Bool { registers[0] & 3 == 3 }
  /// Dots in a character clock, 8 or 9.
  var dotsPerCharacter: Int { registers[1] & 1 != 0 ? 8 : 9 }
  /// How many character clocks the shift registers run on before they are loaded again.
  var loadsEvery: Int { registers[1] & 0x10 != 0 ? 4 : registers[1] & 0x04 != 0 ? 2 : 1 }
  /// Whether the dot clock is divided by two.
  var halfDotClock: Bool { registers[1] & 0x08 != 0 }
  /// Whether the screen is turned off.
  var screenOff: Bool { registers[1] & 0x20 != 0 }
  var extendedMemory: Bool { registers[4] & 0x02 != 0 }
  var oddEvenWrites: Bool { registers[4] & 0x04 == 0 }
  var chain4: Bool { registers[4] & 0x08 != 0 }

  /// Where in plane 2 the font for an attribute with bit 3 clear (0) or set (1) begins.
  func fontAddress(attributeBit3 bit: Int) -> UInt32 {
    // Choosing among the maps needs the extended memory they lie in.
    if !extendedMemory { return 0 }
    let r = UInt32(registers[3])
    let map = bit == 0 ? (r & 3) | (r >> 2 & 4) : (r >> 2 & 3) | (r >> 3 & 4)
    // Maps 0-3 lie 16 KiB apart; 4-7 are the 8 KiB halves between them.
    return (map & 3) << 14 | (map >> 2) << 13
  }
}
