// What a guest did to a folder's disk, done to the folder.
//
// Owns: the comparison of the guest's files with those the folder had, the order of what is done, conflicts. Must not know: FAT's structures.
//
// Nothing is done while the guest's file system contradicts itself. New contents are written under another name, brought to stable storage
// and renamed; what a guest replaced or removed is kept in a folder of its own until the disk is closed, as the disk is still made of it: once
// for each file, as what the guest wrote itself is none of it. A file that somebody else changed meanwhile stays, and the guest's gets
// another name beside it. What cannot be written does not keep the rest from being written; nothing is removed then.

import Host

/// The state of a folder as it was last brought to what the guest has.
struct FolderWriteBack {
  private struct Known {
    var hostPath: String
    /// nil: a folder.
    var facts: HostFileFacts?
    var runs: [FATVolume.Run]
    var size: UInt32
    /// The item of the tree that the disk is made of.
    var item: Int?
  }
  private let image: FolderImage
  private let root: String
  /// By path in the guest's file system, in capital letters.
  private var known: [String: Known] = [:]
  /// What was written since, in units of eight sectors.
  private var dirty = Set<UInt64>()
  private var isAllDirty = false
  private var replacedCount = 0
  /// What files that are kept begin with: when, and who.
  private let session = "\(HostClock.utcSeconds())-\(HostProcess.ownNumber)-"
  /// Files of so many earlier sessions stay, of machines that were killed.
  private static let mostSessions = 8

  init(_ image: FolderImage) {
    self.image = image
    let layout = image.layout
    root = layout.tree.items[0].path
    FolderWriteBack.prune(root + "/" + FolderTree.replacedName)
    var waiting = [(0, "")]
    while let (index, path) = waiting.popLast() {
      for child in layout.tree.items[index].children where !layout.names[child].isEmpty {
        let item = layout.tree.items[child]
        let inner = path.isEmpty ? layout.names[child] : path + "/" + layout.names[child]
        let extent = layout.extents.first { $0.item == child }
        known[FATNames.key(inner)] = Known(
          hostPath: item.path, facts: item.isFolder ? nil : item.facts,
          runs: extent.map { [FATVolume.Run(first: $0.first, count: $0.count)] } ?? [],
          size: item.isFolder ? 0 : UInt32(item.facts.size), item: child)
        if item.isFolder { waiting.append((child, inner)) }
      }
    }
  }

  /// Something was written.
  mutating func note(_ block: UInt64, _ count: UInt64) {
    if count == 0 || isAllDirty { return }
    if count > 1 << 20 || dirty.count > 4 << 20 {
      isAllDirty = true
      dirty = []
      return
    }
    for unit in block / 8...(block + count - 1) / 8 { dirty.insert(unit) }
  }

  /// Whether something was written to a file's blocks since.
  private func isDirty(
    _ runs: [FATVolume.Run], _ volume: FATVolume, _ start: UInt64, _ disk: any BlockDevice
  ) -> Bool {
    if isAllDirty { return true }
    for run in runs {
      let first = (start + volume.layout.offset(of: run.first)) / 512
      let end = first + UInt64(run.count) * UInt64(volume.layout.clusterSize) / 512
      for unit in first / 8...(end - 1) / 8 where dirty.contains(unit) {
        // A neighbour may have the rest of the unit.
        for block in max(first, unit * 8)..<min(end, unit * 8 + 8) where disk.isWritten(block) {
          return true
        }
      }
    }
    return false
  }

