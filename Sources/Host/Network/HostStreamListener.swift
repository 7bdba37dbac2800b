// A socket at which one connection after the other is taken.
//
// Owns: serving at a path or at an address of a network. Must not know: what is said.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A socket that others connect to.
public final class HostStreamListener: @unchecked Sendable {
  private let descriptor: Int32
  private let path: String?

  /// Serves at a path, for this user alone. A socket that nobody serves at any more is replaced.
  public init(socket path: String) throws(HostError) {
    if let found = HostFiles.facts(path, followsLinks: false) {
      if let other = try? HostListener.connect(path) {
        other.end()
        throw HostError("'\(path)': another program serves there")
      }
      guard found.kind == .other else { throw HostError("'\(path)' is there and is no socket") }
      unlink(HostPath.system(path))
    }
    descriptor = try HostListener.bound(path)
    self.path = path
  }

  /// Serves at an address of this host: a name or a number, with a port.
  public init(host: String, port: UInt16) throws(HostError) {
    var hints = addrinfo()
    hints.ai_socktype = HostSockets.stream
    hints.ai_flags = AI_PASSIVE
    var list: UnsafeMutablePointer<addrinfo>?
    let found = getaddrinfo(host, String(port), &hints, &list)
    if found != 0 {
      throw HostError("the address is not found: \(String(cString: gai_strerror(found)))")
    }
    defer { freeaddrinfo(list) }
    guard let info = list?.pointee else { throw HostError("the address is not found") }
    let descriptor = socket(info.ai_family, HostSockets.stream, 0)
    if descriptor < 0 { throw HostError("no socket: \(HostSockets.lastError)") }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    var yes: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    if HostSockets.systemBind(descriptor, info.ai_addr, info.ai_addrlen) != 0
      || HostSockets.systemListen(descriptor, waiting: 64) != 0
    {
      let reason = HostSockets.lastError
      close(descriptor)
      throw HostError("cannot serve at \(host) port \(port): \(reason)")
    }
    self.descriptor = descriptor
    path = nil
  }

  deinit { close(descriptor) }

  /// Waits for the next one who connects.
  /// - Throws: `end` was called, or the host refuses.
  public func accept() throws(HostError) -> HostStream {
    while true {
      let client = HostSockets.accept(descriptor)
      if client >= 0 {
        _ = fcntl(client, F_SETFD, FD_CLOEXEC)
        var yes: Int32 = 1
        setsockopt(
          client, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        return HostStream(connected: client)
      }
      if errno != EINTR && errno != ECONNABORTED { throw HostError(HostSockets.lastError) }
    }
  }

  /// Nobody is served any more, and a socket's file is gone.
  public func end() {
    shutdown(descriptor, Int32(SHUT_RDWR))
    if let path { unlink(HostPath.system(path)) }
  }
}
