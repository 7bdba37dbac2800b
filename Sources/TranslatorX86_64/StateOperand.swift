// Places in the processor's state, as operands of host code.
//
// Owns: what R15, which holds the address of `CPUState`, makes of each field, and the fields' names for listings.
// Must not know: who uses them.

import Assembler
import CPU

/// Offsets in `CPUState`, and operands made of them.
enum StateOperand {
  static func field(_ offset: Int?) -> MemoryOperand {
    MemoryOperand(base: .r15, displacement: Int32(offset.unsafelyUnwrapped))
  }
  static func gpr(_ n: Int) -> MemoryOperand {
    MemoryOperand(base: .r15, displacement: Int32(n * 4))
  }
  /// Of the register of the same number.
  static func gpr(_ r: HostRegister) -> MemoryOperand {
    MemoryOperand(base: .r15, displacement: Int32(r.number * 4))
  }
  static func segment(_ n: Int, _ offset: Int?) -> MemoryOperand {
    MemoryOperand(base: .r15, displacement: Int32(64 + n * 32 + offset.unsafelyUnwrapped))
  }
  static let eip = field(MemoryLayout<CPUState>.offset(of: \.eip))
  static let codeTag = field(MemoryLayout<CPUState>.offset(of: \.codeTag))
  static let budget = field(MemoryLayout<CPUState>.offset(of: \.budget))
  static let windowFault = field(MemoryLayout<CPUState>.offset(of: \.windowFault))
  static let eflags = field(MemoryLayout<CPUState>.offset(of: \.eflags))
  static let attention = field(MemoryLayout<CPUState>.offset(of: \.attention))
  static let scratch = field(MemoryLayout<CPUState>.offset(of: \.scratch))
  static let savedR10 = field(MemoryLayout<CPUState>.offset(of: \.scratchPair.0))
  static let savedR8 = field(MemoryLayout<CPUState>.offset(of: \.scratchPair.1))
  static let tracksWrites = field(MemoryLayout<CPUState>.offset(of: \.tracksWrites))
  static let rawFlags = field(MemoryLayout<CPUState>.offset(of: \.rawFlags))
  static let context = field(MemoryLayout<CPUState>.offset(of: \.context))
  static let noCode = field(MemoryLayout<CPUState>.offset(of: \.noCode))
  static let places = field(MemoryLayout<CPUState>.offset(of: \.places))
  static let lookaside = field(MemoryLayout<CPUState>.offset(of: \.lookaside))
  static let loadSegment = field(MemoryLayout<CPUState>.offset(of: \.loadSegment))
  static let runEnd = field(MemoryLayout<CPUState>.offset(of: \.runEnd))
  static let tscBase = field(MemoryLayout<CPUState>.offset(of: \.tscBase))
  static let tscBaseCount = field(MemoryLayout<CPUState>.offset(of: \.tscBaseCount))
  static let tscScale = field(MemoryLayout<CPUState>.offset(of: \.tscScale))
  static let interpretOne = field(MemoryLayout<CPUState>.offset(of: \.interpretOne))
  static let transfer = field(MemoryLayout<CPUState>.offset(of: \.transfer))
  static let port = field(MemoryLayout<CPUState>.offset(of: \.port))
  static let farSelector = field(MemoryLayout<CPUState>.offset(of: \.farSelector))
  static let farOffset = field(MemoryLayout<CPUState>.offset(of: \.farOffset))
  static let farContext = field(MemoryLayout<CPUState>.offset(of: \.farContext))
  static let givesWay = field(MemoryLayout<CPUState>.offset(of: \.givesWay))
  static let givesWayAtSTI = field(MemoryLayout<CPUState>.offset(of: \.givesWayAtSTI))
  static let hasEvents = field(MemoryLayout<CPUState>.offset(of: \.hasEvents))
  static let branchIndex = field(CPU.branchIndexOffset)
  static let updateContext = field(MemoryLayout<CPUState>.offset(of: \.updateContext))
  static let fillEntry = field(MemoryLayout<CPUState>.offset(of: \.fillEntry))
  static let moveDevice = field(MemoryLayout<CPUState>.offset(of: \.moveDevice))
  static let readTable = field(MemoryLayout<CPUState>.offset(of: \.readTable))
  static let pageNotes = field(MemoryLayout<CPUState>.offset(of: \.pageNotes))
  static let writeTable = field(MemoryLayout<CPUState>.offset(of: \.writeTable))
  static let segmentSelector = MemoryLayout<SegmentCache>.offset(of: \.selector)
  static let segmentAttributes = MemoryLayout<SegmentCache>.offset(of: \.attributes)
  static let segmentLimit = MemoryLayout<SegmentCache>.offset(of: \.limit)
  static let segmentBase = MemoryLayout<SegmentCache>.offset(of: \.base)
  static let readLimit = MemoryLayout<SegmentCache>.offset(of: \.readLimit)
  static let writeLimit = MemoryLayout<SegmentCache>.offset(of: \.writeLimit)
}
