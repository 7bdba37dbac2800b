// A machine's contents from one store into another: what a backup takes out of a tree, and brings back into one.
//
// Owns: copying lists and bytes, with what both have already left where it is. Must not know: whose stores they are.

import State
import Storage
import Store

/// Copies contents between two stores, in one thread.
public final class SnapshotCopy {
  private let source: ContentStore
  private let batch: Batch
  private let target: ContentStore
  /// Names mean the same in both.
  private let sharesNames: Bool
  private var room = UnsafeMutableRawBufferPointer.allocate(
    byteCount: UndoDevice.clusterSize, alignment: 4096)
  /// Objects that had to be read.
  public private(set) var readObjects = 0

  /// - Parameter batch: of `target`.
  public init(from source: ContentStore, into batch: Batch, of target: ContentStore) {
    self.source = source
    self.batch = batch
    self.target = target
    sharesNames = !source.isSealed && !target.isSealed
  }

  deinit { room.deallocate() }

  /// Copies an object of a known length.
  private func object(_ name: ContentName, _ length: Int) throws(StorageError) -> ContentName {
    if name == .zero || sharesNames && batch.keep(name) { return name }
    let part = UnsafeMutableRawBufferPointer(rebasing: room[..<length])
    try source.read(name, into: part)
    readObjects += 1
    return try batch.add(UnsafeRawBufferPointer(part))
  }

  /// Copies bytes that `StoredBytes` keeps.
  public func bytes(_ name: ContentName, limit: Int) throws(StorageError) -> ContentName {
    try StoredBytes.add(try StoredBytes.read(name, in: source, limit: limit), to: batch)
  }

  /// Copies a memory.
  /// - Parameters:
  ///   - list: of pages.
  ///   - old: a list in the target that may have much of it, complete; nil: none.
  ///   - source: the list in the source that the old one was copied from, where it is still there.
  public func pages(
    _ list: ContentList, old: ContentList?, copiedFrom oldSource: ContentList? = nil
  ) throws(StorageError) -> ContentList {
    var changes: [(slot: UInt64, name: ContentName)] = []
    guard let old, old.count == list.count, sharesNames || oldSource != nil else {
      try list.forEach(in: source) { (slot, name) throws(StorageError) in
        changes.append((slot, try object(name, 4096)))
      }
      return try ContentList(count: list.count, changes, into: batch)
    }
    try list.difference(
      from: oldSource ?? old, in: source, oldStore: oldSource == nil ? target : nil
    ) { (slot, _, new) throws(StorageError) in
      changes.append((slot, try object(new, 4096)))
    }
    if changes.isEmpty { return old }
    return try old.changing(changes, into: batch)
  }
}

extension SnapshotTree {
  /// Takes what a snapshot has of the machine out of the tree.
  /// - Parameter old: the memory of an earlier backup, complete, and its base; nil: none.
  /// - Returns: the names that it has in the batch's store.
  public func copy(
    _ snapshot: SnapshotRecord, into batch: Batch, of target: ContentStore,
    old: (memory: ContentList, base: String)?
  ) throws(StorageError) -> (head: ContentName, memory: ContentName, picture: ContentName) {
    let copy = SnapshotCopy(from: store, into: batch, of: target)
    let memory = try ContentList(snapshot.memory, in: store, count: snapshot.pageCount)
    return (
      try copy.bytes(snapshot.head, limit: 4 << 30),
      try copy.pages(
        memory, old: old?.memory,
        copiedFrom: target.isSealed
          ? exclusively { old.flatMap { old in baseMemories[old.base] } } : nil
      ).name,
      try copy.bytes(snapshot.picture, limit: 64 << 20)
    )
  }

  /// Makes a tree of one snapshot, of a machine that was brought here from another store: its disks hold what they held then, and it goes on
  /// from there at its next start. Nobody else uses the folder.
  /// - Parameters:
  ///   - record: what is known of it; its contents are in `source`.
  ///   - attachments: its disks, open.
  public static func plant(
    in folder: String, _ record: SnapshotRecord, from source: ContentStore,
    disks attachments: [TreeAttachment], keys: [VolumeKey]
  ) throws(StorageError) {
    let tree = try SnapshotTree(creating: folder, for: attachments, keys: keys)
    try tree.exclusively { () throws(StorageError) in
      let batch = tree.store.begin()
      var (new, record) = (tree.state, record)
      if record.kind == .machine {
        let copy = SnapshotCopy(from: source, into: batch, of: tree.store)
        let memory = try ContentList(record.memory, in: source, count: record.pageCount)
        record.head = try copy.bytes(record.head, limit: 4 << 30)
        record.memory = try copy.pages(memory, old: nil).name
        record.picture = try copy.bytes(record.picture, limit: 64 << 20)
      }
      let number = tree.takeNumber()
      new.periods.append(TreePeriod(number: number, maps: new.disks.map { _ in [] }))
      record.period = number
      record.parent = nil
      new.snapshots = [record]
      new.current = record.id
      new.resumes = record.kind == .machine
      try tree.publish(new, batch)
    }
    try tree.finish()
  }
}
