// `apus backup list, show, verify, du`: what there is in a folder.
//
// Owns: the options and the words. Must not know: folders of backups inside.

import ArgumentParser
import Backup
import Host
import Images
import Storage

struct BackupListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Lists the points of a folder.")
  @OptionGroup var options: BackupFolderOptions
  @Option(help: ArgumentHelp("Only those of this machine.", valueName: "name"))
  var machine: String?

  func run() throws {
    let backups = try options.open(writable: false)
    let report = BackupListReport(
      folder: options.folder, encrypted: backups.isSealed,
      points: backups.points.filter { machine == nil || $0.machine == machine }.map {
        BackupPointReport($0)
      })
    try CommandEntry.deliver(report, BackupListCommand.lines(report.points))
  }

  static func lines(_ points: [BackupPointReport]) -> [String] {
    if points.isEmpty { return ["no points"] }
    let width = max(points.map(\.name.count).max() ?? 0, 4) + 2
    let machines = max(points.map(\.machine.count).max() ?? 0, 7) + 2
    func row(_ name: String, _ made: String, _ has: String, _ machine: String, _ note: String)
      -> String
    {
      SnapshotWords.column(name, width) + SnapshotWords.column(made, 21)
        + SnapshotWords.column(has, 9) + SnapshotWords.column(machine, machines) + note
    }
    return [row("name", "made", "has", "machine", "note")]
      + points.map {
        row(
          $0.name, SnapshotWords.time($0.created), $0.kind, $0.machine,
          $0.note + ($0.damage == nil ? "" : " (damaged)"))
      }
  }
}

struct BackupShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Tells everything about a point.")
  @OptionGroup var options: BackupFolderOptions
  @Argument(help: ArgumentHelp("The point; latest: the last one.", valueName: "point"))
  var name: String
  @Option(
    help: ArgumentHelp("Write the small picture of its screen there (PNG).", valueName: "file"))
  var picture: String?

  private struct Report: Codable {
    var schema = "apus-backup-show"
    var version = 1
    var point: BackupPointReport
    var screen: [String]?
    var arguments: [String]
  }

  func run() throws {
    let backups = try options.open(writable: false)
    let point = try backups.point(name)
    if let picture {
      guard let bytes = try backups.picture(of: point) else {
        throw Failure.usage("'\(point.name)' has no picture")
      }
      try PictureFile.write(bytes, to: picture)
    }
    let report = Report(
      point: BackupPointReport(point), screen: point.record.text, arguments: point.record.arguments)
    func line(_ key: String, _ value: String) -> String { SnapshotWords.column(key, 14) + value }
    var lines = [
      line("name", point.name), line("identity", point.id), line("machine", point.machine),
      line("made", SnapshotWords.time(point.record.created)),
    ]
    if !point.record.note.isEmpty { lines.append(line("note", point.record.note)) }
    if !point.damage.isEmpty { lines.append(line("damaged", point.damage)) }
    if point.hasMachine {
      lines.append(
        line(
          "time",
          "\(point.record.instruction) instructions, \(Double(point.record.time / 1_000_000) / 1000) s of the guest"
        ))
      lines.append(line("memory", ImageSize.text(point.record.pageCount * 4096)))
    } else {
      lines.append(line("has", "disks alone"))
    }
    for disk in report.point.disks {
      lines.append(line(disk.drive, "\(disk.image), \(disk.format), \(ImageSize.text(disk.bytes))"))
    }
    if !report.arguments.isEmpty {
      lines.append(line("started with", report.arguments.joined(separator: " ")))
    }
    if let text = point.record.text {
      lines.append("screen")
      let last = text.lastIndex { !$0.isEmpty } ?? -1
      lines += text[..<(last + 1)].map { "  | " + $0 }
    }
    try CommandEntry.deliver(report, lines)
  }
}

struct BackupVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Reads everything that points have, and compares it with its names.",
    discussion: """
      What is damaged is remembered: the next backup that has the same contents writes them anew, and no backup goes on from a point that \
      lacks them. Exit codes: 0 sound, 1 damage.
      """)
  @OptionGroup var options: BackupFolderOptions

  private struct Report: Codable {
    var schema = "apus-backup-verify"
    var version = 1
    var damages: [String]
    var incomplete: [String]
    var points: Int
  }

  func run() throws {
    let backups = try options.open(writable: false)
    let progress = BackupProgram.progress()
    let found = backups.verify { done, total in
      progress(UInt64(done), UInt64(max(total, 1)))
      return true
    }
    let report = Report(
      damages: found.damages.map(\.description),
      incomplete: found.incomplete.map { "'\($0.point.name)': \($0.reason)" },
      points: backups.points.count)
    var lines = report.damages + report.incomplete
    if !found.isSound || backups.points.contains(where: { !$0.damage.isEmpty }) {
      backups.close()
      do {
        let writable = try options.open(writable: true)
        try writable.note(found)
      } catch {
        lines.append("it could not be noted in the folder, so that it would be mended: \(error)")
      }
    }
    try CommandEntry.deliver(
      report, lines.isEmpty ? ["\(report.points) points: everything is as it was written"] : lines)
    if !found.isSound { throw ExitCode(1) }
  }
}

struct BackupUsageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "du", abstract: "Tells what a folder takes.")
  @OptionGroup var options: BackupFolderOptions

  private struct Report: Codable {
    var schema = "apus-backup-du"
    var version = 1
    var points: Int
    var objects: Int
    var bytes: UInt64
    var stored: UInt64
    var onDisk: UInt64
    var quota: UInt64?
  }

  func run() throws {
    let backups = try options.open(writable: false)
    let usage = backups.usage()
    let report = Report(
      points: backups.points.count, objects: usage.objects, bytes: usage.bytes,
      stored: usage.stored, onDisk: usage.onDisk, quota: backups.quota)
    try CommandEntry.deliver(
      report,
      [
        "\(report.points) points: \(ImageSize.text(report.onDisk)) on the host, "
          + "\(report.objects) pages and clusters of \(ImageSize.text(report.bytes))"
          + (report.quota.map { "; at most \(ImageSize.text($0))" } ?? "")
      ])
  }
}
