// Names that a guest gives its files and that mean something to the folder they are written back to.

import Foundation
import Host
import Testing

@testable import Images
@testable import Storage

extension WorkOnImages {
  @Suite struct FolderNameTests {
    private final class Lines: @unchecked Sendable { var all: [String] = [] }

    private func open(_ folder: String, _ lines: Lines = Lines()) throws -> WritableFolder {
      var options = FolderOptions()
      options.isWritable = true
      options.report = { lines.all.append($0) }
      return try #require(try FolderDisk.open(folder, options: options) as? WritableFolder)
    }

    private func put(_ volume: FATVolume, _ path: String, _ bytes: [UInt8]) throws {
      var rest = bytes[...]
      try volume.write(path, size: UInt64(bytes.count), time: FATTime(localSeconds: 800_000_000)) {
        $0.copyBytes(from: rest.prefix($0.count))
        rest = rest.dropFirst($0.count)
      }
      try volume.finish()
    }

    @Test func theNameOfWhatIsKeptAsideGetsAnotherAndTheRestIsWritten() throws {
      let scratch = Scratch()
      let folder = scratch.path("folder")
      try FileManager.default.createDirectory(
        atPath: folder + "/sub", withIntermediateDirectories: true)
      scratch.file("folder/a.txt", [1, 2, 3])
      let lines = Lines()
      let disk = try open(folder, lines)
      let volume = try FATVolume.open(disk)
      let names = [
        ".apus-replaced", "sub/.APUS-Replaced", "x.apus-replaced", "a.txt.apus-new",
        "a.txt.apus-new-1", "z.txt",
      ]
      for (n, name) in names.enumerated() { try put(volume, name, [UInt8(n), 9]) }
      try put(volume, "a.txt", [7, 7])
      for turn in 0..<2 {
        try disk.flush()
        // As it is called, or beside that.
        for (n, name) in names.enumerated() {
          let isTaken = name.lowercased().hasSuffix(".apus-replaced") && !name.hasPrefix("x")
          let place = "folder/" + name + (isTaken ? ".guest-1" : "")
          let first = UInt8(turn == 1 && name == "z.txt" ? 50 : n)
          #expect(scratch.contents(place) == [first, 9], "\(place)")
        }
        #expect(scratch.contents("folder/a.txt") == [7, 7])
        #expect(lines.all.filter { $0.contains("no file here can have") }.count == 2)
        // Written again it keeps the name it got.
        if turn == 0 { try put(volume, "z.txt", [50, 9]) }
      }
      try put(volume, ".apus-replaced", [50])
      disk.close()
      #expect(scratch.contents("folder/.apus-replaced.guest-1") == [50])
      #expect(!HostFiles.exists(folder + "/.apus-replaced"))
      #expect(HostFiles.names(in: folder).filter { $0.hasSuffix("guest-2") }.isEmpty)
    }

    @Test func aFolderOfThatNameGetsAnother() throws {
      let scratch = Scratch()
      let folder = scratch.path("folder")
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      scratch.file("folder/a.txt", [1, 2, 3])
      let disk = try open(folder)
      let volume = try FATVolume.open(disk)
      try volume.makeFolder(".apus-replaced", time: FATTime(localSeconds: 800_000_000))
      try put(volume, ".apus-replaced/inside", [4])
      try put(volume, "a.txt", [5])
      disk.close()
      #expect(scratch.contents("folder/.apus-replaced.guest-1/inside") == [4])
      #expect(scratch.contents("folder/a.txt") == [5])
    }

    /// Some DOS programs write what they like: a "/" is in a name, not between two. The rest is written as ever.
    @Test func aSlashInAShortNameKeepsNothingFromBeingWritten() throws {
      let scratch = Scratch()
      let folder = scratch.path("folder")
      try FileManager.default.createDirectory(
        atPath: folder + "/sub", withIntermediateDirectories: true)
      scratch.file("folder/a.txt", [1, 2, 3])
      let lines = Lines()
      let disk = try open(folder, lines)
      let volume = try FATVolume.open(disk)
      try put(volume, "AXB.TXT", [4])
      try put(volume, "SUB/CXD.TXT", [5])
      try put(volume, "z.txt", [6])
      for short in ["AXB     TXT", "CXD     TXT"] {
        var changed = 0
        for block in 0..<min(disk.blockCount, 200_000) where disk.isWritten(block) {
          var bytes = try disk.contents(of: block)
          for at in stride(from: 0, to: 512, by: 32)
          where bytes[at..<at + 11].elementsEqual(short.utf8) {
            bytes[at + 1] = UInt8(ascii: "/")
            try disk.write(block: block, bytes)
            changed += 1
          }
        }
        #expect(changed == 1)
      }
      try disk.flush()
      #expect(scratch.contents("folder/A_B.TXT.guest-1") == [4])
      #expect(scratch.contents("folder/sub/C_D.TXT.guest-1") == [5])
      #expect(scratch.contents("folder/z.txt") == [6])
      #expect(scratch.contents("folder/a.txt") == [1, 2, 3])
      #expect(lines.all.filter { $0.contains("no file here can have") }.count == 2)
      disk.close()
    }

    /// As a shell has it.
    @Test func aStarDoesNotMeanWhatBeginsWithADot() throws {
      let scratch = Scratch()
      let folder = scratch.path("folder")
      for name in ["sub", ".git"] {
        try FileManager.default.createDirectory(
          atPath: folder + "/" + name, withIntermediateDirectories: true)
      }
      for name in [".profile", ".git/config", "a.txt", "sub/.inner", "sub/b"] {
        scratch.file("folder/" + name, [1])
      }
      let reference = VolumeReference("folder:\(folder),rw")
      let listed = try ImageOperations.list(reference, ["*"], namesFolders: true).entries
      #expect(Set(listed.map { $0.path.lowercased() }) == ["a.txt", "sub"])
      #expect(
        try ImageOperations.list(reference, [".*"], namesFolders: true).entries.map(\.path).sorted()
          == [".git", ".profile"])
      #expect(throws: StorageError.self) { try ImageOperations.list(reference, ["sub/?inner"]) }
      _ = try ImageOperations.remove(reference, ["*"], isRecursive: true)
      #expect(scratch.contents("folder/.profile") == [1])
      #expect(scratch.contents("folder/.git/config") == [1])
      #expect(!HostFiles.exists(folder + "/a.txt") && !HostFiles.exists(folder + "/sub"))
    }

    @Test func namesThatCannotBeAreMadePossible() {
      for name in ["", ".", "..", "a/b", "a\u{FFFD}", "a\u{0}b", " a", "a.", "con<>"] {
        #expect(FATNames.refusal(FATNames.possible(name)) == nil, "\(name)")
        #expect(!FATNames.possible(name).contains("/"))
      }
      #expect(FATNames.possible("a\u{FFFD}b.txt") == "a_b.txt")
    }
  }
}
