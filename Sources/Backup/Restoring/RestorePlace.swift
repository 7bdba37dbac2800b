// Where a machine is restored: the folder in which it is made, and the moves to where it belongs.
//
// Owns: names, what earlier attempts left, the order of the moves. Must not know: what is in the files.

import Host
import Snapshots
import Storage

/// One restore's files.
final class RestorePlace {
  /// The image's folder with a slash, or nothing, and its name.
  let parent: String
  let name: String
  /// Where everything is made.
  let folder: String
  private var list: String { folder + "/.ready" }
  private var old: String { folder + "/.old" }
  /// Held while the folder is in use.
  private var lock: (any ByteStore)?
  private var snapshots: String { name + ".snapshots" }

  init(_ image: String) {
    name = RestorePlace.lastName(image)
    parent = String(image.dropLast(name.count))
    folder = parent + "." + name + ".restoring"
  }

  static func lastName(_ path: String) -> String {
    path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
  }

  func target(_ name: String) -> String { parent + name }

  private func failure(_ path: String, _ error: HostError) -> StorageError {
    StorageError(path: path, reason: error.reason)
  }

  private func doing(_ path: String, _ body: () throws(HostError) -> Void) throws(StorageError) {
    do throws(HostError) { try body() } catch { throw failure(path, error) }
  }

  /// Undoes what an attempt before has left, and makes the folder.
  func begin() throws(StorageError) {
    if name.isEmpty || name == "." || name == ".." {
      var error = StorageError(path: parent + name, reason: "is no name of a file")
      error.isUsage = true
      throw error
    }
    if let facts = HostFiles.facts(folder, followsLinks: false) {
      guard facts.kind == .folder else {
        throw StorageError(path: folder, reason: "is there and is no folder")
      }
      try takeLock()
      try undo()
      removeFolder()
    }
    try doing(folder) { () throws(HostError) in
      try HostFiles.makeFolder(folder, isPrivate: true)
    }
    try takeLock()
  }

  /// Takes back what was moved, if not everything was.
  private func undo() throws(StorageError) {
    // The image is moved last: where it is here no more, only this folder was left to be removed.
    if HostFiles.exists(folder + "/" + name),
      let text = try? HostFiles.read(list, limit: 1 << 20)
    {
      // It was cut off among its moves: what has left the folder is that attempt's.
      for name in String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
      where !name.contains("/") && HostFiles.facts(folder + "/" + name) == nil {
        if name.hasSuffix(".snapshots") {
          SnapshotTree.remove(target(name))
        } else {
          try doing(target(name)) { () throws(HostError) in try HostFiles.remove(target(name)) }
        }
      }
    }
  }

  /// Nothing is left of this one.
  func abandon() {
    try? undo()
    removeFolder()
  }

  /// Nobody else restores there meanwhile.
  private func takeLock() throws(StorageError) {
    let path = folder + "/.lock"
    if !HostFiles.exists(path) {
      try doing(path) { () throws(HostError) in try HostFiles.writeAtomically(path, []) }
    }
    do throws(StorageError) { lock = try ImageFiles.store(path, .writing) } catch {
      throw StorageError(
        path: target(name), reason: "something is being restored there already (\(error.reason))")
    }
  }

  /// Refuses names that are taken.
  func check(replaces: Bool, _ names: [String]) throws(StorageError) {
    for name in Set(names + [snapshots]).sorted() {
      guard let facts = HostFiles.facts(target(name), followsLinks: false) else { continue }
      if !replaces {
        removeFolder()
        var error = StorageError(
          path: target(name),
          reason:
            "exists already: give another name, or --replace, which puts the point in its place")
        error.isUsage = true
        throw error
      }
      if name.hasSuffix(".snapshots") { continue }
      if facts.kind == .file {
        // A machine that runs with it has it locked.
        do throws(StorageError) { try ImageFiles.store(target(name), .writing).close() } catch {
          removeFolder()
          throw error
        }
      } else {
        removeFolder()
        throw StorageError(path: target(name), reason: "is no regular file, and is not replaced")
      }
    }
  }

  /// Gives everything its name.
  func finish(_ names: [String]) throws(StorageError) {
    HostFiles.syncFolder(of: folder + "/x")
    try doing(list) { () throws(HostError) in
      try HostFiles.writeAtomically(list, Array(names.joined(separator: "\n").utf8))
    }
    HostFiles.syncFolder(of: list)
    HostFiles.syncFolder(of: folder)
    // Snapshots first: without the image nobody uses them, and those of an image that is replaced are worth nothing.
    let present = target(snapshots)
    if HostFiles.exists(present) {
      try doing(present) { () throws(HostError) in try HostFiles.move(present, to: old) }
      SnapshotTree.remove(old)
    }
    for name in names.reversed() {
      let target = target(name)
      try doing(target) { () throws(HostError) in
        try HostFiles.move(folder + "/" + name, to: target)
      }
    }
    HostFiles.syncFolder(of: target(name))
    removeFolder()
  }

  /// Removes what was made, and nothing that was moved.
  private func removeFolder() {
    for name in HostFiles.names(in: folder) where name != "." && name != ".." {
      let path = folder + "/" + name
      if HostFiles.facts(path, followsLinks: false)?.kind == .folder {
        SnapshotTree.remove(path)
      } else if name != ".ready", name != ".lock" {
        try? HostFiles.remove(path)
      }
    }
    // The list goes last: with it gone nothing is undone any more.
    try? HostFiles.remove(list)
    try? HostFiles.remove(folder + "/.lock")
    lock?.close()
    lock = nil
    try? HostFiles.removeEmptyFolder(folder)
  }
}
