// The BitBLT engine of the CL-GD5446 against a model that is written from its manual, a pixel at a time.

import Testing

@testable import Video

/// What the manual's chapter on BitBLT says, without any thought of speed: each byte of memory is looked up and changed alone.
private struct BlitModel {
  var memory: [UInt8]
  var registers: Blit

  private func address(_ a: Int) -> Int { ((a % memory.count) + memory.count) % memory.count }

  /// GR32 as a truth table: bit 3 for S and D both 1, bit 2 for S alone, bit 1 for D alone, bit 0 for neither.
  private static let truth: [UInt8: UInt8] = [
    0x00: 0b0000, 0x05: 0b1000, 0x06: 0b1010, 0x09: 0b0100, 0x0B: 0b0101, 0x0D: 0b1100,
    0x0E: 0b1111, 0x50: 0b0010, 0x59: 0b0110, 0x6D: 0b1110, 0x90: 0b0001, 0x95: 0b1001,
    0xAD: 0b1101, 0xD0: 0b0011, 0xD6: 0b1011, 0xDA: 0b0111,
  ]

  private func mixed(_ s: UInt8, _ d: UInt8) -> UInt8 {
    guard let code = registers.operation?.rawValue, let table = BlitModel.truth[code] else {
      return d
    }
    var result: UInt8 = 0
    for bit in 0..<8 {
      let n = (s >> bit & 1) << 1 | d >> bit & 1
      if table >> n & 1 != 0 { result |= 1 << bit }
    }
    return result
  }

  mutating func run(system: [UInt8]? = nil) {
    let r = registers
    let (expands, isPattern) = (r.mode.contains(.expands), r.mode.contains(.pattern))
    if !expands && !isPattern { return copy(system) }
    let isSolid =
      r.extensions.contains(.solid) && expands && isPattern
      && !r.mode.contains(.transparent) && !r.mode.contains(.toSystem)
    let skip = r.pixel == 3 ? Int(r.skip) & 31 : (Int(r.skip) & 7) * r.pixel
    let perRow = (r.width + r.pixel - 1) / r.pixel
    let bitBytes = (perRow + 7) / 8
    // The engine has a pattern in itself, and has read a row's bits before it writes the row.
    var before = memory
    for y in 0..<r.height {
      if !isPattern { before = memory }
      for n in skip..<max(skip, r.width) {
        let (x, part) = (n / r.pixel, n % r.pixel)
        let to = address(r.target + y * r.targetPitch + n)
        var source: UInt8
        if expands {
          var isSet = true
          if !isSolid {
            let line: UInt8
            if isPattern {
              let base = r.source / 8 * 8
              let row = (r.source % 8 + y) % 8
              line = system?[row] ?? before[address(base + row)]
              isSet = line >> (7 - x % 8) & 1 != 0
            } else {
              let pitch =
                system == nil || !r.extensions.contains(.doublewords)
                ? bitBytes : (perRow + 31) / 32 * 4
              let at = y * pitch + x / 8
              line = system?[at] ?? before[address(r.source + at)]
              isSet = line >> (7 - x % 8) & 1 != 0
            }
          }
          var colour = isSet ? r.foreground : r.background
          if r.mode.contains(.transparent) {
            let inverts = r.extensions.contains(.inverts)
            if isSet == inverts { continue }
            colour = inverts ? r.background : r.foreground
          }
          source = UInt8(truncatingIfNeeded: colour >> UInt32(8 * part))
        } else {
          let (bytes, pitch) = r.pixel == 3 ? (256, 32) : (64 * r.pixel, 8 * r.pixel)
          let row = (r.source % 8 + y) % 8
          let at = row * pitch + x % 8 * r.pixel + part
          source = system?[at] ?? before[address(r.source / bytes * bytes + at)]
        }
        memory[to] = mixed(source, memory[to])
      }
    }
  }

