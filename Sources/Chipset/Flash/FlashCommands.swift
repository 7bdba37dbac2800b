// The commands of a flash memory with the Intel/Sharp command set, as a machine of states.
//
// Owns: what each cycle means, the status register, the lock bits, what queries and identifiers say. Must not know: what keeps the bytes
// (`FlashContents`), where on a bus it is.
// Follows: Intel 28F640J3 data sheet (commands, status register), JEDEC JESD68.01 (CFI), Intel AP-646 (its query tables).
//
//   FFh read array, 90h read identifiers, 98h query, 70h read status, 50h clear status
//   40h or 10h, then a byte: program                20h, then D0h: erase a block
//   E8h, count - 1, that many bytes, D0h: program a buffer
//   60h, then 01h, 2Fh: lock a block; D0h: unlock    B0h, D0h: suspend, resume (nothing is ever under way)
//
// The chip is 8 bits wide with blocks of 4 KiB, as emulators have it and firmware for them expects. So is the status register's
// ready bit: a command that ends sets it, and clearing the status clears it as well, which that firmware takes for the sign of a flash.

import State

/// What keeps the bytes of a flash memory.
protocol FlashContents: AnyObject {
  var count: Int { get }
  subscript(offset: Int) -> UInt8 { get }
  /// Makes bits 0 where a byte has them 0.
  /// - Returns: false when the bytes could not be kept; they are then as before.
  func program(at offset: Int, _ bytes: [UInt8]) -> Bool
  /// Makes all bits of a block 1.
  func erase(_ range: Range<Int>) -> Bool
  /// Nothing can be written.
  var isProtected: Bool { get }
}

/// The state of the chip between two cycles.
struct FlashCommands: Equatable {
  static let blockSize = 4096
  /// How many bytes the buffer has.
  static let bufferSize = 256

  /// What reads show.
  enum View: UInt8 {
    case array, identifiers, query, status
  }
  /// What the next write is.
  enum Expected: UInt8 {
    case command, program, erase, lock, count, data, confirm
  }
  enum Status {
    static let ready: UInt8 = 0x80
    static let eraseFailed: UInt8 = 0x20
    static let programFailed: UInt8 = 0x10
    static let isLocked: UInt8 = 0x02
    static let badSequence: UInt8 = 0x30
  }
  private enum Command {
    static let readArray: UInt8 = 0xFF
    static let readIdentifiers: UInt8 = 0x90
    static let query: UInt8 = 0x98
    static let readStatus: UInt8 = 0x70
    static let clearStatus: UInt8 = 0x50
    static let program: UInt8 = 0x40
    static let otherProgram: UInt8 = 0x10
    static let erase: UInt8 = 0x20
    static let buffer: UInt8 = 0xE8
    static let lock: UInt8 = 0x60
    static let suspend: UInt8 = 0xB0
    static let confirm: UInt8 = 0xD0
    static let lockBlock: UInt8 = 0x01
    static let lockDown: UInt8 = 0x2F
  }

  private(set) var view = View.array
  private(set) var expected = Expected.command
  private(set) var status = Status.ready
  /// Of each block.
  private(set) var locks: [Bool]
  /// What a buffered program has got so far, by offset.
  private var buffer: [(offset: UInt32, byte: UInt8)] = []
  /// How many bytes it wants.
  private var wanted = 0

  /// - Parameter count: bytes of the chip, whole blocks.
  init(count: Int) {
    locks = [Bool](repeating: false, count: count / FlashCommands.blockSize)
  }

  static func == (a: FlashCommands, b: FlashCommands) -> Bool {
    a.view == b.view && a.expected == b.expected && a.status == b.status && a.locks == b.locks
      && a.wanted == b.wanted && a.buffer.elementsEqual(b.buffer, by: ==)
  }

  /// After a reset: the array is read, no block is locked.
  mutating func reset() { self = FlashCommands(count: locks.count * FlashCommands.blockSize) }

  // MARK: Cycles

  func read(_ offset: Int, _ contents: some FlashContents) -> UInt8 {
    switch view {
    case .array: contents[offset]
    case .status: status
    case .query: FlashQuery.byte(offset & 0xFF, size: contents.count)
    case .identifiers:
      switch offset & 0xFF {
      case 0: FlashQuery.manufacturer
      case 1: FlashQuery.device
      case 2: locks[offset / FlashCommands.blockSize] ? 1 : 0
      default: 0
      }
    }
  }

  mutating func write(_ offset: Int, _ value: UInt8, _ contents: some FlashContents) {
    let block = offset / FlashCommands.blockSize
    switch expected {
    case .command: command(value)
    case .program: program([value], at: offset, contents)
    case .erase:
      if value == Command.confirm {
        let start = block * FlashCommands.blockSize
        finish(
          locks[block] || contents.isProtected
            ? Status.eraseFailed | Status.isLocked
            : contents.erase(start..<start + FlashCommands.blockSize) ? 0 : Status.eraseFailed)
      } else {
        finish(Status.badSequence)
      }
    case .lock:
      switch value {
      case Command.lockBlock, Command.lockDown: locks[block] = true
      case Command.confirm: locks[block] = false
      default: return finish(Status.badSequence)
      }
      finish(0)
    case .count:
      wanted = Int(value) + 1
      buffer = []
      expected = .data
    case .data:
      buffer.append((UInt32(offset), value))
      if buffer.count == wanted { expected = .confirm }
    case .confirm:
      let gathered = buffer
      buffer = []
      // All of it lies in one block.
      let isSound =
        value == Command.confirm
        && gathered.allSatisfy { Int($0.offset) / FlashCommands.blockSize == block }
      if !isSound { return finish(Status.badSequence) }
      programBuffer(gathered, contents)
    }
  }

