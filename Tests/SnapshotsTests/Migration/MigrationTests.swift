// Machines that move to another session while they run: a guest that knows what its disk and its memory have to hold goes on there.
// The expectations are the guest's own (TestROMs/snapshots/keeper.asm), and the hashes of a run that nobody disturbed; that at most one
// end runs is looked at after a cut at every message.

import CPU
import Host
import Images
import Machine
import Session
import Snapshots
import Storage
import TestSupport
import Testing

@testable import Migration

@Suite struct MigrationTests {
  private func parts(_ session: Session) -> [String: UInt64] {
    let all = session.perform { (machine) -> [(name: String, hash: UInt64)] in machine.partHashes()
    }
    return Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0.hash) })
  }

  /// How the run ends that nobody disturbs.
  private func undisturbed(_ scratch: Scratch, _ engine: Engine) throws -> [String: UInt64] {
    let session = try keeper(try scratch.image("u.img"), engine: engine) { $0.snapshots = .none }
    #expect(try session.run() == .guestExit(3))
    defer { _ = finished(session) }
    return parts(session)
  }

  @Test(arguments: [Engine.translator, .interpreter], [false, true])
  func machinesGoOnElsewhereAsTheyWouldHave(engine: Engine, carries: Bool) throws {
    let scratch = try Scratch()
    let end = try undisturbed(scratch, engine)
    for format in ["raw", "qcow2", "vdi"] {
      let image = try scratch.image("d.\(format)", format: format)
      var session = try keeper(image, engine: engine) {
        $0.snapshots = carries ? .none : .wanted
      }
      try session.run(until: .instruction(151_000_000))
      // From one to the next and on.
      for turn in 0..<3 {
        let (a, b) = try HostStream.pair()
        let other = carries ? try scratch.image("c\(turn).\(format)", format: format) : nil
        let departure = try Departure(session, over: a, runs: turn != 1, carries: carries)
        let arrival = try Arrival.take(b, engine: engine, image: other)
        guard case .success(.moved(let report))? = departure.join(), case .runs(let next) = arrival
        else {
          Issue.record("\(format) \(turn): \(arrival), \(String(describing: departure.join()))")
          return
        }
        #expect(report.rounds >= 1 && report.pages > 0)
        let outcome = finished(session)
        #expect(outcome.losses.isEmpty)
        session = next
        try session.run(until: .instructions(7_000_001))
      }
      #expect(try session.run() == .guestExit(3), "\(format)")
      #expect(parts(session) == end, "\(format)")
      #expect(finished(session).losses.isEmpty)
    }
  }

  /// Snapshots go where their disk goes.
  @Test func theTreeOfADiskThatBothEndsHaveMovesAlong() throws {
    let scratch = try Scratch()
    let image = try scratch.image()
    let first = try keeper(image)
    try first.run(until: .instruction(160_000_000))
    _ = try first.takeSnapshot(SnapshotWish("before"))
    let (a, b) = try HostStream.pair()
    let departure = try Departure(first, over: a, runs: false)
    guard case .runs(let second) = try Arrival.take(b, engine: .translator) else {
      Issue.record("does not arrive")
      return
    }
    _ = departure.join()
    // The first has nothing to do with it any more.
    #expect(throws: StorageError.self) { try first.takeSnapshot(SnapshotWish("late")) }
    try second.run(until: .instructions(20_000_000))
    _ = try second.goBack(to: "before")
    _ = try second.takeSnapshot(SnapshotWish("after"))
    #expect(finished(first).losses.isEmpty)
    #expect(try second.run() == .guestExit(3))
    #expect(finished(second).losses.isEmpty)
    let tree = try SnapshotTree(opening: SnapshotTree.folder(of: image), writable: false)
    #expect(tree.snapshots.map(\.name) == ["before", "after"])
  }

  /// The connection is cut at each message, at either end: never do both run, and what stands goes on when somebody decides.
  @Test(arguments: [false, true])
  func atMostOneEndRunsWhereverItIsCut(carries: Bool) throws {
    let scratch = try Scratch()
    var doubts = 0
    for isSender in [true, false] {
      var at = 0
      while true {
        let image = try scratch.image("d\(isSender)\(at).img")
        let other = carries ? try scratch.image("c\(isSender)\(at).img", bytes: 16 << 20) : nil
        let first = try keeper(image) { $0.snapshots = carries ? .none : .wanted }
        try first.run(until: .instruction(151_000_000))
        let (a, b) = try HostStream.pair()
        let near: any ByteLink = isSender ? RoughLink(a, cutAfter: at) : a
        let far: any ByteLink = isSender ? b : RoughLink(b, cutAfter: at)
        let departure = try Departure(first, over: near, runs: false, carries: carries)
        let arrival = try Arrival.take(far, engine: .translator, image: other)
        let (end, doubt) = departure.result()
        var runs: [Session] = []
        switch arrival {
        case .runs(let second): runs.append(second)
        case .doubt(let there, let second):
          // It is dropped here, and runs there with the code.
          if let doubt {
            doubts += 1
            let right = try there.drop()
            #expect(throws: StorageError.self) { try doubt.resume(MigrationRight()) }
            try doubt.resume(MigrationRight("\(right)"))
            #expect(throws: StorageError.self) { try doubt.drop() }
          }
          _ = second
        case .failed: break
        }
        if case .runs = arrival, let doubt {
          // Whoever has the right runs; the other stands until it is told.
          doubts += 1
          _ = try doubt.drop()
        }
        let result = departure.join()
        switch result {
        case .failure: runs.append(first)
        case .success(.decided(let doubt)) where doubt.decision == .runs: runs.append(first)
        default: break
        }
        if case .doubt(let there, let second) = arrival, doubt == nil {
          // It is known there that the machine stays: here nobody knows, and it stands.
          #expect(there.decision == nil)
          if case .success(.moved)? = end { Issue.record("\(at): moved, and in doubt") }
          _ = second
        }
        #expect(runs.count == 1, "\(isSender) \(at): \(runs.count) run")
        if at % 7 == 0 || doubt != nil, let machine = runs.first {
          #expect(try machine.run() == .guestExit(3), "\(isSender) \(at)")
        }
        for session in runs + [first] where !session.isFinished { _ = finished(session) }
        if case .success(.moved)? = result { break }
        // All of them near the end, where it matters.
        at += carries && at > 6 && at < 40 ? 3 : 1
        try #require(at < 500)
      }
      #expect(at >= (isSender ? 8 : 3))
    }
    #expect(doubts >= 1)
  }

  @Test func whatIsChangedOnItsWayIsRefused() throws {
    let scratch = try Scratch()
    var random = TestRandom(seed: 11)
    for turn in 0..<60 {
      let image = try scratch.image("d\(turn).img")
      let first = try keeper(image) { $0.snapshots = .none }
      try first.run(until: .instruction(150_000_000))
      let (a, b) = try HostStream.pair()
      let rough = RoughLink(a)
      let (at, kind) = (Int(random.next() % 20), turn % 3)
      rough.change = { number, bytes in
        guard number == at, !bytes.isEmpty else { return }
        switch kind {
        case 0: bytes[Int(random.next() % UInt64(bytes.count))] ^= 1 << UInt8(random.next() % 8)
        case 1: bytes.removeLast(1 + Int(random.next() % UInt64(bytes.count)))
        default:
          // What is changed has the right check: what reads it has to find it.
          guard bytes.count > 24 else { return }
          let place = 24 + Int(random.next() % UInt64(min(bytes.count - 24, 200)))
          bytes[place] = UInt8(truncatingIfNeeded: random.next())
          RoughLink.recheck(&bytes)
        }
      }
      let departure = try Departure(first, over: rough, runs: false)
      let arrival = try Arrival.take(b, engine: .translator)
      if case .doubt(let there, _) = arrival {
        if let doubt = departure.result().doubt { _ = try doubt.resume(try there.drop()) }
      }
      if case .runs(let second) = arrival {
        // What a guest has in memory may be anything.
        _ = try second.run(until: .instructions(20_000))
        _ = departure.result().doubt.map { _ = try? $0.drop() }
        _ = departure.join()
        _ = second.finish()
        second.close()
      }
      _ = departure.join()
      if !first.isFinished { _ = finished(first) }
    }
  }

  @Test func onlyWhoKnowsTheSecretIsHeard() throws {
    let secret = try #require(MigrationSecret(Array("a secret of some length\n".utf8)))
    #expect(MigrationSecret(Array("too short\n".utf8)) == nil)
    let other = try #require(MigrationSecret(Array("another secret of some length".utf8)))
    try #require(TLSLibrary.shared != nil, "OpenSSL is not installed")
    let end = HostClock.nanoseconds() &+ 10_000_000_000
    func connect(_ secrets: (MigrationSecret, MigrationSecret)) throws -> (TLSLink?, TLSLink?) {
      let (a, b) = try HostStream.pair()
      nonisolated(unsafe) var far: TLSLink?
      let thread = try HostThread {
        far = try? TLSLink(b, secrets.1, isServer: true, until: end)
        if far == nil { b.close() }
      }
      let near = try? TLSLink(a, secrets.0, isServer: false, until: end)
      if near == nil { a.close() }
      thread.join()
      return (near, far)
    }
    let (near, far) = try connect((secret, secret))
    let (one, two) = (try #require(near), try #require(far))
    // Messages of all sizes, both ways.
    nonisolated(unsafe) let there = MigrationLink(two, to: "there")
    let here = MigrationLink(one, to: "here")
    let sizes = [0, 1, 15, 16, 4096]
    let thread = try HostThread {
      for size in sizes {
        guard let (kind, bytes) = try? there.receive(), kind == .stay, bytes.count == size else {
          return
        }
        try? there.send(.refused, Array(bytes))
      }
    }
    for size in sizes {
      try here.send(.stay, [UInt8](repeating: 7, count: size))
      let (kind, bytes) = try here.receive()
      #expect(kind == .refused && Array(bytes) == [UInt8](repeating: 7, count: size))
    }
    thread.join()
    let (wrong, nobody) = try connect((secret, other))
    #expect(wrong == nil && nobody == nil)
  }

  @Test func machinesThatDoNotFitAreRefusedAndGoOn() throws {
    let scratch = try Scratch()
    let image = try scratch.image()
    let first = try keeper(image)
    try first.run(until: .instruction(150_000_000))
    let (a, b) = try HostStream.pair()
    let departure = try Departure(first, over: a, runs: false)
    let receiver = MigrationReceiver(MigrationLink(b, to: "here"))
    let offer = try receiver.hear()
    #expect(offer.disks.count == 1 && offer.disks[0].path.hasSuffix("d.img"))
    let other = try keeper(try scratch.image("e.img")) {
      $0.machine.memoryMegabytes = 8
      $0.snapshots = .none
    }
    #expect(throws: StorageError.self) {
      try other.perform { (machine) throws(StorageError) in _ = try receiver.take(machine, [:]) }
    }
    guard case .failure(let error)? = departure.join() else {
      Issue.record("was not refused")
      return
    }
    #expect(error.reason.contains("pages of memory"), "\(error)")
    #expect(try first.run() == .guestExit(3))
    _ = finished(first)
    _ = finished(other)
  }

  /// Somebody else has the disk when the machine may run: it goes on where it was.
  @Test func aDiskThatCannotBeHadLeavesTheMachineWhereItWas() throws {
    let scratch = try Scratch()
    let image = try scratch.image()
    let first = try keeper(image)
    try first.run(until: .instruction(150_000_000))
    let (a, b) = try HostStream.pair()
    let departure = try Departure(first, over: a, runs: false)
    let receiver = MigrationReceiver(MigrationLink(b, to: "here"))
    let disk = try receiver.hear().disks[0]
    let other = try keeper("") {
      $0.drives[.disk(0)] = nil
      $0.machine.disks[0] = MachineImage(
        OpenedImage(
          path: disk.path,
          device: AbsentDevice(
            name: disk.path, blockSize: disk.blockSize, blockCount: disk.blockCount),
          medium: .disk(physical: disk.physical!, translated: disk.translated!)))
      $0.snapshots = .automatic
      $0.disksComeLater = true
    }
    let arrival = try other.perform { (machine) throws(StorageError) in
      try receiver.take(machine, [:])
    }
    guard case .mayRun = arrival else {
      Issue.record("does not arrive")
      return
    }
    receiver.tellFailure("the disk is in use")
    guard case .failure(let error)? = departure.join() else {
      Issue.record("is not told")
      return
    }
    #expect(error.reason.contains("the disk is in use"), "\(error)")
    _ = try first.takeSnapshot(SnapshotWish("goes on"))
    #expect(try first.run() == .guestExit(3))
    #expect(finished(first).losses.isEmpty)
  }
}

extension RoughLink {
  /// Gives a frame with what follows it the check that it should have.
  static func recheck(_ bytes: inout [UInt8]) {
    let check = bytes.withUnsafeBytes { all in
      MigrationFrame.check(
        (
          UInt64(littleEndian: all.loadUnaligned(as: UInt64.self)),
          UInt64(littleEndian: all.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        ), UnsafeRawBufferPointer(rebasing: all[24...]), .init(start: nil, count: 0))
    }
    for n in 0..<8 { bytes[16 + n] = UInt8(truncatingIfNeeded: check >> UInt64(8 * n)) }
  }
}
