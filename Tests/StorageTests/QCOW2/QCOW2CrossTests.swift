// QCOW2 images of ours in QEMU's hands, and the other way round.

import Foundation
import Testing

@testable import Storage

@Suite(.enabled(if: QCOW2Oracle.isThere), .serialized) struct QCOW2CrossTests {
  private func open(_ path: String) throws -> any BlockDevice {
    try ImageOpener.open(path: path, kind: .disk).device
  }

  @Test(arguments: QCOW2DeviceTests.options) func qemuReadsWhatIsWrittenHere(_ options: String)
    throws
  {
    let scratch = Scratch()
    let path = scratch.file("i.qcow2", [])
    let file = try HostFile(path: path, writable: true)
    try QCOW2Maker.make(file, size: 3 << 20, options)
    file.close()
    #expect(try QCOW2Oracle.complaint(path) == "")
    var model = [UInt8](repeating: 0, count: 3 << 20)
    let store = try HostFile(path: path, writable: true)
    let image = try QCOW2Maker.open(store)
    try QCOW2Maker.exercise(image, &model, steps: 150, seed: 71)
    image.close()
    #expect(try QCOW2Oracle.complaint(path) == "")
    #expect(try QCOW2Oracle.contents(path, in: scratch) == model)
  }

  @Test(arguments: QCOW2DeviceTests.options) func whatQemuWroteIsReadHere(_ options: String) throws
  {
    let scratch = Scratch()
    let path = scratch.directory + "/q.qcow2"
    let made = try QCOW2Oracle.run(
      "qemu-img", "create", "-q", "-f", "qcow2",
      "-o", options.isEmpty ? "compat=1.1" : options, path, "3M")
    #expect(made.status == 0, "\(made.output)")
    var model = [UInt8](repeating: 0, count: 3 << 20)
    var random = PowerCutRandom(seed: 72)
    // QEMU compresses only what was never written.
    let unit = try QCOW2Header(HostFile(path: path, writable: false)).layout.clusterSize
    var written = Set<Int>()
    for round in 0..<3 {
      var commands: [String] = []
      for _ in 0..<30 {
        let count = (1 + random.below(random.one(in: 3) ? 300 : 8)) * 512
        let offset = random.below(3 << 11) * 512
        let size = min(count, 3 << 20 - offset)
        let value = UInt8(1 + random.below(250))
        let start = offset / unit * unit
        let isNew = round == 0 && !written.contains(start / unit)
        written.formUnion(offset / unit...(offset + size - 1) / unit)
        switch random.below(5) {
        case 0:
          commands.append("write -z -u \(offset) \(size)")
          model.replaceSubrange(offset..<offset + size, with: repeatElement(0, count: size))
        case 1 where isNew && start + unit <= model.count:
          commands.append("write -c -P \(value) \(start) \(unit)")
          model.replaceSubrange(start..<start + unit, with: repeatElement(value, count: unit))
        default:
          commands.append("write -P \(value) \(offset) \(size)")
          model.replaceSubrange(offset..<offset + size, with: repeatElement(value, count: size))
        }
      }
      try QCOW2Oracle.io(path, commands)
      let store = try HostFile(path: path, writable: true)
      let check = try QCOW2Maker.check(store)
      #expect(check.corruptions == 0 && check.leaks == 0, "\(check.findings.prefix(3))")
      let image = try QCOW2Maker.open(store)
      #expect(try image.bytes(at: 0, count: model.count) == model)
      try QCOW2Maker.exercise(image, &model, steps: 50, seed: UInt64(round) + 80)
      image.close()
      #expect(try QCOW2Oracle.complaint(path) == "")
    }
    #expect(try QCOW2Oracle.contents(path, in: scratch) == model)
  }

  @Test(arguments: ["metadata", "falloc", "full"]) func roomTakenAtOnceIsAsQemuHasIt(_ mode: String)
    throws
  {
    for more in ["", ",cluster_size=512", ",extended_l2=on", ",compat=0.10"] {
      let scratch = Scratch()
      let path = scratch.file("i.qcow2", [])
      let file = try HostFile(path: path, writable: true)
      try QCOW2Maker.make(file, size: 5 << 20 + 512, "preallocation=\(mode)" + more)
      file.close()
      #expect(try QCOW2Oracle.complaint(path) == "")
      let store = try HostFile(path: path, writable: false)
      let check = try QCOW2Maker.check(store)
      #expect(check.isClean && check.allocatedUnits == check.totalUnits)
      #expect(try QCOW2Oracle.contents(path, in: scratch).allSatisfy { $0 == 0 })
      let theirs = scratch.directory + "/q.qcow2"
      _ = try QCOW2Oracle.run(
        "qemu-img", "create", "-q", "-f", "qcow2", "-o", "preallocation=\(mode)" + more, theirs,
        "\(5 << 20 + 512)")
      let image = try open(theirs)
      #expect(try image.bytes(at: 0, count: 5 << 20).allSatisfy { $0 == 0 })
      try image.write(block: 3, [UInt8](repeating: 1, count: 1024))
      image.close()
      #expect(try QCOW2Oracle.complaint(theirs) == "")
    }
  }

  @Test(arguments: ["compat=1.1", "cluster_size=512", "compat=0.10", "extended_l2=on"])
  func snapshotsGoBothWays(_ options: String) throws {
    let scratch = Scratch()
    let path = scratch.directory + "/q.qcow2"
    _ = try QCOW2Oracle.run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path, "2M")
    try QCOW2Oracle.io(path, ["write -P 1 0 1M", "write -P 2 1500k 100k"])
    _ = try QCOW2Oracle.run("qemu-img", "snapshot", "-c", "theirs", path)
    let theirs = try QCOW2Oracle.contents(path, in: scratch)
    var model = theirs
    var image = try QCOW2Maker.open(try HostFile(path: path, writable: true))
    #expect(try image.snapshots().map(\.name) == ["theirs"])
    try QCOW2Maker.exercise(image, &model, steps: 80, seed: 90)
    try image.createSnapshot(named: "ours", time: 1_700_000_000)
    let ours = model
    try QCOW2Maker.exercise(image, &model, steps: 80, seed: 91)
    image.close()
    #expect(try QCOW2Oracle.complaint(path) == "")
    #expect(try QCOW2Oracle.contents(path, in: scratch) == model)
    #expect(try QCOW2Oracle.contents(path, snapshot: "ours", in: scratch) == ours)
    #expect(try QCOW2Oracle.contents(path, snapshot: "theirs", in: scratch) == theirs)
    // QEMU goes back to ours, we to theirs.
    _ = try QCOW2Oracle.run("qemu-img", "snapshot", "-a", "ours", path)
    image = try QCOW2Maker.open(try HostFile(path: path, writable: true))
    #expect(try image.bytes(at: 0, count: model.count) == ours)
    try image.applySnapshot("theirs")
    #expect(try image.bytes(at: 0, count: model.count) == theirs)
    try image.deleteSnapshot("ours")
    image.close()
    #expect(try QCOW2Oracle.complaint(path) == "")
    _ = try QCOW2Oracle.run("qemu-img", "snapshot", "-d", "theirs", path)
    #expect(try QCOW2Oracle.complaint(path) == "")
    let store = try HostFile(path: path, writable: false)
    #expect(try QCOW2Maker.check(store).isClean)
    #expect(try QCOW2Oracle.contents(path, in: scratch) == theirs)
  }

  @Test func chainsOfBasesAreFollowed() throws {
    let scratch = Scratch()
    let raw = scratch.file("base.raw", QCOW2Maker.pattern(1 << 20, 1))
    _ = raw
    let middle = scratch.directory + "/middle.qcow2"
    let top = scratch.directory + "/top.qcow2"
    for (path, base, format, size) in [
      (middle, "base.raw", "raw", "2M"), (top, "middle.qcow2", "qcow2", "3M"),
    ] {
      let made = try QCOW2Oracle.run(
        "qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", format, path, size)
      #expect(made.status == 0, "\(made.output)")
      try QCOW2Oracle.io(path, ["write -P 3 300k 50k", "write -z 700k 100k"])
    }
    try QCOW2Oracle.io(middle, ["write -P 4 1500k 200k"])
    var model = try QCOW2Oracle.contents(top, in: scratch)
    let image = try QCOW2Maker.openFile(top)
    #expect(try image.bytes(at: 0, count: model.count) == model)
    #expect(image.base?.base != nil)
    try QCOW2Maker.exercise(image, &model, steps: 100, seed: 95)
    image.close()
    #expect(try QCOW2Oracle.complaint(top) == "")
    #expect(try QCOW2Oracle.contents(top, in: scratch) == model)
  }

  @Test func itsBitmapsAreKeptOrMarked() throws {
    let scratch = Scratch()
    let path = scratch.directory + "/q.qcow2"
    _ = try QCOW2Oracle.run("qemu-img", "create", "-q", "-f", "qcow2", path, "2M")
    for (name, state) in [("followed", "--enable"), ("still", "--disable")] {
      let made = try QCOW2Oracle.run("qemu-img", "bitmap", "--add", state, path, name)
      #expect(made.status == 0, "\(made.output)")
    }
    let store = try HostFile(path: path, writable: true)
    #expect(try QCOW2Maker.check(store).isClean)
    let image = try QCOW2Maker.open(store)
    try image.write(block: 0, [UInt8](repeating: 1, count: 512))
    image.close()
    #expect(try QCOW2Oracle.complaint(path) == "")
    let info = try QCOW2Oracle.run("qemu-img", "info", path).output
    // One would have had to follow the write, and says that it has not; the other is as good as before.
    #expect(info.contains("in-use") && info.contains("name: still"))
  }

  @Test func aDataFileIsSharedWithQemu() throws {
    for isRaw in ["on", "off"] {
      let scratch = Scratch()
      let path = scratch.directory + "/q.qcow2"
      let made = try QCOW2Oracle.run(
        "qemu-img", "create", "-q", "-f", "qcow2", "-o",
        "data_file=\(scratch.directory)/data.raw,data_file_raw=\(isRaw)", path, "2M")
      #expect(made.status == 0, "\(made.output)")
      try QCOW2Oracle.io(path, ["write -P 5 100k 300k"])
      var model = try QCOW2Oracle.contents(path, in: scratch)
      let image = try open(path)
      #expect(!image.isReadOnly)
      #expect(try image.bytes(at: 0, count: model.count) == model)
      try QCOW2Maker.exerciseUncompressed(image, &model, steps: 60, seed: 96)
      image.close()
      #expect(try QCOW2Oracle.complaint(path) == "")
      #expect(try QCOW2Oracle.contents(path, in: scratch) == model)
      if isRaw == "on" { #expect(scratch.contents(scratch.directory + "/data.raw") == model) }
    }
  }

  @Test func whatQemuCompressedIsReadAndOursByQemu() throws {
    for type in ["zlib", "zstd"] {
      for size in [4096, 65536, 2 << 20] {
        let scratch = Scratch()
        let contents = QCOW2Maker.pattern(5 << 20, 3) + [UInt8](repeating: 0, count: 700 * 512)
        let raw = scratch.file("in.raw", contents)
        let path = scratch.directory + "/c.qcow2"
        let made = try QCOW2Oracle.run(
          "qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o",
          "cluster_size=\(size),compression_type=\(type)", raw, path)
        #expect(made.status == 0, "\(made.output)")
        let image = try open(path)
        #expect(try image.bytes(at: 0, count: contents.count) == contents)
        image.close()
        let check = try QCOW2Maker.check(try HostFile(path: path, writable: false))
        #expect(check.isClean && check.compressedUnits > 0)

        let ours = scratch.file("o.qcow2", [])
        let file = try HostFile(path: ours, writable: true)
        try QCOW2Maker.make(
          file, size: contents.count, "cluster_size=\(size),compression_type=\(type)")
        let new = try QCOW2Maker.open(file)
        for at in stride(from: 0, to: contents.count, by: size) {
          try contents[at..<min(at + size, contents.count)].withUnsafeBytes {
            try new.writeCompressed(block: UInt64(at / 512), from: $0)
          }
        }
        new.close()
        #expect(try QCOW2Oracle.complaint(ours) == "")
        #expect(try QCOW2Oracle.contents(ours, in: scratch) == contents)
        let sizes = [path, ours].map { scratch.contents($0).count }
        #expect(sizes[1] <= sizes[0] + sizes[0] / 8 + 4 * size)
      }
    }
  }
}
