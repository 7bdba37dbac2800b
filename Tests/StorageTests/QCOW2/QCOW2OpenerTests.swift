// Which files a QCOW2 image may name, by the opener that machines use.

import Foundation
import Testing

@testable import Storage

@Suite struct QCOW2OpenerTests {
  private func overlay(_ path: String, over name: String, size: Int = 1 << 20) throws {
    let file = try HostFile(path: path, writable: true)
    var wish = ImageWish(byteCount: UInt64(size))
    wish.base = NewBase(
      name: name, formatName: "raw", contents: ImageContents(MemoryImage(bytes: [0])))
    try QCOW2Format().create(
      file, wish, ImageContext { _ throws(StorageError) in MemoryStore([]) })
    file.close()
  }

  private func reasonOf(_ path: String, allowed: [String] = []) -> String {
    do {
      let image = try ImageOpener.open(path: path, kind: .disk, allowBases: allowed)
      image.device.close()
      return "opened"
    } catch { return error.reason }
  }

  @Test func aBaseLiesInTheImagesFolderUnlessTheUserAllowsAnother() throws {
    let scratch = Scratch()
    let manager = FileManager.default
    for folder in ["vm", "vm/inner", "bases"] {
      try manager.createDirectory(
        atPath: scratch.directory + "/" + folder, withIntermediateDirectories: true)
    }
    let bytes = [UInt8](repeating: 5, count: 1 << 20)
    _ = scratch.file("bases/b.raw", bytes)
    _ = scratch.file("vm/b.raw", bytes)
    let path = scratch.file("vm/top.qcow2", [])
    func name(_ base: String, allowed: [String] = []) throws -> String {
      _ = scratch.file("vm/top.qcow2", [])
      try overlay(path, over: base)
      return reasonOf(path, allowed: allowed)
    }
    #expect(try name("b.raw") == "opened")
    #expect(try name("inner/../b.raw") == "opened")
    #expect(try name(scratch.directory + "/vm/b.raw") == "opened")
    #expect(try name("../bases/b.raw").contains("does not lie in its folder"))
    #expect(try name("/etc/passwd").contains("does not lie in its folder"))
    #expect(try name("../bases/b.raw", allowed: [scratch.directory + "/bases"]) == "opened")
    #expect(
      try name(scratch.directory + "/bases/b.raw", allowed: [scratch.directory + "/bases"])
        == "opened")
    #expect(
      try name("/etc/passwd", allowed: [scratch.directory + "/bases"]).contains(
        "nor in one that is allowed"))
    #expect(try name("../bases/../../b.raw", allowed: [scratch.directory + "/bases"]) != "opened")
    #expect(try name("..") != "opened")
  }

  /// A base in a folder of its own names its base from there.
  @Test func namesAreRelativeToTheImageThatHasThem() throws {
    let scratch = Scratch()
    try FileManager.default.createDirectory(
      atPath: scratch.directory + "/inner", withIntermediateDirectories: true)
    _ = scratch.file("inner/base.raw", [UInt8](repeating: 6, count: 1 << 20))
    try overlay(scratch.file("inner/middle.qcow2", []), over: "base.raw")
    let top = scratch.file("top.qcow2", [])
    let file = try HostFile(path: top, writable: true)
    var wish = ImageWish(byteCount: 1 << 20)
    wish.base = NewBase(
      name: "inner/middle.qcow2", formatName: "qcow2",
      contents: ImageContents(MemoryImage(bytes: [0])))
    try QCOW2Format().create(
      file, wish, ImageContext { _ throws(StorageError) in MemoryStore([]) })
    file.close()
    let image = try ImageOpener.open(path: top, kind: .disk)
    #expect(try image.device.contents(of: 9) == [UInt8](repeating: 6, count: 512))
    try image.device.write(block: 9, [UInt8](repeating: 7, count: 512))
    image.device.close()
    #expect(reasonOf(top) == "opened")
  }

  @Test func aDataFileIsWrittenOnlyIfTheImageIs() throws {
    let scratch = Scratch()
    let path = scratch.file("i.qcow2", [])
    _ = scratch.file("data.raw", [])
    let file = try HostFile(path: path, writable: true)
    var wish = ImageWish(byteCount: 1 << 20)
    wish.options["data_file"] = "data.raw"
    try QCOW2Format().create(
      file, wish,
      ImageContext { (name, _) throws(StorageError) in
        try HostFile(path: scratch.directory + "/" + name, writable: true)
      })
    file.close()
    var image = try ImageOpener.open(path: path, kind: .disk)
    try image.device.write(block: 3, [UInt8](repeating: 8, count: 512))
    // Both files are held.
    #expect(throws: StorageError.self) {
      try HostFile(path: scratch.directory + "/data.raw", writable: true)
    }
    image.device.close()
    image = try ImageOpener.open(path: path, kind: .disk, readOnly: true)
    #expect(image.device.isReadOnly)
    #expect(try image.device.contents(of: 3) == [UInt8](repeating: 8, count: 512))
    image.device.close()
  }
}