  /// Brings the folder to what the guest's file system says.
  /// - Throws: why nothing was done, or what could not be.
  /// - Parameter lines: gets what was done, also where something could not be.
  mutating func run(_ disk: any BlockDevice, _ lines: inout [String]) throws(StorageError) {
    let volume = try FATVolume.open(disk, partition: image.layout.start == 0 ? nil : 1)
    let start = image.layout.start * 512
    guard volume.layout.dataOffset == image.layout.dataStart * 512,
      volume.layout.clusterSize == image.layout.clusterSize
    else {
      throw StorageError(path: root, reason: "the guest made another file system on the disk")
    }
    let walk = try FATWalk(volume, keepsItems: true, most: FolderTree.mostItems)
    var next: [String: Known] = [:]
    var failure: StorageError?
    var failures = 0
    // Folders come before what is in them, as the walk found them.
    for item in walk.items.sorted(by: { depth($0.path) < depth($1.path) }) {
      let key = FATNames.key(item.path)
      let old = known[key]
      let runs = try volume.runs(of: item.entry, path: item.path)
      let place: String
      if let old { place = old.hostPath } else { place = try hostPath(item.path, next, &lines) }
      if item.entry.isFolder {
        if let old, old.facts == nil {
          next[key] = Known(hostPath: old.hostPath, facts: nil, runs: runs, size: 0, item: old.item)
        } else {
          if old != nil { try putAside(old, &lines) }
          try make { () throws(HostError) in try HostFiles.makeFolder(place) }
          lines.append("made folder '\(place)'")
          next[key] = Known(hostPath: place, facts: nil, runs: runs, size: 0, item: nil)
          known[key] = next[key]
        }
        continue
      }
      if let old, old.facts != nil, old.size == item.entry.size, old.runs == runs,
        !isDirty(runs, volume, start, disk)
      {
        next[key] = old
        continue
      }
      let target = old.flatMap { $0.facts == nil ? nil : $0.hostPath } ?? place
      if let old, old.facts != nil, old.size == item.entry.size,
        HostFiles.facts(target, followsLinks: false) == old.facts, holds(target, item, volume)
      {
        // Somewhere else on the disk, or beside what was written.
        next[key] = old
        next[key]?.runs = runs
        continue
      }
      let path: String
      do throws(StorageError) {
        path = try write(item, volume, to: target, replacing: old, &lines)
      } catch {
        failures += 1
        if failure == nil { failure = error }
        continue
      }
      next[key] = Known(
        hostPath: path, facts: HostFiles.facts(path), runs: runs, size: item.entry.size, item: nil)
      // If something fails later, this is done all the same.
      known[key] = next[key]
    }
    if var failure {
      if failures > 1 { failure.reason += " (and \(failures - 1) more files)" }
      throw failure
    }
    try removeMissing(next, &lines)
    known = next
    dirty = []
    isAllDirty = false
  }

  private func depth(_ path: String) -> Int { path.utf8.count { $0 == UInt8(ascii: "/") } }

  private func make(_ body: () throws(HostError) -> Void) throws(StorageError) {
    do throws(HostError) { try body() } catch { throw StorageError(path: root, reason: "\(error)") }
  }

  /// The path on the host of something new.
  private func hostPath(_ path: String, _ folders: [String: Known], _ lines: inout [String])
    throws(StorageError) -> String
  {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    var folder = root
    if let slash = path.lastIndex(of: "/") {
      guard let known = folders[FATNames.key(String(path[..<slash]))] else {
        throw StorageError(path: root, reason: "the guest has a file '\(path)' without a folder")
      }
      folder = known.hostPath
    }
    // The guest chose it: no name leads out of the folder, or to what is kept aside.
    let isKept = FATNames.key(name) == FATNames.key(FolderTree.replacedName)
    if FATNames.refusal(name) == nil && !isKept && !name.contains("\u{FFFD}") {
      return folder + "/" + name
    }
    // It gets another, so that neither it nor the rest is lost.
    let other = try freeName(folder + "/" + FATNames.possible(name))
    lines.append("the guest's '\(path)' has a name that no file here can have: it is '\(other)'")
    return other
  }

