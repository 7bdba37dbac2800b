// A card with a Cirrus Logic CL-GD5446 on PCI.
//
// Owns: its place on a board, its PCI function. Must not know: registers' meaning (Cirrus/).
// Follows: Cirrus Logic CL-GD5446 Technical Reference Manual, chapter "PCI Configuration Registers".
//
//   range 0  32 MB: linear memory in three byte orders, from 16 MB on data of BitBLTs      range 1  4 KiB: registers of the BitBLT

import Bus
import State

/// The PCI function, 1013:00B8.
public final class CirrusAdapter: PCIFunction {
  public let stateName = "cirrus-pci"
  public let configuration: PCIConfiguration
  private let vga: VGA

  /// - Parameter rom: the video BIOS, or nothing.
  init(_ vga: VGA, rom: [UInt8]) {
    self.vga = vga
    var identity = PCIIdentity(vendor: 0x1013, device: 0x00B8, classCode: 0x030000)
    identity.commandMask = 0x0103
    configuration = PCIConfiguration(identity)
    configuration.addBAR(
      0, .memory(size: 32 << 20, prefetchable: true), LinearMemoryFile(vga), name: "memory")
    configuration.addBAR(1, .memory(size: 4096), BlitterRegisters(vga), name: "registers")
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

/// The second range: 256 bytes again and again.
private final class BlitterRegisters: RegisterFile {
  private unowned let vga: VGA
  init(_ vga: VGA) { self.vga = vga }
  override func read(_ offset: UInt32, _ width: Int) -> UInt32 {
    vga.cirrus?.readRegisters(Int(offset & 0xFF), width) ?? UInt32.max
  }
  override func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {
    vga.cirrus?.writeRegisters(Int(offset & 0xFF), value, width)
  }
}

extension VGA {
  /// 1 to 4 MB, on a board with PCI.
  public static let cirrusPart = PartType(
    "cirrus", "Cirrus Logic CL-GD5446 with BitBLT, on PCI", options: [vramOption]
  ) { board, values in
    let chosen = board.offered(DisplayChoice.self)
    let size = Int(values["vram"]) ?? chosen?.megabytes ?? 4
    guard [1, 2, 4].contains(size) else {
      throw BoardError("cirrus: it has 1, 2 or 4 MB of memory, not \(size)")
    }
    let bus = try board.need(offer: PCIBus.self, for: "cirrus")
    let vga = VGA(clock: board.clock, memorySize: size << 20, extensions: .cirrus)
    try vga.place(on: board)
    try bus.add(CirrusAdapter(vga, rom: chosen?.rom ?? []), slot: nil)
  }
}
