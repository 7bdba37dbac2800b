// A processor to execute single MMX and SSE instructions on, and random operands.
//
// Owns: decoding and running one instruction, operand generators. Must not know: expectations.

import TestSupport
import Testing

@testable import CPU

extension Random {
  /// A floating-point number, special ones often. `fraction`: bits of it, `exponent`: bits of that.
  private mutating func float(_ fraction: UInt64, _ exponent: UInt64) -> UInt64 {
    let top: UInt64 = (1 << exponent) - 1
    let ones: UInt64 = (1 << fraction) - 1
    let bias = top >> 1
    let sign = (next() >> 40 & 1) << (fraction + exponent)
    var f: UInt64
    switch below(6) {
    case 0: f = 0
    case 1: f = ones &- UInt64(below(3))
    case 2: f = UInt64(below(3))
    case 3: f = 1 << UInt64(below(Int(fraction)))
    case 4: f = next() & ones & ~((1 << UInt64(below(Int(fraction)))) - 1)
    default: f = next() & ones
    }
    let e: UInt64
    switch below(20) {
    case 0:
      e = 0
      f = 0
    case 1: e = 0
    case 2:
      e = top
      f = 0
    case 3: e = top
    case 4: e = 1 + UInt64(below(30))
    case 5: e = top - 1 - UInt64(below(30))
    case 6: e = UInt64(below(Int(top)))
    case 7, 8, 9: e = bias + UInt64(below(4)) - 2
    case 10: e = bias / 2 + UInt64(below(8)) - 4
    case 11: e = bias * 3 / 2 + UInt64(below(8)) - 4
    case 12: e = bias + 20 + UInt64(below(16))
    default: e = bias + UInt64(below(64)) - 32
    }
    return sign | e << fraction | f
  }

  mutating func single() -> UInt32 { UInt32(truncatingIfNeeded: float(23, 8)) }
  mutating func double() -> UInt64 { float(52, 11) }

  /// Sixty-four bits of some kind: integers near their limits, floats, anything.
  mutating func quad() -> UInt64 {
    switch below(8) {
    case 0: return next()
    case 1: return UInt64(below(80))
    case 2, 3, 4:
      // Elements of 8, 16 or 32 bits from the edges.
      let width = UInt64(8 << below(3))
      let mask: UInt64 = (1 << width) - 1
      let edges: [UInt64] = [0, 1, mask, mask >> 1, (mask >> 1) + 1, (mask >> 1) - 1, mask - 1]
      var value: UInt64 = 0
      var at: UInt64 = 0
      while at < 64 {
        value |= ((oneIn(3) ? next() : edges[below(7)]) & mask) << at
        at += width
      }
      return value
    case 5: return double()
    default: return UInt64(single()) << 32 | UInt64(single())
    }
  }

  /// A register full of one kind.
  mutating func vector() -> XMMBits {
    switch below(3) {
    case 0: return XMMBits(quad(), quad())
    case 1: return XMMBits(double(), double())
    default:
      return XMMBits(
        UInt64(single()) << 32 | UInt64(single()), UInt64(single()) << 32 | UInt64(single()))
    }
  }
}

/// One emulated processor in flat protected mode.
final class Machine {
  let memory: PhysicalMemory
  let cpu: CPU
  private let instruction = UnsafeMutablePointer<Instruction>.allocate(capacity: 1)

  init(model: CPUModel) throws {
    memory = try PhysicalMemory(ramSize: 1 << 20)
    cpu = try CPU(model: model, memory: memory, bus: SystemBus())
    instruction.initialize(to: Instruction())
    cpu.s.pointee.cr0 = CR0.pe | CR0.ne
    if model.features.contains(.fxsr) { cpu.s.pointee.cr4 |= CR4.osfxsr }
    if model.features.contains(.sse) { cpu.s.pointee.cr4 |= CR4.osxmmexcpt }
    for index in 0..<8 { cpu[segment: index].base = 0 }
    cpu[Register.edx] = Machine.operand
    cpu[Register.edi] = Machine.operand
    cpu.initializeFPU()
  }

  deinit { instruction.deallocate() }

  /// Where EDX and EDI point.
  static let operand: UInt32 = 0x1000

  var fpu: UnsafeMutablePointer<FPUState> { cpu.fpu }

  /// Decodes an instruction of 32-bit code.
  func decode(_ bytes: [UInt8]) {
    let padded = bytes + [UInt8](repeating: 0x90, count: 15)
    _ = cpu.decoder.decode(padded, count: padded.count, mode: .bits32, into: &instruction.pointee)
  }

  /// Executes what was decoded.
  func execute() throws {
    try cpu.execute(instruction)
  }

  /// The vector that an instruction raises, or nil.
  func fault(_ bytes: UInt8...) -> UInt8? {
    decode(bytes)
    do {
      try execute()
      return nil
    } catch {
      return (error as? Fault)?.vector
    }
  }

  func store<T>(_ value: T, _ address: UInt32) {
    memory.ram.storeBytes(of: value, toByteOffset: Int(address), as: T.self)
  }
  func load<T: FixedWidthInteger>(_ address: UInt32) -> T {
    memory.ram.loadUnaligned(fromByteOffset: Int(address), as: T.self)
  }
}
