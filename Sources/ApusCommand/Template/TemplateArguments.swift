// The command line of a machine that goes on from a template.
//
// Owns: which of the words the machine was started with belong to the machine, and what takes the place of its disks. Must not know: what
// options mean.

import Host
import Machine
import Snapshots
import Storage

/// Words of a command line with those of a template's machine among them.
struct TemplateArguments {
  var words: [String]
  var template: MachineTemplate

  /// Options of which the machine is made; all others are of a run.
  static let ofTheMachine: Set<String> = [
    "--floppy-a", "-fda", "--floppy-b", "-fdb", "--cdrom", "-cdrom", "--cdrom-at", "--boot",
    "-boot", "--memory", "-m", "--cpu", "-cpu", "--processors", "-smp", "--fpu", "--bios", "-bios",
    "--rom", "--vga", "-vga", "--vram", "--vga-bios", "--fw-cfg", "-fw_cfg", "--kernel", "-kernel",
    "--initrd", "-initrd", "--append", "-append", "--board", "--acpi", "--device", "--exit-port",
    "--on-triple-fault", "--reset-on-triple-fault", "--code-page", "--cpu-speed", "--disk-latency",
    "--rtc", "-rtc",
  ]
  private static let hardDisks: [String] = ["--hda", "--hdb", "--hdc", "--hdd"]
  private static let diskOptions: Set<String> = [
    "--disk", "--hda", "-hda", "--hdb", "-hdb", "--hdc", "-hdc", "--hdd", "-hdd",
  ]
  static let serialOptions: Set<String> = ["--serial", "-serial"]

  /// What stands for a template's disk where a path is wanted.
  private static let prefix = "template:"

  /// The disk that a path stands for.
  static func disk(_ path: String, of template: MachineTemplate?) -> TemplateHeader.Disk? {
    guard let template, path.hasPrefix(prefix), let number = Int(path.dropFirst(prefix.count)),
      template.header.disks.indices.contains(number)
    else { return nil }
    return template.header.disks[number]
  }

  /// The words of a run whose image is a template; nil: none of them is.
  /// - Throws: `Failure` when the template cannot be read, or there is more than one.
  static func found(in words: [String]) throws -> TemplateArguments? {
    guard let scan = try? ArgumentScan(words) else { return nil }
    let paths = scan.words.compactMap { word -> String? in
      if case .positional(let path) = word, MachineTemplate.isTemplate(path) { path } else { nil }
    }
    guard let path = paths.first else { return nil }
    if paths.count > 1 {
      throw Failure.usage("a machine goes on from one template, not from two", file: paths[1])
    }
    let template: MachineTemplate
    do throws(StorageError) { template = try MachineTemplate(path) } catch {
      throw Failure.usage("\(error)", file: path)
    }
    return try TemplateArguments(template, words.filter { $0 != path })
  }

  /// - Parameter own: what the run is given besides.
  init(_ template: MachineTemplate, _ own: [String]) throws {
    self.template = template
    var recorded = template.header.arguments
    for first in ["apus", "debug"] where recorded.first == first { recorded.removeFirst() }
    let scan: ArgumentScan
    do { scan = try ArgumentScan(JSONTarget.taken(from: recorded).arguments) } catch {
      throw Failure.usage(
        "\(template.path): its machine was started with what this Apus does not know: "
          + ((error as? Failure)?.message ?? "\(error)"), file: template.path)
    }
    let disks = template.header.disks
    /// An image that is in the template, whatever folder it was in.
    // The image may have had another name when the machine was started, which is the one among the words.
    let then = ((try? Machine.captureMedia(ofHead: template.head)) ?? []).filter { medium in
      disks.contains { $0.drive == medium.drive }
    }
    let names = Set(
      (disks.map(\.name) + then.map(\.name)).map {
        ImageFiles.lastName(ImageOpener.rawPath($0) ?? $0)
      })
    func isKept(_ path: String) -> Bool {
      names.contains(ImageFiles.lastName(ImageOpener.rawPath(path) ?? path))
    }
    var words: [String] = []
    var ports = 0
    for word in scan.words {
      switch word {
      case .positional(let path):
        if !isKept(path) { words.append(path) }
      case .option(let name, let value):
        if TemplateArguments.serialOptions.contains(name) { ports += 1 }
        let isDisk = TemplateArguments.diskOptions.contains(name)
        if isDisk ? value.map(isKept) ?? true : !TemplateArguments.ofTheMachine.contains(name) {
          continue
        }
        words.append(name)
        if let value { words.append(value) }
      }
    }
    for (index, disk) in disks.enumerated() {
      guard let drive = Int(disk.drive.dropFirst("medium-disk".count)) else { continue }
      words += [TemplateArguments.hardDisks[drive], TemplateArguments.prefix + String(index)]
    }
    if !own.contains("--snapshot") { words.append("--snapshot") }
    words += own
    // The machine has as many ports as it had.
    let given = own.count { word in
      TemplateArguments.serialOptions.contains { word == $0 || word.hasPrefix($0 + "=") }
    }
    for _ in 0..<max(0, ports - given) { words += ["--serial", "null"] }
    self.words = words
  }
}
