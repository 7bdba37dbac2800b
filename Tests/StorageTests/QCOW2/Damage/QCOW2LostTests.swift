// QCOW2 files that have lost their ends: what a repair makes of them.

import Foundation
import Testing

@testable import Storage

@Suite struct QCOW2LostTests {
  private func sectors(_ image: QCOW2Image) -> [[UInt8]?] {
    (0..<Int(image.blockCount)).map { try? image.bytes(at: UInt64($0) * 512, count: 512) }
  }

  /// A sample whose file is as long as it has to be.
  private func sample(_ options: String) throws -> [UInt8] {
    let isSmall = options.contains("=16384") || options.contains("=4096")
    return try QCOW2CheckTests.sample(options, size: isSmall ? 1 << 20 : 200 << 10).0.bytes
  }

  /// Wherever it was cut: what could be read is there, the rest is zeros, nobody finds fault with it, and nothing is left to be done.
  @Test(arguments: [
    "cluster_size=512", "cluster_size=4096", "cluster_size=512,compat=0.10",
    "extended_l2=on,cluster_size=16384", "cluster_size=4096,compression_type=zstd",
    "cluster_size=512,refcount_bits=64",
  ])
  func aRepairKeepsWhatIsLeft(_ options: String) throws {
    let whole = try sample(options)
    let scratch = Scratch()
    var random = PowerCutRandom(seed: 77)
    var opened = 0
    for round in 0..<50 {
      let size = round == 0 ? whole.count - 512 : 1024 + random.below(whole.count - 1024)
      let store = MemoryStore(Array(whole[..<size]))
      // Without the table of tables there is nothing to be kept.
      guard let found = try? QCOW2Maker.check(store) else {
        #expect(throws: StorageError.self) { try QCOW2Maker.check(store, .all) }
        #expect(store.bytes == Array(whole[..<size]))
        continue
      }
      let before = (try? QCOW2Maker.open(store)).map(sectors)
      opened += 1
      let repair = try QCOW2Maker.check(store, .all)
      #expect(repair.isClean, "\(size): \(repair.findings.filter { !$0.isRepaired }.prefix(3))")
      #expect(repair.corruptions == found.corruptions && repair.openFaults == 0)
      #expect(repair.findings.allSatisfy { $0.isRepaired })
      let after = try QCOW2Maker.check(store)
      #expect(after.findings.isEmpty, "\(size): \(after.findings.prefix(3))")
      #expect(repair.allocatedUnits == after.allocatedUnits)
      if QCOW2Oracle.isThere {
        #expect(try QCOW2Oracle.complaint(scratch.file("image", store.bytes)) == "", "\(size)")
      }
      let image = try QCOW2Maker.open(store)
      let contents = sectors(image)
      for (n, old) in (before ?? []).enumerated() {
        #expect(contents[n] == old ?? [UInt8](repeating: 0, count: 512), "\(size), sector \(n)")
      }
      // And it goes on.
      var model = contents.flatMap { $0 ?? [] }
      try QCOW2Maker.exercise(image, &model, steps: 10, seed: UInt64(round))
      image.close()
      #expect(try QCOW2Maker.check(store).findings.isEmpty)
    }
    #expect(opened > 10)
  }

  /// What was the image's own does not become what its base has.
  @Test func lostClustersAreZerosOverABase() throws {
    let folder = MemoryFolder()
    let base = QCOW2Maker.pattern(1 << 20, 5)
    _ = folder.add("base.img", base)
    let store = try QCOW2Maker.image(size: 1 << 20, base: ("base.img", "raw"), in: folder)
    var image = try QCOW2Maker.open(store, in: folder)
    try image.write(block: 0, QCOW2Maker.pattern(65536, 6))
    try image.write(block: 1024, QCOW2Maker.pattern(65536, 7))
    image.close()
    try store.setSize(store.size - 65536)
    #expect(try QCOW2Maker.check(store, .all, in: folder).isClean)
    image = try QCOW2Maker.open(store, in: folder)
    var expected = base
    expected.replaceSubrange(0..<65536, with: QCOW2Maker.pattern(65536, 6))
    expected.replaceSubrange(
      512 << 10..<576 << 10, with: [UInt8](repeating: 0, count: 65536))
    #expect(try image.bytes(at: 0, count: 1 << 20) == expected)
  }

  /// An image with two snapshots, whose tables are its last clusters.
  private func withSnapshots() throws -> MemoryStore {
    let store = try QCOW2Maker.image(size: 1 << 20)
    let image = try QCOW2Maker.open(store)
    for (name, tag) in [("first", 1), ("second", 2)] as [(String, UInt64)] {
      try image.write(block: 0, QCOW2Maker.pattern(65536, tag))
      try image.createSnapshot(named: name, time: 7)
    }
    image.close()
    return store
  }

  /// What is there of the disk and of snapshots, after a repair that nobody finds fault with.
  private func mended(_ store: MemoryStore) throws -> (disk: [UInt8], names: [String]) {
    let found = try QCOW2Maker.check(store)
    #expect(found.findings.contains { $0.text.hasPrefix("snapshot ") })
    let repair = try QCOW2Maker.check(store, .all)
    #expect(repair.isClean && repair.corruptions == found.corruptions)
    #expect(try QCOW2Maker.check(store).findings.isEmpty)
    if QCOW2Oracle.isThere {
      let scratch = Scratch()
      #expect(try QCOW2Oracle.complaint(scratch.file("image", store.bytes)) == "")
    }
    let image = try QCOW2Maker.open(store)
    return (try image.bytes(at: 0, count: 65536), try image.snapshots().map(\.name))
  }

