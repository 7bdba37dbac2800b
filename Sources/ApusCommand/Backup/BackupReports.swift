// What `apus backup` prints for programs.
//
// Owns: the objects. Must not know: stores, who prints them.

import Backup
import Snapshots
import Storage

/// A point, for programs.
struct BackupPointReport: Codable {
  var id: String
  var name: String
  var note: String
  var machine: String
  /// Seconds since 1970, UTC.
  var created: Int64
  /// machine or disks.
  var kind: String
  var disks: [Disk]
  var instructions: UInt64?
  var virtualSeconds: Double?
  var memoryPages: UInt64?
  /// What verify found.
  var damage: String?

  struct Disk: Codable {
    var drive: String
    var image: String
    var format: String
    var bytes: UInt64
  }

  init(_ point: BackupPoint) {
    id = point.id
    name = point.name
    note = point.record.note
    machine = point.machine
    created = point.record.created
    kind = point.hasMachine ? "machine" : "disks"
    disks = point.disks.map {
      Disk(
        drive: $0.shortDrive, image: $0.path == SnapshotTree.ownImage ? point.machine : $0.path,
        format: $0.format, bytes: $0.byteCount)
    }
    if point.hasMachine {
      instructions = point.record.instruction
      virtualSeconds = Double(point.record.time) / 1e9
      memoryPages = point.record.pageCount
    }
    if !point.damage.isEmpty { damage = point.damage }
  }
}

/// A backup that was made.
struct BackupMadeReport: Codable {
  var point: BackupPointReport
  /// A machine that runs made it.
  var running: Bool
  /// Bytes of disks that were read, and of contents that the folder had not had.
  var readBytes: UInt64
  var newBytes: UInt64
  /// Why disks were read as a whole; left out: only what had changed was.
  var whole: String?
  var pauseMilliseconds: Double?
  var totalMilliseconds: Double

  init(_ result: BackupResult, running: Bool) {
    point = BackupPointReport(result.point)
    self.running = running
    readBytes = result.readBytes
    newBytes = result.newBytes
    whole = result.whole
    pauseMilliseconds = running ? result.pause.map { Double($0) / 1e6 } : nil
    totalMilliseconds = Double(result.total) / 1e6
  }
}

/// All backups that one command made.
struct BackupCreateReport: Codable {
  var schema = "apus-backup"
  var version = 1
  var folder: String
  var made: [BackupMadeReport]
}

/// The points of a folder.
struct BackupListReport: Codable {
  var schema = "apus-backup-list"
  var version = 1
  var folder: String
  var encrypted: Bool
  var points: [BackupPointReport]
}

/// Points that are gone, and those that stay.
struct BackupDeleteReport: Codable {
  var schema = "apus-backup-delete"
  var version = 1
  var deleted: [BackupPointReport]
  var kept: Int
  /// Bytes of the host.
  var bytes: UInt64
  var dryRun: Bool
}
