// What the processor sees of the rest of the machine.
//
// Owns: the interface, as a class to be overridden (a virtual call costs a nanosecond, an existential fourteen). Must not know: any device.

/// The processor's pins: I/O cycles, interrupt acknowledge, FERR#.
open class SystemBus {
  public init() {}

  /// An I/O read of 1, 2 or 4 bytes.
  open func portRead(_ port: UInt16, width: Int) -> UInt32 { UInt32.max >> UInt32(32 - 8 * width) }
  /// An I/O write of 1, 2 or 4 bytes.
  open func portWrite(_ port: UInt16, _ value: UInt32, width: Int) {}
  /// The interrupt acknowledge cycle: the vector of the highest request.
  open func acknowledgeInterrupt() -> UInt8 { 0xFF }
  /// IA32_APIC_BASE was written: bit 11 enables the local APIC, bits 12-35 are its base. After a reset it is FEE00900h.
  open func apicBaseWritten(_ value: UInt64) {}
  /// FERR#: an unmasked x87 error is pending and CR0.NE is clear (drives IRQ 13).
  open func ferr(_ asserted: Bool) {}
  /// IGNNE#: waiting x87 instructions run although an error is pending and CR0.NE is clear. Asserted where nobody listens to FERR#.
  open var ignoresNumericErrors: Bool { true }
  /// A special cycle after which the processor does nothing more: triple fault.
  open func shutdownCycle() {}
  /// How many units of `width` bytes a port can move at once, up to and with the one that makes something happen; 0: none.
  open func portBlockRoom(_ port: UInt16, width: Int) -> Int { 0 }
  /// Fast string I/O: moves `count` units of `width` bytes, at most `portBlockRoom`, from a port to host memory; returns how many were
  /// moved (0: do it one by one).
  open func portReadBlock(
    _ port: UInt16, width: Int, into buffer: UnsafeMutableRawPointer, count: Int
  ) -> Int { 0 }
  /// The same from host memory to a port.
  open func portWriteBlock(
    _ port: UInt16, width: Int, from buffer: UnsafeRawPointer, count: Int
  ) -> Int { 0 }
}
