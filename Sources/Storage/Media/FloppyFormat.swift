// The floppy formats of the PC.
//
// Owns: the table of formats. Must not know: controllers, drives, files.
// After: IBM PC/AT technical references, ISO 8860 / 9529 (recording densities), the parameter tables of the 82077AA.

/// How a disk is geometrically laid out and recorded. All sectors have 512 bytes and are numbered from 1.
public struct FloppyFormat: Equatable, Sendable {
  /// How densely a track is recorded; together with the drive's speed it gives the data rate.
  public enum Density: UInt8, Sendable {
    /// 250 kbit/s at 300 rpm, 300 kbit/s at 360 rpm.
    case double
    /// 500 kbit/s.
    case high
    /// 1 Mbit/s.
    case extra
  }

  /// What people call it, as in "1.44 MB".
  public var name: String
  /// 1...86.
  public var cylinders: Int
  /// 1 or 2.
  public var heads: Int
  /// Sectors in a track, 1...63.
  public var sectors: Int
  public var density: Density
  /// Whether it is a 5.25 inch disk (otherwise 3.5 inch).
  public var isFiveInch: Bool
  /// Gap 3 between sectors in read and write commands.
  public var gap: UInt8
  /// Gap 3 for FORMAT TRACK.
  public var formatGap: UInt8
  /// The media descriptor byte of FAT.
  public var mediaDescriptor: UInt8

  /// How many sectors are recorded when the last cylinder is not complete, otherwise nil.
  public private(set) var incompleteCount: Int?

  /// The number of sectors on the disk; less than the geometry has room for where the last cylinder is not complete.
  public var sectorCount: Int { incompleteCount ?? cylinders * heads * sectors }
  /// The number of bytes on the disk.
  public var byteCount: Int { sectorCount * 512 }

  private init(
    _ name: String, _ cylinders: Int, _ heads: Int, _ sectors: Int, _ density: Density,
    fiveInch: Bool, gap: UInt8, formatGap: UInt8, media: UInt8
  ) {
    self.name = name
    self.cylinders = cylinders
    self.heads = heads
    self.sectors = sectors
    self.density = density
    isFiveInch = fiveInch
    self.gap = gap
    self.formatGap = formatGap
    mediaDescriptor = media
  }

  /// The standard formats, smallest first.
  public static let all: [FloppyFormat] = [
    FloppyFormat(
      "160 KB", 40, 1, 8, .double, fiveInch: true, gap: 0x2A, formatGap: 0x50, media: 0xFE),
    FloppyFormat(
      "180 KB", 40, 1, 9, .double, fiveInch: true, gap: 0x2A, formatGap: 0x50, media: 0xFC),
    FloppyFormat(
      "320 KB", 40, 2, 8, .double, fiveInch: true, gap: 0x2A, formatGap: 0x50, media: 0xFF),
    FloppyFormat(
      "360 KB", 40, 2, 9, .double, fiveInch: true, gap: 0x2A, formatGap: 0x50, media: 0xFD),
    FloppyFormat(
      "720 KB", 80, 2, 9, .double, fiveInch: false, gap: 0x2A, formatGap: 0x50, media: 0xF9),
    FloppyFormat(
      "1.2 MB", 80, 2, 15, .high, fiveInch: true, gap: 0x1B, formatGap: 0x54, media: 0xF9),
    FloppyFormat(
      "1.44 MB", 80, 2, 18, .high, fiveInch: false, gap: 0x1B, formatGap: 0x6C, media: 0xF0),
    FloppyFormat(
      "1.68 MB (DMF)", 80, 2, 21, .high, fiveInch: false, gap: 0x0C, formatGap: 0x1C, media: 0xF0),
    FloppyFormat(
      "2.88 MB", 80, 2, 36, .extra, fiveInch: false, gap: 0x1B, formatGap: 0x53, media: 0xF0),
  ]

  /// The last cylinder that drives reach, counted from 1.
  static let mostCylinders = 86

  /// The largest number of bytes any format holds: 2.88 MB with all cylinders that a drive reaches.
  public static let largest = mostCylinders * 2 * 36 * 512

  /// The standard format of exactly this many bytes.
  public static func ofSize(_ bytes: UInt64) -> FloppyFormat? {
    all.first { UInt64($0.byteCount) == bytes }
  }

  /// How many sectors, counted from 1, are recorded on a track: all, or fewer (also none) at the end of an incomplete disk.
  public func recordedSectors(cylinder: Int, head: Int) -> Int {
    guard (0..<cylinders).contains(cylinder), (0..<heads).contains(head) else { return 0 }
    return min(max(sectorCount - (cylinder * heads + head) * sectors, 0), sectors)
  }

