// Whole ways: a guest that knows what its disk and its memory have to hold, and says so, while snapshots of it are taken, gone back to and
// deleted, in one process and in the next.
// The expectations are the guest's own (TestROMs/snapshots/keeper.asm), and the hash of a run that nobody disturbed.

import CPU
import Host
import Machine
import Session
import Snapshots
import Storage
import TestSupport
import Testing

/// Where the guest ends when nobody disturbs it, and what it is then.
private func undisturbed() throws -> (end: UInt64, hash: UInt64) {
  let scratch = try Scratch()
  let session = try keeper(try scratch.image()) { $0.snapshots = .none }
  #expect(try session.run() == .guestExit(3))
  let hash = session.stateHash
  return (finished(session).machine.instructions, hash)
}

/// The BIOS needs so many; then the guest begins.
private let booted: UInt64 = 150_000_000

@Suite struct KeeperTests {
  @Test(arguments: [Engine.translator, .interpreter])
  func takingShowsNothing(engine: Engine) throws {
    let (end, hash) = try undisturbed()
    let scratch = try Scratch()
    let session = try keeper(try scratch.image(), engine: engine)
    var random = TestRandom(seed: 3)
    for n in 0..<25 {
      try session.run(until: .instructions(1 + random.next() % (end / 20)))
      var wish = SnapshotWish()
      wish.onlyDisks = n % 5 == 4
      _ = try session.takeSnapshot(wish)
    }
    #expect(try session.run() == .guestExit(3))
    #expect(session.stateHash == hash)
    #expect(finished(session).losses.isEmpty)
  }

  @Test(arguments: ["raw", "qcow2", "vdi", "vhd", "vmdk", "vhdx"])
  func goingBackAndForthFitsTogether(format: String) throws {
    let (end, hash) = try undisturbed()
    let scratch = try Scratch()
    let image = try scratch.image("d." + format, format: format)
    let session = try keeper(image)
    var random = TestRandom(seed: 17)
    var hashes: [String: UInt64] = [:]
    try session.run(until: .instruction(booted))
    for _ in 0..<60 {
      let names = hashes.keys.sorted()
      switch random.next() % 6 {
      case 0, 1, 2:
        try session.run(until: .instructions(1 + random.next() % (end / 12)))
        let (snapshot, _) = try session.takeSnapshot(SnapshotWish())
        hashes[snapshot.name] = session.stateHash
      case 3, 4:
        guard !names.isEmpty else { continue }
        let name = names[Int(random.next() % UInt64(names.count))]
        let (snapshot, _) = try session.goBack(to: name)
        #expect(snapshot.name == name && session.stateHash == hashes[name])
        try session.run(until: .instructions(1 + random.next() % (end / 40)))
      default:
        guard names.count > 3 else { continue }
        let name = names[Int(random.next() % UInt64(names.count))]
        _ = try session.deleteSnapshots([name])
        hashes[name] = nil
      }
    }
    let tree = try #require(session.snapshotTree)
    let (damages, incomplete) = tree.verify()
    #expect(damages.isEmpty && incomplete.isEmpty)
    for name in hashes.keys.sorted() {
      _ = try session.goBack(to: name)
      #expect(session.stateHash == hashes[name])
    }
    #expect(try session.run() == .guestExit(3))
    #expect(session.stateHash == hash)
    #expect(finished(session).losses.isEmpty)
  }

