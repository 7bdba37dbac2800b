// What firmware finds when it starts: CMOS contents, ROMs in the map. What it can ask for is in Firmware/.
//
// Owns: the layout of the CMOS as PC BIOSes expect it, where ROM images go. Must not know: what any BIOS does with them.
// Follows: IBM PC/AT Technical Reference (CMOS 10h-2Fh), QEMU's documented additions (34h, 35h, 38h, 3Dh, 5Bh-5Fh).

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
    let layout = configuration.memoryLayout
    let kilobytes = UInt32(layout.low >> 10)
    word(0x15, 640)
    let extended = min(kilobytes - 1024, 65535)
    word(0x17, extended)
    word(0x30, extended)
    word(0x34, kilobytes > 16384 ? min((kilobytes - 16384) >> 6, 65535) : 0)
    // From 4 GiB on, in 64 KiB, 24 bits.
    let high = UInt32(layout.high >> 16)
    word(0x5B, high)
    cmos[0x5D] = UInt8(truncatingIfNeeded: high >> 16)

    let types = floppyTypes + [.none, .none]
    cmos[0x10] = types[0].rawValue << 4 | types[1].rawValue
    let drives = types.prefix(2).filter { $0 != .none }.count
    // Coprocessor, PS/2 mouse, floppies, display by its own BIOS.
    cmos[0x14] = 0x06 | (drives == 0 ? 0 : 0x01 | UInt8(drives - 1) << 6)

    var hardDiskTypes: UInt8 = 0
    for (index, at) in [(0, UInt8(0x1B)), (1, 0x24)] {
      guard index < configuration.disks.count, let image = configuration.disks[index],
        case .disk(let geometry, _) = image.medium
      else { continue }
      hardDiskTypes |= index == 0 ? 0xF0 : 0x0F
      cmos[UInt8(0x19 + index)] = 47
      word(at, UInt32(geometry.cylinders))
      cmos[at + 2] = UInt8(truncatingIfNeeded: geometry.heads)
      word(at + 3, 0xFFFF)
      cmos[at + 5] = 0xC0 | (geometry.heads > 8 ? 8 : 0)
      word(at + 6, UInt32(geometry.cylinders))
      cmos[at + 8] = UInt8(truncatingIfNeeded: geometry.sectors)
    }
    cmos[0x12] = hardDiskTypes
    // SeaBIOS looks here for the translation of all four: 0 none, 1 LBA-assisted. Cylinders alone that are beyond what a BIOS can say are
    // cut off without one: such a disk's partition table was written for its own heads.
    for (index, image) in configuration.disks.prefix(4).enumerated() {
      guard case .disk(let geometry, let translated)? = image?.medium else { continue }
      if (translated.heads, translated.sectors) != (geometry.heads, geometry.sectors) {
        cmos[0x39] |= 1 << UInt8(2 * index)
      }
    }

    let codes = configuration.bootOrder.map(bootCode) + [0, 0, 0, 0]
    cmos[0x3D] = codes[0] | codes[1] << 4
    // Bit 0: a floppy's boot sector need not end in 55AA. Bits 1-3 are the own BIOS's: what comes fourth.
    cmos[0x38] = codes[2] << 4 | codes[3] << 1 | 1
    // The own BIOS's: how long it waits for F12, in ticks of 55 ms.
    cmos[0x3C] = configuration.offersBootMenu ? 18 : 0
    cmos[0x5F] = UInt8(configuration.processorCount - 1)
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

/// How large firmware can be.
public enum FirmwareSize {
  /// BIOSes.
  static let small = [64, 128, 256].map { $0 << 10 }
  /// What boots by UEFI, whole pages, alone or with the flash memory below it.
  static let large = 512 << 10...Flash.mostBytes
  private static let page = 4096

  /// Whether an image of firmware can have so many bytes.
  public static func isPossible(_ count: Int) -> Bool {
    small.contains(count) || large.contains(count) && count % page == 0
  }
  /// What sizes there are, for messages.
  public static let words =
    "64, 128 or 256 KB (firmware for UEFI 512 KB to 8 MB, a multiple of 4 KB)"
}

extension MachineConfiguration {
  /// Whether the firmware is one of the larger ones.
  var hasLargeFirmware: Bool { (bios?.bytes.count ?? 0) >= FirmwareSize.large.lowerBound }

  /// Where the flash memory ends: the firmware's ROM begins there.
  var flashEnd: UInt64 {
    1 << 32 - UInt64(bios?.bytes.count ?? FirmwareImages.bios.count)
  }

  /// What goes into the board's flash memory.
  /// - Throws: `ConfigurationError` when it cannot be there.
  func checkFlash() throws {
    guard let flash else { return }
    let count = flash.device.byteCount
    guard count > 0, count % UInt64(Flash.blockSize) == 0 else {
      throw ConfigurationError(
        "\(flash.name): a flash memory has whole blocks of \(Flash.blockSize) bytes, but the image has \(count) bytes"
      )
    }
    let whole = count + (1 << 32 - flashEnd)
    if whole > UInt64(Flash.mostBytes) {
      throw ConfigurationError(
        "\(flash.name): firmware and flash memory together have at most \(Flash.mostBytes >> 20) MB, but these have "
          + "\(whole) bytes")
    }
  }
}

