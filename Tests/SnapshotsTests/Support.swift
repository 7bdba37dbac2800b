// What tests of snapshots share: files that go away, the guest that compares, sessions of it.

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

enum KeeperROMs {}

/// A folder that goes away.
final class Scratch {
  let folder: String

  init() throws {
    folder =
      FileManager.default.temporaryDirectory
      .appendingPathComponent("apus-snapshots-\(UUID().uuidString)").path
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
}

/// A session of the guest that compares: it ends with 1 when everything fits together.
func keeper(
  _ image: String, engine: Engine = .translator,
  _ change: (inout SessionConfiguration) -> Void = { _ in }
) throws -> Session {
  var configuration = SessionConfiguration()
  configuration.machine.memoryMegabytes = 4
  configuration.machine.exitPort = 0xF4
  configuration.machine.engine = engine
  let rom = try #require(KeeperROMs.all["keeper"])
  configuration.drives[.floppy(0)] = .floppy(rom(), name: "keeper")
  configuration.drives[.disk(0)] = .file(image)
  configuration.snapshots = .wanted
  change(&configuration)
  return try Session(configuration)
}

/// An open image with what keeps its clusters, as `apus snapshot` has it where no machine runs.
func attachment(_ path: String, format: String? = nil) throws -> TreeAttachment {
  let opened = try ImageOpener.open(path: format == "raw" ? "raw:" + path : path, kind: .disk)
  let undo = UndoDevice(opened.device)
  return TreeAttachment(drive: "medium-disk0", path: path, device: undo, undo: undo) {
    (body) throws(StorageError) in try body()
  }
}

/// Ends a session; its images are free then.
func finished(_ session: Session) -> SessionOutcome {
  let outcome = session.finish()
  session.close()
  return outcome
}

enum FileMover {
  static func copy(_ path: String, to other: String) throws {
    try FileManager.default.copyItem(atPath: path, toPath: other)
  }

  static func move(_ path: String, to other: String) throws {
    try FileManager.default.moveItem(atPath: path, toPath: other)
  }
}

/// Numbers that are the same in every run, also for the standard library.
struct TestRandom: RandomNumberGenerator {
  private var random: Random

  init(seed: UInt64) { random = Random(seed: seed) }

  mutating func next() -> UInt64 { random.next() >> 1 }
}
