// Stores with keys: nothing readable is in their files, and nothing that was changed is handed out.

import Foundation
import Testing

@testable import Storage
@testable import Store

@Suite(.enabled(if: OpenSSL.isThere, "OpenSSL 3 is not installed")) struct SealedStoreTests {
  private static func keys(_ tags: UInt8...) -> StoreKeys {
    StoreKeys(
      tags.map {
        VolumeKey(SecretBytes([UInt8](repeating: $0, count: 64)), identity: "disk \($0)")
      })
  }

  private func make(_ disk: MemoryFiles) throws -> [ContentName: [UInt8]] {
    var random = StoreRandom(30)
    let store = try ContentStore(creating: "/s", keys: Self.keys(1), files: disk)
    var contents: [ContentName: [UInt8]] = [:]
    for compress in [false, true] {
      let batch = store.begin(compress: compress)
      for size in [1, 100, 4096, 4096, 65536, 100_000] {
        for bytes in [random.bytes(size), random.text(size)] where bytes != [0] {
          contents[try batch.add(bytes)] = bytes
        }
      }
      try store.publish(batch, payload: Array("a secret payload".utf8))
    }
    #expect(store.verify().isEmpty)
    #expect(store.place(try #require(contents.keys.first)) == nil)
    return contents
  }

  @Test func onlyTheKeysOpenIt() throws {
    let disk = MemoryFiles()
    let contents = try make(disk)
    for writable in [false, true] {
      let store = try ContentStore(
        opening: "/s", writable: writable, keys: Self.keys(2, 1), files: disk)
      #expect(store.payload == Array("a secret payload".utf8))
      for (name, bytes) in contents { #expect(try store.bytes(name) == bytes) }
      #expect(store.verify().isEmpty)
      if writable {
        // Copies are sealed anew.
        let live = contents.keys.sorted { $0.words.0 < $1.words.0 }.prefix(4)
        try store.sweep(Array(live))
        #expect(store.verify().isEmpty && store.usage().objects == 4)
        for name in live { #expect(try store.bytes(name) == contents[name]) }
      }
    }
    for keys in [nil, Self.keys(2), Self.keys()] {
      #expect(throws: StorageError.self) {
        try ContentStore(opening: "/s", writable: false, keys: keys, files: disk)
      }
    }
    let plain = MemoryFiles()
    _ = try ContentStore(creating: "/s", keys: nil, files: plain)
    #expect(throws: StorageError.self) {
      try ContentStore(opening: "/s", writable: false, keys: Self.keys(1), files: plain)
    }
  }

  @Test func nothingReadableIsInTheFiles() throws {
    let disk = MemoryFiles()
    let contents = try make(disk)
    for path in disk.paths {
      let bytes = Data(try #require(disk[path]))
      func has(_ part: [UInt8]) -> Bool { bytes.range(of: Data(part)) != nil }
      #expect(!has(Array("secret".utf8)))
      for (name, content) in contents {
        #expect(!has(name.bytes) && !has(SHA256.hash(content)))
        if content.count >= 100 { #expect(!has(Array(content.prefix(16)))) }
      }
    }
    // Another store of the same contents has other names.
    let other = MemoryFiles()
    #expect(Set(try make(other).keys).isDisjoint(with: contents.keys))
  }

  @Test func whatWasChangedIsNotHandedOut() throws {
    let disk = MemoryFiles()
    let contents = try make(disk)
    var random = StoreRandom(31)
    // Who opens a store does not look at the copy of its root.
    let base = Dictionary(
      uniqueKeysWithValues: disk.paths.filter { !$0.hasSuffix("/root.copy") }.map {
        ($0, disk[$0]!)
      })
    for _ in 0..<TestCounts.of("APUS_MUTATIONS", normally: 300) {
      var files = base
      guard let path = files.keys.sorted().randomElement(using: &random), files[path]! != []
      else { continue }
      let at = random.below(files[path]!.count)
      files[path]![at] ^= 1 << UInt8(random.below(8))
      let changed = MemoryFiles(folders: disk.allFolders, names: files)
      guard
        let store = try? ContentStore(
          opening: "/s", writable: false, keys: Self.keys(1), files: changed)
      else { continue }
      #expect(path.hasSuffix(".pack"))
      var missing = 0
      for (name, bytes) in contents {
        guard let read = try? store.bytes(name) else {
          missing += 1
          continue
        }
        #expect(read == bytes)
      }
      #expect(missing > 0 && !store.verify().isEmpty, "\(path) at \(at)")
    }
  }

  /// Objects do not open in each other's places, nor packs' in other packs.
  @Test func objectsStayWhereTheyAre() throws {
    let disk = MemoryFiles()
    let store = try ContentStore(creating: "/s", keys: Self.keys(1), files: disk)
    var random = StoreRandom(32)
    let batch = store.begin()
    let names = try (0..<2).map { _ in try batch.add(random.bytes(4096)) }
    try store.publish(batch, payload: [])
    let path = "/s/packs/0000000000000001.pack"
    var bytes = try #require(disk[path])
    let (first, second) = (96..<96 + 4112, 96 + 4112..<96 + 2 * 4112)
    let swap = Array(bytes[first])
    bytes.replaceSubrange(first, with: bytes[second])
    bytes.replaceSubrange(second, with: swap)
    let changed = MemoryFiles(
      folders: disk.allFolders, names: [path: bytes, "/s/root": try #require(disk["/s/root"])])
    let other = try ContentStore(opening: "/s", writable: false, keys: Self.keys(1), files: changed)
    for name in names { #expect(throws: StorageError.self) { try other.bytes(name) } }
    #expect(other.verify().count == 2)
  }
}
