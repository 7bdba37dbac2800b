// A folder of objects that are named after their contents, and one payload that says what they are for.
//
// Owns: what is open of it: root, packs, index; the locks; making and opening. Must not know: virtual machines, what payloads mean.
//
//   FOLDER/root                          what the store is now (StoreRoot.swift)
//   FOLDER/packs/0000000000000001.pack   objects (PackLayout.swift)
//   FOLDER/lock                          locked by the one who writes
//   FOLDER/root.new                      a root that is not one yet
//
// The order that makes it safe against power cuts: objects, table and the pack's name are on stable storage before a root that lists the pack
// is begun; the root is, before it gets its name; and what an old root lists is touched only when the new one is there to stay. Files that no
// root lists are removed when the store is next opened for writing.

import Storage

/// A content-addressed store. It may be used from any thread; batches belong to one each.
public final class ContentStore: @unchecked Sendable {
  /// The folder.
  public let folder: String
  /// Whether it was opened for writing.
  public let isWritable: Bool
  let files: any StoreFiles
  let naming: Naming
  /// 16 random bytes that tell this store from others.
  public let identity: [UInt8]
  let cache = OpenPacks()
  private var held: (any StoreLock)?

  /// Held by whoever changes the root, or opens another one. It is taken before `state`.
  let writing = StoreMutex()
  /// Why nothing can be written any more.
  var broken: StorageError?

  /// Held for moments by whoever looks at what follows or changes it.
  let state = StoreMutex()
  /// In the index's order.
  var packs: [Pack] = []
  /// Listed packs that cannot be used.
  var lost: [LostPack] = []
  var index = ContentIndex(capacity: 0)
  var sequenceNow: UInt64 = 0
  var payloadNow: [UInt8] = []
  var nextPack: UInt64 = 1
  var quotaNow: UInt64?
  /// What lives, while a sweep goes on.
  var sweepKeeps: Set<ContentName>?
  /// What is damaged and is written again when it comes.
  var distrusted: Set<ContentName> = []
  /// What batches that are open found in the store.
  var pins: [Int: Set<ContentName>] = [:]
  var nextBatch = 0

  /// A pack whose table cannot be read.
  struct LostPack {
    var listed: ListedPack
    var reason: StorageError
  }

  // MARK: Making and opening

  /// Makes a store, with nothing in it and an empty payload, and opens it for writing.
  /// - Parameters:
  ///   - folder: is made where there is none, and otherwise empty.
  ///   - keys: of an encrypted store; nil: everyone who has the folder can read it.
  public convenience init(creating folder: String, keys: (any ContentKeys)? = nil)
    throws(StorageError)
  {
    try self.init(creating: folder, keys: keys, files: HostStoreFiles())
  }

  /// Opens a store.
  /// - Parameters:
  ///   - writable: there is one writer at a time, and it removes what an earlier one left unfinished. Readers are not counted; what they see
  ///     is the root that they opened, until they `refresh` or read something that it has no more.
  ///   - keys: of an encrypted store.
  public convenience init(
    opening folder: String, writable: Bool, keys: (any ContentKeys)? = nil
  ) throws(StorageError) {
    try self.init(opening: folder, writable: writable, keys: keys, files: HostStoreFiles())
  }

  init(creating folder: String, keys: (any ContentKeys)?, files: any StoreFiles)
    throws(StorageError)
  {
    let folder = ContentStore.plain(folder)
    try files.makeFolder(folder)
    if files.exists(folder + "/root") {
      var error = StorageError(path: folder, reason: "there is a store already")
      error.nameIsTaken = true
      throw error
    }
    for name in try files.names(in: folder)
    where !["packs", "lock", "root.new", "root.copy"].contains(name) {
      throw StorageError(path: folder, reason: "is not empty: there is '\(name)'")
    }
    held = try files.lock(folder + "/lock")
    let packs = folder + "/packs"
    try files.makeFolder(packs)
    guard files.isFolder(packs) else {
      throw StorageError(path: packs, reason: "is a symbolic link; a store has none")
    }
    self.folder = folder
    self.files = files
    isWritable = true
    naming = Naming(seal: try keys?.makeSeal(for: folder))
    var random = SystemRandomNumberGenerator()
    identity = (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }
    try removeLeftovers()
    // Where there is a root, there is a folder of packs.
    try files.syncFolder(packs)
    try files.syncFolder(folder)
    var isReplaced = false
    try replaceRoot(currentRoot(), &isReplaced)
    // The folder's own name.
    let parent = folder.lastIndex(of: "/").map { String(folder[...$0]) } ?? "."
    try files.syncFolder(parent)
  }

