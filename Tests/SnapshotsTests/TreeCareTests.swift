// Trees that somebody has moved, damaged or reached by another name: nothing is given up for what is not there.

import Foundation
import Host
import Machine
import Session
import Storage
import Store
import TestSupport
import Testing

@testable import Snapshots

@Suite struct TreeCareTests {
  @Test func aLinkHasTheTreeOfWhatItLeadsTo() throws {
    let scratch = try Scratch()
    let image = try scratch.image()
    let link = scratch.path("link.img")
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: image)
    let first = try keeper(link)
    try first.run(until: .instruction(151_000_000))
    _ = try first.takeSnapshot(SnapshotWish("a"))
    #expect(finished(first).losses.isEmpty)
    let folder = SnapshotTree.folder(of: image)
    #expect(HostProcess.resolved(SnapshotTree.folder(of: link)) == HostProcess.resolved(folder))
    let tree = try SnapshotTree(opening: folder, writable: false)
    #expect(tree.snapshots.map(\.name) == ["a"])
    // And the other way round.
    let second = try keeper(image)
    #expect(second.snapshotTree?.snapshots.map(\.name) == ["a"])
    _ = finished(second)
  }

  @Test func disksThatChangedPlacesAreRefused() throws {
    let scratch = try Scratch()
    let images = try [scratch.image("a.img"), scratch.image("b.img"), scratch.image("c.img")]
    func start(_ order: [Int]) throws -> Session {
      try keeper(images[0]) {
        $0.drives[.disk(1)] = .file(images[order[0]])
        $0.drives[.disk(2)] = .file(images[order[1]])
        $0.resumesSnapshot = false
      }
    }
    let first = try start([1, 2])
    try first.run(until: .instruction(150_000_000))
    _ = try first.takeSnapshot(SnapshotWish("there"))
    _ = finished(first)
    let folder = SnapshotTree.folder(of: images[0])
    let before = try HostFiles.read(folder + "/store/root", limit: 1 << 24)
    let error = #expect(throws: SessionError.self) { _ = try start([2, 1]) }
    #expect(error?.reason.contains("was disk") == true, "\(String(describing: error))")
    // Nothing of it is noted.
    #expect(try HostFiles.read(folder + "/store/root", limit: 1 << 24) == before)
    _ = finished(try start([1, 2]))
  }

  @Test func nothingIsGivenUpForASnapshotThatIsDamaged() throws {
    let scratch = try Scratch()
    let image = try scratch.image()
    let first = try keeper(image)
    try first.run(until: .instruction(300_000_000))
    _ = try first.takeSnapshot(SnapshotWish("there"))
    try first.run(until: .instruction(400_000_000))
    #expect(finished(first).losses.isEmpty)
    let folder = SnapshotTree.folder(of: image)
    let packs = HostFiles.names(in: folder + "/store/packs").filter { $0.hasSuffix(".pack") }
    for pack in packs {
      try HostFiles.writeAtomically(folder + "/store/packs/" + pack, [])
    }
    let disk = try HostFiles.read(image, limit: 1 << 26)
    let tree = try SnapshotTree(opening: folder, writable: true)
    let attached = try attachment(image)
    try tree.attach([attached])
    #expect(throws: StorageError.self) { try tree.restore("there", onlyDisks: false) }
    tree.abandon()
    attached.device.close()
    #expect(try HostFiles.read(image, limit: 1 << 26) == disk)
  }

  @Test func aDamagedRootHasACopy() throws {
    let scratch = try Scratch()
    let image = try scratch.image()
    let first = try keeper(image)
    try first.run(until: .instruction(151_000_000))
    _ = try first.takeSnapshot(SnapshotWish("there"))
    #expect(finished(first).losses.isEmpty)
    let store = SnapshotTree.folder(of: image) + "/store"
    #expect(try !ContentStore.repairRoot(store, keys: nil))
    let whole = try HostFiles.read(store + "/root", limit: 1 << 24)
    var random = TestRandom(seed: 3)
    for _ in 0..<40 {
      var bytes = whole
      bytes[Int(random.next() % UInt64(bytes.count))] ^= 1 << UInt8(random.next() % 8)
      try HostFiles.writeAtomically(store + "/root", bytes)
      #expect(throws: StorageError.self) {
        try SnapshotTree(opening: SnapshotTree.folder(of: image), writable: false)
      }
      #expect(try ContentStore.repairRoot(store, keys: nil))
      #expect(try HostFiles.read(store + "/root", limit: 1 << 24) == whole)
    }
    // Where both are damaged, neither is touched.
    var bytes = whole
    bytes[70] ^= 1
    try HostFiles.writeAtomically(store + "/root", bytes)
    try HostFiles.writeAtomically(store + "/root.copy", bytes)
    #expect(throws: StorageError.self) { try ContentStore.repairRoot(store, keys: nil) }
    #expect(try HostFiles.read(store + "/root", limit: 1 << 24) == bytes)
  }
}
