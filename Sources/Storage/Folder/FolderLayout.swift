// A folder as a FAT file system: what is where.
//
// Owns: names, clusters, the bytes of directories, boot sectors and FATs. Must not know: how files are read, writes.
// After: Microsoft FAT specification 1.03.

import Host

/// A file system that is made of a tree.
struct FolderLayout {
  /// Clusters of a file or folder.
  struct Extent {
    var first: UInt32
    var count: UInt32
    /// The place of the item in the tree.
    var item: Int
  }
  let tree: FolderTree
  let measures: FATFormatter.Measures
  /// Sectors of the disk, and before the file system.
  let sectorCount: UInt64
  let start: UInt64
  /// Ascending, one behind the other from cluster 2 or 3 on.
  private(set) var extents: [Extent] = []
  /// The bytes of folders by their place in the tree; the root of FAT12 and FAT16 as 0.
  private(set) var folders: [Int: [UInt8]] = [:]
  /// Names in the file system by the place in the tree.
  private(set) var names: [String]
  private(set) var notes: [String]
  private var firstClusters: [UInt32]
  private let head: [UInt8]
  private let boot: [UInt8]
  private let media: UInt8

  var clusterSize: Int { measures.sectorsPerCluster * 512 }
  /// Sectors from the file system's beginning on.
  var fatStart: UInt64 { UInt64(measures.reserved) }
  var rootStart: UInt64 { fatStart + 2 * measures.sectorsPerFAT }
  var dataStart: UInt64 { rootStart + UInt64((measures.rootEntries * 32 + 511) / 512) }

  init(_ tree: FolderTree, _ options: FolderOptions) throws(StorageError) {
    self.tree = tree
    notes = tree.notes
    names = Array(repeating: "", count: tree.items.count)
    firstClusters = Array(repeating: 0, count: tree.items.count)
    let path = tree.items[0].path
    var wish = FATWish()
    wish.label = options.label
    wish.time = FATTime(localSeconds: HostClock.localSeconds(atUTC: tree.items[0].facts.seconds))
    // The same folder is the same disk each time.
    wish.serial = 0x4150_5553
    if options.isFloppy {
      let format = FloppyFormat.all[6]
      wish.floppy = format
      sectorCount = UInt64(format.sectorCount)
      start = 0
      guard
        let found = FATFormatter.measures(
          .fat12, total: sectorCount, perCluster: 1, reserved: 1, rootEntries: 224)
      else { throw StorageError(path: path, reason: "is no floppy") }
      measures = found
    } else {
      let size = options.byteCount ?? FolderLayout.size(for: tree)
      start = 2048
      sectorCount = size / 512
      let total = sectorCount - min(start, sectorCount)
      let isBig = options.kind.map { $0 == .fat32 } ?? (size > 2 << 30)
      let sizes = [1, 2, 4, 8, 16, 32, 64]
      let usual = isBig ? (size > 32 << 30 ? 64 : size > 8 << 30 ? 16 : 8) : 16
      let fitting = ([usual] + sizes).lazy.compactMap { perCluster in
        FATFormatter.measures(
          isBig ? .fat32 : .fat16, total: total, perCluster: perCluster,
          reserved: isBig ? 32 : 1, rootEntries: isBig ? 0 : 512)
      }
      guard total <= UInt64(UInt32.max),
        let found = fitting.first(where: {
          isBig ? $0.clusters >= 65525 : (4085..<65525).contains($0.clusters)
        })
      else {
        throw StorageError(
          path: path, reason: "\(size) bytes: no \(isBig ? "FAT32" : "FAT16") disk has that size")
      }
      measures = found
      let geometry = DiskGeometry.lbaAssisted(sectorCount: sectorCount)
      wish.heads = geometry.heads
      wish.sectorsPerTrack = geometry.sectors
      wish.hiddenSectors = start
    }
    media = wish.floppy?.mediaDescriptor ?? 0xF8
    let volumeSectors = sectorCount - start
    boot = FATBootSector.bytes(measures, wish, total: volumeSectors)
    head =
      start == 0
      ? []
      : NewPartitionTable.sector(
        start: start, count: volumeSectors,
        type: NewPartitionTable.type(
          of: measures.kind, count: volumeSectors, end: sectorCount), heads: wish.heads,
        sectorsPerTrack: wish.sectorsPerTrack, serial: wish.serial)
    try place(label: options.label.flatMap { FATFormatter.labelBytes($0) }, time: wish.time)
  }

