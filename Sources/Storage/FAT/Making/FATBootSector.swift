// The boot sectors of new file systems and disks.
//
// Owns: their bytes, with code that says that nothing is to be started here. Must not know: files.
// After: Microsoft FAT specification 1.03, "Boot Sector and BPB", "FSInfo"; IBM PC partition tables.

enum FATBootSector {
  /// Real-mode code at any offset of 7C00h's sector: prints what follows it, waits for a key, starts again by INT 19h.
  ///
  ///   xor ax,ax / mov ds,ax / mov ss,ax / mov sp,7C00h / cld / mov si,TEXT
  ///   next: lodsb / test al,al / jz done / mov ah,0Eh / mov bx,7 / int 10h / jmp next
  ///   done: xor ax,ax / int 16h / int 19h
  static func code(at offset: Int, _ text: String) -> [UInt8] {
    let length = 34
    let place = 0x7C00 + offset + length
    let code: [UInt8] = [
      0x31, 0xC0, 0x8E, 0xD8, 0x8E, 0xD0, 0xBC, 0x00, 0x7C, 0xFC, 0xBE, UInt8(place & 0xFF),
      UInt8(place >> 8), 0xAC, 0x84, 0xC0, 0x74, 0x09, 0xB4, 0x0E, 0xBB, 0x07, 0x00, 0xCD, 0x10,
      0xEB, 0xF2, 0x31, 0xC0, 0xCD, 0x16, 0xCD, 0x19, 0xF4,
    ]
    return code + Array(text.utf8) + [0]
  }

  private static func word(_ value: Int) -> [UInt8] {
    [UInt8(value & 0xFF), UInt8(value >> 8 & 0xFF)]
  }
  private static func long(_ value: UInt64) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  static func bytes(_ measures: FATFormatter.Measures, _ wish: FATWish, total: UInt64) -> [UInt8] {
    let isBig = measures.kind == .fat32
    let floppy = wish.floppy
    let start = isBig ? 90 : 62
    var bytes: [UInt8] = [0xEB, UInt8(start - 2), 0x90] + Array("MSDOS5.0".utf8)
    bytes += word(512) + [UInt8(measures.sectorsPerCluster)] + word(measures.reserved) + [2]
    bytes += word(measures.rootEntries)
    let isSmall = total < 65536 && !isBig
    bytes += word(isSmall ? Int(total) : 0) + [floppy?.mediaDescriptor ?? 0xF8]
    bytes += word(isBig ? 0 : Int(measures.sectorsPerFAT))
    bytes += word(floppy?.sectors ?? wish.sectorsPerTrack) + word(floppy?.heads ?? wish.heads)
    bytes += long(wish.hiddenSectors) + long(isSmall ? 0 : total)
    if isBig {
      bytes += long(measures.sectorsPerFAT) + word(0) + word(0) + long(2) + word(1) + word(6)
      bytes += Array(repeating: 0, count: 12)
    }
    bytes += [floppy == nil ? 0x80 : 0, 0, 0x29] + long(UInt64(wish.serial))
    bytes += wish.label.flatMap { FATFormatter.labelBytes($0) } ?? Array("NO NAME    ".utf8)
    bytes += Array((measures.kind.name + "        ").utf8.prefix(8))
    bytes += code(at: start, "No system is on this disk. Change it and press a key.\r\n")
    bytes += Array(repeating: 0, count: 510 - bytes.count) + [0x55, 0xAA]
    return bytes
  }

  static func info(free: UInt32, next: UInt32) -> [UInt8] {
    var bytes = long(0x4161_5252) + Array(repeating: 0, count: 480) + long(0x6141_7272)
    bytes += long(UInt64(free)) + long(UInt64(next)) + Array(repeating: 0, count: 12)
    return bytes + long(0xAA55_0000)
  }
}

/// A new partition table with one partition.
public enum NewPartitionTable {
  /// The partition that fills a disk behind its first track or MiB.
  public static func wholeDisk(sectors: UInt64) -> (start: UInt64, count: UInt64)? {
    let start: UInt64 = sectors >= 16 << 11 ? 2048 : 63
    guard sectors > start + 64 else { return nil }
    return (start, min(sectors - start, UInt64(UInt32.max)))
  }

  /// The type that stands for a file system.
  public static func type(of kind: FATKind, count: UInt64, end: UInt64) -> UInt8 {
    // Beyond what cylinders can say, others use logical block addresses.
    let isFar = end > 1024 * 255 * 63
    switch kind {
    case .fat12: return 0x01
    case .fat16: return isFar ? 0x0E : count < 65536 ? 0x04 : 0x06
    case .fat32: return isFar ? 0x0C : 0x0B
    }
  }

  /// The sector.
  public static func sector(
    start: UInt64, count: UInt64, type: UInt8, heads: Int, sectorsPerTrack: Int, serial: UInt32
  ) -> [UInt8] {
    func address(_ sector: UInt64) -> [UInt8] {
      let (heads, sectors) = (UInt64(heads), UInt64(sectorsPerTrack))
      let cylinder = sector / (heads * sectors)
      if cylinder > 1023 { return [UInt8(heads - 1), UInt8(sectors) | 0xC0, 0xFF] }
      return [
        UInt8(sector / sectors % heads), UInt8(sector % sectors + 1) | UInt8(cylinder >> 2 & 0xC0),
        UInt8(cylinder & 0xFF),
      ]
    }
    func long(_ value: UInt64) -> [UInt8] {
      (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    var bytes = FATBootSector.code(
      at: 0, "No system can be started from this disk. Press a key.\r\n")
    bytes += Array(repeating: 0, count: 440 - bytes.count) + long(UInt64(serial)) + [0, 0]
    bytes += [0x80] + address(start) + [type] + address(start + count - 1) + long(start)
    bytes += long(count)
    return bytes + Array(repeating: 0, count: 48) + [0x55, 0xAA]
  }
}