/// The ROMs of a machine.
enum FirmwareSetup {
  /// Puts all ROMs into the map.
  /// - Parameter hasShadowing: the board's bridge says which of C0000h-FFFFFh is RAM and which ROM.
  /// - Returns: the images that are RAM to the guest and must be put there again at every reset.
  static func map(
    _ configuration: MachineConfiguration, hasShadowing: Bool, memory: PhysicalMemory
  ) throws -> [(UInt32, [UInt8])] {
    let vgaBIOS = configuration.videoROM
    var shadow: [(UInt32, [UInt8])] = []
    if let bios = configuration.bios {
      guard FirmwareSize.isPossible(bios.bytes.count) else {
        throw ConfigurationError(
          "\(bios.path): a BIOS has \(FirmwareSize.words), but the file has \(bios.bytes.count) bytes"
        )
      }
      try rom(bios.bytes, at: UInt32(truncatingIfNeeded: 0x1_0000_0000 - bios.bytes.count), memory)
      if hasShadowing {
        // The 128 KiB below 1 MiB show the end of the ROM until the guest has shadowed it.
        let low = Array(bios.bytes.suffix(128 << 10))
        try rom(low, at: UInt32(0x100000 - low.count), memory)
        if configuration.vgaBIOS == nil, !vgaBIOS.isEmpty { try rom(vgaBIOS, at: 0xC0000, memory) }
        if configuration.kernel != nil {
          try rom(FirmwareImages.kernelBoot, at: kernelBootAddress, memory)
        }
      } else {
        // Such a BIOS unlocks and writes its own segment and puts option ROMs where it likes: C0000-FFFFF is RAM.
        let low = Array(bios.bytes.suffix(FirmwareSize.small[2]))
        shadow = [(UInt32(0x100000 - low.count), low)]
        if !vgaBIOS.isEmpty { shadow.append((0xC0000, vgaBIOS)) }
        if configuration.kernel != nil, vgaBIOS.count <= 0xF000 {
          shadow.append((kernelBootAddress, FirmwareImages.kernelBoot))
        }
        memory.setShadow(0xC0000...0xFFFFF, readRAM: true, writeRAM: true)
      }
    } else {
      let bios = FirmwareImages.bios
      try rom(bios, at: 0xF0000, memory)
      try rom(bios, at: 0xFFFF_0000, memory)
      if configuration.vgaBIOS == nil {
        if !vgaBIOS.isEmpty { try rom(vgaBIOS, at: 0xC0000, memory) }
      } else if !hasShadowing {
        // Others keep what they find out in their own segment. With PCI they are an expansion ROM, which the BIOS copies to RAM.
        shadow = [(0xC0000, vgaBIOS)]
        let end = 0xC0000 + UInt32((vgaBIOS.count + 0xFFF) & ~0xFFF)
        memory.setShadow(0xC0000...end - 1, readRAM: true, writeRAM: true)
      }
      if configuration.kernel != nil {
        try rom(FirmwareImages.kernelBoot, at: kernelBootAddress, memory)
      }
    }
    for extra in configuration.roms {
      try check(extra, configuration)
      try rom(extra.file.bytes, at: extra.address, memory)
    }
    return shadow
  }

  /// Where a BIOS that looks for option ROMs finds the one that starts a kernel; others get it as a file (`FirmwareFiles`).
  private static let kernelBootAddress: UInt32 = 0xCF000

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
    let ram = configuration.memoryLayout.low
    if start < 0xA0000 || (start < ram && end > 0x100000) {
      throw refuse("a ROM of \(count) bytes at \(hexText(start)) would hide the guest's memory")
    }
    if start < 0xC0000 { throw refuse("a ROM at \(hexText(start)) would hide the video memory") }
    if let flash = configuration.flash {
      let behind = configuration.flashEnd
      if start < behind, end > behind - flash.device.byteCount {
        throw refuse("a ROM of \(count) bytes at \(hexText(start)) would hide the flash memory")
      }
    }
  }
}

extension MachineConfiguration {
  /// The video BIOS, in an image whose size a ROM can have; nothing: there is no adapter.
  var videoROM: [UInt8] {
    if display == .none { return [] }
    guard let file = vgaBIOS else { return FirmwareImages.vgaBIOS }
    return file.bytes + [UInt8](repeating: 0xFF, count: (0 &- file.bytes.count) & 511)
  }

  /// Whether a video BIOS says by the structure of PCI ROMs that it belongs to an adapter: firmware finds it there.
  static func isROM(_ rom: [UInt8], of vendor: UInt16, _ device: UInt16) -> Bool {
    func word(_ n: Int) -> Int { n + 1 < rom.count ? Int(rom[n]) | Int(rom[n + 1]) << 8 : 0 }
    let at = word(0x18)
    return at + 8 <= rom.count && Array(rom[at..<at + 4]) == Array("PCIR".utf8)
      && word(at + 4) == Int(vendor) && word(at + 6) == Int(device)
  }
}
