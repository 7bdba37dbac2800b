// Folders whose files are not what they were: an error, or what was there before; never something else, and nothing half made.

import Foundation
import Host
import Images
import Snapshots
import Storage
import Testing

@testable import Backup

@Suite struct HostileBackupTests {
  /// More by APUS_BACKUP_CASES.
  private let cases =
    ProcessInfo.processInfo.environment["APUS_BACKUP_CASES"].flatMap(Int.init) ?? 10_000

  /// A folder with some points, what they hold, and its files.
  private func made(_ scratch: Scratch, _ name: String, seed: UInt64) throws -> [String: [UInt8]] {
    var random = TestRandom(seed: seed)
    var points: [String: [UInt8]] = [:]
    let size = 5 * 65536 + 1024
    let image = try scratch.image(name + ".img", bytes: UInt64(size))
    let folder = try BackupFolder(scratch.path(name), writable: true, makes: true)
    for n in 0..<4 {
      let opened = try ImageOpener.open(path: "raw:" + image, kind: .disk)
      defer { opened.device.close() }
      for _ in 0..<2 {
        let data = (0..<3000 / 512 * 512).map { _ in
          n % 2 == 0 ? UInt8(truncatingIfNeeded: random.next()) : UInt8(n)
        }
        let block = random.next() % UInt64((size - data.count) / 512)
        try data.withUnsafeBytes { try opened.device.write(block: block, from: $0) }
      }
      let result = try folder.make(
        BackupWish(machine: "m"),
        of: [PlainDisk(drive: "medium-disk0", path: "d.img", device: opened.device)])
      points[result.point.name] = try contents(opened.device)
    }
    return points
  }

  private func files(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder + "/packs").map { "packs/" + $0 }
      .sorted() + ["root"]
  }

  @Test func anyFileMayBeAnother() throws {
    let scratch = try Scratch()
    let points = try made(scratch, "b", seed: 1)
    let others = try made(scratch, "other", seed: 2)
    let (folder, other) = (scratch.path("b"), scratch.path("other"))
    let names = try files(folder)
    func bytes(_ folder: String, _ name: String) throws -> [UInt8] {
      [UInt8](try #require(FileManager.default.contents(atPath: folder + "/" + name)))
    }
    let whole = try names.map { try bytes(folder, $0) }
    let foreign = try files(other).map { try bytes(other, $0) }
    var random = TestRandom(seed: 9)
    var (refused, read) = (0, 0)
    for n in 0..<cases {
      // Half of them change the root, which says what everything else is.
      let file = n % 2 == 0 ? names.count - 1 : Int(random.next() % UInt64(names.count))
      var changed = whole[file]
      let at = Int(random.next() % UInt64(changed.count))
      switch random.next() % 8 {
      case 0...3: changed[at] ^= 1 << UInt8(random.next() % 8)
      case 4: changed = Array(changed[..<at])
      case 5:
        let piece = foreign[Int(random.next() % UInt64(foreign.count))]
        let start = Int(random.next() % UInt64(piece.count))
        changed.replaceSubrange(at..<at, with: piece[start..<min(start + 200, piece.count)])
      case 6:
        let count = min(Int(random.next() % 4096), changed.count - at)
        for place in at..<at + count { changed[place] = UInt8(truncatingIfNeeded: random.next()) }
      default: changed = foreign[Int(random.next() % UInt64(foreign.count))]
      }
      if changed == whole[file] { continue }
      let path = folder + "/" + names[file]
      try Data(changed).write(to: URL(fileURLWithPath: path))
      do throws(StorageError) {
        let opened = try BackupFolder(folder, writable: false)
        var isWhole = true
        for point in opened.points {
          do throws(StorageError) {
            let disk = try opened.disk(0, of: point)
            var found = [UInt8](repeating: 0, count: Int(disk.blockCount) * 512)
            let result: Result<Void, StorageError> = found.withUnsafeMutableBytes { buffer in
              do throws(StorageError) {
                return .success(try disk.read(block: 0, into: buffer))
              } catch { return .failure(error) }
            }
            try result.get()
            // The other folder's root and packs together may be put in one by one; what is shown is what somebody stored.
            if found != points[point.name], found != others[point.name] {
              Issue.record("case \(n): \(names[file]) shows what nobody stored")
            }
          } catch { isWhole = false }
        }
        if isWhole { read += 1 } else { refused += 1 }
      } catch { refused += 1 }
      if n % 50 == 0 {
        // Nothing half made, whatever comes out.
        for name in points.keys.sorted().prefix(2) {
          let image = scratch.path("x.img")
          if let opened = try? BackupFolder(folder, writable: false),
            let point = try? opened.point(name)
          {
            let isMade =
              (try? opened.export(0, of: point, CreateRequest(image))) != nil
            #expect(HostFiles.exists(image) == isMade)
            #expect(!scratch.names.contains { $0.hasSuffix(".new") })
            try? HostFiles.remove(image)
          }
        }
      }
      try Data(whole[file]).write(to: URL(fileURLWithPath: path))
    }
    // What was changed in a pack's gaps, or in objects that nobody reads, is not noticed.
    #expect(refused > cases / 2 && refused + read > cases * 9 / 10)
    // With everything in its place again everything is there.
    let opened = try BackupFolder(folder, writable: true)
    #expect(opened.verify().isSound)
    for (name, bytes) in points { #expect(try opened.contents(of: name) == bytes) }
  }

  /// A payload that was made to be read: sizes and counts that cannot be.
  @Test func hostilePayloadsAreRefused() throws {
    let scratch = try Scratch()
    _ = try made(scratch, "b", seed: 4)
    let payload = try BackupFolder(scratch.path("b"), writable: false).store.payload
    var random = TestRandom(seed: 11)
    var (sound, refused) = (0, 0)
    for _ in 0..<cases {
      var bytes = payload
      for _ in 0...(random.next() % 3) {
        let at = Int(random.next() % UInt64(bytes.count))
        switch random.next() % 3 {
        case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
        case 1: bytes[at] = [0, 0xFF, 0x7F, 0x80][Int(random.next() % 4)]
        default: if bytes.count > 20 { bytes.removeSubrange(at..<min(bytes.count, at + 3)) }
        }
      }
      // What is read is within bounds; a point may name what is not there, which is then told.
      guard let state = try? BackupState(bytes) else {
        refused += 1
        continue
      }
      sound += 1
      for point in state.points {
        for disk in point.disks {
          #expect(disk.byteCount % UInt64(disk.sectorSize) == 0)
        }
      }
    }
    #expect(sound + refused == cases && refused > 0)
  }
}
