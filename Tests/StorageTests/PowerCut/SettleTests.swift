// What a program that is killed leaves of an image whose guest never flushes: everything, a few seconds later (`BlockDevice.settle`).

import Testing

@testable import Storage

@Suite struct SettleTests {
  /// All kinds with a disk that is large enough for some blocks.
  static let kinds = WrittenKind.mapped.map {
    var kind = $0
    kind.size = 4 << 20
    return kind
  }

  private func flushes(_ disk: PowerCutDisk) -> Int {
    disk.log.count { if case .flush = $0.operation { true } else { false } }
  }

  @Test(arguments: kinds) func nothingIsLostThatHasSettled(_ kind: WrittenKind) throws {
    let format = kind.checkable()
    let size = kind.size
    let disk = PowerCutDisk()
    for file in try kind.make() { disk.add(file.name, file.bytes) }
    let context = PowerCuts.context(formats: ImageFormats.all) { disk[$0] }
    let device = try format.open(disk.files[0], context).device
    var model = try device.bytes(at: 0, count: size)
    var random = PowerCutRandom(seed: 3)
    for round in 0..<8 {
      for _ in 0..<10 {
        let count = 1 + random.below(random.one(in: 3) ? 700 : 9)
        let block = random.below(size / 512 - count)
        let bytes =
          random.one(in: 5)
          ? [UInt8](repeating: 0, count: count * 512)
          : QCOW2Maker.pattern(count * 512, random.next())
        if bytes[0] == 0 {
          try device.discard(block: UInt64(block), count: UInt64(count))
        } else {
          try device.write(block: UInt64(block), bytes)
        }
        model.replaceSubrange(block * 512..<(block + count) * 512, with: bytes)
      }
      let before = flushes(disk)
      var calls = 0
      while try device.settle() {
        calls += 1
        #expect(calls < 100)
        if calls == 100 { break }
      }
      // What is made for the first time (a refcount block, the mark that there is a log) may wait; never what happens each time.
      if round > 0 { #expect(flushes(disk) - before <= 1) }
      #expect(try device.settle() == false)
      // Killed: all that was written is in the files.
      let left = PowerCutDisk()
      for file in disk.files { left.add(file.name, file.bytes) }
      let after = PowerCuts.context(formats: ImageFormats.all) { left[$0] }
      let check = try format.check(left["image"]!, .none, after)
      #expect(check.corruptions + check.unreadables + check.leaks == 0, "\(check.findings)")
      let again = try format.open(left["image"]!, after).device
      #expect(try again.bytes(at: 0, count: size) == model, "round \(round)")
    }
    device.close()
  }

  /// A guest's flush, then the end of the program without a farewell: nothing has to be mended.
  @Test(arguments: kinds) func aKilledProgramLeavesNothingToMend(_ kind: WrittenKind) throws {
    let format = kind.checkable()
    let disk = PowerCutDisk()
    for file in try kind.make() { disk.add(file.name, file.bytes) }
    let context = PowerCuts.context(formats: ImageFormats.all) { disk[$0] }
    let device = try format.open(disk.files[0], context).device
    for n: UInt64 in 0..<20 {
      try device.write(block: n * 300, QCOW2Maker.pattern(20 << 10, n))
      if n % 7 == 6 { try device.flush() }
    }
    try device.flush()
    let left = PowerCutDisk()
    for file in disk.files { left.add(file.name, file.bytes) }
    let after = PowerCuts.context(formats: ImageFormats.all) { left[$0] }
    let check = try format.check(left.files[0], .none, after)
    #expect(check.corruptions + check.unreadables + check.leaks == 0, "\(check.findings)")
    device.close()
  }

  /// Without anybody who calls it: after so many new bytes a format does so by itself.
  @Test(arguments: ["qcow2", "vdi", "vhd", "vhdx", "vmdk"])
  func aGuestThatWritesMuchIsNotLostWithoutIt(_ name: String) throws {
    let format = ImageFormats.named(name)! as! any TriedFormat
    let files = TrialFiles()
    let store = try Trials.create(format, Trials.wish(1 << 30), files: files)
    store.limit = 1 << 20
    let device = try format.open(store, files.context()).device
    (device as? QCOW2Image)?.mostNewBytes = 32 << 20
    (device as? MappedImage)?.mostBytes = 32 << 20
    let chunk = QCOW2Maker.pattern(1 << 20, 7)
    for n: UInt64 in 0..<300 { try device.write(block: n * 2048, chunk) }
    let left = SparseStore(name: "image")
    left.limit = 1 << 20
    try left.setSize(store.size)
    try ByteCopy.copy(store, 0, to: left, 0, count: store.size)
    let again = try format.open(left, files.context()).device
    for n: UInt64 in 0..<100 {
      #expect(try again.bytes(at: n << 20, count: 512) == Array(chunk[..<512]), "MiB \(n)")
    }
    device.close()
  }
}
