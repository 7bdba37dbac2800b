// `apus snapshot take, list, show, restore, delete, diff`.
//
// Owns: the options and the words. Must not know: trees inside.

import ArgumentParser
import Host
import Images
import Snapshots
import Storage

/// Words for people.
enum SnapshotWords {
  static func time(_ seconds: Int64) -> String {
    // That has every other second.
    let local = HostClock.localSeconds(atUTC: seconds)
    let second = Int(((local % 60) + 60) % 60)
    return FATTime(localSeconds: local).description.dropLast(2) + (second < 10 ? "0" : "")
      + "\(second)"
  }

  static func milliseconds(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) ms"
  }

  static func column(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }
}

struct SnapshotTakeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "take", abstract: "Takes a snapshot.",
    discussion: """
      Of a machine that runs it has processors, devices, memory and disks, and the machine goes on meanwhile; it is on stable storage when \
      this ends. Of one that does not run it has the disks.
      """)
  @OptionGroup var options: SnapshotOptions
  private var place: SnapshotPlace { options.place }
  @Argument(help: ArgumentHelp("Its name. (default: snapshot-N)", valueName: "name"))
  var name: String?
  @Option(name: .shortAndLong, help: ArgumentHelp("What is to be said of it.", valueName: "text"))
  var note: String = ""
  @Flag(help: "Only the disks, as a power failure would leave them.")
  var disksOnly = false
  @Flag(help: "It is deleted when the machine's run ends.")
  var throwAway = false

  func run() throws {
    let result: SnapshotResult
    if let client = place.client {
      var parameters = ControlRequest.Parameters()
      parameters.name = name
      parameters.note = note
      parameters.disksOnly = disksOnly
      parameters.throwAway = throwAway
      result = try client.call("snapshot.take", parameters)
    } else {
      result = try takeOfFiles()
    }
    guard let snapshot = result.snapshots.first else { return }
    var line = "'\(snapshot.name)' was taken"
    if let pause = result.pauseMilliseconds, let total = result.totalMilliseconds {
      line +=
        ": the machine stood for \(SnapshotWords.milliseconds(pause)), "
        + "all was stored after \(SnapshotWords.milliseconds(total))"
    } else if !result.running {
      line += " of the disks; no machine runs"
    }
    try CommandEntry.deliver(result, [line])
  }

  private func takeOfFiles() throws -> SnapshotResult {
    if throwAway {
      throw Failure.usage("--throw-away: for a machine that runs, and none does")
    }
    var wish = SnapshotWish(name)
    wish.note = note
    wish.onlyDisks = true
    func take(_ tree: SnapshotTree) throws -> SnapshotResult {
      let (record, timing) = try tree.take(wish, hold: nil)
      return SnapshotResult(
        "take", [SnapshotReport(record, isCurrent: true)], running: false, timing)
    }
    if SnapshotTree.exists(in: place.folder) { return try place.change(take) }
    let attachments = try place.openAlone()
    let tree = try SnapshotTree(
      creating: place.folder, for: attachments,
      keys: attachments.flatMap(\.device.volumeKeys))
    let result = try take(tree)
    for attachment in attachments { try attachment.device.finish() }
    try tree.finish()
    for attachment in attachments { attachment.device.close() }
    return result
  }
}

struct SnapshotListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Lists the snapshots, as the tree that they are.")
  @OptionGroup var options: SnapshotOptions
  private var place: SnapshotPlace { options.place }

  func run() throws {
    let isRunning = place.client != nil
    try place.check()
    guard SnapshotTree.exists(in: place.folder) else {
      let none = SnapshotListReport(
        folder: place.folder, running: false, resumes: false, snapshots: [])
      return try CommandEntry.deliver(none, ["no snapshots"])
    }
    let tree = try place.tree(writable: false)
    let current = tree.current?.id
    let report = SnapshotListReport(
      folder: place.folder, running: isRunning, resumes: tree.resumed != nil,
      snapshots: tree.snapshots.map { SnapshotReport($0, isCurrent: $0.id == current) })
    try CommandEntry.deliver(report, SnapshotListCommand.lines(report))
  }

  static func lines(_ report: SnapshotListReport) -> [String] {
    if report.snapshots.isEmpty { return ["no snapshots"] }
    var rows: [(name: String, snapshot: SnapshotReport)] = []
    // A straight line of snapshots stays where it is; branches are drawn.
    func add(_ parent: String?, _ prefix: String) {
      let children = report.snapshots.filter { $0.parent == parent }
      for (n, snapshot) in children.enumerated() {
        if children.count == 1 || parent == nil {
          rows.append((prefix + snapshot.name, snapshot))
          add(snapshot.id, prefix)
        } else {
          let isLast = n == children.count - 1
          rows.append((prefix + (isLast ? "└─ " : "├─ ") + snapshot.name, snapshot))
          add(snapshot.id, prefix + (isLast ? "   " : "│  "))
        }
      }
    }
    add(nil, "")
    let width = max(rows.map(\.name.count).max() ?? 0, 4) + 2
    var lines = [
      SnapshotWords.column("  name", width + 2) + SnapshotWords.column("taken", 21)
        + SnapshotWords.column("has", 9) + "note"
    ]
    for (name, snapshot) in rows {
      let mark = snapshot.current ? (report.resumes ? "> " : "* ") : "  "
      lines.append(
        mark + SnapshotWords.column(name, width)
          + SnapshotWords.column(SnapshotWords.time(snapshot.created), 21)
          + SnapshotWords.column(snapshot.kind, 9) + snapshot.note
          + (snapshot.temporary ? " (until the run ends)" : ""))
    }
    lines.append(
      report.running && !report.resumes
        ? "* is where the machine that runs comes from"
        : report.resumes
          ? "> is where the machine goes on at its next start"
          : report.snapshots.contains(where: \.current)
            ? "* is where the machine comes from" : "where the machine comes from is deleted")
    return lines
  }
}

