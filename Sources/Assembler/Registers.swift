// What instructions name: registers, widths, conditions, memory.
//
// Owns: these types and their spelling. Must not know: encodings beyond the numbers that manuals give these things.
// Follows: Intel SDM volume 2, tables 2-2 (registers), 3-1 (REX) and B-10 (condition codes). Spelling is that of GNU's Intel syntax.

/// A general register, whatever part of it is meant; AH, CH, DH and BH stand for themselves.
public struct HostRegister: Hashable, Sendable {
  /// 0 to 15; AH to BH are 20 to 23.
  @usableFromInline let raw: UInt8

  @inlinable init(raw: UInt8) { self.raw = raw }

  /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15.
  @inlinable public init(_ number: Int) { raw = UInt8(truncatingIfNeeded: number) & 15 }

  /// AH, CH, DH or BH.
  @inlinable public static func highByte(_ number: Int) -> HostRegister {
    HostRegister(raw: 20 | UInt8(truncatingIfNeeded: number) & 3)
  }

  @inlinable public static var rax: HostRegister { HostRegister(raw: 0) }
  @inlinable public static var rcx: HostRegister { HostRegister(raw: 1) }
  @inlinable public static var rdx: HostRegister { HostRegister(raw: 2) }
  @inlinable public static var rbx: HostRegister { HostRegister(raw: 3) }
  @inlinable public static var rsp: HostRegister { HostRegister(raw: 4) }
  @inlinable public static var rbp: HostRegister { HostRegister(raw: 5) }
  @inlinable public static var rsi: HostRegister { HostRegister(raw: 6) }
  @inlinable public static var rdi: HostRegister { HostRegister(raw: 7) }
  @inlinable public static var r8: HostRegister { HostRegister(raw: 8) }
  @inlinable public static var r9: HostRegister { HostRegister(raw: 9) }
  @inlinable public static var r10: HostRegister { HostRegister(raw: 10) }
  @inlinable public static var r11: HostRegister { HostRegister(raw: 11) }
  @inlinable public static var r12: HostRegister { HostRegister(raw: 12) }
  @inlinable public static var r13: HostRegister { HostRegister(raw: 13) }
  @inlinable public static var r14: HostRegister { HostRegister(raw: 14) }
  @inlinable public static var r15: HostRegister { HostRegister(raw: 15) }
  @inlinable public static var ah: HostRegister { HostRegister(raw: 20) }
  @inlinable public static var ch: HostRegister { HostRegister(raw: 21) }
  @inlinable public static var dh: HostRegister { HostRegister(raw: 22) }
  @inlinable public static var bh: HostRegister { HostRegister(raw: 23) }

  /// Whether it is AH, CH, DH or BH, which no instruction with a REX prefix can name.
  @inlinable public var isHighByte: Bool { raw >= 16 }

  /// Whether naming it, or a part of it, takes a REX prefix in every instruction.
  @inlinable public var isExtended: Bool { raw & 24 == 8 }

  /// Whether its lowest byte can be named without REX: AL, CL, DL, BL.
  @inlinable public var hasPlainByte: Bool { raw < 4 }

  /// The register that AH to BH are a part of; any other is itself.
  @inlinable public var whole: HostRegister { isHighByte ? HostRegister(raw: raw & 3) : self }

  /// 0 to 15, of the whole register.
  @inlinable public var number: Int { whole.code }

  /// What encodings have for it; AH to BH share theirs with RSP to RDI.
  @inlinable var code: Int { Int(raw & 15) }

  /// Its name in assembly.
  func name(_ width: Width) -> String {
    if isHighByte { return ["ah", "ch", "dh", "bh"][Int(raw & 3)] }
    let old = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]
    if raw < 8 {
      let word = old[Int(raw)]
      switch width {
      case .byte: return raw < 4 ? "\(word.first!)l" : word + "l"
      case .word: return word
      case .long: return "e" + word
      case .quad: return "r" + word
      }
    }
    switch width {
    case .byte: return "r\(raw)b"
    case .word: return "r\(raw)w"
    case .long: return "r\(raw)d"
    case .quad: return "r\(raw)"
    }
  }
}

/// How much of a register or of memory an instruction is about.
public enum Width: UInt8, Sendable {
  case byte, word, long, quad

  /// The width of so many bytes.
  @inlinable public init(bytes: Int) {
    switch bytes {
    case 1: self = .byte
    case 2: self = .word
    case 4: self = .long
    default: self = .quad
    }
  }

