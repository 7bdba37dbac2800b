// CD drives and the discs in them, which are changed while the machine runs.
//
// Owns: making the drives, opening and checking a CD image before it goes into a drive, what the user does at a drive: the button, another
// disc. Must not know: commands of drives, who asked.
//
// A change is input as that of a floppy is (MediaChanges.swift). The guest may have locked the tray: then the button does what it does on a
// drive, it tells the guest that its user wants the disc, and the disc stays.

import Bus
import Chipset
import Host
import State
import Storage

/// What a CD drive is and holds.
public struct CDDriveStatus: Equatable, Sendable {
  /// Where it is: "primary master" to "secondary slave".
  public var place: String
  /// The same as the channel's name and its place on the cable (0 master, 1 slave).
  public var controller: String
  public var unit: Int
  /// The image's name; nil: no disc.
  public var disc: String?
  /// What is on it, in words.
  public var contents: String?
  /// A disc that lies in an open tray counts as out.
  public var isTrayOpen = false
  /// The guest has locked the tray.
  public var isLocked = false
}

extension Machine {
  /// The CD drives there are.
  public var cdDriveStatus: [CDDriveStatus] {
    cdDrives.indices.map { n in
      CDDriveStatus(
        place: Machine.cdPlace(cdSockets[n].name), controller: cdSockets[n].controller,
        unit: cdSockets[n].unit, disc: cdDiscs[n]?.name, contents: cdDiscs[n]?.cd?.description,
        isTrayOpen: cdDrives[n].isTrayOpen, isLocked: cdDrives[n].isLocked)
    }
  }

  /// A place by the name of its socket.
  private static func cdPlace(_ name: String) -> String {
    switch name {
    case "cd0": "primary master"
    case "cd1": "primary slave"
    case "cd2": "secondary master"
    case "cd3": "secondary slave"
    default: name
    }
  }

  /// Where there are CD drives, in words; nil: nowhere.
  var cdPlaces: String? {
    cdSockets.isEmpty
      ? nil : cdSockets.map { Machine.cdPlace($0.name) }.joined(separator: ", ")
  }

  /// The discs by the places of the board.
  var discsByPlace: [MachineDisk?] {
    board.sockets(.cd).map { socket in
      cdSockets.firstIndex(of: socket).flatMap { cdDiscs[$0] }
    }
  }

  // MARK: Drives

  /// Makes the drives that the configuration has, with their discs.
  func makeCDDrives() throws {
    let sockets = board.sockets(.cd)
    if configuration.cds.dropFirst(sockets.count).contains(where: { $0 != nil }) {
      throw ConfigurationError("the board has places for \(sockets.count) CD drives")
    }
    for (index, (socket, contents)) in zip(sockets, configuration.cds).enumerated() {
      guard let contents else { continue }
      var disc: MachineDisk?
      if case .disc(let image) = contents { disc = MachineDisk(image) }
      if let disc, disc.cd == nil {
        throw ConfigurationError("\(disc.name): is no CD image and does not go into a CD drive")
      }
      let drive = ATAPIDrive(disc: disc?.cd, serial: "AP0000CD0\(index + 1)")
      cdDrives.append(drive)
      cdSockets.append(socket)
      cdDiscs.append(disc)
    }
  }

  /// Connects them; disks are in their places by then.
  func attachCDDrives() throws {
    for (index, (drive, socket)) in zip(cdDrives, cdSockets).enumerated() {
      guard let channel = channels.first(where: { $0.stateName == socket.controller }) else {
        continue
      }
      if channel.drive(socket.unit) != nil {
        let disk = zip(board.sockets(.disk), hardDisks).first {
          $0.0.controller == socket.controller && $0.0.unit == socket.unit
        }
        throw ConfigurationError(
          "a hard disk (\(disk?.1?.name ?? "")) and a CD drive cannot both be the \(Machine.cdPlace(socket.name))"
        )
      }
      drive.latency = min(configuration.diskLatency, MachineConfiguration.mostDiskLatency)
      channel.attach(drive: socket.unit, drive)
      drive.refused = { [unowned self] error in
        if let disc = cdDiscs[index] { note(error, of: disc) }
      }
    }
  }

  // MARK: Changes

