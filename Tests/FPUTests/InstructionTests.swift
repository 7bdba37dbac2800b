// x87 instructions as instructions: exceptions and their reporting, environment images, pointers, access checks.
//
// Owns: what the comparison with the host cannot show (real-mode formats, #NM, #MF, FERR#, faults, undefined opcodes).
// Follows: Intel SDM volume 1 chapter 8, volume 2 instruction pages.

import Testing

@testable import CPU

@Suite("x87 instructions") struct InstructionTests {
  private let machine: Machine

  init() throws {
    machine = try Machine()
    // FNINIT
    try machine.execute(0xDB, 0xE3)
  }

  private var fpu: UnsafeMutablePointer<FPUState> { machine.fpu }

  private func load(_ value: Float80Bits) throws {
    machine.store(value.significand, 0x2000)
    machine.store(value.signExponent, 0x2008)
    try machine.execute(0xDB, 0x28, address: 0x2000)
  }

  private func fault(_ opcode: UInt16, _ modrm: UInt8) -> UInt8? { machine.fault(opcode, modrm) }

  /// Divides 1 by 0 with the exception unmasked.
  private func provokeDivideByZero() throws {
    machine.store(UInt16(0x037B), 0x1000)
    try machine.execute(0xD9, 0x28)
    try machine.execute(0xD9, 0xEE)
    try machine.execute(0xD9, 0xE8)
    try machine.execute(0xD8, 0xF1)
  }

  // MARK: - Initial state

  @Test func resetAndInitializationValues() throws {
    let fresh = try Machine()
    #expect(fresh.fpu.pointee.cw == 0x0040)
    #expect(fresh.cpu.fpuStatusWord == 0)
    // Eight zeros, none empty.
    #expect(fresh.cpu.fpuTagWord == 0x5555)
    #expect(fpu.pointee.cw == 0x037F)
    #expect(machine.cpu.fpuTagWord == 0xFFFF)
    try fresh.execute(0xDB, 0xE3)
    try fresh.execute(0xDF, 0xE0)
    #expect(fresh.cpu[Register.eax] & 0xFFFF == 0)
  }

  // MARK: - Availability and pending exceptions

  @Test func notAvailableWithEMOrTS() throws {
    machine.cpu.s.pointee.cr0 |= CR0.ts
    #expect(fault(0xD8, 0xC1) == 7)
    #expect(fault(0xDB, 0xE3) == 7)
    #expect(fault(0x0FAE, 0x00) == 7)
    #expect(fault(0x9B, 0xC0) == nil)
    machine.cpu.s.pointee.cr0 |= CR0.mp
    #expect(fault(0x9B, 0xC0) == 7)
    machine.cpu.s.pointee.cr0 &= ~CR0.ts
    machine.cpu.s.pointee.cr0 |= CR0.em
    #expect(fault(0xD9, 0xE8) == 7)
    #expect(fault(0x9B, 0xC0) == nil)
  }

  @Test func pendingExceptionFaultsTheNextWaitingInstruction() throws {
    try provokeDivideByZero()
    #expect(machine.cpu.fpuStatusWord & 0x8084 == 0x8084)
    // The operands are unchanged.
    #expect(machine.cpu.st(0) == .one)
    #expect(machine.cpu.st(1) == .zero(0))
    #expect(fault(0xD9, 0xE8) == 16)
    #expect(fault(0x9B, 0xC0) == 16)
    #expect(fault(0xDD, 0x00) == 16)
    #expect(!machine.bus.ferrLevel)
    // No-wait forms run: FNSTSW AX, FNSTCW, FNSTENV (which masks everything).
    try machine.execute(0xDF, 0xE0)
    #expect(machine.cpu[Register.eax] & 0x84 == 0x84)
    try machine.execute(0xD9, 0x38)
    #expect(machine.word(0x1000) == 0x037B)
    try machine.execute(0xD9, 0x30, address: 0x1100)
    #expect(machine.dword(0x1100) == 0xFFFF_037B)
    #expect(machine.dword(0x1104) & 0x8080 == 0x8080)
    #expect(fpu.pointee.cw == 0x037F)
    #expect(machine.cpu.fpuStatusWord & 0x8084 == 0x0004)
    #expect(fault(0x9B, 0xC0) == nil)
  }

