// `apus backup create`: a point of a machine, whether it runs or not.
//
// Owns: who makes it, what is done where snapshots do not fit the image, the words. Must not know: folders of backups inside.

import ArgumentParser
import Backup
import Host
import Images
import Snapshots
import Storage

struct BackupCreateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Makes a backup.",
    discussion: """
      Of a machine that runs it has processors, devices, memory and disks of the same instruction, and the machine goes on meanwhile. Of one \
      that does not run it has the disks. Only what was written since the last one is read, where the machine's snapshots tell; everything \
      is on stable storage when this ends.
      """)
  @Argument(
    help: ArgumentHelp(
      "The first disk image of each machine, or the socket of one that runs.", valueName: "image"))
  var images: [String]
  @Option(name: .customLong("to"), help: ArgumentHelp("The folder.", valueName: "folder"))
  var folder: String
  @Option(
    name: .customLong("in"),
    help: ArgumentHelp(
      "The folder of the snapshots. (default: IMAGE.snapshots)", valueName: "folder"))
  var snapshots: String?
  @Option(help: ArgumentHelp("The point's name. (default: backup-N)", valueName: "name"))
  var name: String?
  @Option(name: .shortAndLong, help: ArgumentHelp("What is to be said of it.", valueName: "text"))
  var note: String = ""
  @Option(
    help: ArgumentHelp(
      "What the machine is called here; points of one machine are pruned together. (default: the image's path)",
      valueName: "name"))
  var machine: String?
  @Flag(help: "Only the disks, also of a machine that runs.")
  var disksOnly = false
  @OptionGroup var keys: ImageKeyOptions

  func validate() throws {
    if images.count > 1 && (name != nil || machine != nil || snapshots != nil) {
      throw ValidationError("--name, --machine and --in: for one machine at a time")
    }
  }

  func run() throws {
    var report = BackupCreateReport(folder: folder, made: [])
    var failure: (any Error)?
    for image in images {
      do { report.made.append(try make(BackupCreateCommand.image(image))) } catch {
        // The others are backed up all the same.
        if images.count == 1 { throw error }
        if failure != nil { ApusProgram.say(["apus backup: \(error)"]) }
        failure = failure ?? error
      }
    }
    if failure == nil || CommandEntry.target == nil {
      try CommandEntry.deliver(report, report.made.flatMap(BackupCreateCommand.lines))
    }
    if let failure { throw failure }
  }

  /// The image that a socket's path stands for, or the same.
  private static func image(_ text: String) -> String {
    let end = ".snapshots/control"
    return text.hasSuffix(end) ? String(text.dropLast(end.count)) : text
  }

  private func wish(_ image: String) -> BackupWish {
    let plain = ImageOpener.rawPath(image) ?? image
    var wish = BackupWish(machine: machine ?? HostProcess.resolved(plain) ?? plain)
    wish.name = name
    wish.note = note
    wish.onlyDisks = disksOnly
    return wish
  }

  private func make(_ image: String) throws -> BackupMadeReport {
    let place = SnapshotPlace(
      image: image, folder: snapshots ?? SnapshotTree.folder(of: image), keys: keys.keys())
    try place.check()
    let wish = wish(image)
    let progress = BackupProgram.progress()
    if let client = place.client {
      let parameters = BackupRequest.Parameters(
        folder: BackupControl.absolute(folder), machine: wish.machine, name: wish.name,
        note: wish.note, disksOnly: wish.onlyDisks, progress: true)
      return try BackupControl.call(client, "backup.create", parameters, progress: progress)
    }
    guard SnapshotTree.exists(in: place.folder) else {
      return try makeOfFiles(place, try plain(place), wish, nil, progress)
    }
    var isOpen = false
    do {
      return try place.change { tree in
        isOpen = true
        let backups = try open(try place.volumeKeys())
        defer { backups.close() }
        let result = try backups.make(wish, from: tree, progress: progress) {
          (base) throws(StorageError) in try tree.take(base, hold: nil)
        }
        return BackupMadeReport(result, running: false)
      }
    } catch let error as StorageError where !isOpen {
      // Snapshots that do not fit the image, or cannot be written: the disks are what they are.
      let tree = try? place.tree(writable: false)
      let disks =
        try tree.map { tree in
          try place.open(tree.disks, writable: false).map {
            PlainDisk(drive: $0.drive, path: $0.path, device: $0.device)
          }
        } ?? plain(place)
      return try makeOfFiles(place, disks, wish, error, progress)
    }
  }

  private func open(_ keys: [VolumeKey]) throws -> BackupFolder {
    try BackupFolder(folder, writable: true, makes: true, keys: keys)
  }

  private func plain(_ place: SnapshotPlace) throws -> [PlainDisk] {
    let opened: OpenedImage
    do throws(StorageError) {
      opened = try ImageOpener.open(path: place.image, readOnly: true, keys: place.keys)
    } catch {
      let hint =
        error.reason.contains("locked")
        ? " (a machine that runs makes its backup itself if it was started with --with-snapshots)"
        : ""
      throw Failure.host("\(error)\(hint)", file: error.path)
    }
    let drive =
      switch opened.medium {
      case .cd: throw Failure.usage("\(place.image): a CD needs no backup", file: place.image)
      case .floppy: "medium-floppy0"
      default: "medium-disk0"
      }
    return [PlainDisk(drive: drive, path: SnapshotTree.ownImage, device: opened.device)]
  }

  private func makeOfFiles(
    _ place: SnapshotPlace, _ disks: [PlainDisk], _ wish: BackupWish, _ refusal: StorageError?,
    _ progress: @escaping BackupProgress
  ) throws -> BackupMadeReport {
    defer { for disk in disks { disk.device.close() } }
    let backups = try open(disks.flatMap(\.device.volumeKeys))
    defer { backups.close() }
    var result = try backups.make(wish, of: disks, progress: progress)
    if let refusal, result.whole != nil {
      result.whole = "its snapshots cannot tell what was written: \(refusal)"
    }
    return BackupMadeReport(result, running: false)
  }

  static func lines(_ made: BackupMadeReport) -> [String] {
    var line = "'\(made.point.name)': "
    line +=
      made.point.kind == "machine"
      ? "the machine with its disks" : "the disks of \(made.point.machine)"
    if let pause = made.pauseMilliseconds {
      line += "; it stood for \(SnapshotWords.milliseconds(pause))"
    }
    line +=
      ", \(ImageSize.text(made.readBytes)) read, \(ImageSize.text(made.newBytes)) new, "
      + SnapshotWords.milliseconds(made.totalMilliseconds)
    guard let whole = made.whole else { return [line] }
    return [line, "  everything was read: \(whole)"]
  }
}
