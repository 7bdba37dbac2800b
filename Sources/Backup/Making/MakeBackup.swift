// Making a backup.
//
// Owns: what has to be read and what is known from the last one, the order: snapshot, contents, point, base. Must not know: how a machine is
// asked to stand, command lines.
//
// Whatever is cut off: before the point is published there is none, and behind it the tree's base is there, at most one too many.

import Host
import Snapshots
import State
import Storage
import Store

/// What a backup is to be.
public struct BackupWish: Sendable {
  /// Whose it is; those of one machine are pruned together.
  public var machine: String
  /// nil: it gets a number.
  public var name: String?
  /// What is to be said of it.
  public var note = ""
  /// Without processors, devices and memory, also of a machine that runs.
  public var onlyDisks = false
  /// How the machine was started.
  public var arguments: [String] = []

  public init(machine: String) { self.machine = machine }
}

/// What making one took.
public struct BackupResult: Sendable {
  /// What was made.
  public var point: BackupPoint
  /// Bytes of disks that were read.
  public var readBytes: UInt64 = 0
  /// Bytes of contents that the folder had not had.
  public var newBytes: UInt64 = 0
  /// Why disks were read as a whole; nil: only what had changed was.
  public var whole: String?
  /// Nanoseconds of the host that the machine stood; nil: none ran.
  public var pause: UInt64?
  /// Until everything was on stable storage.
  public var total: UInt64 = 0
}

/// A disk to be read as it is: no machine runs with it, and it has no snapshots.
public struct PlainDisk {
  /// The drive's name in saved states.
  public var drive: String
  /// What the point notes as its image.
  public var path: String
  /// The disk, open.
  public var device: any BlockDevice

  public init(drive: String, path: String, device: any BlockDevice) {
    (self.drive, self.path, self.device) = (drive, path, device)
  }
}

/// How far making or giving back is, in bytes.
public typealias BackupProgress = (_ done: UInt64, _ total: UInt64) -> Void

extension BackupFolder {
  /// Makes a backup of a machine with a tree of snapshots, whether it runs or not. It is on stable storage when this returns.
  /// - Parameters:
  ///   - tree: open for writing, with its disks attached.
  ///   - take: takes the snapshot that is wished.
  public func make(
    _ wish: BackupWish, from tree: SnapshotTree, progress: @escaping BackupProgress = { _, _ in },
    take: (SnapshotWish) throws(StorageError) -> (SnapshotRecord, SnapshotTiming)
  ) throws(StorageError) -> BackupResult {
    let start = HostClock.nanoseconds()
    let name = try freeName(wish)
    try checkRoom()
    let (last, reason) = lastPoint(of: tree)
    try tree.dropBases(of: identity, but: last.map { [$0.base] } ?? [])
    var base = SnapshotWish.base(for: identity, in: folder)
    base.onlyDisks = wish.onlyDisks
    try keep(isSealed ? try tree.keyContainers() : [])
    let (snapshot, timing) = try take(base)
    do throws(StorageError) {
      var result = try publish(wish, name, snapshot, tree, last, reason, progress)
      try tree.settle(base: snapshot.id, for: identity)
      if snapshot.head != .zero || timing.pause > 0 { result.pause = timing.pause }
      result.total = HostClock.nanoseconds() &- start
      return result
    } catch {
      // The one before stays the base of the next.
      try? tree.dropBases(of: identity, but: last.map { [$0.base] } ?? [])
      throw error
    }
  }

  /// The point that the tree knows what was overwritten since, or why there is none.
  private func lastPoint(of tree: SnapshotTree) -> (BackupPoint?, reason: String) {
    let bases = Set(tree.snapshots.filter { $0.isBase(of: identity) }.map(\.id))
    let own = state.points.filter { $0.tree == tree.identityText }
    guard let point = own.last(where: { bases.contains($0.base) }) else {
      return (
        nil,
        state.points.isEmpty
          ? "it is the first here"
          : own.isEmpty
            ? "none here was made with these snapshots" : "what the last one was made from is gone"
      )
    }
    if !point.damage.isEmpty || !store.lostPacks.isEmpty {
      return (nil, "the last one is damaged")
    }
    return (point, "")
  }

  private func publish(
    _ wish: BackupWish, _ name: String, _ snapshot: SnapshotRecord, _ tree: SnapshotTree,
    _ last: BackupPoint?, _ reason: String, _ progress: @escaping BackupProgress
  ) throws(StorageError) -> BackupResult {
    let batch = store.begin(compress: true)
    var record = snapshot
    record.id = newIdentity()
    record.name = name
    record.note = wish.note
    record.kind = snapshot.head == .zero ? .disks : .machine
    record.isTemporary = false
    record.parent = nil
    record.period = 0
    record.arguments = wish.arguments
    var point = BackupPoint(
      machine: wish.machine, tree: tree.identityText, base: snapshot.id, record: record, disks: [],
      damage: "")
    var result = BackupResult(point: point)
    let reader = DiskReader(store, batch, progress)
    let disks = tree.disks
    var plans: [(index: Int, source: SnapshotSource, old: BackupDisk?, changed: [UInt64]?)] = []
    for index in tree.attachedNumbers {
      let source = try tree.source(index, of: snapshot)
      let disk = disks[index]
      let old = last?.disks.first {
        $0.drive == disk.drive && $0.path == disk.path && $0.byteCount == disk.byteCount
          && $0.sectorSize == source.blockSize
      }
      var changed: [UInt64]?
      if old != nil, let base = tree.snapshots.first(where: { $0.id == last?.base }) {
        changed = try tree.overwritten(since: base, until: snapshot, disk: index)
      }
      reader.total +=
        changed.map { UInt64($0.count * UndoDevice.clusterSize) } ?? disk.byteCount
      plans.append((index, source, old, changed))
    }
    for plan in plans {
      let contents: ContentName
      if let changed = plan.changed, let old = plan.old {
        contents = try reader.read(plan.source, changed, old)
      } else {
        contents = try reader.read(plan.source)
        result.whole = last == nil ? reason : "a disk is another than in the last one"
      }
      let disk = disks[plan.index]
      point.disks.append(
        BackupDisk(
          drive: disk.drive, path: disk.path, format: BackupDisk.format(of: disk.format),
          byteCount: disk.byteCount, sectorSize: plan.source.blockSize, record: [],
          contents: contents))
    }
    if record.kind == .machine {
      var old: (memory: ContentList, base: String)?
      if let last, last.hasMachine, last.record.pageCount == snapshot.pageCount {
        old = (
          try ContentList(last.record.memory, in: store, count: snapshot.pageCount), last.base
        )
      }
      (point.record.head, point.record.memory, point.record.picture) = try tree.copy(
        snapshot, into: batch, of: store, old: old)
    }
    return try finish(&result, point, reader, batch)
  }

