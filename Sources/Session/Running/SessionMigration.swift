// Moving a session's machine to another process, and what a session begins with whose machine came from one.
//
// Owns: what is said of the machine, its files changing hands, that there is one such at a time, the user's decisions. Must not know: how
// it is sent, command lines.

import Chipset
import Host
import Machine
import Migration
import Snapshots
import State
import Storage

extension Session: MachineKeeper {}

/// What a session's machine being moved is about.
struct SessionMoving {
  var isUnderWay = false
  var isCancelled = false
  /// The machine comes from another process, and is not there yet.
  var isArriving = false
  var doubt: MigrationDoubt?
  /// The machine does not run here any more.
  var isGone = false
  /// Whether its images' files are this session's.
  var hasFiles = true
}

/// How a session's machine is to be moved.
public struct MoveRequest: Sendable {
  public var wish = MigrationWish()
  /// Disks come along; otherwise both places have the same files.
  public var carriesDisks = false
  public var progress: @Sendable (MigrationProgress) -> Void = { _ in }
  /// Told when it is not known whether the machine runs there; it stands until somebody decides. On its thread.
  public var doubt: @Sendable (MigrationDoubt) -> Void = { _ in }

  public init() {}
}

extension Session {
  private func refuse(_ reason: String) -> StorageError {
    var error = StorageError(path: "migration", reason: reason)
    error.isUsage = true
    return error
  }

  /// Moves the machine over a connection, while it runs. Not on the machine's thread.
  /// - Returns: how it went: it runs there, or a user has decided where it runs.
  /// - Throws: the machine goes on here.
  public func move(over link: any ByteLink, to place: String, _ request: MoveRequest)
    throws(StorageError) -> MigrationEnd
  {
    try begin()
    defer { moving.withLock { ($0.isUnderWay, $0.doubt) = (false, nil) } }
    let messages = MigrationLink(link, to: place)
    let right = MigrationRight()
    var disks: [(index: Int, medium: PresentMedium)] = []
    let offer = try perform { [self] (machine) throws(StorageError) in
      try describe(machine, request, right, &disks)
    }
    let handover = request.carriesDisks ? MigrationHandover.nothing : handover()
    let sender = MigrationSender(
      messages, request.wish, right: right, offer: offer, disks: disks, handover: handover,
      progress: request.progress,
      isCancelled: { [self] in moving.withLock { $0.isCancelled } },
      isGone: { [self] machine in
        // Nothing of the guest runs here from now on.
        let doubt = moving.withLock { state -> MigrationDoubt? in
          state.isGone = true
          return state.doubt
        }
        if let right = doubt?.givenUp {
          observers.tell(
            .notice(
              "the machine does not run here any more; at the other end: apus migrate resume MACHINE --code \(right)"
            ))
        }
        machine.input.requestStop(.moved)
      })
    let end = try sender.run(self) { [self] doubt in
      moving.withLock { $0.doubt = doubt }
      request.doubt(doubt)
      observers.tell(
        .notice(
          "\(doubt.reason): it is not known whether the machine runs there, and it stands here ('apus migrate' tells what can be done)"
        ))
    }
    return end
  }

  private func begin() throws(StorageError) {
    if lockstep != nil { throw refuse("two machines in lockstep cannot be moved") }
    if configuration.replay != nil { throw refuse("a recording that is repeated cannot be moved") }
    if configuration.template != nil {
      throw refuse("a machine that goes on from a template cannot be moved: begin it there")
    }
    if machine.timeTravel != nil {
      throw refuse("the past that a debugger keeps of the machine cannot be moved: 'history off'")
    }
    let isFree = moving.withLock { state -> Bool in
      if state.isUnderWay || state.isGone || state.isArriving { return false }
      (state.isUnderWay, state.isCancelled) = (true, false)
      return true
    }
    if !isFree { throw refuse("the machine is being moved already") }
  }

  private func describe(
    _ machine: Machine, _ request: MoveRequest, _ right: MigrationRight,
    _ disks: inout [(index: Int, medium: PresentMedium)]
  ) throws(StorageError) -> MigrationOffer {
    if request.carriesDisks, !machine.volumeKeys.isEmpty {
      throw refuse(
        "a disk is encrypted: what is in it would be at the other end for everybody; have both ends share its file"
      )
    }
    var offer = MigrationOffer(
      lock: right.lock, arguments: configuration.arguments,
      folder: HostProcess.resolved(".") ?? "/", carriesDisks: request.carriesDisks,
      pageCount: UInt64(machine.pageCount), disks: [], media: [],
      head: machine.headForMoving())
    for medium in machine.presentMedia {
      let isFolder = medium.name.hasPrefix("folder:")
      guard medium.isWritten else {
        if medium.persistence == .memory { continue }
        offer.media.append(
          .init(
            drive: medium.drive, path: Session.absolute(medium.name),
            isTemporary: medium.persistence == .overlay))
        continue
      }
      if isFolder {
        throw refuse(
          "\(medium.name): a folder that the guest writes to cannot be moved: give it without 'rw'")
      }
      var disk = MigrationOffer.Disk(
        drive: medium.drive, path: Session.absolute(medium.name),
        format: SnapshotTree.formatName(of: medium.device), blockSize: medium.blockSize,
        blockCount: medium.blockCount)
      if let geometry = medium.geometry {
        (disk.physical, disk.translated) = (geometry.physical, geometry.translated)
      }
      if request.carriesDisks, disk.hasClusters {
        guard medium.undo != nil else { throw refuse("\(medium.name): cannot come along") }
        disks.append((offer.disks.count, medium))
      }
      offer.disks.append(disk)
    }
    for (place, name) in machine.presentDiscs where name == nil {
      offer.media.append(.init(drive: "cd\(place)", path: nil))
    }
    for (index, floppy) in machine.presentFloppies.enumerated()
    where floppy.name == nil && floppy.type != FloppyDriveType.none {
      offer.media.append(.init(drive: "floppy\(index)", path: nil))
    }
    return offer
  }

