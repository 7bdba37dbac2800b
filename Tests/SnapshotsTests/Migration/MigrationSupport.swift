// Both ends of a machine that is moved, in one process.

import CPU
import Host
import Images
import Machine
import Session
import Snapshots
import Storage
import TestSupport
import Testing

@testable import Migration

/// A connection that is cut after so many messages, or in which bits are turned.
final class RoughLink: ByteLink, @unchecked Sendable {
  private let link: HostStream
  /// So many sendings are left; nil: any.
  private var left: Int?
  private(set) var sendings = 0
  /// What is done to what is sent: the number of the sending, the bytes.
  var change: ((Int, inout [UInt8]) -> Void)?

  init(_ link: HostStream, cutAfter left: Int? = nil) {
    self.link = link
    self.left = left
  }

  func send(_ head: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer, until end: UInt64)
    throws(HostError)
  {
    sendings += 1
    if let left {
      if left == 0 {
        link.close()
        throw HostError("cut")
      }
      self.left = left - 1
    }
    guard let change else { return try link.send(head, body, until: end) }
    var bytes = Array(head) + Array(body)
    let count = bytes.count
    change(sendings - 1, &bytes)
    if bytes.count < count { left = 0 }
    try HostError.passing { failure in
      bytes.withUnsafeBytes { buffer in
        do throws(HostError) {
          try link.send(buffer, .init(start: nil, count: 0), until: end)
        } catch { failure = error }
      }
    }
  }

  func receive(into buffer: UnsafeMutableRawBufferPointer, until end: UInt64) throws(HostError)
    -> Int
  { try link.receive(into: buffer, until: end) }

  func close() { link.close() }
}

/// A machine that is moved while a thread runs it.
final class Departure: @unchecked Sendable {
  let session: Session
  private let lock = HostCondition()
  private var ended: Result<MigrationEnd, StorageError>?
  private var stands: MigrationDoubt?
  private var threads: [HostThread] = []

  /// - Parameter runs: the machine runs meanwhile.
  init(_ session: Session, over link: any ByteLink, runs: Bool = true, carries: Bool = false) throws
  {
    self.session = session
    var request = MoveRequest()
    request.carriesDisks = carries
    request.doubt = { [self] doubt in
      lock.locked { stands = doubt }
      lock.broadcast()
    }
    // Not to its end, wherever the move is then.
    if runs {
      threads.append(try HostThread { _ = try? session.run(until: .instructions(90_000_000)) })
    }
    nonisolated(unsafe) let link = link
    let wish = request
    threads.append(
      try HostThread { [self] in
        let result: Result<MigrationEnd, StorageError>
        do throws(StorageError) {
          result = .success(try session.move(over: link, to: "there", wish))
        } catch { result = .failure(error) }
        lock.locked { ended = result }
        lock.broadcast()
      })
  }

  /// Waits until it is over or stands in doubt.
  func result() -> (end: Result<MigrationEnd, StorageError>?, doubt: MigrationDoubt?) {
    lock.locked {
      while ended == nil, stands == nil { lock.wait() }
      return (ended, stands)
    }
  }

  /// Waits until all of it is over.
  func join() -> Result<MigrationEnd, StorageError>? {
    for thread in threads { thread.join() }
    threads = []
    return ended
  }
}

/// Where a machine arrives.
enum Arrival {
  /// It runs here.
  case runs(Session)
  case doubt(MigrationDoubt, Session)
  case failed(StorageError)

  /// Takes the machine of `keeper` with one disk.
  /// - Parameter image: where the disk goes that comes along; nil: both ends have the same file.
  static func take(
    _ link: any ByteLink, engine: Engine, image: String? = nil,
    runsInDoubt: Bool = true
  ) throws -> Arrival {
    let messages = MigrationLink(link, to: "here")
    messages.patience = 2_000_000_000
    let receiver = MigrationReceiver(messages)
    let session: Session
    do throws(StorageError) {
      let offer = try receiver.hear()
      let disk = offer.disks[0]
      let device: any BlockDevice =
        image == nil
        ? AbsentDevice(name: disk.path, blockSize: disk.blockSize, blockCount: disk.blockCount)
        : try ImageOpener.open(path: image!, kind: .disk).device
      let opened = OpenedImage(
        path: image ?? disk.path, device: device,
        medium: .disk(physical: disk.physical!, translated: disk.translated!))
      do {
        session = try keeper("", engine: engine) {
          $0.drives[.disk(0)] = nil
          $0.machine.disks[0] = MachineImage(opened)
          $0.snapshots = .automatic
          $0.disksComeLater = image == nil
          $0.releasesHeldInput = false
        }
      } catch { throw StorageError(path: "here", reason: "\(error)") }
      let carried: [Int: any BlockDevice] = image == nil ? [:] : [0: device]
      let arrival = try session.perform { (machine) throws(StorageError) in
        try receiver.take(machine, carried)
      }
      switch arrival {
      case .doubt(let doubt): return .doubt(doubt, session)
      case .mayRun:
        do throws(StorageError) { try bring(session, image == nil ? disk.path : nil) } catch {
          receiver.tellFailure("\(error)")
          return .failed(error)
        }
        receiver.tellRunning()
        return .runs(session)
      }
    } catch {
      receiver.close()
      return .failed(error)
    }
  }

  /// Gives the session its disk's file.
  static func bring(_ session: Session, _ path: String?) throws(StorageError) {
    guard let path else { return }
    try session.imagesHaveCome(["disk0": try ImageOpener.open(path: path, kind: .disk).device])
  }
}
