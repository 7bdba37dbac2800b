// `apus conform devices`: device tests of others, by the line protocol that they speak.
//
// Owns: its options, the connection. Must not know: what lines mean, any device.

import ArgumentParser
import DeviceChecks
import Host
import Machine
import Session

/// The subcommand among the others; its options are told apart from the machine's here, not by the parser.
struct ConformDevices: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices",
    abstract: "Lets device tests (QEMU's qtest protocol) use a machine's ports and memory."
  )
  @Argument(parsing: .captureForPassthrough) var words: [String] = []

  static let help = """
    OVERVIEW: Lets device tests of others use a machine's ports and memory while its
    processor stands still.

    Lines of QEMU's qtest protocol come by a Unix socket (it connects where somebody
    serves, otherwise it serves and takes the first who connects), or by standard
    input. All options that make a machine are possible (apus --help); those of a
    run, as --type or --timeout, are not.

    USAGE: apus conform devices --qtest <socket> [IMAGE ...] [options]

    OPTIONS:
      --qtest <socket>        The socket's file; - is standard input and output.
      --access-time <ns>      What a line that accesses ports or memory takes, in
                              virtual nanoseconds, 0 to 1000000000; 0: only the
                              clock's lines move time. (default: 1000)
      --first-run <seconds>   The processor runs for so much virtual time first, 0
                              to 3600, say for the BIOS's self-test. (default: 0)
      -h, --help              Show help information.

    Beyond the protocol, apus_insert DRIVE FILE and apus_eject DRIVE change the disk
    in a, b or cd (cd2 the second CD drive).

    Exit codes: 0 when the other side has ended, 64 bad usage, 74 the host refused
    something, 130 or 143 ended by a signal.
    """

  /// What the words say.
  struct Choices: Equatable {
    var socket = ""
    var accessTime: UInt64 = 1000
    var firstRun = 0.0
    /// The words that are the machine's.
    var machine: [String] = []

    init(_ words: [String]) throws {
      var socket: String?
      var index = 0
      while index < words.count {
        let word = words[index]
        index += 1
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        guard ["--qtest", "--access-time", "--first-run"].contains(name) else {
          machine.append(word)
          // The value of one of the machine's options is not looked at.
          if ArgumentScan.valued.contains(word), index < words.count {
            machine.append(words[index])
            index += 1
          }
          continue
        }
        guard parts.count == 2 || index < words.count else {
          throw Failure.usage("\(name): its value is missing")
        }
        let value = parts.count == 2 ? String(parts[1]) : words[index]
        if parts.count == 1 { index += 1 }
        switch name {
        case "--qtest": socket = value
        case "--access-time":
          guard let time = UInt64(value), time <= 1_000_000_000 else {
            throw Failure.usage("--access-time \(value): 0 to 1000000000 nanoseconds")
          }
          accessTime = time
        default:
          guard let seconds = Double(value), (0...3600).contains(seconds) else {
            throw Failure.usage("--first-run \(value): 0 to 3600 seconds")
          }
          firstRun = seconds
        }
      }
      guard let socket, !socket.isEmpty else {
        throw Failure.usage("--qtest SOCKET is wanted (apus conform devices --help tells more)")
      }
      self.socket = socket
    }
  }

  /// An option that is for a run and its end, of those that were given.
  static func runOption(_ options: ApusOptions) -> String? {
    let given: [(String, Bool)] = [
      ("--type", !options.type.isEmpty), ("--type-serial", !options.typeSerial.isEmpty),
      ("--change", !options.change.isEmpty), ("--press", !options.press.isEmpty),
      ("--expect", !options.expect.isEmpty), ("--expect-line", !options.expectLine.isEmpty),
      ("--expect-regex", !options.expectRegex.isEmpty),
      ("--expect-gone", !options.expectGone.isEmpty), ("--within", !options.within.isEmpty),
      ("--timeout", options.timeout != nil), ("--max-instructions", options.maxInstructions != nil),
      ("--speed", options.speed != nil), ("--debug", options.debug),
      ("--command", !options.commands.isEmpty), ("--script", !options.scripts.isEmpty),
      ("--history", options.history != nil), ("--gdb", options.gdb != nil),
      ("-s", options.gdbDefault), ("-S", options.startsStopped),
      ("--screen-text", options.screenText), ("--json", options.json || options.jsonFile != nil),
      ("--stats", options.stats), ("--dump-block", !options.dumpBlock.isEmpty),
      ("--explain", options.explain), ("--record", options.record != nil),
      ("--replay", options.replay != nil),
    ]
    return given.first { $0.1 }?.0
  }

  mutating func run() throws {
    if words.contains(where: { ["-h", "--help"].contains($0) }) {
      ConformProgram.print(Self.help)
      return
    }
    let choices = try Choices(words)
    var arguments = choices.machine
    if !arguments.contains("--headless") { arguments.append("--headless") }
    let scan = try ArgumentScan(arguments)
    try scan.check()
    let options = try ApusOptions.parse(arguments)
    if let name = Self.runOption(options) {
      throw Failure.usage(
        "\(name): the processor stands still, and there is no run for it (apus conform devices --help tells more)"
      )
    }
    var plan = try Plan(options, media: scan.media)
    if plan.configuration.engine == .lockstep {
      throw Failure.usage("--engine lockstep: no processor runs")
    }
    if choices.socket == "-" && plan.serial.contains(.stdio) {
      throw Failure.usage("--qtest -: standard input is the tests'")
    }
    if plan.usesDemoDisk { plan.configuration.floppies[0] = nil }
    ApusProgram.say(plan.warnings.map { "apus conform: \($0)" })
    let session: Session
    do throws(SessionError) {
      session = try Session(plan.finalSession, observing: [.notices, .failures]) {
        if case .notice(let line) = $0 { ApusProgram.say(["apus conform: \(line)"]) }
      }
    } catch { throw Failure(error, plan) }
    try ConformInterrupt.watch()
    do throws(SessionError) {
      try session.connect()
      if choices.firstRun > 0 {
        try session.run(until: .virtualTime(UInt64(choices.firstRun * 1e9)))
      }
    } catch { throw Failure(error, plan) }
    let connection: LineConnection
    do throws(HostError) {
      connection =
        try choices.socket == "-" ? LineConnection() : LineConnection(unix: choices.socket)
    } catch { throw Failure.host("--qtest \(choices.socket): \(error.reason)") }
    let end: @Sendable (Int32) -> Void = { _ in connection.end() }
    ConformInterrupt.with(end) {
      session.perform { machine in
        DeviceSession.serve(machine, accessTime: choices.accessTime, connection)
      }
    }
    for loss in session.finish().losses {
      ApusProgram.say(["apus conform: \(Failure(loss).message)"])
    }
    try ConformInterrupt.exitIfRequested()
  }
}
