// Runs the device test ROMs of TestROMs/devices in whole machines: each checks itself and says PASS.
//
// The same images run on QEMU and Bochs; where those leave the datasheet, the sources say so.

import CPU
import Chipset
import Machine
import State
import Storage
import TestSupport
import Testing
import Translator

/// The images, assembled at build time from the sources that roms.txt lists.
enum DeviceTestROMs {}

/// What the drives hold; the sources of the ROMs say it in words.
enum Patterns {
  static let floppy: [UInt8] = (0..<1_474_560).map { i in
    let sector = i >> 9
    return UInt8(truncatingIfNeeded: sector * 7 + (i & 511)) ^ UInt8((sector >> 3) & 255)
  }
  static let floppyB = floppy.map { ~$0 }
  static let flash: [UInt8] = (0..<1 << 16).map { 0x1000..<0x2000 ~= $0 ? 0x5A : 0xFF }
  static let disc: [UInt8] = (0..<1000 * 2048).map {
    UInt8(truncatingIfNeeded: $0 / 2048 + ($0 & 2047) / 256)
  }
  static let disks: [[UInt8]] = (0..<3).map { number in
    (0..<4 * 16 * 63 * 512).map { i in
      let sector = i >> 9
      let at = i & 511
      let value = at == 0 ? sector : at == 1 ? sector >> 8 : sector + at - 2
      return UInt8(truncatingIfNeeded: at == 2 ? value + number << 6 : value)
    }
  }
}

/// A machine with the ROM as BIOS, a patterned floppy in A and a patterned disk of 4 cylinders, 16 heads, 63 sectors; more of both
/// for the ROM that tests them.
final class TestMachine {
  let machine: Machine
  var text = ""
  var exitCode: Int?

  init(name: String, engine: Engine) throws {
    machine = try Machine(TestMachine.configuration(name: name, engine: engine))
    machine.debugOutput = { [unowned self] in
      text.unicodeScalars.append(Unicode.Scalar($0))
      // The ROM asks for keys, and is not shown its own words again.
      if text == "keys\n" {
        text = ""
        machine.typist.type(TestMachine.keys)
      }
    }
  }

  static func configuration(name: String, engine: Engine) throws -> MachineConfiguration {
    let make = try #require(DeviceTestROMs.all[name])
    let geometry = DiskGeometry(cylinders: 4, heads: 16, sectors: 63)
    var configuration = MachineConfiguration.small { $0.engine = engine }
    // The ROMs wait by reading the timer: seconds of the guest at a tenth of the usual price.
    configuration.instructionsPerSecond = 10_000_000
    configuration.bios = LoadFile(path: name, bytes: make())
    configuration.resetsOnTripleFault = name == "reset"
    // Without a BIOS nobody tells the PIIX3 to decode the channels.
    configuration.board = name == "busmaster" || name.hasPrefix("smm") ? "pc" : "isa"
    if name == "flash" {
      configuration.flash = MachineImage(
        name: name, device: MemoryImage(bytes: Patterns.flash, name: name), medium: .flash)
    }
    if name == "smmtwo" || name == "smminit" { configuration.processorCount = 2 }
    if name == "isapnp" { configuration.parts = ["pnp-uart", "pnp-uart"] }
    configuration.floppies[0] = MachineImage(floppy: Patterns.floppy, name: "floppy")
    if name == "drives" {
      configuration.floppies[1] = MachineImage(floppy: Patterns.floppyB, name: "floppy B")
    }
    if name == "cdrom" {
      configuration.cds[2] = .disc(
        MachineImage(try ImageOpener.disc(Patterns.disc, name: "disc")))
    }
    for number in 0..<(name == "drives" ? 3 : 1) {
      let image = MemoryImage(bytes: Patterns.disks[number], name: "disk")
      configuration.disks[number] = MachineImage(
        name: "disk \(number)", device: image,
        medium: .disk(physical: geometry, translated: geometry))
    }
    return configuration
  }

