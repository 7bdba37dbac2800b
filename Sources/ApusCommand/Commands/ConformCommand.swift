// `apus conform`: vector suites from the command line.
//
// Owns: the options, progress on a terminal, where reports go, the exit code. Must not know: how a test runs.

import ArgumentParser
import CPU
import Conformance
import Host

/// How `apus conform` ends.
enum ConformExit {
  static let passed: Int32 = 0
  /// Something differs.
  static let failed: Int32 = 1
  /// Nothing differs, but files could not be used.
  static let damaged: Int32 = 2
  static let usage: Int32 = 64
  static let host: Int32 = 74

  static let help = """
    Exit codes: 0 everything passed, 1 something differs, 2 nothing differs but a file could not be used, 64 bad usage or nothing \
    to run, 74 the host refused something, 130 interrupted by Ctrl-C, 143 ended by SIGTERM. An interrupted run reports what it has.
    """
}

/// The subcommand's own entry, so that `apus IMAGE...` needs to know nothing of it.
enum ConformProgram {
  static func main(_ arguments: [String]) -> Never {
    HostSignals.ignorePipe()
    let json = JSONTarget.valued(in: arguments)
    do {
      try OptionsTwice.check(arguments, help: help(for: arguments.first))
      var command = try ConformCommand.parseAsRoot(arguments)
      try command.run()
      ApusProgram.finish(ConformExit.passed)
    } catch let failure as Failure {
      ApusProgram.fail(failure, command: "apus conform", json: json)
    } catch let exit as ExitCode {
      ApusProgram.finish(exit.rawValue)
    } catch {
      ApusProgram.endParsing(
        text: ConformCommand.fullMessage(for: error),
        isSuccess: ConformCommand.exitCode(for: error).isSuccess, command: "apus conform",
        json: json,
        subcommand: arguments.first.flatMap { parts.contains($0) ? "apus conform \($0)" : nil })
    }
  }

  /// The subcommands.
  static let parts = ["run", "merge", "host", "program", "engines", "devices", "fuzz"]

  /// The help of a subcommand; of the default one for what is none.
  static func help(for part: String?) -> String {
    switch part {
    case "merge": ConformMerge.helpMessage()
    case "host": ConformHost.helpMessage()
    case "program": ConformPrograms.helpMessage()
    case "engines": ConformEngines.helpMessage()
    case "devices": ConformDevices.help
    case "fuzz": ConformFuzz.helpMessage()
    default: ConformSuites.helpMessage()
    }
  }

  /// Prints to standard output.
  static func print(_ text: String) { HostFiles.print(Array((text + "\n").utf8)) }

  /// Refuses, before anything runs, files that could not be written at its end.
  static func check(_ outputs: String?...) throws {
    for case let path? in outputs where path != "-" {
      if let reason = HostFiles.refusalToWrite(path) {
        throw Failure.usage("\(path): \(reason)", file: path)
      }
    }
  }

  /// Writes the machine-readable forms.
  static func write(_ report: ConformanceReport, json: String?, junit: String?) throws {
    if json == "-" && junit == "-" {
      throw Failure.usage("--json - and --junit -: only one of them can be on standard output")
    }
    for (path, bytes) in [(json, report.json()), (junit, Array(report.junit().utf8))] {
      guard let path else { continue }
      if path == "-" {
        HostFiles.print(bytes)
        continue
      }
      do { try HostFiles.writeAtomically(path, bytes) } catch {
        throw Failure.host("\(path): \(error)", file: path)
      }
    }
  }

  /// The engine of a name.
  static func engine(_ name: String) throws -> Engine {
    guard let engine = Engine(rawValue: name) else {
      throw Failure.usage("--engine \(name): interpreter, translator or lockstep")
    }
    if let reason = engine.unavailableForTests {
      throw Failure.usage("--engine \(name): \(reason)")
    }
    return engine
  }

  /// The x87 of a name; nil for none.
  static func fpu(_ name: String?, _ engine: Engine) throws -> FPUUnit? {
    guard let name else { return nil }
    guard let unit = FPUUnit(rawValue: name) else {
      throw Failure.usage("--fpu \(name): software or host")
    }
    if let reason = unit.unavailable(with: engine) {
      throw Failure.usage("--fpu \(name): \(reason)")
    }
    return unit
  }

