// `apus fork`: many machines from one that has booted, each a process of its own.
//
// Owns: the processes, what each is given of the command line, how they ended. Must not know: how a machine begins from a template.
//
// This process makes the machine, which never runs here, and becomes as many as are wanted (fork(2)): memory, tables and translated code are
// shared until somebody writes them.

import ArgumentParser
import Host
import Images
import Machine
import Session
import Snapshots
import Storage

/// The subcommand's own entry.
enum ForkProgram {
  static func main(_ arguments: [String]) -> Never {
    CommandEntry.main(arguments, ForkCommand.self, "apus fork")
  }
}

struct ForkReport: Codable {
  struct Child: Codable {
    var number: Int
    var exitCode: Int32
  }
  var schema = "apus-fork"
  var version = 1
  var count: Int
  /// Milliseconds from the first to the last of them.
  var startMilliseconds: Double
  var children: [Child]
}

struct ForkCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus fork",
    abstract: "Begins many machines from one that has booted, each as a process of its own.",
    usage: "apus fork FILE [--count N] [--jobs N] [--into FOLDER] [-- OPTIONS]",
    discussion: """
      FILE is a template, or an image with snapshots of its machine. All machines are at the same instruction and have the same memory, \
      devices and disks; what each writes is its own and goes when it ends. OPTIONS are those of a headless run ('apus --help'), and {n} in \
      them is the machine's number, from 1 on: -- --type 'run {n}<enter>' --expect done --screenshot 'end-{n}.png'. \
      Exit codes: 0 all machines ended so, 1 some did not, 64 bad usage, 74 something failed.
      """)
  @Argument(help: ArgumentHelp("A template, or an image with snapshots.", valueName: "file"))
  var file: String
  @Option(name: .shortAndLong, help: ArgumentHelp("How many machines.", valueName: "n"))
  var count: Int = 1
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("How many of them run at a time. (default: all)", valueName: "n"))
  var jobs: Int?
  @Option(help: ArgumentHelp("Of an image: the snapshot. (default: the last)", valueName: "name"))
  var snapshot: String?
  @Option(
    help: ArgumentHelp(
      "Where what they print goes: N.out and N.err for each.", valueName: "folder"))
  var into: String?
  @Argument(
    parsing: .postTerminator, help: ArgumentHelp("Options of each run.", valueName: "options"))
  var options: [String] = []

  private static let most = 10_000

  func run() throws {
    guard (1...ForkCommand.most).contains(count) else {
      throw Failure.usage("--count \(count): 1 to \(ForkCommand.most) are possible")
    }
    if let jobs, jobs < 1 { throw Failure.usage("--jobs \(jobs): 1 at least") }
    if let into {
      do throws(HostError) { try HostFiles.makeFolder(into) } catch {
        throw Failure.host("--into \(into): \(error)", file: into)
      }
    }
    let template = try open()
    let first = try plan(template, 1)
    let machine: Machine
    do throws(SessionError) { machine = try Session.makeMachine(first.finalSession) } catch {
      throw Failure(error, first)
    }
    ApusProgram.say(first.warnings.map { "apus: \($0)" })
    var numbers: [Int32: Int] = [:]
    var codes = [Int32](repeating: 0, count: count)
    let start = HostClock.nanoseconds()
    var started = start
    func reap() {
      guard let (child, code) = HostFork.wait(), let number = numbers[child] else { return }
      numbers[child] = nil
      codes[number - 1] = code
    }
    for number in 1...count {
      while let jobs, numbers.count >= jobs { reap() }
      do throws(HostError) {
        guard let child = try HostFork.fork() else { run(number, template, first, machine) }
        numbers[child] = number
      } catch {
        for child in numbers.keys { HostFork.end(child) }
        throw Failure.host("machine \(number): \(error)")
      }
      started = HostClock.nanoseconds()
    }
    while !numbers.isEmpty { reap() }
    let report = ForkReport(
      count: count, startMilliseconds: Double(started &- start) / 1e6,
      children: codes.enumerated().map { .init(number: $0 + 1, exitCode: $1) })
    let bad = report.children.filter { $0.exitCode != 0 }
    var lines = [
      "\(count) \(count == 1 ? "machine" : "machines"), started in "
        + SnapshotWords.milliseconds(report.startMilliseconds)
    ]
    for child in bad.prefix(20) { lines.append("  \(child.number): exit code \(child.exitCode)") }
    if bad.count > 20 { lines.append("  and \(bad.count - 20) more") }
    try CommandEntry.deliver(report, lines)
    if !bad.isEmpty { throw ExitCode(1) }
  }

  /// The template; of an image a temporary one, whose file has no name any more when it is open.
  private func open() throws -> MachineTemplate {
    if MachineTemplate.isTemplate(file) {
      if snapshot != nil { throw Failure.usage("--snapshot: a template is of one snapshot") }
      return try MachineTemplate(file)
    }
    let folder = try temporaryFolder()
    defer { HostProcess.removeFolder(folder) }
    let path = folder + "/template"
    let place = SnapshotPlace(image: file, folder: SnapshotTree.folder(of: file), keys: nil)
    _ = try TemplateMaker(place, snapshot).make(path, replacing: false)
    return try MachineTemplate(path).withoutName()
  }

  private func temporaryFolder() throws -> String {
    do throws(HostError) { return try HostProcess.temporaryFolder("apus-fork") } catch {
      throw Failure.host("\(error)")
    }
  }

  /// What a machine's run is to be.
  private func plan(_ template: MachineTemplate, _ number: Int) throws -> Plan {
    var own = JSONTarget.taken(
      from: options.map { $0.replacing("{n}", with: "\(number)") }
    ).arguments
    if !own.contains("--headless"), !own.contains("--nographic"), !own.contains("-nographic") {
      own.append("--headless")
    }
    let arguments = try TemplateArguments(template, own)
    try ArgumentScan(arguments.words).check()
    let plan: Plan
    do {
      let options = try ApusOptions.parse(arguments.words)
      plan = try Plan(
        options, media: try ArgumentScan(arguments.words).media, hasTerminal: false,
        template: template)
    } catch let failure as Failure {
      throw failure
    } catch {
      throw Failure.usage(ApusOptions.message(for: error))
    }
    if plan.debugs || plan.gdb != nil {
      throw Failure.usage("a debugger holds one machine: 'apus debug \(file)'")
    }
    if plan.configuration.engine == .lockstep {
      throw Failure.usage("--engine lockstep runs two machines, which do not begin from a template")
    }
    return plan
  }

  /// In a machine's own process.
  private func run(
    _ number: Int, _ template: MachineTemplate, _ first: Plan, _ machine: Machine
  ) -> Never {
    do {
      if let into {
        try HostFork.redirect(output: "\(into)/\(number).out", errors: "\(into)/\(number).err")
      }
      let isSame = !options.contains { $0.contains("{n}") }
      let plan = isSame ? first : try plan(template, number)
      ApusProgram.finish(try CommandRun(plan, adopting: machine).run())
    } catch let failure as Failure {
      ApusProgram.fail(failure, command: "apus fork: machine \(number)", json: nil)
    } catch {
      ApusProgram.fail(.host("\(error)"), command: "apus fork: machine \(number)", json: nil)
    }
  }
}
