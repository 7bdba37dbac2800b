// The decoded instruction: one fixed-size record of plain data, ready to execute.
//
// Owns: the layout shared by decoder, interpreter, x87 and translator. Must not know: what a handler does.

/// A decoded instruction.
///
/// Register operands are byte offsets into the general register file at the start of `CPUState` (so AH is 1, ECX is 4), which
/// makes 8, 16 and 32 bit access one load; offset 32 is a register that is always zero.
public struct Instruction {
  /// What to execute: a `Handler`.
  package var handler = Handler.ud
  /// Offset from the block's first byte to the byte after this instruction.
  public var nextOffset: UInt16 = 0
  /// Length in bytes, 1 to 15.
  public var length: UInt8 = 0
  /// Register file offset of the operand that ModRM.reg (or the opcode's low bits) names; for segment registers, control and debug
  /// registers the plain number.
  public var reg: UInt8 = 0
  /// Register file offset of the register that ModRM.rm names when `mod` is 3.
  public var rm: UInt8 = 0
  /// Register file offset of the base register, or 32.
  public var base: UInt8 = 32
  /// Register file offset of the index register, or 32.
  public var index: UInt8 = 32
  /// Shift of the index, 0 to 3.
  public var scale: UInt8 = 0
  /// Segment register number of the memory operand (ES CS SS DS FS GS), overrides applied.
  public var segment: UInt8 = 3
  /// `InstructionFlags` bits.
  public var flags: UInt8 = 0
  /// Displacement, or the moffs of A0-A3.
  public var disp: UInt32 = 0
  /// Immediate (sign-extended as the instruction says), branch displacement, or far offset.
  public var imm: UInt32 = 0
  /// What the interpreter's loop over whole blocks executes: `handler`, or a form of it that is quicker here; see HandlerForms.swift.
  package var form = Handler.ud
  /// Offset in `CPUState` of the cache of `segment`.
  var segmentOffset: UInt8 = 0
  /// How many records of NOPs follow one of form `nops`.
  var span: UInt8 = 0
  /// Far selector; second immediate of ENTER; mandatory prefix (`MandatoryPrefix`) of MMX and SSE instructions.
  public var imm2: UInt16 = 0
  /// Opcode (0x0F00 added for the two-byte map).
  public var opcode: UInt16 = 0
  /// The ModRM byte as it stands in the code.
  public var modrm: UInt8 = 0
  /// How many bytes of prefixes precede the opcode.
  public var prefixLength: UInt8 = 0
  /// Index of the opcode table's entry (for the disassembler and flag liveness).
  public var entry: UInt16 = 0

  public init() {}

  @inline(__always) public var isOperand32: Bool { flags & InstructionFlags.operand32 != 0 }
  @inline(__always) public var isAddress32: Bool { flags & InstructionFlags.address32 != 0 }
  @inline(__always) public var hasMemory: Bool { flags & InstructionFlags.memory != 0 }
  @inline(__always) public var hasRep: Bool { flags & InstructionFlags.rep != 0 }
  @inline(__always) public var hasRepne: Bool { flags & InstructionFlags.repne != 0 }
  @inline(__always) public var hasLock: Bool { flags & InstructionFlags.lock != 0 }
  /// FFFFh or FFFFFFFFh: the address size.
  @inline(__always) public var addressMask: UInt32 { isAddress32 ? 0xFFFF_FFFF : 0xFFFF }
  /// ModRM.reg, the /digit of group opcodes.
  @inline(__always) public var digit: Int { Int(modrm >> 3 & 7) }
}

/// Bits of `Instruction.flags`.
public enum InstructionFlags {
  public static let operand32: UInt8 = 1
  public static let address32: UInt8 = 2
  /// The ModRM operand is memory.
  public static let memory: UInt8 = 4
  /// F3 prefix.
  public static let rep: UInt8 = 8
  /// F2 prefix.
  public static let repne: UInt8 = 16
  public static let lock: UInt8 = 32
  /// Execution cannot simply go on with the next record: control transfer, REP, mode change, interrupt window.
  public static let endsBlock: UInt8 = 64
}

/// How handlers take an instruction.
public typealias Insn = UnsafePointer<Instruction>
