// A connection to a server, of which nothing waits for ever.
//
// Owns: connecting by name or by a socket's path, sending and receiving until a time. Must not know: what is said.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A connected socket. Used by one thread at a time.
public final class HostStream: @unchecked Sendable {
  private var descriptor: Int32

  /// Connects to a server by its host's name.
  /// - Parameter end: when it gives up, by `HostClock.nanoseconds`; finding the host's address is the system's, with its own limit.
  public init(host: String, port: UInt16, until end: UInt64) throws(HostError) {
    var hints = addrinfo()
    hints.ai_socktype = HostSockets.stream
    var list: UnsafeMutablePointer<addrinfo>?
    let found = getaddrinfo(host, String(port), &hints, &list)
    if found != 0 {
      throw HostError("the host is not found: \(String(cString: gai_strerror(found)))")
    }
    defer { freeaddrinfo(list) }
    var reason = "it has no address"
    var entry = list
    while let info = entry {
      let (new, failure) = HostStream.connected(
        info.pointee.ai_family, info.pointee.ai_addr, info.pointee.ai_addrlen, until: end)
      if let failure {
        reason = failure
      } else {
        descriptor = new
        var yes: Int32 = 1
        setsockopt(
          new, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        setsockopt(new, SOL_SOCKET, SO_KEEPALIVE, &yes, socklen_t(MemoryLayout<Int32>.size))
        return
      }
      entry = info.pointee.ai_next
    }
    throw HostError("cannot connect: \(reason)")
  }

  /// Connects to a server at a Unix socket.
  public init(socket path: String, until end: UInt64) throws(HostError) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = HostPath.bytes(path)
    let room = MemoryLayout.size(ofValue: address.sun_path) - 1
    if bytes.isEmpty || bytes.count > room {
      throw HostError("a socket's path has 1 to \(room) bytes")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let (new, failure) = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        HostStream.connected(
          AF_UNIX, $0, socklen_t(MemoryLayout<sockaddr_un>.size), until: end)
      }
    }
    if let failure { throw HostError("cannot connect: \(failure)") }
    descriptor = new
  }

  /// Takes a socket that is connected already.
  init(connected descriptor: Int32) {
    self.descriptor = descriptor
    HostSockets.makeNonBlocking(descriptor)
  }

  /// Two ends of one connection, for tests of what speaks over it.
  public static func pair() throws(HostError) -> (HostStream, HostStream) {
    var ends: [Int32] = [-1, -1]
    if socketpair(AF_UNIX, HostSockets.stream, 0, &ends) != 0 {
      throw HostError("no sockets: \(HostSockets.lastError)")
    }
    return (HostStream(connected: ends[0]), HostStream(connected: ends[1]))
  }

  deinit { close() }

  /// Says that nothing more will be sent; what the other end sends still comes.
  public func endSending() { _ = shutdown(descriptor, HostStream.sending) }

  #if canImport(Glibc)
    private static let sending = Int32(SHUT_WR)
  #else
    private static let sending = SHUT_WR
  #endif

  /// Ends the connection.
  public func close() {
    if descriptor >= 0 { closeDescriptor(descriptor) }
    descriptor = -1
  }

  private static func connected(
    _ family: Int32, _ address: UnsafePointer<sockaddr>, _ size: socklen_t, until end: UInt64
  ) -> (Int32, String?) {
    let descriptor = socket(family, HostSockets.stream, 0)
    if descriptor < 0 { return (-1, HostSockets.lastError) }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    HostSockets.makeNonBlocking(descriptor)
    var code = HostSockets.systemConnect(descriptor, address, size) == 0 ? 0 : errno
    // A Unix socket's server with too many that wait says EAGAIN; it is asked again.
    while code == EAGAIN, HostClock.nanoseconds() < end {
      usleep(10_000)
      code = HostSockets.systemConnect(descriptor, address, size) == 0 ? 0 : errno
    }
    if code == EINPROGRESS || code == EINTR {
      code = ETIMEDOUT
      if HostStream.wait(descriptor, Int16(POLLOUT), until: end) {
        var size = socklen_t(MemoryLayout<Int32>.size)
        code = 0
        if getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) != 0 { code = errno }
      }
    }
    if code == 0 {
      #if canImport(Darwin)
        var yes: Int32 = 1
        setsockopt(
          descriptor, SOL_SOCKET, SO_NOSIGPIPE, &yes, socklen_t(MemoryLayout<Int32>.size))
      #endif
      return (descriptor, nil)
    }
    let reason = String(cString: strerror(code))
    closeDescriptor(descriptor)
    return (-1, reason)
  }

  /// Waits until a socket is ready.
  /// - Returns: false when the time is over.
  private static func wait(_ descriptor: Int32, _ events: Int16, until end: UInt64) -> Bool {
    while true {
      let now = HostClock.nanoseconds()
      if now >= end { return false }
      var entry = pollfd(fd: descriptor, events: events, revents: 0)
      let left = min((end - now) / 1_000_000 + 1, 60_000)
      if poll(&entry, 1, Int32(left)) > 0 { return true }
    }
  }

  #if canImport(Darwin)
    private static let quiet: Int32 = 0
  #else
    private static let quiet = Int32(MSG_NOSIGNAL)
  #endif

  /// Sends two runs of bytes, one behind the other.
  /// - Throws: when the connection is lost, or not everything was taken in time.
  public func send(
    _ head: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer = .init(start: nil, count: 0),
    until end: UInt64
  ) throws(HostError) {
    var done = 0
    let total = head.count + body.count
    while done < total {
      if descriptor < 0 { throw HostError("the connection is closed") }
      var parts = [iovec(), iovec()]
      var used = 0
      if done < head.count {
        parts[0] = iovec(
          iov_base: UnsafeMutableRawPointer(mutating: head.baseAddress! + done),
          iov_len: head.count - done)
        used = 1
      }
      let sent = max(0, done - head.count)
      if sent < body.count {
        parts[used] = iovec(
          iov_base: UnsafeMutableRawPointer(mutating: body.baseAddress! + sent),
          iov_len: body.count - sent)
        used += 1
      }
      let count = parts.withUnsafeMutableBufferPointer { parts in
        var message = msghdr()
        message.msg_iov = parts.baseAddress
        message.msg_iovlen = .init(used)
        return sendmsg(descriptor, &message, HostStream.quiet)
      }
      if count > 0 {
        done += count
        continue
      }
      if count < 0 && errno == EINTR { continue }
      if count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) {
        if HostStream.wait(descriptor, Int16(POLLOUT), until: end) { continue }
        throw HostError("the server takes nothing")
      }
      throw HostError(count < 0 ? HostSockets.lastError : "the connection is closed")
    }
  }

  /// Receives what there is, at least a byte.
  /// - Throws: when the connection is lost or closed, or nothing comes in time.
  public func receive(into buffer: UnsafeMutableRawBufferPointer, until end: UInt64)
    throws(HostError) -> Int
  {
    while true {
      if descriptor < 0 { throw HostError("the connection is closed") }
      let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
      if count > 0 { return count }
      if count == 0 { throw HostError("the server closed the connection") }
      if errno == EINTR { continue }
      guard errno == EAGAIN || errno == EWOULDBLOCK else { throw HostError(HostSockets.lastError) }
      if !HostStream.wait(descriptor, Int16(POLLIN), until: end) {
        var error = HostError("the server is silent")
        error.isSilence = true
        throw error
      }
    }
  }
}

/// The system's, which a method of the same name hides.
private func closeDescriptor(_ descriptor: Int32) { _ = close(descriptor) }
