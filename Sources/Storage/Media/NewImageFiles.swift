// Files that come into being all at once, or not at all.
//
// Owns: making them under other names, bringing them to stable storage, giving them their names at the end. Must not know: what is in them.

import Host
import Synchronization

/// The files of an image that is being made. They have their names after `finish`; without it nothing is left of them.
public final class NewImageFiles {
  private struct File {
    var place: String
    var path: String
    var store: HostFile
    var unsynced: UnsyncedStore?
  }
  private var files: [File] = []
  private let replaces: Bool
  private let suffix: String
  /// Files that stay, whatever happens, when they are not finished.
  private let keepsUnfinished: Bool
  private let syncs: Bool
  private var isFinished = false
  /// What the files have for a suffix that a first one, not finished and now removed, would have named.
  private var staleSuffixes: [String] = []
  private static let ending = ".new"
  /// How files begin that hold others' snapshots and backups: roots and packs of stores, logs of what was overwritten.
  private static let kept: Set<String> = ["APUSROOT", "APUSPACK", "APUSUNDO"]
  /// What the user should hear, a line each.
  public private(set) var notes: [String] = []

  /// - Parameters:
  ///   - replaces: files that have the names already are replaced at the end.
  ///   - suffix: what the names get meanwhile; nil: one that no other process has.
  ///   - keepsUnfinished: unfinished files stay for somebody who goes on with them.
  ///   - syncs: files are on stable storage before they have their names; otherwise when the host likes.
  public init(
    replaces: Bool = false, suffix: String? = nil, keepsUnfinished: Bool = false, syncs: Bool = true
  ) {
    self.replaces = replaces
    self.syncs = syncs
    self.suffix = suffix ?? ".\(HostProcess.ownNumber)\(NewImageFiles.ending)"
    self.keepsUnfinished = keepsUnfinished
  }

  deinit { if !isFinished && !keepsUnfinished { abandon() } }

  /// Where a file is until it has its name.
  public func place(of path: String) -> String {
    guard !keepsUnfinished, let first = files.first, first.path != path else {
      return HostPath.beside(path, suffix: suffix)
    }
    return HostPath.beside(path, suffix: NewImageFiles.partSuffix(suffix, of: first.path))
  }

  /// The suffix of the files that the first one names: it says whose they are, so that nobody takes those of another image for them.
  private static func partSuffix(_ suffix: String, of first: String) -> String {
    var hash: UInt32 = 2_166_136_261
    for byte in ImageFiles.lastName(first).utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    let digits = String(hash)
    return suffix.dropLast(ending.count) + String(repeating: "0", count: 10 - digits.count)
      + digits + ending
  }

  /// Makes a file that will have this path, empty and locked.
  public func make(_ path: String) throws(StorageError) -> any ByteStore {
    if files.contains(where: { $0.path == path }) {
      throw StorageError(path: path, reason: "would be made twice")
    }
    removeNamed(path)
    try checkName(path)
    removeStale(path)
    let place = place(of: path)
    let store = try HostFile(creating: place, named: path)
    // Nobody finds it before it is whole: what is flushed on the way is flushed at the end.
    let unsynced = keepsUnfinished ? nil : UnsyncedStore(store)
    files.append(File(place: place, path: path, store: store, unsynced: unsynced))
    if let unsynced { return unsynced }
    return store
  }

  /// Takes a file that somebody began to make under the same suffix.
  public func adopt(_ path: String) throws(StorageError) -> any ByteStore {
    if files.isEmpty { staleSuffixes = [suffix] }
    removeNamed(path)
    try checkName(path)
    let place = place(of: path)
    let store = try HostFile(path: place, writable: true)
    if let refusal = store.writeRefusal {
      throw StorageError(path: place, reason: "may not be written: \(refusal)")
    }
    files.append(File(place: place, path: path, store: store))
    return store
  }

  /// A file that was made or adopted here.
  func store(of path: String) -> (any ByteStore)? {
    guard let file = files.first(where: { $0.path == path }) else { return nil }
    if let unsynced = file.unsynced { return unsynced }
    return file.store
  }

  /// Removes what a program that was killed left of the same file. Whoever still makes one has it locked.
  private func removeStale(_ path: String) {
    if keepsUnfinished {
      // Of work that had not come as far as its first note.
      let place = place(of: path)
      if NewImageFiles.isLeft(place), (try? HostFiles.remove(place)) != nil, files.isEmpty {
        staleSuffixes = [suffix]
      }
      return
    }
    let folder = NewImageFiles.folder(of: path)
    let prefix = ImageFiles.lastName(path) + "."
    for name in HostFiles.names(in: folder.isEmpty ? "." : folder)
    where name.hasPrefix(prefix) && name.hasSuffix(NewImageFiles.ending) {
      let number = name.dropFirst(prefix.count).dropLast(NewImageFiles.ending.count)
      let place = folder + name
      guard !number.isEmpty, number.allSatisfy({ $0.isASCII && $0.isNumber }),
        NewImageFiles.isLeft(place)
      else { continue }
      if files.isEmpty {
        let suffix = NewImageFiles.partSuffix(".\(number)\(NewImageFiles.ending)", of: path)
        staleSuffixes.append(suffix)
        removeParts(in: folder, suffix)
      }
      // The first one goes last: as long as it is there, the others are known to be leftovers.
      if (try? HostFiles.remove(place)) != nil { note(place) }
    }
  }

