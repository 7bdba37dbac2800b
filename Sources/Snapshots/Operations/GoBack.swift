// Going back to a snapshot: a machine that runs, or images that no machine uses.
//
// Owns: the order in which memory, devices and disks become what they were. Must not know: whose machine it is.
//
// A machine goes on at once: what its disks have to become lies in memory then, and is read from there. Images are written when the tree
// says on stable storage which snapshot they are becoming; who finds it cut off there ends it. Stopped before, everything is as if nobody
// had gone back.

import Host
import Machine
import State
import Storage
import Store

extension SnapshotTree {
  /// Makes a machine that runs what it was at a snapshot; it goes on from there at once. A snapshot of disks alone cannot be gone back to in
  /// a machine that runs.
  /// - Parameter waits: whether it waits for other operations to end: not on the machine's thread.
  /// - Throws: the machine is what it was.
  public func goBack(to text: String, waits: Bool = true, hold: MachineHold)
    throws(StorageError) -> (SnapshotRecord, SnapshotTiming)
  {
    try atOnce(waits) { () throws(StorageError) in
      let snapshot = try find(text)
      return (snapshot, try goBackAlone(snapshot, hold))
    }
  }

  private func goBackAlone(
    _ snapshot: SnapshotRecord, _ hold: MachineHold
  ) throws(StorageError) -> SnapshotTiming {
    let start = HostClock.nanoseconds()
    guard let head = try head(of: snapshot) else {
      var error = StorageError(
        path: folder,
        reason:
          "'\(snapshot.name)' has disks alone: stop the machine, go back with 'apus snapshot restore', and boot"
      )
      error.isUsage = true
      throw error
    }
    // Logs that an attempt left belong to the present period.
    var new = state
    try absorb(into: &new)
    var maps: [Int: ClusterMap] = [:]
    for (index, _) in attachedDisks { maps[index] = try differences(snapshot, disk: index) }
    let target = try ContentList(snapshot.memory, in: store, count: snapshot.pageCount)
    for (_, attachment) in attachedDisks {
      guard let undo = attachment.undo else { continue }
      try attachment.alone { () throws(StorageError) in try undo.prepareBegin() }
    }
    var timing = SnapshotTiming()
    try hold { [self] (machine) throws(StorageError) in
      let start = HostClock.nanoseconds()
      do throws(StateError) { try machine.checkFits(head: head) } catch {
        throw refusal(of: snapshot, error)
      }
      var pages = lostPages
      if memoryBase != nil {
        machine.takePagesForCapture { pages.insert(UInt32($0)) }
      } else {
        pages.formUnion(machine.usedPages)
      }
      lostPages = pages
      let wanted = try contents(of: target, besides: pages)
      try holdDisks(snapshot, maps)
      machine.imageFilesWereReplaced()
      do throws(StateError) {
        try machine.putBack(head: head, isFresh: false) { () throws(StorageError) in
          try put(wanted, into: machine)
        }
      } catch {
        cancelHeldDisks()
        throw refusal(of: snapshot, error)
      }
      lostPages = []
      memoryBase = target
      timing.pause = HostClock.nanoseconds() &- start
      timing.pages = wanted.count
    }
    // From here on the machine is there; its disks follow.
    new = state
    new.restoring = snapshot.id
    new.current = snapshot.id
    new.resumes = false
    try publish(new)
    for (_, attachment) in attachedDisks {
      guard let undo = attachment.undo else { continue }
      try release(undo, attachment)
    }
    try hold { (machine) throws(StorageError) in machine.imageFilesAreWritten() }
    new.restoring = nil
    try publish(new)
    timing.total = HostClock.nanoseconds() &- start
    return timing
  }

  /// Lets the disk be written, when there is room for what that overwrites: until then everything is in memory, and the machine goes on.
  private func release(_ undo: UndoDevice, _ attachment: TreeAttachment) throws(StorageError) {
    let condition = HostCondition()
    var tries = 0
    while true {
      do throws(StorageError) {
        try attachment.alone { () throws(StorageError) in
          try undo.release()
          try undo.flush()
        }
        return
      } catch {
        tries += 1
        if !error.lacksRoom || tries > 120 { throw error }
        condition.locked { condition.wait(nanoseconds: 500_000_000) }
      }
    }
  }

  func refusal(of snapshot: SnapshotRecord, _ error: StateError) -> StorageError {
    var refusal = StorageError(path: folder, reason: "snapshot '\(snapshot.name)': \(error)")
    refusal.isUsage = error.offset < 0
    return refusal
  }

