// OFLAG_COPIED where it is wrong, and tables of snapshots where there are none: as qemu-img has it.

import Foundation
import Testing

@testable import Storage

@Suite struct QCOW2FlagTests {
  /// What is changed, and what qemu-img check 7.2 counts then.
  struct Wrong: Sendable, CustomTestStringConvertible {
    var l1Flag: Bool?
    var l2Flag: Bool?
    var count: UInt8?
    var corruptions: Int
    var leaks: Int
    var testDescription: String {
      "L1 \(l1Flag.map { "\($0)" } ?? "-"), L2 \(l2Flag.map { "\($0)" } ?? "-"), count "
        + "\(count.map { "\($0)" } ?? "-")"
    }
  }

  /// A cluster of data, with flags and a count that are as wished.
  private func image(_ wrong: Wrong) throws -> MemoryStore {
    let store = try QCOW2Maker.image(size: 1 << 20)
    let image = try QCOW2Maker.open(store)
    try image.write(block: 0, QCOW2Maker.pattern(65536, 1))
    image.close()
    let header = try QCOW2Header(store)
    func put(_ place: UInt64, _ flag: Bool?) throws -> UInt64 {
      let word = try QCOW2Table.read(store, at: place, count: 1)[0]
      let host = word & QCOW2Layout.hostOffsetMask
      if let flag { try QCOW2Table.write(store, at: place, [host | (flag ? 1 << 63 : 0)]) }
      return host
    }
    let table = try put(header.l1TableOffset, wrong.l1Flag)
    let host = try put(table, wrong.l2Flag)
    if let count = wrong.count {
      let block = try QCOW2Refcounts.readTable(store, header)[0]
      try store.write(at: block + host >> 16 * 2, [0, count])
    }
    return store
  }

  @Test(arguments: [
    Wrong(l1Flag: false, corruptions: 1, leaks: 0), Wrong(l2Flag: false, corruptions: 1, leaks: 0),
    Wrong(l2Flag: true, count: 2, corruptions: 1, leaks: 1),
    Wrong(l2Flag: false, count: 2, corruptions: 0, leaks: 1),
    Wrong(l2Flag: true, count: 0, corruptions: 2, leaks: 0),
  ])
  func flagsThatContradictTheCountsAreTold(_ wrong: Wrong) throws {
    let store = try image(wrong)
    let check = try QCOW2Maker.check(store)
    #expect(check.corruptions == wrong.corruptions && check.leaks == wrong.leaks)
    let scratch = Scratch()
    if QCOW2Oracle.isThere {
      let path = scratch.file("image", store.bytes)
      let text = try QCOW2Oracle.run("qemu-img", "check", "--output=json", path).output
      let json =
        text[(text.firstIndex(of: "{") ?? text.startIndex)...]
        .prefix { $0 != "}" } + "}"
      let said = try #require(
        try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
      #expect(said["corruptions"] as? Int ?? 0 == check.corruptions)
      #expect(said["leaks"] as? Int ?? 0 == check.leaks)
    }
    for repair: ImageRepair in wrong.count == 0 ? [.all] : [.leaks, .all] {
      let store = try image(wrong)
      #expect(try QCOW2Maker.check(store, repair).isClean)
      #expect(try QCOW2Maker.check(store).isClean)
      if QCOW2Oracle.isThere {
        #expect(try QCOW2Oracle.complaint(scratch.file("mended", store.bytes)) == "")
      }
    }
  }

