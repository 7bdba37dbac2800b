// `apus conform host`: the host's processor as oracle.
//
// Owns: its options and output. Must not know: how a case is made or run.

import ArgumentParser
import CPU
import Conformance
import Host

struct ConformHost: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "host",
    abstract: "Compares random instructions with the host's own processor (x86-64 Linux).",
    discussion: """
      Unprivileged instructions (integer, far transfers, x87, MMX, SSE, SSE2) run natively, one at a time, in 16-bit and 32-bit segments \
      over 64 KiB of memory, and in Apus; registers, defined flags, memory, exception vector, error code and CR2 are compared. A case \
      that differs is shrunk and shown; --only runs it again, --write-test makes a test of it that apus conform FILE runs anywhere. \
      The report names the processor. Where processors of different makers and families rightly differ, the manual rules in Apus, and the \
      report counts the difference by a named rule; --rules shows them all.
      """)

  @Option(help: ArgumentHelp("How many cases.", valueName: "n"))
  var cases: UInt64 = 100_000
  @Option(help: ArgumentHelp("The seed; the same cases from the same seed.", valueName: "n"))
  var seed: UInt64 = 1
  @Option(help: ArgumentHelp("The number of the first case.", valueName: "n"))
  var first: UInt64 = 0
  @Option(help: ArgumentHelp("Only this case.", valueName: "n"))
  var only: UInt64?
  @Option(
    help: ArgumentHelp(
      "Only operations (say adc) or opcodes (say 0fa4) that match; * and ?, separated by commas.",
      valueName: "pattern"))
  var filter = ""
  @Option(
    help: ArgumentHelp(
      "386, 486, pentium, pentium-mmx, pentium2, pentium3 or pentium4.", valueName: "model"))
  var cpu = "pentium4"
  @Option(
    help: ArgumentHelp(
      "interpreter, translator, or lockstep: each case in both, which must agree in everything.",
      valueName: "engine"))
  var engine = "interpreter"
  @Option(
    help: ArgumentHelp(
      "What carries out x87 instructions: software, or host, which only translated code does. (default: what the engine does best)",
      valueName: "unit"))
  var fpu: String?
  @Option(
    help: ArgumentHelp(
      "Write the first case that differs (with --only: that case) as a test in JSON; further ones to FILE-2 and so on.",
      valueName: "file"))
  var writeTest: String?
  @Option(help: ArgumentHelp("Cases shown for each operation.", valueName: "n"))
  var show = 2
  @Option(help: ArgumentHelp("Every N-th case, from the K-th on.", valueName: "k/n"))
  var shard: String?
  @Option(
    help: ArgumentHelp("Write a report that merge can join.", valueName: "file"))
  var json: String?
  @Option(help: ArgumentHelp("Write the report as JUnit XML.", valueName: "file"))
  var junit: String?
  @Flag(help: "Show the rules by which processors differ, and which of them apply here.")
  var rules = false

  mutating func run() throws {
    try ConformProgram.check(json, junit, writeTest)
    guard let model = CPUModel.named(cpu) else {
      let names = CPUModel.all.map(\.name).joined(separator: ", ")
      throw Failure.usage("--cpu \(cpu): the models are \(names)")
    }
    let engine = try ConformProgram.engine(engine)
    let fpu = try ConformProgram.fpu(fpu, engine)
    let part = try ConformSuites.shard(shard) ?? (1, 1)
    #if os(Linux) && arch(x86_64) && canImport(Glibc)
      if rules {
        showRules()
        return
      }
      let end = try ConformProgram.end(first: first, cases: cases, only: only)
      let run: HostRun
      do {
        run = try HostRun(
          seed: seed, model: model, filter: filter, engine: engine, fpu: fpu)
      } catch {
        // A filter without a match is the user's business, the rest the host's.
        throw error.reason.hasPrefix("no instruction")
          ? Failure.usage("--filter: \(error.reason)") : Failure.host(error.reason)
      }
      var failed = 0
      var byOperation: [String: Int] = [:]
      var file = FileReport(suite: "host", name: "seed \(seed)")
      let isQuiet = json == "-" || junit == "-"
      try ConformInterrupt.watch()
      var progress = ConformProgress("cases")
      let start = HostClock.nanoseconds()
      let begin = only ?? (first &+ UInt64(part.0 - 1))
      var number = begin
      while number < end, !ConformInterrupt.isRequested {
        if let failure = run.run(number: number) {
          failed += 1
          byOperation[failure.operation, default: 0] += 1
          file.fail(
            FailureRecord(
              index: Int(clamping: failure.number), name: failure.operation,
              differences: failure.text.split(separator: "\n").map(String.init)))
          if byOperation[failure.operation]! <= show && !isQuiet {
            progress.clear()
            ConformProgram.print("case \(failure.number): \(failure.text)")
            if let writeTest, only == nil { try write(run, number, to: writeTest, failed) }
          }
        }
        number &+= UInt64(part.1)
        if run.cases & 63 == 0 {
          progress.show(run.cases, of: (end &- begin) / UInt64(part.1), failed: failed)
        }
      }
      if let writeTest, let only { try write(run, only, to: writeTest, 1) }
      progress.clear()
      let seconds = Double(HostClock.nanoseconds() &- start) / 1e9
      file.passed = Int(clamping: run.cases) - failed
      file.byRule = run.byRule
      var report = ConformanceReport(model: model.name)
      report.files = [file]
      report.seconds = seconds
      report.host = run.identity.text
      if ConformInterrupt.isRequested { report.interrupted = true }
      try ConformProgram.write(report, json: json, junit: junit)
      if isQuiet {
        try ConformProgram.exit(for: report)
        return
      }
      ConformProgram.print("host: \(run.identity.text)")
      for (name, count) in byOperation.sorted(by: { $0.key < $1.key }) {
        ConformProgram.print("\(name): \(count) differ")
      }
      for (rule, count) in run.byRule.sorted(by: { $0.key < $1.key }) {
        ConformProgram.print("  by rule \(count): \(rule)")
      }
      let ends = run.vectors.sorted { $0.key < $1.key }.map {
        $0.key == 1 ? "carried out \($0.value)" : "#\($0.key) \($0.value)"
      }
      ConformProgram.print("ends: \(ends.joined(separator: ", "))")
      ConformProgram.print(
        "seed \(seed): \(run.cases) cases, \(failed) differ, \(run.undefined) of undefined result, "
          + "\(Double(Int(seconds * 10)) / 10) s")
      if report.interrupted == true { ConformProgram.print(ConformanceReport.interruptedText) }
      try ConformProgram.exit(for: report)
    #else
      throw Failure.host("conform host needs an x86-64 Linux host")
    #endif
  }

  #if os(Linux) && arch(x86_64) && canImport(Glibc)
    private func showRules() {
      let host = HostIdentity.current
      ConformProgram.print("host: \(host.text)")
      for rule in HostRules.all {
        let mark =
          rule.isCompared ? (rule.applies(to: host) ? "applies" : "not here") : "never compared"
        ConformProgram.print(
          "\(rule.name) (\(rule.processorText); \(mark))\n  host: \(rule.what)\n  Apus: \(rule.manual)"
        )
      }
    }

    /// Writes a case as a test; the n-th under its own name.
    private func write(_ run: HostRun, _ number: UInt64, to path: String, _ n: Int) throws {
      var name = path
      if n > 1 {
        let stem = path.hasSuffix(".json") ? String(path.dropLast(5)) : path
        name = "\(stem)-\(n)" + (path.hasSuffix(".json") ? ".json" : "")
      }
      let test: StateTest
      do { test = try run.test(number: number) } catch {
        ConformProgram.print("  no test of case \(number): \(error.reason)")
        return
      }
      do { try HostFiles.writeAtomically(name, Array(test.json().utf8)) } catch {
        throw Failure.host("\(name): \(error)")
      }
      ConformProgram.print("  written to \(name): apus conform \(name)")
    }
  #endif
}
