// Sweeping: what dies gives its room back, what lives stays, whatever goes on meanwhile.

import Host
import Storage
import Synchronization
import Testing

@testable import Store

@Suite struct SweepTests {
  @Test func whatDiedGivesItsRoomBack() throws {
    let folder = TestFolder()
    var random = StoreRandom(20)
    let store = try ContentStore(creating: folder.path)
    let batch = store.begin()
    // Longer than what is put together with others.
    let names = try (0..<1000).map { _ in try batch.add(random.bytes(4096)) }
    try store.publish(batch, payload: [])
    let full = store.usage().onDisk
    // A quarter dies: holes.
    let live = names.enumerated().filter { $0.offset % 4 != 1 }.map(\.element)
    let freed = try store.sweep(live)
    // The host may need some for its own books.
    #expect(freed > 240 * 4096 && freed <= 250 * 4096)
    #expect(store.usage().onDisk < full - 240 * 4096)
    #expect(store.usage().objects == 750 && store.usage().packs == 1)
    #expect(store.verify().isEmpty)
    #expect(!store.contains(names[1]))
    // What is in a hole is not there, also for others, and can be written again.
    let reader = try ContentStore(opening: folder.path, writable: false)
    #expect(!reader.contains(names[1]) && reader.contains(names[2]) && reader.verify().isEmpty)
    // Most of it dies: what is left is copied.
    #expect(try store.sweep(Array(live.prefix(100))) > 600 * 4096)
    #expect(store.usage().objects == 100 && store.usage().onDisk < 120 * 4096)
    #expect(store.verify().isEmpty)
    #expect(try store.sweep([]) > 0)
    #expect(store.usage().packs == 0 && store.usage().onDisk <= 8192)
  }

  /// A sweep that was stopped before it made its holes leaves them to the next one.
  @Test func holesThatWereNotMadeAreMadeLater() throws {
    let disk = MemoryFiles()
    var random = StoreRandom(21)
    var names: [ContentName] = []
    var isStopped = false
    do {
      let store = try ContentStore(creating: "/s", keys: nil, files: disk)
      let batch = store.begin()
      names = try (0..<400).map { _ in try batch.add(random.bytes(4096)) }
      try store.publish(batch, payload: [])
      let steps = disk.log.count
      // The root is there; punching fails.
      disk.failsAfter = 6
      disk.failures = 1000
      try store.sweep(Array(names.prefix(300)))
      isStopped = disk.log.count > steps
      disk.failsAfter = nil
    }
    #expect(isStopped)
    func holes() -> Int {
      disk.log.reduce(0) { if case .punch(_, _, let count) = $1 { $0 + count } else { $0 } }
    }
    let before = holes()
    let store = try ContentStore(opening: "/s", writable: true, keys: nil, files: disk)
    #expect(store.usage().objects == 300)
    let sequence = store.sequence
    try store.sweep(Array(names.prefix(300)))
    #expect(store.sequence == sequence)
    #expect(holes() - before == 100 * 4096)
    try store.sweep(Array(names.prefix(300)))
    #expect(holes() - before == 100 * 4096)
    #expect(store.verify().isEmpty)
  }

