// What every device is: something with a reset, an explicit, versioned state, and a view of itself.
//
// Owns: the protocol between devices and the board that carries them. Must not know: any particular device.

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
}

/// Guest physical memory as a bus master sees it (8237 DMA, IDE bus master).
///
/// Addresses outside RAM read as FFh and ignore writes; code caches are kept coherent by the implementation.
public protocol DMAMemory: AnyObject {
  func dmaRead(_ address: UInt32, into buffer: UnsafeMutableRawBufferPointer)
  func dmaWrite(_ address: UInt32, from buffer: UnsafeRawBufferPointer)
  /// The same for masters that drive more address lines (64-bit PCI addresses); beyond what memory there is, FFh is read.
  func dmaRead(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer)
  func dmaWrite(at address: UInt64, from buffer: UnsafeRawBufferPointer)
  /// How many of `count` bytes from an address on somebody answers for, so that a master of the PCI bus need not give up (master abort).
  func dmaReach(_ address: UInt32, _ count: Int) -> Int
}

extension DMAMemory {
  public func dmaReach(_ address: UInt32, _ count: Int) -> Int { count }

  /// Memory of 32 address bits, with nothing above.
  public func dmaRead(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) {
    guard address >> 32 == 0, UInt64(buffer.count) <= 1 << 32 - address else {
      _ = buffer.initializeMemory(as: UInt8.self, repeating: 0xFF)
      return
    }
    dmaRead(UInt32(address), into: buffer)
  }
  public func dmaWrite(at address: UInt64, from buffer: UnsafeRawBufferPointer) {
    guard address >> 32 == 0, UInt64(buffer.count) <= 1 << 32 - address else { return }
    dmaWrite(UInt32(address), from: buffer)
  }
}
