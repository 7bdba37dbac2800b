// Names that do not follow from the instruction table alone.
//
// Owns: mnemonics that depend on sizes, prefixes or immediates, how an instruction leaves its place.
// Must not know: notations. Follows: Intel SDM volume 2, appendix A.

extension Disassembler {
  /// Gives an instruction Intel's name where the table's differs.
  static func rename(_ p: inout DisassemblyParts) {
    let i = p.record
    let wide = p.wide == 4
    switch p.op {
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
    case .nopPrefetch: renameHint(&p)
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
    if i.hasMemory, i.digit < 4 {
      p.name = ["prefetchnta", "prefetcht0", "prefetcht1", "prefetcht2"][i.digit]
      p.operands = [.memory(1)]
    }
  }

  /// How an instruction leaves its place.
  static func flow(_ p: DisassemblyParts) -> InstructionFlow {
    switch p.op {
    case .jmp, .jmpFar, .jmpFarIndirect: return .jump
    case .call, .callFar, .callFarIndirect: return .call
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

  /// On what it depends whether the instruction transfers.
  static func condition(_ i: Instruction) -> TransferCondition? {
    switch i.op {
    case .loop: .count
    case .loopz: .countAndZero(true)
    case .loopnz: .countAndZero(false)
    case .jcxz: .noCount
    default: i.op.isConditionalJump ? .flags(i.condition) : nil
    }
  }
}

extension DisassemblyParts {
  /// Operands and addresses have 32 bits where nothing else is said.
  var big: Bool { mode == .bits32 }

  /// Bytes of the memory operand by the table, where it says so.
  var memorySize: Int? { entry.memorySize == 0 ? nil : Int(entry.memorySize) }

  /// Bytes of an operand that can only be memory; 0 where there is no plain size.
  func memorySize(_ kind: OperandKind) -> Int {
    switch kind {
    case .mp: wide + 2
    case .ma: wide * 2
    case .mq: 8
    default: memorySize ?? 0
    }
  }
}
