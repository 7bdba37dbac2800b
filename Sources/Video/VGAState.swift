// The VGA's saved state.
//
// Owns: the order of the fields. Must not know: what they mean beyond their ranges.

import Bus
import State

extension VGA {
  /// 2: memory of any size, an eight-bit DAC, the display interface. 3: the display data channel.
  public var stateVersion: UInt16 { 3 }

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
    writer.write(dac.isWide)
    if let display {
      writer.write(display.index)
      writer.write(array: display.registers)
    }
    cirrus?.save(to: &writer)
    video.save(to: &writer)
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
    dac.colours = try reader.readBytes(count: 768)
    dac.mask = try reader.read()
    dac.address = try reader.read()
    dac.component = Int(try reader.read(in: UInt8(0)...2))
    dac.reading = try reader.readBool()
    dac.latch = try reader.readBytes(count: 3)
    miscOutput = try reader.read()
    featureControl = try reader.read() & 8
    subsystemEnabled = try reader.readBool()
    adapterEnabled = try reader.readBool()
    interruptArmed = try reader.read()
    latch = try reader.read()
    dac.isWide = version >= 2 ? try reader.readBool() : false
    if version < 2 {
      dac.colours = dac.colours.map { $0 & 0x3F }
      dac.latch = dac.latch.map { $0 & 0x3F }
    }
    if version >= 2 {
      if display != nil {
        display?.index = try reader.read()
        let registers = try reader.readArray(of: UInt16.self)
        if registers.count != BochsDisplay.count {
          throw reader.error("a display interface of \(registers.count) registers")
        }
        display?.registers = registers
        display?.sanitize()
      }
      try cirrus?.restore(from: &reader, version: version)
      try video.restore(from: &reader)
    } else {
      if video.size != VGA.memorySize { throw reader.error("a VGA with another memory") }
      try video.restorePlain(from: &reader)
    }
    startOver()
  }
}

extension VGA {
  /// On a local bus. Offsets: ports from 3B0h on, 30h is 46E8h.
  public static let part = PartType("vga", "VGA with 256 KB") { board, _ in
    try VGA(clock: board.clock).place(on: board)
  }

  public func inspect() -> [Field] {
    registerViews.map { .bytes($0.name, $0.values) } + [
      .register("dac mask", dac.mask), .register("feature control", featureControl),
      .flag("answers", isEnabled), .flag("memory is linear", isDirect),
      .count("memory in KB", video.size >> 10), .text("picture", pictureText),
    ]
      + (display.map {
        [.bytes("display interface", $0.registers.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] })]
      } ?? [])
      + (cirrus?.inspect() ?? [])
  }
}

extension VGA {
  /// What is shown, in words.
  var pictureText: String {
    if let p = linearPicture {
      return "\(p.width)x\(p.height), \(p.format) at \(p.start), \(p.pitch) bytes a line"
        + (p.isBlank ? ", dark" : "")
    }
    let geometry = DisplayGeometry(self)
    let kind = geometry.isGraphics ? "planes" : "text"
    return "\(geometry.width)x\(geometry.height), \(kind)" + (geometry.blank ? ", dark" : "")
  }
}
