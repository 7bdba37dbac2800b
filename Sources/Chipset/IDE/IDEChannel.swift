// One IDE channel: the registers of a cable with up to two drives.
//
// Owns: which drive is selected, device control, the interrupt line, resets. Must not know: command sets.
// After: ATA/ATAPI-6 clauses 7 and 9.
//
//   command block (1F0h or 170h)            control block (3F6h or 376h)
//   +0 data (8, 16 or 32 bits wide)         +0 read: alternate status
//   +1 error / features                        write: device control: HOB 7, SRST 2, nIEN 1
//   +2 sector count
//   +3 LBA low, +4 LBA mid, +5 LBA high
//   +6 device: LBA 6, DEV 4, head 3-0; 7 and 5 read as ones
//   +7 status / command
//
// A channel without drives floats high but for DD7, which the host pulls down so that BSY reads as 0 (ATA/ATAPI-6, table 4).
// Device 0 answers for an absent device 1: its registers, but a status of 00h; a packet device answers with 00h for all of them, so that
// nobody finds its signature twice.
// Device 1 alone does not answer for device 0: the bus floats.

import Bus
import State

/// An IDE channel with up to two drives.
public final class IDEChannel: Device, Registers {
  public let stateName: String
  /// The first port of the command block; eight ports.
  public let commandBase: UInt16
  /// The port of alternate status and device control.
  public let controlBase: UInt16

  private let clock: VirtualClock
  private let irq: Signal
  private var drives: [IDEDrive?] = [nil, nil]
  private var events: [EventID] = []
  private var resetEvent: EventID!
  private var control: UInt8 = 0
  /// The DEV bit as last written.
  private var selected = 0
  /// The drive that is selected, kept at hand for the data port.
  private var current: IDEDrive?
  /// What moves data by DMA; nil on a board without a bus master.
  public var busMaster: (any IDEBusMaster)?
  /// Whether the ports are decoded: a PCI function can switch them off, and they float.
  public var isDecoded = true

  /// The offset of alternate status and device control; the command block is at 0 to 7.
  static let controlOffset: UInt32 = 8

  /// How long a drive takes to come back from a reset, in virtual nanoseconds.
  static let resetTime: UInt64 = 500_000

  /// - Parameters:
  ///   - irq: IRQ 14 or 15.
  ///   - name: unique in the machine ("ide0"); it names the section in saved states and the events.
  public init(
    clock: VirtualClock, irq: Signal, name: String, commandBase: UInt16 = 0x1F0,
    controlBase: UInt16 = 0x3F6
  ) {
    self.clock = clock
    self.irq = irq
    stateName = name
    self.commandBase = commandBase
    self.controlBase = controlBase
    for index in 0..<2 {
      events.append(
        clock.register("\(name).drive\(index)") { [unowned self] in self.driveDue(index) })
    }
    resetEvent = clock.register("\(name).reset") { [unowned self] in self.endReset() }
  }

  /// Connects a drive (0: master, 1: slave), or removes it with nil. To be done before the machine runs.
  public func attach(drive index: Int, _ drive: IDEDrive?) {
    guard index == 0 || index == 1 else { return }
    drives[index]?.channel = nil
    drives[index] = drive
    drive?.channel = self
    drive?.index = index
    current = drives[selected]
  }

  /// The drive at a place (0: master, 1: slave).
  public func drive(_ index: Int) -> IDEDrive? { index == 0 || index == 1 ? drives[index] : nil }

  // MARK: For the drives

  func schedule(_ drive: IDEDrive, after delay: UInt64) {
    clock.schedule(events[drive.index], after: delay)
  }

  /// The event that is running comes again, and nothing before it: the host is not ready.
  func hold(_ drive: IDEDrive) { clock.hold(events[drive.index]) }

  func cancel(_ drive: IDEDrive) { clock.cancel(events[drive.index]) }

  /// Virtual nanoseconds since power-on.
  var now: UInt64 { clock.now }

