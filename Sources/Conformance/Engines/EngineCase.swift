// Random programs for comparing the engines with each other.
//
// Owns: which instructions, how they are put together, where they are stopped and interrupted. Must not know: how they run.
// Unlike the cases for the host's processor nothing is barred for being privileged or undefined: both engines are Apus, and must agree
// in everything. What a program needs so that most of it runs on is left to the surroundings (EngineWorld.swift).

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU

  /// A program with what happens while it runs.
  public struct EngineCase: Sendable {
    /// A stretch of the run between two comparisons.
    public struct Stretch: Sendable, Equatable {
      /// Instructions.
      public var count: UInt64
      /// An interrupt line is raised before it, with this vector.
      public var vector: UInt8?
      /// A byte of the program is changed before it, as a bus master would: offset and value.
      public var poke: (offset: Int, value: UInt8)?

      public static func == (a: Stretch, b: Stretch) -> Bool {
        a.count == b.count && a.vector == b.vector && a.poke?.offset == b.poke?.offset
          && a.poke?.value == b.poke?.value
      }
    }
    /// A start with registers of its own.
    public struct Round: Sendable {
      public var registers: [UInt32]
      public var eflags: UInt32
      /// Number of the instruction to start with.
      public var start: Int
      public var stretches: [Stretch]
      /// Segment selectors' choice, see `EngineWorld`.
      public var segments: UInt32
    }
    public var world: EngineWorld.Kind
    public var home = EngineWorld.Home.usual
    /// Offset of the program in the code region.
    public var offset: Int
    /// The instructions, and whether each is still what was generated (shrinking makes NOPs of others).
    public var code: [[UInt8]]
    public var rounds: [Round]
    /// Page table entries that are changed: index, and what of them (see `EngineWorld`).
    public var holes: [(index: Int, kind: UInt8)] = []

    /// Where the code region is, in the code segment, and the segment.
    var codeBase: UInt32 { world == .flat ? home.rawValue : world.codeBase }
    var codeSelector: UInt16 {
      guard world == .real && home != .usual else { return world.codeSelector }
      return UInt16(truncatingIfNeeded: home.rawValue >> 4)
    }

    /// The program's bytes.
    public var bytes: [UInt8] { code.flatMap { $0 } }

    /// Offset of instruction `n` in the code region.
    public func place(of n: Int) -> Int { offset + code[..<n].reduce(0) { $0 + $1.count } }

    /// Entries of the opcode table that may occur.
    static func entries(_ model: CPUModel, _ patterns: [String]) -> [Int] {
      OpcodeTable.shared.entries.indices.filter { n in
        let entry = OpcodeTable.shared.entries[n]
        switch entry.op {
        // These leave the surroundings for good.
        case .lgdt, .lidt, .lmsw, .wrmsr, .movFromTR, .movToTR, .rsm, .lldt, .ltr, .movToCR:
          return false
        default: break
        }
        if !model.features.isSuperset(of: entry.features) { return false }
        if patterns.isEmpty { return true }
        let names = entry.filterNames
        return patterns.contains { p in names.contains { apusGlob(p, $0) } }
      }
    }

    /// Operations that make up most of what runs anywhere.
    private static let common: Set<Op> = [
      .add, .or, .adc, .sbb, .and, .sub, .xor, .cmp, .test, .mov, .inc, .dec, .push,
      .pop, .lea, .movzx, .movsx, .xchg, .shl, .shr, .sar, .rol, .ror, .rcl, .rcr,
      .neg, .not, .imul, .mul, .imul1, .div, .idiv, .jo, .jno, .jb, .jnb, .jz, .jnz,
      .jbe, .jnbe, .js, .jns, .jp, .jnp, .jl, .jnl, .jle, .jnle, .jmp, .call, .ret,
      .cbw, .cwd, .setz, .setb, .setl, .setnbe, .cmovz, .cmovb, .cmovnl, .bt, .bts,
      .btr, .btc, .shld, .shrd, .bsf, .bsr, .bswap, .loop, .jcxz, .leave, .clc, .stc,
      .cmc, .lahf, .sahf, .xadd, .cmpxchg, .movs, .stos, .lods, .scas, .cmps,
    ]

    struct Lists {
      var all: [Int]
      var common: [Int]
      var fpu: [Int]
      var vector: [Int]
      var features: CPUFeatures
      /// Sequences with a purpose are mixed in.
      var hasTemplates: Bool

      init(_ entries: [Int], _ features: CPUFeatures, hasTemplates: Bool) {
        self.features = features
        self.hasTemplates = hasTemplates
        let table = OpcodeTable.shared.entries
        all = entries
        vector = entries.filter { table[$0].isSIMD }
        fpu = entries.filter { table[$0].isX87 }
        common = entries.filter { EngineCase.common.contains(table[$0].op) }
      }
    }

    /// The case of a number; the same for the same seed.
    init(seed: UInt64, number: UInt64, lists: Lists) {
      var r = CaseRandom(seed &* 0xD134_2543_DE82_EF95 &+ number)
      _ = r.next()
      world = EngineWorld.Kind.allCases[r.below(EngineWorld.Kind.allCases.count)]
      code = []
      rounds = []
      if !world.isPaged && r.oneIn(4) {
        home = [.beforeDevice, .device, .beforeEnd][r.below(world == .real ? 2 : 3)]
        if world == .real && r.oneIn(2) { home = .top }
      }
      // Often so that the program runs over the end of a page.
      offset = r.oneIn(3) ? 0x1000 - r.below(40) : 0x800 + r.below(0x600)
      let count = 2 + r.below(r.oneIn(4) ? 60 : 16)
      let flavour = r.below(8)
      let loops = r.below(3)
      for n in 0..<count {
        if lists.hasTemplates && r.oneIn(24), let bytes = template(lists, &r) {
          code.append(bytes)
          continue
        }
        let entry: Int
        if !lists.vector.isEmpty && (flavour == 0 && r.oneIn(2) || r.oneIn(40)) {
          entry = lists.vector[r.below(lists.vector.count)]
        } else if !lists.fpu.isEmpty && (flavour == 1 && r.oneIn(2) || r.oneIn(40)) {
          entry = lists.fpu[r.below(lists.fpu.count)]
        } else if !lists.common.isEmpty && !r.oneIn(8) {
          entry = lists.common[r.below(lists.common.count)]
        } else {
          entry = lists.all[r.below(lists.all.count)]
        }
        code.append(instruction(entry, n, loops, &r))
      }
      // The end leads back.
      if !r.oneIn(4) { code.append(jump(back: bytes.count)) }
      for _ in 0..<1 + r.below(4) { rounds.append(round(&r)) }
      if world.isPaged && r.oneIn(2) {
        for _ in 0..<1 + r.below(3) { holes.append((r.below(1024), UInt8(r.below(4)))) }
        if r.oneIn(3) { holes.append((EngineWorld.codePage + r.below(2), UInt8(2 + r.below(2)))) }
      }
    }

    private func jump(back distance: Int) -> [UInt8] {
      var code = EngineCode(isBig: world.isBig)
      if distance + 2 <= 128 {
        code.add(.jmp, .jb, immediate: UInt32(truncatingIfNeeded: -(distance + 2)))
      } else {
        let length = world.isBig ? 5 : 3
        code.add(.jmp, .jz, immediate: UInt32(truncatingIfNeeded: -(distance + length)))
      }
      return code.bytes
    }

    private func round(_ r: inout CaseRandom) -> Round {
      var registers = (0..<8).map { _ in r.edge() }
      for n in [3, 5, 6, 7] where !r.oneIn(3) { registers[n] = address(&r) }
      if !r.oneIn(8) { registers[4] = world.stack &+ UInt32(r.below(0x1000)) & ~3 }
      if r.oneIn(2) { registers[1] = UInt32(r.below(10)) }
      var flags = 0x2 | UInt32(truncatingIfNeeded: r.next()) & 0x8D5 & ~EFLAGS.tf
      if r.oneIn(3) { flags |= EFLAGS.df }
      if r.oneIn(2) { flags |= EFLAGS.if }
      if r.oneIn(24) { flags |= EFLAGS.tf }
      if r.oneIn(4) { flags |= EFLAGS.iopl }
      if r.oneIn(16) { flags |= EFLAGS.ac }
      var stretches: [Stretch] = []
      for _ in 0..<2 + r.below(8) {
        // Short ones meet every place in a block; long ones let blocks lead to each other.
        var s = Stretch(count: UInt64(r.oneIn(2) ? 1 + r.below(6) : 1 + r.below(120)))
        if r.oneIn(6) { s.vector = UInt8(0x20 + r.below(16)) }
        if r.oneIn(20) {
          s.poke = (r.below(max(1, bytes.count)), UInt8(truncatingIfNeeded: r.next()))
        }
        stretches.append(s)
      }
      return Round(
        registers: registers, eflags: flags, start: r.oneIn(3) ? r.below(code.count) : 0,
        stretches: stretches, segments: UInt32(truncatingIfNeeded: r.next() >> 32))
    }

    /// An address in the data, often near the end of a page or of the segment, sometimes in the program.
    private func address(_ r: inout CaseRandom) -> UInt32 {
      var at = UInt32(r.below(0x10000))
      if r.oneIn(4) { at = UInt32(r.below(17)) &* 0x1000 &- UInt32(r.below(12)) }
      if world.isFlat && r.oneIn(16) {
        let edges: [UInt32] = [0, 0xA0000, 0xB0000, 0x100000, EngineWorld.ramSize]
        return edges[r.below(edges.count)] &+ UInt32(r.below(16)) &- 8
      }
      if r.oneIn(24) { return codeBase &+ UInt32(offset + r.below(64)) }
      return world.dataBase &+ (at & 0xFFFF)
    }

    // MARK: - One instruction

    private func instruction(_ entry: Int, _ n: Int, _ loops: Int, _ r: inout CaseRandom) -> [UInt8]
    {
      let line = OpcodeTable.shared.entries[entry]
      let isVector = line.isSIMD
      var out: [UInt8] = []
      func append(_ value: UInt32, _ count: Int) {
        for n in 0..<count { out.append(UInt8(truncatingIfNeeded: value >> UInt32(8 * n))) }
      }
      // In big flat segments addresses come from registers that were just loaded.
      var pointer = -1
      if world.isBig && !world.wrapsAll && line.usesModRM && !r.oneIn(3) {
        pointer = [0, 1, 2, 3, 5, 6, 7][r.below(7)]
        var code = EngineCode(isBig: true)
        code.add(.mov, .zv, .iv, register: pointer, immediate: address(&r))
        out += code.bytes
      }
      var prefixes: [UInt8] = []
      var operand32 = world.isBig
      var address32 = world.isBig
      if r.oneIn(4) && (!isVector || r.oneIn(8)) {
        prefixes.append(0x66)
        operand32.toggle()
      }
      if r.oneIn(8) {
        prefixes.append(0x67)
        address32.toggle()
      }
      if r.oneIn(8) { prefixes.append([0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65][r.below(6)]) }
      if line.isRepeatable {
        if r.oneIn(2) { prefixes.append(r.oneIn(2) ? 0xF2 : 0xF3) }
      } else if r.oneIn(60) {
        prefixes.append(r.oneIn(2) ? 0xF2 : 0xF3)
      }
      if r.oneIn(line.isLockable ? 20 : 100) { prefixes.append(0xF0) }
      if prefixes.count > 1 && r.oneIn(2) { prefixes.swapAt(0, prefixes.count - 1) }
      switch line.prefix {
      case .operandSize: prefixes.append(0x66)
      case .rep: prefixes.append(0xF3)
      case .repne: prefixes.append(0xF2)
      case .none: break
      }
      out += prefixes
      if line.opcode >= 0x0F00 { out.append(0x0F) }
      var opcode = UInt8(line.opcode & 0xFF)
      // Registers in the opcode.
      for kind in [line.operands.0, line.operands.1] where kind == .zb || kind == .zv {
        opcode = opcode & 0xF8 | UInt8(r.below(8))
      }
      out.append(opcode)
      if line.usesModRM {
        var modrm = UInt8(truncatingIfNeeded: r.next())
        if r.oneIn(3) || isVector && r.oneIn(2) { modrm |= 0xC0 }
        if pointer >= 0 && modrm < 0xC0 && pointer != 4 && pointer != 5 {
          modrm = modrm & 0xF8 | UInt8(pointer)
        }
        modrm = line.fitting(modrm)
        out.append(modrm)
        let mod = modrm >> 6
        let low = modrm & 7
        if mod != 3 {
          if address32 {
            var base = low
            if low == 4 {
              let sib = UInt8(truncatingIfNeeded: r.next())
              out.append(sib)
              base = sib & 7
            }
            if mod == 0 && base == 5 { append(address(&r), 4) }
            if mod == 1 { append(r.edge(), 1) }
            if mod == 2 { append(r.oneIn(3) ? r.edge() : UInt32(r.below(0x1000)), 4) }
          } else {
            if mod == 1 { append(r.edge(), 1) }
            if mod == 2 || mod == 0 && low == 6 { append(address(&r), 2) }
          }
        }
      }
      let size = operand32 ? 4 : 2
      for kind in [line.operands.0, line.operands.1, line.operands.2] {
        switch kind {
        case .jb:
          // Mostly back to an instruction of the program, else a little forward.
          let here = bytes.count + out.count + 1
          let target = r.oneIn(3) ? n : r.below(n + 1)
          let distance = place(of: min(target, code.count)) - offset - here
          if loops > 0 && !r.oneIn(3) && distance >= -128 {
            append(UInt32(truncatingIfNeeded: distance), 1)
          } else {
            append(UInt32(r.below(r.oneIn(8) ? 256 : 8)), 1)
          }
        case .ib, .ibs, .ib2: append(r.edge(), 1)
        case .iw: append(r.oneIn(2) ? UInt32(r.below(64)) : r.edge(), 2)
        case .iz, .iv: append(r.edge(), size)
        case .jz:
          let here = bytes.count + out.count + size
          let target = r.below(n + 1)
          let distance = place(of: min(target, code.count)) - offset - here
          append(
            r.oneIn(3) ? UInt32(r.below(12)) : UInt32(truncatingIfNeeded: distance), size)
        case .ap:
          append(codeBase &+ UInt32(offset), size)
          append(UInt32(codeSelector), 2)
        case .ob, .ov: append(address(&r), address32 ? 4 : 2)
        default: break
        }
      }
      return Array(out.prefix(20))
    }
  }
#endif
