// Deleting snapshots, giving room back, and the end of a run.
//
// Owns: what becomes of periods that no snapshot begins, what lives. Must not know: machines.
// A machine that runs is not stopped by any of it.

import Host
import State
import Storage
import Store

extension SnapshotTree {
  /// Deletes snapshots; what others need of them stays. It is on stable storage when this returns.
  /// - Parameter descendants: also those that were taken after going on from them.
  /// - Returns: the deleted ones.
  @discardableResult public func delete(
    _ texts: [String], descendants: Bool = false, waits: Bool = true
  ) throws(StorageError) -> [SnapshotRecord] {
    try atOnce(waits) { () throws(StorageError) in
      var gone: [SnapshotRecord] = []
      for text in texts {
        let snapshot = try find(text)
        if !gone.contains(snapshot) { gone.append(snapshot) }
      }
      if descendants {
        var added = true
        while added {
          added = false
          for snapshot in state.snapshots where !gone.contains(snapshot) {
            if gone.contains(where: { $0.id == snapshot.parent }) {
              gone.append(snapshot)
              added = true
            }
          }
        }
      }
      try remove(gone)
      return gone
    }
  }

  /// - Parameters:
  ///   - changed: what else becomes of the state, in the same step.
  ///   - sweeps: room is given back at once; otherwise by the next who does, at the end of the run at last.
  func remove(
    _ gone: [SnapshotRecord], changed: TreeState? = nil, sweeps: Bool = true
  ) throws(StorageError) {
    if gone.isEmpty && changed == nil { return }
    let ids = Set(gone.map(\.id))
    var new = changed ?? state
    func heir(_ id: String?) -> String? {
      var id = id
      while let present = id, ids.contains(present) { id = state.snapshot(present)?.parent }
      return id
    }
    for index in new.snapshots.indices {
      new.snapshots[index].parent = heir(new.snapshots[index].parent)
    }
    new.snapshots.removeAll { ids.contains($0.id) }
    if let current = new.current, ids.contains(current) {
      new.current = heir(current)
      new.resumes = false
    }
    if let restoring = new.restoring, ids.contains(restoring) { new.restoring = nil }
    let quota = store.quota
    store.quota = nil
    defer { store.quota = quota }
    let batch = store.begin()
    try mergePeriods(&new, batch)
    try publish(new, batch)
    if new.snapshots.isEmpty {
      try endLogs()
      memoryBase = nil
    }
    hasDeleted = true
    if sweeps { try sweep() }
  }

  /// Periods that no snapshot begins go into the one before.
  private func mergePeriods(_ new: inout TreeState, _ batch: Batch) throws(StorageError) {
    let needed = Set(new.snapshots.map(\.period))
    var periods: [TreePeriod] = []
    var changed = Set<UInt64>()
    for period in new.periods {
      if needed.contains(period.number) {
        periods.append(period)
      } else if let last = periods.indices.last {
        for disk in period.maps.indices { periods[last].maps[disk] += period.maps[disk] }
        changed.insert(periods[last].number)
      }
    }
    for index in periods.indices where changed.contains(periods[index].number) {
      for disk in periods[index].maps.indices where periods[index].maps[disk].count > 1 {
        var whole = ClusterMap()
        for map in periods[index].maps[disk] {
          whole.add(
            try ClusterMap(map, in: store, of: SnapshotTree.clusterCount(new.disks[disk])))
        }
        for name in whole.names.values { _ = batch.keep(name) }
        periods[index].maps[disk] = [try whole.store(in: batch)]
      }
    }
    new.periods = periods
  }

  /// Nothing is kept any more.
  private func endLogs() throws(StorageError) {
    try closeLogs()
    var new = state
    try absorb(into: &new)
  }

  /// Gives the room back that nobody needs.
  /// - Returns: bytes of the host.
  @discardableResult public func collect() throws(StorageError) -> UInt64 {
    try exclusively { () throws(StorageError) in try sweep() }
  }

  @discardableResult func sweep() throws(StorageError) -> UInt64 {
    let sequence = store.sequence
    var marks = ContentMarks()
    for snapshot in state.snapshots {
      try StoredBytes.mark(snapshot.head, in: store, &marks)
      try StoredBytes.mark(snapshot.picture, in: store, &marks)
      if snapshot.memory != .zero {
        try marks.insert(
          ContentList(snapshot.memory, in: store, count: snapshot.pageCount), in: store)
      }
    }
    for period in state.periods {
      for (disk, maps) in period.maps.enumerated() {
        for map in maps {
          try ClusterMap.mark(
            map, in: store, of: SnapshotTree.clusterCount(state.disks[disk]), &marks)
        }
      }
    }
    // The memory that the machine's pages are compared with is needed for as long as it runs.
    if let memoryBase, memoryBase.name != .zero { try marks.insert(memoryBase, in: store) }
    for memory in baseMemories.values where memory.name != .zero {
      try marks.insert(memory, in: store)
    }
    return try store.sweep(live: marks.live, asOf: sequence)
  }