  /// The end of a range of cases.
  static func end(first: UInt64, cases: UInt64, only: UInt64?) throws -> UInt64 {
    let (end, overflow) =
      only.map { $0.addingReportingOverflow(1) } ?? first.addingReportingOverflow(cases)
    if overflow { throw Failure.usage("numbers of cases end at \(UInt64.max - 1)") }
    if only == nil && cases == 0 { throw Failure.usage("--cases 0: nothing to run") }
    return end
  }

  /// Ends by the report.
  static func exit(for report: ConformanceReport, problems: Int = 0) throws {
    try ConformInterrupt.exitIfRequested()
    if report.failed > 0 { throw ExitCode(ConformExit.failed) }
    if report.damaged + problems > 0 { throw ExitCode(ConformExit.damaged) }
  }
}

struct ConformCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus conform",
    abstract: "Runs test suites of processors and devices against Apus's own.",
    discussion: ConformExit.help,
    subcommands: [
      ConformSuites.self, ConformMerge.self, ConformHost.self, ConformPrograms.self,
      ConformEngines.self, ConformDevices.self, ConformFuzz.self, ConformUndisturbed.self,
    ],
    defaultSubcommand: ConformSuites.self)
}

struct ConformSuites: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Runs vector files (the default).",
    discussion: """
      Each SUITE is a folder, looked through to any depth, or a file: SingleStepTests in MOO or JSON for 8086, 8088, 80286 and \
      80386, TestFloat vectors named OPERATION.ROUNDING.PRECISION.txt, and tests in JSON with images and expected registers \
      (see the documentation); each plain or gzip-compressed. Beside the files are obeyed: metadata.json (masks of undefined flags), differs-on-386plus.tsv, revocation_list.txt.
      """)

  @Argument(help: ArgumentHelp("Folders and files.", valueName: "suite"))
  var suites: [String]
  @Option(
    help: ArgumentHelp(
      "386, 486, pentium, pentium-mmx, pentium2, pentium3 or pentium4. (default: 386 for the 80386's tests, else pentium2)",
      valueName: "model"))
  var cpu: String?
  @Option(
    help: ArgumentHelp(
      "interpreter, translator, or lockstep: each test in both, which must agree in everything.",
      valueName: "engine"))
  var engine = "interpreter"
  @Option(
    help: ArgumentHelp(
      "What carries out x87 instructions: software, or host, which only translated code does. (default: what the engine does best)",
      valueName: "unit"))
  var fpu: String?
  @Option(
    help: ArgumentHelp(
      "Only opcodes, or suite/opcode, that match; * and ?, several separated by commas.",
      valueName: "pattern"))
  var filter = ""
  @Option(help: ArgumentHelp("Threads. (default: one for each processor)", valueName: "n"))
  var jobs: Int?
  @Option(help: ArgumentHelp("Every N-th test, from the K-th on.", valueName: "k/n"))
  var shard: String?
  @Option(
    help: ArgumentHelp(
      "Fills what tests do not mention (upper halves of registers) and demands that it stays.",
      valueName: "n"))
  var seed: UInt64 = 0
  @Option(
    help: ArgumentHelp("Write the report as JSON; - is standard output.", valueName: "file"))
  var json: String?
  @Option(
    help: ArgumentHelp("Write the report as JUnit XML.", valueName: "file"))
  var junit: String?
  @Option(
    help: ArgumentHelp(
      "Show one test in full: OPCODE:INDEX or SUITE/OPCODE:INDEX.", valueName: "test"))
  var explain: String?
  @Option(
    help: ArgumentHelp(
      "Tests to leave out: lines of opcode, index, hash, reason, or hash, reason, separated by tabs; repeatable.",
      valueName: "file"))
  var exclude: [String] = []
  @Option(help: ArgumentHelp("Failing tests shown for each opcode.", valueName: "n"))
  var show = 3
  @Flag(help: "Show every opcode in the summary.")
  var all = false

  /// K/N as numbers.
  static func shard(_ text: String?) throws -> (Int, Int)? {
    guard let text else { return nil }
    let parts = text.split(separator: "/").map { Int($0) }
    guard parts.count == 2, let k = parts[0], let n = parts[1], n > 0, k > 0, k <= n else {
      throw Failure.usage("--shard \(text): K/N with K from 1 to N")
    }
    return (k, n)
  }

  mutating func run() throws {
    try ConformProgram.check(json, junit)
    if suites.isEmpty { throw Failure.usage("which suite? (apus conform --help tells more)") }
    var options = ConformanceOptions()
    options.engine = try ConformProgram.engine(engine)
    options.fpu = try ConformProgram.fpu(fpu, options.engine)
    if let cpu {
      guard let model = CPUModel.named(cpu) else {
        let names = CPUModel.all.map(\.name).joined(separator: ", ")
        throw Failure.usage("--cpu \(cpu): the models are \(names)")
      }
      options.model = model
    }
    options.seed = seed
    options.jobs = jobs ?? HostThread.processorCount
    if options.jobs < 1 || options.jobs > 1024 {
      throw Failure.usage("--jobs \(options.jobs): 1 to 1024")
    }
    if let part = try ConformSuites.shard(shard) { options.shard = part }
    var pattern = filter
    var index: Int?
    if let explain {
      let parts = explain.split(separator: ":")
      guard parts.count == 2, let number = Int(parts[1]) else {
        throw Failure.usage("--explain \(explain): OPCODE:INDEX, say 00:1083")
      }
      pattern = String(parts[0])
      index = number
    }
    let selection = SuiteFiles(paths: suites, exclude: exclude, filter: pattern)
    for problem in selection.problems { ApusProgram.say(["apus conform: \(problem)"]) }
    if selection.files.isEmpty {
      throw Failure.usage(
        pattern.isEmpty ? "no vector files there" : "no vector files match '\(pattern)'")
    }
    if let index {
      let texts: [String]
      do {
        texts = try TestExplanation.texts(selection.files, index: index, options: options)
      } catch let error as VectorFileError {
        ApusProgram.say(["apus conform: \(error)"])
        throw ExitCode(ConformExit.damaged)
      }
      if texts.isEmpty { throw Failure.usage("no test \(index) in '\(pattern)'") }
      for text in texts { ConformProgram.print(text) }
      return
    }
    try ConformInterrupt.watch()
    options.isCancelled = { ConformInterrupt.isRequested }
    var progress = ConformProgress("files")
    let report: ConformanceReport
    do {
      report = try ConformanceRun(files: selection.files, options: options).run {
        done, total, failed in
        progress.show(UInt64(done), of: UInt64(total), failed: failed)
      }
      progress.clear()
    } catch { throw Failure.host(error.reason) }
    try ConformProgram.write(report, json: json, junit: junit)
    if json != "-" && junit != "-" {
      ConformProgram.print(report.text(shown: show, all: all))
      ConformProgram.print("\(Double(Int(report.seconds * 10)) / 10) s")
    }
    try ConformProgram.exit(for: report, problems: selection.problems.count)
  }
}

struct ConformMerge: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge", abstract: "Joins the JSON reports of shards.")

  @Argument(
    help: ArgumentHelp("Reports that --json wrote.", valueName: "report"))
  var reports: [String]
  @Option(
    help: ArgumentHelp("Write the joined report as JSON.", valueName: "file"))
  var json: String?
  @Option(help: ArgumentHelp("Write it as JUnit XML.", valueName: "file"))
  var junit: String?
  @Option(help: ArgumentHelp("Failing tests shown for each opcode.", valueName: "n"))
  var show = 3

  mutating func run() throws {
    try ConformProgram.check(json, junit)
    var all: [ConformanceReport] = []
    for path in reports {
      do {
        let bytes = try HostFiles.read(path, limit: 1 << 30)
        all.append(try ConformanceReport(json: bytes, path: path))
      } catch let error as HostError {
        throw Failure.usage("\(path): \(error.reason)")
      } catch {
        throw Failure.usage("\(error)")
      }
    }
    let report = ConformanceReport.merged(all)
    try ConformProgram.write(report, json: json, junit: junit)
    if json != "-" && junit != "-" { ConformProgram.print(report.text(shown: show)) }
    try ConformProgram.exit(for: report)
  }
}
