// Many machines in one process, each on a thread of its own, whose translated code faults all the time.
//
// Faults of translated code are signals, and signal handlers belong to the whole process: a machine that comes or goes, or whose code
// faults at the same moment, must not be in another's way.

#if os(Linux) && arch(x86_64)
  import CPU
  import Host
  import Synchronization
  import Testing
  import Translator

  @Suite struct ParallelTests {
    /// A loop that reads where no memory is, each place a fault of its own, and writes beside its own code.
    private static let program: [UInt8] = {
      func long(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
      }
      // mov ecx, 40; again: mov eax, [place]; add ebx, eax; mov [beside], ecx ...; dec ecx; jnz again
      var code: [UInt8] = [0xB9] + long(40)
      let start = code.count
      for n in UInt32(0)..<24 {
        code += [0xA1] + long(0x20_0000 + n * 0x1_2345) + [0x01, 0xC3]
        code += [0x89, 0x0D] + long(Bench.code + 0x800 + 4 * n)
        // jmp to the next instruction: a block of its own
        code += [0xEB, 0x00]
      }
      code += [0x49, 0x0F, 0x85]
      code += long(UInt32(truncatingIfNeeded: start - code.count - 4))
      return code + [0xEB, 0xFE]
    }()

    private static func run(translated: Bool) throws -> (ebx: UInt32, memory: [UInt8]) {
      let bench = try Bench(translated: translated)
      bench.cpu.translationThreshold = 3
      bench.load(program)
      bench.run(40 * (24 * 4 + 2) + 10)
      return (bench.cpu[Register.ebx], bench.memory.peek(Bench.code, count: 0x1000))
    }

    @Test func machinesOfOneProcessDoNotDisturbEachOther() throws {
      let expected = try ParallelTests.run(translated: false)
      let wrong = Atomic<Int>(0)
      let threads = try (0..<6).map { _ in
        try HostThread(stackSize: 8 << 20) {
          for _ in 0..<60 {
            guard let result = try? ParallelTests.run(translated: true), result == expected else {
              wrong.add(1, ordering: .relaxed)
              continue
            }
          }
        }
      }
      for thread in threads { thread.join() }
      #expect(wrong.load(ordering: .relaxed) == 0)
    }
  }
#endif
