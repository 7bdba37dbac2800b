// VDI images: expectations from the format's public documentation and from qemu-img.

import Foundation
import Testing

@testable import Storage

@Suite struct VDITests {
  let format = VDIFormat()
  let small = ["block_size": "64K"]

  @Test(arguments: ["off", "on"])
  func randomWorkIsKept(isFixed: String) throws {
    let size = 3 << 20 + 512 * 7
    let store = try Trials.create(
      format, Trials.wish(UInt64(size), ["static": isFixed, "block_size": "64K"]))
    var model = [UInt8](repeating: 0, count: size)
    try Trials.exercise(format, store, TrialFiles(), model: &model, seed: 1)
  }

  func pair(_ files: TrialFiles, _ model: inout [UInt8]) throws -> SparseStore {
    let parent = try Trials.create(
      format, Trials.wish(UInt64(model.count), small), files: files, name: "parent.vdi")
    try Trials.exercise(format, parent, files, model: &model, rounds: 1, seed: 2)
    let base = try Trials.base("parent.vdi", "vdi", files)
    let child = try Trials.create(
      format, Trials.wish(UInt64(model.count), small, base: base), files: files, name: "child.vdi")
    base.contents.device.close()
    return child
  }

  @Test func aDifferencingImageShowsItsParent() throws {
    let files = TrialFiles()
    var model = [UInt8](repeating: 0, count: 2 << 20)
    let child = try pair(files, &model)
    let parent = files.stores["parent.vdi"] as! SparseStore
    #expect(
      try format.open(child, files.context()).device.bytes(at: 0, count: model.count) == model)
    let before = parent.contents()
    try Trials.exercise(format, child, files, model: &model, seed: 3)
    #expect(parent.contents() == before)
    // The name that VirtualBox gives to images of snapshots does, too.
    let link = try VDIHeader(child).link
    var header = try VDIHeader(child)
    header.setParent(link, header.parentModification, comment: "")
    var bytes = header.bytes
    bytes.replaceSubrange(84..<340, with: repeatElement(0, count: 256))
    try child.write(at: 0, bytes)
    #expect(throws: StorageError.self) { try format.open(child, files.context()) }
    files.stores["{\(link)}.vdi"] = parent
    #expect(
      try format.open(child, files.context()).device.bytes(at: 0, count: model.count) == model)
    // Not when it was written since.
    let device = try format.open(parent, files.context()).device
    try device.write(block: 0, [UInt8](repeating: 1, count: 512))
    device.close()
    do {
      _ = try format.open(child, files.context())
      Issue.record("opened")
    } catch { #expect(error.offset == 440) }
  }

  @Test func itsSizeCanChange() throws {
    try Trials.resize(format, small, [5_243_392, 1_049_600, 6_291_456], theirs: nil)
    // A table that has no room for more blocks; QEMU knows only those of 1 MB.
    try Trials.resize(format, small, [20 << 30, 40 << 30, 30 << 20], theirs: nil)
    try Trials.resize(
      format, [:], [5_243_392, 300 << 30, 600 << 30, 20 << 20], theirs: "vdi")
  }

  @Test func aRepairLosesNothing() throws {
    let files = TrialFiles()
    let store = try Trials.create(format, Trials.wish(4 << 20, small))
    var model = [UInt8](repeating: 0, count: 4 << 20)
    try Trials.exercise(format, store, files, model: &model, rounds: 1, seed: 7)
    let device = try format.open(store, files.context()).device
    try device.write(block: 0, [UInt8](repeating: 7, count: 4 * 65536))
    device.close()
    // Two blocks in one place, a third far outside, a count that is too small.
    let first = try store.bytes(at: 512, count: 4)
    try store.write(at: 516, first)
    try store.write(at: 520, little(1 << 20, 4))
    try store.write(at: 388, little(1, 4))
    let found = try format.check(store, .none, files.context())
    #expect(found.corruptions == 3 && !found.isClean)
    let mended = try format.check(store, .all, files.context())
    #expect(mended.isClean, "\(mended.findings)")
    try Trials.expectClean(format, store)
    let again = try format.open(store, files.context()).device
    #expect(
      try again.bytes(at: 0, count: 2 * 65536) == [UInt8](repeating: 7, count: 2 * 65536))
    #expect(
      try again.bytes(at: 3 * 65536, count: 65536) == [UInt8](repeating: 7, count: 65536))
  }

  @Test(.enabled(if: QEMU.isThere, QEMU.missing)) func qemuAgrees() throws {
    try QEMU.cross(format, theirs: "vdi", size: 20 << 20 + 512, checks: true)
    try QEMU.cross(
      format, theirs: "vdi", size: 7 << 20, ours: ["static": "on"], theirOptions: "static=on",
      checks: true)
  }

  @Test(arguments: [false, true]) func hostileFilesAreRefusedOrRead(hasParent: Bool) throws {
    let files = TrialFiles()
    var store: SparseStore
    if hasParent {
      var model = [UInt8](repeating: 0, count: 1 << 20)
      store = try pair(files, &model)
    } else {
      store = try Trials.create(format, Trials.wish(1 << 20, small))
      let device = try format.open(store, files.context()).device
      try device.write(block: 5, [UInt8](repeating: 3, count: 1024))
      try device.write(block: 2000, [UInt8](repeating: 4, count: 1024))
      device.close()
    }
    try Trials.fuzz(
      format, store.contents(), headers: [60..<100, 336..<580], files: files,
      count: Trials.fuzzCount() / 2)
  }

  @Test(arguments: [false, true]) func powerFailuresLoseNothing(hasParent: Bool) throws {
    let files = TrialFiles()
    if hasParent {
      var model = [UInt8](repeating: 0, count: 1 << 20)
      let child = try pair(files, &model)
      let parent = files.stores["parent.vdi"] as! SparseStore
      try PowerCuts(format, [("image", child.contents()), ("parent.vdi", parent.contents())]).run(
        count: PowerCuts.count(normally: 200), seed: 2, PowerCuts.busyGuest(steps: 60))
    } else {
      let store = try Trials.create(format, Trials.wish(1 << 20, small))
      try PowerCuts(format, image: store.contents()).run(
        count: PowerCuts.count(normally: 200), seed: 1, PowerCuts.busyGuest(steps: 60))
    }
  }
}
