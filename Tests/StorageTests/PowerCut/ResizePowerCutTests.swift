// Power failures while a disk gets another size: it has the old one or the new one, and all that was flushed.

import Testing

@testable import Storage

@Suite struct ResizePowerCutTests {
  static let kinds: [WrittenKind] = [
    WrittenKind("qcow2", ["cluster_size": "512"]),
    WrittenKind("qcow2", ["cluster_size": "4096"], over: "raw"),
    WrittenKind("vdi", ["block_size": "64K"], size: 1 << 20),
    WrittenKind("vhd", ["block_size": "512K"], size: 1 << 20),
    WrittenKind("vhd", ["subformat": "fixed"]),
    WrittenKind("vhdx", ["block_size": "1M"], size: 1 << 20),
    WrittenKind("vmdk", size: 1 << 20), WrittenKind("vmdk", ["subformat": "monolithicFlat"]),
    WrittenKind("vmdk", ["subformat": "twoGbMaxExtentSparse"], size: 1 << 20),
    WrittenKind("vmdk", ["subformat": "twoGbMaxExtentFlat"]),
    WrittenKind("vmdk", ["subformat": "streamOptimized"], size: 512 << 10),
  ]

  @Test(arguments: kinds) func nothingIsLost(_ kind: WrittenKind) throws {
    try PowerCuts(kind.checkable(), try kind.make()).run(
      count: PowerCuts.count(normally: 120), seed: 21, cutsPerRun: 40
    ) { (device, random) in
      for factor: UInt64 in [2, 3] {
        try PowerCuts.busyGuest(steps: 12)(device, &random)
        try device.flush()
        try device.resize(to: device.blockCount * factor + 7)
      }
      try PowerCuts.busyGuest(steps: 12)(device, &random)
    }
  }

  /// Tables that have no room for the new size.
  @Test(arguments: [
    (WrittenKind("vdi", ["block_size": "64K"], size: 1 << 20), UInt64(9 << 20)),
    (WrittenKind("vmdk", size: 1 << 20), UInt64(34 << 20)),
    (WrittenKind("vhd", ["block_size": "512K"], size: 1 << 20), UInt64(66 << 20)),
  ])
  func norWhenTablesMove(_ kind: WrittenKind, _ size: UInt64) throws {
    var files = try kind.make()
    if kind.format == "vdi" {
      // Room for 128 blocks.
      files[0].bytes.replaceSubrange(344..<348, with: little(1024, 4))
    }
    try PowerCuts(kind.checkable(), files).run(
      count: min(PowerCuts.count(normally: 16), 1000), seed: 22, cutsPerRun: 8
    ) { (device, random) in
      try PowerCuts.busyGuest(steps: 10)(device, &random)
      try device.flush()
      try device.resize(to: size / 512)
      try PowerCuts.busyGuest(steps: 5)(device, &random)
    }
  }

  /// The table of a VHDX image moves when the disk becomes larger than 128 GB, more than the witness could read.
  @Test func norWhenTheTableOfALargeVHDXMoves() throws {
    let kind = WrittenKind("vhdx", ["block_size": "1M"], size: 4 << 20)
    let data = QCOW2Maker.pattern(128 << 10, 3)
    let (old, new) = (UInt64(4 << 20) / 512, UInt64(131 << 30) / 512)
    let disk = PowerCutDisk()
    defer { withExtendedLifetime(disk) {} }
    for file in try kind.make() { disk.add(file.name, file.bytes) }
    let context = PowerCuts.context(formats: ImageFormats.all) { disk[$0] }
    let device = try VHDXFormat().open(disk.files[0], context).device
    try device.write(block: 100, data)
    try device.flush()
    let begun = disk.log.count
    try device.resize(to: new)
    try device.flush()
    let done = disk.log.count
    var cursor = PowerCutDisk.Cursor(disk)
    var random = PowerCutRandom(seed: 25)
    var sizes = Set<UInt64>()
    for cut in begun...done {
      cursor.advance(to: cut)
      for _ in 0..<3 {
        let image = MemoryStore(cursor.images(&random)[0], name: "image")
        let left = PowerCuts.context(formats: ImageFormats.all) { _ in image }
        let again = try VHDXFormat().open(image, left).device
        sizes.insert(again.blockCount)
        #expect(cut < done ? [old, new].contains(again.blockCount) : again.blockCount == new)
        #expect(try again.bytes(at: 51200, count: data.count) == data, "cut \(cut)")
        try again.write(block: old - 1, [UInt8](repeating: 9, count: 512))
        again.close()
        let check = try VHDXFormat().check(image, .none, left)
        #expect(check.corruptions + check.unreadables == 0, "cut \(cut): \(check.findings)")
      }
    }
    #expect(sizes == [old, new])
    device.close()
  }

