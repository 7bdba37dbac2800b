// Messages over a connection.
//
// Owns: frames, their order, how long is waited for them, counting. Must not know: what is in messages.

import Host
import State
import Storage

/// One end of the connection over which a machine is moved. Used by one thread at a time.
public final class MigrationLink {
  private let link: any ByteLink
  /// What messages call the other end.
  public let place: String
  private var sent: UInt32 = 0
  private var received: UInt32 = 0
  /// Bytes sent so far.
  public private(set) var sentBytes: UInt64 = 0
  /// Nanoseconds of the host that a message may take.
  public var patience: UInt64 = 30_000_000_000
  private var room: UnsafeMutableRawBufferPointer
  /// What was received and belongs to messages to come.
  private let inbox = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 17, alignment: 64)
  private var waiting = 0..<0

  public init(_ link: any ByteLink, to place: String) {
    self.link = link
    self.place = place
    room = .allocate(byteCount: 1 << 21, alignment: 64)
  }

  deinit {
    room.deallocate()
    inbox.deallocate()
  }

  public func close() { link.close() }

  func error(_ reason: String) -> StorageError { StorageError(path: place, reason: reason) }

  /// Says how the connection was lost.
  private func lost(_ error: HostError) -> StorageError {
    self.error("the connection is lost: \(error.reason)")
  }

  // MARK: Sending

  func send(
    _ kind: MigrationMessage, _ first: UnsafeRawBufferPointer = .init(start: nil, count: 0),
    _ second: UnsafeRawBufferPointer = .init(start: nil, count: 0)
  ) throws(StorageError) {
    let start: (UInt64, UInt64) = (
      UInt64(MigrationFrame.magic) | UInt64(kind.rawValue) << 32,
      UInt64(first.count + second.count) | UInt64(sent) << 32
    )
    let fields = [start.0, start.1, MigrationFrame.check(start, first, second)].map(\.littleEndian)
    let end = HostClock.nanoseconds() &+ patience
    do throws(HostError) {
      try HostError.passing { failure in
        fields.withUnsafeBytes { head in
          do throws(HostError) {
            try link.send(head, first, until: end)
            if second.count > 0 {
              try link.send(second, .init(start: nil, count: 0), until: end)
            }
          } catch { failure = error }
        }
      }
    } catch { throw lost(error) }
    sent &+= 1
    sentBytes += UInt64(MigrationFrame.size + first.count + second.count)
  }

  func send(_ kind: MigrationMessage, _ bytes: [UInt8]) throws(StorageError) {
    try StorageError.passing { failure in
      bytes.withUnsafeBytes { buffer in
        do throws(StorageError) { try send(kind, buffer) } catch { failure = error }
      }
    }
  }

  func send(_ kind: MigrationMessage, _ body: (inout StateWriter) -> Void) throws(StorageError) {
    var writer = StateWriter()
    body(&writer)
    try send(kind, writer.bytes)
  }

  /// What may follow a reason is left away.
  static func short(_ reason: String) -> [UInt8] { Array(reason.utf8.prefix(2000)) }

  // MARK: Receiving

  /// Waits for the next message.
  /// - Parameters:
  ///   - patience: how long, in nanoseconds; nil: as long as for any other.
  ///   - isOver: whether it need not be waited for any longer; asked a few times a second.
  /// - Returns: what follows the frame; valid until the next is received.
  func receive(patience: UInt64? = nil, unless isOver: () -> Bool = { false })
    throws(StorageError) -> (kind: MigrationMessage, bytes: UnsafeRawBufferPointer)
  {
    let end = HostClock.nanoseconds() &+ (patience ?? self.patience)
    try fill(UnsafeMutableRawBufferPointer(rebasing: room[..<MigrationFrame.size]), end, isOver)
    func word(_ at: Int) -> UInt64 {
      UInt64(littleEndian: room.loadUnaligned(fromByteOffset: at, as: UInt64.self))
    }
    let (first, second, check) = (word(0), word(8), word(16))
    guard UInt32(truncatingIfNeeded: first) == MigrationFrame.magic else {
      throw error("it does not speak of machines that are moved")
    }
    guard first >> 40 == 0, let kind = MigrationMessage(rawValue: UInt8(first >> 32 & 0xFF)) else {
      throw error("message \(received) is of no known kind (\(first >> 32))")
    }
    let count = Int(second & 0xFFFF_FFFF)
    guard count <= kind.longest else {
      throw error("message \(received) (\(kind)) has \(count) bytes; \(kind.longest) are possible")
    }
    guard UInt32(second >> 32) == received else {
      throw error("message \(second >> 32) came where \(received) was due")
    }
    try grow(to: count)
    let bytes = UnsafeMutableRawBufferPointer(rebasing: room[..<count])
    try fill(bytes, end, isOver)
    guard
      MigrationFrame.check(
        (first, second), UnsafeRawBufferPointer(bytes)) == check
    else { throw error("message \(received) (\(kind)) was changed on its way") }
    received &+= 1
    return (kind, UnsafeRawBufferPointer(bytes))
  }

  /// What is given here is not touched before it is filled: who only says that much will come gets no memory of the host's.
  private func grow(to count: Int) throws(StorageError) {
    if count <= room.count { return }
    room.deallocate()
    room = .allocate(byteCount: count, alignment: 64)
  }

  private func fill(_ buffer: UnsafeMutableRawBufferPointer, _ end: UInt64, _ isOver: () -> Bool)
    throws(StorageError)
  {
    var done = 0
    while done < buffer.count {
      if waiting.isEmpty {
        let wanted = buffer.count - done
        let target =
          wanted >= inbox.count
          ? UnsafeMutableRawBufferPointer(rebasing: buffer[done...]) : inbox
        let count = try receiveSome(into: target, end, isOver)
        if wanted >= inbox.count {
          done += count
          continue
        }
        waiting = 0..<count
      }
      let count = min(waiting.count, buffer.count - done)
      UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count]).copyMemory(
        from: UnsafeRawBufferPointer(
          rebasing: inbox[waiting.lowerBound..<waiting.lowerBound + count]))
      waiting = waiting.lowerBound + count..<waiting.upperBound
      done += count
    }
  }

  private func receiveSome(
    into buffer: UnsafeMutableRawBufferPointer, _ end: UInt64, _ isOver: () -> Bool
  ) throws(StorageError) -> Int {
    while true {
      let now = HostClock.nanoseconds()
      if isOver() { throw error("nobody waits for it any more") }
      do throws(HostError) {
        return try link.receive(into: buffer, until: min(end, now &+ 200_000_000))
      } catch {
        if error.isSilence, HostClock.nanoseconds() < end { continue }
        throw lost(error)
      }
    }
  }

  /// Reads a message's fields.
  func reading<T>(
    _ kind: MigrationMessage, _ bytes: UnsafeRawBufferPointer,
    _ body: (inout StateReader) throws(StateError) -> T
  ) throws(StorageError) -> T {
    var reader = StateReader(Array(bytes))
    do throws(StateError) {
      let value = try body(&reader)
      if reader.remaining != 0 { throw reader.error("\(reader.remaining) bytes too many") }
      return value
    } catch { throw self.error("message \(received &- 1) (\(kind)): \(error)") }
  }
}
