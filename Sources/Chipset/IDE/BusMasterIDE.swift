// The engine that moves the data of IDE drives between their channel and memory.
//
// Owns: the bus-master registers of two channels, the walk through a table of regions. Must not know: commands of drives, where its
// ports are, configuration space.
// After: Programming Interface for Bus Master IDE Controller 1.0 (SFF-8038i); Intel 290550 (PIIX3), "IDE controller registers".
//
//   +0 command: start 0, to memory 3                                 the second channel has the same at +8
//   +2 status: active 0, error 1 and interrupt 2 (a written one clears), drive 0 and 1 capable 5 and 6 (kept), simplex 7 (0)
//   +4 table of regions, a physical address, a multiple of four
//
//   A region of the table, eight bytes: address (bit 0 is 0), byte count (bit 0 is 0; 0: 65,536), last 63. The table's counter has 16
//   bits above which nothing carries: it goes on at the start of the same 64 KiB. Neither is to cross 64 KiB, by the data sheets, which
//   do not say what becomes of data that do. UEFI's driver lets regions cross and counts on the carry that later chips have.
//
// What the status says at the end: 4 the regions were as long as the command; 5 they were longer; 0 shorter (the drive still asks), or
// with bit 1 that memory did not answer. Behind the last byte of the last region the engine stays active until the drive interrupts or
// asks for more, so that nobody who polls takes the time between for the third of these.

import Bus
import State

/// Bits of the registers.
private enum BusMaster {
  static let start: UInt8 = 0x01
  static let toMemory: UInt8 = 0x08
  static let active: UInt8 = 0x01
  static let error: UInt8 = 0x02
  static let interrupt: UInt8 = 0x04
  static let capable: UInt8 = 0x60
}

/// Sixteen bytes of registers for two channels.
public final class BusMasterIDE: Registers {
  /// How many bytes the registers take.
  public static let registerCount: UInt32 = 16

  private let engines: [BusMasterChannel]

  /// Whether the function may use the bus. Not part of the state: the function says it again.
  public var mayMaster = true {
    didSet { for engine in engines { engine.mayMaster = mayMaster } }
  }

  /// Becomes the bus master of the channels, at most two, which must outlive it.
  public init(channels: [IDEChannel], memory: any DMAMemory) {
    engines = channels.prefix(2).map { channel in
      let engine = BusMasterChannel(channel, memory)
      channel.busMaster = engine
      return engine
    }
  }

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    var value: UInt32 = 0
    for n in 0..<min(max(width, 1), 4) {
      let at = offset &+ UInt32(n)
      let byte = at >> 3 < engines.count ? engines[Int(at >> 3)].read(at & 7) : 0
      value |= UInt32(byte) << UInt32(8 * n)
    }
    return value
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    // The table's address comes before the command that starts with it, also inside one access.
    for n in (0..<min(max(width, 1), 4)).reversed() {
      let at = offset &+ UInt32(n)
      guard at >> 3 < engines.count else { continue }
      engines[Int(at >> 3)].write(at & 7, UInt8(truncatingIfNeeded: value >> UInt32(8 * n)))
    }
  }

  /// RST#.
  public func reset() { for engine in engines { engine.reset() } }

  /// To be written by the function as a part of its own state.
  public func save(to writer: inout StateWriter) {
    for engine in engines { engine.save(to: &writer) }
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    for engine in engines { try engine.restore(from: &reader) }
  }

  /// What a debugger shows of it.
  public func inspect() -> [Field] { engines.map { $0.inspect() } }
}

/// The engine of one channel.
final class BusMasterChannel: IDEBusMaster {
  private unowned(unsafe) let channel: IDEChannel
  private let memory: any DMAMemory
  var mayMaster = true

  private var command: UInt8 = 0
  private var status: UInt8 = 0
  private var table: UInt32 = 0

  /// Where the next region is read from.
  private var nextEntry: UInt32 = 0
  /// The present region: where its next byte goes, how many are left (0: only behind the last one), whether none follows.
  private var address: UInt32 = 0
  private var left = 0
  private var isLast = false

  /// A drive that opens its next window while the last bytes of one are moved asks again: it need not.
  private var isMoving = false

  init(_ channel: IDEChannel, _ memory: any DMAMemory) {
    (self.channel, self.memory) = (channel, memory)
  }

  // MARK: Registers

  func read(_ offset: UInt32) -> UInt8 {
    switch offset {
    case 0: command
    case 2: status
    case 4...7: UInt8(truncatingIfNeeded: table >> (8 * (offset - 4)))
    default: 0
    }
  }

  func write(_ offset: UInt32, _ value: UInt8) {
    switch offset {
    case 0: writeCommand(value)
    case 2:
      status &= ~(value & (BusMaster.error | BusMaster.interrupt))
      status = status & ~BusMaster.capable | value & BusMaster.capable
    case 4...7:
      let shift = 8 * (offset - 4)
      table = (table & ~(0xFF << shift) | UInt32(value) << shift) & ~3
    default: break
    }
  }

