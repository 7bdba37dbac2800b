// VMDK images: expectations from VMware's Virtual Disk Format 5.0 and from qemu-img.

import Foundation
import Testing

@testable import Storage

@Suite struct VMDKTests {
  let format = VMDKFormat()
  static let subformats = [
    "monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat",
    "streamOptimized",
  ]

  @Test(arguments: subformats) func randomWorkIsKept(subformat: String) throws {
    let size = 5 << 20 + 512 * 7
    let files = TrialFiles()
    let store = try Trials.create(
      format, Trials.wish(UInt64(size), ["subformat": subformat]), files: files,
      name: "image.vmdk")
    #expect(try format.probe(store, files.context()) == .certain)
    var model = [UInt8](repeating: 0, count: size)
    try Trials.exercise(
      format, store, files, model: &model, steps: subformat == "streamOptimized" ? 60 : 120,
      seed: 1)
  }

  func pair(
    _ files: TrialFiles, _ model: inout [UInt8], options: [String: String] = [:]
  ) throws -> SparseStore {
    let parent = try Trials.create(
      format, Trials.wish(UInt64(model.count)), files: files, name: "parent.vmdk")
    try Trials.exercise(format, parent, files, model: &model, rounds: 1, seed: 2)
    let base = try Trials.base("parent.vmdk", "vmdk", files)
    let child = try Trials.create(
      format, Trials.wish(UInt64(model.count), options, base: base), files: files,
      name: "child.vmdk")
    base.contents.device.close()
    return child
  }

  @Test(arguments: [[:], ["zeroed_grain": "on"], ["subformat": "twoGbMaxExtentSparse"]])
  func anImageShowsItsParent(options: [String: String]) throws {
    let files = TrialFiles()
    var model = [UInt8](repeating: 0, count: 3 << 20)
    let child = try pair(files, &model, options: options)
    let parent = files.stores["parent.vmdk"] as! SparseStore
    #expect(
      try format.open(child, files.context()).device.bytes(at: 0, count: model.count) == model)
    let before = parent.contents()
    try Trials.exercise(format, child, files, model: &model, seed: 3)
    #expect(parent.contents() == before)
    // Not when it was written since.
    let device = try format.open(parent, files.context()).device
    try device.write(block: 0, [UInt8](repeating: 1, count: 512))
    device.close()
    do {
      _ = try format.open(child, files.context())
      Issue.record("opened")
    } catch { #expect(error.reason.contains("was written since")) }
  }

  @Test func imagesOfSeveralFilesAreWrittenThroughTheOpener() throws {
    let scratch = Scratch()
    let path = scratch.file("disk.vmdk", [])
    // Three extents of 2 GB, one of them smaller.
    let size: UInt64 = 5 << 30
    let store = try HostFile(path: path, writable: true)
    try format.create(
      store, Trials.wish(size, ["subformat": "twoGbMaxExtentSparse"]), scratch.context(path))
    store.close()
    let image = try ImageOpener.open(path: path)
    #expect(image.device.blockCount == size / 512 && !image.device.isReadOnly)
    // Across the border of two extents.
    let bytes = (0..<512 * 64).map { UInt8(truncatingIfNeeded: $0 >> 9) | 0x80 }
    try image.device.write(block: 4_192_256 - 32, bytes)
    image.device.close()
    let again = try ImageOpener.open(path: path, readOnly: true)
    #expect(try again.device.bytes(at: (4_192_256 - 32) * 512, count: bytes.count) == bytes)
    #expect(again.device.nextData(from: 0) <= 4_192_256 - 32)
    #expect(again.device.nextData(from: 0) >= 4_192_256 - 32 - 128)
    again.device.close()
    if QEMU.isThere {
      let found = try QEMU.run(["check", "-f", "vmdk", path])
      #expect(found.status == 0, "\(found.text)")
      let read = try QEMU.run(
        ["-f", "vmdk", "-r", "-c", "read -P 0x80 \((4_192_256 - 32) * 512) 512", path],
        tool: "qemu-io")
      #expect(!read.text.contains("failed"), "\(read.text)")
    }
  }

