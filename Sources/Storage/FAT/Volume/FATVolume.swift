// A FAT file system: files and folders.
//
// Owns: chains of clusters, folders, reading. Must not know: partitions, the host's files.
// After: Microsoft FAT specification 1.03.
//
// Whatever is on the disk was perhaps put there by somebody who means harm: a chain is followed no further than there are clusters, a folder
// has at most 65536 entries (its largest size is 2 MiB), folders are followed 128 deep.

/// A file system.
public final class FATVolume {
  let store: any ByteStore
  public let layout: FATLayout
  let table: FATTable
  /// What the user should hear of the disk it is on, or nil.
  public private(set) var note: String?
  /// It may be written: everything was looked at before.
  var isChecked = false

  static let mostFolderBytes = 65536 * 32
  static let deepest = 128

  /// - Parameter store: the file system's bytes, from its boot sector on.
  public init(_ store: any ByteStore) throws(StorageError) {
    self.store = store
    layout = try FATLayout(store)
    table = FATTable(store, layout)
  }

  /// A file system on a device.
  /// - Parameter partition: its number; nil: the whole device if it begins with a FAT boot sector, otherwise the first partition with one.
  public static func open(_ device: any BlockDevice, partition: Int? = nil) throws(StorageError)
    -> FATVolume
  {
    let store = DeviceStore(device)
    if partition == nil, FATLayout.isLikely(try store.bytes(at: 0, count: 512)) {
      return try FATVolume(store)
    }
    guard let table = try PartitionTable(store) else {
      throw StorageError(
        path: store.name,
        reason: partition == nil
          ? "has neither a FAT file system nor partitions" : "has no partitions")
    }
    if let partition {
      guard let found = table.partitions.first(where: { $0.number == partition }) else {
        let all = table.partitions.map { String($0.number) }.joined(separator: ", ")
        throw StorageError(
          path: store.name,
          reason: "has no partition \(partition); there are \(all.isEmpty ? "none" : all)")
      }
      let volume = try FATVolume(
        PartStore(store, start: found.start * 512, count: found.count * 512))
      volume.note = table.note
      return volume
    }
    for found in table.partitions {
      let part = PartStore(store, start: found.start * 512, count: found.count * 512)
      if FATLayout.isLikely(try part.bytes(at: 0, count: 512)) {
        let volume = try FATVolume(part)
        volume.note = table.note
        return volume
      }
    }
    throw StorageError(path: store.name, reason: "has no partition with a FAT file system")
  }

  public var name: String { store.name }

  func refuse(_ offset: UInt64?, _ reason: String) -> StorageError {
    StorageError(path: store.name, offset: offset, reason: reason)
  }

  // MARK: Chains

  /// Runs of consecutive clusters.
  struct Run: Equatable {
    var first: UInt32
    var count: UInt32
  }

  /// The clusters of a chain.
  /// - Parameters:
  ///   - most: more of them are a mistake.
  ///   - owner: whose it is, for messages.
  func chain(from first: UInt32, most: UInt32, of owner: String) throws(StorageError) -> [Run] {
    var runs: [Run] = []
    var cluster = first
    var count: UInt32 = 0
    while true {
      guard layout.isCluster(cluster) else {
        throw refuse(
          nil,
          "'\(owner)' has a cluster \(cluster), of \(layout.clusterCount) there are: the file system is damaged"
        )
      }
      // Whoever is longer than the file system leads in a circle.
      guard count < min(most, layout.clusterCount) else {
        throw refuse(
          layout.offset(of: cluster),
          "'\(owner)' has more than the \(most) clusters it can have: the file system is damaged")
      }
      count += 1
      if let last = runs.last, last.first + last.count == cluster {
        runs[runs.count - 1].count += 1
      } else {
        runs.append(Run(first: cluster, count: 1))
      }
      let next = try table.entry(cluster)
      if next >= layout.kind.endOfChain { return runs }
      guard next != 0 else {
        throw refuse(
          layout.offset(of: cluster),
          "'\(owner)' goes on in a cluster that is free: the file system is damaged")
      }
      cluster = next
    }
  }

  /// The clusters of a file or folder, as many as its size needs.
  func runs(of entry: FATEntry, path: String) throws(StorageError) -> [Run] {
    if entry.isFolder {
      return try chain(
        from: entry.firstCluster,
        most: UInt32((FATVolume.mostFolderBytes + layout.clusterSize - 1) / layout.clusterSize),
        of: path)
    }
    if entry.size == 0 {
      if entry.firstCluster == 0 { return [] }
      // Clusters without a size: somebody was cut off. They are the file's, and go with it.
      return try chain(from: entry.firstCluster, most: layout.clusterCount, of: path)
    }
    let size = UInt64(layout.clusterSize)
    let needed = (UInt64(entry.size) + size - 1) / size
    let runs = try chain(from: entry.firstCluster, most: layout.clusterCount, of: path)
    let count = runs.reduce(UInt64(0)) { $0 + UInt64($1.count) }
    if count < needed {
      throw refuse(
        layout.offset(of: entry.firstCluster),
        "'\(path)' has \(entry.size) bytes, but only \(count) clusters of \(size): the file system is damaged"
      )
    }
    return runs
  }

