// The format of a pack: a file of objects.
//
// Owns: the layout, reading a header, table and footer with all their refusals. Must not know: which packs a store has, what objects are.
//
// Numbers are little-endian.
//
//   0   8   "APUSPACK"
//   8   4   version: 1
//   12  4   bit 0: it is sealed
//   16  16  which store it belongs to
//   32  8   its number, which its name has too
//   40  8   0
//   48  32  salt of its key, or zeros
//   80  16  0
// then objects. One of 4096 or more bytes that is neither compressed nor sealed begins at a multiple of 4096; between objects may be anything.
// then the table, 48 bytes for each object:
//   0   32  name
//   32  8   where it begins in the file
//   40  4   bits 0-27: bytes that it has there; bit 28: they are a zstd frame
//   44  4   bytes of its contents, 1 to 16 MiB
// then, as the last 64 bytes of the file:
//   0   8   "APUSTABL"
//   8   4   how many objects there are, at least one
//   12  4   0
//   16  8   where the table begins
//   24  8   bytes that it has in the file
//   32  32  SHA-256 of the header, the table as it is in the file, and the footer's first 32 bytes
//
// In a sealed pack each object is sealed under its index in the table, and the table under 2^64-1 with the header as what is known; each is 16
// bytes longer by that. A pack that is whole is not written any more. Where objects died it may have holes.

import Storage

/// Where an object is in its pack.
struct PackEntry: Equatable {
  var offset: UInt64
  /// Bytes in the file.
  var stored: Int
  var isCompressed: Bool
  /// Bytes of its contents.
  var length: Int

  /// Where it ends in the file.
  var end: UInt64 { offset + UInt64(stored) }
}

/// What the root says of a pack, without what died in it.
struct PackIdentity: Hashable {
  var number: UInt64
  /// Bytes of the file.
  var size: UInt64
  /// Objects in the table.
  var count: Int
  var checksum: ContentName

  /// A file's name.
  static func fileName(_ number: UInt64) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: max(0, 16 - digits.count)) + digits + ".pack"
  }

  /// Whether it is a name of such a file.
  static func isFileName(_ name: String) -> Bool {
    name.utf8.count == 21 && name.hasSuffix(".pack")
      && name.utf8.prefix(16).allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
  }
}

enum PackLayout {
  static let magic = Array("APUSPACK".utf8)
  static let footerMagic = Array("APUSTABL".utf8)
  static let headerSize = 96
  static let entrySize = 48
  static let footerSize = 64
  static let page = 4096
  static let longestObject = 16 << 20
  /// Objects in a pack: as many as an index can tell apart.
  static let mostObjects = 1 << 24 - 1
  static let smallest = UInt64(headerSize + entrySize + footerSize)
  /// The number that a sealed table has.
  static let tableNumber = UInt64.max
  private static let compressed: UInt32 = 1 << 28

  static func header(store: [UInt8], number: UInt64, salt: [UInt8]?) -> ByteRoom {
    let room = ByteRoom(count: headerSize)
    defer { withExtendedLifetime(room) {} }
    room.clear()
    room.set(0, magic)
    room.setLittle(8, UInt32(1))
    room.setLittle(12, UInt32(salt == nil ? 0 : 1))
    room.set(16, store)
    room.setLittle(32, number)
    if let salt { room.set(48, salt) }
    return room
  }

  /// Writes an entry of a table.
  static func put(_ name: ContentName, _ entry: PackEntry, at room: UnsafeMutableRawPointer) {
    name.store(to: room)
    room.storeBytes(of: entry.offset.littleEndian, toByteOffset: 32, as: UInt64.self)
    let word = UInt32(entry.stored) | (entry.isCompressed ? compressed : 0)
    room.storeBytes(of: word.littleEndian, toByteOffset: 40, as: UInt32.self)
    room.storeBytes(of: UInt32(entry.length).littleEndian, toByteOffset: 44, as: UInt32.self)
  }

  /// Reads one.
  static func entry(at place: UnsafeRawPointer) -> PackEntry {
    let word = UInt32(littleEndian: place.load(fromByteOffset: 40, as: UInt32.self))
    return PackEntry(
      offset: UInt64(littleEndian: place.load(fromByteOffset: 32, as: UInt64.self)),
      stored: Int(word & (compressed - 1)), isCompressed: word & compressed != 0,
      length: Int(UInt32(littleEndian: place.load(fromByteOffset: 44, as: UInt32.self))))
  }

  /// Bits of an entry's words that mean nothing.
  static func hasUnknownBits(at place: UnsafeRawPointer) -> Bool {
    UInt32(littleEndian: place.load(fromByteOffset: 40, as: UInt32.self)) >> 29 != 0
  }
}

/// A pack's table, checked.
final class PackTable: Sendable {
  let count: Int
  /// Where the objects end in the file.
  let tableOffset: UInt64
  let salt: [UInt8]?
  let header: [UInt8]
  private let room: ByteRoom
  private let start: Int

  /// - Parameters:
  ///   - room: has the entries.
  ///   - start: where in it.
  init(
    room: ByteRoom, start: Int, count: Int, tableOffset: UInt64, header: [UInt8], salt: [UInt8]?
  ) {
    self.room = room
    self.start = start
    self.count = count
    self.tableOffset = tableOffset
    self.header = header
    self.salt = salt
  }

  /// Where the entries are; as long as the table is there.
  var base: UnsafeRawPointer { UnsafeRawPointer(room.pointer + start) }

  func name(_ index: Int) -> ContentName { ContentName(base + index * PackLayout.entrySize) }
  func entry(_ index: Int) -> PackEntry {
    PackLayout.entry(at: base + index * PackLayout.entrySize)
  }

