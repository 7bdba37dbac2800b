// `apus template`: machines in one file, from which others begin.
//
// Owns: the entry, errors, the commands' options and words. Must not know: how a template's file is made.

import ArgumentParser
import Host
import Images
import Snapshots
import Storage

/// The subcommand's own entry.
enum TemplateProgram {
  static func main(_ arguments: [String]) -> Never {
    // The rest is a run's.
    if arguments.first == "start" || arguments.first == "run" {
      ApusProgram.main(Array(arguments.dropFirst()))
    }
    CommandEntry.main(
      arguments, TemplateCommand.self, "apus template",
      near: [
        "create": "make", "new": "make", "save": "make", "info": "show", "check": "verify",
      ])
  }
}

struct TemplateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus template",
    abstract: "Keeps a machine that has booted as a file, from which any number of machines begin.",
    discussion: """
      A template has memory, devices and disks. 'apus FILE' goes on from it at once; what its machine writes stays in memory, and the file is \
      never written. 'apus fork FILE' begins many machines. Exit codes: 0, 64 bad usage, 74 something failed; verify: 1 damage.
      """,
    subcommands: [
      TemplateMakeCommand.self, TemplateShowCommand.self, TemplateVerifyCommand.self,
    ])
}

struct TemplateReport: Codable {
  struct Disk: Codable {
    var drive: String
    var name: String
    var byteCount: UInt64
  }
  var schema = "apus-template"
  var version = 1
  var file: String
  var name: String
  var note: String
  var created: Int64
  var instructions: UInt64
  var virtualNanoseconds: UInt64
  var memoryBytes: UInt64
  var usedPages: UInt64
  var bytesOnDisk: UInt64
  var disks: [Disk]
  var arguments: [String]

  init(_ header: TemplateHeader, file: String) {
    self.file = file
    name = header.name
    note = header.note
    created = header.created
    instructions = header.instruction
    virtualNanoseconds = header.time
    memoryBytes = header.memoryCount
    usedPages = header.usedPages
    bytesOnDisk = HostFiles.facts(file)?.allocated ?? 0
    disks = header.disks.map {
      Disk(drive: String($0.drive.dropFirst(7)), name: $0.name, byteCount: $0.byteCount)
    }
    arguments = header.arguments
  }
}

struct TemplateMakeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "make", abstract: "Makes a template of a machine's snapshot.",
    discussion: """
      Of a machine that runs it is made as it is now, or of a snapshot, and the machine goes on. Of one that does not run, the snapshot is \
      one of a machine that ran ('apus --take NAME ...', Ctrl+Alt+T, 'apus snapshot take').
      """)
  @OptionGroup var options: SnapshotOptions
  @Argument(help: ArgumentHelp("The new file.", valueName: "file"))
  var file: String
  @Option(help: ArgumentHelp("The snapshot. (default: the last of a machine)", valueName: "name"))
  var snapshot: String?
  @Flag(help: "A file of that name is replaced.")
  var replace = false

  func run() throws {
    let header = try TemplateMaker(options.place, snapshot).make(file, replacing: replace)
    let report = TemplateReport(header, file: file)
    try CommandEntry.deliver(
      report,
      [
        "\(file): '\(header.name)', \(ImageSize.text(header.usedPages << 12)) of memory, "
          + "\(ImageSize.text(report.bytesOnDisk)) in all ('apus \(file)' goes on from it)"
      ])
  }
}

/// Makes templates of snapshots.
struct TemplateMaker {
  private let place: SnapshotPlace
  private let wanted: String?

  init(_ place: SnapshotPlace, _ wanted: String?) {
    self.place = place
    self.wanted = wanted
  }

  func make(_ file: String, replacing replaces: Bool) throws -> TemplateHeader {
    if let client = place.client {
      // The machine does it; it is at one instruction for a moment, and goes on.
      let parameters = BackupRequest.Parameters(
        name: wanted, file: BackupControl.absolute(file), replace: replaces)
      let _: TemplateReport = try BackupControl.call(client, "template.make", parameters)
      return try MachineTemplate(file).header
    }
    var tree = try place.tree(writable: false)
    if tree.hasLogs {
      // A run was killed: what it has kept is brought to where it is found.
      try place.change { _ in }
      tree = try place.tree(writable: false)
    }
    let found = try wanted.map { (name) throws(StorageError) in try tree.snapshot(name) }
    guard let record = found ?? tree.snapshots.last(where: { $0.kind == .machine }) else {
      throw Failure.usage(
        "\(place.image): has no snapshot of a machine that ran ('apus --take NAME ...' takes one)",
        file: place.folder)
    }
    let attachments = try place.open(tree.disks, writable: false)
    try tree.check(attachments)
    for attachment in attachments { attachment.device.close() }
    var disks: [(TemplateHeader.Disk, any BlockDevice)] = []
    for (index, disk) in tree.disks.enumerated() {
      guard disk.drive.hasPrefix("medium-disk") else {
        throw Failure.usage(
          "\(place.image): a template has hard disks, and this machine has \(disk.drive.dropFirst(7)), too",
          file: place.image)
      }
      let path = try place.path(of: disk)
      let image = try ImageOpener.open(path: path, kind: .disk, readOnly: true, keys: place.keys)
      if !image.keys.isEmpty {
        throw Failure.usage(
          "\(path): is encrypted, and a template would have what is in it for everybody", file: path
        )
      }
      guard case .disk(let physical, let translated) = image.medium else { continue }
      let source = try tree.disk(index, of: record, over: image.device)
      disks.append(
        (
          TemplateHeader.Disk(
            drive: disk.drive, name: path, physical: physical, translated: translated,
            byteCount: source.blockCount * UInt64(source.blockSize)), source
        ))
    }
    return try tree.makeTemplate(of: record, disks: disks, to: file, replacing: replaces)
  }
}

/// Which template is meant.
struct TemplateFileOptions: ParsableArguments {
  @Argument(help: ArgumentHelp("The template.", valueName: "file"))
  var file: String
}

struct TemplateShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Tells what is in a template.")
  @OptionGroup var options: TemplateFileOptions

  func run() throws {
    let template = try MachineTemplate(options.file)
    let header = template.header
    let report = TemplateReport(header, file: options.file)
    var lines = [
      "\(options.file): '\(header.name)', taken \(SnapshotWords.time(header.created))",
      "  \(header.instruction) instructions, \(SnapshotWords.milliseconds(Double(header.time) / 1e6)) of the guest's time",
      "  memory: \(ImageSize.text(header.memoryCount)), \(header.usedPages) pages in use",
    ]
    if !header.note.isEmpty { lines.insert("  \(header.note)", at: 1) }
    for disk in report.disks {
      lines.append("  \(disk.drive): \(disk.name), \(ImageSize.text(disk.byteCount))")
    }
    lines.append("  on the host's disk: \(ImageSize.text(report.bytesOnDisk))")
    lines.append("  started with: \(header.arguments.joined(separator: " "))")
    try CommandEntry.deliver(report, lines)
  }
}

struct TemplateVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Reads all of a template and says whether it is whole.")
  @OptionGroup var options: TemplateFileOptions

  private struct Report: Codable {
    var schema = "apus-template-verify"
    var version = 1
    var file: String
    var damage: String?
  }

  func run() throws {
    var damage: String?
    do throws(StorageError) { try MachineTemplate(options.file).verify() } catch {
      if !HostFiles.exists(options.file) { throw error }
      damage = "\(error)"
    }
    try CommandEntry.deliver(
      Report(file: options.file, damage: damage), [damage ?? "\(options.file): is whole"])
    if damage != nil { throw ExitCode(1) }
  }
}
