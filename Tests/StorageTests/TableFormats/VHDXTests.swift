// VHDX images: expectations from [MS-VHDX] and from qemu-img.

import Foundation
import Testing

@testable import Storage

@Suite struct VHDXTests {
  let format = VHDXFormat()
  let small = ["block_size": "1M"]

  @Test(arguments: [("dynamic", 512), ("fixed", 512), ("dynamic", 4096), ("fixed", 4096)])
  func randomWorkIsKept(subformat: String, sectorSize: Int) throws {
    let size = 5 << 20 + 4096 * 7
    let store = try Trials.create(
      format,
      Trials.wish(
        UInt64(size), ["subformat": subformat, "block_size": "1M"], sectorSize: sectorSize))
    var model = [UInt8](repeating: 0, count: size)
    try Trials.exercise(format, store, TrialFiles(), model: &model, seed: 1)
  }

  func pair(_ files: TrialFiles, _ model: inout [UInt8], sectorSize: Int = 512) throws
    -> SparseStore
  {
    let parent = try Trials.create(
      format, Trials.wish(UInt64(model.count), small, sectorSize: sectorSize), files: files,
      name: "parent.vhdx")
    try Trials.exercise(format, parent, files, model: &model, rounds: 1, seed: 2)
    let base = try Trials.base("parent.vhdx", "vhdx", files)
    let child = try Trials.create(
      format, Trials.wish(UInt64(model.count), small, base: base, sectorSize: sectorSize),
      files: files, name: "child.vhdx")
    base.contents.device.close()
    return child
  }

  @Test(arguments: [512, 4096]) func aDifferencingImageShowsItsParent(sectorSize: Int) throws {
    let files = TrialFiles()
    var model = [UInt8](repeating: 0, count: 3 << 20)
    let child = try pair(files, &model, sectorSize: sectorSize)
    let parent = files.stores["parent.vhdx"] as! SparseStore
    #expect(
      try format.open(child, files.context()).device.bytes(at: 0, count: model.count) == model)
    let before = parent.contents()
    try Trials.exercise(format, child, files, model: &model, seed: 3)
    #expect(parent.contents() == before)
    // Not when it was written since.
    let device = try format.open(parent, files.context()).device
    try device.write(block: 0, [UInt8](repeating: 1, count: sectorSize))
    device.close()
    do {
      _ = try format.open(child, files.context())
      Issue.record("opened")
    } catch { #expect(error.reason.contains("was written since")) }
  }

