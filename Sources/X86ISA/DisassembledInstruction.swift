// An instruction taken apart for people: text, length, where it leads, what memory it touches.
//
// Owns: the value and how addresses follow from it. Must not know: how the text is made (Disassembler.swift).

/// How an instruction leaves its place.
public enum InstructionFlow: Equatable, Sendable {
  case next
  /// An unconditional jump.
  case jump
  /// Jcc, LOOPcc, JCXZ.
  case conditional
  case call
  case `return`
  /// INT n and its relatives.
  case interrupt
  /// A string instruction with REP.
  case repeated
  case halt
}

/// On what a conditional transfer depends.
public enum TransferCondition: Equatable, Sendable {
  /// Jcc: the condition by its number, 0 (O) to 15 (NLE).
  case flags(Int)
  /// LOOP: what is left of the count.
  case count
  /// LOOPZ, LOOPNZ: that, and ZF.
  case countAndZero(Bool)
  /// JCXZ.
  case noCount
}

/// A memory operand before its address is known.
public struct MemoryReference: Equatable, Sendable {
  /// Segment register number.
  public var segment: Int
  /// General register numbers, or nil.
  public var base: Int?
  public var index: Int?
  /// Shift of the index.
  public var scale: Int
  public var displacement: UInt32
  /// FFFFh or FFFFFFFFh.
  public var addressMask: UInt32
  /// Bytes of the operand; 0 where it has no plain value.
  public var size: Int
  /// LEA and the like: the address is not accessed.
  public var isAddressOnly: Bool
}

/// A disassembled instruction.
public struct DisassembledInstruction: Equatable, Sendable {
  public var text: String
  public var length: Int
  public var isValid: Bool
  public var flow: InstructionFlow
  /// EIP that a direct near transfer leads to.
  public var target: UInt32?
  /// Selector of a direct far transfer, whose offset is `target`.
  public var farSelector: UInt16?
  public var memory: MemoryReference?
  /// On what a conditional transfer depends.
  public var condition: TransferCondition?
}

/// The notation of disassembled instructions.
public enum AssemblySyntax: String, Sendable {
  /// Destination first, as nasm writes it.
  case intel
  /// Source first, as GNU as and objdump write it.
  case att
}