  /// Reads what a file has.
  convenience init(
    _ file: any StoreFile, _ wanted: PackIdentity, store: [UInt8], seal: (any ContentSeal)?
  ) throws(StorageError) {
    func refuse(_ at: UInt64?, _ reason: String) -> StorageError {
      StorageError(path: file.path, offset: at, reason: reason)
    }
    let size = try file.size()
    guard size == wanted.size, size >= PackLayout.smallest else {
      throw refuse(nil, "has \(size) bytes, and had \(wanted.size) when it was written")
    }
    let footerAt = size - UInt64(PackLayout.footerSize)
    let footer = ByteRoom(count: PackLayout.footerSize)
    defer { withExtendedLifetime(footer) {} }
    try file.read(at: footerAt, into: footer.buffer)
    guard footer.starts(with: PackLayout.footerMagic) else {
      throw refuse(footerAt, "does not end as a pack does")
    }
    let count = Int(footer.little(8, as: UInt32.self))
    guard count == wanted.count, (1...PackLayout.mostObjects).contains(count) else {
      throw refuse(footerAt + 8, "has \(count) objects, and had \(wanted.count)")
    }
    let tableAt: UInt64 = footer.little(16)
    let length: UInt64 = footer.little(24)
    let plain = count * PackLayout.entrySize
    guard length == UInt64(plain + (seal == nil ? 0 : SealLimits.tagSize)),
      tableAt >= UInt64(PackLayout.headerSize), tableAt <= footerAt, footerAt - tableAt == length
    else {
      throw refuse(footerAt + 16, "a table of \(length) bytes at \(tableAt) does not fit")
    }
    // The three parts one behind the other, as they are hashed.
    let stored = Int(length)
    let room = ByteRoom(count: PackLayout.headerSize + stored + 32)
    defer { withExtendedLifetime(room) {} }
    try file.read(at: 0, into: room.slice(0, PackLayout.headerSize))
    try file.read(at: tableAt, into: room.slice(PackLayout.headerSize, stored))
    (room.pointer + PackLayout.headerSize + stored).copyMemory(
      from: footer.pointer, byteCount: 32)
    let checksum = Naming.digest(room.buffer.reading)
    guard checksum == ContentName(footer.pointer + 32), checksum == wanted.checksum else {
      throw refuse(
        tableAt, "the table does not match its checksum, or is another one than the store's")
    }
    let salt = try PackTable.checkHeader(room, wanted, store, isSealed: seal != nil, file.path)
    let header = room.bytes(0, PackLayout.headerSize)
    guard let seal, let salt else {
      self.init(
        room: room, start: PackLayout.headerSize, count: count, tableOffset: tableAt,
        header: header, salt: nil)
      try check(file.path, isSealed: false)
      return
    }
    let open = ByteRoom(count: plain)
    defer { withExtendedLifetime(open) {} }
    let cipher = try seal.cipher(salt: salt, encrypts: false, for: file.path)
    guard
      cipher.open(
        PackLayout.tableNumber, known: header, room.slice(PackLayout.headerSize, stored).reading,
        into: open.pointer)
    else { throw refuse(tableAt, "the table was changed, or was sealed by another key") }
    self.init(
      room: open, start: 0, count: count, tableOffset: tableAt, header: header, salt: salt)
    try check(file.path, isSealed: true)
  }

  /// - Returns: the salt of a sealed one.
  private static func checkHeader(
    _ room: ByteRoom, _ wanted: PackIdentity, _ store: [UInt8], isSealed: Bool, _ path: String
  ) throws(StorageError) -> [UInt8]? {
    func refuse(_ at: UInt64, _ reason: String) -> StorageError {
      StorageError(path: path, offset: at, reason: reason)
    }
    guard room.starts(with: PackLayout.magic) else { throw refuse(0, "is no pack") }
    let version: UInt32 = room.little(8)
    guard version == 1 else { throw refuse(8, "is a pack of version \(version); 1 is known") }
    let flags: UInt32 = room.little(12)
    guard flags == (isSealed ? 1 : 0) else { throw refuse(12, "has flags of \(flags)") }
    guard room.bytes(16, 16) == store else { throw refuse(16, "belongs to another store") }
    let number: UInt64 = room.little(32)
    guard number == wanted.number else {
      throw refuse(32, "says that its number is \(number)")
    }
    return isSealed ? room.bytes(48, SealLimits.saltSize) : nil
  }

  /// Looks at every entry.
  private func check(_ path: String, isSealed: Bool) throws(StorageError) {
    let extra = isSealed ? SealLimits.tagSize : 0
    for index in 0..<count {
      let entry = entry(index)
      let most = entry.isCompressed ? entry.length - 1 : entry.length
      let fits =
        (1...PackLayout.longestObject).contains(entry.length)
        && entry.stored > extra && entry.stored <= most + extra
        && (entry.isCompressed || entry.stored == entry.length + extra)
        && entry.offset >= UInt64(PackLayout.headerSize) && entry.offset <= tableOffset
        && tableOffset - entry.offset >= UInt64(entry.stored)
        && (isSealed || entry.isCompressed || entry.length < PackLayout.page
          || entry.offset % UInt64(PackLayout.page) == 0)
        && !PackLayout.hasUnknownBits(at: base + index * PackLayout.entrySize)
      if !fits || name(index) == .zero {
        throw StorageError(
          path: path, offset: tableOffset + UInt64(index * PackLayout.entrySize),
          reason: "object \(index) of \(entry.length) bytes, \(entry.stored) of them kept at "
            + "\(entry.offset), cannot be")
      }
    }
  }
}
