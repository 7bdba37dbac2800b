// A pack being written.
//
// Owns: the order of writing, buffers, alignment, sealing. Must not know: which objects are there already, the root.
//
// Objects that need no alignment gather in a buffer of their own, so that pages between them leave no gaps.

import Storage

/// Writes one pack, in one thread. It is nothing until `finish` returns.
final class PackWriter {
  let number: UInt64
  let file: any StoreFile
  private let header: ByteRoom
  private let cipher: (any ContentCipher)?
  private let salt: [UInt8]?
  private var compressor: PackCompressor?
  private var names: [ContentName] = []
  private var entries: [PackEntry] = []
  /// What is not written yet, and where it goes.
  private let waiting = ByteRoom(count: 1 << 20)
  private var filled = 0
  private var position: UInt64 = 0
  /// Objects without alignment, which go behind what waits.
  private let side = ByteRoom(count: 256 << 10)
  private var sideFilled = 0
  private var sideEntries: [Int] = []
  private static let longestOfSide = 32 << 10
  /// Where compressed and sealed objects are made.
  private var work: [ByteRoom?] = [nil, nil]

  /// Makes the file.
  init(
    _ files: any StoreFiles, _ path: String, number: UInt64, store: [UInt8],
    seal: (any ContentSeal)?
  ) throws(StorageError) {
    self.number = number
    if let seal {
      let salt = try seal.salt(for: path)
      self.salt = salt
      cipher = try seal.cipher(salt: salt, encrypts: true, for: path)
    } else {
      salt = nil
      cipher = nil
    }
    header = PackLayout.header(store: store, number: number, salt: salt)
    file = try files.create(path)
    waiting.pointer.copyMemory(from: header.pointer, byteCount: header.count)
    filled = header.count
  }

  var count: Int { entries.count }
  var isFull: Bool { entries.count >= PackLayout.mostObjects }

  /// Bytes that the whole file would have now.
  var size: UInt64 {
    position + UInt64(filled + sideFilled)
      + UInt64(entries.count * PackLayout.entrySize + SealLimits.tagSize + PackLayout.footerSize)
  }

  // MARK: Objects

  /// Adds an object. The caller knows that it is not there yet.
  func add(_ name: ContentName, _ contents: UnsafeRawBufferPointer, compress: Bool)
    throws(StorageError)
  {
    if compress, contents.count >= 64, let small = compressed(contents) {
      try add(name, small, isCompressed: true, length: contents.count)
    } else {
      try add(name, contents, isCompressed: false, length: contents.count)
    }
  }

  /// Adds an object as another pack of a store without keys has it.
  /// - Parameter length: of its contents.
  func add(
    _ name: ContentName, _ kept: UnsafeRawBufferPointer, isCompressed: Bool, length: Int
  ) throws(StorageError) {
    var kept = kept
    if let cipher {
      let room = room(1, kept.count + SealLimits.tagSize)
      guard cipher.seal(UInt64(entries.count), known: [], kept, into: room.pointer) else {
        throw StorageError(path: file.path, reason: "an object cannot be encrypted")
      }
      kept = room.slice(0, kept.count + SealLimits.tagSize).reading
    }
    var entry = PackEntry(
      offset: 0, stored: kept.count, isCompressed: isCompressed, length: length)
    let isAligned = cipher == nil && !isCompressed && length >= PackLayout.page
    if isAligned {
      entry.offset = try append(kept, aligned: true)
    } else if kept.count > PackWriter.longestOfSide {
      entry.offset = try append(kept, aligned: false)
    } else {
      if sideFilled + kept.count > side.count { try flushSide() }
      (side.pointer + sideFilled).copyMemory(from: kept.baseAddress!, byteCount: kept.count)
      entry.offset = UInt64(sideFilled)
      sideFilled += kept.count
      sideEntries.append(entries.count)
    }
    names.append(name)
    entries.append(entry)
  }

  private func compressed(_ contents: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    if compressor == nil { compressor = PackCompressor() }
    let most = contents.count / 4 * 3
    let room = room(0, most)
    guard let size = compressor?.compress(contents, into: room.slice(0, most)) else { return nil }
    return room.slice(0, size).reading
  }

