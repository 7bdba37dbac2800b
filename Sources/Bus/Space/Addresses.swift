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

/// A linear address: base of a segment and offset together, before paging. A processor without 64-bit mode has 32 bits of it.
@frozen public struct LinearAddress: BusAddress, ExpressibleByIntegerLiteral {
  public var value: UInt64
  @inlinable public init(_ value: UInt64) { self.value = value }
  @inlinable public init(_ value: UInt32) { self.value = UInt64(value) }
  @inlinable public init(integerLiteral value: UInt64) { self.value = value }
  /// What registers of 32 bits hold of it.
  @inlinable public var low: UInt32 { UInt32(truncatingIfNeeded: value) }
  /// The number of its page of 4 KiB.
  @inlinable public var page: UInt64 { value >> 12 }
}

/// A physical address; how many of its bits a processor can drive is the processor's affair.
@frozen public struct PhysicalAddress: BusAddress, ExpressibleByIntegerLiteral {
  public var value: UInt64
  @inlinable public init(_ value: UInt64) { self.value = value }
  @inlinable public init(integerLiteral value: UInt64) { self.value = value }
  /// What registers of 32 bits hold of it.
  @inlinable public var low: UInt32 { UInt32(truncatingIfNeeded: value) }
}
