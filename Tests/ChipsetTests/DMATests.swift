// Expectations from the 8237A data sheet and the IBM AT Technical Reference.

import Testing

@testable import Chipset

@Suite struct DMATests {
  private func program(
    _ board: Board, channel: Int, address: UInt16, count: UInt16, page: UInt8, mode: UInt8
  ) {
    let low = channel < 4
    let n = UInt16(channel & 3)
    func port(_ register: UInt16) -> UInt16 { low ? register : 0xC0 + register * 2 }
    board.out(port(10), UInt8(n) | 4)
    board.out(port(12), 0)
    board.out(port(n * 2), UInt8(address & 0xFF))
    board.out(port(n * 2), UInt8(address >> 8))
    board.out(port(n * 2 + 1), UInt8(count & 0xFF))
    board.out(port(n * 2 + 1), UInt8(count >> 8))
    board.out(0x80 + [0x7, 0x3, 0x1, 0x2, 0xF, 0xB, 0x9, 0xA][channel], page)
    board.out(port(11), mode | UInt8(n))
    board.out(port(10), UInt8(n))
  }

  private func toMemory(_ board: Board, _ channel: Int, _ bytes: [UInt8]) -> DMATransfer {
    bytes.withUnsafeBytes { board.dma.transferToMemory(channel: channel, from: $0) }
  }

  private func fromMemory(
    _ board: Board, _ channel: Int, _ count: Int
  ) -> (DMATransfer, [UInt8]) {
    var bytes = [UInt8](repeating: 0, count: count)
    let result = bytes.withUnsafeMutableBytes {
      board.dma.transferFromMemory(channel: channel, into: $0)
    }
    return (result, bytes)
  }

