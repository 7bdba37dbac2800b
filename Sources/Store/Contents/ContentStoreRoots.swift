// Reading roots with their packs, and replacing the root.
//
// Owns: the order of the steps, what happens when one fails. Must not know: layouts.

import Storage

extension ContentStore {
  private static let newRoot = "/root.new"
  /// The same as the root, but for a moment: for when that is damaged (`repair`), and the room that a new root needs on a full disk.
  static let rootCopy = "/root.copy"

  /// What a root leads to.
  struct Loaded {
    var root: StoreRoot
    var packs: [Pack]
    var lost: [LostPack]
    var index: ContentIndex
  }

  // MARK: Reading

  /// Opens a root's packs. When one is gone because a writer swept meanwhile, the root that the writer left is opened instead.
  func load(_ first: StoreRoot) throws(StorageError) -> Loaded {
    var root = first
    var known: [PackIdentity: Pack] = [:]
    for pack in state.locked({ packs }) { known[pack.identity] = pack }
    for attempt in 0... {
      var loaded = Loaded(root: root, packs: [], lost: [], index: ContentIndex(capacity: 0))
      var objects = 0
      for listed in root.packs {
        do throws(StorageError) {
          let pack: Pack
          if let there = known[listed.identity], files.exists(there.path) {
            pack = there
            pack.dead = listed.dead
          } else {
            pack = try Pack(
              opening: listed.identity, dead: listed.dead,
              path: path(of: listed.identity.number), store: identity, files: files, cache: cache,
              naming: naming)
            known[listed.identity] = pack
          }
          loaded.packs.append(pack)
          objects += listed.identity.count - listed.dead.count
        } catch {
          loaded.lost.append(LostPack(listed: listed, reason: error))
        }
      }
      if !loaded.lost.isEmpty && !isWritable && attempt < 100 {
        let newer = try readRoot()
        if newer.sequence != root.sequence {
          root = newer
          continue
        }
      }
      loaded.index = ContentIndex(capacity: objects)
      for pack in loaded.packs { loaded.index.insertAll(pack) }
      return loaded
    }
    preconditionFailure("the loop has no end")
  }

  private func readRoot() throws(StorageError) -> StoreRoot {
    let file = try files.open(folder + "/root", writable: false)
    let root = try StoreRoot.read(file, nil, known: naming.seal).root
    guard root.identity == identity else {
      throw StorageError(path: file.path, offset: 16, reason: "another store has taken its place")
    }
    return root
  }

  func take(_ loaded: Loaded) {
    state.locked {
      packs = loaded.packs
      lost = loaded.lost
      index = loaded.index
      sequenceNow = loaded.root.sequence
      payloadNow = loaded.root.payload
      nextPack = max(nextPack, loaded.root.nextPack)
    }
  }

  /// Opens the root again, of a store that is open for reading: somebody may have published since.
  /// - Returns: whether there was another one. If so, payload and objects are its.
  @discardableResult public func refresh() throws(StorageError) -> Bool {
    if isWritable { return false }
    return try writing.locked { () throws(StorageError) in
      let root = try readRoot()
      if root.sequence == sequence { return false }
      take(try load(root))
      return true
    }
  }

  // MARK: Writing

  /// The root as the store is now, with its own number. Under `writing`, or before anybody else has the store.
  func currentRoot() -> StoreRoot {
    state.locked {
      var listed = lost.map(\.listed)
      listed += packs.map { ListedPack(identity: $0.identity, dead: $0.dead) }
      listed.sort { $0.identity.number < $1.identity.number }
      return StoreRoot(
        identity: identity, sequence: sequenceNow, nextPack: nextPack, packs: listed,
        payload: payloadNow)
    }
  }

  /// Makes a root the store's. When this throws the old one is, on stable storage, unless `broken` says otherwise.
  func commit(_ new: StoreRoot, insteadOf old: StoreRoot) throws(StorageError) {
    var isReplaced = false
    do throws(StorageError) {
      try replaceRoot(new, &isReplaced)
    } catch {
      guard isReplaced else { throw error }
      // It has the name, and nobody knows for how long. The old one takes it back.
      var back = old
      back.sequence = new.sequence + 1
      do throws(StorageError) {
        try replaceRoot(back, &isReplaced)
      } catch {
        broken = StorageError(
          path: folder,
          reason: "nothing can be written any more until the store is opened again, as it is not "
            + "known which root is on stable storage: \(error.reason)")
        throw error
      }
      state.locked { sequenceNow = back.sequence }
      throw error
    }
  }

