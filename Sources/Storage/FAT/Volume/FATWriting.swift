// Files and folders are made, replaced and removed.
//
// Owns: the order of writes. Must not know: the host's files, partitions.
// After: Microsoft FAT specification 1.03.
//
// The host may stop between any two writes that a flush stands between. A new file's bytes are written to clusters that are free, then its
// chain, then its entry; an old chain is given back when no entry names it any more. So at every moment each file is whole, the old one or
// the new one; what can be left over is clusters that are nobody's.

extension FATVolume {
  /// Looks at everything once, so that nothing is written to a damaged file system.
  public func prepareToWrite() throws(StorageError) {
    if isChecked { return }
    if !store.isWritable { throw refuse(nil, "may not be written") }
    _ = try FATWalk(self)
    _ = try table.countFree()
    if let place = layout.fsInfoSector {
      let bytes = try store.bytes(at: place * UInt64(layout.bytesPerSector), count: 512)
      if bytes.count == 512 { table.startSearching(at: little32(bytes, 492)) }
    }
    isChecked = true
  }

  /// The folder that a path's last part is in, and that part.
  private func parent(of path: String) throws(StorageError) -> (
    folder: FATEntry, path: String, name: String
  ) {
    let parts = FATVolume.parts(path)
    guard let name = parts.last else { throw refuse(nil, "'\(path)' is the root directory") }
    if let reason = FATNames.refusal(name) { throw refuse(nil, "'\(name)' \(reason)") }
    let folder = parts.dropLast().joined(separator: "/")
    guard let entry = try entry(at: folder) else { throw refuse(nil, "has no folder '\(folder)'") }
    guard entry.isFolder else { throw refuse(nil, "'\(folder)' is no folder") }
    return (entry, folder, name)
  }

