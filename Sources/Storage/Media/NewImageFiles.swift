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
  }
  private var files: [File] = []
  private let replaces: Bool
  private let suffix: String
  /// Files that stay, whatever happens, when they are not finished.
  private let keepsUnfinished: Bool
  private var isFinished = false

  /// - Parameters:
  ///   - replaces: files that have the names already are replaced at the end.
  ///   - suffix: what the names get meanwhile; nil: one that no other process has.
  ///   - keepsUnfinished: unfinished files stay for somebody who goes on with them.
  public init(replaces: Bool = false, suffix: String? = nil, keepsUnfinished: Bool = false) {
    self.replaces = replaces
    self.suffix = suffix ?? ".\(HostProcess.ownNumber).new"
    self.keepsUnfinished = keepsUnfinished
  }

  deinit { if !isFinished && !keepsUnfinished { abandon() } }

  /// Where a file is until it has its name.
  public func place(of path: String) -> String { path + suffix }

  /// Makes a file that will have this path, empty and locked.
  public func make(_ path: String) throws(StorageError) -> any ByteStore {
    if files.contains(where: { $0.path == path }) {
      throw StorageError(path: path, reason: "would be made twice")
    }
    try checkName(path)
    let place = place(of: path)
    let store = try HostFile(creating: place, named: path)
    files.append(File(place: place, path: path, store: store))
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
  func store(of path: String) -> (any ByteStore)? { files.first { $0.path == path }?.store }

  private func checkName(_ path: String) throws(StorageError) {
    if NBDAddress.isAddress(path) {
      throw StorageError(
        path: path, reason: "an export is made by its server; 'convert -n' fills one that is there")
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
    for file in files { try file.store.flush() }
    for file in files.reversed() {
      if !replaces && HostFiles.exists(file.path) {
        throw StorageError(path: file.path, reason: "was made by somebody else meanwhile")
      }
      do throws(HostError) { try HostFiles.move(file.place, to: file.path) } catch {
        throw StorageError(path: file.place, reason: "\(error)")
      }
      HostFiles.syncFolder(of: file.path)
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
