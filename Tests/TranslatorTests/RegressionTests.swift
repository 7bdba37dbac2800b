// Programs that translated code once got wrong, in both engines.
//
// Expectations are what the interpreter does; what that should be is the business of the conformance suites.

#if os(Linux) && arch(x86_64)
  import CPU
  import Testing
  import Translator

  @Suite struct RegressionTests {
    /// Runs a program in both engines, twice so that its blocks are met again, and compares.
    private func check(
      _ bytes: [UInt8], _ count: UInt64, eflags: UInt32 = 2,
      sourceLocation: SourceLocation = #_sourceLocation, _ prepare: (CPU) -> Void = { _ in }
    ) throws {
      let benches = [try Bench(translated: false), try Bench(translated: true)]
      for bench in benches {
        bench.load(bytes + [0xEB, 0xFE])
        for n in 0..<2 {
          bench.cpu.s.pointee.eip = Bench.code
          for r in 0..<8 { bench.cpu[r] = 0x4000 + UInt32(r) * 0x100 }
          bench.cpu.setEFLAGS(eflags)
          prepare(bench.cpu)
          // All of the program and the jump behind it, so that the whole block runs.
          bench.run(count + 1 + UInt64(n))
        }
      }
      let differences = CPUComparison.differing(benches[0].cpu, benches[1].cpu)
      #expect(
        differences.isEmpty,
        "\(differences.map { "\($0.name) \($0.first) \($0.second)" }.joined(separator: ", "))",
        sourceLocation: sourceLocation)
      let memory = benches.map { $0.memory.peek(0, count: 0x10000) }
      #expect(memory[0] == memory[1], sourceLocation: sourceLocation)
    }

    @Test func bitTestsLeaveTheOtherFlags() throws {
      // add eax,ecx; bt edi,31; bts, btr, btc ebx,3; pushf
      try check([0x01, 0xC8, 0x0F, 0xBA, 0xE7, 0x1F, 0x9C], 3, eflags: 0x8D7)
      try check([0x01, 0xC8, 0x0F, 0xBA, 0xEB, 0x03, 0x9C], 3, eflags: 0x8D7)
      try check([0x29, 0xC8, 0x0F, 0xB3, 0xCB, 0x9C], 3)
      try check([0x29, 0xC8, 0x0F, 0xBB, 0xCB, 0x9C], 3)
    }

    @Test func bitScansOfZeroLeaveTheOtherFlags() throws {
      // add eax,ecx; bsf ebx,edx; pushf
      try check([0x01, 0xC8, 0x0F, 0xBC, 0xDA, 0x9C], 3) { $0[Register.edx] = 0 }
      try check([0x01, 0xC8, 0x0F, 0xBD, 0xDA, 0x9C], 3) { $0[Register.edx] = 0x4000 }
    }

    @Test func doubleShiftsByZeroStillLookAtMemory() throws {
      // shrd [ebx],ebx,cl; pushf: the operand sticks out of the 4 GiB
      try check([0x0F, 0xAD, 0x1B, 0x9C], 2) {
        $0[Register.ecx] = 0
        $0[Register.ebx] = 0xFFFF_FFFE
      }
    }

    @Test func divisionsLeaveTheFlags() throws {
      // add esi,edi; div dword [ebx]; pushf: with and without an IDIV
      let prepare: (CPU) -> Void = {
        $0[Register.eax] = 100
        $0[Register.edx] = 0
        $0[Register.ebx] = Bench.code + 0x20
      }
      let tail = [UInt8](repeating: 0x90, count: 27) + [7, 0, 0, 0]
      try check([0x01, 0xFE, 0xF7, 0x33, 0x9C] + tail, 3, prepare)
      try check([0x01, 0xFE, 0xF7, 0x3B, 0x9C] + tail, 3, prepare)
    }

    @Test func twoOperandsInSegmentsOfDifferentKinds() throws {
      let based: (CPU) -> Void = {
        var cache = $0[segment: SegmentRegister.es]
        cache.base = 0x3003
        cache.limit = 0x8FFF
        cache.attributes = 0x40F3
        $0[segment: SegmentRegister.es] = cache
      }
      // add eax,ecx; movsd or cmpsw, with flags still to be kept
      try check([0x01, 0xC8, 0xA5, 0x9C], 3, based)
      try check([0x01, 0xC8, 0x66, 0xA7, 0x9C], 3, based)
      // push dword [ebx] on a stack with a base
      try check([0x01, 0xC8, 0xFF, 0x33, 0x9C], 3) {
        var cache = $0[segment: SegmentRegister.ss]
        cache.base = 0x3000
        cache.limit = 0x8FFF
        cache.attributes = 0x40F3
        $0[segment: SegmentRegister.ss] = cache
        $0[Register.ebx] = Bench.code
      }
    }

    @Test func lockMakesSystemInstructionsUndefined() throws {
      // lock cli, lock sti, lock pushf: #UD, which without a table of vectors is a triple fault
      for opcode: UInt8 in [0xFA, 0xFB, 0x9C, 0x9D] { try check([0x90, 0xF0, opcode], 2) }
    }

    @Test func requestsHeldBackByIFDoNotLeadOutOfCode() throws {
      // Again: sgdt [ebx]; jmp Again, with INTR high all the time
      let bench = try Bench(translated: true)
      bench.load([0x0F, 0x01, 0x03, 0xEB, 0xFB])
      bench.cpu[Register.ebx] = Bench.code + 0x1000
      bench.cpu.setINTR(true)
      bench.run(1000)
      let entries = bench.cpu.statistics.codeEntries
      bench.run(1000)
      #expect(bench.cpu.statistics.codeEntries - entries < 5)
    }

    @Test func shiftsByZeroLookAtMemory() throws {
      // shr dword [ebx],cl, shld dword [ebx],eax,cl over the end of the segment: #GP, although nothing is shifted; it ends in a triple fault.
      for bytes: [UInt8] in [
        [0xD3, 0x2B], [0xC1, 0x2B, 0x00], [0xC1, 0x2B, 0x20], [0x0F, 0xA5, 0x03],
        [0x0F, 0xAD, 0x03], [0x0F, 0xA4, 0x03, 0x20],
      ] {
        try check([0x01, 0xC8] + bytes, 2) {
          $0[Register.ebx] = 0xFFFF_FFFE
          $0[Register.ecx] = 0
        }
      }
    }
  }
#endif
