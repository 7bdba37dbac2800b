// Floppy disks that go in and out while the machine runs.
//
// Owns: what a change of disks is, the images that were in drives and may be again, which disk was where at a snapshot.
// Must not know: host files (`Machine.openFloppy` does), windows, consoles.
// A change is input like a key: it is logged with what the disk held, so that a replay puts in the same one or is refused.

import Chipset
import Storage

/// A disk put into a floppy drive, or taken out.
public struct FloppyChange: Equatable, Sendable {
  /// 0 for A, 1 for B.
  public var drive: Int
  /// The image's path as it was given; nil: the drive is empty afterwards.
  public var path: String?
  /// What the image held, as a `ContentHash` in words; empty until the machine has taken it.
  public var contents = ""
  /// The guest cannot write to it.
  public var isReadOnly = false

  public init(drive: Int, path: String?) {
    self.drive = drive
    self.path = path
  }

  /// "drive A".
  public var driveName: String { drive == 0 ? "drive A" : "drive B" }
}

/// Why a disk was not put in, in one line.
public struct FloppyChangeError: Error, Equatable, CustomStringConvertible {
  public var reason: String
  public var description: String { reason }
}

/// A floppy image that was opened.
struct ShelvedFloppy {
  var disk: MachineDisk
  var format: FloppyFormat
}

extension Machine {
  /// The image in a floppy drive by its name, or nil.
  public func floppyName(_ drive: Int) -> String? {
    floppyDisks.indices.contains(drive) ? floppyDisks[drive]?.name : nil
  }

  /// Lets go of the guest's writes to a disk that leaves its drive, and opens the one that comes, before anything is logged.
  /// - Returns: the change with what the disk holds.
  func checked(_ change: FloppyChange) throws(FloppyChangeError) -> FloppyChange {
    guard floppyDisks.indices.contains(change.drive) else {
      throw FloppyChangeError(reason: "there is no floppy drive \(change.drive)")
    }
    guard let path = change.path else { return change }
    let shelved = try floppy(path, for: change)
    var change = change
    change.isReadOnly = shelved.disk.isReadOnly
    do throws(StorageError) {
      try floppyController.check(drive: change.drive, medium: medium(shelved))
      change.contents = "\(try shelved.disk.contentHash())"
    } catch {
      throw FloppyChangeError(reason: "\(path): \(error.reason)")
    }
    shelf[path] = shelved
    return change
  }

  private func medium(_ floppy: ShelvedFloppy) -> FloppyMedium {
    FloppyMedium(image: floppy.disk, format: floppy.format)
  }

  /// The image of a path: one that was in a drive before while its writes are held back, else opened now.
  private func floppy(_ path: String, for change: FloppyChange) throws(FloppyChangeError)
    -> ShelvedFloppy
  {
    for (drive, disk) in floppyDisks.enumerated() {
      guard let disk, disk.name == path, let medium = floppyController.medium(in: drive) else {
        continue
      }
      if drive == change.drive { return ShelvedFloppy(disk: disk, format: medium.format) }
      throw FloppyChangeError(
        reason: "\(path): is in \(FloppyChange(drive: drive, path: nil).driveName) already")
    }
    if let known = shelf[path] { return known }
    guard let openFloppy else {
      throw FloppyChangeError(reason: "\(path): this machine's disks cannot be changed")
    }
    let image: MachineImage
    do { image = try openFloppy(path) } catch { throw FloppyChangeError(reason: "\(error)") }
    guard case .floppy(let format) = image.medium else {
      throw FloppyChangeError(reason: "\(path): is no floppy's image")
    }
    let disk = MachineDisk(image.device, name: path)
    disk.refused = { [unowned self, unowned disk] in note($0, of: disk) }
    return ShelvedFloppy(disk: disk, format: format)
  }

  /// Carries a change out, the first time or again.
  /// - Throws: when the disk of a replay is not what it was.
  func apply(_ change: FloppyChange) throws(FloppyChangeError) {
    guard floppyDisks.indices.contains(change.drive) else { return }
    var incoming: ShelvedFloppy?
    if let path = change.path {
      let found = try floppy(path, for: change)
      let contents = (try? found.disk.contentHash()).map { "\($0)" } ?? "cannot be read"
      if contents != change.contents && !isPastRepeated {
        throw FloppyChangeError(
          reason: "\(path): held \(change.contents) when it was recorded, now \(contents)")
      }
      incoming = found
    }
    let outgoing = floppyDisks[change.drive]
    if let outgoing, outgoing !== incoming?.disk { takeOut(outgoing) }
    do throws(StorageError) {
      try floppyController.insert(drive: change.drive, medium: incoming.map(medium))
    } catch {
      throw FloppyChangeError(reason: "\(change.path ?? ""): \(error.reason)")
    }
    floppyDisks[change.drive] = incoming?.disk
    if timeTravel == nil {
      // Once it is out, the file is its owner's again.
      disks = (floppyDisks + hardDisks).compactMap { $0 }
      if let outgoing, outgoing !== incoming?.disk {
        configuration.floppies[change.drive] = nil
        floppyIsOut?(outgoing.name)
      }
    }
    guard let incoming, let path = change.path else { return }
    incoming.disk.writeHash = 0
    if timeTravel != nil {
      shelf[path] = incoming
      if !disks.contains(where: { $0 === incoming.disk }) { disks.append(incoming.disk) }
      incoming.disk.startTracking()
    } else {
      shelf[path] = nil
    }
  }

  /// The run goes through what it was before, with the same disks still open.
  private var isPastRepeated: Bool { timeTravel != nil }

  private func takeOut(_ disk: MachineDisk) {
    var hash = StateHash()
    hash.add(ejectedWrites)
    hash.add(disk.writeHash)
    ejectedWrites = hash.value
    do throws(StorageError) { try disk.flush() } catch { note(error, of: disk) }
    if timeTravel != nil {
      // Its writes are still held back, and the past may want it again.
      if let format = floppyController.medium(in: floppyDisks.firstIndex { $0 === disk } ?? 0)?
        .format
      {
        shelf[disk.name] = ShelvedFloppy(disk: disk, format: format)
      }
    }
  }

  /// Which disk is in which floppy drive, for `putBackFloppies`.
  var presentFloppies: [FloppyMedium?] {
    floppyDisks.indices.map { floppyController.medium(in: $0) }
  }

  /// The drives hold what they held at a snapshot; the controller's own state follows.
  func putBackFloppies(_ floppies: [FloppyMedium?]) {
    for (drive, medium) in floppies.enumerated() where floppyDisks.indices.contains(drive) {
      floppyController.restore(drive: drive, medium: medium)
      floppyDisks[drive] = medium?.image as? MachineDisk
    }
  }
}