  /// Whether a file of the host holds what the guest's does.
  private func holds(_ path: String, _ item: FATWalk.Item, _ volume: FATVolume) -> Bool {
    guard let file = try? HostFile(path: path, writable: false, looksOnly: true),
      file.size == UInt64(item.entry.size)
    else { return false }
    defer { file.close() }
    struct Different: Error {}
    var offset: UInt64 = 0
    do {
      try volume.read(item.entry, path: item.path) { bytes in
        let own = try file.bytes(at: offset, count: bytes.count)
        if !own.elementsEqual(bytes) { throw Different() }
        offset += UInt64(bytes.count)
      }
    } catch { return false }
    return offset == file.size
  }

  /// Writes a file's contents.
  /// - Returns: where they are.
  private mutating func write(
    _ item: FATWalk.Item, _ volume: FATVolume, to path: String, replacing old: Known?,
    _ lines: inout [String]
  ) throws(StorageError) -> String {
    // The guest may have a file of this name, too.
    let temporary = try freeName(path, "apus-new")
    let output = try HostFile(creating: temporary, named: path)
    var failure: StorageError?
    do {
      try output.setSize(UInt64(item.entry.size))
      var offset: UInt64 = 0
      try volume.read(item.entry, path: item.path) { bytes in
        if !ZeroSearch.isZero(bytes) { try output.write(at: offset, from: bytes) }
        offset += UInt64(bytes.count)
      }
      try output.flush()
    } catch let error as StorageError { failure = error } catch {
      failure = StorageError(path: path, reason: "\(error)")
    }
    output.close()
    if let failure {
      try? HostFiles.remove(temporary)
      throw failure
    }
    if let seconds = item.entry.time.localSeconds {
      HostFiles.setTime(temporary, seconds: FolderWriteBack.utc(seconds))
    }
    var target = path
    let now = HostFiles.facts(path, followsLinks: false)
    if now != old?.facts {
      // Somebody else made, changed or removed it: theirs stays.
      if now != nil {
        target = try freeName(path)
        lines.append("'\(path)' was changed by somebody else; the guest's is '\(target)'")
      }
    }
    if target == path, let old, old.facts != nil, now != nil {
      HostFiles.copyMode(of: path, to: temporary)
      try putAside(old, &lines, quietly: true)
    }
    try make { () throws(HostError) in try HostFiles.move(temporary, to: target) }
    HostFiles.syncFolder(of: target)
    lines.append("wrote '\(target)'")
    return target
  }

  private static func utc(_ local: Int64) -> Int64 {
    let first = local - (HostClock.localSeconds(atUTC: local) - local)
    return local - (HostClock.localSeconds(atUTC: first) - first)
  }

  /// A name that is nobody's, beside a file's.
  private func freeName(_ path: String, _ word: String = "guest") throws(StorageError) -> String {
    for number in 1...9999 {
      let place = HostPath.beside(path, suffix: ".\(word)-\(number)")
      if HostFiles.facts(place, followsLinks: false) == nil { return place }
    }
    throw StorageError(path: path, reason: "has too many others beside it")
  }

  /// Moves a file out of the way, to where the disk finds it.
  private mutating func putAside(
    _ old: Known?, _ lines: inout [String], quietly: Bool = false
  ) throws(StorageError) {
    guard let old, old.facts != nil else { return }
    if old.item == nil {
      // The disk is not made of it.
      if quietly { return }
      try make { () throws(HostError) in try HostFiles.remove(old.hostPath) }
      lines.append("removed '\(old.hostPath)'")
      return
    }
    let folder = root + "/" + FolderTree.replacedName
    try make { () throws(HostError) in try HostFiles.makeFolder(folder) }
    replacedCount += 1
    let place = "\(folder)/\(session)\(replacedCount)-\(ImageFiles.lastName(old.hostPath))"
    // What replaces it takes its name at once; where the host has no second names, there is none for a moment.
    if quietly, (try? HostFiles.link(old.hostPath, as: place)) != nil {
      if let item = old.item { image.moved(item, to: place) }
      return
    }
    try make { () throws(HostError) in try HostFiles.move(old.hostPath, to: place) }
    if let item = old.item { image.moved(item, to: place) }
    if !quietly { lines.append("removed '\(old.hostPath)'") }
  }

