import Testing

@testable import Video

@Suite struct VGARenderTests {
  /// Puts a glyph into plane 2 through the window, as the BIOS does.
  func loadGlyph(_ t: TestVGA, _ code: Int, map: Int = 0, _ rows: [UInt8]) {
    for (i, row) in rows.enumerated() { t.vga.setPlaneByte(2, map * 0x4000 + code * 32 + i, row) }
  }

  @Test func aCharacterCellHasNineDotsAndTheFontsRows() {
    let t = TestVGA(.text80)
    t.cr(0x0A, 0x20)
    loadGlyph(t, 0x41, [0x81, 0x42] + [UInt8](repeating: 0xFF, count: 14))
    loadGlyph(t, 0xC4, [0x01])
    t.vga.writeMemory(0x18000 + 2, 0x1E41, width: 2)
    t.vga.writeMemory(0x18000 + 4, 0x07C4, width: 2)
    let f = t.frame()
    #expect(f.width == 720)
    #expect(f.height == 400)
    let on = t.shade(0x3E)
    let off = t.shade(0x01)
    #expect((9..<18).map { f[$0, 0] } == [on, off, off, off, off, off, off, on, off])
    #expect((9..<18).map { f[$0, 1] } == [off, on, off, off, off, off, on, off, off])
    #expect((9..<18).map { f[$0, 15] } == [on, on, on, on, on, on, on, on, off])
    // Line graphics repeat the eighth dot.
    #expect(f[25, 0] == t.shade(0x07))
    #expect(f[26, 0] == t.shade(0x07))
    #expect(f[24, 0] == 0)
    t.ar(0x10, 0x08)
    #expect(t.frame()[26, 0] == 0)
  }

  @Test func attributeBit3ChoosesBetweenTwoFonts() {
    let t = TestVGA(.text80)
    t.cr(0x0A, 0x20)
    t.sr(3, 0x04)  // map 1 for bit 3 set, map 0 for clear
    loadGlyph(t, 1, [0xF0])
    loadGlyph(t, 1, map: 1, [0x0F])
    t.vga.writeMemory(0x18000, 0x0F01_0701, width: 4)
    let f = t.frame()
    #expect(f[0, 0] == t.shade(7))
    #expect(f[7, 0] == 0)
    #expect(f[9, 0] == 0)
    #expect(f[16, 0] == t.shade(0x3F))
  }

  @Test func theCursorAndBlinkingCharactersFollowFrames() {
    let t = TestVGA(.text80)
    loadGlyph(t, 0xDB, [UInt8](repeating: 0xFF, count: 16))
    t.vga.writeMemory(0x18000, 0x07DB_87DB, width: 4)
    t.vga.writeMemory(0x18004, 0x0720, width: 2)
    t.cr(0x0E, 0)
    t.cr(0x0F, 2)
    func at(_ frameNumber: UInt64) -> Frame {
      t.now = t.vga.framePeriod * frameNumber + 1
      return t.frame()
    }
    let shown = at(0)
    #expect(shown[0, 0] == t.shade(7))
    #expect(shown[18, 13] == t.shade(7))
    #expect(shown[18, 14] == t.shade(7))
    #expect(shown[18, 12] == 0)
    #expect(shown[18, 15] == 0)
    #expect(!t.renderer.isStale(t.vga))
    t.now = t.vga.framePeriod * 8 + 1
    #expect(t.renderer.isStale(t.vga))
    #expect(at(8)[18, 13] == 0)
    #expect(at(8)[0, 0] == t.shade(7))
    #expect(at(16)[0, 0] == 0)
    #expect(at(16)[9, 0] == t.shade(7))
    // Without blinking bit 7 is the background's intensity.
    t.ar(0x10, 0x04)
    #expect(at(16)[0, 0] == t.shade(7))
    t.vga.writeMemory(0x18000, 0x8700, width: 2)
    #expect(at(16)[0, 0] == t.shade(0x38))
  }

  @Test func monochromeTextIsUnderlined() {
    let t = TestVGA(.mono)
    t.cr(0x0A, 0x20)
    t.vga.writeMemory(0x10000, 0x0720_0120, width: 4)
    let f = t.frame()
    #expect(f[0, 13] == t.shade(8))
    #expect(f[0, 12] == 0)
    #expect(f[9, 13] == 0)
  }

