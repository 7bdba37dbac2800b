// The host bridge of the 82440FX PCIset (82441FX PMC; Intel 290549).
//
// Owns: configuration mechanism 1, attributes of the memory between 640 KiB and 1 MiB (PAM), the SMRAM register. Must not know: any
// function on the bus; how memory does what the attributes say.
//
//   CF8h  dword  CONFADD: enable 31, bus 23-16, device 15-11, function 10-8, register 7-2; narrower accesses are not its own
//   CFCh         CONFDATA, 1, 2 or 4 bytes
//   Configuration space: 50h PMCCFG, 52h DRAM column, 57h DRAMC, 58h DRAMT, 59h-5Fh PAM0-6, 60h-67h DRB0-7, 68h FDHC, 70h MTT,
//   71h CLT, 72h SMRAM, 90h ERRCMD, 91h ERRSTS, 93h TRC

import Bus
import State

/// Function 0.0, 8086:1237.
public final class I440FX: PCIFunction, Registers {
  public let stateName = "i440fx"
  public let configuration: PCIConfiguration
  private let bus: PCIBus
  private let memory: any MemoryMap
  /// CONFADD.
  private var address: UInt32 = 0

  private enum Register {
    static let pam = 0x59
    static let smram = 0x72
  }
  /// Bits of SMRAM.
  private enum SMRAM {
    static let open: UInt8 = 0x40
    static let closed: UInt8 = 0x20
    static let locked: UInt8 = 0x10
    static let enabled: UInt8 = 0x08
  }

  /// - Parameter megabytes: of memory, for the row boundaries.
  public init(bus: PCIBus, memory: any MemoryMap, megabytes: Int) {
    self.bus = bus
    self.memory = memory
    var identity = PCIIdentity(vendor: 0x8086, device: 0x1237, revision: 2, classCode: 0x060000)
    // It is always master and always answers memory cycles.
    identity.commandMask = 0x0140
    configuration = PCIConfiguration(identity)
    configuration.define(PCIConfiguration.Register.command, width: 2, 0x0006, writable: 0x0140)
    // No cache line size; the latency timer's upper bits.
    configuration.define(PCIConfiguration.Register.cacheLineSize, width: 1, 0)
    configuration.define(PCIConfiguration.Register.interruptLine, width: 1, 0)
    configuration.define(0x50, width: 2, 0, writable: 0xFFFF)
    configuration.define(0x52, width: 1, 0, writable: 0xFF)
    configuration.define(0x57, width: 2, 0x1001, writable: 0xFFFF)
    for n in 0..<7 {
      configuration.define(Register.pam + n, width: 1, 0, writable: n == 0 ? 0x30 : 0x33)
    }
    // Rows end in units of 8 MiB; all that is left is in the last.
    for n in 0..<8 {
      let rows = UInt32(min(max(megabytes / 8, 1), 128))
      configuration.define(0x60 + n, width: 1, rows, writable: 0xFF)
    }
    configuration.define(0x68, width: 1, 0, writable: 0xC0)
    configuration.define(0x70, width: 2, 0x1000, writable: 0xFFFF)
    configuration.define(Register.smram, width: 1, 0x02, writable: 0x78)
    configuration.define(0x90, width: 1, 0, writable: 0xFF)
    configuration.define(0x91, width: 1, 0, clears: 0x11)
    configuration.define(0x93, width: 1, 0, writable: 0x0E)
  }

  // MARK: Configuration mechanism 1

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    if offset < 4 { return offset == 0 && width == 4 ? address : UInt32.max }
    guard address & 0x8000_0000 != 0 else { return UInt32.max }
    return bus.read(bus: number, position, register(offset), width: width)
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    if offset < 4 {
      if offset == 0 && width == 4 { address = value & 0x80FF_FFFC }
      return
    }
    guard address & 0x8000_0000 != 0 else { return }
    bus.write(bus: number, position, register(offset), value, width: width)
  }

  private var number: UInt8 { UInt8(truncatingIfNeeded: address >> 16) }
  private var position: UInt8 { UInt8(truncatingIfNeeded: address >> 8) }
  private func register(_ offset: UInt32) -> Int { Int(address & 0xFC | offset & 3) }

  // MARK: Attributes of memory

  /// Before the last write, for what a lock keeps.
  private var smram: UInt8 = 0x02

  public func configurationWritten(at offset: Int, width: Int) {
    if offset < Register.pam + 7 && offset + width > Register.pam { applyPAM() }
    if offset <= Register.smram && offset + width > Register.smram { writeSMRAM() }
  }

  /// Locked, D_OPEN is 0, and it and the lock cannot be written.
  private func writeSMRAM() {
    var value = configuration[byte: Register.smram]
    value |= smram & SMRAM.locked
    if value & SMRAM.locked != 0 { value &= ~SMRAM.open }
    configuration[byte: Register.smram] = value
    smram = value
    applySMRAM()
  }

  private func applySMRAM() {
    memory.setSMRAM(
      isOpen: smram & SMRAM.open != 0, isEnabled: smram & SMRAM.enabled != 0,
      hidesData: smram & SMRAM.closed != 0)
  }

  /// Each half of a register is a segment: bit 0 reads from memory, bit 1 writes to memory.
  private func applyPAM() {
    func apply(_ start: UInt32, _ size: UInt32, _ bits: UInt8) {
      memory.setShadow(
        start...(start + size - 1), readRAM: bits & 1 != 0, writeRAM: bits & 2 != 0)
    }
    apply(0xF0000, 0x10000, configuration[byte: Register.pam] >> 4)
    for n in 1..<7 {
      let value = configuration[byte: Register.pam + n]
      let start = 0xC0000 + UInt32(n - 1) * 0x8000
      apply(start, 0x4000, value)
      apply(start + 0x4000, 0x4000, value >> 4)
    }
  }

  // MARK: State

  public func reset(_ kind: ResetKind) {
    address = 0
    configuration.reset()
    smram = configuration[byte: Register.smram]
    applySMRAM()
    applyPAM()
  }

  public func save(to writer: inout StateWriter) {
    configuration.save(to: &writer)
    writer.write(address)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    try configuration.restore(from: &reader)
    address = try reader.read(UInt32.self) & 0x80FF_FFFC
    smram = configuration[byte: Register.smram]
    applySMRAM()
    applyPAM()
  }

  public func inspect() -> [Field] {
    [.register("confadd", address)] + configuration.inspect()
  }
}

/// How much memory a machine has, offered to the parts that tell of it.
public struct MemorySize: Sendable {
  public var megabytes: Int
  public init(megabytes: Int) { self.megabytes = megabytes }
}

extension I440FX {
  /// Offers a `PCIBus` to what comes later.
  public static let part = PartType("i440fx", "host bridge 82441FX with its PCI bus") { board, _ in
    let bus = PCIBus(board)
    let size = try board.need(offer: MemorySize.self, for: "i440fx")
    let bridge = I440FX(bus: bus, memory: board.memory, megabytes: size.megabytes)
    let traits = PortTraits(maxWidth: 4, isSlow: false, takesPieces: false)
    try board.claim(bridge, at: 0xCF8...0xCF8, traits, owner: bridge.stateName, priority: Int.max)
    try board.claim(
      bridge, at: 0xCFC...0xCFF, offset: 4, PortTraits(maxWidth: 4, isSlow: false),
      owner: bridge.stateName, priority: Int.max)
    board.offer(bus)
    try bus.add(bridge, slot: 0)
  }
}
