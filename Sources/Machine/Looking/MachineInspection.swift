// What debuggers see of a machine beyond its public parts.
//
// Owns: access to the list of devices and to the clock's events. Must not know: who looks. Nothing here changes the guest.

import Bus
import CPU
import Chipset

extension Machine {
  /// All devices, in the order of saved states.
  public var allDevices: [any Device] { devices }

  /// The A20 gate's level.
  public var a20Level: Bool { gate.output.level }

  /// The level of the processor's INTR line.
  public var interruptLine: Bool { apics?[0].output.level ?? pic.output.level }
}
