// The adapter that Bochs and QEMU call "std": a VGA with the display interface, on PCI or ISA.
//
// Owns: its place on a board, its PCI function, its registers in memory. Must not know: registers' meaning.
// Follows: QEMU's documentation (standard-vga) for identities and the layout of the second range; PCI Local Bus Specification 2.1.
//
//   range 0  linear memory      range 2  4 KiB: 000h EDID, 400h ports 3C0h-3DFh, 500h display interface,
//                                        600h: number of bytes of the registers from here on, 604h: byte order
//   On an ISA board linear memory is at E0000000h, as Bochs has it.

import Bus
import State

/// The PCI function, 1234:1111.
public final class StandardAdapter: PCIFunction {
  public let stateName = "vga-pci"
  public let configuration: PCIConfiguration
  private let vga: VGA

  /// - Parameter rom: the video BIOS, or nothing.
  init(_ vga: VGA, rom: [UInt8]) {
    self.vga = vga
    var identity = PCIIdentity(vendor: 0x1234, device: 0x1111, revision: 2, classCode: 0x030000)
    identity.subsystemVendor = 0x1AF4
    identity.subsystem = 0x1100
    identity.commandMask = 0x0103
    configuration = PCIConfiguration(identity)
    configuration.addBAR(
      0, .memory(size: UInt32(vga.videoMemorySize), prefetchable: true), LinearMemoryFile(vga),
      name: "memory")
    configuration.addBAR(
      2, .memory(size: 4096), StandardRegisters(vga), name: "registers")
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

/// Linear memory as the bus has it, where it is not plain bytes.
final class LinearMemoryFile: RegisterFile {
  private unowned let vga: VGA
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
  private unowned let vga: VGA
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
  static let vramOption = PartOption(
    "vram", .choice(["", "1", "2", "4", "8", "16", "32"]), "",
    "megabytes of memory; nothing: what the machine was told, or what is usual")

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

  /// Beyond a VGA: 4 to 32 MB. On a board with PCI it has a function there.
  public static let standardPart = PartType(
    "vga-std", "VGA with Bochs' display interface and linear memory", options: [vramOption]
  ) { board, values in
    let chosen = board.offered(DisplayChoice.self)
    let size = Int(values["vram"]) ?? chosen?.megabytes ?? 16
    guard [4, 8, 16, 32].contains(size) else {
      throw BoardError("vga-std: it has 4, 8, 16 or 32 MB of memory, not \(size)")
    }
    let vga = VGA(clock: board.clock, memorySize: size << 20, extensions: .displayInterface)
    try board.claim(
      DisplayPorts(vga), at: 0x1CE...0x1D0, PortTraits(maxWidth: 2, isSlow: false),
      owner: vga.stateName)
    try vga.place(on: board)
    if let bus = board.offered(PCIBus.self) {
      try bus.add(StandardAdapter(vga, rom: chosen?.rom ?? []), slot: nil)
    } else {
      _ = board.memory.map(
        LinearMemoryFile(vga), at: 0xE000_0000, count: UInt64(vga.videoMemorySize),
        isMemory: false, priority: -1)
      vga.setLinearAddress(0xE000_0000)
    }
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