  /// Whenever the power fails, a fixed VHD disk has the old size or the new one: all that it had before, and zeros behind that. Its footer,
  /// whose place changes, is nowhere among them.
  @Test(arguments: [3000, 2049, 2048, 1024, 2047] as [UInt64])
  func theFooterOfAFixedVHDIsNoPartOfTheDisk(_ new: UInt64) throws {
    let old: UInt64 = 2048
    let kind = WrittenKind("vhd", ["subformat": "fixed"], size: Int(old) * 512)
    let data = QCOW2Maker.pattern(Int(old) * 512, 3)
    let disk = PowerCutDisk()
    defer { withExtendedLifetime(disk) {} }
    for file in try kind.make() { disk.add(file.name, file.bytes) }
    let context = PowerCuts.context(formats: ImageFormats.all) { disk[$0] }
    let device = try VHDFormat().open(disk.files[0], context).device
    try device.write(block: 0, data)
    try device.flush()
    let begun = disk.log.count
    try device.resize(to: new)
    try device.flush()
    let done = disk.log.count
    var cursor = PowerCutDisk.Cursor(disk)
    var random = PowerCutRandom(seed: 26)
    for cut in begun...done {
      cursor.advance(to: cut)
      for _ in 0..<20 {
        let image = MemoryStore(cursor.images(&random)[0], name: "image")
        let left = PowerCuts.context(formats: ImageFormats.all) { _ in image }
        let again = try VHDFormat().open(image, left).device
        let count = again.blockCount
        #expect(cut < done ? [old, new].contains(count) : count == new)
        let expected = data + [UInt8](repeating: 0, count: Int(max(old, new) - old) * 512)
        let now = try again.bytes(at: 0, count: Int(count) * 512)
        let isRight = now.elementsEqual(expected[..<Int(count * 512)])
        #expect(isRight, "cut \(cut), \(count) sectors")
        // It can be tried again, with another size too.
        try again.resize(to: 2500)
        let longer = try again.bytes(at: 0, count: 2500 * 512)
        let kept = Int(min(count, 2500)) * 512
        let isKept = longer[kept...].allSatisfy { $0 == 0 } && longer[..<kept] == now[..<kept]
        #expect(isKept, "cut \(cut), \(count) sectors")
        #expect(try VHDFormat().open(image, left).device.blockCount == 2500)
        #expect(image.bytes.count == 2500 * 512 + 512)
        again.close()
      }
    }
    device.close()
  }

  @Test(arguments: kinds) func norWhenItBecomesSmaller(_ kind: WrittenKind) throws {
    try PowerCuts(kind.checkable(), try kind.make()).run(
      count: PowerCuts.count(normally: 80), seed: 23, cutsPerRun: 40
    ) { (device, random) in
      let half = device.blockCount / 2 + 3
      try PowerCuts.busyGuest(steps: 12)(device, &random)
      try device.flush()
      try device.resize(to: half)
      try PowerCuts.busyGuest(steps: 12)(device, &random)
    }
  }

  /// With all of its blocks in use, of which the last are moved.
  @Test(arguments: kinds) func norWhenAFullOneDoes(_ kind: WrittenKind) throws {
    try PowerCuts(kind.checkable(), try kind.make()).run(
      count: PowerCuts.count(normally: 80), seed: 24, cutsPerRun: 40
    ) { (device, random) in
      let size = Int(device.blockCount) * device.blockSize
      try device.write(block: 0, (0..<size).map { UInt8(truncatingIfNeeded: $0 >> 9 ^ 0x33) })
      try device.flush()
      try device.resize(to: device.blockCount / 3)
      try PowerCuts.busyGuest(steps: 5)(device, &random)
    }
  }
}
