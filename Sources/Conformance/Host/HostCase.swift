// Random instructions for comparison with the host's processor.
//
// Owns: which instructions may run natively, their encoding, operands weighted towards edges, undefined flags.
// Must not know: how either side runs them.
// Follows: Intel SDM volume 2, chapter 2 (encoding); the instructions' pages (undefined flags).

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU
  import Host

  /// A small generator: the same numbers from the same seed everywhere (splitmix64).
  struct CaseRandom {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
    mutating func below(_ n: Int) -> Int { Int(next() >> 33) % n }
    mutating func oneIn(_ n: Int) -> Bool { below(n) == 0 }

    /// A pointer with a selector of code or data.
    mutating func farPointer(_ mode: HostProcessor.Mode, _ size: Int) -> [UInt8] {
      var bytes: [UInt8] = []
      var offset = oneIn(4) ? edge() : UInt32(below(0x10000))
      var selector =
        oneIn(3)
        ? HostCase.selectors[below(HostCase.selectors.count)] : [0x07, 0x17, 0x23][below(3)]
      if selector == 0x23 && oneIn(2) { offset = offset &+ HostProcessor.base }
      if oneIn(16) { selector = mode.selectors.code }
      for n in 0..<size { bytes.append(UInt8(truncatingIfNeeded: offset >> UInt32(8 * n))) }
      return bytes + [
        UInt8(truncatingIfNeeded: selector), UInt8(truncatingIfNeeded: selector >> 8),
      ]
    }

    /// A number, edges often.
    mutating func edge() -> UInt32 {
      switch below(8) {
      case 0: return UInt32(below(4))
      case 1: return 0 &- UInt32(below(4))
      case 2: return (1 << UInt32(below(32))) &- UInt32(below(3))
      case 3: return 0x7FFF &+ UInt32(below(3))
      case 4:
        return [0x80, 0x7F, 0xFF, 0x100, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000][below(8)]
      case 5: return UInt32(below(256))
      default: return UInt32(truncatingIfNeeded: next())
      }
    }
  }

  /// An instruction with the registers it starts from.
  public struct HostCase: Sendable {
    public var mode: HostProcessor.Mode
    public var bytes: [UInt8]
    public var state: HostProcessor.State
    /// Entry of the opcode table.
    public var entry: Int
    /// Bytes up to and including ModRM: what shrinking must leave.
    var fixed: Int
    /// Registers of x87, MMX and SSE.
    public var fpu = FPUState()
    /// What lies in the region at an offset instead of the pattern.
    public var memory: [(offset: Int, bytes: [UInt8])] = []
    /// The region holds zeros instead of the pattern.
    var blank = false
    /// A second instruction, for what only it can show; then the case ends at the HLT behind it instead of by a trap.
    public var tail: [UInt8] = []

    /// Entries of the opcode table that may run.
    public static let entries: [Int] = OpcodeTable.shared.entries.indices.filter {
      !OpcodeTable.shared.entries[$0].isForeign
    }

    /// Operations whose opcode is another instruction's with a prefix of operand size or repetition, on these or on later processors.
    private static let sharesWithPrefixes: Set<Op> = [
      .fxsave, .fxrstor, .ldmxcsr, .stmxcsr, .lfence, .mfence, .sfence, .clflush,
    ]
    /// Of which F3 makes other instructions on later processors.
    private static let otherWithF3: Set<Op> = [.bsf, .bsr, .nopRM, .nopPrefetch, .loopz, .loopnz]

    /// What an instruction works on.
    enum Kind: Int, CaseIterable {
      case integer, x87, mmx, sse
      init(_ line: OpcodeEntry) {
        switch line.op {
        case .fwait: self = .x87
        case .fxsave, .fxrstor, .ldmxcsr, .stmxcsr: self = .sse
        case .emms: self = .mmx
        default:
          if line.isX87 {
            self = .x87
            return
          }
          let kinds = [line.operands.0, line.operands.1, line.operands.2]
          if kinds.contains(where: { $0 == .vx || $0 == .wx || $0 == .ux }) {
            self = .sse
          } else if kinds.contains(where: { $0.isVector }) {
            self = .mmx
          } else {
            self = .integer
          }
        }
      }
    }

    /// Entries by what they work on, so that each kind gets its share.
    public struct Entries: Sendable {
      var kinds: [[Int]]
      /// - Parameter entries: the entries to choose from.
      public init(_ entries: [Int]) {
        kinds = Kind.allCases.map { kind in
          entries.filter { Kind(OpcodeTable.shared.entries[$0]) == kind }
        }
      }
      mutating func choose(_ r: inout CaseRandom) -> Int {
        var kind = [0, 0, 0, 1, 1, 1, 2, 3, 3, 3][r.below(10)]
        while kinds[kind].isEmpty { kind = (kind + 1) & 3 }
        return kinds[kind][r.below(kinds[kind].count)]
      }
    }

    /// Selectors that both sides know: null, the LDT's and the flat ones, one beyond the LDT, levels that are not allowed.
    static let selectors: [UInt16] = [
      0, 1, 2, 3, 0x07, 0x0F, 0x17, 0x1F, 0x0C, 0x0E, 0x23, 0x2B, 0x28, 0x10, 0x27, 0x2F, 0x87,
    ]

    /// No case at all.
    init() {
      mode = .flat
      bytes = []
      state = HostProcessor.State()
      entry = 0
      fixed = 0
    }

    /// The case of a number; the same for the same seed.
    public init(seed: UInt64, number: UInt64, entries: Entries) {
      var r = CaseRandom(seed &* 0xD134_2543_DE82_EF95 &+ number)
      _ = r.next()
      mode = HostProcessor.Mode.allCases[r.below(3)]
      var entries = entries
      entry = entries.choose(&r)
      let line = OpcodeTable.shared.entries[entry]
      let kind = Kind(line)
      let op = line.op
      state = HostProcessor.State()
      for n in 0..<8 { state.registers[n] = r.edge() }
      let flat = mode == .flat ? HostProcessor.base : 0
      func place(_ r: inout CaseRandom) -> UInt32 {
        // Ends of pages and of the region often.
        let offset =
          r.oneIn(4)
          ? UInt32(r.below(17)) &* 0x1000 &- UInt32(r.below(12)) : UInt32(r.below(0x10000))
        return flat &+ (offset & 0xFFFF)
      }
      if !r.oneIn(16) { state.registers[4] = place(&r) & ~(r.oneIn(4) ? 0 : 3) }
      // Numbers mostly aligned.
      let alignment: UInt32 =
        kind == .integer
        ? 1 : [.fxsave, .fxrstor].contains(op) ? 16 : [16, 16, 16, 8, 4, 1][r.below(6)]
      func aligned(_ r: inout CaseRandom) -> UInt32 { place(&r) & (0 &- alignment) }
      for n in [3, 5, 6, 7] where !r.oneIn(4) { state.registers[n] = aligned(&r) }
      if mode == .small && r.oneIn(2) { for n in 3..<8 { state.registers[n] |= r.edge() << 16 } }
      state.eflags = 0x302 | UInt32(truncatingIfNeeded: r.next()) & 0x8D5
      if r.oneIn(3) { state.eflags |= 0x400 }
      let codeAt = UInt32(HostProcessor.codeOffset) + 0x400 + UInt32(r.below(0x800))
      state.eip = flat &+ codeAt

      // Prefixes.
      let selectsByPrefix =
        kind != .integer && kind != .x87 || HostCase.sharesWithPrefixes.contains(op)
      var prefixes: [UInt8] = []
      var operand32 = mode != .small
      var address32 = mode != .small
      if !selectsByPrefix && r.oneIn(4) {
        prefixes.append(0x66)
        operand32.toggle()
      }
      if r.oneIn(5) {
        prefixes.append(0x67)
        address32.toggle()
      }
      if r.oneIn(6) { prefixes.append([0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65][r.below(6)]) }
      switch line.prefix {
      case .none: break
      case .operandSize: prefixes.append(0x66)
      case .rep: prefixes.append(0xF3)
      case .repne: prefixes.append(0xF2)
      }
      if line.isRepeatable {
        if r.oneIn(2) { prefixes.append(r.oneIn(2) ? 0xF2 : 0xF3) }
        if !r.oneIn(8) {
          state.registers[1] = UInt32(r.below(12)) | (address32 ? 0 : r.edge() << 16)
        }
      } else if !selectsByPrefix, r.oneIn(12), !HostCase.otherWithF3.contains(op) {
        prefixes.append(r.oneIn(2) ? 0xF2 : 0xF3)
      }
      if r.oneIn(line.isLockable ? 6 : 40) { prefixes.append(0xF0) }
      if prefixes.count > 1 && r.oneIn(2) { prefixes.swapAt(0, prefixes.count - 1) }
      bytes = prefixes
      if line.opcode >= 0x0F00 { bytes.append(0x0F) }
      bytes.append(UInt8(line.opcode & 0xFF))
      fixed = bytes.count
      if line.usesModRM {
        var modrm = UInt8(truncatingIfNeeded: r.next())
        if r.oneIn(3) { modrm |= 0xC0 }
        // As register forms these two are VEX prefixes.
        if modrm >= 0xC0 && (op == .les || op == .lds) { modrm &= 0xBF }
        if op == .movToSeg { modrm = modrm & 0xC7 | [0, 0, 3, 3, 1, 6, 7][r.below(7)] << 3 }
        if [.movFromSeg, .movToSeg, .lar, .lsl, .verr, .verw].contains(op), modrm >= 0xC0,
          !r.oneIn(8)
        {
          let n = Int(modrm & 7)
          let value = HostCase.selectors[r.below(HostCase.selectors.count)]
          state.registers[n] = state.registers[n] & 0xFFFF_0000 | UInt32(value)
        }
        modrm = line.fitting(modrm)
        if line.isX87 {
          // The line of what is undefined stands for all that no other line is for.
          let table = OpcodeTable.shared
          if table.entries[table.x87Entry(line.opcode, modrm)].isForeign { modrm ^= 8 }
          entry = table.x87Entry(line.opcode, modrm)
        }
        // As are shifts by immediate and moves of masks with memory, and register forms of moves to memory are undefined.
        if selectsByPrefix && r.oneIn(2) && modrm >= 0xC0 && !isRegisterOnly(line) {
          modrm = line.fitting(modrm & 0x7F)
        }
        bytes.append(modrm)
        fixed = bytes.count
        appendAddress(modrm, address32, &r, aligned)
      }
      let size = operand32 ? 4 : 2
      for kind in [line.operands.0, line.operands.1, line.operands.2] {
        switch kind {
        case .ib, .ibs, .jb, .ib2:
          var value = UInt8(truncatingIfNeeded: r.edge())
          if op == .int && value == 0x80 { value = 0x81 }
          bytes.append(value)
        case .iw: append(r.oneIn(2) ? UInt32(r.below(64)) : r.edge(), 2)
        case .iz, .iv: append(r.edge(), size)
        case .jz:
          // Mostly within the region.
          append(
            r.oneIn(4) ? r.edge() : UInt32(bitPattern: Int32(r.below(0x4000)) - 0x2000), size)
        case .ap:
          append(r.oneIn(4) ? r.edge() : flat &+ UInt32(r.below(0x10000)), size)
          append(UInt32(HostCase.selectors[r.below(HostCase.selectors.count)]), 2)
        case .ob, .ov: append(r.oneIn(8) ? r.edge() : place(&r), address32 ? 4 : 2)
        default: break
        }
      }
      if bytes.count > 15 { bytes = Array(bytes.prefix(15)) }
      addOperands(kind, address32: address32, &r)
    }

    private func isRegisterOnly(_ line: OpcodeEntry) -> Bool {
      [line.operands.0, line.operands.1, line.operands.2].contains { $0 == .nq || $0 == .ux }
        || line.form == .register
    }

    /// The place in the region that an effective address means.
    func regionOffset(_ address: UInt32) -> Int? {
      let offset = mode == .flat ? address &- HostProcessor.base : address
      return offset < 0x10000 ? Int(offset) : nil
    }

    /// Registers of x87 and SSE, and what lies at memory operands.
    private mutating func addOperands(
      _ kind: Kind, address32: Bool, _ r: inout CaseRandom
    ) {
      switch kind {
      case .integer: if r.oneIn(16) { fpu = r.fpuState() }
      case .mmx: fpu = r.mmxState()
      default: fpu = r.fpuState()
      }
      let line = OpcodeTable.shared.entries[entry]
      var operand: [UInt8] = []
      switch line.op {
      case .fxrstor: operand = r.extendedImage()
      case .ldmxcsr:
        let value = r.oneIn(8) ? r.edge() : r.mxcsr()
        operand = (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
      case .callFarIndirect, .jmpFarIndirect, .lds, .les, .lss, .lfs, .lgs:
        operand = r.farPointer(mode, operand32 ? 4 : 2)
      case .retFar, .iret:
        guard let at = regionOffset(state.registers[4]) else { return }
        var frame = r.farPointer(mode, operand32 ? 4 : 2)
        if operand32 { frame += [0, 0] }
        if line.op == .iret { frame += [0xD7, 0x03, UInt8(r.below(4)) & 1, 0] }
        poke(at, frame)
        return
      default:
        if kind == .integer { return }
        guard line.isX87 else {
          operand = r.operandBytes()
          break
        }
        switch line.op {
        case .fldenv, .frstor: operand = r.environmentImage(wide: operand32)
        case .fldcw:
          let value = r.controlWord()
          operand = [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)]
        default:
          // The format that the instruction reads, mostly.
          let isInteger = line.op.mnemonic.hasPrefix("fi")
          let usual =
            switch line.memorySize {
            case 4: isInteger ? 4 : 0
            case 8: isInteger ? 5 : 1
            case 10: line.op == .fbld || line.op == .fbstp ? 3 : 2
            default: 4
            }
          operand = r.operandBytes(r.oneIn(8) ? nil : usual)
        }
        if r.oneIn(8) {
          // FNSTENV shows the pointers; FWAIT and FADD whether an exception is pending.
          switch r.below(3) {
          case 0: tail = [0x9B]
          case 1: tail = [0xD8, 0xC0]
          default:
            tail =
              mode == .small ? [0xD9, 0x36, 0x00, 0x70] : [0xD9, 0x35, 0x00, 0x70, 0x00, 0x00]
            if mode == .flat { tail[5] = UInt8(HostProcessor.base >> 24) }
          }
        }
      }
      if !tail.isEmpty { state.eflags &= ~0x100 }
      guard let address = effectiveAddress(address32), let at = regionOffset(address) else {
        return
      }
      poke(at, operand)
    }

    /// Puts bytes into the region, but not into the code.
    private mutating func poke(_ offset: Int, _ bytes: [UInt8]) {
      let code = HostProcessor.codeOffset
      if offset < code + 4096 && offset + bytes.count > code { return }
      memory.append((offset, Array(bytes.prefix(HostProcessor.size - offset))))
    }

    /// The offset of the memory operand; nil without ModRM or of a register.
    func effectiveAddress(_ address32: Bool) -> UInt32? {
      let line = OpcodeTable.shared.entries[entry]
      guard line.usesModRM, fixed <= bytes.count else {
        // MASKMOVQ and its like.
        return nil
      }
      let modrm = bytes[fixed - 1]
      let mod = modrm >> 6
      if mod == 3 { return [.maskmovq, .maskmovdqu].contains(line.op) ? state.registers[7] : nil }
      func displacement(_ at: Int, _ count: Int) -> UInt32 {
        var value: UInt32 = 0
        for n in 0..<count where at + n < bytes.count {
          value |= UInt32(bytes[at + n]) << UInt32(8 * n)
        }
        return count == 1 ? UInt32(bitPattern: Int32(Int8(truncatingIfNeeded: value))) : value
      }
      let x = state.registers
      if !address32 {
        let parts: [UInt32] = [
          x[3] &+ x[6], x[3] &+ x[7], x[5] &+ x[6], x[5] &+ x[7], x[6], x[7], x[5], x[3],
        ]
        if modrm & 0xC7 == 6 { return displacement(fixed, 2) }
        return (parts[Int(modrm & 7)] &+ displacement(fixed, [0, 1, 2][Int(mod)])) & 0xFFFF
      }
      var at = fixed
      var base = Int(modrm & 7)
      var address: UInt32 = 0
      if base == 4 {
        guard at < bytes.count else { return nil }
        let sib = bytes[at]
        at += 1
        base = Int(sib & 7)
        let index = Int(sib >> 3 & 7)
        if index != 4 { address = x[index] << UInt32(sib >> 6) }
      }
      if mod == 0 && base == 5 { return address &+ displacement(at, 4) }
      return address &+ x[base] &+ displacement(at, [0, 1, 4][Int(mod)])
    }

    private mutating func append(_ value: UInt32, _ count: Int) {
      for n in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(8 * n))) }
    }

    /// SIB and displacement; mostly so that the address lies within the region.
    private mutating func appendAddress(
      _ modrm: UInt8, _ address32: Bool, _ r: inout CaseRandom,
      _ place: (inout CaseRandom) -> UInt32
    ) {
      let mod = modrm >> 6
      if mod == 3 { return }
      if !address32 {
        if mod == 1 { bytes.append(UInt8(truncatingIfNeeded: r.edge())) }
        if mod == 2 || modrm & 0xC7 == 6 { append(r.edge(), 2) }
        return
      }
      var base = Int(modrm & 7)
      var indexPart: UInt32 = 0
      var index = 4
      if base == 4 {
        let sib = UInt8(truncatingIfNeeded: r.next())
        bytes.append(sib)
        base = Int(sib & 7)
        index = Int(sib >> 3 & 7)
        if index != 4 { indexPart = state.registers[index] << UInt32(sib >> 6) }
      }
      let aimed = !r.oneIn(8)
      let target = place(&r)
      if mod == 0 && base == 5 {
        append(aimed ? target &- indexPart : r.edge(), 4)
        return
      }
      var displacement: UInt32 = 0
      if mod == 1 { displacement = UInt32(bitPattern: Int32(Int8(truncatingIfNeeded: r.edge()))) }
      if mod == 2 { displacement = aimed ? target &- indexPart &- state.registers[base] : r.edge() }
      if aimed && mod < 2 && base != index {
        state.registers[base] = target &- indexPart &- displacement
      }
      append(displacement, mod == 1 ? 1 : mod == 2 ? 4 : 0)
    }

    // MARK: - What is defined

    /// Whether an operand size prefix is in force for 32 bits.
    var operand32: Bool { (mode != .small) != prefixes.contains(0x66) }
    var address32: Bool { (mode != .small) != prefixes.contains(0x67) }
    var prefixes: ArraySlice<UInt8> {
      bytes.prefix {
        [0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3].contains($0)
      }
    }

    /// Whether the result is undefined altogether.
    var isUndefined: Bool {
      let line = OpcodeTable.shared.entries[entry]
      switch "\(line.op)" {
      case "bswap": return !operand32
      case "shld", "shrd":
        let count =
          line.operands.2 == .cl ? UInt8(truncatingIfNeeded: state.registers[1]) : bytes.last!
        return !operand32 && count & 31 > 16
      default: return false
      }
    }

    /// EFLAGS bits that are compared after `vector`.
    func flagsMask(_ vector: UInt8) -> UInt32 {
      let line = OpcodeTable.shared.entries[entry]
      var mask: UInt32 = 0x0025_4FD5 & ~EFLAGS.tf
      if vector == 0 { return mask & ~EFLAGS.arithmetic }
      if vector != 1 { return mask }
      mask &= ~line.flagsUndefined
      let byte = line.operands.0 == .eb
      let width: UInt8 = byte ? 8 : operand32 ? 32 : 16
      var count: UInt8 = 1
      switch line.operands.1 {
      case .ib: count = bytes.last! & 31
      case .cl: count = UInt8(truncatingIfNeeded: state.registers[1]) & 31
      default: break
      }
      switch "\(line.op)" {
      case "rol", "ror", "rcl", "rcr":
        if count != 1 && count != 0 { mask &= ~EFLAGS.of }
      case "shl", "shr", "sal":
        if count != 1 && count != 0 { mask &= ~EFLAGS.of }
        if count >= width { mask &= ~EFLAGS.cf }
        if count == 0 { mask |= EFLAGS.af }
      case "sar":
        if count != 1 && count != 0 { mask &= ~EFLAGS.of }
        if count == 0 { mask |= EFLAGS.af }
      case "shld", "shrd":
        let count =
          (line.operands.2 == .cl ? UInt8(truncatingIfNeeded: state.registers[1]) : bytes.last!)
          & 31
        if count > 1 { mask &= ~EFLAGS.of }
        if count == 0 { mask |= EFLAGS.af }
      default: break
      }
      return mask
    }
  }
#endif
