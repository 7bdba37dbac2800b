// `apus migrate receive`: a machine that comes from another process.
//
// Owns: waiting for it, making what it comes into, what is said. Must not know: messages, how a machine runs.

import ArgumentParser
import Host
import Images
import Machine
import Migration
import Session
import Storage

struct MigrateReceiveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "receive", abstract: "Waits for a machine, and goes on with it.",
    usage: "apus migrate receive ADDRESS [--into FOLDER] [--format F] [--secret FILE] [-- OPTIONS]",
    discussion: """
      The machine is made as it was started where it comes from; images that it only reads (CDs) have to be here under the same paths. \
      OPTIONS are those of a run ('apus --help'): --headless, --serial stdio, --control SOCKET, ... It waits for one machine; who does not \
      know the secret, or sends something else, is refused, and it waits on.
      """)
  @Argument(
    help: ArgumentHelp("Where: unix:PATH, tcp:PORT or tcp:HOST:PORT.", valueName: "address"))
  var at: String
  @Option(help: ArgumentHelp("Where disks go that come along.", valueName: "folder"))
  var into: String?
  @Option(
    help: ArgumentHelp(
      "What they become: raw, qcow2, ... (default: what they are)", valueName: "format"))
  var format: String?
  @Option(help: ArgumentHelp("The file with the secret, for tcp.", valueName: "file"))
  var secret: String?
  @OptionGroup var keys: ImageKeyOptions
  @Argument(
    parsing: .postTerminator, help: ArgumentHelp("Options of the run.", valueName: "options"))
  var options: [String] = []

  func run() throws {
    let address = try MigrateAddress(at)
    if let format, !MigrateDisks.isFormat(format) {
      throw Failure.usage("--format \(format): raw, qcow2, vmdk, vdi, vhd and vhdx are possible")
    }
    if format != nil, into == nil { throw Failure.usage("--format goes with --into") }
    let secret = try address.secret(secret)
    if let into {
      do throws(HostError) { try HostFiles.makeFolder(into) } catch {
        throw Failure.host("--into \(into): \(error)", file: into)
      }
    }
    let folder = into.map { BackupControl.absolute($0) }
    let own = try ownWords()
    let listener = try address.listen()
    ApusProgram.say(["apus migrate: waits for a machine at \(address)"])
    let (receiver, offer) = hear(listener, address, secret)
    let disks: MigrateDisks
    let plan: Plan
    let run: CommandRun
    do {
      disks = try MigrateDisks(offer, into: folder, format: format, keys: keys.keys())
    } catch { throw refuse(receiver, error) }
    do {
      plan = try self.plan(offer, own, disks)
      run = try CommandRun(plan)
    } catch {
      disks.removeMade()
      throw refuse(receiver, error)
    }
    ApusProgram.say(plan.warnings.map { "apus: \($0)" })
    let code: Int32
    var isThere = false
    do {
      code = try run.run { session in
        session.isArriving = true
        try take(session, receiver, disks)
        session.isArriving = false
        isThere = true
      }
    } catch let dropped as Dropped {
      throw ExitCode(dropped.code)
    } catch {
      if !isThere {
        disks.removeMade()
        receiver.refuse(
          (error as? Failure)?.message ?? (error as? StorageError)?.reason ?? "\(error)")
      }
      throw error
    }
    throw ExitCode(code)
  }

  /// The machine did not come to run here.
  private struct Dropped: Error { var code: Int32 }

  /// The words of the run; what is wrong with them is told before anything comes.
  private func ownWords() throws -> [String] {
    let words = JSONTarget.taken(from: options).arguments
    let scan = try ArgumentScan(words)
    try scan.check()
    for word in scan.words {
      switch word {
      case .positional: throw Failure.usage("the machine brings its images: none is given here")
      case .option(let name, _):
        if MigrateArguments.isOfTheMachine(name) {
          throw Failure.usage(
            "\(name): the machine is what it was where it comes from: this is given there")
        }
      }
    }
    do { _ = try ApusOptions.parse(words) } catch {
      throw Failure.usage(ApusOptions.message(for: error))
    }
    return words
  }

  /// Somebody connected; heard on a thread of its own, so that who says nothing keeps nobody out.
  private final class Hearing: @unchecked Sendable {
    private let lock = HostCondition()
    private var found: (MigrationReceiver, MigrationOffer)?
    private var count = 0
    private static let most = 64

    /// - Returns: false: too many are there already.
    func begin() -> Bool {
      lock.locked {
        if count >= Hearing.most { return false }
        count += 1
        return true
      }
    }

    func end() { lock.locked { count -= 1 } }

    /// - Returns: false: another was first.
    func give(_ receiver: MigrationReceiver, _ offer: MigrationOffer) -> Bool {
      lock.locked {
        if found != nil { return false }
        found = (receiver, offer)
        return true
      }
    }

    var first: (MigrationReceiver, MigrationOffer)? { lock.locked { found } }
  }

  private func refuse(_ receiver: MigrationReceiver, _ error: any Error) -> any Error {
    let reason = (error as? Failure)?.message ?? "\(error)"
    receiver.refuse(reason)
    return Failure.host("the machine cannot come: \(reason)")
  }

  /// Waits until somebody connects and offers a machine.
  private func hear(
    _ listener: HostStreamListener, _ address: MigrateAddress, _ secret: MigrationSecret?
  ) -> (MigrationReceiver, MigrationOffer) {
    let hearing = Hearing()
    while true {
      let stream: HostStream
      do throws(HostError) { stream = try listener.accept() } catch {
        // The listener has ended, as one was heard.
        if let first = hearing.first { return first }
        ApusProgram.fail(.host("\(address): \(error)"), command: "apus migrate", json: nil)
      }
      guard hearing.begin() else { continue }
      let started = try? HostThread(detached: true) {
        defer { hearing.end() }
        do {
          var link: any ByteLink = stream
          if let secret {
            link = try TLSLink(
              stream, secret, isServer: true, until: HostClock.nanoseconds() &+ 20_000_000_000)
          }
          let messages = MigrationLink(link, to: "\(address)")
          messages.patience = 20_000_000_000
          let receiver = MigrationReceiver(messages)
          let offer = try receiver.hear()
          messages.patience = 30_000_000_000
          if hearing.give(receiver, offer) {
            listener.end()
          } else {
            receiver.refuse("another machine came first")
          }
        } catch {
          ApusProgram.say(["apus migrate: somebody connected who sends no machine: \(error)"])
        }
      }
      if started == nil { hearing.end() }
    }
  }

  /// What the machine's run is to be.
  private func plan(_ offer: MigrationOffer, _ own: [String], _ disks: MigrateDisks) throws -> Plan
  {
    let words = try MigrateArguments(offer, own).words
    try ArgumentScan(JSONTarget.taken(from: words).arguments).check()
    var plan: Plan
    do {
      let options = try ApusOptions.parse(words)
      plan = try Plan(options, media: try ArgumentScan(words).media, given: disks.images)
    } catch let failure as Failure {
      throw failure
    } catch {
      throw Failure.usage(ApusOptions.message(for: error))
    }
    if plan.configuration.engine == .lockstep {
      throw Failure.usage("--engine lockstep runs two machines, and one comes")
    }
    // Whoever moves it on tells how it was started.
    plan.session.arguments = ["apus"] + offer.arguments.drop { $0 == "apus" }
    plan.session.disksComeLater = !offer.carriesDisks
    return plan
  }

  /// Takes the machine into a session that has not run.
  private func take(_ session: Session, _ receiver: MigrationReceiver, _ disks: MigrateDisks) throws
  {
    let carried = disks.carried
    let arrival = try session.perform { (machine) throws(StorageError) in
      try receiver.take(machine, carried, unless: { session.isAskedToEnd })
    }
    func bring() throws(StorageError) { try session.imagesHaveCome(try disks.shared()) }
    switch arrival {
    case .mayRun:
      do throws(StorageError) {
        if session.isAskedToEnd {
          throw StorageError(path: at, reason: "was ended when the machine had come")
        }
        try bring()
      } catch {
        receiver.tellFailure("\(error)")
        throw error
      }
      receiver.tellRunning()
    case .doubt(let doubt):
      session.setDoubt(doubt)
      ApusProgram.say([
        "apus migrate: \(doubt.reason): it is not known whether the machine runs where it came from; it stands here",
        "apus migrate: where it is not to run: apus migrate drop MACHINE; then, at the other end: apus migrate resume MACHINE --code CODE",
      ])
      doubt.wait(takeBack: bring, isOver: { session.isAskedToEnd })
      session.setDoubt(nil)
      if let right = doubt.givenUp {
        ApusProgram.say([
          "apus migrate: the machine does not run here; where it came from: apus migrate resume MACHINE --code \(right)"
        ])
        throw Dropped(code: 1)
      }
    }
    if session.configuration.releasesHeldInput { session.perform { $0.releaseHeldInput() } }
  }
}
