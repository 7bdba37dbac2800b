// The flash memory's commands beyond what its test ROM (TestROMs/devices/firmware/flash.asm) looks at: images that refuse, write-protected
// ones, wide cycles, states in the middle of commands. Expectations: Intel 28F640J3 data sheet.

import Bus
import State
import Storage
import Testing

@testable import Chipset

@Suite struct FlashTests {
  /// An image of 64 KiB that can refuse writes.
  private final class Image: BlockDevice {
    let blockSize = 512
    let blockCount: UInt64 = 128
    var capabilities: BlockCapabilities = [.writable]
    var generation: UInt64 = 0
    var bytes = [UInt8](repeating: 0xFF, count: 1 << 16)
    var refuses = false
    var writes = 0

    func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
      for n in 0..<buffer.count { buffer[n] = bytes[Int(block) * 512 + n] }
    }
    func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
      if refuses { throw StorageError(path: "flash", reason: "no room") }
      writes += 1
      for n in 0..<buffer.count { bytes[Int(block) * 512 + n] = buffer[n] }
    }
    func flush() throws(StorageError) {}
  }

  private let image = Image()
  private let flash: Flash

  init() throws { flash = try Flash(FlashImage(device: image, end: 0xFFFF_0000)) }

  private func write(_ offset: UInt32, _ value: UInt32, _ width: Int = 1) {
    flash.write(at: offset, value, width: width)
  }
  private func read(_ offset: UInt32, _ width: Int = 1) -> UInt32 {
    flash.read(at: offset, width: width)
  }

  @Test func itLiesBelowTheFirmware() { #expect(flash.address == 0xFFFE_0000) }

  @Test func whatIsProgrammedIsInTheImageAtOnce() {
    write(0x1234, 0x40)
    write(0x1234, 0x5A)
    #expect(image.bytes[0x1234] == 0x5A)
    // What changes nothing is not written.
    let writes = image.writes
    write(0x1235, 0x40)
    write(0x1235, 0xFF)
    #expect(image.writes == writes)
    write(0x1000, 0x20)
    write(0x1000, 0xD0)
    #expect(image.bytes[0x1234] == 0xFF)
    #expect(image.writes == writes + 1)
  }

  @Test func anImageThatRefusesIsAnErrorOfTheChipAndChangesNothing() {
    write(0, 0x40)
    write(0, 0x00)
    write(0, 0x50)
    image.refuses = true
    write(1, 0x40)
    write(1, 0x00)
    #expect(read(1) == 0x90)
    write(0, 0x50)
    write(0, 0x20)
    write(0, 0xD0)
    #expect(read(0) == 0xA0)
    write(0, 0xFF)
    #expect(read(0, 4) == 0xFFFF_FF00)
  }

  @Test func aWriteProtectedImageRefusesAsLockedBlocksDo() {
    image.capabilities = []
    write(0, 0x40)
    write(0, 0x00)
    #expect(read(0) == 0x92)
    write(0, 0x50)
    write(0, 0x20)
    write(0, 0xD0)
    #expect(read(0) == 0xA2)
    #expect(image.writes == 0)
  }

  @Test func wideCyclesAreCyclesOfBytes() {
    write(0x10, 0x1122_3344, 4)
    // None of them is a command.
    #expect(read(0x10, 4) == 0xFFFF_FFFF)
    // Program 12h behind where the command went.
    write(0x20, 0x1240, 2)
    #expect(image.bytes[0x21] == 0x12)
    #expect(read(0, 2) == 0x8080)
  }

  @Test func theEndOfTheChipIsItsEnd() {
    write(0xFFFC, 0x40)
    write(0xFFFF, 0x7788, 2)
    write(0, 0xFF)
    #expect(read(0xFFFF, 2) == 0xFF88)
  }

  @Test func aBufferOutsideOfOneBlockIsABadSequence() {
    write(0, 0xE8)
    write(0, 1)
    write(0x0FFF, 0)
    write(0x1000, 0)
    write(0, 0xD0)
    #expect(read(0) == 0xB0)
    write(0, 0xFF)
    #expect(read(0x0FFF, 2) == 0xFFFF)
  }

  @Test func aResetReadsTheArrayAndUnlocks() {
    write(0, 0x60)
    write(0, 0x01)
    write(0, 0x90)
    #expect(read(2) == 1)
    flash.reset(.system)
    #expect(read(2) == 0xFF)
    write(0, 0x90)
    #expect(read(2) == 0)
  }

  /// After each cycle of a long sequence: save, restore into another chip, go on there.
  @Test func aStateMayBeSavedBetweenAnyTwoCycles() throws {
    let cycles: [(UInt32, UInt32)] = [
      (0x40, 0x40), (0x40, 0x12), (0, 0x60), (0x2000, 0x01), (0, 0xE8), (0, 2), (0x50, 1),
      (0x51, 2),
      (0x52, 3), (0, 0xD0), (0x1000, 0x20), (0x1000, 0xD0), (0x55, 0x98), (0, 0x90), (0, 0x70),
      (0, 0x50), (0, 0xFF),
    ]
    for end in 0...cycles.count {
      let other = Image()
      let first = try Flash(FlashImage(device: other, end: 0x1_0000_0000))
      for (at, value) in cycles[..<end] { first.write(at: at, value, width: 1) }
      var writer = StateWriter()
      first.save(to: &writer)
      let second = try Flash(FlashImage(device: other, end: 0x1_0000_0000))
      var reader = StateReader(writer.bytes)
      try second.restore(from: &reader, version: 1)
      #expect(reader.remaining == 0)
      #expect(second.read(at: 0x10, width: 4) == first.read(at: 0x10, width: 4))
      for (at, value) in cycles[end...] { second.write(at: at, value, width: 1) }
      #expect(Array(other.bytes[0x50..<0x53]) == [1, 2, 3])
      #expect(other.bytes[0x40] == 0x12)
    }
  }

  @Test func damagedStatesAreRefused() throws {
    write(0, 0xE8)
    write(0, 3)
    write(0, 1)
    var writer = StateWriter()
    flash.save(to: &writer)
    for n in writer.bytes.indices {
      for value in [0, 1, 7, 0x7F, 0xFF] as [UInt8] {
        var bytes = writer.bytes
        bytes[n] = value
        var reader = StateReader(bytes)
        // Refused or taken: what follows has a defined result.
        try? flash.restore(from: &reader, version: 1)
        for value in [0x55, 0xD0, 0x40, 0x00, 0xFF] as [UInt32] { write(0xFFFF, value, 4) }
      }
    }
  }

  /// Reads are plain memory in array mode alone; the bytes that show are the chip's.
  @Test func plainMemoryIsTakenBackBeforeAByteChanges() throws {
    let board = Bus.Board(
      clock: TestClock().clock, ports: PortSpace(), memory: MappedMemory(), request: { _ in })
    board.offer(FlashImage(device: image, end: 0xFFFF_0000))
    try Flash.part.add(board, Flash.part.values(""))
    let flash = try board.need(Flash.self, for: "a test")
    var shown: [UInt8?] = []
    flash.directChanged = {
      shown.append($0.bytes?.load(fromByteOffset: 0x10, as: UInt8.self))
      #expect($0.address == 0xFFFE_0000)
      #expect($0.count == 0x10000)
    }
    flash.write(at: 0x10, 0x40, width: 1)
    flash.write(at: 0x10, 0x00, width: 1)
    flash.write(at: 0, 0xFF, width: 1)
    flash.write(at: 0, 0xFF, width: 1)
    #expect(shown == [0xFF, nil, 0x00])
  }

  private final class MappedMemory: MemoryMap {
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
}
