// Blocks that lead back to their own beginning, where flags stay recipes from one round to the next.
//
// Expected is what the interpreter does, after every number of instructions: wherever a run ends, flags, registers and memory are those of
// the architecture.

#if os(Linux) && arch(x86_64)
  import CPU
  import TestSupport
  import Testing
  import Translator

  @Suite struct LoopTests {
    /// ECX rounds; ESI reads, EDI writes, EBP is a limit or a distance.
    static let loops: [(name: String, code: String)] = [
      ("mov [edi],eax; add edi,4; dec ecx; jnz", "890783C7044975F8"),
      ("mov [edi],eax; adc edx,0; add edi,ebp; dec ecx; jnz", "890783D20001EF4975F6"),
      ("mov eax,[esi]; lahf; mov [edi],eax; sub edi,-3; inc ecx; jnz", "8B069F890783EFFD4175F5"),
      (
        "mov al,[esi]; pushfd; pop dword [edi]; add esi,4; add edi,4; cmp esi,ebp; jne",
        "8A069C8F0783C60483C70439EE75F1"
      ),
      ("mov [edi],eax; lahf; add edi,4; test cl,3; loop", "89079F83C704F6C103E2F5"),
      ("mov [edi],eax; setc dl; add di,4; inc cx; jnz", "89070F92C26683C704664175F3"),
      (
        "mov [edi],eax; setbe dl; add edi,4; inc ecx; dec ecx; dec ecx; jnz",
        "89070F96C283C70441494975F3"
      ),
      (
        "mov ebx,[esi]; rcl ebx,1; sub esi,ebx; and ebx,ecx; dec ecx; jnz", "8B1ED1D329DE21CB4975F5"
      ),
      ("mov [edi],eax; sbb edx,eax; cmp edi,ebp; inc edi; loopnz", "890719C239EF47E0F7"),
      (
        "fld dword [esi]; fstp dword [edi]; adc eax,1; add edi,4; dec ecx; jnz",
        "D906D91F83D00183C7044975F3"
      ),
      ("mov [edi],eax; daa; add edi,4; dec ecx; jnz", "89072783C7044975F7"),
      (
        "mov [2007h],cl (itself); mov al,1; add edi,4; dec ecx; jnz", "880D07200000B00183C7044975F2"
      ),
      ("mov eax,[esi]; mov [edi],eax; add edi,4; xor esi,4; jmp", "8B06890783C70483F604EBF4"),
    ]
    static let options: [TranslatorOptions] = [
      .all, .all.subtracting(.window), .all.subtracting(.recipes), .all.subtracting(.loops),
    ]

    private func differs(_ bench: Bench, _ other: Bench) -> String? {
      for n in 0..<8 where bench.cpu[n] != other.cpu[n] {
        return "register \(n): \(bench.cpu[n]), not \(other.cpu[n])"
      }
      if bench.cpu.eflags != other.cpu.eflags {
        return "flags \(bench.cpu.eflags), not \(other.cpu.eflags)"
      }
      if bench.cpu.s.pointee.eip != other.cpu.s.pointee.eip { return "EIP" }
      let (memory, others) = (bench.memory, other.memory)
      return memory.peek(0x1000, count: 0x8000) == others.peek(0x1000, count: 0x8000)
        ? nil : "memory"
    }

    private func make(_ code: [UInt8], _ options: TranslatorOptions?, edi: UInt32) throws -> Bench {
      let bench = try Bench(translated: options != nil, options: options ?? .all)
      bench.load(code + [0xEB, 0xFE])
      let data = (0..<0x2000).map { UInt8(truncatingIfNeeded: $0 &* 167 ^ $0 >> 3) }
      data.withUnsafeBytes { bench.memory.copyIn(0x4000, from: $0) }
      let values: [UInt32] = [0x1234_56F9, 40, 7, 9, 0x1800, 0x4080, 0x4000, edi]
      for n in 0..<8 { bench.cpu[n] = values[n] }
      return bench
    }

    @Test(arguments: loops.indices)
    func everyEndIsThatOfTheInterpreter(_ index: Int) throws {
      let (name, text) = LoopTests.loops[index]
      let code = bytes(text)
      // In memory and on its way out of it, where each access is left to the interpreter.
      for edi: UInt32 in [0x6000, 0xF_FFD0] {
        for options in LoopTests.options {
          for count: UInt64 in Array(1...90) + [200, 1001] {
            let right = try make(code, nil, edi: edi)
            let translated = try make(code, options, edi: edi)
            right.run(count)
            // In two pieces: the second begins wherever the first ended.
            translated.run(count / 2)
            translated.run(count - count / 2)
            if let what = differs(translated, right) {
              Issue.record("\(name), edi \(edi), \(options), \(count) instructions: \(what)")
              return
            }
          }
        }
      }
    }

    /// A round of the loop is one jump back over nothing that saves flags.
    @Test func noRoundSavesFlags() throws {
      let bench = try make(bytes(LoopTests.loops[0].code), .all, edi: 0x6000)
      bench.run(100)
      let translator = try #require(bench.cpu.translator as? Translator)
      let dump = try #require(translator.dump(linear: LinearAddress(Bench.code)))
      let host = try #require(dump.parts.last).host
      // The copy begins behind INT3; JNE leads back to it. LAHF is 9F.
      let start = try #require(host.lastIndex(of: 0xCC)) + 1
      let end = try #require(
        host.indices.dropFirst(start).first { host[$0...].starts(with: [0x0F, 0x85]) })
      #expect(!host[start..<end].contains(0x9F))
      let distance = host[(end + 2)..<(end + 6)].reversed().reduce(0) { $0 << 8 | UInt32($1) }
      #expect(end + 6 + Int(Int32(bitPattern: distance)) == start)
    }
  }
#endif
