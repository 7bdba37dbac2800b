// Disks that are changed while the machine runs.
//
// Owns: opening and checking an image before it goes into a drive, which disk is where, what is kept of disks that were taken out.
// Must not know: controllers' registers, who asked.
//
// A change is input like a key: it is logged with the file's name and a hash of what the disk holds, so that a replay puts in the same disk
// or says why it cannot. What the guest wrote is flushed when the disk goes out, and the file is free for others then; disks whose writes
// stay in memory, or may have to be undone, are kept for when they come back, unless somebody has changed their files by then.

import Chipset
import Host
import State
import Storage

/// A disk to be put into a floppy drive.
public struct FloppyChoice: Equatable, Sendable {
  /// The image file.
  public var path: String
  /// The disk's tab is closed: it cannot be written.
  public var isProtected: Bool
  /// What the disk held when it was put in; empty until then.
  var identity: String

  public init(path: String, isProtected: Bool = false) {
    self.init(path: path, isProtected: isProtected, identity: "")
  }

  /// An image as users write it: `:ro` behind the name means write-protected, unless a file has that very name.
  public static func parts(of text: String) -> (path: String, isProtected: Bool) {
    guard text.hasSuffix(":ro"), text.utf8.count > 3, !HostFiles.exists(text) else {
      return (text, false)
    }
    return (String(text.dropLast(3)), true)
  }

  init(path: String, isProtected: Bool, identity: String) {
    self.path = path
    self.isProtected = isProtected
    self.identity = identity
  }
}

/// Why a disk was not changed, in one line.
public struct MediaError: Error, Equatable, CustomStringConvertible {
  public var description: String
}

/// What a floppy drive is and holds.
public struct FloppyDriveStatus: Equatable, Sendable {
  public var type: FloppyDriveType
  /// The image's name; nil: no disk.
  public var disk: String?
  public var format: String?
  public var isProtected = false
}

extension Machine {
  /// The floppy drives, A first.
  public var floppyDrives: [FloppyDriveStatus] {
    floppyDisks.enumerated().map { index, disk in
      FloppyDriveStatus(
        type: floppyController.driveType(index), disk: disk?.name, format: disk?.format?.name,
        isProtected: disk?.isReadOnly ?? false)
    }
  }

  /// Puts a disk into a floppy drive (0: A), or takes it out with nil, for who holds the machine still; others post
  /// `MachineInput.floppy`. It is input: it is logged, and in the past the run goes another way from here on.
  /// - Throws: why nothing was changed.
  public func changeFloppy(drive: Int, to choice: FloppyChoice?) throws(MediaError) {
    let settled = try prepareFloppy(drive, choice)
    act(.floppy(drive: drive, disk: settled))
  }

  /// The name of a drive.
  static func floppyName(_ drive: Int) -> String { drive == 0 ? "A" : "B" }

  func floppyNotice(_ drive: Int, _ choice: FloppyChoice?) -> String {
    let name = Machine.floppyName(drive)
    guard let choice else { return "\(name): ejected" }
    let file = choice.path.split(separator: "/").last.map(String.init) ?? choice.path
    return "\(name): \(file)" + (choice.isProtected ? " (write-protected)" : "")
  }

  // MARK: Changing

  /// Finds out whether a change is possible and leaves its disk in `preparedDisk`. The guest notices nothing.
  /// - Returns: the choice with all that is to be written down of it.
  func prepareFloppy(_ drive: Int, _ choice: FloppyChoice?) throws(MediaError) -> FloppyChoice? {
    let name = Machine.floppyName(drive)
    guard floppyDisks.indices.contains(drive), floppyController.driveType(drive) != .none else {
      throw MediaError(
        description: "there is no floppy drive \(name)"
          + (drive == 1 ? " (--floppy-b empty makes one without a disk)" : ""))
    }
    guard let choice else {
      if floppyDisks[drive] == nil {
        throw MediaError(description: "there is no disk in drive \(name)")
      }
      return nil
    }
    if let prepared = preparedDisk, choice.identity != "", prepared.name == choice.path {
      return choice
    }
    do throws(StorageError) {
      let disk = try opened(choice, for: drive)
      var isAccepted = false
      defer { if !isAccepted, !isInDrive(disk) { disk.unlock() } }
      guard let format = disk.format else {
        throw StorageError(path: choice.path, reason: "is a hard disk image")
      }
      if !floppyController.driveType(drive).accepts(format) {
        throw StorageError(
          path: choice.path, reason: "a \(format.name) disk does not fit into drive \(name)")
      }
      let settled = FloppyChoice(
        path: choice.path, isProtected: disk.isReadOnly, identity: try diskIdentity(disk))
      if choice.identity != "" && settled.identity != choice.identity {
        throw StorageError(
          path: choice.path,
          reason: "was \(choice.identity) when it was put in, but is \(settled.identity) now")
      }
      preparedDisk = disk
      isAccepted = true
      return settled
    } catch {
      throw MediaError(description: "\(error)")
    }
  }

