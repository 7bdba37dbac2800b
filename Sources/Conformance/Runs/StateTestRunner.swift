// Runs tests in JSON on a processor with memory, and judges registers and memory.
//
// Owns: the surroundings of each mode, how a program's end is told, comparing. Must not know: the schema's text (StateTest).
// Follows: Intel SDM volume 3, chapters 3 and 6 (descriptors, gates), section 20.1 (real-mode interrupts).

import CPU
import Host

/// What a program left behind.
public struct StateOutcome {
  /// A register's value by name.
  public var register: (String) -> UInt128?
  /// Bytes at a linear address.
  public var memory: (UInt32, Int) -> [UInt8]
  /// How it ended; nil: by HLT.
  public var exception: StateTest.Exception?
  /// Why it did not end at all.
  public var problem: String?

  public init(
    register: @escaping (String) -> UInt128?, memory: @escaping (UInt32, Int) -> [UInt8],
    exception: StateTest.Exception? = nil, problem: String? = nil
  ) {
    self.register = register
    self.memory = memory
    self.exception = exception
    self.problem = problem
  }
}

extension StateTest {
  /// What is not as expected; empty when the test passes.
  public func differences(_ outcome: StateOutcome) -> [String] {
    if let problem = outcome.problem { return [problem] }
    var list: [String] = []
    func words(_ exception: Exception?) -> String {
      guard let exception else { return "HLT" }
      let error = exception.error.map { ", error code \(StateTest.hex(UInt128($0), 4))" } ?? ""
      return "exception \(exception.vector)\(error)"
    }
    let same =
      outcome.exception?.vector == exception?.vector
      && (exception?.error == nil || exception?.error == outcome.exception?.error)
    if !same {
      list.append("ended with \(words(outcome.exception)), expected \(words(exception))")
    }
    for (name, value) in expected.registers.sorted(by: { $0.key < $1.key })
    where !name.hasSuffix("-mask") {
      let digits = StateValues.digits(name) ?? 8
      let mask = expected.registers[name + "-mask"] ?? UInt128.max
      guard let actual = outcome.register(name) else {
        list.append("\(name): not known here")
        continue
      }
      if (actual ^ value) & mask != 0 {
        let note = mask == .max ? "" : ", mask \(StateTest.hex(mask, digits))"
        list.append(
          "\(name): \(StateTest.hex(actual, digits)), expected \(StateTest.hex(value, digits))"
            + ", differs in \(StateTest.hex((actual ^ value) & mask, digits))\(note)")
      }
    }
    for piece in expected.memory {
      let actual = outcome.memory(piece.address, piece.bytes.count)
      if actual.count < piece.bytes.count {
        list.append("[\(StateTest.hex(UInt128(piece.address), 8))]: no memory there")
        continue
      }
      for n in piece.bytes.indices where actual[n] != piece.bytes[n] {
        let address = StateTest.hex(UInt128(piece.address &+ UInt32(n)), 8)
        list.append("[\(address)]: \(hexByte(actual[n])), expected \(hexByte(piece.bytes[n]))")
      }
    }
    return list
  }
}

extension CPU {
  /// A register by its name in a test.
  public func stateRegister(_ name: String) -> UInt128? {
    let general = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"]
    if let n = general.firstIndex(of: name) { return UInt128(self[n]) }
    if let n = ["es", "cs", "ss", "ds", "fs", "gs"].firstIndex(of: name) {
      return UInt128(self[segment: n].selector)
    }
    let f = fpuState
    switch name {
    case "eip": return UInt128(currentEIP)
    case "eflags": return UInt128(eflags)
    case "cr0": return UInt128(s.pointee.cr0)
    case "cr2": return UInt128(s.pointee.cr2)
    case "cr3": return UInt128(s.pointee.cr3)
    case "cr4": return UInt128(s.pointee.cr4)
    default: return f.stateRegister(name)
    }
  }
}

