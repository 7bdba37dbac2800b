// What a check finds in damaged QCOW2 files, and what a repair makes of them.

import Foundation
import Testing

@testable import Storage

@Suite struct QCOW2CheckTests {
  /// A small image with data, a snapshot and some freed room.
  static func sample(_ options: String = "cluster_size=4096", size: Int = 1 << 20) throws -> (
    MemoryStore, [UInt8]
  ) {
    let store = try QCOW2Maker.image(size: size, options)
    var model = [UInt8](repeating: 0, count: size)
    let image = try QCOW2Maker.open(store)
    try QCOW2Maker.exercise(image, &model, steps: 60, seed: 41)
    try image.createSnapshot(named: "s", time: 7)
    try QCOW2Maker.exercise(image, &model, steps: 30, seed: 42)
    image.close()
    return (store, model)
  }

  private func contents(_ store: MemoryStore) throws -> [UInt8] {
    try QCOW2Maker.open(store).bytes(at: 0, count: 1 << 20)
  }

  /// Where the first refcount block is.
  private func refcountBlock(_ store: MemoryStore) throws -> UInt64 {
    let header = try QCOW2Header(store)
    return try QCOW2Refcounts.readTable(store, header)[0]
  }

  @Test func leaksAreFoundAndGivenBack() throws {
    let (store, model) = try QCOW2CheckTests.sample()
    let block = try refcountBlock(store)
    let end = store.size >> 12
    try store.setSize(store.size + 3 * 4096)
    for n in 0..<3 as Range<UInt64> { try store.write(at: block + (end + n) * 2, [0, 1]) }
    var check = try QCOW2Maker.check(store)
    #expect(check.leaks == 3 && check.corruptions == 0)
    #expect(check.findings[0].offset == end << 12)
    check = try QCOW2Maker.check(store, .leaks)
    #expect(check.isClean && check.repaired == 3)
    #expect(try QCOW2Maker.check(store).isClean)
    #expect(try contents(store) == model)
  }

  @Test(arguments: [
    "cluster_size=4096", "cluster_size=512,refcount_bits=1", "cluster_size=65536,refcount_bits=64",
  ])
  func refcountsThatAreTooLowAreCountedAgain(_ options: String) throws {
    let store = try QCOW2Maker.image(size: 1 << 20, options)
    var model = [UInt8](repeating: 0, count: 1 << 20)
    let image = try QCOW2Maker.open(store)
    try QCOW2Maker.exercise(image, &model, steps: 60, seed: 41)
    image.close()
    let block = try refcountBlock(store)
    try store.write(at: block, [UInt8](repeating: 0, count: 24))
    var check = try QCOW2Maker.check(store)
    #expect(check.corruptions > 0)
    // Who gives back only what nobody uses does not touch that.
    let before = store.bytes
    #expect(try !QCOW2Maker.check(store, .leaks).isClean)
    #expect(store.bytes == before)
    check = try QCOW2Maker.check(store, .all)
    #expect(check.isClean, "\(check.findings.filter { !$0.isRepaired }.prefix(3))")
    #expect(try QCOW2Maker.check(store).isClean)
    #expect(try contents(store) == model)
    // And it goes on.
    let again = try QCOW2Maker.open(store)
    try QCOW2Maker.exercise(again, &model, steps: 60, seed: 43)
    again.close()
    #expect(try QCOW2Maker.check(store).isClean)
  }

  @Test func brokenRefcountBlocksAreMadeAnew() throws {
    let header: (MemoryStore) throws -> QCOW2Header = { try QCOW2Header($0) }
    for bad in [UInt64(4097), 1 << 40, 0] {
      let (store, model) = try QCOW2CheckTests.sample()
      try QCOW2Table.write(store, at: try header(store).refcountTableOffset, [bad])
      #expect(try QCOW2Maker.check(store).corruptions > 0)
      #expect(try QCOW2Maker.check(store, .all).isClean)
      #expect(try QCOW2Maker.check(store).isClean)
      #expect(try contents(store) == model)
    }
  }

  @Test func clustersOfTwoOwnersAreKeptApartFromThenOn() throws {
    let store = try QCOW2Maker.image(size: 1 << 20, "cluster_size=4096")
    let image = try QCOW2Maker.open(store)
    try image.write(block: 0, QCOW2Maker.pattern(16384, 1))
    image.close()
    let header = try QCOW2Header(store)
    let l2 = try QCOW2Table.read(store, at: header.l1TableOffset, count: 1)[0]
    let table = l2 & QCOW2Layout.hostOffsetMask
    let first = try QCOW2Table.read(store, at: table, count: 2)
    try QCOW2Table.write(store, at: table + 8, [first[0]])
    let check = try QCOW2Maker.check(store)
    #expect(check.findings.contains { $0.text.contains("OFLAG_COPIED is set") })
    #expect(check.findings.contains { $0.text.contains("refcount of 1, but 2") })
    #expect(try QCOW2Maker.check(store, .all).isClean)
    let mended = try QCOW2Maker.open(store)
    let shared = try mended.bytes(at: 0, count: 4096)
    try mended.write(block: 8, [UInt8](repeating: 7, count: 512))
    #expect(try mended.bytes(at: 0, count: 4096) == shared)
    mended.close()
    // One owner is left, without the flag: a write copies once more than it has to.
    let last = try QCOW2Maker.check(store)
    #expect(last.corruptions == 1 && last.leaks == 0)
    #expect(last.findings.map(\.text) == [QCOW2Checker.clearFlag])
    #expect(try QCOW2Maker.check(store, .leaks).isClean)
  }

