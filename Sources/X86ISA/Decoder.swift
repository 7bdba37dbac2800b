// From bytes to records.
//
// Owns: prefixes, ModRM and SIB, immediates, the length limit, LOCK rules, the normal form of operands that handlers expect: in RR shapes
// `rm` is the destination and `reg` the source. Must not know: where the bytes come from or what handlers do. An undefined encoding
// decodes to a record whose handler raises #UD.
// Follows: Intel SDM volume 2, chapter 2 and appendix A.

/// What decoding came to.
public enum DecodeResult {
  case ok
  /// The instruction goes on past the bytes given.
  case needMore
}

/// Decodes for processors with the same features.
public struct Decoder {
  private let features: CPUFeatures
  private let entries: UnsafeMutablePointer<OpcodeEntry>
  private let index: UnsafeMutablePointer<UInt16>
  private let hasModRM: UnsafeMutablePointer<Bool>
  private let prefixedIndex: UnsafeMutablePointer<UInt16>
  private let x87Index: UnsafeMutablePointer<UInt16>
  private let takesPrefix: UnsafeMutablePointer<Bool>
  private let choices: UnsafeMutablePointer<UInt16>

  /// - Parameter features: an instruction that needs another one is undefined.
  public init(features: CPUFeatures) {
    // Lives as long as the process: decoders are few and records refer to entries by number.
    func copy<T>(_ array: [T]) -> UnsafeMutablePointer<T> {
      let pointer = UnsafeMutablePointer<T>.allocate(capacity: array.count)
      pointer.initialize(from: array, count: array.count)
      return pointer
    }
    let table = OpcodeTable.shared
    self.features = features
    entries = copy(table.entries)
    index = copy(table.index)
    hasModRM = copy(table.hasModRM)
    prefixedIndex = copy(table.prefixedIndex)
    x87Index = copy(table.x87Index)
    takesPrefix = copy(table.takesPrefix)
    choices = copy(table.choices)
  }

  /// The longest instruction.
  public static let maximumLength = 15

