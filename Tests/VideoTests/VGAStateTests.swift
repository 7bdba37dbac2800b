import State
import TestSupport
import Testing

@testable import Video

@Suite struct VGAStateTests {
  private func step(_ t: TestVGA, _ random: inout Random) -> UInt32 {
    t.now += UInt64(random.word() % 100_000)
    switch random.word() % 8 {
    case 0, 1:
      let ports: [UInt16] = [
        0x3C0, 0x3C2, 0x3C4, 0x3C5, 0x3C6, 0x3C7, 0x3C8, 0x3C9, 0x3CE, 0x3CF, 0x3D4, 0x3D5, 0x3DA,
        0x3B4, 0x3B5,
      ]
      t.out(ports[Int(random.word()) % ports.count], random.byte())
      return 0
    case 2:
      let width = 1 << Int(random.word() % 3)
      t.vga.write(at: UInt32(random.word() % 0x30), random.word(), width: width)
      return 0
    case 3: return t.vga.read(at: UInt32(random.word() % 0x30), width: 1)
    case 4, 5:
      let width = UInt32(1) << (random.word() % 3)
      return t.vga.readMemory(random.word() & 0x1FFFF, width: width)
    default:
      let width = UInt32(1) << (random.word() % 3)
      t.vga.writeMemory(random.word() & 0x1FFFF, random.word(), width: width)
      return 0
    }
  }

  @Test func aRestoredVGAContinuesIdentically() throws {
    var random = Random(seed: 7)
    var a = TestVGA(.mode12h)
    for round in 0..<20 {
      for _ in 0..<2500 { _ = step(a, &random) }
      let state = a.saved()
      let b = TestVGA()
      b.now = a.now
      var reader = StateReader(state)
      try b.vga.restore(from: &reader, version: a.vga.stateVersion)
      #expect(reader.remaining == 0)
      #expect(b.saved() == state)
      var left = random
      var right = random
      var different = 0
      for _ in 0..<2500 where step(a, &left) != step(b, &right) { different += 1 }
      #expect(different == 0)
      #expect(a.saved() == b.saved())
      #expect(a.frame().pixels == b.frame().pixels)
      random = left
      if round % 2 == 0 { a = b }
    }
  }

  @Test func anyRegisterValuesRenderWithinBounds() {
    var random = Random(seed: 99)
    let t = TestVGA()
    for i in 0..<65536 { t.vga.setPlaneByte(i & 3, i, random.byte()) }
    for round in 0..<300 {
      t.renderer.showsBorder = round % 3 == 0
      t.out(0x3C2, random.byte() | 3)
      for i in 0..<5 { t.sr(UInt8(i), i == 0 ? 3 : random.byte() & 0xDF) }
      t.cr(0x11, random.byte() & 0x7F)
      for i in 0..<25 where i != 0x11 { t.cr(UInt8(i), random.byte() | (i == 0x17 ? 0x80 : 0)) }
      for i in 0..<9 { t.gr(UInt8(i), random.byte()) }
      for i in 0..<21 { t.ar(UInt8(i), random.byte()) }
      t.now += UInt64(random.word())
      _ = t.inb(0x3DA)
      _ = t.inb(0x3C2)
      let f = t.frame()
      #expect(f.width >= 4 && f.width <= 2340)
      #expect(f.height >= 1 && f.height <= 2050)
      #expect(f.pixels.count == f.width * f.height)
      _ = TextScreen.extract(from: t.vga)
    }
  }

  @Test func damagedStatesAreRefusedOrHarmless() {
    let state = TestVGA(.mode13h).saved()
    var random = Random(seed: 5)
    for round in 0..<400 {
      var bytes = Array(state[..<min(state.count, 1200)])
      if round % 2 == 0 {
        bytes = state
        for _ in 0..<8 { bytes[Int(random.word()) % min(1000, bytes.count)] = random.byte() }
      }
      let t = TestVGA()
      var reader = StateReader(bytes)
      do throws(StateError) {
        try t.vga.restore(from: &reader, version: t.vga.stateVersion)
      } catch {
        continue
      }
      if round % 16 == 0 { _ = t.frame() }
      _ = t.inb(0x3C9)
      _ = t.inb(0x3DA)
    }
  }

  @Test func resetClearsRegistersAndPowerOnClearsMemory() {
    let t = TestVGA(.mode13h)
    t.poke(0xA0000, 5)
    t.vga.reset(.system)
    #expect(t.inb(0x3CC) == 0)
    #expect(t.vga.planeByte(0, 0) == 5)
    t.vga.reset(.power)
    #expect(t.vga.planeByte(0, 0) == 0)
    #expect(t.saved() == TestVGA().saved())
  }
}