  @Test func unmaskingAnOldExceptionMakesItPending() throws {
    try machine.execute(0xD9, 0xEE)
    try machine.execute(0xD9, 0xE8)
    try machine.execute(0xD8, 0xF1)
    #expect(machine.cpu.fpuStatusWord & 0x84 == 0x04)
    machine.store(UInt16(0x037B), 0x1000)
    try machine.execute(0xD9, 0x28)
    #expect(fault(0x9B, 0xC0) == 16)
    try machine.execute(0xDB, 0xE2)
    #expect(machine.cpu.fpuStatusWord & 0x80FF == 0)
    #expect(fault(0x9B, 0xC0) == nil)
  }

  @Test func errorLineInsteadOfFaultWithoutNE() throws {
    machine.cpu.s.pointee.cr0 &= ~CR0.ne
    try provokeDivideByZero()
    #expect(machine.bus.ferrLevel)
    machine.bus.ferrLevel = false
    #expect(fault(0x9B, 0xC0) == nil)
    #expect(machine.bus.ferrLevel)
    try machine.execute(0xDB, 0xE2)
    #expect(!machine.bus.ferrLevel)
  }

  // MARK: - Undefined opcodes

  @Test func undefinedOpcodes() throws {
    let undefined: [(UInt16, ClosedRange<UInt8>)] = [
      (0xD9, 0xD1...0xD7), (0xD9, 0xE2...0xE3), (0xD9, 0xE6...0xE7), (0xD9, 0xEF...0xEF),
      (0xDA, 0xE0...0xE8), (0xDA, 0xEA...0xFF), (0xDB, 0xE5...0xE7), (0xDB, 0xF8...0xFF),
      (0xDD, 0xF0...0xFF), (0xDE, 0xD8...0xD8), (0xDE, 0xDA...0xDF), (0xDF, 0xE1...0xE7),
      (0xDF, 0xF8...0xFF), (0xD9, 0x08...0x08), (0xDB, 0x08...0x08), (0xDB, 0x20...0x20),
      (0xDB, 0x30...0x30), (0xDD, 0x08...0x08), (0xDD, 0x28...0x28), (0xDF, 0x08...0x08),
      (0x0FAE, 0x10...0x10), (0x0FAE, 0x38...0x38), (0x0FAE, 0xC0...0xFF),
    ]
    for (opcode, range) in undefined {
      for modrm in range {
        #expect(fault(opcode, modrm) == 6, "\(String(opcode, radix: 16)) \(modrm)")
      }
    }
  }

  @Test func pentiumHasNoConditionalMoves() throws {
    let pentium = try Machine(model: .pentium)
    try pentium.execute(0xDB, 0xE3)
    for (opcode, modrm) in [
      (0xDA, 0xC1), (0xDB, 0xD9), (0xDB, 0xE9), (0xDB, 0xF1), (0xDF, 0xE9), (0xDF, 0xF1),
    ] {
      #expect(pentium.fault(UInt16(opcode), UInt8(modrm)) == 6)
    }
    #expect(pentium.fault(0x0FAE, 0x00) == 6)
  }

  @Test func aliases() throws {
    // FSTP1, FSTP8, FSTP9, FXCH4, FXCH7, FCOM2, FCOMP3, FCOMP5, FENI, FDISI, FSETPM, FFREEP.
    for (opcode, modrm, pops) in [
      (0xD9, 0xDA, 1), (0xDF, 0xD2, 1), (0xDF, 0xDA, 1), (0xDD, 0xC9, 0), (0xDF, 0xC9, 0),
      (0xDC, 0xD1, 0), (0xDC, 0xD9, 1), (0xDE, 0xD1, 1), (0xDB, 0xE0, 0), (0xDB, 0xE1, 0),
      (0xDB, 0xE4, 0), (0xDF, 0xC1, 1),
    ] {
      try machine.execute(0xDB, 0xE3)
      for _ in 0..<3 { try machine.execute(0xD9, 0xE8) }
      try machine.execute(UInt16(opcode), UInt8(modrm))
      #expect(fpu.pointee.top == UInt8(5 + pops))
    }
  }

