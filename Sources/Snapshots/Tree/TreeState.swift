// What a tree of snapshots is: the payload of its store.
//
// Owns: disks, periods, snapshots, what is under way; its form in bytes. Must not know: files, machines that run.
//
// An image is always current. A period goes from one snapshot to the next; what its first writes to a cluster overwrote is kept with it. So
// what a snapshot's disk held is what the earliest period from its own on has of a cluster, and otherwise the image's. Branches make no
// difference to that: to go back is to write, too.

import State
import Storage
import Store

/// A disk of a tree.
public struct TreeDisk: Equatable, Sendable {
  /// The drive's name in saved states: "medium-disk0".
  public var drive: String
  /// The image: from the folder that the tree is in, or from the root.
  public var path: String
  /// Its format's name.
  public var format: String
  /// What the disk has, in bytes.
  public var byteCount: UInt64
  /// What its files were like when it was last written by somebody who knows the tree (`BaseRecord`).
  public var record: [UInt8]

  /// Whether the image's bytes are the disk's, whatever they look like.
  public var isRaw: Bool { format == "raw image" || format == "raw" }

  public init(drive: String, path: String, format: String, byteCount: UInt64, record: [UInt8]) {
    self.drive = drive
    self.path = path
    self.format = format
    self.byteCount = byteCount
    self.record = record
  }
}

/// What disks held before a period wrote to them.
struct TreePeriod: Equatable, Sendable {
  var number: UInt64
  /// For each disk the maps of clusters, the earlier ones first.
  var maps: [[ContentName]]
}

/// The payload.
struct TreeState: Equatable, Sendable {
  var disks: [TreeDisk] = []
  /// Ascending; the last is the present one.
  var periods: [TreePeriod] = []
  /// In the order they were taken.
  var snapshots: [SnapshotRecord] = []
  /// The snapshot that the machine comes from.
  var current: String?
  /// The machine goes on from `current` at its next start: it was gone back to and has not run since.
  var resumes = false
  /// Disks are being made what they were at this snapshot.
  var restoring: String?
  /// Somebody runs it; what its files are like is not noted.
  var isInUse = false
  /// The number of the next period, or of the next log of one.
  var nextNumber: UInt64 = 1
  /// Bytes that the tree may take; 0: no limit.
  var quota: UInt64 = 0
  /// What tells the keys of its logs, where a disk is encrypted.
  var secret: [UInt8] = []

  static let version: UInt16 = 1
  private static let magic = "apus snapshots"
  private static let mostDisks: UInt32 = 64
  private static let most: UInt32 = 1_000_000

  func snapshot(_ id: String?) -> SnapshotRecord? {
    id.flatMap { id in snapshots.first { $0.id == id } }
  }

  // MARK: Bytes

  var bytes: [UInt8] {
    var writer = StateWriter()
    writer.section(TreeState.magic, version: TreeState.version) { writer in
      writer.write(UInt32(disks.count))
      for disk in disks {
        writer.write(disk.drive)
        writer.write(disk.path)
        writer.write(disk.format)
        writer.write(disk.byteCount)
        writer.write(bytes: disk.record)
      }
      writer.write(UInt32(periods.count))
      for period in periods {
        writer.write(period.number)
        for maps in period.maps {
          writer.write(UInt32(maps.count))
          for map in maps { writer.write(bytes: map.bytes) }
        }
      }
      writer.write(UInt32(snapshots.count))
      for snapshot in snapshots { snapshot.write(to: &writer) }
      writer.write(current ?? "")
      writer.write(resumes)
      writer.write(restoring ?? "")
      writer.write(isInUse)
      writer.write(nextNumber)
      writer.write(quota)
      writer.write(bytes: secret)
    }
    return writer.bytes
  }

  init() {}

  init(_ bytes: [UInt8]) throws(StateError) {
    var reader = StateReader(bytes)
    var state = TreeState()
    try reader.section(TreeState.magic, versions: 1...TreeState.version) {
      (reader, _) throws(StateError) in
      for _ in 0..<(try reader.read(in: 0...TreeState.mostDisks)) {
        state.disks.append(
          TreeDisk(
            drive: try reader.readString(), path: try reader.readString(),
            format: try reader.readString(), byteCount: try reader.read(),
            record: try reader.readBytes()))
      }
      for _ in 0..<(try reader.read(in: 0...TreeState.most)) {
        var period = TreePeriod(number: try reader.read(), maps: [])
        guard period.number > state.periods.last?.number ?? 0 else {
          throw reader.error("period \(period.number) is out of order")
        }
        for _ in state.disks {
          var maps: [ContentName] = []
          for _ in 0..<(try reader.read(in: 0...TreeState.most)) {
            maps.append(try reader.readName())
          }
          period.maps.append(maps)
        }
        state.periods.append(period)
      }
      for _ in 0..<(try reader.read(in: 0...TreeState.most)) {
        let snapshot = try SnapshotRecord(from: &reader)
        guard state.periods.contains(where: { $0.number == snapshot.period }),
          state.snapshot(snapshot.id) == nil
        else { throw reader.error("snapshot \(snapshot.id) belongs to nothing, or is there twice") }
        state.snapshots.append(snapshot)
      }
      let current = try reader.readString()
      state.current = state.snapshot(current)?.id
      state.resumes = try reader.readBool()
      let restoring = try reader.readString()
      state.restoring = restoring.isEmpty ? nil : restoring
      if state.restoring != nil, state.snapshot(restoring) == nil {
        throw reader.error("disks are being made those of a snapshot that is not there")
      }
      state.isInUse = try reader.readBool()
      state.nextNumber = try reader.read()
      state.quota = try reader.read()
      state.secret = try reader.readBytes()
      guard state.nextNumber > state.periods.last?.number ?? 0 else {
        throw reader.error("the next number was used already")
      }
    }
    if reader.remaining != 0 { throw reader.error("\(reader.remaining) bytes too many") }
    self = state
  }
}
