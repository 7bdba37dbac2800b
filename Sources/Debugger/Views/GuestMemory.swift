// Memory as the debugger sees it.
//
// Owns: reads by linear and physical address without side effects: no accessed bits, no latches, no device registers.
// Must not know: commands.

import Bus
import CPU
import Machine

/// The memory of a machine, looked at from outside.
struct GuestMemory {
  let machine: Machine
  /// The processor whose linear addresses are meant.
  let cpu: CPU
  private var view: DebuggerView { DebuggerView(machine.memory) }

  /// What answers at a physical address.
  func kind(_ address: UInt32) -> DebuggerView.Kind {
    view.kind(at: PhysicalAddress(UInt64(address)))
  }

  /// A byte, or nil where nothing is mapped or a device other than the display adapter answers.
  func physical(_ address: UInt32) -> UInt8? {
    switch kind(address) {
    case .ram, .rom: return view.bytes(PhysicalAddress(UInt64(address)), count: 1)[0]
    case .device:
      return (0xA0000...0xBFFFF).contains(address) ? machine.vga.peek(address) : nil
    case .unmapped: return nil
    }
  }

  func linear(_ address: UInt32) -> UInt8? {
    cpu.peekTranslate(LinearAddress(address)).flatMap { physical($0.low) }
  }

  func bytes(_ address: UInt32, count: Int, physical isPhysical: Bool) -> [UInt8?] {
    var result: [UInt8?] = []
    result.reserveCapacity(count)
    while result.count < count {
      let a = address &+ UInt32(truncatingIfNeeded: result.count)
      let part = min(count - result.count, Int(0x1000 - (a & 0xFFF)))
      guard let place = isPhysical ? a : cpu.peekTranslate(LinearAddress(a))?.low else {
        result += [UInt8?](repeating: nil, count: part)
        continue
      }
      switch kind(place) {
      case .ram, .rom:
        result += view.bytes(PhysicalAddress(UInt64(place)), count: part).map { $0 }
      case .device: for n in 0..<part { result.append(physical(place &+ UInt32(n))) }
      case .unmapped: result += [UInt8?](repeating: nil, count: part)
      }
    }
    return result
  }

  /// A little-endian number of 1 to 8 bytes.
  func number(_ address: UInt32, size: Int, physical isPhysical: Bool) -> UInt64? {
    var value: UInt64 = 0
    for (n, byte) in bytes(address, count: size, physical: isPhysical).enumerated() {
      guard let byte else { return nil }
      value |= UInt64(byte) << UInt64(8 * n)
    }
    return value
  }

  /// Bytes of an instruction; ends where nothing is mapped.
  func code(_ address: UInt32, count: Int = 16, physical isPhysical: Bool = false) -> [UInt8] {
    var result: [UInt8] = []
    for byte in bytes(address, count: count, physical: isPhysical) {
      guard let byte else { break }
      result.append(byte)
    }
    return result
  }

  /// Changes bytes.
  func write(_ address: UInt32, _ bytes: [UInt8], physical isPhysical: Bool) throws(DebuggerError) {
    if isPhysical {
      let done = view.change(PhysicalAddress(UInt64(address)), bytes)
      if done < bytes.count {
        throw DebuggerError("physical \(hexDigits(address &+ UInt32(done), 8)) is no RAM")
      }
      return
    }
    let done = cpu.pokeBytes(address, bytes)
    if done < bytes.count {
      throw DebuggerError(
        "\(hexDigits(address &+ UInt32(done), 8)) is no RAM; \(done) bytes were written")
    }
  }
}