  /// Makes or replaces a file.
  /// - Parameters:
  ///   - source: fills a buffer with the file's next bytes.
  public func write(
    _ path: String, size: UInt64, time: FATTime, attributes: UInt8 = FATEntry.archive,
    _ source: (UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    try prepareToWrite()
    let (folder, folderPath, name) = try parent(of: path)
    guard size <= UInt64(UInt32.max) else {
      throw refuse(
        nil, "'\(path)' has \(size) bytes; a file on a FAT file system has less than 4 GiB")
    }
    let entries = try entries(of: folder, path: folderPath)
    let old = find(name, in: entries)
    if old?.isFolder == true { throw refuse(nil, "'\(path)' is a folder") }
    let cluster = UInt64(layout.clusterSize)
    let chain = try table.allocate(
      UInt32((size + cluster - 1) / cluster), name: "\(self.name): \(path)")
    do {
      try fill(chain, size, source)
      try store.flush()
      // Room for the entry before the chain is on the disk: if there is none, nothing has happened.
      let slots = try old == nil ? newSlots(folder, folderPath, name, entries) : nil
      try table.flush()
      if let old {
        try replace(old, firstCluster: chain.first ?? 0, size: UInt32(size), time: time)
        try table.release(
          try runs(of: old, path: path).flatMap { Array($0.first..<$0.first + $0.count) })
        try table.flush()
      } else if let slots {
        try put(
          slots, name, attributes: attributes, firstCluster: chain.first ?? 0,
          size: UInt32(size), time: time)
      }
    } catch {
      if try isNobodys(chain) {
        try table.release(chain)
        try table.flush()
      }
      throw error
    }
  }

  /// After a failure: only a chain that no entry names may be given back.
  private func isNobodys(_ chain: [UInt32]) throws -> Bool {
    guard let first = chain.first else { return false }
    let walk = try FATWalk(self, keepsItems: true)
    return !walk.items.contains { $0.entry.firstCluster == first }
  }

  private func fill(
    _ chain: [UInt32], _ size: UInt64, _ source: (UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    let most = max(1, (1 << 20) / layout.clusterSize)
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: most * layout.clusterSize, alignment: 4096)
    defer { buffer.deallocate() }
    var left = size
    var at = 0
    while at < chain.count {
      var count = 1
      while at + count < chain.count, count < most, chain[at + count] == chain[at] + UInt32(count) {
        count += 1
      }
      let room = count * layout.clusterSize
      let used = Int(min(left, UInt64(room)))
      try source(UnsafeMutableRawBufferPointer(rebasing: buffer[..<used]))
      UnsafeMutableRawBufferPointer(rebasing: buffer[used..<room]).initializeMemory(
        as: UInt8.self, repeating: 0)
      try store.write(
        at: layout.offset(of: chain[at]), from: UnsafeRawBufferPointer(rebasing: buffer[..<room]))
      left -= UInt64(used)
      at += count
    }
  }

  /// Makes a folder; that there is one is fine.
  public func makeFolder(_ path: String, time: FATTime) throws(StorageError) {
    try prepareToWrite()
    let (folder, folderPath, name) = try parent(of: path)
    let entries = try entries(of: folder, path: folderPath)
    if let old = find(name, in: entries) {
      if old.isFolder { return }
      throw refuse(nil, "'\(path)' is a file")
    }
    let slots = try newSlots(folder, folderPath, name, entries)
    let chain = try table.allocate(1, name: "\(self.name): \(path)")
    var bytes = [UInt8](repeating: 0, count: layout.clusterSize)
    func dot(_ name: String, _ cluster: UInt32) -> [UInt8] {
      FATEntry.bytes(
        short: Array(name.utf8) + Array(repeating: 0x20, count: 11 - name.utf8.count), flags: 0,
        attributes: FATEntry.folder, firstCluster: cluster, size: 0, time: time)
    }
    bytes.replaceSubrange(0..<32, with: dot(".", chain[0]))
    // The root is 0 there, also where it has a cluster.
    let above = isRoot(folder) ? 0 : folder.firstCluster
    bytes.replaceSubrange(32..<64, with: dot("..", above))
    try store.write(at: layout.offset(of: chain[0]), bytes)
    try store.flush()
    try table.flush()
    try put(
      slots, name, attributes: FATEntry.folder, firstCluster: chain[0], size: 0, time: time)
  }

  /// Removes a file, or a folder with nothing in it.
  public func remove(_ path: String) throws(StorageError) {
    try prepareToWrite()
    guard let entry = try entry(at: path), let short = entry.places.last else {
      throw refuse(nil, "has no '\(path)'")
    }
    if entry.isFolder, !(try entries(of: entry, path: path)).isEmpty {
      throw refuse(nil, "'\(path)' is a folder with something in it")
    }
    let chain = try runs(of: entry, path: path).flatMap { Array($0.first..<$0.first + $0.count) }
    // The short entry is the file; long ones without it mean nothing.
    try store.write(at: short, [0xE5])
    try store.flush()
    for place in entry.places.dropLast() { try store.write(at: place, [0xE5]) }
    try table.release(chain)
    try table.flush()
  }

  /// Everything is on stable storage, FSInfo too.
  public func finish() throws(StorageError) {
    try table.flush()
    if let place = layout.fsInfoSector, isChecked {
      let offset = place * UInt64(layout.bytesPerSector)
      var bytes = try store.bytes(at: offset, count: 512)
      if bytes.count == 512, little32(bytes, 0) == 0x4161_5252, little32(bytes, 484) == 0x6141_7272
      {
        let values = [try table.countFree(), table.searchStart]
        for (n, value) in values.enumerated() {
          for byte in 0..<4 {
            bytes[488 + n * 4 + byte] = UInt8(truncatingIfNeeded: value >> (8 * UInt32(byte)))
          }
        }
        try store.write(at: offset, bytes)
      }
    }
    try store.flush()
  }

  // MARK: Entries

  /// Where a new entry goes, and its short name.
  private struct Slots {
    /// Places of the long name's entries and of the short one.
    var places: [UInt64]
    /// What follows the last of them was the folder's end: a place that has to say so, if there is one.
    var end: UInt64?
    var short: [UInt8]
    var flags: UInt8
    var needsLong: Bool
  }

  private func newSlots(
    _ folder: FATEntry, _ path: String, _ name: String, _ entries: [FATEntry]
  ) throws(StorageError) -> Slots {
    let taken = Set(entries.map(\.short))
    var short: [UInt8]
    var flags: UInt8 = 0
    var needsLong = false
    if let plain = FATNames.plain(name), !taken.contains(plain.short) {
      (short, flags) = plain
    } else {
      guard let made = FATNames.short(for: name, isTaken: { taken.contains($0) }) else {
        throw refuse(nil, "'\(path)' has too many names like '\(name)'")
      }
      short = made
      needsLong = true
    }
    if short[0] == 0xE5 { short[0] = 0x05 }
    let needed = 1 + (needsLong ? (name.utf16.count + 12) / 13 : 0)
    while true {
      if let (places, end) = try freePlaces(needed, folder, path) {
        return Slots(places: places, end: end, short: short, flags: flags, needsLong: needsLong)
      }
      try extend(folder, path)
    }
  }

  /// Free places one after the other.
  private func freePlaces(_ needed: Int, _ folder: FATEntry, _ path: String) throws(StorageError)
    -> (places: [UInt64], end: UInt64?)?
  {
    var run: [UInt64] = []
    var isBehindEnd = false
    for piece in try pieces(of: folder, path: path) {
      let bytes = try store.bytes(at: piece.offset, count: piece.count)
      for at in stride(from: 0, to: bytes.count - 31, by: 32) {
        if run.count == needed { return (run, isBehindEnd ? piece.offset + UInt64(at) : nil) }
        if bytes[at] == 0 { isBehindEnd = true }
        if isBehindEnd || bytes[at] == 0xE5 {
          run.append(piece.offset + UInt64(at))
        } else {
          run = []
        }
      }
    }
    return run.count == needed ? (run, nil) : nil
  }

  /// Gives a folder another cluster.
  private func extend(_ folder: FATEntry, _ path: String) throws(StorageError) {
    if isRoot(folder) && layout.kind != .fat32 {
      throw refuse(
        layout.rootOffset, "the root directory is full: \(layout.rootEntryCount) entries")
    }
    let runs = try runs(of: folder, path: path)
    let size = runs.reduce(0) { $0 + Int($1.count) } * layout.clusterSize
    guard size < FATVolume.mostFolderBytes, let last = runs.last else {
      throw refuse(nil, "the folder '\(path)' is full: 65536 entries")
    }
    let new = try table.allocate(1, name: "\(name): \(path)")[0]
    try store.write(
      at: layout.offset(of: new), [UInt8](repeating: 0, count: layout.clusterSize))
    try store.flush()
    try table.flush()
    try table.set(last.first + last.count - 1, new)
    try table.flush()
  }

  /// Writes a new entry: what its long name needs first, then the entry itself.
  private func put(
    _ slots: Slots, _ name: String, attributes: UInt8, firstCluster: UInt32, size: UInt32,
    time: FATTime
  ) throws(StorageError) {
    if let end = slots.end { try store.write(at: end, [0]) }
    let long = slots.needsLong ? FATNames.longEntries(name, short: slots.short) : []
    let entry = FATEntry.bytes(
      short: slots.short, flags: slots.flags, attributes: attributes, firstCluster: firstCluster,
      size: size, time: time)
    for (place, bytes) in zip(slots.places, long) { try store.write(at: place, bytes) }
    if !long.isEmpty { try store.flush() }
    guard let last = slots.places.last else { return }
    try store.write(at: last, entry)
    try store.flush()
  }

  /// An entry stands for other bytes from now on: one sector changes.
  private func replace(_ old: FATEntry, firstCluster: UInt32, size: UInt32, time: FATTime)
    throws(StorageError)
  {
    guard let place = old.places.last else { throw refuse(nil, "has no such entry") }
    var entry = try store.bytes(at: place, count: 32)
    let new = FATEntry.bytes(
      short: old.short, flags: entry[12], attributes: entry[11] | FATEntry.archive,
      firstCluster: firstCluster, size: size, time: time)
    // When it was made stays.
    entry.replaceSubrange(18..<32, with: new[18..<32])
    entry[11] = new[11]
    try store.write(at: place, entry)
    try store.flush()
  }
}
