// VHD images: expectations from the specification (Virtual Hard Disk Image Format Specification 1.0) and from qemu-img.

import Foundation
import Testing

@testable import Storage

@Suite struct VHDTests {
  let format = VHDFormat()

  func seal(_ store: SparseStore) throws {
    if store.size < 2048 { return }
    for (at, count, sum) in [(UInt64(0), 512, 64), (512, 1024, 36), (store.size - 512, 512, 64)] {
      var fields = try store.fields(at: at, count: count, "")
      fields.setBig(sum, VHDFooter.checksum(fields, sum))
      try store.write(at: at, fields.bytes)
    }
  }

  @Test(arguments: ["dynamic", "fixed"])
  func randomWorkIsKept(subformat: String) throws {
    let size = 5 << 20 + 512 * 7
    let files = TrialFiles()
    let store = try Trials.create(
      format, Trials.wish(UInt64(size), ["subformat": subformat, "block_size": "512K"]))
    var model = [UInt8](repeating: 0, count: size)
    try Trials.exercise(format, store, files, model: &model, seed: 1)
  }

  @Test func aDifferencingImageShowsItsParent() throws {
    let files = TrialFiles()
    let parent = try Trials.create(
      format, Trials.wish(3 << 20, ["block_size": "512K"]), files: files, name: "parent.vhd")
    var model = [UInt8](repeating: 0, count: 3 << 20)
    try Trials.exercise(format, parent, files, model: &model, rounds: 1, seed: 2)
    let wish = Trials.wish(
      3 << 20, ["block_size": "512K"], base: try Trials.base("parent.vhd", "vhd", files))
    let child = try Trials.create(format, wish, files: files, name: "child.vhd")
    #expect(
      try format.open(child, files.context()).device.bytes(at: 0, count: model.count) == model)
    let before = parent.contents()
    try Trials.exercise(format, child, files, model: &model, seed: 3)
    #expect(parent.contents() == before)

