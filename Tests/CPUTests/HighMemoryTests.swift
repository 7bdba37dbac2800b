// RAM and devices above 4 GiB as bus masters, debuggers and snapshots see them; what processors see is TestROMs/cpu/system/highmemory.asm.

import Bus
import Testing

@testable import CPU

@Suite struct HighMemoryTests {
  private static let start: UInt64 = 1 << 32
  private let memory: PhysicalMemory

  init() throws { memory = try PhysicalMemory(RAMLayout(low: 4 << 20, high: 12 << 30)) }

  private func write(_ address: UInt64, _ bytes: [UInt8]) {
    bytes.withUnsafeBytes { BusMasterView(memory).write(PhysicalAddress(address), from: $0) }
  }

  private func read(_ address: UInt64, _ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    bytes.withUnsafeMutableBytes {
      BusMasterView(memory).read(PhysicalAddress(address), into: $0)
    }
    return bytes
  }

  @Test func busMastersReachItByAddressesOfSixtyFourBits() {
    write(Self.start + 0x10, [1, 2, 3, 4])
    #expect(read(Self.start + 0x10, 4) == [1, 2, 3, 4])
    #expect(read(0x10, 4) == [0, 0, 0, 0])
    // Over the start and the end.
    write(Self.start - 2, [5, 6, 7, 8])
    #expect(read(Self.start - 2, 4) == [0xFF, 0xFF, 7, 8])
    let end = Self.start + 12 << 30
    write(end - 2, [9, 10, 11, 12])
    #expect(read(end - 2, 4) == [9, 10, 0xFF, 0xFF])
    // Beyond 36 bits, and around.
    for address in [UInt64(1) << 36 - 2, 1 << 36, 1 << 63, UInt64.max - 1] {
      write(address, [1, 2, 3, 4])
      #expect(read(address, 2) == [0xFF, 0xFF])
    }
    let debugger = DebuggerView(memory)
    #expect(debugger.bytes(PhysicalAddress(Self.start + 0x11), count: 2) == [2, 3])
    #expect(debugger.kind(at: PhysicalAddress(end - 1)) == .ram)
    #expect(debugger.kind(at: PhysicalAddress(end)) == .unmapped)
    #expect(debugger.kind(at: PhysicalAddress(UInt64.max)) == .unmapped)
    #expect(debugger.change(PhysicalAddress(end - 1), [1, 2]) == 1)
  }

  /// Nothing is looked at, let alone touched, that was not written.
  @Test func onlyUsedPagesAreNamed() {
    write(0x3000, [1])
    write(Self.start + 0x5000, [1])
    write(Self.start + 8 << 30, [1])
    var pages: [Int] = []
    memory.forEachUsedPage { pages.append($0) }
    #expect(pages == [3, 0x10_0005, 0x10_0000 + 8 << 18])
    #expect(memory.hasPage(3) && memory.hasPage(0x10_0000))
    #expect(!memory.hasPage(0x400) && !memory.hasPage(0xFFFFF) && !memory.hasPage(0x40_0000))
    memory.discardRAM()
    pages = []
    memory.forEachUsedPage { pages.append($0) }
    #expect(pages.isEmpty)
    #expect(read(Self.start + 0x5000, 1) == [0])
  }

  @Test func writtenPagesAreKeptTrackOf() throws {
    let cpu = try CPU(model: .pentium2, memory: memory, bus: SystemBus())
    cpu.takeWrittenPages(.snapshots) { _ in }
    write(Self.start + 0x7000, [1])
    memory.setPage(0x10_0009, nil)
    var pages: [Int] = []
    cpu.takeWrittenPages(.snapshots) { pages.append($0) }
    #expect(pages == [0x10_0007, 0x10_0009])
  }

  private final class Card: Registers {
    func read(at offset: UInt32, width: Int) -> UInt32 { offset }
    func write(at offset: UInt32, _ value: UInt32, width: Int) {}
  }

  /// Base address registers of 64 bits: below RAM, above it, beyond what 36 bits reach.
  @Test func devicesLieThereToo() {
    let end = Self.start + 12 << 30
    let id = memory.map(.of(Card()), at: PhysicalAddress(end), count: 0x2000, priority: -1)
    #expect(memory.read(end + 0x1004, width: 4) == 0x1004)
    memory.move(id, to: PhysicalAddress(Self.start))
    #expect(memory.read(Self.start + 4, width: 4) == 0)
    #expect(memory.read(end + 4, width: 4) == 0xFFFF_FFFF)
    memory.move(id, to: PhysicalAddress(1 << 36 - 0x1000))
    #expect(memory.read(1 << 36 - 0x1000, width: 4) == 0xFFFF_FFFF)
    memory.move(id, to: PhysicalAddress(1 << 36))
    #expect(memory.read(0, width: 4) == 0)
    memory.move(id, to: PhysicalAddress(1 << 36 - 0x2000))
    #expect(memory.read(1 << 36 - 0xFFC, width: 4) == 0x1004)
    memory.unmap(id)
    #expect(memory.read(1 << 36 - 0xFFC, width: 4) == 0xFFFF_FFFF)
  }

  /// Below RAM and ROM in priority, a range is seen where they are not.
  @Test func whatStandsBelowRAMIsSeenBesideIt() throws {
    try memory.mapROM([0x55], at: 0xFFFF_0000)
    memory.map(.of(Card()), at: 0x3F_F000, count: 0x2000, priority: -5)
    #expect(memory.read(0x3F_F004, width: 4) == 0)
    #expect(memory.read(0x40_0004, width: 4) == 0x1004)
    memory.map(.of(Card()), at: 0xFFFE_F000, count: 0x2000, priority: -5)
    #expect(memory.read(0xFFFE_F004, width: 4) == 4)
    #expect(memory.read(0xFFFF_0000, width: 1) == 0x55)
    // All of memory.
    memory.map(.of(Card()), at: 0, count: 1 << 32, priority: -9)
    #expect(memory.read(0x10, width: 4) == 0)
    #expect(memory.read(0x8000_0010, width: 4) == 0x8000_0010)
    #expect(memory.read(0x40_0004, width: 4) == 0x1004)
  }
}
