// What `apus snapshot` prints for programs, and what a machine that runs is asked over its socket.
//
// Owns: the objects, from which both are made. Must not know: trees.

import Snapshots

/// A snapshot, for programs.
struct SnapshotReport: Codable {
  var id: String
  var name: String
  var note: String
  /// Seconds since 1970, UTC.
  var created: Int64
  var parent: String?
  /// machine, disks, or base (of backups).
  var kind: String
  var temporary: Bool
  var current: Bool
  var instructions: UInt64?
  var virtualSeconds: Double?
  var memoryPages: UInt64?

  init(_ record: SnapshotRecord, isCurrent: Bool) {
    id = record.id
    name = record.name
    note = record.note
    created = record.created
    parent = record.parent
    kind =
      switch record.kind {
      case .machine: "machine"
      case .disks: "disks"
      case .base: "base"
      }
    temporary = record.isTemporary
    current = isCurrent
    if record.kind == .machine {
      instructions = record.instruction
      virtualSeconds = Double(record.time) / 1e9
      memoryPages = record.pageCount
    }
  }
}

/// What was done, and how long it took.
struct SnapshotResult: Codable {
  var schema = "apus-snapshot"
  var version = 1
  /// take, restore, delete.
  var action: String
  var snapshots: [SnapshotReport]
  /// Whether a machine that runs did it.
  var running: Bool
  /// How long the machine stood, and until all was on stable storage.
  var pauseMilliseconds: Double?
  var totalMilliseconds: Double?
  var pages: Int?
  var newBytes: UInt64?

  init(_ action: String, _ snapshots: [SnapshotReport], running: Bool, _ timing: SnapshotTiming?) {
    self.action = action
    self.snapshots = snapshots
    self.running = running
    if let timing {
      if running { pauseMilliseconds = Double(timing.pause) / 1e6 }
      totalMilliseconds = Double(timing.total) / 1e6
      pages = timing.pages
      newBytes = timing.newBytes
    }
  }
}

/// All snapshots of a machine.
struct SnapshotListReport: Codable {
  var schema = "apus-snapshot-list"
  var version = 1
  var folder: String
  var running: Bool
  /// The machine goes on from the current one at its next start.
  var resumes: Bool
  var snapshots: [SnapshotReport]
}

/// What a machine that runs is asked: JSON-RPC 2.0, an object in a line.
struct ControlRequest: Codable {
  var jsonrpc = "2.0"
  var id: Int
  /// snapshot.list, snapshot.take, snapshot.restore, snapshot.delete.
  var method: String
  var params: Parameters?

  struct Parameters: Codable {
    var name: String?
    var names: [String]?
    var note: String?
    var disksOnly: Bool?
    var throwAway: Bool?
    var descendants: Bool?
  }
}

/// The answer.
struct ControlResponse: Codable {
  var jsonrpc = "2.0"
  var id: Int?
  var result: SnapshotResult?
  var error: Problem?

  struct Problem: Codable {
    /// JSON-RPC's codes; 1: refused, 2: failed.
    var code: Int
    var message: String
  }
}
