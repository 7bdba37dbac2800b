import TestSupport
import Testing

@testable import Video

/// Blanking, border, retrace: what the CRT controller's counters turn on and off.
@Suite struct VGABlankingTests {
  /// The same by counting, as the hardware does it: two rounds, of which the second is what repeats.
  private func counted(_ start: Int, _ end: Int, _ mask: Int, _ total: Int) -> [Bool] {
    var on = false
    var result = [Bool](repeating: false, count: total)
    for _ in 0..<2 {
      for count in 0..<total {
        if count == start { on = true } else if count & mask == end { on = false }
        result[count] = on
      }
    }
    return result
  }

  @Test func aGateIsWhatACounterWithComparatorsDoes() {
    var random = Random(seed: 3)
    for _ in 0..<20_000 {
      let mask = [0x0F, 0x1F, 0x3F, 0xFF][Int(random.word() & 3)]
      let total = 2 + Int(random.word() % 300)
      let start = Int(random.word() % 320)
      let end = Int(random.word()) & mask
      let gate = CounterGate(start: start, end: end, mask: mask, total: total)
      let wanted = counted(start, end, mask, total)
      #expect((0..<total).allSatisfy { gate.contains($0) == wanted[$0] })
      let late = CounterGate(start: start, end: end, mask: mask, total: total, delay: 1)
      #expect(
        (0..<total).allSatisfy { late.contains($0) == wanted[($0 + total - 1) % total] })
      let window = 5..<max(6, total / 2)
      let inside = gate.inside(window)
      for count in window where count < total {
        #expect(inside.contains { $0.contains(count - 5) } == wanted[count])
      }
    }
  }

  /// As measured on an IBM VGA and as in VESA's timing of 640 by 480: 8 dots and 8 lines around; 7 lines around text.
  @Test func theBordersOfTheStandardModes() {
    for (mode, lines) in [(ModeTable.text80, 7), (.mode12h, 8), (.mode13h, 7)] {
      let border = DisplayBorder(TestVGA(mode).vga.crtc)
      #expect(border.left == 1)
      #expect(border.right == 1)
      #expect(border.top == lines)
      #expect(border.bottom == lines)
    }
  }

  @Test func aBorderHasTheOverscanColourWhenItIsAskedFor() {
    let t = TestVGA(.mode12h)
    t.ar(0x11, 0x2A)
    t.poke(0xA0000, 0x80)
    let inner = t.frame()
    #expect(inner.width == 640)
    #expect(inner.height == 480)
    t.renderer.showsBorder = true
    let f = t.frame()
    #expect(f.width == 656)
    #expect(f.height == 496)
    let border = t.shade(0x2A)
    #expect(f[0, 0] == border)
    #expect(f[7, 8] == border)
    #expect(f[8, 7] == border)
    #expect(f[8, 8] == inner[0, 0])
    #expect(f[8, 8] != border)
    #expect(f[647, 487] == inner[639, 479])
    #expect(f[648, 487] == border)
    #expect(f[655, 495] == border)
    // A screen that is off has no border.
    t.sr(1, 0x21)
    #expect(t.frame().pixels.allSatisfy { $0 == 0xFF00_0000 })
  }

  @Test func totalsThatComeBeforeTheDisplayEndsBoundThePicture() {
    let t = TestVGA(.mode12h)
    t.cr(0x11, 0x0C)
    t.cr(0x00, 0x0B)  // 16 characters
    t.cr(0x06, 0x1E)  // 32 lines
    t.cr(0x07, 0x00)
    let f = t.frame()
    #expect(f.width == 128)
    #expect(f.height == 32)
  }

  @Test func displayEnableInTheStatusRegisterIsAsLateAsItsSkew() {
    let t = TestVGA(.mode13h)
    t.cr(0x11, 0x0E)
    t.cr(0x03, 0xC2)  // two characters
    func status(_ character: Double) -> UInt8 {
      let line = 17.0 + (character + 0.5) / 100
      t.now = UInt64(Double(t.vga.framePeriod) * (5 + line / 449))
      return t.inb(0x3DA) & 1
    }
    #expect((0..<100).map { status(Double($0)) } == (0..<100).map { (2..<82).contains($0) ? 0 : 1 })
  }

  /// Retrace ends by its low four bits, in the next frame if not before.
  @Test func retraceMayGoOnInTheNextFrame() {
    let t = TestVGA(.mode13h)
    t.cr(0x11, 0x00)
    t.cr(0x10, 0xB8)  // line 440, to the first line whose low bits are 5: the next frame's
    t.cr(0x07, 0x1F)
    t.cr(0x11, 0x05)
    func status(_ line: Double) -> UInt8 {
      t.now = UInt64(Double(t.vga.framePeriod) * (5 + (line + 0.5) / 449))
      return t.inb(0x3DA) & 8
    }
    #expect(status(439) == 0)
    #expect(status(440) == 8)
    #expect(status(448) == 8)
    #expect(status(0) == 8)
    #expect(status(4) == 8)
    #expect(status(5) == 0)
  }
}
