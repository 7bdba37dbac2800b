// Cycles on the processor's bus without an instruction.
//
// Owns: single accesses of physical memory as the processor makes them. Must not know: who asks for them, linear addresses. Call between
// runs only.

import Bus

extension CPU {
  /// Reads 1, 2 or 4 bytes of physical memory as an instruction does: through the A20 gate, with a device's side effects. What lies in two
  /// pages is read byte by byte, the lower first.
  /// - Parameter address: 36 bits; nothing answers above (FFh).
  public func busRead(_ address: UInt64, width: UInt32) -> UInt32 {
    if address >> 36 != 0 { return UInt32.max >> (32 - 8 * width) }
    if address & 0xFFF > UInt64(0x1000 - width) {
      return (0..<width).reduce(0) {
        $0 | busRead(address &+ UInt64($1), width: 1) << (8 * $1)
      }
    }
    memory.show(inManagement: management.isActive)
    return memory.read(view.bus(address).value, width: width)
  }

  /// The same for writing.
  public func busWrite(_ address: UInt64, _ value: UInt32, width: UInt32) {
    if address >> 36 != 0 { return }
    if address & 0xFFF > UInt64(0x1000 - width) {
      for n in 0..<width { busWrite(address &+ UInt64(n), value >> (8 * n) & 0xFF, width: 1) }
      return
    }
    memory.show(inManagement: management.isActive)
    memory.write(view.bus(address).value, value, width: width)
  }
}
