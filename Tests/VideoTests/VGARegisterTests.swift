import State
import Testing

@testable import Video

@Suite struct VGARegisterTests {
  @Test func registersReadBackTheirImplementedBits() {
    let t = TestVGA()
    t.out(0x3C2, 0x01)
    let cases: [(UInt16, [UInt8])] = [
      (0x3C4, [0x03, 0x3D, 0x0F, 0x3F, 0x0E]),
      (0x3CE, [0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF]),
    ]
    for (port, masks) in cases {
      for (i, mask) in masks.enumerated() {
        t.out(port, UInt8(i))
        t.out(port + 1, 0xFF)
        #expect(t.inb(port + 1) == mask)
        t.out(port + 1, 0)
        #expect(t.inb(port + 1) == 0)
      }
    }
    for i in 0..<0x19 where i != 0x11 {
      t.out(0x3D4, UInt8(i))
      t.out(0x3D5, 0x45)
      #expect(t.inb(0x3D4) == UInt8(i))
      #expect(t.inb(0x3D5) == (i == 0x0A ? 0x05 : 0x45))
    }
  }

  @Test func wordWritesSetIndexAndData() {
    let t = TestVGA()
    t.vga.write(at: 0x1E, 0x5508, width: 2)
    #expect(t.vga.read(at: 0x1E, width: 2) == 0x5508)
  }

  @Test func theCRTCAnswersAtOneOfTwoAddresses() {
    let t = TestVGA()
    t.out(0x3C2, 0x00)
    t.out(0x3B4, 0x0C)
    t.out(0x3B5, 0x12)
    #expect(t.inb(0x3B5) == 0x12)
    #expect(t.inb(0x3D5) == 0xFF)
    t.out(0x3D5, 0x77)
    t.out(0x3C2, 0x01)
    #expect(t.inb(0x3CC) == 0x01)
    #expect(t.inb(0x3D5) == 0x12)
    #expect(t.inb(0x3B4) == 0xFF)
  }

