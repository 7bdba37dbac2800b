// What tests of backups share: files that go away, the guest that compares, disks with what they have to hold.

import CPU
import Foundation
import Host
import Images
import Machine
import Session
import Snapshots
import Storage
import TestSupport
import Testing

@testable import Backup

enum KeeperROMs {}

/// A folder that goes away.
final class Scratch {
  let folder: String

  init() throws {
    folder =
      FileManager.default.temporaryDirectory
      .appendingPathComponent("apus-backups-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  func path(_ name: String) -> String { folder + "/" + name }

  /// An image of zeros.
  func image(_ name: String = "d.img", bytes: UInt64 = 16 << 20, format: String = "raw") throws
    -> String
  {
    var request = CreateRequest(path(name), format: format)
    request.byteCount = bytes
    _ = try ImageOperations.create(request)
    return path(name)
  }

  /// Everything that is there, but what is below folders.
  var names: [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: folder))?.sorted() ?? []
  }
}

/// A session of the guest that compares: it ends with 3 when everything fits together.
func keeper(_ image: String, _ change: (inout SessionConfiguration) -> Void = { _ in }) throws
  -> Session
{
  var configuration = SessionConfiguration()
  configuration.machine.memoryMegabytes = 4
  configuration.machine.exitPort = 0xF4
  let rom = try #require(KeeperROMs.all["keeper"])
  configuration.drives[.floppy(0)] = .floppy(rom(), name: "keeper")
  configuration.drives[.disk(0)] = .file(image)
  configuration.snapshots = .wanted
  change(&configuration)
  return try Session(configuration)
}

/// Ends a session; its images are free then.
func finished(_ session: Session) -> SessionOutcome {
  let outcome = session.finish()
  session.close()
  return outcome
}

/// An open image with what keeps its clusters, as it is where no machine runs.
func attachment(_ path: String, format: String = "raw") throws -> TreeAttachment {
  let opened = try ImageOpener.open(path: format == "raw" ? "raw:" + path : path, kind: .disk)
  let undo = UndoDevice(opened.device)
  return TreeAttachment(drive: "medium-disk0", path: path, device: undo, undo: undo) {
    (body) throws(StorageError) in try body()
  }
}

func contents(_ device: any BlockDevice) throws -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: Int(device.blockCount) * device.blockSize)
  try bytes.withUnsafeMutableBytes { try device.read(block: 0, into: $0) }
  return bytes
}

/// Numbers that are the same in every run, also for the standard library.
struct TestRandom: RandomNumberGenerator {
  private var random: Random
  init(seed: UInt64) { random = Random(seed: seed) }
  mutating func next() -> UInt64 { random.next() >> 1 }
}

extension BackupFolder {
  /// What a point has of its first disk.
  func contents(of name: String) throws -> [UInt8] {
    try BackupTests.contents(try disk(0, of: try point(name)))
  }
}