  private func room(_ index: Int, _ count: Int) -> ByteRoom {
    if let room = work[index], room.count >= count { return room }
    let room = ByteRoom(count: max(count, 64 << 10))
    work[index] = room
    return room
  }

  // MARK: Bytes

  private func append(_ bytes: UnsafeRawBufferPointer, aligned: Bool) throws(StorageError)
    -> UInt64
  {
    if aligned {
      let gap = -(Int(truncatingIfNeeded: position) + filled) & (PackLayout.page - 1)
      if gap > waiting.count - filled { try flush() }
      (waiting.pointer + filled).initializeMemory(as: UInt8.self, repeating: 0, count: gap)
      filled += gap
    }
    let offset = position + UInt64(filled)
    var done = 0
    while done < bytes.count {
      if filled == waiting.count { try flush() }
      let part = min(waiting.count - filled, bytes.count - done)
      (waiting.pointer + filled).copyMemory(from: bytes.baseAddress! + done, byteCount: part)
      filled += part
      done += part
    }
    return offset
  }

  private func flushSide() throws(StorageError) {
    if sideFilled == 0 { return }
    let offset = try append(side.slice(0, sideFilled).reading, aligned: false)
    for index in sideEntries { entries[index].offset += offset }
    sideEntries.removeAll(keepingCapacity: true)
    sideFilled = 0
  }

  private func flush() throws(StorageError) {
    try file.write(at: position, from: waiting.slice(0, filled).reading)
    position += UInt64(filled)
    filled = 0
  }

  /// Brings objects, table and footer to stable storage.
  func finish() throws(StorageError) -> (identity: PackIdentity, table: PackTable) {
    try flushSide()
    try flush()
    // A table on the medium says that its objects are there.
    try file.sync()
    let plain = entries.count * PackLayout.entrySize
    let table = ByteRoom(count: PackLayout.headerSize + plain)
    defer { withExtendedLifetime(table) {} }
    table.pointer.copyMemory(from: header.pointer, byteCount: PackLayout.headerSize)
    for (index, entry) in entries.enumerated() {
      PackLayout.put(
        names[index], entry,
        at: table.pointer + PackLayout.headerSize + index * PackLayout.entrySize)
    }
    let stored = plain + (cipher == nil ? 0 : SealLimits.tagSize)
    let end = ByteRoom(count: PackLayout.headerSize + stored + PackLayout.footerSize)
    defer { withExtendedLifetime(end) {} }
    end.pointer.copyMemory(from: table.pointer, byteCount: PackLayout.headerSize)
    let entriesAt = end.pointer + PackLayout.headerSize
    if let cipher {
      guard
        cipher.seal(
          PackLayout.tableNumber, known: header.bytes(0, header.count),
          table.slice(PackLayout.headerSize, plain).reading, into: entriesAt)
      else { throw StorageError(path: file.path, reason: "the table cannot be encrypted") }
    } else {
      entriesAt.copyMemory(from: table.pointer + PackLayout.headerSize, byteCount: plain)
    }
    let footerAt = PackLayout.headerSize + stored
    end.set(footerAt, PackLayout.footerMagic)
    end.setLittle(footerAt + 8, UInt32(entries.count))
    end.setLittle(footerAt + 12, UInt32(0))
    end.setLittle(footerAt + 16, position)
    end.setLittle(footerAt + 24, UInt64(stored))
    let checksum = Naming.digest(end.slice(0, footerAt + 32).reading)
    checksum.store(to: end.pointer + footerAt + 32)
    try file.write(
      at: position,
      from: end.slice(PackLayout.headerSize, stored + PackLayout.footerSize).reading)
    try file.sync()
    let identity = PackIdentity(
      number: number, size: position + UInt64(stored + PackLayout.footerSize),
      count: entries.count, checksum: checksum)
    let header = header.bytes(0, PackLayout.headerSize)
    return (
      identity,
      PackTable(
        room: table, start: PackLayout.headerSize, count: entries.count, tableOffset: position,
        header: header, salt: salt)
    )
  }
}