  /// Bytes that the tree may take on the host; nil: as many as there are.
  public func setQuota(_ quota: UInt64?) throws(StorageError) {
    try exclusively { () throws(StorageError) in
      var new = state
      new.quota = quota ?? 0
      try publish(new)
      store.quota = quota
    }
  }

  /// Bytes that the tree may take on the host; nil: as many as there are.
  public var quota: UInt64? { exclusively { state.quota == 0 ? nil : state.quota } }

  /// Reads everything that snapshots need.
  /// - Returns: what is damaged, and by the names of snapshots what they lack.
  public func verify(_ progress: (_ done: Int, _ total: Int) -> Bool = { _, _ in true })
    -> (damages: [StoreDamage], incomplete: [(snapshot: String, reason: String)])
  {
    exclusively {
      let damages = store.verify(progress)
      let damaged = Set(damages.compactMap(\.name))
      var incomplete: [(snapshot: String, reason: String)] = []
      for snapshot in state.snapshots {
        do throws(StorageError) { try checkComplete(snapshot, damaged) } catch {
          incomplete.append((snapshot.name, "\(error)"))
        }
      }
      for log in damagedLogs() { incomplete.append(("(the last run's log)", log)) }
      return (damages, incomplete)
    }
  }

  private func checkComplete(_ snapshot: SnapshotRecord, _ damaged: Set<ContentName>)
    throws(StorageError)
  {
    var marks = ContentMarks()
    try StoredBytes.mark(snapshot.head, in: store, &marks)
    try StoredBytes.mark(snapshot.picture, in: store, &marks)
    if snapshot.memory != .zero {
      try marks.insert(
        ContentList(snapshot.memory, in: store, count: snapshot.pageCount), in: store)
    }
    for period in state.periods where period.number >= snapshot.period {
      for (disk, maps) in period.maps.enumerated() {
        for map in maps {
          try ClusterMap.mark(
            map, in: store, of: SnapshotTree.clusterCount(state.disks[disk]), &marks)
        }
      }
    }
    if let name = marks.live.first(where: damaged.contains) {
      throw StorageError(path: store.folder, reason: "object \(name.short) is damaged")
    }
    let names = Array(marks.live)
    for (name, isThere) in zip(names, store.contains(names)) where !isThere {
      throw StorageError(path: store.folder, reason: "object \(name.short) is not there")
    }
  }

  // MARK: The end of a run

  /// The machine does not run any more, and its images are complete: what it overwrote goes into the store, and what the images are like is
  /// noted. Others may use the tree then.
  /// - Parameter suspended: the snapshot with which the machine goes on at its next start; it is gone when that run ends.
  public func finish(suspendedAt suspended: String? = nil) throws(StorageError) {
    try exclusively { () throws(StorageError) in
      if !store.isWritable { return }
      endPieces()
      // What a machine that was suspended goes on from stays until it has.
      try remove(
        state.snapshots.filter { $0.isTemporary && !(state.resumes && $0.id == state.current) })
      try closeLogs()
      var new = state
      if let index = new.snapshots.firstIndex(where: { $0.id == suspended }) {
        new.snapshots[index].isTemporary = true
        new.current = suspended
        new.resumes = true
      }
      for (index, attachment) in attachedDisks {
        new.disks[index].record = BaseRecord(of: attachment.device).bytes
      }
      new.isInUse = false
      try absorb(into: &new)
      memoryBase = nil
      attachments = [:]
      // What the machine was compared with is not needed any more.
      if hasDeleted { try sweep() }
      store.close()
    }
  }

  /// Lets go of everything as it is, as when the program is killed; for tests.
  func abandon() {
    store.close()
    attachments = [:]
  }

  /// The images hold what they should, whoever has written them. Others may use the tree then.
  /// - Parameter keeping: the snapshots stay: their disks are said to be unchanged.
  public func accept(_ attachments: [TreeAttachment], keeping: Bool) throws(StorageError) {
    try exclusively { () throws(StorageError) in
      var new = state
      for (index, disk) in new.disks.enumerated() {
        guard let attachment = attachments.first(where: { $0.drive == disk.drive }) else {
          continue
        }
        if keeping, attachment.byteCount != disk.byteCount {
          throw StorageError(
            path: attachment.path,
            reason:
              "has \(attachment.byteCount) bytes and had \(disk.byteCount): it is not unchanged")
        }
        new.disks[index].record = BaseRecord(of: attachment.device).bytes
        new.disks[index].byteCount = attachment.byteCount
      }
      if !keeping {
        new.snapshots = []
        new.periods = []
        new.current = nil
        new.resumes = false
        new.restoring = nil
      }
      new.isInUse = false
      try absorb(into: &new)
      try sweep()
      store.close()
    }
  }
}
