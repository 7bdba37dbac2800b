// Power failures and kills at any point of making, publishing and sweeping.
//
// APUS_CUTS says how many cuts there are (100000 is a thorough run).

import Testing

@testable import Storage
@testable import Store

@Suite struct StorePowerCutTests {
  /// Runs a workload and cuts it.
  /// - Returns: how many cuts there were.
  private func run(
    _ seed: UInt64, cuts: Int, kill: Bool, keys: (any ContentKeys)? = nil
  ) throws -> Int {
    var random = StoreRandom(seed)
    let disk = MemoryFiles(folders: ["/tmp"])
    let model = StoreModel()
    var store: ContentStore? = try ContentStore(creating: "/tmp/s", keys: keys, files: disk)
    model.note(disk.log.count)
    for _ in 0..<12 {
      switch random.below(5) {
      case 0:
        let live = store!.payload.names
        try store!.sweep(live)
      case 1 where random.one(in: 3):
        store = nil
        store = try ContentStore(opening: "/tmp/s", writable: true, keys: keys, files: disk)
      default: try model.publish(store!, &random)
      }
      // A payload is there behind its step, and may be there from the end of the one before.
      if model.history.last?.payload != model.payload { model.note(disk.log.count) }
    }
    store = nil
    // Every point of it, or some.
    let all = disk.log.count + 1
    var points = cuts >= all ? Array(0..<all) : (0..<cuts).map { _ in random.below(all) }
    points.sort()
    var cursor = CutDisk(disk.log)
    for point in points {
      cursor.advance(to: point)
      let left = cursor.left(&random, kill: kill)
      let what = "seed \(seed), step \(point) of \(all - 1)"
      if !check(left, point, model, keys, what, &random) { break }
    }
    return points.count
  }

  private func check(
    _ left: MemoryFiles, _ point: Int, _ model: StoreModel, _ keys: (any ContentKeys)?,
    _ what: String, _ random: inout StoreRandom
  ) -> Bool {
    let before = model.history.lastIndex { $0.step <= point }
    guard let before else {
      // It was being made: it is there, or can be made again.
      if left.exists("/tmp/s/root") {
        let store = try? ContentStore(opening: "/tmp/s", writable: true, keys: keys, files: left)
        if store == nil { Issue.record("\(what): a root without the rest") }
        return store.map { model.check($0, [[]], what) } ?? false
      }
      do throws(StorageError) {
        _ = try ContentStore(creating: "/tmp/s", keys: keys, files: left)
        return true
      } catch {
        Issue.record("\(what): it cannot be made again: \(error)")
        return false
      }
    }
    let payloads = model.history[before...].prefix(2).map(\.payload)
    do {
      let reader = try ContentStore(opening: "/tmp/s", writable: false, keys: keys, files: left)
      guard model.check(reader, payloads, what) else { return false }
      let store = try ContentStore(opening: "/tmp/s", writable: true, keys: keys, files: left)
      guard model.check(store, payloads, what) else { return false }
      guard try left.names(in: "/tmp/s/packs").count == store.usage().packs else {
        Issue.record("\(what): leftovers stay")
        return false
      }
      // It goes on.
      let batch = store.begin()
      let bytes = random.bytes(5000)
      let name = try batch.add(bytes)
      let payload = store.payload + name.bytes
      try store.publish(batch, payload: payload)
      try store.sweep(payload.names)
      guard try store.bytes(name) == bytes, store.verify().isEmpty else {
        Issue.record("\(what): it does not go on")
        return false
      }
      for name in payload.names where !store.contains(name) {
        Issue.record("\(what): \(name.short) is gone")
        return false
      }
      return true
    } catch {
      Issue.record("\(what): \(error)")
      return false
    }
  }

  @Test func afterAnyPowerCutTheStoreIsAsBeforeOrAfterAStep() throws {
    var left = TestCounts.of("APUS_CUTS", normally: 1500)
    var seed: UInt64 = 1
    while left > 0 {
      left -= try run(seed, cuts: min(left, 100), kill: false)
      seed += 1
    }
  }

  @Test func afterAKillAtAnyPointTheStoreIsAsBeforeOrAfterAStep() throws {
    for seed in 1000..<1003 { _ = try run(UInt64(seed), cuts: .max, kill: true) }
  }

  @Test(.enabled(if: OpenSSL.isThere, "OpenSSL 3 is not installed"))
  func itIsTheSameOfAStoreWithKeys() throws {
    let key = VolumeKey(SecretBytes([UInt8](repeating: 1, count: 64)), identity: "disk")
    let cuts = TestCounts.of("APUS_CUTS", normally: 100)
    for seed in 2000..<2000 + UInt64((cuts + 99) / 100) {
      _ = try run(seed, cuts: 100, kill: false, keys: StoreKeys([key]))
    }
  }
}
