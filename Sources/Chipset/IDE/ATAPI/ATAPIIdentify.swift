// The drive as a part of a board: IDENTIFY PACKET DEVICE, its state, what a debugger shows, the socket.
//
// Owns: these. Must not know: commands. After: ATA/ATAPI-6 clause 8.16.

import Bus
import State
import Storage

extension ATAPIDrive {
  /// The 512 bytes of IDENTIFY PACKET DEVICE.
  func identifyPacketData() -> [UInt8] {
    var words = [UInt16](repeating: 0, count: 256)
    // ATAPI, CD-ROM, removable; DRQ within 50 microseconds of PACKET, packets of 12 bytes.
    words[0] = 0x85C0
    put(serial, into: &words, at: 10, count: 10)
    words[20] = 3
    words[21] = UInt16(IDEDrive.capacity / 512)
    put("1.0", into: &words, at: 23, count: 4)
    put("Apus CD/DVD-ROM", into: &words, at: 27, count: 20)
    words[48] = 1
    words[49] = 0x0B00  // IORDY, LBA, DMA
    words[51] = 0x0200
    words[53] = 0x0006  // words 64-70 and 88 are valid
    // Single word and multiword DMA modes 0 to 2, Ultra DMA modes 0 to 5, and which of them is selected.
    func selected(_ kind: UInt8) -> UInt16 {
      dmaMode & 0xF0 == kind ? 0x0100 << UInt16(dmaMode & 7) : 0
    }
    words[62] = 0x0007 | selected(0x10)
    words[63] = 0x0007 | selected(0x20)
    words[88] = 0x003F | selected(0x40)
    words[64] = 0x0003  // PIO modes 3 and 4
    words[67] = 120
    words[68] = 120
    words[80] = 0x0078  // ATA-3 to ATA/ATAPI-6
    // NOP is not there; DEVICE RESET, PACKET, power management.
    words[82] = 0x0218
    words[83] = 0x4000
    words[84] = 0x4000
    words[85] = 0x0218
    words[87] = 0x4000
    words[93] = index == 0 ? 0x4009 : 0x4900
    // What a byte count of 0 means.
    words[125] = 0xFFFE
    return words.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
  }

  /// ATA strings: padded with spaces, the first character in the high byte of a word.
  private func put(_ text: String, into words: inout [UInt16], at first: Int, count: Int) {
    let characters = ATAPIDrive.text(text, count * 2)
    for i in 0..<count {
      words[first + i] = UInt16(characters[2 * i]) << 8 | UInt16(characters[2 * i + 1])
    }
  }

  // MARK: What can be seen

  var fields: [Field] {
    [
      .text("disc", disc.map { $0.name } ?? "none"), .flag("tray open", isTrayOpen),
      .flag("locked", isLocked), .text("step", "\(step)"),
      .text("packet", packet.map { ATAPIDrive.hex($0) }.joined(separator: " ")),
      .count("byte limit", byteLimit), .flag("DMA", usesDMA), .count("next sector", nextSector),
      .count("sectors left", sectorsLeft), .register("sense key", sense.key),
      .register("ASC", sense.code), .register("ASCQ", sense.qualifier),
      .flag("reset to be told", resetAttention), .flag("change to be told", changeAttention),
      .text("media event", "\(mediaEvent)"), .text("audio", "\(audio.state)"),
    ]
  }

  private static func hex(_ byte: UInt8) -> String {
    let text = String(byte, radix: 16, uppercase: true)
    return byte < 16 ? "0" + text : text
  }

  // MARK: State

  func saveATAPI(to writer: inout StateWriter) {
    writer.write(step.rawValue)
    writer.write(bytes: packet)
    writer.write(UInt16(byteLimit))
    writer.write(UInt32(max(sectorsLeft, 0)))
    writer.write(Int64(nextSector))
    writer.write(UInt16(sectorBytes))
    writer.write(selection != nil)
    writer.write(selection?.expected ?? 0)
    writer.write(selection?.main ?? 0)
    writer.write(selection?.subchannel ?? 0)
    for flag in [
      usesDMA, isTrayOpen, isLocked, resetAttention, changeAttention, sense.information != nil,
    ] { writer.write(flag) }
    for value in [
      sense.key, sense.code, sense.qualifier, mediaEvent.rawValue, power.rawValue,
    ] { writer.write(value) }
    writer.write(sense.information ?? 0)
    writer.write(dmaMode)
    writer.write(Int64(head))
    audio.save(to: &writer)
    modes.save(to: &writer)
  }

  func restoreATAPI(from reader: inout StateReader) throws(StateError) {
    guard let step = Step(rawValue: try reader.read()) else {
      throw reader.error("no such step of a packet command")
    }
    self.step = step
    packet = try reader.readBytes(count: 12)
    byteLimit = Int(try reader.read(in: UInt16(1)...0xFFFE))
    sectorsLeft = Int(try reader.read(UInt32.self))
    nextSector = Int(try reader.read(in: Int64(-150)...Int64(UInt32.max)))
    sectorBytes = Int(try reader.read(UInt16.self))
    let isSelective = try reader.readBool()
    let wanted = ATAPISelection(
      expected: try reader.read(), main: try reader.read(), subchannel: try reader.read())
    if isSelective && !wanted.isValid { throw reader.error("no such selection of a sector") }
    selection = isSelective ? wanted : nil
    usesDMA = try reader.readBool()
    isTrayOpen = try reader.readBool()
    isLocked = try reader.readBool()
    resetAttention = try reader.readBool()
    changeAttention = try reader.readBool()
    let hasInformation = try reader.readBool()
    sense = ATAPISense(try reader.read(), try reader.read(), try reader.read())
    guard let event = MediaEvent(rawValue: try reader.read()),
      let power = PowerMode(rawValue: try reader.read())
    else { throw reader.error("no such event or power mode") }
    mediaEvent = event
    self.power = power
    let information = try reader.read(UInt32.self)
    sense.information = hasInformation ? information : nil
    dmaMode = try reader.read(in: UInt8(0)...0x45)
    head = Int(try reader.read(in: Int64(-150)...Int64(UInt32.max)))
    try audio.restore(from: &reader)
    try modes.restore(from: &reader)
  }
}

extension ATAPIDrive {
  /// A socket for a CD drive.
  public static let part = PartType(
    "cd-drive", "CD/DVD drive on an IDE channel, if the machine has one there", isMultiple: true,
    options: [
      PartOption("on", .text, "ide1", "the channel"),
      PartOption("unit", .number(0...1), "0", "its place on the cable: 0 master, 1 slave"),
    ]
  ) { board, values in
    let name = try values.identity(on: board)
    guard let channel = board.all(IDEChannel.self).first(where: { $0.stateName == values["on"] })
    else { throw BoardError("\(name): there is no IDE channel '\(values["on"])'") }
    try board.add(
      Socket(.cd, name: name, controller: channel.stateName, unit: values.number("unit")))
  }
}
