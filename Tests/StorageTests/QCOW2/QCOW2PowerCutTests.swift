// Power failures while a QCOW2 image is written.

import Testing

@testable import Storage

@Suite struct QCOW2PowerCutTests {
  @Test(arguments: [
    "cluster_size=512", "cluster_size=4096", "cluster_size=512,refcount_bits=1",
    "cluster_size=1024,compat=0.10", "extended_l2=on,cluster_size=16384",
    "cluster_size=2048,refcount_bits=64", "cluster_size=65536",
  ])
  func losesNothingThatWasFlushed(_ options: String) throws {
    let store = try QCOW2Maker.image(size: 200 << 10, options)
    try PowerCuts(QCOW2Format(), image: store.bytes).run(
      count: PowerCuts.count(normally: 150), seed: 11, PowerCuts.busyGuest(steps: 50))
  }

  @Test(arguments: [
    "cluster_size=512", "cluster_size=4096,compat=0.10", "extended_l2=on,cluster_size=16384",
  ])
  func norOverABase(_ options: String) throws {
    let folder = MemoryFolder()
    let base = QCOW2Maker.pattern(100 << 10, 5)
    _ = folder.add("base.img", base)
    let store = try QCOW2Maker.image(
      size: 200 << 10, options, base: ("base.img", "raw"), in: folder)
    try PowerCuts(QCOW2Format(), [("image", store.bytes), ("base.img", base)]).run(
      count: PowerCuts.count(normally: 150), seed: 12, PowerCuts.busyGuest(steps: 50))
  }

  @Test func norWithItsDataInAnotherFile() throws {
    let folder = MemoryFolder()
    let store = try QCOW2Maker.image(
      size: 200 << 10, "cluster_size=512,data_file=data", in: folder)
    try PowerCuts(
      QCOW2Format(), [("image", store.bytes), ("data", folder.files["data"]!.bytes)]
    ).run(count: PowerCuts.count(normally: 150), seed: 13, PowerCuts.busyGuest(steps: 50))
  }

  @Test func norWhenTheRefcountTableGrows() throws {
    let store = try QCOW2Maker.image(size: 3 << 20, "cluster_size=512,refcount_bits=64")
    // A table of one cluster reaches 64 * 64 clusters: 2 MB.
    try PowerCuts(QCOW2Format(), image: store.bytes).run(
      count: PowerCuts.count(normally: 60), seed: 14, cutsPerRun: 60
    ) { (device, random) in
      for n in 0..<20 {
        try device.write(
          block: UInt64(n * 256), QCOW2Maker.pattern(128 << 10, random.next()))
        if random.one(in: 3) { try device.flush() }
      }
    }
  }

  @Test(arguments: [
    "cluster_size=512", "cluster_size=4096,compat=0.10", "extended_l2=on,cluster_size=16384",
  ])
  func norWhenSnapshotsAreTakenAndDeleted(_ options: String) throws {
    let store = try QCOW2Maker.image(size: 100 << 10, options)
    try PowerCuts(QCOW2Format(), image: store.bytes).run(
      count: PowerCuts.count(normally: 200), seed: 15
    ) { (device, random) in
      let image = device.device as! QCOW2Image
      for n in 0..<6 {
        try PowerCuts.busyGuest(steps: 10)(device, &random)
        try device.flush()
        if n % 3 == 2 {
          try image.deleteSnapshot("s\(n - 1)")
        } else {
          try image.createSnapshot(named: "s\(n)", time: 7)
        }
      }
    }
  }

  @Test func norWhenTheL1TableGrows() throws {
    let store = try QCOW2Maker.image(size: 100 << 10, "cluster_size=512")
    try PowerCuts(QCOW2Format(), image: store.bytes).run(
      count: PowerCuts.count(normally: 100), seed: 16
    ) { (device, random) in
      let image = device.device as! QCOW2Image
      try PowerCuts.busyGuest(steps: 20)(device, &random)
      try image.lengthenL1(1 << 30, try image.prepareWrite())
      try PowerCuts.busyGuest(steps: 20)(device, &random)
    }
  }

  @Test func norWhenItIsFilledCompressed() throws {
    let store = try QCOW2Maker.image(size: 256 << 10, "cluster_size=4096")
    try PowerCuts(QCOW2Format(), image: store.bytes).run(
      count: PowerCuts.count(normally: 150), seed: 17
    ) { (device, random) in
      let image = device.device as! QCOW2Image
      for n in 0..<40 {
        // Noted by the witness as a write that the image has done already.
        let bytes = QCOW2Maker.pattern(4096, random.next())
        let block = UInt64(random.below(64) * 8)
        try device.witness(block: block, bytes) {
          try bytes.withUnsafeBytes { try image.writeCompressed(block: block, from: $0) }
        }
        if n % 5 == 4 { try PowerCuts.busyGuest(steps: 5)(device, &random) }
      }
    }
  }
}
