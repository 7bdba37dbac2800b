// Expectations from the MC146818 data sheet.

import State
import Testing

@testable import Chipset

@Suite struct CMOSTests {
  private func read(_ board: Board, _ index: UInt8) -> UInt8 {
    board.out(0x70, index)
    return board.in(0x71)
  }

  private func write(_ board: Board, _ index: UInt8, _ value: UInt8) {
    board.out(0x70, index)
    board.out(0x71, value)
  }

  private func date(_ board: Board) -> [UInt8] {
    [0x32, 9, 8, 7, 6, 4, 2, 0].map { read(board, $0) }
  }

  @Test func theInitialDateIsWhatTheMachineGave() {
    let board = Board()
    // Saturday 2001-02-03 04:05:06
    #expect(date(board) == [0x20, 0x01, 0x02, 0x03, 0x07, 0x04, 0x05, 0x06])
    board.cmos.setDate(951_782_400)  // Tuesday 2000-02-29
    #expect(date(board) == [0x20, 0x00, 0x02, 0x29, 0x03, 0, 0, 0])
    board.cmos.setDate(-1)
    #expect(date(board) == [0x19, 0x69, 0x12, 0x31, 0x04, 0x23, 0x59, 0x59])
    board.cmos.setDate(Int64.min)
    board.cmos.setDate(Int64.max)
  }

  @Test func timeRunsOnlyByVirtualTime() {
    let board = Board()
    board.time.advance(999_999_999)
    #expect(read(board, 0) == 0x06)
    board.time.advance(1)
    #expect(read(board, 0) == 0x07)
    // 26 days later it is 1 March.
    board.time.advance(26 * 86_400_000_000_000)
    #expect(date(board) == [0x20, 0x01, 0x03, 0x01, 0x05, 0x04, 0x05, 0x07])
    #expect(board.time.clock.nextDeadline == .max)
  }

  @Test func centuryRollover() {
    let board = Board()
    board.cmos.setDate(946_684_799)  // 1999-12-31 23:59:59, Friday
    board.time.advance(1_000_000_000)
    #expect(date(board) == [0x20, 0x00, 0x01, 0x01, 0x07, 0, 0, 0])
  }

  @Test func binaryAndTwelveHours() {
    let board = Board()
    write(board, 0x0B, 0x84)
    for (index, value) in [(4, 0x8B), (2, 59), (0, 59), (6, 7), (7, 31), (8, 12), (9, 99)] {
      write(board, UInt8(index), UInt8(value))
    }
    write(board, 0x32, 19)
    write(board, 0x0B, 0x04)
    board.time.advance(1_000_000_000)
    // 12 AM
    #expect(date(board) == [20, 0, 1, 1, 1, 12, 0, 0])
    board.time.advance(12 * 3_600_000_000_000)
    #expect(read(board, 4) == 0x8C)
    board.time.advance(3_600_000_000_000)
    #expect(read(board, 4) == 0x81)
  }

