// Whether a FAT file system is whole: asked before anything is written to it.
//
// Owns: the walk through all folders, and that no two files have a cluster in common. Must not know: what is to be written.

/// What a walk found.
struct FATWalk {
  /// A file or folder with its path, without a "/" before it.
  struct Item {
    var path: String
    var entry: FATEntry
  }
  private(set) var items: [Item] = []
  /// A bit for each cluster that somebody has.
  private var used: [UInt64]
  private let volume: FATVolume

  /// Walks through everything.
  /// - Parameters:
  ///   - keepsItems: whether `items` is filled.
  ///   - most: more files and folders than that are refused.
  /// - Throws: what is wrong, with its place.
  init(_ volume: FATVolume, keepsItems: Bool = false, most: Int = 4 << 20) throws(StorageError) {
    self.volume = volume
    used = Array(repeating: 0, count: (Int(volume.layout.clusterCount) + 63) / 64)
    if volume.layout.kind == .fat32 {
      try mark(try volume.runs(of: volume.root, path: "/"), "/")
    }
    var waiting: [(entry: FATEntry, path: String, depth: Int)] = [(volume.root, "", 0)]
    var count = 0
    while let folder = waiting.popLast() {
      var names = Set<String>()
      for entry in try volume.entries(of: folder.entry, path: folder.path) {
        let path = folder.path.isEmpty ? entry.name : folder.path + "/" + entry.name
        count += 1
        if count > most { throw volume.refuse(nil, "more than \(most) files and folders") }
        guard names.insert(FATNames.key(entry.name)).inserted else {
          throw volume.refuse(
            entry.places.last, "two files are called '\(path)': the file system is damaged")
        }
        try mark(try volume.runs(of: entry, path: path), path)
        if entry.isFolder {
          if folder.depth >= FATVolume.deepest {
            throw volume.refuse(
              entry.places.last, "folders inside each other more than \(FATVolume.deepest) deep")
          }
          waiting.append((entry, path, folder.depth + 1))
        }
        if keepsItems { items.append(Item(path: path, entry: entry)) }
      }
    }
  }

  private mutating func mark(_ runs: [FATVolume.Run], _ path: String) throws(StorageError) {
    for run in runs {
      for cluster in run.first..<run.first + run.count {
        let (word, bit) = (Int(cluster - 2) / 64, UInt64(1) << (UInt64(cluster - 2) % 64))
        if used[word] & bit != 0 {
          throw volume.refuse(
            volume.layout.offset(of: cluster),
            "'\(path)' has cluster \(cluster) in common with another file: the file system is damaged"
          )
        }
        used[word] |= bit
      }
    }
  }

  /// Clusters that are taken in the FAT and nobody's.
  func lostCount() throws(StorageError) -> UInt32 {
    var lost: UInt32 = 0
    for cluster in 2..<volume.layout.clusterCount + 2 {
      let (word, bit) = (Int(cluster - 2) / 64, UInt64(1) << (UInt64(cluster - 2) % 64))
      if used[word] & bit != 0 { continue }
      let value = try volume.table.entry(cluster)
      if value != 0 && value != volume.layout.kind.bad { lost += 1 }
    }
    return lost
  }
}
