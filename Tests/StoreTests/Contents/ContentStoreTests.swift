// The store on the host's file system: what goes in comes out, once, and is named after its contents.

import Foundation
import Testing

@testable import Storage
@testable import Store

@Suite struct ContentStoreTests {
  @Test func namesAreHashes() throws {
    let folder = TestFolder()
    let store = try ContentStore(creating: folder.path)
    let batch = store.begin()
    let name = try batch.add(Array("abc".utf8))
    #expect(
      name.description == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(name.bytes == SHA256.hash(Array("abc".utf8)))
    let long = [UInt8](repeating: 7, count: 100_000)
    #expect(
      long.withUnsafeBytes { Naming.digest($0) }
        == long.withUnsafeBytes {
          Naming.digestInSwift($0)
        })
  }

  @Test(arguments: [false, true]) func whatWasAddedComesBack(_ compress: Bool) throws {
    let folder = TestFolder()
    var random = StoreRandom(1)
    var contents: [ContentName: [UInt8]] = [:]
    do {
      let store = try ContentStore(creating: folder.path)
      let batch = store.begin(compress: compress)
      for size in [1, 2, 63, 64, 100, 4095, 4096, 4097, 65536, 300_000, 1 << 20, 16 << 20] {
        for bytes in [random.bytes(size), random.text(size)] {
          // A single byte may be zero.
          if bytes.allSatisfy({ $0 == 0 }) { continue }
          contents[try batch.add(bytes)] = bytes
        }
      }
      #expect(!store.contains(try #require(contents.keys.first)))
      try store.publish(batch, payload: [1, 2, 3])
      for (name, bytes) in contents { #expect(try store.bytes(name) == bytes) }
      #expect(store.verify().isEmpty)
    }
    for writable in [false, true] {
      let store = try ContentStore(opening: folder.path, writable: writable)
      #expect(store.payload == [1, 2, 3])
      for (name, bytes) in contents {
        #expect(try store.bytes(name) == bytes)
        #expect(store.length(of: name) == bytes.count)
      }
      let usage = store.usage()
      #expect(usage.objects == contents.count && usage.packs == 1)
      #expect(usage.bytes == UInt64(contents.values.reduce(0) { $0 + $1.count }))
      #expect(compress ? usage.stored < usage.bytes * 3 / 4 : usage.stored == usage.bytes)
    }
  }

  @Test func zerosAreNeverKept() throws {
    let folder = TestFolder()
    let store = try ContentStore(creating: folder.path)
    let batch = store.begin()
    #expect(try batch.add([UInt8](repeating: 0, count: 4096)) == .zero)
    #expect(try batch.add([0]) == .zero)
    try store.publish(batch, payload: [])
    #expect(store.usage().packs == 0)
    #expect(store.contains(.zero))
    let room = ByteRoom(count: 5000)
    (room.pointer + 3).storeBytes(of: 7, as: UInt8.self)
    try store.read(.zero, into: room.buffer)
    #expect(room.buffer.allSatisfy { $0 == 0 })
  }

  @Test func sizesThatNoObjectHasAreRefused() throws {
    let folder = TestFolder()
    let store = try ContentStore(creating: folder.path)
    let batch = store.begin()
    #expect(throws: StorageError.self) { try batch.add([]) }
    #expect(throws: StorageError.self) {
      try batch.add([UInt8](repeating: 1, count: 16 << 20 + 1))
    }
    let name = try batch.add([1])
    try store.publish(batch, payload: [])
    let room = ByteRoom(count: 2)
    #expect(throws: StorageError.self) { try store.read(name, into: room.buffer) }
    #expect(throws: StorageError.self) { try store.bytes(ContentName((1, 2, 3, 4))) }
    #expect(throws: StorageError.self) { try batch.add([1]) }
    #expect(throws: StorageError.self) { try store.publish(batch, payload: []) }
    #expect(throws: StorageError.self) {
      try store.publish(nil, payload: [UInt8](repeating: 0, count: 64 << 20 + 1))
    }
    #expect(store.payload == [])
  }

  @Test func theSameContentsAreKeptOnce() throws {
    let folder = TestFolder()
    var random = StoreRandom(2)
    let store = try ContentStore(creating: folder.path)
    let pages = (0..<50).map { _ in random.bytes(4096) }
    let first = store.begin()
    let names = try pages.map { try first.add($0) }
    #expect(try pages.map { try first.add($0) } == names)
    #expect(first.newObjects == 50)
    try store.publish(first, payload: [])
    let second = store.begin()
    #expect(try pages.map { try second.add($0) } == names)
    #expect(second.newObjects == 0)
    try store.publish(second, payload: [2])
    #expect(store.usage().packs == 1 && store.usage().objects == 50)
    // Two batches that do not know of each other.
    let (a, b) = (store.begin(), store.begin())
    let page = random.bytes(4096)
    let name = try a.add(page)
    #expect(try b.add(page) == name)
    try store.publish(b, payload: [])
    try store.publish(a, payload: [])
    #expect(try store.bytes(name) == page)
    #expect(store.usage().objects == 51)
    #expect(try ContentStore(opening: folder.path, writable: false).usage().objects == 51)
  }

  @Test func pagesCanBeMapped() throws {
    let folder = TestFolder()
    var random = StoreRandom(3)
    let store = try ContentStore(creating: folder.path)
    let batch = store.begin()
    var pages: [ContentName: [UInt8]] = [:]
    for n in 0..<600 {
      let bytes = random.bytes(n % 3 == 0 ? 1 + n : n % 50 == 1 ? 65536 : 4096)
      pages[try batch.add(bytes)] = bytes
    }
    try store.publish(batch, payload: [])
    for (name, bytes) in pages {
      let place = try #require(store.place(name))
      #expect(place.length == bytes.count)
      if bytes.count >= 4096 { #expect(place.offset % 4096 == 0) }
      let file = try #require(FileHandle(forReadingAtPath: place.path))
      try file.seek(toOffset: place.offset)
      #expect(try file.read(upToCount: place.length).map { Array($0) } == bytes)
    }
    // What needs no alignment leaves no gaps between what does.
    let usage = store.usage()
    #expect(usage.onDisk < usage.stored + 100_000)
  }

  @Test func thereIsOneWriter() throws {
    let folder = TestFolder()
    let store = try ContentStore(creating: folder.path)
    do throws(StorageError) {
      _ = try ContentStore(opening: folder.path, writable: true)
      Issue.record("there are two")
    } catch { #expect(error.reason.contains("locked")) }
    let reader = try ContentStore(opening: folder.path, writable: false)
    #expect(throws: StorageError.self) { try reader.publish(nil, payload: []) }
    #expect(throws: StorageError.self) { try reader.sweep([]) }
    let batch = reader.begin()
    #expect(throws: StorageError.self) { try batch.add([1]) }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/packs").isEmpty)
    #expect(throws: StorageError.self) { try ContentStore(creating: folder.path) }
    withExtendedLifetime(store) {}
  }

  @Test func aFolderWithOtherThingsIsRefused() throws {
    let folder = TestFolder()
    try FileManager.default.createDirectory(
      atPath: folder.path, withIntermediateDirectories: false)
    try Data([1]).write(to: URL(fileURLWithPath: folder.path + "/thesis"))
    #expect(throws: StorageError.self) { try ContentStore(creating: folder.path) }
    #expect(throws: StorageError.self) {
      try ContentStore(opening: folder.path, writable: true)
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["thesis"])
  }

  @Test func aReaderFollowsTheWriter() throws {
    let folder = TestFolder()
    var random = StoreRandom(4)
    let writer = try ContentStore(creating: folder.path)
    let first = writer.begin()
    let page = random.bytes(4096)
    let name = try first.add(page)
    let gone = try first.add(random.bytes(4096))
    _ = try first.add(random.bytes(4096))
    try writer.publish(first, payload: [1])
    let reader = try ContentStore(opening: folder.path, writable: false)
    let early = try ContentStore(opening: folder.path, writable: false)
    let second = writer.begin()
    let other = try second.add(random.bytes(10))
    try writer.publish(second, payload: [2])
    #expect(reader.payload == [1])
    #expect(!reader.contains(other))
    // What it does not know may have come since.
    #expect(try reader.bytes(other).count == 10)
    #expect(reader.payload == [2])
    // The pack is copied, as less than half of it lives, and goes.
    #expect(try writer.sweep([name, other]) > 0)
    #expect(throws: StorageError.self) { try writer.bytes(gone) }
    #expect(try reader.bytes(name) == page)
    #expect(try reader.refresh())
    #expect(try !reader.refresh())
    #expect(throws: StorageError.self) { try reader.bytes(gone) }
    #expect(try reader.bytes(name) == page)
    #expect(try early.bytes(name) == page)
    #expect(reader.verify().isEmpty && early.verify().isEmpty)
  }

  @Test func filesAreNotKeptOpen() throws {
    let folder = TestFolder()
    var random = StoreRandom(5)
    var names: [ContentName] = []
    // In memory there is nothing to wait for.
    let disk = MemoryFiles()
    let made = try ContentStore(creating: folder.path, keys: nil, files: disk)
    for n in 0..<200 {
      let batch = made.begin()
      names.append(try batch.add(random.bytes(100)))
      try made.publish(batch, payload: [UInt8(n)])
    }
    for path in [folder.path, folder.path + "/packs"] {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }
    for path in disk.paths {
      try Data(disk[path] ?? []).write(to: URL(fileURLWithPath: path))
    }
    let before = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
    do {
      let store = try ContentStore(opening: folder.path, writable: false)
      for name in names + names { #expect(try store.bytes(name).count == 100) }
      let now = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
      #expect(now < before + 120)
    }
  }
}
