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

    /// Operations that must not run natively, or mean other things there.
    private static let barred: Set<String> = [
      // Far transfers and segment loads could leave the sandbox.
      "callFar", "jmpFar", "retFar", "iret", "lss", "lfs", "lgs",
      "sysenter", "sysexit", "int1",
      // Told differently by every processor, or by the host's kernel.
      "cpuid", "rdtsc", "rdpmc", "rdmsr", "wrmsr", "sgdt", "sidt", "sldt", "str", "smsw", "lmsw",
      "lldt", "ltr", "lgdt", "lidt", "invlpg", "movTR", "movCR",
      "movDR", "rsm", "ud0", "ud1", "clts", "invd", "wbinvd",
      // The x87 has suites of its own.
      "fpu", "fwait", "fxsave", "fxrstor",
    ]

    /// Entries of the opcode table that may run.
    public static let entries: [Int] = OpcodeTable.shared.entries.indices.filter {
      let entry = OpcodeTable.shared.entries[$0]
      // SS, FS and GS belong to the host's own stack and threads.
      if "\(entry.op)" == "popSeg" && entry.opcode != 0x07 && entry.opcode != 0x1F { return false }
      // MMX and SSE have tests of their own.
      if !entry.features.isDisjoint(with: [.mmx, .sse, .sse2]) { return false }
      return !barred.contains("\(entry.op)")
    }

    /// Selectors that both sides know: null, the LDT's and the flat ones, one beyond the LDT, levels that are not allowed.
    static let selectors: [UInt16] = [
      0, 1, 2, 3, 0x07, 0x0F, 0x17, 0x1F, 0x0C, 0x0E, 0x23, 0x2B, 0x28, 0x10, 0x27, 0x2F, 0x87,
    ]

    /// The case of a number; the same for the same seed.
    public init(seed: UInt64, number: UInt64, entries: [Int]) {
      var r = CaseRandom(seed &* 0xD134_2543_DE82_EF95 &+ number)
      _ = r.next()
      mode = HostProcessor.Mode.allCases[r.below(3)]
      entry = entries[r.below(entries.count)]
      let line = OpcodeTable.shared.entries[entry]
      let name = "\(line.op)"
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
      for n in [3, 5, 6, 7] where !r.oneIn(4) { state.registers[n] = place(&r) }
      if mode == .small && r.oneIn(2) { for n in 3..<8 { state.registers[n] |= r.edge() << 16 } }
      state.eflags = 0x302 | UInt32(truncatingIfNeeded: r.next()) & 0x8D5
      if r.oneIn(3) { state.eflags |= 0x400 }
      let codeAt = UInt32(HostProcessor.codeOffset) + 0x400 + UInt32(r.below(0x800))
      state.eip = flat &+ codeAt

      // Prefixes.
      var prefixes: [UInt8] = []
      var operand32 = mode != .small
      var address32 = mode != .small
      if r.oneIn(4) {
        prefixes.append(0x66)
        operand32.toggle()
      }
      if r.oneIn(5) {
        prefixes.append(0x67)
        address32.toggle()
      }
      if r.oneIn(6) { prefixes.append([0x26, 0x2E, 0x36, 0x3E][r.below(4)]) }
      if line.isRepeatable {
        if r.oneIn(2) { prefixes.append(r.oneIn(2) ? 0xF2 : 0xF3) }
        if !r.oneIn(8) {
          state.registers[1] = UInt32(r.below(12)) | (address32 ? 0 : r.edge() << 16)
        }
      } else if r.oneIn(12), line.opcode != 0x0FBC, line.opcode != 0x0FBD, name != "nopRM",
        name != "loopz", name != "loopnz"
      {
        // F3 makes other instructions of some opcodes on later processors.
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
        if modrm >= 0xC0 && (name == "les" || name == "lds") { modrm &= 0xBF }
        if line.opcode == 0x8E { modrm = modrm & 0xC7 | [0, 0, 3, 3, 1, 6, 7][r.below(7)] << 3 }
        if ["movSeg", "lar", "lsl", "verr", "verw"].contains(name), modrm >= 0xC0, !r.oneIn(8) {
          let n = Int(modrm & 7)
          let value = HostCase.selectors[r.below(HostCase.selectors.count)]
          state.registers[n] = state.registers[n] & 0xFFFF_0000 | UInt32(value)
        }
        if line.digit >= 0 { modrm = modrm & 0xC7 | UInt8(line.digit) << 3 }
        bytes.append(modrm)
        fixed = bytes.count
        appendAddress(modrm, address32, &r, place)
      }
      let size = operand32 ? 4 : 2
      for kind in [line.operands.0, line.operands.1, line.operands.2] {
        switch kind {
        case .ib, .ibs, .jb, .ib2:
          var value = UInt8(truncatingIfNeeded: r.edge())
          if name == "int" && value == 0x80 { value = 0x81 }
          bytes.append(value)
        case .iw: append(r.oneIn(2) ? UInt32(r.below(64)) : r.edge(), 2)
        case .iz, .iv: append(r.edge(), size)
        case .jz:
          // Mostly within the region.
          append(
            r.oneIn(4) ? r.edge() : UInt32(bitPattern: Int32(r.below(0x4000)) - 0x2000), size)
        case .ob, .ov: append(r.oneIn(8) ? r.edge() : place(&r), address32 ? 4 : 2)
        default: break
        }
      }
      if bytes.count > 15 { bytes = Array(bytes.prefix(15)) }
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
    var prefixes: ArraySlice<UInt8> {
      bytes.prefix { [0x26, 0x2E, 0x36, 0x3E, 0x66, 0x67, 0xF0, 0xF2, 0xF3].contains($0) }
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
