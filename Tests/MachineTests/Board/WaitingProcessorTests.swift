// A processor that waits for another without PAUSE: which loops give way, and that both engines, states and cuts agree on it.
// Expectations: who gives way leaves the rest of its part of 2000 instructions; the loops are those of NT 4, Linux 2.x and xv6.

import Bus
import TestSupport
import Testing

@testable import CPU
@testable import Machine

/// A loop of the second processor, while [3020h] is 1.
struct WaitingLoop: CustomTestStringConvertible {
  let testDescription: String
  let code: [UInt8]
  /// Instructions of a pass, where it waits; nil: it does something.
  let pass: UInt64?

  init(_ text: String, _ code: [UInt8], pass: UInt64?) {
    (testDescription, self.code, self.pass) = (text, code, pass)
  }

  static let all: [WaitingLoop] = [
    .init("cmp byte [l],0; jne", [0x80, 0x3E, 0x20, 0x30, 0, 0x75, 0xF9], pass: 2),
    .init("mov ax,[l]; test ax,ax; jne", [0xA1, 0x20, 0x30, 0x85, 0xC0, 0x75, 0xF9], pass: 3),
    .init(
      "mov al,1; xchg [l],al; test al,al; jne",
      [0xB0, 1, 0x86, 0x06, 0x20, 0x30, 0x84, 0xC0, 0x75, 0xF6], pass: 4),
    .init(
      "xchg [l],ax; or ax,ax; jne, ax 1 from before",
      [0xB8, 1, 0, 0x87, 0x06, 0x20, 0x30, 0x85, 0xC0, 0x75, 0xF8], pass: 3),
    .init(
      "test word [l],1; jz out; jmp",
      [0xF7, 0x06, 0x20, 0x30, 1, 0, 0x74, 2, 0xEB, 0xF6], pass: 3),
    .init("lock bts word [l],0; jc", [0xF0, 0x0F, 0xBA, 0x2E, 0x20, 0x30, 0, 0x72, 0xF7], pass: 2),
    .init(
      "xor ax,ax; lock cmpxchg [l],cx; jnz",
      [0x31, 0xC0, 0xF0, 0x0F, 0xB1, 0x0E, 0x20, 0x30, 0x75, 0xF6], pass: 3),
    .init(
      "lock cmpxchg [l],cx; jmp, ax from the last pass",
      [0xF0, 0x0F, 0xB1, 0x0E, 0x20, 0x30, 0xEB, 0xF8], pass: nil),
    .init("jmp $", [0xEB, 0xFE], pass: 1),
    .init("inc cx; cmp byte [l],0; jne", [0x41, 0x80, 0x3E, 0x20, 0x30, 0, 0x75, 0xF8], pass: nil),
    .init("lodsb; cmp byte [l],0; jne", [0xAC, 0x80, 0x3E, 0x20, 0x30, 0, 0x75, 0xF8], pass: nil),
    .init(
      "mov [3022h],al; cmp byte [l],0; jne",
      [0xA2, 0x22, 0x30, 0x80, 0x3E, 0x20, 0x30, 0, 0x75, 0xF6], pass: nil),
    .init(
      "inc word [3022h]; cmp byte [l],0; jne",
      [0xFF, 0x06, 0x22, 0x30, 0x80, 0x3E, 0x20, 0x30, 0, 0x75, 0xF5], pass: nil),
    .init(
      "mov ax,[bx]; add bx,ax; cmp byte [l],0; jne",
      [0x8B, 0x07, 0x01, 0xC3, 0x80, 0x3E, 0x20, 0x30, 0, 0x75, 0xF5], pass: nil),
    .init(
      "in al,60h; cmp byte [l],0; jne",
      [0xE4, 0x60, 0x80, 0x3E, 0x20, 0x30, 0, 0x75, 0xF7], pass: nil),
  ]
}

@Suite struct WaitingProcessorTests {
  private func machine(_ first: [UInt8], _ second: [UInt8], _ engine: Engine) throws -> Machine {
    let machine = try Pair.machine(first, second, Pair.configuration(engine))
    let one: [UInt8] = [1, 0]
    one.withUnsafeBytes { machine.memory.copyIn(0x3020, from: $0) }
    for cpu in machine.processors { cpu.translationThreshold = 1 }
    return machine
  }

  @Test(arguments: WaitingLoop.all, [Engine.interpreter, .translator])
  func loopsThatOnlyWaitGiveWay(loop: WaitingLoop, engine: Engine) throws {
    let machine = try machine(Pair.counting, loop.code, engine)
    #expect(machine.run(untilInstruction: 60_000) == .instructionLimit)
    let executed = machine.executedInstructions(of: 1)
    if let pass = loop.pass {
      // Fifteen parts of a pass each; the first of some sets a register before.
      #expect((15 * pass...15 * pass + 1).contains(executed), "\(executed)")
    } else {
      #expect(executed > 100)
    }
    #expect(machine.executedInstructions(of: 0) == 30_000)
  }