  // MARK: Folders

  func isRoot(_ entry: FATEntry) -> Bool { entry.places.isEmpty && entry.name.isEmpty }

  /// Where a folder's bytes are on the volume: pieces in their order.
  func pieces(of folder: FATEntry, path: String) throws(StorageError) -> [(
    offset: UInt64, count: Int
  )] {
    if isRoot(folder) && layout.kind != .fat32 {
      return [(layout.rootOffset, layout.rootEntryCount * 32)]
    }
    var entry = folder
    // An entry ".." that leads to the root has 0.
    if entry.firstCluster == 0 {
      if layout.kind != .fat32 { return [(layout.rootOffset, layout.rootEntryCount * 32)] }
      entry.firstCluster = layout.rootCluster
    }
    return try runs(of: entry, path: path).map { run in
      (layout.offset(of: run.first), Int(run.count) * layout.clusterSize)
    }
  }

  /// What is in a folder, without "." and "..": those are where they belong, the first two of it. Elsewhere, and of files, they are names
  /// as any other.
  public func entries(of folder: FATEntry, path: String = "") throws(StorageError) -> [FATEntry] {
    try scan(folder, path: path).entries
  }

  func scan(_ folder: FATEntry, path: String) throws(StorageError) -> (
    entries: [FATEntry], label: String?
  ) {
    var reader = FATEntryReader(layout.kind)
    var found: [FATEntry] = []
    var slot = 0
    for piece in try pieces(of: folder, path: path.isEmpty ? "/" : path) {
      let bytes = try store.bytes(at: piece.offset, count: piece.count)
      for at in stride(from: 0, to: bytes.count - 31, by: 32) {
        if let entry = reader.take(bytes[at..<at + 32], at: piece.offset + UInt64(at)),
          !(entry.isFolder && (slot, entry.shortName) == (0, "."))
            && !(entry.isFolder && (slot, entry.shortName) == (1, ".."))
        {
          found.append(entry)
        }
        slot += 1
        if reader.isAtEnd { return (found, reader.label) }
      }
    }
    return (found, reader.label)
  }

  /// The root directory.
  public var root: FATEntry { FATEntry.root(layout) }

  /// The volume's label: of the root directory, or of the boot sector.
  public func label() throws(StorageError) -> String? { try scan(root, path: "").label }

  /// The parts of a path; "/" and "\" are the same.
  public static func parts(_ path: String) -> [String] {
    path.split(whereSeparator: { $0 == "/" || $0 == "\\" }).map(String.init).filter { $0 != "." }
  }

  /// The entry of a name in a folder, long or short.
  func find(_ name: String, in entries: [FATEntry]) -> FATEntry? {
    let key = FATNames.key(name)
    return entries.first { FATNames.key($0.name) == key }
      ?? entries.first { FATNames.key($0.shortName) == key }
  }

  /// What a path leads to; nil: there is nothing.
  public func entry(at path: String) throws(StorageError) -> FATEntry? {
    var here = root
    var walked = ""
    for part in FATVolume.parts(path) {
      guard here.isFolder else { return nil }
      guard let next = find(part, in: try entries(of: here, path: walked)) else { return nil }
      here = next
      walked += "/" + next.name
    }
    return here
  }

  // MARK: Reading

  /// Gives a file's bytes to somebody, piece by piece.
  public func read(
    _ entry: FATEntry, path: String, _ sink: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    if entry.isFolder { throw refuse(nil, "'\(path)' is a folder") }
    var left = UInt64(entry.size)
    if left == 0 { return }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    defer { buffer.deallocate() }
    for run in try runs(of: entry, path: path) {
      var offset = layout.offset(of: run.first)
      var rest = min(left, UInt64(run.count) * UInt64(layout.clusterSize))
      left -= rest
      while rest > 0 {
        let count = Int(min(rest, UInt64(buffer.count)))
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        try store.read(at: offset, into: part)
        try sink(UnsafeRawBufferPointer(part))
        offset += UInt64(count)
        rest -= UInt64(count)
      }
    }
  }

  /// Bytes that are free.
  public func freeByteCount() throws(StorageError) -> UInt64 {
    UInt64(try table.countFree()) * UInt64(layout.clusterSize)
  }
}