  /// This recording with exactly as many sectors: as many cylinders as they need, the last perhaps not complete.
  /// - Returns: nil when no drive reaches that far, or there are none.
  func holding(sectors count: Int) -> FloppyFormat? {
    let perCylinder = heads * sectors
    let needed = (count + perCylinder - 1) / perCylinder
    guard count > 0,
      var format = FloppyFormat.withGeometry(cylinders: needed, heads: heads, sectors: sectors)
    else { return nil }
    format.density = density
    format.isFiveInch = isFiveInch
    format.mediaDescriptor = mediaDescriptor
    if count != needed * perCylinder {
      format.incompleteCount = count
      format.name = "\(count / 2)\(count % 2 == 0 ? "" : ".5") KB"
    }
    return format
  }

  // What an image of another size is:
  //
  //   1. exactly a standard format;
  //   2. a standard format with up to 4 sectors more or fewer: dumps of worn disks are that, and nobody makes a hard disk of that size;
  //   3. one from 360 KB on with whole cylinders behind the last one: 81 to 86 of them, 41 to 43 at 40;
  //   4. from 1.44 to 2.88 MB 80 to 86 cylinders of 18 to 24 sectors a track;
  //   5. what has a boot sector, and no other size: from 1.44 to 2.88 MB the nearest, a smaller one a system without padding.
  //
  // Without a boot sector whole cylinders behind 2.88 MB, and what is none of these, are no floppy's.

  /// The format of a disk with more sectors than a standard one.
  /// - Returns: nil when the count is nothing like that: then it is an image cut short.
  static func beyondStandard(sectors count: Int) -> FloppyFormat? {
    // Some bytes too many, less than a sector.
    if let exact = all.first(where: { $0.sectorCount == count }) { return exact }
    for (index, format) in all.enumerated() where count <= all[6].sectorCount || index == 8 {
      let extra = count - format.sectorCount
      let perCylinder = format.heads * format.sectors
      let more = index < 3 ? 0 : format.cylinders == 40 ? 3 : mostCylinders - 80
      if (1...fewSectors).contains(extra)
        || (extra > 0 && extra % perCylinder == 0 && extra / perCylinder <= more)
      {
        return format.holding(sectors: count)
      }
    }
    if count <= all[6].sectorCount || count > all[8].sectorCount { return nil }
    // Whole cylinders, the fewer behind the 80th the likelier; equally many: the more usual number of sectors.
    var best: (extra: Int, sectors: Int)?
    for sectors in [18, 21, 20, 22, 23, 24, 19, 36] where count % (2 * sectors) == 0 {
      let extra = count / (2 * sectors) - 80
      if (0...6).contains(extra), best == nil || extra < best!.extra { best = (extra, sectors) }
    }
    if let best {
      return withGeometry(cylinders: 80 + best.extra, heads: 2, sectors: best.sectors)
    }
    // Some sectors too many: the nearest standard format, as far as drives reach.
    let nearest = all[6...].filter { $0.sectorCount < count }.min {
      count - $0.sectorCount < count - $1.sectorCount
    }
    return nearest?.holding(sectors: count)
  }

  /// So many sectors more or fewer than a standard format has are still that format.
  static let fewSectors = 4

  /// The standard format that an image has a few sectors less of.
  static func justAbove(sectors count: Int) -> FloppyFormat? {
    all.first { (1...fewSectors).contains($0.sectorCount - count) }
  }

  /// Whether an image has the sectors of a standard format, or a few more.
  static func isJustBehind(sectors count: Int) -> Bool {
    all.contains { (0...fewSectors).contains(count - $0.sectorCount) }
  }

  /// A format by its geometry: the standard one, or one that is recorded like the nearest standard format.
  /// - Returns: nil when no drive could hold it (more than 86 cylinders, 2 heads, 36 sectors).
  public static func withGeometry(cylinders: Int, heads: Int, sectors: Int) -> FloppyFormat? {
    if let known = all.first(where: {
      $0.cylinders == cylinders && $0.heads == heads && $0.sectors == sectors
    }) {
      return known
    }
    guard (1...mostCylinders).contains(cylinders), (1...2).contains(heads),
      (1...36).contains(sectors)
    else { return nil }
    let near: FloppyFormat
    if sectors > 24 {
      near = all[8]
    } else if sectors > 18 {
      near = all[7]
    } else if sectors > 15 {
      near = all[6]
    } else if sectors > 11 {
      near = all[5]
    } else {
      near = cylinders > 43 ? all[4] : all[3]
    }
    var format = near
    format.name = "\(cylinders * heads * sectors / 2) KB"
    format.cylinders = cylinders
    format.heads = heads
    format.sectors = sectors
    return format
  }
}
