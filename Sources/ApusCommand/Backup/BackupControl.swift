// A machine that runs and those who ask it for backups, templates, and disks out of snapshots: over the socket of its snapshots.
//
// Owns: the methods of both ends. Must not know: how backups are made, options.

import Backup
import Host
import Images
import Session
import Snapshots
import Storage

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What is asked: JSON-RPC 2.0, an object in a line.
struct BackupRequest: Codable {
  var jsonrpc = "2.0"
  var id = 1
  /// backup.create, snapshot.export, template.make.
  var method: String
  var params: Parameters?

  struct Parameters: Codable {
    /// Of backups, from the root.
    var folder: String?
    var machine: String?
    var name: String?
    var note: String?
    var disksOnly: Bool?
    /// Lines of backup.progress come before the answer.
    var progress: Bool?
    /// The new image, from the root.
    var file: String?
    var format: String?
    var disk: String?
    var replace: Bool?
  }
}

/// What comes back, and what comes before it.
struct BackupAnswer<Result: Codable>: Codable {
  var jsonrpc = "2.0"
  var id: Int?
  var method: String?
  var params: Progress?
  var result: Result?
  var error: ControlResponse.Problem?

  struct Progress: Codable {
    /// Bytes of the disks.
    var done: UInt64
    var total: UInt64
  }
}

/// A disk that was copied out of a snapshot.
struct SnapshotExportReport: Codable {
  var schema = "apus-snapshot-export"
  var version = 1
  var snapshot: String
  var drive: String
  var file: String
  var format: String
  var virtualSize: UInt64
  var dataBytes: UInt64
}

enum BackupControl {
  /// The machine's end.
  /// - Returns: false: it is no request of these.
  static func answer(_ bytes: [UInt8], _ session: Session, _ send: @escaping ([UInt8]) -> Void)
    -> Bool
  {
    guard let request = try? JSONDecoder().decode(BackupRequest.self, from: Data(bytes)) else {
      return false
    }
    switch request.method {
    case "backup.create":
      reply(request, send) { () throws in try create(request, session, send) }
      session.collectSnapshots()
    case "snapshot.export":
      reply(request, send) { () throws in try export(request, session) }
    case "template.make":
      reply(request, send) { () throws in try template(request, session) }
    default: return false
    }
    return true
  }

  private static func reply<Result: Codable>(
    _ request: BackupRequest, _ send: ([UInt8]) -> Void, _ body: () throws -> Result
  ) {
    var answer = BackupAnswer<Result>(id: request.id)
    do { answer.result = try body() } catch {
      let isUsage =
        (error as? StorageError)?.isUsage == true || error is ImageUsageError || error is Failure
      answer.error = .init(code: isUsage ? 1 : 2, message: "\(error)")
    }
    say(answer, send)
  }

  private static func say(_ value: some Encodable, _ send: ([UInt8]) -> Void) {
    let text = (try? JSONText.encode(value)) ?? "{}"
    send(Array(text.utf8) + [0x0A])
  }

  /// Paths are the machine's: who asks may be elsewhere.
  private static func path(_ text: String?, _ what: String) throws -> String {
    guard let text, text.hasPrefix("/") else {
      throw Failure.usage("\(what): a path from the root is needed")
    }
    return text
  }

  private static func create(
    _ request: BackupRequest, _ session: Session, _ send: @escaping ([UInt8]) -> Void
  ) throws -> BackupMadeReport {
    let wanted = request.params ?? .init()
    var wish = BackupWish(machine: wanted.machine ?? "")
    wish.name = wanted.name
    wish.note = wanted.note ?? ""
    wish.onlyDisks = wanted.disksOnly ?? false
    var told: UInt64 = 0
    let result = try session.makeBackup(wish, in: try path(wanted.folder, "folder")) {
      (done, total) in
      let now = HostClock.nanoseconds()
      guard wanted.progress == true, now &- told > 200_000_000 else { return }
      told = now
      say(
        BackupAnswer<BackupMadeReport>(
          method: "backup.progress", params: .init(done: done, total: total)), send)
    }
    return BackupMadeReport(result, running: true)
  }

  private static func template(_ request: BackupRequest, _ session: Session) throws
    -> TemplateReport
  {
    let wanted = request.params ?? .init()
    let file = try path(wanted.file, "file")
    let header = try session.makeTemplate(
      at: file, of: wanted.name, replacing: wanted.replace ?? false)
    return TemplateReport(header, file: file)
  }

  private static func export(_ request: BackupRequest, _ session: Session) throws
    -> SnapshotExportReport
  {
    let wanted = request.params ?? .init()
    let file = try path(wanted.file, "file")
    var wish = CreateRequest(file, format: wanted.format ?? "raw")
    wish.replaces = wanted.replace ?? false
    let (snapshot, drive, image) = try session.exportSnapshot(
      wanted.name ?? "", drive: wanted.disk, wish)
    return SnapshotExportReport(
      snapshot: snapshot.name, drive: drive, file: file, format: image.format,
      virtualSize: image.virtualSize, dataBytes: image.dataBytes)
  }

  /// The other end: asks, and waits for the answer.
  static func call<Result: Codable>(
    _ client: SnapshotClient, _ method: String, _ parameters: BackupRequest.Parameters,
    progress: (UInt64, UInt64) -> Void = { _, _ in }
  ) throws -> Result {
    let request = BackupRequest(method: method, params: parameters)
    var answer: BackupAnswer<Result>?
    _ = client.exchange(Array(try JSONText.encode(request).utf8)) { bytes in
      let line = try? JSONDecoder().decode(BackupAnswer<Result>.self, from: Data(bytes))
      if let told = line?.params, line?.method != nil {
        progress(told.done, told.total)
        return false
      }
      answer = line
      return true
    }
    guard let answer else {
      throw Failure.host("the machine that runs did not answer: it has ended, perhaps")
    }
    if let error = answer.error {
      if error.code == 1 { throw Failure.usage(error.message) }
      throw Failure.host(error.message)
    }
    guard let result = answer.result else { throw Failure.host("the answer has no result") }
    return result
  }

  /// A path as the machine finds it, too.
  static func absolute(_ path: String) -> String {
    if path.hasPrefix("/") { return path }
    return (HostProcess.resolved(".") ?? "") + "/" + path
  }
}
