// Writes next to code and onto code that change nothing of it: programs keep flags and stacks beside their code, unpackers and relocators
// write over it. What is dropped follows the bytes that change.
// Follows: Intel SDM volume 3, 8.1.3 (self-modifying code): the processor sees the new bytes, and nothing else matters.

import CPU
import Testing
import Translator

@Suite struct DataBesideCodeTests {
  #if os(Linux) && arch(x86_64)
    static let engines = [false, true]
  #else
    static let engines = [false]
  #endif

  private func word(_ bench: Bench, _ address: UInt32) -> UInt32 {
    bench.memory.peek(address, count: 4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  @Test(arguments: engines)
  func aCounterInTheSame64BytesDropsNothing(translated: Bool) throws {
    let bench = try Bench(translated: translated)
    // mov ecx,1000; next: inc dword [2030h]; dec ecx; jnz next; jmp $
    bench.load([
      0xB9, 0xE8, 3, 0, 0, 0xFF, 0x05, 0x30, 0x20, 0, 0, 0x49, 0x75, 0xF7, 0xEB, 0xFE,
    ])
    bench.run(1 + 3000)
    #expect(word(bench, 0x2030) == 1000)
    #expect(bench.cpu.executionReport.invalidations == 0)
    #expect(bench.cpu.executionReport.decodedBlocks < 5)
  }

  @Test(arguments: engines)
  func codeWrittenWithWhatItIsStays(translated: Bool) throws {
    let bench = try Bench(translated: translated)
    // mov ecx,1000; next: mov byte [2001h],E8h (what is there); dec ecx; jnz next; jmp $
    bench.load([
      0xB9, 0xE8, 3, 0, 0, 0xC6, 0x05, 0x01, 0x20, 0, 0, 0xE8, 0x49, 0x75, 0xF6, 0xEB, 0xFE,
    ])
    bench.run(1 + 3000)
    #expect(bench.cpu[Register.ecx] == 0)
    #expect(bench.cpu.executionReport.invalidations == 0)
  }

  @Test(arguments: engines)
  func theByteAfterTheLastOneIsNotTheCode(translated: Bool) throws {
    let bench = try Bench(translated: translated)
    // mov ecx,1000; next: inc byte [2010h] (behind the last instruction); dec ecx; jnz next; jmp $
    bench.load([
      0xB9, 0xE8, 3, 0, 0, 0xFE, 0x05, 0x10, 0x20, 0, 0, 0x49, 0x75, 0xF7, 0xEB, 0xFE,
    ])
    bench.run(1 + 3000)
    #expect(bench.cpu.executionReport.invalidations == 0)
    // The last byte of the jump is: jmp $+1... its displacement goes from FEh to 00h, and execution goes on behind it.
    [UInt8(0x00)].withUnsafeBytes { bench.memory.copyIn(0x200F, from: $0) }
    // inc eax; jmp $
    [UInt8(0x40), 0xEB, 0xFE].withUnsafeBytes { bench.memory.copyIn(0x2010, from: $0) }
    bench.cpu[Register.eax] = 7
    bench.run(3)
    #expect(bench.cpu[Register.eax] == 8)
  }

  @Test(arguments: engines)
  func everyChangedByteOfAnInstructionIsSeen(translated: Bool) throws {
    // next: add eax,imm32 is patched at each of its bytes in turn by dl; then jumps back.
    for at in UInt32(0)..<4 {
      let bench = try Bench(translated: translated)
      // mov ecx,50; next: add eax,0; inc byte [2006h+at]; dec ecx; jnz next; jmp $
      bench.load([
        0xB9, 50, 0, 0, 0, 0x05, 0, 0, 0, 0, 0xFE, 0x05, UInt8(6 + at), 0x20, 0, 0, 0x49, 0x75,
        0xF2, 0xEB, 0xFE,
      ])
      bench.cpu[Register.eax] = 0
      bench.run(1 + 50 * 4)
      // 0 + 1 + ... + 49 times the byte's weight.
      #expect(bench.cpu[Register.eax] == UInt32(1225) << (8 * at), "byte \(at)")
    }
  }

  @Test(arguments: engines)
  func theTailOfAnInstructionOnTheNextPageIsCode(translated: Bool) throws {
    let bench = try Bench(translated: translated)
    // At 2FFDh: add eax,1000000h, whose last two bytes lie on the next page; then inc byte [3001h]; dec ecx; jnz 2FFDh; jmp $
    let program: [UInt8] = [
      0x05, 0, 0, 0, 0, 0xFE, 0x05, 0x01, 0x30, 0, 0, 0xFE, 0x05, 0x02, 0x31, 0, 0, 0x49, 0x75,
      0xEC, 0xEB, 0xFE,
    ]
    program.withUnsafeBytes { bench.memory.copyIn(0x2FFD, from: $0) }
    bench.cpu[Register.ecx] = 50
    bench.cpu[Register.eax] = 0
    bench.cpu.s.pointee.eip = 0x2FFD
    bench.run(50 * 5)
    #expect(bench.cpu[Register.eax] == UInt32(1225) << 24)
    #expect(bench.cpu[Register.ecx] == 0)
  }
}
