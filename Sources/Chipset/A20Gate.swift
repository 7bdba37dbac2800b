// The A20 gate and port 92h (IBM PS/2 Technical Reference; 82371SB).
//
// Owns: the OR of the two things that open the gate, system control port A. Must not know: the memory behind the gate.
//
//   92h  bit 0 going high resets the processor, bit 1 opens A20, the others are stored

import Bus
import State

/// Address line 20: open while the keyboard controller or port 92h says so.
public final class A20Gate {
  /// High: A20 follows the processor. Low: it is forced to 0.
  public let output = Signal()
  private var controller = true
  private var portA = false

  /// Open, as after power-on, when the processor fetches from the top of memory.
  public init() { output.restore(level: true) }

  func set(controller level: Bool) {
    controller = level
    output.set(controller || portA)
  }

  func set(portA level: Bool) {
    portA = level
    output.set(controller || portA)
  }

  func restore(controller level: Bool) {
    controller = level
    output.restore(level: controller || portA)
  }

  func restore(portA level: Bool) {
    portA = level
    output.restore(level: controller || portA)
  }
}

/// Port 92h: fast A20 and fast reset.
public final class SystemPortA: PortDevice {
  public let stateName = "port92"
  private let gate: A20Gate
  private let request: (ResetRequest) -> Void
  private var value: UInt8 = 0

  /// - Parameter request: Asked to reset the processor.
  public init(gate: A20Gate, request: @escaping (ResetRequest) -> Void) {
    self.gate = gate
    self.request = request
  }

  public func readPort(_ port: UInt16, width: Int) -> UInt32 { UInt32(value) }

  public func writePort(_ port: UInt16, _ newValue: UInt32, width: Int) {
    let old = value
    value = UInt8(truncatingIfNeeded: newValue)
    gate.set(portA: value & 2 != 0)
    if value & 1 != 0 && old & 1 == 0 {
      // The pulse is over when the processor starts again, so the next write can reset once more.
      value &= ~1
      request(.processor)
    }
  }

  public func reset(_ kind: ResetKind) {
    value = 0
    gate.set(portA: false)
  }

  public func save(to writer: inout StateWriter) { writer.write(value) }
  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    value = try reader.read()
    gate.restore(portA: value & 2 != 0)
  }
}
