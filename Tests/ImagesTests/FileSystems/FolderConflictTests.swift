// Folders that a guest writes to: what did not change stays, conflicts, large files, deep folders, a full disk.

import Foundation
import Host
import Testing

@testable import Images
@testable import Storage

extension WorkOnImages {
  @Suite struct FolderConflictTests {
    private final class Lines: @unchecked Sendable { var all: [String] = [] }

    private func folder(_ scratch: Scratch, _ files: [String: [UInt8]]) throws -> String {
      let folder = scratch.path("folder")
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      for (name, bytes) in files { scratch.file("folder/" + name, bytes) }
      return folder
    }

    private func open(_ folder: String, _ lines: Lines = Lines(), size: UInt64? = nil) throws
      -> WritableFolder
    {
      var options = FolderOptions()
      options.isWritable = true
      options.byteCount = size
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

    /// Changes the short name of a directory entry, as a guest that renames does.
    private func rename(_ disk: WritableFolder, _ old: String, _ new: String) throws {
      let bytes = try disk.bytes(at: 0, count: 4 << 20)
      let at = try #require(bytes.firstRange(of: Array(old.utf8))).lowerBound
      var block = Array(bytes[at / 512 * 512..<at / 512 * 512 + 512])
      block.replaceSubrange(at % 512..<at % 512 + 11, with: Array(new.utf8))
      try disk.write(block: UInt64(at / 512), block)
    }

    @Test func filesWhoseNamesWereExchangedHaveThem() throws {
      let scratch = Scratch()
      let folder = try folder(
        scratch, ["A.TXT": [UInt8](repeating: 1, count: 5000), "B.TXT": [2, 2]])
      let lines = Lines()
      let disk = try open(folder, lines)
      for turn in 0..<3 {
        try rename(disk, "A       TXT", "TMP     TXT")
        try rename(disk, "B       TXT", "A       TXT")
        try rename(disk, "TMP     TXT", "B       TXT")
        try disk.flush()
        let (a, b) = (scratch.contents("folder/A.TXT"), scratch.contents("folder/B.TXT"))
        #expect(
          turn & 1 == 0 ? a == [2, 2] && b.count == 5000 : a.count == 5000 && b == [2, 2],
          "\(lines.all)")
        #expect(!lines.all.contains { $0.contains("guest-") }, "\(lines.all)")
      }
      disk.close()
      #expect(
        Set(HostFiles.names(in: folder)).subtracting([".", ".."]) == ["A.TXT", "B.TXT"])
    }

    /// No host has files of such names: they get others, and nothing is lost.
    @Test func filesNamedAsFoldersThemselvesAreKept() throws {
      let scratch = Scratch()
      let folder = try folder(scratch, ["A.TXT": [1, 2, 3]])
      let disk = try open(folder)
      let volume = try FATVolume.open(disk)
      try put(volume, "Q.TXT", [7, 8])
      try put(volume, "R.TXT", [9])
      try rename(disk, "Q       TXT", ".          ")
      try rename(disk, "R       TXT", "..         ")
      try disk.flush()
      let names = HostFiles.names(in: folder).filter { $0 != "." && $0 != ".." && $0 != "A.TXT" }
      #expect(names.count == 2)
      #expect(Set(names.map { scratch.contents("folder/" + $0) }) == [[7, 8], [9]])
      #expect(scratch.contents("folder/A.TXT") == [1, 2, 3])
      disk.close()
    }

    @Test func whatDidNotChangeIsNotWrittenAndModesStay() throws {
      let scratch = Scratch()
      let folder = try folder(scratch, ["a.sh": [1, 2, 3], "z.sh": [4, 5, 6]])
      for name in ["a.sh", "z.sh"] { chmod(folder + "/" + name, 0o750) }
      let before = HostFiles.facts(folder + "/z.sh")
      let lines = Lines()
      let disk = try open(folder, lines)
      let volume = try FATVolume.open(disk)
      // The new file lies right behind the last one.
      try put(volume, "new.txt", [7])
      try disk.flush()
      #expect(lines.all.filter { $0.hasPrefix("wrote") }.count == 1, "\(lines.all)")
      #expect(HostFiles.facts(folder + "/z.sh") == before)
      try put(volume, "a.sh", [9, 9])
      try disk.flush()
      var status = stat()
      stat(folder + "/a.sh", &status)
      #expect(status.st_mode & 0o777 == 0o750)
      #expect(scratch.contents("folder/a.sh") == [9, 9])
      disk.close()
    }

    @Test func copiesOfWhatIsReplacedAreOneForAFileAndBounded() throws {
      let scratch = Scratch()
      let folder = try folder(scratch, ["a.txt": [1, 2, 3]])
      let kept = folder + "/" + FolderTree.replacedName
      try FileManager.default.createDirectory(atPath: kept, withIntermediateDirectories: true)
      for session in 1...12 { scratch.file("folder/.apus-replaced/\(session)00-77-1-old", [1]) }
      let disk = try open(folder)
      #expect(HostFiles.names(in: kept).filter { $0.hasSuffix("old") }.count == 8)
      #expect(HostFiles.exists(kept + "/1200-77-1-old"))
      let volume = try FATVolume.open(disk)
      for turn in 0..<20 {
        try put(volume, "a.txt", [UInt8(turn), 5])
        try disk.flush()
      }
      #expect(HostFiles.names(in: kept).filter { $0.hasSuffix("a.txt") }.count == 1)
      #expect(scratch.contents("folder/a.txt") == [19, 5])
      disk.close()
      #expect(HostFiles.names(in: kept).filter { $0.hasSuffix("a.txt") }.isEmpty)
    }

