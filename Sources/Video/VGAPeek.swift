// Display memory for debuggers.
//
// Owns: reading it as the processor would, without loading the latches. Must not know: who reads.

extension VGA {
  /// The byte that a read at a physical address would give now; nothing changes.
  public func peek(_ address: UInt32) -> UInt8 {
    let saved = latch
    defer { latch = saved }
    return UInt8(truncatingIfNeeded: readMemory(address &- 0xA0000, width: 1))
  }

  /// The registers by group: Miscellaneous Output, then sequencer, CRTC, graphics and attribute controller.
  public var registerViews: [(name: String, values: [UInt8])] {
    [
      ("misc", [miscOutput]), ("sequencer", Array(sequencer.registers)),
      ("crtc", Array(crtc.registers)), ("graphics", Array(graphics.registers)),
      ("attribute", Array(attribute.registers)),
    ]
  }
}