  private mutating func copy(_ system: [UInt8]?) {
    let r = registers
    let step = r.mode.contains(.backwards) ? -1 : 1
    let unit = r.mode.contains(.transparent) && r.pixel <= 2 ? r.pixel : 1
    for y in 0..<r.height {
      for n in 0..<r.width / unit {
        // The lowest byte of the unit.
        let offset = step > 0 ? n * unit : n * unit + unit - 1
        let to = r.target + step * (y * r.targetPitch + offset)
        let from = r.source + step * (y * r.sourcePitch + offset)
        var values: [UInt8] = []
        for part in 0..<unit {
          let at =
            step > 0 ? n * unit + part : r.width / unit * unit - (n + 1) * unit + part
          let s = system?[y * ((r.width + 3) / 4 * 4) + at] ?? memory[address(from + part)]
          values.append(mixed(s, memory[address(to + part)]))
        }
        if r.mode.contains(.transparent), r.pixel <= 2 {
          let key = [UInt8(r.key & 0xFF), UInt8(r.key >> 8)]
          if values == Array(key[..<unit]) { continue }
        }
        for part in 0..<unit { memory[address(to + part)] = values[part] }
      }
    }
  }
}

/// Numbers that repeat.
private struct Numbers {
  var state: UInt64
  mutating func next(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % bound
  }
  mutating func byte() -> UInt8 { UInt8(next(256)) }
}

@Suite struct CirrusBlitTests {
  /// A chip with memory that holds something.
  private func chip(_ numbers: inout Numbers) -> TestCirrus {
    let t = TestCirrus()
    for n in stride(from: 0, to: 1 << 20, by: 1) where n < 0x8000 || n >= (1 << 20) - 0x2000 {
      t.memory[n] = numbers.byte()
    }
    return t
  }

  private func bytes(_ t: TestCirrus) -> [UInt8] {
    Array(UnsafeRawBufferPointer(start: t.memory.base, count: t.memory.size))
  }

  /// Sets the registers of a blit at random, near the beginning of memory or its end.
  private func request(
    _ t: TestCirrus, _ numbers: inout Numbers, mode: UInt8, extensions: UInt8 = 0,
    operation: UInt8
  ) {
    func place() -> Int {
      numbers.next(4) == 0 ? (1 << 20) - numbers.next(0x800) : numbers.next(0x2000)
    }
    let (target, near) = (place(), numbers.next(2) == 0)
    let source = near ? max(0, target + numbers.next(40) - 20) : place()
    let pixel = Int(mode >> 4 & 3) + 1
    let width = (numbers.next(40) + 1) * pixel - 1
    t.gr(0x20, UInt8(width & 0xFF))
    t.gr(0x21, UInt8(width >> 8))
    t.gr(0x22, UInt8(numbers.next(12)))
    t.gr(0x23, 0)
    for n in [0x24, 0x26] {
      let pitch = numbers.next(400)
      t.gr(UInt8(n), UInt8(pitch & 0xFF))
      t.gr(UInt8(n + 1), UInt8(pitch >> 8))
    }
    for (n, value) in [(0x28, target), (0x2C, source)] {
      for k in 0..<3 { t.gr(UInt8(n + k), UInt8(value >> (8 * k) & 0xFF)) }
    }
    t.gr(0x2F, pixel == 3 ? UInt8(numbers.next(3) * 3) : numbers.byte() & 7)
    t.gr(0x30, mode)
    t.gr(0x32, operation)
    t.gr(0x33, extensions)
    for n: UInt8 in [0, 1, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x34, 0x35] {
      t.gr(n, numbers.byte())
    }
  }

  private func check(_ modes: [UInt8], extensions: [UInt8] = [0], rounds: Int = 2) {
    var numbers = Numbers(state: 20)
    let t = chip(&numbers)
    for operation in RasterOperation.allCases.map(\.rawValue) + [0x77] {
      for mode in modes {
        for pixel: UInt8 in 0..<4 {
          for extensions in extensions {
            for _ in 0..<rounds {
              request(
                t, &numbers, mode: mode | pixel << 4, extensions: extensions, operation: operation)
              let asked = t.vga.cirrus!.requested
              var model = BlitModel(memory: bytes(t), registers: asked)
              var system: [UInt8]?
              if mode & 0x04 != 0, !asked.isSolid {
                let rows = asked.mode.contains(.pattern) ? 1 : asked.height
                system = (0..<asked.systemRow * rows).map { _ in numbers.byte() }
              }
              model.run(system: system)
              t.gr(0x31, 0x02)
              if let system {
                #expect(t.status & 1 == 1)
                for byte in system { t.vga.writeLinear(0x100_0000, UInt32(byte), 1) }
              }
              t.now += 1_000_000_000
              #expect(t.status & 1 == 0)
              if bytes(t) != model.memory {
                Issue.record("mode \(mode | pixel << 4), operation \(operation): \(asked)")
                return
              }
            }
          }
        }
      }
    }
  }

