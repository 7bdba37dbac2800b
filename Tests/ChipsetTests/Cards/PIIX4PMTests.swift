// Tests of the power management function: registers as Intel 290562 (82371AB) has them, the fixed hardware of the ACPI specification 1.0,
// 4.7.

import Bus
import State
import TestSupport
import Testing

@testable import Chipset

@Suite struct PIIX4PMTests {
  /// No memory at all.
  private final class NoMemory: MemoryMap {
    private let space = AddressSpace<PhysicalAddress, RegisterFile>()
    func map(
      _ file: RegisterFile, at address: PhysicalAddress, count: UInt64, isMemory: Bool,
      priority: Int
    ) -> MappingID {
      space.map(file, at: address...PhysicalAddress(address.value + count - 1), priority: priority)
    }
    func unmap(_ id: MappingID) { space.unmap(id) }
    func move(_ id: MappingID, to address: PhysicalAddress) { space.move(id, to: address) }
    func setShadow(_ range: ClosedRange<UInt32>, readRAM: Bool, writeRAM: Bool) {}
  }

  /// A board with interrupt controllers, a bridge and the function, whose registers are at 600h.
  private final class World {
    let time = TestClock()
    let ports = PortSpace()
    final class Log { var requests: [BoardRequest] = [] }
    let log = Log()
    let smi = ManagementInterrupt()
    let board: Bus.Board
    let pm: PIIX4PM

    init(places: Bool = true) throws {
      let log = log
      board = Bus.Board(clock: time.clock, ports: ports, memory: NoMemory()) {
        log.requests.append($0)
      }
      board.offer(PCIBus(board))
      board.offer(smi)
      board.offer(MemorySize(megabytes: 64))
      for part in [PIC8259Pair.part, I440FX.part, PIIX3.part, PIIX4PM.part] {
        try part.add(board, part.values(""))
      }
      pm = try board.need(PIIX4PM.self, for: "a test")
      if places {
        configure(0x40, 0x601)
        configure(0x80, 1)
      }
    }

    func configure(_ register: UInt32, _ value: UInt32) {
      ports.write(0xCF8, 0x8000_0B00 | register, width: 4)
      ports.write(0xCFC, value, width: 4)
    }
    func configuration(_ register: UInt32) -> UInt32 {
      ports.write(0xCF8, 0x8000_0B00 | register, width: 4)
      return ports.read(0xCFC, width: 4)
    }
    func read(_ offset: UInt16, _ width: Int = 2) -> UInt32 {
      ports.read(0x600 + offset, width: width)
    }
    func write(_ offset: UInt16, _ value: UInt32, _ width: Int = 2) {
      ports.write(0x600 + offset, value, width: width)
    }
    var sci: Bool { pm.sci.level }
    /// As a system does it.
    func enableACPI() { ports.write(0xB2, 0xF1, width: 1) }
  }

  @Test func configurationSpaceIsThePIIX4s() throws {
    let w = try World(places: false)
    #expect(w.configuration(0x00) == 0x7113_8086)
    #expect(w.configuration(0x04) == 0x0280_0000)
    #expect(w.configuration(0x08) >> 8 == 0x068000)
    #expect(w.configuration(0x3C) & 0xFF00 == 0x0100)
    #expect(w.configuration(0x40) == 0x0000_0001)
    // Steppings of 3 and more have a timer that can be read at once.
    #expect(w.configuration(0x08) & 0xFF == 3)
    w.configure(0x40, 0xFFFF_FFFF)
    #expect(w.configuration(0x40) == 0x0000_FFC1)
    w.configure(0x90, 0xFFFF_FFFF)
    #expect(w.configuration(0x90) == 0x0000_FFF1)
    w.configure(0xD0, 0xFFFF_FFFF)
    #expect(w.configuration(0xD0) & 0x00FF_0000 == 0)
  }

  @Test func registersAreWhereTheBaseSaysWhileTheyAreSwitchedOn() throws {
    let w = try World(places: false)
    w.configure(0x40, 0x0E01)
    #expect(w.ports.read(0xE08, width: 4) == UInt32.max)
    w.configure(0x80, 1)
    w.time.advance(1_000_000)
    #expect(w.ports.read(0xE08, width: 4) == 3579)
    w.configure(0x40, 0x0601)
    #expect(w.ports.read(0xE08, width: 4) == UInt32.max)
    #expect(w.ports.read(0x608, width: 4) == 3579)
    #expect(w.ports.read(0x640, width: 4) == UInt32.max)
    w.configure(0x80, 0)
    #expect(w.ports.read(0x608, width: 4) == UInt32.max)
  }

  @Test func theTimerRunsAt3579545HertzAnd24BitsWide() throws {
    let w = try World()
    w.time.advance(1_000_000_000)
    #expect(w.read(8, 4) == 3_579_545)
    #expect(w.read(8, 2) == 3_579_545 & 0xFFFF)
    #expect(w.read(10, 1) == 3_579_545 >> 16)
    w.time.advance(4_000_000_000)
    #expect(w.read(8, 4) == 5 * 3_579_545 - 1 << 24)
    w.write(8, 0, 4)
    #expect(w.read(8, 4) == 5 * 3_579_545 - 1 << 24)
  }

