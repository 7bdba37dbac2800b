// Memory as the debugger sees it.
//
// Owns: reads by linear and physical address without side effects: no accessed bits, no latches, no device registers.
// Must not know: commands.

import Bus
import CPU
import Machine

/// A linear or a physical address.
struct MemoryPlace {
  var address: UInt64
  var physical: Bool
  /// The address where only a linear one can be meant.
  var linear: UInt32 { UInt32(truncatingIfNeeded: address) }

  /// - Throws: where no address is as large.
  init(_ address: UInt64, physical: Bool) throws(DebuggerError) {
    let bits = physical ? 36 : 32
    guard address >> UInt64(bits) == 0 else {
      throw DebuggerError("\(hexDigits(address)) is beyond \(bits) bits")
    }
    (self.address, self.physical) = (address, physical)
  }

  /// The address `count` bytes behind one of the same kind.
  static func after(_ address: UInt64, _ count: Int, physical: Bool) -> UInt64 {
    (address &+ UInt64(count)) & (physical ? UInt64.max : 0xFFFF_FFFF)
  }
}

/// The memory of a machine, looked at from outside.
struct GuestMemory {
  let machine: Machine
  /// The processor whose linear addresses are meant.
  let cpu: CPU
  private var view: DebuggerView { DebuggerView(machine.memory) }

  /// What answers at a physical address.
  func kind(_ address: some BinaryInteger) -> DebuggerView.Kind {
    view.kind(at: PhysicalAddress(UInt64(truncatingIfNeeded: address)))
  }

  /// A byte, or nil where nothing is mapped or a device other than the display adapter answers.
  func physical(_ address: UInt64) -> UInt8? {
    switch kind(address) {
    case .ram, .rom: return view.bytes(PhysicalAddress(address), count: 1)[0]
    case .device:
      return (0xA0000...0xBFFFF).contains(address) ? machine.vga.peek(UInt32(address)) : nil
    case .unmapped: return nil
    }
  }

  func linear(_ address: UInt32) -> UInt8? {
    cpu.peekTranslate(LinearAddress(address)).flatMap { physical($0.value) }
  }

  /// Linear addresses wrap at 4 GiB.
  func bytes(_ address: some BinaryInteger, count: Int, physical isPhysical: Bool) -> [UInt8?] {
    var result: [UInt8?] = []
    result.reserveCapacity(count)
    while result.count < count {
      let a = UInt64(truncatingIfNeeded: address) &+ UInt64(result.count)
      let part = min(count - result.count, Int(0x1000 - (a & 0xFFF)))
      guard let place = isPhysical ? a : cpu.peekTranslate(LinearAddress(a))?.value
      else {
        result += [UInt8?](repeating: nil, count: part)
        continue
      }
      switch kind(place) {
      case .ram, .rom:
        result += view.bytes(PhysicalAddress(place), count: part).map { $0 }
      case .device: for n in 0..<part { result.append(physical(place &+ UInt64(n))) }
      case .unmapped: result += [UInt8?](repeating: nil, count: part)
      }
    }
    return result
  }

  /// A little-endian number of 1 to 8 bytes.
  func number(_ address: some BinaryInteger, size: Int, physical isPhysical: Bool) -> UInt64? {
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
  func write(
    _ address: some BinaryInteger, _ bytes: [UInt8], physical isPhysical: Bool
  ) throws(DebuggerError) {
    let address = UInt64(truncatingIfNeeded: address)
    if isPhysical {
      let done = view.change(PhysicalAddress(address), bytes)
      if done < bytes.count {
        throw DebuggerError("physical \(hexDigits(address &+ UInt64(done), 8)) is no RAM")
      }
      return
    }
    let done = cpu.pokeBytes(UInt32(truncatingIfNeeded: address), bytes)
    if done < bytes.count {
      throw DebuggerError(
        "\(hexDigits(address &+ UInt64(done), 8)) is no RAM; \(done) bytes were written")
    }
  }
}
