// Sealed files: what was written comes back to who has the disks' keys, and to nobody else, and only whole.

import Testing

@testable import Storage

@Suite(.enabled(if: OpenSSL.isThere, "OpenSSL 3 is not installed")) struct SealedFileTests {
  private static func key(_ tag: UInt8) -> VolumeKey {
    VolumeKey(SecretBytes([UInt8](repeating: tag, count: 64)), identity: "disk \(tag)")
  }

  private static func seal(_ bytes: [UInt8], chunkSize: Int = 100, _ keys: [VolumeKey] = [key(1)])
    throws -> [UInt8]
  {
    var result: [UInt8] = []
    let writer = try SealedWriter(keys, for: "state", chunkSize: chunkSize) { result += $0 }
    try writer.write(bytes)
    try writer.finish()
    return result
  }

  private static func open(_ bytes: [UInt8], _ keys: [VolumeKey] = [key(1)]) throws -> [UInt8] {
    try SealedFile.open(bytes, keys, for: "state")
  }

  @Test(arguments: [0, 1, 99, 100, 101, 1000, 12345]) func whatWasWrittenComesBack(_ count: Int)
    throws
  {
    let bytes = QCOW2Maker.pattern((count + 7) & ~7, 5).prefix(count)
    let sealed = try Self.seal(Array(bytes))
    #expect(try Self.open(sealed) == Array(bytes))
    #expect(SealedHeader.begins(sealed))
    #expect(sealed != (try Self.seal(Array(bytes))))
    let large = try SealedFile.seal(Array(bytes), [Self.key(1)], for: "state")
    #expect(try Self.open(large) == Array(bytes))
    if count >= 99 {
      #expect(!sealed.contains(Array(bytes.prefix(16))))
    }
  }

  @Test func allDisksAreNeeded() throws {
    let keys = [Self.key(1), Self.key(2)]
    let sealed = try Self.seal([1, 2, 3], keys)
    #expect(try Self.open(sealed, [Self.key(3), Self.key(2), Self.key(1)]) == [1, 2, 3])
    for few in [[Self.key(1)], [Self.key(2)], [], [Self.key(1), Self.key(3)]] {
      do {
        _ = try Self.open(sealed, few)
        Issue.record("it opens without all keys")
      } catch let error as StorageError { #expect(error.reason.contains("not open")) }
    }
    #expect(throws: StorageError.self) { try Self.seal([1], []) }
  }

  @Test func everyBitIsWatched() throws {
    let bytes = QCOW2Maker.pattern(256, 9)
    let sealed = try Self.seal(bytes)
    for at in sealed.indices {
      for bit in [0, 7] {
        var changed = sealed
        changed[at] ^= 1 << UInt8(bit)
        #expect(throws: StorageError.self, "byte \(at)") { try Self.open(changed) }
      }
    }
  }

  @Test func aFileThatIsCutOrLongerIsRefused() throws {
    let sealed = try Self.seal(QCOW2Maker.pattern(256, 9))
    for count in 0..<sealed.count {
      #expect(throws: StorageError.self, "\(count)") { try Self.open(Array(sealed[..<count])) }
    }
    #expect(throws: StorageError.self) { try Self.open(sealed + [0]) }
    #expect(throws: StorageError.self) { try Self.open(sealed + sealed.suffix(40)) }
  }

  @Test func chunksStayWhereTheyAre() throws {
    let header = 48 + 16 + 60
    let size = 4 + 96 + 16
    let sealed = try Self.seal(QCOW2Maker.pattern(96 * 4, 3), chunkSize: 96)
    func chunk(_ n: Int, _ file: [UInt8]) -> [UInt8] {
      Array(file[header + n * size..<header + (n + 1) * size])
    }
    // Two exchanged, one left out, one twice, one of another file.
    let other = try Self.seal(QCOW2Maker.pattern(96 * 4, 3), chunkSize: 96)
    let orders: [[[UInt8]]] = [
      [chunk(1, sealed), chunk(0, sealed), chunk(2, sealed), chunk(3, sealed)],
      [chunk(0, sealed), chunk(2, sealed), chunk(3, sealed)],
      [chunk(0, sealed), chunk(0, sealed), chunk(1, sealed), chunk(2, sealed), chunk(3, sealed)],
      [chunk(0, sealed), chunk(1, other), chunk(2, sealed), chunk(3, sealed)],
      [chunk(0, sealed), chunk(1, sealed), chunk(2, sealed)],
      [chunk(3, sealed)],
    ]
    for order in orders {
      #expect(throws: StorageError.self) {
        try Self.open(Array(sealed[..<header]) + order.flatMap { $0 })
      }
    }
    #expect(throws: StorageError.self) {
      try Self.open(Array(other[..<header]) + Array(sealed[header...]))
    }
  }

  /// Whoever records is stopped at any moment: what was flushed can be read, and what is missing is known to be.
  @Test func whatWasFlushedOfAnUnfinishedFileIsThere() throws {
    var sealed: [UInt8] = []
    let writer = try SealedWriter([Self.key(1)], for: "log", chunkSize: 1000) { sealed += $0 }
    try writer.write(Array("one".utf8))
    try writer.flush()
    try writer.flush()
    try writer.write(Array("two".utf8))
    try writer.flush()
    let whole = sealed.count
    try writer.write(Array("three".utf8))
    try writer.finish()
    #expect(throws: StorageError.self) { try writer.write([1]) }
    for cut in [whole, whole + 3, whole + 10] {
      let reader = try SealedReader(MemoryStore(Array(sealed[..<cut])), [Self.key(1)])
      #expect(try reader.next() == Array("one".utf8))
      #expect(try reader.next() == Array("two".utf8))
      #expect(reader.isCut && !reader.isAtEnd)
      #expect(throws: StorageError.self) { try reader.next() }
    }
  }

  @Test func theKeysAreThoseOfTheDisks() throws {
    let store = try Secret.image(LUKSFormat(), size: 1 << 20)
    let sealed = try SealedFile.seal([7], try Secret.open(store).volumeKeys, for: "state")
    #expect(try Self.open(sealed, try Secret.open(store).volumeKeys) == [7])
    let other = try Secret.image(LUKSFormat(), size: 1 << 20)
    #expect(throws: StorageError.self) { try Self.open(sealed, try Secret.open(other).volumeKeys) }
    #expect(MemoryImage(bytes: [0]).volumeKeys.isEmpty)
  }

  /// They are found below layers that keep nothing of their own, and what is encrypted is not kept readable.
  @Test func theKeysAreFoundBelowUndoAndQueue() throws {
    let undo = UndoDevice(try Secret.open(try Secret.image(LUKSFormat(), size: 1 << 20)))
    let keys = undo.volumeKeys
    #expect(keys.count == 1)
    #expect(
      QueuedDevice(undo).volumeKeys.map(ObjectIdentifier.init) == keys.map(ObjectIdentifier.init))
    #expect(throws: StorageError.self) {
      try undo.begin(Undo.log(0, of: undo) { MemoryStore([]) })
    }
    let secret = try ContentSecret(sealing: keys, for: "log")
    let store = MemoryStore([])
    try undo.begin(
      Undo.log(0, of: undo, seal: try UndoSeal(secret, for: "log")) { store })
    try undo.write(block: 5, [UInt8](repeating: 6, count: undo.blockSize))
    try undo.begin(nil)
    #expect(try Undo.open(store, 0, secret: secret).clusters == [UInt64(5 * undo.blockSize >> 16)])
  }
}