  @Test func everyChangeOfTheTimersUpperBitSetsItsStatus() throws {
    let w = try World()
    // 2^23 periods take 2343.48 ms.
    w.time.advance(2_343_000_000)
    #expect(w.read(0) & 1 == 0)
    w.time.advance(1_000_000)
    #expect(w.read(0) & 1 == 1)
    w.write(0, 0xFFFE)
    #expect(w.read(0) & 1 == 1)
    w.write(0, 1)
    #expect(w.read(0) & 1 == 0)
    // The bit falls again: a change, too.
    w.time.advance(2_342_000_000)
    #expect(w.read(0) & 1 == 0)
    w.time.advance(1_000_000)
    #expect(w.read(0) & 1 == 1)
  }

  @Test func theTimersStatusInterruptsAtTheMoment() throws {
    let w = try World()
    w.enableACPI()
    w.write(2, 1)
    w.time.advance(to: 2_343_000_000)
    #expect(!w.sci)
    let deadline = w.time.clock.nextDeadline
    #expect((2_343_000_000...2_344_000_000).contains(deadline))
    w.time.advance(to: deadline - 1)
    #expect(!w.sci && w.read(8, 4) == 0x7F_FFFF)
    w.time.advance(to: deadline)
    #expect(w.sci && w.read(8, 4) == 0x80_0000)
    w.write(0, 1)
    #expect(!w.sci)
    w.time.advance(to: 2 * deadline)
    #expect(w.sci)
    w.write(2, 0)
    #expect(!w.sci)
    #expect(w.time.clock.nextDeadline == VirtualClock.never)
  }

  @Test func theButtonInterruptsAGuestThatWantsItAndHasTheControl() throws {
    let w = try World()
    w.enableACPI()
    #expect(w.pm.isControlled && !w.pm.tellsOfButton)
    w.write(2, 0x0100)
    #expect(w.pm.tellsOfButton && !w.sci)
    w.pm.pressButton()
    #expect(w.sci && w.read(0) == 0x0100)
    #expect(w.log.requests == [])
    w.write(0, 0x0100)
    #expect(!w.sci && w.read(0) == 0)
  }

  @Test func theButtonTurnsAMachineOffOfWhichNobodyHasTheControl() throws {
    let w = try World()
    w.write(2, 0x0100)
    w.pm.pressButton()
    #expect(w.log.requests == [.powerOff])
    #expect(w.read(0) == 0 && !w.sci)
  }

  @Test func controlIsGivenAndTakenThroughPortB2() throws {
    let w = try World()
    #expect(w.read(4) == 0)
    w.enableACPI()
    #expect(w.read(4) == 1)
    #expect(w.ports.read(0xB2, width: 1) == 0xF1)
    w.ports.write(0xB2, 0x55, width: 1)
    #expect(w.read(4) == 1)
    w.ports.write(0xB2, 0xF0, width: 1)
    #expect(w.read(4) == 0)
    // APM_STS.
    #expect(w.read(0x18) & 0x20 != 0)
    w.write(0x18, 0x20)
    #expect(w.read(0x18) == 0)
    w.ports.write(0xB3, 0xA5, width: 1)
    #expect(w.ports.read(0xB3, width: 1) == 0xA5)
  }

  /// 82371AB: DEVACTB's APMC_EN and GLBCTL's SMI_EN, both.
  @Test func writesToPortB2AssertSMIWhereTheyAreLetTo() throws {
    let w = try World()
    var count = 0
    w.smi.raised = { count += 1 }
    w.ports.write(0xB2, 0x55, width: 1)
    w.configure(0x58, 1 << 25)
    w.ports.write(0xB2, 0x55, width: 1)
    #expect(count == 0)
    w.write(0x28, 1)
    w.ports.write(0xB2, 0x55, width: 1)
    #expect(count == 1)
    w.ports.write(0xB3, 0x55, width: 1)
    #expect(count == 1)
    w.configure(0x58, 0)
    w.ports.write(0xB2, 0x55, width: 1)
    #expect(count == 1)
  }

  @Test func onlySleepTypeZeroTurnsTheMachineOff() throws {
    let w = try World()
    for type in UInt32(1)...7 {
      w.write(4, type << 10 | 1 << 13 | 1)
      #expect(w.read(4) == type << 10 | 1)
    }
    #expect(w.log.requests == [])
    // The type alone does nothing; a byte is enough.
    w.write(4, 1)
    #expect(w.log.requests == [])
    w.write(5, 0x20, 1)
    #expect(w.log.requests == [.powerOff])
    #expect(w.read(4) == 1)
  }