  private mutating func command(_ value: UInt8) {
    func show(_ view: View, _ expected: Expected = .command) {
      (self.view, self.expected) = (view, expected)
    }
    switch value {
    case Command.readIdentifiers: show(.identifiers)
    case Command.query: show(.query)
    case Command.readStatus: show(.status)
    case Command.program, Command.otherProgram: show(.status, .program)
    case Command.erase: show(.status, .erase)
    case Command.lock: show(.status, .lock)
    case Command.buffer:
      status |= Status.ready
      show(.status, .count)
    case Command.suspend, Command.confirm:
      status |= Status.ready
      show(.status)
    case Command.clearStatus:
      status = 0
      show(.array)
    // FFh; others are reserved, and do the same.
    default: show(.array)
    }
  }

  private mutating func finish(_ errors: UInt8) {
    status |= Status.ready | errors
    (view, expected) = (.status, .command)
  }

  private mutating func program(_ bytes: [UInt8], at offset: Int, _ contents: some FlashContents) {
    let block = offset / FlashCommands.blockSize
    finish(
      locks[block] || contents.isProtected
        ? Status.programFailed | Status.isLocked
        : contents.program(at: offset, bytes) ? 0 : Status.programFailed)
  }

  /// As they came, in runs of neighbours.
  private mutating func programBuffer(
    _ gathered: [(offset: UInt32, byte: UInt8)], _ contents: some FlashContents
  ) {
    var start = 0
    for n in 1...gathered.count
    where n == gathered.count || gathered[n].offset != gathered[n - 1].offset &+ 1 {
      program(gathered[start..<n].map(\.byte), at: Int(gathered[start].offset), contents)
      start = n
    }
  }

  // MARK: State

  func save(to writer: inout StateWriter) {
    writer.write(view.rawValue)
    writer.write(expected.rawValue)
    writer.write(status)
    for lock in locks { writer.write(lock) }
    writer.write(UInt16(wanted))
    writer.write(UInt16(buffer.count))
    for (offset, byte) in buffer {
      writer.write(offset)
      writer.write(byte)
    }
  }

  mutating func restore(from reader: inout StateReader) throws(StateError) {
    guard let view = View(rawValue: try reader.read()),
      let expected = Expected(rawValue: try reader.read())
    else { throw reader.error("an unknown mode of the flash memory") }
    (self.view, self.expected) = (view, expected)
    status = try reader.read()
    for n in locks.indices { locks[n] = try reader.readBool() }
    wanted = Int(try reader.read(in: UInt16(0)...UInt16(FlashCommands.bufferSize)))
    buffer = []
    let end = UInt32(locks.count * FlashCommands.blockSize) - 1
    for _ in 0..<(try reader.read(in: UInt16(0)...UInt16(wanted))) {
      buffer.append((try reader.read(in: 0...end), try reader.read()))
    }
    let isSound =
      switch expected {
      case .data: buffer.count < wanted
      case .confirm: !buffer.isEmpty && buffer.count == wanted
      default: buffer.isEmpty
      }
    if !isSound { throw reader.error("the flash memory's buffer does not fit its state") }
  }
}

/// What the chip says of itself.
enum FlashQuery {
  /// Intel's.
  static let manufacturer: UInt8 = 0x89
  /// None that was sold has this size; drivers ask for the size by query.
  static let device: UInt8 = 0x00

  /// A byte of the query's tables: CFI identification at 10h, system 1Bh, geometry 27h, the command set's own 31h.
  static func byte(_ offset: Int, size: Int) -> UInt8 {
    let blocks = size / FlashCommands.blockSize - 1
    switch offset {
    case 0x10: return UInt8(ascii: "Q")
    case 0x11: return UInt8(ascii: "R")
    case 0x12: return UInt8(ascii: "Y")
    // The command set 0001h; its table.
    case 0x13: return 0x01
    case 0x15: return 0x31
    // Volts, in BCD with a decimal; no programming voltage.
    case 0x1B: return 0x45
    case 0x1C: return 0x55
    // Powers of two: us for a byte, us for a buffer, ms for a block; the longest, as multiples of these.
    case 0x1F, 0x20: return 0x07
    case 0x21: return 0x0A
    case 0x23, 0x24, 0x25: return 0x04
    // Bytes, as a power of two: the next that holds them.
    case 0x27: return UInt8((size - 1).bitWidth - (size - 1).leadingZeroBitCount)
    // x8 only (28h); the buffer's bytes as a power of two.
    case 0x2A: return 0x08
    // One region: blocks less one, bytes of a block in 256.
    case 0x2C: return 0x01
    case 0x2D: return UInt8(truncatingIfNeeded: blocks)
    case 0x2E: return UInt8(truncatingIfNeeded: blocks >> 8)
    case 0x2F: return UInt8(FlashCommands.blockSize >> 8)
    case 0x31: return UInt8(ascii: "P")
    case 0x32: return UInt8(ascii: "R")
    case 0x33: return UInt8(ascii: "I")
    case 0x34: return UInt8(ascii: "1")
    case 0x35: return UInt8(ascii: "0")
    // Each block can be locked at once; the status of a block has the lock bit.
    case 0x36: return 0x20
    case 0x3B: return 0x01
    case 0x3D: return 0x50
    default: return 0
    }
  }
}
