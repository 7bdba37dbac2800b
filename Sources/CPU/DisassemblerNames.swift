// Names and operand sizes that do not follow from the opcode table alone.
//
// Owns: mnemonics with several shapes, x87 mnemonics, sizes of memory operands, how an instruction leaves its place.
// Must not know: notations. Follows: Intel SDM volume 2, appendix A and B.17 (x87 escape opcodes).

extension Disassembler {
  /// Gives an instruction Intel's name where the table's differs.
  static func rename(_ p: inout DisassemblyParts) {
    let i = p.record
    let wide = p.wide == 4
    switch p.op {
    case .movSeg, .movCR, .movDR, .movTR: p.name = "mov"
    case .pushSeg: p.name = "push"
    case .popSeg: p.name = "pop"
    case .callFar: p.name = "call far"
    case .jmpFar: p.name = "jmp far"
    case .retFar: p.name = "retf"
    case .imul1: p.name = "imul"
    case .sal: p.name = "shl"
    case .cbw: p.name = wide ? "cwde" : "cbw"
    case .cwd: p.name = wide ? "cdq" : "cwd"
    case .pusha, .popa, .pushf, .popf, .iret:
      // The plain name is the code's own size.
      p.name += wide ? "d" : p.big ? "w" : ""
    case .jcxz: if i.isAddress32 { p.name = "jecxz" }
    case .nop:
      if i.hasRep {
        p.name = "pause"
        p.prefixes.removeAll { $0 == "repe" }
      }
    case .nopRM: renameHint(&p)
    case .movlps: if !i.hasMemory { p.name = i.opcode == 0x0F12 ? "movhlps" : "movlps" }
    case .movhps: if !i.hasMemory { p.name = "movlhps" }
    case .lfence, .mfence: if i.hasMemory { p.name = "(bad)" }
    case .sfence:
      if i.hasMemory {
        p.name = "clflush"
        p.operands = [.memory(1)]
      }
    case .cmpps, .cmppd, .cmpss, .cmpsd:
      // The first eight predicates have names of their own.
      let names = ["eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord"]
      if case .immediate(let predicate)? = p.operands.last, predicate < 8 {
        p.name = "cmp" + names[Int(predicate)] + p.name.suffix(2)
        p.operands.removeLast()
      }
    default: break
    }
  }

  private static func renameHint(_ p: inout DisassemblyParts) {
    let i = p.record
    p.name = "nop"
    if i.opcode == 0x0F18, i.hasMemory, i.digit < 4 {
      p.name = ["prefetchnta", "prefetcht0", "prefetcht1", "prefetcht2"][i.digit]
      p.operands = [.memory(1)]
    }
  }

  /// How an instruction leaves its place.
  static func flow(_ p: DisassemblyParts) -> InstructionFlow {
    switch p.op {
    case .jmp, .jmpFar: return .jump
    case .call, .callFar: return .call
    case .ret, .retFar, .iret: return .return
    case .int, .int3, .int1, .into: return .interrupt
    case .hlt: return .halt
    case .jo, .jno, .jb, .jnb, .jz, .jnz, .jbe, .jnbe, .js, .jns, .jp, .jnp, .jl, .jnl, .jle, .jnle,
      .loop, .loopz, .loopnz, .jcxz:
      return .conditional
    default:
      return p.isRepeatable && (p.record.hasRep || p.record.hasRepne) ? .repeated : .next
    }
  }

  /// 70h to 7Fh or E0h to E3h.
  static func condition(_ i: Instruction) -> UInt8 {
    let low = UInt8(truncatingIfNeeded: i.opcode)
    return i.opcode >= 0x0F80 ? 0x70 | low & 15 : low
  }
}

/// Bytes of memory operands.
enum MemorySizes {
  static func ofEv(_ op: Op, _ wide: Int) -> Int {
    switch op {
    case .movSeg, .sldt, .str, .smsw, .pinsrw: 2
    default: wide
    }
  }

  static func ofM(_ op: Op, _ kind: OperandKind, _ wide: Int) -> Int {
    switch kind {
    case .mp: return wide + 2
    case .ma: return wide * 2
    case .mq: return 8
    case .ms: return 0
    default: break
    }
    switch op {
    case .invlpg: return 1
    case .ldmxcsr, .stmxcsr, .movnti: return 4
    case .movlps, .movlpd, .movhps, .movhpd, .movntq: return 8
    case .movntps, .movntpd, .movntdq: return 16
    default: return 0
    }
  }

  static func ofQq(_ op: Op) -> Int {
    switch op {
    case .punpcklbw, .punpcklwd, .punpckldq: 4
    case .cvtpi2pd, .cvtpi2ps: 8
    default: 8
    }
  }

