// Which processor this is.
//
// Owns: asking CPUID, and maker, family, model and stepping out of its answers. Must not know: what depends on them.
// Follows: Intel SDM volume 2, CPUID; AMD64 Architecture Programmer's Manual volume 3, appendix E.

import Assembler

/// The host's processor by name.
public struct HostIdentity: Sendable, Equatable {
  /// Who made it. Hygon's processors are AMD's designs.
  public enum Maker: String, Sendable, CaseIterable {
    case intel, amd, other
  }

  /// CPUID's twelve letters, or "" where it cannot be asked.
  public var vendor = ""
  public var family = 0
  public var model = 0
  public var stepping = 0
  public var brand = ""
  /// FDP is told only for an unmasked exception (leaf 7, EBX bit 6).
  public var tellsDataPointerOnExceptions = false
  /// FCS and FDS are always 0 (leaf 7, EBX bit 13).
  public var hasNoPointerSelectors = false

  public init(vendor: String, family: Int, model: Int, stepping: Int = 0, brand: String = "") {
    self.vendor = vendor
    self.family = family
    self.model = model
    self.stepping = stepping
    self.brand = brand
  }

  public var maker: Maker {
    switch vendor {
    case "GenuineIntel": .intel
    case "AuthenticAMD", "HygonGenuine": .amd
    default: .other
    }
  }

  /// Maker, family, model, stepping and brand in words.
  public var text: String {
    if vendor.isEmpty { return "unknown" }
    let name = brand.isEmpty ? "" : " (\(brand))"
    let hexadecimal = { (n: Int) in String(n, radix: 16, uppercase: true) + "h" }
    return "\(vendor) family \(hexadecimal(family)) model \(hexadecimal(model)) stepping "
      + "\(stepping)\(name)"
  }

  /// Registers as CPUID leaves them.
  public struct Leaf: Sendable {
    public var eax: UInt32 = 0
    public var ebx: UInt32 = 0
    public var ecx: UInt32 = 0
    public var edx: UInt32 = 0
    public init(eax: UInt32 = 0, ebx: UInt32 = 0, ecx: UInt32 = 0, edx: UInt32 = 0) {
      self.eax = eax
      self.ebx = ebx
      self.ecx = ecx
      self.edx = edx
    }
    fileprivate var letters: [UInt8] {
      [eax, ebx, ecx, edx].flatMap { word in
        (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
      }
    }
  }

  /// - Parameter cpuid: what a leaf tells.
  public init(cpuid: (UInt32) -> Leaf) {
    let first = cpuid(0)
    let order = Leaf(eax: first.ebx, ebx: first.edx, ecx: first.ecx)
    vendor = String(decoding: order.letters.prefix(12), as: UTF8.self)
    let signature = cpuid(1).eax
    family = Int(signature >> 8 & 15)
    model = Int(signature >> 4 & 15)
    stepping = Int(signature & 15)
    if family == 15 || family == 6 { model |= Int(signature >> 16 & 15) << 4 }
    if family == 15 { family += Int(signature >> 20 & 0xFF) }
    if first.eax >= 7 {
      let extended = cpuid(7).ebx
      tellsDataPointerOnExceptions = extended >> 6 & 1 != 0
      hasNoPointerSelectors = extended >> 13 & 1 != 0
    }
    if cpuid(0x8000_0000).eax >= 0x8000_0004 {
      let letters = (UInt32(0x8000_0002)...0x8000_0004).flatMap { cpuid($0).letters }
      brand = String(decoding: letters.prefix { $0 != 0 }, as: UTF8.self)
        .split(separator: " ").joined(separator: " ")
    }
  }

  /// This host's.
  public static let current: HostIdentity = {
    #if os(Linux) && arch(x86_64)
      guard let memory = try? CodeMemory(count: 4096) else {
        return HostIdentity(vendor: "", family: 0, model: 0)
      }
      let a = Assembler(buffer: memory.writable, capacity: memory.count)
      a.push(.rbx)
      a.mov(.r8, .rsi, .quad)
      a.mov(.rax, .rdi)
      a.xor(.rcx, .rcx)
      a.cpuid()
      for (n, r) in [HostRegister.rax, .rbx, .rcx, .rdx].enumerated() {
        a.mov(MemoryOperand(base: .r8, displacement: Int32(4 * n)), r)
      }
      a.pop(.rbx)
      a.ret()
      typealias Ask = @convention(c) (UInt32, UnsafeMutablePointer<UInt32>) -> Void
      let ask = unsafeBitCast(memory.executable, to: Ask.self)
      return withExtendedLifetime(memory) {
        HostIdentity { leaf in
          var words: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
          withUnsafeMutableBytes(of: &words) {
            ask(leaf, $0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt32.self))
          }
          return Leaf(eax: words.0, ebx: words.1, ecx: words.2, edx: words.3)
        }
      }
    #else
      return HostIdentity(vendor: "", family: 0, model: 0)
    #endif
  }()
}
