// Instructions in the notation of AT&T, as GNU as reads it and objdump writes it.
//
// Owns: the names with their suffixes, the order and form of operands. Must not know: how an instruction is taken apart.
// Follows: the GNU assembler's manual, chapter "80386 Dependent Features".

extension Disassembler {
  static func att(_ p: DisassemblyParts) -> String {
    var words = p.prefixes.map { ["repe": "repz", "repne": "repnz"][$0] ?? $0 }
    let name = attName(p)
    words.append(name)
    if p.isRepeatable {
      return words.joined(separator: " ") + " " + stringOperands(p)
    }
    // These keep Intel's order.
    let keeps = p.op == .bound || p.op == .enter
    var list = keeps ? p.operands : p.operands.reversed()
    if isShift(p.op), p.entry.operands.1 == .one { list.removeFirst() }
    let indirect = [.call, .jmp, .callFarIndirect, .jmpFarIndirect].contains(p.op)
    let texts = list.map { operand -> String in
      switch operand {
      case .register(let name):
        if p.op == .in || p.op == .out, name == "dx" { return "(%dx)" }
        return (indirect ? "*" : "") + "%" + attRegister(name)
      case .immediate(let value): return "$0x" + String(value, radix: 16)
      case .memory: return (indirect ? "*" : "") + attMemory(p.record)
      case .target(let target): return "0x" + String(target, radix: 16)
      case .far(let selector, let offset):
        return "$0x" + String(selector, radix: 16) + ",$0x" + String(offset, radix: 16)
      case .destination, .source: return ""
      }
    }
    if p.op == .xlat {
      let segment = segmentNames[Int(p.record.segment & 7)]
      return words.joined(separator: " ")
        + " %\(segment):(%\(register(3, p.record.isAddress32 ? 4 : 2)))"
    }
    return words.joined(separator: " ") + (texts.isEmpty ? "" : " ")
      + texts.joined(separator: ",")
  }

  private static func isShift(_ op: Op) -> Bool {
    [.rol, .ror, .rcl, .rcr, .shl, .shr, .sal, .sar].contains(op)
  }

  private static func attRegister(_ name: String) -> String {
    if name.hasPrefix("st"), let n = name.dropFirst(2).first, name.count == 3 {
      return n == "0" ? "st" : "st(\(n))"
    }
    // GNU calls the debug registers db.
    if name.hasPrefix("dr"), name.count == 3 { return "db" + name.dropFirst(2) }
    return name
  }

  private static func attMemory(_ i: Instruction) -> String {
    let address = i.isAddress32 ? 4 : 2
    let displacement = i.disp & i.addressMask
    var text = i.segment == usualSegment(i) ? "" : "%" + segmentNames[Int(i.segment & 7)] + ":"
    if isAbsolute(i) { return text + "0x" + String(displacement, radix: 16) }
    if displacement != 0 || i.hasZeroDisplacement {
      let top = (i.addressMask >> 1) &+ 1
      text +=
        displacement >= top
        ? "-0x" + String((0 &- displacement) & i.addressMask, radix: 16)
        : "0x" + String(displacement, radix: 16)
    }
    text += "("
    if i.base != 32 { text += "%" + register(i.base >> 2, address) }
    if i.index != 32 {
      text += ",%" + register(i.index >> 2, address)
      if i.isAddress32 { text += ",\(1 << Int(i.scale & 3))" }
    }
    return text + ")"
  }

  private static func stringOperands(_ p: DisassemblyParts) -> String {
    let i = p.record
    let prefix = i.isAddress32 ? "e" : ""
    let source = "%" + segmentNames[Int(i.segment & 7)] + ":(%\(prefix)si)"
    let destination = "%es:(%\(prefix)di)"
    let accumulator = "%" + register(0, p.size)
    switch p.op {
    case .movs: return source + "," + destination
    case .cmps: return destination + "," + source
    case .stos: return accumulator + "," + destination
    case .lods: return source + "," + accumulator
    case .scas: return destination + "," + accumulator
    case .ins: return "(%dx)," + destination
    default: return source + ",(%dx)"
    }
  }

