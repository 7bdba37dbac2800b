// Expectations from the PC16550D data sheet.

import Testing

@testable import Chipset

@Suite struct UARTTests {
  /// 8N1 at 115,200: ten bits.
  private static let character: UInt64 = 86_806

  private func board(fifo: Bool) -> Board {
    let board = Board()
    board.initialisePICs()
    board.out(0x3FB, 0x80)
    board.out(0x3F8, 0x01)
    board.out(0x3F9, 0x00)
    board.out(0x3FB, 0x03)
    board.out(0x3FC, 0x0B)
    if fifo { board.out(0x3FA, 0x07) }
    return board
  }

  @Test func divisorLatchAndScratch() {
    let board = Board()
    board.out(0x3FB, 0x80)
    board.out(0x3F8, 0x34)
    board.out(0x3F9, 0x12)
    #expect(board.in(0x3F8) == 0x34)
    #expect(board.in(0x3F9) == 0x12)
    board.out(0x3FB, 0x03)
    board.out(0x3FF, 0xA5)
    #expect(board.in(0x3FF) == 0xA5)
    #expect(board.in(0x3FA) == 0x01)
    #expect(board.in(0x3FD) == 0x60)
  }

  @Test func transmissionTakesItsTime() {
    let board = board(fifo: false)
    board.out(0x3F8, 0x41)
    // The holding register empties into the shift register at once.
    #expect(board.in(0x3FD) == 0x20)
    board.out(0x3F8, 0x42)
    #expect(board.in(0x3FD) == 0x00)
    board.time.advance(Self.character)
    #expect(board.log.sent == [0x41])
    #expect(board.in(0x3FD) == 0x20)
    board.time.advance(Self.character)
    #expect(board.log.sent == [0x41, 0x42])
    #expect(board.in(0x3FD) == 0x60)
  }

  @Test func theTransmitInterruptAndItsClearing() {
    let board = board(fifo: true)
    board.out(0x3F9, 0x02)
    #expect(board.pic.irq(4).level)
    #expect(board.in(0x3FA) == 0xC2)
    #expect(!board.pic.irq(4).level)
    #expect(board.in(0x3FA) == 0xC1)
    for i in 0..<17 { board.out(0x3F8, UInt8(i)) }
    #expect(!board.pic.irq(4).level)
    board.time.advance(15 * Self.character)
    #expect(!board.pic.irq(4).level)
    board.time.advance(2 * Self.character)
    #expect(board.pic.irq(4).level)
    board.out(0x3F8, 0xFF)
    board.time.advance(5 * Self.character)
    #expect(board.log.sent == (0..<17).map { UInt8($0) } + [0xFF])
  }

  @Test func out2GatesTheInterrupt() {
    let board = board(fifo: false)
    board.out(0x3F9, 0x02)
    #expect(board.pic.irq(4).level)
    board.out(0x3FC, 0x03)
    #expect(!board.pic.irq(4).level)
    #expect(board.in(0x3FA) == 0x02)
  }