  /// Puts a disc into a CD drive (0: the first), or takes it out with nil, for who holds the machine still; others post `MachineInput.cd`.
  /// - Parameter forced: a locked tray is opened all the same.
  /// - Returns: false: the guest has locked the tray and was asked to let go of the disc; nothing else was changed.
  /// - Throws: why nothing was changed.
  @discardableResult
  public func changeCD(drive: Int, to choice: FloppyChoice?, forced: Bool = false)
    throws(MediaError) -> Bool
  {
    let settled = try prepareCD(drive, choice)
    let isHeld = !forced && holdsTray(drive)
    act(.cd(drive: drive, disc: settled, forced: forced))
    return !isHeld
  }

  /// Whether a change of media would do nothing but ask the guest to let go of a disc.
  public func isHeld(_ change: MachineInput) -> Bool {
    guard case .cd(let drive, _, false) = change, cdDrives.indices.contains(drive) else {
      return false
    }
    return holdsTray(drive)
  }

  /// The name of a drive for messages.
  func cdName(_ drive: Int) -> String { cdDrives.count < 2 ? "CD" : "CD \(drive + 1)" }

  func cdNotice(_ drive: Int, _ choice: FloppyChoice?, _ forced: Bool) -> String {
    let name = cdName(drive)
    if !forced, holdsTray(drive) {
      return "\(name): the guest has locked the tray and was asked to let go of the disc"
        + (choice == nil ? "" : "; the other one was not put in")
    }
    guard let choice else { return "\(name): ejected" }
    return "\(name): \(choice.path.split(separator: "/").last.map(String.init) ?? choice.path)"
  }

  /// Whether the guest keeps the disc that is in the drive.
  private func holdsTray(_ drive: Int) -> Bool {
    cdDrives[drive].isLocked && !cdDrives[drive].isTrayOpen && cdDrives[drive].disc != nil
  }

  /// Finds out whether a change is possible and leaves its disc in `preparedDisk`. The guest notices nothing.
  func prepareCD(_ drive: Int, _ choice: FloppyChoice?) throws(MediaError) -> FloppyChoice? {
    guard cdDrives.indices.contains(drive) else {
      throw MediaError(
        description: drive == 0
          ? "there is no CD drive (--cdrom empty makes one without a disc)"
          : "there is no CD drive \(drive + 1)")
    }
    guard let choice else {
      if cdDiscs[drive] == nil {
        throw MediaError(description: "there is no disc in drive \(cdName(drive))")
      }
      return nil
    }
    if let prepared = preparedDisk, choice.identity != "", prepared.name == choice.path,
      prepared.cd != nil
    {
      return choice
    }
    do throws(StorageError) {
      let disc = try openedCD(choice)
      var isAccepted = false
      defer { if !isAccepted, !isInDrive(disc) { disc.unlock() } }
      let settled = FloppyChoice(
        path: choice.path, isProtected: true, identity: try diskIdentity(disc))
      if choice.identity != "" && settled.identity != choice.identity {
        throw StorageError(
          path: choice.path,
          reason: "was \(choice.identity) when it was put in, but is \(settled.identity) now")
      }
      preparedDisk = disc
      isAccepted = true
      return settled
    } catch {
      throw MediaError(description: "\(error)")
    }
  }

  private func openedCD(_ choice: FloppyChoice) throws(StorageError) -> MachineDisk {
    if let known = shelf.first(where: {
      $0.cd != nil && HostFiles.isSame($0.name, choice.path) && staysOpen($0) && !isInDrive($0)
        && $0.changeByOthers == nil
    }) {
      try known.lockAgain()
      return known
    }
    let image = try ImageOpener.open(path: choice.path, kind: .cd)
    let disc = MachineDisk(beside(image))
    disc.refused = { [unowned self, unowned disc] in note($0, of: disc) }
    return disc
  }

  /// Carries a change out: of the user now, or of a recording, or of the past.
  func putCD(_ drive: Int, _ choice: FloppyChoice?, _ forced: Bool) throws(MediaError) {
    let settled = try prepareCD(drive, choice)
    let disc = settled == nil ? nil : preparedDisk
    preparedDisk = nil
    if !forced, holdsTray(drive) {
      cdDrives[drive].requestEject()
      if let disc, !isInDrive(disc) { disc.unlock() }
      return
    }
    if let old = cdDiscs[drive], old !== disc {
      if !staysOpen(old) {
        shelf.removeAll { $0 === old }
        if closesEjectedDisks { old.close() }
      } else {
        old.unlock()
      }
    }
    cdDrives[drive].change(to: disc?.cd)
    cdDiscs[drive] = disc
    if let disc {
      if !shelf.contains(where: { $0 === disc }) { shelf.append(disc) }
      if timeTravel != nil { disc.startTracking() }
    }
  }
}
