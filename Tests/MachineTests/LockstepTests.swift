// Whole machines in lockstep: interpreter and translated code must agree in everything, instruction by instruction.
//
// The small guests and the demo disk always; real systems with APUS_GUESTS (see GuestTests.swift), the first part of each boot. Boots to
// the end, and of everything else: Tests/Guests/lockstep.sh.

#if os(Linux) && arch(x86_64)
  import CPU
  import Chipset
  import FirmwareImages
  import Foundation
  import Storage
  import Session
  import TestSupport
  import Testing

  @testable import Machine

  private let folder = ProcessInfo.processInfo.environment["APUS_GUESTS"]

  private func guest(_ name: String) -> String { "\(folder ?? "")/\(name)" }

  private func has(_ names: String...) -> Bool {
    folder != nil && names.allSatisfy { FileManager.default.fileExists(atPath: guest($0)) }
  }

  @Suite struct LockstepTests {
    /// Runs a machine in both engines.
    /// - Parameters:
    ///   - slice: instructions between comparisons.
    ///   - threshold: how often a block is interpreted before it is translated.
    private func run(
      _ instructions: UInt64, slice: UInt64 = 250_000, threshold: UInt32 = 24,
      steps: [ScriptStep] = [],
      _ change: (inout MachineConfiguration) throws -> Void
    ) throws {
      var configuration = MachineConfiguration()
      configuration.exitPort = 0xF4
      try change(&configuration)
      let lockstep = try Lockstep(configuration)
      lockstep.slice = slice
      lockstep.translated.cpu.translationThreshold = threshold
      if !steps.isEmpty { lockstep.follower = Script(steps) }
      if case .differs(let difference) = lockstep.run(untilInstruction: instructions) {
        Issue.record("\(difference.text)")
      }
    }

    private func floppy(_ code: [UInt8]) -> MachineImage? {
      MachineImage(floppy: bootFloppy(code), name: "test")
    }

    @Test(arguments: [1, 2, 24] as [UInt32])
    func smallGuests(threshold: UInt32) throws {
      for code in [
        Guest.serialHello, Guest.halt, Guest.tripleFault, Guest.powerOff, Guest.ticks,
        Guest.resetOnce,
      ] {
        try run(6_000_000, slice: 9973, threshold: threshold) {
          $0.memoryMegabytes = 2
          $0.floppies[0] = floppy(code)
        }
      }
    }

    @Test func typedKeysReachBoth() throws {
      let steps: [ScriptStep] = [
        .expect("A"), .type(try KeyScript.parse("swift<enter>"), ""), .expect("never"),
      ]
      try run(400_000_000, steps: steps) { $0.floppies[0] = floppy(Guest.echoKeys) }
    }

    /// A script looks, types and ends the run at the same instructions as with one engine alone.
    @Test func scriptedRunsEndAlike() throws {
      let steps: [ScriptStep] = [
        .expect("A"), .type(try KeyScript.parse("swift"), ""), .expect("t"),
      ]
      var configuration = MachineConfiguration()
      configuration.floppies[0] = floppy(Guest.echoKeys)
      for (steps, limit) in [(Array(steps[..<1]), 400_000_000), (steps, 130_000_000 as UInt64)] {
        let lockstep = try Lockstep(configuration)
        lockstep.follower = Script(steps)
        _ = lockstep.run(untilInstruction: limit)
        for engine in [Engine.interpreter, .translator] {
          configuration.engine = engine
          let machine = try Machine(configuration)
          machine.follower = Script(steps)
          _ = machine.run(untilInstruction: limit)
          #expect(machine.instructionCount == lockstep.machine.instructionCount)
          // Images are those of the pair.
          let parts = [machine, lockstep.machine].map { machine in
            machine.partHashes().filter { !$0.name.hasPrefix("medium-") }.map(\.hash)
          }
          #expect(parts[0] == parts[1])
        }
      }
    }

    @Test(arguments: ["386", "pentium4"])
    func theDemoDisk(model: String) throws {
      try run(300_000_000) {
        $0.cpu = try #require(CPUModel.named(model))
        $0.floppies[0] = MachineImage(floppy: FirmwareImages.demoFloppy, name: "demo")
      }
    }

    private static let floppyNames = ["freedos.img", "grub-rescue-floppy.img"]

    @Test(.enabled(if: folder != nil, "set APUS_GUESTS"), arguments: floppyNames)
    func startOfAFloppyBoot(name: String) throws {
      guard has(name) else { return }
      try run(200_000_000) {
        $0.floppies[0] = MachineImage(try ImageOpener.open(path: guest(name), snapshot: true))
      }
    }

    private static let kernelNames = [
      "memtest86+ia32.bin", "ipxe.lkrn", "invaders.exec", "vmlinuz-686",
    ]

    @Test(.enabled(if: folder != nil, "set APUS_GUESTS"), arguments: kernelNames)
    func startOfAKernel(name: String) throws {
      guard has(name) else { return }
      func file(_ name: String) throws -> LoadFile {
        LoadFile(
          path: name, bytes: [UInt8](try Data(contentsOf: URL(fileURLWithPath: guest(name)))))
      }
      let isLinux = name.hasPrefix("vmlinuz") && has("initramfs.gz")
      try run(isLinux ? 1_000_000_000 : 200_000_000) {
        $0.kernel = KernelConfiguration(
          kernel: try file(name), commandLine: "console=ttyS0",
          initrd: isLinux ? try file("initramfs.gz") : nil)
      }
    }
  }
#endif
