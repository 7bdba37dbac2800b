// Runs the CPU test ROMs of TestROMs/cpu on the bare processor: each checks itself and says PASS.
//
// The same images pass on Bochs and (where its translator checks what they test) on QEMU.

import Host
import Testing

@testable import CPU

/// The images, assembled at build time from the sources that roms.txt lists.
enum CPUTestROMs {}

/// A machine of processor, memory, port E9h and port F4h.
final class ROMMachine: SystemBus {
  var text = ""
  var exitCode: UInt32?
  private(set) var cpu: CPU! = nil

  init(rom: [UInt8], model: CPUModel) throws {
    super.init()
    let memory = try PhysicalMemory(ramSize: 8 << 20)
    try memory.mapROM(rom, at: 0xF0000)
    try memory.mapROM(rom, at: 0xFFFF_0000)
    cpu = try CPU(model: model, memory: memory, bus: self)
  }

  override func portWrite(_ port: UInt16, _ value: UInt32, width: Int) {
    switch port {
    case 0xE9: text.unicodeScalars.append(Unicode.Scalar(UInt8(truncatingIfNeeded: value)))
    case 0xF4:
      exitCode = value
      cpu.requestStop()
    default: break
    }
  }

  /// Runs until the ROM leaves, or the instructions are used up.
  func run(instructions: UInt64 = 20_000_000) {
    cpu.setDeadline(instructions)
    while exitCode == nil {
      switch cpu.run() {
      case .deadline, .halted, .shutdown: return
      case .stopRequested: break
      }
    }
  }
}

@Suite struct ROMTests {
  @Test(arguments: CPUTestROMs.all.keys.sorted())
  func passes(name: String) throws {
    let make = try #require(CPUTestROMs.all[name])
    let rom = make()
    let machine = try ROMMachine(rom: rom, model: .pentium2)
    machine.run()
    let text = machine.text
    if text != "PASS\n" || machine.exitCode != 0x10 {
      let report: String = text + "\n" + machine.cpu.report()
      Issue.record(Comment(rawValue: report))
    }
  }
}
