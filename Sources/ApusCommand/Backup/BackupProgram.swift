// `apus backup`: backups of machines and disks in a folder.
//
// Owns: the entry, errors, the folder and the keys, progress. Must not know: what the commands do.

import ArgumentParser
import Backup
import Host
import Images
import Snapshots
import Storage

/// The subcommand's own entry.
enum BackupProgram {
  static func main(_ arguments: [String]) -> Never {
    CommandEntry.main(arguments, BackupCommand.self, "apus backup", near: others)
  }

  /// As other programs call it.
  private static let others = [
    "make": "create", "take": "create", "save": "create", "backup": "create", "run": "create",
    "ls": "list", "snapshots": "list", "points": "list", "info": "show", "check": "verify",
    "extract": "restore", "recover": "restore", "convert": "export", "rm": "delete",
    "remove": "delete", "forget": "prune", "expire": "prune", "compact": "gc", "stats": "du",
  ]

  /// Something that shows how far it is, on a terminal.
  static func progress() -> BackupProgress {
    guard HostTerminal.isTerminal(2), CommandEntry.target == nil else { return { _, _ in } }
    let start = HostClock.nanoseconds()
    var (told, isShown) = (start, false)
    return { done, total in
      let now = HostClock.nanoseconds()
      // What is done at once needs no bar.
      guard now &- told > (isShown ? 100_000_000 : 700_000_000) || (isShown && done >= total)
      else { return }
      (told, isShown) = (now, true)
      let rate = Double(done) / (Double(now &- start) / 1e9)
      ImageProgressBar.show(
        ImageProgress(
          done: done, total: total, rate: rate,
          secondsLeft: rate > 0 && total >= done ? Double(total - done) / rate : nil))
    }
  }
}

struct BackupCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus backup",
    abstract: "Makes, shows, checks and gives back backups of machines and disks.",
    discussion: """
      FOLDER has the points of any number of machines; what is the same in them is there once. A machine that runs makes its backup itself, \
      if its disk has snapshots already or it was started with --with-snapshots; otherwise the disk's files are read. \
      Exit codes: 0, 64 bad usage, 74 something failed; verify: 1 damage; 130 ended by Ctrl-C.
      """,
    subcommands: [
      BackupCreateCommand.self, BackupListCommand.self, BackupShowCommand.self,
      BackupRestoreCommand.self, BackupExportCommand.self, BackupVerifyCommand.self,
      BackupDeleteCommand.self, BackupPruneCommand.self, BackupUsageCommand.self,
      BackupCollectCommand.self, BackupQuotaCommand.self,
    ])
}

/// Keys of backups that are encrypted.
struct BackupKeyOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "An image whose keys open encrypted backups, in place of the copies that the folder has; repeatable.",
      valueName: "image"))
  var keysOf: [String] = []
  @OptionGroup var keys: ImageKeyOptions

  /// - Parameter folder: of backups, which has what their keys are in.
  func volumeKeys(_ folder: String) throws -> [VolumeKey] {
    let images = keysOf.isEmpty ? BackupFolder.keyFiles(in: folder) : keysOf
    return try images.flatMap { image -> [VolumeKey] in
      let looked = try ImageOpener.open(
        path: image, readOnly: true, looksOnly: true, keys: keys.keys())
      defer { looked.device.close() }
      let keys = looked.device.volumeKeys
      if keys.isEmpty { throw Failure.usage("--keys-of \(image): is not encrypted", file: image) }
      return keys
    }
  }
}

/// Which folder is meant.
struct BackupFolderOptions: ParsableArguments {
  @Argument(help: ArgumentHelp("The folder of backups.", valueName: "folder"))
  var folder: String
  @OptionGroup var keys: BackupKeyOptions

  func open(writable: Bool) throws -> BackupFolder {
    try BackupFolder(folder, writable: writable, keys: try keys.volumeKeys(folder))
  }
}
