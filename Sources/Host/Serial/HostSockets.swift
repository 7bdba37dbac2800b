// Sockets and pseudo-terminals: opening them.
//
// Owns: the address structures. Must not know: what is sent.

import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

enum HostSockets {
  private static let files = Mutex<[String]>([])

  #if canImport(Glibc)
    static let stream = Int32(SOCK_STREAM.rawValue)
  #else
    static let stream = SOCK_STREAM
  #endif

  static var lastError: String { String(cString: strerror(errno)) }

  /// Listens on 127.0.0.1.
  static func listen(port: UInt16) throws(HostError) -> Int32 {
    let descriptor = socket(AF_INET, stream, 0)
    if descriptor < 0 { throw HostError("no socket: \(lastError)") }
    var yes: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { systemBind(descriptor, $0, size) }
    }
    if bound != 0 || systemListen(descriptor) != 0 {
      let reason = lastError
      close(descriptor)
      throw HostError("cannot listen on TCP port \(port): \(reason)")
    }
    return descriptor
  }

  static func systemListen(_ descriptor: Int32, waiting count: Int32 = 1) -> Int32 {
    #if canImport(Glibc)
      Glibc.listen(descriptor, count)
    #elseif canImport(Musl)
      Musl.listen(descriptor, count)
    #else
      Darwin.listen(descriptor, count)
    #endif
  }

  static func systemConnect(
    _ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ size: socklen_t
  ) -> Int32 {
    #if canImport(Glibc)
      Glibc.connect(descriptor, __CONST_SOCKADDR_ARG(__sockaddr__: address), size)
    #elseif canImport(Musl)
      Musl.connect(descriptor, address, size)
    #else
      Darwin.connect(descriptor, address, size)
    #endif
  }

  static func systemBind(
    _ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ size: socklen_t
  ) -> Int32 {
    #if canImport(Glibc)
      Glibc.bind(descriptor, __CONST_SOCKADDR_ARG(__sockaddr__: address), size)
    #elseif canImport(Musl)
      Musl.bind(descriptor, address, size)
    #else
      Darwin.bind(descriptor, address, size)
    #endif
  }

  /// Waits for a client.
  static func accept(_ descriptor: Int32) -> Int32 {
    #if canImport(Glibc)
      Glibc.accept(descriptor, __SOCKADDR_ARG(__sockaddr__: nil), nil)
    #elseif canImport(Musl)
      Musl.accept(descriptor, nil, nil)
    #else
      Darwin.accept(descriptor, nil, nil)
    #endif
  }

  /// Connects to a server by name.
  static func connect(host: String, port: UInt16) throws(HostError) -> Int32 {
    var hints = addrinfo()
    hints.ai_socktype = stream
    var list: UnsafeMutablePointer<addrinfo>?
    let found = getaddrinfo(host, String(port), &hints, &list)
    if found != 0 {
      throw HostError("'\(host)' is not found: \(String(cString: gai_strerror(found)))")
    }
    defer { freeaddrinfo(list) }
    var reason = "no address"
    var entry = list
    while let info = entry {
      let descriptor = socket(info.pointee.ai_family, stream, 0)
      if descriptor >= 0 {
        if systemConnect(descriptor, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0 {
          return descriptor
        }
        reason = lastError
        close(descriptor)
      }
      entry = info.pointee.ai_next
    }
    throw HostError("cannot connect to \(host) port \(port): \(reason)")
  }

  /// Serves at a Unix socket, or connects when somebody serves there already.
  static func unix(_ path: String) throws(HostError) -> (descriptor: Int32, isServer: Bool) {
    let descriptor = socket(AF_UNIX, stream, 0)
    if descriptor < 0 { throw HostError("no socket: \(lastError)") }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { target in
      target.copyBytes(from: HostPath.bytes(path).prefix(target.count - 1))
    }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    func with(_ body: (UnsafePointer<sockaddr>) -> Int32) -> Int32 {
      withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
      }
    }
    if with({ systemConnect(descriptor, $0, size) }) == 0 { return (descriptor, false) }
    if errno == ECONNREFUSED {
      // A socket that a program left behind. Only sockets are removed.
      var status = stat()
      let name = HostPath.system(path)
      if lstat(name, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { unlink(name) }
    }
    if with({ systemBind(descriptor, $0, size) }) != 0 || systemListen(descriptor) != 0 {
      let reason = lastError
      close(descriptor)
      throw HostError("cannot serve at '\(path)': \(reason)")
    }
    files.withLock {
      if $0.isEmpty { atexit { HostSockets.removeFiles() } }
      $0.append(path)
    }
    return (descriptor, true)
  }

  /// Removes a socket that `unix` made.
  static func removeFile(_ path: String) {
    files.withLock { files in
      guard let index = files.firstIndex(of: path) else { return }
      files.remove(at: index)
      unlink(HostPath.system(path))
    }
  }

  /// Removes all that are left: the process ends.
  static func removeFiles() {
    files.withLock { files in
      for path in files { unlink(HostPath.system(path)) }
      files = []
    }
  }

  /// A new pseudo-terminal in raw mode. The other end is kept open, so that it has no end of file while nobody uses it.
  static func openPTY() throws(HostError) -> (master: Int32, slave: Int32, name: String) {
    let master = posix_openpt(O_RDWR | O_NOCTTY)
    guard master >= 0, grantpt(master) == 0, unlockpt(master) == 0, let name = ptsname(master)
    else { throw HostError("no pseudo-terminal: \(lastError)") }
    let path = String(cString: name)
    let slave = open(path, O_RDWR | O_NOCTTY)
    if slave < 0 { throw HostError("cannot open \(path): \(lastError)") }
    var mode = termios()
    if tcgetattr(slave, &mode) == 0 {
      cfmakeraw(&mode)
      tcsetattr(slave, TCSANOW, &mode)
    }
    return (master, slave, path)
  }

  static func makeNonBlocking(_ descriptor: Int32) {
    let flags = fcntl(descriptor, F_GETFL)
    if flags >= 0 { _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
  }
}
