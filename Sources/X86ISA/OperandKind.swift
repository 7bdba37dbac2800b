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

extension OperandKind {
  /// The segment register that the encoding itself names.
  var segmentNumber: UInt8? {
    switch self {
    case .segES: 0
    case .segCS: 1
    case .segSS: 2
    case .segDS: 3
    case .segFS: 4
    case .segGS: 5
    default: nil
    }
  }
}

extension Op {
  /// ROL, ROR, RCL, RCR.
  public var isRotation: Bool {
    switch self {
    case .rol, .ror, .rcl, .rcr: true
    default: false
    }
  }

  /// RCL, RCR.
  public var rotatesThroughCarry: Bool { self == .rcl || self == .rcr }

  /// DIV, IDIV.
  public var isDivision: Bool { self == .div || self == .idiv }

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

/// What the two operands of a handler are, destination first (`Handler.shape`).
public enum OperandShape: Sendable {
  case registerRegister, registerMemory, memoryRegister, registerImmediate, memoryImmediate

  public var hasMemory: Bool {
    switch self {
    case .registerRegister, .registerImmediate: false
    case .registerMemory, .memoryRegister, .memoryImmediate: true
    }
  }
}
