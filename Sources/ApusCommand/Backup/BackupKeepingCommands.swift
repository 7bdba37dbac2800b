// `apus backup delete, prune, gc, quota`: what stays in a folder.
//
// Owns: the options and the words. Must not know: folders of backups inside.

import ArgumentParser
import Backup
import Host
import Images
import Storage

struct BackupDeleteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete", abstract: "Deletes points; others stay whole.")
  @OptionGroup var options: BackupFolderOptions
  @Argument(help: ArgumentHelp("The points.", valueName: "point"))
  var names: [String]

  func run() throws {
    let backups = try options.open(writable: true)
    let points = try names.map { try backups.point($0) }
    let bytes = try backups.delete(Set(points.map(\.id)))
    let report = BackupDeleteReport(
      deleted: points.map { BackupPointReport($0) }, kept: backups.points.count, bytes: bytes,
      dryRun: false)
    try CommandEntry.deliver(report, BackupDeleteCommand.lines(report))
  }

  static func lines(_ report: BackupDeleteReport) -> [String] {
    report.deleted.map {
      "'\($0.name)' of \(SnapshotWords.time($0.created)), \($0.machine), "
        + (report.dryRun ? "would be deleted" : "is deleted")
    } + [
      "\(report.kept) points stay"
        + (report.dryRun ? "" : "; \(ImageSize.text(report.bytes)) were given back")
    ]
  }
}

struct BackupPruneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prune", abstract: "Deletes points but some of each machine.",
    discussion: """
      Each rule keeps points, and what none keeps goes: the last N; the last one of each of the last N hours, days, weeks (from Monday), \
      months and years in which there are any, by the host's clock.
      """)
  @OptionGroup var options: BackupFolderOptions
  @Option(help: ArgumentHelp("The last N.", valueName: "n"))
  var keepLast = 0
  @Option(help: ArgumentHelp("One of each hour.", valueName: "n"))
  var keepHourly = 0
  @Option(help: ArgumentHelp("One of each day.", valueName: "n"))
  var keepDaily = 0
  @Option(help: ArgumentHelp("One of each week.", valueName: "n"))
  var keepWeekly = 0
  @Option(help: ArgumentHelp("One of each month.", valueName: "n"))
  var keepMonthly = 0
  @Option(help: ArgumentHelp("One of each year.", valueName: "n"))
  var keepYearly = 0
  @Option(help: ArgumentHelp("Only points of this machine.", valueName: "name"))
  var machine: String?
  @Flag(help: "Only tell what would be deleted.")
  var dryRun = false

  func run() throws {
    var rule = PruneRule()
    rule.last = keepLast
    rule.hourly = keepHourly
    rule.daily = keepDaily
    rule.weekly = keepWeekly
    rule.monthly = keepMonthly
    rule.yearly = keepYearly
    let numbers = [keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly]
    if numbers.contains(where: { $0 < 0 }) { throw Failure.usage("--keep-...: 0 or more") }
    if rule.isEmpty {
      throw Failure.usage("prune: a rule is needed (--keep-last 7): without, everything would go")
    }
    let backups = try options.open(writable: !dryRun)
    let (kept, gone) = backups.pruned(rule, of: machine)
    let bytes = dryRun ? 0 : try backups.delete(Set(gone.map(\.id)))
    let report = BackupDeleteReport(
      deleted: gone.map { BackupPointReport($0) }, kept: kept.count, bytes: bytes, dryRun: dryRun)
    try CommandEntry.deliver(report, BackupDeleteCommand.lines(report))
  }
}

struct BackupCollectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gc", abstract: "Gives room back that no point needs.",
    discussion: "Deleting does it, too; this is for what was left when that was cut off.")
  @OptionGroup var options: BackupFolderOptions
  @Flag(
    help: "Also give up files that cannot be used any more, although points lack what was in them.")
  var discardLost = false

  private struct Report: Codable {
    var schema = "apus-backup-gc"
    var version = 1
    var bytes: UInt64
  }

  func run() throws {
    let bytes = try options.open(writable: true).collect(discardsLost: discardLost)
    try CommandEntry.deliver(
      Report(bytes: bytes), ["\(ImageSize.text(bytes)) were given back"])
  }
}

struct BackupQuotaCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quota", abstract: "Limits what a folder may take on the host.")
  @OptionGroup var options: BackupFolderOptions
  @Argument(
    help: ArgumentHelp("As in 20G; none: no limit. (default: tell the limit)", valueName: "size"))
  var size: String?

  private struct Report: Codable {
    var schema = "apus-backup-quota"
    var version = 1
    var quota: UInt64?
  }

  func run() throws {
    var quota: UInt64?
    if let size {
      quota = size == "none" ? nil : try ImageOperations.size(size, "quota")
      if let quota, quota < 1 << 20 {
        throw Failure.usage("quota \(size): a megabyte at least (none: no limit)")
      }
      try options.open(writable: true).setQuota(quota)
    } else {
      quota = try options.open(writable: false).quota
    }
    try CommandEntry.deliver(
      Report(quota: quota), [quota.map { "at most \(ImageSize.text($0))" } ?? "no limit"])
  }
}
