// The PCI to ISA bridge of the 82371SB (PIIX3; Intel 290550).
//
// Owns: its configuration space, the routing of the PCI interrupt lines, the ports of APM where no 82371AB has them, SMI# by them. Must
// not know: what asserts the lines. Interrupt and DMA controllers, timer, ELCR (4D0h), port 92h and reset control (CF9h), which the chip
// has inside, are parts of their own on the board. Of what can assert SMI# there is a write to APMC alone.
//
//   4Ch IORT, 4Eh XBCS, 60h-63h PIRQRCA-D (bit 7: not routed; 3-0: IRQ 3-7, 9-12, 14, 15), 69h TOM, 6Ah MSTAT, 70h MBIRQ0, 76h-77h MBDMA,
//   78h PCSC, 80h APICBASE, 82h DLC, A0h SMICNTL (bit 0 CSMIGATE), A2h SMIEN (bit 7 APMC), A4h SEE, A8h FTMR, AAh SMIREQ (bit 7 APMC, a 0
//   clears), ACh CTLTMR, AEh CTHTMR
//   B2h APMC, B3h APMS  bytes

import Bus
import State

/// Function 1.0, 8086:7000.
public final class PIIX3: PCIFunction, Registers {
  public let stateName = "piix3"
  /// 2 added the ports of APM.
  public var stateVersion: UInt16 { 2 }
  public let configuration: PCIConfiguration
  private let bus: PCIBus
  /// Its drivers of the interrupt requests 0 to 15; nil where nothing can be routed to.
  private let requests: [Signal?]
  private let smi: ManagementInterrupt
  /// APMC and APMS.
  private var apm: [UInt8] = [0, 0]

  private enum Register {
    static let smiControl = 0xA0
    static let smiEnable = 0xA2
    static let smiRequest = 0xAA
  }
  /// Of SMIEN and SMIREQ.
  private static let apmc: UInt8 = 0x80

  private static let pirq = 0x60
  /// Interrupt requests that PCI lines can be routed to.
  private static let routable: Set<Int> = [3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15]

  /// - Parameter request: makes a driver for an interrupt request.
  public init(
    bus: PCIBus, smi: ManagementInterrupt = ManagementInterrupt(),
    request: (Int) throws(BoardError) -> Signal
  ) throws(BoardError) {
    (self.bus, self.smi) = (bus, smi)
    var drivers: [Signal?] = []
    for n in 0..<16 { drivers.append(PIIX3.routable.contains(n) ? try request(n) : nil) }
    requests = drivers
    var identity = PCIIdentity(vendor: 0x8086, device: 0x7000, classCode: 0x060100)
    identity.isMultifunction = true
    identity.status = 0x0200
    configuration = PCIConfiguration(identity)
    let c = configuration
    // It is always master and answers all it must; special cycles can be watched.
    c.define(PCIConfiguration.Register.command, width: 2, 0x0007, writable: 0x0108)
    c.define(PCIConfiguration.Register.cacheLineSize, width: 2, 0)
    c.define(PCIConfiguration.Register.interruptLine, width: 1, 0)
    c.define(0x4C, width: 1, 0x4D, writable: 0xFF)
    c.define(0x4E, width: 2, 0x0003, writable: 0x03FF)
    for n in 0..<4 { c.define(PIIX3.pirq + n, width: 1, 0x80, writable: 0x8F) }
    c.define(0x69, width: 1, 0x02, writable: 0xFE)
    c.define(0x6A, width: 2, 0, writable: 0x8010)
    c.define(0x70, width: 1, 0x80, writable: 0xCF)
    c.define(0x76, width: 2, 0x0C0C, writable: 0x8F8F)
    c.define(0x78, width: 2, 0x0002, writable: 0xFFFF)
    c.define(0x80, width: 1, 0, writable: 0x7F)
    c.define(0x82, width: 1, 0, writable: 0x0F)
    c.define(Register.smiControl, width: 1, 0x08, writable: 0x1F)
    c.define(Register.smiEnable, width: 2, 0, writable: 0xFF)
    c.define(0xA4, width: 4, 0, writable: 0xFFFF_FFFF)
    c.define(0xA8, width: 1, 0x0F, writable: 0xFF)
    // A written 1 leaves what is there.
    c.define(Register.smiRequest, width: 2, 0, writable: 0xFF)
    c.define(0xAC, width: 1, 0, writable: 0xFF)
    c.define(0xAE, width: 1, 0, writable: 0xFF)
    for line in bus.interrupts {
      line.connect { [unowned self] _ in route() }
    }
  }

