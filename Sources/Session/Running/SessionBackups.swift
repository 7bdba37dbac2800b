// A session's backups, and copies of its disks out of snapshots, while the machine runs.
//
// Owns: the ways to them from any thread but the machine's. Must not know: how folders of backups work, who asks.

import Backup
import Host
import Images
import Machine
import Snapshots
import Storage

extension Session {
  /// Makes a backup of the machine, which goes on meanwhile but for a moment. All is on stable storage when this returns; room in the
  /// snapshots is given back by `collectSnapshots`. Not on the machine's thread, which it would hold up.
  /// - Parameters:
  ///   - folder: of backups; it is made where there is none.
  ///   - progress: is told how much of the disks is read.
  public func makeBackup(
    _ wish: BackupWish, in folder: String, progress: @escaping BackupProgress = { _, _ in }
  ) throws(StorageError) -> BackupResult {
    let opened = machine.configuration
    if (opened.disks + opened.floppies).contains(where: { $0?.device.persistence == .overlay }) {
      throw refuseBackup("what a run with --snapshot has on its disks is in none of its files")
    }
    let tree = try tree()
    var wish = wish
    if wish.arguments.isEmpty { wish.arguments = configuration.arguments }
    let backups = try BackupFolder(
      folder, writable: true, makes: true, keys: machine.volumeKeys)
    defer { backups.close() }
    return try backups.make(wish, from: tree, progress: progress) {
      (base) throws(StorageError) in try takeSnapshot(base)
    }
  }

  /// Copies a disk as a snapshot has it into a new image, while the machine goes on. Not on the machine's thread.
  /// - Parameters:
  ///   - name: the snapshot.
  ///   - drive: as in "disk0"; nil: the first.
  public func exportSnapshot(
    _ name: String, drive: String?, _ request: CreateRequest, _ job: ImageJob = ImageJob()
  ) throws -> (snapshot: SnapshotRecord, drive: String, image: WrittenImage) {
    let tree = try tree()
    let snapshot = try tree.snapshot(name)
    let (disks, attached) = (tree.disks, tree.attachedNumbers)
    guard
      let index = attached.first(where: { drive == nil || disks[$0].drive == "medium-" + drive! })
    else {
      throw refuseBackup(
        "the machine has no disk '\(drive ?? "")'; it has "
          + attached.map { String(disks[$0].drive.dropFirst(7)) }.joined(separator: ", "))
    }
    let written = try ImageOperations.write(
      try tree.source(index, of: snapshot), request, job)
    return (snapshot, String(disks[index].drive.dropFirst(7)), written)
  }

  /// Gives the room back that a backup's base had needed. Not on the machine's thread.
  public func collectSnapshots() { _ = try? snapshotTree?.collect() }

  private func refuseBackup(_ reason: String) -> StorageError {
    var error = StorageError(path: "backup", reason: reason)
    error.isUsage = true
    return error
  }
}
