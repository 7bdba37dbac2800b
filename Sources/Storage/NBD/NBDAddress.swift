// Where an image on the network is: nbd://HOST[:PORT][/EXPORT] and nbd+unix:///EXPORT?socket=PATH.
//
// Owns: reading the name. Must not know: what is said to a server. After: the NBD project's doc/uri.md.

import Host

/// The name of an export, as people write it.
public struct NBDAddress: Equatable, Sendable {
  enum Place: Equatable, Sendable {
    case host(String, port: UInt16)
    case socket(String)
  }
  var place: Place
  /// Empty: the server's default.
  var export: String
  /// How long a lost connection is made again, in nanoseconds.
  var reconnect: UInt64 = 10_000_000_000
  /// How long an answer may take, in nanoseconds.
  var timeout: UInt64 = 30_000_000_000

  private static let schemes = ["nbd://", "nbd+unix://", "nbds://", "nbds+unix://"]

  /// Whether a name means something on the network, also what is refused there.
  public static func isAddress(_ name: String) -> Bool {
    let lower = name.prefix(12).lowercased()
    return schemes.contains { lower.hasPrefix($0) } || isOldStyle(lower)
  }

  /// As QEMU wrote it: "nbd:host:port", "nbd:unix:path".
  private static func isOldStyle(_ lower: String) -> Bool {
    lower.hasPrefix("nbd:") && !lower.hasPrefix("nbd:/") && lower.dropFirst(4).contains(":")
  }

  /// Reads a name.
  public init(_ name: String) throws(StorageError) {
    func refusal(_ reason: String) -> StorageError { StorageError(path: name, reason: reason) }
    let lower = name.lowercased()
    if lower.hasPrefix("nbds") {
      throw refusal(
        "encrypted connections (TLS) are not spoken; lead the connection through a tunnel (ssh -L), and use nbd:// there"
      )
    }
    guard let scheme = NBDAddress.schemes.first(where: { lower.hasPrefix($0) }) else {
      throw refusal("is written nbd://HOST:PORT/EXPORT, or nbd+unix:///EXPORT?socket=PATH")
    }
    var rest = name.dropFirst(scheme.count)
    if rest.contains("#") { throw refusal("has a '#', which means nothing here (%23)") }
    var query: Substring = ""
    if let mark = rest.firstIndex(of: "?") {
      query = rest[rest.index(after: mark)...]
      rest = rest[..<mark]
    }
    let slash = rest.firstIndex(of: "/")
    let authority = slash.map { rest[..<$0] } ?? rest
    guard let export = NBDAddress.decoded(slash.map { rest[rest.index(after: $0)...] } ?? ""),
      export.utf8.count <= 4096
    else { throw refusal("the export's name is none (%XX has two hexadecimal digits)") }
    self.export = export
    var socket: String?
    for part in query.split(separator: "&") {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard pair.count == 2, let value = NBDAddress.decoded(pair[1]) else {
        throw refusal("'\(part)' is no NAME=VALUE")
      }
      switch pair[0] {
      case "socket": socket = value
      case "reconnect", "timeout":
        let least: UInt64 = pair[0] == "timeout" ? 1 : 0
        guard let seconds = UInt64(value), seconds >= least, seconds <= 86400 else {
          throw refusal("\(part): \(least) to 86400 seconds")
        }
        if pair[0] == "timeout" {
          timeout = seconds * 1_000_000_000
        } else {
          reconnect = seconds * 1_000_000_000
        }
      default: throw refusal("'\(pair[0])' is not known behind the '?': socket, reconnect, timeout")
      }
    }
    if scheme == "nbd+unix://" {
      guard authority.isEmpty else {
        throw refusal("has three slashes: nbd+unix:///EXPORT?socket=PATH")
      }
      guard let socket, !socket.isEmpty else { throw refusal("says no socket (?socket=PATH)") }
      place = .socket(socket)
      return
    }
    if socket != nil { throw refusal("a socket goes with nbd+unix://") }
    guard let (host, port) = NBDAddress.host(authority) else {
      throw refusal("'\(authority)' is no HOST[:PORT]")
    }
    place = .host(host, port: port)
  }

  private static func host(_ text: Substring) -> (String, UInt16)? {
    var (host, port) = (text, Substring("10809"))
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]") else { return nil }
      host = text[text.index(after: text.startIndex)..<end]
      let rest = text[text.index(after: end)...]
      if !rest.isEmpty {
        guard rest.hasPrefix(":") else { return nil }
        port = rest.dropFirst()
      }
    } else if let mark = text.firstIndex(of: ":") {
      host = text[..<mark]
      port = text[text.index(after: mark)...]
    }
    let isPlain = host.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value != 0x7F }
    guard !host.isEmpty, isPlain, !host.contains("@"), let number = UInt16(port), number > 0 else {
      return nil
    }
    return (String(host), number)
  }

  /// With %XX as the bytes; nil: these are no text.
  private static func decoded(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16), value != 0
      else { return nil }
      bytes.append(value)
      rest = rest.dropFirst(2)
    }
    return String(validating: bytes, as: UTF8.self)
  }

  /// A connection.
  /// - Parameter end: when it gives up.
  func connect(until end: UInt64) throws(HostError) -> HostStream {
    switch place {
    case .host(let host, let port): try HostStream(host: host, port: port, until: end)
    case .socket(let path): try HostStream(socket: path, until: end)
    }
  }
}
