// The BIOS as guest programs see it: each program in TestROMs/bios is booted from a floppy in a
// whole machine, headless, and says on port E9h whether what it expects is so. The expectations
// and where they are from stand at the top of each program.

import FirmwareImages
import Machine
import Storage
import Testing

@Suite struct BIOSTests {
  /// What a test said, why it ended, and how many instructions it took.
  struct Outcome {
    var text: String
    var reason: StopReason
    var instructions: UInt64
  }

  private func run(
    _ name: String, disks: [DiskGeometry] = [], limit: UInt64 = 5_000_000_000
  ) throws -> Outcome {
    let assembled = try #require(TestROMs.bios[name])
    var configuration = MachineConfiguration()
    configuration.memoryMegabytes = 32
    configuration.exitPort = 0xF4
    configuration.floppies[0] = MachineImage(floppy: assembled(), name: name)
    for (index, geometry) in disks.enumerated() {
      let sectors = geometry.cylinders * geometry.heads * geometry.sectors
      configuration.disks[index] = MachineImage(
        name: "disk \(index)", device: MemoryImage(bytes: [], sectorCount: sectors),
        medium: .disk(physical: geometry, translated: geometry))
    }
    let machine = try Machine(configuration)
    final class Gathered {
      var bytes: [UInt8] = []
    }
    let gathered = Gathered()
    machine.debugOutput = { gathered.bytes.append($0) }
    let reason = machine.run(untilInstruction: limit)
    return Outcome(
      text: String(decoding: gathered.bytes, as: UTF8.self), reason: reason,
      instructions: machine.cpu.instructionCount)
  }

  @Test(arguments: [
    "data_area", "keyboard", "floppy", "system", "clock", "mouse", "serial", "video_text",
    "video_graphics",
  ])
  func servicesBehaveAsDocumented(name: String) throws {
    let outcome = try run(name)
    #expect(outcome.text == "PASS\n", "\(outcome.reason)")
  }

  /// 40 MB untranslated; 600 MB, more than 1024 cylinders.
  @Test(arguments: [
    DiskGeometry(cylinders: 80, heads: 16, sectors: 63),
    DiskGeometry(cylinders: 1219, heads: 16, sectors: 63),
  ])
  func diskServicesBehaveAsDocumented(geometry: DiskGeometry) throws {
    let outcome = try run("disk", disks: [geometry])
    #expect(outcome.text == "PASS\n", "\(outcome.reason)")
  }

  /// From reset to the end of a short test. Most of it is waiting for the keyboard's serial line.
  @Test func powerOnSelfTestIsQuick() throws {
    let outcome = try run("data_area")
    #expect(outcome.instructions < 3_000_000)
  }
}
