// The kernels: small programs that each make one kind of work a processor's or a machine's main business.
//
// Owns: their names, amounts of work, checksums. Must not know: who runs them. The sources are in `TestROMs/bench`.

/// A program that runs bare on a PC (and, some, also under Linux) and ends with a checksum.
public struct Kernel: Sendable, Equatable {
  public var name: String
  /// What it exercises.
  public var exercises: String
  /// Rounds of a full run: about 1.8 s for QEMU's translator on a processor of 2020.
  public var rounds: UInt32
  /// Whether it also runs as a Linux program, to compare with the host's processor.
  public var isNative = false
  /// Checksums by number of rounds: those of the host's processor or, for kernels that own the machine, of QEMU and Bochs.
  public var checksums: [UInt32: UInt32] = [:]

  /// Rounds of a quick run.
  public var quickRounds: UInt32 { (rounds + 9) / 10 }

  /// All kernels, in the order of reports.
  public static let all: [Kernel] = [
    Kernel(
      name: "intmix", exercises: "list sort, integer matrices, state machine, CRC", rounds: 2900,
      isNative: true, checksums: [2: 0x18C4_FE33, 290: 0x05E4_7EF2, 2900: 0x33C6_EAF6]),
    Kernel(
      name: "sieve", exercises: "byte sieve of 4 MiB, word streams of 2 x 16 MiB", rounds: 4,
      isNative: true, checksums: [1: 0x14D1_2A67, 2: 0xA283_AC13, 4: 0x55EF_A565]),
    Kernel(
      name: "sha256", exercises: "rotates, register pressure", rounds: 1200, isNative: true,
      checksums: [2: 0x8CFB_234A, 120: 0xFCBC_45B8, 1200: 0x0C71_533F]),
    Kernel(
      name: "calls", exercises: "quicksort by function pointer, recursion, dispatch", rounds: 750,
      isNative: true, checksums: [2: 0x2FE0_24BF, 75: 0x9609_0DD6, 750: 0x7840_9DE3]),
    Kernel(
      name: "string", exercises: "REP MOVS and STOS, SCAS, CMPS, short and long", rounds: 1700,
      isNative: true, checksums: [2: 0xEAA5_0A45, 170: 0x7711_9A41, 1700: 0x75D3_2790]),
    Kernel(
      name: "partial", exercises: "AH/AL, word carries, SETcc, bit tests, decimal", rounds: 21000,
      isNative: true, checksums: [2: 0xA226_9762, 2100: 0x881C_005E, 21000: 0x4519_58A8]),
    Kernel(
      name: "x87", exercises: "Mandelbrot, n bodies, FSINCOS, FPATAN", rounds: 460,
      isNative: true, checksums: [2: 0xAA71_F2F5, 46: 0x07E1_DB21, 460: 0x98A1_9AB4]),
    Kernel(
      name: "smc", exercises: "patched immediates, self-patching loop, code made at run time",
      rounds: 110, isNative: true,
      checksums: [2: 0x3483_4614, 11: 0xE331_F05D, 110: 0x069A_CBDF]),
    Kernel(
      name: "tlb", exercises: "pointer chase through 64 MiB of 4K pages", rounds: 1000,
      isNative: true, checksums: [2: 0x6AED_C001, 100: 0xE726_8001, 1000: 0xE7A5_0001]),
    Kernel(
      name: "mmu", exercises: "page-table edits, INVLPG, CR3 switches, page faults", rounds: 10000,
      checksums: [2: 0x500A_33A9, 1000: 0x69B3_4D3F, 10000: 0x1BCA_175B]),
    Kernel(
      name: "syscall", exercises: "INT 80h, ring 3 to 0 and back", rounds: 5000,
      checksums: [2: 0xD3A3_3537, 500: 0x90E3_E7FC, 5000: 0xB058_00C5]),
    Kernel(
      name: "timer", exercises: "intmix under the 8254 at 1 kHz", rounds: 2900,
      checksums: [2: 0x18C4_FE33, 290: 0x05E4_7EF2, 2900: 0x33C6_EAF6]),
    Kernel(
      name: "real16", exercises: "16-bit code, overrides, far calls, REP MOVSW", rounds: 8000,
      checksums: [2: 0x8B36_5860, 800: 0x7B17_4D7B, 8000: 0x757A_D459]),
    Kernel(
      name: "portio", exercises: "IN 61h and IDE status, OUT 80h", rounds: 57000,
      checksums: [0: 1, 2: 0x2822_C8B2, 5700: 0x2431_4A19, 57000: 0xD36D_965B]),
    Kernel(
      name: "vga13", exercises: "mode 13h: fills, points, blits, moves", rounds: 11000,
      checksums: [2: 0x80E8_11B9, 1100: 0x614F_E6A8, 11000: 0x2B08_AA7A]),
    Kernel(
      name: "vgaplane", exercises: "mode 12h: write modes 0 to 2, read back", rounds: 2100,
      checksums: [2: 0x92F3_1048, 210: 0x7708_C400, 2100: 0xDDF6_C854]),
  ]

  /// The kernel of that name.
  public static func named(_ name: String) -> Kernel? { all.first { $0.name == name } }
}
