// Taking a snapshot.
//
// Owns: the order: logs, the copy of the machine, the store. Must not know: whose machine it is, what is told of it.
// The machine stands only while it is copied and its disks' new logs begin. What fails afterwards leaves the tree as it was; the new logs go
// on for the period that was not ended.

import Host
import Machine
import State
import Storage
import Store
import Video

/// What a snapshot is to be.
public struct SnapshotWish: Sendable {
  /// nil: it gets a number.
  public var name: String?
  public var note = ""
  /// Disks alone.
  public var onlyDisks = false
  /// It is removed when the run ends.
  public var isTemporary = false
  /// How the machine was started; of a base, for which folder of backups it is there.
  public var arguments: [String] = []
  /// What a backup is made from, and the next one goes on from.
  public var isBase = false

  public init(_ name: String? = nil) { self.name = name }
}

/// What taking one took.
public struct SnapshotTiming: Equatable, Sendable {
  /// Nanoseconds of the host that the machine stood.
  public var pause: UInt64 = 0
  /// Until everything was on stable storage.
  public var total: UInt64 = 0
  /// Pages that were copied, or put back.
  public var pages = 0
  /// Bytes that the store had not had.
  public var newBytes: UInt64 = 0

  public init() {}
}

/// Runs something while the machine stands between two instructions, and gives it the machine.
public typealias MachineHold = (
  _ body: @escaping (Machine) throws(StorageError) -> Void
) throws(StorageError) -> Void

extension SnapshotTree {
  /// Takes a snapshot. All of it is on stable storage when this returns.
  /// - Parameters:
  ///   - wish: what it is to be.
  ///   - waits: whether it waits for other operations to end: not on the machine's thread.
  ///   - hold: nil: no machine runs, the snapshot is of disks alone.
  /// - Throws: the tree is what it was.
  public func take(
    _ wish: SnapshotWish,
    waits: Bool = true, hold: MachineHold?
  ) throws(StorageError) -> (SnapshotRecord, SnapshotTiming) {
    try atOnce(waits) { () throws(StorageError) in try takeAlone(wish, hold) }
  }

  private func takeAlone(
    _ wish: SnapshotWish, _ hold: MachineHold?
  ) throws(StorageError) -> (SnapshotRecord, SnapshotTiming) {
    let start = HostClock.nanoseconds()
    let name = try freeName(wish.name)
    guard wish.note.utf8.count <= SnapshotRecord.longestNote else {
      throw usage("a note has at most \(SnapshotRecord.longestNote) bytes")
    }
    // Before anything begins: what is kept of disks meanwhile counts, too.
    if state.quota > 0, store.usage().onDisk + logBytes > state.quota {
      throw StorageError(
        path: folder,
        reason:
          "takes more than its quota of \(state.quota) bytes: delete snapshots, or allow more "
          + "('apus snapshot quota')", lacksRoom: true)
    }
    for (_, attachment) in attachedDisks {
      guard let undo = attachment.undo else { continue }
      try attachment.alone { () throws(StorageError) in try undo.prepareBegin() }
    }
    if let hold, memoryBase == nil, !wish.onlyDisks {
      // All of the memory is copied: the copy's own is there before the machine stands.
      var count = 0
      try hold { (machine) throws(StorageError) in count = machine.usedPages.count }
      pool.prepare(pages: count + count / 16 + 256)
    }
    let number = takeNumber()
    var timing = SnapshotTiming()
    var capture: MachineCapture?
    let base = memoryBase
    if let hold {
      try hold { [self] (machine) throws(StorageError) in
        let start = HostClock.nanoseconds()
        try machine.commitHeldDisks()
        for (index, _) in attachedDisks { try beginLog(index, number) }
        machine.imageFilesAreWritten()
        if !wish.onlyDisks {
          capture = machine.capture(
            onlyChanged: base != nil, further: base == nil ? [] : lostPages, pool: pool)
        }
        timing.pause = HostClock.nanoseconds() &- start
      }
    } else {
      for (index, _) in attachedDisks { try beginLog(index, number) }
    }
    do throws(StorageError) {
      let record = try keep(wish, name, number, capture, base, &timing)
      lostPages = []
      capture?.giveBack(to: pool)
      timing.total = HostClock.nanoseconds() &- start
      return (record, timing)
    } catch {
      // What was copied is known no more, and would be missing in the next.
      if let capture { lostPages.formUnion(capture.pages) }
      throw error
    }
  }