  static func ofWx(_ op: Op) -> Int {
    switch op {
    case .movss, .addss, .subss, .mulss, .divss, .minss, .maxss, .sqrtss, .rsqrtss, .rcpss,
      .ucomiss, .comiss, .cvttss2si, .cvtss2si, .cvtss2sd, .cmpss:
      4
    case .movsd, .addsd, .subsd, .mulsd, .divsd, .minsd, .maxsd, .sqrtsd, .ucomisd, .comisd,
      .cvttsd2si, .cvtsd2si, .cvtsd2ss, .cmpsd, .movq, .movlps, .movhps, .cvtps2pd, .cvtdq2pd,
      .cvtps2pi, .cvttps2pi:
      8
    default: 16
    }
  }
}

/// The mnemonics of D8 to DF.
enum FPUNames {
  private static let arithmetic = [
    "fadd", "fmul", "fcom", "fcomp", "fsub", "fsubr", "fdiv", "fdivr",
  ]
  /// D9 E0 to FF.
  private static let constants: [String?] = [
    "fchs", "fabs", nil, nil, "ftst", "fxam", nil, nil,
    "fld1", "fldl2t", "fldl2e", "fldpi", "fldlg2", "fldln2", "fldz", nil,
    "f2xm1", "fyl2x", "fptan", "fpatan", "fxtract", "fprem1", "fdecstp", "fincstp",
    "fprem", "fyl2xp1", "fsqrt", "fsincos", "frndint", "fscale", "fsin", "fcos",
  ]

  /// Memory forms by escape and digit: the name and the operand's size.
  private static let memoryForms: [[(String, Int)?]] = [
    arithmetic.map { ($0, 4) },
    [
      ("fld", 4), nil, ("fst", 4), ("fstp", 4), ("fldenv", 0), ("fldcw", 2), ("fnstenv", 0),
      ("fnstcw", 2),
    ],
    arithmetic.map { ("fi" + $0.dropFirst(), 4) },
    [("fild", 4), nil, ("fist", 4), ("fistp", 4), nil, ("fld", 10), nil, ("fstp", 10)],
    arithmetic.map { ($0, 8) },
    [("fld", 8), nil, ("fst", 8), ("fstp", 8), ("frstor", 0), nil, ("fnsave", 0), ("fnstsw", 2)],
    arithmetic.map { ("fi" + $0.dropFirst(), 2) },
    [
      ("fild", 2), nil, ("fist", 2), ("fistp", 2), ("fbld", 10), ("fild", 8), ("fbstp", 10),
      ("fistp", 8),
    ],
  ]

  /// Name and operands, or nil where nothing is defined.
  static func parts(_ i: Instruction) -> (name: String, operands: [DisassembledOperand])? {
    let escape = Int(i.opcode & 7)
    if i.hasMemory {
      guard let form = memoryForms[escape][i.digit] else { return nil }
      return (form.0, [.memory(form.1)])
    }
    let st = DisassembledOperand.register("st0")
    let n = DisassembledOperand.register("st\(i.modrm & 7)")
    let low = Int(i.modrm & 0x3F)
    switch (escape, i.digit) {
    case (0, 2), (0, 3): return (arithmetic[i.digit], [n])
    case (0, _): return (arithmetic[i.digit], [st, n])
    case (1, 0): return ("fld", [n])
    case (1, 1): return ("fxch", [n])
    case (1, 2): return low == 0x10 ? ("fnop", []) : nil
    case (1, 3): return nil
    case (1, _): return constants[low & 0x1F].map { ($0, []) }
    case (2, 0...3): return (["fcmovb", "fcmove", "fcmovbe", "fcmovu"][i.digit], [st, n])
    case (2, 5): return low == 0x29 ? ("fucompp", []) : nil
    case (3, 0...3): return (["fcmovnb", "fcmovne", "fcmovnbe", "fcmovnu"][i.digit], [st, n])
    case (3, 4):
      switch low & 7 {
      case 2: return ("fnclex", [])
      case 3: return ("fninit", [])
      case 4: return ("fnsetpm", [])
      default: return nil
      }
    case (3, 5): return ("fucomi", [st, n])
    case (3, 6): return ("fcomi", [st, n])
    case (4, 0), (4, 1): return (arithmetic[i.digit], [n, st])
    case (4, 4...7): return (["fsubr", "fsub", "fdivr", "fdiv"][i.digit - 4], [n, st])
    case (5, 0): return ("ffree", [n])
    case (5, 2): return ("fst", [n])
    case (5, 3): return ("fstp", [n])
    case (5, 4): return ("fucom", [n])
    case (5, 5): return ("fucomp", [n])
    case (6, 0): return ("faddp", [n, st])
    case (6, 1): return ("fmulp", [n, st])
    case (6, 3): return low == 0x19 ? ("fcompp", []) : nil
    case (6, 4...7): return (["fsubrp", "fsubp", "fdivrp", "fdivp"][i.digit - 4], [n, st])
    case (7, 0): return ("ffreep", [n])
    case (7, 4): return low == 0x20 ? ("fnstsw", [.register("ax")]) : nil
    case (7, 5): return ("fucomip", [st, n])
    case (7, 6): return ("fcomip", [st, n])
    default: return nil
    }
  }
}
