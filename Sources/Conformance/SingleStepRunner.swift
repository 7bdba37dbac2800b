// Runs real-mode single-step tests.
//
// Owns: setting a processor up from a test's state, running it, comparing. Must not know: file formats.
// Follows: the suites' rules: the 286 set runs to HLT over flat RAM with A20 on; the 8086 set executes one instruction with memory
// wrapping at 1 MiB.

import CPU
import Host

/// A difference between a test's expectation and what happened.
public struct SingleStepFailure: Sendable {
  public var test: MOOTest
  public var differences: [String]
}

/// Runs tests on one processor.
public final class SingleStepRunner {
  /// Which rules apply.
  public enum Rules: Sendable {
    /// To HLT, A20 on.
    case i286
    /// One instruction, A20 masked.
    case i8086
  }

  private let cpu: CPU
  private let memory: PhysicalMemory
  private let rules: Rules
  /// Bits of FLAGS that are compared.
  public var flagsMask: UInt16 = 0xFFFF

  private static let names = [
    "ax", "bx", "cx", "dx", "cs", "ss", "ds", "es", "sp", "bp", "si", "di", "ip", "flags",
  ]
  private static let general = [0: 0, 1: 3, 2: 1, 3: 2, 8: 4, 9: 5, 10: 6, 11: 7]
  private static let segments = [4: 1, 5: 2, 6: 3, 7: 0]

  public init(rules: Rules, model: CPUModel) throws(HostError) {
    self.rules = rules
    memory = try PhysicalMemory(ramSize: 2 << 20)
    memory.setShadow(0xA0000...0xFFFFF, readRAM: true, writeRAM: true)
    cpu = try CPU(model: model, memory: memory, bus: SystemBus())
    cpu.a20 = rules == .i286
  }

  private func poke(_ address: UInt32, _ value: UInt8) {
    withUnsafeBytes(of: value) { memory.copyIn(wrap(address), from: $0) }
  }
  private func wrap(_ address: UInt32) -> UInt32 {
    rules == .i8086 ? address & 0xFFFFF : address & 0x1FFFFF
  }
  private func peek(_ address: UInt32) -> UInt8 { memory.peek(wrap(address), count: 1)[0] }

  /// Runs one test; nil when it passes.
  /// - Parameters:
  ///   - stackFaultAsGeneralProtection: the vector-12 handler is made that of vector 13, for tests of a processor that raises #GP where later
  ///     ones raise #SS.
  ///   - ignoringStringRegisters: CX, SI and DI are not compared.
  public func run(
    _ test: MOOTest, stackFaultAsGeneralProtection: Bool = false,
    ignoringStringRegisters: Bool = false
  ) -> SingleStepFailure? {
    cpu.reset()
    cpu.a20 = rules == .i286
    for (n, value) in test.initial.registers.words.enumerated() {
      guard let value else { continue }
      if let register = SingleStepRunner.general[n] {
        cpu[register] = UInt32(value)
      } else if let segment = SingleStepRunner.segments[n] {
        var cache = cpu[segment: segment]
        cache.selector = value
        cache.base = UInt32(value) << 4
        cpu[segment: segment] = cache
      } else if n == 12 {
        cpu.s.pointee.eip = UInt32(value)
      } else {
        cpu.setEFLAGS(UInt32(value & 0xFD5) | 2)
      }
    }
    for (address, value) in test.initial.memory { poke(address, value) }
    if stackFaultAsGeneralProtection {
      for n in UInt32(0)..<4 { poke(0x30 + n, peek(0x34 + n)) }
    }
    let limit: UInt64 = rules == .i286 ? 200_000 : 1
    let start = cpu.s.pointee.eip
    var exit = RunExit.deadline
    repeat {
      cpu.setDeadline(cpu.instructionCount + limit)
      exit = cpu.run()
    } while rules == .i8086 && exit == .deadline && isRepeated(test.bytes)
      && cpu.s.pointee.eip == start
      && cpu[Register.ecx] & 0xFFFF != 0
    var differences: [String] = []
    if rules == .i286 && exit != .halted { differences.append("ended with \(exit), not with HLT") }
    compareRegisters(test, ignoringStringRegisters, &differences)
    if stackFaultAsGeneralProtection { for n in UInt32(0x30)..<0x34 { poke(n, 0) } }
    compareMemory(test, stackFaultAsGeneralProtection, &differences)
    for (address, _) in test.initial.memory { poke(address, 0) }
    for (address, _) in test.final.memory { poke(address, 0) }
    return differences.isEmpty ? nil : SingleStepFailure(test: test, differences: differences)
  }

  private func isRepeated(_ bytes: [UInt8]) -> Bool { bytes.contains(0xF2) || bytes.contains(0xF3) }

  private func compareRegisters(
    _ test: MOOTest, _ ignoringStringRegisters: Bool, _ differences: inout [String]
  ) {
    for n in 0..<14 {
      if ignoringStringRegisters && [2, 10, 11].contains(n) { continue }
      guard let expected = test.final.registers.words[n] ?? test.initial.registers.words[n]
      else { continue }
      var actual: UInt16
      var mask: UInt16 = 0xFFFF
      if let register = SingleStepRunner.general[n] {
        actual = UInt16(truncatingIfNeeded: cpu[register])
      } else if let segment = SingleStepRunner.segments[n] {
        actual = cpu[segment: segment].selector
      } else if n == 12 {
        actual = UInt16(truncatingIfNeeded: cpu.s.pointee.eip)
      } else {
        actual = UInt16(truncatingIfNeeded: cpu.eflags)
        // Bits 12 to 15 differ between generations.
        mask = flagsMask & 0x0FD5
      }
      if (actual ^ expected) & mask != 0 {
        differences.append(
          "\(SingleStepRunner.names[n]): \(hex(actual & mask, 4)), expected \(hex(expected & mask, 4))"
        )
      }
    }
  }

  private func compareMemory(
    _ test: MOOTest, _ stackVectorChanged: Bool, _ differences: inout [String]
  ) {
    var expected: [UInt32: UInt8] = [:]
    for (address, value) in test.initial.memory { expected[address] = value }
    for (address, value) in test.final.memory { expected[address] = value }
    // The suite's own address of the pushed flags word is one too low for some odd stack pointers; the final stack tells.
    var flagsAddress = UInt32.max - 1
    let words = test.final.registers.words
    let before = test.initial.registers.words
    if test.exception != nil, let sp = words[8] ?? before[8], let ss = words[5] ?? before[5] {
      flagsAddress = UInt32(ss) << 4 &+ UInt32(sp &+ 4)
    }
    for (address, value) in expected.sorted(by: { $0.key < $1.key }) {
      if stackVectorChanged && (0x30..<0x34).contains(address) { continue }
      var mask: UInt8 = 0xFF
      if address == flagsAddress { mask = UInt8(flagsMask & 0xD5) }
      if address == flagsAddress &+ 1 { mask = UInt8(flagsMask >> 8 & 0x0F) }
      let actual = peek(address)
      if (actual ^ value) & mask != 0 {
        differences.append(
          "[\(hex(address, 5))]: \(hex(actual, 2)), expected \(hex(value, 2))")
      }
    }
  }
}