  // MARK: - Environment images

  private func prepareEnvironment() throws {
    var cs = machine.cpu[segment: SegmentRegister.cs]
    cs.selector = 0x1234
    machine.cpu[segment: SegmentRegister.cs] = cs
    var ds = machine.cpu[segment: SegmentRegister.ds]
    ds.selector = 0x5678
    machine.cpu[segment: SegmentRegister.ds] = ds
    try machine.execute(0xD9, 0xE8)
    machine.cpu.s.pointee.blockEIP = 0x9ABC
    // FADD dword [3000]
    machine.store(UInt32(0x3F80_0000), 0x3000)
    try machine.execute(0xD8, 0x05, address: 0x3000)
  }

  @Test func protectedEnvironment32() throws {
    try prepareEnvironment()
    try machine.execute(0xD9, 0x30, address: 0x4000)
    let words = (0..<7).map { machine.dword(0x4000 + 4 * UInt32($0)) }
    #expect(
      words == [
        0xFFFF_037F, 0xFFFF_3800, 0xFFFF_3FFF, 0x9ABC, 0x0005_1234, 0x3000, 0xFFFF_5678,
      ])
    try machine.execute(0xDB, 0xE3)
    try machine.execute(0xD9, 0x20, address: 0x4000)
    #expect(fpu.pointee.fop == 0x005)
    #expect(fpu.pointee.fip == 0x9ABC)
    #expect(fpu.pointee.fcs == 0x1234)
    #expect(fpu.pointee.fdp == 0x3000)
    #expect(fpu.pointee.fds == 0x5678)
    #expect(fpu.pointee.top == 7)
    #expect(fpu.pointee.empty == 0x7F)
  }

  @Test func protectedEnvironment16() throws {
    try prepareEnvironment()
    machine.store(UInt16(0xAAAA), 0x400E)
    try machine.execute(0xD9, 0x30, address: 0x4000, wide: false)
    let words = (0..<8).map { machine.word(0x4000 + 2 * UInt32($0)) }
    #expect(
      words == [0x037F, 0x3800, 0x3FFF, 0x9ABC, 0x1234, 0x3000, 0x5678, 0xAAAA])
  }

  @Test func realEnvironments() throws {
    try prepareEnvironment()
    machine.cpu.s.pointee.cr0 &= ~CR0.pe
    try machine.execute(0xD9, 0x30, address: 0x4000, wide: false)
    // Linear 12340 + 9ABC = 1BDFC, 56780 + 3000 = 59780; opcode D8 05.
    #expect(
      (0..<7).map { machine.word(0x4000 + 2 * UInt32($0)) } == [
        0x037F, 0x3800, 0x3FFF, 0xBDFC, 0x1005, 0x9780, 0x5000,
      ])
    fpu.pointee.cw = 0x037F
    try machine.execute(0xD9, 0x30, address: 0x4100, wide: true)
    #expect(
      (0..<7).map { machine.dword(0x4100 + 4 * UInt32($0)) } == [
        0xFFFF_037F, 0xFFFF_3800, 0xFFFF_3FFF, 0xFFFF_BDFC, 0x0000_1005, 0xFFFF_9780, 0x0000_5000,
      ])
    // What FLDENV loads, FSTENV stores again.
    try machine.execute(0xDB, 0xE3)
    try machine.execute(0xD9, 0x20, address: 0x4000, wide: false)
    try machine.execute(0xD9, 0x30, address: 0x4200, wide: false)
    for n in UInt32(0)..<7 { #expect(machine.word(0x4200 + 2 * n) == machine.word(0x4000 + 2 * n)) }
  }

  @Test func saveStoresTheStackInOrderAndInitializes() throws {
    try machine.execute(0xD9, 0xE8)
    try machine.execute(0xD9, 0xEB)
    try machine.execute(0xDD, 0x30, address: 0x5000, wide: false)
    #expect(machine.word(0x5002) == 0x3000)
    #expect(machine.word(0x5004) == 0x0FFF)
    #expect(machine.qword(0x500E) == 0xC90F_DAA2_2168_C235)
    #expect(machine.word(0x5016) == 0x4000)
    #expect(machine.qword(0x5018) == 1 << 63)
    #expect(machine.word(0x5020) == 0x3FFF)
    #expect(fpu.pointee.cw == 0x037F)
    #expect(fpu.pointee.empty == 0xFF)
    #expect(fpu.pointee.top == 0)
    try machine.execute(0xDD, 0x20, address: 0x5000, wide: false)
    #expect(fpu.pointee.top == 6)
    #expect(machine.cpu.st(1) == .one)
    #expect(!machine.cpu.isEmptyST(0) && !machine.cpu.isEmptyST(1) && machine.cpu.isEmptyST(2))
  }

  @Test func tagsFollowFromTheValues() throws {
    try load(Float80Bits(signExponent: 0x7FFF, significand: 1 << 63))
    try load(Float80Bits(signExponent: 0, significand: 1))
    try load(.zero(0x8000))
    try load(.one)
    try load(Float80Bits(signExponent: 0x3FFF, significand: 1))
    // R7 special, R6 special, R5 zero, R4 valid, R3 special, the rest empty.
    #expect(machine.cpu.fpuTagWord == 0b10_10_01_00_10_11_11_11)
  }

  @Test func extendedSaveAndRestore() throws {
    try prepareEnvironment()
    try machine.execute(0xD9, 0xEB)
    for n in UInt32(0)..<128 { machine.store(UInt32(0xCCCC_CCCC), 0x6000 + 4 * n) }
    try machine.execute(0x0FAE, 0x00, address: 0x6000)
    #expect(machine.word(0x6000) == 0x037F)
    #expect(machine.word(0x6002) == 0x3000)
    #expect(machine.word(0x6004) == 0x00C0)
    #expect(machine.word(0x6006) == 0x1EB)
    #expect(machine.word(0x600C) == 0x1234)
    #expect(machine.dword(0x6010) == 0x3000)
    #expect(machine.qword(0x6020) == 0xC90F_DAA2_2168_C235)
    #expect(machine.word(0x6038) == 0x4000)
    let before = fpu.pointee
    try machine.execute(0xDB, 0xE3)
    try machine.execute(0x0FAE, 0x08, address: 0x6000)
    #expect(fpu.pointee.top == before.top)
    #expect(fpu.pointee.empty == before.empty)
    #expect(fpu.pointee.fop == before.fop)
    #expect(fpu.pointee.fip == before.fip)
    #expect(machine.cpu.st(0).significand == 0xC90F_DAA2_2168_C235)
    #expect(machine.fault(0x0FAE, 0x00, address: 0x6008) == 13)
  }

  // MARK: - Pointers

  @Test func controlInstructionsLeaveThePointers() throws {
    try prepareEnvironment()
    machine.cpu.s.pointee.blockEIP = 0x1111
    for (opcode, modrm) in [
      (0xDB, 0xE2), (0xDF, 0xE0), (0xD9, 0x38), (0xDD, 0x38),
    ] {
      try machine.execute(UInt16(opcode), UInt8(modrm), address: 0x7000)
      #expect(fpu.pointee.fip == 0x9ABC)
      #expect(fpu.pointee.fdp == 0x3000)
    }
    // FNOP, FDECSTP, FINCSTP and FFREE are not among those that the manual exempts, and the host's processor agrees.
    for (opcode, modrm) in [(0xD9, 0xD0), (0xD9, 0xF6), (0xD9, 0xF7), (0xDD, 0xC0)] {
      fpu.pointee.fip = 0
      try machine.execute(UInt16(opcode), UInt8(modrm))
      #expect(fpu.pointee.fip == 0x1111)
      #expect(fpu.pointee.fop == UInt16(opcode & 7) << 8 | UInt16(modrm))
      #expect(fpu.pointee.fdp == 0x3000)
    }
    // A register operation keeps the data pointer.
    try machine.execute(0xD9, 0xE1)
    #expect(fpu.pointee.fip == 0x1111)
    #expect(fpu.pointee.fop == 0x1E1)
    #expect(fpu.pointee.fdp == 0x3000)
  }

  // MARK: - Faulting operands

  @Test func aFaultingStoreChangesNothing() throws {
    var ds = machine.cpu[segment: SegmentRegister.ds]
    ds.limit = 0x1FFF
    machine.cpu[segment: SegmentRegister.ds] = ds
    try load80At(0x1000, .one)
    let before = fpu.pointee
    // Eight of the ten bytes lie below the limit.
    for (opcode, modrm) in [(0xDB, 0x38), (0xDF, 0x30), (0xDD, 0x30), (0xD9, 0x30)] {
      machine.store(UInt64(0x1122_3344_5566_7788), 0x1FF8)
      #expect(machine.fault(UInt16(opcode), UInt8(modrm), address: 0x1FF8) == 13)
      #expect(machine.qword(0x1FF8) == 0x1122_3344_5566_7788)
      #expect(fpu.pointee.top == before.top)
      #expect(fpu.pointee.empty == before.empty)
      #expect(fpu.pointee.fip == before.fip)
      #expect(fpu.pointee.cw == before.cw)
    }
    // FIST of a value that does not fit: the fault comes before the exception flag.
    #expect(machine.fault(0xDF, 0x10, address: 0x1FFF) == 13)
    #expect(machine.cpu.fpuStatusWord & 0x3F == 0)
    #expect(machine.fault(0xDB, 0x28, address: 0x1FF8) == 13)
    #expect(fpu.pointee.top == before.top)
  }

  private func load80At(_ address: UInt32, _ value: Float80Bits) throws {
    machine.store(value.significand, address)
    machine.store(value.signExponent, address + 8)
    try machine.execute(0xDB, 0x28, address: address)
  }

  // MARK: - Stack faults

  @Test func overflowAndUnderflowOfTheStack() throws {
    for _ in 0..<8 { try machine.execute(0xD9, 0xE8) }
    #expect(machine.cpu.fpuStatusWord & 0x7F == 0)
    try machine.execute(0xD9, 0xE8)
    // IE, SF, C1 = overflow; the indefinite is pushed.
    #expect(machine.cpu.fpuStatusWord & 0x24F == 0x241)
    #expect(machine.cpu.st(0) == .indefinite)
    try machine.execute(0xDB, 0xE3)
    try machine.execute(0xD8, 0xC1)
    #expect(machine.cpu.fpuStatusWord & 0x24F == 0x041)
    #expect(machine.cpu.st(0) == .indefinite)
  }

  @Test func unmaskedStackFaultLeavesTheStack() throws {
    fpu.pointee.cw = 0x037E
    try machine.execute(0xDD, 0xD9)
    #expect(fpu.pointee.top == 0)
    #expect(fpu.pointee.empty == 0xFF)
    #expect(machine.cpu.fpuStatusWord & 0x80FF == 0x80C1)
  }

  // MARK: - Classic detection sequences

  @Test func detectionOf387() throws {
    // Infinities of opposite sign differ on a 387 and later.
    try machine.execute(0xD9, 0xE8)
    try machine.execute(0xD9, 0xEE)
    try machine.execute(0xDE, 0xF9)
    try machine.execute(0xD9, 0xC0)
    try machine.execute(0xD9, 0xE0)
    try machine.execute(0xDE, 0xD9)
    #expect(machine.cpu.fpuStatusWord & 0x4000 == 0)
  }

  @Test func divisionWithoutThePentiumBug() throws {
    // 4195835 / 3145727 * 3145727 - 4195835 = 0.
    for value in [Int32(4_195_835), 3_145_727, 3_145_727, 4_195_835] {
      machine.store(value, 0x1000)
      try machine.execute(0xDB, 0x00)
    }
    // ST0 = a, ST1 = b, ST2 = b, ST3 = a: a / b * b - a.
    try machine.execute(0xDE, 0xF1)
    try machine.execute(0xDE, 0xC9)
    try machine.execute(0xDE, 0xE9)
    let value = machine.cpu.st(0)
    #expect(value.isZero || value.exponent < 0x3FFF - 30)
  }
}
