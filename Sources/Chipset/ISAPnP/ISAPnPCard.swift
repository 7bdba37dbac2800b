// What a Plug and Play ISA card is: an identity, resource data, logical devices with configuration registers.
//
// Owns: the protocols between cards and the bus, identities with their checksum, what a logical device can be given and is given.
// Must not know: the isolation protocol, any particular card.
// Follows: Plug and Play ISA Specification 1.0a (May 5, 1994), sections 6.1 and A.1 to A.3, appendix B.

import Bus

/// An EISA identifier: three letters and four hexadecimal digits, such as PNP0501.
public struct EISAIdentifier: Equatable, Sendable {
  /// As it stands in resource data and in the serial identifier, byte 0 first.
  public let bytes: [UInt8]

  /// - Parameter text: three capital letters and four hexadecimal digits; anything else is an error of whoever writes a card.
  public init(_ text: StaticString) {
    let letters = text.withUTF8Buffer { Array($0) }
    precondition(letters.count == 7, "an EISA identifier has seven characters")
    func letter(_ n: Int) -> UInt8 {
      precondition((0x41...0x5A).contains(letters[n]), "capital letters are wanted")
      return letters[n] - 0x40
    }
    func digit(_ n: Int) -> UInt8 {
      guard let value = Character(Unicode.Scalar(letters[n])).hexDigitValue else {
        preconditionFailure("hexadecimal digits are wanted")
      }
      return UInt8(value)
    }
    bytes = [
      letter(0) << 2 | letter(1) >> 3, letter(1) << 5 | letter(2), digit(3) << 4 | digit(4),
      digit(5) << 4 | digit(6),
    ]
  }
}

/// The shift register of the initiation key and of the checksum (appendix B).
struct ISAPnPShiftRegister: Equatable {
  static let start: UInt8 = 0x6A
  var value = ISAPnPShiftRegister.start

  mutating func shift(_ bit: UInt8 = 0) {
    value = value >> 1 | ((value ^ value >> 1 ^ bit) & 1) << 7
  }
}

/// What tells one card from all others: 72 bits, which the isolation protocol reads.
public struct ISAPnPIdentity: Equatable, Sendable {
  /// Vendor and product, the serial number from its lowest byte on, the checksum.
  public let bytes: [UInt8]

  /// - Parameter serial: unique among the cards of a product; FFFFFFFFh where a machine has only one.
  public init(_ product: EISAIdentifier, serial: UInt32) {
    var bytes = product.bytes
    for n in UInt32(0)..<4 { bytes.append(UInt8(truncatingIfNeeded: serial >> (8 * n))) }
    var checksum = ISAPnPShiftRegister()
    for byte in bytes { for n in 0..<8 { checksum.shift(byte >> UInt8(n) & 1) } }
    self.bytes = bytes + [checksum.value]
  }

  static let bitCount = 72

  /// A bit in the order in which they are shifted out.
  func bit(_ n: Int) -> Bool {
    bytes.indices.contains(n >> 3) && bytes[n >> 3] >> UInt8(n & 7) & 1 != 0
  }
}

/// What a logical device can be given, and the registers that are there for it.
public struct ISAPnPLayout {
  /// Ports, which the bus maps where they were put while the device is active.
  public struct Ports {
    public var file: RegisterFile
    /// The offset of the first port, in the registers.
    public var offset: UInt32
    /// How many, 1 to 256.
    public var count: Int
    /// What the base is a multiple of; a power of two, at most 256. Bits below cannot be set.
    public var alignment: Int
    /// Ten or sixteen bits of the address are compared; with ten the base is below 400h.
    public var decodesAll: Bool
    public var traits: PortTraits

    public init(
      _ file: RegisterFile, offset: UInt32 = 0, count: Int, alignment: Int,
      decodesAll: Bool = true, traits: PortTraits = .isa
    ) {
      precondition((1...256).contains(count) && (1...256).contains(alignment))
      precondition(alignment & (alignment - 1) == 0)
      (self.file, self.offset, self.count) = (file, offset, count)
      (self.alignment, self.decodesAll, self.traits) = (alignment, decodesAll, traits)
    }
  }