    // Another image of the same name is not the parent.
    files.stores["parent.vhd"] = try Trials.create(format, Trials.wish(4 << 20))
    do {
      _ = try format.open(child, files.context())
      Issue.record("opened")
    } catch {
      #expect(error.offset == 552 && error.reason.contains("stands above the image"))
    }
  }

  @Test func theCopyOfTheFooterIsUsedWhereTheLastIsDamaged() throws {
    let store = try Trials.create(format, Trials.wish(4 << 20, ["block_size": "512K"]))
    let files = TrialFiles()
    try store.write(at: store.size - 100, [1])
    let contents = try format.open(store, files.context())
    #expect(contents.warnings.count == 1)
    #expect(try format.check(store, .none, files.context()).leaks == 1)
    #expect(contents.device.blockCount == 8192)
    contents.device.close()
    _ = try format.check(store, .leaks, files.context())
    try Trials.expectClean(format, store)
    // And the other way round.
    try store.write(at: 300, [1])
    #expect(try format.check(store, .none, files.context()).corruptions == 1)
    #expect(try format.check(store, .all, files.context()).isClean)
    try Trials.expectClean(format, store)
    // Neither: it says so, and is not taken for a raw disk.
    try store.write(at: 300, [1])
    try store.write(at: store.size - 100, [1])
    #expect(try format.probe(store, files.context()) == .certain)
    #expect(throws: StorageError.self) { try format.open(store, files.context()) }
  }

  @Test func footersOf511BytesAreRead() throws {
    let store = try Trials.create(format, Trials.wish(4 << 20, ["block_size": "512K"]))
    try store.setSize(store.size - 1)
    let files = TrialFiles()
    #expect(try format.probe(store, files.context()) == .certain)
    var model = [UInt8](repeating: 0, count: 4 << 20)
    try Trials.exercise(format, store, files, model: &model, rounds: 1, seed: 4)
    let fixed = try Trials.create(format, Trials.wish(1 << 20, ["subformat": "fixed"]))
    try fixed.setSize(fixed.size - 1)
    #expect(try format.open(fixed, files.context()).device.blockCount == 2048)
  }

  /// Connectix and Virtual PC mean the geometry, others the current size.
  @Test func theSizeIsAsTheCreatorMeansIt() throws {
    for (creator, expected) in [
      ("vpc ", 65_280), ("qemu", 65_280), ("win ", 65_536), ("qem2", 65_536), ("d2v ", 65_536),
      ("d2v\0", 65_536),
      ("tap\0", 65_536), ("CTXS", 65_536), ("vbox", 65_536),
    ] {
      let store = try Trials.create(format, Trials.wish(32 << 20, ["subformat": "fixed"]))
      var footer = try store.fields(at: 32 << 20, count: 512, "")
      footer.set(28, Array(creator.utf8))
      footer.setBig(64, VHDFooter.checksum(footer, 64))
      try store.write(at: 32 << 20, footer.bytes)
      let device = try format.open(store, TrialFiles().context()).device
      // 963 cylinders, 4 heads, 17 sectors would be 65484; see the appendix "CHS Calculation".
      let chs = VHDGeometry(sectorCount: 65536)
      let wanted = expected == 65_536 ? UInt64(65_536) : chs.sectorCount
      #expect(device.blockCount == wanted, "\(creator)")
      #expect(chs == VHDGeometry(cylinders: 963, heads: 4, sectors: 17))
    }
    // The examples of sizes that qemu-img makes of a geometry.
    #expect(
      VHDGeometry(sectorCount: 2040 << 21) == VHDGeometry(cylinders: 65535, heads: 16, sectors: 255)
    )
  }

  @Test func itsSizeCanChange() throws {
    for subformat in ["dynamic", "fixed"] {
      // 200 MB need a longer table than the first sector has.
      try Trials.resize(
        format, ["subformat": subformat, "block_size": "512K"],
        [(5 << 20) + 512, 200 << 20, 1 << 20, 6 << 20], theirs: "vpc", allowsLeaks: true)
    }
  }

  @Test func aRepairLosesNothing() throws {
    let files = TrialFiles()
    let store = try Trials.create(format, Trials.wish(4 << 20, ["block_size": "512K"]))
    var model = [UInt8](repeating: 0, count: 4 << 20)
    try Trials.exercise(format, store, files, model: &model, rounds: 1, seed: 7)
    // Two blocks in one place; a third far outside.
    let table = Int(try store.fields(at: 512, count: 1024, "").big(16, as: UInt64.self))
    let first = try store.bytes(at: UInt64(table), count: 4)
    try store.write(at: UInt64(table) + 4, first)
    try store.write(at: UInt64(table) + 8, [0x7F, 0, 0, 0])
    let found = try format.check(store, .none, files.context())
    #expect(found.corruptions == 2 && !found.isClean)
    let device = try format.open(store, files.context()).device
    let block = try device.bytes(at: 0, count: 512 << 10)
    #expect(try device.bytes(at: 512 << 10, count: 512 << 10) == block)
    // It is not written as long as it is like that.
    #expect(throws: StorageError.self) {
      try device.write(block: 2 * 1024, [UInt8](repeating: 1, count: 512))
    }
    device.close()
    let mended = try format.check(store, .all, files.context())
    #expect(mended.isClean && mended.repaired == 2 + mended.leaks)
    try Trials.expectClean(format, store, allowsLeaks: true)
    let again = try format.open(store, files.context()).device
    #expect(try again.bytes(at: 512 << 10, count: 512 << 10) == block)
    #expect(try again.bytes(at: 0, count: 512 << 10) == block)
  }

  @Test(.enabled(if: QEMU.isThere, QEMU.missing)) func qemuAgrees() throws {
    try QEMU.cross(
      format, theirs: "vpc", size: 20 << 20, theirOptions: "force_size=on", checks: false)
    try QEMU.cross(
      format, theirs: "vpc", size: 9 << 20, ours: ["subformat": "fixed"],
      theirOptions: "subformat=fixed,force_size=on", checks: false)
    try QEMU.cross(
      format, theirs: "vpc", size: 24 << 20, ours: ["block_size": "4M"],
      theirOptions: "force_size=on", checks: false)
  }

  @Test(arguments: ["dynamic", "differencing", "fixed"])
  func hostileFilesAreRefusedOrRead(kind: String) throws {
    let files = TrialFiles()
    var base: NewBase?
    if kind == "differencing" {
      _ = try Trials.create(format, Trials.wish(2 << 20), files: files, name: "p.vhd")
      base = try Trials.base("p.vhd", "vhd", files)
    }
    let options = ["block_size": "512K", "subformat": kind == "fixed" ? "fixed" : "dynamic"]
    let store = try Trials.create(format, Trials.wish(2 << 20, options, base: base), files: files)
    let device = try format.open(store, files.context()).device
    try device.write(block: 5, [UInt8](repeating: 3, count: 1024))
    try device.write(block: 2000, [UInt8](repeating: 4, count: 1024))
    device.close()
    let image = store.contents()
    let end = image.count
    let headers =
      kind == "fixed"
      ? [end - 512..<end] : [0..<90, 512..<1300, 1536..<1560, 2560..<3100, end - 512..<end - 420]
    try Trials.fuzz(
      format, image, headers: headers, files: files, count: Trials.fuzzCount() / 3, seal: seal)
  }

  @Test(arguments: ["dynamic", "differencing"])
  func powerFailuresLoseNothing(kind: String) throws {
    let files = TrialFiles()
    let options = ["block_size": "512K"]
    if kind == "dynamic" {
      let store = try Trials.create(format, Trials.wish(2 << 20, options))
      try PowerCuts(format, image: store.contents()).run(
        count: PowerCuts.count(normally: 150), seed: 1, PowerCuts.busyGuest(steps: 40))
    } else {
      let parent = try Trials.create(
        format, Trials.wish(2 << 20, options), files: files, name: "p.vhd")
      var model = [UInt8](repeating: 0, count: 2 << 20)
      try Trials.exercise(format, parent, files, model: &model, rounds: 1, steps: 10, seed: 8)
      let store = try Trials.create(
        format, Trials.wish(2 << 20, options, base: try Trials.base("p.vhd", "vhd", files)),
        files: files)
      try PowerCuts(format, [("image", store.contents()), ("p.vhd", parent.contents())]).run(
        count: PowerCuts.count(normally: 150), seed: 2, PowerCuts.busyGuest(steps: 40))
    }
  }
}
