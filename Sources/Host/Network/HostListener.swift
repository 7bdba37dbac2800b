// A socket in a folder, at which programs of the same user are served one after the other.
//
// Owns: making it for its owner alone, names longer than a socket's may be, removing it. Must not know: what is said.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A Unix socket that others connect to.
public final class HostListener: @unchecked Sendable {
  private let descriptor: Int32
  private let path: String
  /// What the file is, so that only it is removed.
  private let facts: HostFileFacts?

  /// Serves at a path. A socket that nobody serves at any more is replaced.
  /// - Throws: `HostError`, also where somebody serves there.
  public init(_ path: String) throws(HostError) {
    self.path = path
    if let found = HostFiles.facts(path, followsLinks: false) {
      if let other = try? HostListener.connect(path) {
        other.end()
        throw HostError("'\(path)': another program serves there")
      }
      guard found.kind == .other else { throw HostError("'\(path)' is there and is no socket") }
      unlink(HostPath.system(path))
    }
    descriptor = try HostListener.bound(path)
    facts = HostFiles.facts(path, followsLinks: false)
  }

  deinit { close(descriptor) }

  /// A socket that serves at a path, its owner's alone.
  static func bound(_ path: String) throws(HostError) -> Int32 {
    let descriptor = socket(AF_UNIX, HostSockets.stream, 0)
    if descriptor < 0 { throw HostError("no socket: \(HostSockets.lastError)") }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    var failure: String?
    do throws(HostError) {
      try named(path) { address, size in
        // Before anybody can connect it is its owner's alone.
        let mask = umask(0o177)
        defer { umask(mask) }
        if HostSockets.systemBind(descriptor, address, size) != 0
          || HostSockets.systemListen(descriptor) != 0
        {
          failure = HostSockets.lastError
        }
      }
    } catch {
      failure = error.reason
    }
    if let failure {
      close(descriptor)
      throw HostError("cannot serve at '\(path)': \(failure)")
    }
    return descriptor
  }

  /// Waits for the next one who connects; nil: `end` was called.
  public func accept() -> LineConnection? {
    while true {
      let client = HostSockets.accept(descriptor)
      if client >= 0 { return LineConnection(connected: client) }
      if errno != EINTR && errno != ECONNABORTED { return nil }
    }
  }

  /// Nobody is served any more, and the socket is gone. From any thread, once.
  public func end() {
    shutdown(descriptor, Int32(SHUT_RDWR))
    if let facts, let present = HostFiles.facts(path, followsLinks: false),
      present.inode == facts.inode, present.device == facts.device
    {
      unlink(HostPath.system(path))
    }
  }

  /// Connects to who serves at a path.
  public static func connect(_ path: String) throws(HostError) -> LineConnection {
    let descriptor = socket(AF_UNIX, HostSockets.stream, 0)
    if descriptor < 0 { throw HostError("no socket: \(HostSockets.lastError)") }
    var result: Int32 = -1
    do throws(HostError) {
      try named(path) { address, size in
        result = HostSockets.systemConnect(descriptor, address, size)
      }
    } catch {
      close(descriptor)
      throw error
    }
    if result != 0 {
      let reason = HostSockets.lastError
      close(descriptor)
      throw HostError("nobody serves at '\(path)': \(reason)")
    }
    return LineConnection(connected: descriptor)
  }

  /// Gives a path as a socket's address. What is too long for one is reached through its folder's descriptor.
  private static func named(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Void)
    throws(HostError)
  {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let room = MemoryLayout.size(ofValue: address.sun_path) - 1
    var bytes = HostPath.bytes(path)
    var folder: Int32 = -1
    defer { if folder >= 0 { close(folder) } }
    if bytes.count > room {
      #if os(Linux)
        guard let slash = path.lastIndex(of: "/") else {
          throw HostError("a socket's name has at most \(room) bytes")
        }
        folder = open(HostPath.system(String(path[...slash])), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder < 0 { throw HostError(HostSockets.lastError) }
        bytes = HostPath.bytes("/proc/self/fd/\(folder)/" + path[path.index(after: slash)...])
      #endif
      if bytes.count > room { throw HostError("a socket's path has at most \(room) bytes") }
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }
}
