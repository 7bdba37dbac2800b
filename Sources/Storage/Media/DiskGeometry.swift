// Cylinders, heads and sectors of hard disks.
//
// Owns: what a partition table says about the geometry, the standard geometry and the BIOS translation.
// Must not know: controllers, files. After: ATA-6 annex on CHS, the LBA-assisted translation of the Phoenix EDD paper.

/// A hard disk's cylinders, heads and sectors per track.
public struct DiskGeometry: Equatable, Sendable, CustomStringConvertible {
  /// 1...65535.
  public var cylinders: Int
  /// 1...255 (1...16 for what a drive itself reports).
  public var heads: Int
  /// 1...63.
  public var sectors: Int

  public init(cylinders: Int, heads: Int, sectors: Int) {
    self.cylinders = cylinders
    self.heads = heads
    self.sectors = sectors
  }

  public var description: String { "\(cylinders) cylinders, \(heads) heads, \(sectors) sectors" }

  /// As many cylinders as fit, at least 1 and at most `limit`.
  static func fitting(_ total: UInt64, heads: Int, sectors: Int, limit: Int) -> DiskGeometry {
    let cylinders = total / UInt64(heads * sectors)
    return DiskGeometry(
      cylinders: Int(min(max(cylinders, 1), UInt64(limit))), heads: heads, sectors: sectors)
  }

  /// What a drive of this size reports: 16 heads, 63 sectors, at most 16383 cylinders.
  public static func standard(sectorCount: UInt64) -> DiskGeometry {
    fitting(sectorCount, heads: 16, sectors: 63, limit: 16383)
  }

  /// The geometry the BIOS shows for a drive of this size (LBA-assisted translation, at most 1024 cylinders).
  public static func lbaAssisted(sectorCount: UInt64) -> DiskGeometry {
    let heads = [16, 32, 64, 128].first { sectorCount <= UInt64(1024 * 63 * $0) } ?? 255
    return fitting(sectorCount, heads: heads, sectors: 63, limit: 1024)
  }
}

/// An entry of a partition table in use.
struct PartitionEntry {
  var index: Int
  var type: UInt8
  var start: UInt64
  var count: UInt64
  var startCHS: (cylinder: Int, head: Int, sector: Int)
  var endCHS: (cylinder: Int, head: Int, sector: Int)
}

/// A master boot record.
struct MasterBootRecord {
  /// The entries in use.
  let partitions: [PartitionEntry]

  /// Reads a partition table; nil when the sector holds none: no signature, no entry in use, or entries that no
  /// partition table has (which are then boot code).
  init?(sector: [UInt8]) {
    guard sector.count >= 512, sector[510] == 0x55, sector[511] == 0xAA else { return nil }
    var found: [PartitionEntry] = []
    for index in 0..<4 {
      let entry = Array(sector[446 + index * 16..<462 + index * 16])
      if entry[0] != 0 && entry[0] != 0x80 { return nil }
      if entry[4] == 0 { continue }
      let start = UInt64(little32(entry, 8))
      let count = UInt64(little32(entry, 12))
      if count == 0 { return nil }
      found.append(
        PartitionEntry(
          index: index + 1, type: entry[4], start: start, count: count,
          startCHS: MasterBootRecord.chs(entry, 1), endCHS: MasterBootRecord.chs(entry, 5)))
    }
    if found.isEmpty { return nil }
    partitions = found
  }

  private static func chs(_ entry: [UInt8], _ at: Int) -> (Int, Int, Int) {
    (
      Int(entry[at + 2]) | Int(entry[at + 1] & 0xC0) << 2, Int(entry[at]), Int(entry[at + 1] & 0x3F)
    )
  }

  /// The heads and sectors per track with which the entries' CHS and LBA values all agree.
  func headsAndSectors() -> (heads: Int, sectors: Int)? {
    var candidates: [(Int, Int)] = []
    for partition in partitions where partition.endCHS.sector > 0 && partition.endCHS.head < 255 {
      candidates.append((partition.endCHS.head + 1, partition.endCHS.sector))
    }
    candidates += [(255, 63), (16, 63), (128, 63), (64, 63), (32, 63), (64, 32)]
    return candidates.first { agrees(heads: $0.0, sectors: $0.1) }
  }

  private func agrees(heads: Int, sectors: Int) -> Bool {
    var proofs = 0
    for partition in partitions {
      let ends = [
        (partition.startCHS, partition.start),
        (partition.endCHS, partition.start + partition.count - 1),
      ]
      for (chs, lba) in ends {
        // The highest cylinder number also stands for "beyond what CHS can say".
        if chs.cylinder >= 1023 {
          if chs.head >= heads || chs.sector > sectors { return false }
          continue
        }
        guard chs.sector >= 1, chs.sector <= sectors, chs.head < heads else { return false }
        let value = (chs.cylinder * heads + chs.head) * sectors + chs.sector - 1
        if UInt64(value) != lba { return false }
        // An address in the first track agrees with any geometry.
        if chs.cylinder > 0 || chs.head > 0 { proofs += 1 }
      }
    }
    return proofs > 0
  }
}

/// A boot sector, whatever it boots.
enum BootSector {
  /// Whether a sector has the signature that a BIOS looks for.
  static func isSigned(_ sector: [UInt8]) -> Bool {
    sector.count >= 512 && sector[510] == 0x55 && sector[511] == 0xAA
  }
}

/// The BIOS parameter block of a FAT boot sector.
struct BIOSParameterBlock {
  let totalSectors: UInt64
  let sectorsPerTrack: Int
  let heads: Int
  let media: UInt8

  /// Reads the block; nil when its fields contradict what FAT demands.
  init?(sector: [UInt8]) {
    guard sector.count >= 512 else { return nil }
    let cluster = sector[13]
    guard little16(sector, 11) == 512, cluster != 0, cluster & (cluster &- 1) == 0,
      little16(sector, 14) > 0, (1...2).contains(sector[16]),
      sector[21] == 0xF0 || sector[21] >= 0xF8
    else { return nil }
    let small = UInt64(little16(sector, 19))
    totalSectors = small != 0 ? small : UInt64(little32(sector, 32))
    sectorsPerTrack = Int(little16(sector, 24))
    heads = Int(little16(sector, 26))
    media = sector[21]
    guard totalSectors > 0, (1...63).contains(sectorsPerTrack), (1...255).contains(heads) else {
      return nil
    }
  }
}

func little16(_ bytes: [UInt8], _ at: Int) -> UInt16 {
  UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8
}

func little32(_ bytes: [UInt8], _ at: Int) -> UInt32 {
  UInt32(little16(bytes, at)) | UInt32(little16(bytes, at + 2)) << 16
}
