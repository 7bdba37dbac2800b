// The tree and the disks: which images are its own, what was overwritten since the last snapshot.
//
// Owns: the check that nobody else has written the images, logs of the present period, what a snapshot's disk differs in from the image.
// Must not know: machines.

import Host
import State
import Storage
import Store

extension SnapshotTree {
  /// The disks that are attached, in the tree's order.
  var attachedDisks: [(index: Int, attachment: TreeAttachment)] {
    attachments.sorted { $0.key < $1.key }.map { (index: $0.key, attachment: $0.value) }
  }

  /// Bytes of a cluster.
  static var clusterSize: UInt64 { UInt64(UndoDevice.clusterSize) }

  static func clusterCount(_ disk: TreeDisk) -> UInt64 {
    disk.byteCount / clusterSize + (disk.byteCount % clusterSize == 0 ? 0 : 1)
  }

  // MARK: Attaching

  /// Connects the tree with disks that are open: from here on what is overwritten is kept, if there are snapshots. What a run before left
  /// undone is done.
  /// - Throws: when they are others than the tree's, or somebody has written them who does not know the tree.
  public func attach(_ attachments: [TreeAttachment]) throws(StorageError) {
    do throws(StorageError) { try attachAlone(attachments) } catch {
      store.close()
      throw error
    }
  }

  private func attachAlone(_ attachments: [TreeAttachment]) throws(StorageError) {
    try exclusively { () throws(StorageError) in
      try match(attachments)
      if !state.isInUse { try checkRecords() }
      // Others could write before it is said that this one does.
      var new = state
      new.isInUse = true
      try absorb(into: &new)
      if let id = new.restoring, let snapshot = new.snapshot(id) {
        try beginLogs()
        try finishGoingBack(to: snapshot)
      }
      if !state.snapshots.isEmpty { try beginLogs() }
    }
  }

  /// Finds the tree's disks among those that are open. Others are the tree's from here on; who is not there is not written.
  func match(_ attachments: [TreeAttachment]) throws(StorageError) {
    // Nothing is known of disks where there are no snapshots.
    if state.snapshots.isEmpty { (state.disks, state.periods) = ([], []) }
    self.attachments = [:]
    for attachment in attachments {
      let path = SnapshotTree.noted(attachment.path, from: folder)
      let index: Int
      if let known = state.disks.firstIndex(where: { $0.path == path }) {
        index = known
        guard attachment.byteCount == state.disks[known].byteCount else {
          throw StorageError(
            path: attachment.path,
            reason:
              "has \(attachment.byteCount) bytes, and had \(state.disks[known].byteCount) when its snapshots were "
              + "taken (\(folder)): make it that size again, or move the snapshots away")
        }
        if state.disks[index].drive != attachment.drive,
          state.snapshots.contains(where: { $0.kind == .machine })
        {
          throw StorageError(
            path: attachment.path,
            reason:
              "is \(attachment.drive.dropFirst(7)) here, and was \(state.disks[index].drive.dropFirst(7)) when snapshots of the "
              + "machine were taken (\(folder)): put it there, or --no-snapshots to run without them"
          )
        }
        state.disks[index].drive = attachment.drive
      } else if let other = state.disks.first(where: { disk in
        disk.drive == attachment.drive
          && !attachments.contains { SnapshotTree.noted($0.path, from: folder) == disk.path }
      }) {
        throw StorageError(
          path: folder,
          reason:
            "the snapshots are of a machine with '\(StateError.printable(other.path))' where this one has "
            + "'\(attachment.path)': give that image, or --no-snapshots to run without them")
      } else {
        index = state.disks.count
        state.disks.append(
          TreeDisk(
            drive: attachment.drive, path: path,
            format: SnapshotTree.formatName(of: attachment.device),
            byteCount: attachment.byteCount, record: BaseRecord(of: attachment.device).bytes))
        for period in state.periods.indices { state.periods[period].maps.append([]) }
      }
      self.attachments[index] = attachment
    }
  }

  /// Refuses images that something else has written since they were last closed.
  /// - Parameter images: open, as they would be attached.
  public func check(_ images: [TreeAttachment]) throws(StorageError) {
    try exclusively { () throws(StorageError) in
      if state.isInUse { return }
      let before = (state, attachments)
      defer { (state, attachments) = before }
      try match(images)
      try checkRecords()
    }
  }

  /// Compares the images with what they were when they were last closed.
  private func checkRecords() throws(StorageError) {
    if state.snapshots.isEmpty { return }
    for (index, attachment) in attachedDisks {
      let disk = state.disks[index]
      guard let then = BaseRecord(bytes: disk.record) else { continue }
      let now = BaseRecord(of: attachment.device)
      // A copy that kept its times is as good as the original.
      let isSame =
        then.files.count == now.files.count
        && zip(then.files, now.files).allSatisfy {
          $0.size == $1.size && $0.seconds == $1.seconds && $0.nanoseconds == $1.nanoseconds
        }
      if isSame { continue }
      throw StorageError(
        path: attachment.path,
        reason:
          "was written since its snapshots were last in use, by something that knows nothing of "
          + "them: they would show disks that never were. 'apus snapshot accept \(attachment.path)' goes on with the "
          + "disk as it is now and removes the snapshots; if it was only touched or copied, "
          + "'apus snapshot accept --unchanged \(attachment.path)' keeps them")
    }
  }

  // MARK: Logs

  /// The logs that there are, by disk and number, ascending.
  private func logs() -> [(disk: Int, number: UInt64, path: String)] {
    let folder = SnapshotTree.undoFolder(folder)
    return HostFiles.names(in: folder).compactMap { name in
      let parts = name.split(separator: "-", omittingEmptySubsequences: false)
      guard parts.count == 2, let disk = Int(parts[0]), parts[1].hasSuffix(".undo"),
        let number = UInt64(parts[1].dropLast(5))
      else { return nil }
      return (disk, number, folder + "/" + name)
    }.sorted { ($0.disk, $0.number) < ($1.disk, $1.number) }
  }

