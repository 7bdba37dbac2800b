// The surroundings in which the host's processor runs single instructions: modes, registers, the region of memory.
//
// Owns: these as values, on every host. Must not know: how an instruction is run (HostProcessor, x86-64 Linux only).

#if !(os(Linux) && arch(x86_64) && canImport(Glibc))
  /// Only the names: this host cannot run x86 instructions.
  public enum HostProcessor {}
#endif

extension HostProcessor {
  /// How code and data segments look.
  public enum Mode: Int, CaseIterable, Sendable {
    /// 16-bit segments of 64 KiB over the region.
    case small
    /// Flat 32-bit segments.
    case flat
    /// 32-bit segments of 64 KiB over the region.
    case based

    /// Selectors of code and of data and stack.
    public var selectors: (code: UInt16, data: UInt16) {
      switch self {
      case .small: (0x07, 0x0F)
      case .flat: (0x23, 0x2B)
      case .based: (0x17, 0x1F)
      }
    }
  }

  /// Registers before and after, and the exception that ended it.
  public struct State: Equatable, Sendable {
    /// EAX ECX EDX EBX ESP EBP ESI EDI.
    public var registers = [UInt32](repeating: 0, count: 8)
    public var eip: UInt32 = 0
    public var eflags: UInt32 = 2
    /// The vector; 1 means that the instruction was carried out.
    public var vector: UInt8 = 0
    public var errorCode: UInt32 = 0
    public var cr2: UInt32 = 0
    /// Selectors afterwards.
    public var ds: UInt16 = 0
    public var es: UInt16 = 0
    public var fs: UInt16 = 0
    public var gs: UInt16 = 0
    public var cs: UInt16 = 0
    public var ss: UInt16 = 0

    public init() {}
  }

  /// Linear address of the region.
  public static let base: UInt32 = 0x0100_0000
  public static let size = 0x10000
  /// The page, by its offset, that holds code and cannot be written.
  public static let codeOffset = 0x8000
  /// IRET to a 16-bit stack segment leaves the upper half of ESP as it was; it is that of this stack then.
  public static let stackBase: UInt32 = 0x5A13_0000
}
