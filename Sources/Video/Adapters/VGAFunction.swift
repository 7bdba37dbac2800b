// A VGA as a PCI function.
//
// Owns: what all of them have: the first range is linear memory, an expansion ROM, state. Must not know: identities, further ranges.
// Follows: PCI Local Bus Specification 2.1.

import Bus
import State

/// The PCI function of a display adapter.
public class VGAFunction: PCIFunction {
  public let stateName: String
  public let configuration: PCIConfiguration
  let vga: VGA

  /// - Parameters:
  ///   - size: bytes of the first range.
  ///   - rom: the video BIOS, or nothing.
  init(_ stateName: String, _ identity: PCIIdentity, _ vga: VGA, size: UInt32, rom: [UInt8]) {
    (self.stateName, self.vga) = (stateName, vga)
    var identity = identity
    // QEMU's, by which Linux' drivers (bochs, cirrus) know their adapters.
    identity.subsystemVendor = 0x1AF4
    identity.subsystem = 0x1100
    identity.commandMask = 0x0103
    configuration = PCIConfiguration(identity)
    configuration.addBAR(
      0, .memory(size: size, prefetchable: true), LinearMemoryFile(vga), name: "memory")
    if !rom.isEmpty { configuration.addROM(rom, name: "rom") }
  }

  public func configurationWritten(at offset: Int, width: Int) { follow() }

  private func follow() { vga.setLinearAddress(configuration.mapped[0x10]) }

  public func reset(_ kind: ResetKind) {
    configuration.reset()
    follow()
  }

  public func save(to writer: inout StateWriter) { configuration.save(to: &writer) }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    try configuration.restore(from: &reader)
    follow()
  }

  public func inspect() -> [Field] { configuration.inspect() }
}

extension VGA {
  /// The option of a part that has some of these sizes.
  /// - Parameter standard: what is usual.
  static func vramOption(_ megabytes: [Int], standard: Int) -> PartOption {
    PartOption(
      "vram", .choice([""] + megabytes.map(String.init)), "",
      "megabytes of memory; without it what --vram says, or else \(standard)")
  }

  /// The size that was chosen.
  /// - Throws: when what was said of the machine is none of a part's.
  static func megabytes(
    _ values: PartValues, _ board: Board, _ name: String, _ sizes: [Int], standard: Int
  ) throws -> Int {
    let size = Int(values["vram"]) ?? board.offered(DisplayChoice.self)?.megabytes ?? standard
    guard sizes.contains(size) else {
      let list = sizes.dropLast().map(String.init).joined(separator: ", ") + " or \(sizes.last!)"
      throw BoardError("\(name): it has \(list) MB of memory, not \(size)")
    }
    return size
  }
}

/// What the machine says of its adapter, for the part that is one.
public struct DisplayChoice: Sendable {
  /// Megabytes of video memory; nil: what is usual.
  public var megabytes: Int?
  /// The video BIOS, for an expansion ROM.
  public var rom: [UInt8]

  public init(megabytes: Int?, rom: [UInt8]) { (self.megabytes, self.rom) = (megabytes, rom) }
}
