// What POST leaves in processors beside the first.
// Expectations: Intel SDM volume 3, MTRR considerations in MP systems: all processors have the same values; multiple-processor
// initialization: those beside the first wait to be started.

import TestSupport
import Testing

@testable import CPU
@testable import Machine

@Suite struct PowerOnProcessorTests {
  @Test func allHaveTheMemoryTypesOfTheFirst() throws {
    var configuration = MachineConfiguration.small {
      $0.board = "pc"
      $0.processorCount = 3
    }
    configuration.cpu = .pentium3
    let machine = try Machine(configuration)
    _ = machine.run(untilInstruction: 20_000_000)
    let registers = Array(UInt32(0x200)...0x20F) + [0x250, 0x258, 0x259] + Array(0x268...0x26F)
    for number in registers + [MSR.mtrrDefault] {
      let values = machine.processors.map { $0.msrs[number] }
      #expect(values[1] == values[0] && values[2] == values[0], "\(number)")
    }
    // Switched on, the fixed ones too.
    #expect(machine.processors[2].msrs[MSR.mtrrDefault] == 0xC00)
    #expect((0..<3).map { machine.isStarted($0) } == [true, false, false])
    // The table was in memory that nothing uses.
    #expect(machine.memory.peek(0x8000, count: 400).allSatisfy { $0 == 0 })
  }
}
