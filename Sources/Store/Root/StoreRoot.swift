// The format of the root: the one small file that says what a store is.
//
// Owns: the layout, reading it with all refusals. Must not know: how it gets to the medium, what the payload means.
//
// Numbers are little-endian.
//
//   0   8   "APUSROOT"
//   8   4   version: 1
//   12  4   bit 0: the store is sealed
//   16  16  the store's identity, random
//   32  8   sequence number: one more with each root
//   40  8   bytes of the body, not sealed
//   48  4   bytes of the seal's header; 0 where there is none
//   52  12  0
//   64  ... the seal's header
//       32  of a sealed store: salt of the root's key
//       ... body; sealed under 0, with everything before it as what is known
//       32  of a store that is not sealed: SHA-256 of everything before
//
// The body:
//   0   8   the number that the next pack gets
//   8   4   how many packs there are
//   12  4   0
//   16  8   bytes of the payload
//   then for each pack, numbers ascending:
//       8   number
//       8   bytes of the file
//       4   objects in it
//       4   bit 0: some died
//       32  the checksum that its footer has
//       ... where some died: one bit for each object, the first in the lowest bit
//   then the payload.

import Storage

/// A pack as a root lists it.
struct ListedPack: Equatable {
  var identity: PackIdentity
  var dead: DeadObjects
}

struct StoreRoot {
  static let magic = Array("APUSROOT".utf8)
  static let headerSize = 64
  static let bodyHeaderSize = 24
  static let packSize = 56
  static let longestPayload = 64 << 20
  static let mostPacks = 1 << 20 - 2
  /// Bytes of a file that can be a root.
  static let longest: UInt64 = 1 << 30

  var identity: [UInt8]
  var sequence: UInt64
  var nextPack: UInt64
  var packs: [ListedPack]
  var payload: [UInt8]

  // MARK: Writing

  func encode(_ seal: (any ContentSeal)?, for file: String) throws(StorageError) -> ByteRoom {
    let lists = packs.reduce(0) {
      $0 + StoreRoot.packSize
        + ($1.dead.count > 0 ? DeadObjects.byteCount($1.identity.count) : 0)
    }
    let bodySize = StoreRoot.bodyHeaderSize + lists + payload.count
    let sealHeader = seal?.header ?? []
    guard packs.count <= StoreRoot.mostPacks, payload.count <= StoreRoot.longestPayload,
      UInt64(bodySize) < StoreRoot.longest - 1 << 20, sealHeader.count <= SealLimits.longestHeader
    else {
      throw StorageError(
        path: file,
        reason: "\(packs.count) packs and a payload of \(payload.count) bytes are too many")
    }
    let bodyAt =
      StoreRoot.headerSize + sealHeader.count + (seal == nil ? 0 : SealLimits.saltSize)
    let room = ByteRoom(
      count: bodyAt + bodySize + (seal == nil ? ContentName.byteCount : SealLimits.tagSize))
    defer { withExtendedLifetime(room) {} }
    room.slice(0, bodyAt).initializeMemory(as: UInt8.self, repeating: 0)
    room.set(0, StoreRoot.magic)
    room.setLittle(8, UInt32(1))
    room.setLittle(12, UInt32(seal == nil ? 0 : 1))
    room.set(16, identity)
    room.setLittle(32, sequence)
    room.setLittle(40, UInt64(bodySize))
    room.setLittle(48, UInt32(sealHeader.count))
    room.set(StoreRoot.headerSize, sealHeader)
    guard let seal else {
      encodeBody(room, bodyAt)
      Naming.digest(room.slice(0, bodyAt + bodySize).reading)
        .store(to: room.pointer + bodyAt + bodySize)
      return room
    }
    let salt = try seal.salt(for: file)
    room.set(bodyAt - SealLimits.saltSize, salt)
    let body = ByteRoom(count: bodySize)
    defer { withExtendedLifetime(body) {} }
    encodeBody(body, 0)
    let cipher = try seal.cipher(salt: salt, encrypts: true, for: file)
    guard
      cipher.seal(
        0, known: room.bytes(0, bodyAt), body.buffer.reading, into: room.pointer + bodyAt)
    else { throw StorageError(path: file, reason: "cannot be encrypted") }
    return room
  }

