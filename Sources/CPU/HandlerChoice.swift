// Which handler carries out a decoded instruction.
//
// Owns: the mapping from operation, operand shape and size to `Handler`, and the normal form of operands handlers expect: in RR shapes
// `rm` is the destination and `reg` the source; accumulator and opcode registers are in `rm`.
// Must not know: bytes, behaviour.

enum HandlerChoice {
  static func handler(for entry: UnsafePointer<OpcodeEntry>, _ i: inout Instruction) -> Handler {
    let (first, second, _) = entry.pointee.operands
    let wide: UInt16 = i.isOperand32 ? 2 : 1
    let op = entry.pointee.op
    if !entry.pointee.features.isDisjoint(with: [.mmx, .sse, .sse2]) { return .simd }
    switch op {
    case .add, .or, .adc, .sbb, .and, .sub, .xor, .cmp, .test:
      let order: UInt16
      switch op {
      case .add: order = 0
      case .or: order = 1
      case .adc: order = 2
      case .sbb: order = 3
      case .and: order = 4
      case .sub: order = 5
      case .xor: order = 6
      case .cmp: order = 7
      default: order = 8
      }
      let byte = first == .eb || first == .gb || first == .al
      let size = byte ? 0 : wide
      return Handler(
        rawValue: Handler.addRR8.rawValue + (order * 3 + size) * Handler.shapes
          + shape(first, second, &i))!
    case .mov:
      let byte = first == .eb || first == .gb || first == .al || first == .ob || first == .zb
      return Handler(
        rawValue: Handler.movRR8.rawValue + shape(first, second, &i) * 3 + (byte ? 0 : wide))!
    case .inc, .dec:
      let base =
        op == .inc ? (i.hasMemory ? Handler.incM8 : .inc8R) : (i.hasMemory ? .decM8 : .dec8R)
      return Handler(rawValue: base.rawValue + (first == .eb ? 0 : wide))!
    case .push:
      switch first {
      case .zv: return i.isOperand32 ? .push32R : .push16R
      case .iz, .ibs: return i.isOperand32 ? .push32I : .push16I
      default:
        if i.hasMemory { return i.isOperand32 ? .push32M : .push16M }
        return i.isOperand32 ? .push32R : .push16R
      }
    case .pop:
      if i.hasMemory { return i.isOperand32 ? .pop32M : .pop16M }
      return i.isOperand32 ? .pop32R : .pop16R
    case .lea: return i.isOperand32 ? .lea32 : .lea16
    case .jo, .jno, .jb, .jnb, .jz, .jnz, .jbe, .jnbe, .js, .jns, .jp, .jnp, .jl, .jnl, .jle, .jnle:
      return Handler(rawValue: Handler.jo.rawValue + (i.opcode & 15))!
    case .jmp:
      if first == .ev { return i.isOperand32 ? .jmp32E : .jmp16E }
      return .jmpRel
    case .call:
      if first == .ev { return i.isOperand32 ? .call32E : .call16E }
      return i.isOperand32 ? .call32 : .call16
    case .ret: return i.isOperand32 ? .ret32 : .ret16
    case .loop: return .loop
    case .loopz: return .loopz
    case .loopnz: return .loopnz
    case .jcxz: return .jcxz
    case .movzx:
      if !i.isOperand32 { return second == .eb ? .movzx16 : plainMove16(&i) }
      if second == .eb { return i.hasMemory ? .movzx32M8 : .movzx32R8 }
      return i.hasMemory ? .movzx32M16 : .movzx32R16
    case .movsx:
      if !i.isOperand32 { return second == .eb ? .movsx16 : plainMove16(&i) }
      if second == .eb { return i.hasMemory ? .movsx32M8 : .movsx32R8 }
      return i.hasMemory ? .movsx32M16 : .movsx32R16
    case .rol, .ror, .rcl, .rcr, .shl, .shr, .sal, .sar:
      if second == .one { i.imm = 1 }
      if first == .eb { return .shift8 }
      if !i.isOperand32 { return .shift16 }
      if second != .cl && !i.hasMemory && i.imm & 31 != 0 {
        switch op {
        case .shl, .sal: return .shl32I
        case .shr: return .shr32I
        case .sar: return .sar32I
        default: break
        }
      }
      return .shift32
    case .seto, .setno, .setb, .setnb, .setz, .setnz, .setbe, .setnbe, .sets, .setns, .setp, .setnp,
      .setl, .setnl, .setle, .setnle:
      return .setcc
    case .cmovo, .cmovno, .cmovb, .cmovnb, .cmovz, .cmovnz, .cmovbe, .cmovnbe, .cmovs, .cmovns,
      .cmovp, .cmovnp, .cmovl, .cmovnl, .cmovle, .cmovnle:
      return i.isOperand32 ? .cmov32 : .cmov16
    case .imul:
      if entry.pointee.operands.2 == .none { return i.isOperand32 ? .imul32 : .imul16 }
      return i.isOperand32 ? .imul32I : .imul16I
    case .not: return .not
    case .neg: return .neg
    case .mul, .imul1, .div, .idiv: return .mulDiv
    case .cbw: return i.isOperand32 ? .cwde : .cbw16
    case .cwd: return i.isOperand32 ? .cdq : .cwd16
    case .xchg:
      if second == .eax { i.reg = 0 }
      return .xchg
    case .nop, .nopRM: return .nop
    case .leave: return i.isOperand32 ? .leave32 : .leave16
    case .movs, .cmps, .stos, .lods, .scas:
      if !i.hasRep && !i.hasRepne { i.flags &= ~InstructionFlags.endsBlock }
      return .string
    case .fpu, .fwait, .fxsave, .fxrstor: return .fpu
    case .ud0, .ud1, .ud2: return .ud
    case .in: return .inPort
    case .out: return .outPort
    case .ins: return .ins
    case .outs: return .outs
    case .pusha: return .pusha
    case .popa: return .popa
    case .bound: return .bound
    case .daa: return .daa
    case .das: return .das
    case .aaa: return .aaa
    case .aas: return .aas
    case .aam: return .aam
    case .aad: return .aad
    case .salc: return .salc
    case .xlat: return .xlat
    case .sahf: return .sahf
    case .lahf: return .lahf
    case .cmc: return .cmc
    case .clc: return .clc
    case .stc: return .stc
    case .cld: return .cld
    case .std: return .std
    case .enter: return .enter
    case .bt, .bts, .btr, .btc: return second == .ib ? .bitTestImm : .bitTest
    case .bsf: return .bsf
    case .bsr: return .bsr
    case .shld: return .shld
    case .shrd: return .shrd
    case .cmpxchg: return first == .eb ? .cmpxchg8 : i.isOperand32 ? .cmpxchg32 : .cmpxchg16
    case .cmpxchg8b: return .cmpxchg8b
    case .xadd: return first == .eb ? .xadd8 : i.isOperand32 ? .xadd32 : .xadd16
    case .bswap: return .bswap
    default: return .system
    }
  }

  /// 0 RR, 1 RM, 2 MR, 3 RI, 4 MI; puts register operands where handlers look.
  private static func shape(
    _ first: OperandKind, _ second: OperandKind, _ i: inout Instruction
  ) -> UInt16 {
    switch (first, second) {
    case (.eb, .gb), (.ev, .gv): return i.hasMemory ? 2 : 0
    case (.gb, .eb), (.gv, .ev):
      if i.hasMemory { return 1 }
      swap(&i.reg, &i.rm)
      return 0
    case (.al, .ob), (.eax, .ov):
      i.reg = 0
      return 1
    case (.ob, .al), (.ov, .eax):
      i.reg = 0
      return 2
    case (.al, _), (.eax, _):
      i.rm = 0
      return 3
    default: return i.hasMemory ? 4 : 3
    }
  }

  /// MOVZX and MOVSX of a word to a word are plain moves.
  private static func plainMove16(_ i: inout Instruction) -> Handler {
    if i.hasMemory { return .movRM16 }
    swap(&i.reg, &i.rm)
    return .movRR16
  }
}
