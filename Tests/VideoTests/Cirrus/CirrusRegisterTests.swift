// Registers of the CL-GD5446, its banks and write modes, its pictures and cursor.

import Testing

@testable import Video

@Suite struct CirrusRegisterTests {
  @Test func theChipIsFoundAsDriversDoIt() {
    let t = TestCirrus(megabytes: 4)
    t.sr(6, 0x12)
    #expect(t.sr(6) == 0x12)
    t.sr(6, 0)
    #expect(t.sr(6) == 0x0F)
    #expect(t.cr(0x27) == 0xB8)
    #expect(t.sr(0x0F) & 0x98 == 0x98)
    #expect(TestCirrus(megabytes: 2).sr(0x0F) & 0x98 == 0x18)
    #expect(TestCirrus(megabytes: 1).sr(0x0F) & 0x98 == 0x10)
  }

  /// The second range of the PCI function: ports from 3C0h on, registers of the BitBLT from 100h on.
  @Test func allRegistersAreInMemory() {
    let t = TestCirrus(megabytes: 4)
    let file = CirrusRegisterFile(t.vga)
    file.write(0x04, 0x0F, 1)
    #expect(file.read(0x05, 1) == 0x98)
    file.write(0x04, 0x1206, 2)
    #expect(t.sr(6) == 0x12)
    file.write(0x14, 0x27, 1)
    #expect(file.read(0x15, 1) == 0xB8)
    // GR20 and GR21; GR31 by its place at 40h.
    file.write(0x108, 0x1234, 2)
    #expect(t.gr(0x20) == 0x34 && t.gr(0x21) == 0x12)
    #expect(file.read(0x108, 4) & 0xFFFF == 0x1234)
    file.write(0x140, 0x04, 1)
    #expect(t.gr(0x31) == 0x04)
    // Nothing is between and behind them.
    for offset: UInt32 in [0x20, 0x48, 0xFF, 0x200, 0x240, 0xFFC] {
      file.write(offset, 0, 4)
      #expect(file.read(offset, 4) == 0xFFFF_FFFF)
    }
    #expect(t.gr(0x31) == 0x04 && t.gr(0x20) == 0x34)
  }

