// What a CL-GD5446 has beyond a VGA: its registers and what they hold.
//
// Owns: extended registers of sequencer, graphics and CRT controller, the hidden DAC register, the cursor's place and colours, the state
// of the BitBLT engine. Must not know: buses (CirrusAdapter.swift), pixels of the picture.
// Follows: Cirrus Logic CL-GD5446 Technical Reference Manual.
//
//   SR1  5 screen off (see `isDark`)
//   SR6  12h unlocks the extensions (they answer in any case)   SR7  0 packed pixels, 3-1 their size
//   SR8  display data channel: 0, 1 clock and data driven, 2, 7 as they are (on the first pair of wires, GR17 bits 6-5)     SR9, A, 14, 15  scratch     SRB-E, 1B-1E  clocks     SRF  DRAM     SR10-13  cursor
//   SR17 2 registers of the BitBLT in memory, 6 at the end of linear memory
//   GR9, A  banks    GRB  0 two of them, 1 eight pixels an address, 2 write modes 4 and 5, 3 eight latches, 4 sixteen, 5 16 KiB
//   GRE  2-1 power   GR10-15  colours    GR20-35  BitBLT
//   CR19  interlace end   CR1A  0 interlace   CR1B  0, 3-2 start, 1 wrap, 4 offset   CR1D  7 start   CR25 part   CR27  B8h: the chip

import Bus

/// The extensions of the chip.
final class CirrusChip {
  /// Without reference counting: it is its owner.
  unowned(unsafe) let vga: VGA
  let memory: VideoMemory
  let clock: VirtualClock

  /// As written, with the bits that are a cursor's.
  var sequencerIndex: UInt8 = 0
  var graphicsIndex: UInt8 = 0
  /// SR0 to SR1F; 0 to 4 are the VGA's, but 1 has bit 5 of what darkens packed pixels.
  var sr = [UInt8](repeating: 0, count: 32)
  /// GR0 to GR3F; of the VGA's, 0 and 1 in eight bits and bit 2 of 5 are here.
  var gr = [UInt8](repeating: 0, count: 64)
  /// CR19 to CR27 by their numbers.
  var cr = [UInt8](repeating: 0, count: 64)
  var hiddenDAC: UInt8 = 0
  /// Reads of 3C6h one after the other.
  var hiddenReads = 0
  var cursorX = 0
  var cursorY = 0
  /// Sixteen colours beside the DAC's: 0 and 15 are the cursor's.
  var cursorColours = [UInt8](repeating: 0, count: 48)
  /// What write mode 1 copies with eight latches.
  var latches: UInt64 = 0
  /// When the last BitBLT is over, in virtual nanoseconds.
  var busyUntil: UInt64 = 0
  /// A BitBLT whose data goes through the processor, or nil.
  var transfer: BlitTransfer?
  var monitor = DisplayDataChannel()

  static let identity: UInt8 = 0xB8

  init(_ vga: VGA) {
    self.vga = vga
    memory = vga.video
    clock = vga.clock
    reset()
  }

  func reset() {
    sequencerIndex = 0
    graphicsIndex = 0
    for n in sr.indices { sr[n] = 0 }
    for n in gr.indices { gr[n] = 0 }
    for n in cr.indices { cr[n] = 0 }
    sr[0x06] = 0x0F
    // The clocks of VGA modes, 25, 28, 41 and 36 MHz.
    (sr[0x0B], sr[0x0C], sr[0x0D], sr[0x0E]) = (0x66, 0x5B, 0x45, 0x7E)
    (sr[0x1B], sr[0x1C], sr[0x1D], sr[0x1E]) = (0x3B, 0x2F, 0x30, 0x33)
    // Memory: 64 bits wide, two banks with 4 MB.
    let megabytes = memory.size >> 20
    sr[0x0F] = megabytes >= 4 ? 0x98 : megabytes == 2 ? 0x18 : 0x10
    sr[0x15] = megabytes >= 4 ? 4 : megabytes == 2 ? 3 : 2
    // On PCI.
    sr[0x17] = 0x20
    sr[0x1F] = 0x2D
    gr[0x18] = 0x0F
    hiddenDAC = 0
    hiddenReads = 0
    cursorX = 0
    cursorY = 0
    latches = 0
    busyUntil = 0
    transfer = nil
    monitor = DisplayDataChannel()
  }

