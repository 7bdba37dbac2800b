import TestSupport
import Testing

@testable import Video

/// The graphics controller's data path bit by bit, as the reference manual words it.
private struct NaivePlanes {
  var planes = [[UInt8]](repeating: [UInt8](repeating: 0, count: 65536), count: 4)
  var latch: [UInt8] = [0, 0, 0, 0]
  var gr = [UInt8](repeating: 0, count: 9)
  var mapMask: UInt8 = 0
  var chain4 = false
  var oddEven = false

  private func place(_ offset: Int) -> (address: Int, planes: [Int]) {
    if chain4 { return (offset - offset % 4, [offset % 4]) }
    if oddEven { return (offset - offset % 2, offset % 2 == 0 ? [0, 2] : [1, 3]) }
    return (offset, [0, 1, 2, 3])
  }

  mutating func write(_ offset: Int, _ data: UInt8) {
    let (address, reachable) = place(offset)
    let count = Int(gr[3] & 7)
    let rotated = UInt8(truncatingIfNeeded: (Int(data) | Int(data) << 8) >> count)
    for plane in reachable where mapMask >> plane & 1 == 1 {
      let setReset: UInt8 = gr[0] >> plane & 1 == 1 ? 0xFF : 0
      var value: UInt8
      var mask = gr[8]
      switch gr[5] & 3 {
      case 0: value = gr[1] >> plane & 1 == 1 ? setReset : rotated
      case 1:
        planes[plane][address] = latch[plane]
        continue
      case 2: value = data >> plane & 1 == 1 ? 0xFF : 0
      default:
        value = setReset
        mask &= rotated
      }
      switch gr[3] >> 3 & 3 {
      case 1: value &= latch[plane]
      case 2: value |= latch[plane]
      case 3: value ^= latch[plane]
      default: break
      }
      var byte: UInt8 = 0
      for bit in 0..<8 {
        let source = mask >> bit & 1 == 1 ? value : latch[plane]
        byte |= source & (1 << bit)
      }
      planes[plane][address] = byte
    }
  }

  mutating func read(_ offset: Int) -> UInt8 {
    let (address, _) = place(offset)
    for plane in 0..<4 { latch[plane] = planes[plane][address] }
    if gr[5] & 8 == 0 {
      var plane = Int(gr[4] & 3)
      if chain4 { plane = offset % 4 } else if oddEven { plane = plane & 2 | offset % 2 }
      return latch[plane]
    }
    var result: UInt8 = 0
    for bit in 0..<8 {
      var equal = true
      for plane in 0..<4 where gr[7] >> plane & 1 == 1 {
        if latch[plane] >> bit & 1 != gr[2] >> plane & 1 { equal = false }
      }
      if equal { result |= 1 << bit }
    }
    return result
  }
}

