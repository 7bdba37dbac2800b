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

    /// The case as a test.
    /// - Parameter region: what the region holds, nil for zeros.
    func test(region: UnsafeRawBufferPointer?, model: CPUModel) -> StateTest {
      var result = StateTest(path: "", name: "")
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
      for (offset, bytes) in written {
        result.expected.memory.append((base + UInt32(offset), bytes))
      }
      let endsAtHLT = runsOn || !test.tail.isEmpty && state.vector == 13
      if !endsAtHLT {
        let hasCode = [8, 10, 11, 12, 13, 14, 17].contains(state.vector)
        result.exception = StateTest.Exception(
          vector: state.vector,
          error: hasCode ? state.errorCode & (state.vector == 14 ? 7 : 0xFFFF) : nil)
        if state.vector == 14 { result.expected.registers["cr2"] = UInt128(state.cr2) }
      }
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
