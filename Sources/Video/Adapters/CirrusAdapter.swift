// A card with a Cirrus Logic CL-GD5446 on PCI.
//
// Owns: its place on a board, its PCI function. Must not know: registers' meaning (Cirrus/).
// Follows: Cirrus Logic CL-GD5446 Technical Reference Manual, chapter "PCI Configuration Registers".
//
//   range 0  32 MB: linear memory in three byte orders, from 16 MB on data of BitBLTs      range 1  4 KiB: 000h ports 3C0h-3DFh,
//                                                                                      100h registers of the BitBLT

import Bus

/// The PCI function, 1013:00B8.
public final class CirrusAdapter: VGAFunction {
  init(_ vga: VGA, rom: [UInt8]) {
    super.init(
      "cirrus-pci", PCIIdentity(vendor: 0x1013, device: 0x00B8, classCode: 0x030000), vga,
      size: 32 << 20, rom: rom)
    configuration.addBAR(1, .memory(size: 4096), CirrusRegisterFile(vga), name: "registers")
  }
}

/// The second range. The driver of X reaches all registers there.
final class CirrusRegisterFile: RegisterFile {
  /// Without reference counting: both are the board's.
  private unowned(unsafe) let vga: VGA
  init(_ vga: VGA) { self.vga = vga }
  override func read(_ offset: UInt32, _ width: Int) -> UInt32 {
    switch offset {
    case 0..<0x20: vga.read(at: offset + 0x10, width: width)
    case 0x100..<0x200: vga.cirrus?.readRegisters(Int(offset & 0xFF), width) ?? UInt32.max
    default: UInt32.max
    }
  }
  override func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {
    switch offset {
    case 0..<0x20: vga.write(at: offset + 0x10, value, width: width)
    case 0x100..<0x200: vga.cirrus?.writeRegisters(Int(offset & 0xFF), value, width)
    default: break
    }
  }
}

extension VGA {
  /// Megabytes that a CL-GD5446 can have.
  public static let cirrusSizes = [1, 2, 4]

  /// On a board with PCI.
  public static let cirrusPart = PartType(
    "cirrus", "Cirrus Logic CL-GD5446 with BitBLT, on PCI",
    options: [vramOption(cirrusSizes, standard: 4)]
  ) { board, values in
    let size = try megabytes(values, board, "cirrus", cirrusSizes, standard: 4)
    let bus = try board.need(offer: PCIBus.self, for: "cirrus")
    let vga = VGA(clock: board.clock, memorySize: size << 20, extensions: .cirrus)
    try vga.place(on: board)
    let rom = board.offered(DisplayChoice.self)?.rom ?? []
    try bus.add(CirrusAdapter(vga, rom: rom), slot: nil)
  }
}
