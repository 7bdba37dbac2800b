// Lists of names, compared with dictionaries.

import Storage
import Testing

@testable import Store

@Suite struct ContentListTests {
  private func store() throws -> ContentStore {
    let disk = MemoryFiles()
    disk.records = false
    return try ContentStore(creating: "/s", keys: nil, files: disk)
  }

  private func sorted(_ entries: [UInt64: ContentName]) -> [(slot: UInt64, name: ContentName)] {
    entries.sorted { $0.key < $1.key }.map { (slot: $0.key, name: $0.value) }
  }

  private func entries(_ list: ContentList, _ store: ContentStore) throws -> [UInt64: ContentName] {
    var found: [UInt64: ContentName] = [:]
    var last: UInt64?
    try list.forEach(in: store) { slot, name in
      #expect(last.map { $0 < slot } ?? true)
      last = slot
      found[slot] = name
    }
    return found
  }

  private func name(_ random: inout StoreRandom) -> ContentName {
    ContentName((random.next(), random.next(), random.next(), random.next()))
  }

  @Test func listsHoldWhatDictionariesHold() throws {
    let store = try store()
    var random = StoreRandom(50)
    for _ in 0..<60 {
      let count = UInt64([0, 1, 511, 512, 513, 1024, 5000, 20_000][random.below(8)])
      var model: [UInt64: ContentName] = [:]
      for _ in 0..<random.below(300) where count > 0 {
        model[random.next() % count] = name(&random)
      }
      var batch = store.begin()
      var list = try ContentList(count: count, sorted(model), into: batch)
      try store.publish(batch, payload: list.name.bytes)
      var size = count
      for _ in 0..<5 {
        #expect(try ContentList(list.name, in: store) == list)
        #expect(list.count == size)
        #expect(try entries(list, store) == model)
        let reader = ContentListReader(list, in: store)
        for _ in 0..<50 {
          let slot = random.next() % (size + 10)
          #expect(try reader.name(slot) == model[slot] ?? .zero)
        }
        // Some change, some become zeros, and the list may become longer or shorter.
        let old = (list, model)
        if random.one(in: 2) {
          size = UInt64(max(0, Int(size) + random.below(1200) - 600))
          model = model.filter { $0.key < size }
        }
        var changes: [UInt64: ContentName] = [:]
        for _ in 0..<random.below(20) where size > 0 {
          let slot =
            random.one(in: 2) ? model.keys.randomElement(using: &random) ?? 0 : random.next() % size
          changes[slot] = random.one(in: 3) ? .zero : name(&random)
        }
        for (slot, name) in changes { model[slot] = name == .zero ? nil : name }
        batch = store.begin()
        list = try list.changing(sorted(changes), count: size, into: batch)
        // The same contents are the same list, however they came about.
        #expect(try ContentList(count: size, sorted(model), into: batch).name == list.name)
        try store.publish(batch, payload: list.name.bytes)
        var differences: [UInt64: ContentName] = [:]
        var before = old.1
        try list.difference(from: old.0, in: store) { slot, first, second in
          #expect(first != second && first == old.1[slot] ?? .zero)
          differences[slot] = second
          before[slot] = second == .zero ? nil : second
        }
        #expect(before == model)
      }
    }
  }

  @Test func unchangedChunksAreShared() throws {
    let store = try store()
    var random = StoreRandom(51)
    let all = (0..<UInt64(20_000)).map { (slot: $0, name: name(&random)) }
    let first = store.begin()
    let list = try ContentList(count: 20_000, all, into: first)
    #expect(first.newObjects == 41)
    try store.publish(first, payload: [])
    let second = store.begin()
    let next = try list.changing([(slot: UInt64(700), name: name(&random))], into: second)
    // The chunk and the list.
    #expect(second.newObjects == 2)
    try store.publish(second, payload: [])
    var slots: [UInt64] = []
    try next.difference(from: list, in: store) { slot, _, _ in slots.append(slot) }
    #expect(slots == [700])
    let third = store.begin()
    let zeros = try ContentList(count: 1 << 28 - 512, [], into: third)
    #expect(third.newObjects == 1)
    #expect(throws: StorageError.self) { try ContentList(count: 1 << 28, [], into: third) }
    _ = zeros
  }

  @Test func slotsInDisorderAreRefused() throws {
    let store = try store()
    let batch = store.begin()
    let name = ContentName((1, 2, 3, 4))
    for slots: [UInt64] in [[3, 2], [3, 3], [10], [.max]] {
      do throws(StorageError) {
        _ = try ContentList(count: 10, slots.map { (slot: $0, name: name) }, into: batch)
        Issue.record("\(slots)")
      } catch { #expect(error.isUsage) }
    }
  }

  @Test func whatIsMarkedIsAllThatAListNeeds() throws {
    let store = try store()
    var random = StoreRandom(52)
    let batch = store.begin()
    var pages: [ContentName] = []
    for _ in 0..<300 { pages.append(try batch.add(random.bytes(600))) }
    let old = try ContentList(
      count: 40_000, pages.enumerated().map { (slot: UInt64($0.offset * 130), name: $0.element) },
      into: batch)
    try store.publish(batch, payload: [])
    let next = store.begin()
    let extra = try next.add(random.bytes(600))
    let new = try old.changing(
      [(slot: UInt64(5), name: extra), (slot: UInt64(130), name: .zero)], into: next)
    let lonely = try next.add(random.bytes(600))
    // It looks like a chunk of a list, and is an object that another list has in a slot.
    let trap = try ContentList(count: 1, [(slot: UInt64(0), name: old.chunks[3])], into: next)
    try store.publish(next, payload: [])
    var marks = ContentMarks()
    marks.insert(lonely)
    marks.insert(.zero)
    try marks.insert(trap, in: store)
    try marks.insert(new, in: store)
    #expect(marks.live.contains(extra) && !marks.live.contains(pages[1]))
    #expect(!marks.live.contains(.zero) && !marks.live.contains(old.name))
    try store.sweep(live: marks.live, asOf: store.sequence)
    #expect(store.verify().isEmpty && store.contains(lonely))
    try new.forEach(in: store) { _, name in #expect(store.contains(name)) }
    #expect(store.usage().objects == marks.live.count)
  }
}
