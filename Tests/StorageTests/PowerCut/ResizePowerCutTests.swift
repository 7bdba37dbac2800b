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