@Suite struct VGAMemoryTests {
  @Test(arguments: ["planar", "odd/even", "chain 4"])
  func everyWriteAndReadModeAgreesWithTheManual(_ addressing: String) {
    let t = TestVGA(.mode12h)
    var model = NaivePlanes()
    model.chain4 = addressing == "chain 4"
    model.oddEven = addressing == "odd/even"
    t.sr(4, model.chain4 ? 0x0E : model.oddEven ? 0x02 : 0x06)
    t.gr(6, model.oddEven ? 0x07 : 0x05)
    var random = Random(seed: 42)
    for round in 0..<4000 {
      for i in [0, 1, 2, 3, 4, 5, 7, 8] {
        var value = random.byte()
        if i == 5 { value = value & 0x0B | (model.oddEven ? 0x10 : 0) }
        // Often the plain case, which has its own fast path.
        if round % 4 == 0 { value = i == 8 ? 0xFF : i == 5 ? value & 0x18 : 0 }
        t.gr(UInt8(i), value)
        model.gr[i] = value
      }
      model.mapMask = round % 8 == 0 ? 0x0F : random.byte() & 0x0F
      t.sr(2, model.mapMask)
      for _ in 0..<8 {
        let width = UInt32(1) << (random.word() % 3)
        let offset = random.word() & 0x3FF | (random.word() & 1 == 0 ? 0 : 0xF800)
        if random.word() & 1 == 0 {
          let value = random.word() << 1 ^ random.word()
          t.vga.writeMemory(offset, value, width: width)
          for i in 0..<width {
            model.write(Int(offset + i), UInt8(truncatingIfNeeded: value >> (8 * i)))
          }
        } else {
          var expected: UInt32 = 0
          for i in 0..<width { expected |= UInt32(model.read(Int(offset + i))) << (8 * i) }
          #expect(t.vga.readMemory(offset, width: width) == expected)
        }
      }
    }
    var wrong = 0
    for plane in 0..<4 {
      for address in 0..<65536
      where t.vga.planeByte(plane, address) != model.planes[plane][address] { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  @Test func textModesKeepCharactersInPlane0AndAttributesInPlane1() {
    let t = TestVGA(.text80)
    t.vga.writeMemory(0x18000, 0x1F42_0741, width: 4)
    #expect(t.vga.planeByte(0, 0) == 0x41)
    #expect(t.vga.planeByte(1, 0) == 0x07)
    #expect(t.vga.planeByte(0, 2) == 0x42)
    #expect(t.vga.planeByte(1, 2) == 0x1F)
    #expect(t.vga.readMemory(0x18000, width: 4) == 0x1F42_0741)
    #expect(t.vga.readMemory(0x18001, width: 2) == 0x4207)
    #expect(t.vga.readMemory(0, width: 1) == 0xFF)
    t.vga.writeMemory(0x1FFFF, 0x99, width: 1)
    #expect(t.vga.readMemory(0x1FFFF, width: 1) == 0x99)
  }

  @Test func eachMemoryMapAnswersInItsWindowOnly() {
    let t = TestVGA(.mode12h)
    let windows: [(UInt8, UInt32, UInt32)] = [
      (0, 0xA0000, 0xC0000), (1, 0xA0000, 0xB0000), (2, 0xB0000, 0xB8000), (3, 0xB8000, 0xC0000),
    ]
    for (map, first, end) in windows {
      t.gr(6, map << 2 | 1)
      for address in stride(from: UInt32(0xA0000), to: 0xC0000, by: 0x4000) {
        t.poke(address, 0x5A)
        #expect(t.peek(address) == (address >= first && address < end ? 0x5A : 0xFF))
      }
    }
  }

  @Test func mode13hMemoryIsLinear() {
    let t = TestVGA(.mode13h)
    #expect(t.vga.isLinear)
    for i in 0..<UInt32(65536) { t.poke(0xA0000 + i, UInt8(truncatingIfNeeded: i &* 7)) }
    let bytes = t.vga.linearMemory.assumingMemoryBound(to: UInt8.self)
    #expect((0..<65536).allSatisfy { bytes[$0] == UInt8(truncatingIfNeeded: $0 &* 7) })
    // Every fourth address of each plane is used.
    #expect(t.vga.planeByte(1, 4) == UInt8(truncatingIfNeeded: 5 * 7))
    t.gr(3, 0x08)
    #expect(!t.vga.isLinear)
  }

  @Test func theCFunctionsReachTheSameMemory() {
    let t = TestVGA(.mode13h)
    t.vga.aperture.write(0x10, 0x0403_0201, 4)
    #expect(t.vga.aperture.read(0x11, 2) == 0x0302)
    #expect(t.peek(0xA0013) == 4)
  }

  @Test func withoutExtendedMemoryAPlaneHas16KiB() {
    let t = TestVGA(.mode12h)
    t.sr(4, 0x04)
    t.poke(0xA4001, 0x77)
    #expect(t.vga.planeByte(0, 1) == 0x77)
  }
}