extension FPUState {
  /// A register of x87, MMX or SSE by its name in a test.
  func stateRegister(_ name: String) -> UInt128? {
    switch name {
    case "fcw": return UInt128(cw)
    case "fsw": return UInt128(statusWord)
    case "ftw": return UInt128(tagWord)
    case "fop": return UInt128(fop)
    case "fip": return UInt128(fip)
    case "fcs": return UInt128(fcs)
    case "fdp": return UInt128(fdp)
    case "fds": return UInt128(fds)
    case "mxcsr": return UInt128(mxcsr)
    default:
      guard StateValues.digits(name) != nil, let n = name.last?.wholeNumberValue else { return nil }
      if name.hasPrefix("st") {
        return UInt128(self[st: n].signExponent) << 64 | UInt128(self[st: n].significand)
      }
      if name.hasPrefix("xmm") {
        return UInt128(self[xmm: n].high) << 64 | UInt128(self[xmm: n].low)
      }
      return UInt128(self[physical: n].significand)
    }
  }

  /// Sets it; false when there is no such register. ST(n) follow TOP, so the status word goes first.
  mutating func setStateRegister(_ name: String, _ value: UInt128) -> Bool {
    let low = UInt64(truncatingIfNeeded: value)
    let word = UInt16(truncatingIfNeeded: value)
    switch name {
    case "fcw": cw = word
    case "fsw": statusWord = word
    case "ftw":
      empty = 0
      for n in UInt16(0)..<8 where word >> (2 * n) & 3 == 3 { empty |= 1 << UInt8(n) }
    case "fop": fop = word
    case "fip": fip = UInt32(truncatingIfNeeded: value)
    case "fcs": fcs = word
    case "fdp": fdp = UInt32(truncatingIfNeeded: value)
    case "fds": fds = word
    case "mxcsr": mxcsr = UInt32(truncatingIfNeeded: value)
    default:
      guard StateValues.digits(name) != nil, let n = name.last?.wholeNumberValue else {
        return false
      }
      if name.hasPrefix("st") {
        self[st: n] = Float80Bits(
          signExponent: UInt16(truncatingIfNeeded: value >> 64), significand: low)
      } else if name.hasPrefix("xmm") {
        self[xmm: n] = XMMBits(low, UInt64(truncatingIfNeeded: value >> 64))
      } else if name.hasPrefix("mm") {
        self[physical: n] = Float80Bits(signExponent: 0xFFFF, significand: low)
      } else {
        return false
      }
    }
    return true
  }

  /// The state after FNINIT with what a test gives.
  init(_ values: StateValues) {
    self.init()
    cw = 0x37F
    empty = 0xFF
    for name in ["fcw", "fsw", "ftw"] {
      if let value = values.registers[name] { _ = setStateRegister(name, value) }
    }
    for (name, value) in values.registers { _ = setStateRegister(name, value) }
    // A register that is given is in use, unless the tags say otherwise.
    if values.registers["ftw"] == nil {
      for name in values.registers.keys where name.hasPrefix("st") || name.hasPrefix("mm") {
        guard let n = name.last?.wholeNumberValue else { continue }
        empty &= ~(1 << UInt8((name.hasPrefix("st") ? Int(top) + n : n) & 7))
      }
    }
  }
}

/// Runs tests that bring their own mode.
public struct StateTestRunner {
  private static let ram: UInt32 = 16 << 20
  /// Where descriptors and handlers of the runner lie: the last 64 KiB, in real mode the last 256 bytes of the first megabyte.
  private static let system: UInt32 = ram - 0x10000
  private static let realHandlers: UInt32 = 0xFFE00

  let test: StateTest
  let model: CPUModel
  let engine: Engine
  let fpu: FPUUnit?

  /// - Parameters:
  ///   - model: when the test names none.
  ///   - fpu: what carries out x87 instructions; nil: what the engine does best.
  public init(
    _ test: StateTest, model: CPUModel?, engine: Engine = .interpreter, fpu: FPUUnit? = nil
  ) {
    self.test = test
    self.model = test.cpu ?? model ?? .pentium4
    self.engine = engine
    self.fpu = fpu
  }

  /// A run that has ended.
  private struct Finished {
    var cpu: CPU
    var memory: PhysicalMemory
    var outcome: StateOutcome
  }

