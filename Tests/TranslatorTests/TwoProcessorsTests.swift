// Two processors that run in turns on one memory: each sees what the other writes, code included.
// Intel SDM volume 3, section 8.1.3 (cross-modifying code; a far jump or IRET stands between, here the change of turns).

import CPU
import Testing

@testable import Translator

@Suite struct TwoProcessorsTests {
  private static let eax = 0

  /// Two processors of all pairs of engines on one memory.
  private func pairs(_ body: (Bench, Bench) throws -> Void) throws {
    for (first, second) in [(false, false), (true, false), (false, true), (true, true)] {
      let a = try Bench(translated: first)
      let b = try Bench(translated: second, memory: a.memory)
      try body(a, b)
    }
  }

  private func store(_ bench: Bench, _ address: UInt32, _ bytes: [UInt8]) {
    bytes.withUnsafeBytes { bench.memory.copyIn(address, from: $0) }
  }

  /// inc eax; jmp $-1 at 2000h
  private static let counting: [UInt8] = [0x40, 0xEB, 0xFD]

  @Test func codeThatTheOtherWritesIsNew() throws {
    try pairs { a, b in
      a.load(TwoProcessorsTests.counting)
      a.run(200)
      #expect(a.cpu[0] == 100)
      // mov byte [2000h],48h (dec eax); jmp $-7
      store(b, 0x6000, [0xC6, 0x05, 0x00, 0x20, 0x00, 0x00, 0x48, 0xEB, 0xF7])
      b.cpu.s.pointee.eip = 0x6000
      b.run(100)
      a.run(100)
      #expect(a.cpu[0] == 50)
    }
  }

  @Test func bothMayRunTheSameCodeAndOneChangesIt() throws {
    try pairs { a, b in
      // A: inc eax; jmp; B joins it, then patches it from beside, in the same page, and both go on.
      a.load(TwoProcessorsTests.counting)
      b.cpu.s.pointee.eip = Bench.code
      a.run(20)
      b.run(40)
      #expect((a.cpu[0], b.cpu[0]) == (10, 20))
      store(b, 0x2100, [0xC6, 0x05, 0x00, 0x20, 0x00, 0x00, 0x48, 0xEB, 0xFE])
      b.cpu.s.pointee.eip = 0x2100
      b.run(10)
      a.run(20)
      b.cpu.s.pointee.eip = Bench.code
      b.run(20)
      #expect((a.cpu[0], b.cpu[0]) == (0, 10))
    }
  }

  /// Entries of the writer's translation tables were made before the page held code.
  @Test func aWriterThatKnewThePageBeforeIsSeen() throws {
    try pairs { a, b in
      // mov [2000h],al; jmp $-5
      store(b, 0x6000, [0xA2, 0x00, 0x20, 0x00, 0x00, 0xEB, 0xF9])
      b.cpu.s.pointee.eip = 0x6000
      b.cpu[0] = 0x40
      b.run(50)
      a.load(TwoProcessorsTests.counting)
      a.run(20)
      b.cpu[0] = 0x48
      b.run(50)
      a.run(20)
      #expect(a.cpu[0] == 0)
    }
  }

  @Test func whatOneDropsTheOtherStillHolds() throws {
    try pairs { a, b in
      a.load(TwoProcessorsTests.counting)
      b.cpu.s.pointee.eip = Bench.code
      a.run(20)
      b.run(20)
      a.cpu.dropAllCode()
      // A writes the page by its quick way; B must not run its old code.
      store(a, 0x6000, [0xC6, 0x05, 0x00, 0x20, 0x00, 0x00, 0x48, 0xEB, 0xF7])
      a.cpu.s.pointee.eip = 0x6000
      a.run(50)
      b.run(20)
      #expect(b.cpu[0] == 0)
    }
  }

  @Test func aProcessorThatGoesTakesItsMarksAlong() throws {
    let a = try Bench(translated: false)
    do {
      let b = try Bench(translated: false, memory: a.memory)
      store(b, Bench.code, TwoProcessorsTests.counting)
      b.cpu.s.pointee.eip = Bench.code
      b.run(20)
      #expect(a.memory.codeGranules[2] != 0)
    }
    #expect(a.memory.codeGranules[2] == 0)
    a.load(TwoProcessorsTests.counting)
    a.run(20)
    #expect(a.cpu[0] == 10)
  }

  /// The way of `int86`: code on the stack, written anew for each call, with other uses of the stack around it.
  @Test(arguments: [false, true])
  func codeThatIsWrittenForEachCallIsRightHoweverOften(translated: Bool) throws {
    let bench = try Bench(translated: translated)
    bench.cpu.translationThreshold = 30
    let code: [UInt8] = [
      0xBC, 0x20, 0x50, 0x00, 0x00,  // mov esp,5020h
      0xB9, 0x41, 0x1F, 0x00, 0x00,  // mov ecx,8001
      // again:
      0x51,  // push ecx
      0x68, 0x04, 0x00, 0xC3, 0x90,  // push 90C30004h: add al,0; ret
      0x88, 0x0D, 0x19, 0x50, 0x00, 0x00,  // mov [5019h],cl: add al,cl's value
      0xBB, 0x18, 0x50, 0x00, 0x00,  // mov ebx,5018h
      0x89, 0xD0,  // mov eax,edx
      0xFF, 0xD3,  // call ebx
      0x0F, 0xB6, 0xD0,  // movzx edx,al
      0x59,  // pop ecx
      0x59,  // pop ecx
      0x49,  // dec ecx
      0x75, 0xE3,  // jnz again
      0xEB, 0xFE,  // jmp $
    ]
    bench.load(code)
    bench.cpu[2] = 0
    bench.run(120_000)
    #expect(bench.cpu[2] == 8001 * 8002 / 2 & 0xFF)
    #expect(bench.cpu[1] == 0)
  }
}
