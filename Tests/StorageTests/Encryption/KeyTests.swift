// Passphrases: where they come from, how often they are asked for, what a wrong one costs.

import Foundation
import Testing

@testable import Storage

@Suite(.enabled(if: OpenSSL.isThere, "OpenSSL 3 is not installed")) struct KeyTests {
  /// A source that counts.
  private final class Counted: KeySource, @unchecked Sendable {
    let name = "the counted one"
    var asked: [String] = []
    let bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    func passphrase(for file: String, isNew: Bool) -> SecretBytes {
      asked.append(file)
      return SecretBytes(bytes)
    }
  }

  @Test func aSourceIsAskedOnceForAFileAndOnlyWhereOneIsEncrypted() throws {
    let source = Counted(Secret.word)
    let keys = DiskKeys([source])
    _ = try Secret.open(MemoryStore([UInt8](repeating: 1, count: 4096)), keys)
    #expect(source.asked.isEmpty)
    let store = try Secret.image(LUKSFormat(), size: 1 << 20)
    for _ in 0..<3 { _ = try Secret.open(store, keys) }
    #expect(source.asked == ["image"])
  }

  @Test func allSourcesAreTriedAndNamed() throws {
    let store = try Secret.image(LUKSFormat(), size: 1 << 20)
    let wrong = Counted(Array("wrong\n".utf8))
    _ = try Secret.open(store, DiskKeys([wrong, Secret.source()]))
    #expect(wrong.asked.count == 1)
    do {
      _ = try Secret.open(store, DiskKeys([wrong]))
      Issue.record("a wrong passphrase opens it")
    } catch let error as StorageError {
      #expect(error.reason.contains("the counted one") && error.reason.contains("line feed"))
    }
    do {
      _ = try Secret.open(store, nil)
      Issue.record("no passphrase opens it")
    } catch let error as StorageError { #expect(error.reason.contains("--key-file")) }
  }

  @Test func filesCountToTheirLastByte() throws {
    let scratch = Scratch()
    for count in [1, 4096, 4097, 100_000] {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7) }
      let file = KeyFile(scratch.file("key", bytes))
      #expect(try file.passphrase(for: "x", isNew: false).copy == bytes)
    }
    #expect(throws: StorageError.self) {
      try KeyFile(scratch.file("empty", [])).passphrase(for: "x", isNew: false)
    }
    #expect(throws: StorageError.self) {
      try KeyFile(scratch.file("large", [UInt8](repeating: 1, count: 8 << 20 + 1))).passphrase(
        for: "x", isNew: false)
    }
    #expect(throws: StorageError.self) {
      try KeyFile(scratch.directory + "/none").passphrase(for: "x", isNew: false)
    }
  }

  @Test func wordsForKeys() {
    #expect(DiskKeyWish("0=file:a=b") == DiskKeyWish(disk: 0, .file("a=b")))
    #expect(DiskKeyWish("file:k") == DiskKeyWish(disk: nil, .file("k")))
    #expect(DiskKeyWish("file:0=ring:x") == DiskKeyWish(disk: nil, .file("0=ring:x")))
    #expect(DiskKeyWish("12=ring:my disk") == DiskKeyWish(disk: 12, .ring("my disk")))
    #expect(DiskKeyWish("1=prompt") == DiskKeyWish(disk: 1, .prompt))
    for wrong in [
      "", "x", "1=", "1=file:", "-1=prompt", "01=prompt", "1 =prompt", "ring:", "env:X",
    ] {
      #expect(DiskKeyWish(wrong) == nil, "\(wrong)")
    }
    let wishes = [DiskKeyWish("0=file:a")!, DiskKeyWish("ring:b")!]
    #expect(DiskKeyWish.keys(of: 0, from: wishes, prompts: false)?.sources.count == 2)
    #expect(DiskKeyWish.keys(of: 1, from: wishes, prompts: false)?.sources.count == 1)
    #expect(DiskKeyWish.keys(of: 1, from: [], prompts: false) == nil)
    #expect(DiskKeyWish.keys(of: 1, from: [], prompts: true)?.sources.count == 1)
  }

  /// Whatever is wrong, all slots are tried: with one of eight it takes no less time than with none.
  @Test func aWrongPassphraseTriesAllSlots() throws {
    let store = try Secret.image(LUKSFormat(), size: 1 << 20)
    let container = try LUKS1Header.read(store)
    final class Reads: @unchecked Sendable { var offsets: [UInt64] = [] }
    final class Watched: ByteStore {
      let inner: MemoryStore
      let reads: Reads
      init(_ inner: MemoryStore, _ reads: Reads) {
        self.inner = inner
        self.reads = reads
      }
      var name: String { "image" }
      var size: UInt64 { inner.size }
      var isWritable: Bool { false }
      func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
      {
        reads.offsets.append(offset)
        try inner.read(at: offset, into: buffer)
      }
      func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {}
      func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {}
      func setSize(_ size: UInt64) throws(StorageError) {}
      func flush() throws(StorageError) {}
    }
    // Four more slots in use, with keys that nobody has.
    var copy = container
    for n in 1...4 {
      var slot = container.slots[0]
      slot.number = n
      slot.offset += UInt64(n) * 258048
      copy.slots.append(slot)
    }
    let reads = Reads()
    let crypto = try OpenSSL.load(for: "image")
    #expect(
      try copy.unlock(
        SecretBytes(Array("wrong".utf8)), Watched(store, reads), base: 0, crypto) == nil)
    #expect(reads.offsets == copy.slots.map(\.offset))
  }

  @Test func secretsAreWipedAndNotDumped() {
    var limit = rlimit()
    let secret = SecretBytes(Array("secret".utf8))
    #expect(secret.count == 6)
    #if os(Linux)
      getrlimit(__rlimit_resource_t(UInt32(RLIMIT_CORE.rawValue)), &limit)
      #expect(limit.rlim_cur == 0)
      let maps = (try? String(contentsOfFile: "/proc/self/smaps", encoding: .utf8)) ?? ""
      let start = String(UInt(bitPattern: secret.pointer), radix: 16)
      if let range = maps.range(of: "\n\(start)-") {
        let flags = maps[range.upperBound...].components(separatedBy: "VmFlags:")[1]
          .prefix { $0 != "\n" }
        #expect(flags.contains(" dd"))
      }
    #endif
  }

  @Test func aKeyRingWithoutTheKeySaysSo() {
    do {
      _ = try KeyRingKey("apus-test-no-such-key").passphrase(for: "image", isNew: false)
      Issue.record("there is such a key")
    } catch {
      #expect(error.reason.contains("apus-test-no-such-key"))
    }
  }
}

extension DiskKeyWish {
  fileprivate init(disk: Int?, _ key: KeyWish) {
    self.init("prompt")!
    self.disk = disk
    self.key = key
  }
}
