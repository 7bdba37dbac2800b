// Random programs of x87, MMX and SSE instructions, interpreted and translated: every register, flag, pointer and byte must agree.
//
// Owns: what programs are made of. Must not know: what the instructions do.

#if arch(x86_64)
  import TestSupport
  import Testing
  import Translator

  @testable import CPU

  @Suite("The host's units against the interpreter", .serialized) struct RandomProgramTests {
    /// ModRM and displacement of a memory operand, mostly a plain one.
    private static func memory(_ reg: UInt8, _ random: inout Random) -> [UInt8] {
      let base: UInt8
      switch random.below(24) {
      case 0: base = 3
      case 1: base = 6
      case 2: base = 7
      default: base = 2
      }
      var displacement = random.byte() & 0x78
      if base != 2 { displacement &= 0x38 }
      if random.oneIn(6) { displacement |= random.byte() & 7 }
      if random.oneIn(3) { displacement &= 0x70 }
      return [0x40 | reg << 3 | base, displacement]
    }

    private static func x87(_ random: inout Random) -> [UInt8] {
      let escape = 0xD8 | random.byte() & 7
      if random.oneIn(2) {
        let digit = random.byte() & 7
        // Environment images are as long as the rest of the page; FLDCW mostly of something sensible.
        if escape == 0xD9 && (digit == 4 || digit == 5) && !random.oneIn(8) { return [0xD9, 0xE8] }
        if escape == 0xDD && digit == 4 && !random.oneIn(8) { return [0xD9, 0xEE] }
        return [escape] + memory(digit, &random)
      }
      var modrm = 0xC0 | random.byte() & 0x3F
      // FINIT and the like would leave little to see.
      if escape == 0xDB && modrm & 0x38 == 0x20 && !random.oneIn(6) { modrm = 0xC0 }
      if random.oneIn(3) { modrm = modrm & 0xF8 | random.byte() & 1 }
      return [escape, modrm]
    }

    /// Entries of the opcode table with MMX and SSE instructions that the model has.
    private static func entries(_ model: CPUModel, _ features: CPUFeatures) -> [OpcodeEntry] {
      OpcodeTable.shared.entries.filter {
        !$0.features.isDisjoint(with: features) && $0.features.isSubset(of: model.features)
      }
    }

    private static func simd(_ entry: OpcodeEntry, _ random: inout Random) -> [UInt8] {
      var bytes: [UInt8] = []
      switch entry.prefix {
      case .none: break
      case .operandSize: bytes = [0x66]
      case .rep: bytes = [0xF3]
      case .repne: bytes = [0xF2]
      }
      bytes += [0x0F, UInt8(entry.opcode & 0xFF)]
      if entry.opcode == 0x0F77 { return bytes }
      let kinds = [entry.operands.0, entry.operands.1, entry.operands.2]
      let opcode = Int(entry.opcode & 0xFF)
      var reg = random.byte() & 7
      if (0x71...0x73).contains(opcode) || opcode == 0xAE { reg = UInt8(entry.digit) & 7 }
      // EAX, ECX and EBP only: the others hold addresses.
      let general = [0, 1, 5] as [UInt8]
      if kinds.contains(.gv) { reg = general[random.below(3)] }
      let registerOnly = kinds.contains(.nq) || kinds.contains(.ux)
      let memoryOnly = kinds.contains(.m)
      if memoryOnly || (!registerOnly && random.oneIn(2)) {
        bytes += memory(reg, &random)
      } else {
        let rm = kinds.contains(.ev) ? general[random.below(3)] : random.byte() & 7
        bytes.append(0xC0 | reg << 3 | rm)
      }
      if kinds.contains(.ib) { bytes.append(random.oneIn(2) ? random.byte() & 15 : random.byte()) }
      return bytes
    }

    private static func usesMMX(_ entry: OpcodeEntry) -> Bool {
      let mmx: [OperandKind] = [.pq, .qq, .nq]
      if entry.opcode == 0x0F77 { return true }
      return mmx.contains(entry.operands.0) || mmx.contains(entry.operands.1)
    }

    /// Integer instructions that use flags and registers in between.
    private static func integer(_ random: inout Random) -> [UInt8] {
      switch random.below(12) {
      case 0: return [0x01, 0xC8]
      case 1: return [0x9E]
      case 2: return [0xDF, 0xE0]
      case 3: return [0x39, 0xC1]
      case 4: return [0x11, 0x42, random.byte() & 0x7C]
      case 5: return [0x0F, 0x9C, 0xC0]
      case 6: return [0x8B, 0x42, random.byte() & 0x7C]
      case 7: return [0x60, 0x61]
      case 8: return [0x40]
      case 9: return [0x9B]
      case 10: return [0x72, 0x00]
      default: return [0x83, 0xC2, 0x00]
      }
    }

    private static func check(
      _ model: CPUModel, programs: Int, seed: UInt64, control: UInt16? = nil, masked: Bool = true,
      _ instruction: (inout Random) -> [UInt8]
    ) throws {
      let interpreted = try Side(model: model, options: nil)
      let translated = try Side(model: model, options: .all)
      var random = Random(seed: seed)
      var failures = 0
      for n in 0..<programs {
        var program: [UInt8] = []
        var text: [String] = []
        let count = 1 + random.below(24)
        for _ in 0..<count {
          let bytes = random.oneIn(5) ? integer(&random) : instruction(&random)
          program += bytes
          text.append(bytes.map { String($0, radix: 16) }.joined(separator: " "))
        }
        program += [0xEB, 0xFE]
        let start = random.next()
        var mxcsr = UInt32(truncatingIfNeeded: random.next()) & 0xE03F | 0x1F80
        if model.features.contains(.sse2), random.oneIn(3) { mxcsr |= 0x40 }
        if random.oneIn(3) { mxcsr = 0x1F80 }
        if !masked && random.oneIn(3) { mxcsr &= ~0x1F80 | UInt32(random.below(64)) << 7 }
        var cw = control
        if !masked { cw = UInt16(0x340 | random.below(64)) }
        let switched = random.oneIn(40)
        let steps = count * 2 + 4
        for side in [interpreted, translated] { side.load(program) }
        for side in [interpreted, translated, translated, translated] {
          side.prepare(seed: start, control: cw, mxcsr: mxcsr, taskSwitched: switched)
          // A program that wrote over itself is put back.
          for (n, byte) in program.enumerated() { side.store(byte, Side.code + UInt32(n)) }
          side.run(steps)
        }
        if let what = difference(interpreted, translated) {
          failures += 1
          Issue.record("\(model.name), program \(n): \(what)\n\(text.joined(separator: "\n"))")
          if failures == 3 { return }
        }
      }
      #expect(translated.cpu.statistics.codeEntries >= programs)
    }

    @Test("x87") func x87() throws {
      try Self.check(.pentium2, programs: 6000, seed: 1) { Self.x87(&$0) }
      try Self.check(.i486, programs: 2000, seed: 2) { Self.x87(&$0) }
    }

    @Test("x87 with unmasked exceptions") func unmasked() throws {
      try Self.check(.pentium2, programs: 4000, seed: 3, masked: false) { Self.x87(&$0) }
    }

    @Test("MMX beside x87") func mmx() throws {
      let entries = Self.entries(.pentium3, [.mmx, .sse]).filter(Self.usesMMX)
      #expect(entries.count > 50)
      try Self.check(.pentium3, programs: 5000, seed: 4) {
        $0.oneIn(6) ? Self.x87(&$0) : Self.simd(entries[$0.below(entries.count)], &$0)
      }
    }

    @Test("SSE of the Pentium III") func sse() throws {
      let entries = Self.entries(.pentium3, .sse)
      #expect(entries.count > 60)
      try Self.check(.pentium3, programs: 5000, seed: 5) {
        Self.simd(entries[$0.below(entries.count)], &$0)
      }
    }

    @Test("SSE2, MMX and x87 together") func together() throws {
      let entries = Self.entries(.pentium4, [.mmx, .sse, .sse2])
      #expect(entries.count > 200)
      try Self.check(.pentium4, programs: 8000, seed: 6) {
        $0.oneIn(8) ? Self.x87(&$0) : Self.simd(entries[$0.below(entries.count)], &$0)
      }
    }

    @Test("SSE2 with unmasked exceptions") func unmaskedSSE() throws {
      let entries = Self.entries(.pentium4, [.sse, .sse2])
      try Self.check(.pentium4, programs: 4000, seed: 7, masked: false) {
        Self.simd(entries[$0.below(entries.count)], &$0)
      }
    }
  }
#endif
