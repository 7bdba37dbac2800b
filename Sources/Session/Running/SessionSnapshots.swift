// A session's snapshots: the tree beside its first image.
//
// Owns: which folder, when the tree is opened and made, the ways to it from any thread. Must not know: how a tree works.
// A run whose image has snapshots keeps what it overwrites for them; one without costs nothing.

import Host
import Machine
import Snapshots
import State
import Storage

/// What a session does about snapshots.
public enum SnapshotUse: Equatable, Sendable {
  /// Those that the image has are kept usable; the first is made when it is asked for.
  case automatic
  /// The tree is made at once.
  case wanted
  /// None: those that there are do not fit any more when a disk is written.
  case none
}

/// A session's tree, and who hears of it.
struct SessionTree {
  var tree: SnapshotTree?
  var opened: (@Sendable (Session, String) -> Void)?
}

extension Session {
  /// The drives whose contents are kept as they are overwritten. CDs are not written, and floppies are small: each snapshot has all of them.
  private func attachments() -> [TreeAttachment] {
    let opened = machine.configuration
    var list: [TreeAttachment] = []
    func add(_ drive: String, _ image: MachineImage?) {
      guard let image, image.device.persistence != .memory,
        image.undo != nil || !image.device.isReadOnly
      else { return }
      let queue = image.device as? QueuedDevice
      list.append(
        TreeAttachment(
          drive: "medium-" + drive, path: image.name, device: image.device, undo: image.undo
        ) { (body) throws(StorageError) in
          if let queue { try queue.alone(body) } else { try body() }
        })
    }
    for (index, image) in opened.disks.enumerated() { add("disk\(index)", image) }
    add("flash", opened.flash)
    return list
  }

  /// Where the session's snapshots are; nil: there is no image beside which they could be.
  public var snapshotFolder: String? {
    if let folder = configuration.snapshotFolder { return folder }
    let opened = machine.configuration
    let images = (opened.disks + opened.floppies).compactMap { $0 }
    let first =
      images.first { $0.undo != nil } ?? images.first { $0.device.persistence != .memory }
    return first.map { SnapshotTree.folder(of: $0.name) }
  }

  /// Opens the tree where there is one, or one is wanted, and makes the machine what it was at the snapshot that was gone back to.
  func openSnapshots() throws(SessionError) {
    if configuration.snapshots == .none { return }
    if lockstep != nil, configuration.snapshots == .wanted {
      throw SessionError(.configuration, "two machines in lockstep have no snapshots")
    }
    guard let folder = snapshotFolder else {
      if configuration.snapshots == .automatic { return }
      throw SessionError(
        .configuration,
        "snapshots need a disk image, beside which they are kept (or --snapshots-in FOLDER)")
    }
    let isThere = SnapshotTree.exists(in: folder)
    // What is not written needs no tree.
    let opened = machine.configuration
    let writes = (opened.disks + opened.floppies).contains { $0?.undo != nil }
    guard
      isThere ? writes || configuration.snapshots == .wanted : configuration.snapshots == .wanted
    else { return }
    let tree: SnapshotTree
    do throws(StorageError) { tree = try openTree(folder, isThere) } catch {
      throw SessionError(.image, "\(error)", file: error.path)
    }
    if let name = configuration.takenAtEnd, tree.snapshots.contains(where: { $0.name == name }) {
      throw SessionError(
        .configuration, "\(folder): there is a snapshot '\(name)' already", file: folder)
    }
    guard let snapshot = tree.resumed else { return }
    do throws(StorageError) {
      if configuration.resumesSnapshot, configuration.loadState == nil,
        configuration.replay == nil, lockstep == nil
      {
        try tree.resume(machine, at: snapshot)
        observers.tell(.notice("goes on from snapshot '\(snapshot.name)'"))
        if configuration.releasesHeldInput { machine.releaseHeldInput() }
        let away = HostClock.utcSeconds() - snapshot.created
        if snapshot.isTemporary, configuration.followsHostTime, away > 0 {
          machine.input.post(.clock(seconds: UInt64(away)))
        }
      } else {
        try tree.forgetResume()
      }
    } catch {
      throw SessionError(
        .image,
        "\(error) ('apus snapshot show' tells how it was started; --no-resume boots from the disks instead)",
        file: error.path)
    }
  }

