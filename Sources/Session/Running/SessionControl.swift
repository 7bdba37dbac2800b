// What may hold a session's machine in place of the session: a debugger's console, gdb.
//
// Owns: the protocol by which it plugs in. Must not know: commands, protocols of debuggers.

import Machine

/// Runs a session's machine in its own way. It is told who it belongs to before the machine runs, and from then on decides on the
/// machine's thread when the guest runs and when it stands.
public protocol SessionControl: AnyObject, Sendable {
  /// The session's machine is there and does not run yet.
  /// - Throws: an error whose description is one line: it cannot begin (its port is taken).
  func connect(to session: Session, machine: Machine) throws

  /// Runs the machine until the session's run is over. On the machine's thread.
  /// - Parameter limit: instructions, counted from power-on.
  func run(_ machine: Machine, until limit: UInt64) -> StopReason

  /// Whether a user may ask for it while the guest runs (a key of the window's, Ctrl-A D on a terminal).
  var takesBreakKey: Bool { get }
  /// The user asked for it. From any thread.
  func breakKey()
  /// Bytes came from a terminal that a serial port has, too. On the receiving thread.
  /// - Returns: yes: they are not the guest's.
  func take(_ bytes: [UInt8]) -> Bool
  /// Nothing will come from that terminal any more.
  func inputEnded()
  /// Whether it waits for somebody, and the guest stands.
  var isWaiting: Bool { get }
  /// What the machine waits for before it runs, for a window's title; nil: it runs at once.
  var waitsFor: String? { get }
  /// The session ends: it must not wait any longer. From any thread.
  func end()
}

extension SessionControl {
  public var takesBreakKey: Bool { false }
  public func breakKey() {}
  public func take(_ bytes: [UInt8]) -> Bool { false }
  public func inputEnded() {}
  public var isWaiting: Bool { false }
  public var waitsFor: String? { nil }
  public func end() {}
}
