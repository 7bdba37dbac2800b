// `apus migrate`: machines that go on in another process, here or on another host.
//
// Owns: the entry, which machine is meant, the commands' options and words. Must not know: how a machine is moved.

import ArgumentParser
import Host
import Images
import Migration
import Snapshots
import Storage

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The subcommand's own entry.
enum MigrateProgram {
  static func main(_ arguments: [String]) -> Never {
    CommandEntry.main(
      arguments, MigrateCommand.self, "apus migrate",
      near: [
        "to": "send", "start": "send", "move": "send", "incoming": "receive", "accept": "receive",
        "listen": "receive", "status": "show", "info": "show", "abort": "cancel", "stop": "cancel",
        "continue": "resume", "recover": "resume", "forget": "drop", "discard": "drop",
      ])
  }
}

struct MigrateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus migrate",
    abstract: "Moves machines to another process while they run, on this host or another.",
    discussion: """
      'apus migrate receive unix:PATH' waits for a machine; 'apus migrate send MACHINE unix:PATH' sends it there. What the guest does is what \
      it would have done here. Addresses are unix:PATH and tcp:HOST:PORT, the latter by TLS with a secret that both ends know. \
      Exit codes: 0, 1 it is not known whether the machine runs there (it stands here), 64 bad usage, 74 it goes on here.
      """,
    subcommands: [
      MigrateSendCommand.self, MigrateReceiveCommand.self, MigrateShowCommand.self,
      MigrateCancelCommand.self, MigrateResumeCommand.self, MigrateDropCommand.self,
    ])
}

/// Which machine is meant.
struct MigrateMachineOptions: ParsableArguments {
  @Argument(
    help: ArgumentHelp(
      "The socket of the machine's --control, or its first disk image where that has snapshots.",
      valueName: "machine"))
  var machine: String
  @Option(
    name: .customLong("in"),
    help: ArgumentHelp(
      "The folder of the snapshots. (default: IMAGE.snapshots)", valueName: "folder"))
  var folder: String?

  /// Asks the machine, and waits for the answer.
  func call(
    _ method: String, _ parameters: MigrateRequest.Parameters = .init(),
    progress: (UInt64, UInt64) -> Void = { _, _ in }
  ) throws -> MigrateReport {
    guard let client = try client() else {
      throw Failure.host(
        "\(machine): no machine that can be asked is there (start it with --control SOCKET, or --with-snapshots)",
        file: machine)
    }
    let request = MigrateRequest(method: method, params: parameters)
    var answer: BackupAnswer<MigrateReport>?
    _ = client.exchange(Array(try JSONText.encode(request).utf8)) { bytes in
      let line = try? JSONDecoder().decode(BackupAnswer<MigrateReport>.self, from: Data(bytes))
      if let told = line?.params, line?.method != nil {
        progress(told.done, told.total)
        return false
      }
      answer = line
      return true
    }
    guard let answer else {
      throw Failure.host(
        "\(machine): the machine ended without an answer: whether it runs at the other end is to be seen there",
        file: machine)
    }
    if let error = answer.error {
      if error.code == MigrateControl.doubtCode { throw MigrateDoubtful(reason: error.message) }
      if error.code == 1 { throw Failure.usage(error.message) }
      throw Failure.host(error.message)
    }
    guard let result = answer.result else { throw Failure.host("the answer has no result") }
    return result
  }

  private func client() throws -> SnapshotClient? {
    if let facts = HostFiles.facts(machine), facts.kind == .other {
      return SnapshotClient(socket: machine)
    }
    return SnapshotClient(folder: folder ?? SnapshotTree.folder(of: machine))
  }
}

/// It is not known where the machine runs.
struct MigrateDoubtful: Error { var reason: String }