  /// Makes a machine that has not run yet what it was at a snapshot. Its disks are that already.
  public func resume(_ machine: Machine, at snapshot: SnapshotRecord) throws(StorageError) {
    try exclusively { () throws(StorageError) in
      guard let head = try head(of: snapshot) else { return }
      let target = try ContentList(snapshot.memory, in: store, count: snapshot.pageCount)
      do throws(StateError) {
        try machine.putBack(head: head, isFresh: true) { () throws(StorageError) in
          var rest = Set(machine.usedPages)
          let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
          defer { room.deallocate() }
          try target.forEach(in: store) { (slot, name) throws(StorageError) in
            guard machine.hasPage(Int(slot)) else { throw beyond(slot) }
            try store.read(name, into: room)
            rest.remove(UInt32(slot))
            machine.putBackPage(Int(slot), UnsafeRawPointer(room.baseAddress.unsafelyUnwrapped))
          }
          for page in rest { machine.putBackPage(Int(page), nil) }
        }
      } catch { throw refusal(of: snapshot, error) }
      memoryBase = target
      var new = state
      new.resumes = false
      try publish(new)
    }
  }

  /// The machine boots from its disks: it does not go on from where it was gone back to.
  public func forgetResume() throws(StorageError) {
    try exclusively { () throws(StorageError) in
      if !state.resumes { return }
      var new = state
      new.resumes = false
      try publish(new)
    }
  }

  private func beyond(_ slot: UInt64) -> StorageError {
    StorageError(path: store.folder, reason: "page \(slot) is behind the machine's memory")
  }

  // MARK: Memory

  /// Pages to be put back, and what they hold; nil: zeros.
  private struct Wanted {
    var pages: [UInt32] = []
    var names: [ContentName] = []
    var count: Int { pages.count }
    let room: UnsafeMutableRawPointer

    init(pages: [UInt32], names: [ContentName]) {
      (self.pages, self.names) = (pages, names)
      room = .allocate(byteCount: max(pages.count, 1) * 4096, alignment: 4096)
    }
  }

  /// Reads what all pages held that may differ: those given, and those in which the target differs from what the machine was before.
  private func contents(of target: ContentList, besides known: Set<UInt32>) throws(StorageError)
    -> Wanted
  {
    var pages = known
    if let memoryBase {
      try target.difference(from: memoryBase, in: store) { (slot, _, _) throws(StorageError) in
        pages.insert(UInt32(slot))
      }
    } else {
      try target.forEach(in: store) { (slot, _) throws(StorageError) in
        pages.insert(UInt32(slot))
      }
    }
    let sorted = pages.sorted()
    let reader = ContentListReader(target, in: store)
    var names: [ContentName] = []
    names.reserveCapacity(sorted.count)
    for page in sorted { names.append(try reader.name(UInt64(page))) }
    let wanted = Wanted(pages: sorted, names: names)
    for (index, name) in names.enumerated() where name != .zero {
      do throws(StorageError) {
        try store.read(
          name,
          into: UnsafeMutableRawBufferPointer(start: wanted.room + index * 4096, count: 4096))
      } catch {
        wanted.room.deallocate()
        throw error
      }
    }
    return wanted
  }

  private func put(_ wanted: Wanted, into machine: Machine) throws(StorageError) {
    defer { wanted.room.deallocate() }
    for page in wanted.pages where !machine.hasPage(Int(page)) { throw beyond(UInt64(page)) }
    for (index, page) in wanted.pages.enumerated() {
      machine.putBackPage(
        Int(page), wanted.names[index] == .zero ? nil : UnsafeRawPointer(wanted.room + index * 4096)
      )
    }
  }

  // MARK: Disks

  /// Lets the disks show what they held at a snapshot; nothing is written yet.
  private func holdDisks(_ snapshot: SnapshotRecord, _ maps: [Int: ClusterMap]) throws(StorageError)
  {
    var failure: StorageError?
    for (index, attachment) in attachedDisks {
      guard let undo = attachment.undo else { continue }
      do throws(StorageError) {
        try attachment.alone { () throws(StorageError) in
          // What waits is the guest's; what comes is not until it is released.
          try undo.prepareBegin()
          undo.hold()
          try write(maps[index] ?? ClusterMap(), to: undo, disk: index)
        }
      } catch {
        failure = error
        break
      }
    }
    if let failure {
      cancelHeldDisks()
      throw failure
    }
  }

