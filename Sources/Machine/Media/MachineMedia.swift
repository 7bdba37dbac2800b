// Which images a saved state belongs to.
//
// Owns: what a state says of the image in each drive, the comparison when it is loaded, what images hold in memory. Must not know: any
// controller, command lines.
// A guest has parts of its disks in memory. Continued on a disk that holds something else, or that was written since, it would write
// those parts over it: the disk would be destroyed. So a state goes with the contents its drives had, and with no others.
//
//   section "media": count (u8); for each drive: its name, the image's name, sectors (u64; of a CD its own, before version 2 of 512 bytes), where its contents are (u8: 0 in a file,
//   1 in a file with the guest's writes in the state, 2 in the state), whether there is a hash, the hash (2 x u64), generation (u64)
//
// The hash is that of the contents the guest sees, for 1 that of the file below.

import Bus
import State
import Storage

/// What a state says of the image in a drive.
struct SavedMedium: Equatable {
  enum Kind: UInt8 {
    /// The guest writes to a file.
    case file = 0
    /// What the guest writes stays in memory and is part of the state, as far as it differs from a file.
    case overlay = 1
    /// Everything is part of the state.
    case memory = 2

    init(_ persistence: BlockPersistence) {
      switch persistence {
      case .file: self = .file
      case .overlay: self = .overlay
      case .memory: self = .memory
      }
    }
  }

  /// The section's name: "medium-floppy0".
  var drive: String
  /// The image's file name without its folder.
  var name: String
  var sectorCount: UInt64
  var kind: Kind
  /// nil: it could not be read, or is not needed.
  var hash: ContentHash?
  /// How many sectors the guest had written.
  var generation: UInt64

  /// The drive in words.
  static func words(_ drive: String) -> String {
    switch drive {
    case "medium-floppy0": "drive A"
    case "medium-floppy1": "drive B"
    case "medium-flash", "medium-flash0": "the flash memory"
    default:
      if drive.hasPrefix("medium-cd"), let n = Int(drive.dropFirst(9)), n < 4 {
        "the CD drive (\(n < 2 ? "primary" : "secondary") \(n & 1 == 0 ? "master" : "slave"))"
      } else if drive.hasPrefix("medium-disk"), let n = Int(drive.dropFirst(11)), n < 4 {
        "hard disk \(n + 1)"
      } else {
        "a drive '\(StateError.printable(drive))'"
      }
    }
  }

  /// What to give for a drive that stays, with nothing in it.
  static func emptyDrive(_ drive: String) -> String {
    switch drive {
    case "medium-floppy0": ", or give --floppy-a empty"
    case "medium-floppy1": ", or give --floppy-b empty"
    default: drive.hasPrefix("medium-cd") ? ", or give --cdrom empty" : ""
    }
  }

  /// The sectors of a medium as it is known: of a CD its own, not what blocks its files have.
  static func sectors(_ disk: MachineDisk) -> UInt64 {
    disk.cd.map { UInt64(max($0.leadOut, 0)) } ?? disk.sectorCount
  }

  static func baseName(_ path: String) -> String {
    path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
  }

  func save(to writer: inout StateWriter) {
    writer.write(drive)
    writer.write(name)
    writer.write(sectorCount)
    writer.write(kind.rawValue)
    writer.write(hash != nil)
    writer.write(hash?.low ?? 0)
    writer.write(hash?.high ?? 0)
    writer.write(generation)
  }

  init(from reader: inout StateReader) throws(StateError) {
    drive = try reader.readString()
    name = try reader.readString()
    sectorCount = try reader.read()
    guard let kind = Kind(rawValue: try reader.read()) else {
      throw reader.error("an unknown kind of image")
    }
    self.kind = kind
    let isKnown = try reader.readBool()
    let (low, high) = (try reader.read(UInt64.self), try reader.read(UInt64.self))
    hash = isKnown ? ContentHash(low: low, high: high) : nil
    generation = try reader.read()
  }

  /// - Parameter hashes: whether what the files hold is looked at, which may take long.
  init(_ drive: String, _ disk: MachineDisk, hashes: Bool = true) {
    self.drive = drive
    name = SavedMedium.baseName(disk.name)
    sectorCount = SavedMedium.sectors(disk)
    kind = Kind(disk.persistence)
    switch kind {
    case .file: hash = hashes ? try? disk.contentHash() : nil
    case .overlay: hash = hashes ? try? disk.base?.contentHash() : nil
    case .memory: hash = nil
    }
    generation = disk.generation
  }
}

extension MachineDisk {
  /// Reads what was saved, by an image of that kind.
  func restoreContents(from reader: inout StateReader, kind: SavedMedium.Kind) throws(StateError) {
    switch (kind, persistence) {
    case (.file, _): original.forgetAll()
    case (.overlay, .overlay), (.memory, .memory): try original.restoreContents(from: &reader)
    case (.memory, .overlay):
      original.forgetAll()
      try original.restoreAllBlocks(from: &reader)
    case (.overlay, .memory), (.overlay, .file):
      try original.restoreWrittenBlocks(from: &reader) { count throws(StateError) in
        // Nothing was written: the image alone is what the guest saw.
        if count == 0 || persistence == .memory { return }
        throw StateError(
          refusal:
            "\(name): the state was saved with --snapshot and holds \(count) sectors that the guest wrote: "
            + "give --snapshot again (they do not go to the file)")
      }
    case (.memory, .file): throw reader.error("the contents of an image where a file is")
    }
  }
}