  /// What keys.asm wants to be pressed.
  private static let keys: [KeyStroke] = [
    .press([.a]), .press([.leftShift, .b]), .press([.f1]), .press([.up]), .press([.pause]),
  ]

  /// Runs to the end of the test or to an instruction; false at the end.
  func run(until instruction: UInt64) -> Bool {
    switch machine.run(untilInstruction: instruction) {
    case .instructionLimit: return true
    case .guestExit(let code): exitCode = code
    default: break
    }
    return false
  }
}

/// The engines this host has.
#if os(Linux) && arch(x86_64)
  let engines: [Engine] = [.interpreter, .translator]
#else
  let engines: [Engine] = [.interpreter]
#endif

@Suite struct DeviceROMTests {
  private static let enough: UInt64 = 400_000_000

  @Test(arguments: DeviceTestROMs.all.keys.sorted(), engines)
  func passes(name: String, engine: Engine) throws {
    let test = try TestMachine(name: name, engine: engine)
    _ = test.run(until: DeviceROMTests.enough)
    #expect(test.text == "PASS\n")
    #expect(test.exitCode == 0x10 << 1 | 1)
  }

  #if os(Linux) && arch(x86_64)
    /// Interpreter and translated code side by side; a block is translated the second time it is met.
    @Test(arguments: DeviceTestROMs.all.keys.sorted())
    func runsAlikeInBothEngines(name: String) throws {
      let lockstep = try Lockstep(TestMachine.configuration(name: name, engine: .lockstep))
      lockstep.slice = 20_011
      lockstep.translated.cpu.translationThreshold = 2
      if case .differs(let difference) = lockstep.run(untilInstruction: 60_000_000) {
        Issue.record("\(difference.text)")
      }
    }
  #endif

  /// The ROM compares the time-stamp counter with the timer; the rate of instructions changes all the time, as a busy host has it.
  @Test(arguments: engines)
  func timeStampsKeepWithTheTimerThroughChangesOfRate(engine: Engine) throws {
    let test = try TestMachine(name: "timestamps", engine: engine)
    let machine = test.machine
    var stamp: UInt64 = 0
    for n in UInt64(1)... {
      machine.take(.rate([10, 250, 3, 33, 97, 20, 1][Int(n % 7)] * 1_000_003))
      #expect(machine.cpu.timeStampCounter >= stamp)
      if !test.run(until: machine.instructionCount + 100_000 + n * 7919 % 900_000) { break }
      stamp = machine.cpu.timeStampCounter
      if machine.instructionCount > DeviceROMTests.enough { break }
      // The ROM sets it once.
      if test.machine.cpu.timeStampCounter < stamp { stamp = 0 }
    }
    #expect(test.text == "PASS\n")
    #expect(test.exitCode == 0x10 << 1 | 1)
  }

  /// Carried over into fresh machines on its way, the run is the same to the last instruction.
  @Test(arguments: DeviceTestROMs.all.keys.sorted(), engines.suffix(1))
  func passesThroughSavedStates(name: String, engine: Engine) throws {
    let straight = try TestMachine(name: name, engine: .interpreter)
    _ = straight.run(until: DeviceROMTests.enough)
    let end = straight.machine.cpu.instructionCount
    let hash = straight.machine.stateHash()

    var test = try TestMachine(name: name, engine: engine)
    let step = max(end / 40, 1) | 1
    var at = step
    while test.run(until: at) {
      if at > DeviceROMTests.enough { break }
      let saved = test.machine.saveState()
      let fresh = try TestMachine(name: name, engine: engine)
      try fresh.machine.restoreState(saved)
      #expect(fresh.machine.saveState() == saved, "saved again at \(at)")
      fresh.text = test.text
      test = fresh
      at += step
    }
    #expect(test.text == straight.text)
    #expect(test.exitCode == straight.exitCode)
    #expect(test.machine.cpu.instructionCount == end)
    #expect(test.machine.stateHash() == hash)
  }
}