  private func error(_ reason: String) -> VectorFileError {
    VectorFileError(path: test.path, offset: 0, reason: reason)
  }

  /// Runs the test.
  /// - Parameter image: takes the place of the image that the test names.
  /// - Throws: `VectorFileError` for an image that cannot be used, `HostError` when the host has no memory.
  public func run(image: [UInt8]? = nil) throws -> [String] {
    guard let mode = test.mode else { throw error("the test has no \"mode\"") }
    var content = image ?? test.code
    if image == nil, let name = test.image {
      let folder = test.path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
      let path = name.hasPrefix("/") ? name : (folder + [Substring(name)]).joined(separator: "/")
      content = try readMaybeCompressed(path)
    }
    if content.isEmpty { throw error("the test has neither \"image\" nor \"code\"") }
    let runs = try engine.parts.map { try run(mode, content, $0) }
    var differences = test.differences(runs[0].outcome)
    if runs.count > 1 {
      let apart =
        EngineComparison.processor(runs[0].cpu, runs[1].cpu)
        + EngineComparison.memory(runs[0].memory, runs[1].memory, 0..<Int.max)
      if !apart.isEmpty { differences += ["the engines differ:"] + apart }
    }
    return differences
  }

  private func run(_ mode: StateTest.Mode, _ content: [UInt8], _ engine: Engine) throws -> Finished
  {
    switch mode {
    case .user16: return try runUser(.small, content, engine)
    case .user32: return try runUser(.based, content, engine)
    case .flat: return try runUser(.flat, content, engine)
    default: return try runPlain(mode, content, engine)
    }
  }

  // MARK: - Level 3

  private func runUser(_ mode: HostProcessor.Mode, _ content: [UInt8], _ engine: Engine) throws
    -> Finished
  {
    let guest = try HostGuest(model: model)
    try engine.equip(guest.cpu, fpu: fpu)
    func finished(_ outcome: StateOutcome) -> Finished {
      Finished(cpu: guest.cpu, memory: guest.memory, outcome: outcome)
    }
    let base = HostProcessor.base
    let address = test.address ?? base + UInt32(HostProcessor.codeOffset)
    for (at, bytes) in test.initial.memory + [(address, content)] {
      guard at >= base,
        UInt64(at) + UInt64(bytes.count) <= UInt64(base) + UInt64(HostProcessor.size)
      else {
        throw error(
          "memory at \(StateTest.hex(UInt128(at), 8)): level 3 has 64 KiB from 01000000 on")
      }
      guest.setCode(Int(at - base), bytes)
    }
    var state = HostProcessor.State()
    let general = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"]
    let initial = test.initial.registers
    for (n, name) in general.enumerated() { state.registers[n] = UInt32(initial[name] ?? 0) }
    if initial["esp"] == nil { state.registers[4] = (mode == .flat ? base : 0) + 0x8000 }
    state.eflags = UInt32(initial["eflags"] ?? 0x202) | 2
    state.eip = UInt32(
      initial["eip"] ?? UInt128(test.entry ?? (mode == .flat ? address : address - base)))
    var fpu = FPUState(test.initial)
    let after = guest.run(mode, state, &fpu, repeats: 0, limit: test.limit)
    if after.vector == 255 {
      return finished(
        StateOutcome(
          register: { _ in nil }, memory: { _, _ in [] },
          problem: "no end within \(test.limit) instructions"))
    }
    // HLT is privileged: its #GP(0) is the end.
    let linear = mode == .flat || after.cs == 0x23 ? after.eip : base &+ after.eip
    let atHLT = after.vector == 13 && after.errorCode == 0 && guest.peek(linear, 1) == [0xF4]
    let hasCode = [8, 10, 11, 12, 13, 14, 17].contains(after.vector)
    return finished(
      StateOutcome(
        register: { name in
          if let n = general.firstIndex(of: name) { return UInt128(after.registers[n]) }
          switch name {
          case "eip": return UInt128(after.eip)
          case "eflags": return UInt128(after.eflags & ~EFLAGS.rf)
          case "es": return UInt128(after.es)
          case "cs": return UInt128(after.cs)
          case "ss": return UInt128(after.ss)
          case "ds": return UInt128(after.ds)
          case "fs": return UInt128(after.fs)
          case "gs": return UInt128(after.gs)
          case "cr2": return UInt128(after.cr2)
          default: return fpu.stateRegister(name)
          }
        },
        memory: { guest.peek($0, $1) },
        exception: atHLT
          ? nil
          : StateTest.Exception(
            vector: after.vector, error: hasCode ? after.errorCode & 0xFFFF : nil)))
  }

