// What images hold as a number: equal contents are equal, whatever keeps them; any change shows; what was written is enough to know.

import Foundation
import Testing

@testable import Storage

@Suite struct ContentHashTests {
  private func write(_ device: any BlockDevice, _ sector: UInt64, _ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { try device.write(block: sector, from: $0) }
  }

  private func noise(_ count: Int, seed: UInt64) -> [UInt8] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 40)
    }
  }

  @Test func whatKeepsTheContentsDoesNotMatter() throws {
    let scratch = Scratch()
    let bytes = noise(300 * 512, seed: 1)
    let memory = MemoryImage(bytes: bytes)
    let raw = try RawImage(path: scratch.file("a", bytes), readOnly: true)
    let overlay = SnapshotOverlay(base: MemoryImage(bytes: noise(300 * 512, seed: 2)))
    try write(overlay, 0, bytes)
    let expected = try memory.contentHash()
    #expect(try raw.contentHash() == expected)
    #expect(try overlay.contentHash() == expected)
    #expect(try overlay.base?.contentHash() != expected)
    // A floppy that was cut short reads as zeros behind its end.
    #expect(
      try MemoryImage(bytes: bytes, sectorCount: 400).contentHash()
        == MemoryImage(bytes: bytes + [UInt8](repeating: 0, count: 100 * 512)).contentHash())
    #expect(try MemoryImage(bytes: bytes, sectorCount: 400).contentHash() != expected)
  }

  @Test func everyByteCounts() throws {
    let bytes = noise(260 * 512, seed: 3)
    let expected = try MemoryImage(bytes: bytes).contentHash()
    var seen: Set<ContentHash> = [expected]
    var at = 0
    while at < bytes.count {
      var changed = bytes
      changed[at] ^= 1 << UInt8(at % 8)
      #expect(seen.insert(try MemoryImage(bytes: changed).contentHash()).inserted, "byte \(at)")
      at += 997
    }
    // The same clusters in another order.
    let half = 128 * 512
    let swapped = Array(bytes[half..<2 * half] + bytes[..<half] + bytes[(2 * half)...])
    #expect(seen.insert(try MemoryImage(bytes: swapped).contentHash()).inserted)
  }

  @Test func writesAreTakenIn() throws {
    let scratch = Scratch()
    let image = try RawImage(path: scratch.file("a", noise(1000 * 512, seed: 4)))
    let first = try image.contentHash()
    for (n, sector) in [0, 127, 128, 500, 999].enumerated() {
      try write(image, UInt64(sector), noise(512, seed: UInt64(10 + n)))
      let now = try image.contentHash()
      #expect(now != first)
      #expect(now == (try ClusterHashes(reading: image).content), "after sector \(sector)")
    }
    // Across clusters.
    try write(image, 100, noise(300 * 512, seed: 99))
    #expect(try image.contentHash() == ClusterHashes(reading: image).content)
  }

  /// A sparse image of 2 GB is looked at only where it holds something.
  @Test func holesAreNotRead() throws {
    let scratch = Scratch()
    let path = scratch.file("sparse", noise(4096, seed: 5))
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.truncate(atOffset: 2 << 30)
    try handle.seek(toOffset: 1_500_000_256)
    try handle.write(contentsOf: Data([0x5A]))
    try handle.close()
    let image = try RawImage(path: path)
    let hash = try image.contentHash()
    try write(image, 1_500_000_256 / 512, [UInt8](repeating: 0, count: 512))
    let without = try image.contentHash()
    #expect(without != hash)
    #expect(
      try MemoryImage(bytes: noise(4096, seed: 5), sectorCount: 64).contentHash() != without)
  }

  @Test func othersChangesAreNoticed() throws {
    let scratch = Scratch()
    let path = scratch.file("a", noise(64 * 512, seed: 6))
    let image = try RawImage(path: path, readOnly: true)
    let mark = image.mark()
    let before = try image.contentHash()
    #expect(image.change(since: mark) == nil)
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.seek(toOffset: 700)
    try handle.write(contentsOf: Data([1, 2, 3]))
    try handle.close()
    // However coarse the file system's clock is.
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSince1970: 1_000_000)], ofItemAtPath: path)
    #expect(image.change(since: mark)?.contains("another program") == true)
    #expect(try image.contentHash() != before)
    let second = image.mark()
    try FileManager.default.moveItem(atPath: path, toPath: path + ".old")
    _ = scratch.file("a", noise(64 * 512, seed: 7))
    #expect(image.change(since: second)?.contains("taken its name") == true)
  }
}
