// Compressed images and images in several files: made by gzip, zstd and split, read at random places.

import Foundation
import Host
import Testing

@testable import Images
@testable import Storage

extension WorkOnImages {
  @Suite struct CompressedTests {
    /// A disk that can be compressed, and not too well.
    private func disk(_ size: Int, seed: UInt64) -> [UInt8] {
      var numbers = Numbers(state: seed)
      return (0..<size).map {
        $0 >> 14 & 3 == 0 ? 0 : UInt8(truncatingIfNeeded: numbers.next() & 0x1F)
      }
    }

    private func readAtRandom(_ path: String, _ disk: [UInt8], turns: Int = 60) throws {
      let image = try DiskImage(ImageReference(path), .reading)
      #expect(image.device.isReadOnly)
      #expect(Int(image.device.blockCount) == (disk.count + 511) / 512)
      var numbers = Numbers(state: 99)
      for _ in 0..<turns {
        let block = numbers.next() % image.device.blockCount
        let count = Int(min(numbers.next() % 300 + 1, image.device.blockCount - block))
        var bytes = [UInt8](repeating: 1, count: count * 512)
        try bytes.withUnsafeMutableBytes { try image.device.read(block: block, into: $0) }
        let start = Int(block) * 512
        var wanted = Array(disk[start..<min(disk.count, start + count * 512)])
        wanted += [UInt8](repeating: 0, count: bytes.count - wanted.count)
        guard same(bytes, wanted) else {
          Issue.record("block \(block), \(count) of them")
          return
        }
      }
    }

    @Test(arguments: [1 << 20, (24 << 20) + 700])
    func gzip(size: Int) throws {
      let scratch = Scratch()
      let bytes = disk(size, seed: 5)
      scratch.file("disk.img", bytes)
      guard tool("gzip", ["-k", scratch.path("disk.img")])?.code == 0 else { return }
      let path = scratch.path("disk.img.gz")
      try readAtRandom(path, bytes)
      if size > 20 << 20 {
        let image = try #require(
          try DiskImage(ImageReference(path), .reading).contents.device as? CompressedImage)
        #expect(image.restartCount > 4)
      }
      _ = try ImageOperations.convert(
        ConvertRequest(ImageReference(path), to: scratch.path("back.img")))
      #expect(same(Array(scratch.contents("back.img").prefix(size)), bytes))
      // Members one after the other are one file.
      let two = scratch.file(
        "two.gz", scratch.contents("disk.img.gz") + scratch.contents("disk.img.gz"))
      try readAtRandom(two, bytes + bytes, turns: 20)
    }

    @Test(arguments: [["-q"], ["-q", "--no-content-size"], ["-q", "-B1M", "-T2"]])
    func zstd(options: [String]) throws {
      let scratch = Scratch()
      let bytes = disk(9 << 20, seed: 6)
      scratch.file("disk.img", bytes)
      let path = scratch.path("disk.zst")
      guard tool("zstd", options + [scratch.path("disk.img"), "-o", path])?.code == 0 else {
        return
      }
      try readAtRandom(path, bytes)
      let three = scratch.contents("disk.zst")
      // A skippable frame between frames, as the seekable format has it.
      let skipped: [UInt8] = [0x5E, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3]
      let many = scratch.file("many.zst", three + skipped + three)
      try readAtRandom(many, bytes + bytes)
      #expect(
        try #require(
          try DiskImage(ImageReference(many), .reading).contents.device as? CompressedImage
        ).restartCount == 2)
    }

    @Test func damagedFilesAreRefusedWithTheirPlace() throws {
      let scratch = Scratch()
      let bytes = disk(3 << 20, seed: 7)
      scratch.file("disk.img", bytes)
      _ = tool("gzip", ["-k", scratch.path("disk.img")])
      _ = tool("zstd", ["-q", scratch.path("disk.img")])
      for name in ["disk.img.gz", "disk.img.zst"] {
        let good = scratch.contents(name)
        if good.isEmpty { continue }
        var numbers = Numbers(state: 3)
        for turn in 0..<40 {
          var bad = good
          if turn % 2 == 0 {
            bad.removeLast(Int(numbers.next() % UInt64(good.count - 20)) + 1)
          } else {
            bad[Int(numbers.next() % UInt64(good.count - 10)) + 10] ^= UInt8(
              1 << (numbers.next() % 8))
          }
          let path = scratch.file("bad\(turn)", bad)
          do {
            let image = try DiskImage(ImageReference(path), .reading)
            _ = try image.device.bytes(at: 0, count: bytes.count)
          } catch { #expect(error is StorageError, "\(error)") }
        }
      }
      #expect(throws: StorageError.self) {
        try DiskImage(ImageReference(scratch.file("short", [0x1F, 0x8B, 8])), .reading)
      }
    }

    @Test func whatIsInsideIsOpenedByItsFormat() throws {
      let scratch = Scratch()
      let bytes = randomDisk(2 << 20, seed: 8)
      let raw = scratch.file("disk.img", bytes)
      try withModel {
        _ = try ImageOperations.convert(
          ConvertRequest(ImageReference(raw), to: scratch.path("disk.model"), format: "model"))
        guard tool("gzip", [scratch.path("disk.model")])?.code == 0 else { return }
        let image = ImageReference(scratch.path("disk.model.gz"))
        #expect(try ImageOperations.compare(ImageReference(raw), image).isEqual)
      }
    }

    @Test func filesOneAfterTheOtherAreOneDisk() throws {
      let scratch = Scratch()
      let bytes = randomDisk(5_000_000 / 512 * 512, seed: 9)
      for (n, start) in stride(from: 0, to: bytes.count, by: 1_000_001).enumerated() {
        scratch.file(
          "disk.00\(n + 1)", Array(bytes[start..<min(bytes.count, start + 1_000_001)]))
      }
      let first = ImageReference(scratch.path("disk.001"))
      let raw = ImageReference(scratch.file("disk.img", bytes))
      #expect(try ImageOperations.compare(first, raw).isEqual)
      let info = try ImageOperations.info(first).images[0]
      #expect(
        info.otherFiles.map(ImageFiles.lastName) == [
          "disk.002", "disk.003", "disk.004", "disk.005",
        ])
      // Written across the files' ends.
      let image = try DiskImage(first, .writing)
      let patch = randomDisk(4096, seed: 10)
      try image.device.write(block: 1950, patch)
      try image.flush()
      image.close()
      var model = bytes
      model.replaceSubrange(1950 * 512..<1958 * 512, with: patch)
      #expect(same(Array(model[..<1_000_001]), scratch.contents("disk.001")))
      #expect(same(Array(model[1_000_001..<2_000_002]), scratch.contents("disk.002")))
      // One that is missing among them is told; one file alone is a disk of its own.
      for missing in ["disk.003", "disk.002"] {
        try FileManager.default.removeItem(atPath: scratch.path(missing))
        #expect { try ImageOperations.info(first) } throws: { "\($0)".contains(missing) }
      }
      for n in 4...5 { try FileManager.default.removeItem(atPath: scratch.path("disk.00\(n)")) }
      #expect(try ImageOperations.info(first).images[0].format == "raw")
    }
  }
}
