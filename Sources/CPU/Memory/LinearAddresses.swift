// Linear and physical addresses at the processor's interfaces, and inside of it.
//
// Owns: the way from one to the other. Must not know: how pages are walked.

/// A linear address inside of the processor: half a register, so that it wraps at 4 GiB by itself as the processors here have it, and takes
/// 32-bit instructions in the loops. The interfaces have `LinearAddress`.
typealias Linear = UInt32

/// A physical address inside of the processor: at most 36 bits. The interfaces have `PhysicalAddress`.
typealias Physical = UInt64

extension CPU {
  /// The physical address of a linear one now, without any effect; nil where nothing is mapped.
  public func peekTranslate(_ linear: LinearAddress) -> PhysicalAddress? {
    peekPhysical(linear.low).map { PhysicalAddress($0) }
  }
}
