// Where the count of retired instructions stands.
//
// Owns: reading it. Must not know: what runs the instructions. A record is what an engine keeps of one decoded instruction.

/// The count of retired instructions as an engine keeps it: those before the present block, and where in the block it is.
public struct InstructionCounter {
  @usableFromInline let retired: UnsafePointer<UInt64>
  @usableFromInline let current: UnsafePointer<UInt>
  @usableFromInline let start: UnsafePointer<UInt>
  @usableFromInline let shift: UInt

  /// All three must stay where they are as long as this is used.
  /// - Parameters:
  ///   - retired: instructions before the present block.
  ///   - current: the address of the record that is being executed.
  ///   - start: the address of the block's first record; the same as `current` between blocks.
  ///   - shift: a record takes 2 to the power of this bytes.
  public init(
    retired: UnsafePointer<UInt64>, current: UnsafePointer<UInt>, start: UnsafePointer<UInt>,
    shift: UInt
  ) {
    (self.retired, self.current, self.start, self.shift) = (retired, current, start, shift & 63)
  }

  /// Retired instructions so far, exact also in the middle of a block.
  @inlinable @inline(__always)
  public var count: UInt64 {
    retired.pointee &+ UInt64((current.pointee &- start.pointee) &>> shift)
  }
}