  private func encodeBody(_ room: ByteRoom, _ start: Int) {
    room.setLittle(start, nextPack)
    room.setLittle(start + 8, UInt32(packs.count))
    room.setLittle(start + 12, UInt32(0))
    room.setLittle(start + 16, UInt64(payload.count))
    var at = start + StoreRoot.bodyHeaderSize
    for pack in packs {
      room.setLittle(at, pack.identity.number)
      room.setLittle(at + 8, pack.identity.size)
      room.setLittle(at + 16, UInt32(pack.identity.count))
      room.setLittle(at + 20, UInt32(pack.dead.count > 0 ? 1 : 0))
      pack.identity.checksum.store(to: room.pointer + at + 24)
      at += StoreRoot.packSize
      if pack.dead.count > 0 {
        pack.dead.store(to: room.pointer + at)
        at += DeadObjects.byteCount(pack.identity.count)
      }
    }
    room.set(at, payload)
  }

  // MARK: Reading

  /// Reads a root.
  /// - Returns: also the store's seal.
  static func read(
    _ file: any StoreFile, _ keys: (any ContentKeys)?, known: (any ContentSeal)? = nil
  ) throws(StorageError) -> (root: StoreRoot, seal: (any ContentSeal)?) {
    func refuse(_ at: UInt64?, _ reason: String) -> StorageError {
      StorageError(path: file.path, offset: at, reason: reason)
    }
    let size = try file.size()
    guard size >= UInt64(headerSize + bodyHeaderSize), size <= longest else {
      throw refuse(nil, "is no root of a store: it has \(size) bytes")
    }
    // The header says how long the file is; a hostile one must be so long.
    let head = ByteRoom(count: headerSize)
    defer { withExtendedLifetime(head) {} }
    try file.read(at: 0, into: head.buffer)
    guard head.starts(with: magic) else { throw refuse(0, "is no root of a store") }
    let version: UInt32 = head.little(8)
    guard version == 1 else {
      throw refuse(8, "is the root of a store of version \(version); 1 is known")
    }
    let flags: UInt32 = head.little(12)
    guard flags <= 1 else { throw refuse(12, "has flags of \(flags)") }
    let isSealed = flags == 1
    let bodySize: UInt64 = head.little(40)
    let sealSize = Int(head.little(48, as: UInt32.self))
    guard isSealed ? (0...SealLimits.longestHeader).contains(sealSize) : sealSize == 0 else {
      throw refuse(48, "has a seal of \(sealSize) bytes")
    }
    let bodyAt = headerSize + sealSize + (isSealed ? SealLimits.saltSize : 0)
    let endSize = isSealed ? SealLimits.tagSize : ContentName.byteCount
    guard bodySize >= UInt64(bodyHeaderSize), bodySize <= longest,
      UInt64(bodyAt) + bodySize + UInt64(endSize) == size
    else { throw refuse(40, "a body of \(bodySize) bytes in a file of \(size) cannot be") }
    let room = ByteRoom(count: Int(size))
    defer { withExtendedLifetime(room) {} }
    try file.read(at: 0, into: room.buffer)
    // Read twice: what counts is the second time.
    guard room.slice(0, headerSize).elementsEqual(head.buffer) else {
      throw refuse(0, "changes while it is read")
    }
    var seal: (any ContentSeal)?
    let body: (room: ByteRoom, at: Int)
    if isSealed {
      let sealHeader = room.bytes(headerSize, sealSize)
      let opened: any ContentSeal
      if let known, known.header == sealHeader {
        opened = known
      } else if let keys {
        opened = try keys.openSeal(sealHeader, for: file.path)
      } else {
        throw refuse(12, "the store is encrypted: the keys of the machine's disks are needed")
      }
      let salt = room.bytes(bodyAt - SealLimits.saltSize, SealLimits.saltSize)
      let cipher = try opened.cipher(salt: salt, encrypts: false, for: file.path)
      let open = ByteRoom(count: Int(bodySize))
      defer { withExtendedLifetime(open) {} }
      guard
        cipher.open(
          0, known: room.bytes(0, bodyAt), room.slice(bodyAt, Int(bodySize) + endSize).reading,
          into: open.pointer)
      else { throw refuse(UInt64(bodyAt), "was changed, or was sealed by another key") }
      seal = opened
      body = (open, 0)
    } else {
      if keys != nil || known != nil {
        throw refuse(12, "the store is not encrypted, and one that is was expected")
      }
      let end = bodyAt + Int(bodySize)
      guard Naming.digest(room.slice(0, end).reading) == ContentName(room.pointer + end) else {
        throw refuse(
          UInt64(end),
          "does not match its checksum: it is damaged ('apus store repair' takes the copy of it, 'root.copy')"
        )
      }
      body = (room, bodyAt)
    }
    let identity = room.bytes(16, 16)
    let root = try decodeBody(
      body.room, body.at, Int(bodySize), identity, head.little(32), file.path)
    return (root, seal)
  }

