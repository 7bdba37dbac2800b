// New FAT file systems.
//
// Owns: their measures, boot sectors, empty FATs. Must not know: files of the host.
// After: Microsoft FAT specification 1.03, "FAT Volume Initialization" (its tables of cluster sizes).

/// What a new file system is to be like.
public struct FATWish: Sendable {
  /// nil: by size, FAT32 from 512 MiB on.
  public var kind: FATKind?
  /// Bytes; nil: as the specification's tables have it.
  public var clusterSize: Int?
  public var label: String?
  public var serial: UInt32 = 0
  /// Sectors before it on its disk.
  public var hiddenSectors: UInt64 = 0
  public var heads = 255
  public var sectorsPerTrack = 63
  public var time = FATTime(date: 0x21, time: 0)
  /// nil: F8h, a hard disk's.
  public var floppy: FloppyFormat?
  public init() {}
}

/// Makes file systems.
public enum FATFormatter {
  struct Measures: Equatable {
    var kind: FATKind
    var sectorsPerCluster: Int
    var reserved: Int
    var rootEntries: Int
    var sectorsPerFAT: UInt64
    var clusters: UInt64
  }

  /// Sectors of a FAT, and clusters, that fit each other: the fewest sectors that have an entry for each cluster.
  static func measures(
    _ kind: FATKind, total: UInt64, perCluster: Int, reserved: Int, rootEntries: Int
  ) -> Measures? {
    let root = UInt64((rootEntries * 32 + 511) / 512)
    var fat: UInt64 = 1
    // Grows until it is enough; each round needs at least as much as the last, and the last is near.
    for _ in 0..<64 {
      let before = UInt64(reserved) + 2 * fat + root
      guard before < total else { return nil }
      let clusters = (total - before) / UInt64(perCluster)
      if clusters == 0 { return nil }
      let bits = (clusters + 2) * UInt64(kind.rawValue)
      let needed = (bits + 8 * 512 - 1) / (8 * 512)
      if needed <= fat {
        return Measures(
          kind: kind, sectorsPerCluster: perCluster, reserved: reserved, rootEntries: rootEntries,
          sectorsPerFAT: fat, clusters: clusters)
      }
      fat = needed
    }
    return nil
  }

  private static func fits(_ measures: Measures) -> Bool {
    switch measures.kind {
    case .fat12: measures.clusters < 4085
    case .fat16: measures.clusters >= 4085 && measures.clusters < 65525
    case .fat32: measures.clusters >= 65525 && measures.clusters <= 0x0FFF_FFF4
    }
  }

  /// The measures of a floppy; those of the standard ones are as DOS has them.
  private static func floppy(_ format: FloppyFormat) -> Measures? {
    let total = UInt64(format.sectorCount)
    let isHigh = format.density != .double
    let entries = format.sectors == 36 ? 240 : isHigh ? 224 : format.heads == 1 ? 64 : 112
    let perCluster = format.sectors == 36 || (!isHigh && format.heads == 2) ? 2 : 1
    return measures(
      .fat12, total: total, perCluster: perCluster, reserved: 1, rootEntries: entries)
  }

  private static func disk(_ wish: FATWish, total: UInt64) -> Measures? {
    let bytes = total * 512
    let kinds: [FATKind] =
      wish.kind.map { [$0] } ?? (bytes >= 512 << 20 ? [.fat32] : [.fat16, .fat12, .fat32])
    for kind in kinds {
      let table: [(UInt64, Int)] =
        switch kind {
        case .fat12: [(.max, 1)]
        case .fat16:
          [
            (16 << 20, 2), (128 << 20, 4), (256 << 20, 8), (512 << 20, 16), (1 << 30, 32),
            (.max, 64),
          ]
        case .fat32:
          [(260 << 20, 1), (8 << 30, 8), (16 << 30, 16), (32 << 30, 32), (.max, 64)]
        }
      let first = wish.clusterSize.map { $0 / 512 } ?? table.first { bytes <= $0.0 }?.1 ?? 64
      // The table's size first; then whatever makes the number of clusters right.
      let sizes =
        wish.clusterSize != nil
        ? [first] : [first] + [1, 2, 4, 8, 16, 32, 64, 128].filter { $0 != first }
      for size in sizes {
        if let found = measures(
          kind, total: total, perCluster: size, reserved: kind == .fat32 ? 32 : 1,
          rootEntries: kind == .fat32 ? 0 : 512), fits(found)
        {
          return found
        }
      }
    }
    return nil
  }

