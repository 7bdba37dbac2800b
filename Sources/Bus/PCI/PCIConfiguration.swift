// The configuration space of one PCI function.
//
// Owns: its 256 bytes, which of their bits can be written, base address registers and what they map. Must not know: any particular
// function, how a guest reaches configuration space.
// Follows: PCI Local Bus Specification 2.1, chapter 6.

import State

/// What a function says of itself in the header, and what never changes.
public struct PCIIdentity: Sendable {
  /// 00h and 02h.
  public var vendor: UInt16
  public var device: UInt16
  /// 08h.
  public var revision: UInt8
  /// 09h to 0Bh: base class, sub-class, programming interface, the base class in bits 23 to 16.
  public var classCode: UInt32
  /// 2Ch and 2Eh; 0: none.
  public var subsystemVendor: UInt16 = 0
  public var subsystem: UInt16 = 0
  /// The slot has more functions than this one; to be said by function 0.
  public var isMultifunction = false
  /// 0: none, 1 to 4: INTA# to INTD#.
  public var interruptPin: UInt8 = 0
  /// 06h after reset: what the function can, and how quickly it claims cycles.
  public var status: UInt16 = 0x0280
  /// The bits of the command register that exist.
  public var commandMask: UInt16 = 0x0147

  public init(
    vendor: UInt16, device: UInt16, revision: UInt8 = 0, classCode: UInt32,
    interruptPin: UInt8 = 0
  ) {
    (self.vendor, self.device, self.revision) = (vendor, device, revision)
    (self.classCode, self.interruptPin) = (classCode, interruptPin)
  }
}

/// What a base address register asks for.
public enum PCIBARKind: Equatable, Sendable {
  /// Ports, 4 to 256 or more of them, a power of two; accesses up to `maxWidth` bytes reach the registers whole.
  case io(size: UInt32, maxWidth: Int = 4)
  /// Memory below 4 GiB, 16 bytes or more, a power of two.
  case memory(size: UInt32, prefetchable: Bool = false)
  /// Memory anywhere; takes two registers.
  case memory64(size: UInt64, prefetchable: Bool = true)
}

/// The configuration space of a function, and what its base address registers make seen on the board.
public final class PCIConfiguration {
  /// Offsets of the header.
  public enum Register {
    public static let command = 0x04
    public static let status = 0x06
    public static let cacheLineSize = 0x0C
    public static let latencyTimer = 0x0D
    public static let bar = 0x10
    public static let subsystemVendor = 0x2C
    public static let rom = 0x30
    public static let capabilities = 0x34
    public static let interruptLine = 0x3C
    public static let interruptPin = 0x3D
  }

  /// Bits of the command register.
  public enum Command {
    public static let io: UInt16 = 0x0001
    public static let memory: UInt16 = 0x0002
    public static let master: UInt16 = 0x0004
  }

  private var bytes = [UInt8](repeating: 0, count: 256)
  private var atReset = [UInt8](repeating: 0, count: 256)
  private var writable = [UInt8](repeating: 0, count: 256)
  /// Bits that a written one clears.
  private var clearable = [UInt8](repeating: 0, count: 256)
  private(set) var bars: [PCIBAR] = []
  /// Maps them, once the function is on a bus.
  weak var bus: PCIBus?
  /// Slot and function, `slot << 3 | function`.
  public internal(set) var position: UInt8 = 0
  /// INTx#, high while it is asserted. Another one from when the function comes to its bus.
  public internal(set) var interrupt = Signal()

  public init(_ identity: PCIIdentity) {
    put16(0x00, identity.vendor)
    put16(0x02, identity.device)
    put16(Register.status, identity.status)
    put16(0x08, UInt16(identity.revision) | UInt16(identity.classCode & 0xFF) << 8)
    put16(0x0A, UInt16(truncatingIfNeeded: identity.classCode >> 8))
    bytes[0x0E] = identity.isMultifunction ? 0x80 : 0
    put16(Register.subsystemVendor, identity.subsystemVendor)
    put16(0x2E, identity.subsystem)
    bytes[Register.interruptPin] = identity.interruptPin
    atReset = bytes
    allow(Register.command, UInt32(identity.commandMask), width: 2)
    clearable[Register.status + 1] = 0xF9
    allow(Register.cacheLineSize, 0xFF, width: 1)
    allow(Register.latencyTimer, 0xFF, width: 1)
    allow(Register.interruptLine, 0xFF, width: 1)
  }

