// UEFI firmware from flash memory: its shell, variables, reset and power, GRUB from a disk and from a CD. Needs $APUS_GUESTS/uefi with
// edk2-i386-code.fd and edk2-i386-vars.fd, and for GRUB esp.img and grub-efi.iso (Tests/Guests/gather.sh says where they come from).

import Foundation
import Machine
import Session
import Storage
import Testing

private let folder = (ProcessInfo.processInfo.environment["APUS_GUESTS"] ?? "") + "/uefi/"

private func has(_ names: String...) -> Bool {
  (["edk2-i386-code.fd", "edk2-i386-vars.fd"] + names).allSatisfy {
    FileManager.default.fileExists(atPath: folder + $0)
  }
}

private func image(_ name: String, _ kind: ImageKind = .disk) throws -> MachineImage {
  MachineImage(try ImageOpener.open(path: folder + name, kind: kind, snapshot: true))
}

/// A machine with the firmware, and what it says on COM1.
private final class UEFIGuest {
  let machine: Machine
  private var serial: [UInt8] = []
  private var isOver = false

  init(_ change: (inout MachineConfiguration) throws -> Void = { _ in }) throws {
    var configuration = MachineConfiguration()
    configuration.cpu = .pentium3
    configuration.memoryMegabytes = 256
    let code = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + "edk2-i386-code.fd")))
    configuration.bios = LoadFile(path: "edk2-i386-code.fd", bytes: code)
    configuration.flash = MachineImage(
      try ImageOpener.openFlash(
        path: folder + "edk2-i386-vars.fd", blockSize: 4096, mostBytes: 8 << 20, snapshot: true))
    try change(&configuration)
    machine = try Machine(configuration)
  }

  /// Types at COM1 and waits for a text there that comes afterwards.
  func say(_ keys: String, _ text: String) {
    if isOver { return }
    machine.input.post(.serial(port: 0, bytes: Array(keys.utf8)))
    let script = Script([.expect(text)])
    machine.script = script
    machine.serialOutput = {
      script.serialOutput($0, $1)
      self.serial.append($1)
    }
    let limit = machine.clock.count + 20_000_000_000
    isOver = machine.run(untilInstruction: limit) != .expectationMet
    let end = String(decoding: serial.suffix(2000), as: UTF8.self)
    #expect(!isOver, "waiting for '\(text)':\n\(end)")
  }
}

@Suite(.serialized) struct UEFITests {
  @Test(.enabled(if: has())) func theShellKeepsAVariableOverAResetAndTurnsOff() throws {
    let guest = try UEFIGuest()
    guest.say("", "startup.nsh")
    guest.say("\r", "Shell> ")
    guest.say("set apusvar fortytwo\r", "Shell> ")
    guest.say("reset\r", "startup.nsh")
    guest.say("\r", "Shell> ")
    guest.say("set apusvar\r", "fortytwo")
    guest.machine.script = nil
    guest.machine.input.post(.serial(port: 0, bytes: Array("reset -s\r".utf8)))
    #expect(
      guest.machine.run(untilInstruction: guest.machine.clock.count + 5_000_000_000) == .powerOff)
  }

  /// GRUB is a file of nine megabytes, which the firmware reads in regions that cross 64 KiB.
  @Test(.enabled(if: has("esp.img"))) func grubStartsFromADisk() throws {
    let guest = try UEFIGuest { $0.disks[0] = try image("esp.img") }
    guest.say("", "GRUB-EFI-UP from efi i386")
  }

  @Test(.enabled(if: has("grub-efi.iso"))) func grubStartsFromACD() throws {
    let guest = try UEFIGuest { $0.cds[2] = .disc(try image("grub-efi.iso", .cd)) }
    guest.say("", "GRUB-EFI-UP from efi i386")
  }
}
