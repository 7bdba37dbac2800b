// A folder of the host, as it is when it becomes a disk.
//
// Owns: which files and folders are taken, and what they are like. Must not know: FAT, blocks.

import Host

/// A file or folder of the host.
struct FolderItem: Equatable {
  /// The name in its folder.
  var name: String
  var path: String
  var isFolder: Bool
  var facts: HostFileFacts
  /// Places of what is in a folder in the tree's items.
  var children: [Int] = []
}

/// Everything in a folder.
struct FolderTree {
  /// The folder itself is the first.
  private(set) var items: [FolderItem] = []
  /// What was left out, and why.
  private(set) var notes: [String] = []
  private(set) var byteCount: UInt64 = 0

  static let mostItems = 1 << 17
  static let deepest = 64
  /// Where files are kept that a guest replaced, until the disk is closed.
  static let replacedName = ".apus-replaced"

  init(_ path: String) throws(StorageError) {
    guard let facts = HostFiles.facts(path) else {
      throw StorageError(path: path, reason: "there is no such folder")
    }
    guard facts.kind == .folder else { throw StorageError(path: path, reason: "is no folder") }
    items = [FolderItem(name: "", path: path, isFolder: true, facts: facts)]
    var waiting = [(0, 0)]
    while let (index, depth) = waiting.popLast() {
      if depth > FolderTree.deepest {
        throw StorageError(path: items[index].path, reason: "folders inside each other, too deep")
      }
      for name in HostFiles.names(in: items[index].path).sorted()
      where name != "." && name != ".." && name != FolderTree.replacedName {
        let child = items[index].path + "/" + name
        // A link may lead anywhere, and a guest must not reach what it was not given.
        guard let facts = HostFiles.facts(child, followsLinks: false) else { continue }
        switch facts.kind {
        case .folder: break
        case .file:
          if facts.size > UInt64(UInt32.max) {
            notes.append("'\(child)' has 4 GiB or more and is left out")
            continue
          }
          byteCount += facts.size
        case .link:
          notes.append("'\(child)' is a symbolic link and is left out")
          continue
        case .other:
          notes.append("'\(child)' is neither a file nor a folder and is left out")
          continue
        }
        items.append(
          FolderItem(name: name, path: child, isFolder: facts.kind == .folder, facts: facts))
        items[index].children.append(items.count - 1)
        if items.count > FolderTree.mostItems {
          throw StorageError(
            path: path, reason: "has more than \(FolderTree.mostItems) files and folders")
        }
        if facts.kind == .folder { waiting.append((items.count - 1, depth + 1)) }
      }
    }
    if notes.count > 20 {
      let more = notes.count - 20
      notes = Array(notes.prefix(20)) + ["... and \(more) more"]
    }
  }
}