  private func keep(
    _ wish: SnapshotWish, _ name: String, _ number: UInt64, _ capture: MachineCapture?,
    _ base: ContentList?, _ timing: inout SnapshotTiming
  ) throws(StorageError) -> SnapshotRecord {
    let batch = store.begin()
    var new = state
    let logs = try absorb(into: &new, batch)
    new.periods.append(TreePeriod(number: number, maps: new.disks.map { _ in [] }))
    var record = SnapshotRecord(
      id: newIdentity(), name: name, note: wish.note, created: HostClock.utcSeconds(),
      parent: state.current,
      kind: wish.isBase ? .base : capture == nil ? .disks : .machine,
      isTemporary: wish.isTemporary, instruction: capture?.instruction ?? 0,
      time: capture?.time ?? 0, period: number, head: .zero, memory: .zero,
      pageCount: UInt64(capture?.pageCount ?? 0), text: capture?.text, picture: .zero,
      arguments: wish.arguments)
    var memory: ContentList?
    if let capture {
      record.head = try StoredBytes.add(capture.head, to: batch)
      let list = try pages(of: capture, base, batch)
      record.memory = list.name
      memory = list
      timing.pages = capture.pages.count
      record.picture = try StoredBytes.add(
        PNG.encode(capture.picture.reduced(toWidth: 320)), to: batch)
    }
    new.snapshots.append(record)
    // A machine that is to go on from where it was gone back to still can: its disks are what they were.
    if !wish.isBase, memory != nil || !new.resumes {
      new.current = record.id
      new.resumes = false
    }
    timing.newBytes = batch.newBytes
    try publish(new, batch)
    if capture != nil { memoryBase = memory }
    remove(logs: logs)
    return record
  }

  private func pages(of capture: MachineCapture, _ base: ContentList?, _ batch: Batch)
    throws(StorageError) -> ContentList
  {
    var entries: [(slot: UInt64, name: ContentName)] = []
    entries.reserveCapacity(capture.pages.count)
    for (index, page) in capture.pages.enumerated() {
      entries.append((UInt64(page), try batch.add(capture.contents(index))))
    }
    if let base, !capture.isWhole { return try base.changing(entries, into: batch) }
    return try ContentList(count: UInt64(capture.pageCount), entries, into: batch)
  }

  private func usage(_ reason: String) -> StorageError {
    var error = StorageError(path: folder, reason: reason)
    error.isUsage = true
    return error
  }

  private func freeName(_ wanted: String?) throws(StorageError) -> String {
    let taken = Set(state.snapshots.map(\.name))
    guard let wanted else {
      var number = state.snapshots.count + 1
      while taken.contains("snapshot-\(number)") { number += 1 }
      return "snapshot-\(number)"
    }
    if let obstacle = SnapshotTree.obstacle(toName: wanted) { throw usage(obstacle) }
    if taken.contains(wanted) {
      throw usage("there is a snapshot '\(wanted)' already: give another name, or delete it")
    }
    return wanted
  }

  private func newIdentity() -> String {
    var random = SystemRandomNumberGenerator()
    while true {
      let text = String(UInt64.random(in: .min ... .max, using: &random), radix: 16)
      let id = String(repeating: "0", count: 16 - text.count) + text
      if state.snapshot(id) == nil { return id }
    }
  }
}

extension Frame {
  /// The same, smaller by a whole number where it is wider than wished: every so manieth pixel of it.
  func reduced(toWidth most: Int) -> Frame {
    let step = (width + most - 1) / most
    if step <= 1 { return self }
    var small = Frame(width: width / step, height: max(1, height / step))
    (small.aspectWidth, small.aspectHeight) = (aspectWidth, aspectHeight)
    for y in 0..<small.height {
      for x in 0..<small.width {
        small.pixels[y * small.width + x] = pixels[y * step * width + x * step]
      }
    }
    return small
  }
}
