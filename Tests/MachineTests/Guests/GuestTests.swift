// Real systems from the distribution's packages, from power-on to where a user works with them. Needs the folder that
// Tests/Guests/gather.sh fills, named by APUS_GUESTS; without it the tests are skipped.

import Chipset
import Foundation
import Machine
import Session
import Storage
import Testing

private let folder = ProcessInfo.processInfo.environment["APUS_GUESTS"]

private func guest(_ name: String) -> String { "\(folder ?? "")/\(name)" }

private func has(_ names: String...) -> Bool {
  folder != nil && names.allSatisfy { FileManager.default.fileExists(atPath: guest($0)) }
}

private func file(_ name: String) throws -> LoadFile {
  LoadFile(path: name, bytes: [UInt8](try Data(contentsOf: URL(fileURLWithPath: guest(name)))))
}

/// Steps: text waited for, or keys after "> ".
private func steps(_ lines: [String]) throws -> [ScriptStep] {
  try lines.map {
    $0.hasPrefix("> ") ? .type(try KeyScript.parse(String($0.dropFirst(2))), $0) : .expect($0)
  }
}

/// Boots and follows the steps.
private func follow(
  _ lines: [String], limit: UInt64, _ change: (inout MachineConfiguration) throws -> Void
) throws {
  var configuration = MachineConfiguration()
  try change(&configuration)
  let machine = try Machine(configuration)
  let script = Script(try steps(lines))
  machine.script = script
  var serial: [UInt8] = []
  machine.serialOutput = {
    script.serialOutput($0, $1)
    serial.append($1)
  }
  let stop = machine.run(untilInstruction: limit)
  let screen = (machine.screenText ?? []).joined(separator: "\n")
  let waiting = script.nextExpectation?.text ?? ""
  #expect(
    stop == .expectationMet,
    "waiting for '\(waiting)'; screen:\n\(screen)\nserial:\n\(String(decoding: serial.suffix(2000), as: UTF8.self))"
  )
}

private func image(_ name: String) throws -> MachineImage {
  MachineImage(try ImageOpener.open(path: guest(name), snapshot: true))
}

@Suite(.serialized) struct GuestTests {
  @Test(
    .enabled(if: has("grub-rescue-floppy.img", "freedos.img")),
    arguments: ["grub-rescue-floppy.img", "freedos.img"])
  func aBootContinuedFromASavedStateEqualsAnUnbrokenOne(name: String) throws {
    func machine() throws -> Machine {
      var configuration = MachineConfiguration()
      configuration.floppies[0] = try image(name)
      return try Machine(configuration)
    }
    let end: UInt64 = 150_000_000
    let straight = try machine()
    _ = straight.run(untilInstruction: end)
    let expected = straight.stateHash()
    for millions in [1, 3, 7, 15, 31, 47, 63, 99, 120, 149] as [UInt64] {
      let first = try machine()
      _ = first.run(untilInstruction: millions * 1_000_000 - 123)
      let second = try machine()
      try second.restoreState(first.saveState())
      _ = second.run(untilInstruction: end)
      #expect(second.stateHash() == expected, "saved near \(millions) million instructions")
    }
  }

  @Test(.enabled(if: has("grub-rescue-floppy.img")))
  func grubReachesItsMenuAndCommandLine() throws {
    try follow(
      ["GNU GRUB", "> c", "grub>", "> echo swift<enter>", "swift\ngrub>"], limit: 20_000_000_000
    ) {
      $0.floppies[0] = try image("grub-rescue-floppy.img")
    }
  }

  @Test(.enabled(if: has("freedos.img")))
  func freeDOSRunsCommands() throws {
    try follow(["A:\\>", "> echo the swift<enter>", "the swift\n"], limit: 20_000_000_000) {
      $0.floppies[0] = try image("freedos.img")
    }
  }

  @Test(.enabled(if: has("memtest86+ia32.bin")))
  func memtestTestsMemory() throws {
    try follow(["Testing", "[Address test"], limit: 20_000_000_000) {
      $0.memoryMegabytes = 16
      $0.kernel = KernelConfiguration(kernel: try file("memtest86+ia32.bin"))
    }
  }

  @Test(.enabled(if: has("ipxe.lkrn")))
  func ipxeStarts() throws {
    try follow(["iPXE initialising devices", "No more network devices"], limit: 20_000_000_000) {
      $0.kernel = KernelConfiguration(kernel: try file("ipxe.lkrn"))
    }
  }

  @Test(.enabled(if: has("invaders.exec")))
  func grubInvadersIsPlayed() throws {
    try follow(["-*-", "> <space><wait 500><left><left><space>", "/ \\"], limit: 20_000_000_000) {
      $0.kernel = KernelConfiguration(kernel: try file("invaders.exec"))
    }
  }

  @Test(.enabled(if: has("vmlinuz-686", "initramfs.gz")))
  func linuxReachesAShell() throws {
    var configuration = MachineConfiguration()
    configuration.kernel = KernelConfiguration(
      kernel: try file("vmlinuz-686"), commandLine: "console=ttyS0",
      initrd: try file("initramfs.gz"))
    try shell(configuration)
  }

  /// The kernel isolates the cards, puts each where its resource data allows and nothing else is, and finds the serial ports there.
  @Test(.enabled(if: has("vmlinuz-686", "initramfs.gz")))
  func linuxConfiguresPlugAndPlayCards() throws {
    let lines = [
      "isapnp: 2 Plug & Play cards detected total", "01:01.00: ttyS2 at I/O 0x",
      "01:02.00: ttyS3 at I/O 0x",
    ]
    try follow(lines, limit: 10_000_000_000) {
      $0.kernel = KernelConfiguration(
        kernel: try file("vmlinuz-686"), commandLine: "console=ttyS0",
        initrd: try file("initramfs.gz"))
      $0.parts = ["pnp-uart", "pnp-uart"]
    }
  }

  @Test(.enabled(if: has("syslinux-linux.img")))
  func linuxBootsFromADiskThroughTheBIOS() throws {
    var configuration = MachineConfiguration()
    configuration.disks[0] = try image("syslinux-linux.img")
    try shell(configuration)
  }

  /// Waits for the greeting of the initramfs, then talks to the shell on COM1.
  private func shell(_ configuration: MachineConfiguration) throws {
    let machine = try Machine(configuration)
    var serial: [UInt8] = []
    func go(_ text: String) -> Bool {
      let script = Script([.expect(text)])
      machine.script = script
      machine.serialOutput = {
        script.serialOutput($0, $1)
        serial.append($1)
      }
      let met = machine.run(untilInstruction: 100_000_000_000) == .expectationMet
      #expect(
        met, "waiting for '\(text)':\n\(String(decoding: serial.suffix(3000), as: UTF8.self))")
      return met
    }
    guard go("init: Linux"), go("# ") else { return }
    machine.input.post(.serial(port: 0, bytes: Array("echo $((6 * 7)) swifts\n".utf8)))
    _ = go("42 swifts")
  }
}
