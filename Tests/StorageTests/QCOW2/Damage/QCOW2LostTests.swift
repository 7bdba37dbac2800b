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

  /// Whether each cluster is what it was, or zeros.
  private func isLeft(_ bytes: [UInt8], of whole: [UInt8]) -> Bool {
    for at in stride(from: 0, to: whole.count, by: 4096) {
      let part: ArraySlice<UInt8> = bytes[at..<at + 4096]
      if part == whole[at..<at + 4096] { continue }
      if part.contains(where: { $0 != 0 }) { return false }
    }
    return true
  }

  /// Of a snapshot the entry or the L1 table is lost, of another nothing: that is kept, as is the disk.
  @Test func snapshotsWhoseTablesAreLostAreGone() throws {
    var fewest = 2
    for cut in 1...44 {
      let store = try QCOW2Maker.image(size: 1 << 20, "cluster_size=4096")
      var image = try QCOW2Maker.open(store)
      let (first, second) = (QCOW2Maker.pattern(65536, 1), QCOW2Maker.pattern(65536, 2))
      try image.write(block: 0, first)
      try image.createSnapshot(named: "kept", time: 7)
      try image.write(block: 0, second)
      try image.write(block: 1024, first)
      try image.createSnapshot(named: "lost", time: 7)
      image.close()
      try store.setSize(store.size - UInt64(cut) * 4096)
      guard let found = try? QCOW2Maker.check(store) else {
        #expect(cut > 20)
        continue
      }
      let repair = try QCOW2Maker.check(store, .all)
      #expect(repair.isClean && repair.corruptions == found.corruptions)
      #expect(try QCOW2Maker.check(store).findings.isEmpty)
      image = try QCOW2Maker.open(store)
      let names = try image.snapshots().map(\.name)
      #expect(names.isEmpty || names == ["kept"] || names == ["kept", "lost"])
      fewest = min(fewest, names.count)
      #expect(
        found.findings.contains { $0.text.hasPrefix("snapshot ") } || names.count == 2)
      #expect(isLeft(try image.bytes(at: 0, count: 65536), of: second))
      if names.contains("kept") {
        let shown = try QCOW2Format().open(store, MemoryFolder().context, snapshot: "kept").device
        #expect(isLeft(try shown.bytes(at: 0, count: 65536), of: first))
      }
      if QCOW2Oracle.isThere {
        let scratch = Scratch()
        #expect(try QCOW2Oracle.complaint(scratch.file("image", store.bytes)) == "")
      }
    }
    #expect(fewest < 2)
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
