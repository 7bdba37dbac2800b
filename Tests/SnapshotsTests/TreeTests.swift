// Trees of disks alone, against a model in memory; trees whose files are not what they were.

import Foundation
import Host
import Storage
import TestSupport
import Testing

@testable import Snapshots

/// A disk in memory, and what it was at each snapshot.
private struct Model {
  var bytes: [UInt8]
  var snapshots: [String: [UInt8]] = [:]

  init(_ count: Int) { bytes = [UInt8](repeating: 0, count: count) }
}

private func contents(_ device: any BlockDevice) throws -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: Int(device.blockCount) * device.blockSize)
  try bytes.withUnsafeMutableBytes { try device.read(block: 0, into: $0) }
  return bytes
}

@Suite struct TreeTests {
  private let size: UInt64 = 5 * 65536 * 7 + 4096

  private func open(_ image: String, _ format: String) throws -> (SnapshotTree, TreeAttachment) {
    let disk = try attachment(image, format: format)
    let folder = SnapshotTree.folder(of: image)
    if SnapshotTree.exists(in: folder) {
      let tree = try SnapshotTree(opening: folder, writable: true)
      try tree.attach([disk])
      return (tree, disk)
    }
    return (try SnapshotTree(creating: folder, for: [disk]), disk)
  }

  @Test(arguments: ["raw", "qcow2", "vdi", "vhd", "vhdx", "vmdk"], [UInt64(1), 2])
  func everySnapshotHoldsWhatTheDiskHeld(format: String, seed: UInt64) throws {
    let scratch = try Scratch()
    let image = try scratch.image("d." + format, bytes: size, format: format)
    var random = TestRandom(seed: seed)
    var model = Model(Int(size))
    var (tree, disk) = try open(image, format)
    func close(cleanly: Bool) throws {
      if cleanly {
        try disk.device.finish()
        try tree.finish()
      } else {
        try disk.device.flush()
        tree.abandon()
      }
      disk.device.close()
    }
    for step in 0..<150 {
      let names = model.snapshots.keys.sorted()
      switch random.next() % 12 {
      case 0...5:
        let block = Int(random.next() % UInt64(size / 512))
        let count = min(Int(random.next() % 300) + 1, Int(size / 512) - block)
        if random.next() % 4 == 0 {
          try disk.device.writeZeroes(block: UInt64(block), count: UInt64(count))
          for at in block * 512..<(block + count) * 512 { model.bytes[at] = 0 }
        } else {
          let value = UInt8(truncatingIfNeeded: random.next())
          let data = [UInt8](repeating: value, count: count * 512)
          try data.withUnsafeBytes { try disk.device.write(block: UInt64(block), from: $0) }
          model.bytes.replaceSubrange(block * 512..<(block + count) * 512, with: data)
        }
      case 6, 7:
        let (snapshot, _) = try tree.take(SnapshotWish(), hold: nil)
        model.snapshots[snapshot.name] = model.bytes
      case 8:
        guard let name = names.randomElement(using: &random) else { continue }
        _ = try tree.restore(name, onlyDisks: true)
        model.bytes = model.snapshots[name] ?? []
      case 9:
        guard let name = names.randomElement(using: &random) else { continue }
        try tree.delete([name])
        model.snapshots[name] = nil
      default:
        try close(cleanly: random.next() % 2 == 0)
        (tree, disk) = try open(image, format)
      }
      #expect(try contents(disk.device) == model.bytes, "step \(step)")
    }
    try close(cleanly: true)
    (tree, disk) = try open(image, format)
    try disk.device.finish()
    for (name, bytes) in model.snapshots {
      let found = try tree.disk(0, of: try tree.snapshot(name), over: disk.device)
      let same = try contents(found) == bytes
      #expect(same, "\(name)")
    }
    // Without snapshots next to nothing is left.
    try tree.delete(model.snapshots.keys.sorted())
    #expect(tree.usage().objects == 0 && tree.snapshots.isEmpty)
    try close(cleanly: true)
  }

