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
      // Where header and refcounts say nothing of the table of tables, nothing is touched.
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

  /// What a lost table may have had is zeros over a base; version 2 cannot say that, and is told of.
  @Test(arguments: [
    "cluster_size=512", "extended_l2=on,cluster_size=16384", "cluster_size=512,compat=0.10",
  ])
  func whatALostTableHadIsZerosOverABase(_ options: String) throws {
    let folder = MemoryFolder()
    let size = options.contains("16384") ? 64 << 20 : 256 << 10
    let base = QCOW2Maker.pattern(size, 5)
    _ = folder.add("base.img", base)
    let store = try QCOW2Maker.image(size: size, options, base: ("base.img", "raw"), in: folder)
    var image = try QCOW2Maker.open(store, in: folder)
    try image.write(block: 0, QCOW2Maker.pattern(512, 6))
    try image.flush()
    // A table of its own at the file's end, and its cluster behind it.
    let half = UInt64(size) / 2
    try image.write(block: half / 512, QCOW2Maker.pattern(512, 7))
    image.close()
    let header = try QCOW2Header(store)
    let entry = Int(half >> UInt64(header.layout.l1Bits))
    let table =
      try QCOW2Table.read(store, at: header.l1TableOffset + UInt64(entry) * 8, count: 1)[0]
      & QCOW2Layout.hostOffsetMask
    #expect(table > header.l1TableOffset)
    try store.setSize(table)
    let repair = try QCOW2Maker.check(store, .all, in: folder)
    #expect(repair.isClean, "\(repair.findings.filter { !$0.isRepaired })")
    #expect(try QCOW2Maker.check(store, in: folder).findings.isEmpty)
    let isOld = options.contains("0.10")
    #expect(
      repair.findings.contains {
        $0.text.contains(isOld ? "the base shows there now" : "all of it reads as zeros now")
      })
    image = try QCOW2Maker.open(store, in: folder)
    var expected = base
    expected.replaceSubrange(0..<512, with: QCOW2Maker.pattern(512, 6))
    let reach = 1 << header.layout.l1Bits
    if !isOld {
      expected.replaceSubrange(
        entry * reach..<min(size, (entry + 1) * reach),
        with: [UInt8](repeating: 0, count: min(size - entry * reach, reach)))
    }
    #expect(try image.bytes(at: 0, count: size) == expected)
    image.close()
    if QCOW2Oracle.isThere {
      let scratch = Scratch()
      _ = scratch.file("base.img", base)
      let path = scratch.file("image", store.bytes)
      #expect(try QCOW2Oracle.complaint(path) == "")
      let raw = scratch.file("expected", expected)
      #expect(try QEMU.run(["compare", "-F", "raw", path, raw]).status == 0)
    }
  }

  /// Going back to a snapshot puts the table of tables at the file's end. What is lost of it is zeros; the snapshot is there.
  @Test(arguments: ["cluster_size=512", "cluster_size=512,compat=0.10"], [false, true])
  func theDiskIsThereWithoutItsTable(_ options: String, hasBase: Bool) throws {
    let folder = MemoryFolder()
    let size = 4 << 20
    let base = hasBase ? QCOW2Maker.pattern(size, 5) : [UInt8](repeating: 0, count: size)
    _ = folder.add("base.img", base)
    // One table of 64 clusters of entries; as many as the L1 table has, it is cut in.
    for cut in [0, 100, 512, 700] as [UInt64] {
      let store = try QCOW2Maker.image(
        size: size, options, base: hasBase ? ("base.img", "raw") : nil, in: folder)
      var image = try QCOW2Maker.open(store, in: folder)
      let data = QCOW2Maker.pattern(size, 6)
      try image.write(block: 0, data)
      try image.createSnapshot(named: "before", time: 7)
      try image.write(block: 0, QCOW2Maker.pattern(4096, 7))
      try image.applySnapshot("before")
      image.close()
      let header = try QCOW2Header(store)
      // 128 entries, which is 1024 bytes.
      #expect(header.l1Size == 128)
      let snapshot = try #require(try QCOW2Snapshot.table(store, header).snapshots.first)
      #expect(header.l1TableOffset > snapshot.l1TableOffset)
      // Nothing but the table is cut off.
      var behind: [UInt8] = []
      if header.l1TableOffset + 1024 < store.size {
        behind = Array(store.bytes[Int(header.l1TableOffset + 1024)...])
      }
      #expect(behind.allSatisfy { $0 == 0 })
      try store.setSize(header.l1TableOffset + cut)
      let found = try QCOW2Maker.check(store, in: folder)
      #expect(found.findings.contains { $0.text.hasPrefix("the L1 table is at") })
      let repair = try QCOW2Maker.check(store, .all, in: folder)
      #expect(repair.isClean, "\(repair.findings.filter { !$0.isRepaired })")
      #expect(try QCOW2Maker.check(store, in: folder).findings.isEmpty)
      // 32 KB a table.
      let left = Int(cut) / 8 * 32768
      let rest =
        options.contains("0.10")
        ? Array(base[left...])
        : [UInt8](repeating: 0, count: size - left)
      let expected = Array(data[..<left]) + rest
      image = try QCOW2Maker.open(store, in: folder)
      #expect(try image.bytes(at: 0, count: size) == expected)
      // The snapshot is what it was, and can be gone back to.
      try image.applySnapshot("before")
      #expect(try image.bytes(at: 0, count: size) == data)
      image.close()
      #expect(try QCOW2Maker.check(store, in: folder).findings.isEmpty)
      if QCOW2Oracle.isThere {
        let scratch = Scratch()
        _ = scratch.file("base.img", base)
        #expect(try QCOW2Oracle.complaint(scratch.file("image", store.bytes)) == "")
      }
    }
  }

  /// Where the table never was, it is not made: the right one may be in the file.
  @Test func aTableOfTablesThatIsOnlyNamedWronglyIsKept() throws {
    let store = try QCOW2Maker.image(size: 1 << 20)
    let image = try QCOW2Maker.open(store)
    try image.write(block: 0, QCOW2Maker.pattern(1 << 20, 1))
    image.close()
    var number = BigEndianBytes(count: 8)
    number.put(1 << 40, 0, 8)
    try store.write(at: 40, number.bytes)
    let before = store.bytes
    #expect(throws: StorageError.self) { try QCOW2Maker.check(store, .all) }
    #expect(store.bytes == before)
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

  /// Beside what is lost there is an entry that is merely wrong: it stays, also where the repair is killed at any write and made again.
  @Test func whatIsMerelyWrongIsNotTakenForLost() throws {
    let folder = MemoryFolder()
    let base = QCOW2Maker.pattern(256 << 10, 5)
    _ = folder.add("base.img", base)
    let whole = try QCOW2Maker.image(
      size: 256 << 10, "cluster_size=512", base: ("base.img", "raw"), in: folder)
    let image = try QCOW2Maker.open(whole, in: folder)
    try image.write(block: 0, QCOW2Maker.pattern(256 << 10, 1))
    image.close()
    let header = try QCOW2Header(whole)
    let place = header.l1TableOffset + 8
    let right = try QCOW2Table.read(whole, at: place, count: 1)
    let wrong = [right[0] ^ 1 << 40]
    try QCOW2Table.write(whole, at: place, wrong)
    // The last table and what it had.
    let last = try QCOW2Table.read(whole, at: header.l1TableOffset + 7 * 8, count: 1)[0]
    try whole.setSize(last & QCOW2Layout.hostOffsetMask)
    #expect(try QCOW2Checker(whole, repair: .none).run().corruptions > 1)
    var isDone = false
    var stop = 0
    while !isDone {
      let store = MemoryStore(whole.bytes)
      let stopping = StoppingStore(store, after: stop)
      do {
        let repair = try QCOW2Checker(stopping, repair: .all).run()
        #expect(!repair.isClean)
        isDone = !stopping.hasStopped
      } catch { #expect(stopping.hasStopped) }
      _ = try QCOW2Maker.check(store, .all, in: folder)
      #expect(try QCOW2Table.read(store, at: place, count: 1) == wrong, "\(stop)")
      // Once that is right, nothing is lost that was there.
      try QCOW2Table.write(store, at: place, right)
      _ = try QCOW2Maker.check(store, .all, in: folder)
      #expect(try QCOW2Maker.check(store, in: folder).findings.isEmpty, "\(stop)")
      let mended = try QCOW2Maker.open(store, in: folder)
      let contents = try mended.bytes(at: 0, count: 7 << 15)
      #expect(contents == Array(QCOW2Maker.pattern(256 << 10, 1)[..<(7 << 15)]), "\(stop)")
      #expect(
        try mended.bytes(at: 7 << 15, count: 1 << 15) == [UInt8](repeating: 0, count: 1 << 15))
      mended.close()
      stop += 1
      try #require(stop < 2000)
    }
    #expect(stop > 3)
  }

  /// Images that qemu-img has made and written, with and without a snapshot, cut at many places.
  @Test(
    .enabled(if: QEMU.isThere, QEMU.missing),
    arguments: [
      "cluster_size=4096", "cluster_size=512,refcount_bits=8", "compat=0.10,cluster_size=4096",
      "extended_l2=on,cluster_size=16384",
    ], [false, true])
  func whatQEMUHasMadeIsMended(_ options: String, snapshot: Bool) throws {
    let scratch = Scratch()
    let path = scratch.directory + "/whole.qcow2"
    #expect(try QEMU.run(["create", "-f", "qcow2", "-o", options, path, "2M"]).status == 0)
    func write(_ byte: String) throws {
      let words = [
        "-f", "qcow2", "-c", "write -P \(byte) 0 300k", "-c", "write -P \(byte) 1m 100k", path,
      ]
      #expect(try QEMU.run(words, tool: "qemu-io").status == 0)
    }
    try write("0x11")
    if snapshot {
      #expect(try QEMU.run(["snapshot", "-c", "before", path]).status == 0)
      try write("0x22")
      #expect(try QEMU.run(["snapshot", "-a", "before", path]).status == 0)
    }
    let whole = scratch.contents(path)
    var random = PowerCutRandom(seed: 9)
    var mended = 0
    for _ in 0..<40 {
      let size = 512 + random.below(whole.count - 512)
      let store = MemoryStore(Array(whole[..<size]))
      let before = (try? QCOW2Maker.open(store)).map(sectors)
      guard (try? QCOW2Maker.check(store, .all)) != nil else {
        #expect(store.bytes == Array(whole[..<size]), "\(size)")
        continue
      }
      mended += 1
      #expect(try QCOW2Maker.check(store).findings.isEmpty, "\(size)")
      #expect(try QCOW2Oracle.complaint(scratch.file("image", store.bytes)) == "", "\(size)")
      let image = try QCOW2Maker.open(store)
      let contents = sectors(image)
      for (n, old) in (before ?? []).enumerated() {
        #expect(contents[n] == old ?? [UInt8](repeating: 0, count: 512), "\(size), sector \(n)")
      }
      image.close()
    }
    #expect(mended > 20)
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