    @Test func conflictsLoseNothing() throws {
      let scratch = Scratch()
      let folder = try folder(
        scratch, ["both.txt": [1], "deleted.txt": [2], "renamed.txt": [3], "gone.txt": [4]])
      let lines = Lines()
      let disk = try open(folder, lines)
      let volume = try FATVolume.open(disk)
      // The host's side, later than the disk was made.
      for name in ["both.txt", "deleted.txt", "renamed.txt"] {
        scratch.file("folder/" + name, [50, 51, 52])
      }
      try FileManager.default.removeItem(atPath: folder + "/gone.txt")
      // The guest's.
      try put(volume, "both.txt", [60])
      try volume.remove("deleted.txt")
      try volume.remove("renamed.txt")
      try put(volume, "moved.txt", [61])
      try put(volume, "gone.txt", [62])
      disk.close()
      #expect(scratch.contents("folder/both.txt") == [50, 51, 52])
      #expect(scratch.contents("folder/both.txt.guest-1") == [60])
      #expect(scratch.contents("folder/deleted.txt") == [50, 51, 52])
      #expect(scratch.contents("folder/renamed.txt") == [50, 51, 52])
      #expect(scratch.contents("folder/moved.txt") == [61])
      #expect(scratch.contents("folder/gone.txt") == [62])
      #expect(lines.all.filter { $0.contains("somebody else") }.count == 3, "\(lines.all)")
    }

    @Test func filesAreLargeAndFoldersDeep() throws {
      let scratch = Scratch()
      let folder = try folder(scratch, [:])
      let deep = (0..<20).map { "a folder \($0)" }.joined(separator: "/")
      try FileManager.default.createDirectory(
        atPath: folder + "/" + deep, withIntermediateDirectories: true)
      scratch.file("folder/" + deep + "/end.txt", [1, 2, 3])
      let large = try HostFile(creating: folder + "/large.bin", named: "large.bin")
      let size: UInt64 = 3 << 30
      try large.setSize(size)
      try large.write(at: 0, [1])
      try large.write(at: (2 << 30) + 7, [2])
      try large.write(at: size - 1, [3])
      large.close()
      let disk = try open(folder)
      let volume = try FATVolume.open(disk)
      let entry = try #require(try volume.entry(at: "large.bin"))
      #expect(UInt64(entry.size) == size)
      let run = try #require(try volume.runs(of: entry, path: "").first)
      let start =
        disk.blockCount > 0
        ? try #require(try PartitionTable(DeviceStore(disk))).partitions[0].start * 512 : 0
      let store = DeviceStore(disk)
      let at = start + volume.layout.offset(of: run.first)
      #expect(try store.bytes(at: at, count: 1) == [1])
      #expect(try store.bytes(at: at + (2 << 30) + 7, count: 1) == [2])
      #expect(try store.bytes(at: at + size - 1, count: 1) == [3])
      try put(volume, deep + "/new.txt", [4])
      try put(volume, deep + "/end.txt", [5])
      disk.close()
      #expect(scratch.contents("folder/" + deep + "/new.txt") == [4])
      #expect(scratch.contents("folder/" + deep + "/end.txt") == [5])
      #expect(HostFiles.facts(folder + "/large.bin")?.size == size)
    }

    /// A small file system of its own; nothing is tried where that cannot be had.
    @Test func aFullDiskLosesNothing() throws {
      let scratch = Scratch()
      let place = scratch.path("small")
      try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
      guard let (code, _) = tool("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", place]),
        code == 0
      else { return }
      defer { _ = tool("umount", [place]) }
      let folder = place + "/folder"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      scratch.file("small/folder/old.txt", [1, 2, 3])
      let lines = Lines()
      let disk = try open(folder, lines)
      let volume = try FATVolume.open(disk)
      let big = [UInt8](repeating: 0x77, count: 3 << 20)
      try put(volume, "big.bin", big)
      try put(volume, "small.txt", [4, 5])
      try volume.remove("old.txt")
      try volume.finish()
      var told = ""
      do throws(StorageError) { try disk.finish() } catch { told = "\(error)" }
      #expect(
        told.contains("did not all go into the folder") && told.contains("disk image"), "\(told)")
      // What there is room for is there; nothing was removed.
      #expect(scratch.contents("small/folder/small.txt") == [4, 5])
      #expect(scratch.contents("small/folder/old.txt") == [1, 2, 3])
      let parts = told.split(separator: "'").filter { $0.hasSuffix(".rescue.img") }
      let image = String(try #require(parts.last))
      defer { try? FileManager.default.removeItem(atPath: image) }
      let kept = try DiskImage(ImageReference(image), .reading)
      let rescued = try FATVolume.open(kept.device)
      let entry = try #require(try rescued.entry(at: "big.bin"))
      var bytes: [UInt8] = []
      try rescued.read(entry, path: "big.bin") { bytes += $0 }
      #expect(same(bytes, big))
      kept.close()
      // There is room again.
      _ = tool("mount", ["-o", "remount,size=16m", place])
      try disk.finish()
      disk.close()
      #expect(same(scratch.contents("small/folder/big.bin"), big))
      #expect(!HostFiles.exists(folder + "/old.txt"))
    }
  }
}
