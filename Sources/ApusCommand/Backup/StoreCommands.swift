// `apus store`: any folder of contents by name, whatever it is for.
//
// Owns: finding out what a folder is, the options and the words. Must not know: trees and points inside.

import ArgumentParser
import Backup
import Host
import Images
import Snapshots
import Storage
import Store

/// The subcommand's own entry.
enum StoreProgram {
  static func main(_ arguments: [String]) -> Never {
    CommandEntry.main(
      arguments, StoreCommand.self, "apus store",
      near: [
        "usage": "du", "check": "verify", "prune": "gc", "sweep": "gc", "collect": "gc",
        "mend": "repair",
      ])
  }
}

struct StoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus store",
    abstract: "Looks after folders of snapshots (IMAGE.snapshots) and of backups.",
    discussion: "Exit codes: 0, 64 bad usage, 74 something failed; verify: 1 damage.",
    subcommands: [
      StoreUsageCommand.self, StoreCollectCommand.self, StoreVerifyCommand.self,
      StoreRepairCommand.self,
    ])
}

/// Which folder is meant.
struct StoreOptions: ParsableArguments {
  @Argument(help: ArgumentHelp("A folder of snapshots or of backups.", valueName: "folder"))
  var folder: String
  @OptionGroup var keys: BackupKeyOptions

  /// What a folder is.
  enum Kind {
    case snapshots(String)
    case backups
    case other
  }

  func kind() throws -> Kind {
    let path = folder.hasSuffix("/") ? String(folder.dropLast()) : folder
    if SnapshotTree.exists(in: path) { return .snapshots(path) }
    if path.hasSuffix("/store"), SnapshotTree.exists(in: String(path.dropLast(6))) {
      return .snapshots(String(path.dropLast(6)))
    }
    if SnapshotTree.exists(in: SnapshotTree.folder(of: path)) {
      return .snapshots(SnapshotTree.folder(of: path))
    }
    guard BackupFolder.exists(in: path) else {
      throw Failure.usage("\(folder): there is no store", file: folder)
    }
    let opened = try keys.volumeKeys(path)
    do throws(StorageError) {
      _ = try BackupFolder(path, writable: false, keys: opened)
      return .backups
    } catch {
      if error.reason.contains("holds no backups") { return .other }
      throw error
    }
  }

  /// The store itself, to be read.
  func store() throws -> ContentStore {
    let keys = try keys.volumeKeys(folder)
    let path: String =
      if case .snapshots(let tree) = try kind() { tree + "/store" } else { folder }
    return try ContentStore(
      opening: path, writable: false, keys: keys.isEmpty ? nil : StoreKeys(keys))
  }
}

struct StoreUsageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "du", abstract: "Tells what a store takes.")
  @OptionGroup var options: StoreOptions

  private struct Report: Codable {
    var schema = "apus-store-du"
    var version = 1
    /// snapshots, backups or other.
    var kind: String
    var packs: Int
    var objects: Int
    var bytes: UInt64
    var stored: UInt64
    var onDisk: UInt64
  }

  func run() throws {
    let kind =
      switch try options.kind() {
      case .snapshots: "snapshots"
      case .backups: "backups"
      case .other: "other"
      }
    let usage = try options.store().usage()
    let report = Report(
      kind: kind, packs: usage.packs, objects: usage.objects, bytes: usage.bytes,
      stored: usage.stored, onDisk: usage.onDisk)
    try CommandEntry.deliver(
      report,
      [
        "\(ImageSize.text(report.onDisk)) on the host, \(report.objects) objects of "
          + "\(ImageSize.text(report.bytes)) in \(report.packs) files"
      ])
  }
}

struct StoreCollectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gc", abstract: "Gives room back that nothing needs.")
  @OptionGroup var options: StoreOptions

  private struct Report: Codable {
    var schema = "apus-store-gc"
    var version = 1
    var bytes: UInt64
  }

  func run() throws {
    let keys = try options.keys.volumeKeys(options.folder)
    let bytes: UInt64
    switch try options.kind() {
    case .snapshots(let folder):
      bytes = try SnapshotTree(opening: folder, writable: true, keys: keys).collect()
    case .backups:
      bytes = try BackupFolder(options.folder, writable: true, keys: keys).collect()
    case .other:
      throw Failure.usage(
        "\(options.folder): neither snapshots nor backups: what is needed of it is not known",
        file: options.folder)
    }
    try CommandEntry.deliver(
      Report(bytes: bytes), ["\(ImageSize.text(bytes)) were given back"])
  }
}

struct StoreRepairCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "repair",
    abstract: "Puts the copy of the file 'root' in its place where that is damaged.",
    discussion: """
      Of damaged contents nothing is mended: 'verify' tells what they are, and everything else can be used. Exit codes: 0 it is whole now, \
      74 it is not.
      """)
  @OptionGroup var options: StoreOptions

  private struct Report: Codable {
    var schema = "apus-store-repair"
    var version = 1
    var repaired: Bool
  }

  func run() throws {
    let keys = try options.keys.volumeKeys(options.folder)
    let folder = options.folder
    let path =
      [folder + "/store", folder, SnapshotTree.folder(of: folder) + "/store"].first {
        HostFiles.exists($0 + "/root.copy") || HostFiles.exists($0 + "/root")
      }
    guard let path else { throw Failure.usage("\(folder): there is no store", file: folder) }
    let isRepaired = try ContentStore.repairRoot(
      path, keys: keys.isEmpty ? nil : StoreKeys(keys))
    try CommandEntry.deliver(
      Report(repaired: isRepaired),
      [isRepaired ? "\(path): the copy of the root is in its place" : "\(path): the root is whole"])
  }
}

struct StoreVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Reads everything, and compares it with its names.",
    discussion: "Exit codes: 0 sound, 1 damage.")
  @OptionGroup var options: StoreOptions

  private struct Report: Codable {
    var schema = "apus-store-verify"
    var version = 1
    var damages: [String]
  }

  func run() throws {
    let progress = BackupProgram.progress()
    let damages = try options.store().verify { done, total in
      progress(UInt64(done), UInt64(max(total, 1)))
      return true
    }.map(\.description)
    try CommandEntry.deliver(
      Report(damages: damages), damages.isEmpty ? ["everything is as it was written"] : damages)
    if !damages.isEmpty { throw ExitCode(1) }
  }
}
