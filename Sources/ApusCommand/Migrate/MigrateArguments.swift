// The command line of a machine that comes from another process.
//
// Owns: which of the words the machine was started with belong to the machine, and what takes the place of its images. Must not know: what
// options mean.

import Host
import Migration
import Storage

/// Words of a command line for a machine that comes.
struct MigrateArguments {
  var words: [String]

  /// What stands for an image that is written, where a path is wanted.
  static let prefix = "migrated:"
  private static let places = ["hda", "hdb", "hdc", "hdd"]
  private static let media: Set<String> = [
    "--floppy-a", "-fda", "--floppy-b", "-fdb", "--cdrom", "-cdrom", "--cdrom-at", "--flash",
  ]

  /// - Parameter own: what the run is given besides.
  init(_ offer: MigrationOffer, _ own: [String]) throws {
    var recorded = offer.arguments
    for first in ["apus", "debug"] where recorded.first == first { recorded.removeFirst() }
    // One that has come before was started with what followed.
    if recorded.starts(with: ["migrate", "receive"]) {
      throw Failure.usage("a machine that has come cannot be sent on")
    }
    let scan: ArgumentScan
    do { scan = try ArgumentScan(JSONTarget.taken(from: recorded).arguments) } catch {
      throw Failure.usage(
        "the machine was started with what this Apus does not know: "
          + ((error as? Failure)?.message ?? "\(error)"))
    }
    var words: [String] = []
    var ports = 0
    for word in scan.words {
      // Its images are told by the offer.
      guard case .option(let name, let value) = word else { continue }
      if TemplateArguments.serialOptions.contains(name) { ports += 1 }
      if !TemplateArguments.ofTheMachine.contains(name) || MigrateArguments.media.contains(name) {
        continue
      }
      words.append(name)
      if let value { words.append(MigrateArguments.absolute(name, value, offer.folder)) }
    }
    for (index, disk) in offer.disks.enumerated() {
      words += [
        MigrateArguments.option(disk.drive), MigrateArguments.prefix + String(index),
      ]
    }
    for medium in offer.media {
      let option = MigrateArguments.option(medium.drive)
      if option == "--cdrom" {
        let place = medium.drive.last?.wholeNumberValue ?? 2
        words += [option, medium.path ?? "empty", "--cdrom-at", MigrateArguments.places[place & 3]]
      } else if let path = medium.path {
        words += [option, medium.isTemporary ? path : path + ":ro"]
      } else if option.hasPrefix("--floppy") {
        words += [option, "empty"]
      }
    }
    if offer.media.contains(where: \.isTemporary), !own.contains("--snapshot") {
      words.append("--snapshot")
    }
    words += own
    // The machine has as many ports as it had.
    let given = own.count { word in
      TemplateArguments.serialOptions.contains { word == $0 || word.hasPrefix($0 + "=") }
    }
    for _ in 0..<max(0, ports - given) { words += ["--serial", "null"] }
    self.words = words
  }

  /// Options that name files, which were given in the folder where the machine was started.
  private static let files: Set<String> = [
    "--bios", "-bios", "--vga-bios", "--kernel", "-kernel", "--initrd", "-initrd", "--rom",
  ]

  private static func absolute(_ option: String, _ value: String, _ folder: String) -> String {
    if files.contains(option) { return value.hasPrefix("/") ? value : folder + "/" + value }
    if ["--fw-cfg", "-fw_cfg"].contains(option) {
      return value.split(separator: ",", omittingEmptySubsequences: false).map { part in
        guard part.hasPrefix("file="), !part.hasPrefix("file=/") else { return String(part) }
        return "file=" + folder + "/" + part.dropFirst(5)
      }.joined(separator: ",")
    }
    // A board is a name, or a file of that name.
    if option == "--board", !value.hasPrefix("/"), HostFiles.exists(folder + "/" + value) {
      return folder + "/" + value
    }
    return value
  }

  /// Whether an option says what the machine is, and not how it runs.
  static func isOfTheMachine(_ name: String) -> Bool {
    TemplateArguments.ofTheMachine.contains(name) || media.contains(name)
      || ["--hda", "-hda", "--hdb", "-hdb", "--hdc", "-hdc", "--hdd", "-hdd", "--disk"].contains(
        name)
      || ["--load-state", "--replay", "--take", "--no-resume", "--snapshot"].contains(name)
  }

  /// "disk0" to "--hda".
  private static func option(_ drive: String) -> String {
    let number = drive.last?.wholeNumberValue ?? 0
    if drive.hasPrefix("disk") { return "--" + places[number & 3] }
    if drive.hasPrefix("floppy") { return number == 0 ? "--floppy-a" : "--floppy-b" }
    return drive.hasPrefix("cd") ? "--cdrom" : "--flash"
  }
}
