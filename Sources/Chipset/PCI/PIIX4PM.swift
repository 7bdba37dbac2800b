// The power management function of the 82371AB (PIIX4; Intel 290562).
//
// Owns: its configuration space, power management registers and timer, the ports of APM, the system control interrupt. Must not know: who
// presses the button, what turning the machine off means, the tables that tell a guest of all this. Registers: PIIX4PMRegisters.swift.
//
//   40h PMBA (64 ports, switched on by bit 0 of 80h PMREGMISC), 44h-7Fh counters, resources and device activity (kept; bit 25 of DEVACTB,
//   58h, is APMC_EN: a write to port B2h asserts SMI# where GLBCTL's SMI_EN lets it), 90h SMBBA, D2h SMBHSTCFG
//
// Boards with a 440FX had a PIIX3, which has no such function; that PIIX4's stands beside it is what emulators made of them, and what
// guests know. The SMBus is left out: its base can be written, its enable bit cannot.
//
// What a handler of system management mode does in firmware for ACPI, the device does itself, as QEMU and Bochs do: a write of
// `acpiEnable` or `acpiDisable` to port B2h sets or clears SCI_EN, whether there is a handler or not. Firmware for them relies on it.
// SMI# does not wait for GLBCTL's EOS bit, which that firmware never sets.

import Bus
import State

/// Function 1.3, 8086:7113.
public final class PIIX4PM: PCIFunction, Registers {
  public let stateName = "piix4-pm"
  public let configuration: PCIConfiguration

  /// What is written to port B2h for the guest to get, or give back, the control of power management.
  public static let acpiEnable: UInt8 = 0xF1
  public static let acpiDisable: UInt8 = 0xF0
  /// The request that the system control interrupt is at; it is level-triggered.
  public static let interrupt = 9
  /// Of the timer.
  public static let timerHertz: UInt64 = 3_579_545
  /// How many bits of the timer can be read.
  public static let timerBits: UInt64 = 24

  let clock: VirtualClock
  let sci: Signal
  /// The guest has turned the machine off.
  let powerOff: () -> Void
  let smi: ManagementInterrupt
  private unowned let board: Board
  private(set) var overflow: EventID!
  private var mapping: MappingID?
  /// The first port of the registers, while they answer.
  public private(set) var base: UInt16?

  /// The registers, as PIIX4PMRegisters.swift has them.
  var state = PIIX4PMState()

  private enum Register {
    static let base = 0x40
    static let deviceActivityB = 0x58
    static let miscellaneous = 0x80
    static let smbusBase = 0x90
    static let smbusConfiguration = 0xD2
  }

  /// - Parameters:
  ///   - board: must outlive it.
  ///   - sci: the system control interrupt.
  public init(
    board: Board, sci: Signal, smi: ManagementInterrupt = ManagementInterrupt(),
    powerOff: @escaping () -> Void
  ) {
    self.smi = smi
    (self.board, self.sci, self.powerOff) = (board, sci, powerOff)
    clock = board.clock
    // Kernels distrust the timers of steppings before this one.
    var identity = PCIIdentity(
      vendor: 0x8086, device: 0x7113, revision: 3, classCode: 0x068000, interruptPin: 1)
    identity.commandMask = 0x0001
    configuration = PCIConfiguration(identity)
    let c = configuration
    c.define(PCIConfiguration.Register.cacheLineSize, width: 2, 0)
    c.define(Register.base, width: 4, 1, writable: 0xFFC0)
    for offset in stride(from: 0x44, to: 0x80, by: 4) {
      c.define(offset, width: 4, 0, writable: UInt32.max)
    }
    c.define(Register.miscellaneous, width: 1, 0, writable: 0x01)
    c.define(Register.smbusBase, width: 4, 1, writable: 0xFFF0)
    c.define(Register.smbusConfiguration, width: 1, 0)
    overflow = clock.register(stateName) { [unowned self] in follow() }
  }

  /// APMC_EN: writes to port B2h assert SMI#.
  var apmAssertsSMI: Bool {
    configuration[byte: Register.deviceActivityB + 3] & 2 != 0
  }

  // MARK: Where the registers are

  public func configurationWritten(at offset: Int, width: Int) { placeRegisters() }

  /// The registers are where PMBA says, while PMREGMISC lets them. Ports 0 to 3Fh are none that it could be given.
  private func placeRegisters() {
    let isOn = configuration[byte: Register.miscellaneous] & 1 != 0
    let address = configuration[word: Register.base] & 0xFFC0
    let wanted = isOn && address != 0 ? address : nil
    if wanted == base { return }
    if let mapping { board.ports.space.unmap(mapping) }
    mapping = nil
    base = wanted
    guard let wanted else { return }
    mapping = board.ports.map(
      self, at: wanted...(wanted | 0x3F), PortTraits(maxWidth: 4, isSlow: false), owner: stateName,
      priority: 4096 - Int(configuration.position) * 8)
  }

  // MARK: What happens outside

  /// Whether a guest has the control of power management; without, a board's firmware has it.
  public var isControlled: Bool { state.control & PIIX4PMState.Control.sciEnable != 0 }

  /// Whether a guest that has the control wants to be told of the power button.
  public var tellsOfButton: Bool { isControlled && state.enable & PIIX4PMState.Status.button != 0 }

  /// The power button is pressed and let go. Where no guest has the control, the machine is turned off at once, as its firmware would.
  public func pressButton() {
    if !isControlled { return powerOff() }
    state.status |= PIIX4PMState.Status.button
    follow()
  }

  /// IRQ 8# of the clock was asserted.
  func clockAlarm() {
    state.status |= PIIX4PMState.Status.clock
    follow()
  }

  // MARK: State

  public func reset(_ kind: ResetKind) {
    configuration.reset()
    placeRegisters()
    state = PIIX4PMState()
    state.origin = clock.now
    follow()
  }

  public func save(to writer: inout StateWriter) {
    configuration.save(to: &writer)
    state.save(to: &writer)
    writer.write(sci.level)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    try configuration.restore(from: &reader)
    try state.restore(from: &reader)
    if state.origin > clock.now { throw reader.error("the timer was started in the future") }
    sci.restore(level: try reader.readBool())
    placeRegisters()
  }

  public func inspect() -> [Field] {
    configuration.inspect()
      + [.text("registers", base.map { "at \(Port($0))" } ?? "not mapped")]
      + state.inspect(timer: timer, overflowed: hasOverflowed) + [.flag("sci", sci.level)]
  }
}

extension PIIX4PM {
  /// Offsets: 0 to 3Fh the registers at PMBA, 100h and 101h the ports of APM.
  public static let part = PartType(
    "piix4-pm", "power management function of the 82371AB: timer, power button, turning off (ACPI)"
  ) { board, _ in
    let bus = try board.need(offer: PCIBus.self, for: "piix4-pm")
    let pic = try board.need(PIC8259Pair.self, for: "piix4-pm")
    let pm = PIIX4PM(
      board: board, sci: try board.interrupt(PIIX4PM.interrupt, for: "piix4-pm"),
      smi: board.offered(ManagementInterrupt.self) ?? ManagementInterrupt(),
      powerOff: { [request = board.request] in request(.powerOff) })
    try board.claim(pm, at: 0xB2...0xB3, offset: PIIX4PM.apmPorts, .quick, owner: pm.stateName)
    try bus.add(pm, slot: 1, function: 3)
    pic.irq(8).connect { [unowned pm] level in if level { pm.clockAlarm() } }
  }
}
