// Runs real-mode single-step tests.
//
// Owns: setting a processor up from a test's state, running it, comparing. Must not know: file formats, what is excused.
// Follows: the suites' rules: the 286 and 386 sets run to HLT over flat RAM with A20 on; the 8086 set executes one instruction with
// memory wrapping at 1 MiB.

import CPU
import Host

/// Which processor a suite was captured from, and so which rules apply.
public enum SingleStepRules: String, Sendable, Codable {
  /// To HLT, A20 on.
  case i286
  /// One instruction, A20 masked.
  case i8086
  /// To HLT, 32-bit registers.
  case i386
}

/// One thing that is not as a test says.
public struct Difference: Sendable, Equatable {
  /// What differs.
  public enum Place: Sendable, Equatable {
    /// A register by its number in the file's order.
    case register(Int)
    case memory(UInt32)
    /// How the run ended.
    case ending
    /// What no test mentions: upper halves of registers.
    case bystander
  }
  public var place: Place
  /// What differs, in words.
  public var field: String
  /// Defined bits only.
  public var expected: UInt32
  public var actual: UInt32
  var digits: Int

  public var description: String {
    if place == .ending { return field }
    return "\(field): \(hex(actual, digits)), expected \(hex(expected, digits))"
      + ", differs in \(hex(actual ^ expected, digits))"
  }
}

/// What is compared of a test's final state.
public struct SingleStepMasks: Sendable {
  /// Bits of FLAGS or EFLAGS, also as pushed by exceptions.
  public var flags: UInt32 = 0xFFFF_FFFF
  public var words = [UInt16](repeating: 0xFFFF, count: 14)
  public var dwords = [UInt32](repeating: 0xFFFF_FFFF, count: 20)

  public init() {}

  /// Narrows the masks by those that a file or test gives.
  mutating func apply(_ masks: MOORegisters) {
    for n in 0..<14 { words[n] &= masks.words[n] ?? 0xFFFF }
    for n in 0..<20 { dwords[n] &= masks.dwords[n] ?? 0xFFFF_FFFF }
    if let mask = masks.words[13] { flags &= UInt32(mask) | 0xFFFF_0000 }
    if let mask = masks.dwords[17] { flags &= mask }
  }
}

/// Runs tests on one processor.
public final class SingleStepRunner {
  let cpu: CPU
  private let memory: PhysicalMemory
  public let rules: SingleStepRules
  private let addressMask: UInt32
  /// Nonzero: upper halves of registers that 16-bit tests do not mention hold values made from it, and must keep them.
  public var seed: UInt64 = 0 { didSet { twin?.seed = seed } }

  static let wordNames = [
    "ax", "bx", "cx", "dx", "cs", "ss", "ds", "es", "sp", "bp", "si", "di", "ip", "flags",
  ]
  static let dwordNames = [
    "cr0", "cr3", "eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "cs", "ds", "es", "fs",
    "gs", "ss", "eip", "eflags", "dr6", "dr7",
  ]
  private static let wordGeneral = [0, 3, 1, 2, -1, -1, -1, -1, 4, 5, 6, 7, -1, -1]
  private static let wordSegments = [-1, -1, -1, -1, 1, 2, 3, 0, -1, -1, -1, -1, -1, -1]
  private static let dwordGeneral = [
    -1, -1, 0, 3, 1, 2, 6, 7, 5, 4, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
  ]
  private static let dwordSegments = [
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 3, 0, 4, 5, 2, -1, -1, -1, -1,
  ]

  /// In lockstep the one with the other engine, which runs each test too.
  private(set) var twin: SingleStepRunner?
  private var exit = RunExit.deadline

  /// - Throws: `HostError` when the host has no memory, or forbids what the engine needs.
  public init(
    rules: SingleStepRules, model: CPUModel, engine: Engine = .interpreter, fpu: FPUUnit? = nil
  ) throws(HostError) {
    self.rules = rules
    let size: UInt32 = rules == .i386 ? 16 << 20 : 2 << 20
    addressMask = rules == .i8086 ? 0xFFFFF : size - 1
    memory = try PhysicalMemory(ramSize: UInt64(size))
    memory.setShadow(0xA0000...0xFFFFF, readRAM: true, writeRAM: true)
    cpu = try CPU(model: model, memory: memory, bus: SystemBus())
    try engine.parts[0].equip(cpu, fpu: fpu)
    if engine == .lockstep {
      twin = try SingleStepRunner(rules: rules, model: model, engine: .translator, fpu: fpu)
    }
  }

