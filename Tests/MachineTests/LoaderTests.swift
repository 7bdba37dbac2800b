// Direct loading: kernels that start, and hostile files.

import Machine
import Testing

private func kernel(
  _ bytes: [UInt8], commandLine: String = "", initrd: [UInt8]? = nil, modules: [[UInt8]] = []
) -> KernelConfiguration {
  KernelConfiguration(
    kernel: LoadFile(path: "kernel", bytes: bytes), commandLine: commandLine,
    initrd: initrd.map { LoadFile(path: "initrd", bytes: $0) },
    modules: modules.map {
      KernelModule(file: LoadFile(path: "module", bytes: $0), commandLine: "module text")
    })
}

private func machineBooting(_ change: (inout MachineConfiguration) -> Void) throws -> Machine {
  try machine(booting: nil, change)
}

private func refusal(_ configuration: KernelConfiguration) -> LoadError? {
  do {
    _ = try machine(booting: nil) { $0.kernel = configuration }
    return nil
  } catch {
    return error as? LoadError
  }
}

@Suite struct LoaderTests {
  @Test func aMultibootKernelFindsWhatTheSpecificationPromises() throws {
    let machine = try machine(booting: nil) {
      $0.kernel = kernel(Guest.multiboot, commandLine: "x", modules: [[0x2A, 1, 2]])
    }
    #expect(machine.run(untilInstruction: enough) == .guestExit(0x55))
  }

  @Test func aLinuxKernelStartsInItsSetupCode() throws {
    #expect(Guest.linux.count == 0x400 + 7)
    let machine = try machine(booting: nil) {
      $0.memoryMegabytes = 4
      $0.kernel = kernel(Guest.linux, commandLine: "hello", initrd: [1, 2, 3])
    }
    #expect(machine.run(untilInstruction: enough) == .guestExit(9))
    #expect(machine.memory.peek(0x100000, count: 7) == Array("payload".utf8))
  }

  /// A BIOS that runs option ROMs, and one that does nothing. The first: far call of CF00:0003, INT 19h.
  @Test(arguments: ["isa", "pc"])
  func aKernelStartsWithAnyBIOSThatRunsOptionROMs(board: String) throws {
    func bios(_ code: [UInt8]) -> LoadFile {
      var bytes = [UInt8](repeating: 0, count: 64 << 10)
      bytes.replaceSubrange(0..<code.count, with: code)
      // jmp F000:0000
      bytes.replaceSubrange(0xFFF0..<0xFFF5, with: [0xEA, 0x00, 0x00, 0x00, 0xF0])
      return LoadFile(path: "bios", bytes: bytes)
    }
    func machine(_ code: [UInt8]) throws -> Machine {
      try machineBooting {
        $0.board = board
        $0.bios = bios(code)
        $0.kernel = kernel(Guest.multiboot, commandLine: "x", modules: [[0x2A, 1, 2]])
      }
    }
    // xor ax, ax; mov ss, ax; mov sp, 7000h; mov ds, ax; mov word [413h], 639; call CF00:0003; int 19h; hlt
    let scanning = try machine([
      0x31, 0xC0, 0x8E, 0xD0, 0xBC, 0x00, 0x70, 0x8E, 0xD8, 0xC7, 0x06, 0x13, 0x04, 0x7F, 0x02,
      0x9A, 0x03, 0x00, 0x00, 0xCF, 0xCD, 0x19, 0xF4,
    ])
    #expect(scanning.run(untilInstruction: enough) == .guestExit(0x55))
    #expect(scanning.kernelNotStarted == nil)
    // cli; hlt
    let idle = try machine([0xFA, 0xF4])
    _ = idle.run(untilInstruction: 1_000_000)
    #expect(idle.kernelNotStarted == "kernel")
  }