  @Test func anImageThatWasNotClosedIsReplayed() throws {
    let files = TrialFiles()
    let store = try Trials.create(format, Trials.wish(8 << 20, small))
    let device = try format.open(store, files.context()).device
    try device.write(block: 100, [UInt8](repeating: 7, count: 512))
    try device.flush()
    let image = store.contents()
    device.close()
    // The table's page did not reach its place.
    let table = 3 << 20
    let lost = SparseStore(image, isWritable: false)
    let torn = SparseStore(image)
    try torn.write(at: UInt64(table), [UInt8](repeating: 0, count: 4096))
    let before = torn.contents()
    for read in [lost, SparseStore(before, isWritable: false)] {
      let contents = try format.open(read, files.context())
      #expect(contents.notes.count == 2)
      #expect(
        try contents.device.contents(of: 100) == [UInt8](repeating: 7, count: 512))
      #expect(contents.device.isReadOnly)
    }
    // Looking does not write; writing replays first.
    let again = try format.open(torn, files.context()).device
    #expect(try again.contents(of: 100) == [UInt8](repeating: 7, count: 512))
    #expect(torn.contents() == before)
    try again.write(block: 5000, [UInt8](repeating: 8, count: 512))
    again.close()
    let last = try format.open(torn, files.context())
    #expect(last.notes.count == 1)
    #expect(try last.device.contents(of: 100) == [UInt8](repeating: 7, count: 512))
    #expect(try last.device.contents(of: 5000) == [UInt8](repeating: 8, count: 512))
    try Trials.expectClean(format, torn)
  }

  @Test func itsSizeCanChange() throws {
    // Above 120 GB, a table of 1 MB has no room for blocks of 1 MB.
    try Trials.resize(
      format, small, [5_243_392, 1_049_600, 6_291_456], theirs: "vhdx", allowsLeaks: true)
    try Trials.resize(
      format, small, [200 << 30, 300 << 30, 20 << 20], theirs: "vhdx", allowsLeaks: true)
  }

  @Test func aRepairLosesNothing() throws {
    let files = TrialFiles()
    let store = try Trials.create(format, Trials.wish(6 << 20, small))
    let device = try format.open(store, files.context()).device
    for n: UInt64 in 0..<4 {
      try device.write(block: n * 2048, [UInt8](repeating: UInt8(n + 1), count: 1 << 20))
    }
    device.close()
    let table = UInt64(3 << 20)
    let first = try store.bytes(at: table, count: 8)
    try store.write(at: table + 8, first)
    try store.write(at: table + 16, little(1 << 40 | 6, 8))
    try store.write(at: 256 << 10, [0])
    let found = try format.check(store, .none, files.context())
    #expect(found.corruptions == 3 && !found.isClean, "\(found.findings)")
    let mended = try format.check(store, .all, files.context())
    #expect(mended.isClean, "\(mended.findings)")
    try Trials.expectClean(format, store)
    let again = try format.open(store, files.context()).device
    #expect(try again.bytes(at: 0, count: 2 << 20) == [UInt8](repeating: 1, count: 2 << 20))
    #expect(try again.bytes(at: 3 << 20, count: 1 << 20) == [UInt8](repeating: 4, count: 1 << 20))
  }

  @Test func whatIsRequiredAndUnknownIsRefused() throws {
    let store = try Trials.create(format, Trials.wish(4 << 20, small))
    for offset in VHDXLayout.regionTables {
      var table = try store.fields(at: offset, count: 64 << 10, "")
      table.setLittle(8, UInt32(3))
      table.set(80, [UInt8](repeating: 9, count: 16))
      table.setLittle(96, UInt64(8 << 20))
      table.setLittle(104, UInt32(1 << 20))
      table.setLittle(108, UInt32(1))
      table.setLittle(4, CRC32C.sum(table.bytes, hole: 4))
      try store.write(at: offset, table.bytes)
    }
    do {
      _ = try format.open(store, TrialFiles().context())
      Issue.record("opened")
    } catch {
      #expect(error.offset == (192 << 10) + 80 && error.reason.contains("not known"))
    }
  }

  @Test func checkSumsAreTheStandards() {
    // RFC 3720 B.4.
    #expect(CRC32C.sum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(CRC32C.sum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(CRC32C.sum((0..<32).map { UInt8($0) }) == 0x46DD_794E)
    #expect(CRC32C.sum(Array("123456789".utf8)) == 0xE306_9283)
  }

  @Test(.enabled(if: QEMU.isThere, QEMU.missing)) func qemuAgrees() throws {
    try QEMU.cross(format, theirs: "vhdx", size: 20 << 20, ours: small, checks: true)
    try QEMU.cross(
      format, theirs: "vhdx", size: 9 << 20, ours: ["subformat": "fixed"],
      theirOptions: "subformat=fixed", checks: true)
    try QEMU.cross(
      format, theirs: "vhdx", size: 40 << 20, theirOptions: "block_size=1M,log_size=2M",
      checks: true)
  }

  func seal(_ store: SparseStore) throws {
    for offset in VHDXLayout.headers + VHDXLayout.regionTables {
      let count = offset < 192 << 10 ? 4096 : 64 << 10
      var fields = try store.fields(at: offset, count: count, "")
      fields.setLittle(4, CRC32C.sum(fields.bytes, hole: 4))
      try store.write(at: offset, fields.bytes)
    }
    var entry = try store.fields(at: 1 << 20, count: 8192, "")
    entry.setLittle(4, CRC32C.sum(entry.bytes, hole: 4))
    try store.write(at: 1 << 20, entry.bytes)
  }

  @Test(arguments: ["closed", "dirty", "differencing"])
  func hostileFilesAreRefusedOrRead(kind: String) throws {
    let files = TrialFiles()
    var image: [UInt8]
    if kind == "differencing" {
      var model = [UInt8](repeating: 0, count: 2 << 20)
      let store = try pair(files, &model)
      let device = try format.open(store, files.context()).device
      try device.write(block: 5, [UInt8](repeating: 3, count: 1024))
      device.close()
      image = store.contents()
    } else {
      let store = try Trials.create(format, Trials.wish(2 << 20, small))
      let device = try format.open(store, files.context()).device
      try device.write(block: 5, [UInt8](repeating: 3, count: 1024))
      try device.flush()
      image = store.contents()
      device.close()
      if kind == "closed" { image = store.contents() }
    }
    var headers = [
      0..<8, 65536..<65620, 131072..<131156, 196608..<196700, 262144..<262236, 0x200000..<0x200120,
      0x210000..<0x210100, 0x300000..<0x300040,
    ]
    if kind == "dirty" { headers += [0x100000..<0x100060, 0x101000..<0x101010] }
    try Trials.fuzz(
      format, image, headers: headers, files: files, count: Trials.fuzzCount() / 3, seal: seal)
  }

  @Test(arguments: [false, true]) func powerFailuresLoseNothing(hasParent: Bool) throws {
    let files = TrialFiles()
    let size = 2 << 20
    if hasParent {
      var model = [UInt8](repeating: 0, count: size)
      let child = try pair(files, &model)
      let parent = files.stores["parent.vhdx"] as! SparseStore
      try PowerCuts(format, [("image", child.contents()), ("parent.vhdx", parent.contents())]).run(
        count: PowerCuts.count(normally: 100), seed: 2, PowerCuts.busyGuest(steps: 60))
    } else {
      let store = try Trials.create(format, Trials.wish(UInt64(size), small))
      try PowerCuts(format, image: store.contents()).run(
        count: PowerCuts.count(normally: 100), seed: 1, PowerCuts.busyGuest(steps: 60))
    }
  }
}
