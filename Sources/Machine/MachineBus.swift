// The wires between the processor, memory and the chipset.
//
// Owns: I/O cycles to the port space and the time they take, interrupt acknowledge, FERR#, which output goes to which processor's INTR, NMI,
// SMI and INIT. Must not know: what any device does.

import Bus
import CPU
import Chipset

/// What the processor is plugged into.
final class MachineBus: SystemBus {
  let ports: PortSpace
  /// What answers an interrupt acknowledge cycle without a local APIC; set when the board is built.
  var pic: PIC8259Pair?
  /// What listens to FERR#.
  var coprocessor: CoprocessorPort?
  /// `CPUState.place`.
  var place: UnsafeMutablePointer<UInt8>?
  /// The local APIC, which stands between the 8259A and the processor, or nil.
  var localAPIC: LocalAPIC?
  /// Told when an INIT# that was held back can be taken.
  var initWaits: () -> Void = {}
  /// What waits while slow ports are accessed: the machine's clock and its processor.
  private let clock: VirtualClock
  var cpu: Unmanaged<CPU>?
  /// How many instructions fit into `PortSpace.isaAccessTime`, and by how much the TSC advances then.
  private var cycleInstructions: UInt64 = 0
  private var cycleStamps: UInt64 = 0
  /// The rate that is meant.
  private(set) var countsPerSecond: UInt64 = 0

  init(ports: PortSpace, clock: VirtualClock) {
    self.clock = clock
    self.ports = ports
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
    clock.pass(nanoseconds: cycles &* PortSpace.isaAccessTime)
    cpu?._withUnsafeGuaranteedRef {
      $0.timePassed(
        instructions: cycles &* cycleInstructions, stamps: cycles &* cycleStamps)
    }
  }

  /// The rate of instructions has changed, or a state was loaded: what an access takes, in instructions and in clocks of the processor.
  func rateChanged(processorHertz: UInt64) {
    countsPerSecond = clock.countsPerSecond
    cycleInstructions = clock.instructions(inNanoseconds: PortSpace.isaAccessTime)
    cycleStamps = processorHertz / (1_000_000_000 / PortSpace.isaAccessTime)
  }

  /// The processor's state was loaded, which has a rate of its own.
  func forgetRate() { countsPerSecond = 0 }

  override func portWrite(_ port: UInt16, _ value: UInt32, width: Int) {
    place?.pointee = ExecutionPlace.devices
    defer { place?.pointee = ExecutionPlace.interpreter }
    let entry = ports.entry(port)
    wait(entry.cycles(width))
    ports.write(port, value, width, entry)
  }

  override func acknowledgeInterrupt() -> UInt8 {
    localAPIC?.acknowledge() ?? pic?.acknowledge() ?? 0xFF
  }

  override func apicBaseWritten(_ value: UInt64) { localAPIC?.setBase(value) }

  override func heldInit() { initWaits() }

  override func ferr(_ asserted: Bool) { coprocessor?.ferr(asserted) }

  override var ignoresNumericErrors: Bool { coprocessor?.ignne ?? true }

  override func portBlockRoom(_ port: UInt16, width: Int) -> Int {
    ports.blockRoom(port, width: width)
  }

  override func portReadBlock(
    _ port: UInt16, width: Int, into buffer: UnsafeMutableRawPointer, count: Int
  ) -> Int { ports.readBlock(port, width: width, into: buffer, count: count) }

  override func portWriteBlock(
    _ port: UInt16, width: Int, from buffer: UnsafeRawPointer, count: Int
  ) -> Int { ports.writeBlock(port, width: width, from: buffer, count: count) }
}

extension Machine {
  /// The 8259A's INTR goes to the processor, or to LINT0 of the local APICs.
  func connectInterrupts() {
    for (n, bus) in buses.enumerated() {
      bus.initWaits = { [unowned self] in request(.initialize(n)) }
    }
    guard let apics else {
      pic.output.connect { [unowned(unsafe) cpu] in cpu.setINTR($0) }
      return
    }
    pic.output.connect { [unowned(unsafe) apics] level in
      for apic in apics.all { apic.setLINT(0, level) }
    }
    for (n, apic) in apics.all.enumerated() {
      buses[n].localAPIC = apic
      apic.output.connect { [unowned(unsafe) self, unowned(unsafe) cpu = processors[n]] level in
        cpu.setINTR(level)
        if level { self.processorWoke(n) }
      }
      apic.nmi = { [unowned self] in
        self.processors[n].raiseNMI()
        self.processorWoke(n)
      }
      apic.smi = { [unowned self] in raiseSMI(n) }
      apic.acknowledgeExternal = { [unowned pic] in pic.acknowledge() }
      // In the middle of an instruction; it may be the processor's own.
      apic.initReceived = { [unowned self] in self.request(.initialize(n)) }
      apic.startReceived = { [unowned self] page in self.request(.start(n, page: page)) }
    }
  }

  /// An SMI for a processor.
  func raiseSMI(_ index: Int) {
    processors[index].raiseSMI()
    processorWoke(index)
  }

  /// The level of a processor's INTR.
  func setInterruptRequest(_ index: Int) {
    processors[index].setINTR(apics?[index].output.level ?? (index == 0 && pic.output.level))
  }

  /// The ACPI tables as they are for the present places of the registers that they tell of.
  var acpiTables: [UInt8] {
    ACPITables(ACPIFacts(configuration, board, processors: processors.count)).bytes
  }
}