  /// Removes what the guest has no more, the deepest first.
  private mutating func removeMissing(_ next: [String: Known], _ lines: inout [String])
    throws(StorageError)
  {
    let gone = known.filter { next[$0.key] == nil }
      .sorted { ($0.value.hostPath.utf8.count, $0.key) > ($1.value.hostPath.utf8.count, $1.key) }
    for (key, old) in gone {
      known[key] = nil
      if let facts = old.facts {
        guard let now = HostFiles.facts(old.hostPath, followsLinks: false) else { continue }
        if now != facts {
          lines.append("'\(old.hostPath)' was changed by somebody else and stays")
          continue
        }
        try putAside(old, &lines)
      } else {
        // Something that the guest does not know of keeps it.
        do throws(HostError) {
          try HostFiles.removeEmptyFolder(old.hostPath)
          lines.append("removed folder '\(old.hostPath)'")
        } catch { lines.append("'\(old.hostPath)' stays: \(error)") }
      }
    }
  }

  /// The end: nobody reads what was replaced any more.
  func finish() {
    let folder = root + "/" + FolderTree.replacedName
    for name in HostFiles.names(in: folder) where name.hasPrefix(session) {
      try? HostFiles.remove(folder + "/" + name)
    }
    try? HostFiles.removeEmptyFolder(folder)
  }

  /// Removes what is left of all but the newest sessions.
  private static func prune(_ folder: String) {
    var sessions: [String: [String]] = [:]
    for name in HostFiles.names(in: folder) where name != "." && name != ".." {
      let parts = name.split(separator: "-", maxSplits: 2)
      if parts.count < 3 { continue }
      sessions[parts[..<2].joined(separator: "-"), default: []].append(name)
    }
    let newest = sessions.keys.sorted {
      let times = [$0, $1].map { UInt64($0.prefix { $0 != "-" }) ?? 0 }
      return times[0] > times[1]
    }
    for session in newest.dropFirst(mostSessions) {
      for name in sessions[session] ?? [] { try? HostFiles.remove(folder + "/" + name) }
    }
  }

  /// Keeps the guest's disk, as the folder could not be brought to it.
  /// - Parameter former: an image that was kept before, which this one replaces.
  /// - Returns: the image's path, beside the folder or, where there is no room, among temporary files; nil: it could be put nowhere.
  func rescue(_ disk: any BlockDevice, replacing former: String?) -> String? {
    let other = HostProcess.environment("TMPDIR") ?? "/tmp"
    let places = [root, other + "/" + ImageFiles.lastName(root)]
    if let former, let path = rescue(disk, former, replaces: true) { return path }
    for place in places {
      for number in 1...99 {
        let path = place + (number == 1 ? "" : "-\(number)") + ".rescue.img"
        if HostFiles.exists(path) { continue }
        if let path = rescue(disk, path, replaces: false) { return path }
        break
      }
    }
    return nil
  }

  private func rescue(_ disk: any BlockDevice, _ path: String, replaces: Bool) -> String? {
    let files = NewImageFiles(replaces: replaces)
    do throws(StorageError) {
      let store = try files.make(path)
      try store.setSize(disk.blockCount * 512)
      var block = disk.nextData(from: 0)
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
      defer { buffer.deallocate() }
      while block < disk.blockCount {
        let count = min(2048, disk.blockCount - block)
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(Int(count) * 512)])
        try disk.read(block: block, into: part)
        if !ZeroSearch.isZero(UnsafeRawBufferPointer(part)) {
          try store.write(at: block * 512, from: UnsafeRawBufferPointer(part))
        }
        block = disk.nextData(from: block + count)
      }
      try files.finish()
      return path
    } catch { return nil }
  }
}
