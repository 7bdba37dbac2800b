// Saved states of the processor, also those of earlier versions.

import Host
import State
import Testing

@testable import CPU

@Suite struct SavedStateTests {
  private func processor() throws -> CPU {
    let cpu = try CPU(
      model: .pentium4, memory: try PhysicalMemory(ramSize: 1 << 20), bus: SystemBus())
    return cpu
  }

  /// Every register with a value of its own.
  private func filled() throws -> CPU {
    let cpu = try processor()
    for n in 0..<8 { cpu[n] = 0x1111_1111 &* UInt32(n + 1) }
    var state = FPUState()
    state.cw = 0x127F
    state.sw = 0x4500
    state.top = 3
    state.empty = 0xA5
    state.fop = 0x123
    state.fip = 0x8765_4321
    state.fcs = 0x23
    state.fdp = 0x1234_5678
    state.fds = 0x2B
    state.mxcsr = 0x9FC0
    for n in 0..<8 {
      state[physical: n] = Float80Bits(signExponent: UInt16(0x4000 + n), significand: 1 << 63)
      state[xmm: n] = XMMBits(UInt64(n + 1), UInt64(n + 100))
    }
    cpu.fpuState = state
    return cpu
  }

  @Test func everyRegisterComesBack() throws {
    let cpu = try filled()
    var writer = StateWriter()
    cpu.save(to: &writer)
    let other = try processor()
    var reader = StateReader(writer.bytes)
    try other.restore(from: &reader, version: CPU.stateVersion)
    for n in 0..<8 { #expect(other[n] == cpu[n]) }
    for n in 0..<8 {
      #expect(other.fpuState[physical: n] == cpu.fpuState[physical: n])
      #expect(other.fpuState[xmm: n] == cpu.fpuState[xmm: n])
    }
    #expect(other.fpuState.statusWord == 0x5D00)
    var again = StateWriter()
    other.save(to: &again)
    #expect(again.bytes == writer.bytes)
  }

  /// What versions 1 and 2 had of the TSC: its difference to the count of instructions, here 5; no base and no scale.
  private func beforeVersion3(_ cpu: CPU) throws -> [UInt8] {
    cpu.s.pointee.tscBase = 5
    cpu.s.pointee.tscBaseCount = 0x1122_3344_5566_7788
    var writer = StateWriter()
    cpu.save(to: &writer)
    let marker: [UInt8] = [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]
    let at = try #require(writer.bytes.firstRange(of: marker)).lowerBound
    var bytes = writer.bytes
    bytes.removeSubrange(at..<at + 16)
    return bytes
  }

  @Test func theTSCOfVersion2CountsInstructions() throws {
    let other = try processor()
    var reader = StateReader(try beforeVersion3(try filled()))
    try other.restore(from: &reader, version: 2)
    #expect(other.timeStampCounter == other.instructionCount + 5)
  }

  /// Version 1 ended before the XMM registers, which are zero then.
  @Test func statesOfVersion1AreRead() throws {
    let cpu = try filled()
    let old = Array(try beforeVersion3(cpu).dropLast(8 * 16))
    let other = try processor()
    var reader = StateReader(old)
    try other.restore(from: &reader, version: 1)
    for n in 0..<8 {
      #expect(other[n] == cpu[n])
      #expect(other.fpuState[physical: n] == cpu.fpuState[physical: n])
      #expect(other.fpuState[xmm: n] == XMMBits())
    }
    #expect(other.fpuState.mxcsr == 0x9FC0)
    // As version 2 it is cut short.
    var short = StateReader(old)
    #expect(throws: StateError.self) { try other.restore(from: &short, version: 2) }
  }
}
