// The BIOS as guest programs see it: each program in TestROMs/bios is booted from a floppy in a
// whole machine, headless, and says on port E9h whether what it expects is so. The expectations
// and where they are from stand at the top of each program.

import FirmwareImages
import Foundation
import Machine
import Storage
import TestSupport
import Testing

@Suite struct BIOSTests {
  /// What a test said, why it ended, and how many instructions it took.
  struct Outcome {
    var text: String
    var reason: StopReason
    var instructions: UInt64
    /// What is lit on the keyboard.
    var lamps: UInt8
  }

  private func run(
    _ name: String, floppy: MachineImage? = nil, disks: [DiskGeometry] = [],
    board: String = "isa", display: DisplayAdapter = .std, memory: Int = 32,
    limit: UInt64 = 5_000_000_000
  ) throws -> Outcome {
    let assembled = try #require(TestROMs.bios[name])
    var configuration = MachineConfiguration.small(floppy: assembled(), name: name) {
      $0.board = board
      $0.display = display
      $0.memoryMegabytes = memory
      if let floppy { $0.floppies[0] = floppy }
    }
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
      instructions: machine.cpu.instructionCount, lamps: machine.keyboardController.keyboard.leds)
  }

  @Test(arguments: [
    "data_area", "keyboard", "floppy", "floppy_tracks", "flags", "v86", "config_port", "system",
    "clock", "mouse", "serial", "video_text", "video_graphics",
  ])
  func servicesBehaveAsDocumented(name: String) throws {
    let outcome = try run(name)
    #expect(outcome.text == "PASS\n", "\(outcome.reason)")
  }

  @Test(arguments: ["flags", "v86"])
  func theSameWithADisk(name: String) throws {
    let outcome = try run(name, disks: [DiskGeometry(cylinders: 80, heads: 16, sectors: 63)])
    #expect(outcome.text == "PASS\n", "\(outcome.reason)")
  }

  /// What PCI brought: on the board that has it.
  @Test(arguments: [
    "pci", "apm", "tables", "aliased", "system", "v86", "data_area", "flags", "clock",
  ])
  func servicesBehaveAsDocumentedWithPCI(name: String) throws {
    let outcome = try run(name, board: "pc")
    #expect(outcome.text == "PASS\n", "\(outcome.reason)")
  }

  /// Power management, Plug and Play and tables on the board without PCI.
  @Test(arguments: ["apm", "tables", "aliased"])
  func theSameWithoutPCI(name: String) throws {
    let outcome = try run(name)
    #expect(outcome.text == "PASS\n", "\(outcome.reason)")
  }

  /// The VESA BIOS extension, its linear frame buffer without PCI and with it.
  @Test(arguments: ["isa", "pc"])
  func graphicsModesAreAsVESASays(board: String) throws {
    let outcome = try run("vbe", board: board, limit: 20_000_000_000)
    #expect(outcome.text == "PASS\n", "\(outcome.reason)")
  }

  @Test func graphicsModesOfTheCirrusAreAsVESASays() throws {
    let outcome = try run("vbe", board: "pc", display: .cirrus, limit: 20_000_000_000)
    #expect(outcome.text == "PASS\n", "\(outcome.reason)")
  }

  /// Little memory, more than 16 MiB, more than 64 MiB, and what lies above 4 GiB.
  @Test(arguments: [1, 2, 16, 17, 65, 512, 4096, 6144])
  func tablesAgreeOnTheMemory(megabytes: Int) throws {
    let outcome = try run("tables", board: "pc", memory: megabytes)
    #expect(outcome.text == "PASS\n", "\(outcome.reason)")
  }

  /// Sizes that are powers of two, that are many of them, the most below the hole, and what lies above 4 GiB.
  @Test(arguments: [16, 64, 100, 3071, 3583, 9001, 16384])
  func memoryIsCachedAndDevicesAreNot(megabytes: Int) throws {
    let outcome = try run("memory_types", board: "pc", memory: megabytes)
    #expect(outcome.text == "PASS\n", "\(outcome.reason)")
  }

  /// From the shift state to the keyboard: Num Lock and Caps Lock.
  @Test func lampsAreLitInOneExchange() throws {
    let outcome = try run("keyboard_lamps")
    #expect(outcome.text == "PASS\n", "\(outcome.reason)")
    #expect(outcome.lamps == 0x06)
  }

  /// From a file of some size to what INT 13h reads: more tracks, more sectors a track, and last tracks that are not complete.
  @Test(arguments: [
    (1_474_560, 18), (1_492_992, 18), (1_511_424, 18), (1_529_856, 18), (1_475_072, 18),
    (1_475_584, 18), (1_484_800, 18), (1_638_400, 20), (1_720_320, 21), (1_763_328, 21),
    (1_884_160, 23), (2_949_120, 36), (737_280, 9), (755_712, 9), (1_228_800, 15), (1_259_520, 15),
    (368_640, 9),
  ])
  func floppiesOfAnySizeAreReadToTheirEnd(size: Int, sectors: Int) throws {
    let assembled = try #require(TestROMs.bios["floppy_size"])
    var bytes = Array(assembled().prefix(size))
    bytes += [UInt8](repeating: 0, count: size - bytes.count)
    let mark = Array("GEOMETRY".utf8)
    let at = try #require(
      (512..<4096).first { Array(bytes[$0..<$0 + mark.count]) == mark })
    let used = try #require(
      (at / 512..<100).first { bytes[$0 * 512..<$0 * 512 + 512].allSatisfy { $0 == 0 } })
    let total = size / 512
    let perCylinder = 2 * sectors
    func put(_ value: Int, at place: Int) {
      bytes[place] = UInt8(value & 0xFF)
      bytes[place + 1] = UInt8(value >> 8)
    }
    // The last cylinder that follows a whole one.
    let whole = (total - 1) / perCylinder * perCylinder
    for (index, value) in [sectors, 2, total, whole].enumerated() {
      put(value, at: at + mark.count + 2 * index)
    }
    for sector in used..<total { put(sector, at: sector * 512) }

    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("apus-floppy-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(FileManager.default.createFile(atPath: path, contents: Data(bytes)))
    let image = try ImageOpener.open(path: path, snapshot: true)
    let outcome = try run("floppy_size", floppy: MachineImage(image))
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
