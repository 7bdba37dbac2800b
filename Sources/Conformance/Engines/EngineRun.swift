// Compares translated code with the interpreter, program by program.
//
// Owns: running both, what is compared and when, shrinking, the words of a failure. Must not know: the command line.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU
  import Glibc
  import Host
  import Translator

  /// A difference between the engines.
  public struct EngineFailure: Sendable {
    public var number: UInt64
    public var text: String
  }

  /// Runs random programs in both engines.
  public final class EngineRun {
    private let interpreter: EngineWorld
    private let translator: EngineWorld
    private let seed: UInt64
    private let model: CPUModel
    private let lists: EngineCase.Lists
    /// Programs run, instructions retired, and how many stretches ended in each way.
    public private(set) var cases: UInt64 = 0
    public private(set) var instructions: UInt64 = 0
    public private(set) var ends: [String: Int] = [:]
    /// Whether a program begins with what earlier ones left in the translator.
    public var keepsCode = true

    /// - Parameters:
    ///   - filter: operations or opcodes, * and ?, separated by commas; empty: all.
    ///   - options: what the translator may do.
    public init(
      seed: UInt64, model: CPUModel, filter: String = "", options: TranslatorOptions = .all
    ) throws(HostError) {
      self.seed = seed
      self.model = model
      interpreter = try EngineWorld(model: model, options: nil, seed: seed)
      translator = try EngineWorld(model: model, options: options, seed: seed)
      let patterns = filter.split(separator: ",").map { String($0).lowercased() }
      let entries = EngineCase.entries(model, patterns)
      if entries.isEmpty { throw HostError("no instruction matches '\(filter)'") }
      lists = EngineCase.Lists(entries, model.features, hasTemplates: patterns.isEmpty)
    }

    /// How many instructions ran in translated code's stead, and blocks were translated.
    var statistics: ExecutionStatistics { translator.cpu.statistics }

    /// Runs one program of the seed; nil when both engines agree.
    public func run(number: UInt64) -> EngineFailure? {
      let test = EngineCase(seed: seed, number: number, lists: lists)
      cases += 1
      if !keepsCode { translator.cpu.dropAllCode() }
      guard let found = compare(test, counting: true) else { return nil }
      return EngineFailure(number: number, text: describe(shrink(test, found)))
    }

    /// Where and how the engines differ.
    private struct Found {
      var round: Int
      var stretch: Int
      var differences: [String]
      var before: String
      var test: EngineCase
      /// It depends on what was translated earlier.
      var needsHistory = false
    }

    private func compare(_ test: EngineCase, counting: Bool = false) -> Found? {
      let found = runBoth(test, counting)
      // What differed must not show again in the next program.
      if found != nil { EngineComparison.makeEqual(interpreter.cpu, translator.cpu) }
      return found
    }

    private func runBoth(_ test: EngineCase, _ counting: Bool) -> Found? {
      let worlds = [interpreter, translator]
      for world in worlds {
        world.load(test)
        world.cpu.s.pointee.retired = 1000
      }
      for (n, round) in test.rounds.enumerated() {
        for world in worlds { world.start(test, round) }
        var found = Found(round: n, stretch: 0, differences: [], before: "", test: test)
        for (m, stretch) in round.stretches.enumerated() {
          found.stretch = m
          var exits: [RunExit] = []
          for world in worlds {
            if let poke = stretch.poke { world.poke(test.offset + poke.offset, poke.value) }
            if let vector = stretch.vector { world.interrupt(vector) }
            world.cpu.setDeadline(world.cpu.instructionCount &+ stretch.count)
            exits.append(world.cpu.run())
          }
          if exits[0] != exits[1] {
            found.differences.append("ends: \(exits[0]), translated \(exits[1])")
          }
          found.differences += differences()
          if !found.differences.isEmpty { return found }
          if counting { ends["\(exits[0])", default: 0] += 1 }
          if exits[0] != .deadline { break }
        }
        if counting { instructions &+= interpreter.cpu.instructionCount &- 1000 }
        found.differences += memoryDifferences()
        if !found.differences.isEmpty { return found }
      }
      return nil
    }

    private func differences() -> [String] {
      var list = EngineComparison.processor(interpreter.cpu, translator.cpu)
      if interpreter.portLog != translator.portLog {
        list.append("what devices were told, or when")
      }
      return list
    }

    private func memoryDifferences() -> [String] {
      var list: [String] = []
      if memcmp(interpreter.deviceBytes, translator.deviceBytes, 0x10000) != 0 {
        list.append("the memory of the device")
      }
      for page in EngineWorld.ramPages {
        list += EngineComparison.memory(
          interpreter.memory, translator.memory, page..<page + 4096)
      }
      return list
    }

    // MARK: - Shrinking

    /// The same with as little as possible.
    private func shrink(_ test: EngineCase, _ first: Found) -> Found {
      var best = first
      func attempt(_ candidate: EngineCase) -> Bool {
        translator.cpu.dropAllCode()
        guard var found = compare(candidate) else { return false }
        found.test = candidate
        best = found
        return true
      }
      if !attempt(test) {
        best.needsHistory = true
        return best
      }
      var candidate = best.test
      candidate.rounds = [candidate.rounds[best.round]]
      if !attempt(candidate) {
        candidate = best.test
        candidate.rounds = Array(candidate.rounds[...best.round])
        _ = attempt(candidate)
      }
      for _ in 0..<3 {
        let before = best.test
        // Nothing behind the place where it shows.
        candidate = best.test
        candidate.rounds[best.round].stretches = Array(
          candidate.rounds[best.round].stretches[...best.stretch])
        _ = attempt(candidate)
        // Stretches joined, without interrupts and changes.
        for r in best.test.rounds.indices {
          var m = 0
          while r < best.test.rounds.count, m < best.test.rounds[r].stretches.count {
            candidate = best.test
            candidate.rounds[r].stretches[m].vector = nil
            candidate.rounds[r].stretches[m].poke = nil
            if candidate.rounds[r].stretches[m] != best.test.rounds[r].stretches[m] {
              _ = attempt(candidate)
            }
            candidate = best.test
            let removed = candidate.rounds[r].stretches.remove(at: m)
            if m < candidate.rounds[r].stretches.count {
              candidate.rounds[r].stretches[m].count += removed.count
            }
            if candidate.rounds[r].stretches.isEmpty || !attempt(candidate) { m += 1 }
          }
        }
        // The fewest instructions in the last stretch.
        if let last = best.test.rounds[best.round].stretches.indices.last {
          var low: UInt64 = 0
          var high = best.test.rounds[best.round].stretches[last].count
          while high - low > 1 {
            let middle = low + (high - low) / 2
            candidate = best.test
            let round = min(best.round, candidate.rounds.count - 1)
            guard last < candidate.rounds[round].stretches.count else { break }
            candidate.rounds[round].stretches[last].count = middle
            if attempt(candidate) { high = middle } else { low = middle }
          }
        }
        for n in best.test.code.indices
        where !EngineRun.isNOP(best.test.code[n]) {
          candidate = best.test
          // One instruction of the same length.
          candidate.code[n] = [UInt8](repeating: 0x66, count: candidate.code[n].count - 1) + [0x90]
          _ = attempt(candidate)
        }
        // From the end, so that no jump back changes.
        var n = best.test.code.count - 1
        while n >= 0 {
          if n < best.test.code.count, EngineRun.isNOP(best.test.code[n]) {
            candidate = best.test
            candidate.code.remove(at: n)
            for r in candidate.rounds.indices where candidate.rounds[r].start > n {
              candidate.rounds[r].start -= 1
            }
            _ = attempt(candidate)
          }
          n -= 1
        }
        for n in best.test.holes.indices.reversed() {
          candidate = best.test
          candidate.holes.remove(at: n)
          _ = attempt(candidate)
        }
        for r in best.test.rounds.indices {
          candidate = best.test
          candidate.rounds[r].segments = 0
          _ = attempt(candidate)
          for n in 0..<8 where best.test.rounds[r].registers[n] != 0 {
            for value in [0, 1, best.test.rounds[r].registers[n] & 0xFFFF] {
              candidate = best.test
              candidate.rounds[r].registers[n] = value
              if candidate.rounds[r].registers != best.test.rounds[r].registers,
                attempt(candidate)
              {
                break
              }
            }
          }
          for bit in [0, 2, 4, 6, 7, 8, 9, 10, 11, 12, 13, 18]
          where best.test.rounds[r].eflags >> UInt32(bit) & 1 != 0 {
            candidate = best.test
            candidate.rounds[r].eflags &= ~(1 << UInt32(bit))
            _ = attempt(candidate)
          }
        }
        if before.bytes == best.test.bytes && before.rounds.count == best.test.rounds.count {
          break
        }
      }
      return best
    }

    private static func isNOP(_ bytes: [UInt8]) -> Bool {
      bytes.last == 0x90 && bytes.dropLast().allSatisfy { $0 == 0x66 }
    }

    // MARK: - Words

    private func describe(_ found: Found) -> String {
      let test = found.test
      let disassembler = Disassembler(model: model)
      var lines = [
        "\(test.world.rawValue), program at \(hex(test.offset, 4)) of the code region at "
          + "\(hex(test.home.rawValue, 5))"
      ]
      if found.needsHistory { lines.append("only after earlier programs; not shrunk") }
      var eip = test.codeBase &+ UInt32(test.offset)
      let padded = test.bytes + [UInt8](repeating: 0, count: 16)
      var at = 0
      while at < test.bytes.count {
        let bytes = Array(padded[at..<min(at + 16, padded.count)])
        let (text, length) =
          disassembler.text(bytes, mode: DecodeMode(big: test.world.isBig), eip: eip) ?? (
            "(bad)", 1
          )
        let count = max(1, length)
        let code = padded[at..<min(at + count, padded.count)].map { hexByte($0) }
        lines.append("  \(hex(eip, 8).dropFirst(2))  \(text)   (\(code.joined(separator: " ")))")
        at += count
        eip &+= UInt32(count)
      }
      for (n, round) in test.rounds.enumerated() {
        let names = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"]
        let registers = zip(names, round.registers).map { "\($0)=\(hex($1, 8).dropFirst(2))" }
        lines.append(
          "round \(n) at instruction \(round.start): \(registers.joined(separator: " ")) "
            + "eflags=\(hex(round.eflags, 8).dropFirst(2)) segments=\(hex(round.segments, 8))")
        let stretches = round.stretches.map { s in
          "\(s.count)" + (s.vector.map { " after interrupt \(hex($0, 2))" } ?? "")
            + (s.poke.map { " after \(hex($0.value, 2)) is put at +\($0.offset)" } ?? "")
        }
        lines.append("  runs \(stretches.joined(separator: ", "))")
      }
      for hole in test.holes {
        lines.append("page table entry \(hex(hole.index, 3)) kind \(hole.kind)")
      }
      lines.append("after run \(found.stretch) of round \(found.round):")
      lines += found.differences.prefix(16).map { "  " + $0 }
      return lines.joined(separator: "\n")
    }
  }
#endif
