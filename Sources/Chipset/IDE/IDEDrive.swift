// What every drive on an IDE cable has, whatever its command set: the task file, the status, and the window of data that the
// host moves through the data port.
//
// Owns: registers, the PIO buffer, the interrupt request of one drive. Must not know: any command (`ATADisk` does), ports.
// After: ATA/ATAPI-6 (T13 1410D), clauses 7 (registers) and 9.5 (PIO protocols).

import Bus
import State

/// Status register bits.
enum ATAStatus {
  static let busy: UInt8 = 0x80
  static let ready: UInt8 = 0x40
  static let fault: UInt8 = 0x20
  static let seekComplete: UInt8 = 0x10
  static let dataRequest: UInt8 = 0x08
  static let error: UInt8 = 0x01
}

/// Error register bits.
enum ATAError {
  /// The medium is write-protected (write commands) ...
  static let writeProtected: UInt8 = 0x40
  /// ... and the data could not be read (read commands).
  static let uncorrectable: UInt8 = 0x40
  static let idNotFound: UInt8 = 0x10
  static let aborted: UInt8 = 0x04
}

/// A drive on an IDE channel. Subclasses implement a command set.
public class IDEDrive {
  /// What the drive is doing.
  enum Phase: UInt8 {
    case idle
    /// Busy; the event brings the next window.
    case readPending
    /// Data are waiting for the host.
    case reading
    /// The host is to write data.
    case writing
    /// Busy; the event stores the window.
    case writePending
    /// Busy; the event ends the command.
    case finishing
    /// Busy after a reset or during the diagnostic; the channel ends it.
    case resetting
    /// Data are waiting for the bus master (DMARQ).
    case dmaReading
    /// The bus master is to bring data (DMARQ).
    case dmaWriting
  }

  /// The buffer's size in bytes.
  static let capacity = 65536

  // Registers that are two deep (LBA48): the present byte is the low one, the previous the high one.
  var features: UInt16 = 0
  var count: UInt16 = 0
  var low: UInt16 = 0
  var mid: UInt16 = 0
  var high: UInt16 = 0
  var device: UInt8 = 0
  var status: UInt8 = ATAStatus.ready | ATAStatus.seekComplete
  var error: UInt8 = 1
  var interruptPending = false

  var phase = Phase.idle
  /// What the host or the bus master moves next, and where the present window (for PIO: the DRQ block) ends.
  var position = 0
  var windowEnd = 0
  /// Where the data that were read ahead end.
  var validEnd = 0
  let buffer: UnsafeMutableRawPointer

  /// What a command that moves sectors takes at least, in virtual nanoseconds.
  public final var latency = IDEDrive.defaultLatency
  public static let defaultLatency: UInt64 = 1_000_000

  /// The version of the state that is being restored.
  final var savedVersion: UInt16 = IDEChannel.latestVersion

  /// The channel owns its drives.
  unowned(unsafe) var channel: IDEChannel?
  var index = 0

  init() {
    buffer = UnsafeMutableRawPointer.allocate(byteCount: IDEDrive.capacity, alignment: 4096)
    buffer.initializeMemory(as: UInt8.self, repeating: 0, count: IDEDrive.capacity)
    putSignature()
  }

  deinit { buffer.deallocate() }

  // MARK: What a command set implements

  /// The command register was written; the drive is not busy, or the command is DEVICE RESET.
  func execute(_ command: UInt8) {}
  /// The event that the drive scheduled is due.
  func eventDue() {}
  /// The host or the bus master has read all of the window.
  func windowRead() {}
  /// The host or the bus master has written all of the window.
  func windowWritten() {}
  /// The values of LBA mid and high that tell the kind of device.
  var signature: UInt16 { 0 }
  /// The status when a reset is over, until the first command.
  var statusAfterReset: UInt8 { ATAStatus.ready | ATAStatus.seekComplete }
  /// Whether it is a packet device.
  final var isPacketDevice: Bool { signature == 0xEB14 }
  /// Settings return to their defaults: all of them at power-on and hardware reset.
  func resetSettings(hardware: Bool) {}
  func saveCommandSet(to writer: inout StateWriter) {}
  /// What it adds to `inspect`.
  func inspectCommandSet() -> [Field] { [] }
  func restoreCommandSet(from reader: inout StateReader) throws(StateError) {}

  // MARK: Resets

  /// The reset line, SRST, or EXECUTE DEVICE DIAGNOSTIC: busy until the channel ends it.
  func beginReset() {
    channel?.cancel(self)
    phase = .resetting
    status = ATAStatus.busy
    position = 0
    windowEnd = 0
    validEnd = 0
    interruptPending = false
  }

  /// The end of a reset: the signature is in the registers.
  func endReset() {
    phase = .idle
    putSignature()
    status = statusAfterReset
  }

