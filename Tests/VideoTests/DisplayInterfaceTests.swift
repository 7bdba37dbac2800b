// Bochs' display interface: registers, pictures, what a guest cannot break.

import Testing

@testable import Video

@Suite struct DisplayInterfaceTests {
  private func adapter() -> TestCirrus { TestCirrus(.displayInterface, megabytes: 4) }

  private func set(_ t: TestCirrus, _ width: Int, _ height: Int, _ depth: Int, flags: UInt16 = 0x40)
  {
    t.vga.writeDisplay(4, 0)
    t.vga.writeDisplay(1, UInt16(width))
    t.vga.writeDisplay(2, UInt16(height))
    t.vga.writeDisplay(3, UInt16(depth))
    t.vga.writeDisplay(4, 0x01 | flags)
    t.ar(0x10, 0x41)
  }

  private func frame(_ t: TestCirrus, _ renderer: FrameRenderer = FrameRenderer()) -> Frame {
    var frame = Frame()
    renderer.render(t.vga, into: &frame)
    return frame
  }

  @Test func versionsLimitsAndMemory() {
    let t = adapter()
    #expect(t.vga.readDisplay(0) == 0xB0C5)
    t.vga.writeDisplay(0, 0xB0C2)
    #expect(t.vga.readDisplay(0) == 0xB0C2)
    t.vga.writeDisplay(0, 0x1234)
    #expect(t.vga.readDisplay(0) == 0xB0C2)
    #expect(t.vga.readDisplay(10) == 64)
    t.vga.writeDisplay(4, 2)
    #expect((1...3).map { t.vga.readDisplay($0) } == [2560, 1600, 32])
    t.vga.writeDisplay(4, 0)
    #expect(t.vga.readDisplay(1) == 0)
    // A plain VGA has none of it.
    #expect(TestCirrus(.none).vga.readDisplay(0) == 0xFFFF)
  }

  @Test func aModeClearsMemoryUnlessItIsToBeKept() {
    let t = adapter()
    t.memory[5] = 7
    set(t, 640, 480, 8, flags: 0xC0)
    #expect(t.memory[5] == 7)
    set(t, 640, 480, 8)
    #expect(t.memory[5] == 0)
  }

  @Test func linesInMemoryAreAsLongAsIsAskedAndFits() {
    let t = adapter()
    set(t, 640, 480, 16)
    #expect(t.vga.readDisplay(6) == 640)
    #expect(t.vga.readDisplay(7) == UInt16((4 << 20) / 1280))
    t.vga.writeDisplay(6, 1024)
    t.vga.writeDisplay(8, 24)
    t.vga.writeDisplay(9, 100)
    #expect((6...9).map { t.vga.readDisplay($0) } == [1024, 2048, 24, 100])
    #expect(t.vga.linearPicture?.pitch == 2048)
    #expect(t.vga.linearPicture?.start == 100 * 2048 + 48)
  }

  @Test func everyDepthIsShown() {
    let t = adapter()
    for (depth, bytes, colour) in [
      (8, [0x21], UInt32(0x212121)), (15, [0x1F, 0x7C], 0xFF00FF), (16, [0xE0, 0x07], 0x00FF00),
      (24, [0x11, 0x22, 0x33], 0x332211), (32, [0x11, 0x22, 0x33, 0x99], 0x332211),
    ] as [(Int, [UInt8], UInt32)] {
      set(t, 320, 200, depth, flags: depth == 8 ? 0x60 : 0x40)
      t.out(0x3C8, 0x21)
      for _ in 0..<3 { t.out(0x3C9, 0x21) }
      let place = (5 * 320 + 7) * bytes.count
      for (n, byte) in bytes.enumerated() { t.vga.writeLinear(place + n, UInt32(byte), 1) }
      let frame = frame(t)
      #expect(frame.width == 320 && frame.height == 200)
      #expect(frame[7, 5] == colour)
    }
  }

  @Test func fourBitPixelsComeFromPlanesAndBanks() {
    let t = adapter()
    set(t, 1024, 768, 4, flags: 0)
    t.ar(0x10, 0x01)
    for n: UInt8 in 0..<16 { t.ar(n, n) }
    t.ar(0x12, 0x0F)
    t.sr(0, 3)
    t.out(0x3C8, 5)
    for c: UInt8 in [63, 0, 63] { t.out(0x3C9, c) }
    t.out(0x3C4, 2)
    t.out(0x3C5, 5)
    for n: UInt8 in [0, 1, 3] { t.gr(n, 0) }
    t.gr(8, 0xFF)
    // Line 600 lies in the second bank.
    let place = 600 * 128 + 3
    t.vga.writeDisplay(5, UInt16(place >> 16))
    t.vga.writeMemory(UInt32(place & 0xFFFF), 0x80, width: 1)
    let frame = frame(t)
    #expect(frame.width == 1024 && frame.height == 768)
    #expect(frame[24, 600] == 0xFF00FF)
    #expect(frame[25, 600] == 0)
  }

  @Test func largePicturesHaveSquarePixelsSmallOnesFillTheScreen() {
    let t = TestCirrus(.displayInterface, megabytes: 16)
    for (width, height, depth, square) in [
      (1280, 1024, 4, true), (1280, 1024, 32, true), (640, 400, 8, false), (640, 400, 4, false),
      (1024, 768, 4, true), (1600, 900, 16, true),
    ] {
      set(t, width, height, depth)
      t.ar(0x10, depth == 4 ? 0x01 : 0x41)
      var frame = Frame()
      FrameRenderer().render(t.vga, into: &frame)
      #expect(frame.width == width && frame.height == height)
      #expect((frame.pixelAspect == 1) == square, "\(width) \(height) \(depth)")
    }
  }