  /// As large as FAT16 with clusters of 8 KiB is, or with a GiB to spare.
  private static func size(for tree: FolderTree) -> UInt64 {
    // Directories and the ends of clusters take room, too.
    let needed = tree.byteCount + UInt64(tree.items.count) * 34816
    if needed < 400 << 20 { return 504 << 20 }
    return ((needed + needed / 8) >> 30 + 2) << 30
  }

  /// Gives everything its name and its clusters.
  private mutating func place(label: [UInt8]?, time: FATTime) throws(StorageError) {
    var entries: [Int: [(item: Int, short: [UInt8], flags: UInt8, isLong: Bool)]] = [:]
    var sizes = Array(repeating: 0, count: tree.items.count)
    for (index, item) in tree.items.enumerated() where item.isFolder {
      var taken = Set<[UInt8]>()
      var used = Set<String>()
      var list: [(item: Int, short: [UInt8], flags: UInt8, isLong: Bool)] = []
      var count = index == 0 ? (label == nil ? 0 : 1) : 2
      for child in item.children {
        guard let name = fitting(tree.items[child].name, used) else {
          notes.append("'\(tree.items[child].path)' is left out: no name for it")
          continue
        }
        used.insert(FATNames.key(name))
        names[child] = name
        if let plain = FATNames.plain(name), !taken.contains(plain.short) {
          taken.insert(plain.short)
          list.append((child, plain.short, plain.flags, false))
          count += 1
        } else if let short = FATNames.short(for: name, isTaken: { taken.contains($0) }) {
          taken.insert(short)
          list.append((child, short, 0, true))
          count += 1 + (name.utf16.count + 12) / 13
        }
      }
      entries[index] = list
      sizes[index] = count * 32
      let most =
        index == 0 && measures.kind != .fat32
        ? measures.rootEntries * 32 : FATVolume.mostFolderBytes
      if count * 32 > most {
        throw StorageError(
          path: item.path, reason: "has too many files for a folder of \(measures.kind.name)")
      }
    }
    var next: UInt64 = 2
    func clusters(_ bytes: UInt64) -> UInt64 {
      (bytes + UInt64(clusterSize) - 1) / UInt64(clusterSize)
    }
    let order =
      tree.items.indices.filter { tree.items[$0].isFolder }
      + tree.items.indices.filter { !tree.items[$0].isFolder && !names[$0].isEmpty }
    for index in order {
      let item = tree.items[index]
      if index == 0 && measures.kind != .fat32 { continue }
      if index != 0 && names[index].isEmpty { continue }
      let count = item.isFolder ? max(1, clusters(UInt64(sizes[index]))) : clusters(item.facts.size)
      if count == 0 { continue }
      guard next + count <= measures.clusters + 2 else {
        throw StorageError(
          path: tree.items[0].path,
          reason:
            "has more than fits on a disk of \(sectorCount * 512) bytes; size= makes it larger")
      }
      firstClusters[index] = UInt32(next)
      extents.append(Extent(first: UInt32(next), count: UInt32(count), item: index))
      next += count
    }
    for (index, list) in entries { folders[index] = bytes(of: index, list, label, time) }
  }

  private func bytes(
    of index: Int, _ list: [(item: Int, short: [UInt8], flags: UInt8, isLong: Bool)],
    _ label: [UInt8]?, _ time: FATTime
  ) -> [UInt8] {
    var bytes: [UInt8] = []
    if index == 0 {
      if let label {
        bytes += FATEntry.bytes(
          short: label, flags: 0, attributes: FATEntry.volume, firstCluster: 0, size: 0, time: time)
      }
    } else {
      let above = tree.items.firstIndex { $0.children.contains(index) } ?? 0
      for (name, cluster) in [
        (".", firstClusters[index]), ("..", above == 0 ? 0 : firstClusters[above]),
      ] {
        bytes += FATEntry.bytes(
          short: Array(name.utf8) + Array(repeating: 0x20, count: 11 - name.utf8.count), flags: 0,
          attributes: FATEntry.folder, firstCluster: cluster, size: 0,
          time: FolderLayout.time(of: tree.items[index]))
      }
    }
    for entry in list {
      let item = tree.items[entry.item]
      if entry.isLong {
        bytes += FATNames.longEntries(names[entry.item], short: entry.short).joined()
      }
      var short = entry.short
      if short[0] == 0xE5 { short[0] = 0x05 }
      bytes += FATEntry.bytes(
        short: short, flags: entry.flags,
        attributes: (item.isFolder ? FATEntry.folder : FATEntry.archive)
          | (item.facts.mayBeWritten ? 0 : FATEntry.readOnly),
        firstCluster: firstClusters[entry.item], size: item.isFolder ? 0 : UInt32(item.facts.size),
        time: FolderLayout.time(of: item))
    }
    return bytes
  }

