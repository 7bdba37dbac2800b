// The code of chosen instructions, byte by byte: what changes here changes on purpose.
//
// The second instruction of "NOP, instruction, JMP $" is looked at, so that neither the entry nor the exit belongs to it. Expectations are
// what an assembler makes of the host instructions named beside them.

#if os(Linux) && arch(x86_64)
  import CPU
  import Host
  import Testing
  import Translator

  @Suite struct GoldenTests {
    private func host(_ bytes: [UInt8], options: TranslatorOptions = .all) throws -> [UInt8] {
      let bench = try Bench(translated: true, options: options)
      bench.load([0x90] + bytes + [0xEB, 0xFE])
      bench.run(2)
      let translator = try #require(bench.cpu.translator as? Translator)
      let dump = try #require(translator.dump(linear: Bench.code))
      try #require(dump.parts.count == 3)
      #expect(dump.parts[1].guest == bytes)
      return dump.parts[1].host
    }

    @Test func registerInstructionsStayWhatTheyAre() throws {
      // add eax,ecx; sub ebx,edx; mov esi,edi; and bl,ah; inc and shl need flags kept.
      #expect(try host([0x01, 0xC8]) == [0x01, 0xC8])
      #expect(try host([0x29, 0xD3]) == [0x29, 0xD3])
      #expect(try host([0x89, 0xFE]) == [0x89, 0xFE])
      #expect(try host([0x20, 0xE3]) == [0x20, 0xE3])
    }

    @Test func stackPointerIsR12() throws {
      // mov eax,esp: mov eax,r12d; add esp,8: add r12d,8
      #expect(try host([0x89, 0xE0]) == [0x44, 0x89, 0xE0])
      #expect(try host([0x83, 0xC4, 0x08]) == [0x41, 0x83, 0xC4, 0x08])
    }

    @Test func flatMemoryIsOneInstructionThroughTheWindow() throws {
      guard MemoryWindow.isSupported else { return }
      // mov eax,[ebx+8]: at most a segment and an address size prefix more than the guest's.
      #expect(try host([0x8B, 0x43, 0x08]).count <= 5)
      #expect(try host([0x01, 0x03]).count <= 4)
      #expect(try host([0x8B, 0x43, 0x08], options: .all.subtracting(.window)).count > 12)
    }
  }
#endif
