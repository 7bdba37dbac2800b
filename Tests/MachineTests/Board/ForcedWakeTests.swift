// Processors that halted with IF clear: what wakes them all the same. Expectations: Intel SDM volume 3, "HLT" in chapter 7, "I/O APIC",
// "Auto HALT Restart"; 82093AA, delivery modes.

import Bus
import Chipset
import TestSupport
import Testing

@testable import CPU
@testable import Machine

@Suite struct ForcedWakeTests {
  /// The first at 0000:1000 starts the timer (mode 2, every 1000 counts) and halts: mov al,34h; out 43h,al; mov al,E8h; out 40h,al;
  /// mov al,3; out 40h,al; cli; hlt; jmp $-1
  private static let timerAndHalt: [UInt8] = [
    0xB0, 0x34, 0xE6, 0x43, 0xB0, 0xE8, 0xE6, 0x40, 0xB0, 0x03, 0xE6, 0x40, 0xFA, 0xF4, 0xEB, 0xFD,
  ]

  /// A machine whose timer, input 2 of the I/O APIC, sends a message.
  /// - Parameters:
  ///   - delivery: the delivery mode.
  ///   - destination: to whom; a second processor halts with IF clear.
  private func machine(_ delivery: UInt32, to destination: UInt32, _ engine: Engine) throws
    -> Machine
  {
    var configuration = MachineConfiguration.small {
      $0.engine = engine
      $0.processorCount = 2
    }
    configuration.cpu = .pentium2
    let machine = try Pair.machine(Self.timerAndHalt, [0xFA, 0xF4, 0xEB, 0xFD], configuration)
    // inc word [3000h]; rsm at SMBASE + 8000h. NMI: inc word [3000h]; iret at 0000:4000.
    for (address, code) in [
      (0x3_8000, [0xFF, 0x06, 0x00, 0x30, 0x0F, 0xAA]), (0x8, [0x00, 0x40, 0x00, 0x00]),
      (0x4000, [0xFF, 0x06, 0x00, 0x30, 0xCF]), (0x3000, [0, 0]),
    ] as [(UInt32, [UInt8])] {
      code.withUnsafeBytes { machine.memory.copyIn(address, from: $0) }
    }
    let inputs = try #require(machine.board.first(IOAPIC.self))
    inputs.write(0, 0x15)
    inputs.write(0x10, destination << 24)
    inputs.write(0, 0x14)
    inputs.write(0x10, delivery << 8 & 0x1_0700)
    return machine
  }

  @Test(
    arguments: [(2, 0), (2, 1), (4, 0), (4, 1)] as [(UInt32, UInt32)],
    [Engine.interpreter, .translator])
  func anInputOfTheIOAPICDoes(_ message: (UInt32, UInt32), engine: Engine) throws {
    let machine = try machine(message.0, to: message.1, engine)
    // 20 ms: the timer comes every 838 microseconds.
    let end = machine.clock.instruction(atNanoseconds: 20_000_000)
    #expect(machine.run(untilInstruction: end) == .instructionLimit)
    #expect((22...24).contains(Pair.word(machine, 0x3000)))
    let cpu = machine.processors[Int(message.1)]
    #expect(cpu.s.pointee.halted && !cpu.isInManagementMode)
    #expect(cpu.s.pointee.eflags & EFLAGS.if == 0)
  }

  @Test(arguments: [0, 0x102, 3, 7] as [UInt32])
  func othersDoNot(delivery: UInt32) throws {
    // Fixed, SMI behind the mask, reserved, ExtINT.
    let machine = try machine(delivery, to: 0, .interpreter)
    #expect(machine.run(untilInstruction: 100_000_000) == .halted)
    #expect(Pair.word(machine, 0x3000) == 0)
  }

  /// In the mode an SMI waits for RSM, and NMI are blocked.
  @Test(arguments: [2, 4] as [UInt32])
  func whoHaltsInManagementModeIsNotWoken(delivery: UInt32) throws {
    let machine = try machine(delivery, to: 0, .interpreter)
    let halt: [UInt8] = [0xF4, 0xEB, 0xFD]
    halt.withUnsafeBytes { machine.memory.copyIn(0x3_8000, from: $0) }
    machine.cpu.raiseSMI()
    #expect(machine.run(untilInstruction: 100_000_000) == .halted)
    #expect(machine.cpu.isInManagementMode)
    #expect(Pair.word(machine, 0x3000) == 0)
  }
}
