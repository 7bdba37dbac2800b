// Folders as disks: what a guest reads, and what becomes of what it writes. The guest is this program's own FAT driver, held against
// fsck.fat and mtools where they are installed.

import Foundation
import Host
import Testing

@testable import Images
@testable import Storage

extension WorkOnImages {
  @Suite struct FolderTests {
    private let files: [String: [UInt8]] = [
      "README.TXT": Array("hello".utf8), "A long name.document": randomDisk(70_001, seed: 1),
      "sub/inner/deep.bin": randomDisk(123_456, seed: 2), "sub/empty": [],
      "Straße?.txt": [1, 2, 3],
    ]

    private func fill(_ scratch: Scratch) throws -> String {
      let folder = scratch.path("folder")
      for (path, bytes) in files {
        let url = URL(fileURLWithPath: folder + "/" + path)
        try FileManager.default.createDirectory(
          at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: url)
      }
      return folder
    }

    private func contents(_ folder: String) -> [String: [UInt8]] {
      var found: [String: [UInt8]] = [:]
      for case let path as String in FileManager.default.enumerator(atPath: folder)! {
        if !HostFiles.isDirectory(folder + "/" + path) {
          found[path] = [UInt8](FileManager.default.contents(atPath: folder + "/" + path)!)
        }
      }
      return found
    }

    @Test(arguments: [FATKind.fat16, .fat32])
    func aFolderIsReadAsADisk(kind: FATKind) throws {
      let scratch = Scratch()
      let folder = try fill(scratch)
      var options = FolderOptions()
      options.kind = kind
      if kind == .fat32 { options.byteCount = 600 << 20 }
      let disk = try FolderDisk.open(folder, options: options)
      let volume = try FATVolume.open(disk)
      #expect(volume.layout.kind == kind)
      _ = try FATWalk(volume)
      var count = 0
      for (path, bytes) in files {
        let name = path.replacingOccurrences(of: "?", with: "_")
        let entry = try #require(try volume.entry(at: name), "\(name)")
        var read: [UInt8] = []
        try volume.read(entry, path: path) { read += $0 }
        #expect(same(read, bytes), "\(path)")
        count += 1
      }
      #expect(count == files.count)
      // As an image: in pieces of any size the same bytes.
      let copy = scratch.path("copy.img")
      _ = try ImageOperations.convert(
        ConvertRequest(
          ImageReference("folder:\(folder)" + (kind == .fat32 ? ",fat=32,size=600M" : ",fat=16")),
          to: copy))
      #expect(HostFiles.facts(copy)!.allocated < 32 << 20)
      let image = RawImage(try HostFile(path: copy, writable: false))
      var numbers = Numbers(state: 4)
      for _ in 0..<300 {
        let block = numbers.next() % 4000
        let number = Int(numbers.next() % 40 + 1)
        #expect(
          same(
            try disk.bytes(at: block * 512, count: number * 512),
            try image.bytes(at: block * 512, count: number * 512)))
      }
      let part = scratch.path("part.img")
      _ = try ImageOperations.copyBlocks(
        CopyBlocksRequest(["if=\(copy)", "of=\(part)", "bs=1M", "skip=1"]))
      if let (code, text) = tool("fsck.fat", ["-n", "-v", part]) { #expect(code == 0, "\(text)") }
      if let (code, text) = tool("mcopy", ["-i", part, "::sub/inner/deep.bin", scratch.path("m")]) {
        #expect(code == 0, "\(text)")
        #expect(same(scratch.contents("m"), files["sub/inner/deep.bin"]!))
      }
      // Nothing was written.
      #expect(contents(folder).keys.sorted() == files.keys.sorted())
      #expect(throws: StorageError.self) {
        try disk.write(block: 0, [UInt8](repeating: 0, count: 512))
      }
    }

