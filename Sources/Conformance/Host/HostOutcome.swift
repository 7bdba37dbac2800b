// A case that the host's processor has run, as a test in a file.
//
// Owns: the words of the schema for a case and its outcome. Must not know: how it was run.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU
  import Host

  /// What the host made of a case.
  struct HostOutcome {
    var test = HostCase()
    var state = HostProcessor.State()
    var fpu = FPUState()
    /// Bytes of the region that were not there before, by offset.
    var written: [(offset: Int, bytes: [UInt8])] = []
    /// The rule by which Apus rightly differs, and in what; both empty where it does not.
    var rule = ""
    var excused: [String] = []

    init() {}
    init(test: HostCase, state: HostProcessor.State, fpu: FPUState) {
      self.test = test
      self.state = state
      self.fpu = fpu
    }

    /// Notes what differs in a page between what is there and what was.
    mutating func note(_ page: Int, _ now: UnsafeRawPointer, _ before: UnsafeRawPointer) {
      for n in 0..<4096 {
        let byte = now.load(fromByteOffset: n, as: UInt8.self)
        if byte == before.load(fromByteOffset: n, as: UInt8.self) { continue }
        let at = page + n
        // The code itself is no result.
        if at >= HostProcessor.codeOffset && at < HostProcessor.codeOffset + 4096 { continue }
        if let end = written.last, end.offset + end.bytes.count == at {
          written[written.count - 1].bytes.append(byte)
        } else {
          written.append((at, [byte]))
        }
      }
    }

    /// Why the case is no test by itself; nil when it is one.
    var obstacle: String? {
      let isRepeat = OpcodeTable.shared.entries[test.entry].isRepeatable
      if isRepeat && state.vector == 1 && state.eip == test.state.eip {
        return "a repetition of which only some steps were looked at"
      }
      if excused.contains(where: { $0.hasPrefix("vector:") }) {
        return "which exception comes first is explained by a rule: \(rule)"
      }
      return nil
    }

    /// Takes out of a test what a rule explains, and what is undefined.
    private func leaveOut(_ result: inout StateTest) {
      if test.isUndefined && state.vector == 1 {
        result.expected.registers = result.expected.registers.filter {
          ["eip", "cs", "ss", "esp"].contains($0.key)
        }
        result.expected.memory = []
      }
      for text in excused {
        let name = String(text.prefix { $0 != ":" })
        // Both values, as "0x1234, host 0x5678".
        let numbers = text.split(whereSeparator: { " ,:".contains($0) }).filter {
          $0.hasPrefix("0x")
        }.compactMap { UInt32($0.dropFirst(2), radix: 16) }
        let differing = numbers.count == 2 ? numbers[0] ^ numbers[1] : UInt32.max
        func mask(_ register: String, _ all: UInt128) {
          let old = result.expected.registers[register + "-mask"] ?? all
          result.expected.registers[register + "-mask"] = old & ~UInt128(differing)
        }
        switch name {
        case "EFLAGS": mask("eflags", 0xFFFF_FFFF)
        case "MXCSR": mask("mxcsr", 0xFFFF_FFFF)
        case "FCW": mask("fcw", 0xFFFF)
        case "FSW":
          mask("fsw", 0xFFFF)
          // The names of the registers follow TOP.
          if differing & 0x3800 != 0 {
            for n in 0..<8 { result.expected.registers["st\(n)"] = nil }
          }
        case "empty": result.expected.registers["ftw"] = nil
        case "error code": result.exception?.error = nil
        default:
          if name.hasPrefix("R"), let n = name.last?.wholeNumberValue {
            result.expected.registers["st\((n - Int(fpu.top)) & 7)"] = nil
            // A tag may tell a special number from others.
            result.expected.registers["ftw"] = nil
          }
          result.expected.registers[name.lowercased()] = nil
        }
      }
      if !rule.isEmpty { result.note += result.note.isEmpty ? rule : "; \(rule)" }
    }

    /// What the host has written and no rule explains, by offset.
    private var certain: [(offset: Int, bytes: [UInt8])] {
      let apart = Set(
        excused.compactMap { text in
          text.hasPrefix("[0x") ? Int(text.dropFirst(3).prefix { $0 != "]" }, radix: 16) : nil
        })
      if apart.isEmpty { return written }
      return written.flatMap { offset, bytes in
        bytes.indices.filter { !apart.contains(offset + $0) }.map { (offset + $0, [bytes[$0]]) }
      }
    }

    /// The case as a test.
    /// - Parameters:
    ///   - region: what the region holds, nil for zeros.
    ///   - note: the assembly.
    func test(region: UnsafeRawBufferPointer?, model: CPUModel, note: String) -> StateTest {
      var result = StateTest(path: "", name: "")
      result.note = note
      result.cpu = model
      result.mode = test.mode == .small ? .user16 : test.mode == .based ? .user32 : .flat
      let base = HostProcessor.base
      let codeAt = test.mode == .flat ? test.state.eip : base &+ test.state.eip
      result.address = codeAt
      result.entry = test.state.eip
      result.code = test.bytes + test.tail + [0xF4]
      let code = base + UInt32(HostProcessor.codeOffset)
      result.initial.memory.append((code, [UInt8](repeating: 0xF4, count: 4096)))
      if let region {
        for page in stride(from: 0, to: HostProcessor.size, by: 4096)
        where page != HostProcessor.codeOffset {
          result.initial.memory.append(
            (base + UInt32(page), Array(region[page..<page + 4096])))
        }
      }
      for (offset, bytes) in test.memory {
        result.initial.memory.append((base + UInt32(offset), bytes))
      }
      let isRepeat = OpcodeTable.shared.entries[test.entry].isRepeatable
      var start = test.state
      // A repetition runs to the HLT behind it, the others are trapped after one instruction.
      let runsOn = isRepeat && state.vector == 1
      if runsOn { start.eflags &= ~0x100 }
      HostOutcome.put(&result.initial, start, test.fpu)
      HostOutcome.put(&result.expected, state, fpu)
      result.initial.registers["eip"] = nil
      for (name, value) in [
        ("es", state.es), ("ds", state.ds), ("fs", state.fs), ("gs", state.gs), ("cs", state.cs),
        ("ss", state.ss),
      ] {
        result.expected.registers[name] = UInt128(value)
      }
      let mask = test.flagsMask(state.vector) & ~(runsOn ? 0x100 : 0)
      result.expected.registers["eflags-mask"] = UInt128(mask)
      for (name, value) in [
        ("fop", UInt128(test.fpu.fop)), ("fip", UInt128(test.fpu.fip)),
        ("fcs", UInt128(test.fpu.fcs)), ("fdp", UInt128(test.fpu.fdp)),
        ("fds", UInt128(test.fpu.fds)),
      ] where value != 0 {
        result.initial.registers[name] = value
      }
      for (offset, bytes) in certain {
        result.expected.memory.append((base + UInt32(offset), bytes))
      }
      let behind = test.state.eip &+ UInt32(test.bytes.count + test.tail.count)
      let endsAtHLT =
        runsOn || !test.tail.isEmpty && state.vector == 13 && state.eip == behind
      if !endsAtHLT {
        let hasCode = [8, 10, 11, 12, 13, 14, 17].contains(state.vector)
        result.exception = StateTest.Exception(
          vector: state.vector,
          error: hasCode ? state.errorCode & (state.vector == 14 ? 7 : 0xFFFF) : nil)
        if state.vector == 14 { result.expected.registers["cr2"] = UInt128(state.cr2) }
      }
      leaveOut(&result)
      return result
    }

    private static func put(
      _ values: inout StateValues, _ state: HostProcessor.State, _ fpu: FPUState
    ) {
      let names = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"]
      for (n, name) in names.enumerated() {
        values.registers[name] = UInt128(state.registers[n])
      }
      values.registers["eip"] = UInt128(state.eip)
      values.registers["eflags"] = UInt128(state.eflags & ~EFLAGS.rf)
      for name in ["fcw", "fsw", "ftw", "mxcsr"] {
        values.registers[name] = fpu.stateRegister(name)
      }
      for n in 0..<8 {
        values.registers["st\(n)"] = fpu.stateRegister("st\(n)")
        values.registers["xmm\(n)"] = fpu.stateRegister("xmm\(n)")
      }
    }
  }
#endif
