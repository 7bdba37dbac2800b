// What differs between processors, as the instruction table and the models name it.
//
// Owns: the names. Must not know: which model has what.
// Follows: Intel AP-485 (processor identification).

/// Features that differ between models; an instruction that needs an absent one is #UD.
public struct CPUFeatures: OptionSet, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// BSWAP, CMPXCHG, XADD, INVD, WBINVD, INVLPG, CR0.WP/NE/AM, EFLAGS.AC.
  public static let i486 = CPUFeatures(rawValue: 1 << 0)
  public static let cpuid = CPUFeatures(rawValue: 1 << 1)
  /// CMPXCHG8B.
  public static let cx8 = CPUFeatures(rawValue: 1 << 2)
  /// RDTSC and CR4.TSD.
  public static let tsc = CPUFeatures(rawValue: 1 << 3)
  /// RDMSR, WRMSR.
  public static let msr = CPUFeatures(rawValue: 1 << 4)
  /// Virtual-8086 mode extensions, CR4.VME and PVI.
  public static let vme = CPUFeatures(rawValue: 1 << 5)
  /// Debugging extensions, CR4.DE.
  public static let de = CPUFeatures(rawValue: 1 << 6)
  /// 4 MiB pages, CR4.PSE.
  public static let pse = CPUFeatures(rawValue: 1 << 7)
  public static let pae = CPUFeatures(rawValue: 1 << 8)
  /// Global pages, CR4.PGE.
  public static let pge = CPUFeatures(rawValue: 1 << 9)
  /// CMOVcc, FCMOVcc, FCOMI.
  public static let cmov = CPUFeatures(rawValue: 1 << 10)
  /// SYSENTER, SYSEXIT.
  public static let sep = CPUFeatures(rawValue: 1 << 11)
  /// FXSAVE, FXRSTOR, CR4.OSFXSR.
  public static let fxsr = CPUFeatures(rawValue: 1 << 12)
  /// RDPMC, CR4.PCE.
  public static let rdpmc = CPUFeatures(rawValue: 1 << 13)
  /// UD2 and multi-byte NOP (0F 1F).
  public static let p6 = CPUFeatures(rawValue: 1 << 14)
  /// Page size extension to 36 bits.
  public static let pse36 = CPUFeatures(rawValue: 1 << 15)
  /// A local APIC.
  public static let apic = CPUFeatures(rawValue: 1 << 24)
  public static let mmx = CPUFeatures(rawValue: 1 << 16)
  public static let sse = CPUFeatures(rawValue: 1 << 17)
  public static let sse2 = CPUFeatures(rawValue: 1 << 18)
  /// CLFLUSH.
  public static let clfsh = CPUFeatures(rawValue: 1 << 19)
}
