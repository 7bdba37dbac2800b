// What overlays know of their bases.

import Host
import Testing

@testable import Storage

@Suite struct BaseRecordTests {
  private func hex(_ bytes: [UInt8]) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }

  /// The examples of FIPS 180-2, appendix B, and the empty message.
  @Test func theHashIsSHA256() {
    #expect(
      hex(SHA256.hash([])) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    #expect(
      hex(SHA256.hash(Array("abc".utf8)))
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    let long = Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8)
    #expect(
      hex(SHA256.hash(long)) == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
    let million = [UInt8](repeating: 0x61, count: 1_000_000)
    let expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    #expect(hex(SHA256.hash(million)) == expected)
    // In pieces of any length.
    var hash = SHA256()
    var at = 0
    for step in 1... where at < million.count {
      let end = min(million.count, at + step * 7)
      hash.add(Array(million[at..<end]))
      at = end
      if at == million.count { break }
    }
    #expect(hex(hash.finish()) == expected)
  }

  @Test func theHashIsOfWhatShows() throws {
    var bytes = [UInt8](repeating: 0, count: 5 << 20)
    bytes[3 << 20] = 1
    let scratch = Scratch()
    let path = scratch.file("a", bytes)
    let sparse = scratch.file("b", [])
    let store = try ImageFiles.store(sparse, .writing)
    try store.setSize(5 << 20)
    try store.write(at: 3 << 20, [1])
    store.close()
    let hashes = try [path, sparse].map {
      try BaseRecord.hash(RawImage(try HostFile(path: $0, writable: false)))
    }
    #expect(hashes[0] == hashes[1])
    #expect(try BaseRecord.hash(MemoryImage(bytes: bytes, blockSize: 4096)) == hashes[0])
    bytes[3 << 20] = 2
    #expect(try BaseRecord.hash(MemoryImage(bytes: bytes)) != hashes[0])
  }

  @Test func recordsComeBackFromTheirBytes() throws {
    let scratch = Scratch()
    let path = scratch.file("a", [UInt8](repeating: 7, count: 4096))
    let device = RawImage(try HostFile(path: path, writable: false))
    for hash in [nil, [UInt8](repeating: 3, count: 32)] {
      let record = BaseRecord(of: device, hash: hash)
      #expect(record.files.count == 1 && record.files[0].size == 4096 && record.byteCount == 4096)
      #expect(BaseRecord(bytes: record.bytes) == record)
      // Whatever is in the bytes, nothing else than no record comes of it.
      for at in 0..<record.bytes.count {
        for value: UInt8 in [0, 1, 0xFF] {
          var bytes = record.bytes
          bytes[at] = value
          _ = BaseRecord(bytes: bytes)
          _ = BaseRecord(bytes: Array(bytes.prefix(at)))
        }
      }
    }
    #expect(BaseRecord(bytes: []) == nil)
  }

  @Test func contentsAreReadOnlyWhenSomethingElseDiffers() throws {
    let scratch = Scratch()
    let bytes = [UInt8](repeating: 7, count: 4096)
    let path = scratch.file("a", bytes)
    func device() throws -> RawImage { RawImage(try HostFile(path: path, writable: false)) }
    var readCount = 0
    let hashing: (any BlockDevice) throws(StorageError) -> [UInt8] = {
      device throws(StorageError) in
      readCount += 1
      return try BaseRecord.hash(device)
    }
    let record = BaseRecord(of: try device(), hash: try BaseRecord.hash(try device()))
    #expect(try record.compare(try device(), hashing: hashing) == .same && readCount == 0)
    // Another file with the same contents.
    _ = scratch.file("b", bytes)
    try copy(scratch, "b", "a")
    guard case .sameContents(let now) = try record.compare(try device(), hashing: hashing) else {
      Issue.record("not the same")
      return
    }
    #expect(readCount == 1)
    #expect(try now.compare(try device(), hashing: hashing) == .same && readCount == 1)
    _ = scratch.file("c", [UInt8](repeating: 8, count: 4096))
    try copy(scratch, "c", "a")
    guard case .changed = try record.compare(try device(), hashing: hashing) else {
      Issue.record("not noticed")
      return
    }
    // Without a hash nobody can say.
    var without = now
    without.hash = nil
    guard case .changed(let how) = try without.compare(try device(), hashing: hashing) else {
      Issue.record("not noticed")
      return
    }
    #expect(how.contains("nobody noted"))
  }

  private func copy(_ scratch: Scratch, _ from: String, _ to: String) throws {
    try HostFiles.move(scratch.directory + "/" + from, to: scratch.directory + "/" + to)
  }

  @Test func theRecordLiesBesideOverlaysThatHaveNoRoom() throws {
    let scratch = Scratch()
    _ = scratch.file("base", [UInt8](repeating: 7, count: 1 << 16))
    let path = scratch.file("top", sparse(base: "base", size: 1 << 20))
    let formats: [any ImageFormat] = [SparseFormat()] + ImageFormats.all
    func open() throws -> OpenedImage { try ImageOpener.open(path: path, formats: formats) }
    var image = try open()
    let base = try #require(image.device.whole.base?.whole)
    try BaseCheck.note(
      BaseRecord(of: base, hash: try BaseRecord.hash(base)), of: image.device.whole, at: path)
    image.device.close()
    image = try open()
    image.device.close()
    _ = scratch.file("base", [UInt8](repeating: 8, count: 1 << 16))
    do throws(StorageError) {
      _ = try ImageOpener.open(path: path, formats: formats)
      Issue.record("opened")
    } catch {
      #expect(error.path == path && error.reason.contains("never was"), "\(error)")
    }
  }
}
