// The VGA's saved state.
//
// Owns: the order of the fields. Must not know: what they mean beyond their ranges.

import Bus
import State

extension VGA {
  public func save(to writer: inout StateWriter) {
    writer.write(sequencer.index)
    writer.write(bytes: sequencer.registers)
    writer.write(crtc.index)
    writer.write(bytes: crtc.registers)
    writer.write(graphics.index)
    writer.write(bytes: graphics.registers)
    writer.write(attribute.index)
    writer.write(attribute.displayEnabled)
    writer.write(attribute.expectsData)
    writer.write(bytes: attribute.registers)
    writer.write(bytes: dac.colours)
    writer.write(dac.mask)
    writer.write(dac.address)
    writer.write(UInt8(dac.component))
    writer.write(dac.reading)
    writer.write(bytes: dac.latch)
    writer.write(miscOutput)
    writer.write(featureControl)
    writer.write(subsystemEnabled)
    writer.write(adapterEnabled)
    writer.write(interruptArmed)
    writer.write(latch)
    writer.write(raw: UnsafeRawBufferPointer(start: memory, count: VGA.memorySize))
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    sequencer.index = try reader.read()
    sequencer.registers = try reader.readBytes(count: Sequencer.count)
    sequencer.sanitize()
    crtc.index = try reader.read()
    crtc.registers = try reader.readBytes(count: CRTController.count)
    crtc.sanitize()
    graphics.index = try reader.read()
    graphics.registers = try reader.readBytes(count: GraphicsController.count)
    graphics.sanitize()
    attribute.index = try reader.read()
    attribute.displayEnabled = try reader.readBool()
    attribute.expectsData = try reader.readBool()
    attribute.registers = try reader.readBytes(count: AttributeController.count)
    attribute.sanitize()
    dac.colours = try reader.readBytes(count: 768).map { $0 & 0x3F }
    dac.mask = try reader.read()
    dac.address = try reader.read()
    dac.component = Int(try reader.read(in: UInt8(0)...2))
    dac.reading = try reader.readBool()
    dac.latch = try reader.readBytes(count: 3).map { $0 & 0x3F }
    miscOutput = try reader.read()
    featureControl = try reader.read() & 8
    subsystemEnabled = try reader.readBool()
    adapterEnabled = try reader.readBool()
    interruptArmed = try reader.read()
    latch = try reader.read()
    let bytes = try reader.readBytes(count: VGA.memorySize)
    bytes.withUnsafeBytes {
      UnsafeMutableRawPointer(memory).copyMemory(from: $0.baseAddress!, byteCount: VGA.memorySize)
    }
    startOver()
  }
}

extension VGA {
  /// On a local bus. Offsets: ports from 3B0h on, 30h is 46E8h.
  public static let part = PartType("vga", "VGA with 256 KB") { board, _ in
    let vga = VGA(clock: board.clock)
    for (ports, offset): (ClosedRange<UInt16>, UInt32) in [
      (0x3B0...0x3BB, 0x00), (0x3C0...0x3DF, 0x10), (0x46E8...0x46E8, 0x30),
    ] {
      try board.claim(vga, at: ports, offset: offset, .quick, owner: vga.stateName)
    }
    vga.mapping = board.memory.map(
      vga.aperture, at: 0xA0000, count: 0x20000, isMemory: true, priority: 0)
    try board.add(vga)
  }

  public func inspect() -> [Field] {
    registerViews.map { .bytes($0.name, $0.values) } + [
      .register("dac mask", dac.mask), .register("feature control", featureControl),
      .flag("answers", isEnabled), .flag("memory is linear", isDirect),
    ]
  }
}
