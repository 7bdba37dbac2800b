// Devices that come, move and go in physical memory while a processor runs.

import Bus
import Testing

@testable import CPU

@Suite struct MemoryMapTests {
  private final class Card: Registers {
    var log: [String] = []
    func read(at offset: UInt32, width: Int) -> UInt32 {
      log.append("r\(offset).\(width)")
      return 0x4433_2211
    }
    func write(at offset: UInt32, _ value: UInt32, width: Int) {
      log.append("w\(offset).\(width)=\(value)")
    }
  }

  @Test func aCardOverRAMHidesItUntilItMoves() throws {
    let memory = try PhysicalMemory(ramSize: 4 << 20)
    let card = Card()
    memory.write(0x20_0000, 0xAABB_CCDD, width: 4)
    let id = memory.map(.of(card), at: 0x20_0000, count: 0x2000)
    #expect(memory.read(0x20_0000, width: 4) == 0x4433_2211)
    memory.write(0x20_1004, 7, width: 1)
    #expect(card.log == ["r0.4", "w4100.1=7"])
    // Bus masters do not reach it.
    #expect(memory.peek(0x20_0000, count: 2) == [0xFF, 0xFF])
    memory.move(id, to: 0xE000_0000)
    #expect(memory.read(0x20_0000, width: 4) == 0xAABB_CCDD)
    memory.write(0xE000_1000, 1, width: 2)
    #expect(card.log.last == "w4096.2=1")
    memory.unmap(id)
    #expect(memory.read(0xE000_0000, width: 4) == 0xFFFF_FFFF)
  }

  @Test func aROMIsSeenOverRAMAndACardOverBothByPriority() throws {
    let memory = try PhysicalMemory(ramSize: 2 << 20)
    let card = Card()
    try memory.mapROM([0x55, 0xAA], at: 0xC8000)
    #expect(memory.peek(0xC8000, count: 3) == [0x55, 0xAA, 0xFF])
    let below = memory.map(.of(card), at: 0xC8000, count: 0x1000)
    #expect(memory.read(0xC8000, width: 2) == 0xAA55)
    memory.unmap(below)
    let above = memory.map(.of(card), at: 0xC8000, count: 0x1000, priority: 2)
    #expect(memory.read(0xC8000, width: 2) == 0x4433_2211)
    memory.unmap(above)
    #expect(memory.read(0xC8000, width: 2) == 0xAA55)
    // Shadow RAM stands above the ROM.
    memory.setShadow(0xC8000...0xC8FFF, readRAM: true, writeRAM: true)
    memory.write(0xC8000, 0x12, width: 1)
    #expect(memory.read(0xC8000, width: 1) == 0x12)
    memory.setShadow(0xC8000...0xC8FFF, readRAM: false, writeRAM: false)
    #expect(memory.read(0xC8000, width: 2) == 0xAA55)
  }

  /// The window of unpaged code shows RAM by the host's own tables: it has to follow the map.
  @Test func theWindowFollowsTheMap() throws {
    let memory = try PhysicalMemory(ramSize: 4 << 20)
    memory.write(0x30_0000, 0x1234_5678, width: 4)
    guard let base = memory.openWindow() else { return }
    #expect(base.load(fromByteOffset: 0x30_0000, as: UInt32.self) == 0x1234_5678)
    let id = memory.map(.of(Card()), at: 0x30_0000, count: 0x1000)
    // All pages can be made writable again without showing the hidden one.
    memory.joinWindow()
    memory.unmap(id)
    #expect(base.load(fromByteOffset: 0x30_0000, as: UInt32.self) == 0x1234_5678)
    base.storeBytes(of: 0x55, toByteOffset: 0x30_0FFF, as: UInt8.self)
    #expect(memory.read(0x30_0FFF, width: 1) == 0x55)
  }
}