  func poke(_ address: UInt32, _ value: UInt8) {
    withUnsafeBytes(of: value) { memory.copyIn(address & addressMask, from: $0) }
  }
  func peek(_ address: UInt32) -> UInt8 { memory.peek(address & addressMask, count: 1)[0] }

  // MARK: - Running

  /// Runs one test and compares.
  /// - Parameter stackFaultAsGeneralProtection: the vector-12 handler is made that of vector 13, for tests of a processor that raises
  ///   #GP where later ones raise #SS.
  /// - Returns: every difference; empty when the test passes.
  public func run(
    _ test: MOOTest, masks: SingleStepMasks = SingleStepMasks(),
    stackFaultAsGeneralProtection: Bool = false
  ) -> [Difference] {
    setUp(test)
    if stackFaultAsGeneralProtection {
      for n in UInt32(0)..<4 { poke(0x30 + n, peek(0x34 + n)) }
    }
    execute(test)
    var differences: [Difference] = []
    if rules != .i8086 && exit != .halted {
      differences.append(
        Difference(
          place: .ending, field: "ended with \(exit), not with HLT", expected: 0, actual: 1,
          digits: 1))
    }
    if test.is32Bit {
      compare32(test, masks, &differences)
    } else {
      compare16(test, masks, &differences)
    }
    if stackFaultAsGeneralProtection { for n in UInt32(0x30)..<0x34 { poke(n, 0) } }
    compareMemory(test, masks, stackFaultAsGeneralProtection, &differences)
    // What does not end as the test says may have written anywhere, and has done so here alone.
    if !differences.isEmpty || stackFaultAsGeneralProtection { isTidy = false }
    return differences
  }

  private func execute(_ test: MOOTest) {
    let limit: UInt64 = rules == .i8086 ? 1 : 200_000
    let start = cpu.s.pointee.eip
    repeat {
      cpu.setDeadline(cpu.instructionCount + limit)
      exit = cpu.run()
    } while rules == .i8086 && exit == .deadline
      && (test.bytes.contains(0xF2) || test.bytes.contains(0xF3)) && cpu.s.pointee.eip == start
      && cpu[Register.ecx] & 0xFFFF != 0
  }

  // MARK: - Lockstep

  /// The highest address that real mode reaches, and then some.
  private static let reach = 0x11_0000

  /// Right after `run`: runs the test in the other engine too.
  /// - Returns: in what the engines differ, and from where on; nil when they agree, or there is only one.
  func engineDifferences(_ test: MOOTest) -> [String]? {
    guard let twin else { return nil }
    twin.setUp(test)
    twin.execute(test)
    let found = differences(from: twin)
    if found.isEmpty { return nil }
    // The first count of instructions after which they differ; where a run is cut short the rest of a block is interpreted.
    let end = max(cpu.instructionCount, twin.cpu.instructionCount)
    var place = "after \(end) instructions"
    for count in UInt64(1)..<min(end, 200) {
      isTidy = false
      cleanUp(test)
      for one in [self, twin] {
        one.setUp(test)
        one.cpu.setDeadline(count)
        one.exit = one.cpu.run()
      }
      if !differences(from: twin).isEmpty {
        place = count == 1 ? "after the first instruction" : "after \(count) instructions"
        break
      }
    }
    for one in [self, twin] { one.clearAll() }
    bringTogether()
    return ["the engines differ \(place):"] + found
  }

  /// After a run of one engine alone: the processors are equal again, the list of their last branches included.
  func bringTogether() {
    if let twin { EngineComparison.makeEqual(cpu, twin.cpu) }
  }

  private func differences(from twin: SingleStepRunner) -> [String] {
    var list = EngineComparison.processor(cpu, twin.cpu)
    if exit != twin.exit { list.insert("ends: \(exit), translated \(twin.exit)", at: 0) }
    return list
      + EngineComparison.memory(memory, twin.memory, 0..<SingleStepRunner.reach)
  }

  private func clearAll() {
    let zeros = [UInt8](repeating: 0, count: SingleStepRunner.reach)
    zeros.withUnsafeBytes { memory.copyIn(0, from: $0) }
  }

  // MARK: - Between tests

  /// Whether all that was written since memory was last zero is what the test tells of.
  private var isTidy = true

