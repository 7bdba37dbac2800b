// The IDE function of the 82371SB (PIIX3; Intel 290550).
//
// Owns: its configuration space. Must not know: drives, channels' registers.
//
//   20h BMIBA (16 ports), 40h and 42h IDETIM of both channels (bit 15: decode enable), 44h SIDETIM

import Bus
import State

/// Function 1.1, 8086:7010.
public final class PIIXIDE: PCIFunction {
  public let stateName = "piix-ide"
  public let configuration: PCIConfiguration

  public init() {
    let identity = PCIIdentity(vendor: 0x8086, device: 0x7010, classCode: 0x010180)
    configuration = PCIConfiguration(identity)
    configuration.define(
      PCIConfiguration.Register.command, width: 2, 0, writable: 0x0005)
    configuration.define(0x40, width: 4, 0, writable: 0xFFFF_FFFF)
    configuration.define(0x44, width: 1, 0, writable: 0xFF)
  }

  public func reset(_ kind: ResetKind) { configuration.reset() }
  public func save(to writer: inout StateWriter) { configuration.save(to: &writer) }
  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    try configuration.restore(from: &reader)
  }
  public func inspect() -> [Field] { configuration.inspect() }
}

extension PIIXIDE {
  public static let part = PartType("piix-ide", "IDE function of the 82371SB") { board, _ in
    let bus = try board.need(offer: PCIBus.self, for: "piix-ide")
    try bus.add(PIIXIDE(), slot: 1, function: 1)
  }
}
