// Files and their names: every name comes out as it went in, and nothing that was there is lost.

import Foundation
import TestSupport
import Testing

@testable import Host

/// A folder of its own that goes with the test.
private final class Folder {
  let path: String
  init() throws { path = try HostProcess.temporaryFolder("apus-host-tests") }
  deinit { HostProcess.removeFolder(path) }
  func file(_ name: String) -> String { path + "/" + name }
  var names: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }
}

@Suite struct FileTests {
  @Test func everyNameComesBackAsItsBytes() {
    var random = Random(seed: 4)
    for _ in 0..<2000 {
      let bytes = (0..<1 + random.below(12)).map { _ in max(1, random.byte()) }
      #expect(HostPath.bytes(HostPath.decode(bytes)) == bytes)
    }
    // UTF-8 stays what it is, what is none is shown as bytes.
    #expect(HostPath.decode(Array("Zürich €".utf8)) == "Zürich €")
    #expect(HostPath.shown(HostPath.decode([0x61, 0xFF, 0x0A])) == "a\\xff\\x0a")
    // The characters that stand for bytes are themselves bytes when they are in a name.
    let standIn = Array("\u{F7FF}".utf8)
    #expect(HostPath.bytes(HostPath.decode(standIn)) == standIn)
  }

  @Test func onePlaceIsOneFileHoweverItIsSpelled() throws {
    let folder = try Folder()
    let name = folder.path.split(separator: "/").last ?? ""
    // None of them is there yet.
    #expect(HostFiles.isSame(folder.file("a"), folder.file("./a")))
    #expect(HostFiles.isSame(folder.file("a"), folder.file("../\(name)//a")))
    #expect(!HostFiles.isSame(folder.file("a"), folder.file("b")))
    #expect(!HostFiles.isSame(folder.file("a"), "/no such folder/a"))
    try HostFiles.writeAtomically(folder.file("a"), [1])
    #expect(HostFiles.isSame(folder.file("a"), folder.file("./a")))
    #expect(!HostFiles.isSame(folder.file("a"), folder.file("b")))
    #expect(HostFiles.size(folder.file("a")) == 1 && HostFiles.size(folder.file("b")) == nil)
  }

  @Test func writingReplacesTheWholeFileAndLeavesNothingBeside() throws {
    let folder = try Folder()
    let path = folder.file("a")
    try HostFiles.writeAtomically(path, [UInt8](repeating: 1, count: 100_000))
    try HostFiles.writeAtomically(path, [2, 3])
    #expect(try HostFiles.read(path, limit: 10) == [2, 3])
    #expect(folder.names == ["a"])
  }

  @Test func aFailedWriteLeavesTheOldContents() throws {
    let folder = try Folder()
    // A name that has room, and none with more behind it (255 bytes, POSIX NAME_MAX on common file systems).
    let path = folder.file(String(repeating: "n", count: 252))
    #expect(FileManager.default.createFile(atPath: path, contents: Data([7])))
    #expect(throws: HostError.self) { try HostFiles.writeAtomically(path, [1, 2]) }
    #expect(try HostFiles.read(path, limit: 10) == [7])
    #expect(folder.names.count == 1)
  }

  @Test func whatIsNoFileIsRefusedWithItsReason() throws {
    let folder = try Folder()
    #expect(HostFiles.refusalToWrite(folder.path) == "is a directory")
    #expect(HostFiles.refusalToWrite("") == "the name is empty")
    #expect(HostFiles.refusalToWrite(folder.file("no/where"))?.contains("no directory") == true)
    #expect(HostFiles.refusalToWrite(folder.file("new")) == nil)
    #expect(folder.names.isEmpty)
    let pipe = folder.file("pipe")
    #expect(mkfifo(pipe, 0o600) == 0)
    #expect(HostFiles.refusalToWrite(pipe)?.contains("named pipe") == true)
    #expect(throws: HostError.self) { try HostFiles.read(pipe, limit: 10) }
    #expect(throws: HostError.self) { try HostFiles.read(folder.path, limit: 10) }
  }

  @Test func aLimitIsALimit() throws {
    let folder = try Folder()
    try HostFiles.writeAtomically(folder.file("a"), [1, 2, 3])
    #expect(try HostFiles.read(folder.file("a"), limit: 3) == [1, 2, 3])
    #expect(throws: HostError.self) { try HostFiles.read(folder.file("a"), limit: 2) }
  }

  @Test func oneFileHasManyNames() throws {
    let folder = try Folder()
    try HostFiles.writeAtomically(folder.file("a"), [1])
    #expect(symlink("a", folder.file("link")) == 0)
    #expect(link(folder.file("a"), folder.file("hard")) == 0)
    #expect(HostFiles.isSame(folder.file("a"), folder.file("link")))
    #expect(HostFiles.isSame(folder.file("a"), folder.file("hard")))
    try HostFiles.writeAtomically(folder.file("b"), [1])
    #expect(!HostFiles.isSame(folder.file("a"), folder.file("b")))
  }

  @Test func aLogHasEachPieceAsSoonAsItWasAdded() throws {
    let folder = try Folder()
    let log = try HostAppendFile(folder.file("log"))
    try log.append([1, 2])
    #expect(try HostFiles.read(folder.file("log"), limit: 10) == [1, 2])
    try log.append([3])
    try log.close()
    #expect(try HostFiles.read(folder.file("log"), limit: 10) == [1, 2, 3])
  }
}