  @Test func anotherWriterIsNoticed() throws {
    let scratch = try Scratch()
    let image = try scratch.image(bytes: size)
    var (tree, disk) = try open(image, "raw")
    _ = try tree.take(SnapshotWish("one"), hold: nil)
    try disk.device.finish()
    try tree.finish()
    disk.device.close()
    let handle = try #require(FileHandle(forWritingAtPath: image))
    try handle.write(contentsOf: Data([1, 2, 3]))
    try handle.close()
    let error = #expect(throws: StorageError.self) { _ = try open(image, "raw") }
    #expect(error?.reason.contains("apus snapshot accept") == true)
    // What nobody changed stays.
    #expect(
      try SnapshotTree(opening: SnapshotTree.folder(of: image), writable: false).snapshots.count
        == 1)
    disk = try attachment(image, format: "raw")
    tree = try SnapshotTree(opening: SnapshotTree.folder(of: image), writable: true)
    try tree.accept([disk], keeping: false)
    #expect(tree.snapshots.isEmpty)
    disk.device.close()
    (tree, disk) = try open(image, "raw")
    disk.device.close()
  }

  @Test func namesAreNamesAndAreThereOnce() throws {
    let scratch = try Scratch()
    let (tree, disk) = try open(try scratch.image(bytes: size), "raw")
    _ = try tree.take(SnapshotWish("a b"), hold: nil)
    for wrong in [
      "", "a b", "x\u{1B}y", String(repeating: "x", count: 201),
      String(repeating: "a\u{301}", count: 80),
    ] {
      let error = #expect(throws: StorageError.self) {
        _ = try tree.take(SnapshotWish(wrong), hold: nil)
      }
      #expect(error?.isUsage == true)
    }
    #expect(tree.snapshots.count == 1)
    let id = tree.snapshots[0].id
    #expect(try tree.snapshot(String(id.prefix(6))).name == "a b")
    #expect(throws: StorageError.self) { try tree.snapshot("none") }
    disk.device.close()
  }

  @Test func whatTreesTakeComesBack() throws {
    let scratch = try Scratch()
    let image = try scratch.image(bytes: size)
    let (tree, disk) = try open(image, "raw")
    let data = [UInt8](repeating: 7, count: 65536)
    var largest: UInt64 = 0
    for round in 0..<300 {
      var changed = data
      changed[0] = UInt8(truncatingIfNeeded: round)
      changed[1] = UInt8(truncatingIfNeeded: round >> 8)
      let (snapshot, _) = try tree.take(SnapshotWish(), hold: nil)
      try changed.withUnsafeBytes {
        try disk.device.write(block: UInt64(round % 8) * 128, from: $0)
      }
      if round >= 3 { try tree.delete([tree.snapshots[0].id]) }
      largest = max(largest, tree.usage().onDisk)
      _ = snapshot
    }
    #expect(tree.snapshots.count == 3)
    #expect(largest < 4 << 20)
    try tree.delete(tree.snapshots.map(\.id))
    #expect(tree.usage().onDisk < 65536)
    disk.device.close()
  }

  /// Any byte of any file of a tree may be another, or missing: an error, or what was there before.
  @Test func hostileFilesAreRefused() throws {
    let scratch = try Scratch()
    let image = try scratch.image(bytes: size)
    do {
      let session = try keeper(image)
      try session.run(until: .instruction(200_000_000))
      _ = try session.takeSnapshot(SnapshotWish("one"))
      try session.run(until: .instructions(60_000_000))
      _ = try session.takeSnapshot(SnapshotWish("two"))
      _ = finished(session)
    }
    let folder = SnapshotTree.folder(of: image)
    let root = try #require(FileManager.default.contents(atPath: folder + "/store/root"))
    var random = TestRandom(seed: 23)
    var (opened, refused) = (0, 0)
    for _ in 0..<400 {
      var bytes = [UInt8](root)
      switch random.next() % 3 {
      case 0: bytes[Int(random.next() % UInt64(bytes.count))] ^= 1 << UInt8(random.next() % 8)
      case 1: bytes = Array(bytes[..<Int(random.next() % UInt64(bytes.count))])
      default:
        let at = Int(random.next() % UInt64(bytes.count))
        bytes.replaceSubrange(at..<at, with: bytes[..<min(64, at)])
      }
      _ = FileManager.default.createFile(
        atPath: folder + "/store/root", contents: Data(bytes))
      do throws(StorageError) {
        let tree = try SnapshotTree(opening: folder, writable: false)
        _ = try tree.compare("one", "two")
        opened += 1
      } catch { refused += 1 }
    }
    #expect(refused > 300 && opened + refused == 400)
  }
}