  @Test func aSweepThatKnowsAnOldPayloadIsRefused() throws {
    let disk = MemoryFiles()
    let store = try ContentStore(creating: "/s", keys: nil, files: disk)
    let old = store.sequence
    let batch = store.begin()
    let name = try batch.add([1])
    try store.publish(batch, payload: name.bytes)
    do throws(StorageError) {
      try store.sweep(live: [], asOf: old)
      Issue.record("it sweeps")
    } catch { #expect(error.asksAgain) }
    #expect(store.contains(name))
  }

  /// A batch that found an object keeps it, although the payload does not need it.
  @Test func whatAnOpenBatchFoundStays() throws {
    let disk = MemoryFiles()
    var random = StoreRandom(22)
    let store = try ContentStore(creating: "/s", keys: nil, files: disk)
    let pages = (0..<10).map { _ in random.bytes(4096) }
    let first = store.begin()
    let names = try pages.map { try first.add($0) }
    try store.publish(first, payload: [])
    let second = store.begin()
    #expect(try second.add(pages[3]) == names[3])
    try store.sweep([])
    #expect(store.usage().objects == 1)
    #expect(try second.add(pages[4]) == names[4])
    #expect(second.keep(names[4]) && second.keep(.zero) && !second.keep(names[7]))
    try store.publish(second, payload: names[3].bytes + names[4].bytes)
    #expect(!second.keep(names[3]))
    #expect(try store.bytes(names[3]) == pages[3])
    #expect(try store.bytes(names[4]) == pages[4])
    let third = store.begin()
    _ = try third.add(pages[3])
    #expect(third.keep(names[4]))
    try store.sweep([])
    #expect(store.usage().objects == 2)
    third.abandon()
    try store.sweep([])
    #expect(store.usage().objects == 0)
  }

  /// Ten thousand times something is published and swept: room and packs stay what they were.
  @Test func manyPublishesAndSweepsLeaveNothing() throws {
    let disk = MemoryFiles()
    disk.records = false
    var random = StoreRandom(23)
    let store = try ContentStore(creating: "/s", keys: nil, files: disk)
    let first = store.begin()
    let base = try (0..<20).map { _ in try first.add(random.bytes(4096)) }
    try store.publish(first, payload: [])
    try store.sweep(base)
    let start = disk.totalBytes
    var live: [[ContentName]] = []
    var most = 0
    for round in 0..<10_000 {
      let batch = store.begin()
      live.append(try (0..<3).map { _ in try batch.add(random.bytes(1 + random.below(600))) })
      try store.publish(batch, payload: [UInt8(round & 255)])
      if live.count > 8 { live.removeFirst() }
      try store.sweep(base + live.flatMap { $0 })
      most = max(most, disk.paths.count)
    }
    #expect(most < 40)
    #expect(store.verify().isEmpty)
    #expect(live.joined().allSatisfy { store.contains($0) })
    try store.sweep(base)
    // The pack of `base` may have been copied.
    #expect(disk.totalBytes <= start + 4096)
    #expect(store.usage().packs == 1 && store.usage().objects == 20)
  }

  /// Small packs that all live become few.
  @Test func manySmallPacksAreJoined() throws {
    var random = StoreRandom(24)
    let store = try ContentStore(creating: "/s", keys: nil, files: MemoryFiles())
    var names: [ContentName] = []
    var most = 0
    for _ in 0..<200 {
      let batch = store.begin()
      names.append(try batch.add(random.bytes(1000)))
      try store.publish(batch, payload: [])
      try store.sweep(names)
      most = max(most, store.usage().packs)
    }
    #expect(most <= 17)
    #expect(store.usage().objects == 200 && store.verify().isEmpty)
  }

  /// One thread reads, one publishes, one sweeps.
  @Test func readingAndPublishingGoOnWhileItIsSwept() throws {
    let folder = TestFolder()
    var random = StoreRandom(25)
    let store = try ContentStore(creating: folder.path)
    let pages = (0..<64).map { _ in random.bytes(4096) }
    let first = store.begin()
    let names = try pages.map { try first.add($0) }
    try store.publish(first, payload: names.flatMap(\.bytes))
    let shared = Shared()
    let reader = try HostThread { [names, pages] in
      var random = StoreRandom(1)
      let room = ByteRoom(count: 4096)
      while !shared.isOver.load(ordering: .relaxed) {
        let n = random.below(8)
        do throws(StorageError) {
          try store.read(names[n], into: room.buffer)
          if !room.buffer.elementsEqual(pages[n]) { shared.fail("wrong contents") }
        } catch { shared.fail("\(error)") }
        shared.reads.add(1, ordering: .relaxed)
      }
    }
    let sweeper = try HostThread { [names] in
      while !shared.isOver.load(ordering: .relaxed) {
        let sequence = store.sequence
        let live = Set(store.payload.names).union(names.prefix(8))
        do throws(StorageError) {
          try store.sweep(live: live, asOf: sequence)
          shared.sweeps.add(1, ordering: .relaxed)
        } catch { if !error.asksAgain { shared.fail("\(error)") } }
      }
    }
    for _ in 0..<TestCounts.of("APUS_ROUNDS", normally: 60) {
      let batch = store.begin()
      // Some are there, some were swept, some are being swept.
      let chosen = (0..<10).map { _ in random.below(64) }
      let payload = try chosen.map { try batch.add(pages[$0]) }
      for (n, name) in zip(chosen, payload) { #expect(name == names[n]) }
      try store.publish(batch, payload: payload.flatMap(\.bytes))
      for (n, name) in zip(chosen, payload) { #expect(try store.bytes(name) == pages[n]) }
    }
    shared.isOver.store(true, ordering: .relaxed)
    reader.join()
    sweeper.join()
    #expect(shared.failures.isEmpty)
    #expect(shared.reads.load(ordering: .relaxed) > 0)
    #expect(shared.sweeps.load(ordering: .relaxed) > 0)
    #expect(store.verify().isEmpty)
    let payload = store.payload
    let again = try ContentStore(opening: folder.path, writable: false)
    #expect(again.payload == payload && payload.names.allSatisfy { again.contains($0) })
  }

  private final class Shared: Sendable {
    let isOver = Atomic<Bool>(false)
    let reads = Atomic<Int>(0)
    let sweeps = Atomic<Int>(0)
    private let texts = Mutex<[String]>([])
    func fail(_ text: String) { texts.withLock { if $0.count < 10 { $0.append(text) } } }
    var failures: [String] { texts.withLock { $0 } }
  }
}