  private func opened(_ choice: FloppyChoice, for drive: Int) throws(StorageError) -> MachineDisk {
    for (index, other) in floppyDisks.enumerated() where index != drive {
      if let other, HostFiles.isSame(other.name, choice.path),
        !other.isReadOnly || !choice.isProtected
      {
        throw StorageError(
          path: choice.path, reason: "is in drive \(Machine.floppyName(index)) already")
      }
    }
    for other in hardDisks.compactMap({ $0 }) where HostFiles.isSame(other.name, choice.path) {
      throw StorageError(path: choice.path, reason: "is a hard disk of this machine")
    }
    // What was written to it may be in memory only.
    if let known = shelf.first(where: {
      HostFiles.isSame($0.name, choice.path) && staysOpen($0)
        && ($0.isReadOnly || !choice.isProtected) && (!isInDrive($0) || floppyDisks[drive] === $0)
        && ($0.persistence == .overlay || $0.changeByOthers == nil)
    }) {
      if !isInDrive(known) { try known.lockAgain() }
      return known
    }
    if let present = floppyDisks[drive], HostFiles.isSame(present.name, choice.path) {
      // The same name once more, perhaps another file by now: the old one has to be let go first.
      take(.floppy(drive: drive, disk: nil))
    }
    let image = try ImageOpener.open(
      path: choice.path, kind: .floppy, readOnly: choice.isProtected,
      snapshot: configuration.keepsWritesInMemory || journal?.isReplay == true)
    let disk = MachineDisk(beside(image))
    disk.refused = { [unowned self, unowned disk] in note($0, of: disk) }
    return disk
  }

  /// An image that was opened while the machine runs, as those are that it began with.
  func beside(_ image: OpenedImage) -> MachineImage {
    MachineImage(image).beside(
      mode: configuration.diskThreads, writesBehind: configuration.diskErrors != .report)
  }

  func isInDrive(_ disk: MachineDisk) -> Bool {
    (floppyDisks + cdDiscs).contains { $0 === disk }
  }

  /// Whether a disk is kept when it is taken out.
  func staysOpen(_ disk: MachineDisk) -> Bool {
    switch disk.persistence {
    case .memory: true
    case .overlay: timeTravel != nil || disk.writtenBlockCount > 0
    case .file: timeTravel != nil
    }
  }

  /// Carries a change out: of the user now, or of a recording, or of the past.
  func putFloppy(_ drive: Int, _ choice: FloppyChoice?) throws(MediaError) {
    let settled = try prepareFloppy(drive, choice)
    let disk = settled == nil ? nil : preparedDisk
    preparedDisk = nil
    do throws(StorageError) {
      let old = floppyDisks[drive]
      var failure: StorageError?
      if let old, old !== disk {
        do throws(StorageError) { try old.flush() } catch { failure = error }
        var hash = StateHash()
        hash.add(ejectedWrites)
        hash.add(old.writeHash)
        ejectedWrites = hash.value
        if let loss = old.displacement, failure == nil {
          failure = StorageError(
            path: old.name, reason: "\(loss): what the guest wrote to it is lost")
        }
        if !staysOpen(old) {
          shelf.removeAll { $0 === old }
          if closesEjectedDisks { old.close() }
        } else if timeTravel != nil {
          // In the past it is written as it was written before.
          do throws(StorageError) { if isMuted { old.unlock() } else { try old.release() } } catch {
            failure = failure ?? error
          }
        }
      }
      try floppyController.insert(drive: drive, medium: disk.flatMap(Machine.medium))
      floppyDisks[drive] = disk
      connectFloppy(disk, drive)
      if let disk, old !== disk {
        disk.writeHash = 0
        if !shelf.contains(where: { $0 === disk }) { shelf.append(disk) }
        if timeTravel != nil { disk.startTracking() }
      }
      // The disk is out all the same; what could not be kept must be heard of.
      if let failure, !isMuted { notice("\(failure)") }
    } catch {
      throw MediaError(description: "\(error)")
    }
  }