  private func writeCommand(_ value: UInt8) {
    let wasStarted = command & BusMaster.start != 0
    // The direction is fixed while the engine is active.
    let direction = status & BusMaster.active != 0 ? command : value
    command = value & BusMaster.start | direction & BusMaster.toMemory
    let isStarted = value & BusMaster.start != 0
    if isStarted == wasStarted { return }
    left = 0
    isLast = false
    if isStarted {
      status |= BusMaster.active
      nextEntry = table
      fetch()
      move()
    } else {
      // What it knew of the transfer is lost: it cannot be taken up again.
      status &= ~BusMaster.active
    }
  }

  // MARK: Transfers

  func dmaRequested(by drive: IDEDrive) { move() }

  func interruptChanged(to level: Bool) {
    guard level else { return }
    status |= BusMaster.interrupt
    if isExhausted { status &= ~BusMaster.active }
  }

  /// All regions were moved.
  private var isExhausted: Bool { isLast && left == 0 }

  /// Moves what can be moved now.
  private func move() {
    if isMoving { return }
    isMoving = true
    defer { isMoving = false }
    while status & BusMaster.active != 0, let drive = channel.dmaDrive {
      let toMemory = drive.phase == .dmaReading
      // A drive that wants the other direction is never acknowledged.
      if toMemory != (command & BusMaster.toMemory != 0) { return }
      let window = drive.dmaWindow
      if window.count == 0 { return }
      if isExhausted {
        status &= ~BusMaster.active
        return
      }
      // Behind the last of 32 address bits comes the first.
      let wanted = min(window.count, left, 0x1_0000_0000 - Int(address))
      let count = mayMaster ? memory.dmaReach(address, wanted) : wanted
      let bytes = UnsafeMutableRawBufferPointer(rebasing: window[..<count])
      if !mayMaster {
        if !toMemory { _ = bytes.initializeMemory(as: UInt8.self, repeating: 0) }
      } else if toMemory {
        memory.dmaWrite(address, from: UnsafeRawBufferPointer(bytes))
      } else {
        memory.dmaRead(address, into: bytes)
      }
      // The bus has words: an odd byte at the end of a window takes the place of two.
      let used = min((count + 1) & ~1, left)
      address = address &+ UInt32(used)
      left -= used
      if count < wanted { fail() } else if left == 0 { fetch() }
      drive.dmaMoved(count)
    }
  }

  /// Reads the next region from the table, if there is one.
  private func fetch() {
    if isLast { return }
    // The data sheets do not say what an engine does that may not use the bus. Here it finds zeros, and its data go nowhere.
    var entry: UInt64 = 0
    if mayMaster {
      // The second half may be at the start of the 64 KiB.
      let isWhole = nextEntry & 0xFFFF <= 0xFFF8
      guard
        withUnsafeMutableBytes(
          of: &entry,
          { bytes in
            if isWhole { return read(nextEntry, bytes[...]) }
            return read(nextEntry, bytes[..<4]) && read(upper(nextEntry, 4), bytes[4...])
          })
      else { return fail() }
      entry = UInt64(littleEndian: entry)
    }
    nextEntry = upper(nextEntry, 8)
    address = UInt32(truncatingIfNeeded: entry) & ~1
    left = Int(entry >> 32 & 0xFFFE)
    if left == 0 { left = 0x10000 }
    isLast = entry >> 63 != 0
  }

  /// An address of the table further on: 16 bits are counted.
  private func upper(_ address: UInt32, _ distance: UInt32) -> UInt32 {
    address & 0xFFFF_0000 | (address &+ distance) & 0xFFFF
  }

  /// Reads a piece of the table, if somebody answers.
  private func read(_ address: UInt32, _ bytes: Slice<UnsafeMutableRawBufferPointer>) -> Bool {
    guard memory.dmaReach(address, bytes.count) == bytes.count else { return false }
    memory.dmaRead(address, into: UnsafeMutableRawBufferPointer(rebasing: bytes))
    return true
  }

  /// Nobody answered on the bus (master abort).
  private func fail() {
    status = status & ~BusMaster.active | BusMaster.error
    left = 0
  }

  // MARK: State

  func reset() {
    command = 0
    status = 0
    table = 0
    nextEntry = 0
    address = 0
    left = 0
    isLast = false
  }

  func save(to writer: inout StateWriter) {
    for byte in [command, status] { writer.write(byte) }
    for value in [table, nextEntry, address, UInt32(left)] { writer.write(value) }
    writer.write(isLast)
  }

  func restore(from reader: inout StateReader) throws(StateError) {
    command = try reader.read(UInt8.self) & (BusMaster.start | BusMaster.toMemory)
    status = try reader.read(UInt8.self) & 0x67
    table = try reader.read(UInt32.self) & ~3
    nextEntry = try reader.read(UInt32.self) & ~3
    address = try reader.read(UInt32.self) & ~1
    left = Int(try reader.read(in: UInt32(0)...0x10000)) & ~1
    isLast = try reader.readBool()
    if left == 0 && !isLast && status & BusMaster.active != 0 {
      throw reader.error("an active bus master without a region")
    }
  }

  func inspect() -> Field {
    .group(
      channel.stateName,
      [
        .register("command", command), .register("status", status), .register("table", table),
        .register("next entry", nextEntry), .register("address", address),
        .count("bytes left", left), .flag("last", isLast),
      ])
  }
}