  /// Removes the files that a first one, of which only the unfinished one is there, would have named.
  private func removeParts(in folder: String, _ suffix: String) {
    for name in HostFiles.names(in: folder.isEmpty ? "." : folder) where name.hasSuffix(suffix) {
      removeNamed(folder + name.dropLast(suffix.count), suffix)
      let place = folder + name
      if NewImageFiles.isLeft(place), (try? HostFiles.remove(place)) != nil { note(place) }
    }
  }

  /// Removes a file that had got its name when its maker was killed: it still has the other one, and nothing names it. What somebody else
  /// put there is another file.
  private func removeNamed(_ path: String) {
    if files.isEmpty { return }
    for suffix in staleSuffixes { removeNamed(path, suffix) }
  }

  private func removeNamed(_ path: String, _ suffix: String) {
    guard HostFiles.facts(path, followsLinks: false)?.kind == .file,
      HostFiles.isSame(path, HostPath.beside(path, suffix: suffix)), NewImageFiles.isLeft(path),
      (try? HostFiles.remove(path)) != nil
    else { return }
    note(path)
  }

  private func note(_ place: String) {
    notes.append("removed '\(place)', which an earlier attempt had left")
  }

  /// Whether a file is there that nobody has open.
  private static func isLeft(_ place: String) -> Bool {
    guard HostFiles.facts(place, followsLinks: false)?.kind == .file,
      let left = try? HostFile(path: place, writable: true)
    else { return false }
    defer { left.close() }
    return left.isWritable
  }

  private static func folder(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
  }

  private func checkName(_ path: String) throws(StorageError) {
    if ImageFiles.lastName(path).isEmpty {
      throw .usage(path, "is no name of a file")
    }
    if NBDAddress.isAddress(path) {
      throw StorageError(
        path: path, reason: "an export is made by its server; 'convert -n' fills one that is there")
    }
    if path.hasPrefix(FolderDisk.prefix) {
      throw .usage(
        path, "is a disk as soon as the folder is there: nothing is made (mkdir makes a folder)")
    }
    guard let facts = HostFiles.facts(path, followsLinks: false) else { return }
    if !replaces { throw StorageError(path: path, reason: "exists already") }
    if facts.kind != .file {
      throw StorageError(path: path, reason: "is no regular file, and is not replaced")
    }
    let kind = (try? HostFiles.beginning(of: path, count: 8)).map {
      String(decoding: $0, as: UTF8.self)
    }
    if let kind, NewImageFiles.kept.contains(kind) {
      throw StorageError(
        path: path,
        reason: "is a part of what snapshots or backups are kept in, and is not replaced")
    }
    // Whoever has it open, a machine perhaps, would go on writing to what has no name any more.
    try HostFile(path: path, writable: true).close()
  }

  /// Brings everything to stable storage and gives the files their names, the first one last: it names the others. Where files of another
  /// image have the names of the others, that image's first file goes before: nobody finds one that names files that are not its own.
  public func finish() throws(StorageError) {
    if syncs {
      for file in files {
        file.unsynced?.isUnsynced = false
        try file.store.flush()
      }
    }
    guard let first = files.first else { return }
    let parts = files.dropFirst()
    if replaces, HostFiles.exists(first.path), parts.contains(where: { HostFiles.exists($0.path) })
    {
      try beforeChange()
      try remove(first.path)
    }
    var named: [String] = []
    do throws(StorageError) {
      for file in parts.reversed() {
        try beforeChange()
        try name(file)
        named.append(file.path)
      }
      try beforeChange()
      if !replaces && HostFiles.exists(first.path) {
        throw StorageError(path: first.path, reason: "was made by somebody else meanwhile")
      }
      try move(first)
    } catch {
      if !isKilled { for path in named { try? HostFiles.remove(path) } }
      throw error
    }
    for file in parts {
      try beforeChange()
      try? HostFiles.remove(file.place)
    }
    isFinished = true
    close()
  }

  /// Gives a file that another one will name its name, besides the one that it has: by that it is known as a leftover until
  /// all have theirs.
  private func name(_ file: File) throws(StorageError) {
    if replaces, HostFiles.exists(file.path) {
      try remove(file.path)
      try beforeChange()
    }
    if (try? HostFiles.link(file.place, as: file.path)) == nil {
      if HostFiles.exists(file.path) {
        throw StorageError(path: file.path, reason: "was made by somebody else meanwhile")
      }
      // Not all file systems have files of two names.
      try move(file)
    }
    if syncs { HostFiles.syncFolder(of: file.path) }
  }

  private func move(_ file: File) throws(StorageError) {
    do throws(HostError) { try HostFiles.move(file.place, to: file.path) } catch {
      throw StorageError(path: file.place, reason: "\(error)")
    }
    if syncs { HostFiles.syncFolder(of: file.path) }
  }

  private func remove(_ path: String) throws(StorageError) {
    do throws(HostError) { try HostFiles.remove(path) } catch {
      throw StorageError(path: path, reason: "\(error)")
    }
    if syncs { HostFiles.syncFolder(of: path) }
  }

  /// For tests: for an image's path, what is asked before each change of names; true: everything stays as it is then, as if the process had
  /// been killed.
  static let kills = Mutex<[String: @Sendable () -> Bool]>([:])
  private var isKilled = false

  private func beforeChange() throws(StorageError) {
    let path = files[0].path
    guard let kills = NewImageFiles.kills.withLock({ $0[path] }), kills() else { return }
    isKilled = true
    isFinished = true
    close()
    throw StorageError(path: path, reason: "killed")
  }

  /// Lets go of the files without removing them.
  public func close() { for file in files { file.store.close() } }

  /// Removes what was made.
  public func abandon() {
    for file in files {
      file.store.close()
      try? HostFiles.remove(file.place)
    }
    files = []
    isFinished = true
  }
}
