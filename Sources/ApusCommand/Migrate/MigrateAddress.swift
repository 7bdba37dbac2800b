// Where a machine is moved to: unix:PATH, tcp:HOST:PORT.
//
// Owns: reading the address, connecting, waiting for who connects, the secret. Must not know: what is said.

import Host
import Migration
import Storage

/// Where the other end is.
enum MigrateAddress: Equatable, CustomStringConvertible {
  case socket(String)
  case network(host: String, port: UInt16)

  init(_ text: String) throws {
    if text.hasPrefix("unix:") {
      let path = String(text.dropFirst(5))
      if path.isEmpty { throw Failure.usage("\(text): a socket has a path (unix:PATH)") }
      self = .socket(path)
      return
    }
    guard text.hasPrefix("tcp:") else {
      throw Failure.usage("'\(text)': an address is unix:PATH or tcp:HOST:PORT")
    }
    let rest = text.dropFirst(4)
    guard let colon = rest.lastIndex(of: ":") ?? (UInt16(rest) != nil ? rest.startIndex : nil)
    else { throw Failure.usage("\(text): a port is missing (tcp:HOST:PORT)") }
    var host = colon == rest.startIndex ? "" : String(rest[..<colon])
    let port = rest[colon] == ":" ? rest[rest.index(after: colon)...] : rest
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    guard let number = UInt16(port), number > 0 else {
      throw Failure.usage("\(text): '\(port)' is no port (1 to 65535)")
    }
    self = .network(host: host.isEmpty ? "127.0.0.1" : host, port: number)
  }

  var description: String {
    switch self {
    case .socket(let path): "unix:\(path)"
    case .network(let host, let port):
      host.contains(":") ? "tcp:[\(host)]:\(port)" : "tcp:\(host):\(port)"
    }
  }

  /// The secret in a file. A network needs one: who has a machine's memory has everything in it.
  func secret(_ file: String?) throws -> MigrationSecret? {
    guard let file else {
      if case .network = self {
        throw Failure.usage(
          "\(self): over a network a machine is moved by TLS, with a secret that both ends know (--secret FILE; "
            + "head -c 32 /dev/urandom | base64 > FILE makes one)")
      }
      return nil
    }
    let bytes: [UInt8]
    do throws(HostError) { bytes = try HostFiles.read(file, limit: 4096) } catch {
      throw Failure.usage("--secret \(file): \(error)", file: file)
    }
    guard let secret = MigrationSecret(bytes) else {
      throw Failure.usage(
        "--secret \(file): has to have \(MigrationSecret.shortest) bytes at least", file: file)
    }
    return secret
  }

  /// Connects.
  func connect(_ secret: MigrationSecret?) throws(StorageError) -> any ByteLink {
    let end = HostClock.nanoseconds() &+ 20_000_000_000
    do throws(HostError) {
      let stream: HostStream
      switch self {
      case .socket(let path): stream = try HostStream(socket: path, until: end)
      case .network(let host, let port):
        stream = try HostStream(host: host, port: port, until: end)
      }
      guard let secret else { return stream }
      return try TLSLink(stream, secret, isServer: false, until: end)
    } catch { throw StorageError(path: "\(self)", reason: error.reason) }
  }

  func listen() throws -> HostStreamListener {
    do throws(HostError) {
      switch self {
      case .socket(let path): return try HostStreamListener(socket: path)
      case .network(let host, let port): return try HostStreamListener(host: host, port: port)
      }
    } catch { throw Failure.host("\(self): \(error)") }
  }
}
