// MMX, SSE and SSE2 instructions by name.
//
// Owns: the shapes that these instructions have (two vector registers, a vector register and memory or a general register, a group with
// an immediate), and their names. Must not know: what is computed.
// Follows: Intel SDM volume 2, appendix A, table A-3.

/// An instruction of the two-byte map, by its mandatory prefix and its last opcode byte.
public struct SIMDInstruction: Hashable, Sendable {
  /// What the prefix selects.
  public enum Form: UInt8, Sendable {
    /// No prefix: packed singles, or MMX.
    case none
    /// 66: packed doubles, or integers in XMM.
    case wide
    /// F3: scalar singles.
    case single
    /// F2: scalar doubles.
    case double
  }
  public let form: Form
  let opcode: UInt8

  /// The instruction that is encoded so, in any mode of any processor.
  public init(_ form: Form, _ opcode: Int) {
    self.form = form
    self.opcode = UInt8(truncatingIfNeeded: opcode)
  }

  @inline(__always) var prefix: Int {
    switch form {
    case .none: 0
    case .wide: 0x66
    case .single: 0xF3
    case .double: 0xF2
    }
  }

  @inline(__always) var op: Int { 0x0F00 | Int(opcode) }

  public static var movapsLoad: SIMDInstruction { SIMDInstruction(.none, 0x28) }
  public static var movapsStore: SIMDInstruction { SIMDInstruction(.none, 0x29) }
  public static var movqMMXStore: SIMDInstruction { SIMDInstruction(.none, 0x7F) }
  public static var movdqaStore: SIMDInstruction { SIMDInstruction(.wide, 0x7F) }

  // MARK: - Names

  /// By opcode, for no prefix, 66, F3, F2; "-" where there is none.
  private static let text = """
    10 movups movupd movss movsd
    11 movups movupd movss movsd
    12 movlps movlpd - -
    13 movlps movlpd - -
    14 unpcklps unpcklpd - -
    15 unpckhps unpckhpd - -
    16 movhps movhpd - -
    17 movhps movhpd - -
    28 movaps movapd - -
    29 movaps movapd - -
    2A cvtpi2ps cvtpi2pd cvtsi2ss cvtsi2sd
    2B movntps movntpd - -
    2C cvttps2pi cvttpd2pi cvttss2si cvttsd2si
    2D cvtps2pi cvtpd2pi cvtss2si cvtsd2si
    2E ucomiss ucomisd - -
    2F comiss comisd - -
    50 movmskps movmskpd - -
    51 sqrtps sqrtpd sqrtss sqrtsd
    54 andps andpd - -
    55 andnps andnpd - -
    56 orps orpd - -
    57 xorps xorpd - -
    58 addps addpd addss addsd
    59 mulps mulpd mulss mulsd
    5A cvtps2pd cvtpd2ps cvtss2sd cvtsd2ss
    5B cvtdq2ps cvtps2dq cvttps2dq -
    5C subps subpd subss subsd
    5D minps minpd minss minsd
    5E divps divpd divss divsd
    5F maxps maxpd maxss maxsd
    60 punpcklbw punpcklbw - -
    61 punpcklwd punpcklwd - -
    62 punpckldq punpckldq - -
    63 packsswb packsswb - -
    64 pcmpgtb pcmpgtb - -
    65 pcmpgtw pcmpgtw - -
    66 pcmpgtd pcmpgtd - -
    67 packuswb packuswb - -
    68 punpckhbw punpckhbw - -
    69 punpckhwd punpckhwd - -
    6A punpckhdq punpckhdq - -
    6B packssdw packssdw - -
    6C - punpcklqdq - -
    6D - punpckhqdq - -
    6E movd movd - -
    6F movq movdqa movdqu -
    70 pshufw pshufd pshufhw pshuflw
    74 pcmpeqb pcmpeqb - -
    75 pcmpeqw pcmpeqw - -
    76 pcmpeqd pcmpeqd - -
    7E movd movd movq -
    7F movq movdqa movdqu -
    C2 cmpps cmppd cmpss cmpsd
    C3 movnti - - -
    C4 pinsrw pinsrw - -
    C5 pextrw pextrw - -
    C6 shufps shufpd - -
    D1 psrlw psrlw - -
    D2 psrld psrld - -
    D3 psrlq psrlq - -
    D4 paddq paddq - -
    D5 pmullw pmullw - -
    D6 - movq movq2dq movdq2q
    D7 pmovmskb pmovmskb - -
    D8 psubusb psubusb - -
    D9 psubusw psubusw - -
    DA pminub pminub - -
    DB pand pand - -
    DC paddusb paddusb - -
    DD paddusw paddusw - -
    DE pmaxub pmaxub - -
    DF pandn pandn - -
    E0 pavgb pavgb - -
    E1 psraw psraw - -
    E2 psrad psrad - -
    E3 pavgw pavgw - -
    E4 pmulhuw pmulhuw - -
    E5 pmulhw pmulhw - -
    E6 - cvttpd2dq cvtdq2pd cvtpd2dq
    E7 movntq movntdq - -
    E8 psubsb psubsb - -
    E9 psubsw psubsw - -
    EA pminsw pminsw - -
    EB por por - -
    EC paddsb paddsb - -
    ED paddsw paddsw - -
    EE pmaxsw pmaxsw - -
    EF pxor pxor - -
    F1 psllw psllw - -
    F2 pslld pslld - -
    F3 psllq psllq - -
    F4 pmuludq pmuludq - -
    F5 pmaddwd pmaddwd - -
    F6 psadbw psadbw - -
    F8 psubb psubb - -
    F9 psubw psubw - -
    FA psubd psubd - -
    FB psubq psubq - -
    FC paddb paddb - -
    FD paddw paddw - -
    FE paddd paddd - -
    """

