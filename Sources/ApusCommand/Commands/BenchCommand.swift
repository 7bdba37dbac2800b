// `apus bench`: how long Apus and others take for the same work.
//
// Owns: the options, who takes part, where results go, the exit code. Must not know: how anything is built, run or drawn.

import ArgumentParser
import Benchmark
import Host

/// The subcommand's own entry, so that `apus IMAGE...` needs to know nothing of it.
enum BenchProgram {
  static func main(_ arguments: [String]) -> Never {
    HostSignals.ignorePipe()
    let json = JSONTarget.valued(in: arguments)
    do {
      try OptionsTwice.check(arguments, help: BenchCommand.helpMessage())
      var command = try BenchCommand.parse(arguments)
      try command.run()
      ApusProgram.finish(0)
    } catch let failure as Failure {
      ApusProgram.fail(
        failure, command: "apus bench", json: json)
    } catch let exit as ExitCode {
      ApusProgram.finish(exit.rawValue)
    } catch {
      ApusProgram.endParsing(
        text: BenchCommand.fullMessage(for: error),
        isSuccess: BenchCommand.exitCode(for: error).isSuccess, command: "apus bench",
        json: json)
    }
  }
}

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus bench",
    abstract: "Measures Apus against QEMU, Bochs and the host's processor.",
    discussion: """
      Small kernels, each one kind of work, are built with the clang and lld that come with Swift: one bootable disk image for all \
      emulators, and a 32-bit Linux program for the host. Everyone runs in turn; what counts is the processor time of the whole \
      process, and every checksum must be right.

      Kernels: \(Kernel.all.map(\.name).joined(separator: " ")); start is the way from the start of the process to a boot sector.

      Exit codes: 0 everything ran and agreed, 1 something failed or a checksum is wrong, 64 bad usage, 74 the host refused something \
      or lacks a tool.
      """)

  @Argument(
    help: ArgumentHelp("Kernels to run. (default: start and all)", valueName: "kernel"))
  var kernels: [String] = []
  @Option(help: ArgumentHelp("Runs of each; the median counts.", valueName: "n"))
  var runs = 3
  @Flag(help: "A tenth of the work.")
  var quick = false
  @Option(help: ArgumentHelp("Rounds of each kernel instead of its own number.", valueName: "n"))
  var rounds: UInt32?
  @Flag(help: "Kernels without page tables of their own run under paging (4K pages), too.")
  var paging = false
  @Option(
    help: ArgumentHelp(
      "Apus's engines, separated by commas. (default: the one a plain run has)", valueName: "list"))
  var engines: String?
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "More options for runs of Apus, separated by spaces (--cpu pentium4 and the like).",
      valueName: "text"))
  var apusOptions: String?
  @Option(
    help: ArgumentHelp(
      "Who else runs: qemu, bochs, native, separated by commas, or none. What is not installed is left out.",
      valueName: "list"))
  var against = "qemu,bochs,native"
  @Option(
    help: ArgumentHelp(
      "Another apus to measure, too (say an older one); repeatable.", valueName: "path"))
  var also: [String] = []
  @Option(
    help: ArgumentHelp(
      "Also boot this Linux kernel (bzImage) from a disk, and run gzip, a shell loop, fork and exec, and a pipe there.",
      valueName: "file"))
  var linux: String?
  @Option(
    help: ArgumentHelp("For --linux: an archive that holds /bin/busybox.", valueName: "file"))
  var initrd: String?
  @Option(
    help: ArgumentHelp(
      "For --linux: a static 32-bit busybox; also runs natively.", valueName: "file"))
  var busybox: String?
  @Option(help: ArgumentHelp("Seconds after which one run is given up.", valueName: "seconds"))
  var timeout = 1800.0
  @Option(
    help: ArgumentHelp("Write everything as JSON; - is standard output.", valueName: "file"))
  var json: String?
  @Option(help: ArgumentHelp("Draw the results.", valueName: "file"))
  var svg: String?
  @Option(
    help: ArgumentHelp("Build in this folder and leave everything there.", valueName: "folder"))
  var keep: String?

  /// The kernels asked for.
  static func selection(_ names: [String]) throws -> [Kernel] {
    if names.isEmpty { return [BenchmarkRun.start] + Kernel.all }
    return try names.map { name in
      if name == BenchmarkRun.start.name { return BenchmarkRun.start }
      guard let kernel = Kernel.named(name) else {
        let all = Kernel.all.map(\.name).joined(separator: " ")
        throw Failure.usage("\(name): the kernels are start \(all)")
      }
      return kernel
    }
  }

  static func list(_ text: String) -> [String] {
    text.split(separator: ",").map(String.init)
  }

  /// The values of --engines; nil stands for the default engine.
  static func engines(_ text: String?, known: Bool) throws -> [String?] {
    guard let text else { return [nil] }
    let names = list(text)
    for name in names where name != "interpreter" && (name != "translator" || !known) {
      throw Failure.usage(
        "--engines \(name): "
          + (known ? "interpreter, translator or both" : "there is only the interpreter"))
    }
    if names.isEmpty { throw Failure.usage("--engines: none is given") }
    return known ? names : [nil]
  }

  /// Whether runs have a choice of engines.
  private static var hasEngines: Bool { ApusOptions.helpMessage().contains("--engine ") }

  mutating func run() throws {
    let selection = try BenchCommand.selection(kernels)
    if !(1...1000).contains(runs) { throw Failure.usage("--runs \(runs): 1 to 1000") }
    if !(timeout > 0 && timeout <= 86400) {
      throw Failure.usage("--timeout \(timeout): seconds, up to a day")
    }
    let engines = try BenchCommand.engines(engines, known: BenchCommand.hasEngines)
    let others = against == "none" ? [] : BenchCommand.list(against)
    for name in others where !["qemu", "bochs", "native"].contains(name) {
      throw Failure.usage("--against \(name): qemu, bochs, native or none")
    }
    if linux == nil && (initrd != nil || busybox != nil) {
      throw Failure.usage("--initrd and --busybox belong to --linux")
    }
    for path in [json, svg].compactMap({ $0 }) where path != "-" {
      if let why = HostFiles.refusalToWrite(path) { throw Failure.usage("\(path): \(why)") }
    }
    let workload = try linuxWorkload()
    guard let own = HostProcess.ownPath else {
      throw Failure.host("the path of this program is unknown")
    }
    let folder: String
    do { folder = try keep ?? HostProcess.temporaryFolder("apus-bench") } catch {
      throw Failure.host("\(error)")
    }
    let temporary = keep == nil
    defer { if temporary { HostProcess.removeFolder(folder) } }
    try HostSignals.onEnd { number in
      if temporary { HostProcess.removeFolder(folder) }
      HostFiles.exit(ApusExit.signal(number).code)
    }
    let report: BenchmarkReport
    let isTerminal = HostTerminal.isTerminal(2)
    func progress(_ text: String) {
      guard isTerminal else { return }
      HostFiles.print(Array("\r\(text)\u{1B}[K".utf8), toError: true)
    }
    do {
      let tools = try Toolchain(folder: folder)
      let more = (apusOptions ?? "").split(separator: " ").map(String.init)
      var contestants = engines.map { Contestant.apus(own, engine: $0, options: more) }
      for path in also {
        guard HostProcess.find(path) != nil else {
          throw Failure.usage("--also \(path): not found")
        }
        var other = Contestant.apus(path, engine: nil)
        other.name = path.split(separator: "/").last.map(String.init) ?? path
        contestants.append(other)
      }
      for name in others {
        progress("looking for \(name)")
        switch try find(name, tools) {
        case let found?: contestants.append(found)
        case nil: ApusProgram.say(["apus bench: without \(name): \(Contestant.missing(name))"])
        }
      }
      var run = BenchmarkRun(tools: tools, contestants: contestants, kernels: selection)
      run.runs = runs
      run.isQuick = quick
      run.rounds = rounds
      run.paging = paging
      run.linux = workload
      run.timeout = timeout
      report = try run.run(progress: progress)
      progress("")
    } catch let error as BenchmarkError {
      progress("")
      throw Failure.host(error.description)
    }
    try write(report)
    if report.problems.isEmpty { return }
    ApusProgram.say(report.problems.map { "apus bench: \($0)" })
    throw ExitCode(1)
  }

  private func find(_ name: String, _ tools: Toolchain) throws -> Contestant? {
    switch name {
    case "qemu": return .qemu()
    case "native": return .native(with: tools)
    default:
      guard HostProcess.find("bochs") != nil, let kernel = Kernel.named("portio") else {
        return nil
      }
      return .bochs(trying: try tools.image(kernel, rounds: 0), folder: tools.folder)
    }
  }

  private func linuxWorkload() throws -> LinuxWorkload? {
    guard let linux else { return nil }
    func read(_ path: String) throws -> [UInt8] {
      do { return try HostFiles.read(path, limit: 64 << 20) } catch {
        throw Failure.usage("\(path): \(error)")
      }
    }
    do {
      return try LinuxWorkload(
        kernel: read(linux), initrd: initrd.map(read), busybox: busybox.map(read))
    } catch let error as BenchmarkError {
      throw Failure.usage(error.description)
    }
  }

  private func write(_ report: BenchmarkReport) throws {
    do {
      if let svg { try HostFiles.writeAtomically(svg, Array(report.svg().utf8)) }
      if let json {
        let bytes = Array((BenchCommand.json(report).text + "\n").utf8)
        if json == "-" {
          HostFiles.print(bytes)
          return
        }
        try HostFiles.writeAtomically(json, bytes)
      }
    } catch { throw Failure.host("\(svg ?? json ?? ""): \(error)") }
    var text = zip(report.contestants, report.versions).filter { !$0.1.isEmpty }
      .map { "\($0): \($1)\n" }.joined()
    text += report.caption + "\n\n" + report.table() + "\n\n" + report.bars() + "\n"
    HostFiles.print(Array(text.utf8))
  }

  /// Everything that was measured, for programs.
  static func json(_ report: BenchmarkReport) -> JSON {
    func number(_ value: Double?) -> JSON { value.map(JSON.real) ?? .null }
    let rows = report.rows.map { row -> JSON in
      let results = zip(report.contestants, row.entries).compactMap {
        name, entry -> (String, JSON)? in
        if entry.isLeftOut { return nil }
        return (
          name,
          .object([
            ("seconds", .array(entry.seconds.map(JSON.real))), ("median", number(entry.median)),
            ("residentBytes", .signed(entry.residentBytes)),
            ("problem", entry.problem.map(JSON.string) ?? .null),
          ])
        )
      }
      let ratios = report.pairs.map { pair in
        (
          "\(report.contestants[pair.subject])/\(report.contestants[pair.reference])",
          number(report.ratio(row, pair))
        )
      }
      return .object([
        ("name", .string(row.name)), ("group", .string(row.group)),
        ("checksum", .string(row.checksum)), ("results", .object(results)),
        ("ratios", .object(ratios)),
      ])
    }
    let means = report.groups.map { group in
      (
        group,
        JSON.object(
          report.pairs.map { pair in
            (
              "\(report.contestants[pair.subject])/\(report.contestants[pair.reference])",
              number(report.mean(group, pair))
            )
          })
      )
    }
    return .object([
      ("schema", .string("apus-bench")), ("version", .number(1)),
      ("caption", .string(report.caption)),
      (
        "contestants",
        .array(
          zip(report.contestants, report.versions).map {
            .object([("name", .string($0)), ("version", .string($1))])
          })
      ), ("rows", .array(rows)), ("geometricMeans", .object(means)),
    ])
  }
}