  // MARK: - Level 0

  private func runPlain(_ mode: StateTest.Mode, _ content: [UInt8], _ engine: Engine) throws
    -> Finished
  {
    let memory = try PhysicalMemory(ramSize: UInt64(StateTestRunner.ram))
    memory.setShadow(0xA0000...0xFFFFF, readRAM: true, writeRAM: true)
    let cpu = try CPU(model: model, memory: memory, bus: SystemBus())
    try engine.equip(cpu, fpu: fpu)
    let system = StateTestRunner.system
    func put(_ at: UInt32, _ bytes: [UInt8]) {
      bytes.withUnsafeBytes { memory.copyIn(at, from: $0) }
    }
    func put(_ at: UInt32, _ words: UInt32...) {
      put(at, words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } })
    }
    let isReal = mode == .real
    let handlers = isReal ? StateTestRunner.realHandlers : system + 0x1000
    put(handlers, [UInt8](repeating: 0xF4, count: 256))
    for vector in UInt32(0)..<256 {
      if isReal {
        put(vector * 4, 0xFFE0_0000 | vector)
      } else {
        let handler = handlers + vector
        put(
          system + 0x800 + vector * 8, 0x0008_0000 | handler & 0xFFFF,
          handler & 0xFFFF_0000 | 0x8E00)
      }
    }
    cpu.reset()
    cpu.a20 = true
    let s = cpu.s
    let features = model.features
    s.pointee.cr0 = features.contains(.i486) ? 0x32 : 0x12
    if features.contains(.sse) { s.pointee.cr4 = CR4.osfxsr | CR4.osxmmexcpt }
    let address = test.address ?? (isReal ? 0x7C00 : 0x10_0000)
    if isReal {
      for n in 0..<6 { setSegment(cpu, n, 0, 0x93, 0xFFFF) }
    } else {
      s.pointee.cr0 |= CR0.pe
      put(system + 0x08, 0x0000_FFFF, 0x00CF_9B00, 0x0000_FFFF, 0x00CF_9300)
      put(system + 0x18, 0x0000_FFFF, 0x0000_9B00, 0x0000_FFFF, 0x0000_9300)
      put(
        system + 0x28, UInt32(0x67) | (system & 0xFFFF) << 16,
        system & 0xFF00_0000 | system >> 16 & 0xFF | 0x8900)
      s.pointee.gdtBase = system
      s.pointee.gdtLimit = 0x2F
      s.pointee.idtBase = system + 0x800
      s.pointee.idtLimit = 0x7FF
      let wide = mode == .protected32
      for n in 0..<6 where n != SegmentRegister.cs {
        setSegment(cpu, n, wide ? 0x10 : 0x20, wide ? 0xC093 : 0x93, wide ? 0xFFFF_FFFF : 0xFFFF)
      }
      setSegment(
        cpu, SegmentRegister.cs, wide ? 0x08 : 0x18, wide ? 0xC09B : 0x9B,
        wide ? 0xFFFF_FFFF : 0xFFFF)
    }
    for (at, bytes) in test.initial.memory + [(address, content)] {
      guard UInt64(at) + UInt64(bytes.count) <= UInt64(system) else {
        throw error("memory at \(StateTest.hex(UInt128(at), 8)): there are 16 MB less 64 KiB")
      }
      put(at, bytes)
    }
    let initial = test.initial.registers
    for (n, name) in ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"].enumerated() {
      cpu[n] = UInt32(
        initial[name] ?? (name == "esp" ? (mode == .protected32 ? 0x8_0000 : 0x7000) : 0))
    }
    for (n, name) in ["es", "cs", "ss", "ds", "fs", "gs"].enumerated() {
      guard let selector = initial[name] else { continue }
      if !isReal { throw error("\"\(name)\": only real mode takes selectors") }
      setSegment(cpu, n, UInt16(selector), 0x93, 0xFFFF, base: UInt32(selector) << 4)
    }
    if let value = initial["cr0"] { s.pointee.cr0 = UInt32(value) }
    if let value = initial["cr2"] { s.pointee.cr2 = UInt32(value) }
    if let value = initial["cr3"] { s.pointee.cr3 = UInt32(value) }
    if let value = initial["cr4"] { s.pointee.cr4 = UInt32(value) }
    cpu.setEFLAGS(UInt32(initial["eflags"] ?? 2) | 2)
    let csBase = cpu[segment: SegmentRegister.cs].base
    s.pointee.eip = UInt32(initial["eip"] ?? UInt128(test.entry ?? (address &- csBase)))
    cpu.fpuState = FPUState(test.initial)
    cpu.flushTLB()
    // Derived state follows CS.
    let code = cpu[segment: SegmentRegister.cs]
    cpu[segment: SegmentRegister.cs] = code
    cpu.setDeadline(cpu.instructionCount &+ test.limit)
    return Finished(
      cpu: cpu, memory: memory, outcome: outcome(cpu, memory, cpu.run(), handlers: handlers))
  }

  private func setSegment(
    _ cpu: CPU, _ n: Int, _ selector: UInt16, _ attributes: UInt16, _ limit: UInt32,
    base: UInt32 = 0
  ) {
    var cache = SegmentCache()
    cache.selector = selector
    cache.attributes = attributes
    cache.limit = limit
    cache.base = base
    cpu[segment: n] = cache
  }

  /// What the processor left behind; of an exception, the registers of the instruction that raised it.
  private func outcome(
    _ cpu: CPU, _ memory: PhysicalMemory, _ exit: RunExit, handlers: UInt32
  ) -> StateOutcome {
    var own: [String: UInt128] = [:]
    var exception: StateTest.Exception?
    var problem: String?
    switch exit {
    case .halted: break
    case .shutdown: problem = "shut down by a triple fault"
    default: problem = "no end within \(test.limit) instructions"
    }
    func peek(_ at: UInt32, _ count: Int) -> [UInt8] {
      let end = UInt64(at) + UInt64(count)
      if end > UInt64(StateTestRunner.ram) { return [] }
      return memory.peek(at, count: count)
    }
    let next = cpu[segment: SegmentRegister.cs].base &+ cpu.s.pointee.eip
    let vector = next &- handlers &- 1
    if problem == nil && vector < 256 {
      let v = UInt8(vector)
      let isReal = cpu.s.pointee.cr0 & CR0.pe == 0
      var sp = cpu[4]
      let stack = cpu[segment: SegmentRegister.ss]
      func pop(_ size: Int) -> UInt32 {
        let offset = stack.isBig ? sp : sp & 0xFFFF
        defer {
          sp = stack.isBig ? sp &+ UInt32(size) : sp & 0xFFFF_0000 | (sp &+ UInt32(size)) & 0xFFFF
        }
        var value: UInt32 = 0
        for (n, byte) in peek(stack.base &+ offset, size).enumerated() {
          value |= UInt32(byte) << UInt32(8 * n)
        }
        return value
      }
      let size = isReal ? 2 : 4
      let code = !isReal && [8, 10, 11, 12, 13, 14, 17].contains(v) ? pop(size) : nil
      exception = StateTest.Exception(vector: v, error: code)
      own["eip"] = UInt128(pop(size))
      own["cs"] = UInt128(pop(size) & 0xFFFF)
      own["eflags"] = UInt128(pop(size) & ~EFLAGS.rf)
      own["esp"] = UInt128(sp)
    }
    return StateOutcome(
      register: { own[$0] ?? cpu.stateRegister($0) }, memory: peek, exception: exception,
      problem: problem)
  }
}