  func openTree(_ folder: String, _ isThere: Bool) throws(StorageError) -> SnapshotTree {
    let list = attachments()
    let tree: SnapshotTree
    if isThere {
      tree = try SnapshotTree(opening: folder, writable: true, keys: machine.volumeKeys)
      try tree.attach(list)
    } else {
      tree = try SnapshotTree(creating: folder, for: list, keys: machine.volumeKeys)
    }
    let hear = snapshots.withLock { place in
      place.tree = tree
      return place.opened
    }
    hear?(self, folder)
    return tree
  }

  /// Tells where the session's snapshots are, as soon as there is a place for them; at once where there is one.
  public func onSnapshotTree(_ body: @escaping @Sendable (Session, String) -> Void) {
    let tree = snapshots.withLock { place in
      place.opened = body
      return place.tree
    }
    if let tree { body(self, tree.folder) }
  }

  /// The session's snapshots; nil: none were taken yet.
  public var snapshotTree: SnapshotTree? { snapshots.withLock { $0.tree } }

  /// The same, made where there is none.
  func tree() throws(StorageError) -> SnapshotTree {
    if let tree = snapshotTree { return tree }
    guard moving.withLock({ $0.hasFiles }) else {
      throw refuse("the machine's files are another process's now")
    }
    guard configuration.snapshots != .none else {
      throw refuse("this run is without snapshots (--no-snapshots)")
    }
    guard let folder = snapshotFolder else {
      throw refuse("snapshots need a disk image, beside which they are kept")
    }
    return try openTree(folder, SnapshotTree.exists(in: folder))
  }

  private func refuse(_ reason: String) -> StorageError {
    var error = StorageError(path: "snapshots", reason: reason)
    error.isUsage = true
    return error
  }

  /// Takes a snapshot of the machine, from any thread; it goes on meanwhile but for a moment. All is on stable storage when this returns.
  public func takeSnapshot(_ wish: SnapshotWish) throws(StorageError) -> (
    SnapshotRecord, SnapshotTiming
  ) {
    if lockstep != nil { throw refuse("two machines in lockstep have no snapshots") }
    let tree = try tree()
    var wish = wish
    if wish.arguments.isEmpty { wish.arguments = configuration.arguments }
    // What a run with --snapshot has on its disks is gone with it.
    let opened = machine.configuration
    let images = (opened.disks + opened.floppies).compactMap { $0 }
    if images.contains(where: { $0.device.persistence == .overlay }) { wish.isTemporary = true }
    return try tree.take(wish, waits: !hasMachine) { [self] (body) throws(StorageError) in
      try perform { (machine) throws(StorageError) in try body(machine) }
    }
  }

  /// Makes the machine what it was at a snapshot, from any thread; it goes on from there.
  public func goBack(to name: String) throws(StorageError) -> (SnapshotRecord, SnapshotTiming) {
    if lockstep != nil { throw refuse("two machines in lockstep have no snapshots") }
    if configuration.replay != nil { throw refuse("a recording that is repeated goes its own way") }
    let tree = try tree()
    return try tree.goBack(to: name, waits: !hasMachine) { [self] (body) throws(StorageError) in
      try perform { [self] (machine) throws(StorageError) in
        try body(machine)
        if configuration.releasesHeldInput { machine.releaseHeldInput() }
      }
    }
  }

  /// Deletes snapshots, from any thread. The machine is not stopped.
  public func deleteSnapshots(_ names: [String], descendants: Bool = false) throws(StorageError)
    -> [SnapshotRecord]
  { try tree().delete(names, descendants: descendants, waits: !hasMachine) }
}

extension Session {
  /// Does what a window asks of snapshots, on a thread of its own.
  func answer(_ request: FrontendRequest, _ window: MachineWindow) {
    let started = try? HostThread(detached: true) { [self] in
      let line: String
      do throws(StorageError) {
        switch request {
        case .takeSnapshot:
          let (snapshot, _) = try takeSnapshot(SnapshotWish())
          line = "snapshot '\(snapshot.name)'"
        default:
          guard let last = snapshotTree?.current else {
            window.say("there is no snapshot to go back to (Ctrl+Alt+T takes one)")
            return
          }
          let (snapshot, _) = try goBack(to: last.id)
          line = "back at '\(snapshot.name)'"
        }
      } catch {
        line = "\(error)"
      }
      window.say(line)
    }
    if started == nil { window.say("the host has no thread for it") }
  }
}