  @Test func filesThatAreNoKernelsAreRefusedWithTheReason() {
    #expect(refusal(kernel([]))?.reason == "the file is empty")
    #expect(refusal(kernel([UInt8](repeating: 0, count: 9000))) != nil)
    // A multiboot header that demands feature bit 5.
    var demanding = Guest.multiboot
    demanding[4] |= 0x20
    demanding[8] &-= 0x20
    #expect(refusal(kernel(demanding))?.offset == 4)
    // An initrd beyond memory.
    #expect(
      refusal(kernel(Guest.linux, initrd: [UInt8](repeating: 1, count: 4 << 20)))?.path == "initrd")
    #expect(
      refusal(kernel(Guest.multiboot, modules: [[UInt8](repeating: 1, count: 4 << 20)]))?.path
        == "module")
    // A command line that the protocol's 255 bytes cannot hold.
    #expect(
      refusal(kernel(Guest.linux, commandLine: String(repeating: "x", count: 300))) != nil)
  }

  /// syssize (1F4h) counts the kernel behind the setup code in units of 16 bytes, the last perhaps not full.
  @Test func aKernelThatIsCutShortIsRefused() {
    var linux = Guest.linux
    let setup = (Int(linux[0x1F1] == 0 ? 4 : linux[0x1F1]) + 1) * 512
    let units = (linux.count - setup + 15) / 16
    linux[0x206] = 0x04
    linux[0x207] = 0x02
    for n in 0..<4 { linux[0x1F4 + n] = UInt8(truncatingIfNeeded: units >> (8 * n)) }
    #expect(refusal(kernel(linux))?.reason.contains("cut short") != true)
    linux[0x1F4] &+= 1
    #expect(refusal(kernel(linux))?.reason.contains("cut short") == true)
  }

  @Test func truncatedKernelsNeverTrap() {
    for count in stride(from: 0, to: Guest.linux.count, by: 7) {
      _ = refusal(kernel(Array(Guest.linux[..<count]), initrd: [1]))
    }
    for count in 0..<Guest.multiboot.count {
      _ = refusal(kernel(Array(Guest.multiboot[..<count])))
    }
  }

  @Test func damagedHeadersNeverTrap() {
    var random = SplitMix(seed: 1)
    for _ in 0..<300 {
      var linux = Guest.linux
      for _ in 0..<4 {
        linux[0x1F1 + Int(random.next() % 0x90)] = UInt8(truncatingIfNeeded: random.next())
      }
      linux.replaceSubrange(0x202..<0x206, with: Array("HdrS".utf8))
      _ = refusal(kernel(linux, commandLine: "vga=0x317", initrd: [1, 2]))
      var multiboot = Guest.multiboot
      for _ in 0..<3 {
        multiboot[12 + Int(random.next() % 20)] = UInt8(truncatingIfNeeded: random.next())
      }
      _ = refusal(kernel(multiboot, modules: [[1]]))
      var elf = elfKernel()
      for _ in 0..<3 {
        elf[4 + Int(random.next() % 112)] = UInt8(truncatingIfNeeded: random.next())
      }
      _ = refusal(kernel(elf))
    }
  }

  /// A multiboot ELF file: one segment at 1 MiB with the code of `Guest.multiboot` behind its header.
  private func elfKernel() -> [UInt8] {
    func dword(_ value: UInt32) -> [UInt8] {
      (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    func word(_ value: UInt16) -> [UInt8] { [UInt8(value & 0xFF), UInt8(value >> 8)] }
    let code = Array(Guest.multiboot[32...])
    let header = dword(0x1BAD_B002) + dword(3) + dword(0 &- 0x1BAD_B002 &- 3)
    let payload = header + code
    var elf: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 1, 1, 1] + [UInt8](repeating: 0, count: 9)
    elf += word(2) + word(3) + dword(1) + dword(0xC010_000C) + dword(52) + dword(0) + dword(0)
    elf += word(52) + word(32) + word(1) + word(0) + word(0) + word(0)
    elf += dword(1) + dword(84) + dword(0xC010_0000) + dword(0x100000)
    elf +=
      dword(UInt32(payload.count)) + dword(UInt32(payload.count) + 4096) + dword(7) + dword(4096)
    return elf + payload
  }

  @Test func anELFKernelIsLoadedByItsPhysicalAddresses() throws {
    let machine = try machine(booting: nil) {
      $0.kernel = kernel(elfKernel(), modules: [[0x11]])
    }
    #expect(machine.run(untilInstruction: enough) == .guestExit(0x23))
  }
}

/// A small generator, so that tests are repeatable.
struct SplitMix {
  var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
