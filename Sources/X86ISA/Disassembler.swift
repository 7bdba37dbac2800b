// Instructions as text.
//
// Owns: taking decoded bytes apart into a name and operands, and Intel's notation (destination first, as nasm reads it).
// Must not know: where the bytes come from. AT&T's notation is in DisassemblerATT.swift, names and sizes in DisassemblerNames.swift.
// Follows: Intel SDM volume 2, appendix A.

/// An operand of a disassembled instruction.
enum DisassembledOperand: Equatable {
  case register(String)
  case immediate(UInt32)
  /// Bytes, 0 where there is no plain size.
  case memory(Int)
  case target(UInt32)
  case far(UInt16, UInt32)
  /// ES:(E)DI or DS:(E)SI of a string instruction.
  case destination
  case source
}

/// Name and operands, before they are written.
struct DisassemblyParts {
  var record: Instruction
  var entry: OpcodeEntry
  var name: String
  var prefixes: [String] = []
  var operands: [DisassembledOperand] = []
  /// Operand size in bytes, 2 or 4; 1 for byte instructions.
  var size: Int
  /// The code segment's D bit.
  var mode: DecodeMode
  var isRepeatable: Bool

  var op: Op { entry.op }
  var wide: Int { record.isOperand32 ? 4 : 2 }
}

/// Turns instruction bytes into text.
public struct Disassembler {
  private let decoder: Decoder

  /// - Parameter features: decide which instructions exist.
  public init(features: CPUFeatures) { decoder = Decoder(features: features) }

  /// The instruction at the start of `bytes` in Intel's notation.
  /// - Parameters:
  ///   - mode: how the code is read.
  ///   - eip: where the instruction stands, for branch targets.
  /// - Returns: the text and the length; "(bad)" where nothing is defined, nil when the bytes end too early.
  public func text(_ bytes: [UInt8], mode: DecodeMode, eip: UInt32) -> (text: String, length: Int)?
  {
    instruction(bytes, mode: mode, eip: eip, syntax: .intel).map { ($0.text, $0.length) }
  }

  /// The instruction at the start of `bytes`.
  /// - Parameters:
  ///   - mode: how the code is read.
  ///   - eip: where the instruction stands, for branch targets.
  ///   - symbol: the name of an offset in the code segment, shown behind branch targets.
  /// - Returns: nil when the bytes end too early.
  public func instruction(
    _ bytes: [UInt8], mode: DecodeMode, eip: UInt32, syntax: AssemblySyntax,
    symbol: ((UInt32) -> String?)? = nil
  ) -> DisassembledInstruction? {
    var i = Instruction()
    let result = bytes.withUnsafeBufferPointer { buffer -> DecodeResult in
      guard let base = buffer.baseAddress else { return .needMore }
      return decoder.decode(base, count: buffer.count, mode: mode, into: &i)
    }
    if result == .needMore { return nil }
    var value = DisassembledInstruction(
      text: "(bad)", length: Int(i.length), isValid: false, flow: .next, target: nil,
      farSelector: nil, memory: nil, condition: nil)
    if i.handler == .ud && !Disassembler.isDefinedUndefined(i) || i.handler == .lengthFault {
      return value
    }
    guard let parts = Disassembler.parts(i, mode: mode, eip: eip) else { return value }
    value.isValid = true
    value.flow = Disassembler.flow(parts)
    if value.flow == .conditional { value.condition = Disassembler.condition(i) }
    for operand in parts.operands {
      switch operand {
      case .target(let target): value.target = target
      case .far(let selector, let offset):
        value.farSelector = selector
        value.target = offset
      case .memory(let size):
        value.memory = Disassembler.reference(
          i, size: size, isAddressOnly: [.lea, .nopRM, .nopPrefetch].contains(parts.op))
      default: break
      }
    }
    if parts.isRepeatable, parts.operands.contains(.source) {
      value.memory = Disassembler.stringSource(i, size: parts.size)
    }
    value.text = syntax == .intel ? Disassembler.intel(parts) : Disassembler.att(parts)
    if let target = value.target, value.farSelector == nil, let name = symbol?(target) {
      value.text += " <\(name)>"
    }
    return value
  }

  /// UD0, UD1 and UD2 are names for what is undefined.
  private static func isDefinedUndefined(_ i: Instruction) -> Bool {
    let op = OpcodeTable.shared.entries[Int(i.entry)].op
    return op == .ud0 || op == .ud1 || op == .ud2
  }

