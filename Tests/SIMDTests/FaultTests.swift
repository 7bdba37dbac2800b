// When MMX and SSE instructions fault, and what they leave behind; MXCSR; FXSAVE; approximations.
//
// Follows: Intel SDM volume 3, tables 2-2 and 13-1, volume 1, sections 10.2.3, 10.5 and 11.5, volume 2 (RCPPS, RSQRTPS).

import TestSupport

import Testing

@testable import CPU

@Suite("MMX and SSE faults") struct FaultTests {
  private let machine: Machine

  init() throws { machine = try Machine(model: .pentium4) }

  private var cpu: CPU { machine.cpu }

  @Test func modelsWithoutTheFeature() throws {
    #expect(try Machine(model: .pentium).fault(0x0F, 0xFC, 0xC1) == 6)
    #expect(try Machine(model: .pentiumMMX).fault(0x0F, 0xFC, 0xC1) == nil)
    #expect(try Machine(model: .pentium2).fault(0x0F, 0x58, 0xC1) == 6)
    #expect(try Machine(model: .pentium3).fault(0x0F, 0x58, 0xC1) == nil)
    #expect(try Machine(model: .pentium3).fault(0x66, 0x0F, 0x58, 0xC1) == 6)
    #expect(machine.fault(0x66, 0x0F, 0x58, 0xC1) == nil)
    // Not with other prefixes, not with LOCK.
    #expect(machine.fault(0xF3, 0x0F, 0xFC, 0xC1) == 6)
    #expect(machine.fault(0xF0, 0x0F, 0xFC, 0x02) == 6)
  }

  @Test func controlRegisters() throws {
    cpu.s.pointee.cr0 |= CR0.ts
    #expect(machine.fault(0x0F, 0xFC, 0xC1) == 7)
    #expect(machine.fault(0x0F, 0x77) == 7)
    #expect(machine.fault(0x0F, 0x58, 0xC1) == 7)
    #expect(machine.fault(0x0F, 0xAE, 0x1A) == 7)
    // Fences and MOVNTI use no registers of theirs.
    #expect(machine.fault(0x0F, 0xAE, 0xF8) == nil)
    #expect(machine.fault(0x0F, 0xC3, 0x02) == nil)
    cpu.s.pointee.cr0 |= CR0.em
    #expect(machine.fault(0x0F, 0xFC, 0xC1) == 6)
    #expect(machine.fault(0x0F, 0x58, 0xC1) == 6)
    cpu.s.pointee.cr0 &= ~(CR0.em | CR0.ts)
    cpu.s.pointee.cr4 &= ~CR4.osfxsr
    #expect(machine.fault(0x0F, 0xFC, 0xC1) == nil)
    #expect(machine.fault(0x0F, 0x58, 0xC1) == 6)
    #expect(machine.fault(0x0F, 0xAE, 0x1A) == 6)
  }

  @Test func pendingX87Exception() throws {
    cpu.fpu.pointee.sw |= FPUStatus.es | FPUStatus.ze
    #expect(machine.fault(0x0F, 0xFC, 0xC1) == 16)
    #expect(machine.fault(0x0F, 0x77) == 16)
    #expect(machine.fault(0x0F, 0x2D, 0xC1) == 16)
    #expect(machine.fault(0x0F, 0x58, 0xC1) == nil)
  }

  @Test func alignment() throws {
    cpu[Register.edx] = 0x1008
    #expect(machine.fault(0x0F, 0x58, 0x02) == 13)
    #expect(machine.fault(0x0F, 0x28, 0x02) == 13)
    #expect(machine.fault(0x0F, 0x29, 0x02) == 13)
    #expect(machine.fault(0x66, 0x0F, 0xFC, 0x02) == 13)
    #expect(machine.fault(0x66, 0x0F, 0x6F, 0x02) == 13)
    #expect(machine.fault(0x0F, 0x10, 0x02) == nil)
    #expect(machine.fault(0xF3, 0x0F, 0x6F, 0x02) == nil)
    #expect(machine.fault(0xF3, 0x0F, 0x58, 0x02) == nil)
    #expect(machine.fault(0x0F, 0xFC, 0x02) == nil)
  }

  @Test func unmaskedExceptionKeepsDestinationAndReportsOnlyWhatCameFirst() throws {
    // 1/0 beside 1/3: the inexact quotient is never looked for.
    cpu.xmm[0] = XMMBits(0x3F80_0000_3F80_0000, 0x3F80_0000_3F80_0000)
    cpu.xmm[1] = XMMBits(0x4040_0000_0000_0000, 0x3F80_0000_3F80_0000)
    cpu.fpu.pointee.mxcsr = 0x1D80
    #expect(machine.fault(0x0F, 0x5E, 0xC1) == 19)
    #expect(cpu.fpu.pointee.mxcsr == 0x1D84)
    #expect(cpu.xmm[0].low == 0x3F80_0000_3F80_0000)
    cpu.s.pointee.cr4 &= ~CR4.osxmmexcpt
    #expect(machine.fault(0x0F, 0x5E, 0xC1) == 6)
    // Masked: both.
    cpu.fpu.pointee.mxcsr = 0x1F80
    #expect(machine.fault(0x0F, 0x5E, 0xC1) == nil)
    #expect(cpu.fpu.pointee.mxcsr == 0x1FA4)
    #expect(cpu.xmm[0].low == 0x3EAA_AAAB_7F80_0000)
    // Flags that are set already are no exception.
    cpu.fpu.pointee.mxcsr = 0x1D84
    #expect(machine.fault(0x0F, 0x58, 0xC1) == nil)
  }