  private func finish(
    _ result: inout BackupResult, _ point: BackupPoint, _ reader: DiskReader, _ batch: Batch
  ) throws(StorageError) -> BackupResult {
    var new = state
    new.points.append(point)
    result.point = point
    result.readBytes = reader.readBytes
    result.newBytes = batch.newBytes
    try publish(new, batch)
    try noteMended()
    reader.end()
    return result
  }

  /// Makes a backup of disks that no machine runs with and that have no snapshots. Files that were not written since the last one are not
  /// read.
  public func make(
    _ wish: BackupWish, of disks: [PlainDisk], progress: @escaping BackupProgress = { _, _ in }
  ) throws(StorageError) -> BackupResult {
    let start = HostClock.nanoseconds()
    let name = try freeName(wish)
    try checkRoom()
    for disk in disks where isSealed { try keep(try disk.device.keyContainers()) }
    let batch = store.begin(compress: true)
    var record = SnapshotRecord(id: newIdentity(), ofDisksNamed: name, note: wish.note)
    record.arguments = wish.arguments
    var point = BackupPoint(
      machine: wish.machine, tree: "", base: "", record: record, disks: [], damage: "")
    var result = BackupResult(point: point)
    let reader = DiskReader(store, batch, progress)
    let last =
      store.lostPacks.isEmpty
      ? state.points.last { $0.machine == wish.machine && $0.damage.isEmpty } : nil
    for disk in disks {
      let noted = BackupFolder.record(of: disk.device)
      let byteCount = disk.device.blockCount * UInt64(disk.device.blockSize)
      let old = last?.disks.first {
        $0.drive == disk.drive && $0.byteCount == byteCount
          && $0.sectorSize == disk.device.blockSize
      }
      var next = BackupDisk(
        drive: disk.drive, path: disk.path,
        format: BackupDisk.format(of: SnapshotTree.formatName(of: disk.device)),
        byteCount: byteCount, sectorSize: disk.device.blockSize, record: noted, contents: .zero)
      if let old, !noted.isEmpty, old.record == noted {
        next.contents = old.contents
      } else {
        reader.total += byteCount
        next.contents = try reader.read(disk.device)
        result.whole =
          last == nil
          ? state.points.contains { $0.machine == wish.machine }
            ? "the last one is damaged" : "it is the first of this machine"
          : "it has no snapshots, which would tell what was written (a run with --with-snapshots begins them)"
        // Written while it was read: what was noted tells nothing.
        if BackupFolder.record(of: disk.device) != noted { next.record = [] }
      }
      point.disks.append(next)
    }
    result = try finish(&result, point, reader, batch)
    result.total = HostClock.nanoseconds() &- start
    return result
  }

  /// What tells whether a disk's files are written later; nothing where they were a moment ago: the host's clock ticks in steps.
  private static func record(of device: any BlockDevice) -> [UInt8] {
    let record = BaseRecord(of: device)
    let now = HostClock.utcSeconds()
    let isOld = record.files.allSatisfy { $0.seconds < now - 2 }
    return isOld && !record.files.isEmpty ? record.bytes : []
  }

  // MARK: Names and room

  private func checkRoom() throws(StorageError) {
    if let quota, store.usage().onDisk > quota {
      throw StorageError(
        path: folder,
        reason:
          "takes more than its quota of \(quota) bytes: prune, or allow more ('apus backup quota')",
        lacksRoom: true)
    }
  }

  private func freeName(_ wish: BackupWish) throws(StorageError) -> String {
    guard wish.note.utf8.count <= 10_000 else {
      throw usage("a note has at most 10000 bytes")
    }
    guard !wish.machine.isEmpty, wish.machine.utf8.count <= BackupPoint.longestText else {
      throw usage("a machine's name has 1 to \(BackupPoint.longestText) bytes")
    }
    let taken = Set(state.points.map(\.name))
    guard let wanted = wish.name else {
      var number = state.points.count + 1
      while taken.contains("backup-\(number)") { number += 1 }
      return "backup-\(number)"
    }
    if let obstacle = SnapshotTree.obstacle(toName: wanted) { throw usage(obstacle) }
    if wanted == "latest" { throw usage("'latest' means the last point, and names none") }
    if taken.contains(wanted) {
      throw usage("there is a point '\(wanted)' already: give another name, or delete it")
    }
    return wanted
  }

  private func newIdentity() -> String {
    let taken = Set(state.points.map(\.id))
    while true {
      let text = String(UInt64.random(in: .min ... .max), radix: 16)
      let id = String(repeating: "0", count: 16 - text.count) + text
      if !taken.contains(id) { return id }
    }
  }
}
