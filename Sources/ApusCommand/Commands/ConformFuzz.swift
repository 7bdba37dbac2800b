// `apus conform fuzz`: random accesses to every device.
//
// Owns: its options and output. Must not know: what accesses are made or compared.

import ArgumentParser
import CPU
import Conformance
import DeviceChecks
import Host
import Machine

struct ConformFuzz: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fuzz",
    abstract: "Makes random accesses to every device of the boards.",
    discussion: """
      A guest program reads and writes the ports, the memory and the configuration space of one device after another, at random and \
      in orders that lead into it, with interrupts, hostile transfers, disks that are exchanged, and time passing. Both engines run \
      side by side and are compared; now and then a machine is saved and goes on from that state. The same seed makes the same \
      accesses, and the same hash at the end.

      A line for each device tells: accesses that the guest made in each engine; instructions it needed for them; how often a machine was \
      put away as a state and taken from it again; the hash of the last state, equal for equal runs; the host's time that the slowest \
      table of accesses took, and its number. What differs is told below it, and ends that device: the number of its table and the seed \
      say how to have it again.

      --list names them as states and the debugger do, with the names that apus devices has for them; --device takes either.
      """)

  @Option(help: ArgumentHelp("How many accesses for each device.", valueName: "n"))
  var accesses: UInt64 = 100_000
  @Option(help: ArgumentHelp("The seed; the same accesses from the same seed.", valueName: "n"))
  var seed: UInt64 = 1
  @Option(help: ArgumentHelp("isa or pc; both when it is left out.", valueName: "name"))
  var board: String?
  @Option(
    help: ArgumentHelp(
      "Only devices whose names match; * and ?, separated by commas.", valueName: "pattern"))
  var device = "*"
  @Option(help: ArgumentHelp("interpreter, translator, or both (side by side).", valueName: "name"))
  var engine = "both"
  @Flag(help: "List what can be fuzzed.")
  var list = false
  @Option(help: ArgumentHelp("Write a report that merge can join.", valueName: "file"))
  var json: String?
  @Option(help: ArgumentHelp("Write the report as JUnit XML.", valueName: "file"))
  var junit: String?

  mutating func run() throws {
    try ConformProgram.check(json, junit)
    var boards = FuzzBoard.allCases
    if let board {
      guard let one = FuzzBoard(rawValue: board) else {
        throw Failure.usage("--board \(board): isa or pc")
      }
      boards = [one]
    }
    var engines: [Engine]?
    if engine != "both" {
      guard let one = Engine(rawValue: engine), one != .lockstep else {
        throw Failure.usage("--engine \(engine): interpreter, translator or both")
      }
      if let reason = one.unavailableForTests {
        throw Failure.usage("--engine \(engine): \(reason)")
      }
      engines = [one]
    }
    if accesses == 0 { throw Failure.usage("--accesses 0: nothing to run") }
    let patterns = device.split(separator: ",").map(String.init)
    let isQuiet = json == "-" || junit == "-"
    let start = HostClock.nanoseconds()
    try ConformInterrupt.watch()
    var report = ConformanceReport(model: "devices")
    var found = false
    for board in boards where !ConformInterrupt.isRequested {
      let fuzz: DeviceFuzz
      do { fuzz = try DeviceFuzz(board, seed: seed, engines: engines) } catch {
        throw Failure.host("\(error)")
      }
      fuzz.isCancelled = { ConformInterrupt.isRequested }
      let devices = fuzz.devices.filter { name in
        let names = [name] + DeviceFuzz.kinds(of: name)
        return patterns.contains { pattern in names.contains { Self.matches($0, pattern) } }
      }
      if list {
        for name in devices { ConformProgram.print("\(board.rawValue) \(Self.listed(name))") }
        found = found || !devices.isEmpty
        continue
      }
      var file = FileReport(suite: "fuzz", name: board.rawValue)
      for (n, name) in devices.enumerated() where !ConformInterrupt.isRequested {
        found = true
        var progress = ConformProgress("accesses (\(board.rawValue) \(name))")
        let result: FuzzResult
        do {
          result = try fuzz.run(name, accesses: accesses) { _, done in
            progress.show(done, of: accesses, failed: file.failed)
          }
        } catch { throw Failure.host("\(board.rawValue) \(name): \(error)") }
        progress.clear()
        if let failure = result.failure {
          file.fail(
            FailureRecord(
              index: n, name: name,
              differences: ["seed \(seed), table \(failure.table)"] + failure.text))
        } else {
          file.passed += 1
        }
        if !isQuiet { show(result) }
      }
      report.files.append(file)
    }
    if list && found { return }
    if !found && !ConformInterrupt.isRequested {
      throw Failure.usage("--device \(device): there is no such device (--list shows them)")
    }
    report.seconds = Double(HostClock.nanoseconds() &- start) / 1e9
    if ConformInterrupt.isRequested { report.interrupted = true }
    try ConformProgram.write(report, json: json, junit: junit)
    if !isQuiet {
      ConformProgram.print("seed \(seed): \(Double(Int(report.seconds * 10)) / 10) s")
      if report.interrupted == true { ConformProgram.print(ConformanceReport.interruptedText) }
    }
    try ConformProgram.exit(for: report)
  }

  private static func padded(_ name: String) -> String {
    name + String(repeating: " ", count: max(1, 14 - name.count))
  }

  /// A name, and what else it is called.
  static func listed(_ name: String) -> String {
    let others = DeviceFuzz.kinds(of: name).filter { $0 != name }
    let words =
      switch name {
      case "nobody": "ports and memory that are nobody's, among others"
      case "memory-map": "memory that bridges switch, and its edges"
      default: others.joined(separator: ", ")
      }
    return words.isEmpty ? name : ConformFuzz.padded(name) + words
  }

  private func show(_ result: FuzzResult) {
    let hash = String(result.hash, radix: 16)
    let slowest = result.slowest / 1_000_000
    ConformProgram.print(
      "\(result.board.rawValue) \(result.device): \(result.accesses) accesses, \(result.instructions) instructions, "
        + "\(result.restores) states, hash \(hash), longest \(slowest) ms (table \(result.slowestTable))"
    )
    guard let failure = result.failure else { return }
    ConformProgram.print("  differs in table \(failure.table):")
    for line in failure.text { ConformProgram.print("    \(line)") }
  }

  /// Whether a name matches a pattern with * and ?.
  static func matches(_ name: String, _ pattern: String) -> Bool {
    let (name, pattern) = (Array(name.utf8), Array(pattern.utf8))
    var reached: Set<Int> = [0]
    for (n, symbol) in pattern.enumerated() {
      var next: Set<Int> = []
      for at in reached {
        if symbol == UInt8(ascii: "*") {
          next.formUnion(at...name.count)
        } else if at < name.count, symbol == UInt8(ascii: "?") || symbol == name[at] {
          next.insert(at + 1)
        }
      }
      reached = next
      if reached.isEmpty || n == pattern.count { break }
    }
    return reached.contains(name.count)
  }
}
