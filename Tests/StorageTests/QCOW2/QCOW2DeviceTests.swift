// QCOW2 images as devices: every size of cluster, of refcount, both versions, bases, subclusters, against a model.

import Foundation
import Testing

@testable import Storage

@Suite struct QCOW2DeviceTests {
  static let options = [
    "", "cluster_size=512", "cluster_size=1024,refcount_bits=1",
    "cluster_size=4096,refcount_bits=64",
    "cluster_size=2M", "compat=0.10", "compat=0.10,cluster_size=512", "refcount_bits=2",
    "refcount_bits=4,cluster_size=8K", "refcount_bits=8,cluster_size=512,compression_type=zstd",
    "refcount_bits=32,lazy_refcounts=on", "extended_l2=on,cluster_size=16384", "extended_l2=on",
    "cluster_size=32K,compression_type=zstd", "cluster_size=512,refcount_bits=64",
  ]

  @Test(arguments: options) func holdsWhatIsWritten(_ options: String) throws {
    let store = try QCOW2Maker.image(size: 3 << 20, options)
    #expect(try QCOW2Maker.check(store).isClean)
    var model = [UInt8](repeating: 0, count: 3 << 20)
    for seed in 1...3 as ClosedRange<UInt64> {
      let image = try QCOW2Maker.open(store)
      try QCOW2Maker.exercise(image, &model, steps: 120, seed: seed)
      image.close()
      let check = try QCOW2Maker.check(store)
      #expect(check.isClean, "\(check.findings.prefix(3))")
    }
    let again = try QCOW2Maker.open(store)
    #expect(try again.bytes(at: 0, count: model.count) == model)
    #expect(try again.contentHash() == MemoryImage(bytes: model).contentHash())
  }

  @Test(arguments: options) func standsOverABase(_ options: String) throws {
    let folder = MemoryFolder()
    // A base that is shorter than the disk, and no whole number of clusters.
    let base = QCOW2Maker.pattern(1 << 20 + 7 * 512, 77)
    _ = folder.add("base.img", base)
    let store = try QCOW2Maker.image(
      size: 2 << 20, options, base: ("base.img", "raw"), in: folder)
    var model = base + [UInt8](repeating: 0, count: 2 << 20 - base.count)
    for seed in 4...6 as ClosedRange<UInt64> {
      let image = try QCOW2Maker.open(store, in: folder)
      try QCOW2Maker.exercise(image, &model, steps: 100, seed: seed)
      image.close()
      let check = try QCOW2Maker.check(store)
      #expect(check.isClean, "\(check.findings.prefix(3))")
    }
    #expect(folder.files["base.img"]!.bytes == base)
  }

  @Test func discardedRoomIsUsedAgain() throws {
    let store = try QCOW2Maker.image(size: 8 << 20)
    let image = try QCOW2Maker.open(store)
    try image.write(block: 0, QCOW2Maker.pattern(4 << 20, 1))
    try image.flush()
    let size = store.size
    try image.discard(block: 0, count: 8192)
    #expect(image.nextData(from: 0) == image.blockCount)
    try image.flush()
    try image.write(block: 8192, QCOW2Maker.pattern(4 << 20, 2))
    try image.flush()
    // Another L2 table is not needed, and growth is by an eighth.
    #expect(store.size <= size + size / 8 + 65536)
    image.close()
    #expect(try QCOW2Maker.check(store).isClean)
  }

  @Test func saysWhatIsWhere() throws {
    let folder = MemoryFolder()
    _ = folder.add("base.img", QCOW2Maker.pattern(1 << 20, 3))
    let store = try QCOW2Maker.image(size: 2 << 20, base: ("base.img", "raw"), in: folder)
    let image = try QCOW2Maker.open(store, in: folder)
    try image.write(block: 256, QCOW2Maker.pattern(65536, 4))
    try image.writeZeroes(block: 512, count: 128)
    var extents: [BlockExtent] = []
    var block: UInt64 = 0
    while block < image.blockCount {
      extents.append(try image.extent(at: block, limit: .max))
      block += extents.last!.count
    }
    #expect(extents.map(\.kind) == [.absent, .data, .absent, .zero, .absent])
    #expect(extents.map(\.count) == [256, 128, 128, 128, 4096 - 640])
    #expect(extents[1].offset.map { $0 % 65536 } == 0)
    #expect(image.isWritten(256) && image.isWritten(512) && !image.isWritten(0))
    // Behind the base's end are no data.
    #expect(image.nextData(from: 512) == 640 && image.nextData(from: 2048) == image.blockCount)
  }