  private func put16(_ offset: Int, _ value: UInt16) {
    bytes[offset] = UInt8(truncatingIfNeeded: value)
    bytes[offset + 1] = UInt8(value >> 8)
  }

  // MARK: What a function sets up

  /// Gives a register a value after reset and bits that can be written.
  /// - Parameters:
  ///   - offset: 0 to 255.
  ///   - mask: of bits that a guest can write; the others keep `value`.
  ///   - clears: bits that a written one clears.
  public func define(
    _ offset: Int, width: Int, _ value: UInt32, writable mask: UInt32 = 0, clears: UInt32 = 0
  ) {
    for n in 0..<width {
      bytes[offset + n] = UInt8(truncatingIfNeeded: value >> UInt32(8 * n))
      atReset[offset + n] = bytes[offset + n]
      clearable[offset + n] = UInt8(truncatingIfNeeded: clears >> UInt32(8 * n))
    }
    allow(offset, mask, width: width)
  }

  private func allow(_ offset: Int, _ mask: UInt32, width: Int) {
    for n in 0..<width {
      writable[offset + n] = UInt8(truncatingIfNeeded: mask >> UInt32(8 * n))
    }
  }

  /// Adds a base address register; to be done before the function comes to its bus.
  /// - Parameters:
  ///   - index: 0 to 5; a `memory64` takes the next, too.
  ///   - file: the registers behind it; offsets count from the address.
  ///   - isMemory: see `MemoryMap.map`.
  public func addBAR(
    _ index: Int, _ kind: PCIBARKind, _ file: RegisterFile, name: String, isMemory: Bool = false
  ) {
    precondition((0...5).contains(index) && bus == nil)
    let bar = PCIBAR(
      offset: Register.bar + 4 * index, kind: kind, file: file, name: name, isMemory: isMemory)
    bars.append(bar)
    switch kind {
    case .io(let size, _):
      precondition(size >= 4 && size & (size - 1) == 0)
      define(bar.offset, width: 4, 1, writable: UInt32(0) &- size)
    case .memory(let size, let prefetchable):
      precondition(size >= 16 && size & (size - 1) == 0)
      define(bar.offset, width: 4, prefetchable ? 8 : 0, writable: UInt32(0) &- size)
    case .memory64(let size, let prefetchable):
      precondition(size >= 16 && size & (size - 1) == 0 && index < 5)
      let mask = UInt64(0) &- size
      define(
        bar.offset, width: 4, prefetchable ? 12 : 4, writable: UInt32(truncatingIfNeeded: mask))
      define(bar.offset + 4, width: 4, 0, writable: UInt32(mask >> 32))
    }
  }

  /// Adds the expansion ROM's base address register.
  /// - Parameter image: padded to a power of two, at least 2 KiB.
  public func addROM(_ image: [UInt8], name: String) {
    precondition(bus == nil)
    var size: UInt32 = 2048
    while Int(size) < image.count { size <<= 1 }
    bars.append(
      PCIBAR(
        offset: Register.rom, kind: .memory(size: size), file: PCIROMFile(image), name: name,
        isMemory: false))
    define(Register.rom, width: 4, 0, writable: UInt32(0) &- size | 1)
  }

  // MARK: What is in it

  public subscript(byte offset: Int) -> UInt8 {
    get { bytes[offset & 0xFF] }
    set { bytes[offset & 0xFF] = newValue }
  }
  public subscript(word offset: Int) -> UInt16 {
    get { UInt16(self[byte: offset]) | UInt16(self[byte: offset + 1]) << 8 }
    set {
      self[byte: offset] = UInt8(truncatingIfNeeded: newValue)
      self[byte: offset + 1] = UInt8(newValue >> 8)
    }
  }
  public subscript(dword offset: Int) -> UInt32 {
    get { UInt32(self[word: offset]) | UInt32(self[word: offset + 2]) << 16 }
    set {
      self[word: offset] = UInt16(truncatingIfNeeded: newValue)
      self[word: offset + 2] = UInt16(newValue >> 16)
    }
  }