  func putSignature() {
    count = 1
    low = 1
    mid = signature & 0xFF
    high = signature >> 8
    device = 0
    error = 1
  }

  // MARK: Data

  var bytesLeft: Int { windowEnd &- position }

  /// A window that the host is to fill holds nothing of what was there before: that is not in states.
  final func clearWindow() {
    buffer.initializeMemory(as: UInt8.self, repeating: 0, count: windowEnd)
  }

  /// Reads up to `byteCount` bytes of the window; returns how many there were.
  final func readBytes(_ target: UnsafeMutableRawPointer, _ byteCount: Int) -> Int {
    guard phase == .reading else { return 0 }
    let moved = min(byteCount, bytesLeft)
    if moved <= 0 { return 0 }
    target.copyMemory(from: buffer + position, byteCount: moved)
    position &+= moved
    if position == windowEnd { windowRead() }
    return moved
  }

  /// Writes up to `byteCount` bytes into the window; returns how many it took.
  final func writeBytes(_ source: UnsafeRawPointer, _ byteCount: Int) -> Int {
    guard phase == .writing else { return 0 }
    let moved = min(byteCount, bytesLeft)
    if moved <= 0 { return 0 }
    (buffer + position).copyMemory(from: source, byteCount: moved)
    position &+= moved
    if position == windowEnd { windowWritten() }
    return moved
  }

  /// A read of the data port. What a drive without data drives is not defined; here it is zero.
  final func readData(width: Int) -> UInt32 {
    guard phase == .reading else { return 0 }
    var value: UInt32 = 0
    if width == 2 && bytesLeft >= 2 {
      value = UInt32(UInt16(littleEndian: (buffer + position).loadUnaligned(as: UInt16.self)))
      position &+= 2
      if position == windowEnd { windowRead() }
      return value
    }
    _ = withUnsafeMutableBytes(of: &value) { readBytes($0.baseAddress!, min(width, 4)) }
    return UInt32(littleEndian: value)
  }

  /// A write of the data port; ignored when no data are wanted.
  final func writeData(_ value: UInt32, width: Int) {
    var bytes = value.littleEndian
    _ = withUnsafeMutableBytes(of: &bytes) {
      writeBytes(UnsafeRawPointer($0.baseAddress!), min(width, 4))
    }
  }

  // MARK: Interrupts

  func raiseInterrupt() {
    interruptPending = true
    channel?.updateInterrupt()
  }

  func clearInterrupt() {
    if !interruptPending { return }
    interruptPending = false
    channel?.updateInterrupt()
  }

  // MARK: State

  final func save(to writer: inout StateWriter) {
    for value in [features, count, low, mid, high] { writer.write(value) }
    for value in [device, status, error, phase.rawValue] { writer.write(value) }
    writer.write(interruptPending)
    writer.write(UInt32(position))
    writer.write(UInt32(windowEnd))
    writer.write(UInt32(validEnd))
    writer.write(raw: UnsafeRawBufferPointer(start: buffer, count: max(windowEnd, validEnd)))
    saveCommandSet(to: &writer)
  }

  final func restore(from reader: inout StateReader) throws(StateError) {
    features = try reader.read()
    count = try reader.read()
    low = try reader.read()
    mid = try reader.read()
    high = try reader.read()
    device = try reader.read()
    status = try reader.read()
    error = try reader.read()
    guard let newPhase = Phase(rawValue: try reader.read()) else {
      throw reader.error("no such phase")
    }
    phase = newPhase
    interruptPending = try reader.readBool()
    let limit = UInt32(IDEDrive.capacity)
    let newPosition = Int(try reader.read(in: 0...limit))
    windowEnd = Int(try reader.read(in: 0...limit))
    validEnd = Int(try reader.read(in: 0...limit))
    let isOpen = phase == .reading || phase == .writing || wantsDMA
    if newPosition > max(windowEnd, validEnd) || (isOpen && newPosition >= windowEnd) {
      throw reader.error("a data position outside the window")
    }
    position = newPosition
    let data = try reader.readBytes(count: max(windowEnd, validEnd))
    data.withUnsafeBytes {
      if $0.count > 0 { buffer.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    }
    try restoreCommandSet(from: &reader)
  }
}

extension IDEDrive {
  /// What a debugger shows of it.
  final func inspect() -> [Field] {
    let names = ["ERR", "IDX", "CORR", "DRQ", "DSC", "DF", "DRDY", "BSY"]
    let set = (0..<8).reversed().filter { status >> UInt8($0) & 1 != 0 }.map { names[$0] }
    return [
      .register("status", status), .text("status bits", set.joined(separator: " ")),
      .register("error", error), .register("features", features), .register("count", count),
      .register("low", low), .register("mid", mid), .register("high", high),
      .register("device", device), .text("phase", "\(phase)"), .count("position", position),
      .count("window", windowEnd), .flag("interrupt pending", interruptPending),
    ] + inspectCommandSet()
  }
}