  /// Memory of a fixed size, which the device maps itself.
  public struct Memory {
    /// A power of two, 256 bytes or more; the base is a multiple of it.
    public var size: UInt32
    /// A descriptor of 32 bits, or of 24.
    public var is32Bit: Bool

    public init(size: UInt32, is32Bit: Bool = false) {
      precondition(size >= 256 && size & (size - 1) == 0)
      (self.size, self.is32Bit) = (size, is32Bit)
    }
  }

  /// At most 8.
  public var ports: [Ports]
  /// How many interrupt requests, at most 2.
  public var interrupts: Int
  /// How many DMA channels, at most 2.
  public var channels: Int
  /// At most 4 of each kind.
  public var memory: [Memory]
  /// What registers hold after power-on where that is not "nothing given": a boot device's resources, and 1 in 30h.
  public var initial: [UInt8: UInt8]

  public init(
    ports: [Ports] = [], interrupts: Int = 0, channels: Int = 0, memory: [Memory] = [],
    initial: [UInt8: UInt8] = [:]
  ) {
    precondition(ports.count <= 8 && (0...2).contains(interrupts) && (0...2).contains(channels))
    precondition(memory.filter(\.is32Bit).count <= 4 && memory.filter { !$0.is32Bit }.count <= 4)
    (self.ports, self.interrupts, self.channels) = (ports, interrupts, channels)
    (self.memory, self.initial) = (memory, initial)
  }
}

/// What an active logical device was given, in the order of its layout; nil where there is nothing.
public struct ISAPnPResources: Equatable, Sendable {
  /// The first of each range of ports.
  public var ports: [UInt16?] = []
  /// 1 to 15. A device need not have a wire to each.
  public var interrupts: [Int?] = []
  /// 0 to 7 without 4.
  public var channels: [Int?] = []
  /// The base of each piece of memory.
  public var memory: [UInt32?] = []
}

/// A device of a card that is configured on its own.
public protocol ISAPnPLogicalDevice: AnyObject {
  /// What it can be given; the same for as long as it lives.
  var pnpLayout: ISAPnPLayout { get }
  /// It was activated, given something else while it is active, or (nil) deactivated. Its ports are mapped already.
  func pnpConfigure(_ resources: ISAPnPResources?)
  /// The same after a state was restored: nothing that other devices notice may come of it. Called at any time of the restoring.
  func pnpRestore(_ resources: ISAPnPResources?)
  /// The bus's reset command. The registers hold their power-on values already.
  func pnpReset()
  /// A vendor's register, 38h-3Fh or F0h-FEh.
  func pnpRead(_ register: UInt8) -> UInt8
  func pnpWrite(_ register: UInt8, _ value: UInt8)
}

extension ISAPnPLogicalDevice {
  public func pnpRestore(_ resources: ISAPnPResources?) {}
  public func pnpReset() {}
  public func pnpRead(_ register: UInt8) -> UInt8 { 0 }
  public func pnpWrite(_ register: UInt8, _ value: UInt8) {}
}

/// A card with Plug and Play. It belongs to a board as whatever devices it consists of; what the bus keeps of it (its state in the
/// protocol, configuration registers) is the bus's, which also saves it.
public protocol ISAPnPCard: AnyObject {
  /// For people who look at the bus.
  var pnpName: String { get }
  var pnpIdentity: ISAPnPIdentity { get }
  /// What follows the identity; `ISAPnPResourceData` makes it.
  var pnpResourceData: [UInt8] { get }
  /// At least one, by their numbers.
  var pnpDevices: [any ISAPnPLogicalDevice] { get }
  /// A vendor's register of the card, 20h-2Fh.
  func pnpReadCard(_ register: UInt8) -> UInt8
  func pnpWriteCard(_ register: UInt8, _ value: UInt8)
}

extension ISAPnPCard {
  public func pnpReadCard(_ register: UInt8) -> UInt8 { 0 }
  public func pnpWriteCard(_ register: UInt8, _ value: UInt8) {}
}