  @Test func verticalRetraceEndProtectsTheFirstEightRegisters() {
    let t = TestVGA(.text80)
    #expect(t.vga.crtc.registers[0x11] == 0x8E)
    for i in 0..<8 { t.cr(UInt8(i), ~ModeTable.text80.cr[i]) }
    for i in 0..<7 { #expect(t.vga.crtc.registers[i] == ModeTable.text80.cr[i]) }
    // Only the line compare bit of the overflow register may change.
    #expect(t.vga.crtc.registers[7] == 0x0F)
    t.cr(0x11, 0x0E)
    t.cr(0, 0x12)
    #expect(t.vga.crtc.registers[0] == 0x12)
  }

  @Test func theAttributePortAlternatesBetweenIndexAndData() {
    let t = TestVGA()
    t.out(0x3C2, 0x01)
    _ = t.inb(0x3DA)
    t.out(0x3C0, 0x03)
    t.out(0x3C0, 0xFF)
    #expect(t.inb(0x3C1) == 0x3F)
    t.out(0x3C0, 0x13)
    _ = t.inb(0x3DA)
    t.out(0x3C0, 0x11)
    #expect(t.inb(0x3C0) == 0x11)
    // The other status register's address does not reset it.
    _ = t.inb(0x3BA)
    t.out(0x3C0, 0xA5)
    #expect(t.inb(0x3C1) == 0xA5)
    t.out(0x3D4, 0x24)
    #expect(t.inb(0x3D5) == 0)
    t.out(0x3C0, 0x11)
    #expect(t.inb(0x3D5) == 0x80)
  }

  @Test func thePaletteIsLockedWhileTheDisplayUsesIt() {
    let t = TestVGA(.text80)
    _ = t.inb(0x3DA)
    t.out(0x3C0, 0x21)
    t.out(0x3C0, 0x2A)
    #expect(t.vga.attribute.registers[1] == 0x01)
    t.out(0x3C0, 0x33)
    t.out(0x3C0, 0x05)
    #expect(t.vga.attribute.registers[0x13] == 0x05)
    #expect(t.inb(0x3C0) == 0x33)
    t.out(0x3C0, 0x01)
    t.out(0x3C0, 0x2A)
    #expect(t.vga.attribute.registers[1] == 0x2A)
  }

  @Test func theDACTransfersColoursInThrees() {
    let t = TestVGA()
    t.out(0x3C8, 0xFF)
    #expect(t.inb(0x3C7) == 0)
    for v: UInt8 in [0xFF, 0x40, 0x15, 0x01, 0x02, 0x03] { t.out(0x3C9, v) }
    t.out(0x3C7, 0xFF)
    #expect(t.inb(0x3C7) == 3)
    #expect((0..<6).map { _ in t.inb(0x3C9) } == [0x3F, 0x00, 0x15, 0x01, 0x02, 0x03])
    // Two components alone change nothing.
    t.out(0x3C8, 0x00)
    t.out(0x3C9, 0x3F)
    t.out(0x3C9, 0x3F)
    t.out(0x3C7, 0x00)
    #expect((0..<3).map { _ in t.inb(0x3C9) } == [0x01, 0x02, 0x03])
    #expect(t.inb(0x3C6) == 0xFF)
    t.out(0x3C6, 0x0F)
    #expect(t.inb(0x3C6) == 0x0F)
  }

  @Test func aDisabledSubsystemAnswersOnlyAtItsEnablePort() {
    let t = TestVGA(.text80)
    t.poke(0xB8000, 0x41)
    t.out(0x3C3, 0)
    #expect(t.inb(0x3CC) == 0xFF)
    #expect(t.peek(0xB8000) == 0xFF)
    t.out(0x3C3, 1)
    #expect(t.inb(0x3CC) == 0x67)
    #expect(t.peek(0xB8000) == 0x41)
    t.out(0x3C2, 0x65)
    #expect(t.peek(0xB8000) == 0xFF)
  }

  @Test func retraceFollowsTheModesTiming() {
    // 720x400: 100 characters of 9 dots at 28.322 MHz, 449 lines: 70.087 Hz. 640x480: 800 dots, 525 lines at 25.175 MHz: 59.94 Hz.
    for (mode, hz, total, start, length) in [
      (ModeTable.text80, 28_322_000.0 / (900 * 449), 449.0, 412.0, 2.0),
      (ModeTable.mode12h, 25_175_000.0 / (800 * 525), 525.0, 490.0, 2.0),
    ] {
      let t = TestVGA(mode)
      let period = 1e9 / hz
      #expect(abs(Double(t.vga.framePeriod) - period) < 2)
      func status(_ lineAt: Double) -> UInt8 {
        t.now = UInt64(Double(t.vga.framePeriod) * (3 + lineAt / total))
        return t.inb(0x3DA) & 0x09
      }
      #expect(status(10.1) == 0x00)
      #expect(status(10.9) == 0x01)
      #expect(status(start - 0.5) == 0x01)
      #expect(status(start + 0.1) == 0x09)
      #expect(status(start + length - 0.1) == 0x09)
      #expect(status(start + length + 0.1) == 0x01)
    }
  }

  @Test func theVerticalInterruptBitIsSetByRetraceAndClearedByTheHost() {
    let t = TestVGA(.text80)
    #expect(t.inb(0x3C2) & 0x80 == 0)
    t.cr(0x11, 0x0E)
    t.cr(0x11, 0x1E)
    #expect(t.inb(0x3C2) & 0x80 == 0)
    t.now += t.vga.framePeriod
    #expect(t.inb(0x3C2) & 0x80 == 0x80)
    t.cr(0x11, 0x0E)
    #expect(t.inb(0x3C2) & 0x80 == 0)
    t.cr(0x11, 0x1E)
    #expect(t.inb(0x3C2) & 0x80 == 0)
  }
}