  /// Makes memory zero again, in lockstep that of both engines, whatever the test has done; after `run` and whatever is looked at between.
  public func cleanUp(_ test: MOOTest) {
    for one in [self, twin].compactMap({ $0 }) {
      if !isTidy { one.clearAll() }
      for (address, _) in test.initial.memory { one.poke(address, 0) }
      for (address, _) in test.final.memory { one.poke(address, 0) }
    }
    isTidy = true
  }

  private func setUp(_ test: MOOTest) {
    cpu.s.pointee.retired = 0
    cpu.reset()
    cpu.a20 = rules != .i8086
    if test.is32Bit {
      setUp32(test)
    } else {
      for (n, value) in test.initial.registers.words.enumerated() {
        guard let value else { continue }
        if SingleStepRunner.wordGeneral[n] >= 0 {
          let register = SingleStepRunner.wordGeneral[n]
          cpu[register] = UInt32(value) | bystander(register)
        } else if SingleStepRunner.wordSegments[n] >= 0 {
          setSegment(SingleStepRunner.wordSegments[n], value)
        } else if n == 12 {
          cpu.s.pointee.eip = UInt32(value)
        } else {
          cpu.setEFLAGS(UInt32(value & 0xFD5) | 2)
        }
      }
    }
    for (address, value) in test.initial.memory { poke(address, value) }
  }

  private func setUp32(_ test: MOOTest) {
    let values = test.initial.registers.dwords
    if let cr0 = values[0] { cpu.s.pointee.cr0 = cr0 & 0x7FFF_FFFE }
    if let cr3 = values[1] { cpu.s.pointee.cr3 = cr3 }
    if let dr6 = values[18] { cpu.s.pointee.dr6 = dr6 }
    if let dr7 = values[19], dr7 & 0xFF == 0 { cpu.s.pointee.dr7 = dr7 }
    for (n, value) in values.enumerated() {
      guard let value else { continue }
      if SingleStepRunner.dwordGeneral[n] >= 0 {
        cpu[SingleStepRunner.dwordGeneral[n]] = value
      } else if SingleStepRunner.dwordSegments[n] >= 0 {
        setSegment(SingleStepRunner.dwordSegments[n], UInt16(truncatingIfNeeded: value))
      } else if n == 16 {
        cpu.s.pointee.eip = value
      } else if n == 17 {
        cpu.setEFLAGS(value & 0x1_7FD5 | 2)
      }
    }
  }

  private func setSegment(_ segment: Int, _ value: UInt16) {
    var cache = cpu[segment: segment]
    cache.selector = value
    cache.base = UInt32(value) << 4
    cpu[segment: segment] = cache
  }

  /// The upper half of a register that a 16-bit test does not mention.
  private func bystander(_ register: Int) -> UInt32 {
    if seed == 0 { return 0 }
    let mixed = (seed &+ UInt64(register + 1)) &* 0x9E37_79B9_7F4A_7C15
    return UInt32(truncatingIfNeeded: mixed >> 32) & 0xFFFF_0000
  }

  // MARK: - What came out

  /// A 16-bit register by its number in the file's order.
  func word(_ n: Int) -> UInt16 {
    if SingleStepRunner.wordGeneral[n] >= 0 {
      return UInt16(truncatingIfNeeded: cpu[SingleStepRunner.wordGeneral[n]])
    }
    if SingleStepRunner.wordSegments[n] >= 0 {
      return cpu[segment: SingleStepRunner.wordSegments[n]].selector
    }
    return UInt16(truncatingIfNeeded: n == 12 ? cpu.s.pointee.eip : cpu.eflags)
  }

  /// The exception vector whose handler the processor stands before, when the test's vector table says so; for one-instruction runs.
  func standsBefore(_ vector: UInt8) -> Bool {
    let at = UInt32(vector) * 4
    let ip = UInt16(peek(at)) | UInt16(peek(at + 1)) << 8
    let cs = UInt16(peek(at + 2)) | UInt16(peek(at + 3)) << 8
    return word(12) == ip && word(4) == cs
  }

  private func compare16(
    _ test: MOOTest, _ masks: SingleStepMasks, _ differences: inout [Difference]
  ) {
    for n in 0..<14 {
      guard let expected = test.final.registers.words[n] ?? test.initial.registers.words[n]
      else { continue }
      var mask = masks.words[n]
      // Bits 12 to 15 differ between generations.
      if n == 13 { mask &= UInt16(truncatingIfNeeded: masks.flags) & 0x0FD5 }
      let actual = word(n)
      if (actual ^ expected) & mask != 0 {
        differences.append(
          Difference(
            place: .register(n), field: SingleStepRunner.wordNames[n],
            expected: UInt32(expected & mask), actual: UInt32(actual & mask), digits: 4))
      }
    }
    if seed != 0 {
      for register in 0..<8 where cpu[register] & 0xFFFF_0000 != bystander(register) {
        differences.append(
          Difference(
            place: .bystander, field: "upper half of register \(register)",
            expected: bystander(register) >> 16, actual: cpu[register] >> 16, digits: 4))
      }
    }
  }

