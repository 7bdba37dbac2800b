// What follows from a kind of operand, an operation or a handler alone.
//
// Owns: these properties. Must not know: encodings. The names are made from the instruction table.

extension OperandKind {
  /// Needs a ModRM byte.
  var usesModRM: Bool {
    switch self {
    case .eb, .ew, .ev, .es, .gb, .gw, .gv, .m, .mp, .ma, .mq, .ms, .sw, .rd, .cd, .dd, .td, .sti:
      true
    default: isVector
    }
  }

  /// An MMX or XMM register, or memory in its place.
  public var isVector: Bool {
    switch self {
    case .pq, .qq, .nq, .vx, .wx, .ux: true
    default: false
    }
  }

  /// Memory only.
  public var isMemoryOnly: Bool {
    self == .m || self == .mp || self == .ma || self == .mq || self == .ms
  }
}

extension Op {
  /// Jcc.
  @inlinable
  public var isConditionalJump: Bool {
    switch self {
    case .jo, .jno, .jb, .jnb, .jz, .jnz, .jbe, .jnbe, .js, .jns, .jp, .jnp, .jl, .jnl, .jle, .jnle:
      true
    default: false
    }
  }
}

extension Handler {
  /// The number of operand shapes of the arithmetic cases, which come first: by operation, size (8, 16, 32 bits) and shape.
  package static let shapes: UInt16 = 5
}