  static func time(of item: FolderItem) -> FATTime {
    FATTime(localSeconds: HostClock.localSeconds(atUTC: item.facts.seconds))
  }

  /// A name that a FAT file system can have and that no other in the folder is, large and small letters alike.
  private func fitting(_ name: String, _ used: Set<String>) -> String? {
    var text = String.UnicodeScalarView()
    for scalar in name.unicodeScalars {
      let isBad =
        scalar.value < 0x20 || scalar.value == 0x7F
        || "\"*/:<>?\\|".unicodeScalars.contains(scalar)
      text.append(isBad ? "_" : scalar)
    }
    var fit = String(text)
    while let last = fit.last, last == "." || last == " " { fit.removeLast() }
    if fit.first == " " { fit = "_" + fit.dropFirst() }
    if fit.isEmpty { fit = "_" }
    while fit.utf16.count > 240 { fit.removeLast() }
    if !used.contains(FATNames.key(fit)) { return fit }
    for number in 2...9999 where !used.contains(FATNames.key("\(fit) (\(number))")) {
      return "\(fit) (\(number))"
    }
    return nil
  }

  // MARK: Sectors

  /// The extent that a cluster is in.
  func extent(of cluster: UInt32) -> Extent? {
    var (low, high) = (0, extents.count)
    while low < high {
      let middle = (low + high) / 2
      if extents[middle].first + extents[middle].count <= cluster {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low < extents.count && extents[low].first <= cluster ? extents[low] : nil
  }

  /// Where the used clusters end.
  var usedEnd: UInt32 { extents.last.map { $0.first + $0.count } ?? 2 }

  private func entry(_ cluster: UInt32) -> UInt32 {
    if cluster == 0 {
      return measures.kind == .fat32
        ? 0x0FFF_FF00 | UInt32(media) : (measures.kind.last & ~0xFF) | UInt32(media)
    }
    if cluster == 1 { return measures.kind.last }
    guard let extent = extent(of: cluster) else { return 0 }
    return cluster == extent.first + extent.count - 1 ? measures.kind.last : cluster + 1
  }

  /// A sector of a FAT.
  private func fatSector(_ number: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(512)
    switch measures.kind {
    case .fat12:
      // A byte is a part of one entry, or of two.
      for at in number * 512..<number * 512 + 512 {
        let pair = UInt32(at / 3 * 2)
        let (a, b) = (entry(pair), entry(pair + 1))
        bytes.append(
          at % 3 == 0
            ? UInt8(a & 0xFF)
            : at % 3 == 1 ? UInt8(a >> 8 & 0x0F | b << 4 & 0xF0) : UInt8(b >> 4 & 0xFF))
      }
    case .fat16:
      for cluster in UInt32(number * 256)..<UInt32(number * 256 + 256) {
        let value = entry(cluster)
        bytes += [UInt8(value & 0xFF), UInt8(value >> 8 & 0xFF)]
      }
    case .fat32:
      for cluster in UInt32(number * 128)..<UInt32(number * 128 + 128) {
        let value = entry(cluster)
        for shift in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * UInt32(shift)))) }
      }
    }
    return bytes
  }

  /// What a sector before the clusters holds; empty: zeros.
  /// - Parameter sector: of the disk.
  func headSector(_ sector: UInt64) -> [UInt8] {
    if sector == 0 && start > 0 { return head }
    if sector < start { return [] }
    let inside = sector - start
    let isBig = measures.kind == .fat32
    if inside == 0 || (isBig && inside == 6) { return boot }
    if isBig && (inside == 1 || inside == 7) {
      return FATBootSector.info(
        free: UInt32(measures.clusters) - (usedEnd - 2), next: usedEnd)
    }
    if inside >= fatStart && inside < rootStart {
      let number = (inside - fatStart) % measures.sectorsPerFAT
      // Behind the used ones are zeros.
      let first = number * 512 * 8 / UInt64(measures.kind.rawValue)
      return first > UInt64(usedEnd) ? [] : fatSector(number)
    }
    if inside >= rootStart && inside < dataStart {
      return slice(folders[0] ?? [], inside - rootStart)
    }
    return []
  }

  /// A sector of a folder's bytes; empty: zeros.
  func slice(_ bytes: [UInt8], _ sector: UInt64) -> [UInt8] {
    let at = sector * 512
    if at >= UInt64(bytes.count) { return [] }
    return Array(bytes[Int(at)..<min(bytes.count, Int(at) + 512)])
  }
}