  @Test func mode13hShowsBytesAsColours() {
    let t = TestVGA(.mode13h)
    for i in 0..<UInt32(64000) { t.poke(0xA0000 + i, UInt8(truncatingIfNeeded: i % 251)) }
    let f = t.frame()
    #expect(f.width == 320)
    #expect(f.height == 200)
    #expect((0..<64000).allSatisfy { f.pixels[$0] & 0xFFFFFF == t.shade($0 % 251) })
    t.out(0x3C6, 0x0F)
    #expect(t.frame()[250, 0] == t.shade(250 & 0x0F))
  }

  @Test func modeXShowsItsPlanesInTurnAndPans() {
    let t = TestVGA(.mode13h)
    t.sr(4, 0x06)
    t.out(0x3C2, 0xE3)
    t.cr(0x11, 0x2C)
    for (i, v) in [
      (0x06, 0x0D), (0x07, 0x3E), (0x09, 0x41), (0x10, 0xEA), (0x11, 0xAC), (0x12, 0xDF),
      (0x14, 0x00), (0x15, 0xE7), (0x16, 0x06), (0x17, 0xE3),
    ] as [(UInt8, UInt8)] { t.cr(i, v) }
    func pixel(_ x: Int, _ y: Int) -> Int { (x * 3 + y * 5) & 0xFF }
    for y in 0..<240 {
      for x in 0..<320 {
        t.sr(2, 1 << UInt8(x & 3))
        t.poke(UInt32(0xA0000 + y * 80 + x / 4), UInt8(pixel(x, y)))
      }
    }
    var f = t.frame()
    #expect(f.width == 320)
    #expect(f.height == 240)
    var wrong = 0
    for y in 0..<240 {
      for x in 0..<320 where f[x, y] != t.shade(pixel(x, y)) { wrong += 1 }
    }
    #expect(wrong == 0)
    // Start address in units of four pixels, panning in half pixels.
    t.cr(0x0D, 81)
    t.ar(0x13, 0x04)
    f = t.frame()
    #expect(f[0, 0] == t.shade(pixel(6, 1)))
    #expect(f[100, 50] == t.shade(pixel(106, 51)))
  }

  @Test func planarPixelsComeFromFourPlanes() {
    let t = TestVGA(.mode12h)
    for plane in 0..<4 {
      t.sr(2, 1 << UInt8(plane))
      t.poke(0xA0000 + 80 * 100 + 5, [0xFF, 0x0F, 0x33, 0x55][plane])
    }
    let f = t.frame()
    #expect(f.width == 640)
    #expect(f.height == 480)
    for x in 0..<8 {
      let index =
        1 | (x >= 4 ? 2 : 0) | ([2, 3, 6, 7].contains(x) ? 4 : 0) | (x % 2 == 1 ? 8 : 0)
      #expect(f[40 + x, 100] == t.shade(Int(ModeTable.colourPalette[index])))
    }
    t.ar(0x12, 0x07)
    #expect(t.frame()[41, 100] == t.shade(1))
    // P54S takes bits 5 and 4 from color select, which always gives bits 7 and 6.
    t.ar(0x14, 0x0E)
    #expect(t.frame()[41, 100] == t.shade(0xC1))
    t.ar(0x10, 0x81)
    #expect(t.frame()[41, 100] == t.shade(0xE1))
  }

  @Test func cgaModesInterleaveTheirRows() {
    let t = TestVGA(.mode4)
    // 00 01 10 11 on row 0; the odd rows lie 2000h higher.
    t.poke(0xB8000, 0x1B)
    t.poke(0xB8001, 0xFF)
    t.poke(0xBA000, 0xE4)
    t.poke(0xB8000 + 80, 0x55)
    let f = t.frame()
    #expect(f.width == 320)
    #expect(f.height == 200)
    let c = [0x00, 0x13, 0x15, 0x17].map { t.shade($0) }
    #expect((0..<8).map { f[$0, 0] } == [c[0], c[1], c[2], c[3], c[3], c[3], c[3], c[3]])
    #expect((0..<4).map { f[$0, 1] } == [c[3], c[2], c[1], c[0]])
    #expect(f[0, 2] == c[1])

    let two = TestVGA(.mode6)
    two.poke(0xB8000, 0x80)
    two.poke(0xBA000, 0x40)
    two.poke(0xB8000 + 80 + 79, 0x01)
    let g = two.frame()
    #expect(g.width == 640)
    #expect(g.height == 200)
    #expect((0..<3).map { g[$0, 0] } == [two.shade(0x17), 0, 0])
    #expect((0..<3).map { g[$0, 1] } == [0, two.shade(0x17), 0])
    #expect(g[639, 2] == two.shade(0x17))
  }

