// QCOW2 images on a host whose room ends while much is written, as by `commit` and `rebase`: what had been written before can be flushed all
// the same, and what was allocated for nothing is given back.

import Testing

@testable import Storage

@Suite struct QCOW2FullHostTests {
  @Test(arguments: [
    "cluster_size=4096", "cluster_size=512", "", "extended_l2=on,cluster_size=16384",
    "cluster_size=1024,compat=0.10",
  ])
  func whatCouldNotBeWrittenTakesNoRoom(_ options: String) throws {
    let store = try QCOW2Maker.image(size: 16 << 20, options)
    var model = [UInt8](repeating: 0, count: 16 << 20)
    let first = try QCOW2Maker.open(store)
    let start = QCOW2Maker.pattern(1 << 20, 1)
    try first.write(block: 0, start)
    model.replaceSubrange(0..<start.count, with: start)
    try first.createSnapshot(named: "s", time: 7)
    first.close()
    #expect(try QCOW2Maker.check(store).isClean)
    // Room for so many KiB more.
    for more in [0, 4, 8, 64, 72, 200, 600, 700, 1000, 1500, 2100, 2600, 3000] {
      let host = FullHost([("image", store.bytes)])
      host.room = host.usedBytes + more << 10
      let device = try QCOW2Format().open(host.files["image"]!, host.context).device
      let chunk = QCOW2Maker.pattern(512 << 10, 2)
      var failed = false
      var done = 0
      for n in 0..<8 where !failed {
        do throws(StorageError) {
          try device.write(block: UInt64(n * 4096), chunk)
          done = n + 1
        } catch { failed = true }
      }
      #expect(failed)
      // As whoever gives up does.
      #expect((try? device.flush()) != nil, "\(more)")
      device.close()
      let left = MemoryStore(host.contents()[0].bytes)
      let check = try QCOW2Maker.check(left)
      let isClean = check.isClean
      #expect(isClean, "\(more): \(check.leaks) leaks, \(check.findings.prefix(2))")
      let now = try QCOW2Maker.open(left).bytes(at: 0, count: model.count)
      for n in 0..<8 where n != done {
        let range = n << 21..<n << 21 + chunk.count
        // Not the arrays, whose differences would take long to be told.
        let isSame = now[range].elementsEqual(n < done ? chunk[...] : model[range])
        #expect(isSame, "\(more): \(n)")
      }
    }
  }

  /// What needs room comes first: an image without room for one more snapshot is as it was, flags included.
  @Test(arguments: ["cluster_size=4096", "", "extended_l2=on,cluster_size=16384"])
  func aSnapshotWithoutRoomChangesNothing(_ options: String) throws {
    let store = try QCOW2Maker.image(size: 16 << 20, options)
    let data = QCOW2Maker.pattern(1 << 20, 1)
    let first = try QCOW2Maker.open(store)
    try first.write(block: 0, data)
    first.close()
    // None, and only for the L1 table.
    for more in [0, 4096] {
      let host = FullHost([("image", store.bytes)])
      host.room = host.usedBytes + more
      let device = try QCOW2Format().open(host.files["image"]!, host.context).device
      let image = try #require(device as? QCOW2Image)
      let error = #expect(throws: StorageError.self) {
        try image.createSnapshot(named: "s", time: 7)
      }
      #expect(error?.lacksRoom == true)
      image.close()
      let left = MemoryStore(host.contents()[0].bytes)
      let check = try QCOW2Maker.check(left)
      #expect(check.isClean, "\(more): \(check.findings.prefix(3))")
      let again = try QCOW2Maker.open(left)
      #expect(try again.bytes(at: 0, count: data.count) == data)
      #expect(again.imageSnapshots.isEmpty)
    }
  }
}
