// The configuration registers of a logical device.
//
// Owns: which bits there are, what they hold, and what they give the device. Must not know: the bus, what becomes of it.
// Follows: Plug and Play ISA Specification 1.0a, appendix A.2 and A.3.
//
//   30h     activate                     60h-6Fh  bases of ports, high byte first
//   31h     I/O range check              70h-73h  interrupt request and type, twice
//   40h-5Ch memory of 24 bits            74h, 75h DMA channels; 4: none
//   76h-A8h memory of 32 bits
//
// What a layout has no use for reads as "nothing given" and cannot be set.

/// The registers 30h to A8h of one logical device.
struct ISAPnPRegisters {
  private(set) var values: [UInt8]
  private let masks: [UInt8]
  private let initial: [UInt8]
  private let layout: ISAPnPLayout

  private static let activate = 0x30
  private static let rangeCheck = 0x31
  private static let memory24 = [0x40, 0x48, 0x50, 0x58]
  private static let memory32 = [0x76, 0x80, 0x90, 0xA0]
  private static let ports = 0x60
  private static let interrupts = 0x70
  private static let channels = 0x74
  /// Edge-triggered, active high: as on ISA cards, and not to be changed.
  private static let interruptType: UInt8 = 0x02
  private static let noChannel: UInt8 = 4

  init(_ layout: ISAPnPLayout) {
    self.layout = layout
    var masks = [UInt8](repeating: 0, count: 256)
    var initial = masks
    masks[ISAPnPRegisters.activate] = 0x01
    masks[ISAPnPRegisters.rangeCheck] = 0x03
    for (n, ports) in layout.ports.enumerated() {
      masks[ISAPnPRegisters.ports + 2 * n] = ports.decodesAll ? 0xFF : 0x03
      masks[ISAPnPRegisters.ports + 2 * n + 1] = 0 &- UInt8(truncatingIfNeeded: ports.alignment)
    }
    for n in 0..<layout.interrupts {
      masks[ISAPnPRegisters.interrupts + 2 * n] = 0x0F
      initial[ISAPnPRegisters.interrupts + 2 * n + 1] = ISAPnPRegisters.interruptType
    }
    for n in 0..<2 {
      masks[ISAPnPRegisters.channels + n] = n < layout.channels ? 0x07 : 0
      initial[ISAPnPRegisters.channels + n] = ISAPnPRegisters.noChannel
    }
    for (at, size, is32Bit) in ISAPnPRegisters.places(layout.memory) {
      // The size is fixed: in place of a limit there is a mask of the address bits that are compared.
      let compared = 0 &- size
      let bytes =
        is32Bit
        ? [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: compared >> $0) }
        : [16, 8].map { UInt8(truncatingIfNeeded: compared >> $0) }
      for (n, byte) in bytes.enumerated() {
        masks[at + n] = byte
        initial[at + bytes.count + 1 + n] = byte
      }
    }
    for (register, value) in layout.initial {
      let n = Int(register)
      initial[n] = initial[n] & ~masks[n] | value & masks[n]
    }
    (self.masks, self.initial, values) = (masks, initial, initial)
  }

  /// Where the registers of each piece of memory begin.
  private static func places(_ memory: [ISAPnPLayout.Memory]) -> [(Int, UInt32, Bool)] {
    var (next24, next32) = (0, 0)
    return memory.map { piece in
      let at = piece.is32Bit ? memory32[next32] : memory24[next24]
      if piece.is32Bit { next32 += 1 } else { next24 += 1 }
      return (at, piece.size, piece.is32Bit)
    }
  }

  /// As after power-on.
  mutating func reset() { values = initial }

  func read(_ register: UInt8) -> UInt8 { values[Int(register)] }

  /// - Returns: whether anything changed.
  mutating func write(_ register: UInt8, _ value: UInt8) -> Bool {
    let n = Int(register)
    let new = values[n] & ~masks[n] | value & masks[n]
    if new == values[n] { return false }
    values[n] = new
    return true
  }

  /// Puts saved values back, as far as there are bits for them.
  mutating func restore(_ saved: [UInt8]) {
    for n in values.indices where saved.indices.contains(n) {
      values[n] = initial[n] & ~masks[n] | saved[n] & masks[n]
    }
  }

  var isActive: Bool { values[ISAPnPRegisters.activate] & 1 != 0 }

  /// What every port of an inactive device reads as while its ranges are checked, or nil.
  var checkPattern: UInt8? {
    let check = values[ISAPnPRegisters.rangeCheck]
    return isActive || check & 2 == 0 ? nil : check & 1 != 0 ? 0x55 : 0xAA
  }

  /// What the registers give, whether the device is active or not.
  var resources: ISAPnPResources {
    var result = ISAPnPResources()
    for (n, ports) in layout.ports.enumerated() {
      let at = ISAPnPRegisters.ports + 2 * n
      let base = UInt16(values[at]) << 8 | UInt16(values[at + 1])
      result.ports.append(base == 0 || Int(base) + ports.count > 0x10000 ? nil : base)
    }
    for n in 0..<layout.interrupts {
      let number = Int(values[ISAPnPRegisters.interrupts + 2 * n])
      result.interrupts.append(number == 0 ? nil : number)
    }
    for n in 0..<layout.channels {
      let number = values[ISAPnPRegisters.channels + n]
      result.channels.append(number == ISAPnPRegisters.noChannel ? nil : Int(number))
    }
    for (at, _, is32Bit) in ISAPnPRegisters.places(layout.memory) {
      let high = UInt32(values[at]) << 8 | UInt32(values[at + 1])
      let base =
        is32Bit ? high << 16 | UInt32(values[at + 2]) << 8 | UInt32(values[at + 3]) : high << 8
      result.memory.append(base == 0 ? nil : base)
    }
    return result
  }
}
