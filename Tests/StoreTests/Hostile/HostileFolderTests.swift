// Links, pipes and folders in place of a store's files.

import Foundation
import Storage
import Testing

@testable import Store

@Suite struct HostileFolderTests {
  private func make(_ path: String) throws {
    let store = try ContentStore(creating: path)
    let batch = store.begin()
    let name = try batch.add([1, 2, 3])
    try store.publish(batch, payload: name.bytes)
  }

  /// Moves a file away and puts a link to it in its place.
  private func link(_ path: String) throws {
    try FileManager.default.moveItem(atPath: path, toPath: path + "-real")
    try FileManager.default.createSymbolicLink(
      atPath: path, withDestinationPath: path + "-real")
  }

  @Test(arguments: ["root", "packs", "lock"]) func linksAreNotFollowed(_ name: String) throws {
    let folder = TestFolder()
    try make(folder.path)
    try link(folder.path + "/" + name)
    #expect(throws: StorageError.self) {
      try ContentStore(opening: folder.path, writable: true)
    }
    if name != "lock" {
      do throws(StorageError) {
        _ = try ContentStore(opening: folder.path, writable: false)
        Issue.record("it is followed")
      } catch { #expect(error.reason.contains("symbolic link")) }
    }
  }

  @Test func aPackThatIsALinkIsLost() throws {
    let folder = TestFolder()
    try make(folder.path)
    try link(folder.path + "/packs/0000000000000001.pack")
    let store = try ContentStore(opening: folder.path, writable: false)
    #expect(store.lostPacks.first?.reason.contains("symbolic link") == true)
  }

  @Test func aPipeHoldsNothingUp() throws {
    for name in ["root", "packs/0000000000000001.pack", "lock"] {
      let folder = TestFolder()
      try make(folder.path)
      try FileManager.default.removeItem(atPath: folder.path + "/" + name)
      #expect(mkfifo(folder.path + "/" + name, 0o600) == 0)
      let store = try? ContentStore(opening: folder.path, writable: true)
      #expect(name == "root" ? store == nil : store?.lostPacks.count ?? 0 <= 1)
    }
  }

  /// What is not the store's own stays where it is.
  @Test func othersFilesAreNotRemoved() throws {
    let folder = TestFolder()
    try make(folder.path)
    let packs = folder.path + "/packs/"
    for name in ["notes.txt", "0000000000000002.pack", "000000000000000G.pack", "2.pack"] {
      try Data([1]).write(to: URL(fileURLWithPath: packs + name))
    }
    try Data([1]).write(to: URL(fileURLWithPath: folder.path + "/root.new"))
    _ = try ContentStore(opening: folder.path, writable: false)
    #expect(try FileManager.default.contentsOfDirectory(atPath: packs).count == 5)
    _ = try ContentStore(opening: folder.path, writable: true)
    #expect(
      Set(try FileManager.default.contentsOfDirectory(atPath: packs)) == [
        "notes.txt", "0000000000000001.pack", "000000000000000G.pack", "2.pack",
      ])
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/root.new"))
  }
}