struct SnapshotShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Tells everything about a snapshot.")
  @OptionGroup var options: SnapshotOptions
  private var place: SnapshotPlace { options.place }
  @Argument(help: ArgumentHelp("The snapshot.", valueName: "name"))
  var name: String
  @Option(
    help: ArgumentHelp("Write the small picture of its screen there (PNG).", valueName: "file"))
  var picture: String?

  private struct Report: Codable {
    var schema = "apus-snapshot-show"
    var version = 1
    var snapshot: SnapshotReport
    var machine: [String: String]
    var disks: [Disk]
    var screen: [String]?
    var arguments: [String]
    struct Disk: Codable {
      var drive: String
      var image: String
      var bytes: UInt64
    }
  }

  func run() throws {
    let tree = try place.tree(writable: false)
    let record = try tree.snapshot(name)
    if let picture {
      guard let bytes = try tree.picture(of: record) else {
        throw Failure.usage("'\(record.name)' has no picture")
      }
      try PictureFile.write(bytes, to: picture)
    }
    let identity = try tree.identity(of: record)
    let snapshot = SnapshotReport(record, isCurrent: tree.current?.id == record.id)
    let report = Report(
      snapshot: snapshot,
      machine: Dictionary(identity.map { ($0.key, $0.value) }, uniquingKeysWith: { one, _ in one }),
      disks: tree.disks.map {
        Report.Disk(
          drive: String($0.drive.dropFirst(7)),
          image: $0.path == SnapshotTree.ownImage ? place.image : $0.path, bytes: $0.byteCount)
      }, screen: record.text, arguments: record.arguments)
    func line(_ key: String, _ value: String) -> String { SnapshotWords.column(key, 14) + value }
    var lines = [
      line("name", record.name), line("identity", record.id),
      line("taken", SnapshotWords.time(record.created)),
    ]
    if !record.note.isEmpty { lines.append(line("note", record.note)) }
    if let parent = record.parent, let above = tree.snapshots.first(where: { $0.id == parent }) {
      lines.append(line("comes from", above.name))
    }
    if record.kind == .machine {
      lines.append(
        line(
          "time",
          "\(record.instruction) instructions, \(Double(record.time / 1_000_000) / 1000) s of the guest"
        ))
      lines += identity.map { line($0.key, $0.value) }
    } else {
      lines.append(line("has", "disks alone"))
    }
    for disk in report.disks {
      lines.append(line(disk.drive, "\(disk.image), \(ImageSize.text(disk.bytes))"))
    }
    if !record.arguments.isEmpty {
      lines.append(line("started with", record.arguments.joined(separator: " ")))
    }
    if let text = record.text {
      lines.append("screen")
      let last = text.lastIndex { !$0.isEmpty } ?? -1
      lines += text[..<(last + 1)].map { "  | " + $0 }
    }
    try CommandEntry.deliver(report, lines)
  }
}

struct SnapshotRestoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "restore", abstract: "Goes back to a snapshot.",
    discussion: """
      A machine that runs goes on from there at once. Otherwise its disks become what they were, and with its next start it goes on from \
      there, given the same options. What was not in a snapshot is lost.
      """)
  @OptionGroup var options: SnapshotOptions
  private var place: SnapshotPlace { options.place }
  @Argument(help: ArgumentHelp("The snapshot.", valueName: "name"))
  var name: String
  @Flag(help: "Only the disks: the machine boots from them at its next start.")
  var disksOnly = false

  func run() throws {
    let result: SnapshotResult
    if let client = place.client {
      if disksOnly {
        throw Failure.usage("--disks-only: not while the machine runs")
      }
      var parameters = ControlRequest.Parameters()
      parameters.name = name
      result = try client.call("snapshot.restore", parameters)
    } else {
      result = try place.change { tree in
        let record = try tree.restore(name, onlyDisks: disksOnly)
        return SnapshotResult(
          "restore", [SnapshotReport(record, isCurrent: true)], running: false, nil)
      }
    }
    guard let snapshot = result.snapshots.first else { return }
    let line =
      result.running
      ? "the machine goes on from '\(snapshot.name)' (it stood for "
        + "\(SnapshotWords.milliseconds(result.pauseMilliseconds ?? 0)))"
      : snapshot.kind == "machine" && !disksOnly
        ? "the disks are as at '\(snapshot.name)'; the machine goes on from there at its next start"
        : "the disks are as at '\(snapshot.name)'"
    try CommandEntry.deliver(result, [line])
  }
}