  @Test func descriptorsAreReadAsVMwareWritesThem() throws {
    let files = TrialFiles()
    files.stores["disk-flat.vmdk"] = SparseStore(
      [UInt8](repeating: 9, count: 4096), name: "disk-flat.vmdk")
    func open(_ text: String) throws -> any BlockDevice {
      try format.open(SparseStore(Array(text.utf8), name: "disk.vmdk"), files.context()).device
    }
    let head =
      "# Disk DescriptorFile\r\nversion=1\r\nencoding=\"UTF-8\"\r\nCID=fffffffe\r\nparentCID=ffffffff\r\n"
    let device = try open(
      head + "createType=\"vmfs\"\r\n\r\n# Extent description\r\nRW 4 VMFS \"disk-flat.vmdk\"\r\n"
        + "RW 3 ZERO\r\nRDONLY 2 FLAT \"disk-flat.vmdk\" 6\r\n\r\nddb.adapterType = \"lsilogic\"\r\n"
    )
    #expect(device.blockCount == 9)
    let bytes = try device.bytes(at: 0, count: 9 * 512)
    #expect(
      bytes == Array(repeating: 9, count: 2048) + Array(repeating: 0, count: 1536)
        + Array(repeating: 9, count: 1024))
    // An extent that may not be written protects the whole disk.
    #expect(device.isReadOnly)
    for (line, reason) in [
      ("RW 9 FLAT \"disk-flat.vmdk\" 0", "the file ends at"),
      ("RW 4 VMFSRDM \"x\"", "cannot be read"), ("RW 0 FLAT \"x\"", "sectors"),
      ("NOACCESS 4 FLAT \"x\"", "nobody may read"), ("RW 4 FLAT \"gone.vmdk\"", "no such file"),
      ("RW 4 FLAT disk-flat.vmdk", "quotes"), ("", "without extents"),
      ("RW 99999999999999999999 ZERO", "sectors"),
    ] {
      do {
        _ = try open(head + line)
        Issue.record("opened: \(line)")
      } catch let error as StorageError { #expect(error.reason.contains(reason), "\(error)") }
    }
  }

  @Test(arguments: subformats) func itsSizeCanChange(subformat: String) throws {
    // 40 MB need another table, 5 GB other files; 8 GB another sector of the directory.
    var sizes: [UInt64] = [5_243_392, 1_049_600, 40 << 20, 6 << 20]
    if subformat.hasSuffix("Sparse") { sizes += [5 << 30, 9 << 30, 3 << 30] }
    try Trials.resize(
      format, ["subformat": subformat], sizes, theirs: "vmdk", suffix: "vmdk", allowsLeaks: true)
  }

  @Test func aRepairLosesNothing() throws {
    let files = TrialFiles()
    let store = try Trials.create(format, Trials.wish(40 << 20), name: "image.vmdk")
    let device = try format.open(store, files.context()).device
    for n: UInt64 in 0..<4 {
      try device.write(block: n * 128, [UInt8](repeating: UInt8(n + 1), count: 65536))
    }
    device.close()
    let header = try VMDKSparseHeader(store)
    let table = (header.directory + header.directorySectors) * 512
    // Two grains in one place, a third far outside, a directory entry that leads nowhere.
    try store.write(at: table + 4, try store.bytes(at: table, count: 4))
    try store.write(at: table + 8, little(1 << 30, 4))
    try store.write(at: header.directory * 512 + 4, little(1 << 30, 4))
    let found = try format.check(store, .none, files.context())
    #expect(found.corruptions >= 1 && !found.isClean, "\(found.findings)")
    let mended = try format.check(store, .all, files.context())
    #expect(mended.isClean, "\(mended.findings)")
    try Trials.expectClean(format, store)
    let again = try format.open(store, files.context()).device
    #expect(try again.bytes(at: 0, count: 131_072) == [UInt8](repeating: 1, count: 131_072))
    #expect(try again.bytes(at: 196_608, count: 65536) == [UInt8](repeating: 4, count: 65536))
  }

