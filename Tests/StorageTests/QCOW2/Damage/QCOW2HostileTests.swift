// QCOW2 files that somebody made to do harm: an error or a device, never a crash, in bounded time and memory.

import Foundation
import Testing

@testable import Storage

@Suite struct QCOW2HostileTests {
  private func refusal(_ change: (MemoryStore) throws -> Void, _ options: String = "") throws
    -> StorageError?
  {
    let store = try QCOW2Maker.image(size: 1 << 20, options)
    try change(store)
    do {
      _ = try QCOW2Format().open(store, MemoryFolder().context)
      return nil
    } catch { return error }
  }

  private func number(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
  }

  /// Everything that can be asked of an image, none of which may crash.
  static func tryEverything(_ store: MemoryStore) {
    let folder = MemoryFolder()
    let format = QCOW2Format()
    if let image = try? ImageFormats.open(store, folder.context, as: format).device as? QCOW2Image {
      let blocks = image.blockCount
      for block in [0, 1, 127, 1000, blocks / 2, blocks &- 1] where block < blocks {
        _ = try? image.contents(of: block)
        _ = try? image.extent(at: block, limit: 1 << 20)
      }
      _ = try? image.snapshots()
      _ = try? image.write(block: min(3, max(blocks, 1) - 1), [UInt8](repeating: 1, count: 512))
      _ = try? image.write(block: blocks / 3, [UInt8](repeating: 2, count: 512))
      _ = try? image.discard(block: 0, count: min(256, blocks))
      _ = try? image.createSnapshot(named: "x", time: 7)
      _ = try? image.flush()
      _ = image.nextData(from: 0)
      _ = try? image.applySnapshot("s")
      _ = try? image.deleteSnapshot("x")
      _ = try? image.resize(to: min(blocks, 4096) + 700)
      image.close()
    }
    _ = try? format.check(store, .none, folder.context)
    _ = try? format.check(store, .all, folder.context)
    _ = try? format.setBase(store, nil, folder.context)
  }

  /// The fields of the header and how long they are.
  static let fields: [(Int, Int)] = [
    (4, 4), (8, 8), (16, 4), (20, 4), (24, 8), (32, 4), (36, 4), (40, 8), (48, 8), (56, 4), (60, 4),
    (64, 8), (72, 8), (80, 8), (88, 8), (96, 4), (100, 4), (104, 1), (112, 4), (116, 4),
  ]

  static let extremes: [UInt64] = [
    0, 1, 2, 3, 7, 8, 9, 63, 64, 255, 512, 513, 4095, 4096, 65535, 65536, 1 << 20, 1 << 31,
    1 << 31 - 1, 1 << 32 - 1, 1 << 40, 1 << 55, 1 << 56, 1 << 62, 1 << 63 - 1, 1 << 63,
    UInt64.max - 511, .max,
  ]

  @Test func everyFieldAtItsExtremesIsAnErrorOrADevice() throws {
    let sample = try QCOW2CheckTests.sample(size: 200 << 10).0
    for (offset, count) in QCOW2HostileTests.fields {
      for value in QCOW2HostileTests.extremes {
        let store = MemoryStore(sample.bytes)
        try store.write(at: UInt64(offset), number(value, count))
        QCOW2HostileTests.tryEverything(store)
      }
    }
  }

  @Test func randomDamageIsAnErrorOrADevice() throws {
    let count = ProcessInfo.processInfo.environment["APUS_FUZZ"].flatMap { Int($0) } ?? 2000
    let samples = try [
      "cluster_size=512", "cluster_size=4096,compression_type=zstd", "cluster_size=512,compat=0.10",
      "extended_l2=on,cluster_size=16384", "cluster_size=1024,refcount_bits=8",
    ].map { try QCOW2CheckTests.sample($0, size: 100 << 10).0.bytes }
    var random = PowerCutRandom(seed: 60)
    for _ in 0..<count {
      var bytes = samples[random.below(samples.count)]
      for _ in 0...random.below(6) {
        // Most of the damage where the tables are.
        let limit = random.one(in: 3) ? bytes.count : random.one(in: 2) ? 8192 : 200
        let at = random.below(min(limit, bytes.count - 8))
        switch random.below(4) {
        case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
        case 1:
          let value = QCOW2HostileTests.extremes[random.below(QCOW2HostileTests.extremes.count)]
          bytes.replaceSubrange(at & ~7..<at & ~7 + 8, with: number(value, 8))
        case 2:
          // A table's entry somewhere else.
          let from = random.below(bytes.count - 8) & ~7
          bytes.replaceSubrange(at & ~7..<at & ~7 + 8, with: Array(bytes[from..<from + 8]))
        default: bytes[at] ^= 1 << UInt8(random.below(8))
        }
      }
      if random.one(in: 20) { bytes.removeLast(random.below(bytes.count)) }
      QCOW2HostileTests.tryEverything(MemoryStore(bytes))
    }
  }

  @Test func refusalsSayWhatAndWhere() throws {
    func put(_ at: UInt64, _ value: UInt64, _ count: Int) -> (MemoryStore) throws -> Void {
      { [self] store in try store.write(at: at, number(value, count)) }
    }
    var error = try #require(try refusal(put(4, 4, 4)))
    #expect(error.offset == 4 && error.reason.contains("version 4"))
    error = try #require(try refusal(put(20, 22, 4)))
    #expect(error.offset == 20)
    error = try #require(try refusal(put(32, 2, 4)))
    #expect(error.offset == 32 && error.reason.contains("does not say where"))
    error = try #require(try refusal(put(32, 1, 4)))
    #expect(error.reason.contains("AES"))
    error = try #require(try refusal(put(40, 65537, 8)))
    #expect(error.offset == 40)
    error = try #require(try refusal(put(36, 0, 4)))
    #expect(error.offset == 36 && error.reason.contains("too short"))
    error = try #require(try refusal(put(72, 1 << 40, 8)))
    #expect(error.offset == 72 && error.reason.contains("bit 40"))
    // A name from the file's own table of features.
    error = try #require(
      try refusal { store in
        try store.write(at: 72, number(1 << 7, 8))
        let at = store.bytes.firstRange(of: Array("dirty bit".utf8))!.lowerBound
        try store.write(at: UInt64(at - 1), [7] + Array("warp drive".utf8))
      })
    #expect(error.reason.contains("'warp drive'"))
  }

  /// All entries of an L1 table lead to the same L2 table, whose entries lead to the same cluster.
  @Test(.timeLimit(.minutes(1))) func loopsAndBombsTakeBoundedTime() throws {
    let store = try QCOW2Maker.image(size: 64 << 20, "cluster_size=512")
    let header = try QCOW2Header(store)
    let image = try QCOW2Maker.open(store)
    try image.write(block: 0, [UInt8](repeating: 1, count: 512))
    image.close()
    let first = try QCOW2Table.read(store, at: header.l1TableOffset, count: 1)[0]
    try QCOW2Table.write(
      store, at: header.l1TableOffset, [UInt64](repeating: first, count: header.l1Size))
    let check = try QCOW2Maker.check(store)
    #expect(check.corruptions > 1000 && check.findings.count == 1000)
    QCOW2HostileTests.tryEverything(store)
  }
}
