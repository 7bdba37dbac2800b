// Expectations from the SDM's chapter on the APIC.

import Bus
import State
import Testing

@testable import Chipset

@Suite struct LocalAPICTests {
  /// An APIC enabled by software, as SVR = 1FFh does.
  private func make(_ time: TestClock) -> LocalAPIC {
    let apic = LocalAPIC(clock: time.clock)
    apic.write(0x0F0, 0x1FF)
    return apic
  }

  private func sendSelf(_ apic: LocalAPIC, _ vector: UInt32) { apic.write(0x300, 0x40000 | vector) }

  @Test func registersAfterReset() {
    let apic = LocalAPIC(clock: TestClock().clock)
    #expect(apic.read(0x020) == 0)
    #expect(apic.read(0x030) == 0x0004_0011)
    #expect(apic.read(0x0E0) == 0xFFFF_FFFF)
    #expect(apic.read(0x0F0) == 0xFF)
    for lvt: UInt32 in [0x320, 0x340, 0x370] { #expect(apic.read(lvt) == 0x10000) }
    #expect(apic.read(0x390) == 0)
    #expect(apic.read(0x024) == 0)
  }

  /// SDM volume 3, x2APIC state transitions: from disabled to enabled the APIC is as after power-up, and its ID is the initial one again.
  @Test func enablingGivesTheFirstIDAgain() {
    let apic = LocalAPIC(clock: TestClock().clock, number: 2)
    apic.write(0x020, 0x0500_0000)
    #expect(apic.read(0x020) == 0x0500_0000)
    // A new base alone changes nothing.
    apic.setBase(0xFED4_0900)
    #expect(apic.read(0x020) == 0x0500_0000)
    apic.setBase(0xFEE0_0100)
    apic.setBase(0xFEE0_0900)
    #expect(apic.read(0x020) == 0x0200_0000)
    #expect(apic.read(0x0F0) == 0xFF)
  }

  /// What may be read without an access: what neither changes anything nor depends on the time.
  @Test func plainReadsAreReads() {
    let time = TestClock()
    let apic = make(time)
    apic.write(0x320, 0x20040)
    apic.write(0x380, 1000)
    for offset in stride(from: UInt32(0), to: 0x400, by: 4) {
      if let value = apic.plainRead(at: offset, width: 4) {
        #expect(value == apic.read(at: offset, width: 4), "\(offset)")
      }
      #expect(apic.plainRead(at: offset, width: 1) == nil)
    }
    #expect(apic.plainRead(at: 0x020, width: 4) != nil)
    // The count goes with time, and what does not exist is an error.
    #expect(
      apic.plainRead(at: 0x390, width: 4) == nil && apic.plainRead(at: 0x3F0, width: 4) == nil)
    apic.setBase(0xFEE0_0100)
    #expect(apic.plainRead(at: 0x020, width: 4) == nil)
  }

  @Test func the8259PassesUntilLINT0IsMasked() {
    let apic = LocalAPIC(clock: TestClock().clock)
    apic.acknowledgeExternal = { 0x71 }
    apic.setLINT(0, true)
    #expect(apic.output.level)
    #expect(apic.acknowledge() == 0x71)
    apic.write(0x0F0, 0x1FF)
    apic.write(0x350, 0x10700)
    #expect(!apic.output.level)
    apic.write(0x350, 0x8700)
    #expect(apic.output.level)
    // Without the APIC the pin is INTR.
    apic.write(0x350, 0x10700)
    apic.setBase(0xFEE0_0100)
    #expect(apic.output.level)
    #expect(apic.read(0x030) == 0xFFFF_FFFF)
  }

  @Test func prioritiesAndEOI() {
    let apic = make(TestClock())
    sendSelf(apic, 0x31)
    sendSelf(apic, 0x45)
    #expect(apic.read(0x210) == 1 << 17)
    #expect(apic.read(0x220) == 1 << 5)
    #expect(apic.acknowledge() == 0x45)
    #expect(apic.read(0x120) == 1 << 5)
    #expect(apic.read(0x0A0) == 0x40)
    #expect(!apic.output.level)
    // The same class waits, a higher one interrupts.
    sendSelf(apic, 0x4F)
    #expect(!apic.output.level)
    sendSelf(apic, 0x50)
    #expect(apic.acknowledge() == 0x50)
    apic.write(0x0B0, 0)
    #expect(apic.read(0x0A0) == 0x40)
    apic.write(0x0B0, 0)
    #expect(apic.acknowledge() == 0x4F)
    apic.write(0x0B0, 0)
    apic.write(0x080, 0x35)
    #expect(!apic.output.level)
    #expect(apic.read(0x0A0) == 0x35)
    // APR: TPR is at least the request's class and above the service's.
    #expect(apic.read(0x090) == 0x35)
    apic.write(0x080, 0x2F)
    #expect(apic.output.level)
    #expect(apic.acknowledge() == 0x31)
  }

