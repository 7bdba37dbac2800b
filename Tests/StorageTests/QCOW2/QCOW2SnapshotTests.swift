// Snapshots inside QCOW2 files: made, shown, taken back to, deleted.

import Foundation
import Testing

@testable import Storage

@Suite struct QCOW2SnapshotTests {
  @Test(arguments: [
    "", "cluster_size=512", "compat=0.10,cluster_size=4096", "extended_l2=on,cluster_size=16384",
    "refcount_bits=8,cluster_size=512",
  ])
  func keepWhatTheDiskHeld(_ options: String) throws {
    let store = try QCOW2Maker.image(size: 1 << 20, options)
    var model = [UInt8](repeating: 0, count: 1 << 20)
    var kept: [String: [UInt8]] = [:]
    var image = try QCOW2Maker.open(store)
    var random = PowerCutRandom(seed: 21)
    for round in 0..<12 {
      try QCOW2Maker.exercise(image, &model, steps: 40, seed: UInt64(round) + 30)
      switch random.below(5) {
      case 0 where !kept.isEmpty:
        let name = kept.keys.sorted()[random.below(kept.count)]
        try image.applySnapshot(name)
        model = kept[name]!
      case 1 where !kept.isEmpty:
        let name = kept.keys.sorted()[random.below(kept.count)]
        try image.deleteSnapshot(name)
        kept[name] = nil
      default:
        try image.createSnapshot(named: "n\(round)", time: 7)
        kept["n\(round)"] = model
      }
      let check = try QCOW2Maker.check(store)
      #expect(check.isClean, "round \(round): \(check.findings.prefix(3))")
      if round % 3 == 2 {
        image.close()
        image = try QCOW2Maker.open(store)
      }
    }
    #expect(try image.bytes(at: 0, count: model.count) == model)
    #expect(Set(try image.snapshots().map(\.name)) == Set(kept.keys))
    image.close()
    for (name, contents) in kept {
      let shown = try QCOW2Format().open(store, MemoryFolder().context, snapshot: name).device
      #expect(shown.isReadOnly)
      #expect(try shown.bytes(at: 0, count: contents.count) == contents)
    }
    #expect(throws: StorageError.self) {
      try QCOW2Format().open(store, MemoryFolder().context, snapshot: "none")
    }
  }

  @Test func refcountsOfOneBitHaveNoRoomForThem() throws {
    let store = try QCOW2Maker.image(size: 1 << 20, "refcount_bits=1")
    let image = try QCOW2Maker.open(store)
    try image.write(block: 0, QCOW2Maker.pattern(65536, 1))
    #expect(throws: StorageError.self) { try image.createSnapshot(named: "s", time: 7) }
    image.close()
    #expect(try QCOW2Maker.check(store).isClean)
  }

  /// Three states can share a cluster: going back to one of two snapshots needs no fourth reference where nothing was written since.
  @Test func refcountsOfTwoBitsHaveRoomForTwo() throws {
    let store = try QCOW2Maker.image(size: 1 << 20, "refcount_bits=2")
    let image = try QCOW2Maker.open(store)
    let (first, second) = (QCOW2Maker.pattern(65536, 1), QCOW2Maker.pattern(65536, 2))
    try image.write(block: 0, first)
    try image.write(block: 1024, first)
    try image.createSnapshot(named: "a", time: 7)
    try image.createSnapshot(named: "b", time: 7)
    try image.applySnapshot("a")
    #expect(try QCOW2Maker.check(store).findings.isEmpty)
    try image.write(block: 0, second)
    try image.applySnapshot("b")
    #expect(try QCOW2Maker.check(store).findings.isEmpty)
    #expect(try image.bytes(at: 0, count: 65536) == first)
    #expect(try image.bytes(at: 512 << 10, count: 65536) == first)
    // A third one would be the fourth to have them; the words say what helps.
    let before = try image.bytes(at: 0, count: 1 << 20)
    let error = #expect(throws: StorageError.self) {
      try image.createSnapshot(named: "c", time: 7)
    }
    #expect(error?.reason.contains("end at 3") == true)
    #expect(error?.reason.contains("delete a snapshot") == true)
    try image.write(block: 0, second)
    try image.deleteSnapshot("a")
    try image.createSnapshot(named: "c", time: 7)
    try image.applySnapshot("b")
    #expect(try image.bytes(at: 0, count: 1 << 20) == before)
    try image.applySnapshot("c")
    #expect(try image.bytes(at: 0, count: 65536) == second)
    image.close()
    #expect(try QCOW2Maker.check(store).findings.isEmpty)
    if QCOW2Oracle.isThere {
      let scratch = Scratch()
      #expect(try QCOW2Oracle.complaint(scratch.file("image", store.bytes)) == "")
    }
  }

  @Test func aSnapshotHasItsOwnSize() throws {
    let store = try QCOW2Maker.image(size: 1 << 20)
    let image = try QCOW2Maker.open(store)
    try image.write(block: 0, QCOW2Maker.pattern(1 << 20, 1))
    try image.createSnapshot(named: "short", time: 7)
    try image.resize(to: 4096)
    try image.write(block: 2048, QCOW2Maker.pattern(1 << 20, 2))
    try image.applySnapshot("short")
    #expect(image.blockCount == 2048)
    #expect(try image.bytes(at: 0, count: 1 << 20) == QCOW2Maker.pattern(1 << 20, 1))
    image.close()
    #expect(try QCOW2Maker.check(store).isClean)
  }
}