  private func cancelHeldDisks() {
    for (_, attachment) in attachedDisks {
      guard let undo = attachment.undo, undo.isHeld else { continue }
      try? attachment.alone { () throws(StorageError) in undo.cancelHold() }
    }
  }

  /// Writes what clusters held at a snapshot: the map has what is in the store, the present log what was overwritten since.
  private func write(_ map: ClusterMap, to undo: UndoDevice, disk: Int) throws(StorageError) {
    let size = state.disks[disk].byteCount
    let room = UnsafeMutableRawBufferPointer.allocate(
      byteCount: UndoDevice.clusterSize, alignment: 4096)
    defer { room.deallocate() }
    let perCluster = UInt64(UndoDevice.clusterSize / undo.blockSize)
    func put(
      _ cluster: UInt64, _ read: (UnsafeMutableRawBufferPointer) throws(StorageError) -> Void
    )
      throws(StorageError)
    {
      let count = min(SnapshotTree.clusterSize, size - cluster * SnapshotTree.clusterSize)
      let part = UnsafeMutableRawBufferPointer(rebasing: room[..<Int(count)])
      try read(part)
      try undo.write(block: cluster * perCluster, from: UnsafeRawBufferPointer(part))
    }
    // What the log has is looked at first: to write adds to it.
    if let log = undo.log {
      for cluster in log.clusters where map.names[cluster] == nil {
        try put(cluster) { (part) throws(StorageError) in _ = try log.read(cluster, into: part) }
      }
    }
    for cluster in map.clusters {
      let name = map.names[cluster].unsafelyUnwrapped
      try put(cluster) { (part) throws(StorageError) in try store.read(name, into: part) }
    }
  }

  /// Makes disks of images what they were at a snapshot. No machine runs.
  /// - Parameter onlyDisks: the machine boots from them; otherwise it goes on at its next start as it was.
  public func restore(_ text: String, onlyDisks: Bool) throws(StorageError) -> SnapshotRecord {
    try exclusively { () throws(StorageError) in
      let snapshot = try find(text)
      try checkContents(of: snapshot, machine: !onlyDisks)
      var new = state
      new.restoring = snapshot.id
      new.current = snapshot.id
      new.resumes = !onlyDisks && snapshot.kind == .machine
      // What the present logs have is needed, too.
      try beginLogs()
      try absorb(into: &new)
      try finishGoingBack(to: snapshot)
      return snapshot
    }
  }

  /// Looks whether everything is there that a snapshot has, before anything is given up for it.
  private func checkContents(of snapshot: SnapshotRecord, machine: Bool) throws(StorageError) {
    func check(_ name: ContentName, _ what: String) throws(StorageError) {
      if name == .zero || store.contains(name) { return }
      throw StorageError(
        path: folder,
        reason:
          "'\(snapshot.name)' is damaged: object \(name.short), \(what), is not in the store; the disks stay as they are ('apus "
          + "snapshot verify' tells all of it)")
    }
    if machine, snapshot.kind == .machine {
      _ = try head(of: snapshot)
      let list = try ContentList(snapshot.memory, in: store, count: snapshot.pageCount)
      try list.forEach(in: store) { (slot, name) throws(StorageError) in
        try check(name, "page \(slot) of its memory")
      }
    }
    for (index, _) in attachedDisks {
      for (cluster, name) in try differences(snapshot, disk: index).names {
        try check(name, "cluster \(cluster) of \(state.disks[index].drive.dropFirst(7))")
      }
    }
  }

  /// Writes what disks have to become, after the tree has said so.
  func finishGoingBack(to snapshot: SnapshotRecord) throws(StorageError) {
    for (index, attachment) in attachedDisks {
      guard let undo = attachment.undo else { continue }
      let map = try differences(snapshot, disk: index)
      try attachment.alone { () throws(StorageError) in
        try write(map, to: undo, disk: index)
        try undo.flush()
      }
    }
    var new = state
    new.restoring = nil
    try publish(new)
  }
}

extension ContentList {
  /// A memory's list; that of zeros where all of it is.
  public init(_ name: ContentName, in store: ContentStore, count: UInt64) throws(StorageError) {
    if name == .zero {
      self = ContentList(zeros: count)
    } else {
      self = try ContentList(name, in: store)
      if self.count != count {
        throw StorageError(
          path: store.folder,
          reason: "object \(name.short), a list of \(self.count) pages, is there for \(count)")
      }
    }
  }
}
