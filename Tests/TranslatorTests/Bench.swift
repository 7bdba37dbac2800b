// A processor with a program in flat memory, for tests of single blocks.

import CPU
import Host
import Translator
import TranslatorX86_64

/// Two processors, one with a translator, in flat 32-bit mode without paging.
final class Bench {
  static let code: UInt32 = 0x2000
  let memory: PhysicalMemory
  let cpu: CPU

  init(
    translated: Bool, options: TranslatorOptions = .all, memory: PhysicalMemory? = nil
  ) throws {
    self.memory = try memory ?? PhysicalMemory(ramSize: 1 << 20)
    cpu = try CPU(model: CPUModel.named("pentium4")!, memory: self.memory, bus: SystemBus())
    if translated {
      try Translator.attach(to: cpu, options: options)
      cpu.translationThreshold = 1
    }
    cpu.a20 = true
    cpu.s.pointee.cr0 = 0x31
    cpu.s.pointee.cr4 = 0x600
    cpu.flushTLB()
    for n in 0..<6 {
      var cache = SegmentCache()
      cache.selector = n == SegmentRegister.cs ? 8 : 16
      cache.limit = 0xFFFF_FFFF
      cache.attributes = n == SegmentRegister.cs ? 0xC09B : 0xC093
      cpu[segment: n] = cache
    }
  }

  func load(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { memory.copyIn(Bench.code, from: $0) }
    cpu.s.pointee.eip = Bench.code
  }

  func run(_ count: UInt64) {
    cpu.setDeadline(cpu.instructionCount + count)
    _ = cpu.run()
  }
}
