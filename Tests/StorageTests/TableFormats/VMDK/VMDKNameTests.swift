// Names of files in VMDK descriptors, and images in several files that grow where files cannot be made.

import Foundation
import Host
import Testing

@testable import Storage

@Suite struct VMDKNameTests {
  /// A line feed would begin another line: an extent of whoever chose the name.
  @Test(arguments: ["a\nb", "a\r\nb", "a\u{1}b", "a\u{7F}b", "a\tb", "a\"b", "a\"\u{301}b"])
  func namesThatADescriptorCannotHaveAreRefusedBeforeAnythingIsMade(_ name: String) throws {
    for subformat in VMDKTests.subformats {
      let files = TrialFiles()
      let error = #expect(throws: StorageError.self) {
        try Trials.create(
          VMDKFormat(), Trials.wish(1 << 20, ["subformat": subformat]), files: files,
          name: name + ".vmdk")
      }
      #expect(
        error?.reason.contains("line feed") == true || error?.reason.contains("quotation") == true)
      #expect(files.stores.isEmpty)
    }
    // A parent's.
    let files = TrialFiles()
    _ = try Trials.create(VMDKFormat(), Trials.wish(1 << 20), files: files, name: "parent")
    var base = try Trials.base("parent", "vmdk", files)
    base.name = name
    let store = SparseStore(name: "child.vmdk")
    let wish = try Trials.wish(1 << 20, base: base).checked(for: VMDKFormat(), name: "child.vmdk")
    #expect(throws: StorageError.self) { try VMDKFormat().create(store, wish, files.context()) }
    #expect(store.size == 0)
  }

  /// One that was renamed so gets no more files.
  @Test func norDoFilesGetThemWhenTheDiskGrows() throws {
    let files = TrialFiles()
    let store = try Trials.create(
      VMDKFormat(), Trials.wish(1 << 20, ["subformat": "twoGbMaxExtentFlat"]), files: files,
      name: "image.vmdk")
    let renamed = SparseStore(store.contents(), name: "im\nage.vmdk")
    let device = try VMDKFormat().open(renamed, files.context()).device
    let before = files.stores.count
    let error = #expect(throws: StorageError.self) {
      try device.resize(to: VMDKFormat.split + 4096)
    }
    #expect(error?.reason.contains("line feed") == true)
    #expect(files.stores.count == before && device.blockCount == 2048)
  }

  /// Real files, of which only some more can be made.
  private func context(_ folder: String, _ allowed: Box) -> ImageContext {
    ImageContext(kind: .disk) { (name, use) throws(StorageError) in
      if use == .newPart {
        allowed.count -= 1
        if allowed.count < 0 {
          throw StorageError(path: name, reason: "no room is left", lacksRoom: true)
        }
        return try HostFile(creating: folder + "/" + name, named: folder + "/" + name)
      }
      return try HostFile(path: folder + "/" + name, writable: true)
    }
  }

  private final class Box { var count = 1 }

  @Test(arguments: ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
  func aSplitImageThatCannotGrowKeepsItsSizeAndNoFiles(_ subformat: String) throws {
    let scratch = Scratch()
    let folder = scratch.directory
    let allowed = Box()
    let path = scratch.file("image.vmdk", [])
    let store = try HostFile(path: path, writable: true)
    let data = QCOW2Maker.pattern(65536, 3)
    try VMDKFormat().create(
      store,
      try Trials.wish(1 << 20, ["subformat": subformat]).checked(for: VMDKFormat(), name: path),
      context(folder, allowed))
    store.close()
    func open() throws -> any BlockDevice {
      try VMDKFormat().open(
        try HostFile(path: path, writable: true), context(folder, allowed)
      ).device
    }
    var device = try open()
    try device.write(block: 0, data)
    device.close()
    let before = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    // 5 GiB are three files, of which one can be made.
    allowed.count = 1
    device = try open()
    #expect(throws: StorageError.self) { try device.resize(to: 5 << 21) }
    #expect(device.blockCount == 2048)
    device.close()
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == before)
    let check = try VMDKFormat().check(
      try HostFile(path: path, writable: true), .none, context(folder, allowed))
    #expect(check.corruptions + check.unreadables == 0, "\(check.findings)")
    if QEMU.isThere {
      let info = try QEMU.run(["info", path])
      #expect(info.status == 0 && info.text.contains("1048576 bytes"), "\(info.text)")
    }
    device = try open()
    #expect(device.blockCount == 2048)
    #expect(try device.bytes(at: 0, count: data.count) == data)
    // Once there is room, all of it.
    allowed.count = 10
    try device.resize(to: 5 << 21)
    device.close()
    device = try open()
    #expect(device.blockCount == 5 << 21)
    #expect(try device.bytes(at: 0, count: data.count) == data)
    #expect(try device.bytes(at: 1 << 20, count: 4096).allSatisfy { $0 == 0 })
    device.close()
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == before.count + 2)
  }
}
