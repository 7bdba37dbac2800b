// How code is read.
//
// Owns: what sizes and registers instructions have without prefixes. Must not know: what makes the processor read code so.
// Follows: Intel SDM volume 1, section 3.6.

/// How code is read. There is no `default` where modes are told apart: a 64-bit mode is one more case here (operands of 32 bits,
/// addresses of 64, prefixes 40 to 4F and what they do to registers), and the compiler names what it needs.
@frozen
public enum DecodeMode: UInt8, Sendable {
  /// Operands and addresses of 16 bits: real and V86 mode, segments with D clear.
  case bits16
  /// Operands and addresses of 32 bits: segments with D set.
  case bits32

  /// The mode of a code segment with this D bit.
  @inlinable @inline(__always)
  public init(big: Bool) { self = big ? .bits32 : .bits16 }

  /// Operands have 32 bits, and a prefix 66 makes them 16.
  @inlinable @inline(__always)
  public var hasOperand32: Bool {
    switch self {
    case .bits16: false
    case .bits32: true
    }
  }

  /// The same of addresses and the prefix 67.
  @inlinable @inline(__always)
  public var hasAddress32: Bool {
    switch self {
    case .bits16: false
    case .bits32: true
    }
  }
}
