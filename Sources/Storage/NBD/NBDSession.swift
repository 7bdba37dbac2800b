// One export for as long as it is used, over as many connections as that takes.
//
// Owns: connecting, making a lost connection again within its time, repeating what was under way; that all who open an export here share
// one connection where the server may have no more. Must not know: image formats, and what the bytes are for.

import Host
import Synchronization

/// Safe from any thread: one request at a time.
final class NBDSession: @unchecked Sendable {
  /// Those that others may join, by the name that was opened, and how many use each.
  private static let shared = Mutex<[String: (session: NBDSession, users: Int)]>([:])

  let address: NBDAddress
  /// As the user wrote it.
  let name: String
  private(set) var export: NBDExport
  private var connection: NBDConnection?
  private var reading: NBDReading?
  private var unflushed = NBDUnflushed()
  private var isClosed = false
  /// The server said that it does not tell of holes after all.
  private var isSilentAboutHoles = false
  /// The server refused to write zeros by a command of their own: they are sent.
  private var isWithoutZeroes = false
  /// A server of the old style announced flushes and knows none: it is as one that never did.
  private var isWithoutFlush = false
  private var flushes: Bool { export.has(NBD.sendFlush) && !isWithoutFlush }

  /// Makes a connection; tests bring their own.
  typealias Connector = (NBDAddress, _ until: UInt64) throws(NBDFailure) -> NBDConnection
  private let connect: Connector
  /// One at a time.
  private let turn = HostCondition()

  init(
    _ name: String,
    connect: @escaping Connector = { (address, end) throws(NBDFailure) in
      try NBDConnection(address, until: end)
    }
  ) throws(StorageError) {
    self.name = name
    self.connect = connect
    address = try NBDAddress(name)
    do throws(NBDFailure) {
      let new = try connect(address, NBDSession.patience(address))
      connection = new
      reading = NBDReading(new)
      export = new.export
    } catch { throw StorageError(path: name, reason: error.words) }
  }

  /// The session for a name: a new one, or the one that is open where the server does not say that several connections see the same. Such
  /// servers often have one client at a time and let others wait.
  static func open(_ name: String) throws(StorageError) -> NBDSession {
    let known = shared.withLock { all -> NBDSession? in
      all[name]?.users += 1
      return all[name]?.session
    }
    if let known { return known }
    let new = try NBDSession(name)
    if !new.export.has(NBD.canMultiConn) {
      shared.withLock { if $0[name] == nil { $0[name] = (new, 1) } }
    }
    return new
  }

  deinit { close() }

  /// Whoever opened it needs it no longer; it ends with the last of them.
  func close() {
    let isLast = NBDSession.shared.withLock { all -> Bool in
      guard let entry = all[name], entry.session === self else { return true }
      all[name] = entry.users > 1 ? (self, entry.users - 1) : nil
      return entry.users == 1
    }
    guard isLast else { return }
    turn.locked {
      connection?.close()
      connection = nil
      reading = nil
      isClosed = true
    }
  }

  /// When a connection has to be made: a handshake takes no longer than any answer may.
  private static func patience(_ address: NBDAddress) -> UInt64 {
    HostClock.nanoseconds() &+ min(address.timeout, 10_000_000_000)
  }

  // MARK: Lost connections

  /// Does something on a connection, and again on a new one when that is lost.
  private func attempt<Value>(
    at offset: UInt64?, _ what: (NBDConnection) throws(NBDFailure) -> Value
  ) throws(StorageError) -> Value {
    var firstLoss: UInt64?
    var pause: UInt64 = 0
    while true {
      if isClosed { throw StorageError(path: name, offset: offset, reason: "is closed") }
      do throws(NBDFailure) {
        let connection = try connected()
        return try what(connection)
      } catch {
        if case .server = error {
          throw StorageError(path: name, offset: offset, reason: error.words)
        }
        connection?.drop()
        reading?.forget()
        (connection, reading) = (nil, nil)
        guard case .lost(let words) = error else {
          throw StorageError(path: name, offset: offset, reason: error.words)
        }
        let now = HostClock.nanoseconds()
        let since = firstLoss ?? now
        firstLoss = since
        let end = since &+ address.reconnect
        if address.reconnect == 0 || now >= end {
          throw StorageError(
            path: name, offset: offset,
            reason: "the connection is lost: \(words)"
              + (address.reconnect == 0
                ? "" : "; no new one could be used within \(address.reconnect / 1_000_000_000) s"))
        }
        if pause > 0 {
          let length = min(pause, end - now)
          // Nobody wakes it: it sleeps.
          let condition = HostCondition()
          condition.locked { condition.wait(nanoseconds: length) }
        }
        pause = min(max(pause * 2, 50_000_000), 1_000_000_000)
      }
    }
  }

