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
