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
    OVERVIEW: Lets device tests of others use a machine's ports and memory while its processor stands still.

    USAGE: apus conform devices --qtest SOCKET [IMAGE ...] [options]

    Lines of QEMU's qtest protocol come by a Unix socket (it connects where somebody serves, otherwise it serves and takes the first who \
    connects), or by standard input. All options of a machine are possible (apus --help).

    OPTIONS:
      --qtest <socket>        The socket's file; - is standard input and output.
      --access-time <ns>      What a line that accesses ports or memory takes, in virtual nanoseconds, 0 to 1000000000; 0: only the clock's \
    lines move time. (default: 1000)
      --first-run <seconds>   The processor runs for so much virtual time first, say for the BIOS's self-test.
      -h, --help              Show help information.

    Exit codes: 0 when the other side has ended, 64 bad usage, 74 the host refused something, 130 or 143 ended by a signal.
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
    var plan = try Plan(try ApusOptions.parse(arguments), media: scan.media)
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