  /// A path from the root, whatever words are before it.
  static func absolute(_ name: String) -> String {
    for prefix in [ImageOpener.rawPrefix, "folder:"] where name.hasPrefix(prefix) {
      return prefix + absolute(String(name.dropFirst(prefix.count)))
    }
    if name.hasPrefix("/") || name.contains("://") { return name }
    return (HostProcess.resolved(".") ?? "") + "/" + name
  }

  // MARK: Files

  private func handover() -> MigrationHandover {
    final class Marks: @unchecked Sendable { var list: [(PresentMedium, FileMark)] = [] }
    let marks = Marks()
    var handover = MigrationHandover(
      release: { [self] (machine) throws(StorageError) in
        marks.list = []
        for medium in machine.presentMedia where medium.isWritten {
          try medium.device.finish()
          marks.list.append((medium, medium.device.mark()))
        }
        if let tree = snapshotTree {
          try tree.finish(suspendedAt: nil)
          snapshots.withLock { $0.tree = nil }
        }
        moving.withLock { $0.hasFiles = false }
        for (medium, _) in marks.list { medium.device.unlock() }
      },
      takeBack: { [self] (machine) throws(StorageError) in
        for (medium, _) in marks.list { try medium.device.lockAgain() }
        for (medium, mark) in marks.list {
          if let change = medium.device.change(since: mark) {
            throw StorageError(
              path: medium.name,
              reason:
                "\(change) since the machine's right was given away: what the guest knows of it does not hold any more"
            )
          }
        }
        moving.withLock { $0.hasFiles = true }
        if snapshotTree == nil, let folder = snapshotFolder, SnapshotTree.exists(in: folder),
          configuration.snapshots != .none
        {
          _ = try openTree(folder, true)
        }
      })
    handover.prepare = { [self] () throws(StorageError) in
      let written = perform { machine in machine.presentMedia.filter(\.isWritten) }
      for medium in written {
        if let queue = medium.device as? QueuedDevice, let undo = medium.undo {
          try queue.alone { () throws(StorageError) in try undo.flush() }
        }
      }
    }
    return handover
  }

  /// The files of a machine that came from another process are here: gives them to its drives.
  /// - Parameter devices: what is in them, by the drives' names ("disk0").
  /// - Throws: the machine must not run.
  public func imagesHaveCome(_ devices: [String: any BlockDevice]) throws(StorageError) {
    let opened = machine.configuration
    var images: [String: MachineImage] = [:]
    for (number, image) in opened.disks.enumerated() { images["disk\(number)"] = image }
    for (number, image) in opened.floppies.enumerated() { images["floppy\(number)"] = image }
    images["flash"] = opened.flash
    for (drive, device) in devices {
      guard let image = images[drive], let undo = image.undo else {
        throw StorageError(path: drive, reason: "is no drive of the machine")
      }
      if let queue = image.device as? QueuedDevice {
        try queue.alone { () throws(StorageError) in try undo.exchange(device) }
      } else {
        try undo.exchange(device)
      }
    }
    machine.imageFilesHaveCome()
    guard configuration.disksComeLater else { return }
    do throws(SessionError) { try openSnapshots() } catch {
      throw StorageError(path: error.file ?? "snapshots", reason: error.reason)
    }
  }

  // MARK: What a user decides

  /// Wants the machine to stay. What cannot be stopped any more goes on.
  /// - Returns: whether it is being moved.
  public func cancelMove() -> Bool {
    moving.withLock { state in
      guard state.isUnderWay, state.doubt == nil else { return false }
      state.isCancelled = true
      return true
    }
  }

  /// Whether the machine does not run here any more.
  public var hasGone: Bool { moving.withLock { $0.isGone } }

  /// Whether it is under way.
  public var isBeingMoved: Bool { moving.withLock { $0.isUnderWay } }

  /// Whether the machine comes from another process, and is not there yet.
  public var isArriving: Bool {
    get { moving.withLock { $0.isArriving } }
    set { moving.withLock { $0.isArriving = newValue } }
  }

  /// Whether somebody wants the run to end.
  public var isAskedToEnd: Bool { machine.input.requestedStop != nil }

  /// The machine of which it is not known whether it runs at the other end; nil: there is no such doubt.
  public var doubt: MigrationDoubt? { moving.withLock { $0.doubt } }

  /// A machine that came, and of which it is not known whether it runs where it came from, stands in this session before it runs.
  public func setDoubt(_ doubt: MigrationDoubt?) { moving.withLock { $0.doubt = doubt } }
}

extension MigrationHandover {
  /// Each end has files of its own.
  static var nothing: MigrationHandover { MigrationHandover(release: { _ in }, takeBack: { _ in }) }
}
