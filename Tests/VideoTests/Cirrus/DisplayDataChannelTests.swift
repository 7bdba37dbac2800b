// The monitor's identification by SR8 of the CL-GD5446, read as the I2C-bus specification says it: start, address A0h, number of the first
// byte, start again, address A1h, bytes with an acknowledgement each but for the last, stop.

import Testing

@testable import Video

@Suite struct DisplayDataChannelTests {
  /// The host's end of the wires.
  private struct Host {
    let t: TestCirrus
    private func wires(_ clock: Bool, _ data: Bool) {
      t.sr(8, 0xFC | (clock ? 1 : 0) | (data ? 2 : 0))
    }
    var data: Bool { t.sr(8) & 0x80 != 0 }
    var clock: Bool { t.sr(8) & 0x04 != 0 }

    func start() {
      wires(false, true)
      wires(true, true)
      wires(true, false)
      wires(false, false)
    }
    func stop() {
      wires(false, false)
      wires(true, false)
      wires(true, true)
    }
    private func pulse(_ out: Bool) -> Bool {
      wires(false, out)
      wires(true, out)
      let seen = data
      wires(false, out)
      return seen
    }
    /// - Returns: whether somebody acknowledges.
    func send(_ byte: UInt8) -> Bool {
      for bit in (0..<8).reversed() { _ = pulse(byte >> UInt8(bit) & 1 != 0) }
      return !pulse(true)
    }
    func receive(acknowledge: Bool) -> UInt8 {
      var byte: UInt8 = 0
      for _ in 0..<8 { byte = byte << 1 | (pulse(true) ? 1 : 0) }
      _ = pulse(!acknowledge)
      return byte
    }
  }

  private func read(_ host: Host, from first: UInt8, _ count: Int) -> [UInt8] {
    host.start()
    #expect(host.send(0xA0))
    #expect(host.send(first))
    host.start()
    #expect(host.send(0xA1))
    let bytes = (0..<count).map { host.receive(acknowledge: $0 < count - 1) }
    host.stop()
    return bytes
  }

  @Test func theBlockComesFromAnyByteOn() {
    let host = Host(t: TestCirrus())
    #expect(read(host, from: 0, 128) == EDID.block)
    #expect(read(host, from: 54, 4) == [0x64, 0x19, 0x00, 0x40])
    #expect(host.data && host.clock)
    // It goes on where it was.
    host.start()
    #expect(host.send(0xA1))
    #expect(host.receive(acknowledge: false) == EDID.block[58])
    // Behind the last comes the first.
    #expect(read(host, from: 127, 2) == [EDID.block[127], 0])
  }

  @Test func nobodyElseAnswers() {
    let host = Host(t: TestCirrus())
    for address: UInt8 in [0x00, 0x60, 0x6E, 0xA2, 0xA4, 0xFE] {
      host.start()
      #expect(!host.send(address))
      #expect(!host.send(0))
      host.stop()
    }
    // Nothing can be written.
    host.start()
    #expect(host.send(0xA0) && host.send(3))
    #expect(!host.send(0x55))
    host.stop()
    #expect(read(host, from: 3, 1) == [0xFF])
  }

  @Test func theSecondPairOfWiresLeadsNowhere() {
    let t = TestCirrus()
    t.gr(0x17, 0x60)
    let host = Host(t: t)
    host.start()
    #expect(!host.send(0xA0))
    t.gr(0x17, 0)
    #expect(read(host, from: 0, 3) == [0, 0xFF, 0xFF])
  }

  @Test func aStateInTheMidstOfAByteGoesOn() throws {
    let t = TestCirrus()
    let host = Host(t: t)
    host.start()
    #expect(host.send(0xA0) && host.send(8))
    host.start()
    #expect(host.send(0xA1))
    #expect(host.receive(acknowledge: true) == EDID.block[8])
    let other = TestCirrus()
    try other.restore(t.saved())
    #expect(Host(t: other).receive(acknowledge: false) == EDID.block[9])
    #expect(host.receive(acknowledge: false) == EDID.block[9])
  }

  /// Whatever is done to the wires has a result, and afterwards the block can be read.
  @Test func garbageOnTheWires() throws {
    let t = TestCirrus()
    var state: UInt64 = 7
    for _ in 0..<20_000 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      t.sr(8, UInt8(state >> 56))
    }
    let other = TestCirrus()
    try other.restore(t.saved())
    #expect(read(Host(t: t), from: 0, 128) == EDID.block)
    #expect(read(Host(t: other), from: 0, 128) == EDID.block)
  }
}
