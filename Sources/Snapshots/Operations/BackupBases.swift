// What backups need of a tree: a base that stays in it, what was overwritten since, disks that are read while they are written.
//
// Owns: the marks of bases, which clusters differ between two of them. Must not know: folders of backups.
//
// A backup is made from a snapshot that stays in the tree as the base of the next one, without memory: the periods since then say which
// clusters are others now. There is one for each folder of backups. Whoever deletes it loses nothing but time: the next backup reads all.

import Host
import State
import Storage
import Store

extension SnapshotWish {
  /// The wish for what a backup is made from.
  /// - Parameter folder: the identity of the folder of backups, and its path for people.
  public static func base(for identity: String, in folder: String) -> SnapshotWish {
    var random = SystemRandomNumberGenerator()
    let number = String(UInt64.random(in: 1 << 60 ... .max, using: &random), radix: 16)
    var wish = SnapshotWish("backup-base-" + number.prefix(8))
    wish.note = "what the next backup in \(folder) goes on from"
    if wish.note.utf8.count > 1000 { wish.note = "what the next backup goes on from" }
    wish.arguments = [SnapshotRecord.baseMark, identity]
    wish.isBase = true
    // Until the backup is there.
    wish.isTemporary = true
    return wish
  }
}

extension SnapshotRecord {
  fileprivate static let baseMark = "backups"

  /// Whether it is the base of backups in a folder of this identity.
  public func isBase(of identity: String) -> Bool {
    kind == .base && arguments == [SnapshotRecord.baseMark, identity]
  }
}

extension SnapshotTree {
  /// What tells the tree from others.
  public var identityText: String { store.identityText }

  /// The numbers of the disks that are attached, in `disks`.
  public var attachedNumbers: [Int] { exclusively { attachedDisks.map(\.index) } }

  /// What the keys of its disks are in, where they are encrypted.
  public func keyContainers() throws(StorageError) -> [KeyContainer] {
    try exclusively { () throws(StorageError) in
      var found: [KeyContainer] = []
      for (_, attachment) in attachedDisks {
        try attachment.alone { () throws(StorageError) in
          found += try attachment.device.keyContainers()
        }
      }
      return found
    }
  }

  /// Where what a snapshot's disk held is found: what is in the store, and the period whose log has what was overwritten since.
  func whereabouts(of snapshot: SnapshotRecord, disk: Int) throws(StorageError) -> (
    map: ClusterMap, period: UInt64?
  ) {
    try exclusively { () throws(StorageError) in
      guard state.snapshot(snapshot.id) != nil else {
        throw StorageError(
          path: folder, reason: "snapshot '\(snapshot.name)' was deleted while it was read")
      }
      // What a snapshot that failed has left belongs to the periods before.
      if store.isWritable, hasClosedLogs {
        var new = state
        try absorb(into: &new)
      }
      return (try differences(snapshot, disk: disk), attachments[disk]?.undo?.log?.period)
    }
  }

  /// A disk as a snapshot has it, to be read while a machine goes on.
  /// - Parameter index: of a disk that is attached.
  public func source(_ index: Int, of snapshot: SnapshotRecord) throws(StorageError)
    -> SnapshotSource
  {
    guard let attachment = exclusively({ attachments[index] }) else {
      throw StorageError(path: folder, reason: "disk \(index) is not open")
    }
    return try SnapshotSource(self, snapshot, index, attachment)
  }

  /// The clusters of a disk that were overwritten between two snapshots, ascending.
  public func overwritten(
    since base: SnapshotRecord, until later: SnapshotRecord, disk: Int
  ) throws(StorageError) -> [UInt64] {
    try exclusively { () throws(StorageError) in
      var clusters = Set<UInt64>()
      for period in state.periods
      where period.number >= base.period && period.number < later.period {
        for name in period.maps[disk] {
          clusters.formUnion(
            try ClusterMap(name, in: store, of: SnapshotTree.clusterCount(state.disks[disk]))
              .clusters)
        }
      }
      return clusters.sorted()
    }
  }

  /// A backup is there: what it was made from stays as the base of the next one, without what only this one needed; earlier bases for the
  /// same folder go. Room is given back by `collect`, or at the end of the run.
  public func settle(base id: String, for identity: String) throws(StorageError) {
    try exclusively { () throws(StorageError) in
      var new = state
      guard let at = new.snapshots.firstIndex(where: { $0.id == id }) else { return }
      new.snapshots[at].isTemporary = false
      new.snapshots[at].head = .zero
      new.snapshots[at].memory = .zero
      new.snapshots[at].picture = .zero
      new.snapshots[at].text = nil
      let gone = new.snapshots.filter { $0.isBase(of: identity) && $0.id != id }
      let was = state.snapshots[at]
      try remove(gone, changed: new, sweeps: false)
      for base in gone { baseMemories[base.id] = nil }
      if store.isSealed, was.head != .zero {
        baseMemories[id] = try ContentList(was.memory, in: store, count: was.pageCount)
      }
    }
  }

  /// Deletes the bases of a folder of backups but some: what was begun and did not become a backup.
  public func dropBases(of identity: String, but kept: Set<String>) throws(StorageError) {
    try exclusively { () throws(StorageError) in
      try remove(
        state.snapshots.filter { $0.isBase(of: identity) && !kept.contains($0.id) }, sweeps: false)
    }
  }
}