  @Test(arguments: WaitingLoop.all)
  func alonenessAndCutsDoNotShow(loop: WaitingLoop) throws {
    let machines = try [Engine.interpreter, .translator, .interpreter].map {
      try machine(Pair.counting, loop.code, $0)
    }
    for machine in machines[0..<2] { _ = machine.run(untilInstruction: 30_303) }
    var at: UInt64 = 0
    while at < 30_303 {
      at = min(at + 1 + at % 7 * 53, 30_303)
      _ = machines[2].run(untilInstruction: at)
    }
    let hashes = machines.map { $0.partHashes().map(\.hash) }
    #expect(hashes[0] == hashes[1])
    #expect(hashes[0] == hashes[2])
    // A processor that is alone has nobody to give way to.
    let alone = try Pair.machine(loop.code, nil, Pair.configuration())
    let one: [UInt8] = [1, 0]
    one.withUnsafeBytes { alone.memory.copyIn(0x3020, from: $0) }
    _ = alone.run(untilInstruction: 5000)
    #expect(alone.executedInstructions(of: 0) == 5000)
  }

  /// The loop's body is written by the other processor: what made it a loop that waits goes, or comes.
  @Test(arguments: [true, false])
  func writtenLoopsAreLookedAtAgain(waitsFirst: Bool) throws {
    // again: nop; cmp byte [3020h],0; jne again at 2000h; with inc cx for nop it does something.
    let (before, after): (UInt8, UInt8) = waitsFirst ? (0x90, 0x41) : (0x41, 0x90)
    let loop: [UInt8] = [before, 0x80, 0x3E, 0x20, 0x30, 0, 0x75, 0xF8]
    // again: inc ax; cmp ax,3000h; jne again; mov byte [2000h],after; jmp $
    let writer: [UInt8] = [
      0x40, 0x3D, 0x00, 0x30, 0x75, 0xFA, 0xC6, 0x06, 0x00, 0x20, after, 0xEB, 0xFE,
    ]
    let machines = try [Engine.interpreter, .translator].map { try machine(writer, loop, $0) }
    for machine in machines { _ = machine.run(untilInstruction: 120_000) }
    #expect(machines[0].partHashes().map(\.hash) == machines[1].partHashes().map(\.hash))
    let cx = machines[0].processors[1][Register.ecx] & 0xFFFF
    #expect(cx > 1000)
    let now = machines[0].executedInstructions(of: 1)
    _ = machines[0].run(untilInstruction: 160_000)
    let more = machines[0].executedInstructions(of: 1) - now
    #expect(waitsFirst ? more > 10_000 : more < 100, "\(more)")
  }

  /// again: cli; mov al,1; xchg [3020h],al; test al,al; jne again + 1; mov cx,64; loop $; inc word [offset]; mov byte [3020h],0; sti; inc di;
  /// jmp again: a lock that is held nearly always.
  private func locking(_ offset: UInt8) -> [UInt8] {
    [
      0xFA, 0xB0, 1, 0x86, 0x06, 0x20, 0x30, 0x84, 0xC0, 0x75, 0xF6, 0xB9, 0x40, 0x00, 0xE2, 0xFE,
      0xFF, 0x06, offset, 0x30, 0xC6, 0x06, 0x20, 0x30, 0, 0xFB, 0x47, 0xEB, 0xE3,
    ]
  }

  /// Of processors that want one lock again and again each has it about as often as the other, as bus arbitration sees to it.
  @Test func aLockGoesToThoseThatWaitForIt() throws {
    func make(_ engine: Engine) throws -> Machine {
      let machine = try machine(locking(0x30), locking(0x40), engine)
      let free: [UInt8] = [0]
      free.withUnsafeBytes { machine.memory.copyIn(0x3020, from: $0) }
      return machine
    }
    let machines = try [Engine.interpreter, .translator, .interpreter].map(make)
    for machine in machines[0..<2] { _ = machine.run(untilInstruction: 1_000_001) }
    let taken = [0x3030, 0x3040].map { Pair.word(machines[0], $0) }
    #expect(taken.min()! > 200 && taken.max()! < taken.min()! * 2, "\(taken)")
    // A state in between, and cuts.
    var at: UInt64 = 0
    while at < 1_000_001 {
      at = min(at + 1 + at % 7 * 1053, 1_000_001)
      _ = machines[2].run(untilInstruction: at)
      if at % 13 == 0 {
        let state = machines[2].saveState()
        try machines[2].restoreState(state)
        #expect(machines[2].saveState() == state)
      }
    }
    let hashes = machines.map { $0.partHashes().map(\.hash) }
    #expect(hashes[0] == hashes[1])
    #expect(hashes[0] == hashes[2])
  }

  @Test func aStateOfAWaitingOneGoesOnTheSame() throws {
    let loop = WaitingLoop.all[2].code
    for engine in [Engine.interpreter, .translator] {
      let machine = try machine(Pair.counting, loop, engine)
      // In the time that the second has given away.
      _ = machine.run(untilInstruction: 11_234)
      #expect(machine.runningProcessor == 1)
      let state = machine.saveState()
      _ = machine.run(untilInstruction: 50_000)
      let again = try Machine(Pair.configuration())
      try again.restoreState(state)
      #expect(again.saveState() == state)
      _ = again.run(untilInstruction: 50_000)
      #expect(again.partHashes().map(\.hash) == machine.partHashes().map(\.hash))
    }
  }
}
