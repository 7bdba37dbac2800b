// The I/O APIC (Intel 82093AA data sheet, 290566-001).
//
// Owns: the redirection table of 24 inputs and what a request becomes. Must not know: who drives the inputs, how the local APIC
// ranks what it gets.
//
//   +00h  IOREGSEL: the register that +10h reaches        +10h  IOWIN
//   register 00h ID    01h version    02h arbitration ID   10h + 2n, 11h + 2n  redirection of input n, low and high
//   redirection: 0-7 vector, 8-10 delivery mode, 11 logical destination, 13 active low, 14 remote IRR, 15 level, 16 mask,
//   56-63 destination

import Bus
import State

/// An 82093AA at FEC00000h.
public final class IOAPIC: Device {
  public let stateName = "io-apic"

  /// Where the registers are.
  public static let baseAddress: UInt32 = 0xFEC0_0000
  private static let inputs = 24
  private static let masked: UInt64 = 1 << 16
  private static let level: UInt64 = 1 << 15
  private static let remoteIRR: UInt64 = 1 << 14

  private let bus: LocalAPICs
  private var select: UInt32 = 0
  private var id: UInt32 = 0
  private var table = [UInt64](repeating: masked, count: inputs)
  /// The levels of the inputs, one bit each.
  private var lines: UInt32 = 0

  /// - Parameter bus: takes what it sends.
  public init(bus: LocalAPICs) {
    self.bus = bus
    bus.endOfInterrupt = { [unowned self] in endOfInterrupt($0) }
    bus.forcedByInputs = { [unowned self] in forcedRequests($0) }
  }

  /// An input of the ISA bus changed: IRQ 0 is input 2, the others have their own numbers.
  public func setIRQ(_ irq: Int, _ level: Bool) { setInput(irq == 0 ? 2 : irq, level) }

  /// The level of an input, 0 to 23. Bit 13 of a redirection, the polarity, is kept and means nothing: inputs are active high.
  public func setInput(_ input: Int, _ level: Bool) {
    guard (0..<IOAPIC.inputs).contains(input) else { return }
    let bit = UInt32(1) << UInt32(input)
    if (lines & bit != 0) == level { return }
    lines ^= bit
    if level { send(input, edge: true) }
  }

  /// Sends what an input requests; a level-triggered one waits until the last was ended.
  private func send(_ input: Int, edge: Bool) {
    let entry = table[input]
    if entry & IOAPIC.masked != 0 { return }
    let level = entry & IOAPIC.level != 0
    let low = UInt32(truncatingIfNeeded: entry)
    let delivery = low >> 8 & 7
    if level && delivery <= 1 {
      if entry & IOAPIC.remoteIRR != 0 || lines & (1 << UInt32(input)) == 0 { return }
    } else if !edge {
      return
    }
    let isLevel = level && delivery <= 1
    let taken = bus.send(
      delivery: delivery, vector: UInt8(truncatingIfNeeded: low), level: isLevel,
      to: .addressed(UInt8(truncatingIfNeeded: entry >> 56), logical: low & 0x800 != 0))
    if taken && isLevel { table[input] |= IOAPIC.remoteIRR }
  }

  private func forcedRequests(_ apic: LocalAPIC) -> ForcedRequests {
    var requests: ForcedRequests = []
    for entry in table where entry & IOAPIC.masked == 0 {
      let low = UInt32(truncatingIfNeeded: entry)
      let destination = UInt8(truncatingIfNeeded: entry >> 56)
      if apic.isAddressed(destination: destination, logical: low & 0x800 != 0) {
        requests.formUnion(ForcedRequests(delivery: low >> 8 & 7))
      }
    }
    return requests
  }

  private func endOfInterrupt(_ vector: UInt8) {
    for input in 0..<IOAPIC.inputs
    where table[input] & IOAPIC.remoteIRR != 0 && table[input] & 0xFF == UInt64(vector) {
      table[input] &= ~IOAPIC.remoteIRR
      send(input, edge: false)
    }
  }

  /// Reads at an offset of 0 to FFFh.
  public func read(_ offset: UInt32) -> UInt32 {
    switch offset & 0xFF {
    case 0x00: return select
    case 0x10:
      switch select {
      case 0, 2: return id
      case 1: return 0x0017_0011
      case 0x10...0x3F:
        return UInt32(
          truncatingIfNeeded: table[Int(select - 0x10) >> 1] >> (select & 1 != 0 ? 32 : 0))
      default: return UInt32.max
      }
    default: return 0
    }
  }

  /// Writes 32 bits at an offset of 0 to FFFh.
  public func write(_ offset: UInt32, _ value: UInt32) {
    switch offset & 0xFF {
    case 0x00: select = value & 0xFF
    case 0x10:
      switch select {
      case 0: id = value & 0x0F00_0000
      case 0x10...0x3F:
        let input = Int(select - 0x10) >> 1
        var entry = table[input]
        if select & 1 != 0 {
          entry = (entry & 0xFFFF_FFFF) | UInt64(value & 0xFF00_0000) << 32
        } else {
          let kept = value & 0x8000 != 0 ? entry & IOAPIC.remoteIRR : 0
          entry = (entry & 0xFFFF_FFFF_0000_0000) | UInt64(value & 0x1_AFFF) | kept
        }
        table[input] = entry
        send(input, edge: false)
      default: break
      }
    default: break
    }
  }

  /// The inputs belong to their drivers and stay what they are.
  public func reset(_ kind: ResetKind) {
    select = 0
    id = 0
    table = [UInt64](repeating: IOAPIC.masked, count: IOAPIC.inputs)
  }

  public func save(to writer: inout StateWriter) {
    writer.write(select)
    writer.write(id)
    writer.write(lines)
    for entry in table { writer.write(entry) }
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    select = try reader.read(UInt32.self) & 0xFF
    id = try reader.read(UInt32.self) & 0x0F00_0000
    lines = try reader.read(UInt32.self) & 0xFF_FFFF
    for input in 0..<IOAPIC.inputs {
      table[input] = try reader.read(UInt64.self) & 0xFF00_0000_0001_EFFF
    }
  }

  // MARK: - Memory mapping

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    read(offset & 0xFFC) >> (8 &* (offset & 3)) & (UInt32.max >> UInt32(32 &- 8 &* width))
  }

  /// Writes: 32 bits, or a byte to IOREGSEL.
  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    if width != 4 && offset != 0 { return }
    write(offset & 0xFFF, value)
  }
}

extension IOAPIC: Registers {
  public func inspect() -> [Field] {
    [.register("select", select), .register("id", id), .register("lines", lines)]
      + table.enumerated().map { n, entry in .register("input \(n)", entry) }
  }
}

extension IOAPIC {
  /// Beside the 8259A: it sees the same requests.
  public static let part = PartType("io-apic", "the I/O APIC 82093AA, beside the 8259A") {
    board, _ in
    let apic = IOAPIC(bus: try board.need(offer: LocalAPICs.self, for: "io-apic"))
    let pic = try board.need(PIC8259Pair.self, for: "io-apic")
    _ = board.memory.map(
      .of(apic), at: PhysicalAddress(UInt64(baseAddress)), count: 0x1000, isMemory: false,
      priority: 0)
    pic.lineChanged = { [unowned apic] in apic.setIRQ($0, $1) }
    try board.add(apic)
  }
}
