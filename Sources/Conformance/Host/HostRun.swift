// Compares the emulated processor with the host's, instruction by instruction.
//
// Owns: the pattern in memory, running both, comparing, shrinking, the words of a failure. Must not know: the command line.

import CPU
import Host

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import Glibc

  /// A difference between Apus and the host.
  public struct HostFailure: Sendable {
    public var number: UInt64
    public var text: String
    /// The operation, for counting.
    public var operation: String
  }

  /// Runs random instructions on both processors.
  public final class HostRun {
    /// nil where cases run in Apus alone, for their digest.
    private let native: HostProcessor?
    /// The host's region of memory.
    private let nativeMemory: UnsafeMutableRawPointer
    /// Changes what the host did: a difference for tests of what is made of one.
    var alter: ((HostCase, inout HostProcessor.State) -> Void)?
    /// A hash of what Apus made of all cases, as far as the manuals define it.
    public private(set) var digest: UInt64 = 0xCBF2_9CE4_8422_2325
    private let guest: HostGuest
    /// In lockstep the one with translated code; `guest` interprets then.
    private let twin: HostGuest?
    private var guests: [HostGuest] { twin.map { [guest, $0] } ?? [guest] }
    private let seed: UInt64
    private let pattern: UnsafeMutableRawPointer
    private let entries: HostCase.Entries
    /// Cases that share a pattern in memory.
    private static let patternSpan: UInt64 = 1 << 16
    private var patternNumber: UInt64 = .max
    /// Zeros around a page of HLT, and which of the two both regions hold.
    private let blank: UnsafeMutableRawPointer
    private var isBlank = false
    /// What the host made of the last case.
    private var last = HostOutcome()
    private let disassembler: Disassembler
    private let model: CPUModel
    private let engine: Engine
    private static let repeats = 40
    /// Cases run, and those among them whose result is undefined and was not compared.
    public private(set) var cases: UInt64 = 0
    public private(set) var undefined: UInt64 = 0
    /// Cases that differ where the manuals let processors differ, by rule.
    public private(set) var byRule: [String: Int] = [:]
    /// Cases to which rules were applied; some take several.
    public private(set) var byRuleCases = 0
    /// The processor that is compared with, whose rules apply.
    public let identity: HostIdentity
    /// Cases by the vector they ended with.
    public private(set) var vectors: [UInt8: Int] = [:]

    /// - Parameters:
    ///   - filter: operations or opcodes, * and ?, separated by commas; empty: all.
    ///   - fpu: what carries out x87 instructions; nil: what the engine does best.
    ///   - identity: the processor whose rules apply.
    ///   - usesHost: false: Apus is compared with itself, and only the digest tells something.
    public init(
      seed: UInt64, model: CPUModel, filter: String = "", engine: Engine = .interpreter,
      fpu: FPUUnit? = nil, identity: HostIdentity = .current, usesHost: Bool = true
    ) throws(HostError) {
      self.identity = identity
      self.seed = seed
      self.model = model
      self.engine = engine
      disassembler = Disassembler(model: model)
      if usesHost {
        let host = try HostProcessor()
        native = host
        nativeMemory = host.memory
      } else {
        native = nil
        nativeMemory = .allocate(byteCount: HostProcessor.size, alignment: 4096)
      }
      guest = try HostGuest(model: model)
      try engine.parts[0].equip(guest.cpu, fpu: fpu)
      var twin: HostGuest?
      if engine == .lockstep {
        let other = try HostGuest(model: model)
        try Engine.translator.equip(other.cpu, fpu: fpu)
        twin = other
      }
      self.twin = twin
      pattern = .allocate(byteCount: HostProcessor.size, alignment: 4096)
      blank = .allocate(byteCount: HostProcessor.size, alignment: 4096)
      memset(blank, 0, HostProcessor.size)
      memset(blank + HostProcessor.codeOffset, 0xF4, 4096)
      let patterns = filter.split(separator: ",").map { String($0).lowercased() }
      let chosen = HostCase.entries.filter { n in
        let line = OpcodeTable.shared.entries[n]
        if !model.features.isSuperset(of: line.features) { return false }
        if patterns.isEmpty { return true }
        let names = line.filterNames
        return patterns.contains { p in names.contains { apusGlob(p, $0) } }
      }
      if chosen.isEmpty { throw HostError("no instruction matches '\(filter)'") }
      entries = HostCase.Entries(chosen)
    }

    deinit {
      pattern.deallocate()
      if native == nil { nativeMemory.deallocate() }
      blank.deallocate()
    }

    /// Fills both regions with what the case of this number finds there.
    private func fill(_ number: UInt64) {
      if patternNumber == number / HostRun.patternSpan { return }
      patternNumber = number / HostRun.patternSpan
      var r = CaseRandom(seed &+ patternNumber &* 0x1234_5678_9ABC_DEF1)
      for at in stride(from: 0, to: HostProcessor.size, by: 4) {
        var value = r.edge()
        // Selectors for what loads segment registers from memory.
        if r.oneIn(6) {
          value = value << 16 | UInt32(HostCase.selectors[r.below(HostCase.selectors.count)])
        }
        pattern.storeBytes(of: value, toByteOffset: at, as: UInt32.self)
      }
      memset(pattern + HostProcessor.codeOffset, 0xF4, 4096)
      cover(with: pattern)
      isBlank = false
    }

    /// Puts 64 KiB into both regions.
    private func cover(with bytes: UnsafeMutableRawPointer) {
      memcpy(nativeMemory, bytes, HostProcessor.size)
      let all = Array(UnsafeRawBufferPointer(start: bytes, count: HostProcessor.size))
      for guest in guests { guest.setCode(0, all) }
    }

    /// Runs one case of the seed; nil when both agree.
    public func run(number: UInt64) -> HostFailure? {
      let test = HostCase(seed: seed, number: number, entries: entries)
      cases += 1
      fill(number)
      let found = compare(test, counting: true)
      if found.isEmpty { return nil }
      let pointers = ["FOP", "FIP", "FDP", "["]
      if found.allSatisfy({ text in pointers.contains { text.hasPrefix($0) } }),
        compare(test).isEmpty
      {
        byRule[HostRules.lostPointers, default: 0] += 1
        return nil
      }
      let (small, differences) = shrink(test, found)
      let line = OpcodeTable.shared.entries[test.entry]
      var operation = "\(line.op)"
      if line.op == .fpuUndefined && test.fixed <= test.bytes.count {
        let modrm = test.bytes[test.fixed - 1]
        operation =
          modrm < 0xC0
          ? "\(hexByte(UInt8(line.opcode)))/\(modrm >> 3 & 7)"
          : "\(hexByte(UInt8(line.opcode))) \(hexByte(modrm))"
      }
      return HostFailure(number: number, text: describe(small, differences), operation: operation)
    }

    /// What differs between the registers of x87, MMX and SSE.
    private static func differences(_ a: FPUState, _ b: FPUState) -> [String] {
      var list: [String] = []
      func note(_ name: String, _ x: UInt32, _ y: UInt32, _ digits: Int) {
        if x != y { list.append("\(name): \(hex(x, digits)), host \(hex(y, digits))") }
      }
      note("FCW", UInt32(a.cw), UInt32(b.cw), 4)
      note("FSW", UInt32(a.statusWord), UInt32(b.statusWord), 4)
      note("empty", UInt32(a.empty), UInt32(b.empty), 2)
      // Processors of today keep the pointers only for a pending exception.
      if b.sw & 0x80 != 0 || b.fop != 0 || b.fip != 0 || b.fdp != 0 {
        note("FOP", UInt32(a.fop), UInt32(b.fop), 4)
        note("FIP", a.fip, b.fip, 8)
        note("FDP", a.fdp, b.fdp, 8)
      }
      note("MXCSR", a.mxcsr, b.mxcsr, 8)
      for n in 0..<8 where a[physical: n] != b[physical: n] {
        list.append("R\(n): \(hostText(a[physical: n])), host \(hostText(b[physical: n]))")
      }
      for n in 0..<8 where a[xmm: n] != b[xmm: n] {
        list.append("XMM\(n): \(hostText(a[xmm: n])), host \(hostText(b[xmm: n]))")
      }
      return list
    }

    /// Runs a case on both sides and tells the differences.
    private func compare(_ original: HostCase, counting: Bool = false) -> [String] {
      var test = original
      let pattern = test.blank ? blank : self.pattern
      if isBlank != test.blank {
        isBlank = test.blank
        cover(with: pattern)
      }
      if test.mode == .small {
        test.state.registers[4] = test.state.registers[4] & 0xFFFF | HostProcessor.stackBase
      }
      let offset =
        Int(test.mode == .flat ? test.state.eip &- HostProcessor.base : test.state.eip) & 0xFFFF
      for (at, bytes) in test.memory {
        (nativeMemory + at).copyMemory(from: bytes, byteCount: bytes.count)
        for guest in guests { guest.setCode(at, bytes) }
      }
      let code = test.bytes + test.tail
      (nativeMemory + offset).copyMemory(from: code, byteCount: code.count)
      for guest in guests { guest.setCode(offset, code) }
      if let native { test.fpu.store(extended: native.before) }
      let repeats =
        test.prefixes.contains(0xF2) || test.prefixes.contains(0xF3) ? HostRun.repeats : 0
      let line = OpcodeTable.shared.entries[test.entry]
      let isRepeat = line.isRepeatable
      var host =
        native?.run(test.mode, test.state, repeats: isRepeat ? repeats : 0)
        ?? HostProcessor.State()
      var hostFPU = native.map { FPUState(frame: $0.after) } ?? FPUState()
      var apusFPU = test.fpu
      // Single-stepped code is always interpreted: for another engine the instruction runs on to the HLT behind it where it can.
      let runsOn =
        engine != .interpreter && !isRepeat && test.tail.isEmpty && !line.endsBlock
        && line.op != .pushf
      var start = test.state
      if runsOn { start.eflags &= ~EFLAGS.tf }
      var apus = guest.run(test.mode, start, &apusFPU, repeats: isRepeat ? repeats : 0)
      if runsOn && apus.vector == 13 && apus.errorCode == 0
        && apus.eip == start.eip &+ UInt32(test.bytes.count)
      {
        apus.vector = 1
        apus.eflags &= ~EFLAGS.rf
      }
      if native == nil {
        (host, hostFPU) = (apus, apusFPU)
        memcpy(nativeMemory, guest.region, HostProcessor.size)
      }
      alter?(test, &host)
      last = HostOutcome(test: test, state: host, fpu: hostFPU)
      var apart: [String] = []
      if let twin {
        var fpu = test.fpu
        _ = twin.run(test.mode, start, &fpu, repeats: isRepeat ? repeats : 0)
        apart = EngineComparison.processor(guest.cpu, twin.cpu)
        if memcmp(guest.region, twin.region, HostProcessor.size) != 0 {
          apart.append("memory: the engines left it different")
        }
      }
      var differences: [String] = []
      if counting { vectors[host.vector, default: 0] += 1 }
      let skip = test.isUndefined && host.vector == 1
      if skip && counting { undefined += 1 }
      func note(_ name: String, _ a: UInt32, _ b: UInt32) {
        if a != b { differences.append("\(name): \(hex(a, 8)), host \(hex(b, 8))") }
      }
      note("vector", UInt32(apus.vector), UInt32(host.vector))
      if differences.isEmpty && !skip {
        if [8, 10, 11, 12, 13, 14, 17].contains(host.vector) {
          let mask: UInt32 = host.vector == 14 ? 7 : 0xFFFF
          note("error code", apus.errorCode & mask, host.errorCode & mask)
        }
        if host.vector == 14 { note("CR2", apus.cr2, host.cr2) }
        note("EIP", apus.eip, host.eip)
        for (n, name) in ["EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"].enumerated() {
          note(name, apus.registers[n], host.registers[n])
        }
        // On the way through the kernel a null selector loses its RPL.
        let visible = { (selector: UInt16) in UInt32(selector < 4 ? 0 : selector) }
        note("DS", visible(apus.ds), visible(host.ds))
        note("ES", visible(apus.es), visible(host.es))
        note("FS", visible(apus.fs), visible(host.fs))
        note("GS", visible(apus.gs), visible(host.gs))
        note("CS", UInt32(apus.cs), UInt32(host.cs))
        note("SS", UInt32(apus.ss), UInt32(host.ss))
        let mask = test.flagsMask(host.vector)
        note("EFLAGS", apus.eflags & mask, host.eflags & mask)
        differences += HostRun.differences(apusFPU, hostFPU)
      }
      for page in stride(from: 0, to: HostProcessor.size, by: 4096) {
        let (a, b) = (guest.region + page, nativeMemory + page)
        if !skip && memcmp(a, b, 4096) != 0 {
          for n in 0..<4096 {
            let (x, y) = (
              a.load(fromByteOffset: n, as: UInt8.self), b.load(fromByteOffset: n, as: UInt8.self)
            )
            if x != y {
              differences.append("[\(hex(page + n, 4))]: \(hex(x, 2)), host \(hex(y, 2))")
            }
          }
        }
        // Both back to the pattern.
        let p = pattern + page
        if memcmp(b, p, 4096) != 0 { last.note(page, UnsafeRawPointer(b), UnsafeRawPointer(p)) }
        if memcmp(b, p, 4096) != 0 { memcpy(b, p, 4096) }
        for guest in guests where memcmp(guest.region + page, p, 4096) != 0 {
          guest.setCode(page, Array(UnsafeRawBufferPointer(start: p, count: 4096)))
        }
      }
      if counting && native == nil { addToDigest(test, apus, apusFPU) }
      if !apart.isEmpty { return apart }
      if !differences.isEmpty {
        let rules = HostRules.explain(
          HostDifferences(test, apus, host, apusFPU, hostFPU, differences), on: identity)
        if !rules.isEmpty {
          if counting {
            byRuleCases += 1
            for rule in rules { byRule["\(rule.name): \(rule.what)", default: 0] += 1 }
          }
          last.rule = rules.map(\.what).joined(separator: "; ")
          last.excused = differences
          return []
        }
      }
      return differences
    }

    /// Adds what Apus made of a case, with what it wrote (in `last`).
    private func addToDigest(
      _ test: HostCase, _ state: HostProcessor.State, _ fpu: FPUState
    ) {
      func add(_ value: UInt64) { digest = (digest ^ value) &* 0x100_0000_01B3 &+ digest >> 29 }
      add(UInt64(state.vector))
      if test.isUndefined && state.vector == 1 { return }
      if state.vector == 14 { add(UInt64(state.cr2)) }
      add(UInt64(state.errorCode))
      add(UInt64(state.eip))
      for value in state.registers { add(UInt64(value)) }
      for value in [state.cs, state.ss, state.ds, state.es, state.fs, state.gs] {
        add(UInt64(value < 4 ? 0 : value))
      }
      add(UInt64(state.eflags & test.flagsMask(state.vector)))
      add(UInt64(fpu.cw) | UInt64(fpu.statusWord) << 16 | UInt64(fpu.empty) << 32)
      add(UInt64(fpu.mxcsr) | UInt64(fpu.fop) << 32)
      add(UInt64(fpu.fip) | UInt64(fpu.fdp) << 32)
      for n in 0..<8 {
        add(fpu[physical: n].significand)
        add(UInt64(fpu[physical: n].signExponent))
        add(fpu[xmm: n].low)
        add(fpu[xmm: n].high)
      }
      for (offset, bytes) in last.written {
        add(UInt64(offset))
        for byte in bytes { add(UInt64(byte)) }
      }
    }

    /// The same difference with as little as possible: registers zero, flags clear, no prefixes, displacements and immediates zero.
    private func shrink(_ test: HostCase, _ found: [String]) -> (HostCase, [String]) {
      var best = test
      var differences = found
      func kinds(_ list: [String]) -> Set<String> {
        Set(list.map { $0.hasPrefix("[") ? "memory" : String($0.prefix { $0 != ":" }) })
      }
      let wanted = kinds(found)
      defer { _ = compare(best) }
      func attempt(_ candidate: HostCase) -> Bool {
        let result = compare(candidate)
        if result.isEmpty || kinds(result) != wanted { return false }
        best = candidate
        differences = result
        return true
      }
      var empty = best
      empty.blank = true
      _ = attempt(empty)
      for _ in 0..<2 {
        var at = 0
        while at < best.prefixes.count {
          var candidate = best
          candidate.bytes.remove(at: at)
          candidate.fixed -= 1
          if !attempt(candidate) { at += 1 }
        }
        for n in 0..<8 where best.state.registers[n] != 0 {
          for value in [0, 1, best.state.registers[n] & 0xFF, best.state.registers[n] & 0xFFFF] {
            var candidate = best
            if candidate.state.registers[n] == value { continue }
            candidate.state.registers[n] = value
            if attempt(candidate) { break }
          }
        }
        for bit in [0, 2, 4, 6, 7, 10, 11] where best.state.eflags >> UInt32(bit) & 1 != 0 {
          var candidate = best
          candidate.state.eflags &= ~(1 << UInt32(bit))
          _ = attempt(candidate)
        }
        if !best.tail.isEmpty {
          var candidate = best
          candidate.tail = []
          candidate.state.eflags |= 0x100
          _ = attempt(candidate)
        }
        for change in HostRun.fpuChanges {
          var candidate = best
          change(&candidate.fpu)
          _ = attempt(candidate)
        }
        for n in best.memory.indices.reversed() {
          var candidate = best
          candidate.memory.remove(at: n)
          if attempt(candidate) { continue }
          for at in best.memory[n].bytes.indices.prefix(32) where best.memory[n].bytes[at] != 0 {
            candidate = best
            candidate.memory[n].bytes[at] = 0
            _ = attempt(candidate)
          }
        }
        for n in best.fixed..<max(best.fixed, best.bytes.count) where best.bytes[n] != 0 {
          var candidate = best
          candidate.bytes[n] = 0
          _ = attempt(candidate)
        }
      }
      return (best, differences)
    }

    /// Registers of x87 and SSE as after reset, one after the other.
    private static var fpuChanges: [(inout FPUState) -> Void] {
      let plain = FPUState()
      var tries: [(inout FPUState) -> Void] = [
        { $0.cw = 0x37F }, { $0.sw &= 0xB8FF }, { $0.sw &= 0xFF00 }, { $0.mxcsr &= 0xFFC0 },
        { $0.mxcsr = 0x1F80 }, { $0.fop = 0 }, { $0.fip = 0 }, { $0.fdp = 0 }, { $0.fcs = 0 },
        { $0.fds = 0 },
      ]
      for n in 0..<8 {
        tries.append { $0[physical: n] = plain[physical: n] }
        tries.append { $0[xmm: n] = plain[xmm: n] }
      }
      return tries
    }

    // MARK: - Tests

    /// The case as a test of its own, with what the host made of it; shrunk where both differ, without what a rule explains.
    /// - Throws: `HostError` for a case that is no test by itself.
    public func test(number: UInt64) throws(HostError) -> StateTest {
      fill(number)
      let test = HostCase(seed: seed, number: number, entries: entries)
      let found = compare(test)
      if found.isEmpty {
        var empty = test
        empty.blank = true
        if !compare(empty).isEmpty { _ = compare(test) }
      } else {
        _ = shrink(test, found)
      }
      if let obstacle = last.obstacle { throw HostError(obstacle) }
      let bytes = last.test.bytes + last.test.tail
      let text = disassembler.text(
        bytes + [UInt8](repeating: 0xF4, count: 15),
        mode: DecodeMode(big: last.test.mode != .small),
        eip: last.test.state.eip)
      var result = last.test(
        region: isBlank ? nil : UnsafeRawBufferPointer(start: pattern, count: HostProcessor.size),
        model: model, note: text?.text ?? "")
      result.name = "host seed \(seed) case \(number)"
      return result
    }

    private func describe(_ test: HostCase, _ differences: [String]) -> String {
      let names = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"]
      let registers = zip(names, test.state.registers).map { "\($0)=\(hex($1, 8).dropFirst(2))" }
      let padded = test.bytes + test.tail + [UInt8](repeating: 0xF4, count: 15)
      let text =
        disassembler.text(padded, mode: DecodeMode(big: test.mode != .small), eip: test.state.eip)?
        .text ?? "(bad)"
      let bytes = (test.bytes + test.tail).map { hexByte($0) }.joined(separator: " ")
      return """
        \(test.mode)  \(text)  (\(bytes))
          \(registers.joined(separator: " ")) eip=\(hex(test.state.eip, 8).dropFirst(2)) \
        eflags=\(hex(test.state.eflags, 8).dropFirst(2))
        \(hostText(test, entry: OpcodeTable.shared.entries[test.entry]))\
          \(differences.prefix(12).joined(separator: "\n  "))
        """
    }
  }
#endif
