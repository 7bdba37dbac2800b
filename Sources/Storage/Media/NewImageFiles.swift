// Files that come into being all at once, or not at all.
//
// Owns: making them under other names, bringing them to stable storage, giving them their names at the end. Must not know: what is in them.

import Host

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
    self.suffix = suffix ?? ".\(HostProcess.ownNumber).new"
    self.keepsUnfinished = keepsUnfinished
  }

  deinit { if !isFinished && !keepsUnfinished { abandon() } }

  /// Where a file is until it has its name.
  public func place(of path: String) -> String {
    HostPath.beside(path, suffix: suffix)
  }

  /// Makes a file that will have this path, empty and locked.
  public func make(_ path: String) throws(StorageError) -> any ByteStore {
    if files.contains(where: { $0.path == path }) {
      throw StorageError(path: path, reason: "would be made twice")
    }
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
      if HostFiles.facts(place, followsLinks: false)?.kind == .file,
        let left = try? HostFile(path: place, writable: true)
      {
        if left.isWritable { try? HostFiles.remove(place) }
        left.close()
      }
      return
    }
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    let prefix = ImageFiles.lastName(path) + "."
    for name in HostFiles.names(in: folder.isEmpty ? "." : folder)
    where name.hasPrefix(prefix) && name.hasSuffix(".new") {
      let number = name.dropFirst(prefix.count).dropLast(4)
      let place = folder + name
      guard !number.isEmpty, number.allSatisfy({ $0.isASCII && $0.isNumber }),
        HostFiles.facts(place, followsLinks: false)?.kind == .file,
        let left = try? HostFile(path: place, writable: true), left.isWritable
      else { continue }
      if (try? HostFiles.remove(place)) != nil {
        notes.append("removed '\(place)', which an earlier attempt had left")
      }
      left.close()
    }
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
    // Whoever has it open, a machine perhaps, would go on writing to what has no name any more.
    try HostFile(path: path, writable: true).close()
  }

  /// Brings everything to stable storage and gives the files their names, the first one last: it names the others.
  public func finish() throws(StorageError) {
    if syncs {
      for file in files {
        file.unsynced?.isUnsynced = false
        try file.store.flush()
      }
    }
    for file in files.reversed() {
      if !replaces && HostFiles.exists(file.path) {
        throw StorageError(path: file.path, reason: "was made by somebody else meanwhile")
      }
      do throws(HostError) { try HostFiles.move(file.place, to: file.path) } catch {
        throw StorageError(path: file.place, reason: "\(error)")
      }
      if syncs { HostFiles.syncFolder(of: file.path) }
    }
    isFinished = true
    close()
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

/// A file that has no name yet, so that the order in which its parts reach stable storage matters to nobody.
final class UnsyncedStore: ByteStore {
  private let file: HostFile
  /// Flushes do nothing.
  var isUnsynced = true

  init(_ file: HostFile) { self.file = file }

  var name: String { file.name }
  var size: UInt64 { file.size }
  var isWritable: Bool { file.isWritable }
  var writeRefusal: String? { file.writeRefusal }
  var zeroesCheaply: Bool { file.zeroesCheaply }
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try file.read(at: offset, into: buffer)
  }
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try file.write(at: offset, from: buffer)
  }
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try file.zero(at: offset, count: count, releasing: releasing)
  }
  func setSize(_ size: UInt64) throws(StorageError) { try file.setSize(size) }
  func extend(at offset: UInt64, _ bytes: [UInt8]) throws(StorageError) {
    try file.extend(at: offset, bytes)
  }
  func flush() throws(StorageError) { if !isUnsynced { try file.flush() } }
  func nextData(from offset: UInt64) -> UInt64 { file.nextData(from: offset) }
  func nextHole(from offset: UInt64) -> UInt64 { file.nextHole(from: offset) }
  func mark() -> FileMark { file.mark() }
  func change(since mark: FileMark) -> String? { file.change(since: mark) }
  var displacement: String? { file.displacement }
  func shareLock() { file.shareLock() }
  func unlock() { file.unlock() }
  func lockAgain(exclusive: Bool) throws(StorageError) { try file.lockAgain(exclusive: exclusive) }
  func close() { file.close() }
}