  // MARK: What registers stand for

  /// Memory is linear to the host, and the picture made of whole pixels.
  var isPacked: Bool { sr[7] & 0x01 != 0 }
  var format: PixelFormat {
    switch sr[7] >> 1 & 7 {
    case 0: .indexed8
    case 2: .rgb24
    case 4: .rgb32
    default: hiddenDAC & 0x0F == 1 ? .rgb16 : .rgb15
    }
  }
  var startAddress: UInt32 {
    UInt32(cr[0x1B] & 1) << 16 | UInt32(cr[0x1B] >> 2 & 3) << 17 | UInt32(cr[0x1D] >> 7) << 19
  }
  var offset: UInt32 { UInt32(cr[0x1B] >> 4 & 1) << 8 }
  /// Plane addresses go on beyond 64 KiB.
  var wrapsWide: Bool { cr[0x1B] & 0x02 != 0 }
  var isInterlaced: Bool { cr[0x1A] & 1 != 0 }
  /// The monitor is told to sleep.
  var isAsleep: Bool { gr[0x0E] & 0x06 != 0 }
  /// The sequencer darkens the screen. Video BIOSes set its bit before the mode of packed pixels in which they leave it (SeaVGABIOS and
  /// that of Bochs do), so that for these only what is written while they are on counts.
  var isDark: Bool { isPacked ? sr[1] & 0x20 != 0 : vga.sequencer.screenOff }

  /// The clock of dots in Hz, by Miscellaneous Output's choice.
  func dotClock(_ select: UInt8) -> UInt64 {
    let n = Int(select & 3)
    let (numerator, denominator) = (UInt64(sr[0x0B + n] & 0x7F), sr[0x1B + n])
    let divisor = UInt64(denominator >> 1 & 0x1F) * (denominator & 1 != 0 ? 2 : 1)
    return divisor == 0 ? 25_175_000 : max(1_000_000, 14_318_180 * numerator / divisor)
  }

  // MARK: Ports

  /// What a port reads as that is not the VGA's alone; nil: the VGA answers.
  func read(_ port: UInt16) -> UInt8? {
    if port != 0x3C6 { hiddenReads = 0 }
    switch port {
    case 0x3C4: return sequencerIndex
    case 0x3C5: return readSequencer(Int(sequencerIndex & 0x1F))
    case 0x3C6:
      hiddenReads += 1
      if hiddenReads <= 4 { return nil }
      hiddenReads = 0
      return hiddenDAC
    case 0x3C9 where sr[0x12] & 0x02 != 0: return readCursorColour()
    case 0x3CE: return graphicsIndex
    case 0x3CF: return readGraphics(Int(graphicsIndex & 0x3F))
    default: return nil
    }
  }

  private func readSequencer(_ n: Int) -> UInt8? {
    switch n {
    case 0...4: return nil
    case 8:
      let (clock, data) = hasMonitor ? (monitor.clockIsHigh, monitor.dataIsHigh) : (true, true)
      return sr[8] & ~0x84 | (clock ? 0x04 : 0) | (data ? 0x80 : 0)
    default: return sr[n]
    }
  }

  /// The monitor is at the first of two pairs of wires.
  private var hasMonitor: Bool { gr[0x17] & 0x60 == 0 }

  private func readGraphics(_ n: Int) -> UInt8? {
    switch n {
    case 0, 1: return gr[n]
    case 5: return vga.graphics.registers[5] | gr[5]
    case 2...8: return nil
    case 0x31: return readStatus()
    default: return n < 0x3A ? gr[n] : 0xFF
    }
  }

