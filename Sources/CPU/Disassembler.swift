// Instructions as text.
//
// Owns: the notation (Intel's order of operands, as nasm reads it) made from decoded records and the opcode table.
// Must not know: where the bytes come from. x87 instructions are shown as ESC with their operand only.
// Follows: Intel SDM volume 2, appendix A.

/// Turns instruction bytes into text.
public struct Disassembler {
  private let decoder: Decoder

  /// - Parameter model: decides which instructions exist.
  public init(model: CPUModel) { decoder = Decoder(model: model) }

  /// The instruction at the start of `bytes`.
  /// - Parameters:
  ///   - big: the code segment's D bit.
  ///   - eip: where the instruction stands, for branch targets.
  /// - Returns: the text and the length; "(bad)" where nothing is defined, nil when the bytes end too early.
  public func text(_ bytes: [UInt8], big: Bool, eip: UInt32) -> (text: String, length: Int)? {
    var i = Instruction()
    let result = bytes.withUnsafeBufferPointer { buffer -> DecodeResult in
      guard let base = buffer.baseAddress else { return .needMore }
      return decoder.decode(base, count: buffer.count, big: big, into: &i)
    }
    if result == .needMore { return nil }
    if i.handler == .ud || i.handler == .lengthFault { return ("(bad)", Int(i.length)) }
    let entry = OpcodeTable.shared.entries[Int(i.entry)]
    var parts: [String] = []
    if i.hasLock { parts.append("lock") }
    // A mandatory prefix belongs to the name.
    let vector = !entry.features.isDisjoint(with: [.mmx, .sse, .sse2])
    if vector {
      i.flags =
        i.flags & ~(InstructionFlags.rep | InstructionFlags.repne) | InstructionFlags.operand32
    }
    if i.hasRep { parts.append(["cmps", "scas"].contains("\(entry.op)") ? "repe" : "rep") }
    if i.hasRepne { parts.append("repne") }
    parts.append(Disassembler.mnemonic(entry, i))
    let kinds = [entry.operands.0, entry.operands.1, entry.operands.2]
    var operands = entry.isRepeatable ? [] : kinds.compactMap { operand($0, i, eip) }
    // SFENCE shares its opcode with CLFLUSH, which has an address.
    if entry.op == .sfence && i.hasMemory { operands = [memory(i, 1)] }
    let text = parts.joined(separator: " ") + (operands.isEmpty ? "" : " ")
    return (text + operands.joined(separator: ","), Int(i.length))
  }

  private static func mnemonic(_ entry: OpcodeEntry, _ i: Instruction) -> String {
    let name = "\(entry.op)"
    let wide = i.isOperand32
    switch name {
    case "movSeg", "movCR", "movDR", "movTR": return "mov"
    case "pushSeg": return "push"
    case "popSeg": return "pop"
    case "callFar": return "call far"
    case "jmpFar": return "jmp far"
    case "retFar": return "retf"
    case "imul1": return "imul"
    case "nopRM": return "nop"
    case "sfence": return i.hasMemory ? "clflush" : name
    case "fpu": return "esc \(String(entry.opcode & 7))/\(i.digit)"
    case "cbw": return wide ? "cwde" : "cbw"
    case "cwd": return wide ? "cdq" : "cwd"
    case "pusha", "popa", "pushf", "popf", "iret": return wide ? name + "d" : name
    default: break
    }
    if entry.isRepeatable {
      var size = i.opcode & 1 == 0 ? "b" : wide ? "d" : "w"
      if i.segment != 3 { size += " " + segments[Int(i.segment & 7)] + ":" }
      return name + size
    }
    return name
  }