  @Test func theHiddenRegisterIsBehindFourReads() {
    let t = TestCirrus()
    for _ in 0..<4 { #expect(t.inb(0x3C6) == 0xFF) }
    t.out(0x3C6, 0xC1)
    #expect(t.vga.cirrus!.hiddenDAC == 0xC1)
    for _ in 0..<4 { _ = t.inb(0x3C6) }
    #expect(t.inb(0x3C6) == 0xC1)
    // Another port between begins anew.
    for _ in 0..<3 { _ = t.inb(0x3C6) }
    _ = t.inb(0x3C8)
    _ = t.inb(0x3C6)
    t.out(0x3C6, 0x0F)
    #expect(t.vga.cirrus!.hiddenDAC == 0xC1 && t.inb(0x3C6) == 0x0F)
  }

  /// Packed pixels of a format in 640 by 480.
  private func packed(_ t: TestCirrus, _ sr7: UInt8) {
    t.sr(1, 0x01)
    t.sr(4, 0x0E)
    t.sr(7, sr7)
    t.sr(2, 0x0F)
    t.gr(6, 0x05)
    t.gr(5, 0x40)
    t.cr(0x11, 0)
    for (n, value) in ModeTable.mode12h.cr.enumerated() { t.cr(UInt8(n), value) }
    t.ar(0x10, 0x41)
  }

  @Test func banksOfFourAndSixteenKilobytesOneOrTwo() {
    let t = TestCirrus(megabytes: 4)
    packed(t, 0x01)
    t.gr(9, 0x25)
    t.vga.writeMemory(0x10, 0x77, width: 1)
    #expect(t.memory[0x25010] == 0x77)
    t.gr(0x0B, 0x20)
    t.vga.writeMemory(0x10, 0x78, width: 1)
    #expect(t.memory[0x94010] == 0x78)
    t.gr(0x0B, 0x01)
    t.gr(0x0A, 0x30)
    t.vga.writeMemory(0x8010, 0x79, width: 1)
    #expect(t.memory[0x30010] == 0x79)
    #expect(t.vga.readMemory(0x10, width: 1) == 0x77)
  }

  @Test func writeModesMakePixelsOfBits() {
    let t = TestCirrus()
    packed(t, 0x01)
    t.gr(0x0B, 0x06)
    t.gr(0, 0xA0)
    t.gr(1, 0xB1)
    t.gr(5, 0x44)
    t.vga.writeMemory(2, 0b1010_0001, width: 1)
    #expect((16..<24).map { t.memory[$0] } == [0xB1, 0, 0xB1, 0, 0, 0, 0, 0xB1])
    t.gr(5, 0x45)
    t.vga.writeMemory(2, 0b1111_0000, width: 1)
    #expect((16..<24).map { t.memory[$0] } == [0xB1, 0xB1, 0xB1, 0xB1, 0xA0, 0xA0, 0xA0, 0xA0])
    #expect(t.gr(0) == 0xA0 && t.gr(5) == 0x45)
  }

  @Test func picturesOfAllFormats() {
    for (sr7, hidden, format) in [
      (0x01, 0, .indexed8), (0x07, 0xC1, .rgb16), (0x07, 0xF0, .rgb15), (0x05, 0xC5, .rgb24),
      (0x09, 0xC5, .rgb32),
    ] as [(UInt8, UInt8, PixelFormat)] {
      let t = TestCirrus(megabytes: 4)
      for _ in 0..<4 { _ = t.inb(0x3C6) }
      t.out(0x3C6, hidden)
      packed(t, sr7)
      t.cr(0x13, 0x40)
      t.cr(0x1B, 0x1D)
      t.cr(0x1D, 0x80)
      t.cr(0x0D, 2)
      let picture = t.vga.linearPicture
      #expect(picture?.width == 640 && picture?.height == 480 && picture?.format == format)
      #expect(picture?.pitch == 0x140 * 8)
      #expect(picture?.start == (0xF0002 * 4))
    }
  }

  /// Video BIOSes set SR1 to 21h and only then choose packed pixels, which they expect to be seen; drivers darken the screen while it shows
  /// these, and light it again.
  @Test func packedPixelsAreDarkOnlyAfterTheyWereShown() throws {
    let t = TestCirrus()
    t.sr(1, 0x21)
    packed(t, 0)
    t.sr(1, 0x21)
    #expect(t.vga.linearPicture == nil && !t.vga.isLit)
    t.sr(7, 0x01)
    #expect(t.vga.isLit)
    // Nothing new is said.
    t.sr(1, 0x21)
    #expect(t.vga.isLit)
    t.sr(1, 0x01)
    t.sr(1, 0x21)
    #expect(!t.vga.isLit && t.sr(1) == 0x21)
    let other = TestCirrus()
    try other.restore(t.saved())
    #expect(!other.vga.isLit && other.saved() == t.saved())
    t.sr(1, 0x01)
    #expect(t.vga.isLit)
    // GRE tells the monitor to sleep.
    t.gr(0x0E, 0x02)
    #expect(!t.vga.isLit)
  }

  @Test func theCursorIsDrawnOverThePicture() {
    let t = TestCirrus()
    packed(t, 0x01)
    // The first colour and the second, by the DAC's ports.
    t.sr(0x12, 0x02)
    t.out(0x3C8, 0)
    for c: UInt8 in [63, 0, 0] { t.out(0x3C9, c) }
    t.out(0x3C8, 15)
    for c: UInt8 in [0, 0, 63] { t.out(0x3C9, c) }
    t.sr(0x12, 0x01)
    // Pixels: inverted, first, second, transparent.
    let image = (1 << 20) - 0x4000
    t.memory[image] = 0b1010_0000
    t.memory[image + 128] = 0b0110_0000
    t.sr(0x10 | 5 << 5, 2)
    t.sr(0x11 | 1 << 5, 0)
    let renderer = FrameRenderer()
    var frame = Frame()
    renderer.render(t.vga, into: &frame)
    #expect((20..<26).map { frame[$0, 1] } == [0, 0xFFFFFF, 0xFF0000, 0x0000FF, 0, 0])
    // It moves, and nothing is left of it, also where it is shown again without a change.
    t.sr(0x11 | 2 << 5, 0)
    renderer.render(t.vga, into: &frame)
    renderer.render(t.vga, into: &frame)
    #expect((20..<26).allSatisfy { frame[$0, 1] == 0 })
    #expect(frame[21, 2] == 0xFFFFFF)
    // Another image at the same place is news.
    #expect(!renderer.isStale(t.vga))
    t.memory[image + 1] = 0x80
    #expect(renderer.isStale(t.vga))
  }

  @Test func byteOrdersOfLinearMemory() {
    let t = TestCirrus(megabytes: 4)
    t.vga.writeLinear(0x100, 0x0403_0201, 4)
    #expect(t.vga.readLinear(0x40_0100, 2) == 0x0102)
    #expect(t.vga.readLinear(0x80_0100, 4) == 0x0102_0304)
  }
}
