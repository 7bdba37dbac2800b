// The operands of the instruction table.
//
// Owns: their kinds and what follows from a kind alone. Must not know: operations.

/// How an instruction names an operand; see Table/integer.txt. The generator writes the name of the table with a small first letter.
public enum OperandKind: UInt8, Sendable {
  case none, eb, ew, ev, es, gb, gw, gv, m, mp, ma, mq, ms
  case ib, ibs, iw, iz, iv, ib2, jb, jz, ap, ob, ov
  case al, ax, eax, cl, dx, one, zb, zv, sw, rd, cd, dd, td
  case xb, xv, xz, yb, yv, yz
  case segES, segCS, segSS, segDS, segFS, segGS
  case pq, qq, nq, vx, wx, ux
  case st, sti

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

  /// A byte: register, memory or accumulator.
  var isByte: Bool {
    switch self {
    case .eb, .gb, .al, .ob, .zb, .xb, .yb: true
    default: false
    }
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
