// What devices show of themselves, after they were programmed through their ports. Expectations: IBM PS/2 Technical Reference (8042,
// keyboard, mouse), datasheets of the 8237A, 82077AA and 16550.

import Bus
import Testing

@testable import Chipset

@Suite struct InspectionTests {
  private func send(_ board: Board, mouse: Bool = false, _ bytes: UInt8...) {
    for byte in bytes {
      if mouse { board.out(0x64, 0xD4) }
      board.out(0x60, byte)
      for _ in 0..<12 {
        board.time.advance(1_000_000)
        if board.in(0x64) & 1 != 0 { _ = board.in(0x60) }
      }
    }
  }

  @Test func keyboardController() {
    let board = Board()
    let c = board.keyboardController
    board.out(0x64, 0x60)
    board.out(0x60, 0x47)
    #expect(c.inspect()["command byte"] == .register(0x47, digits: 2))
    #expect(c.inspect()["IRQ 1 enabled"] == .flag(true))
    #expect(c.inspect()["IRQ 12 enabled"] == .flag(true))
    #expect(c.inspect()["keyboard enabled"] == .flag(true))
    #expect(c.inspect()["mouse enabled"] == .flag(true))
    #expect(c.inspect()["translates"] == .flag(true))
    // A20 shut: bit 1 of the output port, which is not what the output buffer holds.
    board.out(0x64, 0xDD)
    board.out(0x64, 0xD2)
    board.out(0x60, 0x9C)
    #expect(c.inspect()["A20"] == .flag(false))
    #expect(c.inspect()["output port"] == .register(0xD1, digits: 2))
    #expect(c.inspect()["output buffer"] == .register(0x9C, digits: 2))
    #expect(c.inspect()["output full"] == .flag(true))
    #expect(c.inspect()["output from mouse"] == .flag(false))
    #expect(c.inspect()["IRQ 1"] == .flag(true))
    #expect(c.inspect()["IRQ 12"] == .flag(false))
    // Looking has taken nothing.
    #expect(board.in(0x60) == 0x9C)
    #expect(c.inspect()["output full"] == .flag(false))
    board.out(0x64, 0xDF)
    board.out(0x64, 0xD3)
    board.out(0x60, 0x11)
    #expect(c.inspect()["A20"] == .flag(true))
    #expect(c.inspect()["output port"] == .register(0xE3, digits: 2))
    #expect(c.inspect()["output from mouse"] == .flag(true))
    #expect(c.inspect()["IRQ 12"] == .flag(true))
    #expect(c.inspect()["status"] == .register(UInt64(board.in(0x64)), digits: 2))
    _ = board.in(0x60)
    board.out(0x64, 0x60)
    #expect(c.inspect()["awaits argument of"] == .register(0x60, digits: 2))
  }

  @Test func keyboard() {
    let board = Board()
    let c = board.keyboardController
    send(board, 0xF5, 0xED, 0x05, 0xF3, 0x20, 0xF0, 0x03)
    #expect(c.inspect()["keyboard.scanning"] == .flag(false))
    #expect(c.inspect()["keyboard.lights"] == .register(5, digits: 2))
    #expect(c.inspect()["keyboard.scroll lock"] == .flag(true))
    #expect(c.inspect()["keyboard.num lock"] == .flag(false))
    #expect(c.inspect()["keyboard.caps lock"] == .flag(true))
    #expect(c.inspect()["keyboard.rate and delay"] == .register(0x20, digits: 2))
    #expect(c.inspect()["keyboard.set"] == .count(3))
    send(board, 0xF0, 0x02, 0xF4)
    // The controller does not take codes while the keyboard is off.
    board.out(0x64, 0xAD)
    c.keyboard.key(.a, down: true)
    #expect(c.inspect()["keyboard.set"] == .count(2))
    #expect(c.inspect()["keyboard.buffer"] == .bytes([0x1C]))
    #expect(c.inspect()["keyboard.keys down"] == .text("a"))
    #expect(c.inspect()["keyboard enabled"] == .flag(false))
  }

