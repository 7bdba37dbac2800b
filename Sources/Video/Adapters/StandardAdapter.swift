// The adapter that Bochs and QEMU call "std": a VGA with the display interface, on PCI or ISA.
//
// Owns: its place on a board, its PCI function, its registers in memory. Must not know: registers' meaning.
// Follows: QEMU's documentation (standard-vga) for identities and the layout of the second range; PCI Local Bus Specification 2.1.
//
//   range 0  linear memory      range 2  4 KiB: 000h EDID, 400h ports 3C0h-3DFh, 500h display interface,
//                                        600h: number of bytes of the registers from here on, 604h: byte order
//   On an ISA board linear memory is at E0000000h, as Bochs has it.

import Bus

/// The PCI function, 1234:1111.
public final class StandardAdapter: VGAFunction {
  init(_ vga: VGA, rom: [UInt8]) {
    super.init(
      "vga-pci", PCIIdentity(vendor: 0x1234, device: 0x1111, revision: 2, classCode: 0x030000),
      vga, size: UInt32(vga.videoMemorySize), rom: rom)
    configuration.addBAR(2, .memory(size: 4096), StandardRegisters(vga), name: "registers")
  }
}

/// Linear memory as the bus has it, where it is not plain bytes.
final class LinearMemoryFile: RegisterFile {
  /// Without reference counting: both are the board's.
  private unowned(unsafe) let vga: VGA
  init(_ vga: VGA) { self.vga = vga }

  override func read(_ offset: UInt32, _ width: Int) -> UInt32 {
    vga.readLinear(Int(offset), width)
  }
  override func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {
    vga.writeLinear(Int(offset), value, width)
  }
}

extension VGA {
  /// Reads 1, 2 or 4 bytes of memory; it repeats beyond its end.
  func readLinear(_ offset: Int, _ width: Int) -> UInt32 {
    if let cirrus { return cirrus.readLinear(offset, width) }
    var value: UInt32 = 0
    for n in 0..<width {
      let byte = video.base.load(
        fromByteOffset: (offset &+ n) & (video.size &- 1), as: UInt8.self)
      value |= UInt32(byte) << UInt32(8 * n)
    }
    return value
  }

  func writeLinear(_ offset: Int, _ value: UInt32, _ width: Int) {
    if let cirrus { return cirrus.writeLinear(offset, value, width) }
    generation &+= 1
    video.note(offset, width)
    for n in 0..<width {
      video.base.storeBytes(
        of: UInt8(truncatingIfNeeded: value >> UInt32(8 * n)),
        toByteOffset: (offset &+ n) & (video.size &- 1), as: UInt8.self)
    }
  }
}

/// The second range.
private final class StandardRegisters: RegisterFile {
  /// Without reference counting: both are the board's.
  private unowned(unsafe) let vga: VGA
  init(_ vga: VGA) { self.vga = vga }
  private static let littleEndian: UInt32 = 0x1E1E_1E1E

  override func read(_ offset: UInt32, _ width: Int) -> UInt32 {
    switch offset {
    case 0x400..<0x420: return vga.read(at: offset - 0x400 + 0x10, width: width)
    case 0x500..<0x516: return read(vga.readDisplay(Int(offset - 0x500) / 2), offset, width)
    case 0x600, 0x604:
      let value = offset == 0x600 ? 8 : StandardRegisters.littleEndian
      return width == 4 ? value : value & (1 << UInt32(8 * width) - 1)
    default:
      var value: UInt32 = 0
      for n in 0..<width where Int(offset) + n < EDID.block.count {
        value |= UInt32(EDID.block[Int(offset) + n]) << UInt32(8 * n)
      }
      return value
    }
  }

  /// The registers have sixteen bits.
  private func read(_ value: UInt16, _ offset: UInt32, _ width: Int) -> UInt32 {
    switch width {
    case 1: return UInt32(offset & 1 == 0 ? value & 0xFF : value >> 8)
    case 2: return UInt32(value)
    default:
      return UInt32(value) | UInt32(vga.readDisplay(Int(offset - 0x500) / 2 + 1)) << 16
    }
  }

  override func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {
    switch offset {
    case 0x400..<0x420: vga.write(at: offset - 0x400 + 0x10, value, width: width)
    case 0x500..<0x516:
      // Bytes are none of its accesses.
      if width == 1 { return }
      let n = Int(offset - 0x500) / 2
      vga.writeDisplay(n, UInt16(truncatingIfNeeded: value))
      if width == 4 { vga.writeDisplay(n + 1, UInt16(value >> 16)) }
    // The byte order is always this one.
    default: break
    }
  }
}

extension VGA {
  /// Puts ports and the window at A0000h on a board.
  /// - Parameter offsets: see `part`.
  func place(on board: Board) throws {
    for (ports, offset): (ClosedRange<UInt16>, UInt32) in [
      (0x3B0...0x3BB, 0x00), (0x3C0...0x3DF, 0x10), (0x46E8...0x46E8, 0x30),
    ] {
      try board.claim(self, at: ports, offset: offset, .quick, owner: stateName)
    }
    mapping = board.memory.map(aperture, at: 0xA0000, count: 0x20000, isMemory: true, priority: 0)
    if cirrus != nil {
      let file = OverlayFile(self)
      setOverlay = { [unowned self, memory = board.memory] isWanted in
        if let overlayMapping { memory.unmap(overlayMapping) }
        overlayMapping =
          isWanted
          ? memory.map(file, at: 0xA0000, count: 0x20000, isMemory: false, priority: 1) : nil
      }
    }
    try board.add(self)
  }

  /// Megabytes that the adapter with Bochs' display interface can have.
  public static let standardSizes = [4, 8, 16, 32]

  /// On a board with PCI it has a function there.
  public static let standardPart = PartType(
    "vga-std", "VGA with Bochs' display interface and linear memory",
    options: [vramOption(standardSizes, standard: 16)]
  ) { board, values in
    let size = try megabytes(values, board, "vga-std", standardSizes, standard: 16)
    let vga = VGA(clock: board.clock, memorySize: size << 20, extensions: .displayInterface)
    try board.claim(
      DisplayPorts(vga), at: 0x1CE...0x1D0, PortTraits(maxWidth: 2, isSlow: false),
      owner: vga.stateName)
    try vga.place(on: board)
    if let bus = board.offered(PCIBus.self) {
      let rom = board.offered(DisplayChoice.self)?.rom ?? []
      try bus.add(StandardAdapter(vga, rom: rom), slot: nil)
    } else {
      _ = board.memory.map(
        LinearMemoryFile(vga), at: 0xE000_0000, count: UInt64(vga.videoMemorySize),
        isMemory: false, priority: -1)
      vga.setLinearAddress(0xE000_0000)
    }
  }
}
