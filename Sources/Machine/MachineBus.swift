// The wires between the processor, memory and the chipset.
//
// Owns: I/O cycles to the port bus, the fast path of the IDE data ports, interrupt acknowledge, FERR#, bus masters' access to memory.
// Must not know: what any device does.
// Follows: IBM PC/AT Technical Reference (coprocessor error on IRQ 13, ports F0h and F1h).

import Bus
import CPU
import Chipset
import State

/// What the processor is plugged into.
final class MachineBus: SystemBus {
  let ports: PortBus
  let pic: PIC8259Pair
  let coprocessor: CoprocessorPort
  /// `CPUState.place`.
  var place: UnsafeMutablePointer<UInt8>?
  /// The local APIC, which stands between the 8259A and the processor, or nil.
  var localAPIC: LocalAPIC?
  /// What waits while slow ports are accessed: the machine's clock and its processor.
  private let clock: VirtualClock
  var cpu: Unmanaged<CPU>?
  /// How many instructions fit into `PortBus.isaAccessTime`, and by how much the TSC advances then.
  private var cycleInstructions: UInt64 = 0
  private var cycleStamps: UInt64 = 0
  /// The channels, once they exist.
  var channels: [IDEChannel] = []

  init(ports: PortBus, pic: PIC8259Pair, clock: VirtualClock) {
    self.clock = clock
    self.ports = ports
    self.pic = pic
    coprocessor = CoprocessorPort(irq: pic.irq(13))
    super.init()
  }

  override func portRead(_ port: UInt16, width: Int) -> UInt32 {
    place?.pointee = ExecutionPlace.devices
    defer { place?.pointee = ExecutionPlace.interpreter }
    let entry = ports.entry(port)
    wait(entry.cycles(width))
    return ports.read(port, width, entry)
  }

  /// Lets the time of a slow access pass, before it.
  @inline(__always)
  private func wait(_ cycles: UInt64) {
    if cycles == 0 { return }
    clock.pass(nanoseconds: cycles &* PortBus.isaAccessTime)
    cpu?._withUnsafeGuaranteedRef {
      $0.timePassed(
        instructions: cycles &* cycleInstructions, stamps: cycles &* cycleStamps)
    }
  }

  /// The rate of instructions has changed, or a state was loaded: what an access takes, in instructions and in clocks of the processor.
  func rateChanged(processorHertz: UInt64) {
    cycleInstructions = clock.instructions(inNanoseconds: PortBus.isaAccessTime)
    cycleStamps = processorHertz / (1_000_000_000 / PortBus.isaAccessTime)
  }

  override func portWrite(_ port: UInt16, _ value: UInt32, width: Int) {
    place?.pointee = ExecutionPlace.devices
    defer { place?.pointee = ExecutionPlace.interpreter }
    let entry = ports.entry(port)
    wait(entry.cycles(width))
    ports.write(port, value, width, entry)
  }

  override func acknowledgeInterrupt() -> UInt8 { localAPIC?.acknowledge() ?? pic.acknowledge() }

  override func apicBaseWritten(_ value: UInt64) { localAPIC?.setBase(value) }

  override func ferr(_ asserted: Bool) { coprocessor.ferr(asserted) }

  override var ignoresNumericErrors: Bool { coprocessor.ignne }

  override func portBlockRoom(_ port: UInt16, width: Int) -> Int {
    if width == 1 { return 0 }
    for channel in channels where channel.commandBase == port {
      return (channel.dataRoom &* 2 &+ width &- 1) / width
    }
    return 0
  }

  override func portReadBlock(
    _ port: UInt16, width: Int, into buffer: UnsafeMutableRawPointer, count: Int
  ) -> Int {
    if width == 1 { return 0 }
    for channel in channels where channel.commandBase == port {
      let words = channel.readData(into: buffer, count: count &* (width / 2))
      ports.noteBlock(port, 0, width: width, isWrite: false, count: words / (width / 2))
      if width == 2 { return words }
      if words & 1 != 0 {
        // A dword at the end of a block is two words of which the second is beyond it.
        let word = ports.read(port, width: 2)
        (buffer + words * 2).storeBytes(of: UInt16(truncatingIfNeeded: word), as: UInt16.self)
      }
      return (words + 1) / 2
    }
    return 0
  }

  override func portWriteBlock(
    _ port: UInt16, width: Int, from buffer: UnsafeRawPointer, count: Int
  ) -> Int {
    if width == 1 { return 0 }
    for channel in channels where channel.commandBase == port {
      let words = channel.writeData(from: buffer, count: count &* (width / 2))
      ports.noteBlock(port, 0, width: width, isWrite: true, count: words / (width / 2))
      if width == 2 { return words }
      if words & 1 != 0 {
        ports.write(
          port, UInt32((buffer + words * 2).loadUnaligned(as: UInt16.self)), width: 2)
      }
      return (words + 1) / 2
    }
    return 0
  }
}

/// The latches between FERR#, IRQ 13 and IGNNE#: an error sets the request; a write to port F0h takes it away and asserts IGNNE# until the
/// error is cleared, so that a handler can use the x87 before. SDM volume 1, D.2.1.2 (the recommended circuit).
final class CoprocessorPort: PortDevice {
  static let ports: ClosedRange<UInt16> = 0xF0...0xF1
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

  func readPort(_ port: UInt16, width: Int) -> UInt32 { 0xFF }
  func writePort(_ port: UInt16, _ value: UInt32, width: Int) {
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
}

/// Memory as the DMA controller sees it.
final class MachineDMAMemory: DMAMemory {
  private let memory: PhysicalMemory
  init(_ memory: PhysicalMemory) { self.memory = memory }

  func dmaRead(_ address: UInt32, into buffer: UnsafeMutableRawBufferPointer) {
    memory.copyOut(address, into: buffer)
  }
  func dmaWrite(_ address: UInt32, from buffer: UnsafeRawBufferPointer) {
    memory.copyIn(address, from: buffer)
  }
}

/// The DMA controller as the floppy controller sees it.
final class MachineFloppyDMA: FloppyDMA {
  private let dma: DMA8237Pair
  init(_ dma: DMA8237Pair) { self.dma = dma }

  func dmaTransferToMemory(channel: Int, from bytes: UnsafeRawBufferPointer)
    -> (count: Int, terminalCount: Bool)
  {
    let result = dma.transferToMemory(channel: channel, from: bytes)
    return (result.count, result.terminalCount)
  }

  func dmaTransferFromMemory(channel: Int, into bytes: UnsafeMutableRawBufferPointer)
    -> (count: Int, terminalCount: Bool)
  {
    let result = dma.transferFromMemory(channel: channel, into: bytes)
    return (result.count, result.terminalCount)
  }
}

/// Power off: the text "Shutdown" written to port 8900h, as the Bochs BIOS does.
final class PowerPort: PortDevice {
  static let ports: ClosedRange<UInt16> = 0x8900...0x8900
  let stateName = "power"
  private let powerOff: () -> Void
  private var matched: UInt8 = 0
  private static let text = Array("Shutdown".utf8)

  init(powerOff: @escaping () -> Void) { self.powerOff = powerOff }

  func readPort(_ port: UInt16, width: Int) -> UInt32 { 0xFF }

  func writePort(_ port: UInt16, _ value: UInt32, width: Int) {
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
}
