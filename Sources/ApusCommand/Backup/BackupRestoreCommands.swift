// `apus backup restore, export`: points as machines and as images.
//
// Owns: the options and the words. Must not know: folders of backups inside, formats.

import ArgumentParser
import Backup
import Host
import Images
import Storage

/// How new images are made.
struct BackupImageOptions: ParsableArguments {
  @Option(
    name: .customShort("O"),
    help: ArgumentHelp(
      "Their format. (default: as it was, or as the name ends)", valueName: "format"))
  var format: String?
  @Option(
    name: .customShort("o"),
    help: ArgumentHelp("Options of the format, NAME=VALUE,...; repeatable.", valueName: "options"))
  var options: [String] = []
  @Flag(help: "What has the name already is replaced.")
  var replace = false
  @Flag(help: "What is encrypted in the backup may be readable in the image.")
  var readable = false
  @OptionGroup var newKey: NewKeyOptions
  @OptionGroup var progress: ImageProgressOptions

  /// A new image's passphrase, where one is wanted: of what was encrypted the backups' own, if nothing else is said.
  func key(_ keys: ImageKeyOptions, sealed: Bool) throws -> (any KeySource)? {
    let isEncrypted =
      format == "luks" || options.contains { $0.contains("encrypt") } || (sealed && !readable)
    if newKey.newKeyFile == nil && newKey.newKeyRing == nil && !isEncrypted { return nil }
    return try newKey.source(keys)
  }

  func job() -> ImageJob {
    let shows =
      progress.progress
      || (HostTerminal.isTerminal(2) && !progress.quiet && CommandEntry.target == nil)
    let job = shows ? ImageJob { ImageProgressBar.show($0) } : ImageJob()
    try? HostSignals.onEnd { _ in job.cancel() }
    return job
  }

  static func format(of file: String) -> String? {
    ["qcow2", "vdi", "vmdk", "vhd", "vhdx", "luks"].first { file.lowercased().hasSuffix("." + $0) }
  }
}

struct BackupRestoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "restore", abstract: "Makes a machine of a point.",
    discussion: """
      Its disks become new images: IMAGE, and IMAGE-DRIVE for further ones. Of a whole machine IMAGE.snapshots is made, too, and it goes on \
      from there at its next start, given the same options (show tells them). Nothing has its name before all of it is there; what was cut \
      off is done again by the same command.
      """)
  @OptionGroup var options: BackupFolderOptions
  @Argument(help: ArgumentHelp("The point; latest: the last one.", valueName: "point"))
  var name: String
  @Argument(help: ArgumentHelp("The machine's first image.", valueName: "image"))
  var image: String
  @OptionGroup var new: BackupImageOptions
  @Flag(help: "Only the disks: the machine boots from them at its next start.")
  var disksOnly = false

  private struct Report: Codable {
    var schema = "apus-backup-restore"
    var version = 1
    var point: BackupPointReport
    var disks: [Disk]
    var goesOn: Bool
    struct Disk: Codable {
      var drive: String
      var file: String
      var format: String
      var virtualSize: UInt64
      var dataBytes: UInt64
    }
  }

  func run() throws {
    let backups = try options.open(writable: false)
    let point = try backups.point(name)
    var wish = RestoreWish(image)
    wish.format = new.format ?? BackupImageOptions.format(of: image)
    wish.options = try ImageOptionText.parse(new.options)
    wish.newKey = try new.key(options.keys.keys, sealed: backups.isSealed)
    wish.onlyDisks = disksOnly
    wish.replaces = new.replace
    wish.readable = new.readable
    let result = try backups.restore(point, wish, new.job())
    let report = Report(
      point: BackupPointReport(point),
      disks: result.disks.map {
        .init(
          drive: $0.drive, file: $0.file, format: $0.format, virtualSize: $0.byteCount,
          dataBytes: $0.data)
      }, goesOn: result.goesOn)
    var lines = report.disks.map {
      "\($0.file): \($0.drive) as at '\(point.name)' in \($0.format), \(ImageSize.text($0.dataBytes)) of data"
    }
    if result.goesOn {
      lines.append("the machine goes on from there at its next start")
      if !point.record.arguments.isEmpty {
        lines.append("  it was started with " + point.record.arguments.joined(separator: " "))
      }
    }
    try CommandEntry.deliver(report, new.progress.quiet ? [] : lines + result.notes)
  }
}

struct BackupExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Copies a disk as a point has it into a new image.")
  @OptionGroup var options: BackupFolderOptions
  @Argument(help: ArgumentHelp("The point; latest: the last one.", valueName: "point"))
  var name: String
  @Argument(help: ArgumentHelp("The new image.", valueName: "file"))
  var file: String
  @OptionGroup var new: BackupImageOptions
  @Option(
    help: ArgumentHelp("Which disk, as show names them. (default: the first)", valueName: "drive"))
  var disk: String?

  private struct Report: Codable {
    var schema = "apus-backup-export"
    var version = 1
    var point: String
    var drive: String
    var file: String
    var format: String
    var virtualSize: UInt64
    var dataBytes: UInt64
  }

  func run() throws {
    let backups = try options.open(writable: false)
    let point = try backups.point(name)
    guard let index = point.disks.firstIndex(where: { disk == nil || $0.shortDrive == disk }) else {
      throw Failure.usage(
        "--disk \(disk ?? ""): the point has "
          + (point.disks.isEmpty
            ? "no disks" : point.disks.map(\.shortDrive).joined(separator: ", ")))
    }
    var request = CreateRequest(
      file,
      format: new.format ?? BackupImageOptions.format(of: file)
        ?? (backups.isSealed && !new.readable ? "luks" : "raw"))
    request.options = try ImageOptionText.parse(new.options)
    request.newKey = try new.key(options.keys.keys, sealed: backups.isSealed)
    request.replaces = new.replace
    let image = try backups.export(
      index, of: point, request, readable: new.readable, new.job())
    let report = Report(
      point: point.name, drive: point.disks[index].shortDrive, file: file, format: image.format,
      virtualSize: image.virtualSize, dataBytes: image.dataBytes)
    try CommandEntry.deliver(
      report,
      new.progress.quiet
        ? []
        : [
          "\(file): \(report.drive) as at '\(point.name)' in \(image.format), \(ImageSize.text(image.dataBytes)) of data"
        ] + image.notes)
  }
}