  @Test func receptionWithTriggerLevelAndTimeout() {
    let board = board(fifo: true)
    board.out(0x3FA, 0x41)  // four bytes
    board.out(0x3F9, 0x01)
    for i in 1...3 { #expect(board.com1.receive(UInt8(i))) }
    board.time.advance(3 * Self.character + 10)
    #expect(board.in(0x3FD) & 1 == 1)
    #expect(!board.pic.irq(4).level)
    // Four character times without another character.
    board.time.advance(4 * Self.character)
    #expect(board.in(0x3FA) == 0xCC)
    #expect(board.in(0x3F8) == 1)
    #expect(board.in(0x3FA) == 0xC1)
    _ = board.com1.receive(4)
    _ = board.com1.receive(5)
    board.time.advance(2 * Self.character + 10)
    #expect(board.in(0x3FA) == 0xC4)
    #expect(board.in(0x3F8) == 2)
    #expect(board.in(0x3FA) == 0xC1)
    for i in 3...5 { #expect(board.in(0x3F8) == UInt8(i)) }
    #expect(board.in(0x3FD) & 1 == 0)
  }

  @Test func inputWaitsForTheGuestUnlessTold() {
    let board = board(fifo: true)
    for i in 0..<40 { _ = board.com1.receive(UInt8(i)) }
    board.time.advance(100 * Self.character)
    for i in 0..<40 {
      #expect(board.in(0x3F8) == UInt8(i))
      board.time.advance(Self.character)
    }
    board.com1.losesInput = true
    for i in 0..<18 { _ = board.com1.receive(UInt8(i)) }
    board.time.advance(100 * Self.character)
    #expect(board.in(0x3FD) & 0x03 == 0x03)
    #expect(board.in(0x3FD) & 0x03 == 0x01)
    for i in 0..<16 { #expect(board.in(0x3F8) == UInt8(i)) }
    #expect(board.in(0x3FD) & 1 == 0)
  }

  @Test func theInputQueueIsBounded() {
    let board = Board()
    var taken = 0
    while board.com1.canReceive && taken < 10_000 {
      _ = board.com1.receive(0)
      taken += 1
    }
    #expect(taken == UART16550.inputCapacity)
    #expect(!board.com1.receive(0))
  }

  @Test func loopbackOfDataModemAndBreak() {
    let board = board(fifo: false)
    board.out(0x3FC, 0x10)
    _ = board.in(0x3FE)
    #expect(board.in(0x3FE) == 0x00)
    // DTR -> DSR, RTS -> CTS, OUT1 -> RI, OUT2 -> DCD
    board.out(0x3FC, 0x11)
    #expect(board.in(0x3FE) == 0x22)
    board.out(0x3FC, 0x12)
    #expect(board.in(0x3FE) == 0x13)
    board.out(0x3FC, 0x14)
    #expect(board.in(0x3FE) == 0x41)
    board.out(0x3FC, 0x18)
    #expect(board.in(0x3FE) == 0x8C)
    board.out(0x3F8, 0x5A)
    board.time.advance(Self.character)
    #expect(board.log.sent.isEmpty)
    #expect(board.in(0x3FD) == 0x61)
    #expect(board.in(0x3F8) == 0x5A)
    // Overrun: the second replaces the first.
    board.out(0x3F8, 1)
    board.time.advance(Self.character)
    board.out(0x3F8, 2)
    board.time.advance(Self.character)
    #expect(board.in(0x3FD) == 0x63)
    #expect(board.in(0x3F8) == 2)
    board.out(0x3FB, 0x43)
    #expect(board.in(0x3FD) & 0x11 == 0x11)
  }

  @Test func priorities() {
    let board = board(fifo: true)
    board.out(0x3FA, 0x01)
    board.out(0x3F9, 0x0F)
    board.com1.setModem(.init(clearToSend: false))
    _ = board.com1.receiveBreak()
    board.time.advance(2 * Self.character)
    #expect(board.in(0x3FA) & 0x0F == 0x06)
    #expect(board.in(0x3FD) & 0x9D == 0x99)
    #expect(board.in(0x3FA) & 0x0F == 0x04)
    #expect(board.in(0x3F8) == 0)
    #expect(board.in(0x3FA) & 0x0F == 0x02)
    #expect(board.in(0x3FA) & 0x0F == 0x00)
    #expect(board.in(0x3FE) == 0xA1)
    #expect(board.in(0x3FA) & 0x0F == 0x01)
    #expect(!board.pic.irq(4).level)
  }

  @Test func errorsShowWhenTheirCharacterIsAtTheTop() {
    let board = board(fifo: true)
    _ = board.com1.receive(0x31)
    _ = board.com1.receiveBreak()
    board.time.advance(3 * Self.character)
    #expect(board.in(0x3FD) & 0x9F == 0x81)
    #expect(board.in(0x3F8) == 0x31)
    #expect(board.in(0x3FD) & 0x9F == 0x99)
    #expect(board.in(0x3FD) & 0x9F == 0x01)
  }

  @Test func olderChips() {
    let time = TestClock()
    let old = UART16550(name: "old", clock: time.clock, irq: .init(), model: .i8250)
    old.write(at: 7, 0x55, width: 1)
    #expect(old.read(at: 7, width: 1) == 0xFF)
    old.write(at: 2, 0xC1, width: 1)
    #expect(old.read(at: 2, width: 1) == 0x01)
  }

  /// What is behind the port takes everything at once, but in the loop the divisor tells how long a character is on the line.
  @Test func aFastPortKeepsTheLinesPaceInTheLoopOnly() {
    let time = TestClock()
    let port = UART16550(name: "fast", clock: time.clock, irq: .init(), pace: .fast)
    func write(_ offset: UInt32, _ value: UInt32) { port.write(at: offset, value, width: 1) }
    func isEmpty() -> Bool { port.read(at: 5, width: 1) & 0x40 != 0 }
    var sent: [UInt8] = []
    port.transmit = { sent.append($0) }
    // 9,600 bits a second, 8 bits, no parity.
    write(3, 0x83)
    write(0, 12)
    write(1, 0)
    write(3, 0x03)
    write(0, 0x41)
    time.advance(9_999)
    #expect(!isEmpty())
    time.advance(1)
    #expect(isEmpty() && sent == [0x41])
    write(4, 0x10)
    write(0, 0x42)
    time.advance(1_000_000)
    #expect(!isEmpty())
    time.advance(50_000)
    #expect(isEmpty())
  }
}

@Suite struct SmallPortTests {
  @Test func thePrinterTakesAByteAndAcknowledges() {
    let board = Board()
    board.initialisePICs()
    #expect(board.in(0x379) == 0xDF)
    board.out(0x378, 0x41)
    board.out(0x37A, 0x1D)
    #expect(board.log.printed == [0x41])
    #expect(board.in(0x379) & 0x80 == 0)
    board.out(0x37A, 0x1C)
    board.time.advance(15_000)
    #expect(board.in(0x379) & 0x40 == 0)
    #expect(board.pic.acknowledge() == 0x0F)
    board.time.advance(10_000)
    #expect(board.in(0x379) == 0xDF)
    board.lpt.sink = nil
    #expect(board.in(0x379) == 0x7F)
    #expect(board.in(0x378) == 0x41)
  }

  @Test func debugConsoleAndExitPort() {
    var text: [UInt8] = []
    let console = DebugConsole { text.append($0) }
    #expect(console.read(at: 0, width: 1) == 0xE9)
    console.write(at: 0, 0x41, width: 1)
    #expect(text == [0x41])
    var codes: [Int] = []
    let exit = DebugExit { codes.append($0) }
    exit.write(at: 0, 0x00, width: 1)
    exit.write(at: 0, 0x10, width: 1)
    #expect(codes == [1, 33])
  }
}
