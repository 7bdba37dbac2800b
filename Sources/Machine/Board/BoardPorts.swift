// Small ports of a PC's board that belong to the machine itself, and DMA as the devices see it.
//
// Owns: the latches between FERR# and IRQ 13, power off, bus masters' access to memory. Must not know: how the run loop acts on requests.
// Follows: IBM PC/AT Technical Reference (coprocessor error on IRQ 13, ports F0h and F1h).

import Bus
import CPU
import Chipset
import State

/// The latches between FERR#, IRQ 13 and IGNNE#: an error sets the request; a write to port F0h takes it away and asserts IGNNE# until the
/// error is cleared, so that a handler can use the x87 before. SDM volume 1, D.2.1.2 (the recommended circuit).
final class CoprocessorPort: Device, Registers {
  let stateName = "coprocessor"
  private let irq: Signal
  private var ferrLevel = false
  /// IGNNE#.
  private(set) var ignne = false

  let stateVersion: UInt16 = 2

  init(irq: Signal) { self.irq = irq }

  func ferr(_ asserted: Bool) {
    if asserted && !ferrLevel { irq.set(true) }
    ferrLevel = asserted
    if !asserted { ignne = false }
  }

  func read(at offset: UInt32, width: Int) -> UInt32 { 0xFF }
  func write(at offset: UInt32, _ value: UInt32, width: Int) {
    irq.set(false)
    if ferrLevel { ignne = true }
  }

  func reset(_ kind: ResetKind) {
    ferrLevel = false
    ignne = false
    irq.set(false)
  }

  func save(to writer: inout StateWriter) {
    writer.write(irq.level)
    writer.write(ferrLevel)
    writer.write(ignne)
  }

  func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    irq.restore(level: try reader.readBool())
    ferrLevel = try reader.readBool()
    // Before, an error never held an instruction back.
    ignne = version >= 2 ? try reader.readBool() : ferrLevel && !irq.level
  }

  static let part = PartType("coprocessor", "ports F0h and F1h: FERR# and IRQ 13") { board, _ in
    let port = CoprocessorPort(irq: try board.interrupt(13, for: "coprocessor"))
    try board.claim(port, at: 0xF0...0xF1, owner: port.stateName)
    try board.add(port)
  }

  func inspect() -> [Field] {
    [.flag("ferr", ferrLevel), .flag("ignne", ignne), .flag("irq", irq.level)]
  }
}

/// Memory as bus masters see it.
final class MachineDMAMemory: DMAMemory {
  private let view: BusMasterView
  private let answers: DebuggerView
  init(_ memory: PhysicalMemory) {
    view = BusMasterView(memory)
    answers = DebuggerView(memory)
  }

  func dmaRead(_ address: UInt32, into buffer: UnsafeMutableRawBufferPointer) {
    view.read(PhysicalAddress(UInt64(address)), into: buffer)
  }
  func dmaWrite(_ address: UInt32, from buffer: UnsafeRawBufferPointer) {
    view.write(PhysicalAddress(UInt64(address)), from: buffer)
  }
  func dmaRead(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) {
    view.read(PhysicalAddress(address), into: buffer)
  }
  func dmaWrite(at address: UInt64, from buffer: UnsafeRawBufferPointer) {
    view.write(PhysicalAddress(address), from: buffer)
  }
  func dmaReach(_ address: UInt32, _ count: Int) -> Int {
    var done = 0
    while done < count {
      let at = UInt64(address) + UInt64(done)
      if answers.kind(at: PhysicalAddress(at)) == .unmapped { break }
      done += 0x1000 - Int(at & 0xFFF)
    }
    return min(done, count)
  }
}

/// The DMA controller as the floppy controller sees it.
final class MachineFloppyDMA: FloppyDMA {
  private unowned let board: Board
  private lazy var dma = board.offered(DMA8237Pair.self)
  init(_ board: Board) { self.board = board }

  func dmaTransferToMemory(channel: Int, from bytes: UnsafeRawBufferPointer)
    -> (count: Int, terminalCount: Bool)
  {
    guard let result = dma?.transferToMemory(channel: channel, from: bytes) else {
      return (0, false)
    }
    return (result.count, result.terminalCount)
  }

  func dmaTransferFromMemory(channel: Int, into bytes: UnsafeMutableRawBufferPointer)
    -> (count: Int, terminalCount: Bool)
  {
    guard let result = dma?.transferFromMemory(channel: channel, into: bytes) else {
      return (0, false)
    }
    return (result.count, result.terminalCount)
  }
}

/// Power off: the text "Shutdown" written to port 8900h, as the Bochs BIOS does.
final class PowerPort: Device, Registers {
  let stateName = "power"
  private let powerOff: () -> Void
  private var matched: UInt8 = 0
  private static let text = Array("Shutdown".utf8)

  init(powerOff: @escaping () -> Void) { self.powerOff = powerOff }

  func read(at offset: UInt32, width: Int) -> UInt32 { 0xFF }

  func write(at offset: UInt32, _ value: UInt32, width: Int) {
    let byte = UInt8(truncatingIfNeeded: value)
    if byte == PowerPort.text[Int(matched)] {
      matched += 1
      if Int(matched) == PowerPort.text.count {
        matched = 0
        powerOff()
      }
    } else {
      matched = byte == PowerPort.text[0] ? 1 : 0
    }
  }

  func reset(_ kind: ResetKind) { matched = 0 }
  func save(to writer: inout StateWriter) { writer.write(matched) }
  func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    matched = try reader.read(in: 0...UInt8(PowerPort.text.count - 1))
  }

  static let part = PartType("power", "port 8900h, by which a guest turns the machine off") {
    board, _ in
    let port = PowerPort { [request = board.request] in request(.powerOff) }
    try board.claim(port, at: 0x8900...0x8900, .quick, owner: port.stateName)
    try board.add(port)
  }

  func inspect() -> [Field] { [.count("characters matched", matched)] }
}
