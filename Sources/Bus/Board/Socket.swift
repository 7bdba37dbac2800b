// Places on a board for what comes from outside.
//
// Owns: what kinds there are, and which place is whose. Must not know: what goes in, which belongs to the machine's configuration.

/// A place on a board for what comes from outside: a processor, a disk, what is at the other end of a serial cable. A board's description
/// has a line for each; the order of those of a kind is that in which the machine's configuration fills them.
public struct Socket: Equatable, Sendable {
  public enum Kind: String, Sendable, CaseIterable {
    case processor, floppy, disk, cd, serial
  }

  public var kind: Kind
  /// Unique on the board; part of the names in saved states.
  public var name: String
  /// The device it belongs to; empty when there is none.
  public var controller: String
  /// Which of the controller's, from 0.
  public var unit: Int

  public init(_ kind: Kind, name: String, controller: String = "", unit: Int = 0) {
    (self.kind, self.name, self.controller, self.unit) = (kind, name, controller, unit)
  }
}

extension Board {
  /// The sockets of a kind, in order.
  public func sockets(_ kind: Socket.Kind) -> [Socket] { sockets.filter { $0.kind == kind } }
}