  private static func medium(_ disk: MachineDisk) -> FloppyMedium? {
    disk.format.map { FloppyMedium(image: disk, format: $0) }
  }

  /// Returns when everything that was written to disks is with the host's stable storage.
  public func flushDisks() throws(StorageError) {
    for disk in disks { try disk.original.flush() }
  }

  /// The same at the end of a run: no image says any more that somebody writes it.
  public func finishDisks() throws(StorageError) {
    for disk in disks { try disk.original.finish() }
  }

  /// Image files that the guest has written to and nobody will find, with the reason.
  public var lostImages: [(name: String, reason: String)] {
    disks.compactMap { disk in disk.displacement.map { (disk.name, $0) } }
  }

  /// Names of all files that are, or were, in the machine's drives, or that it was made of.
  public var inputFiles: [String] {
    var names: [String] = []
    for disk in disks where disk.persistence != .memory {
      names.append(disk.name)
      // An image may stand above others.
      names += disk.layers.compactMap(\.file).filter { $0 != disk.name }
    }
    return names
      + ([configuration.bios, configuration.kernel?.kernel, configuration.kernel?.initrd]
      .compactMap { $0 } + configuration.roms.map(\.file)
      + (configuration.kernel?.modules.map(\.file) ?? [])).map(\.path)
  }

  // MARK: Replay and the past

  /// Refuses a recording whose disks are not what they were, before anything runs.
  func checkInsertedDisks(_ recording: Recording) throws(RecordingError) {
    for (kind, choice) in recording.insertedDisks
    where !shelf.contains(where: { HostFiles.isSame($0.name, choice.path) }) {
      do throws(StorageError) {
        let image = try ImageOpener.open(
          path: choice.path, kind: kind, readOnly: choice.isProtected, snapshot: true)
        let found = try diskIdentity(MachineDisk(MachineImage(image)))
        if found != choice.identity {
          throw StorageError(
            path: choice.path, reason: "was \(choice.identity) when recorded, but is \(found) now")
        }
      } catch {
        throw RecordingError(reason: "a disk that was put in: \(error)")
      }
    }
  }

  /// Which disk of the shelf is in which floppy drive.
  var mediaPlaces: MediaPlaces {
    get {
      func places(_ disks: [MachineDisk?]) -> [Int?] {
        disks.map { disk in disk.flatMap { disk in shelf.firstIndex { $0 === disk } } }
      }
      return MediaPlaces(
        floppies: places(floppyDisks), cds: places(cdDiscs), ejectedWrites: ejectedWrites)
    }
    set {
      ejectedWrites = newValue.ejectedWrites
      let wanted = (newValue.floppies + newValue.cds).compactMap { $0 }.map { shelf[$0] }
      let present = (floppyDisks + cdDiscs).compactMap { $0 }
      for disk in present where !wanted.contains(where: { $0 === disk }) { disk.unlock() }
      for disk in wanted where !present.contains(where: { $0 === disk }) {
        do throws(StorageError) { try disk.lockAgain() } catch { notice("\(error)") }
      }
      for (drive, place) in newValue.floppies.enumerated() {
        let disk = place.map { shelf[$0] }
        if floppyDisks[drive] === disk { continue }
        floppyDisks[drive] = disk
        connectFloppy(disk, drive)
        // The change line and the rest come with the controller's state; the disk fitted before.
        try? floppyController.insert(drive: drive, medium: disk.flatMap(Machine.medium))
      }
      for (drive, place) in newValue.cds.enumerated() {
        let disc = place.map { shelf[$0] }
        if cdDiscs[drive] === disc { continue }
        cdDiscs[drive] = disc
        // Tray and attention come with the drive's state.
        cdDrives[drive].change(to: disc?.cd)
      }
    }
  }
}

/// Which disk of the shelf is in which drive.
struct MediaPlaces {
  var floppies: [Int?]
  var cds: [Int?]
  /// The hash of what was written to disks that were taken out.
  var ejectedWrites: UInt64
}
