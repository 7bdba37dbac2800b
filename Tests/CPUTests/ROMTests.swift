// Runs the CPU test ROMs of TestROMs/cpu on the bare processor: each checks itself and says PASS.
//
// The same images pass on Bochs and (where its translator checks what they test) on QEMU.

import Host
import State
import Testing
import Translator
import TranslatorX86_64

@testable import CPU

/// The images, assembled at build time from the sources that roms.txt lists.
enum CPUTestROMs {}

/// The engines this host has.
#if os(Linux) && arch(x86_64)
  let romEngines: [Engine] = [.interpreter, .translator]
#else
  let romEngines: [Engine] = [.interpreter]
#endif

/// A machine of processor, memory, port E9h and port F4h.
final class ROMMachine: SystemBus {
  var text = ""
  var exitCode: UInt32?
  private(set) var cpu: CPU! = nil

  /// - Parameter high: bytes of RAM above 4 GiB.
  init(
    rom: [UInt8], model: CPUModel, engine: Engine, options: TranslatorOptions = .all,
    high: UInt64 = 0
  ) throws {
    super.init()
    let memory = try PhysicalMemory(RAMLayout(low: 8 << 20, high: high))
    try memory.mapROM(rom, at: 0xF0000)
    try memory.mapROM(rom, at: 0xFFFF_0000)
    cpu = try CPU(model: model, memory: memory, bus: self)
    if engine == .translator { try Translator.attach(to: cpu, options: options) }
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
      case .stopRequested, .breakpoint, .watchpoint, .debugEvent: break
      }
    }
  }
}

@Suite struct ROMTests {
  private func check(_ machine: ROMMachine, _ what: String) {
    let text = machine.text
    if text != "PASS\n" || machine.exitCode != 0x10 {
      let report: String = what + ": " + text + "\n" + machine.cpu.report()
      Issue.record(Comment(rawValue: report))
    }
  }

  private func machine(_ name: String, _ model: CPUModel, _ engine: Engine)
    throws -> ROMMachine
  {
    let make = try #require(CPUTestROMs.all[name])
    let rom = make()
    return try ROMMachine(
      rom: rom, model: model, engine: engine, high: name == "highmemory" ? 8 << 20 : 0)
  }

  /// Which models a ROM needs; the others leave out by CPUID what a model lacks.
  private func oldest(_ name: String) -> CPUModel {
    switch name {
    case "debug", "paging": .pentium
    case "rings", "spaces", "v86": .i486
    default: .i386
    }
  }

  @Test(arguments: CPUTestROMs.all.keys.sorted(), romEngines)
  func passes(name: String, engine: Engine) throws {
    for model in CPUModel.all.drop(while: { $0 != oldest(name) }) {
      let machine = try machine(name, model, engine)
      machine.run()
      check(machine, model.name)
    }
  }

  /// The ROM passes without memory there, too: that it was reached is seen from outside.
  @Test(arguments: romEngines)
  func memoryAboveFourGigabytesIsUsed(engine: Engine) throws {
    for model in [CPUModel.pentium2, .pentium4] {
      let machine = try machine("highmemory", model, engine)
      machine.run()
      #expect(machine.cpu.memory.peek(0x1_0020_1004, count: 4) == [0x88, 0, 0, 0])
      #expect(machine.cpu.memory.peek(0x1_0020_1008, count: 4) == [0x99, 0, 0, 0])
    }
  }

  /// Code of an address space that comes back is found again without another look, and what of it is translated is the same in both
  /// engines: it decides which accessed flags are set later.
  @Test func codeOfAddressSpacesIsKnownWhenTheyComeBack() throws {
    let machines = try romEngines.map { try machine("spaces", .pentium4, $0) }
    var count: UInt64 = 0
    while machines.contains(where: { $0.exitCode == nil }) && count < 1_000_000 {
      count += 977
      for machine in machines { machine.run(instructions: count) }
      let tables = machines.map { $0.cpu.saveTranslations() }
      #expect(Set(tables.map { $0.filled.sorted() }).count == 1, "\(count)")
      #expect(Set(tables.map(\.spaces.lists)).count == 1, "\(count)")
    }
    for machine in machines {
      check(machine, "spaces")
      let spaces = machine.cpu.spaces
      #expect(spaces.loads > 12_000)
      #expect(spaces.returns > spaces.loads - 50, "\(spaces.returns) of \(spaces.loads)")
    }
  }