  @Test func aNamedFormatOfABaseIsNotGuessedAgain() throws {
    let folder = MemoryFolder()
    // A raw disk whose guest wrote an image's header that refers to the host's files.
    let inner = try QCOW2Maker.image(size: 1 << 20, in: folder)
    let trap = inner.bytes + [UInt8](repeating: 0, count: 1 << 20 - inner.bytes.count % 512)
    _ = folder.add("base.img", trap)
    let store = try QCOW2Maker.image(size: 1 << 20, base: ("base.img", "raw"), in: folder)
    let image = try QCOW2Maker.open(store, in: folder)
    #expect(try image.bytes(at: 0, count: 512) == Array(trap[..<512]))
    _ = folder.add("plain.img", [UInt8](repeating: 9, count: 1 << 20))
    #expect(throws: StorageError.self) {
      try QCOW2Maker.image(size: 1 << 20, base: ("plain.img", "qcow2"), in: folder)
    }
    #expect(throws: StorageError.self) {
      try QCOW2Maker.image(size: 1 << 20, base: ("plain.img", "unheard-of"), in: folder)
    }
  }

  @Test(arguments: [false, true]) func itsDataCanBeInAnotherFile(_ isRaw: Bool) throws {
    let folder = MemoryFolder()
    let store = try QCOW2Maker.image(
      size: 2 << 20, "data_file=disk.raw,data_file_raw=\(isRaw ? "on" : "off")", in: folder)
    let image = try QCOW2Maker.open(store, in: folder)
    var model = [UInt8](repeating: 0, count: 2 << 20)
    var random = PowerCutRandom(seed: 5)
    for _ in 0..<200 {
      let (block, count) = (random.below(4000), 1 + random.below(90))
      let range = block * 512..<(block + count) * 512
      if random.one(in: 4) {
        try image.discard(block: UInt64(block), count: UInt64(count))
        model.replaceSubrange(range, with: repeatElement(0, count: range.count))
      } else {
        let bytes = QCOW2Maker.pattern(range.count, random.next())
        try image.write(block: UInt64(block), bytes)
        model.replaceSubrange(range, with: bytes)
      }
    }
    #expect(try image.bytes(at: 0, count: model.count) == model)
    image.close()
    #expect(try QCOW2Maker.check(store, in: folder).isClean)
    if isRaw { #expect(folder.files["disk.raw"]!.bytes == model) }
    let again = try QCOW2Maker.open(store, in: folder)
    #expect(try again.bytes(at: 0, count: model.count) == model)
  }

  @Test(arguments: ["", "cluster_size=512", "extended_l2=on", "compat=0.10"])
  func growsWithZerosAndShrinks(_ options: String) throws {
    let folder = MemoryFolder()
    let base = QCOW2Maker.pattern(4 << 20, 8)
    _ = folder.add("base.img", base)
    let store = try QCOW2Maker.image(
      size: 1 << 20 + 512, options, base: ("base.img", "raw"), in: folder)
    let image = try QCOW2Maker.open(store, in: folder)
    var model = Array(base[..<(1 << 20 + 512)])
    // A longer base does not show in what is new.
    try image.resize(to: 6 << 11)
    model += [UInt8](repeating: 0, count: 6 << 20 - model.count)
    try QCOW2Maker.exercise(image, &model, steps: 60, seed: 9)
    try image.resize(to: 700)
    try image.resize(to: 4 << 11)
    model = Array(model[..<(700 * 512)]) + [UInt8](repeating: 0, count: 4 << 20 - 700 * 512)
    #expect(try image.bytes(at: 0, count: model.count) == model)
    image.close()
    let check = try QCOW2Maker.check(store)
    #expect(check.isClean, "\(check.findings.prefix(3))")
    let again = try QCOW2Maker.open(store, in: folder)
    #expect(again.blockCount == 4 << 11)
    #expect(try again.bytes(at: 0, count: model.count) == model)
  }

  @Test func aLargeThinImageOpensAtOnce() throws {
    let scratch = Scratch()
    let path = scratch.file("t", [])
    try QCOW2Maker.make(try HostFile(path: path, writable: true), size: 1 << 40)
    let start = ContinuousClock.now
    let image = try ImageOpener.open(path: path)
    let time = ContinuousClock.now - start
    #expect(image.device.blockCount == 1 << 31)
    #expect(time < .milliseconds(100))
    #expect(image.device.nextData(from: 0) == 1 << 31)
    try image.device.write(block: 1 << 30, [UInt8](repeating: 1, count: 512))
    #expect(image.device.nextData(from: 0) == 1 << 30)
    image.device.close()
  }
}