struct SnapshotDeleteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete", abstract: "Deletes snapshots; others stay whole.")
  @OptionGroup var options: SnapshotOptions
  private var place: SnapshotPlace { options.place }
  @Argument(help: ArgumentHelp("The snapshots.", valueName: "name"))
  var names: [String]
  @Flag(name: .shortAndLong, help: "Also those that come from them.")
  var recursive = false

  func run() throws {
    let result: SnapshotResult
    if let client = place.client {
      var parameters = ControlRequest.Parameters()
      parameters.names = names
      parameters.descendants = recursive
      result = try client.call("snapshot.delete", parameters)
    } else {
      // Without the images: there need be no room for anything new.
      let tree = try place.tree(writable: true)
      let resumed = tree.resumed
      let gone = try tree.delete(names, descendants: recursive)
      if let resumed, gone.contains(where: { $0.id == resumed.id }) {
        ApusProgram.say([
          "apus snapshot: the machine was to go on from '\(resumed.name)'; it boots at its next start"
        ])
      }
      result = SnapshotResult(
        "delete", gone.map { SnapshotReport($0, isCurrent: false) }, running: false, nil)
    }
    try CommandEntry.deliver(result, result.snapshots.map { "'\($0.name)' is deleted" })
  }
}

struct SnapshotDiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "Tells what differs between two snapshots.",
    discussion: "Exit codes: 0 nothing, 1 something.")
  @OptionGroup var options: SnapshotOptions
  private var place: SnapshotPlace { options.place }
  @Argument(help: ArgumentHelp("A snapshot.", valueName: "name"))
  var first: String
  @Argument(help: ArgumentHelp("Another one.", valueName: "other"))
  var second: String

  private struct Report: Codable {
    var schema = "apus-snapshot-diff"
    var version = 1
    var pages: UInt64
    var memory: [Run]
    var parts: [String]
    var disks: [Disk]
    var rows: [Row]
    struct Run: Codable {
      var start: UInt64
      var length: UInt64
    }
    struct Disk: Codable {
      var drive: String
      var bytes: UInt64
      var ranges: [Run]
    }
    struct Row: Codable {
      var row: Int
      var before: String
      var after: String
    }
  }

  func run() throws {
    let tree = try place.tree(writable: false)
    let difference = try tree.compare(first, second)
    let report = Report(
      pages: difference.pages.reduce(0) { $0 + UInt64($1.count) },
      memory: difference.pages.map {
        .init(start: $0.lowerBound << 12, length: UInt64($0.count) << 12)
      },
      parts: difference.parts,
      disks: difference.disks.map { drive, ranges in
        Report.Disk(
          drive: String(drive.dropFirst(7)), bytes: ranges.reduce(0) { $0 + UInt64($1.count) },
          ranges: ranges.map { .init(start: $0.lowerBound, length: UInt64($0.count)) })
      }, rows: difference.rows.map { .init(row: $0.row, before: $0.before, after: $0.after) })
    func range(_ run: Report.Run) -> String {
      "  " + String(run.start, radix: 16) + "-" + String(run.start + run.length - 1, radix: 16)
    }
    func some(_ runs: [Report.Run]) -> [String] {
      runs.prefix(10).map(range) + (runs.count > 10 ? ["  and \(runs.count - 10) more ranges"] : [])
    }
    var lines: [String] = []
    if report.pages > 0 {
      lines.append("memory: \(report.pages) pages differ (physical addresses)")
      lines += some(report.memory)
    }
    if !report.parts.isEmpty { lines.append("devices: " + report.parts.joined(separator: ", ")) }
    for disk in report.disks where disk.bytes > 0 {
      lines.append("\(disk.drive): \(ImageSize.text(disk.bytes)) may differ")
      lines += some(disk.ranges)
    }
    for row in report.rows {
      lines.append("screen, row \(row.row):")
      lines.append("  - " + row.before)
      lines.append("  + " + row.after)
    }
    let isSame = lines.isEmpty
    let (a, b) = (try tree.snapshot(first), try tree.snapshot(second))
    for snapshot in [a, b] where snapshot.kind == .disks {
      lines.append("'\(snapshot.name)' has disks alone: memory and devices are not compared")
    }
    try CommandEntry.deliver(report, isSame ? ["nothing differs"] + lines : lines)
    if !isSame { throw ExitCode(1) }
  }
}