  // MARK: - Taking apart

  static func parts(_ record: Instruction, mode: DecodeMode, eip: UInt32) -> DisassemblyParts? {
    var i = record
    let entry = OpcodeTable.shared.entries[Int(i.entry)]
    var prefixes: [String] = []
    if i.hasLock { prefixes.append("lock") }
    if entry.isSIMD {
      // A mandatory prefix belongs to the name; integer operands have 32 bits.
      i.flags =
        i.flags & ~(InstructionFlags.rep | InstructionFlags.repne) | InstructionFlags.operand32
    }
    let compares = entry.op == .cmps || entry.op == .scas
    if i.hasRep { prefixes.append(entry.isRepeatable && !compares ? "rep" : "repe") }
    if i.hasRepne { prefixes.append("repne") }
    let wide = i.isOperand32 ? 4 : 2
    var p = DisassemblyParts(
      record: i, entry: entry, name: entry.op.mnemonic, prefixes: prefixes, size: wide, mode: mode,
      isRepeatable: entry.isRepeatable)
    if entry.isAlias || entry.op == .fpuUndefined { return nil }
    for kind in [entry.operands.0, entry.operands.1, entry.operands.2] {
      if let operand = operand(kind, p, eip) { p.operands.append(operand) }
      switch kind {
      case .eb, .gb, .al, .ob, .zb, .xb, .yb: p.size = 1
      default: break
      }
    }
    rename(&p)
    return p
  }