  @Test func aSectorInTwoParts() {
    let board = Board()
    program(board, channel: 2, address: 0x7C00, count: 511, page: 0x01, mode: 0x44)
    #expect(board.dma.bytesLeft(channel: 2) == 512)
    let data = (0..<600).map { UInt8(truncatingIfNeeded: $0 * 7) }
    #expect(
      toMemory(board, 2, Array(data[..<100])) == DMATransfer(count: 100, terminalCount: false))
    #expect(toMemory(board, 2, Array(data[100...])) == DMATransfer(count: 412, terminalCount: true))
    #expect(Array(board.memory.bytes[0x17C00..<0x17E00]) == Array(data[..<512]))
    #expect(board.memory.bytes[0x17E00] == 0)
    // Status shows the terminal count once; the channel masked itself; the count is FFFFh.
    #expect(board.in(0x08) == 0x04)
    #expect(board.in(0x08) == 0x00)
    #expect(board.in(0x0F) & 0x04 == 0x04)
    #expect(toMemory(board, 2, [1]) == DMATransfer(count: 0, terminalCount: false))
    board.out(0x0C, 0)
    #expect(board.in(0x04) == 0x00)
    #expect(board.in(0x04) == 0x7E)
    #expect(board.in(0x05) == 0xFF)
    #expect(board.in(0x05) == 0xFF)
  }

  @Test func theAddressWrapsWithinThePage() {
    let board = Board()
    program(board, channel: 1, address: 0xFFFE, count: 3, page: 0x05, mode: 0x44)
    #expect(toMemory(board, 1, [1, 2, 3, 4]) == DMATransfer(count: 4, terminalCount: true))
    #expect(board.memory.bytes[0x5FFFE] == 1)
    #expect(board.memory.bytes[0x5FFFF] == 2)
    #expect(board.memory.bytes[0x50000] == 3)
    #expect(board.memory.bytes[0x50001] == 4)
    #expect(board.memory.bytes[0x60000] == 0)
  }

  @Test func autoInitialisationStartsOver() {
    let board = Board()
    program(board, channel: 3, address: 0x100, count: 1, page: 0, mode: 0x58)
    board.memory.bytes[0x100] = 0xAA
    board.memory.bytes[0x101] = 0xBB
    for _ in 0..<3 {
      let (result, bytes) = fromMemory(board, 3, 5)
      #expect(result == DMATransfer(count: 2, terminalCount: true))
      #expect(bytes == [0xAA, 0xBB, 0, 0, 0])
    }
    #expect(board.dma.isReady(channel: 3))
  }

  @Test func addressDecrement() {
    let board = Board()
    program(board, channel: 2, address: 0x0001, count: 3, page: 0x02, mode: 0x64)
    #expect(toMemory(board, 2, [1, 2, 3, 4]).terminalCount)
    #expect(board.memory.bytes[0x20001] == 1)
    #expect(board.memory.bytes[0x20000] == 2)
    #expect(board.memory.bytes[0x2FFFF] == 3)
    #expect(board.memory.bytes[0x2FFFE] == 4)
  }

  @Test func verifyMovesNothing() {
    let board = Board()
    program(board, channel: 2, address: 0x200, count: 1, page: 0, mode: 0x40)
    #expect(toMemory(board, 2, [1, 2]) == DMATransfer(count: 2, terminalCount: true))
    #expect(board.memory.bytes[0x200] == 0)
  }

  @Test func sixteenBitChannelsCountWords() {
    let board = Board()
    // Address and count in words; bit 0 of the page is not used.
    program(board, channel: 5, address: 0x8000, count: 1, page: 0x13, mode: 0x44)
    #expect(board.dma.bytesLeft(channel: 5) == 4)
    #expect(toMemory(board, 5, [1, 2, 3, 4, 5]) == DMATransfer(count: 4, terminalCount: true))
    #expect(Array(board.memory.bytes[0x130000..<0x130004]) == [1, 2, 3, 4])
    #expect(board.in(0xD0) == 0x02)
  }

  @Test func maskDisableAndCascadeStopTransfers() {
    let board = Board()
    program(board, channel: 2, address: 0, count: 9, page: 0, mode: 0x44)
    #expect(board.dma.isReady(channel: 2))
    board.out(0x08, 0x04)
    #expect(!board.dma.isReady(channel: 2))
    board.out(0x08, 0x00)
    board.out(0x0F, 0x04)
    #expect(!board.dma.isReady(channel: 2))
    board.out(0x0E, 0)
    #expect(board.dma.isReady(channel: 2))
    // The first controller hangs on channel 4.
    board.out(0xDA, 0)
    #expect(!board.dma.isReady(channel: 2))
    board.out(0xD4, 0x00)
    #expect(board.dma.isReady(channel: 2))
    #expect(!board.dma.isReady(channel: 4))
    #expect(!board.dma.isReady(channel: -1))
    #expect(!board.dma.isReady(channel: 8))
  }

  @Test func theFlipFlopServesAllRegistersAndMasterClearResetsIt() {
    let board = Board()
    board.out(0x0C, 0)
    board.out(0x00, 0x34)
    board.out(0x0D, 0)
    board.out(0x00, 0x78)
    board.out(0x00, 0x56)
    #expect(board.in(0x00) == 0x78)
    #expect(board.in(0x00) == 0x56)
    #expect(board.in(0x0F) & 0x0F == 0x0F)
  }

  @Test func requestsShowInTheStatus() {
    let board = Board()
    board.dma.setRequest(channel: 2, true)
    board.out(0x09, 0x05)
    #expect(board.in(0x08) == 0x60)
    board.dma.setRequest(channel: 2, false)
    board.out(0x09, 0x01)
    #expect(board.in(0x08) == 0x00)
  }

  @Test func sparePageRegistersKeepBytesAndPort80IsThePostCode() {
    let board = Board()
    for port in UInt16(0x80)...0x8F { board.out(port, UInt8(port)) }
    for port in UInt16(0x80)...0x8F { #expect(board.in(port) == UInt8(port)) }
    #expect(board.post.history == [0x80])
    board.out(0x80, 0x12)
    board.out(0x80, 0x12)
    board.out(0x80, 0x34)
    #expect(board.post.history == [0x80, 0x12, 0x34])
  }
}
