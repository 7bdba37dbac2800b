// The decoded instruction: one fixed-size record of plain data, ready to execute.
//
// Owns: the layout shared by decoder, interpreter, x87, translator and disassembler. Must not know: what a handler does.

/// A decoded instruction.
///
/// Register operands are byte offsets into a file of general registers (so AH is 1, ECX is 4), which makes 8, 16 and 32 bit access one
/// load; offset 32 is a register that is always zero.
///
/// The 32 bytes are all in use, and still have room for 64-bit mode: sixteen registers of eight bytes end at offset 128, and the one that is
/// zero can follow them, so that offsets stay bytes; an instruction has 64 bits of displacement (moffs) or of immediate (MOV), never both, and
/// `disp` and `imm` lie side by side; sizes of 64 bits are two more bits of flags, for which `scale` and `segment` have eleven to spare.
@frozen
public struct Instruction {
  /// What to execute.
  public var handler = Handler.ud
  /// Offset from the block's first byte to the byte after this instruction.
  public var nextOffset: UInt16 = 0
  /// Length in bytes, 1 to 15.
  public var length: UInt8 = 0
  /// Register file offset of the operand that ModRM.reg names; for segment registers, control and debug registers, MMX and XMM registers
  /// the plain number.
  public var reg: UInt8 = 0
  /// Register file offset of the register that ModRM.rm names when `mod` is 3, or that the opcode names; a plain number for MMX, XMM and
  /// x87 registers.
  public var rm: UInt8 = 0
  /// Register file offset of the base register, or 32. The port's register of IN and OUT.
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
  /// For who executes whole blocks: what it does instead of calling the handler.
  public var formNumber: UInt16 = 0
  /// The same: where the cache of `segment` is.
  public var segmentOffset: UInt8 = 0
  /// The same: how many records follow that are passed over.
  public var span: UInt8 = 0
  /// Far selector; second immediate of ENTER; the number of an operation that is numbered in the table (with 100h: count in CL); mandatory prefix
  /// (`MandatoryPrefix`) of MMX and SSE instructions; what the x87 keeps as its last opcode.
  public var imm2: UInt16 = 0
  /// What the instruction does; where `handler` is `ud`, what it would do if this form of it were defined.
  public var op = Op.ud2
  /// The ModRM byte as it stands in the code.
  public var modrm: UInt8 = 0
  /// How many bytes of prefixes precede the opcode.
  public var prefixLength: UInt8 = 0
  /// Index of the table's entry (for disassembler and flag liveness).
  public var entry: UInt16 = 0

  @inlinable public init() {}

  @inlinable @inline(__always)
  public var isOperand32: Bool { flags & InstructionFlags.operand32 != 0 }
  @inlinable @inline(__always)
  public var isAddress32: Bool { flags & InstructionFlags.address32 != 0 }
  @inlinable @inline(__always)
  public var hasMemory: Bool { flags & InstructionFlags.memory != 0 }
  @inlinable @inline(__always)
  public var hasRep: Bool { flags & InstructionFlags.rep != 0 }
  @inlinable @inline(__always)
  public var hasRepne: Bool { flags & InstructionFlags.repne != 0 }
  @inlinable @inline(__always)
  public var hasLock: Bool { flags & InstructionFlags.lock != 0 }
  /// The operand is a byte.
  @inlinable @inline(__always)
  public var isByte: Bool { flags & InstructionFlags.byte != 0 }
  /// Bytes of the operand: 1, 2 or 4.
  @inlinable @inline(__always)
  public var operandSize: Int { isByte ? 1 : isOperand32 ? 4 : 2 }
  /// FFFFh or FFFFFFFFh: the address size.
  @inlinable @inline(__always)
  public var addressMask: UInt32 { isAddress32 ? 0xFFFF_FFFF : 0xFFFF }
  /// ModRM.reg.
  @inlinable @inline(__always)
  public var digit: Int { Int(modrm >> 3 & 7) }
  /// The condition of Jcc, SETcc and CMOVcc, 0 (O) to 15 (NLE).
  @inlinable @inline(__always)
  public var condition: Int { Int(imm2 & 15) }
  /// SHL and its like, SHLD, SHRD: the count is in CL.
  @inlinable @inline(__always)
  public var countsByCL: Bool { imm2 & Instruction.byCL != 0 }
  @inlinable static var byCL: UInt16 { 0x100 }
  /// Of an instruction that has both forms: MMX registers, not XMM.
  @inlinable @inline(__always)
  public var isMMX: Bool { imm2 == 0 }
  /// What the table says of the encoding; looked up, for those who have time.
  public var encoding: OpcodeEntry { OpcodeTable.shared.entries[Int(entry)] }
  /// Opcode (0F00h added for the two-byte map): to name or to write it. What an instruction does is `op`.
  public var opcode: UInt16 { encoding.opcode }
}

/// Bits of `Instruction.flags`.
public enum InstructionFlags {
  @inlinable public static var operand32: UInt8 { 1 }
  @inlinable public static var address32: UInt8 { 2 }
  /// The ModRM operand is memory.
  @inlinable public static var memory: UInt8 { 4 }
  /// F3 prefix.
  @inlinable public static var rep: UInt8 { 8 }
  /// F2 prefix.
  @inlinable public static var repne: UInt8 { 16 }
  @inlinable public static var lock: UInt8 { 32 }
  /// Execution cannot simply go on with the next record: control transfer, REP, mode change, interrupt window.
  @inlinable public static var endsBlock: UInt8 { 64 }
  /// The operand is a byte.
  @inlinable public static var byte: UInt8 { 128 }
}

/// How handlers take an instruction.
public typealias Insn = UnsafePointer<Instruction>
