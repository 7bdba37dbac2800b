// Whole ways with templates: a guest that knows what its disk and its memory have to hold goes on from one, again and again, while the
// machine it was made of goes on as well.
// The expectations are the guest's own (TestROMs/snapshots/keeper.asm), and the hashes of a run that nobody disturbed.

import CPU
import Host
import Machine
import Session
import Snapshots
import Storage
import TestSupport
import Testing

@Suite struct TemplateTests {
  /// Makes a template of an image's last snapshot.
  private func template(_ image: String, _ path: String) throws -> MachineTemplate {
    let tree = try SnapshotTree(opening: SnapshotTree.folder(of: image), writable: false)
    let opened = try ImageOpener.open(path: image, kind: .disk, readOnly: true)
    defer { opened.device.close() }
    guard case .disk(let physical, let translated) = opened.medium else {
      throw StorageError(path: image, reason: "no disk")
    }
    let record = try #require(tree.snapshots.last)
    let disk = TemplateHeader.Disk(
      drive: "medium-disk0", name: image, physical: physical, translated: translated,
      byteCount: opened.device.blockCount * UInt64(opened.device.blockSize))
    _ = try tree.makeTemplate(
      of: record, disks: [(disk, try tree.disk(0, of: record, over: opened.device))], to: path)
    return try MachineTemplate(path)
  }

  private func session(_ template: MachineTemplate, engine: Engine = .translator) throws -> Session
  {
    let image = MachineImage(try template.disk(template.header.disks[0]))
    return try keeper("", engine: engine) {
      $0.drives[.disk(0)] = nil
      $0.machine.disks[0] = image
      $0.template = template
      $0.snapshots = .none
    }
  }

  /// The machine's own parts: what is written to the disk is in memory in the one, in a file in the other.
  private func parts(_ session: Session) -> [String: UInt64] {
    let all = session.perform { (machine) -> [(name: String, hash: UInt64)] in machine.partHashes()
    }
    return Dictionary(
      uniqueKeysWithValues: all.filter { !$0.name.hasPrefix("medium-disk") }.map {
        ($0.name, $0.hash)
      })
  }

  @Test(arguments: [Engine.translator, .interpreter], ["raw", "qcow2"])
  func machinesGoOnFromOneAsItWouldHave(engine: Engine, format: String) throws {
    let scratch = try Scratch()
    let image = try scratch.image("d." + format, format: format)
    let first = try keeper(image, engine: engine)
    try first.run(until: .instruction(200_000_000))
    _ = try first.takeSnapshot(SnapshotWish("there"))
    // What it does to its disk and memory later is not the template's.
    #expect(try first.run() == .guestExit(3))
    let end = parts(first)
    #expect(finished(first).losses.isEmpty)
    let template = try template(image, scratch.path("t"))
    try template.verify()
    for _ in 0..<2 {
      let machines = try (0..<3).map { _ in try session(template, engine: engine) }
      // Side by side, a piece each.
      for turn in 0..<4 {
        for machine in machines {
          try machine.run(until: .instructions(1_000_000 + UInt64(turn) * 777))
        }
      }
      for machine in machines {
        #expect(try machine.run() == .guestExit(3))
        #expect(parts(machine) == end)
        _ = finished(machine)
      }
    }
    try template.verify()
  }

  @Test func aFileThatIsCutOrChangedIsRefused() throws {
    let scratch = try Scratch()
    let image = try scratch.image()
    let first = try keeper(image)
    try first.run(until: .instruction(300_000_000))
    _ = try first.takeSnapshot(SnapshotWish("there"))
    _ = finished(first)
    let path = scratch.path("t")
    let header = try template(image, path).header
    let whole = try HostFiles.read(path, limit: 1 << 30)
    let length = whole[16..<24].reversed().reduce(0) { $0 << 8 | Int($1) }
    var random = TestRandom(seed: 5)
    let other = scratch.path("u")
    var refusals = 0
    for n in 0..<120 {
      var bytes = whole
      switch n % 4 {
      case 0: bytes.removeLast(1 + Int(random.next() % UInt64(bytes.count)))
      case 1: bytes[Int(random.next() % UInt64(64 + length))] ^= 1 << UInt8(random.next() % 8)
      case 2: bytes += [UInt8](repeating: 0, count: 1 + Int(random.next() % 100_000))
      default:
        // In what it has of the devices.
        let at = 65536 + Int(random.next() % 20_000)
        bytes[at] = UInt8(truncatingIfNeeded: random.next())
      }
      try? HostFiles.remove(other)
      try HostFiles.writeAtomically(other, bytes)
      do {
        let template = try MachineTemplate(other)
        if n % 4 != 3 { Issue.record("\(n): was not refused") }
        let machine = try session(template)
        _ = try machine.run(until: .instructions(50_000))
        _ = finished(machine)
      } catch {
        #expect("\(error)".contains(other) || error is SessionError, "\(n): \(error)")
        refusals += 1
      }
    }
    #expect(refusals >= 90)
    #expect(header.disks.count == 1)
    // Of damaged contents verifying tells.
    var bytes = whole
    bytes[bytes.count - 65536] ^= 1
    try HostFiles.writeAtomically(other, bytes)
    #expect(throws: StorageError.self) { try MachineTemplate(other).verify() }
  }
}
