// Bytes of any length in a store: pieces that other bytes may share, and an object that lists them.
//
// Owns: the form. Must not know: what the bytes are.
//
// The object (little-endian): how many bytes there are (u64), then the name of each piece of 64 KiB, 32 bytes each.

import Storage
import Store

/// Bytes of any length in a store.
public enum StoredBytes {
  private static let piece = 64 << 10
  /// 16 GiB: the object lists as many pieces.
  private static let longest: UInt64 = 1 << 34

  /// Adds bytes to a batch.
  /// - Returns: the name that leads to them; that of zeros where there are none.
  public static func add(_ bytes: [UInt8], to batch: Batch) throws(StorageError) -> ContentName {
    if bytes.isEmpty { return .zero }
    guard UInt64(bytes.count) <= longest else {
      throw StorageError(path: "(snapshot)", reason: "\(bytes.count) bytes are too many")
    }
    var list = (0..<8).map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) }
    var at = 0
    while at < bytes.count {
      let end = min(at + piece, bytes.count)
      list += try batch.add(Array(bytes[at..<end])).bytes
      at = end
    }
    return try batch.add(list)
  }

  /// The names of the pieces.
  private static func pieces(_ name: ContentName, in store: ContentStore) throws(StorageError) -> (
    count: Int, names: [ContentName]
  ) {
    func refuse() -> StorageError {
      StorageError(path: store.folder, reason: "object \(name.short) is no list of pieces")
    }
    let list = try store.bytes(of: name, limit: 16 << 20)
    guard list.count >= 8 else { throw refuse() }
    let count = list[..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard count <= longest,
      list.count == 8 + (Int(count) + piece - 1) / piece * ContentName.byteCount
    else { throw refuse() }
    let names = list.withUnsafeBytes { list in
      stride(from: 8, to: list.count, by: ContentName.byteCount).map {
        ContentName(list.baseAddress.unsafelyUnwrapped + $0)
      }
    }
    return (Int(count), names)
  }

  /// Reads what was added.
  /// - Parameter limit: bytes that make sense.
  public static func read(_ name: ContentName, in store: ContentStore, limit: Int)
    throws(StorageError)
    -> [UInt8]
  {
    if name == .zero { return [] }
    let (count, names) = try pieces(name, in: store)
    guard count <= limit else {
      throw StorageError(
        path: store.folder,
        reason:
          "object \(name.short) stands for \(count) bytes; \(limit) are the most that make sense")
    }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
    defer { buffer.deallocate() }
    for (index, name) in names.enumerated() {
      let at = index * piece
      try store.read(
        name, into: UnsafeMutableRawBufferPointer(rebasing: buffer[at..<min(at + piece, count)]))
    }
    return Array(buffer)
  }

  /// Notes all that is needed for them.
  public static func mark(_ name: ContentName, in store: ContentStore, _ marks: inout ContentMarks)
    throws(StorageError)
  {
    if name == .zero { return }
    marks.insert(name)
    for name in try pieces(name, in: store).names { marks.insert(name) }
  }
}
