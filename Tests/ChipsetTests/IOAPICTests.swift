// Expectations from the 82093AA data sheet.

import Bus
import State
import Testing

@testable import Chipset

@Suite struct IOAPICTests {
  private struct Pair {
    let local: LocalAPIC
    let bus: LocalAPICs
    let io: IOAPIC

    init() {
      local = LocalAPIC(clock: TestClock().clock)
      local.write(0x0F0, 0x1FF)
      bus = LocalAPICs(alone: local)
      io = IOAPIC(bus: bus)
    }

    func write(_ register: UInt32, _ value: UInt32) {
      io.write(0x00, register)
      io.write(0x10, value)
    }

    func read(_ register: UInt32) -> UInt32 {
      io.write(0x00, register)
      return io.read(0x10)
    }
  }

  @Test func registersAfterReset() {
    let pair = Pair()
    #expect(pair.read(1) == 0x0017_0011)
    for input in UInt32(0)..<24 {
      #expect(pair.read(0x10 + 2 * input) == 0x10000)
      #expect(pair.read(0x11 + 2 * input) == 0)
    }
    pair.write(0, 0xFFFF_FFFF)
    #expect(pair.read(0) == 0x0F00_0000)
  }

  @Test func edges() {
    let pair = Pair()
    pair.io.setIRQ(1, true)
    // Masked edges are lost.
    pair.write(0x12, 0x51)
    #expect(!pair.local.output.level)
    pair.io.setIRQ(1, false)
    pair.io.setIRQ(1, true)
    #expect(pair.local.acknowledge() == 0x51)
    pair.local.write(0x0B0, 0)
    #expect(!pair.local.output.level)
    // The timer is input 2.
    pair.write(0x14, 0x52)
    pair.io.setIRQ(0, true)
    #expect(pair.local.acknowledge() == 0x52)
  }

  @Test func levelsComeAgainAfterEOI() {
    let pair = Pair()
    pair.write(0x24, 0x8060)
    pair.io.setInput(10, true)
    #expect(pair.read(0x24) == 0xC060)
    #expect(pair.local.acknowledge() == 0x60)
    pair.local.write(0x0B0, 0)
    #expect(pair.local.acknowledge() == 0x60)
    pair.io.setInput(10, false)
    pair.local.write(0x0B0, 0)
    #expect(!pair.local.output.level)
    #expect(pair.read(0x24) == 0x8060)
    // A level that waited behind the mask is seen when it goes.
    pair.write(0x24, 0x18060)
    pair.io.setInput(10, true)
    #expect(!pair.local.output.level)
    pair.write(0x24, 0x8060)
    #expect(pair.local.output.level)
  }

  @Test func otherDestinationsGetNothing() {
    let pair = Pair()
    pair.write(0x13, 0x0100_0000)
    pair.write(0x12, 0x51)
    pair.io.setIRQ(1, true)
    #expect(!pair.local.output.level)
    #expect(pair.read(0x13) == 0x0100_0000)
  }

  @Test func stateRoundTrip() throws {
    let pair = Pair()
    pair.write(0x24, 0x8060)
    pair.io.setInput(10, true)
    var writer = StateWriter()
    pair.io.save(to: &writer)
    let other = Pair()
    var reader = StateReader(writer.bytes)
    try other.io.restore(from: &reader, version: 1)
    var again = StateWriter()
    other.io.save(to: &again)
    #expect(again.bytes == writer.bytes)
    #expect(other.read(0x24) == 0xC060)
  }
}
