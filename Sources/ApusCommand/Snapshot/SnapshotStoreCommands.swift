// `apus snapshot export, verify, du, gc, quota, accept`: what is done with the store behind the snapshots.
//
// Owns: the options and the words, copying a disk out. Must not know: trees inside, formats.

import ArgumentParser
import Host
import Images
import Snapshots
import Storage

struct SnapshotExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Copies a disk as a snapshot has it into a new image.")
  @OptionGroup var options: SnapshotOptions
  private var place: SnapshotPlace { options.place }
  @Argument(help: ArgumentHelp("The snapshot.", valueName: "name"))
  var name: String
  @Argument(help: ArgumentHelp("The new image.", valueName: "file"))
  var file: String
  @Option(
    name: .customShort("O"),
    help: ArgumentHelp(
      "Its format. (default: as its name ends, otherwise raw)", valueName: "format"))
  var wantedFormat: String?

  private var format: String {
    wantedFormat
      ?? ["qcow2", "vdi", "vmdk", "vhd", "vhdx"].first { file.lowercased().hasSuffix("." + $0) }
      ?? "raw"
  }
  @Option(
    help: ArgumentHelp("Which disk, as show names them. (default: the first)", valueName: "drive"))
  var disk: String?
  @Flag(help: "A file of that name is replaced.")
  var replace = false

  func run() throws {
    if let client = place.client {
      let parameters = BackupRequest.Parameters(
        name: name, file: BackupControl.absolute(file), format: format, disk: disk,
        replace: replace)
      var report: SnapshotExportReport = try BackupControl.call(
        client, "snapshot.export", parameters)
      report.file = file
      return try deliver(report)
    }
    var tree = try place.tree(writable: false)
    if tree.hasLogs {
      // A run was killed: what it has kept is brought to where it is found.
      try place.change { _ in }
      tree = try place.tree(writable: false)
    }
    let record = try tree.snapshot(name)
    let disks = tree.disks
    let index =
      try disk.map { wanted in
        guard let index = disks.firstIndex(where: { $0.drive == "medium-" + wanted }) else {
          throw Failure.usage(
            "--disk \(wanted): the snapshot has "
              + disks.map { String($0.drive.dropFirst(7)) }.joined(separator: ", "))
        }
        return index
      } ?? 0
    guard disks.indices.contains(index) else { throw Failure.usage("the snapshot has no disks") }
    let opened = try place.open([disks[index]], writable: false)
    try tree.check(opened)
    let image = opened[0].device
    let source = try tree.disk(index, of: record, over: image)
    var request = CreateRequest(file, format: format)
    request.replaces = replace
    let written = try ImageOperations.write(source, request)
    image.close()
    try deliver(
      SnapshotExportReport(
        snapshot: record.name, drive: String(disks[index].drive.dropFirst(7)), file: file,
        format: format, virtualSize: written.virtualSize, dataBytes: written.dataBytes))
  }

  private func deliver(_ report: SnapshotExportReport) throws {
    try CommandEntry.deliver(
      report,
      [
        "\(file): \(report.drive) as at '\(report.snapshot)' in \(report.format), \(ImageSize.text(report.dataBytes)) of data"
      ]
    )
  }
}

struct SnapshotVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Reads everything that snapshots have, and compares it with its names.",
    discussion: "Exit codes: 0 sound, 1 damage.")
  @OptionGroup var options: SnapshotOptions
  private var place: SnapshotPlace { options.place }

  private struct Report: Codable {
    var schema = "apus-snapshot-verify"
    var version = 1
    var damages: [String]
    var incomplete: [String]
  }

  func run() throws {
    let (damages, incomplete) = try place.tree(writable: false).verify()
    let report = Report(
      damages: damages.map(\.description),
      incomplete: incomplete.map { "'\($0.snapshot)': \($0.reason)" })
    let lines = report.damages + report.incomplete
    try CommandEntry.deliver(report, lines.isEmpty ? ["everything is as it was written"] : lines)
    if !lines.isEmpty { throw ExitCode(1) }
  }
}