  /// Makes an empty file system that fills a store.
  public static func format(_ store: any ByteStore, _ wish: FATWish) throws(StorageError) {
    let total = wish.floppy.map { UInt64($0.sectorCount) } ?? store.size / 512
    if let size = wish.clusterSize, size < 512 || size > 65536 || size & (size - 1) != 0 {
      throw StorageError(
        path: store.name, reason: "clusters of \(size) bytes: 512 to 65536, a power of two")
    }
    guard total <= store.size / 512, total <= UInt64(UInt32.max),
      let measures = wish.floppy.map({ floppy($0) }) ?? disk(wish, total: total)
    else {
      throw StorageError(
        path: store.name,
        reason: "\(store.size) bytes: no \(wish.kind?.name ?? "FAT") file system of that size"
          + (wish.clusterSize.map { " with clusters of \($0) bytes" } ?? ""))
    }
    if let label = wish.label, labelBytes(label) == nil {
      throw StorageError(
        path: store.name, reason: "a label '\(label)': at most 11 plain capital letters")
    }
    let root = UInt64((measures.rootEntries * 32 + 511) / 512)
    let fats = UInt64(measures.reserved)
    let data = fats + 2 * measures.sectorsPerFAT + root
    // Everything before the data is zeros, and for FAT32 the root's cluster.
    let zeros = data + (measures.kind == .fat32 ? UInt64(measures.sectorsPerCluster) : 0)
    try store.zero(at: 0, count: zeros * 512, releasing: true)
    for copy in 0..<2 {
      try store.write(
        at: (fats + UInt64(copy) * measures.sectorsPerFAT) * 512,
        firstEntries(measures.kind, media: wish.floppy?.mediaDescriptor ?? 0xF8))
    }
    if let label = wish.label, let bytes = labelBytes(label) {
      let place = measures.kind == .fat32 ? data : data - root
      let entry = FATEntry.bytes(
        short: bytes, flags: 0, attributes: FATEntry.volume, firstCluster: 0, size: 0,
        time: wish.time)
      try store.write(at: place * 512, entry)
    }
    let boot = FATBootSector.bytes(measures, wish, total: total)
    if measures.kind == .fat32 {
      let info = FATBootSector.info(free: UInt32(measures.clusters - 1), next: 3)
      try store.write(at: 512, info)
      try store.write(at: 6 * 512, boot)
      try store.write(at: 7 * 512, info)
    }
    // With its boot sector it is a file system.
    try store.flush()
    try store.write(at: 0, boot)
    try store.flush()
  }

  private static func firstEntries(_ kind: FATKind, media: UInt8) -> [UInt8] {
    switch kind {
    case .fat12: [media, 0xFF, 0xFF]
    case .fat16: [media, 0xFF, 0xFF, 0xFF]
    case .fat32: [media, 0xFF, 0xFF, 0x0F, 0xFF, 0xFF, 0xFF, 0x0F, 0xF8, 0xFF, 0xFF, 0x0F]
    }
  }

  /// The eleven bytes of a label; nil: it cannot be one.
  static func labelBytes(_ label: String) -> [UInt8]? {
    let text = Array(label.uppercased().utf8)
    let bad = Set("\"*+,./:;<=>?[\\]|".utf8)
    guard (1...11).contains(text.count), text[0] != 0x20,
      text.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && !bad.contains($0) })
    else { return nil }
    return text + Array(repeating: 0x20, count: 11 - text.count)
  }
}
