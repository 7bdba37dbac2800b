// What every device is: something with a reset and an explicit, versioned state.
//
// Owns: the protocols between devices and the machine that wires them. Must not know: any particular device.

import State

/// Which reset line was pulled.
public enum ResetKind: Sendable {
  /// Power on: everything returns to its power-on state.
  case power
  /// System reset (RESET# of the bus; port CF9h or keyboard controller with the machine resetting all devices).
  case system
}

/// A part of the machine that keeps state.
public protocol Device: AnyObject {
  /// The name of its section in saved states; unique in a machine ("pic", "ide0", ...).
  var stateName: String { get }
  /// The version that `save` writes.
  var stateVersion: UInt16 { get }
  /// Writes the complete guest-visible and internal state.
  func save(to writer: inout StateWriter)
  /// Reads what `save` wrote. Values are checked; the device may be left half-restored when this throws.
  func restore(from reader: inout StateReader, version: UInt16) throws(StateError)
  /// Returns to the state after a reset.
  func reset(_ kind: ResetKind)
  /// What a debugger shows of it. Looking changes nothing.
  func inspect() -> [Field]
}

extension Device {
  public var stateVersion: UInt16 { 1 }
  public func inspect() -> [Field] { [] }
}

/// A device in the I/O port space.
///
/// The bus calls it with the widest access it declared; wider guest accesses are split into ascending bytes or words.
public protocol PortDevice: Device {
  /// Reads `width` bytes (1, 2 or 4) at `port`. Reads may have side effects.
  func readPort(_ port: UInt16, width: Int) -> UInt32
  /// Writes the low `width` bytes (1, 2 or 4) of `value` to `port`.
  func writePort(_ port: UInt16, _ value: UInt32, width: Int)
}

/// Guest physical memory as a bus master sees it (8237 DMA, IDE bus master).
///
/// Addresses outside RAM read as FFh and ignore writes; code caches are kept coherent by the implementation.
public protocol DMAMemory: AnyObject {
  func dmaRead(_ address: UInt32, into buffer: UnsafeMutableRawBufferPointer)
  func dmaWrite(_ address: UInt32, from buffer: UnsafeRawBufferPointer)
}

/// A level on a wire (an interrupt request, a gate, A20, ...), driven by one device and seen by one listener.
///
/// The listener is told of changes only. The level itself belongs to the driving device's state: after a restore the driver
/// calls `restore(level:)`, which sets the level without telling the listener (whose own state holds what it knew).
public final class Signal {
  /// The present level.
  public private(set) var level = false
  private var listener: ((Bool) -> Void)?

  public init() {}

  /// Connects the one listener, which is told of every change from now on.
  public func connect(_ listener: @escaping (Bool) -> Void) { self.listener = listener }

  /// Drives the level; the listener hears of it if it changed.
  public func set(_ level: Bool) {
    if level == self.level { return }
    self.level = level
    listener?(level)
  }

  /// A low-high-low pulse, as edge-triggered inputs want it.
  public func pulse() {
    set(true)
    set(false)
  }

  /// Sets the level after a state was restored, without telling the listener.
  public func restore(level: Bool) { self.level = level }
}
