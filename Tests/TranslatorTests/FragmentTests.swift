// Guests that spread code over very many pages.
//
// Each page with code between pages without is a mapping of its own in the window, and a host gives a process only some ten thousand;
// when they are used up, allocating memory fails anywhere in the process.

#if os(Linux) && arch(x86_64)
  import CPU
  import Foundation
  import Host
  import Testing
  import Translator

  @Suite struct FragmentTests {
    @Test func codeInEverySecondPageLeavesTheHostItsMappings() throws {
      let megabytes: UInt32 = 320
      let memory = try PhysicalMemory(ramSize: UInt64(megabytes) << 20)
      let bench = try Bench(translated: true, memory: memory)
      bench.cpu.translationThreshold = 2
      // mov ebx, 1 MiB; next: mov byte [ebx], 0xC3; call ebx; inc eax; add ebx, 0x2000; cmp ebx, end; jb next
      func long(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
      }
      var code: [UInt8] = [0xBB] + long(1 << 20)
      code += [0xC6, 0x03, 0xC3, 0xFF, 0xD3, 0x40, 0x81, 0xC3] + long(0x2000)
      code += [0x81, 0xFB] + long(megabytes << 20) + [0x72, 0xEC]
      // The last page: inc edx; ret in place of ret, while the page holds code. mov word [ebx - 2000h], C342h; sub ebx, 2000h; call ebx
      code += [0x66, 0xC7, 0x83] + long(0 &- 0x2000) + [0x42, 0xC3]
      code += [0x81, 0xEB] + long(0x2000) + [0xFF, 0xD3, 0xEB, 0xFE]
      bench.cpu[Register.esp] = 0x8000
      bench.cpu[Register.edx] = 0
      bench.load(code)
      let pages = UInt64((megabytes - 1) * 128)
      bench.run(1 + 7 * pages + 2000)
      #expect(bench.cpu[Register.eax] == UInt32(pages))
      #expect(bench.cpu[Register.edx] == 1)
      let maps = try String(contentsOfFile: "/proc/self/maps", encoding: .utf8)
      #expect(maps.split(separator: "\n").count < 40_000)
    }
  }
#endif