  func updateInterrupt() {
    let level = control & 0x02 == 0 && current?.interruptPending == true
    if level == irq.level { return }
    // The engine first: who is told of the interrupt may ask it at once.
    busMaster?.interruptChanged(to: level)
    irq.set(level)
  }

  func dmaRequested(by drive: IDEDrive) {
    if drive === current { busMaster?.dmaRequested(by: drive) }
  }

  /// The drive whose DMARQ reaches the bus master: the selected one, when it has a window for DMA.
  var dmaDrive: IDEDrive? { current.flatMap { $0.wantsDMA ? $0 : nil } }

  private func driveDue(_ index: Int) { drives[index]?.eventDue() }

  // MARK: Ports

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    if !isDecoded { return UInt32.max >> UInt32(32 - 8 * min(max(width, 1), 4)) }
    if offset == 0 {
      guard let current else { return floating(width) }
      return current.readData(width: width)
    }
    var value: UInt32 = 0
    for i in 0..<min(max(width, 1), 4) {
      value |= UInt32(readByte(offset &+ UInt32(i))) << UInt32(8 * i)
    }
    return value
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    if !isDecoded { return }
    if offset == 0 {
      current?.writeData(value, width: width)
      return
    }
    for i in 0..<min(max(width, 1), 4) {
      writeByte(offset &+ UInt32(i), UInt8(truncatingIfNeeded: value >> UInt32(8 * i)))
    }
  }

  // MARK: Blocks

  public func blockRoom(at offset: UInt32, width: Int) -> Int {
    offset == 0 && width > 1 && isDecoded ? (dataRoom &* 2 &+ width &- 1) / width : 0
  }

  public func readBlock(
    at offset: UInt32, width: Int, into buffer: UnsafeMutableRawPointer, count: Int
  ) -> Int {
    guard offset == 0, width > 1, isDecoded else { return 0 }
    let words = readData(into: buffer, count: count &* (width / 2))
    if width == 2 { return words }
    if words & 1 != 0 {
      // A dword at the end of a block is two words of which the second is beyond it.
      let word = read(at: 0, width: 2)
      (buffer + words * 2).storeBytes(of: UInt16(truncatingIfNeeded: word), as: UInt16.self)
    }
    return (words + 1) / 2
  }

  public func writeBlock(at offset: UInt32, width: Int, from buffer: UnsafeRawPointer, count: Int)
    -> Int
  {
    guard offset == 0, width > 1, isDecoded else { return 0 }
    let words = writeData(from: buffer, count: count &* (width / 2))
    if width == 2 { return words }
    if words & 1 != 0 {
      write(at: 0, UInt32((buffer + words * 2).loadUnaligned(as: UInt16.self)), width: 2)
    }
    return (words + 1) / 2
  }

  /// Moves words from the data port to memory as REP INSW does (REP INSD: two words each).
  /// - Returns: how many words there were: fewer than `count` at the end of the DRQ block. The rest reads as single words would.
  public func readData(into pointer: UnsafeMutableRawPointer, count words: Int) -> Int {
    guard let current, words > 0 else { return 0 }
    return current.readBytes(pointer, min(words, IDEDrive.capacity) &* 2) / 2
  }

  /// How many words the data port moves until the end of the DRQ block.
  public var dataRoom: Int { current.map { $0.wantsDMA ? 0 : max(0, $0.bytesLeft) / 2 } ?? 0 }

  /// Moves words from memory to the data port as REP OUTSW does.
  /// - Returns: how many words were taken: fewer than `count` at the end of the DRQ block.
  public func writeData(from pointer: UnsafeRawPointer, count words: Int) -> Int {
    guard let current, words > 0 else { return 0 }
    return current.writeBytes(pointer, min(words, IDEDrive.capacity) &* 2) / 2
  }

  private func floating(_ width: Int) -> UInt32 {
    width >= 4 ? 0xFF7F_FF7F : width == 2 ? 0xFF7F : 0x7F
  }

  private static let floatingByte: UInt8 = 0x7F

  private func readByte(_ register: UInt32) -> UInt8 {
    if register == IDEChannel.controlOffset { return readStatus(clearsInterrupt: false) }
    if register == 7 { return readStatus(clearsInterrupt: true) }
    guard register < 7 else { return 0xFF }
    // Device 0 answers for an absent device 1.
    guard let drive = current ?? (selected == 1 ? drives[0] : nil) else {
      return IDEChannel.floatingByte
    }
    // A packet device shows nothing of itself where a driver looks for a second one.
    if current == nil && drive.isPacketDevice && register < 6 { return 0 }
    let shift: UInt16 = control & 0x80 != 0 ? 8 : 0
    switch register {
    case 0: return current == nil ? 0xFF : UInt8(truncatingIfNeeded: drive.readData(width: 1))
    case 1: return drive.error
    case 2: return UInt8(truncatingIfNeeded: drive.count >> shift)
    case 3: return UInt8(truncatingIfNeeded: drive.low >> shift)
    case 4: return UInt8(truncatingIfNeeded: drive.mid >> shift)
    case 5: return UInt8(truncatingIfNeeded: drive.high >> shift)
    // Bits 7 and 5 are obsolete and read as ones, as on drives that older drivers know.
    default: return drive.device & 0xEF | 0xA0 | UInt8(selected << 4)
    }
  }

  private func readStatus(clearsInterrupt: Bool) -> UInt8 {
    guard let current else {
      return selected == 1 && drives[0] != nil ? 0x00 : IDEChannel.floatingByte
    }
    let status = current.status
    if clearsInterrupt { current.clearInterrupt() }
    return status
  }

  private func writeByte(_ register: UInt32, _ value: UInt8) {
    if register == IDEChannel.controlOffset { return writeControl(value) }
    guard register < 8 else { return }
    control &= 0x7F
    switch register {
    case 0: current?.writeData(UInt32(value), width: 1)
    case 6: select(value)
    case 7: command(value)
    default:
      // Both devices see every write; one that is busy does not listen.
      for case let drive? in drives where drive.status & ATAStatus.busy == 0 {
        let byte = UInt16(value)
        switch register {
        case 1: drive.features = drive.features << 8 | byte
        case 2: drive.count = drive.count << 8 | byte
        case 3: drive.low = drive.low << 8 | byte
        case 4: drive.mid = drive.mid << 8 | byte
        default: drive.high = drive.high << 8 | byte
        }
      }
    }
  }

  private func select(_ value: UInt8) {
    for case let drive? in drives where drive.status & ATAStatus.busy == 0 { drive.device = value }
    selected = Int(value >> 4 & 1)
    current = drives[selected]
    updateInterrupt()
    if let drive = dmaDrive { busMaster?.dmaRequested(by: drive) }
  }

  private func command(_ value: UInt8) {
    if control & 0x04 != 0 { return }
    if value == 0x90 {
      // EXECUTE DEVICE DIAGNOSTIC goes to both devices whichever is selected.
      if drives.contains(where: { $0.map { $0.status & ATAStatus.busy != 0 } ?? false }) { return }
      beginReset(diagnostic: true)
      clock.schedule(resetEvent, after: IDEChannel.resetTime)
      return
    }
    guard let current else { return }
    if current.status & ATAStatus.busy != 0 && value != 0x08 { return }
    if current.phase == .resetting { return }
    current.clearInterrupt()
    current.execute(value)
  }

  private func writeControl(_ value: UInt8) {
    let old = control
    control = value & 0x86
    if value & 0x04 != 0 && old & 0x04 == 0 {
      clock.cancel(resetEvent)
      beginReset(diagnostic: false)
    } else if value & 0x04 == 0 && old & 0x04 != 0 {
      clock.schedule(resetEvent, after: IDEChannel.resetTime)
    }
    updateInterrupt()
  }

  // MARK: Reset

  /// Whether the reset that is under way ends with an interrupt.
  private var isDiagnostic = false

  private func beginReset(diagnostic: Bool) {
    isDiagnostic = diagnostic
    for case let drive? in drives {
      drive.beginReset()
      if !diagnostic { drive.resetSettings(hardware: false) }
    }
    selected = 0
    current = drives[0]
    updateInterrupt()
  }

  private func endReset() {
    for case let drive? in drives where drive.phase == .resetting { drive.endReset() }
    if isDiagnostic { drives[0]?.raiseInterrupt() }
    isDiagnostic = false
  }

  public func reset(_ kind: ResetKind) {
    control = 0
    clock.cancel(resetEvent)
    beginReset(diagnostic: false)
    for case let drive? in drives { drive.resetSettings(hardware: true) }
    // The firmware waits longer than any drive needs; a channel that is ready at once needs no event at power-on.
    endReset()
  }

  // MARK: State

  /// 2: drives that do DMA.
  public static let latestVersion: UInt16 = 2
  public var stateVersion: UInt16 { IDEChannel.latestVersion }

  public func save(to writer: inout StateWriter) {
    writer.write(control)
    writer.write(UInt8(selected))
    writer.write(isDiagnostic)
    for drive in drives {
      writer.write(drive != nil)
      drive?.save(to: &writer)
    }
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    control = try reader.read()
    selected = Int(try reader.read(in: UInt8(0)...1))
    isDiagnostic = try reader.readBool()
    for (index, drive) in drives.enumerated() {
      let present = try reader.readBool()
      if present != (drive != nil) {
        throw reader.error(
          "the state has \(present ? "a" : "no") drive \(index) on \(stateName), this machine has "
            + (present ? "none" : "one"))
      }
      if let drive {
        drive.savedVersion = version
        try drive.restore(from: &reader)
      }
    }
    current = drives[selected]
    irq.restore(level: control & 0x02 == 0 && current?.interruptPending == true)
  }
}