  private static let names: [UInt8: [String]] = {
    var names: [UInt8: [String]] = [:]
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ").map(String.init)
      if let opcode = UInt8(words[0], radix: 16) { names[opcode] = Array(words[1...]) }
    }
    return names
  }()

  /// Whether the operand in the register field is the source.
  var isStore: Bool {
    switch opcode {
    case 0x11, 0x13, 0x17, 0x29, 0x2B, 0x7F, 0xC3, 0xE7: true
    case 0x7E: form != .single
    case 0xD6: form == .wide
    default: false
    }
  }

  /// Its text with the operand in the register field and the other one.
  func text(_ reg: String, _ other: String, _ immediate: Int?) -> String {
    let operands = isStore ? "\(other),\(reg)" : "\(reg),\(other)"
    return "\(name) \(operands)" + (immediate.map { "," + hex(UInt64($0)) } ?? "")
  }

  /// Its name, or "?".
  public var name: String {
    let name = SIMDInstruction.names[opcode]?[Int(form.rawValue)] ?? "-"
    return name == "-" ? "?" : name
  }

  func groupName(_ digit: Int) -> String {
    let letters = opcode == 0x71 ? "w" : opcode == 0x72 ? "d" : "q"
    switch digit {
    case 2: return "psrl" + letters
    case 3: return "psrldq"
    case 4: return "psra" + letters
    case 6: return "psll" + letters
    case 7: return "pslldq"
    default: return "?"
    }
  }
}

extension Assembler {
  /// Two vector registers, as the instruction has them in ModRM: the register field, then the other.
  public func simd(_ i: SIMDInstruction, _ reg: Int, _ other: Int, immediate: Int? = nil) {
    note(i.text("v\(reg)", "v\(other)", immediate))
    rr(i.op, .long, reg: reg, rm: other, prefix: i.prefix)
    if let immediate { byte(immediate) }
  }

  /// A vector register in the register field and memory, whichever is the source.
  public func simd(_ i: SIMDInstruction, _ reg: Int, _ m: MemoryOperand, immediate: Int? = nil) {
    note(i.text("v\(reg)", "\(m.name)", immediate))
    rm(i.op, .long, reg: reg, m, prefix: i.prefix)
    if let immediate { byte(immediate) }
  }

  /// A vector register in the register field and a general register, whichever is the source.
  public func simd(_ i: SIMDInstruction, _ reg: Int, _ other: HostRegister, immediate: Int? = nil) {
    note(i.text("v\(reg)", "\(other.name(.long))", immediate))
    rr(i.op, .long, reg: reg, rm: other.code, prefix: i.prefix)
    if let immediate { byte(immediate) }
  }

  /// A general register in the register field and a vector register.
  public func simd(_ i: SIMDInstruction, _ reg: HostRegister, _ other: Int, immediate: Int? = nil) {
    note(i.text("\(reg.name(.long))", "v\(other)", immediate))
    rr(i.op, .long, reg: reg.code, rm: other, prefix: i.prefix)
    if let immediate { byte(immediate) }
  }

  /// A general register in the register field and memory.
  public func simd(
    _ i: SIMDInstruction, _ reg: HostRegister, _ m: MemoryOperand, immediate: Int? = nil
  ) {
    note(i.text("\(reg.name(.long))", "\(m.name)", immediate))
    rm(i.op, .long, reg: reg.code, m, prefix: i.prefix)
    if let immediate { byte(immediate) }
  }

  /// A shift of a vector register by a constant; `digit` is the one that selects it within its group.
  public func simdShift(_ i: SIMDInstruction, digit: Int, _ register: Int, _ count: Int) {
    note("\(i.groupName(digit)) v\(register),\(hex(UInt64(count & 0xFF)))")
    rr(i.op, .long, reg: digit, rm: register, prefix: i.prefix)
    byte(count)
  }

  /// MOVAPS from memory.
  public func movaps(_ to: Int, _ m: MemoryOperand) { simd(.movapsLoad, to, m) }

  /// MOVAPS to memory.
  public func movaps(_ m: MemoryOperand, _ from: Int) { simd(.movapsStore, from, m) }

  public func emms() {
    note("emms")
    byte(0x0F)
    byte(0x77)
  }
}