extension Machine {
  /// Drives with contents, by the names of their sections.
  var media: [(String, MachineDisk)] {
    var list: [(String, MachineDisk)] = []
    for (kind, disks) in [(Socket.Kind.floppy, floppyDisks), (.disk, hardDisks)] {
      for (socket, disk) in zip(board.sockets(kind), disks) {
        if let disk { list.append(("medium-\(socket.name)", disk)) }
      }
    }
    for (socket, disc) in zip(cdSockets, cdDiscs) {
      if let disc { list.append(("medium-\(socket.name)", disc)) }
    }
    if let flashDisk { list.append(("medium-flash", flashDisk)) }
    return list
  }

  /// Image files that somebody else has changed while this machine relied on them, a line each: what the guest knows of them and what
  /// they hold do not belong together any more.
  public var imagesChangedByOthers: [String] {
    media.compactMap { _, disk in disk.changeByOthers.map { "\(disk.name): \($0)" } }
  }

  /// Image files that the guest's writes go to, now or when the run ends: a state of this machine belongs to what they hold at this moment.
  public var imagesThatAreWritten: [String] {
    media.compactMap { _, disk in
      disk.persistence == .file && !disk.isReadOnly ? disk.name : nil
    }
  }

  func saveMedia(to writer: inout StateWriter) {
    let list = media.map { SavedMedium($0, $1) }
    writer.section("media", version: 2) { writer in
      writer.write(UInt8(list.count))
      for medium in list { medium.save(to: &writer) }
    }
  }

  /// Reads which images a state belongs to, and compares.
  /// - Returns: the drives in order, and what differs although that was accepted.
  func restoreMedia(_ reader: inout StateReader, acceptingOthers: Bool)
    throws(StateError) -> (media: [SavedMedium], differences: [String])
  {
    var saved: [SavedMedium] = []
    var countsBlocks = false
    try reader.section("media", versions: 1...2) { (reader, version) throws(StateError) in
      countsBlocks = version == 1
      let count = try reader.read(in: UInt8(0)...64)
      for _ in 0..<count { saved.append(try SavedMedium(from: &reader)) }
    }
    let own = media
    for medium in saved where !own.contains(where: { $0.0 == medium.drive }) {
      throw StateError(
        refusal:
          "saved with '\(StateError.printable(medium.name))' in \(SavedMedium.words(medium.drive)), where this "
          + "machine has nothing: give that image too")
    }
    for (drive, disk) in own where !saved.contains(where: { $0.drive == drive }) {
      throw StateError(
        refusal:
          "saved with nothing in \(SavedMedium.words(drive)), where this machine has '\(disk.name)': leave that out"
          + SavedMedium.emptyDrive(drive)
      )
    }
    var differences: [String] = []
    var sorted: [SavedMedium] = []
    for (drive, disk) in own {
      guard var medium = saved.first(where: { $0.drive == drive }) else { continue }
      if countsBlocks, disk.cd != nil, medium.sectorCount == disk.sectorCount {
        medium.sectorCount = SavedMedium.sectors(disk)
      }
      if let difference = try compare(medium, disk, acceptingOthers) {
        differences.append(difference)
      }
      sorted.append(medium)
    }
    if saved.count != own.count { throw reader.error("a drive appears twice") }
    return (sorted, differences)
  }

  private func compare(_ medium: SavedMedium, _ disk: MachineDisk, _ acceptsOthers: Bool)
    throws(StateError) -> String?
  {
    let drive = SavedMedium.words(medium.drive)
    let name = StateError.printable(medium.name)
    let isSameName = medium.name == SavedMedium.baseName(disk.name)
    if medium.sectorCount != SavedMedium.sectors(disk) {
      throw StateError(
        refusal:
          "saved with '\(name)' in \(drive), of \(medium.sectorCount) sectors; this machine has "
          + "'\(disk.name)' there, of \(SavedMedium.sectors(disk))")
    }
    let base = disk.persistence == .overlay ? disk.base : nil
    // Contents that the state holds itself go only where contents are in memory.
    if medium.kind == .memory {
      if disk.persistence == .memory || base?.persistence == .memory { return nil }
      throw StateError(
        refusal:
          "saved with '\(name)' in \(drive), which was no file; this machine has '\(disk.name)' there"
      )
    }
    let found: ContentHash
    do throws(StorageError) { found = try (base ?? disk).contentHash() } catch {
      throw StateError(refusal: "\(error) (the state belongs to what it held)")
    }
    if found == medium.hash { return nil }
    if disk.persistence == .memory || base?.persistence == .memory {
      throw StateError(
        refusal:
          "saved with '\(name)' in \(drive); this machine has '\(disk.name)' there, which is no file: "
          + "give that image")
    }
    let difference =
      medium.hash.map { expected in
        "\(drive): '\(disk.name)' does not hold what "
          + (isSameName ? "it" : "'\(name)'")
          + " held when the state was saved (hash \(found.short), not \(expected.short); the guest had written "
          + "\(medium.generation) sectors to it): "
      } ?? "\(drive): '\(name)' could not be read when the state was saved: "
    if acceptsOthers && disk.persistence == .overlay {
      return difference + "accepted, and nothing is written to it"
    }
    throw StateError(
      refusal: difference
        + (isSameName
          ? "it was written since, or is another image of that name" : "this is another image")
        + ". The guest would go on from what it remembers of the former contents and destroy these. Give the image as it was then "
        + "(save states with --snapshot, or keep a copy of the image); --force --snapshot loads the state all the same and writes "
        + "nothing")
  }
}
