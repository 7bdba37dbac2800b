// Another base for a QCOW2 image: at once, and as QEMU reads it.

import Foundation
import Testing

@testable import Storage

@Suite struct QCOW2RebaseTests {
  private func base(_ name: String, _ format: String, _ folder: MemoryFolder) throws -> NewBase {
    NewBase(
      name: name, formatName: format,
      contents: ImageContents(try folder.context.base(named: name, formatName: format)))
  }

  @Test(arguments: ["", "cluster_size=512", "cluster_size=1024,compat=0.10", "compat=0.10"])
  func anImageStandsOverAnotherBaseFromThenOn(_ options: String) throws {
    let folder = MemoryFolder()
    let names = ["a", String(repeating: "long", count: 30), "b"]
    for (n, name) in names.enumerated() {
      _ = folder.add(name, [UInt8](repeating: UInt8(n + 1), count: 1 << 20))
    }
    let store = try QCOW2Maker.image(size: 1 << 20, options, base: ("a", "raw"), in: folder)
    let image = try QCOW2Maker.open(store, in: folder)
    try image.write(block: 8, QCOW2Maker.pattern(4096, 9))
    image.close()
    for n in [1, 2, 0, 1] {
      try QCOW2Format().setBase(store, try base(names[n], "raw", folder), folder.context)
      let header = try QCOW2Header(store)
      #expect(header.backingName == names[n] && header.backingFormat == "raw")
      let now = try QCOW2Maker.open(store, in: folder)
      #expect(try now.contents(of: 1000).allSatisfy { $0 == UInt8(n + 1) })
      #expect(try now.bytes(at: 4096, count: 4096) == QCOW2Maker.pattern(4096, 9))
    }
    try QCOW2Format().setBase(store, nil, folder.context)
    #expect(try QCOW2Header(store).backingName == nil)
    #expect(try QCOW2Maker.open(store).contents(of: 1000).allSatisfy { $0 == 0 })
    #expect(try QCOW2Maker.check(store).isClean)
  }

  /// After a failure it names the old base or the new one.
  @Test func aFailureLeavesOneOfBothNames() throws {
    for options in ["", "cluster_size=512"] {
      let folder = MemoryFolder()
      for name in ["old", "new"] { _ = folder.add(name, [UInt8](repeating: 1, count: 1 << 20)) }
      let image = try QCOW2Maker.image(size: 1 << 20, options, base: ("old", "raw"), in: folder)
      let disk = PowerCutDisk()
      let store = disk.add("image", image.bytes)
      try QCOW2Format().setBase(store, try base("new", "raw", folder), folder.context)
      var cursor = PowerCutDisk.Cursor(disk)
      var random = PowerCutRandom(seed: 99)
      var seen = Set<String>()
      for cut in 0...disk.log.count {
        cursor.advance(to: cut)
        for _ in 0..<40 {
          let left = MemoryStore(cursor.images(&random)[0])
          seen.insert(try QCOW2Header(left).backingName ?? "none")
          #expect(try QCOW2Maker.check(left).isClean)
        }
      }
      #expect(seen == ["old", "new"])
    }
  }

  @Test func anEmptiedOverlayShowsItsBase() throws {
    let folder = MemoryFolder()
    let base = QCOW2Maker.pattern(1 << 20, 1)
    _ = folder.add("base", base)
    let store = try QCOW2Maker.image(size: 1 << 20, base: ("base", "raw"), in: folder)
    let image = try QCOW2Maker.open(store, in: folder)
    var model = base
    try QCOW2Maker.exercise(image, &model, steps: 60, seed: 3)
    try image.makeEmpty()
    #expect(try image.bytes(at: 0, count: base.count) == base)
    #expect((0..<image.blockCount).allSatisfy { !image.isWritten($0) })
    image.close()
    let check = try QCOW2Maker.check(store)
    #expect(check.isClean && check.allocatedUnits == 0)
  }

