// The IDE function of the 82371SB: what its configuration space switches.
//
// Expectations: Intel 290550, "PCI configuration registers, function 1".

import Bus
import State
import Storage
import Testing

@testable import Chipset

/// Takes no mappings: the function has ports only.
private final class NoMemoryMap: MemoryMap {
  func map(
    _ file: RegisterFile, at address: PhysicalAddress, count: UInt64, isMemory: Bool, priority: Int
  ) -> MappingID { preconditionFailure("nothing is to be mapped") }
  func unmap(_ id: MappingID) {}
  func move(_ id: MappingID, to address: PhysicalAddress) {}
  func setShadow(_ range: ClosedRange<UInt32>, readRAM: Bool, writeRAM: Bool) {}
  func setSMRAM(isOpen: Bool, isEnabled: Bool, hidesData: Bool) {}
}

/// What makes slot 1 one of several functions.
private final class Bridge: PCIFunction {
  let stateName = "bridge"
  let configuration: PCIConfiguration
  init() {
    var identity = PCIIdentity(vendor: 0x8086, device: 0x7000, classCode: 0x060100)
    identity.isMultifunction = true
    configuration = PCIConfiguration(identity)
  }
  func save(to writer: inout StateWriter) {}
  func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {}
  func reset(_ kind: ResetKind) {}
  func inspect() -> [Field] { [] }
}

/// Two channels and the function on a bus.
private final class PIIXIDEBench {
  let first = IDEBench(numbered(100))
  let second: IDEChannel
  let board: Bus.Board
  let bus: PCIBus
  let memory = SmallMemory()
  let function: PIIXIDE

  init() throws {
    board = Bus.Board(clock: first.clock, ports: PortSpace(), memory: NoMemoryMap()) { _ in }
    second = IDEChannel(clock: first.clock, irq: Signal(), name: "ide1")
    bus = PCIBus(board)
    function = PIIXIDE(channels: [first.channel, second], memory: memory)
    try bus.add(Bridge(), slot: 1)
    try bus.add(function, slot: 1, function: 1)
    function.reset(.power)
  }

  func read(_ offset: Int, _ width: Int = 4) -> UInt32 {
    bus.read(bus: 0, 9, offset, width: width) & (width == 4 ? .max : 1 << UInt32(8 * width) - 1)
  }
  func write(_ offset: Int, _ value: UInt32, _ width: Int = 4) {
    bus.write(bus: 0, 9, offset, value, width: width)
  }
}

@Suite struct PIIXIDETests {
  @Test func identity() throws {
    let bench = try PIIXIDEBench()
    #expect(bench.read(0) == 0x7010_8086)
    #expect(bench.read(8) == 0x0101_8000)
    #expect(bench.read(4) == 0x0280_0000)
    #expect(bench.read(0x3C) == 0)
    // The other base address registers are not there.
    for offset in [0x10, 0x14, 0x18, 0x1C, 0x24, 0x30] {
      bench.write(offset, .max)
      #expect(bench.read(offset) == 0)
    }
    // Ultra DMA is the PIIX4's.
    bench.write(0x48, .max)
    #expect(bench.read(0x48) == 0)
  }

  @Test func channelsAnswerWhenBothBitsAllowThem() throws {
    let bench = try PIIXIDEBench()
    let channels = [bench.first.channel, bench.second]
    func decoded() -> [Bool] { channels.map(\.isDecoded) }
    #expect(decoded() == [false, false])
    bench.write(0x40, 0x8000_8000)
    #expect(decoded() == [false, false])
    bench.write(4, 1, 2)
    #expect(decoded() == [true, true])
    bench.write(0x41, 0x23, 1)
    #expect(decoded() == [false, true] && bench.read(0x40) == 0x8000_2300)
    bench.write(4, 4, 2)
    #expect(decoded() == [false, false])
    bench.write(4, 5, 2)
    bench.write(0x40, 0xA307, 2)
    #expect(decoded() == [true, true])
    bench.function.reset(.system)
    #expect(decoded() == [false, false] && bench.read(0x40) == 0)
  }

  @Test func theBusMasterIsAtItsAddress() throws {
    let bench = try PIIXIDEBench()
    bench.write(0x20, .max)
    #expect(bench.read(0x20) == 0xFFFF_FFF1)
    bench.write(0x20, 0xC000)
    bench.write(4, 1, 2)
    bench.board.ports.write(0xC00C, 0x4321_8765, width: 4)
    #expect(bench.board.ports.read(0xC00C, width: 4) == 0x4321_8764)
    #expect(bench.board.ports.read(0xC004, width: 4) == 0)
    bench.board.ports.write(0xC002, 0x60, width: 1)
    #expect(bench.board.ports.read(0xC000, width: 4) == 0x0060_0000)
    bench.write(0x20, 0xD000)
    #expect(bench.board.ports.read(0xC002, width: 1) == 0xFF)
    #expect(bench.board.ports.read(0xD002, width: 1) == 0x60)
  }

  @Test func onlyAMasterReachesMemory() throws {
    let bench = try PIIXIDEBench()
    bench.write(0x20, 0xC000)
    bench.write(0x40, 0x8000_8000)
    bench.memory.put(0x1000, 0x2000, 512 | BusMasterBench.last)
    for (command, value) in [(UInt32(1), UInt8(0)), (5, 7)] {
      bench.write(4, command, 2)
      bench.board.ports.write(0xC004, 0x1000, width: 4)
      bench.board.ports.write(0xC002, 6, width: 1)
      bench.first.command28(0xC8, lba: 7, count: 1)
      bench.board.ports.write(0xC000, 9, width: 1)
      bench.first.run(10_000_000)
      #expect(bench.memory.bytes[0x2000] == value)
      bench.board.ports.write(0xC000, 0, width: 1)
    }
  }

  @Test func aStateIsTakenOver() throws {
    let bench = try PIIXIDEBench()
    bench.write(0x20, 0xC000)
    bench.write(0x40, 0x8000_A307)
    bench.write(4, 5, 2)
    bench.board.ports.write(0xC004, 0x1234_5678, width: 4)
    var writer = StateWriter()
    bench.function.save(to: &writer)
    let other = try PIIXIDEBench()
    var reader = StateReader(writer.bytes)
    try other.function.restore(from: &reader, version: 1)
    #expect(reader.remaining == 0)
    #expect(other.first.channel.isDecoded && other.second.isDecoded)
    #expect(other.board.ports.read(0xC004, width: 4) == 0x1234_5678)
    var again = StateWriter()
    other.function.save(to: &again)
    #expect(again.bytes == writer.bytes)
  }
}
