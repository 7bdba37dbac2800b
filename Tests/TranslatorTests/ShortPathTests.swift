// Transfers that translated code makes without the interpreter: what they do is compared with the interpreter by random programs; here it
// is that they are taken at all.

#if os(Linux) && arch(x86_64)
  import CPU
  import Testing
  import Translator

  @Suite struct ShortPathTests {
    private func put(_ bench: Bench, _ address: UInt32, _ bytes: [UInt8]) {
      bytes.withUnsafeBytes { bench.memory.copyIn(address, from: $0) }
    }

    /// In real mode, CS at the code, everything else at 0.
    private func realMode(options: TranslatorOptions = .all) throws -> Bench {
      let bench = try Bench(translated: true, options: options)
      bench.cpu.s.pointee.cr0 = 0x10
      for n in 0..<6 {
        var cache = SegmentCache()
        cache.selector = n == SegmentRegister.cs ? UInt16(Bench.code >> 4) : 0
        cache.base = UInt32(cache.selector) << 4
        cache.limit = 0xFFFF
        cache.attributes = 0x93
        bench.cpu[segment: n] = cache
      }
      bench.cpu[Register.esp] = 0x8000
      bench.cpu[Register.eax] = 0
      return bench
    }

    @Test func farCallsOfRealModeAreHostCode() throws {
      let bench = try realMode()
      // mov cx,100; next: call 0300h:0; dec cx; jnz next; jmp $ — inc ax; retf
      bench.load([
        0xB9, 100, 0, 0x9A, 0, 0, 0, 3, 0x49, 0x75, 0xF8, 0xEB, 0xFE,
      ])
      bench.cpu.s.pointee.eip = 0
      put(bench, 0x3000, [0x40, 0xCB])
      bench.run(1 + 100 * 5)
      #expect(bench.cpu[Register.eax] == 100)
      #expect(bench.cpu[Register.ecx] & 0xFFFF == 0)
      #expect(bench.cpu[Register.esp] == 0x8000)
      #expect(bench.cpu[segment: SegmentRegister.cs].selector == 0x200)
      #expect(bench.cpu.statistics.interpretedFromCode < 10)
      // The last transfer is known to reports: from the RETF to behind the call.
      let last = try #require(bench.cpu.recentBranches.last)
      #expect(last.from == 0x3001 && last.to == 0x2008)
    }

    @Test func interruptsOfRealModeTakeTheShortPath() throws {
      let bench = try realMode()
      // mov cx,100; next: int 60h; dec cx; jnz next; jmp $ — inc ax; iret
      bench.load([0xB9, 100, 0, 0xCD, 0x60, 0x49, 0x75, 0xFB, 0xEB, 0xFE])
      bench.cpu.s.pointee.eip = 0
      put(bench, 0x60 * 4, [0, 0, 0, 3])
      put(bench, 0x3000, [0x40, 0xCF])
      bench.cpu.setEFLAGS(0x202)
      bench.run(1 + 100 * 5)
      #expect(bench.cpu[Register.eax] == 100)
      #expect(bench.cpu.eflags & EFLAGS.if != 0)
      #expect(bench.cpu.statistics.interpretedFromCode < 10)
    }

    @Test(arguments: [true, false])
    func interruptGatesTakeTheShortPath(enabled: Bool) throws {
      let bench = try Bench(
        translated: true,
        options: enabled ? .all : TranslatorOptions.all.subtracting(.transfers))
      // mov ecx,100; next: int 20h; dec ecx; jnz next; jmp $ — inc eax; iretd
      bench.load([0xB9, 100, 0, 0, 0, 0xCD, 0x20, 0x49, 0x75, 0xFB, 0xEB, 0xFE])
      put(bench, 0x3000, [0x40, 0xCF])
      // Flat code at 8, and the gate.
      put(bench, 0x5008, [0xFF, 0xFF, 0, 0, 0, 0x9B, 0xCF, 0])
      put(bench, 0x6000 + 0x20 * 8, [0, 0x30, 8, 0, 0, 0x8E, 0, 0])
      bench.cpu.s.pointee.gdtBase = 0x5000
      bench.cpu.s.pointee.gdtLimit = 0x1F
      bench.cpu.s.pointee.idtBase = 0x6000
      bench.cpu.s.pointee.idtLimit = 0x7FF
      bench.cpu[Register.esp] = 0x8000
      bench.cpu[Register.eax] = 0
      bench.cpu.setEFLAGS(0x202)
      bench.run(1 + 100 * 5)
      #expect(bench.cpu[Register.eax] == 100)
      #expect(bench.cpu.eflags & EFLAGS.if != 0)
      #expect(bench.cpu[Register.esp] == 0x8000)
      let interpreted = bench.cpu.statistics.interpretedFromCode
      #expect(enabled ? interpreted < 10 : interpreted >= 200)
    }

    @Test func directionChangesStayInTranslatedCode() throws {
      let bench = try Bench(translated: true)
      // mov ecx,100; next: std; lodsb; cld; lodsb; dec ecx; jnz next; jmp $
      bench.load([0xB9, 100, 0, 0, 0, 0xFD, 0xAC, 0xFC, 0xAC, 0x49, 0x75, 0xF9, 0xEB, 0xFE])
      bench.cpu[Register.esi] = 0x4000
      bench.run(1 + 100 * 6)
      #expect(bench.cpu[Register.esi] == 0x4000)
      #expect(bench.cpu[Register.ecx] == 0)
      #expect(bench.cpu.statistics.interpretedFromCode < 10)
    }

    @Test func flagsThatNothingLooksAtAreNotKept() throws {
      // add eax,ecx; bts ebx,5; adc eax,0; add eax,edx: of the flags behind BTS only CF matters.
      let bench = try Bench(translated: true)
      bench.load([0x01, 0xC8, 0x0F, 0xBA, 0xEB, 5, 0x83, 0xD0, 0, 0x01, 0xD0, 0xEB, 0xFE])
      bench.run(5)
      let translator = try #require(bench.cpu.translator as? Translator)
      let dump = try #require(translator.dump(linear: LinearAddress(Bench.code)))
      #expect(dump.parts[1].host == [0x0F, 0xBA, 0xEB, 5])
      #expect(dump.parts[2].host == [0x83, 0xD0, 0])
    }
  }
#endif