  static let byteNames = ["al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"]
  static let wordNames = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]
  static let segmentNames = ["es", "cs", "ss", "ds", "fs", "gs", "?", "?"]

  /// A general register by number.
  static func register(_ n: UInt8, _ size: Int) -> String {
    switch size {
    case 1: byteNames[Int(n & 7)]
    case 2: wordNames[Int(n & 7)]
    default: "e" + wordNames[Int(n & 7)]
    }
  }

  private static func operand(_ kind: OperandKind, _ p: DisassemblyParts, _ eip: UInt32)
    -> DisassembledOperand?
  {
    let i = p.record
    let wide = p.wide
    let mask: UInt32 = wide == 4 ? 0xFFFF_FFFF : 0xFFFF
    let reg = i.modrm >> 3 & 7
    let rm = i.modrm & 7
    func either(_ size: Int, memory: Int? = nil) -> DisassembledOperand {
      i.hasMemory ? .memory(memory ?? size) : .register(register(rm, size))
    }
    switch kind {
    case .none: return nil
    case .xb, .xv, .xz: return .source
    case .yb, .yv, .yz: return .destination
    case .eb: return either(1)
    case .ew: return either(2)
    case .ev: return either(wide, memory: p.memorySize ?? wide)
    case .es: return nil
    case .gb: return .register(register(reg, 1))
    case .gw: return .register(register(reg, 2))
    case .gv: return .register(register(reg, wide))
    case .m, .mp, .ma, .mq, .ms:
      return .memory(p.memorySize(kind))
    case .ib: return .immediate(i.imm & 0xFF)
    case .iw: return .immediate(i.imm & 0xFFFF)
    case .ibs, .iz, .iv: return .immediate(i.imm & mask)
    case .ib2: return .immediate(UInt32(i.imm2))
    case .jb, .jz: return .target((eip &+ UInt32(i.length) &+ i.imm) & mask)
    case .ap: return .far(i.imm2, i.imm & mask)
    case .ob: return .memory(1)
    case .ov: return .memory(wide)
    case .al: return .register("al")
    case .ax: return .register("ax")
    case .st: return .register("st0")
    case .sti: return .register("st\(rm)")
    case .eax: return .register(wide == 4 ? "eax" : "ax")
    case .cl: return .register("cl")
    case .dx: return .register("dx")
    case .one: return .immediate(1)
    // AH to BH have the numbers behind those of AL to BL.
    case .zb: return .register(register(i.rm / 4 + (i.rm & 1) * 4, 1))
    case .zv: return .register(register(i.rm / 4, wide))
    case .sw: return .register(segmentNames[Int(reg)])
    case .rd: return .register(register(rm, 4))
    case .cd: return .register("cr\(reg)")
    case .dd: return .register("dr\(reg)")
    case .td: return .register("tr\(reg)")
    case .segES: return .register("es")
    case .segCS: return .register("cs")
    case .segSS: return .register("ss")
    case .segDS: return .register("ds")
    case .segFS: return .register("fs")
    case .segGS: return .register("gs")
    case .pq: return .register("mm\(reg)")
    case .qq, .nq: return i.hasMemory ? .memory(p.memorySize ?? 0) : .register("mm\(rm)")
    case .vx: return .register("xmm\(reg)")
    case .wx, .ux: return i.hasMemory ? .memory(p.memorySize ?? 0) : .register("xmm\(rm)")
    }
  }

  // MARK: - Memory

  static func reference(_ i: Instruction, size: Int, isAddressOnly: Bool) -> MemoryReference {
    MemoryReference(
      segment: Int(i.segment & 7), base: i.base == 32 ? nil : Int(i.base >> 2) & 7,
      index: i.index == 32 ? nil : Int(i.index >> 2) & 7, scale: Int(i.scale & 3),
      displacement: i.disp, addressMask: i.addressMask, size: size, isAddressOnly: isAddressOnly)
  }

  private static func stringSource(_ i: Instruction, size: Int) -> MemoryReference {
    MemoryReference(
      segment: Int(i.segment & 7), base: 6, index: nil, scale: 0, displacement: 0,
      addressMask: i.addressMask, size: size, isAddressOnly: false)
  }

  /// Whether the operand has no register.
  static func isAbsolute(_ i: Instruction) -> Bool { i.base == 32 && i.index == 32 }

  /// The segment a memory operand has without a prefix.
  static func usualSegment(_ i: Instruction) -> UInt8 {
    let base = i.base
    return base == 16 || base == 20 ? 2 : 3
  }

  // MARK: - Intel's notation

  static func number(_ value: UInt32) -> String {
    value < 10 ? String(value) : "0x" + String(value, radix: 16)
  }

  static let sizeWords = [
    1: "byte ", 2: "word ", 4: "dword ", 6: "fword ", 8: "qword ", 10: "tword ", 16: "oword ",
  ]

  private static func intel(_ p: DisassemblyParts) -> String {
    var words = p.prefixes
    if hidesSize(p) { words.append(p.big ? "o16" : "o32") }
    words.append(p.name)
    if p.isRepeatable {
      // nasm's names have the size in them.
      words[words.count - 1] += p.size == 1 ? "b" : p.size == 2 ? "w" : "d"
      if p.record.segment != 3 && p.operands.contains(.source) {
        words.insert(segmentNames[Int(p.record.segment & 7)], at: 0)
      }
      if p.record.isAddress32 != p.big { words.insert(p.big ? "a16" : "a32", at: 0) }
      return words.joined(separator: " ")
    }
    let texts = p.operands.map { operand -> String in
      switch operand {
      case .register(let name): return name
      case .immediate(let value): return number(value)
      case .memory(let size): return memory(p.record, size)
      case .target(let target): return number(target)
      case .far(let selector, let offset): return "\(number(UInt32(selector))):\(number(offset))"
      case .destination, .source: return ""
      }
    }
    var list = texts
    if [.loop, .loopz, .loopnz].contains(p.op), p.record.isAddress32 != p.big {
      list.append(p.big ? "cx" : "ecx")
    }
    return words.joined(separator: " ") + (list.isEmpty ? "" : " ") + list.joined(separator: ",")
  }

  /// Whether an operand size other than the code's own shows in no operand.
  private static func hidesSize(_ p: DisassemblyParts) -> Bool {
    if p.record.isOperand32 == p.big { return false }
    switch p.op {
    case .ret, .retFar, .leave, .enter, .pushSeg, .popSeg, .fldenv, .fnstenv, .frstor, .fnsave,
      .sgdt, .sidt, .lgdt, .lidt:
      return true
    case .push, .call, .jmp:
      switch p.operands.first {
      case .immediate: return true
      case .target: return p.entry.operands.0 != .jb
      default: return false
      }
    default: return false
    }
  }

  private static func memory(_ i: Instruction, _ size: Int) -> String {
    let address = i.isAddress32 ? 4 : 2
    var terms: [String] = []
    if i.base != 32 { terms.append(register(i.base >> 2, address)) }
    if i.index != 32 {
      let scale = i.scale == 0 ? "" : "*\(1 << Int(i.scale & 3))"
      terms.append(register(i.index >> 2, address) + scale)
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
    let segment =
      i.segment == usualSegment(i) ? "" : segmentNames[Int(i.segment & 7)] + ":"
    return (sizeWords[size] ?? "") + "[\(segment)\(text)]"
  }
}
