// SeaBIOS as it is delivered, in both sizes and on both boards, from power-on to a boot sector. It is looked for in APUS_GUESTS and in
// /usr/share/seabios (Debian's package seabios); what is not there is skipped.

import Bus
import Chipset
import Foundation
import Machine
import Storage
import TestSupport
import Testing

private let folders =
  [ProcessInfo.processInfo.environment["APUS_GUESTS"], "/usr/share/seabios"].compactMap { $0 }

private func firmware(_ name: String) -> LoadFile? {
  for folder in folders {
    let path = "\(folder)/\(name)"
    if let data = FileManager.default.contents(atPath: path) {
      return LoadFile(path: path, bytes: [UInt8](data))
    }
  }
  return nil
}

/// 128 KB, which is at its place when it starts; 256 KB, which has to move itself below 1 MB.
private let sizes = ["bios.bin", "bios-256k.bin"]
private let isThere = sizes.allSatisfy { firmware($0) != nil }

/// One boot.
struct SeaBIOSCase: Sendable, CustomTestStringConvertible {
  var bios: String
  var board: String
  var testDescription: String { "\(bios) on \(board)" }

  static let all = BoardDescription.boards.keys.sorted().flatMap { board in
    sizes.map { SeaBIOSCase(bios: $0, board: board) }
  }
}

@Suite(.enabled(if: isThere, "no SeaBIOS in APUS_GUESTS or /usr/share/seabios"))
struct SeaBIOSTests {
  /// `mov al, 15h / out 0F4h, al`, which ends with 2Bh; another sector ends with another code.
  private static func sector(_ code: UInt8) -> [UInt8] { [0xB0, code, 0xE6, 0xF4, 0xEB, 0xFE] }

  /// Runs to the end and returns how it ended and what SeaBIOS told at port 402h.
  private func boot(
    _ test: SeaBIOSCase, floppy: [UInt8]? = nil, disk: [UInt8]? = nil,
    _ change: (inout MachineConfiguration) -> Void = { _ in }
  ) throws -> (stop: StopReason, text: String) {
    var configuration = MachineConfiguration.small(booting: floppy)
    configuration.memoryMegabytes = 32
    configuration.bios = firmware(test.bios)
    configuration.board = test.board
    if let disk {
      var bytes = [UInt8](repeating: 0, count: 2 << 20)
      bytes.replaceSubrange(0..<disk.count, with: disk)
      (bytes[510], bytes[511]) = (0x55, 0xAA)
      configuration.disks[0] = MachineImage(
        name: "disk", device: MemoryImage(bytes: bytes, name: "disk"),
        medium: .disk(
          physical: DiskGeometry.standard(sectorCount: 4096),
          translated: DiskGeometry.standard(sectorCount: 4096)))
    }
    change(&configuration)
    let machine = try Machine(configuration)
    var text: [UInt8] = []
    machine.debugOutput = { text.append($0) }
    let stop = machine.run(untilInstruction: 2_000_000_000)
    return (stop, String(decoding: text, as: UTF8.self))
  }

  @Test(arguments: SeaBIOSCase.all) func aFloppyBoots(test: SeaBIOSCase) throws {
    let (stop, text) = try boot(test, floppy: SeaBIOSTests.sector(0x15))
    #expect(stop == .guestExit(0x2B), "\(text)")
    #expect(text.contains("QEMU fw_cfg DMA interface supported"))
    #expect(text.contains("len 0x0000000002000000 [RAM]"))
    #expect(text.contains("Copying SMBIOS"))
    #expect(text.contains("Running option rom at c000:0003"))
    if test.board == "pc" {
      #expect(text.contains("init bdf=00:00.0 id=8086:1237"))
      #expect(!text.contains("Unable to"))
    }
  }

  @Test(arguments: SeaBIOSCase.all) func theBootOrderChoosesTheDisk(test: SeaBIOSCase) throws {
    for (order, code) in [([.disk, .floppy], 0x2B), ([.floppy, .disk], 0x2D)]
      as [([BootDevice], Int)]
    {
      let (stop, text) = try boot(
        test, floppy: SeaBIOSTests.sector(0x16), disk: SeaBIOSTests.sector(0x15)
      ) { $0.bootOrder = order }
      #expect(stop == .guestExit(code), "\(text)")
    }
  }

  /// El Torito without emulation: boot record in sector 17, catalog in 18, the code in 19.
  private static func disc(_ code: [UInt8]) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 400 * 2048)
    func put(_ part: [UInt8], _ at: Int) { bytes.replaceSubrange(at..<at + part.count, with: part) }
    put([0] + Array("CD001".utf8) + [1] + Array("EL TORITO SPECIFICATION".utf8), 17 * 2048)
    put([18], 17 * 2048 + 0x47)
    put([1], 18 * 2048)
    put([0xAA, 0x55, 0x55, 0xAA], 18 * 2048 + 0x1C)
    put([0x88, 0, 0, 0, 0, 0, 4, 0, 19], 18 * 2048 + 0x20)
    put(code, 19 * 2048)
    return bytes
  }

  @Test(arguments: SeaBIOSCase.all, [1, 2]) func aCDBoots(test: SeaBIOSCase, position: Int) throws {
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("apus-seabios-\(UUID().uuidString).iso").path
    let disc = SeaBIOSTests.disc(SeaBIOSTests.sector(0x15))
    #expect(FileManager.default.createFile(atPath: path, contents: Data(disc)))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let image = MachineImage(try ImageOpener.open(path: path, kind: .cd))
    let (stop, text) = try boot(
      test, floppy: SeaBIOSTests.sector(0x16), disk: SeaBIOSTests.sector(0x17)
    ) {
      $0.cds[position] = .disc(image)
      $0.bootOrder = [.cd, .disk, .floppy]
    }
    #expect(stop == .guestExit(0x2B), "\(text)")
  }

  /// A ROM that ends the run when it is initialized: `jmp short 4` over a byte, then as above.
  @Test(arguments: SeaBIOSCase.all) func anOptionROMRuns(test: SeaBIOSCase) throws {
    var rom: [UInt8] = [0x55, 0xAA, 1] + SeaBIOSTests.sector(0x15)
    rom += [UInt8](repeating: 0, count: 511 - rom.count)
    rom.append(0 &- rom.reduce(0, &+))
    let (stop, text) = try boot(test, floppy: SeaBIOSTests.sector(0x16)) {
      $0.firmwareFiles = [FirmwareFile(name: "genroms/end.rom", bytes: rom)]
    }
    #expect(stop == .guestExit(0x2B), "\(text)")
  }

  /// The hard reset of port CF9h: memory is shadowed anew. The second time the boot sector finds its mark in the CMOS (60h).
  @Test(arguments: SeaBIOSCase.all) func aResetStartsItAgain(test: SeaBIOSCase) throws {
    // mov al,60h / out 70h,al / in al,71h / cmp al,5Ah / je done / mov al,60h / out 70h,al / mov al,5Ah / out 71h,al / mov dx,0CF9h /
    // mov al,6 / out dx,al / jmp $ / done: the end of the run
    let code =
      bytes("b060e670e4713c5a7410b060e670b05ae671baf90cb006eeebfe") + SeaBIOSTests.sector(0x15)
    let (stop, text) = try boot(test, floppy: code)
    #expect(stop == .guestExit(0x2B), "\(text)")
  }
}