  /// Decodes the instruction at `code`.
  /// - Parameters:
  ///   - count: bytes that may be looked at.
  ///   - mode: how the code is read.
  public func decode(
    _ code: UnsafePointer<UInt8>, count: Int, mode: DecodeMode, into insn: inout Instruction
  ) -> DecodeResult {
    var i = Instruction()
    var at = 0
    let limit = min(count, Decoder.maximumLength)
    var operand32 = mode.hasOperand32
    var address32 = mode.hasAddress32
    var segmentOverride: UInt8? = nil
    var opcode = 0

    /// Out of bytes: either the page ends or the instruction is too long.
    func short() -> DecodeResult {
      if count < Decoder.maximumLength { return .needMore }
      insn = i
      insn.handler = .lengthFault
      insn.length = UInt8(Decoder.maximumLength)
      insn.flags |= InstructionFlags.endsBlock
      return .ok
    }

    prefixes: while true {
      if at >= limit { return short() }
      let byte = code[at]
      at += 1
      switch byte {
      case 0x26: segmentOverride = 0
      case 0x2E: segmentOverride = 1
      case 0x36: segmentOverride = 2
      case 0x3E: segmentOverride = 3
      case 0x64: segmentOverride = 4
      case 0x65: segmentOverride = 5
      case 0x66: operand32 = !mode.hasOperand32
      case 0x67: address32 = !mode.hasAddress32
      case 0xF0: i.flags |= InstructionFlags.lock
      case 0xF2:
        i.flags = (i.flags & ~InstructionFlags.rep) | InstructionFlags.repne
      case 0xF3:
        i.flags = (i.flags & ~InstructionFlags.repne) | InstructionFlags.rep
      default:
        opcode = Int(byte)
        break prefixes
      }
    }
    i.prefixLength = UInt8(at - 1)
    if opcode == 0x0F {
      if at >= limit { return short() }
      opcode = Int(code[at]) | 0x100
      at += 1
    }
    if operand32 { i.flags |= InstructionFlags.operand32 }
    if address32 { i.flags |= InstructionFlags.address32 }

    func undefined() -> DecodeResult {
      insn = i
      insn.handler = .ud
      insn.length = UInt8(at)
      insn.flags |= InstructionFlags.endsBlock
      return .ok
    }

    // ModRM.reg, and whether ModRM names a register.
    var selector = 0
    if hasModRM[opcode] {
      if at >= limit { return short() }
      i.modrm = code[at]
      at += 1
      selector = Int(i.modrm >> 3 & 7) | (i.modrm >= 0xC0 ? 8 : 0)
    }
    var number = index[opcode * 16 + selector]
    if takesPrefix[opcode] {
      let prefix: MandatoryPrefix =
        i.hasRep
        ? .rep : i.hasRepne ? .repne : operand32 != mode.hasOperand32 ? .operandSize : .none
      i.imm2 = UInt16(prefix.rawValue)
      if prefix != .none {
        let place = Int(prefix.rawValue) << 8 | opcode & 0xFF
        number = prefixedIndex[place * 16 + selector]
      }
    } else if opcode & 0x1F8 == 0xD8 {
      i.imm2 = UInt16(opcode & 7) << 8 | UInt16(i.modrm)
      number = x87Index[Int(i.imm2)]
    }
    if number == 0 {
      return undefined()
    }
    i.entry = number - 1
    let entry = entries + Int(number - 1)
    i.op = entry.pointee.op
    if !features.isSuperset(of: entry.pointee.features) { return undefined() }
    if entry.pointee.number != 0 { i.imm2 = entry.pointee.number }

    let (first, second, third) = entry.pointee.operands
    let isRegisterForm = i.modrm >= 0xC0 || first == .rd || second == .rd
    i.segment = segmentOverride ?? 3
    if hasModRM[opcode] && !isRegisterForm {
      i.flags |= InstructionFlags.memory
      let mod = i.modrm >> 6
      let rm = i.modrm & 7
      var stackBased = false
      if address32 {
        var base = rm
        if rm == 4 {
          if at >= limit { return short() }
          let sib = code[at]
          at += 1
          base = sib & 7
          let indexRegister = sib >> 3 & 7
          if indexRegister != 4 {
            i.index = indexRegister * 4
            i.scale = sib >> 6
          }
        }
        if base == 5 && mod == 0 {
          if at + 4 > limit { return short() }
          i.disp = load32(code + at)
          at += 4
        } else {
          i.base = base * 4
          stackBased = base == 4 || base == 5
        }
      } else {
        switch rm {
        case 0: (i.base, i.index) = (12, 24)
        case 1: (i.base, i.index) = (12, 28)
        case 2: (i.base, i.index) = (20, 24)
        case 3: (i.base, i.index) = (20, 28)
        case 4: i.base = 24
        case 5: i.base = 28
        case 6:
          if mod == 0 {
            if at + 2 > limit { return short() }
            i.disp = UInt32(load16(code + at))
            at += 2
          } else {
            i.base = 20
          }
        default: i.base = 12
        }
        stackBased = rm == 2 || rm == 3 || (rm == 6 && mod != 0)
      }
      if mod == 1 {
        if at >= limit { return short() }
        i.disp = UInt32(bitPattern: Int32(Int8(bitPattern: code[at])))
        at += 1
      } else if mod == 2 {
        let size = address32 ? 4 : 2
        if at + size > limit { return short() }
        i.disp = address32 ? load32(code + at) : UInt32(load16(code + at))
        at += size
      }
      if stackBased && segmentOverride == nil { i.segment = 2 }
    }

    // Registers by operand kind.
    let byteRegister: (UInt8) -> UInt8 = { $0 < 4 ? $0 * 4 : ($0 - 4) * 4 + 1 }
    let regField = i.modrm >> 3 & 7
    let rmField = i.modrm & 7
    var memoryOperandAllowed = true
    func operand(_ kind: OperandKind) -> Bool {
      switch kind {
      case .eb: i.rm = byteRegister(rmField)
      case .ew, .ev, .es, .rd: i.rm = rmField * 4
      case .gb: i.reg = byteRegister(regField)
      case .gw, .gv: i.reg = regField * 4
      case .sw, .cd, .dd, .td: i.reg = regField
      case .segES, .segCS, .segSS, .segDS, .segFS, .segGS:
        i.reg = kind.segmentNumber.unsafelyUnwrapped
      case .sti: i.rm = rmField
      case .dx: i.base = 8
      case .one: i.imm = 1
      case .cl: i.imm2 |= Instruction.byCL
      case .pq, .vx: i.reg = regField
      case .qq, .wx: i.rm = rmField
      case .nq, .ux:
        i.rm = rmField
        memoryOperandAllowed = !i.hasMemory
      case .zb: i.rm = byteRegister(UInt8(opcode & 7))
      case .zv: i.rm = UInt8(opcode & 7) * 4
      case .m, .mp, .ma, .mq, .ms: memoryOperandAllowed = i.hasMemory
      case .ib, .ib2:
        if at + 1 > limit { return false }
        if kind == .ib { i.imm = UInt32(code[at]) } else { i.imm2 = UInt16(code[at]) }
        at += 1
      case .ibs, .jb:
        if at + 1 > limit { return false }
        i.imm = UInt32(bitPattern: Int32(Int8(bitPattern: code[at])))
        at += 1
      case .iw:
        if at + 2 > limit { return false }
        i.imm = UInt32(load16(code + at))
        at += 2
      case .iz, .iv, .jz:
        let size = operand32 ? 4 : 2
        if at + size > limit { return false }
        i.imm =
          operand32
          ? load32(code + at) : UInt32(bitPattern: Int32(Int16(bitPattern: load16(code + at))))
        at += size
      case .ob, .ov:
        let size = address32 ? 4 : 2
        if at + size > limit { return false }
        i.disp = address32 ? load32(code + at) : UInt32(load16(code + at))
        i.flags |= InstructionFlags.memory
        at += size
      case .ap:
        let size = operand32 ? 4 : 2
        if at + size + 2 > limit { return false }
        i.imm = operand32 ? load32(code + at) : UInt32(load16(code + at))
        i.imm2 = load16(code + at + size)
        at += size + 2
      case .none, .al, .ax, .eax, .xb, .xv, .xz, .yb, .yv, .yz, .st: break
      }
      return true
    }
    if !operand(first) || !operand(second) || !operand(third) { return short() }
    if !memoryOperandAllowed { return undefined() }
    if i.hasLock && !(entry.pointee.isLockable && i.hasMemory && first != .gb && first != .gv) {
      return undefined()
    }
    i.length = UInt8(at)
    if entry.pointee.isByte { i.flags |= InstructionFlags.byte }
    if entry.pointee.endsBlock || entry.pointee.endsBlockRepeated && (i.hasRep || i.hasRepne) {
      i.flags |= InstructionFlags.endsBlock
    }
    let place =
      (i.hasMemory ? 4 : 0) | (i.isOperand32 ? 2 : 0) | (i.imm & 31 != 0 ? 1 : 0)
    let choice = choices[Int(entry.pointee.choice) * 8 + place]
    i.handler = Handler(number: choice & ~OpcodeTable.swapsRegisters)
    if choice & OpcodeTable.swapsRegisters != 0 { (i.reg, i.rm) = (i.rm, i.reg) }
    if i.op == .nop && i.hasRep { i.handler = .pause }
    insn = i
    return .ok
  }

  @inline(__always) private func load16(_ p: UnsafePointer<UInt8>) -> UInt16 {
    UnsafeRawPointer(p).loadUnaligned(as: UInt16.self)
  }
  @inline(__always) private func load32(_ p: UnsafePointer<UInt8>) -> UInt32 {
    UnsafeRawPointer(p).loadUnaligned(as: UInt32.self)
  }
}
