// What a command can fail with.
//
// Owns: one line for people. Must not know: which command it was.

/// A command that could not be carried out.
public struct DebuggerError: Error, Equatable, CustomStringConvertible {
  public var description: String
  public init(_ description: String) { self.description = description }
}
