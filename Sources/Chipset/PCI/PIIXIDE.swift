// The IDE function of the 82371SB (PIIX3; Intel 290550).
//
// Owns: its configuration space, and what that switches: the ports of both channels, the bus master. Must not know: drives, the registers
// of channels (`IDEChannel`) and of the bus master (`BusMasterIDE`).
//
//   20h BMIBA (16 ports), 40h and 42h IDETIM of both channels (bit 15: decode enable), 44h SIDETIM
//
// The channels are at the ports that ATs have (compatibility mode), once the command register allows ports and IDETIM the channel; after
// a reset neither does. The timings are kept, and mean nothing here. Firmware for emulators, which let the channels answer whatever IDETIM
// says, may never set its bit 15: `decode=yes` has it set after a reset.

import Bus
import State

/// Function 1.1, 8086:7010.
public final class PIIXIDE: PCIFunction {
  public let stateName = "piix-ide"
  public let configuration: PCIConfiguration
  private let channels: [IDEChannel]
  private let busMaster: BusMasterIDE

  private static let timing = 0x40
  private static let decodeEnable: UInt16 = 0x8000

  /// - Parameters:
  ///   - channels: the primary and the secondary one.
  ///   - decodes: IDETIM has the channels answer after a reset.
  public init(channels: [IDEChannel], memory: any DMAMemory, decodes: Bool = false) {
    var identity = PCIIdentity(vendor: 0x8086, device: 0x7010, classCode: 0x010180)
    // Master and target aborts are told; it claims cycles at medium speed.
    identity.status = 0x0280
    let configuration = PCIConfiguration(identity)
    self.configuration = configuration
    self.channels = channels
    busMaster = BusMasterIDE(channels: channels, memory: memory)
    configuration.define(
      PCIConfiguration.Register.command, width: 2, 0, writable: 0x0005)
    configuration.define(PCIConfiguration.Register.cacheLineSize, width: 1, 0)
    configuration.define(PCIConfiguration.Register.latencyTimer, width: 1, 0, writable: 0xF0)
    configuration.define(PCIConfiguration.Register.interruptLine, width: 1, 0)
    configuration.define(
      PIIXIDE.timing, width: 4, decodes ? 0x8000_8000 : 0, writable: 0xFFFF_FFFF)
    configuration.define(0x44, width: 1, 0, writable: 0xFF)
    configuration.addBAR(
      4, .io(size: BusMasterIDE.registerCount), .of(busMaster), name: stateName)
    follow()
  }

  public func configurationWritten(at offset: Int, width: Int) { follow() }

  /// Ports and bus master are as the registers say.
  private func follow() {
    busMaster.mayMaster = configuration.canMaster
    let hasPorts = configuration.command & PCIConfiguration.Command.io != 0
    for (n, channel) in channels.enumerated() {
      let timing = configuration[word: PIIXIDE.timing + 2 * n]
      channel.isDecoded = hasPorts && timing & PIIXIDE.decodeEnable != 0
    }
  }

  public func reset(_ kind: ResetKind) {
    configuration.reset()
    busMaster.reset()
    follow()
  }

  public func save(to writer: inout StateWriter) {
    configuration.save(to: &writer)
    busMaster.save(to: &writer)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    try configuration.restore(from: &reader)
    try busMaster.restore(from: &reader)
    follow()
  }

  public func inspect() -> [Field] { configuration.inspect() + busMaster.inspect() }
}

extension PIIXIDE {
  public static let part = PartType(
    "piix-ide", "IDE function of the 82371SB, bus master of two IDE channels",
    options: [
      PartOption("primary", .text, "ide0", "the first channel"),
      PartOption("secondary", .text, "ide1", "the second channel"),
      PartOption("decode", .flag, "no", "the channels answer after a reset (IDETIM bit 15)"),
    ]
  ) { board, values in
    let bus = try board.need(offer: PCIBus.self, for: "piix-ide")
    let memory = try board.need(offer: (any DMAMemory).self, for: "piix-ide")
    let all = board.all(IDEChannel.self)
    let channels = try ["primary", "secondary"].map { option throws(BoardError) in
      guard let channel = all.first(where: { $0.stateName == values[option] }) else {
        throw BoardError("piix-ide: there is no IDE channel '\(values[option])'")
      }
      return channel
    }
    if channels[0] === channels[1] {
      throw BoardError("piix-ide: its two channels cannot both be '\(channels[0].stateName)'")
    }
    try bus.add(
      PIIXIDE(channels: channels, memory: memory, decodes: values.flag("decode")), slot: 1,
      function: 1)
  }
}
