// `apus snapshot`: the snapshots of a machine, by the name of its image.
//
// Owns: the entry, errors, which tree is meant and whether a machine has it, opening the images of one that does not run. Must not know:
// what the commands do.

import ArgumentParser
import Host
import Images
import Machine
import Snapshots
import Storage

/// The subcommand's own entry.
enum SnapshotProgram {
  static func main(_ arguments: [String]) -> Never {
    CommandEntry.main(arguments, SnapshotCommand.self, "apus snapshot", near: others)
  }

  /// As other programs call it.
  private static let others = [
    "create": "take", "save": "take", "ls": "list", "revert": "restore", "apply": "restore",
    "load": "restore", "goto": "restore", "rm": "delete", "remove": "delete", "del": "delete",
    "info": "show", "compare": "diff", "check": "verify", "clone": "export", "convert": "export",
  ]
}

struct SnapshotCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus snapshot",
    abstract: "Takes, shows and goes back to snapshots of a machine.",
    discussion: """
      IMAGE is the machine's first disk; the snapshots lie beside it, in IMAGE.snapshots. A machine that runs does it itself, if its disk \
      has snapshots already or it was started with --with-snapshots; otherwise the disk's files are used, and a snapshot has disks alone. \
      Exit codes: 0, 64 bad usage, 74 something failed; verify: 1 damage.
      """,
    subcommands: [
      SnapshotTakeCommand.self, SnapshotListCommand.self, SnapshotShowCommand.self,
      SnapshotRestoreCommand.self, SnapshotDeleteCommand.self, SnapshotDiffCommand.self,
      SnapshotExportCommand.self, SnapshotVerifyCommand.self, SnapshotUsageCommand.self,
      SnapshotCollectCommand.self, SnapshotQuotaCommand.self, SnapshotAcceptCommand.self,
    ])
}

/// Which machine is meant.
struct SnapshotOptions: ParsableArguments {
  @Argument(help: ArgumentHelp("The machine's first disk image.", valueName: "image"))
  var image: String
  @Option(
    name: .customLong("in"),
    help: ArgumentHelp(
      "The folder of the snapshots. (default: IMAGE.snapshots)", valueName: "folder"))
  var folder: String?
  @OptionGroup var keys: ImageKeyOptions

  var place: SnapshotPlace {
    SnapshotPlace(image: image, folder: folder ?? SnapshotTree.folder(of: image), keys: keys.keys())
  }
}

/// A machine's image and the folder of its snapshots.
struct SnapshotPlace {
  var image: String
  var folder: String
  /// Where the keys of encrypted images come from.
  var keys: DiskKeys?

  /// The keys that the snapshots are encrypted with: the image's.
  func volumeKeys() throws -> [VolumeKey] {
    let looked = try ImageOpener.open(path: image, readOnly: true, looksOnly: true, keys: keys)
    defer { looked.device.close() }
    return looked.device.volumeKeys
  }

  /// Refuses an image that is not there.
  func check() throws {
    let path = ImageOpener.rawPath(image) ?? image
    if !HostFiles.exists(path) {
      throw Failure.usage("\(path): there is no such image", file: path)
    }
  }

  /// A machine that runs and has the tree; nil: none.
  var client: SnapshotClient? { SnapshotClient(folder: folder) }

  /// Opens the tree.
  func tree(writable: Bool) throws -> SnapshotTree {
    try check()
    guard SnapshotTree.exists(in: folder) else {
      throw Failure.usage(
        "\(image): has no snapshots ('apus snapshot take' makes the first)", file: folder)
    }
    return try SnapshotTree(opening: folder, writable: writable, keys: try volumeKeys())
  }

  /// The path of a tree's disk. What lies elsewhere than beside the tree is not believed.
  func path(of disk: TreeDisk) throws -> String {
    let own = ImageOpener.rawPath(image) ?? image
    let above = folder.lastIndex(of: "/").map { String(folder[...$0]) } ?? ""
    let noted = disk.path.hasPrefix("/") ? disk.path : above + disk.path
    if disk.path == SnapshotTree.ownImage || HostFiles.isSame(noted, own) {
      return disk.isRaw ? "raw:" + own : own
    }
    let parts = disk.path.split(separator: "/", omittingEmptySubsequences: false)
    guard !disk.path.hasPrefix("/"), !parts.contains(".."), !disk.path.isEmpty,
      !disk.path.contains(":")
    else {
      throw Failure.usage(
        "\(folder): names '\(disk.path)' as a disk, which does not lie beside it: run the machine, which is told its disks, "
          + "and ask it", file: folder)
    }
    return disk.isRaw ? "raw:" + noted : noted
  }

  /// Opens the images of a tree.
  func open(_ disks: [TreeDisk], writable: Bool) throws -> [TreeAttachment] {
    try disks.map { disk in
      let kind: ImageKind = disk.drive.hasPrefix("medium-floppy") ? .floppy : .disk
      return try attachment(try path(of: disk), disk.drive, kind, writable: writable)
    }
  }

  private func attachment(_ path: String, _ drive: String, _ kind: ImageKind, writable: Bool) throws
    -> TreeAttachment
  {
    let opened: OpenedImage
    do throws(StorageError) {
      opened = try ImageOpener.open(path: path, kind: kind, readOnly: !writable, keys: keys)
    } catch {
      let hint =
        writable
        ? " (a machine that runs with it can be asked if it was started with --with-snapshots; in its window Ctrl+Alt+T takes one)"
        : ""
      throw Failure.host("\(error)\(hint)", file: path)
    }
    let device = opened.device
    if writable && device.isReadOnly {
      throw Failure.usage("\(path): cannot be written", file: path)
    }
    let undo = writable ? UndoDevice(device) : nil
    return TreeAttachment(drive: drive, path: path, device: undo ?? device, undo: undo) {
      (body) throws(StorageError) in try body()
    }
  }

  /// The image alone, for a tree that is to be made.
  func openAlone() throws -> [TreeAttachment] {
    try check()
    let looked = try ImageOpener.open(path: image, readOnly: true, looksOnly: true, keys: keys)
    defer { looked.device.close() }
    switch looked.medium {
    case .cd: throw Failure.usage("\(image): a CD has no snapshots", file: image)
    case .floppy:
      throw Failure.usage(
        "\(image): of a floppy alone the machine that runs with it takes snapshots (--with-snapshots)",
        file: image)
    default: return [try attachment(image, "medium-disk0", .disk, writable: true)]
    }
  }

  /// Opens tree and images for something that writes, does it, and closes them.
  func change<T>(_ body: (SnapshotTree) throws -> T) throws -> T {
    let tree = try tree(writable: true)
    let attachments = try open(tree.disks, writable: true)
    try tree.attach(attachments)
    let result = Result { try body(tree) }
    // Also where it was refused: nobody uses the images any more.
    for attachment in attachments { try attachment.device.finish() }
    try tree.finish()
    for attachment in attachments { attachment.device.close() }
    return try result.get()
  }
}
