// Accesses in the processor's place, while it does not run.
//
// Owns: what a cycle of the bus sets off (events, requests of devices), time that passes without instructions. Must not know: who makes
// the cycles.

import Bus
import CPU

extension Machine {
  /// Reads `width` bytes (1, 2 or 4) at a port as the processor does. It takes no time.
  public func portRead(_ port: UInt16, width: Int) -> UInt32 {
    defer { settleCycle() }
    return ports.read(port, width: width)
  }

  /// Writes the low `width` bytes (1, 2 or 4) of `value` at a port as the processor does. It takes no time.
  public func portWrite(_ port: UInt16, _ value: UInt32, width: Int) {
    ports.write(port, value, width: width)
    settleCycle()
  }

  /// Reads 1, 2, 4 or 8 bytes of physical memory as the processor does, with devices' side effects; eight as two doublewords. Addresses
  /// have 36 bits; nothing answers above.
  public func memoryRead(_ address: UInt64, width: Int) -> UInt64 {
    defer { settleCycle() }
    if width == 8 {
      return UInt64(cpu.busRead(address, width: 4))
        | UInt64(cpu.busRead(Machine.second(address), width: 4)) << 32
    }
    return UInt64(cpu.busRead(address, width: UInt32(width)))
  }

  /// Writes the low `width` bytes (1, 2, 4 or 8) of `value` in the same way.
  public func memoryWrite(_ address: UInt64, _ value: UInt64, width: Int) {
    cpu.busWrite(address, UInt32(truncatingIfNeeded: value), width: UInt32(min(width, 4)))
    if width == 8 { cpu.busWrite(Machine.second(address), UInt32(value >> 32), width: 4) }
    settleCycle()
  }

  /// Reads a run of physical memory: whole doublewords where addresses let it, otherwise words and bytes.
  public func memoryRead(_ address: UInt64, count: Int) -> [UInt8] {
    defer { settleCycle() }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      let at = address &+ UInt64(bytes.count)
      let width = Machine.width(at, count - bytes.count)
      let value = cpu.busRead(at, width: width)
      for n in 0..<width { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * n))) }
    }
    return bytes
  }

  /// Writes a run of physical memory in the same way.
  public func memoryWrite(_ address: UInt64, _ bytes: [UInt8]) {
    var done = 0
    while done < bytes.count {
      let at = address &+ UInt64(done)
      let width = Machine.width(at, bytes.count - done)
      var value: UInt32 = 0
      for n in (0..<Int(width)).reversed() { value = value << 8 | UInt32(bytes[done + n]) }
      cpu.busWrite(at, value, width: width)
      done += Int(width)
    }
    settleCycle()
  }

  /// Where the second doubleword of eight bytes is: nothing behind the last address is the first again.
  private static func second(_ address: UInt64) -> UInt64 {
    address > UInt64.max - 4 ? UInt64.max : address + 4
  }

  /// The widest aligned access.
  private static func width(_ address: UInt64, _ left: Int) -> UInt32 {
    if address & 3 == 0 && left >= 4 { return 4 }
    return address & 1 == 0 && left >= 2 ? 2 : 1
  }

  /// Virtual time passes while the processor stands still; every event on the way has its own time.
  /// - Parameter time: nanoseconds from power-on; nothing happens when it is past.
  public func passTime(until time: UInt64) {
    while isOn, clock.nextDeadline <= time {
      let now = clock.now
      if clock.nextDeadline > now { clock.pass(nanoseconds: clock.nextDeadline - now) }
      settleCycle()
    }
    let now = clock.now
    if isOn, time > now { clock.pass(nanoseconds: time - now) }
    settleCycle()
  }

  /// What devices asked for in a cycle is done, as it is between two instructions.
  private func settleCycle() {
    if isOn, settle(UInt64.max) != nil { isOn = false }
  }
}