  private func connected() throws(NBDFailure) -> NBDConnection {
    if let connection { return connection }
    let new = try connect(address, NBDSession.patience(address))
    if new.export.size != export.size {
      throw .refused(
        "the export had \(export.size) bytes, and after the connection was lost it has \(new.export.size)"
      )
    }
    if new.export.isReadOnly && !export.isReadOnly {
      throw .refused("after the connection was lost the export is read-only")
    }
    export = new.export
    connection = new
    reading = NBDReading(new)
    // What the server said it has written it may have lost with the connection.
    for change in unflushed.changes {
      switch change {
      case .write(let offset, let bytes):
        var failure: NBDFailure?
        bytes.withUnsafeBytes { bytes in
          do throws(NBDFailure) { try put(new, offset, bytes) } catch { failure = error }
        }
        if let failure { throw failure }
      case .zeros(let offset, let count, let releasing):
        try zero(new, offset, count, releasing)
      }
    }
    return new
  }

  // MARK: Requests, in multiples of the least size

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try turn.locked { () throws(StorageError) in
      try attempt(at: offset) { connection throws(NBDFailure) in
        if let reading { try reading.read(at: offset, into: buffer) }
      }
    }
  }

  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try turn.locked { () throws(StorageError) in try writeNow(offset, buffer) }
  }

  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try turn.locked { () throws(StorageError) in try zeroNow(offset, count, releasing) }
  }

  func flush() throws(StorageError) {
    try turn.locked { () throws(StorageError) in try flushNow() }
  }

  private func writeNow(_ offset: UInt64, _ buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try attempt(at: offset) { connection throws(NBDFailure) in
      try put(connection, offset, buffer)
    }
    guard flushes else { return }
    unflushed.add(offset, buffer)
    if unflushed.isFull { try flushNow() }
  }

  private func zeroNow(_ offset: UInt64, _ count: UInt64, _ releasing: Bool) throws(StorageError) {
    try attempt(at: offset) { connection throws(NBDFailure) in
      try zero(connection, offset, count, releasing)
    }
    guard flushes else { return }
    unflushed.addZeros(offset, count, releasing: releasing)
    if unflushed.isFull { try flushNow() }
  }

  private func flushNow() throws(StorageError) {
    if !flushes || export.isReadOnly { return }
    try attempt(at: nil) { connection throws(NBDFailure) in
      try connection.settle()
      let request = try connection.send(.flush, offset: 0, length: 0)
      try connection.wait(for: request)
      if let code = request.failure?.code, export.isOldStyle, NBD.isUnknown(code) {
        isWithoutFlush = true
        return
      }
      try request.check()
    }
    unflushed.removeAll()
  }

  private func put(
    _ connection: NBDConnection, _ offset: UInt64, _ buffer: UnsafeRawBufferPointer
  ) throws(NBDFailure) {
    reading?.forget(offset..<offset + UInt64(buffer.count))
    // Who has something to say to us does not listen meanwhile.
    try connection.settle()
    let most = Int(min(export.maximum, 256 << 10))
    let piece = most - most % Int(export.minimum)
    var requests: [NBDRequest] = []
    var done = 0
    while done < buffer.count {
      let count = min(piece, buffer.count - done)
      requests.append(
        try connection.send(
          .write, offset: offset + UInt64(done), length: count,
          payload: UnsafeRawBufferPointer(rebasing: buffer[done..<done + count])))
      done += count
    }
    for request in requests { try connection.wait(for: request) }
    for request in requests { try request.check() }
  }

  /// Zeros; TRIM does not promise any.
  private func zero(
    _ connection: NBDConnection, _ offset: UInt64, _ count: UInt64, _ releasing: Bool
  ) throws(NBDFailure) {
    reading?.forget(offset..<offset + count)
    try connection.settle()
    // Short enough that an answer comes in time also where zeros are written.
    var done: UInt64 = 0
    while done < count, export.has(NBD.sendWriteZeroes), !isWithoutZeroes {
      let part = min(count - done, 32 << 20)
      let request = try connection.send(
        .writeZeroes, offset: offset + done, length: Int(part), flags: releasing ? 0 : NBD.noHole)
      try connection.wait(for: request)
      if let code = request.failure?.code, NBD.isUnknown(code) {
        isWithoutZeroes = true
        break
      }
      try request.check()
      done += part
    }
    if done == count { return }
    let zeros = [UInt8](repeating: 0, count: Int(min(count - done, 1 << 20)))
    while done < count {
      let part = min(count - done, 1 << 20)
      var failure: NBDFailure?
      zeros.withUnsafeBytes { zeros in
        do throws(NBDFailure) {
          try put(connection, offset + done, UnsafeRawBufferPointer(rebasing: zeros[..<Int(part)]))
        } catch { failure = error }
      }
      if let failure { throw failure }
      done += part
    }
  }

  /// What is known of holes from an offset on.
  /// - Returns: nil: nothing.
  func status(at offset: UInt64, count: UInt64) -> [NBDRun]? {
    if export.allocation == nil || isSilentAboutHoles { return nil }
    do throws(StorageError) {
      return try turn.locked { () throws(StorageError) -> [NBDRun]? in
        try attempt(at: offset) { connection throws(NBDFailure) -> [NBDRun]? in
          // A server that came back may tell less.
          if export.allocation == nil { return nil }
          let request = try connection.send(.blockStatus, offset: offset, length: Int(count))
          try connection.wait(for: request)
          try request.check()
          return request.runs.isEmpty ? nil : request.runs
        }
      }
    } catch {
      isSilentAboutHoles = true
      return nil
    }
  }
}
