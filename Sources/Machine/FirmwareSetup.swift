// What firmware finds when it starts: CMOS contents, ROMs in the map, and for other BIOSes the configuration port they ask.
//
// Owns: the layout of the CMOS as PC BIOSes expect it, where ROM images go. Must not know: what any BIOS does with them.
// Follows: IBM PC/AT Technical Reference (CMOS 10h-2Fh), QEMU's documented additions (34h, 35h, 38h, 3Dh, 5Bh-5Fh, fw_cfg).

import Bus
import CPU
import Chipset
import FirmwareImages
import Host
import State
import Storage

enum CMOSContents {
  /// Fills in what the machine consists of.
  static func fill(
    _ cmos: CMOS, configuration: MachineConfiguration, floppyTypes: [FloppyDriveType]
  ) {
    func word(_ index: UInt8, _ value: UInt32) {
      cmos[index] = UInt8(truncatingIfNeeded: value)
      cmos[index &+ 1] = UInt8(truncatingIfNeeded: value >> 8)
    }
    let kilobytes = UInt32(configuration.memoryMegabytes) << 10
    word(0x15, 640)
    let extended = min(kilobytes - 1024, 65535)
    word(0x17, extended)
    word(0x30, extended)
    word(0x34, kilobytes > 16384 ? min((kilobytes - 16384) >> 6, 65535) : 0)

    let types = floppyTypes + [.none, .none]
    cmos[0x10] = types[0].rawValue << 4 | types[1].rawValue
    let drives = types.prefix(2).filter { $0 != .none }.count
    // Coprocessor, PS/2 mouse, floppies, display by its own BIOS.
    cmos[0x14] = 0x06 | (drives == 0 ? 0 : 0x01 | UInt8(drives - 1) << 6)

    var hardDiskTypes: UInt8 = 0
    for (index, at) in [(0, UInt8(0x1B)), (1, 0x24)] {
      guard index < configuration.disks.count, let image = configuration.disks[index],
        case .disk(let geometry, let translated) = image.medium
      else { continue }
      hardDiskTypes |= index == 0 ? 0xF0 : 0x0F
      cmos[UInt8(0x19 + index)] = 47
      word(at, UInt32(geometry.cylinders))
      cmos[at + 2] = UInt8(truncatingIfNeeded: geometry.heads)
      word(at + 3, 0xFFFF)
      cmos[at + 5] = 0xC0 | (geometry.heads > 8 ? 8 : 0)
      word(at + 6, UInt32(geometry.cylinders))
      cmos[at + 8] = UInt8(truncatingIfNeeded: geometry.sectors)
      // Translation: 0 none, 1 LBA-assisted.
      if translated != geometry { cmos[0x39] |= 1 << UInt8(2 * index) }
    }
    cmos[0x12] = hardDiskTypes

    let codes = configuration.bootOrder.map(bootCode) + [0, 0, 0, 0]
    cmos[0x3D] = codes[0] | codes[1] << 4
    // Bit 0: a floppy's boot sector need not end in 55AA. Bits 1-3 are the own BIOS's: what comes fourth.
    cmos[0x38] = codes[2] << 4 | codes[3] << 1 | 1
    cmos[0x5F] = 0
    // AMI's options: A: before C:, full speed, both caches, quick A20.
    cmos[0x2D] = 0x1E | (configuration.bootOrder.first == .floppy ? 0x20 : 0)
    // 640 KB of base memory; the century where PS/2 models have it.
    cmos[0x33] = 0x80
    cmos[0x37] = cmos[0x32]
    cmos.updateChecksum()
  }

  private static func bootCode(_ device: BootDevice) -> UInt8 {
    switch device {
    case .floppy: 1
    case .disk: 2
    case .cd: 3
    case .network: 4
    }
  }
}

/// The ROMs of a machine.
enum FirmwareSetup {
  /// Puts all ROMs into the map.
  /// - Returns: the images that are RAM to the guest and must be put there again at every reset, and the port by which another
  ///   BIOS fetches option ROMs, if there is one.
  static func map(_ configuration: MachineConfiguration, memory: PhysicalMemory) throws
    -> (shadow: [(UInt32, [UInt8])], files: FirmwareConfigurationPort?)
  {
    let vgaBIOS = FirmwareImages.vgaBIOS
    var files: FirmwareConfigurationPort?
    var shadow: [(UInt32, [UInt8])] = []
    if let bios = configuration.bios {
      let sizes = [64, 128, 256].map { $0 << 10 }
      guard sizes.contains(bios.bytes.count) else {
        throw ConfigurationError(
          "\(bios.path): a BIOS has 64, 128 or 256 KB, but the file has \(bios.bytes.count) bytes")
      }
      try rom(bios.bytes, at: UInt32(truncatingIfNeeded: 0x1_0000_0000 - bios.bytes.count), memory)
      let low = Array(bios.bytes.suffix(128 << 10))
      // Such a BIOS unlocks and writes its own segment and puts option ROMs where it likes: C0000-FFFFF is RAM.
      shadow = [(0xC0000, vgaBIOS), (0x100000 - UInt32(low.count), low)]
      memory.setShadow(0xC0000...0xFFFFF, readRAM: true, writeRAM: true)
      let port = FirmwareConfigurationPort(configuration)
      port.add(file: "vgaroms/vgabios.bin", vgaBIOS)
      if configuration.kernel != nil {
        port.add(file: "genroms/kernelboot.bin", FirmwareImages.kernelBoot)
      }
      files = port
    } else {
      // Multiboot kernels made for emulators ask it for the number of processors.
      if configuration.kernel != nil { files = FirmwareConfigurationPort(configuration) }
      let bios = FirmwareImages.bios
      try rom(bios, at: 0xF0000, memory)
      try rom(bios, at: 0xFFFF_0000, memory)
      try rom(vgaBIOS, at: 0xC0000, memory)
      if configuration.kernel != nil { try rom(FirmwareImages.kernelBoot, at: 0xCF000, memory) }
    }
    for extra in configuration.roms {
      try check(extra, configuration)
      try rom(extra.file.bytes, at: extra.address, memory)
    }
    return (shadow, files)
  }