  /// Bytes of logs that are not in the store yet.
  var logBytes: UInt64 { logs().reduce(0) { $0 + (HostFiles.facts($1.path)?.allocated ?? 0) } }

  /// Whether a run that was killed has left logs: what they have is in no snapshot's reach before the tree is attached.
  public var hasLogs: Bool { exclusively { !logs().isEmpty } }

  /// Whether there are logs that nobody writes any more.
  var hasClosedLogs: Bool { logs().contains { openLogs[$0.disk] != $0.number } }

  /// What is wrong with logs that were left.
  func damagedLogs() -> [String] {
    logs().compactMap { log in
      do throws(StorageError) {
        try UndoLog.open(
          log.path, expecting: identity(ofDisk: log.disk), period: log.number, secret: secret
        ).verify()
        return nil
      } catch { return "\(error)" }
    }
  }

  private func path(ofLog number: UInt64, disk: Int) -> String {
    SnapshotTree.undoFolder(folder) + "/\(disk)-\(number).undo"
  }

  /// What tells a disk's logs from others.
  private func identity(ofDisk disk: Int) -> [UInt8] {
    var identity = store.identity
    identity[15] ^= UInt8(truncatingIfNeeded: disk)
    return identity
  }

  /// From here on what is overwritten goes to new logs.
  func beginLogs() throws(StorageError) {
    let number = takeNumber()
    for (index, _) in attachedDisks { try beginLog(index, number) }
  }

  func takeNumber() -> UInt64 {
    nextNumber = max(nextNumber, (logs().map(\.number).max() ?? 0) + 1)
    defer { nextNumber += 1 }
    return nextNumber
  }

  func beginLog(_ index: Int, _ number: UInt64) throws(StorageError) {
    guard let attachment = attachments[index], let undo = attachment.undo else { return }
    let log = try UndoLog(
      path: path(ofLog: number, disk: index), identity: identity(ofDisk: index), period: number,
      diskSize: attachment.byteCount, secret: secret)
    try attachment.alone { () throws(StorageError) in try undo.begin(log) }
    openLogs[index] = number
  }

  /// Nothing is kept any more of what is overwritten.
  func closeLogs() throws(StorageError) {
    for (index, attachment) in attachedDisks {
      guard let undo = attachment.undo else { continue }
      try attachment.alone { () throws(StorageError) in try undo.begin(nil) }
      openLogs[index] = nil
    }
  }

  /// Brings what logs have that are not written any more into the store, and removes them.
  /// - Parameter new: the state that is published with it.
  func absorb(into new: inout TreeState) throws(StorageError) {
    // What was overwritten is needed, whatever the quota is.
    let quota = store.quota
    store.quota = nil
    defer { store.quota = quota }
    let batch = store.begin()
    let done = try absorb(into: &new, batch)
    try publish(new, batch)
    remove(logs: done)
  }

  /// The same into a batch that is published with other things.
  /// - Returns: the logs to be removed when it is.
  func absorb(into new: inout TreeState, _ batch: Batch)
    throws(StorageError) -> [String]
  {
    var done: [String] = []
    let room = UnsafeMutableRawBufferPointer.allocate(
      byteCount: UndoDevice.clusterSize, alignment: 4096)
    defer { room.deallocate() }
    for log in logs() where openLogs[log.disk] != log.number {
      guard new.disks.indices.contains(log.disk),
        let period = new.periods.lastIndex(where: { $0.number <= log.number })
      else {
        // Nobody needs it.
        done.append(log.path)
        continue
      }
      let kept = try UndoLog.open(
        log.path, expecting: identity(ofDisk: log.disk), period: log.number,
        secret: secret)
      var map = ClusterMap()
      for cluster in kept.clusters {
        let count = min(
          SnapshotTree.clusterSize,
          new.disks[log.disk].byteCount - cluster * SnapshotTree.clusterSize)
        let part = UnsafeMutableRawBufferPointer(rebasing: room[..<Int(count)])
        _ = try kept.read(cluster, into: part)
        map.add(cluster, try batch.add(UnsafeRawBufferPointer(part)))
      }
      if kept.diskSize != new.disks[log.disk].byteCount, !kept.isEmpty {
        throw StorageError(
          path: log.path, reason: "is of a disk of another size than its snapshots' is")
      }
      if !map.isEmpty { new.periods[period].maps[log.disk].append(try map.store(in: batch)) }
      done.append(log.path)
    }
    return done
  }

  func remove(logs paths: [String]) {
    for path in paths { try? HostFiles.remove(path) }
  }

  // MARK: What a snapshot has

  /// What a snapshot's disk differs in from the image as it was when the present logs began.
  func differences(_ snapshot: SnapshotRecord, disk: Int) throws(StorageError) -> ClusterMap {
    var map = ClusterMap()
    for period in state.periods where period.number >= snapshot.period {
      for name in period.maps[disk] {
        map.add(
          try ClusterMap(name, in: store, of: SnapshotTree.clusterCount(state.disks[disk])))
      }
    }
    return map
  }

  /// A disk as a snapshot has it.
  /// - Parameter image: the image as it is now, which nobody writes meanwhile.
  public func disk(_ index: Int, of snapshot: SnapshotRecord, over image: any BlockDevice)
    throws(StorageError) -> SnapshotDisk
  {
    try exclusively { () throws(StorageError) in
      SnapshotDisk(image, try differences(snapshot, disk: index), store)
    }
  }
}