  private func compare32(
    _ test: MOOTest, _ masks: SingleStepMasks, _ differences: inout [Difference]
  ) {
    let s = cpu.s
    for n in 0..<20 {
      guard let expected = test.final.registers.dwords[n] ?? test.initial.registers.dwords[n]
      else { continue }
      var mask = masks.dwords[n]
      let actual: UInt32
      if SingleStepRunner.dwordGeneral[n] >= 0 {
        actual = cpu[SingleStepRunner.dwordGeneral[n]]
      } else if SingleStepRunner.dwordSegments[n] >= 0 {
        actual = UInt32(cpu[segment: SingleStepRunner.dwordSegments[n]].selector)
        mask &= 0xFFFF
      } else {
        switch n {
        case 0: (actual, mask) = (s.pointee.cr0, mask & 0x8000_000F)
        case 1: (actual, mask) = (s.pointee.cr3, mask & 0xFFFF_F000)
        case 16: actual = s.pointee.eip
        case 17: (actual, mask) = (cpu.eflags, mask & masks.flags & 0x0003_7FD5)
        case 18: (actual, mask) = (s.pointee.dr6, mask & 0xE00F)
        default: (actual, mask) = (s.pointee.dr7, mask & 0xFFFF_23FF)
        }
      }
      if (actual ^ expected) & mask != 0 {
        differences.append(
          Difference(
            place: .register(n), field: SingleStepRunner.dwordNames[n], expected: expected & mask,
            actual: actual & mask, digits: 8))
      }
    }
  }

  private func compareMemory(
    _ test: MOOTest, _ masks: SingleStepMasks, _ stackVectorChanged: Bool,
    _ differences: inout [Difference]
  ) {
    // Later entries win, as they do when memory is set.
    var expected: [UInt32: UInt8] = [:]
    for (address, value) in test.initial.memory { expected[address] = value }
    for (address, value) in test.final.memory { expected[address] = value }
    // The suite's own address of the pushed flags word is one too low for some odd stack pointers; the final stack tells.
    var flagsAddress = UInt32.max - 1
    if test.exception != nil {
      if test.is32Bit {
        let (after, before) = (test.final.registers.dwords, test.initial.registers.dwords)
        if let sp = after[9] ?? before[9], let ss = after[15] ?? before[15] {
          flagsAddress = (ss & 0xFFFF) << 4 &+ ((sp &+ 4) & 0xFFFF)
        }
      } else {
        let (after, before) = (test.final.registers.words, test.initial.registers.words)
        if let sp = after[8] ?? before[8], let ss = after[5] ?? before[5] {
          flagsAddress = UInt32(ss) << 4 &+ UInt32(sp &+ 4)
        }
      }
    }
    let flags = test.is32Bit ? masks.flags & 0x7FD5 : masks.flags & 0x0FD5
    var found: [Difference] = []
    for (address, value) in expected {
      if stackVectorChanged && (0x30..<0x34).contains(address) { continue }
      var mask: UInt8 = 0xFF
      if address == flagsAddress { mask = UInt8(flags & 0xFF) }
      if address == flagsAddress &+ 1 { mask = UInt8(flags >> 8 & 0xFF) }
      let actual = peek(address)
      if (actual ^ value) & mask != 0 {
        found.append(
          Difference(
            place: .memory(address), field: "[\(hex(address, 5))]", expected: UInt32(value & mask),
            actual: UInt32(actual & mask), digits: 2))
      }
    }
    differences += found.sorted { $0.field < $1.field }
  }
}

extension SingleStepRunner {
  /// The last run ended in a triple fault.
  var isShutDown: Bool { cpu.s.pointee.shutdown }

  /// The instruction pointer that an exception's delivery pushed last.
  var pushedIP: UInt16 {
    let base = UInt32(word(5)) << 4
    let sp = word(8)
    return UInt16(peek(base &+ UInt32(sp))) | UInt16(peek(base &+ UInt32(sp &+ 1))) << 8
  }
}
