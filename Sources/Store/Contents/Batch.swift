// Objects on their way into a store.
//
// Owns: finding out what is new. Must not know: payloads.

import Storage

/// Objects that are added together. Used by one thread at a time; nothing of it is in the store before `ContentStore.publish` returns.
/// A batch that is let go of is abandoned.
public final class Batch {
  let store: ContentStore
  let number: Int
  let compress: Bool
  let packs: NewPacks
  private var own: Set<ContentName> = []
  private let allowance: UInt64
  private var failure: StorageError?
  private var isOver = false

  /// Objects that were new.
  public private(set) var newObjects = 0
  /// Bytes of their contents.
  public private(set) var newBytes: UInt64 = 0

  init(_ store: ContentStore, compress: Bool, number: Int, allowance: UInt64) {
    self.store = store
    self.compress = compress
    self.number = number
    self.allowance = allowance
    packs = NewPacks(store)
  }

  deinit { abandon() }

  /// Adds an object, if there is none of these contents.
  /// - Parameter bytes: 1 byte to 16 MiB.
  /// - Returns: its name; that of zeros, which are never kept, if all bytes are.
  /// - Throws: when it cannot be written, or the store's quota does not allow it. The batch is good for nothing then.
  public func add(_ bytes: UnsafeRawBufferPointer) throws(StorageError) -> ContentName {
    try check()
    guard (1...PackLayout.longestObject).contains(bytes.count) else {
      var error = StorageError(
        path: store.folder,
        reason: "an object has 1 byte to 16 MiB; this one would have \(bytes.count)")
      error.isUsage = true
      throw error
    }
    if ZeroSearch.isZero(bytes) { return .zero }
    let name = store.naming.name(bytes)
    if own.contains(name) || store.reuse(name, in: number) { return name }
    do throws(StorageError) {
      let room = allowance - min(allowance, packs.size)
      if UInt64(bytes.count) > room {
        try store.checkQuota(adding: packs.size + UInt64(bytes.count))
      }
      try packs.current().add(name, bytes, compress: compress)
    } catch {
      failure = error
      packs.discard()
      throw error
    }
    own.insert(name)
    newObjects += 1
    newBytes += UInt64(bytes.count)
    return name
  }

