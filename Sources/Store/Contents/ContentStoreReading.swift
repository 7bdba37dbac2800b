// Objects out of a store.
//
// Owns: finding them, going on where a sweep has moved them. Must not know: files.

import Storage

/// Where an object is, to be mapped.
public struct ContentPlace: Equatable, Sendable {
  /// The file.
  public var path: String
  /// Where it begins; a multiple of 4096 if it has 4096 or more bytes.
  public var offset: UInt64
  /// Its bytes.
  public var length: Int
}

extension ContentStore {
  private func find(_ name: ContentName) -> (pack: Pack, entry: Int)? {
    state.locked {
      guard let (pack, entry) = index.find(name) else { return nil }
      return (packs[pack], entry)
    }
  }

  /// Whether an object is there. Zeros always are.
  public func contains(_ name: ContentName) -> Bool {
    name == .zero || state.locked { index.find(name) != nil }
  }

  /// Which of some objects are there; for many names this is quicker than one by one.
  public func contains(_ names: [ContentName]) -> [Bool] {
    state.locked { names.map { $0 == .zero || index.find($0) != nil } }
  }

  /// How many bytes an object has; nil: it is not there, or it is that of zeros, which has any length.
  public func length(of name: ContentName) -> Int? {
    find(name).map { $0.pack.table.entry($0.entry).length }
  }

  /// Reads an object.
  /// - Parameters:
  ///   - buffer: has as many bytes as the object.
  ///   - checks: whether the contents are hashed and compared with the name (some microseconds for a page). Without that, what was damaged, or
  ///     was swept while a store open for reading was not looked at again, is not noticed.
  public func read(
    _ name: ContentName, into buffer: UnsafeMutableRawBufferPointer, checks: Bool = true
  ) throws(StorageError) {
    if name == .zero {
      if buffer.count > 0 { buffer.initializeMemory(as: UInt8.self, repeating: 0) }
      return
    }
    var last: Pack?
    while true {
      guard let (pack, entry) = find(name) else {
        if try refresh() { continue }
        throw StorageError(
          path: folder, reason: "object \(name.short) is not in the store\(lossInWords)")
      }
      let length = pack.table.entry(entry).length
      guard length == buffer.count else {
        throw pack.damage(entry, "has \(length) bytes, and \(buffer.count) were asked for")
      }
      do throws(StorageError) {
        return try pack.read(entry, into: buffer, checks: checks)
      } catch {
        // A sweep may have moved it, here or in another program.
        if pack === last { throw error }
        last = pack
        let isNew = try refresh()
        if !isNew, find(name)?.pack === pack { throw error }
      }
    }
  }

  /// Reads an object of any length.
  /// - Parameter limit: bytes that it may have.
  public func bytes(of name: ContentName, limit: Int) throws(StorageError) -> [UInt8] {
    if length(of: name) == nil { try refresh() }
    guard let length = length(of: name) else {
      throw StorageError(
        path: folder, reason: "object \(name.short) is not in the store\(lossInWords)")
    }
    guard length <= limit else {
      throw StorageError(
        path: folder,
        reason: "object \(name.short) has \(length) bytes; \(limit) are the most that make sense")
    }
    let room = ByteRoom(count: length)
    defer { withExtendedLifetime(room) {} }
    try read(name, into: room.buffer)
    return Array(room.buffer)
  }

  private var lossInWords: String {
    lostPacks.first.map { "; it may have been in a pack that is lost: \($0)" } ?? ""
  }

  /// Where an object is in a file, if it is there as it is. Whoever maps it keeps it alive in every sweep, and asks again when the file is gone.
  /// What is mapped is not checked against its name.
  /// - Returns: nil: it is not there, or compressed, or encrypted.
  public func place(_ name: ContentName) -> ContentPlace? {
    guard let (pack, index) = find(name), pack.table.salt == nil else { return nil }
    let entry = pack.table.entry(index)
    if entry.isCompressed { return nil }
    return ContentPlace(path: pack.path, offset: entry.offset, length: entry.length)
  }
}
