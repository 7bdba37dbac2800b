// The code of chosen instructions, byte by byte: what changes here changes on purpose.
//
// The second instruction of "NOP, instruction, JMP $" is looked at, so that neither the entry nor the exit belongs to it. Expectations are
// what an assembler makes of the host instructions named beside them.

#if os(Linux) && arch(x86_64)
  import CPU
  import Host
  import TestSupport
  import Testing
  import Translator

  @Suite struct GoldenTests {
    private func host(_ bytes: [UInt8], options: TranslatorOptions = .all) throws -> [UInt8] {
      let bench = try Bench(translated: true, options: options)
      bench.load([0x90] + bytes + [0xEB, 0xFE])
      bench.run(2)
      let translator = try #require(bench.cpu.translator as? Translator)
      let dump = try #require(translator.dump(linear: LinearAddress(Bench.code)))
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

    @Test(arguments: [
      // xor ecx,ecx; cmp eax,ecx; test edx,edx; lea eax,[ebx+esi*4+8]; movzx eax,bl; movsx ecx,al; not eax; bswap eax
      "31C9", "39C8", "85D2", "8D44B308", "0FB6C3", "0FBEC8", "F7D0", "0FC8",
      // mov bl,ch; mov al,5; mov eax,12345678h; mov dx,si; shl edx,4; cdq; cwde; neg dl; or bh,0Fh
      "88EB", "B005", "B878563412", "6689F2", "C1E204", "99", "98", "F6DA", "80CF0F",
    ])
    func theSameInstructionOnTheHost(hex: String) throws {
      #expect(try host(bytes(hex)) == bytes(hex))
    }

    @Test func pushAndPopAreAnAccessAndAnAddition() throws {
      guard MemoryWindow.isSupported else { return }
      // mov gs:[r12d-4],eax; lea r12d,[r12-4]
      let push: [UInt8] = [0x65, 0x67, 0x41, 0x89, 0x44, 0x24, 0xFC, 0x45, 0x8D, 0x64, 0x24, 0xFC]
      #expect(try host([0x50]) == push)
      // mov ecx,gs:[r12d]; lea r12d,[r12+4]
      let pop: [UInt8] = [0x65, 0x67, 0x41, 0x8B, 0x0C, 0x24, 0x45, 0x8D, 0x64, 0x24, 0x04]
      #expect(try host([0x59]) == pop)
    }

    @Test func codeStaysShort() throws {
      guard MemoryWindow.isSupported else { return }
      // Bytes of host code at most: mov [ebx],al; movzx ecx,byte [ebx]; cmp dword [ebx+4],7; inc dword [ebx]; imul ecx,edx;
      // stosd; a table access: mov eax,[ebx] without the window.
      #expect(try host([0x88, 0x03]).count <= 4)
      #expect(try host([0x0F, 0xB6, 0x0B]).count <= 5)
      #expect(try host([0x83, 0x7B, 0x04, 0x07]).count <= 6)
      #expect(try host([0xFF, 0x03]).count <= 32)
      #expect(try host([0x0F, 0xAF, 0xCA]).count <= 48)
      #expect(try host([0xAB]).count <= 48)
      #expect(try host([0x8B, 0x03], options: .all.subtracting(.window)).count <= 64)
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
