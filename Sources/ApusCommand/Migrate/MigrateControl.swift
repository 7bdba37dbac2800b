// A machine that runs and those who want it moved: over the socket of its control.
//
// Owns: the methods of both ends. Must not know: how a machine is moved, options.

import Host
import Images
import Migration
import Session
import Storage
import Synchronization

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What is asked: JSON-RPC 2.0, an object in a line.
struct MigrateRequest: Codable {
  var jsonrpc = "2.0"
  var id = 1
  /// migrate.send, migrate.cancel, migrate.show, migrate.resume, migrate.drop.
  var method: String
  var params: Parameters?

  struct Parameters: Codable {
    var to: String?
    var carry: Bool?
    var pauseMilliseconds: Double?
    var bytesPerSecond: UInt64?
    /// The file of the secret, from the root.
    var secret: String?
    /// The other end's, of migrate.resume.
    var code: String?
  }
}

/// How it is with a machine.
struct MigrateReport: Codable {
  var schema = "apus-migrate"
  var version = 1
  /// moved, runs, stands, moving, arriving, dropped.
  var state: String
  var place: String?
  var reason: String?
  /// By which the other end may run the machine.
  var code: String?
  var rounds: Int?
  var pages: UInt64?
  var clusters: UInt64?
  var bytes: UInt64?
  var pauseMilliseconds: Double?
  var totalMilliseconds: Double?

  init(_ state: String, place: String? = nil, reason: String? = nil, code: String? = nil) {
    (self.state, self.place, self.reason, self.code) = (state, place, reason, code)
  }

  init(_ report: MigrationReport, to place: String) {
    self.init("moved", place: place)
    rounds = report.rounds
    pages = report.pages
    clusters = report.clusters
    bytes = report.bytes
    pauseMilliseconds = Double(report.pause) / 1e6
    totalMilliseconds = Double(report.total) / 1e6
  }
}

enum MigrateControl {
  /// The code of an answer that says: it is not known where the machine runs.
  static let doubtCode = 3

  /// The machine's end.
  /// - Returns: false: it is no request of these.
  static func answer(
    _ bytes: [UInt8], _ session: Session, _ send: @escaping @Sendable ([UInt8]) -> Void
  ) -> Bool {
    guard let request = try? JSONDecoder().decode(MigrateRequest.self, from: Data(bytes)),
      request.method.hasPrefix("migrate.")
    else { return false }
    let reply = Reply(request.id, send)
    do {
      switch request.method {
      case "migrate.send": try move(request.params ?? .init(), session, reply)
      case "migrate.cancel":
        if !session.cancelMove() { throw Failure.usage("the machine is not being moved") }
        let lock = HostCondition()
        while session.isBeingMoved, session.doubt == nil {
          lock.locked { lock.wait(nanoseconds: 20_000_000) }
        }
        // What could not be stopped any more has gone on.
        reply.give(session.hasGone ? MigrateReport("moved") : show(session))
      case "migrate.show": reply.give(show(session))
      case "migrate.resume":
        try session.needDoubt().resume(try code(request.params?.code))
        reply.give(MigrateReport("runs"))
      case "migrate.drop":
        let right = try session.needDoubt().drop()
        reply.give(MigrateReport("dropped", code: "\(right)"))
      default: return false
      }
    } catch { reply.fail(error) }
    return true
  }

  /// Answers once.
  private final class Reply: @unchecked Sendable {
    private let id: Int
    private let send: @Sendable ([UInt8]) -> Void
    private let lock = HostCondition()
    private var isGiven = false

    init(_ id: Int, _ send: @escaping @Sendable ([UInt8]) -> Void) {
      (self.id, self.send) = (id, send)
    }

    private func say(_ answer: BackupAnswer<MigrateReport>) {
      let text = (try? JSONText.encode(answer)) ?? "{}"
      send(Array(text.utf8) + [0x0A])
    }

    private func once(_ answer: BackupAnswer<MigrateReport>) {
      let isFirst = lock.locked { () -> Bool in
        defer { isGiven = true }
        return !isGiven
      }
      if isFirst { say(answer) }
    }

    func give(_ report: MigrateReport) { once(.init(id: id, result: report)) }

    func tell(_ done: UInt64, _ total: UInt64) {
      say(.init(method: "migrate.progress", params: .init(done: done, total: total)))
    }

    func fail(_ error: any Error) {
      let isUsage = (error as? StorageError)?.isUsage == true || error is Failure
      once(.init(id: id, error: .init(code: isUsage ? 1 : 2, message: "\(error)")))
    }

    func doubt(_ reason: String) {
      once(.init(id: id, error: .init(code: MigrateControl.doubtCode, message: reason)))
    }
  }

  private static func code(_ text: String?) throws -> MigrationRight? {
    guard let text else { return nil }
    guard let right = MigrationRight(text) else {
      throw Failure.usage("'\(text)' is no code: 'apus migrate drop' at the other end prints it")
    }
    return right
  }

  private static func move(
    _ wanted: MigrateRequest.Parameters, _ session: Session, _ reply: Reply
  ) throws {
    let address = try MigrateAddress(wanted.to ?? "")
    let secret = try address.secret(wanted.secret)
    var request = MoveRequest()
    request.carriesDisks = wanted.carry ?? false
    if let pause = wanted.pauseMilliseconds {
      guard pause >= 0, pause <= 3_600_000 else {
        throw Failure.usage("--pause \(pause): 0 to 3600000 milliseconds")
      }
      request.wish.pause = UInt64(pause * 1e6)
    }
    request.wish.rate = wanted.bytesPerSecond
    let told = Mutex<UInt64>(0)
    request.progress = { progress in
      let isDue = told.withLock { told -> Bool in
        let now = HostClock.nanoseconds()
        if now &- told < 200_000_000 { return false }
        told = now
        return true
      }
      if isDue { reply.tell(progress.sent, progress.sent + progress.left) }
    }
    request.doubt = { reply.doubt("\($0.reason)") }
    let link = try address.connect(secret)
    switch try session.move(over: link, to: "\(address)", request) {
    case .moved(let report): reply.give(MigrateReport(report, to: "\(address)"))
    // Who asked knows of the doubt; who has decided was answered.
    case .decided: break
    }
  }

  private static func show(_ session: Session) -> MigrateReport {
    if let doubt = session.doubt {
      return MigrateReport("stands", place: doubt.reason.path, reason: doubt.reason.reason)
    }
    if session.isArriving { return MigrateReport("arriving") }
    return MigrateReport(session.isBeingMoved ? "moving" : "runs")
  }
}

extension Session {
  fileprivate func needDoubt() throws -> MigrationDoubt {
    guard let doubt else {
      throw Failure.usage("the machine does not stand in doubt: there is nothing to decide")
    }
    return doubt
  }
}
