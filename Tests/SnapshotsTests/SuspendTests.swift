// A machine that is kept as it is when its run is ended from outside, and goes on at its next start.
// The expectations are the guest's own (TestROMs/snapshots/keeper.asm), and the hash of a run that nobody disturbed.

import CPU
import Host
import Machine
import Session
import Snapshots
import Storage
import TestSupport
import Testing

@Suite struct SuspendTests {
  @Test func aMachineThatIsEndedFromOutsideGoesOn() throws {
    let scratch = try Scratch()
    let alone = try keeper(try scratch.image("alone.img")) { $0.snapshots = .none }
    #expect(try alone.run() == .guestExit(3))
    let hash = alone.stateHash
    let end = finished(alone).machine.instructions
    let image = try scratch.image()
    var instruction: UInt64 = 0
    for stop in [HostStop.user, .signal(15), .signal(1)] {
      let session = try keeper(image) { $0.suspendsAtEnd = true }
      #expect(session.perform { (machine) -> UInt64 in machine.instructionCount } == instruction)
      try session.run(until: .instructions(end / 4))
      session.stop(stop)
      try session.run()
      instruction = session.perform { (machine) -> UInt64 in machine.instructionCount }
      #expect(finished(session).losses.isEmpty)
      // Who only looks, or takes one of the disks, leaves it where it is.
      let tree = try SnapshotTree(opening: SnapshotTree.folder(of: image), writable: true)
      #expect(tree.resumed != nil)
      try tree.attach([attachment(image)])
      _ = try tree.take(SnapshotWish("disks of \(instruction)"), hold: nil)
      try tree.finish()
    }
    let last = try keeper(image) { $0.suspendsAtEnd = true }
    #expect(try last.run() == .guestExit(3))
    #expect(last.stateHash == hash)
    #expect(finished(last).losses.isEmpty)
    // The guest's own end leaves nothing to go on from.
    let tree = try SnapshotTree(opening: SnapshotTree.folder(of: image), writable: false)
    #expect(tree.resumed == nil)
    #expect(tree.snapshots.allSatisfy { $0.kind == .disks })
  }

  @Test func theClockThatIsSetAheadIsRepeatedByAReplay() throws {
    let scratch = try Scratch()
    let path = scratch.path("r.rec")
    let session = try keeper(try scratch.image()) {
      $0.snapshots = .none
      $0.record = path
      $0.drives[.disk(0)] = .file(scratch.path("d.img"), .snapshot)
    }
    try session.run(until: .instruction(200_000_000))
    let before = session.perform { (machine) -> [UInt8] in (0..<10).map { machine.cmos[$0] } }
    session.perform { (machine) in machine.input.post(.clock(seconds: 86_400 + 61)) }
    try session.run(until: .instruction(210_000_000))
    let after = session.perform { (machine) -> [UInt8] in (0..<10).map { machine.cmos[$0] } }
    #expect(before[7] != after[7] && before[6] != after[6])
    #expect(try session.run() == .guestExit(3))
    let hash = session.stateHash
    _ = finished(session)
    let recording = try Recording(try HostFiles.read(path, limit: 1 << 30))
    let again = try keeper(scratch.path("d.img")) {
      $0.snapshots = .none
      $0.drives[.disk(0)] = .file(scratch.path("d.img"), .snapshot)
      $0.adopt(NamedRecording(recording, path: path))
    }
    #expect(try again.run() == .guestExit(3))
    #expect(again.stateHash == hash)
    _ = finished(again)
  }
}
