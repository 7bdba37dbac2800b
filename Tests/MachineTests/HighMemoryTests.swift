// Machines with memory above 4 GiB: what the guest is told of it, states, hashes and going back in time.
// Expectations: layout and CMOS registers as QEMU documents its machine `pc`.

import Bus
import CPU
import Testing

@testable import Machine

@Suite struct HighMemoryTests {
  private static let start: UInt64 = 1 << 32

  private func large(megabytes: Int) throws -> Machine {
    try machine(booting: Guest.ticks) { $0.memoryMegabytes = megabytes }
  }

  private func write(_ machine: Machine, _ address: UInt64, _ bytes: [UInt8]) {
    bytes.withUnsafeBytes { machine.memory.copyIn(address, from: $0) }
  }

  @Test func theLayoutLeavesRoomBelowFourGigabytes() {
    func layout(_ megabytes: Int) -> RAMLayout {
      MachineConfiguration.small { $0.memoryMegabytes = megabytes }.memoryLayout
    }
    #expect(layout(3584) == RAMLayout(low: 0xE000_0000))
    #expect(layout(3585) == RAMLayout(low: 0xC000_0000, high: 513 << 20))
    #expect(layout(16384) == RAMLayout(low: 0xC000_0000, high: 13 << 30))
    #expect(layout(16384).total == 16 << 30)
  }

  /// 34h and 35h: from 16 MiB to 4 GiB; 5Bh to 5Dh: above; both in 64 KiB.
  @Test func theCMOSTellsOfIt() throws {
    func bytes(_ megabytes: Int, _ registers: [UInt8]) throws -> [UInt8] {
      let machine = try large(megabytes: megabytes)
      return registers.map { machine.cmos[$0] }
    }
    #expect(try bytes(16384, [0x34, 0x35]) == [0x00, 0xBF])
    #expect(try bytes(16384, [0x5B, 0x5C, 0x5D]) == [0x00, 0x40, 0x03])
    #expect(try bytes(3584, [0x34, 0x35, 0x5B, 0x5C, 0x5D]) == [0x00, 0xDF, 0, 0, 0])
    #expect(try bytes(64, [0x34, 0x35, 0x5B, 0x5C, 0x5D]) == [0x00, 0x03, 0, 0, 0])
  }

  @Test func statesHoldItAndOnlyWhatIsUsed() throws {
    let first = try large(megabytes: 16384)
    _ = first.run(untilInstruction: 3_000_000)
    write(first, Self.start, [1, 2, 3])
    write(first, Self.start + 13 << 30 - 2, [4, 5])
    let saved = first.saveState()
    #expect(saved.count < 4 << 20)
    let second = try large(megabytes: 16384)
    try second.restoreState(saved)
    #expect(second.memory.peek(Self.start, count: 4) == [1, 2, 3, 0])
    #expect(second.memory.peek(Self.start + 13 << 30 - 2, count: 3) == [4, 5, 0xFF])
    #expect(second.stateHash() == first.stateHash())
    _ = first.run(untilInstruction: 6_000_000)
    _ = second.run(untilInstruction: 6_000_000)
    #expect(second.stateHash() == first.stateHash())
    #expect(second.checkpoint().memory == first.checkpoint().memory)
    write(second, Self.start + 5 << 30, [1])
    #expect(second.stateHash() != first.stateHash())
    #expect(second.checkpoint().memory != first.checkpoint().memory)
  }

  @Test func thePastHasItAsItWas() throws {
    let machine = try large(megabytes: 6144)
    write(machine, Self.start + 0x1000, [7])
    let travel = machine.enableTimeTravel(megabytes: 32)
    _ = machine.run(untilInstruction: 2_000_000)
    travel.mark()
    let (at, hash) = (machine.cpu.instructionCount, machine.stateHash())
    write(machine, Self.start + 0x1000, [8])
    write(machine, Self.start + 2 << 30, [9])
    _ = machine.run(untilInstruction: 4_000_000)
    travel.mark()
    try travel.goto(at)
    #expect(machine.memory.peek(Self.start + 0x1000, count: 1) == [7])
    #expect(machine.memory.peek(Self.start + 2 << 30, count: 1) == [0])
    #expect(machine.stateHash() == hash)
  }
}