  private static let bytes = ["al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"]
  private static let words = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]
  private static let segments = ["es", "cs", "ss", "ds", "fs", "gs", "?", "?"]

  /// A register by its offset in the file.
  private func register(_ offset: UInt8, _ size: Int) -> String {
    let n = Int(offset >> 2) & 7
    switch size {
    case 1: return Disassembler.bytes[offset & 1 != 0 ? n + 4 : n & 3]
    case 2: return Disassembler.words[n]
    default: return "e" + Disassembler.words[n]
    }
  }

  private func number(_ value: UInt32) -> String {
    value < 10 ? String(value) : "0x" + String(value, radix: 16)
  }

  private func memory(_ i: Instruction, _ size: Int?) -> String {
    let names = [1: "byte ", 2: "word ", 4: "dword "]
    let address = i.isAddress32 ? 4 : 2
    var terms: [String] = []
    if i.base != 32 { terms.append(register(i.base, address)) }
    if i.index != 32 {
      let scale = i.scale == 0 ? "" : "*\(1 << Int(i.scale & 3))"
      terms.append(register(i.index, address) + scale)
    }
    var text = terms.joined(separator: "+")
    let displacement = i.disp & i.addressMask
    if terms.isEmpty {
      text = number(displacement)
    } else if displacement != 0 {
      let top = (i.addressMask >> 1) &+ 1
      text +=
        displacement >= top
        ? "-" + number((0 &- displacement) & i.addressMask) : "+" + number(displacement)
    }
    let stack = i.base == 16 || i.base == 20
    let usual: UInt8 = stack ? 2 : 3
    let segment = i.segment == usual ? "" : Disassembler.segments[Int(i.segment & 7)] + ":"
    return (size.flatMap { names[$0] } ?? "") + "[\(segment)\(text)]"
  }

  private func operand(_ kind: OperandKind, _ i: Instruction, _ eip: UInt32) -> String? {
    let wide = i.isOperand32 ? 4 : 2
    let mask: UInt32 = i.isOperand32 ? 0xFFFF_FFFF : 0xFFFF
    func registerOrMemory(_ size: Int) -> String {
      i.hasMemory ? memory(i, size) : register(i.rm, size)
    }
    switch kind {
    case .none, .xb, .xv, .xz, .yb, .yv, .yz: return nil
    case .eb: return registerOrMemory(1)
    case .ew: return registerOrMemory(2)
    case .ev: return registerOrMemory(wide)
    case .es: return i.hasMemory ? memory(i, nil) : "st\(i.modrm & 7)"
    case .gb: return register(i.reg, 1)
    case .gw: return register(i.reg, 2)
    case .gv: return register(i.reg, wide)
    case .m, .mp, .ma, .mq, .ms: return memory(i, nil)
    case .ib: return number(i.imm & 0xFF)
    case .iw: return number(i.imm & 0xFFFF)
    case .ibs, .iz, .iv: return number(i.imm & mask)
    case .ib2: return number(UInt32(i.imm2))
    case .jb, .jz: return number((eip &+ UInt32(i.length) &+ i.imm) & mask)
    case .ap: return "\(number(UInt32(i.imm2))):\(number(i.imm & mask))"
    case .ob: return memory(i, 1)
    case .ov: return memory(i, wide)
    case .al: return "al"
    case .eax: return wide == 4 ? "eax" : "ax"
    case .cl: return "cl"
    case .dx: return "dx"
    case .one: return "1"
    case .zb: return register(i.rm, 1)
    case .zv: return register(i.rm, wide)
    case .sw: return Disassembler.segments[Int(i.reg & 7)]
    case .rd: return register(i.rm, 4)
    case .cd: return "cr\(i.reg & 7)"
    case .dd: return "dr\(i.reg & 7)"
    case .td: return "tr\(i.reg & 7)"
    case .segES: return "es"
    case .segCS: return "cs"
    case .segSS: return "ss"
    case .segDS: return "ds"
    case .segFS: return "fs"
    case .segGS: return "gs"
    case .pq: return "mm\(i.reg & 7)"
    case .qq, .nq: return i.hasMemory ? memory(i, nil) : "mm\(i.rm & 7)"
    case .vx: return "xmm\(i.reg & 7)"
    case .wx, .ux: return i.hasMemory ? memory(i, nil) : "xmm\(i.rm & 7)"
    }
  }
}