  public var command: UInt16 { self[word: Register.command] }
  /// Whether the function may be master of the bus.
  public var canMaster: Bool { command & Command.master != 0 }

  // MARK: Accesses of the guest

  /// Reads 1, 2 or 4 bytes inside a dword.
  func read(_ offset: Int, _ width: Int) -> UInt32 {
    var value: UInt32 = 0
    for n in 0..<width { value |= UInt32(self[byte: offset + n]) << UInt32(8 * n) }
    return value
  }

  /// Writes 1, 2 or 4 bytes inside a dword; what is mapped follows.
  func write(_ offset: Int, _ value: UInt32, _ width: Int) {
    for n in 0..<width {
      let at = (offset + n) & 0xFF
      let byte = UInt8(truncatingIfNeeded: value >> UInt32(8 * n))
      bytes[at] = (bytes[at] & ~writable[at] | byte & writable[at]) & ~(byte & clearable[at])
    }
    if offset < 0x40 { updateMappings() }
  }

  /// Maps what the registers say.
  func updateMappings() {
    guard let bus else { return }
    for (n, bar) in bars.enumerated() {
      bar.put(at: address(of: bar), bus, order: Int(position) * 8 + n)
    }
  }

  /// Where a base address register has its range now, or nil while it is switched off.
  private func address(of bar: PCIBAR) -> UInt64? {
    let low = self[dword: bar.offset]
    let address: UInt64
    switch bar.kind {
    case .io(let size, _):
      guard command & Command.io != 0 else { return nil }
      address = UInt64(low & (UInt32(0) &- size))
      if address + UInt64(size) > 0x10000 { return nil }
    case .memory(let size, _):
      guard command & Command.memory != 0, bar.offset != Register.rom || low & 1 != 0 else {
        return nil
      }
      address = UInt64(low & (UInt32(0) &- size))
      // All ones is a guest that asks for the size.
      if address + UInt64(size) >= 1 << 32 { return nil }
    case .memory64(let size, _):
      guard command & Command.memory != 0 else { return nil }
      let whole = UInt64(low) | UInt64(self[dword: bar.offset + 4]) << 32
      address = whole & (UInt64(0) &- size)
      // Beyond what any processor here drives, and beyond what the size is asked with.
      if address >= 1 << 40 || address == (UInt64(1) << 32) &- size { return nil }
    }
    // Address 0 is one that was not given yet.
    return address == 0 ? nil : address
  }

  /// Where the ranges are now, by the offset of their registers.
  public var mapped: [Int: UInt64] {
    var result: [Int: UInt64] = [:]
    for bar in bars { result[bar.offset] = bar.address }
    return result
  }

  // MARK: State

  /// RST#.
  public func reset() {
    bytes = atReset
    interrupt.set(false)
    updateMappings()
  }

  /// To be written by the function as a part of its own state.
  public func save(to writer: inout StateWriter) {
    writer.write(bytes: bytes)
    writer.write(interrupt.level)
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    let saved = try reader.readBytes(count: 256)
    for n in 0..<256 where saved[n] != bytes[n] {
      let free = writable[n] | clearable[n]
      // What cannot be written tells what it is; state belongs to the machine that made it.
      if n < 0x40, (saved[n] ^ atReset[n]) & ~free != 0 {
        throw reader.error("another PCI function (its byte \(n))")
      }
    }
    bytes = saved
    interrupt.restore(level: try reader.readBool())
    updateMappings()
  }

  /// What a debugger shows of it.
  public func inspect() -> [Field] {
    [
      .text(
        "at", "\(position >> 3).\(position & 7)"), .register("vendor", self[word: 0]),
      .register("device", self[word: 2]), .register("command", command),
      .register("status", self[word: Register.status]),
      .register("interrupt line", self[byte: Register.interruptLine]),
      .flag("interrupt", interrupt.level),
    ]
      + bars.map { bar in
        bar.address.map { .register(bar.name, $0) } ?? .text(bar.name, "not mapped")
      } + [.bytes("configuration", bytes)]
  }
}