  private static func decodeBody(
    _ room: ByteRoom, _ start: Int, _ size: Int, _ identity: [UInt8], _ sequence: UInt64,
    _ path: String
  ) throws(StorageError) -> StoreRoot {
    func refuse(_ at: Int, _ reason: String) -> StorageError {
      StorageError(path: path, offset: UInt64(at), reason: reason)
    }
    let nextPack: UInt64 = room.little(start)
    let count = Int(room.little(start + 8, as: UInt32.self))
    let payloadSize: UInt64 = room.little(start + 16)
    guard sequence <= UInt64(Int64.max), nextPack <= UInt64(Int64.max) else {
      throw refuse(start, "the next pack's number, \(nextPack), or the root's own cannot be")
    }
    guard payloadSize <= UInt64(min(longestPayload, size)) else {
      throw refuse(start + 16, "a payload of \(payloadSize) bytes")
    }
    let listEnd = start + size - Int(payloadSize)
    guard count <= mostPacks, count * packSize <= listEnd - start - bodyHeaderSize else {
      throw refuse(start + 8, "\(count) packs do not fit")
    }
    var packs: [ListedPack] = []
    packs.reserveCapacity(count)
    var at = start + bodyHeaderSize
    var last: UInt64 = 0
    for _ in 0..<count {
      guard listEnd - at >= packSize else { throw refuse(at, "the list of packs is cut short") }
      let number: UInt64 = room.little(at)
      let fileSize: UInt64 = room.little(at + 8)
      let objects = Int(room.little(at + 16, as: UInt32.self))
      let flags: UInt32 = room.little(at + 20)
      guard number > last, number < nextPack else {
        throw refuse(at, "pack \(number) behind pack \(last) cannot be")
      }
      last = number
      // As in a pack: so many objects have so long a table.
      guard (1...PackLayout.mostObjects).contains(objects), fileSize <= UInt64(Int64.max),
        fileSize >= PackLayout.smallest,
        UInt64(objects * PackLayout.entrySize) <= fileSize, flags <= 1
      else {
        throw refuse(
          at + 8, "pack \(number) of \(objects) objects in \(fileSize) bytes cannot be")
      }
      let checksum = ContentName(room.pointer + at + 24)
      at += packSize
      var dead = DeadObjects(limit: objects)
      if flags == 1 {
        let bytes = DeadObjects.byteCount(objects)
        guard listEnd - at >= bytes else { throw refuse(at, "the list of packs is cut short") }
        guard let read = DeadObjects(room.slice(at, bytes).reading, limit: objects) else {
          throw refuse(at, "objects died in pack \(number) that it does not have")
        }
        dead = read
        at += bytes
      }
      packs.append(
        ListedPack(
          identity: PackIdentity(
            number: number, size: fileSize, count: objects, checksum: checksum), dead: dead))
    }
    guard at == listEnd else {
      throw refuse(at, "\(listEnd - at) bytes too many before the payload")
    }
    return StoreRoot(
      identity: identity, sequence: sequence, nextPack: nextPack, packs: packs,
      payload: room.bytes(listEnd, Int(payloadSize)))
  }
}