  @Test(.enabled(if: QEMU.isThere, QEMU.missing), arguments: subformats)
  func qemuAgrees(subformat: String) throws {
    // QEMU writes only whole new grains of a compressed image, and no part of any: that way only reading is tried.
    if subformat == "streamOptimized" { return try qemuReadsAndMakesStreams() }
    try QEMU.cross(
      format, theirs: "vmdk", size: 20 << 20 + 512, ours: ["subformat": subformat],
      theirOptions: "subformat=\(subformat)", checks: true, suffix: "vmdk")
  }

  func qemuReadsAndMakesStreams() throws {
    let scratch = Scratch()
    let path = scratch.file("s.vmdk", [])
    let store = try HostFile(path: path, writable: true)
    try format.create(
      store, Trials.wish(9 << 20, ["subformat": "streamOptimized"]), scratch.context(path))
    store.close()
    var model = [UInt8](repeating: 0, count: 9 << 20)
    for n in stride(from: 70_000, to: 7 << 20, by: 3) {
      model[n] = UInt8(truncatingIfNeeded: n >> 8)
    }
    let device = try ImageOpener.open(path: path).device
    try device.write(block: 0, model)
    device.close()
    let raw = scratch.file("raw", model)
    var result = try QEMU.run(["compare", "-f", "vmdk", "-F", "raw", path, raw])
    #expect(result.status == 0, "\(result.text)")
    let theirs = scratch.directory + "/t.vmdk"
    result = try QEMU.run(
      ["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, theirs])
    #expect(result.status == 0, "\(result.text)")
    let other = try ImageOpener.open(path: theirs).device
    #expect(try other.bytes(at: 0, count: model.count) == model)
    try other.write(block: 1000, [UInt8](repeating: 5, count: 1024))
    model.replaceSubrange(512_000..<513_024, with: repeatElement(5, count: 1024))
    other.close()
    let changed = scratch.file("raw2", model)
    result = try QEMU.run(["compare", "-f", "vmdk", "-F", "raw", theirs, changed])
    #expect(result.status == 0, "\(result.text)")
  }

  @Test(arguments: ["monolithicSparse", "streamOptimized", "twoGbMaxExtentSparse", "parent"])
  func hostileFilesAreRefusedOrRead(kind: String) throws {
    let files = TrialFiles()
    var store: SparseStore
    if kind == "parent" {
      var model = [UInt8](repeating: 0, count: 1 << 20)
      store = try pair(files, &model)
    } else {
      store = try Trials.create(
        format, Trials.wish(1 << 20, ["subformat": kind]), files: files, name: "image.vmdk")
    }
    let device = try format.open(store, files.context()).device
    try device.write(block: 5, [UInt8](repeating: 3, count: 1024))
    try device.write(block: 2000, [UInt8](repeating: 4, count: 1024))
    device.close()
    let image = store.contents()
    var headers = [0..<80, 512..<900, 10752..<10768, 11264..<11330, 13312..<13400]
    if kind == "streamOptimized" { headers.append(65536..<65600) }
    if kind == "twoGbMaxExtentSparse" { headers = [0..<image.count] }
    try Trials.fuzz(
      format, image, headers: headers, files: files, count: Trials.fuzzCount() / 4)
  }

  @Test(arguments: ["monolithicSparse", "streamOptimized", "parent", "zeros"])
  func powerFailuresLoseNothing(kind: String) throws {
    let files = TrialFiles()
    if kind == "parent" || kind == "zeros" {
      var model = [UInt8](repeating: 0, count: 1 << 20)
      let child = try pair(
        files, &model, options: kind == "zeros" ? ["zeroed_grain": "on"] : [:])
      let parent = files.stores["parent.vmdk"] as! SparseStore
      try PowerCuts(format, [("image", child.contents()), ("parent.vmdk", parent.contents())]).run(
        count: PowerCuts.count(normally: 150), seed: 2, PowerCuts.busyGuest(steps: 60))
    } else {
      let store = try Trials.create(
        format, Trials.wish(1 << 20, ["subformat": kind]), name: "image.vmdk")
      try PowerCuts(format, image: store.contents()).run(
        count: PowerCuts.count(normally: 150), seed: 1, PowerCuts.busyGuest(steps: 60))
    }
  }
}
