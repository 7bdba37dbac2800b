// Why there is no session.
//
// Owns: the error and its kinds. Must not know: options of a command line, exit codes.

/// A session that cannot be made or begun, in one line.
public struct SessionError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What is at fault.
  public enum Kind: Equatable, Sendable {
    /// Values that mean no machine, or contradict each other.
    case configuration
    /// An image that cannot be used.
    case image
    /// A saved state that does not belong to this machine, or is damaged.
    case state
    /// A recording that does not belong to this machine.
    case recording
    /// The host refused something: memory, a port, a file.
    case host
  }

  public var kind: Kind
  /// One line with the names of files in it.
  public var reason: String
  /// The file it is about.
  public var file: String?

  public init(_ kind: Kind, _ reason: String, file: String? = nil) {
    self.kind = kind
    self.reason = reason
    self.file = file
  }

  public var description: String { reason }
}