  @Test func entriesThatLeadToTheWrongPlaceAreToldAndLeft() throws {
    let (store, _) = try QCOW2CheckTests.sample()
    let header = try QCOW2Header(store)
    let table =
      try QCOW2Table.read(store, at: header.l1TableOffset, count: 1)[0] & QCOW2Layout.hostOffsetMask
    let far: UInt64 = 1 << 50
    let odd: UInt64 = 4096 * 4 + 512
    try QCOW2Table.write(store, at: table, [QCOW2Layout.copied | far, QCOW2Layout.copied | odd])
    let check = try QCOW2Maker.check(store, .all)
    #expect(!check.isClean)
    #expect(check.findings.contains { $0.text == "a cluster at \(odd)" && !$0.isRepaired })
    // Where there is something the guest gets an error, and everything else; where there is nothing, zeros from now on.
    #expect(
      check.findings.contains { $0.text.hasPrefix("a cluster at \(far), ") && $0.isRepaired })
    let image = try QCOW2Maker.open(store)
    #expect(throws: StorageError.self) { try image.bytes(at: 4096, count: 512) }
    #expect(try image.bytes(at: 0, count: 512) == [UInt8](repeating: 0, count: 512))
    _ = try image.bytes(at: 8192, count: 4096)
  }

  @Test func theDirtyBitLeadsToACountBeforeTheFirstWrite() throws {
    let (store, model) = try QCOW2CheckTests.sample()
    let block = try refcountBlock(store)
    try store.write(at: block + 10, [UInt8](repeating: 0, count: 40))
    var header = try QCOW2Header(store)
    header.incompatible |= QCOW2Header.Incompatible.dirty
    try header.writeFields(store)
    #expect(try contents(store) == model)
    let image = try QCOW2Maker.open(store)
    try image.write(block: 9, [UInt8](repeating: 3, count: 512))
    image.close()
    #expect(try QCOW2Maker.check(store).isClean)
    #expect(try QCOW2Header(store).incompatible & QCOW2Header.Incompatible.dirty == 0)
  }

  @Test func whatIsMarkedCorruptIsReadOnlyUntilItIsMended() throws {
    let (store, model) = try QCOW2CheckTests.sample()
    var header = try QCOW2Header(store)
    header.incompatible |= QCOW2Header.Incompatible.corrupt
    try header.writeFields(store)
    let contents = try QCOW2Format().open(store, MemoryFolder().context)
    #expect(contents.device.isReadOnly && contents.warnings.count == 1)
    #expect(try contents.device.bytes(at: 0, count: 1 << 20) == model)
    #expect(try QCOW2Maker.check(store, .all).isClean)
    #expect(try !QCOW2Maker.open(store).isReadOnly)
  }

  /// Whatever is damaged: a repair leaves no more than there was, and never takes data that could be read.
  @Test func aRepairNeverMakesItWorse() throws {
    let (sample, _) = try QCOW2CheckTests.sample("cluster_size=512")
    var random = PowerCutRandom(seed: 50)
    for round in 0..<60 {
      let store = MemoryStore(sample.bytes)
      for _ in 0...random.below(4) {
        let at = 512 + random.below(store.bytes.count - 520)
        try store.write(
          at: UInt64(at & ~7),
          (0..<8).map { _ in
            random.one(in: 2) ? 0 : UInt8(truncatingIfNeeded: random.next())
          })
      }
      guard let image = try? QCOW2Maker.open(store) else { continue }
      func sectors(_ image: QCOW2Image) -> [[UInt8]?] {
        (0..<2048).map { try? image.bytes(at: UInt64($0) * 512, count: 512) }
      }
      let before = sectors(image)
      let found = try QCOW2Maker.check(store)
      _ = try? QCOW2Maker.check(store, .all)
      let left = try QCOW2Maker.check(store)
      #expect(left.corruptions <= found.corruptions, "round \(round)")
      let after = sectors(try QCOW2Maker.open(store))
      for (n, old) in before.enumerated() where old != nil {
        #expect(after[n] == old, "round \(round), sector \(n)")
      }
    }
  }
}
