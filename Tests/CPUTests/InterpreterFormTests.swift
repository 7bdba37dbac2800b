// Whole blocks against single instructions: the interpreter's loop over blocks uses quick forms of handlers, pairs of instructions and
// links between blocks; a run that stops after every instruction uses none of them. Both must leave the same machine.
// Expectations: the other way of running; Intel SDM volume 2 where a value is given.

import Host
import Testing

@testable import CPU

/// Pseudo-random numbers that are the same in each run.
private struct Numbers {
  var state: UInt64
  mutating func next() -> UInt32 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return UInt32(truncatingIfNeeded: state >> 33)
  }
  mutating func below(_ n: UInt32) -> UInt32 { next() % n }
  mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: next()) }
}

/// What the programs run in.
private enum World: CaseIterable {
  case flat, limitedData, basedData, smallStack, sixteenBit, realLike
}

private final class Machine {
  static let code: UInt32 = 0x4000
  static let size = 1 << 17
  let memory: PhysicalMemory
  let cpu: CPU

  init() throws {
    memory = try PhysicalMemory(ramSize: 1 << 20)
    cpu = try CPU(model: CPUModel.named("pentium4")!, memory: memory, bus: SystemBus())
  }

  func enter(_ world: World) {
    cpu.reset()
    cpu.a20 = true
    cpu.s.pointee.cr0 = 0x31
    cpu.flushTLB()
    for n in 0..<6 {
      var cache = SegmentCache()
      cache.selector = n == SegmentRegister.cs ? 8 : 16
      cache.limit = 0xFFFF_FFFF
      cache.attributes = n == SegmentRegister.cs ? 0xC09B : 0xC093
      switch world {
      case .flat: break
      case .limitedData:
        if n == SegmentRegister.ds || n == SegmentRegister.es { cache.limit = 0xFFFF }
      case .basedData: if n != SegmentRegister.cs { cache.base = 0x120 }
      case .smallStack: if n == SegmentRegister.ss { cache.attributes = 0x8093 }
      case .sixteenBit: cache.attributes &= 0xBFFF
      case .realLike:
        cache.attributes &= 0x3FFF
        cache.limit = 0xFFFF
      }
      cpu[segment: n] = cache
    }
    cpu.s.pointee.eip = Machine.code
  }

  func run(_ count: UInt64, step: UInt64) -> RunExit {
    let end = cpu.instructionCount + count
    var exit = RunExit.deadline
    while exit == .deadline && cpu.instructionCount < end {
      cpu.setDeadline(min(end, cpu.instructionCount + step))
      exit = cpu.run()
    }
    return exit
  }
}

private func program(_ n: inout Numbers, wide: Bool) -> [UInt8] {
  var code: [UInt8] = []
  func modrm(_ digit: UInt8?, register: Bool? = nil) {
    var byte = n.byte()
    if let digit { byte = (byte & 0xC7) | digit << 3 }
    if register ?? (n.below(2) == 0) { byte |= 0xC0 } else if byte >= 0xC0 { byte &= 0x7F }
    code.append(byte)
    // Whatever displacement there is.
    guard byte < 0xC0 else { return }
    for _ in 0..<(n.below(3) == 0 ? 5 : 2) { code.append(n.below(3) == 0 ? n.byte() : 0) }
  }
  func immediate(_ count: Int) { for _ in 0..<count { code.append(n.byte()) } }
  for _ in 0..<60 {
    if n.below(8) == 0 { code.append(0x66) }
    if n.below(30) == 0 { code.append(0x67) }
    if n.below(20) == 0 { code.append([0x26, 0x36, 0x3E, 0x64][Int(n.below(4))]) }
    switch n.below(26) {
    case 0...4:
      code.append(UInt8(n.below(8) << 3 | n.below(4)))
      modrm(nil)
    case 5:
      code.append(UInt8(n.below(8) << 3 | 4 | n.below(2)))
      immediate(4)
    case 6, 7:
      code.append([0x80, 0x81, 0x83][Int(n.below(3))])
      modrm(nil)
      immediate(4)
    case 8:
      code.append([0x84, 0x85, 0x86, 0x87][Int(n.below(4))])
      modrm(nil)
    case 9, 10, 11:
      code.append(UInt8(0x88 + n.below(4)))
      modrm(nil)
    case 12:
      code.append(0x8D)
      modrm(nil, register: false)
    case 13, 14:
      code.append([0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3][Int(n.below(6))])
      modrm(nil)
      immediate(1)
    case 15:
      code.append([0xC6, 0xC7][Int(n.below(2))])
      modrm(0)
      immediate(4)
    case 16:
      code.append([0xF6, 0xF7][Int(n.below(2))])
      modrm([0, 2, 3, 4, 5][Int(n.below(5))])
      immediate(2)
    case 17:
      code.append([0xFE, 0xFF][Int(n.below(2))])
      modrm(UInt8(n.below(2)))
    case 18:
      code.append(0x0F)
      switch n.below(4) {
      case 0: code.append(0xAF)
      case 1: code.append([0xB6, 0xB7, 0xBE, 0xBF][Int(n.below(4))])
      case 2: code.append(UInt8(0x90 + n.below(16)))
      default: code.append(UInt8(0x40 + n.below(16)))
      }
      modrm(nil)
    case 19: code.append(UInt8(0x40 + n.below(32)))
    case 20:
      code.append([0x91, 0x93, 0x98, 0x99, 0x90, 0xF5, 0xF8, 0xF9, 0xC9][Int(n.below(9))])
    case 21:
      code.append(UInt8(0xB0 + n.below(16)))
      immediate(2)
      code += [0, 0]
    case 22, 23:
      code.append(UInt8(0x70 + n.below(16)))
      code.append(UInt8(n.below(12)))
    case 24:
      // Backwards, to make loops.
      code.append([0x75, 0x72, 0x7C, 0xE2, 0xEB][Int(n.below(5))])
      code.append(UInt8(truncatingIfNeeded: 0 &- Int(n.below(40))))
    default:
      switch n.below(4) {
      case 0: code += [0xE8, UInt8(n.below(16)), 0] + (wide ? [0, 0] : [])
      case 1: code += [0x68, 0x00, 0x41] + (wide ? [0, 0] : []) + [0xC3]
      case 2: code += [0x6A, n.byte()]
      default: code += [0xFF, 0x35, 0x00, 0x42, 0, 0]
      }
    }
  }
  return code
}