  @Test func globalLocksReleaseTellsTheOtherSide() throws {
    let w = try World()
    w.enableACPI()
    w.write(2, 0x0020)
    // GBL_RLS sets BIOS_STS, BIOS_RLS sets GBL_STS.
    w.write(4, 0x0005)
    #expect(w.read(4) == 1)
    #expect(w.read(0x18) & 0x08 != 0)
    w.write(0x28, 0x0001_0003, 4)
    #expect(w.read(0x28, 4) == 0x0001_0001)
    #expect(w.read(0) == 0x20 && w.sci)
    w.write(0, 0x20)
    #expect(!w.sci)
  }

  @Test func theClocksInterruptSetsItsStatus() throws {
    let w = try World()
    let clock = try w.board.interrupt(8, for: "a test")
    w.enableACPI()
    w.write(2, 0x0400)
    clock.set(true)
    #expect(w.sci && w.read(0) == 0x0400)
    w.write(0, 0x0400)
    #expect(!w.sci)
    clock.set(false)
    #expect(!w.sci && w.read(0) == 0)
  }

  @Test func generalEventsHaveTheirEnablesAndNoStatus() throws {
    let w = try World()
    w.enableACPI()
    w.write(0x0C, 0xFFFF_FFFF, 4)
    #expect(w.read(0x0C, 4) == 0x0F01_0000)
    #expect(!w.sci)
  }

  @Test func theInterruptIsIRQ9() throws {
    let w = try World()
    func out(_ port: UInt16, _ value: UInt32) { w.ports.write(port, value, width: 1) }
    for (port, value): (UInt16, UInt32) in [
      (0x20, 0x11), (0x21, 8), (0x21, 4), (0x21, 1), (0xA0, 0x11), (0xA1, 0x70), (0xA1, 2),
      (0xA1, 1), (0x21, 0xFB), (0xA1, 0xFD), (0x4D1, 0x02),
    ] { out(port, value) }
    let pic = try w.board.need(PIC8259Pair.self, for: "a test")
    w.enableACPI()
    w.write(2, 0x0100)
    #expect(!pic.output.level)
    w.pm.pressButton()
    #expect(pic.output.level && pic.acknowledge() == 0x71)
    // Level-triggered: it comes again until the status is cleared.
    out(0xA0, 0x20)
    out(0x20, 0x20)
    #expect(pic.output.level)
    w.write(0, 0x0100)
    #expect(!pic.output.level)
  }

  @Test func aResetStartsTheTimerAgainAndTakesTheRegistersAway() throws {
    let w = try World()
    w.enableACPI()
    w.write(2, 0x0101)
    w.pm.pressButton()
    w.time.advance(5_000_000_000)
    w.pm.reset(.system)
    #expect(w.ports.read(0x608, width: 4) == UInt32.max && !w.sci)
    #expect(!w.pm.isControlled)
    w.configure(0x40, 0x601)
    w.configure(0x80, 1)
    #expect(w.read(0, 4) == 0 && w.read(8, 4) == 0)
    w.time.advance(1_000_000)
    #expect(w.read(8, 4) == 3579)
  }

  @Test func aStateGoesOnWhereItWasSaved() throws {
    let w = try World()
    w.enableACPI()
    w.write(2, 0x0101)
    w.write(4, 0x1401)
    w.write(0x34, 0x1234_5678, 4)
    w.time.advance(3_000_000_000)
    w.pm.pressButton()
    w.ports.write(0xB3, 7, width: 1)
    var writer = StateWriter()
    w.time.clock.save(to: &writer)
    w.pm.save(to: &writer)
    let other = try World(places: false)
    other.time.jump(to: w.time.now)
    var reader = StateReader(writer.bytes)
    try other.time.clock.restore(from: &reader)
    try other.pm.restore(from: &reader, version: 1)
    #expect(reader.remaining == 0)
    for offset in stride(from: UInt16(0), to: 0x40, by: 4) {
      #expect(other.read(offset, 4) == w.read(offset, 4), "register \(offset)")
    }
    #expect(other.ports.read(0xB3, width: 1) == 7)
    #expect(other.sci && other.read(0) == 0x0101)
  }

  @Test func aStateOfTheFutureIsRefused() throws {
    let w = try World()
    w.time.advance(1000)
    w.pm.reset(.system)
    var writer = StateWriter()
    w.pm.save(to: &writer)
    let other = try World()
    var reader = StateReader(writer.bytes)
    #expect(throws: StateError.self) { try other.pm.restore(from: &reader, version: 1) }
  }

  @Test func anyWriteAnywhereIsHarmless() throws {
    let w = try World()
    var random = Random(seed: 7113)
    for _ in 0..<20_000 {
      let offset = UInt16(random.next() & 0x3F)
      let width = [1, 2, 4][Int(random.next() % 3)]
      w.write(offset, UInt32(truncatingIfNeeded: random.next()), width)
      _ = w.read(offset, width)
      w.time.advance(random.next() % 100_000_000)
      if random.next() % 64 == 0 { w.pm.pressButton() }
    }
    // What reserved bits were written with reads 0.
    #expect(w.read(2) & ~0x0521 == 0 && w.read(4) & ~0x1C03 == 0)
  }
}
