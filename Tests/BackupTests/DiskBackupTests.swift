// Backups of disks alone, against a model in memory: while they are written, with snapshots in between, damaged, limited.

import Foundation
import Host
import Images
import Snapshots
import Storage
import Testing

@testable import Backup

enum FileMover {
  static func copy(_ path: String, to other: String) throws {
    try FileManager.default.copyItem(atPath: path, toPath: other)
  }
}

/// An open tree over one disk, and what the disk has to hold.
private final class Machine {
  let image: String
  let format: String
  var bytes: [UInt8]
  var tree: SnapshotTree
  var disk: TreeAttachment

  init(_ image: String, format: String, size: Int) throws {
    (self.image, self.format) = (image, format)
    bytes = [UInt8](repeating: 0, count: size)
    disk = try attachment(image, format: format)
    tree = try SnapshotTree(creating: SnapshotTree.folder(of: image), for: [disk])
  }

  func write(_ random: inout TestRandom) throws {
    let blocks = bytes.count / 512
    let block = Int(random.next() % UInt64(blocks))
    let count = min(Int(random.next() % 300) + 1, blocks - block)
    if random.next() % 4 == 0 {
      try disk.device.writeZeroes(block: UInt64(block), count: UInt64(count))
      for at in block * 512..<(block + count) * 512 { bytes[at] = 0 }
    } else {
      let value = UInt8(truncatingIfNeeded: random.next())
      let data = [UInt8](repeating: value, count: count * 512)
      try data.withUnsafeBytes { try disk.device.write(block: UInt64(block), from: $0) }
      bytes.replaceSubrange(block * 512..<(block + count) * 512, with: data)
    }
  }

  func reopen() throws {
    try disk.device.finish()
    try tree.finish()
    disk.device.close()
    disk = try attachment(image, format: format)
    tree = try SnapshotTree(opening: SnapshotTree.folder(of: image), writable: true)
    try tree.attach([disk])
  }

  func backup(_ folder: BackupFolder, during: @escaping BackupProgress = { _, _ in }) throws
    -> BackupResult
  {
    try folder.make(BackupWish(machine: "m"), from: tree, progress: during) {
      [tree] (wish) throws(StorageError) in try tree.take(wish, hold: nil)
    }
  }
}

@Suite struct DiskBackupTests {
  private let size = 5 * 65536 * 7 + 4096

  @Test(arguments: ["raw", "qcow2", "vhdx"], [UInt64(1), 2])
  func everyPointHoldsWhatTheDiskHeld(format: String, seed: UInt64) throws {
    let scratch = try Scratch()
    let image = try scratch.image("d." + format, bytes: UInt64(size), format: format)
    let machine = try Machine(image, format: format, size: size)
    let folder = try BackupFolder(scratch.path("b"), writable: true, makes: true)
    var random = TestRandom(seed: seed)
    var points: [String: [UInt8]] = [:]
    var snapshots: [String: [UInt8]] = [:]
    var whole = 0
    for _ in 0..<150 {
      switch random.next() % 12 {
      case 0...4: try machine.write(&random)
      case 5, 6, 7:
        // What is written while it is read is not in it.
        let before = machine.bytes
        var (others, failure) = (TestRandom(seed: random.next()), false)
        let result = try machine.backup(folder) { _, _ in
          do {
            try machine.write(&others)
            if others.next() % 4 == 0 {
              let (snapshot, _) = try machine.tree.take(SnapshotWish(), hold: nil)
              snapshots[snapshot.name] = machine.bytes
            }
          } catch { failure = true }
        }
        #expect(!failure)
        points[result.point.name] = before
        if result.whole != nil { whole += 1 }
      case 8:
        let (snapshot, _) = try machine.tree.take(SnapshotWish(), hold: nil)
        snapshots[snapshot.name] = machine.bytes
      case 9:
        guard let name = snapshots.keys.sorted().randomElement(using: &random) else { continue }
        if random.next() % 2 == 0 {
          _ = try machine.tree.restore(name, onlyDisks: true)
          machine.bytes = snapshots[name] ?? []
        } else {
          try machine.tree.delete([name])
          snapshots[name] = nil
        }
      case 10:
        guard let name = points.keys.sorted().randomElement(using: &random) else { continue }
        try folder.delete([try folder.point(name).id])
        points[name] = nil
      default: try machine.reopen()
      }
    }
    #expect(folder.verify().isSound)
    #expect(folder.points.count == points.count)
    for (name, bytes) in points {
      let same = try folder.contents(of: name) == bytes
      #expect(same, "\(name)")
    }
    // Only the first one, and those whose last had been deleted, were read as a whole.
    #expect(whole < 20)
    // Nothing is left of points that are gone.
    try folder.delete(Set(folder.points.map(\.id)))
    #expect(folder.usage().objects == 0)
    machine.disk.device.close()
  }