  init(
    opening folder: String, writable: Bool, keys: (any ContentKeys)?, files: any StoreFiles
  ) throws(StorageError) {
    let folder = ContentStore.plain(folder)
    guard files.exists(folder + "/root") else {
      throw StorageError(path: folder, reason: "there is no store: it has no file 'root'")
    }
    held = writable ? try files.lock(folder + "/lock") : nil
    let packs = folder + "/packs"
    guard files.isFolder(packs) else {
      throw StorageError(path: packs, reason: "is no folder, or a symbolic link to one")
    }
    self.folder = folder
    self.files = files
    isWritable = writable
    let (first, seal) = try StoreRoot.read(
      try files.open(folder + "/root", writable: false), keys)
    naming = Naming(seal: seal)
    identity = first.identity
    let loaded = try load(first)
    take(loaded)
    if writable { try removeLeftovers() }
  }

  // MARK: What it is

  /// Whether what it holds is encrypted: names are its own then, and mean nothing in other stores.
  public var isSealed: Bool { naming.seal != nil }

  /// The store's identity as text: 32 hexadecimal digits.
  public var identityText: String {
    identity.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  /// What the last `publish` said, or an empty one.
  public var payload: [UInt8] { state.locked { payloadNow } }

  /// One more with every root. It tells a sweep that nothing was published since its caller looked.
  public var sequence: UInt64 { state.locked { sequenceNow } }

  /// Bytes of room on the host that objects may take; nil: as many as there are. Adding and publishing more is refused; sweeping, and
  /// publishing without new objects, never. It is not kept in the store.
  public var quota: UInt64? {
    get { state.locked { quotaNow } }
    set { state.locked { quotaNow = newValue } }
  }

  /// Packs that the root lists and that cannot be used, with the reasons. Their objects are not there.
  public var lostPacks: [StorageError] { state.locked { lost.map(\.reason) } }

  /// What the store takes.
  public func usage() -> StoreUsage {
    // Who changes what died holds this lock.
    writing.locked {
      let (packs, sequence) = state.locked { (self.packs, sequenceNow) }
      var usage = StoreUsage(sequence: sequence, packs: packs.count)
      for pack in packs {
        usage.onDisk += pack.allocated
        for entry in 0..<pack.table.count where !pack.dead.contains(entry) {
          let entry = pack.table.entry(entry)
          usage.objects += 1
          usage.bytes += UInt64(entry.length)
          usage.stored += UInt64(entry.stored)
        }
      }
      if let root = try? files.open(folder + "/root", writable: false) {
        usage.onDisk += root.allocated()
      }
      return usage
    }
  }

  /// Others may write it from here on; this one only reads.
  public func close() {
    writing.locked {
      broken = StorageError(path: folder, reason: "the store was closed")
      held = nil
    }
  }

  /// A path without slashes at its end.
  static func plain(_ path: String) -> String {
    var path = path
    while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
    return path
  }

  func path(of number: UInt64) -> String { folder + "/packs/" + PackIdentity.fileName(number) }
}

/// What a store takes.
public struct StoreUsage: Equatable, Sendable {
  /// The root's number.
  public var sequence: UInt64
  /// Files of objects.
  public var packs: Int
  /// Objects that are there.
  public var objects = 0
  /// Bytes of their contents.
  public var bytes: UInt64 = 0
  /// Bytes that they have in the packs.
  public var stored: UInt64 = 0
  /// Bytes of room on the host, by its own count, when it was last asked of each file.
  public var onDisk: UInt64 = 0
}
