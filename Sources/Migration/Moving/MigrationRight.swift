// Who may run a machine that is being moved.
//
// Owns: rights and their locks. Must not know: messages, machines.
//
// Each end draws a right at random and gives the other its hash, the lock. Whoever gives its right away does not run the machine any more;
// whoever has the other's right may. The old place gives its right away when everything is at the new one; the new place gives its own away
// when it cannot run the machine after all. So whatever message is lost, at most one end ever has what it takes, and one that does not know
// stands until a user brings it the other's right ('apus migrate drop' there tells it, and runs nothing there any more).

import Storage

/// The right to run a machine.
public struct MigrationRight: Equatable, Sendable, CustomStringConvertible {
  public let bytes: [UInt8]
  public static let length = 16
  public static let lockLength = 32

  /// A new one.
  public init() {
    var random = SystemRandomNumberGenerator()
    bytes = (0..<MigrationRight.length).map { _ in UInt8.random(in: 0...255, using: &random) }
  }

  init(bytes: [UInt8]) { self.bytes = bytes }

  /// As a user types it; spaces and hyphens do not count. nil: it is none.
  public init?(_ text: String) {
    let digits = text.filter { $0 != "-" && $0 != " " }
    guard digits.utf8.count == 2 * MigrationRight.length else { return nil }
    var bytes: [UInt8] = []
    var rest = Substring(digits)
    while let first = rest.first {
      guard let high = first.hexDigitValue, let low = rest.dropFirst().first?.hexDigitValue else {
        return nil
      }
      bytes.append(UInt8(high << 4 | low))
      rest = rest.dropFirst(2)
    }
    self.bytes = bytes
  }

  /// What the other end knows it by.
  public var lock: [UInt8] { SHA256.hash(bytes) }

  public func opens(_ lock: [UInt8]) -> Bool { self.lock == lock }

  /// In groups of four digits.
  public var description: String {
    stride(from: 0, to: bytes.count, by: 2).map { at in
      bytes[at..<at + 2].map { byte in
        String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
      }.joined()
    }.joined(separator: "-")
  }
}