  @Test func copiesInBothDirectionsOverEachOtherAndOverTheEnd() { check([0x00, 0x01], rounds: 3) }
  @Test func copiesLeaveAColourOut() { check([0x08, 0x09]) }
  @Test func patternsOfColours() { check([0x40]) }
  @Test func patternsOfBits() { check([0xC0, 0xC8], extensions: [0, 2]) }
  @Test func solidFills() { check([0xC0], extensions: [4]) }
  @Test func bitsBecomePixels() { check([0x80, 0x88], extensions: [0, 2]) }
  @Test func coloursFromTheProcessor() { check([0x04, 0x0C], rounds: 1) }
  @Test func bitsFromTheProcessor() { check([0x84, 0x8C], extensions: [0, 1, 3], rounds: 1) }
  @Test func patternsFromTheProcessor() { check([0x44, 0xC4], rounds: 1) }

  @Test func theProcessorGetsRows() {
    var numbers = Numbers(state: 7)
    let t = chip(&numbers)
    request(t, &numbers, mode: 0x02, operation: 0x0D)
    let asked = t.vga.cirrus!.requested
    t.gr(0x31, 0x02)
    for y in 0..<asked.height {
      for n in 0..<(asked.width + 3) & ~3 {
        let byte = t.vga.readLinear(0x100_0000, 1)
        #expect(byte == UInt32(t.memory[asked.source + y * asked.sourcePitch + n]))
      }
    }
    #expect(t.status & 1 == 0)
  }

  @Test func aStateInTheMidstOfATransferGoesOn() throws {
    var numbers = Numbers(state: 9)
    let t = chip(&numbers)
    request(t, &numbers, mode: 0x84, operation: 0x0D)
    let asked = t.vga.cirrus!.requested
    let data = (0..<asked.systemRow * asked.height).map { _ in numbers.byte() }
    t.gr(0x31, 0x02)
    for byte in data[..<(data.count / 2)] { t.vga.writeLinear(0, UInt32(byte), 1) }
    let other = TestCirrus()
    try other.restore(t.saved())
    #expect(other.saved() == t.saved())
    for t in [t, other] {
      for byte in data[(data.count / 2)...] { t.vga.writeLinear(0, UInt32(byte), 1) }
    }
    #expect(bytes(other) == bytes(t))
    #expect(other.status & 1 == 0)
  }

  /// A megabyte is copied in the time in which a processor copies it, so that who polls for its end does not wait for nothing.
  @Test func theEngineIsSeenBusyButNoLongerThanMemoryTakes() {
    let t = TestCirrus(megabytes: 4)
    for (n, value) in [
      (0x20, 0xFF), (0x21, 0x03), (0x22, 0xFF), (0x23, 0x03), (0x24, 0), (0x25, 4),
    ] {
      t.gr(UInt8(n), UInt8(value))
    }
    t.gr(0x27, 4)
    t.gr(0x2A, 0x10)
    t.gr(0x32, 0x0D)
    t.gr(0x31, 0x02)
    #expect(t.status & 1 == 1)
    t.now += 100_000
    #expect(t.status & 1 == 1)
    t.now += 150_000
    #expect(t.status & 1 == 0)
  }

  @Test func writingTheTargetStartsWhenThatIsAsked() {
    let t = TestCirrus()
    t.gr(0x01, 0x5A)
    t.gr(0x30, 0xC0)
    t.gr(0x32, 0x0D)
    t.gr(0x33, 0x04)
    t.gr(0x20, 3)
    t.gr(0x28, 0x10)
    t.gr(0x31, 0x80)
    t.gr(0x2A, 0)
    #expect(t.status & 0x81 == 0x81)
    #expect((0x0F...0x14).map { t.memory[$0] } == [0, 0x5A, 0x5A, 0x5A, 0x5A, 0])
    t.now += 1_000_000
    #expect(t.status == 0x80)
  }
}