extension IDEChannel {
  public func inspect() -> [Field] {
    [
      .register("command ports", commandBase), .register("control ports", controlBase),
      .count("selected", selected), .register("control", control),
      .flag("interrupt", irq.level),
    ]
      + drives.enumerated().map { n, drive in
        drive.map { .group("drive \(n)", $0.inspect()) } ?? .text("drive \(n)", "none")
      }
  }
}

extension IDEChannel {
  /// Offsets: 0 to 7 the command block, 8 the control port. Commands take their own time.
  public static let part = PartType(
    "ide", "IDE channel", isMultiple: true,
    options: [
      PartOption("port", .port, "1E8", "the first port of the command block"),
      PartOption("control", .port, "3EE", "the port of the control block"),
      PartOption("irq", .interrupt, "11", "its interrupt request"),
    ]
  ) { board, values in
    let name = try values.identity(on: board)
    let channel = IDEChannel(
      clock: board.clock, irq: try board.interrupt(values.number("irq"), for: name), name: name,
      commandBase: values.port("port"), controlBase: values.port("control"))
    let base = channel.commandBase
    guard base <= 0xFFF8 else {
      throw BoardError("\(name): eight ports do not fit at \(Port(base))")
    }
    try board.claim(
      channel, at: base...base, PortTraits(maxWidth: 4, isSlow: false), owner: name)
    try board.claim(channel, at: base + 1...base + 7, offset: 1, .quick, owner: name)
    try board.claim(
      channel, at: channel.controlBase...channel.controlBase, offset: controlOffset, .quick,
      owner: name)
    try board.add(channel)
  }
}

extension ATADisk {
  /// A socket for a disk.
  public static let part = PartType(
    "disk-drive", "hard disk on an IDE channel, if the machine has an image for it",
    isMultiple: true,
    options: [
      PartOption("on", .text, "ide0", "the channel"),
      PartOption("unit", .number(0...1), "0", "its place on the cable: 0 master, 1 slave"),
    ]
  ) { board, values in
    let name = try values.identity(on: board)
    guard let channel = board.all(IDEChannel.self).first(where: { $0.stateName == values["on"] })
    else { throw BoardError("\(name): there is no IDE channel '\(values["on"])'") }
    try board.add(
      Socket(.disk, name: name, controller: channel.stateName, unit: values.number("unit")))
  }
}