@Suite struct InterpreterFormTests {
  @Test(arguments: [UInt64(1), 2, 3]) func wholeBlocksDoWhatSingleInstructionsDo(seed: UInt64)
    throws
  {
    let whole = try Machine()
    let single = try Machine()
    var n = Numbers(state: seed)
    for round in 0..<700 {
      let world = World.allCases[round % World.allCases.count]
      let code = program(&n, wide: world != .sixteenBit && world != .realLike)
      let data = (0..<64).map { _ in n.next() }
      let registers = (0..<8).map { _ in
        n.below(3) == 0 ? n.next() : 0x8000 + n.below(0x7000)
      }
      let flags = n.next() & 0x8D5
      for m in [whole, single] {
        m.enter(world)
        for at in stride(from: UInt32(0), to: UInt32(Machine.size), by: 4) {
          m.memory.write(UInt64(at), data[Int(at >> 2 & 63)] ^ at, width: 4)
        }
        code.withUnsafeBytes { m.memory.copyIn(Machine.code, from: $0) }
        for r in 0..<8 { m.cpu[r] = registers[r] }
        m.cpu[Register.esp] = 0x9000
        m.cpu.setEFLAGS(flags | 2)
      }
      // Steps of other lengths cut blocks and pairs in two.
      let count = UInt64(50 + n.below(400))
      let exit = whole.run(count, step: round % 3 == 0 ? UInt64(7 + n.below(30)) : count)
      let other = single.run(count, step: 1)
      #expect(exit == other)
      #expect(whole.cpu.instructionCount == single.cpu.instructionCount)
      for r in 0..<8 { #expect(whole.cpu[r] == single.cpu[r], "round \(round) register \(r)") }
      #expect(whole.cpu.s.pointee.eip == single.cpu.s.pointee.eip, "round \(round)")
      #expect(whole.cpu.eflags == single.cpu.eflags, "round \(round)")
      var same = true
      for at in stride(from: UInt64(0), to: UInt64(Machine.size), by: 4)
      where whole.memory.read(at, width: 4) != single.memory.read(at, width: 4) { same = false }
      #expect(same, "round \(round): memory")
      if exit != other || !same || whole.cpu.eflags != single.cpu.eflags { return }
      #expect(whole.cpu.s.pointee.retired == single.cpu.s.pointee.retired)
    }
  }

  private func machine(_ world: World, _ code: [UInt8]) throws -> Machine {
    let m = try Machine()
    m.enter(world)
    code.withUnsafeBytes { m.memory.copyIn(Machine.code, from: $0) }
    return m
  }

  @Test func segmentThatStopsBeingFlatInABlockIsSeen() throws {
    // mov eax, [8000h]; mov ds, cx (base 100h from the table); mov ebx, [8000h]; jmp $
    let m = try machine(
      .flat,
      [
        0xA1, 0, 0x80, 0, 0, 0x8E, 0xD9, 0x8B, 0x1D, 0, 0x80, 0, 0, 0xEB, 0xFE,
      ])
    m.cpu.s.pointee.gdtBase = 0x1000
    m.cpu.s.pointee.gdtLimit = 0xFF
    m.memory.write(0x1018, 0x0100_FFFF, width: 4)
    m.memory.write(0x101C, 0x00CF_9300, width: 4)
    m.memory.write(0x8000, 1, width: 4)
    m.memory.write(0x8100, 2, width: 4)
    m.cpu[Register.ecx] = 0x18
    _ = m.run(4, step: 4)
    #expect(m.cpu[Register.eax] == 1)
    #expect(m.cpu[Register.ebx] == 2)
    // The same block entered with the segment as it is now.
    m.cpu.s.pointee.eip = Machine.code
    _ = m.run(4, step: 4)
    #expect(m.cpu[Register.eax] == 2)
  }

  @Test func linkToRewrittenBlockRunsTheNewCode() throws {
    // a: mov byte [b + 1], dl; jmp b ... b: mov al, 0; inc edx; jmp a
    let m = try machine(.flat, [0x88, 0x15, 0x11, 0x40, 0, 0, 0xEB, 0x08])
    let second: [UInt8] = [0xB0, 0x00, 0x42, 0xEB, 0xEB]
    second.withUnsafeBytes { m.memory.copyIn(0x4010, from: $0) }
    m.cpu[Register.edx] = 5
    for n in UInt32(0)..<20 {
      _ = m.run(5, step: 5)
      #expect(m.cpu[Register.eax] & 0xFF == 5 + n)
      #expect(m.cpu[Register.edx] == 6 + n)
    }
    m.cpu[Register.edx] = 0
    _ = m.run(500, step: 500)
    #expect(m.cpu[Register.eax] & 0xFF == 99)
  }

  @Test func deadlineBetweenComparisonAndItsJumpIsMet() throws {
    // cmp eax, 5; jb +2; nop; nop; inc ebx; jmp $
    let m = try machine(.flat, [0x83, 0xF8, 5, 0x72, 2, 0x90, 0x90, 0x43, 0xEB, 0xFE])
    m.cpu[Register.eax] = 4
    _ = m.run(1, step: 1)
    #expect(m.cpu.s.pointee.eip == Machine.code + 3)
    #expect(m.cpu.eflags & EFLAGS.cf != 0)
    _ = m.run(2, step: 2)
    #expect(m.cpu[Register.ebx] == 1)
    m.cpu.s.pointee.eip = Machine.code
    _ = m.run(3, step: 3)
    #expect(m.cpu[Register.ebx] == 2)
    #expect(m.cpu.instructionCount == 6)
  }

  /// SDM volume 2, LOCK: #UD with an instruction that does not take it.
  @Test func lockedJumpBehindAComparisonIsUndefined() throws {
    // a: inc ebx; jmp b; b: cmp eax, 5; lock jb c; jmp a; c: inc ecx; jmp a
    let m = try machine(
      .flat,
      [0x43, 0xEB, 0, 0x83, 0xF8, 5, 0xF0, 0x72, 2, 0xEB, 0xF5, 0x41, 0xEB, 0xF2])
    // The handler of #UD: add dword [esp], 3; iretd
    let handler: [UInt8] = [0x83, 0x04, 0x24, 3, 0xCF]
    handler.withUnsafeBytes { m.memory.copyIn(0x4100, from: $0) }
    m.cpu.s.pointee.gdtBase = 0x1000
    m.cpu.s.pointee.gdtLimit = 0xFF
    m.memory.write(0x1008, 0x0000_FFFF, width: 4)
    m.memory.write(0x100C, 0x00CF_9B00, width: 4)
    m.cpu.s.pointee.idtBase = 0x2000
    m.cpu.s.pointee.idtLimit = 0xFF
    m.memory.write(0x2030, 0x0008_4100, width: 4)
    m.memory.write(0x2034, 0x8E00, width: 4)
    m.cpu[Register.esp] = 0x9000
    m.cpu[Register.eax] = 4
    #expect(m.run(700, step: 700) == .deadline)
    #expect(m.cpu[Register.ebx] == 100)
    #expect(m.cpu[Register.ecx] == 0)
  }

  @Test func flagsThatAFaultShowsAreSet() throws {
    // add eax, ebx; mov ecx, [edx] (beyond the limit): #GP, no IDT: shutdown; the flags are the addition's
    let m = try machine(.limitedData, [0x01, 0xD8, 0x8B, 0x0A, 0x31, 0xC0])
    m.cpu[Register.eax] = 0xFFFF_FFFF
    m.cpu[Register.ebx] = 1
    m.cpu[Register.edx] = 0x10000
    m.cpu.setEFLAGS(2)
    #expect(m.run(10, step: 10) == .shutdown)
    #expect(m.cpu.eflags & 0x8D5 == 0x55)
    #expect(m.cpu.s.pointee.eip == Machine.code + 2)
  }
}