  @inlinable public var bytes: Int { 1 << Int(rawValue) }

  var pointer: String {
    switch self {
    case .byte: "BYTE PTR "
    case .word: "WORD PTR "
    case .long: "DWORD PTR "
    case .quad: "QWORD PTR "
    }
  }

  /// As objdump writes a value that was sign-extended to this width.
  func text(_ value: Int32) -> String {
    switch self {
    case .byte: hex(UInt64(UInt8(truncatingIfNeeded: value)))
    case .word: hex(UInt64(UInt16(truncatingIfNeeded: value)))
    case .long: hex(UInt64(UInt32(bitPattern: value)))
    case .quad: hex(UInt64(bitPattern: Int64(value)))
    }
  }
}

func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

/// Condition codes as in Jcc, SETcc and CMOVcc.
public enum Condition: UInt8, Sendable, CaseIterable {
  case o, no, b, ae, e, ne, be, a, s, ns, p, np, l, ge, le, g

  /// The low four bits of the instructions' opcodes.
  @inlinable public init(code: Int) {
    self = Condition(rawValue: UInt8(truncatingIfNeeded: code) & 15).unsafelyUnwrapped
  }

  /// Whether OF is looked at: O, NO, L, GE, LE, G.
  @inlinable public var readsOverflow: Bool { rawValue < 2 || rawValue >= 12 }
}

/// The eight operations of the first group, in the order of their encoding.
public enum Arithmetic: UInt8, Sendable, CaseIterable {
  case add, or, adc, sbb, and, sub, xor, cmp
}

/// Rotations and shifts, in the order of their encoding.
public enum Shift: UInt8, Sendable, CaseIterable {
  case rol, ror, rcl, rcr, shl, shr
  /// The same as `shl`, in the encoding that manuals leave out.
  case sal
  case sar
}

/// Instructions on a single bit, in the order of their encoding.
public enum BitOperation: UInt8, Sendable, CaseIterable {
  case bt, bts, btr, btc
}

/// Instructions on strings.
public enum StringOperation: UInt8, Sendable {
  case movs = 0xA4
  case cmps = 0xA6
  case stos = 0xAA
  case lods = 0xAC
  case scas = 0xAE
}

/// A memory operand.
public struct MemoryOperand: Equatable, Sendable {
  public var base: HostRegister?
  /// Never RSP.
  public var index: HostRegister?
  /// Shift of the index, 0 to 3.
  public var scale: Int
  public var displacement: Int32
  /// A GS override and a 32-bit address size: offsets into a window.
  public var isWindow = false

  @inlinable
  public init(
    base: HostRegister?, index: HostRegister? = nil, scale: Int = 0, displacement: Int32 = 0
  ) {
    self.base = base
    self.index = index
    self.scale = scale
    self.displacement = displacement
  }

  /// The operand some bytes further on.
  @inlinable public func advanced(by bytes: Int) -> MemoryOperand {
    var m = self
    m.displacement += Int32(truncatingIfNeeded: bytes)
    return m
  }

  /// Its name in assembly, between square brackets.
  public var name: String {
    let width: Width = isWindow ? .long : .quad
    if base == nil && index == nil {
      return (isWindow ? "gs:" : "ds:") + hex(UInt64(UInt32(bitPattern: displacement)))
    }
    var text = base?.name(width) ?? ""
    if let index {
      text += (text.isEmpty ? "" : "+") + index.name(width) + "*\(1 << scale)"
    }
    // With RBP or R13 as base, or none, there always is a displacement.
    if displacement != 0 || base.map({ $0.code & 7 == 5 }) ?? true {
      text += (displacement < 0 ? "-" : "+") + hex(UInt64(displacement.magnitude))
    }
    return (isWindow ? "gs:[" : "[") + text + "]"
  }
}

/// A place in the code that a jump names before it is known.
public struct Label: Sendable {
  /// Offset of the target, or -1.
  var target = -1
  /// Offsets of 32-bit displacements that wait for it; chained through the places themselves.
  var pending = -1

  public init() {}

  /// The offset it was bound to, or -1.
  public var offset: Int { target }
}

/// A jump of one byte's reach whose target is not known yet.
public struct ShortJump: Sendable {
  let at: Int
}

/// A 32-bit field of an instruction that is written again later.
public struct PatchSite: Sendable {
  /// Its offset in the buffer.
  public let offset: Int

  public init(offset: Int) { self.offset = offset }
}
