// Processor models as data.
//
// Owns: which features a model has and what its CPUID says. Must not know: how anything is executed.
// Follows: Intel AP-485 (processor identification), the datasheets' DX-after-reset values.

/// A processor one can choose with `--cpu`.
public struct CPUModel: Sendable, Equatable {
  /// The name on the command line and in saved states.
  public let name: String
  /// Family, model and stepping as CPUID leaf 1 gives them in EAX, and EDX holds after reset.
  public let signature: UInt32
  /// What the model can do.
  public let features: CPUFeatures
  /// Its clock in Hz, with which the TSC counts; a multiple of 1 MHz.
  public let hertz: UInt64
  /// The most instructions a second where the rate follows what the host can do. Software of a model's time has delay loops that it
  /// calibrates, and divides by what they took: Windows 95 and 98 by the milliseconds of 2^20 LOOPs, Turbo Pascal's CRT unit by the
  /// loops (of five instructions) of a timer tick over 55, in 16 bits (up to 327 million instructions a second, on whatever model:
  /// the later ones are beyond that, as they were).
  public let automaticRate: UInt64
  /// CPUID leaf 2 descriptors, EAX EBX ECX EDX; nil when the model has only leaves 0 and 1.
  public let cacheDescriptors: [UInt32]?
  /// CPUID leaf 1 EBX: brand index, and the size of the line that CLFLUSH flushes in 8 bytes (bits 8-15).
  public var cpuidEBX: UInt32 = 0
  /// The brand string of CPUID leaves 80000002h-80000004h; empty when the model has no extended leaves.
  public var brand = ""

  public static func == (a: CPUModel, b: CPUModel) -> Bool { a.name == b.name }

  /// Intel386 DX with an 80387.
  public static let i386 = CPUModel(
    name: "386", signature: 0x0308, features: [], hertz: 33_000_000, automaticRate: 20_000_000,
    cacheDescriptors: nil)
  /// Intel486 DX2 (with CPUID, as the later steppings had it).
  public static let i486 = CPUModel(
    name: "486", signature: 0x0435, features: [.i486, .cpuid], hertz: 66_000_000,
    automaticRate: 60_000_000,
    cacheDescriptors: nil)
  /// Pentium (P54C).
  public static let pentium = CPUModel(
    name: "pentium", signature: 0x0525,
    features: [.i486, .cpuid, .cx8, .tsc, .msr, .vme, .de, .pse, .apic], hertz: 100_000_000,
    automaticRate: 150_000_000,
    cacheDescriptors: nil)
  /// Pentium with MMX technology (P55C).
  public static let pentiumMMX = CPUModel(
    name: "pentium-mmx", signature: 0x0543,
    features: [.i486, .cpuid, .cx8, .tsc, .msr, .vme, .de, .pse, .apic, .rdpmc, .mmx],
    hertz: 200_000_000, automaticRate: 150_000_000, cacheDescriptors: nil)
  /// What all of the P6 family has.
  private static let p6Features: CPUFeatures = [
    .i486, .cpuid, .cx8, .tsc, .msr, .vme, .de, .pse, .pae, .pge, .cmov, .sep, .fxsr, .rdpmc, .p6,
    .pse36, .apic, .mmx,
  ]
  /// Pentium II (Deschutes).
  public static let pentium2 = CPUModel(
    name: "pentium2", signature: 0x0652, features: p6Features,
    hertz: 350_000_000, automaticRate: 500_000_000,
    cacheDescriptors: [0x0302_0101, 0, 0, 0x0C04_0843])

  /// Pentium III (Coppermine).
  public static let pentium3 = CPUModel(
    name: "pentium3", signature: 0x0683, features: p6Features.union(.sse),
    hertz: 800_000_000, automaticRate: 500_000_000,
    cacheDescriptors: [0x0302_0101, 0, 0, 0x0C04_0882], cpuidEBX: 0x02)
  /// Pentium 4 (Northwood).
  public static let pentium4 = CPUModel(
    name: "pentium4", signature: 0x0F24, features: p6Features.union([.sse, .sse2, .clfsh]),
    hertz: 2_000_000_000, automaticRate: 500_000_000,
    cacheDescriptors: [0x665B_5001, 0, 0, 0x007B_7040], cpuidEBX: 0x0809,
    brand: "Intel(R) Pentium(R) 4 CPU 2.00GHz")

  /// Every model, oldest first.
  public static let all: [CPUModel] = [
    .i386, .i486, .pentium, .pentiumMMX, .pentium2, .pentium3, .pentium4,
  ]

  /// The model of a name, or nil.
  public static func named(_ name: String) -> CPUModel? { all.first { $0.name == name } }

  /// CPUID leaf 1 EDX.
  public var featureBits: UInt32 {
    var bits: UInt32 = 1  // FPU
    let map: [(CPUFeatures, UInt32)] = [
      (.vme, 1), (.de, 2), (.pse, 3), (.tsc, 4), (.msr, 5), (.pae, 6), (.cx8, 8), (.apic, 9),
      (.sep, 11), (.pge, 13), (.cmov, 15), (.pse36, 17), (.clfsh, 19), (.mmx, 23), (.fxsr, 24),
      (.sse, 25), (.sse2, 26),
      // Machine check exception; memory type ranges, machine check architecture, page attribute table.
      (.msr, 7), (.p6, 12), (.p6, 14), (.p6, 16),
    ]
    for (feature, bit) in map where features.contains(feature) { bits |= 1 << bit }
    return bits
  }
}

extension Disassembler {
  /// - Parameter model: decides which instructions exist.
  public init(model: CPUModel) { self.init(features: model.features) }
}
