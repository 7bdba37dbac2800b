// Whole ways: a guest that knows what its disk and its memory have to hold, backups of it while it runs, machines made of them.
// The expectations are the guest's own (TestROMs/snapshots/keeper.asm), and the hash of a run that nobody disturbed.

import Host
import Images
import Machine
import Session
import Snapshots
import Storage
import Testing

@testable import Backup

@Suite struct MachineBackupTests {
  /// The BIOS needs so many; then the guest begins.
  private let booted: UInt64 = 150_000_000

  private func undisturbed() throws -> (end: UInt64, hash: UInt64) {
    let scratch = try Scratch()
    let session = try keeper(try scratch.image()) { $0.snapshots = .none }
    #expect(try session.run() == .guestExit(3))
    let hash = session.stateHash
    return (finished(session).machine.instructions, hash)
  }

  @Test(arguments: ["raw", "qcow2"]) func everyPointBecomesTheMachine(format: String) throws {
    let (end, hash) = try undisturbed()
    let scratch = try Scratch()
    let image = try scratch.image("d." + format, format: format)
    let folder = scratch.path("backups")
    var names: [String] = []
    do {
      let session = try keeper(image)
      for n in 0..<5 {
        try session.run(until: .instruction(booted + UInt64(n) * (end - booted) / 6))
        // A snapshot between them is nothing to them.
        if n == 2 { _ = try session.takeSnapshot(SnapshotWish("between")) }
        if n == 3 { _ = try session.goBack(to: "between") }
        let result = try session.makeBackup(BackupWish(machine: "keeper"), in: folder)
        session.collectSnapshots()
        names.append(result.point.name)
        #expect((result.whole == nil) == (n > 0), "\(n): \(result.whole ?? "")")
        #expect(result.point.hasMachine && result.pause != nil)
        if n > 0 { #expect(result.readBytes < 16 << 20) }
      }
      // There is one base, and nobody comes from it.
      let tree = try #require(session.snapshotTree)
      #expect(tree.snapshots.filter { $0.kind == .base }.count == 1)
      #expect(
        tree.snapshots.allSatisfy {
          $0.kind != .base || ($0.memory == .zero && !$0.isTemporary)
        })
      #expect(tree.current?.name == "between")
      #expect(try session.run() == .guestExit(3))
      #expect(session.stateHash == hash)
      #expect(finished(session).losses.isEmpty)
    }
    // The next run's backups go on from the base, too. The guest finds a disk that is not its own then, and says so at some time.
    var last: (end: SessionEnd, hash: UInt64)?
    do {
      let session = try keeper(image) { $0.snapshots = .automatic }
      try session.run(until: .instruction(booted))
      let result = try session.makeBackup(BackupWish(machine: "keeper"), in: folder)
      #expect(result.whole == nil)
      names.append(result.point.name)
      last = (try session.run(), session.stateHash)
      _ = finished(session)
    }
    let backups = try BackupFolder(folder, writable: false)
    #expect(backups.verify().isSound)
    for (n, name) in names.enumerated() {
      var wish = RestoreWish(scratch.path("r\(n).img"))
      wish.format = ["raw", "qcow2", "vdi"][n % 3]
      let result = try backups.restore(try backups.point(name), wish)
      #expect(result.goesOn && result.disks.count == 1)
      let session = try keeper(wish.image) { $0.snapshots = .automatic }
      #expect(session.snapshotTree?.current?.name == name)
      #expect(try session.run() == (n < 5 ? .guestExit(3) : last?.end))
      #expect(session.stateHash == (n < 5 ? hash : last?.hash), "from \(name)")
      #expect(finished(session).losses.isEmpty)
    }
    #expect(!scratch.names.contains { $0.hasSuffix(".restoring") })
  }

  @Test func aSnapshotIsCopiedOutWhileTheMachineRuns() throws {
    let (end, _) = try undisturbed()
    let scratch = try Scratch()
    let image = try scratch.image()
    let session = try keeper(image)
    try session.run(until: .instruction(booted + (end - booted) / 3))
    _ = try session.takeSnapshot(SnapshotWish("one"))
    let first = scratch.path("first.img")
    _ = try session.exportSnapshot("one", drive: nil, CreateRequest(first))
    try session.run(until: .instructions((end - booted) / 3))
    _ = try session.takeSnapshot(SnapshotWish("two"))
    try session.run(until: .instructions((end - booted) / 6))
    // It has become another disk, and shows the same.
    let again = scratch.path("again.qcow2")
    _ = try session.exportSnapshot("one", drive: "disk0", CreateRequest(again, format: "qcow2"))
    _ = try session.exportSnapshot("two", drive: nil, CreateRequest(scratch.path("two.img")))
    #expect(throws: StorageError.self) {
      try session.exportSnapshot("one", drive: "disk3", CreateRequest(scratch.path("x.img")))
    }
    _ = finished(session)
    func bytes(_ name: String) throws -> [UInt8] {
      let disk = try DiskImage(ImageReference(scratch.path(name)), .reading)
      return try contents(disk.device)
    }
    let (one, other, two) = (try bytes("first.img"), try bytes("again.qcow2"), try bytes("two.img"))
    #expect(one == other)
    #expect(one != two)
  }

  @Test func anImageWithoutItsTreeIsReadAsAWhole() throws {
    let scratch = try Scratch()
    let image = try scratch.image()
    let folder = scratch.path("backups")
    let session = try keeper(image)
    try session.run(until: .instruction(booted * 2))
    _ = try session.makeBackup(BackupWish(machine: "keeper"), in: folder)
    _ = finished(session)
    // Copied without its tree: another machine begins, and its contents are there already.
    let copy = scratch.path("copy.img")
    try FileMover.copy(image, to: copy)
    let other = try keeper(copy)
    var wish = BackupWish(machine: "copy")
    wish.onlyDisks = true
    let result = try other.makeBackup(wish, in: folder)
    #expect(result.whole != nil && result.readBytes > 0)
    #expect(result.newBytes < 100_000, "\(result.newBytes)")
    #expect(!result.point.hasMachine)
    _ = finished(other)
    let backups = try BackupFolder(folder, writable: false)
    #expect(try backups.contents(of: "backup-2") == contents(try attachment(copy).device))
  }
}
