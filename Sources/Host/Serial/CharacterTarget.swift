// Where a serial line of the guest goes on the host.
//
// Owns: the choice as a value, its text form and the checks of it. Must not know: how it is carried out (CharacterChannel.swift).

/// One end of a guest's serial line.
public enum CharacterTarget: Equatable, Sendable {
  /// Nothing: what is sent vanishes.
  case null
  /// Standard input and output.
  case stdio
  /// Output to a file, which is made or emptied.
  case file(String)
  /// A pseudo-terminal; its name is told.
  case pty
  /// Waits for one client at a time on the loopback interface.
  case tcpServer(port: UInt16)
  /// Connects to a server.
  case tcpClient(host: String, port: UInt16)
  /// Waits for one client at a time at a Unix socket, which is made; connects if somebody else serves there.
  case unix(String)

  /// Reads `null`, `stdio`, `file:PATH`, `pty`, `tcp:PORT`, `tcp:HOST:PORT`, `unix:PATH`.
  /// - Throws: `HostError` with what was wrong.
  public init(_ text: String) throws(HostError) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let argument = parts.count > 1 ? String(parts[1]) : nil
    switch (String(parts[0]), argument) {
    case ("null", nil), ("none", nil): self = .null
    case ("stdio", nil), ("mon", "stdio"): self = .stdio
    case ("pty", nil): self = .pty
    case ("file", let path?) where !path.isEmpty: self = .file(path)
    case ("unix", let path?) where !path.isEmpty:
      // QEMU writes options after a comma; all that are common describe what is done here anyway.
      let name = path.split(separator: ",")[0]
      if HostPath.bytes(String(name)).count > 103 {
        throw HostError("a Unix socket's path has at most 103 bytes")
      }
      self = .unix(String(name))
    case ("tcp", let place?) where !place.isEmpty:
      let name = place.split(separator: ",")[0]
      let server = place.split(separator: ",").dropFirst().contains { $0.hasPrefix("server") }
      let pieces = name.split(separator: ":", omittingEmptySubsequences: false)
      guard let port = UInt16(pieces.last ?? ""), port > 0 else {
        throw HostError("'\(text)' names no port (1 to 65535)")
      }
      if pieces.count == 1 || server || pieces[0].isEmpty {
        self = .tcpServer(port: port)
      } else {
        self = .tcpClient(host: pieces.dropLast().joined(separator: ":"), port: port)
      }
    default:
      throw HostError(
        "'\(text)' is none of stdio, file:PATH, pty, tcp:PORT, tcp:HOST:PORT, unix:PATH, null")
    }
  }

  /// Whether anything can ever be received from it.
  public var canReceive: Bool {
    switch self {
    case .null, .file: return false
    default: return true
    }
  }
}
