// When the host cannot: every step of publishing and sweeping fails once, and the store is what it was.

import Storage
import Testing

@testable import Store

@Suite struct StoreTroubleTests {
  /// A store with a payload of some names, some of which can be swept.
  private func start(_ disk: MemoryFiles) throws -> (ContentStore, [ContentName], StoreRandom) {
    var random = StoreRandom(9)
    let store = try ContentStore(creating: "/s", keys: nil, files: disk)
    var names: [ContentName] = []
    for _ in 0..<3 {
      let batch = store.begin()
      for _ in 0..<6 { names.append(try batch.add(random.bytes(4096))) }
      try store.publish(batch, payload: names.flatMap(\.bytes))
    }
    return (store, names, random)
  }

  private func isWhole(_ store: ContentStore, _ names: [ContentName]) -> Bool {
    store.verify().isEmpty && names.allSatisfy { store.contains($0) }
  }

  /// A disk that is full, one that is broken, and one on which nothing works from then on.
  @Test(arguments: [true, false], [1, 1000]) func aFailedPublishChangesNothing(
    _ lacksRoom: Bool, _ failures: Int
  ) throws {
    var step = 0
    while true {
      let disk = MemoryFiles()
      disk.lacksRoom = lacksRoom
      var (store, names, random) = try start(disk)
      let before = store.payload
      let paths = disk.paths
      disk.failsAfter = step
      disk.failures = failures
      let batch = store.begin()
      do throws(StorageError) {
        var new = names
        // More than waits in memory, so that adding writes too.
        for _ in 0..<300 { new.append(try batch.add(random.bytes(4096))) }
        try store.publish(batch, payload: new.flatMap(\.bytes))
        if disk.failed.isEmpty {
          #expect(step > 8)
          break
        }
        // Removing what is not there may fail without harm.
        #expect(isWhole(store, new))
      } catch {
        #expect(error.lacksRoom == lacksRoom)
        #expect(store.payload == before)
        #expect(isWhole(store, names))
        #expect(throws: StorageError.self) { try batch.add([1]) }
        batch.abandon()
        disk.failsAfter = nil
        if store.broken == nil {
          if failures == 1 { #expect(disk.paths == paths, "step \(step)") }
          // Once there is room again it goes on.
          let again = store.begin()
          let name = try again.add(random.bytes(100))
          try store.publish(again, payload: before + name.bytes)
          #expect(isWhole(store, names + [name]))
        } else {
          #expect(failures > 1)
          #expect(throws: StorageError.self) { try store.publish(nil, payload: [1]) }
          #expect(throws: StorageError.self) { try store.sweep(names) }
        }
        // So it is for the next one.
        let isBroken = store.broken != nil
        store = try ContentStore(opening: "/s", writable: false, keys: nil, files: disk)
        #expect(isWhole(store, names))
        if !isBroken { #expect(store.payload.starts(with: before)) }
      }
      step += 1
    }
  }

  @Test(arguments: [1, 1000]) func aFailedSweepChangesNothing(_ failures: Int) throws {
    var step = 0
    while true {
      let disk = MemoryFiles()
      let (store, names, _) = try start(disk)
      let live = Array(names[0..<2] + names[6..<11])
      disk.failsAfter = step
      disk.failures = failures
      do throws(StorageError) {
        try store.sweep(live)
        #expect(isWhole(store, live))
        if disk.failed.isEmpty { break }
      } catch {
        #expect(isWhole(store, live))
        disk.failsAfter = nil
        if store.broken == nil {
          try store.sweep(live)
          #expect(isWhole(store, live))
        }
      }
      disk.failsAfter = nil
      let reader = try ContentStore(opening: "/s", writable: false, keys: nil, files: disk)
      #expect(isWhole(reader, live))
      step += 1
    }
    #expect(step > 8)
  }

  @Test func withoutRoomForCopiesThereAreHoles() throws {
    let disk = MemoryFiles()
    let (store, names, _) = try start(disk)
    // The pack of copies cannot be made.
    disk.failsAfter = 0
    disk.failures = 1
    try store.sweep([names[0], names[7], names[13]])
    #expect(disk.failed.count == 1 && store.usage().packs == 3 && store.usage().objects == 3)
    let holes = disk.log.filter { if case .punch = $0 { true } else { false } }
    #expect(!holes.isEmpty)
    #expect(isWhole(store, [names[0], names[7], names[13]]))
  }

  @Test func aQuotaIsKept() throws {
    let folder = TestFolder()
    var random = StoreRandom(10)
    let store = try ContentStore(creating: folder.path)
    let batch = store.begin()
    let names = try (0..<100).map { _ in try batch.add(random.bytes(4096)) }
    try store.publish(batch, payload: [1])
    store.quota = store.usage().onDisk + 100_000
    let small = store.begin()
    _ = try small.add(random.bytes(4096))
    try store.publish(small, payload: [2])
    let large = store.begin()
    do throws(StorageError) {
      for _ in 0..<40 { _ = try large.add(random.bytes(4096)) }
      try store.publish(large, payload: [3])
      Issue.record("it writes more than it may")
    } catch { #expect(error.lacksRoom && error.reason.contains("quota")) }
    #expect(store.payload == [2])
    // A batch that began before the quota was set.
    store.quota = nil
    let old = store.begin()
    for _ in 0..<40 { _ = try old.add(random.bytes(4096)) }
    store.quota = 1 << 17
    #expect(throws: StorageError.self) { try store.publish(old, payload: [4]) }
    #expect(store.payload == [2] && store.usage().packs == 2)
    // Sweeping makes room, and is always allowed, as is saying that less is needed.
    try store.publish(nil, payload: [9])
    try store.sweep(Array(names.prefix(5)))
    let next = store.begin()
    _ = try next.add(random.bytes(4096))
    try store.publish(next, payload: [5])
    #expect(store.payload == [5])
  }

  @Test func damageIsFoundAndNamed() throws {
    let disk = MemoryFiles()
    let (store, names, random) = try start(disk)
    _ = random
    let place = try #require(store.place(names[8]))
    var bytes = try #require(disk[place.path])
    bytes[Int(place.offset) + 100] ^= 4
    disk[place.path] = bytes
    let other = try ContentStore(
      opening: "/s", writable: true, keys: nil,
      files: {
        MemoryFiles(
          folders: disk.allFolders,
          names: Dictionary(uniqueKeysWithValues: disk.paths.map { ($0, disk[$0]!) }))
      }())
    let damages = other.verify()
    #expect(damages.count == 1)
    #expect(damages.first?.name == names[8] && damages.first?.offset == place.offset)
    #expect(damages.first?.path == place.path)
    #expect(throws: StorageError.self) { try other.bytes(names[8]) }
    #expect(try other.bytes(names[7]).count == 4096)
    // It is kept by a sweep, as it may be mended.
    try other.sweep(names)
    #expect(other.verify().count == 1)
  }

  @Test func damageIsMendedByWhoHasTheContents() throws {
    let disk = MemoryFiles()
    let page: [UInt8]
    var names: [ContentName]
    do {
      let (store, all, _) = try start(disk)
      names = all
      page = try store.bytes(names[8])
      let place = try #require(store.place(names[8]))
      var bytes = try #require(disk[place.path])
      bytes[Int(place.offset)] ^= 1
      disk[place.path] = bytes
    }
    do {
      let store = try ContentStore(opening: "/s", writable: true, keys: nil, files: disk)
      store.distrust(store.verify().compactMap(\.name))
      let batch = store.begin()
      #expect(try batch.add(page) == names[8])
      #expect(batch.newObjects == 1)
      try store.publish(batch, payload: store.payload)
      #expect(try store.bytes(names[8]) == page)
      #expect(store.verify().isEmpty && store.usage().objects == names.count)
      let again = store.begin()
      _ = try again.add(page)
      #expect(again.newObjects == 0)
    }
    for writable in [false, true] {
      let store = try ContentStore(opening: "/s", writable: writable, keys: nil, files: disk)
      #expect(isWhole(store, names))
      if writable {
        try store.sweep(names)
        #expect(isWhole(store, names))
      }
    }
  }

  @Test func theRestOfAStoreWithoutAPackIsThere() throws {
    let disk = MemoryFiles()
    var (store, names, _) = try start(disk)
    let path = try #require(store.place(names[8])).path
    disk[path] = [1, 2, 3]
    _ = consume store
    disk.failsAfter = nil
    store = try ContentStore(opening: "/s", writable: false, keys: nil, files: disk)
    #expect(store.lostPacks.count == 1 && store.lostPacks.first?.path == path)
    #expect(try store.bytes(names[0]).count == 4096)
    do throws(StorageError) {
      _ = try store.bytes(names[8])
      Issue.record("it is there")
    } catch { #expect(error.reason.contains("lost")) }
    #expect(store.verify().count == 1)
    let files = MemoryFiles(
      folders: disk.allFolders,
      names: Dictionary(uniqueKeysWithValues: disk.paths.map { ($0, disk[$0]!) }))
    let writer = try ContentStore(opening: "/s", writable: true, keys: nil, files: files)
    let left = names.filter { writer.contains($0) }
    #expect(left.count == 12)
    try writer.sweep(left)
    #expect(files[path] != nil && writer.lostPacks.count == 1)
    try writer.sweep(live: Set(left), asOf: writer.sequence, discardsLost: true)
    #expect(files[path] == nil && writer.lostPacks.isEmpty && writer.verify().isEmpty)
  }
}
