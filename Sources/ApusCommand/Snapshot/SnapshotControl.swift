// A machine that runs and those who ask it for snapshots: a socket in its tree's folder.
//
// Owns: both ends of it. Must not know: how snapshots are taken, options.

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

/// Serves whoever asks a session for snapshots.
final class SnapshotServer: @unchecked Sendable {
  private let session: Session
  private let listener: HostListener
  /// Bytes of a request.
  private static let longest = 1 << 20
  private static let mostClients = 16
  private let lock = HostCondition()
  private var clients = 0
  /// Requests that have no answer yet.
  private var busy = 0

  /// - Throws: `HostError` when there is no socket.
  init(_ session: Session, at path: String) throws(HostError) {
    self.session = session
    listener = try HostListener(path)
    _ = try HostThread(detached: true) { [self] in
      while let client = listener.accept() { serve(client) }
    }
  }

  /// Nobody is served any more; who was asking gets the answer first.
  func end() {
    listener.end()
    let end = HostClock.nanoseconds() &+ 2_000_000_000
    lock.locked {
      while busy > 0, HostClock.nanoseconds() < end { lock.wait(nanoseconds: 50_000_000) }
    }
  }

  private func serve(_ client: LineConnection) {
    let isFree = lock.locked { () -> Bool in
      if clients >= SnapshotServer.mostClients { return false }
      clients += 1
      return true
    }
    guard isFree else { return client.end() }
    let started = try? HostThread(detached: true) { [self] in
      while let line = client.next() {
        guard case .text(let bytes) = line, bytes.count <= SnapshotServer.longest else {
          client.end()
          break
        }
        if bytes.isEmpty { continue }
        // Who was not answered in time, as this process stood, does not want it any more.
        if client.isLeft { break }
        lock.locked { busy += 1 }
        defer {
          lock.locked { busy -= 1 }
          lock.broadcast()
        }
        if BackupControl.answer(bytes, session, client.send) { continue }
        if MigrateControl.answer(bytes, session, { client.send($0) }) { continue }
        let text = (try? JSONText.encode(answer(bytes))) ?? "{}"
        client.send(Array(text.utf8) + [0x0A])
      }
      lock.locked { clients -= 1 }
    }
    if started == nil { lock.locked { clients -= 1 } }
  }

  private func answer(_ bytes: [UInt8]) -> ControlResponse {
    guard let request = try? JSONDecoder().decode(ControlRequest.self, from: Data(bytes)) else {
      return ControlResponse(error: .init(code: -32600, message: "no request"))
    }
    do throws(StorageError) {
      guard let result = try carryOut(request) else {
        return ControlResponse(
          id: request.id,
          error: .init(code: -32601, message: "there is no method '\(request.method)'"))
      }
      return ControlResponse(id: request.id, result: result)
    } catch {
      return ControlResponse(
        id: request.id, error: .init(code: error.isUsage ? 1 : 2, message: "\(error)"))
    }
  }

  private func carryOut(_ request: ControlRequest) throws(StorageError) -> SnapshotResult? {
    let wanted = request.params ?? ControlRequest.Parameters()
    switch request.method {
    case "snapshot.list":
      let tree = session.snapshotTree
      let current = tree?.current?.id
      return SnapshotResult(
        "list", (tree?.snapshots ?? []).map { SnapshotReport($0, isCurrent: $0.id == current) },
        running: true, nil)
    case "snapshot.take":
      var wish = SnapshotWish(wanted.name)
      wish.note = wanted.note ?? ""
      wish.onlyDisks = wanted.disksOnly ?? false
      wish.isTemporary = wanted.throwAway ?? false
      let (record, timing) = try session.takeSnapshot(wish)
      return SnapshotResult(
        "take", [SnapshotReport(record, isCurrent: true)], running: true, timing)
    case "snapshot.restore":
      let (record, timing) = try session.goBack(to: wanted.name ?? "")
      return SnapshotResult(
        "restore", [SnapshotReport(record, isCurrent: true)], running: true, timing)
    case "snapshot.delete":
      let gone = try session.deleteSnapshots(
        wanted.names ?? [], descendants: wanted.descendants ?? false)
      return SnapshotResult(
        "delete", gone.map { SnapshotReport($0, isCurrent: false) }, running: true, nil)
    default: return nil
    }
  }
}

/// Says that an answer takes long, once.
private final class ClientPatience: @unchecked Sendable {
  private let lock = HostCondition()
  private var isOver = false

  init() {
    _ = try? HostThread(detached: true) { [self] in
      let end = HostClock.nanoseconds() &+ 5_000_000_000
      lock.locked {
        while !isOver, HostClock.nanoseconds() < end {
          lock.wait(nanoseconds: end &- min(end, HostClock.nanoseconds()))
        }
        if isOver { return }
        ApusProgram.say([
          "apus: the machine has not answered yet: it is busy, or was stopped; Ctrl-C gives up"
        ])
      }
    }
  }

  func end() {
    lock.locked { isOver = true }
    lock.broadcast()
  }
}

/// Asks a machine that runs.
struct SnapshotClient {
  private let connection: LineConnection

  static func socket(in folder: String) -> String { folder + "/control" }

  /// nil: no machine runs there.
  init?(folder: String) { self.init(socket: SnapshotClient.socket(in: folder)) }

  /// The same at a socket of any name.
  init?(socket path: String) {
    guard HostFiles.exists(path), let connection = try? HostListener.connect(path) else {
      return nil
    }
    self.connection = connection
  }

  /// Sends a request in a line, and hears what comes back until that is the answer.
  /// - Returns: false: the machine has ended.
  func exchange(_ request: [UInt8], _ isAnswer: ([UInt8]) -> Bool) -> Bool {
    connection.send(request + [0x0A])
    let patience = ClientPatience()
    defer { patience.end() }
    while case .text(let bytes)? = connection.next() {
      patience.end()
      if isAnswer(bytes) { return true }
    }
    return false
  }

  /// Asks, and waits for the answer.
  func call(_ method: String, _ parameters: ControlRequest.Parameters) throws -> SnapshotResult {
    let request = ControlRequest(id: 1, method: method, params: parameters)
    connection.send(Array(try JSONText.encode(request).utf8) + [0x0A])
    let patience = ClientPatience()
    defer { patience.end() }
    guard case .text(let bytes)? = connection.next(),
      let response = try? JSONDecoder().decode(ControlResponse.self, from: Data(bytes))
    else { throw Failure.host("the machine that runs did not answer: it has ended, perhaps") }
    if let error = response.error {
      if error.code == 1 { throw Failure.usage(error.message) }
      throw Failure.host(error.message)
    }
    guard let result = response.result else { throw Failure.host("the answer has no result") }
    return result
  }
}
