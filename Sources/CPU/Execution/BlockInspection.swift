// Decoded blocks and registers as tools look at them.
//
// Owns: finding a block without side effects. Must not know: why it is looked at.

extension CPU {
  /// The decoded block that starts at a linear address in the present mode; nil when nothing is mapped or nothing decoded there.
  package func decodedBlock(linear: LinearAddress) -> BlockPointer? {
    guard let physical = peekPhysical(linear.low) else { return nil }
    return blocks.find(
      physical: physical, mode: segmentPointer(SegmentRegister.cs).pointee.decodeMode,
      secondPage: nil)
  }

  /// Where decoded blocks begin in a linear address's page, and whether each has host code.
  package func decodedStarts(pageOf linear: LinearAddress) -> [(
    linear: LinearAddress, hasCode: Bool
  )] {
    guard let physical = peekPhysical(linear.low) else { return [] }
    return blocks.starts(inPage: UInt32(truncatingIfNeeded: physical >> 12)).map {
      (LinearAddress(linear.low & 0xFFFF_F000 | UInt32($0.physical & 0xFFF)), $0.hasCode)
    }
  }

  /// An XMM register.
  package func vectorRegister(_ n: Int) -> XMMBits { xmm[n & 7] }
}