  @Test func comparisonKeepsFlagsWhenUnmasked() throws {
    cpu.xmm[0] = XMMBits(0x7FC0_0000)
    cpu.setArithmeticFlags(EFLAGS.cf)
    cpu.fpu.pointee.mxcsr = 0x1F00
    #expect(machine.fault(0x0F, 0x2F, 0xC1) == 19)
    #expect(cpu.arithmeticFlags == EFLAGS.cf)
    #expect(machine.fault(0x0F, 0x2E, 0xC1) == nil)
    #expect(cpu.arithmeticFlags == EFLAGS.zf | EFLAGS.pf | EFLAGS.cf)
  }

  @Test func mxcsr() throws {
    machine.store(UInt32(0xFFFF), Machine.operand)
    #expect(machine.fault(0x0F, 0xAE, 0x12) == nil)
    #expect(cpu.fpu.pointee.mxcsr == 0xFFFF)
    machine.store(UInt32(0x1_1F80), Machine.operand)
    #expect(machine.fault(0x0F, 0xAE, 0x12) == 13)
    #expect(machine.fault(0x0F, 0xAE, 0x1A) == nil)
    #expect(machine.load(Machine.operand) == 0xFFFF as UInt32)
    // No DAZ in a Pentium III.
    let older = try Machine(model: .pentium3)
    older.store(UInt32(0x1FC0), Machine.operand)
    #expect(older.fault(0x0F, 0xAE, 0x12) == 13)
  }

  @Test func fxsaveHoldsTheXMMRegistersWhenTheSystemSaysSo() throws {
    cpu.xmm[3] = XMMBits(0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210)
    #expect(machine.fault(0x0F, 0xAE, 0x02) == nil)
    #expect(machine.load(Machine.operand + 208) == 0x0123_4567_89AB_CDEF as UInt64)
    #expect(machine.load(Machine.operand + 216) == 0xFEDC_BA98_7654_3210 as UInt64)
    #expect(machine.load(Machine.operand + 28) == 0xFFFF as UInt32)
    cpu.xmm[3] = XMMBits()
    #expect(machine.fault(0x0F, 0xAE, 0x0A) == nil)
    #expect(cpu.xmm[3] == XMMBits(0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210))
    cpu.s.pointee.cr4 &= ~CR4.osfxsr
    cpu.xmm[3] = XMMBits()
    #expect(machine.fault(0x0F, 0xAE, 0x0A) == nil)
    #expect(cpu.xmm[3] == XMMBits())
  }

  @Test func approximationsAreWithinTheirBound() throws {
    var random = Random(seed: 7)
    for _ in 0..<2000 {
      let exponent = UInt32(20 + random.below(210))
      let x = Float(
        bitPattern: exponent << 23 | UInt32(truncatingIfNeeded: random.next()) & 0x7F_FFFF)
      cpu.xmm[1] = XMMBits(UInt64(x.bitPattern))
      #expect(machine.fault(0xF3, 0x0F, 0x53, 0xC1) == nil)
      let reciprocal = Double(Float(bitPattern: UInt32(truncatingIfNeeded: cpu.xmm[0].low)))
      #expect(abs(reciprocal * Double(x) - 1) <= 1.5 / 4096)
      #expect(machine.fault(0xF3, 0x0F, 0x52, 0xC1) == nil)
      let root = Double(Float(bitPattern: UInt32(truncatingIfNeeded: cpu.xmm[0].low)))
      #expect(abs(root * Double(x).squareRoot() - 1) <= 1.5 / 4096)
    }
    let special: [(UInt64, UInt64, UInt64)] = [
      (0, 0x7F80_0000, 0x7F80_0000), (0x8000_0000, 0xFF80_0000, 0xFF80_0000),
      (0x8000_0001, 0xFF80_0000, 0xFF80_0000), (0x7F80_0000, 0, 0),
      (0xFF80_0000, 0x8000_0000, 0xFFC0_0000), (0x7F80_0001, 0x7FC0_0001, 0x7FC0_0001),
    ]
    cpu.fpu.pointee.mxcsr = 0x1F80
    for (x, reciprocal, root) in special {
      cpu.xmm[0] = XMMBits()
      cpu.xmm[1] = XMMBits(x)
      #expect(machine.fault(0xF3, 0x0F, 0x53, 0xC1) == nil)
      #expect(cpu.xmm[0].low == reciprocal)
      #expect(machine.fault(0xF3, 0x0F, 0x52, 0xC1) == nil)
      #expect(cpu.xmm[0].low == root)
    }
    #expect(cpu.fpu.pointee.mxcsr == 0x1F80)
  }
}