    @Test func aFolderIsAFloppyToo() throws {
      let scratch = Scratch()
      let folder = try fill(scratch)
      let disk = try FolderDisk.open("\(folder),floppy", isWritable: false)
      #expect(disk.blockCount == 2880)
      scratch.file("floppy.img", try disk.bytes(at: 0, count: 1_474_560))
      if let (code, text) = tool("fsck.fat", ["-n", scratch.path("floppy.img")]) {
        #expect(code == 0, "\(text)")
      }
      #expect(throws: StorageError.self) {
        try FolderDisk.open("\(folder),nonsense", isWritable: false)
      }
    }

    @Test func aFileThatChangesIsADriveError() throws {
      let scratch = Scratch()
      let folder = try fill(scratch)
      let disk = try FolderDisk.open(folder)
      let volume = try FATVolume.open(disk)
      let entry = try #require(try volume.entry(at: "A long name.document"))
      try Data([1]).write(to: URL(fileURLWithPath: folder + "/A long name.document"))
      #expect(throws: StorageError.self) { try volume.read(entry, path: "") { _ in } }
    }

    @Test func whatAGuestWritesGoesIntoTheFolder() throws {
      let scratch = Scratch()
      let folder = try fill(scratch)
      let disk = try FolderDisk.open("\(folder),rw", isWritable: true)
      var model = files
      let volume = try FATVolume.open(disk)
      func write(_ path: String, _ bytes: [UInt8]) throws {
        var at = 0
        try volume.write(
          path, size: UInt64(bytes.count), time: FATTime(localSeconds: 1_000_000_000)
        ) { buffer in
          buffer.copyBytes(from: bytes[at..<at + buffer.count])
          at += buffer.count
        }
      }
      func expectSame(_ line: Int = #line) {
        let found = contents(folder).filter { !$0.key.contains(FolderTree.replacedName) }
        #expect(found.keys.sorted() == model.keys.sorted(), "line \(line)")
        #expect(found == model, "line \(line)")
      }
      try write("NEW.TXT", [9, 9, 9])
      model["NEW.TXT"] = [9, 9, 9]
      try volume.makeFolder("Fresh", time: FATTime(localSeconds: 0))
      try write("Fresh/made by guest.dat", randomDisk(50_000, seed: 5))
      model["Fresh/made by guest.dat"] = randomDisk(50_000, seed: 5)
      try write("README.TXT", Array("changed".utf8))
      model["README.TXT"] = Array("changed".utf8)
      try volume.remove("sub/inner/deep.bin")
      model["sub/inner/deep.bin"] = nil
      try volume.remove("sub/inner")
      try volume.finish()
      try disk.flush()
      expectSame()
      #expect(!HostFiles.exists(folder + "/sub/inner"))
      // In place, without another directory entry: the clusters alone.
      let entry = try #require(try volume.entry(at: "A long name.document"))
      let run = try #require(try volume.runs(of: entry, path: "").first)
      let block = 2048 + volume.layout.offset(of: run.first) / 512
      try disk.write(block: block + 3, [UInt8](repeating: 0xAA, count: 512))
      model["A long name.document"]!.replaceSubrange(
        1536..<2048, with: repeatElement(0xAA, count: 512))
      try disk.flush()
      expectSame()
      // What the disk was made of is still there for the guest, replaced or not.
      var numbers = Numbers(state: 6)
      for turn in 0..<60 {
        let path = ["X\(numbers.next() % 5)", "sub/y \(numbers.next() % 5)", "Fresh/Z"][turn % 3]
        if model[path] != nil, turn % 4 == 0 {
          try volume.remove(path)
          model[path] = nil
        } else {
          let bytes = randomDisk(Int(numbers.next() % 40_000), seed: UInt64(turn) + 1)
          try write(path, bytes)
          model[path] = bytes
        }
        if turn % 5 == 0 {
          try volume.finish()
          try disk.flush()
          expectSame()
        }
      }
      try volume.finish()
      disk.close()
      expectSame()
      #expect(!HostFiles.exists(folder + "/" + FolderTree.replacedName))
      // Opened again it is the same.
      let again = try FATVolume.open(try FolderDisk.open(folder))
      _ = try FATWalk(again)
      for (path, bytes) in model {
        let name = path.replacingOccurrences(of: "?", with: "_")
        let entry = try #require(try again.entry(at: name), "\(name)")
        var read: [UInt8] = []
        try again.read(entry, path: path) { read += $0 }
        #expect(same(read, bytes), "\(path)")
      }
    }

    @Test func aFileSystemThatContradictsItselfChangesNothing() throws {
      let scratch = Scratch()
      let folder = try fill(scratch)
      final class Lines: @unchecked Sendable { var all: [String] = [] }
      let lines = Lines()
      var options = FolderOptions()
      options.isWritable = true
      options.report = { lines.all.append($0) }
      let disk = try #require(try FolderDisk.open(folder, options: options) as? WritableFolder)
      let volume = try FATVolume.open(disk)
      let entry = try #require(try volume.entry(at: "A long name.document"))
      // The chain leads into itself.
      let fat = 2048 + UInt64(volume.layout.reservedSectors)
      var sector = try disk.contents(of: fat)
      let at = Int(entry.firstCluster) * 2
      sector[at + 2] = UInt8(entry.firstCluster & 0xFF)
      sector[at + 3] = UInt8(entry.firstCluster >> 8)
      try disk.write(block: fat, sector)
      try disk.flush()
      #expect(disk.problem != nil)
      #expect(contents(folder) == files)
      disk.close()
      #expect(contents(folder) == files)
      #expect(lines.all.contains { $0.contains("did not all go into the folder") })
      #expect(HostFiles.exists(folder + ".rescue.img"))
    }

    @Test func othersChangesAreNotLost() throws {
      let scratch = Scratch()
      let folder = try fill(scratch)
      let disk = try FolderDisk.open("\(folder),rw", isWritable: true)
      let volume = try FATVolume.open(disk)
      try Data([5, 5]).write(to: URL(fileURLWithPath: folder + "/README.TXT"))
      try Data([6, 6]).write(to: URL(fileURLWithPath: folder + "/sub/empty"))
      try volume.write("README.TXT", size: 1, time: FATTime(localSeconds: 0)) { $0[0] = 7 }
      try volume.remove("sub/empty")
      try volume.finish()
      disk.close()
      let found = contents(folder)
      #expect(found["README.TXT"] == [5, 5] && found["README.TXT.guest-1"] == [7])
      #expect(found["sub/empty"] == [6, 6])
    }

    @Test func linksAreNotFollowed() throws {
      let scratch = Scratch()
      let folder = try fill(scratch)
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/link", withDestinationPath: "/etc/passwd")
      let volume = try FATVolume.open(try FolderDisk.open(folder))
      #expect(try volume.entry(at: "link") == nil)
    }
  }
}
