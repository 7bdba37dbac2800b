import TestSupport
import Testing

@testable import Video

/// From memory to the DAC's address: shift registers, palette, blinking, registers that change in mid-frame.
@Suite struct VGAPipelineTests {
  @Test func everyEightBitPixelGoesThroughThePaletteByNibbles() {
    let t = TestVGA(.mode13h)
    for i in 0..<UInt32(256) { t.poke(0xA0000 + i, UInt8(i)) }
    for i in 0..<16 { t.ar(UInt8(i), UInt8((i * 7 + 3) & 0x3F)) }
    t.ar(0x12, 0x0B)
    t.ar(0x14, 0x0F)
    t.ar(0x10, 0xC1)
    let f = t.frame()
    func palette(_ nibble: Int) -> Int { ((nibble & 0x0B) * 7 + 3) & 0x0F }
    #expect(
      (0..<256).allSatisfy { f[$0, 0] == t.shade(palette($0 >> 4) << 4 | palette($0 & 15)) })
  }

  @Test func theSlidingPixelsPanByDots() {
    let t = TestVGA(.mode13h)
    for (i, v) in [0x12, 0x34, 0x56].enumerated() { t.poke(0xA0000 + UInt32(i), UInt8(v)) }
    t.ar(0x10, 0x01)
    #expect((0..<6).map { t.frame()[$0, 0] } == [0x01, 0x12, 0x23, 0x34, 0x45, 0x56].map(t.shade))
    t.ar(0x13, 0x03)
    #expect((0..<3).map { t.frame()[$0, 0] } == [0x34, 0x45, 0x56].map(t.shade))
  }

  /// 82C451 data sheet: where nothing is loaded the four shift registers go on as a ring.
  @Test func registersLoadedEveryFourCharactersShowFourBytesOfEachPlane() {
    let t = TestVGA(.mode12h)
    t.sr(1, 0x11)
    t.ar(0x12, 0x01)
    for plane in 0..<4 { t.vga.setPlaneByte(plane, 0, [0x80, 0x40, 0x20, 0x10][plane]) }
    t.vga.setPlaneByte(0, 4, 0xFF)
    let f = t.frame()
    let lit = (0..<40).filter { f[$0, 0] == t.shade(1) }
    #expect(lit == [0, 9, 18, 27] + Array(32..<40))
  }

  /// IBM's mode 0Fh: planes 0 and 2 are shown, palette 0, 8, 18h, 18h and, with bit 3, 0, 8, 0, 18h: black, normal, blinking, bright.
  @Test func theBlinkingColourOfMode0FhBlinks() {
    let t = TestVGA(.mode12h)
    for (i, v) in [0, 8, 0, 0, 0x18, 0x18, 0, 0, 0, 8, 0, 0, 0, 0x18, 0, 0].enumerated() {
      t.ar(UInt8(i), UInt8(v))
    }
    t.ar(0x10, 0x0B)
    t.ar(0x12, 0x05)
    t.vga.setPlaneByte(0, 0, 0b0101_0000)
    t.vga.setPlaneByte(2, 0, 0b0011_0000)
    func at(_ frame: UInt64) -> [UInt32] {
      t.now = t.vga.framePeriod * frame + 1
      let f = t.frame()
      return (0..<4).map { f[$0, 0] }
    }
    let halves = [at(0), at(16)]
    #expect(Set(halves.map { $0[0] }) == [0])
    #expect(Set(halves.map { $0[1] }) == [t.shade(8)])
    #expect(Set(halves.map { $0[2] }) == [0, t.shade(0x18)])
    #expect(Set(halves.map { $0[3] }) == [t.shade(0x18)])
    // With plane 3 shown, its 1 blinks and its 0 is 1.
    t.ar(0x12, 0x0F)
    for i in 0..<16 { t.ar(UInt8(i), UInt8(i)) }
    t.vga.setPlaneByte(3, 0, 0b1100_0000)
    let colours = [at(32), at(48)].map { [$0[0], $0[2]] }
    #expect(Set(colours.map { $0[0] }) == [0, t.shade(8)])
    #expect(Set(colours.map { $0[1] }) == [t.shade(12)])
  }

  @Test func theCursorStandsWhereTheAddressCounterIsAndItsSkewLater() {
    let t = TestVGA(.text80)
    for i in 0..<UInt32(2000) { t.vga.writeMemory(0x18000 + i * 2, 0x0720, width: 2) }
    t.cr(0x0F, 3)
    func columns() -> [Int] {
      let f = t.frame()
      return (0..<80).filter { f[$0 * 9, 13] == t.shade(7) }
    }
    #expect(columns() == [3])
    t.cr(0x0B, 0x4E)
    #expect(columns() == [5])
    t.cr(0x0B, 0x0E)
    t.cr(0x17, 0xAB)  // counting every second character, both show the address
    #expect(columns() == [6, 7])
  }

  // MARK: Registers in mid-frame

  /// Moves time to a scan line's horizontal blanking.
  private func go(_ t: TestVGA, _ frame: UInt64, behind line: Int) {
    t.now = UInt64(Double(t.vga.framePeriod) * (Double(frame) + (Double(line) + 0.9) / 449))
  }

  @Test func coloursThatChangeOnTheWayDownAreSeenWhereTheyDo() {
    let t = TestVGA(.mode13h)
    for frame in UInt64(10)..<13 {
      go(t, frame, behind: 420)
      t.dac(0, 1, 0, 0)
      for line in stride(from: 99, to: 400, by: 100) {
        go(t, frame + 1, behind: line)
        t.dac(0, 1, UInt8(line / 100 + 1), 0)
      }
    }
    go(t, 13, behind: 410)
    let f = t.frame()
    #expect(f.height == 400)
    let shown = (0..<400).map { f[160, $0] >> 10 & 0x3F }
    #expect(shown == (0..<400).map { UInt32($0 / 100) })
    #expect(!t.renderer.isStale(t.vga))
    // It stops: what is left is what the registers say.
    go(t, 16, behind: 5)
    #expect(t.renderer.isStale(t.vga))
    let after = t.frame()
    #expect(after.height == 200)
    #expect(after[0, 0] >> 10 & 0x3F == 4)
    #expect(!t.renderer.isStale(t.vga))
  }

  @Test func aSingleChangeIsSeenAtOnceAndEverywhere() {
    let t = TestVGA(.mode13h)
    go(t, 10, behind: 200)
    t.dac(0, 0, 0, 63)
    #expect(t.frame().pixels.allSatisfy { $0 == 0xFF00_00FF })
    // Nor is a palette that changes in every retrace an effect.
    for frame in UInt64(11)..<20 {
      go(t, frame, behind: 410)
      t.dac(0, UInt8(frame), 0, 0)
    }
    #expect(t.frame().height == 200)
  }

  /// A mode that changes between lines: 320 pixels of 256 colours above, 640 of 16 below.
  @Test func theModeMayChangeBetweenLines() {
    let t = TestVGA(.mode13h)
    for i in 0..<UInt32(64000) { t.poke(0xA0000 + i, 0x21) }
    for frame in UInt64(20)..<23 {
      go(t, frame, behind: 420)
      t.gr(5, 0x40)
      t.ar(0x10, 0x41)
      go(t, frame + 1, behind: 199)
      t.gr(5, 0x00)
      t.ar(0x10, 0x01)
    }
    go(t, 23, behind: 410)
    let f = t.frame()
    #expect(f.width == 640)
    #expect(f.height == 400)
    #expect((0..<640).allSatisfy { f[$0, 199] == t.shade(0x21) })
    // 21h in all planes: pixels 2 and 7 of each eight.
    #expect((0..<640).allSatisfy { f[$0, 200] == t.shade([2, 7].contains($0 % 8) ? 15 : 0) })
  }

  /// The start address is taken over between frames, so pages that are flipped in mid-frame are whole.
  @Test func startAddressesAreNotFollowed() {
    let t = TestVGA(.mode13h)
    for i in 0..<UInt32(64000) { t.poke(0xA0000 + i, UInt8(i / 320)) }
    for frame in UInt64(30)..<34 {
      go(t, frame, behind: 100)
      t.cr(0x0D, UInt8(frame & 1) * 80)
    }
    let f = t.frame()
    #expect(f.height == 200)
    #expect((0..<200).allSatisfy { f[0, $0] == t.shade(min($0 + 1, 200) % 200) || $0 == 199 })
  }

  /// Any registers, changing at any time, are drawn within bounds, and quickly.
  @Test func anyChangesInMidFrameRenderWithinBounds() {
    var random = Random(seed: 11)
    let t = TestVGA(.mode13h)
    t.renderer.showsBorder = true
    for i in 0..<65536 { t.vga.setPlaneByte(i & 3, i, random.byte()) }
    var followed = 0
    for round in 0..<60 {
      t.cr(0x11, random.byte() & 0x7F)
      for _ in 0..<400 {
        t.now += t.vga.framePeriod / 150
        switch random.word() % 6 {
        case 0: t.dac(random.byte(), random.byte(), random.byte(), random.byte())
        case 1: t.ar(UInt8(random.word() % 21), random.byte())
        case 2: t.gr(5 + UInt8(random.word() & 1), random.byte())
        // What the frame's length depends on stays, or frames would begin anew.
        case 3: t.sr(1, random.byte() & 0xD4 | 1)
        case 4: t.sr(3 + UInt8(random.word() & 1), random.byte())
        default:
          let index = 1 + UInt8(random.word() % 24)
          let value = random.byte()
          if index != 6 && index != 7 {
            t.cr(index, index == 0x17 ? value & 0xFB | 0x80 : value)
          }
        }
      }
      if t.vga.raster.followed(now: t.vga.frameCount) != nil { followed += 1 }
      let f = t.frame()
      #expect(f.width >= 4 && f.width <= 2340)
      #expect(f.height >= 1 && f.height <= 2050)
      #expect(f.pixels.count == f.width * f.height)
      if round % 10 == 9 { t.set(.mode13h) }
    }
    #expect(followed > 10)
  }
}
