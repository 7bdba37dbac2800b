// Where things answer on a bus, as types of their own.
//
// Owns: port numbers and physical addresses. Must not know: what is there.

/// An address of some bus: a number of its own kind.
public protocol BusAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  associatedtype Value: FixedWidthInteger & UnsignedInteger & Sendable
  var value: Value { get }
  init(_ value: Value)
}

extension BusAddress {
  @inlinable public static func < (a: Self, b: Self) -> Bool { a.value < b.value }
  /// Hexadecimal with at least four digits and an h, as manuals write it.
  public var description: String {
    let text = String(value, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, 4 - text.count)) + text + "h"
  }
}

/// A number of the 64K I/O ports.
@frozen public struct Port: BusAddress, ExpressibleByIntegerLiteral {
  public var value: UInt16
  @inlinable public init(_ value: UInt16) { self.value = value }
  @inlinable public init(integerLiteral value: UInt16) { self.value = value }
}

/// A physical address; how many of its bits a processor can drive is the processor's affair.
@frozen public struct PhysicalAddress: BusAddress, ExpressibleByIntegerLiteral {
  public var value: UInt64
  @inlinable public init(_ value: UInt64) { self.value = value }
  @inlinable public init(integerLiteral value: UInt64) { self.value = value }
}