  @Test func snapshotsWhoseTableIsLostAreGone() throws {
    for cut in [1, 65535, 65536, 65537] as [UInt64] {
      let store = try withSnapshots()
      let table = try QCOW2Header(store).snapshotsOffset
      // Behind it is nothing.
      #expect(table == store.size - 65536)
      let size = cut == 1 ? table + 60 : store.size - cut
      try store.setSize(size)
      let left = try mended(store)
      #expect(left.names.isEmpty)
      #expect(left.disk == QCOW2Maker.pattern(65536, 2))
    }
  }

  /// The other is there as before.
  @Test func aSnapshotWhoseOwnTableIsLostIsGone() throws {
    let store = try withSnapshots()
    let header = try QCOW2Header(store)
    let second = try #require(try QCOW2Snapshot.table(store, header).snapshots.last)
    let entry = try #require(store.bytes.firstRange(of: second.bytes[..<40])).lowerBound
    try QCOW2Table.write(store, at: UInt64(entry), [(store.size + 65536) & ~65535])
    let left = try mended(store)
    #expect(left.names == ["first"])
    #expect(left.disk == QCOW2Maker.pattern(65536, 2))
    let shown = try QCOW2Format().open(store, MemoryFolder().context, snapshot: "first").device
    #expect(try shown.bytes(at: 0, count: 65536) == QCOW2Maker.pattern(65536, 1))
  }

  /// More findings than are listed, one of which stays.
  @Test func onlyWhatIsMendedIsCountedAsMended() throws {
    let store = try QCOW2Maker.image(size: 16 << 20, "cluster_size=4096")
    let image = try QCOW2Maker.open(store)
    for n in 0..<8 as Range<UInt64> { try image.write(block: n << 12, QCOW2Maker.pattern(512, 1)) }
    try image.write(block: 0, QCOW2Maker.pattern(16 << 20, 1))
    image.close()
    try store.setSize(4 << 20)
    let header = try QCOW2Header(store)
    let table =
      try QCOW2Table.read(store, at: header.l1TableOffset, count: 1)[0] & QCOW2Layout.hostOffsetMask
    // No cluster begins there, but there is something.
    try QCOW2Table.write(store, at: table, [QCOW2Layout.copied | (20 * 4096 + 512)])
    let found = try QCOW2Maker.check(store)
    #expect(found.corruptions > 1000 && found.findings.count == 1000)
    let repair = try QCOW2Maker.check(store, .all)
    let left = try QCOW2Maker.check(store)
    #expect(left.corruptions + left.leaks > 0)
    #expect(!repair.isClean && repair.openFaults == left.corruptions)
    #expect(
      repair.corruptions + repair.leaks - repair.repaired == left.corruptions + left.leaks)
  }

  /// Where two tables are in one place, what is there may be data: it is left, and told of as that.
  @Test func whatIsLostInASharedTableStaysAnError() throws {
    let store = try QCOW2Maker.image(size: 16 << 20, "cluster_size=4096")
    let image = try QCOW2Maker.open(store)
    try image.write(block: 0, QCOW2Maker.pattern(16 << 20, 1))
    image.close()
    let header = try QCOW2Header(store)
    let first = try QCOW2Table.read(store, at: header.l1TableOffset, count: 1)[0]
    let table = first & QCOW2Layout.hostOffsetMask
    // The table's first entry says that the table is data, too; its last, that there are some behind the end.
    try QCOW2Table.write(store, at: table, [first])
    try QCOW2Table.write(store, at: table + 4088, [QCOW2Layout.copied | (store.size + 1 << 30)])
    let repair = try QCOW2Maker.check(store, .all)
    let lost = repair.findings.filter { $0.text.contains("behind the file's end") }
    #expect(lost.count == 1 && lost.allSatisfy { !$0.isRepaired })
    #expect(repair.openFaults > 0)
    #expect(try QCOW2Table.read(store, at: table + 4088, count: 1)[0] != 0)
  }

  /// An entry that leads far away where the file has never been is damage, not loss: the table is still in the file, and is not given back.
  @Test func aTableThatIsOnlyNamedWronglyIsKept() throws {
    let store = try QCOW2Maker.image(size: 1 << 20)
    let image = try QCOW2Maker.open(store)
    try image.write(block: 0, QCOW2Maker.pattern(1 << 20, 1))
    image.close()
    let place = try QCOW2Header(store).l1TableOffset
    let right = try QCOW2Table.read(store, at: place, count: 1)
    try QCOW2Table.write(store, at: place, [right[0] ^ 1 << 40])
    #expect(try !QCOW2Maker.check(store, .all).isClean)
    try QCOW2Table.write(store, at: place, right)
    #expect(try QCOW2Maker.check(store).isClean)
    #expect(
      try QCOW2Maker.open(store).bytes(at: 0, count: 1 << 20) == QCOW2Maker.pattern(1 << 20, 1))
  }

  /// Nobody has asked for a repair who only writes.
  @Test func anImageThatWasNotClosedDoesNotForgetWhatItLost() throws {
    let store = try QCOW2Maker.image(size: 1 << 20)
    var image = try QCOW2Maker.open(store)
    try image.write(block: 0, QCOW2Maker.pattern(1 << 20, 1))
    image.close()
    var header = try QCOW2Header(store)
    header.incompatible |= QCOW2Header.Incompatible.dirty
    try header.writeFields(store)
    try store.setSize(store.size - (512 << 10))
    image = try QCOW2Maker.open(store)
    #expect(throws: StorageError.self) {
      try image.write(block: 0, QCOW2Maker.pattern(512, 3))
    }
    #expect(throws: StorageError.self) { try image.bytes(at: 1_000_000, count: 512) }
    #expect(try image.bytes(at: 0, count: 4096) == Array(QCOW2Maker.pattern(1 << 20, 1)[..<4096]))
  }
}
