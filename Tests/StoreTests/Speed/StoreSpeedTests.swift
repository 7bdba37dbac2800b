// How long it takes. APUS_SPEED=1 prints what was measured and holds it against the goals; without it only that it works is looked at.
//
// Owns: the measures. Must not know: formats.
//
// Goals: 2,000 new pages added and published in 15 ms of the processor's time; 100,000 names looked up at once in 20 ms; a store with a million
// objects opened in 300 ms.

import Foundation
import Host
import Testing

@testable import Storage
@testable import Store

@Suite(.serialized) struct StoreSpeedTests {
  private static let isMeasured = ProcessInfo.processInfo.environment["APUS_SPEED"] != nil

  /// Milliseconds of this thread's time on a processor, and by the clock.
  private func time(_ body: () throws -> Void) rethrows -> (processor: Double, clock: Double) {
    func now(_ clock: clockid_t) -> Double {
      var time = timespec()
      clock_gettime(clock, &time)
      return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
    }
    let (cpu, clock) = (now(CLOCK_THREAD_CPUTIME_ID), now(CLOCK_MONOTONIC))
    try body()
    return (now(CLOCK_THREAD_CPUTIME_ID) - cpu, now(CLOCK_MONOTONIC) - clock)
  }

  private func report(_ what: String, _ time: (processor: Double, clock: Double), goal: Double?) {
    if !Self.isMeasured { return }
    func digits(_ value: Double) -> String { String(format: "%.2f", value) }
    print("\(what): \(digits(time.processor)) ms of a processor, \(digits(time.clock)) ms")
    if let goal { #expect(time.processor < goal, "\(what)") }
  }

  @Test func hashing() throws {
    var random = StoreRandom(60)
    let bytes = ByteRoom(random.bytes(4096))
    defer { withExtendedLifetime(bytes) {} }
    var sum: UInt64 = 0
    let rounds = Self.isMeasured ? 10_000 : 10
    report(
      "hashing \(rounds) pages",
      time { for _ in 0..<rounds { sum ^= Naming.digest(bytes.buffer.reading).words.0 } },
      goal: nil)
    report(
      "the same in Swift",
      time { for _ in 0..<rounds { sum ^= Naming.digestInSwift(bytes.buffer.reading).words.0 } },
      goal: nil)
    #expect(sum == 0)
  }

  @Test func adding() throws {
    let folder = TestFolder()
    let store = try ContentStore(creating: folder.path)
    let count = Self.isMeasured ? 2000 : 20
    for (seed, compress) in [false, false, false, true].enumerated() {
      var random = StoreRandom(UInt64(seed))
      let pages = (0..<count).map { _ in ByteRoom(compress ? random.text(4096) : random.bytes(4096))
      }
      defer { withExtendedLifetime(pages) {} }
      var payload: [UInt8] = []
      let add = try time {
        let batch = store.begin(compress: compress)
        for page in pages { _ = try batch.add(page.buffer.reading) }
        payload = [UInt8(seed)]
        try store.publish(batch, payload: payload)
      }
      report(
        "adding \(count) pages\(compress ? ", compressed," : "") and publishing", add,
        goal: compress ? nil : 15)
      let again = try time {
        let batch = store.begin(compress: compress)
        for page in pages { _ = try batch.add(page.buffer.reading) }
        try store.publish(batch, payload: payload)
      }
      report("adding them again", again, goal: nil)
      #expect(store.payload == payload)
    }
  }

  @Test func openingAndLookingUp() throws {
    let folder = TestFolder()
    let count = Self.isMeasured ? 1_000_000 : 1000
    var names: [ContentName] = []
    do {
      let store = try ContentStore(creating: folder.path)
      for part in 0..<10 {
        let batch = store.begin()
        for n in 0..<count / 10 {
          let name = try batch.add(Array("object \(part) \(n)".utf8))
          if n % 10 == 3 { names.append(name) }
        }
        try store.publish(batch, payload: [])
      }
    }
    var random = StoreRandom(61)
    names.shuffle(using: &random)
    var store: ContentStore?
    let open = try time { store = try ContentStore(opening: folder.path, writable: true) }
    report("opening a store with \(count) objects", open, goal: 300)
    let opened = try #require(store)
    var found = 0
    report(
      "looking up \(names.count) names at once",
      time { found = opened.contains(names).reduce(0) { $0 + ($1 ? 1 : 0) } }, goal: 20)
    #expect(found == names.count)
    found = 0
    report(
      "one by one",
      time { for name in names where opened.contains(name) { found += 1 } }, goal: nil)
    #expect(found == names.count)
    let room = ByteRoom(count: 64)
    defer { withExtendedLifetime(room) {} }
    report(
      "reading \(names.count) small objects",
      try time {
        for name in names {
          try opened.read(name, into: room.slice(0, try #require(opened.length(of: name))))
        }
      }, goal: nil)
    let live = Set(names)
    report(
      "sweeping nine tenths", try time { _ = try opened.sweep(live: live, asOf: opened.sequence) },
      goal: nil)
    #expect(opened.usage().objects == names.count)
    report("verifying what is left", time { #expect(opened.verify().isEmpty) }, goal: nil)
  }

  @Test(.enabled(if: OpenSSL.isThere, "OpenSSL 3 is not installed")) func addingWithKeys() throws {
    let folder = TestFolder()
    let key = VolumeKey(SecretBytes([UInt8](repeating: 1, count: 64)), identity: "disk")
    let store = try ContentStore(creating: folder.path, keys: StoreKeys([key]))
    let count = Self.isMeasured ? 2000 : 20
    var random = StoreRandom(62)
    let pages = (0..<count).map { _ in ByteRoom(random.bytes(4096)) }
    defer { withExtendedLifetime(pages) {} }
    let add = try time {
      let batch = store.begin()
      for page in pages { _ = try batch.add(page.buffer.reading) }
      try store.publish(batch, payload: [])
    }
    report("adding \(count) pages to a store with keys", add, goal: nil)
    let names = pages.map { store.naming.name($0.buffer.reading) }
    let room = ByteRoom(count: 4096)
    defer { withExtendedLifetime(room) {} }
    report(
      "reading them", try time { for name in names { try store.read(name, into: room.buffer) } },
      goal: nil)
    #expect(store.verify().isEmpty)
  }

  /// A memory of 4 GiB, of which a thousand pages change.
  @Test func lists() throws {
    let folder = TestFolder()
    let store = try ContentStore(creating: folder.path)
    let count = Self.isMeasured ? UInt64(1 << 20) : 2000
    func name(_ n: UInt64) -> ContentName { ContentName((n &* 0x9E37_79B9_7F4A_7C15, n, 1, 2)) }
    var list: ContentList?
    let build = try time {
      let batch = store.begin()
      let all = (0..<count).lazy.map { (slot: $0, name: name($0)) }
      list = try ContentList(count: count, all, into: batch)
      try store.publish(batch, payload: [])
    }
    report("a list of \(count) slots", build, goal: nil)
    let first = try #require(list)
    var next = first
    let change = try time {
      let batch = store.begin()
      let changes = (UInt64(0)..<1000).lazy.map {
        (slot: $0 * (count / 1000), name: name($0 + 1 << 40))
      }
      next = try first.changing(changes, into: batch)
      try store.publish(batch, payload: [])
    }
    report("1000 slots changed, here and there", change, goal: nil)
    var found = 0
    report(
      "the difference",
      try time { try next.difference(from: first, in: store) { _, _, _ in found += 1 } }, goal: nil)
    #expect(found == 1000)
    var marks = ContentMarks()
    report(
      "marking both",
      try time {
        try marks.insert(first, in: store)
        try marks.insert(next, in: store)
      }, goal: nil)
    #expect(marks.live.count > Int(count))
  }
}
