// A serial port on a Plug and Play ISA card.
//
// Owns: its identity, resource data, and which interrupt request the port has. Must not know: how it is found and configured, the UART's
// registers.
// Follows: Plug and Play ISA Specification 1.0a; the device identifiers of its appendix (PNP0501: 16550A compatible COM port).

import Bus
import State

/// A card with one 16550A.
public final class PnPSerialCard: Device, ISAPnPCard, ISAPnPLogicalDevice {
  public let stateName: String
  public let pnpName: String
  public let pnpIdentity: ISAPnPIdentity
  public let pnpResourceData: [UInt8]
  public let pnpLayout: ISAPnPLayout
  private let interrupt: InterruptSelector
  private let port: UART16550

  /// The requests it has wires to: what such cards had.
  private static let interrupts = [3, 4, 5, 7, 9, 10, 11, 12, 15]

  private init(name: String, interrupt: InterruptSelector, port: UART16550, serial: UInt32) {
    (pnpName, stateName) = (name, name + ".card")
    (self.interrupt, self.port) = (interrupt, port)
    pnpIdentity = ISAPnPIdentity(EISAIdentifier("APU0501"), serial: serial)
    pnpLayout = ISAPnPLayout(
      ports: [ISAPnPLayout.Ports(.of(port), count: 8, alignment: 8)], interrupts: 1)
    var data = ISAPnPResourceData()
    data.name("Plug and Play serial port")
    data.device(EISAIdentifier("PNP0501"))
    data.compatible(EISAIdentifier("PNP0500"))
    // The usual places first, those of COM3 and COM4 before what a board mostly has itself. Their requests are those of COM1 and COM2,
    // which an ISA bus cannot share: others will do.
    let others = PnPSerialCard.interrupts.filter { $0 > 4 }
    for (base, numbers) in [
      (0x3E8, [4] + others), (0x2E8, [3] + others), (0x3F8, [4]), (0x2F8, [3]),
    ] as [(UInt16, [Int])] {
      data.choice(.good)
      data.ports(base...base, alignment: 8, count: 8)
      data.interrupt(numbers)
    }
    data.choice(.acceptable)
    data.ports(0x100...0x3F8, alignment: 8, count: 8)
    data.interrupt(PnPSerialCard.interrupts)
    data.endChoices()
    pnpResourceData = data.bytes
  }

  public var pnpDevices: [any ISAPnPLogicalDevice] { [self] }

  public func pnpConfigure(_ resources: ISAPnPResources?) {
    interrupt.select(resources?.interrupts.first ?? nil)
  }

  public func pnpReset() { port.reset(.system) }

  // MARK: Device

  /// What its parts have of state, the bus and the port reset.
  public func reset(_ kind: ResetKind) {}

  public func save(to writer: inout StateWriter) { interrupt.save(to: &writer) }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    try interrupt.restore(from: &reader)
  }

  public func inspect() -> [Field] {
    [
      .text("interrupt request", interrupt.selected.map { "\($0)" } ?? "none"),
      .flag("interrupt", interrupt.output.level),
    ]
  }

  public static let part = PartType(
    "pnp-uart", "16550A serial port on a Plug and Play ISA card", isMultiple: true,
    options: [UART16550.Pace.option]
  ) { board, values in
    let name = try values.identity(on: board)
    let bus = try board.need(ISAPnPBus.self, for: name)
    let interrupt = try InterruptSelector(
      board, possible: PnPSerialCard.interrupts, for: name)
    let port = UART16550(
      name: name, clock: board.clock, irq: interrupt.output,
      pace: UART16550.Pace(values))
    let serial = UInt32(board.all(PnPSerialCard.self).count + 1)
    let card = PnPSerialCard(name: name, interrupt: interrupt, port: port, serial: serial)
    try board.add(port)
    try board.add(card)
    try board.add(Socket(.serial, name: name, controller: name))
    bus.add(card)
  }
}
