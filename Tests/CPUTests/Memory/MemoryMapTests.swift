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

  /// Video memory is asked by translated code without a look at what else there is.
  @Test func whatStandsAboveADevicesMemoryIsAskedInItsPlace() throws {
    let memory = try PhysicalMemory(ramSize: 2 << 20)
    let (video, card) = (Card(), Card())
    let id = memory.map(.of(video), at: 0xA0000, count: 0x20000, isMemory: true)
    #expect(memory.deviceMemory(at: 0xB8000) != nil)
    let above = memory.map(.of(card), at: 0xB0000, count: 0x10000, priority: 1)
    #expect(memory.deviceMemory(at: 0xB8000) == nil)
    #expect(memory.deviceMemory(at: 0xA0000) == nil)
    _ = memory.read(0xB8000, width: 1)
    _ = memory.read(0xA8000, width: 1)
    #expect((card.log, video.log) == (["r32768.1"], ["r32768.1"]))
    // Beside it, it is in nobody's way; nor is what stands below.
    memory.move(above, to: 0xC0000)
    #expect(memory.deviceMemory(at: 0xB8000) != nil)
    memory.unmap(above)
    memory.map(.of(card), at: 0xA0000, count: 0x20000, priority: -1)
    #expect(memory.deviceMemory(at: 0xB8000) != nil)
    memory.unmap(id)
    #expect(memory.deviceMemory(at: 0xB8000) == nil)
  }

  @Test func pagesThatArePlainBytesStaySoWhenTheMapChanges() throws {
    let memory = try PhysicalMemory(ramSize: 2 << 20)
    let (video, card) = (Card(), Card())
    let id = memory.map(.of(video), at: 0xA0000, count: 0x20000, isMemory: true)
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: 0x10000, alignment: 4096)
    defer { bytes.deallocate() }
    bytes.initializeMemory(as: UInt8.self, repeating: 0x77, count: 0x10000)
    // A card comes over one of the pages, before or after they become plain bytes, and goes.
    let above = memory.map(.of(card), at: 0xA4000, count: 0x1000)
    memory.setDirect(page: 0xA0, pages: 16, to: bytes)
    #expect(memory.read(0xA3FFF, width: 1) == 0x77)
    #expect(memory.read(0xA4000, width: 1) == 0x4433_2211)
    memory.unmap(above)
    #expect(memory.read(0xA4000, width: 1) == 0x77)
    let later = memory.map(.of(card), at: 0xA8000, count: 0x1000)
    #expect(memory.read(0xA8000, width: 1) == 0x4433_2211)
    memory.unmap(later)
    memory.write(0xA8001, 0x12, width: 1)
    #expect(bytes.load(fromByteOffset: 0x8001, as: UInt8.self) == 0x12)
    // They move with their device.
    memory.move(id, to: 0x1000_0000)
    #expect(memory.read(0xA8001, width: 1) == 0xFF)
    #expect(memory.read(0x1000_8001, width: 1) == 0x12)
    #expect(video.log.isEmpty)
    _ = memory.read(0x1001_0000, width: 1)
    #expect(video.log == ["r65536.1"])
    memory.setDirect(page: 0x10000, pages: 16, to: nil)
    _ = memory.read(0x1000_8001, width: 1)
    #expect(video.log == ["r65536.1", "r32769.1"])
  }

  @Test func writesToPlainBytesLeaveMarksInEveryRange() throws {
    let memory = try PhysicalMemory(ramSize: 2 << 20)
    let (window, linear) = (Card(), Card())
    memory.map(.of(window), at: 0xA0000, count: 0x20000, isMemory: true)
    let id = memory.map(.of(linear), at: 0xE000_0000, count: 0x40000, priority: -1)
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: 0x40000, alignment: 4096)
    defer { bytes.deallocate() }
    bytes.initializeMemory(as: UInt8.self, repeating: 0, count: 0x40000)
    let written = UnsafeMutablePointer<UInt8>.allocate(capacity: 64)
    defer { written.deallocate() }
    written.initialize(repeating: 0, count: 64)
    // A bank of it below, all of it above.
    memory.setDirect(
      page: 0xA0, pages: 16, to: bytes + 0x10000, written: written + 16, slot: 0)
    memory.setDirect(page: 0xE0000, pages: 64, to: bytes, written: written, slot: 1)
    memory.write(0xA1234, 0x55, width: 1)
    #expect(memory.read(0xE001_1234, width: 1) == 0x55)
    memory.write(0xE000_2004, 0xAABB, width: 2)
    #expect((0..<64).filter { written[$0] != 0 } == [2, 17])
    // Addresses of the host lead back to one of the places.
    let place = memory.physical(ofHost: Int(bitPattern: bytes) + 0x2004)
    #expect(place == 0xE000_2004)
    #expect(memory.physical(ofHost: 16) == nil)
    // Ranges go one by one.
    memory.setDirect(page: 0xA0, pages: 16, to: nil, slot: 0)
    _ = memory.read(0xA1234, width: 1)
    #expect(window.log == ["r4660.1"])
    #expect(memory.read(0xE001_1234, width: 1) == 0x55)
    memory.unmap(id)
    #expect(memory.read(0xE001_1234, width: 1) == 0xFF)
  }

  @Test func anotherBankTakesNothingFromThoseWhoLookElsewhere() throws {
    let memory = try PhysicalMemory(ramSize: 2 << 20)
    let cpu = try CPU(model: .pentium2, memory: memory, bus: SystemBus())
    memory.map(.of(Card()), at: 0xA0000, count: 0x20000, isMemory: true)
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: 0x20000, alignment: 4096)
    defer { bytes.deallocate() }
    bytes.initializeMemory(as: UInt8.self, repeating: 0x11, count: 0x10000)
    (bytes + 0x10000).initializeMemory(as: UInt8.self, repeating: 0x22, count: 0x10000)
    let written = UnsafeMutablePointer<UInt8>.allocate(capacity: 32)
    defer { written.deallocate() }
    written.initialize(repeating: 0, count: 32)
    memory.setDirect(page: 0xA0, pages: 16, to: bytes, written: written)
    func linear(_ at: UInt32) throws -> UInt32 { UInt32(try cpu.readSystem8(at)) }
    #expect(try linear(0xA0004) == 0x11)
    try cpu.writeSystem8(0xA1000, 0x12)
    try cpu.writeSystem8(0x5000, 0x55)
    let kept = cpu.tables.supervisorRead[5] | cpu.tables.supervisorWrite[5]
    #expect(kept != 0 && cpu.tables.supervisorRead[0xA0] != 0)
    memory.setDirect(page: 0xA0, pages: 16, to: bytes + 0x10000, written: written + 16)
    #expect(cpu.tables.supervisorRead[5] | cpu.tables.supervisorWrite[5] == kept)
    #expect(cpu.tables.supervisorRead[0xA0] == 0)
    #expect(try linear(0xA0004) == 0x22)
    #expect(try linear(0xA1000) == 0x22)
    try cpu.writeSystem8(0xA3000, 0x33)
    #expect(bytes.load(fromByteOffset: 0x13000, as: UInt8.self) == 0x33)
    // The next of a page whose marks were taken is marked again in the bank that is seen.
    #expect((0..<32).filter { written[$0] != 0 } == [1, 19])
    memory.setDirect(page: 0xA0, pages: 16, to: bytes, written: written)
    #expect(try linear(0xA1000) == 0x12)
    #expect(try linear(0xA3000) == 0x11)
  }

  /// A device whose own access takes it off the bus, as a base address register in its window would.
  private final class Leaver: Registers {
    var leave: () -> Void = {}
    var value: UInt32 = 0x11
    let gone: () -> Void
    init(gone: @escaping () -> Void) { self.gone = gone }
    deinit { gone() }
    func read(at offset: UInt32, width: Int) -> UInt32 {
      leave()
      value += 1
      return value
    }
    func write(at offset: UInt32, _ new: UInt32, width: Int) {
      leave()
      value = new
    }
  }

  @Test func aDeviceThatUnmapsItselfEndsItsAccessAlive() throws {
    let memory = try PhysicalMemory(ramSize: 2 << 20)
    var isGone = false
    func put() {
      let device = Leaver { isGone = true }
      let id = memory.map(.of(device), at: 0xE000_0000, count: 0x1000)
      device.leave = { [unowned memory] in memory.unmap(id) }
    }
    put()
    #expect(memory.read(0xE000_0000, width: 4) == 0x12)
    #expect(!isGone)
    #expect(memory.read(0xE000_0000, width: 4) == 0xFFFF_FFFF)
    memory.releaseUnmapped()
    #expect(isGone)
    isGone = false
    put()
    memory.write(0xE000_0000, 5, width: 4)
    #expect(!isGone)
    memory.releaseUnmapped()
    #expect(isGone)
  }

  /// PC/AT: the gate is between the processor and the bus; bus masters drive A20 themselves.
  @Test func eachAskerHasAViewOfItsOwn() throws {
    let memory = try PhysicalMemory(ramSize: 4 << 20)
    let card = Card()
    memory.map(.of(card), at: 0xE000_0000, count: 0x1000)
    memory.write(0x12_3450, 0x11, width: 1)
    memory.write(0x02_3450, 0x22, width: 1)
    let (one, other) = (
      try CPU(model: .pentium2, memory: memory, bus: SystemBus()),
      try CPU(model: .pentium2, memory: memory, bus: SystemBus())
    )
    one.a20 = false
    #expect(one.view.read32(one.view.bus(0x12_3450 as UInt32)) & 0xFF == 0x22)
    #expect(other.view.read32(other.view.bus(0x12_3450 as UInt32)) & 0xFF == 0x11)
    #expect(one.peekTranslate(0x12_3450) == 0x02_3450)
    #expect(other.peekTranslate(0x12_3450) == 0x12_3450)
    // This memory has nothing above 4 GiB; the gate changes no line but A20.
    #expect(one.view.bus(0x1_0010_0000 as UInt64) == PhysicalAddress(0x1_0000_0000))
    #expect(one.view.read64(PhysicalAddress(1 << 32)) == UInt64.max)
    // Only processors reach devices.
    #expect(other.view.read32(PhysicalAddress(0xE000_0000)) == 0x4433_2211)
    var bytes: [UInt8] = [0, 0]
    bytes.withUnsafeMutableBytes {
      BusMasterView(memory).read(PhysicalAddress(0x12_3450), into: $0)
    }
    #expect(bytes == [0x11, 0])
    bytes.withUnsafeMutableBytes {
      BusMasterView(memory).read(PhysicalAddress(0xE000_0000), into: $0)
    }
    #expect(bytes == [0xFF, 0xFF])
    let debugger = DebuggerView(memory)
    #expect(debugger.kind(at: 0xE000_0000) == .device)
    #expect(debugger.kind(at: 0xD000_0000) == .unmapped)
    #expect(debugger.bytes(0xE000_0000, count: 1) == [0xFF])
    #expect(debugger.change(0x3F_FFFF, [1, 2]) == 1)
    #expect(debugger.bytes(0x3F_FFFF, count: 1) == [1])
    #expect(card.log == ["r0.4"])
  }
}