  private static func attName(_ p: DisassemblyParts) -> String {
    let wide = p.wide == 4
    let letter = p.size == 1 ? "b" : p.size == 2 ? "w" : "l"
    let hasMemory = p.operands.contains {
      if case .memory = $0 { return true }
      return false
    }
    // The suffix that only another size than the code's own needs.
    let odd = wide == p.big ? "" : wide ? "l" : "w"
    if let name = attConditions[p.op] { return name }
    if p.entry.isX87 { return attFPUName(p, hasMemory) }
    switch p.op {
    case .cbw: return wide ? "cwtl" : "cbtw"
    case .cwd: return wide ? "cltd" : "cwtd"
    case .callFar, .callFarIndirect: return "lcall" + odd
    case .jmpFar, .jmpFarIndirect: return "ljmp" + odd
    case .retFar: return "lret" + odd
    case .pusha, .popa, .pushf, .popf, .iret: return "\(p.op)" + odd
    case .call, .jmp:
      if case .register? = p.operands.first { return p.name }
      return p.entry.operands.0 == .jb ? p.name : p.name + odd
    case .ret, .leave, .enter, .pushSeg, .popSeg: return p.name + odd
    case .push, .pop:
      if case .register = p.operands[0] { return p.name }
      return p.name + odd
    case .movzx, .movsx:
      let source = p.entry.operands.1 == .eb ? "b" : "w"
      return "\(p.op)".dropLast() + source + (wide ? "l" : "w")
    case .sgdt, .sidt, .lgdt, .lidt: return p.name + (wide ? "l" : "w")
    case .int1: return "int1"
    case .loop, .loopz, .loopnz:
      let name = p.op == .loop ? "loop" : p.op == .loopz ? "loope" : "loopne"
      return p.record.isAddress32 == p.big ? name : name + (p.big ? "w" : "l")
    case .movs, .cmps, .stos, .lods, .scas, .ins, .outs:
      let isMove = p.op == .stos || p.op == .lods || p.op == .scas
      return isMove ? p.name : p.name + letter
    case .nopRM, .nopPrefetch: return p.name + (hasMemory && p.name == "nop" ? letter : "")
    default: break
    }
    if p.entry.opcode >= 0x0F00 && !integerOps.contains(p.op) { return p.name }
    if !hasMemory { return p.name }
    // A register of the operand's size says the size; CL as a count does not.
    let counts = isShift(p.op)
    let tells = p.operands.contains {
      if case .register = $0 { return !counts }
      return false
    }
    return tells ? p.name : p.name + letter
  }

  /// Integer instructions of the two-byte map that take a suffix.
  private static let integerOps: Set<Op> = [.bt, .bts, .btr, .btc]

  private static let attConditions: [Op: String] = [
    .jb: "jb", .jnb: "jae", .jz: "je", .jnz: "jne", .jnbe: "ja", .jnl: "jge", .jnle: "jg",
    .setnb: "setae", .setz: "sete", .setnz: "setne", .setnbe: "seta", .setnl: "setge",
    .setnle: "setg", .cmovnb: "cmovae", .cmovz: "cmove", .cmovnz: "cmovne", .cmovnbe: "cmova",
    .cmovnl: "cmovge", .cmovnle: "cmovg",
  ]

  private static func attFPUName(_ p: DisassemblyParts, _ hasMemory: Bool) -> String {
    guard hasMemory else {
      // GNU kept an old assembler's exchange of these.
      if p.entry.operands.0 == .sti {
        let swapped = [
          "fsubr": "fsub", "fsub": "fsubr", "fdivr": "fdiv", "fdiv": "fdivr", "fsubrp": "fsubp",
          "fsubp": "fsubrp", "fdivrp": "fdivp", "fdivp": "fdivrp",
        ]
        return swapped[p.name] ?? p.name
      }
      return p.name
    }
    guard case .memory(let size)? = p.operands.first else { return p.name }
    let isInteger = p.name.hasPrefix("fi")
    switch p.name {
    case "fldcw", "fnstcw", "fnstsw", "fbld", "fbstp": return p.name
    case "fldenv", "fnstenv", "frstor", "fnsave":
      return p.name + (p.record.isOperand32 == p.big ? "" : p.big ? "s" : "l")
    default: break
    }
    switch size {
    case 2: return p.name + "s"
    case 4: return p.name + (isInteger ? "l" : "s")
    case 8: return p.name + (isInteger ? "ll" : "l")
    default: return p.name + "t"
    }
  }
}

extension Instruction {
  /// Whether the code has a displacement of zero, which GNU shows.
  var hasZeroDisplacement: Bool { disp == 0 && hasMemory && (modrm >> 6 == 1 || modrm >> 6 == 2) }
}
