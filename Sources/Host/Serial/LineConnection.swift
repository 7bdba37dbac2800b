// Lines to and from another program: over a Unix socket, or standard input and output.
//
// Owns: cutting what comes into lines, the longest that is kept. Must not know: what lines mean.

import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A conversation in lines. One thread reads and writes; any thread may end it.
public final class LineConnection: @unchecked Sendable {
  /// What has come.
  public enum Line: Equatable, Sendable {
    /// A line without its end (LF, or CR and LF).
    case text([UInt8])
    /// A line that was longer than `limit`; it is gone.
    case tooLong
  }

  /// The longest line that is kept, in bytes.
  public static let limit = 1 << 28

  /// Nil: standard input and output.
  private let descriptor: Int32?
  private let path: String?
  private let hasEnded = Atomic<Bool>(false)
  private let reading = HostReading()
  private var pending: [UInt8] = []
  /// How far `pending` is used up, and how far it was looked through.
  private var (used, seen) = (0, 0)

  /// Standard input and output.
  public init() { (descriptor, path) = (nil, nil) }

  /// A Unix socket: connects where somebody serves at it, otherwise serves there and waits for the first who connects.
  /// - Throws: `HostError`.
  public init(unix path: String) throws(HostError) {
    let (opened, isServer) = try HostSockets.unix(path)
    guard isServer else {
      (descriptor, self.path) = (opened, nil)
      return
    }
    var client: Int32 = -1
    repeat { client = HostSockets.accept(opened) } while client < 0 && errno == EINTR
    let reason = HostSockets.lastError
    close(opened)
    if client < 0 {
      HostSockets.removeFile(path)
      throw HostError("nobody connects to '\(path)': \(reason)")
    }
    (descriptor, self.path) = (client, path)
  }

  /// One that is connected already.
  init(connected descriptor: Int32) { (self.descriptor, path) = (descriptor, nil) }

  deinit {
    if let descriptor { close(descriptor) }
    if let path { HostSockets.removeFile(path) }
  }

  /// Whoever reads, or will, finds the end.
  public func end() {
    hasEnded.store(true, ordering: .relaxed)
    if let descriptor { shutdown(descriptor, Int32(SHUT_RDWR)) } else { reading.stop() }
  }

  /// Waits for the next line; nil at the end. What stands behind the last line's end is a line, too.
  public func next() -> Line? {
    var isTooLong = false
    while true {
      if let end = pending[seen...].firstIndex(of: 0x0A) {
        let line = pending[used..<end]
        (used, seen) = (end + 1, end + 1)
        if isTooLong { return .tooLong }
        return .text(Array(line.last == 0x0D ? line.dropLast() : line))
      }
      pending.removeFirst(used)
      used = 0
      if pending.count > LineConnection.limit {
        pending = []
        isTooLong = true
      }
      seen = pending.count
      guard !hasEnded.load(ordering: .relaxed), let more = readSome() else {
        defer { (pending, seen) = ([], 0) }
        return isTooLong ? .tooLong : pending.isEmpty ? nil : .text(pending)
      }
      pending += more
    }
  }

  private func readSome() -> [UInt8]? {
    guard let descriptor else { return HostFiles.readSome(0x10000, reading) }
    let most = 0x10000
    var bytes = [UInt8](repeating: 0, count: most)
    while true {
      let count = read(descriptor, &bytes, most)
      if count > 0 { return Array(bytes[..<count]) }
      if count < 0 && errno == EINTR { continue }
      return nil
    }
  }

  /// Whether the other end has gone, or will say nothing more.
  public var isLeft: Bool {
    guard let descriptor else { return false }
    // What it has said and was not read is none of it.
    #if os(Linux)
      let events = Int16(0x2000)
    #else
      let events = Int16(POLLHUP)
    #endif
    var entry = pollfd(fd: descriptor, events: events, revents: 0)
    return poll(&entry, 1, 0) > 0
  }

  /// Sends bytes, all of them; what nobody reads any more is dropped.
  public func send(_ bytes: [UInt8]) {
    guard let descriptor else { return HostFiles.print(bytes) }
    var done = 0
    bytes.withUnsafeBytes { buffer in
      while done < buffer.count {
        let count = write(descriptor, buffer.baseAddress! + done, buffer.count - done)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 {
          hasEnded.store(true, ordering: .relaxed)
          return
        }
        done += count
      }
    }
  }
}
