// What firmware is told of the machine by `FirmwareConfiguration`.
//
// Owns: the items and files that a PC's firmware asks for. Must not know: how they are fetched, what firmware does with them.
// Follows: QEMU's docs/specs/fw_cfg, SeaBIOS's Runtime_config page (names and formats of files), Open Firmware's device paths.

import Bus
import CPU
import Chipset
import FirmwareImages
import Video

/// A file that firmware finds.
public struct FirmwareFile: Equatable, Sendable {
  /// Up to 55 bytes; those of users begin with "opt/".
  public var name: String
  public var bytes: [UInt8]

  public init(name: String, bytes: [UInt8]) { (self.name, self.bytes) = (name, bytes) }
}

enum FirmwareFiles {
  /// Numbers of items.
  private enum Item {
    static let signature: UInt16 = 0x00
    static let revision: UInt16 = 0x01
    static let identity: UInt16 = 0x02
    static let ramSize: UInt16 = 0x03
    static let hasNoDisplay: UInt16 = 0x04
    static let processors: UInt16 = 0x05
    static let nodes: UInt16 = 0x0D
    static let bootMenu: UInt16 = 0x0E
    static let mostProcessors: UInt16 = 0x0F
    static let timerOverride: UInt16 = 0x8002
  }

  /// Everything that firmware can ask for.
  /// - Throws: `ConfigurationError` for a file of the user's that cannot be.
  static func items(_ configuration: MachineConfiguration, board: Board, processors: [CPUModel])
    throws -> FirmwareItems
  {
    let ram = configuration.memoryLayout.ranges
    let count = UInt16(processors.count)
    var items = FirmwareItems()
    items.set(Item.signature, Array("QEMU".utf8))
    // The ports, and requests in memory.
    items.set(Item.revision, UInt32(3))
    items.set(Item.identity, [UInt8](repeating: 0, count: 16))
    items.set(Item.ramSize, ram.reduce(0) { $0 + UInt64($1.count) })
    items.set(Item.hasNoDisplay, UInt16(configuration.display == .none ? 1 : 0))
    items.set(Item.processors, count)
    items.set(Item.mostProcessors, count)
    // No nodes: a count, and for each processor its node.
    items.set(Item.nodes, [UInt8](repeating: 0, count: 8 * (1 + Int(count))))
    items.set(Item.bootMenu, UInt16(configuration.offersBootMenu ? 1 : 0))
    // IRQ 0 is at the I/O APIC's input 2.
    if board.first(IOAPIC.self) != nil { items.set(Item.timerOverride, UInt32(1)) }

    func add(_ name: String, _ bytes: [UInt8]) { items.add(.init(name, bytes)) }
    add("etc/e820", memoryMap(ram))
    let tables = SMBIOSTables(ram: ram, processors: processors)
    add("etc/smbios/smbios-tables", tables.bytes)
    add("etc/smbios/smbios-anchor", tables.anchor)
    if configuration.acpiRevision != .off, board.first(PIIX4PM.self) != nil {
      let facts = ACPIFacts(configuration, board, processors: processors.count)
      for file in ACPITables(facts).files { items.add(file) }
    }
    // S0 and S5 are there; of S3 and S4 only the values of their sleep type.
    add("etc/system-states", [0x80, 0x00, 0x00, 0x01, 0x02, 0x80])
    // Without a bootable disk there is nothing to gain from starting again.
    add("etc/boot-fail-wait", FirmwareItems.bytes(UInt32.max))
    add("etc/show-boot-menu", FirmwareItems.bytes(UInt16(configuration.offersBootMenu ? 1 : 0)))
    // In milliseconds, as long as the own BIOS waits.
    add("etc/boot-menu-wait", FirmwareItems.bytes(UInt16(1000)))
    let video = configuration.videoROM
    // Where the adapter has it as an expansion ROM that names it, there it is found.
    let functions: [any PCIFunction] =
      board.all(StandardAdapter.self) + board.all(CirrusAdapter.self)
    let isExpansion = functions.contains {
      MachineConfiguration.isROM(
        video, of: $0.configuration[word: 0], $0.configuration[word: 2])
    }
    if !video.isEmpty && !isExpansion { add("vgaroms/vgabios.bin", video) }
    if configuration.kernel != nil { add("genroms/kernelboot.bin", FirmwareImages.kernelBoot) }
    add("bootorder", bootOrder(configuration, board))

    for file in configuration.firmwareFiles {
      if !items.add(.init(file.name, file.bytes)) {
        throw ConfigurationError(
          "the firmware's file '\(file.name)': a name has 1 to \(FirmwareItems.longestName) bytes, and there are at most "
            + "\(FirmwareItems.mostFiles) files of less than 2 GB")
      }
    }
    return items
  }

  /// Address, size (64 bits each) and type (32 bits; 1: RAM) of each range, as INT 15h/E820h has them.
  private static func memoryMap(_ ram: [Range<UInt64>]) -> [UInt8] {
    ram.flatMap {
      FirmwareItems.bytes($0.lowerBound) + FirmwareItems.bytes(UInt64($0.count))
        + FirmwareItems.bytes(UInt32(1))
    }
  }

  /// Device paths, a line each, first things first; all of them are ended by a 0.
  private static func bootOrder(_ configuration: MachineConfiguration, _ board: Board) -> [UInt8] {
    var lines: [String] = []
    if configuration.kernel != nil { lines.append("/rom@genroms/kernelboot.bin") }
    for device in configuration.bootOrder {
      switch device.rawValue {
      case "a": lines += board.sockets(.floppy).map { floppyPath($0.unit) }
      case "c":
        lines += drivePaths(.disk, board) {
          $0 < configuration.disks.count && configuration.disks[$0] != nil
        }
      case "d":
        lines += drivePaths(.cd, board) {
          $0 < configuration.cds.count && configuration.cds[$0] != nil
        }
      default: break
      }
    }
    return Array(lines.joined(separator: "\n").utf8) + [0]
  }

  private static func floppyPath(_ unit: Int) -> String {
    "/pci@i0cf8/isa@1/fdc@03f0/floppy@\(unit)"
  }

  /// Drives on the first two channels, which are the PIIX3's function 1.
  /// - Parameter isThere: whether the place of a number has a drive.
  private static func drivePaths(
    _ kind: Socket.Kind, _ board: Board, _ isThere: (Int) -> Bool
  ) -> [String] {
    let channels = board.all(IDEChannel.self).prefix(2).map(\.stateName)
    return board.sockets(kind).enumerated().compactMap { n, socket in
      guard isThere(n), let channel = channels.firstIndex(of: socket.controller) else { return nil }
      return "/pci@i0cf8/ide@1,1/drive@\(channel)/disk@\(socket.unit)"
    }
  }
}