  /// - Parameter isReplaced: becomes true when the root has its name.
  func replaceRoot(_ root: StoreRoot, _ isReplaced: inout Bool) throws(StorageError) {
    let place = folder + ContentStore.newRoot
    let bytes = try root.encode(naming.seal, for: folder + "/root")
    defer { withExtendedLifetime(bytes) {} }
    try files.remove(place)
    do throws(StorageError) {
      do throws(StorageError) { try writeRoot(bytes, to: place) } catch {
        guard error.lacksRoom, files.exists(folder + ContentStore.rootCopy) else { throw error }
        try files.remove(place)
        try files.remove(folder + ContentStore.rootCopy)
        try writeRoot(bytes, to: place)
      }
      try files.rename(place, to: folder + "/root")
    } catch {
      try? files.remove(place)
      throw error
    }
    isReplaced = true
    try files.syncFolder(folder)
    keepCopy(bytes)
  }

  private func writeRoot(_ bytes: ByteRoom, to place: String) throws(StorageError) {
    let file = try files.create(place)
    try file.write(at: 0, from: bytes.buffer.reading)
    try file.sync()
  }

  /// Nobody waits for it, and nothing depends on it.
  private func keepCopy(_ bytes: ByteRoom) {
    let place = folder + ContentStore.rootCopy
    do throws(StorageError) {
      try files.remove(place)
      try files.create(place).write(at: 0, from: bytes.buffer.reading)
    } catch { try? files.remove(place) }
  }

  /// Puts the copy of a damaged root in its place.
  /// - Returns: false: the root is whole, and nothing was done.
  /// - Throws: when the copy is not whole, or is another store's; nothing was done.
  public static func repairRoot(_ folder: String, keys: (any ContentKeys)?) throws(StorageError)
    -> Bool
  {
    let folder = plain(folder)
    let files = HostStoreFiles()
    let lock = try files.lock(folder + "/lock")
    defer { withExtendedLifetime(lock) {} }
    do throws(StorageError) {
      _ = try StoreRoot.read(try files.open(folder + "/root", writable: false), keys)
      return false
    } catch {}
    let copy = try files.open(folder + rootCopy, writable: false)
    _ = try StoreRoot.read(copy, keys)
    let room = ByteRoom(count: Int(try copy.size()))
    defer { withExtendedLifetime(room) {} }
    try copy.read(at: 0, into: room.buffer)
    try files.remove(folder + newRoot)
    let file = try files.create(folder + newRoot)
    try file.write(at: 0, from: room.buffer.reading)
    try file.sync()
    try files.rename(folder + newRoot, to: folder + "/root")
    try files.syncFolder(folder)
    return true
  }

  /// Removes what a writer left that was stopped: files of the store's own kinds that the root does not list.
  func removeLeftovers() throws(StorageError) {
    try files.remove(folder + ContentStore.newRoot)
    var listed = Set(packs.map(\.identity.number))
    for pack in lost { listed.insert(pack.listed.identity.number) }
    let own = Set(listed.map(PackIdentity.fileName))
    for name in try files.names(in: folder + "/packs")
    where PackIdentity.isFileName(name) && !own.contains(name) {
      try files.remove(folder + "/packs/" + name)
    }
  }

  /// Refuses to write what was opened for reading.
  func checkMode() throws(StorageError) {
    if !isWritable { throw StorageError(path: folder, reason: "is open for reading only") }
  }

  /// Refuses whatever would need another root. Under `writing`.
  func checkWritable() throws(StorageError) {
    try checkMode()
    if let broken { throw broken }
  }

  /// Bytes on the host, and of what is about to come; throws when there may not be so many.
  func checkQuota(adding more: UInt64) throws(StorageError) {
    let (quota, used) = state.locked { (quotaNow, packs.reduce(0) { $0 + $1.allocated }) }
    guard let quota, used + more > quota else { return }
    throw StorageError(
      path: folder,
      reason: "its quota of \(quota) bytes does not allow \(more) more: \(used) are in use",
      lacksRoom: true)
  }
}