struct MigrateSendCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "send",
    abstract: "Sends a machine that runs to where 'apus migrate receive' waits.",
    discussion: """
      Memory is sent while the machine runs, and what it has written meanwhile again, until that is little; only for the rest it stands. \
      Both ends open the same disk images, unless --carry sends their contents, too. If the connection is lost before the machine's right to \
      run was handed over, it goes on here; if it is lost at that very moment, the machine stands at both ends until you decide: 'drop' it \
      at one, and 'resume' it at the other with the code that is printed.
      """)
  @OptionGroup var options: MigrateMachineOptions
  @Argument(help: ArgumentHelp("Where: unix:PATH or tcp:HOST:PORT.", valueName: "address"))
  var to: String
  @Flag(help: "Disks come along; otherwise both ends open the same images.")
  var carry = false
  @Option(
    help: ArgumentHelp(
      "What the machine may stand, if it can be kept. (default: 30)", valueName: "ms"))
  var pause: Double?
  @Option(help: ArgumentHelp("As many bytes a second at most (100M).", valueName: "size"))
  var rate: String?
  @Option(help: ArgumentHelp("The file with the secret, for tcp.", valueName: "file"))
  var secret: String?

  func run() throws {
    let address = try MigrateAddress(to)
    _ = try address.secret(secret)
    var parameters = MigrateRequest.Parameters()
    if case .socket(let path) = address {
      parameters.to = "unix:" + BackupControl.absolute(path)
    } else {
      parameters.to = "\(address)"
    }
    parameters.carry = carry
    parameters.pauseMilliseconds = pause
    if let rate {
      guard let bytes = ImageSize.parse(rate), bytes > 0 else {
        throw Failure.usage("--rate \(rate): a number of bytes, as 100M")
      }
      parameters.bytesPerSecond = bytes
    }
    parameters.secret = secret.map { BackupControl.absolute($0) }
    // Who does not want to wait any longer does not want it.
    let machine = options
    do throws(HostError) {
      try HostSignals.onEnd(
        interrupt: { false }, quit: nil,
        { number in
          let state = (try? machine.call("migrate.cancel"))?.state
          ApusProgram.say([
            state == "runs"
              ? "apus migrate: cancelled: the machine stays here"
              : "apus migrate: it is too late to cancel: 'apus migrate show' tells where the machine is"
          ])
          HostFiles.exitAtOnce(128 &+ number)
        })
    } catch { throw Failure.host("\(error)") }
    do {
      let report = try options.call(
        "migrate.send", parameters, progress: BackupProgram.progress())
      try CommandEntry.deliver(
        report,
        [
          "runs at \(report.place ?? to): stood \(SnapshotWords.milliseconds(report.pauseMilliseconds ?? 0)), sent "
            + "\(ImageSize.text(report.bytes ?? 0)) in \(report.rounds ?? 0) rounds, "
            + SnapshotWords.milliseconds(report.totalMilliseconds ?? 0)
        ])
    } catch let doubt as MigrateDoubtful {
      try CommandEntry.deliver(
        MigrateReport("stands", place: to, reason: doubt.reason),
        [
          doubt.reason,
          "It is not known whether the machine runs there; here it stands. Where it is not to run: apus migrate drop MACHINE,",
          "and at the other end, with the code that prints: apus migrate resume MACHINE --code CODE",
        ])
      throw ExitCode(1)
    }
  }
}

struct MigrateShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Tells whether a machine runs, is being moved, or stands in doubt.")
  @OptionGroup var options: MigrateMachineOptions

  func run() throws {
    let report = try options.call("migrate.show")
    try CommandEntry.deliver(
      report, [report.reason.map { "\(report.state): \($0)" } ?? report.state])
  }
}

struct MigrateCancelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cancel", abstract: "Has a machine stay that is being moved.")
  @OptionGroup var options: MigrateMachineOptions

  func run() throws {
    let report = try options.call("migrate.cancel")
    try CommandEntry.deliver(
      report,
      [
        report.state == "runs"
          ? "\(options.machine): stays here" : "\(options.machine): too late: \(report.state)"
      ])
  }
}

struct MigrateResumeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resume", abstract: "Has a machine go on here that stands in doubt.",
    discussion: """
      The code is what 'apus migrate drop' prints at the other end: so it is certain that the machine does not run there. --force is for when \
      the other end is gone for good.
      """)
  @OptionGroup var options: MigrateMachineOptions
  @Option(help: ArgumentHelp("The code from the other end.", valueName: "code"))
  var code: String?
  @Flag(help: "You are certain that it does not run at the other end.")
  var force = false

  func validate() throws {
    if code == nil, !force {
      throw ValidationError(
        "--code CODE is needed, or --force where the other end is gone for good")
    }
  }

  func run() throws {
    try CommandEntry.deliver(
      try options.call("migrate.resume", .init(code: code)), ["\(options.machine): goes on here"])
  }
}

struct MigrateDropCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drop",
    abstract: "Ends a machine here that stands in doubt, so that it may go on at the other end.")
  @OptionGroup var options: MigrateMachineOptions

  func run() throws {
    let report = try options.call("migrate.drop")
    try CommandEntry.deliver(
      report,
      [
        "\(options.machine): does not run here any more. At the other end:",
        "apus migrate resume MACHINE --code \(report.code ?? "")",
      ])
  }
}