  @Test func mouse() {
    let board = Board()
    let c = board.keyboardController
    send(board, mouse: true, 0xE8, 0x03, 0xE7, 0xF3, 200, 0xF3, 100, 0xF3, 80, 0xF0)
    #expect(c.inspect()["mouse.resolution"] == .count(3))
    #expect(c.inspect()["mouse.scaling"] == .count(2))
    #expect(c.inspect()["mouse.rate"] == .count(80))
    #expect(c.inspect()["mouse.id"] == .count(3))
    #expect(c.inspect()["mouse.remote"] == .flag(true))
    #expect(c.inspect()["mouse.reporting"] == .flag(false))
    send(board, mouse: true, 0xEA, 0xF4)
    c.mouse.button(.right, down: true)
    #expect(c.inspect()["mouse.remote"] == .flag(false))
    #expect(c.inspect()["mouse.reporting"] == .flag(true))
    #expect(c.inspect()["mouse.right"] == .flag(true))
    #expect(c.inspect()["mouse.left"] == .flag(false))
  }

  @Test func directMemoryAccess() {
    let board = Board()
    // Channel 2: single, to memory, auto-init; 7 bytes at 31234h.
    for (port, value) in [
      (0x0C, 0), (0x0B, 0x56), (0x04, 0x34), (0x04, 0x12), (0x81, 0x03), (0x05, 0x06), (0x05, 0),
      (0x0A, 0x02),
    ] as [(UInt16, UInt8)] { board.out(port, value) }
    let fields = board.dma.inspect()
    #expect(fields["controller 0.channel 2.physical"] == .register(0x31234, digits: 8))
    #expect(fields["controller 0.channel 2.base count"] == .register(6, digits: 4))
    #expect(fields["controller 0.channel 2.kind"] == .text("single"))
    #expect(fields["controller 0.channel 2.direction"] == .text("to memory"))
    #expect(fields["controller 0.channel 2.auto-init"] == .flag(true))
    #expect(fields["controller 0.channel 2.masked"] == .flag(false))
    #expect(fields["controller 0.channel 1.masked"] == .flag(true))
    // Channel 5 counts words: 20000h + 2 * 8000h.
    for (port, value) in [
      (0xD8, 0), (0xD6, 0x49), (0xC4, 0x00), (0xC4, 0x80), (0x8B, 0x03), (0xC6, 0xFF), (0xC6, 1),
    ] as [(UInt16, UInt8)] { board.out(port, value) }
    #expect(board.dma.inspect()["controller 1.channel 5.physical"] == .register(0x30000, digits: 8))
    #expect(board.dma.inspect()["controller 1.channel 5.direction"] == .text("from memory"))
  }

  @Test func serialPort() {
    let board = Board()
    for (offset, value) in [
      (3, 0x83), (0, 0x0C), (1, 0x00), (3, 0x1B), (1, 0x05), (2, 0xC7), (4, 0x0B), (7, 0x5A),
    ] as [(UInt16, UInt8)] { board.out(0x3F8 + offset, value) }
    let fields = board.com1.inspect()
    #expect(fields["divisor"] == .count(12))
    #expect(fields["baud"] == .count(9600))
    #expect(fields["lcr"] == .register(0x1B, digits: 2))
    #expect(fields["ier"] == .register(0x05, digits: 2))
    #expect(fields["mcr"] == .register(0x0B, digits: 2))
    #expect(fields["scratch"] == .register(0x5A, digits: 2))
    #expect(fields["FIFO"] == .flag(true))
    #expect(fields["interrupt"] == .flag(false))
  }

  /// Names are what views ask for: each appears once.
  @Test func namesAreUnique() {
    let board = Board()
    func check(_ fields: [Field], _ place: String) {
      let names = fields.map(\.name)
      #expect(Set(names).count == names.count, "\(place): \(names)")
      for field in fields {
        if case .group(let part) = field.value { check(part, "\(place).\(field.name)") }
      }
    }
    for device in board.devices { check(device.inspect(), device.stateName) }
  }
}