  @Test func lineCompareSplitsTheScreenAndCanStopPanning() {
    let t = TestVGA(.mode13h)
    for i in 0..<UInt32(64000) { t.poke(0xA0000 + i, UInt8(truncatingIfNeeded: i / 320)) }
    for i in 0..<UInt32(320) { t.poke(0xA0000 + i, UInt8(truncatingIfNeeded: i)) }
    t.cr(0x0C, 0x07)  // start at row 25 (25 * 80 = 07D0h)
    t.cr(0x0D, 0xD0)
    // The split comes after scan line 199, half way down 400 lines.
    t.cr(0x11, 0x0E)
    t.cr(0x07, 0x0F)
    t.cr(0x09, 0x01)
    t.cr(0x18, 199)
    t.ar(0x13, 0x02)
    var f = t.frame()
    #expect(f.height == 200)
    #expect(f[0, 0] == t.shade(25))
    #expect(f[0, 99] == t.shade(124))
    #expect(f[0, 100] == t.shade(1))
    t.ar(0x10, 0x61)
    f = t.frame()
    #expect(f[0, 100] == t.shade(0))
    #expect(f[7, 100] == t.shade(7))
  }

  @Test func textPansByDotsAndScansFromAPresetRow() {
    let t = TestVGA(.text80)
    t.cr(0x0A, 0x20)
    loadGlyph(t, 1, [0x80, 0x40])
    t.vga.writeMemory(0x18000, 0x0701, width: 2)
    t.vga.writeMemory(0x18002, 0x0701, width: 2)
    #expect(t.frame()[0, 0] == t.shade(7))
    t.ar(0x13, 0x00)  // one dot to the left
    #expect(t.frame()[8, 0] == t.shade(7))
    t.ar(0x13, 0x08)
    t.cr(0x08, 0x01)
    #expect(t.frame()[1, 0] == t.shade(7))
    t.cr(0x08, 0x20)  // byte panning: a character to the left
    t.vga.writeMemory(0x18004, 0x0700, width: 2)
    #expect(t.frame()[0, 0] == t.shade(7))
    #expect(t.frame()[9, 0] == 0)
  }

  @Test func aBlankedScreenIsBlack() {
    let t = TestVGA(.mode13h)
    t.poke(0xA0000, 0x3F)
    t.sr(1, 0x21)
    #expect(t.frame().pixels.allSatisfy { $0 == 0xFF00_0000 })
    t.sr(1, 0x01)
    t.out(0x3C0, 0x11)
    t.out(0x3C0, 0x3F)
    #expect(t.frame()[1, 1] == t.shade(0x3F))
  }

  @Test func theTextOfAScreenIsReadAsUnicode() throws {
    let t = TestVGA(.text80)
    for i in 0..<UInt32(2000) { t.vga.writeMemory(0x18000 + i * 2, 0x0720, width: 2) }
    for (i, c) in [0x48, 0x69, 0xC9, 0xE1, 0x03].enumerated() {
      t.poke(UInt32(0xB8000 + 160 + i * 2), UInt8(c))
    }
    let rows = try #require(TextScreen.extract(from: t.vga))
    #expect(rows.count == 25)
    #expect(rows[0] == "")
    #expect(rows[1] == "Hi╔ß♥")
    t.cr(0x0D, 80)
    #expect(TextScreen.extract(from: t.vga)?.first == "Hi╔ß♥")
    t.set(.mode13h)
    #expect(TextScreen.extract(from: t.vga) == nil)
    #expect(CodePage437.character(0xFE) == "■")
    #expect(CodePage437.character(0x80) == "Ç")
    #expect(CodePage437.character(0x7F) == "⌂")
  }

  @Test func onlyVisibleChangesMakeAFrameStale() {
    let t = TestVGA(.mode13h)
    _ = t.frame()
    #expect(!t.renderer.isStale(t.vga))
    _ = t.peek(0xA0000)
    _ = t.inb(0x3DA)
    t.out(0x3C8, 0)
    #expect(!t.renderer.isStale(t.vga))
    t.poke(0xA0000, 1)
    #expect(t.renderer.isStale(t.vga))
  }
}
