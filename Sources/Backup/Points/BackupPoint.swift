// One backup of a machine, as the folder's payload has it.
//
// Owns: what is known of a point, its form in bytes. Must not know: files, machines that run, snapshots' trees.

import Snapshots
import State
import Storage
import Store

/// A disk of a point: every cluster by name, so that a point needs no other one.
public struct BackupDisk: Equatable, Sendable {
  /// The drive's name in saved states: "medium-disk0".
  public var drive: String
  /// The image as it was named: beside the machine's first, or from the root.
  public var path: String
  /// Its format's name.
  public var format: String
  /// What the disk has, in bytes.
  public var byteCount: UInt64
  /// Bytes of a sector.
  public var sectorSize: Int
  /// What the image's files were like (`BaseRecord`), where that tells whether they were written since; otherwise empty.
  public var record: [UInt8]
  /// The list of its clusters of 64 KiB; that of zeros where all are zeros.
  public var contents: ContentName

  /// A format as one gives it, of what an image's layer is called: "qcow2" of "qcow2 image".
  static func format(of kind: String) -> String {
    let words = kind.lowercased()
    return ["raw", "qcow2", "vdi", "vhdx", "vhd", "vmdk", "luks"].first { words.contains($0) }
      ?? kind
  }

  /// Clusters of a disk.
  public static func clusterCount(_ byteCount: UInt64) -> UInt64 {
    let size = UInt64(UndoDevice.clusterSize)
    return byteCount / size + (byteCount % size == 0 ? 0 : 1)
  }

  /// The drive's name for people: "disk0".
  public var shortDrive: String { drive.hasPrefix("medium-") ? String(drive.dropFirst(7)) : drive }
}

/// A backup.
public struct BackupPoint: Equatable, Sendable {
  /// Whose it is: what the user calls the machine.
  public var machine: String
  /// The identity of the tree of snapshots it was made from; empty: there was none.
  public var tree: String
  /// The snapshot there that the next point goes on from.
  public var base: String
  /// Everything of the machine but disks, in the form of a snapshot; names are of this store. Its period means nothing.
  public var record: SnapshotRecord
  /// Its disks, the first being the one it is named after.
  public var disks: [BackupDisk]
  /// What `verify` found damaged or missing of it; empty: nothing.
  public var damage: String

  /// 16 hexadecimal digits.
  public var id: String { record.id }
  /// The name, there once in the folder.
  public var name: String { record.name }
  /// Whether it has a whole machine; otherwise disks alone.
  public var hasMachine: Bool { record.kind == .machine }

  static let longestText = 4096
}

/// The payload.
struct BackupState: Equatable, Sendable {
  /// In the order they were made.
  var points: [BackupPoint] = []
  /// Bytes that the folder may take; 0: no limit.
  var quota: UInt64 = 0
  /// Objects that `verify` found damaged: they are written anew when they come.
  var damaged: [ContentName] = []

  static let version: UInt16 = 1
  static let magic = "apus backups"
  private static let most: UInt32 = 1_000_000

  init() {}

  var bytes: [UInt8] {
    var writer = StateWriter()
    writer.section(BackupState.magic, version: BackupState.version) { writer in
      writer.write(UInt32(points.count))
      for point in points {
        writer.write(point.machine)
        writer.write(point.tree)
        writer.write(point.base)
        point.record.write(to: &writer)
        writer.write(UInt32(point.disks.count))
        for disk in point.disks {
          writer.write(disk.drive)
          writer.write(disk.path)
          writer.write(disk.format)
          writer.write(disk.byteCount)
          writer.write(UInt32(disk.sectorSize))
          writer.write(bytes: disk.record)
          writer.write(bytes: disk.contents.bytes)
        }
        writer.write(point.damage)
      }
      writer.write(quota)
      writer.write(UInt32(damaged.count))
      for name in damaged { writer.write(bytes: name.bytes) }
    }
    return writer.bytes
  }

  init(_ bytes: [UInt8]) throws(StateError) {
    var reader = StateReader(bytes)
    var state = BackupState()
    try reader.section(BackupState.magic, versions: 1...BackupState.version) {
      (reader, _) throws(StateError) in
      var ids = Set<String>()
      for _ in 0..<(try reader.read(in: 0...BackupState.most)) {
        let point = try BackupState.point(&reader)
        if !ids.insert(point.id).inserted {
          throw reader.error("point \(point.id) is there twice")
        }
        state.points.append(point)
      }
      state.quota = try reader.read()
      for _ in 0..<(try reader.read(in: 0...BackupState.most)) {
        state.damaged.append(try reader.readName())
      }
    }
    if reader.remaining != 0 { throw reader.error("\(reader.remaining) bytes too many") }
    self = state
  }

  private static func point(_ reader: inout StateReader) throws(StateError) -> BackupPoint {
    func text(_ reader: inout StateReader) throws(StateError) -> String {
      let text = try reader.readString()
      if text.utf8.count > BackupPoint.longestText {
        throw reader.error("a text of \(text.utf8.count) bytes")
      }
      return text
    }
    let (machine, tree, base) = (try text(&reader), try text(&reader), try text(&reader))
    let record = try SnapshotRecord(from: &reader)
    var disks: [BackupDisk] = []
    for _ in 0..<(try reader.read(in: 0...UInt32(64))) {
      let (drive, path, format) = (try text(&reader), try text(&reader), try text(&reader))
      let byteCount: UInt64 = try reader.read()
      let sectorSize = Int(try reader.read(in: 512...UInt32(UndoDevice.clusterSize)))
      guard sectorSize.nonzeroBitCount == 1, byteCount % UInt64(sectorSize) == 0,
        BackupDisk.clusterCount(byteCount) <= ContentList.mostSlots
      else { throw reader.error("a disk of \(byteCount) bytes in sectors of \(sectorSize)") }
      disks.append(
        BackupDisk(
          drive: drive, path: path, format: format, byteCount: byteCount, sectorSize: sectorSize,
          record: try reader.readBytes(), contents: try reader.readName()))
    }
    return BackupPoint(
      machine: machine, tree: tree, base: base, record: record, disks: disks,
      damage: try text(&reader))
  }
}
