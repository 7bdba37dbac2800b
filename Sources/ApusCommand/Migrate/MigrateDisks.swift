// The images of a machine that comes: files of its own, or those that it has where it is.
//
// Owns: making them, opening them when they may be, taking away what was made when the machine does not come. Must not know: messages.

import Chipset
import Host
import Images
import Migration
import Snapshots
import Storage

/// Images for the drives of a machine that comes.
final class MigrateDisks {
  private let offer: MigrationOffer
  private let keys: DiskKeys?
  /// Paths of the files that were made.
  private var made: [String] = []
  /// What is in the drives until the files are there, by the words that stand for them.
  private(set) var images: [String: OpenedImage] = [:]

  /// - Parameters:
  ///   - folder: where disks that come along go.
  ///   - format: what they become; nil: what they are.
  /// - Throws: nothing is left of it.
  init(_ offer: MigrationOffer, into folder: String?, format: String?, keys: DiskKeys?) throws {
    self.offer = offer
    self.keys = keys
    if offer.carriesDisks, folder == nil, !offer.disks.isEmpty {
      throw Failure.usage("disks come along: --into FOLDER says where they go")
    }
    do {
      for (index, disk) in offer.disks.enumerated() {
        let image =
          offer.carriesDisks
          ? try make(disk, in: folder ?? "", format)
          : OpenedImage(
            path: disk.path,
            device: AbsentDevice(
              name: disk.path, blockSize: disk.blockSize, blockCount: disk.blockCount),
            medium: try medium(disk))
        images[MigrateArguments.prefix + String(index)] = image
      }
    } catch {
      removeMade()
      throw error
    }
  }

  /// The machine does not come: what was made is of no use.
  func removeMade() {
    for image in images.values { image.device.close() }
    for path in made {
      try? HostFiles.remove(path)
      SnapshotTree.remove(SnapshotTree.folder(of: path))
    }
    made = []
  }

  private func medium(_ disk: MigrationOffer.Disk) throws -> OpenedImage.Medium {
    if let physical = disk.physical, let translated = disk.translated {
      return .disk(physical: physical, translated: translated)
    }
    if disk.drive == "flash" { return .flash }
    guard let format = FloppyFormat.ofSize(disk.byteCount) else {
      throw Failure.usage("\(disk.path): no floppy has \(disk.byteCount) bytes")
    }
    return .floppy(format)
  }

  private func make(_ disk: MigrationOffer.Disk, in folder: String, _ wanted: String?) throws
    -> OpenedImage
  {
    let name = ImageFiles.lastName(ImageOpener.rawPath(disk.path) ?? disk.path)
    if name.isEmpty || name == "." || name == ".." || name.contains("\0") {
      throw Failure.usage(
        "'\(ApusProgram.harmless(disk.path))': has no name that a file could have")
    }
    let path = folder + "/" + name
    var format = "raw"
    if disk.drive.hasPrefix("disk") {
      let words = disk.format.lowercased()
      format = wanted ?? MigrateDisks.formats.first { words.contains($0) } ?? "raw"
    }
    var request = CreateRequest(path, format: format)
    request.byteCount = disk.byteCount
    _ = try ImageOperations.create(request)
    made.append(path)
    let isRaw = format == "raw"
    let opened = try open(disk, isRaw ? ImageOpener.rawPrefix + path : path)
    return OpenedImage(path: path, device: opened, medium: try medium(disk))
  }

  /// Names that stand in what layers are called; longer ones first.
  private static let formats = ["qcow2", "vmdk", "vdi", "vhdx", "vhd"]

  static func isFormat(_ name: String) -> Bool { name == "raw" || formats.contains(name) }

  private func open(_ disk: MigrationOffer.Disk, _ path: String) throws(StorageError)
    -> any BlockDevice
  {
    let opened: OpenedImage
    if disk.drive == "flash" {
      opened = try ImageOpener.openFlash(
        path: ImageOpener.rawPath(path) ?? path, blockSize: Flash.blockSize,
        mostBytes: Flash.mostBytes)
    } else {
      opened = try ImageOpener.open(
        path: path, kind: disk.drive.hasPrefix("floppy") ? .floppy : .disk, keys: keys)
    }
    let device = opened.device
    if device.isReadOnly {
      device.close()
      throw StorageError(path: path, reason: "cannot be written")
    }
    if device.blockSize != disk.blockSize || device.blockCount != disk.blockCount {
      device.close()
      throw StorageError(
        path: path,
        reason:
          "has \(device.blockCount * UInt64(device.blockSize)) bytes here, and \(disk.byteCount) where the machine comes from"
      )
    }
    return device
  }

  /// Those that come along, by their place in the offer.
  var carried: [Int: any BlockDevice] {
    guard offer.carriesDisks else { return [:] }
    var list: [Int: any BlockDevice] = [:]
    for (index, disk) in offer.disks.enumerated() where disk.hasClusters {
      list[index] = images[MigrateArguments.prefix + String(index)]?.device
    }
    return list
  }

  /// Opens the files that both ends have, by the drives' names, once they are nobody else's.
  func shared() throws(StorageError) -> [String: any BlockDevice] {
    if offer.carriesDisks { return [:] }
    var list: [String: any BlockDevice] = [:]
    do throws(StorageError) {
      for disk in offer.disks { list[disk.drive] = try open(disk, disk.path) }
    } catch {
      for device in list.values { device.close() }
      throw error
    }
    return list
  }
}