  /// The same with the tables saved and restored, as snapshots do: accessed flags and faults come at the same instructions.
  @Test(arguments: romEngines)
  func addressSpacesSurviveSnapshots(engine: Engine) throws {
    let machines = try [0, 1].map { _ in try machine("spaces", .pentium4, engine) }
    var count: UInt64 = 0
    while machines.contains(where: { $0.exitCode == nil }) && count < 1_000_000 {
      count += 1201
      for machine in machines { machine.run(instructions: count) }
      machines[1].cpu.restoreTranslations(machines[1].cpu.saveTranslations())
      let tables = machines.map { $0.cpu.saveTranslations() }
      #expect(Set(tables.map { $0.filled.sorted() }).count == 1, "\(count)")
      #expect(Set(tables.map(\.spaces.lists)).count == 1, "\(count)")
    }
    for machine in machines { check(machine, "spaces") }
  }

  /// The numbers of epochs begin anew after some millions; here all the time. What is known of the time before must not hold again.
  @Test(arguments: romEngines)
  func epochsThatBeginAnewChangeNothing(engine: Engine) throws {
    let machines = try [0, 1].map { _ in try machine("spaces", .pentium4, engine) }
    var count: UInt64 = 0
    var beginnings = 0
    while machines.contains(where: { $0.exitCode == nil }) && count < 1_000_000 {
      count += 1201
      for machine in machines { machine.run(instructions: count) }
      let last = machines[1].cpu.spaces.lastEpoch
      if last < CodeTag.epochs - 64 { beginnings += 1 }
      machines[1].cpu.spaces.lastEpoch = max(last, CodeTag.epochs - 8)
      let tables = machines.map { $0.cpu.saveTranslations() }
      #expect(Set(tables.map { $0.filled.sorted() }).count == 1, "\(count)")
      #expect(Set(tables.map(\.spaces.lists)).count == 1, "\(count)")
    }
    for machine in machines { check(machine, "spaces") }
    #expect(beginnings > 2)
  }

  #if os(Linux) && arch(x86_64)
    @Test(arguments: TranslatorOptions.named.map(\.name))
    func passesWithoutEachOptimisation(option name: String) throws {
      let option = try #require(TranslatorOptions.named(name))
      for (rom, make) in CPUTestROMs.all.sorted(by: { $0.key < $1.key }) {
        let machine = try ROMMachine(
          rom: make(), model: .pentium4, engine: .translator,
          options: TranslatorOptions.all.subtracting(option), high: 8 << 20)
        // Much of what the ROMs do they do only a few times.
        machine.cpu.translationThreshold = 2
        machine.run()
        check(machine, "\(rom) without \(name)")
      }
    }
  #endif

  /// Saved and restored every few instructions, the run is the same to the last one.
  @Test(arguments: CPUTestROMs.all.keys.sorted(), romEngines)
  func passesThroughSavedStates(name: String, engine: Engine) throws {
    let straight = try machine(name, .pentium2, .interpreter)
    straight.run()
    let machine = try machine(name, .pentium2, engine)
    let end = straight.cpu.instructionCount
    let step = max(97, end / 5000 | 1)
    var deadline: UInt64 = 0
    while machine.exitCode == nil && deadline < end {
      deadline += step
      machine.run(instructions: deadline)
      var writer = StateWriter()
      machine.cpu.save(to: &writer)
      machine.cpu.reset()
      var reader = StateReader(writer.bytes)
      try machine.cpu.restore(from: &reader, version: CPU.stateVersion)
      #expect(reader.remaining == 0)
      var again = StateWriter()
      machine.cpu.save(to: &again)
      let same = again.bytes == writer.bytes
      #expect(same)
    }
    check(machine, "saved and restored")
    let one = machine.cpu.instructionCount
    #expect(one == end)
  }
}
