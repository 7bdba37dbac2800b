// `apus conform engines`: translated code against the interpreter.
//
// Owns: its options and output. Must not know: how a program is made or run.

import ArgumentParser
import CPU
import Conformance
import Host
import Translator

struct ConformEngines: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "engines",
    abstract: "Compares translated code with the interpreter in random programs.",
    discussion: """
      Programs of a few to some dozen instructions, in all modes, with faults, interrupts, self-modification and page tables with \
      holes, run in both engines and are stopped at random places; the whole state of the processor, counts of instructions and \
      memory are compared. A program that differs is shrunk and shown; --only runs it again.
      """)

  @Option(help: ArgumentHelp("How many programs.", valueName: "n"))
  var cases: UInt64 = 20_000
  @Option(help: ArgumentHelp("The seed; the same programs from the same seed.", valueName: "n"))
  var seed: UInt64 = 1
  @Option(help: ArgumentHelp("The number of the first program.", valueName: "n"))
  var first: UInt64 = 0
  @Option(help: ArgumentHelp("Only this program.", valueName: "n"))
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
    name: .customLong("translator-disable"),
    help: ArgumentHelp(
      "Leave out an optimisation of the translator; repeatable.", valueName: "name"))
  var translatorDisable: [String] = []
  @Option(help: ArgumentHelp("Write a report that merge can join.", valueName: "file"))
  var json: String?
  @Option(help: ArgumentHelp("Write the report as JUnit XML.", valueName: "file"))
  var junit: String?
  @Option(help: ArgumentHelp("End after so many programs that differ.", valueName: "n"))
  var show = 3

  mutating func run() throws {
    try ConformProgram.check(json, junit)
    guard let model = CPUModel.named(cpu) else {
      let names = CPUModel.all.map(\.name).joined(separator: ", ")
      throw Failure.usage("--cpu \(cpu): the models are \(names)")
    }
    var options = TranslatorOptions.all
    for name in translatorDisable {
      guard let option = TranslatorOptions.named(name) else {
        let names = TranslatorOptions.named.map(\.name).joined(separator: ", ")
        throw Failure.usage("--translator-disable \(name): there are \(names)")
      }
      options.remove(option)
    }
    #if os(Linux) && arch(x86_64) && canImport(Glibc)
      let end = try ConformProgram.end(first: first, cases: cases, only: only)
      let run: EngineRun
      do { run = try EngineRun(seed: seed, model: model, filter: filter, options: options) } catch {
        // A filter without a match is the user's business, the rest the host's.
        throw error.reason.hasPrefix("no instruction")
          ? Failure.usage("--filter: \(error.reason)") : Failure.host(error.reason)
      }
      let start = HostClock.nanoseconds()
      try ConformInterrupt.watch()
      var progress = ConformProgress("programs")
      var failed = 0
      var file = FileReport(suite: "engines", name: "seed \(seed)")
      var number = only ?? first
      let isQuiet = json == "-" || junit == "-"
      while number < end, failed < show, !ConformInterrupt.isRequested {
        if let failure = run.run(number: number) {
          failed += 1
          file.fail(
            FailureRecord(
              index: Int(clamping: failure.number), name: "program",
              differences: failure.text.split(separator: "\n").map(String.init)))
          progress.clear()
          if !isQuiet { ConformProgram.print("program \(failure.number): \(failure.text)\n") }
        }
        number &+= 1
        progress.show(run.cases, of: end &- (only ?? first), failed: failed)
      }
      progress.clear()
      let seconds = Double(HostClock.nanoseconds() &- start) / 1e9
      file.passed = Int(clamping: run.cases) - failed
      var report = ConformanceReport(model: model.name)
      report.files = [file]
      report.seconds = seconds
      if ConformInterrupt.isRequested { report.interrupted = true }
      try ConformProgram.write(report, json: json, junit: junit)
      if !isQuiet {
        let ends = run.ends.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        ConformProgram.print("ends: \(ends.joined(separator: ", "))")
        ConformProgram.print(
          "seed \(seed): \(run.cases) programs, \(run.instructions) instructions, \(failed) differ, "
            + "\(Double(Int(seconds * 10)) / 10) s")
        if report.interrupted == true { ConformProgram.print(ConformanceReport.interruptedText) }
      }
      try ConformProgram.exit(for: report)
    #else
      throw Failure.host("conform engines needs an x86-64 Linux host")
    #endif
  }
}
