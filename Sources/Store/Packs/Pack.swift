// A pack that is whole, and reading from it.
//
// Owns: its file, opened when it is needed; one object's way out of it. Must not know: roots, other packs.

import Storage

/// A pack of the store's. Reads may come from any thread.
final class Pack: @unchecked Sendable {
  let identity: PackIdentity
  let table: PackTable
  let path: String
  private let files: any StoreFiles
  private let cache: OpenPacks
  private let naming: Naming
  private let lock = StoreMutex()
  private var file: (any StoreFile)?
  private var cipher: (any ContentCipher)?
  /// What died, as the root says or will say. Under the locks of the store.
  var dead: DeadObjects
  /// Whether the room of all that died was given back since the store was opened.
  var isPunched = false
  /// Bytes of room that it takes on the host, when that was last asked.
  var allocated: UInt64 = 0

  init(
    _ identity: PackIdentity, _ table: PackTable, dead: DeadObjects, path: String,
    files: any StoreFiles, cache: OpenPacks, naming: Naming, file: (any StoreFile)?
  ) {
    self.identity = identity
    self.table = table
    self.dead = dead
    self.path = path
    self.files = files
    self.cache = cache
    self.naming = naming
    self.file = file
    if let file {
      allocated = file.allocated()
      cache.add(self)
    }
  }

  /// Opens a pack that a root lists.
  convenience init(
    opening identity: PackIdentity, dead: DeadObjects, path: String, store: [UInt8],
    files: any StoreFiles, cache: OpenPacks, naming: Naming
  ) throws(StorageError) {
    let file = try files.open(path, writable: false)
    let table = try PackTable(file, identity, store: store, seal: naming.seal)
    self.init(
      identity, table, dead: dead, path: path, files: files, cache: cache, naming: naming,
      file: file)
  }

  /// Closes the file until it is needed again.
  func close() { lock.locked { file = nil } }

  private func opened() throws(StorageError) -> any StoreFile {
    if let file = lock.locked({ file }) { return file }
    // Two may come here at once, and then one file is closed again.
    let new = try files.open(path, writable: false)
    lock.locked { file = new }
    cache.add(self)
    return new
  }

  // MARK: Reading

  /// Reads an object that has as many bytes as the buffer.
  /// - Parameter checks: whether what was read is hashed and compared with the name.
  func read(_ index: Int, into buffer: UnsafeMutableRawBufferPointer, checks: Bool)
    throws(StorageError)
  {
    let entry = table.entry(index)
    if table.salt == nil && !entry.isCompressed {
      try opened().read(at: entry.offset, into: buffer)
    } else {
      let kept = try readKept(index)
      defer { withExtendedLifetime(kept) {} }
      if entry.isCompressed {
        try decompress(index, kept, into: buffer)
      } else {
        buffer.copyMemory(from: kept.buffer.reading)
      }
    }
    if checks { try check(index, buffer.reading) }
  }

  private func decompress(
    _ index: Int, _ kept: ByteRoom, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StorageError) {
    if !PackDecompressor.decompress(kept.buffer.reading, into: buffer) {
      throw damage(index, "is no zstd frame of \(buffer.count) bytes")
    }
  }

  private func check(_ index: Int, _ contents: UnsafeRawBufferPointer) throws(StorageError) {
    if naming.name(contents) != table.name(index) {
      throw damage(index, "is damaged: its contents are not what it is named after")
    }
  }

  /// The object as the pack has it, but decrypted, if its contents are what they should be.
  func readToCopy(_ index: Int) throws(StorageError) -> ByteRoom {
    let entry = table.entry(index)
    let kept = try readKept(index)
    defer { withExtendedLifetime(kept) {} }
    if entry.isCompressed {
      let contents = ByteRoom(count: entry.length)
      defer { withExtendedLifetime(contents) {} }
      try decompress(index, kept, into: contents.buffer)
      try check(index, contents.buffer.reading)
    } else {
      try check(index, kept.buffer.reading)
    }
    return kept
  }

  /// The object as the pack has it, but decrypted.
  private func readKept(_ index: Int) throws(StorageError) -> ByteRoom {
    let entry = table.entry(index)
    let kept = ByteRoom(count: entry.stored)
    defer { withExtendedLifetime(kept) {} }
    try opened().read(at: entry.offset, into: kept.buffer)
    guard table.salt != nil else { return kept }
    let open = ByteRoom(count: entry.stored - SealLimits.tagSize)
    defer { withExtendedLifetime(open) {} }
    let isOpen = try lock.locked { () throws(StorageError) in
      try decrypter()?.open(UInt64(index), known: [], kept.buffer.reading, into: open.pointer)
        ?? false
    }
    if !isOpen { throw damage(index, "was changed, or was sealed by another key") }
    return open
  }

  /// Inside the lock.
  private func decrypter() throws(StorageError) -> (any ContentCipher)? {
    if let cipher { return cipher }
    guard let salt = table.salt, let seal = naming.seal else { return nil }
    let new = try seal.cipher(salt: salt, encrypts: false, for: path)
    cipher = new
    return new
  }

  func damage(_ index: Int, _ reason: String) -> StorageError {
    StorageError(
      path: path, offset: table.entry(index).offset,
      reason: "object \(table.name(index).short) \(reason)")
  }

  // MARK: Room

  /// Bytes that objects in it take, without those that died.
  func liveBytes(_ dead: DeadObjects) -> UInt64 {
    var sum: UInt64 = 0
    for index in 0..<table.count where !dead.contains(index) {
      sum += UInt64(table.entry(index).stored)
    }
    return sum
  }

  /// Gives the room of what died back to the host.
  func punch() throws(StorageError) {
    let file = try files.open(path, writable: true)
    let page = UInt64(PackLayout.page)
    // Whatever tables say, nothing of what lives is touched: holes are between the living.
    var living = (0..<table.count).lazy.filter { !self.dead.contains($0) }
      .map { index -> (UInt64, UInt64) in
        let entry = self.table.entry(index)
        return (entry.offset, entry.end)
      }.sorted { $0.0 < $1.0 }
    living.append((table.tableOffset, table.tableOffset))
    var end = UInt64(PackLayout.headerSize)
    for (start, next) in living {
      let from = (end + page - 1) / page * page
      let to = start / page * page
      if from < to { file.punch(at: from, count: to - from) }
      end = max(end, next)
    }
    allocated = file.allocated()
    isPunched = true
  }
}

/// The packs whose files are open: so many at most, as a process may have few.
final class OpenPacks: @unchecked Sendable {
  private struct Mention {
    weak var pack: Pack?
  }
  private static let most = 64
  private let lock = StoreMutex()
  private var packs = [Mention](repeating: Mention(), count: OpenPacks.most)
  private var next = 0

  /// Notes one more; the oldest is closed, after whoever reads it now.
  func add(_ pack: Pack) {
    let old = lock.locked {
      let old = packs[next].pack
      packs[next].pack = pack
      next = (next + 1) % OpenPacks.most
      return old
    }
    if old !== pack { old?.close() }
  }
}