  @Test(.enabled(if: QCOW2Oracle.isThere)) func qemuReadsTheNewName() throws {
    let scratch = Scratch()
    for name in ["a.raw", "b.raw"] { _ = scratch.file(name, size: 1 << 20) }
    let path = scratch.directory + "/i.qcow2"
    _ = try QCOW2Oracle.run(
      "qemu-img", "create", "-q", "-f", "qcow2", "-b", "a.raw", "-F", "raw", path)
    let store = try HostFile(path: path, writable: true)
    let context = ImageContext { (name, use) throws(StorageError) in
      try HostFile(path: scratch.directory + "/" + name, writable: false)
    }
    let base = NewBase(
      name: "b.raw", formatName: "raw",
      contents: ImageContents(try context.base(named: "b.raw", formatName: "raw")))
    try QCOW2Format().setBase(store, base, context)
    store.close()
    let info = try QCOW2Oracle.run("qemu-img", "info", path).output
    #expect(info.contains("backing file: b.raw") && info.contains("backing file format: raw"))
    #expect(try QCOW2Oracle.complaint(path) == "")
  }

  @Test func whatABaseWasLikeIsInTheHeader() throws {
    let folder = MemoryFolder()
    for name in ["old", "new"] { _ = folder.add(name, [UInt8](repeating: 1, count: 1 << 20)) }
    for options in ["", "compat=0.10", "cluster_size=512"] {
      let store = try QCOW2Maker.image(size: 1 << 20, options, base: ("old", "raw"), in: folder)
      let image = try QCOW2Maker.open(store, in: folder)
      #expect(image.baseRecord == nil)
      let record = BaseRecord(of: image.base!, hash: [UInt8](repeating: 7, count: 32))
      #expect(try image.setBaseRecord(record.bytes))
      try image.write(block: 5, [UInt8](repeating: 3, count: 512))
      image.close()
      let again = try QCOW2Maker.open(store, in: folder)
      #expect(again.baseRecord == record.bytes)
      #expect(try again.contents(of: 6) == [UInt8](repeating: 1, count: 512))
      #expect(try QCOW2Header(store).backingFormat == "raw")
      #expect(try QCOW2Maker.check(store).isClean)
      // One that has no room goes beside the image.
      #expect(try again.setBaseRecord([UInt8](repeating: 1, count: 600)) == false)
      #expect(again.baseRecord == record.bytes)
      // Another base: nothing is known of it.
      try QCOW2Format().setBase(store, try base("new", "raw", folder), folder.context)
      #expect(try QCOW2Maker.open(store, in: folder).baseRecord == nil)
      let third = try QCOW2Maker.open(store, in: folder)
      #expect(try third.setBaseRecord(record.bytes))
      #expect(try third.setBaseRecord(nil))
      #expect(third.baseRecord == nil)
    }
  }

  @Test(.enabled(if: QCOW2Oracle.isThere)) func qemuKeepsWhatABaseWasLike() throws {
    let scratch = Scratch()
    for name in ["a.raw", "b.raw"] { _ = scratch.file(name, size: 1 << 20) }
    let path = scratch.directory + "/i.qcow2"
    _ = try QCOW2Oracle.run(
      "qemu-img", "create", "-q", "-f", "qcow2", "-b", "a.raw", "-F", "raw", path)
    let record = [UInt8](repeating: 9, count: 96)
    func opened(_ body: (QCOW2Image) throws -> Void) throws {
      let image = try QCOW2Maker.openFile(path)
      try body(image)
      image.close()
    }
    try opened { image in
      let isThere = try image.setBaseRecord(record)
      #expect(isThere)
    }
    #expect(try QCOW2Oracle.complaint(path) == "")
    // Their programs rewrite the header.
    _ = try QCOW2Oracle.run("qemu-img", "amend", "-f", "qcow2", "-o", "lazy_refcounts=on", path)
    _ = try QCOW2Oracle.run("qemu-img", "resize", "-f", "qcow2", path, "2M")
    try opened { #expect($0.baseRecord == record) }
    // With another base it is not that one's.
    let rebased = try QCOW2Oracle.run(
      "qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "b.raw", "-F", "raw", path)
    #expect(rebased.status == 0, "\(rebased.output)")
    try opened { #expect($0.baseRecord == nil) }
  }
}
