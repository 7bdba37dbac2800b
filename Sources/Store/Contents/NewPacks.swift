// Packs that are being made and that no root lists yet.
//
// Owns: beginning the next one where one is long enough; removing all of them. Must not know: why they are made.

import Storage

/// Some new packs, written one behind the other in one thread.
final class NewPacks {
  /// A pack that is longer is followed by another: sweeping copies packs.
  private static let longEnough: UInt64 = 1 << 30
  private unowned let store: ContentStore
  private var writer: PackWriter?
  private var done: [Pack] = []

  init(_ store: ContentStore) { self.store = store }

  /// Bytes that they will have, about.
  var size: UInt64 { done.reduce(writer?.size ?? 0) { $0 + $1.identity.size } }
  var isEmpty: Bool { writer == nil && done.isEmpty }

  /// The pack for the next object.
  func current() throws(StorageError) -> PackWriter {
    if let writer {
      if !writer.isFull && writer.size < NewPacks.longEnough { return writer }
      try finishOne()
    }
    try store.checkMode()
    let number = store.state.locked {
      defer { store.nextPack += 1 }
      return store.nextPack
    }
    let new = try PackWriter(
      store.files, store.path(of: number), number: number, store: store.identity,
      seal: store.naming.seal)
    writer = new
    return new
  }

  private func finishOne() throws(StorageError) {
    guard let writer else { return }
    let (identity, table) = try writer.finish()
    done.append(
      Pack(
        identity, table, dead: DeadObjects(limit: identity.count), path: writer.file.path,
        files: store.files, cache: store.cache, naming: store.naming, file: writer.file))
    self.writer = nil
  }

  /// Brings all of them, and their names, to stable storage.
  func finish() throws(StorageError) -> [Pack] {
    try finishOne()
    if !done.isEmpty { try store.files.syncFolder(store.folder + "/packs") }
    return done
  }

  /// Removes them.
  func discard() {
    if let writer { try? store.files.remove(writer.file.path) }
    for pack in done { try? store.files.remove(pack.path) }
    keep()
  }

  /// They are somebody else's now.
  func keep() {
    writer = nil
    done = []
  }
}
