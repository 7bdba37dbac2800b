// LUKS headers that somebody made to do harm: an error or a device, never a crash, in bounded time and memory.

import Foundation
import Testing

@testable import Storage

@Suite(.enabled(if: OpenSSL.isThere, "OpenSSL 3 is not installed")) struct LUKSHostileTests {
  /// Few iterations are allowed, so that thousands of cases take seconds.
  private static var keys: DiskKeys {
    var limits = KeyLimits()
    limits.iterations = 40_000
    limits.memory = 1024
    limits.filled = 8192
    return DiskKeys([Secret.source()], limits: limits)
  }

  private static func tryEverything(_ store: MemoryStore, _ format: any CheckableFormat) {
    let context = Secret.context(keys)
    if let device = try? ImageFormats.open(store, context, as: format).device {
      let blocks = device.blockCount
      for block in [0, 1, blocks / 2, blocks &- 1] where block < blocks {
        _ = try? device.contents(of: block)
        _ = try? device.extent(at: block, limit: 1 << 20)
      }
      _ = try? device.write(block: 0, [UInt8](repeating: 1, count: device.blockSize))
      _ = try? device.discard(block: 0, count: min(8, blocks))
      _ = try? device.flush()
      device.close()
    }
    _ = try? format.check(store, .none, context)
    _ = try? format.check(store, .all, context)
  }

  private static func big(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
  }

  /// The fields of the header and of two key slots.
  private static let fields: [(Int, Int)] = [
    (6, 2), (8, 8), (40, 8), (72, 8), (104, 4), (108, 4), (112, 4), (164, 4), (168, 8), (208, 4),
    (212, 4), (248, 4), (252, 4), (256, 4), (260, 4), (296, 4), (300, 4),
  ]

  /// Only what is before the disk and a little of it, so that many copies are quick.
  private static func sample() throws -> [UInt8] {
    try Secret.image(LUKSFormat(), size: 64 << 10, ["cipher-alg": "aes-128"]).bytes
  }

  @Test func everyFieldOfLUKS1AtItsExtremesIsAnErrorOrADevice() throws {
    let sample = try Self.sample()
    for (offset, count) in Self.fields {
      for value in QCOW2HostileTests.extremes {
        let store = MemoryStore(sample)
        try store.write(at: UInt64(offset), Self.big(value, count))
        Self.tryEverything(store, LUKSFormat())
      }
    }
  }

  @Test func everyFieldOfTheHeaderInQCOW2Too() throws {
    let sample = try Secret.image(
      QCOW2Format(), size: 64 << 10, ["cluster_size": "4096", "encrypt.cipher-alg": "aes-128"]
    )
    .bytes
    let area = try #require(try QCOW2Header(MemoryStore(sample)).encryption)
    for (offset, count) in Self.fields {
      for value in QCOW2HostileTests.extremes.prefix(16) {
        let store = MemoryStore(sample)
        try store.write(at: area.offset + UInt64(offset), Self.big(value, count))
        Self.tryEverything(store, QCOW2Format())
      }
    }
    // The pointer to it.
    let at = sample.firstRange(of: Self.big(QCOW2Header.Extension.encryption, 4))!.lowerBound
    for value in QCOW2HostileTests.extremes {
      for place in [at + 4, at + 8, at + 16] {
        let store = MemoryStore(sample)
        try store.write(at: UInt64(place), Self.big(value, place == at + 4 ? 4 : 8))
        Self.tryEverything(store, QCOW2Format())
      }
    }
  }

  @Test func costsAreBounded() throws {
    let sample = try Self.sample()
    func refusal(_ change: (MemoryStore) throws -> Void) throws -> StorageError? {
      let store = MemoryStore(sample)
      try change(store)
      do {
        _ = try Secret.open(store)
        return nil
      } catch { return error as? StorageError }
    }
    let slow = try #require(try refusal { try $0.write(at: 212, Self.big(1 << 31 - 1, 4)) })
    #expect(slow.reason.contains("iterations") && slow.reason.contains("--allow-slow-keys"))
    let digest = try #require(try refusal { try $0.write(at: 164, Self.big(1 << 31 - 1, 4)) })
    #expect(digest.reason.contains("--allow-slow-keys"))
    let none = try #require(try refusal { try $0.write(at: 212, Self.big(0, 4)) })
    #expect(none.offset == 212)
    // A second slot that has its key where the first one has it.
    let twice = try #require(
      try refusal {
        try $0.write(at: 256, Array(sample[208..<256]))
      })
    #expect(twice.offset == 296 && twice.reason.contains("one place"))
    let outside = try #require(try refusal { try $0.write(at: 248, Self.big(1 << 31, 4)) })
    #expect(outside.offset == 248)
    let stripes = try #require(try refusal { try $0.write(at: 252, Self.big(1 << 31, 4)) })
    #expect(stripes.offset == 252)
    let detached = try #require(try refusal { try $0.write(at: 104, Self.big(0, 4)) })
    #expect(detached.reason.contains("detached"))
  }

  // MARK: LUKS2

  /// A container that cryptsetup made; its headers can be changed, with the checksums mended.
  private final class Sample {
    let bytes: [UInt8]
    init?(_ options: [String]) throws {
      guard Cryptsetup.isThere else { return nil }
      let scratch = Scratch()
      let path = scratch.directory + "/image"
      try Cryptsetup.format(
        path, key: scratch.file("key", Secret.word),
        ["--type", "luks2", "--luks2-metadata-size", "16k", "--luks2-keyslots-size", "256k"]
          + options)
      // The disk begins behind the key slots; a little of it is enough.
      bytes = Array(
        try Data(contentsOf: URL(fileURLWithPath: path)).prefix(16 << 20 + 64 << 10))
    }

    /// The JSON of both headers, changed.
    func changed(_ edit: (String) -> String) -> MemoryStore {
      var bytes = bytes
      for start in [0, 16384] {
        let area = start + 4096..<start + 16384
        let text = String(decoding: bytes[area].prefix { $0 != 0 }, as: UTF8.self)
        var json = Array(edit(text).utf8.prefix(12288 - 1))
        json += [UInt8](repeating: 0, count: 12288 - json.count)
        bytes.replaceSubrange(area, with: json)
        Sample.seal(&bytes, start)
      }
      return MemoryStore(bytes, name: "image")
    }

    static func seal(_ bytes: inout [UInt8], _ start: Int) {
      bytes.replaceSubrange(start + 448..<start + 512, with: [UInt8](repeating: 0, count: 64))
      let sum = SHA256.hash(Array(bytes[start..<start + 16384]))
      bytes.replaceSubrange(start + 448..<start + 480, with: sum)
    }
  }

  private static let options = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]

  @Test(.enabled(if: Cryptsetup.isThere, Cryptsetup.missing)) func whatIsNotUnderstoodIsRefused()
    throws
  {
    let sample = try #require(try Sample(Self.options))
    _ = try Secret.open(sample.changed { $0 })
    func refusal(_ from: String, _ to: String) -> String {
      let store = sample.changed {
        #expect($0.contains(from), "\(from) in \($0)")
        return $0.replacingOccurrences(of: from, with: to)
      }
      do {
        _ = try Secret.open(store)
        return "(it opens)"
      } catch { return (error as? StorageError)?.reason ?? "\(error)" }
    }
    let cases: [(String, String, String)] = [
      (
        "\"config\":{", "\"config\":{\"requirements\":{\"mandatory\":[\"online-reencrypt-v2\"]},",
        "online-reencrypt"
      ),
      ("\"config\":{", "\"config\":{\"requirements\":{\"mandatory\":[\"wonders\"]},", "'wonders'"),
      (
        "\"sector_size\":", "\"integrity\":{\"type\":\"hmac(sha256)\"},\"sector_size\":",
        "integrity"
      ),
      ("\"type\":\"crypt\"", "\"type\":\"linear\"", "'linear'"),
      ("\"size\":\"dynamic\"", "\"size\":\"1000000000000\"", "1000000000000"),
      ("\"size\":\"dynamic\"", "\"size\":\"513\"", "513"),
      ("\"iterations\":1000", "\"iterations\":2147483648", "iterations"),
      ("\"iterations\":1000", "\"iterations\":2147483647", "--allow-slow-keys"),
      ("\"stripes\":4000", "\"stripes\":4000000000", "stripes"),
      ("\"hash\":\"sha256\"", "\"hash\":\"shake256\"", "shake256"),
      ("\"hash\":\"sha256\"", "\"hash\":\"../x\"", "no hash"),
      ("\"encryption\":\"aes-xts-plain64\"", "\"encryption\":\"twofish-xts-plain64\"", "twofish"),
      ("\"offset\":\"32768\"", "\"offset\":\"16384\"", "outside of its area"),
      ("\"offset\":\"32768\"", "\"offset\":\"18446744073709551615\"", "18446744073709551615"),
      ("\"key_size\":64", "\"key_size\":1000000", "key_size"),
      ("\"kdf\":{\"type\":\"pbkdf2\"", "\"kdf\":{\"type\":\"scrypt\"", "'scrypt'"),
      ("\"sector_size\":", "\"sector_size\":3000,\"x\":", "sectors of 3000"),
      ("\"json_size\":\"12288\"", "\"json_size\":\"12289\"", "json_size"),
      ("\"tokens\":{}", "\"tokens\":{},\"tokens\":{}", "twice"),
      ("\"tokens\":{}", "\"tokens\":" + String(repeating: "[", count: 4000), "nested"),
      (
        "\"tokens\":{}", "\"tokens\":[" + String(repeating: "[],", count: 3000) + "[]]",
        "(it opens)"
      ),
    ]
    for (from, to, words) in cases {
      let found = refusal(from, to)
      #expect(found.contains(words), "\(to.prefix(60)): \(found)")
    }
    let memory = try #require(
      try Sample(["--pbkdf", "argon2id", "--pbkdf-memory", "8192", "--pbkdf-force-iterations", "4"])
    )
    for (to, words) in [
      ("\"memory\":4194304", "MiB of memory"), ("\"memory\":4294967295", "memory"),
      ("\"memory\":1048576,\"time\":4000000000,\"x\":", "--allow-slow-keys"),
    ] {
      let store = memory.changed {
        $0.replacingOccurrences(of: "\"memory\":8192", with: to).replacingOccurrences(
          of: to.contains("x\":") ? "\"time\":4," : "\u{0}", with: ""
        )
        .replacingOccurrences(of: "\"x\":,", with: "")
      }
      do {
        _ = try Secret.open(store)
        Issue.record("\(to) opens")
      } catch let error as StorageError {
        #expect(error.reason.contains(words) || error.reason.contains("JSON"), "\(to): \(error)")
      }
    }
  }

  @Test(.enabled(if: Cryptsetup.isThere, Cryptsetup.missing)) func theBetterHeaderCounts() throws {
    let sample = try #require(try Sample(Self.options))
    let format = LUKSFormat()
    func unsalted(_ bytes: [UInt8]) -> [UInt8] {
      var bytes = bytes
      for start in [0, 16384] {
        for range in [start + 104..<start + 168, start + 448..<start + 512] {
          bytes.replaceSubrange(range, with: repeatElement(0, count: 64))
        }
      }
      return bytes
    }
    // One of them damaged: the other one opens it, the check says so, the repair restores it.
    for start in [0, 16384] {
      for place in [0, 8, 20, 448, 4096, 9000] {
        var bytes = sample.bytes
        bytes[start + place] ^= 1
        let store = MemoryStore(bytes)
        let contents = try ImageFormats.open(store, Secret.context(Secret.keys()), as: format)
        #expect(contents.warnings.contains { $0.contains("damaged") }, "\(start + place)")
        let context = Secret.context(nil)
        #expect(try format.check(store, .none, context).corruptions == 1)
        #expect(try format.check(store, .leaks, context).repaired == 0)
        let mended = try format.check(store, .all, context)
        #expect(mended.isClean && mended.repaired == 1)
        #expect(try format.check(store, .none, context).corruptions == 0)
        // All but the salt, which each of them has for itself, and so the checksum.
        #expect(unsalted(store.bytes) == unsalted(sample.bytes), "\(start + place)")
      }
    }
    // Both damaged.
    var bytes = sample.bytes
    bytes[5000] ^= 1
    bytes[16384 + 5000] ^= 1
    #expect(throws: StorageError.self) { try Secret.open(MemoryStore(bytes)) }
    // The newer one counts: here one without any key slot.
    bytes = sample.bytes
    let text = String(decoding: bytes[16384 + 4096..<32768].prefix { $0 != 0 }, as: UTF8.self)
    let area = 16384 + 4096
    let edited = Array(
      text.replacingOccurrences(of: "\"keyslots\":[\"0\"]", with: "\"keyslots\":[]").utf8)
    bytes.replaceSubrange(
      area..<32768, with: edited + [UInt8](repeating: 0, count: 12288 - edited.count))
    bytes[16384 + 23] += 1
    Sample.seal(&bytes, 16384)
    do {
      _ = try Secret.open(MemoryStore(bytes))
      Issue.record("the older header counts")
    } catch let error as StorageError { #expect(error.reason.contains("no key slots")) }
    let store = MemoryStore(bytes)
    _ = try format.check(store, .all, Secret.context(nil))
    #expect(Array(store.bytes[4096..<16384]) == Array(bytes[area..<32768]))
  }

  @Test func randomDamageIsAnErrorOrADevice() throws {
    let count = ProcessInfo.processInfo.environment["APUS_FUZZ"].flatMap { Int($0) } ?? 400
    let first = try Self.sample()
    let second = try Sample(Self.options)
    var random = PowerCutRandom(seed: 61)
    for n in 0..<count {
      let store: MemoryStore
      if let second, n % 2 == 0 {
        store = second.changed { text in
          var bytes = Array(text.utf8)
          for _ in 0...random.below(4) {
            let at = random.below(bytes.count)
            switch random.below(5) {
            case 0: bytes[at] = UInt8(0x20 + random.below(0x5F))
            case 1: bytes.remove(at: at)
            case 2:
              bytes.insert(contentsOf: "{}[],:\"9".utf8.shuffled(using: &random).prefix(2), at: at)
            case 3:
              // A number becomes another one.
              if let digit = bytes[at...].firstIndex(where: { $0 >= 0x30 && $0 <= 0x39 }) {
                bytes.insert(
                  contentsOf: "\(QCOW2HostileTests.extremes[random.below(24)])".utf8, at: digit)
              }
            default:
              let from = random.below(bytes.count)
              bytes.insert(contentsOf: bytes[from..<min(bytes.count, from + 40)], at: at)
            }
          }
          return String(decoding: bytes, as: UTF8.self)
        }
      } else {
        var bytes = first
        for _ in 0...random.below(4) {
          let at = random.below(random.one(in: 3) ? 4096 : 592)
          bytes[at] =
            random.one(in: 2)
            ? UInt8(truncatingIfNeeded: random.next()) : bytes[at] ^ (1 << UInt8(random.below(8)))
        }
        if random.one(in: 20) { bytes.removeLast(random.below(bytes.count)) }
        store = MemoryStore(bytes)
      }
      Self.tryEverything(store, LUKSFormat())
    }
  }
}
