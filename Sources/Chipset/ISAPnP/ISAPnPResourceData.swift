// The resource data of a Plug and Play ISA card, made tag by tag.
//
// Owns: the bytes of the tags. Must not know: any card, who reads them.
// Follows: Plug and Play ISA Specification 1.0a, section 6.2 (small and large resource data types).

/// Makes resource data. The tags come out in the order of the calls; the specification wants the version first, then for each logical
/// device its identifier, compatible ones, what it always needs, then what it needs in one of several ways.
public struct ISAPnPResourceData {
  private var data: [UInt8] = []

  /// How well one of several configurations does.
  public enum Priority: UInt8, Sendable {
    case good, acceptable, suboptimal
  }

  /// - Parameter vendorVersion: of the card, major and minor in a digit each.
  public init(vendorVersion: UInt8 = 0x10) { small(0x1, [0x10, vendorVersion]) }

  private mutating func small(_ name: UInt8, _ contents: [UInt8]) {
    precondition(contents.count <= 7)
    data += [name << 3 | UInt8(contents.count)] + contents
  }

  private mutating func large(_ name: UInt8, _ contents: [UInt8]) {
    precondition(contents.count <= 0xFFFF)
    data += [0x80 | name, UInt8(contents.count & 0xFF), UInt8(contents.count >> 8)] + contents
  }

  private static func word(_ value: UInt16) -> [UInt8] { [UInt8(value & 0xFF), UInt8(value >> 8)] }

  /// A name in ASCII, of the card or of the logical device that was begun last.
  public mutating func name(_ text: String) { large(0x02, Array(text.utf8)) }

  /// Begins a logical device.
  /// - Parameters:
  ///   - isForBooting: it may be needed to boot from.
  ///   - registers: which of the registers 31h to 37h there are, as bits 1 to 7; every device here has 31h.
  public mutating func device(
    _ identifier: EISAIdentifier, isForBooting: Bool = false, registers: UInt8 = 0x02
  ) {
    small(0x2, identifier.bytes + [registers & 0xFE | (isForBooting ? 1 : 0)])
  }

  /// Drivers for this identifier do, too.
  public mutating func compatible(_ identifier: EISAIdentifier) { small(0x3, identifier.bytes) }

  /// One interrupt request out of some; edge-triggered, active high, as on ISA cards.
  public mutating func interrupt(_ possible: [Int]) {
    var mask: UInt16 = 0
    for number in possible where (0...15).contains(number) { mask |= 1 << UInt16(number) }
    small(0x4, ISAPnPResourceData.word(mask))
  }

  /// One DMA channel out of some.
  /// - Parameter flags: speed, bus mastering and width, as the specification's table has them.
  public mutating func channel(_ possible: [Int], flags: UInt8) {
    var mask: UInt8 = 0
    for number in possible where (0...7).contains(number) { mask |= 1 << UInt8(number) }
    small(0x5, [mask, flags])
  }

  /// What follows, up to the next one or `endChoices`, is one way to configure the device.
  public mutating func choice(_ priority: Priority = .acceptable) {
    small(0x6, priority == .acceptable ? [] : [priority.rawValue])
  }

  public mutating func endChoices() { small(0x7, []) }

  /// A range of ports with its base in `bases`, a multiple of `alignment`.
  public mutating func ports(
    _ bases: ClosedRange<UInt16>, alignment: UInt8, count: UInt8, decodesAll: Bool = true
  ) {
    small(
      0x8,
      [decodesAll ? 1 : 0] + ISAPnPResourceData.word(bases.lowerBound)
        + ISAPnPResourceData.word(bases.upperBound) + [alignment, count])
  }

  /// A range of ports at one place only, of which ten bits of the address are compared.
  public mutating func fixedPorts(_ base: UInt16, count: UInt8) {
    small(0x9, ISAPnPResourceData.word(base & 0x3FF) + [count])
  }

  /// Memory below 16 MB, in units of 256 bytes.
  /// - Parameter flags: width, caching, ROM, as the specification's table has them.
  public mutating func memory(
    _ bases: ClosedRange<UInt32>, alignment: UInt16, size: UInt32, flags: UInt8
  ) {
    large(
      0x01,
      [flags] + ISAPnPResourceData.word(UInt16(truncatingIfNeeded: bases.lowerBound >> 8))
        + ISAPnPResourceData.word(UInt16(truncatingIfNeeded: bases.upperBound >> 8))
        + ISAPnPResourceData.word(alignment)
        + ISAPnPResourceData.word(UInt16(truncatingIfNeeded: size >> 8)))
  }

  /// All of it with the end tag, whose byte makes the sum of all zero.
  public var bytes: [UInt8] {
    let all = data + [0x79]
    return all + [0 &- all.reduce(0, &+)]
  }
}
