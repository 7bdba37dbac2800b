// A point as a machine again: its disks as new images, with snapshots from which it goes on.
//
// Owns: the order in which files get their names, what an attempt that was cut off has left. Must not know: formats, command lines.
//
// Everything is made in a folder beside the machine's image (.IMAGE.restoring), under its own names. When all of it is on stable storage, a
// file there says so and lists it, and only then it is moved: the snapshots, further disks, the first image last. An attempt that was cut
// off is undone by the next one: before the list, nothing has its name; behind it, the list says what is this one's.

import Host
import Images
import Snapshots
import State
import Storage
import Store

/// How a point is given back.
public struct RestoreWish {
  /// The machine's first image; further ones lie beside it.
  public var image: String
  /// The images' format; nil: that which each disk had, where it can be made.
  public var format: String?
  /// Options of the format.
  public var options: [String: String] = [:]
  /// Where the passphrase of an encrypted image comes from.
  public var newKey: (any KeySource)?
  /// Without what makes the machine go on.
  public var onlyDisks = false
  /// Files that have the names already, with their snapshots, are replaced.
  public var replaces = false
  /// What is encrypted in the backup may be readable in the images.
  public var readable = false

  public init(_ image: String) { self.image = image }
}

/// What was given back.
public struct RestoreResult: Sendable {
  /// For each disk its drive, file, format, and bytes of data.
  public var disks: [Disk] = []
  /// A disk's image; sizes in bytes.
  public typealias Disk = (
    drive: String, file: String, format: String, byteCount: UInt64, data: UInt64
  )
  /// Whether the machine goes on from there at its next start.
  public var goesOn = false
  /// What the user should hear, a line each.
  public var notes: [String] = []
}

extension BackupFolder {
  /// Copies a disk of a point into a new image.
  public func export(
    _ index: Int, of point: BackupPoint, _ request: CreateRequest, readable: Bool = false,
    _ job: ImageJob = ImageJob()
  ) throws -> WrittenImage {
    var request = request
    let encrypts = isSealed && !readable
    if encrypts, request.format == "qcow2", request.options["encrypt.format"] == nil {
      request.options["encrypt.format"] = "luks"
    }
    return try ImageOperations.write(
      try disk(index, of: point), request, encrypts: encrypts, job)
  }

  /// Makes a machine of a point.
  public func restore(_ point: BackupPoint, _ wish: RestoreWish, _ job: ImageJob = ImageJob())
    throws -> RestoreResult
  {
    guard let first = point.disks.first else {
      throw usage("'\(point.name)' has no disks, which a machine is restored to")
    }
    let place = RestorePlace(wish.image)
    try place.begin()
    try place.check(replaces: wish.replaces, BackupFolder.names(of: point, wish))
    do {
      let result = try makeFiles(of: point, first, wish, place, job)
      try place.finish(BackupFolder.names(of: point, wish))
      return result
    } catch {
      place.abandon()
      throw error
    }
  }

  private func makeFiles(
    of point: BackupPoint, _ first: BackupDisk, _ wish: RestoreWish, _ place: RestorePlace,
    _ job: ImageJob
  ) throws -> RestoreResult {
    var result = RestoreResult()
    let isWhole = point.hasMachine && !wish.onlyDisks
    var attachments: [TreeAttachment] = []
    var keys: [VolumeKey] = []
    for (index, disk) in point.disks.enumerated() {
      let name = BackupFolder.name(of: disk, isFirst: disk == first, wish)
      let path = place.folder + "/" + name
      let format = wish.format ?? format(of: disk, readable: wish.readable)
      var request = CreateRequest(path, format: format)
      request.options = wish.options
      request.newKey = wish.newKey
      let written = try export(index, of: point, request, readable: wish.readable, job)
      result.notes += written.notes
      result.disks.append(
        (disk.shortDrive, place.target(name), written.format, disk.byteCount, written.dataBytes))
      if !isWhole { continue }
      let opened = try ImageOpener.open(
        path: format == "raw" ? "raw:" + path : path, kind: .disk,
        keys: wish.newKey.map { DiskKeys([$0]) })
      keys += opened.device.volumeKeys
      let undo = UndoDevice(opened.device)
      attachments.append(
        TreeAttachment(
          drive: disk.drive, path: format == "raw" ? "raw:" + path : path, device: undo, undo: undo
        ) { (body) throws(StorageError) in try body() })
    }
    if isWhole {
      try SnapshotTree.plant(
        in: SnapshotTree.folder(of: place.folder + "/" + place.name), point.record, from: store,
        disks: attachments, keys: keys)
      for attachment in attachments { attachment.device.close() }
      result.goesOn = true
    }
    return result
  }

  // MARK: Names

  /// A new image's format where nothing is said: what it was, and encrypted where it was.
  /// - Parameter readable: what was encrypted may be readable.
  public func format(of disk: BackupDisk, readable: Bool) -> String {
    let makes = ["raw", "qcow2", "vdi", "vmdk", "vhd", "vhdx"]
    if isSealed && !readable { return disk.format == "qcow2" ? "qcow2" : "luks" }
    return makes.contains(disk.format) ? disk.format : "raw"
  }

  /// The first disk's file has the wished name; others have theirs, behind it.
  private static func name(of disk: BackupDisk, isFirst: Bool, _ wish: RestoreWish) -> String {
    let whole = RestorePlace.lastName(wish.image)
    if isFirst { return whole }
    let dot = whole.lastIndex(of: ".").flatMap { $0 == whole.startIndex ? nil : $0 }
    let (stem, end) = dot.map { (whole[..<$0], whole[$0...]) } ?? (whole[...], "")
    let drive = disk.shortDrive.filter { $0.isASCII && ($0.isLetter || $0.isNumber) }
    return "\(stem)-\(drive)\(end)"
  }

  private static func names(of point: BackupPoint, _ wish: RestoreWish) -> [String] {
    var names = point.disks.enumerated().map { name(of: $1, isFirst: $0 == 0, wish) }
    if point.hasMachine && !wish.onlyDisks { names.append(names[0] + ".snapshots") }
    return names
  }
}