  public func add(_ bytes: [UInt8]) throws(StorageError) -> ContentName {
    let result: Result<ContentName, StorageError> = bytes.withUnsafeBytes { buffer in
      do throws(StorageError) { return .success(try add(buffer)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  /// Whether an object is here or in the store, for those who know its name and not its contents. If so, it will stay: no sweep removes it
  /// while the batch is open.
  public func keep(_ name: ContentName) -> Bool {
    name == .zero || own.contains(name) || (!isOver && store.reuse(name, in: number))
  }

  /// Removes what was written.
  public func abandon() {
    if isOver { return }
    packs.discard()
    end()
  }

  /// Nothing can be added any more.
  func end() {
    if isOver { return }
    isOver = true
    own = []
    store.forgetBatch(number)
  }

  func check() throws(StorageError) {
    if let failure { throw failure }
    if isOver {
      throw StorageError(path: store.folder, reason: "the batch was published or abandoned")
    }
  }
}

extension ContentStore {
  /// Begins to add objects.
  /// - Parameter compress: whether those that become a quarter smaller, or more, are compressed. They cannot be mapped then.
  public func begin(compress: Bool = false) -> Batch {
    let (number, allowance) = state.locked {
      nextBatch += 1
      pins[nextBatch] = []
      let used = packs.reduce(0) { $0 + $1.allocated }
      let quota = quotaNow ?? .max
      return (nextBatch, quota - min(quota, used))
    }
    return Batch(self, compress: compress, number: number, allowance: allowance)
  }

  /// Whether an object is there and will stay: no sweep removes it while the batch is open.
  func reuse(_ name: ContentName, in batch: Int) -> Bool {
    state.locked {
      if index.find(name) == nil || distrusted.contains(name) { return false }
      // A sweep that goes on removes what does not live; what comes is written again.
      if let keeps = sweepKeeps, !keeps.contains(name), pins[batch]?.contains(name) != true {
        return false
      }
      pins[batch]?.insert(name)
      return true
    }
  }

  func forgetBatch(_ number: Int) { _ = state.locked { pins.removeValue(forKey: number) } }

  /// Makes a batch's objects and a payload what the store is. All is on stable storage when this returns.
  /// - Parameters:
  ///   - batch: may not be used any more, whatever happens; nil: no objects.
  ///   - payload: at most 64 MiB. What it needs is what the payload before needed, or was added or kept by the batch.
  /// - Throws: the store is what it was then, also on the medium.
  public func publish(_ batch: Batch?, payload: [UInt8]) throws(StorageError) {
    defer { batch?.end() }
    try writing.locked { () throws(StorageError) in
      do throws(StorageError) {
        try publishLocked(batch, payload)
        batch?.packs.keep()
      } catch {
        // Where it is not known which root is there to stay, the new one's packs are needed.
        if broken == nil { batch?.packs.discard() } else { batch?.packs.keep() }
        throw error
      }
    }
  }

  private func publishLocked(_ batch: Batch?, _ payload: [UInt8]) throws(StorageError) {
    try checkWritable()
    if let batch {
      guard batch.store === self else {
        throw StorageError(path: folder, reason: "the batch is another store's")
      }
      try batch.check()
    }
    guard payload.count <= StoreRoot.longestPayload else {
      throw StorageError(
        path: folder, reason: "a payload of \(payload.count) bytes; 64 MiB are the most")
    }
    let old = currentRoot()
    // Without new objects nothing is refused: who needs less says so before it can be swept.
    if let batch, !batch.packs.isEmpty { try checkQuota(adding: batch.packs.size) }
    let new = try batch?.packs.finish() ?? []
    let mended = mended(by: new)
    var root = old
    root.sequence += 1
    root.nextPack = state.locked { nextPack }
    root.payload = payload
    root.packs += new.map { ListedPack(identity: $0.identity, dead: $0.dead) }
    root.packs.sort { $0.identity.number < $1.identity.number }
    for (pack, entry) in mended {
      guard let at = root.packs.firstIndex(where: { $0.identity == pack.identity }) else {
        continue
      }
      root.packs[at].dead.insert(entry)
    }
    guard root.packs.count <= StoreRoot.mostPacks else {
      throw StorageError(path: folder, reason: "has too many packs: it is to be swept")
    }
    try commit(root, insteadOf: old)
    state.locked {
      for pack in new {
        // What a sweep is about to remove was written again, and what is damaged.
        index.insertAll(pack) { name in
          distrusted.contains(name) || sweepKeeps.map { !$0.contains(name) } ?? false
        }
        packs.append(pack)
      }
      for (pack, entry) in mended {
        pack.dead.insert(entry)
        distrusted.remove(pack.table.name(entry))
      }
      payloadNow = payload
      sequenceNow = root.sequence
    }
  }

  /// Does not count objects as there any more for those who add them: what is added of them is written again, and takes their place. `verify`
  /// tells which are damaged. It holds until they were, or the store is closed.
  public func distrust(_ names: some Sequence<ContentName>) {
    state.locked { distrusted.formUnion(names) }
  }

  /// Which of some names are distrusted, and were not written anew since.
  public func distrusted(among names: [ContentName]) -> [ContentName] {
    state.locked { names.filter { distrusted.contains($0) } }
  }

  /// Damaged objects that are in some new packs too.
  private func mended(by new: [Pack]) -> [(pack: Pack, entry: Int)] {
    state.locked {
      if distrusted.isEmpty { return [] }
      return new.flatMap { pack in
        (0..<pack.table.count).compactMap { entry in
          let name = pack.table.name(entry)
          guard distrusted.contains(name), let (old, place) = index.find(name) else { return nil }
          return (packs[old], place)
        }
      }
    }
  }
}
