// The graphics controller: what happens to data between the host and the planes.
//
// Owns: GR0-GR8 and their index. Must not know: the planes themselves (see VGAMemory.swift).
// Follows the IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem".
//
//   3CE  index (bits 3-0)
//   3CF  0 Set/Reset   1 Enable Set/Reset   2 Color Compare   3 Data Rotate (2-0), function (4-3)
//        4 Read Map    5 Mode: 1-0 write mode, 3 read mode, 4 odd/even, 5 shift interleave, 6 256 colours
//        6 Miscellaneous: 0 graphics, 1 chain odd/even, 3-2 memory map   7 Color Don't Care   8 Bit Mask

/// The graphics controller's registers.
public struct GraphicsController: Sendable {
  /// The number of registers.
  static let count = 9
  private static let masks: [UInt8] = [0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF]

  /// The index register.
  public internal(set) var index: UInt8 = 0
  /// GR0 to GR8; unused bits are 0.
  public internal(set) var registers = [UInt8](repeating: 0, count: GraphicsController.count)

  /// Reads the register the index points at; those that do not exist read as 0.
  func read() -> UInt8 {
    let i = Int(index)
    return i < GraphicsController.count ? registers[i] : 0
  }

  /// Writes the register the index points at. Returns whether it changed.
  mutating func write(_ value: UInt8) -> Bool {
    let i = Int(index)
    guard i < GraphicsController.count else { return false }
    let new = value & GraphicsController.masks[i]
    if registers[i] == new { return false }
    registers[i] = new
    return true
  }

  mutating func sanitize() {
    index &= 0x0F
    for i in 0..<GraphicsController.count { registers[i] &= GraphicsController.masks[i] }
  }

  var shiftInterleave: Bool { registers[5] & 0x20 != 0 }
  var shift256: Bool { registers[5] & 0x40 != 0 }
  var oddEvenReads: Bool { registers[5] & 0x10 != 0 }
  /// Whether memory holds pixels rather than characters.
  var isGraphics: Bool { registers[6] & 0x01 != 0 }
  var chainOddEven: Bool { registers[6] & 0x02 != 0 }
  /// 0: A0000-BFFFF, 1: A0000-AFFFF, 2: B0000-B7FFF, 3: B8000-BFFFF.
  var memoryMap: Int { Int(registers[6] >> 2 & 3) }
}