  /// QEMU 7.2 and Bochs 2.7 both show the time in the new format (qtest: /rtc/check-time/dec).
  @Test func aChangeOfTheModeAloneKeepsTheTime() {
    let board = Board()
    write(board, 0x0B, 0x82)
    for (index, value) in [
      (4, 0x23), (2, 0x59), (0, 0x58), (6, 7), (7, 0x31), (8, 0x12), (9, 0x98),
    ] {
      write(board, UInt8(index), UInt8(value))
    }
    write(board, 0x32, 0x19)
    write(board, 0x0B, 0x02)
    write(board, 0x0B, 0x06)
    #expect(
      [0, 2, 4, 6, 7, 8, 9, 0x32].map { read(board, $0) } == [58, 59, 23, 7, 31, 12, 98, 19])
    write(board, 0x0B, 0x00)
    #expect(read(board, 4) == 0x91)
    #expect(read(board, 9) == 0x98)
    // With SET the bytes stay as they are until they are set anew.
    write(board, 0x0B, 0x86)
    #expect(read(board, 9) == 0x98)
  }

  @Test func setStopsTheCalendar() {
    let board = Board()
    write(board, 0x0B, 0x82)
    board.time.advance(5_000_000_000)
    #expect(read(board, 0) == 0x06)
    #expect(read(board, 0x0C) & 0x10 == 0)
    write(board, 0x0B, 0x02)
    board.time.advance(1_000_000_000)
    #expect(read(board, 0) == 0x07)
    // SET clears UIE.
    write(board, 0x0B, 0x92)
    #expect(read(board, 0x0B) == 0x82)
  }

  @Test func uipPrecedesTheUpdate() {
    let board = Board()
    board.time.advance(990_000_000)
    #expect(read(board, 0x0A) == 0x26)
    // 1,984 us of update and 244 us of warning before it.
    board.time.advance(to: 1_000_000_000 - 2_300_000)
    #expect(read(board, 0x0A) == 0x26)
    board.time.advance(to: 1_000_000_000 - 2_200_000)
    #expect(read(board, 0x0A) == 0xA6)
    board.time.advance(to: 999_999_999)
    #expect(read(board, 0x0A) == 0xA6)
    board.time.advance(1)
    #expect(read(board, 0x0A) == 0x26)
    #expect(read(board, 0x0C) & 0x10 == 0x10)
  }

  @Test func theDividerStartsHalfASecondBeforeTheFirstUpdate() {
    let board = Board()
    board.time.advance(123_456_789)
    write(board, 0x0A, 0x76)
    board.time.advance(7_000_000_000)
    #expect(read(board, 0) == 0x06)
    write(board, 0x0A, 0x26)
    board.time.advance(499_000_000)
    #expect(read(board, 0) == 0x06)
    board.time.advance(1_100_000)
    #expect(read(board, 0) == 0x07)
  }

  @Test func periodicInterruptAt1024Hz() {
    let board = Board()
    board.initialisePICs()
    write(board, 0x0B, 0x42)
    var count = 0
    for _ in 0..<10_000 {
      board.time.advance(100_000)
      if board.pic.output.level {
        #expect(board.pic.acknowledge() == 0x70)
        #expect(read(board, 0x0C) & 0xC0 == 0xC0)
        board.out(0xA0, 0x20)
        board.out(0x20, 0x20)
        count += 1
      }
    }
    #expect(count == 1024)
    #expect(read(board, 0x0C) & 0xC0 == 0)
  }

  @Test func alarmAtATimeAndWithDontCare() {
    let board = Board()
    board.initialisePICs()
    write(board, 1, 0x10)
    write(board, 3, 0x05)
    write(board, 5, 0x04)
    write(board, 0x0B, 0x22)
    board.time.advance(3_999_999_999)
    #expect(!board.pic.output.level)
    board.time.advance(1)
    #expect(board.pic.output.level)
    // PF and UF are set whether enabled or not.
    #expect(read(board, 0x0C) == 0xF0)
    #expect(!board.pic.irq(8).level)
    // Every minute at second 10.
    write(board, 3, 0xC0)
    write(board, 5, 0xFF)
    let start = board.time.now
    for _ in 0..<700 where !board.pic.irq(8).level { board.time.advance(100_000_000) }
    #expect(board.time.now - start == 60_000_000_000)
    // An alarm that cannot match needs no event.
    _ = read(board, 0x0C)
    write(board, 1, 0x77)
    #expect(board.time.clock.nextDeadline == .max)
  }

  @Test func updateEndedInterruptAndRegisterC() {
    let board = Board()
    write(board, 0x0B, 0x12)
    board.time.advance(1_000_000_000)
    #expect(board.pic.irq(8).level)
    #expect(read(board, 0x0C) & 0x90 == 0x90)
    #expect(read(board, 0x0C) == 0)
    #expect(!board.pic.irq(8).level)
    write(board, 0x0C, 0xFF)
    write(board, 0x0D, 0x00)
    #expect(read(board, 0x0C) == 0)
    #expect(read(board, 0x0D) == 0x80)
  }

  @Test func aFlagRaisedBeforeItsEnableInterruptsWhenEnabled() {
    let board = Board()
    board.time.advance(1_500_000_000)
    write(board, 0x0B, 0x12)
    #expect(board.pic.irq(8).level)
  }

  @Test func memoryNMIMaskAndChecksum() {
    let board = Board()
    write(board, 0x40, 0xA5)
    #expect(read(board, 0x40) == 0xA5)
    #expect(board.cmos[0x40] == 0xA5)
    board.out(0x70, 0x8F)
    #expect(board.cmos.nmiMask.level)
    board.out(0x70, 0x0F)
    #expect(!board.cmos.nmiMask.level)
    for i in UInt8(0x10)...0x2D { board.cmos[i] = 0xFF }
    board.cmos.updateChecksum()
    #expect(UInt16(board.cmos[0x2E]) << 8 | UInt16(board.cmos[0x2F]) == 30 * 255)
  }

  @Test func theUpperBankHasBytesOfItsOwn() throws {
    let board = Board()
    let bank = CMOSUpperBank()
    board.bus.map(bank, at: CMOSUpperBank.ports)
    board.out(0x70, 0x40)
    board.out(0x71, 0x11)
    board.out(0x72, 0xC0)
    board.out(0x73, 0x22)
    #expect(board.in(0x72) == 0xFF && board.in(0x73) == 0x22 && board.in(0x71) == 0x11)
    board.out(0x72, 0x7F)
    board.out(0x73, 0x33)
    bank.reset(.power)
    #expect(board.in(0x73) == 0 && bank[0x40] == 0x22 && bank[0x7F] == 0x33)
    var writer = StateWriter()
    bank.save(to: &writer)
    let other = CMOSUpperBank()
    var reader = StateReader(writer.bytes)
    try other.restore(from: &reader, version: 1)
    #expect(other[0x40] == 0x22 && other[0x7F] == 0x33 && reader.remaining == 0)
  }
}