  /// A run that ends, or a base that is deleted, while the disk is read: no point, or a whole one.
  @Test(arguments: [0, 1, 2, 3, 4, 5]) func whatItIsMadeFromGoesAway(way: Int) throws {
    let scratch = try Scratch()
    let image = try scratch.image(bytes: UInt64(size))
    let machine = try Machine(image, format: "raw", size: size)
    let folder = try BackupFolder(scratch.path("b"), writable: true, makes: true)
    var random = TestRandom(seed: UInt64(way))
    for _ in 0..<60 { try machine.write(&random) }
    let before = machine.bytes
    var calls = 0
    do throws(StorageError) {
      let result = try folder.make(BackupWish(machine: "m"), from: machine.tree) { _, _ in
        calls += 1
        if calls != 3 { return }
        if way % 3 != 0 { for _ in 0..<60 { try? machine.write(&random) } }
        if way % 2 == 0 {
          try? machine.disk.device.finish()
          try? machine.tree.finish()
        } else {
          _ = try? machine.tree.delete(machine.tree.snapshots.map(\.id))
          if way == 5 { _ = try? machine.tree.take(SnapshotWish(), hold: nil) }
        }
        for _ in 0..<60 { try? machine.write(&random) }
      } take: { [tree = machine.tree] (wish) throws(StorageError) in
        try tree.take(wish, hold: nil)
      }
      let same = try? folder.contents(of: result.point.name) == before
      #expect(same == true)
    } catch {
      #expect(folder.points.isEmpty)
      #expect(error.reason.contains("ended") || error.reason.contains("deleted"), "\(error)")
    }
    #expect(folder.verify().isSound)
    machine.disk.device.close()
  }