  @Test func destinations() {
    let apic = make(TestClock())
    apic.write(0x310, 0)
    apic.write(0x300, 0x40)
    #expect(apic.read(0x220) == 1)
    apic.write(0x310, 1 << 24)
    apic.write(0x300, 0x41)
    // All but self.
    apic.write(0x300, 0xC0042)
    #expect(apic.read(0x220) == 1)
    // Logical, flat and by cluster.
    apic.write(0x0D0, 0x0200_0000)
    apic.write(0x310, 0x0600_0000)
    apic.write(0x300, 0x843)
    #expect(apic.read(0x220) == 0b1001)
    apic.write(0x0E0, 0)
    apic.write(0x0D0, 0x1200_0000)
    apic.write(0x310, 0x2200_0000)
    apic.write(0x300, 0x844)
    #expect(apic.read(0x220) == 0b1001)
    apic.write(0x310, 0x1300_0000)
    apic.write(0x300, 0x844)
    #expect(apic.read(0x220) == 0b11001)
  }

  @Test func illegalVectorsAndRegistersAreErrors() {
    let apic = make(TestClock())
    apic.write(0x370, 0xE0)
    sendSelf(apic, 0x0F)
    #expect(apic.acknowledge() == 0xE0)
    // The register shows errors only after a write.
    #expect(apic.read(0x280) == 0)
    apic.write(0x280, 0)
    #expect(apic.read(0x280) == 0x20)
    _ = apic.read(0x040)
    apic.write(0x280, 0)
    #expect(apic.read(0x280) == 0x80)
    apic.write(0x280, 0)
    #expect(apic.read(0x280) == 0)
  }

  @Test func oneShotTimer() {
    let time = TestClock()
    let apic = make(time)
    apic.write(0x3E0, 0xB)  // divide by 1: 10 ns
    apic.write(0x320, 0x60)
    apic.write(0x380, 100)
    time.advance(505)
    #expect(apic.read(0x390) == 50)
    #expect(!apic.output.level)
    time.advance(494)
    #expect(!apic.output.level)
    time.advance(1)
    #expect(apic.acknowledge() == 0x60)
    apic.write(0x0B0, 0)
    time.advance(5000)
    #expect(apic.read(0x390) == 0)
    #expect(!apic.output.level)
  }

  @Test func periodicTimerWithDivider() {
    let time = TestClock()
    let apic = make(time)
    apic.write(0x3E0, 0x3)  // divide by 16: 160 ns
    apic.write(0x320, 0x20061)
    apic.write(0x380, 10)
    for _ in 0..<3 {
      time.advance(1599)
      #expect(!apic.output.level)
      time.advance(1)
      #expect(apic.acknowledge() == 0x61)
      apic.write(0x0B0, 0)
    }
    time.advance(320)
    #expect(apic.read(0x390) == 8)
    // The divider changes the rate of what is left.
    apic.write(0x3E0, 0x0)
    time.advance(20)
    #expect(apic.read(0x390) == 7)
    // Masked it goes on counting.
    apic.write(0x320, 0x30061)
    time.advance(1000)
    #expect(!apic.output.level)
    apic.write(0x380, 0)
    time.advance(10_000)
    #expect(apic.read(0x390) == 0)
  }

  @Test func disablingBySoftwareMasksTheTable() {
    let apic = make(TestClock())
    apic.write(0x320, 0x20060)
    apic.write(0x0F0, 0xFF)
    #expect(apic.read(0x320) == 0x30060)
    #expect(apic.read(0x350) == 0x10700)
    apic.write(0x320, 0x60)
    #expect(apic.read(0x320) == 0x10060)
    sendSelf(apic, 0x40)
    #expect(apic.read(0x220) == 0)
  }

  @Test func nmiByLINT1AndICR() {
    let apic = make(TestClock())
    var count = 0
    apic.nmi = { count += 1 }
    apic.setLINT(1, true)
    apic.setLINT(1, false)
    #expect(count == 1)
    apic.write(0x360, 0x10400)
    apic.setLINT(1, true)
    #expect(count == 1)
    apic.write(0x300, 0x40400)
    #expect(count == 2)
  }

  @Test func levelTriggeredLINT0ComesAgain() {
    let apic = make(TestClock())
    apic.write(0x350, 0x8050)
    apic.setLINT(0, true)
    #expect(apic.read(0x350) == 0xC050)
    #expect(apic.read(0x1A0) == 1 << 16)
    #expect(apic.acknowledge() == 0x50)
    apic.write(0x0B0, 0)
    #expect(apic.acknowledge() == 0x50)
    apic.setLINT(0, false)
    apic.write(0x0B0, 0)
    #expect(!apic.output.level)
    #expect(apic.read(0x350) == 0x8050)
  }

  @Test func savedStateContinuesIdentically() throws {
    let time = TestClock()
    let apic = make(time)
    apic.write(0x3E0, 0x2)
    apic.write(0x320, 0x20070)
    apic.write(0x380, 1234)
    sendSelf(apic, 0x33)
    time.advance(777)
    var writer = StateWriter()
    time.clock.save(to: &writer)
    apic.save(to: &writer)

    let otherTime = TestClock()
    let other = LocalAPIC(clock: otherTime.clock)
    otherTime.jump(to: time.now)
    var reader = StateReader(writer.bytes)
    try otherTime.clock.restore(from: &reader)
    try other.restore(from: &reader, version: apic.stateVersion)
    #expect(other.output.level)
    for _ in 0..<200 {
      time.advance(1111)
      otherTime.advance(1111)
      if apic.output.level {
        #expect(apic.acknowledge() == other.acknowledge())
        apic.write(0x0B0, 0)
        other.write(0x0B0, 0)
      }
      for offset in stride(from: UInt32(0), to: 0x1000, by: 4) {
        #expect(apic.read(offset) == other.read(offset))
      }
    }
  }
}