  @Test func banksAreSeenAtA0000() {
    let t = adapter()
    set(t, 640, 480, 8, flags: 0)
    t.gr(8, 0xFF)
    t.vga.writeDisplay(5, 3)
    t.vga.writeMemory(0x1234, 0xABCD, width: 2)
    #expect(t.memory[0x31234] == 0xCD && t.memory[0x31235] == 0xAB)
    #expect(t.vga.readMemory(0x1235, width: 1) == 0xAB)
  }

  @Test func onlyLinesThatChangedAreDrawnAgain() {
    let t = adapter()
    set(t, 640, 480, 32)
    let renderer = FrameRenderer()
    var first = Frame()
    renderer.render(t.vga, into: &first)
    #expect(!renderer.isStale(t.vga))
    // Somebody writes without telling, as translated code does.
    t.memory.base.storeBytes(of: 0x123456, toByteOffset: 640 * 4 * 100, as: UInt32.self)
    t.memory.written[640 * 4 * 100 / 4096] = 0xFF
    #expect(renderer.isStale(t.vga))
    first.pixels[0] = 0xFF77_7777
    renderer.render(t.vga, into: &first)
    #expect(first[0, 100] == 0x123456)
    #expect(first.pixels[0] == 0xFF77_7777)
    #expect(!renderer.isStale(t.vga))
    // A frame that it does not know gets all of them.
    var second = Frame()
    renderer.render(t.vga, into: &second)
    #expect(second.pixels[0] == 0xFF00_0000 && second[0, 100] == 0x123456)
  }

  @Test func aFrameTellsWhichLinesMayDiffer() {
    let t = adapter()
    set(t, 1024, 768, 32)
    let renderer = FrameRenderer()
    var frame = Frame()
    func lines(since mark: Frame.Mark) -> [Int] {
      (0..<768).filter { frame.differs(line: $0, from: mark) }
    }
    renderer.render(t.vga, into: &frame)
    #expect(lines(since: Frame.Mark()).count == 768)
    let first = frame.mark
    #expect(lines(since: first) == [])
    // A line is a page.
    t.vga.writeLinear(700 * 4096 + 12, 1, 4)
    renderer.render(t.vga, into: &frame)
    #expect(lines(since: first) == [700])
    let second = frame.mark
    t.vga.writeLinear(3 * 4096, 1, 4)
    // Frames take turns, as they do between a machine and a window.
    var other = Frame()
    renderer.render(t.vga, into: &other)
    swap(&frame, &other)
    #expect(lines(since: first) == [3, 700])
    #expect(lines(since: second) == [3])
    // Another renderer's marks say nothing, nor do pictures of other kinds.
    FrameRenderer().render(t.vga, into: &frame)
    #expect(lines(since: second).count == 768)
    t.vga.writeDisplay(4, 0)
    renderer.render(t.vga, into: &frame)
    #expect(frame.differs(line: 0, from: frame.mark))
  }

  @Test func theMonitorTellsWhatItIs() {
    #expect(EDID.block.count == 128)
    #expect(EDID.block.reduce(0, &+) == 0)
    #expect(EDID.block[..<8] == [0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0])
    #expect(EDID.block[18] == 1 && EDID.block[19] == 4)
    // 65 MHz, 1024 by 768.
    #expect(EDID.block[54...61] == [0x64, 0x19, 0, 0x40, 0x41, 0, 0x26, 0x30])
  }

  @Test func aStateIsTheSameAgain() throws {
    let t = adapter()
    set(t, 800, 600, 16)
    t.vga.writeLinear(0x3F_FFFF, 0x55, 1)
    let other = adapter()
    try other.restore(t.saved())
    #expect(other.saved() == t.saved())
    #expect(other.vga.linearPicture == t.vga.linearPicture)
  }

  @Test(arguments: [VGAExtensions.displayInterface, .cirrus])
  func garbageHasAResult(_ extensions: VGAExtensions) throws {
    let t = TestCirrus(extensions, megabytes: 4)
    var state: UInt64 = 3
    func next(_ bound: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % bound
    }
    let renderer = FrameRenderer()
    var frame = Frame()
    for n in 0..<300_000 {
      let value = UInt32(truncatingIfNeeded: next(1 << 31) << 1 | next(2))
      let width = 1 << Int(next(3))
      switch next(9) {
      case 0:
        t.vga.writeDisplay(Int(next(12)), UInt16(truncatingIfNeeded: value >> UInt32(next(16))))
      case 1: t.vga.write(at: UInt32(next(0x31)), value, width: width)
      case 2: t.vga.writeMemory(UInt32(next(0x20000)), value, width: UInt32(width))
      case 3: _ = t.vga.readMemory(UInt32(next(0x20000)), width: UInt32(width))
      case 4: t.vga.writeLinear(Int(next(32 << 20)), value, width)
      case 5: _ = t.vga.readLinear(Int(next(32 << 20)), width)
      case 6:
        t.gr(UInt8(next(64)), UInt8(truncatingIfNeeded: value))
        if next(2) == 0 { t.gr(0x21, 0) }
        if next(2) == 0 { t.gr(0x23, 0) }
      case 7: t.sr(UInt8(next(256)), UInt8(truncatingIfNeeded: value))
      default:
        if extensions == .cirrus, next(4) == 0 {
          t.vga.cirrus?.writeRegisters(Int(next(256)), value, width)
        } else {
          t.cr(UInt8(next(64)), UInt8(truncatingIfNeeded: value))
        }
      }
      t.now += next(5000)
      if n % 1000 == 0 { renderer.render(t.vga, into: &frame) }
      if n % 50_000 == 0 {
        let other = TestCirrus(extensions, megabytes: 4)
        try other.restore(t.saved())
        #expect(other.saved() == t.saved())
      }
    }
  }
}