  @Test func whatIsDamagedIsToldAndWrittenAnew() throws {
    let scratch = try Scratch()
    let image = try scratch.image(bytes: 64 * 65536)
    let machine = try Machine(image, format: "raw", size: 64 * 65536)
    var random = TestRandom(seed: 5)
    func fill() throws {
      let data = (0..<65536 * 8).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      try data.withUnsafeBytes { try machine.disk.device.write(block: 0, from: $0) }
      machine.bytes.replaceSubrange(0..<data.count, with: data)
    }
    var contents: [[UInt8]] = []
    do {
      let folder = try BackupFolder(scratch.path("b"), writable: true, makes: true)
      for _ in 0..<2 {
        try fill()
        _ = try machine.backup(folder)
        contents.append(machine.bytes)
      }
    }
    // A byte of a cluster of the second point.
    let packs = scratch.path("b/packs")
    let second = try #require(FileManager.default.contentsOfDirectory(atPath: packs).max())
    let handle = try #require(FileHandle(forUpdatingAtPath: packs + "/" + second))
    try handle.seek(toOffset: 200_000)
    let byte = try #require(try handle.read(upToCount: 1)?.first)
    try handle.seek(toOffset: 200_000)
    try handle.write(contentsOf: Data([byte ^ 0x10]))
    try handle.close()
    do {
      let folder = try BackupFolder(scratch.path("b"), writable: true)
      let found = folder.verify()
      #expect(found.damages.count == 1 && found.incomplete.map(\.point.name) == ["backup-2"])
      try folder.note(found)
      // The other one is as good as ever; of this one nothing comes out.
      #expect(try folder.contents(of: "backup-1") == contents[0])
      #expect(throws: StorageError.self) { try folder.contents(of: "backup-2") }
      #expect(throws: (any Error).self) {
        try folder.export(0, of: try folder.point("backup-2"), CreateRequest(scratch.path("x.img")))
      }
      #expect(throws: (any Error).self) {
        try folder.restore(try folder.point("backup-2"), RestoreWish(scratch.path("y.img")))
      }
      #expect(scratch.names == ["b", "d.img", "d.img.snapshots"])
    }
    do {
      // It holds the same: everything is read, what is damaged is written anew, and both are whole.
      let folder = try BackupFolder(scratch.path("b"), writable: true)
      #expect(try folder.point("backup-2").damage != "")
      let result = try machine.backup(folder)
      #expect(result.whole == "the last one is damaged" && result.newBytes == 65536)
      #expect(folder.verify().isSound)
      #expect(folder.points.allSatisfy { $0.damage.isEmpty })
      #expect(try folder.contents(of: "backup-2") == contents[1])
      #expect(try machine.backup(folder).whole == nil)
    }
    machine.disk.device.close()
  }

  @Test func aFolderThatIsFullLosesNothing() throws {
    let scratch = try Scratch()
    let image = try scratch.image(bytes: 64 * 65536)
    let machine = try Machine(image, format: "raw", size: 64 * 65536)
    let folder = try BackupFolder(scratch.path("b"), writable: true, makes: true)
    var random = TestRandom(seed: 6)
    _ = try machine.backup(folder)
    try folder.setQuota(1 << 20)
    let data = (0..<65536 * 32).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    try data.withUnsafeBytes { try machine.disk.device.write(block: 0, from: $0) }
    machine.bytes.replaceSubrange(0..<data.count, with: data)
    let error = #expect(throws: StorageError.self) { try machine.backup(folder) }
    #expect(error?.lacksRoom == true && error?.reason.contains("quota") == true)
    #expect(folder.points.count == 1 && folder.verify().isSound)
    #expect(machine.tree.snapshots.filter { $0.kind == .base }.count == 1)
    // With room the next one goes on from the last that there is.
    try folder.setQuota(nil)
    let result = try machine.backup(folder)
    #expect(result.whole == nil && result.readBytes == 65536 * 32)
    #expect(try folder.contents(of: result.point.name) == machine.bytes)
    machine.disk.device.close()
  }

  @Test func aFileThatWasNotWrittenIsNotRead() throws {
    let scratch = try Scratch()
    let image = try scratch.image(bytes: 10 * 65536 + 512)
    let handle = try #require(FileHandle(forWritingAtPath: image))
    try handle.write(contentsOf: Data((0..<100_000).map { UInt8(truncatingIfNeeded: $0) }))
    try handle.close()
    let folder = try BackupFolder(scratch.path("b"), writable: true, makes: true)
    func make() throws -> BackupResult {
      let opened = try ImageOpener.open(path: "raw:" + image, kind: .disk, readOnly: true)
      defer { opened.device.close() }
      return try folder.make(
        BackupWish(machine: "m"),
        of: [PlainDisk(drive: "medium-disk0", path: SnapshotTree.ownImage, device: opened.device)])
    }
    // It was written a moment ago: the host's clock may not tell a write that follows.
    #expect(try make().whole != nil)
    HostFiles.setTime(image, seconds: HostClock.utcSeconds() - 100)
    #expect(try make().whole != nil)
    let third = try make()
    #expect(third.whole == nil && third.readBytes == 0)
    HostFiles.setTime(image, seconds: HostClock.utcSeconds() - 50)
    #expect(try make().newBytes == 0)
    let opened = try ImageOpener.open(path: "raw:" + image, kind: .disk, readOnly: true)
    #expect(try folder.contents(of: third.point.name) == contents(opened.device))
  }

  @Test func namesAndMachinesAreChecked() throws {
    let scratch = try Scratch()
    let image = try scratch.image(bytes: 65536)
    let folder = try BackupFolder(scratch.path("b"), writable: true, makes: true)
    let opened = try ImageOpener.open(path: "raw:" + image, kind: .disk, readOnly: true)
    func make(_ name: String?, _ machine: String = "m") throws {
      var wish = BackupWish(machine: machine)
      wish.name = name
      _ = try folder.make(
        wish, of: [PlainDisk(drive: "medium-disk0", path: "d.img", device: opened.device)])
    }
    try make("one")
    for name in ["one", "", "latest", "a\u{1B}b", String(repeating: "x", count: 201)] {
      let error = #expect(throws: StorageError.self) { try make(name) }
      #expect(error?.isUsage == true, "\(name)")
    }
    #expect(throws: StorageError.self) { try make("two", "") }
    try make(nil)
    #expect(folder.points.map(\.name) == ["one", "backup-2"])
    #expect(try folder.point("latest").name == "backup-2")
    #expect(try folder.point(String(folder.points[0].id.prefix(6))).name == "one")
    #expect(throws: StorageError.self) { try folder.point("three") }
    // Others wait for who writes, and then say why they could not.
    let error = #expect(throws: StorageError.self) {
      _ = try BackupFolder(scratch.path("b"), writable: true, patience: 0)
    }
    #expect(error?.asksAgain == true)
  }
}