  private static func rom(_ bytes: [UInt8], at address: UInt32, _ memory: PhysicalMemory) throws {
    try memory.mapROM(bytes, at: address)
  }

  private static func check(_ extra: MachineROM, _ configuration: MachineConfiguration) throws {
    let count = extra.file.bytes.count
    let start = UInt64(extra.address)
    func refuse(_ reason: String) -> ConfigurationError {
      ConfigurationError("\(extra.file.path): \(reason)")
    }
    if count == 0 { throw refuse("the file is empty") }
    if start & 0xFFF != 0 {
      throw refuse("a ROM's address is a multiple of 1000h, which \(hexText(start)) is not")
    }
    let end = start + UInt64(count)
    if end > 1 << 32 {
      throw refuse("a ROM of \(count) bytes at \(hexText(start)) ends beyond 4 GB")
    }
    let ram = UInt64(configuration.memoryMegabytes) << 20
    if start < 0xA0000 || (start < ram && end > 0x100000) {
      throw refuse("a ROM of \(count) bytes at \(hexText(start)) would hide the guest's memory")
    }
    if start < 0xC0000 { throw refuse("a ROM at \(hexText(start)) would hide the video memory") }
  }
}

/// A small part of the configuration interface that SeaBIOS looks for: a selector and a byte-wise data port.
///
///   510h  write (16 bits): item          511h  read: the item's next byte
final class FirmwareConfigurationPort: Device, Registers {
  let stateName = "fw-cfg"
  private var items: [UInt16: [UInt8]] = [:]
  private var files: [(name: String, item: UInt16, size: Int)] = []
  private var selected: UInt16 = 0
  /// The next byte of the item.
  private var next: UInt32 = 0

  init(_ configuration: MachineConfiguration) {
    items[0x00] = Array("QEMU".utf8)
    items[0x01] = [1, 0, 0, 0]
    var size = UInt64(configuration.memoryMegabytes) << 20
    items[0x03] = withUnsafeBytes(of: &size) { Array($0) }
    items[0x05] = [1, 0]
    items[0x0F] = [1, 0]
    // Show the boot menu's prompt.
    items[0x0E] = [1, 0]
    updateDirectory()
  }

  func add(file name: String, _ bytes: [UInt8]) {
    let item = UInt16(0x20 + files.count)
    items[item] = bytes
    files.append((name, item, bytes.count))
    updateDirectory()
  }

  private func updateDirectory() {
    func big(_ value: Int, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * (count - 1 - $0))) }
    }
    var bytes = big(files.count, 4)
    for file in files {
      bytes += big(file.size, 4) + big(Int(file.item), 2) + [0, 0]
      let name = Array(file.name.utf8.prefix(55))
      bytes += name + [UInt8](repeating: 0, count: 56 - name.count)
    }
    items[0x19] = bytes
  }

  func read(at offset: UInt32, width: Int) -> UInt32 {
    if offset != 1 { return 0xFFFF }
    let item = items[selected] ?? []
    if Int(next) >= item.count { return 0 }
    next &+= 1
    return UInt32(item[Int(next) - 1])
  }

  func write(at offset: UInt32, _ value: UInt32, width: Int) {
    if offset == 0 && width == 2 {
      selected = UInt16(truncatingIfNeeded: value)
      next = 0
    }
  }

  func reset(_ kind: ResetKind) {
    selected = 0
    next = 0
  }
  func save(to writer: inout StateWriter) {
    writer.write(selected)
    writer.write(next)
  }
  func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    selected = try reader.read()
    next = try reader.read()
  }
}

extension FirmwareConfigurationPort {
  /// Offsets: 0 the selector, 1 the data.
  static let part = PartType(
    "fw-cfg", "ports 510h and 511h, where another BIOS asks for the configuration"
  ) {
    board, _ in
    let port = try board.need(offer: FirmwareConfigurationPort.self, for: "fw-cfg")
    try board.claim(
      port, at: 0x510...0x510, PortTraits(maxWidth: 2, isSlow: false), owner: port.stateName)
    try board.claim(port, at: 0x511...0x511, offset: 1, .quick, owner: port.stateName)
    try board.add(port)
  }

  func inspect() -> [Field] { [.register("item", selected), .count("offset", next)] }
}