  /// SMIREQ before the last write.
  private var smiRequests: UInt8 = 0
  /// CSMIGATE before the last write.
  private var gateWasOpen = false
  private var gateIsOpen: Bool { configuration[byte: Register.smiControl] & 1 != 0 }

  public func configurationWritten(at offset: Int, width: Int) {
    if offset <= Register.smiRequest && offset + width > Register.smiRequest {
      smiRequests &= configuration[byte: Register.smiRequest]
      configuration[byte: Register.smiRequest] = smiRequests
    }
    // Closed, it holds back what is requested.
    if gateIsOpen && !gateWasOpen && smiRequests != 0 { smi.raised() }
    gateWasOpen = gateIsOpen
    if offset < PIIX3.pirq + 4 && offset + width > PIIX3.pirq { route() }
  }

  /// The levels of the lines go where the registers say.
  private func route() {
    var levels: UInt16 = 0
    for (n, line) in bus.interrupts.enumerated() where line.level {
      let register = configuration[byte: PIIX3.pirq + n]
      if register & 0x80 == 0 { levels |= 1 << UInt16(register & 0x0F) }
    }
    for (n, request) in requests.enumerated() { request?.set(levels >> UInt16(n) & 1 != 0) }
  }

  // MARK: APM

  public func read(at offset: UInt32, width: Int) -> UInt32 { UInt32(apm[Int(offset & 1)]) }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    apm[Int(offset & 1)] = UInt8(truncatingIfNeeded: value)
    guard offset & 1 == 0, configuration[byte: Register.smiEnable] & PIIX3.apmc != 0 else { return }
    smiRequests |= PIIX3.apmc
    configuration[byte: Register.smiRequest] = smiRequests
    if gateIsOpen { smi.raised() }
  }

  // MARK: State

  public func reset(_ kind: ResetKind) {
    configuration.reset()
    apm = [0, 0]
    smiRequests = 0
    gateWasOpen = gateIsOpen
    route()
  }

  public func save(to writer: inout StateWriter) {
    configuration.save(to: &writer)
    var levels: UInt16 = 0
    for (n, request) in requests.enumerated() where request?.level == true {
      levels |= 1 << UInt16(n)
    }
    writer.write(levels)
    for byte in apm { writer.write(byte) }
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    try configuration.restore(from: &reader)
    let levels = try reader.read(UInt16.self)
    for (n, request) in requests.enumerated() {
      request?.restore(level: levels >> UInt16(n) & 1 != 0)
    }
    apm = version < 2 ? [0, 0] : [try reader.read(), try reader.read()]
    smiRequests = configuration[byte: Register.smiRequest]
    gateWasOpen = gateIsOpen
  }

  public func inspect() -> [Field] {
    let routes = (0..<4).map { n -> Field in
      let register = configuration[byte: PIIX3.pirq + n]
      let name = "pirq\(["a", "b", "c", "d"][n])"
      return register & 0x80 != 0
        ? .text(name, "not routed") : .count(name, register & 0x0F)
    }
    return routes + [.register("apmc", apm[0]), .register("apms", apm[1])]
      + configuration.inspect()
  }
}

extension PIIX3 {
  public static let part = PartType(
    "piix3", "PCI to ISA bridge 82371SB",
    options: [
      PartOption("apm", .flag, "no", "it has the ports of APM, which an 82371AB takes over")
    ]
  ) { board, values in
    let bus = try board.need(offer: PCIBus.self, for: "piix3")
    let smi = board.offered(ManagementInterrupt.self) ?? ManagementInterrupt()
    let bridge = try PIIX3(bus: bus, smi: smi) { n throws(BoardError) in
      try board.interrupt(n, for: "piix3")
    }
    if values["apm"] == "yes" {
      try board.claim(bridge, at: 0xB2...0xB3, .quick, owner: bridge.stateName)
    }
    try bus.add(bridge, slot: 1)
  }
}
