// x87 instructions by name.
//
// Owns: the unit's instructions on its stack and on memory, and their names. Must not know: what is computed.
// Follows: Intel SDM volume 2, appendix A.5 (escape opcodes).

/// An x87 instruction, by its escape (0 to 7 for D8 to DF), the digit in ModRM, and for one without memory the register.
public struct X87Instruction: Hashable, Sendable {
  let escape: UInt8
  let digit: UInt8

  /// The instruction that is encoded so, in any mode of any processor.
  /// - Parameters: the escape, D8 to DF or its low three bits; the middle field of ModRM.
  @inlinable public init(escape: Int, digit: Int) {
    self.init(raw: UInt8(truncatingIfNeeded: escape) & 7, UInt8(truncatingIfNeeded: digit) & 7)
  }

  @usableFromInline init(raw escape: UInt8, _ digit: UInt8) {
    self.escape = escape
    self.digit = digit
  }

  static let memoryNames: [[String]] = [
    ["fadd", "fmul", "fcom", "fcomp", "fsub", "fsubr", "fdiv", "fdivr"].map { $0 + " DWORD PTR" },
    [
      "fld DWORD PTR", "", "fst DWORD PTR", "fstp DWORD PTR", "fldenv", "fldcw WORD PTR",
      "fnstenv", "fnstcw WORD PTR",
    ],
    ["fiadd", "fimul", "ficom", "ficomp", "fisub", "fisubr", "fidiv", "fidivr"].map {
      $0 + " DWORD PTR"
    },
    [
      "fild DWORD PTR", "fisttp DWORD PTR", "fist DWORD PTR", "fistp DWORD PTR", "",
      "fld TBYTE PTR", "", "fstp TBYTE PTR",
    ],
    ["fadd", "fmul", "fcom", "fcomp", "fsub", "fsubr", "fdiv", "fdivr"].map { $0 + " QWORD PTR" },
    [
      "fld QWORD PTR", "fisttp QWORD PTR", "fst QWORD PTR", "fstp QWORD PTR", "frstor", "",
      "fnsave", "fnstsw WORD PTR",
    ],
    ["fiadd", "fimul", "ficom", "ficomp", "fisub", "fisubr", "fidiv", "fidivr"].map {
      $0 + " WORD PTR"
    },
    [
      "fild WORD PTR", "fisttp WORD PTR", "fist WORD PTR", "fistp WORD PTR", "fbld TBYTE PTR",
      "fild QWORD PTR", "fbstp TBYTE PTR", "fistp QWORD PTR",
    ],
  ]

  /// Whether there is such an instruction without memory.
  public func hasName(_ n: Int) -> Bool { !registerName(n).isEmpty }

  func memoryName(_ m: MemoryOperand) -> String {
    X87Instruction.memoryNames[Int(escape)][Int(digit)] + " " + m.name
  }

  /// Those of D9 and DB that are no operation on ST(i).
  private static let single: [[Int: String]] = [
    [
      0x10: "fnop", 0x20: "fchs", 0x21: "fabs", 0x24: "ftst", 0x25: "fxam", 0x28: "fld1",
      0x29: "fldl2t", 0x2A: "fldl2e", 0x2B: "fldpi", 0x2C: "fldlg2", 0x2D: "fldln2", 0x2E: "fldz",
      0x30: "f2xm1", 0x31: "fyl2x", 0x32: "fptan", 0x33: "fpatan", 0x34: "fxtract",
      0x35: "fprem1", 0x36: "fdecstp", 0x37: "fincstp", 0x38: "fprem", 0x39: "fyl2xp1",
      0x3A: "fsqrt", 0x3B: "fsincos", 0x3C: "frndint", 0x3D: "fscale", 0x3E: "fsin", 0x3F: "fcos",
    ],
    [0x22: "fnclex", 0x23: "fninit"],
  ]

  /// Names with ST and ST(i), by escape and digit; "i" stands for ST(i) alone, "t" for both, "f" for both the other way round.
  private static let registerNames: [[String]] = [
    ["t fadd", "t fmul", "i fcom", "i fcomp", "t fsub", "t fsubr", "t fdiv", "t fdivr"],
    ["i fld", "i fxch", "", "", "", "", "", ""],
    ["t fcmovb", "t fcmove", "t fcmovbe", "t fcmovu", "", "fucompp", "", ""],
    ["t fcmovnb", "t fcmovne", "t fcmovnbe", "t fcmovnu", "", "t fucomi", "t fcomi", ""],
    ["f fadd", "f fmul", "", "", "f fsubr", "f fsub", "f fdivr", "f fdiv"],
    ["i ffree", "", "i fst", "i fstp", "i fucom", "i fucomp", "", ""],
    ["f faddp", "f fmulp", "", "fcompp", "f fsubrp", "f fsubp", "f fdivrp", "f fdivp"],
    ["", "", "", "", "fnstsw ax", "t fucomip", "t fcomip", ""],
  ]

  func registerName(_ n: Int) -> String {
    let low = Int(digit) << 3 | n
    if escape == 1, let name = X87Instruction.single[0][low] { return name }
    if escape == 3, let name = X87Instruction.single[1][low] { return name }
    let name = X87Instruction.registerNames[Int(escape)][Int(digit)]
    // These have one register only in their encoding.
    switch (escape, digit) {
    case (2, 5), (6, 3): if n != 1 { return "" }
    case (7, 4): if n != 0 { return "" }
    default: break
    }
    switch name.prefix(2) {
    case "i ": return "\(name.dropFirst(2)) st(\(n))"
    case "t ": return "\(name.dropFirst(2)) st,st(\(n))"
    case "f ": return "\(name.dropFirst(2)) st(\(n)),st"
    default: return name
    }
  }
}

extension Assembler {
  /// An instruction on memory.
  public func x87(_ i: X87Instruction, _ m: MemoryOperand) {
    note(i.memoryName(m))
    rm(0xD8 | Int(i.escape), .long, reg: Int(i.digit), m)
  }

  /// An instruction on ST(n) or, where there is no such operand, the one that the number stands for.
  public func x87(_ i: X87Instruction, _ n: Int) {
    note(i.registerName(n & 7))
    byte(0xD8 | Int(i.escape))
    byte(0xC0 | Int(i.digit) << 3 | n & 7)
  }

  public func fninit() { x87(X87Instruction(raw: 3, 4), 3) }
  public func fincstp() { x87(X87Instruction(raw: 1, 6), 7) }
  public func fdecstp() { x87(X87Instruction(raw: 1, 6), 6) }
  /// The status word into AX.
  public func fnstswAX() { x87(X87Instruction(raw: 7, 4), 0) }
  public func fstp(_ n: Int) { x87(X87Instruction(raw: 5, 3), n) }
  /// FLD of 80 bits.
  public func fldExtended(_ m: MemoryOperand) { x87(X87Instruction(raw: 3, 5), m) }
  public func fldenv(_ m: MemoryOperand) { x87(X87Instruction(raw: 1, 4), m) }
  public func fldcw(_ m: MemoryOperand) { x87(X87Instruction(raw: 1, 5), m) }
  public func fnstcw(_ m: MemoryOperand) { x87(X87Instruction(raw: 1, 7), m) }
  public func fnstsw(_ m: MemoryOperand) { x87(X87Instruction(raw: 5, 7), m) }
}