struct SnapshotUsageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "du", abstract: "Tells what snapshots take.")
  @OptionGroup var options: SnapshotOptions
  private var place: SnapshotPlace { options.place }

  private struct Report: Codable {
    var schema = "apus-snapshot-du"
    var version = 1
    var snapshots: Int
    var objects: Int
    var bytes: UInt64
    var onDisk: UInt64
    var quota: UInt64?
  }

  func run() throws {
    let tree = try place.tree(writable: false)
    let usage = tree.usage()
    let report = Report(
      snapshots: tree.snapshots.count, objects: usage.objects, bytes: usage.bytes,
      onDisk: usage.onDisk, quota: tree.quota)
    try CommandEntry.deliver(
      report,
      [
        "\(report.snapshots) snapshots: \(ImageSize.text(report.onDisk)) on the host, "
          + "\(report.objects) pages and clusters of \(ImageSize.text(report.bytes))"
          + (report.quota.map { "; at most \(ImageSize.text($0))" } ?? "")
      ])
  }
}

struct SnapshotCollectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gc", abstract: "Gives room back that no snapshot needs.",
    discussion: "Deleting does it, too; this is for what was left when that was cut off.")
  @OptionGroup var options: SnapshotOptions
  private var place: SnapshotPlace { options.place }

  private struct Report: Codable {
    var schema = "apus-snapshot-gc"
    var version = 1
    var bytes: UInt64
  }

  func run() throws {
    if place.client != nil {
      throw Failure.usage("\(place.image): its machine runs: stop it first")
    }
    let report = Report(bytes: try place.tree(writable: true).collect())
    try CommandEntry.deliver(report, ["\(ImageSize.text(report.bytes)) were given back"])
  }
}

struct SnapshotQuotaCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quota", abstract: "Limits what snapshots may take on the host.")
  @OptionGroup var options: SnapshotOptions
  private var place: SnapshotPlace { options.place }
  @Argument(
    help: ArgumentHelp("As in 20G; none: no limit. (default: tell the limit)", valueName: "size"))
  var size: String?

  private struct Report: Codable {
    var schema = "apus-snapshot-quota"
    var version = 1
    var quota: UInt64?
  }

  func run() throws {
    if place.client != nil {
      throw Failure.usage("\(place.image): its machine runs: stop it first")
    }
    guard let size else {
      let quota = try place.tree(writable: false).quota
      return try CommandEntry.deliver(
        Report(quota: quota), [quota.map { "at most \(ImageSize.text($0))" } ?? "no limit"])
    }
    let quota = size == "none" ? nil : try ImageOperations.size(size, "quota")
    if let quota, quota < 1 << 20 {
      throw Failure.usage("quota \(size): a tree needs a megabyte at least (none: no limit)")
    }
    try place.tree(writable: true).setQuota(quota)
    try CommandEntry.deliver(
      Report(quota: quota), [quota.map { "at most \(ImageSize.text($0))" } ?? "no limit"])
  }
}

struct SnapshotAcceptCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "accept", abstract: "Goes on with an image that something else has written.",
    discussion: """
      Snapshots have what differs from the image, so they are worth nothing when something that knows nothing of them has written it: they \
      are deleted. With --unchanged they stay: for an image that was only touched, or copied with its folder.
      """)
  @OptionGroup var options: SnapshotOptions
  private var place: SnapshotPlace { options.place }
  @Flag(help: "The image holds what it held.")
  var unchanged = false

  private struct Report: Codable {
    var schema = "apus-snapshot-accept"
    var version = 1
    var deleted: Int
  }

  func run() throws {
    if place.client != nil {
      throw Failure.usage("\(place.image): its machine runs: stop it first")
    }
    let tree = try place.tree(writable: true)
    let count = tree.snapshots.count
    let attachments = try place.open(tree.disks, writable: false)
    try tree.accept(attachments, keeping: unchanged)
    for attachment in attachments { attachment.device.close() }
    try CommandEntry.deliver(
      Report(deleted: unchanged ? 0 : count),
      [
        unchanged
          ? "the snapshots stay"
          : "\(count == 1 ? "one snapshot is" : "\(count) snapshots are") deleted; the disk is as it is"
      ])
  }
}
