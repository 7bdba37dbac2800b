// SMI# by the ports of APM of the PCI to ISA bridge. Expectations: Intel 290550 (82371FB and SB), SMICNTL, SMIEN, SMIREQ, APMC, APMS.

import Bus
import State
import Testing

@testable import Chipset

@Suite struct PIIX3APMTests {
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

  private final class World {
    private let time = TestClock()
    let ports = PortSpace()
    private let board: Bus.Board
    let bridge: PIIX3
    private(set) var edges = 0

    init(_ options: String = "apm=yes") throws {
      board = Bus.Board(clock: time.clock, ports: ports, memory: NoMemory()) { _ in }
      let smi = ManagementInterrupt()
      board.offer(PCIBus(board))
      board.offer(smi)
      board.offer(MemorySize(megabytes: 64))
      for part in [PIC8259Pair.part, I440FX.part] { try part.add(board, part.values("")) }
      try PIIX3.part.add(board, PIIX3.part.values(options))
      bridge = try board.need(PIIX3.self, for: "a test")
      smi.raised = { [unowned self] in edges += 1 }
    }

    private func select(_ register: UInt32) {
      ports.write(0xCF8, 0x8000_0800 | register & 0xFC, width: 4)
    }
    func configure(_ register: UInt32, _ value: UInt32) {
      select(register)
      ports.write(0xCFC + UInt16(register & 3), value, width: 1)
    }
    func configuration(_ register: UInt32) -> UInt32 {
      select(register)
      return ports.read(0xCFC + UInt16(register & 3), width: 1)
    }
    func command(_ value: UInt32) { ports.write(0xB2, value, width: 1) }
  }

  @Test func bothPortsKeepAByte() throws {
    let w = try World()
    w.command(0x12)
    w.ports.write(0xB3, 0x34, width: 1)
    #expect(w.ports.read(0xB2, width: 1) == 0x12)
    #expect(w.ports.read(0xB3, width: 1) == 0x34)
    #expect(w.edges == 0)
    w.bridge.reset(.system)
    #expect(w.ports.read(0xB2, width: 1) == 0)
    // Without the option nobody answers there.
    #expect(try World("").ports.read(0xB2, width: 1) == 0xFF)
  }

  @Test func aCommandAssertsSMIWhereItIsEnabledAndTheGateIsOpen() throws {
    let w = try World()
    w.configure(0xA0, 0x01)
    w.command(1)
    #expect(w.edges == 0 && w.configuration(0xAA) == 0)
    w.configure(0xA2, 0x80)
    w.command(2)
    #expect(w.edges == 1 && w.configuration(0xAA) == 0x80)
    // APMS is a byte for software alone.
    w.ports.write(0xB3, 2, width: 1)
    #expect(w.edges == 1)
    // Status bits: a 0 clears, a 1 leaves.
    w.configure(0xAA, 0xFF)
    #expect(w.configuration(0xAA) == 0x80)
    w.configure(0xAA, 0x7F)
    #expect(w.configuration(0xAA) == 0)
  }

  /// "Thus, SMI conditions can be pending when the bit is set to 1. If an SMI is pending when this bit is set to 1, the SMI# signal is
  /// asserted."
  @Test func theGateHoldsBackWhatIsRequested() throws {
    let w = try World()
    w.configure(0xA2, 0x80)
    w.command(1)
    #expect(w.edges == 0 && w.configuration(0xAA) == 0x80)
    var writer = StateWriter()
    w.bridge.save(to: &writer)
    w.configure(0xA0, 0x09)
    #expect(w.edges == 1)
    w.configure(0xA0, 0x09)
    #expect(w.edges == 1)
    // The same after a state of before.
    var reader = StateReader(writer.bytes)
    try w.bridge.restore(from: &reader, version: w.bridge.stateVersion)
    w.configure(0xA0, 0x09)
    #expect(w.edges == 2)
    w.configure(0xA0, 0x08)
    w.configure(0xAA, 0)
    w.configure(0xA0, 0x09)
    #expect(w.edges == 2)
  }
}