  /// Whenever the program is killed while it makes, goes back to or deletes a snapshot: what qemu-img calls an error then is mended by a repair,
  /// and where the version has a mark for it by the next write, too.
  @Test(arguments: ["make", "apply", "delete"], ["", ",compat=0.10"])
  func aSnapshotThatWasHalfDoneIsMended(_ work: String, _ version: String) throws {
    let (sample, model) = try QCOW2CheckTests.sample("cluster_size=4096" + version)
    let before = try QCOW2Format().open(
      MemoryStore(sample.bytes), MemoryFolder().context, snapshot: "s"
    ).device.bytes(at: 0, count: model.count)
    let scratch = Scratch()
    var clear = 0
    for last in 1...300 {
      let host = FullHost([("image", sample.bytes)])
      host.refused = last..<1 << 30
      let device = try QCOW2Format().open(host.files["image"]!, host.context).device
      let image = try #require(device as? QCOW2Image)
      let isDone =
        switch work {
        case "make": (try? image.createSnapshot(named: "t", time: 8)) != nil
        case "apply": (try? image.applySnapshot("s")) != nil
        default: (try? image.deleteSnapshot("s")) != nil
        }
      let left = host.contents()[0].bytes
      let check = try QCOW2Maker.check(MemoryStore(left))
      if check.findings.contains(where: { $0.text == QCOW2Checker.clearFlag }) {
        clear += 1
        #expect(check.corruptions == 0 || version != "")
        if QCOW2Oracle.isThere {
          let path = scratch.file("image", left)
          #expect(try QCOW2Oracle.complaint(path, leaksAllowed: true).contains("OFLAG_COPIED"))
        }
      }
      func holds(_ store: MemoryStore) throws -> Bool {
        let now = try QCOW2Maker.open(store).bytes(at: 0, count: model.count)
        return now == model || work == "apply" && now == before
      }
      let mended = MemoryStore(left)
      #expect(try QCOW2Maker.check(mended, .all).isClean)
      #expect(try QCOW2Maker.check(mended).findings.isEmpty)
      #expect(try holds(mended))
      if QCOW2Oracle.isThere && last % 5 == 0 {
        #expect(try QCOW2Oracle.complaint(scratch.file("mended", mended.bytes)) == "")
      }
      if version == "" {
        let written = MemoryStore(left)
        let next = try QCOW2Maker.open(written)
        try next.write(block: 0, try next.contents(of: 0))
        next.close()
        #expect(try QCOW2Maker.check(written).corruptions == 0)
        #expect(try holds(written))
        if QCOW2Oracle.isThere && last % 5 == 0 {
          let path = scratch.file("written", written.bytes)
          #expect(try QCOW2Oracle.complaint(path, leaksAllowed: true) == "")
        }
      }
      if isDone { break }
      #expect(last < 300)
    }
    #expect(clear > 0 || work == "apply")
  }

  /// Without snapshots, too, the place of their table has to be one; what is there is nobody's.
  @Test(arguments: [
    (UInt64(4097), false), (1_000_000, false), (1 << 16, true), (1 << 50, true),
    (UInt64(Int64.max), false), (1 << 63, false),
  ])
  func theSnapshotTablesPlaceIsOneWithoutSnapshots(_ offset: UInt64, _ isTaken: Bool) throws {
    let store = try QCOW2Maker.image(size: 1 << 20)
    try QCOW2Table.write(store, at: 64, [offset])
    let scratch = Scratch()
    if QCOW2Oracle.isThere {
      let path = scratch.file("image", store.bytes)
      #expect((try QCOW2Oracle.run("qemu-img", "info", path).status == 0) == isTaken)
      #expect((try QCOW2Oracle.complaint(path) == "") == isTaken)
    }
    guard isTaken else {
      for work in [
        { _ = try QCOW2Maker.open(store) }, { _ = try QCOW2Maker.check(store) },
        { _ = try QCOW2Maker.check(store, .all) },
      ] {
        let error = #expect(throws: StorageError.self) { try work() }
        #expect(error?.offset == 64)
      }
      return
    }
    #expect(try QCOW2Maker.check(store).isClean)
    let before = store.bytes
    let image = try QCOW2Maker.open(store)
    try image.createSnapshot(named: "s", time: 7)
    image.close()
    // The snapshot's table is where there was nothing, and what is at the old place stays.
    #expect(try QCOW2Header(store).snapshotsOffset >= before.count)
    if offset < before.count {
      let place = Int(offset)
      #expect(try QCOW2Maker.check(store).isClean)
      #expect(place == 65536)
    }
    if QCOW2Oracle.isThere {
      #expect(try QCOW2Oracle.complaint(scratch.file("image", store.bytes)) == "")
    }
  }
}