  @Test func anotherProcessGoesOnFromIt() throws {
    let (_, hash) = try undisturbed()
    let scratch = try Scratch()
    let image = try scratch.image()
    var names: [String] = []
    do {
      let session = try keeper(image)
      for n in 0..<4 {
        try session.run(until: .instruction(booted + UInt64(n) * 90_000_000))
        names.append(try session.takeSnapshot(SnapshotWish("s\(n)")).0.name)
      }
      #expect(try session.run() == .guestExit(3))
      #expect(finished(session).losses.isEmpty)
    }
    for name in names.reversed() + names {
      do {
        let disk = try attachment(image)
        let tree = try SnapshotTree(
          opening: SnapshotTree.folder(of: image), writable: true)
        try tree.attach([disk])
        _ = try tree.restore(name, onlyDisks: false)
        try disk.device.finish()
        try tree.finish()
        disk.device.close()
      }
      let session = try keeper(image) { $0.snapshots = .automatic }
      #expect(session.snapshotTree?.current?.name == name)
      #expect(try session.run() == .guestExit(3))
      #expect(session.stateHash == hash, "from \(name)")
      #expect(finished(session).losses.isEmpty)
    }
  }

  @Test func aRunThatWasKilledLosesNoSnapshot() throws {
    let (_, hash) = try undisturbed()
    let scratch = try Scratch()
    let image = try scratch.image()
    let session = try keeper(image)
    for round in 0..<4 {
      try session.run(until: .instruction(booted + UInt64(round) * 50_000_000))
      _ = try session.takeSnapshot(SnapshotWish("s\(round)"))
      // What it writes from here on overwrites what the snapshot needs.
      try session.run(until: .instructions(100_000_000))
      // What another would find if it were killed here.
      let found = try Scratch()
      let copy = found.path("d.img")
      try FileMover.copy(image, to: copy)
      try FileMover.copy(SnapshotTree.folder(of: image), to: SnapshotTree.folder(of: copy))
      for name in (0...round).map({ "s\($0)" }) {
        let disk = try attachment(copy)
        let tree = try SnapshotTree(opening: SnapshotTree.folder(of: copy), writable: true)
        try tree.attach([disk])
        _ = try tree.restore(name, onlyDisks: false)
        try disk.device.finish()
        try tree.finish()
        disk.device.close()
        let other = try keeper(copy)
        #expect(try other.run() == .guestExit(3))
        #expect(other.stateHash == hash)
        #expect(finished(other).losses.isEmpty)
      }
      _ = try session.goBack(to: "s\(round)")
    }
    _ = finished(session)
  }

  @Test func aThrowAwaySnapshotIsGoneWithTheRun() throws {
    let scratch = try Scratch()
    let image = try scratch.image()
    let session = try keeper(image)
    try session.run(until: .instruction(booted))
    var wish = SnapshotWish("try")
    wish.isTemporary = true
    _ = try session.takeSnapshot(wish)
    _ = try session.takeSnapshot(SnapshotWish("stays"))
    try session.run(until: .instructions(50_000_000))
    _ = try session.goBack(to: "try")
    _ = finished(session)
    let tree = try SnapshotTree(opening: SnapshotTree.folder(of: image), writable: false)
    #expect(tree.snapshots.map(\.name) == ["stays"])
    #expect(tree.snapshots[0].parent == nil)
  }

  @Test func aMachineOfAnotherKindIsRefusedAndGoesOn() throws {
    let (_, hash) = try undisturbed()
    let scratch = try Scratch()
    let image = try scratch.image()
    do {
      let session = try keeper(image) { $0.machine.memoryMegabytes = 5 }
      try session.run(until: .instruction(booted))
      _ = try session.takeSnapshot(SnapshotWish("other"))
      _ = finished(session)
    }
    let fresh = try Scratch()
    // The same disk as it was at the beginning, with that tree.
    let clean = try fresh.image()
    try FileMover.move(SnapshotTree.folder(of: image), to: SnapshotTree.folder(of: clean))
    let disk = try attachment(clean)
    let tree = try SnapshotTree(opening: SnapshotTree.folder(of: clean), writable: true)
    try tree.accept([disk], keeping: true)
    disk.device.close()
    let session = try keeper(clean)
    try session.run(until: .instruction(booted))
    let error = #expect(throws: StorageError.self) { try session.goBack(to: "other") }
    #expect(error?.reason.contains("5 MB") == true)
    #expect(try session.run() == .guestExit(3))
    #expect(session.stateHash == hash)
  }
}