  /// A register of the CRT controller; nil: the VGA's.
  func readCRTC(_ n: UInt8) -> UInt8? {
    switch n {
    case 0x19...0x21, 0x23: return cr[Int(n)]
    case 0x25: return 0
    case 0x27: return CirrusChip.identity
    default: return nil
    }
  }

  /// - Returns: whether the VGA is not to see the write.
  func write(_ port: UInt16, _ value: UInt8) -> Bool {
    let reads = hiddenReads
    hiddenReads = 0
    switch port {
    case 0x3C4:
      sequencerIndex = value
      return false
    case 0x3C5: return writeSequencer(Int(sequencerIndex & 0x1F), value)
    case 0x3C6:
      if reads != 4 { return false }
      if hiddenDAC != value {
        hiddenDAC = value
        vga.updateDerived()
      }
      return true
    case 0x3C9 where sr[0x12] & 0x02 != 0:
      writeCursorColour(value)
      return true
    case 0x3CE:
      graphicsIndex = value
      return false
    case 0x3CF: return writeGraphics(Int(graphicsIndex & 0x3F), value)
    default: return false
    }
  }

  private func writeSequencer(_ n: Int, _ value: UInt8) -> Bool {
    switch n {
    case 1:
      let isOff = value & 0x20 != 0
      sr[1] = isPacked && isOff && (!vga.sequencer.screenOff || isDark) ? 0x20 : 0
      return false
    case 0, 2...4: return false
    case 0x07:
      if !isPacked { sr[1] = 0 }
      sr[7] = value
    case 0x08:
      sr[8] = value
      if hasMonitor { monitor.drive(clock: value & 0x01 != 0, data: value & 0x02 != 0) }
    case 0x06: sr[6] = value & 0x17 == 0x12 ? 0x12 : 0x0F
    case 0x10: (sr[0x10], cursorX) = (value, Int(value) << 3 | Int(sequencerIndex >> 5))
    case 0x11: (sr[0x11], cursorY) = (value, Int(value) << 3 | Int(sequencerIndex >> 5))
    case 0x17: sr[0x17] = sr[0x17] & 0x38 | value & 0xC7
    default: sr[n] = value
    }
    switch n {
    case 0x07, 0x17, 0x0B...0x0E, 0x1B...0x1E: vga.updateDerived()
    case 0x10...0x13: vga.generation &+= 1
    default: break
    }
    return true
  }

  private func writeGraphics(_ n: Int, _ value: UInt8) -> Bool {
    switch n {
    case 0, 1:
      gr[n] = value
      return false
    case 5:
      gr[5] = value & 0x04
      vga.updateMemoryMode()
      return false
    case 2...8: return false
    case 0x09, 0x0A, 0x0B:
      if gr[n] != value {
        gr[n] = value
        vga.updateMemoryMode()
      }
    case 0x0E:
      gr[n] = value
      vga.generation &+= 1
    case 0x21, 0x23, 0x25, 0x27, 0x2A, 0x2E, 0x31: writeBlitter(n, value)
    default: if n < 0x3A { gr[n] = value }
    }
    return true
  }

  /// - Returns: whether the VGA is not to see the write.
  func writeCRTC(_ n: UInt8, _ value: UInt8) -> Bool {
    guard n >= 0x19 else { return false }
    if n <= 0x1F, cr[Int(n)] != value {
      cr[Int(n)] = value
      vga.updateDerived()
    }
    return true
  }

  // MARK: The cursor's colours

  private func readCursorColour() -> UInt8 {
    // Reading is a colour ahead.
    let address = vga.dac.reading ? vga.dac.address &- 1 : vga.dac.address
    let value = cursorColours[Int(address & 0x0F) * 3 + vga.dac.component]
    // The DAC's address and steps are these colours', too.
    _ = vga.dac.readData()
    return value
  }

  private func writeCursorColour(_ value: UInt8) {
    let at = Int(vga.dac.address & 0x0F) * 3 + vga.dac.component
    cursorColours[at] = value & 0x3F
    vga.dac.skip()
    vga.generation &+= 1
  }
}
